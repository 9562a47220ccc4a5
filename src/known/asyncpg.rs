//! asyncpg: its pool.

use super::Origin;
use super::library::Library;
use super::purpose::{Purpose, Stop};

const POOL: Stop = Stop::of_pool("asyncpg's pool");

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[("asyncpg/pool.py", "close", Purpose::Stops(&POOL))],
    anywhere: &[],
};
