//! The sample programs of `aiospy demo` are in the state that they are said to be in, and the
//! README shows the report on one.

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use super::per_version;
use super::support::pages::hold_shown;
use super::support::{self, Python, aiospy, check_schema, texts};

/// The version whose output the README shows.
const SHOWN: &str = "3.13";

pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "demo::service", |_| true, service);
    per_version(trials, "demo::blocked", |_| true, blocked);
    per_version(trials, "demo::cancel", |_| true, cancel);
    per_version(trials, "demo::lock", |_| true, lock);
    per_version(trials, "demo::crowd", |_| true, crowd);
    let is_ignored = support::python(SHOWN).is_none() && !support::is_strict();
    trials.push(Trial::test("demo::readme", readme).with_ignored_flag(is_ignored));
}

fn demo(python: &Python, name: &str) -> Value {
    let path = python.path.to_str().unwrap();
    let output = aiospy(&["demo", name, "--json", "--python", path]);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let dump: Value = serde_json::from_str(&stdout).unwrap();
    check_schema(&dump);
    assert_eq!(dump["problems"], Value::Array(Vec::new()));
    dump
}

fn tasks<'a>(dump: &'a Value, name: &'a str) -> impl Iterator<Item = &'a Value> {
    let is_called = move |task: &&Value| task["name"].as_str().unwrap().starts_with(name);
    dump["tasks"].as_array().unwrap().iter().filter(is_called)
}

fn task<'a>(dump: &'a Value, name: &'a str) -> &'a Value {
    tasks(dump, name).next().unwrap_or_else(|| panic!("no task {name}"))
}

fn innermost(task: &Value) -> &str {
    task["frames"].as_array().unwrap().last().unwrap()["function"].as_str().unwrap()
}

fn service(python: &Python) {
    let dump = demo(python, "service");
    assert_eq!(dump["loops"][0]["state"], "polling");
    assert_eq!(dump["tasks"].as_array().unwrap().len(), 17);
    assert_eq!(
        tasks(&dump, "order-").filter(|task| innermost(task).ends_with("acquire")).count(),
        6
    );
    assert!(innermost(task(&dump, "refresh-prices")).ends_with("_wait_for_data"));
    let requested = &task(&dump, "audit-log")["cancellation"]["requested"];
    assert_eq!(requested.as_u64(), (python.minor() >= 11).then_some(1));
}

fn blocked(python: &Python) {
    let dump = demo(python, "blocked");
    let of = &dump["loops"][0];
    assert_eq!(
        (&of["state"], &of["iteration"]["handle"]),
        (&"blocked".into(), &"task update-rates".into())
    );
    assert!(of["iteration"]["elapsed_ms"].as_f64().unwrap() >= 1000.0, "{of}");
    assert!(innermost(task(&dump, "update-rates")).ends_with("read_answer"));
    assert_eq!(tasks(&dump, "customer-").filter(|task| task["state"] == "ready").count(), 5);
    let syscall = &dump["threads"][0]["syscall"];
    assert_eq!(syscall["name"], "recvfrom");
    assert!(syscall["peer"].as_str().unwrap().contains("127.0.0.1:"), "{syscall}");
}

fn cancel(python: &Python) {
    let dump = demo(python, "cancel");
    for name in ["relay", "journal"] {
        assert_eq!(task(&dump, name)["cancellation"]["handling"], 0, "{name}");
    }
    let requested = &task(&dump, "deliver")["cancellation"]["requested"];
    assert_eq!(requested.as_u64(), (python.minor() >= 11).then_some(1));
}

fn lock(python: &Python) {
    let dump = demo(python, "lock");
    let waiting = dump["tasks"].as_array().unwrap().iter();
    assert_eq!(waiting.filter(|task| innermost(task).ends_with("acquire")).count(), 22);
}

fn crowd(python: &Python) {
    let dump = demo(python, "crowd");
    assert_eq!(dump["tasks"].as_array().unwrap().len(), 3001);
}

/// Lines in which all numbers are alike; how busy the machine is does not matter.
fn outline(text: &str) -> Vec<String> {
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let lines = text.lines().filter(|line| !line.starts_with("   limits: "));
    lines
        .map(|line| {
            let mut words = Vec::new();
            for word in line.split([' ', ':']).filter(|word| !word.is_empty()) {
                match (word, words.last()) {
                    ("ms", _) => words.push("s"),
                    (word, _) if is_number(word) => words.push("#"),
                    (word, _) => words.push(word),
                }
            }
            words.join(" ")
        })
        .collect()
}

/// The same without the rows of those that are well.
fn outline_of_causes(text: &str) -> Vec<String> {
    let mut lines = outline(text);
    let table = lines.iter().position(|line| line.starts_with("N WORK")).expect("no table");
    let end = lines[table..].iter().position(String::is_empty).map_or(lines.len(), |at| table + at);
    let rest = lines.split_off(end);
    let rows = lines.split_off(table + 1).into_iter().filter(|row| row.starts_with('!'));
    lines.extend(rows.chain(rest));
    lines
}

/// The output in the README is that of today.
fn readme() -> Result<(), Failed> {
    let python = support::python(SHOWN).ok_or("no Python: run scripts/pythons")?;
    let path = python.path.to_str().unwrap();
    let (stdout, _) = texts(&aiospy(&["demo", "service", "--width", "80", "--python", path]));
    // What a busy machine adds takes a line from the rows of those that are idle.
    let is_pressed = stdout.contains("\n   limits: ");
    let compared: fn(&str) -> _ = if is_pressed { outline_of_causes } else { outline };
    hold_shown("README.md", "$ aiospy demo service\n", &stdout, compared);
    Ok(())
}
