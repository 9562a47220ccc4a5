//! Coroutines that were made and never started.

use rustc_hash::FxHashSet;

use super::{MAX_FOUND, Owned, Search, Slot};
use crate::memory::Address;
use crate::python::frame::{Progress, RawFrame};
use crate::python::object::Kind;
use crate::snapshot::NeverAwaited;

impl Search<'_> {
    /// Coroutines that only a variable refers to which its function does not read any more.
    pub(super) fn never_awaited(&self) -> Vec<NeverAwaited> {
        let reader = self.reader;
        let of_tasks: FxHashSet<Address> =
            self.remains.tasks.iter().filter_map(|task| task.coro).collect();
        let mut found = Vec::new();
        let coroutines = self.slots.iter().filter(|slot| {
            self.kinds.get(&slot.value) == Some(&Kind::Coroutine) && !of_tasks.contains(&slot.value)
        });
        for slot in coroutines {
            if found.len() >= MAX_FOUND {
                break;
            }
            // Somebody else who has it may still start it.
            if reader.references(slot.value) == Some(1)
                && let Some(owned) = self.frames.get(slot.frame)
                && self.reads_variable(owned.frame, slot.index) == Some(false)
            {
                found.extend(self.unstarted(slot, owned));
            }
        }
        found
    }

    fn unstarted(&self, slot: &Slot, owned: &Owned<'_>) -> Option<NeverAwaited> {
        let reader = self.reader;
        let coroutine = reader.generator(slot.value).ok()?;
        if coroutine.progress != Progress::Created {
            return None;
        }
        let frame = owned.frame;
        let code = reader.code(frame.code).ok()?;
        let (variable, _) = reader.local_names(&code).get(slot.index)?;
        let name = reader.generator_name(slot.value)?;
        let own = coroutine.frame?;
        let place = reader.site(own.code, -1, own.qualname).ok().map(|site| site.location);
        Some(NeverAwaited {
            id: slot.value,
            coroutine: name,
            place,
            variable: variable.to_string(),
            frame: reader.site(frame.code, frame.lasti, frame.qualname).ok()?.location,
            task: owned.task,
            thread: owned.thread,
        })
    }

    /// Whether a function may yet read its variable `index`, from where its frame is; `None` when
    /// that cannot be told.
    pub(super) fn reads_variable(&self, frame: &RawFrame, index: usize) -> Option<bool> {
        let reader = self.reader;
        let ahead = reader.ahead(frame).ok()?;
        let code = reader.code(frame.code).ok()?;
        let bytecode = reader.instructions(&code).ok()?;
        let opcodes = &reader.layout.load_local;
        // The argument's higher bytes come before it: a variable far behind in a large function
        // may be taken for another one, and then counts as read.
        let low = u8::try_from(index & 0xff).ok()?;
        let nibble = u8::try_from(index).ok().filter(|&index| index < 16);
        let mut reads = false;
        let parts = ahead.iter().filter_map(|part| {
            let [start, end] = [part.start, part.end].map(usize::try_from);
            Some(bytecode.get(start.ok()?..end.ok()?)?.as_chunks::<2>().0)
        });
        for &[opcode, argument] in parts.flatten() {
            if opcodes.hidden.contains(&opcode) {
                return None;
            }
            let (first, second) = (Some(argument >> 4), Some(argument & 15));
            reads |= opcodes.one.contains(&opcode) && argument == low
                || opcodes.both.contains(&opcode) && (nibble == first || nibble == second)
                || opcodes.second.contains(&opcode) && nibble == second;
        }
        Some(reads)
    }
}
