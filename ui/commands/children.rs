//! The Python processes below one, and what is wrong in them where it runs no event loop itself.

use std::sync::Arc;
use std::time::Duration;

use aiospy::Options;
use aiospy::process::Target;
use aiospy::snapshot::{Child, Depth, Snapshot};
use aiospy::watch::several::{How, Looked, look_below};

use crate::report::text::verdict;

/// How long reading one of them may take.
const WITHIN: Duration = Duration::from_secs(2);
/// Samples of each of them that conclusions rest on.
const LOOKS: u8 = 2;

/// Adds the processes below one with what they do; what is wrong in them, too, where it has no event
/// loop that could be judged.
pub fn add(snapshot: &mut Snapshot, wanted: &Options) {
    let pid = snapshot.process.pid;
    if snapshot.has_loop_to_judge() {
        if Target::open(pid).is_ok_and(|target| target.has_children()) {
            snapshot.children = children(pid);
        }
        return;
    }
    let looked = look_below(pid, &how(wanted.clone(), LOOKS));
    snapshot.children = looked.iter().map(Looked::as_child).collect();
    let read = looked.iter().filter_map(|it| it.read.as_ref().ok());
    snapshot.take_findings(&read.filter(|it| it.has_loop_to_judge()).collect::<Vec<_>>());
}

/// The processes below `pid` that run event loops, as a remedy; those that may, where none is known
/// to.
pub fn below(pid: i32) -> Option<String> {
    verdict::with_loops(&children(pid))
}

fn children(pid: i32) -> Vec<Child> {
    let mut options = Options::default();
    options.depth = Depth::Tasks;
    look_below(pid, &how(options, 0)).iter().map(Looked::as_child).collect()
}

fn how(options: Options, looks: u8) -> How {
    How { options, looks, wait: Duration::ZERO, timeout: WITHIN, stop: Arc::default() }
}
