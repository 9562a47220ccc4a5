//! The system call a thread is in: its name, the file descriptor it is about, what it waits for.
//!
//! Parses `/proc/PID/task/TID/syscall`. Numbers are those of the machine this was built for, which
//! is the target's too: a 64 bit Python is all that the layers above read. Arguments that point
//! into the target's memory are followed by a function that is handed in; what they point to is
//! read once, in bounds, and believed only if the thread is still in the same call afterwards.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::memory::Address;

/// Fills bytes from an address of the target, and says whether it could.
pub type ReadBytes<'a> = &'a dyn Fn(Address, &mut [u8]) -> bool;

/// Descriptors of one `poll` or `select`: what a `select` can have.
const MAX_POLLED: usize = 1024;
/// `PATH_MAX` of Linux.
const MAX_PATH: usize = 4096;

/// What a system call waits for, as its arguments say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Awaited {
    /// `poll`, `select` and their like: one of these descriptors, in ascending order.
    AnyOf {
        /// The descriptors.
        fds: Vec<i32>,
        /// Whether it waits for nothing but room to write.
        is_output: bool,
        /// How long it waits at most, from its beginning.
        timeout: Option<Duration>,
    },
    /// A sleep of this length, from its beginning.
    Time(Duration),
    /// A sleep until then, by the target's `CLOCK_MONOTONIC`.
    Until(Duration),
    /// The end of a child, by its id as the target knows it; absent for any of several.
    Child(Option<i32>),
    /// A change of the word at this address: a lock, a condition, the GIL.
    Futex {
        /// Where the word is.
        address: Address,
        /// Whether it waits for a time only.
        has_timeout: bool,
    },
    /// An answer from this file, device or file system, by its path as the thread gave it.
    Path(String),
    /// A connection to this address.
    Address(String),
}

impl Awaited {
    /// Whether it is a word in that memory; `None` when it is no word.
    pub fn is_word_in(&self, memory: &Range<u64>) -> Option<bool> {
        match self {
            Self::Futex { address, .. } => Some(memory.contains(&address.0)),
            _ => None,
        }
    }
}

/// What a `syscall` file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// `running`: on a processor, or about to be.
    Running,
    /// `-1 SP PC`: asleep, but not in a system call: a page fault, a signal stop.
    None,
    /// `NUMBER ARGUMENTS SP PC`.
    In { number: u64, arguments: [u64; 6] },
}

impl Call {
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?.trim();
        let mut words = line.split_ascii_whitespace();
        let number = match words.next()? {
            "running" => return Some(Self::Running),
            "-1" => return Some(Self::None),
            number => number.parse().ok()?,
        };
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            *argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        }
        Some(Self::In { number, arguments })
    }

    /// Its name and descriptor: `(epoll_wait, 5)`.
    pub(super) fn describe(self) -> Option<(String, Option<i32>)> {
        let Self::In { number, arguments } = self else { return None };
        let known = usize::try_from(number).ok().and_then(syscalls::Sysno::new);
        let Some(known) = known else { return Some((format!("syscall {number}"), None)) };
        let name = known.name();
        let fd = fd_argument(name).and_then(|at| arguments.get(at)).and_then(|&word| fd_of(word));
        Some((name.to_owned(), fd))
    }
}

/// What alone can end a call that has no time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WokenBy {
    /// Another thread of the process.
    Thread,
    /// What is registered at this descriptor of epoll.
    Events(i32),
}

impl Call {
    /// What alone can end it, where its arguments say so: a signal aside.
    pub(super) fn woken_by(self) -> Option<WokenBy> {
        let Self::In { number, arguments } = self else { return None };
        let [first, second, _, fourth, ..] = arguments;
        match usize::try_from(number).ok().and_then(syscalls::Sysno::new)?.name() {
            // include/uapi/linux/futex.h: FUTEX_WAIT, FUTEX_WAIT_BITSET, of this process's own.
            "futex" => {
                const PRIVATE: u64 = 128;
                let (command, is_private) = (second & 0x7f, second & PRIVATE != 0);
                (matches!(command, 0 | 9) && is_private && fourth == 0).then_some(WokenBy::Thread)
            }
            // The time limit of the last one is a pointer.
            "epoll_wait" | "epoll_pwait" if int(fourth) < 0 => Some(WokenBy::Events(int(first))),
            "epoll_pwait2" if fourth == 0 => Some(WokenBy::Events(int(first))),
            _ => None,
        }
    }

    /// What it waits for; `None` when its arguments do not say, or could not be read.
    pub(super) fn awaited(self, read: ReadBytes<'_>) -> Option<Awaited> {
        let Self::In { number, arguments } = self else { return None };
        let name = usize::try_from(number).ok().and_then(syscalls::Sysno::new)?.name();
        let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
        let pointer = |at: usize| Address(argument(at)).non_null();
        // struct timespec; `None` outside for one that cannot be read.
        let timeout = |at: usize| match pointer(at) {
            Some(at) => timespec(at, 1, read).map(Some),
            None => Some(None),
        };
        Some(match name {
            "poll" => {
                let timeout = u64::try_from(int(argument(2))).ok().map(Duration::from_millis);
                let (fds, is_output) = polled(Address(argument(0)), argument(1), read)?;
                Awaited::AnyOf { fds, is_output, timeout }
            }
            "ppoll" => {
                let (fds, is_output) = polled(Address(argument(0)), argument(1), read)?;
                Awaited::AnyOf { fds, is_output, timeout: timeout(2)? }
            }
            "select" | "pselect6" => {
                // The first has microseconds.
                let unit = if name == "select" { 1000 } else { 1 };
                let timeout = match pointer(4) {
                    Some(at) => Some(timespec(at, unit, read)?),
                    None => None,
                };
                let sets = [pointer(1), pointer(2), pointer(3)];
                match (selected(argument(0), sets, read)?, timeout) {
                    (fds, Some(time)) if fds.is_empty() => Awaited::Time(time),
                    (fds, timeout) => {
                        let is_output = sets[0].is_none() && sets[1].is_some();
                        Awaited::AnyOf { fds, is_output, timeout }
                    }
                }
            }
            "nanosleep" => Awaited::Time(timespec(pointer(0)?, 1, read)?),
            "clock_nanosleep" => {
                const TIMER_ABSTIME: u64 = 1;
                const CLOCK_MONOTONIC: i32 = 1;
                let time = timespec(pointer(2)?, 1, read)?;
                match argument(1) & TIMER_ABSTIME {
                    0 => Awaited::Time(time),
                    _ if int(argument(0)) == CLOCK_MONOTONIC => Awaited::Until(time),
                    _ => return None,
                }
            }
            "wait4" => Awaited::Child(Some(int(argument(0))).filter(|&pid| pid > 0)),
            "waitid" => {
                // include/uapi/linux/wait.h
                const P_PID: i32 = 1;
                const P_PIDFD: i32 = 3;
                let id = int(argument(1));
                match int(argument(0)) {
                    P_PID => Awaited::Child(Some(id)),
                    P_PIDFD => Awaited::AnyOf { fds: vec![id], is_output: false, timeout: None },
                    _ => Awaited::Child(None),
                }
            }
            "futex" => {
                // include/uapi/linux/futex.h: without the flags for private and clock.
                const WAIT: u64 = 0;
                const LOCK_PI: u64 = 6;
                const WAIT_BITSET: u64 = 9;
                const WAIT_REQUEUE_PI: u64 = 11;
                const LOCK_PI2: u64 = 13;
                match argument(1) & 0x7f {
                    WAIT | LOCK_PI | WAIT_BITSET | WAIT_REQUEUE_PI | LOCK_PI2 => {}
                    _ => return None,
                }
                Awaited::Futex { address: pointer(0)?, has_timeout: pointer(3).is_some() }
            }
            "connect" => Awaited::Address(socket_address(pointer(1)?, argument(2), read)?),
            _ => Awaited::Path(text(pointer(path_argument(name)?)?, read)?),
        })
    }
}

/// An `int` argument: the lower half of the register.
fn int(word: u64) -> i32 {
    let low = u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default();
    i32::from_ne_bytes(low.to_ne_bytes())
}

/// Two words: seconds, and a fraction in units of so many nanoseconds.
fn timespec(at: Address, unit: u64, read: ReadBytes<'_>) -> Option<Duration> {
    let mut bytes = [0; 16];
    if !read(at, &mut bytes) {
        return None;
    }
    let seconds = i64::from_ne_bytes(*bytes.first_chunk()?);
    let fraction = i64::from_ne_bytes(*bytes.last_chunk()?);
    let nanos = u64::try_from(fraction).ok()?.checked_mul(unit)?;
    Duration::from_secs(u64::try_from(seconds).ok()?).checked_add(Duration::from_nanos(nanos))
}

/// The descriptors of an array of `struct pollfd`, `[ fd: i32 ; events: i16 ; revents: i16 ]`, and
/// whether all are asked for room to write only.
fn polled(at: Address, count: u64, read: ReadBytes<'_>) -> Option<(Vec<i32>, bool)> {
    // include/uapi/asm-generic/poll.h: POLLIN, POLLPRI, POLLOUT
    const INPUT: i16 = 0x1 | 0x2;
    const OUTPUT: i16 = 0x4;
    let count = usize::try_from(count).ok().filter(|&count| count <= MAX_POLLED)?;
    let mut bytes = vec![0; count.checked_mul(8)?];
    if !bytes.is_empty() && !read(at, &mut bytes) {
        return None;
    }
    let (mut fds, mut all) = (Vec::new(), 0);
    for entry in bytes.chunks_exact(8) {
        let fd = i32::from_ne_bytes(*entry.first_chunk()?);
        // A negative one is left out by the kernel as well.
        if fd >= 0 {
            fds.push(fd);
            all |= i16::from_ne_bytes(*entry.get(4..)?.first_chunk()?);
        }
    }
    fds.sort_unstable();
    Some((fds, all & INPUT == 0 && all & OUTPUT != 0))
}

/// The descriptors of the bit sets of a `select`.
fn selected(count: u64, sets: [Option<Address>; 3], read: ReadBytes<'_>) -> Option<Vec<i32>> {
    let count = usize::try_from(int(count)).ok()?.min(MAX_POLLED);
    // The kernel reads whole words.
    let len = count.div_ceil(64).checked_mul(8)?;
    let mut all = vec![0_u8; len];
    for at in sets.into_iter().flatten().filter(|_| len > 0) {
        let mut set = vec![0; len];
        if !read(at, &mut set) {
            return None;
        }
        all.iter_mut().zip(&set).for_each(|(all, one)| *all |= one);
    }
    let is_in = |fd: &usize| all.get(fd / 8).is_some_and(|byte| byte & (1 << (fd % 8)) != 0);
    Some((0..count).filter(is_in).filter_map(|fd| i32::try_from(fd).ok()).collect())
}

/// A text that ends with a zero.
fn text(at: Address, read: ReadBytes<'_>) -> Option<String> {
    let mut bytes = Vec::new();
    let mut place = at;
    while bytes.len() < MAX_PATH {
        // Not beyond the page: the next one may not be there.
        let len = 256 - usize::try_from(place.0 % 256).ok()?;
        let mut part = vec![0; len];
        if !read(place, &mut part) {
            return None;
        }
        if let Some(end) = part.iter().position(|&byte| byte == 0) {
            bytes.extend(part.get(..end)?);
            return Some(String::from_utf8_lossy(&bytes).into_owned())
                .filter(|text| !text.is_empty());
        }
        bytes.extend(part);
        place = place.offset(u64::try_from(len).ok()?);
    }
    None
}

/// A `struct sockaddr`.
fn socket_address(at: Address, len: u64, read: ReadBytes<'_>) -> Option<String> {
    const AF_UNIX: u16 = 1;
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    let mut bytes = [0; 110];
    let len = usize::try_from(int(len)).ok()?.min(bytes.len());
    let bytes = bytes.get_mut(..len)?;
    if !read(at, bytes) {
        return None;
    }
    let family = u16::from_ne_bytes(*bytes.first_chunk()?);
    let port = || Some(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?));
    let ip = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?)),
        AF_INET6 => {
            let ip = Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?);
            ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
        }
        AF_UNIX => {
            return match bytes.get(2..)? {
                // An abstract name: all of it counts.
                [0, name @ ..] => Some(format!("@{}", String::from_utf8_lossy(name))),
                path => {
                    let path = path.split(|&byte| byte == 0).next()?;
                    Some(String::from_utf8_lossy(path).into_owned())
                }
            };
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port()?).to_string())
}

/// Which argument of a call is the path it is about, of those that may wait long: for the other
/// end of a FIFO, or a file system that does not answer.
fn path_argument(name: &str) -> Option<usize> {
    match name {
        "open" | "creat" | "stat" | "lstat" | "access" | "statfs" | "truncate" | "rename"
        | "mkdir" | "rmdir" | "unlink" | "readlink" | "chdir" | "execve" => Some(0),
        "openat" | "openat2" | "newfstatat" | "statx" | "faccessat" | "faccessat2" | "mkdirat"
        | "unlinkat" | "readlinkat" | "renameat" | "renameat2" => Some(1),
        _ => None,
    }
}

/// A descriptor is an `int`: the upper half of the register may hold anything.
fn fd_of(word: u64) -> Option<i32> {
    let low = u32::try_from(word & u64::from(u32::MAX)).ok()?;
    // -1 and `AT_FDCWD` are no descriptors.
    i32::try_from(low).ok()
}

/// Which argument of a call is the descriptor it may sleep on, by the manual pages.
///
/// Not here: `poll`, `select` and their like, whose descriptors lie in memory.
fn fd_argument(name: &str) -> Option<usize> {
    match name {
        "read" | "pread64" | "readv" | "preadv" | "preadv2" | "write" | "pwrite64" | "writev"
        | "pwritev" | "pwritev2" | "recvfrom" | "recvmsg" | "recvmmsg" | "sendto" | "sendmsg"
        | "sendmmsg" | "accept" | "accept4" | "connect" | "shutdown" | "bind" | "listen"
        | "epoll_wait" | "epoll_pwait" | "epoll_pwait2" | "epoll_ctl" | "epoll_ctl_old"
        | "epoll_wait_old" | "io_uring_enter" | "io_uring_register" | "fsync" | "fdatasync"
        | "sync_file_range" | "syncfs" | "ftruncate" | "fallocate" | "flock" | "fcntl"
        | "ioctl" | "close" | "lseek" | "fstat" | "getdents" | "getdents64" | "sendfile"
        | "splice" | "tee" | "vmsplice" | "copy_file_range" | "readahead" | "fadvise64"
        | "fchmod" | "fchown" | "fchdir" | "inotify_add_watch" | "signalfd" | "timerfd_settime"
        | "pidfd_send_signal" | "getsockopt" | "setsockopt" => Some(0),
        "mmap" => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a call waits for, given the only piece of memory there is.
    fn awaited(line: &str, at: u64, memory: &[u8]) -> Option<Awaited> {
        let read = |from: Address, into: &mut [u8]| {
            let start = from.0.checked_sub(at).and_then(|start| usize::try_from(start).ok());
            let bytes = start.and_then(|start| memory.get(start..)?.get(..into.len()));
            bytes.is_some_and(|bytes| {
                into.copy_from_slice(bytes);
                true
            })
        };
        Call::parse(line.as_bytes()).unwrap().awaited(&read)
    }

    fn line(name: &str, arguments: [u64; 6]) -> String {
        let number = name.parse::<syscalls::Sysno>().unwrap() as i64;
        let words: Vec<String> = arguments.iter().map(|word| format!(" {word:#x}")).collect();
        format!("{number}{} 0x7ffc 0x7f12", words.concat())
    }

    #[test]
    fn sleeps() {
        let memory = [3_u64.to_ne_bytes(), 500_000_000_u64.to_ne_bytes()].concat();
        let time = Duration::from_millis(3500);
        let of = |name, arguments| awaited(&line(name, arguments), 0x1000, &memory);
        let until = Some(Awaited::Until(time));
        assert_eq!(of("clock_nanosleep", [1, 1, 0x1000, 0, 0, 0]), until);
        let length = Some(Awaited::Time(time));
        assert_eq!(of("clock_nanosleep", [0, 0, 0x1000, 0, 0, 0]), length);
        assert_eq!(of("nanosleep", [0x1000, 0, 0, 0, 0, 0]), length);
        assert_eq!(of("pselect6", [0, 0, 0, 0, 0x1000, 0]), length);
        assert_eq!(of("nanosleep", [0x1008, 0, 0, 0, 0, 0]), None);
        let backwards = [(-3_i64).to_ne_bytes(), 0_i64.to_ne_bytes()].concat();
        assert_eq!(awaited(&line("nanosleep", [0x1000, 0, 0, 0, 0, 0]), 0x1000, &backwards), None);
    }

    #[test]
    fn polled_descriptors() {
        let entry = |fd: i32| [fd.to_ne_bytes(), [1, 0, 0, 0]].concat();
        let memory = [entry(9), entry(-1), entry(4)].concat();
        let any_of = |fds: &[i32]| {
            Some(Awaited::AnyOf { fds: fds.to_vec(), is_output: false, timeout: None })
        };
        let of = |count, timeout| {
            awaited(&line("ppoll", [0x1000, count, timeout, 0, 0, 0]), 0x1000, &memory)
        };
        assert_eq!(of(3, 0), any_of(&[4, 9]));
        assert_eq!(of(0, 0), any_of(&[]));
        for (count, timeout) in [(4, 0), (u64::MAX, 0), (1 << 40, 0), (3, 0x9000)] {
            assert_eq!(of(count, timeout), None);
        }
        let output = [5_i32.to_ne_bytes(), [4, 0, 0, 0]].concat();
        let found = awaited(&line("ppoll", [0x1000, 1, 0, 0, 0, 0]), 0x1000, &output);
        assert_eq!(found, Some(Awaited::AnyOf { fds: vec![5], is_output: true, timeout: None }));
        let mut set = [0_u8; 16];
        (set[0], set[8]) = (0b1000, 0b10);
        let of = |count, sets: [u64; 3]| {
            let arguments = [count, sets[0], sets[1], sets[2], 0, 0];
            awaited(&line("pselect6", arguments), 0x1000, &set)
        };
        assert_eq!(of(66, [0x1000, 0, 0x1000]), any_of(&[3, 65]));
        assert_eq!(of(65, [0x1000, 0, 0]), any_of(&[3]));
        assert_eq!(of(129, [0x1000, 0, 0]), None);
    }

    #[test]
    fn children_paths_and_addresses() {
        let of = |name, arguments, memory: &[u8]| awaited(&line(name, arguments), 0x1000, memory);
        assert_eq!(of("wait4", [77, 0, 0, 0, 0, 0], b""), Some(Awaited::Child(Some(77))));
        assert_eq!(of("wait4", [0xffff_ffff, 0, 0, 0, 0, 0], b""), Some(Awaited::Child(None)));
        assert_eq!(of("waitid", [1, 77, 0, 0, 0, 0], b""), Some(Awaited::Child(Some(77))));
        let pidfd = Some(Awaited::AnyOf { fds: vec![5], is_output: false, timeout: None });
        assert_eq!(of("waitid", [3, 5, 0, 0, 0, 0], b""), pidfd);
        let futex = Awaited::Futex { address: Address(0x50), has_timeout: true };
        assert_eq!(of("futex", [0x50, 0x189, 0, 0x60, 0, 0], b""), Some(futex));
        assert_eq!(of("futex", [0x50, 0x81, 1, 0, 0, 0], b""), None);
        let mut path = b"/var/spool/x".to_vec();
        path.resize(256, 0);
        let opened = Some(Awaited::Path("/var/spool/x".into()));
        assert_eq!(of("openat", [0xffff_ff9c, 0x1000, 0, 0, 0, 0], &path), opened);
        assert_eq!(of("openat", [0xffff_ff9c, 0x1000, 0, 0, 0, 0], &[b'x'; 8192]), None);
        let of = |len, memory: &[u8]| of("connect", [3, 0x1000, len, 0, 0, 0], memory);
        let address = |text: &str| Some(Awaited::Address(text.into()));
        let ip = [&2_u16.to_ne_bytes()[..], &[0x1f, 0x90, 10, 0, 0, 5], &[0; 8]].concat();
        assert_eq!(of(16, &ip), address("10.0.0.5:8080"));
        let name = [&1_u16.to_ne_bytes()[..], b"/run/x.sock\0..."].concat();
        assert_eq!(of(name.len() as u64, &name), address("/run/x.sock"));
        let name = [&1_u16.to_ne_bytes()[..], b"\0x.y"].concat();
        assert_eq!(of(name.len() as u64, &name), address("@x.y"));
        assert_eq!(of(1, &name), None);
        assert_eq!(of(0, &name), None);
    }

    #[test]
    fn lines() {
        assert_eq!(Call::parse(b"running\n"), Some(Call::Running));
        assert_eq!(Call::parse(b"-1 0x7ffc 0x7f12\n"), Some(Call::None));
        for garbage in
            [&b""[..], b"\n", b"232", b"232 0x1 0x2", b"x 0x1", b"1 2 3 4 5 6 7", b"\xff"]
        {
            assert_eq!(Call::parse(garbage), None);
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn names_and_descriptors() {
        let describe = |line: &[u8]| Call::parse(line).unwrap().describe();
        assert_eq!(
            describe(b"232 0x5 0x7f6a 0x3 0xffffffff 0x0 0x8 0x7ffd 0x7f6b\n"),
            Some(("epoll_wait".into(), Some(5)))
        );
        assert_eq!(
            describe(b"0 0xffffffff00000007 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7f6b"),
            Some(("read".into(), Some(7)))
        );
        assert_eq!(
            describe(b"0 0xffffffff 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7f6b"),
            Some(("read".into(), None))
        );
        assert_eq!(
            describe(b"202 0x7f6a 0x189 0x0 0x0 0x0 0x0 0x7ffd 0x7f6b"),
            Some(("futex".into(), None))
        );
        assert_eq!(
            describe(b"9999 0x0 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7f6b"),
            Some(("syscall 9999".into(), None))
        );
        assert_eq!(describe(b"running"), None);
    }
}
