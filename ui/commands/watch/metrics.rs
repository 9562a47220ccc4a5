//! `--metrics ADDR`: how the target does, as `OpenMetrics` text over HTTP, for Prometheus and its like.
//!
//! Labels are bounded: what there may be any number of is told for the first ones, and the rest
//! together as `other`. Of the program they hold places, names of pools and kinds, never values.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Executor, Finding, Glance, LoopGlance, LoopState, Process, Snapshot, Task, TaskState, Wait,
    WaitKind, Waiting,
};
use aiospy::timeline::{Stretch, ready_between};
use aiospy::watch::News;
use aiospy::watch::monitor::Event;
use aiospy::watch::sampler::Sample;
use anyhow::anyhow;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use rustc_hash::FxHashMap;
use tiny_http::{Header, Method, Response, Server};

use crate::report::text::findings::word;

/// How many of each thing have labels of their own.
const MAX_LOOPS: usize = 8;
const MAX_PLACES: usize = 50;
const MAX_POOLS: usize = 20;
/// The name of all the others.
const OTHER: &str = "other";
/// From 100 µs, which nobody feels, to 10 s, in seconds.
const LENGTHS: [f64; 12] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0];
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Label = (&'static str, String);
type Labels = Vec<Label>;
type Count = Counter<u64, AtomicU64>;
type Seconds = Counter<f64, AtomicU64>;
type Number = Gauge<i64>;
type Real = Gauge<f64, AtomicU64>;

/// All that is told of a target.
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    up: Number,
    samples: Family<Labels, Count>,
    missed: Count,
    own: Seconds,
    own_before: f64,
    info: bool,
    glances: Family<Labels, Count>,
    ready: Family<Labels, Histogram, fn() -> Histogram>,
    late: Family<Labels, Real>,
    blocked: Family<Labels, Number>,
    blocks: Family<Labels, Count>,
    block_time: Family<Labels, Seconds>,
    tasks: Family<Labels, Number>,
    waits: Family<Labels, Number>,
    threads: Family<Labels, Number>,
    queued: Family<Labels, Number>,
    connections: Family<Labels, Number>,
    pool_waiters: Family<Labels, Number>,
    findings: Family<Labels, Number>,
    opened: Family<Labels, Count>,
    loops: Vec<Address>,
    last: FxHashMap<Address, LoopGlance>,
    places: BTreeSet<String>,
    pools: BTreeSet<String>,
    codes: BTreeSet<(&'static str, &'static str)>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Serves them at `address`, as `127.0.0.1:9464` or `:9464`, until the program ends.
    ///
    /// # Errors
    /// When nothing can listen there.
    pub fn serve(address: &str) -> anyhow::Result<Self> {
        let full =
            if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.into() };
        let server = Server::http(&full)
            .map_err(|error| anyhow!("--metrics {address}: nothing can listen there: {error}"))?;
        let metrics = Self::new();
        let registry = Arc::clone(&metrics.registry);
        std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            for request in server.incoming_requests() {
                let is_asked = matches!(request.method(), Method::Get | Method::Head);
                let (code, text) = match request.url().split('?').next() {
                    Some("/metrics") if is_asked => (200, text_of(&registry)),
                    Some("/") if is_asked => (200, "aiospy: see /metrics\n".to_owned()),
                    _ => (404, "not found: see /metrics\n".to_owned()),
                };
                let kind = if text.ends_with("# EOF\n") { CONTENT_TYPE } else { "text/plain" };
                let mut response = Response::from_string(text).with_status_code(code);
                if let Ok(header) = Header::from_bytes("Content-Type", kind) {
                    response.add_header(header);
                }
                // Whoever asked is gone.
                let _ = request.respond(response);
            }
        })?;
        Ok(metrics)
    }

    fn new() -> Self {
        let mut registry = Registry::with_prefix("aiospy");
        let to = &mut registry;
        let metrics = Self {
            up: told(to, "up", "Whether the target can be read", None),
            samples: told(to, "samples", "Looks at the target, light and whole ones", None),
            missed: told(to, "samples_missed", "Looks there was no time for", None),
            own: told(to, "own_cpu", "What aiospy itself has used", Some(Unit::Seconds)),
            own_before: 0.0,
            info: false,
            glances: told(to, "loop_samples", "Light samples of a loop, by what it did", None),
            ready: {
                let all = Family::new_with_constructor((|| Histogram::new(LENGTHS)) as fn() -> _);
                let what = "How long the callbacks of one loop iteration took, of those seen";
                to.register_with_unit("loop_ready", what, Unit::Seconds, all.clone());
                all
            },
            late: told(to, "loop_late", "By how much the first timer is late", Some(Unit::Seconds)),
            blocked: told(to, "loop_is_blocked", "Whether a callback blocks the loop now", None),
            blocks: told(to, "loop_blocks", "Callbacks that blocked their loop, by place", None),
            block_time: told(to, "loop_blocked", "How long they took", Some(Unit::Seconds)),
            tasks: told(to, "tasks", "Tasks by state", None),
            waits: told(to, "tasks_waiting", "Pending tasks by what they wait for", None),
            threads: told(
                to,
                "executor_threads",
                "Threads of a pool: busy, idle, and how many there may be",
                None,
            ),
            queued: told(to, "executor_queued", "Calls that wait for a thread", None),
            connections: told(to, "pool_connections", "Connections of a pool: out, limit", None),
            pool_waiters: told(to, "pool_waiting", "Tasks that wait for a connection", None),
            findings: told(to, "findings", "What is wrong now, by code and severity", None),
            opened: told(to, "findings_opened", "Findings that came", None),
            loops: Vec::new(),
            last: FxHashMap::default(),
            places: BTreeSet::new(),
            pools: BTreeSet::new(),
            codes: BTreeSet::new(),
            registry: Arc::default(),
        };
        *metrics.registry.lock().unwrap_or_else(PoisonError::into_inner) = registry;
        metrics
    }

    /// Takes in what is new.
    pub fn note(&mut self, news: &News<'_>) {
        // Nobody is told half of it.
        let registry = Arc::clone(&self.registry);
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        match news.sample {
            Sample::Attached(process) => self.start(process, &mut registry),
            Sample::Unreadable(_) => _ = self.up.set(0),
            Sample::Missed(count) => _ = self.missed.inc_by(*count),
            Sample::Limited(_) => {}
            Sample::Glance(glance) => self.glance(glance),
            Sample::Whole(snapshot) => {
                self.whole(snapshot);
                let open = news.monitor.open().iter().map(|tracked| &tracked.finding);
                self.open(open);
            }
        }
        for event in &news.events {
            match event {
                Event::Blocked(stretch) => self.block(stretch),
                Event::Opened(tracked) => {
                    self.opened.get_or_create(&code(&tracked.finding)).inc();
                }
                _ => {}
            }
        }
    }

    fn start(&mut self, process: &Process, registry: &mut Registry) {
        self.up.set(1);
        if std::mem::replace(&mut self.info, true) {
            return;
        }
        let python = process.python.clone().unwrap_or_default();
        let about = vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("python", python),
            ("pid", process.pid.to_string()),
        ];
        registry.register("target", "What is looked at", Info::new(about));
    }

    fn glance(&mut self, glance: &Glance) {
        self.samples.get_or_create(&one("kind", "light")).inc();
        for now in &glance.loops {
            let number = self.number(now.id);
            let mut labels = one("loop", &number);
            if let Some(length) = self.last.get(&now.id).and_then(|it| ready_between(it, now)) {
                self.ready.get_or_create(&labels).observe(length.as_secs_f64());
            }
            labels.push(("phase", phase(now).to_owned()));
            self.glances.get_or_create(&labels).inc();
            self.last.insert(now.id, now.clone());
        }
        self.last.retain(|id, _| glance.loops.iter().any(|it| it.id == *id));
    }

    fn whole(&mut self, snapshot: &Snapshot) {
        self.up.set(1);
        self.samples.get_or_create(&one("kind", "whole")).inc();
        let used = own_time();
        self.own.inc_by((used - self.own_before).max(0.0));
        self.own_before = used;
        for family in [&self.blocked, &self.tasks, &self.waits, &self.threads] {
            family.clear();
        }
        for family in [&self.queued, &self.connections, &self.pool_waiters] {
            family.clear();
        }
        self.late.clear();
        for of in snapshot.loops.iter().filter(|it| it.may_run()) {
            let labels = one("loop", &self.number(of.id));
            let is_blocked = of.state == Some(LoopState::Blocked);
            self.blocked.get_or_create(&labels).inc_by(i64::from(is_blocked));
            let late = of.lag.unwrap_or_default().as_secs_f64();
            let known = self.late.get_or_create(&labels);
            known.set(known.get().max(late));
        }
        for state in ["pending", "ready", "running"] {
            self.tasks.get_or_create(&one("state", state)).set(0);
        }
        for task in snapshot.tasks.iter().filter(|task| !task.is_over()) {
            self.task(task);
        }
        for executor in &snapshot.executors {
            self.executor(executor);
        }
    }

    fn task(&mut self, task: &Task) {
        let state = match task.state {
            Some(TaskState::Running) => "running",
            Some(TaskState::Ready) => "ready",
            _ => "pending",
        };
        self.tasks.get_or_create(&one("state", state)).inc();
        if state != "pending" {
            return;
        }
        let waiting = task.waiting_on.as_deref();
        let kind = waiting.map_or(WaitKind::Unknown, Waiting::kind);
        self.waits.get_or_create(&one("for", kind.as_str())).inc();
        if let Some(Wait::Pool { pool, out, .. }) = waiting.map(|it| &it.wait) {
            let known = pool.as_deref().unwrap_or("a pool");
            let labels = one("pool", &bounded(&mut self.pools, known, MAX_POOLS));
            self.pool_waiters.get_or_create(&labels).inc();
            for (what, value) in [("out", out.value), ("limit", out.limit)] {
                let labels = [labels.clone(), one("what", what)].concat();
                if let Some(value) = value {
                    self.connections.get_or_create(&labels).set(value);
                }
            }
        }
    }

    fn executor(&mut self, executor: &Executor) {
        let name = executor.name.as_deref().unwrap_or("a pool");
        let name = bounded(&mut self.pools, name, MAX_POOLS);
        let labels = one("executor", &name);
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let busy = executor.workers.zip(executor.idle).map(|(all, idle)| all.saturating_sub(idle));
        let counts = [("busy", busy), ("idle", executor.idle), ("limit", executor.max_workers)];
        for (state, count) in counts {
            if let Some(count) = count {
                let labels = [labels.clone(), one("state", state)].concat();
                self.threads.get_or_create(&labels).inc_by(number(count));
            }
        }
        self.queued.get_or_create(&labels).inc_by(number(executor.queued.unwrap_or(0)));
    }

    fn open<'f>(&mut self, findings: impl Iterator<Item = &'f Finding>) {
        // One that went is none, and not absent.
        for &(code, severity) in &self.codes {
            let labels = vec![("code", code.to_owned()), ("severity", severity.to_owned())];
            self.findings.get_or_create(&labels).set(0);
        }
        for finding in findings {
            self.codes.insert((finding.code.as_str(), severity(finding)));
            self.findings.get_or_create(&code(finding)).inc();
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
        self.blocks.get_or_create(&labels).inc();
        self.block_time.get_or_create(&labels).inc_by(stretch.length.as_secs_f64());
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

/// A new metric, registered.
fn told<M: Clone + Default + prometheus_client::registry::Metric>(
    to: &mut Registry,
    name: &str,
    about: &str,
    unit: Option<Unit>,
) -> M {
    let metric = M::default();
    match unit {
        Some(unit) => to.register_with_unit(name, about, unit, metric.clone()),
        None => to.register(name, about, metric.clone()),
    }
    metric
}

fn one(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn code(finding: &Finding) -> Labels {
    let severity = severity(finding).to_owned();
    vec![("code", finding.code.as_str().to_owned()), ("severity", severity)]
}

/// How bad a finding is; that it is allowed, if it is.
fn severity(finding: &Finding) -> &'static str {
    if finding.is_allowed { "allowed" } else { word(finding.severity).1 }
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

fn text_of(registry: &Mutex<Registry>) -> String {
    let registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = String::new();
    // Nothing that is written to memory fails.
    let _ = encode(&mut text, &registry);
    text
}

/// The processor time of this process, in seconds.
fn own_time() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0.0 };
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use aiospy::snapshot::{Code, Severity};

    use super::*;
    use crate::report::text::sample::finding;

    #[test]
    fn labels_are_bounded() {
        let mut places = BTreeSet::new();
        let labels: BTreeSet<String> =
            (0..1000).map(|n| bounded(&mut places, &format!("shop.py:{n}"), MAX_PLACES)).collect();
        assert_eq!(labels.len(), MAX_PLACES + 1);
        assert!(labels.contains(OTHER));
        // Those that have one keep it.
        assert_eq!(bounded(&mut places, "shop.py:7", MAX_PLACES), "shop.py:7");

        let mut metrics = Metrics::new();
        let numbers: Vec<String> = (1..=10).map(|at| metrics.number(Address(at))).collect();
        assert_eq!(numbers[..2], ["1", "2"]);
        assert_eq!(numbers[7..], ["8", OTHER, OTHER]);
    }

    #[test]
    fn a_finding_that_went_away_is_none() {
        let mut metrics = Metrics::new();
        let finding = finding(Code::Deadlock, Severity::Critical, "a circle", &[]);
        metrics.open([&finding, &finding].into_iter());
        let line = "aiospy_findings{code=\"deadlock\",severity=\"critical\"} ";
        let told = |metrics: &Metrics| {
            let text = text_of(&metrics.registry);
            assert!(text.ends_with("# EOF\n"));
            text.lines().find_map(|it| Some(it.strip_prefix(line)?.to_owned()))
        };
        assert_eq!(told(&metrics).as_deref(), Some("2"));
        metrics.open(std::iter::empty());
        assert_eq!(told(&metrics).as_deref(), Some("0"));
    }
}
