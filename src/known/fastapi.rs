//! `FastAPI`: whom it calls for a request.

use super::Origin;
use super::contextvar::Variables;
use super::library::Library;
use super::purpose::Module;

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[("fastapi/routing.py", Module::Router)],
    functions: &[],
    anywhere: &[],
    variables: &[Variables::noise(&["fastapi_effective_route_context"])],
    work: &[],
};
