//! Snapshots made by hand, for tests.

use std::sync::Arc;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Acquire, Age, Cancellation, Cause, Code, Consistency, Count, Descriptor, Evidence, Finding,
    FindingId, Frame, HeapGroup, HeapKind, HeapList, HeapOwner, HeapSearch, Iteration, Location,
    Loop, LoopState, Members, Operation, Others, Owned, OwnerKind, Phase, Position, Process, Role,
    Sentence, Severity, Snapshot, Socket, Source, Sureness, Syscall, Task, TaskState, Tcp, Thread,
    ThreadState, Verdict, Wait, Waiting, Work, WorkKind,
};

use aiospy::Error;
use aiospy::error::Access;
use aiospy::process::SourceFile;
use aiospy::watch::several::Looked;
use jiff::SignedDuration;

use super::group::Group;
use super::{Files, Lines, Page, Shape, View, dump};

/// The address of the one loop.
pub const LOOP: Address = Address(0x7f00_0000_1000);

/// `function file:line` for each frame, outermost first.
pub fn frames(places: &[&str]) -> Vec<Frame> {
    let frame = |place: &&str| {
        let (function, place) = place.split_once(' ').unwrap();
        let (file, line) = place.rsplit_once(':').unwrap();
        let file = if file.starts_with("asyncio/") {
            format!("/usr/lib/python3.13/{file}")
        } else {
            file.to_owned()
        };
        let line = Some(line.parse().unwrap());
        let location = Location::by_path(function.into(), file.into(), line);
        Frame { location: Arc::new(location), locals: None }
    };
    places.iter().map(frame).collect()
}

/// Address of the task with number `number`.
pub fn id(number: u64) -> Address {
    Address(0x7f61_b000_0000 + number * 0x100)
}

/// A pending task.
pub fn task(number: u64, name: &str, places: &[&str], awaited_by: &[u64]) -> Task {
    Task {
        id: id(number),
        name: Some(name.into()),
        loop_id: Some(LOOP),
        state: Some(TaskState::Pending),
        class: Some("_asyncio.Task".into()),
        coroutine: places.first().and_then(|place| place.split(' ').next()).map(Into::into),
        frames: frames(places),
        fut_waiter: None,
        awaited_by: awaited_by.iter().copied().map(id).collect(),
        cancellation: None,
        is_torn: false,
        ..Task::default()
    }
}

/// What a search of the heap has found, with every fact there is.
pub fn heap() -> HeapSearch {
    let place = |place: &str| frames(&[place]).pop();
    let owner =
        |kind, name: &str| HeapOwner { kind, name: name.to_owned(), ..HeapOwner::default() };
    let group = |name: &str, count, owners| HeapGroup {
        name: name.to_owned(),
        count,
        owned: Owned::Found,
        owners,
        first: vec![id(100)],
        ..HeapGroup::default()
    };
    let list = |kind, groups: Vec<HeapGroup>| HeapList {
        kind,
        count: groups.iter().map(|group| group.count).sum(),
        groups,
        groups_left_out: 0,
    };
    let in_main = HeapOwner {
        frame: place("main /srv/orders/__main__.py:62"),
        through: vec!["list".to_owned()],
        ..owner(OwnerKind::Variable, "pending")
    };
    let by_name = HeapOwner {
        through: vec!["dict".to_owned()],
        key: Some("prices".to_owned()),
        ..owner(OwnerKind::Attribute, "orders.Shop.locks")
    };
    let stack = HeapOwner {
        frame: place("Prices.refresh /srv/orders/prices.py:31"),
        ..owner(OwnerKind::Stack, "")
    };
    let alone = |name| HeapGroup {
        owned: Owned::ByWaiters,
        set: Some(0),
        waiting: Some(1),
        ..group(name, 1, Vec::new())
    };
    HeapSearch {
        bytes: 1_061_000_000,
        elapsed: Duration::from_millis(812),
        swapped: 2_100_000,
        has_owners: true,
        lists: vec![
            list(
                HeapKind::NeverStarted,
                vec![HeapGroup {
                    place: place("audit /srv/orders/audit.py:20"),
                    ..group("audit", 1200, vec![in_main])
                }],
            ),
            list(HeapKind::OpenGenerator, Vec::new()),
            list(
                HeapKind::FailedFuture,
                vec![HeapGroup {
                    exception: Some("ValueError".to_owned()),
                    ..group("_asyncio.Future", 1, vec![owner(OwnerKind::Global, "__main__.LAST")])
                }],
            ),
            list(HeapKind::Event, vec![alone("asyncio.locks.Event")]),
            HeapList {
                groups_left_out: 3,
                ..list(
                    HeapKind::Lock,
                    vec![HeapGroup {
                        locked: Some(1),
                        waiting: Some(7),
                        ..group("asyncio.locks.Lock", 1, vec![by_name, stack])
                    }],
                )
            },
            list(
                HeapKind::Semaphore,
                vec![HeapGroup {
                    free: Some(3),
                    owned: Owned::NotFound,
                    ..group("asyncio.locks.Semaphore", 1, Vec::new())
                }],
            ),
            list(HeapKind::Condition, Vec::new()),
            list(
                HeapKind::Queue,
                vec![HeapGroup {
                    items: Some(12),
                    owned: Owned::NotSearched,
                    ..group("asyncio.queues.Queue", 9000, Vec::new())
                }],
            ),
        ],
    }
}

/// A cancellation that was asked for and is not under way.
pub fn unheeded(requested: u64) -> Cancellation {
    Cancellation { requested: Some(requested), ..Cancellation::default() }
}

/// A healthy process with these tasks.
pub fn snapshot(tasks: Vec<Task>) -> Snapshot {
    let process = Process {
        pid: 4711,
        cmdline: ["/opt/venv/bin/python3", "-m", "orders", "--port", "8080"]
            .map(str::to_owned)
            .into(),
        python: Some("3.13.0".to_owned()),
        implementation: Some("cpython".to_owned()),
        started_at: Some("2024-11-02T02:48:00Z".parse().unwrap()),
        ..Process::default()
    };
    let mut snapshot = Snapshot::new(process, "2024-11-02T06:00:00Z".parse().unwrap());
    snapshot.elapsed = Duration::from_micros(12_345);
    snapshot.consistency = Consistency::Exact;
    snapshot.threads = vec![Thread {
        tid: Some(4711),
        name: Some("MainThread".to_owned()),
        state: Some(ThreadState::Sleeping),
        syscall: Some(Syscall { name: "epoll_wait".to_owned(), fd: Some(5), peer: None }),
        frames: frames(&[
            "<module> /srv/orders/__main__.py:9",
            "run asyncio/runners.py:194",
            "BaseEventLoop._run_once asyncio/base_events.py:1998",
            "EpollSelector.select /usr/lib/python3.13/selectors.py:452",
        ]),
        ..Thread::default()
    }];
    snapshot.loops = vec![Loop {
        id: LOOP,
        class: "asyncio.unix_events._UnixSelectorEventLoop".to_owned(),
        thread: Some(4711),
        state: Some(LoopState::Polling),
        iteration: Some(Iteration {
            phase: Phase::Select,
            elapsed: Some(Duration::from_millis(4200)),
            callbacks_run: None,
            callbacks_total: None,
            handle: None,
        }),
        lag: None,
        ready: Some(0),
        scheduled: Some(3),
        debug: Some(false),
        ..Loop::default()
    }];
    snapshot.tasks = tasks;
    snapshot
}

/// The same process with its loop blocked.
pub fn blocked(tasks: Vec<Task>) -> Snapshot {
    let mut snapshot = snapshot(tasks);
    snapshot.consistency = Consistency::SameStep;
    snapshot.threads[0].syscall = Some(Syscall {
        name: "recvfrom".to_owned(),
        fd: Some(7),
        peer: Some("tcp 10.0.0.7:52114 -> 10.0.0.9:5432".to_owned()),
    });
    snapshot.threads[0].frames = frames(&[
        "<module> /srv/orders/__main__.py:9",
        "run asyncio/runners.py:194",
        "BaseEventLoop._run_once asyncio/base_events.py:2040",
        "Handle._run asyncio/events.py:89",
        "update_rates /srv/orders/rates.py:44",
        "RatesClient.fetch /srv/orders/rates.py:25",
        "RatesClient.read_answer /srv/orders/rates.py:30",
    ]);
    let of = &mut snapshot.loops[0];
    of.state = Some(LoopState::Blocked);
    of.lag = Some(Duration::from_millis(2214));
    of.ready = Some(12);
    of.iteration = Some(Iteration {
        phase: Phase::Ready,
        elapsed: Some(Duration::from_millis(2314)),
        callbacks_run: Some(3),
        callbacks_total: Some(7),
        handle: Some("task update-rates".to_owned()),
    });
    snapshot
}

/// What a task waits for.
pub fn waits(mut task: Task, wait: Wait, description: &str) -> Task {
    let description = description.to_owned();
    task.waiting_on = Some(Box::new(Waiting { description, ..wait.into() }));
    task
}

/// A lock that these tasks hold.
pub fn lock(holders: &[u64]) -> Wait {
    let holders = holders.iter().copied().map(id).collect();
    Wait::Lock(Acquire { holders, ..Acquire::default() })
}

/// Some other tasks.
pub fn others(tasks: &[u64]) -> Others {
    Others { tasks: tasks.iter().copied().map(id).collect(), children: None }
}

/// A future of which nothing more is known.
pub const FUTURE: Wait = Wait::Future { stands_for: None, callbacks: Vec::new(), is_served: None };

/// A finding about these tasks.
pub fn finding(code: Code, severity: Severity, title: &str, tasks: &[u64]) -> Finding {
    let mut finding = Finding::new(code, severity, Sureness::Read, title);
    finding.loop_id = Some(LOOP);
    finding.tasks = tasks.iter().copied().map(id).collect();
    finding
}

/// A fact, at a place like `transfer /srv/bank/transfer.py:41`.
pub fn fact(text: &str, place: Option<&str>) -> Evidence {
    let frames = frames(place.as_slice());
    Evidence::from(text).at(frames.first().map(|frame| &*frame.location))
}

/// A bank with two transfers that wait for each other, and others that wait for these.
pub fn bank() -> Snapshot {
    let transfer = |number, name, line: &str, holder| {
        let places = [
            "transfer /srv/bank/transfer.py:41",
            "Lock.__aenter__ asyncio/locks.py:15",
            "Lock.acquire asyncio/locks.py:113",
        ];
        let mut task = waits(task(number, name, &places, &[]), lock(&[holder]), line);
        let waiting = task.waiting_on.as_mut().unwrap();
        waiting.name = Some("second.lock".to_owned());
        waiting.object = Some(Address(0x7f00_0001_0000 + number));
        task
    };
    let mut tasks = vec![
        transfer(1, "ada-to-bob", "lock second.lock, 1st of 11 waiting", 2),
        transfer(2, "bob-to-ada", "lock second.lock, 1st of 11 waiting", 1),
        waits(
            task(3, "heartbeat", &["beat /srv/bank/app.py:9", "sleep asyncio/tasks.py:718"], &[]),
            Wait::Timer,
            "sleep(60), 41.2 s left",
        ),
    ];
    for n in 0..20 {
        let places = ["balance /srv/bank/window.py:12", "Lock.acquire asyncio/locks.py:113"];
        let (line, of) = (n / 2 + 2, 1 + n % 2);
        let mut task = task(10 + n, &format!("window-{n}"), &places, &[]);
        task = waits(task, lock(&[of]), &format!("lock account.lock, {line}th of 11 waiting"));
        let waiting = task.waiting_on.as_mut().unwrap();
        waiting.name = Some("account.lock".to_owned());
        waiting.object = Some(Address(0x7f00_0001_0000 + of));
        tasks.push(task);
    }
    let mut snapshot = snapshot(tasks);
    let mut deadlock = finding(
        Code::Deadlock,
        Severity::Critical,
        "2 tasks wait for each other: ada-to-bob, bob-to-ada; 20 more wait for them",
        &[1, 2],
    );
    let place = Some("transfer /srv/bank/transfer.py:41");
    deadlock.evidence = vec![
        fact("ada-to-bob waits for lock second.lock, held by bob-to-ada", None),
        fact("", place),
        fact("bob-to-ada waits for lock second.lock, held by ada-to-bob", None),
        fact("", place),
    ];
    deadlock.advice = "take the two locks always in the same order, for example by id; a time \
                       limit around the second one would turn the standstill into an error"
        .to_owned();
    let mut follower = finding(
        Code::LockConvoy,
        Severity::Warning,
        "10 tasks wait for account.lock, held by ada-to-bob",
        &[1],
    );
    (deadlock.id, follower.id) = (FindingId(1), FindingId(2));
    follower.because_of = Some(FindingId(1));
    let mut guess = finding(
        Code::TaskOrphaned,
        Severity::Info,
        "nothing refers to heartbeat but asyncio itself",
        &[3],
    );
    guess.sureness = Sureness::Guessed;
    guess.title.is_guess = true;
    guess.id = FindingId(3);
    snapshot.findings = Some(vec![guess, deadlock, follower]);
    snapshot.looks = Some(2);
    snapshot
}

/// The source of [`bank`].
pub fn bank_source() -> Sources {
    let lines = |number: usize, line: &str| format!("{}{line}\n", "\n".repeat(number - 1));
    Sources::of(&[
        ("/srv/bank/transfer.py", &lines(41, "        async with second.lock:")),
        ("/srv/bank/window.py", &lines(12, "    await account.lock.acquire()")),
    ])
    .with_changed("/srv/bank/app.py")
}

/// What a request is.
fn request(kind: WorkKind, verb: Option<&str>, route: &str, number: u64, ms: u64) -> Arc<Work> {
    Arc::new(Work {
        kind: Some(kind),
        verb: verb.map(Into::into),
        name: route.into(),
        since: Some(Age::exact(Duration::from_millis(ms), Source::Connection)),
        identity: Some(Address(0x9000_0000 + number)),
        ..Work::default()
    })
}

/// A shop whose upstream is silent: 60 requests wait for it, and another 100 for the lock of one that
/// does.
pub fn shop() -> Snapshot {
    const PEER: &str = "127.0.0.1:18999";
    let server = "/venv/lib/python3.12/site-packages/uvicorn/protocols/http.py";
    let read = |ms: u64| {
        let time = Some(Duration::from_millis(ms));
        let tcp = Tcp { last_sent: time, unsent: Some(0), ..Tcp::default() };
        Wait::Socket(Descriptor {
            operation: Some(Operation::Read),
            peer: Some(format!("tcp 127.0.0.1:4711 -> {PEER} established")),
            socket: Some(Box::new(Socket {
                protocol: "tcp",
                local: None,
                remote: Some(PEER.to_owned()),
                state: Some("established"),
                receive_queue: Some(0),
                send_queue: Some(0),
                tcp: Some(tcp),
                is_watched: None,
                is_accepted: false,
                client: None,
            })),
            ..Descriptor::default()
        })
    };
    let get = WorkKind::Request;
    let mut tasks = Vec::new();
    let mut add = |number, route: &str, place: &str, ms: u64, kind, wait: Wait| {
        let outer = format!("RequestResponseCycle.run_asgi {server}:401");
        let mut task = task(number, &format!("Task-{number}"), &[&outer, place], &[]);
        let verb = (kind == WorkKind::Request).then_some("GET");
        task.work = Some(request(kind, verb, route, number, ms));
        task = waits(task, wait, "");
        let waiting = task.waiting_on.as_mut().unwrap();
        if waiting.acquire().is_some() {
            (waiting.name, waiting.object) = (Some("self.lock".to_owned()), Some(Address(0x77)));
        }
        if waiting.kind() == aiospy::snapshot::WaitKind::Timer {
            waiting.since = Some(Duration::from_millis(ms));
            waiting.due_in = Some(SignedDuration::from_millis(30_000 - i64::try_from(ms).unwrap()));
        }
        tasks.push(task);
    };
    add(5, "/refresh", "Inventory.refresh /srv/shop.py:17", 62_340, get, read(62_340));
    for n in 0..100 {
        let place = "Inventory.get /srv/shop.py:20";
        add(6 + n, "/stock/{sku}", place, 61_804, get, lock(&[5]));
    }
    for n in 0..60 {
        let place = "recommend /srv/shop.py:59";
        add(107 + n, "/recommend/{user}", place, 61_416, get, read(61_380));
    }
    for n in 0..10 {
        add(260 + n, "/slowsleep", "slowsleep /srv/shop.py:68", 7_340, get, Wait::Timer);
    }
    for n in 0..4 {
        let function = Some("time.sleep".to_owned());
        let position = Position::default();
        let wait = Wait::Executor { function, thread: None, position };
        add(280 + n, "/report", "report /srv/shop.py:64", 7_330, get, wait);
    }
    for n in 0..20 {
        let wait = Wait::Event(Position::default());
        add(300 + n, "/ws/{room}", "ws /srv/shop.py:80", 61_310, WorkKind::Websocket, wait);
    }
    let items = Count { value: Some(0), limit: None };
    let operation = Some(Operation::Get);
    let position = Position::default();
    let queue = Wait::Queue { operation, items, position };
    let consumer = task(400, "order-consumer", &["consumer /srv/shop.py:29"], &[]);
    tasks.push(waits(consumer, queue, ""));
    for n in 1..=2 {
        let server = format!("Server.serve {}:70", server.replace("protocols/http", "server"));
        let own = task(n, &format!("Task-{n}"), &[&server], &[]);
        tasks.push(waits(own, Wait::Timer, ""));
    }
    let mut snapshot = snapshot(tasks);
    snapshot.process.pid = 22_153;
    snapshot.process.cmdline =
        ["/usr/bin/python3", "/venv/bin/uvicorn", "shop:app"].map(str::to_owned).into();
    (snapshot.findings, snapshot.looks) = (Some(silent(PEER)), Some(2));
    snapshot.verdict = Some(Verdict::Findings);
    snapshot
}

/// What is wrong there.
fn silent(peer: &str) -> Vec<Finding> {
    let age = Age::exact(Duration::from_millis(62_340), Source::Connection);
    let title = Sentence::name(peer)
        .verb("has been silent", "was silent")
        .then("for")
        .lasting(Some(age))
        .so_many((61, "request"), ["waits for its answer", "wait for its answer", "waited"]);
    let asked: Vec<u64> = std::iter::once(5).chain(107..167).collect();
    let mut silent = finding(Code::PeerSilent, Severity::Warning, "", &asked);
    (silent.id, silent.title, silent.since) = (FindingId(1), title, Some(age));
    silent.cause = Some(Cause::Peer { address: peer.to_owned() });
    silent.place = frames(&["recommend /srv/shop.py:59"]).pop().map(|frame| frame.location);
    silent.advice =
        format!("See what {peer} does; then give the wait a time limit: the client's own.");
    silent.brief = "pass a timeout, such as timeout=10, to httpx".to_owned();
    let first = asked.iter().copied().map(id).take(20).collect();
    silent.roles = vec![Members { role: Role::Waiter, count: 61, first }];
    let held = Sentence::name("GET /refresh")
        .verb("holds", "held")
        .and("self.lock")
        .then("meanwhile")
        .so_many((100, "request"), ["queues", "queue", "queued"]);
    let all: Vec<u64> = (5..106).collect();
    let mut convoy = finding(Code::LockConvoy, Severity::Warning, "", &all);
    (convoy.id, convoy.title, convoy.because_of) = (FindingId(2), held, Some(FindingId(1)));
    convoy.place = frames(&["Inventory.refresh /srv/shop.py:17"]).pop().map(|it| it.location);
    convoy.roles = vec![
        Members { role: Role::Holder, count: 1, first: vec![id(5)] },
        Members { role: Role::Waiter, count: 100, first: (6..26).map(id).collect() },
    ];
    vec![silent, convoy]
}

/// The source of [`shop`].
pub fn shop_source() -> Sources {
    let lines = [(17, "        data=await r.readline()"), (59, "    r=await app.client.get(UP)")];
    let mut text = vec![""; 100];
    for (number, line) in lines {
        text[number - 1] = line;
    }
    Sources::of(&[("/srv/shop.py", &text.join("\n"))])
}

/// Source files by name.
pub struct Sources(Vec<(String, SourceFile)>);

impl Sources {
    /// Files with these texts.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file =
            |(name, text): &(&str, &str)| ((*name).to_owned(), SourceFile::Text((*text).into()));
        Self(files.iter().map(file).collect())
    }

    /// And one that was changed.
    pub fn with_changed(mut self, name: &str) -> Self {
        self.0.push((name.to_owned(), SourceFile::Changed));
        self
    }
}

impl Files for Sources {
    fn file(&self, path: &str) -> SourceFile {
        let found = self.0.iter().find(|(name, _)| name == path);
        found.map_or(SourceFile::Absent, |(_, file)| file.clone())
    }
}

/// The tree with all that stands around it.
pub const TREE: View<'_> = View {
    shape: Shape::Full,
    has_evidence: false,
    has_threads: false,
    is_verbose: false,
    source: None,
};

/// The report without colours.
pub fn text(snapshot: &Snapshot, view: View<'_>, width: Option<usize>) -> String {
    let mut out = Vec::new();
    dump(snapshot, view, &mut Page::new(&mut out, width, false)).unwrap();
    String::from_utf8(out).unwrap()
}

/// Only the forest, without header and footer.
pub fn forest(snapshot: &Snapshot, width: Option<usize>) -> String {
    let mut out = Vec::new();
    let lines = Lines::of(None);
    super::tree::draw(snapshot, &lines, &mut Page::new(&mut out, width, false)).unwrap();
    String::from_utf8(out).unwrap()
}

/// A process that was read, below process 10.
pub fn looked_at(pid: i32, cmdline: &[&str], change: impl FnOnce(&mut Snapshot)) -> Looked {
    let mut snapshot = snapshot(vec![task(1, "main", &["f app.py:1"], &[])]);
    snapshot.process = Process {
        pid,
        parent: Some(if pid == 10 { 1 } else { 10 }),
        cmdline: cmdline.iter().map(|&word| word.to_owned()).collect(),
        python: Some("3.12.1".to_owned()),
        ..Process::default()
    };
    snapshot.findings = Some(Vec::new());
    snapshot.verdict = Some(Verdict::Ok);
    change(&mut snapshot);
    Looked { process: snapshot.process.clone(), read: Ok(snapshot), timed_out: None }
}

/// One that could not be read.
pub fn looked_in_vain(pid: i32, cmdline: &[&str]) -> Looked {
    let known = looked_at(pid, cmdline, |_| ());
    let access = Access { our_uid: Some(0), target_uid: Some(1000), ..Access::default() };
    let read = Err(Error::NotPermitted { pid, access: Box::new(access) });
    Looked { process: Process { python: None, ..known.process }, read, timed_out: None }
}

/// One whose loop a call has blocked for so many seconds.
pub fn looked_blocked(pid: i32, cmdline: &[&str], seconds: u64) -> Looked {
    looked_at(pid, cmdline, |snapshot| {
        let elapsed = Some(Duration::from_secs(seconds));
        let (handle, callbacks_run, callbacks_total) = (None, None, None);
        let turn =
            Iteration { phase: Phase::Ready, elapsed, callbacks_run, callbacks_total, handle };
        let known = &mut snapshot.loops[0];
        (known.state, known.iteration) = (Some(LoopState::Blocked), Some(turn));
        let title = format!("time.sleep has blocked the event loop for {seconds}.00 s");
        let mut finding = finding(Code::LoopBlocked, Severity::Critical, &title, &[]);
        finding.key = "loop-blocked/app.py:f/time.sleep".to_owned();
        finding.since = elapsed.map(|time| Age::exact(time, Source::Iteration));
        finding.place = Some(Arc::clone(&snapshot.tasks[0].frames[0].location));
        snapshot.findings = Some(vec![finding]);
        snapshot.verdict = Some(Verdict::Findings);
    })
}

/// What a server is started by.
pub const COMMAND: [&str; 3] = ["/venv/bin/python3", "/venv/bin/gunicorn", "shop:app"];

/// A master whose second worker hangs more than its third, and that may not read its fourth.
pub fn service() -> Group {
    let master = looked_at(10, &COMMAND, |snapshot| {
        snapshot.loops.clear();
        snapshot.tasks.clear();
    });
    let looked = vec![
        master,
        looked_at(11, &COMMAND, |_| ()),
        looked_blocked(12, &COMMAND, 3),
        looked_blocked(13, &COMMAND, 4),
        looked_in_vain(14, &["python3", "helper.py"]),
        Looked { read: Err(Error::TargetGone { pid: 15 }), ..looked_at(15, &COMMAND, |_| ()) },
        Looked { read: Err(Error::NoAsyncio { pid: 16 }), ..looked_at(16, &TRACKER, |_| ()) },
    ];
    Group::new(Some(10), looked, |_| false)
}

const TRACKER: [&str; 3] =
    ["python3", "-c", "from multiprocessing.resource_tracker import main;main(5)"];
