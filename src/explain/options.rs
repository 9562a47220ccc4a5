//! What is wanted of a snapshot.

use std::time::Duration;

use crate::known::work::Rules;
use crate::snapshot::{Depth, Show};

/// What a snapshot is to contain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Whether the local variables of every frame are read.
    pub locals: Locals,
    /// Keep tasks that have ended but are still registered.
    pub finished: bool,
    /// How much is read of what is behind the tasks.
    pub depth: Depth,
    /// How long an iteration may run callbacks before its loop counts as blocked.
    pub blocked_after: Duration,
    /// What the whole heap is searched for. It is read from end to end each time, 0.2 s for each
    /// GiB, without a pause of the target.
    pub heap: Search,
    /// Walk the stacks in C of threads that sleep, too.
    pub native: bool,
    /// Take the last snapshot again, its times moved on, where certainly no thread of the target ran
    /// since, unless evidence is asked for. What is outside of it, such as what arrived at a socket
    /// that nobody waits for, is then as it was.
    pub repeats: bool,
    /// How many bytes of memory snapshots may take, about; the smaller of 512 MiB and half of what
    /// our own control group has left, if `None`. Tasks that do not fit are left out, see
    /// [`Snapshot::cut`](crate::snapshot::Snapshot::cut).
    pub max_memory: Option<u64>,
    /// What frames of the program's own functions are part of: rules that go before those known for
    /// libraries.
    pub rules: Rules,
    /// How much of what a request asked for, and of who asked, a snapshot has.
    pub show: Show,
}

impl Default for Options {
    fn default() -> Self {
        // 100 ms is asyncio's own threshold, `slow_callback_duration`.
        Self {
            locals: Locals::Unread,
            finished: false,
            depth: Depth::Evidence,
            blocked_after: Duration::from_millis(100),
            heap: Search::Nothing,
            native: false,
            repeats: false,
            max_memory: None,
            rules: Rules::default(),
            show: Show::Route,
        }
    }
}

/// What the heap is searched for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Search {
    /// It isn't.
    #[default]
    Nothing,
    /// Tasks that have failed and that no registry lists.
    Objects,
    /// Who refers to what tasks wait for, too: that takes several searches.
    References,
    /// All that is listed of a heap, too, with who refers to it: that takes as many again.
    Lists,
}

/// What is read of local variables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Locals {
    /// Nothing.
    #[default]
    Unread,
    /// Their values, but for what their names, or what stands before it in a text, say is secret.
    WithoutSecrets,
    /// Their values, secrets too.
    WithSecrets,
}
