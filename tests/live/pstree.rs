//! The await forest agrees with CPython's own `python -m asyncio pstree` and `ps` wherever those
//! are right (3.14 and 3.15).
//!
//! Three forms of what CPython says are compared: its structured result (`awaited_by.py`), the
//! table of `ps` and the tree of `pstree`. Where CPython is known to be wrong the tasks are
//! excluded by name, below, each group with its reason; in all else there is no difference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use serde_json::Value;

use super::support::{self, Program, Python, dump};
use super::{per_version, with_uvloop};

/// Tasks of the sample that CPython sees on both versions and in both modes; it has more.
const LEAST_COMPARED: usize = 200;

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    for mode in ["parked", "blocked"] {
        let plain = move |python: &Python| compare(python, &python.path, &["--mode", mode]);
        per_version(trials, &format!("pstree::{mode}"), |minor| minor >= 14, plain);
        let uvloop = move |python: &Python| {
            compare(python, with_uvloop(python), &["--loop", "uvloop", "--mode", mode]);
        };
        per_version(trials, &format!("pstree::{mode}::uvloop"), |minor| minor >= 14, uvloop);
    }
}

// --- where CPython is wrong ------------------------------------------------------------------
// By the keys that the sample gives its tasks. Measured on 3.14.10 and 3.15.2
// (reference/cpython.md, section 13); what a later patch release gets right is no difference.

/// Pure-Python tasks (`_PyTask`) are in no list that CPython's reader walks, so it has neither
/// them nor the edges to them.
const PURE: [&str; 11] = [
    "pure_task",
    "own_pure_task",
    "pure_unnamed",
    "pure_task_pure_future",
    "pure_awaits",
    "pure_handling",
    "pure_to_wake",
    "eager_pure",
    "in_flight_pure",
    "unstarted_pure",
    "yielding_pure",
];

/// 3.14 reads the tasks of the main thread and those of ended threads only (python/cpython
/// #149230); these run in others.
const OTHER_THREADS: [&str; 10] = [
    "second_main",
    "second_holder",
    "second_waiter",
    "second_chain",
    "second_child",
    "second_gather",
    "eager_main",
    "eager_factory",
    "eager_factory_child",
    "eager_factory_gather",
];

/// The chain ends where the awaited object is neither coroutine nor asynchronous generator:
/// `@types.coroutine`, a generator as `__await__`, `coroutine_wrapper`, `anext` with a default.
const CUT: [&str; 10] = [
    "lambda",
    "types_coroutine",
    "types_coroutine_future",
    "await_generator",
    "await_coroutine",
    "anext_default",
    "anext_iterator_default",
    // Behind these is the generator `Future.__await__` of the pure-Python implementation ...
    "pure_future",
    "awaits_pure",
    // ... and behind this `asyncio.tasks.__sleep0`, a `@types.coroutine`.
    "yielding",
];

/// Of the running task only the outermost frame is shown.
const RUNNING: [&str; 1] = ["blocker"];

/// Names are cut at 255 characters.
const LONG_NAME: [&str; 2] = ["name_long", "name_long_bmp"];

/// 3.14 takes every string for ASCII (python/cpython #149214): right in length, wrong in text.
const GARBLED_NAME: [&str; 6] =
    ["name_latin1", "name_bmp", "name_astral", "name_long_bmp", "name_control", "name_surrogate"];
/// The same in functions and files.
const GARBLED_FRAME: [&str; 3] = ["unicode_function", "unicode_file", "far_line"];

/// 3.14 gives no line where the line table is long.
const NO_LINE: [&str; 1] = ["long_function"];

// --- what both say of a task -----------------------------------------------------------------

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    function: String,
    file: String,
    line: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Task {
    name: String,
    /// The thread of its loop; 0 when no thread runs it.
    tid: i64,
    /// Outermost first.
    frames: Vec<Frame>,
    awaited_by: BTreeSet<String>,
}

type Tasks = BTreeMap<String, Task>;

fn frames(list: &Value) -> Vec<Frame> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let frame = |frame: &Value| Frame {
        function: text(&frame["function"]),
        file: text(&frame["file"]),
        line: frame["line"].as_i64(),
    };
    list.as_array().unwrap().iter().map(frame).collect()
}

/// What the tool says.
fn ours(dump: &Value) -> Tasks {
    let loops = dump["loops"].as_array().unwrap();
    let thread = |id: &Value| {
        let of_task = loops.iter().find(|found| &found["id"] == id);
        of_task.and_then(|found| found["thread"].as_i64()).unwrap_or(0)
    };
    let task = |task: &Value| {
        let awaiters = task["awaited_by"].as_array().unwrap();
        // CPython's tool ends at what was compiled.
        let mut frames = frames(&task["frames"]);
        frames.retain(|frame| Path::new(&frame.file).extension() != Some("pyx".as_ref()));
        Task {
            name: task["name"].as_str().unwrap().to_owned(),
            tid: thread(&task["loop"]),
            frames,
            awaited_by: awaiters.iter().map(|id| id.as_str().unwrap().to_owned()).collect(),
        }
    };
    let tasks = dump["tasks"].as_array().unwrap().iter();
    tasks.map(|found| (found["id"].as_str().unwrap().to_owned(), task(found))).collect()
}

/// What CPython's reader says.
fn theirs(result: &Value) -> Tasks {
    let mut tasks = Tasks::new();
    for thread in result["threads"].as_array().unwrap() {
        for task in thread["tasks"].as_array().unwrap() {
            let id = task["id"].as_str().unwrap().to_owned();
            let awaiters = task["awaited_by"].as_array().unwrap();
            let read = Task {
                name: task["name"].as_str().unwrap().to_owned(),
                tid: thread["tid"].as_i64().unwrap(),
                frames: frames(&task["frames"]),
                awaited_by: awaiters.iter().map(|a| a["id"].as_str().unwrap().to_owned()).collect(),
            };
            assert!(tasks.insert(id, read).is_none(), "twice: {task}");
        }
    }
    // What it says of an awaiter is what it says of that task.
    for thread in result["threads"].as_array().unwrap() {
        for task in thread["tasks"].as_array().unwrap() {
            for awaiter in task["awaited_by"].as_array().unwrap() {
                let id = awaiter["id"].as_str().unwrap();
                assert_eq!(tasks[id].frames, frames(&awaiter["frames"]), "{task}");
            }
        }
    }
    tasks
}

// --- the comparison --------------------------------------------------------------------------

/// The structured result and both texts, once with a ring of tasks, once without.
fn compare(python: &Python, path: &Path, arguments: &[&str]) {
    let program = Program::start(path, "truth.py", arguments);
    let agreed = agreed(python, path, &program);
    let (table, _) = asyncio_tool(path, "ps", program.pid());
    compare_lines(&ps_lines(&agreed), table.split_terminator('\n').skip(2));
    let (tree, error) = asyncio_tool(path, "pstree", program.pid());
    assert!(format!("{tree}{error}").contains("await-graph contains cycles"), "{tree}{error}");
    drop(program);

    let program = Program::start(path, "truth.py", &[arguments, &["--no-ring"]].concat());
    let agreed = self::agreed(python, path, &program);
    let (tree, error) = asyncio_tool(path, "pstree", program.pid());
    assert_eq!(error, "");
    let (wanted, got) = (expected_paths(&agreed), paths(&tree));
    let missing: Vec<_> = wanted.iter().filter(|path| !got.contains(path)).collect();
    let more: Vec<_> = got.iter().filter(|path| !wanted.contains(path)).collect();
    assert!(wanted == got, "pstree does not have {missing:#?}\nand has {more:#?}");
    assert!(got.len() > LEAST_COMPARED / 2, "{} leaves", got.len());
}

/// The tasks that CPython sees, as both say, and as CPython says where it is excluded above.
fn agreed(python: &Python, path: &Path, program: &Program) -> Tasks {
    let script = support::root().join("tests/programs/awaited_by.py");
    let (json, error) = run(Command::new(path).arg(script).arg(program.pid().to_string()));
    assert_eq!(error, "");
    let theirs = theirs(&support::parse(&json));
    let ours = ours(&dump(program.pid(), &[]));
    let keys: BTreeMap<&str, &str> = program.truth["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| (task["id"].as_str().unwrap(), task["key"].as_str().unwrap()))
        .collect();

    let is_14 = python.minor() == 14;
    let mut wrong = Vec::new();
    for id in theirs.keys().filter(|id| !ours.contains_key(*id)) {
        wrong.push(format!("{}: only CPython has it", keys[&**id]));
    }
    let mut agreed = Tasks::new();
    for (id, our) in &ours {
        let key = keys[&**id];
        let Some(their) = theirs.get(id) else {
            if !(PURE.contains(&key) || is_14 && OTHER_THREADS.contains(&key)) {
                wrong.push(format!("{key}: CPython does not have it"));
            }
            continue;
        };
        let mut our = our.clone();
        our.awaited_by.retain(|awaiter| !PURE.contains(&keys[&**awaiter]));
        if our.name != their.name {
            let is_same_len = our.name.chars().count() == their.name.chars().count();
            let cut: String = our.name.chars().take(255).collect();
            let is_known = LONG_NAME.contains(&key) && their.name == cut
                || is_14 && GARBLED_NAME.contains(&key) && is_same_len
                || is_14 && LONG_NAME.contains(&key) && GARBLED_NAME.contains(&key);
            if is_known {
                our.name.clone_from(&their.name);
            }
        }
        let is_start = our.frames.starts_with(&their.frames);
        let is_known = CUT.contains(&key) && is_start && !their.frames.is_empty()
            || RUNNING.contains(&key) && is_start && their.frames.len() == 1
            || is_14 && GARBLED_FRAME.contains(&key) && is_same_shape(&our.frames, &their.frames)
            || is_14 && NO_LINE.contains(&key) && is_same_but_line(&our.frames, &their.frames);
        if is_known {
            our.frames.clone_from(&their.frames);
        }
        if our != *their {
            wrong.push(format!("{key}: CPython says {their:#?}, we {our:#?}"));
        }
        agreed.insert(id.clone(), our);
    }
    assert!(wrong.is_empty(), "{} differences: {wrong:#?}", wrong.len());
    assert!(agreed.len() >= LEAST_COMPARED, "only {} tasks compared", agreed.len());
    agreed
}

/// Equal lines, and texts of equal length.
fn is_same_shape(ours: &[Frame], theirs: &[Frame]) -> bool {
    let shape =
        |frame: &Frame| (frame.function.chars().count(), frame.file.chars().count(), frame.line);
    ours.iter().map(shape).eq(theirs.iter().map(shape))
}

/// Equal, but where they have no line.
fn is_same_but_line(ours: &[Frame], theirs: &[Frame]) -> bool {
    let is_same = |(our, their): (&Frame, &Frame)| {
        our == their || their.line.is_none() && *our == Frame { line: our.line, ..their.clone() }
    };
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(is_same)
}

fn run(command: &mut Command) -> (String, String) {
    // A lone surrogate in a name cannot be printed; here it becomes `?`.
    let command = command.env("PYTHONIOENCODING", "utf-8:replace").env("NO_COLOR", "1");
    support::texts(&command.stdin(Stdio::null()).output().unwrap())
}

/// `python -m asyncio TOOL PID`.
fn asyncio_tool(path: &Path, tool: &str, pid: i32) -> (String, String) {
    run(Command::new(path).args(["-m", "asyncio", tool, &pid.to_string()]))
}

/// As `run` has it.
fn printable(text: &str) -> String {
    text.replace('\u{fffd}', "?")
}

// --- ps --------------------------------------------------------------------------------------

/// The rows of `ps` (`asyncio.tools.display_awaited_by_tasks_table`).
fn ps_lines(tasks: &Tasks) -> Vec<String> {
    let chain = |task: &Task| {
        let functions: Vec<&str> = task.frames.iter().rev().map(|f| &*f.function).collect();
        functions.join(" -> ")
    };
    let mut lines = Vec::new();
    for (id, task) in tasks {
        let start =
            format!("{:<10} {id:<20} {:<20} {:<50}", task.tid, printable(&task.name), chain(task));
        if task.awaited_by.is_empty() {
            lines.push(format!("{start} {:<50} {:<15} {:<15}", "", "", "0x0"));
        }
        for awaiter in &task.awaited_by {
            let by = &tasks[awaiter];
            let (chain, name) = (chain(by), printable(&by.name));
            lines.push(format!("{start} {chain:<50} {name:<15} {awaiter:<15}"));
        }
    }
    lines
}

/// Fails unless the lines are the same in any order; a name may have several.
fn compare_lines<'a>(wanted: &[String], got: impl Iterator<Item = &'a str>) {
    let mut wanted: Vec<&str> = wanted.iter().flat_map(|row| row.split('\n')).collect();
    let mut got: Vec<&str> = got.collect();
    wanted.sort_unstable();
    got.sort_unstable();
    let missing: Vec<_> = wanted.iter().filter(|line| !got.contains(line)).collect();
    let more: Vec<_> = got.iter().filter(|line| !wanted.contains(line)).collect();
    assert!(wanted == got, "ps does not have {missing:#?}\nand has {more:#?}");
}

// --- pstree ----------------------------------------------------------------------------------

/// From a root to a leaf.
type Branch = Vec<String>;

/// The branches of the text of `pstree`, sorted.
fn paths(text: &str) -> Vec<Branch> {
    let mut nodes: Vec<(usize, String)> = Vec::new();
    for line in text.split_terminator('\n') {
        let (mut rest, mut depth) = (line, 0);
        while let Some(deeper) = rest.strip_prefix("│   ").or(rest.strip_prefix("    ")) {
            (rest, depth) = (deeper, depth + 1);
        }
        match rest.strip_prefix("├── ").or(rest.strip_prefix("└── ")) {
            Some(label) => nodes.push((depth, label.to_owned())),
            // The name above has several lines.
            None => nodes.last_mut().unwrap().1.extend(["\n", line]),
        }
    }
    let mut paths = Vec::new();
    let mut branch = Branch::new();
    for (i, (depth, label)) in nodes.iter().enumerate() {
        branch.truncate(*depth);
        branch.push(label.clone());
        if nodes.get(i + 1).is_none_or(|(next, _)| next <= depth) {
            paths.push(branch.clone());
        }
    }
    paths.sort_unstable();
    paths
}

/// The branches as they have to be: below a task its frames, below its innermost frame the tasks
/// that it waits for; roots are the tasks that nobody waits for.
fn expected_paths(tasks: &Tasks) -> Vec<Branch> {
    let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, task) in tasks {
        for awaiter in &task.awaited_by {
            children.entry(awaiter).or_default().push(id);
        }
    }
    let roots = tasks.iter().filter(|(_, task)| task.awaited_by.is_empty());
    let mut open: Vec<(&str, Branch)> = roots.map(|(id, _)| (&**id, Branch::new())).collect();
    let mut paths = Vec::new();
    while let Some((id, mut branch)) = open.pop() {
        let task = &tasks[id];
        branch.push(printable(&format!("(T) {}", task.name)));
        branch.extend(task.frames.iter().map(|frame| {
            let line = frame.line.map(|line| format!(":{line}")).unwrap_or_default();
            format!(" {} {}{line}", frame.function, frame.file)
        }));
        match children.get(id) {
            Some(children) => open.extend(children.iter().map(|child| (*child, branch.clone()))),
            None => paths.push(branch),
        }
    }
    paths.sort_unstable();
    paths
}
