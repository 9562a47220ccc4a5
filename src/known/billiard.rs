//! billiard: the processes of celery, made after `multiprocessing`.

use super::library::Library;
use super::purpose::{Purpose};

pub(super) const LIBRARY: Library = Library {
    functions: &[
        ("billiard/popen_fork.py", "_launch", Purpose::Forks),
        ("billiard/process.py", "_bootstrap", Purpose::ForkedChild),
    ],
    ..Library::PACKAGE
};
