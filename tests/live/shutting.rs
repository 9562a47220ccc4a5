//! The stage of a shutdown, whose it is and what it waits for are what the program says.

use std::path::Path;

use aiospy::Inspector;
use libtest_mimic::Trial;
use serde_json::json;

use super::support::{Program, Python};
use super::{per_version, with_uvloop};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    let stages = ["cancel-all", "asyncgens", "default-executor", "threads", "pool"];
    for stage in stages.into_iter().chain(["none", "loop-thread"]) {
        // `asyncio.run` closes the default executor from 3.9 on.
        let first = if stage == "default-executor" { 9 } else { 8 };
        let plain = move |python: &Python| shutting(&python.path, stage, "asyncio");
        per_version(trials, &format!("shutting::{stage}"), |minor| minor >= first, plain);
        // Before 3.12 the programs run uvloop without `asyncio.run`.
        let uvloop = move |python: &Python| shutting(with_uvloop(python), stage, "uvloop");
        per_version(trials, &format!("shutting::{stage}::uvloop"), |minor| minor >= 12, uvloop);
    }
}

fn shutting(path: &Path, stage: &str, kind: &str) {
    let program = Program::start(path, "shutting.py", &["--stage", stage, "--loop", kind]);
    let inspector = Inspector::attach(program.pid()).unwrap();
    let found = inspector.explore(|_, view| view.shutdown).unwrap();
    let found = found.map_or_else(
        || json!({ "stage": null }),
        |found| {
            let frame = found.frame.unwrap().location;
            let mut tasks: Vec<String> = found.tasks.iter().map(ToString::to_string).collect();
            tasks.sort();
            json!({
                "stage": found.stage,
                "by": found.by,
                "loop": found.loop_id,
                "tasks": tasks,
                "threads": found.threads,
                "function": frame.function.rsplit('.').next(),
                "line": frame.line,
            })
        },
    );
    assert_eq!(found, program.truth);
}
