//! A loop in the snapshot's words: its state, its iteration, what is ready in it.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::Options;
use crate::asyncio::{LoopFacts, Reading, RunOnce, ThreadReading};
use crate::memory::Address;
use crate::python::object::Reader;
use crate::snapshot::{Iteration, Loop, LoopState, Phase};

/// A timer that is late by less is no lag: a loop that polls wakes up some time after it.
const LEAST_LAG: f64 = 0.001;

/// Callables of a ready queue that are named.
const READY_HANDLES: usize = 8;

/// The thread that runs a loop.
pub(crate) fn home<'r>(facts: &LoopFacts, reading: &'r Reading) -> Option<&'r ThreadReading> {
    // What a thread says of its loop may be torn; the loop itself knows its thread as well.
    let is_home = |thread: &&ThreadReading| Some(thread.state.ident) == facts.thread_ident;
    let threads = &reading.threads;
    let runs = |thread: &&ThreadReading| thread.runs(facts.at);
    threads.iter().find(runs).or_else(|| threads.iter().find(is_home))
}

/// A loop with its state and iteration.
pub(crate) fn event_loop(
    reader: &Reader<'_>,
    facts: &LoopFacts,
    thread: Option<&ThreadReading>,
    has_begun: bool,
    reading: &Reading,
    names: &FxHashMap<Address, Arc<str>>,
    options: &Options,
) -> Loop {
    let iteration = thread.and_then(|thread| match facts.uv {
        Some(_) => uv_iteration(reader, facts, thread, has_begun, reading, names),
        None => py_iteration(reader, facts, thread, names),
    });
    let state = match (facts.closed, thread, &iteration) {
        (Some(true), ..) => Some(LoopState::Closed),
        (_, None, _) if facts.thread_ident.is_none() => Some(LoopState::Stopped),
        (_, _, Some(iteration)) => Some(match (iteration.phase, iteration.elapsed) {
            (Phase::Select, _) => LoopState::Polling,
            (_, Some(elapsed)) if elapsed >= options.blocked_after => LoopState::Blocked,
            _ => LoopState::Running,
        }),
        // One of asyncio's loops that is not seen in an iteration is between two of them, or
        // runs so hot that its stack did not hold still.
        (_, Some(_), None) if facts.ready.is_some() => Some(LoopState::Running),
        _ => None,
    };
    // libuv's times always are the machine's.
    let is_comparable = facts.has_machine_clock || facts.uv.is_some();
    let read_at = thread.and_then(|thread| thread.read_at).filter(|_| is_comparable);
    let lag = match (facts.earliest_timer, read_at) {
        // A timer that was freed while it was looked at may be due at any time, mostly at 0.
        (Some(due), Some(now)) if due > 0.0 && now - due >= LEAST_LAG => Some(seconds(now - due)),
        _ => None,
    };
    let mut runs = thread.iter().flat_map(|thread| &thread.clock.iterations);
    let run = runs.rfind(|run| run.loop_at == facts.at);
    Loop {
        id: facts.at,
        class: facts.class.to_string(),
        thread: thread.and_then(|thread| thread.tid),
        state,
        iteration,
        lag,
        ready: facts.ready,
        scheduled: facts.scheduled,
        debug: facts.debug,
        nested_in: nested_in(facts.at, reading),
        polls_without_waiting: run.and_then(|run| run.timeout).map(|timeout| timeout <= 0.0),
        iteration_id: match facts.uv {
            Some(uv) => Some(uv.time_ms),
            None => run.and_then(|run| match run.position.end_time {
                Some(_) if !is_comparable => None,
                Some(began) => Some(began.to_bits()),
                // While it waits it has no time of its own: the wait itself tells it from others.
                None => reading.activity.thread(thread?.tid?)?.sleep_id(),
            }),
        },
        ready_handles: ready_handles(reader, facts, names),
        idle_for: run.and_then(|run| idle_for(facts, run, read_at?)),
        ..Loop::default()
    }
}

/// For how long one of asyncio's loops has waited: it computes the time that it may wait from its
/// first timer just before.
fn idle_for(facts: &LoopFacts, run: &RunOnce, now: f64) -> Option<Duration> {
    // A wait without a timer has no limit, and none is longer than MAXIMUM_SELECT_TIMEOUT
    // (3.8 to 3.15: Lib/asyncio/base_events.py).
    const LONGEST: f64 = 24.0 * 3600.0;
    let timeout = run.timeout.filter(|timeout| (f64::MIN_POSITIVE..LONGEST).contains(timeout))?;
    let began = facts.earliest_timer? - timeout;
    run.position.end_time.is_none().then(|| seconds(now - began))
}

/// The loop that runs around this one on the same thread.
fn nested_in(loop_at: Address, reading: &Reading) -> Option<Address> {
    reading.threads.iter().find_map(|thread| {
        // Outermost first.
        let runs = &thread.clock.iterations;
        let place = runs.iter().position(|run| run.loop_at == loop_at)?;
        let outer = runs.get(place.checked_sub(1)?)?.loop_at;
        // One that was left behind by a `fork` is not run around anything.
        reading.loops.iter().any(|facts| facts.at == outer).then_some(outer)
    })
}

/// The first callables in the ready queue of a loop, in words.
pub(crate) fn ready_handles(
    reader: &Reader<'_>,
    facts: &LoopFacts,
    names: &FxHashMap<Address, Arc<str>>,
) -> Vec<String> {
    let in_words = |&callback: &Address| match reader.stepped_task(callback) {
        Some(task) => {
            let name = names.get(&task).cloned().or_else(|| reader.task_name(task))?;
            Some(format!("task {name}"))
        }
        None => reader.callable_name(callback),
    };
    facts.ready_callbacks.iter().take(READY_HANDLES).filter_map(in_words).collect()
}

/// A time that cannot be negative; clocks of two readings may be.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// The callback of a handle, in words.
pub(crate) fn handle_in_words(
    reader: &Reader<'_>,
    handle: Address,
    names: &FxHashMap<Address, Arc<str>>,
) -> Option<String> {
    let task = reader.handle_task(handle);
    let name = task.and_then(|task| names.get(&task).cloned().or_else(|| reader.task_name(task)));
    name.map(|name| format!("task {name}")).or_else(|| reader.handle_name(handle))
}

/// The iteration of one of asyncio's own loops, from its `_run_once` frame.
fn py_iteration(
    reader: &Reader<'_>,
    facts: &LoopFacts,
    thread: &ThreadReading,
    names: &FxHashMap<Address, Arc<str>>,
) -> Option<Iteration> {
    let run = thread.clock.iterations.iter().rfind(|run| run.loop_at == facts.at)?;
    let Some(began) = run.position.end_time else {
        return Some(Iteration {
            phase: Phase::Select,
            elapsed: None,
            callbacks_run: None,
            callbacks_total: None,
            handle: None,
        });
    };
    let handle = run.handle.and_then(|handle| handle_in_words(reader, handle, names));
    Some(Iteration {
        phase: Phase::Ready,
        elapsed: thread.read_at.filter(|_| facts.has_machine_clock).map(|now| seconds(now - began)),
        callbacks_run: run.position.index.map(|index| index + 1),
        callbacks_total: run.position.total,
        handle,
    })
}

/// The iteration of uvloop, from libuv's clock: it waits when its thread is in `epoll_wait` on the
/// loop's own descriptor, or was woken and has not come to its next iteration.
fn uv_iteration(
    reader: &Reader<'_>,
    facts: &LoopFacts,
    thread: &ThreadReading,
    has_begun: bool,
    reading: &Reading,
    names: &FxHashMap<Address, Arc<str>>,
) -> Option<Iteration> {
    let uv = facts.uv?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since the machine started")]
    let began = uv.time_ms as f64 / 1000.0;
    let elapsed = thread.read_at.map(|now| seconds(now - began));
    let activity = thread.tid.and_then(|tid| reading.activity.thread(tid));
    let is_polling = !has_begun || activity.is_some_and(|it| it.polls(uv.backend_fd));
    let task = thread
        .stack
        .frames
        .iter()
        .rev()
        .find_map(|frame| reading.tasks.iter().find(|task| task.coro == Some(frame.generator)));
    let name =
        task.and_then(|task| names.get(&task.at).cloned().or_else(|| reader.task_name(task.at)));
    Some(Iteration {
        phase: if is_polling { Phase::Select } else { Phase::Ready },
        elapsed,
        callbacks_run: None,
        callbacks_total: None,
        handle: name.filter(|_| !is_polling).map(|name| format!("task {name}")),
    })
}
