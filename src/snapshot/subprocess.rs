//! Processes that the program has started through a loop and waits for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::memory::Address;

/// A process that tasks wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subprocess {
    /// Its transport.
    pub id: Address,
    /// Its id in our pid namespace; as the program knows it where it has ended.
    pub pid: i32,
    /// What its program is called, where it is there.
    pub name: Option<String>,
    /// Whether the loop knows that it has ended.
    pub has_ended: bool,
    /// The tasks that wait for its end, or at one of its pipes.
    pub tasks: Vec<Address>,
    /// The pipe to us in which it waits for room, while we read nothing of it.
    pub full: Option<FullPipe>,
    /// Its pipes that others hold open after its end.
    pub held: Vec<HeldPipe>,
}

/// A pipe of a process that is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullPipe {
    /// 1 or 2, as the process knows it.
    pub number: i32,
    /// Who waits for room in it.
    pub writer: PipeWriter,
    /// Other tasks whose frames lead to it, so that they may read on.
    pub readers: Vec<Address>,
    /// Whether nobody can read on but those who wait for the process.
    pub is_out_of_reach: bool,
}

/// Who waits in a system call until there is room in a pipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipeWriter {
    /// Its pipe, as the process that was started knows it: 1 or 2.
    pub number: i32,
    /// Which process: the one that was started, or one below it.
    pub pid: i32,
    /// What its program is called.
    pub name: String,
    /// The system call.
    pub call: String,
    /// Equal as long as it sleeps in one and the same wait.
    pub sleep_id: Option<u64>,
    /// For how long at least it has slept.
    pub asleep_for: Option<Duration>,
}

/// A pipe that stays open after the end of the process it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPipe {
    /// 1 or 2, as that process knew it.
    pub number: i32,
    /// Who has its far end.
    pub holders: Vec<PipeHolder>,
}

/// Another process that has the far end of one of our pipes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipeHolder {
    /// Its id in our pid namespace.
    pub pid: i32,
    /// Its command line, as far as it fits in a line.
    pub command: String,
    /// Equal as long as its main thread sleeps in one and the same wait.
    pub sleep_id: Option<u64>,
    /// For how long at least that has slept.
    pub asleep_for: Option<Duration>,
}
