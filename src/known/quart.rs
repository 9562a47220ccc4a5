//! Quart: whom it calls for a request.

use super::library::Library;
use super::purpose::Module;
use super::work::{Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    modules: &[("quart/app.py", Module::Router)],
    work: &[
        Row {
            at: &[("quart/app.py", "handle_request")],
            kind: WorkKind::Request,
            // The same for all tasks that the server and the framework have for one request.
            of: "request.scope | request",
            facts: &[
                (Fact::Verb, "request.method"),
                (Fact::Path, "request.path"),
                (Fact::Route, "request.url_rule.rule"),
                (Fact::Name, "request.url_rule.endpoint"),
            ],
        },
    ],
    ..Library::PACKAGE
};
