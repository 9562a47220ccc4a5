//! asyncio's own objects: loops, handles, tasks, futures, and who wakes whom.
//!
//! | asked | by |
//! |---|---|
//! | which tasks there are | `registry` |
//! | what a task is: state, name, coroutine, await chain, what it is parked on | `task` |
//! | what a future calls when it is done, so who awaits whom | `callback` |
//! | what a lock, a queue, a group, a gather holds | `primitive` |
//! | what the frames of a task say of its request, call or job | `work` |
//! | what the context of a task says of its trace and its request | `context` |
//! | a loop: its queue, its timers, its class and clock | `event_loop`, `clock` |
//! | where in its iteration a loop is, while it runs | `iteration` |
//! | pools of threads and what they run; what a thread waits for | `executor` |
//! | descriptors, transports, servers, and which future waits at which | `transport` |
//! | a stack that goes on behind a greenlet | `greenlet` |
//! | what a search of the memory looks for, and in which state it is | `inventory` |
//! | exceptions, coroutines and generators that nobody minds any more | `leftover` |
//! | values in words, without what is secret | `repr`, `secret` |
//! | what one reading is made of | `reading` |
//!
//! C and Python implementations, uvloop's included, are told by class and answer alike. A fact that
//! cannot be read is absent, or an error of its own; nothing here decides what it means.
//!
//! Tasks are read breadth-first: one level of the object graph of all tasks together, so that
//! hundreds of pages come in one system call ([`tasks`](Reader::read_tasks)). On every await chain
//! the invariant *its end is the task's `fut_waiter`* tells a torn read.

mod anyio;
mod callback;
mod clock;
mod context;
mod event_loop;
mod executor;
mod greenlet;
mod inventory;
mod iteration;
mod leftover;
mod pool;
mod primitive;
mod reading;
mod registry;
mod repr;
mod secret;
mod task;
#[cfg(test)]
mod tests;
mod transport;
mod work;

pub use anyio::Owner;
pub use callback::{AwaitGraph, Awaiters, Wake};
pub use context::{ContextFacts, TraceFacts};
pub use event_loop::{LoopFacts, UvFacts};
pub use executor::{
    AnyioWorker, LimitedCall, LimiterFacts, PoolFacts, Processes, ServedCall, ThreadWait, WorkItem,
    Worker,
};
pub use inventory::{Modules, Thing};
pub use iteration::{Position, RunOnce, RunOnceFrame};
pub use leftover::{Leftovers, Remains};
pub(crate) use pool::ConnectionLimit;
pub use primitive::FutureCounts;
pub(crate) use reading::{Clock, Reading, Registries, ThreadReading};
pub use registry::{AsyncioModules, Registered};
pub use task::{ChainEnd, FutureState, TaskFacts, TasksRead};
pub use transport::{Direction, Endpoint, Medium, PipeFacts, SubprocessFacts};
pub use work::{Label, Labels, NO_ROUTE, Said};

#[cfg(doc)]
use crate::python::object::Reader;
