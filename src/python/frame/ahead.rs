//! What a frame may still come to in its function.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::RawFrame;
use crate::layout::opcodes::Op;
use crate::python::object::{Code, Instruction, Read, Reader};

impl Reader<'_> {
    /// The parts of its function's bytecode that a frame may still come to, exceptions included,
    /// as ranges of bytes in their order.
    ///
    /// # Errors
    /// When the bytecode cannot be read, or its lines are being traced.
    pub(crate) fn ahead(&self, frame: &RawFrame) -> Read<Vec<Range<u64>>> {
        let code = self.code(frame.code)?;
        let ahead = self.instructions_ahead(frame, &code)?;
        Ok(ahead.map(|it| it.start..it.end).collect())
    }

    /// Whether a function may yet read its variable `index`, from where its frame is; `None` when
    /// that cannot be told.
    pub(crate) fn reads_variable(&self, frame: &RawFrame, index: usize) -> Option<bool> {
        let ahead = self.ahead(frame).ok()?;
        let code = self.code(frame.code).ok()?;
        let bytecode = self.instructions(&code).ok()?;
        let opcodes = &self.layout.load_local;
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

    /// The same of a variable by its name.
    pub(crate) fn reads_variable_named(&self, frame: &RawFrame, name: &str) -> Option<bool> {
        let code = self.code(frame.code).ok()?;
        let index = self.local_names(&code).iter().position(|(known, _)| **known == *name)?;
        self.reads_variable(frame, index)
    }

    /// The names of the global variables and attributes that a frame's function may yet read,
    /// from where it is, exceptions included.
    ///
    /// # Errors
    /// As [`ahead`](Self::ahead).
    pub(crate) fn names_ahead(&self, frame: &RawFrame) -> Read<FxHashSet<Arc<str>>> {
        let code = self.code(frame.code)?;
        let opcodes = &self.layout.opcodes;
        let numbers: FxHashSet<u32> = self
            .instructions_ahead(frame, &code)?
            .filter_map(|one| match one.op? {
                Op::LoadGlobal => Some(one.argument >> opcodes.global_shift),
                Op::LoadAttr => Some(one.argument >> opcodes.attribute_shift),
                Op::LoadName => Some(one.argument),
                _ => None,
            })
            .collect();
        Ok(numbers.into_iter().filter_map(|it| self.name_of_code(code.at, it)).collect())
    }

    /// Whether a suspended frame is in a loop that its function has no way out of but an exception
    /// that comes from elsewhere: no `return`, no `raise`, no end of it.
    ///
    /// # Errors
    /// As [`ahead`](Self::ahead).
    pub(crate) fn loops_for_ever(&self, frame: &RawFrame) -> Read<bool> {
        let code = self.code(frame.code)?;
        let flow = self.flow(&code)?;
        let present = u64::try_from(frame.lasti).ok().and_then(|lasti| flow.index_of(lasti));
        let Some(present) = present else { return Ok(false) };
        let (reached, returns) = flow.reach(&flow.after(present), false);
        let raises = || {
            let mut ops = flow.instructions.iter().zip(&reached);
            ops.any(|(one, &is_reached)| is_reached && one.op == Some(Op::Raise))
        };
        let comes_back = reached.get(present).copied().unwrap_or(false);
        Ok(comes_back && !returns && !raises())
    }

    /// The instructions that a frame may still come to, in their order.
    fn instructions_ahead<'c>(
        &self,
        frame: &RawFrame,
        code: &'c Code,
    ) -> Read<impl Iterator<Item = &'c Instruction> + use<'c>> {
        let flow = self.flow(code)?;
        let present = u64::try_from(frame.lasti).ok().and_then(|lasti| flow.index_of(lasti));
        // One that has not begun comes to all of it.
        let (reached, _) = flow.reach(&[present.unwrap_or(0)], true);
        let instructions = flow.instructions.iter().zip(reached);
        Ok(instructions.filter(|(_, is_reached)| *is_reached).map(|(one, _)| one))
    }
}
