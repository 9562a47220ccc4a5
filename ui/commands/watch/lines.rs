//! The events of `watch` as lines of JSON, `aiospy.watch/1` (see `schema.json`).

use std::time::Duration;

use std::borrow::Cow;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Age, BlockingKind, Finding, Location, Occupation, Origin, Process, Sentence, Severity,
};
use aiospy::timeline::{Fate, History, Slow, Stretch};
use aiospy::watch::monitor::{Event, Monitor, Statistics, Summary, Tracked};
use aiospy::watch::sampler::Ended;
use jiff::Timestamp;
use serde::Serialize;

use crate::report::json;

/// The name and version of the JSON shape.
const SCHEMA: &str = "aiospy.watch/1";

/// An event as JSON.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventLine<'a> {
    Start {
        schema: &'static str,
        tool: json::Tool,
        #[serde(serialize_with = "json::as_instant")]
        at: Timestamp,
        process: &'a Process,
        rate: f64,
        threshold_ms: u64,
    },
    Reattached {
        #[serde(serialize_with = "json::as_instant")]
        at: Timestamp,
    },
    FindingOpened(FindingLine<'a>),
    FindingUpdated(FindingLine<'a>),
    FindingClosed(FindingLine<'a>),
    Blocking(BlockingLine<'a>),
    Cancellation(CancellationLine<'a>),
    RequestSlow(SlowLine<'a>),
    Statistics(&'a Statistics),
    Unreadable {
        #[serde(serialize_with = "json::as_instant")]
        at: Timestamp,
        cause: &'a str,
    },
    End {
        #[serde(serialize_with = "json::as_instant")]
        at: Timestamp,
        reason: &'static str,
        open: Vec<FindingLine<'a>>,
        #[serde(flatten)]
        summary: &'a Summary,
    },
}

impl<'a> EventLine<'a> {
    /// The first one.
    pub fn start(process: &'a Process, rate: f64, threshold: Duration) -> Self {
        Self::Start {
            schema: SCHEMA,
            tool: json::Tool::this(),
            at: Timestamp::now(),
            process,
            rate,
            threshold_ms: u64::try_from(threshold.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// An event.
    pub fn of(event: &'a Event) -> Self {
        let at = Timestamp::now();
        match event {
            Event::Reattached => Self::Reattached { at },
            Event::Opened(tracked) => Self::FindingOpened(FindingLine::of(tracked)),
            Event::Updated(tracked) => Self::FindingUpdated(FindingLine::of(tracked)),
            Event::Closed(tracked) => Self::FindingClosed(FindingLine::over(tracked)),
            Event::Blocked(stretch) => Self::blocking(stretch),
            Event::Cancelled(history) => Self::Cancellation(CancellationLine::of(history)),
            Event::Slow(slow) => Self::RequestSlow(SlowLine::of(slow)),
            Event::Statistics(statistics) => Self::Statistics(statistics),
            Event::Unreadable(cause) => Self::Unreadable { at, cause },
        }
    }

    /// A callback that blocked its loop, or does so still.
    pub fn blocking(stretch: &'a Stretch) -> Self {
        Self::Blocking(BlockingLine::of(stretch))
    }

    /// The last one.
    pub fn end(monitor: &'a Monitor, summary: &'a Summary, ended: Ended) -> Self {
        let reason = match ended {
            Ended::Gone => "target-ended",
            Ended::Asked => "stopped",
        };
        let open = monitor.open().iter().map(FindingLine::of).collect();
        Self::End { at: Timestamp::now(), reason, open, summary }
    }
}

/// How far a cancellation is.
#[derive(Serialize)]
pub struct CancellationLine<'a> {
    #[serde(serialize_with = "json::as_instant")]
    at: Timestamp,
    task: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coroutine: Option<&'a str>,
    fate: Fate,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<FrameLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<u64>,
    #[serde(serialize_with = "json::as_instant")]
    began_at: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    before_sampling: bool,
}

impl<'a> CancellationLine<'a> {
    fn of(history: &'a History) -> Self {
        let (first, last) = (history.turns.first(), history.turns.last());
        let now = Timestamp::now();
        Self {
            at: last.map_or(now, |turn| turn.at),
            task: history.task,
            name: history.name.as_deref(),
            coroutine: history.coroutine.as_deref(),
            fate: last.map_or(Fate::Requested, |turn| turn.fate),
            place: last.and_then(|turn| turn.place.as_deref()).map(FrameLine::of),
            requests: history.requests,
            began_at: first.map_or(now, |turn| turn.at),
            before_sampling: last.is_some_and(|turn| turn.is_earlier),
        }
    }
}

/// Requests that take long.
#[derive(Serialize)]
pub struct SlowLine<'a> {
    #[serde(serialize_with = "json::as_instant")]
    at: Timestamp,
    count: usize,
    label: String,
    age: Age,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<FrameLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
    tasks: &'a [Address],
}

impl<'a> SlowLine<'a> {
    fn of(slow: &'a Slow) -> Self {
        Self {
            at: slow.at,
            count: slow.count,
            label: slow.work.to_string(),
            age: slow.age,
            place: slow.place.as_deref().map(FrameLine::of),
            waits_for: slow.waiting.as_deref(),
            trace: slow.work.trace.as_deref(),
            tasks: &slow.tasks,
        }
    }
}

/// A finding with its history.
#[derive(Serialize)]
pub struct FindingLine<'a> {
    #[serde(serialize_with = "json::as_instant")]
    at: Timestamp,
    number: u64,
    #[serde(serialize_with = "json::as_instant")]
    opened_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity_before: Option<Severity>,
    finding: Cow<'a, Finding>,
}

impl<'a> FindingLine<'a> {
    fn of(tracked: &'a Tracked) -> Self {
        Self {
            at: tracked.seen_at,
            number: tracked.number,
            opened_at: tracked.opened_at,
            severity_before: tracked.was,
            finding: Cow::Borrowed(&tracked.finding),
        }
    }

    /// One that is over, which its title says.
    fn over(tracked: &'a Tracked) -> Self {
        let title = Sentence::words(title_when_over(tracked));
        let finding = Cow::Owned(Finding { title, ..tracked.finding.clone() });
        Self { finding, ..Self::of(tracked) }
    }
}

/// What a finding that is over says, with when it was seen last.
pub fn title_when_over(tracked: &Tracked) -> String {
    tracked.finding.title.over(&tracked.seen_at.strftime("%H:%M:%SZ").to_string())
}

/// A callback that blocked its loop.
#[derive(Serialize)]
pub struct BlockingLine<'a> {
    #[serde(serialize_with = "json::as_instant")]
    at: Timestamp,
    length_ms: f64,
    uncertainty_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    processor_wait_ms: Option<f64>,
    #[serde(rename = "loop")]
    loop_id: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<i32>,
    kind: BlockingKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    samples: u32,
    stacks: Vec<StackLine<'a>>,
}

#[derive(Serialize)]
struct StackLine<'a> {
    samples: u32,
    kind: BlockingKind,
    frames: Vec<FrameLine<'a>>,
}

#[derive(Serialize)]
struct FrameLine<'a> {
    function: &'a str,
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    origin: Origin,
}

impl<'a> FrameLine<'a> {
    fn of(at: &'a Location) -> Self {
        Self { function: &at.function, file: &at.file, line: at.line, origin: at.origin }
    }
}

impl<'a> BlockingLine<'a> {
    fn of(stretch: &'a Stretch) -> Self {
        let work = stretch.work.as_deref();
        let is_starved = stretch.kind() == BlockingKind::Starved;
        let frames = |work: &'a Occupation| work.stack.iter().map(|at| FrameLine::of(at)).collect();
        let stacks = stretch.stacks.iter().map(|(work, samples)| StackLine {
            samples: *samples,
            // What each sample saw was runnable; that it did not run shows only in all of it.
            kind: if is_starved { BlockingKind::Starved } else { work.kind },
            frames: frames(work),
        });
        Self {
            at: stretch.began_at,
            length_ms: json::ms(stretch.length),
            uncertainty_ms: json::ms(stretch.uncertainty),
            processor_wait_ms: stretch.waited.map(json::ms),
            loop_id: stretch.loop_id,
            thread: stretch.thread,
            kind: stretch.kind(),
            description: work.map(|work| work.description.as_str()),
            peer: work.and_then(|work| work.peer.as_deref()),
            handle: work.and_then(|work| work.handle.as_deref()),
            task: work.and_then(|work| work.task),
            label: work.and_then(|work| work.label.as_deref()),
            samples: stretch.samples,
            stacks: stacks.collect(),
        }
    }
}
