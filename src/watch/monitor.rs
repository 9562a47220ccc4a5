//! What happens to a target over time: from samples to events.
//!
//! A [`Monitor`] takes the samples of a target in and says what is new: a finding that came, went
//! or changed, a callback that blocked its loop, how the loops did. It knows no clock of its own:
//! time comes in with the samples.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::diagnose::{Diagnosis, Is, Observed, Usage, diagnose, over_time, rule};
use crate::memory::Address;
use crate::snapshot::BETWEEN_LOOKS;
use crate::snapshot::{
    Allowed, Cause, Code, Depth, Finding, FindingId, Glance, Phase, Severity, Snapshot, Task,
    TaskState,
};
use crate::timeline::{
    Callbacks, Cancellations, Collections, Fate, Growth, History, Iterations, Lives, Looks,
    LoopTiming, Pairs, PlaceTotals, Places, Requests, Sequences, Slow, Standing, Stretch,
};
use crate::watch::sampler::Sample;
use crate::watch::whole::glance_of;

/// The least time between two snapshots that are asked where tasks stay and how many there are.
const BETWEEN_COUNTS: Duration = Duration::from_millis(50);
/// The time over which it is counted how often a quota was used up, and the step of that.
const USAGE_OVER: Duration = Duration::from_secs(10);
const BETWEEN_USAGES: Duration = Duration::from_secs(1);
/// In so many comparisons in a row a finding must be missing to be closed. One snapshot in which it
/// is not seen spoils two of them.
const MISSING: u32 = 3;
/// Findings that are followed; those beyond are told as opened and forgotten.
const MAX_OPEN: usize = 1000;
/// Turns of cancellations that are told of one sample; those beyond are counted.
const MAX_TURNS: usize = 20;

/// What a monitor is to tell.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// From which length on a callback blocks its loop.
    pub threshold: Duration,
    /// How often loops are told about, and at most findings that only changed their words.
    pub interval: Duration,
    /// Tasks of one shape that grow in number for so long are a leak.
    pub growth_over: Duration,
    /// Who has been at one await for so long is stuck, unless idle by nature.
    pub stuck_after: Duration,
    /// From which age on a request takes long.
    pub slow_after: Duration,
    /// Whether each whole sample is taken for a light one, too: where there are no others.
    pub glances_from_whole: bool,
    /// Findings that are known, and are no reason to worry.
    pub allowed: Allowed,
    /// Whether anything is followed: else samples pass, and no event comes of them.
    pub follows: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threshold: Duration::from_millis(100),
            interval: Duration::from_secs(10),
            growth_over: Duration::from_secs(60),
            stuck_after: Duration::from_secs(10),
            slow_after: Duration::from_secs(10),
            glances_from_whole: false,
            allowed: Allowed::default(),
            follows: true,
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The target was attached to again: it has replaced its program.
    Reattached,
    /// A finding came.
    Opened(Tracked),
    /// A finding is another than it was.
    Updated(Tracked),
    /// A finding went away.
    Closed(Tracked),
    /// A callback has blocked its loop.
    Blocked(Stretch),
    /// The cancellation of a task is further than it was: its last turn is new.
    Cancelled(History),
    /// Requests take long.
    Slow(Slow),
    /// How the target did for a while.
    Statistics(Statistics),
    /// It cannot be read just now, and why.
    Unreadable(String),
}

/// A finding with its history.
#[derive(Debug, Clone)]
pub struct Tracked {
    /// Its number, from 1.
    pub number: u64,
    /// When it came.
    pub opened_at: Timestamp,
    /// When it was last seen.
    pub seen_at: Timestamp,
    /// As it was then.
    pub finding: Finding,
    /// How severe it was before, in the event that says that it is not any more.
    pub was: Option<Severity>,
    /// How severe it was at worst.
    pub(crate) worst: Severity,
    /// When something was last told of it, by the monotonic clock.
    pub(crate) told_at: Duration,
    pub(crate) missing: u32,
}

/// How a target did for a while.
#[derive(Debug, Clone, Serialize)]
pub struct Statistics {
    /// When the while ended.
    pub at: Timestamp,
    /// Its loops.
    pub loops: Vec<LoopStatistics>,
    /// Its tasks at the last snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TaskCounts>,
    /// How many samples were taken.
    pub samples: u64,
    /// How many had no time.
    pub missed: u64,
    /// How many cancellations came so far meanwhile, also those that were not told one by one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cancellations: BTreeMap<Fate, u64>,
}

/// How a loop did.
#[derive(Debug, Clone, Serialize)]
pub struct LoopStatistics {
    /// The loop.
    pub id: Address,
    /// How it spent its time.
    #[serde(flatten)]
    pub timing: LoopTiming,
}

/// How many tasks there are.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TaskCounts {
    /// All that have not ended.
    pub pending: usize,
    /// Those that run or wait for their turn.
    pub ready: usize,
    /// Those with a cancellation that was asked for.
    pub cancelled: usize,
    /// Those that do not go on.
    #[serde(flatten)]
    pub standing: Standing,
}

/// All that a session came to.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// For how long the target was watched, in milliseconds.
    pub duration_ms: u64,
    /// How many samples were taken.
    pub samples: u64,
    /// How many had no time.
    pub missed: u64,
    /// How many findings came, by severity.
    pub findings: BTreeMap<Severity, u64>,
    /// Where callbacks blocked, the worst place first.
    pub blocking: Vec<PlaceTotals>,
}

/// One moment by both clocks: what people read, and what moments are compared by.
#[derive(Debug, Clone, Copy)]
struct Moment {
    wall: Timestamp,
    monotonic: Duration,
}

impl Moment {
    fn of(snapshot: &Snapshot) -> Self {
        Self { wall: snapshot.taken_at, monotonic: snapshot.during.began }
    }
}

/// Takes in samples and says what happened.
#[derive(Debug)]
pub struct Monitor {
    settings: Settings,
    callbacks: Callbacks,
    iterations: Iterations,
    places: Places,
    lives: Lives,
    cancellations: Cancellations,
    turns: BTreeMap<Fate, u64>,
    growth: Growth,
    requests: Requests,
    collections: Collections,
    sequences: Sequences,
    usages: VecDeque<Usage>,
    counted_at: Option<Duration>,
    /// The last snapshot that was compared with another, and what it says alone.
    before: Option<(Arc<Snapshot>, Diagnosis)>,
    last: Option<Arc<Snapshot>>,
    last_glance: Option<Glance>,
    open: Vec<Tracked>,
    opened: u64,
    worst: Option<Severity>,
    by_severity: BTreeMap<Severity, u64>,
    samples: (u64, u64),
    all_samples: (u64, u64),
    /// Moments by the monotonic clock: the wall clock may be set meanwhile.
    began: Option<Duration>,
    now: Option<Moment>,
    told_at: Option<Duration>,
    attached: u32,
}

impl Event {
    /// The finding that is new or more severe than it was, if the event is about one.
    pub fn raised(&self) -> Option<&Finding> {
        match self {
            Self::Opened(tracked) => Some(&tracked.finding),
            Self::Updated(tracked) => {
                let is_rise = tracked.was.is_some_and(|was| was < tracked.finding.severity);
                is_rise.then_some(&tracked.finding)
            }
            _ => None,
        }
    }
}

impl Monitor {
    /// One that tells what `settings` say.
    pub fn new(settings: Settings) -> Self {
        Self {
            growth: Growth::over(settings.growth_over),
            settings,
            callbacks: Callbacks::default(),
            iterations: Iterations::default(),
            places: Places::default(),
            lives: Lives::default(),
            cancellations: Cancellations::default(),
            turns: BTreeMap::new(),
            requests: Requests::default(),
            collections: Collections::default(),
            sequences: Sequences::default(),
            usages: VecDeque::new(),
            counted_at: None,
            before: None,
            last: None,
            last_glance: None,
            open: Vec::new(),
            opened: 0,
            worst: None,
            by_severity: BTreeMap::new(),
            samples: (0, 0),
            all_samples: (0, 0),
            began: None,
            now: None,
            told_at: None,
            attached: 0,
        }
    }

    /// Takes in a sample, and gives what is new. A whole one gets its findings.
    pub fn take(&mut self, sample: &mut Sample) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.settings.follows {
            if let Sample::Whole(snapshot) = sample {
                self.last = Some(Arc::clone(snapshot));
            }
            return events;
        }
        match sample {
            Sample::Attached(_) => {
                self.attached += 1;
                if self.attached > 1 {
                    self.forget_target();
                    events.push(Event::Reattached);
                }
            }
            Sample::Missed(count) => {
                self.samples.1 += *count;
                self.all_samples.1 += *count;
            }
            // Not of the target.
            Sample::Limited(_) => return events,
            Sample::Unreadable(error) => events.push(Event::Unreadable(error.to_string())),
            Sample::Glance(glance) => {
                self.note_time(Moment { wall: glance.taken_at, monotonic: glance.at });
                self.take_glance(glance.clone(), &mut events);
            }
            Sample::Whole(snapshot) => {
                self.note_time(Moment::of(snapshot));
                if self.settings.glances_from_whole {
                    self.take_glance(glance_of(snapshot), &mut events);
                }
                self.take_whole(snapshot, &mut events);
            }
        }
        events.extend(self.statistics());
        events
    }

    /// The last whole snapshot that tells what tasks wait for, with its findings.
    pub fn last(&self) -> Option<&Snapshot> {
        self.last.as_deref()
    }

    /// The same, to be kept.
    pub fn shared(&self) -> Option<Arc<Snapshot>> {
        self.last.clone()
    }

    /// The findings that are there.
    pub fn open(&self) -> &[Tracked] {
        &self.open
    }

    /// The callbacks that block their loops now.
    pub fn blocking(&self) -> Vec<Stretch> {
        let glance = self.last_glance.as_ref();
        glance
            .map(|glance| self.callbacks.ongoing(glance, self.settings.threshold))
            .unwrap_or_default()
    }

    /// The lives of the tasks that are there.
    pub fn lives(&self) -> &Lives {
        &self.lives
    }

    /// What became of the cancellations.
    pub fn cancellations(&self) -> &Cancellations {
        &self.cancellations
    }

    /// The tasks that do not go on at the last whole snapshot.
    pub fn standing(&self) -> Option<Standing> {
        Some(Standing::of(self.last()?, &self.lives, self.settings.stuck_after))
    }

    /// Where callbacks blocked so far, the worst place first.
    pub fn places(&self) -> Vec<PlaceTotals> {
        self.places.totals()
    }

    /// What is allowed, with what has been found so far.
    pub fn allowed(&self) -> &Allowed {
        &self.settings.allowed
    }

    /// The worst finding that there was, but for those that are allowed.
    pub fn worst(&self) -> Option<Severity> {
        self.worst
    }

    /// What it all came to. Callbacks that still run count as far as they have come.
    pub fn summary(&mut self) -> Summary {
        for stretch in self.blocking() {
            self.places.note(&stretch);
        }
        Summary {
            duration_ms: u64::try_from(self.observed().as_millis()).unwrap_or(u64::MAX),
            samples: self.all_samples.0,
            missed: self.all_samples.1,
            findings: self
                .by_severity
                .iter()
                .filter(|it| *it.1 > 0)
                .map(|it| (*it.0, *it.1))
                .collect(),
            blocking: self.places.totals(),
        }
    }

    /// For how long the target was watched.
    fn observed(&self) -> Duration {
        let both = self.began.zip(self.now);
        both.map(|(began, now)| now.monotonic.saturating_sub(began)).unwrap_or_default()
    }

    fn note_time(&mut self, now: Moment) {
        self.samples.0 += 1;
        self.all_samples.0 += 1;
        self.began.get_or_insert(now.monotonic);
        self.told_at.get_or_insert(now.monotonic);
        self.now = Some(now);
    }

    /// Another program runs in the process: nothing of the old one goes on.
    fn forget_target(&mut self) {
        self.callbacks = Callbacks::default();
        self.iterations = Iterations::default();
        self.lives = Lives::default();
        self.cancellations = Cancellations::default();
        self.growth = Growth::over(self.settings.growth_over);
        self.requests = Requests::default();
        self.collections = Collections::default();
        self.sequences = Sequences::default();
        self.usages.clear();
        self.before = None;
        self.last_glance = None;
    }

    fn take_glance(&mut self, glance: Glance, events: &mut Vec<Event>) {
        self.iterations.take(&glance);
        for stretch in self.callbacks.take(&glance, self.settings.threshold) {
            self.places.note(&stretch);
            events.push(Event::Blocked(stretch));
        }
        self.close_if(events, |tracked| is_past(tracked, &glance));
        self.last_glance = Some(glance);
    }

    fn take_whole(&mut self, shared: &mut Arc<Snapshot>, events: &mut Vec<Event>) {
        // Nobody else has it yet.
        let snapshot = Arc::make_mut(shared);
        for event_loop in &snapshot.loops {
            if let Some(lag) = event_loop.lag {
                self.iterations.note_lag(event_loop.id, lag);
            }
        }
        for (told, history) in self.cancellations.take(snapshot).into_iter().enumerate() {
            let came = history.turns.last().filter(|turn| !turn.is_earlier);
            if let Some(fate) = came.map(|turn| turn.fate) {
                *self.turns.entry(fate).or_default() += 1;
            }
            if told < MAX_TURNS {
                events.push(Event::Cancelled(history));
            }
        }
        let now = Moment::of(snapshot);
        let since_count = self.counted_at.map(|at| now.monotonic.saturating_sub(at));
        if since_count.is_none_or(|since| since >= BETWEEN_COUNTS) {
            self.counted_at = Some(now.monotonic);
            self.lives.take(snapshot);
            // How many of those there are that there was no memory for is not known.
            if snapshot.cut.is_none() {
                self.growth.take(snapshot);
            }
        }
        self.sequences.take(snapshot);
        self.collections.take(snapshot);
        let during = snapshot.during;
        let is_soon = |before: &Snapshot| before.during.least_until(&during) < BETWEEN_LOOKS;
        if snapshot.depth < Depth::Reasons {
            return;
        }
        let is_too_soon = self.before.as_ref().is_some_and(|(before, _)| is_soon(before));
        if snapshot.depth < Depth::Evidence || is_too_soon {
            // What was found a moment ago still holds, for all that is known.
            if let Some((before, _)) = &self.before {
                snapshot.looks = before.looks;
                self.conclude(snapshot);
            }
            self.last = Some(Arc::clone(shared));
            return;
        }
        let slow = self.requests.take(snapshot, &self.lives, self.settings.slow_after);
        events.extend(slow.into_iter().map(Event::Slow));
        let raw = diagnose(Looks::one(snapshot));
        self.note_usage(snapshot);
        let before = self.before.take();
        // What may be told at one look is told with the second one, if it lasts.
        if let Some((first, first_raw)) = &before {
            let looks = Looks { first: Some(first), last: snapshot, lives: Some(&self.lives) };
            let mut findings = diagnose(looks).confirmed_by(first_raw, looks).findings;
            let throttled = findings.iter().find(|it| it.code == Code::PodThrottled);
            let throttled = throttled.map(|it| it.id);
            findings.extend(over_time(Observed {
                time: self.observed(),
                now: snapshot,
                places: &self.places.totals(),
                growth: &self.growth,
                collections: &self.collections,
                sequences: &self.sequences,
                next_id: findings.iter().map(|it| it.id.0).max().unwrap_or(0) + 1,
                usage: self.usages.front().filter(|_| throttled.is_none()),
                throttled,
            }));
            self.settings.allowed.mark(&mut findings);
            self.follow(findings, now, events);
            // All tasks are compared for it: only where something may have moved.
            if self.open.iter().any(Moved::may_be_past) {
                let moved =
                    Moved::between(Looks { first: Some(first), last: snapshot, lives: None });
                self.close_if(events, |tracked| moved.is_past(tracked));
            }
        }
        snapshot.looks = Some(if before.is_some() { 2 } else { 1 });
        self.conclude(snapshot);
        self.before = Some((Arc::clone(shared), raw));
        self.last = Some(Arc::clone(shared));
    }

    /// Gives a snapshot the findings that are there, and what it comes to by them.
    fn conclude(&self, snapshot: &mut Snapshot) {
        snapshot.findings = Some(self.open.iter().map(|it| it.finding.clone()).collect());
        snapshot.conclude_in_series();
    }

    /// Closes what was not seen again and `is_over`; the rest may just not have been seen.
    fn close_if(&mut self, events: &mut Vec<Event>, is_over: impl Fn(&Tracked) -> bool) {
        // Most of the time none is, and it is asked at each light sample.
        if !self.open.iter().any(&is_over) {
            return;
        }
        let (gone, open): (Vec<_>, _) =
            std::mem::take(&mut self.open).into_iter().partition(is_over);
        self.open = open;
        events.extend(gone.into_iter().map(Event::Closed));
    }

    /// Keeps what was used of the quotas in the last seconds.
    fn note_usage(&mut self, snapshot: &Snapshot) {
        let now = snapshot.during.began;
        let is_old = |usage: &Usage| now.saturating_sub(usage.at()) > USAGE_OVER;
        while self.usages.front().is_some_and(is_old) {
            self.usages.pop_front();
        }
        let is_soon = |usage: &Usage| now.saturating_sub(usage.at()) < BETWEEN_USAGES;
        if !self.usages.back().is_some_and(is_soon) {
            self.usages.extend(Usage::of(snapshot));
        }
    }

    /// Tells which findings came, changed and went.
    fn follow(&mut self, findings: Vec<Finding>, now: Moment, events: &mut Vec<Event>) {
        for tracked in &mut self.open {
            tracked.missing += 1;
        }
        // A finding's number is what it has among all that were ever found here.
        let mut numbers: FxHashMap<FindingId, FindingId> = FxHashMap::default();
        let mut before: Vec<Option<usize>> = vec![None; findings.len()];
        // What a callback or a task does may change its key; it is then the one with the same
        // tasks, unless that is another one's.
        for is_it in [is_same, is_about_same] {
            for (finding, at) in findings.iter().zip(&mut before).filter(|(_, at)| at.is_none()) {
                let mut open = self.open.iter_mut().enumerate();
                let known = open.find(|(_, it)| it.missing > 0 && is_it(&it.finding, finding));
                if let Some((found, known)) = known {
                    known.missing = 0;
                    numbers.insert(finding.id, FindingId(known.number));
                    *at = Some(found);
                }
            }
        }
        for finding in &findings {
            numbers.entry(finding.id).or_insert_with(|| {
                self.opened += 1;
                FindingId(self.opened)
            });
        }
        let number = |finding: &Finding| numbers.get(&finding.id).map_or(0, |id| id.0);
        let order: FxHashMap<u64, usize> = findings.iter().map(number).zip(0..).collect();
        let mut opened = Vec::new();
        for (mut finding, at) in findings.into_iter().zip(before) {
            finding.id = numbers.get(&finding.id).copied().unwrap_or(FindingId::NONE);
            finding.because_of = finding.because_of.and_then(|it| numbers.get(&it).copied());
            if !finding.is_allowed {
                self.worst = self.worst.max(Some(finding.severity));
            }
            let Some(known) = at.and_then(|at| self.open.get_mut(at)) else {
                *self.by_severity.entry(finding.severity).or_default() += 1;
                let number = finding.id.0;
                let (opened_at, seen_at, told_at) = (now.wall, now.wall, now.monotonic);
                let worst = finding.severity;
                opened.push(Tracked {
                    number,
                    opened_at,
                    seen_at,
                    finding,
                    was: None,
                    worst,
                    told_at,
                    missing: 0,
                });
                continue;
            };
            let was = known.finding.severity;
            let since = now.monotonic.saturating_sub(known.told_at);
            let is_other = known.finding.title != finding.title
                || known.finding.tasks.len() != finding.tasks.len();
            known.finding = finding;
            known.seen_at = now.wall;
            let severity = known.finding.severity;
            if severity > known.worst {
                // Each is counted once, as what it was at worst.
                if let Some(count) = self.by_severity.get_mut(&known.worst) {
                    *count = count.saturating_sub(1);
                }
                *self.by_severity.entry(severity).or_default() += 1;
                known.worst = severity;
            }
            if was != severity || is_other && since >= self.settings.interval {
                known.told_at = now.monotonic;
                let was = Some(was).filter(|was| *was != severity);
                events.push(Event::Updated(Tracked { was, ..known.clone() }));
            }
        }
        for tracked in opened {
            if self.open.len() < MAX_OPEN {
                self.open.push(tracked.clone());
            }
            events.push(Event::Opened(tracked));
        }
        // In the order in which they were found now, which is by how bad they are.
        self.open.sort_by_key(|it| order.get(&it.number).copied().unwrap_or(usize::MAX));
        self.close_if(events, |tracked| tracked.missing >= MISSING);
    }

    /// How it did since this was told last, if that is due.
    fn statistics(&mut self) -> Option<Event> {
        let (now, told_at) = self.now.zip(self.told_at)?;
        if now.monotonic.saturating_sub(told_at) < self.settings.interval {
            return None;
        }
        self.told_at = Some(now.monotonic);
        let loops = self.iterations.drain().into_iter();
        let loops = loops.map(|(id, timing)| LoopStatistics { id, timing }).collect();
        let (samples, missed) = std::mem::take(&mut self.samples);
        let standing = self.standing();
        let tasks = self.last.as_deref().zip(standing);
        let tasks = tasks.map(|(last, standing)| TaskCounts::of(last, standing));
        let cancellations = std::mem::take(&mut self.turns);
        let at = now.wall;
        Some(Event::Statistics(Statistics { at, loops, tasks, samples, missed, cancellations }))
    }
}

impl TaskCounts {
    fn of(snapshot: &Snapshot, standing: Standing) -> Self {
        let mut counts = Self { standing, ..Self::default() };
        for task in &snapshot.tasks {
            match task.state {
                Some(state) if state.is_finished() => continue,
                Some(TaskState::Running | TaskState::Ready) => counts.ready += 1,
                _ => {}
            }
            counts.pending += 1;
            counts.cancelled += usize::from(task.cancellation.is_some());
        }
        counts
    }
}

/// Whether a finding is about an iteration that a light sample shows to be over: its loop polls.
fn is_past(tracked: &Tracked, glance: &Glance) -> bool {
    let is_held = rule(tracked.finding.code).is(Is::OverWithIteration);
    let polls = |id| glance.loops.iter().any(|it| it.id == id && it.phase == Phase::Select);
    is_held && tracked.seen_at < glance.taken_at && tracked.finding.loop_id.is_some_and(polls)
}

/// What moved from one whole snapshot to the next.
struct Moved<'s> {
    pairs: Pairs<'s>,
    now: FxHashMap<Address, &'s Task>,
}

impl<'s> Moved<'s> {
    fn between(looks: Looks<'s>) -> Self {
        let now = looks.last.tasks.iter().map(|task| (task.id, task)).collect();
        Self { pairs: looks.pairs(), now }
    }

    /// Whether a finding was not seen again that said that something stands still: what is only
    /// worth knowing comes and goes by its nature.
    fn may_be_past(tracked: &Tracked) -> bool {
        tracked.missing > 0 && tracked.finding.severity > Severity::Info
    }

    /// Whether it said so of a task that has moved. One that is not there may just not have been
    /// read: that waits.
    fn is_past(&self, tracked: &Tracked) -> bool {
        let has_moved = |id: &Address| {
            let Some(task) = self.now.get(id) else { return false };
            let was_there = self.pairs.before(task).is_some();
            task.is_over() || was_there && !self.pairs.has_not_moved(task)
        };
        Self::may_be_past(tracked) && tracked.finding.tasks.first().is_some_and(has_moved)
    }
}

/// Whether two findings of different times are the same trouble: those of one key are told apart by
/// the tasks and the objects that they are about.
fn is_same(before: &Finding, now: &Finding) -> bool {
    let object = |finding: &Finding| finding.cause.as_ref().and_then(Cause::object);
    let has_no_tasks = before.tasks.is_empty() && now.tasks.is_empty();
    before.key == now.key
        && before.loop_id == now.loop_id
        && (has_no_tasks && object(before) == object(now) || is_about_same(before, now))
}

/// Whether they say the same of the same tasks.
fn is_about_same(before: &Finding, now: &Finding) -> bool {
    let has =
        |tasks: &[Address], first: Option<&Address>| first.is_some_and(|it| tasks.contains(it));
    before.code == now.code
        && before.loop_id == now.loop_id
        && (has(&before.tasks, now.tasks.first()) || has(&now.tasks, before.tasks.first()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{LOOP, Scene, task};
    use crate::snapshot::{BlockingKind, Location, LoopGlance, Rule, Verdict};

    fn whole(monitor: &mut Monitor, snapshot: Snapshot) -> Vec<Event> {
        monitor.take(&mut Sample::Whole(Arc::new(snapshot)))
    }

    /// The events of these snapshots, 300 ms apart, in a word each.
    fn told(scenes: &[Scene]) -> Vec<String> {
        let mut monitor = Monitor::new(Settings::default());
        let mut told = Vec::new();
        for (number, scene) in (0..).zip(scenes) {
            let mut snapshot = scene.snapshot.clone();
            snapshot.later(Duration::from_millis(300) * number);
            told.extend(whole(&mut monitor, snapshot).into_iter().map(|event| match event {
                Event::Opened(it) => format!("opened {} {}", it.number, it.finding.code),
                Event::Updated(it) => format!("updated {}", it.number),
                Event::Closed(it) => format!("closed {}", it.number),
                _ => "other".to_owned(),
            }));
        }
        told
    }

    #[test]
    fn a_finding_is_told_once_and_closed_when_it_is_gone_for_good() {
        let stuck = || Scene::new().with([task(1).at_lock(900, &[2]), task(2).at_lock(901, &[1])]);
        let well = Scene::new;
        let opened = "opened 1 deadlock";
        assert_eq!(told(&[stuck(), stuck(), stuck(), stuck()]), [opened]);
        // Missing once it may just not have been seen.
        assert_eq!(told(&[stuck(), stuck(), well(), stuck()]), [opened]);
        let gone = [stuck(), stuck(), well(), well(), well(), stuck(), stuck()];
        assert_eq!(told(&gone), [opened, "closed 1", "opened 2 deadlock"]);
        // What is seen by the first look alone is not told yet.
        assert_eq!(told(&[stuck(), well(), well()]), [""; 0]);
    }

    #[test]
    fn a_sample_has_the_findings_that_are_there_and_what_it_comes_to() {
        let stuck = || Scene::new().with([task(1).at_lock(900, &[2]), task(2).at_lock(901, &[1])]);
        let scenes = [stuck(), stuck(), Scene::new(), Scene::new(), Scene::new(), Scene::new()];
        let mut monitor = Monitor::new(Settings::default());
        let mut told = Vec::new();
        for (number, scene) in (0..).zip(scenes) {
            let mut snapshot = scene.snapshot;
            snapshot.later(Duration::from_millis(300) * number);
            whole(&mut monitor, snapshot);
            let last = monitor.last().unwrap();
            let ids = last.findings.iter().flatten().map(|it| it.id.0).collect::<Vec<_>>();
            assert_eq!(ids, monitor.open().iter().map(|it| it.number).collect::<Vec<_>>());
            told.push((last.verdict.unwrap(), ids.len()));
        }
        let (undecided, ok) = ((Verdict::Undecided, 0), (Verdict::Ok, 0));
        // It may just not have been seen.
        let found = (Verdict::Findings, 1);
        assert_eq!(told, [undecided, found, found, found, ok, ok]);
    }

    /// Two deadlocks of the same functions have one key, and are two troubles all the same.
    #[test]
    fn troubles_of_one_key_are_told_apart_by_their_tasks() {
        let pair = |a: u64, line: u64| {
            let other = a + 10;
            [(a, other), (other, a)].map(|(mine, its)| {
                let at = move |task: &mut Task| {
                    let frame = &mut task.frames[0];
                    let known = Location::clone(&frame.location);
                    let line = Some(u32::try_from(line).unwrap());
                    frame.location = Arc::new(Location { line, ..known });
                };
                task(mine).at_lock(900 + its, &[its]).and(at)
            })
        };
        let both = || Scene::new().with(pair(1, 5)).with(pair(2, 7));
        let one = || Scene::new().with(pair(2, 7));
        let opened = ["opened 1 deadlock", "opened 2 deadlock"];
        assert_eq!(told(&[both(), both(), both()]), opened);
        let gone = ["opened 1 deadlock", "opened 2 deadlock", "closed 1"];
        assert_eq!(told(&[both(), both(), one(), one(), one()]), gone);
        let keys = |scene: Scene| {
            let findings = scene.twice().findings.into_iter();
            findings.map(|finding| finding.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(both()), ["deadlock/app.py:work"; 2]);
    }

    #[test]
    fn a_held_iteration_is_over_when_its_loop_polls() {
        let blocked = Scene::new()
            .in_callback(1, 3000)
            .blocked_by(BlockingKind::Sleep, |_| ())
            .with([task(1).runs()]);
        let mut monitor = Monitor::new(Settings::default());
        let mut told = Vec::new();
        let mut take = |monitor: &mut Monitor, mut sample| {
            for event in monitor.take(&mut sample) {
                match event {
                    Event::Opened(it) => told.push(format!("opened {}", it.finding.code)),
                    Event::Closed(it) => told.push(format!("closed {}", it.finding.code)),
                    _ => {}
                }
            }
        };
        let mut now = Timestamp::UNIX_EPOCH;
        for elapsed in [3000, 3300] {
            let scene = blocked.clone().in_callback(1, elapsed);
            now += Duration::from_millis(300);
            let mut snapshot = Snapshot { taken_at: now, ..scene.snapshot };
            snapshot.during = crate::snapshot::Interval::at(Duration::from_millis(elapsed));
            take(&mut monitor, Sample::Whole(Arc::new(snapshot)));
        }
        let glance = |phase, after: u64| {
            let at = Duration::from_millis(5000 + after);
            let event_loop = LoopGlance {
                id: LOOP,
                thread: None,
                at,
                read_by: at,
                phase,
                began: (phase == Phase::Ready).then_some(Duration::from_millis(1)),
                wait: None,
                callback: None,
                total: None,
                processor: None,
                work: None,
            };
            let taken_at = now + Duration::from_millis(after);
            Sample::Glance(Glance { taken_at, at, loops: vec![event_loop] })
        };
        take(&mut monitor, glance(Phase::Ready, 1));
        assert_eq!(monitor.open().len(), 1);
        take(&mut monitor, glance(Phase::Select, 2));
        assert_eq!(monitor.open().len(), 0);
        assert_eq!(told, ["opened loop-blocked", "closed loop-blocked"]);
    }

    #[test]
    fn what_stood_still_is_over_when_its_task_has_moved() {
        let circle = |second: u64| {
            Scene::new().with([task(1).at_lock(900, &[2]), task(2).at_lock(second, &[1])])
        };
        let moved = || Scene::new().with([task(1).sleeps(10), task(2).sleeps(10)]);
        let opened = "opened 1 deadlock";
        assert_eq!(told(&[circle(901), circle(901), moved()]), [opened, "closed 1"]);
    }

    #[test]
    fn a_finding_that_gets_worse_is_told_as_raised_and_counted_once() {
        use Severity::{Info, Warning};
        let mut monitor = Monitor::new(Settings::default());
        let waiting = || Scene::new().with([task(1).reads_socket(), task(2).at_lock(900, &[1])]);
        let mut told = Vec::new();
        for second in 0..10 {
            let mut snapshot = waiting().snapshot;
            snapshot.later(Duration::from_secs(second));
            // It goes on turning: nothing but time tells.
            snapshot.loops[0].iteration_id = Some(second);
            for event in whole(&mut monitor, snapshot) {
                let raised = event.raised().map(|finding| finding.severity);
                match &event {
                    Event::Opened(it) => told.push(("opened", it.was, raised)),
                    Event::Updated(it) => told.push(("updated", it.was, raised)),
                    _ => {}
                }
            }
        }
        assert_eq!(told, [("opened", None, Some(Info)), ("updated", Some(Info), Some(Warning))]);
        assert_eq!(monitor.summary().findings.get(&Warning), Some(&1));
        assert_eq!(monitor.summary().findings.get(&Info), None);
        assert_eq!(monitor.worst(), Some(Warning));
    }

    #[test]
    fn what_is_allowed_is_told_as_such_and_is_not_the_worst() {
        let allowed = Allowed::new([Rule::new(Code::Deadlock, None)]);
        let mut monitor = Monitor::new(Settings { allowed, ..Settings::default() });
        let stuck = Scene::new().with([task(1).at_lock(900, &[2]), task(2).at_lock(901, &[1])]);
        let mut told = Vec::new();
        for number in 0..2 {
            let mut snapshot = stuck.snapshot.clone();
            snapshot.later(Duration::from_millis(300) * number);
            for event in whole(&mut monitor, snapshot) {
                told.extend(event.raised().map(|it| (it.severity, it.is_allowed)));
            }
        }
        assert_eq!(told, [(Severity::Critical, true)]);
        assert_eq!(monitor.worst(), None);
        assert_eq!(monitor.allowed().unused().count(), 0);
    }

    /// A recording has no light samples: each whole one tells what blocks, and is one sample.
    #[test]
    fn a_whole_sample_that_is_a_light_one_too_is_counted_once() {
        let mut settings = Settings { glances_from_whole: true, ..Settings::default() };
        settings.interval = Duration::from_secs(1);
        let mut monitor = Monitor::new(settings);
        let mut told = Vec::new();
        for number in 0..=10_u64 {
            let scene = Scene::new().in_callback(1, 100 * number);
            let mut snapshot = scene.blocked_by(BlockingKind::Sleep, |_| ()).snapshot;
            snapshot.later(Duration::from_millis(100 * number));
            snapshot.told_from = Some(snapshot.during.began);
            for event in whole(&mut monitor, snapshot) {
                if let Event::Statistics(statistics) = event {
                    told.push((statistics.samples, statistics.loops.len()));
                }
            }
        }
        assert_eq!(told, [(11, 1)]);
        assert_eq!(monitor.summary().samples, 11);
        let blocking = monitor.blocking();
        assert_eq!(blocking.len(), 1, "{blocking:?}");
        assert_eq!(blocking[0].kind(), BlockingKind::Sleep);
    }

    #[test]
    fn a_wall_clock_that_is_set_back_stops_nothing() {
        let mut monitor = Monitor::new(Settings::default());
        let stuck = Scene::new().with([task(1).at_lock(900, &[2]), task(2).at_lock(901, &[1])]);
        let mut told = Vec::new();
        for number in 0..2 {
            let mut snapshot = stuck.snapshot.clone();
            snapshot.later(Duration::from_secs(7) * number);
            snapshot.taken_at =
                snapshot.taken_at.checked_sub(20 * Duration::from_secs(7) * number).unwrap();
            let events = whole(&mut monitor, snapshot);
            told.extend(events.iter().map(|event| matches!(event, Event::Opened(_))));
        }
        assert_eq!(told, [true]);
        assert_eq!(monitor.summary().duration_ms, 7_000);
        let life = monitor.lives().of(&stuck.snapshot.tasks[0]).unwrap();
        assert_eq!(life.at_await, Some(Duration::from_secs(7)));
    }
}
