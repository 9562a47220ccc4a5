//! What functions of libraries are for, as far as conclusions depend on it.

use super::pool::Pool;

/// What a function of a library is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A part of a loop, or of what runs one.
    Loop(Loop),
    /// A coroutine of asyncio's that waits for other tasks, or until something has happened.
    Wait(Wait),
    /// A coroutine of asyncio's that waits for a descriptor or a process.
    Io(Io),
    /// A call of the standard library that waits without a loop, or what runs such calls.
    Thread(Thread),
    /// It has cancelled tasks and waits for them, for the named one.
    CancelsAll(&'static str),
    /// A server's own graceful stop, or one of its connections'.
    Stops(&'static Stop),
    /// It waits until the application has started, for the named server.
    AwaitsStart(&'static str),
    /// A server tells its application to end, and waits until it has.
    EndsApplication,
    /// The application's part of a server's start or end, whichever its variable `concern` says, of
    /// the named server.
    StartsOrEnds(&'static str),
    /// The task of the application that is told so.
    Application,
    /// The application runs what it has to do at its end.
    CleansUp,
    /// A middleware's call of what comes next, which runs in a task of its own: one in a group, or
    /// in the variable `task`.
    CallsNext,
    /// A coroutine of anyio's that waits for other tasks, or until something has happened.
    Anyio(Anyio),
    /// `WorkerThread.run` of anyio.
    AnyioWorker,
    /// `anyio.run`, or, for before 3.11 frames do not say which, `WorkerThread.run`.
    AnyioRun,
    /// `CapacityLimiter.acquire_on_behalf_of`.
    AnyioLimiter,
    /// `run_sync_in_worker_thread`.
    AnyioCall,
    /// It makes a loop and runs it, under the given name.
    Runs(&'static str),
    /// `_set_state` of `_chain_future`, which a future of a thread has called in the loop.
    HandsOver,
    /// It waits for whatever the other end has to say, for as long as that takes.
    Listens,
    /// It waits for this, which code that is not Python's will tell it.
    Expects(&'static str),
    /// It sends the command in its variable `args` and waits for the answer.
    Command,
    /// It gets a connection of this pool, which is `self`, and waits for it if there is none.
    Acquires(&'static Pool),
    /// It waits until the pool has a connection for its item, which is `self`.
    InLine,
    /// `Popen._launch` of `multiprocessing`, which forks.
    Forks,
    /// `BaseProcess._bootstrap`, the child's side of that.
    ForkedChild,
}

/// A part of a loop, or of what runs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loop {
    /// `BaseEventLoop._run_once`.
    RunOnce,
    /// The `_run_once` of a loop that is made after asyncio's.
    OtherRunOnce,
    /// The `_run_once` that `nest_asyncio` puts in its place.
    NestedRunOnce,
    /// `run_forever` of any loop.
    RunForever,
    /// `run_until_complete` of any loop.
    RunUntilComplete,
    /// `Handle._run`.
    HandleRun,
    /// `asyncio.run`.
    AsyncioRun,
    /// `Runner.run`.
    RunnerRun,
    /// `Runner.close`.
    RunnerClose,
    /// `BaseEventLoop.time`.
    Time,
    /// `call_soon_threadsafe`, which queues a callback first and wakes the loop for it then.
    WakesUp,
}

/// What the coroutine of a frame of asyncio does while it is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wait {
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
    /// `wait_for`.
    WaitFor,
    /// `_cancel_and_wait`, the part of `wait_for` that waits for what it has cancelled.
    CancelAndWait,
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
}

/// What the coroutine of a frame of anyio does while it is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Anyio {
    /// `Lock.acquire`.
    Lock,
    /// `Semaphore.acquire`.
    Semaphore,
    /// `Condition.wait`.
    Condition,
    /// `Event.wait`.
    Event,
    /// `MemoryObjectReceiveStream.receive`.
    Receive,
    /// `MemoryObjectSendStream.send`.
    Send,
    /// `TaskGroup.__aexit__`, or the part of it that waits for the children.
    Group,
}

/// What a coroutine of asyncio waits for at a descriptor or of a process, and which of its
/// variables knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Io {
    /// Bytes of a stream: `_transport` of `self`.
    StreamRead,
    /// Room in the buffer of a stream.
    StreamWrite,
    /// The end of a stream.
    StreamClose,
    /// A handshake on a stream.
    StreamTls,
    /// A connection that arrives at `sock`.
    Accept,
    /// A connection that `sock` makes.
    Connect,
    /// Bytes that arrive at `sock`.
    Receive,
    /// Room in the buffer of `sock`.
    Send,
    /// The handshake with a client that has arrived: `transport`, or `conn` before there is one.
    AcceptConnection,
    /// A file that is sent by way of `transp`.
    SendFile,
    /// Connections of a server, for ever.
    Serve,
    /// Room in the buffer of the `_transport` of `self`, for a file.
    TransportDrain,
    /// A `transport` that is being made.
    TransportConnect,
    /// The end of the process whose transport is `self`.
    TransportWait,
    /// The end of a process.
    ProcessWait,
    /// Room in the pipe to a process.
    ProcessWrite,
    /// Bytes of the pipe `fd` of a process.
    ProcessRead,
}

/// A call of the standard library that waits without a loop, or what runs such calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Thread {
    /// `Thread._bootstrap`.
    Bootstrap,
    /// `Thread.run`.
    Run,
    /// `Thread.join`.
    Join,
    /// `wait` of `Event`, `Condition` or `Barrier`: before 3.11 frames do not say which.
    Wait,
    /// `Condition.wait_for`.
    WaitFor,
    /// `Semaphore.acquire`.
    Acquire,
    /// `Semaphore.__enter__` and its like.
    Enter,
    /// `threading._shutdown`.
    Shutdown,
    /// `queue.Queue.get`.
    QueueGet,
    /// `queue.Queue.put`.
    QueuePut,
    /// `queue.Queue.join`.
    QueueJoin,
    /// `concurrent.futures.Future.result`.
    FutureResult,
    /// `concurrent.futures.Future.exception`.
    FutureException,
    /// `concurrent.futures.wait`.
    FuturesWait,
    /// `concurrent.futures.as_completed`.
    FuturesAsCompleted,
    /// `Executor.map`.
    FuturesMap,
    /// The function of a pool's thread.
    PoolWorker,
    /// `_WorkItem.run`.
    PoolCall,
    /// A pool's `initializer`, from 3.14 on.
    PoolInitialize,
    /// `ThreadPoolExecutor.shutdown`.
    PoolShutdown,
    /// `_python_exit` of the pools.
    PoolsExit,
    /// The function of a process pool's thread.
    ProcessPoolManager,
    /// The function of its processes.
    ProcessPoolWorker,
    /// The function of the thread of a `multiprocessing.Pool` that hands out its calls.
    PoolTaskHandler,
    /// The function of its processes.
    PoolProcess,
    /// A wait for the result `self` of a call of it.
    PoolResult,
    /// `getaddrinfo`.
    GetAddrInfo,
    /// `getfqdn`.
    GetFqdn,
    /// A wait for a child process.
    Child,
    /// It runs calls that it is given, until the future in the named variable is done.
    RunsUntil(&'static str),
    /// It runs the calls of a queue one after the other, each for the future in its variable
    /// `future`.
    Serves {
        /// The variable, or the attribute of `self`, that has the queue of futures and functions.
        queue: &'static str,
        /// The variable that has the function of the call that runs.
        function: &'static str,
    },
    /// It has given a coroutine to a loop, and waits for its result.
    CallsLoop {
        /// The variable, or the attribute of `self`, that has the loop.
        at: &'static str,
        /// A variable that is false where it was another loop after all.
        unless_not: &'static str,
    },
}

/// A server's own graceful stop.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Stop {
    /// Whose it is, as a report says it.
    pub by: &'static str,
    /// What it waits for.
    pub left: Left,
    /// Whether a program may well close it and go on: then only its main task's wait for it counts.
    pub is_part: bool,
    /// What is set once the stop has begun, where the same function is there before: a variable, and
    /// attributes from there on.
    pub begun: &'static [&'static str],
    /// Where the headers are that are made anew each second until it stops.
    pub headers: &'static [&'static str],
}

impl Stop {
    /// One of a server that is the program.
    pub(super) const fn of(by: &'static str, left: Left) -> Self {
        Self { by, left, is_part: false, begun: &[], headers: &[] }
    }

    /// The `close` of a driver's pool, which waits until all connections were given back.
    pub(super) const fn of_pool(by: &'static str) -> Self {
        Self { is_part: true, ..Self::of(by, Left::Borrowers) }
    }
}

/// What a stop waits for.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum Left {
    /// The tasks in a collection: a variable, and attributes from there on. Of a dictionary its
    /// values; of several ways, as versions differ, the first that is there.
    Tasks(&'static [&'static [&'static str]]),
    /// The tasks that have a stream of this server of asyncio's.
    Streams,
    /// The tasks that have a connection of this pool.
    Borrowers,
    /// The tasks of the connections that are being stopped themselves.
    Connections,
    /// The task of the one connection that is stopped.
    Connection,
    /// The tasks that the server has given names with this beginning.
    Named(&'static str),
    /// The tasks of connections: the variable with these, and the attribute of each with its task.
    /// What waits is no task, but what runs the loop.
    Protocols(&'static str, &'static str),
}

/// A file or a package whose functions are known as such, whichever of them it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Module {
    /// `asyncio/base_events.py`
    AsyncioLoop,
    /// `asyncio/runners.py`
    AsyncioRunners,
    /// `asyncio/selector_events.py`
    AsyncioSelector,
    /// `asyncio/streams.py`
    AsyncioStreams,
    /// `asyncio/tasks.py`, `asyncio/taskgroups.py`
    AsyncioTasks,
    /// Another file of asyncio.
    Asyncio,
    /// `threading.py`
    Threading,
    /// `_threading_local.py`
    ThreadingLocal,
    /// `queue.py`
    Queue,
    /// `concurrent/futures/_base.py`
    Futures,
    /// `concurrent/futures/thread.py`
    ThreadPool,
    /// `multiprocessing/pool.py`
    ProcessPool,
    /// `multiprocessing/queues.py`
    ProcessQueues,
    /// `selectors.py`
    Selectors,
    /// The control socket of gunicorn's master.
    GunicornControl,
    /// Another file of gunicorn.
    Gunicorn,
    /// A file of anyio.
    Anyio,
    /// A file of a web framework that calls the program's function for a request.
    Router,
}

impl Module {
    /// Whether it is a file of asyncio's own.
    pub fn is_asyncio(self) -> bool {
        matches!(
            self,
            Self::AsyncioLoop
                | Self::AsyncioRunners
                | Self::AsyncioSelector
                | Self::AsyncioStreams
                | Self::AsyncioTasks
                | Self::Asyncio
        )
    }
}

impl Purpose {
    /// Whether it is a part of a loop that is around what the loop has called.
    pub fn is_around_callbacks(self) -> bool {
        matches!(self, Self::Loop(part) if !matches!(part, Loop::Time | Loop::RunnerClose))
    }
}

impl Thread {
    /// What it is called in a report. An event has a condition and waits for that: `waits` are the
    /// calls of `wait` that lie within one another.
    pub fn call(self, waits: usize) -> &'static str {
        match self {
            Self::QueueGet => "Queue.get",
            Self::QueuePut => "Queue.put",
            Self::QueueJoin => "Queue.join",
            Self::Join => "Thread.join",
            Self::Wait if waits > 1 => "Event.wait",
            Self::Wait | Self::WaitFor => "Condition.wait",
            // Of a semaphore: the others are not written in Python.
            Self::Acquire | Self::Enter => "acquire of a threading semaphore",
            Self::FutureResult => "Future.result",
            Self::FutureException => "Future.exception",
            Self::FuturesMap => "Executor.map",
            Self::FuturesAsCompleted => "as_completed",
            Self::FuturesWait => "wait",
            Self::GetAddrInfo => "getaddrinfo",
            Self::GetFqdn => "getfqdn",
            _ => "a call",
        }
    }
}
