//! Django: the requests that its handlers work for.

use super::library::Library;
use super::work::{Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    work: &[
        Row {
            at: &[
                ("django/core/handlers/base.py", "_get_response_async"),
                ("django/core/handlers/base.py", "_get_response"),
            ],
            kind: WorkKind::Request,
            // The same for all tasks and threads that the server and the framework have for one request.
            of: "request.scope | request.environ | request",
            facts: &[
                (Fact::Verb, "request.method"),
                (Fact::Path, "request.path_info"),
                (Fact::Route, "request.resolver_match.route"),
                (Fact::Name, "request.resolver_match.func"),
            ],
        },
    ],
    ..Library::PACKAGE
};
