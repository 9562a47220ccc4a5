//! What a process that does not stop waits for, where no stage of a shutdown tells.

use std::sync::Arc;

use aiospy::diagnose::graph::Graph;
use aiospy::snapshot::{Location, Snapshot, Task};

/// The function that waits until an application has started, and the one of the task that starts
/// it; the latter is absent where it is the same task.
const STARTS: [(&str, &str, &str, Option<&str>); 3] = [
    ("uvicorn", "uvicorn/lifespan/on.py", "startup", Some("main")),
    ("hypercorn", "hypercorn/asyncio/lifespan.py", "wait_for_startup", Some("handle_lifespan")),
    ("aiohttp", "aiohttp/web_app.py", "startup", None),
];

/// The same in words: `uvicorn has not started yet: "Task-3" waits for sleep, 2 s to go at …`.
pub fn in_words(snapshot: &Snapshot) -> Option<String> {
    let pending = || snapshot.tasks.iter().filter(|task| !task.is_over());
    for (server, file, waits, starts) in STARTS {
        let Some(waiting) = pending().find(|task| is_in(task, file, waits)) else { continue };
        let starting = starts.and_then(|name| pending().find(|task| is_in(task, file, name)));
        let task = starting.unwrap_or(waiting);
        return Some(format!("{server} has not started yet: {}", wait(snapshot, task)));
    }
    Some(format!("the main task {}", wait(snapshot, main(snapshot)?)))
}

/// Whether a server has not started yet.
pub fn is_starting(snapshot: &Snapshot) -> bool {
    let mut pending = snapshot.tasks.iter().filter(|task| !task.is_over());
    pending.any(|task| STARTS.iter().any(|(_, file, waits, _)| is_in(task, file, waits)))
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
fn wait(snapshot: &Snapshot, task: &Task) -> String {
    let mut text = one(task);
    let graph = Graph::new(snapshot);
    let mut ends = graph.ends(&[task.id], &[]).into_iter().filter(|end| end.id != task.id);
    if let (Some(end), None) = (ends.next(), ends.next()) {
        text.push_str(", where ");
        text.push_str(&one(end));
    }
    text
}

fn one(task: &Task) -> String {
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
    format!("\"{name}\" {what}{}", at.unwrap_or_default())
}

fn is_in(task: &Task, file: &str, function: &str) -> bool {
    task.frames.iter().any(|frame| {
        let at = &frame.location;
        at.file.ends_with(file) && at.function.rsplit('.').next() == Some(function)
    })
}

#[cfg(test)]
mod tests {
    use aiospy::memory::Address;
    use aiospy::snapshot::{Frame, Process, TaskState, WaitKind, Waiting};
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
        Waiting {
            kind: if tasks.is_empty() { WaitKind::Timer } else { WaitKind::Task },
            description: what.to_owned(),
            tasks: tasks.iter().copied().map(Address).collect(),
            ..Waiting::default()
        }
    }

    fn of(tasks: Vec<Task>) -> Option<String> {
        let mut snapshot = Snapshot::new(Process::default(), Timestamp::UNIX_EPOCH);
        snapshot.tasks = tasks;
        in_words(&snapshot)
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
