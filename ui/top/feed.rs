//! What is known of the target as of one moment: all that the screen shows comes from here.
//!
//! A feed is plain data that is shared, never copied: one is made for each whole snapshot, by the
//! sampler of a live target or from what was recorded of one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{Age, Finding, Glance, LoopGlance, Phase, Severity, Snapshot};
use aiospy::timeline::{
    Cancellations, History, Life, LoopTiming, PlaceTotals, Stretch, Turn, ready_between,
};
use jiff::Timestamp;
use rustc_hash::FxHashMap;

use super::finished::Finished;
use crate::report::text::{Files, findings, words};

/// Source files that any thread may ask for.
pub type SharedFiles = Arc<dyn Files + Send + Sync>;

/// How many blocking callbacks are kept.
pub const MAX_BLOCKED: usize = 1000;
/// The time that one point of a loop's history stands for.
pub const POINT: Duration = Duration::from_millis(500);
/// How many points are kept: ten minutes.
const MAX_POINTS: usize = 1200;
/// Longest lengths of iterations that are counted together, in milliseconds; longer ones are the
/// last bar.
pub const LENGTHS_MS: [u64; 8] = [1, 3, 10, 30, 100, 300, 1000, 3000];

/// As of one moment.
#[derive(Clone)]
pub struct Feed {
    /// When it was made.
    pub at: Timestamp,
    /// The last whole snapshot, with its findings.
    pub snapshot: Arc<Snapshot>,
    /// The findings that are open, those that follow from another one below it.
    pub findings: Arc<[OpenFinding]>,
    /// Callbacks that blocked a loop, the newest first.
    pub blocked: Arc<[Arc<Stretch>]>,
    /// Callbacks that block a loop now.
    pub ongoing: Arc<[Arc<Stretch>]>,
    /// What became of cancellations: those that are not over, then the others, the newest first.
    pub cancelled: Arc<[Cancelled]>,
    /// What is known of the lives of the snapshot's tasks, in their order.
    pub lives: Arc<[Option<Life>]>,
    /// Where callbacks blocked, the worst place first.
    pub places: Arc<[PlaceTotals]>,
    /// How the loops do, in the order of the snapshot.
    pub loops: Vec<LoopHistory>,
    /// What has finished in the last minute; a recording does not tell.
    pub finished: Option<Arc<Finished>>,
    /// The source files.
    pub files: Option<SharedFiles>,
    /// Whole snapshots a second that are asked for.
    pub rate: f64,
    /// How many samples were taken.
    pub samples: u64,
    /// How many had no time.
    pub missed: u64,
    /// Why it cannot be read just now.
    pub unreadable: Option<Arc<str>>,
    /// Whether the process is gone: this is how it was last.
    pub is_ended: bool,
    /// Where this is in a recording; nowhere for what is live.
    pub place: Option<Playhead>,
}

impl Feed {
    /// For how long a task was seen at its await.
    pub fn stood(&self, at: usize) -> Option<Duration> {
        self.lives.get(at).copied().flatten()?.at_await
    }

    /// How long a task has been at what it does.
    pub fn age(&self, at: usize) -> Option<Age> {
        self.snapshot.age_seen(self.snapshot.tasks.get(at)?, self.stood(at))
    }

    /// What is out of the ordinary about the reading and its surroundings.
    pub fn trouble(&self) -> Vec<String> {
        let mut all = self.snapshot.cgroup.as_ref().map(words::limits).unwrap_or_default();
        all.extend(self.unreadable.as_deref().map(|cause| format!("not read: {cause}")));
        all
    }

    /// The findings that are worth a line: those with nothing but notes in their chain only where
    /// notes are wanted.
    pub fn listed(&self, has_notes: bool) -> Arc<[OpenFinding]> {
        if has_notes {
            return Arc::clone(&self.findings);
        }
        let chains = self.findings.chunk_by(|_, next| next.is_follower);
        chains.filter(|chain| !chain.iter().all(OpenFinding::is_note)).flatten().cloned().collect()
    }
}

/// What is worth a mark on the time line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A finding came, so severe.
    Finding(Severity),
    /// A callback began to block a loop.
    Blocked,
}

/// Where in its time a recording is shown.
#[derive(Debug, Clone)]
pub struct Playhead {
    /// The number of the sample, from 0.
    pub number: usize,
    /// How many there are.
    pub count: usize,
    /// The whole time.
    pub line: Arc<TimeLine>,
}

/// The time of a recording.
#[derive(Debug)]
pub struct TimeLine {
    /// When it begins.
    pub first: Timestamp,
    /// When it ends.
    pub last: Timestamp,
    /// What is worth a mark, in its order.
    pub marks: Vec<(Timestamp, Mark)>,
}

/// A finding that is open.
#[derive(Debug, Clone)]
pub struct OpenFinding {
    /// Its number, from 1.
    pub number: u64,
    /// Since when.
    pub since: Timestamp,
    /// What it says.
    pub finding: Finding,
    /// Whether it merely follows from one above it.
    pub is_follower: bool,
    /// The process that it leads to, where it is one of several.
    pub of: Option<i32>,
}

impl OpenFinding {
    /// One that follows from none.
    pub fn new(number: u64, since: Timestamp, finding: Finding) -> Self {
        Self { number, since, finding, is_follower: false, of: None }
    }

    /// Whether it is no more than worth knowing: nothing is wrong, and it is not too soon to say so.
    pub fn is_note(&self) -> bool {
        self.finding.severity == Severity::Info && self.finding.pending.is_none()
    }

    /// Findings in the order to be shown.
    pub fn ordered(all: Vec<Self>) -> Arc<[Self]> {
        let findings: Vec<Finding> = all.iter().map(|known| known.finding.clone()).collect();
        let mut all: Vec<Option<Self>> = all.into_iter().map(Some).collect();
        let known = findings::order(&findings)
            .into_iter()
            .filter_map(|(at, is_follower)| Some(Self { is_follower, ..all.get_mut(at)?.take()? }));
        known.collect()
    }
}

/// What became of the cancellation of a task.
#[derive(Debug, Clone)]
pub struct Cancelled {
    /// The task.
    pub task: Address,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// What was seen, in its order; never nothing.
    pub turns: Vec<Turn>,
    /// Whether it is over.
    pub is_over: bool,
}

impl Cancelled {
    /// All of them.
    pub fn all(of: &Cancellations) -> Arc<[Self]> {
        let open = of.open().into_iter().map(|history| Self::of(history, false));
        let over = of.over().rev().map(|history| Self::of(history, true));
        open.chain(over).filter(|it| !it.turns.is_empty()).collect()
    }

    /// One of them.
    pub fn of(history: &History, is_over: bool) -> Self {
        Self {
            task: history.task,
            name: history.name.clone(),
            turns: history.turns.clone(),
            is_over,
        }
    }
}

/// How a loop did over the last minutes.
#[derive(Debug, Clone, Default)]
pub struct LoopHistory {
    /// How it spent the last seconds.
    pub timing: Option<LoopTiming>,
    /// Its past, the latest point last.
    pub past: Arc<[Point]>,
    /// The point that is not over yet.
    pub now: Point,
    /// How many iterations had each length, as seen; by [`LENGTHS_MS`]. A recording does not tell.
    pub lengths: Option<[u64; LENGTHS_MS.len() + 1]>,
}

impl LoopHistory {
    /// The last `count` points, the latest last.
    pub fn last(&self, count: usize) -> impl Iterator<Item = &Point> {
        let from = self.past.len().saturating_sub(count.saturating_sub(1));
        self.past.get(from..).unwrap_or_default().iter().chain([&self.now]).take(count)
    }
}

/// How a loop did for half a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Point {
    /// The longest that an iteration was seen to have run callbacks, or a timer to be late;
    /// absent when the loop was not seen.
    pub lag: Option<Duration>,
    /// The most handles that were ready.
    pub ready: Option<u64>,
    /// The most timers that were scheduled.
    pub scheduled: Option<u64>,
}

impl Point {
    fn note(&mut self, other: Self) {
        self.lag = self.lag.max(other.lag);
        self.ready = self.ready.max(other.ready);
        self.scheduled = self.scheduled.max(other.scheduled);
    }
}

/// The blocking callbacks so far.
#[derive(Default)]
pub struct Blocked {
    ring: VecDeque<Arc<Stretch>>,
    shared: Option<Arc<[Arc<Stretch>]>>,
}

impl Blocked {
    /// Takes one in.
    pub fn note(&mut self, stretch: Arc<Stretch>) {
        self.ring.push_front(stretch);
        self.ring.truncate(MAX_BLOCKED);
        self.shared = None;
    }

    /// All of them, the newest first.
    pub fn shared(&mut self) -> Arc<[Arc<Stretch>]> {
        let shared = self.shared.get_or_insert_with(|| self.ring.iter().cloned().collect());
        Arc::clone(shared)
    }
}

/// Gathers the histories of loops.
#[derive(Default)]
pub struct Histories {
    loops: FxHashMap<Address, Track>,
}

#[derive(Default)]
struct Track {
    past: VecDeque<Point>,
    shared: Arc<[Point]>,
    now: Point,
    now_began: Option<Timestamp>,
    last: Option<LoopGlance>,
    lengths: [u64; LENGTHS_MS.len() + 1],
    timing: Option<LoopTiming>,
}

impl Histories {
    /// Takes in a light sample.
    pub fn glance(&mut self, glance: &Glance) {
        for now in &glance.loops {
            let track = self.loops.entry(now.id).or_default();
            let held = match (now.phase, now.began) {
                (Phase::Ready, Some(began)) => now.at.saturating_sub(began),
                _ => Duration::ZERO,
            };
            track.note(glance.taken_at, Point { lag: Some(held), ready: None, scheduled: None });
            track.count(now);
        }
    }

    /// Takes in a whole sample.
    pub fn whole(&mut self, snapshot: &Snapshot) {
        for of in &snapshot.loops {
            let is_run = of.may_run();
            let elapsed = of.iteration.as_ref().filter(|turn| turn.phase == Phase::Ready);
            let held = elapsed.and_then(|turn| turn.elapsed);
            let lag = is_run.then(|| held.max(of.lag).unwrap_or_default());
            let point = Point { lag, ready: of.ready, scheduled: of.scheduled };
            self.loops.entry(of.id).or_default().note(snapshot.taken_at, point);
        }
        // What is not there any more has no history that could be shown.
        self.loops.retain(|id, _| snapshot.loops.iter().any(|of| of.id == *id));
    }

    /// Takes in how loops spent the last seconds.
    pub fn timing(&mut self, id: Address, timing: LoopTiming) {
        if let Some(track) = self.loops.get_mut(&id) {
            track.timing = Some(timing);
        }
    }

    /// The histories of a snapshot's loops, in its order.
    pub fn of(&self, snapshot: &Snapshot) -> Vec<LoopHistory> {
        let history = |id: Address| match self.loops.get(&id) {
            Some(track) => LoopHistory {
                timing: track.timing.clone(),
                past: Arc::clone(&track.shared),
                now: track.now,
                lengths: Some(track.lengths),
            },
            None => LoopHistory::default(),
        };
        snapshot.loops.iter().map(|of| history(of.id)).collect()
    }
}

impl Track {
    fn note(&mut self, at: Timestamp, point: Point) {
        let began = *self.now_began.get_or_insert(at);
        let passed = Duration::try_from(at.duration_since(began)).unwrap_or_default();
        if passed >= POINT {
            self.past.push_back(self.now);
            // Nothing was seen for longer than a point: a gap, not the last value again.
            let missing = usize::try_from(passed.as_millis() / POINT.as_millis()).unwrap_or(0);
            let missing = missing.saturating_sub(1).min(MAX_POINTS);
            self.past.extend(std::iter::repeat_n(Point::default(), missing));
            while self.past.len() > MAX_POINTS {
                self.past.pop_front();
            }
            self.shared = self.past.iter().copied().collect();
            (self.now, self.now_began) = (Point::default(), Some(at));
        }
        self.now.note(point);
    }

    /// Counts an iteration that is over; it ended somewhere between two samples.
    fn count(&mut self, now: &LoopGlance) {
        let before = self.last.replace(now.clone());
        let Some(length) = before.and_then(|before| ready_between(&before, now)) else { return };
        let class = LENGTHS_MS
            .iter()
            .position(|most| length <= Duration::from_millis(*most))
            .unwrap_or(LENGTHS_MS.len());
        if let Some(count) = self.lengths.get_mut(class) {
            *count += 1;
        }
    }
}
