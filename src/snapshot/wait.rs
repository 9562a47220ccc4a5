//! The kinds of waits, each with the facts that one of its kind can have.
//!
//! A new kind is a variant of [`Wait`] and its name in [`WaitKind`]; the JSON follows from these. The
//! compiler then leads to what has to know each kind: its name and its facts ([`super::waiting`]),
//! the words (`describe.rs`, `diagnose/words.rs`, `ui/report/text/waiting.rs`, `ui/commands/diff`),
//! the recording (a number in `recording/shapes.rs`, and what is made of its facts below that), the
//! flame graph (`ui/flame/state.rs`) and whether it goes on by itself (`is_active` in
//! `diagnose.rs`). Without its help: the kinds in `schema.json`, and whether it waits for tasks
//! (`mode_of` in `diagnose/graph.rs`).

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::Socket;
use super::document::{of_known, of_name};
use crate::memory::Address;

/// What is waited for, by kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Wait {
    /// A moment: `sleep`.
    Timer,
    /// A socket, pipe or file to be ready.
    Socket(Descriptor),
    /// Another task, or several through `wait`, `shield`, `wait_for` and `as_completed`.
    Task {
        /// Which of these it is; absent for a plain `await`.
        #[serde(default, deserialize_with = "of_name", skip_serializing_if = "Option::is_none")]
        operation: Option<Operation>,
        /// The tasks.
        #[serde(flatten)]
        others: Others,
    },
    /// All things given to `gather`.
    Gather(Others),
    /// The children of a `TaskGroup`.
    TaskGroup(Others),
    /// A bare future.
    Future {
        /// What it stands for where only a library's own code that is not Python's knows that:
        /// `next request of gRPC`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stands_for: Option<Arc<str>>,
        /// What runs when it is done, in words.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        callbacks: Vec<String>,
        /// Whether something that was found can resolve it: a timer, a socket, a thread, a task.
        /// `None` where that cannot be told.
        #[serde(skip)]
        is_served: Option<bool>,
    },
    /// An `asyncio.Lock`.
    Lock(Acquire),
    /// A permit of a semaphore.
    Semaphore {
        /// Who has its permits, and who wants some.
        #[serde(flatten)]
        acquire: Acquire,
        /// How many are free, and of how many where it is a bounded one.
        #[serde(flatten)]
        permits: Count,
    },
    /// An `asyncio.Condition` to be notified.
    Condition(Position),
    /// An `asyncio.Event` to be set.
    Event(Position),
    /// Room or items in a queue, or its end.
    Queue {
        /// Which of these.
        #[serde(default, deserialize_with = "of_name", skip_serializing_if = "Option::is_none")]
        operation: Option<Operation>,
        /// Its items and its size; unfinished items for `join`.
        #[serde(flatten)]
        items: Count,
        /// The place among those that do the same.
        #[serde(flatten)]
        position: Position,
    },
    /// A connection of a library's pool.
    Pool {
        /// Whose pool it is, as it is said: `asyncpg's pool`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pool: Option<Arc<str>>,
        /// Who has connections, and who wants one.
        #[serde(flatten)]
        acquire: Acquire,
        /// How many are out, and of how many.
        #[serde(flatten)]
        out: Count,
        /// How many of these the holders are known to have.
        #[serde(default)]
        held: u64,
        /// How many nobody can give back, for nothing but the pool refers to them.
        #[serde(default)]
        lost: u64,
        /// How many others no task leads to.
        #[serde(default)]
        unseen: u64,
    },
    /// The others at a barrier: how many are there, of how many.
    Barrier(Count),
    /// A call that runs in a thread pool, or waits for its turn there.
    Executor {
        /// What is called, in words.
        #[serde(skip_serializing_if = "Option::is_none")]
        function: Option<String>,
        /// The thread that runs it.
        #[serde(skip_serializing_if = "Option::is_none")]
        thread: Option<i32>,
        /// Its place among the calls that no thread has taken yet.
        #[serde(flatten)]
        position: Position,
    },
    /// A process to end.
    Subprocess(Program),
    /// Work of another thread.
    Thread {
        /// The thread.
        #[serde(skip_serializing_if = "Option::is_none")]
        thread: Option<i32>,
        /// The tasks of another loop that do the work.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tasks: Vec<Address>,
    },
    /// The closing of asynchronous generators.
    Asyncgen,
    /// Its turn: its next step is in the ready queue.
    Ready(Position),
    /// Nothing: it runs.
    Running,
    /// Not to be told.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A descriptor, and what is to be done with it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Descriptor {
    /// What it has to be ready for.
    #[serde(deserialize_with = "of_name", skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// What it is: a file's path, or the ends of a socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The socket behind it.
    #[serde(deserialize_with = "of_known", skip_serializing_if = "Option::is_none")]
    pub socket: Option<Box<Socket>>,
    /// The process at the other end of a pipe.
    #[serde(flatten)]
    pub program: Program,
}

/// A process that this one has started.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Program {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// What it is called.
    #[serde(rename = "function", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Tasks and other futures that are waited for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Others {
    /// The tasks among them that have not ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Address>,
    /// How far all of them are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<Children>,
}

/// How far the things are that a task waits for together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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

/// Something that is acquired and given back.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Acquire {
    /// The tasks that hold it.
    #[serde(flatten)]
    pub holders: Holders,
    /// The place among those that want it.
    #[serde(flatten)]
    pub position: Position,
    /// Whether a timer or another callback refers to it, and may give it back; absent where it has
    /// holders, and where nobody asked.
    #[serde(skip)]
    pub may_be_returned: Option<bool>,
    /// Whether nobody has it, of a lock: then those that wait for it are to be told so.
    #[serde(skip)]
    pub is_free: bool,
}

impl Serialize for Acquire {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Document<'a> {
            operation: Operation,
            #[serde(flatten, skip_serializing_if = "Holders::is_empty")]
            holders: &'a Holders,
            #[serde(flatten)]
            position: Position,
        }
        let Self { holders, position, .. } = self;
        let operation = Operation::Acquire;
        Document { operation, holders, position: *position }.serialize(serializer)
    }
}

/// The tasks that hold a thing, shared by all that wait for it.
///
/// A document names the first of them in `holders`; where that is not all, `holder_count` says
/// how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "HoldersDocument")]
pub struct Holders {
    known: Arc<[Address]>,
    /// How many more there are, of which a document does not say who they are.
    unnamed: usize,
}

/// The same as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct HoldersDocument {
    holders: Vec<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder_count: Option<usize>,
}

impl Holders {
    /// How many are kept; what has more is not known to its end.
    pub const MAX: usize = 10_000;
    /// How many a document names for each that waits.
    const NAMED: usize = 32;

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

impl std::ops::Deref for Holders {
    type Target = [Address];

    fn deref(&self) -> &[Address] {
        &self.known
    }
}

impl FromIterator<Address> for Holders {
    fn from_iter<I: IntoIterator<Item = Address>>(tasks: I) -> Self {
        Self { known: tasks.into_iter().take(Self::MAX).collect(), unnamed: 0 }
    }
}

impl From<Vec<Address>> for Holders {
    fn from(tasks: Vec<Address>) -> Self {
        Self { known: tasks.into(), unnamed: 0 }
    }
}

impl From<HoldersDocument> for Holders {
    fn from(document: HoldersDocument) -> Self {
        let named = document.holders.len();
        let all = document.holder_count.unwrap_or(named);
        Self { known: document.holders.into(), unnamed: all.saturating_sub(named) }
    }
}

impl Serialize for Holders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = self.get(..Self::NAMED).unwrap_or(self);
        let all = self.len() + self.unnamed;
        let holder_count = (all > named.len()).then_some(all);
        HoldersDocument { holders: named.to_vec(), holder_count }.serialize(serializer)
    }
}

/// What a thing counts, and up to where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Count {
    /// How many it counts now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<i64>,
    /// How many it may count at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// A place among those that wait for the same thing: third of forty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Which place it is, from 1.
    #[serde(rename = "position", skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// How many wait.
    #[serde(rename = "waiters", skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

/// What a task does with the thing it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// What kind of thing is waited for: the names of the variants of [`Wait`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the variants of `Wait` say what they are")]
pub enum WaitKind {
    Timer,
    Socket,
    Task,
    Gather,
    TaskGroup,
    Future,
    Lock,
    Semaphore,
    Condition,
    Event,
    Queue,
    Pool,
    Barrier,
    Executor,
    Subprocess,
    Thread,
    Asyncgen,
    Ready,
    Running,
    #[default]
    Unknown,
}

impl WaitKind {
    /// Its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timer => "timer",
            Self::Socket => "socket",
            Self::Task => "task",
            Self::Gather => "gather",
            Self::TaskGroup => "task-group",
            Self::Future => "future",
            Self::Lock => "lock",
            Self::Semaphore => "semaphore",
            Self::Condition => "condition",
            Self::Event => "event",
            Self::Queue => "queue",
            Self::Pool => "pool",
            Self::Barrier => "barrier",
            Self::Executor => "executor",
            Self::Subprocess => "subprocess",
            Self::Thread => "thread",
            Self::Asyncgen => "asyncgen",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Unknown => "unknown",
        }
    }

    /// Whether several tasks may well wait for one thing of this kind.
    pub fn is_shared(self) -> bool {
        matches!(
            self,
            Self::Lock
                | Self::Semaphore
                | Self::Condition
                | Self::Event
                | Self::Queue
                | Self::Pool
                | Self::Barrier
        )
    }
}
