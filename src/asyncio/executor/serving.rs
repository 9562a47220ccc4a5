//! Calls that threads run which belong to no pool: aiosqlite's, or a program's own.
//!
//! Such a thread takes a future and a function from a queue, runs the function, and sets the result
//! by `call_soon_threadsafe`. So the future that a task waits for lies in a variable of the thread's
//! frame. It does so as well when the call is over: until the loop has set the result, and while
//! the thread waits for the next call. Test: `served_calls`.

use rustc_hash::FxHashSet;

use crate::asyncio::LoopFacts;
use crate::known::purpose::{Module, Purpose, Thread};
use crate::memory::Address;
use crate::python::frame::{RawFrame, Stack};
use crate::python::object::{Kind, Reader};

/// Frames on top of a stack that are looked at: what runs the calls is below what these call.
const MAX_FRAMES: usize = 100;
/// Variables of one frame.
const MAX_VARIABLES: usize = 100;

/// A call that such a thread runs, or that waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedCall {
    /// The asyncio future that gets its result.
    pub future: Address,
    /// Which of the stacks the thread is.
    pub thread: usize,
    /// The function.
    pub function: Option<String>,
    /// Its place among those that wait for the thread, and how many these are; `None` while it runs.
    pub position: Option<(u64, u64)>,
}

impl Reader<'_> {
    /// The calls of threads outside of pools for which these futures are awaited.
    pub fn served_calls(
        &self,
        stacks: &[&Stack],
        loops: &[LoopFacts],
        awaited: &FxHashSet<Address>,
    ) -> Vec<ServedCall> {
        let mut calls = Vec::new();
        for (thread, stack) in stacks.iter().enumerate() {
            let runs_loop =
                |frame: &RawFrame| matches!(self.known(frame).purpose, Some(Purpose::Loop(_)));
            if stack.frames.iter().any(runs_loop) {
                continue;
            }
            let frames = stack.frames.iter().enumerate().rev().take(MAX_FRAMES);
            let found = frames.into_iter().find_map(|(at, frame)| {
                let inner = stack.frames.get(at + 1..)?;
                let server = self.server(frame);
                let future = self.held_future(frame, awaited);
                (server.is_some() || future.is_some()).then_some((frame, inner, server, future))
            });
            let Some((frame, inner, server, future)) = found else { continue };
            let is_running = future.is_some_and(|future| {
                self.is_in_call(frame, inner, server.is_some()) && !self.is_being_set(loops, future)
            });
            if let Some(future) = future.filter(|_| is_running) {
                let function = match server {
                    Some((_, name)) => self.local(frame, name).ok().flatten(),
                    None => None,
                };
                let function = function.and_then(|at| self.called_function(at, None));
                let called =
                    || Some(self.code(inner.first()?.code).ok()?.place.function.to_string());
                let function = function.or_else(called);
                calls.push(ServedCall { future, thread, function, position: None });
            }
            if let Some((queue, _)) = server {
                calls.extend(self.waiting_calls(frame, queue, thread));
            }
        }
        calls
    }

    /// Where the thread of a library has its queue and the function that it runs.
    fn server(&self, frame: &RawFrame) -> Option<(&'static str, &'static str)> {
        match self.known(frame).purpose? {
            Purpose::Thread(Thread::Serves { queue, function }) => Some((queue, function)),
            _ => None,
        }
    }

    /// The awaited future in a variable of a frame, also beside its function in a tuple.
    fn held_future(&self, frame: &RawFrame, awaited: &FxHashSet<Address>) -> Option<Address> {
        let locals = self.locals(frame).ok()?;
        locals.into_iter().take(MAX_VARIABLES).find_map(|(_, at)| {
            if awaited.contains(&at) {
                return Some(at);
            }
            let items = self.is_kind(at, Kind::Tuple).then(|| self.tuple(at).ok()).flatten()?;
            items.into_iter().find(|item| awaited.contains(item))
        })
    }

    /// Whether a thread is in the call and not at its queue. The C class of queues has no frame: in
    /// a library it is known that the call is inside a `try`, and a queue that is waited at lies on
    /// the stack of values.
    fn is_in_call(&self, frame: &RawFrame, inner: &[RawFrame], is_known: bool) -> bool {
        let is_at_queue = |frame: &RawFrame| {
            matches!(self.known(frame).module, Some(Module::Queue | Module::Threading))
        };
        if let Some(called) = inner.first() {
            return !is_at_queue(called);
        }
        if is_known {
            return self.is_in_try(frame) == Ok(true);
        }
        let is_queue = |at: &Address| {
            self.class_of(*at).is_ok_and(|class| class.name.ends_with("SimpleQueue"))
        };
        let values = self.on_stack_of_running(frame);
        values.is_ok_and(|values| {
            let is_of_queue = |at: &Address| self.bound_to(*at).is_some_and(|own| is_queue(&own));
            !values.iter().any(|at| is_queue(at) || is_of_queue(at))
        })
    }

    /// Whether a loop is about to set the result of a future.
    fn is_being_set(&self, loops: &[LoopFacts], future: Address) -> bool {
        let leads = |at: Address| {
            self.bound_to(at) == Some(future)
                || self.is_kind(at, Kind::Tuple)
                    && self.tuple(at).is_ok_and(|items| items.contains(&future))
        };
        let event_loop = self.future_loop(future);
        let facts = loops.iter().find(|facts| Some(facts.at) == event_loop);
        facts.is_some_and(|facts| {
            facts.ready != Some(0) && self.ready_parts(facts.at).into_iter().any(leads)
        })
    }

    /// The calls in a library's queue, as pairs of a future and a function.
    fn waiting_calls(&self, frame: &RawFrame, queue: &str, thread: usize) -> Vec<ServedCall> {
        let variable = self.local(frame, queue).ok().flatten();
        let attribute = || {
            let own = self.local(frame, "self").ok()??;
            self.attribute(own, queue).ok()?
        };
        let queue = variable.or_else(attribute);
        let items = queue.and_then(|queue| self.work_queue(queue).ok()).unwrap_or_default();
        let of = items.len() as u64;
        let call = |(at, item): (u64, Address)| {
            let parts = self.tuple(item).ok()?;
            let &[future, function] = &parts[..] else { return None };
            let function = self.called_function(function, None);
            Some(ServedCall { future, thread, function, position: Some((at, of)) })
        };
        (1..).zip(items).filter_map(call).collect()
    }
}
