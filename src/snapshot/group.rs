//! Tasks that are alike for whoever asks what a program does: the same work, at the same line, with
//! the same wait.

use std::cmp::Reverse;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use serde::Serialize;

use super::place::own_frame;
use super::{
    Age, Bound, Code, Finding, FindingId, Location, LoopState, Operation, Origin, Severity,
    Snapshot, Source, Subject, SubjectKind, Task, TaskState, WaitKind, Waiting, Work, WorkKind,
    by_root, without_numbers,
};
use crate::memory::Address;

/// What is wrong where the tasks that it is about go on.
const HOLDS_NOBODY: [Code; 8] = [
    Code::SlowCallbacks,
    Code::SequentialAwaits,
    Code::TaskLeak,
    Code::TaskOrphaned,
    Code::NeverAwaited,
    Code::AsyncgenOpen,
    Code::ExceptionUnretrieved,
    Code::ReadyBacklog,
];

/// Tasks that are alike.
#[derive(Debug, Clone)]
pub struct Group<'s> {
    /// Tells it from other groups; the same in another snapshot of the process.
    pub id: u64,
    /// The same for all groups that do the same work.
    pub work: u64,
    /// How they get on.
    pub state: GroupState,
    /// What they do: a route, a job, `worker-*`.
    pub subject: Subject,
    /// The innermost line of the program's own that they are at; of a library's own tasks none.
    pub place: Option<&'s Arc<Location>>,
    /// The tasks, those first that are first in line, then the oldest.
    pub tasks: Vec<&'s Task>,
    /// How many there are: of requests and jobs each counts once, whatever tasks it has.
    pub count: usize,
    /// How old the oldest of them is.
    pub oldest: Option<Age>,
    /// The findings that they are in, if these are warnings or worse, or may become such.
    pub findings: Vec<FindingId>,
    /// How bad the worst of these is.
    pub severity: Option<Severity>,
    /// Whether they are what a server and a framework have beside requests that are in the program's
    /// own code, in other groups.
    pub is_beside: bool,
}

/// How tasks get on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupState {
    /// Something keeps them from going on.
    Stuck,
    /// The same may be the case.
    Undecided,
    /// They run, or what they wait for is under way.
    Moving,
    /// They wait for what comes when it comes.
    Idle,
}

impl GroupState {
    /// Its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Undecided => "undecided",
            Self::Moving => "moving",
            Self::Idle => "idle",
        }
    }
}

impl<'s> Group<'s> {
    /// The first of its tasks, which stands for all.
    pub fn first(&self) -> Option<&'s Task> {
        self.tasks.first().copied()
    }

    /// What the first of them waits for.
    pub fn waiting(&self) -> Option<&'s Waiting> {
        self.first()?.waiting_on.as_deref()
    }

    /// How many its tasks count.
    pub fn recount(&self) -> usize {
        count(self.subject.kind, &self.tasks)
    }

    /// Takes in a smaller one that does the same work.
    fn absorb(&mut self, other: Self) {
        if self.subject.name != other.subject.name {
            self.subject.name = without_numbers(&self.subject.name);
        }
        self.oldest = Age::oldest([self.oldest, other.oldest]);
        self.tasks.extend(other.tasks);
        self.count = self.recount();
    }

    /// What groups are sorted by: those that are stuck first, then those that may be, that move,
    /// that are idle; the largest first.
    fn sort(groups: &mut [Self]) {
        groups.sort_by_cached_key(|group| {
            let age = group.oldest.map(|age| age.time);
            let worst = Reverse(group.severity);
            let place = group.place.map(|place| (place.file.to_string(), place.line));
            (
                (group.state, group.subject.kind == SubjectKind::Library),
                worst,
                Reverse(group.count),
                Reverse(age),
                group.subject.name.clone(),
                place,
            )
        });
    }
}

/// Groups with those as one that do the same work and that nothing keeps from it: in each sample of a
/// series their tasks are at another line, and wait for something else. They get on as most of them do.
pub fn by_work(groups: Vec<Group<'_>>) -> Vec<Group<'_>> {
    let is_free = |group: &Group<'_>| group.state >= GroupState::Moving && !group.is_beside;
    let (mut free, mut joined): (Vec<_>, Vec<_>) = groups.into_iter().partition(is_free);
    free.sort_by_key(|group| Reverse(group.tasks.len()));
    let mut places: FxHashMap<u64, usize> = FxHashMap::default();
    for group in free {
        let at = *places.entry(group.work).or_insert(joined.len());
        match joined.get_mut(at) {
            Some(known) => known.absorb(group),
            None => joined.push(Group { id: group.work, ..group }),
        }
    }
    Group::sort(&mut joined);
    joined
}

/// How many there are in a group: of requests and jobs each counts once.
fn count(kind: SubjectKind, tasks: &[&Task]) -> usize {
    let is_of_work =
        matches!(kind, SubjectKind::Work(WorkKind::Request | WorkKind::Websocket | WorkKind::Job));
    if !is_of_work {
        return tasks.len();
    }
    let mut seen = FxHashSet::default();
    let works = tasks.iter().filter_map(|task| task.work.as_deref());
    works.filter(|work| is_new(work, &mut seen)).count().max(1)
}

/// How many requests there are, and how many tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flight {
    /// Requests that are under way.
    pub requests: usize,
    /// Websockets that are open.
    pub websockets: usize,
    /// Tasks that have not ended.
    pub tasks: usize,
}

impl Flight {
    /// That of these tasks.
    pub fn of<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> Self {
        let mut flight = Self::default();
        let mut seen = FxHashSet::default();
        for task in tasks {
            flight.tasks += 1;
            let Some(work) = task.work.as_deref() else { continue };
            let count = match work.kind {
                Some(WorkKind::Request) => &mut flight.requests,
                Some(WorkKind::Websocket) => &mut flight.websockets,
                _ => continue,
            };
            if is_new(work, &mut seen) {
                *count += 1;
            }
        }
        flight
    }
}

/// Whether a request was not counted yet. Of one without an identity each task counts, but those that
/// only have it from others.
fn is_new(work: &Work, seen: &mut FxHashSet<Address>) -> bool {
    work.identity.map_or(!work.is_inherited, |identity| seen.insert(identity))
}

/// What tasks of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key<'s> {
    kind: SubjectKind,
    name: String,
    place: Option<&'s Location>,
    wait: Option<(WaitKind, Option<Operation>)>,
    object: Option<String>,
    is_cancelled: bool,
    state: Option<TaskStateKey>,
    is_beside: bool,
}

/// States that make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum TaskStateKey {
    Running,
    Ready,
    Ended(u8),
}

/// What is known of a task by the findings that it is in.
#[derive(Debug, Clone, Default)]
struct Judged {
    is_stuck: bool,
    is_undecided: bool,
    severity: Option<Severity>,
    findings: Vec<FindingId>,
}

/// A task with what is known of it.
type Member<'s, 'j> = (&'s Task, Option<&'j Judged>);
/// Those that have a key in common.
type Alike<'s, 'j> = (Key<'s>, Vec<Member<'s, 'j>>);

/// Those of them that get on in the same way.
struct Part<'s> {
    state: GroupState,
    severity: Option<Severity>,
    findings: Vec<FindingId>,
    tasks: Vec<&'s Task>,
}

impl Judged {
    fn add(&mut self, finding: &Finding, severity: Severity, is_pending: bool) {
        let is_wrong = severity > Severity::Info;
        self.is_stuck |= is_wrong && !HOLDS_NOBODY.contains(&finding.code);
        self.is_undecided |= is_pending;
        self.severity = self.severity.max(Some(severity).filter(|_| is_wrong));
        if !self.findings.contains(&finding.id) {
            self.findings.push(finding.id);
        }
    }
}

impl Snapshot {
    /// The tasks in groups of like ones: those that are stuck first, then those that may be, that
    /// move, that are idle; the largest first.
    pub fn groups(&self) -> Vec<Group<'_>> {
        self.groups_seen(&|_| None)
    }

    /// Those of them that say what each request does, and not what is there beside it.
    pub fn main_groups(&self) -> Vec<Group<'_>> {
        self.groups().into_iter().filter(|group| !group.is_beside).collect()
    }

    /// The same where several snapshots have shown for how long a task has `stood` at its await.
    pub fn groups_seen(&self, stood: &dyn Fn(&Task) -> Option<Duration>) -> Vec<Group<'_>> {
        let mut sharing: FxHashMap<Address, u32> = FxHashMap::default();
        let waits = self.tasks.iter().filter_map(|task| task.waiting_on.as_deref());
        for object in waits.filter_map(|waiting| waiting.object) {
            *sharing.entry(object).or_insert(0) += 1;
        }
        let has_own = self.tasks.iter().any(|task| {
            let is_own = |location: &Location| location.origin == Origin::Own;
            task.work.is_some() || task.frames.iter().any(|frame| is_own(&frame.location))
        });
        let judged = self.judged();
        let mut alike: Vec<Alike<'_, '_>> = Vec::new();
        let mut index: FxHashMap<Key<'_>, usize> = FxHashMap::default();
        let request = |task: &Task| task.work.as_deref().and_then(|work| work.identity);
        let is_own = |place: Option<&Arc<Location>>| place.is_some_and(|it| !it.is_library());
        let at_home = self.tasks.iter().filter(|task| is_own(self.place_of(task)));
        let at_home: FxHashSet<Address> = at_home.filter_map(request).collect();
        for task in &self.tasks {
            let known = judged.get(&task.id);
            let place = self.place_of(task);
            let mut key = key(task, place, known.is_none() && has_own, &sharing);
            let has_home = request(task).is_some_and(|it| at_home.contains(&it));
            key.is_beside = known.is_none() && has_home && !is_own(place);
            if let Some((_, members)) = index.get(&key).and_then(|at| alike.get_mut(*at)) {
                members.push((task, known));
            } else {
                index.insert(key.clone(), alike.len());
                alike.push((key, vec![(task, known)]));
            }
        }
        self.take_left_out(&mut alike, &judged);
        let age = |task: &Task| self.age_seen(task, stood(task));
        let groups =
            alike.into_iter().flat_map(|(key, members)| self.by_state(&key, members, &age));
        let mut groups: Vec<Group<'_>> = groups.collect();
        Group::sort(&mut groups);
        groups
    }

    /// The tasks that have not ended, and what they are counted by.
    pub fn flight(&self) -> Flight {
        Flight::of(self.tasks.iter().filter(|task| !task.is_over()))
    }

    /// Which tasks are in which findings that matter.
    fn judged(&self) -> FxHashMap<Address, Judged> {
        let mut judged: FxHashMap<Address, Judged> = FxHashMap::default();
        let findings = self.findings.as_deref().unwrap_or_default();
        for (root, followers) in by_root(findings) {
            let cause = findings.get(root).map(|it| it.severity);
            let chain = std::iter::once(root).chain(followers);
            for finding in chain.filter_map(|at| findings.get(at)) {
                let is_pending = self.is_pending(finding);
                if finding.severity == Severity::Info && !is_pending || finding.pid.is_some() {
                    continue;
                }
                // Who queues behind one that is known to hang has nothing to wait for.
                let severity = cause.filter(|_| is_pending).max(Some(finding.severity));
                let severity = severity.unwrap_or(finding.severity);
                for task in &finding.tasks {
                    judged.entry(*task).or_default().add(finding, severity, is_pending);
                }
            }
        }
        judged
    }

    /// Whether a finding may become worse when it is seen for longer.
    pub fn is_pending(&self, finding: &Finding) -> bool {
        let mut doubts = self.undecided.iter();
        finding.severity == Severity::Info && doubts.any(|it| it.code == Some(finding.code))
    }

    /// A finding does not list more than a thousand tasks: those that are like the listed ones are
    /// the others.
    fn take_left_out<'j>(
        &self,
        alike: &mut [Alike<'_, 'j>],
        judged: &'j FxHashMap<Address, Judged>,
    ) {
        for finding in self.findings.iter().flatten().filter(|it| it.tasks_left_out > 0) {
            // The last one listed is one of many, and not the holder that comes first.
            let mut listed = finding.tasks.iter().rev().filter_map(|id| judged.get(id));
            let is_of = |known: &&Judged| known.findings.contains(&finding.id);
            let Some(like) = listed.find(is_of) else { continue };
            let mut left = usize::try_from(finding.tasks_left_out).unwrap_or(usize::MAX);
            for (_, members) in alike.iter_mut() {
                if members.iter().any(|(_, known)| known.as_ref().is_some_and(is_of)) {
                    let others = members.iter_mut().filter(|(_, known)| known.is_none());
                    for (_, known) in others.take(left) {
                        left -= 1;
                        *known = Some(like);
                    }
                }
            }
        }
    }

    /// Groups of those that are alike: one for each way in which they get on.
    fn by_state<'s>(
        &'s self,
        key: &Key<'s>,
        members: Vec<Member<'s, '_>>,
        age: &dyn Fn(&Task) -> Option<Age>,
    ) -> Vec<Group<'s>> {
        let mut parts: Vec<Part<'s>> = Vec::new();
        for (task, known) in members {
            let state = match known {
                Some(known) if known.is_stuck => GroupState::Stuck,
                Some(known) if known.is_undecided => GroupState::Undecided,
                _ => at_first_sight(task, key),
            };
            let severity = known.and_then(|it| it.severity);
            let findings = known.map(|it| &it.findings[..]).unwrap_or_default();
            let is_same = |part: &&mut Part<'s>| (part.state, part.severity) == (state, severity);
            if let Some(part) = parts.iter_mut().find(is_same) {
                part.tasks.push(task);
                let is_new = |id: &&FindingId| !part.findings.contains(id);
                let new: Vec<FindingId> = findings.iter().filter(is_new).copied().collect();
                part.findings.extend(new);
            } else {
                let (findings, tasks) = (findings.to_vec(), vec![task]);
                parts.push(Part { state, severity, findings, tasks });
            }
        }
        parts.into_iter().map(|part| self.group(key, part, age)).collect()
    }

    fn group<'s>(
        &'s self,
        key: &Key<'s>,
        part: Part<'s>,
        age: &dyn Fn(&Task) -> Option<Age>,
    ) -> Group<'s> {
        let Part { state, severity, mut findings, tasks } = part;
        findings.sort_unstable();
        let mut aged: Vec<(Option<Age>, &Task)> =
            tasks.into_iter().map(|task| (age(task), task)).collect();
        aged.sort_by_cached_key(|&(age, task)| {
            let at = task.waiting_on.as_deref().and_then(|waiting| waiting.position().at);
            let age = Reverse(age.map(|age| age.time));
            (at.unwrap_or(u64::MAX), age, name_key(task), task.id)
        });
        let oldest = Age::oldest(aged.iter().map(|(age, _)| *age));
        let tasks: Vec<&Task> = aged.into_iter().map(|(_, task)| task).collect();
        let names: FxHashSet<String> = match key.kind {
            SubjectKind::Name => tasks.iter().take(2).map(|task| task.label()).collect(),
            _ => FxHashSet::default(),
        };
        // Several of the same name have that.
        let name = match (names.len(), names.into_iter().next()) {
            (1, Some(name)) if tasks.iter().all(|task| task.label() == name) => name,
            _ => key.name.clone(),
        };
        Group {
            id: hash(key),
            work: hash(&(key.kind, &key.name)),
            state,
            subject: Subject { kind: key.kind, name },
            place: key.place.and(tasks.first()).and_then(|task| self.place_of(task)),
            oldest,
            count: count(key.kind, &tasks),
            tasks,
            findings,
            severity,
            is_beside: key.is_beside,
        }
    }

    /// Where a task is in the program's own code, also in the thread that it waits for; else where it
    /// is.
    pub fn place_of<'s>(&'s self, task: &'s Task) -> Option<&'s Arc<Location>> {
        let is_own = |place: &&Arc<Location>| !place.is_library();
        let in_thread = || {
            let tid = task.waiting_on.as_deref()?.thread()?;
            let thread = self.threads.iter().find(|thread| thread.tid == Some(tid))?;
            own_frame(&thread.frames).map(|frame| &frame.location).filter(is_own)
        };
        let place = task.place();
        place.filter(is_own).or_else(in_thread).or(place)
    }

    /// How long a task has been at what it does, where several snapshots have shown for how long it
    /// has `stood` at its await: so long at least, unless something tells it exactly.
    pub fn age_seen(&self, task: &Task, stood: Option<Duration>) -> Option<Age> {
        let read = self.age_of(task);
        if read.is_some_and(|age| age.bound == Bound::Exact) {
            return read;
        }
        // One that was only just seen may be of any age.
        let seen = stood.filter(|time| !time.is_zero());
        let seen = seen.map(|time| Age::at_least(time, Source::Samples));
        [read, seen].into_iter().flatten().max_by_key(|age| age.time)
    }

    /// How long a task has been at what it does, where something shows it.
    pub fn age_of(&self, task: &Task) -> Option<Age> {
        if let Some(since) = task.work.as_deref().and_then(|work| work.since) {
            return Some(since);
        }
        if task.state == Some(TaskState::Running) {
            let blocked = self.loops.iter().find(|it| Some(it.id) == task.loop_id)?;
            let blocked = (blocked.state == Some(LoopState::Blocked)).then_some(blocked)?;
            let iteration = blocked.iteration.as_ref()?;
            // Of many callbacks the last one began when the others were done.
            let is_first = iteration.callbacks_run.is_none_or(|run| run <= 1);
            let is_it =
                |it: &Finding| it.code == Code::LoopBlocked && it.loop_id == Some(blocked.id);
            let blocks = || self.findings.iter().flatten().any(is_it);
            let elapsed = iteration.elapsed.filter(|_| is_first || blocks())?;
            return Some(Age::exact(elapsed, Source::Iteration));
        }
        let waiting = task.waiting_on.as_deref()?;
        let is_read = waiting.operation() == Some(Operation::Read);
        let asked = waiting.tcp().filter(|_| is_read).and_then(super::Tcp::silent);
        if let Some(time) = asked {
            return Some(Age::exact(time, Source::Connection));
        }
        let since = waiting.since?;
        Some(match waiting.kind() {
            WaitKind::Timer => Age::exact(since, Source::Timer),
            _ => Age::at_least(since, Source::Samples),
        })
    }
}

/// By its own number where its name ends in one: `Task-9` before `Task-10`.
fn name_key(task: &Task) -> (&str, u64) {
    let name = task.name.as_deref().unwrap_or_default();
    let head = name.trim_end_matches(|it: char| it.is_ascii_digit());
    let number = name.get(head.len()..).and_then(|digits| digits.parse().ok());
    (head, number.unwrap_or(0))
}

fn hash(thing: &impl Hash) -> u64 {
    let mut hasher = FxHasher::default();
    thing.hash(&mut hasher);
    hasher.finish()
}

fn key<'s>(
    task: &'s Task,
    place: Option<&'s Arc<Location>>,
    may_fold: bool,
    sharing: &FxHashMap<Address, u32>,
) -> Key<'s> {
    let Subject { mut kind, mut name } = task.subject();
    let rests =
        || !matches!(task.state, Some(TaskState::Running | TaskState::Ready)) && rests(task);
    if kind == SubjectKind::Library && (!may_fold || !rests()) {
        kind = SubjectKind::Function;
        name = task.label();
    }
    if kind == SubjectKind::Name {
        name = without_numbers(&name);
    }
    let state = match task.state {
        Some(TaskState::Running) => Some(TaskStateKey::Running),
        Some(TaskState::Ready) => Some(TaskStateKey::Ready),
        Some(state) if state.is_finished() => Some(TaskStateKey::Ended(state as u8)),
        _ => None,
    };
    if kind == SubjectKind::Library {
        let (place, wait, object, is_cancelled) = (None, None, None, false);
        return Key { kind, name, place, wait, object, is_cancelled, state, is_beside: false };
    }
    let waiting = task.waiting_on.as_deref();
    Key {
        kind,
        name,
        place: place.map(|place| &**place),
        wait: waiting.map(|waiting| (waiting.kind(), waiting.operation())),
        object: waiting.and_then(|waiting| object(waiting, sharing)),
        is_cancelled: task.cancellation.as_ref().is_some_and(|it| it.requested > Some(0)),
        state,
        is_beside: false,
    }
}

/// What stands for the thing that is waited for: the far end that was asked, the thing itself where
/// others wait for it too, else its name.
fn object(waiting: &Waiting, sharing: &FxHashMap<Address, u32>) -> Option<String> {
    if waiting.kind() == WaitKind::Socket {
        return waiting.far_end().filter(|_| !awaits_message(waiting)).map(str::to_owned);
    }
    if let Some(function) = waiting.function() {
        // Who waits for a thread has not got as far as who waits for what one does.
        let is_queued = waiting.position().at.is_some();
        return Some(format!("{}{function}", if is_queued { "queued " } else { "" }));
    }
    let shared = waiting.object.filter(|id| sharing.get(id).is_some_and(|count| *count > 1));
    shared.map(|id| id.to_string()).or_else(|| waiting.name.clone())
}

/// Whether a task waits for what another end may send whenever it likes.
fn awaits_message(waiting: &Waiting) -> bool {
    let tcp = waiting.tcp();
    match waiting.operation() {
        Some(Operation::Accept) => true,
        Some(Operation::Read) => tcp.is_some_and(|tcp| tcp.unanswered().is_none()),
        _ => false,
    }
}

/// Whether a task waits for no more than the next thing that comes, or for others.
fn awaits_others(waiting: &Waiting) -> bool {
    match waiting.kind() {
        WaitKind::Queue => waiting.operation() != Some(Operation::Put),
        WaitKind::Socket => awaits_message(waiting),
        WaitKind::Task
        | WaitKind::Gather
        | WaitKind::TaskGroup
        | WaitKind::Future
        | WaitKind::Condition
        | WaitKind::Event
        | WaitKind::Barrier
        | WaitKind::Unknown => true,
        _ => false,
    }
}

/// Whether a library's own task does what it is for when it does nothing.
fn rests(task: &Task) -> bool {
    let waiting = task.waiting_on.as_deref();
    waiting.is_none_or(|waiting| awaits_others(waiting) || waiting.kind() == WaitKind::Timer)
}

/// How a task gets on of which no finding says anything.
fn at_first_sight(task: &Task, key: &Key<'_>) -> GroupState {
    let is_idle = match task.state {
        Some(TaskState::Running | TaskState::Ready) => false,
        Some(state) if state.is_finished() => true,
        _ => {
            key.kind == SubjectKind::Library || task.waiting_on.as_deref().is_none_or(awaits_others)
        }
    };
    if is_idle { GroupState::Idle } else { GroupState::Moving }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::diagnose::tests::{Scene, location, task, thread};
    use crate::snapshot::{
        Cause, Doubt, FindingId, Frame, Position, Sentence, Sureness, Undecided, Wait,
    };

    fn finding(id: u64, severity: Severity, tasks: impl Iterator<Item = u64>) -> Finding {
        let mut it = Finding::new(Code::LockConvoy, severity, Sureness::Read, Sentence::words("x"));
        it.id = FindingId(id);
        it.tasks = tasks.map(|number| task(number).task.id).collect();
        it.cause = Some(Cause::Cycle { length: 2, count: 1 });
        it
    }

    fn scene(tasks: Vec<Task>) -> Snapshot {
        Scene::new()
            .and(|snapshot| {
                snapshot.tasks = tasks;
                snapshot.findings = Some(Vec::new());
            })
            .snapshot
    }

    fn named(number: u64, name: &str) -> Task {
        let called = |task: &mut Task| {
            task.name = Some(name.into());
            task.frames.clear();
        };
        task(number).sleeps(10).and(called).task
    }

    fn told(snapshot: &Snapshot) -> Vec<(GroupState, String, usize)> {
        let groups = snapshot.groups().into_iter();
        groups.map(|group| (group.state, group.subject.name, group.count)).collect()
    }

    #[test]
    fn like_names_are_one_group_and_one_alone_keeps_its_number() {
        let tasks = (0..3).map(|n| named(n, &format!("job-{n}"))).chain([named(9, "beat-7")]);
        let snapshot = scene(tasks.collect());
        let moving = |name: &str, count| (GroupState::Moving, name.to_owned(), count);
        assert_eq!(told(&snapshot), [moving("job-*", 3), moving("beat-7", 1)]);
    }

    #[test]
    fn those_in_a_finding_are_stuck_and_come_first() {
        let mut snapshot = scene((0..5).map(|n| named(n, &format!("job-{n}"))).collect());
        snapshot.findings = Some(vec![finding(1, Severity::Warning, 3..4)]);
        let stuck = (GroupState::Stuck, "job-3".to_owned(), 1);
        let moving = (GroupState::Moving, "job-*".to_owned(), 4);
        assert_eq!(told(&snapshot), [stuck, moving]);
        assert_eq!(snapshot.groups()[0].findings, [FindingId(1)]);
        // What may follow from it is as sure.
        let follows =
            Finding { because_of: Some(FindingId(1)), ..finding(2, Severity::Info, 4..5) };
        snapshot.findings = Some(vec![finding(1, Severity::Warning, 3..4), follows.clone()]);
        assert_eq!(told(&snapshot).len(), 2);
        snapshot.undecided = vec![Undecided {
            reason: Doubt::TooSoon,
            title: String::new(),
            code: Some(Code::LockConvoy),
            seen_for: None,
        }];
        let both = told(&snapshot).into_iter().filter(|(state, ..)| *state == GroupState::Stuck);
        assert_eq!(both.count(), 1, "{:?}", told(&snapshot));
        assert_eq!(told(&snapshot)[0].2, 2);
        snapshot.findings = Some(vec![Finding { because_of: None, ..follows }]);
        assert_eq!(told(&snapshot)[0].0, GroupState::Undecided);
        snapshot.undecided.clear();
        // A note says nothing of them.
        snapshot.findings = Some(vec![finding(1, Severity::Info, 3..4)]);
        assert_eq!(told(&snapshot).len(), 1);
    }

    #[test]
    fn those_that_a_finding_has_no_room_for_are_stuck_too() {
        let mut snapshot = scene((0..1_500).map(|n| named(n, &format!("job-{n}"))).collect());
        let mut one = finding(1, Severity::Warning, 0..1_000);
        one.tasks_left_out = 400;
        snapshot.findings = Some(vec![one]);
        let groups = told(&snapshot);
        assert_eq!((groups[0].0, groups[0].2, groups[1].2), (GroupState::Stuck, 1_400, 100));
    }

    #[test]
    fn requests_are_counted_by_their_identity() {
        let work = |identity| {
            let kind = Some(WorkKind::Request);
            let (verb, identity) = (Some("GET".into()), Some(Address(identity)));
            Arc::new(Work { kind, verb, name: "/x".into(), identity, ..Work::default() })
        };
        let of = |number, identity| {
            let mut task = named(number, "");
            task.work = Some(work(identity));
            task
        };
        let snapshot = scene(vec![of(1, 7), of(2, 7), of(3, 8)]);
        let group = &snapshot.groups()[0];
        assert_eq!((group.count, group.tasks.len(), &*group.subject.name), (2, 3, "GET /x"));
        let Flight { requests, tasks, .. } = snapshot.flight();
        assert_eq!((requests, tasks), (2, 3));
    }

    #[test]
    fn what_a_server_has_beside_a_request_of_the_program_is_left_out() {
        let of = |number: u64, identity: u64, origin| {
            let mut task = named(number, "");
            let (kind, identity) = (Some(WorkKind::Request), Some(Address(identity)));
            let work = Work { kind, name: "/x".into(), identity, ..Work::default() };
            task.work = Some(Arc::new(work));
            let place = Location { origin, ..(*location("f", 7)).clone() };
            task.frames = vec![Frame { location: Arc::new(place), locals: None }];
            task
        };
        let mut tasks = vec![of(1, 7, Origin::Own), of(2, 7, Origin::Package)];
        tasks.push(of(3, 8, Origin::Package));
        let mut snapshot = scene(tasks);
        let told = |snapshot: &Snapshot| {
            let groups = snapshot.main_groups();
            groups.iter().map(|it| it.tasks.iter().map(|task| task.id.0).collect()).collect()
        };
        let groups: Vec<Vec<u64>> = told(&snapshot);
        assert_eq!(groups, [[1], [3]]);
        assert_eq!(snapshot.groups().len(), 3);
        // What is wrong with it is told.
        snapshot.findings = Some(vec![finding(1, Severity::Warning, 2..3)]);
        let groups: Vec<Vec<u64>> = told(&snapshot);
        assert_eq!(groups, [[2], [1], [3]]);
    }

    #[test]
    fn one_that_waits_for_a_thread_is_where_that_is() {
        let frame = |file: &str, origin| {
            let place = Location { origin, ..(*location("report", 29)).clone() };
            let location = Arc::new(Location { file: file.into(), ..place });
            Frame { location, locals: None }
        };
        let mut task = named(1, "Task-1");
        task.frames = vec![frame("/lib/anyio/_backends/_asyncio.py", Origin::Package)];
        let wait =
            Wait::Executor { function: None, thread: Some(4712), position: Position::default() };
        task.waiting_on = Some(Box::new(wait.into()));
        let mut snapshot = scene(vec![task]);
        let file = |snapshot: &Snapshot| snapshot.groups()[0].place.unwrap().file.to_string();
        assert_eq!(file(&snapshot), "/lib/anyio/_backends/_asyncio.py");
        let frames =
            vec![frame("/srv/shop.py", Origin::Own), frame("/lib/time.py", Origin::Stdlib)];
        snapshot.threads = vec![thread(4712, &[])];
        snapshot.threads[0].frames = frames;
        assert_eq!(file(&snapshot), "/srv/shop.py");
    }

    #[test]
    fn an_age_is_a_bound_where_not_all_have_one() {
        let aged = |number: u64, seconds: Option<u64>| {
            let mut task = named(number, &format!("job-{number}"));
            task.waiting_on.as_mut().unwrap().since = seconds.map(Duration::from_secs);
            task
        };
        let all = scene(vec![aged(1, Some(3)), aged(2, Some(5))]);
        let five = Duration::from_secs(5);
        assert_eq!(all.groups()[0].oldest, Some(Age::exact(five, Source::Timer)));
        let some = scene(vec![aged(1, None), aged(2, Some(5))]);
        assert_eq!(some.groups()[0].oldest, Some(Age::at_least(five, Source::Timer)));
        let none = scene(vec![aged(1, None)]);
        assert_eq!(none.groups()[0].oldest, None);
    }

    #[test]
    fn in_a_series_a_group_is_the_same_and_what_moves_is_one_by_its_work() {
        let at_queue =
            |number| task(number).at_queue(Operation::Get, 0, 9).and(|it| it.frames.clear()).task;
        let snapshot = |at_queues: u64| {
            let tasks = (0..6).map(|number| {
                let name: Arc<str> = format!("job-{number}").into();
                let task = if number < at_queues { at_queue(number) } else { named(number, "") };
                Task { name: Some(name), ..task }
            });
            scene(tasks.collect())
        };
        let (first, second) = (snapshot(3), snapshot(2));
        let ids = |groups: Vec<Group<'_>>| groups.iter().map(|it| it.id).collect::<Vec<_>>();
        assert_eq!(ids(first.groups()).len(), 2);
        assert_eq!(ids(first.groups()), ids(second.groups()));
        let joined = by_work(first.groups());
        assert_eq!(ids(joined.clone()), ids(by_work(second.groups())));
        // It is as most of them are.
        let [all] = &joined[..] else { panic!("{joined:#?}") };
        assert_eq!((all.count, all.state, &*all.subject.name), (6, GroupState::Moving, "job-*"));
        assert_eq!(all.waiting().map(Waiting::kind), Some(WaitKind::Timer));
    }

    #[test]
    fn what_was_seen_is_a_bound_where_nothing_tells_the_age() {
        let mut sleeper = named(2, "sleeper");
        sleeper.waiting_on.as_mut().unwrap().since = Some(Duration::from_secs(3));
        let snapshot = scene(vec![task(1).at_lock(900, &[]).task, sleeper]);
        let ten = Duration::from_secs(10);
        let aged = |task: &Task| snapshot.age_seen(task, Some(ten));
        assert_eq!(aged(&snapshot.tasks[0]), Some(Age::at_least(ten, Source::Samples)));
        assert_eq!(snapshot.age_seen(&snapshot.tasks[0], Some(Duration::ZERO)), None);
        let exact = snapshot.age_of(&snapshot.tasks[1]);
        assert!(exact.is_some_and(|age| age.bound == Bound::Exact));
        assert_eq!(aged(&snapshot.tasks[1]), exact);
        let groups = snapshot.groups_seen(&|_| Some(ten));
        let oldest = groups.iter().map(|it| it.oldest.map(|age| age.bound));
        assert_eq!(oldest.collect::<Vec<_>>(), [Some(Bound::AtLeast), Some(Bound::Exact)]);
    }
}
