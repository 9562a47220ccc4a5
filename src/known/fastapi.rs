//! `FastAPI`: whom it calls for a request.

use super::contextvar::Variables;
use super::library::Library;
use super::purpose::Module;

pub(super) const LIBRARY: Library = Library {
    modules: &[("fastapi/routing.py", Module::Router)],
    variables: &[Variables::noise(&["fastapi_effective_route_context"])],
    ..Library::PACKAGE
};
