//! A search of all memory for references.
//!
//! CPython has no list of who refers to an object. But a reference is a word with its address, so
//! memory is read from end to end and compared with the addresses that are asked about. What has such
//! a word is found next: the object around it, or the container whose block of items it lies in.
//!
//! Freed memory keeps what was in it, and objects come and go meanwhile. So a word is a place to look
//! at, no more: it counts only if the object there lives and, decoded by its layout, has the
//! reference. Nothing is kept of the memory but the places.

mod holders;

use std::ops::Range;

use rustc_hash::{FxHashMap, FxHashSet};

use super::object::{Kind, Reader, is_alive};
use crate::memory::{Address, sweep};

pub use holders::{Holder, Holders, Way};

/// Words found that are kept (64 MiB): four for each task of the largest process.
const MAX_FOUND: usize = 1 << 22;
/// Those among them that are looked at for who refers by them: an object that more refer to is known
/// to everybody.
const MAX_REFERENCES: usize = 100_000;
/// Objects looked at together: their pages have room in the cache.
const GROUP: usize = 4096;
/// How far before a word the object that has it may begin: the frame of a coroutine with a hundred
/// variables and a deep stack is as large.
const MAX_OBJECT: u64 = 2048;
/// Words of a block that may lie before the one found: a block of a deque has 66.
const MAX_BLOCK: u64 = 66;
/// Lowest bits of a word that are no part of an address: tags of references on stacks, and of the
/// values of an instance.
const TAGS: u64 = 7;
/// `_PyGC_Head: [ next: ptr, prev: ptr ]`, before each object that the collector knows; the two
/// lowest bits of both are flags.
// 3.8-3.15: Include/internal/pycore_gc.h
const GC_HEAD: u64 = 16;
const GC_FLAGS: u64 = 3;
/// Objects lie at multiples of that.
const ALIGNED: u64 = 16;

/// All private memory of a target, to be searched.
#[derive(Debug)]
pub struct Heap<'a> {
    reader: Reader<'a>,
    ranges: Vec<Range<u64>>,
}

/// A word that has one of the addresses looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// Where it lies.
    pub place: Address,
    /// Which of the addresses it is.
    pub value: Address,
}

/// Who refers to an object, as far as a search has shown.
#[derive(Debug, Default)]
pub struct Referrers {
    /// Objects that live and refer to one of those asked about, weakly or not, by what that is.
    pub objects: FxHashMap<Address, FxHashSet<Address>>,
    /// All the words found: each may also lie in a block of items of a container.
    pub loose: Vec<Word>,
}

impl<'a> Heap<'a> {
    /// The memory in `ranges`.
    pub fn new(reader: Reader<'a>, ranges: Vec<Range<u64>>) -> Self {
        Self { reader, ranges }
    }

    /// How many bytes that is.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// Where the words are that have one of the addresses; `None` when they are too many or the time
    /// was over.
    pub fn find(&self, wanted: &FxHashSet<Address>) -> Option<Vec<Word>> {
        let filter = Filter::new(wanted);
        let mut found = Vec::new();
        let memory = &self.reader.memory;
        let is_whole = sweep(&memory.unnoted(), &self.ranges, memory.limit(), &mut |at, bytes| {
            for (place, word) in (at.0..).step_by(8).zip(bytes.as_chunks::<8>().0) {
                let value = Address(u64::from_le_bytes(*word) & !TAGS);
                if filter.may_have(value) && wanted.contains(&value) && found.len() <= MAX_FOUND {
                    found.push(Word { place: Address(place), value });
                }
            }
        });
        (is_whole && found.len() <= MAX_FOUND).then_some(found)
    }

    /// The objects of the given classes that live; `None` as of [`find`](Self::find).
    pub fn instances(&self, classes: &FxHashSet<Address>) -> Option<Vec<Address>> {
        let field = self.reader.layout.object.ob_type;
        let words = self.find(classes)?;
        // What was read before the search is older than it.
        self.reader.memory.clear();
        let mut found = Vec::new();
        for group in words.chunks(GROUP) {
            let objects = group.iter().map(|word| word.place.before(field));
            self.reader.make_room();
            self.reader.memory.prefetch(objects.clone().map(|at| (at.before(GC_HEAD), GC_HEAD)));
            found.extend(objects.filter(|&at| self.reader.is_tracked(at)));
        }
        Some(found)
    }

    /// Who may refer to the wanted objects, by one search; `loose` are words of an earlier one whose
    /// containers are looked for meanwhile. `None` as of [`find`](Self::find).
    pub fn referrers(&self, wanted: &FxHashSet<Address>, loose: &[Word]) -> Option<Referrers> {
        let mut blocks: FxHashMap<Address, Vec<Address>> = FxHashMap::default();
        for word in loose {
            for start in (0..=MAX_BLOCK).map(|words| word.place.before(8 * words)) {
                blocks.entry(start).or_default().push(word.value);
            }
        }
        let all = wanted.iter().chain(blocks.keys()).copied().collect();
        let mut referrers = Referrers::default();
        let words = self.find(&all)?;
        if words.len() > MAX_REFERENCES {
            return None;
        }
        // What was read before the search is older than it.
        self.reader.memory.clear();
        for word in words {
            if let Some(contents) = blocks.get(&word.value)
                && let Some(owner) = self.reader.container_with_block_at(word.place)
            {
                for &value in contents.iter().filter(|value| self.reader.knows(owner, **value)) {
                    referrers.objects.entry(value).or_default().insert(owner);
                }
            }
            if wanted.contains(&word.value) {
                // Behind an object that refers to the same, there may be a block of another one.
                let around = self.reader.object_around(word.place);
                if let Some(owner) = around.filter(|at| self.reader.knows(*at, word.value)) {
                    referrers.objects.entry(word.value).or_default().insert(owner);
                }
                referrers.loose.push(word);
            }
        }
        Some(referrers)
    }
}

/// A quick test that most words fail.
struct Filter {
    low: u64,
    span: u64,
    /// How many bits there are, less one.
    mask: u64,
    bits: Vec<u64>,
}

impl Filter {
    /// 32 KiB: as much as a core's own cache has.
    const MIN_BITS: u64 = 1 << 18;
    /// 1 MiB: as much as the next cache has.
    const MAX_BITS: u64 = 1 << 23;

    fn new<'w>(wanted: impl IntoIterator<Item = &'w Address>) -> Self {
        let wanted: Vec<Address> = wanted.into_iter().copied().collect();
        let low = wanted.iter().min().map_or(0, |at| at.0);
        let high = wanted.iter().max().map_or(0, |at| at.0);
        // One bit in eight is set at most, while that has room.
        let wished = (8 * wanted.len() as u64).next_power_of_two();
        let count = wished.clamp(Self::MIN_BITS, Self::MAX_BITS);
        let bits = vec![0; usize::try_from(count / 64).unwrap_or(0)];
        let mut filter = Self { low, span: high - low, mask: count - 1, bits };
        for at in wanted {
            let (word, bit) = filter.place(at);
            if let Some(word) = filter.bits.get_mut(word) {
                *word |= bit;
            }
        }
        filter
    }

    fn place(&self, at: Address) -> (usize, u64) {
        let bit = (at.0 >> 3) & self.mask;
        (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
    }

    fn may_have(&self, at: Address) -> bool {
        let (word, bit) = self.place(at);
        at.0.wrapping_sub(self.low) <= self.span
            && self.bits.get(word).is_some_and(|word| word & bit != 0)
    }
}

impl Reader<'_> {
    /// The object that the word at `place` is part of, if one that the collector knows begins not far
    /// before it.
    fn object_around(&self, place: Address) -> Option<Address> {
        let last = place.0 & !(ALIGNED - 1);
        let starts = (0..MAX_OBJECT / ALIGNED).map(|back| Address(last).before(ALIGNED * back));
        starts.into_iter().find(|&at| self.is_tracked(at))
    }

    /// Whether an object refers to another one, weakly or not, as far as its kind is known.
    fn knows(&self, at: Address, other: Address) -> bool {
        self.references_from(at).is_ok_and(|all| all.is_some_and(|all| all.contains(&other)))
            || self.is_weakly_to(at, |to| to == other)
    }

    /// Whether the object at `at` is a weak reference to one of these.
    pub fn is_weakly_to(&self, at: Address, is_one: impl Fn(Address) -> bool) -> bool {
        let object = at.offset(self.layout.small.weakref_object);
        self.is_kind(at, Kind::Weakref)
            && self.pointer(object).is_ok_and(|object| object.is_some_and(is_one))
    }

    /// The container whose items are in the block that the word at `place` points to.
    fn container_with_block_at(&self, place: Address) -> Option<Address> {
        let (dict, set, deque) = (&self.layout.dict, &self.layout.set, &self.layout.deque);
        let fields = [
            (self.layout.small.list_items, Kind::List),
            (dict.keys, Kind::Dict),
            (dict.values, Kind::Dict),
            (set.table, Kind::Set),
            (set.table, Kind::FrozenSet),
            (deque.leftblock, Kind::Deque),
            // `rightblock` is the next field.
            (deque.leftblock + 8, Kind::Deque),
        ];
        let containers = fields.into_iter().filter_map(|(field, kind)| {
            let at = place.before(field);
            self.is_kind(at, kind).then_some(at)
        });
        let instance = self.layout.attributes.values_before().map(|before| place.offset(before));
        containers.chain(instance).find(|&at| self.is_tracked(at))
    }

    /// Whether an object lies at `at` that is in a list of the garbage collector: one that was freed
    /// is in none.
    pub fn is_tracked(&self, at: Address) -> bool {
        let head = at.before(GC_HEAD);
        let word = |at| self.memory.u64(at).ok();
        let linked = || {
            let next = Address(word(head)? & !GC_FLAGS).non_null()?;
            Some(word(next.offset(8))? & !GC_FLAGS == head.0)
        };
        at.0.is_multiple_of(ALIGNED)
            && word(at).is_some_and(is_alive)
            && linked() == Some(true)
            && self.class_of(at).is_ok_and(|class| class.is_collected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::tests::{self as built, MINORS};

    /// Who is found to refer to an object, by as many searches as that takes.
    fn found(heap: &built::Heap, to: Address) -> Vec<Address> {
        heap.read(|reader| {
            let search = Heap::new(*reader, vec![heap.extent()]);
            let wanted = std::iter::once(to).collect();
            let first = search.referrers(&wanted, &[]).unwrap();
            let second = search.referrers(&FxHashSet::default(), &first.loose).unwrap();
            let objects = [first, second].map(|found| found.objects);
            let all = objects.iter().filter_map(|found| found.get(&to)).flatten();
            let mut owners: Vec<Address> = all.copied().collect();
            owners.sort_unstable();
            owners.dedup();
            owners
        })
    }

    #[test]
    fn who_refers_to_an_object_is_found_wherever_the_reference_lies() {
        for minor in MINORS {
            let mut heap = built::Heap::of(minor);
            let to = heap.none();
            let other = heap.str("other");
            let class = heap.python_class("app", "Holder", Address::NULL);
            let owners = [
                heap.tuple(&[other, to]),
                heap.list(&[other, to]),
                heap.set(&[to]),
                heap.deque(&[other, other, to]),
                heap.namespace(&[("other", other), ("this", to)]),
                heap.instance(class, &[("other", other)]),
                heap.awaits(to),
            ];
            for owner in owners {
                heap.track(owner);
            }
            // Where its attributes lie in a dictionary of its own, that is the owner.
            let holder = heap.instance(class, &[("event", to)]);
            heap.track(holder);
            let is_dict = heap.layout.attributes == crate::layout::Attributes::DictOffset;
            let [tuple, list, set, deque, dict, _, coroutine] = owners;
            let mut expected = vec![tuple, list, set, deque, dict, coroutine];
            if !is_dict {
                expected.push(holder);
            }
            expected.sort_unstable();
            assert_eq!(found(&heap, to), expected, "3.{minor}");
        }
    }

    #[test]
    fn what_was_freed_or_removed_is_no_reference() {
        for minor in MINORS {
            let mut heap = built::Heap::of(minor);
            let to = heap.none();
            let freed = heap.tuple(&[to]);
            heap.track(freed);
            heap.word(freed.before(16), 0);
            let shortened = heap.list(&[to]);
            heap.track(shortened);
            heap.word(shortened.offset(heap.layout.object.ob_size), 0);
            let emptied = heap.deque(&[to]);
            heap.track(emptied);
            heap.word(emptied.offset(heap.layout.object.ob_size), 0);
            assert_eq!(found(&heap, to), [], "3.{minor}");
            let alive = heap.tuple(&[to]);
            heap.track(alive);
            assert_eq!(found(&heap, to), [alive], "3.{minor}");
        }
    }

    #[test]
    fn a_word_with_a_tag_is_found_too() {
        let mut heap = built::Heap::of(14);
        let to = heap.none();
        let place = heap.room(8);
        heap.word(place, to.0 | 1);
        let words = heap.read(|reader| {
            Heap::new(*reader, vec![heap.extent()]).find(&std::iter::once(to).collect())
        });
        assert_eq!(words.unwrap(), [Word { place, value: to }]);
    }
}
