//! aiopg: its pool.

use super::library::Library;
use super::purpose::{Purpose, Stop};

const POOL: Stop = Stop::of_pool("aiopg's pool");

pub(super) const LIBRARY: Library = Library {
    functions: &[("aiopg/pool.py", "wait_closed", Purpose::Stops(&POOL))],
    ..Library::PACKAGE
};
