//! One page with everything, that needs nothing else: all views as flame graphs, tasks and loops
//! over time, callbacks that blocked, findings.

use std::io::Write;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::Snapshot;
use aiospy::timeline::Stretch;
use aiospy::watch::monitor::{Event, Tracked};
use jiff::Timestamp;
use serde::Serialize;

use super::fold::Fold;
use super::timeline::{Lanes, Rows, Scale};
use super::tree::NodeKind;
use super::{Exporter, Folding, Sample, Totals, View, micros, state};
use crate::io::page;
use crate::report::text::{findings, path, words};

/// The page, with a mark where the data goes.
const PAGE: &str = include_str!("page.html");
const MARK: &str = "/*DATA*/null";

/// Tasks on the time line.
const MAX_ROWS: usize = 400;
/// Callbacks that blocked: the longest are kept.
const MAX_BLOCKING: usize = 1000;
/// Findings with their histories.
const MAX_FINDINGS: usize = 1000;
/// Loops with a chart.
const MAX_LOOPS: usize = 32;

/// Makes the page.
pub struct Html {
    to: Box<dyn Write>,
    first: View,
    folds: Vec<Fold>,
    began: Option<Timestamp>,
    scale: Scale,
    lanes: Lanes,
    rows: Rows,
    loops: Vec<(Address, Chart)>,
    tasks: Vec<u64>,
    blocking: Vec<Blocked>,
    findings: Vec<FindingData>,
}

/// How a loop did, for each bin.
#[derive(Debug, Default, Serialize)]
struct Chart {
    name: String,
    /// Microseconds in which it ran callbacks, and all that were looked at.
    busy: Vec<u64>,
    all: Vec<u64>,
    /// The most, in microseconds.
    lag: Vec<u64>,
    ready: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct Blocked {
    at_us: u64,
    length_us: u64,
    what: String,
    callback: String,
    place: String,
    stack: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FindingData {
    number: u64,
    code: &'static str,
    severity: aiospy::snapshot::Severity,
    title: String,
    evidence: Vec<String>,
    advice: String,
    opened_us: u64,
    closed_us: Option<u64>,
}

#[derive(Serialize)]
struct Data<'a> {
    tool: &'static str,
    target: String,
    python: Option<String>,
    began: Option<Timestamp>,
    time_us: u64,
    words: String,
    first: &'static str,
    kinds: Vec<(&'static str, String)>,
    views: Vec<Stacks<'a>>,
    step_us: u64,
    rows: Vec<Row<'a>>,
    without_row: u64,
    loops: Vec<&'a Chart>,
    tasks: &'a [u64],
    blocking: &'a [Blocked],
    findings: &'a [FindingData],
}

#[derive(Serialize)]
struct Stacks<'a> {
    name: &'static str,
    about: &'static str,
    labels: Vec<(&'a str, usize)>,
    /// Parent, label, own time; the root is 0 and not among them.
    nodes: Vec<(u32, u32, u64)>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    coroutine: &'a str,
    tasks: u64,
    /// First bin, bins, kind and one more.
    runs: Vec<(usize, usize, u8)>,
}

impl Html {
    /// One that writes there.
    pub fn new(folding: Folding, to: Box<dyn Write>) -> Self {
        let fold = |view| Fold::new(Folding { view, ..folding });
        Self {
            to,
            first: folding.view,
            folds: View::ALL.into_iter().map(fold).collect(),
            began: None,
            scale: Scale::new(),
            lanes: Lanes::new(MAX_ROWS, folding.is_per_task),
            rows: Rows::default(),
            loops: Vec::new(),
            tasks: Vec::new(),
            blocking: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn since(&self, at: Timestamp) -> Duration {
        let since = self.began.map(|began| at.duration_since(began));
        since.and_then(|since| Duration::try_from(since).ok()).unwrap_or_default()
    }

    fn over_time(&mut self, sample: Sample<'_>) {
        let snapshot = sample.snapshot;
        let now = self.since(snapshot.taken_at);
        let (bin, halved) = self.scale.bin(now);
        for _ in 0..halved {
            self.rows.halve();
            halve(&mut self.tasks, u64::max);
            for (_, chart) in &mut self.loops {
                halve(&mut chart.busy, |a, b| a + b);
                halve(&mut chart.all, |a, b| a + b);
                halve(&mut chart.lag, u64::max);
                halve(&mut chart.ready, u64::max);
            }
        }
        // It stands for all the time since the one before it. The bin of that is its own.
        let first = self.scale.bin(now.saturating_sub(sample.weight)).0.saturating_add(1).min(bin);
        let bins = first..=bin;
        let weight = micros(sample.weight) / (bin - first + 1) as u64;
        self.lanes.leave(snapshot);
        let mut pending = 0;
        for task in &snapshot.tasks {
            let Some(state) = state::of(task, snapshot) else { continue };
            pending += 1;
            let Some(lane) = self.lanes.of(task) else { continue };
            let kind = if state::is_cancelled(task) { NodeKind::Cancelled } else { state.kind };
            self.rows.note(lane, bins.clone(), kind, weight);
        }
        for bin in bins {
            note(&mut self.tasks, bin, |most| pending.max(most));
            self.loops_over_time(snapshot, bin, weight);
        }
    }

    fn loops_over_time(&mut self, snapshot: &Snapshot, bin: usize, weight: u64) {
        for event_loop in &snapshot.loops {
            let thread = snapshot.thread_of(event_loop);
            let is_run = event_loop.may_run();
            let Some(thread) = thread.filter(|_| is_run) else { continue };
            let at = match self.loops.iter().position(|(id, _)| *id == event_loop.id) {
                Some(at) => at,
                None if self.loops.len() < MAX_LOOPS => {
                    let class = words::loop_class(&event_loop.class);
                    let thread = thread.name.as_deref().unwrap_or("?");
                    let name = clean(&format!("{class} in {thread}"));
                    self.loops.push((event_loop.id, Chart { name, ..Chart::default() }));
                    self.loops.len() - 1
                }
                None => continue,
            };
            let Some((_, chart)) = self.loops.get_mut(at) else { continue };
            let busy = if state::is_polling(event_loop) { 0 } else { weight };
            note(&mut chart.busy, bin, |sum| sum + busy);
            note(&mut chart.all, bin, |sum| sum + weight);
            let lag = event_loop.lag.map(micros).unwrap_or_default();
            note(&mut chart.lag, bin, |most| most.max(lag));
            note(&mut chart.ready, bin, |most| most.max(event_loop.ready.unwrap_or_default()));
        }
    }

    fn blocked(&mut self, stretch: &Stretch) {
        let work = stretch.work.as_deref();
        let stack = work.map(|work| work.stack.iter().map(|at| place(at)).collect::<Vec<_>>());
        let callback = work.and_then(|work| work.label.as_deref().or(work.handle.as_deref()));
        let told = Blocked {
            at_us: micros(self.since(stretch.began_at)),
            length_us: micros(stretch.length),
            what: clean(work.map_or("not seen", |work| &work.description)),
            callback: clean(callback.unwrap_or("a callback")),
            place: stretch.place().map(|at| place(at)).unwrap_or_default(),
            stack: stack.unwrap_or_default(),
        };
        if self.blocking.len() < MAX_BLOCKING {
            self.blocking.push(told);
            return;
        }
        let shortest = self.blocking.iter_mut().min_by_key(|known| known.length_us);
        if let Some(shortest) = shortest.filter(|known| known.length_us < told.length_us) {
            *shortest = told;
        }
    }

    fn finding(&mut self, tracked: &Tracked) {
        let opened_us = micros(self.since(tracked.opened_at));
        let finding = &tracked.finding;
        let told = FindingData {
            number: tracked.number,
            code: finding.code.as_str(),
            severity: finding.severity,
            title: clean(&finding.title.to_string()),
            evidence: finding.evidence.iter().map(|fact| clean(&findings::fact(fact))).collect(),
            advice: clean(&finding.advice),
            opened_us,
            closed_us: None,
        };
        let has_room = self.findings.len() < MAX_FINDINGS;
        match self.findings.iter_mut().find(|known| known.number == tracked.number) {
            Some(known) => *known = told,
            None if has_room => self.findings.push(told),
            None => {}
        }
    }
}

fn clean(text: &str) -> String {
    page::clean(text).into_owned()
}

fn place(place: &aiospy::snapshot::Location) -> String {
    clean(&path::frame(&place.function, place.path(), place.line))
}

fn note(bins: &mut Vec<u64>, bin: usize, change: impl FnOnce(u64) -> u64) {
    if bins.len() <= bin {
        bins.resize(bin + 1, 0);
    }
    if let Some(value) = bins.get_mut(bin) {
        *value = change(*value);
    }
}

fn halve(bins: &mut Vec<u64>, both: impl Fn(u64, u64) -> u64) {
    let halved = bins.chunks(2).map(|pair| match pair {
        [first, second] => both(*first, *second),
        _ => pair.first().copied().unwrap_or_default(),
    });
    *bins = halved.collect();
}

impl Exporter for Html {
    fn sample(&mut self, sample: Sample<'_>) -> anyhow::Result<()> {
        if self.began.is_none() {
            self.began = sample.snapshot.taken_at.checked_sub(sample.weight).ok();
        }
        for fold in &mut self.folds {
            fold.sample(sample);
        }
        self.over_time(sample);
        Ok(())
    }

    fn event(&mut self, at: Timestamp, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::Opened(tracked) | Event::Updated(tracked) => self.finding(tracked),
            Event::Closed(tracked) => {
                self.finding(tracked);
                let closed_us = Some(micros(self.since(at)));
                let known = self.findings.iter_mut().find(|known| known.number == tracked.number);
                if let Some(known) = known {
                    known.closed_us = closed_us;
                }
            }
            Event::Blocked(stretch) => self.blocked(stretch),
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, totals: &Totals) -> anyhow::Result<()> {
        self.blocking.sort_by_key(|blocked| blocked.at_us);
        // Of a program without requests there is nothing by request.
        let is_shown = |fold: &&Fold| {
            let view = fold.folding().view;
            view != View::Request || view == self.first || fold.tree().nodes().next().is_some()
        };
        let views = self.folds.iter().filter(is_shown).map(|fold| Stacks {
            name: fold.folding().view.name(),
            about: fold.folding().view.about(),
            labels: fold
                .tree()
                .labels()
                .iter()
                .map(|label| (label.text.as_str(), label.kind.number()))
                .collect(),
            nodes: fold.tree().nodes().collect(),
        });
        let rows = self.lanes.all().iter().zip(self.rows.stretches()).map(|(lane, runs)| Row {
            name: &lane.name,
            coroutine: &lane.coroutine,
            tasks: lane.tasks,
            runs,
        });
        let kinds = NodeKind::ALL
            .iter()
            .map(|(_, (r, g, b), name)| (*name, format!("#{r:02x}{g:02x}{b:02x}")));
        let data = Data {
            tool: concat!("aiospy ", env!("CARGO_PKG_VERSION")),
            target: clean(&totals.target()),
            python: totals.process.as_ref().and_then(|process| process.python.clone()),
            began: self.began,
            time_us: totals.ended.map(|ended| micros(self.since(ended))).unwrap_or_default(),
            words: totals.words(),
            first: self.first.name(),
            kinds: kinds.collect(),
            views: views.collect(),
            step_us: self.scale.step,
            rows: rows.collect(),
            without_row: self.lanes.without(),
            loops: self.loops.iter().map(|(_, chart)| chart).collect(),
            tasks: &self.tasks,
            blocking: &self.blocking,
            findings: &self.findings,
        };
        // Within a script nothing may end it: names are those of the target.
        let data = serde_json::to_string(&data)?.replace('<', "\\u003c");
        let (before, after) = PAGE.split_once(MARK).unwrap_or((PAGE, ""));
        for part in [before, &data, after] {
            self.to.write_all(part.as_bytes())?;
        }
        self.to.flush()?;
        Ok(())
    }
}
