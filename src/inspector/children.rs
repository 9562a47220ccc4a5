//! The Python processes below one that runs no event loop itself, as a server's master does not.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Inspector, Options};
use crate::snapshot::{Child, Depth};
use crate::target::parents;

/// Processes that are looked at; servers have a few dozen workers at most, as a rule.
const MAX_CHILDREN: usize = 48;
/// Characters of a command line that are kept.
const MAX_COMMAND: usize = 200;

/// The Python processes below process `pid`, those next to it first, as far as they can be read
/// `within` some time. Those that were not reached are there without an answer.
pub fn children(pid: i32, within: Duration) -> Vec<Child> {
    let until = Instant::now() + within;
    let mut children = Vec::new();
    for pid in below(pid) {
        if Instant::now() > until {
            break;
        }
        let Ok(mut inspector) = Inspector::attach(pid) else { continue };
        let options = Options { depth: Depth::Tasks, ..Options::default() };
        let has_loops = match inspector.snapshot(&options) {
            Ok(snapshot) => Some(snapshot.has_loop_to_judge()),
            Err(crate::Error::NoAsyncio { .. }) => Some(false),
            Err(_) => None,
        };
        let command = inspector.process().cmdline.join(" ").chars().take(MAX_COMMAND).collect();
        children.push(Child { pid, command, has_loops });
    }
    children
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
