//! Why a task does not go on, and the thread pools that may stand behind that.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{
    A_CLIENT, Acquire, Children, Count, Descriptor, Operation, Others, Position, Program, Socket,
    Tcp, Wait, WaitKind, millis,
};
use crate::memory::Address;

/// What a task or thread waits for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// What kind of thing it is, and what is known of one of that kind.
    #[serde(flatten)]
    pub wait: Wait,
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
    /// For how long at least it has waited.
    #[serde(
        rename = "since_ms",
        default,
        with = "millis::opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub since: Option<Duration>,
    /// When the wait ends by itself, from the time of the snapshot; negative when it should have.
    #[serde(
        rename = "due_in_ms",
        default,
        with = "millis::opt_signed",
        skip_serializing_if = "Option::is_none"
    )]
    pub due_in: Option<SignedDuration>,
    /// Time limits around the wait, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deadlines: Vec<Deadline>,
    /// The loop the thing belongs to, when it is not the task's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign_loop: Option<Address>,
}

impl From<Wait> for Waiting {
    fn from(wait: Wait) -> Self {
        Self { wait, ..Self::default() }
    }
}

/// What a wait of any kind may tell; nothing where its kind has no such fact.
impl Waiting {
    /// What kind of thing is waited for.
    pub fn kind(&self) -> WaitKind {
        match self.wait {
            Wait::Timer => WaitKind::Timer,
            Wait::Socket(_) => WaitKind::Socket,
            Wait::Task { .. } => WaitKind::Task,
            Wait::Gather(_) => WaitKind::Gather,
            Wait::TaskGroup(_) => WaitKind::TaskGroup,
            Wait::Future { .. } => WaitKind::Future,
            Wait::Lock(_) => WaitKind::Lock,
            Wait::Semaphore { .. } => WaitKind::Semaphore,
            Wait::Condition(_) => WaitKind::Condition,
            Wait::Event(_) => WaitKind::Event,
            Wait::Queue { .. } => WaitKind::Queue,
            Wait::Pool { .. } => WaitKind::Pool,
            Wait::Barrier(_) => WaitKind::Barrier,
            Wait::Executor { .. } => WaitKind::Executor,
            Wait::Subprocess(_) => WaitKind::Subprocess,
            Wait::Thread { .. } => WaitKind::Thread,
            Wait::Asyncgen => WaitKind::Asyncgen,
            Wait::Ready(_) => WaitKind::Ready,
            Wait::Running => WaitKind::Running,
            Wait::Unknown => WaitKind::Unknown,
        }
    }

    /// What is done with the thing, where there is more than one way to wait for it.
    pub fn operation(&self) -> Option<Operation> {
        match &self.wait {
            Wait::Socket(descriptor) => descriptor.operation,
            Wait::Task { operation, .. } | Wait::Queue { operation, .. } => *operation,
            Wait::Lock(_) | Wait::Semaphore { .. } | Wait::Pool { .. } => Some(Operation::Acquire),
            _ => None,
        }
    }

    /// The descriptor that has to be ready.
    pub fn descriptor(&self) -> Option<&Descriptor> {
        match &self.wait {
            Wait::Socket(descriptor) => Some(descriptor),
            _ => None,
        }
    }

    /// What that is: a file's path, or the ends of a socket.
    pub fn peer(&self) -> Option<&str> {
        self.descriptor()?.peer.as_deref()
    }

    /// The far end of that: `10.0.0.5:5432`.
    pub fn far_end(&self) -> Option<&str> {
        self.peer().map(far_end)
    }

    /// The socket behind it.
    pub fn socket(&self) -> Option<&Socket> {
        self.descriptor()?.socket.as_deref()
    }

    /// How the connection behind it got on.
    pub fn tcp(&self) -> Option<&Tcp> {
        self.socket()?.tcp.as_ref()
    }

    /// The process that has to end or is at the other end of a pipe.
    pub fn program(&self) -> Option<&Program> {
        match &self.wait {
            Wait::Socket(Descriptor { program, .. }) | Wait::Subprocess(program) => Some(program),
            _ => None,
        }
    }

    /// The same, to be completed.
    pub(crate) fn program_mut(&mut self) -> Option<&mut Program> {
        match &mut self.wait {
            Wait::Socket(Descriptor { program, .. }) | Wait::Subprocess(program) => Some(program),
            _ => None,
        }
    }

    /// The tasks and futures that have to end.
    pub fn others(&self) -> Option<&Others> {
        match &self.wait {
            Wait::Task { others, .. } | Wait::Gather(others) | Wait::TaskGroup(others) => {
                Some(others)
            }
            _ => None,
        }
    }

    /// The same, to be completed.
    pub(crate) fn others_mut(&mut self) -> Option<&mut Others> {
        match &mut self.wait {
            Wait::Task { others, .. } | Wait::Gather(others) | Wait::TaskGroup(others) => {
                Some(others)
            }
            _ => None,
        }
    }

    /// The tasks waited for that have not ended.
    pub fn tasks(&self) -> &[Address] {
        match &self.wait {
            Wait::Thread { tasks, .. } => tasks,
            _ => self.others().map_or(&[], |others| &others.tasks),
        }
    }

    /// How far the things are that are waited for together.
    pub fn children(&self) -> Option<&Children> {
        self.others()?.children.as_ref()
    }

    /// What is acquired.
    pub fn acquire(&self) -> Option<&Acquire> {
        match &self.wait {
            Wait::Lock(acquire) | Wait::Semaphore { acquire, .. } | Wait::Pool { acquire, .. } => {
                Some(acquire)
            }
            _ => None,
        }
    }

    /// The same, to be completed.
    pub(crate) fn acquire_mut(&mut self) -> Option<&mut Acquire> {
        match &mut self.wait {
            Wait::Lock(acquire) | Wait::Semaphore { acquire, .. } | Wait::Pool { acquire, .. } => {
                Some(acquire)
            }
            _ => None,
        }
    }

    /// The tasks that hold the thing.
    pub fn holders(&self) -> &[Address] {
        self.acquire().map_or(&[], |acquire| &acquire.holders)
    }

    /// Whether a timer or another callback refers to the lock or semaphore, and may give it back.
    pub fn may_be_returned(&self) -> Option<bool> {
        self.acquire()?.may_be_returned
    }

    /// Whether what is to be acquired can be had: nobody has the lock, or permits are left.
    pub fn is_free(&self) -> bool {
        match &self.wait {
            Wait::Lock(acquire) => acquire.is_free,
            Wait::Semaphore { permits, .. } => permits.value.is_some_and(|value| value > 0),
            _ => false,
        }
    }

    /// What the thing counts: permits of a semaphore, items of a queue, connections that are out,
    /// tasks at a barrier.
    pub fn count(&self) -> Count {
        match self.wait {
            Wait::Semaphore { permits: count, .. }
            | Wait::Queue { items: count, .. }
            | Wait::Pool { out: count, .. }
            | Wait::Barrier(count) => count,
            _ => Count::default(),
        }
    }

    /// The place among those that wait for the same.
    pub fn position(&self) -> Position {
        match &self.wait {
            Wait::Lock(acquire) | Wait::Semaphore { acquire, .. } | Wait::Pool { acquire, .. } => {
                acquire.position
            }
            Wait::Condition(position)
            | Wait::Event(position)
            | Wait::Queue { position, .. }
            | Wait::Executor { position, .. }
            | Wait::Ready(position) => *position,
            _ => Position::default(),
        }
    }

    /// Whose pool of connections it is, as it is said.
    pub fn pool(&self) -> Option<&Arc<str>> {
        match &self.wait {
            Wait::Pool { pool, .. } => pool.as_ref(),
            _ => None,
        }
    }

    /// Of the connections of a pool that are out, how many the holders are known to have, how many
    /// nobody can give back, and how many others no task leads to.
    pub fn held_lost_unseen(&self) -> [u64; 3] {
        match self.wait {
            Wait::Pool { held, lost, unseen, .. } => [held, lost, unseen],
            _ => [0; 3],
        }
    }

    /// The thread that does what is waited for.
    pub fn thread(&self) -> Option<i32> {
        match self.wait {
            Wait::Executor { thread, .. } | Wait::Thread { thread, .. } => thread,
            _ => None,
        }
    }

    /// The function or program that runs for it, in words.
    pub fn function(&self) -> Option<&str> {
        match &self.wait {
            Wait::Executor { function, .. } => function.as_deref(),
            _ => self.program()?.name.as_deref(),
        }
    }

    /// The argument of a `sleep`, in seconds.
    pub fn slept(&self) -> Option<f64> {
        let Wait::Timer = self.wait else { return None };
        let since = SignedDuration::try_from(self.since?).ok()?;
        let delay = since.checked_add(self.due_in?)?.as_secs_f64();
        // Both are measured by a clock of microseconds.
        (delay > 0.0).then(|| (delay * 1000.0).round() / 1000.0)
    }

    /// What runs when the future is done, in words.
    pub fn callbacks(&self) -> &[String] {
        match &self.wait {
            Wait::Future { callbacks, .. } => callbacks,
            _ => &[],
        }
    }

    /// What the future stands for, where only code that is not Python's knows it.
    pub fn stands_for(&self) -> Option<&Arc<str>> {
        match &self.wait {
            Wait::Future { stands_for, .. } => stands_for.as_ref(),
            _ => None,
        }
    }

    /// Whether something that was found can resolve the future.
    pub fn is_served(&self) -> Option<bool> {
        match self.wait {
            Wait::Future { is_served, .. } => is_served,
            _ => None,
        }
    }
}

/// The far end of a connection: `10.0.0.5:5432` of `tcp 10.0.0.7:52114 -> 10.0.0.5:5432`.
pub fn far_end(peer: &str) -> &str {
    let is_of_network = |text: &&str| text.starts_with("tcp ") || text.starts_with("udp ");
    let Some(ends) = Some(peer).filter(is_of_network).and_then(|text| text.get(4..)) else {
        return peer;
    };
    let end = ends.rsplit_once("-> ").map_or(ends, |(_, end)| end);
    if end.starts_with(A_CLIENT) {
        return A_CLIENT;
    }
    // Its state follows.
    end.split(' ').next().unwrap_or(end)
}

/// A time limit on the way to where a task waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// The frame (index into the task's `frames`) that has set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<usize>,
    /// When it ends, from the time of the snapshot; negative when it is past. `None` where that is
    /// not known: the loop may have a clock of its own.
    #[serde(
        rename = "due_in_ms",
        default,
        with = "millis::opt_signed",
        skip_serializing_if = "Option::is_none"
    )]
    pub due_in: Option<SignedDuration>,
}

/// A pool of threads or processes that runs calls for tasks; or a limit of anyio on such calls, while some
/// wait for their turn: its tokens then stand for threads.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
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
    /// Its processes, if it is a pool of such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<WorkerProcess>>,
    /// The thread that hands the calls to its processes.
    #[serde(skip)]
    pub manager: Option<i32>,
    /// The numbers of all calls that its processes owe.
    #[serde(skip)]
    pub owed: Vec<u64>,
}

impl Executor {
    /// Its process with this id.
    pub fn process(&self, pid: i32) -> Option<&WorkerProcess> {
        self.processes.as_ref()?.iter().find(|process| process.pid == pid)
    }
}

/// A process of a pool.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerProcess {
    /// Its id in our pid namespace.
    pub pid: i32,
    /// Its main thread, which runs the calls; looked at while calls are waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<Box<super::Thread>>,
    /// Whether it sleeps until another thread of it does something, and has no other.
    #[serde(skip)]
    pub waits_for_nobody: bool,
    /// Whether it is a copy of the one that has the pool, made by `fork`.
    #[serde(skip)]
    pub is_forked: bool,
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
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Job {
    /// The qualified name of the function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The thread that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<i32>,
    /// The process that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<i32>,
    /// The task that waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Address>,
    /// How long it has run.
    #[serde(
        rename = "elapsed_ms",
        default,
        with = "millis::opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub elapsed: Option<Duration>,
    /// The call itself, the same from one snapshot to the next.
    #[serde(skip)]
    pub id: Address,
    /// The number that a pool of processes has given it.
    #[serde(skip)]
    pub number: Option<u64>,
}
