//! What is told from frames, held against what the programs say by construction: which `with` and
//! `async with` blocks tasks and threads are in, and which handler ate a cancellation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by a panic"
)]

mod support;

use std::collections::BTreeMap;

use aiospy::memory::{Address, LiveMemory};
use aiospy::process::Target;
use aiospy::python::frame::{Eater, Ending, Handler, HandlerKind, RawFrame};
use aiospy::python::object::{Caches, Memory, Reader};
use aiospy::python::runtime::{Located, locate};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use support::{Program, Python, VERSIONS};

/// A program that is read from outside.
struct Subject {
    memory: Memory,
    located: Located,
    caches: Caches,
}

impl Subject {
    fn new(program: &Program) -> Self {
        let target = Target::open(program.pid()).unwrap();
        let maps = target.maps().unwrap();
        let first = maps.iter().find(|mapping| mapping.is_readable).unwrap();
        let memory = LiveMemory::open(program.pid(), Address(first.start)).unwrap();
        let memory = Memory::new(Box::new(memory));
        let located = locate(&target, &memory).unwrap();
        Self { memory, located, caches: Caches::default() }
    }

    fn reader(&self) -> Reader<'_> {
        Reader { memory: &self.memory, layout: &self.located.layout, caches: &self.caches }
    }
}

/// An address as the programs print it.
fn parse(address: &str) -> Address {
    Address(u64::from_str_radix(address.strip_prefix("0x").unwrap(), 16).unwrap())
}

/// What was read of the frames in `file`, as the program says it.
fn read(reader: &Reader<'_>, frames: &[RawFrame], file: &str) -> (Vec<String>, Vec<String>) {
    let (mut entered, mut held) = (Vec::new(), Vec::new());
    for frame in frames {
        if &*reader.code(frame.code).unwrap().place.file == file {
            let blocks = reader.entered(frame).unwrap();
            entered.extend(blocks.iter().map(|block| block.manager.to_string()));
            for address in reader.held(frame).unwrap() {
                held.push(address.to_string());
            }
        }
    }
    (entered, held)
}

fn told(truth: &Value, key: &str) -> Vec<String> {
    truth[key].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// What is held twice counts once.
fn once(mut all: Vec<String>) -> Vec<String> {
    let mut seen = Vec::new();
    all.retain(|one| {
        !seen.contains(one) && {
            seen.push(one.clone());
            true
        }
    });
    all
}

fn contexts(python: &Python, arguments: &[&str]) {
    let program = Program::start(&python.path, "contexts.py", arguments);
    let subject = Subject::new(&program);
    let reader = subject.reader();
    let truth = &program.truth;
    let file = truth["file"].as_str().unwrap();
    let mut differences = Vec::new();
    let mut compare = |truth: &Value, (entered, held): (Vec<String>, Vec<String>)| {
        let name = &truth["name"];
        if entered != told(truth, "entered") {
            differences.push(format!("{name} entered: {} read: {entered:?}", truth["entered"]));
        }
        if once(held.clone()) != once(told(truth, "held")) {
            differences.push(format!("{name} held: {} read: {held:?}", truth["held"]));
        }
    };

    let tasks = truth["tasks"].as_object().unwrap();
    let addresses: Vec<Address> = tasks.keys().map(|at| parse(at)).collect();
    let read_tasks = reader.read_tasks(&addresses, false).tasks;
    assert_eq!(read_tasks.len(), tasks.len());
    for task in &read_tasks {
        assert_eq!(task.problem, None);
        compare(&tasks[&task.at.to_string()], read(&reader, &task.chain, file));
    }

    let interpreters = reader.interpreters(subject.located.runtime).unwrap();
    let threads = reader.thread_states(interpreters[0].at).unwrap();
    let by_id: BTreeMap<String, Address> = threads
        .iter()
        .flat_map(|thread| {
            // Up to 3.10 the C library alone knows it.
            let ids = thread.native_id.into_iter().chain(reader.pthread_tids(thread.ident));
            ids.map(|id| (id.to_string(), thread.at))
        })
        .collect();
    for (id, truth) in truth["threads"].as_object().unwrap() {
        let stack = reader.stack(by_id[id]);
        assert!(stack.is_complete);
        compare(truth, read(&reader, &stack.frames, file));
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

fn eaters(python: &Python, arguments: &[&str]) {
    let program = Program::start(&python.path, "eaters.py", arguments);
    // From 3.12 on the instructions of a traced function are hidden: nothing is said of it.
    let is_hidden = python.minor() >= 12 && arguments.contains(&"traced");
    let subject = Subject::new(&program);
    let reader = subject.reader();
    let tasks = program.truth["tasks"].as_object().unwrap();
    let sources = program.truth["sources"].as_object().unwrap();
    let with_source = |file: &str| Some(sources.get(file)?.as_str()?.into());
    let addresses: Vec<Address> = tasks.keys().map(|at| parse(at)).collect();
    let read_tasks = reader.read_tasks(&addresses, false).tasks;
    assert_eq!(read_tasks.len(), tasks.len());
    let (mut differences, mut marked) = (Vec::new(), 0);
    for task in &read_tasks {
        assert_eq!(task.problem, None);
        let truth = &tasks[&task.at.to_string()];
        let told = |eater: &Eater| {
            let kind = format!("{:?}", eater.kind);
            json!({"file": *eater.file, "line": eater.line, "kind": kind, "sure": eater.is_sure})
        };
        let read = reader.cancel_eater(&task.chain, &with_source);
        if is_hidden {
            let is_own = |eater: &Eater| sources.contains_key(&*eater.file);
            assert!(!read.as_ref().is_some_and(is_own), "{}: {read:?}", truth["name"]);
            continue;
        }
        let bare = reader.cancel_eater(&task.chain, &|_| None);
        if !is_near(read.as_ref(), bare.as_ref()) {
            differences.push(format!("{}: {read:?} without the source: {bare:?}", truth["name"]));
        }
        let innermost =
            |frame: &&RawFrame| sources.contains_key(&*reader.code(frame.code).unwrap().place.file);
        if let (Some(wanted), Some(frame)) =
            (truth["around"].as_array(), task.chain.iter().rev().find(innermost))
        {
            let around = reader.handlers(frame, &with_source).unwrap();
            let around: Vec<Value> = around.into_iter().map(as_marked).collect();
            if *wanted != around {
                differences.push(format!("{} around: {wanted:?} read: {around:?}", truth["name"]));
            }
            marked += 1;
        }
        let (wanted, read) = (&truth["eater"], json!(read.as_ref().map(told)));
        if *wanted != read {
            differences.push(format!("{}: {wanted} read: {read}", truth["name"]));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
    assert!(is_hidden || marked >= 15, "{marked}");
}

/// The loops that tasks are in, with their turns, are what the program says of itself.
fn loops(python: &Python, arguments: &[&str]) {
    let program = Program::start(&python.path, "loops.py", arguments);
    let is_hidden = python.minor() >= 12 && arguments.contains(&"traced");
    let subject = Subject::new(&program);
    let reader = subject.reader();
    let file = program.truth["file"].as_str().unwrap();
    let tasks = program.truth["tasks"].as_object().unwrap();
    let addresses: Vec<Address> = tasks.keys().map(|at| parse(at)).collect();
    let read_tasks = reader.read_tasks(&addresses, false).tasks;
    assert_eq!(read_tasks.len(), tasks.len());
    let mut differences = Vec::new();
    for task in &read_tasks {
        assert_eq!(task.problem, None);
        let truth = &tasks[&task.at.to_string()];
        let mut found = Vec::new();
        for frame in task.chain.iter().rev() {
            if &*reader.code(frame.code).unwrap().place.file != file {
                continue;
            }
            let Ok(loops) = reader.for_loops(frame) else {
                assert!(is_hidden, "{}", truth["name"]);
                continue;
            };
            let turns = reader.turns(frame, loops.len()).unwrap();
            for (i, one) in loops.iter().enumerate() {
                let turn = turns.get(i).copied().unwrap_or_default();
                found.push(json!([one.line, turn.done, turn.left]));
            }
        }
        if !is_hidden && truth["loops"] != json!(found) {
            let name = &truth["name"];
            differences.push(format!("{name}: {} read: {}", truth["loops"], json!(found)));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

/// A handler as `eaters.py` marks it.
fn as_marked(handler: Handler) -> Value {
    let ending = match handler.ending {
        Ending::Raises => "raises",
        Ending::MayRaise => "may-raise",
        Ending::GoesOn => "goes-on",
    };
    json!([handler.line, format!("{:?}", handler.kind), handler.catches_cancel, ending])
}

/// Whether the same handler is told with and without the source, but for the lines between
/// `finally` and its first statement, or `except` and its first class.
fn is_near(with: Option<&Eater>, without: Option<&Eater>) -> bool {
    match (with, without) {
        (Some(with), Some(without)) => {
            let is_exact = with.line == without.line && with.kind == without.kind;
            let is_near = (with.line..=with.line + 3).contains(&without.line);
            let has_no_line =
                with.kind == HandlerKind::Finally || &*with.function == "in_long_tuple";
            (is_exact || has_no_line && is_near) && with.is_sure == without.is_sure
        }
        (with, without) => with == without,
    }
}

fn main() {
    let mut trials = Vec::new();
    let mut per_version = |name: &str, run: &'static (dyn Fn(&Python) + Sync)| {
        for version in VERSIONS {
            let python = support::python(version);
            let is_ignored = python.is_none() && !support::is_strict();
            let run = move || match &python {
                Some(python) => {
                    run(python);
                    Ok(())
                }
                None => Err(Failed::from("the interpreter is missing: run scripts/pythons")),
            };
            let name = format!("{name}::{version}");
            trials.push(Trial::test(name, run).with_ignored_flag(is_ignored));
        }
    };
    per_version("contexts", &|python| contexts(python, &[]));
    per_version("contexts::traced", &|python| contexts(python, &["traced"]));
    per_version("eaters", &|python| eaters(python, &[]));
    per_version("eaters::traced", &|python| eaters(python, &["traced"]));
    per_version("loops", &|python| loops(python, &[]));
    per_version("loops::traced", &|python| loops(python, &["traced"]));
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    libtest_mimic::run(&arguments, trials).exit();
}
