//! Recordings: shares of time as a program logs them itself, what a recorder that is killed leaves,
//! and files held against the rules of the tools that open them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aiospy::recording::{Error, Limits, Recording, Taken, Writer};
use aiospy::watch::Watcher;
use aiospy::watch::monitor::Settings;
use aiospy::watch::sampler::{Plan, Sample};
use jiff::Timestamp;
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::support::{Program, aiospy, parse, python, texts, wait_until};
use super::{once, per_version, with_uvloop};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "record::shares", |_| true, |python| shares(&python.path, &[]));
    per_version(
        trials,
        "record::shares+uvloop",
        |_| true,
        |python| shares(with_uvloop(python), &["--uvloop"]),
    );
    per_version(trials, "record::same_as_live", |_| true, |python| same_as_live(&python.path));
    per_version(trials, "record::repeated", |_| true, |python| repeated(&python.path));
    once(trials, "record::killed", &[], || killed(&python("3.12").unwrap().path));
    once(trials, "record::ended", &[], || ended(&python("3.12").unwrap().path));
    once(trials, "record::command", &[], || command(&python("3.12").unwrap().path));
    once(trials, "record::flight_recorder", &[], || keeps_last(&python("3.12").unwrap().path));
}

/// Runs the tool, which has to succeed.
fn run(arguments: &[&str]) -> String {
    let output = aiospy(arguments);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    stdout
}

/// The share of each task's time in each state, in percent.
type Shares = BTreeMap<String, BTreeMap<String, f64>>;

fn shares_of(times: impl Iterator<Item = (String, String, f64)>) -> Shares {
    let mut shares = Shares::new();
    for (task, state, time) in times {
        *shares.entry(task).or_default().entry(state).or_default() += time;
    }
    for states in shares.values_mut() {
        let all: f64 = states.values().sum();
        for time in states.values_mut() {
            *time *= 100.0 / all;
        }
    }
    shares
}

/// What a stack says: the task's folded name, and what it did or waited for in a word.
fn told_by(stack: &[&str], by_state: bool) -> (String, String) {
    let task = stack.iter().rev().find_map(|frame| frame.strip_prefix("<task ")).unwrap();
    let state = if by_state { stack[0] } else { stack[stack.len() - 1] };
    let state = state.trim_matches(['[', ']']).split(' ').next().unwrap();
    // A call in a thread that has begun or ended just now is seen as work of a thread.
    let state = if state == "thread" { "executor" } else { state };
    (task.trim_end_matches('>').to_owned(), state.to_owned())
}

fn of_collapsed(text: &str, by_state: bool) -> Shares {
    shares_of(text.lines().map(|line| {
        let (stack, time) = line.rsplit_once(' ').unwrap();
        let (task, state) = told_by(&stack.split(';').collect::<Vec<_>>(), by_state);
        (task, state, time.parse().unwrap())
    }))
}

fn of_speedscope(file: &Value, by_state: bool) -> Shares {
    let frames = file["shared"]["frames"].as_array().unwrap();
    let profile = &file["profiles"][0];
    let samples = profile["samples"].as_array().unwrap().iter();
    shares_of(samples.zip(profile["weights"].as_array().unwrap()).map(|(stack, weight)| {
        let number = |at: &Value| usize::try_from(at.as_u64().unwrap()).unwrap();
        let frame = |at: &Value| frames[number(at)]["name"].as_str().unwrap();
        let stack: Vec<&str> = stack.as_array().unwrap().iter().map(frame).collect();
        let (task, state) = told_by(&stack, by_state);
        (task, state, weight.as_f64().unwrap())
    }))
}

/// Shares are right within two points, and as many more as samples were missed, in each format and view that has them.
fn shares(python: &Path, options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.aiospy");
    let path = file.to_str().unwrap();
    // An unoptimized build needs 2 ms for a sample: turns that are longer than those of the
    // benchmark, so that this counts for less beside what is held here.
    let arguments = [&["--seconds", "9", "--turn", "0.50618"], options].concat();
    let mut program = Program::start(python, "shares.py", &arguments);
    let pid = program.pid().to_string();
    run(&["record", &pid, "-d", "8s", "-o", path]);
    // On a machine that is busy samples are missed, just when the program runs.
    let mut recording = Recording::open(&file).unwrap();
    let missed = (0..recording.len()).map(|at| recording.sample(at).unwrap().missed).sum::<u64>();
    let all = f64::from(u32::try_from(missed + recording.len() as u64).unwrap());
    let allowed = 2.0 + 100.0 * f64::from(u32::try_from(missed).unwrap()) / all;
    let chrome = parse(&run(&["export", path, "-f", "chrome", "-o", "-"]));
    let truth =
        logged(&parse(&program.line()), begin(&chrome), *recording.moments().last().unwrap());
    assert_eq!(truth.len(), 5);
    for by in ["await", "state"] {
        let collapsed = run(&["export", path, "-f", "collapsed", "--by", by, "-o", "-"]);
        check_shares(&truth, &of_collapsed(&collapsed, by == "state"), by, allowed);
        let lines = collapsed.lines();
        let mut svg = Vec::new();
        inferno::flamegraph::from_lines(
            &mut inferno::flamegraph::Options::default(),
            lines,
            &mut svg,
        )
        .unwrap();
        let speedscope = run(&["export", path, "-f", "speedscope", "--by", by, "-o", "-"]);
        let speedscope: Value = serde_json::from_str(&speedscope).unwrap();
        check_speedscope(&speedscope);
        check_shares(&truth, &of_speedscope(&speedscope, by == "state"), by, allowed);
    }
    check_chrome(&chrome);
    for format in ["svg", "html"] {
        assert!(run(&["export", path, "-f", format, "-o", "-"]).contains("sock-*"));
    }
}

/// When a file of trace events says that it begins.
fn begin(chrome: &Value) -> Timestamp {
    chrome["otherData"]["start"].as_str().unwrap().parse().unwrap()
}

/// The shares that the program logged of the time between two moments.
fn logged(states: &Value, from: Timestamp, until: Timestamp) -> Shares {
    let [from, until] = [from, until].map(|at| at.as_duration().as_secs_f64());
    shares_of(states.as_object().unwrap().iter().flat_map(|(task, states)| {
        let name = format!("{}-*", task.split('-').next().unwrap());
        states.as_array().unwrap().windows(2).map(move |pair| {
            let [begin, end] = [0, 1].map(|at| pair[at][0].as_f64().unwrap().clamp(from, until));
            (name.clone(), pair[0][1].as_str().unwrap().to_owned(), end - begin)
        })
    }))
}

fn check_shares(truth: &Shares, told: &Shares, by: &str, allowed: f64) {
    let mut wrong = Vec::new();
    for (task, states) in truth {
        let Some(seen) = told.get(task) else { panic!("no {task} by {by}: {told:#?}") };
        for state in states.keys().chain(seen.keys()) {
            let share = |of: &BTreeMap<String, f64>| of.get(state).copied().unwrap_or_default();
            if (share(states) - share(seen)).abs() > allowed {
                let (was, told) = (share(states), share(seen));
                wrong.push(format!("{task} {state}: {was:.1} %, told {told:.1} %"));
            }
        }
    }
    assert!(wrong.is_empty(), "by {by}: {wrong:#?}");
}

/// What its published schema asks for, written down anew.
fn check_speedscope(file: &Value) {
    let number = serde_json::json!({ "type": "number" });
    let text = serde_json::json!({ "type": "string" });
    let index = serde_json::json!({ "type": "integer", "minimum": 0 });
    let schema = serde_json::json!({
        "type": "object",
        "required": ["$schema", "shared", "profiles"],
        "additionalProperties": false,
        "properties": {
            "$schema": { "const": "https://www.speedscope.app/file-format-schema.json" },
            "name": text, "exporter": text, "activeProfileIndex": number,
            "shared": {
                "type": "object", "required": ["frames"], "additionalProperties": false,
                "properties": { "frames": { "type": "array", "items": {
                    "type": "object", "required": ["name"], "additionalProperties": false,
                    "properties": { "name": text, "file": text, "line": number, "col": number },
                } } },
            },
            "profiles": { "type": "array", "minItems": 1, "items": {
                "type": "object", "additionalProperties": false,
                "required": ["type", "name", "unit", "startValue", "endValue", "samples", "weights"],
                "properties": {
                    "type": { "const": "sampled" }, "name": text,
                    "unit": { "enum": ["none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"] },
                    "startValue": number, "endValue": number,
                    "samples": { "type": "array", "items": { "type": "array", "items": index } },
                    "weights": { "type": "array", "items": number },
                },
            } },
        },
    });
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(file).take(5).map(|it| it.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let profile = &file["profiles"][0];
    let (samples, weights) = (&profile["samples"], &profile["weights"]);
    assert_eq!(samples.as_array().unwrap().len(), weights.as_array().unwrap().len());
    let frames = file["shared"]["frames"].as_array().unwrap().len() as u64;
    let stacks = samples.as_array().unwrap().iter().flat_map(|stack| stack.as_array().unwrap());
    assert!(stacks.into_iter().all(|frame| frame.as_u64().unwrap() < frames));
    let all: f64 = weights.as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).sum();
    assert_eq!(Some(all), profile["endValue"].as_f64());
}

/// The rules of trace events: each kind has what it needs, slices of one track lie side by side,
/// each track has a name, and an arrow has two ends that lie in slices.
fn check_chrome(file: &Value) {
    let events = file["traceEvents"].as_array().unwrap();
    let mut slices: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    let mut named = Vec::new();
    let mut arrows: BTreeMap<u64, Vec<(&str, u64, u64)>> = BTreeMap::new();
    for event in events {
        let number =
            |name: &str| event[name].as_u64().unwrap_or_else(|| panic!("{name} of {event}"));
        assert!(event["name"].is_string() && number("pid") > 0, "{event}");
        let track = number("tid");
        match event["ph"].as_str().unwrap() {
            "X" => slices.entry(track).or_default().push((number("ts"), number("dur"))),
            "M" if event["name"] == "thread_name" => named.push(track),
            "M" => {}
            "C" => assert!(event["args"].as_object().unwrap().values().all(Value::is_u64)),
            "i" => assert!(number("ts") > 0 && event["s"] == "p"),
            end @ ("s" | "f") => {
                arrows.entry(number("id")).or_default().push((end, track, number("ts")));
            }
            other => panic!("{other} in {event}"),
        }
    }
    for (track, slices) in &mut slices {
        assert!(named.contains(track), "track {track} has no name");
        assert!(slices.is_sorted(), "track {track} goes back in time");
        let overlap = slices.windows(2).find(|pair| pair[0].0 + pair[0].1 > pair[1].0);
        assert!(overlap.is_none(), "track {track}: {overlap:?}");
    }
    // Who waits for the lock gets it from who held it, in each turn.
    assert!(arrows.len() >= 10, "{} arrows", arrows.len());
    for ends in arrows.values() {
        let [("s", from, begin), ("f", to, end)] = ends[..] else { panic!("{ends:?}") };
        assert!(begin < end && from != to);
        for (track, at) in [(from, begin), (to, end)] {
            let is_within = slices[&track].iter().any(|(ts, dur)| *ts <= at && at <= ts + dur);
            assert!(is_within, "nothing on track {track} at {at}");
        }
    }
}

/// A recorder, to be ended by us.
fn launch(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aiospy"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Killed at any moment, it leaves everything but its last block.
fn killed(python: &Path) {
    let program = Program::start(python, "many.py", &["20", "3"]);
    let pid = program.pid().to_string();
    let folder = tempfile::tempdir().unwrap();
    let one = |number: u64| {
        let file = folder.path().join(format!("{number}.aiospy"));
        let start = Instant::now();
        let mut recorder = launch(&["record", &pid, "-r", "100", "-o", file.to_str().unwrap()]);
        // At moments that have nothing to do with those of its writing.
        let wanted = Duration::from_micros(300_000 + number.wrapping_mul(7_919_393) % 3_000_000);
        std::thread::sleep(wanted);
        recorder.kill().unwrap();
        recorder.wait().unwrap();
        let ran = start.elapsed();
        let now = Timestamp::now();
        match Recording::open(&file) {
            Ok(mut recording) => {
                for sample in 0..recording.len() {
                    recording.sample(sample).unwrap();
                }
                let end = *recording.moments().last().unwrap();
                let lost = Duration::try_from(now.duration_since(end)).unwrap();
                assert!(lost < Duration::from_millis(1500), "{lost:?} of {ran:?} are lost");
                true
            }
            // Before its first block there is nothing.
            Err(Error::Empty | Error::Io(_) | Error::NoRecording) => {
                assert!(ran < Duration::from_millis(2500), "nothing after {ran:?}");
                false
            }
            Err(error) => panic!("{error}"),
        }
    };
    let readable: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| scope.spawn(move || (0..25).filter(|at| one(thread * 25 + at)).count()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(readable > 40, "{readable} of 100 had a whole block");
}

/// A signal ends it, and everything is written.
fn ended(python: &Path) {
    let program = Program::start(python, "many.py", &["20", "3"]);
    let folder = tempfile::tempdir().unwrap();
    for (signal, name) in [(Signal::SIGINT, "a.aiospy"), (Signal::SIGTERM, "b.collapsed")] {
        let file = folder.path().join(name);
        let mut recorder =
            launch(&["record", &program.pid().to_string(), "-o", file.to_str().unwrap()]);
        // It makes the file when it has the first sample, and writes that a second later.
        wait_until("the file is there", || file.exists());
        kill(Pid::from_raw(i32::try_from(recorder.id()).unwrap()), signal).unwrap();
        assert!(recorder.wait().unwrap().success());
        if signal == Signal::SIGINT {
            assert!(!Recording::open(&file).unwrap().is_empty());
        } else {
            assert!(std::fs::read_to_string(&file).unwrap().contains("<task task-*>"));
        }
    }
}

/// A program that is started is recorded from its beginning, and keeps its exit code.
fn command(python: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.aiospy");
    let code = "import asyncio, sys; asyncio.run(asyncio.sleep(1)); print('out'); sys.exit(7)";
    let output = aiospy(&[
        "record",
        "-o",
        file.to_str().unwrap(),
        "--",
        python.to_str().unwrap(),
        "-c",
        code,
    ]);
    let (stdout, stderr) = texts(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(7), "out\n"), "{stderr}");
    assert!(stderr.contains("the process has ended: "), "{stderr}");
    let mut recording = Recording::open(&file).unwrap();
    let moment = recording.sample(recording.len() / 2).unwrap();
    assert_eq!(moment.snapshot.tasks.len(), 1);
}

/// Of a flight recorder only the last seconds are there.
fn keeps_last(python: &Path) {
    let program = Program::start(python, "many.py", &["20", "3"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.aiospy");
    let path = file.to_str().unwrap();
    run(&["record", &program.pid().to_string(), "-d", "7s", "--keep-last", "2s", "-o", path]);
    let recording = Recording::open(&file).unwrap();
    let moments = recording.moments();
    let kept = moments[moments.len() - 1].duration_since(moments[0]).as_secs_f64();
    assert!((2.0..=3.5).contains(&kept), "{kept} s are kept");
}

/// What is read back is what was there live, to the microsecond.
fn same_as_live(python: &Path) {
    let program = Program::start(python, "shares.py", &["--seconds", "20"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.aiospy");
    let mut writer = Writer::create(&file, Limits::default()).unwrap();
    let mut plan = Plan::new(50.0, Duration::ZERO);
    plan.options.repeats = true;
    let mut live = Vec::new();
    let start = Instant::now();
    let is_over = || start.elapsed() > Duration::from_secs(3);
    let mut watcher = Watcher::new(plan, Settings::default());
    let ended = watcher.run::<aiospy::Error>(program.pid(), &is_over, &mut |news| {
        let monitor = news.monitor;
        if let Sample::Whole(snapshot) = news.sample {
            let open = monitor.open();
            let taken =
                Taken { snapshot, lives: Some(monitor.lives()), open, blocking: &[], missed: 0 };
            writer.sample(&taken).unwrap();
            let lives = snapshot.tasks.iter().map(|task| (task.id, monitor.lives().of(task)));
            let lives: BTreeMap<_, _> = lives.collect();
            let mut shown = serde_json::to_value(snapshot).unwrap();
            // What control groups allow is not recorded; what was found of it is.
            shown.as_object_mut().unwrap().remove("cgroup");
            live.push((shown, format!("{open:?}"), lives));
        }
        Ok(ControlFlow::Continue(()))
    });
    ended.unwrap();
    writer.finish().unwrap();
    let mut recording = Recording::open(&file).unwrap();
    assert!(live.len() > 50 && recording.len() == live.len(), "{} samples", live.len());
    for (number, (snapshot, open, lives)) in live.iter().enumerate() {
        let moment = recording.sample(number).unwrap();
        assert_same(snapshot, &serde_json::to_value(&moment.snapshot).unwrap(), "");
        assert_eq!(*open, format!("{:?}", moment.open));
        for (task, life) in lives {
            let read = moment.lives.get(task);
            assert_eq!(life.map(|life| life.steps), read.map(|life| life.steps));
        }
    }
}

/// Of a program in which nothing runs, a snapshot that repeats the one before is the same as one
/// that reads everything, but for the time that has passed.
fn repeated(python: &Path) {
    let program = Program::start(python, "many.py", &["30", "3"]);
    let mut options = aiospy::Options::default();
    options.depth = aiospy::snapshot::Depth::Reasons;
    let mut inspector = aiospy::Inspector::attach(program.pid()).unwrap();
    inspector.snapshot(&options).unwrap();
    options.repeats = true;
    inspector.snapshot(&options).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let repeated = inspector.snapshot(&options).unwrap();
    assert_eq!(repeated.reads.calls, 0, "{:?}", repeated.consistency);
    // Only now is the program certainly at rest.
    options.repeats = false;
    let read = inspector.snapshot(&options).unwrap();
    assert!(read.reads.calls > 0);
    let since = |snapshot: &aiospy::snapshot::Snapshot| {
        let task = snapshot.tasks.iter().find(|task| task.name.as_deref() == Some("task-7"));
        task.unwrap().waiting_on.as_ref().unwrap().since.unwrap()
    };
    let passed = read.taken_at.duration_since(repeated.taken_at).as_secs_f64();
    let older = since(&read).as_secs_f64() - since(&repeated).as_secs_f64();
    assert!((older - passed).abs() < 0.05, "{older} s older after {passed} s");
    let mut values = [read, repeated].map(|snapshot| serde_json::to_value(&snapshot).unwrap());
    for value in &mut values {
        for name in ["taken_at", "elapsed_ms"] {
            value.as_object_mut().unwrap().remove(name);
        }
    }
    assert_same_within(&values[0], &values[1], "", 10_000.0);
}

/// The same but for the last microsecond of times.
fn assert_same(live: &Value, read: &Value, place: &str) {
    assert_same_within(live, read, place, 0.002);
}

fn assert_same_within(live: &Value, read: &Value, place: &str, ms: f64) {
    match (live, read) {
        (Value::Object(live), Value::Object(read)) => {
            assert_eq!(live.keys().collect::<Vec<_>>(), read.keys().collect::<Vec<_>>(), "{place}");
            for (name, value) in live {
                assert_same_within(value, &read[name], &format!("{place}.{name}"), ms);
            }
        }
        (Value::Array(live), Value::Array(read)) => {
            assert_eq!(live.len(), read.len(), "{place}");
            for (at, (live, read)) in live.iter().zip(read).enumerate() {
                assert_same_within(live, read, &format!("{place}[{at}]"), ms);
            }
        }
        (Value::Number(live), Value::Number(read)) if place.ends_with("_ms") => {
            let (live, read) = (live.as_f64().unwrap(), read.as_f64().unwrap());
            // A time that was torn may be of any length; one of centuries is cut.
            if live.abs() > 1e12 {
                return;
            }
            assert!((live - read).abs() < ms, "{place}: {live} and {read}");
        }
        // The words have two or three digits of a time, of which the last may be rounded.
        (Value::String(live), Value::String(read)) if place.ends_with(".description") => {
            let words = |text: &str| {
                text.chars().filter(|letter| !letter.is_ascii_digit()).collect::<String>()
            };
            assert_eq!(words(live), words(read), "{place}");
        }
        _ => assert_eq!(live, read, "{place}"),
    }
}
