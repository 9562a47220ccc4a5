//! What cannot be dumped: one line of cause, one of remedy, the right exit code.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use aiospy::{Error, Inspector, Options};
use libtest_mimic::Trial;
use serde_json::Value;

use super::situation::{
    AIOSPY, Copied, ElfImage, NOBODY, Need, copied_tool, copy_executable, in_namespaces, innermost,
    open_folder, parked, tool_as_nobody, tool_without, unused_pid,
};
use super::support::{self, Program, Python, check_schema, texts};
use super::{once, per_version, per_version_with};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    once(trials, "errors::no_such_process", &[], no_such_process);
    once(trials, "errors::not_python", &[], not_python);
    once(trials, "errors::misnamed", &[], misnamed);
    once(trials, "errors::odd_executable", &[], odd_executable);
    // In a container there is none to be seen.
    if std::fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n") {
        once(trials, "errors::kernel_thread", &[], kernel_thread);
    }
    once(trials, "errors::no_proc", &[Need::Namespaces], no_proc);
    once(trials, "errors::ambiguous_id", &[Need::Namespaces], ambiguous_id);
    let needs = &[Need::Namespaces, Need::Tool("setpriv")];
    once(trials, "errors::hidden_process", needs, hidden_process);
    once(trials, "errors::other_user_namespace", needs, other_user_namespace);
    once(trials, "errors::protected", needs, protected);
    for version in ["2.7", "3.6", "3.7"] {
        let run = move || old_python(version);
        let found = support::old_python(version);
        if found.is_some() || support::is_strict() && version != "3.6" {
            once(trials, &format!("errors::too_old::{version}"), &[], run);
        }
    }
    let all = |_: &str, _: Option<&Python>| true;
    per_version_with(trials, "errors::not_permitted", needs, all, not_permitted);
    let unsupported = |minor| minor >= 13;
    per_version(trials, "errors::unsupported_table", unsupported, unsupported_table);
    per_version(trials, "errors::no_asyncio", |_| true, no_asyncio);
    per_version(trials, "errors::starting", |_| true, starting);
    per_version(trials, "errors::starting::library", |_| true, starting_library);
    per_version(trials, "errors::ending", |_| true, ending);
    per_version(trials, "errors::gone", |_| true, gone);
    for how in ["exit", "kill", "clean", "crash", "exec"] {
        let leaving = move |python: &Python| leaving(python, how);
        per_version(trials, &format!("errors::leaving::{how}"), |_| true, leaving);
    }
}

/// What the tool says when it cannot dump a process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    /// What was refused, and the facts behind that.
    cause: String,
    facts: Option<String>,
    remedy: String,
}

impl Refusal {
    fn assert_says(&self, cause: &str, remedy: &str) {
        let is_said = self.cause.contains(cause)
            || self.facts.as_ref().is_some_and(|facts| facts.contains(cause));
        assert!(is_said, "{cause:?} is not in {self:?}");
        assert!(self.remedy.contains(remedy), "{remedy:?} is not in {self:?}");
    }
}

/// The words of an answer that has to be a clean error.
fn refusal(output: &Output) -> Refusal {
    let (stdout, stderr) = texts(output);
    let all = format!("{}\n{stderr}\n{stdout}", output.status);
    assert_eq!(output.status.code(), Some(1), "{all}");
    for word in ["panicked", "RUST_BACKTRACE", "0 tasks", "\"tasks\""] {
        assert!(!all.contains(word), "{word} in {all}");
    }
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("note: ")).collect();
    let (cause, facts, remedy) = match lines[..] {
        [cause, remedy] => (cause, None, remedy),
        [cause, facts, remedy] => (cause, facts.strip_prefix("  ").map(str::to_owned), remedy),
        _ => panic!("not two or three lines: {all}"),
    };
    let (cause, remedy) = (cause.strip_prefix("aiospy: "), remedy.strip_prefix("  try: "));
    let plain = |line: Option<&str>| line.filter(|line| !line.is_empty()).map(str::to_owned);
    match (plain(cause), plain(remedy)) {
        (Some(cause), Some(remedy)) => Refusal { cause, facts, remedy },
        _ => panic!("no cause or no remedy: {all}"),
    }
}

fn answer(tool: impl Fn() -> Command, arguments: &[&str], pid: i32) -> Output {
    let mut tool = tool();
    tool.args(arguments).arg(pid.to_string()).stdin(Stdio::null()).env("RUST_BACKTRACE", "1");
    tool.output().unwrap()
}

fn aiospy() -> Command {
    Command::new(AIOSPY)
}

/// What each command says of a process that cannot be dumped: the same cause and remedy.
fn refused(pid: i32) -> Refusal {
    refused_by(aiospy, pid)
}

fn refused_by(tool: impl Fn() -> Command, pid: i32) -> Refusal {
    let text = answer(&tool, &["dump"], pid);
    let refused = refusal(&text);
    let json = answer(&tool, &["dump", "--json"], pid);
    let as_json = refusal(&json);
    assert_eq!((&as_json.cause, &as_json.facts), (&refused.cause, &refused.facts));
    if !json.stdout.is_empty() {
        // Threads, where there is a Python whose tasks are not to be had.
        let document: Value = serde_json::from_slice(&json.stdout).unwrap();
        check_schema(&document);
        assert_eq!(document["problems"][0]["wanted"], "asyncio tasks", "{document}");
        assert!(document.get("tasks").is_none() && document.get("loops").is_none(), "{document}");
    }
    assert_eq!(json.stdout.is_empty(), text.stdout.is_empty());
    let doctor = answer(&tool, &["doctor", "--json"], pid);
    assert_eq!(doctor.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let failed = document["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(failed["cause"], refused.cause, "{document}");
    assert_eq!(failed.get("facts").and_then(Value::as_str), refused.facts.as_deref());
    // It is this very command that is to be tried again.
    let again = refused.remedy.replace(" dump ", " doctor --json ");
    assert!([&refused.remedy, &again].iter().any(|it| failed["remedy"] == **it), "{document}");
    refused
}

fn no_such_process() {
    let pid = unused_pid();
    refused(pid).assert_says(&format!("no process {pid}"), "aiospy ps");
    let mut zombie = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    // Its output ends when it does, but nobody has asked for its exit code.
    std::io::copy(zombie.stdout.as_mut().unwrap(), &mut std::io::sink()).unwrap();
    let pid = i32::try_from(zombie.id()).unwrap();
    let id = nix::sys::wait::Id::Pid(nix::unistd::Pid::from_raw(pid));
    let flags = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
    nix::sys::wait::waitid(id, flags).unwrap();
    refused(pid).assert_says(&format!("process {pid} ended"), "aiospy ps");
    zombie.wait().unwrap();
}

/// A process that is no Python, kept until dropped: a shell that has become another one before it
/// says that it is ready, so that no `exec` is under way any more.
fn bystander(mut command: Command) -> Program {
    command.args(["-c", "exec sh -c 'echo READY; read line'"]);
    Program::spawn(command)
}

fn not_python() {
    let shell = bystander(Command::new("sh"));
    refused(shell.pid()).assert_says("is not a Python process", "aiospy ps");
}

/// What is called like a Python need not be one.
fn misnamed() {
    let folder = open_folder();
    let program = folder.path().join("python3.12");
    copy_executable(Path::new("/bin/sh"), &program);
    let shell = bystander(Command::new(program));
    // The shell has become another program; it is that one which is looked at.
    let shown = std::fs::canonicalize("/bin/sh").unwrap();
    let shown = shown.file_name().unwrap().display();
    let shown = format!("({shown}) is not a Python process");
    refused(shell.pid()).assert_says(&shown, "aiospy ps");
    let mut command = Command::new(folder.path().join("python3.12"));
    command.args(["-c", "echo READY; read line"]);
    let shell = Program::spawn(command);
    refused(shell.pid()).assert_says("runtime of process", "aiospy doctor");
}

/// The name of an executable comes from the target and must not break the two lines.
fn odd_executable() {
    let folder = open_folder();
    let program = folder.path().join(OsStr::from_bytes(b"a\nb\r\x1b[31mc\xff"));
    copy_executable(Path::new("/bin/sh"), &program);
    let mut command = Command::new(&program);
    command.args(["-c", "echo READY; read line"]);
    let program = Program::spawn(command);
    let refused = refusal(&answer(aiospy, &["dump"], program.pid()));
    refused.assert_says("is not a Python process", "aiospy ps");
    assert!(!refused.cause.contains('\x1b'));
}

/// The first kernel thread, which starts the others.
fn kernel_thread() {
    refused(2).assert_says("[kthreadd]", "aiospy ps");
}

fn no_proc() {
    let without = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c"]);
        command.args([r#"mount -t tmpfs none /proc && exec "$@""#, "sh", AIOSPY]);
        command
    };
    refused_by(without, 1).assert_says("/proc", "mounting /proc");
}

/// `/proc` with the option `hidepid`: others' processes are there, but not to be seen.
fn hidden_process() {
    let folder = open_folder();
    let tool = copied_tool(folder.path());
    let hidden = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c"]);
        command.args([r#"mount -t proc -o hidepid=2 proc /proc && exec "$@""#, "sh", "setpriv"]);
        let nobody = NOBODY.to_string();
        command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "--"]);
        command.arg(&tool);
        command
    };
    let own = i32::try_from(std::process::id()).unwrap();
    refused_by(hidden, own).assert_says("mounted with hidepid", "sudo aiospy");
    let pid = unused_pid();
    refused_by(hidden, pid).assert_says(&format!("no process {pid}"), "aiospy ps");
}

/// An id that two containers have given away.
fn ambiguous_id() {
    let own = unused_pid();
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo READY; read line"]);
    let programs = [(); 2].map(|()| Program::spawn(in_namespaces(&[], own, &shell)));
    refused(own).assert_says(&format!("no process {own}"), "aiospy ps");
    let [mut first, second] = programs;
    first.end();
    // Now it is clear which one is meant.
    let output = answer(aiospy, &["dump"], own);
    let pid = innermost(second.pid());
    refusal(&output).assert_says(&format!("process {pid}"), "aiospy ps");
    let (_, stderr) = texts(&output);
    let note = format!("note: {own} is process {pid}'s id in its own pid namespace");
    assert_eq!(stderr.lines().next(), Some(&*note));
}

fn old_python(version: &str) {
    let path = support::old_python(version).expect("an old Python: run scripts/pythons");
    let program = Program::start::<&str>(&path, "plain.py", &[]);
    let refused = refused(program.pid());
    refused.assert_says(&format!("runs CPython {version}"), "the stacks of its threads");
    let (stdout, _) = texts(&answer(aiospy, &["dump"], program.pid()));
    assert!(stdout.contains("inner  ") && stdout.contains("plain.py:"), "{stdout}");
}

/// No right to read: another user's process, and more capabilities than we have.
fn not_permitted(python: &Python) {
    let folder = open_folder();
    let tool = copied_tool(folder.path());
    let program = Program::spawn(parked(Command::new(&python.path), 0));
    let pid = program.pid();
    let not_permitted = format!("can't read process {pid}");

    let refused = refused_by(|| tool_as_nobody(&tool), pid);
    refused.assert_says(&not_permitted, "sudo aiospy");
    let uids = "it runs as uid 0, aiospy as uid 65534 without CAP_SYS_PTRACE";
    refused.assert_says(uids, &format!("sudo aiospy dump {pid} (in a pod: kubectl debug"));

    let refused = refused_by(|| tool_without(&["sys_ptrace"], AIOSPY), pid);
    refused.assert_says(&not_permitted, "SYS_PTRACE");
    refused.assert_says("capabilities that aiospy lacks (sys_ptrace)", "--cap-add");
    assert!(!refused.remedy.contains("sudo"), "we are root: {refused:?}");
}

/// Root of a user namespace is nobody outside of it.
fn other_user_namespace() {
    let tool = || {
        let mut tool = Command::new("unshare");
        tool.args(["--user", "--map-root-user", "--", AIOSPY]);
        tool
    };
    let shell = bystander(Command::new("sh"));
    let refused = refused_by(tool, shell.pid());
    refused.assert_says("it lives in another user namespace", "as root on the host");
}

/// A process of the same user that has asked not to be looked into, as it is after a change of
/// user without a new program.
fn protected() {
    const CHANGE_USER: &str = "import os, sys; os.setgroups([]); os.setresgid(*[65534] * 3); \
        os.setresuid(*[65534] * 3); print('READY', flush=True); sys.stdin.read()";
    let folder = open_folder();
    let tool = copied_tool(folder.path());
    let python = support::VERSIONS.iter().find_map(|version| support::python(version)).unwrap();
    let mut command = Command::new(&python.path);
    command.args(["-c", CHANGE_USER]);
    let program = Program::spawn(command);
    let refused = refused_by(|| tool_as_nobody(&tool), program.pid());
    refused.assert_says("asked not to be dumped, or changed its user", "sudo aiospy");
    // The administrator may.
    self::refused(program.pid()).assert_says("has not imported asyncio", "thread stacks");
}

/// What a Python says of itself decides: a free-threaded one is not read as another one, and a table
/// that cannot be right is not used.
fn unsupported_table(python: &Python) {
    let folder = open_folder();
    for (word, value, cause) in [
        (2, 1, "free-threaded is not supported"),
        // runtime_state.interpreters_head
        (
            5,
            1 << 40,
            "its own table of offsets has an unbelievable runtime_state.interpreters_head",
        ),
        // Not a version of Python 3.
        (1, 0x0407_00f0, "Python 4.7.0 is not supported"),
    ] {
        let copied = Copied::new(python, folder.path(), "python");
        let mut image = ElfImage::read(copied.runtime());
        image.set_runtime_word(word, value);
        image.write();
        let program = Program::spawn(parked(copied.command(), 0));
        copied.assert_used_by(program.pid());
        refused(program.pid()).assert_says(cause, "newer aiospy");
    }
}

/// A Python that has not heard of asyncio: its threads are shown, its tasks are not "none".
fn no_asyncio(python: &Python) {
    let program = Program::start::<&str>(&python.path, "plain.py", &[]);
    refused(program.pid()).assert_says("has not imported asyncio", "thread stacks");
    let (stdout, _) = texts(&answer(aiospy, &["dump"], program.pid()));
    assert!(stdout.contains("inner  "), "{stdout}");
}

/// Asked again and again from the moment it is there until it has tasks.
fn starting(python: &Python) {
    let mut program = Program::launch(parked(Command::new(&python.path), 0));
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let output = answer(aiospy, &["dump", "--json"], program.pid());
        if output.status.success() {
            let dump: Value = serde_json::from_slice(&output.stdout).unwrap();
            check_schema(&dump);
            break;
        }
        let refused = refusal(&output);
        assert_plausible_start(&refused.cause);
        assert!(Instant::now() < until, "{refused:?}");
    }
    program.wait_ready();
    super::situation::assert_dump(python, &program);
}

/// The same without the time that a process takes to start, some thousand times.
fn starting_library(python: &Python) {
    let program = Program::launch(parked(Command::new(&python.path), 0));
    let until = Instant::now() + Duration::from_secs(60);
    let mut seen = BTreeSet::new();
    loop {
        let attached = Inspector::attach(program.pid());
        match attached.and_then(|mut inspector| inspector.snapshot(&Options::default())) {
            Ok(snapshot) if snapshot.tasks.len() == 11 && snapshot.problems.is_empty() => break,
            Ok(_) => {}
            Err(error) => {
                assert_plausible_start(&error.to_string());
                seen.insert(error.to_string());
            }
        }
        assert!(Instant::now() < until, "{seen:?}");
    }
    assert!(!seen.is_empty());
}

fn assert_plausible_start(cause: &str) {
    let expected = ["is not a Python process", "is starting", "has not imported asyncio", "ended"];
    assert!(expected.iter().any(|word| cause.contains(word)), "{cause}");
}

/// Held at a moment of its shutdown.
fn ending(python: &Python) {
    let program = Program::start(&python.path, "ending.py", &["atexit"]);
    let dump = support::dump(program.pid(), &[]);
    assert_eq!(dump["problems"], serde_json::json!([]));
    let names: BTreeSet<_> = dump["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, BTreeSet::from(["left-0", "left-1", "left-2"]));
    for moment in ["main", "builtins", "exit"] {
        let program = Program::start(&python.path, "ending.py", &[moment]);
        refused(program.pid()).assert_says("is ending", "earlier");
    }
}

/// Processes that go away at any moment of being looked at.
fn leaving(python: &Python, how: &str) {
    const TIMES: u32 = 20;
    let mut parent = Program::start::<&str>(&python.path, "leaving.py", &[]);
    // A target that stays, and how long it takes to look at it.
    let (pid, tasks) = depart(&mut parent, "stay", Duration::ZERO);
    let began = Instant::now();
    assert_eq!(ids(&support::dump(pid, &[])), tasks);
    let takes = began.elapsed();
    command(&mut parent, "reap");
    for i in 0..TIMES {
        let (pid, tasks) = depart(&mut parent, how, takes * i / (TIMES - 1));
        let output = answer(aiospy, &["dump", "--json"], pid);
        if output.status.success() {
            let dump: Value = serde_json::from_slice(&output.stdout).unwrap();
            check_schema(&dump);
            // These end from one moment to the next; the others cancel their tasks first.
            if ["exit", "kill", "exec"].contains(&how) {
                assert_eq!(dump["problems"], serde_json::json!([]));
                assert_eq!(ids(&dump), tasks);
            }
        } else {
            let refused = refusal(&output);
            let expected = match how {
                "exec" => &["ended", "is starting", "has not imported asyncio"][..],
                _ => &["ended", "is ending"],
            };
            assert!(expected.iter().any(|word| refused.cause.contains(word)), "{refused:?}");
        }
        if how != "exec" {
            // Still there, as nobody has asked for its exit code yet.
            command(&mut parent, "ended");
        }
        if how != "exec" && i == 0 {
            refused(pid).assert_says(&format!("process {pid} ended"), "aiospy ps");
        }
        command(&mut parent, "reap");
    }
}

/// An attached tool notices that its target has ended, or has become another program.
fn gone(python: &Python) {
    for how in ["kill", "exit", "exec"] {
        let mut program = Program::start(&python.path, "exiting.py", &["--how", how]);
        let mut inspector = Inspector::attach(program.pid()).unwrap();
        let snapshot = inspector.snapshot(&Options::default()).unwrap();
        assert_eq!(snapshot.tasks.len(), 101);
        program.say("go");
        if how == "exec" {
            program.wait_ready();
        } else {
            program.wait();
        }
        let error = inspector.snapshot(&Options::default()).unwrap_err();
        assert!(matches!(error, Error::TargetGone { pid } if pid == program.pid()), "{error:?}");
    }
}

/// Has a child started that leaves after `delay`; gives its pid and how many tasks it has.
fn depart(parent: &mut Program, how: &str, delay: Duration) -> (i32, usize) {
    parent.say(&format!("{how} {}", delay.as_micros()));
    parent.wait_ready();
    let number = |name: &str| parent.truth[name].as_i64().unwrap();
    (i32::try_from(number("pid")).unwrap(), usize::try_from(number("tasks")).unwrap())
}

/// Says a word that is answered when it is done.
fn command(parent: &mut Program, word: &str) {
    parent.say(word);
    assert_eq!(parent.line(), format!("[\"{word}\"]"));
}

/// How many tasks there are, each once.
fn ids(dump: &Value) -> usize {
    let tasks = dump["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["id"].as_str().unwrap()).collect::<BTreeSet<_>>().len()
}
