//! What a thread waits for, in those ways of the standard library that have frames in Python.

use super::MAX_FUTURES;
use crate::memory::Address;
use crate::python::frame::{RawFrame, Stack};
use crate::python::object::{Kind, Reader};

/// What a thread waits for, told by the frames of the standard library on top of its stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThreadWait {
    /// `concurrent.futures.Future.result` or `.exception`.
    Future(Address),
    /// `concurrent.futures.wait` or `as_completed`: the futures that had not ended.
    Futures(Vec<Address>),
    /// `threading.Thread.join`.
    Join {
        /// The `Thread`.
        thread: Address,
        /// Its `pthread_t`.
        ident: Option<u64>,
    },
    /// `queue.Queue.get` and its like.
    QueueGet(Address),
    /// `queue.Queue.put`.
    QueuePut(Address),
    /// `queue.Queue.join`.
    QueueJoin(Address),
    /// `threading.Event.wait`.
    Event(Address),
    /// `threading.Condition.wait`.
    Condition(Address),
    /// `threading.Semaphore.acquire`.
    Semaphore(Address),
    /// `threading.Barrier.wait`.
    Barrier(Address),
    /// A pool's thread, for work.
    Work(Address),
}

impl Reader<'_> {
    /// What a thread waits for, if it waits in one of the standard library's ways that have a
    /// frame in Python.
    ///
    /// The outermost of the library's frames on top of the stack counts: `Future.result` waits in
    /// `Condition.wait`.
    pub fn thread_waits_for(&self, stack: &Stack) -> Option<ThreadWait> {
        let mut found = None;
        for frame in stack.frames.iter().rev() {
            let code = self.code(frame.code).ok()?;
            let name = code.place.function.rsplit('.').next().unwrap_or_default();
            let own = match code.place.stdlib() {
                Some("threading.py") => self.threading_wait(frame, name),
                Some("queue.py") => self.queue_wait(frame, name),
                Some("concurrent/futures/_base.py") => self.future_wait(frame, name),
                Some("concurrent/futures/thread.py") => {
                    // A thread of a pool that runs a call has other frames on top of this one.
                    let is_worker = name == "_worker";
                    let queue = if is_worker { self.pool_frame(frame)?.queue } else { None };
                    queue.map(ThreadWait::Work)
                }
                _ => return found,
            };
            found = own.or(found);
        }
        found
    }

    fn threading_wait(&self, frame: &RawFrame, name: &str) -> Option<ThreadWait> {
        if !matches!(name, "wait" | "wait_for" | "join" | "acquire") {
            return None;
        }
        let at = self.local(frame, "self").ok()??;
        let class = self.class_of(at).ok()?;
        let is = |name| self.is_subclass_named(&class, name);
        Some(match name {
            "join" if is("Thread") => {
                let ident = self.attribute(at, "_ident").ok().flatten();
                ThreadWait::Join { thread: at, ident: ident.and_then(|at| self.count(at)) }
            }
            "acquire" if is("Semaphore") => ThreadWait::Semaphore(at),
            "wait" if is("Event") => ThreadWait::Event(at),
            "wait" if is("Barrier") => ThreadWait::Barrier(at),
            "wait" | "wait_for" if is("Condition") => ThreadWait::Condition(at),
            _ => return None,
        })
    }

    fn queue_wait(&self, frame: &RawFrame, name: &str) -> Option<ThreadWait> {
        let wait = match name {
            "get" => ThreadWait::QueueGet,
            "put" => ThreadWait::QueuePut,
            "join" => ThreadWait::QueueJoin,
            _ => return None,
        };
        Some(wait(self.local(frame, "self").ok()??))
    }

    fn future_wait(&self, frame: &RawFrame, name: &str) -> Option<ThreadWait> {
        let collection = match name {
            "result" | "exception" => {
                return Some(ThreadWait::Future(self.local(frame, "self").ok()??));
            }
            // The names that they give to the futures that had not ended when they began.
            "wait" => "not_done",
            "as_completed" => "pending",
            _ => return None,
        };
        let locals = self.locals(frame).ok()?;
        let local = |name| locals.iter().find(|(local, _)| &**local == name).map(|&(_, at)| at);
        let all = local(collection).or_else(|| local("fs"))?;
        let mut futures = match self.kind_of(all).ok()? {
            Kind::Set | Kind::FrozenSet => self.set(all).ok()?,
            Kind::List => self.list(all, MAX_FUTURES as u64).ok()?,
            Kind::Tuple => self.tuple(all).ok()?,
            _ => return None,
        };
        futures.truncate(MAX_FUTURES);
        let has_ended = |at: &Address| {
            let state = self.concurrent_state(*at);
            matches!(state.as_deref(), Some("FINISHED" | "CANCELLED_AND_NOTIFIED"))
        };
        futures.retain(|at| !has_ended(at));
        Some(ThreadWait::Futures(futures))
    }
}
