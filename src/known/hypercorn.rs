//! hypercorn: its start, its graceful stop, its application.

use super::Origin;
use super::library::Library;
use super::purpose::{Left, Purpose, Stop};

/// Its `worker_serve` serves first, and stops in its last part.
const WORKER: Stop = Stop {
    begun: &["gathered_server_tasks"],
    ..Stop::of("hypercorn", Left::Tasks(&[&["server_tasks"]]))
};

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[
        ("hypercorn/asyncio/run.py", "_cancel_all_tasks", Purpose::CancelsAll("hypercorn")),
        ("hypercorn/asyncio/run.py", "worker_serve", Purpose::Stops(&WORKER)),
        ("hypercorn/asyncio/lifespan.py", "wait_for_startup", Purpose::AwaitsStart("hypercorn")),
        ("hypercorn/asyncio/lifespan.py", "wait_for_shutdown", Purpose::EndsApplication),
        ("hypercorn/asyncio/lifespan.py", "handle_lifespan", Purpose::Application),
    ],
    anywhere: &[],
};
