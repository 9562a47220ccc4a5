//! Which futures the program's functions may yet look at, from where they are now.

use rustc_hash::FxHashSet;

use super::{MAX_SEARCHED_ITEMS, Search, first_variable, read_words};
use crate::memory::Address;
use crate::python::object::{Kind, MAX_ITEMS, Reader};

/// Frames that are looked at: 2,000 tasks of ten frames each.
const MAX_FRAMES: usize = 20_000;
/// Global variables of one function that are looked at.
const MAX_NAMES: usize = 256;

/// What of iterators leads to what they iterate over: `it_seq` of those of lists and tuples,
/// `si_set` and `di_dict`.
// 3.8 to 3.15: Objects/listobject.c, tupleobject.c, setobject.c, dictobject.c: head, index,
// sequence; or head, container.
const ITERATED: [u64; 2] = [16, 24];

/// The futures that may yet be looked at.
pub(super) enum Lookers {
    /// These.
    Known(FxHashSet<Address>),
    /// There are too many frames to tell.
    Any,
}

impl Lookers {
    /// Whether somebody may yet look at the future.
    pub(super) fn may_look_at(&self, future: Address) -> bool {
        match self {
            Self::Known(futures) => futures.contains(&future),
            Self::Any => true,
        }
    }
}

impl Search<'_> {
    /// The futures that functions still have in variables that they read again, in collections
    /// and objects that these hold, in what they iterate over, or in global variables they read
    /// further on.
    ///
    /// What a function that is called later finds by itself is not among them: whoever looks at a
    /// failed task only when all ends looks too late.
    pub(super) fn lookers(&self) -> Lookers {
        let reader = self.reader;
        if self.every_frame().count() > MAX_FRAMES {
            return Lookers::Any;
        }
        let mut futures = FxHashSet::default();
        let mut buffer = Vec::new();
        let mut places = FxHashSet::default();
        for owned in self.every_frame() {
            let Ok(code) = reader.code(owned.frame.code) else { continue };
            if code.place.is_asyncio() {
                continue;
            }
            let Ok(names) = reader.names_ahead(owned.frame) else { return Lookers::Any };
            let is_read = |name: &str| names.contains(name);
            let first = first_variable(&reader, owned.frame);
            let words: Vec<u64> =
                read_words(&reader, first, code.locals_count, &mut buffer).collect();
            for (index, word) in words.into_iter().enumerate() {
                if let Some(value) = reader.slot_value(word)
                    && reader.reads_variable(owned.frame, index) != Some(false)
                {
                    reach(&reader, value, &is_read, &mut futures);
                }
            }
            // A frame that runs does not tell the depth of its stack.
            for value in reader.references_of_frame(owned.frame).unwrap_or_default() {
                futures.extend(iterated(&reader, value));
            }
            // All frames at one place of a function see the same global variables.
            if places.insert((owned.frame.code, owned.frame.lasti))
                && let Ok(globals) = reader.globals(owned.frame)
            {
                for name in names.iter().take(MAX_NAMES) {
                    if let Ok(Some(value)) = reader.dict_get(globals, name) {
                        reach(&reader, value, &is_read, &mut futures);
                    }
                }
            }
        }
        Lookers::Known(futures)
    }
}

/// The futures that a value is or has, by attributes that are read further on.
fn reach(
    reader: &Reader<'_>,
    value: Address,
    is_read: &dyn Fn(&str) -> bool,
    futures: &mut FxHashSet<Address>,
) {
    let value = match reader.kind_of(value) {
        Ok(Kind::Cell) => reader.pointer(value.offset(reader.layout.small.cell_ref)).ok().flatten(),
        _ => Some(value),
    };
    let Some(value) = value else { return };
    let Ok(class) = reader.class_of(value) else { return };
    match class.kind {
        Kind::Other if class.is_python() => {
            for (name, value) in reader.attributes(value, MAX_SEARCHED_ITEMS).unwrap_or_default() {
                if !reader.name(name).is_ok_and(|name| is_read(&name)) {
                    continue;
                }
                futures.extend(futures_at(reader, value));
            }
        }
        _ => futures.extend(futures_at(reader, value)),
    }
}

/// The futures in what an iterator iterates over; none for any other value.
fn iterated(reader: &Reader<'_>, value: Address) -> Vec<Address> {
    let Ok(class) = reader.class_of(value) else { return Vec::new() };
    if class.kind != Kind::Other || !class.name.ends_with("iterator") {
        return Vec::new();
    }
    let things = ITERATED.iter().filter_map(|field| reader.pointer(value.offset(*field)).ok()?);
    things.flat_map(|thing| futures_at(reader, thing)).collect()
}

/// The future that a value is, or those in a collection.
fn futures_at(reader: &Reader<'_>, at: Address) -> Vec<Address> {
    let values = || {
        let items = reader.dict(at, MAX_ITEMS).unwrap_or_default();
        items.into_iter().map(|(_, value)| value).collect()
    };
    let mut found = match reader.kind_of(at) {
        Ok(kind) if kind.is_future() => return vec![at],
        Ok(Kind::Dict) => values(),
        _ => Vec::new(),
    };
    found.extend(reader.items_of(at).unwrap_or_default());
    found.retain(|&at| reader.kind_of(at).is_ok_and(Kind::is_future));
    found
}
