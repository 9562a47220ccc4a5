//! Where the loops were, as a whole snapshot tells it: what a glance would have seen.

use std::sync::Arc;
use std::time::Duration;

use crate::explain::blocking::{Evidence, blocking};
use crate::snapshot::{
    Frame, Glance, Loop, LoopGlance, Occupation, Phase, Snapshot, Thread, below_loop,
};

/// From here on a callback is looked at.
const WORTH_A_LOOK: Duration = Duration::from_millis(5);

/// The glance.
pub(super) fn glance_of(snapshot: &Snapshot) -> Glance {
    let at = snapshot.told_from.unwrap_or_default();
    let loops = snapshot.loops.iter().filter_map(|event_loop| {
        let thread = snapshot.thread_of(event_loop)?;
        let turn = event_loop.iteration.as_ref()?;
        let is_busy = turn.phase == Phase::Ready;
        let is_long = turn.elapsed.is_none_or(|elapsed| elapsed >= WORTH_A_LOOK);
        Some(LoopGlance {
            id: event_loop.id,
            thread: event_loop.thread,
            at,
            read_by: at,
            phase: turn.phase,
            began: turn.elapsed.filter(|_| is_busy).and_then(|_| began(event_loop)),
            wait: event_loop.iteration_id.filter(|_| !is_busy && !is_uvloop(event_loop)),
            callback: turn.callbacks_run.and_then(|run| run.checked_sub(1)),
            total: turn.callbacks_total,
            processor: event_loop.processor(),
            work: (is_busy && is_long).then(|| Arc::new(work(snapshot, event_loop, thread))),
        })
    });
    Glance { taken_at: snapshot.taken_at, at, loops: loops.collect() }
}

fn is_uvloop(event_loop: &Loop) -> bool {
    event_loop.class.starts_with("uvloop.")
}

/// When the iteration of a loop that runs callbacks began: what tells it from another is just that.
fn began(event_loop: &Loop) -> Option<Duration> {
    /// The least number that stands for a time in seconds: those of libuv's milliseconds are less.
    const LEAST: u64 = 1 << 52;
    let id = event_loop.iteration_id?;
    if id < LEAST {
        return Some(Duration::from_millis(id));
    }
    Duration::try_from_secs_f64(f64::from_bits(id)).ok()
}

fn work(snapshot: &Snapshot, event_loop: &Loop, thread: &Thread) -> Occupation {
    let told = event_loop.blocking.clone();
    let told = told.unwrap_or_else(|| blocking(thread, Evidence::default()));
    let task = snapshot.running_task(event_loop);
    let place = |frame: &Frame| Arc::clone(&frame.location);
    Occupation {
        handle: event_loop.iteration.as_ref().and_then(|turn| turn.handle.clone()),
        task: task.map(|task| task.id),
        stack: below_loop(&thread.frames).iter().map(place).collect(),
        place: told.frame.as_ref().map(place),
        kind: told.kind,
        description: told.description,
        peer: told.peer,
        label: task.and_then(|task| Some(task.work.as_deref()?.to_string().into())),
    }
}
