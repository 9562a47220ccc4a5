//! What a group of tasks waits for, in a few words: what differs first, for the cell may be narrow.

use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Children, Count, Group, GroupState, Loop, LoopState, Operation, Position, Snapshot,
    SubjectKind, Task, TaskState, Wait, WaitKind, Waiting, WorkKind, duration, without_numbers,
};
use rustc_hash::FxHashMap;

use super::words;

/// The tasks of a snapshot by their ids.
pub struct ById<'s>(FxHashMap<Address, &'s Task>);

impl<'s> ById<'s> {
    /// Those of a snapshot.
    pub fn of(snapshot: &'s Snapshot) -> Self {
        Self(snapshot.tasks.iter().map(|task| (task.id, task)).collect())
    }

    /// One of them.
    pub fn get(&self, id: Address) -> Option<&'s Task> {
        self.0.get(&id).copied()
    }

    /// What tasks are called, like names once: `refresh`, `load-*, store`.
    pub fn labels<'i>(&self, ids: impl IntoIterator<Item = &'i Address>) -> Option<String> {
        let all: Vec<&Task> = ids.into_iter().filter_map(|id| self.get(*id)).collect();
        if let [one] = all[..] {
            return Some(one.label());
        }
        let mut labels: Vec<String> = Vec::new();
        for label in all.into_iter().map(|task| without_numbers(&task.label())) {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        (!labels.is_empty()).then(|| labels.join(", "))
    }
}

/// What the tasks of a group wait for, or do: `sleep(30), 22.7 s left`, `idle: queue, 0 items`.
pub fn waits(group: &Group<'_>, snapshot: &Snapshot, tasks: &ById<'_>) -> String {
    let Some(first) = group.first() else { return String::new() };
    let is_cancelled = first.cancellation.as_ref().is_some_and(words::is_unheeded);
    let cancelled = if is_cancelled && !first.is_over() { "cancelled; " } else { "" };
    let idle = match (group.state, first.waiting_on.as_deref()) {
        _ if group.subject.kind == SubjectKind::Library => "",
        (GroupState::Idle, Some(waiting)) if is_at_rest(waiting) => "idle: ",
        _ => "",
    };
    let what = what(group, first, snapshot, tasks);
    if idle == "idle: " && what.is_empty() {
        "idle".to_owned()
    } else {
        format!("{cancelled}{idle}{what}")
    }
}

/// Whether it is to be said that a task which waits for this does nothing.
fn is_at_rest(waiting: &Waiting) -> bool {
    matches!(
        waiting.kind(),
        WaitKind::Queue | WaitKind::Socket | WaitKind::Event | WaitKind::Condition
    )
}

fn what(group: &Group<'_>, first: &Task, snapshot: &Snapshot, tasks: &ById<'_>) -> String {
    match first.state {
        Some(TaskState::Running) => return runs(first, snapshot),
        Some(TaskState::Ready) => return "ready to run".to_owned(),
        Some(state) if state.is_finished() => return words::task_state(Some(state)).1.to_owned(),
        _ => {}
    }
    if group.subject.kind == SubjectKind::Library {
        return "idle".to_owned();
    }
    let Some(waiting) = first.waiting_on.as_deref() else { return "not known".to_owned() };
    let is_websocket = group.subject.kind == SubjectKind::Work(WorkKind::Websocket);
    if is_websocket && group.state == GroupState::Idle && is_at_rest(waiting) {
        return "next message".to_owned();
    }
    let name = waiting.name.as_deref();
    let called = |kind: &str| name.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"));
    let Count { value, limit } = waiting.count();
    let of = match (value, limit) {
        (Some(value), Some(limit)) if limit > 0 => Some(format!("{value} of {limit}")),
        (Some(value), _) => Some(value.to_string()),
        _ => None,
    };
    let with = |thing: String, after: &str| match &of {
        Some(of) => format!("{thing}, {of} {after}"),
        None => thing,
    };
    match &waiting.wait {
        Wait::Timer => sleep(group),
        Wait::Socket(_) => socket(group, first, waiting),
        Wait::Task { others, .. } => tasks
            .labels(&others.tasks)
            .map_or_else(|| "another task".to_owned(), |it| format!("task {it}")),
        Wait::Gather(others) => progress("gather", others.children.as_ref(), &others.tasks, tasks),
        Wait::TaskGroup(others) => {
            let pending = others.children.map(|it| it.pending);
            let names = tasks.labels(&others.tasks).map(|it| format!(": {it}")).unwrap_or_default();
            pending.map_or("task group".to_owned(), |it| format!("task group, {it} left{names}"))
        }
        Wait::Future { .. } => called("future"),
        Wait::Lock(acquire) => {
            let lock = name.unwrap_or("a lock").to_owned();
            held(lock, tasks.labels(acquire.holders.iter()))
        }
        Wait::Semaphore { acquire, .. } => {
            let semaphore = with(called("semaphore"), "free");
            held(semaphore, tasks.labels(acquire.holders.iter()))
        }
        Wait::Condition(_) => called("condition"),
        Wait::Event(_) => called("event"),
        Wait::Queue { operation, .. } => match operation {
            Some(Operation::Put) => {
                let room = of.map(|of| format!(", {of}")).unwrap_or_default();
                format!("put to {}{room}", name.unwrap_or("a queue"))
            }
            Some(Operation::Join) => {
                with(format!("{}.join()", name.unwrap_or("a queue")), "unfinished")
            }
            _ => with(
                name.unwrap_or("queue").to_owned(),
                if value == Some(1) { "item" } else { "items" },
            ),
        },
        Wait::Pool { pool, .. } => with(pool.as_deref().unwrap_or("a pool").to_owned(), "out"),
        Wait::Barrier(_) => with(called("barrier"), "there"),
        Wait::Executor { function, position, .. } => {
            let function = function.as_deref().unwrap_or("a call");
            match position {
                Position { at: Some(_), .. } => format!("queued for a thread: {function}"),
                Position { .. } => format!("in a thread: {function}"),
            }
        }
        Wait::Subprocess(program) => match (&program.name, program.pid) {
            (Some(name), Some(pid)) => format!("{name} ({pid}) to end"),
            (_, Some(pid)) => format!("process {pid} to end"),
            _ => "a child process to end".to_owned(),
        },
        Wait::Thread { thread, .. } => {
            thread.map_or("another thread".to_owned(), |thread| format!("thread {thread}"))
        }
        Wait::Asyncgen => "closing of async generators".to_owned(),
        Wait::Ready(_) => "ready to run".to_owned(),
        Wait::Running => runs(first, snapshot),
        Wait::Unknown => "not known".to_owned(),
    }
}

/// `running: time.sleep`
fn runs(task: &Task, snapshot: &Snapshot) -> String {
    let blocked = |it: &&Loop| it.state == Some(LoopState::Blocked) && Some(it.id) == task.loop_id;
    let blocking = snapshot.loops.iter().find(blocked).and_then(|it| it.blocking.as_ref());
    match blocking {
        Some(blocking) if blocking.description.is_empty() => {
            format!("running: {}", words::blocking_kind(blocking.kind))
        }
        Some(blocking) => format!("running: {}", blocking.description),
        None => "running".to_owned(),
    }
}

/// `sleep(30), 22.7 s left`
fn sleep(group: &Group<'_>) -> String {
    let timers: Vec<(Option<Duration>, i128)> = group
        .tasks
        .iter()
        .filter_map(|task| task.waiting_on.as_deref())
        .filter_map(|waiting| Some((waiting.since, waiting.due_in?.as_nanos())))
        .collect();
    let time =
        |nanos: i128| Duration::from_nanos(u64::try_from(nanos.unsigned_abs()).unwrap_or(u64::MAX));
    // What a task sleeps for is a round number.
    let length = |(since, due): &(Option<Duration>, i128)| {
        let all = since.as_ref()?.as_nanos().checked_add_signed(*due)?;
        Some((all + 500_000) / 1_000_000)
    };
    let lengths: Vec<Option<u128>> = timers.iter().map(length).collect();
    let name = match lengths.first().copied().flatten() {
        Some(ms) if lengths.iter().all(|it| *it == Some(ms)) => {
            let (whole, rest) = (ms / 1000, ms % 1000);
            let rest = if rest == 0 { String::new() } else { format!(".{rest:03}") };
            format!("sleep({whole}{})", rest.trim_end_matches('0'))
        }
        _ => "sleep".to_owned(),
    };
    let (least, most) = (timers.iter().map(|it| it.1).min(), timers.iter().map(|it| it.1).max());
    let late = timers.iter().filter(|it| it.1 < 0).count();
    match (least, most) {
        (Some(least), Some(_)) if late == 1 && timers.len() > 1 => {
            format!("{name}, 1 overdue by {}", duration(time(least)))
        }
        (Some(least), Some(_)) if late > 0 => {
            format!("{name}, overdue by {}", duration(time(least)))
        }
        (Some(least), Some(most)) => {
            format!("{name}, {} left", words::span(time(least), time(most)))
        }
        _ => name,
    }
}

fn socket(group: &Group<'_>, first: &Task, waiting: &Waiting) -> String {
    let peer = waiting.far_end();
    let end = || match (peer, waiting.descriptor().and_then(|it| it.fd)) {
        (Some(peer), _) => peer.to_owned(),
        (None, Some(fd)) => format!("fd {fd}"),
        (None, None) => "a socket".to_owned(),
    };
    if let Some(call) = &first.call {
        let on = peer.map(|peer| format!(" on {peer}")).unwrap_or_default();
        return format!("{call}{on}");
    }
    match waiting.operation() {
        Some(Operation::Write) => format!("write to {}", end()),
        Some(Operation::Connect) => format!("connect to {}", end()),
        Some(Operation::Accept) => "accepts connections".to_owned(),
        Some(Operation::Close) => format!("close of {}", end()),
        _ if group.state == GroupState::Idle && group.tasks.len() > 1 => "next bytes".to_owned(),
        _ if group.state == GroupState::Idle => format!("next bytes of {}", end()),
        _ => end(),
    }
}

/// `gather, 0 of 3 done: load-*`
fn progress(what: &str, children: Option<&Children>, of: &[Address], tasks: &ById<'_>) -> String {
    let Some(children) = children else { return what.to_owned() };
    let done = children.done + children.failed + children.cancelled;
    let names = tasks.labels(of).map(|it| format!(": {it}")).unwrap_or_default();
    let failed = match children.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    format!("{what}, {done} of {} done{failed}{names}", done + children.pending)
}

fn held(thing: String, by: Option<String>) -> String {
    match by {
        Some(by) => format!("{thing}, held by {by}"),
        None => thing,
    }
}
