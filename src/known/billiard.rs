//! billiard: the processes of celery, made after `multiprocessing`.

use super::Origin;
use super::library::Library;
use super::purpose::{Purpose};

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[
        ("billiard/popen_fork.py", "_launch", Purpose::Forks),
        ("billiard/process.py", "_bootstrap", Purpose::ForkedChild),
    ],
    anywhere: &[],
    variables: &[],
    work: &[],
};
