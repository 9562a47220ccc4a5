//! The threads of the target: what the kernel calls them, and whether any of them has run since.
//!
//! An [`Activity`] tells two readings of a target at rest from two readings of a target that moved
//! in between, without stopping it. A thread has executed nothing if it was asleep at both ends
//! with the same system call, stack and program counter, and was not once put on a processor in
//! between, by the scheduler's own count. The kernel proves the sleep: it prints the call only
//! of a thread that is off the processor, and checks so twice. (The state letter alone does not do:
//! it is set some time before the thread is switched away.) What cannot be read counts as "ran".
//!
//! Nothing here can tell that *another process* writes to the target's memory: shared memory, or
//! the child of a `vfork` before its `exec`.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::PoisonError;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::proc::{MAX_STATUS, Stat, Status};
use super::syscall::{Call, WokenBy};
use super::{Target, from_ticks};
use crate::memory::Address;
use crate::snapshot::ThreadState;

/// A process with more has not been seen; the kernel's default for the whole machine is 32,768
/// or less per GiB of memory.
const MAX_THREADS: usize = 65_536;
/// Threads whose files stay open: two each, of the 1,024 files a process may have by default.
const MAX_KEPT: usize = 128;

/// What the kernel knows of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadFacts {
    /// Its id as we see it.
    pub tid: i32,
    /// Its id in the target's own pid namespace, when that is another one: the number that
    /// the target itself stores.
    pub namespace_tid: Option<i32>,
    /// The kernel's name for it.
    pub name: String,
    /// What it does.
    pub state: ThreadState,
    /// The processor time it has used, its own and the kernel's for it, to 10 ms.
    pub cpu_time: Option<Duration>,
}

/// What a thread does at a moment, for a comparison with later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadActivity {
    /// Its id as we see it.
    pub tid: i32,
    /// The processor time it has used, current to its last sleep; absent on kernels that do not
    /// count it.
    pub processor_time: Option<Duration>,
    /// The time it has waited for a processor, as far as these waits are over; absent as that.
    pub waiting_time: Option<Duration>,
    /// The `syscall` file's line, number, arguments, stack and program counter.
    line: Option<Box<str>>,
    /// In place of the line where that is not to be had.
    state: Option<ThreadState>,
    runs: Runs,
}

/// How often a thread was put on a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Runs {
    /// By `schedstat`.
    Scheduled(u64),
    /// By `status`: voluntary and other context switches.
    Switches(u64, u64),
    Unknown,
}

impl ThreadActivity {
    /// Whether it was asleep, or stopped.
    pub fn is_asleep(&self) -> bool {
        match &self.line {
            Some(line) => !matches!(Call::parse(line.as_bytes()), Some(Call::Running) | None),
            None => matches!(
                self.state,
                Some(
                    ThreadState::Sleeping
                        | ThreadState::Uninterruptible
                        | ThreadState::Stopped
                        | ThreadState::Traced
                )
            ),
        }
    }

    /// A number that is the same as long as the thread sleeps in one and the same wait.
    pub fn sleep_id(&self) -> Option<u64> {
        match self.runs {
            _ if !self.is_asleep() => None,
            Runs::Scheduled(times) => Some(times),
            Runs::Switches(own, others) => Some(own.wrapping_add(others)),
            Runs::Unknown => None,
        }
    }

    /// What alone can wake it, where that is known: a signal aside.
    pub fn woken_by(&self) -> Option<WokenBy> {
        Call::parse(self.line.as_ref()?.as_bytes())?.woken_by()
    }

    /// Its stack pointer and program counter, where it sleeps and the kernel tells them.
    pub fn registers(&self) -> Option<(Address, Address)> {
        let mut words = self.line.as_ref()?.split_ascii_whitespace().rev();
        let mut hex = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        let (counter, stack) = (hex()?, hex()?);
        Some((Address(stack), Address(counter)))
    }

    /// Whether it sleeps in a poll of the descriptor `fd` of epoll.
    pub fn polls(&self, fd: i32) -> bool {
        self.syscall().is_some_and(|(name, of)| name.starts_with("epoll_") && of == Some(fd))
    }

    /// How long it has not been asleep between this reading and the `later` one: it ran, or waited
    /// for a processor. The kernel counts the time of one that runs by its ticks, some milliseconds
    /// apart; `None` where it counts nothing.
    pub fn awake_until(&self, later: &Self) -> Option<Duration> {
        let ran = self.ran_until(later)?;
        Some(ran + later.waiting_time?.saturating_sub(self.waiting_time?))
    }

    /// How long it has run between this reading and the `later` one, at least.
    pub fn ran_until(&self, later: &Self) -> Option<Duration> {
        Some(later.processor_time?.saturating_sub(self.processor_time?))
    }

    /// One that ran for `ran` ms in all when it was seen in `line`.
    #[cfg(test)]
    pub(crate) fn seen(line: &str, ran: u64) -> Self {
        Self {
            tid: 1,
            processor_time: Some(Duration::from_millis(ran)),
            waiting_time: Some(Duration::ZERO),
            line: Some(line.into()),
            state: None,
            runs: Runs::Scheduled(1),
        }
    }

    /// Whether the thread existed.
    fn is_there(&self) -> bool {
        self.line.is_some() || self.state.is_some()
    }

    /// Whether it certainly executed nothing between this reading and the `later` one.
    pub fn did_not_run_until(&self, later: &Self) -> bool {
        self.is_asleep() && self.runs != Runs::Unknown && self == later
    }

    /// The name of the system call it was in, and the descriptor that is about.
    pub fn syscall(&self) -> Option<(String, Option<i32>)> {
        Call::parse(self.line.as_ref()?.as_bytes())?.describe()
    }
}

/// What all threads of a target do at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// By ascending id.
    threads: Vec<ThreadActivity>,
    /// Whether the list is known to hold all threads.
    is_complete: bool,
}

impl Activity {
    /// That nothing is known of any thread.
    pub(super) fn unknown() -> Self {
        Self { threads: Vec::new(), is_complete: false }
    }

    /// Whether certainly no thread of the target executed anything between this reading and the
    /// `later` one.
    pub fn nothing_ran_until(&self, later: &Self) -> bool {
        self.is_complete
            && later.is_complete
            && self.threads.len() == later.threads.len()
            && self.threads.iter().zip(&later.threads).all(|(a, b)| a.did_not_run_until(b))
    }

    /// One thread.
    pub fn thread(&self, tid: i32) -> Option<&ThreadActivity> {
        let at = self.threads.binary_search_by_key(&tid, |thread| thread.tid).ok()?;
        self.threads.get(at)
    }

    /// All threads, by ascending id.
    pub fn threads(&self) -> &[ThreadActivity] {
        &self.threads
    }
}

/// The files of a thread that are read again and again.
#[derive(Debug)]
struct ThreadFiles {
    syscall: Option<File>,
    schedstat: Option<File>,
}

/// What is kept from one [`Target::activity`] to the next.
#[derive(Debug, Default)]
pub(super) struct ThreadCache {
    ids: Vec<i32>,
    files: FxHashMap<i32, ThreadFiles>,
}

impl Target {
    /// The target's threads: first the main thread, then the others by id.
    ///
    /// Threads that end meanwhile are left out.
    pub fn threads(&self) -> Vec<ThreadFacts> {
        let tids = self.thread_ids();
        let mut facts: Vec<_> = tids.iter().filter_map(|&tid| self.thread_facts(tid)).collect();
        facts.sort_by_key(|thread| (thread.tid != self.pid, thread.tid));
        facts
    }

    /// One thread; `None` when it has ended.
    pub fn thread_facts(&self, tid: i32) -> Option<ThreadFacts> {
        let stat = Stat::parse(&self.dir.read(&format!("task/{tid}/stat"), 4096).ok()?)?;
        let namespace_tid = self
            .namespace_pid
            .and_then(|_| self.dir.read(&format!("task/{tid}/status"), MAX_STATUS).ok())
            .and_then(|status| Status::from(status).namespace_pid());
        Some(ThreadFacts {
            tid,
            namespace_tid,
            name: stat.comm,
            state: stat.state,
            cpu_time: from_ticks(stat.processor_time),
        })
    }

    /// By ascending id; empty when the target is gone.
    pub(super) fn thread_ids(&self) -> Vec<i32> {
        let Ok(entries) = std::fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return Vec::new();
        };
        let mut ids: Vec<i32> = entries
            .take(MAX_THREADS)
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// By the links of the directory of threads: one for each and two of its own.
    pub(super) fn thread_count(&self) -> Option<u64> {
        self.tasks.metadata().ok()?.nlink().checked_sub(2)
    }

    /// What each thread does now.
    ///
    /// Takes 3.3 µs for each of the first 128 threads (17 µs the first time), 13 µs for each
    /// further one, with Linux 6.18 at 2.6 GHz.
    pub fn activity(&self) -> Activity {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut activity = Activity { threads: Vec::new(), is_complete: false };
        // A thread that started while the list was read may be missing in it. The directory
        // has a link for each thread: if all of the list are there and their number agrees,
        // none is. That holds for the list of last time too, which saves reading it again.
        for attempt in 0..4 {
            if attempt > 0 || kept.ids.is_empty() {
                kept.ids = self.thread_ids();
            }
            activity.threads = self.activity_of(&mut kept);
            activity.is_complete = self.thread_count() == Some(kept.ids.len() as u64)
                && activity.threads.iter().all(ThreadActivity::is_there);
            if activity.is_complete {
                break;
            }
        }
        activity
    }

    /// What one thread does now; `None` when there is none with this id.
    ///
    /// Takes 3.3 µs, as one of [`activity`](Self::activity).
    pub fn thread_activity(&self, tid: i32) -> Option<ThreadActivity> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Some(self.activity_by(tid, &mut kept.files)).filter(ThreadActivity::is_there)
    }

    fn activity_of(&self, kept: &mut ThreadCache) -> Vec<ThreadActivity> {
        let ThreadCache { ids, files } = kept;
        files.retain(|tid, _| ids.binary_search(tid).is_ok());
        ids.iter().map(|&tid| self.activity_by(tid, files)).collect()
    }

    fn activity_by(&self, tid: i32, files: &mut FxHashMap<i32, ThreadFiles>) -> ThreadActivity {
        if let Some(open) = files.get(&tid) {
            let activity = self.activity_from(tid, open);
            if activity.is_there() {
                return activity;
            }
            // Its id may have been given to a new thread.
            files.remove(&tid);
        }
        let open = |name| self.dir.file(&format!("task/{tid}/{name}")).ok();
        let open = ThreadFiles { syscall: open("syscall"), schedstat: open("schedstat") };
        let activity = self.activity_from(tid, &open);
        if files.len() < MAX_KEPT {
            files.insert(tid, open);
        }
        activity
    }

    fn activity_from(&self, tid: i32, files: &ThreadFiles) -> ThreadActivity {
        let mut buffer = [0; 512];
        let line = files.syscall.as_ref().and_then(|file| read_again(file, &mut buffer).ok());
        // Of the thread that asks the file tells the very call that reads it.
        let is_asking = tid == nix::unistd::gettid().as_raw();
        let line = line
            .map(|line| if is_asking { b"running" } else { line })
            .and_then(|line| std::str::from_utf8(line).ok())
            .filter(|line| !line.is_empty())
            .map(Box::from);
        // Not to be had: no permission (but then memory is not to be had either), or a kernel
        // without it.
        let state = match &line {
            Some(_) => None,
            None => self
                .dir
                .read(&format!("task/{tid}/stat"), 4096)
                .ok()
                .and_then(|text| Some(Stat::parse(&text)?.state)),
        };
        let counts = files
            .schedstat
            .as_ref()
            .and_then(|file| read_again(file, &mut buffer).ok())
            .and_then(parse_schedstat);
        let runs = match counts {
            Some(counts) => Runs::Scheduled(counts.times),
            None => self.switches(tid).map_or(Runs::Unknown, |(own, all)| Runs::Switches(own, all)),
        };
        let processor_time = counts.map(|counts| counts.ran);
        let waiting_time = counts.map(|counts| counts.waited);
        ThreadActivity { tid, processor_time, waiting_time, line, state, runs }
    }

    /// How often a thread went to sleep by itself.
    pub fn sleeps(&self, tid: i32) -> Option<u64> {
        self.switches(tid).map(|(own, _)| own)
    }

    /// Its context switches: its own, and those that it was made to do.
    fn switches(&self, tid: i32) -> Option<(u64, u64)> {
        let status = Status::from(self.dir.read(&format!("task/{tid}/status"), MAX_STATUS).ok()?);
        let own = status.number("voluntary_ctxt_switches")?;
        Some((own, status.number("nonvoluntary_ctxt_switches")?))
    }
}

/// Reads a file of `/proc` from its beginning, which makes its content anew.
fn read_again<'a>(file: &File, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let len = file.read_at(buffer, 0)?;
    Ok(buffer.get(..len).unwrap_or_default())
}

/// What the scheduler counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    ran: Duration,
    waited: Duration,
    /// How often it was put on a processor.
    times: u64,
}

/// Parses `TIME_ON_PROCESSOR TIME_WAITING TIMES_SCHEDULED`.
///
/// A thread that exists has been scheduled at least once: a zero says that nobody counts.
fn parse_schedstat(line: &[u8]) -> Option<Counts> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace().map(str::parse);
    let mut number = || words.next()?.ok();
    let (ran, waited) = (number()?, number()?);
    let times = number().filter(|&times: &u64| times > 0)?;
    Some(Counts { ran: Duration::from_nanos(ran), waited: Duration::from_nanos(waited), times })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn own() -> Target {
        Target::open(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    fn asleep(tid: i32, count: u64) -> ThreadActivity {
        ThreadActivity {
            tid,
            processor_time: None,
            waiting_time: None,
            line: Some("202 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n".into()),
            state: None,
            runs: Runs::Scheduled(count),
        }
    }

    fn all(threads: Vec<ThreadActivity>) -> Activity {
        Activity { threads, is_complete: true }
    }

    #[test]
    fn schedstat_lines() {
        let (ran, waited) = (Duration::from_nanos(1_130_901), Duration::from_nanos(52));
        assert_eq!(parse_schedstat(b"1130901 52 7\n"), Some(Counts { ran, waited, times: 7 }));
        assert_eq!(parse_schedstat(b"0 0 0\n"), None);
        assert_eq!(parse_schedstat(b"12\n"), None);
    }

    #[test]
    fn registers_of_one_that_sleeps() {
        let registers = |line: &str| ThreadActivity::seen(line, 1).registers();
        let known = Some((Address(0x7ff0), Address(0x55c0)));
        assert_eq!(registers("202 0x1 0x2 0x3 0x4 0x5 0x6 0x7ff0 0x55c0\n"), known);
        assert_eq!(registers("-1 0x7ff0 0x55c0\n"), known, "in no system call");
        assert_eq!(registers("running\n"), None);
        assert_eq!(registers("202 7 8\n"), None);
    }

    #[test]
    fn rest_is_told_from_motion() {
        let rest = all(vec![asleep(1, 5), asleep(2, 9)]);
        assert!(rest.nothing_ran_until(&rest.clone()));
        assert!(!rest.nothing_ran_until(&all(vec![asleep(1, 5), asleep(2, 10)])));
        assert!(!rest.nothing_ran_until(&all(vec![asleep(1, 5)])));
        assert!(!rest.nothing_ran_until(&all(vec![asleep(1, 5), asleep(3, 9)])));
        let incomplete = Activity { is_complete: false, ..rest.clone() };
        assert!(!incomplete.nothing_ran_until(&incomplete.clone()));
        for line in ["running\n", "garbage"] {
            let awake = all(vec![ThreadActivity { line: Some(line.into()), ..asleep(1, 5) }]);
            assert!(!awake.nothing_ran_until(&awake.clone()));
        }
        let uncounted = all(vec![ThreadActivity { runs: Runs::Unknown, ..asleep(1, 5) }]);
        assert!(!uncounted.nothing_ran_until(&uncounted.clone()));
    }

    #[test]
    fn our_own_threads() {
        let target = own();
        let (send, receive) = mpsc::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let sleeper = std::thread::Builder::new().name("the (sleeper) x".into()).spawn(move || {
            ready.send(nix::unistd::gettid().as_raw()).unwrap();
            receive.recv()
        });
        let tid = is_ready.recv().unwrap();
        // It is on its way into the wait, and may sleep on others before; the last one lasts.
        let (before, later) = std::iter::repeat_with(|| (target.activity(), target.activity()))
            .take(100_000)
            .find(|(before, later)| {
                let (before, later) = (before.thread(tid).unwrap(), later.thread(tid).unwrap());
                before.did_not_run_until(later) && before.syscall().unwrap().0 == "futex"
            })
            .unwrap();
        // We ran ourselves.
        assert!(!before.nothing_ran_until(&later));
        let threads = target.threads();
        assert_eq!(threads[0].tid, target.pid());
        assert!(threads.iter().any(|thread| thread.tid == tid && thread.name == "the (sleeper) x"));
        assert_eq!(target.syscall(tid).unwrap().name, "futex");
        drop(send);
        let _ = sleeper.unwrap().join();
    }
}
