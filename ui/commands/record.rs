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
use crate::commands::options::{Making, Mistake, ending, pid, rate, size, time};
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::reading::{by_any_id, limited};
use crate::commands::remedy;
use crate::commands::run;
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
#[derive(Debug, Args)]
pub struct Record {
    /// Process id, decimal or 0x…
    #[arg(value_name = "PID", value_parser = pid, required_unless_present_any = ["pid_flag", "command"])]
    pid: Option<i32>,
    /// The same as an option
    #[arg(short, long = "pid", id = "pid_flag", value_name = "PID", value_parser = pid, conflicts_with_all = ["pid", "command"])]
    pid_flag: Option<i32>,
    /// For how long [default: until Ctrl-C, or the target ends]
    #[arg(short, long, value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    /// Samples a second
    #[arg(short, long, value_name = "HZ", default_value_t = 100.0, value_parser = rate)]
    rate: f64,
    #[command(flatten)]
    making: Making,
    /// Largest size of the recording: it ends there, or drops its beginning with --keep-last
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Keep only the last of it, 10m for ten minutes: a flight recorder
    #[arg(long, value_name = "TIME", value_parser = time)]
    keep_last: Option<Duration>,
    /// A program to start and record, with its arguments, behind --
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "pid")]
    command: Vec<OsString>,
}

impl Record {
    /// The process; the command is to be started, if `None`.
    fn pid(&self) -> Option<i32> {
        self.pid.or(self.pid_flag)
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

/// Runs the command.
///
/// # Errors
/// When the options are at odds, the target cannot be attached to, or the file not be written.
pub fn run(options: &Record, patience: &Patience) -> anyhow::Result<Outcome> {
    let format = options.format()?;
    if let Some(pid) = options.pid() {
        let stop = watch::on_signals()?;
        let (_, done) = by_any_id(pid, |pid| {
            patience.guard(pid, Some(&stop));
            record(pid, options, format, &stop, patience)
        });
        return done.map(|()| Outcome::Done);
    }
    let stop = AtomicBool::new(false);
    let (done, status) =
        run::started(&options.command, |pid| record(pid, options, format, &stop, patience))?;
    match done {
        Err(error) if status.success() => Err(error),
        // What it says about its end is the program's own affair.
        _ => Ok(Outcome::Exit(run::code_of(status))),
    }
}

fn record(
    pid: i32,
    options: &Record,
    format: Option<Format>,
    stop: &AtomicBool,
    patience: &Patience,
) -> anyhow::Result<()> {
    let mut plan = patience.plan(options.rate, Duration::ZERO);
    plan.evidence_every = BETWEEN_EVIDENCE;
    plan.options.repeats = true;
    plan.waits_for_python = options.pid().is_none();
    let mut settings = Settings::default();
    settings.interval = BETWEEN_STATISTICS;
    settings.glances_from_whole = true;
    settings.follows = format.is_none_or(flame::has_events);
    if !settings.follows {
        plan.options.depth = Depth::Reasons;
    }
    let mut watcher = Watcher::new(plan, settings);
    let mut recorder = Recorder::new(pid, options, format);
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
    options: &'o Record,
    format: Option<Format>,
    file: PathBuf,
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
    fn new(pid: i32, options: &'o Record, format: Option<Format>) -> Self {
        let file = options.making.file.clone().unwrap_or_else(|| {
            let now = Zoned::now().strftime("%Y%m%d-%H%M%S");
            PathBuf::from(format!("aiospy-{pid}-{now}.{}", ending(format)))
        });
        Self {
            options,
            format,
            progress: Progress::new(pid, options.duration),
            file,
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
                if self.sink.is_none() && self.options.pid().is_some() {
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
        let period = Duration::try_from_secs_f64(1.0 / self.options.rate).unwrap_or_default();
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
        let making = &self.options.making;
        self.sink = Some(match self.format {
            None => {
                let file = output::create(&self.file, making.replaces)?;
                let limits =
                    Limits { max_size: self.options.max_size, keep_last: self.options.keep_last };
                let writer = Writer::begin(file, &self.file, limits);
                Sink::Recording(Box::new(writer.with_context(|| output::cannot_write(&self.file))?))
            }
            Some(format) => {
                let to = writer(&self.file, making.replaces)?;
                Sink::Export(flame::exporter(format, making.folding, to))
            }
        });
        self.progress.start(process, &self.file);
        Ok(())
    }

    fn finish(self, monitor: &Monitor, ended: Ended) -> anyhow::Result<()> {
        let size = match self.sink {
            Some(Sink::Recording(writer)) => {
                let size = writer.finish().with_context(|| output::cannot_write(&self.file))?;
                Some(size)
            }
            Some(Sink::Export(mut exporter)) => {
                // What still goes on is told as far as it has come.
                if let Some(now) = self.totals.ended {
                    for stretch in monitor.blocking() {
                        exporter.event(now, &Event::Blocked(stretch))?;
                    }
                }
                exporter.finish(&self.totals)?;
                std::fs::metadata(&self.file).ok().map(|facts| facts.len())
            }
            None => return Err(nothing_recorded(ended)),
        };
        if self.file.as_os_str() == "-" {
            return Ok(());
        }
        let why = match ended {
            Ended::Gone => "the process has ended: ",
            Ended::Asked if self.is_full => "the recording is as large as it may be: ",
            Ended::Asked => "",
        };
        let size = size.map(|size| format!(" ({})", words::bytes(size))).unwrap_or_default();
        let kept = self.options.keep_last.and_then(|_| kept(&self.file)).unwrap_or_default();
        let (taken, file) = (self.totals.words(), self.file.display());
        say(format_args!("{why}{taken}{kept} → {file}{size}"));
        if self.format.is_none() {
            let file = self.file.display();
            say(format_args!("see it with: aiospy export {file} -f html"));
        }
        Ok(())
    }
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
    Trouble::new(cause, "aiospy doctor PID, which tells what can be read of a process").into()
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
    fn a_target_is_a_process_or_a_command() {
        let recorded = |line| typed::<Record>(line).unwrap();
        assert_eq!(recorded("0x10 -d 3s").pid(), Some(16));
        let started = recorded("-r 50 -- python app.py -d");
        assert!(started.pid().is_none() && started.command.len() == 3);
    }
}
