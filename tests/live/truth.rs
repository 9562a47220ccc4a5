//! What the tool says of a program equals what the program says of itself.

use std::path::Path;

use libtest_mimic::Trial;

use super::support::truth::by_id;
pub use super::support::truth::{assert_same, differences};
use super::support::{Program, Python, dump};
use super::{per_version, with_uvloop};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    for mode in ["parked", "blocked"] {
        let plain = move |python: &Python| {
            compare(python, &python.path, &["--mode", mode, "--threads"]);
        };
        per_version(trials, &format!("truth::{mode}"), |_| true, plain);
        let uvloop = move |python: &Python| {
            compare(python, with_uvloop(python), &["--loop", "uvloop", "--mode", mode]);
        };
        per_version(trials, &format!("truth::{mode}::uvloop"), |_| true, uvloop);
    }
    let debug = |python: &Python| compare(python, &python.path, &["--debug"]);
    per_version(trials, "truth::debug_mode", |_| true, debug);
    let trace = |python: &Python| compare(python, &python.path, &["--trace"]);
    per_version(trials, "truth::traced", |_| true, trace);
}

fn compare(python: &Python, path: &Path, arguments: &[&str]) {
    let program = Program::start(path, "truth.py", arguments);
    let before = monotonic_ms();
    let dump = dump(program.pid(), &["--finished", "--locals"]);
    let after = monotonic_ms();
    assert_same(python, &program.truth, &dump);
    let mut timers = 0;
    let found = by_id(&dump["tasks"]);
    for task in program.truth["tasks"].as_array().unwrap() {
        let Some(when) = task["waiting_on"]["when"].as_f64() else { continue };
        let waiting = &found[task["id"].as_str().unwrap()]["waiting_on"];
        let due_in = waiting["due_in_ms"].as_f64().unwrap_or_else(|| panic!("{task} {waiting}"));
        // Half a microsecond is lost by rounding; uvloop's timers are of whole milliseconds.
        let slack = if arguments.contains(&"uvloop") { 1.5 } else { 0.01 };
        let (earliest, latest) = (when * 1000.0 - after, when * 1000.0 - before);
        assert!(
            (earliest - slack..=latest + slack).contains(&due_in),
            "{due_in} is not within {earliest} and {latest}: {waiting}"
        );
        timers += 1;
    }
    assert!(timers > 40, "{timers} timers");
}

/// Milliseconds of `CLOCK_MONOTONIC`.
fn monotonic_ms() -> f64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    std::time::Duration::from(now).as_secs_f64() * 1000.0
}
