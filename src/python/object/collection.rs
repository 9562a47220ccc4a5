//! Collections: tuple, list, dict, set, deque.

use super::{Kind, MAX_ITEMS, Read, Reader, Unreadable};
use crate::layout::DictKeys;
use crate::memory::{Address, ReadMemory as _};

/// The hash of a set's entry that was removed.
// 3.8-3.15: Objects/setobject.c, set_discard_entry: key = dummy, hash = -1
const REMOVED: i64 = -1;

/// Values in a block of a deque.
// 3.8-3.15: Modules/_collectionsmodule.c, BLOCKLEN
const DEQUE_BLOCK: u64 = 64;

/// Entries of a set's table that are read in one call (4 MiB).
const ENTRIES_AT_ONCE: usize = 1 << 18;

/// How often a table that changes while it is read is read again.
const MAX_TRIES: usize = 8;

/// Items of a dictionary among which a key is looked for from the first on each time.
const FEW_ITEMS: usize = 32;

impl Reader<'_> {
    /// The pointers in an array of `count` at `at`.
    pub(super) fn pointers(&self, at: Address, count: u64) -> Read<Vec<Address>> {
        let bytes = self.memory.vec(at, count.saturating_mul(8))?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|word| Address(u64::from_le_bytes(*word))).collect())
    }

    /// The items of the `tuple` at `at`.
    ///
    /// # Errors
    /// When it is no tuple or cannot be read.
    pub fn tuple(&self, at: Address) -> Read<Vec<Address>> {
        if self.kind_of(at)? != Kind::Tuple {
            return Err(Unreadable::bad(at, "tuple"));
        }
        let read = || {
            let count = self.size(at, MAX_ITEMS, "tuple")?;
            self.pointers(at.offset(self.layout.small.tuple_items), count)
        };
        self.noting(at, read())
    }

    /// The items of the `list` at `at`, at most `max` of them.
    ///
    /// # Errors
    /// When it is no list or cannot be read.
    pub fn list(&self, at: Address, max: u64) -> Read<Vec<Address>> {
        if self.kind_of(at)? != Kind::List {
            return Err(Unreadable::bad(at, "list"));
        }
        let read = || {
            let count = self.size(at, MAX_ITEMS, "list")?.min(max);
            if count == 0 {
                return Ok(Vec::new());
            }
            let items = self.must_pointer(at.offset(self.layout.small.list_items), "list")?;
            self.pointers(items, count)
        };
        self.noting(at, read())
    }

    /// The members of the `set` or `frozenset` at `at`.
    ///
    /// The table is read in one call between two readings of its header, so that a table that
    /// is replaced meanwhile is noticed and read again; a very large one in several such calls.
    ///
    /// # Errors
    /// When it is no set, cannot be read, or does not hold still.
    pub fn set(&self, at: Address) -> Read<Vec<Address>> {
        let bad = || Unreadable::bad(at, "set");
        if !matches!(self.kind_of(at)?, Kind::Set | Kind::FrozenSet) {
            return Err(bad());
        }
        self.noting(at, self.table(at))
    }

    /// The members in the table of a set.
    fn table(&self, at: Address) -> Read<Vec<Address>> {
        let bad = || Unreadable::bad(at, "set");
        let fields = &self.layout.set;
        // [ used, mask, table ] lie one behind the other.
        let header = at.offset(fields.used).0..at.offset(fields.table + 8).0;
        let word = |bytes: &[u8], field: u64| {
            let start = usize::try_from(field - fields.used).ok()?;
            Some(u64::from_le_bytes(bytes.get(start..start + 8)?.try_into().ok()?))
        };
        for _ in 0..MAX_TRIES {
            let mask = self.memory.u64(at.offset(fields.mask))?;
            let table = self.memory.u64(at.offset(fields.table))?;
            if mask >= 4 * MAX_ITEMS || !(mask + 1).is_power_of_two() {
                return Err(bad());
            }
            let mut members = Vec::new();
            let mut is_same = true;
            for first in (0..=mask).step_by(ENTRIES_AT_ONCE) {
                let count = (mask + 1 - first).min(ENTRIES_AT_ONCE as u64);
                let start = table.saturating_add(first * 16);
                let entries = start..start.saturating_add(count * 16);
                let ranges = [header.clone(), entries, header.clone()];
                let lengths = ranges
                    .clone()
                    .map(|range| usize::try_from(range.end - range.start).unwrap_or(0));
                let mut bytes = vec![0; lengths.iter().sum()];
                let mut has_failed = false;
                self.memory.source().read_many(&ranges, &mut bytes, &mut |_| has_failed = true);
                let (before, rest) = bytes.split_at(lengths[0].min(bytes.len()));
                let (entries, after) = rest.split_at(lengths[1].min(rest.len()));
                is_same &= !has_failed
                    && [before, after].into_iter().all(|header| {
                        word(header, fields.mask) == Some(mask)
                            && word(header, fields.table) == Some(table)
                    });
                members.extend(entries.as_chunks::<16>().0.iter().filter_map(set_member));
                if !is_same {
                    break;
                }
            }
            if is_same {
                return Ok(members);
            }
            self.memory.forget(at, fields.table + 8);
        }
        Err(bad())
    }

    /// The values of the `collections.deque` at `at`, from the left, at most `max`.
    ///
    /// # Errors
    /// When it is no deque or cannot be read.
    pub fn deque(&self, at: Address, max: u64) -> Read<Vec<Address>> {
        if self.kind_of(at)? != Kind::Deque {
            return Err(Unreadable::bad(at, "deque"));
        }
        self.noting(at, self.deque_values(at, max))
    }

    /// The values in the blocks of a deque.
    fn deque_values(&self, at: Address, max: u64) -> Read<Vec<Address>> {
        let bad = || Unreadable::bad(at, "deque");
        let fields = &self.layout.deque;
        let mut left = self.size(at, MAX_ITEMS, "deque")?.min(max);
        let mut values = Vec::new();
        let mut block = self.memory.pointer(at.offset(fields.leftblock))?;
        let mut index = self.memory.u64(at.offset(fields.leftindex))?;
        if index >= DEQUE_BLOCK {
            return Err(bad());
        }
        while left > 0 {
            let part = (DEQUE_BLOCK - index).min(left);
            values.extend(self.pointers(block.offset(fields.block_data + 8 * index), part)?);
            left -= part;
            index = 0;
            if left > 0 {
                block = self.must_pointer(block.offset(fields.block_right), "deque")?;
            }
        }
        Ok(values)
    }

    /// The items of a list, tuple, set or deque; the keys of a dictionary.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn items_of(&self, at: Address) -> Read<Vec<Address>> {
        Ok(match self.kind_of(at)? {
            Kind::List => self.list(at, MAX_ITEMS)?,
            Kind::Tuple => self.tuple(at)?,
            Kind::Set | Kind::FrozenSet => self.set(at)?,
            Kind::Deque => self.deque(at, MAX_ITEMS)?,
            Kind::Dict => self.dict(at, MAX_ITEMS)?.into_iter().map(|(key, _)| key).collect(),
            _ => Vec::new(),
        })
    }

    /// The items of the `dict` at `at` in their order, at most `max` of them.
    ///
    /// # Errors
    /// When it is no dict or cannot be read.
    pub fn dict(&self, at: Address, max: u64) -> Read<Vec<(Address, Address)>> {
        if self.kind_of(at)? != Kind::Dict {
            return Err(Unreadable::bad(at, "dict"));
        }
        let fields = &self.layout.dict;
        let read = || {
            if self.memory.u64(at.offset(fields.used))? == 0 {
                return Ok(Vec::new());
            }
            let keys = self.must_pointer(at.offset(fields.keys), "dict")?;
            let values = self.pointer(at.offset(fields.values))?;
            self.dict_items(keys, values.map(|values| values.offset(fields.first_value)), max)
        };
        self.noting(at, read())
    }

    /// The entries of dict keys in their order, at most `max` of them: keys, and values where these
    /// are not in an array of their own. Unused ones are null.
    ///
    /// keys: [ header ; indices: 1, 2, 4 or 8 bytes each ; (hash, key, value) or (key, value) ]
    pub(super) fn dict_entries(&self, keys: Address, max: u64) -> Read<Vec<[Address; 2]>> {
        let bad = || Unreadable::bad(keys, "dict keys");
        let (entries, width, count) = match self.layout.dict.keys_layout {
            DictKeys::Sized { size, nentries, indices } => {
                let size = self.memory.u64(keys.offset(size))?;
                let index_bytes = match size {
                    0..=0xff => 1,
                    0x100..=0xffff => 2,
                    0x1_0000..=0xffff_ffff => 4,
                    _ => 8,
                };
                let entries = keys.offset(indices.saturating_add(size.saturating_mul(index_bytes)));
                (entries, 3, self.memory.u64(keys.offset(nentries))?)
            }
            DictKeys::Log2 { log2_index_bytes, kind, nentries, indices } => {
                let log2 = self.memory.u8(keys.offset(log2_index_bytes))?;
                let index_bytes = 1_u64.checked_shl(u32::from(log2)).ok_or_else(bad)?;
                // dk_kind: 0 general, 1 unicode, 2 split (pycore_dict.h, DictKeysKind)
                let width = if self.memory.u8(keys.offset(kind))? == 0 { 3 } else { 2 };
                let entries = keys.offset(indices.saturating_add(index_bytes));
                (entries, width, self.memory.u64(keys.offset(nentries))?)
            }
        };
        if count > MAX_ITEMS {
            return Err(bad());
        }
        let words = self.pointers(entries, count.min(max) * width)?;
        let entries = words.chunks_exact(if width == 3 { 3 } else { 2 });
        Ok(entries.filter_map(|entry| entry.last_chunk().copied()).collect())
    }

    /// The items of dict keys, with their values in the keys or in the array at `split`.
    pub(super) fn dict_items(
        &self,
        keys: Address,
        split: Option<Address>,
        max: u64,
    ) -> Read<Vec<(Address, Address)>> {
        let entries = self.dict_entries(keys, max)?;
        let split = match split {
            Some(values) => Some(self.pointers(values, entries.len() as u64)?),
            None => None,
        };
        Ok(entries
            .iter()
            .enumerate()
            .filter_map(|(i, [key, value])| {
                let value = split.as_ref().map_or(Some(value), |values| values.get(i))?;
                Some((key.non_null()?, value.non_null()?))
            })
            .collect())
    }

    /// The value of the `dict` at `at` under the ASCII key `key`.
    ///
    /// # Errors
    /// When it is no dict or cannot be read.
    pub fn dict_get(&self, at: Address, key: &str) -> Read<Option<Address>> {
        let items = self.dict(at, MAX_ITEMS)?;
        Ok(self.find_key(at, &items, key))
    }

    /// The value under the ASCII key `key` in the `items` of the `dict` at `dict`; keys that cannot
    /// be read are passed over.
    ///
    /// Where it was found is where it is looked for first the next time: the keys of a large
    /// dictionary, such as `sys.modules`, are strings all over the memory.
    pub fn find_key(
        &self,
        dict: Address,
        items: &[(Address, Address)],
        key: &str,
    ) -> Option<Address> {
        let is_wanted = |at| self.is_kind(at, Kind::Str) && self.is_text(at, key) == Ok(true);
        let known = self.caches.place_of(dict, key).and_then(|place| items.get(place));
        if let Some((_, value)) = known.filter(|(at, _)| is_wanted(*at)) {
            return Some(*value);
        }
        self.memory.prefetch(items.iter().map(|(key, _)| (*key, 64)));
        let place = items.iter().position(|(at, _)| is_wanted(*at))?;
        if items.len() > FEW_ITEMS {
            self.caches.note_place(dict, key, place);
        }
        items.get(place).map(|&(_, value)| value)
    }
}

/// A table entry: (key: ptr, hash: i64).
fn set_member(entry: &[u8; 16]) -> Option<Address> {
    let (key, hash) = entry.split_first_chunk::<8>()?;
    let key = Address(u64::from_le_bytes(*key)).non_null()?;
    let hash = i64::from_le_bytes(hash.try_into().ok()?);
    (hash != REMOVED).then_some(key)
}
