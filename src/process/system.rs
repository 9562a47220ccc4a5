//! What is asked of the operating system about a target beside its memory.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{
    Activity, ChildFacts, MappedFile, Mapping, Module, ReadBytes, Resident, SourceFile, Target,
    ThreadActivity, ThreadFacts, Wait, Wakers,
};
use crate::error::Result;
use crate::memory::{Address, ReadMemory};
use crate::snapshot::{Cgroup, PipeHolder, PipeWriter, Process, Socket};

/// What a descriptor is: in words, and as a socket where it is one.
pub type Described = (String, Option<Socket>);

/// System calls, with what they wait for, by thread.
pub type Syscalls = BTreeMap<i32, Wait>;

/// Where symbols and sections of one of the target's files lie in its memory.
pub trait Symbols: Debug {
    /// The file, as the target sees it.
    fn path(&self) -> &Path;
    /// The address of an exported symbol.
    fn exported(&self, name: &str) -> Option<Address>;
    /// The addresses of a loaded section.
    fn section(&self, name: &str) -> Option<Range<u64>>;
    /// The names of the libraries that the loader maps for it before it runs.
    fn needed(&self) -> Vec<String>;
    /// The name of the function that an address lies in, as far as a symbol gives it; that is not
    /// saved.
    fn function_at(&self, _at: Address) -> Option<String> {
        None
    }
}

impl Symbols for Module {
    fn path(&self) -> &Path {
        &self.path
    }

    fn exported(&self, name: &str) -> Option<Address> {
        self.exported(name)
    }

    fn section(&self, name: &str) -> Option<Range<u64>> {
        self.section(name)
    }

    fn needed(&self) -> Vec<String> {
        self.needed()
    }

    fn function_at(&self, at: Address) -> Option<String> {
        self.function_at(at)
    }
}

/// The system's side of a target: the living one, or what was saved of it.
pub trait System: Debug + Send {
    /// Its process id.
    fn pid(&self) -> i32;
    /// Whether it is a process, not what was saved of one.
    fn is_live(&self) -> bool;
    /// Another look begins.
    fn begin_look(&mut self) {}
    /// It is over: what is asked from here on is no part of any.
    fn end_look(&mut self) {}
    /// Whether another look can see something else.
    fn has_next_look(&self) -> bool {
        true
    }
    /// Whether it is still the same run of the same program.
    ///
    /// # Errors
    /// `TargetGone`.
    fn check_alive(&self) -> Result<()>;
    /// The facts of the process; nothing of Python is filled in.
    fn process(&self) -> Process;
    /// Its memory map.
    ///
    /// # Errors
    /// When it cannot be read.
    fn maps(&self) -> Result<Vec<Mapping>>;
    /// The private memory that it may write to, as far as that is there; `None` where that is not
    /// known.
    fn resident(&self) -> Option<Resident> {
        None
    }
    /// The mapped files of a map, the main program first.
    fn files(&self, maps: &[Mapping]) -> Vec<MappedFile>;
    /// A mapped file for look-ups; `memory` is the last resort.
    fn module(&self, file: &MappedFile, memory: &dyn ReadMemory) -> Option<Box<dyn Symbols>>;
    /// Notes that the runtime was found in a file.
    fn found_runtime(&self, _file: &Path, _at: Address) {}
    /// Our clock, for people.
    fn wall_clock(&self) -> Timestamp {
        Timestamp::now()
    }
    /// What its control groups allow it.
    fn cgroup(&self) -> Cgroup;
    /// Its threads: first the main thread, then the others by id.
    fn threads(&self) -> Vec<ThreadFacts>;
    /// One of them.
    fn thread(&self, tid: i32) -> Option<ThreadFacts>;
    /// What each thread does now.
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
    /// How long ago the last byte from each of the given far ends arrived.
    fn heard_from(&self, peers: &[Arc<str>]) -> BTreeMap<Arc<str>, Duration>;
    /// What the given children do, by their ids as the target knows them.
    fn children(&self, pids: &[i32]) -> BTreeMap<i32, ChildFacts>;
    /// Who of a child, by its id as the target knows it, and those below it waits for room in a pipe
    /// that it was given: `(number in the child, descriptor of our end)`.
    fn writer(&self, pid: i32, pipes: &[(i32, i32)]) -> Option<PipeWriter>;
    /// The other processes that have an end of the pipe that is this descriptor.
    fn pipe_holders(&self, fd: i32) -> Vec<PipeHolder>;
    /// What can end a wait for the events of an epoll descriptor.
    fn wakers(&self, epoll: i32) -> Option<Wakers>;
    /// `CLOCK_MONOTONIC` as the target reads it now.
    ///
    /// # Errors
    /// When the offset of its time namespace cannot be known.
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

    fn maps(&self) -> Result<Vec<Mapping>> {
        self.maps()
    }

    fn resident(&self) -> Option<Resident> {
        self.resident()
    }

    fn files(&self, maps: &[Mapping]) -> Vec<MappedFile> {
        self.files(maps)
    }

    fn module(&self, file: &MappedFile, memory: &dyn ReadMemory) -> Option<Box<dyn Symbols>> {
        self.module(file, memory).ok().map(|module| Box::new(module) as Box<dyn Symbols>)
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

    fn heard_from(&self, peers: &[Arc<str>]) -> BTreeMap<Arc<str>, Duration> {
        self.descriptors().heard_from(peers)
    }

    fn children(&self, pids: &[i32]) -> BTreeMap<i32, ChildFacts> {
        pids.iter().filter_map(|&pid| Some((pid, self.child(pid)?))).collect()
    }

    fn writer(&self, pid: i32, pipes: &[(i32, i32)]) -> Option<PipeWriter> {
        self.writer(pid, pipes)
    }

    fn pipe_holders(&self, fd: i32) -> Vec<PipeHolder> {
        self.pipe_holders(fd)
    }

    fn wakers(&self, epoll: i32) -> Option<Wakers> {
        self.wakers(epoll)
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
