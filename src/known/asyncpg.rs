//! asyncpg: its pool.

use super::library::Library;
use super::pool::{Line, Lost, Out, Pool};
use super::purpose::{Purpose, Stop};
use super::work::{Fact, Row, WorkKind};

const NAME: &str = "asyncpg's pool";
const STOP: Stop = Stop::of_pool(NAME);

// 0.24 to 0.32. The item has its proxy, and so does the connection itself.
const POOL: Pool = Pool {
    by: NAME,
    size: &[&["_maxsize"]],
    out: Out::Items { items: "_holders", is_out: Some("_in_use"), connections: &[] },
    per_host: None,
    line: Line::Futures(&["_queue", "_getters"]),
    lost: Some(Lost { of: Some("_proxy"), references: 2 }),
};

pub(super) const LIBRARY: Library = Library {
    functions: &[
        ("asyncpg/pool.py", "close", Purpose::Stops(&STOP)),
        ("asyncpg/pool.py", "_acquire_impl", Purpose::Acquires(&POOL)),
    ],
    work: &[
        Row {
            at: &[
                ("asyncpg/connection.py", "execute"),
                ("asyncpg/connection.py", "_execute"),
                ("asyncpg/connection.py", "_do_execute"),
                ("asyncpg/connection.py", "executemany"),
                ("asyncpg/connection.py", "_executemany"),
            ],
            kind: WorkKind::Query,
            of: "self",
            facts: &[
                (Fact::Statement, "query"),
                (Fact::Peer, "._addr"),
            ],
        },
        Row {
            at: &[
                ("asyncpg/prepared_stmt.py", "__do_execute"),
                ("asyncpg/prepared_stmt.py", "fetch"),
                ("asyncpg/prepared_stmt.py", "fetchval"),
                ("asyncpg/prepared_stmt.py", "fetchrow"),
                ("asyncpg/prepared_stmt.py", "executemany"),
                ("asyncpg/cursor.py", "_bind_exec"),
                ("asyncpg/cursor.py", "_exec"),
                ("asyncpg/cursor.py", "_bind"),
                ("asyncpg/cursor.py", "__anext__"),
            ],
            kind: WorkKind::Query,
            of: "self",
            facts: &[
                (Fact::Statement, "._query"),
                (Fact::Peer, "._connection._addr"),
            ],
        },
    ],
    time_limit: Some(("asyncpg", "timeout=10")),
    ..Library::PACKAGE
};
