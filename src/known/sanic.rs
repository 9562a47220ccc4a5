//! Sanic: its start and its stop, whom it calls for a request.

use super::library::Library;
use super::purpose::{Left, Module, Purpose, Stop};
use super::work::{Fact, Row, WorkKind};

// 22.12 to 25. Its stop runs the loop again and again for a moment, until no connection is left.
const SERVER: Stop = Stop::of("Sanic", Left::Protocols("connections", "_task"));

pub(super) const LIBRARY: Library = Library {
    modules: &[("sanic/app.py", Module::Router), ("sanic/http/", Module::Router)],
    functions: &[
        ("sanic/app.py", "_server_event", Purpose::StartsOrEnds("Sanic")),
        ("sanic/server/runners.py", "_cleanup", Purpose::Stops(&SERVER)),
    ],
    work: &[
        Row {
            at: &[
                ("sanic/app.py", "handle_request"),
                ("handle_request", "handle_request"),
            ],
            kind: WorkKind::Request,
            of: "request",
            facts: &[
                (Fact::Verb, ".method"),
                (Fact::Path, ".raw_url"),
                (Fact::Route, ".route.path"),
                (Fact::Name, ".route.handler"),
                (Fact::Peer, ".conn_info.peername"),
            ],
        },
    ],
    ..Library::PACKAGE
};
