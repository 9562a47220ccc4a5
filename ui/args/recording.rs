//! The options of `record`, `export` and `diff`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aiospy::recording::Limits;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, ValueEnum};

use super::{Color, Output, Raw, RawOutput, pid, rate, time};
use crate::flame::{Folding, Format, View};

/// Options of `record`.
#[derive(Debug)]
pub struct Record {
    /// What is recorded.
    pub target: Target,
    /// For how long; until the target ends, if `None`.
    pub duration: Option<Duration>,
    /// Samples a second.
    pub rate: f64,
    /// Where it goes; a name made of pid and time, if `None`; `-` is standard output.
    pub file: Option<PathBuf>,
    /// What is made of it.
    pub making: Making,
    /// How large a recording may get.
    pub limits: Limits,
}

/// A program to be looked at.
#[derive(Debug)]
pub enum Target {
    /// One that runs.
    Pid(i32),
    /// One that is started, with its arguments.
    Command(Vec<OsString>),
}

/// A kind of file, and how it is filled.
#[derive(Debug, Clone, Copy)]
pub struct Making {
    /// A recording, if `None`.
    pub format: Option<Format>,
    /// For stacks.
    pub folding: Folding,
    /// Whether a file that is there is replaced.
    pub replaces: bool,
}

/// Options of `export`.
#[derive(Debug)]
pub struct Export {
    /// The recording.
    pub recording: PathBuf,
    /// Where it goes; beside the recording, if `None`; `-` is standard output.
    pub file: Option<PathBuf>,
    /// What is made of it.
    pub format: Format,
    /// For stacks.
    pub folding: Folding,
    /// Whether a file that is there is replaced.
    pub replaces: bool,
}

/// Options of `replay`.
#[derive(Debug)]
pub struct Replay {
    /// The recording.
    pub recording: PathBuf,
    /// Whether the mouse is taken.
    pub has_mouse: bool,
    /// Whether only ASCII is drawn.
    pub is_ascii: bool,
    /// When to use colours.
    pub color: Color,
}

/// Options of `diff`.
#[derive(Debug)]
pub struct Diff {
    /// What was before.
    pub before: PathBuf,
    /// What is after it; the end of the same recording, if `None`.
    pub after: Option<PathBuf>,
    /// As JSON instead of text.
    pub is_json: bool,
    /// Where it goes.
    pub output: Output,
}

#[derive(Debug, Args)]
pub(super) struct RawRecord {
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
    making: RawMaking,
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

#[derive(Debug, Args)]
pub(super) struct RawMaking {
    /// Write to FILE; - is standard output [default: a name made of process id and time]
    #[arg(short, long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace FILE if it is there
    #[arg(long)]
    force: bool,
    /// What to write [default: as FILE is called]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    format: Option<RawFormat>,
    /// What stacks are of; the page html has all four
    #[arg(long, value_enum, value_name = "VIEW", default_value_t = View::Await)]
    by: View,
    /// Tell tasks apart whose names differ in a number
    #[arg(long)]
    per_task: bool,
}

#[derive(Debug, Args)]
pub(super) struct RawExport {
    /// A file that `aiospy record` has written
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    #[command(flatten)]
    making: RawMaking,
}

#[derive(Debug, Args)]
pub(super) struct RawReplay {
    /// A file that `aiospy record` has written
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    /// Leave the mouse to the terminal
    #[arg(long)]
    no_mouse: bool,
    /// Draw with ASCII only
    #[arg(long)]
    ascii: bool,
    #[arg(help = super::COLOR, long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

impl RawReplay {
    pub(super) fn checked(self) -> Replay {
        Replay {
            recording: self.recording,
            has_mouse: !self.no_mouse,
            is_ascii: self.ascii,
            color: self.color,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct RawDiff {
    /// A recording, or a dump: what `aiospy dump --json` has written
    #[arg(value_name = "A")]
    before: PathBuf,
    /// Another of the same program, later; without it, A is a recording and its end is compared
    #[arg(value_name = "B")]
    after: Option<PathBuf>,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    output: RawOutput,
}

/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RawFormat {
    /// A recording, to be exported to any of the others
    Aiospy,
    /// A page with everything, for a browser
    Html,
    /// A flame graph, for a browser
    Svg,
    /// For speedscope
    Speedscope,
    /// One line for each stack
    Collapsed,
    /// Trace events, for Perfetto
    Chrome,
}

impl RawFormat {
    /// What a file is by its name.
    fn of_name(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?.to_ascii_lowercase();
        let ending = name.rsplit_once('.')?.1;
        Some(match ending {
            "aiospy" => Self::Aiospy,
            "html" | "htm" => Self::Html,
            "svg" => Self::Svg,
            "speedscope" => Self::Speedscope,
            "json" if name.contains("speedscope") => Self::Speedscope,
            "json" | "trace" => Self::Chrome,
            "collapsed" | "folded" | "txt" => Self::Collapsed,
            _ => return None,
        })
    }

    fn format(self) -> Option<Format> {
        match self {
            Self::Aiospy => None,
            Self::Html => Some(Format::Html),
            Self::Svg => Some(Format::Svg),
            Self::Speedscope => Some(Format::Speedscope),
            Self::Collapsed => Some(Format::Collapsed),
            Self::Chrome => Some(Format::Chrome),
        }
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

impl RawMaking {
    /// The kind of file that is asked for, by option or by name.
    fn format(&self, command: &str, default: Option<RawFormat>) -> Result<RawFormat, clap::Error> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let named = self.output.as_deref().and_then(RawFormat::of_name);
        named.or(default.filter(|_| self.output.is_none())).ok_or_else(|| {
            mistake(
                command,
                ErrorKind::MissingRequiredArgument,
                "what to write is not to be told from the name of the file: say it with --format",
            )
        })
    }

    fn folding(&self) -> Folding {
        Folding { view: self.by, is_per_task: self.per_task }
    }
}

impl RawRecord {
    pub(super) fn checked(self) -> Result<Record, clap::Error> {
        let format = self.making.format("record", Some(RawFormat::Aiospy))?;
        let is_limited = self.max_size.is_some() || self.keep_last.is_some();
        let to_stdout = self.making.output.as_deref() == Some(Path::new("-"));
        if format == RawFormat::Aiospy && to_stdout {
            let words = "a recording cannot go to standard output: name a file";
            return Err(mistake("record", ErrorKind::ArgumentConflict, words));
        }
        if format != RawFormat::Aiospy && is_limited {
            let words = "--max-size and --keep-last are for recordings: record to FILE.aiospy, and \
                export that";
            return Err(mistake("record", ErrorKind::ArgumentConflict, words));
        }
        let target = match self.pid.or(self.pid_flag) {
            Some(pid) => Target::Pid(pid),
            None => Target::Command(self.command),
        };
        Ok(Record {
            target,
            duration: self.duration,
            rate: self.rate,
            making: Making {
                format: format.format(),
                folding: self.making.folding(),
                replaces: self.making.force,
            },
            file: self.making.output,
            limits: Limits { max_size: self.max_size, keep_last: self.keep_last },
        })
    }
}

impl RawExport {
    pub(super) fn checked(self) -> Result<Export, clap::Error> {
        let format = self.making.format("export", Some(RawFormat::Html))?.format();
        let Some(format) = format else {
            let words = "it is a recording already: export to one of the other formats";
            return Err(mistake("export", ErrorKind::ArgumentConflict, words));
        };
        Ok(Export {
            recording: self.recording,
            format,
            folding: self.making.folding(),
            replaces: self.making.force,
            file: self.making.output,
        })
    }
}

impl RawDiff {
    pub(super) fn checked(self) -> Diff {
        Diff {
            before: self.before,
            after: self.after,
            is_json: self.json,
            output: self.output.checked(),
        }
    }
}

/// A mistake that clap does not know of, told as it tells its own.
fn mistake(command: &str, kind: ErrorKind, words: &str) -> clap::Error {
    let mut all = Raw::command();
    all.build();
    match all.find_subcommand_mut(command) {
        Some(command) => command.error(kind, words),
        None => all.error(kind, words),
    }
}

/// A number of bytes: `500000`, `20M`, `1.5G`.
pub(super) fn size(text: &str) -> Result<u64, String> {
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

const NO_SIZE: &str = "not a size of a kilobyte or more: one like 500k, 20M or 1G is wanted";

#[cfg(test)]
mod tests {
    use super::super::{Command, Options, parse};
    use super::*;

    fn parsed(line: &str) -> Result<Options, clap::Error> {
        parse(line.split(' ').map(OsString::from))
    }

    fn recorded(line: &str) -> Record {
        match parsed(&format!("aiospy record {line}")).unwrap().command {
            Command::Record(record) => record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_follows_from_the_name() {
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
            assert_eq!(recorded(line).making.format, expected, "{line}");
        }
        for bad in [
            "1 -o a.what",
            "1 -o -",
            "1 -o - -f aiospy",
            "1 -o a.svg --keep-last 1m",
            "1 -f svg --max-size 1M",
            "1 --max-size 3",
            "",
            "1 -- python x.py",
        ] {
            let line = format!("aiospy record {bad}");
            assert_eq!(parsed(line.trim()).unwrap_err().exit_code(), 2, "{bad}");
        }
        assert_eq!(parsed("aiospy export a.aiospy -f aiospy").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_target_is_a_process_or_a_command() {
        assert!(matches!(recorded("0x10 -d 3s").target, Target::Pid(16)));
        let target = recorded("-r 50 -- python app.py -d").target;
        assert!(matches!(target, Target::Command(command) if command.len() == 3));
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
}
