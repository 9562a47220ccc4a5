//! Remote Python objects: what lies at an address, decoded.
//!
//! [`Reader`] bundles what every read needs: the page cache, the layout and what was learnt
//! before. Its methods decode one object each; nothing they read is trusted: the class is
//! checked first, counts are capped, walks end. A read that fails says what it wanted
//! ([`Unreadable`]) and never turns into zero, an empty string or `None`.

mod attributes;
mod callable;
mod class;
mod code;
mod collection;
mod keys;
mod text;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use class::{Class, Kind};
pub use code::{Code, Protected, Site};
pub use collection::MAX_ITEMS;
pub use text::MAX_NAME;

use crate::layout::Layout;
use crate::memory::{Address, Fault, PageCache, ReadMemory};

/// The page cache over whatever the target's memory comes from.
pub type Memory = PageCache<Box<dyn ReadMemory + Send>>;

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

/// What was learnt about immutable things, by address, for all snapshots of one target.
///
/// Each entry carries the words it was made from; the first use in a new snapshot compares them,
/// so an address that was freed and used again is noticed.
#[derive(Debug, Default)]
pub struct Caches {
    classes: RefCell<FxHashMap<Address, Kept<Class>>>,
    codes: RefCell<FxHashMap<Address, Kept<Code>>>,
    sites: RefCell<FxHashMap<(Address, i64, Address), Site>>,
    texts: RefCell<FxHashMap<Address, Kept<str>>>,
    keys: RefCell<FxHashMap<Address, Kept<keys::Keys>>>,
    kinds: Kinds,
    snapshot: u32,
    /// The snapshot at which what nobody uses any more was dropped last.
    pruned: u32,
}

/// The kinds of classes that were asked for lately, each at the place that its address leads to: what
/// kind an object is, is asked more often than anything else.
#[derive(Debug)]
struct Kinds([Cell<(Address, u32, Kind)>; Kinds::COUNT]);

impl Kinds {
    const COUNT: usize = 128;

    fn place(&self, class: Address) -> Option<&Cell<(Address, u32, Kind)>> {
        // Classes are some hundred bytes long.
        self.0.get(usize::try_from(class.0 / 64).unwrap_or(0) % Self::COUNT)
    }
}

impl Default for Kinds {
    fn default() -> Self {
        // No class is at an odd address.
        Self([const { Cell::new((Address(1), 0, Kind::Other)) }; Self::COUNT])
    }
}

#[derive(Debug)]
struct Kept<T: ?Sized> {
    value: Arc<T>,
    signature: [u64; 4],
    /// The snapshot in which the signature was compared last.
    checked: u32,
}

impl Caches {
    /// Things kept per cache; a program that makes code objects or classes without end must not
    /// fill our memory.
    const MAX_ENTRIES: usize = 200_000;
    /// So often what was not used meanwhile is dropped: names of tasks that are gone. Some seconds
    /// of light samples, in which a whole one falls that uses what is still there.
    const BETWEEN_PRUNES: u32 = 20_000;

    /// Begins a new snapshot: everything kept is compared again before its next use.
    pub fn begin_snapshot(&mut self) {
        self.snapshot = self.snapshot.wrapping_add(1);
        let since = self.snapshot.wrapping_sub(self.pruned);
        if since >= Self::BETWEEN_PRUNES {
            self.prune(since);
        }
        if self.classes.borrow().len() > Self::MAX_ENTRIES {
            self.classes.borrow_mut().clear();
        }
        if self.codes.borrow().len() > Self::MAX_ENTRIES {
            self.codes.borrow_mut().clear();
        }
        if self.sites.borrow().len() > Self::MAX_ENTRIES {
            self.sites.borrow_mut().clear();
        }
        if self.texts.borrow().len() > Self::MAX_ENTRIES {
            self.texts.borrow_mut().clear();
        }
        if self.keys.borrow().len() > Self::MAX_ENTRIES {
            self.keys.borrow_mut().clear();
        }
    }

    /// Drops what was not used in the last `since` snapshots.
    fn prune(&mut self, since: u32) {
        let now = self.snapshot;
        let is_used = |checked: u32| now.wrapping_sub(checked) <= since;
        self.classes.get_mut().retain(|_, kept| is_used(kept.checked));
        self.codes.get_mut().retain(|_, kept| is_used(kept.checked));
        self.texts.get_mut().retain(|_, kept| is_used(kept.checked));
        self.keys.get_mut().retain(|_, kept| is_used(kept.checked));
        let codes = self.codes.get_mut();
        self.sites.get_mut().retain(|(code, ..), _| codes.contains_key(code));
        self.pruned = now;
    }

    /// The kind of a class that was checked in this snapshot.
    fn kind(&self, class: Address) -> Option<Kind> {
        let (known, checked, kind) = self.kinds.place(class)?.get();
        (known == class && checked == self.snapshot).then_some(kind)
    }

    fn keep_kind(&self, class: Address, kind: Kind) {
        if let Some(place) = self.kinds.place(class) {
            place.set((class, self.snapshot, kind));
        }
    }

    /// The kept value for `at`, if it was checked in this snapshot.
    fn fresh<T: ?Sized>(
        &self,
        map: &RefCell<FxHashMap<Address, Kept<T>>>,
        at: Address,
    ) -> Option<Arc<T>> {
        let map = map.borrow();
        let kept = map.get(&at)?;
        (kept.checked == self.snapshot).then(|| Arc::clone(&kept.value))
    }

    /// The kept value for `at` if it was made from the same words.
    fn same<T: ?Sized>(
        &self,
        map: &RefCell<FxHashMap<Address, Kept<T>>>,
        at: Address,
        signature: [u64; 4],
    ) -> Option<Arc<T>> {
        let mut map = map.borrow_mut();
        let kept = map.get_mut(&at)?;
        if kept.signature != signature {
            return None;
        }
        kept.checked = self.snapshot;
        Some(Arc::clone(&kept.value))
    }

    fn keep<T: ?Sized>(
        &self,
        map: &RefCell<FxHashMap<Address, Kept<T>>>,
        at: Address,
        signature: [u64; 4],
        value: &Arc<T>,
    ) {
        let kept = Kept { value: Arc::clone(value), signature, checked: self.snapshot };
        map.borrow_mut().insert(at, kept);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_any_more_is_dropped() {
        let mut caches = Caches::default();
        let [used, gone] = [Address(1), Address(2)];
        let value: Arc<str> = Arc::from("name");
        for at in [used, gone] {
            caches.keep(&caches.texts, at, [7; 4], &value);
        }
        for _ in 0..3 * Caches::BETWEEN_PRUNES {
            caches.begin_snapshot();
            assert!(caches.same(&caches.texts, used, [7; 4]).is_some());
        }
        assert!(caches.same(&caches.texts, gone, [7; 4]).is_none());
        assert_eq!(caches.texts.borrow().len(), 1);
    }
}
