//! Live tests: real interpreters run programs that tell the truth about themselves, and the tool
//! has to say the same from outside.
//!
//! One named trial per interpreter and program: `truth::parked::3.12`. `live/families.rs` says which
//! run on which versions. An interpreter that `scripts/pythons` could not get is ignored, and a
//! failure when `CI` is set; so is what needs a tool or a right that is not there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by a panic"
)]

#[path = "live/attach.rs"]
mod attach;
#[path = "live/blocking.rs"]
mod blocking;
#[path = "live/churn.rs"]
mod churn;
#[path = "live/demo.rs"]
mod demo;
#[path = "live/enduring.rs"]
mod enduring;
#[path = "live/errors.rs"]
mod errors;
#[path = "live/executors.rs"]
mod executors;
#[path = "live/explain.rs"]
mod explain;
#[path = "live/families.rs"]
mod families;
#[path = "live/findings.rs"]
mod findings;
#[path = "live/forked.rs"]
mod forked;
#[path = "live/hostile.rs"]
mod hostile;
#[path = "live/images.rs"]
mod images;
#[path = "live/inventory.rs"]
mod inventory;
#[path = "live/leftovers.rs"]
mod leftovers;
#[path = "live/masters.rs"]
mod masters;
#[path = "live/native.rs"]
mod native;
#[path = "live/origin.rs"]
mod origin;
#[path = "live/pod.rs"]
mod pod;
#[path = "live/pstree.rs"]
mod pstree;
#[path = "live/recording.rs"]
mod recording;
#[path = "live/report.rs"]
mod report;
#[path = "live/requested.rs"]
mod requested;
#[path = "live/several.rs"]
mod several;
#[path = "live/shutting.rs"]
mod shutting;
#[path = "live/situation.rs"]
mod situation;
#[path = "live/states.rs"]
mod states;
#[path = "live/top.rs"]
mod top;
#[path = "live/truth.rs"]
mod truth;
#[path = "live/waiting.rs"]
mod waiting;
#[path = "live/watching.rs"]
mod watching;

mod support;
#[path = "support/terminal.rs"]
mod terminal;

use libtest_mimic::{Failed, Trial};
use situation::Need;
use support::{Python, VERSIONS};

/// A trial for each version that `applies` to the program, as far as its family runs on it.
pub fn per_version(
    trials: &mut Vec<Trial>,
    name: &str,
    applies: impl Fn(u32) -> bool,
    run: impl Fn(&Python) + Clone + Send + 'static,
) {
    let applies = |version: &str, _: Option<&Python>| {
        applies(version.split('.').nth(1).unwrap().parse().unwrap())
    };
    per_version_with(trials, name, &[], applies, run);
}

/// A trial for each version that `applies`, given what the machine must have.
pub fn per_version_with(
    trials: &mut Vec<Trial>,
    name: &str,
    needs: &'static [Need],
    applies: impl Fn(&str, Option<&Python>) -> bool,
    run: impl Fn(&Python) + Clone + Send + 'static,
) {
    for version in VERSIONS.into_iter().filter(|version| families::runs_on(name, version)) {
        let (run, found) = (run.clone(), support::python(version));
        if !applies(version, found.as_ref()) {
            continue;
        }
        let missing = match &found {
            Some(_) => needs.iter().find_map(|need| need.missing()),
            None => Some(format!("Python {version} is missing: run scripts/pythons")),
        };
        trials.push(trial(format!("{name}::{version}"), missing, move || run(&found.unwrap())));
    }
}

/// One trial, given what the machine must have.
pub fn once(
    trials: &mut Vec<Trial>,
    name: &str,
    needs: &'static [Need],
    run: impl FnOnce() + Send + 'static,
) {
    let missing = needs.iter().find_map(|need| need.missing());
    trials.push(trial(name.to_owned(), missing, run));
}

/// A trial that is ignored, or fails where everything must be there, if something is `missing`.
fn trial(name: String, missing: Option<String>, run: impl FnOnce() + Send + 'static) -> Trial {
    let is_ignored = missing.is_some() && !support::is_strict();
    let own_name = name.clone();
    let body = move || match missing {
        None => {
            families::run(&own_name, run);
            Ok(())
        }
        Some(missing) => Err(Failed::from(missing)),
    };
    Trial::test(name, body).with_ignored_flag(is_ignored)
}

/// The interpreter that has uvloop; fails where there is none.
pub fn with_uvloop(python: &Python) -> &std::path::Path {
    assert!(python.uvloop.is_some(), "no uvloop for {}: run scripts/pythons", python.version);
    python.venv.as_deref().unwrap()
}

fn main() {
    let mut trials = Vec::new();
    truth::add(&mut trials);
    states::add(&mut trials);
    blocking::add(&mut trials);
    churn::add(&mut trials);
    pstree::add(&mut trials);
    hostile::add(&mut trials);
    images::add(&mut trials);
    demo::add(&mut trials);
    executors::add(&mut trials);
    inventory::add(&mut trials);
    leftovers::add(&mut trials);
    shutting::add(&mut trials);
    attach::add(&mut trials);
    errors::add(&mut trials);
    findings::add(&mut trials);
    explain::add(&mut trials);
    forked::add(&mut trials);
    report::add(&mut trials);
    masters::add(&mut trials);
    requested::add(&mut trials);
    several::add(&mut trials);
    native::add(&mut trials);
    origin::add(&mut trials);
    pod::add(&mut trials);
    waiting::add(&mut trials);
    watching::add(&mut trials);
    enduring::add(&mut trials);
    top::add(&mut trials);
    recording::add(&mut trials);
    if families::ARGUMENTS.list {
        libtest_mimic::run(&families::ARGUMENTS, trials).exit();
    }
    trials.sort_by_key(|trial| families::is_timed(trial.name()));
    families::announce();
    let conclusion = libtest_mimic::run(&families::ARGUMENTS, trials);
    families::report();
    conclusion.exit();
}
