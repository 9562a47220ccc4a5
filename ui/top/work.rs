//! Tasks that are alike for whoever asks what a program does: the same work, at the same line of the
//! program's own, with the same wait.

use std::cmp::Reverse;
use std::sync::Arc;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Age, Code, GroupState, Location, Operation, Severity, Source, Task, TaskState, Tcp, WaitKind,
    Waiting,
};
use rustc_hash::FxHashMap;

use super::feed::Feed;
use crate::report::text::source::innermost_own;

/// What the findings say of tasks.
pub struct Blame {
    by_task: FxHashMap<Address, Vec<(Severity, Code, bool)>>,
}

/// Tasks that are alike.
#[derive(Debug, Clone)]
pub struct Group {
    pub state: GroupState,
    /// How bad the worst finding is that they are in.
    pub severity: Option<Severity>,
    /// They, by their places in the snapshot; the first stands for all.
    pub members: Vec<usize>,
    /// How old the oldest of them is.
    pub oldest: Option<Age>,
}

impl Blame {
    /// That of the findings that are open.
    pub fn of(feed: &Feed) -> Self {
        let mut by_task: FxHashMap<Address, Vec<_>> = FxHashMap::default();
        for known in &*feed.findings {
            let finding = &known.finding;
            for task in &finding.tasks {
                let mark = (finding.severity, finding.code, finding.pending.is_some());
                by_task.entry(*task).or_default().push(mark);
            }
        }
        Self { by_task }
    }

    /// The findings that a task is in.
    pub fn marks(&self, id: Address) -> Vec<(Severity, Code)> {
        let marks = self.by_task.get(&id).into_iter().flatten();
        marks.map(|(severity, code, _)| (*severity, *code)).collect()
    }

    /// How a task gets on, and how bad that is.
    pub fn state(&self, task: &Task) -> (GroupState, Option<Severity>) {
        let marks = || self.by_task.get(&task.id).into_iter().flatten();
        let severity = marks().map(|mark| mark.0).max().filter(|it| *it > Severity::Info);
        let state = match severity {
            Some(_) => GroupState::Stuck,
            None if marks().any(|mark| mark.2) => GroupState::Undecided,
            None if is_idle(task) => GroupState::Idle,
            None => GroupState::Moving,
        };
        (state, severity)
    }
}

/// What a task is called: by what it works for, else by its own name, else by what it runs.
pub fn name(task: &Task) -> String {
    if let Some(work) = &task.work {
        return work.to_string();
    }
    let is_counted = |name: &str| {
        let number = name.strip_prefix("Task-");
        number.is_some_and(|it| it.bytes().all(|it| it.is_ascii_digit()))
    };
    let given = task.name.as_deref().filter(|name| !is_counted(name) && !name.is_empty());
    let runs = task.coroutine.as_deref().map(|it| it.rsplit("<locals>.").next().unwrap_or(it));
    given.or(runs).or(task.name.as_deref()).unwrap_or("a task").to_owned()
}

/// The same of several that are alike: `worker-*`.
pub fn name_of_all(task: &Task) -> String {
    let name = name(task);
    if task.work.is_some() {
        return name;
    }
    let mut folded = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter.is_ascii_digit() {
            true if folded.ends_with('*') => {}
            true => folded.push('*'),
            false => folded.push(letter),
        }
    }
    folded
}

/// The line of the program's own that a task is at.
pub fn place(task: &Task) -> Option<&Arc<Location>> {
    let at = innermost_own(&task.frames).or(task.frames.len().checked_sub(1));
    Some(&task.frames.get(at?)?.location)
}

/// How long a task has been at what it does.
pub fn age(feed: &Feed, at: usize) -> Option<Age> {
    let task = feed.snapshot.tasks.get(at)?;
    if let Some(since) = task.work.as_deref().and_then(|work| work.since) {
        return Some(since);
    }
    let since = task.waiting_on.as_deref().and_then(|waiting| {
        let since = waiting.since?;
        Some(match waiting.kind() {
            WaitKind::Timer => Age::exact(since, Source::Timer),
            _ => Age::at_least(since, Source::Samples),
        })
    });
    let seen = feed.lives.get(at).copied().flatten().and_then(|life| life.at_await);
    let seen = seen.map(|seen| Age::at_least(seen, Source::Samples));
    [since, seen].into_iter().flatten().max_by_key(|age| age.time)
}

/// Whether a task waits for what comes when it comes.
fn is_idle(task: &Task) -> bool {
    if matches!(task.state, Some(TaskState::Running | TaskState::Ready)) {
        return false;
    }
    let Some(waiting) = task.waiting_on.as_deref() else { return task.is_over() };
    match (waiting.kind(), waiting.operation()) {
        (WaitKind::Queue, Some(Operation::Put)) => false,
        (WaitKind::Queue, _) | (WaitKind::Socket, Some(Operation::Accept)) => true,
        (WaitKind::Socket, Some(Operation::Read)) => {
            waiting.tcp().is_none_or(|tcp| tcp.unanswered().is_none())
        }
        (kind, _) => matches!(
            kind,
            WaitKind::Task
                | WaitKind::Gather
                | WaitKind::TaskGroup
                | WaitKind::Future
                | WaitKind::Condition
                | WaitKind::Event
                | WaitKind::Barrier
        ),
    }
}

/// What tasks of a group have in common.
#[derive(PartialEq, Eq, Hash)]
struct Key<'s> {
    name: String,
    place: Option<&'s Location>,
    wait: Option<(WaitKind, Option<Operation>)>,
    object: Option<&'s str>,
    is_cancelled: bool,
    state: Option<u8>,
    blamed: (GroupState, Option<Severity>),
}

fn object(waiting: &Waiting) -> Option<&str> {
    match waiting.kind() {
        WaitKind::Socket if waiting.operation() != Some(Operation::Read) => None,
        WaitKind::Socket => {
            let asked = waiting.tcp().and_then(Tcp::unanswered).is_some();
            waiting.socket()?.remote.as_deref().filter(|_| asked)
        }
        _ => waiting.name.as_deref().or_else(|| waiting.function()),
    }
}

/// Some of the tasks of a feed in groups: those that are stuck first, then those that may be, that
/// move, that are idle; in each the largest first.
pub fn groups(feed: &Feed, blame: &Blame, found: &[usize]) -> Vec<Group> {
    let tasks = &feed.snapshot.tasks;
    let mut groups: Vec<(Key<'_>, Vec<usize>)> = Vec::new();
    let mut index: FxHashMap<Key<'_>, usize> = FxHashMap::default();
    for &at in found {
        let Some(task) = tasks.get(at) else { continue };
        let waiting = task.waiting_on.as_deref();
        let key = || Key {
            name: name_of_all(task),
            place: place(task).map(|place| &**place),
            wait: waiting.map(|waiting| (waiting.kind(), waiting.operation())),
            object: waiting.and_then(object),
            is_cancelled: task.cancellation.is_some(),
            state: task.state.map(|state| state as u8),
            blamed: blame.state(task),
        };
        let place = *index.entry(key()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, members)) => members.push(at),
            None => groups.push((key(), vec![at])),
        }
    }
    let of = |(key, mut members): (Key<'_>, Vec<usize>)| {
        let oldest = Age::oldest(members.iter().map(|at| age(feed, *at)));
        members.sort_by_cached_key(|at| {
            let position = tasks.get(*at).and_then(|it| it.waiting_on.as_deref()?.position().at);
            (position.unwrap_or(u64::MAX), Reverse(age(feed, *at).map(|age| age.time)), *at)
        });
        let (state, severity) = key.blamed;
        (key.name, Group { state, severity, members, oldest })
    };
    let mut groups: Vec<(String, Group)> = groups.into_iter().map(of).collect();
    groups.sort_by_cached_key(|(name, group)| {
        let age = group.oldest.map(|age| age.time.as_secs());
        let (worst, count) = (Reverse(group.severity), Reverse(group.members.len()));
        (group.state, worst, count, Reverse(age), name.clone())
    });
    groups.into_iter().map(|(_, group)| group).collect()
}
