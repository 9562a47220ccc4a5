//! The sockets of the target's network namespace: their ends, states and queues, by inode.
//!
//! The kernel answers no question about one socket by its inode: it lists all. Its list comes as
//! text from `/proc/PID/net` (2.5 µs for each socket, those that wait after their end included), or
//! as messages of the kind `NETLINK_SOCK_DIAG`, which take a third of that and leave out what
//! nobody has open, but can be had of our own namespace only. They alone say how a connection got
//! on. A table is read when the first of its sockets is asked for, as far as that one, and further
//! for the next; what was passed is kept. All reading of one [`Sockets`] together ends after [`PATIENCE`]: what
//! was not found by then is not known. A line that is not understood is left out; text from the
//! target is not cleaned. The address of a client is in [`Socket::client`] and nowhere else.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use rustc_hash::{FxHashMap, FxHashSet};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use super::proc::ProcDir;
use crate::snapshot::{Socket, Tcp};

/// How much of a processor's time the tables of one [`Sockets`] may take in all: about 20,000 sockets
/// as text. On a busy machine that may be long.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);
/// From here on the kernel gives out ports for connections that are opened (`ip_local_port_range`).
const GIVEN: u16 = 32_768;
/// More than can be read in that time; a line has 150 bytes and a message some 400.
const MAX_TABLE: usize = 32 * 1024 * 1024;
/// The kernel gives text by pages and messages by 32 KiB.
const BLOCK: usize = 32 * 1024;

/// The sockets of one network namespace, read as far as needed.
#[derive(Debug)]
pub(super) struct Sockets<'t> {
    dir: &'t ProcDir,
    tables: [Table; SocketList::ALL.len()],
    patience: Duration,
    may_ask_kernel: bool,
    by_far_end: Option<ByFarEnd>,
}

/// The connections to each far end: their inodes, and how long ago the last byte from there arrived.
type ByFarEnd = FxHashMap<SocketAddr, Vec<(u64, Option<Duration>)>>;

impl<'t> Sockets<'t> {
    pub(super) fn new(dir: &'t ProcDir) -> Self {
        Self {
            dir,
            tables: SocketList::ALL.map(Table::new),
            patience: PATIENCE,
            may_ask_kernel: true,
            by_far_end: None,
        }
    }

    /// The socket with this inode, which is what descriptor `fd` of the target leads to.
    pub(super) fn find(&mut self, fd: i32, inode: u64) -> Option<Socket> {
        let known = self.tables.iter().find_map(|table| table.get(inode));
        if known.is_some() {
            return known;
        }
        let protocol = protocol(self.dir, fd);
        let Self { dir, tables, patience, may_ask_kernel, .. } = self;
        let wanted = tables.iter_mut().filter(|table| match &protocol {
            Some(name) => table.kind.protocols().contains(&name.as_str()),
            None => true,
        });
        for table in wanted {
            while !table.has(inode) && table.read_within(patience, dir, *may_ask_kernel) {}
            if table.has(inode) {
                return table.get(inode);
            }
        }
        None
    }

    /// How long ago the last byte from a far end arrived, on whichever connection to it that is
    /// still there, but for the socket with that inode; `None` where none did, or that cannot be
    /// told.
    pub(super) fn heard_from(&mut self, remote: &str, but: Option<u64>) -> Option<Duration> {
        let remote: SocketAddr = remote.parse().ok()?;
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let connections = self.by_far_end().get(&remote)?;
        let others = connections.iter().filter(|(inode, _)| Some(*inode) != but);
        others.filter_map(|(_, heard)| *heard).min()
    }

    fn by_far_end(&mut self) -> &ByFarEnd {
        let Self { dir, tables, patience, may_ask_kernel, by_far_end } = self;
        by_far_end.get_or_insert_with(|| {
            let mut found = ByFarEnd::default();
            for table in tables.iter_mut().filter(|table| table.kind.family().is_some()) {
                while table.read_within(patience, dir, *may_ask_kernel) {}
                for (remote, inode, heard) in table.heard() {
                    found.entry(remote).or_default().push((inode, heard));
                }
            }
            found
        })
    }
}

/// What the kernel calls the protocol of a socket of the target: `TCPv6`, `UNIX-STREAM`.
fn protocol(dir: &ProcDir, fd: i32) -> Option<String> {
    let mut name = [0; 32];
    // There is no such call relative to an open directory.
    let path = format!("/proc/self/fd/{}/fd/{fd}", dir.as_raw_fd());
    let len = rustix::fs::getxattr(path, "system.sockprotoname", &mut name).ok()?;
    let name = name.get(..len)?.split(|&byte| byte == 0).next()?;
    Some(std::str::from_utf8(name).ok()?.to_owned())
}

/// One list of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SocketList {
    Tcp,
    Tcp6,
    Unix,
    Udp,
    Udp6,
}

impl SocketList {
    const ALL: [Self; 5] = [Self::Tcp, Self::Tcp6, Self::Unix, Self::Udp, Self::Udp6];

    fn file(self) -> &'static str {
        match self {
            Self::Tcp => "net/tcp",
            Self::Tcp6 => "net/tcp6",
            Self::Unix => "net/unix",
            Self::Udp => "net/udp",
            Self::Udp6 => "net/udp6",
        }
    }

    /// The names of the protocols whose sockets the list has.
    fn protocols(self) -> &'static [&'static str] {
        match self {
            Self::Tcp => &["TCP"],
            Self::Tcp6 => &["TCPv6"],
            Self::Unix => &["UNIX", "UNIX-STREAM"],
            Self::Udp => &["UDP"],
            Self::Udp6 => &["UDPv6"],
        }
    }

    /// The address family of those lists that we ask of the kernel by messages: TCP's, which are
    /// long. (The kernel loads a module to answer.)
    fn family(self) -> Option<AddressFamily> {
        match self {
            Self::Tcp => Some(AddressFamily::INET),
            Self::Tcp6 => Some(AddressFamily::INET6),
            Self::Unix | Self::Udp | Self::Udp6 => None,
        }
    }

    /// Which word of a line is the inode.
    fn inode_word(self) -> usize {
        if self == Self::Unix { 6 } else { 9 }
    }
}

/// One list, as far as it was read.
#[derive(Debug)]
struct Table {
    kind: SocketList,
    source: Source,
    /// Lines or messages, as they came.
    bytes: Vec<u8>,
    /// How many of them are taken in.
    done: usize,
    /// The ports at which somebody listens: the kernel lists these sockets first.
    listening: FxHashSet<u16>,
    /// The line or message of each inode; they are understood when asked for.
    entries: FxHashMap<u64, (Form, Range<usize>)>,
}

/// Where a list comes from.
#[derive(Debug)]
enum Source {
    Unopened,
    Text(File),
    Messages(OwnedFd),
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Line,
    Message,
}

impl Table {
    fn new(kind: SocketList) -> Self {
        Self {
            kind,
            source: Source::Unopened,
            bytes: Vec::new(),
            done: 0,
            listening: FxHashSet::default(),
            entries: FxHashMap::default(),
        }
    }

    fn has(&self, inode: u64) -> bool {
        self.entries.contains_key(&inode)
    }

    fn get(&self, inode: u64) -> Option<Socket> {
        let (form, range) = self.entries.get(&inode)?;
        let bytes = self.bytes.get(range.clone())?;
        let socket = match (form, self.kind) {
            (Form::Message, _) => from_message(bytes),
            (Form::Line, SocketList::Tcp | SocketList::Tcp6) => tcp(bytes),
            (Form::Line, SocketList::Udp | SocketList::Udp6) => udp(bytes),
            (Form::Line, SocketList::Unix) => unix(bytes),
        };
        socket.map(|socket| self.with_client(socket))
    }

    /// Who has connected to the target is for live views only; whom it has connected to is for all.
    fn with_client(&self, mut socket: Socket) -> Socket {
        let port = |end: &Option<String>| Some(end.as_ref()?.parse::<SocketAddr>().ok()?.port());
        let (Some(near), Some(far)) = (port(&socket.local), port(&socket.remote)) else {
            return socket;
        };
        let opened_here = socket.tcp.as_ref().and_then(|tcp| tcp.opened_here);
        // Its port was given out, this one was chosen.
        let may_be_client = || self.listening.contains(&near) || near < GIVEN && far >= GIVEN;
        socket.is_accepted = opened_here.map_or_else(may_be_client, |opened_here| !opened_here);
        if socket.is_accepted {
            socket.client = socket.remote.take();
        }
        socket
    }

    /// How long ago the last byte from the far end of each connection that was listed arrived.
    fn heard(&self) -> impl Iterator<Item = (SocketAddr, u64, Option<Duration>)> {
        self.entries.iter().filter_map(|(&inode, (form, range))| {
            let message = self.bytes.get(range.clone()).filter(|_| *form == Form::Message)?;
            let heard = tcp_info(message).and_then(|tcp| tcp.last_received);
            Some((ends(message)?.1, inode, heard))
        })
    }

    /// Reads the next block as long as there is patience; `false` when there is none.
    fn read_within(&mut self, patience: &mut Duration, dir: &ProcDir, may_ask: bool) -> bool {
        let spent = || {
            clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
        };
        let began = spent();
        let is_more = !patience.is_zero() && self.read_on(dir, may_ask);
        *patience = patience.saturating_sub(spent().saturating_sub(began));
        is_more
    }

    /// Reads the next block; `false` when there is none.
    fn read_on(&mut self, dir: &ProcDir, may_ask_kernel: bool) -> bool {
        if self.bytes.len() > MAX_TABLE {
            self.source = Source::Ended;
        }
        let is_more = match &mut self.source {
            Source::Unopened => {
                self.source = self.open(dir, may_ask_kernel);
                true
            }
            Source::Ended => false,
            Source::Text(file) => {
                let start = self.bytes.len();
                self.bytes.resize(start.saturating_add(BLOCK), 0);
                let room = self.bytes.get_mut(start..).unwrap_or_default();
                let len = file.read(room).unwrap_or(0);
                self.bytes.truncate(start.saturating_add(len));
                self.take_lines();
                len > 0
            }
            Source::Messages(socket) => {
                let start = self.bytes.len();
                self.bytes.resize(start.saturating_add(BLOCK), 0);
                let room = self.bytes.get_mut(start..).unwrap_or_default();
                let len = rustix::net::recv(&*socket, room, RecvFlags::empty());
                let len = len.map_or(0, |(_, len)| len.min(BLOCK));
                self.bytes.truncate(start.saturating_add(len));
                match self.take_messages() {
                    Taken::More => len > 0,
                    Taken::All => false,
                    // No such list by messages: there is one as text.
                    Taken::Refused => {
                        self.source = text(dir, self.kind);
                        return true;
                    }
                }
            }
        };
        if !is_more {
            self.source = Source::Ended;
        }
        is_more
    }

    fn open(&self, dir: &ProcDir, may_ask_kernel: bool) -> Source {
        let family = self.kind.family().filter(|_| may_ask_kernel && is_of_our_network(dir));
        match family.and_then(ask_kernel) {
            Some(socket) => Source::Messages(socket),
            None => text(dir, self.kind),
        }
    }

    /// Takes in the whole lines that were read.
    fn take_lines(&mut self) {
        while let Some(rest) = self.bytes.get(self.done..) {
            let Some(len) = rest.iter().position(|&byte| byte == b'\n') else { return };
            let line = rest.get(..len).unwrap_or_default();
            let inode = word(line, self.kind.inode_word()).and_then(|word| word.parse().ok());
            let end = self.done.saturating_add(len);
            // Those that wait after their end belong to nobody any more.
            if let Some(inode) = inode.filter(|&inode| inode > 0) {
                let is_listening = word(line, 3) == Some("0A");
                let near = word(line, 1).filter(|_| is_listening).and_then(address);
                self.listening.extend(near.map(|near| near.port()));
                self.entries.insert(inode, (Form::Line, self.done..end));
            }
            self.done = end.saturating_add(1);
        }
    }

    /// Takes in the messages that were read.
    fn take_messages(&mut self) -> Taken {
        while let Some(header) = self.bytes.get(self.done..) {
            let (Some(len), Some(kind)) = (u32_at(header, 0), u16_at(header, 4)) else { break };
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let message = header.get(..len).and_then(|message| message.get(HEADER..));
            let Some(message) = message else { break };
            match kind {
                NLMSG_ERROR if self.entries.is_empty() => return Taken::Refused,
                NLMSG_DONE | NLMSG_ERROR => return Taken::All,
                _ => {}
            }
            let start = self.done.saturating_add(HEADER);
            if let Some(inode) = u32_at(message, INODE).filter(|&inode| inode > 0) {
                let is_listening = message.get(1) == Some(&LISTENING);
                let near = ends(message).filter(|_| is_listening).map(|(near, _)| near);
                self.listening.extend(near.map(|near| near.port()));
                let range = start..start.saturating_add(message.len());
                self.entries.insert(inode.into(), (Form::Message, range));
            }
            self.done = self.done.saturating_add(len.next_multiple_of(4));
        }
        self.done = self.bytes.len();
        Taken::More
    }
}

enum Taken {
    More,
    All,
    Refused,
}

fn text(dir: &ProcDir, kind: SocketList) -> Source {
    dir.file(kind.file()).map_or(Source::Ended, Source::Text)
}

/// Whether the target's network namespace is ours.
pub(super) fn is_of_our_network(dir: &ProcDir) -> bool {
    let ours = ProcDir::own().and_then(|own| own.link("ns/net"));
    let theirs = dir.link("ns/net");
    ours.is_ok_and(|ours| theirs.is_ok_and(|theirs| ours == theirs))
}

// include/uapi/linux/netlink.h, include/uapi/linux/sock_diag.h
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
// include/uapi/linux/inet_diag.h, struct inet_diag_msg
const PORTS: usize = 4;
const SOURCE: usize = 8;
const DESTINATION: usize = 24;
const RECEIVE_QUEUE: usize = 56;
const SEND_QUEUE: usize = 60;
const INODE: usize = 68;
/// The length of the message without its attributes.
const MESSAGE: usize = 72;
// The same file: an attribute with a `struct tcp_info` (include/uapi/linux/tcp.h).
const INET_DIAG_INFO: u16 = 2;
const RETRANSMITS: usize = 2;
const BACKOFF: usize = 4;
const RTO: usize = 8;
const LAST_DATA_SENT: usize = 44;
const LAST_DATA_RECEIVED: usize = 52;
const LAST_ACK_RECEIVED: usize = 56;
const BYTES_ACKED: usize = 120; // 4.1
const BYTES_RECEIVED: usize = 128; // 4.1
const NOT_SENT: usize = 144; // 4.6
const BYTES_SENT: usize = 200; // 4.19
const BYTES_RETRANSMITTED: usize = 208; // 4.19
const SEND_WINDOW: usize = 228; // 5.4
// `idiag_timer`: what the socket's timer is for.
const TIMER: usize = 2;
const TIMER_RETRANSMIT: u8 = 1;
const TIMER_PROBE: u8 = 4;
/// In all states but those without an inode, and those not yet bound or connected.
const STATES: u32 = 0b1111_0011_0110;
const IPPROTO_TCP: u8 = 6;

/// Asks the kernel for the list of all TCP sockets of our network namespace, with how each got on.
pub(super) fn ask_kernel(family: AddressFamily) -> Option<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )
    .ok()?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).ok()?;
    // struct nlmsghdr, struct inet_diag_req_v2 without an address.
    let mut request = [0_u8; HEADER + 56];
    let len = u32::try_from(request.len()).ok()?;
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(room) = request.get_mut(at..at.saturating_add(bytes.len())) {
            room.copy_from_slice(bytes);
        }
    };
    put(0, &len.to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    let extensions = 1 << (INET_DIAG_INFO - 1);
    put(HEADER, &[u8::try_from(family.as_raw()).ok()?, IPPROTO_TCP, extensions]);
    put(HEADER + 4, &STATES.to_ne_bytes());
    rustix::net::send(&socket, &request, SendFlags::empty()).ok()?;
    Some(socket)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A list of TCP sockets with what each has sent and received.
#[derive(Debug, Default)]
pub(super) struct TcpList {
    messages: Vec<u8>,
}

impl TcpList {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Reads on; whether there may be more.
    pub(super) fn read(&mut self, receive: impl FnOnce(&mut [u8]) -> usize) -> bool {
        let start = self.messages.len();
        self.messages.resize(start.saturating_add(BLOCK), 0);
        let len = receive(self.messages.get_mut(start..).unwrap_or_default()).min(BLOCK);
        self.messages.truncate(start.saturating_add(len));
        let is_end = |(kind, _): (u16, &[u8])| matches!(kind, NLMSG_DONE | NLMSG_ERROR);
        len > 0 && !messages(self.messages.get(start..).unwrap_or_default()).any(is_end)
    }

    /// Each socket's inode with the bytes that it has received, and those sent that its peer has
    /// acknowledged.
    pub(super) fn bytes(&self) -> impl Iterator<Item = (u64, u64)> {
        messages(&self.messages).filter_map(|(_, message)| {
            let inode = u32_at(message, INODE)?;
            let info = attribute(message.get(MESSAGE..)?, INET_DIAG_INFO)?;
            let count = |at: usize| Some(u64::from_ne_bytes(*info.get(at..)?.first_chunk()?));
            Some((inode.into(), count(BYTES_ACKED)?.saturating_add(count(BYTES_RECEIVED)?)))
        })
    }
}

/// The kinds and bodies of netlink messages.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (len, kind) = (usize::try_from(u32_at(bytes, 0)?).ok()?, u16_at(bytes, 4)?);
        let body = bytes.get(HEADER..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The value of an attribute behind a message (`struct rtattr`).
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (len, kind) = (usize::from(u16_at(bytes, 0)?), u16_at(bytes, 2)?);
        let value = bytes.get(4..len)?;
        if kind == wanted {
            return Some(value);
        }
        bytes = bytes.get(len.next_multiple_of(4)..)?;
    }
}

/// A `struct inet_diag_msg` of a TCP socket.
fn from_message(message: &[u8]) -> Option<Socket> {
    let state = *message.get(1)?;
    let (local, remote) = ends(message)?;
    let queues = (u32_at(message, RECEIVE_QUEUE)?, u32_at(message, SEND_QUEUE)?);
    let tcp = tcp_info(message).filter(|_| state != LISTENING);
    Some(Socket { tcp, ..tcp_socket(local, remote, state, queues) })
}

/// The near and the far end.
fn ends(message: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let family = *message.first()?;
    let address = |ip: usize, port: usize| {
        let bytes = message.get(ip..)?;
        let ip = if u16::from(family) == AddressFamily::INET6.as_raw() {
            unmapped(Ipv6Addr::from(*bytes.first_chunk::<16>()?))
        } else {
            IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>()?))
        };
        let port = u16::from_be_bytes(*message.get(port..)?.first_chunk()?);
        Some(SocketAddr::new(ip, port))
    };
    Some((address(SOURCE, PORTS)?, address(DESTINATION, PORTS + 2)?))
}

/// How a connection got on, by the `struct tcp_info` behind the message; `None` where the kernel
/// doesn't count bytes, for then a time may be that of a byte that never was.
fn tcp_info(message: &[u8]) -> Option<Tcp> {
    let info = attribute(message.get(MESSAGE..)?, INET_DIAG_INFO)?;
    let count = |at: usize| Some(u64::from_ne_bytes(*info.get(at..)?.first_chunk()?));
    let time = |at| Some(Duration::from_millis(u32_at(info, at)?.into()));
    let (state, timer) = (*message.get(1)?, *message.get(TIMER)?);
    let queued = u64::from(u32_at(message, SEND_QUEUE)?);
    let unsent = u32_at(info, NOT_SENT).map(u64::from);
    // The end that the other side has sent counts as a byte.
    let received = count(BYTES_RECEIVED)?.saturating_sub((state == CLOSED_BY_PEER).into());
    // What was sent for the first time, and not again.
    let sent = count(BYTES_SENT)?.checked_sub(count(BYTES_RETRANSMITTED)?)?;
    let retransmits = u32::from(*info.get(RETRANSMITS)?);
    // Each time is twice the one before, the present one included.
    let waited = u64::from(u32_at(info, RTO)?);
    let before = waited.checked_shr((*info.get(BACKOFF)?).into()).unwrap_or(0);
    let last_sent = time(LAST_DATA_SENT).filter(|_| sent > 0);
    let is_retransmitting = timer == TIMER_RETRANSMIT && retransmits > 0;
    Some(Tcp {
        opened_here: opened_here(state, count(BYTES_ACKED)? + queued, sent + unsent?),
        last_sent,
        last_received: time(LAST_DATA_RECEIVED).filter(|_| received > 0),
        last_acknowledged: time(LAST_ACK_RECEIVED),
        // What opens a connection is no byte.
        retransmitting: last_sent
            .or((state == CONNECTING).then_some(Duration::ZERO))
            .filter(|_| is_retransmitting)
            .map(|last| last + Duration::from_micros(waited - before)),
        retransmits: if is_retransmitting { retransmits } else { 0 },
        unsent,
        is_window_closed: timer == TIMER_PROBE || u32_at(info, SEND_WINDOW) == Some(0),
        peer_heard: None,
    })
}

/// Whether this end has opened the connection: then the kernel has counted that with the bytes that
/// were acknowledged or are to be, as one. Of one that was accepted it has not.
fn opened_here(state: u8, counted: u64, written: u64) -> Option<bool> {
    // Its own end counts as one, too.
    let end = match state {
        ESTABLISHED | CLOSED_BY_PEER => 0,
        FIN_WAIT1 | FIN_WAIT2 => 1,
        _ => return None,
    };
    match counted.checked_sub(written)?.checked_sub(end)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

// include/net/tcp_states.h
const ESTABLISHED: u8 = 1;
const CONNECTING: u8 = 2;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const CLOSED_BY_PEER: u8 = 8;
const LISTENING: u8 = 10;

fn tcp_socket(local: SocketAddr, remote: SocketAddr, state: u8, queues: (u32, u32)) -> Socket {
    let is_listening = state == LISTENING;
    Socket {
        protocol: "tcp",
        local: Some(local.to_string()),
        remote: Some(remote.to_string()).filter(|_| !is_listening),
        state: match state {
            ESTABLISHED => Some("established"),
            CONNECTING => Some("connecting"),
            3 => Some("accepting"),
            FIN_WAIT1 | FIN_WAIT2 => Some("closing (closed here)"),
            6 => Some("closed, waiting"),
            7 => Some("closed"),
            CLOSED_BY_PEER => Some("closed by peer"),
            9 | 11 => Some("closing"),
            LISTENING => Some("listening"),
            _ => None,
        },
        receive_queue: Some(queues.0.into()),
        // Of one that listens it is the greatest length of the other, in messages only.
        send_queue: Some(queues.1.into()).filter(|_| !is_listening),
        tcp: None,
        is_watched: None,
        is_accepted: false,
        client: None,
    }
}

fn word(line: &[u8], at: usize) -> Option<&str> {
    let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    std::str::from_utf8(words.nth(at)?).ok()
}

/// `SLOT: LOCAL REMOTE STATE SENT:RECEIVED TIMER RETRANSMITS UID TIMEOUT INODE ...`
fn tcp(line: &[u8]) -> Option<Socket> {
    let (local, remote) = (address(word(line, 1)?)?, address(word(line, 2)?)?);
    let state = u8::from_str_radix(word(line, 3)?, 16).ok()?;
    Some(tcp_socket(local, remote, state, queues(line)?))
}

/// The same line, of UDP.
fn udp(line: &[u8]) -> Option<Socket> {
    let (local, remote) = (address(word(line, 1)?)?, address(word(line, 2)?)?);
    let (receive_queue, send_queue) = queues(line)?;
    Some(Socket {
        protocol: "udp",
        local: Some(local.to_string()),
        remote: Some(remote.to_string()).filter(|_| remote.port() != 0),
        state: None,
        receive_queue: Some(receive_queue.into()),
        send_queue: Some(send_queue.into()),
        tcp: None,
        is_watched: None,
        is_accepted: false,
        client: None,
    })
}

/// What is to be read, and what is to be sent.
fn queues(line: &[u8]) -> Option<(u32, u32)> {
    let (send, receive) = word(line, 4)?.split_once(':')?;
    let number = |digits| u32::from_str_radix(digits, 16).ok();
    Some((number(receive)?, number(send)?))
}

/// `NUMBER: REFERENCES PROTOCOL FLAGS TYPE STATE INODE PATH`
///
/// Only the end that was bound has a path: the server's, and its side of each connection.
fn unix(line: &[u8]) -> Option<Socket> {
    // include/uapi/linux/net.h
    const SO_ACCEPTCON: u32 = 1 << 16;
    let is_listening = u32::from_str_radix(word(line, 3)?, 16).ok()? & SO_ACCEPTCON != 0;
    let state = match word(line, 5)? {
        _ if is_listening => Some("listening"),
        "02" => Some("connecting"),
        "03" => Some("connected"),
        "04" => Some("closing"),
        _ => None,
    };
    let mut rest = line;
    for _ in 0..7 {
        rest = rest.trim_ascii_start();
        let len = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
        rest = rest.get(len..).unwrap_or_default();
    }
    let path = rest.strip_prefix(b" ").filter(|path| !path.is_empty());
    Some(Socket {
        protocol: "unix",
        local: path.map(|path| String::from_utf8_lossy(path).into_owned()),
        remote: None,
        state,
        receive_queue: None,
        send_queue: None,
        tcp: None,
        is_watched: None,
        is_accepted: false,
        client: None,
    })
}

/// Parses `0100007F:1F90`, or 32 digits for IPv6: 32 bit words as the machine stores them.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = ip.get(at.checked_mul(8)?..at.checked_mul(8)?.checked_add(8)?)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            unmapped(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// An IPv4 address in the form of IPv6 is meant as IPv4.
fn unmapped(ip: Ipv6Addr) -> IpAddr {
    ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
}

/// `tcp 127.0.0.1:5000 -> 127.0.0.1:41234 established`, `unix /run/x.sock`.
impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, local, state, .. } = self;
        let remote = self.far_end();
        f.write_str(protocol)?;
        match (*protocol, local, remote) {
            ("unix", Some(path), _) => return write!(f, " {path}"),
            ("unix", None, _) => return f.write_str(" socket"),
            (_, Some(local), Some(remote)) => write!(f, " {local} -> {remote}")?,
            (_, Some(local), None) if *state == Some("listening") => {
                return write!(f, " listening on {local}");
            }
            (_, Some(local), None) => write!(f, " {local}")?,
            (_, None, Some(remote)) => write!(f, " -> {remote}")?,
            (_, None, None) => f.write_str(" socket")?,
        }
        state.map_or(Ok(()), |state| write!(f, " {state}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn words(socket: Option<Socket>) -> String {
        socket.unwrap().to_string()
    }

    #[test]
    fn tcp_lines() {
        let line = b"   1: 0100007F:1388 0100007F:A112 01 00000007:0000000A 00:00000000 00000000     0        0 29732 1 0000000085efbfab 100";
        let socket = tcp(line).unwrap();
        assert_eq!((socket.receive_queue, socket.send_queue), (Some(10), Some(7)));
        assert_eq!(words(Some(socket)), "tcp 127.0.0.1:5000 -> 127.0.0.1:41234 established");
        let line = b"   0: 00000000:0050 00000000:0000 0A 00000000:00000002 00:00000000 00000000     0        0 1065 1";
        let socket = tcp(line).unwrap();
        assert_eq!((socket.receive_queue, socket.send_queue), (Some(2), None));
        assert_eq!(words(Some(socket)), "tcp listening on 0.0.0.0:80");
        let line = b"   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0";
        assert_eq!(words(tcp(line)), "tcp listening on [::1]:80");
        let line = b"   0: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000200000A:0051 02 0:0";
        assert_eq!(words(tcp(line)), "tcp 127.0.0.1:80 -> 10.0.0.2:81 connecting");
        assert_eq!(tcp(b"   0: 0100007F:1388 0100007F 01 0:0"), None);
        assert_eq!(tcp("   0: \u{e9}100007:1388 0100007F:1 01 0:0".as_bytes()), None);
    }

    #[test]
    fn unix_lines() {
        let line = b"00000000a62d82d6: 00000003 00000000 00010000 0001 01  1062 /run/a b.sock";
        let socket = unix(line).unwrap();
        assert_eq!(socket.state, Some("listening"));
        assert_eq!(words(Some(socket)), "unix /run/a b.sock");
        let line = b"00000000a62d82d6: 00000003 00000000 00000000 0001 03 1062";
        let socket = unix(line).unwrap();
        assert_eq!((&socket.local, socket.state), (&None, Some("connected")));
        assert_eq!(words(Some(socket)), "unix socket");
    }

    #[test]
    fn lines_are_taken_in_as_they_come_whole() {
        let mut table = Table::new(SocketList::Unix);
        table.bytes = b"Num RefCount Protocol Flags Type St Inode Path\nx: 3 0 0 1 03 10 @abc\n\ny: 3 0 0 1 0".to_vec();
        table.take_lines();
        assert_eq!(words(table.get(10)), "unix @abc");
        assert_eq!(table.entries.len(), 1);
        table.bytes.extend(b"3 11\nz: 3 0 0 1 03 0\n");
        table.take_lines();
        assert_eq!(words(table.get(11)), "unix socket");
        assert_eq!(table.entries.len(), 2);
    }

    #[test]
    fn messages_of_any_shape_are_survived() {
        let message = |len: u32, kind: u16, body: &[u8]| {
            let mut message = len.to_ne_bytes().to_vec();
            message.extend(kind.to_ne_bytes());
            message.resize(HEADER, 0);
            message.extend(body);
            message
        };
        for (bytes, is_end) in [
            (message(0, SOCK_DIAG_BY_FAMILY, b""), false),
            (message(15, SOCK_DIAG_BY_FAMILY, b""), false),
            (message(u32::MAX, SOCK_DIAG_BY_FAMILY, b"abc"), false),
            (message(18, SOCK_DIAG_BY_FAMILY, b"abc"), false),
            (message(16, NLMSG_DONE, b""), true),
            (b"abc".to_vec(), false),
        ] {
            let mut table = Table::new(SocketList::Tcp);
            table.bytes = bytes;
            assert_eq!(matches!(table.take_messages(), Taken::All), is_end);
            assert!(table.entries.is_empty());
        }
        assert_eq!(from_message(&[2, 1, 0]), None);
    }

    #[test]
    fn an_end_to_patience() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let dir = ProcDir::own().unwrap();
        let link = dir.link(&format!("fd/{}", server.as_raw_fd())).unwrap();
        let inode = link.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit());
        let mut sockets = Sockets { patience: Duration::ZERO, ..Sockets::new(&dir) };
        assert_eq!(sockets.find(server.as_raw_fd(), inode.parse().unwrap()), None);
    }

    /// What `/proc` and the messages say of the same sockets.
    #[test]
    fn both_sources_agree() {
        use std::io::Write;
        for host in ["127.0.0.1", "::1"] {
            let server = TcpListener::bind((host, 0)).unwrap();
            let _waiting = TcpStream::connect(server.local_addr().unwrap()).unwrap();
            let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
            let (first, _) = server.accept().unwrap();
            let (mut second, _) = server.accept().unwrap();
            let _waiting = TcpStream::connect(server.local_addr().unwrap()).unwrap();
            drop(first);
            second.write_all(b"12345").unwrap();
            let dir = ProcDir::own().unwrap();
            let find = |fd: i32, may_ask_kernel: bool| {
                let link = dir.link(&format!("fd/{fd}")).unwrap();
                let inode = link.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit());
                let inode = inode.parse().unwrap();
                let mut sockets = Sockets { may_ask_kernel, ..Sockets::new(&dir) };
                let socket = sockets.find(fd, inode).unwrap();
                (
                    sockets.tables.iter().find_map(|table| table.entries.get(&inode)).unwrap().0,
                    socket,
                )
            };
            let ends = [(&server as &dyn AsRawFd, 1), (&client, 5), (&second, 0)];
            for (fd, queue) in ends.map(|(end, queue)| (end.as_raw_fd(), queue)) {
                let ((line, text), (message, other)) = (find(fd, false), find(fd, true));
                assert_eq!((line, message), (Form::Line, Form::Message));
                assert!(other.tcp.is_some() == (fd != server.as_raw_fd()), "{other:?}");
                assert_eq!(text, Socket { tcp: None, ..other });
                assert_eq!(text.is_accepted, fd == second.as_raw_fd());
                assert_eq!(text.receive_queue, Some(queue));
            }
        }
    }

    #[test]
    fn who_has_connected_is_called_a_client() {
        let (client, server, known) = pair();
        let address = |stream: &TcpStream| Some(stream.local_addr().unwrap().to_string());
        let accepted = known(&server).0;
        assert_eq!((&accepted.remote, &accepted.client), (&None, &address(&client)));
        let local = server.local_addr().unwrap();
        assert_eq!(words(Some(accepted)), format!("tcp {local} -> a client established"));
        let opened = known(&client).0;
        assert_eq!((opened.remote, opened.client), (address(&server), None));
        // Where nothing but its ports tells.
        let table =
            Table { listening: [50_051].into_iter().collect(), ..Table::new(SocketList::Tcp) };
        let is_accepted = |near: u16, far: u16| {
            let [near, far] = [near, far].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
            table.with_client(tcp_socket(near, far, ESTABLISHED, (0, 0))).is_accepted
        };
        assert!(is_accepted(8000, 51_123) && is_accepted(50_051, 51_123));
        assert!(!is_accepted(51_123, 5432) && !is_accepted(51_123, 50_051));
    }

    /// A connection's two ends, and what the kernel says of them.
    fn pair() -> (TcpStream, TcpStream, impl Fn(&TcpStream) -> (Socket, Tcp)) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let (accepted, _) = server.accept().unwrap();
        let known = |stream: &TcpStream| {
            let dir = ProcDir::own().unwrap();
            let link = dir.link(&format!("fd/{}", stream.as_raw_fd())).unwrap();
            let inode = link.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit());
            let socket = Sockets::new(&dir).find(stream.as_raw_fd(), inode.parse().unwrap());
            let socket = socket.unwrap();
            let tcp = socket.tcp.clone().unwrap();
            (socket, tcp)
        };
        (client, accepted, known)
    }

    #[test]
    fn a_connection_on_which_nothing_was_said_has_no_times() {
        let (client, server, known) = pair();
        for (stream, opened_here) in [(&client, true), (&server, false)] {
            let tcp = known(stream).1;
            assert_eq!((tcp.last_sent, tcp.last_received), (None, None), "{tcp:?}");
            assert_eq!((tcp.opened_here, tcp.unanswered()), (Some(opened_here), None));
        }
    }

    #[test]
    fn who_has_asked_and_who_has_answered() {
        use std::io::{Read, Write};
        let (mut client, mut server, known) = pair();
        client.write_all(b"a question").unwrap();
        server.read_exact(&mut [0; 4]).unwrap();
        let (socket, tcp) = known(&client);
        assert_eq!(socket.send_queue, Some(0));
        assert_eq!((tcp.last_received, tcp.unsent), (None, Some(0)));
        assert!(tcp.unanswered().is_some() && tcp.opened_here == Some(true), "{tcp:?}");
        let (socket, tcp) = known(&server);
        assert_eq!((socket.receive_queue, tcp.last_sent), (Some(6), None));
        assert!(tcp.last_received.is_some() && tcp.opened_here == Some(false), "{tcp:?}");
        server.write_all(b"an answer").unwrap();
        client.read_exact(&mut [0; 9]).unwrap();
        let tcp = known(&client).1;
        assert!(tcp.last_received <= tcp.last_sent && tcp.unanswered().is_none(), "{tcp:?}");
    }

    #[test]
    fn the_end_of_a_connection_is_no_byte() {
        use std::net::Shutdown;
        let (client, server, known) = pair();
        client.shutdown(Shutdown::Write).unwrap();
        let (closing, closed) = (known(&client), known(&server));
        assert_eq!(closing.0.state, Some("closing (closed here)"));
        assert_eq!(closed.0.state, Some("closed by peer"));
        for ((_, tcp), opened_here) in [(closing, true), (closed, false)] {
            assert_eq!((tcp.last_sent, tcp.last_received), (None, None), "{tcp:?}");
            assert_eq!(tcp.opened_here, Some(opened_here));
        }
    }

    #[test]
    fn a_peer_that_takes_nothing_has_closed_its_window() {
        use std::io::{ErrorKind, Write};
        let (mut client, _server, known) = pair();
        client.set_nonblocking(true).unwrap();
        let full = client.write_all(&vec![0; 64 << 20]).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let (socket, tcp) = known(&client);
        assert!(tcp.unsent > Some(0) && tcp.unsent <= socket.send_queue, "{socket:?}");
        assert_eq!((tcp.opened_here, tcp.retransmits), (Some(true), 0), "{tcp:?}");
    }

    #[test]
    fn another_connection_tells_that_the_far_end_lives() {
        use std::io::{Read, Write};
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let _silent = TcpStream::connect(address).unwrap();
        let mut heard = TcpStream::connect(address).unwrap();
        server.accept().unwrap();
        let (mut other, _) = server.accept().unwrap();
        let dir = ProcDir::own().unwrap();
        let heard_from = || Sockets::new(&dir).heard_from(&address.to_string(), None);
        assert_eq!(heard_from(), None);
        other.write_all(b"news").unwrap();
        heard.read_exact(&mut [0; 4]).unwrap();
        assert!(heard_from().is_some());
    }
}
