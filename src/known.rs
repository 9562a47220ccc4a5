//! Whose code a frame runs, and which library's function it is.
//!
//! Much of what is concluded depends on it: what a task waits for is told by functions of asyncio,
//! and the line to name is the program's own. A path alone does not say it: programs lie in folders
//! called `orders-asyncio` or `lib/pythonic`, and have files called `queue.py`. So the target is
//! asked where its libraries lie ([`Libraries`]), and a function is a library's only in a file of
//! that library ([`Known`]). Both are found out once for each code object and kept with it.
//!
//! One file for each library says which of its functions matter and what for ([`Purpose`]); nothing
//! outside of this folder compares a file or a function with a name (`tests/known.rs`). To teach the
//! tool a library: such a file, and its name in the list below.

mod callback;
pub mod command;
pub mod contextvar;
pub mod interpreter;
mod library;
pub mod name;
mod names;
mod origin;
pub mod pool;
pub mod purpose;
pub mod work;

pub use callback::Callback;
pub use contextvar::Tracer;
pub use library::{Known, time_limit};
pub use origin::{Home, Libraries, Origin};
pub use purpose::{Module, Purpose};
pub use redis::is_blocking_command;
pub use stdlib::is_of_sqlite;
pub use work::WorkKind;

macro_rules! libraries {
    ($($name:ident),+ $(,)?) => {
        $(mod $name;)+

        /// What is known of each library.
        static LIBRARIES: &[library::Library] = &[$($name::LIBRARY),+];
    };
}

libraries! {
    asyncio, stdlib, // Python's own
    aiohttp, aiosqlite, anyio, gunicorn, hypercorn, nest_asyncio, uvicorn, uvloop, billiard,
    django, fastapi, grpc, quart, sanic, starlette, tornado,
    websockets, asgiref, aiomysql, aiopg, asyncpg, psycopg, pymongo, redis, sqlalchemy,
    aiobotocore, aiokafka, httpcore, httpx, httpx_sse,
    apscheduler, arq, procrastinate, saq, taskiq,
    // Of several that say which trace or request a task is part of, the first counts.
    opentelemetry, ddtrace, sentry_sdk, asgi_correlation_id, structlog, loguru,
}
