//! One reading of everything: what is read in which order, and how far it is of one moment.
//!
//! Nothing is stopped for it. That the parts belong together is checked: if no thread of the
//! target ran meanwhile, all is exact. If a loop was in the same callback of the same iteration
//! before and after, no other task of it moved. Else every task is compared with what its memory
//! says now, and those that changed are read again.

use std::cell::Cell;
use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Inspector;
use super::budget::Budget;
use crate::asyncio::{
    Clock, LoopFacts, Reading, Registered, Registries, Said, TaskFacts, TasksRead, ThreadReading,
};
use crate::error::{Error, Result};
use crate::explain::Options;
use crate::memory::{Address, Pass};
use crate::python::object::{Read, Reader, Unreadable};
use crate::python::runtime::ThreadState;
use crate::snapshot::{Consistency, Cut, Depth, Problem, Thread};

/// How often tasks that could not be read are read again: where tasks come and go, another one may be
/// in the making at the same address each time.
const MORE_READINGS: usize = 12;
/// Unread tasks that are told of one by one.
const MAX_UNREAD_TOLD: usize = 16;
/// How often tasks that changed while they were read are read again.
const MAX_ROUNDS: usize = 6;

/// Why parts do not belong together where no thread ran.
const CONTRADICTS: &str = "its parts contradict each other, and no thread ran meanwhile";

impl Inspector {
    /// Reads everything that a snapshot is made of, but names and lines.
    pub(super) fn take_reading(&self, options: &Options, budget: Budget) -> Result<Reading> {
        let reader = self.reader();
        let activity = self.system.activity();
        let mut problems = Vec::new();
        let (threads, with_asyncio) = self.read_threads(&reader, &mut problems)?;
        if with_asyncio.is_empty() {
            return Err(Error::NoAsyncio { pid: self.system.pid() });
        }
        let mut registered = registered(&reader, &with_asyncio)?;
        problems.extend(
            registered
                .problems
                .iter()
                .map(|(registry, error)| problem((*registry).to_owned(), "tasks", error)),
        );
        let TasksRead { tasks, mut unread, count } =
            reader.read_tasks_within(&registered.tasks, options.finished, budget.for_tasks());
        unread.append(&mut registered.unread);
        let left_out = registered.tasks.len() - count;
        registered.tasks.truncate(count);
        let now = self.now();
        let mut reading = Reading {
            activity,
            threads,
            loops: Vec::new(),
            inherited: Vec::new(),
            tasks,
            registered: registered.tasks,
            left_out,
            unread,
            registries: with_asyncio,
            problems,
            now,
            wall_clock: self.system.wall_clock(),
            is_moving: true,
            natives: BTreeMap::new(),
        };
        if options.native {
            self.walk_natives(&reader, &mut reading);
        }
        reading.read_unread(&reader, options);
        reading.read_loops(&reader);
        self.set_apart_inherited(&reader, &mut reading);
        Ok(reading)
    }

    /// Reads the threads of all interpreters, and which of these have asyncio.
    fn read_threads(
        &self,
        reader: &Reader<'_>,
        problems: &mut Vec<Problem>,
    ) -> Result<(Vec<ThreadReading>, Vec<Registries>)> {
        let interpreters =
            reader.interpreters(self.located.runtime).map_err(|error| Error::BadData {
                wanted: "list of interpreters",
                at: self.located.runtime,
                reason: error.to_string(),
            })?;
        let tids = self.tids();
        let mut threads = Vec::new();
        let mut with_asyncio: Vec<Registries> = Vec::new();
        for interpreter in &interpreters {
            let place = || format!("interpreter {}", interpreter.id);
            let modules = reader.asyncio_modules(interpreter);
            // By whose code its frames are it is seen which of them run a loop.
            self.find_packages();
            let states = reader.thread_states(interpreter.at);
            let (modules, states) = match (modules, states) {
                (Ok(modules), Ok(states)) => (modules, states),
                (Err(error), _) => {
                    problems.push(problem(place(), "sys.modules", &error));
                    continue;
                }
                (_, Err(error)) => {
                    problems.push(problem(place(), "list of threads", &error));
                    continue;
                }
            };
            let threading = reader.module(interpreter, "threading").ok().flatten();
            let names = thread_names(reader, threading);
            for state in &states {
                let tid = tid_of(reader, state, &tids);
                threads.push(self.thread(
                    reader,
                    (interpreter.id, *state),
                    tid,
                    names.get(&state.ident),
                ));
            }
            with_asyncio.extend(modules.map(|modules| (*interpreter, modules, states)));
        }
        Ok((threads, with_asyncio))
    }

    /// Asks, once, what is installed in the folders that the target imports from.
    fn find_packages(&self) {
        let libraries = self.caches.libraries();
        if !libraries.unexamined().is_empty() {
            let examined = libraries.examined(|folder| self.system.installed(folder));
            self.caches.keep_libraries(examined);
        }
    }

    /// The threads of a target that has not imported asyncio.
    ///
    /// # Errors
    /// When the target is gone, or the list of its interpreters cannot be read.
    pub fn threads_only(&mut self, options: &Options) -> Result<(Vec<Thread>, Vec<Problem>)> {
        self.system.check_alive()?;
        self.memory.renew(Pass::First);
        self.caches.begin_snapshot();
        let reader = self.reader();
        let mut reading = self.read_threads_only(&reader)?;
        if options.native {
            self.walk_natives(&reader, &mut reading);
        }
        let mut problems = reading.problems();
        let options = Options { native: options.native, ..Options::default() };
        let (threads, _) =
            self.threads(&reader, &reading, (&options, &Cell::new(0)), &mut problems);
        Ok((threads, problems))
    }

    /// Reads the threads, and nothing of asyncio.
    pub(super) fn read_threads_only(&self, reader: &Reader<'_>) -> Result<Reading> {
        let activity = self.system.activity();
        let mut problems = Vec::new();
        let (threads, _) = self.read_threads(reader, &mut problems)?;
        Ok(Reading {
            activity,
            threads,
            loops: Vec::new(),
            inherited: Vec::new(),
            tasks: Vec::new(),
            registered: Vec::new(),
            left_out: 0,
            unread: Vec::new(),
            registries: Vec::new(),
            problems,
            now: None,
            wall_clock: self.system.wall_clock(),
            is_moving: true,
            natives: BTreeMap::new(),
        })
    }

    fn thread(
        &self,
        reader: &Reader<'_>,
        (interpreter, state): (i64, ThreadState),
        tid: Option<i32>,
        name: Option<&String>,
    ) -> ThreadReading {
        let running_loop = reader.running_loop(&state).ok().flatten();
        let stack = reader.thread_stack(&state, running_loop);
        let read_at = self.now();
        let clock = Clock::read(reader, &stack, running_loop);
        ThreadReading {
            state,
            interpreter,
            tid,
            name: name.cloned(),
            stack,
            evaluations: Vec::new(),
            inherited: Vec::new(),
            running_loop,
            clock,
            read_at,
        }
    }

    /// How far a reading that has just ended is of one moment.
    pub(super) fn consistency(&self, reading: &Reading) -> Consistency {
        let after = self.system.activity();
        if reading.activity.nothing_ran_until(&after) {
            return Consistency::Exact;
        }
        let reader = self.reader();
        let is_same_step = |thread: &ThreadReading| {
            let slept = thread.tid.is_some_and(|tid| {
                let activities = (reading.activity.thread(tid), after.thread(tid));
                matches!(activities, (Some(before), Some(after)) if before.did_not_run_until(after))
            });
            let has_loop = thread.running_loop.is_some() || !thread.clock.iterations.is_empty();
            slept
                || !has_loop
                || thread.clock.is_ticking() && {
                    let stack = reader.thread_stack(&thread.state, thread.running_loop);
                    thread.clock == Clock::read(&reader, &stack, thread.running_loop)
                }
        };
        if reading.threads.iter().all(is_same_step) {
            Consistency::SameStep
        } else {
            Consistency::BestEffort
        }
    }

    /// From ids in the target's pid namespace to ours.
    pub(super) fn tids(&self) -> FxHashMap<i32, i32> {
        let threads = self.system.threads();
        threads.into_iter().map(|t| (t.namespace_tid.unwrap_or(t.tid), t.tid)).collect()
    }

    /// Seconds of the target's `CLOCK_MONOTONIC`.
    pub(super) fn now(&self) -> Option<f64> {
        self.system.monotonic_now().ok().map(|now| now.as_secs_f64())
    }
}

impl Reading {
    /// Compares each task with its memory now and reads again what changed, until all hold still.
    ///
    /// Where only tasks are read, each of them needs to be of one moment, and these moments may be
    /// some milliseconds apart: of them only those are read again whose parts do not fit together.
    /// What a busy target writes it has to fetch back from us; twice for each sample is too much.
    pub(super) fn settle(&mut self, reader: &Reader<'_>, options: &Options) {
        self.unread.extend(settle(reader, &mut self.tasks, options));
        self.read_unread(reader, options);
        self.read_loops(reader);
    }

    /// Reads those tasks again that could not be read, as long as they are registered: one that has
    /// ended meanwhile is nothing that is missing.
    fn read_unread(&mut self, reader: &Reader<'_>, options: &Options) {
        for _ in 0..MORE_READINGS {
            if self.unread.is_empty() || !reader.memory.limit().may_begin() {
                return;
            }
            reader.memory.clear();
            let Ok(mut now) = registered(reader, &self.registries) else { return };
            // One that was freed in the midst of a reading is not there at the next.
            let before: FxHashSet<Address> = self.unread.iter().map(|(at, _)| *at).collect();
            now.unread.retain(|(at, _)| before.contains(at));
            let is_there: FxHashSet<Address> = now.tasks.iter().copied().collect();
            let known: FxHashSet<Address> = self.tasks.iter().map(|task| task.at).collect();
            let unread = self.unread.iter().map(|(at, _)| *at);
            let again: Vec<Address> =
                unread.filter(|at| is_there.contains(at) && !known.contains(at)).collect();
            let mut read = reader.read_tasks(&again, options.finished);
            self.tasks.append(&mut read.tasks);
            self.unread = read.unread;
            self.unread.append(&mut now.unread);
        }
    }

    /// Tasks whose work is not known for certain.
    pub(super) fn in_doubt(&self) -> FxHashSet<Address> {
        let in_doubt = self.tasks.iter().filter(|task| task.said == Said::InDoubt);
        in_doubt.map(|task| task.at).collect()
    }

    /// That not all tasks were read, for want of memory.
    pub(super) fn cut(&self) -> Option<Cut> {
        let known = self.registered.len();
        (self.left_out > 0).then(|| Cut {
            tasks_read: known.saturating_sub(self.unread.len()),
            tasks_at_least: known + self.left_out,
        })
    }

    /// What is missing or doubtful.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let changed = |place: String, wanted: &str| Problem {
            place,
            wanted: wanted.to_owned(),
            cause: Problem::CHANGED.to_owned(),
        };
        let mut problems = self.problems.clone();
        if !self.unread.is_empty() {
            let (missing, all) = (self.unread.len(), self.registered.len());
            problems.push(Problem {
                place: "asyncio".to_owned(),
                wanted: "tasks".to_owned(),
                cause: format!("{missing} of {all} registered tasks could not be read"),
            });
        }
        problems.extend(self.cut().map(cut_short));
        for (at, error) in self.unread.iter().take(MAX_UNREAD_TOLD) {
            problems.push(problem(format!("task {at}"), "task", error));
        }
        for task in &self.tasks {
            let place = format!("task {}", task.at);
            if let Some((wanted, error)) = &task.problem {
                problems.push(problem(place, wanted, error));
            } else if !task.is_coherent() {
                problems.push(changed(place, "await chain"));
            }
        }
        for thread in self.threads.iter().filter(|thread| !thread.stack.is_complete) {
            let tid = thread.tid.map(|tid| format!(" {tid}")).unwrap_or_default();
            problems.push(changed(format!("thread{tid}"), "stack"));
        }
        problems
    }

    /// Reads the loops that run and those that tasks belong to.
    fn read_loops(&mut self, reader: &Reader<'_>) {
        let mut seen: FxHashSet<Address> = self.inherited.iter().map(|facts| facts.at).collect();
        let running = self.threads.iter().filter_map(|thread| thread.running_loop);
        let iterations = self.threads.iter().flat_map(|thread| &thread.clock.iterations);
        let nested = iterations.map(|run| run.loop_at);
        let of_tasks = self.tasks.iter().filter_map(|task| task.loop_at);
        let all: Vec<Address> =
            running.chain(nested).chain(of_tasks).filter(|&at| seen.insert(at)).collect();
        self.loops.clear();
        self.problems.retain(|problem| !problem.place.starts_with("loop "));
        for at in all {
            match steady_loop(reader, at) {
                Ok(facts) => {
                    let parts = facts.problems.iter();
                    self.problems.extend(
                        parts.map(|(part, error)| problem(format!("loop {at}"), part, error)),
                    );
                    self.loops.push(facts);
                }
                Err(error) => self.problems.push(problem(format!("loop {at}"), "class", &error)),
            }
        }
        place_loops(&self.loops, &mut self.threads);
    }
}

/// The id of a thread in our pid namespace.
///
/// A `fork` in C, as uWSGI's, leaves in the thread state the id that the thread had in the parent:
/// there is no such thread here, and the `pthread_t` knows better.
pub(super) fn tid_of(
    reader: &Reader<'_>,
    state: &ThreadState,
    tids: &FxHashMap<i32, i32>,
) -> Option<i32> {
    let known = |id: i32| tids.get(&id).copied();
    state.native_id.and_then(known).or_else(|| reader.pthread_tids(state.ident).find_map(known))
}

/// Reads a loop; one that changes while it is read is read anew, as long as parts of it cannot be
/// read. Test: `churn`.
fn steady_loop(reader: &Reader<'_>, at: Address) -> Read<LoopFacts> {
    for _ in 0..MAX_ROUNDS {
        let facts = reader.event_loop(at)?;
        if facts.problems.is_empty() || !reader.memory.limit().may_begin() {
            return Ok(facts);
        }
        reader.memory.clear();
    }
    reader.event_loop(at)
}

/// Corrects on which thread a loop runs.
///
/// A sub-interpreter that is run by another thread than the one that made it keeps a thread state
/// with the maker's ids (`_xxsubinterpreters.run_string` up to 3.12); the loop in it has asked for
/// the id of its thread itself. Test: `subinterpreter`.
fn place_loops(loops: &[LoopFacts], threads: &mut [ThreadReading]) {
    let idents: FxHashMap<u64, Option<i32>> =
        threads.iter().rev().map(|thread| (thread.state.ident, thread.tid)).collect();
    for thread in threads {
        let mut facts = loops.iter().filter(|facts| thread.runs(facts.at));
        let ident = facts.find_map(|facts| facts.thread_ident);
        if let Some(ident) = ident.filter(|&ident| ident != thread.state.ident)
            && let Some(&tid) = idents.get(&ident)
        {
            thread.tid = tid;
        }
    }
}

/// All registered tasks.
fn registered(reader: &Reader<'_>, registries: &[Registries]) -> Result<Registered> {
    let mut all = Registered::default();
    let mut failed = None;
    for (interpreter, modules, threads) in registries {
        let mut found = reader.registered_tasks(interpreter, modules, threads);
        if let Some((wanted, error)) = found.problems.first() {
            failed.get_or_insert((*wanted, modules.tasks, error.to_string()));
        }
        all.tasks.append(&mut found.tasks);
        all.unread.append(&mut found.unread);
        all.problems.append(&mut found.problems);
    }
    match failed {
        // Better an error than "no tasks" when they could not be read.
        Some((wanted, at, reason)) if all.tasks.is_empty() => {
            Err(Error::BadData { wanted, at, reason })
        }
        _ => Ok(all),
    }
}

/// Compares each task with its memory now, and reads again what changed, then only that.
///
/// Gives those that could not be read.
fn settle(
    reader: &Reader<'_>,
    tasks: &mut Vec<TaskFacts>,
    options: &Options,
) -> Vec<(Address, Unreadable)> {
    let mut unread = Vec::new();
    let mut unsettled: Vec<usize> = (0..tasks.len()).collect();
    for _ in 0..MAX_ROUNDS {
        let moved = if options.depth < Depth::Reasons {
            let some = unsettled.iter().filter_map(|&i| tasks.get(i));
            some.filter(|task| task.is_torn()).map(|task| task.at).collect()
        } else {
            reader.moved(tasks, &unsettled, false)
        };
        if moved.is_empty() || !reader.memory.limit().may_begin() {
            break;
        }
        reader.memory.renew(Pass::Again);
        let addresses: Vec<Address> =
            tasks.iter().map(|task| task.at).filter(|at| moved.contains(at)).collect();
        let mut again = reader.read_tasks(&addresses, options.finished);
        unread.append(&mut again.unread);
        let again = again.tasks;
        let mut again: FxHashMap<Address, TaskFacts> =
            again.into_iter().map(|task| (task.at, task)).collect();
        tasks.retain_mut(|task| {
            if !moved.contains(&task.at) {
                return true;
            }
            match again.remove(&task.at) {
                Some(newer) => {
                    *task = newer;
                    true
                }
                // It has ended meanwhile.
                None => false,
            }
        });
        let is_again = |(i, task): (usize, &TaskFacts)| moved.contains(&task.at).then_some(i);
        unsettled = tasks.iter().enumerate().filter_map(is_again).collect();
    }
    unread
}

/// The names that `threading` has for threads, by `pthread_t`.
fn thread_names(reader: &Reader<'_>, threading: Option<Address>) -> FxHashMap<u64, String> {
    let active = threading.and_then(|dict| reader.dict_get(dict, "_active").ok()?);
    let items =
        active.and_then(|active| reader.dict(active, crate::python::object::MAX_ITEMS).ok());
    let name = |(ident, thread): (Address, Address)| {
        let ident = reader.int(ident).ok().and_then(|ident| u64::try_from(ident).ok())?;
        let name = reader.attribute(thread, "_name").ok()??;
        Some((ident, reader.name(name).ok()?.to_string()))
    };
    items.unwrap_or_default().into_iter().filter_map(name).collect()
}

/// Corrects what was taken for a change in a reading during which nothing can have changed.
pub(super) fn nothing_changed(problems: &mut [Problem]) {
    for problem in problems.iter_mut().filter(|problem| problem.is_of_change()) {
        CONTRADICTS.clone_into(&mut problem.cause);
    }
}

fn problem(place: String, wanted: &str, error: &crate::python::object::Unreadable) -> Problem {
    Problem { place, wanted: wanted.to_owned(), cause: error.to_string() }
}

/// That there was no memory for all tasks.
fn cut_short(cut: Cut) -> Problem {
    Problem {
        place: Problem::CUT.to_owned(),
        wanted: format!("all {}", cut.tasks_at_least),
        cause: format!("{cut}: there is not enough memory for the others"),
    }
}
