//! OpenTelemetry: the trace that a task is part of.

use super::contextvar::{Id, Tracer, Variables};
use super::library::Library;

// 1.0 to 1.45. The key ends in an id of the process.
pub(super) const LIBRARY: Library = Library {
    variables: &[Variables {
        names: &["current_context"],
        classes: &["opentelemetry.context.context.Context"],
        tracer: Some(Tracer::Opentelemetry),
        of: "['current-span-*']",
        // A SpanContext is a tuple: (trace_id, span_id, …). Only a span that is recorded has an end.
        ids: &[
            (Id::Trace, "._context[0]"),
            (Id::Span, "._context[1]"),
            (Id::Ended, "._end_time"),
        ],
    }],
    ..Library::PACKAGE
};
