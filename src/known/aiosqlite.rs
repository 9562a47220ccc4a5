//! aiosqlite: each connection has a thread of its own, which runs its calls.

use super::library::Library;
use super::purpose::{Purpose, Thread};
use super::work::{Fact, Row, WorkKind};

const CORE: &str = "aiosqlite/core.py";

// 0.17 to 0.22.
pub(super) const LIBRARY: Library = Library {
    functions: &[
        (CORE, "run", Purpose::Thread(Thread::Serves { queue: "_tx", function: "function" })),
        (
            CORE,
            "_connection_worker_thread",
            Purpose::Thread(Thread::Serves { queue: "tx", function: "function" }),
        ),
    ],
    work: &[
        Row {
            at: &[
                ("aiosqlite/core.py", "execute"),
                ("aiosqlite/cursor.py", "execute"),
            ],
            kind: WorkKind::Query,
            of: "self",
            facts: &[
                (Fact::Statement, "sql"),
            ],
        },
    ],
    ..Library::PACKAGE
};
