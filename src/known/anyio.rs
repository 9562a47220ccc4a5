//! anyio on asyncio: its threads, its limits, its own loop runner.

use super::Origin;
use super::library::Library;
use super::purpose::{Module, Purpose};

const BACKEND: &str = "anyio/_backends/_asyncio.py";

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[("anyio/", Module::Anyio)],
    functions: &[
        (BACKEND, "run", Purpose::AnyioRun),
        (BACKEND, "WorkerThread.run", Purpose::AnyioWorker),
        (BACKEND, "_cancel_all_tasks", Purpose::CancelsAll("anyio.run")),
        (BACKEND, "acquire_on_behalf_of", Purpose::AnyioLimiter),
        (BACKEND, "run_sync_in_worker_thread", Purpose::AnyioCall),
    ],
    anywhere: &[],
};
