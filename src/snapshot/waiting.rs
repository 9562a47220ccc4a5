//! Why a task does not go on, and what stands behind that: sockets, thread pools.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::as_opt_ms;
use crate::memory::Address;

/// The tasks that hold a thing, shared by all that wait for it.
///
/// A document names the first of them in `holders`; where that is not all, `holder_count` says
/// how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders(Arc<[Address]>);

impl Holders {
    /// How many are kept; what has more is not known to its end.
    pub const MAX: usize = 10_000;
    /// How many a document names for each that waits.
    const NAMED: usize = 32;

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::ops::Deref for Holders {
    type Target = [Address];

    fn deref(&self) -> &[Address] {
        &self.0
    }
}

impl FromIterator<Address> for Holders {
    fn from_iter<I: IntoIterator<Item = Address>>(tasks: I) -> Self {
        Self(tasks.into_iter().take(Self::MAX).collect())
    }
}

impl From<Vec<Address>> for Holders {
    fn from(tasks: Vec<Address>) -> Self {
        Self(tasks.into())
    }
}

impl Serialize for Holders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("holders", self.get(..Self::NAMED).unwrap_or(self))?;
        if self.len() > Self::NAMED {
            map.serialize_entry("holder_count", &self.len())?;
        }
        map.end()
    }
}

/// What a task waits for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Waiting {
    /// What kind of thing it is.
    pub kind: WaitKind,
    /// The same in words, for people: `lock self.pool_lock, 3rd of 40 in line`.
    pub description: String,
    /// The thing: a lock, a queue, a group, a future.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Address>,
    /// Its class with the module, `asyncio.locks.Lock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Arc<str>>,
    /// The variable or attribute under which a frame has it, `self.pool_lock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it does with the thing, where there is more than one way to wait for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// For how long at least it has waited.
    #[serde(
        rename = "since_ms",
        serialize_with = "as_opt_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub since: Option<Duration>,
    /// When the wait ends by itself, from the time of the snapshot; negative when it should have.
    #[serde(
        rename = "due_in_ms",
        serialize_with = "as_opt_signed_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub due_in: Option<SignedDuration>,
    /// The file descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// What that descriptor is: a file's path, or the ends of a socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The socket behind the descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<Box<super::Socket>>,
    /// The tasks that hold the thing.
    #[serde(flatten, skip_serializing_if = "Holders::is_empty")]
    pub holders: Holders,
    /// The tasks waited for that have not ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Address>,
    /// The thread waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<i32>,
    /// What a primitive counts: permits of a semaphore, items of a queue, unfinished items for
    /// `join`, tasks at a barrier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<i64>,
    /// The most it counts: permits of a bounded semaphore, a queue's limit, a barrier's parties.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// How many wait in the same line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiters: Option<u64>,
    /// Its place in that line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// How far the things are that are waited for together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<Children>,
    /// What the thread runs for it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The process waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Time limits around the wait, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deadlines: Vec<Deadline>,
    /// What runs when the future is done, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<String>,
    /// The loop the thing belongs to, when it is not the task's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign_loop: Option<Address>,
    /// Whether something that was found can resolve the future: a timer, a socket, a thread, a
    /// task. `None` where that cannot be told.
    #[serde(skip)]
    pub is_served: Option<bool>,
    /// Whether a timer or another callback refers to the lock or semaphore, and may give it back.
    #[serde(skip)]
    pub may_be_returned: bool,
}

/// What kind of thing a task waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitKind {
    /// A moment: `sleep`.
    Timer,
    /// A socket, pipe or file to be ready.
    Socket,
    /// Another task, or several through `wait`, `shield`, `wait_for` and `as_completed`.
    Task,
    /// All things given to `gather`.
    Gather,
    /// The children of a `TaskGroup`.
    TaskGroup,
    /// A bare future.
    Future,
    /// An `asyncio.Lock`.
    Lock,
    /// A permit of a semaphore.
    Semaphore,
    /// An `asyncio.Condition` to be notified.
    Condition,
    /// An `asyncio.Event` to be set.
    Event,
    /// Room or items in a queue, or its end.
    Queue,
    /// The others at a barrier.
    Barrier,
    /// A call that runs in a thread pool, or waits for its turn there.
    Executor,
    /// A process to end.
    Subprocess,
    /// Work of another thread.
    Thread,
    /// The closing of asynchronous generators.
    Asyncgen,
    /// Its turn: its next step is in the ready queue.
    Ready,
    /// Nothing: it runs.
    Running,
    /// Not to be told.
    #[default]
    Unknown,
}

impl WaitKind {
    /// Whether several tasks may well wait for one thing of this kind.
    pub fn is_shared(self) -> bool {
        matches!(
            self,
            Self::Lock
                | Self::Semaphore
                | Self::Condition
                | Self::Event
                | Self::Queue
                | Self::Barrier
        )
    }
}

/// What a task does with the thing it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are asyncio's")]
pub enum Operation {
    Acquire,
    Wait,
    WaitFor,
    AsCompleted,
    Shield,
    Get,
    Put,
    Join,
    Read,
    Write,
    Accept,
    Connect,
    Close,
}

/// How far the things are that a task waits for together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Children {
    /// Those that have not ended.
    pub pending: u64,
    /// Those with a result.
    pub done: u64,
    /// Those with an exception.
    pub failed: u64,
    /// Those that were cancelled.
    pub cancelled: u64,
    /// Whether exceptions count as results (`gather`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_exceptions: Option<bool>,
    /// Whether the others are being cancelled because one failed (`TaskGroup`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborting: Option<bool>,
}

/// A time limit on the way to where a task waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deadline {
    /// The frame (index into the task's `frames`) that has set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<usize>,
    /// When it ends, from the time of the snapshot; negative when it is past. `None` where that is
    /// not known: the loop may have a clock of its own.
    #[serde(
        rename = "due_in_ms",
        serialize_with = "as_opt_signed_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub due_in: Option<SignedDuration>,
}

/// A pool of threads that runs calls for tasks; or a limit of anyio on such calls, while some
/// wait for their turn: its tokens then stand for threads.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Executor {
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Address>,
    /// What it is called: the prefix of its threads' names; of a limit the variable that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many threads it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u64>,
    /// How many it may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_workers: Option<u64>,
    /// How many of its threads wait for work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<u64>,
    /// How many calls wait for a thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// Whether it takes no more work.
    #[serde(skip)]
    pub is_shut_down: Option<bool>,
    /// Whose limit of anyio it is, if it is one.
    #[serde(skip)]
    pub limiter: Option<Limiter>,
    /// What its threads run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<Job>,
}

/// Whose limit on calls in threads an `anyio.CapacityLimiter` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limiter {
    /// That of anyio itself for all calls without one of their own: as good as a pool.
    Default,
    /// One that the program has made, to have a limit.
    Own,
}

/// One call that a pool's thread runs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Job {
    /// The qualified name of the function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The thread that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<i32>,
    /// The task that waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Address>,
    /// How long it has run.
    #[serde(
        rename = "elapsed_ms",
        serialize_with = "as_opt_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub elapsed: Option<Duration>,
    /// The call itself, the same from one snapshot to the next.
    #[serde(skip)]
    pub id: Address,
}

#[expect(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
fn signed_ms(time: SignedDuration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

#[expect(clippy::ref_option, reason = "the shape serde asks for")]
fn as_opt_signed_ms<S: serde::Serializer>(
    time: &Option<SignedDuration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_f64(signed_ms(*time)),
        None => serializer.serialize_none(),
    }
}
