//! Names of attributes that the instances of a class share: each then has just an array of values.
//!
//! Which name is at which place is learnt once for all of them, so that an attribute costs one
//! read and no comparison of names.

use std::hash::Hasher;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHasher};

use super::{Kind, MAX_ITEMS, Read, Reader, Unreadable};
use crate::memory::Address;

/// Where the attributes of an object are.
pub(super) enum Storage {
    /// In a dictionary.
    Dict(Address),
    /// In an array, at the places that shared keys tell.
    Shared { keys: Address, values: Address },
    /// It has none.
    Empty,
}

/// The places of values, by name.
#[derive(Debug)]
pub(super) struct Keys {
    pub places: FxHashMap<Arc<str>, u64>,
}

impl Reader<'_> {
    /// Where the values of the dictionary at `dict` are: its own, or an array by shared keys.
    pub(super) fn values_of(&self, dict: Address) -> Read<Storage> {
        if self.kind_of(dict)? != Kind::Dict {
            return Err(Unreadable::bad(dict, "dict"));
        }
        let fields = &self.layout.dict;
        let Some(values) = self.pointer(dict.offset(fields.values))? else {
            return Ok(Storage::Dict(dict));
        };
        let keys = self.must_pointer(dict.offset(fields.keys), "dict")?;
        Ok(Storage::Shared { keys, values: values.offset(fields.first_value) })
    }

    /// What is in shared keys.
    pub(super) fn shared_keys(&self, at: Address) -> Read<Arc<Keys>> {
        if let Some(keys) = self.caches.fresh(&self.caches.keys, at) {
            return Ok(keys);
        }
        let entries = self.dict_entries(at, MAX_ITEMS)?;
        let mut hasher = FxHasher::default();
        for [name, _] in &entries {
            hasher.write_u64(name.0);
        }
        // Python only ever adds to them.
        let signature = [entries.len() as u64, hasher.finish(), 0, 0];
        if let Some(keys) = self.caches.same(&self.caches.keys, at, signature) {
            return Ok(keys);
        }
        self.memory.prefetch(entries.iter().map(|[name, _]| (*name, 64)));
        let mut places = FxHashMap::default();
        let mut is_complete = true;
        for (place, [name, _]) in (0..).zip(&entries) {
            match self.name(*name) {
                Ok(name) => drop(places.entry(name).or_insert(place)),
                // One that is just being added.
                Err(_) => is_complete = false,
            }
        }
        let keys = Arc::new(Keys { places });
        if is_complete {
            self.caches.keep(&self.caches.keys, at, signature, &keys);
        }
        Ok(keys)
    }
}
