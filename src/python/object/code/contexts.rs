//! The `with` and `async with` blocks of a function.

use super::Code;
use crate::python::object::{Read, Reader};

/// What the instructions of a code object tell about its contexts.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    /// Handlers that call `__exit__` or `__aexit__`, with whether it is the latter, in order.
    pub(crate) exits: Vec<(u64, bool)>,
    /// Whether it has an `async for`.
    pub(crate) has_async_for: bool,
}

impl Contexts {
    /// Whether the handler at that instruction calls `__aexit__`; `None` when it calls neither.
    pub(crate) fn exit_at(&self, handler: u64) -> Option<bool> {
        let found = self.exits.binary_search_by_key(&handler, |&(at, _)| at).ok()?;
        self.exits.get(found).map(|&(_, is_async)| is_async)
    }
}

impl Reader<'_> {
    /// What the instructions of a code object tell about its contexts.
    pub(crate) fn contexts<'c>(&self, code: &'c Code) -> Read<&'c Contexts> {
        if let Some(contexts) = code.contexts.get() {
            return Ok(contexts);
        }
        let opcodes = self.layout.handler;
        let instructions = self.instructions(code)?.as_chunks::<2>().0;
        let opcode = |unit: usize| instructions.get(unit).map(|[opcode, _]| *opcode);
        let is_async = |unit: usize| opcode(unit + 1) == Some(opcodes.get_awaitable);
        let unit_of = |at: u64| usize::try_from(at / 2).unwrap_or(usize::MAX);
        let mut contexts = Contexts::default();
        if self.layout.code.exception_table.is_some() {
            for row in self.protected(code)? {
                // The first instruction is PUSH_EXC_INFO, or stands for it where lines are traced.
                let unit = unit_of(row.target).saturating_add(1);
                if opcode(unit) == Some(opcodes.with_except_start) {
                    contexts.exits.push((row.target, is_async(unit)));
                }
                let has_end = opcode(unit - 1) == Some(opcodes.end_async_for);
                contexts.has_async_for |= has_end;
            }
        } else {
            for (unit, [opcode, _]) in instructions.iter().enumerate() {
                if *opcode == opcodes.with_except_start {
                    contexts.exits.push((2 * unit as u64, is_async(unit)));
                }
                contexts.has_async_for |= *opcode == opcodes.end_async_for;
            }
        }
        contexts.exits.sort_unstable();
        contexts.exits.dedup();
        Ok(code.contexts.get_or_init(|| contexts))
    }
}
