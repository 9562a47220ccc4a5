//! billiard: the processes of celery, made after `multiprocessing`.

use super::Origin;
use super::library::Library;
use super::role::{Role};

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[
        ("billiard/popen_fork.py", "_launch", Role::Forks),
        ("billiard/process.py", "_bootstrap", Role::ForkedChild),
    ],
    anywhere: &[],
};
