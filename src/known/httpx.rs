//! httpx: the requests that its client sends.

use super::library::Library;
use super::work::{Clock, Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    work: &[
        Row {
            at: &[
                ("httpx/_client.py", "_send_single_request"),
                ("httpx2/_client.py", "_send_single_request"),
            ],
            kind: WorkKind::Call,
            of: "request.url",
            facts: &[
                (Fact::Verb, "request.method"),
                (Fact::Peer, "._uri_reference.host | ._uri_reference.authority"),
                (Fact::Port, "._uri_reference.port"),
                (Fact::Path, "._uri_reference.path"),
                (Fact::Began(Clock::Monotonic), "start | timer.started"),
            ],
        },
    ],
    time_limit: Some(("httpx", "timeout=10")),
    ..Library::PACKAGE
};
