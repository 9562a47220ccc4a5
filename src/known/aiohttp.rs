//! aiohttp: its server's stop, its applications' start and end.

use super::Origin;
use super::library::Library;
use super::purpose::{Left, Purpose, Stop};

const RUNNER: Stop = Stop::of("aiohttp", Left::Connections);
/// `RequestHandler.shutdown`: one connection, which may be shut down while the server runs.
const CONNECTION: Stop = Stop::of("aiohttp", Left::Connection);

pub(super) const LIBRARY: Library = Library {
    origin: Origin::Package,
    modules: &[],
    functions: &[
        ("aiohttp/web.py", "_cancel_tasks", Purpose::CancelsAll("aiohttp")),
        ("aiohttp/web.py", "_cancel_all_tasks", Purpose::CancelsAll("aiohttp")),
        ("aiohttp/web_runner.py", "cleanup", Purpose::Stops(&RUNNER)),
        ("aiohttp/web_protocol.py", "shutdown", Purpose::Stops(&CONNECTION)),
        ("aiohttp/web_app.py", "startup", Purpose::AwaitsStart("aiohttp")),
        ("aiohttp/web_app.py", "cleanup", Purpose::CleansUp),
    ],
    anywhere: &[],
};
