//! gunicorn: a master of processes, and the classes of its workers.

use super::library::Library;
use super::purpose::{Module};

pub(super) const LIBRARY: Library = Library {
    modules: &[
        ("gunicorn/ctl/server.py", Module::GunicornControl),
        ("gunicorn/", Module::Gunicorn),
    ],
    ..Library::PACKAGE
};
