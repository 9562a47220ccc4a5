//! The standard library beside asyncio: threads, queues, pools, processes.
//!
// Lib of 3.8 to 3.15.

use super::Origin;
use super::library::Library;
use super::role::{Module, Role, Thread};

const CHILD: &str = "subprocess.py";
const FUTURES: &str = "concurrent/futures/_base.py";
const POOL: &str = "concurrent/futures/thread.py";
const PROCESSES: &str = "concurrent/futures/process.py";
const THREADING: &str = "threading.py";

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Stdlib,
    modules: &[
        (THREADING, Module::Threading),
        ("_threading_local.py", Module::ThreadingLocal),
        ("queue.py", Module::Queue),
        (FUTURES, Module::Futures),
        (POOL, Module::ThreadPool),
        ("selectors.py", Module::Selectors),
    ],
    functions: &[
        (THREADING, "_bootstrap", Role::Thread(Thread::Bootstrap)),
        (THREADING, "run", Role::Thread(Thread::Run)),
        (THREADING, "join", Role::Thread(Thread::Join)),
        (THREADING, "wait", Role::Thread(Thread::Wait)),
        (THREADING, "wait_for", Role::Thread(Thread::WaitFor)),
        (THREADING, "acquire", Role::Thread(Thread::Acquire)),
        (THREADING, "__enter__", Role::Thread(Thread::Enter)),
        (THREADING, "_shutdown", Role::Thread(Thread::Shutdown)),
        ("queue.py", "get", Role::Thread(Thread::QueueGet)),
        ("queue.py", "put", Role::Thread(Thread::QueuePut)),
        ("queue.py", "join", Role::Thread(Thread::QueueJoin)),
        (FUTURES, "result", Role::Thread(Thread::FutureResult)),
        (FUTURES, "exception", Role::Thread(Thread::FutureException)),
        (FUTURES, "wait", Role::Thread(Thread::FuturesWait)),
        (FUTURES, "as_completed", Role::Thread(Thread::FuturesAsCompleted)),
        (FUTURES, "result_iterator", Role::Thread(Thread::FuturesMap)),
        (POOL, "_worker", Role::Thread(Thread::PoolWorker)),
        (POOL, "run", Role::Thread(Thread::PoolCall)),
        (POOL, "initialize", Role::Thread(Thread::PoolInitialize)),
        (POOL, "shutdown", Role::Thread(Thread::PoolShutdown)),
        (POOL, "_python_exit", Role::Thread(Thread::PoolsExit)),
        // Up to 3.8 a function, later the thread's own method.
        (PROCESSES, "_queue_management_worker", Role::Thread(Thread::ProcessPoolManager)),
        (PROCESSES, "run", Role::Thread(Thread::ProcessPoolManager)),
        ("socket.py", "getaddrinfo", Role::Thread(Thread::GetAddrInfo)),
        ("socket.py", "getfqdn", Role::Thread(Thread::GetFqdn)),
        (CHILD, "communicate", Role::Thread(Thread::Child)),
        (CHILD, "_communicate", Role::Thread(Thread::Child)),
        (CHILD, "wait", Role::Thread(Thread::Child)),
        (CHILD, "_wait", Role::Thread(Thread::Child)),
        (CHILD, "_execute_child", Role::Thread(Thread::Child)),
        (CHILD, "__exit__", Role::Thread(Thread::Child)),
        (CHILD, "_try_wait", Role::Thread(Thread::Child)),
        ("multiprocessing/popen_fork.py", "_launch", Role::Forks),
        ("multiprocessing/process.py", "_bootstrap", Role::ForkedChild),
    ],
    anywhere: &[],
};
