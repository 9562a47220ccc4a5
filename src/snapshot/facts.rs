//! What findings rest on beside tasks, threads and loops: the stage of a shutdown, what nobody
//! awaits, what nobody looked at.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::{Frame, Location};
use crate::memory::Address;

/// How many things of one kind that a program left behind are kept: of more, that there are more.
pub(crate) const MAX_LEFT_BEHIND: usize = 1000;

/// How a loop's thread is kept, told from its stack and system call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocking {
    /// What kind of call keeps it.
    pub kind: BlockingKind,
    /// The same in words: `recv from tcp 10.0.0.5:5432`.
    pub description: String,
    /// The file descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// What that descriptor is: a file's path, or the ends of a socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The frame to blame: the innermost one of the program's own code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<Frame>,
    /// The task that holds the lock or owes the result it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Address>,
    /// The thread that holds the lock or owes the result it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<i32>,
    /// The loop that would have to run for it to end.
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    pub loop_id: Option<Address>,
}

/// What kind of call keeps a loop's thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockingKind {
    /// `time.sleep`.
    Sleep,
    /// A socket's other end.
    Socket,
    /// A lock of `threading`, or something made of one.
    Lock,
    /// A file or pipe.
    File,
    /// The resolver.
    Dns,
    /// A child process.
    Subprocess,
    /// Nothing: it computes, as far as is known.
    Cpu,
    /// It could run, and was not given a processor.
    Starved,
    /// The garbage collector.
    Gc,
    /// The result of a `concurrent.futures.Future`.
    FutureResult,
    /// Not to be told.
    #[serde(other)]
    Unknown,
}

impl BlockingKind {
    /// Its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Socket => "socket",
            Self::Lock => "lock",
            Self::File => "file",
            Self::Dns => "dns",
            Self::Subprocess => "subprocess",
            Self::Cpu => "cpu",
            Self::Starved => "starved",
            Self::Gc => "gc",
            Self::FutureResult => "future-result",
            Self::Unknown => "unknown",
        }
    }
}

/// How far a process is on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown {
    /// What it is at.
    pub stage: Stage,
    /// Whose shutdown it is: `asyncio.run`, `uvicorn`, `interpreter`.
    pub by: String,
    /// The loop that shuts down.
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    pub loop_id: Option<Address>,
    /// The frame that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<Frame>,
    /// The task with that frame, when it is a server's own stop that a task does.
    #[serde(skip)]
    pub task: Option<Address>,
    /// The tasks it still waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Address>,
    /// The threads it still waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<i32>,
    /// What only findings rest on.
    #[serde(skip)]
    pub grounds: Option<Box<ShutdownGrounds>>,
}

/// What findings about a shutdown rest on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShutdownGrounds {
    /// Which task cannot end before which other one, being in a group that this is a child of:
    /// `[ (task, child) ]`; looked for while a server waits for its connections.
    pub children: Vec<(Address, Address)>,
    /// Tasks that nothing but an exception lets out of a loop of the program in which they are.
    pub endless: Vec<Address>,
    /// How many connections are open of what is closed, where it counts them.
    pub connections: Option<u64>,
    /// For how long at least the stage has lasted, as far as the server itself tells.
    pub lasted: Option<Duration>,
}

impl Shutdown {
    /// Which task cannot end before which other one.
    pub(crate) fn children(&self) -> &[(Address, Address)] {
        self.grounds.as_ref().map_or(&[], |grounds| &grounds.children)
    }

    /// Whether nothing but an exception lets the task out of a loop of the program.
    pub(crate) fn is_endless(&self, task: Address) -> bool {
        self.grounds.as_ref().is_some_and(|grounds| grounds.endless.contains(&task))
    }

    /// How many connections are open of what is closed.
    pub(crate) fn connections(&self) -> Option<u64> {
        self.grounds.as_ref()?.connections
    }

    /// For how long at least the stage has lasted.
    pub(crate) fn lasted(&self) -> Option<Duration> {
        self.grounds.as_ref()?.lasted
    }

    /// Whether another one is of the same stage of the same shutdown.
    pub fn is_same_stage(&self, other: &Self) -> bool {
        self.stage == other.stage && self.loop_id == other.loop_id && self.by == other.by
    }

    /// The tasks that are all cancelled, whether their Python counts that or not, while that is
    /// the stage.
    pub fn all_cancelled(&self) -> FxHashSet<Address> {
        match self.stage {
            Stage::CancelAll => self.tasks.iter().copied().collect(),
            _ => FxHashSet::default(),
        }
    }
}

/// The stages of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// A server waits for its connections and requests to end.
    Graceful,
    /// All tasks were cancelled and are waited for.
    CancelAll,
    /// Asynchronous generators are closed.
    Asyncgens,
    /// The threads of the default executor are waited for.
    DefaultExecutor,
    /// The interpreter waits for its threads.
    InterpreterThreads,
}

impl Stage {
    /// Its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Graceful => "graceful",
            Self::CancelAll => "cancel-all",
            Self::Asyncgens => "asyncgens",
            Self::DefaultExecutor => "default-executor",
            Self::InterpreterThreads => "interpreter-threads",
        }
    }
}

/// A finished task or future with an exception that nobody has looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unretrieved {
    /// The task or future.
    pub id: Address,
    /// The task's name.
    pub name: Option<Arc<str>>,
    /// The qualified name of the task's coroutine.
    pub coroutine: Option<Arc<str>>,
    /// The loop it belongs to.
    pub loop_id: Option<Address>,
    /// The class of the exception.
    pub exception: String,
    /// Its message.
    pub message: String,
    /// Where it was raised: the innermost frame of its traceback.
    pub place: Option<Arc<Location>>,
    /// Whether a function that is under way may yet look at it, from where it is.
    pub may_be_looked_at: bool,
}

/// A coroutine object that was never started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeverAwaited {
    /// The coroutine.
    pub id: Address,
    /// Its qualified name.
    pub coroutine: Arc<str>,
    /// Where its function is.
    pub place: Option<Arc<Location>>,
    /// The variable that holds it.
    pub variable: String,
    /// The frame with that variable.
    pub frame: Arc<Location>,
    /// The task with that frame.
    pub task: Option<Address>,
    /// The thread with that frame.
    pub thread: Option<i32>,
}

/// An asynchronous generator that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenGenerator {
    /// The generator.
    pub id: Address,
    /// Its qualified name.
    pub name: Arc<str>,
    /// Where it is suspended.
    pub place: Option<Arc<Location>>,
    /// The loop that would close it.
    pub loop_id: Option<Address>,
    /// Whether somebody may go on with it: something refers to it but a variable that its function
    /// does not read any more.
    pub is_in_use: bool,
}

/// A lock, semaphore, queue or event to which only suspended frames of tasks refer: nobody else can give
/// back a permit of it, or put anything in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclosed {
    /// The thing.
    pub object: Address,
    /// The tasks that refer to it, by id.
    pub tasks: Vec<Address>,
}

/// Where a cancellation was most likely swallowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swallower {
    /// The function, file and line of the `except`, `finally` or `suppress`.
    pub location: Arc<Location>,
    /// What stands there: `except`, `finally`, `suppress`.
    pub clause: &'static str,
    /// Whether it surrounds the place where the task waits now.
    pub is_sure: bool,
}

/// A `for` loop that a task is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looping {
    /// The frame (index into the task's `frames`) that has the loop.
    pub frame: usize,
    /// The line of its `for`.
    pub line: Option<u32>,
    /// Which loop it is: its code object, and the place in its instructions.
    pub site: (Address, u64),
    /// How many turns are done, where its iterator tells.
    pub done: Option<u64>,
    /// How many come after the present one, where its iterator tells.
    pub left: Option<u64>,
    /// What the variables around it have, as a number: another one is of another turn.
    pub turn: u64,
    /// Whether another task was in it at the same time.
    pub is_shared: bool,
}
