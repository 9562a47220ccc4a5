//! Watching loops between two looks: whether they turn without ever doing anything.
//!
//! Two moments cannot tell a loop that spins from one that computes and gives way often. Some
//! dozen glances at the loop's own clock can; each takes a few reads, the target's tasks are not
//! looked at.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::Inspector;
use crate::asyncio::{LoopFacts, RunOnce};
use crate::explain::loops::{handle_in_words, ready_handles};
use crate::memory::{Address, Pass};
use crate::python::object::Reader;
use crate::snapshot::{Snapshot, Turns};

/// The time between two glances.
const BETWEEN_GLANCES: Duration = Duration::from_millis(2);
/// The same when they come with samples that are taken anyway, for seconds.
const BETWEEN_SAMPLES: Duration = Duration::from_millis(5);
/// Two readings that took longer tell nothing: meanwhile one that computes and gives way every few
/// milliseconds is in another turn, too. Test: `healthy::cooperative`.
const PROMPT: Duration = Duration::from_micros(500);
/// A loop that was seen so often to answer others, and most of the time, does not spin.
const ENOUGH: u32 = 5;

/// Loops that are watched from one look of a series to the next.
#[derive(Debug, Default)]
pub(super) struct Watch {
    loops: FxHashMap<Address, Turns>,
    seen_at: Option<Instant>,
}

impl Inspector {
    /// Glances at the loops that may never wait, if there are any and the last glance is some time
    /// ago.
    pub(super) fn note_turns(&mut self) {
        if !self.is_live() {
            return;
        }
        let is_soon = |at: Instant| at.elapsed() < BETWEEN_SAMPLES;
        if self.turns.loops.is_empty() || self.turns.seen_at.is_some_and(is_soon) {
            return;
        }
        let mut watch = std::mem::take(&mut self.turns);
        self.glance_at_turns(&mut watch.loops);
        watch.seen_at = Some(Instant::now());
        self.turns = watch;
    }

    /// Gives a new look what was seen of the loops' turns since the one before, and watches on.
    pub(super) fn turn_watch(&mut self, snapshot: &mut Snapshot) {
        let mut seen = std::mem::take(&mut self.turns);
        if self.is_live() {
            self.note_moved(&mut seen.loops);
        } else {
            seen.loops = self.seen.0.pop_front().unwrap_or_default().into_iter().collect();
        }
        if let Some(saving) = &mut self.saving {
            saving.turns.before.push(seen.loops.clone().into_iter().collect());
        }
        for event_loop in &mut snapshot.loops {
            event_loop.grounds.get_or_insert_default().turns = seen.loops.remove(&event_loop.id);
        }
        self.turns.loops = self.restless(snapshot);
    }

    /// Waits for `during`, and watches those loops meanwhile that may never wait.
    pub(crate) fn watch_turns(
        &mut self,
        before: &Snapshot,
        during: Duration,
    ) -> FxHashMap<Address, Turns> {
        if !self.is_live() {
            return self.seen.1.pop_front().unwrap_or_default().into_iter().collect();
        }
        let until = Instant::now() + during;
        let mut watched = self.restless(before);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if watched.is_empty() || left < BETWEEN_GLANCES {
                std::thread::sleep(left);
                break;
            }
            std::thread::sleep(BETWEEN_GLANCES);
            self.glance_at_turns(&mut watched);
        }
        self.note_moved(&mut watched);
        if let Some(saving) = &mut self.saving {
            saving.turns.between.push(watched.clone().into_iter().collect());
        }
        watched
    }

    /// The loops that may never wait.
    fn restless(&self, snapshot: &Snapshot) -> FxHashMap<Address, Turns> {
        let mut restless: Vec<Address> = Vec::new();
        restless
            .extend(snapshot.loops.iter().filter(|it| snapshot.is_restless(it)).map(|it| it.id));
        if restless.is_empty() {
            return FxHashMap::default();
        }
        let moved_before = self.system.bytes_moved();
        restless.into_iter().map(|id| (id, Turns { moved_before, ..Turns::default() })).collect()
    }

    /// Notes how many bytes were moved meanwhile.
    fn note_moved(&self, watched: &mut FxHashMap<Address, Turns>) {
        if watched.is_empty() {
            return;
        }
        let now = self.system.bytes_moved();
        for turns in watched.values_mut() {
            turns.moved =
                now.zip(turns.moved_before).and_then(|(now, before)| now.checked_sub(before));
        }
    }

    fn glance_at_turns(&mut self, watched: &mut FxHashMap<Address, Turns>) {
        if watched.values().all(Turns::is_at_work) {
            return;
        }
        self.memory.renew(Pass::Turns);
        // What is learnt meanwhile is not read in the next look, and would be missing in what is
        // saved of that.
        let kept = self.saving.is_some().then(|| self.caches.set_aside());
        self.caches.begin_snapshot();
        let reader = self.reader();
        for (state, loop_at) in self.running_loops() {
            let turns = watched.get_mut(&loop_at).filter(|turns| !turns.is_at_work());
            let Some(turns) = turns else { continue };
            let now = || {
                let stack = reader.thread_stack(&state, Some(loop_at));
                reader.iterations(&stack).into_iter().rfind(|run| run.loop_at == loop_at)
            };
            let begun = Instant::now();
            // A stack is read anew each time, and so is the loop's time.
            let (Some(run), Some(again)) = (now(), now()) else { continue };
            if begun.elapsed() > PROMPT {
                continue;
            }
            let facts = reader.event_loop(loop_at).ok();
            let callbacks = callbacks(&reader, &run, facts.as_ref());
            turns.woken += u32::from(is_woken(&reader, &run, facts));
            turns.note(&run, &again, callbacks);
        }
        self.memory.end_part();
        if let Some(kept) = kept {
            self.caches = kept;
        }
    }
}

impl Turns {
    /// Whether it has been seen to do what others wait for, most of the time: no need to look on.
    fn is_at_work(&self) -> bool {
        self.woken >= ENOUGH && self.woken * 2 > self.samples
    }

    fn note(&mut self, run: &RunOnce, again: &RunOnce, callbacks: BTreeSet<String>) {
        let began = |run: &RunOnce| run.position.end_time.map(f64::to_bits);
        self.samples += 1;
        let is_at_work = run.position.end_time.is_some() && began(run) == began(again);
        self.idle += u32::from(!is_at_work);
        self.without_waiting += u32::from(run.timeout.is_some_and(|wait| wait <= 0.0));
        for callback in callbacks {
            *self.callbacks.entry(callback).or_default() += 1;
        }
    }
}

/// Whether something that was done, or that came from outside, is why a callback runs or is to run.
fn is_woken(reader: &Reader<'_>, run: &RunOnce, facts: Option<LoopFacts>) -> bool {
    let running = run.handle.and_then(|handle| reader.attribute(handle, "_callback").ok()?);
    let ready = facts.map(|facts| facts.ready_callbacks).unwrap_or_default();
    let mut callbacks = ready.into_iter().chain(running);
    callbacks.any(|callback| reader.is_wakeup(callback) || reader.is_from_outside(callback))
}

/// What runs or is to run.
fn callbacks(reader: &Reader<'_>, run: &RunOnce, facts: Option<&LoopFacts>) -> BTreeSet<String> {
    let names = FxHashMap::default();
    let running = run.handle.and_then(|handle| handle_in_words(reader, handle, &names));
    let ready = facts.map(|facts| ready_handles(reader, facts, &names)).unwrap_or_default();
    ready.into_iter().chain(running).collect()
}
