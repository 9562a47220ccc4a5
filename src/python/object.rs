//! Remote Python objects: what lies at an address, decoded.
//!
//! [`Reader`] bundles what every read needs: the page cache, the layout and what was learnt
//! before. Its methods decode one object each; nothing they read is trusted: the class is
//! checked first, counts are capped, walks end. A read that fails says what it wanted
//! ([`Unreadable`]) and never turns into zero, an empty string or `None`.

mod attributes;
mod caches;
mod callable;
mod class;
mod code;
mod collection;
mod damage;
mod hamt;
mod keys;
mod references;
mod text;

pub use caches::{Caches, Followed};
pub use class::{Class, Kind};
pub(crate) use code::{Body, Flow, Instruction, Outcome};
pub use code::{Code, Protected, Site};

use crate::layout::Layout;
use crate::memory::{Address, Fault, PageCache, ReadMemory};

/// The page cache over whatever the target's memory comes from.
pub type Memory = PageCache<Box<dyn ReadMemory + Send>>;

/// Items of one collection that are read; more tasks than this were never seen in a process.
pub const MAX_ITEMS: u64 = 1 << 20;

/// Code points of a name that are read: function, file and task names are far shorter; a longer
/// one ends in `…`.
pub const MAX_NAME: usize = 1024;

/// Why an object could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its memory is not there.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// What is there cannot be what it should be.
    #[error("{what} at {at} is not believable")]
    Bad {
        /// Where it was read.
        at: Address,
        /// What it should be.
        what: &'static str,
    },
}

impl Unreadable {
    /// What lies at `at` is no `what`.
    pub fn bad(at: Address, what: &'static str) -> Self {
        Self::Bad { at, what }
    }
}

/// The result of reading an object.
pub type Read<T> = Result<T, Unreadable>;

/// Whether the first word of an object is a reference count.
///
/// A freed object keeps its class until its memory is used again, but its first word is then the
/// allocator's: null or the address of the next free block. Test: `churn`.
pub fn is_alive(word: u64) -> bool {
    // From 3.14 on the highest 16 bits are flags; no task has so many references.
    let [low @ .., a, b, _, _] = word.to_le_bytes();
    low != [0; 4] && a == 0 && b == 0
}

/// Reads remote objects.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The target's memory.
    pub memory: &'a Memory,
    /// Where fields lie.
    pub layout: &'a Layout,
    /// What was learnt before.
    pub caches: &'a Caches,
}

impl Reader<'_> {
    /// The pointer at `at`, or `None` when it is null.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn pointer(&self, at: Address) -> Read<Option<Address>> {
        Ok(self.memory.pointer(at)?.non_null())
    }

    /// Drops what was read, if there is no room for more.
    pub fn make_room(&self) {
        if self.memory.is_full() {
            self.memory.clear();
        }
    }

    /// The pointer at `at`, which must not be null.
    ///
    /// # Errors
    /// When it cannot be read or is null.
    pub fn must_pointer(&self, at: Address, what: &'static str) -> Read<Address> {
        self.pointer(at)?.ok_or(Unreadable::bad(at, what))
    }

    /// `ob_size` of the object at `at`, at most `max`.
    ///
    /// # Errors
    /// When it cannot be read, is negative or larger than `max`.
    pub fn size(&self, at: Address, max: u64, what: &'static str) -> Read<u64> {
        let size = self.memory.u64(at.offset(self.layout.object.ob_size))?;
        if size > max { Err(Unreadable::bad(at, what)) } else { Ok(size) }
    }
}
