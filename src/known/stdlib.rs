//! The standard library beside asyncio: threads, queues, pools, processes.
//!
// Lib of 3.8 to 3.15.

use super::Origin;
use super::contextvar::Variables;
use super::library::Library;
use super::purpose::{Module, Purpose, Thread};

const CHILD: &str = "subprocess.py";
const FUTURES: &str = "concurrent/futures/_base.py";
const POOL: &str = "concurrent/futures/thread.py";
const PROCESSES: &str = "concurrent/futures/process.py";
const PROCESS_POOL: &str = "multiprocessing/pool.py";
const THREADING: &str = "threading.py";

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Stdlib,
    modules: &[
        (THREADING, Module::Threading),
        ("_threading_local.py", Module::ThreadingLocal),
        ("queue.py", Module::Queue),
        (FUTURES, Module::Futures),
        (POOL, Module::ThreadPool),
        (PROCESS_POOL, Module::ProcessPool),
        ("multiprocessing/queues.py", Module::ProcessQueues),
        ("selectors.py", Module::Selectors),
    ],
    functions: &[
        (THREADING, "_bootstrap", Purpose::Thread(Thread::Bootstrap)),
        (THREADING, "run", Purpose::Thread(Thread::Run)),
        (THREADING, "join", Purpose::Thread(Thread::Join)),
        (THREADING, "wait", Purpose::Thread(Thread::Wait)),
        (THREADING, "wait_for", Purpose::Thread(Thread::WaitFor)),
        (THREADING, "acquire", Purpose::Thread(Thread::Acquire)),
        (THREADING, "__enter__", Purpose::Thread(Thread::Enter)),
        (THREADING, "_shutdown", Purpose::Thread(Thread::Shutdown)),
        ("queue.py", "get", Purpose::Thread(Thread::QueueGet)),
        ("queue.py", "put", Purpose::Thread(Thread::QueuePut)),
        ("queue.py", "join", Purpose::Thread(Thread::QueueJoin)),
        (FUTURES, "result", Purpose::Thread(Thread::FutureResult)),
        (FUTURES, "exception", Purpose::Thread(Thread::FutureException)),
        (FUTURES, "wait", Purpose::Thread(Thread::FuturesWait)),
        (FUTURES, "as_completed", Purpose::Thread(Thread::FuturesAsCompleted)),
        (FUTURES, "result_iterator", Purpose::Thread(Thread::FuturesMap)),
        (POOL, "_worker", Purpose::Thread(Thread::PoolWorker)),
        (POOL, "run", Purpose::Thread(Thread::PoolCall)),
        (POOL, "initialize", Purpose::Thread(Thread::PoolInitialize)),
        (POOL, "shutdown", Purpose::Thread(Thread::PoolShutdown)),
        (POOL, "_python_exit", Purpose::Thread(Thread::PoolsExit)),
        // Up to 3.8 a function, later the thread's own method.
        (PROCESSES, "_queue_management_worker", Purpose::Thread(Thread::ProcessPoolManager)),
        (PROCESSES, "run", Purpose::Thread(Thread::ProcessPoolManager)),
        (PROCESSES, "_process_worker", Purpose::Thread(Thread::ProcessPoolWorker)),
        (PROCESS_POOL, "_handle_tasks", Purpose::Thread(Thread::PoolTaskHandler)),
        (PROCESS_POOL, "worker", Purpose::Thread(Thread::PoolProcess)),
        (PROCESS_POOL, "wait", Purpose::Thread(Thread::PoolResult)),
        (PROCESS_POOL, "get", Purpose::Thread(Thread::PoolResult)),
        ("socket.py", "getaddrinfo", Purpose::Thread(Thread::GetAddrInfo)),
        ("socket.py", "getfqdn", Purpose::Thread(Thread::GetFqdn)),
        (CHILD, "communicate", Purpose::Thread(Thread::Child)),
        (CHILD, "_communicate", Purpose::Thread(Thread::Child)),
        (CHILD, "wait", Purpose::Thread(Thread::Child)),
        (CHILD, "_wait", Purpose::Thread(Thread::Child)),
        (CHILD, "_execute_child", Purpose::Thread(Thread::Child)),
        (CHILD, "__exit__", Purpose::Thread(Thread::Child)),
        (CHILD, "_try_wait", Purpose::Thread(Thread::Child)),
        ("multiprocessing/popen_fork.py", "_launch", Purpose::Forks),
        ("multiprocessing/process.py", "_bootstrap", Purpose::ForkedChild),
    ],
    variables: &[Variables::noise(&["decimal_context"])],
    ..Library::PACKAGE
};

/// Whether a function written in C is of `sqlite3`, by its name.
pub fn is_of_sqlite(function: &str) -> bool {
    function.starts_with("sqlite3.")
}
