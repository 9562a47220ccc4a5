//! Why each task waits.
//!
//! A parked task is explained by the innermost frames of asyncio's own code on its await chain
//! (which function, and the objects in its variables), and by the future it is parked on (its
//! class, its callbacks, what else refers to it). Everything that is common to many tasks, the
//! line in front of a lock, who holds it, what a loop's descriptors wait for, is read once.

mod anyio;
mod enclosed;
mod holders;
mod island;
mod lent;
mod limits;
mod pool;
mod returned;
mod sleeps;
mod subprocesses;
mod unfinished;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rustc_hash::{FxHashMap, FxHashSet};

use self::sleeps::Sleep;
use super::executors::{Limit, Pools};
use crate::asyncio::Reading;
use crate::asyncio::{Direction, Endpoint, FutureState, LimiterFacts, TaskFacts};
use crate::known::pool::Pool;
use crate::known::purpose::{Anyio, Module, Purpose, Wait};
use crate::memory::Address;
use crate::process::{Described, System};
use crate::python::frame::RawFrame;
use crate::python::object::{Kind, Reader};
use crate::snapshot::{
    self, Acquire, BETWEEN_LOOKS, Children, Count, Deadline, Descriptor, Holders, Operation,
    Others, Position, Program, Task, ThreadState, Waiting,
};

/// Tasks whose variables are fetched together.
const GROUP: usize = 512;
/// How much of a frame holds its first variables.
const FRAME_LEN: u64 = 256;
/// How much of a small object holds its fields.
const OBJECT_LEN: u64 = 96;
/// Frames of library code between a task's own code and its future: `Barrier.wait` has four.
const MAX_LIBRARY_FRAMES: usize = 8;
/// Attributes of one object that are searched for the thing a task waits for.
const MAX_ATTRIBUTES: u64 = 512;
/// Global variables of one module that are searched for it.
const MAX_GLOBALS: u64 = 4096;
/// Callbacks of one future that are named.
const MAX_CALLBACKS: usize = 8;
/// How many frames are asked for a name.
const MAX_NAMING: usize = 3;

/// What explains the tasks of one reading.
pub(crate) struct Reasons<'a> {
    reader: Reader<'a>,
    reading: &'a Reading,
    /// The frames of each task: of the running ones as its thread has them.
    chains: &'a [&'a [RawFrame]],
    /// Each ready task's place in the queue of its loop, from 1, and the queue's length.
    queue: FxHashMap<Address, (u64, u64)>,
    /// The sleeps of this group of tasks, to be read again.
    sleeps: RefCell<Vec<Sleep>>,
    functions: RefCell<FxHashMap<Address, Function>>,
    lines: RefCell<FxHashMap<(Address, &'static str), Rc<Line>>>,
    names: RefCell<Names>,
    /// The global variables of each module, by what they are bound to.
    globals: RefCell<FxHashMap<Address, Rc<FxHashMap<Address, Address>>>>,
    /// What futures wait for at descriptors, by loop.
    endpoints: RefCell<FxHashMap<Address, Rc<FxHashMap<Address, Endpoint>>>>,
    holders: OnceCell<FxHashMap<Address, Holders>>,
    /// What tasks give back when they end.
    lent: OnceCell<lent::Lent>,
    pools: &'a Pools,
    /// Whether what only findings rest on is asked for.
    evidence: bool,
    /// The loops whose times are not of the machine's clock: what is due in them nobody knows.
    foreign_clocks: FxHashSet<Address>,
    /// Whether the program is on its way out.
    pub(crate) is_ending: bool,
    /// The loops that things belong to, with their classes' names.
    things: RefCell<FxHashMap<Address, Thing>>,
    /// The limits of anyio that were met, `None` for those with tokens that are not for calls in
    /// threads.
    limits: RefCell<FxHashMap<Address, Option<Limit>>>,
    /// The libraries' pools of connections that tasks wait at.
    connection_pools: RefCell<FxHashMap<Address, Option<Rc<pool::Known>>>>,
    /// What is called when a future is done: asked once, however many tasks wait for it.
    called: RefCell<FxHashMap<Address, Rc<Called>>>,
    /// The tasks that wait for a process or at a pipe of one, by its transport.
    subprocesses: RefCell<FxHashMap<Address, Vec<Address>>>,
    /// The things that name their holders themselves, whom nothing lets wait for them again.
    naming: RefCell<FxHashSet<Address>>,
}

/// What is called when a future is done.
#[derive(Debug, Default)]
struct Called {
    /// The future that it shields.
    shielded: Option<Address>,
    /// The tasks that it wakes; `None` where its callbacks cannot be read.
    wakes: Option<FxHashSet<Address>>,
    /// The first callbacks: the task whose next step it is, and its name in words.
    first: Vec<(Option<Address>, Option<String>)>,
}

/// Variables of its own frames in which a task may have the future it waits for.
const MAX_VARIABLES: u64 = 4;

/// By which name the frame at an instruction of a code object knows an object.
type Names = FxHashMap<(Address, i64, Address), Option<Rc<str>>>;

/// Those that wait at one thing.
#[derive(Debug, Default)]
struct Line {
    /// Each future's place, from 1.
    positions: FxHashMap<Address, u64>,
}

/// What is known of a function.
#[derive(Debug, Clone, Copy)]
struct Function {
    wait: Option<Wait>,
    anyio: Option<Anyio>,
    pool: Option<&'static Pool>,
    is_in_line: bool,
    /// What it waits for by its library's own account.
    expects: Option<&'static str>,
    is_asyncio: bool,
    /// Whether it has blocks that hold something.
    has_contexts: bool,
}

/// A thing that tasks wait for.
#[derive(Debug, Clone)]
struct Thing {
    class: Option<Arc<str>>,
    loop_at: Option<Address>,
}

/// A frame of a chain with what its function does.
#[derive(Debug, Clone, Copy)]
struct Step<'t> {
    wait: Option<Wait>,
    anyio: Option<Anyio>,
    /// The pool of connections that it gets one of.
    pool: Option<&'static Pool>,
    /// Whether it waits for that.
    is_in_line: bool,
    /// What it waits for by its library's own account.
    expects: Option<&'static str>,
    is_asyncio: bool,
    has_contexts: bool,
    frame: &'t RawFrame,
}

impl<'a> Reasons<'a> {
    /// Reads what is common to all tasks.
    pub(crate) fn new(
        reader: &Reader<'a>,
        reading: &'a Reading,
        chains: &'a [&'a [RawFrame]],
        pools: &'a Pools,
        evidence: bool,
    ) -> Self {
        let mut queue = FxHashMap::default();
        for facts in &reading.loops {
            let len = facts.ready_callbacks.len() as u64;
            for (place, &callback) in (1..).zip(&facts.ready_callbacks) {
                if let Some(task) = reader.stepped_task(callback) {
                    queue.entry(task).or_insert((place, len));
                }
            }
        }
        Self {
            reader: *reader,
            reading,
            chains,
            queue,
            sleeps: RefCell::default(),
            functions: RefCell::default(),
            lines: RefCell::default(),
            names: RefCell::default(),
            globals: RefCell::default(),
            endpoints: RefCell::default(),
            holders: OnceCell::new(),
            lent: OnceCell::new(),
            pools,
            evidence,
            is_ending: false,
            limits: RefCell::default(),
            connection_pools: RefCell::default(),
            called: RefCell::default(),
            subprocesses: RefCell::default(),
            naming: RefCell::default(),
            foreign_clocks: {
                let foreign = reading.loops.iter().filter(|facts| !facts.has_machine_clock);
                foreign.map(|facts| facts.at).collect()
            },
            things: RefCell::default(),
        }
    }

    /// The limits of anyio at which calls for threads wait, as far as tasks were explained.
    pub(crate) fn limits(self) -> Vec<Limit> {
        self.limits.into_inner().into_values().flatten().collect()
    }

    /// Why each of the tasks waits, in their order; `None` for those that have ended or are not
    /// wanted.
    pub(crate) fn explain_all(
        &self,
        wanted: &[bool],
        is_running: &dyn Fn(usize) -> bool,
    ) -> Vec<Option<Box<Waiting>>> {
        let mut all = Vec::with_capacity(self.reading.tasks.len());
        for (group, tasks) in (0..).step_by(GROUP).zip(self.reading.tasks.chunks(GROUP)) {
            let is_wanted = |i: usize| wanted.get(i).is_some_and(|wanted| *wanted);
            let wanted = (group..).zip(tasks).filter(|(i, _)| is_wanted(*i));
            self.prefetch(&wanted.map(|(_, task)| task).collect::<Vec<_>>());
            for (i, task) in (group..).zip(tasks) {
                all.push(is_wanted(i).then(|| self.explain(task, is_running(i))).flatten());
            }
            let moved = self.moved_sleeps();
            let of_group = all.iter_mut().skip(group).zip(tasks);
            for (waiting, _) in of_group.filter(|(_, task)| moved.contains(&task.at)) {
                if let Some(waiting) = waiting {
                    waiting.since = None;
                }
            }
        }
        all
    }

    /// The tasks that wait at a thing by what was read of them, and have it by what was read of it:
    /// between the two they went on.
    pub(crate) fn went_on(&self, all: &[Option<Box<Waiting>>]) -> FxHashSet<Address> {
        let tasks = self.reading.tasks.iter().map(|task| task.at).zip(all);
        let waits = tasks.filter_map(|(task, waiting)| Some((task, waiting.as_deref()?)));
        holding_what_they_wait_for(&self.naming.borrow(), waits)
    }

    /// For locks and semaphores that are taken and of which too few holders are seen: the tasks
    /// that may hold them by a bare `acquire`.
    pub(crate) fn suspects(
        &self,
        all: &[Option<Box<Waiting>>],
    ) -> FxHashMap<Address, Arc<[Address]>> {
        let is_unexplained = |waiting: &&Waiting| match &waiting.wait {
            snapshot::Wait::Semaphore {
                acquire,
                permits: Count { value: Some(value), limit: Some(limit) },
            } => value + i64::try_from(acquire.holders.len()).unwrap_or(i64::MAX) < *limit,
            snapshot::Wait::Lock(acquire) | snapshot::Wait::Semaphore { acquire, .. } => {
                acquire.holders.is_empty()
            }
            _ => false,
        };
        let unexplained = all.iter().filter_map(Option::as_deref).filter(is_unexplained);
        let things: FxHashSet<Address> = unexplained.filter_map(|waiting| waiting.object).collect();
        if things.is_empty() {
            return FxHashMap::default();
        }
        let tasks = self.reading.tasks.iter().map(|task| task.at);
        let waits: FxHashMap<Address, Option<Address>> =
            tasks.zip(all.iter().map(|waiting| waiting.as_ref()?.object)).collect();
        let mut suspects = self.read_suspects(&things);
        for (thing, tasks) in &mut suspects {
            // Whoever waits at it is not the one that has it.
            tasks.retain(|task| waits.get(task).copied().flatten() != Some(*thing));
        }
        suspects.into_iter().map(|(thing, tasks)| (thing, tasks.into())).collect()
    }

    /// Notes which locks and semaphores without a holder a timer or another callback refers to, and
    /// may give back; each of them where that cannot be told.
    pub(crate) fn note_returned(&self, all: &mut [Option<Box<Waiting>>]) {
        let lost = |waiting: &Waiting| {
            let acquire = waiting.acquire()?;
            waiting.object.filter(|_| acquire.holders.is_empty())
        };
        let things: FxHashSet<Address> =
            all.iter().filter_map(|waiting| lost(waiting.as_deref()?)).collect();
        if things.is_empty() || !self.evidence {
            return;
        }
        let returned = self.read_returned(&things);
        for waiting in all.iter_mut().filter_map(Option::as_deref_mut) {
            let Some(thing) = lost(waiting) else { continue };
            let may_be = returned.as_ref().is_none_or(|returned| returned.contains(&thing));
            if let Some(acquire) = waiting.acquire_mut() {
                acquire.may_be_returned = Some(may_be);
            }
        }
    }

    /// Reads what the tasks of a group need, in few calls.
    fn prefetch(&self, tasks: &[&TaskFacts]) {
        let memory = self.reader.memory;
        self.reader.make_room();
        let innermost = || tasks.iter().flat_map(|task| task.chain.iter().rev().take(2));
        memory.prefetch(innermost().map(|frame| (frame.at, FRAME_LEN)));
        let futures = || tasks.iter().filter_map(|task| task.fut_waiter);
        memory.prefetch(futures().map(|at| (at, 112)));
        let mut timers = Vec::new();
        for task in tasks {
            let Some(frame) = task.chain.last() else { continue };
            if self.wait(frame) == Some(Wait::Sleep) {
                timers.extend(self.reader.local(frame, "h").ok().flatten());
            }
        }
        memory.prefetch(timers.iter().map(|at| (*at, OBJECT_LEN)));
        let whens = timers.iter().filter_map(|&at| self.reader.timer_when_object(at));
        memory.prefetch(whens.map(|at| (at, 24)));
    }

    /// What is known of the function of a frame, looked up once for all frames of it.
    fn function(&self, frame: &RawFrame) -> Function {
        let of_compiled = || frame.qualname.non_null().unwrap_or(frame.generator);
        let key = frame.code.non_null().unwrap_or_else(of_compiled);
        if let Some(&function) = self.functions.borrow().get(&key) {
            return function;
        }
        let place = self.reader.place_of(frame).ok();
        let purpose = place.as_ref().and_then(|place| place.purpose());
        let (wait, anyio) = match purpose {
            Some(Purpose::Wait(wait)) => (Some(wait), None),
            Some(Purpose::Anyio(anyio)) => (None, Some(anyio)),
            _ => (None, None),
        };
        let pool = match purpose {
            Some(Purpose::Acquires(pool)) => Some(pool),
            _ => None,
        };
        let is_in_line = purpose == Some(Purpose::InLine);
        let expects = match purpose {
            Some(Purpose::Expects(what)) => Some(what),
            _ => None,
        };
        let is_asyncio = place.is_some_and(|place| place.is_asyncio());
        let has_contexts = self.reader.has_contexts(frame).unwrap_or(false);
        let function =
            Function { wait, anyio, pool, is_in_line, expects, is_asyncio, has_contexts };
        self.functions.borrow_mut().insert(key, function);
        function
    }

    fn step<'t>(&self, frame: &'t RawFrame) -> Step<'t> {
        let Function { wait, anyio, pool, is_in_line, expects, is_asyncio, has_contexts } =
            self.function(frame);
        Step { wait, anyio, pool, is_in_line, expects, is_asyncio, has_contexts, frame }
    }

    fn wait(&self, frame: &RawFrame) -> Option<Wait> {
        self.function(frame).wait
    }

    fn explain(&self, task: &TaskFacts, is_running: bool) -> Option<Box<Waiting>> {
        if task.state != FutureState::Pending {
            return None;
        }
        let waiting = if is_running {
            snapshot::Wait::Running.into()
        } else if let Some(&(at, of)) = self.queue.get(&task.at) {
            let mut ready = snapshot::Wait::Ready(Position { at: Some(at), of: Some(of) }).into();
            // Whether a time limit has cancelled it.
            if task.must_cancel || task.waiter_state == Some(FutureState::Cancelled) {
                let steps: Vec<_> = task.chain.iter().rev().map(|it| self.step(it)).collect();
                self.add_deadlines(task, &steps, &mut ready);
            }
            ready
        } else {
            self.parked(task)
        };
        Some(Box::new(waiting))
    }

    /// Why a task waits that is neither running nor ready.
    fn parked(&self, task: &TaskFacts) -> Waiting {
        // Innermost first.
        let all = task.chain.iter().rev().map(|frame| self.step(frame));
        let all: Vec<Step<'_>> = all.collect();
        // Without `_asyncio`, as in sub-interpreters up to 3.11, a future's wait is a frame.
        let first = all.iter().take_while(|step| step.wait == Some(Wait::Future)).count();
        let steps = all.get(first..).unwrap_or_default();
        let steps = steps.get(..MAX_LIBRARY_FRAMES).unwrap_or(steps);
        let mut waiting = self
            .by_pool(task, steps)
            .or_else(|| self.by_anyio(task, steps))
            .or_else(|| self.by_frames(task, steps))
            .or_else(|| self.pools.wait_of(&self.reader, self.reading, task.fut_waiter?))
            .or_else(|| self.by_limiter(task))
            .or_else(|| self.by_call(steps))
            .or_else(|| self.by_io(task, steps))
            .or_else(|| self.by_future(task, steps.first().and_then(|step| step.expects)))
            .unwrap_or_default();
        if waiting.name.is_none()
            && let Some(object) = waiting.object
        {
            waiting.name = self.name_outside(steps.iter().map(|step| step.frame), object);
        }
        let thing = waiting.object.map(|object| self.thing(object));
        waiting.foreign_loop = self.foreign_loop(task, thing.as_ref());
        waiting.class = waiting.class.or_else(|| thing?.class);
        self.add_deadlines(task, &all, &mut waiting);
        waiting
    }

    /// The loop of the thing a task waits for, when that is not the task's own.
    fn foreign_loop(&self, task: &TaskFacts, thing: Option<&Thing>) -> Option<Address> {
        let reader = &self.reader;
        let own = task.loop_at?;
        let future = task.fut_waiter.and_then(|future| reader.future_loop(future));
        let is_other = |at: &Address| *at != own && !reader.is_kind(*at, Kind::None);
        future.filter(is_other).or_else(|| thing?.loop_at.filter(is_other))
    }

    /// What is known of a thing that tasks wait for, read once for all of them.
    fn thing(&self, at: Address) -> Thing {
        if let Some(thing) = self.things.borrow().get(&at) {
            return thing.clone();
        }
        let reader = &self.reader;
        let thing = Thing {
            class: reader.class_of(at).ok().map(|class| reader.class_name(&class)),
            loop_at: reader.attribute(at, "_loop").ok().flatten(),
        };
        self.things.borrow_mut().insert(at, thing.clone());
        thing
    }

    /// From the innermost frames, when they are asyncio's own.
    fn by_frames(&self, task: &TaskFacts, steps: &[Step<'_>]) -> Option<Waiting> {
        let [inner, rest @ ..] = steps else { return None };
        let outer = |wait| rest.iter().take_while(|s| s.is_asyncio).find(|s| s.wait == Some(wait));
        let own = |step: &Step<'_>, name| self.reader.local(step.frame, name).ok().flatten();
        // `shutdown_asyncgens` and its like wait through others of asyncio's functions.
        if steps.iter().take_while(|s| s.is_asyncio).any(|s| s.wait == Some(Wait::Asyncgens)) {
            return Some(snapshot::Wait::Asyncgen.into());
        }
        match inner.wait? {
            Wait::Sleep => {
                let timer = own(inner, "h");
                let left = timer.and_then(|timer| self.left(task, timer));
                Some(Waiting {
                    due_in: left.and_then(|left| SignedDuration::try_from_secs_f64(left).ok()),
                    since: timer.and_then(|timer| self.slept(task, inner.frame, timer)),
                    ..snapshot::Wait::Timer.into()
                })
            }
            Wait::Get if outer(Wait::AsCompleted).is_some() => {
                let (operation, others) = (Some(Operation::AsCompleted), Others::default());
                Some(snapshot::Wait::Task { operation, others }.into())
            }
            Wait::Get => self.queue_wait(task, own(inner, "self")?, Operation::Get),
            Wait::Put => self.queue_wait(task, own(inner, "self")?, Operation::Put),
            Wait::Event => match outer(Wait::Join) {
                Some(join) => self.queue_wait(task, own(join, "self")?, Operation::Join),
                None => self
                    .by_limiter(task)
                    .or_else(|| self.by_stream_event(task, rest))
                    .or_else(|| Some(self.event(task, own(inner, "self")?))),
            },
            Wait::Condition | Wait::Barrier => match outer(Wait::Barrier) {
                Some(barrier) => Some(self.barrier(own(barrier, "self")?)),
                None if inner.wait == Some(Wait::Barrier) => {
                    Some(self.barrier(own(inner, "self")?))
                }
                None => Some(self.condition(task, own(inner, "self")?)),
            },
            Wait::Lock => Some(self.lock(task, own(inner, "self")?)),
            Wait::Semaphore => Some(self.semaphore(task, own(inner, "self")?, steps)),
            Wait::TaskGroup => Some(self.group(own(inner, "self")?)),
            Wait::Wait => {
                let things = own(inner, "fs").and_then(|at| self.reader.items_of(at).ok());
                let is_own = things.as_ref().is_some_and(|things| things.contains(&task.at));
                let others = Others {
                    // Others' awaiters do not tell of one that awaits itself.
                    tasks: if is_own { vec![task.at] } else { Vec::new() },
                    children: things.map(|things| self.count(&things)),
                };
                Some(Waiting {
                    due_in: own(inner, "timeout_handle").and_then(|timer| self.due_in(task, timer)),
                    // There is a limit, also where nobody knows when it ends.
                    deadlines: own(inner, "timeout_handle")
                        .filter(|_| self.has_own_clock(task))
                        .map(|_| Deadline { frame: None, due_in: None })
                        .into_iter()
                        .collect(),
                    ..snapshot::Wait::Task { operation: Some(Operation::Wait), others }.into()
                })
            }
            // From 3.12 on `wait_for` awaits the thing itself: then its future tells.
            Wait::WaitFor | Wait::CancelAndWait if task.fut_waiter == own(inner, "waiter") => {
                let children = own(inner, "fut").map(|future| self.count(&[future]));
                let others = Others { tasks: Vec::new(), children };
                Some(Waiting {
                    due_in: own(inner, "timeout_handle").and_then(|timer| self.due_in(task, timer)),
                    ..snapshot::Wait::Task { operation: Some(Operation::WaitFor), others }.into()
                })
            }
            _ => None,
        }
    }

    /// From a limit of anyio, which stands before its worker threads or is used by itself.
    fn by_limiter(&self, task: &TaskFacts) -> Option<Waiting> {
        let limiter = self.reader.capacity_limiter(&task.chain)?;
        let borrowed = i64::try_from(limiter.borrowed?).ok()?;
        let limit = limiter.total.and_then(|total| i64::try_from(total).ok());
        let is_task = |at: &Address| self.reader.kind_of(*at).is_ok_and(Kind::is_task);
        let position = Position { at: limiter.position, of: limiter.waiters };
        let call = limiter.call.as_ref().filter(|_| self.is_pool(task, &limiter));
        let wait = if let Some(call) = call {
            let function = call.function.clone();
            snapshot::Wait::Executor { function, thread: None, position }
        } else {
            self.naming.borrow_mut().insert(limiter.at);
            let holders = limiter.borrowers.into_iter().filter(is_task).collect();
            snapshot::Wait::Semaphore {
                acquire: Acquire { holders, position, ..Acquire::default() },
                permits: Count { value: limit.map(|limit| limit - borrowed), limit },
            }
        };
        Some(Waiting { object: Some(limiter.at), ..wait.into() })
    }

    /// From anyio's call in a thread, which no thread has yet, or any more.
    fn by_call(&self, steps: &[Step<'_>]) -> Option<Waiting> {
        let call = self.reader.limited_call(std::slice::from_ref(steps.first()?.frame))?;
        let position = Position::default();
        Some(snapshot::Wait::Executor { function: call.function, thread: None, position }.into())
    }

    /// From the event of a connection's protocol at which anyio's streams wait.
    fn by_stream_event(&self, task: &TaskFacts, outside: &[Step<'_>]) -> Option<Waiting> {
        let code = self.reader.code(outside.first()?.frame.code).ok()?;
        let is_of_anyio = code.place.module() == Some(Module::Anyio);
        is_of_anyio.then(|| self.by_io(task, &[]))?
    }

    /// Whether the tokens of a limiter are all for calls in threads, so that it stands for a pool
    /// of as many.
    fn is_pool(&self, task: &TaskFacts, facts: &LimiterFacts) -> bool {
        if let Some(known) = self.limits.borrow().get(&facts.at) {
            return known.is_some();
        }
        let borrowers: FxHashSet<Address> = facts.borrowers.iter().copied().collect();
        let tasks = self.reading.tasks.iter().zip(self.chains);
        let calling = tasks.filter(|(task, chain)| {
            borrowers.contains(&task.at) && self.reader.limited_call(chain).is_some()
        });
        let limit = (calling.count() == borrowers.len()).then(|| Limit {
            facts: facts.clone(),
            name: self.name_outside(task.chain.iter().rev(), facts.at),
        });
        let is_pool = limit.is_some();
        self.limits.borrow_mut().insert(facts.at, limit);
        is_pool
    }

    /// From a descriptor or process: by asyncio's frames, or by what the loop watches.
    fn by_io(&self, task: &TaskFacts, steps: &[Step<'_>]) -> Option<Waiting> {
        let own = steps.iter().take_while(|step| step.is_asyncio && step.wait.is_none());
        let by_frame = || own.clone().find_map(|step| self.reader.io_of_frame(step.frame));
        let endpoint = by_frame().or_else(|| {
            let future = task.fut_waiter?;
            // A task or a gather resolves by itself.
            let is_plain = matches!(self.reader.kind_of(future), Ok(Kind::Future | Kind::PyFuture))
                && !self.reader.is_a(future, "_GatheringFuture");
            let loop_at = task.loop_at.filter(|_| is_plain)?;
            self.endpoints(loop_at).get(&future).cloned()
        })?;
        if self.evidence
            && endpoint.pid.is_some()
            && let Some(process) = self.reader.subprocess_of(&endpoint)
        {
            self.subprocesses.borrow_mut().entry(process).or_default().push(task.at);
        }
        Some(at_endpoint(&endpoint))
    }

    /// What the futures of a loop wait for at descriptors, read once.
    fn endpoints(&self, loop_at: Address) -> Rc<FxHashMap<Address, Endpoint>> {
        if let Some(endpoints) = self.endpoints.borrow().get(&loop_at) {
            return Rc::clone(endpoints);
        }
        let endpoints = Rc::new(self.reader.endpoints(loop_at));
        self.endpoints.borrow_mut().insert(loop_at, Rc::clone(&endpoints));
        endpoints
    }

    /// From the future alone.
    fn by_future(&self, task: &TaskFacts, expected: Option<&str>) -> Option<Waiting> {
        let reader = &self.reader;
        let future = task.fut_waiter?;
        let kind = reader.kind_of(future).ok()?;
        if kind.is_task() {
            return Some(self.task(future, None));
        }
        if let Some(children) = reader.gather_children(future) {
            let pending = children
                .iter()
                .find(|&&child| reader.future_state(child) == Ok(Some(FutureState::Pending)));
            let mut counts = self.count(&children);
            counts.return_exceptions = pending.and_then(|&child| reader.returns_exceptions(child));
            let gather = snapshot::Wait::Gather(Others {
                // Others' awaiters do not tell of one that awaits itself.
                tasks: if children.contains(&task.at) { vec![task.at] } else { Vec::new() },
                children: Some(counts),
            });
            return Some(Waiting { object: Some(future), ..gather.into() });
        }
        if let Some(inner) = self.called(future).shielded {
            let call = self.pools.wait_of(&self.reader, self.reading, inner);
            return call.or_else(|| Some(self.task(inner, Some(Operation::Shield))));
        }
        if !kind.is_future() || self.has_left(task, future) {
            return None;
        }
        let is_unserved = self.evidence && self.is_only_waited_for(task, future, kind);
        let wait = snapshot::Wait::Future {
            stands_for: expected.map(Arc::from),
            callbacks: self.callback_names(task, future),
            is_served: is_unserved.then_some(false),
        };
        Some(Waiting { object: Some(future), ..wait.into() })
    }

    fn task(&self, future: Address, operation: Option<Operation>) -> Waiting {
        let others = Others { tasks: Vec::new(), children: Some(self.count(&[future])) };
        let wait = snapshot::Wait::Task { operation, others };
        Waiting { object: Some(future), ..wait.into() }
    }

    /// Whether a future will not wake the task that waited for it: the task went on before the future
    /// was read, which may be another's by now.
    fn has_left(&self, task: &TaskFacts, future: Address) -> bool {
        self.called(future).wakes.as_ref().is_some_and(|wakes| !wakes.contains(&task.at))
    }

    /// Whether nothing refers to a future but the task that waits for it: then nothing can set its
    /// result any more. All references that are not accounted for may be somebody's who will.
    fn is_only_waited_for(&self, task: &TaskFacts, future: Address, kind: Kind) -> bool {
        // The task's `fut_waiter` and the iterator its innermost frame awaits (FutureIter in
        // Modules/_asynciomodule.c) have one each; those written in Python have others.
        const OF_AWAIT: u64 = 2;
        let references = self.reader.references(future);
        let Some(variables) = references.and_then(|count| count.checked_sub(OF_AWAIT)) else {
            return false;
        };
        if kind != Kind::Future || variables > MAX_VARIABLES {
            return false;
        }
        let holding = task.chain.iter().map(|frame| {
            let references = self.reader.references_of_frame(frame).unwrap_or_default();
            references
                .into_iter()
                .filter(|&at| at == future || self.is_own_cell(at, future))
                .count()
        });
        variables == 0 || holding.sum::<usize>() as u64 == variables
    }

    /// Whether a reference of a frame is to a variable of it that functions within it may see, and
    /// none of them is left that does: one that is may be called back.
    fn is_own_cell(&self, at: Address, value: Address) -> bool {
        let content = at.offset(self.reader.layout.small.cell_ref);
        self.reader.is_kind(at, Kind::Cell)
            && self.reader.pointer(content) == Ok(Some(value))
            && self.reader.references(at) == Some(1)
    }

    /// What else is called when a future is done, in words.
    fn callback_names(&self, task: &TaskFacts, future: Address) -> Vec<String> {
        let called = self.called(future);
        let others = called.first.iter().filter(|(step, _)| *step != Some(task.at));
        others.take(MAX_CALLBACKS).filter_map(|(_, name)| name.clone()).collect()
    }

    fn called(&self, future: Address) -> Rc<Called> {
        let reader = &self.reader;
        let read = || {
            let callbacks = reader.callbacks(future);
            let wakes = callbacks.as_ref().ok().map(|all| {
                all.iter().filter_map(|&callback| reader.stepped_task(callback)).collect()
            });
            let callbacks = callbacks.unwrap_or_default();
            // One of them may be the step of the task that is asked about.
            let first = callbacks.iter().take(MAX_CALLBACKS + 1);
            let first = first.map(|&at| (reader.stepped_task(at), reader.callable_name(at)));
            let (first, shielded) = (first.collect(), reader.shielded(future));
            Rc::new(Called { shielded, wakes, first })
        };
        Rc::clone(self.called.borrow_mut().entry(future).or_insert_with(read))
    }

    fn event(&self, task: &TaskFacts, event: Address) -> Waiting {
        let wait = snapshot::Wait::Event(self.line(event, "_waiters").position(task));
        Waiting { object: Some(event), ..wait.into() }
    }

    fn condition(&self, task: &TaskFacts, condition: Address) -> Waiting {
        let wait = snapshot::Wait::Condition(self.line(condition, "_waiters").position(task));
        Waiting { object: Some(condition), ..wait.into() }
    }

    fn lock(&self, task: &TaskFacts, lock: Address) -> Waiting {
        let line = self.line(lock, "_waiters");
        let wait = snapshot::Wait::Lock(Acquire {
            // A task that waits for what it holds itself is one of them.
            holders: self.lock_holders(lock, &line),
            position: line.position(task),
            is_free: self.reader.number(lock, "_locked") == Some(0),
            ..Acquire::default()
        });
        Waiting { object: Some(lock), ..wait.into() }
    }

    fn semaphore(&self, task: &TaskFacts, semaphore: Address, steps: &[Step<'_>]) -> Waiting {
        let permits = Count {
            value: self.reader.number(semaphore, "_value"),
            limit: self.reader.number(semaphore, "_bound_value"),
        };
        let line = self.line(semaphore, "_waiters");
        let acquire = Acquire {
            holders: self.permit_holders(semaphore, permits, &line, steps),
            position: line.position(task),
            ..Acquire::default()
        };
        Waiting { object: Some(semaphore), ..snapshot::Wait::Semaphore { acquire, permits }.into() }
    }

    fn queue_wait(
        &self,
        task: &TaskFacts,
        queue: Address,
        operation: Operation,
    ) -> Option<Waiting> {
        let reader = &self.reader;
        let [items, finished] = reader.attributes_named(queue, ["_queue", "_finished"]).ok()?;
        // Each queue has that one, whatever it keeps its items in; what has none lies now where a
        // frame was that has gone meanwhile.
        let finished = finished?;
        let line = match operation {
            Operation::Get => self.line(queue, "_getters"),
            Operation::Put => self.line(queue, "_putters"),
            _ => self.line(finished, "_waiters"),
        };
        let value = match operation {
            Operation::Join => reader.number(queue, "_unfinished_tasks"),
            _ => items.and_then(|items| i64::try_from(reader.len_of(items)?).ok()),
        };
        let wait = snapshot::Wait::Queue {
            operation: Some(operation),
            items: Count { value, limit: reader.number(queue, "_maxsize") },
            position: line.position(task),
        };
        Some(Waiting { object: Some(queue), ..wait.into() })
    }

    fn barrier(&self, barrier: Address) -> Waiting {
        let wait = snapshot::Wait::Barrier(Count {
            value: self.reader.number(barrier, "_count"),
            limit: self.reader.number(barrier, "_parties"),
        });
        Waiting { object: Some(barrier), ..wait.into() }
    }

    fn group(&self, group: Address) -> Waiting {
        let reader = &self.reader;
        let names = ["_tasks", "_errors"];
        let [tasks, errors] = reader.attributes_named(group, names).unwrap_or_default();
        let len = |at: Option<Address>| at.and_then(|at| reader.len_of(at));
        let children = len(tasks).map(|pending| Children {
            pending,
            failed: len(errors).unwrap_or(0),
            aborting: reader.number(group, "_aborting").map(|value| value != 0),
            ..Children::default()
        });
        let wait = snapshot::Wait::TaskGroup(Others { tasks: Vec::new(), children });
        Waiting { object: Some(group), ..wait.into() }
    }

    fn count(&self, futures: &[Address]) -> Children {
        let counts = self.reader.count_futures(futures);
        Children {
            pending: counts.pending,
            done: counts.finished,
            failed: counts.failed,
            cancelled: counts.cancelled,
            ..Children::default()
        }
    }

    /// The tasks that hold a lock or permits of a semaphore.
    fn holders_of(&self, object: Address) -> Holders {
        let holders = self.holders.get_or_init(|| self.read_holders());
        holders.get(&object).cloned().unwrap_or_default()
    }

    /// The line at one thing, read once for all that stand in it.
    fn line(&self, object: Address, attribute: &'static str) -> Rc<Line> {
        self.line_by(object, attribute, || {
            let futures = self.reader.waiters_of(object, attribute).unwrap_or_default();
            futures.into_iter().zip(1..).collect()
        })
    }

    /// The same where they are found in another way.
    fn line_by(
        &self,
        object: Address,
        attribute: &'static str,
        positions: impl FnOnce() -> FxHashMap<Address, u64>,
    ) -> Rc<Line> {
        if let Some(line) = self.lines.borrow().get(&(object, attribute)) {
            return Rc::clone(line);
        }
        let line = Rc::new(Line { positions: positions() });
        self.lines.borrow_mut().insert((object, attribute), Rc::clone(&line));
        line
    }

    /// Whether the task's loop has another clock than the machine.
    fn has_own_clock(&self, task: &TaskFacts) -> bool {
        task.loop_at.is_some_and(|at| self.foreign_clocks.contains(&at))
    }

    /// What the clock of a task's loop says, if that is the machine's.
    fn now(&self, task: &TaskFacts) -> Option<f64> {
        self.reading.now.filter(|_| !self.has_own_clock(task))
    }

    /// In how many seconds a timer is due.
    fn left(&self, task: &TaskFacts, timer: Address) -> Option<f64> {
        // The clock counts from the start of the machine: what is due before that was freed while it
        // was looked at, and used again.
        let when = self.reader.timer_when(timer).filter(|when| *when >= 0.0)?;
        Some(when - self.now(task)?)
    }

    /// In how long a timer is due.
    fn due_in(&self, task: &TaskFacts, timer: Address) -> Option<SignedDuration> {
        SignedDuration::try_from_secs_f64(self.left(task, timer)?).ok()
    }

    /// For how long a `sleep` has slept: it began `delay` before its timer is due.
    ///
    /// The numbers are only worth something together: a short sleep may have ended while they were
    /// read, and another number may lie where its delay lay. So they are read once more, by what the
    /// frame says then.
    fn slept(&self, task: &TaskFacts, frame: &RawFrame, timer: Address) -> Option<Duration> {
        let now = self.now(task)?;
        let delay = self.reader.local(frame, "delay").ok()??;
        let when = self.reader.timer_when_object(timer)?;
        let (due, length) = (self.reader.float(when)?, self.reader.float(delay)?);
        let slept = Duration::try_from_secs_f64(now - (due - length)).ok()?;
        self.note_sleep(task.at, frame, [when, delay])?;
        Some(slept)
    }

    /// Time limits on the way.
    fn add_deadlines(&self, task: &TaskFacts, steps: &[Step<'_>], waiting: &mut Waiting) {
        // Outermost first, as the frames of a task are.
        for (at, &Step { wait, has_contexts, frame, .. }) in steps.iter().rev().enumerate() {
            // `wait_for` up to 3.11 has a timer of its own.
            if matches!(wait, Some(Wait::WaitFor | Wait::CancelAndWait))
                && let Ok(Some(timer)) = self.reader.local(frame, "timeout_handle")
                && let due_in = self.due_in(task, timer)
                && (due_in.is_some() || self.has_own_clock(task))
            {
                waiting.deadlines.push(Deadline { frame: Some(at), due_in });
            }
            // Those of managers made of generators, too: anyio's `fail_after` is one.
            let held = has_contexts.then(|| self.reader.held(frame));
            for manager in held.and_then(Result::ok).unwrap_or_default() {
                let limit = self.deadline(task, manager);
                let limit = limit.map(|limit| Deadline { frame: Some(at), ..limit });
                waiting.deadlines.extend(limit);
            }
        }
    }

    /// The time limit of a context that ends by itself: `asyncio.timeout`, `async_timeout`, anyio's
    /// scopes.
    fn deadline(&self, task: &TaskFacts, manager: Address) -> Option<Deadline> {
        let reader = &self.reader;
        let class = reader.class_of(manager).ok()?;
        let attribute = match &*class.name {
            // asyncio.timeouts.Timeout
            "Timeout" => {
                let [when, deadline] =
                    reader.attributes_named(manager, ["_when", "_deadline"]).ok()?;
                when.or(deadline)?
            }
            // aiohttp.helpers.TimerContext: the loop's timer knows when.
            "TimerContext" => return Some(Deadline { frame: None, due_in: None }),
            // anyio.CancelScope
            "CancelScope" => reader.attribute(manager, "_deadline").ok()??,
            // `anyio.fail_after` up to 3.7; later it is a generator.
            "FailAfterContextManager" => {
                let scope = reader.attribute(manager, "_cancel_scope").ok()??;
                reader.attribute(scope, "_deadline").ok()??
            }
            // anyio.TaskGroup
            "TaskGroup" => {
                let scope = reader.attribute(manager, "cancel_scope").ok()??;
                reader.attribute(scope, "_deadline").ok()??
            }
            _ => return None,
        };
        // No limit is `None` or infinite.
        let due = reader.float(attribute).filter(|due| due.is_finite())?;
        let left = self.now(task).map(|now| due - now);
        let due_in = left.and_then(|left| SignedDuration::try_from_secs_f64(left).ok());
        Some(Deadline { frame: None, due_in })
    }

    /// The name by which the innermost frames know an object that are neither asyncio's nor anyio's
    /// own.
    fn name_outside<'t>(
        &self,
        frames: impl Iterator<Item = &'t RawFrame>,
        object: Address,
    ) -> Option<String> {
        let mut outside = frames.filter(|frame| self.is_outside(frame)).take(MAX_NAMING);
        outside.find_map(|frame| self.name_in(frame, object))
    }

    /// Whether a frame is neither asyncio's nor anyio's own.
    fn is_outside(&self, frame: &RawFrame) -> bool {
        let code = self.reader.code(frame.code);
        !self.function(frame).is_asyncio
            && code.is_ok_and(|code| code.place.module() != Some(Module::Anyio))
    }

    /// The variable, attribute of one or global variable by which a frame knows an object.
    fn name_in(&self, frame: &RawFrame, object: Address) -> Option<String> {
        let key = (frame.code, frame.lasti, object);
        if let Some(name) = self.names.borrow().get(&key) {
            return name.as_deref().map(str::to_owned);
        }
        let name = self.look_for(frame, object);
        self.names.borrow_mut().insert(key, name.as_deref().map(Rc::from));
        name
    }

    fn look_for(&self, frame: &RawFrame, object: Address) -> Option<String> {
        let reader = &self.reader;
        let locals = reader.locals(frame).ok()?;
        if let Some((name, _)) = locals.iter().find(|(_, value)| *value == object) {
            return Some(name.to_string());
        }
        // A server hands over its queue as the function `receive`.
        let is_bound = |value: Address| reader.bound_to(value) == Some(object);
        if let Some((name, _)) = locals.iter().find(|(_, value)| is_bound(*value)) {
            return Some(name.to_string());
        }
        // `self` first: it is the first variable of a method.
        let attribute = locals.iter().find_map(|(name, value)| {
            if reader.kind_of(*value).ok()? != Kind::Other {
                return None;
            }
            let attribute = self.attribute_that_is(*value, object)?;
            Some(format!("{name}.{attribute}"))
        });
        attribute.or_else(|| {
            let name = *self.globals_of(frame)?.get(&object)?;
            Some(reader.name(name).ok()?.to_string())
        })
    }

    /// The global variables that a frame sees, by what they are bound to, read once for each
    /// module.
    fn globals_of(&self, frame: &RawFrame) -> Option<Rc<FxHashMap<Address, Address>>> {
        let at = self.reader.globals(frame).ok()?;
        if let Some(known) = self.globals.borrow().get(&at) {
            return Some(Rc::clone(known));
        }
        let items = self.reader.dict(at, MAX_GLOBALS).unwrap_or_default();
        // Of several names the first one is where it was made, most likely.
        let by_value = items.into_iter().rev().map(|(name, value)| (value, name)).collect();
        let by_value = Rc::new(by_value);
        self.globals.borrow_mut().insert(at, Rc::clone(&by_value));
        Some(by_value)
    }

    fn attribute_that_is(&self, owner: Address, object: Address) -> Option<Arc<str>> {
        let reader = &self.reader;
        let class = reader.class_of(owner).ok()?;
        let slot = reader
            .slots(&class)
            .iter()
            .find(|(_, offset)| reader.pointer(owner.offset(**offset)) == Ok(Some(object)));
        if let Some((name, _)) = slot {
            return Some(Arc::clone(name));
        }
        let attributes = reader.attributes(owner, MAX_ATTRIBUTES).ok()?;
        let (name, _) = attributes.into_iter().find(|(_, value)| *value == object)?;
        reader.name(name).ok()
    }
}

/// The wait for a descriptor or process.
fn at_endpoint(endpoint: &Endpoint) -> Waiting {
    let program = Program { pid: endpoint.pid, name: None };
    let operation = match endpoint.direction {
        Direction::Read => Operation::Read,
        Direction::Write => Operation::Write,
        Direction::Accept => Operation::Accept,
        Direction::Connect => Operation::Connect,
        Direction::Close => Operation::Close,
        Direction::Exit => return snapshot::Wait::Subprocess(program).into(),
    };
    let descriptor = Descriptor {
        operation: Some(operation),
        fd: endpoint.fd,
        program,
        ..Descriptor::default()
    };
    snapshot::Wait::Socket(descriptor).into()
}

/// What the system said lately of descriptors: with a thousand sockets that takes longer than all
/// else, and a task that waits at the same one as a moment ago waits for the same.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    read_at: Option<Instant>,
    all: FxHashMap<i32, (Address, Described)>,
}

impl Descriptors {
    /// Everything is read anew for each look.
    fn forget_old(&mut self) {
        if self.read_at.is_none_or(|read_at| read_at.elapsed() >= BETWEEN_LOOKS) {
            self.all.clear();
            self.read_at = Some(Instant::now());
        }
    }

    fn has(&self, task: Address, fd: i32) -> bool {
        self.all.get(&fd).is_some_and(|(known, _)| *known == task)
    }

    fn add(&mut self, tasks: &FxHashMap<i32, Address>, read: BTreeMap<i32, Described>) {
        for (fd, described) in read {
            if let Some(&task) = tasks.get(&fd) {
                self.all.insert(fd, (task, described));
            }
        }
    }

    fn get(&self, fd: i32) -> Option<&Described> {
        self.all.get(&fd).map(|(_, described)| described)
    }
}

/// Adds what the system knows of descriptors and processes, and says each reason in words.
pub(crate) fn complete(
    all: &mut [Option<Box<Waiting>>],
    tasks: &[Task],
    system: &dyn System,
    known: &mut Descriptors,
) {
    known.forget_old();
    let missing = tasks.iter().zip(&*all).filter_map(|(task, waiting)| {
        let fd = waiting.as_ref()?.descriptor()?.fd?;
        (!known.has(task.id, fd)).then_some((fd, task.id))
    });
    let missing: FxHashMap<i32, Address> = missing.collect();
    let mut fds: Vec<i32> = missing.keys().copied().collect();
    let pids = all.iter().flatten().filter_map(|waiting| waiting.program()?.pid);
    let mut pids: Vec<i32> = pids.collect();
    for numbers in [&mut fds, &mut pids] {
        numbers.sort_unstable();
        numbers.dedup();
    }
    if !fds.is_empty() {
        known.add(&missing, system.descriptors(&fds));
    }
    let children = system.children(&pids);
    for waiting in all.iter_mut().flatten() {
        if let snapshot::Wait::Socket(descriptor) = &mut waiting.wait
            && let Some((peer, socket)) = descriptor.fd.and_then(|fd| known.get(fd))
        {
            descriptor.peer = Some(peer.clone());
            descriptor.socket = socket.clone().map(Box::new);
        }
        if let Some(program) = waiting.program_mut()
            && let Some(child) = program.pid.and_then(|pid| children.get(&pid))
        {
            program.pid = Some(child.pid);
            let ended = child.state == ThreadState::Ended;
            program.name =
                Some(if ended { format!("{} (ended)", child.name) } else { child.name.clone() });
        }
        waiting.describe();
    }
}

impl Line {
    fn position(&self, task: &TaskFacts) -> Position {
        let at = task.fut_waiter.and_then(|future| self.positions.get(&future).copied());
        Position { at, of: Some(self.positions.len() as u64) }
    }
}

/// Of the tasks that wait, those that have what they wait for, by what one of `naming` says of it.
fn holding_what_they_wait_for<'w>(
    naming: &FxHashSet<Address>,
    waits: impl Iterator<Item = (Address, &'w Waiting)> + Clone,
) -> FxHashSet<Address> {
    if naming.is_empty() {
        return FxHashSet::default();
    }
    let at_naming = waits.filter_map(|(task, waiting)| {
        Some((task, waiting.object.filter(|thing| naming.contains(thing))?, waiting))
    });
    let has = |(_, thing, waiting): (_, Address, &'w Waiting)| {
        waiting.holders().iter().map(move |&holder| (holder, thing))
    };
    let has: FxHashSet<(Address, Address)> = at_naming.clone().flat_map(has).collect();
    at_naming.filter(|&(task, thing, _)| has.contains(&(task, thing))).map(|it| it.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_handed_a_token_while_it_is_read_waits_for_it_no_longer() {
        let [limiter, semaphore] = [Address(1), Address(2)];
        let [first, second, third] = [Address(10), Address(11), Address(12)];
        let wait = |object, holders: &[Address]| Waiting {
            object: Some(object),
            ..snapshot::Wait::Semaphore {
                acquire: Acquire { holders: holders.to_vec().into(), ..Acquire::default() },
                permits: Count::default(),
            }
            .into()
        };
        // The first has got one between the looks at its own wait and at the third's.
        let waits = [
            (first, wait(limiter, &[second])),
            (third, wait(limiter, &[first])),
            (second, wait(semaphore, &[second])),
        ];
        let naming = FxHashSet::from_iter([limiter]);
        let went_on =
            holding_what_they_wait_for(&naming, waits.iter().map(|(task, it)| (*task, it)));
        assert_eq!(went_on, FxHashSet::from_iter([first]));
    }
}
