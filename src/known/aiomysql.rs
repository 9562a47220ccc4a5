//! aiomysql: its pool.

use super::library::Library;
use super::purpose::{Purpose, Stop};
use super::work::{Fact, Row, WorkKind};

const POOL: Stop = Stop::of_pool("aiomysql's pool");

pub(super) const LIBRARY: Library = Library {
    functions: &[("aiomysql/pool.py", "wait_closed", Purpose::Stops(&POOL))],
    work: &[
        Row {
            at: &[
                ("aiomysql/cursors.py", "_query"),
                ("aiomysql/cursors.py", "execute"),
            ],
            kind: WorkKind::Query,
            of: "self",
            facts: &[
                (Fact::Statement, "q | query"),
                (Fact::Peer, "conn._host"),
                (Fact::Port, "conn._port"),
            ],
        },
    ],
    ..Library::PACKAGE
};
