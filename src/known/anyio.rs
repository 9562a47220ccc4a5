//! anyio on asyncio: its primitives, its threads, its limits, its own loop runner.
//!
// 3.0 to 4.16: up to 4.4 locks and semaphores are made of events in the common part, from then on
// of futures in the backend.

use super::contextvar::Variables;
use super::library::Library;
use super::purpose::{Anyio, Io, Module, Purpose};

const BACKEND: &str = "anyio/_backends/_asyncio.py";
const COMMON: &str = "anyio/_core/_synchronization.py";
const STREAMS: &str = "anyio/streams/memory.py";

pub(super) const LIBRARY: Library = Library {
    modules: &[("anyio/", Module::Anyio)],
    functions: &[
        (BACKEND, "run", Purpose::AnyioRun),
        (BACKEND, "WorkerThread.run", Purpose::AnyioWorker),
        (BACKEND, "_cancel_all_tasks", Purpose::CancelsAll("anyio.run")),
        (BACKEND, "acquire_on_behalf_of", Purpose::AnyioLimiter),
        (BACKEND, "run_sync_in_worker_thread", Purpose::AnyioCall),
        (BACKEND, "Event.wait", Purpose::Anyio(Anyio::Event)),
        (BACKEND, "Lock.acquire", Purpose::Anyio(Anyio::Lock)),
        (COMMON, "Lock.acquire", Purpose::Anyio(Anyio::Lock)),
        (BACKEND, "Semaphore.acquire", Purpose::Anyio(Anyio::Semaphore)),
        (COMMON, "Semaphore.acquire", Purpose::Anyio(Anyio::Semaphore)),
        (COMMON, "Condition.wait", Purpose::Anyio(Anyio::Condition)),
        (STREAMS, "MemoryObjectReceiveStream.receive", Purpose::Anyio(Anyio::Receive)),
        (STREAMS, "MemoryObjectSendStream.send", Purpose::Anyio(Anyio::Send)),
        (BACKEND, "TaskGroup.__aexit__", Purpose::Anyio(Anyio::Group)),
        (BACKEND, "_wait", Purpose::Anyio(Anyio::Group)),
        // Of `SocketStream` and of `UDPSocket`.
        (BACKEND, "receive", Purpose::Io(Io::StreamRead)),
        (BACKEND, "send", Purpose::Io(Io::StreamWrite)),
    ],
    variables: &[Variables::noise(&["current_async_library_cvar"])],
    ..Library::PACKAGE
};
