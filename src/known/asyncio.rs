//! asyncio: loops, tasks, primitives, streams.
//!
// Lib/asyncio of 3.8 to 3.15.

use super::Origin;
use super::library::Library;
use super::role::{Io, Left, Loop, Module, Role, Stop, Wait};

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
        (BASE, "_run_once", Role::Loop(Loop::RunOnce)),
        (BASE, "time", Role::Loop(Loop::Time)),
        ("asyncio/events.py", "_run", Role::Loop(Loop::HandleRun)),
        (RUNNERS, "run", Role::Loop(Loop::AsyncioRun)),
        (RUNNERS, "Runner.run", Role::Loop(Loop::RunnerRun)),
        (RUNNERS, "close", Role::Loop(Loop::RunnerClose)),
        (BASE, "shutdown_asyncgens", Role::Wait(Wait::Asyncgens)),
        (BASE, "shutdown_default_executor", Role::Wait(Wait::DefaultExecutor)),
        (TASKS, "sleep", Role::Wait(Wait::Sleep)),
        (TASKS, "wait_for", Role::Wait(Wait::WaitFor)),
        (TASKS, "_cancel_and_wait", Role::Wait(Wait::CancelAndWait)),
        (TASKS, "wait", Role::Wait(Wait::Wait)),
        (TASKS, "_wait", Role::Wait(Wait::Wait)),
        (TASKS, "as_completed.<locals>._wait_for_one", Role::Wait(Wait::AsCompleted)),
        (TASKS, "_AsCompletedIterator._wait_for_one", Role::Wait(Wait::AsCompleted)),
        (LOCKS, "Lock.acquire", Role::Wait(Wait::Lock)),
        (LOCKS, "Semaphore.acquire", Role::Wait(Wait::Semaphore)),
        (LOCKS, "Event.wait", Role::Wait(Wait::Event)),
        (LOCKS, "Condition.wait", Role::Wait(Wait::Condition)),
        (LOCKS, "Condition.wait_for", Role::Wait(Wait::Condition)),
        (LOCKS, "Barrier.wait", Role::Wait(Wait::Barrier)),
        (LOCKS, "Barrier._wait", Role::Wait(Wait::Barrier)),
        (LOCKS, "Barrier._block", Role::Wait(Wait::Barrier)),
        (LOCKS, "Barrier._release", Role::Wait(Wait::Barrier)),
        (LOCKS, "Barrier.reset", Role::Wait(Wait::Barrier)),
        (LOCKS, "Barrier.abort", Role::Wait(Wait::Barrier)),
        (LOCKS, "Barrier.__aenter__", Role::Wait(Wait::Barrier)),
        (LOCKS, "Barrier.__aexit__", Role::Wait(Wait::Barrier)),
        ("asyncio/queues.py", "Queue.get", Role::Wait(Wait::Get)),
        ("asyncio/queues.py", "Queue.put", Role::Wait(Wait::Put)),
        ("asyncio/queues.py", "Queue.join", Role::Wait(Wait::Join)),
        ("asyncio/taskgroups.py", "TaskGroup.__aexit__", Role::Wait(Wait::TaskGroup)),
        ("asyncio/taskgroups.py", "TaskGroup._aexit", Role::Wait(Wait::TaskGroup)),
        (FUTURES, "_chain_future.<locals>._set_state", Role::HandsOver),
        (FUTURES, "_set_state", Role::HandsOver),
        (FUTURES, "Future.__await__", Role::Wait(Wait::Future)),
        (STREAMS, "_wait_for_data", Role::Io(Io::StreamRead)),
        (STREAMS, "_drain_helper", Role::Io(Io::StreamWrite)),
        (STREAMS, "drain", Role::Io(Io::StreamWrite)),
        (STREAMS, "wait_closed", Role::Io(Io::StreamClose)),
        (STREAMS, "start_tls", Role::Io(Io::StreamTls)),
        (SELECTOR, "sock_accept", Role::Io(Io::Accept)),
        (SELECTOR, "sock_connect", Role::Io(Io::Connect)),
        (SELECTOR, "_sock_connect", Role::Io(Io::Connect)),
        (SELECTOR, "sock_recv", Role::Io(Io::Receive)),
        (SELECTOR, "sock_recv_into", Role::Io(Io::Receive)),
        (SELECTOR, "sock_recvfrom", Role::Io(Io::Receive)),
        (SELECTOR, "sock_recvfrom_into", Role::Io(Io::Receive)),
        (SELECTOR, "sock_sendall", Role::Io(Io::Send)),
        (SELECTOR, "sock_sendto", Role::Io(Io::Send)),
        (SELECTOR, "_accept_connection2", Role::Io(Io::AcceptConnection)),
        (SELECTOR, "_sendfile_native", Role::Io(Io::SendFile)),
        ("asyncio/unix_events.py", "_sock_sendfile_native", Role::Io(Io::Send)),
        (BASE, "serve_forever", Role::Io(Io::Serve)),
        (BASE, "wait_closed", Role::Stops(&SERVER)),
        (BASE, "drain", Role::Io(Io::TransportDrain)),
        (BASE, "_create_connection_transport", Role::Io(Io::TransportConnect)),
        (BASE, "connect_accepted_socket", Role::Io(Io::TransportConnect)),
        (BASE, "create_datagram_endpoint", Role::Io(Io::TransportConnect)),
        (BASE, "connect_read_pipe", Role::Io(Io::TransportConnect)),
        (BASE, "connect_write_pipe", Role::Io(Io::TransportConnect)),
        (BASE, "start_tls", Role::Io(Io::TransportConnect)),
        ("asyncio/base_subprocess.py", "_wait", Role::Io(Io::TransportWait)),
        (PROCESS, "wait", Role::Io(Io::ProcessWait)),
        (PROCESS, "communicate", Role::Io(Io::ProcessWait)),
        (PROCESS, "_feed_stdin", Role::Io(Io::ProcessWrite)),
        (PROCESS, "_read_stream", Role::Io(Io::ProcessRead)),
    ],
    // Loops of others are made after asyncio's, and programs copy `_cancel_all_tasks`.
    anywhere: &[
        ("_run_once", Role::Loop(Loop::OtherRunOnce)),
        ("run_forever", Role::Loop(Loop::RunForever)),
        ("run_until_complete", Role::Loop(Loop::RunUntilComplete)),
        ("_cancel_all_tasks", Role::CancelsAll("asyncio.run")),
    ],
};
