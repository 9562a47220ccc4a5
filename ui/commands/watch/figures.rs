//! How a target does, in figures that add up: what `--metrics` serves and `--otlp` sends.
//!
//! Labels are bounded: what there may be any number of has a label for the first ones, and the rest
//! together has `other`. Of the program they hold places, routes, names of pools and kinds, never values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Executor, Finding, Glance, LoopGlance, LoopState, Process, Snapshot, Task, TaskState, Wait,
    WaitKind, Waiting, Work, WorkKind,
};
use aiospy::timeline::{Stretch, ready_between};
use aiospy::watch::News;
use aiospy::watch::monitor::Event;
use aiospy::watch::sampler::Sample;
#[cfg(feature = "otlp")]
use jiff::Timestamp;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::report::text::findings::word;

/// How many of each thing have labels of their own.
const MAX_LOOPS: usize = 8;
const MAX_PLACES: usize = 50;
const MAX_POOLS: usize = 20;
const MAX_ROUTES: usize = 40;
/// The name of all the others.
const OTHER: &str = "other";
/// From 100 µs, which nobody feels, to 10 s, in seconds.
pub const LENGTHS: [f64; 12] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0];

/// What tells one series of a figure from another.
pub type Labels = Vec<(&'static str, String)>;
/// One figure, by its labels.
pub type Series = BTreeMap<Labels, Value>;

macro_rules! figures {
    ($($(#[$meta:meta])* $name:ident: $kind:ident, $text:literal, $about:literal;)+) => {
        /// What is counted and measured.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Figure { $($(#[$meta])* $name,)+ }

        impl Figure {
            /// Its name, its kind, and what it says.
            pub const fn about(self) -> (&'static str, Kind, &'static str) {
                match self { $($(#[$meta])* Self::$name => ($text, Kind::$kind, $about),)+ }
            }
        }
    };
}

figures! {
    Up: Gauge, "up", "Whether the target can be read";
    Samples: Counter, "samples", "Looks at the target, light and whole ones";
    SamplesMissed: Counter, "samples_missed", "Looks there was no time for";
    OwnCpu: Seconds, "own_cpu", "What aiospy itself has used";
    LoopSamples: Counter, "loop_samples", "Light samples of a loop, by what it did";
    LoopReady: Lengths, "loop_ready",
        "How long the callbacks of one loop iteration took, of those seen";
    LoopLate: GaugeSeconds, "loop_late", "By how much the first timer is late";
    LoopIsBlocked: Gauge, "loop_is_blocked", "Whether a callback blocks the loop now";
    LoopBlocks: Counter, "loop_blocks", "Callbacks that blocked their loop, by place";
    LoopBlocked: Seconds, "loop_blocked", "How long they took";
    Tasks: Gauge, "tasks", "Tasks by state";
    TasksWaiting: Gauge, "tasks_waiting", "Pending tasks by what they wait for";
    Requests: Gauge, "requests", "Requests in flight, by route";
    RequestsOldest: GaugeSeconds, "requests_oldest",
        "For how long at least the oldest of a route has been in flight";
    RequestsSlow: Counter, "requests_slow", "Requests that came to take long, by route";
    ExecutorThreads: Gauge, "executor_threads",
        "Threads of a pool: busy, idle, and how many there may be";
    ExecutorQueued: Gauge, "executor_queued", "Calls that wait for a thread";
    PoolConnections: Gauge, "pool_connections", "Connections of a pool: out, limit";
    PoolWaiting: Gauge, "pool_waiting", "Tasks that wait for a connection";
    Findings: Gauge, "findings", "What is wrong now, by code and severity";
    FindingsOpened: Counter, "findings_opened", "Findings that came";
    #[cfg(feature = "otlp")]
    OtlpDropped: Counter, "otlp_dropped", "Log records there was no room for, or that the collector refused";
    Target: Info, "target", "What is looked at";
}

/// How the values of a figure behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that goes up and down.
    Gauge,
    /// A time that does so.
    GaugeSeconds,
    /// A number that only grows.
    Counter,
    /// A time that does so.
    Seconds,
    /// How many times there were of which length.
    Lengths,
    /// Nothing but its labels.
    Info,
}

impl Kind {
    /// Whether it is a time, in seconds.
    pub fn is_time(self) -> bool {
        matches!(self, Self::GaugeSeconds | Self::Seconds | Self::Lengths)
    }

    /// What it is before anything is known.
    fn nothing(self) -> Value {
        match self {
            Self::Gauge | Self::Counter | Self::Info => Value::Number(0),
            Self::GaugeSeconds | Self::Seconds => Value::Time(0.0),
            Self::Lengths => Value::Lengths(Box::default()),
        }
    }
}

/// What a figure comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// A time in seconds.
    Time(f64),
    /// Times by their length.
    Lengths(Box<Lengths>),
}

/// How many times there were up to each of [`LENGTHS`] and above the one before, and beyond the last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lengths {
    /// How many there were.
    pub counts: [u64; LENGTHS.len() + 1],
    /// All of them together, in seconds.
    pub sum: f64,
}

impl Lengths {
    fn note(&mut self, length: f64) {
        let at = LENGTHS.iter().position(|most| length <= *most).unwrap_or(LENGTHS.len());
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum += length;
    }

    /// How many there were of any length.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The figures of a target that several threads look at.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<Figures>>);

impl Shared {
    /// Nobody sees half of what is done to them before this is dropped.
    pub fn lock(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All figures of a target.
#[derive(Debug)]
pub struct Figures {
    #[cfg(feature = "otlp")]
    since: Timestamp,
    all: BTreeMap<Figure, Series>,
    own_before: f64,
    loops: Vec<Address>,
    last: FxHashMap<Address, LoopGlance>,
    places: BTreeSet<String>,
    pools: BTreeSet<String>,
    routes: BTreeSet<String>,
    codes: BTreeSet<(&'static str, &'static str)>,
}

impl Default for Figures {
    fn default() -> Self {
        let mut figures = Self {
            #[cfg(feature = "otlp")]
            since: Timestamp::now(),
            all: BTreeMap::new(),
            own_before: 0.0,
            loops: Vec::new(),
            last: FxHashMap::default(),
            places: BTreeSet::new(),
            pools: BTreeSet::new(),
            routes: BTreeSet::new(),
            codes: BTreeSet::new(),
        };
        for figure in [Figure::Up, Figure::SamplesMissed, Figure::OwnCpu] {
            figures.at(figure, Labels::new());
        }
        figures
    }
}

impl Figures {
    /// From when on they count.
    #[cfg(feature = "otlp")]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Each figure that there is something of.
    pub fn all(&self) -> impl Iterator<Item = (Figure, &Series)> {
        self.all.iter().map(|(figure, series)| (*figure, series))
    }

    /// Takes in what is new.
    pub fn note(&mut self, news: &News<'_>) {
        match news.sample {
            Sample::Attached(process) => self.start(process),
            Sample::Unreadable(_) => self.set(Figure::Up, Labels::new(), 0),
            Sample::Missed(count) => self.add(Figure::SamplesMissed, Labels::new(), *count),
            Sample::Limited(_) => {}
            Sample::Glance(glance) => self.glance(glance),
            Sample::Whole(snapshot) => {
                self.whole(snapshot);
                self.open(news.monitor.open().iter().map(|tracked| &tracked.finding));
            }
        }
        for event in &news.events {
            match event {
                Event::Blocked(stretch) => self.block(stretch),
                Event::Opened(tracked) => {
                    self.add(Figure::FindingsOpened, code(&tracked.finding), 1);
                }
                Event::Slow(slow) => {
                    let labels = self.route(&slow.work);
                    let count = u64::try_from(slow.count).unwrap_or(u64::MAX);
                    self.add(Figure::RequestsSlow, labels, count);
                }
                _ => {}
            }
        }
    }

    /// The target has ended.
    pub fn gone(&mut self) {
        self.set(Figure::Up, Labels::new(), 0);
    }

    fn at(&mut self, figure: Figure, labels: Labels) -> &mut Value {
        let nothing = || figure.about().1.nothing();
        self.all.entry(figure).or_default().entry(labels).or_insert_with(nothing)
    }

    /// Adds to a number.
    pub fn add(&mut self, figure: Figure, labels: Labels, more: u64) {
        if let Value::Number(number) = self.at(figure, labels) {
            *number = number.saturating_add_unsigned(more);
        }
    }

    fn set(&mut self, figure: Figure, labels: Labels, number: i64) {
        *self.at(figure, labels) = Value::Number(number);
    }

    fn add_time(&mut self, figure: Figure, labels: Labels, more: f64) {
        if let Value::Time(time) = self.at(figure, labels) {
            *time += more;
        }
    }

    fn start(&mut self, process: &Process) {
        self.set(Figure::Up, Labels::new(), 1);
        if self.all.contains_key(&Figure::Target) {
            return;
        }
        let about = vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("python", process.python.clone().unwrap_or_default()),
            ("pid", process.pid.to_string()),
        ];
        self.set(Figure::Target, about, 1);
    }

    fn glance(&mut self, glance: &Glance) {
        self.add(Figure::Samples, one("kind", "light"), 1);
        for now in &glance.loops {
            let mut labels = one("loop", &self.number(now.id));
            let length = self.last.get(&now.id).and_then(|it| ready_between(it, now));
            if let Some(length) = length
                && let Value::Lengths(all) = self.at(Figure::LoopReady, labels.clone())
            {
                all.note(length.as_secs_f64());
            }
            labels.push(("phase", phase(now).to_owned()));
            self.add(Figure::LoopSamples, labels, 1);
            self.last.insert(now.id, now.clone());
        }
        self.last.retain(|id, _| glance.loops.iter().any(|it| it.id == *id));
    }

    fn whole(&mut self, snapshot: &Snapshot) {
        self.set(Figure::Up, Labels::new(), 1);
        self.add(Figure::Samples, one("kind", "whole"), 1);
        let used = own_time();
        self.add_time(Figure::OwnCpu, Labels::new(), (used - self.own_before).max(0.0));
        self.own_before = used;
        for figure in [
            Figure::LoopIsBlocked,
            Figure::LoopLate,
            Figure::Tasks,
            Figure::TasksWaiting,
            Figure::Requests,
            Figure::RequestsOldest,
            Figure::ExecutorThreads,
            Figure::ExecutorQueued,
            Figure::PoolConnections,
            Figure::PoolWaiting,
        ] {
            self.all.remove(&figure);
        }
        for of in snapshot.loops.iter().filter(|it| it.may_run()) {
            let labels = one("loop", &self.number(of.id));
            let is_blocked = of.state == Some(LoopState::Blocked);
            self.add(Figure::LoopIsBlocked, labels.clone(), u64::from(is_blocked));
            if let Value::Time(known) = self.at(Figure::LoopLate, labels) {
                *known = known.max(of.lag.unwrap_or_default().as_secs_f64());
            }
        }
        for state in ["pending", "ready", "running"] {
            self.set(Figure::Tasks, one("state", state), 0);
        }
        for task in snapshot.tasks.iter().filter(|task| !task.is_over()) {
            self.task(task);
        }
        self.requests(snapshot);
        for executor in &snapshot.executors {
            self.executor(executor);
        }
    }

    /// Each request once, however many tasks work for it.
    fn requests(&mut self, snapshot: &Snapshot) {
        // A route that has none now has 0, and is not absent.
        for route in self.routes.clone() {
            self.set(Figure::Requests, one("route", &route), 0);
            *self.at(Figure::RequestsOldest, one("route", &route)) = Value::Time(0.0);
        }
        let open = snapshot.tasks.iter().filter(|task| !task.is_over());
        let requests = open.filter_map(|task| task.work.as_deref());
        let mut seen = FxHashSet::default();
        for work in requests.filter(|work| work.kind == Some(WorkKind::Request)) {
            if !work.identity.is_some_and(|request| seen.insert(request)) {
                continue;
            }
            let labels = self.route(work);
            self.add(Figure::Requests, labels.clone(), 1);
            let age = work.since.map_or(0.0, |age| age.time.as_secs_f64());
            if let Value::Time(oldest) = self.at(Figure::RequestsOldest, labels) {
                *oldest = oldest.max(age);
            }
        }
    }

    fn route(&mut self, work: &Work) -> Labels {
        one("route", &bounded(&mut self.routes, &work.to_string(), MAX_ROUTES))
    }

    fn task(&mut self, task: &Task) {
        let state = match task.state {
            Some(TaskState::Running) => "running",
            Some(TaskState::Ready) => "ready",
            _ => "pending",
        };
        self.add(Figure::Tasks, one("state", state), 1);
        if state != "pending" {
            return;
        }
        let waiting = task.waiting_on.as_deref();
        let kind = waiting.map_or(WaitKind::Unknown, Waiting::kind);
        self.add(Figure::TasksWaiting, one("for", kind.as_str()), 1);
        if let Some(Wait::Pool { pool, out, .. }) = waiting.map(|it| &it.wait) {
            let known = pool.as_deref().unwrap_or("a pool");
            let labels = one("pool", &bounded(&mut self.pools, known, MAX_POOLS));
            for (what, value) in [("out", out.value), ("limit", out.limit)] {
                let labels = [labels.clone(), one("what", what)].concat();
                if let Some(value) = value {
                    self.set(Figure::PoolConnections, labels, value);
                }
            }
            self.add(Figure::PoolWaiting, labels, 1);
        }
    }

    fn executor(&mut self, executor: &Executor) {
        let name = executor.name.as_deref().unwrap_or("a pool");
        let labels = one("executor", &bounded(&mut self.pools, name, MAX_POOLS));
        let busy = executor.workers.zip(executor.idle).map(|(all, idle)| all.saturating_sub(idle));
        let counts = [("busy", busy), ("idle", executor.idle), ("limit", executor.max_workers)];
        for (state, count) in counts {
            if let Some(count) = count {
                let labels = [labels.clone(), one("state", state)].concat();
                self.add(Figure::ExecutorThreads, labels, count);
            }
        }
        if let Some(queued) = executor.queued {
            self.add(Figure::ExecutorQueued, labels, queued);
        }
    }

    /// These findings are there now.
    pub fn open<'f>(&mut self, findings: impl Iterator<Item = &'f Finding>) {
        // One that went is none, and not absent.
        for (code, severity) in self.codes.clone() {
            let labels = vec![("code", code.to_owned()), ("severity", severity.to_owned())];
            self.set(Figure::Findings, labels, 0);
        }
        for finding in findings {
            self.codes.insert((finding.code.as_str(), severity(finding)));
            self.add(Figure::Findings, code(finding), 1);
        }
    }

    fn block(&mut self, stretch: &Stretch) {
        let place = stretch.work.as_ref().and_then(|work| work.place.as_ref());
        let place = place.map_or_else(
            || "unknown".to_owned(),
            |at| {
                let line = at.line.map(|line| format!(":{line}")).unwrap_or_default();
                format!("{}{line} {}", at.file, at.function)
            },
        );
        let labels = one("place", &bounded(&mut self.places, &place, MAX_PLACES));
        self.add(Figure::LoopBlocks, labels.clone(), 1);
        self.add_time(Figure::LoopBlocked, labels, stretch.length.as_secs_f64());
    }

    /// The number of a loop, by when it was first seen.
    fn number(&mut self, id: Address) -> String {
        let at = self.loops.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.loops.push(id);
            self.loops.len() - 1
        });
        if at < MAX_LOOPS { (at + 1).to_string() } else { OTHER.to_owned() }
    }
}

fn one(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

/// How bad a finding is; that it is allowed, if it is.
fn severity(finding: &Finding) -> &'static str {
    if finding.is_allowed { "allowed" } else { word(finding.severity).1 }
}

fn code(finding: &Finding) -> Labels {
    let severity = severity(finding).to_owned();
    vec![("code", finding.code.as_str().to_owned()), ("severity", severity)]
}

fn phase(glance: &LoopGlance) -> &'static str {
    if glance.began.is_some() { "callbacks" } else { "waiting" }
}

/// A label, or that of the others when there are as many as there may be.
fn bounded(known: &mut BTreeSet<String>, label: &str, most: usize) -> String {
    if !known.contains(label) {
        if known.len() >= most {
            return OTHER.to_owned();
        }
        known.insert(label.to_owned());
    }
    label.to_owned()
}

/// The processor time of this process, in seconds.
fn own_time() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0.0 };
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use aiospy::snapshot::{Age, Source};

    use super::*;

    fn snapshot(tasks: Vec<Task>) -> Snapshot {
        let mut snapshot = Snapshot::new(Process::default(), jiff::Timestamp::UNIX_EPOCH);
        snapshot.tasks = tasks;
        snapshot
    }

    #[test]
    fn labels_are_bounded() {
        let mut places = BTreeSet::new();
        let labels: BTreeSet<String> =
            (0..1000).map(|n| bounded(&mut places, &format!("shop.py:{n}"), MAX_PLACES)).collect();
        assert_eq!(labels.len(), MAX_PLACES + 1);
        assert!(labels.contains(OTHER));
        // Those that have one keep it.
        assert_eq!(bounded(&mut places, "shop.py:7", MAX_PLACES), "shop.py:7");

        let mut figures = Figures::default();
        let numbers: Vec<String> = (1..=10).map(|at| figures.number(Address(at))).collect();
        assert_eq!(numbers[..2], ["1", "2"]);
        assert_eq!(numbers[7..], ["8", OTHER, OTHER]);
    }

    #[test]
    fn a_request_counts_once_and_its_route_stays() {
        let task = |request: u64, name: &str, seconds: Option<u64>| {
            let since =
                seconds.map(|it| Age::at_least(Duration::from_secs(it), Source::Connection));
            let work = Work {
                kind: Some(WorkKind::Request),
                verb: Some("GET".into()),
                name: name.into(),
                path: Some("/stock/7".into()),
                identity: Some(Address(request)),
                since,
                ..Work::default()
            };
            Task { work: Some(Arc::new(work)), ..Task::default() }
        };
        let tasks = vec![
            task(1, "/stock/{sku}", Some(3)),
            task(1, "/stock/{sku}", Some(3)),
            task(2, "/stock/{sku}", Some(5)),
            task(3, "/health", None),
        ];
        let mut figures = Figures::default();
        let series = |figures: &Figures, figure| -> Vec<(String, Value)> {
            let series = figures.all.get(&figure).into_iter().flatten();
            series.map(|(labels, value)| (labels[0].1.clone(), value.clone())).collect()
        };
        let of = |health, stock| {
            [("GET /health".to_owned(), health), ("GET /stock/{sku}".to_owned(), stock)]
        };
        figures.whole(&snapshot(tasks));
        let counts = of(Value::Number(1), Value::Number(2));
        assert_eq!(series(&figures, Figure::Requests), counts);
        let ages = of(Value::Time(0.0), Value::Time(5.0));
        assert_eq!(series(&figures, Figure::RequestsOldest), ages);
        figures.whole(&snapshot(Vec::new()));
        let none = of(Value::Number(0), Value::Number(0));
        assert_eq!(series(&figures, Figure::Requests), none);
    }

    #[test]
    fn a_length_counts_up_to_the_first_bound_that_it_does_not_exceed() {
        let mut lengths = Lengths::default();
        for length in [0.0, 0.0001, 0.00011, 10.0, 11.0] {
            lengths.note(length);
        }
        assert_eq!(lengths.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(lengths.count(), 5);
        assert!((lengths.sum - 21.00021).abs() < 1e-9);
    }
}
