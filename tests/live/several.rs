//! Several processes that are read at once and judged as one, and the list of all of them.

use std::process::{Command, Output, Stdio};

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::situation::{AIOSPY, Need, tool_without};
use super::support::{
    Program, Python, aiospy, check_ps_schema, check_schema, check_stop_schema,
    check_summary_schema, check_watch_schema, root, texts,
};
use super::terminal::Terminal;
use super::{per_version, per_version_with};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "several::healthy", |_| true, healthy);
    for kind in ["spawn", "forkserver"] {
        let name = format!("several::healthy::{kind}");
        per_version(trials, &name, |_| true, move |python| started(python, kind));
    }
    per_version(trials, "several::hung", |_| true, hung);
    per_version(trials, "several::coming", |_| true, coming);
    let needs = &[Need::Tool("setpriv"), Need::Namespaces];
    per_version_with(trials, "several::refusing", needs, |_, _| true, refusing);
    per_version(trials, "several::by_id", |_| true, by_id);
    per_version(trials, "several::launcher", |_| true, launcher);
    per_version(trials, "several::listed", |_| true, listed);
    per_version(trials, "several::watched", |_| true, watched);
    per_version(trials, "several::recorded", |_| true, recorded);
    per_version(trials, "several::stopped", |_| true, stopped);
    per_version(trials, "several::on_screen", |minor| minor >= 11, on_screen);
}

fn master(python: &Python, kind: &str) -> Program {
    Program::start(&python.path, "master.py", &[kind])
}

fn child(program: &Program, name: &str) -> i64 {
    program.truth["children"][name].as_i64().unwrap()
}

/// The document of several processes, held against the schema.
fn summary(output: &Output) -> Value {
    let (stdout, stderr) = texts(output);
    let summary: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stderr}"));
    check_summary_schema(&summary);
    summary
}

fn pids(summary: &Value) -> Vec<i64> {
    let all = summary["processes"].as_array().unwrap().iter();
    all.map(|it| it["process"]["pid"].as_i64().unwrap()).collect()
}

/// Without anything wrong there is one line, and a probe passes.
fn healthy(python: &Python) {
    let program = master(python, "fork");
    let pid = program.pid().to_string();
    let output = aiospy(&["check", "-s", &pid]);
    let said = "2 tasks, 2 loops in 4 processes: none is stuck, no loop is blocked";
    let said = format!("ok: {said}\n");
    assert_eq!((output.status.code(), texts(&output)), (Some(0), (said, String::new())));
    let output = aiospy(&["check", "-s", "--json", &pid]);
    let summary = summary(&output);
    assert_eq!((output.status.code(), &summary["verdict"]["level"]), (Some(0), &"ok".into()));
    let mut all = vec![i64::from(program.pid())];
    all.extend(["first", "second", "idle"].map(|name| child(&program, name)));
    all.sort_unstable();
    let mut read = pids(&summary);
    read.sort_unstable();
    assert_eq!(read, all);
    let (stdout, _) = texts(&aiospy(&["dump", "-s", &pid]));
    let verdict = "ok 2 tasks, 2 loops in 4 processes: none is stuck, no loop is blocked";
    assert_eq!((stdout.lines().next(), stdout.lines().last()), (Some(verdict), Some(verdict)));
    for name in ["first", "second"] {
        let row = stdout.lines().find(|it| it.contains(&format!(" {} ", child(&program, name))));
        assert!(row.unwrap().starts_with("ok "), "{stdout}");
    }
}

/// However the children were started, and whoever helps with that.
fn started(python: &Python, kind: &str) {
    let program = master(python, kind);
    let output = aiospy(&["check", "-s", &program.pid().to_string()]);
    let (stdout, stderr) = texts(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.starts_with("ok: 2 tasks, 2 loops in "), "{stdout}");
}

/// One that hangs is found, with its process and its line.
fn hung(python: &Python) {
    let program = master(python, "hung");
    let (pid, hung) = (program.pid().to_string(), child(&program, "first"));
    let source = std::fs::read_to_string(root().join("tests/programs/master.py")).unwrap();
    let line = source.lines().position(|line| line.ends_with("# blocked")).unwrap() + 1;
    let output = aiospy(&["check", "-s", &pid]);
    let (stdout, stderr) = texts(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(3), ""), "{stdout}");
    let [said, verdict] = &stdout.lines().collect::<Vec<_>>()[..] else { panic!("{stdout}") };
    // A second is critical; it need not have passed.
    assert!(said.contains(&format!(": process {hung}: ")), "{said}");
    assert!(said.ends_with(&format!("master.py:{line} [loop-blocked]")), "{said}");
    assert!(verdict.contains(&format!(": process {hung}: ")), "{verdict}");
    for command in ["check", "dump"] {
        let output = aiospy(&[command, "-s", "--json=full", &pid]);
        let summary = summary(&output);
        let code = if command == "check" { 3 } else { 0 };
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(summary["verdict"]["exit_code"], code, "{summary}");
        let level = summary["verdict"]["level"].as_str().unwrap();
        assert!(["warning", "critical"].contains(&level), "{summary}");
        let findings = summary["findings"].as_array().unwrap();
        assert_eq!((findings.len(), &findings[0]["pid"]), (1, &hung.into()), "{summary}");
        assert_eq!(findings[0]["place"]["line"], line, "{summary}");
        // Each has a result of its own.
        for process in summary["processes"].as_array().unwrap() {
            check_schema(process);
            let is_hung = process["process"]["pid"] == hung;
            let verdict = process["verdict"].as_str().unwrap();
            let has_loops = process["process"]["pid"] != program.pid();
            let expected = match (has_loops, is_hung) {
                (_, true) => "findings",
                (true, _) => "ok",
                _ => "undecided",
            };
            assert_eq!(verdict, expected, "{process}");
        }
    }
    let (stdout, _) = texts(&aiospy(&["dump", "-s", &pid]));
    assert!(stdout.lines().next().unwrap().contains(&format!(" process {hung}: ")), "{stdout}");
    let row = stdout.lines().find(|it| it.contains(&format!("  {hung}  "))).unwrap();
    assert!(row.contains("BLOCKED"), "{stdout}");
    // A probe that asks for nothing passes.
    let output = aiospy(&["check", "-s", "--fail-on", "never", &pid]);
    assert_eq!(output.status.code(), Some(0));
}

/// Processes that end while they are read change nothing for the others.
fn coming(python: &Python) {
    let program = master(python, "coming");
    let pid = program.pid().to_string();
    for _ in 0..5 {
        let output = aiospy(&["check", "-s", &pid]);
        let (stdout, stderr) = texts(&output);
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
        assert!(stdout.starts_with("ok: ") && stdout.lines().count() == 1, "{stdout}");
        // The master does not hold still; its children are all there.
        let output = aiospy(&["dump", "-s", "--json", &pid]);
        let read = pids(&summary(&output));
        for name in ["first", "second", "idle"] {
            assert!(read.contains(&child(&program, name)), "{name}: {read:?}");
        }
    }
}

/// One that may not be read changes nothing for the others, and nobody says that it is well.
fn refusing(python: &Python) {
    let mut command = tool_without(&["sys_ptrace"], &python.path);
    command.arg(root().join("tests/programs/master.py")).arg("refusing");
    let program = Program::spawn(command);
    let (pid, refused) = (program.pid().to_string(), child(&program, "idle"));
    let run = |arguments: &[&str]| {
        let mut tool = tool_without(&["sys_ptrace"], AIOSPY);
        tool.args(arguments).stdin(Stdio::null()).output().unwrap()
    };
    let output = run(&["check", "-s", &pid]);
    let said = format!("undecided: 1 process could not be read: {refused} (");
    let (stdout, stderr) = texts(&output);
    assert!(stdout.starts_with(&said), "{stdout}");
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    let output = run(&["check", "-s", "--json", &pid]);
    let summary = summary(&output);
    assert_eq!(summary["verdict"]["level"], "undecided", "{summary}");
    for process in summary["processes"].as_array().unwrap() {
        let is_refused = process["process"]["pid"] == refused;
        assert_eq!(process.get("unread").is_some(), is_refused, "{process}");
        if is_refused {
            assert_eq!(process["unread"]["reason"], "not-permitted", "{process}");
        }
    }
    let (stdout, _) = texts(&run(&["dump", "-s", &pid]));
    let row = stdout.lines().find(|it| it.starts_with(&format!("x   {refused}  "))).unwrap();
    assert!(row.ends_with("  not permitted"), "{stdout}");
    assert!(stdout.contains(" · 1 unreadable · "), "{stdout}");
    // Whoever asks for it by its id wants it.
    let first = child(&program, "first").to_string();
    let output = run(&["check", &first, &refused.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let (_, stderr) = texts(&output);
    assert!(stderr.starts_with(&format!("aiospy: can't read process {refused} (")), "{stderr}");
    let document = ps(&run(&["ps", "--json", "--name", "master.py refusing"]));
    let row = row_of(&document, refused);
    assert_eq!((&row["unread"]["reason"], row.get("tasks")), (&"not-permitted".into(), None));
}

/// Several ids are judged as one, each of which has to be there.
fn by_id(python: &Python) {
    let program = master(python, "hung");
    let [hung, second, third] = ["first", "second", "idle"].map(|name| child(&program, name));
    let [hung, second, third] = [hung, second, third].map(|pid| pid.to_string());
    let output = aiospy(&["check", &second, &third]);
    let said =
        "ok: 2 tasks, 2 loops in 2 processes: none is stuck, no loop is blocked\n".to_owned();
    assert_eq!((output.status.code(), texts(&output)), (Some(0), (said, String::new())));
    assert_eq!(aiospy(&["check", &second, &hung, &third]).status.code(), Some(3));
    let gone = i32::MAX.to_string();
    let output = aiospy(&["check", &second, &gone]);
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stderr.starts_with(&format!("aiospy: no process {gone}\n  try: ")), "{stderr}");
    // A finding comes before that.
    assert_eq!(aiospy(&["check", &gone, &hung]).status.code(), Some(3));
    // By its name: the master, and what it has started only with -s.
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("named-master.py");
    std::fs::copy(root().join("tests/programs/master.py"), &name).unwrap();
    std::fs::copy(root().join("tests/programs/common.py"), folder.path().join("common.py"))
        .unwrap();
    let mut command = Command::new(&python.path);
    command.arg("-B").arg(&name).arg("hung");
    let named = Program::spawn(command);
    let pattern = format!("{}.*hung", folder.path().display());
    let output = aiospy(&["check", "--json", "-s", "--name", &pattern]);
    let by_name = summary(&output);
    assert_eq!(by_name["findings"][0]["pid"], child(&named, "first"), "{by_name}");
    assert_eq!((output.status.code(), pids(&by_name)[0]), (Some(3), i64::from(named.pid())));
    let output = aiospy(&["check", "--json", "--all", "--name", &pattern]);
    assert_eq!(pids(&summary(&output)).len(), 4);
}

/// A shell above them says nothing itself.
fn launcher(python: &Python) {
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3<&0; \"$@\" <&3; true", "sh"]).arg(&python.path);
    command.arg(root().join("tests/programs/master.py")).arg("hung");
    let program = Program::spawn(command);
    let pid = program.pid().to_string();
    let output = aiospy(&["check", "-s", "--json", &pid]);
    let summary = summary(&output);
    assert_eq!((output.status.code(), pids(&summary).len()), (Some(3), 4), "{summary}");
    assert!(!pids(&summary).contains(&i64::from(program.pid())), "{summary}");
    assert_eq!(summary["findings"][0]["pid"], child(&program, "first"));
}

/// Those below a process are watched with it, and each line says whose it is.
fn watched(python: &Python) {
    let program = master(python, "hung");
    let hung = child(&program, "first");
    let watch = |more: &[&str]| {
        let pid = program.pid().to_string();
        aiospy(
            &[&["watch", "-s", &pid, "--duration", "4s", "--fail-on", "warning"][..], more]
                .concat(),
        )
    };
    let output = watch(&[]);
    let (stdout, stderr) = texts(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(3), ""), "{stdout}");
    let lines: Vec<Value> = stdout.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    lines.iter().for_each(check_watch_schema);
    let of = |event: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["event"] == event).map(|line| &line["pid"]).collect()
    };
    let all = ["first", "second", "idle"].map(|name| child(&program, name));
    for event in ["start", "end"] {
        let pids = of(event);
        assert!(all.iter().all(|pid| pids.contains(&&Value::from(*pid))), "{event}: {stdout}");
    }
    assert_eq!(of("finding-opened"), [hung], "{stdout}");
    let (stdout, _) = texts(&watch(&["--text"]));
    let opened = stdout.lines().find(|line| line.contains("[loop-blocked]")).unwrap();
    assert!(opened.contains(&format!("{hung:>7}  opened ")), "{stdout}");
}

/// Each of several has a recording of its own, which other commands take as any.
fn recorded(python: &Python) {
    let program = master(python, "hung");
    let (pid, hung) = (program.pid().to_string(), child(&program, "first"));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let record = |more: &[&str]| {
        let output =
            aiospy(&[&["record", "-s", &pid, "--duration", "2s", "-r", "80"][..], more].concat());
        let (_, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        stderr
    };
    let said = record(&["-o", &path("all.aiospy")]);
    let all = ["first", "second", "idle"].map(|name| child(&program, name));
    for pid in all {
        let file = path(&format!("all-{pid}.aiospy"));
        let line = said.lines().find(|line| line.contains(&file)).unwrap();
        assert!(line.starts_with(&format!("process {pid}: ")), "{said}");
        let output = aiospy(&["export", &file, "-f", "collapsed", "-o", "-"]);
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success() && stdout.contains("<task Task-*>"), "{stderr}");
        let (stdout, _) = texts(&aiospy(&["diff", &file]));
        let is_hung = stdout.contains("loop-blocked");
        assert_eq!(is_hung, pid == hung, "{stdout}");
        let mut terminal = Terminal::start(&["replay", &file], (24, 120), folder.path());
        terminal.wait_for(&["RECORDING", "sample 1 of", " main "]);
        terminal.types("q");
        assert!(terminal.end().0.success());
    }
    assert!(said.ends_with(" -f html\n") && said.matches("see it with").count() == 1, "{said}");
    // What is written at once is a file for each, too.
    record(&["-o", &path("all.collapsed")]);
    for pid in all {
        let stacks = std::fs::read_to_string(path(&format!("all-{pid}.collapsed"))).unwrap();
        assert!(stacks.contains("<task Task-*>"), "{stacks}");
    }
    let output = aiospy(&["record", "-s", &pid, "-f", "collapsed", "-o", "-"]);
    assert_eq!(output.status.code(), Some(2), "{}", texts(&output).1);
}

/// On the screen each has a row, also one that ends or comes meanwhile.
fn on_screen(python: &Python) {
    let folder = tempfile::tempdir().unwrap();
    let program = master(python, "blocked");
    let pid = program.pid().to_string();
    let [first, second, healthy] = ["first", "second", "idle"].map(|name| child(&program, name));
    let mut terminal = Terminal::start(&["top", "-s", &pid], (40, 120), folder.path());
    let row = |text: &str, pid: i64| {
        let rows = text.split("─ Processes").nth(1).unwrap_or_default().lines().skip(1);
        let row = rows.into_iter().find(|line| line.contains(&format!(" {pid} ")));
        row.unwrap_or_default().to_owned()
    };
    terminal.wait_for(&[&format!("processes {first} and {second}: "), "─ Processes 4 ─"]);
    terminal.wait_until("all rows", |text| {
        let blocked = [first, second].map(|pid| row(text, pid));
        let is_blocked = |it: &String| it.contains("!! ") && it.contains("BLOCKED");
        blocked.iter().all(is_blocked) && row(text, healthy).starts_with(" ok ")
    });
    // The one of those that hang which did so first is shown, and the one that is well after both.
    terminal.types("/Task-1\r");
    let text = terminal.wait_for(&["/Task-1 · 1 of 1"]);
    let is_shown = |pid: &i64| text.contains(&format!("· {pid} ·"));
    let shown = [first, second].iter().position(is_shown).unwrap();
    terminal.types(&">".repeat(2 - shown));
    terminal.wait_until("another", |text| text.contains(&format!("· {healthy} ·")));
    terminal.wait_for(&["pending", "polling"]);
    terminal.types("<");
    terminal.wait_for(&[&format!("· {second} ·")]);
    kill(Pid::from_raw(i32::try_from(first).unwrap()), Signal::SIGKILL).unwrap();
    terminal.wait_until("its end", |text| row(text, first).contains(" ended "));
    terminal.wait_for(&[&format!("process {second}: ")]);
    terminal.types("q");
    assert!(terminal.end().0.success());

    let mut program = master(python, "growing");
    let pid = program.pid().to_string();
    let mut terminal = Terminal::start(&["top", "-s", &pid], (24, 80), folder.path());
    terminal.wait_for(&["─ Processes 4 ─", "worker 2", "polling"]);
    program.say("one more");
    let new: i64 = program.line().trim().parse().unwrap();
    let text = terminal.wait_for(&["─ Processes 5 ─", &new.to_string()]);
    assert!(!text.contains("BLOCKED"), "{text}");
    terminal.types("q");
    assert!(terminal.end().0.success());
}

/// A process has stopped when those below it have; one that lives on is named.
fn stopped(python: &Python) {
    let program = master(python, "fork");
    let pid = program.pid().to_string();
    let output = aiospy(&["stop", "-s", &pid, "--json"]);
    let (stdout, stderr) = texts(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    let document: Value = serde_json::from_str(&stdout).unwrap();
    check_stop_schema(&document);
    assert_eq!((&document["outcome"], &document["left"]), (&"ended".into(), &Value::Array(vec![])));

    let program = master(python, "late");
    let (pid, late) = (program.pid().to_string(), child(&program, "idle"));
    let output = aiospy(&["stop", "-s", &pid, "--grace", "1s"]);
    let (stdout, _) = texts(&output);
    assert_eq!(output.status.code(), Some(3), "{stdout}");
    assert!(stdout.contains("the process has ended"), "{stdout}");
    assert!(
        stdout.contains(&format!("1 of 3 processes below it still there: {late}\n")),
        "{stdout}"
    );
    assert!(stdout.lines().any(|it| it.starts_with(&format!("ok  {late}  "))), "{stdout}");
}

fn ps(output: &Output) -> Value {
    let (stdout, stderr) = texts(output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    let document: Value = serde_json::from_str(&stdout).unwrap();
    check_ps_schema(&document);
    document
}

fn row_of(document: &Value, pid: i64) -> &Value {
    let rows = document["processes"].as_array().unwrap();
    rows.iter().find(|row| row["process"]["pid"] == pid).unwrap_or_else(|| panic!("{document}"))
}

/// All Python processes are listed, with what their loops do.
fn listed(python: &Python) {
    let program = master(python, "hung");
    let document = ps(&aiospy(&["ps", "--json"]));
    let row = |name: &str| row_of(&document, child(&program, name));
    let hung = row("first");
    assert_eq!(hung["verdict"], "findings", "{hung}");
    assert_eq!(hung["worst"]["code"], "loop-blocked", "{hung}");
    assert_eq!(hung["loops"][0]["state"], "blocked", "{hung}");
    assert_eq!(hung["process"]["parent"], program.pid(), "{hung}");
    assert_eq!((&row("second")["verdict"], &row("second")["tasks"]), (&"ok".into(), &1.into()));
    let version = hung["process"]["python"].as_str().unwrap();
    assert!(version.starts_with(&python.version), "{hung}");
    assert_eq!(row_of(&document, i64::from(program.pid())).get("verdict"), None);
    let (stdout, _) = texts(&aiospy(&["ps"]));
    let line = |pid: i64| {
        let mut lines = stdout.lines().enumerate();
        let is_it = |line: &str| line.split_whitespace().any(|word| word == pid.to_string());
        lines.find(|(_, line)| is_it(line)).unwrap_or_else(|| panic!("{stdout}"))
    };
    let (first, text) = line(child(&program, "first"));
    assert!(text.starts_with('!') && text.contains("BLOCKED"), "{stdout}");
    assert!(first < line(child(&program, "second")).0, "{stdout}");
    assert!(first < line(i64::from(program.pid())).0, "{stdout}");
}
