//! What a file descriptor of the target is: a file's path, or the two ends of a socket.
//!
//! Uses the links of `/proc/PID/fd` and the kernel's lists of sockets. A [`Descriptors`] is of one
//! moment, to be made anew for each snapshot: it keeps what it has read.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::Target;
use super::child::ChildFacts;
use super::maps::bytes_of;
use super::proc::Status;
use super::socket::Sockets;
use super::syscall::{Awaited, Call, ReadBytes};
use crate::snapshot::{Socket, Syscall};

/// The descriptors of a target at one moment.
#[derive(Debug)]
pub struct Descriptors<'t> {
    target: &'t Target,
    sockets: RefCell<Sockets<'t>>,
    /// What the process waits for by `epoll`, read once.
    watched: OnceCell<Option<FxHashSet<(i32, u64)>>>,
}

/// Who waits for less is not worth another question.
const LONG: Duration = Duration::from_secs(1);
/// Descriptors of a process among which its `epoll`s are looked for.
const MAX_FDS: usize = 65_536;

/// What a thread waits for in a system call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The call; of one that waits for a single descriptor by `poll` or `select`, with that.
    pub syscall: Syscall,
    /// What it waits for, as its arguments say.
    pub awaited: Option<Awaited>,
    /// What the descriptor leads to, if that is a socket.
    pub socket: Option<Socket>,
    /// The child whose end it waits for.
    pub child: Option<ChildFacts>,
}

impl Wait {
    /// The call with what it is about: no descriptor leads to a file that is still being opened.
    pub fn call(&self) -> Syscall {
        let path = match &self.awaited {
            Some(Awaited::Path(path)) => Some(path.clone()),
            _ => None,
        };
        Syscall { peer: self.syscall.peer.clone().or(path), ..self.syscall.clone() }
    }
}

impl<'t> Descriptors<'t> {
    pub(super) fn new(target: &'t Target) -> Self {
        Self { target, sockets: RefCell::new(Sockets::new(&target.dir)), watched: OnceCell::new() }
    }

    /// The words for a descriptor.
    pub fn describe(&self, fd: i32) -> Option<String> {
        self.identify(fd).map(|(words, _)| words)
    }

    /// What a descriptor is, in words: `tcp 127.0.0.1:5000 -> 127.0.0.1:41234 established`,
    /// `unix /run/x.sock`, `pipe`, `eventpoll`, a file's path as the target sees it; and the socket
    /// it leads to, if it is one of a protocol that we know and the namespace has no more sockets
    /// than can be read in 50 ms: together for all that one `Descriptors` is asked for.
    ///
    /// `None` when there is no such descriptor or we may not know.
    pub fn identify(&self, fd: i32) -> Option<(String, Option<Socket>)> {
        let link = self.target.dir.link(&format!("fd/{fd}")).ok()?;
        let text = bytes_of(&link);
        if let Some(inode) = bracketed(text, b"socket:") {
            let mut socket = self.sockets.borrow_mut().find(fd, inode);
            if let Some(socket) = &mut socket {
                self.complete(socket, fd, inode);
            }
            let words = socket.as_ref().map_or_else(|| "socket".to_owned(), ToString::to_string);
            return Some((words, socket));
        }
        if bracketed(text, b"pipe:").is_some() {
            return Some(("pipe".to_owned(), None));
        }
        // `anon_inode:[eventpoll]`, `anon_inode:inotify`
        if let Some(kind) = text.strip_prefix(b"anon_inode:") {
            let kind = String::from_utf8_lossy(kind);
            return Some((kind.trim_matches(['[', ']']).to_owned(), None));
        }
        Some((self.target.below_root(&link).to_string_lossy().into_owned(), None))
    }

    /// How long ago the last byte from each of these far ends arrived, `10.0.0.7:51123`, on whichever
    /// connection to it; those of which that cannot be told are left out.
    pub fn heard_from(&self, peers: &[Arc<str>]) -> BTreeMap<Arc<str>, Duration> {
        let mut sockets = self.sockets.borrow_mut();
        let heard = |peer: &Arc<str>| Some((Arc::clone(peer), sockets.heard_from(peer, None)?));
        peers.iter().filter_map(heard).collect()
    }

    /// Adds what is asked of few sockets only: whether the far end of one that waits for an answer
    /// was heard elsewhere, and whether anybody waits for what there is to read.
    fn complete(&self, socket: &mut Socket, fd: i32, inode: u64) {
        if let (Some(tcp), Some(remote)) = (&mut socket.tcp, &socket.remote)
            && tcp.silent().is_some_and(|time| time >= LONG)
        {
            tcp.peer_heard = self.sockets.borrow_mut().heard_from(remote, Some(inode));
        }
        if socket.receive_queue > Some(0) && socket.state != Some("listening") {
            socket.is_watched = self.is_watched(fd, inode);
        }
    }

    /// Whether an `epoll` of the process waits until there is something to read from a descriptor;
    /// `None` where there is no such thing.
    fn is_watched(&self, fd: i32, inode: u64) -> Option<bool> {
        let watched = self.watched.get_or_init(|| self.target.watched());
        watched.as_ref().map(|all| all.contains(&(fd, inode)))
    }

    /// The system call a thread is in, and what its descriptor is.
    ///
    /// `None` when the thread runs, is in no call, is gone, or we may not know.
    pub fn syscall(&self, tid: i32) -> Option<Syscall> {
        let (name, fd) = Call::parse(&self.line(tid)?)?.describe()?;
        Some(Syscall { name, fd, peer: fd.and_then(|fd| self.describe(fd)) })
    }

    /// The same, and what the call waits for, some of which lies in the target's memory.
    pub fn wait(&self, tid: i32, read: ReadBytes<'_>) -> Option<Wait> {
        let line = self.line(tid)?;
        let call = Call::parse(&line)?;
        let (name, fd) = call.describe()?;
        let awaited = call.awaited(read);
        // A thread that has moved on has other things where its arguments were, and did not wait;
        // nor does one that only wakes others.
        let has_moved = || self.line(tid).is_none_or(|later| later != line);
        if awaited.is_some() && has_moved() || awaited.is_none() && name == "futex" {
            return None;
        }
        let polled = match &awaited {
            Some(Awaited::AnyOf { fds, .. }) => <[i32; 1]>::try_from(fds.as_slice()).ok(),
            _ => None,
        };
        let fd = fd.or(polled.map(|[fd]| fd));
        let (peer, socket) = fd.and_then(|fd| self.identify(fd)).unzip();
        let socket = socket.flatten();
        let child = match &awaited {
            Some(Awaited::Child(Some(pid))) => self.target.child(*pid),
            Some(Awaited::AnyOf { .. }) if peer.as_deref() == Some("pidfd") => {
                fd.and_then(|fd| self.target.child_here(self.pidfd(fd)?))
            }
            _ => None,
        };
        Some(Wait { syscall: Syscall { name, fd, peer }, awaited, socket, child })
    }

    /// The process that a `pidfd` stands for, by its id as we see it.
    pub fn pidfd(&self, fd: i32) -> Option<i32> {
        let info = Status::from(self.target.dir.read(&format!("fdinfo/{fd}"), 4096).ok()?);
        // It is 0 for one of another namespace, -1 for one that has ended.
        info.field("Pid")?.parse().ok().filter(|&pid| pid > 0)
    }

    /// A `syscall` file.
    fn line(&self, tid: i32) -> Option<Vec<u8>> {
        self.target.dir.read(&format!("task/{tid}/syscall"), 512).ok()
    }
}

impl Target {
    /// The descriptors, with their inodes, of which an `epoll` of the process waits until there is
    /// something to read; `None` where it has none or that may not be known.
    fn watched(&self) -> Option<FxHashSet<(i32, u64)>> {
        let path = Path::new("/proc").join(self.pid().to_string()).join("fd");
        let entries = std::fs::read_dir(path).ok()?.take(MAX_FDS).flatten();
        let epolls = entries.filter(|entry| {
            let link = std::fs::read_link(entry.path());
            link.is_ok_and(|link| bytes_of(&link) == b"anon_inode:[eventpoll]")
        });
        let mut watched = None;
        for entry in epolls {
            let registered = self.registered(entry.file_name().to_str()?.parse().ok()?)?;
            let read = registered.into_iter().filter(|it| it.is_for_reading);
            let all: &mut FxHashSet<_> = watched.get_or_insert_default();
            all.extend(read.filter_map(|it| Some((it.fd, it.inode?))));
        }
        watched
    }
}

/// The number of `KIND:[NUMBER]`.
fn bracketed(text: &[u8], kind: &[u8]) -> Option<u64> {
    let number = text.strip_prefix(kind)?.strip_prefix(b"[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_ourselves() {
        use std::net::{TcpListener, TcpStream, UdpSocket};
        use std::os::fd::AsRawFd;
        let target = Target::open(i32::try_from(std::process::id()).unwrap()).unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let (pipe, _other) = std::io::pipe().unwrap();
        let all = target.descriptors();
        let listening = format!("tcp listening on {}", server.local_addr().unwrap());
        assert_eq!(all.describe(server.as_raw_fd()), Some(listening));
        let ends = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let connected = format!("tcp {} -> {} established", ends.0, ends.1);
        assert_eq!(all.describe(client.as_raw_fd()), Some(connected));
        let bound = format!("udp {}", udp.local_addr().unwrap());
        assert_eq!(all.describe(udp.as_raw_fd()), Some(bound));
        let exe = std::env::current_exe().unwrap().to_string_lossy().into_owned();
        assert_eq!(all.describe(file.as_raw_fd()), Some(exe));
        assert_eq!(all.describe(pipe.as_raw_fd()), Some("pipe".to_owned()));
        assert_eq!(all.describe(-1), None);
    }
}
