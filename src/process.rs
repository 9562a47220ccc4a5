//! Who the target is: the process, its memory map, its ELF files, its threads, our permissions.
//!
//! Uses `/proc` and the files mapped into the target, and knows nothing of Python. A [`Target`] is
//! one program run by one process: it keeps `/proc/PID` open, so nothing read through it can be of
//! another process that has taken over the id, and [`check_alive`](Target::check_alive) notices
//! when the process ends or replaces its program by `exec`.
//!
//! All that comes from the target is taken as a claim: sizes and counts have caps, lines that are
//! not understood are left out, and nothing panics. Facts that cannot be had are absent.

mod access;
mod answer;
mod asleep;
mod cgroup;
mod child;
mod clock;
mod container;
mod descriptor;
mod elf;
mod epoll;
mod listing;
mod maps;
mod module;
mod packages;
mod pipe;
mod proc;
mod resident;
mod saved;
mod socket;
mod source;
mod syscall;
mod system;
mod thread;
mod traffic;
mod wake;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, getpgid, sysconf};

pub use cgroup::own as own_cgroup;
pub use child::ChildFacts;
pub use descriptor::{Descriptors, Wait};
pub use listing::{Listed, below, pythons};
pub use maps::Mapping;
pub use module::{MappedFile, Module, NotOpened, Unwinding};
pub use resident::Resident;
pub use saved::{Noted, Saved, SavedSystem, SystemRecorder};
pub use source::{Source, SourceFile};
pub use syscall::{Awaited, ReadBytes, WokenBy};
pub use system::{Described, Symbols, Syscalls, System};
pub use thread::{Activity, ThreadActivity, ThreadFacts};
pub use wake::Wakers;

use crate::error::{Access, Error};
use crate::snapshot::{Process, Syscall, ThreadState};
use proc::{Image, ProcDir, Stat, is_gone, is_refused};

/// Programs are started with up to 128 KiB for one argument and 2 MiB for all; a report has
/// no use for more than this.
const MAX_CMDLINE: u64 = 64 * 1024;

/// The process looked at.
#[derive(Debug)]
pub struct Target {
    pid: i32,
    namespace_pid: Option<i32>,
    dir: ProcDir,
    /// The directory of threads, kept looked up.
    tasks: File,
    /// `stat` of the main thread, kept open.
    stat: File,
    identity: Stat,
    /// Its root directory as we see it.
    root: Option<PathBuf>,
    kept: Mutex<thread::ThreadCache>,
    process: OnceLock<Process>,
    clock_offset: OnceLock<i128>,
    born_by: OnceLock<Option<Duration>>,
    /// The first of its files that never answered; no other is asked for then.
    silent_file: OnceLock<String>,
    groups: Mutex<Option<cgroup::Groups>>,
}

impl Target {
    /// Finds the process. For the id of a thread that is not the main thread, its process.
    ///
    /// # Errors
    /// * `NoSuchProcess`: nobody has this id.
    /// * `NotPermitted`: somebody has, but `/proc` is mounted so that we may not see who.
    /// * `TargetGone`: it is about to end, or has ended and its parent has not yet asked for its
    ///   exit code.
    /// * `NotPython`: it is a thread of the kernel.
    pub fn open(pid: i32) -> Result<Self, Error> {
        if pid <= 0 {
            return Err(Error::NoSuchProcess { pid, namespace_match: None });
        }
        let mut process = pid;
        let mut dir = ProcDir::open(pid).map_err(|error| open_error(pid, None, error))?;
        let mut status = dir.status().map_err(|error| open_error(pid, Some(&dir), error))?;
        if let Some(group) = status.thread_group().filter(|&group| group != pid) {
            process = group;
            dir = ProcDir::open(process).map_err(|error| open_error(pid, None, error))?;
            status = dir.status().map_err(|error| open_error(pid, Some(&dir), error))?;
        }
        let failed = |error| open_error(pid, Some(&dir), error);
        let tasks = dir.look_up("task").map_err(failed)?;
        let stat = dir.file(&format!("task/{process}/stat")).map_err(failed)?;
        let identity = read_identity(&stat).map_err(failed)?;
        if identity.state == ThreadState::Ended {
            return Err(Error::TargetGone { pid: process });
        }
        if identity.is_kernel {
            return Err(Error::NotPython { pid: process, exe: format!("[{}]", identity.comm) });
        }
        if identity.is_exiting {
            return Err(Error::TargetGone { pid: process });
        }
        let root = dir.link("root").ok().filter(|root| root != Path::new("/"));
        Ok(Self {
            pid: process,
            namespace_pid: status.namespace_pid(),
            dir,
            tasks,
            stat,
            identity,
            root,
            kept: Mutex::default(),
            process: OnceLock::new(),
            clock_offset: OnceLock::new(),
            born_by: OnceLock::new(),
            silent_file: OnceLock::new(),
            groups: Mutex::default(),
        })
    }

    /// Its id, as we see it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its id in its own pid namespace, when that is another one.
    pub fn namespace_pid(&self) -> Option<i32> {
        self.namespace_pid
    }

    /// Whether it is still the same run of the same program. One system call, 4 µs.
    ///
    /// # Errors
    /// `TargetGone`, also when the process replaced its program by `exec`.
    pub fn check_alive(&self) -> Result<(), Error> {
        let now = read_stat(&self.stat)
            .map_err(|error| proc_error(self.pid, Some(&self.dir), "stat", error))?;
        let known = &self.identity;
        // A process whose main thread has ended may go on with its others, but can't be read.
        let is_same_image = match (known.image, now.image) {
            (Image::Program(..), Image::Program(..)) => known.image == now.image,
            (Image::Program(..) | Image::Hidden, Image::Gone) => false,
            _ => true,
        };
        if now.state == ThreadState::Ended || now.start_time != known.start_time || !is_same_image {
            return Err(Error::TargetGone { pid: self.pid });
        }
        Ok(())
    }

    /// The facts of the process; nothing of Python is filled in.
    pub fn process(&self) -> Process {
        self.process.get_or_init(|| self.read_process()).clone()
    }

    fn read_process(&self) -> Process {
        let cmdline = self.dir.read("cmdline", MAX_CMDLINE).unwrap_or_default();
        let cmdline = cmdline.strip_suffix(b"\0").unwrap_or(&cmdline);
        let words = cmdline.split(|&byte| byte == 0);
        let exe = self.dir.link("exe").ok().map(|link| {
            let (path, _) = proc::without_deleted(maps::bytes_of(&link));
            self.below_root(&path).to_string_lossy().into_owned()
        });
        Process {
            pid: self.pid,
            namespace_pid: self.namespace_pid,
            parent: Some(self.identity.parent).filter(|parent| *parent > 0),
            cmdline: match cmdline {
                [] => Vec::new(),
                _ => words.map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
            },
            exe,
            started_at: started_at(self.identity.start_time),
            container: self.container(),
            ..Process::default()
        }
    }

    /// A path of ours as the target sees it: without its root.
    fn below_root(&self, path: &Path) -> PathBuf {
        let below = self.root.as_ref().and_then(|root| path.strip_prefix(root).ok());
        below.map_or_else(|| path.to_owned(), |below| Path::new("/").join(below))
    }

    /// Its memory map, ascending and without overlaps.
    ///
    /// # Errors
    /// `NotPermitted`, `TargetGone`, or `Proc` for what else may happen to a file.
    pub fn maps(&self) -> Result<Vec<Mapping>, Error> {
        let text = self
            .dir
            .read("maps", maps::MAX_MAPS)
            .map_err(|error| proc_error(self.pid, Some(&self.dir), "maps", error))?;
        Ok(maps::parse(&text))
    }

    /// The private memory that it may write to, as far as that is there; `None` where the kernel
    /// doesn't say which pages are.
    pub fn resident(&self) -> Option<Resident> {
        let pagemap = self.dir.file("pagemap").ok()?;
        resident::resident(&self.maps().ok()?, &pagemap).ok()
    }

    /// The system call a thread is in; for several threads, ask one [`Descriptors`].
    pub fn syscall(&self, tid: i32) -> Option<Syscall> {
        self.descriptors().syscall(tid)
    }

    /// What the target's file descriptors are at this moment.
    pub fn descriptors(&self) -> Descriptors<'_> {
        Descriptors::new(self)
    }

    /// `CLOCK_MONOTONIC` as the target reads it now.
    ///
    /// # Errors
    /// `Proc`, when the offset of its time namespace cannot be known.
    pub fn monotonic_now(&self) -> Result<Duration, Error> {
        let offset = if let Some(offset) = self.clock_offset.get() {
            *offset
        } else {
            let offset = clock::monotonic_offset(&self.dir)
                .map_err(|error| proc_error(self.pid, Some(&self.dir), "timens_offsets", error))?;
            *self.clock_offset.get_or_init(|| offset)
        };
        clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map_err(io::Error::from)
            .and_then(|now| {
                let ours = Duration::from(now).as_nanos();
                u64::try_from(i128::try_from(ours).unwrap_or(i128::MAX).saturating_add(offset))
                    .map_err(io::Error::other)
            })
            .map(Duration::from_nanos)
            .map_err(|error| proc_error(self.pid, Some(&self.dir), "timens_offsets", error))
    }

    /// How old the process is; `None` where that cannot be known.
    pub fn age(&self) -> Option<Duration> {
        age(self.identity.start_time)
    }

    /// The moment of its `CLOCK_MONOTONIC` by which it had begun: the kernel tells the beginning
    /// to a hundredth of a second. Too early by as long as the machine was suspended since.
    pub fn born_by(&self) -> Option<Duration> {
        *self.born_by.get_or_init(|| {
            let running = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
            let born = from_ticks(self.identity.start_time.checked_add(1)?)?;
            self.monotonic_now().ok()?.checked_sub(running.checked_sub(born)?)
        })
    }

    /// The process that this one is a copy of, made by `fork`, as we see its id; `None` when that
    /// is gone, or this one has begun another program since.
    pub fn forked_from(&self) -> Option<i32> {
        let now = read_stat(&self.stat).ok()?;
        let parent = Stat::parse(&ProcDir::open(now.parent).ok()?.read("stat", 4096).ok()?)?;
        // Where code and stack lie is chosen by chance with each `exec`, and `fork` keeps it.
        let is_copy = matches!(now.image, Image::Program(..)) && parent.image == now.image;
        is_copy.then_some(now.parent)
    }

    /// The facts that decide whether we may read the target, to explain a call refused with
    /// `errno`: `EACCES` comes from opening `/proc/PID/maps`, `EPERM` from reading memory.
    pub fn access(&self, errno: Option<i32>) -> Access {
        access::gather(Some(&self.dir), errno)
    }
}

/// Our own `CLOCK_MONOTONIC`.
pub(crate) fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// The `stat` file of a process that is not in the midst of an `exec`, which is soon over: what it
/// was before is of no interest to anybody.
fn read_identity(file: &File) -> io::Result<Stat> {
    // A tenth of a millisecond in general; more when the program has to come from the disk.
    const PATIENCE: Duration = Duration::from_millis(50);
    let started = Instant::now();
    loop {
        let stat = read_stat(file)?;
        let is_in_exec = stat.image == Image::Gone && !stat.is_exiting && !stat.is_kernel;
        if !is_in_exec || started.elapsed() > PATIENCE {
            return Ok(stat);
        }
        std::thread::yield_now();
    }
}

fn read_stat(file: &File) -> io::Result<Stat> {
    let mut buffer = [0; 1024];
    let len = file.read_at(&mut buffer, 0)?;
    buffer
        .get(..len)
        .and_then(Stat::parse)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// What a failed access to a file of `/proc/PID` means.
fn proc_error(pid: i32, dir: Option<&ProcDir>, name: &str, source: io::Error) -> Error {
    if is_gone(&source) {
        Error::TargetGone { pid }
    } else if is_refused(&source) {
        let access = Box::new(access::gather(dir, source.raw_os_error()));
        Error::NotPermitted { pid, access }
    } else {
        Error::Proc { path: format!("/proc/{pid}/{name}"), source }
    }
}

/// What it means that the first look at a process failed.
fn open_error(pid: i32, dir: Option<&ProcDir>, source: io::Error) -> Error {
    if !is_gone(&source) {
        return proc_error(pid, dir, "status", source);
    }
    if let Err(source) = ProcDir::own() {
        return Error::Proc { path: "/proc/self".to_owned(), source };
    }
    // With the option `hidepid`, other users' processes have no place in `/proc`.
    if getpgid(Some(Pid::from_raw(pid))).is_ok() {
        let access = Box::new(access::gather(None, source.raw_os_error()));
        return Error::NotPermitted { pid, access };
    }
    Error::NoSuchProcess { pid, namespace_match: namespace_match(pid) }
}

/// The one process whose id in its own pid namespace is `pid`.
fn namespace_match(pid: i32) -> Option<i32> {
    let mut found = None;
    for entry in std::fs::read_dir("/proc").ok()? {
        let Some(here) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse().ok())
        else {
            continue;
        };
        let status = ProcDir::open(here).and_then(|dir| dir.status());
        if status.is_ok_and(|status| status.namespace_pid() == Some(pid)) {
            if found.is_some() {
                return None;
            }
            found = Some(here);
        }
    }
    found
}

/// Ticks of the kernel's clock for user space as a time.
fn from_ticks(ticks: u64) -> Option<Duration> {
    let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    Some(Duration::from_millis(ticks.checked_mul(1000)?.checked_div(per_second)?))
}

/// When a process began, from its start time in ticks since boot.
fn started_at(ticks: u64) -> Option<Timestamp> {
    Timestamp::now().checked_sub(SignedDuration::try_from(age(ticks)?).ok()?).ok()
}

/// How old a process is, by its start time in ticks since boot; the time that the machine was
/// suspended for counts.
fn age(ticks: u64) -> Option<Duration> {
    let running = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
    running.checked_sub(from_ticks(ticks)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Target {
        Target::open(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    #[test]
    fn ourselves() {
        let target = own();
        target.check_alive().unwrap();
        let process = target.process();
        assert_eq!(process.pid, target.pid());
        let exe = std::env::current_exe().unwrap();
        assert_eq!(process.exe.as_deref(), exe.to_str());
        assert_eq!(process.cmdline.len(), std::env::args_os().len());
        let age = process.started_at.unwrap().duration_until(Timestamp::now());
        assert!(age.as_secs() >= 0 && age.as_secs() < 3600, "{age:?}");
        let maps = target.maps().unwrap();
        assert!(maps.iter().any(|mapping| mapping.path.as_deref() == Some("[stack]".as_ref())));
        let ours = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
        assert!(target.monotonic_now().unwrap().saturating_sub(ours) < Duration::from_secs(10));
    }

    #[test]
    fn an_id_of_a_thread_leads_to_its_process() {
        let tid = std::thread::spawn(|| {
            let tid = nix::unistd::gettid().as_raw();
            Target::open(tid).unwrap().pid()
        });
        assert_eq!(tid.join().unwrap(), i32::try_from(std::process::id()).unwrap());
    }

    #[test]
    fn no_such_process() {
        for pid in [0, -1, i32::MIN, i32::MAX] {
            assert!(matches!(Target::open(pid), Err(Error::NoSuchProcess { .. })));
        }
    }

    #[test]
    fn a_process_that_replaced_its_program_is_gone() {
        use std::io::{BufRead, BufReader, Write};
        use std::process::{Command, Stdio};
        let script = "echo ready; read x; exec sh -c 'echo done; read y'";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(output.next().unwrap().unwrap(), "ready");
        let target = Target::open(i32::try_from(child.id()).unwrap()).unwrap();
        target.check_alive().unwrap();
        input.write_all(b"\n").unwrap();
        assert_eq!(output.next().unwrap().unwrap(), "done");
        assert!(matches!(target.check_alive(), Err(Error::TargetGone { .. })));
        drop(input);
        child.wait().unwrap();
    }

    #[test]
    fn an_ended_process_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let target = Target::open(pid).unwrap();
        target.check_alive().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(target.check_alive(), Err(Error::TargetGone { .. })));
        assert!(matches!(target.maps(), Err(Error::TargetGone { .. })));
        assert!(target.threads().is_empty());
        assert!(matches!(Target::open(pid), Err(Error::NoSuchProcess { .. })));
    }
}
