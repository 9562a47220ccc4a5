//! Synchronous code in a greenlet: below it a loop's thread, or the task that waits for it.
//!
//! `SQLAlchemy` does so on asyncio with all of its code, and the program's own that `run_sync` calls.
//! A greenlet has a Python stack of its own, which ends at the function it was made for. While it
//! runs, the thread leads to that stack only: the frames of the loop and of the task that switched
//! to it are linked with one another still, but nothing of the thread points at them. (`greenlet`
//! links those of 3.12 and later past the parts of them that are on the C stack:
//! `Greenlet::expose_frames`.) The task that the loop runs does: its innermost coroutine is the one
//! that switched.
//! Of greenlets that switched to one another in between, nothing is seen.
//!
//! While the task awaits what such code has handed out to it, the greenlet itself has its frames.

use std::ops::Range;

use crate::known::name;
use crate::known::purpose::{Purpose, Thread};
use crate::layout::Frame;
use crate::memory::Address;
use crate::python::frame::{Progress, RawFrame, Stack};
use crate::python::object::{Kind, MAX_ITEMS, Reader};
use crate::python::runtime::ThreadState;

/// Coroutines of a running task that are followed.
const MAX_RUNNING: usize = 1000;
/// `PyGreenlet.pimpl`, from greenlet 2.0 on, whose own objects are smaller than `OLD_SIZE`.
const PIMPL: u64 = 32;
/// Words of a `greenlet::UserGreenlet`. One of them is `_self`, the object whose `pimpl` it is: the
/// second one from 3.1 on, before that one behind the frame.
const PIMPL_WORDS: u64 = 40;
/// Where `greenlet::Greenlet` has the `_top_frame` of its Python state, after the state of its
/// stack and its exceptions: at 96 in 2.0 for Python 3.11, at 120 in 3.5 for 3.9.
const PIMPL_FRAME: Range<u64> = 80..200;
/// The least size of a greenlet's object up to 1.1, and its `top_frame`.
const OLD_SIZE: u64 = 80;
const OLD_FRAME: u64 = 72;
/// `PyFrameObject.f_frame`, from 3.11 on.
const FRAME_OF_OBJECT: u64 = 24;

/// Awaitables that pass on to one another.
const MAX_PASSES: usize = 8;

impl Reader<'_> {
    /// The Python frames of a thread on which a loop runs, also while it is in a greenlet.
    pub fn thread_stack(&self, thread: &ThreadState, running_loop: Option<Address>) -> Stack {
        let stack = self.stack(thread.at);
        let loop_at = running_loop.filter(|_| self.may_be_of_greenlet(&stack));
        let below = loop_at.and_then(|loop_at| self.stack_below_greenlet(thread, loop_at, &stack));
        let Some(mut below) = below else { return stack };
        // It was looked for while the greenlet ran, if that runs still.
        let again = self.stack(thread.at);
        let root = |stack: &Stack| stack.frames.first().map(|frame| frame.at);
        if !again.is_complete || root(&again) != root(&stack) {
            return again;
        }
        below.frames.extend(again.frames);
        below
    }

    /// Whether a stack may end where a greenlet begins: most end where a program or a thread does.
    fn may_be_of_greenlet(&self, stack: &Stack) -> bool {
        let outermost = stack.frames.first().filter(|_| stack.is_complete);
        let code = outermost.and_then(|frame| self.code(frame.code).ok());
        code.is_some_and(|code| {
            !name::is_module(&code.place.function)
                && code.place.purpose() != Some(Purpose::Thread(Thread::Bootstrap))
        })
    }

    /// The stack that switched to the one of a greenlet, from the loop to the coroutine.
    fn stack_below_greenlet(
        &self,
        thread: &ThreadState,
        loop_at: Address,
        greenlet: &Stack,
    ) -> Option<Stack> {
        let coro = self.coroutine_of(self.current_task(thread, loop_at)?)?;
        let is_in = |stack: &Stack| stack.frames.iter().any(|frame| frame.generator == coro);
        if is_in(greenlet) {
            return None;
        }
        let running = self.running_coroutines(coro);
        running.iter().rev().map(|frame| self.stack_below_now(frame.at)).find(|stack| {
            // Of a coroutine that does not run any more, nobody is the caller.
            let is_called = stack.frames.first().is_some_and(|frame| frame.generator.is_null());
            stack.is_complete && is_called && is_in(stack)
        })
    }

    /// The task that a loop runs now.
    fn current_task(&self, thread: &ThreadState, loop_at: Address) -> Option<Address> {
        if let Some(offset) = self.layout.thread.asyncio_running_task {
            return self.pointer(thread.at.offset(offset)).ok()?;
        }
        let modules = thread.interpreter.offset(self.layout.interpreter.modules);
        let module = self.dict_get(self.pointer(modules).ok()??, "asyncio.tasks").ok()??;
        if !self.is_kind(module, Kind::Module) {
            return None;
        }
        let names = self.pointer(module.offset(self.layout.small.module_dict)).ok()??;
        let tasks = self.dict(self.dict_get(names, "_current_tasks").ok()??, MAX_ITEMS).ok()?;
        tasks.into_iter().find(|&(key, _)| key == loop_at).map(|(_, task)| task)
    }

    /// The frames of a coroutine that runs and of those it awaits, outermost first.
    fn running_coroutines(&self, coro: Address) -> Vec<RawFrame> {
        let mut frames = Vec::new();
        let mut next = self.running_frame(coro);
        while let Some(frame) = next.filter(|_| frames.len() < MAX_RUNNING) {
            frames.push(frame);
            let on_stack = self.on_stack_of_running(&frame).unwrap_or_default();
            let mut inner = on_stack.into_iter().filter_map(|at| self.running_frame(at));
            next = inner.find(|frame| !frames.contains(frame));
        }
        frames
    }

    /// The frame of a coroutine that runs, also by the awaitables that pass on to it.
    fn running_frame(&self, mut at: Address) -> Option<RawFrame> {
        for _ in 0..MAX_PASSES {
            let kind = self.kind_of(at).ok()?;
            if matches!(kind, Kind::Coroutine | Kind::Generator | Kind::AsyncGenerator) {
                let generator = self.generator(at).ok()?;
                return generator.frame.filter(|_| generator.progress == Progress::Executing);
            }
            at = self.inner_awaitable(at, kind).ok()??;
        }
        None
    }

    /// The frames of a greenlet that a waiting coroutine has switched to and will switch to again,
    /// outermost first.
    pub(super) fn frames_of_greenlet(&self, coroutine: &RawFrame) -> Vec<RawFrame> {
        if !self.code(coroutine.code).is_ok_and(|code| self.may_switch(&code)) {
            return Vec::new();
        }
        let locals = self.locals(coroutine).unwrap_or_default();
        let top = locals.into_iter().find_map(|(_, value)| self.top_frame(value));
        let stack = top.map(|top| self.stack_below(top)).unwrap_or_default();
        if stack.is_complete { stack.frames } else { Vec::new() }
    }

    /// The innermost frame of a greenlet that is not running, if the object at `at` is one.
    fn top_frame(&self, at: Address) -> Option<Address> {
        let class = self.class_of(at).ok()?;
        if class.kind != Kind::Other || !self.is_subclass_named(&class, "greenlet") {
            return None;
        }
        let frame_at = |holder: Address| {
            let frame = self.pointer(holder).ok()??;
            (&*self.class_of(frame).ok()?.name == "frame").then_some(frame)
        };
        let new = || {
            let inner = self.pointer(at.offset(PIMPL)).ok()??;
            let words = self.memory.vec(inner, 8 * PIMPL_WORDS).ok()?;
            let is_its = words.as_chunks::<8>().0.contains(&at.0.to_le_bytes());
            PIMPL_FRAME.step_by(8).filter(|_| is_its).find_map(|word| frame_at(inner.offset(word)))
        };
        let old = || frame_at(at.offset(OLD_FRAME)).filter(|_| class.basicsize >= OLD_SIZE);
        let frame = new().or_else(old)?;
        match self.layout.frame {
            Frame::Object(_) => Some(frame),
            Frame::Interpreter(_) => self.pointer(frame.offset(FRAME_OF_OBJECT)).ok()?,
        }
    }
}
