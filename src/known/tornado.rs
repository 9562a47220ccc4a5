//! Tornado: whom it calls for a request.

use super::library::Library;
use super::purpose::Module;
use super::work::{Clock, Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    modules: &[("tornado/web.py", Module::Router)],
    work: &[
        Row {
            at: &[("tornado/web.py", "_execute")],
            kind: WorkKind::Request,
            of: "self.request",
            facts: &[
                (Fact::Verb, ".method"),
                (Fact::Path, ".path"),
                (Fact::Name, "self.__class__"),
                (Fact::Peer, ".remote_ip"),
                (Fact::Began(Clock::Epoch), "._start_time"),
            ],
        },
        Row {
            at: &[("tornado/simple_httpclient.py", "run")],
            kind: WorkKind::Call,
            of: "self.request.request | self.request",
            facts: &[
                (Fact::Verb, ".method"),
                (Fact::Peer, ".url"),
                (Fact::Began(Clock::Epoch), "self.start_wall_time"),
            ],
        },
    ],
    ..Library::PACKAGE
};
