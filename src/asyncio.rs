//! asyncio's own objects: loops, handles, tasks, futures, and who wakes whom.
//!
//! Tasks are read breadth-first: one level of the object graph of all tasks together, so that
//! hundreds of pages come in one system call ([`tasks`](Reader::read_tasks)). On every await chain
//! the invariant *its end is the task's `fut_waiter`* tells a torn read.

mod callback;
mod clock;
mod event_loop;
mod executor;
mod greenlet;
mod iteration;
mod leftover;
mod primitive;
mod reading;
mod registry;
mod repr;
mod secret;
mod task;
mod transport;

pub use callback::{AwaitGraph, Wake};
pub use event_loop::{LoopFacts, UvFacts};
pub use executor::{
    AnyioWorker, LimitedCall, LimiterFacts, PoolFacts, Processes, ThreadWait, WorkItem, Worker,
};
pub use iteration::{Position, RunOnce, RunOnceFrame};
pub use leftover::{Leftovers, Remains};
pub use primitive::FutureCounts;
pub(crate) use reading::{Clock, Reading, Registries, ThreadReading};
pub use registry::{AsyncioModules, Registered};
pub use task::{ChainEnd, FutureState, TaskFacts, TasksRead};
pub use transport::{Direction, Endpoint, Medium};

#[cfg(doc)]
use crate::python::object::Reader;
