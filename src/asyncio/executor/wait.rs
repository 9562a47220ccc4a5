//! What a thread waits for, in those ways of the standard library that have frames in Python.

use super::MAX_FUTURES;
use crate::known::purpose::{Loop, Module, Purpose, Thread};
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
    /// A coroutine that it has given to this loop.
    Loop(Address),
    /// The result of a call of a `multiprocessing.Pool`.
    PoolResult(Address),
    /// A pool's thread, for work.
    Work(Address),
    /// A loop that runs inside a callback of its own, until this task is done.
    Run(Address),
}

impl Reader<'_> {
    /// What a thread waits for, if it waits in one of the standard library's ways that have a
    /// frame in Python.
    ///
    /// The outermost of the library's frames on top of the stack counts: `Future.result` waits in
    /// `Condition.wait`.
    pub fn thread_waits_for(&self, stack: &Stack) -> Option<ThreadWait> {
        if let Some(task) = self.nested_run(stack) {
            return Some(ThreadWait::Run(task));
        }
        let mut found = None;
        for frame in stack.frames.iter().rev() {
            let code = self.code(frame.code).ok()?;
            let own = match (code.place.module(), code.place.purpose()) {
                (
                    Some(Module::Threading | Module::Queue | Module::Futures | Module::ProcessPool),
                    Some(Purpose::Thread(wait)),
                )
                | (
                    _,
                    Some(Purpose::Thread(wait @ (Thread::RunsUntil(_) | Thread::CallsLoop { .. }))),
                ) => self.wait_of(frame, wait),
                // A thread of a pool that runs a call has other frames on top of this one.
                (_, Some(Purpose::Thread(Thread::PoolWorker))) => {
                    self.pool_frame(frame)?.queue.map(ThreadWait::Work)
                }
                (
                    Some(Module::Threading | Module::Queue | Module::Futures | Module::ThreadPool),
                    _,
                ) => None,
                _ => return found,
            };
            found = own.or(found);
        }
        found
    }

    /// The task for which a loop runs inside a callback of its own, where the loop itself is on top
    /// of the stack and none of its callbacks.
    fn nested_run(&self, stack: &Stack) -> Option<Address> {
        let code = |frame: &RawFrame| self.code(frame.code).ok();
        let mut frames = stack.frames.iter().rev();
        let run = frames.find_map(|frame| {
            let place = &code(frame)?.place;
            match (place.purpose(), place.module()) {
                (Some(Purpose::Loop(Loop::RunUntilComplete)), _) => Some(Some(frame)),
                (
                    Some(Purpose::Loop(
                        Loop::RunOnce
                        | Loop::OtherRunOnce
                        | Loop::NestedRunOnce
                        | Loop::RunForever
                        | Loop::Time,
                    )),
                    _,
                )
                | (None, Some(Module::Selectors)) => None,
                _ => Some(None),
            }
        })??;
        let local = |frame, name| self.local(frame, name).ok().flatten();
        let own = local(run, "self")?;
        let mut runs = frames.filter_map(|frame| self.run_once(frame));
        if !runs.any(|outer| outer.loop_at == own) {
            return None;
        }
        // `nest_asyncio` keeps what it was given in `future`, a coroutine perhaps.
        let task = local(run, "f").or_else(|| local(run, "future"))?;
        self.kind_of(task).is_ok_and(Kind::is_task).then_some(task)
    }

    fn wait_of(&self, frame: &RawFrame, wait: Thread) -> Option<ThreadWait> {
        let own = || self.local(frame, "self").ok()?;
        match wait {
            Thread::Join | Thread::Wait | Thread::WaitFor | Thread::Acquire => {
                self.threading_wait(own()?, wait)
            }
            Thread::PoolResult => own().map(ThreadWait::PoolResult),
            Thread::QueueGet => own().map(ThreadWait::QueueGet),
            Thread::QueuePut => own().map(ThreadWait::QueuePut),
            Thread::QueueJoin => own().map(ThreadWait::QueueJoin),
            Thread::FutureResult | Thread::FutureException => own().map(ThreadWait::Future),
            // The names that they give to the futures that had not ended when they began.
            Thread::FuturesWait => self.futures_wait(frame, "not_done"),
            Thread::FuturesAsCompleted => self.futures_wait(frame, "pending"),
            Thread::RunsUntil(future) => {
                self.local(frame, future).ok().flatten().map(ThreadWait::Future)
            }
            Thread::CallsLoop { at, unless_not } => {
                if let Ok(Some(is_there)) = self.local(frame, unless_not)
                    && self.int(is_there) == Ok(0)
                {
                    return None;
                }
                let variable = self.local(frame, at).ok().flatten();
                let event_loop = variable.or_else(|| self.attribute(own()?, at).ok()?)?;
                (!self.is_kind(event_loop, Kind::None)).then_some(ThreadWait::Loop(event_loop))
            }
            _ => None,
        }
    }

    fn threading_wait(&self, at: Address, wait: Thread) -> Option<ThreadWait> {
        let class = self.class_of(at).ok()?;
        let is = |name| self.is_subclass_named(&class, name);
        Some(match wait {
            Thread::Join if is("Thread") => {
                let ident = self.attribute(at, "_ident").ok().flatten();
                ThreadWait::Join { thread: at, ident: ident.and_then(|at| self.count(at)) }
            }
            Thread::Acquire if is("Semaphore") => ThreadWait::Semaphore(at),
            Thread::Wait if is("Event") => ThreadWait::Event(at),
            Thread::Wait if is("Barrier") => ThreadWait::Barrier(at),
            Thread::Wait | Thread::WaitFor if is("Condition") => ThreadWait::Condition(at),
            _ => return None,
        })
    }

    fn futures_wait(&self, frame: &RawFrame, collection: &str) -> Option<ThreadWait> {
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
