//! What only findings rest on.
//!
//! Each part of a snapshot has it in `grounds`. Nobody else needs it, so it is read only where
//! conclusions are drawn ([`Depth::Evidence`](super::Depth)), and neither a document nor a recording
//! has it: these have the conclusions themselves.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::{
    Asking, Collector, Enclosed, Location, Loop, Looping, NeverAwaited, OpenGenerator, Processor,
    ProcessorUse, Snapshot, Subprocess, Task, Thread, Turns, Unretrieved,
};
use crate::memory::Address;

/// What was left behind, and what nobody can come to any more.
#[derive(Debug, Clone, Default)]
pub struct Grounds {
    /// Exceptions that nobody has looked at.
    pub unretrieved: Vec<Unretrieved>,
    /// Coroutines that were never started.
    pub never_awaited: Vec<NeverAwaited>,
    /// Asynchronous generators that are suspended.
    pub open_generators: Vec<OpenGenerator>,
    /// Things that only tasks can come to.
    pub enclosed: Vec<Enclosed>,
    /// Queues of which items were taken that nothing was found to say done.
    pub forgotten: Vec<Address>,
    /// What those expect that read from a connection on which this end has had the last word.
    pub asking: FxHashMap<Address, Asking>,
    /// While a server starts: tasks that nothing but an exception lets out of a loop of the program,
    /// and where that is.
    pub endless: Vec<(Address, Arc<Location>)>,
    /// Processes that tasks wait for and that may never go on.
    pub subprocesses: Vec<Subprocess>,
}

/// What findings about a task rest on.
#[derive(Debug, Clone, Default)]
pub struct TaskGrounds {
    /// Tasks whose frames refer to the lock or semaphore it waits for and are not seen to hold
    /// it: each may have taken it by a bare `acquire`.
    pub suspects: Arc<[Address]>,
    /// The `for` loop of the program in which it waits for something outside.
    pub looping: Option<Looping>,
    /// How many references to it there are, but for that of the future it waits for.
    pub references: Option<u64>,
    /// Whether something is to be called when it ends.
    pub has_callbacks: bool,
    /// Whether it may have frames that were not read: what these hold or refer to is unknown.
    pub is_partly_read: bool,
    /// Whether a search of the heap has shown that nobody can come to what it waits for but tasks
    /// that hang by that.
    pub is_on_island: bool,
}

/// What findings about a loop rest on; read at any depth, as far as there is a thread that runs it.
#[derive(Debug, Clone, Default)]
pub struct LoopGrounds {
    /// How many descriptors it watches, but for those that wake itself; looked at when it is
    /// blocked.
    pub watched: Option<u64>,
    /// How many connections wait that it accepts them; looked at when it is blocked.
    pub unaccepted: Option<u64>,
    /// What its thread has had of a processor, where that is counted.
    pub processor: Option<Processor>,
    /// What its thread had of a processor lately, if it was looked at before.
    pub processor_use: Option<ProcessorUse>,
    /// The garbage collector that holds its thread when it is at work.
    pub collector: Option<Collector>,
    /// Its turns since the look before, if it was watched.
    pub turns: Option<Turns>,
}

/// What findings about a thread rest on.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThreadGrounds {
    /// The same number as long as it sleeps in one and the same wait; absent while it is awake.
    pub sleep_id: Option<u64>,
    /// For how long at least it has slept, where that was asked for and can be told.
    pub asleep_for: Option<Duration>,
}

impl Snapshot {
    /// Exceptions that nobody has looked at.
    pub fn unretrieved(&self) -> &[Unretrieved] {
        self.grounds.as_ref().map_or(&[], |grounds| &grounds.unretrieved)
    }

    /// Coroutines that were never started.
    pub fn never_awaited(&self) -> &[NeverAwaited] {
        self.grounds.as_ref().map_or(&[], |grounds| &grounds.never_awaited)
    }

    /// Asynchronous generators that are suspended.
    pub fn open_generators(&self) -> &[OpenGenerator] {
        self.grounds.as_ref().map_or(&[], |grounds| &grounds.open_generators)
    }

    /// Processes that tasks wait for and that may never go on.
    pub fn subprocesses(&self) -> &[Subprocess] {
        self.grounds.as_ref().map_or(&[], |grounds| &grounds.subprocesses)
    }

    /// Queues of which items were taken that nothing was found to say done.
    pub fn forgotten(&self) -> &[Address] {
        self.grounds.as_ref().map_or(&[], |grounds| &grounds.forgotten)
    }

    /// Things that only tasks can come to.
    pub fn enclosed(&self) -> &[Enclosed] {
        self.grounds.as_ref().map_or(&[], |grounds| &grounds.enclosed)
    }

    /// Where a task is in a loop of the program without an end, while a server starts.
    pub(crate) fn endless(&self, task: Address) -> Option<&Location> {
        let endless = &self.grounds.as_ref()?.endless;
        endless.iter().find(|(id, _)| *id == task).map(|(_, place)| &**place)
    }
}

impl Task {
    /// Those who may have what it waits for.
    pub(crate) fn suspects(&self) -> &[Address] {
        self.grounds.as_ref().map_or(&[], |grounds| &grounds.suspects)
    }

    /// The `for` loop of the program that it is in.
    pub(crate) fn looping(&self) -> Option<&Looping> {
        self.grounds.as_ref()?.looping.as_ref()
    }

    /// Whether nobody else can come to what it waits for, by a search of the heap.
    pub(crate) fn is_on_island(&self) -> bool {
        self.grounds.as_ref().is_some_and(|grounds| grounds.is_on_island)
    }

    /// Whether it may have frames that were not read.
    pub(crate) fn is_partly_read(&self) -> bool {
        self.grounds.as_ref().is_some_and(|grounds| grounds.is_partly_read)
    }
}

impl Thread {
    /// The same number as long as it sleeps in one and the same wait.
    pub(crate) fn sleep_id(&self) -> Option<u64> {
        self.grounds?.sleep_id
    }

    /// For how long at least it has slept.
    pub(crate) fn asleep_for(&self) -> Option<Duration> {
        self.grounds?.asleep_for
    }
}

impl Loop {
    /// How many descriptors it watches.
    pub(crate) fn watched(&self) -> Option<u64> {
        self.grounds.as_ref()?.watched
    }

    /// What its thread has had of a processor.
    pub fn processor(&self) -> Option<Processor> {
        self.grounds.as_ref()?.processor
    }

    /// What its thread had of a processor lately.
    pub(crate) fn processor_use(&self) -> Option<ProcessorUse> {
        self.grounds.as_ref()?.processor_use
    }

    /// The garbage collector that holds its thread when it is at work.
    pub(crate) fn collector(&self) -> Option<&Collector> {
        self.grounds.as_ref()?.collector.as_ref()
    }

    /// Its turns since the look before.
    pub(crate) fn turns(&self) -> Option<&Turns> {
        self.grounds.as_ref()?.turns.as_ref()
    }
}
