//! The way in: attach to a target once, take snapshots of it as often as wanted.
//!
//! An [`Inspector`] is one attached target: its memory, what the system says of it, its layout, and
//! what was learnt of it before. What is read in which order:
//!
//! 1. what each thread does by the kernel's account (`process`), against which the end is compared;
//! 2. interpreters, threads and their stacks, then the registry of tasks, then all tasks,
//!    breadth-first, then the loops (`reading`);
//! 3. whether that is of one moment: no thread ran, or each loop was in the same step before and
//!    after; otherwise what changed is read again until it holds still (`settle`);
//! 4. what explains it, by way of `explain`, while the bracket is still open (`assemble`);
//! 5. what only a second look can say: a processor that was not given (`processor`), iterations that
//!    never wait (`turns`), since when a callback runs (`glance`).
//!
//! Where certainly nothing ran since the last snapshot, that one is given again with its times moved
//! on (`repeat`). A light sample reads one loop's iteration and nothing else (`glance`). An age never
//! exceeds that of the process (`age`), a loop that was inherited by `fork` is set apart
//! (`inherited`), and memory that is not there cuts the list of tasks, which is said (`budget`).
//!
//! Nothing of the target is trusted here either: what it says of threads is compared with the kernel,
//! and what cannot be read becomes a [`Problem`](crate::snapshot::Problem).

mod age;
mod assemble;
mod budget;
mod glance;
mod inherited;
mod natives;
mod processor;
mod reading;
mod repeat;
mod saved;
mod turns;
mod workers;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};

use self::budget::Budget;
pub use self::budget::share as share_of_memory;
use self::glance::Glances;
pub use self::saved::{ImageError, SavedTarget};
use self::saved::{Saving, SeenTurns};
use self::workers::{SeenWorkers, Workers};
use crate::asyncio::{LoopFacts, TaskFacts};
use crate::error::{Error, Result};
use crate::explain::{Options, shutdown::shutdown, waiting::Descriptors};
use crate::memory::{Address, LiveMemory, Pass, ReadStats, Recorder, TimeLimit};
use crate::process::{SavedSystem, System, SystemRecorder, Target};
use crate::python::frame::Stack;
use crate::python::object::{Caches, Followed, Memory, Reader};
use crate::python::runtime::{Located, locate};
use crate::snapshot::{Depth, Interval, Process, Shutdown, Snapshot, Task, with_separators};

/// How often everything is read again when what all depends on was not believable.
const MAX_TRIES: usize = 5;

/// One step of attaching, as `aiospy doctor` tells it.
#[derive(Debug)]
pub struct AttachStep {
    /// What was tried, `permission to read`.
    pub name: &'static str,
    /// What was found, in a few words, or why the step failed.
    pub outcome: Result<String>,
}

/// An attached target.
#[derive(Debug)]
pub struct Inspector {
    system: Box<dyn System>,
    memory: Memory,
    located: Located,
    caches: Caches,
    /// Tasks on their way out by a cancellation at the last snapshot.
    cancelled_before: FxHashSet<Address>,
    /// Tasks that are there and had a cancellation at any snapshot.
    cancelled: FxHashSet<Address>,
    glances: Glances,
    processors: processor::Processors,
    turns: turns::Watch,
    descriptors: RefCell<Descriptors>,
    /// Since when loops with clocks of their own are in the callbacks they are in.
    held: RefCell<FxHashMap<Address, glance::Held>>,
    /// The memory there is, of that asked for.
    budget: Option<(Option<u64>, Budget)>,
    /// The last snapshot, to be repeated.
    last: Option<repeat::Last>,
    /// What is kept of it, if that is to be saved.
    saving: Option<Saving>,
    /// Of a saved one, what was seen of the iterations of its loops before and between looks.
    seen: (VecDeque<SeenTurns>, VecDeque<SeenTurns>),
    /// The processes of pools that were attached to.
    workers: Workers,
    /// Of a saved one, what was seen of them.
    seen_workers: VecDeque<SeenWorkers>,
}

/// What was read of a target before it becomes plain data.
#[doc(hidden)]
#[derive(Debug)]
pub struct View<'a> {
    /// The threads' ids in our pid namespace, and their stacks.
    pub stacks: Vec<(Option<i32>, &'a Stack)>,
    /// The tasks, ended ones included.
    pub tasks: &'a [TaskFacts],
    /// The event loops.
    pub loops: &'a [LoopFacts],
    /// How far it is on its way out.
    pub shutdown: Option<Shutdown>,
}

impl Inspector {
    /// Finds the Python runtime of process `pid` and checks that it can be read.
    ///
    /// # Errors
    /// Each kind of [`Error`] can come from here; `Memory` and `BadData` only for the parts that
    /// everything else depends on.
    pub fn attach(pid: i32) -> Result<Self> {
        Self::attach_within(pid, &TimeLimit::default())
    }

    /// The same, for readings that may take so long; what `limit` has left when they begin counts.
    ///
    /// # Errors
    /// As [`attach`](Self::attach), and `TimedOut`.
    pub fn attach_within(pid: i32, limit: &TimeLimit) -> Result<Self> {
        Self::attach_in_steps(pid, limit, &mut |_, _| ()).map_err(|(_, error)| error)
    }

    /// Attaches to process `pid` and keeps all that is read of it, to be [`saved`](Self::saved).
    ///
    /// # Errors
    /// As [`attach_within`](Self::attach_within).
    pub fn attach_saving(pid: i32, limit: &TimeLimit) -> Result<Self> {
        let target = Target::open(pid)?;
        let (memory, kept) = Recorder::new(open_memory(&target)?);
        let memory = Memory::new(Box::new(memory)).within(limit.clone());
        let (system, noted) = SystemRecorder::new(target);
        let located = locate(&system, &memory)
            .map_err(|error| timed_out(pid, limit).unwrap_or(error))
            .map_err(|error| system.check_alive().err().unwrap_or(error))?;
        let saving = Saving {
            memory: kept,
            system: noted,
            turns: saved::Watched::default(),
            workers: Vec::new(),
        };
        let inspector = Self::new(Box::new(system), memory, located);
        Ok(Self { saving: Some(saving), ..inspector })
    }

    /// What was read so far, if it is kept ([`attach_saving`](Self::attach_saving)); where it
    /// `masks`, without the contents of texts that name nothing of the program's code.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn saved(&self, masks: bool) -> std::result::Result<Option<SavedTarget>, ImageError> {
        let touched = self.memory.touched().unwrap_or_default();
        self.saving.as_ref().map(|saving| saving.saved(&touched, masks)).transpose()
    }

    /// Attaches to what was saved of a target.
    ///
    /// # Errors
    /// When no Python runtime is found in it.
    pub fn open(saved: SavedTarget) -> Result<Self> {
        let (image, system, turns, workers) = saved.into_parts();
        let memory = Memory::new(Box::new(image));
        let system = SavedSystem::new(system);
        let located = locate(&system, &memory)?;
        let inspector = Self::new(Box::new(system), memory, located);
        Ok(Self {
            seen: (turns.before.into(), turns.between.into()),
            seen_workers: workers.into(),
            ..inspector
        })
    }

    fn new(system: Box<dyn System>, memory: Memory, located: Located) -> Self {
        Self {
            system,
            memory,
            caches: Caches::of(located.image.clone()),
            located,
            cancelled_before: FxHashSet::default(),
            cancelled: FxHashSet::default(),
            glances: Glances::default(),
            processors: processor::Processors::default(),
            turns: turns::Watch::default(),
            descriptors: RefCell::default(),
            held: RefCell::default(),
            budget: None,
            last: None,
            saving: None,
            seen: Default::default(),
            workers: Workers::default(),
            seen_workers: VecDeque::default(),
        }
    }

    /// Tries each step of attaching in turn and tells what was found; ends at the first failure
    /// that makes the next steps impossible. The last one is a snapshot with these options: what came
    /// in it of each rule that says what frames are part of is told, too.
    pub fn examine(
        pid: i32,
        limit: &TimeLimit,
        options: &Options,
    ) -> (Vec<AttachStep>, Vec<Followed>) {
        let mut followed = Vec::new();
        let mut steps = Vec::new();
        let mut note = |name, found| steps.push(AttachStep { name, outcome: Ok(found) });
        let attached = Self::attach_in_steps(pid, limit, &mut note);
        let failed = match attached {
            Ok(mut inspector) => {
                inspector.caches.count_followed();
                let failed = inspector.examine_asyncio(options, &mut note).err();
                followed = inspector.caches.followed();
                failed
            }
            Err(failed) => Some(failed),
        };
        if let Some((name, error)) = failed {
            steps.push(AttachStep { name, outcome: Err(error) });
        }
        (steps, followed)
    }

    fn attach_in_steps(
        pid: i32,
        limit: &TimeLimit,
        note: &mut dyn FnMut(&'static str, String),
    ) -> std::result::Result<Self, (&'static str, Error)> {
        let step = "process";
        let target = Target::open(pid).map_err(|error| (step, error))?;
        let process = target.process();
        let command = process.cmdline.join(" ");
        note(step, if command.is_empty() { process.exe.unwrap_or_default() } else { command });

        // What we saw of a process that ends meanwhile is no verdict on it.
        let verdict = |error| {
            let timed_out = || timed_out(pid, limit).unwrap_or(error);
            target.check_alive().err().unwrap_or_else(timed_out)
        };

        let step = "permission to read";
        let memory = open_memory(&target).map_err(|error| (step, verdict(error)))?;
        let how = if memory.is_by_file() { "through /proc/PID/mem" } else { "process_vm_readv" };
        note(step, how.to_owned());

        let step = "Python runtime";
        let memory = Memory::new(Box::new(memory)).within(limit.clone());
        let located = locate(&target, &memory).map_err(|error| (step, verdict(error)))?;
        note(step, format!("_PyRuntime at {} in {}", located.runtime, located.found_in));
        note("version", format!("CPython {}", located.version));
        note("layout", located.layout_source.clone());
        Ok(Self::new(Box::new(target), memory, located))
    }

    fn examine_asyncio(
        &mut self,
        options: &Options,
        note: &mut dyn FnMut(&'static str, String),
    ) -> std::result::Result<(), (&'static str, Error)> {
        let snapshot = match self.snapshot(options) {
            Ok(snapshot) => snapshot,
            Err(error @ Error::NoAsyncio { .. }) => return Err(("asyncio", error)),
            Err(error) => return Err(("tasks", error)),
        };
        let loops = snapshot.loops.len();
        note("asyncio", format!("imported, {loops} event loop{}", plural(loops)));
        if let Some(error) = self.timed_out() {
            return Err(("tasks", error));
        }
        let (tasks, problems) = (snapshot.tasks.len(), snapshot.problems.len());
        let (tasks, number) = (with_separators(tasks), with_separators(problems));
        let found = format!("{tasks} pending, {number} problem{}", plural(problems));
        note("tasks", found);
        Ok(())
    }

    /// Reads everything once.
    ///
    /// # Errors
    /// When the target is gone, may not be read any more, or lost its runtime, or when its time is
    /// over before anything was read; what fails for a single task or thread becomes a problem in
    /// the snapshot.
    pub fn snapshot(&mut self, options: &Options) -> Result<Snapshot> {
        self.memory.limit().restart();
        self.system.check_alive()?;
        self.note_turns();
        self.system.begin_look();
        self.memory.begin_look();
        if !self.is_live() || self.saving.is_some() {
            // By no clock: with the look, what is known is another.
            self.descriptors.take();
        }
        let snapshot = self.take_snapshot(options);
        self.memory.end_look();
        self.system.end_look();
        snapshot
    }

    fn take_snapshot(&mut self, options: &Options) -> Result<Snapshot> {
        let taken_at = self.system.wall_clock();
        let started = Instant::now();
        let began = self.moment();
        let before = self.memory.stats();
        if let Some(mut snapshot) = self.repeated(options, taken_at) {
            snapshot.during = Interval { began, ended: self.moment() };
            snapshot.elapsed = started.elapsed();
            return Ok(snapshot);
        }
        let budget = self.budget(options);
        self.memory.keep_at_most(budget.for_pages());
        self.caches.use_rules(&options.rules);
        let mut tries = 0;
        let read = loop {
            tries += 1;
            self.memory.renew(Pass::First);
            self.caches.begin_snapshot();
            let read = self.read(options, budget);
            // Of a process that has ended meanwhile nobody knows what is missing.
            self.system.check_alive()?;
            match read {
                Ok(read) => break read,
                Err(error) if self.memory.limit().was_cut() => {
                    return Err(self.timed_out().unwrap_or(error));
                }
                Err(_) if self.located.is_ending(&self.memory) => {
                    return Err(Error::NotInitialized { pid: self.system.pid(), phase: "ending" });
                }
                // A list or dictionary that the target replaced meanwhile.
                Err(Error::Memory { .. } | Error::BadData { .. }) if tries < MAX_TRIES => {}
                Err(error) => return Err(error),
            }
        };
        self.memory.end_part();
        let cancelled = read.tasks.iter().filter(|task| task.is_on_its_way_out());
        self.cancelled_before = cancelled.map(|task| task.id).collect();
        let all = read.shutdown.as_ref().map(Shutdown::all_cancelled).unwrap_or_default();
        let cancelled = read.tasks.iter().filter(|task| self.had_cancellation(task, &all));
        self.cancelled = cancelled.map(|task| task.id).collect();
        let after = self.memory.stats();
        let mut snapshot = Snapshot {
            taken_at,
            during: Interval { began, ended: self.moment() },
            told_from: read.told_from,
            elapsed: started.elapsed(),
            paused: Duration::ZERO,
            consistency: read.consistency,
            process: self.process(),
            cgroup: (options.depth >= Depth::Evidence).then(|| self.system.cgroup()),
            threads: read.threads,
            loops: read.loops,
            tasks: read.tasks,
            executors: read.executors,
            children: Vec::new(),
            heap: read.heap,
            shutdown: read.shutdown,
            cut: read.cut,
            findings: None,
            looks: None,
            verdict: None,
            undecided: Vec::new(),
            depth: options.depth,
            problems: read.problems,
            unread_tasks: read.unread_tasks,
            grounds: read.grounds,
            reads: ReadStats {
                calls: after.calls - before.calls,
                bytes: after.bytes - before.bytes,
            },
        };
        self.processors.note(&mut snapshot, options.blocked_after);
        if snapshot.is_frozen() {
            // What it is frozen in is not what keeps it.
            snapshot.loops.iter_mut().for_each(|it| it.blocking = None);
        }
        if snapshot.depth >= Depth::Evidence {
            self.turn_watch(&mut snapshot);
            self.look_at_workers(&mut snapshot);
        }
        self.keep(options, read.activity, &snapshot);
        Ok(snapshot)
    }

    /// The moment by the target's `CLOCK_MONOTONIC`; by ours, where it has one of its own that
    /// cannot be known: moments are only compared with one another.
    pub(crate) fn moment(&self) -> Duration {
        self.system.monotonic_now().unwrap_or_else(|_| crate::process::monotonic())
    }

    /// Whether this is a process, not what was saved of one.
    pub(crate) fn is_live(&self) -> bool {
        self.system.is_live()
    }

    /// Whether another look can see something else.
    pub(crate) fn has_next_look(&self) -> bool {
        self.system.has_next_look()
    }

    /// Gives what is read next the whole time that one look may take.
    pub(crate) fn restart_time_limit(&self) {
        self.memory.limit().restart();
    }

    /// The memory there is. What is left to our control group changes by what we take ourselves, so
    /// it is asked once.
    fn budget(&mut self, options: &Options) -> Budget {
        let known = self.budget.filter(|(most, _)| *most == options.max_memory);
        let (_, budget) =
            known.unwrap_or_else(|| (options.max_memory, Budget::of(options.max_memory)));
        self.budget = Some((options.max_memory, budget));
        budget
    }

    /// Whether a task has a cancellation, or had one at a snapshot before; `all` are those that
    /// a shutdown has cancelled.
    fn had_cancellation(&self, task: &Task, all: &FxHashSet<Address>) -> bool {
        task.cancellation.is_some() || self.cancelled.contains(&task.id) || all.contains(&task.id)
    }

    /// That the last reading was not whole because its time was over.
    pub fn timed_out(&self) -> Option<Error> {
        timed_out(self.system.pid(), self.memory.limit())
    }

    /// Facts to be said before any result: an unknown newer Python, an odd set-up.
    pub fn warnings(&self) -> &[String] {
        &self.located.warnings
    }

    /// The process with what is known of its Python.
    pub fn process(&self) -> Process {
        Process {
            python: Some(self.located.version.to_string()),
            implementation: Some("cpython".to_owned()),
            free_threaded: Some(false),
            debug_build: self.located.debug_build,
            ..self.system.process()
        }
    }

    /// Reads everything once and hands it to `look`, before it becomes plain data: for tests of
    /// what is read.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    #[doc(hidden)]
    pub fn explore<T>(&self, look: impl FnOnce(Reader<'_>, View<'_>) -> T) -> Result<T> {
        let options = Options { finished: true, ..Options::default() };
        let reading = self.take_reading(&options, Budget::of(None))?;
        let stacks = reading.threads.iter().map(|thread| (thread.tid, &thread.stack)).collect();
        let reader = self.reader();
        let shutdown = shutdown(&reader, &reading);
        let view = View { stacks, tasks: &reading.tasks, loops: &reading.loops, shutdown };
        Ok(look(reader, view))
    }

    /// What reads the target's objects; for tests of its parts.
    #[doc(hidden)]
    pub fn reader(&self) -> Reader<'_> {
        Reader { memory: &self.memory, layout: &self.located.layout, caches: &self.caches }
    }
}

fn timed_out(pid: i32, limit: &TimeLimit) -> Option<Error> {
    let limit = limit.length().filter(|_| limit.was_cut())?;
    Some(Error::TimedOut { pid, limit })
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Opens the target's memory, tried out at the first place that can be read.
fn open_memory(target: &Target) -> Result<LiveMemory> {
    let maps = target.maps()?;
    let mut refused = None;
    for mapping in maps.iter().filter(|mapping| mapping.is_readable) {
        match LiveMemory::open(target.pid(), Address(mapping.start)) {
            Ok(memory) => return Ok(memory),
            // Some special mappings cannot be read: try the next.
            Err(fault) if fault.errno == nix::libc::EFAULT || fault.errno == nix::libc::EIO => {}
            Err(fault) => {
                refused = Some(fault);
                break;
            }
        }
    }
    let errno = refused.map(|fault| fault.errno);
    Err(Error::NotPermitted { pid: target.pid(), access: Box::new(target.access(errno)) })
}
