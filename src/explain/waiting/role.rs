//! What a suspended frame of asyncio's own code waits for, told from its function.

/// What the coroutine of a frame does while it is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// `sleep`.
    Sleep,
    /// `Lock.acquire`.
    Lock,
    /// `Semaphore.acquire`.
    Semaphore,
    /// `Event.wait`.
    Event,
    /// `Condition.wait` or `Condition.wait_for`.
    Condition,
    /// A coroutine of `Barrier`.
    Barrier,
    /// `Queue.get`.
    Get,
    /// `Queue.put`.
    Put,
    /// `Queue.join`.
    Join,
    /// `wait_for`, or the part of it that waits for what it has cancelled.
    WaitFor,
    /// `wait`.
    Wait,
    /// One turn of `as_completed`.
    AsCompleted,
    /// `TaskGroup.__aexit__`.
    TaskGroup,
    /// `shutdown_asyncgens`.
    Asyncgens,
    /// `shutdown_default_executor`.
    DefaultExecutor,
    /// `Future.__await__` in Python, for whatever awaits the future.
    Future,
    /// Other code of asyncio.
    Asyncio,
    /// Any other code.
    Other,
}

impl Role {
    /// The role of a function, by its qualified name and which file of asyncio's it is in, if any.
    ///
    // Lib/asyncio of 3.8 to 3.15: tasks.py, locks.py, queues.py, taskgroups.py, base_events.py,
    // futures.py.
    pub(super) fn of(function: &str, file: Option<&str>) -> Self {
        let Some(file) = file else { return Self::Other };
        match (file, function) {
            ("tasks.py", "sleep") => Self::Sleep,
            ("tasks.py", "wait_for" | "_cancel_and_wait") => Self::WaitFor,
            ("tasks.py", "wait" | "_wait") => Self::Wait,
            (
                "tasks.py",
                "as_completed.<locals>._wait_for_one" | "_AsCompletedIterator._wait_for_one",
            ) => Self::AsCompleted,
            ("locks.py", "Lock.acquire") => Self::Lock,
            ("locks.py", "Semaphore.acquire") => Self::Semaphore,
            ("locks.py", "Event.wait") => Self::Event,
            ("locks.py", "Condition.wait" | "Condition.wait_for") => Self::Condition,
            ("locks.py", function) if function.starts_with("Barrier.") => Self::Barrier,
            ("queues.py", "Queue.get") => Self::Get,
            ("queues.py", "Queue.put") => Self::Put,
            ("queues.py", "Queue.join") => Self::Join,
            ("taskgroups.py", "TaskGroup.__aexit__" | "TaskGroup._aexit") => Self::TaskGroup,
            ("futures.py", "Future.__await__") => Self::Future,
            ("base_events.py", "BaseEventLoop.shutdown_asyncgens") => Self::Asyncgens,
            ("base_events.py", "BaseEventLoop.shutdown_default_executor") => Self::DefaultExecutor,
            _ => Self::Asyncio,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Role;

    #[test]
    fn by_function_and_file() {
        let of = |function| Role::of(function, Some("locks.py"));
        assert_eq!(of("Lock.acquire"), Role::Lock);
        assert_eq!(of("Barrier._wait"), Role::Barrier);
        assert_eq!(of("Lock.__aenter__"), Role::Asyncio);
        assert_eq!(Role::of("Lock.acquire", Some("tasks.py")), Role::Asyncio);
        // A class of the program's or of a package that is called alike.
        assert_eq!(Role::of("Lock.acquire", None), Role::Other);
    }
}
