//! loguru: what a program has bound to its log records.

use super::contextvar::{KEYS, Tracer, Variables};
use super::library::Library;

// 0.5 to 0.7.
pub(super) const LIBRARY: Library = Library {
    variables: &[Variables {
        names: &["loguru_context"],
        classes: &["dict"],
        tracer: Some(Tracer::Loguru),
        of: "",
        ids: KEYS,
    }],
    ..Library::PACKAGE
};
