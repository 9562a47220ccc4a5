//! Tasks and their await chains, all together, level by level.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::{ContextFacts, Said};
use crate::layout::Flag;
use crate::memory::{Address, Fault, ReadMemory as _, word};
use crate::python::frame::{Progress, RawFrame};
use crate::python::object::{Class, Kind, MAX_NAME, Read, Reader, Unreadable, is_alive};

/// Coroutines of one chain that are followed: a suspended chain is as deep as the recursion limit
/// lets it be, 1000 unless it was raised.
const MAX_CHAIN: usize = 10_000;
/// Tasks whose chains are followed together. One level of so many chains is some 250 pages, which
/// stay in a core's own cache (1 MiB) until they are decoded; and what belongs to one task is read
/// within a millisecond.
const GROUP: usize = 512;
/// Tasks that are so many bytes apart at most are read in one piece.
const NEAR: u64 = 1024;
/// How much of a future or awaitable is read to see its class and fields.
const FUTURE_LEN: u64 = 112;

/// How far a future or task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FutureState {
    /// Neither result nor exception yet.
    Pending,
    /// Ended by cancellation.
    Cancelled,
    /// Ended with a result.
    Finished,
    /// Ended with an exception.
    Failed,
}

impl fmt::Display for FutureState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
            Self::Failed => "failed",
        })
    }
}

/// What was read of one task.
#[derive(Debug, Clone)]
pub struct TaskFacts {
    /// Its address.
    pub at: Address,
    /// Its class.
    pub class: Arc<Class>,
    /// Its loop.
    pub loop_at: Option<Address>,
    /// How far it is.
    pub state: FutureState,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// Its outermost coroutine.
    pub coro: Option<Address>,
    /// The qualified name of its coroutine; of another awaitable, its class.
    pub coroutine: Option<Arc<str>>,
    /// The future it is parked on.
    pub fut_waiter: Option<Address>,
    /// How far that future is.
    pub waiter_state: Option<FutureState>,
    /// Whether `CancelledError` will be thrown in at its next step.
    pub must_cancel: bool,
    /// How many cancellations were requested and not taken back (3.11 and later).
    pub cancels_requested: Option<u64>,
    /// The message given to `cancel()`, if it is kept.
    pub cancel_message: Option<String>,
    /// Its await chain, outermost first.
    pub chain: Vec<RawFrame>,
    /// Where the chain ends.
    pub end: ChainEnd,
    /// Whether it has a coroutine of whose variables nothing is known.
    pub has_unread_variables: bool,
    /// The frame of the chain that handles a `CancelledError` right now.
    pub handling: Option<usize>,
    /// What its frames say of its work.
    pub said: Said,
    /// Its context.
    pub context_at: Option<Address>,
    /// What that says; absent where it has no variables, and where it may be of another moment.
    pub context: Option<Arc<ContextFacts>>,
    /// Whether somebody may wait for it: without callbacks nobody does.
    pub has_awaiters: bool,
    /// Why it could not be read to its end.
    pub problem: Option<(&'static str, Unreadable)>,
}

/// Where an await chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainEnd {
    /// At a future.
    Future(Address),
    /// At an awaitable that we can't look into; `fut_waiter` still tells the future.
    Opaque,
    /// In a coroutine that has not begun.
    Created,
    /// In a bare `yield`, as `sleep(0)` does.
    Yield,
    /// In a coroutine that runs now.
    Executing,
    /// In a coroutine that has ended, or there is none.
    Finished,
    /// It was not read to its end.
    Unknown,
}

impl TaskFacts {
    /// Whether frames of it may be missing from its chain, or variables of them.
    pub fn is_partly_read(&self) -> bool {
        self.has_unread_variables
            || matches!(self.end, ChainEnd::Opaque | ChainEnd::Executing | ChainEnd::Unknown)
    }

    /// Whether the parts of a task do not fit together: it ran while it was read, or it runs.
    pub fn is_torn(&self) -> bool {
        self.state == FutureState::Pending && !self.is_coherent()
    }

    /// Whether the parts that were read belong together: a chain that ends at a future ends at
    /// the one the task is parked on.
    pub fn is_coherent(&self) -> bool {
        if self.state != FutureState::Pending {
            return true;
        }
        self.problem.is_none()
            && match self.end {
                ChainEnd::Future(future) => {
                    // Between waking up and its next step a task has no waiter any more.
                    self.fut_waiter.is_none_or(|waiter| waiter == future)
                }
                ChainEnd::Unknown => false,
                ChainEnd::Finished => self.coro.is_none(),
                _ => true,
            }
    }
}

/// The tasks that were asked for.
#[derive(Debug, Default)]
pub struct TasksRead {
    /// Those that were read.
    pub tasks: Vec<TaskFacts>,
    /// Those that could not be read at all, and why.
    pub unread: Vec<(Address, Unreadable)>,
    /// How many of those asked for these are about: the first ones, as far as there was room.
    pub count: usize,
}

/// A chain that is being followed: which task, and the object to look at next.
struct OpenChain {
    task: usize,
    at: Address,
    /// Detects a circle: the object at the last power of two of steps.
    landmark: Address,
}

impl Reader<'_> {
    /// Reads the given tasks with their await chains.
    ///
    /// A task that can only partly be read has a `problem`. Ended tasks are left out unless
    /// `finished` asks for them.
    pub fn read_tasks(&self, addresses: &[Address], finished: bool) -> TasksRead {
        self.read_tasks_within(addresses, finished, usize::MAX)
    }

    /// The same of the first of them, until all that was read weighs more than `room` bytes.
    pub fn read_tasks_within(
        &self,
        addresses: &[Address],
        finished: bool,
        room: usize,
    ) -> TasksRead {
        let mut all = TasksRead::default();
        let mut weight = 0;
        for group in addresses.chunks(GROUP) {
            if weight > room {
                break;
            }
            all.count += group.len();
            if !self.memory.limit().may_begin() {
                let late = |&at| (at, Fault::too_late(at, self.layout.task.size).into());
                all.unread.extend(group.iter().map(late));
                continue;
            }
            self.make_room();
            let ranges = group.iter().map(|at| (*at, self.layout.task.size));
            let mut tasks = self.memory.anew(ranges, || {
                let mut tasks = Vec::with_capacity(group.len());
                for &at in group {
                    match self.task(at) {
                        Ok(task) if finished || task.state == FutureState::Pending => {
                            tasks.push(task);
                        }
                        Ok(_) => {}
                        Err(error) => all.unread.push((at, error)),
                    }
                }
                self.read_names(&mut tasks);
                self.follow_chains(&mut tasks);
                self.read_waiters(&mut tasks);
                self.label_tasks(&mut tasks);
                self.read_contexts(&mut tasks);
                tasks
            });
            weight += tasks.iter().map(TaskFacts::weight).sum::<usize>();
            all.tasks.append(&mut tasks);
        }
        all
    }

    /// The outermost coroutine of the task at `at`.
    pub(crate) fn coroutine_of(&self, at: Address) -> Option<Address> {
        self.task(at).ok()?.coro
    }

    /// The fields of one task.
    fn task(&self, at: Address) -> Read<TaskFacts> {
        if !is_alive(self.memory.u64(at)?) {
            return Err(Unreadable::bad(at, "task"));
        }
        let class = self.class_of(at)?;
        match class.kind {
            Kind::Task => self.c_task(at, class),
            Kind::PyTask => self.py_task(at, class),
            _ => Err(Unreadable::bad(at, "task")),
        }
    }

    fn c_task(&self, at: Address, class: Arc<Class>) -> Read<TaskFacts> {
        let fields = &self.layout.task;
        let must_cancel = match fields.must_cancel {
            Flag::Int(offset) => self.memory.i32(at.offset(offset))? != 0,
            Flag::Bit { byte, bit } => self.memory.u8(at.offset(byte))? & 1 << bit != 0,
        };
        let cancels_requested = match fields.num_cancels_requested {
            Some(offset) => u64::try_from(self.memory.i32(at.offset(offset))?).ok(),
            None => None,
        };
        Ok(TaskFacts {
            loop_at: self.pointer(at.offset(self.layout.future.running_loop))?,
            state: self.c_future_state(at)?,
            coro: self.pointer(at.offset(fields.coro))?,
            fut_waiter: self.pointer(at.offset(fields.fut_waiter))?,
            context_at: self.pointer(at.offset(fields.context)).ok().flatten(),
            must_cancel,
            cancels_requested,
            cancel_message: self.cancel_message(at),
            has_awaiters: self.pointer(at.offset(self.layout.future.callback0))?.is_some(),
            ..TaskFacts::empty(at, class)
        })
    }

    fn c_future_state(&self, at: Address) -> Read<FutureState> {
        let fields = &self.layout.future;
        Ok(match self.memory.i32(at.offset(fields.state))? {
            0 => FutureState::Pending,
            1 => FutureState::Cancelled,
            2 if self.pointer(at.offset(fields.exception))?.is_some() => FutureState::Failed,
            2 => FutureState::Finished,
            _ => return Err(Unreadable::bad(at, "future")),
        })
    }

    fn cancel_message(&self, at: Address) -> Option<String> {
        let offset = self.layout.future.cancel_msg?;
        let message = self.pointer(at.offset(offset)).ok()??;
        match self.kind_of(message).ok()? {
            Kind::None => None,
            Kind::Str => self.str(message, MAX_NAME).ok(),
            _ => Some(self.repr(message)),
        }
    }

    /// A pure-Python task: everything is in its instance dictionary.
    fn py_task(&self, at: Address, class: Arc<Class>) -> Read<TaskFacts> {
        let [loop_at, coro, fut_waiter, must_cancel, requested, name, message] = self
            .attributes_named(
                at,
                [
                    "_loop",
                    "_coro",
                    "_fut_waiter",
                    "_must_cancel",
                    "_num_cancels_requested",
                    "_name",
                    "_cancel_message",
                ],
            )?
            .map(|value| value.filter(|&at| !self.is_kind(at, Kind::None)));
        let requested = requested.and_then(|at| self.int(at).ok());
        Ok(TaskFacts {
            loop_at,
            state: self.py_future_state(at)?,
            name: name.and_then(|at| self.name(at).ok()),
            coro,
            fut_waiter,
            context_at: self.attribute(at, "_context").ok().flatten(),
            must_cancel: must_cancel.is_some_and(|at| self.int(at) == Ok(1)),
            cancels_requested: requested.and_then(|count| u64::try_from(count).ok()),
            cancel_message: message.map(|at| self.str(at, MAX_NAME).unwrap_or_default()),
            has_awaiters: true,
            ..TaskFacts::empty(at, class)
        })
    }

    fn py_future_state(&self, at: Address) -> Read<FutureState> {
        // `_state` is an attribute of the class until it changes.
        let [state, exception] = self.attributes_named(at, ["_state", "_exception"])?;
        let Some(state) = state else { return Ok(FutureState::Pending) };
        Ok(match &*self.name(state)? {
            "PENDING" => FutureState::Pending,
            "CANCELLED" => FutureState::Cancelled,
            "FINISHED" if exception.is_some_and(|at| !self.is_kind(at, Kind::None)) => {
                FutureState::Failed
            }
            "FINISHED" => FutureState::Finished,
            _ => return Err(Unreadable::bad(at, "future")),
        })
    }

    /// How far the future or task at `at` is; `None` for other objects.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn future_state(&self, at: Address) -> Read<Option<FutureState>> {
        match self.kind_of(at)? {
            Kind::Task | Kind::Future => self.c_future_state(at).map(Some),
            Kind::PyTask | Kind::PyFuture => self.py_future_state(at).map(Some),
            _ => Ok(None),
        }
    }

    fn read_names(&self, tasks: &mut [TaskFacts]) {
        let offset = self.layout.task.name;
        let names: Vec<(usize, Address)> = tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| task.class.kind == Kind::Task)
            .filter_map(|(i, task)| Some((i, self.pointer(task.at.offset(offset)).ok()??)))
            .collect();
        self.memory.prefetch(names.iter().map(|(_, at)| (*at, 80)));
        for (i, at) in names {
            if let Some(task) = tasks.get_mut(i) {
                match self.label(at) {
                    Ok(name) => task.name = Some(name),
                    Err(error) => task.problem = Some(("name", error)),
                }
            }
        }
    }

    /// Follows all chains, one level of all of them at a time.
    fn follow_chains(&self, tasks: &mut [TaskFacts]) {
        let mut steps: Vec<OpenChain> = tasks
            .iter()
            .enumerate()
            .filter_map(|(task, facts)| {
                let at = facts.coro?;
                Some(OpenChain { task, at, landmark: Address::NULL })
            })
            .collect();
        let mut level: usize = 0;
        while !steps.is_empty() {
            self.prefetch_generators(steps.iter().map(|step| step.at));
            if level == 0 {
                for step in &steps {
                    if let Some(task) = tasks.get_mut(step.task) {
                        task.coroutine = self.coroutine_name(step.at);
                    }
                }
            }
            level += 1;
            steps.retain_mut(|step| {
                let Some(task) = tasks.get_mut(step.task) else { return false };
                match self.chain_step(task, step.at) {
                    Ok(Ok(next)) if next == step.landmark || level > MAX_CHAIN => {
                        let what = "await chain without end";
                        task.problem = Some(("await chain", Unreadable::bad(next, what)));
                        false
                    }
                    Ok(Ok(next)) => {
                        if level.is_power_of_two() {
                            step.landmark = next;
                        }
                        step.at = next;
                        true
                    }
                    Ok(Err(end)) => {
                        task.end = end;
                        false
                    }
                    Err(error) => {
                        task.problem = Some(("await chain", error));
                        false
                    }
                }
            });
        }
    }

    /// The qualified name of a coroutine; of another awaitable, its class.
    fn coroutine_name(&self, at: Address) -> Option<Arc<str>> {
        let class = self.class_of(at).ok()?;
        match class.kind {
            Kind::Coroutine | Kind::Generator | Kind::AsyncGenerator => {
                let name = self.pointer(at.offset(self.layout.generator.qualname)).ok()??;
                self.name(name).ok()
            }
            _ => {
                let compiled = self.compiled(&class, at).ok().flatten().map(|it| it.frame);
                let frame = compiled.or_else(|| self.unknown_coroutine(&class, at));
                let place = frame.and_then(|frame| self.place_of(&frame).ok());
                let name = place.map(|place| Arc::clone(&place.function));
                name.or_else(|| Some(self.class_name(&class)))
            }
        }
    }

    /// Looks at one object of a chain: the next one, or the end.
    fn chain_step(&self, task: &mut TaskFacts, at: Address) -> Read<Result<Address, ChainEnd>> {
        let class = self.class_of(at)?;
        match class.kind {
            Kind::Coroutine | Kind::Generator | Kind::AsyncGenerator => {
                let generator = self.generator(at)?;
                if let Some(frame) = generator.frame {
                    if self.is_cancelled_error(generator.handled) {
                        task.handling = Some(task.chain.len());
                    }
                    task.chain.push(frame);
                    if matches!(generator.progress, Progress::Awaiting(_)) {
                        task.chain.extend(self.frames_of_greenlet(&frame));
                    }
                }
                Ok(match generator.progress {
                    Progress::Awaiting(next) => Ok(next),
                    Progress::Created => Err(ChainEnd::Created),
                    // The bare `yield` of `sleep(0)` is in a generator: an `async def` has none but
                    // in what it awaits, so this one was running. Test: `leftovers::iterated`.
                    Progress::Suspended if class.kind == Kind::Coroutine => Err(ChainEnd::Unknown),
                    Progress::Suspended => Err(ChainEnd::Yield),
                    Progress::Executing => Err(ChainEnd::Executing),
                    Progress::Finished => Err(ChainEnd::Finished),
                })
            }
            Kind::FutureIter => {
                let future = self.pointer(at.offset(self.layout.awaitable.future_iter))?;
                Ok(Err(future.map_or(ChainEnd::Opaque, ChainEnd::Future)))
            }
            kind if kind.is_future() => Ok(Err(ChainEnd::Future(at))),
            kind => Ok(match self.inner_awaitable(at, kind)? {
                Some(inner) => Ok(inner),
                None => self.compiled_step(task, &class, at)?,
            }),
        }
    }

    /// The same of an object that a compiler has made.
    fn compiled_step(
        &self,
        task: &mut TaskFacts,
        class: &Class,
        at: Address,
    ) -> Read<Result<Address, ChainEnd>> {
        if let Some(compiled) = self.compiled(class, at)? {
            task.chain.push(compiled.frame);
            return Ok(compiled.awaited.ok_or(ChainEnd::Opaque));
        }
        if let Some(frame) = self.unknown_coroutine(class, at) {
            // Nuitka's wrapper only passes on.
            if !class.name.ends_with("coroutine_wrapper") {
                task.chain.push(frame);
            }
            task.has_unread_variables = true;
            let next = task.fut_waiter.and_then(|future| self.unknown_awaits(class, at, future));
            return Ok(next.ok_or(ChainEnd::Opaque));
        }
        Ok(self.compiled_awaitable(class, at)?.ok_or(ChainEnd::Opaque))
    }

    /// Whether the exception at `at` is a `CancelledError`.
    pub fn is_cancelled_error(&self, at: Address) -> bool {
        if at.is_null() {
            return false;
        }
        self.class_of(at).is_ok_and(|class| {
            class.kind == Kind::Exception && self.is_subclass_named(&class, "CancelledError")
        })
    }

    fn read_waiters(&self, tasks: &mut [TaskFacts]) {
        let waiters = tasks.iter().filter_map(|task| task.fut_waiter);
        self.memory.prefetch(waiters.map(|at| (at, FUTURE_LEN)));
        for task in tasks {
            let Some(waiter) = task.fut_waiter else { continue };
            match self.future_state(waiter) {
                Ok(state) => task.waiter_state = state,
                Err(error) => task.problem = Some(("awaited future", error)),
            }
        }
    }
}

impl TaskFacts {
    /// How much memory it takes, about.
    fn weight(&self) -> usize {
        let texts =
            [&self.name, &self.coroutine].map(|text| text.as_ref().map_or(0, |it| it.len()));
        let context = self.context.as_ref().map_or(0, |facts| size_of_val(&facts.others[..]));
        size_of::<Self>() + size_of_val(&self.chain[..]) + context + texts.iter().sum::<usize>()
    }

    fn empty(at: Address, class: Arc<Class>) -> Self {
        Self {
            at,
            class,
            loop_at: None,
            state: FutureState::Pending,
            name: None,
            coro: None,
            coroutine: None,
            fut_waiter: None,
            waiter_state: None,
            must_cancel: false,
            cancels_requested: None,
            cancel_message: None,
            chain: Vec::new(),
            end: ChainEnd::Unknown,
            has_unread_variables: false,
            handling: None,
            said: Said::Nothing,
            context_at: None,
            context: None,
            has_awaiters: false,
            problem: None,
        }
    }
}

impl Reader<'_> {
    /// Which of some tasks are not any more what was read of them, or have parts that do not fit
    /// together; `with_names` of those whose names must be the same as well.
    pub fn moved(
        &self,
        tasks: &[TaskFacts],
        some: &[usize],
        with_names: bool,
    ) -> FxHashSet<Address> {
        let fields = &self.layout.task;
        let mut some: Vec<&TaskFacts> = some.iter().filter_map(|&i| tasks.get(i)).collect();
        some.sort_unstable_by_key(|task| task.at);
        // Tasks lie side by side in the pages that Python has for objects of their size: one vector of
        // many costs the kernel much less than many.
        let mut runs: Vec<Range<u64>> = Vec::new();
        let mut places = Vec::with_capacity(some.len());
        let mut offset = 0;
        for task in &some {
            let (start, end) = (task.at.0, task.at.0.saturating_add(fields.size));
            match runs.last_mut() {
                Some(run) if start <= run.end.saturating_add(NEAR) => {
                    run.end = run.end.max(end);
                }
                last => {
                    offset += last.map_or(0, |run| run.end - run.start);
                    runs.push(start..end);
                }
            }
            let begun = runs.last().map_or(start, |run| run.start);
            places.push((runs.len() - 1, offset + (start - begun)));
        }
        let total = offset + runs.last().map_or(0, |run| run.end - run.start);
        let mut bytes = vec![0; usize::try_from(total).unwrap_or(0)];
        let mut failed = FxHashSet::default();
        self.memory.source().read_many(&runs, &mut bytes, &mut |run| {
            failed.insert(run);
        });
        let mut moved = FxHashSet::default();
        for (task, (run, place)) in some.into_iter().zip(places) {
            let word = |offset: u64| word(&bytes, place + offset);
            // Of a pure-Python task this tells only that it is still there.
            let is_c = task.class.kind == Kind::Task;
            let is_same = word(0).is_some_and(is_alive)
                && word(self.layout.object.ob_type) == Some(task.class.at.0)
                && (!is_c
                    || word(fields.coro) == Some(task.coro.unwrap_or_default().0)
                        && word(fields.fut_waiter) == Some(task.fut_waiter.unwrap_or_default().0)
                        && word(self.layout.future.running_loop)
                            == Some(task.loop_at.unwrap_or_default().0));
            let name = word(fields.name).map(Address).unwrap_or_default();
            let is_same = is_same && (!with_names || !is_c || self.has_same_name(task, name));
            if failed.contains(&run) || !is_same || task.is_torn() {
                moved.insert(task.at);
            }
        }
        moved
    }

    /// The name of the task at `at`, for a mention of it.
    pub fn task_name(&self, at: Address) -> Option<Arc<str>> {
        let name = match self.kind_of(at).ok()? {
            Kind::Task => self.pointer(at.offset(self.layout.task.name)).ok()??,
            Kind::PyTask => self.attribute(at, "_name").ok()??,
            _ => return None,
        };
        self.label(name).ok()
    }
}
