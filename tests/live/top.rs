//! The terminal UI in a real terminal, on real programs.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::situation::{Copied, Parts, open_folder};
use super::support::pages::hold_shown;
use super::support::{Program, Python, aiospy, check_schema, python, root, texts};
use super::terminal::Terminal;
use super::{once, per_version, per_version_with};

const ENTER: &str = "\r";
const ESCAPE: &str = "\x1b";
/// Leads back like Escape, and can be told from the beginning of another key.
const BACK: &str = "\x7f";

/// The version whose programs are shown.
const SHOWN: &str = "3.13";
/// Lines and columns.
const USUAL: (u16, u16) = (40, 120);
const WIDE: (u16, u16) = (40, 160);
const SMALL: (u16, u16) = (24, 80);

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "top::session", |minor| minor >= 11, |python| session(&python.path));
    for way in WAYS {
        let name = way.program.replace(' ', "_");
        once(trials, &format!("top::way::{name}"), &[], move || follow(way));
    }
    once(trials, "top::signals", &[], signals);
    if cfg!(debug_assertions) {
        once(trials, "top::panic", &[], panics);
    }
    once(trials, "top::dead_target", &[], dead_target);
    once(trials, "top::picker", &[], picker);
    let is_one_file = |version: &str, python: Option<&Python>| {
        version == "3.14" && python.is_none_or(|python| Parts::of(python).library.is_none())
    };
    per_version_with(trials, "top::picker_renamed", &[], is_one_file, picker_renamed);
    once(trials, "top::command", &[], command);
    once(trials, "top::replay", &[], replay);
    once(trials, "top::record", &[], record);
    once(trials, "top::no_terminal", &[], no_terminal);
    once(trials, "top::shown", &[], shown);
}

/// A program of the findings in its state.
fn scenario(python: &Path, program: &str) -> Program {
    let mut words = program.split(' ');
    let file = format!("tests/programs/scenarios/{}.py", words.next().unwrap());
    let mut command = Command::new(python);
    command.arg("-B").arg(root().join(file)).args(words);
    Program::spawn(command)
}

fn top(program: &Program, size: (u16, u16), folder: &Path) -> Terminal {
    Terminal::start(&["top", &program.pid().to_string()], size, folder)
}

/// A recording is walked through as what is live.
fn replay() {
    let folder = tempfile::tempdir().unwrap();
    let program = scenario(&python(SHOWN).unwrap().path, "deadlock");
    let file = folder.path().join("it.aiospy");
    let file = file.to_str().unwrap();
    let pid = program.pid().to_string();
    let recorded = aiospy(&["record", &pid, "-d", "3s", "-r", "20", "-o", file]);
    assert!(recorded.status.success(), "{}", texts(&recorded).1);
    drop(program);
    let mut terminal = Terminal::start(&["replay", file], USUAL, folder.path());
    terminal.wait_for(&["RECORDING", "sample 1 of"]);
    terminal.types("}");
    // Its name is in the path of the program as well.
    terminal.wait_for(&["are deadlocked"]);
    terminal.types("0");
    terminal.types(ENTER);
    terminal.wait_for(&["advice"]);
    terminal.types("[");
    terminal.types(" ");
    // It plays to its end and stands there.
    terminal.wait_until("the last sample", |text| {
        let place = text.split("sample ").nth(1).unwrap_or_default();
        let mut words = place.split_whitespace();
        let (at, count) = (words.next(), words.nth(1));
        at.is_some() && at == count
    });
    terminal.wait_until("it to stand", |text| text.contains("RECORDING"));
    terminal.types("q");
    let (status, _) = terminal.end();
    assert!(status.success());
    let output = aiospy(&["replay", file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(texts(&output).1.contains("aiospy export"), "{}", texts(&output).1);
}

/// What is read is recorded from one press of a key to the next, and to the end of it all.
fn record() {
    let folder = tempfile::tempdir().unwrap();
    let program = scenario(&python(SHOWN).unwrap().path, "deadlock");
    let mut terminal = top(&program, USUAL, folder.path());
    terminal.wait_for(&["are deadlocked"]);
    terminal.types("r");
    terminal.wait_for(&["recording to aiospy-", "REC"]);
    // A sample at least: the age of what is shown goes on.
    let row =
        |text: &str| text.lines().find(|line| line.contains("deadlock.py:")).map(str::to_owned);
    let before = terminal.wait_until("a row", |text| row(text).is_some());
    terminal.wait_until("more samples", |text| row(text) != row(&before));
    terminal.types("r");
    terminal.wait_for(&["recorded to aiospy-"]);
    let text = terminal.wait_until("no mark", |text| !text.contains("REC"));
    assert!(text.contains("kB)") || text.contains("bytes)") || text.contains(" B)"), "{text}");
    // One that goes on when it is all over is whole, too.
    terminal.types("q");
    let (status, _) = terminal.end();
    assert!(status.success());
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "aiospy"))
        .collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let output = aiospy(&["export", file.to_str().unwrap(), "-f", "collapsed", "-o", "-"]);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.contains("<task first>"), "{stdout}");
}

/// From the start screen to the culprit.
struct Way {
    program: &'static str,
    /// At most three.
    keys: &'static [&'static str],
    /// What is then to be seen.
    shows: &'static [&'static str],
}

/// What a person presses who sees it for the first time. A scenario marks its lines with comments.
const WAYS: &[Way] = &[
    // The finding, then the task that holds the lock, at the line where it waits.
    Way {
        program: "lock_convoy",
        keys: &[ENTER, ENTER],
        shows: &["refresh  pending", "# culprit"],
    },
    Way { program: "held_lock", keys: &[ENTER, ENTER], shows: &["taker  running", "# takes"] },
    // The finding, its first task, and from there to the one that holds what that waits for.
    Way { program: "deadlock", keys: &[ENTER, ENTER, ENTER], shows: &["held by", "# culprit"] },
    Way { program: "deadlock_three", keys: &[ENTER, ENTER], shows: &["held by", "# culprit"] },
    // Who ate the cancellation, and where.
    Way { program: "swallowed", keys: &[ENTER, ENTER], shows: &["worker  pending", "# eaten"] },
    Way { program: "cleanup_stuck", keys: &["5", ENTER], shows: &["# culprit"] },
    // What blocks the loop: the line is there with the finding, the task one key further.
    Way { program: "loop_blocked --kind socket", keys: &[ENTER], shows: &["# socket"] },
    Way { program: "loop_blocked --kind sleep", keys: &["3", "j", ENTER], shows: &["# sleep"] },
    Way { program: "executor_saturated", keys: &[ENTER], shows: &["# culprit"] },
    Way { program: "queue_no_producer", keys: &[ENTER, ENTER], shows: &["# culprit"] },
    Way { program: "orphan_wait", keys: &[ENTER, ENTER], shows: &["# culprit"] },
    Way {
        program: "overdue",
        keys: &[ENTER, ENTER],
        shows: &["handler  pending", "swallowed", "overdue.py:11"],
    },
    Way { program: "permit_lost", keys: &[ENTER], shows: &["permit-leaked"] },
    Way { program: "swallowed_shutdown", keys: &["5", ENTER], shows: &["# eaten"] },
];

fn follow(way: &Way) {
    assert!(way.keys.len() <= 3);
    let folder = tempfile::tempdir().unwrap();
    let program = scenario(&python(SHOWN).unwrap().path, way.program);
    let mut terminal = top(&program, WIDE, folder.path());
    terminal.wait_until("a finding", |text| text.starts_with("▌!") || text.starts_with("▌?"));
    for key in way.keys {
        terminal.types(key);
    }
    terminal.wait_for(way.shows);
    terminal.types("q");
    assert!(terminal.end().0.success());
}

/// A whole session: the finding, its task, the one that holds the lock, and all the rest.
fn session(python: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let program = scenario(python, "lock_convoy");
    let mut terminal = top(&program, SMALL, folder.path());
    terminal.wait_for(&["[lock-convoy]", "40 tasks queue", "polling"]);
    // The finding, the holder, back, one that waits, and from it to the holder again.
    terminal.types(ENTER);
    terminal.wait_for(&["advice:"]);
    terminal.types(ENTER);
    terminal.wait_for(&["refresh  pending", "# culprit"]);
    terminal.types(ESCAPE);
    terminal.wait_for(&["advice:"]);
    terminal.types(ESCAPE);
    terminal.wait_for(&["WAITS FOR"]);
    terminal.types("1a/get-17");
    terminal.wait_for(&["/get-17", "1 of 42"]);
    terminal.types(&format!("{ENTER}{ENTER}"));
    terminal.wait_for(&["get-17  pending", "held by", "# waiting"]);
    terminal.types(ENTER);
    terminal.wait_for(&["refresh  pending", "# culprit"]);
    terminal.types(&format!("{BACK}{BACK}{BACK}"));
    terminal.wait_until("no filter", |text| text.contains("WAITS FOR") && !text.contains("/get"));
    // The views.
    for (key, shown) in [
        ("2", "▾ Task-1"),
        ("3", "nothing has blocked a loop"),
        ("4", "no request in flight"),
        ("5", "no task was cancelled"),
        ("6", "MainThread"),
    ] {
        terminal.types(key);
        terminal.wait_for(&[shown]);
    }
    terminal.types("?");
    terminal.wait_for(&["Esc closes"]);
    terminal.types(&format!("{ENTER} "));
    terminal.wait_for(&["PAUSED"]);
    terminal.types("p");
    terminal.wait_until("it goes on", |text| !text.contains("PAUSED"));
    terminal.types("+");
    terminal.wait_for(&["20 Hz"]);
    terminal.resize(40, 120);
    terminal.wait_for(&["│", "CPython"]);
    terminal.types("1e");
    terminal.wait_for(&["written to aiospy-"]);
    let exported = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let dump: Value = serde_json::from_slice(&std::fs::read(exported).unwrap()).unwrap();
    check_schema(&dump);
    assert_eq!(dump["findings"][0]["code"], "lock-convoy");
    assert_eq!(dump["process"]["pid"], program.pid());
    terminal.types("q");
    let (status, text) = terminal.end();
    assert!(status.success(), "{text}");
    assert_eq!(text.trim(), "", "nothing is left on the screen");
}

/// A signal, or Ctrl-C as a key, ends it like `q`.
fn signals() {
    let folder = tempfile::tempdir().unwrap();
    let program = scenario(&python(SHOWN).unwrap().path, "deadlock");
    for signal in [Some(Signal::SIGTERM), Some(Signal::SIGINT), None] {
        let mut terminal = top(&program, SMALL, folder.path());
        // Its name is in the path of the program as well.
        terminal.wait_for(&["are deadlocked"]);
        match signal {
            Some(signal) => terminal.signal(signal),
            None => terminal.types("\x03"),
        }
        let (status, text) = terminal.end();
        assert!(status.success(), "{text}");
    }
}

/// A panic leaves the terminal as it was, and is told on it.
fn panics() {
    let folder = tempfile::tempdir().unwrap();
    let program = scenario(&python(SHOWN).unwrap().path, "deadlock");
    let pid = program.pid().to_string();
    let variables = [("AIOSPY_PANIC", "1"), ("RUST_BACKTRACE", "0")];
    let terminal = Terminal::start_with(&["top", &pid], SMALL, folder.path(), &variables);
    let (status, text) = terminal.end();
    assert!(!status.success() && text.contains("asked to panic"), "{text}");
}

/// What was last seen of a process that was killed stays to be looked at.
fn dead_target() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = scenario(&python(SHOWN).unwrap().path, "deadlock");
    let mut terminal = top(&program, SMALL, folder.path());
    // Its name is in the path of the program as well.
    terminal.wait_for(&["are deadlocked"]);
    kill(Pid::from_raw(program.pid()), Signal::SIGKILL).unwrap();
    program.wait();
    terminal.wait_for(&["the process has ended"]);
    terminal.types(&format!("{ENTER}{ENTER}"));
    terminal.wait_for(&["held by"]);
    // The stack is at the end of what is told of it.
    terminal.types("G");
    terminal.wait_for(&["Lock.acquire"]);
    terminal.types("q");
    assert!(terminal.end().0.success());
}

/// Without a process one chooses one.
fn picker() {
    let folder = tempfile::tempdir().unwrap();
    let program = scenario(&python(SHOWN).unwrap().path, "deadlock");
    let mut terminal = Terminal::start(&["top", "--no-mouse"], USUAL, folder.path());
    let pid = program.pid().to_string();
    terminal.wait_for(&["which process?", "Python process"]);
    terminal.types(&format!("/{pid}{ENTER}"));
    terminal.wait_for(&[&pid, "polling", "/deadlock.py"]);
    terminal.types(ENTER);
    terminal.wait_for(&["WAITS FOR", "second", "deadlock"]);
    terminal.types("q");
    assert!(terminal.end().0.success());
}

/// A Python under another name, which has its library in it, is one to choose too.
fn picker_renamed(python: &Python) {
    let folder = open_folder();
    let copied = Copied::new(python, folder.path(), "orders-service");
    let mut command = copied.command();
    command.arg(root().join("tests/programs/scenarios/deadlock.py"));
    let program = Program::spawn(command);
    let mut terminal = Terminal::start(&["top", "--no-mouse"], USUAL, folder.path());
    let pid = program.pid().to_string();
    terminal.wait_for(&["which process?", "Python process"]);
    terminal.types(&format!("/{pid}{ENTER}"));
    terminal.wait_for(&[&pid, "polling", "orders-service"]);
    terminal.types(ENTER);
    terminal.wait_for(&["WAITS FOR", "second", "deadlock"]);
    terminal.types("q");
    assert!(terminal.end().0.success());
}

/// A program can be started with it, and ends with it.
fn command() {
    let folder = tempfile::tempdir().unwrap();
    let python = python(SHOWN).unwrap().path;
    let code = "import asyncio, os, sys\n\
        print('its ' 'output is not on our screen', os.getpid(), flush=True)\n\
        async def napping(): await asyncio.sleep(1000)\n\
        asyncio.run(napping())";
    let arguments = ["top", "--ascii", "--", python.to_str().unwrap(), "-c", code];
    let mut terminal = Terminal::start(&arguments, SMALL, folder.path());
    let text = terminal.wait_for(&["WAITS FOR", "sleep(1000)"]);
    assert!(text.is_ascii() && !text.contains("its output"), "{text}");
    let identity = text.lines().nth(1).unwrap();
    let pid: i32 = identity.split_whitespace().next().unwrap().parse().unwrap();
    terminal.types("q");
    let (status, text) = terminal.end();
    assert!(status.success(), "{text}");
    let log = text.split_once("what the program wrote: ").unwrap().1.trim();
    let log = log.replace('\n', "");
    let written = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert!(written.contains(&format!("not on our screen {pid}")), "{written}");
    assert!(kill(Pid::from_raw(pid), None).is_err(), "it goes on");
}

/// Without a terminal one line names what to use instead.
fn no_terminal() {
    for arguments in [&["top", "4711"][..], &["top"]] {
        let output = aiospy(arguments);
        let (stdout, stderr) = texts(&output);
        assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""));
        let pid = arguments.get(1).unwrap_or(&"PID");
        assert_eq!(
            stderr,
            format!("aiospy: top needs a terminal; aiospy dump {pid} prints a report\n")
        );
    }
}

/// The screen that docs/top.md shows is one of today.
fn shown() {
    let python = python(SHOWN).unwrap().path;
    let output = aiospy(&["demo", "service", "--keep", "--python", python.to_str().unwrap()]);
    let (_, stderr) = texts(&output);
    let pid = stderr.split_once("to end it: kill ").unwrap().1.lines().next().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(&["top", &pid], (32, 116), folder.path());
    let screen = terminal.wait_for(&[
        "]  for 3 s",
        // A frame is there in pieces: what moves may be nowhere for a moment.
        "1  refresh-prices",
        "1  audit-log",
        "1  main",
        "Enter open",
    ]);
    terminal.types("q");
    assert!(terminal.end().0.success());
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGTERM).unwrap();
    let source = stderr.split_once("its source: ").unwrap().1.lines().next().unwrap();
    let _ = std::fs::remove_dir_all(Path::new(source).parent().unwrap());

    let lines: Vec<&str> = screen.lines().map(str::trim_end).collect();
    let now = format!("{pid}\n{}\n", lines.join("\n"));
    hold_shown("docs/top.md", "$ aiospy top ", &now, outline);
}

/// What is the same on every run: the findings, the views, the work by name.
fn outline(screen: &str) -> Vec<String> {
    let rows = screen.lines().map(|line| line.split('│').next().unwrap());
    let is_same = |line: &&str| {
        let is_of_machine = line.contains(" loop ") || line.trim_start().starts_with("waits ");
        !line.trim().is_empty() && !line.starts_with(" Enter") && !is_of_machine
    };
    // Ports and counts of samples are others.
    let words = |line: &str| {
        let words = line.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        words.chars().filter(|letter| !letter.is_ascii_digit()).collect()
    };
    let rows = rows.filter(is_same);
    rows.map(|line| words(line.trim_start_matches(['▌', '▏', ' ', '!']))).collect()
}
