//! Callbacks: what a future does when it is done, and so who waits for it.
//!
//! A future keeps a list of callables. Most are one of a few of asyncio's own, which lead to the
//! task that is woken or to another future that is resolved in turn: `gather`, `shield`, `wait`,
//! `wait_for`, `as_completed`, `TaskGroup`. Followed to the end they give every awaited-by edge,
//! on versions that keep none themselves as well.

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::known::{Callback, Module, Purpose};
use crate::memory::Address;
use crate::python::object::{Kind, Read, Reader};

/// Callbacks of one future that are followed; a future awaited by more tasks was never seen.
const MAX_CALLBACKS: u64 = 1 << 16;
/// Futures on the way from one task to those that wait for it.
const MAX_HOPS: usize = 4096;

/// What a callback leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wake {
    /// It runs the next step of this task.
    Task(Address),
    /// It resolves this future in turn.
    Future(Address),
    /// The task is of a group that this task has made, which waits for it once it leaves that.
    Parent(Address),
}

/// The tasks that wait for another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Awaiters {
    /// All of them, in the order of its callbacks; those that only will are the last.
    pub tasks: Vec<Address>,
    /// How many of them wait for it now: the others are still within the block of its group.
    pub now: usize,
}

/// What each future leads to, decoded once.
#[derive(Debug)]
pub struct AwaitGraph<'a> {
    reader: Reader<'a>,
    wakes: RefCell<FxHashMap<Address, Arc<[Wake]>>>,
}

impl<'a> AwaitGraph<'a> {
    /// An empty graph.
    pub fn new(reader: Reader<'a>) -> Self {
        Self { reader, wakes: RefCell::default() }
    }

    /// The tasks that wait for the future or task at `at`.
    pub fn awaiters(&self, at: Address) -> Awaiters {
        let (mut awaiters, mut parents) = (Vec::new(), Vec::new());
        let (mut known, mut seen) = (FxHashSet::default(), FxHashSet::default());
        let mut open = vec![at];
        while let Some(future) = open.pop() {
            if seen.len() > MAX_HOPS || !seen.insert(future) {
                continue;
            }
            // Before its first callback a future needs no look at the rest.
            for wake in &*self.wakes(future) {
                match *wake {
                    Wake::Task(task) if task != at && known.insert(task) => awaiters.push(task),
                    Wake::Task(_) => {}
                    Wake::Future(next) => open.push(next),
                    Wake::Parent(task) => parents.push(task),
                }
            }
        }
        let now = awaiters.len();
        awaiters.extend(parents.into_iter().filter(|&task| task != at && known.insert(task)));
        Awaiters { tasks: awaiters, now }
    }

    fn wakes(&self, future: Address) -> Arc<[Wake]> {
        if let Some(wakes) = self.wakes.borrow().get(&future) {
            return Arc::clone(wakes);
        }
        // An unreadable callback is no edge: the task's own chain tells its problem.
        let mut wakes = Vec::new();
        for callback in self.reader.callbacks(future).unwrap_or_default() {
            wakes.extend(self.reader.wakes(callback).unwrap_or_default());
        }
        if let Ok(waiters) = self.reader.awaited_by(future) {
            // Groups note their parents from the start.
            let is_parent = |task: &Address| wakes.contains(&Wake::Parent(*task));
            let waiters: Vec<Wake> =
                waiters.into_iter().filter(|task| !is_parent(task)).map(Wake::Task).collect();
            wakes.extend(waiters);
        }
        let wakes: Arc<[Wake]> = wakes.into();
        self.wakes.borrow_mut().insert(future, Arc::clone(&wakes));
        wakes
    }
}

impl Reader<'_> {
    /// The callables that run when the future at `at` is done.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn callbacks(&self, at: Address) -> Read<Vec<Address>> {
        let fields = &self.layout.future;
        let (first, rest) = match self.kind_of(at)? {
            Kind::Task | Kind::Future => {
                let Some(first) = self.pointer(at.offset(fields.callback0))? else {
                    return Ok(Vec::new());
                };
                (Some(first), self.pointer(at.offset(fields.callbacks))?)
            }
            Kind::PyTask | Kind::PyFuture => (None, self.attribute(at, "_callbacks")?),
            _ => return Ok(Vec::new()),
        };
        let mut callbacks: Vec<Address> = first.into_iter().collect();
        // A list of (callback, context).
        if let Some(rest) = rest.filter(|&rest| self.is_kind(rest, Kind::List)) {
            for pair in self.list(rest, MAX_CALLBACKS)? {
                callbacks.extend(self.tuple(pair)?.first());
            }
        }
        Ok(callbacks)
    }

    /// The tasks that the runtime itself says wait for the future at `at` (3.14 and later).
    fn awaited_by(&self, at: Address) -> Read<Vec<Address>> {
        let Some(fields) = self.layout.future.awaited_by else { return Ok(Vec::new()) };
        if !matches!(self.kind_of(at)?, Kind::Task | Kind::Future) {
            return Ok(Vec::new());
        }
        let Some(waiters) = self.pointer(at.offset(fields.awaited_by))? else {
            return Ok(Vec::new());
        };
        let waiters = if self.memory.u8(at.offset(fields.is_set))? != 0 {
            self.set(waiters)?
        } else {
            vec![waiters]
        };
        let is_task = |at: &Address| self.kind_of(*at).is_ok_and(Kind::is_task);
        Ok(waiters.into_iter().filter(is_task).collect())
    }

    /// The task whose next step the callable at `at` is.
    ///
    /// Encodings, all seen live: `TaskStepMethWrapper`; `TaskWakeupMethWrapper` (3.8, 3.9); the
    /// built-in method `task_wakeup` of a task (3.10 and later); the bound methods `__step` and
    /// `__wakeup` of a pure-Python task.
    pub fn stepped_task(&self, at: Address) -> Option<Address> {
        let small = &self.layout.small;
        let task = match self.kind_of(at).ok()? {
            Kind::StepWrapper => at.offset(small.step_wrapper_task),
            Kind::Builtin => at.offset(small.builtin_self),
            Kind::Method => {
                let called = Callback::of(&self.callable_name(at)?)?;
                if !matches!(called, Callback::Step | Callback::Wakeup) {
                    return None;
                }
                at.offset(small.method_self)
            }
            _ => return None,
        };
        let task = self.pointer(task).ok()??;
        self.kind_of(task).is_ok_and(Kind::is_task).then_some(task)
    }

    /// Whether a callback goes on with a task because a future it waits for is done: not one that
    /// begins it, or comes after `sleep(0)`.
    pub fn is_wakeup(&self, at: Address) -> bool {
        self.stepped_task(at).is_some()
            && match self.kind_of(at) {
                Ok(Kind::Builtin) => true,
                // Up to 3.9 both are alike but for the class.
                Ok(Kind::StepWrapper) => {
                    self.class_of(at).is_ok_and(|class| class.name.contains("Wakeup"))
                }
                Ok(Kind::Method) => {
                    let name = self.callable_name(at);
                    name.is_some_and(|name| Callback::of(&name) == Some(Callback::Wakeup))
                }
                _ => false,
            }
    }

    /// Whether a callback is asyncio's own answer to something from outside: a descriptor that is
    /// ready, or a future of a thread that is done.
    pub fn is_from_outside(&self, at: Address) -> bool {
        let code = self.function_of(at).and_then(|at| {
            let code = self.pointer(at.offset(self.layout.function.code)).ok()??;
            self.code(code).ok()
        });
        code.is_some_and(|code| {
            code.place.module() == Some(Module::AsyncioSelector)
                || code.place.purpose() == Some(Purpose::HandsOver)
        })
    }

    /// What a done-callback leads to.
    fn wakes(&self, at: Address) -> Read<Vec<Wake>> {
        if let Some(task) = self.stepped_task(at) {
            return Ok(vec![Wake::Task(task)]);
        }
        let small = &self.layout.small;
        let future = |at: Option<Address>| -> Vec<Wake> {
            let is_future = |at: &Address| self.kind_of(*at).is_ok_and(Kind::is_future);
            at.filter(is_future).map(Wake::Future).into_iter().collect()
        };
        match self.kind_of(at)? {
            Kind::Function => Ok(match Callback::of(&self.function_name(at)?) {
                Some(Callback::Gather | Callback::ShieldInner) => {
                    future(self.closure(at, "outer")?)
                }
                Some(Callback::Wait) => future(self.closure(at, "waiter")?),
                Some(Callback::AsCompleted) => self.getters(self.closure(at, "done")?)?,
                Some(Callback::Handover) => future(self.closure(at, "destination")?),
                Some(Callback::AnyioTaskGroup) => match self.closure(at, "self")? {
                    Some(group) => {
                        let scope = self.attribute(group, "cancel_scope")?;
                        let host = scope.map(|scope| self.attribute(scope, "_host_task"));
                        self.group(group, host.transpose()?.flatten())?
                    }
                    None => Vec::new(),
                },
                _ => Vec::new(),
            }),
            Kind::Partial => {
                // wait_for up to 3.11: partial(_release_waiter, waiter)
                let function = self.pointer(at.offset(small.partial_fn))?;
                let is_release = match function {
                    Some(function) if self.is_kind(function, Kind::Function) => {
                        Callback::of(&self.function_name(function)?)
                            == Some(Callback::ReleaseWaiter)
                    }
                    _ => false,
                };
                let arguments = match self.pointer(at.offset(small.partial_args))? {
                    Some(arguments) if is_release => self.tuple(arguments)?,
                    _ => Vec::new(),
                };
                Ok(future(arguments.first().copied()))
            }
            Kind::Method => {
                let Some(owner) = self.pointer(at.offset(small.method_self))? else {
                    return Ok(Vec::new());
                };
                match self.callable_name(at).and_then(|name| Callback::of(&name)) {
                    Some(Callback::TaskGroup) => {
                        self.group(owner, self.attribute(owner, "_parent_task")?)
                    }
                    Some(Callback::AsCompletedIterator) => {
                        self.getters(self.attribute(owner, "_done")?)
                    }
                    _ => Ok(Vec::new()),
                }
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The parent of a group's task, and the future on which it waits while it leaves the group.
    fn group(&self, group: Address, parent: Option<Address>) -> Read<Vec<Wake>> {
        let is_task = |at: &Address| self.kind_of(*at).is_ok_and(Kind::is_task);
        let is_future = |at: &Address| self.kind_of(*at).is_ok_and(Kind::is_future);
        let parent = parent.filter(is_task).map(Wake::Parent);
        // anyio has it from 4.8 on; before that the parent is in a `wait` of its own.
        let end = self.attribute(group, "_on_completed_fut")?.filter(is_future).map(Wake::Future);
        Ok(parent.into_iter().chain(end).collect())
    }

    /// The futures of those that wait on an `asyncio.Queue`.
    fn getters(&self, queue: Option<Address>) -> Read<Vec<Wake>> {
        let Some(queue) = queue else { return Ok(Vec::new()) };
        let getters = self.attribute(queue, "_getters")?;
        let getters = match getters {
            Some(getters) => self.deque(getters, MAX_CALLBACKS)?,
            None => Vec::new(),
        };
        Ok(getters.into_iter().map(Wake::Future).collect())
    }
}
