//! What a process that does not stop waits for, where no stage of a shutdown tells.

use std::fmt::Write as _;
use std::sync::Arc;

use aiospy::diagnose::graph::Graph;
use aiospy::memory::Address;
use aiospy::snapshot::{Location, Snapshot, Task};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::report::text::words;

/// Tasks that are named which the signal has moved.
const MAX_MOVED: usize = 3;

/// Where the tasks are at a moment, to be compared with where they are later.
#[derive(Debug, Default)]
pub struct Standing {
    places: FxHashMap<Key, (Option<Arc<Location>>, Option<Address>)>,
    coroutines: FxHashSet<Option<Arc<str>>>,
}

/// A task, and not another one that has got its address.
type Key = (Address, Option<Arc<str>>);

impl Standing {
    /// Of all that are pending.
    pub fn of(snapshot: &Snapshot) -> Self {
        let pending = || snapshot.tasks.iter().filter(|task| !task.is_over());
        let place = |task: &Task| (key(task), (task.place().cloned(), task.fut_waiter));
        Self {
            places: pending().map(place).collect(),
            coroutines: pending().map(|task| task.coroutine.clone()).collect(),
        }
    }
}

fn key(task: &Task) -> Key {
    (task.id, task.name.clone())
}

/// The tasks that show that the signal was heard, each with why: a handler often starts one that
/// stops the others, while the main task waits as before. Of another request of a server that goes
/// on as before there were some already; and who moves all the time does not stay where he is
/// since the `middle` of the grace.
pub fn moved<'s>(
    last: &'s Snapshot,
    before: &Standing,
    middle: Option<&Standing>,
) -> Vec<(&'s Task, &'static str)> {
    let why = |task: &Task| {
        let Some((place, _)) = before.places.get(&key(task)) else {
            let is_new = !before.coroutines.contains(&task.coroutine);
            return is_new.then_some(", started since the signal,");
        };
        let since = middle.and_then(|middle| middle.places.get(&key(task)));
        let stays = since.is_some_and(|(place, waiter)| {
            place.as_ref() == task.place() && *waiter == task.fut_waiter
        });
        let is_elsewhere = place.as_ref() != task.place();
        (stays && is_elsewhere).then_some(", which has moved on since the signal,")
    };
    let pending = last.tasks.iter().filter(|task| !task.is_over());
    let moved: Vec<_> = pending.filter_map(|task| Some((task, why(task)?))).collect();
    let waited_for = moved.iter().flat_map(|(task, _)| task.waiting_on.iter());
    let waited_for: FxHashSet<Address> =
        waited_for.flat_map(|waiting| waiting.tasks().iter().copied()).collect();
    moved.into_iter().filter(|(task, _)| !waited_for.contains(&task.id)).collect()
}

/// The same in words: `uvicorn has not started yet: "Task-3" waits for sleep, 2 s to go at …`.
pub fn in_words(snapshot: &Snapshot, moved: &[(&Task, &'static str)]) -> Option<String> {
    if let Some((server, task)) = snapshot.starting() {
        return Some(format!("{server} has not started yet: {}", wait(snapshot, task, "")));
    }
    let main = main(snapshot);
    if moved.is_empty() || moved.iter().any(|(task, _)| main.is_some_and(|it| it.id == task.id)) {
        return Some(format!("the main task {}", wait(snapshot, main?, "")));
    }
    let named = moved.iter().take(MAX_MOVED).map(|(task, why)| wait(snapshot, task, why));
    let mut text = named.collect::<Vec<_>>().join("; ");
    if let Some(more) = moved.len().checked_sub(MAX_MOVED).filter(|more| *more > 0) {
        let _ = write!(text, "; and {} more", words::count(more));
    }
    Some(text)
}

/// Where the main task is, in the program's own code.
pub fn main_at(snapshot: &Snapshot) -> Option<&Arc<Location>> {
    main(snapshot)?.place()
}

/// The first task of a program, by the name that asyncio gives it.
fn main(snapshot: &Snapshot) -> Option<&Task> {
    let mut pending = snapshot.tasks.iter().filter(|task| !task.is_over());
    pending.find(|task| task.name.as_deref() == Some("Task-1"))
}

/// What a task waits for, and which one holds it in the end.
fn wait(snapshot: &Snapshot, task: &Task, why: &str) -> String {
    let mut text = one(task, why);
    let graph = Graph::new(snapshot);
    let mut ends = graph.ends(&[task.id], &[]).into_iter().filter(|end| end.id != task.id);
    if let (Some(end), None) = (ends.next(), ends.next()) {
        text.push_str(", where ");
        text.push_str(&one(end, ""));
    }
    text
}

fn one(task: &Task, why: &str) -> String {
    let name = task.name.as_deref().unwrap_or("a task");
    let waiting = task.waiting_on.as_deref().filter(|waiting| !waiting.description.is_empty());
    let what = match waiting {
        Some(waiting) => format!("waits for {}", waiting.description),
        None => "is under way".to_owned(),
    };
    let at = task.place().map(|at| {
        let line = at.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!(" at {}{line} in {}", at.file, at.function)
    });
    format!("\"{name}\"{why} {what}{}", at.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use aiospy::memory::Address;
    use aiospy::snapshot::{Frame, Others, Process, TaskState, Wait, Waiting};
    use jiff::Timestamp;

    use super::*;

    fn task(id: u64, name: &str, at: (&str, &str), waits: Waiting) -> Task {
        let location = Location::by_path(at.1.into(), at.0.into(), Some(7));
        Task {
            id: Address(id),
            name: Some(name.into()),
            state: Some(TaskState::Pending),
            frames: vec![Frame { location: Arc::new(location), locals: None }],
            fut_waiter: Some(Address(0x100 + id)),
            waiting_on: Some(Box::new(waits)),
            ..Task::default()
        }
    }

    fn waits_for(what: &str, tasks: &[u64]) -> Waiting {
        let tasks: Vec<Address> = tasks.iter().copied().map(Address).collect();
        let wait = match tasks.len() {
            0 => Wait::Timer,
            _ => Wait::Task { operation: None, others: Others { tasks, children: None } },
        };
        Waiting { description: what.to_owned(), ..wait.into() }
    }

    fn of(tasks: Vec<Task>) -> Option<String> {
        let mut snapshot = Snapshot::new(Process::default(), Timestamp::UNIX_EPOCH);
        snapshot.tasks = tasks;
        in_words(&snapshot, &[])
    }

    #[test]
    fn a_task_that_was_started_to_stop_the_others_holds_it_up() {
        let snapshot = |tasks: Vec<Task>| {
            let mut snapshot = Snapshot::new(Process::default(), Timestamp::UNIX_EPOCH);
            snapshot.tasks = tasks;
            snapshot
        };
        let of = |id, name: &str, function: &str| {
            let mut task = task(id, name, ("/srv/app.py", function), waits_for("event", &[]));
            task.coroutine = Some(function.into());
            task
        };
        let before = snapshot(vec![of(1, "Task-1", "main"), of(2, "Task-2", "serve")]);
        let standing = Standing::of(&before);
        let words = |last: &Snapshot, middle: &Snapshot| {
            let middle = Standing::of(middle);
            let moved = moved(last, &standing, Some(&middle));
            (moved.len(), in_words(last, &moved).unwrap())
        };
        let main = "the main task \"Task-1\" waits for event at /srv/app.py:7 in main".to_owned();
        assert_eq!(words(&before, &before), (0, main.clone()));
        // One more request.
        let mut busy = before.clone();
        busy.tasks.push(of(3, "Task-3", "serve"));
        assert_eq!(words(&busy, &busy), (0, main.clone()));
        let mut stopping = busy.clone();
        stopping.tasks.push(of(4, "Task-4", "shutdown"));
        let at = "waits for event at /srv/app.py:7 in";
        let started = format!("\"Task-4\", started since the signal, {at} shutdown");
        assert_eq!(words(&stopping, &stopping), (1, started));
        let mut moved = before.clone();
        moved.tasks[1] = of(2, "Task-2", "close");
        let elsewhere = format!("\"Task-2\", which has moved on since the signal, {at} close");
        assert_eq!(words(&moved, &moved), (1, elsewhere));
        // It has been there for a moment only.
        assert_eq!(words(&moved, &before), (0, main));
        moved.tasks[0] = of(1, "Task-1", "join");
        let main = format!("the main task \"Task-1\" {at} join");
        assert_eq!(words(&moved, &moved), (2, main));
    }

    #[test]
    fn a_main_task_and_what_holds_it() {
        let main = task(1, "Task-1", ("/srv/app.py", "main"), waits_for("gather of 2", &[2]));
        let held = task(2, "relay", ("/srv/relay.py", "close"), waits_for("sleep, 9 s to go", &[]));
        assert_eq!(
            of(vec![main, held]).unwrap(),
            "the main task \"Task-1\" waits for gather of 2 at /srv/app.py:7 in main, where \"relay\" \
             waits for sleep, 9 s to go at /srv/relay.py:7 in close"
        );
        assert_eq!(of(Vec::new()), None);
    }

    #[test]
    fn a_start_up_is_told_by_the_task_that_does_it() {
        let file = "/lib/site-packages/uvicorn/lifespan/on.py";
        let serves = task(1, "Task-1", (file, "LifespanOn.startup"), waits_for("event", &[]));
        let starts = task(2, "Task-2", (file, "LifespanOn.main"), waits_for("sleep", &[]));
        let told = of(vec![serves, starts]).unwrap();
        assert!(
            told.starts_with("uvicorn has not started yet: \"Task-2\" waits for sleep"),
            "{told}"
        );
    }
}
