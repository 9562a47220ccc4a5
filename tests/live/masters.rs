//! Processes without an event loop of their own: those of their children are the ones to ask, and
//! nothing is said to be well.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::per_version;
use super::support::{Program, Python, aiospy, dump, texts};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    for kind in ["spawn", "fork", "forkserver", "control", "alone"] {
        let name = format!("masters::{kind}");
        per_version(trials, &name, |_| true, move |python| master(python, kind));
    }
}

fn master(python: &Python, kind: &str) {
    let program = Program::start(&python.path, "master.py", &[kind]);
    let (pid, children) = (program.pid(), &program.truth["children"]);
    let output = aiospy(&["check", &pid.to_string()]);
    let (stdout, stderr) = texts(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""), "{stderr}");
    let why = match kind {
        "control" => format!("that of process {pid} only serves gunicorn's control socket"),
        _ => format!("process {pid} has none"),
    };
    let whom = if kind == "alone" {
        format!("aiospy dump --threads {pid}, which shows what its threads do")
    } else {
        let mut pids = [&children["first"], &children["second"]].map(Value::as_i64);
        pids.sort_unstable();
        let [first, second] = pids.map(Option::unwrap);
        format!("the processes below it that run event loops: {first} and {second}")
    };
    let said = format!("aiospy: no event loop to judge: {why}\n  try: {whom}\n");
    assert_eq!(stderr, said);

    let output = aiospy(&["check", "--json", &pid.to_string()]);
    let (stdout, stderr) = texts(&output);
    assert_eq!((output.status.code(), stderr), (Some(1), said));
    let check: Value = serde_json::from_str(&stdout).unwrap();
    for document in [check, dump(pid, &[])] {
        assert_eq!(document["verdict"], "undecided", "{document}");
        assert_eq!(document["undecided"][0]["reason"], "no-loop", "{document}");
        let known = document["children"].as_array().map_or(&[][..], Vec::as_slice);
        let answer = |pid: &Value| known.iter().find(|child| child["pid"] == *pid).unwrap();
        for (name, pid) in children.as_object().unwrap() {
            assert_eq!(answer(pid)["has_loops"], json!(name != "idle"), "{name}: {document}");
        }
        assert_eq!(known.is_empty(), kind == "alone", "{document}");
    }
    let (stdout, _) = texts(&aiospy(&["dump", &pid.to_string()]));
    let lines = format!("\n\nno event loop to judge: {why}\ntry: {whom}\n\n");
    assert!(stdout.contains(&lines), "{stdout}");
}
