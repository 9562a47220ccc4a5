//! Conclusions: what is wrong in a target, from one or two snapshots of it.
//!
//! Plain functions from snapshots to [`Finding`]s, one file for each of them. Two rules stand
//! above all: a healthy program gives no warning, and the culprit is named, not its victims. What
//! cannot be told from one look is left to a second one.
//!
//! # Looks
//! Some findings need two looks by their nature: that a lock is held is healthy, that it was held
//! all the time may not be. The others are said at one look where there is only one. Where there
//! are two, what passes by itself has to be seen at both: a process that is just about to end has
//! a shutdown going on, too.
//!
//! Between two looks things can move and come back to where they were. What was only *seen* at the
//! same place twice, while its loop went on turning, makes a note of [`Severity::Info`]; what
//! cannot have moved makes a warning (see [`Stillness`]).
//!
//! # Cost
//! The tasks are gone through once, and each file looks only at those that may concern it:
//! 10,000 sleepers concern none.

pub mod graph;

mod asyncgen_open;
mod busy_spin;
mod cancel_swallowed;
mod cancel_undelivered;
mod cleanup_stuck;
mod confirm;
mod connection;
mod cross_loop;
mod deadlock;
mod draft;
mod exception_unretrieved;
mod executor_job_stuck;
mod executor_saturated;
mod gc_pause;
mod lock_convoy;
mod loop_blocked;
mod loop_self_deadlock;
mod nested_run;
mod never_awaited;
mod orphan_wait;
mod outlook;
mod over_time;
mod peer_silent;
mod permit_leaked;
mod pod_frozen;
mod pod_throttled;
mod pool_exhausted;
mod queue_stalled;
mod ready_backlog;
mod rule;
mod sequential_awaits;
mod shutdown_stuck;
mod slow_callbacks;
mod socket_stalled;
mod standstill;
mod startup_stuck;
mod subprocess_stuck;
mod task_leak;
mod task_orphaned;
#[cfg(test)]
pub(crate) mod tests;
mod timeout_overdue;
mod wakeup_lost;
mod words;

use std::cell::OnceCell;
use std::hash::Hash;
use std::time::Duration;

use jiff::SignedDuration;
use rustc_hash::{FxHashMap, FxHashSet};

use self::draft::Drafts;
use self::graph::Graph;
use crate::memory::Address;
use crate::snapshot::{
    Age, Code, Finding, Location, Operation, Severity, Shutdown, Snapshot, Source, Task, TaskState,
    Thread, Wait, WaitKind, Waiting,
};
use crate::timeline::{Looks, Pairs, Stillness};

pub use outlook::MAY_END;
pub use over_time::{Observed, over_time};
pub use pod_throttled::Usage;
pub use rule::{About, Blames, Is, Rule};

/// What was concluded.
#[derive(Debug, Clone, Default)]
pub struct Diagnosis {
    /// Root causes first.
    pub findings: Vec<Finding>,
    /// Whether something was seen that only a second look can tell from health.
    pub wants_second_look: bool,
}

/// Finds what one or two samples show.
type Find = fn(&Context<'_>, &mut Drafts);

/// The rules of all findings, in the order in which they are looked for.
pub const RULES: [&Rule; 35] = [
    &loop_blocked::RULE,
    &loop_self_deadlock::RULE,
    &cancel_swallowed::RULE,
    &cancel_undelivered::RULE,
    &timeout_overdue::RULE,
    &deadlock::RULE,
    &lock_convoy::RULE,
    &permit_leaked::RULE,
    &pool_exhausted::RULE,
    // How bad the next ones are hangs on what was found before.
    &cleanup_stuck::RULE,
    &executor_saturated::RULE,
    &executor_job_stuck::RULE,
    &shutdown_stuck::RULE,
    &startup_stuck::RULE,
    &queue_stalled::RULE,
    &orphan_wait::RULE,
    &peer_silent::RULE,
    &socket_stalled::RULE,
    &subprocess_stuck::RULE,
    &cross_loop::RULE,
    &busy_spin::RULE,
    &ready_backlog::RULE,
    &gc_pause::RULE,
    &never_awaited::RULE,
    &exception_unretrieved::RULE,
    &task_orphaned::RULE,
    &asyncgen_open::RULE,
    &nested_run::RULE,
    &pod_throttled::RULE,
    &pod_frozen::RULE,
    &wakeup_lost::RULE,
    &standstill::RULE,
    // What only time tells.
    &slow_callbacks::RULE,
    &sequential_awaits::RULE,
    &task_leak::RULE,
];

// One for each code, checked where it is compiled.
#[expect(clippy::indexing_slicing, reason = "it is evaluated by the compiler")]
const _: () = {
    let mut code = 0;
    while code < Code::ALL.len() {
        rule(Code::ALL[code]);
        code += 1;
    }
    assert!(RULES.len() == Code::ALL.len(), "a rule for each code");
};

/// The rule of a code.
#[expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "the compiler has looked each code up"
)]
pub const fn rule(code: Code) -> &'static Rule {
    let mut at = 0;
    while at < RULES.len() {
        if RULES[at].code as usize == code as usize {
            return RULES[at];
        }
        at += 1;
    }
    panic!("a code without a rule");
}

/// Draws conclusions from one or two looks.
pub fn diagnose(looks: Looks<'_>) -> Diagnosis {
    let context = Context::new(looks);
    let mut drafts = Drafts::default();
    for find in RULES.iter().filter_map(|rule| rule.find) {
        find(&context, &mut drafts);
    }
    pod_frozen::sort_out(looks, &mut drafts);
    if has_unread_tasks(looks) {
        drafts.retain(|code| !rule(code).is(Is::AboutAbsence));
    }
    drafts.finish(&context)
}

/// Whether tasks are missing that are there, so that what is not there need not be missing.
fn has_unread_tasks(looks: Looks<'_>) -> bool {
    !looks.last.has_all_tasks() || looks.first.is_some_and(|first| first.cut.is_some())
}

/// What all findings draw from.
#[derive(Debug)]
struct Context<'s> {
    looks: Looks<'s>,
    now: &'s Snapshot,
    /// The time between the looks at least; absent with one.
    gap: Option<Duration>,
    pairs: Pairs<'s>,
    graph: Graph<'s>,
    /// How many pending tasks each loop has.
    sizes: FxHashMap<Address, usize>,
    /// The loops that could run their tasks between the looks.
    able: FxHashSet<Address>,
    /// The tasks that were cancelled because everything ends, and are waited for.
    ending: FxHashSet<Address>,
    /// Tasks of which something is known about their cancellation.
    cancelled: Vec<&'s Task>,
    running: Vec<&'s Task>,
    /// Those with a time limit that is past.
    overdue: Vec<&'s Task>,
    /// Those that wait for something of another loop.
    foreign: Vec<&'s Task>,
    /// Those at a queue.
    at_queue: Vec<&'s Task>,
    /// Those that wait for a connection of a pool.
    at_pool: Vec<&'s Task>,
    /// Those at a socket.
    at_socket: Vec<&'s Task>,
    /// Those that wait for a call in a pool.
    offloading: Vec<&'s Task>,
    /// Those whose future nothing was found to resolve.
    unserved: Vec<&'s Task>,
    /// Those that nothing seems to refer to.
    forgotten: Vec<&'s Task>,
    /// The locks and semaphores that are waited for.
    lines: Vec<Line<'s>>,
    active: OnceCell<Vec<&'s Task>>,
    /// The tasks that refer to a thing, for those to which nothing else refers.
    enclosed: FxHashMap<Address, &'s [Address]>,
}

/// A lock or semaphore and the tasks that wait for it.
#[derive(Debug)]
struct Line<'s> {
    object: Address,
    /// What the first of them says of it.
    waiting: &'s Waiting,
    waiters: Vec<&'s Task>,
    holders: Vec<Address>,
    suspects: Vec<Address>,
}

impl Line<'_> {
    /// Whether nothing but that nobody tells them so keeps those in line from it.
    fn is_free(&self) -> bool {
        self.waiting.is_free()
    }
}

impl<'s> Context<'s> {
    fn new(looks: Looks<'s>) -> Self {
        let now = looks.last;
        let ending = now.shutdown.as_ref().map(Shutdown::all_cancelled);
        let ids = now.loops.iter().map(|known| known.id);
        let mut context = Self {
            looks,
            now,
            gap: looks.gap(),
            pairs: looks.pairs(),
            graph: Graph::new(now),
            sizes: FxHashMap::default(),
            able: ids.filter(|id| looks.could_run(Some(*id))).collect(),
            ending: ending.unwrap_or_default(),
            cancelled: Vec::new(),
            running: Vec::new(),
            overdue: Vec::new(),
            foreign: Vec::new(),
            at_queue: Vec::new(),
            at_pool: Vec::new(),
            at_socket: Vec::new(),
            offloading: Vec::new(),
            unserved: Vec::new(),
            forgotten: Vec::new(),
            lines: Vec::new(),
            active: OnceCell::new(),
            enclosed: now.enclosed().iter().map(|it| (it.object, &it.tasks[..])).collect(),
        };
        let mut lines = FxHashMap::default();
        for task in &now.tasks {
            context.sort_in(task, &mut lines);
        }
        // Tasks come in no order that means anything: those who came first, first.
        let place = |task: &&Task| {
            let waiting = task.waiting_on.as_deref();
            waiting.and_then(|waiting| waiting.position().at).unwrap_or(u64::MAX)
        };
        for line in &mut context.lines {
            line.waiters.sort_by_key(place);
        }
        context.at_queue.sort_by_key(place);
        context.at_pool.sort_by_key(place);
        context
    }

    /// Notes what of a task may concern a finding.
    fn sort_in(&mut self, task: &'s Task, lines: &mut FxHashMap<Address, usize>) {
        if task.is_over() {
            return;
        }
        if let Some(id) = task.loop_id {
            *self.sizes.entry(id).or_default() += 1;
        }
        if task.cancellation.is_some() {
            self.cancelled.push(task);
        }
        if task.state == Some(TaskState::Running) {
            self.running.push(task);
        }
        let Some(waiting) = &task.waiting_on else { return };
        if waiting.deadlines.iter().filter_map(|it| it.due_in).any(|due_in| due_in.is_negative()) {
            self.overdue.push(task);
        }
        if task.is_torn {
            return;
        }
        let is_foreign = |id: &Address| {
            let holder = self.task(*id);
            holder.is_some_and(|it| it.loop_id.is_some() && it.loop_id != task.loop_id)
        };
        if waiting.foreign_loop.is_some() || waiting.holders().iter().any(is_foreign) {
            self.foreign.push(task);
        }
        if !task.is_parked() {
            return;
        }
        let is_unknown_to_all = task
            .grounds
            .as_ref()
            .is_some_and(|grounds| grounds.references == Some(1) && !grounds.has_callbacks);
        if is_unknown_to_all && task.awaited_by.is_empty() {
            self.forgotten.push(task);
        }
        if waiting.is_served() == Some(false) || task.is_on_island() {
            self.unserved.push(task);
        }
        match (&waiting.wait, waiting.object) {
            (Wait::Lock(acquire) | Wait::Semaphore { acquire, .. }, Some(object)) => {
                let next = self.lines.len();
                let at = *lines.entry(object).or_insert(next);
                if at == next {
                    let (waiters, suspects) = (Vec::new(), Vec::new());
                    let holders = acquire.holders.to_vec();
                    self.lines.push(Line { object, waiting, waiters, holders, suspects });
                }
                if let Some(line) = self.lines.get_mut(at) {
                    // All of one line say the same of it, most of the time.
                    if *line.waiting.holders() != *acquire.holders {
                        merge(&mut line.holders, &acquire.holders);
                    }
                    if line.suspects[..] != *task.suspects() {
                        merge(&mut line.suspects, task.suspects());
                    }
                    line.waiters.push(task);
                }
            }
            (Wait::Queue { .. }, _) => self.at_queue.push(task),
            (Wait::Pool { .. }, _) => self.at_pool.push(task),
            (Wait::Socket(_), _) => self.at_socket.push(task),
            (Wait::Executor { .. }, _) => self.offloading.push(task),
            _ => {}
        }
    }

    /// The task with this id.
    fn task(&self, id: Address) -> Option<&'s Task> {
        self.graph.task(id)
    }

    fn thread(&self, tid: i32) -> Option<&'s Thread> {
        self.now.threads.iter().find(|thread| thread.tid == Some(tid))
    }

    /// Whether the task's loop could run it between the looks.
    fn could_run(&self, task: &Task) -> bool {
        task.loop_id.is_some_and(|id| self.able.contains(&id))
    }

    /// How sure it is that a task has not moved though it could have.
    fn stillness(&self, task: &Task) -> Stillness {
        self.stillness_within(task, MAX_WORK)
    }

    fn stillness_within(&self, task: &Task, depth: usize) -> Stillness {
        if !self.could_run(task) {
            return Stillness::Moved;
        }
        let own = self.pairs.stillness(task);
        if own != Stillness::Seemingly {
            return own;
        }
        // Who waits for work of its own that has not moved has not moved either.
        let Some(depth) = depth.checked_sub(1) else { return own };
        let work = self.work_of(task);
        let is_sure = |task: &&Task| self.stillness_within(task, depth) == Stillness::Surely;
        if !work.is_empty() && work.iter().all(is_sure) { Stillness::Surely } else { own }
    }

    /// The tasks that a task waits for, where it waits for all of these and nothing else, and nobody
    /// else for them: work of its own.
    fn work_of(&self, task: &Task) -> Vec<&'s Task> {
        let is_for_all = match task.waiting_on.as_deref().map(|waiting| &waiting.wait) {
            Some(Wait::Task { operation, .. }) => {
                !matches!(operation, Some(Operation::Wait | Operation::AsCompleted))
            }
            Some(Wait::Gather(_) | Wait::TaskGroup(_)) => true,
            _ => false,
        };
        if !is_for_all || !task.is_parked() {
            return Vec::new();
        }
        let node = graph::Node::Task(task.id);
        let work = self.graph.waits_for(node).into_iter().map(|node| match node {
            graph::Node::Task(id) => self.task(id).filter(|it| it.awaited_by == [task.id]),
            _ => None,
        });
        work.collect::<Option<_>>().unwrap_or_default()
    }

    /// For how long at least a task has not got on: as long as it stands where it is, or none of the
    /// work that it waits for has got on.
    fn stuck_for(&self, task: &Task) -> Duration {
        self.stuck_within(task, MAX_WORK)
    }

    fn stuck_within(&self, task: &Task, depth: usize) -> Duration {
        let work = depth.checked_sub(1).map(|depth| (self.work_of(task), depth));
        let of_work = work
            .and_then(|(work, depth)| work.iter().map(|task| self.stuck_within(task, depth)).min());
        self.stood_for(task).max(of_work.unwrap_or_default())
    }

    /// Whether those in a line keep their places: all that were in it at the first look too. One
    /// that is served meanwhile and joins again is most of the time behind others.
    fn stands(&self, line: &Line<'_>) -> bool {
        let place = |task: &Task| {
            let waiting = task.waiting_on.as_deref()?;
            (waiting.object == Some(line.object)).then_some(waiting.position().at)
        };
        let mut before =
            line.waiters.iter().filter_map(|task| Some((task, self.pairs.before(task)?)));
        before.all(|(task, before)| place(before).is_none_or(|was| Some(was) == place(task)))
    }

    /// For how long at least a task has stood where it is: no longer than its loop has been idle
    /// can be told of most, and the time between the looks of those that did not move.
    fn stood_for(&self, task: &Task) -> Duration {
        self.age_of(task).map(|age| age.time).unwrap_or_default()
    }

    /// The same with what says so.
    fn age_of(&self, task: &Task) -> Option<Age> {
        let since = task.waiting_on.as_ref().and_then(|waiting| waiting.since);
        let known = self.now.loops.iter().find(|known| Some(known.id) == task.loop_id);
        let idle = known.and_then(|known| known.idle_for);
        let gap = self.gap.filter(|_| self.stillness(task) != Stillness::Moved);
        let stood = self.looks.lives.and_then(|lives| lives.stood_for(task));
        [
            since.map(|time| Age::exact(time, Source::Timer)),
            idle.map(|time| Age::at_least(time, Source::Iteration)),
            gap.max(stood).map(|time| Age::at_least(time, Source::Samples)),
        ]
        .into_iter()
        .flatten()
        .max_by_key(|age| age.time)
    }

    /// For how long all of these have stood where they are.
    fn age<'t>(&self, tasks: impl IntoIterator<Item = &'t Task>) -> Option<Age> {
        let ages = tasks.into_iter().map(|task| self.age_of(task));
        ages.min_by_key(|age| age.map(|age| age.time)).flatten()
    }

    /// Whether the task does the graceful stop of a server.
    fn does_stop(&self, task: &Task) -> bool {
        self.now.shutdown.as_ref().is_some_and(|shutdown| shutdown.task == Some(task.id))
    }

    /// How many pending tasks a loop has.
    fn size(&self, loop_id: Option<Address>) -> usize {
        loop_id.and_then(|id| self.sizes.get(&id)).copied().unwrap_or(0)
    }

    /// Whether a thing is out of everybody's reach: only tasks refer to it, and each of these waits
    /// in the end for the thing itself, without a time limit.
    fn is_out_of_reach(&self, object: Address) -> bool {
        let Some(tasks) = self.enclosed.get(&object) else { return false };
        let waiting = self.graph.waiting_for(graph::Node::Object(object));
        let waiting: FxHashSet<Address> =
            waiting.into_iter().filter(|task| !is_limited(task)).map(|task| task.id).collect();
        tasks.iter().all(|id| waiting.contains(id))
    }

    /// Whether a thing is out of everybody's reach at both looks: one moment's count of references
    /// may be torn.
    fn stays_out_of_reach(&self, object: Address) -> bool {
        let was_enclosed = |first: &Snapshot| first.enclosed().iter().any(|it| it.object == object);
        self.looks.first.is_some_and(was_enclosed) && self.is_out_of_reach(object)
    }

    /// Whether tasks may have frames that were not read: then of nothing can be said that nobody
    /// has it.
    fn has_unread_frames(&self) -> bool {
        self.now.tasks.iter().any(|task| task.is_partly_read() && !task.is_over())
    }

    /// The tasks that may do something before long without being asked to.
    fn active(&self) -> &[&'s Task] {
        self.active.get_or_init(|| self.now.tasks.iter().filter(|task| is_active(task)).collect())
    }

    /// How a call is moved to a thread in the target's Python.
    fn off_thread(&self) -> &'static str {
        // `asyncio.to_thread` came with 3.9.
        if self.now.process.is_python("3.8") { "loop.run_in_executor" } else { "asyncio.to_thread" }
    }
}

fn merge(known: &mut Vec<Address>, more: &[Address]) {
    // Holders are as many as a semaphore has permits; a line names each few of them anew.
    for id in more {
        if !known.contains(id) {
            known.push(*id);
        }
    }
}

/// Whether the task goes on by itself some day.
fn is_limited(task: &Task) -> bool {
    let is_limited = |waiting: &Waiting| {
        // A sleep is, also where nobody knows until when.
        matches!(waiting.wait, Wait::Timer)
            || waiting.due_in.is_some()
            || !waiting.deadlines.is_empty()
    };
    !task.is_parked() || task.waiting_on.as_deref().is_none_or(is_limited)
}

/// From here on who waits for the world outside, as programs do all the time, counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Tasks of tasks that are followed.
const MAX_WORK: usize = 8;

/// From here on a sleeper is one that does nothing for now.
const LONG: SignedDuration = SignedDuration::from_secs(60);

/// Whether the task may go on before long, with no other task's help.
fn is_active(task: &Task) -> bool {
    if task.is_over() {
        return false;
    }
    if task.is_partly_read() {
        return true;
    }
    let Some(waiting) = task.waiting_on.as_deref().filter(|_| task.is_parked()) else {
        return true;
    };
    let is_soon = |due: SignedDuration| due < LONG;
    match &waiting.wait {
        _ if waiting.deadlines.iter().any(|limit| limit.due_in.is_none_or(is_soon)) => true,
        Wait::Timer => waiting.due_in.is_none_or(is_soon),
        Wait::Future { is_served, .. } => *is_served == Some(true),
        Wait::Socket(_)
        | Wait::Executor { .. }
        | Wait::Subprocess(_)
        | Wait::Thread { .. }
        | Wait::Asyncgen
        | Wait::Ready(_)
        | Wait::Running
        | Wait::Unknown => true,
        Wait::Task { .. }
        | Wait::Gather(_)
        | Wait::TaskGroup(_)
        | Wait::Lock(_)
        | Wait::Semaphore { .. }
        | Wait::Condition(_)
        | Wait::Event(_)
        | Wait::Queue { .. }
        | Wait::Pool { .. }
        | Wait::Barrier(_) => false,
    }
}

/// What kind of wait a parked task is in.
fn kind(task: &Task) -> WaitKind {
    task.waiting_on.as_deref().map_or(WaitKind::Unknown, Waiting::kind)
}

/// Things with the same key together, in the order in which the keys appear.
fn grouped<T, K: Hash + Eq>(
    things: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> Vec<Vec<T>> {
    let mut places = FxHashMap::default();
    let mut groups: Vec<Vec<T>> = Vec::new();
    for thing in things {
        let next = groups.len();
        let at = *places.entry(key(&thing)).or_insert(next);
        if at == next {
            groups.push(Vec::new());
        }
        if let Some(group) = groups.get_mut(at) {
            group.push(thing);
        }
    }
    groups
}

/// What tasks have in common that wait at one place: the line of the program, and for what.
fn shape(task: &Task) -> (Option<&Location>, WaitKind, Option<Address>) {
    (words::place(task), kind(task), task.loop_id)
}

/// The severity of something that stands still, by how sure that is.
fn severity_of(stillness: Stillness, sure: Severity) -> Severity {
    if stillness == Stillness::Surely { sure } else { Severity::Info }
}
