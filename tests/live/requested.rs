//! What tasks work for and what they ask of others: requests by their routes, calls by whom they ask.

use aiospy::{Inspector, Options};
use libtest_mimic::Trial;
use serde_json::Value;

use super::per_version;
use super::support::{Program, Python, dump};

/// Snapshots of a busy program.
const LOOKS: usize = 30;

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "requested::held", |_| true, held);
    per_version(trials, "requested::busy", |_| true, busy);
}

fn start(python: &Python, kind: &str) -> Program {
    Program::start(python.venv.as_deref().unwrap(), "requested.py", &[kind])
}

/// Requests that wait are known by their routes and their functions; nothing private is shown.
fn held(python: &Python) {
    let program = start(python, "held");
    let dump = dump(program.pid(), &[]);
    assert!(!dump.to_string().contains("SECRET"), "{dump}");
    let tasks = dump["tasks"].as_array().unwrap();
    let label = |work: &Value| {
        let verb = work["verb"].as_str().unwrap_or_default();
        format!("{} {verb} {}", work["kind"].as_str().unwrap(), work["name"].as_str().unwrap())
    };
    let of = |inherited: bool| {
        let works = tasks.iter().map(|task| &task["work"]).filter(|work| work.is_object());
        let works = works.filter(|work| work["is_inherited"].is_boolean() == inherited);
        let mut labels: Vec<String> = works.map(label).collect();
        labels.sort();
        labels
    };
    let mut own = of(false);
    own.dedup();
    let expected = [
        "request GET /all",
        "request GET /call",
        "request GET /orders/{number}",
        "request GET plain_application",
    ];
    assert_eq!(own, expected, "{tasks:#?}");
    // Where a handler has a task of its own, that has the request itself.
    assert_eq!(of(true), ["request GET /all"; 3]);

    let mut calls = tasks.iter().map(|task| &task["call"]).filter(|call| call.is_object());
    let call = calls.next().unwrap();
    assert_eq!(label(call), "call POST 127.0.0.1");
    assert!(call["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{call}");
    assert!(call["since"]["ms"].as_f64().unwrap() < 60_000.0, "{call}");
    assert!(calls.next().is_none());
}

/// Of many short requests, read while they come and go, none has another one's label.
fn busy(python: &Python) {
    let program = start(python, "busy");
    let mut inspector = Inspector::attach(program.pid()).unwrap();
    let mut labelled = 0;
    for _ in 0..LOOKS {
        let snapshot = inspector.snapshot(&Options::default()).unwrap();
        for task in &snapshot.tasks {
            // The handler has named its task by the path of its request.
            let truth = task.name.as_deref().and_then(|name| name.strip_prefix('n'));
            let (Some(truth), Some(work)) = (truth, &task.work) else { continue };
            assert_eq!(work.path.as_deref(), Some(truth), "{task:#?}");
            labelled += 1;
        }
    }
    assert!(labelled > LOOKS, "{labelled}");
}
