//! A service that makes and cancels tasks without end, watched without harming it.

use std::time::Duration;

use libtest_mimic::Trial;
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::families::is_long;
use super::per_version;
use super::support::{Program, Python, dump};
use super::truth::differences;

const DUMPS: usize = 40;
/// The same, where there is time.
const MANY_DUMPS: usize = 1000;

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "churn", |_| true, churn);
}

fn churn(python: &Python) {
    let mut program = Program::start::<&str>(&python.path, "churn.py", &[]);
    let pid = program.pid();
    program.say("stats");
    let _ = program.line();
    let mut wrong = Vec::new();
    let dumps = if is_long() { MANY_DUMPS } else { DUMPS };
    for i in 0..dumps {
        let dump = dump(pid, &[]);
        wrong.extend(impossible_waits(&dump).map(|wait| format!("dump {i}: {wait}")));
        for difference in parked_differences(python, &program.truth, dump) {
            wrong.push(format!("dump {i}: {difference}"));
        }
    }
    program.say("stats");
    let stats: Value = serde_json::from_str(&program.line()).unwrap();
    let shown: Vec<_> = wrong.iter().take(20).collect();
    assert!(wrong.is_empty(), "{} of {dumps} dumps: {shown:#?}\n{stats}", wrong.len());
    assert_eq!(stats["eintr"], 0, "a system call of the target was interrupted: {stats}");
    assert!(stats["tasks_made"].as_u64().unwrap() > 10_000, "no churn: {stats}");
}

/// Waits that began before the machine did: of objects that were freed while they were looked at.
fn impossible_waits(dump: &Value) -> impl Iterator<Item = &Value> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    let limit = Duration::from(now).as_secs_f64() * 1000.0;
    let waits = dump["tasks"].as_array().unwrap().iter().map(|task| &task["waiting_on"]);
    waits.filter(move |wait| wait["since_ms"].as_f64().is_some_and(|since| since > limit))
}

/// What is wrong about the tasks that stand still all the time.
fn parked_differences(python: &Python, truth: &Value, mut dump: Value) -> Vec<String> {
    let mut truth = truth.clone();
    let is_known = |task: &Value| {
        let tasks = truth["tasks"].as_array().unwrap();
        tasks.iter().any(|known| known["id"] == task["id"])
    };
    dump["tasks"].as_array_mut().unwrap().retain(is_known);
    // Short-lived tasks may have changed while they were read: what is said of them is no part
    // of this test, what is said of the parked ones is.
    let known: Vec<String> = truth["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| format!("task {}", task["id"].as_str().unwrap()))
        .collect();
    dump["problems"].as_array_mut().unwrap().retain(|problem| {
        let place = problem["where"].as_str().unwrap();
        !place.starts_with("task ") && !place.starts_with("thread ")
            || known.iter().any(|known| known == place)
    });
    truth["threads"] = json!([]);
    differences(python, &truth, &dump)
}
