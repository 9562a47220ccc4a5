//! aiohttp: its server's stop, its applications' start and end, its client's connections.

use super::library::Library;
use super::pool::{Line, Out, Pool};
use super::purpose::{Left, Module, Purpose, Stop};
use super::work::{Clock, Fact, Row, WorkKind};

const RUNNER: Stop = Stop::of("aiohttp", Left::Connections);
/// `RequestHandler.shutdown`: one connection, which may be shut down while the server runs.
const CONNECTION: Stop = Stop::of("aiohttp", Left::Connection);

// 3.7 to 3.14. An answer that is dropped gives its connection back.
const CONNECTOR: Pool = Pool {
    by: "aiohttp's connector",
    size: &[&["_limit"]],
    out: Out::Items { items: "_acquired", is_out: None, connections: &[] },
    per_host: Some(["_limit_per_host", "_acquired_per_host"]),
    line: Line::ByKey("_waiters"),
    lost: None,
};

pub(super) const LIBRARY: Library = Library {
    modules: &[("aiohttp/web_app.py", Module::Router)],
    functions: &[
        ("aiohttp/web.py", "_cancel_tasks", Purpose::CancelsAll("aiohttp")),
        ("aiohttp/web.py", "_cancel_all_tasks", Purpose::CancelsAll("aiohttp")),
        ("aiohttp/web_runner.py", "cleanup", Purpose::Stops(&RUNNER)),
        ("aiohttp/web_protocol.py", "shutdown", Purpose::Stops(&CONNECTION)),
        ("aiohttp/web_app.py", "startup", Purpose::AwaitsStart("aiohttp")),
        ("aiohttp/web_app.py", "cleanup", Purpose::CleansUp),
        ("aiohttp/connector.py", "connect", Purpose::Acquires(&CONNECTOR)),
    ],
    work: &[
        Row {
            at: &[
                ("aiohttp/web_protocol.py", "start"),
                ("aiohttp/web_protocol.py", "_handle_request"),
            ],
            kind: WorkKind::Request,
            of: "self._current_request",
            facts: &[
                (Fact::Verb, "._method"),
                (Fact::Path, "._rel_url._path | ._rel_url._val.path"),
                (Fact::Route, "._match_info._route._resource._formatter | ._match_info._route._resource._path"),
                (Fact::Name, "._match_info._route._handler"),
                (Fact::Peer, "._transport_peername"),
                (Fact::Began(Clock::Monotonic), "start | start_time"),
            ],
        },
        Row {
            at: &[("aiohttp/client.py", "_request")],
            kind: WorkKind::Call,
            of: "url | str_or_url",
            facts: &[
                (Fact::Verb, "method"),
                (Fact::Peer, "._netloc | ._val.netloc | str_or_url"),
                (Fact::Path, "._path | ._val.path"),
            ],
        },
    ],
    time_limit: Some(("aiohttp", "timeout=ClientTimeout(10)")),
    ..Library::PACKAGE
};
