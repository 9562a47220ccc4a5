//! Datadog's tracer: the trace that a task is part of.

use super::contextvar::{Id, Tracer, Variables};
use super::library::Library;

// 1.20, 2.21, 3.19. A span of 4 is an object of its C extension, whose fields are not known.
pub(super) const LIBRARY: Library = Library {
    variables: &[SPAN, Variables::noise(&["ExecutionContext_var"])],
    ..Library::PACKAGE
};

const SPAN: Variables = Variables {
        names: &["datadog_contextvar"],
        classes: &[
            "ddtrace._trace.span.Span",
            "ddtrace._trace.context.Context",
            "ddtrace.span.Span",
            "ddtrace.context.Context",
        ],
        tracer: Some(Tracer::Ddtrace),
        of: "",
        ids: &[
            (Id::Trace, ".trace_id"),
            (Id::Span, ".span_id"),
            (Id::Ended, ".duration_ns"),
            (Id::Outer, "._parent"),
        ],
};
