//! Thread pools: what their threads run, what waits in line, and for which task.

use std::cell::{OnceCell, RefCell};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::asyncio::{
    AnyioWorker, FutureState, LimiterFacts, PoolFacts, ServedCall, TaskFacts, ThreadWait, WorkItem,
};
use crate::asyncio::{Reading, ThreadReading};
use crate::memory::Address;
use crate::python::frame::Stack;
use crate::python::object::Reader;
use crate::snapshot::{
    Acquire, Count, Executor, Job, Limiter, Operation, Others, Position, Wait, Waiting,
    WorkerProcess,
};

/// The pools of a reading, and where each call is.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    all: Vec<PoolFacts>,
    /// The calls of `concurrent.futures`, by their futures.
    calls: FxHashMap<Address, Call>,
    /// The default executor of each loop.
    defaults: FxHashMap<Address, Address>,
    anyio: Vec<AnyioWorker>,
    /// The calls of threads that belong to no pool, by their futures.
    served: FxHashMap<Address, ServedCall>,
    /// Tasks that owe their result to a `concurrent.futures.Future`, by that.
    owed: OnceCell<FxHashMap<Address, Address>>,
    /// What each future mirrors: asked once, however many tasks wait for it.
    sources: RefCell<FxHashMap<Address, Option<Address>>>,
}

/// A limit of anyio at which calls for threads wait, and only such.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    /// What was read of it for one who waits.
    pub facts: LimiterFacts,
    /// The variable that has it.
    pub name: Option<String>,
}

/// Where a call is.
#[derive(Debug, Clone)]
struct Call {
    pool: usize,
    /// Which of the threads runs it.
    thread: Option<usize>,
    /// Its place in the line, from 1.
    position: Option<u64>,
    function: Option<String>,
}

impl Pools {
    /// Reads the pools that the loops and the stacks of the threads lead to.
    pub(crate) fn read(reader: &Reader<'_>, reading: &Reading) -> Self {
        let stacks: Vec<&Stack> = reading.threads.iter().map(|thread| &thread.stack).collect();
        let executor = |at| Some((at, reader.default_executor(at)?));
        let defaults: FxHashMap<_, _> =
            reading.loops.iter().filter_map(|facts| executor(facts.at)).collect();
        let executors: Vec<Address> = defaults.values().copied().collect();
        let pools = reader.pools(&stacks, &executors);
        let mut calls = FxHashMap::default();
        for (pool, facts) in pools.iter().enumerate() {
            let mut put = |item: &WorkItem, thread, position| {
                let function = item.function.clone();
                calls.insert(item.future, Call { pool, thread, position, function });
            };
            for (item, position) in facts.queued.iter().zip(1..) {
                put(item, None, Some(position));
            }
            for worker in &facts.workers {
                if let Some(item) = &worker.item {
                    put(item, Some(worker.thread), None);
                }
            }
            for item in facts.processes.iter().flat_map(|processes| &processes.running) {
                put(item, None, None);
            }
        }
        let anyio = reader.anyio_workers(&stacks);
        let waits = reading.tasks.iter().filter(|task| task.state == FutureState::Pending);
        let futures = waits.filter_map(|task| task.fut_waiter);
        let is_future =
            |at: &Address| reader.kind_of(*at).is_ok_and(|it| it.is_future() && !it.is_task());
        let awaited = futures.filter(is_future).collect();
        let served = reader.served_calls(&stacks, &reading.loops, &awaited);
        Self {
            all: pools,
            calls,
            defaults,
            anyio,
            served: served.into_iter().map(|call| (call.future, call)).collect(),
            owed: OnceCell::new(),
            sources: RefCell::default(),
        }
    }

    /// The `concurrent.futures.Future` that a future mirrors.
    fn source_of(&self, reader: &Reader<'_>, future: Address) -> Option<Address> {
        let mut sources = self.sources.borrow_mut();
        *sources.entry(future).or_insert_with(|| reader.source_of(future))
    }

    /// The task that owes its result to a `concurrent.futures.Future`.
    fn debtor(&self, reader: &Reader<'_>, reading: &Reading, future: Address) -> Option<Address> {
        let owed = self.owed.get_or_init(|| {
            let tasks = reading.tasks.iter().filter(|task| task.has_awaiters);
            tasks.filter_map(|task| Some((reader.destination_of(task.at)?, task.at))).collect()
        });
        owed.get(&future).copied()
    }

    /// What a task waits for whose future mirrors one of another thread.
    pub(crate) fn wait_of(
        &self,
        reader: &Reader<'_>,
        reading: &Reading,
        future: Address,
    ) -> Option<Waiting> {
        let tid = |thread: usize| reading.threads.get(thread)?.tid;
        if let Some(worker) = self.anyio.iter().find(|worker| worker.future == Some(future)) {
            let wait = Wait::Executor {
                function: worker.function.clone(),
                thread: tid(worker.thread),
                position: Position::default(),
            };
            return Some(wait.into());
        }
        if let Some(call) = self.served.get(&future) {
            let position = call
                .position
                .map_or_else(Position::default, |(at, of)| Position { at: Some(at), of: Some(of) });
            let (function, thread) = (call.function.clone(), tid(call.thread));
            return Some(Wait::Executor { function, thread, position }.into());
        }
        let source = self.source_of(reader, future)?;
        if let Some(call) = self.calls.get(&source) {
            let pool = self.all.get(call.pool);
            let of = call.position.and_then(|_| pool?.queued_count);
            let wait = Wait::Executor {
                function: call.function.clone(),
                thread: call.thread.and_then(tid),
                position: Position { at: call.position, of },
            };
            return Some(Waiting { object: pool.map(|pool| pool.at), ..wait.into() });
        }
        // A task of another loop, or any thread that will set the result.
        let tasks = self.debtor(reader, reading, source).into_iter().collect();
        Some(Waiting { object: Some(source), ..Wait::Thread { thread: None, tasks }.into() })
    }

    /// What a thread waits for, when that is the work of a task, a pool or another thread.
    pub(crate) fn wait_of_thread(
        &self,
        reader: &Reader<'_>,
        reading: &Reading,
        stack: &Stack,
    ) -> Option<Waiting> {
        let thread_of = |ident: u64| {
            let mut threads = reading.threads.iter();
            threads.find(|thread| thread.state.ident == ident)?.tid
        };
        let debtor = |future| self.debtor(reader, reading, future);
        let of_tasks =
            |operation, tasks| Wait::Task { operation, others: Others { tasks, children: None } };
        let of_queue = |operation| Wait::Queue {
            operation: Some(operation),
            items: Count::default(),
            position: Position::default(),
        };
        let (object, wait) = match reader.thread_waits_for(stack)? {
            ThreadWait::Future(future) => match (debtor(future), self.calls.get(&future)) {
                (Some(task), _) => (Some(future), of_tasks(None, vec![task])),
                (None, Some(call)) => {
                    let wait = Wait::Executor {
                        function: call.function.clone(),
                        thread: call.thread.and_then(|thread| reading.threads.get(thread)?.tid),
                        position: Position { at: call.position, of: None },
                    };
                    (self.all.get(call.pool).map(|pool| pool.at), wait)
                }
                (None, None) => (
                    Some(future),
                    Wait::Future { stands_for: None, callbacks: Vec::new(), is_served: None },
                ),
            },
            ThreadWait::Futures(futures) => {
                let tasks = futures.into_iter().filter_map(debtor).collect();
                (None, of_tasks(Some(Operation::Wait), tasks))
            }
            ThreadWait::Join { thread, ident } => {
                let tid = ident.and_then(thread_of);
                (Some(thread), Wait::Thread { thread: tid, tasks: Vec::new() })
            }
            ThreadWait::Loop(event_loop) => {
                let runs = |thread: &&ThreadReading| thread.runs(event_loop);
                let tid = reading.threads.iter().find(runs)?.tid;
                (Some(event_loop), Wait::Thread { thread: tid, tasks: Vec::new() })
            }
            ThreadWait::QueueGet(queue) => (Some(queue), of_queue(Operation::Get)),
            ThreadWait::QueuePut(queue) => (Some(queue), of_queue(Operation::Put)),
            ThreadWait::QueueJoin(queue) => (Some(queue), of_queue(Operation::Join)),
            ThreadWait::Event(event) => (Some(event), Wait::Event(Position::default())),
            ThreadWait::Condition(condition) => {
                (Some(condition), Wait::Condition(Position::default()))
            }
            ThreadWait::Semaphore(semaphore) => {
                let (acquire, permits) = (Acquire::default(), Count::default());
                (Some(semaphore), Wait::Semaphore { acquire, permits })
            }
            ThreadWait::Barrier(barrier) => (Some(barrier), Wait::Barrier(Count::default())),
            ThreadWait::Run(task) => (Some(task), of_tasks(None, vec![task])),
            ThreadWait::PoolResult(result) => {
                let call = self.calls.get(&result)?;
                let (function, position) = (call.function.clone(), Position::default());
                let wait = Wait::Executor { function, thread: None, position };
                (self.all.get(call.pool).map(|pool| pool.at), wait)
            }
            // Idle.
            ThreadWait::Work(_) => return None,
        };
        Some(Waiting { object, ..wait.into() })
    }

    /// The default executor of a loop, among those of [`executors`](Self::executors).
    pub(crate) fn default_of(&self, loop_at: Address) -> Option<usize> {
        let executor = self.defaults.get(&loop_at)?;
        self.all.iter().position(|pool| pool.at == *executor)
    }

    /// A limit of anyio as plain data.
    fn limit(&self, reading: &Reading, limit: &Limit) -> Executor {
        let facts = &limit.facts;
        let borrowers: FxHashSet<Address> = facts.borrowers.iter().copied().collect();
        let borrowers = reading.tasks.iter().filter(|task| borrowers.contains(&task.at));
        let job = |task: &TaskFacts| {
            let of_task = |known: &&AnyioWorker| known.future == task.fut_waiter;
            let worker = self.anyio.iter().find(of_task).filter(|it| it.future.is_some())?;
            Some(Job {
                function: worker.function.clone(),
                thread: reading.threads.get(worker.thread)?.tid,
                task: Some(task.at),
                id: worker.future?,
                ..Job::default()
            })
        };
        let is_default = facts.call.as_ref().is_some_and(|call| call.is_default);
        let free = facts.total.zip(facts.borrowed).map(|(all, taken)| all.saturating_sub(taken));
        Executor {
            id: Some(facts.at),
            name: limit.name.clone(),
            workers: facts.total,
            max_workers: facts.total,
            idle: free,
            queued: facts.waiters,
            is_shut_down: None,
            limiter: Some(if is_default { Limiter::Default } else { Limiter::Own }),
            jobs: borrowers.filter_map(job).collect(),
            ..Executor::default()
        }
    }

    /// The pools as plain data, with the tasks that wait for their calls; and the limits of anyio
    /// behind them.
    pub(crate) fn executors(
        &self,
        reader: &Reader<'_>,
        reading: &Reading,
        limits: &[Limit],
    ) -> Vec<Executor> {
        let mut waiting: FxHashMap<Address, Address> = FxHashMap::default();
        if !self.calls.is_empty() {
            for task in &reading.tasks {
                if let Some(source) = task.fut_waiter.and_then(|at| self.source_of(reader, at)) {
                    waiting.insert(source, task.at);
                }
            }
        }
        let executor = |pool: &PoolFacts| {
            let job = |item: &WorkItem, thread: Option<usize>| Job {
                function: item.function.clone(),
                thread: thread.and_then(|thread| reading.threads.get(thread)?.tid),
                process: None,
                task: waiting.get(&item.future).copied(),
                elapsed: None,
                id: item.at,
                number: item.number,
            };
            let workers = pool.workers.iter();
            let mut jobs: Vec<Job> = workers
                .filter_map(|worker| Some(job(worker.item.as_ref()?, Some(worker.thread))))
                .collect();
            let processes = pool.processes.as_ref();
            jobs.extend(processes.iter().flat_map(|p| &p.running).map(|item| job(item, None)));
            let threads = pool.workers.len();
            let idle = pool.workers.iter().filter(|worker| worker.is_idle).count();
            Executor {
                id: Some(pool.at),
                name: pool.prefix.clone(),
                workers: Some(processes.map_or(threads, |p| p.pids.len()) as u64),
                max_workers: pool.max_workers,
                idle: processes.is_none().then_some(idle as u64),
                queued: pool.queued_count,
                is_shut_down: pool.is_shut_down,
                limiter: None,
                jobs,
                processes: processes.map(|processes| {
                    let process = |&pid| WorkerProcess { pid, ..WorkerProcess::default() };
                    processes.pids.iter().map(process).collect()
                }),
                manager: processes.and_then(|it| reading.threads.get(it.manager?)?.tid),
                owed: Vec::new(),
            }
        };
        let limits = limits.iter().map(|limit| self.limit(reading, limit));
        self.all.iter().map(executor).chain(limits).collect()
    }
}
