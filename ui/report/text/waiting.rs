//! What tasks of one look wait for, in a line or a few.

use aiospy::memory::Address;
use aiospy::snapshot::{Snapshot, Task, Wait, WaitKind, Waiting};
use jiff::SignedDuration;
use rustc_hash::{FxHashMap, FxHashSet};

use super::merge::merge;
use super::{names, words};

/// How many reasons of tasks of one look are told; the rest is counted.
const MAX_REASONS: usize = 3;
/// Up to how many waited-for tasks are named one by one.
const MAX_NAMED: usize = 8;

/// The names of tasks by their address.
pub struct TaskNames<'s>(FxHashMap<Address, &'s str>);

impl<'s> TaskNames<'s> {
    /// Those of a snapshot.
    pub fn of(snapshot: &'s Snapshot) -> Self {
        let name = |task: &'s Task| Some((task.id, task.name.as_deref()?));
        Self(snapshot.tasks.iter().filter_map(name).collect())
    }

    /// A task's name, or its address where it has none.
    pub fn of_task(&self, id: Address) -> String {
        self.0.get(&id).map_or_else(|| id.to_string(), |name| (*name).to_owned())
    }

    /// The names of several tasks, folded.
    pub fn folded(&self, ids: impl IntoIterator<Item = Address>) -> String {
        let mut all: Vec<String> = ids.into_iter().map(|id| self.of_task(id)).collect();
        all.sort_by(|a, b| names::sort_key(a).cmp(&names::sort_key(b)));
        all.dedup();
        names::fold(all.iter().map(String::as_str))
    }
}

/// Why the tasks do not go on; nothing for running and finished ones, and where it is not known.
/// All of `tasks` wait for the same kind of thing.
pub fn reasons<'t>(
    tasks: impl IntoIterator<Item = &'t Task>,
    names: &TaskNames<'_>,
) -> Vec<String> {
    let waits: Vec<&Waiting> = tasks
        .into_iter()
        .filter_map(|task| task.waiting_on.as_deref())
        .filter(|waiting| !matches!(waiting.wait, Wait::Running))
        .collect();
    let merged = merge(waits.iter().map(|waiting| described(waiting)));
    let is_one = merged.len() == 1;
    let rest = merged.iter().skip(MAX_REASONS).map(|(_, count)| count).sum::<usize>();
    let mut lines: Vec<String> = merged
        .into_iter()
        .take(MAX_REASONS)
        .map(|(text, count)| match count {
            _ if is_one => text,
            _ => format!("{text}  ×{}", words::count(count)),
        })
        .collect();
    if rest > 0 {
        lines.push(format!("… {} of them for other things", words::count(rest)));
    }
    if let Some(first) = lines.first_mut() {
        first.push_str(&about_all(&waits, names));
    }
    lines
}

/// What is said once for all of them.
fn about_all(waits: &[&Waiting], names: &TaskNames<'_>) -> String {
    let Some(kind) = waits.first().map(|waiting| waiting.kind()) else { return String::new() };
    let mut facts = Vec::new();
    if kind.is_shared() && waits.len() > 1 {
        let things: FxHashSet<Address> = waits.iter().filter_map(|w| w.object).collect();
        if things.len() == waits.len() {
            facts.push("each its own".to_owned());
        } else if things.len() > 1 {
            facts.push(format!("{} different ones", words::count(things.len())));
        }
    }
    let holders: FxHashSet<Address> =
        waits.iter().flat_map(|waiting| waiting.holders().iter().copied()).collect();
    let is_told = waits.iter().any(|waiting| waiting.description.contains("held by"));
    if !holders.is_empty() && !is_told {
        facts.push(format!("held by {}", names.folded(holders)));
    }
    let since = || waits.iter().filter_map(|waiting| waiting.since);
    if let (Some(least), Some(most)) = (since().min(), since().max()) {
        let (least, most) = (words::duration(least), words::duration(most));
        let is_one = least == most;
        facts.push(if is_one { format!("for {most}") } else { format!("for {least} … {most}") });
    }
    let mut limits = waits
        .iter()
        .flat_map(|waiting| &waiting.deadlines)
        .filter(|deadline| deadline.frame.is_none())
        .filter_map(|deadline| deadline.due_in)
        .peekable();
    if limits.peek().is_some() {
        facts.push(time_limit(limits).0);
    }
    let mut words = String::new();
    // What is awaited is drawn below, but one line that says `task` alone would say nothing.
    let tasks: FxHashSet<Address> = waits.iter().flat_map(|w| w.tasks().iter().copied()).collect();
    if kind == WaitKind::Task && !tasks.is_empty() {
        words = format!(": {}", names.folded(tasks));
    }
    for fact in facts {
        words.push_str(", ");
        words.push_str(&fact);
    }
    words
}

/// The reason in words, or at least its kind.
pub fn described(waiting: &Waiting) -> &str {
    if !waiting.description.is_empty() {
        return &waiting.description;
    }
    match waiting.kind() {
        WaitKind::Timer => "a timer",
        WaitKind::Socket => "a socket",
        WaitKind::Task => "a task",
        WaitKind::Gather => "gather",
        WaitKind::TaskGroup => "a task group",
        WaitKind::Future => "a future",
        WaitKind::Lock => "a lock",
        WaitKind::Semaphore => "a semaphore",
        WaitKind::Condition => "a condition",
        WaitKind::Event => "an event",
        WaitKind::Queue => "a queue",
        WaitKind::Pool => "a connection of a pool",
        WaitKind::Barrier => "a barrier",
        WaitKind::Executor => "a call in a thread pool",
        WaitKind::Subprocess => "a process",
        WaitKind::Thread => "a thread",
        WaitKind::Asyncgen => "asynchronous generators to close",
        WaitKind::Ready => "ready to run",
        WaitKind::Running => "nothing",
        WaitKind::Unknown => "not known what for",
    }
}

/// The tasks that one waits for, by name, as far as they are few and not named by its reason.
pub fn awaited(waiting: &Waiting, names: &TaskNames<'_>) -> Option<String> {
    if waiting.tasks().is_empty() || waiting.kind() == WaitKind::Task {
        return None;
    }
    let first = names.folded(waiting.tasks().iter().take(MAX_NAMED).copied());
    Some(match waiting.tasks().len().checked_sub(MAX_NAMED + 1) {
        Some(more) => format!("{first}, … {} more", words::count(more + 1)),
        None => first,
    })
}

/// When time limits end the wait, and whether one of them should have.
pub fn time_limit(due_in: impl IntoIterator<Item = SignedDuration>) -> (String, bool) {
    let mut due_in: Vec<SignedDuration> = due_in.into_iter().collect();
    due_in.sort_unstable();
    let range = |from: SignedDuration, to: SignedDuration| {
        let said = |time: SignedDuration| words::duration(time.unsigned_abs());
        if said(from) == said(to) { said(from) } else { format!("{} … {}", said(from), said(to)) }
    };
    let late: Vec<_> = due_in.iter().copied().filter(SignedDuration::is_negative).collect();
    let words = match (late.as_slice(), due_in.as_slice()) {
        // The smallest delay first.
        ([earliest, .., latest] | [earliest @ latest], _) => {
            format!("should have timed out {} ago", range(*latest, *earliest))
        }
        ([], [first, .., last] | [first @ last]) => {
            format!("times out in {}", range(*first, *last))
        }
        ([], []) => String::new(),
    };
    (words, !late.is_empty())
}

/// The time limits that frames of the tasks have set, by the frame's number.
pub fn limits_by_frame<'t>(
    tasks: impl IntoIterator<Item = &'t Task>,
) -> FxHashMap<usize, (String, bool)> {
    let mut due_in: FxHashMap<usize, Vec<SignedDuration>> = FxHashMap::default();
    let waits = tasks.into_iter().filter_map(|task| task.waiting_on.as_deref());
    for deadline in waits.flat_map(|waiting| &waiting.deadlines) {
        if let (Some(frame), Some(time)) = (deadline.frame, deadline.due_in) {
            due_in.entry(frame).or_default().push(time);
        }
    }
    due_in.into_iter().map(|(frame, due_in)| (frame, time_limit(due_in))).collect()
}

#[cfg(test)]
mod tests {

    use aiospy::snapshot::{Deadline, Descriptor, Position};

    use super::super::sample::{self, FUTURE, id, lock, others, snapshot, task, waits};
    use super::*;

    const SLEEP: [&str; 2] = ["nap app.py:3", "sleep asyncio/tasks.py:718"];

    fn sleeper(number: u64, to_go: &str) -> Task {
        let described = format!("sleep(60), {to_go} left");
        waits(task(number, &format!("s{number}"), &SLEEP, &[]), Wait::Timer, &described)
    }

    fn due_in(task: &mut Task, frame: Option<usize>, millis: i64) {
        let due_in = Some(SignedDuration::from_millis(millis));
        task.waiting_on.as_mut().unwrap().deadlines.push(Deadline { frame, due_in });
    }

    #[test]
    fn sleepers_with_different_time_left_are_one_entry() {
        let tasks = vec![sleeper(1, "58.1 s"), sleeper(2, "3.20 s"), sleeper(3, "1 min 2 s")];
        assert_eq!(
            sample::forest(&snapshot(tasks), None),
            "(T) s{1..3}  ×3  pending\n    nap    app.py:3\n    sleep  asyncio/tasks.py:718\n    \
             → sleep(60), 3.20 s … 1 min 2 s left\n"
        );
    }

    #[test]
    fn ten_thousand_sleepers_and_readers_take_a_few_lines() {
        let mut tasks: Vec<Task> =
            (0..10_000).map(|n| sleeper(n, &format!("{}.{} s", 10 + n % 40, n % 10))).collect();
        for n in 0..10_000 {
            let reader = task(10_000 + n, &format!("r{n}"), &["read app.py:9"], &[]);
            let peer = format!("socket fd {}, tcp 10.0.0.7:8080 -> 10.1.0.9:{}", n + 7, n + 20_000);
            tasks.push(waits(reader, Wait::Socket(Descriptor::default()), &peer));
        }
        let snapshot = snapshot(tasks);
        assert_eq!(
            sample::forest(&snapshot, None),
            "(T) r{0..9999}  ×10,000  pending\n    read  app.py:9\n    \
             → socket fd 7 … 10006, tcp 10.0.0.7:8080 -> 10.1.0.9:{20000..29999}\n\
             (T) s{0..9999}  ×10,000  pending\n    nap    app.py:3\n    sleep  \
             asyncio/tasks.py:718\n    → sleep(60), 10.0 s … 49.9 s left\n"
        );
    }

    #[test]
    fn different_reasons_at_one_place_are_told_apart() {
        let mut tasks = vec![
            waits(task(1, "a", &["f app.py:1"], &[]), lock(&[]), "lock self.lock"),
            waits(
                task(2, "b", &["f app.py:1"], &[]),
                Wait::Event(Position::default()),
                "event self.ready",
            ),
        ];
        let forest = |tasks: &[Task]| sample::forest(&snapshot(tasks.to_vec()), None);
        assert_eq!(forest(&tasks).matches("(T) ").count(), 2);
        // The same kind under another name is another thing.
        tasks[1] = waits(task(2, "b", &["f app.py:1"], &[]), lock(&[]), "lock self.other");
        tasks[1].waiting_on.as_mut().unwrap().name = Some("self.other".to_owned());
        assert_eq!(forest(&tasks).matches("(T) ").count(), 2);
        // Words that have nothing in common, all of one kind.
        let words = ["alpha", "beta", "gamma", "delta", "alpha"];
        let of = |n: usize, word: &str| {
            let number = u64::try_from(n).unwrap();
            waits(task(number, &format!("t{n}"), &["f app.py:1"], &[]), FUTURE, word)
        };
        let tasks: Vec<Task> = words.iter().enumerate().map(|(n, word)| of(n, word)).collect();
        assert_eq!(
            forest(&tasks),
            "(T) t{0..4}  ×5  pending\n    f  app.py:1\n    → alpha  ×2\n    → beta  ×1\n    \
             → gamma  ×1\n    → … 1 of them for other things\n"
        );
    }

    #[test]
    fn running_and_finished_tasks_wait_for_nothing() {
        let running = waits(task(1, "a", &["f app.py:1"], &[]), Wait::Running, "nothing");
        let unread = task(2, "b", &["f app.py:1"], &[]);
        let names = TaskNames(FxHashMap::default());
        assert!(reasons([&running, &unread], &names).is_empty());
        let ready = waits(task(3, "c", &["f app.py:1"], &[]), Wait::Ready(Position::default()), "");
        assert_eq!(reasons([&ready], &names), ["ready to run"]);
    }

    #[test]
    fn holders_are_named_unless_they_are_already() {
        let holder = task(7, "refresh", &[], &[]);
        let mut waiter = waits(task(1, "a", &[], &[]), lock(&[7, 8]), "lock self.lock");
        let snapshot = snapshot(vec![holder, waiter.clone()]);
        let names = TaskNames::of(&snapshot);
        let unknown = id(8);
        assert_eq!(
            reasons([&waiter], &names),
            [format!("lock self.lock, held by {unknown}, refresh")]
        );
        waiter.waiting_on.as_mut().unwrap().description = "lock x, held by refresh".to_owned();
        assert_eq!(reasons([&waiter], &names), ["lock x, held by refresh"]);
    }

    #[test]
    fn awaited_tasks_and_the_time_are_named() {
        let wait = Wait::Task { operation: None, others: others(&[2, 3]) };
        let mut waiter = waits(task(1, "a", &[], &[]), wait, "wait, 1 of 3 done");
        waiter.waiting_on.as_mut().unwrap().since = Some(std::time::Duration::from_secs(31));
        let children = [task(2, "child-1", &[], &[1]), task(3, "child-2", &[], &[1])];
        let snapshot = snapshot(children.into());
        let names = TaskNames::of(&snapshot);
        assert_eq!(reasons([&waiter], &names), ["wait, 1 of 3 done: child-{1,2}, for 31.0 s"]);
        assert_eq!(awaited(waiter.waiting_on.as_deref().unwrap(), &names), None);
        let mut other = waiter.clone();
        other.waiting_on.as_mut().unwrap().since = Some(std::time::Duration::from_millis(431));
        assert_eq!(
            reasons([&waiter, &other], &names),
            ["wait, 1 of 3 done: child-{1,2}, for 431 ms … 31.0 s"]
        );
        waiter.waiting_on.as_mut().unwrap().wait = Wait::Gather(others(&[2, 3]));
        assert_eq!(
            awaited(waiter.waiting_on.as_deref().unwrap(), &names).as_deref(),
            Some("child-{1,2}")
        );
    }

    #[test]
    fn time_limits_stand_at_the_frame_that_set_them() {
        let mut tasks = vec![sleeper(1, "9.00 s"), sleeper(2, "9.00 s"), sleeper(3, "9.00 s")];
        due_in(&mut tasks[0], Some(0), 2500);
        due_in(&mut tasks[1], Some(0), 8000);
        due_in(&mut tasks[2], Some(0), -14_200);
        due_in(&mut tasks[2], None, 60_000);
        assert_eq!(
            sample::forest(&snapshot(tasks), None),
            "(T) s{1,2}  ×2  pending\n    nap    app.py:3  times out in 2.50 s … 8.00 s\n    sleep  \
             asyncio/tasks.py:718\n    → sleep(60), 9.00 s left\n\
             (T) s3  pending\n    nap    app.py:3  should have timed out 14.2 s ago\n    sleep  \
             asyncio/tasks.py:718\n    → sleep(60), 9.00 s left, times out in 60.0 s\n"
        );
    }
}
