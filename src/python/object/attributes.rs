//! Instance attributes: dictionaries in all the places CPython keeps them, and slots.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::class::{Class, MAX_BASES};
use super::keys::Storage;
use super::{Kind, MAX_ITEMS, Read, Reader};
use crate::layout::{Attributes, IntSize};
use crate::memory::Address;

/// The largest instance in which a slot may lie.
const MAX_INSTANCE: u64 = 1 << 20;

impl Reader<'_> {
    /// The attributes in the instance dictionary of the object at `at`, slots not included, at
    /// most `max` of them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn attributes(&self, at: Address, max: u64) -> Read<Vec<(Address, Address)>> {
        let class = self.class_of(at)?;
        match self.storage(at, &class)? {
            Storage::Dict(dict) => self.dict(dict, max),
            Storage::Shared { keys, values } => self.dict_items(keys, Some(values), max),
            Storage::Empty => Ok(Vec::new()),
        }
    }

    /// Where the attributes of the object at `at` are, slots not counted.
    pub(super) fn storage(&self, at: Address, class: &Class) -> Read<Storage> {
        if !class.has_managed_dict() || self.layout.attributes == Attributes::DictOffset {
            let Some(offset) = self.dict_offset(at, class)? else { return Ok(Storage::Empty) };
            return Ok(self.pointer(offset)?.map_or(Storage::Empty, Storage::Dict));
        }
        let first = self.layout.dict.first_value;
        let (dict, values) = match self.layout.attributes {
            Attributes::DictOffset => return Ok(Storage::Empty),
            Attributes::Managed311 { values_before, dict_before } => {
                (self.pointer(at.before(dict_before))?, self.pointer(at.before(values_before))?)
            }
            Attributes::Managed312 { word_before } => {
                let word = self.memory.pointer(at.before(word_before))?;
                let is_values = word.0 & 1 == 1;
                (word.non_null().filter(|_| !is_values), is_values.then(|| word.offset(1)))
            }
            Attributes::Inline { dict_before, valid } => {
                let dict = self.pointer(at.before(dict_before))?;
                let values = at.offset(class.basicsize);
                let is_inline = dict.is_none()
                    && class.has_inline_values()
                    && self.memory.u8(values.offset(valid))? != 0;
                (dict, is_inline.then(|| values.offset(first)))
            }
        };
        Ok(match (dict, values, class.cached_keys) {
            (Some(dict), ..) => Storage::Dict(dict),
            (None, Some(values), Some(keys)) => Storage::Shared { keys, values },
            _ => Storage::Empty,
        })
    }

    /// The dictionary of a dictionary or an instance, or its array of values; which of them.
    pub(in crate::python) fn dict_or_values(&self, at: Address) -> Read<Option<(Address, bool)>> {
        let class = self.class_of(at)?;
        Ok(match class.kind {
            Kind::Dict => Some((at, true)),
            Kind::Other => match self.storage(at, &class)? {
                Storage::Dict(dict) => Some((dict, true)),
                Storage::Shared { values, .. } => Some((values, false)),
                Storage::Empty => None,
            },
            _ => None,
        })
    }

    /// The attribute or slot of the instance at `at` whose value lies at `place`.
    pub(in crate::python) fn attribute_at(&self, at: Address, place: Address) -> Option<Arc<str>> {
        let class = self.class_of(at).ok()?;
        let slot = self.slots(&class).iter().find(|(_, offset)| at.offset(**offset) == place);
        if let Some((name, _)) = slot {
            return Some(Arc::clone(name));
        }
        let storage = match self.storage(at, &class).ok()? {
            Storage::Dict(dict) => self.values_of(dict).ok()?,
            other => other,
        };
        let Storage::Shared { keys, values } = storage else { return None };
        let index = place.0.checked_sub(values.0)? / 8;
        let keys = self.shared_keys(keys).ok()?;
        let (name, _) = keys.places.iter().find(|(_, place)| **place == index)?;
        Some(Arc::clone(name))
    }

    /// Where in the instance at `at` the pointer to its dictionary is, if it lies in it.
    pub(in crate::python) fn attributes_place(&self, at: Address) -> Option<Address> {
        let class = self.class_of(at).ok()?;
        let is_before =
            class.has_managed_dict() && self.layout.attributes != Attributes::DictOffset;
        if is_before { None } else { self.dict_offset(at, &class).ok()? }
    }

    /// Where the pointer to the instance dictionary is.
    fn dict_offset(&self, at: Address, class: &Class) -> Read<Option<Address>> {
        if class.dictoffset >= 0 {
            return Ok((class.dictoffset > 0).then(|| at.offset(class.dictoffset.unsigned_abs())));
        }
        // From the end of a var-sized object, rounded up to whole words (Objects/object.c,
        // _PyObject_ComputedDictPointer). An int's size is negative for a negative number, and
        // the count of a tag from 3.12 on.
        let raw = self.memory.i64(at.offset(self.layout.object.ob_size))?.unsigned_abs();
        let is_tag = class.kind == Kind::Int && matches!(self.layout.int.size, IntSize::Tag(_));
        let count = if is_tag { raw >> 3 } else { raw };
        let items = count.min(MAX_ITEMS).saturating_mul(class.itemsize);
        let end = class.basicsize.saturating_add(items).checked_next_multiple_of(8).unwrap_or(0);
        Ok(Some(at.offset(end).before(class.dictoffset.unsigned_abs())))
    }

    /// The attribute `name` in the instance dictionary or a slot of the object at `at`.
    ///
    /// # Errors
    /// When it cannot be read; a missing attribute is `None`.
    pub fn attribute(&self, at: Address, name: &str) -> Read<Option<Address>> {
        self.attributes_named(at, [name]).map(|[value]| value)
    }

    /// The attributes `names` of the object at `at`, in that order.
    ///
    /// # Errors
    /// When they cannot be read; a missing attribute is `None`.
    pub fn attributes_named<const N: usize>(
        &self,
        at: Address,
        names: [&str; N],
    ) -> Read<[Option<Address>; N]> {
        let class = self.class_of(at)?;
        let slots = self.slots(&class);
        let mut found = [None; N];
        let mut is_complete = true;
        for (value, name) in found.iter_mut().zip(names) {
            match slots.get(name) {
                Some(&offset) => *value = self.pointer(at.offset(offset))?,
                None => is_complete = false,
            }
        }
        if is_complete {
            return Ok(found);
        }
        let storage = match self.storage(at, &class)? {
            Storage::Dict(dict) => self.values_of(dict)?,
            other => other,
        };
        let missing = found.iter_mut().zip(names).filter(|(value, _)| value.is_none());
        match storage {
            Storage::Shared { keys, values } => {
                let keys = self.shared_keys(keys)?;
                for (value, name) in missing {
                    if let Some(&place) = keys.places.get(name) {
                        *value = self.pointer(values.offset(8 * place))?;
                    }
                }
            }
            Storage::Dict(dict) => {
                let items = self.dict(dict, MAX_ITEMS)?;
                missing.for_each(|(value, name)| *value = self.find_key(dict, &items, name));
            }
            Storage::Empty => {}
        }
        Ok(found)
    }

    /// The offsets of all slots of a class and its bases.
    pub fn slots<'c>(&self, class: &'c Class) -> &'c FxHashMap<Arc<str>, u64> {
        class.slots.get_or_init(|| {
            let mut slots = FxHashMap::default();
            let mut next = Some(class.at);
            for _ in 0..MAX_BASES {
                let Some(class) = next.and_then(|at| self.class(at).ok()) else { break };
                if !class.is_python() {
                    break;
                }
                for (key, value) in self.dict(class.dict, MAX_ITEMS).unwrap_or_default() {
                    if let (Some(offset), Ok(name)) = (self.slot(value), self.name(key)) {
                        slots.entry(name).or_insert(offset);
                    }
                }
                next = class.base;
            }
            slots
        })
    }

    /// The offsets of the members of a class written in C, by what its own dictionary says.
    pub fn members<'c>(&self, class: &'c Class) -> &'c FxHashMap<Arc<str>, u64> {
        class.members.get_or_init(|| {
            let items = match class.dict.non_null() {
                Some(dict) if !class.is_python() => self.dict(dict, MAX_ITEMS).unwrap_or_default(),
                _ => Vec::new(),
            };
            let member = |(key, value)| Some((self.name(key).ok()?, self.slot(value)?));
            items.into_iter().filter_map(member).collect()
        })
    }

    /// The offset that a `member_descriptor` stands for; `None` for anything else.
    ///
    /// `PyMemberDef: [ name: ptr, type: int, offset: ssize ]`
    pub(crate) fn slot(&self, at: Address) -> Option<u64> {
        if !self.is_kind(at, Kind::MemberDescriptor) {
            return None;
        }
        let member = self.pointer(at.offset(self.layout.small.member)).ok()??;
        self.memory.u64(member.offset(16)).ok().filter(|&offset| offset < MAX_INSTANCE)
    }
}
