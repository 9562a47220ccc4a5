//! The last snapshot once more, where certainly nothing ran since: what a service that waits costs
//! a recorder.
//!
//! Memory that nobody wrote to is as it was, and so is what each thread waits for. Times go on:
//! they are moved. Only while every loop waits: one that is kept in a callback gets later and
//! later, which is not to be told from what was read before.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Inspector;
use crate::explain::Options;
use crate::memory::ReadStats;
use crate::process::Activity;
use crate::snapshot::{Consistency, Depth, Executor, Loop, LoopState, Snapshot, Waiting};

/// The last snapshot, if it was of one moment.
#[derive(Debug)]
pub(super) struct Last {
    /// What the threads did at that moment.
    activity: Activity,
    options: Options,
    snapshot: Snapshot,
}

impl Inspector {
    /// The last snapshot with its times moved on, if nothing ran since.
    pub(super) fn repeated(&self, options: &Options, taken_at: Timestamp) -> Option<Snapshot> {
        let last = self.last.as_ref().filter(|last| last.options == *options)?;
        // What is read of the world outside is to be seen now and then.
        if !options.repeats || options.depth == Depth::Evidence {
            return None;
        }
        if !last.activity.nothing_ran_until(&self.system.activity()) {
            return None;
        }
        let now = self.system.monotonic_now().ok()?;
        let passed = now.checked_sub(last.snapshot.told_from?)?;
        let mut snapshot = last.snapshot.clone();
        snapshot.taken_at = taken_at;
        snapshot.told_from = Some(now);
        snapshot.reads = ReadStats::default();
        snapshot.move_on(passed);
        Some(snapshot)
    }

    /// Keeps a snapshot to be repeated.
    pub(super) fn keep(&mut self, options: &Options, activity: Option<Activity>, now: &Snapshot) {
        // One with evidence says nothing against the one before it.
        if !options.repeats || options.depth == Depth::Evidence {
            return;
        }
        let waits = |known: &Loop| {
            known.state.is_some_and(|state| !state.is_run() || state == LoopState::Polling)
        };
        let is_sure = now.consistency == Consistency::Exact && now.loops.iter().all(waits);
        self.last = activity.filter(|_| is_sure).map(|activity| Last {
            activity,
            options: options.clone(),
            snapshot: now.clone(),
        });
    }
}

impl Snapshot {
    /// As it is some time later, when nothing has happened.
    fn move_on(&mut self, passed: Duration) {
        for waiting in self.threads.iter_mut().filter_map(|thread| thread.waiting_on.as_mut()) {
            waiting.move_on(passed);
        }
        for waiting in self.tasks.iter_mut().filter_map(|task| task.waiting_on.as_mut()) {
            waiting.move_on(passed);
        }
        for event_loop in &mut self.loops {
            later(&mut event_loop.idle_for, passed);
            if let Some(turn) = &mut event_loop.iteration {
                later(&mut turn.elapsed, passed);
            }
            if let Some(executor) = &mut event_loop.executor {
                executor.move_on(passed);
            }
        }
        for executor in &mut self.executors {
            executor.move_on(passed);
        }
    }
}

impl Waiting {
    fn move_on(&mut self, passed: Duration) {
        let left = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        later(&mut self.since, passed);
        for deadline in &mut self.deadlines {
            deadline.due_in = deadline.due_in.map(|due_in| due_in.saturating_sub(left));
        }
        if let Some(due_in) = &mut self.due_in {
            *due_in = due_in.saturating_sub(left);
            self.describe();
        }
    }
}

impl Executor {
    fn move_on(&mut self, passed: Duration) {
        for job in &mut self.jobs {
            later(&mut job.elapsed, passed);
        }
    }
}

fn later(time: &mut Option<Duration>, passed: Duration) {
    if let Some(time) = time {
        *time = time.saturating_add(passed);
    }
}
