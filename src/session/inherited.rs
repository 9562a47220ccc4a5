//! What a process has from its parent by `fork`, and does not do itself.
//!
//! A child that was forked from a running loop has a copy of it: the frames that ran it, its
//! tasks, its pools whose threads are not there. None of that ever goes on here: most children
//! (workers of `multiprocessing`, servers before their `exec`) leave these frames behind for good.
//! Told as the child's own, each of them is a blocked loop.
//!
//! A loop is inherited when its iteration began before the process did. The kernel tells the start
//! of a process to a hundredth of a second, and a loop forks within a millisecond, so three facts
//! come first that are exact: a thread says that the loop was begun in this very process (up to
//! 3.11 by its id, later because `fork` resets what it says), a loop lies within the frame in which
//! `multiprocessing` forked, or outside of it. A child that goes on with the loop of its parent
//! runs iterations of its own soon: from then on the loop is its own.

use std::time::Duration;

use rustc_hash::FxHashSet;

use super::Inspector;
use crate::asyncio::{LoopFacts, Reading, RunOnce, ThreadReading};
use crate::known::Purpose;
use crate::memory::Address;
use crate::python::frame::RawFrame;
use crate::python::object::Reader;
use crate::python::runtime::ThreadState;

impl Inspector {
    /// Takes out of a reading what the process only inherited.
    pub(super) fn set_apart_inherited(&self, reader: &Reader<'_>, reading: &mut Reading) {
        let is_inherited = |facts: &LoopFacts| self.is_inherited(reader, reading, facts);
        let (inherited, own): (Vec<_>, Vec<_>) =
            reading.loops.clone().into_iter().partition(is_inherited);
        let found: FxHashSet<Address> = inherited.iter().map(|facts| facts.at).collect();
        for thread in &mut reading.threads {
            // Only the thread that forked is in the child.
            if thread.tid == Some(self.system.pid()) || thread.tid.is_none() {
                leave_frames(reader, thread, &inherited);
            }
        }
        if found.is_empty() {
            return;
        }
        reading.inherited = inherited;
        reading.loops = own;
        let is_own = |loop_at: Option<Address>| loop_at.is_none_or(|at| !found.contains(&at));
        reading.tasks.retain(|task| is_own(task.loop_at));
        reading.registered.retain(|&task| is_own(reader.future_loop(task)));
    }

    /// Whether a loop is the parent's and not run here.
    pub(super) fn is_inherited(
        &self,
        reader: &Reader<'_>,
        reading: &Reading,
        facts: &LoopFacts,
    ) -> bool {
        let Some(ident) = facts.thread_ident else { return false };
        let is_home = |thread: &&ThreadReading| thread.state.ident == ident;
        let runs = |thread: &&ThreadReading| thread.runs(facts.at);
        let threads = &reading.threads;
        let Some(thread) = threads.iter().find(runs).or_else(|| threads.iter().find(is_home))
        else {
            return self.has_lost_its_thread(reader, facts, ident);
        };
        let run = thread.clock.iterations.iter().rfind(|run| run.loop_at == facts.at);
        let fork = fork_frame(reader, &thread.stack.frames);
        if let (Some(fork), Some(at)) = (fork, run.and_then(|run| place_of(thread, run))) {
            return at < fork;
        }
        let began = match facts.uv {
            Some(uv) => Some(Duration::from_millis(uv.time_ms).as_secs_f64()),
            None => run.and_then(|run| run.position.end_time),
        };
        self.was_left_behind(reader, thread, facts.at, began)
    }

    /// Whether an iteration that began at `began` was running when the process was forked.
    fn was_left_behind(
        &self,
        reader: &Reader<'_>,
        thread: &ThreadReading,
        loop_at: Address,
        began: Option<f64>,
    ) -> bool {
        let is_before = |began: f64| self.system.born_by().is_some_and(|born| began < born);
        if !began.is_some_and(is_before) {
            return false;
        }
        thread.running_loop != Some(loop_at) || self.is_set_by_another(reader, &thread.state)
    }

    /// Whether what a thread says of its running loop was said by the parent.
    fn is_set_by_another(&self, reader: &Reader<'_>, state: &ThreadState) -> bool {
        reader.running_pid(state).is_some_and(|pid| pid != self.system.own_pid())
    }

    /// Whether the loop that a thread says it runs is one of the parent that is not run here.
    pub(super) fn runs_nothing(
        &self,
        reader: &Reader<'_>,
        state: &ThreadState,
        loop_at: Address,
    ) -> bool {
        if !self.is_set_by_another(reader, state) {
            return false;
        }
        let runs = reader.iterations(&reader.stack(state.at));
        let run = runs.iter().rfind(|run| run.loop_at == loop_at);
        let uv = || Some(Duration::from_millis(reader.uv_time(loop_at)?).as_secs_f64());
        let began = run.map_or_else(uv, |run| run.position.end_time);
        began.zip(self.system.born_by()).is_some_and(|(began, born)| began < born)
    }

    /// Whether no thread is there any more that a loop says it runs on: of its threads a process
    /// that forks passes on only the one that does so, and no loop ends without saying so.
    fn has_lost_its_thread(&self, reader: &Reader<'_>, facts: &LoopFacts, ident: u64) -> bool {
        // The thread may have begun since the threads were read, and may have ended meanwhile.
        let interpreters = reader.interpreters(self.located.runtime).unwrap_or_default();
        let mut states = Vec::new();
        for interpreter in interpreters {
            let Ok(threads) = reader.thread_states(interpreter.at) else { return false };
            states.extend(threads);
        }
        if states.iter().any(|state| state.ident == ident) {
            return false;
        }
        reader.memory.clear();
        reader.event_loop(facts.at).is_ok_and(|again| again.thread_ident == Some(ident))
    }
}

/// The frame in which `multiprocessing` forked this process: what is outside of it is the parent's.
///
/// `Popen._launch` calls `os.fork()`, and in the child `BaseProcess._bootstrap`, which never comes
/// back; `billiard` has the same.
fn fork_frame(reader: &Reader<'_>, frames: &[RawFrame]) -> Option<usize> {
    let purpose = |frame| reader.code(frame).ok()?.place.purpose();
    frames.windows(2).rposition(|pair| match pair {
        [outer, inner] => {
            purpose(outer.code) == Some(Purpose::Forks)
                && purpose(inner.code) == Some(Purpose::ForkedChild)
        }
        _ => false,
    })
}

/// Where on its thread's stack an iteration is.
fn place_of(thread: &ThreadReading, run: &RunOnce) -> Option<usize> {
    thread.stack.frames.iter().position(|frame| frame.at == run.frame)
}

/// Sets the parent's frames on a thread's stack apart from the child's own.
pub(super) fn leave_frames(
    reader: &Reader<'_>,
    thread: &mut ThreadReading,
    inherited: &[LoopFacts],
) {
    let is_left = |run: &&RunOnce| inherited.iter().any(|facts| facts.at == run.loop_at);
    let runs = thread.clock.iterations.iter().filter(is_left);
    let innermost = runs.filter_map(|run| place_of(thread, run)).max();
    let is_of_thread = |facts: &LoopFacts| facts.thread_ident == Some(thread.state.ident);
    let is_left = inherited.iter().any(is_of_thread);
    let frames = &thread.stack.frames;
    let mut end = innermost.map_or(0, |at| at + 1);
    if is_left {
        // The task whose step forked: its coroutines were begun by the parent's loop.
        let rest = frames.iter().enumerate().skip(end);
        let coroutines = rest
            .skip_while(|(_, frame)| frame.generator.is_null())
            .take_while(|(_, frame)| !frame.generator.is_null());
        end = coroutines.last().map_or(end, |(at, _)| at + 1);
    }
    end = end.max(fork_frame(reader, frames).map_or(0, |at| at + 1));
    thread.inherited = thread.stack.frames.drain(..end).collect();
}
