//! hypercorn: its start, its graceful stop, its application.

use super::Origin;
use super::library::Library;
use super::role::{Left, Role, Stop};

/// Its `worker_serve` serves first, and stops in its last part.
const WORKER: Stop = Stop {
    begun: &["gathered_server_tasks"],
    ..Stop::of("hypercorn", Left::Tasks(&[&["server_tasks"]]))
};

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[
        ("hypercorn/asyncio/run.py", "_cancel_all_tasks", Role::CancelsAll("hypercorn")),
        ("hypercorn/asyncio/run.py", "worker_serve", Role::Stops(&WORKER)),
        ("hypercorn/asyncio/lifespan.py", "wait_for_startup", Role::AwaitsStart("hypercorn")),
        ("hypercorn/asyncio/lifespan.py", "wait_for_shutdown", Role::EndsApplication),
        ("hypercorn/asyncio/lifespan.py", "handle_lifespan", Role::Application),
    ],
    anywhere: &[],
};
