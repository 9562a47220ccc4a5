//! Django: the requests that its handlers work for.

use super::Origin;
use super::library::Library;
use super::work::{Fact, Row, WorkKind};

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[],
    anywhere: &[],
    variables: &[],
    work: &[
        Row {
            at: &[
                ("django/core/handlers/base.py", "_get_response_async"),
                ("django/core/handlers/base.py", "_get_response"),
            ],
            kind: WorkKind::Request,
            of: "request",
            facts: &[
                (Fact::Verb, ".method"),
                (Fact::Path, ".path_info"),
                (Fact::Route, ".resolver_match.route"),
                (Fact::Name, ".resolver_match.func"),
            ],
        },
    ],
};
