//! Options that several commands share, and the words that values are typed in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aiospy::Locals;
use clap::builder::PossibleValue;
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};

use crate::commands::allowing::Allowing;
use crate::commands::outcome::{FAIL_ON, FailOn};
use crate::flame::{Folding, Format};
use crate::io::output::{Output, Stream};
pub use crate::io::time::time;
use crate::report::text::Shape;

/// The help for how many looks are taken.
pub const LOOKS: &str =
    "Most samples to take; a second one, 200 ms later, only if it can show more";

/// The help for a search of the heap.
pub const HEAP: &str = "Search the whole heap, too: who refers to what tasks wait for; `dump` also lists coroutines never started, open generators, failed futures, locks and queues (0.2 s per GiB and pass; the process is not paused). Not in what was saved of one: that has only what was read";

/// The help for what is sent to OpenTelemetry.
#[cfg(feature = "otlp")]
const OTLP: &str = "Send findings as logs, and the figures of --metrics every --interval, to the OpenTelemetry collector at URL (OTLP over HTTP), such as http://127.0.0.1:4318";

#[cfg(feature = "otlp")]
const OTLP_SERVICE: &str = "The program's `service.name` [default: OTEL_SERVICE_NAME or what OTEL_RESOURCE_ATTRIBUTES says]";

/// The process that a command is about.
#[derive(Debug, Args)]
pub struct Target {
    /// Process id
    #[arg(value_name = "PID", value_parser = pid, required_unless_present = "pid_flag")]
    pid: Option<i32>,
    /// The process id as an option
    #[arg(short, long = "pid", id = "pid_flag", value_name = "PID", value_parser = pid, conflicts_with = "pid")]
    pid_flag: Option<i32>,
}

impl Target {
    /// Its id.
    pub fn pid(&self) -> i32 {
        // clap lets neither both nor none pass.
        self.pid.or(self.pid_flag).unwrap_or_default()
    }
}

/// What a report contains and where it goes.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Debug, Args)]
pub struct Report {
    /// Print JSON (see `aiospy schema`): all that was read, or a `summary` of at most 10,000 bytes
    #[arg(short = 'j', long = "json", value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "full", conflicts_with_all = ["is_flat", "tree"])]
    pub json: Option<Detail>,
    /// Show who waits for whom, with the frames of each; `full` shows library frames, too
    #[arg(long, value_enum, value_name = "FRAMES", num_args = 0..=1, require_equals = true, default_missing_value = "own", conflicts_with = "is_flat")]
    tree: Option<Frames>,
    /// One block per task instead of a row for each group
    #[arg(long = "flat")]
    is_flat: bool,
    /// Show all findings with all their evidence
    #[arg(long = "all-findings")]
    pub has_evidence: bool,
    /// Include finished tasks that asyncio still knows
    #[arg(long = "finished")]
    pub has_finished: bool,
    /// Show the local variables of each frame
    #[arg(short = 'l', long = "locals")]
    has_locals: bool,
    /// Show passwords, tokens and the like in them, too
    #[arg(long = "show-secrets", requires = "has_locals")]
    has_secrets: bool,
    /// How much of a request is shown
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Show::Route)]
    pub show: Show,
    /// Show what loops and pools do, and the stacks of all threads
    #[arg(short = 't', long = "threads")]
    has_threads: bool,
    /// Show the stacks of all threads with the C functions they are in, to show which library a call
    /// hangs in. The process isn't paused, so running threads show none
    #[arg(short = 'n', long = "native")]
    pub has_native: bool,
    /// Don't show source lines
    #[arg(long = "no-source", action = clap::ArgAction::SetFalse)]
    pub has_source: bool,
    #[arg(help = LOOKS, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub looks: u8,
    /// Keep sampling for up to TIME while it is undecided whether something hangs [default: 5s on a
    /// terminal, else 0]
    #[arg(long, value_name = "TIME", value_parser = time_or_none)]
    pub wait: Option<Duration>,
    #[command(flatten)]
    pub output: Output,
    /// What the reading cost too; the switch is one of all commands.
    #[arg(skip)]
    pub is_verbose: bool,
}

impl Report {
    /// Whether more is asked for than a row for each of several processes has.
    pub fn is_in_detail(&self) -> bool {
        self.shape() != Shape::Screen || self.shows_threads() || self.is_verbose
    }

    /// Whether the stacks of threads are shown.
    pub fn shows_threads(&self) -> bool {
        self.has_threads || self.has_native
    }

    /// What is made of the tasks. Where local variables are asked for, or tasks that have ended, so
    /// is what shows them.
    pub fn shape(&self) -> Shape {
        let is_full = self.has_locals || self.has_finished;
        match self.tree {
            _ if self.is_flat => Shape::Flat,
            _ if is_full => Shape::Full,
            None => Shape::Screen,
            Some(Frames::Own) => Shape::Tree,
            Some(Frames::Full) => Shape::Full,
        }
    }

    /// Which local variables are read.
    pub fn locals(&self) -> Locals {
        match (self.has_locals, self.has_secrets) {
            (false, _) => Locals::Unread,
            (true, false) => Locals::WithoutSecrets,
            (true, true) => Locals::WithSecrets,
        }
    }
}

/// What of a request is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Show {
    /// Its route
    Route,
    /// Its path, too, without the query
    Path,
    /// Its path and the address of the client
    All,
}

impl From<Show> for aiospy::snapshot::Show {
    fn from(show: Show) -> Self {
        match show {
            Show::Route => Self::Route,
            Show::Path => Self::Path,
            Show::All => Self::All,
        }
    }
}

/// How much a document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Detail {
    /// What it comes to, in 10,000 bytes at most
    Summary,
    /// Everything
    Full,
}

/// Which frames a tree has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Frames {
    /// The program's own; those of libraries are counted
    Own,
    /// All of them
    Full,
}

/// How a target is watched, and what is told of it.
#[derive(Debug, Clone, Args)]
pub struct Watching {
    /// Print text [default on a terminal]
    #[arg(short = 't', long = "text", conflicts_with = "is_json")]
    is_text: bool,
    /// Print one line of JSON per event [default when piped]
    #[arg(short = 'j', long = "json")]
    is_json: bool,
    /// Light samples per second
    #[arg(short, long, value_name = "HZ", default_value_t = 1000.0, value_parser = rate)]
    pub rate: f64,
    /// Time between full samples; findings and wait reasons come from at most five per second
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub whole_every: Duration,
    /// Report callbacks that run longer than this
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = time)]
    pub threshold: Duration,
    /// Interval of loop statistics
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub interval: Duration,
    /// How long a group of tasks has to keep growing to be a leak
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub growth_over: Duration,
    /// How long a task has to be at the same await to be stuck, unless it is idle by design
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub stuck_after: Duration,
    /// Report requests that have been in flight for longer than this
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub slower: Duration,
    /// How long to watch [default: until the target ends]
    #[arg(short, long, value_name = "TIME", value_parser = time)]
    pub duration: Option<Duration>,
    #[arg(help = FAIL_ON, long, value_enum, default_value_t = FailOn::Never, value_name = "SEVERITY")]
    pub fail_on: FailOn,
    /// Run the shell command CMD for each finding that becomes a warning or worse, with the finding as JSON on its standard input
    #[arg(long, value_name = "CMD")]
    pub on_finding: Option<String>,
    /// Serve metrics for Prometheus at /metrics on ADDR, such as 127.0.0.1:9464, or :9464 for all interfaces
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
    #[cfg(feature = "otlp")]
    #[arg(help = OTLP, long, value_name = "URL", value_parser = collector)]
    pub otlp: Option<String>,
    #[cfg(feature = "otlp")]
    #[arg(help = OTLP_SERVICE, long, value_name = "NAME", requires = "otlp")]
    pub otlp_service: Option<String>,
    #[command(flatten)]
    pub allowing: Allowing,
    #[command(flatten)]
    pub output: Stream,
}

impl Watching {
    /// Whether events are text, where people read them or not.
    pub fn is_text(&self, for_people: bool) -> bool {
        self.is_text || for_people && !self.is_json
    }
}

/// What is made of samples, and where it goes.
#[derive(Debug, Clone, Args)]
pub struct Making {
    /// Write to FILE; - is standard output [default: a name made from process id and time]
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(long = "force")]
    pub replaces: bool,
    /// Format of the file [default: by the name of FILE]
    #[arg(short = 'f', long = "format", value_enum, value_name = "FORMAT")]
    kind: Option<FileKind>,
    #[command(flatten)]
    pub folding: Folding,
}

/// A kind of file: one of the formats, or a recording if there is none.
#[derive(Debug, Clone, Copy)]
struct FileKind(Option<Format>);

impl ValueEnum for FileKind {
    fn value_variants<'a>() -> &'a [Self] {
        use Format::{Chrome, Collapsed, Html, Speedscope, Svg};
        &[
            Self(None),
            Self(Some(Html)),
            Self(Some(Svg)),
            Self(Some(Speedscope)),
            Self(Some(Collapsed)),
            Self(Some(Chrome)),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let recording = "A recording, to be exported to any of the others";
        match self.0 {
            None => Some(PossibleValue::new("aiospy").help(recording)),
            Some(format) => format.to_possible_value(),
        }
    }
}

impl FileKind {
    /// What a file is by its name.
    fn of_name(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?.to_ascii_lowercase();
        Some(Self(Some(match name.rsplit_once('.')?.1 {
            "aiospy" => return Some(Self(None)),
            "html" | "htm" => Format::Html,
            "svg" => Format::Svg,
            "speedscope" => Format::Speedscope,
            "json" if name.contains("speedscope") => Format::Speedscope,
            "json" | "trace" => Format::Chrome,
            "collapsed" | "folded" | "txt" => Format::Collapsed,
            _ => return None,
        })))
    }
}

impl Making {
    /// The format that is asked for, by option or by name; a recording, if `None`.
    ///
    /// # Errors
    /// When the name of the file does not say which.
    pub fn format(
        &self,
        command: &'static str,
        default: Option<Format>,
    ) -> Result<Option<Format>, Mistake> {
        let by_name = || self.file.as_deref().map_or(Some(FileKind(default)), FileKind::of_name);
        let kind = self.kind.or_else(by_name);
        kind.map(|FileKind(format)| format).ok_or(Mistake {
            command,
            kind: ErrorKind::MissingRequiredArgument,
            words: "can't tell the format from the name of the file: use --format",
        })
    }
}

/// How files of a kind end.
pub fn ending(format: Option<Format>) -> &'static str {
    match format {
        None => "aiospy",
        Some(Format::Html) => "html",
        Some(Format::Svg) => "svg",
        Some(Format::Speedscope) => "speedscope.json",
        Some(Format::Collapsed) => "collapsed",
        Some(Format::Chrome) => "trace.json",
    }
}

/// A mistake in the options of a command that clap does not know of.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub struct Mistake {
    /// The command.
    pub command: &'static str,
    /// Of which kind it would be for clap.
    pub kind: ErrorKind,
    /// What it is.
    pub words: &'static str,
}

/// A time, or `0`.
pub fn time_or_none(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { time(text) }
}

/// How often in a second: above zero, at most ten thousand times.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 10_000.0 => Ok(rate),
        _ => Err("expected a rate above 0 and up to 10000".to_owned()),
    }
}

/// A process id: `4711` or `0x1267`.
pub fn pid(text: &str) -> Result<i32, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => i32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    match number {
        Ok(pid) if pid > 0 => Ok(pid),
        _ => Err("expected a process id, such as 1234".to_owned()),
    }
}

/// A number of bytes: `500000`, `20M`, `1.5G`.
pub fn size(text: &str) -> Result<u64, String> {
    let text = text.trim_end_matches(['b', 'B']).trim_end_matches('i');
    let units = [('k', 10), ('m', 20), ('g', 30), ('t', 40)];
    let unit = units.iter().find(|(unit, _)| text.to_ascii_lowercase().ends_with(*unit));
    let number = unit.map_or(text, |_| text.get(..text.len() - 1).unwrap_or_default());
    let number: f64 = number.trim().parse().map_err(|_error| NO_SIZE.to_owned())?;
    let size = number * f64::from(unit.map_or(0, |(_, power)| *power)).exp2();
    if !(1024.0..1e15).contains(&size) {
        return Err(NO_SIZE.to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was checked")]
    let size = size as u64;
    Ok(size)
}

const NO_SIZE: &str = "expected a size of a kilobyte or more, such as 500k, 20M or 1G";

/// The address of a collector.
///
/// # Errors
/// When it is none, or none that this build can send to.
#[cfg(feature = "otlp")]
pub fn collector(url: &str) -> Result<String, String> {
    let uri: ureq::http::Uri = url.parse().map_err(|_error| NO_URL.to_owned())?;
    let authority = uri.authority().ok_or(NO_URL)?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err("TLS is not built in: send to a collector near by".to_owned()),
        _ => return Err(NO_URL.to_owned()),
    }
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err("expected no credentials and no query in the URL of a collector".to_owned());
    }
    Ok(url.trim_end_matches('/').to_owned())
}

#[cfg(feature = "otlp")]
const NO_URL: &str = "expected the URL of a collector, such as http://127.0.0.1:4318";

/// The options of one command, as typed.
#[cfg(test)]
pub fn typed<T: Args>(line: &str) -> Result<T, clap::Error> {
    let command = T::augment_args(clap::Command::new("aiospy"));
    T::from_arg_matches(&command.try_get_matches_from(format!("aiospy {line}").split_whitespace())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_dash_is_standard_output() {
        let output = |line| typed::<Report>(line).unwrap().output.stream;
        assert_eq!(output("-o -").file(), None);
        assert_eq!(output("-o x.txt").file(), Some(Path::new("x.txt")));
    }

    #[test]
    fn pid_comes_as_argument_or_option_decimal_or_hex() {
        let pid = |line| typed::<Target>(line).map(|target| target.pid());
        assert_eq!(pid("4711").unwrap(), 4711);
        assert_eq!(pid("0x1267").unwrap(), 0x1267);
        assert_eq!(pid("-p 4711").unwrap(), 4711);
        assert_eq!(pid("--pid=0x10").unwrap(), 16);
        for bad in ["", "0", "-- -5", "12x", "1 -p 1", "99999999999"] {
            assert_eq!(pid(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("2000"), Ok(2000));
        assert_eq!(size("20M"), Ok(20 << 20));
        assert_eq!(size("1.5g"), Ok(3 << 29));
        assert_eq!(size("20 MiB"), Ok(20 << 20));
        for bad in ["", "M", "x", "12", "-3M", "1e30", "é"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[cfg(feature = "otlp")]
    #[test]
    fn only_what_can_be_sent_to_is_a_collector() {
        assert_eq!(collector("http://[::1]:4318/"), Ok("http://[::1]:4318".to_owned()));
        assert_eq!(collector("http://otel/a/b"), Ok("http://otel/a/b".to_owned()));
        for bad in ["", "otel:4318", "ftp://otel", "/v1/logs", "http://", "http://a b"] {
            assert_eq!(collector(bad), Err(NO_URL.to_owned()), "{bad}");
        }
        for bad in ["https://otel", "http://me:it@otel", "http://otel/?key=it"] {
            assert!(collector(bad).is_err_and(|it| it != NO_URL), "{bad}");
        }
    }
}
