//! What a snapshot asks of the operating system beside the target's memory.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Activity, ChildFacts, ReadBytes, SourceFile, Target, ThreadActivity, ThreadFacts, Wait,
};
use crate::error::Result;
use crate::known::Libraries;
use crate::snapshot::{Cgroup, Process, Snapshot, Socket};

/// What a descriptor is: in words, and as a socket where it is one.
pub(crate) type Described = (String, Option<Socket>);

/// System calls, with what they wait for, by thread.
pub(crate) type Syscalls = BTreeMap<i32, Wait>;

/// The system's side of a target: the living one, or what was saved of it.
pub(crate) trait System: Debug + Send {
    fn pid(&self) -> i32;
    /// Whether it can have changed by the next look.
    fn is_live(&self) -> bool;
    fn check_alive(&self) -> Result<()>;
    fn process(&self) -> Process;
    /// What its control groups allow it.
    fn cgroup(&self) -> Cgroup;
    fn threads(&self) -> Vec<ThreadFacts>;
    /// One of them.
    fn thread(&self, tid: i32) -> Option<ThreadFacts>;
    fn activity(&self) -> Activity;
    /// What one thread does.
    fn thread_activity(&self, tid: i32) -> Option<ThreadActivity>;
    /// How often one thread went to sleep by itself.
    fn sleeps(&self, tid: i32) -> Option<u64>;
    /// For how long at least the given threads have been asleep.
    fn asleep_for(&self, tids: &[i32]) -> BTreeMap<i32, Duration>;
    /// The system calls the given threads are in, and what those wait for.
    fn syscalls(&self, tids: &[i32], read: ReadBytes<'_>) -> Syscalls;
    /// What the given descriptors are.
    fn descriptors(&self, fds: &[i32]) -> BTreeMap<i32, Described>;
    /// What the given children do, by their ids as the target knows them.
    fn children(&self, pids: &[i32]) -> BTreeMap<i32, ChildFacts>;
    fn monotonic_now(&self) -> Result<Duration>;
    /// How old the process is.
    fn age(&self) -> Option<Duration>;
    /// How many bytes the process has moved so far.
    fn bytes_moved(&self) -> Option<u64>;
    /// Its id as it knows it itself.
    fn own_pid(&self) -> i32 {
        let process = self.process();
        process.namespace_pid.unwrap_or(process.pid)
    }
    /// The second of its `CLOCK_MONOTONIC` by which it had begun.
    fn born_by(&self) -> Option<f64>;
    /// The process that it is a copy of, as far as that is there.
    fn forked_from(&self) -> Option<i32>;
    /// What is installed in a folder: `aiohttp` and `six.py`.
    fn installed(&self, folder: &str) -> Vec<Arc<str>>;
    /// The text of a source file that the target's code names, if it can be read and is what runs.
    fn source(&self, path: &str) -> Option<Arc<str>>;
}

impl System for Target {
    fn pid(&self) -> i32 {
        self.pid()
    }

    fn is_live(&self) -> bool {
        true
    }

    fn check_alive(&self) -> Result<()> {
        self.check_alive()
    }

    fn process(&self) -> Process {
        self.process()
    }

    fn cgroup(&self) -> Cgroup {
        self.cgroup()
    }

    fn threads(&self) -> Vec<ThreadFacts> {
        self.threads()
    }

    fn thread(&self, tid: i32) -> Option<ThreadFacts> {
        self.thread_facts(tid)
    }

    fn activity(&self) -> Activity {
        self.activity()
    }

    fn thread_activity(&self, tid: i32) -> Option<ThreadActivity> {
        self.thread_activity(tid)
    }

    fn sleeps(&self, tid: i32) -> Option<u64> {
        self.sleeps(tid)
    }

    fn asleep_for(&self, tids: &[i32]) -> BTreeMap<i32, Duration> {
        self.asleep_for(tids)
    }

    fn syscalls(&self, tids: &[i32], read: ReadBytes<'_>) -> Syscalls {
        let descriptors = self.descriptors();
        let call = |&tid: &i32| Some((tid, descriptors.wait(tid, read)?));
        tids.iter().filter_map(call).collect()
    }

    fn descriptors(&self, fds: &[i32]) -> BTreeMap<i32, Described> {
        let descriptors = self.descriptors();
        let describe = |&fd: &i32| Some((fd, descriptors.identify(fd)?));
        fds.iter().filter_map(describe).collect()
    }

    fn children(&self, pids: &[i32]) -> BTreeMap<i32, ChildFacts> {
        pids.iter().filter_map(|&pid| Some((pid, self.child(pid)?))).collect()
    }

    fn monotonic_now(&self) -> Result<Duration> {
        self.monotonic_now()
    }

    fn age(&self) -> Option<Duration> {
        self.age()
    }

    fn bytes_moved(&self) -> Option<u64> {
        self.bytes_moved()
    }

    fn own_pid(&self) -> i32 {
        self.namespace_pid().unwrap_or(self.pid())
    }

    fn born_by(&self) -> Option<f64> {
        self.born_by().map(|born| born.as_secs_f64())
    }

    fn forked_from(&self) -> Option<i32> {
        self.forked_from()
    }

    fn installed(&self, folder: &str) -> Vec<Arc<str>> {
        self.installed(folder)
    }

    fn source(&self, path: &str) -> Option<Arc<str>> {
        match self.source(path) {
            SourceFile::Text(text) => Some(text),
            SourceFile::Changed | SourceFile::Absent => None,
        }
    }
}

/// What the system said of a target at one moment.
#[derive(Debug, Clone)]
pub(crate) struct SavedSystem {
    process: Process,
    cgroup: Cgroup,
    threads: Vec<ThreadFacts>,
    activity: Activity,
    syscalls: Syscalls,
    descriptors: BTreeMap<i32, Described>,
    children: BTreeMap<i32, ChildFacts>,
    now: Duration,
    age: Option<Duration>,
    born_by: Option<f64>,
    forked_from: Option<i32>,
    libraries: Arc<Libraries>,
}

impl SavedSystem {
    /// What it says now, of the descriptors and children that a snapshot was about.
    pub(crate) fn of(
        system: &dyn System,
        snapshot: &Snapshot,
        libraries: Arc<Libraries>,
        read: ReadBytes<'_>,
    ) -> Result<Self> {
        let threads = system.threads();
        let tids: Vec<i32> = threads.iter().map(|thread| thread.tid).collect();
        let waits = || snapshot.tasks.iter().filter_map(|task| task.waiting_on.as_deref());
        let fds: Vec<i32> = waits().filter_map(|waiting| waiting.fd).collect();
        let pids: Vec<i32> = waits().filter_map(|waiting| waiting.pid).collect();
        Ok(Self {
            process: system.process(),
            cgroup: system.cgroup(),
            activity: system.activity(),
            syscalls: system.syscalls(&tids, read),
            descriptors: system.descriptors(&fds),
            children: system.children(&pids),
            now: system.monotonic_now()?,
            age: system.age(),
            born_by: system.born_by(),
            forked_from: system.forked_from(),
            libraries,
            threads,
        })
    }
}

impl System for SavedSystem {
    fn pid(&self) -> i32 {
        self.process.pid
    }

    fn is_live(&self) -> bool {
        false
    }

    fn check_alive(&self) -> Result<()> {
        Ok(())
    }

    fn process(&self) -> Process {
        self.process.clone()
    }

    fn cgroup(&self) -> Cgroup {
        self.cgroup.clone()
    }

    fn threads(&self) -> Vec<ThreadFacts> {
        self.threads.clone()
    }

    fn thread(&self, tid: i32) -> Option<ThreadFacts> {
        self.threads.iter().find(|facts| facts.tid == tid).cloned()
    }

    fn activity(&self) -> Activity {
        self.activity.clone()
    }

    fn thread_activity(&self, tid: i32) -> Option<ThreadActivity> {
        self.activity.thread(tid).cloned()
    }

    fn sleeps(&self, _tid: i32) -> Option<u64> {
        None
    }

    fn asleep_for(&self, _tids: &[i32]) -> BTreeMap<i32, Duration> {
        BTreeMap::new()
    }

    fn syscalls(&self, _tids: &[i32], _read: ReadBytes<'_>) -> Syscalls {
        self.syscalls.clone()
    }

    fn descriptors(&self, _fds: &[i32]) -> BTreeMap<i32, Described> {
        self.descriptors.clone()
    }

    fn children(&self, _pids: &[i32]) -> BTreeMap<i32, ChildFacts> {
        self.children.clone()
    }

    fn monotonic_now(&self) -> Result<Duration> {
        Ok(self.now)
    }

    fn age(&self) -> Option<Duration> {
        self.age
    }

    fn bytes_moved(&self) -> Option<u64> {
        None
    }

    fn born_by(&self) -> Option<f64> {
        self.born_by
    }

    fn forked_from(&self) -> Option<i32> {
        self.forked_from
    }

    fn installed(&self, folder: &str) -> Vec<Arc<str>> {
        self.libraries.installed(folder)
    }

    fn source(&self, _path: &str) -> Option<Arc<str>> {
        None
    }
}
