//! hypercorn: its start, its graceful stop, its application.

use super::library::Library;
use super::purpose::{Left, Purpose, Stop};
use super::work::{Clock, Fact, Row, WorkKind};

/// Its `worker_serve` serves first, and stops in its last part.
const WORKER: Stop = Stop {
    begun: &["gathered_server_tasks"],
    ..Stop::of("hypercorn", Left::Tasks(&[&["server_tasks"]]))
};

pub(super) const LIBRARY: Library = Library {
    functions: &[
        ("hypercorn/asyncio/run.py", "_cancel_all_tasks", Purpose::CancelsAll("hypercorn")),
        ("hypercorn/asyncio/run.py", "worker_serve", Purpose::Stops(&WORKER)),
        ("hypercorn/asyncio/lifespan.py", "wait_for_startup", Purpose::AwaitsStart("hypercorn")),
        ("hypercorn/asyncio/lifespan.py", "wait_for_shutdown", Purpose::EndsApplication),
        ("hypercorn/asyncio/lifespan.py", "handle_lifespan", Purpose::Application),
    ],
    work: &[
        Row {
            at: &[
                ("hypercorn/asyncio/task_group.py", "_handle"),
                ("hypercorn/asyncio/context.py", "_handle"),
            ],
            kind: WorkKind::Request,
            of: "scope",
            facts: &[
                (Fact::Type, "['type']"),
                (Fact::Verb, "['method']"),
                (Fact::Path, "['path']"),
                (Fact::Route, "['route'].path | ['path_template']"),
                (Fact::Name, "['endpoint']"),
                (Fact::Peer, "['client']"),
                (Fact::Began(Clock::Epoch), "send.__self__.start_time"),
            ],
        },
    ],
    ..Library::PACKAGE
};
