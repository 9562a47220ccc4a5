//! What a process that does not stop waits for, where no stage of a shutdown tells.

use aiospy::diagnose::graph::Graph;
use aiospy::snapshot::{Snapshot, Task};

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
    // The name that asyncio gives to the first task of a program.
    let main = pending().find(|task| task.name.as_deref() == Some("Task-1"))?;
    Some(format!("the main task {}", wait(snapshot, main)))
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
