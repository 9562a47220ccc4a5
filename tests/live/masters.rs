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
    per_version(trials, "masters::blocked", |_| true, blocked);
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

    let output = aiospy(&["check", "--json=full", &pid.to_string()]);
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
    let verdict = format!("x  no event loop to judge: {why}");
    assert_eq!(stdout.lines().next(), Some(&*verdict), "{stdout}");
    assert!(stdout.contains(&format!("\ntry: {whom}\n")), "{stdout}");
}

/// Who asks a master is told what is wrong in its workers: once for several with the same trouble.
fn blocked(python: &Python) {
    let program = Program::start(&python.path, "master.py", &["blocked"]);
    let (pid, children) = (program.pid(), &program.truth["children"]);
    let mut pids = [&children["first"], &children["second"]].map(|pid| pid.as_i64().unwrap());
    pids.sort_unstable();
    let is_blocked = |check: &Value| {
        let findings = check["findings"].as_array().unwrap();
        let [finding] = &findings[..] else { panic!("{check}") };
        assert_eq!(finding["code"], "loop-blocked");
        // Of the one that is blocked for longest, and then of the other.
        let mut told = vec![finding["pid"].as_i64().unwrap()];
        told.extend(finding["also_in"].as_array().unwrap().iter().filter_map(Value::as_i64));
        let too = format!("process {} too: ", told[1]);
        told.sort_unstable();
        assert_eq!(told, pids, "{finding}");
        assert_eq!(finding["place"]["function"], "blocked.<locals>.main", "{finding}");
        let mut evidence = finding["evidence"].as_array().unwrap().iter();
        assert!(evidence.any(|it| it["text"].as_str().unwrap().starts_with(&too)), "{finding}");
        assert_eq!(check["verdict"], "findings");
    };
    let output = aiospy(&["check", "--json=full", &pid.to_string()]);
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    is_blocked(&serde_json::from_str(&stdout).unwrap());
    is_blocked(&dump(pid, &[]));
    let (stdout, _) = texts(&aiospy(&["check", &pid.to_string()]));
    let [first, second] = pids;
    let both = [(first, second), (second, first)];
    let is_said = |(one, other)| stdout.contains(&format!(": processes {one} and {other}: "));
    assert!(both.into_iter().any(is_said), "{stdout}");
}
