//! asyncio: loops, tasks, primitives, streams.
//!
// Lib/asyncio of 3.8 to 3.15.

use super::Origin;
use super::library::Library;
use super::purpose::{Io, Left, Loop, Module, Purpose, Stop, Wait};

/// `Server.wait_closed`. It was closed when it has no sockets any longer.
const SERVER: Stop = Stop { is_part: true, ..Stop::of("asyncio.Server", Left::Streams) };

const BASE: &str = "asyncio/base_events.py";
const FUTURES: &str = "asyncio/futures.py";
const LOCKS: &str = "asyncio/locks.py";
const PROCESS: &str = "asyncio/subprocess.py";
const RUNNERS: &str = "asyncio/runners.py";
const SELECTOR: &str = "asyncio/selector_events.py";
const STREAMS: &str = "asyncio/streams.py";
const TASKS: &str = "asyncio/tasks.py";

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Stdlib,
    modules: &[
        (BASE, Module::AsyncioLoop),
        (RUNNERS, Module::AsyncioRunners),
        (SELECTOR, Module::AsyncioSelector),
        (STREAMS, Module::AsyncioStreams),
        (TASKS, Module::AsyncioTasks),
        ("asyncio/taskgroups.py", Module::AsyncioTasks),
        ("asyncio/", Module::Asyncio),
    ],
    functions: &[
        (BASE, "_run_once", Purpose::Loop(Loop::RunOnce)),
        (BASE, "time", Purpose::Loop(Loop::Time)),
        (BASE, "call_soon_threadsafe", Purpose::Loop(Loop::WakesUp)),
        ("asyncio/events.py", "_run", Purpose::Loop(Loop::HandleRun)),
        (RUNNERS, "run", Purpose::Loop(Loop::AsyncioRun)),
        (RUNNERS, "Runner.run", Purpose::Loop(Loop::RunnerRun)),
        (RUNNERS, "close", Purpose::Loop(Loop::RunnerClose)),
        (BASE, "shutdown_asyncgens", Purpose::Wait(Wait::Asyncgens)),
        (BASE, "shutdown_default_executor", Purpose::Wait(Wait::DefaultExecutor)),
        (TASKS, "sleep", Purpose::Wait(Wait::Sleep)),
        (TASKS, "wait_for", Purpose::Wait(Wait::WaitFor)),
        (TASKS, "_cancel_and_wait", Purpose::Wait(Wait::CancelAndWait)),
        (TASKS, "wait", Purpose::Wait(Wait::Wait)),
        (TASKS, "_wait", Purpose::Wait(Wait::Wait)),
        (TASKS, "as_completed.<locals>._wait_for_one", Purpose::Wait(Wait::AsCompleted)),
        (TASKS, "_AsCompletedIterator._wait_for_one", Purpose::Wait(Wait::AsCompleted)),
        (LOCKS, "Lock.acquire", Purpose::Wait(Wait::Lock)),
        (LOCKS, "Semaphore.acquire", Purpose::Wait(Wait::Semaphore)),
        (LOCKS, "Event.wait", Purpose::Wait(Wait::Event)),
        (LOCKS, "Condition.wait", Purpose::Wait(Wait::Condition)),
        (LOCKS, "Condition.wait_for", Purpose::Wait(Wait::Condition)),
        (LOCKS, "Barrier.wait", Purpose::Wait(Wait::Barrier)),
        (LOCKS, "Barrier._wait", Purpose::Wait(Wait::Barrier)),
        (LOCKS, "Barrier._block", Purpose::Wait(Wait::Barrier)),
        (LOCKS, "Barrier._release", Purpose::Wait(Wait::Barrier)),
        (LOCKS, "Barrier.reset", Purpose::Wait(Wait::Barrier)),
        (LOCKS, "Barrier.abort", Purpose::Wait(Wait::Barrier)),
        (LOCKS, "Barrier.__aenter__", Purpose::Wait(Wait::Barrier)),
        (LOCKS, "Barrier.__aexit__", Purpose::Wait(Wait::Barrier)),
        ("asyncio/queues.py", "Queue.get", Purpose::Wait(Wait::Get)),
        ("asyncio/queues.py", "Queue.put", Purpose::Wait(Wait::Put)),
        ("asyncio/queues.py", "Queue.join", Purpose::Wait(Wait::Join)),
        ("asyncio/taskgroups.py", "TaskGroup.__aexit__", Purpose::Wait(Wait::TaskGroup)),
        ("asyncio/taskgroups.py", "TaskGroup._aexit", Purpose::Wait(Wait::TaskGroup)),
        (FUTURES, "_chain_future.<locals>._set_state", Purpose::HandsOver),
        (FUTURES, "_set_state", Purpose::HandsOver),
        (FUTURES, "Future.__await__", Purpose::Wait(Wait::Future)),
        (STREAMS, "_wait_for_data", Purpose::Io(Io::StreamRead)),
        (STREAMS, "_drain_helper", Purpose::Io(Io::StreamWrite)),
        (STREAMS, "drain", Purpose::Io(Io::StreamWrite)),
        (STREAMS, "wait_closed", Purpose::Io(Io::StreamClose)),
        (STREAMS, "start_tls", Purpose::Io(Io::StreamTls)),
        (SELECTOR, "sock_accept", Purpose::Io(Io::Accept)),
        (SELECTOR, "sock_connect", Purpose::Io(Io::Connect)),
        (SELECTOR, "_sock_connect", Purpose::Io(Io::Connect)),
        (SELECTOR, "sock_recv", Purpose::Io(Io::Receive)),
        (SELECTOR, "sock_recv_into", Purpose::Io(Io::Receive)),
        (SELECTOR, "sock_recvfrom", Purpose::Io(Io::Receive)),
        (SELECTOR, "sock_recvfrom_into", Purpose::Io(Io::Receive)),
        (SELECTOR, "sock_sendall", Purpose::Io(Io::Send)),
        (SELECTOR, "sock_sendto", Purpose::Io(Io::Send)),
        (SELECTOR, "_accept_connection2", Purpose::Io(Io::AcceptConnection)),
        (SELECTOR, "_sendfile_native", Purpose::Io(Io::SendFile)),
        ("asyncio/unix_events.py", "_sock_sendfile_native", Purpose::Io(Io::Send)),
        (BASE, "serve_forever", Purpose::Io(Io::Serve)),
        (BASE, "wait_closed", Purpose::Stops(&SERVER)),
        (BASE, "drain", Purpose::Io(Io::TransportDrain)),
        (BASE, "_create_connection_transport", Purpose::Io(Io::TransportConnect)),
        (BASE, "connect_accepted_socket", Purpose::Io(Io::TransportConnect)),
        (BASE, "create_datagram_endpoint", Purpose::Io(Io::TransportConnect)),
        (BASE, "connect_read_pipe", Purpose::Io(Io::TransportConnect)),
        (BASE, "connect_write_pipe", Purpose::Io(Io::TransportConnect)),
        (BASE, "start_tls", Purpose::Io(Io::TransportConnect)),
        ("asyncio/base_subprocess.py", "_wait", Purpose::Io(Io::TransportWait)),
        (PROCESS, "wait", Purpose::Io(Io::ProcessWait)),
        (PROCESS, "communicate", Purpose::Io(Io::ProcessWait)),
        (PROCESS, "_feed_stdin", Purpose::Io(Io::ProcessWrite)),
        (PROCESS, "_read_stream", Purpose::Io(Io::ProcessRead)),
    ],
    // Loops of others are made after asyncio's, and programs copy `_cancel_all_tasks`.
    anywhere: &[
        ("_run_once", Purpose::Loop(Loop::OtherRunOnce)),
        ("run_forever", Purpose::Loop(Loop::RunForever)),
        ("run_until_complete", Purpose::Loop(Loop::RunUntilComplete)),
        ("_cancel_all_tasks", Purpose::CancelsAll("asyncio.run")),
    ],
    ..Library::PACKAGE
};
