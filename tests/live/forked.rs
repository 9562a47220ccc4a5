//! Children that were forked out of a running loop: what they inherited is not theirs.

use std::path::Path;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;

use super::support::{Program, Python, dump};
use super::{per_version, with_uvloop};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    // What a thread says of its loop differs up to 3.11, from 3.12 and from 3.14 on.
    let versions = |minor| [8, 11, 12, 15].contains(&minor);
    per_version(trials, "forked", versions, |python| forked(python, &python.path, "asyncio"));
    per_version(trials, "forked::uvloop", versions, |python: &Python| {
        forked(python, with_uvloop(python), "uvloop");
    });
}

fn forked(python: &Python, path: &Path, kind: &str) {
    /// A callback that lasts longer than this blocks its loop.
    const LONG: f64 = 0.15;
    let program = Program::start(path, "forked.py", &["--loop", kind]);
    let since = program.truth["since"].as_f64().unwrap();
    loop {
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
        let left = Duration::try_from_secs_f64(since + LONG - now.as_secs_f64());
        let Some(left) = left.ok().filter(|left| !left.is_zero()) else { break };
        std::thread::sleep(left);
    }
    for (name, pid) in program.truth["children"].as_object().unwrap() {
        let dump = dump(i32::try_from(pid.as_i64().unwrap()).unwrap(), &[]);
        let (inherited, own): (Vec<&Value>, Vec<&Value>) = dump["loops"]
            .as_array()
            .unwrap()
            .iter()
            .partition(|event_loop| event_loop["state"] == "inherited");
        let findings = dump["findings"].as_array().unwrap();
        let codes: Vec<&str> = findings.iter().map(|it| it["code"].as_str().unwrap()).collect();
        let tasks = dump["tasks"].as_array().unwrap().len();
        let continued = usize::from(python.minor() < 14);
        let (states, wanted, own_tasks) = match name.as_str() {
            "idle" | "asleep" | "threaded" => (&[][..], &[][..], 0),
            "own" => (&["polling"][..], &[][..], 1),
            "holding" => (&["blocked"][..], &["loop-blocked"][..], 1),
            // From 3.14 on it has forgotten the task that goes on, too.
            "continued" => (&["blocked"][..], &["loop-blocked"][..], continued),
            _ => panic!("{name}"),
        };
        let found: Vec<&str> = own.iter().map(|it| it["state"].as_str().unwrap()).collect();
        // libuv's loop of a child that forgot its tasks is known to nobody.
        if name == "continued" && kind == "uvloop" && python.minor() >= 14 {
            continue;
        }
        assert_eq!(found, states, "{name}: {dump}");
        assert_eq!((codes, tasks), (wanted.to_vec(), own_tasks), "{name}: {dump}");
        for event_loop in &inherited {
            assert_eq!(event_loop["inherited_from"], program.pid(), "{name}: {dump}");
        }
        // From 3.14 on a child forgets the tasks of the thread that forked, which are the only way
        // to a loop that has no frame.
        let is_seen = kind == "asyncio" || name == "threaded" || python.minor() < 14;
        let count = usize::from(is_seen && name != "continued");
        assert_eq!(inherited.len(), count, "{name}: {dump}");
    }
}
