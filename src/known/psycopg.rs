//! psycopg: its pool.

use super::library::Library;
use super::pool::{Line, Out, Pool};
use super::purpose::{Purpose, Stop};
use super::work::{Fact, Row, WorkKind};

const NAME: &str = "psycopg's pool";
const FILE: &str = "psycopg_pool/pool_async.py";
const STOP: Stop = Stop::of_pool(NAME);

// psycopg_pool 3.1 to 3.3. Clients that have given up stay in the line.
const POOL: Pool = Pool {
    by: NAME,
    size: &[&["_max_size"]],
    out: Out::Counted {
        plus: &[&["_nconns"]],
        minus: &["_pool"],
        class: "AsyncConnection",
        pool: "_pool",
    },
    per_host: None,
    line: Line::Objects("_waiting", &["conn", "error"]),
    lost: None,
};

pub(super) const LIBRARY: Library = Library {
    functions: &[
        (FILE, "close", Purpose::Stops(&STOP)),
        (FILE, "getconn", Purpose::Acquires(&POOL)),
        (FILE, "_getconn_unchecked", Purpose::Acquires(&POOL)),
        (FILE, "wait", Purpose::InLine),
    ],
    work: &[
        Row {
            at: &[
                ("psycopg/cursor_async.py", "execute"),
                ("psycopg/cursor_async.py", "executemany"),
                ("psycopg/server_cursor.py", "execute"),
            ],
            kind: WorkKind::Query,
            of: "self",
            facts: &[
                (Fact::Statement, "query"),
            ],
        },
    ],
    ..Library::PACKAGE
};
