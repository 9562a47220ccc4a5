//! From transports to the protocols that the program sees.

use rustc_hash::FxHashSet;

use super::{EndpointObject, Scan};
use crate::asyncio::transport::{Direction, Endpoint, Layer, MAX_LAYERS, Medium};
use crate::memory::Address;

impl Scan<'_> {
    /// Finds the ends of all transports and the protocols that the program sees.
    pub(super) fn read_transports(&mut self) {
        let mut seen = FxHashSet::default();
        let mut protocols = Vec::new();
        for at in std::mem::take(&mut self.transports) {
            let end = if seen.insert(at) { self.end(at) } else { None };
            let Some((end, protocol)) = end else { continue };
            self.ends.push(end);
            let of = self.ends.len().saturating_sub(1);
            protocols.extend(protocol.map(|at| EndpointObject { at, of }));
        }
        let addresses: Vec<_> = protocols.iter().map(|part| part.at).collect();
        self.prefetch_attributes(&addresses);
        for part in protocols {
            let outermost = self.outermost(part);
            self.parts.extend(outermost);
        }
    }

    /// What a transport is, with its protocol; adds what the transport itself tells.
    fn end(&mut self, at: Address) -> Option<(Endpoint, Option<Address>)> {
        let reader = self.reader;
        if let Some(Layer::Bottom { endpoint, protocol }) = reader.uv_layer(at) {
            let end = Endpoint { transport: Some(at), ..endpoint };
            if let Some(waiter) = reader.uv_connecting(at) {
                self.certain.insert(waiter, end.clone().towards(Direction::Connect));
            }
            return Some((end, protocol));
        }
        // The same as `Reader::transport` reads, for a thousand of them.
        let names = ["_sock_fd", "_fileno", "_sock", "_pipe", "_protocol", "_empty_waiter"];
        let [socket, pipe, sock, file, protocol, empty] = self.named(at, names);
        let is_open = |file: Option<Address>| file.is_some_and(|at| reader.not_none(at).is_some());
        let class = reader.class_of(at).ok()?;
        let is = |name| reader.is_subclass_named(&class, name);
        let (fd, medium) = match (socket, pipe) {
            (Some(fd), _) if is_open(sock) => {
                let is_datagram = is("_SelectorDatagramTransport");
                (fd, if is_datagram { Medium::Datagram } else { Medium::Socket })
            }
            (None, Some(fd)) if is_open(file) => (fd, Medium::Pipe),
            _ => return None,
        };
        let is_write = medium == Medium::Pipe && is("_UnixWritePipeTransport");
        let direction = if is_write { Direction::Write } else { Direction::Read };
        let end = Endpoint::new(Some(reader.fd(fd)?), direction, medium);
        let end = Endpoint { transport: Some(at), ..end };
        if let Some(empty) = empty.filter(|&at| reader.is_plain_future(at)) {
            self.certain.insert(empty, end.clone().towards(Direction::Write));
        }
        Some((end, protocol))
    }

    /// The protocol above TLS, and the future of the handshake; `None` for other protocols.
    fn tls(&self, at: Address) -> Option<(Option<Address>, Option<Address>)> {
        if let Some(tls) = self.reader.uv_tls(at) {
            return Some(tls);
        }
        let class = self.reader.class_of(at).ok()?;
        if &*class.name != "SSLProtocol" {
            return None;
        }
        let [protocol, waiter] = self.named(at, ["_app_protocol", "_waiter"]);
        Some((protocol, waiter.filter(|&at| self.reader.is_plain_future(at))))
    }

    /// The protocol that the program sees: above TLS, and not that of a pipe to a process.
    fn outermost(&mut self, part: EndpointObject) -> Option<EndpointObject> {
        let reader = self.reader;
        let mut at = reader.not_none(part.at)?;
        for _ in 0..MAX_LAYERS {
            let Some((protocol, waiter)) = self.tls(at) else { break };
            let end = self.ends.get_mut(part.of)?;
            end.is_tls = true;
            if let Some(waiter) = waiter {
                let end = end.clone().towards(Direction::Connect);
                self.certain.entry(waiter).or_insert(end);
            }
            at = reader.not_none(protocol?)?;
        }
        let class = reader.class_of(at).ok()?;
        if matches!(&*class.name, "ReadSubprocessPipeProto" | "WriteSubprocessPipeProto") {
            self.add_process_pipe(at, part.of);
            return None;
        }
        self.ends.get_mut(part.of)?.protocol_class = Some(reader.class_name(&class));
        Some(EndpointObject { at, of: part.of })
    }

    /// One of the pipes of a process: the protocol of the process keeps the streams of all three.
    fn add_process_pipe(&mut self, pipe: Address, of: usize) -> Option<()> {
        let reader = self.reader;
        let [transport, number] = self.named(pipe, ["proc", "fd"]);
        let transport = transport?;
        self.add_process(transport);
        let process = reader.process(transport)?;
        let protocol = process.protocol?;
        let end = self.ends.get_mut(of)?;
        end.pid = Some(process.pid);
        end.protocol_class = reader.class_name_of(protocol);
        let end = end.clone();
        let names = ["stdout", "stderr", "_drain_waiter", "_drain_waiters", "_stdin_closed"];
        let [stdout, stderr, drain, drains, closed] = self.named(protocol, names);
        let waiter = |stream: Option<Address>| {
            let [waiter] = self.named(stream?, ["_waiter"]);
            Some((waiter?, Direction::Read))
        };
        let found: Vec<(Address, Direction)> = match reader.small_int(number?)? {
            0 => {
                let drains = drains.map(|at| reader.waiters(at)).unwrap_or_default();
                let drains = drain.into_iter().chain(drains).map(|at| (at, Direction::Write));
                drains.chain(closed.map(|at| (at, Direction::Close))).collect()
            }
            1 => waiter(stdout).into_iter().collect(),
            2 => waiter(stderr).into_iter().collect(),
            _ => return None,
        };
        for (at, direction) in found {
            if reader.is_plain_future(at) {
                self.certain.entry(at).or_insert_with(|| end.clone().towards(direction));
            }
        }
        Some(())
    }
}
