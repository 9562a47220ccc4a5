//! structlog: what a program has bound to its log records, one variable for each key.

use super::contextvar::{Id, KEYS, Tracer, Variables};
use super::library::Library;

// 21.1 to 26.1; before that there was one variable with a dictionary. What is unbound is an ellipsis.
const TEXT: Variables = Variables {
    names: &[],
    classes: &["str"],
    tracer: Some(Tracer::Structlog),
    of: "",
    ids: &[],
};

pub(super) const LIBRARY: Library = Library {
    variables: &[
        Variables {
            names: &[
                "structlog_request_id",
                "structlog_req_id",
                "structlog_x_request_id",
                "structlog_correlation_id",
            ],
            ids: &[(Id::Request, "")],
            ..TEXT
        },
        Variables { names: &["structlog_trace_id"], ids: &[(Id::Trace, "")], ..TEXT },
        Variables { names: &["structlog_span_id"], ids: &[(Id::Span, "")], ..TEXT },
        Variables {
            names: &["structlog_context"],
            classes: &["dict"],
            ids: KEYS,
            ..TEXT
        },
    ],
    ..Library::PACKAGE
};
