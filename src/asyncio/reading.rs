//! What is read of a process at one moment, before it becomes plain data.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{AsyncioModules, LoopFacts, RunOnce, TaskFacts};
use crate::memory::Address;
use crate::native;
use crate::process::Activity;
use crate::python::frame::{Evaluation, RawFrame, Stack};
use crate::python::object::{Reader, Unreadable};
use crate::python::runtime::{Interpreter, ThreadState};
use crate::snapshot::{Problem, Withheld};

/// What was read, before it becomes a snapshot.
#[derive(Debug)]
pub(crate) struct Reading {
    /// What the threads did before anything was read.
    pub activity: Activity,
    pub threads: Vec<ThreadReading>,
    pub loops: Vec<LoopFacts>,
    /// The loops of the parent that the process was forked from, which it does not run.
    pub inherited: Vec<LoopFacts>,
    pub tasks: Vec<TaskFacts>,
    /// The registered tasks that were read, ended ones included.
    pub registered: Vec<Address>,
    /// How many registered tasks were left out, for want of memory.
    pub(crate) left_out: usize,
    /// Those of them that could not be read, and why.
    pub unread: Vec<(Address, Unreadable)>,
    /// Where tasks are registered.
    pub(crate) registries: Vec<Registries>,
    pub problems: Vec<Problem>,
    /// Seconds of the target's `CLOCK_MONOTONIC` when the tasks had been read.
    pub now: Option<f64>,
    /// The same by the clock of the machine.
    pub wall_clock: Timestamp,
    /// Whether threads ran while it was read, or since.
    pub is_moving: bool,
    /// The stacks in C, where they were asked for, by thread.
    pub natives: BTreeMap<i32, Result<native::Stack, Withheld>>,
}

/// A thread state with what was read of it.
#[derive(Debug)]
pub(crate) struct ThreadReading {
    pub state: ThreadState,
    /// The number of the interpreter that the state belongs to.
    pub interpreter: i64,
    /// Its id in our pid namespace.
    pub tid: Option<i32>,
    /// Its name in `threading`.
    pub name: Option<String>,
    /// What it runs itself.
    pub stack: Stack,
    /// The calls in C that run it, the innermost first, where those were asked for.
    pub evaluations: Vec<Evaluation>,
    /// The frames around those, of the parent that it was forked from.
    pub inherited: Vec<RawFrame>,
    /// The loop that runs on it.
    pub running_loop: Option<Address>,
    /// Where its loops are.
    pub clock: Clock,
    /// Seconds of the target's `CLOCK_MONOTONIC` at which the stack was read.
    pub read_at: Option<f64>,
}

impl ThreadReading {
    /// Whether a loop runs on it.
    pub fn runs(&self, loop_at: Address) -> bool {
        self.running_loop == Some(loop_at)
            || self.clock.iterations.iter().any(|run| run.loop_at == loop_at)
    }
}

/// Where the loops on a thread are: equal clocks mean that the same callback of the same
/// iteration runs, if it is one that runs at all.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Clock {
    /// The iterations of asyncio's own loops on its stack.
    pub iterations: Vec<RunOnce>,
    /// For uvloop, libuv's time of the iteration and the coroutine that runs in it.
    pub(crate) uv: Option<(u64, Address)>,
}

impl Clock {
    pub(crate) fn read(reader: &Reader<'_>, stack: &Stack, running_loop: Option<Address>) -> Self {
        let iterations = reader.iterations(stack);
        let running = stack.frames.iter().find(|frame| !frame.generator.is_null());
        let time = running_loop.filter(|_| iterations.is_empty()).and_then(|at| reader.uv_time(at));
        let uv = time.zip(running).map(|(time, frame)| (time, frame.generator));
        Self { iterations, uv }
    }

    /// Whether it tells one callback from another: a loop that waits for input has no clock.
    pub(crate) fn is_ticking(&self) -> bool {
        self.uv.is_some()
            || self.iterations.last().is_some_and(|run| run.position.end_time.is_some())
    }
}

/// An interpreter with its asyncio and its threads.
pub(crate) type Registries = (Interpreter, AsyncioModules, Vec<ThreadState>);
