//! aiopg: its pool.

use super::Origin;
use super::library::Library;
use super::purpose::{Purpose, Stop};

const POOL: Stop = Stop::of_pool("aiopg's pool");

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[("aiopg/pool.py", "wait_closed", Purpose::Stops(&POOL))],
    anywhere: &[],
    variables: &[],
    work: &[],
};
