//! asgi-correlation-id, and what programs call the id of a request that they keep themselves.

use super::contextvar::{Id, Variables};
use super::library::Library;

pub(super) const LIBRARY: Library = Library {
    variables: &[
        // 1.0 to 5.0.
        Variables {
            names: &["correlation_id", "request_id"],
            classes: &["str"],
            tracer: None,
            of: "",
            ids: &[(Id::Request, "")],
        },
        Variables::noise(&["celery_current_id", "celery_parent_id"]),
    ],
    ..Library::PACKAGE
};
