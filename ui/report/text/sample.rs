//! Snapshots made by hand, for tests.

use std::sync::Arc;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Acquire, Cancellation, Code, Consistency, Evidence, Finding, FindingId, Frame, Iteration,
    Location, Loop, LoopState, Others, Phase, Process, Severity, Snapshot, Sureness, Syscall, Task,
    TaskState, Thread, ThreadState, Wait, Waiting,
};

use aiospy::process::SourceFile;

use super::{Files, Lines, Page, View, dump};

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
pub const FUTURE: Wait = Wait::Future { callbacks: Vec::new(), is_served: None };

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
        transfer(1, "ada-to-bob", "lock second.lock, 1st of 11 in line", 2),
        transfer(2, "bob-to-ada", "lock second.lock, 1st of 11 in line", 1),
        waits(
            task(3, "heartbeat", &["beat /srv/bank/app.py:9", "sleep asyncio/tasks.py:718"], &[]),
            Wait::Timer,
            "sleep(60), 41.2 s to go",
        ),
    ];
    for n in 0..20 {
        let places = ["balance /srv/bank/window.py:12", "Lock.acquire asyncio/locks.py:113"];
        let (line, of) = (n / 2 + 2, 1 + n % 2);
        let mut task = task(10 + n, &format!("window-{n}"), &places, &[]);
        task = waits(task, lock(&[of]), &format!("lock account.lock, {line}th of 11 in line"));
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
