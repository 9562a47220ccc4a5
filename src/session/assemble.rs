//! From what was read to a [`Snapshot`](crate::snapshot::Snapshot): plain data, names and lines.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::budget::Budget;
use super::executors::{Limit, Pools};
use super::looping::find_loops;
use super::reading::{Reading, ThreadReading, nothing_changed};
use super::shutdown::shutdown;
use super::waiting::{Reasons, complete};
use super::{Inspector, Locals, Options};
use crate::asyncio::{
    AwaitGraph, ChainEnd, FutureState, Leftovers, LoopFacts, Remains, RunOnce, TaskFacts,
};
use crate::error::Result;
use crate::memory::{Address, Part, ReadMemory};
use crate::process::Syscalls;
use crate::process::{Activity, ThreadActivity};
use crate::python::frame::{HandlerKind, RawFrame};
use crate::python::object::{Kind, Reader, Unreadable};
use crate::python::runtime::MAIN;
use crate::snapshot::{
    Cancellation, Consistency, Cut, Depth, Enclosed, Executor, Frame, Iteration, Location, Loop,
    LoopState, Phase, Problem, Shutdown, Swallower, Task, TaskState, Thread, WaitKind,
};

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
    pub leftovers: Leftovers,
    pub enclosed: Vec<Enclosed>,
    pub shutdown: Option<Shutdown>,
    pub cut: Option<Cut>,
    pub problems: Vec<Problem>,
    /// How many registered tasks could not be read.
    pub unread_tasks: usize,
}

/// A timer that is late by less is no lag: a loop that polls wakes up some time after it.
const LEAST_LAG: f64 = 0.001;

/// How much of a callable tells which task's step it is.
const CALLBACK_LEN: u64 = 48;

/// Threads of which it is asked for how long they have slept.
const MAX_SLEEPERS: usize = 64;

/// Callables of a ready queue that are named.
const READY_HANDLES: usize = 8;

/// What a variable takes beside its text.
const PER_LOCAL: usize = 64;

/// The frames of threads by their coroutine: which thread, and at which place of its stack.
type Running = FxHashMap<Address, (usize, usize)>;

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
        wanted.truncate(MAX_SLEEPERS);
        wanted.sort_unstable();
        wanted.dedup();
        let slept = self.system.asleep_for(&wanted);
        for thread in &mut parts.threads {
            thread.asleep_for = thread.tid.and_then(|tid| slept.get(&tid).copied());
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
            facts.processor = self.processor_of(facts);
            let thread = reading.threads.iter().find(|thread| thread.tid == facts.thread);
            let interpreter = thread.map(|thread| thread.state.interpreter);
            let collector = |at| reader.collector(self.located.runtime, at);
            facts.collector = interpreter.map(collector);
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
        self.memory.begin_part(Part::Plain);
        let mut problems = reading.problems();
        let running: Running = reading
            .threads
            .iter()
            .enumerate()
            .flat_map(|(thread, reading)| {
                let frames = reading.stack.frames.iter().enumerate();
                frames.map(move |(at, frame)| (frame.generator, (thread, at)))
            })
            .filter(|(generator, _)| !generator.is_null())
            .collect();
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
        let live = live_frames(reading, &running);
        let mut tasks = tasks(reader, reading, &live, &ready, (options, &room), &mut problems);
        let (mut threads, calls) = self.threads(reader, reading, (options, &room), &mut problems);
        let mut executors = Vec::new();
        let mut leftovers = Leftovers::default();
        let mut enclosed = Vec::new();
        let chains = reading.tasks.iter().zip(&live);
        let chains: Vec<&[RawFrame]> =
            chains.map(|(task, live)| live.unwrap_or(&task.chain)).collect();
        let stage = shutdown(reader, reading);
        self.find_swallowers(reader, &chains, stage.as_ref(), &mut tasks);
        if options.depth < Depth::Reasons {
            // What becomes of a cancellation is told from what its task waits for.
            let wanted = self.touched(reader, reading, &tasks, stage.as_ref());
            if wanted.contains(&true) {
                find_awaiters(reader, reading, &mut tasks);
                let pools = Pools::read(reader, reading);
                let reasons = Reasons::new(reader, reading, &chains, &pools, false);
                self.explain(reasons, &mut tasks, &wanted);
            }
        } else {
            let is_evidence = options.depth >= Depth::Evidence;
            find_awaiters(reader, reading, &mut tasks);
            let wanted = vec![true; tasks.len()];
            let pools = Pools::read(reader, reading);
            let mut reasons = Reasons::new(reader, reading, &chains, &pools, is_evidence);
            reasons.is_ending = stage.is_some();
            let limits;
            (enclosed, limits) = self.explain(reasons, &mut tasks, &wanted);
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
                leftovers = read_leftovers(reader, reading);
                // From 3.14 on a child forgets its parent's tasks, and libuv's loop has no frame:
                // then only what lies in variables leads there.
                leftovers.unretrieved.retain(|it| {
                    let facts = it.loop_id.and_then(|at| reader.event_loop(at).ok());
                    !facts.is_some_and(|facts| self.is_inherited(reader, reading, &facts))
                });
            }
            self.explain_blocked(&mut loops, &threads, &tasks, &calls, reading, &chains);
        }
        Parts {
            told_from: reading.now.and_then(|now| Duration::try_from_secs_f64(now).ok()),
            activity: None,
            consistency: Consistency::BestEffort,
            threads,
            loops,
            tasks,
            executors,
            leftovers,
            enclosed,
            shutdown: stage,
            cut: reading.cut(),
            problems,
            unread_tasks: reading.unread.len(),
        }
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
                syscall: thread.tid.and_then(|tid| Some(syscalls.get(&tid)?.syscall.clone())),
                cpu_time: facts.and_then(|facts| facts.cpu_time),
                sleep_id: thread
                    .tid
                    .and_then(|tid| reading.activity.thread(tid))
                    .and_then(ThreadActivity::sleep_id),
                asleep_for: None,
                waiting_on: None,
                frames,
            });
        }
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

    /// Says of each wanted task what it waits for; gives what only tasks can come to of it, and the
    /// limits at which calls for threads wait.
    fn explain(
        &self,
        reasons: Reasons<'_>,
        tasks: &mut [Task],
        wanted: &[bool],
    ) -> (Vec<Enclosed>, Vec<Limit>) {
        let is_running =
            |i: usize| tasks.get(i).is_some_and(|t| t.state == Some(TaskState::Running));
        let mut waits = reasons.explain_all(wanted, &is_running);
        complete(&mut waits, tasks, &*self.system, &mut self.descriptors.borrow_mut());
        reasons.note_returned(&mut waits);
        let suspects = reasons.suspects(&waits);
        let enclosed = reasons.enclosed(&waits, tasks);
        // Whom each task awaits: who awaits whom, turned around.
        let mut awaited: FxHashMap<Address, Vec<Address>> = FxHashMap::default();
        for task in &*tasks {
            if task.state.is_some_and(|state| !state.is_finished()) {
                for &awaiter in &task.awaited_by {
                    awaited.entry(awaiter).or_default().push(task.id);
                }
            }
        }
        for (task, reason) in tasks.iter_mut().zip(waits) {
            let thing = reason.as_ref().and_then(|reason| reason.object);
            if let Some(suspects) = thing.and_then(|thing| suspects.get(&thing)) {
                task.suspects = Arc::clone(suspects);
            }
            task.waiting_on = reason;
            if let Some(waiting) = &mut task.waiting_on
                && matches!(waiting.kind, WaitKind::Task | WaitKind::Gather | WaitKind::TaskGroup)
            {
                waiting.tasks.extend(awaited.remove(&task.id).unwrap_or_default());
                // Who awaits itself is not among those that others await.
                if task.fut_waiter == Some(task.id) {
                    waiting.tasks.push(task.id);
                }
            }
        }
        (enclosed, reasons.limits())
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

/// How many references there are to a task, but for that of a future to who awaits it.
fn references(reader: &Reader<'_>, facts: &TaskFacts) -> Option<u64> {
    // future_awaited_by_add in Modules/_asynciomodule.c, from 3.14 on.
    let is_known = reader.layout.future.awaited_by.is_some() && facts.fut_waiter.is_some();
    reader.references(facts.at).map(|count| count.saturating_sub(u64::from(is_known)))
}

/// The thread that runs a loop.
fn home<'r>(facts: &LoopFacts, reading: &'r Reading) -> Option<&'r ThreadReading> {
    // What a thread says of its loop may be torn; the loop itself knows its thread as well.
    let is_home = |thread: &&ThreadReading| Some(thread.state.ident) == facts.thread_ident;
    let threads = &reading.threads;
    let runs = |thread: &&ThreadReading| thread.runs(facts.at);
    threads.iter().find(runs).or_else(|| threads.iter().find(is_home))
}

/// A loop with its state and iteration.
fn event_loop(
    reader: &Reader<'_>,
    facts: &LoopFacts,
    thread: Option<&ThreadReading>,
    has_begun: bool,
    reading: &Reading,
    names: &FxHashMap<Address, Arc<str>>,
    options: &Options,
) -> Loop {
    let iteration = thread.and_then(|thread| match facts.uv {
        Some(_) => uv_iteration(reader, facts, thread, has_begun, reading, names),
        None => py_iteration(reader, facts, thread, names),
    });
    let state = match (facts.closed, thread, &iteration) {
        (Some(true), ..) => Some(LoopState::Closed),
        (_, None, _) if facts.thread_ident.is_none() => Some(LoopState::Stopped),
        (_, _, Some(iteration)) => Some(match (iteration.phase, iteration.elapsed) {
            (Phase::Select, _) => LoopState::Polling,
            (_, Some(elapsed)) if elapsed >= options.blocked_after => LoopState::Blocked,
            _ => LoopState::Running,
        }),
        // One of asyncio's loops that is not seen in an iteration is between two of them, or
        // runs so hot that its stack did not hold still.
        (_, Some(_), None) if facts.ready.is_some() => Some(LoopState::Running),
        _ => None,
    };
    // libuv's times always are the machine's.
    let is_comparable = facts.has_machine_clock || facts.uv.is_some();
    let read_at = thread.and_then(|thread| thread.read_at).filter(|_| is_comparable);
    let lag = match (facts.earliest_timer, read_at) {
        // A timer that was freed while it was looked at may be due at any time, mostly at 0.
        (Some(due), Some(now)) if due > 0.0 && now - due >= LEAST_LAG => Some(seconds(now - due)),
        _ => None,
    };
    let mut runs = thread.iter().flat_map(|thread| &thread.clock.iterations);
    let run = runs.rfind(|run| run.loop_at == facts.at);
    Loop {
        id: facts.at,
        class: facts.class.to_string(),
        thread: thread.and_then(|thread| thread.tid),
        state,
        iteration,
        lag,
        ready: facts.ready,
        scheduled: facts.scheduled,
        debug: facts.debug,
        nested_in: nested_in(facts.at, reading),
        polls_without_waiting: run.and_then(|run| run.timeout).map(|timeout| timeout <= 0.0),
        iteration_id: match facts.uv {
            Some(uv) => Some(uv.time_ms),
            None => run.and_then(|run| match run.position.end_time {
                Some(_) if !is_comparable => None,
                Some(began) => Some(began.to_bits()),
                // While it waits it has no time of its own: the wait itself tells it from others.
                None => reading.activity.thread(thread?.tid?)?.sleep_id(),
            }),
        },
        ready_handles: ready_handles(reader, facts, names),
        idle_for: run.and_then(|run| idle_for(facts, run, read_at?)),
        ..Loop::default()
    }
}

/// For how long one of asyncio's loops has waited: it computes the time that it may wait from its
/// first timer just before.
fn idle_for(facts: &LoopFacts, run: &RunOnce, now: f64) -> Option<Duration> {
    // A wait without a timer has no limit, and none is longer than MAXIMUM_SELECT_TIMEOUT
    // (3.8 to 3.15: Lib/asyncio/base_events.py).
    const LONGEST: f64 = 24.0 * 3600.0;
    let timeout = run.timeout.filter(|timeout| (f64::MIN_POSITIVE..LONGEST).contains(timeout))?;
    let began = facts.earliest_timer? - timeout;
    run.position.end_time.is_none().then(|| seconds(now - began))
}

/// The loop that runs around this one on the same thread.
fn nested_in(loop_at: Address, reading: &Reading) -> Option<Address> {
    reading.threads.iter().find_map(|thread| {
        // Outermost first.
        let runs = &thread.clock.iterations;
        let place = runs.iter().position(|run| run.loop_at == loop_at)?;
        let outer = runs.get(place.checked_sub(1)?)?.loop_at;
        // One that was left behind by a `fork` is not run around anything.
        reading.loops.iter().any(|facts| facts.at == outer).then_some(outer)
    })
}

/// The first callables in the ready queue of a loop, in words.
pub(super) fn ready_handles(
    reader: &Reader<'_>,
    facts: &LoopFacts,
    names: &FxHashMap<Address, Arc<str>>,
) -> Vec<String> {
    let in_words = |&callback: &Address| match reader.stepped_task(callback) {
        Some(task) => {
            let name = names.get(&task).cloned().or_else(|| reader.task_name(task))?;
            Some(format!("task {name}"))
        }
        None => reader.callable_name(callback),
    };
    facts.ready_callbacks.iter().take(READY_HANDLES).filter_map(in_words).collect()
}

/// A time that cannot be negative; clocks of two readings may be.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// The callback of a handle, in words.
pub(super) fn handle_in_words(
    reader: &Reader<'_>,
    handle: Address,
    names: &FxHashMap<Address, Arc<str>>,
) -> Option<String> {
    let task = reader.handle_task(handle);
    let name = task.and_then(|task| names.get(&task).cloned().or_else(|| reader.task_name(task)));
    name.map(|name| format!("task {name}")).or_else(|| reader.handle_name(handle))
}

/// The iteration of one of asyncio's own loops, from its `_run_once` frame.
fn py_iteration(
    reader: &Reader<'_>,
    facts: &LoopFacts,
    thread: &ThreadReading,
    names: &FxHashMap<Address, Arc<str>>,
) -> Option<Iteration> {
    let run = thread.clock.iterations.iter().rfind(|run| run.loop_at == facts.at)?;
    let Some(began) = run.position.end_time else {
        return Some(Iteration {
            phase: Phase::Select,
            elapsed: None,
            callbacks_run: None,
            callbacks_total: None,
            handle: None,
        });
    };
    let handle = run.handle.and_then(|handle| handle_in_words(reader, handle, names));
    Some(Iteration {
        phase: Phase::Ready,
        elapsed: thread.read_at.filter(|_| facts.has_machine_clock).map(|now| seconds(now - began)),
        callbacks_run: run.position.index.map(|index| index + 1),
        callbacks_total: run.position.total,
        handle,
    })
}

/// The iteration of uvloop, from libuv's clock: it waits when its thread is in `epoll_wait` on the
/// loop's own descriptor, or was woken and has not come to its next iteration.
fn uv_iteration(
    reader: &Reader<'_>,
    facts: &LoopFacts,
    thread: &ThreadReading,
    has_begun: bool,
    reading: &Reading,
    names: &FxHashMap<Address, Arc<str>>,
) -> Option<Iteration> {
    let uv = facts.uv?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since the machine started")]
    let began = uv.time_ms as f64 / 1000.0;
    let elapsed = thread.read_at.map(|now| seconds(now - began));
    let activity = thread.tid.and_then(|tid| reading.activity.thread(tid));
    let is_polling = !has_begun || activity.is_some_and(|it| it.polls(uv.backend_fd));
    let task = thread
        .stack
        .frames
        .iter()
        .rev()
        .find_map(|frame| reading.tasks.iter().find(|task| task.coro == Some(frame.generator)));
    let name =
        task.and_then(|task| names.get(&task.at).cloned().or_else(|| reader.task_name(task.at)));
    Some(Iteration {
        phase: if is_polling { Phase::Select } else { Phase::Ready },
        elapsed,
        callbacks_run: None,
        callbacks_total: None,
        handle: name.filter(|_| !is_polling).map(|name| format!("task {name}")),
    })
}

/// The frames of each running task, as its thread has them: from its own coroutine on.
fn live_frames<'r>(reading: &'r Reading, running: &Running) -> Vec<Option<&'r [RawFrame]>> {
    let roots: FxHashSet<Address> = reading.tasks.iter().filter_map(|task| task.coro).collect();
    let live = reading.tasks.iter().map(|facts| {
        let &(thread, at) = running.get(&facts.coro?)?;
        let frames = reading.threads.get(thread)?.stack.frames.get(at..)?;
        // A task that starts another one eagerly runs as well, up to where that one begins.
        let next = frames.iter().skip(1).position(|frame| roots.contains(&frame.generator));
        frames.get(..next.map_or(frames.len(), |next| next + 1))
    });
    live.collect()
}

/// The tasks, with the names and lines of their frames and who waits for them.
fn tasks(
    reader: &Reader<'_>,
    reading: &Reading,
    live: &[Option<&[RawFrame]>],
    ready: &FxHashSet<Address>,
    options: (&Options, &Cell<usize>),
    problems: &mut Vec<Problem>,
) -> Vec<Task> {
    let mut class_names: FxHashMap<Address, Arc<str>> = FxHashMap::default();
    let mut tasks = Vec::with_capacity(reading.tasks.len());
    for (facts, &live) in reading.tasks.iter().zip(live) {
        let chain = live.unwrap_or(&facts.chain);
        let handling = match live {
            Some(frames) => handling(reader, frames),
            None => facts.handling,
        };
        let class =
            class_names.entry(facts.class.at).or_insert_with(|| reader.class_name(&facts.class));
        tasks.push(Task {
            id: facts.at,
            name: facts.name.clone(),
            loop_id: facts.loop_at,
            state: Some(match facts.state {
                FutureState::Cancelled => TaskState::Cancelled,
                FutureState::Finished => TaskState::Done,
                FutureState::Failed => TaskState::Failed,
                FutureState::Pending if live.is_some() => TaskState::Running,
                FutureState::Pending if facts.end == ChainEnd::Executing => TaskState::Running,
                FutureState::Pending if ready.contains(&facts.at) => TaskState::Ready,
                FutureState::Pending => TaskState::Pending,
            }),
            class: Some(Arc::clone(class)),
            coroutine: facts.coroutine.clone(),
            frames: frames(reader, &|| format!("task {}", facts.at), chain, options, problems),
            fut_waiter: facts.fut_waiter,
            cancellation: cancellation(facts, handling),
            references: (options.0.depth >= Depth::Evidence)
                .then(|| references(reader, facts))
                .flatten(),
            has_callbacks: facts.has_awaiters,
            is_torn: !facts.is_coherent(),
            is_partly_read: live.is_none()
                && facts.state == FutureState::Pending
                && facts.is_partly_read(),
            ..Task::default()
        });
    }
    tasks
}

/// Says of each task who awaits it.
fn find_awaiters(reader: &Reader<'_>, reading: &Reading, tasks: &mut [Task]) {
    let graph = AwaitGraph::new(*reader);
    for (task, facts) in tasks.iter_mut().zip(&reading.tasks) {
        if facts.has_awaiters {
            task.awaited_by = graph.awaiters(facts.at);
        }
    }
}

/// What nobody awaits, iterates or looked at.
fn read_leftovers(reader: &Reader<'_>, reading: &Reading) -> Leftovers {
    let threads: Vec<_> =
        reading.threads.iter().map(|thread| (thread.tid, &thread.stack)).collect();
    let loops: Vec<Address> = reading.loops.iter().map(|facts| facts.at).collect();
    reader.leftovers(Remains {
        tasks: &reading.tasks,
        threads: &threads,
        loops: &loops,
        registered: &reading.registered,
    })
}

/// The frame of a running chain whose coroutine handles a `CancelledError`, the innermost one.
fn handling(reader: &Reader<'_>, frames: &[RawFrame]) -> Option<usize> {
    frames.iter().rposition(|frame| {
        let generator = frame.generator.non_null().and_then(|at| reader.generator(at).ok());
        generator.is_some_and(|generator| reader.is_cancelled_error(generator.handled))
    })
}

fn cancellation(facts: &TaskFacts, handling: Option<usize>) -> Option<Cancellation> {
    let is_pending = facts.state == FutureState::Pending;
    let cancellation = Cancellation {
        requested: facts.cancels_requested,
        must_cancel: facts.must_cancel,
        in_flight: is_pending && facts.waiter_state == Some(FutureState::Cancelled),
        handling,
        message: facts.cancel_message.clone(),
    };
    let is_asked_for = cancellation.requested.is_some_and(|count| count > 0)
        || cancellation.must_cancel
        || cancellation.in_flight
        || cancellation.handling.is_some()
        || cancellation.message.is_some();
    is_asked_for.then_some(cancellation)
}

fn frames(
    reader: &Reader<'_>,
    place: &dyn Fn() -> String,
    chain: &[RawFrame],
    (options, room): (&Options, &Cell<usize>),
    problems: &mut Vec<Problem>,
) -> Vec<Frame> {
    let mut frames = Vec::with_capacity(chain.len());
    for frame in chain {
        let location = match reader.site(frame.code, frame.lasti, frame.qualname) {
            Ok(site) => site.location,
            Err(error) => {
                problems.push(Problem {
                    place: place(),
                    wanted: "code object".to_owned(),
                    cause: error.to_string(),
                });
                let unknown: Arc<str> = Arc::from("?");
                let file = Arc::clone(&unknown);
                Arc::new(Location::by_path(unknown, file, None))
            }
        };
        let wants_locals = options.locals != Locals::Unread && room.get() > 0;
        let locals = wants_locals.then(|| match reader.locals(frame) {
            Ok(locals) => {
                let shows_secrets = options.locals == Locals::WithSecrets;
                let shown = |name: &str, at| reader.value(name, at, shows_secrets);
                let locals = locals.into_iter();
                let locals: Vec<(Arc<str>, String)> =
                    locals.map(|(name, at)| (Arc::clone(&name), shown(&name, at))).collect();
                let size = |(_, text): &(Arc<str>, String)| PER_LOCAL + text.len();
                room.set(room.get().saturating_sub(locals.iter().map(size).sum()));
                if room.get() == 0 {
                    problems.push(Problem {
                        place: place(),
                        wanted: "locals from here on".to_owned(),
                        cause: "there is not enough memory for them (--max-memory)".to_owned(),
                    });
                }
                locals
            }
            Err(error) => {
                problems.push(Problem {
                    place: place(),
                    wanted: "locals".to_owned(),
                    cause: error.to_string(),
                });
                Vec::new()
            }
        });
        frames.push(Frame { location, locals });
    }
    frames
}
