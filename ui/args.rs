//! The command line: what was typed, checked, as options that the commands understand.

pub mod recording;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use aiospy::Locals;
use aiospy::snapshot::{Code, Severity};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
use nix::sys::signal::Signal;

use self::recording::{Diff, Export, RawDiff, RawExport, RawRecord, RawReplay, Record, Replay};

/// What to do.
#[derive(Debug)]
pub struct Options {
    /// The command with its own options.
    pub command: Command,
    /// Say more: the causes of an error, the cost of a reading.
    pub is_verbose: bool,
    /// How long one reading may take.
    pub timeout: Duration,
    /// How many bytes of memory snapshots may take; as many as there are, if `None`.
    pub max_memory: Option<u64>,
}

/// A command with its options.
#[derive(Debug)]
pub enum Command {
    /// One report.
    Dump(Dump),
    /// The findings alone.
    Check(Check),
    /// What a finding means.
    Explain(Explain),
    /// The steps of attaching.
    Doctor(Doctor),
    /// A sample program to look at.
    Demo(Demo),
    /// What happens, as it happens.
    Watch(Watch),
    /// The story of a shutdown.
    Stop(Stop),
    /// A program that is started and watched.
    Run(Run),
    /// The terminal UI.
    Top(Top),
    /// All samples of a while, or what they come to.
    Record(Record),
    /// The terminal UI on a recording.
    Replay(Replay),
    /// The same from a recording.
    Export(Export),
    /// What is other than it was.
    Diff(Diff),
}

/// Options of `dump`.
#[derive(Debug)]
pub struct Dump {
    /// The target.
    pub pid: i32,
    /// What is to be shown of it.
    pub report: Report,
    /// The least severity that makes it fail; never, if `None`.
    pub fail_on: Option<Severity>,
}

/// Options of `check`.
#[derive(Debug)]
pub struct Check {
    /// The target.
    pub pid: i32,
    /// As JSON instead of text.
    pub is_json: bool,
    /// How many looks it may take.
    pub looks: u8,
    /// How long it may go on sampling while something is undecided.
    pub wait: Duration,
    /// The least severity that makes it fail; never, if `None`.
    pub fail_on: Option<Severity>,
    /// Where it goes.
    pub output: Output,
}

/// Options of `watch`.
#[derive(Debug)]
pub struct Watch {
    /// The target.
    pub pid: i32,
    /// How it is watched.
    pub watching: Watching,
}

/// Options of `stop`.
#[derive(Debug)]
pub struct Stop {
    /// The target.
    pub pid: i32,
    /// How it is asked to end.
    pub signal: Signal,
    /// How long it may take.
    pub grace: Duration,
    /// Whether it is killed then.
    pub kills: bool,
    /// As JSON instead of text.
    pub is_json: bool,
    /// Where it goes.
    pub output: Output,
}

/// Options of `run`.
#[derive(Debug)]
pub struct Run {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// How it is watched.
    pub watching: Watching,
}

/// Options of `top`.
#[derive(Debug)]
pub struct Top {
    /// What is watched.
    pub target: Watched,
    /// Whole snapshots a second.
    pub rate: f64,
    /// Whether the mouse may be used.
    pub has_mouse: bool,
    /// Whether only ASCII is drawn.
    pub is_ascii: bool,
    /// When to use colours.
    pub color: Color,
}

/// What `top` watches.
#[derive(Debug)]
pub enum Watched {
    /// A process.
    Process(i32),
    /// A program that it starts.
    Command(Vec<OsString>),
    /// A process that is chosen from a list.
    Chosen,
}

/// How a target is watched, and what is told of it.
#[derive(Debug)]
pub struct Watching {
    /// As text instead of JSON.
    pub is_text: bool,
    /// Light samples a second.
    pub rate: f64,
    /// The time between two whole snapshots.
    pub whole_every: Duration,
    /// From which length on a callback blocks its loop.
    pub threshold: Duration,
    /// How often loops are told about.
    pub interval: Duration,
    /// Tasks of one shape that grow in number for so long are a leak.
    pub growth_over: Duration,
    /// Who has been at one await for so long is stuck, unless idle by nature.
    pub stuck_after: Duration,
    /// For how long; until the target ends, if `None`.
    pub duration: Option<Duration>,
    /// The least severity that makes it fail; never, if `None`.
    pub fail_on: Option<Severity>,
    /// A command to run for each finding that is a warning or worse.
    pub on_finding: Option<String>,
    /// Whether one whose Python is not there yet is waited for.
    pub waits_for_python: bool,
    /// Where it goes.
    pub output: Output,
    /// Whether that is standard error, where no file is given.
    pub is_beside: bool,
}

/// Options of `explain`.
#[derive(Debug)]
pub struct Explain {
    /// The finding's code; the list of them if `None`.
    pub code: Option<Code>,
    /// Where it goes.
    pub output: Output,
}

/// What a report contains and where it goes.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Debug)]
pub struct Report {
    /// As JSON instead of text.
    pub is_json: bool,
    /// One block for each task instead of the forest.
    pub is_flat: bool,
    /// Finished tasks too.
    pub has_finished: bool,
    /// Local variables too.
    pub locals: Locals,
    /// The stacks of all threads too.
    pub has_threads: bool,
    /// The lines of the program too.
    pub has_source: bool,
    /// How many looks it may take.
    pub looks: u8,
    /// How long it may go on sampling while something is undecided; as is usual where it goes, if
    /// `None`.
    pub wait: Option<Duration>,
    /// What the reading cost too.
    pub is_verbose: bool,
    /// Where it goes.
    pub output: Output,
}

/// Where a report goes and how it looks there.
#[derive(Debug, Clone)]
pub struct Output {
    /// A file; standard output if there is none.
    pub file: Option<PathBuf>,
    /// Whether a file that is there is replaced.
    pub replaces: bool,
    /// When to use colours.
    pub color: Color,
    /// The width of lines, if not the terminal's.
    pub width: Option<usize>,
}

/// Options of `doctor`.
#[derive(Debug)]
pub struct Doctor {
    /// The target.
    pub pid: i32,
    /// As JSON instead of text.
    pub is_json: bool,
    /// Where it goes.
    pub output: Output,
}

/// Options of `demo`.
#[derive(Debug)]
pub struct Demo {
    /// Which sample program; the list of them if `None`.
    pub name: Option<String>,
    /// Leave the program running.
    pub is_kept: bool,
    /// The interpreter to run it with.
    pub python: Option<PathBuf>,
    /// What is to be shown of it.
    pub report: Report,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    // No doc comments here: clap would make a list of them in every help.
    Auto,
    Always,
    Never,
}

/// From which severity on findings make a command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Info,
    Warning,
    Critical,
    Never,
}

impl FailOn {
    fn severity(self) -> Option<Severity> {
        match self {
            Self::Info => Some(Severity::Info),
            Self::Warning => Some(Severity::Warning),
            Self::Critical => Some(Severity::Critical),
            Self::Never => None,
        }
    }
}

/// Parses the command line.
///
/// # Errors
/// What clap has to say: a mistake, or the help or version that was asked for.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Options, clap::Error> {
    let raw = Raw::try_parse_from(args)?;
    let command = match raw.command {
        RawCommand::Dump(dump) => {
            let pid = dump.target.pid();
            let fail_on = dump.fail_on.severity();
            Command::Dump(Dump { pid, report: dump.report.checked(raw.verbose), fail_on })
        }
        RawCommand::Check(check) => Command::Check(Check {
            pid: check.target.pid(),
            is_json: check.json,
            looks: check.looks,
            wait: check.wait,
            fail_on: check.fail_on.severity(),
            output: check.output.checked(),
        }),
        RawCommand::Explain(explain) => Command::Explain(Explain {
            code: explain.code,
            output: Output { file: None, replaces: false, color: explain.color, width: None },
        }),
        RawCommand::Doctor(doctor) => Command::Doctor(Doctor {
            pid: doctor.target.pid(),
            is_json: doctor.json,
            output: doctor.output.checked(),
        }),
        RawCommand::Demo(demo) => Command::Demo(Demo {
            name: (!demo.list).then(|| demo.name.unwrap_or_else(|| "service".to_owned())),
            is_kept: demo.keep,
            python: demo.python,
            report: demo.report.checked(raw.verbose),
        }),
        RawCommand::Watch(watch) => {
            Command::Watch(Watch { pid: watch.target.pid(), watching: watch.watching.checked() })
        }
        RawCommand::Stop(stop) => Command::Stop(Stop {
            pid: stop.target.pid(),
            signal: stop.signal,
            grace: stop.grace,
            kills: stop.kill,
            is_json: stop.json,
            output: stop.output.checked(),
        }),
        RawCommand::Run(run) => {
            let mut watching = run.watching.checked();
            // Standard output is the program's own.
            watching.is_beside = watching.output.file.is_none();
            watching.is_text |= watching.is_beside;
            watching.waits_for_python = true;
            Command::Run(Run { command: run.command, watching })
        }
        RawCommand::Top(top) => Command::Top(Top {
            target: match top.pid.or(top.pid_flag) {
                Some(pid) => Watched::Process(pid),
                None if top.command.is_empty() => Watched::Chosen,
                None => Watched::Command(top.command),
            },
            rate: top.rate,
            has_mouse: !top.no_mouse,
            is_ascii: top.ascii,
            color: top.color,
        }),
        RawCommand::Record(record) => Command::Record(record.checked()?),
        RawCommand::Replay(replay) => Command::Replay(replay.checked()),
        RawCommand::Export(export) => Command::Export(export.checked()?),
        RawCommand::Diff(diff) => Command::Diff(diff.checked()),
    };
    Ok(Options {
        command,
        is_verbose: raw.verbose,
        timeout: raw.timeout,
        max_memory: raw.max_memory,
    })
}

/// Attach to a running Python process and see what its asyncio program is doing.
#[derive(Debug, Parser)]
#[command(
    name = "aiospy",
    version,
    color = ColorChoice::Auto,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "The target needs no preparation, is only read, and is never stopped.\n\
        Exit codes: 0 done, 1 could not attach or read, 2 wrong usage, 3 a finding at or above \
        --fail-on."
)]
struct Raw {
    #[command(subcommand)]
    command: RawCommand,
    /// Say more: the causes of an error, the cost of a reading
    #[arg(short, long, global = true)]
    verbose: bool,
    /// How long reading the target once may take; then what was read by then is shown
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = time)]
    timeout: Duration,
    /// Memory to use at most, such as 256M; the smaller of 512M and half of what the cgroup has left
    #[arg(long, global = true, value_name = "SIZE", value_parser = recording::size, hide_short_help = true)]
    max_memory: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum RawCommand {
    /// Print what is wrong, what the event loops do, and what each task waits for
    Dump(RawDump),
    /// Print only what is wrong, one line each; exits with 3 if it is a warning or worse
    Check(RawCheck),
    /// Explain what a finding means, how it is told and what to do about it
    Explain(RawExplain),
    /// Check each step of attaching to a process, with the remedy for what fails
    Doctor(RawDoctor),
    /// Start a sample program that hangs in a chosen way, and dump it
    Demo(RawDemo),
    /// Look at it live: what is stuck, what blocks the loop, what each task waits for
    Top(RawTop),
    /// Tell what happens as it happens: findings, blocking callbacks, how the loops do
    Watch(RawWatch),
    /// Ask a process to end, and tell what holds it until it does; exits with 3 if it does not
    Stop(RawStop),
    /// Start a program and watch it; its output and exit code are its own
    Run(RawRun),
    /// Record where tasks are and what they wait for, to a file or as a flame graph
    Record(RawRecord),
    /// Walk through a recording on the screen, as top shows what is live
    Replay(RawReplay),
    /// Make a flame graph, a page or a trace of a recording
    Export(RawExport),
    /// Tell what is other in a second dump or recording than in the first
    Diff(RawDiff),
}

// Said by several commands.
const COLOR: &str = "When to use colours; auto: on a terminal, unless NO_COLOR is set";
const FAIL_ON: &str = "Exit with 3 when a finding is at least as severe as this";
const LOOKS: &str = "Looks to take at most; the second, 200 ms later, only if it can tell more";
const WAIT: &str = "Go on sampling for so long at most while something may or may not be a hang";
const WAIT_FOR_REPORT: &str = "Go on sampling for so long at most while something may or may not \
                               be a hang [default: 5s on a terminal, 0 elsewhere]";

#[derive(Debug, Args)]
struct RawDump {
    #[command(flatten)]
    target: RawTarget,
    #[arg(help = FAIL_ON, long, value_enum, default_value_t = FailOn::Never, value_name = "SEVERITY")]
    fail_on: FailOn,
    #[command(flatten)]
    report: RawReport,
}

#[derive(Debug, Args)]
struct RawCheck {
    #[command(flatten)]
    target: RawTarget,
    /// Print JSON: the findings with the loops and tasks they are about (see schema.json)
    #[arg(short, long)]
    json: bool,
    #[arg(help = FAIL_ON, long, value_enum, default_value_t = FailOn::Warning, value_name = "SEVERITY")]
    fail_on: FailOn,
    #[arg(help = LOOKS, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    looks: u8,
    #[arg(help = WAIT, long, value_name = "TIME", default_value = "0", value_parser = time_or_none)]
    wait: Duration,
    #[command(flatten)]
    output: RawOutput,
}

#[derive(Debug, Args)]
struct RawWatch {
    #[command(flatten)]
    target: RawTarget,
    #[command(flatten)]
    watching: RawWatching,
}

#[derive(Debug, Args)]
struct RawStop {
    #[command(flatten)]
    target: RawTarget,
    /// The signal that asks it to end
    #[arg(short, long, value_name = "NAME", default_value = "TERM", value_parser = signal)]
    signal: Signal,
    /// How long it may take
    #[arg(short, long, value_name = "TIME", default_value = "30s", value_parser = time)]
    grace: Duration,
    /// Kill it when the grace is over
    #[arg(short, long)]
    kill: bool,
    /// Print one JSON object at the end instead of the story as it goes
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    output: RawOutput,
}

#[derive(Debug, Args)]
struct RawRun {
    #[command(flatten)]
    watching: RawWatching,
    /// The program with its arguments, behind --
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
struct RawTop {
    /// Process id, decimal or 0x…; without it one chooses from a list
    #[arg(value_name = "PID", value_parser = pid, conflicts_with = "command")]
    pid: Option<i32>,
    /// The same as an option
    #[arg(short, long = "pid", id = "pid_flag", value_name = "PID", value_parser = pid, conflicts_with_all = ["pid", "command"])]
    pid_flag: Option<i32>,
    /// Whole snapshots a second
    #[arg(short, long, value_name = "HZ", default_value_t = 10.0, value_parser = top_rate)]
    rate: f64,
    /// Leave the mouse to the terminal
    #[arg(long)]
    no_mouse: bool,
    /// Draw with ASCII only
    #[arg(long)]
    ascii: bool,
    #[arg(help = COLOR, long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
    /// A program to start and watch, with its arguments, behind --
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
struct RawWatching {
    /// Print text instead of one line of JSON for each event
    #[arg(short, long)]
    text: bool,
    /// Light samples a second
    #[arg(short, long, value_name = "HZ", default_value_t = 1000.0, value_parser = rate)]
    rate: f64,
    /// Time between whole snapshots; findings, and what tasks wait for, take five a second at most
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    whole_every: Duration,
    /// From which length on a callback blocks its loop
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = time)]
    threshold: Duration,
    /// How often to tell how the loops do
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    interval: Duration,
    /// For how long tasks of one shape have to grow in number to be a leak
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    growth_over: Duration,
    /// How long a task has to be at one await to be stuck, unless that is its nature
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    stuck_after: Duration,
    /// For how long [default: until the target ends]
    #[arg(short, long, value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    #[arg(help = FAIL_ON, long, value_enum, default_value_t = FailOn::Never, value_name = "SEVERITY")]
    fail_on: FailOn,
    /// Run CMD by the shell for each finding that becomes a warning or worse, given to it as JSON
    #[arg(long, value_name = "CMD")]
    on_finding: Option<String>,
    /// Write to FILE; - is standard output
    #[arg(short, long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace FILE if it is there
    #[arg(long)]
    force: bool,
    #[arg(help = COLOR, long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

impl RawWatching {
    fn checked(self) -> Watching {
        let file = self.output.filter(|file| file.as_os_str() != "-");
        Watching {
            is_text: self.text,
            rate: self.rate,
            whole_every: self.whole_every,
            threshold: self.threshold,
            interval: self.interval,
            growth_over: self.growth_over,
            stuck_after: self.stuck_after,
            duration: self.duration,
            fail_on: self.fail_on.severity(),
            on_finding: self.on_finding,
            waits_for_python: false,
            output: Output { file, replaces: self.force, color: self.color, width: None },
            is_beside: false,
        }
    }
}

#[derive(Debug, Args)]
struct RawExplain {
    /// The code of the finding, as [code] in a report; the list of all without it
    #[arg(value_parser = codes(), hide_possible_values = true, ignore_case = true)]
    code: Option<Code>,
    #[arg(help = COLOR, long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

/// The codes of findings; for a mistyped one, clap proposes those nearest to it.
fn codes() -> impl TypedValueParser<Value = Code> {
    PossibleValuesParser::new(Code::ALL.iter().map(|code| code.as_str())).try_map(|name| {
        let code = Code::ALL.iter().find(|code| code.as_str().eq_ignore_ascii_case(&name));
        code.copied().ok_or("no such code")
    })
}

#[derive(Debug, Args)]
struct RawDoctor {
    #[command(flatten)]
    target: RawTarget,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    output: RawOutput,
}

#[derive(Debug, Args)]
struct RawDemo {
    /// Which sample program
    #[arg(value_parser = crate::demo::names(), hide_possible_values = true, conflicts_with = "list")]
    name: Option<String>,
    /// List the sample programs
    #[arg(long)]
    list: bool,
    /// Leave the program running and print its process id
    #[arg(long, conflicts_with = "list")]
    keep: bool,
    /// The Python interpreter to run it with [default: python3]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    #[command(flatten)]
    report: RawReport,
}

#[derive(Debug, Args)]
struct RawTarget {
    /// Process id, decimal or 0x…
    #[arg(value_name = "PID", value_parser = pid, required_unless_present = "pid_flag")]
    pid: Option<i32>,
    /// The same as an option
    #[arg(short, long = "pid", id = "pid_flag", value_name = "PID", value_parser = pid, conflicts_with = "pid")]
    pid_flag: Option<i32>,
}

impl RawTarget {
    fn pid(&self) -> i32 {
        // clap lets neither both nor none pass.
        self.pid.or(self.pid_flag).unwrap_or_default()
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Debug, Args)]
struct RawReport {
    /// Print JSON (see schema.json)
    #[arg(short, long, conflicts_with = "flat")]
    json: bool,
    /// One block for each task instead of the tree
    #[arg(long)]
    flat: bool,
    /// Finished tasks too, if asyncio still knows them
    #[arg(short, long)]
    all: bool,
    /// Local variables of each frame
    #[arg(short, long)]
    locals: bool,
    /// Show passwords, tokens and the like in them too
    #[arg(long, requires = "locals")]
    show_secrets: bool,
    /// The stacks of all threads too (that of a thread that blocks its loop is always shown)
    #[arg(short, long)]
    threads: bool,
    /// Leave out the lines of the program's source
    #[arg(long)]
    no_source: bool,
    #[arg(help = LOOKS, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    looks: u8,
    #[arg(help = WAIT_FOR_REPORT, long, value_name = "TIME", value_parser = time_or_none)]
    wait: Option<Duration>,
    #[command(flatten)]
    output: RawOutput,
}

impl RawReport {
    fn checked(self, is_verbose: bool) -> Report {
        Report {
            is_json: self.json,
            is_flat: self.flat,
            has_finished: self.all,
            locals: match (self.locals, self.show_secrets) {
                (false, _) => Locals::Unread,
                (true, false) => Locals::WithoutSecrets,
                (true, true) => Locals::WithSecrets,
            },
            has_threads: self.threads,
            has_source: !self.no_source,
            looks: self.looks,
            wait: self.wait,
            is_verbose,
            output: self.output.checked(),
        }
    }
}

#[derive(Debug, Args)]
struct RawOutput {
    /// Write to FILE; - is standard output
    #[arg(short, long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace FILE if it is there
    #[arg(long)]
    force: bool,
    #[arg(help = COLOR, long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
    /// Cut lines to N columns [default: the terminal's; not cut when piped]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(20..))]
    width: Option<u16>,
}

impl RawOutput {
    fn checked(self) -> Output {
        Output {
            file: self.output.filter(|file| file.as_os_str() != "-"),
            replaces: self.force,
            color: self.color,
            width: self.width.map(usize::from),
        }
    }
}

/// A time above zero: `100ms`, `10s`, `1m 30s`; a bare number is seconds.
fn time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|it| Duration::try_from_secs_f64(it).ok());
    let friendly = || Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok();
    match seconds.or_else(friendly) {
        Some(time) if !time.is_zero() => Ok(time),
        _ => Err("not a time: one like 100ms, 10s or 5m is wanted".to_owned()),
    }
}

/// The same, or `0`.
fn time_or_none(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { time(text) }
}

/// A signal by its name, with or without `SIG`.
fn signal(text: &str) -> Result<Signal, String> {
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse().map_err(|_unknown| "not a signal: one like TERM, INT or HUP is wanted".to_owned())
}

/// How often in a second: above zero, at most ten thousand times.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 10_000.0 => Ok(rate),
        _ => Err("not a rate: a number above 0 and up to 10000 is wanted".to_owned()),
    }
}

/// How often everything is read in a second: above zero, at most a hundred times.
fn top_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.1..=100.0).contains(&rate) => Ok(rate),
        _ => Err("not a rate: a number from 0.1 to 100 is wanted".to_owned()),
    }
}

/// A process id: `4711` or `0x1267`.
fn pid(text: &str) -> Result<i32, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => i32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    match number {
        Ok(pid) if pid > 0 => Ok(pid),
        _ => Err("not a process id: a positive number is wanted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, clap::Error> {
        parse(line.split(' ').map(OsString::from))
    }

    fn dumped(line: &str) -> Dump {
        match parsed(line).unwrap().command {
            Command::Dump(dump) => dump,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn command_is_well_formed() {
        use clap::CommandFactory;
        Raw::command().debug_assert();
    }

    #[test]
    fn pid_comes_as_argument_or_option_decimal_or_hex() {
        assert_eq!(dumped("aiospy dump 4711").pid, 4711);
        assert_eq!(dumped("aiospy dump 0x1267").pid, 0x1267);
        assert_eq!(dumped("aiospy dump -p 4711").pid, 4711);
        assert_eq!(dumped("aiospy dump --pid=0x10").pid, 16);
        for bad in ["dump", "dump 0", "dump -- -5", "dump 12x", "dump 1 -p 1", "dump 99999999999"] {
            assert_eq!(parsed(&format!("aiospy {bad}")).unwrap_err().exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn output_dash_is_standard_output() {
        assert_eq!(dumped("aiospy dump 1 -o -").report.output.file, None);
        assert_eq!(dumped("aiospy dump 1 -o x.txt").report.output.file, Some("x.txt".into()));
    }

    #[test]
    fn severity_to_fail_on_is_never_for_dump_and_warning_for_check() {
        let checked = |line: &str| match parsed(line).unwrap().command {
            Command::Check(check) => check,
            other => panic!("{other:?}"),
        };
        assert_eq!(dumped("aiospy dump 1").fail_on, None);
        assert_eq!(dumped("aiospy dump 1 --fail-on info").fail_on, Some(Severity::Info));
        assert_eq!(checked("aiospy check 1").fail_on, Some(Severity::Warning));
        assert_eq!(checked("aiospy check -p 1 --fail-on never").fail_on, None);
        assert_eq!(
            (checked("aiospy check 1").looks, checked("aiospy check 1 --looks 1").looks),
            (2, 1)
        );
        for bad in ["--fail-on bad", "--looks 0", "--looks 3", "--flat"] {
            let error = parsed(&format!("aiospy check 1 {bad}")).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn a_mistyped_code_is_met_with_the_nearest_one() {
        let explained = |code: &str| parsed(&format!("aiospy explain {code}"));
        for code in Code::ALL {
            assert!(matches!(
                explained(&code.as_str().to_uppercase()).unwrap().command,
                Command::Explain(Explain { code: Some(found), .. }) if found == *code
            ));
        }
        let error = explained("deadlok").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("similar value exists: 'deadlock'"), "{error}");
    }

    #[test]
    fn top_takes_a_process_a_command_or_neither() {
        let top = |line: &str| match parsed(line).unwrap().command {
            Command::Top(top) => top,
            other => panic!("{other:?}"),
        };
        assert!(matches!(top("aiospy top").target, Watched::Chosen));
        assert!(matches!(top("aiospy top 4711").target, Watched::Process(4711)));
        assert!(matches!(top("aiospy top -p 4711").target, Watched::Process(4711)));
        let started = top("aiospy top --no-mouse --ascii -- python app.py --port 1");
        assert!(matches!(&started.target, Watched::Command(words) if words.len() == 4));
        assert!(!started.has_mouse && started.is_ascii);
        assert!((top("aiospy top 1 -r 2.5").rate - 2.5).abs() < 1e-9);
        for bad in ["top 1 -- python", "top -p 1 -- python", "top 1 -p 1", "top 1 -r 0", "top -r x"]
        {
            assert_eq!(parsed(&format!("aiospy {bad}")).unwrap_err().exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn timeout_may_stand_anywhere_and_is_ten_seconds() {
        let timeout = |line: &str| parsed(line).unwrap().timeout;
        assert_eq!(timeout("aiospy dump 1"), Duration::from_secs(10));
        assert_eq!(timeout("aiospy --timeout 1m check 1"), Duration::from_secs(60));
        assert_eq!(timeout("aiospy watch 1 --timeout 500ms"), Duration::from_millis(500));
        assert_eq!(parsed("aiospy dump 1 --timeout 0").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn bare_pid_is_no_command() {
        assert_eq!(parsed("aiospy 4711").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn verbose_may_stand_anywhere() {
        assert!(parsed("aiospy -v dump 1").unwrap().is_verbose);
        assert!(parsed("aiospy dump 1 -v").unwrap().is_verbose);
    }
}
