//! uvicorn: its start, its graceful stop, its application.

use super::library::Library;
use super::purpose::{Left, Purpose, Stop};
use super::work::{Row, SCOPE, WorkKind};

const SERVER: Stop = Stop {
    headers: &["self", "server_state", "default_headers"],
    ..Stop::of("uvicorn", Left::Tasks(&[&["self", "server_state", "tasks"]]))
};

pub(super) const LIBRARY: Library = Library {
    functions: &[
        ("uvicorn/_compat.py", "_cancel_all_tasks", Purpose::CancelsAll("uvicorn")),
        ("uvicorn/server.py", "shutdown", Purpose::Stops(&SERVER)),
        ("uvicorn/lifespan/on.py", "startup", Purpose::AwaitsStart("uvicorn")),
        ("uvicorn/lifespan/on.py", "shutdown", Purpose::EndsApplication),
        ("uvicorn/lifespan/on.py", "main", Purpose::Application),
    ],
    work: &[
        Row {
            at: &[("uvicorn/protocols/", "run_asgi")],
            kind: WorkKind::Request,
            of: "self.scope",
            facts: SCOPE,
        },
    ],
    ..Library::PACKAGE
};
