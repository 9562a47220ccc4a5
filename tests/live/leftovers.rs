//! What a program left behind is found, and nothing is said of what only looks like it.

use std::collections::BTreeMap;
use std::path::Path;

use aiospy::asyncio::Remains;
use aiospy::memory::Address;
use aiospy::{Inspector, Options};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::support::{Program, Python};
use super::{per_version, with_uvloop};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    for mode in [None, Some("--blocked")] {
        let name = if mode.is_some() { "leftovers::blocked" } else { "leftovers::parked" };
        let plain = move |python: &Python| leftovers(&python.path, "asyncio", mode);
        per_version(trials, name, |_| true, plain);
        let uvloop = move |python: &Python| leftovers(with_uvloop(python), "uvloop", mode);
        per_version(trials, &format!("{name}::uvloop"), |_| true, uvloop);
    }
    per_version(
        trials,
        "leftovers::iterated",
        |_| true,
        |python| {
            iterated(&python.path, "asyncio");
            iterated(with_uvloop(python), "uvloop");
        },
    );
}

/// A generator is in use as well when the task that iterates it was only seen in part.
fn iterated(path: &Path, kind: &str) {
    let program = Program::start(path, "iterating.py", &["--loop", kind]);
    let mut inspector = Inspector::attach(program.pid()).unwrap();
    let mut seen = 0;
    for look in 0..200 {
        let snapshot = inspector.snapshot(&Options::default()).unwrap();
        seen += snapshot.open_generators().len();
        let is_lost = snapshot.open_generators().iter().any(|one| !one.is_in_use);
        assert!(!is_lost, "{kind}, look {look}: {:#?}", snapshot.tasks);
    }
    assert!(seen > 0, "{kind}: it was never seen");
}

/// A list as a map by `id`.
fn by_id(list: Vec<Value>) -> BTreeMap<String, Value> {
    list.into_iter().map(|item| (item["id"].as_str().unwrap().to_owned(), item)).collect()
}

fn leftovers(path: &Path, kind: &str, mode: Option<&str>) {
    let arguments: Vec<&str> = ["--loop", kind].into_iter().chain(mode).collect();
    let program = Program::start(path, "leftovers.py", &arguments);
    let truth = &program.truth;
    let inspector = Inspector::attach(program.pid()).unwrap();
    let wanted = truth["references"].as_object().unwrap();
    assert_eq!(wanted.is_empty(), mode.is_some());
    let found = inspector.explore(|reader, view| {
        let registered: Vec<Address> = view.tasks.iter().map(|task| task.at).collect();
        let loops: Vec<Address> = view.loops.iter().map(|facts| facts.at).collect();
        let count = |id: &String| {
            let at = u64::from_str_radix(id.strip_prefix("0x").unwrap(), 16).unwrap();
            reader.references(Address(at))
        };
        let references: Vec<Option<u64>> = wanted.keys().map(count).collect();
        let remains = Remains {
            found: &[],
            tasks: view.tasks,
            threads: &view.stacks,
            loops: &loops,
            registered: &registered,
        };
        (reader.leftovers(remains), references)
    });
    let (found, references) = found.unwrap();

    let file = |place: &str| place.rsplit('/').next().map(str::to_owned);
    let never_awaited = found.never_awaited.iter().map(|never| {
        let place = never.place.as_ref().unwrap();
        json!({
            "id": never.id.to_string(),
            "coroutine": &*never.coroutine,
            "line": place.line,
            "variable": never.variable,
            "frame": never.frame.line,
            "task": never.task.map(|at| at.to_string()),
            "tid": never.thread,
        })
    });
    assert_eq!(
        by_id(never_awaited.collect()),
        by_id(truth["never_awaited"].as_array().unwrap().clone())
    );

    let unretrieved = found.unretrieved.iter().map(|one| {
        let place = one.place.as_ref();
        assert_eq!(one.loop_id.map(|at| at.to_string()).as_deref(), truth["loop"].as_str());
        json!({
            "id": one.id.to_string(),
            "exception": one.exception,
            "message": one.message,
            "file": place.and_then(|place| file(&place.file)),
            "line": place.map(|place| place.line),
            "coroutine": one.coroutine.as_deref(),
        })
    });
    assert_eq!(
        by_id(unretrieved.collect()),
        by_id(truth["unretrieved"].as_array().unwrap().clone())
    );

    let generators: BTreeMap<String, Value> = found
        .open_generators
        .iter()
        .map(|one| {
            let line = one.place.as_ref().unwrap().line;
            (one.id.to_string(), json!({ "line": line, "in_use": one.is_in_use }))
        })
        .collect();
    assert_eq!(serde_json::to_value(generators).unwrap(), truth["generators"]);

    let wanted: Vec<Option<u64>> = wanted.values().map(Value::as_u64).collect();
    assert_eq!(references, wanted);
}
