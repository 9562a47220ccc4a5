//! `check` says `ok` only where nothing may be a hang, and `--wait` decides.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;

use super::per_version;
use super::support::{Program, aiospy, check_schema, root, texts};

pub fn add(trials: &mut Vec<Trial>) {
    let applies = |minor| [8, 12, 15].contains(&minor);
    per_version(trials, "check::undecided", applies, |python| undecided(&python.path));
    per_version(trials, "check::shared_future", applies, |python| shared_future(&python.path));
}

fn start(python: &Path, arguments: &[&str]) -> Program {
    let mut command = Command::new(python);
    command.arg("-B").arg(root().join("tests/programs/scenarios/slow_holder.py")).args(arguments);
    Program::spawn(command)
}

/// What `check --json` says, and the exit code.
fn check(program: &Program, arguments: &[&str]) -> (Value, Option<i32>) {
    let pid = program.pid().to_string();
    let output = aiospy(&[&["check", "--json=full", &pid], arguments].concat());
    let (stdout, stderr) = texts(&output);
    let document: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    check_schema(&document);
    (document, output.status.code())
}

/// Each of many tasks that wait for one future has all the others beside it: once all of them were
/// decoded for each, which took minutes, and `check` gave up.
fn shared_future(python: &Path) {
    let program = Program::start(python, "many.py", &["20000", "1", "--wait", "shared"]);
    let (document, code) = check(&program, &[]);
    assert_eq!((&document["verdict"], code), (&Value::from("ok"), Some(0)), "{document:#.800}");
}

fn undecided(python: &Path) {
    let program = start(python, &[]);
    let (at_once, code) = check(&program, &[]);
    assert_eq!((&at_once["verdict"], code), (&Value::from("undecided"), Some(0)), "{at_once:#}");
    let reason = &at_once["undecided"][0];
    assert_eq!((&reason["reason"], &reason["code"]), (&"too-soon".into(), &"lock-convoy".into()));
    assert_eq!(reason["title"], "40 tasks wait for lock");
    let text = texts(&aiospy(&["check", &program.pid().to_string()])).0;
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("undecided: ") && last.contains(": too soon to say"), "{text}");
    assert!(last.ends_with("; --wait 5s decides") && !text.contains("ok:"), "{text}");
    let report = texts(&aiospy(&["dump", &program.pid().to_string()])).0;
    assert!(report.starts_with("?  ") && report.contains("too soon to say\n"), "{report}");
    assert!(report.contains("\nTo decide: aiospy dump "), "{report}");
    assert!(!report.contains("\nok "), "{report}");
    let (waited, code) = check(&program, &["--wait", "6s"]);
    assert_eq!((&waited["verdict"], code), (&Value::from("findings"), Some(3)), "{waited:#}");
    assert_eq!(waited["findings"][0]["severity"], "warning");
    assert!(waited.get("undecided").is_none(), "{waited:#}");

    let healthy = start(python, &["--healthy"]);
    let (waited, code) = check(&healthy, &["--wait", "6s"]);
    assert_eq!((&waited["verdict"], code), (&Value::from("ok"), Some(0)), "{waited:#}");
}
