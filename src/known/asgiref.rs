//! asgiref: synchronous code that waits for a coroutine on another thread's loop.

use super::contextvar::Variables;
use super::library::Library;
use super::purpose::{Purpose, Thread};

pub(super) const LIBRARY: Library = Library {
    functions: &[
        (
            "asgiref/current_thread_executor.py",
            "run_until_future",
            Purpose::Thread(Thread::RunsUntil("future")),
        ),
        (
            "asgiref/sync.py",
            "__call__",
            Purpose::Thread(Thread::CallsLoop {
                at: "main_event_loop",
                unless_not: "running_in_main_event_loop",
            }),
        ),
    ],
    variables: &[Variables::noise(&["asgiref.local", "thread_sensitive_context", "async_single_thread_context", "deadlock_context"])],
    ..Library::PACKAGE
};
