//! What can go wrong for a caller of the library: one variant per thing a caller can act on.
//!
//! Errors are data, not advice; the words for a person (cause and remedy) live in the front end.
//! What fails for one task or one thread is no [`Error`]: it becomes a
//! [`Problem`](crate::snapshot::Problem) in the snapshot.

use std::io;
use std::time::Duration;

use crate::memory::{Address, Fault};

/// Why a target could not be attached to or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no process with this id in this pid namespace.
    #[error("no process {pid}")]
    NoSuchProcess {
        /// The id asked for.
        pid: i32,
        /// A process elsewhere whose id in its *own* pid namespace is `pid`, if there is just one.
        namespace_match: Option<i32>,
    },
    /// The kernel refuses to let us read the target.
    #[error("not permitted to read process {pid}")]
    NotPermitted {
        /// The target.
        pid: i32,
        /// Facts that decide about the permission, read from both processes.
        access: Box<Access>,
    },
    /// The process runs no Python that can be seen.
    #[error("process {pid} ({exe}) is not a Python process")]
    NotPython {
        /// The target.
        pid: i32,
        /// Its executable, or its command name.
        exe: String,
    },
    /// A Python is there, but none that we know how to read.
    #[error("Python {version} is not supported ({reason})")]
    UnsupportedVersion {
        /// The target.
        pid: i32,
        /// The version as far as it is known: `3.7`, `2.7`, `3.13.1 free-threaded`.
        version: String,
        /// Why: below the supported range, free-threaded, tables not valid.
        reason: String,
    },
    /// The interpreter's main structure was not found or is not believable.
    #[error("the Python runtime of process {pid} was not found: {reason}")]
    RuntimeNotFound {
        /// The target.
        pid: i32,
        /// Which step failed and what was read.
        reason: String,
    },
    /// The runtime is there, but its first interpreter is not ready yet or already taken down.
    #[error("the Python in process {pid} is {phase}")]
    NotInitialized {
        /// The target.
        pid: i32,
        /// `starting` or `ending`.
        phase: &'static str,
    },
    /// `asyncio` was never imported in the target.
    #[error("process {pid} has not imported asyncio")]
    NoAsyncio {
        /// The target.
        pid: i32,
    },
    /// The process ended, or another process has taken over its id.
    #[error("process {pid} ended")]
    TargetGone {
        /// The target.
        pid: i32,
    },
    /// It was not read in the time that was given for it.
    #[error("process {pid} could not be read within {limit:?}")]
    TimedOut {
        /// The target.
        pid: i32,
        /// How long it might take.
        limit: Duration,
    },
    /// A part that everything else depends on could not be read.
    #[error("can't read {wanted}")]
    Memory {
        /// What was to be read, as a noun.
        wanted: &'static str,
        /// The failed read.
        #[source]
        fault: Fault,
    },
    /// A part that everything else depends on is there but not believable.
    #[error("{wanted} at {at} is not believable: {reason}")]
    BadData {
        /// What was to be read, as a noun.
        wanted: &'static str,
        /// Where it was read.
        at: Address,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of `/proc` could not be read.
    #[error("can't read {path}")]
    Proc {
        /// The file.
        path: String,
        /// The system's own error.
        #[source]
        source: io::Error,
    },
}

/// The facts that decide whether one process may read another's memory.
///
/// `None` means that the fact itself could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Our effective user id.
    pub our_uid: Option<u32>,
    /// The target's effective user id.
    pub target_uid: Option<u32>,
    /// Our effective group id.
    pub our_gid: Option<u32>,
    /// The target's group id: of its real, effective and saved one the first that is not ours.
    pub target_gid: Option<u32>,
    /// Whether the target may be dumped, as far as the owner of its files in `/proc` tells.
    pub is_dumpable: Option<bool>,
    /// Whether `/proc` hides it from us (`hidepid`).
    pub is_hidden: bool,
    /// Security modules that are active and may refuse it by rules of their own.
    pub security_modules: Vec<String>,
    /// Whether we hold `CAP_SYS_PTRACE`.
    pub has_ptrace_capability: Option<bool>,
    /// Capabilities the target may use that we lack, as a bit mask.
    pub missing_capabilities: Option<u64>,
    /// `kernel.yama.ptrace_scope`, absent on kernels without Yama.
    pub yama_scope: Option<u8>,
    /// Whether we and the target share a user namespace.
    pub same_user_namespace: Option<bool>,
    /// Whether a seccomp filter applies to us (`Seccomp: 2`).
    pub seccomp_filter: Option<bool>,
    /// The error number of the refused call.
    pub errno: Option<i32>,
}

impl Access {
    /// The facts in words, one line each.
    pub fn facts(&self) -> Vec<String> {
        let id = |id: Option<u32>| id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        let both =
            |what: &str, ours, theirs| format!("{what}: ours {}, its {}", id(ours), id(theirs));
        let mut facts = vec![
            both("uid", self.our_uid, self.target_uid),
            both("gid", self.our_gid, self.target_gid),
        ];
        let mut add = |what: &str, value: Option<String>| {
            facts.extend(value.map(|value| format!("{what}: {value}")));
        };
        let word = |is: bool| if is { "yes" } else { "no" }.to_owned();
        add("hidden by /proc (hidepid)", self.is_hidden.then(|| word(true)));
        add("dumpable", self.is_dumpable.map(word));
        add("CAP_SYS_PTRACE here", self.has_ptrace_capability.map(word));
        let missing = self.missing_capabilities.filter(|missing| *missing != 0);
        add("capabilities it has and we lack", missing.map(|mask| format!("{mask:#x}")));
        add("kernel.yama.ptrace_scope", self.yama_scope.map(|scope| scope.to_string()));
        add("same user namespace", self.same_user_namespace.map(word));
        add("seccomp filter here", self.seccomp_filter.map(word));
        let modules = &self.security_modules;
        add("security modules", (!modules.is_empty()).then(|| modules.join(", ")));
        add("errno", self.errno.map(|errno| errno.to_string()));
        facts
    }
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
