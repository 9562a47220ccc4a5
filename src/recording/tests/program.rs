//! Snapshots made by hand: one with every fact that there is, and those of a program whose tasks
//! come, go and move by chance.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::memory::{Address, ReadStats};
use crate::snapshot::*;

/// Numbers by chance, the same in each run.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

pub fn location(function: &str, line: u32) -> Arc<Location> {
    let (function, file) = (function.into(), "/srv/app.py".into());
    Arc::new(Location {
        function,
        file,
        line: Some(line),
        column: (line > 50).then_some(4),
        definition: None,
        origin: Origin::Own,
        root_len: 0,
        known: crate::known::Known::default(),
    })
}

pub fn frames(of: &[(&str, u32)]) -> Vec<Frame> {
    let frame = |&(function, line)| Frame { location: location(function, line), locals: None };
    of.iter().map(frame).collect()
}

/// One wait of each kind, with every fact that there is.
pub fn reasons(ms: i64) -> Vec<Waiting> {
    let position = Position { at: Some(2), of: Some(5) };
    let count = Count { value: Some(-3), limit: Some(9) };
    let children = Children { pending: 1, return_exceptions: Some(false), ..Children::default() };
    let others = || Others { tasks: vec![Address(3)], children: Some(children) };
    let acquire =
        || Acquire { holders: vec![Address(1), Address(2)].into(), position, ..Acquire::default() };
    let program = || Program { pid: Some(12), name: Some("work".to_owned()) };
    let descriptor = Descriptor {
        operation: Some(Operation::Connect),
        fd: Some(-1),
        peer: Some("tcp 10.0.0.5:5432".to_owned()),
        socket: Some(Box::new(Socket {
            protocol: "tcp",
            local: Some("127.0.0.1:1".to_owned()),
            remote: None,
            state: Some("closing (closed here)"),
            receive_queue: Some(0),
            send_queue: Some(7),
            tcp: None,
            is_watched: None,
            is_accepted: false,
            client: None,
        })),
        program: program(),
    };
    let function = Some("work".to_owned());
    let waits = [
        Wait::Socket(descriptor),
        Wait::Timer,
        Wait::Task { operation: Some(Operation::AsCompleted), others: others() },
        Wait::Gather(others()),
        Wait::TaskGroup(others()),
        Wait::Future {
            stands_for: Some("next request of gRPC".into()),
            callbacks: vec!["f".to_owned()],
            is_served: Some(false),
        },
        Wait::Lock(acquire()),
        Wait::Semaphore { acquire: acquire(), permits: count },
        Wait::Condition(position),
        Wait::Event(position),
        Wait::Queue { operation: Some(Operation::Put), items: count, position },
        Wait::Pool {
            pool: Some("asyncpg's pool".into()),
            acquire: acquire(),
            out: count,
            held: 2,
            lost: 1,
            unseen: 3,
        },
        Wait::Barrier(count),
        Wait::Executor { function, thread: Some(4711), position },
        Wait::Subprocess(program()),
        Wait::Thread { thread: Some(4711), tasks: vec![Address(3)] },
        Wait::Asyncgen,
        Wait::Ready(position),
        Wait::Running,
        Wait::Unknown,
    ];
    let due_in = Some(SignedDuration::from_millis(-70));
    let waiting = |wait| Waiting {
        wait,
        description: String::new(),
        object: Some(Address(0x7f00_0000_1000)),
        class: Some("asyncio.locks.Lock".into()),
        name: Some("self.lock".to_owned()),
        since: Some(Duration::from_millis(5)),
        due_in: Some(SignedDuration::from_millis(ms)),
        deadlines: vec![Deadline { frame: Some(0), due_in }],
        foreign_loop: Some(Address(8)),
    };
    waits.into_iter().map(|wait| waiting(wait).in_words()).collect()
}

pub fn process(at: Timestamp) -> Process {
    Process {
        parent: None,
        container: None,
        pid: 4711,
        namespace_pid: Some(1),
        cmdline: vec!["python".to_owned(), "ä".to_owned()],
        exe: Some("/usr/bin/python".to_owned()),
        python: Some("3.13.0".to_owned()),
        implementation: Some("cpython".to_owned()),
        free_threaded: Some(false),
        debug_build: Some(true),
        started_at: Some(at),
    }
}

pub fn pool() -> Executor {
    Executor {
        id: Some(Address(0x99)),
        name: Some("pool".to_owned()),
        workers: Some(2),
        max_workers: Some(4),
        idle: Some(0),
        queued: Some(3),
        is_shut_down: Some(true),
        limiter: Some(Limiter::Own),
        jobs: vec![Job {
            function: Some("job".to_owned()),
            thread: Some(4712),
            task: Some(Address(0x10)),
            elapsed: Some(Duration::from_millis(40)),
            id: Address(0x77),
            process: Some(4713),
            number: None,
        }],
        ..Executor::default()
    }
}

pub fn event_loop() -> Loop {
    let blocking = Blocking {
        kind: BlockingKind::FutureResult,
        description: "result()".to_owned(),
        fd: Some(3),
        peer: Some("/tmp/x".to_owned()),
        frame: frames(&[("f", 3)]).pop(),
        task: Some(Address(1)),
        thread: Some(2),
        loop_id: Some(Address(3)),
    };
    Loop {
        id: Address(0x5000),
        class: "uvloop.Loop".to_owned(),
        thread: Some(4711),
        state: Some(LoopState::Blocked),
        iteration: Some(Iteration {
            phase: Phase::Ready,
            elapsed: Some(Duration::from_millis(300)),
            callbacks_run: Some(1),
            callbacks_total: Some(2),
            handle: Some("task a".to_owned()),
        }),
        lag: Some(Duration::from_millis(1)),
        ready: Some(3),
        scheduled: Some(4),
        debug: Some(true),
        blocking: Some(blocking),
        wake_sources: None,
        executor: Some(pool()),
        nested_in: Some(Address(0x4000)),
        polls_without_waiting: Some(true),
        iteration_id: Some(77),
        idle_for: Some(Duration::from_millis(2)),
        inherited_from: None,
        ready_handles: vec!["h".to_owned()],
        grounds: None,
    }
}

pub fn task_with_all(id: u64, waiting: Waiting) -> Task {
    let mut locals = frames(&[("f", 1)]);
    locals[0].locals = Some(vec![("x".into(), "1".to_owned())]);
    Task {
        id: Address(id),
        name: Some("a".into()),
        loop_id: Some(Address(0x5000)),
        state: Some(TaskState::Failed),
        class: Some("_asyncio.Task".into()),
        coroutine: Some("main".into()),
        frames: locals,
        waiting_on: Some(Box::new(waiting)),
        fut_waiter: Some(Address(0x20)),
        awaited_by: vec![Address(0x30)],
        cancellation: Some(Cancellation {
            requested: Some(2),
            must_cancel: true,
            in_flight: true,
            handling: Some(0),
            message: Some("m".to_owned()),
        }),
        work: Some(Arc::new(Work {
            kind: Some(WorkKind::Request),
            verb: Some("GET".into()),
            name: "/orders/{id}".into(),
            path: None,
            peer: Some("10.0.0.5:5432".into()),
            client: None,
            id: Some("r1".into()),
            trace: Some("0af7".into()),
            since: Some(Age::at_least(Duration::from_millis(31), Source::Frame)),
            is_inherited: true,
            identity: Some(Address(0x40)),
        })),
        call: Some(Arc::new(Work { name: "SELECT ?".into(), ..Work::default() })),
        swallower: Some(Swallower {
            location: location("f", 60),
            clause: "suppress",
            is_sure: true,
        }),
        is_torn: true,
        ..Task::default()
    }
}

/// A snapshot in which nothing is left out, at a moment.
pub fn full(at: Timestamp) -> Snapshot {
    let mut snapshot = Snapshot::new(process(at), at);
    snapshot.told_from = Some(Duration::from_secs(100));
    snapshot.elapsed = Duration::from_nanos(1_234_567);
    snapshot.consistency = Consistency::SameStep;
    snapshot.depth = Depth::Reasons;
    snapshot.looks = Some(2);
    snapshot.reads = ReadStats { calls: 9, bytes: 1 << 20 };
    snapshot.threads = vec![Thread {
        tid: Some(4711),
        name: Some("MainThread".to_owned()),
        interpreter: Some(1),
        state: Some(ThreadState::Uninterruptible),
        syscall: Some(Syscall { name: "read".to_owned(), fd: Some(5), peer: Some("p".to_owned()) }),
        waiting_on: reasons(10).into_iter().next().map(Box::new),
        grounds: None,
        cpu_time: Some(Duration::from_millis(70)),
        frames: frames(&[("<module>", 1), ("main", 99)]),
        native: None,
    }];
    snapshot.loops = vec![event_loop()];
    snapshot.executors = vec![pool()];
    snapshot.shutdown = Some(Shutdown {
        stage: Stage::DefaultExecutor,
        by: "uvicorn".to_owned(),
        loop_id: Some(Address(0x5000)),
        frame: frames(&[("run", 7)]).pop(),
        task: Some(Address(0x10)),
        grounds: None,
        tasks: vec![Address(0x10)],
        threads: vec![4711],
    });
    let place = Location::by_path("f".into(), "/srv/a.py".into(), Some(3));
    let age = Age::at_least(Duration::from_secs(2), Source::Samples);
    snapshot.findings = Some(vec![Finding {
        id: FindingId(2),
        code: Code::LoopSelfDeadlock,
        severity: Severity::Critical,
        sureness: Sureness::Guessed,
        title: Sentence::name("it")
            .verb("hangs", "hung")
            .then("for")
            .lasting(Some(age))
            .lasted(Some(age))
            .so_many((3, "task"), ["waits", "wait", "waited"]),
        loop_id: Some(Address(0x5000)),
        tasks: vec![Address(0x10)],
        tasks_left_out: 3,
        evidence: vec![
            Evidence { role: Some(Role::Holder), ..Evidence::from("so").at(Some(&place)) },
            Evidence { task: Some(Address(0x10)), since: Some(age), ..Evidence::default() },
        ],
        advice: "Do not.".to_owned(),
        because_of: Some(FindingId(1)),
        key: "loop-self-deadlock/a.py:f".to_owned(),
        since: Some(Age::exact(Duration::from_secs(3), Source::Iteration)),
        cause: Some(Cause::Quota {
            group: "/pod".to_owned(),
            quota: Duration::from_millis(8),
            period: Duration::from_millis(100),
            throttled: 2,
            periods: 3,
        }),
        roles: vec![Members { role: Role::Waiter, count: 40, first: vec![Address(0x10)] }],
        place: Some(Arc::new(place.clone())),
        is_allowed: false,
        brief: String::new(),
        pending: None,
        pid: None,
        also_in: Vec::new(),
    }]);
    snapshot.problems = vec![Problem {
        place: "task".to_owned(),
        wanted: "name".to_owned(),
        cause: "torn".to_owned(),
    }];
    let waits = (0x10..).zip(reasons(-4));
    snapshot.tasks = waits.map(|(id, waiting)| task_with_all(id, waiting)).collect();
    snapshot.conclude_in_series();
    snapshot
}

/// A program in which some tasks move by chance, some come and some go: so many samples of it.
pub fn series(samples: u64) -> Vec<Snapshot> {
    let mut chance = Chance(7);
    let mut tasks: Vec<Task> = Vec::new();
    let mut next = 0x1000;
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let mut all = Vec::new();
    for number in 0..samples {
        let at = start + Duration::from_millis(10) * u32::try_from(number).unwrap();
        let mut snapshot = if number % 40 == 39 {
            full(at)
        } else {
            Snapshot::new(Process { pid: 4711, ..Process::default() }, at)
        };
        let clock = Duration::from_millis(5_000 + 10 * number);
        snapshot.told_from = Some(clock);
        snapshot.depth = Depth::Reasons;
        if tasks.len() < 30 || chance.below(3) == 0 {
            next += 0x10;
            let line = u32::try_from(chance.below(90)).unwrap();
            let at = usize::try_from(chance.below(tasks.len() as u64 + 1)).unwrap();
            tasks.insert(
                at,
                Task {
                    id: Address(next),
                    name: Some(format!("task-{next}").into()),
                    state: Some(TaskState::Pending),
                    frames: frames(&[("main", 1), ("work", line)]),
                    ..Task::default()
                },
            );
        } else {
            tasks.remove(usize::try_from(chance.below(tasks.len() as u64)).unwrap());
        }
        // A set that was rebuilt has another order.
        if chance.below(20) == 0 {
            tasks.reverse();
        }
        let moving = usize::try_from(chance.below(tasks.len() as u64)).unwrap();
        tasks[moving].state = Some(TaskState::Running);
        tasks[moving].frames = frames(&[("main", 1), ("work", 3), ("inner", 80)]);
        snapshot.tasks.extend(tasks.iter().cloned().map(|mut task| {
            // Each is due at a moment of its own, whatever the time is.
            let due = SignedDuration::from_millis(i64::try_from(task.id.0).unwrap());
            let now = SignedDuration::try_from(clock).unwrap();
            task.waiting_on = Some(Box::new(
                Waiting {
                    due_in: Some(due - now),
                    since: Some(clock.checked_sub(Duration::from_secs(4)).unwrap()),
                    ..Wait::Timer.into()
                }
                .in_words(),
            ));
            task
        }));
        all.push(snapshot);
    }
    all
}
