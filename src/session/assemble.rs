//! From what was read to a [`Snapshot`](crate::snapshot::Snapshot): plain data, names and lines.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Inspector;
use super::budget::Budget;
use super::reading::nothing_changed;
use crate::asyncio::{Leftovers, Reading, Remains, TaskFacts};
use crate::error::Result;
use crate::explain::asking::find_askers;
use crate::explain::blocked::explain_blocked;
use crate::explain::context::{forget, note_starters};
use crate::explain::executors::{Limit, Pools};
use crate::explain::heap::Census;
use crate::explain::looping::find_loops;
use crate::explain::loops::{event_loop, home};
use crate::explain::shutdown::shutdown;
use crate::explain::startup::endless;
use crate::explain::tasks::{Unawaited, find_awaiters, frames, live_frames, tasks};
use crate::explain::waiting::{Reasons, complete};
use crate::explain::wakes::note_wake_sources;
use crate::explain::work::{inherit, note_heard, note_sent, share};
use crate::explain::{Options, Search};
use crate::memory::{Address, Pass, ReadMemory};
use crate::process::{Activity, Syscalls, ThreadActivity};
use crate::python::frame::{HandlerKind, RawFrame};
use crate::python::heap::Heap;
use crate::python::object::{Kind, Reader, Unreadable};
use crate::python::runtime::MAIN;
use crate::snapshot::{
    Consistency, Cut, Depth, Enclosed, Executor, Grounds, HeapSearch, Location, Loop, LoopGrounds,
    LoopState, Phase, Problem, Shutdown, Subprocess, Swallower, Task, TaskState, Thread,
    ThreadGrounds, Waiting,
};

/// What was found while it was said what tasks wait for.
struct Explained {
    /// What only tasks can come to.
    enclosed: Vec<Enclosed>,
    /// Queues whose items were taken and forgotten.
    forgotten: Vec<Address>,
    /// The limits at which calls for threads wait.
    limits: Vec<Limit>,
    /// The processes that may never go on.
    subprocesses: Vec<Subprocess>,
}

/// The parts of a snapshot that come from the target.
pub(super) struct Parts {
    pub told_from: Option<Duration>,
    /// What the threads did when the reading began.
    pub activity: Option<Activity>,
    pub consistency: Consistency,
    pub threads: Vec<Thread>,
    pub loops: Vec<Loop>,
    pub tasks: Vec<Task>,
    pub executors: Vec<Executor>,
    pub heap: Option<Box<HeapSearch>>,
    pub grounds: Option<Box<Grounds>>,
    pub shutdown: Option<Shutdown>,
    pub cut: Option<Cut>,
    pub problems: Vec<Problem>,
    /// How many registered tasks could not be read.
    pub unread_tasks: usize,
}

/// How much of a callable tells which task's step it is.
const CALLBACK_LEN: u64 = 48;

/// Threads of which it is asked for how long they have slept.
const MAX_SLEEPERS: usize = 64;

impl Inspector {
    /// Reads everything and makes plain data of it.
    pub(super) fn read(&self, options: &Options, budget: Budget) -> Result<Parts> {
        let reader = self.reader();
        let mut reading = self.take_reading(options, budget)?;
        // What a busy target does meanwhile is seen now, mostly: then this costs less than making
        // plain data twice.
        let is_moving = self.consistency(&reading) == Consistency::BestEffort;
        reading.is_moving = is_moving;
        if is_moving && self.memory.limit().may_begin() {
            reading.settle(&reader, options);
        }
        let mut parts = self.assemble(&reader, &reading, options, budget);
        if !is_moving {
            parts.consistency = self.consistency(&reading);
            if parts.consistency == Consistency::BestEffort && self.memory.limit().may_begin() {
                reading.is_moving = true;
                reading.settle(&reader, options);
                parts = self.assemble(&reader, &reading, options, budget);
            }
        }
        if parts.consistency == Consistency::Exact {
            nothing_changed(&mut parts.problems);
        }
        let mut in_doubt = reading.in_doubt();
        if parts.consistency == Consistency::BestEffort {
            // What a thread ran is not compared with what it runs now.
            let running = |task: &&mut Task| task.state == Some(TaskState::Running);
            for task in parts.tasks.iter_mut().filter(running) {
                (task.work, task.call, task.context) = (None, None, None);
            }
            // Who waits for whom matters where there is something to inherit.
            if parts.tasks.iter().any(|task| task.work.is_some()) {
                let all: Vec<usize> = (0..reading.tasks.len()).collect();
                in_doubt.extend(reader.moved(&reading.tasks, &all, true));
            }
        }
        if parts.consistency == Consistency::SameStep {
            self.forget_changing(&reading, &mut parts);
        }
        note_sent(&mut parts.tasks);
        if options.depth >= Depth::Reasons {
            note_heard(&mut parts.tasks, |peers| self.system.heard_from(peers));
        }
        share(&mut parts.tasks);
        // Before others have the same work, too.
        parts.tasks.iter_mut().for_each(|task| task.show(options.show));
        inherit(&mut parts.tasks, &in_doubt);
        note_starters(&reader, &reading.tasks, &mut parts.tasks, &in_doubt);
        parts.problems.extend(damages(&reader));
        parts.activity = Some(reading.activity);
        parts.limit_to(self.system.age());
        for event_loop in &mut parts.loops {
            // Of a loop that went on meanwhile the timers and the wait are not of one moment.
            if parts.consistency != Consistency::Exact {
                event_loop.idle_for = None;
            } else if let Some(turn) = &mut event_loop.iteration
                && turn.phase == Phase::Select
            {
                turn.elapsed = turn.elapsed.or(event_loop.idle_for);
            }
        }
        if options.depth >= Depth::Evidence {
            self.ask_for_sleep(&mut parts);
        }
        Ok(parts)
    }

    /// Takes back what the contexts of running tasks say, where their threads have run meanwhile: in the
    /// same step a task may set its variables any number of times.
    fn forget_changing(&self, reading: &Reading, parts: &mut Parts) {
        let after = self.system.activity();
        let has_slept = |tid: i32| {
            let activities = (reading.activity.thread(tid), after.thread(tid));
            matches!(activities, (Some(before), Some(after)) if before.did_not_run_until(after))
        };
        let slept = parts.loops.iter().filter(|it| it.thread.is_some_and(has_slept));
        let slept: FxHashSet<Address> = slept.map(|it| it.id).collect();
        let has_slept = |task: &Task| task.loop_id.is_some_and(|id| slept.contains(&id));
        let running = |task: &&mut Task| task.state == Some(TaskState::Running);
        for task in parts.tasks.iter_mut().filter(running).filter(|task| !has_slept(task)) {
            forget(task);
        }
    }

    /// Says of the threads whose sleep is evidence for how long they have slept, and of the loops
    /// on them that they have waited so long.
    fn ask_for_sleep(&self, parts: &mut Parts) {
        let loops = parts.loops.iter().filter(|known| known.state == Some(LoopState::Polling));
        let mut wanted: Vec<i32> = loops.filter_map(|known| known.thread).collect();
        if let Some(stage) = &parts.shutdown {
            // The main thread waits for the others.
            wanted.extend(parts.threads.first().and_then(|thread| thread.tid));
            wanted.extend(&stage.threads);
        }
        let jobs = parts.executors.iter().flat_map(|pool| &pool.jobs);
        wanted.extend(jobs.filter_map(|job| job.thread));
        let waits = parts.tasks.iter().filter_map(|task| task.waiting_on.as_deref());
        let others = waits.filter_map(Waiting::thread).filter(|tid| !wanted.contains(tid));
        let others: Vec<i32> = others.collect();
        wanted.extend(others);
        wanted.truncate(MAX_SLEEPERS);
        wanted.sort_unstable();
        wanted.dedup();
        let slept = self.system.asleep_for(&wanted);
        for thread in &mut parts.threads {
            thread.grounds.get_or_insert_default().asleep_for =
                thread.tid.and_then(|tid| slept.get(&tid).copied());
        }
        for event_loop in &mut parts.loops {
            if event_loop.state == Some(LoopState::Polling) {
                let slept = event_loop.thread.and_then(|tid| slept.get(&tid).copied());
                event_loop.idle_for = event_loop.idle_for.max(slept);
            }
        }
    }

    /// The loops, those that were inherited from a parent last.
    fn loops(
        &self,
        reader: &Reader<'_>,
        reading: &Reading,
        names: &FxHashMap<Address, Arc<str>>,
        options: &Options,
    ) -> Vec<Loop> {
        let own = reading.loops.iter().map(|facts| {
            let thread = home(facts, reading);
            let has_begun = thread.is_none_or(|it| self.has_begun(reader, facts, it, reading));
            event_loop(reader, facts, thread, has_begun, reading, names, options)
        });
        let inherited_from = self.system.forked_from();
        let inherited = reading.inherited.iter().map(|facts| Loop {
            id: facts.at,
            class: facts.class.to_string(),
            state: Some(LoopState::Inherited),
            inherited_from,
            ..Loop::default()
        });
        let mut loops: Vec<Loop> = own.chain(inherited).collect();
        let age = self.system.age();
        for event_loop in &mut loops {
            event_loop.limit_to(age);
        }
        self.note_held(&mut loops, reading, options);
        let runs = |facts: &&mut Loop| {
            !matches!(facts.state, Some(LoopState::Stopped | LoopState::Inherited))
        };
        for facts in loops.iter_mut().filter(runs) {
            let processor = self.processor_of(facts);
            let thread = reading.threads.iter().find(|thread| thread.tid == facts.thread);
            let interpreter = thread.map(|thread| thread.state.interpreter);
            let collector = |at| reader.collector(self.located.runtime, at);
            let collector = interpreter.map(collector);
            facts.grounds =
                Some(Box::new(LoopGrounds { processor, collector, ..LoopGrounds::default() }));
        }
        loops
    }

    fn assemble(
        &self,
        reader: &Reader<'_>,
        reading: &Reading,
        options: &Options,
        budget: Budget,
    ) -> Parts {
        let room = Cell::new(budget.for_locals());
        self.memory.begin_part(Pass::Plain);
        let mut problems = reading.problems();
        let callbacks = || reading.loops.iter().flat_map(|facts| &facts.ready_callbacks);
        self.memory.prefetch(callbacks().map(|&callback| (callback, CALLBACK_LEN)));
        let ready: FxHashSet<Address> =
            callbacks().filter_map(|&callback| reader.stepped_task(callback)).collect();
        let names: FxHashMap<Address, Arc<str>> = reading
            .tasks
            .iter()
            .filter_map(|task| Some((task.at, Arc::clone(task.name.as_ref()?))))
            .collect();
        let mut loops = self.loops(reader, reading, &names, options);
        let live = live_frames(reading);
        let mut tasks = tasks(reader, reading, &live, &ready, (options, &room), &mut problems);
        let (mut threads, calls) = self.threads(reader, reading, (options, &room), &mut problems);
        let mut executors = Vec::new();
        let mut heap_search = None;
        let mut grounds = None;
        let chains = reading.tasks.iter().zip(&live);
        let chains: Vec<&[RawFrame]> =
            chains.map(|(task, live)| live.unwrap_or(&task.chain)).collect();
        let stage = shutdown(reader, reading);
        self.find_swallowers(reader, &chains, stage.as_ref(), &mut tasks);
        if options.depth < Depth::Reasons {
            // What becomes of a cancellation is told from what its task waits for.
            let wanted = self.touched(reader, reading, &tasks, stage.as_ref());
            if wanted.contains(&true) {
                let unawaited = find_awaiters(reader, reading, &mut tasks);
                let pools = Pools::read(reader, reading);
                let reasons = Reasons::new(reader, reading, &chains, &pools, false);
                self.explain(reasons, &mut tasks, &unawaited, &wanted, None);
            }
        } else {
            let is_evidence = options.depth >= Depth::Evidence;
            let unawaited = find_awaiters(reader, reading, &mut tasks);
            let wanted = vec![true; tasks.len()];
            let pools = Pools::read(reader, reading);
            let mut reasons = Reasons::new(reader, reading, &chains, &pools, is_evidence);
            reasons.is_ending = stage.is_some();
            let heap = self.heap(reader, options, &mut problems);
            let (heap, swapped) = heap.unzip();
            let searched = heap.as_ref().filter(|_| options.heap >= Search::References);
            let Explained { enclosed, forgotten, limits, subprocesses } =
                self.explain(reasons, &mut tasks, &unawaited, &wanted, searched);
            executors = pools.executors(reader, reading, &limits);
            for facts in &mut loops {
                let default = pools.default_of(facts.id).and_then(|at| executors.get(at));
                facts.executor = default.cloned();
            }
            for thread in &mut threads {
                let read = reading.threads.iter().find(|read| read.tid == thread.tid);
                let waiting = read.and_then(|r| pools.wait_of_thread(reader, reading, &r.stack));
                thread.waiting_on = waiting.map(|waiting| Box::new(waiting.in_words()));
            }
            if is_evidence {
                find_loops(reader, &chains, &mut tasks);
                let asking = find_askers(reader, &chains, &tasks);
                let heap = heap.as_ref();
                let (leftovers, lists) =
                    self.leftovers(reader, reading, (heap, options.heap), &mut problems);
                let swapped = swapped.unwrap_or_default();
                heap_search = lists.map(|lists| Box::new(HeapSearch { swapped, ..lists }));
                let Leftovers { unretrieved, never_awaited, open_generators, .. } = leftovers;
                grounds = Some(Box::new(Grounds {
                    unretrieved,
                    never_awaited,
                    open_generators,
                    enclosed,
                    forgotten,
                    asking,
                    endless: endless(reader, reading),
                    subprocesses,
                }));
            }
            let plain = (&*threads, &*tasks);
            let read = (reading, &*chains);
            explain_blocked(reader, &self.located, &mut loops, plain, &calls, read);
            if is_evidence {
                note_wake_sources(reader, &*self.system, reading, &mut loops);
            }
        }
        Parts {
            told_from: reading.now.and_then(|now| Duration::try_from_secs_f64(now).ok()),
            activity: None,
            consistency: Consistency::BestEffort,
            threads,
            loops,
            tasks,
            executors,
            heap: heap_search,
            grounds,
            shutdown: stage,
            cut: reading.cut(),
            problems,
            unread_tasks: reading.unread.len(),
        }
    }

    /// What nobody awaits, iterates or looked at; and what a search of the heap lists.
    fn leftovers(
        &self,
        reader: &Reader<'_>,
        reading: &Reading,
        (heap, search): (Option<&Heap<'_>>, Search),
        problems: &mut Vec<Problem>,
    ) -> (Leftovers, Option<HeapSearch>) {
        let is_listed = search >= Search::Lists;
        let census = heap.and_then(|heap| Census::take(*reader, reading, heap, is_listed));
        if heap.is_some() && census.is_none() {
            let (place, wanted) = ("heap".to_owned(), "its objects".to_owned());
            let cause = "too many of them, or no time left to search".to_owned();
            problems.push(Problem { place, wanted, cause });
        }
        let found = census.as_ref().map(Census::tasks).unwrap_or_default();
        let mut leftovers = read_leftovers(reader, reading, &found);
        // From 3.14 on a child forgets its parent's tasks, and libuv's loop has no frame:
        // then only what lies in variables leads there.
        leftovers.unretrieved.retain(|it| {
            let facts = it.loop_id.and_then(|at| reader.event_loop(at).ok());
            !facts.is_some_and(|facts| self.is_inherited(reader, reading, &facts))
        });
        (leftovers, census.filter(|_| is_listed).map(|census| census.lists()))
    }

    /// The heap, if it is to be searched, and how many bytes of it are swapped out.
    fn heap<'r>(
        &self,
        reader: &Reader<'r>,
        options: &Options,
        problems: &mut Vec<Problem>,
    ) -> Option<(Heap<'r>, u64)> {
        if options.heap == Search::Nothing {
            return None;
        }
        let mut problem = |cause: String| {
            let (place, wanted) = ("heap".to_owned(), "all of it".to_owned());
            problems.push(Problem { place, wanted, cause });
        };
        let Some(resident) = self.system.resident() else {
            problem("which pages there are is not known: /proc/PID/pagemap".to_owned());
            return None;
        };
        // The kernel shows a guard page below a stack as if it were swapped out.
        let swapped = resident.swapped >> 20;
        if swapped > 0 {
            problem(format!("{swapped} MiB are swapped out, and were not read"));
        }
        Some((Heap::new(*reader, resident.ranges), resident.swapped))
    }

    pub(super) fn threads(
        &self,
        reader: &Reader<'_>,
        reading: &Reading,
        options: (&Options, &Cell<usize>),
        problems: &mut Vec<Problem>,
    ) -> (Vec<Thread>, Syscalls) {
        let facts: FxHashMap<i32, _> =
            self.system.threads().into_iter().map(|facts| (facts.tid, facts)).collect();
        let tids: Vec<i32> = reading.threads.iter().filter_map(|thread| thread.tid).collect();
        let syscalls = self.syscalls(&tids);
        let mut threads: Vec<Thread> = Vec::new();
        for thread in &reading.threads {
            let tid = thread.tid.map(|tid| format!(" {tid}")).unwrap_or_default();
            let place = || format!("thread{tid}");
            let mut all = frames(reader, &place, &thread.inherited, options, problems);
            all.extend(frames(reader, &place, &thread.stack.frames, options, problems));
            let frames = all;
            let interpreter =
                Some(thread.interpreter).filter(|id| *id != MAIN && !frames.is_empty());
            // One thread may have a state in several interpreters: one stack in parts.
            let known =
                threads.iter_mut().find(|known| known.tid.is_some() && known.tid == thread.tid);
            if let Some(known) = known {
                known.frames.extend(frames);
                known.interpreter = interpreter.or(known.interpreter);
                continue;
            }
            let facts = thread.tid.and_then(|tid| facts.get(&tid));
            threads.push(Thread {
                tid: thread.tid,
                name: thread.name.clone().or_else(|| facts.map(|facts| facts.name.clone())),
                interpreter,
                state: facts.map(|facts| facts.state),
                syscall: thread.tid.and_then(|tid| Some(syscalls.get(&tid)?.call())),
                cpu_time: facts.and_then(|facts| facts.cpu_time),
                grounds: Some(ThreadGrounds {
                    sleep_id: thread
                        .tid
                        .and_then(|tid| reading.activity.thread(tid))
                        .and_then(ThreadActivity::sleep_id),
                    asleep_for: None,
                }),
                waiting_on: None,
                frames,
                native: None,
            });
        }
        self.merge_natives(reading, &mut threads);
        threads.sort_by_key(|thread| (thread.tid != Some(self.system.pid()), thread.tid));
        (threads, syscalls)
    }

    /// The system calls that threads are in, with what these wait for.
    pub(super) fn syscalls(&self, tids: &[i32]) -> Syscalls {
        // A page that was read before may be older than the call.
        let read = |at, into: &mut [u8]| self.memory.unnoted().read(at, into).is_ok();
        self.system.syscalls(tids, &read)
    }

    /// Which tasks a cancellation is about, or was at a snapshot before.
    fn touched(
        &self,
        reader: &Reader<'_>,
        reading: &Reading,
        tasks: &[Task],
        shutdown: Option<&Shutdown>,
    ) -> Vec<bool> {
        let all = shutdown.map(Shutdown::all_cancelled).unwrap_or_default();
        let is_counted = reader.layout.task.num_cancels_requested.is_some();
        // Where nothing is counted, one that awaits another may handle the other's.
        let awaits_another = |future: Address| {
            reader.kind_of(future).is_ok_and(Kind::is_task)
                || reader.is_a(future, "_GatheringFuture")
        };
        let is_touched = |(task, facts): (&Task, &TaskFacts)| {
            self.had_cancellation(task, &all)
                || !is_counted && facts.fut_waiter.is_some_and(awaits_another)
        };
        tasks.iter().zip(&reading.tasks).map(is_touched).collect()
    }

    /// Says of each wanted task what it waits for.
    fn explain(
        &self,
        reasons: Reasons<'_>,
        tasks: &mut [Task],
        unawaited: &Unawaited,
        wanted: &[bool],
        heap: Option<&Heap<'_>>,
    ) -> Explained {
        let is_running =
            |i: usize| tasks.get(i).is_some_and(|t| t.state == Some(TaskState::Running));
        let mut waits = reasons.explain_all(wanted, &is_running);
        complete(&mut waits, tasks, &*self.system, &mut self.descriptors.borrow_mut());
        reasons.note_timers(&mut waits);
        reasons.note_returned(&mut waits);
        let suspects = reasons.suspects(&waits);
        let went_on = reasons.went_on(&waits);
        let enclosed = reasons.enclosed(&waits, tasks);
        let forgotten = reasons.forgotten(&waits);
        let subprocesses = reasons.subprocesses(tasks, &*self.system);
        let on_islands = heap.map(|heap| reasons.on_islands(&waits, tasks, heap));
        // Whom each task awaits: who awaits whom, turned around.
        let mut awaited: FxHashMap<Address, Vec<Address>> = FxHashMap::default();
        for task in &*tasks {
            if task.state.is_some_and(|state| !state.is_finished()) {
                let now = task.awaited_by.iter().filter(|at| !unawaited.contains(&(task.id, **at)));
                for &awaiter in now {
                    awaited.entry(awaiter).or_default().push(task.id);
                }
            }
        }
        for (task, reason) in tasks.iter_mut().zip(waits) {
            let thing = reason.as_ref().and_then(|reason| reason.object);
            if let Some(suspects) = thing.and_then(|thing| suspects.get(&thing))
                && let Some(grounds) = &mut task.grounds
            {
                grounds.suspects = Arc::clone(suspects);
            }
            if let Some(grounds) = &mut task.grounds {
                grounds.is_on_island = on_islands.as_ref().is_some_and(|it| it.contains(&task.id));
            }
            task.is_torn |= went_on.contains(&task.id);
            task.waiting_on = reason;
            if let Some(others) = task.waiting_on.as_mut().and_then(|it| it.others_mut()) {
                others.tasks.extend(awaited.remove(&task.id).unwrap_or_default());
                // Who awaits itself is not among those that others await.
                if task.fut_waiter == Some(task.id) {
                    others.tasks.push(task.id);
                }
            }
        }
        Explained { enclosed, forgotten, limits: reasons.limits(), subprocesses }
    }

    /// Looks for the clauses that may have swallowed a cancellation, of those tasks that seem to
    /// go on after one.
    fn find_swallowers(
        &self,
        reader: &Reader<'_>,
        chains: &[&[RawFrame]],
        shutdown: Option<&Shutdown>,
        tasks: &mut [Task],
    ) {
        let all = shutdown.map(Shutdown::all_cancelled).unwrap_or_default();
        let files: RefCell<FxHashMap<String, Option<Arc<str>>>> = RefCell::default();
        let source = |path: &str| {
            let read = || self.system.source(path);
            files.borrow_mut().entry(path.to_owned()).or_insert_with(read).clone()
        };
        for (task, chain) in tasks.iter_mut().zip(chains) {
            let is_asked = task.requests().is_some_and(|count| count > 0);
            let is_suspected = is_asked && !task.is_on_its_way_out()
                || task.cancellation.is_none()
                    && (self.cancelled_before.contains(&task.id) || all.contains(&task.id));
            if !is_suspected {
                continue;
            }
            task.swallower = reader.cancel_eater(chain, &source).map(|eater| Swallower {
                location: Arc::new(Location::new(
                    eater.function,
                    eater.file,
                    Some(eater.line),
                    &reader.caches.libraries(),
                )),
                clause: match eater.kind {
                    HandlerKind::Except => "except",
                    HandlerKind::Finally => "finally",
                    HandlerKind::Suppress => "suppress",
                },
                is_sure: eater.is_sure,
            });
        }
    }
}

/// The collections and texts that are damaged.
fn damages(reader: &Reader<'_>) -> Vec<Problem> {
    let damage = |(at, kind, error): (Address, &str, Unreadable)| Problem {
        place: format!("{kind} {at}"),
        wanted: "content".to_owned(),
        cause: error.to_string(),
    };
    reader.damages().into_iter().map(damage).collect()
}

/// What nobody awaits, iterates or looked at.
fn read_leftovers(reader: &Reader<'_>, reading: &Reading, found: &[Address]) -> Leftovers {
    let threads: Vec<_> =
        reading.threads.iter().map(|thread| (thread.tid, &thread.stack)).collect();
    let loops: Vec<Address> = reading.loops.iter().map(|facts| facts.at).collect();
    reader.leftovers(Remains {
        tasks: &reading.tasks,
        threads: &threads,
        loops: &loops,
        registered: &reading.registered,
        found,
    })
}
