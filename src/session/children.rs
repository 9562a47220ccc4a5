//! The Python processes below one that runs no event loop itself, as a server's master does not.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Inspector;
use crate::error::{Error, Result};
use crate::explain::Options;
use crate::process::{Target, parents};
use crate::snapshot::{Child, Depth};

/// Processes that are looked at; servers have a few dozen workers at most, as a rule.
const MAX_CHILDREN: usize = 48;
/// Characters of a command line that are kept.
const MAX_COMMAND: usize = 200;

/// The Python processes below process `pid`, those next to it first. Those that could not be read,
/// or were not reached `within` some time, are there without an answer.
pub fn children(pid: i32, within: Duration) -> Vec<Child> {
    let until = Instant::now() + within;
    let child = |pid| {
        let has_loops = match (Instant::now() < until).then(|| has_loops(pid)) {
            Some(Err(
                Error::NotPython { .. } | Error::NoSuchProcess { .. } | Error::TargetGone { .. },
            )) => return None,
            read => read.and_then(Result::ok),
        };
        let cmdline = Target::open(pid).ok()?.process().cmdline;
        let command = cmdline.join(" ").chars().take(MAX_COMMAND).collect();
        Some(Child { pid, command, has_loops })
    };
    below(pid).into_iter().filter_map(child).collect()
}

fn has_loops(pid: i32) -> Result<bool> {
    let options = Options { depth: Depth::Tasks, ..Options::default() };
    let read = Inspector::attach(pid).and_then(|mut inspector| inspector.snapshot(&options));
    match read {
        Err(Error::NoAsyncio { .. }) => Ok(false),
        read => Ok(read?.has_loop_to_judge()),
    }
}

/// The ids of the processes below one, nearest first.
fn below(pid: i32) -> Vec<i32> {
    let parents = parents();
    let mut found = Vec::new();
    let mut next = VecDeque::from([pid]);
    while let Some(parent) = next.pop_front().filter(|_| found.len() < MAX_CHILDREN) {
        let children = parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child);
        let children: Vec<i32> = children.filter(|child| !found.contains(child)).collect();
        next.extend(&children);
        found.extend(children);
    }
    found.truncate(MAX_CHILDREN);
    found
}
