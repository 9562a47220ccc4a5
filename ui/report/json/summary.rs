//! A snapshot in at most ten thousand bytes: what it comes to, each cause with who plays which part,
//! and tasks in groups. What is cut is counted.

use std::collections::BTreeMap;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Age, Answer, Bound, Cause, Code, Finding, Flight, Group, GroupState, Level, Location, Loop,
    Members, Operation, Origin, Role, Severity, Snapshot, Subject, SubjectKind, Sureness, Task,
    Wait, Waiting, by_root,
};
use aiospy::{known::command, snapshot::Consistency};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;
use serde_json::Value;

use super::{instant, ms};
use crate::report::text::Lines;

/// How large a document becomes, written in one line.
pub const MAX_BYTES: usize = 10_000;
/// How many groups it has.
const MAX_GROUPS: usize = 12;
/// How many causes with all facts, and how many findings more.
const MAX_CAUSES: usize = 3;
const MAX_BRIEF: usize = 5;
/// How many tasks of a group, and of those that play a part.
const MAX_TASKS: usize = 3;
const MAX_FIRST: usize = 2;
/// How many loops and pools.
const MAX_LOOPS: usize = 4;
/// Letters of a line of source, of other texts, and of paths and titles.
const MAX_SOURCE: usize = 80;
const MAX_TEXT: usize = 80;
const MAX_LONG: usize = 200;

/// The document.
#[derive(Debug, Serialize)]
pub struct Summary {
    schema: &'static str,
    tool: String,
    taken_at: String,
    verdict: Verdict,
    process: Process,
    read: Read,
    counts: Counts,
    loops: Vec<LoopRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pools: Vec<PoolRow>,
    findings: Vec<Found>,
    groups: Vec<GroupRow>,
    omitted: Omitted,
}

#[derive(Debug, Serialize)]
struct Verdict {
    level: &'static str,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    text: String,
    #[serde(skip_serializing_if = "is_zero")]
    allowed: usize,
}

#[derive(Debug, Serialize)]
struct Process {
    pid: i32,
    command: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    python: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    up_ms: Option<f64>,
    threads: usize,
    children: usize,
}

#[derive(Debug, Serialize)]
struct Read {
    #[serde(skip_serializing_if = "Option::is_none")]
    samples: Option<u8>,
    consistency: Consistency,
    tasks: usize,
    tasks_unread: usize,
    problems: usize,
    elapsed_ms: f64,
    paused_ms: f64,
}

#[derive(Debug, Serialize)]
struct Counts {
    requests: Requests,
    websockets: usize,
    tasks: Tasks,
}

#[derive(Debug, Serialize)]
struct Requests {
    total: usize,
    stuck: usize,
    undecided: usize,
    moving: usize,
}

#[derive(Debug, Serialize)]
struct Tasks {
    stuck: usize,
    undecided: usize,
    moving: usize,
    idle: usize,
}

#[derive(Debug, Serialize)]
struct LoopRow {
    id: String,
    class: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<aiospy::snapshot::LoopState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timers: Option<u64>,
}

#[derive(Debug, Serialize)]
struct PoolRow {
    id: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    busy: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Found {
    id: String,
    code: Code,
    key: String,
    severity: Severity,
    title: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    allowed: bool,
    #[serde(flatten)]
    more: Option<More>,
}

/// What only causes and what follows from them have.
#[derive(Debug, Serialize)]
struct More {
    sureness: Sureness,
    because_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Age>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    roles: BTreeMap<String, Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guarded_by_timeout: Option<OfAll>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hurts: Option<Hurts>,
    #[serde(skip_serializing_if = "String::is_empty")]
    advice: String,
}

#[derive(Debug, Serialize)]
struct OfAll {
    count: usize,
    of: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
struct Hurts {
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<usize>,
    of: usize,
}

/// Those who play a part.
#[derive(Debug, Serialize)]
struct Part {
    count: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    first: Vec<First>,
}

#[derive(Debug, Serialize)]
struct First {
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    work: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<WaitRow>,
}

#[derive(Debug, Clone, Serialize)]
struct Place {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    function: String,
    origin: Origin,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

/// Tasks that are alike.
#[derive(Debug, Serialize)]
pub struct GroupRow {
    id: String,
    count: usize,
    state: GroupState,
    work: WorkRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait: Option<WaitRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_bound: Option<Bound>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tasks: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct WorkRow {
    kind: &'static str,
    label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verb: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
}

/// What is waited for.
#[derive(Debug, Clone, Default, Serialize)]
struct WaitRow {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<u64>,
}

#[derive(Debug, Default, Serialize)]
struct Omitted {
    groups: usize,
    findings: usize,
    notes: usize,
    #[serde(skip_serializing_if = "is_zero")]
    loops: usize,
    #[serde(skip_serializing_if = "is_zero")]
    pools: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What all parts are made from.
struct Writer<'s> {
    snapshot: &'s Snapshot,
    lines: &'s Lines<'s>,
    tasks: FxHashMap<Address, &'s Task>,
    group_of: FxHashMap<Address, usize>,
}

/// The groups of a snapshot, all of them, without lines of source.
pub fn groups(snapshot: &Snapshot) -> Vec<GroupRow> {
    let (lines, groups) = (Lines::of(None), snapshot.groups());
    let writer = Writer::of(snapshot, &groups, &lines);
    groups.iter().enumerate().map(|(at, group)| writer.group(at, group)).collect()
}

impl Summary {
    /// That of a snapshot, of a command that ends with this code.
    pub fn of(snapshot: &Snapshot, exit_code: u8, lines: &Lines<'_>) -> Self {
        let groups = snapshot.main_groups();
        let answer = snapshot.answer();
        let writer = Writer::of(snapshot, &groups, lines);
        let mut summary = Self {
            schema: "aiospy.summary/1",
            tool: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            taken_at: instant(snapshot.taken_at),
            verdict: verdict(snapshot, answer.as_ref(), exit_code),
            process: process(snapshot),
            read: Read {
                samples: snapshot.looks,
                consistency: snapshot.consistency,
                tasks: snapshot.tasks.len(),
                tasks_unread: snapshot.unread_tasks,
                problems: snapshot.problems.len(),
                elapsed_ms: ms(snapshot.elapsed),
                paused_ms: ms(snapshot.paused),
            },
            counts: counts(&groups),
            loops: loops(snapshot),
            pools: pools(snapshot),
            findings: Vec::new(),
            groups: groups
                .iter()
                .take(MAX_GROUPS)
                .enumerate()
                .map(|(at, group)| writer.group(at, group))
                .collect(),
            omitted: Omitted {
                groups: groups.len().saturating_sub(MAX_GROUPS),
                loops: snapshot.loops.len().saturating_sub(MAX_LOOPS),
                pools: snapshot.pools().len().saturating_sub(MAX_LOOPS),
                ..Omitted::default()
            },
        };
        writer.findings(answer.as_ref(), &mut summary);
        summary.cut();
        summary
    }

    /// Leaves out what says least until it is small enough.
    fn cut(&mut self) {
        if self.is_small() {
            return;
        }
        let places = self.findings.iter_mut().filter_map(|it| it.more.as_mut()?.place.as_mut());
        let groups = self.groups.iter_mut().filter_map(|it| it.at.as_mut());
        places.chain(groups).for_each(|place| place.source = None);
        if self.is_small() {
            return;
        }
        self.groups.iter_mut().for_each(|group| group.tasks.clear());
        while !self.is_small() && self.groups.pop().is_some() {
            self.omitted.groups += 1;
        }
        // Ids of groups that are not there lead nowhere.
        let known: FxHashSet<&String> = self.groups.iter().map(|group| &group.id).collect();
        let known: FxHashSet<String> = known.into_iter().cloned().collect();
        let parts = self.findings.iter_mut().filter_map(|it| it.more.as_mut());
        parts.flat_map(|more| more.roles.values_mut()).for_each(|part| {
            part.groups.retain(|id| known.contains(id));
        });
        while !self.is_small() && self.findings.len() > 1 {
            let last = self.findings.pop();
            match last.map(|it| it.severity) {
                Some(Severity::Info) => self.omitted.notes += 1,
                _ => self.omitted.findings += 1,
            }
        }
    }

    fn is_small(&self) -> bool {
        serde_json::to_vec(self).is_ok_and(|text| text.len() < MAX_BYTES)
    }
}

fn verdict(snapshot: &Snapshot, answer: Option<&Answer>, exit_code: u8) -> Verdict {
    let level = answer.map_or(Level::Undecided, |answer| answer.level);
    Verdict {
        level: level.as_str(),
        exit_code,
        cause: answer.and_then(|answer| answer.cause).map(|id| id.to_string()),
        text: answer.map_or_else(String::new, |answer| fit(&answer.sentence.in_full(), MAX_LONG)),
        allowed: snapshot.allowed(),
    }
}

fn process(snapshot: &Snapshot) -> Process {
    let process = &snapshot.process;
    let up = process.started_at.map(|at| snapshot.taken_at.duration_since(at));
    Process {
        pid: process.pid,
        command: fit(&command::program(&process.cmdline), MAX_LONG),
        python: process.python.clone(),
        started_at: process.started_at.map(instant),
        // Ages are those of the end of the reading: none is more than this.
        up_ms: up
            .and_then(|up| std::time::Duration::try_from(up).ok())
            .map(|up| ms(up + snapshot.elapsed)),
        threads: snapshot.threads.len(),
        children: snapshot.children.len(),
    }
}

fn counts(groups: &[Group<'_>]) -> Counts {
    let of = |state: GroupState| {
        let groups = groups.iter().filter(move |group| group.state == state);
        groups.flat_map(|group| group.tasks.iter().copied()).filter(|task| !task.is_over())
    };
    let all = [GroupState::Stuck, GroupState::Undecided, GroupState::Moving, GroupState::Idle];
    let total = Flight::of(all.into_iter().flat_map(of));
    let [stuck, undecided, moving, idle] = all.map(|state| Flight::of(of(state)));
    // A request that has several tasks is as stuck as the worst of them.
    let undecided_requests = undecided.requests.min(total.requests.saturating_sub(stuck.requests));
    Counts {
        requests: Requests {
            total: total.requests,
            stuck: stuck.requests,
            undecided: undecided_requests,
            moving: total.requests.saturating_sub(stuck.requests + undecided_requests),
        },
        websockets: total.websockets,
        tasks: Tasks {
            stuck: stuck.tasks,
            undecided: undecided.tasks,
            moving: moving.tasks,
            idle: idle.tasks,
        },
    }
}

fn loops(snapshot: &Snapshot) -> Vec<LoopRow> {
    let row = |(at, of): (usize, &Loop)| LoopRow {
        id: format!("l{}", at + 1),
        class: fit(&of.class, MAX_TEXT),
        thread: of.thread,
        state: of.state,
        elapsed_ms: of.iteration.as_ref().and_then(|it| it.elapsed).map(ms),
        ready: of.ready,
        timers: of.scheduled,
    };
    snapshot.loops.iter().enumerate().take(MAX_LOOPS).map(row).collect()
}

fn pools(snapshot: &Snapshot) -> Vec<PoolRow> {
    let pools = snapshot.pools().into_iter().enumerate().take(MAX_LOOPS);
    let row = |(at, pool): (usize, &aiospy::snapshot::Executor)| PoolRow {
        id: format!("p{}", at + 1),
        kind: if pool.processes.is_some() { "processes" } else { "threads" },
        name: pool.name.as_deref().map(|name| fit(name, MAX_TEXT)),
        busy: pool.workers.zip(pool.idle).map(|(workers, idle)| workers.saturating_sub(idle)),
        size: pool.max_workers,
        queued: pool.queued,
    };
    pools.map(row).collect()
}

impl<'s> Writer<'s> {
    fn of(snapshot: &'s Snapshot, groups: &[Group<'_>], lines: &'s Lines<'s>) -> Self {
        let tasks = snapshot.tasks.iter().map(|task| (task.id, task)).collect();
        let members = groups
            .iter()
            .enumerate()
            .flat_map(|(at, group)| group.tasks.iter().map(move |task| (task.id, at)));
        Self { snapshot, lines, tasks, group_of: members.collect() }
    }

    fn findings(&self, answer: Option<&Answer>, summary: &mut Summary) {
        let findings = self.snapshot.findings.as_deref().unwrap_or_default();
        let (mut causes, mut brief) = (0, 0);
        for (root, followers) in by_root(findings) {
            let all: Vec<&Finding> =
                followers.iter().chain([&root]).filter_map(|at| findings.get(*at)).collect();
            let is_note =
                all.iter().all(|it| it.severity == Severity::Info && !self.snapshot.is_pending(it));
            if causes < MAX_CAUSES && !is_note {
                causes += 1;
                let chain = std::iter::once(root).chain(followers);
                summary.findings.extend(
                    chain.filter_map(|at| findings.get(at)).map(|it| self.finding(it, answer)),
                );
                continue;
            }
            for finding in all.into_iter().rev() {
                if brief < MAX_BRIEF {
                    brief += 1;
                    summary.findings.push(found(finding));
                } else if finding.severity == Severity::Info {
                    summary.omitted.notes += 1;
                } else {
                    summary.omitted.findings += 1;
                }
            }
        }
    }

    fn finding(&self, finding: &Finding, answer: Option<&Answer>) -> Found {
        let is_first = answer.is_some_and(|answer| answer.cause == Some(finding.id));
        let hurt = answer.and_then(|answer| answer.hurt).filter(|_| is_first);
        let mut cause = finding.cause.as_ref().and_then(|it| serde_json::to_value(it).ok());
        if let Some(Value::Object(facts)) = &mut cause {
            for fact in facts.values_mut() {
                if let Value::String(text) = fact {
                    *text = fit(text, MAX_TEXT);
                }
            }
            // As the drawings of it have it: the far end is a peer everywhere.
            if let Some(Cause::Peer { .. }) = &finding.cause
                && let Some(address) = facts.remove("address")
            {
                facts.insert("peer".to_owned(), address);
            }
        }
        let waiters = finding.role(Role::Waiter);
        let more = More {
            sureness: finding.sureness,
            because_of: finding.because_of.map(|id| id.to_string()),
            since: finding.since,
            cause,
            roles: finding.roles.iter().map(|it| self.part(finding, it)).collect(),
            place: finding.place.as_deref().map(|place| self.place(place)),
            guarded_by_timeout: waiters.and_then(|waiters| self.guarded(waiters)),
            hurts: hurt.map(|hurt| Hurts {
                requests: hurt.is_of_requests.then_some(hurt.count),
                tasks: (!hurt.is_of_requests).then_some(hurt.count),
                of: hurt.of,
            }),
            advice: fit(&finding.advice, MAX_LONG),
        };
        Found { more: Some(more), ..found(finding) }
    }

    /// How many of those that wait have a time limit, where all are known.
    fn guarded(&self, waiters: &Members) -> Option<OfAll> {
        let tasks: Vec<&&Task> = waiters.first.iter().filter_map(|id| self.tasks.get(id)).collect();
        let is_all = u64::try_from(tasks.len()) == Ok(waiters.count);
        let has_limit = |task: &&&Task| {
            task.waiting_on.as_deref().is_some_and(|waiting| !waiting.deadlines.is_empty())
        };
        let count = tasks.iter().filter(|task| has_limit(task)).count();
        is_all.then_some(OfAll { count, of: tasks.len() })
    }

    fn part(&self, finding: &Finding, of: &Members) -> (String, Part) {
        let role = serde_json::to_value(of.role).ok();
        let role = role.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut groups: Vec<usize> =
            of.first.iter().filter_map(|id| self.group_of.get(id)).copied().collect();
        groups.sort_unstable();
        groups.dedup();
        let groups = groups.into_iter().filter(|at| *at < MAX_GROUPS).map(group_id).collect();
        let is_holder = of.role != Role::Waiter || finding.code == Code::CleanupStuck;
        let first = of.first.iter().filter_map(|id| self.tasks.get(id)).take(MAX_FIRST);
        let first = first.map(|task| self.first(task, is_holder)).collect();
        (role, Part { count: of.count, groups, first })
    }

    fn first(&self, task: &Task, has_wait: bool) -> First {
        let waiting = task.waiting_on.as_deref();
        First {
            task: task.name.as_deref().map(|name| fit(name, MAX_TEXT)),
            work: fit(&task.label(), MAX_TEXT),
            at: self.snapshot.place_of(task).map(|place| short(place)),
            since_ms: self.snapshot.age_of(task).map(|age| ms(age.time)),
            position: waiting.and_then(|waiting| waiting.position().at),
            waits_for: waiting.filter(|_| has_wait).map(|waiting| self.wait(task, waiting, false)),
        }
    }

    fn place(&self, place: &Location) -> Place {
        let source = place.line.and_then(|number| self.lines.line(&place.file, number));
        Place {
            file: end_of(if place.is_library() { place.path() } else { &place.file }, MAX_LONG),
            line: place.line,
            function: fit(&place.function, MAX_TEXT),
            origin: place.origin,
            source: source.map(|source| fit(&source, MAX_SOURCE)),
        }
    }

    fn group(&self, at: usize, group: &Group<'_>) -> GroupRow {
        let is_of_library = group.subject.kind == SubjectKind::Library;
        let first = group.first();
        let wait = match first {
            Some(_) if is_of_library => Some(WaitRow { kind: "own", ..WaitRow::default() }),
            Some(task) => task
                .waiting_on
                .as_deref()
                .map(|waiting| self.wait(task, waiting, group.state == GroupState::Idle)),
            None => None,
        };
        let names = group.tasks.iter().filter_map(|task| task.name.as_deref());
        GroupRow {
            id: group_id(at),
            count: group.count,
            state: group.state,
            work: work(&group.subject, first),
            at: group.place.filter(|_| !is_of_library).map(|place| self.place(place)),
            wait,
            oldest_ms: group.oldest.map(|age| ms(age.time)),
            oldest_bound: group.oldest.map(|age| age.bound).filter(|it| *it == Bound::AtLeast),
            tasks: names.take(MAX_TASKS).map(|name| fit(name, MAX_TEXT)).collect(),
            findings: group.findings.iter().map(ToString::to_string).collect(),
        }
    }

    fn wait(&self, task: &Task, waiting: &Waiting, is_idle: bool) -> WaitRow {
        let holder = waiting.holders().first().and_then(|id| self.group_of.get(id));
        let text = |text: &str| fit(text, MAX_TEXT);
        let count = waiting.count();
        let call = task.call.as_ref().map(ToString::to_string);
        let function = || waiting.function().map(text);
        WaitRow {
            kind: kind(waiting, is_idle),
            name: waiting.name.as_deref().map(text),
            peer: waiting.far_end().map(text),
            call: call.map(|call| fit(&call, MAX_TEXT)).or_else(function),
            pool: waiting.pool().map(|pool| text(pool)),
            held_by: holder.filter(|at| **at < MAX_GROUPS).map(|at| group_id(*at)),
            left_ms: waiting
                .due_in
                .map(|due| due.as_secs_f64() * 1000.0)
                .map(|ms| (ms * 1000.0).round() / 1000.0),
            value: count.value,
            limit: count.limit.filter(|limit| *limit > 0),
            pending: waiting.children().map(|children| children.pending),
        }
    }
}

/// What kind of wait it is, in a word.
fn kind(waiting: &Waiting, is_idle: bool) -> &'static str {
    match (&waiting.wait, waiting.operation()) {
        (Wait::Socket(_), Some(Operation::Accept)) => "accept",
        (Wait::Socket(_), Some(Operation::Write)) => "write",
        (Wait::Socket(_), Some(Operation::Connect)) => "connect",
        (Wait::Socket(_), Some(Operation::Close)) => "close",
        (Wait::Socket(_), _) if is_idle => "message",
        (Wait::Socket(_), _) => "read",
        (Wait::Executor { .. }, _) => "thread",
        _ => waiting.kind().as_str(),
    }
}

fn work(subject: &Subject, first: Option<&Task>) -> WorkRow {
    let is_work = matches!(subject.kind, SubjectKind::Work(_));
    let known = first.and_then(|task| task.work.as_deref()).filter(|_| is_work);
    WorkRow {
        kind: subject.kind.as_str(),
        label: fit(&subject.name, MAX_TEXT),
        verb: known.and_then(|work| work.verb.as_deref()).map(|verb| fit(verb, MAX_TEXT)),
        route: known.map(|work| fit(&work.name, MAX_TEXT)),
    }
}

fn found(finding: &Finding) -> Found {
    Found {
        id: finding.id.to_string(),
        code: finding.code,
        key: fit(&finding.key, MAX_LONG),
        severity: finding.severity,
        title: fit(&finding.title.to_string(), MAX_LONG),
        allowed: finding.is_allowed,
        more: None,
    }
}

fn group_id(at: usize) -> String {
    format!("g{}", at + 1)
}

/// `shop.py:17`
fn short(place: &Location) -> String {
    let file = place.file.rsplit('/').next().unwrap_or(&place.file);
    let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{}{line}", fit(file, MAX_TEXT))
}

/// The beginning of a text that is too long.
fn fit(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// The end of one.
fn end_of(text: &str, most: usize) -> String {
    let letters = text.chars().count();
    match letters.checked_sub(most) {
        Some(over @ 1..) => std::iter::once('…').chain(text.chars().skip(over + 1)).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text::sample::{self, shop, shop_source, task};

    fn summary(snapshot: &Snapshot) -> Value {
        let source = shop_source();
        let lines = Lines::of(Some(&source));
        let summary = Summary::of(snapshot, 3, &lines);
        let text = serde_json::to_string(&summary).unwrap();
        assert!(text.len() < MAX_BYTES, "{}", text.len());
        let document: Value = serde_json::from_str(&text).unwrap();
        let schema: Value = serde_json::from_str(include_str!("../../../schema.json")).unwrap();
        let of = serde_json::json!({ "$ref": "#/$defs/summary", "$defs": schema["$defs"] });
        let errors: Vec<String> = jsonschema::validator_for(&of)
            .unwrap()
            .iter_errors(&document)
            .map(|error| format!("{} {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}\n{document:#}");
        document
    }

    #[test]
    fn what_a_program_asks_is_in_it() {
        let it = summary(&shop());
        assert_eq!(it["verdict"]["level"], "warning");
        assert_eq!(
            it["verdict"]["text"],
            "127.0.0.1:18999 has been silent for 62.3 s: 161 of 175 requests are stuck"
        );
        let roots = it["findings"].as_array().unwrap().iter();
        let roots: Vec<&str> = roots
            .filter(|finding| finding["because_of"].is_null())
            .map(|finding| finding["id"].as_str().unwrap())
            .collect();
        assert_eq!(roots, ["f1"]);
        let cause = &it["findings"][0];
        assert_eq!(cause["cause"]["peer"], "127.0.0.1:18999");
        assert_eq!(
            (&cause["hurts"]["requests"], &cause["hurts"]["of"]),
            (&161.into(), &175.into())
        );
        assert_eq!(cause["place"]["source"], "r=await app.client.get(UP)");
        assert_eq!(cause["roles"]["waiter"]["count"], 61);
        assert_eq!(it["findings"][1]["roles"]["holder"]["first"][0]["waits_for"]["kind"], "read");
        let counts = &it["counts"];
        let requests =
            serde_json::json!({"total": 175, "stuck": 161, "undecided": 0, "moving": 14});
        assert_eq!(counts["requests"], requests);
        assert_eq!(counts["websockets"], 20);
        let first = &it["groups"][0];
        assert_eq!((&first["count"], &first["state"]), (&100.into(), &"stuck".into()));
        assert_eq!(first["work"]["label"], "GET /stock/{sku}");
        assert_eq!(first["wait"]["held_by"], "g3");
        assert_eq!(first["tasks"].as_array().unwrap().len(), 3);
        assert_eq!(it["taken_at"], "2024-11-02T06:00:00.000Z");
    }

    #[test]
    fn ten_thousand_tasks_and_many_findings_are_no_more() {
        let name = |n: u64| format!("{}-{n}", "job".repeat(1 + usize::try_from(n % 60).unwrap()));
        let tasks = (0..10_000).map(|n| {
            let file =
                format!("f{} /srv/{}/app.py:{}", "x".repeat(300), "dir/".repeat(80), n % 500 + 1);
            task(n, &name(n), &[&file], &[])
        });
        let mut snapshot = sample::snapshot(tasks.collect());
        let findings = (1..=40).map(|n| {
            let title = "trouble ".repeat(30);
            let mut it =
                sample::finding(Code::LockConvoy, Severity::Warning, &title, &[n, n + 1, n + 2]);
            it.id = aiospy::snapshot::FindingId(n);
            it.because_of = (n > 1).then_some(aiospy::snapshot::FindingId(1));
            it.key = "key/".repeat(200);
            it.advice = "Do it. ".repeat(200);
            it.place = Some(snapshot.tasks[0].frames[0].location.clone());
            it
        });
        snapshot.findings = Some(findings.collect());
        snapshot.verdict = Some(aiospy::snapshot::Verdict::Findings);
        let it = summary(&snapshot);
        let omitted = it["omitted"]["groups"].as_u64().unwrap();
        let groups = u64::try_from(it["groups"].as_array().unwrap().len()).unwrap();
        assert_eq!(usize::try_from(omitted + groups).unwrap(), snapshot.groups().len());
        let findings = it["findings"].as_array().unwrap().len();
        assert_eq!(it["omitted"]["findings"], 40 - findings);
        assert_eq!(it["counts"]["tasks"]["stuck"], 42);
    }

    #[test]
    fn what_is_allowed_is_marked_and_counted() {
        let mut snapshot = shop();
        snapshot.findings.as_mut().unwrap()[0].is_allowed = true;
        let it = summary(&snapshot);
        assert_eq!(it["findings"][0]["allowed"], true);
        assert!(it["findings"][1].get("allowed").is_none());
        let verdict = &it["verdict"];
        assert_eq!((&verdict["level"], &verdict["cause"]), (&"warning".into(), &"f2".into()));
        assert_eq!(verdict["allowed"], 1);
        snapshot.findings.as_mut().unwrap()[1].is_allowed = true;
        let it = summary(&snapshot);
        assert_eq!(it["verdict"]["level"], "allowed");
        assert!(summary(&shop())["verdict"].get("allowed").is_none());
    }

    #[test]
    fn an_empty_process_has_a_document_too() {
        let mut snapshot = sample::snapshot(Vec::new());
        snapshot.findings = Some(Vec::new());
        assert_eq!(summary(&snapshot)["groups"], serde_json::json!([]));
    }
}
