//! Which `with` and `async with` blocks a frame is in, and what it holds through them.
//!
//! A block that was entered has its `__exit__` on the frame's value stack until it is left, at a
//! depth that the handler for exceptions in the block's body tells. So neither the depth of the
//! stack is needed, which a running frame does not keep, nor a guess: somebody who still waits in
//! `__aenter__` has the same `__aexit__` on the stack, but no handler yet.

use super::{Progress, RawFrame};
use crate::known::name;
use crate::layout::{Frame, ObjectFrame};
use crate::memory::Address;
use crate::python::object::{Code, Kind, Protected, Read, Reader, Unreadable};

/// Blocks one inside the other; CPython's compiler allows 20 in a function.
const MAX_BLOCKS: usize = 40;
/// Handlers that an exception can pass through in one frame: per block its own, the one that
/// leaves it, and those of awaits.
const MAX_HANDLERS: usize = 4 * MAX_BLOCKS;
/// Contexts inside contexts that are looked through: a generator that uses an exit stack in
/// which a generator was entered, and so on.
const MAX_DEPTH: usize = 8;
/// Contexts of one exit stack that are looked at.
const MAX_CALLBACKS: u64 = 1000;
/// Things found to be held through one frame.
const MAX_HELD: usize = 1000;
/// Values on the stack of one frame that are looked at.
const MAX_STACK: u64 = 1000;

/// A `with` or `async with` block that a frame is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    /// The context manager.
    pub manager: Address,
    /// Its `__exit__` or `__aexit__`: a bound method, or from 3.14 on a function.
    pub exit: Address,
    /// Whether this is an `async with`.
    pub is_async: bool,
}

/// The row that covers an instruction.
fn covering(rows: &[Protected], at: u64) -> Option<&Protected> {
    let behind = rows.partition_point(|row| row.start <= at);
    rows.get(..behind)?.last().filter(|row| at < row.end)
}

/// A handler around an instruction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    /// Its first instruction, in bytes.
    pub handler: u64,
    /// How many values it leaves on the stack.
    pub depth: u64,
}

impl Reader<'_> {
    /// The `with` and `async with` blocks that a frame is in, outermost first.
    ///
    /// It may be suspended or running; blocks whose `__enter__` or `__exit__` still runs are not
    /// among them.
    ///
    /// # Errors
    /// When the frame cannot be read.
    pub fn entered(&self, frame: &RawFrame) -> Read<Vec<Entered>> {
        if frame.lasti < 0 {
            return Ok(Vec::new());
        }
        let code = self.code(frame.code)?;
        let contexts = self.contexts(&code)?;
        if contexts.exits.is_empty() {
            return Ok(Vec::new());
        }
        let mut entered = Vec::new();
        for Around { handler, depth } in self.around(frame, &code)?.into_iter().rev() {
            if let Some(is_async) = contexts.exit_at(handler) {
                entered.extend(self.entered_at(frame, &code, depth, is_async)?);
            }
        }
        Ok(entered)
    }

    /// Whether an exception at the current instruction would be handled in this frame.
    ///
    /// # Errors
    /// When the frame cannot be read.
    pub fn is_in_try(&self, frame: &RawFrame) -> Read<bool> {
        let code = self.code(frame.code)?;
        Ok(!self.around(frame, &code)?.is_empty())
    }

    /// The handlers that an exception at the current instruction of a frame would go through one
    /// after the other if each raised it again, innermost first.
    pub(super) fn around(&self, frame: &RawFrame, code: &Code) -> Read<Vec<Around>> {
        let Ok(lasti) = u64::try_from(frame.lasti) else { return Ok(Vec::new()) };
        match self.layout.frame {
            Frame::Object(fields) => self.blocks(frame, &fields),
            Frame::Interpreter(_) => {
                let rows = self.protected(code)?;
                let first = covering(rows, lasti);
                let rows = std::iter::successors(first, |row| covering(rows, row.target));
                let around = |row: &Protected| Around { handler: row.target, depth: row.depth };
                Ok(rows.take(MAX_HANDLERS).map(around).collect())
            }
        }
    }

    /// The context manager whose handler is one of those around the current instruction.
    pub(super) fn manager_at(&self, frame: &RawFrame, code: &Code, depth: u64) -> Option<Address> {
        Some(self.entered_at(frame, code, depth, false).ok()??.manager)
    }

    /// Whether the function of a frame has a `with`, `async with` or `async for` at all.
    ///
    /// # Errors
    /// When its code cannot be read.
    pub fn has_contexts(&self, frame: &RawFrame) -> Read<bool> {
        let code = self.code(frame.code)?;
        let contexts = self.contexts(&code)?;
        Ok(!contexts.exits.is_empty() || contexts.has_async_for)
    }

    /// The objects that a frame holds by `with` and `async with`, outermost first.
    ///
    /// Where a context manager is made by `contextlib` from a generator or is an exit stack, what
    /// was entered in there follows it. So does what an asynchronous generator holds over which
    /// the frame iterates.
    ///
    /// # Errors
    /// When the frame cannot be read.
    pub fn held(&self, frame: &RawFrame) -> Read<Vec<Address>> {
        let mut held = Vec::new();
        self.collect_held(frame, MAX_DEPTH, &mut held)?;
        Ok(held)
    }

    /// The frames of the generators from which `contextlib` has made what a frame holds.
    ///
    /// # Errors
    /// When the frame cannot be read.
    pub fn held_frames(&self, frame: &RawFrame) -> Read<Vec<RawFrame>> {
        let held = self.held(frame)?;
        let generators = held.into_iter().filter_map(|manager| self.generator_of(manager));
        let frames = generators.filter_map(|at| self.generator(at).ok()?.frame);
        Ok(frames.collect())
    }

    /// The generator that a context manager was made from.
    fn generator_of(&self, manager: Address) -> Option<Address> {
        let class = self.class_of(manager).ok().filter(|class| class.is_python())?;
        if !self.is_subclass_named(&class, "_GeneratorContextManagerBase") {
            return None;
        }
        let generator = self.attribute(manager, "gen").ok()??;
        let is_it = matches!(self.kind_of(generator), Ok(Kind::Generator | Kind::AsyncGenerator));
        is_it.then_some(generator)
    }

    fn collect_held(&self, frame: &RawFrame, depth: usize, held: &mut Vec<Address>) -> Read<()> {
        for entered in self.entered(frame)? {
            self.collect_manager(entered.manager, depth, held);
        }
        if depth > 0 && self.contexts(&*self.code(frame.code)?)?.has_async_for {
            for generator in self.iterated(frame)? {
                self.collect_generator(generator, depth, held);
            }
        }
        Ok(())
    }

    /// A manager, and what it is seen to hold itself; what cannot be read of that is left out.
    fn collect_manager(&self, manager: Address, depth: usize, held: &mut Vec<Address>) {
        if held.len() >= MAX_HELD || held.contains(&manager) {
            return;
        }
        held.push(manager);
        let Some(depth) = depth.checked_sub(1) else { return };
        let Ok(class) = self.class_of(manager) else { return };
        if !class.is_python() {
            return;
        }
        if let Some(generator) = self.generator_of(manager) {
            self.collect_generator(generator, depth, held);
        } else if self.is_subclass_named(&class, "_BaseExitStack") {
            for callback in self.exit_callbacks(manager).unwrap_or_default() {
                self.collect_manager(callback, depth, held);
            }
        }
    }

    /// What a generator holds that is suspended in a plain `yield`; one that is suspended in an
    /// `await` is on the await chain itself.
    fn collect_generator(&self, generator: Address, depth: usize, held: &mut Vec<Address>) {
        let is_generator =
            matches!(self.kind_of(generator), Ok(Kind::Generator | Kind::AsyncGenerator));
        let Some(depth) = depth.checked_sub(1).filter(|_| is_generator) else { return };
        let Ok(suspended) = self.generator(generator) else { return };
        if let (Some(frame), Progress::Suspended) = (suspended.frame, suspended.progress) {
            // As far as it can be read.
            let _ = self.collect_held(&frame, depth, held);
        }
    }

    /// What was entered in a `contextlib.ExitStack` or `AsyncExitStack`, or will be released by
    /// it: the objects whose methods it will call.
    pub(super) fn exit_callbacks(&self, stack: Address) -> Read<Vec<Address>> {
        let Some(callbacks) = self.attribute(stack, "_exit_callbacks")? else {
            return Ok(Vec::new());
        };
        let mut objects = Vec::new();
        // [ (is_sync, callback) ]
        for pair in self.deque(callbacks, MAX_CALLBACKS)? {
            let Some(&callback) = self.tuple(pair)?.get(1) else { continue };
            let is_function = self.is_kind(callback, Kind::Function);
            let callback = if is_function { self.released(callback) } else { Some(callback) };
            objects.extend(callback.and_then(|callback| self.bound_to(callback)));
        }
        Ok(objects)
    }

    /// The method `release` that an exit stack will call through this function, as it does after
    /// `stack.callback(lock.release)`.
    fn released(&self, wrapper: Address) -> Option<Address> {
        let callback = self.closure(wrapper, "callback").ok()??;
        let name = self.callable_name(callback)?;
        name::releases(&name).then_some(callback)
    }

    /// The blocks of a frame up to 3.10, innermost first.
    fn blocks(&self, frame: &RawFrame, fields: &ObjectFrame) -> Read<Vec<Around>> {
        let count = self.memory.i32(frame.at.offset(fields.iblock))?;
        let count = u64::try_from(count).ok().filter(|&count| count <= MAX_BLOCKS as u64);
        let count = count.ok_or(Unreadable::bad(frame.at, "block stack"))?;
        // PyTryBlock: [ type: int, handler: int, level: int ]
        let bytes = self.memory.vec(frame.at.offset(fields.blockstack), 12 * count)?;
        let blocks = bytes.as_chunks::<12>().0.iter().rev().filter_map(|block| {
            let [_, handler, level] = block.as_chunks::<4>().0 else { return None };
            let handler = i64::from(i32::from_le_bytes(*handler)) * fields.lasti_unit;
            let level = i32::from_le_bytes(*level);
            // A handler that runs is a block as well, with no handler of its own (-1).
            let (handler, level) = (u64::try_from(handler), u64::try_from(level));
            Some(Around { handler: handler.ok()?, depth: level.ok()? })
        });
        Ok(blocks.collect())
    }

    /// The context whose `__exit__` is the last of `depth` values on the stack.
    ///
    /// `None` for an `__exit__` that does not tell whose it is.
    fn entered_at(
        &self,
        frame: &RawFrame,
        code: &Code,
        depth: u64,
        is_async: bool,
    ) -> Read<Option<Entered>> {
        let stack = match self.layout.frame {
            Frame::Object(fields) => {
                self.must_pointer(frame.at.offset(fields.valuestack), "value stack")?
            }
            Frame::Interpreter(fields) => {
                frame.at.offset(fields.localsplus).offset(8 * code.locals_count)
            }
        };
        if depth < self.layout.handler.exit_slots || depth > code.stacksize {
            return Err(Unreadable::bad(stack, "value stack"));
        }
        let top = stack.offset(8 * (depth - 1));
        let value = |at| Ok::<_, Unreadable>(self.slot_value(self.memory.u64(at)?));
        if self.layout.handler.exit_slots == 1 {
            let Some(exit) = value(top)? else { return Ok(None) };
            return Ok(self.bound_to(exit).map(|manager| Entered { manager, exit, is_async }));
        }
        let Some(exit) = value(top.before(8))? else { return Ok(None) };
        // No second value: what was found as `__exit__` is bound itself.
        let manager = value(top)?.or_else(|| self.bound_to(exit));
        Ok(manager.map(|manager| Entered { manager, exit, is_async }))
    }

    /// The asynchronous generators on the stack of a suspended frame.
    fn iterated(&self, frame: &RawFrame) -> Read<Vec<Address>> {
        let code = self.code(frame.code)?;
        let (first, end) = self.value_stack(frame, &code)?;
        let size = end.0.saturating_sub(first.0);
        if size > 8 * code.stacksize.min(MAX_STACK) {
            // Of a running frame the depth is not known.
            return Ok(Vec::new());
        }
        let words = self.memory.vec(first, size)?;
        let values = words.as_chunks::<8>().0.iter();
        let values = values.filter_map(|word| self.slot_value(u64::from_le_bytes(*word)));
        Ok(values.filter(|&at| self.is_kind(at, Kind::AsyncGenerator)).collect())
    }
}
