//! Which tasks make one call after the other, over many whole samples.
//!
//! A task that is found in the same `for` loop each time, waiting for something outside, and at
//! another turn of it, makes its calls in sequence. How many it made tells the loop's iterator;
//! where that does not, variables that have changed are of another turn.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::lives::who;
use crate::known::name;
use crate::known::purpose::{Module, Purpose, Wait};
use crate::memory::Address;
use crate::snapshot::{
    Depth, Frame, Location, Looping, Snapshot, Task, TaskState, WaitKind, Waiting,
};

/// Tasks that are followed; with more of them in loops at a time there is concurrency enough.
const MAX_TASKS: usize = 1000;
/// In so many samples in a row a task must be elsewhere to have left its loop.
const MISSING: u32 = 3;
/// So long a task must have been in its loop.
const LEAST_TIME: Duration = Duration::from_secs(5);
/// So many calls it must have made meanwhile.
const LEAST_CALLS: u64 = 10;

/// The tasks that are in loops.
#[derive(Debug, Default)]
pub struct Sequences {
    tasks: FxHashMap<Address, Run>,
}

/// A series of calls that one task made.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// The task.
    pub task: Address,
    /// Where it awaits the calls.
    pub location: Arc<Location>,
    /// The line of the loop.
    pub loop_line: Option<u32>,
    /// What is called, where that can be told.
    pub callee: Option<String>,
    /// For how long it was watched.
    pub time: Duration,
    /// How many calls it made meanwhile.
    pub calls: u64,
    /// Whether that is their exact number, not the least.
    pub is_exact: bool,
    /// How many turns of the loop are done in all.
    pub done: Option<u64>,
    /// How many come after the present one.
    pub left: Option<u64>,
    /// In how many samples it was found in the loop.
    pub samples: u32,
    /// In how many it was found elsewhere.
    pub elsewhere: u32,
    /// In how many it waited for what.
    pub kinds: BTreeMap<WaitKind, u32>,
}

impl Sequence {
    /// How long one call takes.
    pub fn mean(&self) -> Duration {
        self.time / u32::try_from(self.calls.max(1)).unwrap_or(u32::MAX)
    }
}

/// A task in a loop.
#[derive(Debug)]
struct Run {
    /// Tells it from another that got its address.
    who: u64,
    looping: Looping,
    since: Duration,
    seen: Duration,
    /// In how many samples it was in the loop, elsewhere, and busy.
    samples: u32,
    elsewhere: u32,
    busy: u32,
    missing: u32,
    calls: u64,
    is_exact: bool,
    /// Whether others do the same at the same time.
    is_shared: bool,
    kinds: BTreeMap<WaitKind, u32>,
    /// The places where it awaits.
    places: Vec<AwaitSite>,
}

/// A place where a task awaits calls.
#[derive(Debug)]
struct AwaitSite {
    location: Arc<Location>,
    /// What is called there, once that was seen.
    callee: Option<String>,
    /// How often it was seen.
    count: u32,
}

/// Where a task is.
enum Where<'t> {
    /// In a loop, at a call.
    Looping(&'t Looping, &'t Frame),
    /// It runs or is about to: between two calls, or not.
    Busy,
    Elsewhere,
}

impl Sequences {
    /// Takes in a whole sample.
    pub fn take(&mut self, snapshot: &Snapshot) {
        if snapshot.depth < Depth::Evidence {
            return;
        }
        let now = snapshot.during;
        let crowd = Crowd { snapshot, counts: OnceCell::new() };
        let mut tasks = FxHashMap::default();
        for task in &snapshot.tasks {
            let known = self.tasks.remove(&task.id);
            // There are many that were never in a loop.
            if known.is_none() && task.looping().is_none() {
                continue;
            }
            let who = who(task);
            let known = known.filter(|known| known.who == who);
            let run = match (where_is(task), known) {
                (Where::Looping(looping, frame), known) => {
                    let known = known.filter(|known| known.looping.site == looping.site);
                    let mut run = known.unwrap_or_else(|| Run::new(who, looping, now.ended));
                    run.note(looping, frame, task, &crowd, now.began);
                    Some(run)
                }
                (Where::Busy, known) => known.map(|mut run| {
                    run.busy = run.busy.saturating_add(1);
                    run
                }),
                (Where::Elsewhere, known) => known.and_then(|mut run| {
                    run.elsewhere = run.elsewhere.saturating_add(1);
                    run.missing += 1;
                    (run.missing < MISSING).then_some(run)
                }),
            };
            if let Some(run) = run.filter(|_| tasks.len() < MAX_TASKS) {
                tasks.insert(task.id, run);
            }
        }
        self.tasks = tasks;
    }

    /// Those that went on for long enough and have not ended, by task.
    pub fn all(&self) -> Vec<Sequence> {
        let mut all: Vec<_> = self.tasks.iter().filter_map(|(task, run)| run.told(*task)).collect();
        all.sort_unstable_by_key(|one| one.task);
        all
    }
}

impl Run {
    fn new(who: u64, looping: &Looping, now: Duration) -> Self {
        Self {
            who,
            looping: looping.clone(),
            since: now,
            seen: now,
            samples: 0,
            elsewhere: 0,
            busy: 0,
            missing: 0,
            calls: 0,
            is_exact: true,
            is_shared: false,
            kinds: BTreeMap::new(),
            places: Vec::new(),
        }
    }

    fn note(
        &mut self,
        looping: &Looping,
        frame: &Frame,
        task: &Task,
        crowd: &Crowd<'_>,
        now: Duration,
    ) {
        /// Awaits in one loop that are told apart.
        const MAX_PLACES: usize = 8;
        let before = (self.looping.done, self.looping.left);
        match (before, looping.done, looping.left) {
            ((Some(before), _), Some(done), _) if done >= before => self.calls += done - before,
            ((None, Some(before)), None, Some(left)) if left <= before => {
                self.calls += before - left;
            }
            // It has begun anew.
            ((Some(_), _), Some(done), _) => {
                self.calls += done + 1;
                self.is_exact = false;
            }
            _ => {
                self.calls += u64::from(looping.turn != self.looping.turn);
                self.is_exact = false;
            }
        }
        self.looping = looping.clone();
        self.seen = now;
        self.samples = self.samples.saturating_add(1);
        self.missing = 0;
        self.is_shared |= looping.is_shared || crowd.is_shared(task);
        if let Some(waiting) = &task.waiting_on {
            *self.kinds.entry(waiting.kind()).or_default() += 1;
        }
        let known = self.places.iter_mut().find(|known| known.location == frame.location);
        if let Some(known) = known {
            known.count += 1;
            known.callee = known.callee.take().or_else(|| callee(looping, task, crowd));
        } else if self.places.len() < MAX_PLACES {
            let callee = callee(looping, task, crowd);
            self.places.push(AwaitSite { location: Arc::clone(&frame.location), callee, count: 1 });
        }
    }

    fn told(&self, task: Address) -> Option<Sequence> {
        let time = self.seen.saturating_sub(self.since);
        let is_mostly = u64::from(self.elsewhere) * 10 <= u64::from(self.samples);
        if self.is_shared
            || self.missing > 0
            || time < LEAST_TIME
            || self.calls < LEAST_CALLS
            || !is_mostly
            || self.busy > self.samples
        {
            return None;
        }
        let AwaitSite { location, callee, .. } = self.places.iter().max_by_key(|it| it.count)?;
        Some(Sequence {
            task,
            location: Arc::clone(location),
            loop_line: self.looping.line,
            callee: callee.clone(),
            time,
            calls: self.calls,
            is_exact: self.is_exact,
            done: self.looping.done,
            left: self.looping.left,
            samples: self.samples,
            elsewhere: self.elsewhere,
            kinds: self.kinds.clone(),
        })
    }
}

/// The tasks of a snapshot, asked who does the same as others.
struct Crowd<'s> {
    snapshot: &'s Snapshot,
    counts: OnceCell<FxHashMap<&'s str, u32>>,
}

impl Crowd<'_> {
    /// Whether what a task waits for is one of several of its kind, tasks or calls in threads: then
    /// these run at the same time already, and are only waited for one after the other.
    fn is_shared(&self, task: &Task) -> bool {
        let Some(waiting) = task.waiting_on.as_deref() else { return false };
        match waiting.kind() {
            WaitKind::Executor => {
                let jobs = self.snapshot.executors.iter().flat_map(|pool| &pool.jobs);
                return waiting.function().is_some()
                    && jobs.filter(|job| job.function.as_deref() == waiting.function()).count()
                        > 1;
            }
            WaitKind::Task => {}
            _ => return false,
        }
        let Some(coroutine) = self.awaited(waiting).and_then(|it| it.coroutine.as_deref()) else {
            return waiting.tasks().len() > 1;
        };
        let counts = self.counts.get_or_init(|| {
            let mut counts = FxHashMap::default();
            for task in self.snapshot.tasks.iter().filter(|task| !task.is_over()) {
                if let Some(coroutine) = task.coroutine.as_deref() {
                    *counts.entry(coroutine).or_default() += 1;
                }
            }
            counts
        });
        waiting.tasks().len() > 1 || counts.get(coroutine).is_some_and(|count| *count > 1)
    }

    /// The task that is waited for.
    fn awaited(&self, waiting: &Waiting) -> Option<&Task> {
        let id = waiting.tasks().first().copied().or(waiting.object)?;
        self.snapshot.tasks.iter().find(|task| task.id == id)
    }
}

fn where_is(task: &Task) -> Where<'_> {
    if matches!(task.state, Some(TaskState::Ready | TaskState::Running)) {
        return Where::Busy;
    }
    let Some(looping) = task.looping() else { return Where::Elsewhere };
    let Some((frame, inner)) = task.frames.get(looping.frame..).and_then(<[Frame]>::split_first)
    else {
        return Where::Elsewhere;
    };
    // Whatever is awaited by the loop itself may have begun before, but for what is given to a
    // thread there and then.
    let is_offloaded = || {
        let kind = task.waiting_on.as_ref().map(|waiting| waiting.kind());
        kind == Some(WaitKind::Executor)
    };
    let is_one_of_calls =
        inner.first().map_or_else(is_offloaded, |inner| !is_in_order(&inner.location));
    if is_one_of_calls { Where::Looping(looping, frame) } else { Where::Elsewhere }
}

/// Whether a function is of those that have an order.
fn is_in_order(location: &Location) -> bool {
    location.module() == Some(Module::AsyncioStreams) && !name::opens_connection(&location.function)
        || name::is_in_order(&location.function)
}

/// What is called in the loop, by the first of its functions that says something.
fn callee(looping: &Looping, task: &Task, crowd: &Crowd<'_>) -> Option<String> {
    let inner = task.frames.get(looping.frame + 1..)?;
    let says_something = |frame: &&Frame| {
        !frame.location.is_asyncio() && !name::is_special(&frame.location.function)
    };
    let waiting = task.waiting_on.as_deref()?;
    let function = match (inner.iter().find(says_something), waiting.kind()) {
        (Some(frame), _) => Some(&*frame.location.function),
        (None, WaitKind::Executor) => waiting.function(),
        (None, WaitKind::Task) => crowd.awaited(waiting).and_then(|it| it.coroutine.as_deref()),
        // Its task may just have begun or ended: another look tells.
        (None, _) => {
            let first = inner.first().map(|frame| &frame.location);
            let is_other = |at: &&Arc<Location>| at.purpose() != Some(Purpose::Wait(Wait::WaitFor));
            first.filter(is_other).map(|at| &*at.function)
        }
    }?;
    Some(name::without_scope(function).to_owned())
}
