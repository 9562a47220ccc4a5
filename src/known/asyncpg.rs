//! asyncpg: its pool.

use super::Origin;
use super::library::Library;
use super::pool::{Line, Lost, Out, Pool};
use super::purpose::{Purpose, Stop};

const NAME: &str = "asyncpg's pool";
const STOP: Stop = Stop::of_pool(NAME);

// 0.24 to 0.32. The item has its proxy, and so does the connection itself.
const POOL: Pool = Pool {
    by: NAME,
    size: &[&["_maxsize"]],
    out: Out::Items { items: "_holders", is_out: Some("_in_use"), connections: &[] },
    per_host: None,
    line: Line::Futures(&["_queue", "_getters"]),
    lost: Some(Lost { of: Some("_proxy"), references: 2 }),
};

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[
        ("asyncpg/pool.py", "close", Purpose::Stops(&STOP)),
        ("asyncpg/pool.py", "_acquire_impl", Purpose::Acquires(&POOL)),
    ],
    anywhere: &[],
};
