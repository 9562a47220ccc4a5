//! Frames: of threads that run, and of coroutines and generators that wait.
//!
//! A frame is found as a [`RawFrame`]: which code, which instruction, where its variables are.
//! Names and lines come later, from what is known about that instruction. A suspended coroutine
//! holds still, so its frame is exact; the frames of a running thread are copied in one call and
//! walked in the copy, and a walk that meets something unbelievable is done again.

mod ahead;
mod behind;
mod compiled;
mod context;
mod handler;
mod looping;
mod path;
mod receivers;
mod stack;
#[cfg(test)]
mod tests;

use crate::layout::{Awaiting, Frame, GeneratorFrame, GeneratorRunning, StackDepth, StackPointer};
use crate::memory::Address;
use crate::python::object::{Code, Kind, Read, Reader, Unreadable};

pub(crate) use behind::Passed;
pub use context::Entered;
pub use handler::{Eater, Ending, Handler, HandlerKind};
pub use looping::{ForLoop, Turns};
pub(crate) use receivers::{Caller, Depth};
pub use stack::{Evaluation, Stack};

/// Values on the stack of a frame that runs that are looked at.
const MAX_VALUES: u64 = 4096;

/// A frame before names and lines are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFrame {
    /// The frame's own address.
    pub at: Address,
    /// Its code object.
    pub code: Address,
    /// The last instruction, in bytes from the start; negative before the first.
    pub lasti: i64,
    /// The qualified name of its coroutine or generator where the code object has none (before
    /// 3.11); null for functions and from 3.11 on.
    pub qualname: Address,
    /// Its coroutine, generator or async generator; null for functions.
    pub generator: Address,
}

impl RawFrame {
    /// That of a coroutine which was compiled: it has neither a frame of Python's nor instructions.
    fn compiled(generator: Address, qualname: Address) -> Self {
        Self { at: Address::NULL, code: Address::NULL, lasti: -1, qualname, generator }
    }

    /// Whether it is of a coroutine that was compiled, of which no more is known than its place.
    pub fn is_compiled(&self) -> bool {
        self.at.is_null()
    }
}

/// How far a coroutine, generator or async generator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It has not begun.
    Created,
    /// It waits for the object at this address.
    Awaiting(Address),
    /// It waits in a plain `yield`.
    Suspended,
    /// It runs now, or something it called does.
    Executing,
    /// It has ended.
    Finished,
}

/// Where in a frame a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// In this variable.
    Variable(std::sync::Arc<str>),
    /// On its stack.
    Stack,
}

/// What was read of a coroutine, generator or async generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspended {
    /// Its frame; `None` when it has ended.
    pub frame: Option<RawFrame>,
    /// How far it is.
    pub progress: Progress,
    /// The exception it handles right now; null when there is none.
    pub handled: Address,
}

impl Reader<'_> {
    /// Reads many coroutines and generators, with their frames, in few calls.
    pub fn prefetch_generators(&self, generators: impl Iterator<Item = Address> + Clone) {
        /// Enough of a coroutine to see its frame and most of its stack.
        const GENERATOR_LEN: u64 = 320;
        /// Enough of a frame object to see its variables and most of its stack.
        const FRAME_LEN: u64 = 512;
        self.memory.prefetch(generators.clone().map(|at| (at, GENERATOR_LEN)));
        if let GeneratorFrame::Pointer { frame, .. } = self.layout.generator.frame {
            let frames = generators.filter_map(|at| self.pointer(at.offset(frame)).ok()?);
            self.memory.prefetch(frames.map(|at| (at, FRAME_LEN)));
        }
    }

    /// The coroutine, generator or async generator at `at`.
    ///
    /// # Errors
    /// When it or its code object cannot be read or is not believable.
    pub fn generator(&self, at: Address) -> Read<Suspended> {
        let fields = &self.layout.generator;
        let handled = self.memory.pointer(at.offset(fields.exc_value))?;
        let (frame, progress) = match (fields.frame, self.layout.frame) {
            (GeneratorFrame::Embedded { frame, state, states }, _) => {
                let state = self.memory.u8(at.offset(state))?.cast_signed();
                let frame = at.offset(frame);
                let is_awaiting =
                    states.awaiting.is_some_and(|(low, high)| (low..=high).contains(&state));
                if state == states.executing {
                    (Some(self.interpreter_frame(frame)?), Progress::Executing)
                } else if state == states.created {
                    (Some(self.interpreter_frame(frame)?), Progress::Created)
                } else if is_awaiting {
                    let frame = self.interpreter_frame(frame)?;
                    (Some(frame), Progress::Awaiting(self.awaited(&frame)?))
                } else if state == states.suspended {
                    let frame = self.interpreter_frame(frame)?;
                    let is_awaiting = states.awaiting.is_none()
                        && self.site(frame.code, frame.lasti, frame.qualname)?.is_await;
                    if is_awaiting {
                        (Some(frame), Progress::Awaiting(self.awaited(&frame)?))
                    } else {
                        (Some(frame), Progress::Suspended)
                    }
                } else {
                    (None, Progress::Finished)
                }
            }
            (GeneratorFrame::Pointer { frame, running }, Frame::Object(_)) => {
                let Some(frame) = self.pointer(at.offset(frame))? else {
                    let progress = Progress::Finished;
                    return Ok(Suspended { frame: None, progress, handled: Address::NULL });
                };
                let is_executing = match running {
                    GeneratorRunning::Generator(running) => {
                        self.memory.u8(at.offset(running))? != 0
                    }
                    GeneratorRunning::Frame(state) => self.memory.u8(frame.offset(state))? == 0,
                };
                let frame = self.object_frame(frame)?;
                if frame.generator != at {
                    return Err(Unreadable::bad(at, "coroutine"));
                }
                if is_executing {
                    (Some(frame), Progress::Executing)
                } else if frame.lasti < 0 {
                    (Some(frame), Progress::Created)
                } else if self.site(frame.code, frame.lasti, frame.qualname)?.is_await {
                    (Some(frame), Progress::Awaiting(self.awaited(&frame)?))
                } else {
                    (Some(frame), Progress::Suspended)
                }
            }
            (GeneratorFrame::Pointer { .. }, Frame::Interpreter(_)) => {
                return Err(Unreadable::bad(at, "coroutine"));
            }
        };
        Ok(Suspended { frame, progress, handled })
    }

    /// The frame inside a generator or on the data stack (3.11 and later).
    fn interpreter_frame(&self, at: Address) -> Read<RawFrame> {
        let Frame::Interpreter(fields) = self.layout.frame else {
            return Err(Unreadable::bad(at, "frame"));
        };
        let owner = self.memory.u8(at.offset(fields.owner))?;
        if owner > fields.last_owner {
            return Err(Unreadable::bad(at, "frame"));
        }
        let code = self.memory.u64(at.offset(fields.executable))? & !fields.tag_mask;
        let code = self.code(Address(code))?;
        let instruction = self.memory.u64(at.offset(fields.instruction))?;
        // 3.11 and 3.12 point before the first instruction of a frame that has not begun.
        let lasti = instruction.wrapping_sub(code.bytecode.0).cast_signed();
        if !(-2..1 << 32).contains(&lasti) {
            return Err(Unreadable::bad(at, "frame"));
        }
        let is_generator = owner == crate::layout::OWNED_BY_GENERATOR;
        let generator = match self.layout.generator.frame {
            GeneratorFrame::Embedded { frame, .. } if is_generator => at.before(frame),
            _ => Address::NULL,
        };
        Ok(RawFrame { at, code: code.at, lasti, qualname: Address::NULL, generator })
    }

    /// A frame object (3.8 to 3.10).
    fn object_frame(&self, at: Address) -> Read<RawFrame> {
        let Frame::Object(fields) = self.layout.frame else {
            return Err(Unreadable::bad(at, "frame"));
        };
        let code = self.must_pointer(at.offset(fields.code), "frame")?;
        self.code(code)?;
        let generator = self.memory.pointer(at.offset(fields.generator))?;
        let qualname = match generator.non_null() {
            Some(generator) => {
                self.memory.pointer(generator.offset(self.layout.generator.qualname))?
            }
            None => Address::NULL,
        };
        let lasti = i64::from(self.memory.i32(at.offset(fields.lasti))?) * fields.lasti_unit;
        Ok(RawFrame { at, code, lasti, qualname, generator })
    }

    /// The object a suspended frame awaits: at or near the top of its value stack.
    fn awaited(&self, frame: &RawFrame) -> Read<Address> {
        let bad = || Unreadable::bad(frame.at, "value stack");
        let code = self.code(frame.code)?;
        let (first, end) = self.value_stack(frame, &code)?;
        let slot = match self.layout.awaiting {
            Awaiting::State { slot } => slot,
            _ => 1,
        };
        let top = end.before(8 * slot);
        if top < first || end > first.offset(8 * code.stacksize) {
            return Err(bad());
        }
        self.slot_value(self.memory.u64(top)?).ok_or_else(bad)
    }

    /// Start and end of a suspended frame's value stack.
    fn value_stack(&self, frame: &RawFrame, code: &Code) -> Read<(Address, Address)> {
        Ok(match self.layout.frame {
            Frame::Object(fields) => {
                let first = self.memory.pointer(frame.at.offset(fields.valuestack))?;
                let end = match fields.depth {
                    StackDepth::Top(top) => self.memory.pointer(frame.at.offset(top))?,
                    StackDepth::Count(count) => {
                        let count = self.memory.i32(frame.at.offset(count))?;
                        first.offset(8 * u64::try_from(count).unwrap_or(0))
                    }
                };
                (first, end)
            }
            Frame::Interpreter(fields) => {
                let locals = frame.at.offset(fields.localsplus);
                let end = match fields.stack {
                    StackPointer::Pointer(pointer) => {
                        self.memory.pointer(frame.at.offset(pointer))?
                    }
                    StackPointer::Count(count) => {
                        let count = self.memory.i32(frame.at.offset(count))?;
                        locals.offset(8 * u64::try_from(count).unwrap_or(0))
                    }
                };
                (locals.offset(8 * code.locals_count), end)
            }
        })
    }

    /// The object in a slot of locals or stack; `None` for an empty slot or a tagged number.
    pub fn slot_value(&self, word: u64) -> Option<Address> {
        let mask = match self.layout.frame {
            Frame::Interpreter(fields) => fields.tag_mask,
            Frame::Object(_) => 0,
        };
        // Both tag bits set: a small number instead of an object (pycore_stackref.h).
        if mask != 0 && word & mask == mask {
            return None;
        }
        Address(word & !mask).non_null()
    }

    /// The small number that is in a slot of the stack in the place of an object.
    pub(crate) fn small_number(&self, word: u64) -> Option<u64> {
        /// `Py_TAGGED_SHIFT` (`Include/internal/pycore_stackref.h`).
        const SHIFT: u32 = 2;
        let mask = match self.layout.frame {
            Frame::Interpreter(fields) => fields.tag_mask,
            Frame::Object(_) => 0,
        };
        (mask != 0 && word & mask == mask).then_some(word >> SHIFT)
    }

    /// What may be on the value stack of a frame that runs, from the bottom.
    ///
    /// How high it is by then is stored nowhere: what is above its top is of before, and may be
    /// freed.
    ///
    /// # Errors
    /// When the frame cannot be read.
    pub fn on_stack_of_running(&self, frame: &RawFrame) -> Read<Vec<Address>> {
        let code = self.code(frame.code)?;
        let (first, _) = self.value_stack(frame, &code)?;
        let words = self.memory.vec(first, 8 * code.stacksize.min(MAX_VALUES))?;
        let words = words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        Ok(words.filter_map(|word| self.slot_value(word)).collect())
    }

    /// The objects that a suspended frame has a counted reference to, once for each reference: its
    /// function (from 3.11 on), and what is in its variables and on its stack. Cells are given
    /// themselves.
    ///
    /// # Errors
    /// When the frame cannot be read, or is not suspended.
    pub fn references_of_frame(&self, frame: &RawFrame) -> Read<Vec<Address>> {
        let bad = || Unreadable::bad(frame.at, "value stack");
        let code = self.code(frame.code)?;
        let (first, mask, function) = match self.layout.frame {
            Frame::Object(fields) => (fields.localsplus, 0, None),
            Frame::Interpreter(fields) => {
                (fields.localsplus, fields.tag_mask, Some(fields.function))
            }
        };
        let first = frame.at.offset(first);
        // One that has not begun has nothing on its stack.
        let (stack, end) = match self.value_stack(frame, &code)? {
            _ if frame.lasti < 0 => (first, first),
            (_, end) if end.is_null() => return Err(bad()),
            ends => ends,
        };
        let depth = end.0.saturating_sub(stack.0);
        if depth > 8 * code.stacksize {
            return Err(bad());
        }
        let mut words = match function {
            Some(function) => self.memory.vec(frame.at.offset(function), 8)?,
            None => Vec::new(),
        };
        words.extend(self.memory.vec(first, 8 * code.locals_count)?);
        words.extend(self.memory.vec(stack, depth)?);
        // A word with a tag is a number, or a reference that is not counted (pycore_stackref.h).
        let words = words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        Ok(words
            .filter(|word| word & mask == 0)
            .filter_map(|word| Address(word).non_null())
            .collect())
    }

    /// The same of a coroutine, generator or async generator; none of one that runs or has ended.
    ///
    /// # Errors
    /// When it or its frame cannot be read.
    pub fn references_of_generator(&self, at: Address) -> Read<Vec<Address>> {
        let generator = self.generator(at)?;
        match generator.frame.filter(|_| generator.progress != Progress::Executing) {
            Some(frame) => self.references_of_frame(&frame),
            None => Ok(Vec::new()),
        }
    }

    /// What an awaitable stands for that only passes on.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn inner_awaitable(&self, at: Address, kind: Kind) -> Read<Option<Address>> {
        let fields = &self.layout.awaitable;
        let offset = match kind {
            Kind::CoroutineWrapper => fields.coroutine_wrapper,
            Kind::AsyncGeneratorAsend => fields.asend,
            Kind::AsyncGeneratorAthrow => fields.athrow,
            Kind::AnextAwaitable => fields.anext,
            _ => return Ok(None),
        };
        self.must_pointer(at.offset(offset), "awaitable").map(Some)
    }

    /// The variables of a frame in their order, unbound ones left out; cells are looked through.
    ///
    /// # Errors
    /// When the frame cannot be read.
    pub fn locals(&self, frame: &RawFrame) -> Read<Vec<(std::sync::Arc<str>, Address)>> {
        let code = self.code(frame.code)?;
        let words = self.memory.vec(self.first_local(frame), 8 * code.locals_count)?;
        let mut locals = Vec::new();
        let words = words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        for ((name, is_cell), word) in self.local_names(&code).iter().zip(words) {
            // Before 3.11 an argument that is also a cell has an empty slot of its own.
            if let Some(value) = self.bound(word, *is_cell)? {
                locals.push((std::sync::Arc::clone(name), value));
            }
        }
        Ok(locals)
    }

    /// The dictionary of the global variables that a frame sees.
    ///
    /// # Errors
    /// When the frame cannot be read.
    pub fn globals(&self, frame: &RawFrame) -> Read<Address> {
        let offset = match self.layout.frame {
            Frame::Object(fields) => fields.globals,
            Frame::Interpreter(fields) => fields.globals,
        };
        self.must_pointer(frame.at.offset(offset), "global variables")
    }

    /// The variable `name` of a frame.
    ///
    /// # Errors
    /// When the frame cannot be read; an unbound variable is `None`.
    pub fn local(&self, frame: &RawFrame, name: &str) -> Read<Option<Address>> {
        let code = self.code(frame.code)?;
        let first = self.first_local(frame);
        // Before 3.11 an argument that is also a cell has two slots, one of them empty.
        for ((known, is_cell), at) in self.local_names(&code).iter().zip((first.0..).step_by(8)) {
            if **known == *name
                && let Some(value) = self.bound(self.memory.u64(Address(at))?, *is_cell)?
            {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Where the variable `name` of a frame is.
    pub fn local_slot(&self, frame: &RawFrame, name: &str) -> Option<Address> {
        let code = self.code(frame.code).ok()?;
        let slot = self.local_names(&code).iter().position(|(known, _)| **known == *name)?;
        Some(self.first_local(frame).offset(8 * u64::try_from(slot).ok()?))
    }

    /// What of a suspended frame lies at an address; `None` for what is no part of its values.
    ///
    /// # Errors
    /// When the frame cannot be read.
    pub fn slot_at(&self, frame: &RawFrame, place: Address) -> Read<Option<Slot>> {
        let code = self.code(frame.code)?;
        let first = self.first_local(frame);
        let Some(index) = place.0.checked_sub(first.0).map(|bytes| bytes / 8) else {
            return Ok(None);
        };
        if index < code.locals_count {
            let names = self.local_names(&code);
            let name = usize::try_from(index).ok().and_then(|index| names.get(index));
            return Ok(name.map(|(name, _)| Slot::Variable(std::sync::Arc::clone(name))));
        }
        // One that has not begun has nothing on its stack.
        if frame.lasti < 0 {
            return Ok(None);
        }
        let (first, end) = self.value_stack(frame, &code)?;
        Ok((first <= place && place < end).then_some(Slot::Stack))
    }

    /// Where the room for a frame's variables and stack ends.
    ///
    /// # Errors
    /// When its code cannot be read.
    pub fn end_of_frame(&self, frame: &RawFrame) -> Read<Address> {
        let code = self.code(frame.code)?;
        Ok(self.first_local(frame).offset(8 * (code.locals_count + code.stacksize)))
    }

    /// The frame that the frame object at `at` stands for.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn frame_of_object(&self, at: Address) -> Read<RawFrame> {
        match (self.layout.frame, self.layout.traceback.interpreter_frame) {
            (Frame::Interpreter(_), Some(inner)) => {
                self.interpreter_frame(self.must_pointer(at.offset(inner), "frame")?)
            }
            _ => self.object_frame(at),
        }
    }

    /// Where the variables of a frame are.
    fn first_local(&self, frame: &RawFrame) -> Address {
        frame.at.offset(match self.layout.frame {
            Frame::Object(fields) => fields.localsplus,
            Frame::Interpreter(fields) => fields.localsplus,
        })
    }

    /// What a variable is bound to, by the word in its slot; cells are looked through.
    fn bound(&self, word: u64, is_cell: bool) -> Read<Option<Address>> {
        let Some(value) = self.slot_value(word) else { return Ok(None) };
        // An argument that is also a cell is a plain value until the function has begun.
        if is_cell && self.is_kind(value, Kind::Cell) {
            return self.pointer(value.offset(self.layout.small.cell_ref));
        }
        Ok(Some(value))
    }
}
