//! What a session has to endure: signals, targets that fork, are replaced, stopped and killed, a
//! server that does not end, a service that never rests.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;

use super::situation::AIOSPY;
use super::support::{Program, Python, aiospy, check_stop_schema, parse, root, texts};
use super::watching::{events, launch, of, offset, seconds};
use super::{per_version, with_uvloop};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    let mut add = |name: &str, run: fn(&Python)| {
        per_version(trials, &format!("enduring::{name}"), |_| true, run);
    };
    add("service", service);
    add("uvicorn_stuck", |python| uvicorn(python, false));
    add("uvicorn_closed", |python| uvicorn(python, true));
    add("stop_interrupted", stop_interrupted);
    add("stop_starting", stop_starting);
    add("run_replaced", run_replaced);
    add("run_terminated", |python| run(python, Signal::SIGTERM));
    add("run_interrupted", |python| run(python, Signal::SIGINT));
    add("loops", |python| on_and_on(python, "loops"));
    add("fork", |python| on_and_on(python, "fork"));
    add("forked", forked);
    add("multiprocessing", |python| on_and_on(python, "multiprocessing"));
    add("atexit", |python| last_state(python, "atexit"));
    add("teardown", |python| last_state(python, "teardown"));
    add("thread", |python| last_state(python, "thread"));
    add("killed", killed);
    add("stopped", stopped);
    // Before, `wait_closed` of a server that was closed does not wait.
    per_version(trials, "enduring::stop_by_task", |_| true, stop_by_task);
    per_version(trials, "enduring::stop_websockets", |_| true, stop_websockets);
    let plain = |python: &Python| stop_pool(&python.path, "asyncio");
    per_version(trials, "enduring::stop_pool", |_| true, plain);
    // Before 3.12 the programs run uvloop without `asyncio.run`.
    let uvloop = |python: &Python| stop_pool(with_uvloop(python), "uvloop");
    per_version(trials, "enduring::stop_pool::uvloop", |minor| minor >= 12, uvloop);
    let ends = |minor| [8, 15].contains(&minor);
    per_version(trials, "enduring::stop_ignoring", ends, stop_ignoring);
    for server in ["uvicorn", "hypercorn"] {
        let name = format!("enduring::stop_application::{server}");
        per_version(trials, &name, |_| true, move |python| stop_application(python, server));
    }
    per_version(trials, "enduring::stop_serving", |minor| minor >= 12, stop_serving);
}

/// `aiospy watch`, whose events are read as they come.
struct Watch {
    tool: Child,
    lines: Lines<BufReader<ChildStdout>>,
    events: Vec<Value>,
}

impl Watch {
    /// Watches a process; it is attached to.
    fn start(pid: i32, options: &[&str]) -> Self {
        let mut tool = launch(&[&["watch", &pid.to_string()], options].concat());
        let lines = BufReader::new(tool.stdout.take().unwrap()).lines();
        let mut watch = Self { tool, lines, events: Vec::new() };
        watch.until("start");
        watch
    }

    /// Reads on until such an event.
    fn until(&mut self, name: &str) {
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("no {name}: {:?}", self.events));
            self.events.extend(events(&line.unwrap()));
            if self.events.last().unwrap()["event"] == name {
                return;
            }
        }
    }

    /// All events, when it has ended as the target did.
    fn end(mut self) -> Vec<Value> {
        self.until("end");
        assert_eq!(self.events.last().unwrap()["reason"], "target-ended");
        assert!(self.lines.next().is_none());
        assert!(self.tool.wait().unwrap().success());
        self.events
    }
}

/// Starts `enduring.py` of a kind, and watches the process that it is about from before it goes.
fn watched(python: &Path, kind: &str, options: &[&str]) -> (Program, Watch) {
    let mut program = Program::start(python, "enduring.py", &[kind]);
    let pid = program.truth["pid"].as_i64().map(|pid| i32::try_from(pid).unwrap());
    let watch = Watch::start(pid.unwrap_or_else(|| program.pid()), options);
    program.say("go");
    (program, watch)
}

/// The findings that were alarms.
fn alarms(events: &[Value]) -> Vec<&Value> {
    let opened = of(events, "finding-opened").into_iter().map(|it| &it["finding"]);
    opened.filter(|it| it["severity"] != "info").collect()
}

/// The function of the program's own that an event was in, if it is told.
fn innermost(event: &Value) -> &str {
    let frames = event["stacks"][0]["frames"].as_array().and_then(|frames| frames.last());
    frames.map_or("", |frame| frame["function"].as_str().unwrap())
}

/// A service that does all that services do gives no alarm.
fn service(python: &Python) {
    let mut program = Program::start::<&str>(&python.path, "service.py", &[]);
    let pid = program.pid().to_string();
    let options = ["--duration", "5s", "--growth-over", "3s", "--stuck-after", "2s"];
    let whole = ["--whole-every", "250ms"];
    let output = aiospy(&[&["watch", &pid][..], &options, &whole].concat());
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let events = events(&stdout);
    assert!(alarms(&events).is_empty(), "{:#?}", alarms(&events));
    assert!(of(&events, "unreadable").is_empty(), "{stdout}");
    let count = |counts: &Value, kind: &str| counts[kind].as_u64().unwrap();
    program.say("stats");
    let done = parse(&program.line());
    for kind in program.truth.as_object().unwrap().keys() {
        let more = count(&done, kind) - count(&program.truth, kind);
        assert!(more > 0, "{kind} was done {more} times: {done}");
    }
    assert!(program.end().success());
}

/// A stop of uvicorn is told as it was: a stream holds it, until its client leaves.
fn uvicorn(python: &Python, is_closed: bool) {
    let mut program = Program::start::<&str>(python.venv.as_deref().unwrap(), "streaming.py", &[]);
    let grace = if is_closed { "60s" } else { "1s" };
    let tool = launch(&["stop", "--json", "--grace", grace, &program.pid().to_string()]);
    let began = parse(&program.line())["shutdown"].as_f64().unwrap();
    let closed = is_closed.then(|| {
        program.say("close");
        parse(&program.line())["closed"].as_f64().unwrap()
    });
    let output = tool.wait_with_output().unwrap();
    let (stdout, _) = texts(&output);
    let told = parse(&stdout);
    check_stop_schema(&told);
    assert_eq!(output.status.code(), Some(if is_closed { 0 } else { 3 }), "{told:#}");
    assert_eq!(told["outcome"], if is_closed { "ended" } else { "grace-over" });
    let sent = seconds(&told["sent_at"]);
    // The samples are 20 ms apart, and a machine that is busy may come late.
    let is_near = |told_ms: &Value, logged: f64| {
        let (told, truth) = (told_ms.as_f64().unwrap(), (logged - sent) * 1000.0);
        assert!((told - truth).abs() <= 100.0, "told at {told} ms, was at {truth} ms");
    };
    let stages = told["stages"].as_array().unwrap();
    let first = stages.first().unwrap();
    let named = |it: &Value| (it["stage"].clone(), it["by"].clone());
    let graceful = ("graceful".into(), "uvicorn".into());
    assert_eq!(named(first), graceful);
    assert_eq!(stages.iter().filter(|it| named(it) == graceful).count(), 1, "{told:#}");
    is_near(&first["began_ms"], began);
    let stream = &program.truth["stream"];
    let findings = told["findings"].as_array().unwrap();
    if let Some(closed) = closed {
        is_near(&first["ended_ms"], closed);
        assert!(findings.is_empty(), "{told:#}");
        return;
    }
    assert_eq!(stages.len(), 1, "{told:#}");
    assert!(first.get("ended_ms").is_none(), "{told:#}");
    assert_eq!(first["tasks"], serde_json::json!(["stream"]));
    let stuck = findings.iter().find(|it| it["code"] == "shutdown-stuck");
    let stuck = stuck.unwrap_or_else(|| panic!("{told:#}"));
    assert_eq!(stuck["severity"], "critical");
    assert!(stuck["tasks"].as_array().unwrap().contains(stream), "{stuck:#} without {stream}");
}

/// What `stop --json` tells of a program that does not end.
fn outlasted(python: &Path, kind: &[&str]) -> Value {
    let program = Program::start(python, "holding.py", kind);
    let output = aiospy(&["stop", "--json", "--grace", "1s", &program.pid().to_string()]);
    let told = parse(&texts(&output).0);
    check_stop_schema(&told);
    assert_eq!((output.status.code(), &told["outcome"]), (Some(3), &"grace-over".into()));
    told
}

/// A main task that waits for the connections of its server is in a stage, with their handlers.
fn stop_serving(python: &Python) {
    let told = outlasted(&python.path, &["server"]);
    let stage = &told["stages"][0];
    assert_eq!((&stage["stage"], &stage["by"]), (&"graceful".into(), &"asyncio.Server".into()));
    assert_eq!(stage["tasks"], serde_json::json!(["handler"]));
    let stuck = told["findings"].as_array().unwrap();
    let stuck = stuck.iter().find(|it| it["code"] == "shutdown-stuck").unwrap();
    assert_eq!(stuck["severity"], "critical", "the grace is over");
    let evidence = stuck["evidence"].as_array().unwrap();
    assert!(evidence.iter().any(|it| it["text"] == "1 connection is still open"), "{stuck:#}");
    assert!(evidence.iter().any(|it| it["place"]["function"] == "serve"), "{stuck:#}");
}

/// A main task may not be where the process stops: what the handler of the signal has started is.
fn stop_by_task(python: &Python) {
    let told = outlasted(&python.path, &["task"]);
    let held_up = told["held_up"].as_str().unwrap_or_else(|| panic!("{told:#}"));
    assert!(held_up.starts_with("\"stopper\", started since the signal, waits for "), "{held_up}");
    assert!(held_up.contains(" in shut_down, where \"worker\" waits for sleep("), "{held_up}");
    let program = Program::start(&python.path, "holding.py", &["task"]);
    let output = aiospy(&["stop", "--grace", "500ms", &program.pid().to_string()]);
    let (stdout, _) = texts(&output);
    let mut lines = stdout.lines().map(|line| line.split_once("  ").map_or("", |it| it.1));
    let last = lines.find(|line| line.starts_with("the grace is over"));
    assert_eq!(last, Some("the grace is over, the process is still there"), "{stdout}");
    assert!(lines.next().unwrap().starts_with("\"stopper\", started since"), "{stdout}");
}

/// A pool that is closed waits for the tasks that have its connections.
fn stop_pool(python: &Path, kind: &str) {
    let told = outlasted(python, &["pool", kind]);
    let stage = &told["stages"][0];
    assert_eq!((&stage["stage"], &stage["by"]), (&"graceful".into(), &"asyncpg's pool".into()));
    assert_eq!(stage["tasks"], serde_json::json!(["borrower"]), "{told:#}");
    let stuck = told["findings"].as_array().unwrap();
    let stuck = stuck.iter().find(|it| it["code"] == "shutdown-stuck").unwrap();
    let title = stuck["title"].as_str().unwrap();
    assert!(title.starts_with("borrower has held the stop of asyncpg's pool for "), "{title}");
}

/// A server of websockets that was closed waits for its handlers; one that nobody has closed serves.
fn stop_websockets(python: &Python) {
    let venv = python.venv.as_deref().unwrap();
    let told = outlasted(venv, &["websockets"]);
    let stage = &told["stages"][0];
    assert_eq!((&stage["stage"], &stage["by"]), (&"graceful".into(), &"websockets".into()));
    assert_eq!(stage["tasks"], serde_json::json!(["handler"]), "{told:#}");
    let told = outlasted(venv, &["websockets", "serving"]);
    assert_eq!(told["stages"], serde_json::json!([]), "{told:#}");
}

/// A signal that is ignored is never delivered.
fn stop_ignoring(python: &Python) {
    let told = outlasted(&python.path, &["ignoring"]);
    assert_eq!(told["held_up"], "the process ignores SIGTERM", "{told:#}");
    assert!(told.get("delivered_ms").is_none(), "{told:#}");
}

/// A server that waits for its application to end waits for no request.
fn stop_application(python: &Python, server: &str) {
    let told = outlasted(python.venv.as_deref().unwrap(), &["lifespan", server]);
    let stage = &told["stages"][0];
    assert_eq!((&stage["stage"], &stage["by"]), (&"graceful".into(), &server.into()), "{told:#}");
    assert_eq!(stage["tasks"], serde_json::json!(["application"]), "{told:#}");
    let stuck = told["findings"].as_array().unwrap();
    let stuck = stuck.iter().find(|it| it["code"] == "shutdown-stuck").unwrap();
    let title = stuck["title"].as_str().unwrap();
    let held = format!("application has held the stop of {server} for ");
    assert!(title.starts_with(&held), "{title}");
    assert!(stuck["advice"].as_str().unwrap().contains("lifespan"), "{stuck:#}");
}

/// What holds a start-up is told when the signal came into it.
fn stop_starting(python: &Python) {
    let told = outlasted(python.venv.as_deref().unwrap(), &["startup"]);
    let held_up = told["held_up"].as_str().unwrap_or_else(|| panic!("{told:#}"));
    assert!(held_up.starts_with("uvicorn has not started yet: "), "{held_up}");
    assert!(held_up.contains(" in app") && held_up.contains(" in migrate"), "{held_up}");
}

/// A signal ends `stop` before its grace is over, with its summary; the target is left alone.
fn stop_interrupted(python: &Python) {
    for (signal, is_json) in [
        (Signal::SIGINT, true),
        (Signal::SIGTERM, true),
        (Signal::SIGINT, false),
        (Signal::SIGTERM, false),
    ] {
        let mut program = Program::start(&python.path, "stopping.py", &["deaf"]);
        let pid = program.pid().to_string();
        let form: &[&str] = if is_json { &["--json"] } else { &[] };
        let tool = launch(&[&["stop", "--grace", "60s", "--kill", &pid], form].concat());
        // It has got the signal.
        program.line();
        kill(id_of(&tool), signal).unwrap();
        let output = tool.wait_with_output().unwrap();
        let (stdout, _) = texts(&output);
        assert_eq!(output.status.code(), Some(3), "{stdout}");
        if is_json {
            let told = parse(&stdout);
            check_stop_schema(&told);
            assert_eq!(told["outcome"], "interrupted");
        } else {
            let said = "interrupted, nothing shows that the process is stopping";
            assert!(stdout.lines().any(|line| line.ends_with(said)), "{stdout}");
            let last = stdout.lines().last().unwrap();
            assert!(last.contains("the main task \"Task-1\" waits for event stop"), "{stdout}");
        }
        // It hears as before, and ends by its standard input.
        kill(Pid::from_raw(program.pid()), Signal::SIGTERM).unwrap();
        program.line();
        assert!(program.end().success());
    }
}

pub fn id_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// A signal to `aiospy run` is one to its program: the tool ends as that does, with its summary,
/// on standard error or in the file that was asked for.
fn run(python: &Python, signal: Signal) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let is_beside = signal == Signal::SIGTERM;
    let mut command = Command::new(AIOSPY);
    command.arg("run");
    if !is_beside {
        // Of a pipe it can be told when the first line is there.
        mkfifo(&file, Mode::S_IRWXU).unwrap();
        command.arg("--output").arg(&file);
    }
    command.arg("--").arg(&python.path).arg(root().join("tests/programs/enduring.py"));
    command.arg("signals").stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(if is_beside { Stdio::piped() } else { Stdio::inherit() });
    // As a shell does it, so that Ctrl-C is for both.
    command.process_group(0);
    let mut tool = command.spawn().unwrap();
    let mut out = BufReader::new(tool.stdout.take().unwrap()).lines();
    let told: Box<dyn Read> = match tool.stderr.take() {
        Some(stderr) => Box::new(stderr),
        None => Box::new(File::open(&file).unwrap()),
    };
    let mut told = BufReader::new(told).lines();
    assert_eq!(out.next().unwrap().unwrap(), "READY");
    let first = told.next().unwrap().unwrap();
    assert!(first.contains(if is_beside { "  start " } else { r#""event":"start""# }), "{first}");
    if is_beside { kill(id_of(&tool), signal) } else { killpg(id_of(&tool), signal) }.unwrap();
    let rest: Vec<String> = told.map_while(Result::ok).collect();
    assert_eq!(tool.wait().unwrap().code(), Some(if is_beside { 5 } else { 6 }));
    assert!(out.next().is_none());
    let last = rest.last().unwrap();
    if is_beside {
        assert!(last.contains("  end        the process has ended after "), "{rest:#?}");
    } else {
        let end = events(last).remove(0);
        assert_eq!((&end["event"], &end["reason"]), (&"end".into(), &"target-ended".into()));
    }
}

/// A program that is started by way of others, which come and go quickly, is watched all the same.
fn run_replaced(python: &Python) {
    let script =
        "n=$1; shift; [ $n -gt 0 ] || exec \"$@\"; exec sh -c \"$AGAIN\" sh $((n - 1)) \"$@\"";
    let code = "import asyncio; asyncio.run(asyncio.sleep(0.5))";
    let mut command = Command::new(AIOSPY);
    command.args(["run", "--output", "/dev/stdout", "--", "sh", "-c", script, "sh", "50"]);
    command.arg(&python.path).args(["-c", code]).env("AGAIN", script).stdin(Stdio::null());
    let output = command.output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
    let events = events(&stdout);
    assert_eq!(of(&events, "start").len(), 1, "{stdout}");
    assert!(of(&events, "unreadable").is_empty(), "{stdout}");
}

/// What else happens to the target, or beside it, its own blocks are told, and nothing of others.
fn on_and_on(python: &Python, kind: &str) {
    let (mut program, watch) = watched(&python.path, kind, &["--threshold", "20ms"]);
    let blocks = parse(&program.line());
    let offset = offset();
    let events = watch.end();
    for name in ["reattached", "unreadable"] {
        assert!(of(&events, name).is_empty(), "{events:#?}");
    }
    let told = of(&events, "blocking");
    for block in blocks.as_array().unwrap() {
        let (began, ended) = (block["began"].as_f64().unwrap(), block["ended"].as_f64().unwrap());
        let is_told = told.iter().any(|event| {
            let at = seconds(&event["at"]) - offset;
            let end = at + event["length_ms"].as_f64().unwrap() / 1000.0;
            innermost(event) == "block" && at < ended && end > began
        });
        assert!(is_told, "{block} is not told: {told:#?}");
    }
    // A machine that is busy may block any callback; only what sleeps does so by itself.
    let sleeps = told.iter().filter(|event| event["kind"] == "sleep");
    let others: Vec<_> = sleeps.filter(|event| innermost(event) != "block").collect();
    assert!(others.is_empty(), "{others:#?}");
}

/// A fork that runs on is a target like any other.
fn forked(python: &Python) {
    let (_program, watch) = watched(&python.path, "forked", &[]);
    let events = watch.end();
    let told = of(&events, "blocking");
    assert!(told.iter().any(|event| innermost(event) == "block"), "{events:#?}");
}

/// What was seen of a target stays known while its interpreter ends.
fn last_state(python: &Python, kind: &str) {
    let (_program, watch) = watched(&python.path, kind, &["--whole-every", "250ms"]);
    let events = watch.end();
    let end = events.last().unwrap();
    let mut places = end["blocking"].as_array().unwrap().iter();
    let place = places.find(|place| place["function"] == "block");
    assert!(place.is_some_and(|place| place["count"] == 1), "{end:#}");
    // Only of a thread it is known who is waited for; the block may be open, too.
    let mut open = end["open"].as_array().unwrap().iter();
    let is_stuck = open.any(|it| it["finding"]["code"] == "shutdown-stuck");
    assert_eq!(is_stuck, kind == "thread", "{end:#}");
    assert!(of(&events, "unreadable").is_empty(), "{events:#?}");
    // Up to the end, which comes 0.8 s after the loop's.
    assert!(end["duration_ms"].as_u64().unwrap() >= 800, "{end:#}");
}

/// A target that is killed leaves what stood open.
fn killed(python: &Python) {
    let (mut program, mut watch) = watched(&python.path, "blocked", &["--whole-every", "250ms"]);
    watch.until("finding-opened");
    kill(Pid::from_raw(program.pid()), Signal::SIGKILL).unwrap();
    let events = watch.end();
    program.wait();
    let end = events.last().unwrap();
    let open = end["open"].as_array().unwrap();
    assert!(open.iter().any(|it| it["finding"]["code"] == "loop-blocked"), "{end:#}");
    let place = &end["blocking"][0];
    assert_eq!((&place["kind"], &place["count"]), (&"sleep".into(), &1.into()), "{end:#}");
    let told = of(&events, "blocking");
    assert_eq!((told.len(), &told[0]["kind"]), (1, &"sleep".into()), "{told:#?}");
}

/// A target that is stopped and goes on is watched on, and not said to have done anything.
fn stopped(python: &Python) {
    let (mut program, mut watch) = watched(&python.path, "busy", &["--interval", "250ms"]);
    let pid = Pid::from_raw(program.pid());
    watch.until("statistics");
    kill(pid, Signal::SIGSTOP).unwrap();
    for _ in 0..3 {
        watch.until("statistics");
    }
    kill(pid, Signal::SIGCONT).unwrap();
    for _ in 0..3 {
        watch.until("statistics");
    }
    assert!(program.end().success());
    let events = watch.end();
    assert!(of(&events, "unreadable").is_empty(), "{events:#?}");
    // It was so for two intervals at least; a machine that is busy may hold it up, too.
    let long =
        of(&events, "blocking").into_iter().filter(|it| it["length_ms"].as_f64() > Some(450.0));
    let wrong: Vec<_> = long.filter(|it| it["kind"] != "unknown").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let says = |it: &Value| it["title"].as_str().unwrap().ends_with("stopped from outside");
    let mut blocked = alarms(&events).into_iter().filter(|it| it["code"] == "loop-blocked");
    assert!(blocked.all(says), "{:#?}", alarms(&events));
}
