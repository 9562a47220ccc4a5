//! Coroutines that were made and never started.

use rustc_hash::FxHashSet;

use super::{MAX_FOUND, Owned, Search, Slot};
use crate::frame::Progress;
use crate::layout::Bytecode;
use crate::memory::Address;
use crate::object::Kind;
use crate::snapshot::NeverAwaited;

/// Bytes of a function's bytecode that are searched; the longest functions seen have some 100 KiB.
const MAX_BYTECODE: u64 = 1 << 20;

impl Search<'_> {
    /// Coroutines that only a variable refers to which its function never reads.
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
                && self.reads_variable(owned.frame.code, slot.index) == Some(false)
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

    /// Whether a function reads its variable `index` anywhere; `None` when that cannot be told.
    fn reads_variable(&self, code_at: Address, index: usize) -> Option<bool> {
        let reader = self.reader;
        let code = reader.code(code_at).ok()?;
        let object = &reader.layout.object;
        let len = match reader.layout.code.bytecode {
            Bytecode::Inline(_) => 2 * reader.memory.u64(code_at.offset(object.ob_size)).ok()?,
            Bytecode::Bytes(_) => {
                let bytes = code.bytecode.before(reader.layout.small.bytes_data);
                reader.size(bytes, MAX_BYTECODE, "bytecode").ok()?
            }
        };
        if len > MAX_BYTECODE {
            return None;
        }
        let bytecode = reader.memory.vec(code.bytecode, len).ok()?;
        let opcodes = &reader.layout.load_local;
        // The argument's higher bytes come before it: a variable far behind in a large function
        // may be taken for another one, and then counts as read.
        let low = u8::try_from(index & 0xff).ok()?;
        let nibble = u8::try_from(index).ok().filter(|&index| index < 16);
        let mut reads = false;
        for &[opcode, argument] in bytecode.as_chunks::<2>().0 {
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
