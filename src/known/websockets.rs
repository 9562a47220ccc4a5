//! websockets: the stop of its server.
//!
// websockets 13 to 17. The legacy server keeps no list of its handlers' tasks.

use super::library::Library;
use super::purpose::{Left, Purpose, Stop};
use super::work::{Fact, Row, WorkKind};

/// `Server.wait_closed`, which may also be what serves for ever: only who has called `close` stops.
const SERVER: Stop = Stop {
    is_part: true,
    begun: &["self", "close_task"],
    ..Stop::of("websockets", Left::Tasks(&[&["self", "handler_tasks"], &["self", "handlers"]]))
};

pub(super) const LIBRARY: Library = Library {
    functions: &[("websockets/asyncio/server.py", "wait_closed", Purpose::Stops(&SERVER))],
    work: &[
        Row {
            at: &[
                ("websockets/asyncio/server.py", "conn_handler"),
                ("websockets/asyncio/server.py", "protocol_handler"),
            ],
            kind: WorkKind::Websocket,
            of: "connection",
            facts: &[
                (Fact::Path, ".request.path"),
                (Fact::Peer, ".transport._extra['peername']"),
            ],
        },
        Row {
            at: &[
                ("websockets/legacy/server.py", "handler"),
                ("websockets/server.py", "handler"),
            ],
            kind: WorkKind::Websocket,
            // uvicorn makes its own class from this one.
            of: "self.scope | self",
            facts: &[
                (Fact::Needs, "self.ws_handler"),
                (Fact::Route, "['route'].path | ['path_template']"),
                (Fact::Name, "['endpoint']"),
                (Fact::Path, "self.path"),
                (Fact::Peer, "self.transport._extra['peername']"),
            ],
        },
    ],
    ..Library::PACKAGE
};
