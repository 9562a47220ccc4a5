//! anyio on asyncio: its threads, its limits, its own loop runner.

use super::Origin;
use super::library::Library;
use super::role::{Module, Role};

const BACKEND: &str = "anyio/_backends/_asyncio.py";

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[("anyio/", Module::Anyio)],
    functions: &[
        (BACKEND, "run", Role::AnyioRun),
        (BACKEND, "WorkerThread.run", Role::AnyioWorker),
        (BACKEND, "_cancel_all_tasks", Role::CancelsAll("anyio.run")),
        (BACKEND, "acquire_on_behalf_of", Role::AnyioLimiter),
        (BACKEND, "run_sync_in_worker_thread", Role::AnyioCall),
    ],
    anywhere: &[],
};
