//! Tasks that wait at a TCP connection, as far as the kernel tells how that got on.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::SignedDuration;
use rustc_hash::FxHashSet;

use super::Context;
use crate::memory::Address;
use crate::snapshot::{Loop, Operation, Socket, Task, Tcp, Waiting};

/// Awaiters of one task among whom a time limit is looked for.
const MAX_AWAITERS: usize = 1000;

/// A task that waits at a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'s> {
    pub task: &'s Task,
    pub waiting: &'s Waiting,
    pub socket: &'s Socket,
    /// The far end.
    pub peer: &'s str,
}

impl<'s> At<'s> {
    fn of(task: &'s Task) -> Option<Self> {
        let waiting = task.waiting_on.as_deref()?;
        let socket = waiting.socket().filter(|socket| socket.protocol == "tcp")?;
        Some(Self { task, waiting, socket, peer: socket.far_end()? })
    }

    /// How the connection got on.
    pub fn tcp(&self) -> Option<&'s Tcp> {
        self.socket.tcp.as_ref()
    }
}

/// Those that wait for one thing at a connection, in loops that this process runs.
pub(super) fn waiting<'s>(
    context: &Context<'s>,
    operation: Operation,
) -> impl Iterator<Item = At<'s>> {
    let run = context.now.loops.iter().filter(|known| known.may_run());
    let run: FxHashSet<Address> = run.map(|known: &Loop| known.id).collect();
    let at_socket = context.at_socket.iter().filter_map(|task| At::of(task));
    at_socket.filter(move |at| {
        at.waiting.operation() == Some(operation)
            && at.task.loop_id.is_some_and(|id| run.contains(&id))
    })
}

/// What ends a wait, whatever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// Nothing does.
    Never,
    /// Something, nobody knows when.
    SomeTime,
    /// A time limit, so far ahead.
    In(Duration),
}

/// What ends the wait of a task: a time limit of its own, or of one of those that await it.
pub(super) fn limit(context: &Context<'_>, task: &Task) -> Limit {
    let mut seen = FxHashSet::default();
    let mut next = VecDeque::from([task.id]);
    let mut limits = Vec::new();
    while let Some(id) = next.pop_front().filter(|_| seen.len() < MAX_AWAITERS) {
        let Some(task) = context.task(id).filter(|_| seen.insert(id)) else { continue };
        if let Some(waiting) = task.waiting_on.as_deref() {
            limits.extend(waiting.deadlines.iter().map(|limit| limit.due_in));
            limits.extend(waiting.due_in.map(Some));
        }
        next.extend(task.awaited_by.iter().copied());
    }
    if limits.is_empty() {
        return Limit::Never;
    }
    let ahead = limits.into_iter().flatten().filter(|due| !due.is_negative());
    ahead.map(SignedDuration::unsigned_abs).min().map_or(Limit::SomeTime, Limit::In)
}
