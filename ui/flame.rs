//! Where time goes, as weighted stacks and time lines: from samples to files that other tools
//! open.
//!
//! A sample stands for the time since the one before it. Nothing of it is kept: each format adds
//! it to what it has, so that memory does not grow with the length of a recording.

pub mod chrome;
pub mod collapsed;
pub mod fold;
pub mod html;
pub mod speedscope;
pub mod state;
pub mod svg;
pub mod timeline;
pub mod tree;

use std::io::Write;
use std::time::Duration;

use aiospy::snapshot::{Process, Snapshot};
use aiospy::watch::monitor::Event;
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::io::time::time;

/// What stacks are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// Wall time of all tasks, by await chain
    Await,
    /// The same, by what the task does or waits for first
    State,
    /// What the threads of the event loops run
    Loop,
    /// What all threads run while they are on a processor
    Cpu,
    /// Wall time of requests and jobs, by route or name; each counts once, whatever tasks it has
    Request,
}

impl View {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Await, Self::State, Self::Loop, Self::Cpu, Self::Request];

    /// What it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Await => "await",
            Self::State => "state",
            Self::Loop => "loop",
            Self::Cpu => "cpu",
            Self::Request => "request",
        }
    }

    /// What the time in it is.
    pub fn about(self) -> &'static str {
        match self {
            Self::Await => "wall time of all tasks by await chain",
            Self::State => "wall time of all tasks by what they do or wait for",
            Self::Loop => "what the event loops' threads run",
            Self::Cpu => "what all threads run on a processor",
            Self::Request => "wall time of requests and jobs by route or name",
        }
    }
}

/// A kind of file that is not a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
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

/// How samples are turned to stacks.
#[derive(Debug, Clone, Copy, Args)]
pub struct Folding {
    /// What the stacks show; the HTML page has all
    #[arg(long = "by", value_enum, value_name = "VIEW", default_value_t = View::Await)]
    pub view: View,
    /// Keep tasks apart whose names differ only in a number
    #[arg(long = "per-task")]
    pub is_per_task: bool,
    /// Only requests and jobs that have taken longer than this, with `--by request`
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub slower: Option<Duration>,
}

/// A sample with the time it stands for.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'s> {
    /// What was read.
    pub snapshot: &'s Snapshot,
    /// The time since the sample before it.
    pub weight: Duration,
}

/// What all samples come to.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// The process, as it was first.
    pub process: Option<Process>,
    /// When the first sample was taken.
    pub began: Option<Timestamp>,
    /// When the last one was.
    pub ended: Option<Timestamp>,
    /// How many there are.
    pub samples: u64,
    /// How many had no time.
    pub missed: u64,
}

impl Totals {
    /// Takes in a sample.
    pub fn note(&mut self, snapshot: &Snapshot, missed: u64) {
        self.process.get_or_insert_with(|| snapshot.process.clone());
        self.began.get_or_insert(snapshot.taken_at);
        self.ended = Some(snapshot.taken_at);
        self.samples += 1;
        self.missed += missed;
    }

    /// The process in a few words: `4711 python app.py`.
    pub fn target(&self) -> String {
        let Some(process) = &self.process else { return "no process".to_owned() };
        let command: String = process.cmdline.join(" ").chars().take(100).collect();
        format!("{} {command}", process.pid)
    }

    /// From the first sample to the last.
    pub fn time(&self) -> Duration {
        let time = self.began.zip(self.ended).map(|(began, ended)| ended.duration_since(began));
        time.and_then(|time| Duration::try_from(time).ok()).unwrap_or_default()
    }

    /// What was measured, in a line.
    pub fn words(&self) -> String {
        let missed = match self.missed {
            0 => String::new(),
            missed => format!(", {missed} missed"),
        };
        let time = crate::report::text::words::duration(self.time());
        format!("{} samples in {time}{missed}", self.samples)
    }
}

/// Makes a file of samples.
pub trait Exporter {
    /// Takes in a sample.
    ///
    /// # Errors
    /// Those of the file.
    fn sample(&mut self, sample: Sample<'_>) -> anyhow::Result<()>;

    /// Takes in something that happened.
    ///
    /// # Errors
    /// Those of the file.
    fn event(&mut self, _at: Timestamp, _event: &Event) -> anyhow::Result<()> {
        Ok(())
    }

    /// Writes what is not written yet.
    ///
    /// # Errors
    /// Those of the file.
    fn finish(self: Box<Self>, totals: &Totals) -> anyhow::Result<()>;
}

/// One that makes a file of a format.
pub fn exporter(format: Format, folding: Folding, to: Box<dyn Write>) -> Box<dyn Exporter> {
    match format {
        Format::Svg => Box::new(svg::Svg::new(folding, to)),
        Format::Html => Box::new(html::Html::new(folding, to)),
        Format::Speedscope => Box::new(speedscope::Speedscope::new(folding, to)),
        Format::Collapsed => Box::new(collapsed::Collapsed::new(folding, to)),
        Format::Chrome => Box::new(chrome::Chrome::new(folding, to)),
    }
}

/// Whether a format shows more than stacks: findings, callbacks that block.
pub fn has_events(format: Format) -> bool {
    matches!(format, Format::Html | Format::Chrome)
}

/// A time in whole microseconds.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
