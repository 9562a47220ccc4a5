//! psycopg: its pool.

use super::Origin;
use super::library::Library;
use super::purpose::{Purpose, Stop};

const POOL: Stop = Stop::of_pool("psycopg's pool");

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[("psycopg_pool/pool_async.py", "close", Purpose::Stops(&POOL))],
    anywhere: &[],
};
