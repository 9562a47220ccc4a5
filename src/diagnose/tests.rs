//! Small snapshots made by hand, and what is common to all findings.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::snapshot::{
    Acquire, Blocking, BlockingKind, Cancellation, Children, Code, Consistency, Count, Deadline,
    Descriptor, Executor, Frame, Interval, Iteration, Job, Loop, LoopState, Operation, Others,
    Phase, Position, Process, Sureness, ThreadGrounds, ThreadState, WorkerProcess,
};

/// The loop of all tasks that are not put elsewhere, and its thread.
pub const LOOP: Address = Address(0x1000);
pub const THREAD: i32 = 100;
/// The time between two looks.
pub const GAP: Duration = Duration::from_millis(200);

/// A snapshot in the making: one idle loop, and what is put in.
#[derive(Debug, Clone)]
pub struct Scene {
    pub snapshot: Snapshot,
}

impl Scene {
    pub fn new() -> Self {
        let mut snapshot = Snapshot::new(Process::default(), Timestamp::UNIX_EPOCH);
        snapshot.during = Interval::at(Duration::from_secs(1000));
        snapshot.consistency = Consistency::Exact;
        snapshot.process.python = Some("3.13.0".to_owned());
        snapshot.loops.push(Loop {
            id: LOOP,
            thread: Some(THREAD),
            state: Some(LoopState::Polling),
            iteration: Some(turn(Phase::Select, 0)),
            iteration_id: Some(1),
            ready: Some(0),
            ..Loop::default()
        });
        snapshot.threads.push(thread(THREAD, &["select"]));
        Self { snapshot }
    }

    pub fn with(mut self, tasks: impl IntoIterator<Item = Builder>) -> Self {
        self.snapshot.tasks.extend(tasks.into_iter().map(|builder| builder.task));
        self
    }

    pub fn and(mut self, change: impl FnOnce(&mut Snapshot)) -> Self {
        change(&mut self.snapshot);
        self
    }

    /// The loop is in callback `run` of its iteration since `ms`.
    pub fn in_callback(self, run: u64, ms: u64) -> Self {
        self.and(|snapshot| {
            let event_loop = &mut snapshot.loops[0];
            let is_blocked = ms >= 100;
            event_loop.state =
                Some(if is_blocked { LoopState::Blocked } else { LoopState::Running });
            event_loop.iteration = Some(Iteration {
                callbacks_run: Some(run),
                callbacks_total: Some(run + 2),
                ..turn(Phase::Ready, ms)
            });
        })
    }

    pub fn blocked_by(self, kind: BlockingKind, change: impl FnOnce(&mut Blocking)) -> Self {
        let mut blocking = Blocking {
            kind,
            description: format!("{kind:?}").to_lowercase(),
            fd: None,
            peer: None,
            frame: Some(frame("retry", 31)),
            task: None,
            thread: None,
            loop_id: None,
        };
        change(&mut blocking);
        self.and(|snapshot| snapshot.loops[0].blocking = Some(blocking))
    }

    /// The same a moment before, with nothing moved since.
    pub fn before(&self) -> Self {
        self.clone().and(|snapshot| {
            snapshot.taken_at = snapshot.taken_at.checked_sub(GAP).unwrap();
            snapshot.during = Interval::at(snapshot.during.began.checked_sub(GAP).unwrap());
            let gap = SignedDuration::try_from(GAP).unwrap();
            for waiting in snapshot.tasks.iter_mut().filter_map(|task| task.waiting_on.as_mut()) {
                waiting.due_in = waiting.due_in.map(|due| due + gap);
                for deadline in &mut waiting.deadlines {
                    deadline.due_in = deadline.due_in.map(|due_in| due_in + gap);
                }
            }
            for turn in snapshot.loops.iter_mut().filter_map(|known| known.iteration.as_mut()) {
                turn.elapsed = turn.elapsed.map(|elapsed| elapsed.saturating_sub(GAP));
            }
        })
    }

    /// Another iteration than the one before.
    pub fn turned(self) -> Self {
        self.and(|snapshot| {
            for event_loop in &mut snapshot.loops {
                event_loop.iteration_id = event_loop.iteration_id.map(|id| id + 1);
            }
        })
    }

    pub fn once(&self) -> Diagnosis {
        diagnose(Looks::one(&self.snapshot))
    }

    /// Two looks between which nothing moved.
    pub fn twice(&self) -> Diagnosis {
        self.after(&self.before())
    }

    pub fn after(&self, first: &Scene) -> Diagnosis {
        let diagnosis =
            diagnose(Looks { first: Some(&first.snapshot), last: &self.snapshot, lives: None });
        assert!(!diagnosis.wants_second_look, "there is no third");
        diagnosis
    }
}

impl Snapshot {
    /// The same at another moment.
    pub(crate) fn later(&mut self, by: Duration) {
        self.taken_at += by;
        self.during.began += by;
        self.during.ended += by;
    }
}

#[expect(missing_docs, clippy::missing_panics_doc, reason = "the names say it")]
impl Diagnosis {
    pub fn codes(&self) -> Vec<Code> {
        self.findings.iter().map(|finding| finding.code).collect()
    }

    /// The only finding.
    pub fn only(&self) -> &Finding {
        let [finding] = &self.findings[..] else { panic!("{:#?}", self.findings) };
        check_words(finding);
        finding
    }

    /// The code of the finding that one follows from.
    pub fn cause_of(&self, finding: &Finding) -> Option<Code> {
        let is_cause = |it: &&Finding| Some(it.id) == finding.because_of;
        self.findings.iter().find(is_cause).map(|it| it.code)
    }

    pub fn of(&self, code: Code) -> &Finding {
        let found = self.findings.iter().find(|finding| finding.code == code);
        let finding = found.unwrap_or_else(|| panic!("no {code} in {:#?}", self.findings));
        check_words(finding);
        finding
    }

    pub fn assert_silent(&self) {
        assert!(self.findings.is_empty() && !self.wants_second_look, "{self:#?}");
    }

    pub fn assert_no_warning(&self) {
        let is_calm = self.findings.iter().all(|finding| finding.severity == Severity::Info);
        assert!(is_calm, "{:#?}", self.findings);
    }
}

impl Finding {
    /// Its facts in words.
    pub fn facts(&self) -> Vec<String> {
        self.evidence.iter().map(ToString::to_string).collect()
    }
}

/// What each finding has to say.
fn check_words(finding: &Finding) {
    let title = finding.title.to_string();
    assert!(!title.is_empty() && !title.ends_with('.'), "{finding:#?}");
    for title in [title, finding.title.over("09:46:12")] {
        assert!(title.chars().count() <= 80 && !title.contains("0x"), "{title}");
        let slips = ["(derived)", "asyncio.Lock", "  ", " :", " ,", "::"];
        assert!(!slips.iter().any(|slip| title.contains(slip)), "{title}");
    }
    let key = finding.key.strip_prefix(finding.code.as_str()).unwrap();
    assert!((key.is_empty() || key.starts_with('/')) && !key.contains("0x"), "{key}");
    assert!(!finding.evidence.is_empty(), "{finding:#?}");
    assert!(finding.advice.ends_with('.'), "{finding:#?}");
    assert!(finding.brief.chars().count() <= Finding::MAX_BRIEF, "{finding:#?}");
    assert!(!finding.brief.ends_with('.'), "{finding:#?}");
}

pub fn turn(phase: Phase, ms: u64) -> Iteration {
    let elapsed = Some(Duration::from_millis(ms));
    Iteration { phase, elapsed, callbacks_run: None, callbacks_total: None, handle: None }
}

pub fn location(function: &str, line: u32) -> Arc<Location> {
    Arc::new(Location::by_path(function.into(), "/srv/app.py".into(), Some(line)))
}

pub fn frame(function: &str, line: u32) -> Frame {
    Frame { location: location(function, line), locals: None }
}

pub fn library_frame(function: &str) -> Frame {
    let file = "/usr/lib/python3.13/asyncio/locks.py".into();
    let location = Location::by_path(function.into(), file, Some(100));
    Frame { location: Arc::new(location), locals: None }
}

pub fn thread(tid: i32, functions: &[&str]) -> Thread {
    Thread {
        tid: Some(tid),
        name: Some(format!("thread_{tid}")),
        state: Some(ThreadState::Sleeping),
        grounds: Some(ThreadGrounds { sleep_id: Some(1), asleep_for: None }),
        frames: functions.iter().zip(10..).map(|(name, line)| frame(name, line)).collect(),
        ..Thread::default()
    }
}

/// A task in the making: parked, on the loop, with one frame.
#[derive(Debug, Clone)]
pub struct Builder {
    pub task: Task,
}

/// Task `t7` with id 7, in `work` at line 7.
pub fn task(number: u64) -> Builder {
    let line = u32::try_from(number % 1000).unwrap();
    Builder {
        task: Task {
            id: Address(number),
            name: Some(format!("t{number}").into()),
            loop_id: Some(LOOP),
            state: Some(TaskState::Pending),
            coroutine: Some("work".into()),
            frames: vec![frame("work", line)],
            fut_waiter: Some(Address(0x10_0000 + number)),
            waiting_on: Some(Box::default()),
            ..Task::default()
        },
    }
}

impl Builder {
    pub fn and(mut self, change: impl FnOnce(&mut Task)) -> Self {
        change(&mut self.task);
        self
    }

    /// Changes what is known of what it waits for.
    pub fn waiting(self, change: impl FnOnce(&mut Waiting)) -> Self {
        self.and(|task| change(task.waiting_on.get_or_insert_default()))
    }

    pub fn waits(self, wait: Wait) -> Self {
        self.waiting(|waiting| waiting.wait = wait)
    }

    fn awaits_by(self, operation: Option<Operation>, tasks: &[u64]) -> Self {
        self.waits(Wait::Task { operation, others: others(tasks) })
    }

    pub fn awaits(self, tasks: &[u64]) -> Self {
        self.awaits_by(None, tasks)
    }

    pub fn gathers(self, tasks: &[u64]) -> Self {
        self.waits(Wait::Gather(others(tasks)))
    }

    pub fn waits_for_any(self, tasks: &[u64]) -> Self {
        self.awaits_by(Some(Operation::Wait), tasks)
    }

    pub fn at_future(self, is_served: Option<bool>) -> Self {
        self.waits(Wait::Future { stands_for: None, callbacks: Vec::new(), is_served })
    }

    pub fn at_lock(self, object: u64, holders: &[u64]) -> Self {
        self.waits(Wait::Lock(acquire(holders))).waiting(|waiting| {
            waiting.object = Some(Address(object));
            waiting.class = Some("asyncio.locks.Lock".into());
            waiting.name = Some(format!("self.lock_{object}"));
        })
    }

    pub fn at_semaphore(self, object: u64, holders: &[u64]) -> Self {
        let permits = Count { value: Some(0), limit: None };
        self.waits(Wait::Semaphore { acquire: acquire(holders), permits })
            .waiting(|waiting| waiting.object = Some(Address(object)))
    }

    /// Of those that want the lock or semaphore.
    pub fn at_place(self, place: u64) -> Self {
        self.waiting(|waiting| waiting.acquire_mut().unwrap().position.at = Some(place))
    }

    /// Waits in the `__aenter__` of the thing, as `async with` does.
    pub fn in_aenter(self) -> Self {
        self.and(|task| {
            task.frames.push(library_frame("_ContextManagerMixin.__aenter__"));
            task.frames.push(library_frame("Lock.acquire"));
        })
    }

    pub fn at_queue(self, operation: Operation, value: i64, limit: i64) -> Self {
        self.waits(Wait::Queue {
            operation: Some(operation),
            items: Count { value: Some(value), limit: Some(limit) },
            position: Position::default(),
        })
        .waiting(|waiting| waiting.object = Some(Address(0x900)))
    }

    pub fn reads_socket(self) -> Self {
        let peer = Some("10.0.0.5:5432".to_owned());
        self.waits(Wait::Socket(Descriptor { peer, ..Descriptor::default() }))
            .waiting(|waiting| waiting.description = "read from tcp 10.0.0.5:5432".to_owned())
    }

    /// With more of the descriptor that it waits for.
    pub fn descriptor(self, change: impl FnOnce(&mut Descriptor)) -> Self {
        self.waiting(|waiting| {
            if let Wait::Socket(descriptor) = &mut waiting.wait {
                change(descriptor);
            }
        })
    }

    pub fn sleeps(self, ms: i64) -> Self {
        let due_in = Some(SignedDuration::from_millis(ms));
        self.waits(Wait::Timer).waiting(|waiting| waiting.due_in = due_in)
    }

    pub fn at_event(self) -> Self {
        self.waits(Wait::Event(Position::default()))
            .waiting(|waiting| waiting.object = Some(Address(0xe00)))
    }

    /// Waits for a call that a thread runs, or for one that does.
    pub fn offloads(self, thread: Option<i32>) -> Self {
        let (function, position) = (Some("fetch".to_owned()), Position::default());
        self.waits(Wait::Executor { function, thread, position })
            .waiting(|waiting| waiting.object = Some(Address(0xf00)))
    }

    pub fn deadline(self, ms: i64) -> Self {
        let due_in = Some(SignedDuration::from_millis(ms));
        self.waiting(|waiting| waiting.deadlines.push(Deadline { frame: Some(0), due_in }))
    }

    pub fn cancelled(self, change: impl FnOnce(&mut Cancellation)) -> Self {
        self.and(|task| change(task.cancellation.get_or_insert_default()))
    }

    pub fn requested(self, count: u64) -> Self {
        self.cancelled(|told| told.requested = Some(count))
    }

    pub fn in_flight(self) -> Self {
        self.requested(1).cancelled(|told| told.in_flight = true)
    }

    pub fn handling(self) -> Self {
        self.requested(1).cancelled(|told| told.handling = Some(0))
    }

    pub fn runs(self) -> Self {
        self.waits(Wait::Running).and(|task| {
            task.state = Some(TaskState::Running);
            task.fut_waiter = None;
        })
    }
}

fn others(tasks: &[u64]) -> Others {
    let pending = tasks.len() as u64;
    Others { tasks: ids(tasks), children: Some(Children { pending, ..Children::default() }) }
}

fn acquire(holders: &[u64]) -> Acquire {
    Acquire { holders: ids(holders).into(), ..Acquire::default() }
}

pub fn ids(numbers: &[u64]) -> Vec<Address> {
    numbers.iter().copied().map(Address).collect()
}

/// A pool with one call in each of `threads`.
pub fn pool(max: u64, queued: u64, threads: &[i32]) -> Executor {
    let job = |&thread: &i32| Job {
        function: Some("fetch".to_owned()),
        thread: Some(thread),
        id: Address(0x7000 + u64::try_from(thread).unwrap()),
        ..Job::default()
    };
    Executor {
        id: Some(Address(0xf00)),
        name: Some("asyncio".to_owned()),
        workers: Some(max),
        max_workers: Some(max),
        idle: Some(max - threads.len() as u64),
        queued: Some(queued),
        is_shut_down: Some(false),
        limiter: None,
        jobs: threads.iter().map(job).collect(),
        ..Executor::default()
    }
}

/// A pool of processes, one call in each of `pids`, all asleep for `slept`.
pub fn process_pool(queued: u64, pids: &[i32], slept: Duration) -> Executor {
    let mut pool = Executor { name: None, ..pool(2, queued, pids) };
    for job in &mut pool.jobs {
        job.process = job.thread.take();
    }
    pool.workers = Some(pids.len() as u64);
    pool.idle = Some(0);
    pool.manager = Some(300);
    pool.processes = Some(
        pids.iter()
            .map(|&pid| {
                let grounds = Some(ThreadGrounds { sleep_id: Some(1), asleep_for: Some(slept) });
                let thread = Some(Box::new(Thread { grounds, ..thread(pid, &["fetch"]) }));
                WorkerProcess { pid, thread, ..WorkerProcess::default() }
            })
            .collect(),
    );
    pool
}

#[test]
fn an_idle_program_wants_no_second_look() {
    let consumers = (1..=40).map(|number| task(number).at_queue(Operation::Get, 0, 0));
    let sleepers = (41..=80).map(|number| task(number).sleeps(3_600_000));
    let readers = (81..=90).map(|number| task(number).reads_socket());
    let children: Vec<u64> = (41..=80).collect();
    let scene = Scene::new()
        .with(consumers)
        .with(sleepers)
        .with(readers)
        .with([task(100).gathers(&children), task(101).at_event()])
        .with([task(102).sleeps(30).deadline(60_000), task(103).at_queue(Operation::Join, 0, 0)]);
    scene.once().assert_silent();
    scene.twice().assert_silent();
    scene.clone().turned().after(&scene.before()).assert_silent();
}

#[test]
fn nothing_is_said_of_nothing() {
    let scene = Scene::new();
    scene.once().assert_silent();
    scene.twice().assert_silent();
    let empty = Scene::new().and(|snapshot| snapshot.loops.clear());
    empty.once().assert_silent();
    empty.twice().assert_silent();
}

#[test]
fn a_cause_stands_before_what_follows_from_it() {
    // Two in a deadlock; forty wait for the lock of one of them; one of its own.
    let waiters = (10..50).map(|number| task(number).at_lock(901, &[1]));
    let scene = Scene::new()
        .with([task(1).at_lock(902, &[2]), task(2).at_lock(901, &[1])])
        .with(waiters)
        .with([task(60).at_lock(903, &[61]), task(61).reads_socket()]);
    let diagnosis = scene.twice();
    assert_eq!(diagnosis.codes(), [Code::Deadlock, Code::LockConvoy, Code::LockConvoy]);
    let because: Vec<_> = diagnosis.findings.iter().map(|finding| finding.because_of).collect();
    assert_eq!(because, [None, None, Some(diagnosis.findings[0].id)]);
    assert_eq!(diagnosis.findings[0].sureness, Sureness::Derived);
}

#[test]
fn a_follower_says_which_of_several_causes_is_its_own() {
    // Two deadlocks, and behind a lock of each some who wait.
    let pair = |a: u64, b: u64| {
        [task(a).at_lock(900 + b, &[b]), task(b).at_lock(900 + a, &[a])].into_iter()
    };
    let behind = |first: u64, holder: u64| {
        (first..first + 3).map(move |number| task(number).at_lock(900 + holder, &[holder]))
    };
    let third = |holder: u64| task(holder + 50).at_lock(990 + holder, &[holder]);
    let scene = Scene::new()
        .with(pair(1, 2).chain(behind(10, 1)).chain([third(1)]))
        .with(pair(5, 6).chain(behind(20, 5)).chain([third(5)]));
    let diagnosis = scene.twice();
    let findings = &diagnosis.findings;
    let numbers: Vec<u64> = findings.iter().map(|finding| finding.id.0).collect();
    assert_eq!(numbers, (1..=findings.len() as u64).collect::<Vec<_>>());
    let followers: Vec<&Finding> = findings.iter().filter(|it| it.because_of.is_some()).collect();
    assert_eq!(followers.len(), 4, "{:?}", diagnosis.codes());
    for follower in followers {
        let cause = findings.iter().find(|it| Some(it.id) == follower.because_of).unwrap();
        assert_eq!(cause.code, Code::Deadlock);
        assert!(cause.tasks.contains(&follower.tasks[0]), "{follower:?} because of {cause:?}");
    }
}
