//! Transports: which file descriptor a future, and so the task parked on it, waits for.
//!
//! A loop knows the descriptors it watches; each has a handle whose callable leads to a transport
//! or holds the future itself. A transport leads to its protocol, and a protocol keeps the futures
//! of those that wait for it among its attributes: directly, or in a stream reader of its own. That
//! way libraries are understood that nobody here has heard of.

mod child;
mod frame;
mod scan;
mod uvloop;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::layout::SOCKET_FD;
use crate::memory::Address;
use crate::python::object::{Class, Kind, Reader};

pub use child::{PipeFacts, SubprocessFacts};

/// Transports inside one another that are followed: TLS over TLS over a socket is three.
const MAX_LAYERS: usize = 8;
/// Base classes that are followed.
const MAX_BASES: usize = 64;
/// Futures of one list of waiters.
const MAX_WAITERS: u64 = 1 << 12;

/// What a future stands for: a descriptor that has to become ready, or a process that has to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The descriptor; `None` for a process.
    pub fd: Option<i32>,
    /// What is waited for.
    pub direction: Direction,
    /// What the descriptor belongs to, as asyncio sees it.
    pub medium: Medium,
    /// Whether what is read and written is encrypted on the way.
    pub is_tls: bool,
    /// The transport, where there is one: the innermost, which owns the descriptor.
    pub transport: Option<Address>,
    /// The class of its protocol, the outermost one.
    pub protocol_class: Option<Arc<str>>,
    /// The attribute in which the future was found, where its name is all that tells the
    /// direction.
    pub attribute: Option<Arc<str>>,
    /// The process at the other end of the pipe, or that has to end.
    pub pid: Option<i32>,
}

/// What has to happen at a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Something to read.
    Read,
    /// Room to write.
    Write,
    /// A connection to come in.
    Accept,
    /// A connection to be made, a TLS handshake included.
    Connect,
    /// Its end.
    Close,
    /// The process to end.
    Exit,
}

/// What a descriptor belongs to, as asyncio sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Medium {
    /// A connected socket, or one of a kind that is not known.
    Socket,
    /// A socket that takes connections.
    Listener,
    /// A socket of a datagram transport.
    Datagram,
    /// A pipe, or whatever was given to a pipe transport.
    Pipe,
    /// A process.
    Process,
}

impl Endpoint {
    fn new(fd: Option<i32>, direction: Direction, medium: Medium) -> Self {
        Self {
            fd,
            direction,
            medium,
            is_tls: false,
            transport: None,
            protocol_class: None,
            attribute: None,
            pid: None,
        }
    }

    fn of_process(pid: i32) -> Self {
        Self { pid: Some(pid), ..Self::new(None, Direction::Exit, Medium::Process) }
    }

    fn towards(self, direction: Direction) -> Self {
        Self { direction, ..self }
    }
}

/// What a transport is on top of.
enum Layer {
    /// Encryption, and another transport below it.
    Tls { below: Address, protocol: Option<Address> },
    /// Nothing.
    Bottom { endpoint: Endpoint, protocol: Option<Address> },
}

/// What was read of a subprocess transport.
struct Process {
    pid: i32,
    protocol: Option<Address>,
    /// The futures of those that wait for its end.
    waiters: Vec<Address>,
}

impl Reader<'_> {
    /// All futures of a loop that are known to wait for a descriptor or a process: from the
    /// descriptors it watches and from its transports.
    pub fn endpoints(&self, loop_at: Address) -> FxHashMap<Address, Endpoint> {
        scan::endpoints(self, loop_at)
    }

    /// The protocols and other objects of a loop, and the callables, that hear of what comes from
    /// outside; `None` if the loop accepts connections.
    pub(crate) fn hearing(&self, loop_at: Address) -> Option<(Vec<Address>, Vec<Address>)> {
        scan::hearing(self, loop_at)
    }

    /// The endpoint of a transport of asyncio or uvloop; its direction is that of a pipe, or
    /// [`Read`](Direction::Read).
    ///
    /// `None` when the object is no transport, or one that is closed.
    pub fn transport(&self, transport: Address) -> Option<Endpoint> {
        let mut at = transport;
        let mut is_tls = false;
        let mut outermost = None;
        for _ in 0..MAX_LAYERS {
            match self.layer(at)? {
                Layer::Tls { below, protocol } => {
                    at = below;
                    outermost = outermost.or(protocol);
                    is_tls = true;
                }
                Layer::Bottom { endpoint, protocol } => {
                    let protocol = outermost.or(protocol);
                    let protocol_class = protocol.and_then(|at| self.class_name_of(at));
                    let transport = Some(at);
                    return Some(Endpoint { is_tls, transport, protocol_class, ..endpoint });
                }
            }
        }
        None
    }

    fn layer(&self, at: Address) -> Option<Layer> {
        if let Some(layer) = self.uv_layer(at) {
            return Some(layer);
        }
        let names = ["_ssl_protocol", "_sock_fd", "_fileno", "_pid", "_protocol"];
        let [tls, socket, pipe, pid, protocol] = self.attributes_named(at, names).ok()?;
        let protocol = protocol.and_then(|at| self.not_none(at));
        if let Some(tls) = tls.and_then(|at| self.not_none(at)) {
            let [below, protocol] =
                self.attributes_named(tls, ["_transport", "_app_protocol"]).ok()?;
            let protocol = protocol.and_then(|at| self.not_none(at));
            return Some(Layer::Tls { below: self.not_none(below?)?, protocol });
        }
        let endpoint = if let Some(socket) = socket {
            self.selector_transport(at, socket)?
        } else if let Some(pipe) = pipe {
            self.pipe_transport(at, pipe, protocol)?
        } else {
            Endpoint::of_process(self.small_int(pid?)?)
        };
        Some(Layer::Bottom { endpoint, protocol })
    }

    fn selector_transport(&self, at: Address, fd: Address) -> Option<Endpoint> {
        // A closed transport keeps the number, which may be another descriptor's by now.
        self.not_none(self.attribute(at, "_sock").ok()??)?;
        let class = self.class_of(at).ok()?;
        let is_datagram = self.is_subclass_named(&class, "_SelectorDatagramTransport");
        let medium = if is_datagram { Medium::Datagram } else { Medium::Socket };
        Some(Endpoint::new(Some(self.fd(fd)?), Direction::Read, medium))
    }

    fn pipe_transport(
        &self,
        at: Address,
        fd: Address,
        protocol: Option<Address>,
    ) -> Option<Endpoint> {
        self.not_none(self.attribute(at, "_pipe").ok()??)?;
        let class = self.class_of(at).ok()?;
        let is_write = self.is_subclass_named(&class, "_UnixWritePipeTransport");
        let direction = if is_write { Direction::Write } else { Direction::Read };
        let endpoint = Endpoint::new(Some(self.fd(fd)?), direction, Medium::Pipe);
        let pid = protocol.and_then(|protocol| self.process_behind(protocol));
        Some(Endpoint { pid, ..endpoint })
    }

    /// The process at the other end of a pipe, whose protocol knows it.
    fn process_behind(&self, protocol: Address) -> Option<i32> {
        let process = self.not_none(self.attribute(protocol, "proc").ok()??)?;
        self.process(process).map(|process| process.pid)
    }

    /// The process of a subprocess transport.
    fn process(&self, transport: Address) -> Option<Process> {
        if let Some(process) = self.uv_process(transport) {
            return Some(process);
        }
        let names = ["_pid", "_protocol", "_exit_waiters"];
        let [pid, protocol, waiters] = self.attributes_named(transport, names).ok()?;
        let waiters = self.not_none(waiters?);
        Some(Process {
            pid: self.small_int(pid?)?,
            protocol: self.not_none(protocol?),
            waiters: waiters.map(|at| self.waiters(at)).unwrap_or_default(),
        })
    }

    /// The transport of one of the pipes to a process: 0, 1 or 2.
    fn process_pipe(&self, process: Address, number: i32) -> Option<Address> {
        if let Some(pipe) = self.uv_process_pipe(process, number) {
            return Some(pipe);
        }
        let pipes = self.attribute(process, "_pipes").ok()??;
        let pipes = self.dict(pipes, 16).ok()?;
        let is_wanted = |key: &Address| self.small_int(*key) == Some(number);
        let (_, protocol) = pipes.into_iter().find(|(key, _)| is_wanted(key))?;
        self.not_none(self.attribute(protocol, "pipe").ok()??)
    }

    /// The descriptor of an open socket object.
    pub(crate) fn socket_fd(&self, at: Address) -> Option<i32> {
        let class = self.class_of(at).ok()?;
        let at = if &*class.name == "TransportSocket" {
            self.attribute(at, "_sock").ok()??
        } else {
            at
        };
        let class = self.c_class(self.class_of(at).ok()?)?;
        if &*class.name != "_socket.socket" {
            return None;
        }
        self.memory.i32(at.offset(SOCKET_FD)).ok().filter(|&fd| fd >= 0)
    }

    /// The first class of a chain that was written in C.
    fn c_class(&self, class: Arc<Class>) -> Option<Arc<Class>> {
        let mut class = class;
        for _ in 0..MAX_BASES {
            if !class.is_python() {
                return Some(class);
            }
            class = self.class(class.base?).ok()?;
        }
        None
    }

    fn not_none(&self, at: Address) -> Option<Address> {
        (!self.is_kind(at, Kind::None)).then_some(at)
    }

    fn class_name_of(&self, at: Address) -> Option<Arc<str>> {
        Some(self.class_name(&*self.class_of(at).ok()?))
    }

    pub(super) fn small_int(&self, at: Address) -> Option<i32> {
        if !self.is_kind(at, Kind::Int) {
            return None;
        }
        self.int(at).ok().and_then(|n| i32::try_from(n).ok())
    }

    fn fd(&self, at: Address) -> Option<i32> {
        self.small_int(at).filter(|&fd| fd >= 0)
    }

    /// Whether the object at `at` is a future, and no task.
    fn is_plain_future(&self, at: Address) -> bool {
        matches!(self.kind_of(at), Ok(Kind::Future | Kind::PyFuture))
    }

    /// The futures in a list, deque or set, alone or first in a tuple.
    fn waiters(&self, at: Address) -> Vec<Address> {
        let items = match self.kind_of(at) {
            Ok(Kind::List) => self.list(at, MAX_WAITERS),
            Ok(Kind::Deque) => self.deque(at, MAX_WAITERS),
            // Who waits for a process, from 3.14 on.
            Ok(Kind::Set) => self.set(at),
            _ => return Vec::new(),
        };
        let items = items.unwrap_or_default();
        self.memory.prefetch(items.iter().map(|&at| (at, 48)));
        let future = |at| {
            let is_tuple = self.is_kind(at, Kind::Tuple);
            if is_tuple { self.tuple(at).ok()?.first().copied() } else { Some(at) }
        };
        items.into_iter().filter_map(future).filter(|&at| self.is_plain_future(at)).collect()
    }
}
