//! Loops that are blocked, tasks inside their first eager step, sub-interpreters.

use std::path::Path;
use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value;

use super::support::{Program, Python, dump, wait_until};
use super::truth::differences;
use super::{per_version, with_uvloop};

/// How far the age of a blocked iteration may be from the truth.
const TOLERANCE_MS: f64 = 50.0;

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    for kind in ["sleep", "recv", "cpu", "lock"] {
        for bare in [false, true] {
            let mut arguments = vec!["--kind", kind];
            if bare {
                arguments.push("--bare");
            }
            let name = format!("blocked::{kind}{}", if bare { "::bare" } else { "" });
            let of_asyncio = arguments.clone();
            let plain = move |python: &Python| blocked(python, &python.path, &of_asyncio);
            per_version(trials, &name, |_| true, plain);
            arguments.extend(["--loop", "uvloop"]);
            let uvloop = move |python: &Python| blocked(python, with_uvloop(python), &arguments);
            per_version(trials, &format!("{name}::uvloop"), |_| true, uvloop);
        }
    }
    let builtin = |python: &Python| blocked(python, &python.path, &["--kind", "builtin-sleep"]);
    per_version(trials, "blocked::builtin", |_| true, builtin);
    per_version(trials, "late", |_| true, |python| late(&python.path, "asyncio"));
    per_version(trials, "late::uvloop", |_| true, |python| late(with_uvloop(python), "uvloop"));
    for how in ["start", "factory", "nested", "pure"] {
        let eager = move |python: &Python| eager(python, how);
        per_version(trials, &format!("eager::{how}"), |minor| minor >= 12, eager);
    }
    per_version(trials, "subinterpreter", |_| true, subinterpreter);
}

/// Seconds of `CLOCK_MONOTONIC`, the clock of the loops.
fn monotonic() -> f64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    Duration::from(now).as_secs_f64()
}

fn blocked(python: &Python, path: &Path, arguments: &[&str]) {
    let program = Program::start(path, "blocked.py", arguments);
    let truth = &program.truth;
    let kind = truth["kind"].as_str().unwrap();
    let syscall = match kind {
        "sleep" | "builtin-sleep" => &["clock_nanosleep", "select", "pselect6"][..],
        "recv" => &["recvfrom"],
        "lock" => &["futex"],
        _ => &[],
    };
    let tid = truth["tid"].as_i64().unwrap();
    let numbers: Vec<String> = [("clock_nanosleep", 230), ("select", 23), ("pselect6", 270)]
        .into_iter()
        .chain([("recvfrom", 45), ("futex", 202)])
        .filter(|(name, _)| syscall.contains(name))
        .map(|(_, number)| number.to_string())
        .collect();
    // It said READY right before it blocks: it is there when the kernel says so.
    wait_until("system call", || {
        let file = format!("/proc/{}/task/{tid}/syscall", program.pid());
        let text = std::fs::read_to_string(file).unwrap();
        let first = text.split_whitespace().next().unwrap();
        numbers.is_empty() || numbers.iter().any(|number| number == first)
    });
    let since = truth["since"].as_f64().unwrap();
    wait_until("threshold", || monotonic() > since + 0.15);

    let before = monotonic();
    let dump = dump(program.pid(), &[]);
    let after = monotonic();

    let found = &dump["loops"][0];
    assert_eq!(found["state"], "blocked", "{found}");
    assert_eq!(found["thread"], truth["tid"], "{found}");
    let elapsed = found["iteration"]["elapsed_ms"].as_f64().unwrap();
    let (low, high) = ((before - since) * 1e3 - TOLERANCE_MS, (after - since) * 1e3 + TOLERANCE_MS);
    assert!((low..high).contains(&elapsed), "{elapsed} ms, should be {low} to {high}");

    let thread = dump["threads"].as_array().unwrap().iter().find(|t| t["tid"] == truth["tid"]);
    let thread = thread.unwrap();
    if !syscall.is_empty() {
        let name = thread["syscall"]["name"].as_str().unwrap();
        assert!(syscall.contains(&name), "{name}");
    }
    if kind == "recv" {
        assert!(thread["syscall"]["fd"].is_number(), "{thread}");
        assert!(thread["syscall"]["peer"].as_str().unwrap().starts_with("tcp "), "{thread}");
    }
    if kind == "cpu" {
        assert_eq!(thread["state"], "running");
        assert_ne!(dump["consistency"], "exact");
    } else {
        assert_eq!(dump["consistency"], "exact");
    }
    check_stack(python, &truth["frames"], &thread["frames"]);

    let is_bare = truth["bare"] == true;
    let handle = found["iteration"]["handle"].as_str();
    let is_uvloop = truth["loop_impl"] == "uvloop";
    match (kind, is_bare, is_uvloop) {
        ("builtin-sleep", ..) => assert_eq!(handle, Some("time.sleep")),
        (_, false, _) => assert_eq!(handle, Some("task blocker")),
        (_, true, false) => {
            // The function that asyncio's `Handle._run` called.
            let frames = truth["frames"].as_array().unwrap();
            let run = |frame: &&Value| frame["function"].as_str().unwrap().ends_with("_run");
            let called = frames.iter().skip_while(|frame| !run(frame)).nth(1).unwrap();
            let function = called["function"].as_str().unwrap();
            assert!(handle.unwrap().ends_with(function), "{handle:?}, not {function}");
        }
        // uvloop keeps the running handle where it cannot be read.
        (_, true, true) => assert_eq!(handle, None),
    }
    if let Some(id) = truth["task"].as_str() {
        let task = dump["tasks"].as_array().unwrap().iter().find(|task| task["id"] == id).unwrap();
        assert_eq!(task["state"], "running");
    }
    // The others are as they say, whatever the loop does.
    let mut others = truth.clone();
    others["threads"] = Value::Array(vec![]);
    let tasks = others["tasks"].as_array_mut().unwrap();
    if kind == "cpu" {
        tasks.retain(|task| task["state"] != "running");
    }
    let mut dump = dump;
    if kind == "cpu" {
        dump["tasks"].as_array_mut().unwrap().retain(|task| task["state"] != "running");
    }
    let differences = differences(python, &others, &dump);
    assert!(differences.is_empty(), "{differences:#?}");
}

/// The innermost frames of the thread are those that the program says block it.
fn check_stack(python: &Python, wanted: &Value, got: &Value) {
    let wanted = wanted.as_array().unwrap();
    let got = got.as_array().unwrap();
    assert!(got.len() >= wanted.len(), "{got:#?}");
    for (wanted, got) in wanted.iter().zip(&got[got.len() - wanted.len()..]) {
        assert_eq!(wanted["file"], got["file"]);
        let function = wanted["function"].as_str().unwrap();
        let name = got["function"].as_str().unwrap();
        // Before 3.11 only coroutines have a qualified name.
        let is_same = name == function || python.minor() <= 10 && function.ends_with(name);
        assert!(is_same, "{name}, not {function}");
        match wanted["lines"].as_array() {
            Some(lines) => {
                let line = got["line"].as_i64().unwrap();
                assert!(lines[0].as_i64().unwrap() <= line && line <= lines[1].as_i64().unwrap());
            }
            None => assert_eq!(wanted["line"], got["line"]),
        }
    }
}

/// A loop that is held by a callback is late by the age of its earliest timer.
fn late(path: &Path, event_loop: &str) {
    let program = Program::start(path, "late.py", &["--loop", event_loop]);
    let due = program.truth["due"].as_f64().unwrap();
    wait_until("the timer is due", || monotonic() > due + 0.1);
    let before = monotonic();
    let dump = dump(program.pid(), &[]);
    let after = monotonic();
    let lag = dump["loops"][0]["lag_ms"].as_f64().unwrap();
    let (low, high) = ((before - due) * 1e3 - TOLERANCE_MS, (after - due) * 1e3 + TOLERANCE_MS);
    assert!((low..high).contains(&lag), "{lag} ms, should be {low} to {high}");
}

/// A task that blocks inside its first eager step is not yet registered as others are.
fn eager(python: &Python, how: &str) {
    let program = Program::start(&python.path, "eager.py", &["--how", how]);
    let pid = program.pid();
    let tid = program.truth["loops"][0]["thread"].as_i64().unwrap_or(i64::from(pid));
    wait_until("time.sleep", || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).unwrap();
        text.starts_with("230 ") || text.starts_with("270 ") || text.starts_with("23 ")
    });
    let differences = differences(python, &program.truth, &dump(pid, &["--finished"]));
    assert!(differences.is_empty(), "{differences:#?}");
}

fn subinterpreter(python: &Python) {
    let program = Program::start::<&str>(&python.path, "subinterp.py", &[]);
    let mut all = program.truth.clone();
    let interpreters = program.truth["interpreters"].as_array().unwrap();
    // A thread that runs a sub-interpreter is named there `MainThread`; we say its own name.
    all["threads"] = interpreters[0]["threads"].clone();
    for part in ["loops", "tasks"] {
        let items = interpreters.iter().flat_map(|truth| truth[part].as_array().unwrap().clone());
        all[part] = items.collect();
    }
    let dump = dump(program.pid(), &["--finished", "--threads"]);
    let differences = differences(python, &all, &dump);
    assert!(differences.is_empty(), "{differences:#?}");
    for truth in interpreters {
        let tid = &truth["loops"][0]["thread"];
        let thread = dump["threads"].as_array().unwrap().iter().find(|it| it["tid"] == *tid);
        let number = thread.unwrap()["interpreter"].as_i64().unwrap_or(0);
        assert_eq!(truth["interpreter"], number);
    }
}
