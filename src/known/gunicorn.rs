//! gunicorn: a master of processes, and the classes of its workers.

use super::Origin;
use super::library::Library;
use super::purpose::{Module};

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[
        ("gunicorn/ctl/server.py", Module::GunicornControl),
        ("gunicorn/", Module::Gunicorn),
    ],
    functions: &[],
    anywhere: &[],
    variables: &[],
    work: &[],
};
