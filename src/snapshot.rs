//! One reading of everything, as plain owned data.
//!
//! A [`Snapshot`] is the only thing that crosses from the library to a front end. It holds no
//! lifetimes and no address that needs the target: addresses in it serve as ids. A fact that was
//! not read is absent (`None`), never zero or empty. Serialized, it has the shape of
//! `aiospy.dump/1` (see `schema.json`): absent facts are left out, addresses are hex strings,
//! times carry their unit in the name (`_ms`).

mod allowed;
mod answer;
mod asking;
mod cancelling;
mod causes;
mod cgroup;
mod collector;
mod container;
mod context;
mod depth;
mod describe;
mod document;
mod evidence;
mod facts;
mod finding;
mod glance;
mod grounds;
mod group;
mod heap;
mod interval;
mod label;
mod limit;
pub(crate) mod millis;
mod native;
mod place;
mod processor;
mod sentence;
mod show;
mod subprocess;
mod tcp;
mod verdict;
mod wait;
mod waiting;
mod wake;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustc_hash::FxHashSet;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use crate::known::Origin;
use crate::known::{Known, Module};
use crate::memory::{Address, ReadStats};

pub use allowed::{Allowed, Rule};
pub use answer::{Answer, Level, nothing_else};
pub use asking::Asking;
pub use causes::{by_root, order};
pub use cgroup::{Cgroup, MemoryLimit, Pressure, Quota, Stalls};
pub use collector::Collector;
pub use container::Container;
pub use context::{Context, Trace, Tracer, Variable};
pub use depth::Depth;
pub use describe::{duration, duration_in_column, with_separators};
pub use document::NotRead;
use document::{Entries, of_known, of_name};
pub use evidence::{Age, Bound, Cause, Evidence, Members, Role, Source};
pub(crate) use facts::MAX_LEFT_BEHIND;
pub use facts::{
    Blocking, BlockingKind, Enclosed, Looping, NeverAwaited, OpenGenerator, Shutdown,
    ShutdownGrounds, Stage, Swallower, Unretrieved,
};
pub use finding::{Code, Finding, FindingId, Pending, Severity, Sureness};
pub use glance::{Glance, LoopGlance, Occupation};
pub use grounds::{Grounds, LoopGrounds, TaskGrounds, ThreadGrounds};
pub use group::{Flight, Group, GroupState, by_work};
pub use heap::{HeapGroup, HeapKind, HeapList, HeapOwner, HeapSearch, Owned, OwnerKind};
pub use interval::{BETWEEN_LOOKS, Interval};
pub use label::{Subject, SubjectKind, is_counted, without_numbers};
pub use native::{NativeFrame, NativeStack, StackFrame, Withheld};
pub use place::{below_loop, endpoint, own_frame};
pub use processor::{Processor, ProcessorUse};
pub use sentence::{Phrase, Sentence};
pub use show::Show;
pub use subprocess::{FullPipe, HeldPipe, PipeHolder, PipeWriter, Subprocess};
pub use tcp::Tcp;
pub use verdict::{Doubt, Undecided, Verdict, join_findings};
pub use wait::{
    Acquire, Children, Count, Descriptor, Holders, Operation, Others, Position, Program, Wait,
    WaitKind,
};
pub use waiting::{Deadline, Executor, Job, Limiter, Waiting, WorkerProcess, far_end};
pub use wake::WakeSources;
pub use work::{Work, WorkKind};

/// The name and version of the JSON shape.
pub const SCHEMA: &str = "aiospy.dump/1";

/// Everything that was read from one target at one time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// When the reading began, by our clock.
    #[serde(serialize_with = "millis::instant::serialize")]
    pub taken_at: Timestamp,
    /// The time in which it was read. Two snapshots are compared by this alone: `taken_at` is for
    /// people, and follows whoever sets the clock.
    #[serde(skip)]
    pub during: Interval,
    /// The moment that times in it are told from, by the target's `CLOCK_MONOTONIC`.
    #[serde(skip)]
    pub told_from: Option<Duration>,
    /// How long the reading took.
    #[serde(rename = "elapsed_ms", default, with = "millis")]
    pub elapsed: Duration,
    /// How long the target was stopped for it: zero, unless asked for.
    #[serde(rename = "paused_ms", default, with = "millis")]
    pub paused: Duration,
    /// How far the parts of this snapshot are known to be of one moment.
    #[serde(default)]
    pub consistency: Consistency,
    /// The process.
    #[serde(default)]
    pub process: Process,
    /// What its control groups allow it; absent when that was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Cgroup>,
    /// Its threads: first the main thread, then the others by id.
    #[serde(default)]
    pub threads: Vec<Thread>,
    /// Its event loops.
    #[serde(default)]
    pub loops: Vec<Loop>,
    /// Its tasks, in the order of the registry.
    #[serde(default)]
    pub tasks: Vec<Task>,
    /// Its thread pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub executors: Vec<Executor>,
    /// The Python processes below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Child>,
    /// What a search of the whole memory has found; absent when that was not asked for, or did not
    /// come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heap: Option<Box<HeapSearch>>,
    /// How far it is on its way out; absent when it is not.
    #[serde(default, deserialize_with = "of_known", skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<Shutdown>,
    /// That not all tasks were read, for want of memory: absent when all were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// What is wrong, root causes first; absent when nobody looked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<Finding>>,
    /// How many looks the findings rest on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looks: Option<u8>,
    /// What it comes to; absent when nobody drew a conclusion.
    #[serde(default, deserialize_with = "of_name", skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why it cannot be said that all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<Undecided>,
    /// What could not be read, or was not believable.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// How many registered tasks are missing because they could not be read; the first ones are
    /// among the problems.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread_tasks: usize,
    /// How much was read.
    #[serde(skip, default = "Depth::of_document")]
    pub depth: Depth,
    /// What only findings rest on; absent where it was not asked for.
    #[serde(skip)]
    pub grounds: Option<Box<Grounds>>,
    /// What the reading cost.
    #[serde(skip)]
    pub reads: ReadStats,
}

impl Snapshot {
    /// A snapshot of `process` in which nothing else has been read yet, at one moment.
    pub fn new(process: Process, taken_at: Timestamp) -> Self {
        Self {
            taken_at,
            during: Interval::at(document::since_epoch(taken_at)),
            told_from: None,
            elapsed: Duration::ZERO,
            paused: Duration::ZERO,
            consistency: Consistency::BestEffort,
            process,
            cgroup: None,
            threads: Vec::new(),
            loops: Vec::new(),
            tasks: Vec::new(),
            executors: Vec::new(),
            children: Vec::new(),
            heap: None,
            shutdown: None,
            cut: None,
            findings: None,
            looks: None,
            verdict: None,
            undecided: Vec::new(),
            problems: Vec::new(),
            unread_tasks: 0,
            depth: Depth::Evidence,
            grounds: None,
            reads: ReadStats::default(),
        }
    }

    /// How old the process was, by the clock of people.
    pub(crate) fn age(&self) -> Option<Duration> {
        let age = self.taken_at.duration_since(self.process.started_at?);
        Duration::try_from(age).ok()
    }

    /// Whether every registered task was read.
    pub fn has_all_tasks(&self) -> bool {
        self.unread_tasks == 0 && self.cut.is_none()
    }

    /// Whether a freezer keeps all its threads from running.
    pub fn is_frozen(&self) -> bool {
        self.cgroup.as_ref().is_some_and(|cgroup| cgroup.frozen == Some(true))
    }

    /// The thread that a loop runs on.
    pub fn thread_of(&self, event_loop: &Loop) -> Option<&Thread> {
        let tid = event_loop.thread?;
        self.threads.iter().find(|thread| thread.tid == Some(tid))
    }

    /// Whether it runs an event loop of the program: a conclusion that all is well can rest on
    /// nothing else.
    pub fn has_loop_to_judge(&self) -> bool {
        self.loops.iter().any(|known| known.may_run() && !self.only_serves(known))
    }

    /// Whether a loop does nothing but serve a master of processes: gunicorn's control socket has
    /// one in a thread of its own, from version 25 on.
    pub(crate) fn only_serves(&self, event_loop: &Loop) -> bool {
        let mut tasks = self.tasks.iter().filter(|task| task.loop_id == Some(event_loop.id));
        let is_control = |task: &Task| {
            let frame = task.frames.first();
            frame.is_some_and(|frame| frame.location.module() == Some(Module::GunicornControl))
        };
        let first = tasks.next();
        event_loop.thread != Some(self.process.pid)
            && first.is_some_and(is_control)
            && tasks.all(is_control)
    }

    /// The task that runs on a loop: of those that run inside one another, the innermost.
    pub fn running_task(&self, event_loop: &Loop) -> Option<&Task> {
        let is_running = |task: &&Task| {
            task.state == Some(TaskState::Running) && task.loop_id == Some(event_loop.id)
        };
        let running = || self.tasks.iter().filter(is_running);
        let last = self.thread_of(event_loop).and_then(|thread| thread.frames.last());
        // Each has the frames from its own coroutine to that of the next task.
        let innermost = running().filter(|task| {
            let own = task.frames.last().map(|frame| &frame.location);
            own.is_some() && own == last.map(|frame| &frame.location)
        });
        innermost.min_by_key(|task| task.frames.len()).or_else(|| running().next())
    }

    /// The pools of threads, each once: those of its loops first, then the others.
    pub fn pools(&self) -> Vec<&Executor> {
        let own = self.loops.iter().filter_map(|known| known.executor.as_ref());
        let mut seen = FxHashSet::default();
        let is_new = |pool: &&Executor| pool.id.is_none_or(|id| seen.insert(id));
        own.chain(&self.executors).filter(is_new).collect()
    }

    /// Whether a loop may be one that never waits: it did not the last time, or its thread runs
    /// though no callback keeps it.
    pub(crate) fn is_restless(&self, event_loop: &Loop) -> bool {
        let is_open =
            matches!(event_loop.state, None | Some(LoopState::Polling | LoopState::Running));
        let runs = || {
            let thread = self.thread_of(event_loop);
            thread.is_some_and(|thread| thread.state == Some(ThreadState::Running))
        };
        is_open && (event_loop.polls_without_waiting == Some(true) || runs())
    }
}

/// How many tasks were read of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// How many were read.
    pub tasks_read: usize,
    /// How many are registered.
    pub tasks_at_least: usize,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tasks_read, tasks_at_least } = self;
        write!(f, "only {tasks_read} of at least {tasks_at_least} tasks were read (--max-memory)")
    }
}

/// How far the parts of a snapshot are of one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// No thread of the target ran while it was read.
    Exact,
    /// The same callback of the same iteration ran before and after: no other task moved.
    SameStep,
    /// The target ran; what changed was read again, and what did not settle is in `problems`.
    #[default]
    #[serde(other)]
    BestEffort,
}

/// The process looked at.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Its id in our pid namespace.
    pub pid: i32,
    /// Its id in its own pid namespace, when that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_pid: Option<i32>,
    /// The process that waits for its end, by its id in our pid namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<i32>,
    /// Its command line; bytes that are not UTF-8 are replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmdline: Vec<String>,
    /// Its executable, as it sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// The Python version, `3.13.0`; `3.8` when only the minor version is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// `cpython`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub implementation: Option<String>,
    /// Whether this is a free-threaded build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_threaded: Option<bool>,
    /// Whether this is a `Py_DEBUG` build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug_build: Option<bool>,
    /// When the process started.
    #[serde(serialize_with = "millis::instant::opt", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The container it lives in, where something shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
}

impl Process {
    /// Whether its Python is of a minor version, `3.8`.
    pub fn is_python(&self, minor: &str) -> bool {
        let rest = self.python.as_deref().and_then(|it| it.strip_prefix(minor));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Whether its tasks count how often they were asked to end (`Task.cancelling()`).
    pub fn counts_cancellations(&self) -> bool {
        !["3.8", "3.9", "3.10"].iter().any(|old| self.is_python(old))
    }

    /// Whether a task group whose child fails while the group is waited for cancels the waiting
    /// task and never takes that back.
    pub fn groups_leave_requests(&self) -> bool {
        // Lib/asyncio/taskgroups.py of 3.11 and 3.12: `__aexit__` calls `uncancel` before it
        // waits and not after; 3.13 after (gh-116720). Test: healthy::failed_group.
        self.is_python("3.11") || self.is_python("3.12")
    }
}

/// A process below the one looked at that runs Python.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Its id in our pid namespace.
    pub pid: i32,
    /// Its command line.
    pub command: String,
    /// Whether it runs an event loop; absent where that could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_loops: Option<bool>,
    /// What that loop does; of several, the one that says most.
    #[serde(default, deserialize_with = "of_name", skip_serializing_if = "Option::is_none")]
    pub state: Option<LoopState>,
    /// For how long.
    #[serde(
        rename = "elapsed_ms",
        default,
        with = "millis::opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub elapsed: Option<Duration>,
}

/// One thread of the process that runs Python.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Thread {
    /// Its native id in our pid namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<i32>,
    /// Its name in `threading`, else the kernel's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of the sub-interpreter that its innermost frames belong to; absent for the main
    /// interpreter, and where it has no frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<i64>,
    /// What the kernel says it does.
    #[serde(deserialize_with = "of_name", skip_serializing_if = "Option::is_none")]
    pub state: Option<ThreadState>,
    /// The system call it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syscall: Option<Syscall>,
    /// What it waits for, when that is the work of a task, of a pool or of another thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<Box<Waiting>>,
    /// The time it has had on a processor.
    #[serde(skip)]
    pub cpu_time: Option<Duration>,
    /// What only findings rest on.
    #[serde(skip)]
    pub grounds: Option<ThreadGrounds>,
    /// Its Python frames, outermost first.
    pub frames: Vec<Frame>,
    /// Its stack in C with them, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native: Option<NativeStack>,
}

/// What the kernel says a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThreadState {
    /// `R`: on a processor or waiting for one.
    Running,
    /// `S`: asleep until something happens.
    Sleeping,
    /// `D`: asleep and not to be disturbed, mostly disk or network file systems.
    Uninterruptible,
    /// `T`: stopped by a signal.
    Stopped,
    /// `t`: stopped by a tracer.
    Traced,
    /// `Z`, `X`: ended.
    Ended,
    /// `I`, or a letter we do not know.
    #[serde(other)]
    Other,
}

impl ThreadState {
    /// Whether a signal or a tracer keeps it from running.
    pub fn is_halted(self) -> bool {
        matches!(self, Self::Stopped | Self::Traced)
    }
}

/// The system call a thread is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syscall {
    /// Its name, `epoll_wait`; `syscall 999` when the number is not known.
    pub name: String,
    /// The file descriptor it is about, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// What that descriptor is: a file's path, or the other end of a socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

/// A socket of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Socket {
    /// `tcp`, `udp` or `unix`.
    pub protocol: &'static str,
    /// Its own address: `127.0.0.1:8080`, a path, `@name` for an abstract name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// The address at the other end; absent where there is none, for `unix`, and of a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// In a word or a few: `listening`, `connecting`, `established`, `closed by peer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    /// Bytes that have arrived and were not yet read; for a listening socket the connections
    /// that were not yet accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_queue: Option<u64>,
    /// Bytes that were written and that the other end has not yet confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_queue: Option<u64>,
    /// How the connection got on, where the kernel tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Tcp>,
    /// Whether an `epoll` of the process waits until there is something to read; looked for where
    /// something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_watched: Option<bool>,
    /// Whether the other end has opened the connection: a client's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_accepted: bool,
    /// The address of the client: for live views, and for who asks for the whole document. There it is
    /// that of the other end, as any.
    #[serde(rename = "remote", skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// What a client is called in all texts, and in what is recorded or sent.
pub const A_CLIENT: &str = "a client";

impl Socket {
    /// What the other end is called: `10.0.0.5:5432`, `a client`.
    pub fn far_end(&self) -> Option<&str> {
        self.remote.as_deref().or(self.is_accepted.then_some(A_CLIENT))
    }
}

/// The words for protocols and for states of sockets.
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "unix"];
const SOCKET_STATES: [&str; 10] = [
    "listening",
    "connecting",
    "accepting",
    "established",
    "connected",
    "closing",
    "closing (closed here)",
    "closed",
    "closed, waiting",
    "closed by peer",
];

/// The same as it is read, with words that may be any.
#[derive(Deserialize)]
struct AnySocket {
    protocol: String,
    local: Option<String>,
    remote: Option<String>,
    state: Option<String>,
    receive_queue: Option<u64>,
    send_queue: Option<u64>,
    tcp: Option<Tcp>,
    is_watched: Option<bool>,
    #[serde(default)]
    is_accepted: bool,
}

impl<'de> Deserialize<'de> for Socket {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let any = AnySocket::deserialize(from)?;
        let protocol = PROTOCOLS.into_iter().find(|known| *known == any.protocol);
        let (client, remote) =
            if any.is_accepted { (any.remote, None) } else { (None, any.remote) };
        Ok(Self {
            protocol: protocol.ok_or_else(|| serde::de::Error::custom("an unknown protocol"))?,
            local: any.local,
            remote,
            // A newer version may have more of them.
            state: any
                .state
                .and_then(|state| SOCKET_STATES.into_iter().find(|known| *known == state)),
            receive_queue: any.receive_queue,
            send_queue: any.send_queue,
            tcp: any.tcp,
            is_watched: any.is_watched,
            is_accepted: any.is_accepted,
            client,
        })
    }
}

/// One event loop.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Loop {
    /// Its address.
    pub id: Address,
    /// Its class with the module, `asyncio.unix_events._UnixSelectorEventLoop`.
    pub class: String,
    /// The thread that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<i32>,
    /// What it does.
    #[serde(deserialize_with = "of_name", skip_serializing_if = "Option::is_none")]
    pub state: Option<LoopState>,
    /// The process whose loop it is a copy of, made by `fork`, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inherited_from: Option<i32>,
    /// Its current iteration.
    #[serde(deserialize_with = "of_known", skip_serializing_if = "Option::is_none")]
    pub iteration: Option<Iteration>,
    /// How late it is at least: the age of its earliest overdue timer.
    #[serde(
        rename = "lag_ms",
        default,
        with = "millis::opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub lag: Option<Duration>,
    /// How many handles are ready to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<u64>,
    /// How many timers are scheduled, cancelled ones included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<u64>,
    /// Whether it is in debug mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug: Option<bool>,
    /// What keeps its thread, when it is blocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocking: Option<Blocking>,
    /// What can wake it, where it waits with no time limit and that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake_sources: Option<WakeSources>,
    /// Its default executor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<Executor>,
    /// The loop below it on the same thread's stack.
    #[serde(skip)]
    pub nested_in: Option<Address>,
    /// Whether its last wait was one without time: something was ready already.
    #[serde(skip)]
    pub polls_without_waiting: Option<bool>,
    /// When its current iteration began, as it tells: equal for the same iteration.
    #[serde(skip)]
    pub iteration_id: Option<u64>,
    /// For how long it has done nothing but wait, where that can be told.
    #[serde(skip)]
    pub idle_for: Option<Duration>,
    /// What is in its ready queue, in words, the first of them.
    #[serde(skip)]
    pub ready_handles: Vec<String>,
    /// What only findings rest on.
    #[serde(skip)]
    pub grounds: Option<Box<LoopGrounds>>,
}

impl Loop {
    /// Whether it runs callbacks and nobody knows since when.
    pub(crate) fn is_of_unknown_age(&self) -> bool {
        let turn = self.iteration.as_ref();
        turn.is_some_and(|turn| turn.phase == Phase::Ready && turn.elapsed.is_none())
    }

    /// Whether the loop is run in this process, or may be for all that was read of it.
    pub fn may_run(&self) -> bool {
        self.state.is_none_or(LoopState::is_run)
    }
}

/// What was seen of a loop that was glanced at many times in a row.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turns {
    /// How often it was looked at.
    pub samples: u32,
    /// How often it was not found at work: in its wait, or in another iteration when it was read
    /// again at once, less than a millisecond later.
    pub idle: u32,
    /// How often a task ran, or was to run, because something it waited for was done, or asyncio's
    /// own answer to something from outside.
    pub woken: u32,
    /// How often its wait was one without time: something was ready already.
    pub without_waiting: u32,
    /// What ran or was to run, in words, with how often it was seen.
    pub callbacks: BTreeMap<String, u32>,
    /// How many bytes the process had moved when this began, where it was asked for.
    pub moved_before: Option<u64>,
    /// How many bytes it has moved since then.
    pub moved: Option<u64>,
}

/// What an event loop does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoopState {
    /// It waits for something to happen.
    Polling,
    /// It runs callbacks, and has done so for less than the threshold.
    Running,
    /// One iteration has run callbacks for longer than the threshold.
    Blocked,
    /// Nobody runs it.
    Stopped,
    /// It was closed.
    Closed,
    /// It is the parent's, from which the process was forked while it ran; nobody runs it here.
    Inherited,
}

impl LoopState {
    /// Whether the loop is run, by a thread of this process.
    pub fn is_run(self) -> bool {
        matches!(self, Self::Polling | Self::Running | Self::Blocked)
    }
}

/// One turn of an event loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iteration {
    /// What the iteration is at.
    pub phase: Phase,
    /// How long the phase has lasted.
    #[serde(
        rename = "elapsed_ms",
        default,
        with = "millis::opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub elapsed: Option<Duration>,
    /// How many of its callbacks have run or have begun to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callbacks_run: Option<u64>,
    /// How many callbacks it has to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callbacks_total: Option<u64>,
    /// The callback that runs now, in words: `task worker-3`, `time.sleep`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
}

/// What an iteration is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// In `select`: waiting for input, output or a timer.
    Select,
    /// Running the callbacks that are ready.
    Ready,
}

/// One task.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    /// Its address.
    pub id: Address,
    /// Its name; `Task-7` for one whose name nobody has asked for yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// The loop it belongs to.
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    pub loop_id: Option<Address>,
    /// How far it is.
    #[serde(deserialize_with = "of_name", skip_serializing_if = "Option::is_none")]
    pub state: Option<TaskState>,
    /// Its class with the module, `_asyncio.Task`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Arc<str>>,
    /// The qualified name of its outermost coroutine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coroutine: Option<Arc<str>>,
    /// Its await chain, outermost first; for the running task down to where it is now.
    pub frames: Vec<Frame>,
    /// The request or job that it works for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<Arc<Work>>,
    /// What it asks of somebody else meanwhile: a request, a query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<Arc<Work>>,
    /// What its context says: trace, request, variables. Absent where it says nothing, and where it
    /// could not be read for certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Arc<Context>>,
    /// What it waits for; absent for a task that has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<Box<Waiting>>,
    /// The future it is parked on.
    #[serde(skip)]
    pub fut_waiter: Option<Address>,
    /// The tasks that wait for it, itself or through gather, shield, wait and their like.
    pub awaited_by: Vec<Address>,
    /// What is known of its cancellation; absent when nobody asked for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<Cancellation>,
    /// Where it most likely swallowed a cancellation, looked for when one was requested.
    #[serde(skip)]
    pub swallower: Option<Swallower>,
    /// What only findings rest on; absent where it was not asked for.
    #[serde(skip)]
    pub grounds: Option<Box<TaskGrounds>>,
    /// Whether it did not hold still while it was read; where its frames are uncertain for that,
    /// `problems` says so.
    #[serde(skip)]
    pub is_torn: bool,
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// It runs now.
    Running,
    /// Its next step is in the ready queue.
    Ready,
    /// It waits.
    Pending,
    /// It ended with a result.
    Done,
    /// It ended by cancellation.
    Cancelled,
    /// It ended with an exception.
    Failed,
}

impl TaskState {
    /// Whether the task has ended.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Failed)
    }
}

/// What is known of a task's cancellation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cancellation {
    /// How many requests are not taken back (`Task.cancelling()`); Python 3.11 and later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<u64>,
    /// Whether `CancelledError` will be thrown in at its next step.
    pub must_cancel: bool,
    /// Whether the future it waits for is cancelled and the task has not yet been told.
    pub in_flight: bool,
    /// The frame (index into `frames`) that handles a `CancelledError` right now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handling: Option<usize>,
    /// The message given to `cancel()`, where the interpreter keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Where a frame is: shared between all frames at the same instruction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// Qualified name of the function; the plain name where Python 3.10 and earlier keep no more.
    pub function: Arc<str>,
    /// File as the code object has it.
    pub file: Arc<str>,
    /// Line, from 1; absent for code without a line.
    pub line: Option<u32>,
    /// Column in bytes, from 0; Python 3.11 and later.
    pub column: Option<u32>,
    /// How its code begins in that file, to tell it from another file of that name.
    pub definition: Option<Definition>,
    /// Whose code it is.
    pub origin: Origin,
    /// How many bytes at the beginning of `file` are the folder of the library that it is of.
    pub root_len: u32,
    /// What is known of the function, if it is a library's.
    pub known: Known,
}

/// The beginning of a code object in its file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Definition {
    /// What the code itself is called, the last part of a qualified name; a coroutine may go by
    /// another, that of the function which it wraps.
    pub name: Arc<str>,
    /// The line of the first decorator, or of `def`, from 1.
    pub line: u32,
}

/// One frame of a coroutine, generator or function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where it is.
    pub location: Arc<Location>,
    /// Its local variables by name with their readable values, when asked for.
    pub locals: Option<Vec<(Arc<str>, String)>>,
}

impl Serialize for Frame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Locals<'a>(&'a [(Arc<str>, String)]);
        impl Serialize for Locals<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
            }
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("function", &self.location.function)?;
        map.serialize_entry("file", &self.location.file)?;
        if let Some(line) = self.location.line {
            map.serialize_entry("line", &line)?;
        }
        if let Some(column) = self.location.column {
            map.serialize_entry("column", &column)?;
        }
        map.serialize_entry("origin", &self.location.origin)?;
        if let Some(locals) = &self.locals {
            map.serialize_entry("locals", &Locals(locals))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Frame {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Document {
            function: Arc<str>,
            file: Arc<str>,
            line: Option<u32>,
            column: Option<u32>,
            #[serde(default, deserialize_with = "of_name")]
            origin: Option<Origin>,
            locals: Option<Entries<String>>,
        }
        let Document { function, file, line, column, origin, locals } =
            Document::deserialize(from)?;
        let location = Location { column, ..Location::by_path(function, file, line) };
        let origin = origin.unwrap_or(location.origin);
        let locals = locals.map(|Entries(all)| {
            all.into_iter().map(|(name, value)| (name.into(), value)).collect()
        });
        Ok(Self { location: Arc::new(Location { origin, ..location }), locals })
    }
}

/// A part of the snapshot that is missing or doubtful.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which thing it is about: `task 0x7f…`, `thread 4711`, `loop 0x7f…`.
    #[serde(rename = "where")]
    pub place: String,
    /// What was to be read.
    pub wanted: String,
    /// Why it was not.
    pub cause: String,
}

impl Problem {
    /// The cause of one about what ran while it was read.
    pub(crate) const CHANGED: &str = "changed while reading";

    /// The place of one about all the tasks that there was no memory for.
    pub(crate) const CUT: &str = "tasks";

    /// Whether it is about something that ran while it was read, all of which was there.
    pub fn is_of_change(&self) -> bool {
        self.cause == Self::CHANGED
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}
