//! What a suspended function of asyncio waits for, told by its own variables.

use std::sync::Arc;

use super::{Direction, Endpoint, Medium};
use crate::known::purpose::{Io, Left, Purpose};
use crate::memory::Address;
use crate::python::frame::RawFrame;
use crate::python::object::Reader;

/// Variables of one frame, as far as they are needed.
struct Locals<'r> {
    reader: &'r Reader<'r>,
    all: Vec<(Arc<str>, Address)>,
}

impl Locals<'_> {
    fn get(&self, name: &str) -> Option<Address> {
        let found = self.all.iter().find(|(local, _)| &**local == name)?;
        self.reader.not_none(found.1)
    }

    /// An attribute of `self`.
    fn own(&self, name: &str) -> Option<Address> {
        self.reader.not_none(self.reader.attribute(self.get("self")?, name).ok()??)
    }
}

impl Reader<'_> {
    /// What a suspended frame of asyncio itself waits for at a descriptor or of a process, from
    /// its variables; `None` for all other frames.
    pub fn io_of_frame(&self, frame: &RawFrame) -> Option<Endpoint> {
        let code = self.code(frame.code).ok()?;
        let io = match code.place.purpose()? {
            Purpose::Io(io) => Some(io),
            Purpose::Stops(stop) if stop.left == Left::Streams => None,
            _ => return None,
        };
        let locals = Locals { reader: self, all: self.locals(frame).ok()? };
        let Some(io) = io else { return self.io_of_server(Direction::Close, &locals) };
        match io {
            Io::StreamRead => self.io_of_stream(Direction::Read, &locals),
            Io::StreamWrite => self.io_of_stream(Direction::Write, &locals),
            Io::StreamClose => self.io_of_stream(Direction::Close, &locals),
            Io::StreamTls => self.io_of_stream(Direction::Connect, &locals),
            Io::Accept => self.io_of_socket((Direction::Accept, Medium::Listener), &locals),
            Io::Connect => self.io_of_socket((Direction::Connect, Medium::Socket), &locals),
            Io::Receive => self.io_of_socket((Direction::Read, Medium::Socket), &locals),
            Io::Send => self.io_of_socket((Direction::Write, Medium::Socket), &locals),
            Io::AcceptConnection => {
                let by_transport = locals.get("transport").and_then(|at| self.transport(at));
                let by_socket = || {
                    let fd = self.socket_fd(locals.get("conn")?)?;
                    Some(Endpoint::new(Some(fd), Direction::Connect, Medium::Socket))
                };
                Some(by_transport.or_else(by_socket)?.towards(Direction::Connect))
            }
            Io::SendFile => Some(self.transport(locals.get("transp")?)?.towards(Direction::Write)),
            Io::Serve => self.io_of_server(Direction::Accept, &locals),
            Io::TransportDrain => {
                Some(self.transport(locals.own("_transport")?)?.towards(Direction::Write))
            }
            Io::TransportConnect => {
                Some(self.transport(locals.get("transport")?)?.towards(Direction::Connect))
            }
            Io::TransportWait | Io::ProcessWait | Io::ProcessWrite | Io::ProcessRead => {
                self.io_of_process(io, &locals)
            }
        }
    }

    fn io_of_stream(&self, direction: Direction, locals: &Locals<'_>) -> Option<Endpoint> {
        let transport = locals.own("_transport")?;
        let endpoint = self.transport(transport)?;
        // `_drain_helper` of the protocol of a process: of its pipes only one is written to.
        let endpoint = match endpoint.medium {
            Medium::Process => self.transport(self.process_pipe(transport, 0)?)?,
            _ => endpoint,
        };
        Some(endpoint.towards(direction))
    }

    fn io_of_socket(
        &self,
        (direction, medium): (Direction, Medium),
        locals: &Locals<'_>,
    ) -> Option<Endpoint> {
        let fd = self.socket_fd(locals.get("sock")?)?;
        Some(Endpoint::new(Some(fd), direction, medium))
    }

    fn io_of_server(&self, direction: Direction, locals: &Locals<'_>) -> Option<Endpoint> {
        let sockets = self.list(locals.own("_sockets")?, 64).ok()?;
        let fd = sockets.into_iter().find_map(|socket| self.socket_fd(socket))?;
        Some(Endpoint::new(Some(fd), direction, Medium::Listener))
    }

    fn io_of_process(&self, io: Io, locals: &Locals<'_>) -> Option<Endpoint> {
        let process = match io {
            Io::TransportWait => locals.get("self"),
            _ => locals.own("_transport"),
        }?;
        let endpoint = self.transport(process).filter(|end| end.medium == Medium::Process)?;
        let (number, direction) = match io {
            Io::ProcessWrite => (0, Direction::Write),
            Io::ProcessRead => (self.small_int(locals.get("fd")?)?, Direction::Read),
            _ => return Some(endpoint),
        };
        Some(self.transport(self.process_pipe(process, number)?)?.towards(direction))
    }
}
