//! What the screen is driven by: feeds as the sampler makes them, of targets in many states.

use std::sync::Arc;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Age, BlockingKind, Cancellation, Code, Count, Descriptor, Executor, FindingId, Job, Location,
    LoopState, Occupation, Position, Problem, Severity, Shutdown, Snapshot, Source, Stage, Subject,
    SubjectKind, Swallower, Syscall, Task, TaskState, Thread, ThreadState, Wait, Work, WorkKind,
};
use aiospy::timeline::{Fate, Life, LoopTiming, Places, Spread, States, Stretch, Turn};
use jiff::{SignedDuration, Timestamp};

use crate::report::text::sample::{
    FUTURE, Sources, bank, bank_source, blocked, fact, finding, frames, id, others,
    shop as shop_of_sample, shop_source, snapshot, task, unheeded, waits,
};
use crate::top::feed::{Cancelled, Feed, LoopHistory, OpenFinding, Point, SharedFiles};
use crate::top::finished::Figures;

/// When all of them are taken.
pub fn now() -> Timestamp {
    "2024-11-02T06:00:00Z".parse().unwrap()
}

/// A feed of a snapshot, with what was found in it open for some seconds.
pub fn feed(mut snapshot: Snapshot) -> Feed {
    snapshot.looks = Some(2);
    snapshot.findings.get_or_insert_default();
    snapshot.conclude_in_series();
    let since = now() - SignedDuration::from_secs(12);
    let findings = snapshot.findings.clone().unwrap_or_default();
    let findings =
        (1..).zip(findings).map(|(number, it)| OpenFinding::new(number, since, it)).collect();
    Feed {
        at: now(),
        findings: OpenFinding::ordered(findings),
        blocked: Arc::default(),
        ongoing: Arc::default(),
        places: Arc::default(),
        cancelled: Arc::default(),
        lives: snapshot.tasks.iter().map(|task| Some(lived(task))).collect(),
        loops: snapshot.loops.iter().map(|_| history(60)).collect(),
        finished: None,
        files: None,
        rate: 10.0,
        samples: 4211,
        missed: 3,
        unreadable: None,
        is_ended: false,
        place: None,
        snapshot: Arc::new(snapshot),
    }
}

/// Some seconds of standing still, if it is parked.
fn lived(task: &Task) -> Life {
    let is_parked = task.state == Some(TaskState::Pending);
    Life {
        age: Duration::from_secs(45),
        is_born: false,
        steps: 2,
        at_await: is_parked.then(|| Duration::from_millis(12_400)),
        seen: States::default(),
    }
}

fn history(points: u64) -> LoopHistory {
    let point = |n: u64| {
        let lag = [0, 1, 0, 4, 12, 0, 35, 140, 2, 0][usize::try_from(n % 10).unwrap()];
        let lag = if n == points - 8 { 1400 } else { lag };
        Point {
            lag: (n % 17 != 3).then(|| Duration::from_millis(lag)),
            ready: Some(n % 7),
            scheduled: Some(3),
        }
    };
    LoopHistory {
        timing: Some(LoopTiming {
            glances: 400,
            busy: 0.123,
            iterations: 87,
            callbacks_mean: Some(2.4),
            callbacks_max: Some(12),
            lag_mean_ms: Some(0.9),
            lag_max_ms: Some(12.0),
            poll: None,
            ready: Some(Spread { p50_ms: 0.4, p90_ms: 3.1, p99_ms: 140.2, max_ms: 1400.0 }),
        }),
        past: (0..points).map(point).collect(),
        now: point(points),
        lengths: Some([612, 180, 44, 12, 5, 3, 0, 1, 0]),
    }
}

/// A bank that stands still.
pub fn standstill() -> Feed {
    let files: SharedFiles = Arc::new(bank_source());
    Feed { files: Some(files), ..feed(bank()) }
}

/// A shop whose requests queue behind a peer that is silent.
pub fn shop() -> Feed {
    let mut snapshot = shop_of_sample();
    let works = snapshot.tasks.iter_mut().filter_map(|task| task.work.as_mut());
    for (number, work) in works.filter(|work| work.identity.is_some()).enumerate() {
        let work = Arc::make_mut(work);
        work.path = Some(work.name.replace("{sku}", &format!("sku{number}")).into());
        work.client = Some(format!("127.0.0.1:{}", 52_418 + 4 * number).into());
        work.trace = (number % 3 == 0)
            .then(|| format!("{:x}{:024x}", 0xaf76_5191 + number, 0x16cd_43dd).into());
    }
    Feed { files: Some(Arc::new(shop_source())), ..feed(snapshot) }
}

/// An API of which requests finish all the time.
pub fn busy() -> Feed {
    let request = |number: u64, route: &str, place: &str, ms: u64| {
        let mut task = task(number, &format!("Task-{number}"), &[place], &[]);
        task.work = Some(Arc::new(Work {
            kind: Some(WorkKind::Request),
            verb: Some("GET".into()),
            name: route.into(),
            since: Some(Age::exact(Duration::from_millis(ms), Source::Connection)),
            identity: Some(Address(0x9000_0000 + number)),
            ..Work::default()
        }));
        waits(task, Wait::Timer, "")
    };
    let mut tasks: Vec<Task> = (0..6)
        .map(|number| request(number, "/orders/{i}", "order /srv/api.py:9", 279 - 30 * number))
        .collect();
    tasks.push(request(7, "/export", "export /srv/api.py:16", 432));
    tasks.push(task(9, "heartbeat", &["beat /srv/api.py:30"], &[]));
    let mut snapshot = snapshot(tasks);
    snapshot.findings = Some(Vec::new());
    let figures = |route: &str, rate, times: Option<(u64, u64)>, most: u32| {
        let subject = Subject { kind: SubjectKind::Work(WorkKind::Request), name: route.into() };
        let at = |ms: Option<u64>| ms.map(Duration::from_millis);
        let (p50, p95) = (at(times.map(|it| it.0)), at(times.map(|it| it.1)));
        let mut in_flight = [None; 10];
        for (point, count) in in_flight.iter_mut().skip(3).zip([0, 1, 2, most, most, 1, most]) {
            *point = Some(most.min(count));
        }
        (subject, Figures { count: 3, in_flight, rate: Some(rate), p50, p95 })
    };
    let finished = [
        figures("GET /orders/{i}", 31.26, Some((212, 296)), 9),
        figures("GET /export", 4.9, Some((402, 503)), 2),
        figures("GET /slowjson", 0.0499, None, 1),
    ];
    Feed { finished: Some(Arc::new(finished.into_iter().collect())), ..feed(snapshot) }
}

/// Two deadlocks, each with a convoy behind it.
pub fn two_deadlocks() -> Feed {
    let found = |number: u64, code, title: &str, cause: Option<u64>| {
        let mut found = finding(code, Severity::Critical, title, &[]);
        (found.id, found.because_of) = (FindingId(number), cause.map(FindingId));
        found
    };
    let mut snapshot = bank();
    snapshot.findings = Some(vec![
        found(1, Code::Deadlock, "pay and refund are stuck", None),
        found(2, Code::Deadlock, "ship and restock are stuck", None),
        found(3, Code::LockConvoy, "8 queue behind pay", Some(1)),
        found(4, Code::LockConvoy, "9 queue behind ship", Some(2)),
    ]);
    feed(snapshot)
}

/// Nothing is wrong.
pub fn healthy() -> Feed {
    let mut snapshot = snapshot(vec![
        waits(
            task(1, "main", &["main /srv/orders/__main__.py:62"], &[]),
            Wait::Gather(others(&[])),
            "gather, 0 of 1 done",
        ),
        waits(
            task(
                2,
                "serve",
                &["serve /srv/orders/web.py:12", "Server.serve asyncio/base_events.py:380"],
                &[1],
            ),
            Wait::Socket(Descriptor::default()),
            "accept on tcp listening on 0.0.0.0:8080 (fd 7)",
        ),
    ]);
    snapshot.findings = Some(Vec::new());
    feed(snapshot)
}

/// Nothing is there at all.
pub fn empty() -> Feed {
    let mut snapshot = snapshot(Vec::new());
    snapshot.loops.clear();
    snapshot.threads.clear();
    snapshot.findings = Some(Vec::new());
    feed(snapshot)
}

fn stretch(
    ago_ms: i64,
    length_ms: u64,
    name: &str,
    place: &str,
    what: (BlockingKind, &str),
) -> Stretch {
    let stack: Vec<_> = frames(&["Handle._run asyncio/events.py:89", place])
        .into_iter()
        .map(|it| it.location)
        .collect();
    let work = Arc::new(Occupation {
        handle: Some(format!("task {name}")),
        task: Some(id(2)),
        place: stack.last().cloned(),
        stack,
        kind: what.0,
        description: what.1.to_owned(),
        peer: None,
        label: None,
    });
    Stretch {
        loop_id: crate::report::text::sample::LOOP,
        thread: Some(4711),
        began_at: now() - SignedDuration::from_millis(ago_ms),
        length: Duration::from_millis(length_ms),
        uncertainty: Duration::from_millis(2),
        is_over: true,
        samples: 40,
        waited: None,
        stacks: vec![(Arc::clone(&work), 38)],
        work: Some(work),
    }
}

/// A loop that is blocked now, and was before.
pub fn held() -> Feed {
    let rates =
        ["update_rates /srv/orders/rates.py:44", "RatesClient.read_answer /srv/orders/rates.py:30"];
    let mut tasks = vec![
        waits(
            task(1, "beat", &["beat /srv/orders/app.py:9"], &[]),
            Wait::Ready(Position::default()),
            "its turn",
        ),
        waits(task(2, "update-rates", &rates, &[]), Wait::Running, "running"),
    ];
    tasks[0].state = Some(TaskState::Ready);
    tasks[1].state = Some(TaskState::Running);
    let mut snapshot = blocked(tasks);
    let peer = "tcp 10.0.0.7:52114 -> 10.0.0.9:5432";
    let mut found = finding(
        Code::LoopBlocked,
        Severity::Critical,
        "\"update-rates\" has held the event loop for 2.3 s: recv from tcp 10.0.0.7:52114 -> 10.0.0.9:5432 at rates.py:30",
        &[2],
    );
    found.evidence = vec![
        fact(&format!("the thread sleeps in recvfrom of {peer} (fd 7)"), None),
        fact("", Some("RatesClient.read_answer /srv/orders/rates.py:30")),
    ];
    found.advice =
        "use asyncio's streams, or move the call to a thread with asyncio.to_thread".to_owned();
    snapshot.findings = Some(vec![found]);
    let recv = (BlockingKind::Socket, "recv from tcp 10.0.0.7:52114 -> 10.0.0.9:5432");
    let place = "RatesClient.read_answer /srv/orders/rates.py:30";
    let mut ongoing = stretch(2314, 2314, "update-rates", place, recv);
    ongoing.is_over = false;
    let past = [
        stretch(9_000, 1_204, "update-rates", place, recv),
        stretch(
            31_000,
            140,
            "audit-log",
            "hash_all /srv/orders/audit.py:12",
            (BlockingKind::Cpu, "computing"),
        ),
        stretch(
            64_000,
            300,
            "audit-log",
            "wait /srv/orders/audit.py:40",
            (BlockingKind::Sleep, "time.sleep"),
        ),
    ];
    let mut places = Places::default();
    for it in &past {
        places.note(it);
    }
    let rates = "\n".repeat(28)
        + "        while not self.answer:\n            chunk = self.socket.recv(65536)\n            self.answer += chunk\n";
    Feed {
        blocked: past.into_iter().map(Arc::new).collect(),
        ongoing: Arc::new([Arc::new(ongoing)]),
        places: places.totals().into(),
        files: Some(Arc::new(Sources::of(&[("/srv/orders/rates.py", &rates)]))),
        ..feed(snapshot)
    }
}

fn sleeping(number: u64, name: &str, cancellation: Cancellation) -> Task {
    let places = ["ship /srv/orders/audit.py:20", "sleep asyncio/tasks.py:718"];
    let mut task = waits(task(number, name, &places, &[1]), Wait::Timer, "sleep, 28 s left");
    task.cancellation = Some(cancellation);
    task
}

/// A shutdown that does not end: tasks with their cancellations in all states.
pub fn shutdown() -> Feed {
    let mut eater = sleeping(2, "audit-log", unheeded(1));
    eater.swallower = Some(Swallower {
        location: Arc::clone(&frames(&["AuditLog.ship /srv/orders/audit.py:21"])[0].location),
        clause: "except",
        is_sure: true,
    });
    let main = waits(
        task(1, "main", &["main /srv/orders/__main__.py:62"], &[]),
        Wait::Gather(others(&[])),
        "gather, 0 of 4 done",
    );
    let mut snapshot = snapshot(vec![
        main,
        eater,
        sleeping(
            3,
            "relay",
            Cancellation { requested: Some(1), handling: Some(0), ..Cancellation::default() },
        ),
        sleeping(
            4,
            "worker-1",
            Cancellation { requested: Some(1), in_flight: true, ..Cancellation::default() },
        ),
        sleeping(
            5,
            "worker-2",
            Cancellation {
                requested: Some(2),
                must_cancel: true,
                message: Some("bye".to_owned()),
                ..Cancellation::default()
            },
        ),
    ]);
    snapshot.shutdown = Some(Shutdown {
        stage: Stage::CancelAll,
        by: "asyncio.run".to_owned(),
        loop_id: None,
        frame: None,
        task: None,
        tasks: vec![id(2), id(3)],
        threads: Vec::new(),
        grounds: None,
    });
    let mut found = finding(
        Code::CancelSwallowed,
        Severity::Warning,
        "\"audit-log\" swallowed its cancellation and is still running",
        &[2],
    );
    found.evidence =
        vec![fact("caught by the `except`", Some("AuditLog.ship /srv/orders/audit.py:21"))];
    found.advice = "let CancelledError pass: end the clause with `raise`".to_owned();
    snapshot.findings = Some(vec![found]);
    let source = "\n".repeat(19)
        + "            await self.flush()\n        except BaseException:\n            self.retry = True\n";
    Feed {
        files: Some(Arc::new(Sources::of(&[("/srv/orders/audit.py", &source)]))),
        cancelled: histories(),
        ..feed(snapshot)
    }
}

/// What became of one that is still there, and of one that has ended.
fn histories() -> Arc<[Cancelled]> {
    let place = Arc::clone(&frames(&["AuditLog.ship /srv/orders/audit.py:21"])[0].location);
    let turn = |fate, ago, place: Option<&Arc<Location>>| Turn {
        fate,
        at: now() - SignedDuration::from_secs(ago),
        place: place.cloned(),
        is_earlier: false,
    };
    let swallowed = vec![turn(Fate::Requested, 31, None), turn(Fate::Swallowed, 30, Some(&place))];
    let ended = vec![
        turn(Fate::Requested, 31, None),
        turn(Fate::CleaningUp, 31, Some(&place)),
        turn(Fate::Finished, 12, None),
    ];
    Arc::new([
        Cancelled { task: id(2), name: Some("audit-log".into()), turns: swallowed, is_over: false },
        Cancelled { task: id(77), name: Some("consumer".into()), turns: ended, is_over: true },
    ])
}

/// Threads in many states, a pool that is full, and what could not be read.
pub fn threads() -> Feed {
    let mut snapshot = snapshot(vec![waits(
        task(1, "report", &["report /srv/orders/report.py:8"], &[]),
        Wait::Executor { function: None, thread: Some(4712), position: Position::default() },
        "executor, render, thread 4712",
    )]);
    let thread = |tid, name: &str, state, call: &str, peer: Option<&str>, places: &[&str]| Thread {
        tid: Some(tid),
        name: Some(name.to_owned()),
        state: Some(state),
        syscall: (!call.is_empty()).then(|| Syscall {
            name: call.to_owned(),
            fd: peer.map(|_| 9),
            peer: peer.map(str::to_owned),
        }),
        cpu_time: Some(Duration::from_millis(1234)),
        frames: frames(places),
        ..Thread::default()
    };
    let render = ["_worker concurrent/futures/thread.py:92", "render /srv/orders/report.py:30"];
    snapshot.threads.push(thread(
        4712,
        "asyncio_0",
        ThreadState::Sleeping,
        "recvfrom",
        Some("tcp 10.0.0.7:52114 -> 10.0.0.9:5432"),
        &render,
    ));
    snapshot.threads.push(thread(4713, "asyncio_1", ThreadState::Running, "", None, &render));
    snapshot.threads.push(thread(
        4714,
        "journal",
        ThreadState::Uninterruptible,
        "fsync",
        Some("/var/log/orders.log"),
        &["write /srv/orders/journal.py:5"],
    ));
    snapshot.executors = vec![Executor {
        id: Some(Address(0x10)),
        name: Some("asyncio".to_owned()),
        workers: Some(2),
        max_workers: Some(2),
        idle: Some(0),
        queued: Some(12),
        jobs: vec![
            Job {
                function: Some("render".to_owned()),
                thread: Some(4712),
                task: Some(id(1)),
                elapsed: Some(Duration::from_secs(31)),
                id: Address(0x20),
                ..Job::default()
            },
            Job {
                function: Some("render".to_owned()),
                thread: Some(4713),
                task: None,
                elapsed: None,
                id: Address(0x21),
                ..Job::default()
            },
        ],
        ..Executor::default()
    }];
    snapshot.problems.push(Problem {
        place: "thread 4715".to_owned(),
        wanted: "its stack".to_owned(),
        cause: "changed while it was read".to_owned(),
    });
    feed(snapshot)
}

/// Ten thousand tasks of four looks.
pub fn crowd() -> Feed {
    let mut tasks = vec![waits(
        task(0, "main", &["main /srv/chat/__main__.py:62"], &[]),
        Wait::TaskGroup(others(&[])),
        "task group group, 9999 tasks left",
    )];
    for n in 1..10_000 {
        let (name, places, kind, words) = match n % 3 {
            0 => (
                "reader",
                ["read /srv/chat/room.py:31", "StreamReader.readline asyncio/streams.py:562"],
                Wait::Socket(Descriptor::default()),
                format!("read from tcp 10.0.0.7:8080 -> 10.1.0.9:{} (fd {n})", 20_000 + n),
            ),
            1 => (
                "pinger",
                ["ping /srv/chat/room.py:52", "sleep asyncio/tasks.py:718"],
                Wait::Timer,
                format!("sleep, {} s left", n % 30),
            ),
            _ => (
                "writer",
                ["write /srv/chat/room.py:44", "Queue.get asyncio/queues.py:186"],
                Wait::Queue {
                    operation: None,
                    items: Count::default(),
                    position: Position::default(),
                },
                "queue self.outbox, 0 items".to_owned(),
            ),
        };
        tasks.push(waits(task(n, &format!("{name}-{n}"), &places, &[0]), kind, &words));
    }
    tasks[5000].state = Some(TaskState::Ready);
    let mut snapshot = snapshot(tasks);
    snapshot.findings = Some(Vec::new());
    feed(snapshot)
}

/// Names as nobody should give them.
pub fn odd_names() -> Feed {
    let long = "a-task-with-a-name-that-goes-on-and-on-".repeat(8);
    let names = [
        long.as_str(),
        "任务-处理订单-等待数据库连接池",
        "evil\x1b[2J\x07\u{202e}name\nof two lines",
        "e\u{301}tude 🎹 für Elise",
        "",
    ];
    let mut tasks: Vec<Task> = (1..)
        .zip(names)
        .map(|(n, name)| {
            let places = ["a_function_with_a_long_name_of_its_own /srv/a/very/deep/folder/with/a_long_file_name.py:12345"];
            waits(task(n, name, &places, &[]), FUTURE, &format!("future {name}"))
        })
        .collect();
    let mut nameless = task(9, "", &[], &[]);
    nameless.name = None;
    nameless.state = None;
    tasks.push(nameless);
    let mut snapshot = snapshot(tasks);
    snapshot.process.cmdline = vec![
        "/usr/bin/python3".to_owned(),
        "-c".to_owned(),
        "import os\nprint('\x1b[31mred')".repeat(9),
    ];
    snapshot.findings = Some(vec![finding(
        Code::OrphanWait,
        Severity::Warning,
        &format!("{} waits for a future \x1b[2J", names[2]),
        &[3],
    )]);
    feed(snapshot)
}

/// Two loops, one of them stopped.
pub fn two_loops() -> Feed {
    let mut snapshot = bank();
    let mut second = snapshot.loops[0].clone();
    second.id = Address(0x7f61_b100_0000);
    second.state = Some(LoopState::Stopped);
    second.thread = None;
    second.iteration = None;
    snapshot.loops.push(second);
    let loop_id = Some(snapshot.loops[1].id);
    snapshot.tasks[2].loop_id = loop_id;
    feed(snapshot)
}
