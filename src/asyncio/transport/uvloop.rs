//! uvloop's transports: C structures, of which each hop is checked by its class or a pointer back.

use rustc_hash::FxHashSet;

use super::{Direction, Endpoint, Layer, Medium, Process};
use crate::layout::uvloop::{
    HANDLE, HANDLE_ARGUMENTS, LOOP, NATIVE, POLL, PROCESS, SERVER, TLS, TLS_TRANSPORT_PROTOCOL,
    UV_HANDLE, UV_LOOP,
};
use crate::memory::Address;
use crate::python::object::{Kind, Reader};

/// Handles of one loop; a process has not so many descriptors.
const MAX_HANDLES: usize = 1 << 17;
/// Pages read together while the handles are followed.
const READAHEAD: u64 = 4;

/// What a loop of uvloop keeps of its descriptors.
#[derive(Default)]
pub(super) struct UvHolds {
    pub transports: Vec<Address>,
    pub servers: Vec<UvServer>,
    pub processes: Vec<Address>,
    pub polls: Vec<UvPoll>,
}

/// A server with what waits for it.
pub(super) struct UvServer {
    pub fd: i32,
    pub serving: Option<Address>,
    pub waiters: Vec<Address>,
}

/// A descriptor that is watched for a callable.
pub(super) struct UvPoll {
    pub fd: i32,
    pub direction: Direction,
    pub called: UvCalled,
}

/// What a handle calls.
pub(super) enum UvCalled {
    /// A Python callable with arguments.
    Python(Address, Vec<Address>),
    /// A method of the loop, written in C.
    Method(String, Vec<Address>),
}

impl Reader<'_> {
    fn is_uv(&self, at: Address, name: &str) -> bool {
        self.uv_class(at).is_some_and(|class| class == name)
    }

    /// The name of a class of uvloop's, without its module.
    fn uv_class(&self, at: Address) -> Option<String> {
        let class = self.class_of(at).ok()?;
        class.name.strip_prefix("uvloop.loop.").map(str::to_owned)
    }

    fn uv_field(&self, at: Address, offset: u64) -> Option<Address> {
        self.not_none(self.pointer(at.offset(offset)).ok()??)
    }

    pub(super) fn uv_layer(&self, at: Address) -> Option<Layer> {
        let class = self.uv_class(at)?;
        let (direction, medium) = match &*class {
            "TCPTransport" | "UnixTransport" => (Direction::Read, Medium::Socket),
            "ReadUnixTransport" => (Direction::Read, Medium::Pipe),
            "WriteUnixTransport" => (Direction::Write, Medium::Pipe),
            "UDPTransport" => (Direction::Read, Medium::Datagram),
            "UVProcessTransport" => {
                let process = self.uv_process(at)?;
                let endpoint = Endpoint::of_process(process.pid);
                return Some(Layer::Bottom { endpoint, protocol: process.protocol });
            }
            "_SSLProtocolTransport" => {
                let tls = self.uv_field(at, TLS_TRANSPORT_PROTOCOL)?;
                let (protocol, _) = self.uv_tls(tls)?;
                return Some(Layer::Tls { below: self.uv_field(tls, TLS.transport)?, protocol });
            }
            _ => return None,
        };
        let fd = self.uv_fd(at, medium == Medium::Datagram)?;
        let protocol = self.uv_field(at, UV_HANDLE.protocol);
        let mut endpoint = Endpoint::new(Some(fd), direction, medium);
        if medium == Medium::Pipe {
            endpoint.pid = protocol.and_then(|protocol| self.process_behind(protocol));
        }
        Some(Layer::Bottom { endpoint, protocol })
    }

    /// The descriptor of an open handle.
    fn uv_fd(&self, at: Address, is_udp: bool) -> Option<i32> {
        let handle = self.pointer(at.offset(UV_HANDLE.handle)).ok()??;
        if self.pointer(handle.offset(NATIVE.data)) != Ok(Some(at)) {
            return None;
        }
        let fd = if is_udp { NATIVE.udp_fd } else { NATIVE.stream_fd };
        self.memory.i32(handle.offset(fd)).ok().filter(|&fd| fd >= 0)
    }

    /// The protocol above TLS, and the future of the handshake; `None` for other objects.
    pub(super) fn uv_tls(&self, at: Address) -> Option<(Option<Address>, Option<Address>)> {
        if !self.is_uv(at, "SSLProtocol") {
            return None;
        }
        let waiter = self.uv_field(at, TLS.waiter).filter(|&at| self.is_plain_future(at));
        Some((self.uv_field(at, TLS.app_protocol), waiter))
    }

    /// The future that waits for a connection of this transport to be made.
    pub(super) fn uv_connecting(&self, at: Address) -> Option<Address> {
        self.uv_class(at)?;
        self.uv_field(at, UV_HANDLE.waiter).filter(|&at| self.is_plain_future(at))
    }

    pub(super) fn uv_process(&self, at: Address) -> Option<Process> {
        if !self.is_uv(at, "UVProcessTransport") {
            return None;
        }
        let waiters = self.uv_field(at, PROCESS.exit_waiters);
        Some(Process {
            pid: self.small_int(self.uv_field(at, PROCESS.pid)?)?,
            protocol: self.uv_field(at, PROCESS.protocol),
            waiters: waiters.map(|at| self.waiters(at)).unwrap_or_default(),
        })
    }

    pub(super) fn uv_process_pipe(&self, at: Address, number: i32) -> Option<Address> {
        if !self.is_uv(at, "UVProcessTransport") {
            return None;
        }
        let pipe = PROCESS.pipes.get(usize::try_from(number).ok()?)?;
        self.uv_field(at, *pipe)
    }

    /// What the loop at `at` keeps of its descriptors; nothing where its layout is not known.
    pub(super) fn uv_holds(&self, at: Address) -> UvHolds {
        self.memory.set_readahead(READAHEAD);
        let handles = self.uv_handles(at);
        self.memory.set_readahead(1);
        self.memory.prefetch(handles.iter().map(|&at| (at, 192)));
        let mut holds = UvHolds::default();
        for at in handles {
            match self.uv_class(at).as_deref() {
                Some("TCPServer" | "UnixServer") => holds.servers.extend(self.uv_server(at)),
                Some("UVProcessTransport") => holds.processes.push(at),
                Some("UVPoll") => self.add_uv_poll(at, &mut holds.polls),
                Some(class) if class.ends_with("Transport") => holds.transports.push(at),
                _ => {}
            }
        }
        holds
    }

    /// The objects of all handles of a loop that are not closed.
    ///
    /// The list may change under the walk, and then lead back to where it was: it ends early then.
    fn uv_handles(&self, loop_at: Address) -> Vec<Address> {
        let native = self.pointer(loop_at.offset(LOOP.uvloop)).ok().flatten();
        let native = native.filter(|uv| self.pointer(uv.offset(UV_LOOP.data)) == Ok(Some(loop_at)));
        let Some(native) = native else { return Vec::new() };
        let head = native.offset(UV_LOOP.handle_queue);
        let mut handles = Vec::new();
        let mut seen = FxHashSet::from_iter([head]);
        let mut node = head;
        for _ in 0..MAX_HANDLES {
            let next = match self.pointer(node) {
                Ok(Some(next)) if seen.insert(next) => next,
                _ => break,
            };
            let handle = next.before(NATIVE.handle_queue);
            if self.pointer(handle.offset(NATIVE.running_loop)) != Ok(Some(native)) {
                break;
            }
            // libuv's own handles have other data, or none.
            let object = self.pointer(handle.offset(NATIVE.data)).ok().flatten();
            handles.extend(object.filter(|object| *object != loop_at));
            node = next;
        }
        handles
    }

    fn add_uv_poll(&self, poll: Address, polls: &mut Vec<UvPoll>) {
        let Ok(fd) = self.memory.i32(poll.offset(POLL.fd)) else { return };
        for (direction, handle) in
            [(Direction::Read, POLL.reading_handle), (Direction::Write, POLL.writing_handle)]
        {
            let called = self.uv_field(poll, handle).and_then(|at| self.uv_called(at));
            polls.extend(called.map(|called| UvPoll { fd, direction, called }));
        }
    }

    /// A listening socket, with those who wait for its server.
    fn uv_server(&self, socket: Address) -> Option<UvServer> {
        let server =
            self.uv_field(socket, UV_HANDLE.server).filter(|&at| self.is_uv(at, "Server"))?;
        let waiters = self.uv_field(server, SERVER.waiters);
        Some(UvServer {
            fd: self.uv_fd(socket, false)?,
            serving: self.uv_field(server, SERVER.serving_forever_fut),
            waiters: waiters.map(|at| self.waiters(at)).unwrap_or_default(),
        })
    }

    fn uv_called(&self, handle: Address) -> Option<UvCalled> {
        if !self.is_kind(handle, Kind::UvHandle) {
            return None;
        }
        if self.memory.i32(handle.offset(HANDLE.cb_type)) == Ok(1) {
            let callable = self.uv_field(handle, HANDLE.arg1)?;
            let arguments = self.uv_field(handle, HANDLE.arg2);
            let arguments = arguments.and_then(|at| self.tuple(at).ok()).unwrap_or_default();
            return Some(UvCalled::Python(callable, arguments));
        }
        let name = self.name(self.uv_field(handle, HANDLE.meth_name)?).ok()?.to_string();
        let argument = |i: u64| self.uv_field(handle, HANDLE.arg1.saturating_add(8 * i));
        Some(UvCalled::Method(name, (0..HANDLE_ARGUMENTS).filter_map(argument).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::tests::Heap;

    /// A queue of handles, each with its object; the last one leads to that of the given number.
    fn loop_of(heap: &mut Heap, count: usize, back_to: Option<usize>) -> (Address, Vec<Address>) {
        let (loop_at, native) = (heap.room(512), heap.room(1024));
        heap.link(loop_at.offset(LOOP.uvloop), native);
        heap.link(native.offset(UV_LOOP.data), loop_at);
        let queue = native.offset(UV_LOOP.handle_queue);
        let (mut objects, mut nodes) = (Vec::new(), vec![queue]);
        for _ in 0..count {
            let (handle, object) = (heap.room(256), heap.room(256));
            heap.link(handle.offset(NATIVE.data), object);
            heap.link(handle.offset(NATIVE.running_loop), native);
            objects.push(object);
            nodes.push(handle.offset(NATIVE.handle_queue));
        }
        nodes.push(back_to.map_or(queue, |at| nodes[at + 1]));
        for pair in nodes.windows(2) {
            heap.link(pair[0], pair[1]);
        }
        (loop_at, objects)
    }

    #[test]
    fn each_handle_is_taken_once_wherever_the_last_one_leads() {
        for (count, back_to) in
            [(0, None), (3, None), (3, Some(0)), (3, Some(1)), (3, Some(2)), (1, Some(0))]
        {
            let mut heap = Heap::of(12);
            let (loop_at, objects) = loop_of(&mut heap, count, back_to);
            let handles = heap.read(|reader| reader.uv_handles(loop_at));
            assert_eq!(handles, objects, "{count} {back_to:?}");
        }
    }
}
