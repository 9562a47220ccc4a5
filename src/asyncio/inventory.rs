//! What a search of the whole memory looks for: the classes of coroutines, futures, locks and their
//! like, and in which state one of these is.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::FutureState;
use crate::memory::Address;
use crate::python::frame::Progress;
use crate::python::object::{Kind, MAX_ITEMS, Reader};
use crate::python::runtime::Interpreter;
use crate::snapshot::{HeapKind, Location};

/// Classes made from those that are looked for.
const MAX_CLASSES: usize = 4096;
/// Where the classes are by name.
// 3.8-3.15: Lib/asyncio, Lib/types.py
const CLASSES: [(&str, &str, HeapKind); 11] = [
    ("types", "CoroutineType", HeapKind::NeverStarted),
    ("types", "AsyncGeneratorType", HeapKind::OpenGenerator),
    ("asyncio.tasks", "Task", HeapKind::FailedFuture),
    ("asyncio.futures", "Future", HeapKind::FailedFuture),
    ("asyncio.futures", "_PyFuture", HeapKind::FailedFuture),
    ("asyncio.locks", "Event", HeapKind::Event),
    ("asyncio.locks", "Lock", HeapKind::Lock),
    ("asyncio.locks", "Semaphore", HeapKind::Semaphore),
    ("asyncio.locks", "Condition", HeapKind::Condition),
    ("asyncio.queues", "Queue", HeapKind::Queue),
    ("asyncio.tasks", "_PyTask", HeapKind::FailedFuture),
];
/// The collections in which things are held.
const COLLECTIONS: [(&str, &str); 6] = [
    ("builtins", "dict"),
    ("builtins", "list"),
    ("builtins", "tuple"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("collections", "deque"),
];

/// The modules of an interpreter: their names and dictionaries.
pub type Modules = Vec<(Arc<str>, Address)>;

/// One thing that was found, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// Its address.
    pub at: Address,
    /// What it is.
    pub kind: HeapKind,
    /// Its class, or the function of a coroutine or generator.
    pub name: Arc<str>,
    /// Where a coroutine begins, a generator is suspended, or an exception was raised.
    pub place: Option<Arc<Location>>,
    /// The class of its exception.
    pub exception: Option<Arc<str>>,
    /// Whether it is set, or locked.
    pub is_on: Option<bool>,
    /// How many permits are free, or items in it.
    pub amount: Option<i64>,
    /// How many wait at it.
    pub waiting: Option<u64>,
}

impl Reader<'_> {
    /// The modules of an interpreter.
    pub fn all_modules(&self, interpreter: &Interpreter) -> Modules {
        let items = self.dict(interpreter.modules, MAX_ITEMS).unwrap_or_default();
        let module = |(name, module)| {
            let dict = self
                .is_kind(module, Kind::Module)
                .then(|| self.pointer(module.offset(self.layout.small.module_dict)).ok().flatten());
            Some((self.name(name).ok()?, dict??))
        };
        items.into_iter().filter_map(module).collect()
    }

    fn class_in(&self, modules: &Modules, module: &str, name: &str) -> Option<Address> {
        let (_, dict) = modules.iter().find(|(known, _)| **known == *module)?;
        let class = self.dict_get(*dict, name).ok()??;
        self.is_kind(class, Kind::Type).then_some(class)
    }

    /// The classes of what is looked for, those made from them included.
    pub fn sought_classes(&self, modules: &Modules) -> FxHashMap<Address, HeapKind> {
        let first = CLASSES.iter().filter_map(|(module, name, kind)| {
            Some((self.class_in(modules, module, name)?, *kind))
        });
        let mut found: FxHashMap<Address, HeapKind> = FxHashMap::default();
        let mut open: Vec<(Address, HeapKind)> = first.collect();
        while let Some((class, kind)) = open.pop() {
            if found.len() < MAX_CLASSES && found.insert(class, kind).is_none() {
                open.extend(self.subclasses(class).into_iter().map(|class| (class, kind)));
            }
        }
        found
    }

    /// The classes of collections, each with its kind.
    pub fn collection_classes(&self, modules: &Modules) -> Vec<(Address, Kind)> {
        let classes = COLLECTIONS.iter().filter_map(|(module, name)| {
            let at = self.class_in(modules, module, name)?;
            Some((at, self.class(at).ok()?.kind))
        });
        classes.collect()
    }

    /// The object of this kind at `at`, if it is one that is to be listed.
    pub fn thing(&self, at: Address, kind: HeapKind) -> Option<Thing> {
        let class = self.class_of(at).ok()?;
        let mut thing = Thing {
            at,
            kind,
            name: self.class_name(&class),
            place: None,
            exception: None,
            is_on: None,
            amount: None,
            waiting: None,
        };
        match kind {
            HeapKind::NeverStarted | HeapKind::OpenGenerator => {
                let generator = self.generator(at).ok()?;
                let frame = generator.frame.filter(|frame| frame.generator == at)?;
                let lasti = match (kind, generator.progress) {
                    (HeapKind::NeverStarted, Progress::Created) => -1,
                    (HeapKind::OpenGenerator, Progress::Suspended) => frame.lasti,
                    _ => return None,
                };
                thing.name = self.generator_name(at)?;
                let site = self.site(frame.code, lasti, frame.qualname);
                thing.place = site.ok().map(|site| site.location);
            }
            HeapKind::FailedFuture => {
                let exception = self.unretrieved_exception(at)?;
                let class = self.class_of(exception).ok()?;
                thing.exception = Some(self.class_name(&class));
                thing.place = self.raised_at(exception);
            }
            HeapKind::Event => {
                thing.is_on = self.number(at, "_value").map(|value| value != 0);
                thing.waiting = self.waiting_in(at, "_waiters");
            }
            HeapKind::Lock => {
                thing.is_on = self.number(at, "_locked").map(|value| value != 0);
                thing.waiting = self.waiting_in(at, "_waiters");
            }
            HeapKind::Semaphore => {
                thing.amount = self.number(at, "_value");
                thing.waiting = self.waiting_in(at, "_waiters");
            }
            HeapKind::Condition => {
                let lock = self.attribute(at, "_lock").ok().flatten();
                thing.is_on =
                    lock.and_then(|lock| self.number(lock, "_locked")).map(|value| value != 0);
                thing.waiting = self.waiting_in(at, "_waiters");
            }
            HeapKind::Queue => {
                let items = self.attribute(at, "_queue").ok().flatten();
                let count = items.and_then(|items| self.len_of(items));
                thing.amount = count.and_then(|count| i64::try_from(count).ok());
                let [getters, putters] =
                    ["_getters", "_putters"].map(|name| self.waiting_in(at, name));
                thing.waiting = getters.zip(putters).map(|(getters, putters)| getters + putters);
            }
            HeapKind::Other => return None,
        }
        Some(thing)
    }

    /// How many wait in an attribute with their futures.
    fn waiting_in(&self, at: Address, name: &str) -> Option<u64> {
        let futures = self.waiters_of(at, name).ok()?;
        let is_pending = |at: &&Address| self.future_state(**at) == Ok(Some(FutureState::Pending));
        Some(futures.iter().filter(is_pending).count() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::heap::Heap;
    use crate::python::tests::{self as built, Function, LASTI, MINORS, Stage, Values};

    /// The coroutines and generators that a search of all of it gives.
    fn found(heap: &mut built::Heap) -> Vec<(Address, HeapKind)> {
        let classes = [
            (heap.class("coroutine"), HeapKind::NeverStarted),
            (heap.class("async_generator"), HeapKind::OpenGenerator),
        ];
        // A page that is there in part is none that is read ahead.
        heap.room(1 << 12);
        heap.read(|reader| {
            let search = Heap::new(*reader, vec![heap.extent()]);
            let all = search.instances(&classes.iter().map(|(class, _)| *class).collect()).unwrap();
            let things = all.into_iter().flat_map(|at| {
                let kinds = classes.iter().filter(move |(class, _)| {
                    reader.class_of(at).is_ok_and(|of_object| of_object.at == *class)
                });
                kinds.filter_map(move |(_, kind)| reader.thing(at, *kind))
            });
            things.map(|thing| (thing.at, thing.kind)).collect()
        })
    }

    /// Where a frame is that has not begun.
    fn before_first(minor: u8) -> i64 {
        if minor < 13 { -2 } else { 0 }
    }

    #[test]
    fn coroutines_that_were_not_started_and_generators_that_wait_are_told_from_others() {
        for minor in MINORS {
            let mut heap = built::Heap::of(minor);
            let to = heap.none();
            let code = heap.awaiting_code();
            let code = heap.code(Function { code: &code, ..Function::default() });
            let make = |heap: &mut built::Heap, class: &str, lasti, stage| {
                let at = heap.generator(class, code, lasti, stage, Values::default());
                heap.track(at);
                at
            };
            let before = before_first(minor);
            let created = make(&mut heap, "coroutine", before, Stage::Created);
            let open = make(&mut heap, "async_generator", 2, Stage::Suspended);
            for class in ["coroutine", "async_generator"] {
                make(&mut heap, class, LASTI, Stage::Awaiting(to));
                make(&mut heap, class, LASTI, Stage::Executing);
                make(&mut heap, class, LASTI, Stage::Finished);
            }
            make(&mut heap, "async_generator", before, Stage::Created);
            let expected = [(created, HeapKind::NeverStarted), (open, HeapKind::OpenGenerator)];
            assert_eq!(found(&mut heap), expected, "3.{minor}");
        }
    }

    #[test]
    fn a_coroutine_that_was_freed_is_none_whatever_its_memory_still_has() {
        for minor in MINORS {
            let mut heap = built::Heap::of(minor);
            let code = heap.code(Function::default());
            let mut freed = |change: &dyn Fn(&mut built::Heap, Address)| {
                let before = before_first(minor);
                let at =
                    heap.generator("coroutine", code, before, Stage::Created, Values::default());
                heap.track(at);
                assert_eq!(found(&mut heap), [(at, HeapKind::NeverStarted)], "3.{minor}");
                change(&mut heap, at);
                assert_eq!(found(&mut heap), [], "3.{minor}");
            };
            // No reference; the next free block's address in its place; taken from the collector's
            // lists; in a list whose next object doesn't know it, as when the allocator's own list of
            // free blocks goes through there; and memory that was cleared but for its class.
            freed(&|heap, at| heap.word(at, 0));
            freed(&|heap, at| heap.word(at, 0x7f12_3456_0000));
            freed(&|heap, at| heap.word(at.before(16), 0));
            freed(&|heap, at| {
                let next = heap.room(16);
                heap.link(at.before(16), next);
            });
            freed(&|heap, at| {
                let class = heap.layout.object.ob_type;
                for offset in (class + 8..256).step_by(8) {
                    heap.word(at.offset(offset), 0);
                }
            });
        }
    }
}
