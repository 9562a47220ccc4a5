//! uvicorn: its start, its graceful stop, its application.

use super::Origin;
use super::library::Library;
use super::role::{Left, Role, Stop};

const SERVER: Stop = Stop {
    headers: &["self", "server_state", "default_headers"],
    ..Stop::of("uvicorn", Left::Tasks(&[&["self", "server_state", "tasks"]]))
};

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[
        ("uvicorn/_compat.py", "_cancel_all_tasks", Role::CancelsAll("uvicorn")),
        ("uvicorn/server.py", "shutdown", Role::Stops(&SERVER)),
        ("uvicorn/lifespan/on.py", "startup", Role::AwaitsStart("uvicorn")),
        ("uvicorn/lifespan/on.py", "shutdown", Role::EndsApplication),
        ("uvicorn/lifespan/on.py", "main", Role::Application),
    ],
    anywhere: &[],
};
