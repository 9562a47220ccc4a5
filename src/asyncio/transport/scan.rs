//! The descriptors that a loop watches, and all futures behind them.
//!
//! All connections are read together, one level of objects after the other.

mod fields;
mod protocols;
mod search;

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::uvloop::UvCalled;
use super::{Direction, Endpoint, Medium};
use crate::asyncio::FutureState;
use crate::known::Callback;
use crate::memory::Address;
use crate::python::object::{Kind, MAX_ITEMS, Reader};

/// Futures behind one another: a `wait_for` of a `shield` is two.
const MAX_RELAYS: usize = 4;
/// Callbacks of one future that are looked at.
const MAX_CALLBACKS: usize = 64;
/// Values that a callback brings along.
const MAX_BROUGHT: usize = 16;

/// One descriptor that the loop watches.
#[derive(Debug, Clone, Copy)]
struct Watched {
    fd: i32,
    reader: Option<Address>,
    writer: Option<Address>,
}

/// An object that belongs to an endpoint.
#[derive(Debug, Clone, Copy)]
struct EndpointObject {
    at: Address,
    /// Which endpoint.
    of: usize,
}

/// The endpoints of one loop while they are gathered.
struct Scan<'r> {
    reader: &'r Reader<'r>,
    loop_at: Address,
    /// Names by the address of their `str`: interned, so the same for all objects of a class.
    names: RefCell<FxHashMap<Address, Option<Arc<str>>>>,
    /// What there is to wait for.
    ends: Vec<Endpoint>,
    /// Whose end is known for certain.
    certain: FxHashMap<Address, Endpoint>,
    /// Whose end is told by what leads to it; `None` when several do.
    likely: FxHashMap<Address, Option<(usize, Direction, Arc<str>)>>,
    /// What is to be searched for futures.
    parts: Vec<EndpointObject>,
    transports: Vec<Address>,
    /// Which classes are those of transports.
    transport_classes: FxHashMap<Address, bool>,
    /// What the program itself has called when a descriptor is ready.
    callables: Vec<Address>,
    /// Whether connections are accepted, for which protocols are yet to be made.
    is_server: bool,
}

pub(super) fn endpoints(reader: &Reader<'_>, loop_at: Address) -> FxHashMap<Address, Endpoint> {
    let mut scan = Scan::of(reader, loop_at);
    scan.read_parts();
    scan.finish()
}

/// The objects and callables that hear of what comes from outside; `None` if there is a server, as
/// nobody knows what those will do that are yet to connect.
pub(super) fn hearing(
    reader: &Reader<'_>,
    loop_at: Address,
) -> Option<(Vec<Address>, Vec<Address>)> {
    let scan = Scan::of(reader, loop_at);
    let objects = scan.parts.iter().map(|part| part.at).collect();
    (!scan.is_server).then_some((objects, scan.callables))
}

impl<'r> Scan<'r> {
    /// What a loop watches and keeps.
    fn of(reader: &'r Reader<'r>, loop_at: Address) -> Self {
        let mut scan = Self {
            reader,
            loop_at,
            names: RefCell::default(),
            ends: Vec::new(),
            certain: FxHashMap::default(),
            likely: FxHashMap::default(),
            parts: Vec::new(),
            transports: Vec::new(),
            transport_classes: FxHashMap::default(),
            callables: Vec::new(),
            is_server: false,
        };
        if reader.is_kind(loop_at, Kind::UvLoop) {
            scan.read_uvloop();
        } else {
            scan.read_selector();
        }
        scan.read_transports();
        scan
    }
}

impl Scan<'_> {
    fn finish(mut self) -> FxHashMap<Address, Endpoint> {
        let mut found = std::mem::take(&mut self.certain);
        for (future, claim) in std::mem::take(&mut self.likely) {
            let Some((of, direction, attribute)) = claim else { continue };
            let Some(end) = self.ends.get(of) else { continue };
            let attribute = Some(attribute).filter(|name| !name.is_empty());
            let end = Endpoint { attribute, ..end.clone().towards(direction) };
            found.entry(future).or_insert(end);
        }
        let is_pending = |at| self.reader.future_state(at) == Ok(Some(FutureState::Pending));
        found.retain(|&at, _| is_pending(at));
        let mut last: Vec<Address> = found.keys().copied().collect();
        for _ in 0..MAX_RELAYS {
            let relays = self.relays(&last);
            last.clear();
            for (from, to) in relays {
                let Some(end) = found.get(&from).cloned() else { continue };
                if is_pending(to) && !found.contains_key(&to) {
                    found.insert(to, end);
                    last.push(to);
                }
            }
        }
        found
    }

    /// The futures that others stand behind: what `shield` and, before 3.12, `wait_for` give for
    /// a future is done as soon as that one is.
    fn relays(&self, futures: &[Address]) -> Vec<(Address, Address)> {
        let reader = self.reader;
        let small = &reader.layout.small;
        let callbacks = futures.iter().flat_map(|&from| {
            let callbacks = reader.callbacks(from).unwrap_or_default();
            callbacks.into_iter().take(MAX_CALLBACKS).map(move |callback| (from, callback))
        });
        let callbacks: Vec<_> = callbacks.collect();
        reader.memory.prefetch(callbacks.iter().map(|&(_, at)| (at, 112)));
        let relayed = |callback: Address| match reader.kind_of(callback).ok()? {
            Kind::Function => {
                let name = reader.function_name(callback).ok()?;
                let is_shield = Callback::of(&name) == Some(Callback::ShieldInner);
                is_shield.then(|| reader.closure(callback, "outer").ok()?)?
            }
            Kind::Partial => {
                let function = reader.pointer(callback.offset(small.partial_fn)).ok()??;
                if !reader.is_kind(function, Kind::Function)
                    || Callback::of(&reader.function_name(function).ok()?)
                        != Some(Callback::ReleaseWaiter)
                {
                    return None;
                }
                let arguments = reader.pointer(callback.offset(small.partial_args)).ok()??;
                reader.tuple(arguments).ok()?.first().copied()
            }
            _ => None,
        };
        callbacks.into_iter().filter_map(|(from, at)| Some((from, relayed(at)?))).collect()
    }

    /// The descriptors the loop watches: `_selector._fd_to_key`, by descriptor.
    fn watched(&self, selector: Option<Address>) -> Vec<Watched> {
        let reader = self.reader;
        let map = selector.and_then(|at| reader.attribute(at, "_fd_to_key").ok().flatten());
        let keys = map.and_then(|map| reader.dict(map, MAX_ITEMS).ok()).unwrap_or_default();
        reader.memory.prefetch(keys.iter().map(|&(_, key)| (key, 72)));
        // SelectorKey: (fileobj, fd, events, data); data: (reader, writer).
        let keys: Vec<(i32, Address)> = keys
            .into_iter()
            .filter_map(|(_, key)| {
                let key = reader.tuple(key).ok()?;
                Some((reader.fd(*key.get(1)?)?, *key.get(3)?))
            })
            .collect();
        reader.memory.prefetch(keys.iter().map(|&(_, data)| (data, 56)));
        let watched = keys.into_iter().filter_map(|(fd, data)| {
            let data = reader.tuple(data).ok()?;
            let handle = |at: usize| reader.not_none(*data.get(at)?);
            Some(Watched { fd, reader: handle(0), writer: handle(1) })
        });
        watched.collect()
    }

    /// What a loop of asyncio's own watches and keeps.
    fn read_selector(&mut self) {
        let reader = self.reader;
        let names = ["_selector", "_transports"];
        let [selector, transports] =
            reader.attributes_named(self.loop_at, names).unwrap_or_default();
        let watched = self.watched(selector);
        let handles = watched.iter().flat_map(|watched| {
            let handle =
                |handle: Option<Address>, direction| Some((watched.fd, direction, handle?));
            let read = handle(watched.reader, Direction::Read);
            read.into_iter().chain(handle(watched.writer, Direction::Write))
        });
        let handles: Vec<_> = handles.collect();
        reader.memory.prefetch(handles.iter().map(|&(_, _, at)| (at, 96)));
        let called = handles.into_iter().filter_map(|(fd, direction, handle)| {
            let [callback, arguments] = self.named(handle, ["_callback", "_args"]);
            Some((fd, direction, callback?, arguments))
        });
        let called: Vec<_> = called.collect();
        let calls = called.iter().flat_map(|&(_, _, callback, arguments)| {
            [(callback, 48), (arguments.unwrap_or(callback), 96)]
        });
        reader.memory.prefetch(calls);
        self.transports = self.tracked(transports);
        let mut owners: Vec<Address> =
            called.iter().filter_map(|&(_, _, callback, _)| self.owner(callback)).collect();
        owners.extend(&self.transports);
        owners.sort_unstable_by_key(|at| at.0);
        owners.dedup();
        self.prefetch_attributes(&owners);
        for (fd, direction, callback, arguments) in called {
            let arguments = arguments.and_then(|at| reader.tuple(at).ok()).unwrap_or_default();
            self.add_callback(fd, direction, callback, &arguments);
        }
    }

    /// What a loop of uvloop watches and keeps.
    fn read_uvloop(&mut self) {
        let holds = self.reader.uv_holds(self.loop_at);
        self.transports = holds.transports;
        for server in holds.servers {
            self.add_server(server.fd, server.serving, server.waiters);
        }
        for process in holds.processes {
            self.add_process(process);
        }
        for poll in holds.polls {
            match poll.called {
                UvCalled::Python(callback, arguments) => {
                    self.add_callback(poll.fd, poll.direction, callback, &arguments);
                }
                UvCalled::Method(name, arguments) => {
                    self.add_of_loop(poll.fd, poll.direction, &name, &arguments);
                }
            }
        }
    }

    /// The object that a bound method belongs to.
    fn owner(&self, callback: Address) -> Option<Address> {
        if !self.reader.is_kind(callback, Kind::Method) {
            return None;
        }
        let owner = callback.offset(self.reader.layout.small.method_self);
        self.reader.pointer(owner).ok()?
    }

    /// The callable that is called when a descriptor is ready.
    fn add_callback(
        &mut self,
        fd: i32,
        direction: Direction,
        callback: Address,
        arguments: &[Address],
    ) {
        let owner = self.owner(callback);
        match owner {
            Some(owner) if owner == self.loop_at => {
                let name = self.reader.callable_name(callback).unwrap_or_default();
                self.add_of_loop(fd, direction, &name, arguments);
            }
            Some(owner) if self.is_transport(owner) => self.transports.push(owner),
            owner => {
                self.callables.push(callback);
                let mut brought = self.brought(callback);
                brought.extend(arguments);
                brought.truncate(MAX_BROUGHT);
                self.add_brought(fd, direction, &brought);
                if let Some(at) = owner {
                    // Something of the program's own that watches a descriptor.
                    self.ends.push(Endpoint::new(Some(fd), direction, Medium::Socket));
                    let of = self.ends.len().saturating_sub(1);
                    self.parts.push(EndpointObject { at, of });
                }
            }
        }
    }

    /// The transports in `_transports`, a `WeakValueDictionary` of fd to transport: those that
    /// have paused reading are watched by nobody.
    fn tracked(&self, transports: Option<Address>) -> Vec<Address> {
        let reader = self.reader;
        let data = transports.and_then(|at| reader.attribute(at, "data").ok().flatten());
        let items = data.and_then(|data| reader.dict(data, MAX_ITEMS).ok()).unwrap_or_default();
        reader.memory.prefetch(items.iter().map(|&(_, reference)| (reference, 32)));
        let found: Vec<_> = items.iter().filter_map(|&(_, at)| self.referred(at)).collect();
        reader.memory.prefetch(found.iter().map(|&at| (at, 16)));
        found.into_iter().filter_map(|at| reader.not_none(at)).collect()
    }

    /// The object a weak reference refers to; whether it is `None` by now is not looked at.
    fn referred(&self, at: Address) -> Option<Address> {
        let object = self.reader.layout.small.weakref_object;
        let is_weak = self.reader.is_kind(at, Kind::Weakref);
        is_weak.then(|| self.reader.pointer(at.offset(object)).ok()?)?
    }

    fn is_transport(&mut self, at: Address) -> bool {
        let Ok(class) = self.reader.class_of(at) else { return false };
        if let Some(&is_transport) = self.transport_classes.get(&class.at) {
            return is_transport;
        }
        let [socket, pipe, protocol] = self.named(at, ["_sock_fd", "_fileno", "_protocol"]);
        let is_transport = protocol.is_some() && (socket.is_some() || pipe.is_some());
        self.transport_classes.insert(class.at, is_transport);
        is_transport
    }

    /// A method of the loop: `sock_*` and accepting.
    fn add_of_loop(&mut self, fd: i32, direction: Direction, name: &str, arguments: &[Address]) {
        let reader = self.reader;
        let (direction, medium) = match Callback::of(name) {
            Some(Callback::AcceptConnection) => {
                let is_server = |at: &&Address| {
                    let class = reader.class_of(**at);
                    class.is_ok_and(|class| reader.is_subclass_named(&class, "Server"))
                };
                let Some(&server) = arguments.iter().find(is_server) else { return };
                let [serving, waiters] = self.named(server, ["_serving_forever_fut", "_waiters"]);
                let waiters = waiters.map(|at| reader.waiters(at)).unwrap_or_default();
                self.add_server(fd, serving, waiters);
                return;
            }
            Some(Callback::SockAccept) => (Direction::Accept, Medium::Listener),
            Some(Callback::SockConnect) => (Direction::Connect, Medium::Socket),
            _ => (direction, Medium::Socket),
        };
        for &future in arguments.iter().filter(|&&at| reader.is_plain_future(at)) {
            self.certain.entry(future).or_insert(Endpoint::new(Some(fd), direction, medium));
        }
    }

    /// A server: the future of `serve_forever` and those of `wait_closed`.
    fn add_server(&mut self, fd: i32, serving: Option<Address>, waiters: Vec<Address>) {
        self.is_server = true;
        let end = Endpoint::new(Some(fd), Direction::Accept, Medium::Listener);
        for waiter in waiters {
            self.certain.entry(waiter).or_insert(end.clone().towards(Direction::Close));
        }
        if let Some(serving) = serving.filter(|&at| self.reader.is_plain_future(at)) {
            self.certain.entry(serving).or_insert(end);
        }
    }

    /// What a callable holds: the object it is a method of, closure cells, bound arguments.
    fn brought(&self, callback: Address) -> Vec<Address> {
        let reader = self.reader;
        let small = &reader.layout.small;
        match reader.kind_of(callback) {
            Ok(Kind::Builtin) => {
                let owner = reader.pointer(callback.offset(small.builtin_self));
                owner.ok().flatten().into_iter().collect()
            }
            Ok(Kind::Partial) => {
                let arguments = reader.pointer(callback.offset(small.partial_args));
                let arguments = arguments.ok().flatten().and_then(|at| reader.tuple(at).ok());
                arguments.unwrap_or_default()
            }
            Ok(Kind::Function) => {
                let cells = reader.pointer(callback.offset(reader.layout.function.closure));
                let cells = cells.ok().flatten().and_then(|at| reader.tuple(at).ok());
                let cells = cells.unwrap_or_default().into_iter().take(MAX_BROUGHT);
                let cells = cells.filter(|&cell| reader.is_kind(cell, Kind::Cell));
                cells
                    .filter_map(|cell| reader.pointer(cell.offset(small.cell_ref)).ok().flatten())
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// A callback of the program's own: the futures and events among what it has got.
    fn add_brought(&mut self, fd: i32, direction: Direction, brought: &[Address]) {
        let reader = self.reader;
        let end = Endpoint::new(Some(fd), direction, Medium::Socket);
        for &at in brought {
            if reader.is_plain_future(at) {
                self.certain.entry(at).or_insert_with(|| end.clone());
            } else if let Some(waiters) = self.event_waiters(at) {
                for waiter in waiters {
                    self.certain.entry(waiter).or_insert_with(|| end.clone());
                }
            } else if reader.is_kind(at, Kind::Tuple) {
                // PidfdChildWatcher: (pid, pidfd, callback, (transport,))
                for at in reader.tuple(at).unwrap_or_default().into_iter().take(MAX_BROUGHT) {
                    self.add_process(at);
                }
            }
        }
    }

    /// The futures of those that wait for an `asyncio.Event`; `None` for other objects.
    fn event_waiters(&self, at: Address) -> Option<Vec<Address>> {
        let class = self.reader.class_of(at).ok()?;
        if !class.is_python() || &*self.reader.class_name(&class) != "asyncio.locks.Event" {
            return None;
        }
        let [waiters] = self.named(at, ["_waiters"]);
        Some(waiters.map(|at| self.reader.waiters(at)).unwrap_or_default())
    }

    /// Those that wait for a process to end.
    fn add_process(&mut self, transport: Address) {
        let Some(process) = self.reader.process(transport) else { return };
        let end = Endpoint::of_process(process.pid);
        let end = Endpoint { transport: Some(transport), ..end };
        for waiter in process.waiters {
            self.certain.entry(waiter).or_insert_with(|| end.clone());
        }
    }
}
