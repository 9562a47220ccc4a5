//! Sentry: the trace that a task is part of, in its span, or without one in what it passes on.

use super::contextvar::{Id, Tracer, Variables};
use super::library::Library;

// 2.0 to 2.75. A span makes its ids when they are first asked for.
const IDS: &[(Id, &str)] = &[
    (Id::Trace, "._trace_id | .trace_id"),
    (Id::Span, "._span_id | .span_id"),
    (Id::Ended, ".timestamp | ._end_timestamp"),
];
const SCOPE: Variables = Variables {
    names: &["current_scope"],
    classes: &["sentry_sdk.scope.Scope"],
    tracer: Some(Tracer::Sentry),
    of: "._span | ._propagation_context",
    ids: IDS,
};

pub(super) const LIBRARY: Library = Library {
    variables: &[
        SCOPE,
        Variables { names: &["isolation_scope"], of: "._propagation_context", ..SCOPE },
        // Its middleware makes scopes for a request, and says here that it has done so.
        Variables {
            names: &["sentry_asgi_middleware_applied"],
            classes: &["bool"],
            of: "",
            ids: &[(Id::Own, "")],
            ..SCOPE
        },
        Variables::noise(&[
            "client_init_debug",
            "is_sentry_internal_task",
            "last-seen",
            "sentry_current_hub",
            "sentry_wsgi_middleware_applied",
        ]),
    ],
    ..Library::PACKAGE
};
