//! Attributes of many objects of the same few classes.

use std::sync::Arc;

use super::Scan;
use crate::layout::Attributes;
use crate::memory::Address;

/// Attributes of one object that are looked at; the largest protocol seen has some sixty.
const MAX_ATTRIBUTES: u64 = 256;

impl Scan<'_> {
    /// The attributes `names` of an object, in that order.
    pub(super) fn named<const N: usize>(
        &self,
        at: Address,
        names: [&str; N],
    ) -> [Option<Address>; N] {
        let mut found = [None; N];
        let Ok(class) = self.reader.class_of(at) else { return found };
        let slots = self.reader.slots(&class);
        let mut missing = N;
        for (value, name) in found.iter_mut().zip(names) {
            if let Some(&offset) = slots.get(name) {
                *value = self.reader.pointer(at.offset(offset)).ok().flatten();
                missing = missing.saturating_sub(1);
            }
        }
        if missing > 0 {
            for (key, item) in self.reader.attributes(at, MAX_ATTRIBUTES).unwrap_or_default() {
                let Some(name) = self.name(key) else { continue };
                for (value, wanted) in found.iter_mut().zip(names) {
                    if *name == *wanted {
                        *value = Some(item);
                    }
                }
            }
        }
        found
    }

    /// All attributes of an object, slots included.
    pub(super) fn fields(&self, at: Address) -> Vec<(Arc<str>, Address)> {
        let reader = self.reader;
        let Ok(class) = reader.class_of(at) else { return Vec::new() };
        let in_slot = |(name, offset): (&Arc<str>, &u64)| {
            Some((Arc::clone(name), reader.pointer(at.offset(*offset)).ok()??))
        };
        let mut fields: Vec<_> = reader.slots(&class).iter().filter_map(in_slot).collect();
        let items = reader.attributes(at, MAX_ATTRIBUTES).unwrap_or_default();
        fields.extend(items.into_iter().filter_map(|(key, value)| Some((self.name(key)?, value))));
        fields
    }

    fn name(&self, key: Address) -> Option<Arc<str>> {
        if let Some(name) = self.names.borrow().get(&key) {
            return name.clone();
        }
        let name = self.reader.name(key).ok();
        self.names.borrow_mut().insert(key, name.clone());
        name
    }

    /// Reads where many objects keep their attributes, in few calls.
    pub(super) fn prefetch_attributes(&self, objects: &[Address]) {
        /// What lies before an object, and most of the object itself.
        const BEFORE: u64 = 32;
        const OBJECT: u64 = 256;
        let reader = self.reader;
        let (memory, fields) = (reader.memory, &reader.layout.dict);
        memory.prefetch(objects.iter().map(|at| (at.before(BEFORE), OBJECT)));
        // Where the attributes are, and whether that is a dictionary.
        let place = |at: Address| {
            let class = reader.class_of(at).ok()?;
            let dict = match reader.layout.attributes {
                Attributes::Managed311 { values_before, dict_before }
                    if class.has_managed_dict() =>
                {
                    match reader.pointer(at.before(values_before)).ok()? {
                        Some(values) => return Some((values, false)),
                        None => at.before(dict_before),
                    }
                }
                Attributes::Managed312 { word_before } if class.has_managed_dict() => {
                    let word = reader.pointer(at.before(word_before)).ok()??;
                    return Some((Address(word.0 & !1), word.0 & 1 == 0));
                }
                Attributes::Inline { dict_before, .. } if class.has_managed_dict() => {
                    at.before(dict_before)
                }
                _ => at.offset(u64::try_from(class.dictoffset).ok().filter(|&offset| offset > 0)?),
            };
            Some((reader.pointer(dict).ok()??, true))
        };
        let places: Vec<_> = objects.iter().filter_map(|&at| place(at)).collect();
        memory.prefetch(places.iter().map(|&(at, _)| (at, OBJECT)));
        let tables = places.iter().filter(|&&(_, is_dict)| is_dict).flat_map(|&(at, _)| {
            let table = |offset| reader.pointer(at.offset(offset)).ok().flatten();
            [table(fields.keys), table(fields.values)].into_iter().flatten()
        });
        let tables: Vec<_> = tables.map(|at| (at, 2 * OBJECT)).collect();
        memory.prefetch(tables.into_iter());
    }
}
