//! The processes of pools: which call each of them runs, and where it is.
//!
//! They are processes like the target, and most of them copies of it. What a process runs is in its
//! own memory only: its parent knows no more than which calls it has handed out, and calls them all
//! running. They are read while calls are waited for, so many of them and for so long at most.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::inherited::leave_frames;
use super::{Inspector, open_memory};
use crate::explain::Options;
use crate::memory::Pass;
use crate::process::{ChildFacts, Target, ThreadActivity, WokenBy};
use crate::python::object::Memory;
use crate::python::runtime::locate;
use crate::snapshot::{Executor, Job, Snapshot, Thread, WorkerProcess};

/// Processes of which it is asked what they do.
const MAX_SEEN: usize = 256;
/// Those whose memory is read: a pool has as many as there are processors, as a rule.
const MAX_READ: usize = 32;
/// How long that may take in one look; 1 ms for each one, where nobody else has our processor.
const MOST: Duration = Duration::from_millis(250);

/// Processes that were attached to, by their ids as we see them.
pub(super) type Workers = FxHashMap<i32, Inspector>;

/// What was seen of processes, by their ids as the target knows them.
pub(super) type SeenWorkers = BTreeMap<i32, Seen>;

/// What was seen of one process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Its id as we see it.
    pid: i32,
    /// Its main thread.
    thread: Thread,
    sleep_id: Option<u64>,
    asleep_for: Option<Duration>,
    cpu_time: Option<Duration>,
    waits_for_nobody: bool,
    is_forked: bool,
    call: Call,
    /// The function of the call, where the pool itself does not say it.
    function: Option<String>,
}

/// Which call a process runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Call {
    /// None: it waits for the next one, or is about to.
    None,
    /// The one that its parent knows by this number.
    Number(u64),
    /// That could not be read.
    #[default]
    Unknown,
}

impl Inspector {
    /// Says of pools of processes for whose calls somebody waits what their processes do.
    pub(super) fn look_at_workers(&mut self, snapshot: &mut Snapshot) {
        let pools = snapshot.executors.iter().filter(|pool| has_calls(pool));
        let pids = pools.flat_map(|pool| pool.processes.iter().flatten());
        let pids: Vec<i32> = pids.map(|process| process.pid).take(MAX_SEEN).collect();
        let seen = if self.is_live() {
            self.see_workers(&pids)
        } else {
            self.seen_workers.pop_front().unwrap_or_default()
        };
        let of_loops = snapshot.loops.iter_mut().filter_map(|it| it.executor.as_mut());
        for pool in of_loops.chain(&mut snapshot.executors) {
            complete(pool, &seen);
        }
        if let Some(saving) = &mut self.saving {
            saving.workers.push(seen);
        }
    }

    fn see_workers(&mut self, pids: &[i32]) -> SeenWorkers {
        if pids.is_empty() {
            self.workers.clear();
            return SeenWorkers::default();
        }
        let children = self.system.children(pids);
        self.workers.retain(|pid, _| children.values().any(|child| child.pid == *pid));
        let until = Instant::now() + MOST;
        let mut read = 0;
        let see = |(pid, child): (i32, ChildFacts)| {
            let may_read = read < MAX_READ && Instant::now() < until;
            let seen = may_read.then(|| self.see_worker(&child)).flatten();
            read += 1;
            (pid, seen.unwrap_or_else(|| Seen::from_outside(&child)))
        };
        children.into_iter().map(see).collect()
    }

    fn see_worker(&mut self, child: &ChildFacts) -> Option<Seen> {
        if !self.workers.contains_key(&child.pid) {
            let worker = self.attach_worker(child.pid)?;
            self.workers.insert(child.pid, worker);
        }
        let is_forked_from = self.system.pid();
        let seen = self.workers.get_mut(&child.pid)?.see_itself(is_forked_from);
        if seen.is_none() {
            self.workers.remove(&child.pid);
        }
        seen
    }

    fn attach_worker(&self, pid: i32) -> Option<Self> {
        let target = Target::open(pid).ok()?;
        let is_copy = target.forked_from() == Some(self.system.pid());
        let memory = Memory::new(Box::new(open_memory(&target).ok()?));
        // In a copy everything is where it is in the original.
        let located = if is_copy { self.located.clone() } else { locate(&target, &memory).ok()? };
        let worker = Self::new(Box::new(target), memory, located);
        if is_copy {
            worker.caches.keep_libraries((*self.caches.libraries()).clone());
        }
        Some(worker)
    }

    /// What its main thread does, as a process of a pool.
    fn see_itself(&mut self, parent: i32) -> Option<Seen> {
        self.system.check_alive().ok()?;
        self.memory.renew(Pass::First);
        self.caches.begin_snapshot();
        let pid = self.system.pid();
        let reader = self.reader();
        let mut reading = self.read_threads_only(&reader).ok()?;
        reading.threads.retain(|thread| thread.tid == Some(pid));
        let main = reading.threads.first_mut()?;
        leave_frames(&reader, main, &[]);
        main.inherited.clear();
        let stack = &main.stack;
        let (call, function) = match reader.call_of_process(&stack.frames) {
            Some((Some(number), function)) if stack.is_complete => (Call::Number(number), function),
            Some((None, _)) if stack.is_complete => (Call::None, None),
            _ => (Call::Unknown, None),
        };
        let activity = reading.activity.thread(pid);
        let is_alone = reading.activity.threads().len() == 1;
        let waits_for_thread =
            activity.is_some_and(|activity| activity.woken_by() == Some(WokenBy::Thread));
        let options = (&Options::default(), &Cell::new(0));
        let (threads, _) = self.threads(&reader, &reading, options, &mut Vec::new());
        let thread = threads.into_iter().next()?;
        Some(Seen {
            pid,
            sleep_id: activity.and_then(ThreadActivity::sleep_id),
            asleep_for: self.system.asleep_for(&[pid]).remove(&pid),
            cpu_time: thread.cpu_time,
            waits_for_nobody: is_alone && waits_for_thread,
            is_forked: self.system.forked_from() == Some(parent),
            call,
            function,
            thread,
        })
    }
}

impl Seen {
    /// Of one whose memory was not read.
    fn from_outside(child: &ChildFacts) -> Self {
        let ChildFacts { pid, ref name, state } = *child;
        let (tid, name, state) = (Some(pid), Some(name.clone()), Some(state));
        Self { pid, thread: Thread { tid, name, state, ..Thread::default() }, ..Self::default() }
    }

    fn process(&self) -> WorkerProcess {
        let mut thread = self.thread.clone();
        let grounds = thread.grounds.get_or_insert_default();
        (grounds.sleep_id, grounds.asleep_for) = (self.sleep_id, self.asleep_for);
        thread.cpu_time = self.cpu_time;
        WorkerProcess {
            pid: self.pid,
            thread: Some(Box::new(thread)),
            waits_for_nobody: self.waits_for_nobody,
            is_forked: self.is_forked,
        }
    }
}

/// Whether somebody may wait for a call of a pool of processes.
fn has_calls(pool: &Executor) -> bool {
    pool.processes.is_some() && (!pool.jobs.is_empty() || pool.queued > Some(0))
}

/// Says of a pool which of its calls its processes run: the others wait, though they were handed to
/// them.
fn complete(pool: &mut Executor, seen: &SeenWorkers) {
    let Some(processes) = &mut pool.processes else { return };
    let all: Vec<Option<&Seen>> = processes.iter().map(|it| seen.get(&it.pid)).collect();
    for (process, seen) in processes.iter_mut().zip(&all) {
        if let Some(seen) = seen {
            *process = seen.process();
        }
    }
    let is_known = |seen: Option<&Seen>| seen.is_some_and(|seen| seen.call != Call::Unknown);
    if all.is_empty() || !all.iter().all(|&seen| is_known(seen)) {
        for job in &mut pool.jobs {
            let runs = |seen: &&&Seen| job.number.is_some_and(|it| seen.call == Call::Number(it));
            job.process = all.iter().flatten().find(runs).map(|seen| seen.pid);
        }
        return;
    }
    let is_idle = |seen: &&&Seen| seen.call == Call::None;
    pool.idle = Some(all.iter().flatten().filter(is_idle).count() as u64);
    // The parts of one `map` are calls of several processes.
    let handed_out = std::mem::take(&mut pool.jobs);
    let running = all.iter().flatten().filter_map(|seen| {
        let Call::Number(number) = seen.call else { return None };
        let known = handed_out.iter().find(|job| job.number == Some(number)).cloned();
        let known = known.unwrap_or(Job { number: Some(number), ..Job::default() });
        let function = known.function.or_else(|| seen.function.clone());
        Some(Job { process: Some(seen.pid), function, ..known })
    });
    pool.jobs = running.collect();
    let all_calls = |queued: u64| queued + handed_out.len() as u64;
    let running = pool.jobs.len() as u64;
    pool.queued = pool.queued.map(|queued| all_calls(queued).saturating_sub(running));
    pool.owed = handed_out.iter().filter_map(|job| job.number).collect();
}
