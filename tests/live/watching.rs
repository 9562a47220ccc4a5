//! What is told over time: blocking callbacks by their length, a shutdown by its stages.
//!
//! The programs log themselves when they did what. A machine that gives the tool no processor
//! makes it less exact; how much so it says itself, and that is allowed for. `scripts/bench`
//! measures how exact it is on a machine that is free.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use aiospy::Inspector;
use jiff::Timestamp;
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::enduring::id_of;
use super::families::is_long;
use super::support::{
    Program, Python, aiospy, check_stop_schema, check_watch_schema, parse, python, root, texts,
};
use super::{once, per_version, with_uvloop};

/// Time that the scheduled program runs: each kind with each length once.
const SECONDS: &str = "13";
/// What it does for longer than this has to be told.
const THRESHOLD_MS: f64 = 15.0;

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "watch::schedule", |_| true, |python| schedule(&python.path, &[], 2.0));
    per_version(
        trials,
        "watch::schedule+uvloop",
        |_| true,
        |python| schedule(with_uvloop(python), &["--uvloop"], 10.0),
    );
    per_version(
        trials,
        "watch::schedule+nest_asyncio",
        // It replaces what differs between these.
        |minor| [8, 12, 15].contains(&minor),
        |python| schedule(with_uvloop(python), &["--nest-asyncio"], 2.0),
    );
    per_version(
        trials,
        "watch::timing",
        |minor| [8, 12, 15].contains(&minor),
        |python| timing(&python.path, &[]),
    );
    per_version(
        trials,
        "watch::timing+uvloop",
        |minor| minor == 12,
        |python| timing(with_uvloop(python), &["--uvloop"]),
    );
    per_version(trials, "watch::position", |_| true, |python| position(&python.path));
    per_version(trials, "watch::light", |_| true, |python| light(&python.path, "asyncio"));
    per_version(
        trials,
        "watch::light+uvloop",
        |_| true,
        |python| light(with_uvloop(python), "uvloop"),
    );
    add_idle(trials);
    for kind in ["clean", "slow", "executor", "swallow", "deaf"] {
        per_version(
            trials,
            &format!("stop::{kind}"),
            |_| true,
            move |python| {
                stop(python, kind);
            },
        );
    }
    for (kind, code) in [("slow", "slow-callbacks"), ("leak", "task-leak")] {
        per_version(
            trials,
            &format!("watch::{kind}"),
            |_| true,
            move |python| {
                over_time(&python.path, kind, code);
            },
        );
    }
    for kind in ["crowded", "computing", "gc"] {
        per_version(
            trials,
            &format!("watch::kept::{kind}"),
            |minor| [8, 12, 15].contains(&minor),
            move |python| kept(&python.path, kind),
        );
    }
    per_version(trials, "watch::cancellations", |_| true, cancellations);
    per_version(trials, "watch::spin", |_| true, |python| spin(&python.path));
    per_version(trials, "watch::sequential", |_| true, |python| sequential(&python.path));
    per_version(
        trials,
        "watch::sequential+healthy",
        |_| true,
        |python| {
            let program = Program::start(&python.path, "overtime.py", &["sequential", "--healthy"]);
            let opened = sequences(&program);
            assert!(opened.is_empty(), "{opened:#?}");
        },
    );
    once(trials, "watch::interrupted", &[], || interrupted(&python("3.12").unwrap().path));
    once(trials, "watch::read_late", &[], || read_late(&python("3.12").unwrap().path));
    once(trials, "watch::unread", &[], || unread(&python("3.12").unwrap().path));
    once(trials, "stop::stopped", &[], || stop_of_stopped(&python("3.12").unwrap().path));
    once(trials, "watch::missed", &[], || missed(&python("3.12").unwrap().path));
    once(trials, "watch::reader_gone", &[], || reader_gone(&python("3.12").unwrap().path));
    once(trials, "watch::no_asyncio", &[], || no_asyncio(&python("3.12").unwrap().path));
    once(trials, "watch::exec", &[], || exec(&python("3.12").unwrap().path));
    once(trials, "watch::on_finding", &[], || on_finding(&python("3.12").unwrap().path));
    once(trials, "watch::on_finding+raised", &[], || {
        on_finding_raised(&python("3.12").unwrap().path);
    });
    once(trials, "watch::on_finding+interrupted", &[], || {
        on_finding_interrupted(&python("3.12").unwrap().path);
    });
    once(trials, "run::exit_code", &[], || run(&python("3.12").unwrap().path));
}

/// Services that do nothing, of which nothing is to be said.
fn add_idle(trials: &mut Vec<Trial>) {
    for idle in IDLE {
        for (suffix, on_uvloop, versions, is_busy) in idle.variants() {
            let versions: &[u32] = if is_long() { &[] } else { versions };
            per_version(
                trials,
                &format!("watch::idle::{}{suffix}", idle.name),
                |minor| versions.is_empty() || versions.contains(&minor),
                move |python| stays_silent(python, idle, on_uvloop, is_busy),
            );
        }
    }
}

/// A program that does next to nothing.
#[derive(Clone, Copy)]
struct Idle {
    name: &'static str,
    file: &'static str,
    options: &'static [&'static str],
    /// The versions on which it is watched in short, on asyncio's loop and on uvloop; on the second
    /// ones beside busy neighbours, too.
    versions: [&'static [u32]; 3],
}

const IDLE: [Idle; 5] = [
    Idle {
        name: "uvicorn",
        file: "healthy/idle_uvicorn.py",
        options: &[],
        versions: [&[12], &[9, 12, 15], &[12]],
    },
    Idle {
        name: "hypercorn",
        file: "healthy/idle_hypercorn.py",
        options: &[],
        versions: [&[], &[12], &[]],
    },
    Idle {
        name: "aiohttp",
        file: "healthy/idle_aiohttp.py",
        options: &[],
        versions: [&[], &[12], &[]],
    },
    Idle {
        name: "sleep1",
        file: "ticking.py",
        options: &["--kind", "1"],
        versions: [&[], &[12], &[]],
    },
    Idle {
        name: "sleep0.1",
        file: "ticking.py",
        options: &["--kind", "0.1"],
        versions: [&[12], &[11, 13], &[12]],
    },
];

impl Idle {
    /// The ends of its trials' names, with whether it is on uvloop, the versions in short (none:
    /// not in short), and whether the machine is busy.
    fn variants(&self) -> Vec<(&'static str, bool, &'static [u32], bool)> {
        let [asyncio, uvloop, busy] = self.versions;
        let all = [
            ("", false, asyncio, false),
            ("+uvloop", true, uvloop, false),
            ("+busy", false, &[][..], true),
            ("+uvloop+busy", true, busy, true),
        ];
        all.into_iter().filter(|(_, _, versions, _)| is_long() || !versions.is_empty()).collect()
    }
}

/// Nothing is told of one that does next to nothing.
fn stays_silent(python: &Python, idle: Idle, on_uvloop: bool, is_busy: bool) {
    let _neighbours: Vec<Program> =
        if is_busy { (0..2).map(|_| neighbour(&python.path)).collect() } else { Vec::new() };
    let options = idle.options.iter().copied().chain(on_uvloop.then_some("--uvloop"));
    let options: Vec<&str> = options.collect();
    let venv = python.venv.as_deref().unwrap();
    let program = Program::start(venv, idle.file, &options);
    let pid = program.pid().to_string();
    let duration = if is_long() { "60s" } else { "5s" };
    let output = aiospy(&["watch", &pid, "--duration", duration, "--interval", "4s"]);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let events = events(&stdout);
    assert!(of(&events, "blocking").is_empty(), "{stdout}");
    let opened = of(&events, "finding-opened").into_iter();
    let alarms: Vec<_> = opened.filter(|it| it["finding"]["severity"] != "info").collect();
    assert!(alarms.is_empty(), "{alarms:#?}");
    let told = of(&events, "statistics");
    assert!(!told.is_empty(), "{stdout}");
    for known in told.iter().flat_map(|it| it["loops"].as_array().unwrap()) {
        let number = |of: &Value| of.as_f64().unwrap_or_default();
        assert!(number(&known["busy"]) < 0.2, "{known:#}");
        assert!(number(&known["lag_mean_ms"]) < 2.0, "{known:#}");
        // It polls for a tenth of a second or longer each time: no iteration is like that.
        assert!(number(&known["ready"]["p50_ms"]) < 50.0, "{known:#}");
    }
}

/// One that takes a processor for itself until it is dropped.
fn neighbour(python: &Path) -> Program {
    let busy = "import os, threading\n\
        threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()\n\
        print('{}\\nREADY', flush=True)\nwhile True: pass";
    let mut command = Command::new(python);
    command.args(["-c", busy]);
    Program::spawn(command)
}

/// The tool, with its output to be read as it comes.
pub fn launch(arguments: &[&str]) -> Child {
    tool(arguments, Stdio::inherit())
}

fn tool(arguments: &[&str], errors: Stdio) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aiospy"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    command.spawn().unwrap()
}

pub fn events(text: &str) -> Vec<Value> {
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    events.iter().for_each(check_watch_schema);
    events
}

pub fn of<'e>(events: &'e [Value], name: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

/// Seconds since the epoch.
pub fn seconds(time: &Value) -> f64 {
    let time: Timestamp = time.as_str().unwrap().parse().unwrap();
    time.as_duration().as_secs_f64()
}

/// The difference between the clock that instants are told by and `CLOCK_MONOTONIC`.
pub fn offset() -> f64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    Timestamp::now().as_duration().as_secs_f64() - Duration::from(now).as_secs_f64()
}

/// What the frame of an iteration says when it is read alone is what it says on the whole stack.
fn position(python: &Path) {
    let program = Program::start(python, "blocked.py", &["--kind", "sleep"]);
    let inspector = Inspector::attach(program.pid()).unwrap();
    inspector
        .explore(|reader, view| {
            let runs = view.stacks.iter().flat_map(|(_, stack)| {
                let frames = stack.frames.iter();
                reader.iterations(stack).into_iter().filter_map(move |run| {
                    Some((run, frames.clone().find(|frame| frame.at == run.frame)?))
                })
            });
            let runs: Vec<_> = runs.collect();
            let [(run, frame)] = runs.as_slice() else { panic!("one loop runs: {runs:?}") };
            let known = reader.run_once_frame(frame).unwrap();
            let position = reader.position(&known).unwrap();
            assert_eq!(position, run.position);
            assert!(position.end_time.is_some() && position.index < position.total, "{position:?}");
        })
        .unwrap();
}

/// A glance at a busy loop takes few reads, most of the time: what is read the target has to fetch
/// back.
fn light(python: &Path, kind: &str) {
    let arguments = ["--connections", "50", "--loop", kind];
    let program = Program::start(python, "echoing.py", &arguments);
    let mut inspector = Inspector::attach(program.pid()).unwrap();
    let mut reads = Vec::new();
    for _ in 0..300 {
        let before = inspector.reader().memory.stats();
        let glance = inspector.glance().unwrap();
        let after = inspector.reader().memory.stats();
        assert!(glance.loops.len() <= 1, "{glance:?}");
        reads.push((after.calls - before.calls, after.bytes - before.bytes));
        std::thread::sleep(Duration::from_millis(1));
    }
    reads.sort_unstable();
    let (calls, bytes) = reads[reads.len() / 2];
    // On uvloop's the stack is walked, for the coroutine that runs.
    // With it libuv's time, a word or two.
    let (most_calls, most_bytes) = if kind == "uvloop" { (16, 65_536 + 64) } else { (2, 2048) };
    assert!(calls <= most_calls && bytes <= most_bytes, "{calls} reads, {bytes} bytes");
}

/// Each block of a schedule is told, with its length, kind and line. Only what is said to have been
/// missed of its samples may keep one from being told.
fn schedule(python: &Path, options: &[&str], exactness_ms: f64) {
    watch_schedule(python, options, "100ms", exactness_ms);
}

/// The same with loop statistics so often; gives what the tool says.
fn watch_schedule(python: &Path, options: &[&str], interval: &str, exactness_ms: f64) -> String {
    let mut arguments = vec!["--seconds", SECONDS];
    arguments.extend(options);
    let mut program = Program::start(python, "schedule.py", &arguments);
    let pid = program.pid().to_string();
    let threshold = format!("{THRESHOLD_MS}ms");
    let tool = launch(&["watch", &pid, "--threshold", &threshold, "--interval", interval]);
    let blocks = parse(&program.line());
    let output = tool.wait_with_output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    let events = events(&stdout);
    let offset = offset();
    let told: Vec<(f64, &Value)> =
        of(&events, "blocking").into_iter().map(|it| (seconds(&it["at"]) - offset, it)).collect();
    let started = seconds(&events[0]["at"]) - offset;
    let statistics = of(&events, "statistics");
    // One sample is due in each millisecond.
    let missed_ms = |began: f64, ended: f64| {
        let mut from = started;
        let mut missed = 0.0;
        for it in &statistics {
            let until = seconds(&it["at"]) - offset;
            if until >= began && from <= ended {
                missed += it["missed"].as_f64().unwrap();
            }
            from = until;
        }
        missed
    };
    let blocks = blocks.as_array().unwrap();
    let ends = |block: &Value| (block["began"].as_f64().unwrap(), block["ended"].as_f64().unwrap());
    let common = |block: &Value, (at, it): &(f64, &Value)| {
        let (began, ended) = ends(block);
        (at + it["length_ms"].as_f64().unwrap() / 1000.0).min(ended) - at.max(began)
    };
    // What is told is of the block that it has most in common with.
    let mut told_of = vec![None; blocks.len()];
    for it in &told {
        let by_common =
            |one: &&Value, other: &&Value| common(one, it).total_cmp(&common(other, it));
        let Some(block) = blocks.iter().max_by(by_common).filter(|block| common(block, it) > 0.0)
        else {
            continue;
        };
        let known = &mut told_of[blocks.iter().position(|one| one == block).unwrap()];
        if known.is_none_or(|known| common(block, known) < common(block, it)) {
            *known = Some(it);
        }
    }
    let mut wrong = Vec::new();
    let mut matched = 0;
    for (block, told) in blocks.iter().zip(told_of) {
        let (began, ended) = ends(block);
        // One from before it was attached may have been over by then.
        let length = (ended - began) * 1000.0;
        // One that has to wait for a processor may be let go by another thread at once.
        if began < started || length < THRESHOLD_MS {
            continue;
        }
        matched += 1;
        let Some((_, event)) = told else {
            let missed = missed_ms(began, ended);
            if length - THRESHOLD_MS > missed {
                let kind = &block["kind"];
                wrong.push(format!("{kind} of {length:.1} ms is not told, {missed} missed"));
            }
            continue;
        };
        let told_length = event["length_ms"].as_f64().unwrap();
        let uncertain = event["uncertainty_ms"].as_f64().unwrap();
        // Its iteration was as much longer as its thread had no processor.
        let waited = block["waited"].as_f64().unwrap() * 1000.0;
        let allowed = exactness_ms.max(0.02 * length) + uncertain + waited;
        if (told_length - length).abs() > allowed {
            let kind = &block["kind"];
            wrong.push(format!(
                "{kind} of {length:.1} ms is told as {told_length:.1} ± {uncertain:.1} ms"
            ));
        }
        // A block that was seen too few times to tell says so by its samples.
        if event["samples"].as_u64().unwrap() < 5 {
            continue;
        }
        // A busy machine may be what made it so long, or have let less than half of it be seen.
        let is_seen = event["samples"].as_f64().unwrap() >= length / 2.0;
        if is_seen && event["kind"] != block["kind"] && event["kind"] != "starved" {
            wrong.push(format!("{} of {length:.1} ms is told as {}", block["kind"], event["kind"]));
        }
        let frames = event["stacks"][0]["frames"].as_array().unwrap().iter();
        let own = frames.rev().find(|it| it["file"].as_str().unwrap().ends_with("schedule.py"));
        if own.is_none_or(|own| own["line"] != block["line"]) {
            wrong.push(format!("{} is told at {own:?}, not line {}", block["kind"], block["line"]));
        }
    }
    assert!(matched >= 18, "only {matched} blocks: {blocks:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(of(&events, "end")[0]["reason"], "target-ended");
    stdout
}

/// Whoever reads only later misses nothing.
fn read_late(python: &Path) {
    let told = watch_schedule(python, &[], "5ms", 2.0);
    // Several times what a pipe holds.
    assert!(told.len() > 4 << 16, "only {} bytes", told.len());
}

/// Nor does a reader that takes nothing keep it from its end.
fn unread(python: &Path) {
    let mut program = Program::start(python, "schedule.py", &["--seconds", "5"]);
    let pid = program.pid().to_string();
    let mut tool = tool(&["watch", &pid, "--interval", "2ms"], Stdio::piped());
    let unread = tool.stdout.take().unwrap();
    // When it is over, far more than a pipe holds was said.
    program.line();
    kill(id_of(&tool), Signal::SIGTERM).unwrap();
    let output = tool.wait_with_output().unwrap();
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("nobody reads it: its last "), "{stderr}");
    drop(unread);
}

/// What only shows over time is told once, and its healthy twin gives nothing.
fn over_time(python: &Path, kind: &str, code: &str) {
    let watch = |twin: Option<&str>| {
        let arguments: Vec<&str> = std::iter::once(kind).chain(twin).collect();
        let program = Program::start(python, "overtime.py", &arguments);
        let pid = program.pid().to_string();
        let options = ["--duration", "9s", "--growth-over", "6s", "--whole-every", "200ms"];
        let output = aiospy(&[&["watch", &pid][..], &options].concat());
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{stderr}");
        let events = events(&stdout);
        let opened = of(&events, "finding-opened");
        let alarms = opened.iter().map(|it| &it["finding"]).filter(|it| it["severity"] != "info");
        // A look that falls on a block sees just that, too.
        alarms.filter(|it| it["code"] != "loop-blocked").cloned().collect::<Vec<Value>>()
    };
    let (ill, healthy) = std::thread::scope(|scope| {
        let healthy = scope.spawn(|| watch(Some("--healthy")));
        (watch(None), healthy.join())
    });
    assert_eq!(ill.len(), 1, "{ill:#?}");
    assert_eq!(ill[0]["code"], code);
    let healthy = healthy.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert!(healthy.is_empty(), "{healthy:#?}");
}

/// What keeps a loop is blamed: not the program's line, where that is another process or the
/// garbage collector.
fn kept(python: &Path, kind: &str) {
    let program = Program::start(python, "kept.py", &[kind]);
    let pid = program.pid().to_string();
    let mut tool = launch(&["watch", &pid, "--whole-every", "100ms"]);
    let mut told = Vec::new();
    for line in BufReader::new(tool.stdout.take().unwrap()).lines().map_while(Result::ok) {
        told.extend(events(&line));
        let is_enough = match kind {
            "gc" => {
                of(&told, "finding-opened").iter().any(|it| it["finding"]["code"] == "gc-pause")
            }
            _ => of(&told, "blocking").len() == 4,
        };
        if is_enough {
            break;
        }
    }
    kill(id_of(&tool), Signal::SIGKILL).unwrap();
    tool.wait().unwrap();
    let blocks = of(&told, "blocking");
    let wanted: &[&str] = match kind {
        "crowded" => &["starved"],
        "computing" => &["cpu"],
        // The machine may be busy, too.
        _ => &["gc", "starved"],
    };
    for block in &blocks {
        assert!(wanted.contains(&block["kind"].as_str().unwrap()), "{block:#}");
    }
    assert!(kind == "gc" || !blocks.is_empty(), "{told:#?}");
    if kind != "computing" {
        let opened = of(&told, "finding-opened");
        let blames_program = opened.iter().find(|it| {
            let finding = &it["finding"];
            let file = finding["place"]["file"].as_str().unwrap_or_default();
            // That is not known of one who may have had no processor.
            let is_sure = !finding["title"].as_str().unwrap().ends_with("or no processor");
            file.ends_with("kept.py") && is_sure
        });
        assert_eq!(blames_program, None);
    }
}

/// What becomes of each cancellation is told, with the moments.
fn cancellations(python: &Python) {
    let mut program = Program::start::<&str>(&python.path, "cancelling.py", &[]);
    let mut tool = launch(&["watch", &program.pid().to_string(), "--whole-every", "50ms"]);
    let mut lines = BufReader::new(tool.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert_eq!(parse(&first)["event"], "start");
    program.say("go");
    let log = parse(&program.line());
    let offset = offset();
    let ids = program.truth.clone();
    program.end();
    let events = events(&lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
    assert!(tool.wait().unwrap().success());
    let fates = |name: &str| -> Vec<(&str, f64)> {
        let told = of(&events, "cancellation").into_iter().filter(|it| it["task"] == ids[name]);
        told.map(|it| (it["fate"].as_str().unwrap(), seconds(&it["at"]) - offset)).collect()
    };
    // The samples are 50 ms apart, what became of it is told by the second one, and a machine that
    // is busy may come late.
    let check = |name: &str, wanted: &[(&str, f64)]| {
        let told: Vec<_> = fates(name);
        // Between request and delivery there is less than a millisecond: it may not be seen.
        let told = told.iter().filter(|(fate, _)| *fate != "requested").collect::<Vec<_>>();
        let names = |it: &[(&str, f64)]| it.iter().map(|(fate, _)| (*fate).to_owned()).collect();
        let seen: Vec<String> = told.iter().map(|(fate, _)| (*fate).to_owned()).collect();
        let expected: Vec<String> = names(wanted);
        assert_eq!(seen, expected, "{name}: {told:?}");
        for ((fate, at), (_, truth)) in told.into_iter().zip(wanted) {
            assert!((-0.02..0.4).contains(&(at - truth)), "{name}: {fate} at {at}, was at {truth}");
        }
    };
    let at = |name: &str, what: &str| log[name][what].as_f64().unwrap();
    let (asked, ended) = (at("cleaner", "asked"), at("cleaner", "ended"));
    check("cleaner", &[("cleaning-up", asked), ("finished", ended)]);
    let (asked, went_on) = (at("eater", "asked"), at("eater", "went_on"));
    check("eater", &[("cleaning-up", asked), ("swallowed", went_on)]);
    let line = std::fs::read_to_string(root().join("tests/programs/cancelling.py")).unwrap();
    let line = line.lines().position(|line| line.ends_with("# eaten")).unwrap() + 1;
    let eaten = of(&events, "cancellation").into_iter().find(|it| it["fate"] == "swallowed");
    assert_eq!(eaten.unwrap()["place"]["line"], line);
    if python.minor() >= 11 {
        let (asked, went_on) = (at("taker", "asked"), at("taker", "went_on"));
        check("taker", &[("cleaning-up", asked), ("handled", went_on)]);
    }
    assert_eq!(fates("awaiter"), []);
}

/// A loop that turns without doing anything is told from the glances between two looks, a busy one
/// is not.
fn spin(python: &Path) {
    for twin in [None, Some("--healthy")] {
        let mut command = Command::new(python);
        command.arg("-B").arg(root().join("tests/programs/scenarios/busy_spin.py")).args(twin);
        let program = Program::spawn(command);
        let pid = program.pid().to_string();
        let output = aiospy(&["watch", &pid, "--duration", "4s", "--rate", "200"]);
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{stderr}");
        let events = events(&stdout);
        let opened = of(&events, "finding-opened");
        let codes: Vec<_> =
            opened.iter().map(|it| it["finding"]["code"].as_str().unwrap()).collect();
        assert_eq!(codes, if twin.is_some() { vec![] } else { vec!["busy-spin"] }, "{stdout}");
    }
}

/// The findings of calls that are made one after the other, as they were told first.
fn sequences(program: &Program) -> Vec<Value> {
    let pid = program.pid().to_string();
    let output = aiospy(&["watch", &pid, "--duration", "9s", "--whole-every", "250ms"]);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let events = events(&stdout);
    assert_eq!(of(&events, "end")[0]["reason"], "stopped", "one of the tasks has ended");
    let opened = of(&events, "finding-opened").into_iter();
    opened.filter(|it| it["finding"]["code"] == "sequential-awaits").cloned().collect()
}

/// Each task that makes its calls one after the other is told, with the line, what it calls, and
/// how many calls it has made by then.
fn sequential(python: &Path) {
    let mut program = Program::start(python, "overtime.py", &["sequential"]);
    let opened = sequences(&program);
    program.say("when");
    let began = parse(&program.line());
    let offset = offset();
    let lines = program.truth["lines"].as_object().unwrap();
    for (task, truth) in lines {
        let mut found = opened.iter().filter(|event| {
            let title = event["finding"]["title"].as_str().unwrap();
            title.starts_with(&format!("{task} awaits calls of "))
        });
        let (Some(event), None) = (found.next(), found.next()) else {
            panic!("{task}: {opened:#?}");
        };
        let finding = &event["finding"];
        let title = finding["title"].as_str().unwrap();
        let place = format!(" at overtime.py:{}", truth["line"]);
        let callee = truth["callee"].as_str().unwrap();
        assert!(title.contains(&format!(" calls of {callee} one after")), "{title}");
        assert!(title.contains(&place), "{title} is not at {place}");
        assert_eq!(
            (&finding["severity"], &finding["sureness"]),
            (&"info".into(), &"guessed".into())
        );
        let at = seconds(&event["at"]) - offset;
        let calls = began[task].as_array().unwrap();
        let made = calls.iter().filter(|began| began.as_f64().unwrap() < at).count();
        let numbers = finding["evidence"][2]["text"].as_str().unwrap();
        let numbers = numbers.split(':').next().unwrap();
        let told: usize = numbers
            .split(|it: char| !it.is_ascii_digit())
            .find_map(|number| number.parse().ok())
            .unwrap();
        if numbers.contains(" done") {
            // One may have begun while it was read, and what is told may be of the sample before.
            assert!((made.saturating_sub(4)..=made + 1).contains(&(told + 1)), "{title}: {made}");
        } else {
            assert!((10..=made + 1).contains(&told), "{title}: {made}");
        }
    }
    assert_eq!(opened.len(), lines.len(), "{opened:#?}");
}

/// What the program logged, by name.
fn logged(log: &Value, name: &str) -> f64 {
    log[name].as_f64().unwrap_or_else(|| panic!("no {name} in {log}"))
}

/// A shutdown is told as it was.
fn stop(python: &Python, kind: &str) {
    let mut program = Program::start(&python.path, "stopping.py", &[kind]);
    let pid = program.pid().to_string();
    let ends = !matches!(kind, "swallow" | "deaf");
    let grace = if ends { "60s" } else { "1s" };
    let output = aiospy(&["stop", "--json", "--grace", grace, &pid]);
    let (stdout, stderr) = texts(&output);
    let told: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    assert_eq!(told["schema"], "aiospy.stop/1");
    check_stop_schema(&told);
    assert_eq!(output.status.code(), Some(if ends { 0 } else { 3 }), "{stderr}{told:#}");
    assert_eq!(told["outcome"], if ends { "ended" } else { "grace-over" });
    let sent = seconds(&told["sent_at"]);
    let stages: Vec<&str> =
        told["stages"].as_array().unwrap().iter().map(|it| it["stage"].as_str().unwrap()).collect();
    // The samples are 20 ms apart, and a machine that is busy may come late.
    let is_near = |told_ms: &Value, logged: f64| {
        let told = told_ms.as_f64().unwrap();
        let truth = (logged - sent) * 1000.0;
        assert!((told - truth).abs() <= 100.0, "told at {told} ms, was at {truth} ms");
    };
    let ids = program.truth.clone();
    let asked = |id: &str| {
        let cancelled = told["cancelled"].as_array().unwrap();
        cancelled.iter().find(|it| it["id"] == ids[id]).cloned()
    };
    match kind {
        "clean" => assert!(!stages.contains(&"default-executor"), "{stages:?}"),
        "slow" => {
            let log = parse(&program.line());
            assert_eq!(stages, ["cancel-all"], "{told:#}");
            is_near(&told["stages"][0]["began_ms"], logged(&log, "cancelled"));
            is_near(&told["stages"][0]["ended_ms"], logged(&log, "cleaned"));
            is_near(&asked("cleaner").unwrap()["asked_ms"], logged(&log, "cancelled"));
        }
        // `asyncio.run` closes the default executor from 3.9 on; before, the pool's own end is
        // what the interpreter waits for.
        "executor" => {
            let log = parse(&program.line());
            let last = &told["stages"][stages.len() - 1];
            let wanted =
                if python.minor() >= 9 { "default-executor" } else { "interpreter-threads" };
            assert_eq!(last["stage"], wanted, "{told:#}");
            is_near(&last["ended_ms"], logged(&log, "job_ended"));
        }
        "swallow" => {
            assert_eq!(stages, ["cancel-all"], "{told:#}");
            assert!(told["stages"][0].get("ended_ms").is_none());
            assert!(asked("consumer").is_some_and(|it| it.get("ended_ms").is_none()), "{told:#}");
            let findings = told["findings"].as_array().unwrap();
            let codes: Vec<_> = findings.iter().map(|it| it["code"].as_str().unwrap()).collect();
            assert!(codes.contains(&"cancel-swallowed"), "{told:#}");
            let eaten = findings.iter().find(|it| it["code"] == "cancel-swallowed").unwrap();
            assert_eq!(eaten["tasks"][0], program.truth["consumer"]);
        }
        _ => {
            assert!(stages.is_empty(), "{told:#}");
            assert_eq!(told["cancelled"], Value::Array(vec![]));
        }
    }
}

/// A signal ends it at once, with its summary.
fn interrupted(python: &Path) {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let program = Program::start(python, "schedule.py", &["--seconds", "60"]);
        let mut tool = launch(&["watch", &program.pid().to_string()]);
        let mut lines = BufReader::new(tool.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(
            (&first["event"], &first["schema"]),
            (&"start".into(), &"aiospy.watch/1".into())
        );
        kill(id_of(&tool), signal).unwrap();
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        assert!(tool.wait().unwrap().success());
        let last: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
        assert_eq!((&last["event"], &last["reason"]), (&"end".into(), &"stopped".into()));
    }
}

/// A program that replaces itself is watched on.
fn exec(python: &Path) {
    let script = "import asyncio, os, sys\n\
        async def main():\n    await asyncio.sleep(1.5)\n\
        n = int(sys.argv[1])\n\
        asyncio.run(main())\n\
        if n: os.execv(sys.executable, [sys.executable, '-c', sys.argv[2], str(n - 1), sys.argv[2]])";
    let mut command = Command::new(python);
    command.args(["-c", script, "1", script]).stdin(Stdio::null());
    let mut child = command.spawn().unwrap();
    // Before it has imported asyncio there is nothing to be read.
    let output = aiospy(&["watch", &child.id().to_string(), "--duration", "60s"]);
    assert!(child.wait().unwrap().success());
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let events = events(&stdout);
    assert_eq!(of(&events, "reattached").len(), 1, "{stdout}");
    assert_eq!(of(&events, "end")[0]["reason"], "target-ended");
}

/// One that is stopped is not ended by a signal that waits until it goes on.
fn stop_of_stopped(python: &Path) {
    let program = Program::start(python, "many.py", &["5", "2"]);
    kill(Pid::from_raw(program.pid()), Signal::SIGSTOP).unwrap();
    let output = aiospy(&["stop", &program.pid().to_string(), "--grace", "1"]);
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    for part in ["the signal was not delivered", "stopped from outside", "SIGCONT"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}

/// How a loop spends its time is told at each rate as the program logs it itself.
fn timing(python: &Path, options: &[&str]) {
    let mut program = Program::start(python, "timing.py", &[&["--seconds", "8"], options].concat());
    let pid = program.pid().to_string();
    let tools = [1000.0, 20.0].map(|rate| {
        let rate_text = rate.to_string();
        (rate, launch(&["watch", &pid, "--rate", &rate_text, "--interval", "7s"]))
    });
    let truth = parse(&program.line());
    let number = |of: &Value| of.as_f64().unwrap();
    for (rate, tool) in tools {
        let (stdout, _) = texts(&tool.wait_with_output().unwrap());
        let events = events(&stdout);
        let told = &of(&events, "statistics")[0]["loops"][0];
        // Some 30 of 140 glances at 20 Hz fall in the work, each at a chance moment of it; and on a
        // machine that is busy long work is seen more often than short.
        let (share, factor) = if rate > 100.0 { (0.1, 2.0) } else { (0.2, 3.0) };
        let is_near = |told: &Value, truth: &Value| {
            (1.0 / factor..factor).contains(&(number(told) / number(truth)))
        };
        let off = number(&told["busy"]) - number(&truth["busy"]);
        // Of the time in which the tool itself got no processor it can't say anything.
        let unseen = 1.0 - number(&told["glances"]) / (rate * 7.0);
        assert!(off.abs() < share + unseen.max(0.0), "{rate}: {told:#} {truth:#}");
        assert!(is_near(&told["ready"]["p50_ms"], &truth["work_ms"]), "{rate}: {told:#} {truth:#}");
        // Only waits that are longer than glances are apart are seen by two.
        if rate > 100.0 {
            assert!(is_near(&told["poll"]["p50_ms"], &truth["wait_ms"]), "{told:#} {truth:#}");
        } else if let Some(p50) = told["poll"]["p50_ms"].as_f64() {
            assert!(p50 > 45.0, "{told:#}");
        }
    }
}

/// All samples that were due are accounted for, also those that whole ones of many tasks left no
/// time for.
fn missed(python: &Path) {
    let program = Program::start(python, "many.py", &["20000", "2"]);
    let output = aiospy(&["watch", &program.pid().to_string(), "--duration", "4s"]);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let events = events(&stdout);
    let end = of(&events, "end")[0];
    let number = |field: &str| end[field].as_f64().unwrap();
    let accounted = (number("samples") + number("missed")) / number("duration_ms");
    assert!((0.95..1.05).contains(&accounted), "{accounted} of those each ms: {end}");
}

/// A reader that goes away ends it, also when there is nothing to say for long.
fn reader_gone(python: &Path) {
    let program = Program::start(python, "many.py", &["5", "2"]);
    let mut tool = launch(&["watch", &program.pid().to_string(), "--interval", "1h"]);
    let mut lines = BufReader::new(tool.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("aiospy.watch/1"));
    drop(lines);
    assert!(tool.wait().unwrap().success());
}

/// A program without asyncio is said to be one, and is not asked to end.
fn no_asyncio(python: &Path) {
    let mut command = Command::new(python);
    command.args(["-c", "print('READY', flush=True); input()"]);
    let program = Program::spawn(command);
    let pid = program.pid().to_string();
    let cause = "has not imported asyncio";
    let output = aiospy(&["watch", &pid, "--duration", "4s"]);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let events = events(&stdout);
    let told = of(&events, "unreadable");
    assert_eq!(told.len(), 1, "{stdout}");
    assert!(told[0]["cause"].as_str().unwrap().contains(cause), "{stdout}");
    assert!(events.last().unwrap()["samples"].as_u64().unwrap() > 100, "{stdout}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.aiospy");
    for arguments in [
        &["stop", &pid, "--grace", "60"][..],
        &["record", &pid, "-d", "60s", "-o", file.to_str().unwrap()],
    ] {
        let output = aiospy(arguments);
        let (_, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(cause) && stderr.contains("pgrep"), "{stderr}");
    }
    assert!(!file.exists());
    assert!(kill(Pid::from_raw(program.pid()), None).is_ok());
}

/// A command that runs when watching is ended does not hold that up.
fn on_finding_interrupted(python: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("told");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut command = Command::new(python);
    command.arg("-B").arg(root().join("tests/programs/scenarios/deadlock.py"));
    let program = Program::spawn(command);
    let hook = format!("echo told > '{}'; exec sleep 60", fifo.display());
    let pid = program.pid().to_string();
    let tool = tool(&["watch", &pid, "--on-finding", &hook], Stdio::piped());
    assert_eq!(std::fs::read_to_string(&fifo).unwrap(), "told\n");
    kill(id_of(&tool), Signal::SIGTERM).unwrap();
    let output = tool.wait_with_output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("watching has ended, and echo told"), "{stderr}");
    assert_eq!(events(&stdout).last().unwrap()["event"], "end");
}

/// The command for findings gets each as JSON.
fn on_finding(python: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("findings");
    let mut command = Command::new(python);
    command.arg("-B").arg(root().join("tests/programs/scenarios/deadlock.py"));
    let program = Program::spawn(command);
    let hook = format!("cat >> '{}'", file.display());
    let output = aiospy(&[
        "watch",
        &program.pid().to_string(),
        "--duration",
        "3s",
        "--fail-on",
        "critical",
        "--on-finding",
        &hook,
    ]);
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let opened = events(&stdout);
    let opened = of(&opened, "finding-opened");
    assert_eq!(opened.len(), 1, "{stdout}");
    let given: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(given, opened[0]["finding"]);
}

/// A finding that becomes a warning while it is watched is one that the command is told of.
fn on_finding_raised(python: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("findings");
    let mut command = Command::new(python);
    command.arg("-B").arg(root().join("tests/programs/scenarios/slow_holder.py"));
    let program = Program::spawn(command);
    // It tells the tool to end: no time limit that a busy machine upsets.
    let hook = format!("cat >> '{}'; kill -INT $PPID", file.display());
    let pid = program.pid().to_string();
    let arguments = ["watch", &pid, "--fail-on", "warning", "--duration", "60s"];
    let output = aiospy(&[&arguments[..], &["--on-finding", &hook]].concat());
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let told = events(&stdout);
    assert_eq!(of(&told, "finding-opened")[0]["finding"]["severity"], "info", "{stdout}");
    let updated = of(&told, "finding-updated");
    let raised = updated.iter().find(|event| event["severity_before"] == "info").unwrap();
    let given: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((&given["severity"], &given), (&Value::from("warning"), &raised["finding"]));
    assert_eq!(told.last().unwrap()["findings"], serde_json::json!({ "warning": 1 }));
}

/// A program that is run keeps its output and its exit code.
fn run(python: &Path) {
    let code = "import asyncio, sys; asyncio.run(asyncio.sleep(0.2)); print('out'); sys.exit(7)";
    let python = python.to_str().unwrap();
    let output: Output = aiospy(&["run", "--", python, "-c", code]);
    let (stdout, _) = texts(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(7), "out\n"));
    let signal = "import os; os.kill(os.getpid(), 9)";
    let output: Output = aiospy(&["run", "--", python, "-c", signal]);
    assert_eq!(output.status.code(), Some(128 + 9));
    let output: Output = aiospy(&["run", "--", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("can't start /no/such/program"));
}
