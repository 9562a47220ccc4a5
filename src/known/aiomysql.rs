//! aiomysql: its pool.

use super::Origin;
use super::library::Library;
use super::purpose::{Purpose, Stop};

const POOL: Stop = Stop::of_pool("aiomysql's pool");

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[("aiomysql/pool.py", "wait_closed", Purpose::Stops(&POOL))],
    anywhere: &[],
};
