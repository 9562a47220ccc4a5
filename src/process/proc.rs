//! Files of one process below `/proc`, and the two that everything needs: `stat` and `status`.
//!
//! A [`ProcDir`] keeps `/proc/PID` open, so all that is read through it is of one process even if
//! that ends and its id is given away: the reads then fail. Uses the file system only. Text is
//! parsed by shape; what does not have it is `None`, never a panic. Reads are bounded, because
//! some of these files have the length their owner likes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::Mode;

use crate::snapshot::ThreadState;

/// A `status` file has about 1.5 KiB, the longest lines being masks of thousands of processors.
pub(super) const MAX_STATUS: u64 = 64 * 1024;

/// `/proc/PID`, kept open.
#[derive(Debug)]
pub(super) struct ProcDir {
    dir: OwnedFd,
}

impl ProcDir {
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        let path = format!("/proc/{pid}");
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { dir: open(path.as_str(), flags, Mode::empty())? })
    }

    /// The files of ourselves.
    pub(super) fn own() -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { dir: open("/proc/self", flags, Mode::empty())? })
    }

    pub(super) fn file(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        Ok(openat(&self.dir, name, flags, Mode::empty())?.into())
    }

    /// The file's first `cap` bytes.
    pub(super) fn read(&self, name: &str, cap: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(4096);
        self.file(name)?.take(cap).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Where a link points to, as text: links of `/proc` need not lead to a path.
    pub(super) fn link(&self, name: &str) -> io::Result<PathBuf> {
        Ok(readlinkat(&self.dir, name)?.into())
    }

    /// What `name` leads to, looked up but not opened: for its facts, or for what lies below it.
    pub(super) fn look_up(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        Ok(openat(&self.dir, name, flags, Mode::empty())?.into())
    }

    pub(super) fn status(&self) -> io::Result<Status> {
        Ok(Status(self.read("status", MAX_STATUS)?))
    }
}

impl AsRawFd for ProcDir {
    fn as_raw_fd(&self) -> RawFd {
        self.dir.as_raw_fd()
    }
}

/// Whether an error says that the process is not there any more.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

/// Whether an error says that we may not.
pub(super) fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// What we use of a `stat` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) comm: String,
    pub(super) state: ThreadState,
    /// The process that waits for its end, as we see it.
    pub(super) parent: i32,
    /// Kernel thread, by `PF_KTHREAD`.
    pub(super) is_kernel: bool,
    /// On its way out, by `PF_EXITING`.
    pub(super) is_exiting: bool,
    /// Processor time it has used, its own and the kernel's for it, in ticks of the clock of
    /// `sysconf(_SC_CLK_TCK)`.
    pub(super) processor_time: u64,
    /// Since boot, in the same ticks.
    pub(super) start_time: u64,
    pub(super) image: Image,
}

/// What a `stat` file tells of the memory of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Image {
    /// Not to be known by us.
    Hidden,
    /// Where the program's code and its first stack begin: at other places after an `exec`.
    Program(u64, u64),
    /// None: it is ending, or an `exec` is under way. A process has no memory any more some time
    /// before it counts as ended.
    Gone,
}

impl Stat {
    /// Parses `PID (COMM) STATE PPID ...`.
    ///
    /// The name may hold anything, `a) R 1 (b` included; only the last `)` is sure to end it.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        const PF_EXITING: u64 = 0x0000_0004;
        const PF_KTHREAD: u64 = 0x0020_0000;
        let open = line.iter().position(|&byte| byte == b'(')?;
        let close = line.iter().rposition(|&byte| byte == b')')?;
        let comm = String::from_utf8_lossy(line.get(open.checked_add(1)?..close)?).into_owned();
        let rest = std::str::from_utf8(line.get(close.checked_add(1)?..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = state_of(fields.next()?);
        // Field numbers of proc_pid_stat(5), counted on from the third.
        let parent = fields.next()?.parse().ok()?;
        let flags: u64 = fields.nth(9 - 5)?.parse().ok()?;
        let user_time: u64 = fields.nth(14 - 10)?.parse().ok()?;
        let processor_time = user_time.saturating_add(fields.next()?.parse().ok()?);
        let start_time = fields.nth(22 - 16)?.parse().ok()?;
        let mut number = |skip| fields.nth(skip).and_then(|field| field.parse().ok()).unwrap_or(0);
        // The kernel shows code at 1 to those who may not know.
        let image = match (number(26 - 23), number(28 - 27)) {
            (0, _) => Image::Gone,
            (1, _) => Image::Hidden,
            (code, stack) => Image::Program(code, stack),
        };
        let (is_kernel, is_exiting) = (flags & PF_KTHREAD != 0, flags & PF_EXITING != 0);
        Some(Self { comm, state, parent, is_kernel, is_exiting, processor_time, start_time, image })
    }
}

/// The meaning of a state letter.
fn state_of(letter: &str) -> ThreadState {
    match letter {
        "R" => ThreadState::Running,
        "S" => ThreadState::Sleeping,
        "D" => ThreadState::Uninterruptible,
        "T" => ThreadState::Stopped,
        "t" => ThreadState::Traced,
        "Z" | "X" | "x" => ThreadState::Ended,
        _ => ThreadState::Other,
    }
}

/// A `status` file.
#[derive(Debug, Clone)]
pub(super) struct Status(Vec<u8>);

impl From<Vec<u8>> for Status {
    fn from(text: Vec<u8>) -> Self {
        Self(text)
    }
}

impl Status {
    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }

    /// The value of the line `NAME:\tVALUE`. The kernel escapes line ends in the process's name.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let value = self.0.split(|&byte| byte == b'\n').find_map(|line| {
            line.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b":"))
        })?;
        std::str::from_utf8(value).ok().map(str::trim)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }

    /// A mask of capabilities, `CapEff` for one.
    pub(super) fn mask(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.field(name)?, 16).ok()
    }

    /// The effective user id: the second of real, effective, saved, file system.
    pub(super) fn effective_uid(&self) -> Option<u32> {
        self.field("Uid")?.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    /// The process this thread belongs to.
    pub(super) fn thread_group(&self) -> Option<i32> {
        self.field("Tgid")?.parse().ok()
    }

    /// The id in the innermost pid namespace, when that is not the one we see.
    ///
    /// `NSpid` has one id for each namespace from that of this `/proc` inwards.
    pub(super) fn namespace_pid(&self) -> Option<i32> {
        self.namespace_pids().last()
    }

    /// The ids in the pid namespaces inside of ours, outermost first.
    pub(super) fn namespace_pids(&self) -> impl Iterator<Item = i32> {
        let ids = self.field("NSpid").unwrap_or_default().split_ascii_whitespace().skip(1);
        ids.map_while(|id| id.parse().ok())
    }
}

/// Removes the mark that the kernel sets behind the path of a file that was deleted.
///
/// A file may be called so in earnest; nobody can tell, and those who open a path compare the
/// device and inode of what they find.
pub(super) fn without_deleted(path: &[u8]) -> (PathBuf, bool) {
    let (path, is_deleted) =
        path.strip_suffix(b" (deleted)").map_or((path, false), |path| (path, true));
    (PathBuf::from(OsStr::from_bytes(path)), is_deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_brackets_and_a_line_end_in_the_name() {
        let line =
            b"77 (a) R 1 (\n\xff) S 1 77 77 0 -1 4194564 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 10 \
                     11 12 13 14 15 16";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(stat.comm, "a) R 1 (\n\u{fffd}");
        assert_eq!(stat.state, ThreadState::Sleeping);
        assert_eq!((stat.start_time, stat.image), (4711, Image::Program(12, 14)));
        assert_eq!((stat.parent, stat.processor_time), (1, 5 + 6));
        assert!(!stat.is_kernel && stat.is_exiting);
    }

    #[test]
    fn stat_of_a_kernel_thread() {
        let stat =
            Stat::parse(b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3").unwrap();
        assert!(stat.is_kernel);
        assert_eq!(stat.image, Image::Gone);
    }

    #[test]
    fn stat_of_garbage_is_none() {
        for line in [&b""[..], b")(", b"1 (x)", b"1 (x) S 1 2", b"1 (x) \xff\xff"] {
            assert_eq!(Stat::parse(line), None);
        }
    }

    #[test]
    fn status_fields() {
        let status = Status::of(
            "Name:\tTgid: 5\nTgid:\t12\nNSpid:\t12\t7\t1\nUid:\t0\t33\t0\t0\nCapEff:\t80000\n",
        );
        assert_eq!(status.thread_group(), Some(12));
        assert_eq!(status.namespace_pid(), Some(1));
        assert_eq!(status.effective_uid(), Some(33));
        assert_eq!(status.mask("CapEff"), Some(1 << 19));
        assert_eq!(status.number("Seccomp"), None);
        assert_eq!(Status::of("NSpid:\t12\n").namespace_pid(), None);
    }
}
