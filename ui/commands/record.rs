//! `aiospy record PID`: all samples of a while, to a recording or, as they come, to a flame graph,
//! a page or a trace.

mod progress;

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aiospy::recording::{Limits, Recording, Taken, Writer, Written};
use aiospy::snapshot::{Depth, Process, Snapshot};
use aiospy::watch::monitor::{Event, Monitor, Settings};
use aiospy::watch::sampler::{Ended, Sample};
use aiospy::watch::{News, Watcher};
use anyhow::Context as _;
use clap::Args;
use clap::error::ErrorKind;
use jiff::{Timestamp, Zoned};

use self::progress::Progress;
use crate::commands::crew::{self, Part, Said};
use crate::commands::options::{Making, Mistake, ending, pid, rate, size, time};
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::reading::{by_any_id, limited};
use crate::commands::remedy;
use crate::commands::run;
use crate::commands::targets::{Choice, Chosen, Several};
use crate::commands::watch;
use crate::flame::{self, Exporter, Format, Totals};
use crate::io::output::{self, note, say};
use crate::io::trouble::Trouble;
use crate::report::text::words;

/// The time between two looks at what only findings rest on: it costs more than the rest.
const BETWEEN_EVIDENCE: Duration = Duration::from_secs(1);
/// A recording tells so often how the loops do.
const BETWEEN_STATISTICS: Duration = Duration::from_secs(1);

/// Options of `record`.
#[derive(Debug, Clone, Args)]
pub struct Record {
    /// Process ids; with several processes each has a file of its own, with its id in the name
    #[arg(value_name = "PID", value_parser = pid, required_unless_present_any = ["pid_flag", "name", "is_all", "command"], conflicts_with_all = ["name", "is_all"])]
    pid: Vec<i32>,
    /// A process id as an option
    #[arg(short, long = "pid", id = "pid_flag", value_name = "PID", value_parser = pid, conflicts_with_all = ["pid", "name", "is_all", "command"])]
    pid_flag: Vec<i32>,
    #[command(flatten)]
    choice: Choice,
    /// How long to record [default: until Ctrl-C or the target ends]
    #[arg(short, long, value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    /// Samples per second; several processes share them
    #[arg(short, long, value_name = "HZ", default_value_t = 100.0, value_parser = rate)]
    rate: f64,
    #[command(flatten)]
    making: Making,
    /// Largest size of the recording: it stops there, or drops its beginning with --keep-last
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Keep only the last TIME, such as 10m: a flight recorder
    #[arg(long, value_name = "TIME", value_parser = time)]
    keep_last: Option<Duration>,
    /// A program to start and record, with its arguments, after --
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["pid", "name", "is_all", "has_subprocesses"])]
    command: Vec<OsString>,
}

impl Record {
    /// The processes; none, if the command is to be started.
    ///
    /// # Errors
    /// When none matches, or more than the one that is wanted.
    fn choose(&self) -> anyhow::Result<Option<Chosen>> {
        if !self.command.is_empty() {
            return Ok(None);
        }
        self.choice.choose(&[&self.pid[..], &self.pid_flag].concat(), "record").map(Some)
    }

    /// The format that is asked for, if what else is asked for goes with it; a recording, if
    /// `None`.
    fn format(&self) -> Result<Option<Format>, Mistake> {
        let format = self.making.format("record", None)?;
        let is_limited = self.max_size.is_some() || self.keep_last.is_some();
        let words = if format.is_none() && self.making.file.as_deref() == Some(Path::new("-")) {
            "a recording cannot go to standard output: name a file"
        } else if format.is_some() && is_limited {
            "--max-size and --keep-last are for recordings: record to FILE.aiospy, and export that"
        } else {
            return Ok(format);
        };
        Err(Mistake { command: "record", kind: ErrorKind::ArgumentConflict, words })
    }
}

/// Each of several has a file of its own.
const ONE_OUTPUT: Mistake = Mistake {
    command: "record",
    kind: ErrorKind::ArgumentConflict,
    words: "of several processes each has a file of its own: name one, and it gets their ids",
};

/// What is recorded how.
struct Order<'o> {
    pid: i32,
    options: &'o Record,
    format: Option<Format>,
    /// Samples a second.
    rate: f64,
    file: PathBuf,
    /// Whether we have started it: its Python may not be there yet.
    is_ours: bool,
    /// Whether it is one of several.
    is_member: bool,
}

impl<'o> Order<'o> {
    /// That of one process, by itself.
    fn of_one(pid: i32, options: &'o Record, format: Option<Format>) -> Self {
        let (rate, is_ours) = (options.rate, !options.command.is_empty());
        let file = options.making.file.clone().unwrap_or_else(|| named(pid, format));
        Self { pid, options, format, rate, file, is_ours, is_member: false }
    }

    /// That of one of several, which share the rate.
    fn of_member(pid: i32, options: &'o Record, format: Option<Format>, rate: f64) -> Self {
        let file = options.making.file.as_deref().map(|file| with_id(file, pid));
        let file = file.unwrap_or_else(|| named(pid, format));
        Self { pid, options, format, rate, file, is_ours: false, is_member: true }
    }
}

/// The name of a file that was not given one.
fn named(pid: i32, format: Option<Format>) -> PathBuf {
    let now = Zoned::now().strftime("%Y%m%d-%H%M%S");
    PathBuf::from(format!("aiospy-{pid}-{now}.{}", ending(format)))
}

/// `x.aiospy` for one of several: `x-4711.aiospy`.
fn with_id(file: &Path, pid: i32) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let (stem, ending) = name.split_once('.').unwrap_or((&name, ""));
    let dot = if ending.is_empty() { "" } else { "." };
    file.with_file_name(format!("{stem}-{pid}{dot}{ending}"))
}

/// Runs the command.
///
/// # Errors
/// When the options are at odds, the target cannot be attached to, or the file not be written.
pub fn run(options: &Record, patience: &Patience) -> anyhow::Result<Outcome> {
    let format = options.format()?;
    match options.choose()? {
        Some(Chosen::One(pid)) => {
            let stop = watch::on_signals()?;
            let (_, done) = by_any_id(pid, |pid| {
                patience.guard(pid, Some(&stop));
                record(Order::of_one(pid, options, format), &stop, patience)
            });
            return done.map(|_| Outcome::Done);
        }
        Some(Chosen::Several(several)) => {
            record_each(&several, options, format, patience)?;
            return Ok(Outcome::Done);
        }
        None => {}
    }
    let stop = AtomicBool::new(false);
    let (done, status) = run::started(&options.command, |pid| {
        record(Order::of_one(pid, options, format), &stop, patience)
    })?;
    match done {
        Err(error) if status.success() => Err(error),
        // What it says about its end is the program's own affair.
        _ => Ok(Outcome::Exit(run::code_of(status))),
    }
}

/// Records each of several to a file of its own.
fn record_each(
    several: &Several,
    options: &Record,
    format: Option<Format>,
    patience: &Patience,
) -> anyhow::Result<()> {
    if options.making.file.as_deref() == Some(Path::new("-")) {
        return Err(ONE_OUTPUT.into());
    }
    let stop = watch::on_signals()?;
    let rate = crew::share(options.rate, several.pids().len());
    let (own, timeout) = (options.clone(), patience.timeout);
    let record = move |part: &Part<(), Option<PathBuf>>| {
        let order = Order::of_member(part.pid, &own, format, rate);
        record(order, part.over(), &Patience::new(timeout))
    };
    let start = Instant::now();
    let is_over = || options.duration.is_some_and(|duration| start.elapsed() >= duration);
    let is_asked = || stop.load(Ordering::Relaxed) || is_over();
    let mut file = None;
    crew::each(several, &is_asked, record, &mut |said| {
        if let Said::Ended(Some(written)) = said {
            file = file.take().or(Some(written));
        }
        Ok(())
    })?;
    if let Some(file) = file.filter(|_| format.is_none()) {
        say_how_to_see(&file);
    }
    Ok(())
}

/// Records a process until it ends, `stop` is set or the time is over; gives the file.
fn record(
    order: Order<'_>,
    stop: &AtomicBool,
    patience: &Patience,
) -> anyhow::Result<Option<PathBuf>> {
    let (pid, options) = (order.pid, order.options);
    let mut plan = patience.plan(order.rate, Duration::ZERO);
    plan.evidence_every = BETWEEN_EVIDENCE;
    plan.options.repeats = true;
    plan.waits_for_python = order.is_ours;
    let mut settings = Settings::default();
    settings.interval = BETWEEN_STATISTICS;
    settings.glances_from_whole = true;
    settings.follows = order.format.is_none_or(flame::has_events);
    if !settings.follows {
        plan.options.depth = Depth::Reasons;
    }
    let mut watcher = Watcher::new(plan, settings);
    let mut recorder = Recorder::new(order);
    let start = Instant::now();
    let is_over = || options.duration.is_some_and(|duration| start.elapsed() >= duration);
    let is_asked = || stop.load(Ordering::Relaxed) || is_over();
    let ended = watcher.run(pid, &is_asked, &mut |news| {
        let done = recorder.take(news);
        recorder.progress.show(&recorder.totals, recorder.tasks, recorder.size());
        done
    });
    recorder.progress.clear();
    recorder.finish(watcher.monitor(), ended?)
}

/// Where samples go.
enum Sink {
    Recording(Box<Writer>),
    Export(Box<dyn Exporter>),
}

struct Recorder<'o> {
    order: Order<'o>,
    sink: Option<Sink>,
    totals: Totals,
    /// When the last sample was taken, if nothing came between.
    last: Option<Timestamp>,
    missed: u64,
    tasks: usize,
    is_full: bool,
    progress: Progress,
}

impl<'o> Recorder<'o> {
    fn new(order: Order<'o>) -> Self {
        Self {
            progress: Progress::new(order.pid, order.options.duration, order.is_member),
            order,
            sink: None,
            totals: Totals::default(),
            last: None,
            missed: 0,
            tasks: 0,
            is_full: false,
        }
    }

    /// The bytes written so far, where that is told.
    fn size(&self) -> Option<u64> {
        match &self.sink {
            Some(Sink::Recording(writer)) => Some(writer.size()),
            _ => None,
        }
    }

    /// Ends when there is no more room.
    fn take(&mut self, news: News<'_>) -> anyhow::Result<ControlFlow<()>> {
        let News { sample, events, monitor } = news;
        match sample {
            Sample::Whole(snapshot) => {
                if self.sink.is_none() {
                    self.open(&snapshot.process)?;
                }
                self.note(snapshot, monitor)?;
            }
            Sample::Glance(_) => {}
            Sample::Attached(_) => self.last = None,
            Sample::Missed(missed) => self.missed += missed,
            Sample::Limited(rate) => {
                self.progress.clear();
                note(limited(*rate));
            }
            Sample::Unreadable(error) => {
                if self.sink.is_none() && !self.order.is_ours {
                    return Err(remedy::of(error).into());
                }
                self.last = None;
                self.progress.clear();
                note(format_args!("nothing is recorded now: {}", remedy::of(error).cause));
            }
        }
        let now = monitor.last().map_or_else(Timestamp::now, |last| last.taken_at);
        for event in events {
            match &mut self.sink {
                Some(Sink::Recording(writer)) => {
                    self.is_full |= writer.event(now, event)? == Written::Full;
                }
                Some(Sink::Export(exporter)) => exporter.event(now, &event)?,
                None => {}
            }
        }
        Ok(if self.is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn note(&mut self, snapshot: &Snapshot, monitor: &Monitor) -> anyhow::Result<()> {
        let missed = std::mem::take(&mut self.missed);
        self.tasks = snapshot.tasks.len();
        self.totals.note(snapshot, missed);
        let period = Duration::try_from_secs_f64(1.0 / self.order.rate).unwrap_or_default();
        let weight = weight(self.last, snapshot.taken_at, period);
        self.last = Some(snapshot.taken_at);
        match &mut self.sink {
            Some(Sink::Recording(writer)) => {
                let blocking = monitor.blocking();
                if let Some(taken) = Taken::of(monitor, &blocking, missed) {
                    self.is_full |= writer.sample(&taken)? == Written::Full;
                }
            }
            Some(Sink::Export(exporter)) => exporter.sample(flame::Sample { snapshot, weight })?,
            None => {}
        }
        Ok(())
    }

    /// Makes the file: only now, when there is something to write, and before the work is done.
    fn open(&mut self, process: &Process) -> anyhow::Result<()> {
        let Order { options, file: path, format, .. } = &self.order;
        let making = &options.making;
        self.sink = Some(match *format {
            None => {
                let file = output::create(path, making.replaces)?;
                let limits = Limits { max_size: options.max_size, keep_last: options.keep_last };
                let writer = Writer::begin(file, path, limits);
                Sink::Recording(Box::new(writer.with_context(|| output::cannot_write(path))?))
            }
            Some(format) => {
                let to = writer(path, making.replaces)?;
                Sink::Export(flame::exporter(format, making.folding, to))
            }
        });
        self.progress.start(process, path);
        Ok(())
    }

    /// Ends it, and says what came of it.
    fn finish(self, monitor: &Monitor, ended: Ended) -> anyhow::Result<Option<PathBuf>> {
        let Order { pid, options, file, format, is_member, .. } = self.order;
        let size = match self.sink {
            Some(Sink::Recording(writer)) => {
                Some(writer.finish().with_context(|| output::cannot_write(&file))?)
            }
            Some(Sink::Export(mut exporter)) => {
                // What still goes on is told as far as it has come.
                if let Some(now) = self.totals.ended {
                    for stretch in monitor.blocking() {
                        exporter.event(now, &Event::Blocked(stretch))?;
                    }
                }
                exporter.finish(&self.totals)?;
                std::fs::metadata(&file).ok().map(|facts| facts.len())
            }
            // What others come to is not for it to say.
            None if is_member => return Ok(None),
            None => return Err(nothing_recorded(ended)),
        };
        if file.as_os_str() == "-" {
            return Ok(None);
        }
        let why = match ended {
            Ended::Gone => "the process has ended: ",
            Ended::Asked if self.is_full => "the recording is as large as it may be: ",
            Ended::Asked => "",
        };
        let whose = if is_member { format!("process {pid}: ") } else { String::new() };
        let size = size.map(|size| format!(" ({})", words::bytes(size))).unwrap_or_default();
        let kept = options.keep_last.and_then(|_| kept(&file)).unwrap_or_default();
        let taken = self.totals.words();
        say(format_args!("{whose}{why}{taken}{kept} → {}{size}", file.display()));
        if format.is_none() && !is_member {
            say_how_to_see(&file);
        }
        Ok(Some(file))
    }
}

fn say_how_to_see(file: &Path) {
    say(format_args!("see it with: aiospy export {} -f html", file.display()));
}

/// How much of it a recording still has of which only the last part is kept.
fn kept(file: &Path) -> Option<String> {
    let recording = Recording::open(file).ok()?;
    let moments = recording.moments();
    let time = moments.last()?.duration_since(*moments.first()?);
    let time = words::duration(Duration::try_from(time).ok()?);
    Some(format!(", the last {} ({time}) kept", words::count(moments.len())))
}

/// That there was not a single sample.
fn nothing_recorded(ended: Ended) -> anyhow::Error {
    let when = match ended {
        Ended::Gone => "before the process ended",
        Ended::Asked => "in that time",
    };
    let cause = format!("there was nothing to record {when}");
    Trouble::new(cause, "aiospy doctor PID, which shows what can be read of a process").into()
}

/// The time that a sample stands for: that since the one before it.
pub fn weight(before: Option<Timestamp>, now: Timestamp, period: Duration) -> Duration {
    let since = before.and_then(|before| Duration::try_from(now.duration_since(before)).ok());
    since.unwrap_or(period)
}

/// A file to be written, or standard output.
///
/// # Errors
/// When it cannot be made.
pub fn writer(file: &Path, replaces: bool) -> anyhow::Result<Box<dyn Write>> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    Ok(Box::new(BufWriter::with_capacity(1 << 16, output::create(file, replaces)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::options::typed;

    #[test]
    fn what_is_written_follows_from_the_name() {
        let format = |line: &str| anyhow::Ok(typed::<Record>(line)?.format()?);
        for (line, expected) in [
            ("1", None),
            ("1 -o x.aiospy", None),
            ("1 -o a.svg", Some(Format::Svg)),
            ("1 -o a.HTML", Some(Format::Html)),
            ("1 -o a.speedscope.json", Some(Format::Speedscope)),
            ("1 -o a.json", Some(Format::Chrome)),
            ("1 -o a.folded", Some(Format::Collapsed)),
            ("1 -o a.svg -f collapsed", Some(Format::Collapsed)),
            ("1 -o - -f collapsed", Some(Format::Collapsed)),
        ] {
            assert_eq!(format(line).unwrap(), expected, "{line}");
        }
        for bad in ["1 --max-size 3", "", "1 -- python x.py"] {
            let error = format(bad).unwrap_err().downcast::<clap::Error>().unwrap();
            assert_eq!(error.exit_code(), 2, "{bad}");
        }
        for bad in [
            "1 -o a.what",
            "1 -o -",
            "1 -o - -f aiospy",
            "1 -o a.svg --keep-last 1m",
            "1 -f svg --max-size 1M",
        ] {
            assert!(format(bad).unwrap_err().is::<Mistake>(), "{bad}");
        }
    }

    #[test]
    fn a_target_is_a_process_or_several_or_a_command() {
        let chosen = |line: &str| typed::<Record>(line).unwrap().choose().unwrap();
        assert_eq!(chosen("0x10 -d 3s"), Some(Chosen::One(16)));
        let none = i32::MAX;
        let pids = format!("{none} {}", none - 1);
        for line in [format!("-s {none}"), pids.clone(), format!("-p {none} -p {}", none - 1)] {
            assert!(matches!(chosen(&line), Some(Chosen::Several(_))), "{line}");
        }
        assert_eq!(chosen("-r 50 -- python app.py -d"), None);
        for bad in ["-s -- python app.py", "1 --all", "--name x -- python app.py", "-s"] {
            assert_eq!(typed::<Record>(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn files_of_several_have_their_ids() {
        let with_id = |file: &str| with_id(Path::new(file), 7).display().to_string();
        assert_eq!(with_id("/tmp/x.y/all.aiospy"), "/tmp/x.y/all-7.aiospy");
        assert_eq!(with_id("a.speedscope.json"), "a-7.speedscope.json");
        assert_eq!(with_id("a"), "a-7");
        let options = typed::<Record>("-s 1 -o - -f collapsed").unwrap();
        let several = Several { named: vec![1], is_by_id: true, has_subprocesses: true };
        let patience = Patience::new(Duration::from_secs(1));
        let error = record_each(&several, &options, Some(Format::Collapsed), &patience);
        assert!(error.unwrap_err().is::<Mistake>());
    }
}
