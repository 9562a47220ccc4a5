//! Who holds what: locks and their like that were entered by `with` or `async with`.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Reasons;
use crate::known::purpose::{Anyio, Wait};
use crate::memory::Address;
use crate::python::frame::RawFrame;
use crate::python::object::Kind;
use crate::snapshot::Holders;

/// Objects whose attributes are searched for a lock of which nobody is seen to be the holder.
const MAX_OWNERS: usize = 20_000;
/// Attributes of each of them.
const MAX_ATTRIBUTES: u64 = 512;

/// Tasks by what they hold.
type Held = FxHashMap<Address, Vec<Address>>;

impl Reasons<'_> {
    /// What all tasks hold through the blocks that they are in.
    pub(super) fn read_holders(&self) -> FxHashMap<Address, Holders> {
        let mut holders = Held::default();
        for (task, chain) in self.reading.tasks.iter().zip(self.chains) {
            for (at, frame) in chain.iter().enumerate() {
                let inner = chain.get(at..).unwrap_or_default();
                let all = if frame.is_compiled() {
                    self.held_by_compiled(frame, inner)
                } else if self.function(frame).has_contexts {
                    // A frame that cannot be read holds nothing that is known.
                    self.reader.held(frame).unwrap_or_default()
                } else {
                    continue;
                };
                for held in all {
                    let Some(held) = self.really_held(held, inner) else { continue };
                    let tasks = holders.entry(held).or_default();
                    if tasks.last() != Some(&task.at) {
                        tasks.push(task.at);
                    }
                }
            }
        }
        holders.into_iter().map(|(held, tasks)| (held, tasks.into_iter().collect())).collect()
    }

    /// What a compiled coroutine holds: one that still waits in `__aenter__` has the `__aexit__` as
    /// well, but then the frames within it have the same `self`.
    fn held_by_compiled(&self, frame: &RawFrame, inner: &[RawFrame]) -> Vec<Address> {
        let reader = &self.reader;
        let is_entering = |manager: Address| {
            let next = inner.get(1);
            next.is_some_and(|next| reader.local(next, "self") == Ok(Some(manager)))
        };
        let held = reader.compiled_held(frame).into_iter();
        held.filter(|manager| !is_entering(*manager)).collect()
    }

    /// The lock that holding `manager` means; `None` while it is given up for a time.
    ///
    /// A condition stands for its lock, and `Condition.wait` gives that up until it is notified
    /// and has got it again (Lib/asyncio/locks.py).
    fn really_held(&self, manager: Address, inner: &[RawFrame]) -> Option<Address> {
        let reader = &self.reader;
        if !reader.is_kind(manager, Kind::Other) {
            return Some(manager);
        }
        // anyio's, of a semaphore that was made before there was a loop.
        if reader.is_a(manager, "SemaphoreAdapter") {
            return reader.attribute(manager, "_internal_semaphore").ok()?;
        }
        if !reader.is_a(manager, "Condition") {
            return Some(manager);
        }
        let waits = inner.iter().any(|frame| {
            let function = self.function(frame);
            let is_wait =
                function.wait == Some(Wait::Condition) || function.anyio == Some(Anyio::Condition);
            is_wait && reader.local(frame, "self") == Ok(Some(manager))
        });
        if waits { None } else { reader.attribute(manager, "_lock").ok()? }
    }

    /// For each of the given things the tasks whose variables lead to it: directly, or as an
    /// attribute of an object.
    ///
    /// Each of them may hold it without a block that tells, after a bare `acquire`.
    pub(super) fn read_suspects(&self, things: &FxHashSet<Address>) -> Held {
        let mut suspects = Held::default();
        let mut owners: FxHashMap<Address, Vec<Address>> = FxHashMap::default();
        for (task, chain) in self.reading.tasks.iter().zip(self.chains) {
            for frame in *chain {
                if self.function(frame).is_asyncio {
                    continue;
                }
                let values = if frame.is_compiled() {
                    self.reader.compiled_values(frame)
                } else {
                    let locals = self.reader.locals(frame).unwrap_or_default();
                    locals.into_iter().map(|(_, value)| value).collect()
                };
                for value in values {
                    let found = match things.get(&value) {
                        Some(&thing) => vec![thing],
                        None if owners.contains_key(&value) || owners.len() < MAX_OWNERS => owners
                            .entry(value)
                            .or_insert_with(|| self.among_attributes(value, things))
                            .clone(),
                        None => Vec::new(),
                    };
                    for thing in found {
                        let tasks = suspects.entry(thing).or_default();
                        if tasks.last() != Some(&task.at) {
                            tasks.push(task.at);
                        }
                    }
                }
            }
        }
        suspects
    }

    /// Which of the given things an object has as attributes.
    pub(super) fn among_attributes(
        &self,
        owner: Address,
        things: &FxHashSet<Address>,
    ) -> Vec<Address> {
        let reader = &self.reader;
        let Ok(class) = reader.class_of(owner) else { return Vec::new() };
        if class.kind != Kind::Other || !class.is_python() {
            return Vec::new();
        }
        let slots = reader.slots(&class).values();
        let in_slots = slots.filter_map(|offset| reader.pointer(owner.offset(*offset)).ok()?);
        let attributes = reader.attributes(owner, MAX_ATTRIBUTES).unwrap_or_default();
        let all = in_slots.chain(attributes.into_iter().map(|(_, value)| value));
        all.filter(|value| things.contains(value)).collect()
    }
}
