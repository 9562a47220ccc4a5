//! uvloop, as far as it is written in Python.

use super::library::Library;
use super::purpose::{Purpose};

pub(super) const LIBRARY: Library = Library {
    functions: &[
        ("uvloop/__init__.py", "run", Purpose::Runs("uvloop.run")),
        ("uvloop/__init__.py", "_cancel_all_tasks", Purpose::CancelsAll("uvloop.run")),
    ],
    ..Library::PACKAGE
};
