//! Asynchronous generators that have begun and not ended, and whether somebody may go on with them.
//!
//! A generator can be driven from anywhere: by the frame of an `async for`, by a context manager
//! that an exit stack will leave, by an attribute of whoever subscribed. So it counts as in use
//! unless each reference to it is accounted for, and none can be used any more.

use rustc_hash::FxHashSet;

use super::{MAX_FOUND, Owned, Search, Slot, first_variable};
use crate::memory::Address;
use crate::python::frame::RawFrame;
use crate::python::object::{Kind, Read, Reader};
use crate::snapshot::OpenGenerator;

/// Bytes of uvloop's `Loop` object that may hold `_asyncgens`: its buffers follow after that.
const UV_LOOP_LEN: u64 = 512;

impl Reader<'_> {
    /// The asynchronous generators that a loop would close at its end.
    fn asyncgens(&self, loop_at: Address) -> Read<Vec<Address>> {
        let set = if self.is_kind(loop_at, Kind::UvLoop) {
            self.uv_asyncgens(loop_at)?
        } else {
            self.attribute(loop_at, "_asyncgens")?
        };
        let Some(set) = set else { return Ok(Vec::new()) };
        let Some(data) = self.attribute(set, "data")? else { return Ok(Vec::new()) };
        let references = self.set(data)?;
        let object = self.layout.small.weakref_object;
        self.memory.prefetch(references.iter().map(|at| (*at, object + 8)));
        let generators: Vec<Address> = references
            .into_iter()
            .filter(|&at| self.is_kind(at, Kind::Weakref))
            .filter_map(|at| self.pointer(at.offset(object)).ok()?)
            .collect();
        self.prefetch_generators(generators.iter().copied());
        Ok(generators.into_iter().filter(|&at| self.is_kind(at, Kind::AsyncGenerator)).collect())
    }

    /// `_asyncgens` of uvloop's loop: the one `WeakSet` among its fields, at different places in
    /// its releases.
    fn uv_asyncgens(&self, loop_at: Address) -> Read<Option<Address>> {
        let bytes = self.memory.vec(loop_at, UV_LOOP_LEN)?;
        let mut words = bytes.as_chunks::<8>().0.iter().skip(2);
        Ok(words.find_map(|word| {
            let at = Address(u64::from_le_bytes(*word));
            let class = self.class_of(at).ok().filter(|_| at.is_plausible())?;
            (class.is_python() && &*class.name == "WeakSet").then_some(at)
        }))
    }
}

impl Search<'_> {
    /// Asynchronous generators that have begun and not ended, and whether somebody has them.
    pub(super) fn open_generators(&self) -> Vec<OpenGenerator> {
        let reader = self.reader;
        let mut open: Vec<(Address, RawFrame, Address)> = Vec::new();
        for &loop_at in self.remains.loops {
            for at in reader.asyncgens(loop_at).unwrap_or_default() {
                let frame = reader.generator(at).ok().and_then(|generator| generator.frame);
                if open.len() < MAX_FOUND {
                    open.extend(frame.map(|frame| (at, frame, loop_at)));
                }
            }
        }
        if open.is_empty() {
            return Vec::new();
        }
        let abandoned = self.abandoned();
        open.into_iter()
            .filter_map(|(at, frame, loop_at)| {
                let site = reader.site(frame.code, frame.lasti, frame.qualname);
                Some(OpenGenerator {
                    id: at,
                    name: reader.generator_name(at)?,
                    place: site.ok().map(|site| site.location),
                    loop_id: Some(loop_at),
                    is_in_use: !abandoned.contains(&at),
                })
            })
            .collect()
    }

    /// The generators that nothing refers to but one variable of a suspended function, which does
    /// not read it any more.
    ///
    /// A function that runs is left out: it may call one with the value of a variable that has the
    /// only counted reference to it, from 3.14 on.
    fn abandoned(&self) -> FxHashSet<Address> {
        let slots = self.slots.iter().filter(|slot| {
            self.kinds.get(&slot.value) == Some(&Kind::AsyncGenerator)
                && self.reader.references(slot.value) == Some(1)
                && self.frames.get(slot.frame).is_some_and(|owned| {
                    !self.on_stacks.contains(&owned.frame.at)
                        && self.reader.reads_variable(owned.frame, slot.index) == Some(false)
                        && self.still_has(owned, slot) == Some(true)
                })
        });
        slots.map(|slot| slot.value).collect()
    }

    /// Whether a task still waits where it did, and its frame has the same in a variable: a loop
    /// that is run again and again has other things at the same addresses a moment later.
    fn still_has(&self, owned: &Owned<'_>, slot: &Slot) -> Option<bool> {
        let reader = self.reader;
        let at = owned.task?;
        let task = self.remains.tasks.iter().find(|task| task.at == at)?;
        let waiter = task.fut_waiter.filter(|_| task.class.kind == Kind::Task)?;
        let variable = first_variable(&reader, owned.frame).offset(8 * slot.index as u64);
        let waits_at = at.offset(reader.layout.task.fut_waiter);
        for word in [variable, slot.value, waits_at] {
            reader.memory.forget(word, 8);
        }
        let is_same = reader.slot_value(reader.memory.u64(variable).ok()?) == Some(slot.value)
            && reader.references(slot.value) == Some(1);
        Some(is_same && reader.pointer(waits_at).ok()? == Some(waiter))
    }
}
