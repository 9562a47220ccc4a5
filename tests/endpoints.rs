//! Which descriptor each task of a live program waits for, against what the program says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use std::path::Path;

use aiospy::asyncio::Endpoint;
use aiospy::memory::Address;
use aiospy::{Inspector, Options};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use support::{Program, VERSIONS};

fn main() {
    let mut trials = Vec::new();
    for version in VERSIONS {
        let python = support::python(version);
        for uvloop in [false, true] {
            let path = python.as_ref().map(|python| {
                let path = if uvloop { python.venv.as_ref() } else { Some(&python.path) };
                path.unwrap_or_else(|| panic!("no uvloop for {version}: run scripts/pythons"))
                    .clone()
            });
            let (name, arguments) = if uvloop {
                (format!("endpoints::uvloop::{version}"), &["--loop", "uvloop"][..])
            } else {
                (format!("endpoints::asyncio::{version}"), &[][..])
            };
            let is_ignored = path.is_none() && !support::is_strict();
            let run = move || match path {
                Some(path) => {
                    compare(&path, arguments);
                    Ok(())
                }
                None => {
                    Err(Failed::from(format!("Python {version} is missing: run scripts/pythons")))
                }
            };
            trials.push(Trial::test(name, run).with_ignored_flag(is_ignored));
        }
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    libtest_mimic::run(&arguments, trials).exit();
}

fn compare(python: &Path, arguments: &[&str]) {
    let program = Program::start(python, "endpoints.py", arguments);
    let mut inspector = Inspector::attach(program.pid()).unwrap();
    inspector.snapshot(&Options::default()).unwrap();
    let reader = inspector.reader();
    let loop_at = address(&program.truth["loop"]);
    let endpoints = reader.endpoints(loop_at);
    let mut differences = Vec::new();
    let tasks = program.truth["tasks"].as_array().unwrap();
    assert!(tasks.len() > 30, "too few tasks: {}", tasks.len());
    for truth in tasks {
        let key = &truth["key"];
        let tasks = reader.read_tasks(&[address(&truth["id"])], true).tasks;
        let [task] = tasks.as_slice() else { panic!("{key}: no task") };
        let waiter = task.fut_waiter.unwrap_or_else(|| panic!("{key}: {task:?}"));
        let by_future = endpoints.get(&waiter).cloned();
        let by_frame = task.chain.iter().rev().find_map(|frame| reader.io_of_frame(frame));
        let expected = json!({
            "fd": truth["fd"],
            "direction": truth["direction"],
            "medium": truth["medium"],
            "tls": truth["tls"] == true,
            "pid": truth["pid"],
        });
        for (how, found) in [("by_future", by_future), ("by_frame", by_frame)] {
            let found = found.map_or(Value::Null, |found| seen(&found));
            let expected = match truth[how].as_bool() {
                Some(true) => &expected,
                Some(false) => &Value::Null,
                None => continue,
            };
            if found != *expected {
                differences.push(format!("{key} {how}: is {expected}, said to be {found}"));
            }
        }
    }
    assert!(differences.is_empty(), "{} differences: {differences:#?}", differences.len());
}

fn seen(endpoint: &Endpoint) -> Value {
    json!({
        "fd": endpoint.fd,
        "direction": format!("{:?}", endpoint.direction),
        "medium": format!("{:?}", endpoint.medium),
        "tls": endpoint.is_tls,
        "pid": endpoint.pid,
    })
}

fn address(text: &Value) -> Address {
    let text = text.as_str().unwrap().strip_prefix("0x").unwrap();
    Address(u64::from_str_radix(text, 16).unwrap())
}
