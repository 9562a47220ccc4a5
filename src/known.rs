//! Whose code a frame runs.
//!
//! Much of what is concluded depends on it: what a task waits for is told by functions of asyncio,
//! and the line to name is the program's own. A path alone does not say it: programs lie in folders
//! called `orders-asyncio` or `lib/pythonic`, and have files called `queue.py`. So the target is
//! asked where its libraries lie.

mod names;
mod origin;

pub use origin::{Home, Libraries, Origin};
