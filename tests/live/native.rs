//! Stacks in C with the Python frames in their places, of programs that know what they call.

use std::path::{Path, PathBuf};
use std::process::Command;

use aiospy::process::Target;
use libtest_mimic::Trial;
use serde_json::Value;

use super::support::{self, Program, Python};
use super::{per_version, with_uvloop};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    for event_loop in ["asyncio", "uvloop"] {
        // Greenlets are where uvloop is.
        let run = move |python: &Python| of_threads(python, event_loop);
        per_version(trials, &format!("native::{event_loop}"), |_| true, run);
    }
}

fn compile(folder: &Path) -> PathBuf {
    let library = folder.join("libnative.so");
    let source = support::root().join("tests/programs/native.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-fno-inline", "-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    let output = gcc.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    library
}

/// Each thread is where the program has gone; that which runs has no stack, and says so.
fn of_threads(python: &Python, event_loop: &str) {
    let folder = tempfile::tempdir().unwrap();
    let library = compile(folder.path());
    let library = library.to_str().unwrap();
    let program = Program::start(
        with_uvloop(python),
        "native.py",
        &["--library", library, "--loop", event_loop],
    );
    let target = Target::open(program.pid()).unwrap();
    let threads = program.truth["threads"].as_object().unwrap();
    // Where greenlets lack a library of C++, none is in one.
    assert!(threads.contains_key("switcher") || python.minor() >= 14, "{threads:?}");
    let tid = |of: &Value| i32::try_from(of["tid"].as_i64().unwrap()).unwrap();
    support::wait_until("all are where they wait", || {
        threads.values().filter(|of| !of["stack"].is_null()).all(|of| {
            let call = target.syscall(tid(of)).map(|call| call.name);
            call.is_some_and(|call| !call.contains("futex"))
        })
    });
    let is_blocked = |dump: &Value| {
        let findings = dump["findings"].as_array().unwrap();
        findings.iter().any(|finding| finding["code"] == "loop-blocked")
    };
    let mut dump = Value::Null;
    support::wait_until("the loop has been blocked for long enough", || {
        dump = support::dump(program.pid(), &["--native"]);
        is_blocked(&dump)
    });
    for (name, of) in threads {
        let found = dump["threads"].as_array().unwrap();
        let found = found.iter().find(|thread| thread["tid"] == of["tid"]).unwrap();
        let native = &found["native"];
        let Some(stack) = of["stack"].as_array() else {
            assert!(["running", "moved"].contains(&native["withheld"].as_str().unwrap()));
            assert_eq!(native["frames"], Value::Array(Vec::new()));
            continue;
        };
        let is_complete = name != "switcher";
        assert_eq!(native["is_complete"], is_complete, "{name}: {native:#}");
        check_python_frames(found);
        let names: Vec<String> =
            native["frames"].as_array().unwrap().iter().map(|frame| named(found, frame)).collect();
        let mut rest = names.iter();
        for wanted in stack {
            let wanted = wanted.as_str().unwrap();
            assert!(rest.any(|name| is_it(name, wanted)), "{name}: {wanted} in {names:#?}");
        }
        // Nothing of Python lies inside of the innermost function.
        let (kind, _) = stack.last().unwrap().as_str().unwrap().split_once(' ').unwrap();
        assert!(kind == "c" && !rest.any(|name| name.starts_with("python")), "{names:#?}");
    }
    let finding = dump["findings"].as_array().unwrap();
    let finding = finding.iter().find(|it| it["code"] == "loop-blocked").unwrap();
    let evidence = finding["evidence"].as_array().unwrap();
    let mut lines = evidence.iter().map(|line| line["text"].as_str().unwrap());
    let line = lines.find(|line| line.starts_with("in C: ")).unwrap();
    let end = "libnative.so: wait_inside > libc.so.6: poll";
    assert!(line.ends_with(end), "{line}");
    let (text, _) = support::texts(&support::aiospy(&[
        "dump",
        "--native",
        "--no-source",
        &program.pid().to_string(),
    ]));
    assert!(text.contains("(no frames in C: it "), "{text}");
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    let shown = [["wait_inside", "libnative.so"], ["wait_for_input", "libnative.so"]];
    assert!(lines.windows(2).any(|lines| lines == shown), "{text}");
}

/// Each Python frame has one place, in the order in which they call one another.
fn check_python_frames(thread: &Value) {
    let frames = thread["native"]["frames"].as_array().unwrap();
    let places: Vec<u64> = frames.iter().filter_map(|frame| frame["frame"].as_u64()).collect();
    let count = thread["frames"].as_array().unwrap().len() as u64;
    assert_eq!(places, (0..count).collect::<Vec<_>>());
}

/// `python main`, `c poll`.
fn named(thread: &Value, frame: &Value) -> String {
    match frame["frame"].as_u64() {
        Some(at) => {
            let function = &thread["frames"][usize::try_from(at).unwrap()]["function"];
            format!("python {}", function.as_str().unwrap())
        }
        None => format!("c {}", frame["function"].as_str().unwrap_or_default()),
    }
}

fn is_it(name: &str, wanted: &str) -> bool {
    match wanted {
        "c sleep" => ["c clock_nanosleep", "c select", "c pselect"].contains(&name),
        "python run" => name.ends_with("run"),
        _ => name == wanted,
    }
}
