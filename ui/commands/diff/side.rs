//! One side of a comparison, from a snapshot: every fact in it may be absent.

use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Finding, Frame, Location, Origin, Role, Sentence, Severity, Snapshot, Task, TaskState,
    WaitKind, Waiting, by_root,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::flame::fold::folded;
use crate::report::text::path;

/// What was there at one moment.
#[derive(Debug)]
pub struct Side {
    /// The file it is from.
    pub file: String,
    /// When it was read.
    pub taken_at: Timestamp,
    /// What was read.
    pub snapshot: Snapshot,
    /// The tasks that had not ended.
    pub tasks: Vec<Entry>,
    /// What was wrong.
    pub findings: Vec<Fact>,
}

/// A task.
#[derive(Debug)]
pub struct Entry {
    /// Its address.
    pub id: Address,
    name: Option<String>,
    shape: String,
    coroutine: Option<String>,
    /// All of its frames.
    frames: Vec<String>,
    /// The innermost frame of the program's own.
    pub place: Option<String>,
    /// What it waits for, in words that do not change with time.
    pub waits_for: String,
    object: Option<Address>,
    /// The future that it is parked on: another one each time that it waits.
    future: Option<Address>,
    /// For how long it has waited.
    pub since: Option<Duration>,
    /// For how long its connection has brought nothing.
    silent: Option<Duration>,
    /// The tasks that hold what it waits for.
    pub holders: Vec<Address>,
    is_parked: bool,
}

/// A finding.
#[derive(Debug, Serialize)]
pub struct Fact {
    /// Its code.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it has in common with the same trouble at another time.
    pub key: String,
    /// The conclusion.
    pub title: String,
    /// The same, to be made to fit.
    #[serde(skip)]
    pub sentence: Sentence,
    /// For how long it has been so.
    #[serde(skip)]
    pub since: Option<Duration>,
    /// How many wait because of it.
    #[serde(skip)]
    pub waiters: usize,
    /// Whether it merely follows from another one.
    #[serde(skip)]
    pub is_follower: bool,
    /// The tasks it is about.
    tasks: Vec<Address>,
}

impl Side {
    /// From a snapshot.
    pub fn of(file: String, snapshot: Snapshot) -> Self {
        let tasks = snapshot.tasks.iter().filter(|task| !task.is_over());
        let all = snapshot.findings.as_deref().unwrap_or_default();
        let of = |at: usize, is_follower| Some(Fact { is_follower, ..Fact::of(all.get(at)?) });
        let findings = by_root(all).into_iter().flat_map(|(root, followers)| {
            let followers = followers.into_iter().map(|at| (at, true));
            std::iter::once((root, false)).chain(followers)
        });
        Self {
            file,
            taken_at: snapshot.taken_at,
            tasks: tasks.map(Entry::of).collect(),
            findings: findings.filter_map(|(at, is_follower)| of(at, is_follower)).collect(),
            snapshot,
        }
    }
}

impl Entry {
    fn of(task: &Task) -> Self {
        let is_own = |frame: &&Frame| frame.location.origin == Origin::Own;
        let own = task.frames.iter().rev().find(is_own).or(task.frames.last());
        let waiting = task.waiting_on.as_deref();
        let in_words = |at: &Location| path::frame(&at.function, &at.file, at.line);
        Self {
            id: task.id,
            shape: folded(task.name.as_deref().unwrap_or("?")),
            name: task.name.as_deref().map(str::to_owned),
            coroutine: task.coroutine.as_deref().map(str::to_owned),
            place: own.map(|frame| in_words(&frame.location)),
            waits_for: waiting.map_or_else(|| state(task).to_owned(), waits_for),
            object: waiting.and_then(|waiting| waiting.object),
            future: task.fut_waiter,
            silent: waiting.and_then(|waiting| waiting.tcp()?.silent()),
            holders: waiting.map_or_else(Vec::new, |waiting| waiting.holders().to_vec()),
            since: waiting.and_then(|waiting| waiting.since),
            is_parked: task.state.is_none_or(|state| state == TaskState::Pending),
            frames: task.frames.iter().map(|frame| in_words(&frame.location)).collect(),
        }
    }

    /// What tells it from others: another task may have got its address.
    pub fn key(&self) -> (Address, Option<&str>, Option<&str>) {
        (self.id, self.name.as_deref(), self.coroutine.as_deref())
    }

    /// What it has in common with others of its kind.
    pub fn shape(&self) -> (&str, Option<&str>) {
        (&self.shape, self.coroutine.as_deref())
    }

    /// Whether it is certain that it has done nothing for so long, since it `was` as it is.
    pub fn has_stood(&self, was: &Self, time: Duration) -> bool {
        let is_long = |it: Duration| it >= time;
        self.since.is_some_and(is_long)
            || self.silent.is_some_and(is_long)
            || self.future.is_some() && self.future == was.future
    }

    /// Whether it waits.
    pub fn is_parked(&self) -> bool {
        self.is_parked
    }

    /// Whether both are at the same place and wait for the same thing.
    pub fn is_at_same_place(&self, other: &Self) -> bool {
        self.frames == other.frames
            && self.waits_for == other.waits_for
            && self.object == other.object
            && self.future.zip(other.future).is_none_or(|(a, b)| a == b)
    }
}

/// What a task does of which it is not known what it waits for.
fn state(task: &Task) -> &'static str {
    match task.state {
        Some(TaskState::Running) => "running",
        Some(TaskState::Ready) => "ready",
        Some(TaskState::Pending) => "pending",
        Some(TaskState::Done | TaskState::Cancelled | TaskState::Failed) | None => "",
    }
}

/// `lock self.lock`, `socket 10.0.0.5:5432`.
fn waits_for(waiting: &Waiting) -> String {
    let kind = waiting.kind();
    let remote = || waiting.socket()?.far_end();
    let which = match kind {
        WaitKind::Socket => remote().or_else(|| waiting.peer()),
        WaitKind::Executor => waiting.function(),
        WaitKind::Timer => None,
        _ => waiting.name.as_deref(),
    };
    match which {
        Some(which) => format!("{} {which}", kind.as_str()),
        None => kind.as_str().to_owned(),
    }
}

impl Fact {
    fn of(finding: &Finding) -> Self {
        let code = finding.code.as_str();
        Self {
            code,
            severity: finding.severity,
            // Dumps of before have no more than a code.
            key: if finding.key.is_empty() { code.to_owned() } else { finding.key.clone() },
            title: finding.title.to_string(),
            sentence: finding.title.clone(),
            since: finding.since.map(|age| age.time),
            waiters: usize::try_from(finding.count(Role::Waiter)).unwrap_or(usize::MAX),
            is_follower: false,
            tasks: finding.tasks.clone(),
        }
    }

    /// The same trouble as it is one of `others`, where this is one of `own` in another dump: where
    /// several of either have its key, the one that is about the same tasks.
    pub fn among<'o>(&self, others: &'o [Self], own: &[Self]) -> Option<&'o Self> {
        let alike = |facts: &[Self]| facts.iter().filter(|it| it.key == self.key).count();
        let is_one_of_several = alike(others) > 1 || alike(own) > 1;
        let is_same =
            |it: &Self| it.key == self.key && (!is_one_of_several || it.has_tasks_of(self));
        others.iter().find(|it| is_same(it))
    }

    fn has_tasks_of(&self, other: &Self) -> bool {
        let is_shared = |task: &Address| other.tasks.contains(task);
        self.tasks.iter().any(is_shared) || self.tasks.is_empty() && other.tasks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use aiospy::snapshot::{Code, Sureness};

    use super::*;

    fn fact(key: &str, tasks: &[u64]) -> Fact {
        let mut finding = Finding::new(Code::Deadlock, Severity::Critical, Sureness::Read, "it");
        finding.key = key.to_owned();
        finding.tasks = tasks.iter().copied().map(Address).collect();
        Fact::of(&finding)
    }

    #[test]
    fn the_same_trouble_is_told_by_its_key_and_where_two_have_it_by_its_tasks() {
        let (pay, other) = (fact("deadlock/a.py:pay", &[1]), fact("deadlock/a.py:pay", &[2]));
        // In another process, or with another task.
        assert!(pay.among(&[fact("deadlock/a.py:pay", &[9])], &[fact("", &[])]).is_some());
        assert!(pay.among(&[fact("deadlock/a.py:refund", &[1])], &[]).is_none());
        // Two deadlocks of the same functions, of which one is gone.
        let both = [pay, other];
        let left = [fact("deadlock/a.py:pay", &[2])];
        assert!(both[0].among(&left, &both).is_none() && both[1].among(&left, &both).is_some());
        assert!(left[0].among(&both, &left).is_some());
    }
}
