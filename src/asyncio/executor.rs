//! Thread pools and what threads wait for: the way from a task to the call another thread runs
//! for it, and back.
//!
//! An asyncio future of `run_in_executor` mirrors a `concurrent.futures.Future`; the pool's item
//! with that future is a variable of the `_worker` frame of the thread that runs it, or lies in
//! the pool's queue. All links are variables, attributes and closures that were read; none is
//! guessed by name or time.

mod serving;
mod wait;

use std::sync::Arc;

use crate::known::purpose::Thread;
use crate::known::{Callback, Known, Module, Origin, Purpose};
use crate::layout::SimpleQueue;
use crate::layout::uvloop::LOOP;
use crate::memory::Address;
use crate::python::frame::{RawFrame, Stack};
use crate::python::object::{Kind, MAX_ITEMS, Read, Reader, Unreadable, is_alive};

pub use serving::ServedCall;
pub use wait::ThreadWait;

/// Items of one pool's queue that are looked into; a queue may be far longer.
const MAX_QUEUED: usize = 1 << 16;
/// Futures that one thread waits for together.
const MAX_FUTURES: usize = 1 << 16;
/// Wrappers around the function of a call that are looked through.
const MAX_WRAPPERS: usize = 16;
/// Arguments of one call that are read; only the first one matters.
const MAX_ARGUMENTS: u64 = 1 << 10;
/// Processes of one pool; the most that `ProcessPoolExecutor` was seen with are some hundred.
const MAX_PROCESSES: u64 = 1 << 12;
/// How much of an instance or future holds what a look at it needs.
const INSTANCE_LEN: u64 = 128;

/// What was read of a pool of threads or processes.
#[derive(Debug, Clone)]
pub struct PoolFacts {
    /// The executor; the queue of its work where the executor itself is gone already.
    pub at: Address,
    /// Its class with the module.
    pub class: Option<Arc<str>>,
    /// What the names of its threads begin with.
    pub prefix: Option<String>,
    /// How many threads or processes it may have.
    pub max_workers: Option<u64>,
    /// Its threads that were seen in the stacks.
    pub workers: Vec<Worker>,
    /// The calls that wait for a worker, oldest first, at most 65,536 of them.
    pub queued: Vec<WorkItem>,
    /// How many calls wait for a worker.
    pub queued_count: Option<u64>,
    /// Whether it takes no more calls.
    pub is_shut_down: Option<bool>,
    /// Its processes, for a `ProcessPoolExecutor`.
    pub processes: Option<Processes>,
}

/// The processes of a pool, and what they run.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    /// Their process ids, as the target knows them.
    pub pids: Vec<i32>,
    /// The calls that were handed to them: running, or next in their pipe.
    pub running: Vec<WorkItem>,
    /// Which of the stacks is that of the thread that hands them out.
    pub manager: Option<usize>,
}

/// A thread of a pool.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Which of the stacks it is.
    pub thread: usize,
    /// The call it runs; `None` between two calls, and in the pool's own `initializer`.
    pub item: Option<WorkItem>,
    /// Whether it waits for work, or is about to.
    pub is_idle: bool,
}

/// One call given to a pool.
#[derive(Debug, Clone)]
pub struct WorkItem {
    /// The pool's record of it.
    pub at: Address,
    /// Its `concurrent.futures.Future`.
    pub future: Address,
    /// The function, without the `partial` and `Context.run` around it.
    pub function: Option<String>,
    /// The number that a pool of processes has given it.
    pub number: Option<u64>,
}

/// A worker thread of anyio, which belongs to no pool: idle ones are kept in a list.
#[derive(Debug, Clone)]
pub struct AnyioWorker {
    /// Which of the stacks it is.
    pub thread: usize,
    /// The `WorkerThread`.
    pub at: Address,
    /// The asyncio future of the call it runs; `None` when it is idle.
    pub future: Option<Address>,
    /// The function it runs.
    pub function: Option<String>,
}

/// What was read of an `anyio.CapacityLimiter` that a task waits for.
#[derive(Debug, Clone)]
pub struct LimiterFacts {
    /// The limiter.
    pub at: Address,
    /// How many tokens are taken.
    pub borrowed: Option<u64>,
    /// How many there are; `None` also for an infinite number.
    pub total: Option<u64>,
    /// Those that have one: tasks, or whatever else a token was taken for.
    pub borrowers: Vec<Address>,
    /// How many wait for one.
    pub waiters: Option<u64>,
    /// The place of this waiter in that line, from 1.
    pub position: Option<u64>,
    /// The call in a thread that the token is for.
    pub call: Option<LimitedCall>,
}

/// A call that is to run in a worker thread of anyio.
#[derive(Debug, Clone)]
pub struct LimitedCall {
    /// The function.
    pub function: Option<String>,
    /// Whether no limiter was given: then it is anyio's own.
    pub is_default: bool,
}

/// Where a frame of a pool's thread leads to.
struct PoolFrame {
    executor: Option<Address>,
    queue: Option<Address>,
    item: Option<Address>,
}

impl Reader<'_> {
    /// The pools that can be reached: `default_executors`, and those whose threads are among
    /// `stacks`.
    ///
    /// A pool that has no thread yet and is no default executor is not found, but it has no
    /// work either: its first call starts its first thread.
    pub fn pools(&self, stacks: &[&Stack], default_executors: &[Address]) -> Vec<PoolFacts> {
        let mut pools: Vec<(PoolFacts, Option<Address>)> = Vec::new();
        for &executor in default_executors {
            if !pools.iter().any(|(pool, _)| pool.at == executor) {
                pools.extend(self.pool(executor));
            }
        }
        for (thread, stack) in stacks.iter().enumerate() {
            let mut found = stack.frames.iter().enumerate();
            let Some((at, frame)) = found.find_map(|(i, frame)| {
                let frame = self.pool_frame(frame)?;
                Some((i, frame))
            }) else {
                continue;
            };
            let known = pools.iter().position(|(pool, queue)| {
                Some(pool.at) == frame.executor || frame.queue.is_some() && *queue == frame.queue
            });
            let index = known.or_else(|| {
                let of_executor = frame.executor.and_then(|executor| self.pool(executor));
                pools.push(of_executor.or_else(|| self.orphaned_pool(frame.queue?))?);
                Some(pools.len() - 1)
            });
            // The threads that manage a pool of processes do no work of it.
            let Some((pool, _)) = index.and_then(|index| pools.get_mut(index)) else { continue };
            if frame.queue.is_none() {
                if let Some(processes) = &mut pool.processes {
                    processes.manager = Some(thread);
                }
                continue;
            }
            let inner = stack.frames.get(at + 1..).unwrap_or_default();
            let item = frame.item.and_then(|item| self.work_item(item));
            let is_idle = self.is_between_calls(item.as_ref(), inner.first());
            pool.workers.push(Worker { thread, item, is_idle });
        }
        let stacks_of = stacks.iter().enumerate();
        let of_processes = stacks_of.filter_map(|(at, stack)| self.process_pool(at, stack));
        pools.extend(of_processes.map(|pool| (pool, None)));
        for (pool, queue) in &mut pools {
            if let Some(queue) = *queue {
                self.look_again(pool, queue, stacks);
            }
        }
        pools.into_iter().map(|(pool, _)| pool).collect()
    }

    /// Reads anew what makes a pool of threads seem full.
    ///
    /// A thread that has ended its call lets a task go on that brings the next one, and takes that
    /// a moment later. What was read of the thread before and of the queue after that shows a pool
    /// with more work than threads that never was. So the queue is read first, then the threads,
    /// and then which calls still wait. Test: `healthy::twin::executor_saturated`.
    fn look_again(&self, pool: &mut PoolFacts, queue: Address, stacks: &[&Stack]) {
        let has_too_many = |pool: &PoolFacts| {
            let idle = pool.workers.iter().filter(|worker| worker.is_idle).count();
            !pool.workers.is_empty() && pool.queued.len() > idle
        };
        if !has_too_many(pool) {
            return;
        }
        self.memory.clear();
        self.add_queue(pool, queue);
        for worker in &mut pool.workers {
            let Some(stack) = stacks.get(worker.thread) else { continue };
            let mut frames = stack.frames.iter();
            let Some(frame) = frames.find_map(|frame| self.pool_frame(frame)) else { continue };
            let item = frame.item.and_then(|item| self.work_item(item));
            worker.is_idle = self.is_between_calls(item.as_ref(), frames.next());
            worker.item = item;
        }
        self.memory.clear();
        let taken: Vec<Address> =
            pool.workers.iter().filter_map(|worker| Some(worker.item.as_ref()?.at)).collect();
        let all = pool.queued.len();
        let still_waits = |item: &WorkItem| {
            let state = self.concurrent_state(item.future);
            !taken.contains(&item.at) && state.is_some_and(|state| &*state == "PENDING")
        };
        // They are taken from the front: behind the first that waits, all do.
        let gone = pool.queued.iter().position(still_waits).unwrap_or(all);
        pool.queued.drain(..gone);
        pool.queued_count = pool.queued_count.map(|count| count.saturating_sub(gone as u64));
        if has_too_many(pool) {
            // Each thread between two calls is about to take one of them, and more are left.
            for worker in &mut pool.workers {
                worker.is_idle = false;
            }
        }
    }

    /// Whether a thread of a pool waits for its next call or is about to take it: it has none or
    /// one that has ended, and is not in the pool's `initializer`, which the frame `inner` below
    /// its own tells.
    fn is_between_calls(&self, item: Option<&WorkItem>, inner: Option<&RawFrame>) -> bool {
        if let Some(item) = item {
            let state = self.concurrent_state(item.future);
            return state.is_some_and(|state| !matches!(&*state, "PENDING" | "RUNNING"));
        }
        // With `queue.Queue` instead of the C class waiting has frames of its own, who is about
        // to wait counts itself (`_idle_semaphore`), and a call that has ended since the stack
        // was read has left its frames there. From 3.14 on the initializer has one in between.
        inner.is_none_or(|frame| match self.known(frame) {
            Known { purpose: Some(Purpose::Thread(Thread::PoolInitialize)), .. } => false,
            Known { module, .. } => {
                matches!(module, Some(Module::Queue | Module::Threading | Module::ThreadPool))
            }
        })
    }

    /// The default executor of a loop; `None` when it has none yet.
    pub fn default_executor(&self, loop_at: Address) -> Option<Address> {
        let executor = if self.is_kind(loop_at, Kind::UvLoop) {
            self.pointer(loop_at.offset(LOOP.default_executor)).ok()?
        } else {
            self.attribute(loop_at, "_default_executor").ok()?
        };
        executor.filter(|&at| !self.is_kind(at, Kind::None))
    }

    /// A pool, and the queue of its work.
    fn pool(&self, executor: Address) -> Option<(PoolFacts, Option<Address>)> {
        let class = self.class_of(executor).ok()?;
        let [max, queue, prefix, shutdown, shutdown_thread, processes, pending] = self
            .attributes_named(
                executor,
                [
                    "_max_workers",
                    "_work_queue",
                    "_thread_name_prefix",
                    "_shutdown",
                    "_shutdown_thread",
                    "_processes",
                    "_pending_work_items",
                ],
            )
            .ok()?;
        let mut pool = PoolFacts {
            class: Some(self.class_name(&class)),
            prefix: prefix.filter(|&at| self.is_kind(at, Kind::Str)).and_then(|at| {
                let name = self.name(at).ok()?;
                Some(name.to_string())
            }),
            max_workers: max.and_then(|at| self.count(at)),
            is_shut_down: shutdown_thread
                .or(shutdown)
                .filter(|&at| self.is_kind(at, Kind::Bool))
                .and_then(|at| Some(self.int(at).ok()? != 0)),
            ..empty(executor)
        };
        if let Some(queue) = queue {
            self.add_queue(&mut pool, queue);
        } else if let Some(pending) = pending {
            let items = self.dict(pending, MAX_ITEMS).ok()?;
            let (running, queued): (Vec<WorkItem>, Vec<WorkItem>) = items
                .into_iter()
                .take(MAX_QUEUED)
                .filter_map(|(number, item)| {
                    Some(WorkItem { number: self.count(number), ..self.work_item(item)? })
                })
                .partition(|item| self.concurrent_state(item.future).as_deref() != Some("PENDING"));
            let pids = processes.and_then(|at| self.dict(at, MAX_PROCESSES).ok());
            let pid = |(pid, _)| i32::try_from(self.int(pid).ok()?).ok();
            pool.queued_count = Some(queued.len() as u64);
            pool.queued = queued;
            pool.processes = Some(Processes {
                pids: pids.unwrap_or_default().into_iter().filter_map(pid).collect(),
                running,
                manager: None,
            });
        } else if !self.is_subclass_named(&class, "Executor") {
            return None;
        }
        Some((pool, queue))
    }

    /// A pool whose executor was given up: its threads still empty the queue.
    fn orphaned_pool(&self, queue: Address) -> Option<(PoolFacts, Option<Address>)> {
        let mut pool = empty(queue);
        self.class_of(queue).ok()?;
        self.add_queue(&mut pool, queue);
        Some((pool, Some(queue)))
    }

    fn add_queue(&self, pool: &mut PoolFacts, queue: Address) {
        let Ok(mut items) = self.work_queue(queue) else { return };
        // Each thread that is to end finds a `None` there.
        items.retain(|&item| !self.is_kind(item, Kind::None));
        pool.queued_count = Some(items.len() as u64);
        items.truncate(MAX_QUEUED);
        self.memory.prefetch(items.iter().map(|&item| (item, INSTANCE_LEN)));
        pool.queued = items.into_iter().filter_map(|item| self.work_item(item)).collect();
    }

    /// What is in a queue of either kind, from the one who is next.
    fn work_queue(&self, queue: Address) -> Read<Vec<Address>> {
        if &*self.class_of(queue)?.name == "_queue.SimpleQueue" {
            return self.simple_queue(queue);
        }
        match self.attribute(queue, "queue")?.or(self.attribute(queue, "_queue")?) {
            Some(items) if self.is_kind(items, Kind::List) => self.list(items, MAX_ITEMS),
            Some(items) => self.deque(items, MAX_ITEMS),
            None => Err(Unreadable::bad(queue, "queue")),
        }
    }

    /// The items of the `_queue.SimpleQueue` at `at`.
    fn simple_queue(&self, at: Address) -> Read<Vec<Address>> {
        let bad = || Unreadable::bad(at, "SimpleQueue");
        match self.layout.simple_queue {
            SimpleQueue::List { items, first } => {
                let first = usize::try_from(self.memory.u64(at.offset(first))?);
                let items = self.must_pointer(at.offset(items), "SimpleQueue")?;
                let items = self.list(items, MAX_ITEMS)?;
                let first = first.ok().filter(|&first| first <= items.len()).ok_or_else(bad)?;
                Ok(items.into_iter().skip(first).collect())
            }
            SimpleQueue::Ring { first, items, capacity, count } => {
                let first = self.memory.u64(at.offset(first))?;
                let count = self.memory.u64(at.offset(count))?;
                let capacity = self.memory.u64(at.offset(capacity))?;
                let items = self.must_pointer(at.offset(items), "SimpleQueue")?;
                if capacity > MAX_ITEMS || count > capacity || first >= capacity.max(1) {
                    return Err(bad());
                }
                // In two parts: from the first to the end of the ring, and from its start.
                let to_end = count.min(capacity - first);
                let mut bytes = self.memory.vec(items.offset(8 * first), 8 * to_end)?;
                bytes.extend(self.memory.vec(items, 8 * (count - to_end))?);
                let words = bytes.as_chunks::<8>().0.iter();
                let items = words.map(|word| Address(u64::from_le_bytes(*word)));
                Ok(items.filter_map(Address::non_null).collect())
            }
        }
    }

    /// A pool's record of one call; `None` for what is none.
    fn work_item(&self, at: Address) -> Option<WorkItem> {
        if !is_alive(self.memory.u64(at).ok()?) {
            return None;
        }
        let [future, function, arguments, task] =
            self.attributes_named(at, ["future", "fn", "args", "task"]).ok()?;
        // Memory that was given back may still look like an object.
        let is_future = |at: &Address| {
            let class = self.class_of(*at);
            class.is_ok_and(|class| self.is_subclass_named(&class, "Future"))
        };
        let future = future.filter(is_future)?;
        // 3.14 and later: `task` is (fn, args, kwargs).
        let task = task.filter(|&task| self.is_kind(task, Kind::Tuple));
        let task = task.and_then(|task| self.tuple(task).ok()).unwrap_or_default();
        let function = function.or(task.first().copied());
        let arguments = arguments.or(task.get(1).copied());
        let function = function.and_then(|function| self.called_function(function, arguments));
        Some(WorkItem { at, future, function, number: None })
    }

    /// The name of the function that a call is about: what `partial` and `Context.run` wrap.
    ///
    /// `asyncio.to_thread` submits `partial(context.run, function, *arguments)`.
    fn called_function(&self, function: Address, arguments: Option<Address>) -> Option<String> {
        let small = &self.layout.small;
        let mut function = function;
        // 3.8 keeps them in a list.
        let mut arguments = arguments
            .and_then(|at| self.tuple(at).or_else(|_| self.list(at, MAX_ARGUMENTS)).ok())
            .unwrap_or_default();
        for _ in 0..MAX_WRAPPERS {
            match self.kind_of(function).ok()? {
                Kind::Partial => {
                    let bound = self.pointer(function.offset(small.partial_args)).ok()?;
                    let bound = bound.and_then(|at| self.tuple(at).ok()).unwrap_or_default();
                    arguments.splice(..0, bound);
                    function = self.pointer(function.offset(small.partial_fn)).ok()??;
                }
                Kind::Builtin => {
                    let name = self.callable_name(function)?;
                    match arguments.first() {
                        Some(&first) if name.ends_with("Context.run") => {
                            function = first;
                            arguments.remove(0);
                        }
                        _ => return Some(name),
                    }
                }
                _ => return self.callable_name(function),
            }
        }
        None
    }

    /// What the frame of a pool's thread knows of its pool; `None` for any other frame.
    fn pool_frame(&self, frame: &RawFrame) -> Option<PoolFrame> {
        let is_worker = match self.known(frame).purpose? {
            Purpose::Thread(Thread::PoolWorker) => true,
            Purpose::Thread(Thread::ProcessPoolManager) => false,
            _ => return None,
        };
        let locals = self.locals(frame).ok()?;
        let local = |name: &str| {
            let found = locals.iter().find(|(local, _)| &**local == name);
            found.map(|&(_, at)| at).filter(|&at| !self.is_kind(at, Kind::None))
        };
        let reference = match local("executor_reference") {
            Some(reference) => Some(reference),
            None => local("self").and_then(|at| self.attribute(at, "executor_reference").ok()?),
        };
        let executor = reference
            .filter(|&at| self.is_kind(at, Kind::Weakref))
            .and_then(|at| self.pointer(at.offset(self.layout.small.weakref_object)).ok()?)
            .filter(|&at| !self.is_kind(at, Kind::None));
        Some(PoolFrame {
            executor,
            queue: local("work_queue").filter(|_| is_worker),
            item: local("work_item").filter(|_| is_worker),
        })
    }

    /// The `multiprocessing.Pool` whose calls a thread hands out, by the results that it owes: the
    /// items of an `imap` are made as they are taken, so that nobody knows how many there are.
    fn process_pool(&self, thread: usize, stack: &Stack) -> Option<PoolFacts> {
        let is_handler = |frame: &&RawFrame| {
            self.known(frame).purpose == Some(Purpose::Thread(Thread::PoolTaskHandler))
        };
        let frame = stack.frames.iter().find(is_handler)?;
        let local = |name| self.local(frame, name).ok().flatten();
        let (processes, cache) = (local("pool")?, local("cache")?);
        let pid = |process: Address| {
            let popen = self.attribute(process, "_popen").ok()??;
            i32::try_from(self.int(self.attribute(popen, "pid").ok()??).ok()?).ok()
        };
        let processes = self.list(processes, MAX_PROCESSES).ok()?;
        let results = self.dict(cache, MAX_ITEMS).ok()?;
        let mut parts = 0;
        let item = |(number, at): (Address, Address)| {
            let class = self.class_of(at).ok()?;
            if !self.is_subclass_named(&class, "ApplyResult") {
                return None;
            }
            let left = self.attribute(at, "_number_left").ok().flatten();
            parts += left.and_then(|left| self.count(left)).unwrap_or(1).saturating_sub(1);
            Some(WorkItem { at, future: at, function: None, number: self.count(number) })
        };
        let running = results.into_iter().take(MAX_QUEUED).filter_map(item).collect();
        Some(PoolFacts {
            max_workers: Some(processes.len() as u64),
            queued_count: Some(parts),
            processes: Some(Processes {
                pids: processes.into_iter().filter_map(pid).collect(),
                running,
                manager: Some(thread),
            }),
            ..empty(cache)
        })
    }

    /// What a process of a pool runs, from the stack of its main thread: the number by which its
    /// parent knows the call, and the function where the parent does not have it. No number between
    /// two calls; `None` for any other stack, and where that cannot be read.
    pub fn call_of_process(&self, stack: &[RawFrame]) -> Option<(Option<u64>, Option<String>)> {
        let purpose = |frame: &RawFrame| self.known(frame).purpose;
        let at = stack.iter().position(|frame| {
            matches!(
                purpose(frame),
                Some(Purpose::Thread(Thread::ProcessPoolWorker | Thread::PoolProcess))
            )
        })?;
        let frame = stack.get(at)?;
        let is_executor = purpose(frame) == Some(Purpose::Thread(Thread::ProcessPoolWorker));
        // Deleted or `None` after each call.
        let item = self.local(frame, if is_executor { "call_item" } else { "job" }).ok()?;
        let Some(item) = item.filter(|&at| !self.is_kind(at, Kind::None)) else {
            // Not in the pool's initializer.
            let inner = self.known(stack.get(at + 1)?).module;
            return (inner == Some(Module::ProcessQueues)).then_some((None, None));
        };
        if is_executor {
            let number = self.count(self.attribute(item, "work_id").ok()??)?;
            return Some((Some(number), None));
        }
        // `map` has a function of its own around that of the program.
        let inner = stack.get(at + 1..).unwrap_or_default().iter().find_map(|frame| {
            let code = self.code(frame.code).ok()?;
            let is_own = code.place.module() != Some(Module::ProcessPool);
            is_own.then(|| code.place.function.to_string())
        });
        let function = || self.callable_name(self.local(frame, "func").ok()??);
        Some((Some(self.count(item)?), inner.or_else(function)))
    }

    /// The worker threads of anyio.
    pub fn anyio_workers(&self, stacks: &[&Stack]) -> Vec<AnyioWorker> {
        let mut workers = Vec::new();
        for (thread, stack) in stacks.iter().enumerate() {
            let run = stack.frames.iter().enumerate().find(|(_, frame)| {
                matches!(self.known(frame).purpose, Some(Purpose::AnyioWorker | Purpose::AnyioRun))
            });
            let Some((i, frame)) = run else { continue };
            let Ok(locals) = self.locals(frame) else { continue };
            let local =
                |name: &str| locals.iter().find(|(local, _)| &**local == name).map(|&(_, at)| at);
            let Some(at) = local("self") else { continue };
            let is_worker =
                self.class_of(at).is_ok_and(|class| self.is_subclass_named(&class, "WorkerThread"));
            if !is_worker {
                continue;
            }
            // Its variables keep the last call while it waits for the next one.
            let inner = stack.frames.get(i + 1);
            let is_idle =
                inner.is_some_and(|frame| self.known(frame).module == Some(Module::Queue));
            let busy = |name| local(name).filter(|_| !is_idle);
            // A framework's helper that calls the program's function, such as FastAPI's for an endpoint.
            let own = || self.first_own(stack.frames.get(i + 1..)?);
            let called = |at| own().or_else(|| self.called_function(at, busy("args")));
            let function = busy("func").and_then(called);
            let future = busy("future").filter(|&at| self.kind_of(at).is_ok_and(Kind::is_future));
            workers.push(AnyioWorker { thread, at, future, function });
        }
        workers
    }

    /// The first function of the program's own in a stack that begins with a library's.
    fn first_own(&self, frames: &[RawFrame]) -> Option<String> {
        let mut places =
            frames.iter().filter_map(|frame| Some(self.code(frame.code).ok()?.place.clone()));
        places.next().filter(|place| place.origin != Origin::Own)?;
        Some(places.find(|place| place.origin == Origin::Own)?.function.to_string())
    }

    /// The `anyio.CapacityLimiter` that the frames of an await chain wait for.
    pub fn capacity_limiter(&self, chain: &[RawFrame]) -> Option<LimiterFacts> {
        let frame = chain
            .iter()
            .rev()
            .find(|frame| self.known(frame).purpose == Some(Purpose::AnyioLimiter))?;
        let locals = self.locals(frame).ok()?;
        let local =
            |name: &str| locals.iter().find(|(local, _)| &**local == name).map(|&(_, at)| at);
        let at = local("self")?;
        let [total, borrowers, queue] =
            self.attributes_named(at, ["_total_tokens", "_borrowers", "_wait_queue"]).ok()?;
        let borrowers = borrowers.and_then(|at| self.set(at).ok());
        // An ordered dictionary of borrowers and their events; an `OrderedDict` is a dict.
        let queue = queue.and_then(|at| self.dict(at, MAX_ITEMS).ok());
        let waiter = local("borrower");
        let position = queue.as_ref().and_then(|queue| {
            let place = queue.iter().position(|&(borrower, _)| Some(borrower) == waiter)?;
            Some(place as u64 + 1)
        });
        Some(LimiterFacts {
            at,
            borrowed: borrowers.as_ref().map(|all| all.len() as u64),
            total: total.filter(|&at| self.is_kind(at, Kind::Int)).and_then(|at| self.count(at)),
            borrowers: borrowers.unwrap_or_default(),
            waiters: queue.map(|queue| queue.len() as u64),
            position,
            call: self.limited_call(chain),
        })
    }

    /// The call in a worker thread that an await chain of anyio is about, queued or running.
    pub fn limited_call(&self, chain: &[RawFrame]) -> Option<LimitedCall> {
        let frame = chain
            .iter()
            .rev()
            .find(|frame| self.known(frame).purpose == Some(Purpose::AnyioCall))?;
        let local = |name| self.local(frame, name).ok().flatten();
        Some(LimitedCall {
            function: local("func").and_then(|at| self.called_function(at, local("args"))),
            is_default: local("limiter").is_some_and(|at| self.is_kind(at, Kind::None)),
        })
    }

    /// The `concurrent.futures.Future` that an asyncio future mirrors: one of `run_in_executor`,
    /// `to_thread` or `wrap_future`.
    pub fn source_of(&self, future: Address) -> Option<Address> {
        self.chained(future, Callback::Handback, "source")
    }

    /// The `concurrent.futures.Future` to which a task owes its result: one that was started by
    /// `run_coroutine_threadsafe`.
    pub fn destination_of(&self, task: Address) -> Option<Address> {
        self.chained(task, Callback::Handover, "destination")
    }

    /// The asyncio futures that mirror a `concurrent.futures.Future`.
    pub fn mirrors_of(&self, future: Address) -> Vec<Address> {
        let callbacks = self.attribute(future, "_done_callbacks").ok().flatten();
        let callbacks = callbacks.and_then(|at| self.list(at, MAX_FUTURES as u64).ok());
        callbacks
            .unwrap_or_default()
            .into_iter()
            .filter_map(|callback| self.chained_by(callback, Callback::Handover, "destination"))
            .filter(|&at| self.kind_of(at).is_ok_and(Kind::is_future))
            .collect()
    }

    fn chained(&self, future: Address, callback: Callback, cell: &str) -> Option<Address> {
        let callbacks = self.callbacks(future).ok()?;
        callbacks.into_iter().find_map(|at| self.chained_by(at, callback, cell))
    }

    /// The value of `cell` in a callback of `asyncio.futures._chain_future`.
    fn chained_by(&self, at: Address, callback: Callback, cell: &str) -> Option<Address> {
        if !self.is_kind(at, Kind::Function) {
            return None;
        }
        let is_it = Callback::of(&self.function_name(at).ok()?) == Some(callback);
        if is_it { self.closure(at, cell).ok()? } else { None }
    }

    /// How far a `concurrent.futures.Future` is: `PENDING`, `RUNNING`, `FINISHED`, `CANCELLED`,
    /// `CANCELLED_AND_NOTIFIED`.
    pub fn concurrent_state(&self, future: Address) -> Option<Arc<str>> {
        self.name(self.attribute(future, "_state").ok()??).ok()
    }

    /// What is known of the function of a frame.
    fn known(&self, frame: &RawFrame) -> Known {
        self.code(frame.code).map(|code| code.place.known).unwrap_or_default()
    }

    /// The value of an `int` that counts something.
    fn count(&self, at: Address) -> Option<u64> {
        if !self.is_kind(at, Kind::Int) {
            return None;
        }
        u64::try_from(self.int(at).ok()?).ok()
    }
}

/// A pool of which nothing was read yet.
fn empty(at: Address) -> PoolFacts {
    PoolFacts {
        at,
        class: None,
        prefix: None,
        max_workers: None,
        workers: Vec::new(),
        queued: Vec::new(),
        queued_count: None,
        is_shut_down: None,
        processes: None,
    }
}
