//! websockets: the stop of its server.
//!
// websockets 13 to 17. The legacy server keeps no list of its handlers' tasks.

use super::Origin;
use super::library::Library;
use super::purpose::{Left, Purpose, Stop};

/// `Server.wait_closed`, which may also be what serves for ever: only who has called `close` stops.
const SERVER: Stop = Stop {
    is_part: true,
    begun: &["self", "close_task"],
    ..Stop::of("websockets", Left::Tasks(&[&["self", "handler_tasks"], &["self", "handlers"]]))
};

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[("websockets/asyncio/server.py", "wait_closed", Purpose::Stops(&SERVER))],
    anywhere: &[],
};
