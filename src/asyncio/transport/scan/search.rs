//! The search for futures in a protocol and in what belongs to it.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{EndpointObject, Scan};
use crate::asyncio::transport::Direction;
use crate::memory::Address;
use crate::python::object::Kind;
use crate::python::object::is_alive;

/// Objects behind protocols that are looked at for one loop: what they add in time is bounded.
const MAX_OBJECTS: usize = 8192;
/// How far from the protocol a future is looked for: `protocol.recv_messages.frames.get_waiter`.
const MAX_DEPTH: usize = 3;
/// Words of an object of a C class that are looked at.
const MAX_WORDS: u64 = 128;
/// Enough of a future to see its state.
const FUTURE: u64 = 112;

/// Attributes that lead away from the connection.
const AWAY: [&str; 12] = [
    "_loop",
    "loop",
    "_transport",
    "transport",
    "_manager",
    "manager",
    "_server",
    "server",
    "proc",
    "config",
    "server_state",
    "logger",
];

impl Scan<'_> {
    /// Looks for futures in protocols and, level by level, in what belongs to one of them alone.
    pub(super) fn read_parts(&mut self) {
        let mut next = std::mem::take(&mut self.parts);
        let mut known = FxHashSet::default();
        let mut left = MAX_OBJECTS;
        for depth in 1..=MAX_DEPTH {
            // What several descriptors lead to says nothing about any of them.
            let mut owners: FxHashMap<Address, Option<i32>> = FxHashMap::default();
            for part in &next {
                let fd = self.fd(part.of);
                let owner = owners.entry(part.at).or_insert(fd);
                *owner = owner.filter(|_| *owner == fd);
            }
            next.retain(|part| owners.get(&part.at).is_some_and(Option::is_some));
            next.retain(|part| known.insert(part.at));
            if depth > 1 {
                next.truncate(left);
                left = left.saturating_sub(next.len());
                let addresses: Vec<_> = next.iter().map(|part| part.at).collect();
                self.prefetch_attributes(&addresses);
            }
            let fields: Vec<_> = next.drain(..).map(|part| (part, self.fields(part.at))).collect();
            let values = fields.iter().flat_map(|(_, fields)| fields).map(|&(_, at)| (at, FUTURE));
            self.reader.memory.prefetch(values);
            for (part, fields) in fields {
                self.read_part(part, fields, depth, &mut next);
            }
        }
    }

    fn fd(&self, of: usize) -> Option<i32> {
        self.ends.get(of)?.fd
    }

    fn read_part(
        &mut self,
        part: EndpointObject,
        fields: Vec<(Arc<str>, Address)>,
        depth: usize,
        next: &mut Vec<EndpointObject>,
    ) {
        let reader = self.reader;
        let Ok(class) = reader.class_of(part.at) else { return };
        if depth == 1 && class.kind == Kind::Other {
            self.read_words(part);
        }
        for (name, value) in fields {
            let Ok(class) = reader.class_of(value) else { continue };
            let is_near = depth == 1;
            match class.kind {
                Kind::Future | Kind::PyFuture if is_near || name.ends_with("waiter") => {
                    self.claim(value, part.of, &name);
                }
                Kind::Deque | Kind::List
                    if name.contains("drain_waiters")
                        || is_near && (name.ends_with("waiters") || name.ends_with("futures")) =>
                {
                    for waiter in reader.waiters(value) {
                        self.claim(waiter, part.of, &name);
                    }
                }
                Kind::Weakref if !AWAY.contains(&&*name) => {
                    let referred = self.referred(value);
                    let is_object = |at: &Address| reader.is_kind(*at, Kind::Other);
                    next.extend(
                        referred.filter(is_object).map(|at| EndpointObject { at, of: part.of }),
                    );
                }
                Kind::Other if class.is_python() && !AWAY.contains(&&*name) => {
                    if let Some(waiters) = self.event_waiters(value) {
                        for waiter in waiters {
                            self.claim(waiter, part.of, &name);
                        }
                    } else if value != self.loop_at {
                        next.push(EndpointObject { at: value, of: part.of });
                    }
                }
                _ => {}
            }
        }
    }

    /// The fields of an object of a C class have no names, but a future among them is a future of
    /// this connection: asyncpg's protocol.
    fn read_words(&mut self, part: EndpointObject) -> Option<()> {
        let reader = self.reader;
        let class = reader.c_class(reader.class_of(part.at).ok()?)?;
        let words = (class.basicsize / 8).min(MAX_WORDS);
        // Two words are the header of every object.
        if class.kind != Kind::Other || words <= 2 {
            return None;
        }
        let bytes = reader.memory.vec(part.at, words * 8).ok()?;
        let words = bytes.as_chunks::<8>().0.iter().skip(2).map(|word| u64::from_le_bytes(*word));
        let is_pointer = |word: &u64| Address(*word).is_plausible();
        // What is none may be anything, as the text of a key that a C extension has.
        let others = words.clone().zip(2_u64..).filter(|(word, _)| !is_pointer(word));
        others.for_each(|(_, at)| reader.memory.note_text(part.at.offset(8 * at), 8, false));
        let words: Vec<_> = words.filter(is_pointer).map(Address).collect();
        reader.memory.prefetch(words.iter().map(|&at| (at, 16)));
        for at in words {
            if reader.is_plain_future(at) && reader.memory.u64(at).is_ok_and(is_alive) {
                self.claim(at, part.of, "");
            }
        }
        Some(())
    }

    /// Notes that a future belongs to an endpoint, for what its name says.
    fn claim(&mut self, future: Address, of: usize, name: &str) {
        let Some(direction) = direction_of(name) else { return };
        let fd = self.fd(of);
        match self.likely.entry(future) {
            Entry::Vacant(entry) => {
                entry.insert(Some((of, direction, name.into())));
            }
            Entry::Occupied(mut entry) => {
                let other = entry.get().as_ref().and_then(|&(of, ..)| self.ends.get(of)?.fd);
                if other != fd {
                    entry.insert(None);
                }
            }
        }
    }
}

/// What a future in an attribute of a connection waits for, by the attribute's name; `None` when
/// it is not the connection.
fn direction_of(name: &str) -> Option<Direction> {
    let name = name.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if has(&["handler", "_put_", "shutdown", "upgrade"]) || name.starts_with("put_") {
        None
    } else if has(&["drain", "writ", "flush", "send"]) {
        Some(Direction::Write)
    } else if has(&["clos", "lost", "disconnect"]) {
        Some(Direction::Close)
    } else if has(&["connect", "handshake"]) {
        Some(Direction::Connect)
    } else {
        Some(Direction::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_directions() {
        let all = [
            ("_waiter", Some(Direction::Read)),
            ("waiter", Some(Direction::Read)),
            ("read_event", Some(Direction::Read)),
            ("_drain_waiter", Some(Direction::Write)),
            ("_is_writable_event", Some(Direction::Write)),
            ("_send_futures", Some(Direction::Write)),
            ("connection_lost_waiter", Some(Direction::Close)),
            ("on_con_lost", Some(Direction::Close)),
            ("_closed", Some(Direction::Close)),
            ("_connect_waiter", Some(Direction::Connect)),
            ("_put_message_waiter", None),
            ("_handler_waiter", None),
        ];
        for (name, direction) in all {
            assert_eq!(direction_of(name), direction, "{name}");
        }
    }
}
