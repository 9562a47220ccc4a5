//! `PyMongo`: the commands that its asynchronous client sends.

use super::library::Library;
use super::work::{Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    work: &[
        Row {
            at: &[("pymongo/asynchronous/", "run_cursor_command")],
            kind: WorkKind::Query,
            of: "self",
            facts: &[
                (Fact::Document, "cmd"),
                (Fact::Peer, "conn.address"),
            ],
        },
        Row {
            at: &[
                ("pymongo/asynchronous/pool.py", "command"),
                ("pymongo/asynchronous/network.py", "command"),
            ],
            kind: WorkKind::Query,
            of: "spec",
            facts: &[
                (Fact::Document, "spec"),
                (Fact::Peer, "self.address | conn.address"),
            ],
        },
    ],
    ..Library::PACKAGE
};
