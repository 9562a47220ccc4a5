//! What a suspended function of asyncio waits for, told by its own variables.

use std::sync::Arc;

use super::{Direction, Endpoint, Medium};
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
        let file = code.place.asyncio()?;
        // Before 3.11 a code object knows no class; no two of these share a name in one file.
        let function = code.place.function.rsplit('.').next()?;
        let is_known = match file {
            "streams.py" => matches!(
                function,
                "_wait_for_data" | "_drain_helper" | "drain" | "wait_closed" | "start_tls"
            ),
            "selector_events.py" => {
                function.starts_with("sock_")
                    || matches!(
                        function,
                        "_sock_connect" | "_accept_connection2" | "_sendfile_native"
                    )
            }
            "base_events.py" => matches!(
                function,
                "serve_forever"
                    | "wait_closed"
                    | "drain"
                    | "_create_connection_transport"
                    | "connect_accepted_socket"
                    | "create_datagram_endpoint"
                    | "connect_read_pipe"
                    | "connect_write_pipe"
                    | "start_tls"
            ),
            "base_subprocess.py" => function == "_wait",
            "subprocess.py" => {
                matches!(function, "wait" | "communicate" | "_read_stream" | "_feed_stdin")
            }
            "unix_events.py" => function == "_sock_sendfile_native",
            _ => false,
        };
        if !is_known {
            return None;
        }
        let locals = Locals { reader: self, all: self.locals(frame).ok()? };
        match file {
            "streams.py" => self.io_of_stream(function, &locals),
            "selector_events.py" | "unix_events.py" => self.io_of_socket(function, &locals),
            "base_events.py" => self.io_of_loop(function, &locals),
            _ => self.io_of_process(function, &locals),
        }
    }

    fn io_of_stream(&self, function: &str, locals: &Locals<'_>) -> Option<Endpoint> {
        let direction = match function {
            "_wait_for_data" => Direction::Read,
            "wait_closed" => Direction::Close,
            "start_tls" => Direction::Connect,
            _ => Direction::Write,
        };
        let transport = locals.own("_transport")?;
        let endpoint = self.transport(transport)?;
        // `_drain_helper` of the protocol of a process: of its pipes only one is written to.
        let endpoint = match endpoint.medium {
            Medium::Process => self.transport(self.process_pipe(transport, 0)?)?,
            _ => endpoint,
        };
        Some(endpoint.towards(direction))
    }

    fn io_of_socket(&self, function: &str, locals: &Locals<'_>) -> Option<Endpoint> {
        let (direction, medium) = match function {
            "sock_accept" => (Direction::Accept, Medium::Listener),
            "sock_connect" | "_sock_connect" => (Direction::Connect, Medium::Socket),
            "_accept_connection2" => {
                let by_transport = locals.get("transport").and_then(|at| self.transport(at));
                let by_socket = || {
                    let fd = self.socket_fd(locals.get("conn")?)?;
                    Some(Endpoint::new(Some(fd), Direction::Connect, Medium::Socket))
                };
                return Some(by_transport.or_else(by_socket)?.towards(Direction::Connect));
            }
            "_sendfile_native" => {
                return Some(self.transport(locals.get("transp")?)?.towards(Direction::Write));
            }
            _ if function.starts_with("sock_recv") => (Direction::Read, Medium::Socket),
            _ => (Direction::Write, Medium::Socket),
        };
        let fd = self.socket_fd(locals.get("sock")?)?;
        Some(Endpoint::new(Some(fd), direction, medium))
    }

    fn io_of_loop(&self, function: &str, locals: &Locals<'_>) -> Option<Endpoint> {
        if matches!(function, "serve_forever" | "wait_closed") {
            let server = locals.get("self")?;
            let direction =
                if function == "serve_forever" { Direction::Accept } else { Direction::Close };
            let sockets = locals.own("_sockets")?;
            let sockets = self.list(sockets, 64).ok()?;
            let fd = sockets.into_iter().find_map(|socket| self.socket_fd(socket))?;
            // Both names are common: only the server of asyncio has these sockets.
            self.attribute(server, "_serving_forever_fut").ok()??;
            return Some(Endpoint::new(Some(fd), direction, Medium::Listener));
        }
        let (transport, direction) = match function {
            "drain" => (locals.own("_transport")?, Direction::Write),
            _ => (locals.get("transport")?, Direction::Connect),
        };
        Some(self.transport(transport)?.towards(direction))
    }

    fn io_of_process(&self, function: &str, locals: &Locals<'_>) -> Option<Endpoint> {
        // `_wait` is the transport's own.
        let process =
            if function == "_wait" { locals.get("self") } else { locals.own("_transport") }?;
        let endpoint = self.transport(process).filter(|end| end.medium == Medium::Process)?;
        let (number, direction) = match function {
            "_feed_stdin" => (0, Direction::Write),
            "_read_stream" => (self.small_int(locals.get("fd")?)?, Direction::Read),
            _ => return Some(endpoint),
        };
        Some(self.transport(self.process_pipe(process, number)?)?.towards(direction))
    }
}
