//! Conclusions drawn from what was read.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::document::{of_known, of_name_or_least};
use super::evidence::{as_place, as_roles, of_place, of_roles};
use super::{Age, Cause, Evidence, Location, Members, Role, Sentence};
use crate::memory::Address;

/// A conclusion, with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which of the findings that stand together it is; [`FindingId::NONE`] until it is numbered.
    #[serde(default)]
    pub id: FindingId,
    /// What it says, as a stable name.
    pub code: Code,
    /// What the same trouble has in another sample, process, pod and day: made of names only.
    #[serde(default)]
    pub key: String,
    /// How bad it is.
    #[serde(deserialize_with = "of_name_or_least")]
    pub severity: Severity,
    /// How sure it is.
    #[serde(default, deserialize_with = "of_name_or_least")]
    pub sureness: Sureness,
    /// The finding it merely follows from; that one may have been left out since.
    pub because_of: Option<FindingId>,
    /// The conclusion in one sentence, with its numbers.
    pub title: Sentence,
    /// For how long it has been so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Age>,
    /// What it comes from.
    #[serde(default, deserialize_with = "of_known", skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Who plays which part in it.
    #[serde(
        default,
        serialize_with = "as_roles",
        deserialize_with = "of_roles",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub roles: Vec<Members>,
    /// The innermost line of the program's own that it comes from.
    #[serde(
        default,
        serialize_with = "as_place",
        deserialize_with = "of_place",
        skip_serializing_if = "Option::is_none"
    )]
    pub place: Option<Arc<Location>>,
    /// The process it is of, and whose loops and tasks it names, where that is one below the process
    /// that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The other processes with the same trouble, where several were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_in: Vec<i32>,
    /// The loop it is about.
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    pub loop_id: Option<Address>,
    /// The tasks it is about, the culprit first.
    #[serde(default)]
    pub tasks: Vec<Address>,
    /// How many more it is about, where there are too many to list.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tasks_left_out: u64,
    /// Facts, each with its place.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// What to change in the program.
    #[serde(default)]
    pub advice: String,
    /// The same in a few words, at most [`MAX_BRIEF`](Self::MAX_BRIEF) letters, where that is enough.
    #[serde(skip)]
    pub brief: String,
    /// Whether it is known and allowed: then it makes nothing worse.
    #[serde(rename = "allowed", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_allowed: bool,
    /// Where it is no more than a note because it was not seen for long enough.
    #[serde(skip)]
    pub pending: Option<Pending>,
}

impl Finding {
    /// So that any code fits beside it in 80 columns.
    pub const MAX_BRIEF: usize = 44;

    /// One that says no more than this.
    pub fn new(
        code: Code,
        severity: Severity,
        sureness: Sureness,
        title: impl Into<Sentence>,
    ) -> Self {
        let title = Sentence { is_guess: sureness == Sureness::Guessed, ..title.into() };
        Self {
            id: FindingId::NONE,
            code,
            key: code.as_str().to_owned(),
            severity,
            sureness,
            because_of: None,
            title,
            since: None,
            cause: None,
            roles: Vec::new(),
            place: None,
            pid: None,
            also_in: Vec::new(),
            loop_id: None,
            tasks: Vec::new(),
            tasks_left_out: 0,
            evidence: Vec::new(),
            advice: String::new(),
            brief: String::new(),
            is_allowed: false,
            pending: None,
        }
    }

    /// Those who play a part in it.
    pub fn role(&self, role: Role) -> Option<&Members> {
        self.roles.iter().find(|members| members.role == role)
    }

    /// How many play a part in it.
    pub fn count(&self, role: Role) -> u64 {
        self.role(role).map_or(0, |members| members.count)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The number of a finding among those that stand together: those of one snapshot, or those that
/// were found of a target over time. Shown as `f1`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FindingId(pub u64);

impl FindingId {
    /// That of a finding that does not stand with others yet.
    pub const NONE: Self = Self(0);
}

impl std::fmt::Display for FindingId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "f{}", self.0)
    }
}

impl Serialize for FindingId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FindingId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let number = text.strip_prefix('f').and_then(|number| number.parse().ok());
        number.map(Self).ok_or_else(|| serde::de::Error::custom("no number of a finding"))
    }
}

/// What may be a hang, for all that is known so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Who waits for what, in a few words.
    pub what: String,
    /// For how long it has stood still at least.
    pub seen_for: Duration,
}

/// How bad a finding is.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; healthy programs have such.
    Info,
    /// Something is wrong.
    #[default]
    Warning,
    /// The program, or a part of it, stands still.
    Critical,
}

/// How sure a finding is.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Sureness {
    /// By experience.
    #[default]
    Guessed,
    /// It follows from what was read.
    Derived,
    /// It was seen in memory.
    Read,
}

macro_rules! codes {
    ($dollar:tt $($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// What a finding says. Names are never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)+
            /// What only a newer version knows, which wrote the file that it is from.
            #[serde(rename = "other", other)]
            Other,
        }

        impl Code {
            /// All codes, as `aiospy explain` lists them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ Self::Other => "other" }
            }
        }

        /// Hands the names of all codes to another macro.
        #[doc(hidden)]
        #[macro_export]
        macro_rules! for_each_code {
            ($dollar then:ident) => { $dollar then! { $($text,)+ } };
        }
    };
}

codes! { $
    /// One callback has held the loop's thread for longer than the threshold.
    LoopBlocked = "loop-blocked",
    /// The loop's own thread waits for something only this loop can do.
    LoopSelfDeadlock = "loop-self-deadlock",
    /// A cancellation was delivered, and the task goes on as if nothing had happened.
    CancelSwallowed = "cancel-swallowed",
    /// A cancelled task is still in its clean-up and waits there.
    CleanupStuck = "cleanup-stuck",
    /// A cancellation was requested and the task has not run since.
    CancelUndelivered = "cancel-undelivered",
    /// The process is shutting down and something holds it.
    ShutdownStuck = "shutdown-stuck",
    /// A time limit is past while its body still runs.
    TimeoutOverdue = "timeout-overdue",
    /// Tasks wait for each other in a circle.
    Deadlock = "deadlock",
    /// Tasks wait for a lock whose holder waits for something slow.
    LockConvoy = "lock-convoy",
    /// A permit or lock is taken, tasks wait for it, and no live task holds it.
    PermitLeaked = "permit-leaked",
    /// All connections of a pool are out, and tasks wait for one.
    PoolExhausted = "pool-exhausted",
    /// Every thread of a pool is busy and work is queued.
    ExecutorSaturated = "executor-saturated",
    /// A task waits for one call in a thread that does not end.
    ExecutorJobStuck = "executor-job-stuck",
    /// Tasks wait at a queue for others that will not come.
    QueueStalled = "queue-stalled",
    /// A task waits for a future that nothing left in the process can resolve.
    OrphanWait = "orphan-wait",
    /// Something that belongs to one loop is waited for on another.
    CrossLoop = "cross-loop",
    /// The loop turns without ever sleeping and without progress.
    BusySpin = "busy-spin",
    /// Many callbacks wait for their turn.
    ReadyBacklog = "ready-backlog",
    /// A coroutine was made, is still referenced and was never started.
    NeverAwaited = "never-awaited",
    /// A task ended with an exception that nobody has looked at.
    ExceptionUnretrieved = "exception-unretrieved",
    /// A pending task that nothing but asyncio's registry refers to.
    TaskOrphaned = "task-orphaned",
    /// Asynchronous generators that are suspended with nobody iterating.
    AsyncgenOpen = "asyncgen-open",
    /// Callbacks blocked a loop again and again at the same place.
    SlowCallbacks = "slow-callbacks",
    /// One task awaited many calls one after the other.
    SequentialAwaits = "sequential-awaits",
    /// Tasks of one shape keep growing in number.
    TaskLeak = "task-leak",
    /// Two event loops run one inside the other on the same thread.
    NestedRun = "nested-run",
    /// The garbage collector holds the loop's thread.
    GcPause = "gc-pause",
    /// The cgroup's quota of processor time is used up again and again.
    PodThrottled = "pod-throttled",
    /// A freezer keeps every thread of the process from running.
    PodFrozen = "pod-frozen",
    /// A server waits for its application to start, and that does not come to its end.
    StartupStuck = "startup-stuck",
    /// Nothing in the process can ever wake it again.
    Standstill = "standstill",
    /// Something is ready to run, and its loop sleeps on.
    WakeupLost = "wakeup-lost",
    /// Tasks wait for the answer of a far end that has not sent a byte since it was asked.
    PeerSilent = "peer-silent",
    /// Bytes lie in a socket where nobody takes them, and a task waits for that.
    SocketStalled = "socket-stalled",
    /// A task waits for a child process that cannot go on, or that has ended.
    SubprocessStuck = "subprocess-stuck",
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
