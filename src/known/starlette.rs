//! Starlette: whom it calls for a request.

use super::library::Library;
use super::purpose::{Module, Purpose};

// 0.13 to 1.10. Up to 0.14 `call_next` has a task of its own, from 0.15 on one in a group of anyio's.
pub(super) const LIBRARY: Library = Library {
    modules: &[("starlette/routing.py", Module::Router)],
    functions: &[("starlette/middleware/base.py", "call_next", Purpose::CallsNext)],
    ..Library::PACKAGE
};
