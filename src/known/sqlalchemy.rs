//! `SQLAlchemy`: the pool of its asynchronous engines, whose code runs in greenlets.

use super::library::Library;
use super::pool::{Line, Out, Pool};
use super::purpose::Purpose;
use super::work::{Fact, Row, WorkKind};

// 1.4 to 2.1. `_overflow` begins below zero, at as many as the queue has room for.
const POOL: Pool = Pool {
    by: "SQLAlchemy's pool",
    size: &[&["_pool", "maxsize"], &["_max_overflow"]],
    out: Out::Counted {
        plus: &[&["_pool", "maxsize"], &["_overflow"]],
        minus: &["_pool", "_queue", "_queue"],
        class: "_ConnectionFairy",
        pool: "_pool",
    },
    per_host: None,
    line: Line::Futures(&["_pool", "_queue", "_getters"]),
    lost: None,
};

pub(super) const LIBRARY: Library = Library {
    functions: &[("sqlalchemy/pool/impl.py", "_do_get", Purpose::Acquires(&POOL))],
    work: &[
        Row {
            at: &[
                ("sqlalchemy/dialects/", "_prepare_and_execute"),
                ("sqlalchemy/dialects/", "_executemany"),
            ],
            kind: WorkKind::Query,
            of: "self",
            facts: &[
                (Fact::Statement, "operation"),
            ],
        },
    ],
    ..Library::PACKAGE
};
