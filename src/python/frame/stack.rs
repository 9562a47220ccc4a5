//! The Python stack of a thread.

use super::RawFrame;
use crate::layout::{CurrentFrame, Frame};
use crate::memory::Address;
use crate::python::object::{Read, Reader, Unreadable};

/// Frames of one thread that are followed; far above the default recursion limit of 1000.
const MAX_FRAMES: usize = 20_000;
/// Chunks of a thread's data stack that are read; each holds hundreds of frames.
const MAX_CHUNKS: usize = 256;
/// Bytes of one chunk that are read; they begin with 16 KiB and grow with large frames.
const MAX_CHUNK: u64 = 1 << 20;
/// Bytes of all chunks of one thread that are copied beforehand.
const MAX_COPIED: u64 = 4 << 20;
/// What is copied above the top of a data stack: some frames may come meanwhile.
const STACK_ROOM: u64 = 1024;
/// How much of a thread state holds what a stack walk needs.
const THREAD_STATE_LEN: u64 = 512;
/// How much of a frame holds what a stack walk needs.
const FRAME_LEN: u64 = 128;
/// How often the stack of a thread that runs is copied before the best copy is taken.
const MAX_TRIES: usize = 10;

/// The Python frames of a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stack {
    /// Outermost first.
    pub frames: Vec<RawFrame>,
    /// Whether the walk came to the outermost frame and every frame was believable.
    pub is_complete: bool,
}

/// A call of the interpreter's loop in C, which runs one Python frame or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluation {
    /// How many frames it runs.
    pub frames: usize,
    /// What lies in its frame in C; not known up to 3.10.
    pub place: Option<Address>,
}

impl Reader<'_> {
    /// The Python frames of the thread whose state is at `thread`.
    ///
    /// A thread that runs changes its stack while it is read. Thread state and data stack are
    /// copied in one call; a copy that cannot be walked to its end is thrown away and made anew.
    /// If none is whole, the longest outer part that was seen is returned as incomplete.
    pub fn stack(&self, thread: Address) -> Stack {
        self.stack_within(thread, MAX_TRIES)
    }

    /// The same, with so many copies at most: what is copied of a busy thread it has to fetch back.
    pub fn stack_within(&self, thread: Address, tries: usize) -> Stack {
        let mut best = Stack::default();
        let mut seen = Vec::new();
        for _ in 0..tries {
            self.copy_stack(thread, &seen);
            let stack = self.try_stack(thread);
            if stack.is_complete {
                return stack;
            }
            seen = stack.frames.iter().map(|frame| frame.at).collect();
            if stack.frames.len() >= best.frames.len() {
                best = stack;
            }
        }
        best
    }

    fn try_stack(&self, thread: Address) -> Stack {
        self.walk(self.innermost_frame(thread))
    }

    /// The frame at `innermost` and those that it will come back to, none of which runs now.
    pub fn stack_below(&self, innermost: Address) -> Stack {
        self.walk(Ok(Some(innermost)))
    }

    /// The same, but what of it was read before is read anew.
    pub fn stack_below_now(&self, innermost: Address) -> Stack {
        let before = self.stack_below(innermost);
        let seen: Vec<_> = before.frames.iter().map(|frame| (frame.at, FRAME_LEN)).collect();
        self.memory.refresh(&seen);
        self.stack_below(innermost)
    }

    fn walk(&self, innermost: Read<Option<Address>>) -> Stack {
        let mut frames = Vec::new();
        let mut next = innermost;
        // Shims are counted too, which are not kept: a ring of them has no end.
        for _ in 0..MAX_FRAMES {
            let Ok(Some(at)) = next else { break };
            next = self.stack_frame(at).map(|(frame, previous)| {
                frames.extend(frame);
                previous
            });
        }
        let is_complete = next == Ok(None);
        frames.reverse();
        // Of a broken walk only the inner part is there: nobody knows what called it, but it is
        // what the thread does.
        Stack { frames, is_complete }
    }

    /// Reads thread state, data stack and the heap frames seen in the last try in one call,
    /// whatever was read before.
    fn copy_stack(&self, thread: Address, seen: &[Address]) {
        let mut ranges = vec![(thread, THREAD_STATE_LEN)];
        if let Some(field) = self.layout.thread.datastack_chunk {
            let mut chunk = self.memory.pointer(thread.offset(field)).unwrap_or_default();
            // The next field is `datastack_top`, the end of what is used of the newest chunk.
            let top = self.memory.u64(thread.offset(field + 8)).unwrap_or_default();
            let used = top.checked_sub(chunk.0).map(|used| used.saturating_add(STACK_ROOM));
            // _PyStackChunk: [ previous: ptr, size: usize, top: usize, data ]
            // A damaged list is a ring, or leads to chunks of any size.
            let mut room = MAX_COPIED;
            while !chunk.is_null()
                && ranges.len() <= MAX_CHUNKS
                && room > 0
                && ranges.iter().all(|(known, _)| *known != chunk)
            {
                let size = self.memory.u64(chunk.offset(8)).unwrap_or(0);
                let is_newest = ranges.len() == 1;
                let size = used.filter(|_| is_newest).map_or(size, |used| size.min(used));
                let copied = size.clamp(24, MAX_CHUNK);
                ranges.push((chunk, copied));
                room = room.saturating_sub(copied);
                chunk = self.memory.pointer(chunk).unwrap_or_default();
            }
        }
        if let CurrentFrame::CFrame { cframe, .. } = self.layout.thread.current_frame {
            // The C frame lies on the thread's C stack.
            let cframe = self.memory.pointer(thread.offset(cframe)).unwrap_or_default();
            ranges.push((cframe, 16));
        }
        ranges.extend(seen.iter().map(|&at| (at, FRAME_LEN)));
        self.memory.refresh(&ranges);
    }

    /// The calls of the interpreter's loop that run the stack of a thread, the innermost first.
    pub fn evaluations(&self, thread: Address, stack: &Stack) -> Vec<Evaluation> {
        match (self.layout.frame, self.layout.thread.current_frame) {
            (Frame::Object(_), _) => {
                vec![Evaluation { frames: 1, place: None }; stack.frames.len()]
            }
            // 3.11 has no shims yet.
            (Frame::Interpreter(fields), CurrentFrame::CFrame { cframe, current_frame })
                if fields.first_shim_owner > fields.last_owner =>
            {
                let first = self.memory.pointer(thread.offset(cframe)).unwrap_or_default();
                self.by_c_frames(first, current_frame, stack)
            }
            (Frame::Interpreter(_), _) => self.by_shims(thread),
        }
    }

    /// By the `_PyCFrame` that each call has on its stack.
    fn by_c_frames(&self, first: Address, current_frame: u64, stack: &Stack) -> Vec<Evaluation> {
        // _PyCFrame: [ …, current_frame: ptr, previous: ptr ]
        let previous = |at: Address| self.memory.pointer(at.offset(current_frame + 8)).ok();
        let current = |at: Address| self.memory.pointer(at.offset(current_frame)).ok();
        let mut found = Vec::new();
        let mut rest = stack.frames.iter().rev().map(|frame| frame.at).peekable();
        let mut place = first;
        while rest.peek().is_some() {
            let Some(outer) = previous(place) else { break };
            let end = outer.non_null().and_then(current).unwrap_or_default();
            let mut frames = 0;
            while rest.next_if(|at| *at != end).is_some() {
                frames += 1;
            }
            found.push(Evaluation { frames, place: Some(place) });
            place = outer;
            if place.is_null() || found.len() > MAX_FRAMES {
                break;
            }
        }
        found
    }

    /// By the frame without a function that each call has on its stack, below those that it runs.
    fn by_shims(&self, thread: Address) -> Vec<Evaluation> {
        let mut found = Vec::new();
        let mut frames = 0;
        let mut next = self.innermost_frame(thread);
        for _ in 0..MAX_FRAMES {
            let Ok(Some(at)) = next else { break };
            next = self.stack_frame(at).map(|(frame, previous)| {
                if frame.is_some() {
                    frames += 1;
                } else {
                    found.push(Evaluation { frames, place: Some(at) });
                    frames = 0;
                }
                previous
            });
        }
        found.extend((frames > 0).then_some(Evaluation { frames, place: None }));
        found
    }

    fn innermost_frame(&self, thread: Address) -> Read<Option<Address>> {
        match self.layout.thread.current_frame {
            CurrentFrame::Direct(offset) => self.pointer(thread.offset(offset)),
            CurrentFrame::CFrame { cframe, current_frame } => {
                match self.pointer(thread.offset(cframe))? {
                    Some(cframe) => self.pointer(cframe.offset(current_frame)),
                    None => Ok(None),
                }
            }
        }
    }

    /// The frame at `at` of a running thread, unless it is a shim, and the one that called it.
    fn stack_frame(&self, at: Address) -> Read<(Option<RawFrame>, Option<Address>)> {
        match self.layout.frame {
            Frame::Object(fields) => {
                let frame = self.object_frame(at)?;
                Ok((Some(frame), self.pointer(at.offset(fields.back))?))
            }
            Frame::Interpreter(fields) => {
                let previous = self.pointer(at.offset(fields.previous))?;
                let owner = self.memory.u8(at.offset(fields.owner))?;
                if owner > fields.last_owner || previous == Some(at) {
                    return Err(Unreadable::bad(at, "frame"));
                }
                if owner >= fields.first_shim_owner {
                    return Ok((None, previous));
                }
                Ok((Some(self.interpreter_frame(at)?), previous))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::memory::Image;
    use crate::python::object::{Caches, Memory};

    #[test]
    fn a_ring_of_shims_has_an_end() {
        const THREAD: u64 = 0x10000;
        let shims = [0x20000, 0x21000];
        for minor in 11..=15 {
            let layout = Layout::for_minor(minor).unwrap();
            let Frame::Interpreter(fields) = layout.frame else { panic!("3.{minor}") };
            let mut bytes = vec![0; 0x20000];
            let mut put = |at: u64, value: &[u8]| {
                let at = usize::try_from(at - THREAD).unwrap();
                bytes[at..at + value.len()].copy_from_slice(value);
            };
            match layout.thread.current_frame {
                CurrentFrame::Direct(at) => put(THREAD + at, &u64::to_le_bytes(shims[0])),
                CurrentFrame::CFrame { cframe, current_frame } => {
                    put(THREAD + cframe, &u64::to_le_bytes(0x18000));
                    put(0x18000 + current_frame, &u64::to_le_bytes(shims[0]));
                }
            }
            for (shim, next) in [(shims[0], shims[1]), (shims[1], shims[0])] {
                put(shim + fields.previous, &u64::to_le_bytes(next));
                put(shim + fields.owner, &[fields.first_shim_owner]);
            }
            let memory = Memory::new(Box::new(Image::new([(Address(THREAD), bytes)])));
            let caches = Caches::default();
            let reader = Reader { memory: &memory, layout: &layout, caches: &caches };
            let stack = reader.stack(Address(THREAD));
            // Up to 3.11 there are no shims: such an owner is not believable.
            assert!(!stack.is_complete && stack.frames.is_empty(), "3.{minor}: {stack:?}");
        }
    }
}
