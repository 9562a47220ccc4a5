//! The stack of a thread whose loop runs synchronous code in a greenlet.
//!
//! SQLAlchemy's asyncio does so with all of its code and the program's own that `run_sync` calls.
//! A greenlet has a Python stack of its own, which ends at the function it was made for. While it
//! runs, the thread leads to that stack only: the frames of the loop and of the task that switched
//! to it are linked with one another still, but nothing of the thread points at them. (`greenlet`
//! links those of 3.12 and later past the parts of them that are on the C stack:
//! `Greenlet::expose_frames`.) The task that the loop runs does: its innermost coroutine is the one
//! that switched.
//!
//! Of greenlets that switched to one another in between, nothing is seen.

use crate::frame::{Progress, RawFrame, Stack};
use crate::memory::Address;
use crate::object::{Kind, MAX_ITEMS, Reader};
use crate::runtime::ThreadState;

/// Coroutines of a running task that are followed.
const MAX_RUNNING: usize = 1000;
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
            !matches!(code.function.rsplit('.').next(), Some("<module>" | "_bootstrap") | None)
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
        running.iter().rev().map(|frame| self.stack_below(frame.at)).find(|stack| {
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
            next = on_stack.into_iter().find_map(|at| self.running_frame(at));
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
}
