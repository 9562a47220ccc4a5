//! What the tool concludes: each scenario gives its finding, and a healthy program none.
//!
//! A scenario says itself what is wrong with it, by construction (see `stage.py`), and the tool
//! has to say the same: code, severity, tasks, lines, and the one word that tells the kind.
//! `AIOSPY_HEALTHY_DUMPS` is how often a healthy program is looked at; `AIOSPY_SEED`, which a failure
//! names, gives the same pauses between again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::situation::Need;
use super::support::expected::{Given, differences, listed, wrong_waits};
use super::support::{self, Program, Python, aiospy, dump, texts};
use super::{per_version_with, with_uvloop};

/// Times that a healthy program is looked at, unless the environment says more.
const HEALTHY_DUMPS: usize = 4;
/// Longest wait between two of them, so that they fall on random moments.
const GAP: Duration = Duration::from_millis(40);

/// A program that goes wrong in one way.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    /// The file below `tests/programs/scenarios`, with its arguments.
    command: &'static str,
    /// Minor versions on which it can exist.
    versions: (u32, u32),
    /// Whether it needs libraries of the virtual environment.
    libraries: bool,
    /// Whether it has a healthy twin.
    twin: bool,
    /// Whether the heap is searched.
    heap: bool,
}

const fn scenario(command: &'static str) -> Scenario {
    Scenario { command, versions: (8, 15), libraries: false, twin: false, heap: false }
}

impl Scenario {
    /// With a twin that does the same right, and must give no finding.
    const fn twin(self) -> Self {
        Self { twin: true, ..self }
    }

    /// What `check` and `dump` are given.
    const fn options(self) -> &'static [&'static str] {
        if self.heap { &["--heap"] } else { &[] }
    }

    const fn since(self, minor: u32) -> Self {
        Self { versions: (minor, self.versions.1), ..self }
    }

    const fn until(self, minor: u32) -> Self {
        Self { versions: (self.versions.0, minor), ..self }
    }

    /// Whose findings, or whose health, only a search of the heap can show.
    const fn heap(self) -> Self {
        Self { heap: true, ..self }
    }

    const fn libraries(self) -> Self {
        Self { libraries: true, ..self }
    }
}

const SCENARIOS: &[Scenario] = &[
    scenario("aiohttp_stream").libraries().twin(),
    scenario("anyio_deadlock").libraries().twin(),
    // anyio 3, which is there for 3.8, hands over otherwise; what is there from 3.11 on has learnt it.
    scenario("anyio_handover").since(9).until(10).libraries().twin(),
    scenario("anyio_stream").libraries().twin(),
    scenario("anyio_stream --kind endless").libraries().twin(),
    scenario("anyio_stream --kind unbuffered").libraries().twin(),
    scenario("anyio_threads").libraries().twin(),
    scenario("asyncgen_open").twin(),
    scenario("asyncgens_shutdown"),
    scenario("await_itself").twin(),
    scenario("await_itself_gather"),
    scenario("busy_spin").twin(),
    scenario("busy_task"),
    scenario("cancel_undelivered"),
    scenario("cleanup_shutdown"),
    scenario("cleanup_stuck").twin(),
    scenario("condition_convoy").twin(),
    scenario("cross_loop"),
    scenario("deadlock").twin(),
    scenario("deadlock_executor"),
    scenario("deadlock_mixed --kind gather"),
    scenario("deadlock_mixed --kind task"),
    scenario("deadlock_reentrant"),
    scenario("deadlock_semaphore"),
    scenario("deadlock_tasks"),
    scenario("deadlock_three"),
    scenario("exception_unretrieved").twin(),
    scenario("executor_job").twin(),
    scenario("executor_nested"),
    scenario("executor_saturated").twin(),
    scenario("executor_shutdown").twin(),
    scenario("failed_unlisted").heap().twin(),
    scenario("greenlet_blocked").until(13).libraries().twin(),
    scenario("greenlet_waits").until(13).libraries(),
    scenario("group_convoy").since(11),
    scenario("group_goes_on").since(11).twin(),
    scenario("handler_lock").twin(),
    scenario("held_lock").twin(),
    scenario("hypercorn_stream").libraries().twin(),
    scenario("interpreter_threads"),
    scenario("island --kind closure").heap().twin(),
    scenario("island --kind condition").heap().twin(),
    scenario("island --kind event").heap().twin(),
    scenario("island --kind job").heap().twin(),
    scenario("joined_middleware").libraries().twin(),
    scenario("lent_permit --kind anyio").libraries().twin(),
    scenario("lent_permit --kind default").twin(),
    scenario("lent_permit --kind lambda").twin(),
    scenario("lent_permit --kind method").twin(),
    scenario("lent_permit --kind partial").twin(),
    scenario("lock_convoy").twin(),
    scenario("lock_free --kind lock").twin(),
    scenario("lock_free --kind semaphore").twin(),
    scenario("lock_lost").twin(),
    scenario("loop_blocked --kind cpu"),
    scenario("loop_blocked --kind dns"),
    scenario("loop_blocked --kind file"),
    scenario("loop_blocked --kind future-result"),
    scenario("loop_blocked --kind lock"),
    scenario("loop_blocked --kind sleep"),
    scenario("loop_blocked --kind socket"),
    scenario("loop_blocked --kind subprocess"),
    scenario("multiprocessing_pool").twin(),
    scenario("multiprocessing_pool --kind killed"),
    scenario("nested_run"),
    scenario("nested_self").until(14).libraries().twin(),
    scenario("nested_self --kind lock").until(14).libraries(),
    scenario("never_awaited").twin(),
    scenario("gather_straggler").twin(),
    scenario("orphan_wait").twin(),
    scenario("orphan_wait --kind callback").twin(),
    scenario("orphaned"),
    scenario("overdue").since(11).twin(),
    scenario("overdue_wait_for").twin(),
    scenario("own_queue").libraries(),
    scenario("own_thread --kind simple").twin(),
    scenario("own_thread --kind queue").twin(),
    scenario("own_thread --kind over"),
    scenario("own_thread --kind over_queue"),
    scenario("peer_silent").twin(),
    scenario("peer_silent_anyio").libraries().twin(),
    scenario("permit_lost").twin(),
    scenario("pool_exhausted --kind aiohttp").libraries().twin(),
    scenario("pool_exhausted --kind aiohttp_host").libraries().twin(),
    scenario("pool_exhausted --kind httpx").libraries().twin(),
    scenario("pool_exhausted --kind httpx_nested").libraries(),
    scenario("pool_exhausted --kind httpx_open").libraries(),
    scenario("process_pool").twin(),
    scenario("process_pool --kind one"),
    // From 3.14 on one takes the place of the last that retires.
    scenario("process_pool --kind retired").since(11).until(13).twin(),
    scenario("process_pool --kind silent"),
    scenario("process_pool --kind stopped").twin(),
    scenario("queue_dead_consumer").twin(),
    scenario("queue_forgotten --kind handed").twin(),
    scenario("queue_forgotten --kind skipped").twin(),
    scenario("queue_join").twin(),
    scenario("queue_no_producer"),
    scenario("ready_backlog").twin(),
    scenario("requests_get").libraries().twin(),
    scenario("retry").twin(),
    scenario("self_result").twin(),
    scenario("semaphore_sockets").twin(),
    scenario("sigint").since(11),
    scenario("socket_stalled").twin(),
    scenario("socket_stalled --kind uvloop").libraries().twin(),
    scenario("socket_stalled_send").twin(),
    scenario("sqlite_busy").libraries().twin(),
    scenario("standstill").twin(),
    scenario("subprocess_stuck").twin(),
    scenario("subprocess_stuck --kind drain"),
    scenario("subprocess_stuck --kind held"),
    scenario("subprocess_stuck --kind kept"),
    scenario("subprocess_stuck --kind shell"),
    scenario("subprocess_stuck --kind stderr"),
    scenario("subprocess_stuck --kind uvloop").libraries().twin(),
    scenario("swallowed").since(11).twin(),
    scenario("swallowed_shutdown"),
    scenario("swallowed_wait_for").until(11),
    scenario("taskgroup_refuses").since(11).twin(),
    scenario("thread_join"),
    scenario("tls_close").until(10).twin(),
    scenario("uvicorn_startup").libraries().twin(),
    scenario("uvicorn_startup --kind called").libraries().twin(),
    scenario("uvicorn_startup --kind endless").libraries().twin(),
    scenario("uvicorn_stream").libraries().twin(),
    scenario("wakeup_lost").twin(),
];

/// A healthy program of `tests/programs/healthy`, which runs on uvloop too.
const HEALTHY: &[Scenario] = &[
    scenario("acknowledged"),
    // What is there for older ones loses those in line when the first of them gives up.
    scenario("anyio_churn").since(11).libraries(),
    scenario("anyio_group").libraries(),
    scenario("anyio_limited").libraries(),
    scenario("awaited_in_turn"),
    scenario("backpressure"),
    scenario("busy_aiohttp").libraries(),
    scenario("busy_service"),
    scenario("cancelling_children"),
    scenario("changing_hands"),
    scenario("cleaning_up"),
    scenario("context_managers"),
    scenario("cooperative"),
    scenario("counted"),
    scenario("driven_by_hand"),
    scenario("executor_jobs"),
    scenario("failed_children"),
    scenario("failed_group").since(11),
    scenario("farewells"),
    scenario("fast_sender"),
    scenario("given_back"),
    scenario("greenlets").until(13).libraries(),
    scenario("groups"),
    scenario("herd"),
    scenario("idle_aiohttp").libraries(),
    scenario("idle_hypercorn").libraries(),
    scenario("idle_uvicorn").libraries(),
    scenario("known_events").heap(),
    scenario("limited"),
    scenario("listeners"),
    scenario("long_polls").libraries(),
    scenario("orders-asyncio/main"),
    scenario("own_clock"),
    scenario("pacing"),
    scenario("pool"),
    scenario("pool_beat"),
    scenario("pool_beat --kind slow"),
    scenario("queue_workers"),
    scenario("rate_limit"),
    scenario("replies"),
    scenario("restarting"),
    scenario("run_forever --kind future"),
    scenario("run_forever"),
    scenario("short_blocks"),
    scenario("signalling"),
    scenario("sleepers"),
    scenario("starting_processes"),
    scenario("stopping_aiohttp").libraries(),
    scenario("stopping_uvicorn").libraries(),
    scenario("subprocesses"),
    scenario("subscribers"),
    scenario("talkers"),
    scenario("threads"),
    scenario("timeouts"),
    scenario("unkept_tasks"),
    scenario("websocket").libraries(),
    scenario("websocket_asks").libraries(),
];

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    for scenario in SCENARIOS {
        let name = scenario.command.replace(" --kind ", "_");
        let needs: &[Need] = if name.ends_with("dns") { &[Need::Namespaces] } else { &[] };
        let command = format!("scenarios/{}", scenario.command);
        let mut add = |name: String, command: String, run: fn(&Path, &str, &[&str])| {
            let (libraries, (first, last)) = (scenario.libraries, scenario.versions);
            let options = scenario.options();
            let applies =
                move |version: &str, _: Option<&Python>| (first..=last).contains(&minor(version));
            let run = move |python: &Python| run(interpreter(python, libraries), &command, options);
            per_version_with(trials, &name, needs, applies, run);
        };
        add(format!("findings::{name}"), command.clone(), finds);
        if scenario.twin {
            add(format!("healthy::twin::{name}"), format!("{command} --healthy"), is_silent);
        }
    }
    for healthy in HEALTHY {
        let name = healthy.command.replace(" --kind ", "_");
        let command = format!("healthy/{}", healthy.command);
        let (libraries, (first, last)) = (healthy.libraries, healthy.versions);
        let applies =
            move |version: &str, _: Option<&Python>| (first..=last).contains(&minor(version));
        let options = healthy.options();
        let on_asyncio = {
            let command = command.clone();
            move |python: &Python| is_silent(interpreter(python, libraries), &command, options)
        };
        per_version_with(trials, &format!("healthy::{name}"), &[], applies, on_asyncio);
        let command = format!("{command} --uvloop");
        let on_uvloop = move |python: &Python| is_silent(with_uvloop(python), &command, options);
        per_version_with(trials, &format!("healthy::{name}+uvloop"), &[], applies, on_uvloop);
    }
}

/// The `12` of 3.12.
fn minor(version: &str) -> u32 {
    version.split('.').nth(1).unwrap().parse().unwrap()
}

/// The interpreter, with libraries if need be.
fn interpreter(python: &Python, libraries: bool) -> &Path {
    if libraries { python.venv.as_deref().unwrap() } else { &python.path }
}

/// Starts a program with its arguments.
fn start(python: &Path, command: &str) -> Program {
    let mut words = command.split(' ');
    let file = format!("{}.py", words.next().unwrap());
    let mut command = Command::new(python);
    // No trace of it is to stay in the source tree.
    command.arg("-B").arg(support::root().join("tests/programs").join(file)).args(words);
    Program::spawn(command)
}

/// Runs `aiospy check --json`: its findings, its exit code, and what it said.
fn check(pid: i32, options: &[&str]) -> (Vec<Value>, Option<i32>, String) {
    let pid = pid.to_string();
    let mut arguments = vec!["check", "--json=full"];
    arguments.extend(options);
    arguments.push(&pid);
    let output = aiospy(&arguments);
    let (stdout, stderr) = texts(&output);
    let Ok(said) = serde_json::from_str::<Value>(&stdout) else {
        panic!("check: {}, {stdout:.200}{stderr:.300}", output.status);
    };
    let findings = said["findings"].as_array().expect("no findings in what check says").clone();
    (findings, output.status.code(), stderr)
}

/// The program's findings are those that it says it must give, in `check` and in `dump`.
fn finds(python: &Path, command: &str, options: &[&str]) {
    let program = start(python, command);
    let truth = &program.truth;
    assert_ne!(truth["expect"], Value::Array(vec![]), "it expects nothing");

    let (findings, code, stderr) = check(program.pid(), options);
    let mut all = differences(truth, &findings);
    let alarming = truth["expect"].as_array().unwrap().iter().any(|f| f["severity"] != "info");
    let is_alarmed = findings.iter().map(Given).any(|given| given.is_alarming());
    // Anything else that is wrong is among the differences.
    let wanted = if alarming || is_alarmed { 3 } else { 0 };
    if code != Some(wanted) {
        all.push(format!("check exits with {code:?}, not {wanted}: {stderr:.200}"));
    }

    let dump = dump(program.pid(), options);
    let dumped = dump["findings"].as_array().map_or(&[][..], Vec::as_slice);
    for difference in differences(truth, dumped) {
        let difference = format!("dump: {difference}");
        if !all.iter().any(|known| difference.ends_with(known.as_str())) {
            all.push(difference);
        }
    }
    all.extend(wrong_waits(truth, &dump));
    assert!(all.is_empty(), "{}\ngiven:\n{}", all.join("\n"), listed(&findings));
}

/// However often one looks at a healthy program, there is nothing to be alarmed at, and no note but
/// of what it says is true of it (`also`).
fn is_silent(python: &Path, command: &str, more: &[&str]) {
    let mut program = start(python, command);
    assert_eq!(program.truth["expect"], Value::Array(vec![]), "it expects something");
    let notes = program.truth["also"].as_array().unwrap().clone();
    let times = match std::env::var("AIOSPY_HEALTHY_DUMPS") {
        Ok(times) => times.parse().expect("AIOSPY_HEALTHY_DUMPS is no number"),
        Err(_) => HEALTHY_DUMPS,
    };
    let seed = support::seed();
    let mut alarms = Vec::new();
    for time in 0..times {
        let mut hasher = DefaultHasher::new();
        (seed, time).hash(&mut hasher);
        std::thread::sleep(GAP * u32::try_from(hasher.finish() % 1000).unwrap() / 1000);
        // What must be seen twice must not be said at one look either.
        let mut options = more.to_vec();
        options.extend(if time % 4 == 3 { &["--looks", "1"][..] } else { &[] });
        let (findings, code, stderr) = check(program.pid(), &options);
        let is_untrue = |f: &Value| Given(f).is_alarming() || !notes.contains(&f["code"]);
        let untrue: Vec<Value> = findings.into_iter().filter(is_untrue).collect();
        if !untrue.is_empty() {
            alarms.push(format!("look {time} {options:?}:\n{}", listed(&untrue)));
        } else if code != Some(0) {
            alarms.push(format!("look {time}: check exits with {code:?}: {stderr:.200}"));
        }
    }
    let waits = program.truth["waits"].as_array().is_some_and(|waits| !waits.is_empty());
    if waits {
        alarms.extend(wrong_waits(&program.truth, &dump(program.pid(), &[])));
    }
    assert!(
        alarms.is_empty(),
        "{} of {times} looks with AIOSPY_SEED={seed} find what is not so, first at {}",
        alarms.len(),
        alarms[0]
    );
    // It was alive all the time.
    // By itself, or by the signal of its standard input's end.
    let status = program.end();
    assert!(status.success() || status.signal() == Some(Signal::SIGIO as i32), "{status}");
}
