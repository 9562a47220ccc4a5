//! Collections and texts of the right class whose content cannot be read.
//!
//! Who asks for them makes do without: a lock then has no waiters, a variable no items. That would be
//! a silent gap. So each is noted, looked at anew in the end, and told of if it stays as it was.

use super::{Kind, MAX_ITEMS, Read, Reader, Unreadable, is_alive};
use crate::memory::Address;

/// Damages that are noted in one snapshot.
const MAX_DAMAGES: usize = 64;
/// How often one is looked at anew: in a busy target another one may be in the making at its place.
const LOOKS: usize = 4;

impl Reader<'_> {
    /// Passes on what was read of the content of a collection or text; when it could not be read,
    /// that is noted.
    pub(super) fn noting<T>(&self, at: Address, read: Read<T>) -> Read<T> {
        let mut damaged = self.caches.damaged.borrow_mut();
        if read.is_err() && damaged.len() < MAX_DAMAGES && !damaged.contains(&at) {
            damaged.push(at);
        }
        read
    }

    /// The collections and texts that could not be read and are still there as they were: where,
    /// of which class, and why.
    pub fn damages(&self) -> Vec<(Address, &'static str, Unreadable)> {
        let noted = self.caches.damaged.take();
        let mut left = noted;
        let mut damages: Vec<(Address, &str, Unreadable)> = Vec::new();
        for _ in 0..LOOKS {
            if left.is_empty() || !self.memory.limit().may_read() {
                break;
            }
            self.memory.clear();
            let is_there = |at: &Address| self.memory.u64(*at).is_ok_and(is_alive);
            damages = left.into_iter().filter(is_there).filter_map(|at| self.damage(at)).collect();
            left = damages.iter().map(|(at, ..)| *at).collect();
        }
        self.caches.damaged.take();
        damages
    }

    fn damage(&self, at: Address) -> Option<(Address, &'static str, Unreadable)> {
        let large =
            |count: Read<u64>| count.is_ok_and(|count| (MAX_ITEMS..1 << 32).contains(&count));
        let size = || self.size(at, u64::MAX, "size");
        let (name, read, is_large) = match self.kind_of(at).ok()? {
            Kind::Tuple => ("tuple", self.tuple(at).err(), large(size())),
            Kind::List => ("list", self.list(at, MAX_ITEMS).err(), large(size())),
            Kind::Deque => ("deque", self.deque(at, MAX_ITEMS).err(), large(size())),
            Kind::Set | Kind::FrozenSet => {
                let mask = self.memory.u64(at.offset(self.layout.set.mask));
                let is_large = large(mask.map_err(Unreadable::from));
                ("set", self.set(at).err(), is_large)
            }
            Kind::Dict => {
                let used = self.memory.u64(at.offset(self.layout.dict.used));
                let is_large = large(used.map_err(Unreadable::from));
                ("dict", self.dict(at, MAX_ITEMS).err(), is_large)
            }
            Kind::Str => ("str", self.str(at, super::MAX_NAME).err(), false),
            _ => return None,
        };
        // More than we read is no damage.
        read.filter(|_| !is_large).map(|error| (at, name, error))
    }
}
