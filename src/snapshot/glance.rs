//! A light sample: where each loop is, without its tasks.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{BlockingKind, Location, Phase, Processor};
use crate::memory::Address;

/// Where all loops of a target were at one moment.
#[derive(Debug, Clone)]
pub struct Glance {
    /// When, by our clock.
    pub taken_at: Timestamp,
    /// The same by the target's `CLOCK_MONOTONIC`.
    pub at: Duration,
    /// The loops that run on a thread.
    pub loops: Vec<LoopGlance>,
}

/// Where one loop was.
#[derive(Debug, Clone, PartialEq)]
pub struct LoopGlance {
    /// The loop.
    pub id: Address,
    /// The thread that runs it.
    pub thread: Option<i32>,
    /// When its reading began, by the target's `CLOCK_MONOTONIC`.
    pub at: Duration,
    /// When it had been read.
    pub read_by: Duration,
    /// What its iteration is at.
    pub phase: Phase,
    /// When the ready phase began, by the target's `CLOCK_MONOTONIC`: equal for one iteration.
    pub began: Option<Duration>,
    /// Tells one wait for events from another, when its thread was seen to sleep in it.
    pub wait: Option<u64>,
    /// Tells one callback of an iteration from another: its index; for uvloop its coroutine.
    pub callback: Option<u64>,
    /// How many callbacks the iteration has to run.
    pub total: Option<u64>,
    /// What its thread has had of a processor, where that is counted.
    pub processor: Option<Processor>,
    /// What the callback is at, when the phase has lasted for some milliseconds.
    pub work: Option<Arc<Occupation>>,
}

impl LoopGlance {
    /// Whether its thread was seen to sleep in its poll: on its way there or back it may be about
    /// to run callbacks.
    pub fn is_asleep_in_poll(&self) -> bool {
        self.phase == Phase::Select && self.wait.is_some()
    }
}

/// What a callback is at.
#[derive(Debug, Clone, PartialEq)]
pub struct Occupation {
    /// The callback in words, `task worker-3`.
    pub handle: Option<String>,
    /// The task that runs.
    pub task: Option<Address>,
    /// The stack below the loop's own frames, outermost first.
    pub stack: Vec<Arc<Location>>,
    /// The line to blame: the innermost one of the program's own code.
    pub place: Option<Arc<Location>>,
    /// What kind of call keeps the thread.
    pub kind: BlockingKind,
    /// The same in words, `recv from tcp 10.0.0.5:5432`.
    pub description: String,
    /// The other end of a socket, or a file's path.
    pub peer: Option<String>,
    /// The request or job that it is a part of, `GET /orders/{id}`.
    pub label: Option<Arc<str>>,
}
