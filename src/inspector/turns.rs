//! Watching loops between two looks: whether they turn without ever doing anything.
//!
//! Two moments cannot tell a loop that spins from one that computes and gives way often. Some
//! dozen glances at the loop's own clock can; each takes a few reads, the target's tasks are not
//! looked at.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::Inspector;
use super::assemble::{handle_in_words, ready_handles};
use super::reading::Clock;
use crate::asyncio::RunOnce;
use crate::memory::Address;
use crate::object::Reader;
use crate::snapshot::{Snapshot, Turns};

/// The time between two glances.
const BETWEEN_GLANCES: Duration = Duration::from_millis(2);
/// Nothing of note is done in a turn shorter than this; a callback that does nothing takes some
/// 5 µs, a turn 20 µs.
const SHORT: f64 = 0.000_1;

impl Inspector {
    /// Waits for `during`, and watches those loops meanwhile that may never wait.
    pub(super) fn watch_turns(
        &mut self,
        before: &Snapshot,
        during: Duration,
    ) -> FxHashMap<Address, Turns> {
        let until = Instant::now() + during;
        let restless = before.loops.iter().filter(|it| before.is_restless(it));
        let mut watched: FxHashMap<Address, Turns> =
            restless.map(|it| (it.id, Turns::default())).collect();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if watched.is_empty() || left < BETWEEN_GLANCES {
                std::thread::sleep(left);
                break;
            }
            std::thread::sleep(BETWEEN_GLANCES);
            self.glance(&mut watched);
        }
        watched
    }

    fn glance(&mut self, watched: &mut FxHashMap<Address, Turns>) {
        self.memory.clear();
        self.caches.begin_snapshot();
        let reader = self.reader();
        let interpreters = reader.interpreters(self.located.runtime).unwrap_or_default();
        let states =
            interpreters.iter().flat_map(|it| reader.thread_states(it.at).unwrap_or_default());
        for state in states {
            let Ok(Some(loop_at)) = reader.running_loop(&state) else { continue };
            let Some(turns) = watched.get_mut(&loop_at) else { continue };
            let stack = reader.stack(state.at);
            let now = self.now();
            let clock = Clock::read(&reader, &stack, Some(loop_at));
            if let Some(run) = clock.iterations.iter().rfind(|run| run.loop_at == loop_at) {
                turns.note(run, now, callbacks(&reader, run));
            }
        }
    }
}

impl Turns {
    fn note(&mut self, run: &RunOnce, now: Option<f64>, callbacks: BTreeSet<String>) {
        self.samples += 1;
        let age = run.end_time.zip(now).map(|(began, now)| now - began);
        self.short += u32::from(age.is_none_or(|age| age < SHORT));
        self.without_waiting += u32::from(run.timeout.is_some_and(|wait| wait <= 0.0));
        for callback in callbacks {
            *self.callbacks.entry(callback).or_default() += 1;
        }
    }
}

/// What runs or is to run.
fn callbacks(reader: &Reader<'_>, run: &RunOnce) -> BTreeSet<String> {
    let names = FxHashMap::default();
    let running = run.handle.and_then(|handle| handle_in_words(reader, handle, &names));
    let facts = reader.event_loop(run.loop_at).ok();
    let ready = facts.map(|facts| ready_handles(reader, &facts, &names)).unwrap_or_default();
    ready.into_iter().chain(running).collect()
}
