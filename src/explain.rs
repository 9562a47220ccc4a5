//! From facts to the snapshot's words: loops, tasks and what they wait for, who holds what, pools of
//! threads, what blocks a thread, how far a shutdown is.
//!
//! It takes what was read of one moment ([`Reading`](crate::asyncio)), reads what explains it, and
//! decides nothing that needs a second moment. What a library's function does it asks
//! [`known`](crate::known).

pub(crate) mod asking;
pub(crate) mod blocked;
pub mod blocking;
pub(crate) mod context;
pub(crate) mod executors;
pub(crate) mod heap;
pub(crate) mod looping;
pub(crate) mod loops;
pub(crate) mod native;
mod options;
pub(crate) mod shutdown;
pub(crate) mod startup;
pub(crate) mod tasks;
pub(crate) mod waiting;
pub(crate) mod wakes;
pub(crate) mod work;

pub use options::{Locals, Options, Search};
