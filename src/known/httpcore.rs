//! httpcore, which httpx is built on: its pool.

use super::library::Library;
use super::pool::{Line, Lost, Out, Pool};
use super::purpose::Purpose;
use super::work::{Fact, Row, WorkKind};

// httpcore 0.14 to 1.0.9. An answer that is open refers to the item of its request, and closes
// the connection by that; a list of the pool does, too.
const POOL: Pool = Pool {
    by: "httpx's pool",
    size: &[&["_max_connections"]],
    out: Out::Items {
        items: "_requests",
        is_out: Some("connection"),
        connections: &["_connections", "_pool"],
    },
    per_host: None,
    line: Line::Items,
    lost: Some(Lost { of: None, references: 1 }),
};

const POOL_FILE: &str = "httpcore/_async/connection_pool.py";

pub(super) const LIBRARY: Library = Library {
    functions: &[
        (POOL_FILE, "handle_async_request", Purpose::Acquires(&POOL)),
        (POOL_FILE, "wait_for_connection", Purpose::InLine),
    ],
    work: &[
        Row {
            at: &[
                ("httpcore/_async/connection_pool.py", "handle_async_request"),
                ("httpcore2/_async/connection_pool.py", "handle_async_request"),
            ],
            kind: WorkKind::Call,
            of: "request.url",
            facts: &[
                (Fact::Verb, "request.method"),
                (Fact::Peer, ".host"),
                (Fact::Port, ".port"),
                (Fact::Path, ".target"),
            ],
        },
    ],
    ..Library::PACKAGE
};
