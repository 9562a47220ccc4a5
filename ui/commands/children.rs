//! The Python processes below one that runs no event loop itself: those are the ones to ask.

use std::time::Duration;

use aiospy::session::children;
use aiospy::snapshot::Snapshot;

use crate::report::text::verdict;

/// How long they are looked for.
const WITHIN: Duration = Duration::from_secs(2);

/// Adds the processes below a process that has no event loop to judge.
pub fn add(snapshot: &mut Snapshot) {
    if !snapshot.has_loop_to_judge() {
        snapshot.children = children(snapshot.process.pid, WITHIN);
    }
}

/// The processes below `pid` that run event loops, as a remedy; those that may, where none is known
/// to.
pub fn below(pid: i32) -> Option<String> {
    verdict::with_loops(&children(pid, WITHIN))
}
