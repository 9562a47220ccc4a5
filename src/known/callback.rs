//! What a callable does that asyncio has called when something is done, by its qualified name.

use super::name::last_part;

/// A callable that a future, a loop or a selector calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callback {
    /// `Task.__step` in Python.
    Step,
    /// `Task.__wakeup` in Python.
    Wakeup,
    /// `gather`'s, at each of its children.
    Gather,
    /// `shield`'s, at the future within.
    ShieldInner,
    /// `shield`'s, at the future that it has given.
    ShieldOuter,
    /// `wait`'s.
    Wait,
    /// `as_completed`'s, up to 3.12.
    AsCompleted,
    /// `as_completed`'s, from 3.13 on: a method of its iterator.
    AsCompletedIterator,
    /// `_chain_future`'s, at the future whose result is handed on.
    Handover,
    /// `_chain_future`'s, at the future that gets it.
    Handback,
    /// `wait_for`'s, up to 3.11.
    ReleaseWaiter,
    /// `TaskGroup`'s.
    TaskGroup,
    /// The same of anyio's.
    AnyioTaskGroup,
    /// `run_coroutine_threadsafe`'s, which makes the task.
    StartThreadsafe,
    /// A listening socket's, of a loop's own server.
    AcceptConnection,
    /// `sock_accept`'s.
    SockAccept,
    /// `sock_connect`'s; uvloop has another name for it.
    SockConnect,
}

impl Callback {
    /// What a callable does, by its qualified name.
    //
    // Lib/asyncio of 3.8 to 3.15: tasks.py, futures.py, taskgroups.py, selector_events.py; uvloop
    // 0.14 to 0.22; anyio 3.0 to 4.16.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            // 3.9 has a `gather` that warns about `loop` and calls `_gather`.
            "gather.<locals>._done_callback" | "_gather.<locals>._done_callback" => Self::Gather,
            "shield.<locals>._inner_done_callback" => Self::ShieldInner,
            "shield.<locals>._outer_done_callback" => Self::ShieldOuter,
            // The second is anyio's (4.6, 4.7).
            "_wait.<locals>._on_completion" | "_wait.<locals>.on_completion" => Self::Wait,
            "as_completed.<locals>._on_completion" => Self::AsCompleted,
            "_AsCompletedIterator._handle_completion" => Self::AsCompletedIterator,
            "_chain_future.<locals>._call_set_state" => Self::Handover,
            "_chain_future.<locals>._call_check_cancel" => Self::Handback,
            "_release_waiter" => Self::ReleaseWaiter,
            "TaskGroup._on_task_done" => Self::TaskGroup,
            "TaskGroup._spawn.<locals>.task_done" => Self::AnyioTaskGroup,
            "run_coroutine_threadsafe.<locals>.callback" => Self::StartThreadsafe,
            _ => match last_part(name) {
                "__step" => Self::Step,
                "__wakeup" => Self::Wakeup,
                "_accept_connection" => Self::AcceptConnection,
                "_sock_accept" => Self::SockAccept,
                "_sock_connect_cb" | "_sock_connect" => Self::SockConnect,
                _ => return None,
            },
        })
    }
}
