//! Time limits that are no context around a wait: a timer of the loop that ends it.
//!
//! aiohttp's `sock_read` and the `timeout` of asyncpg's calls are such: their timers call a method
//! of the connection's protocol, or bring the future along that is waited for.

use jiff::SignedDuration;
use rustc_hash::FxHashSet;

use super::Reasons;
use super::returned::{MAX_CALLBACKS, MAX_STEPS};
use crate::memory::Address;
use crate::python::object::Kind;
use crate::snapshot::{Deadline, Waiting};

impl Reasons<'_> {
    /// Adds the time limits that timers are to waits for an answer.
    pub(crate) fn note_timers(&self, all: &mut [Option<Box<Waiting>>]) {
        let tasks = &self.reading.tasks;
        let is_owed = |waiting: &Waiting| waiting.tcp().is_some_and(|tcp| tcp.silent().is_some());
        let owed: Vec<usize> = all
            .iter()
            .zip(0..)
            .filter_map(|(waiting, at)| is_owed(waiting.as_deref()?).then_some(at))
            .collect();
        let futures: FxHashSet<Address> =
            owed.iter().filter_map(|at| tasks.get(*at)?.fut_waiter).collect();
        if futures.is_empty() {
            return;
        }
        for facts in &self.reading.loops {
            for timer in self.reader.timers(facts.at).into_iter().take(MAX_CALLBACKS) {
                let parts = self.parts_of_timer(timer);
                // A function of its own wakes who waits, to look around and wait again: psycopg.
                if parts.iter().any(|part| self.reader.is_kind(*part, Kind::Function)) {
                    continue;
                }
                let mut found = FxHashSet::default();
                for part in parts {
                    self.reach_from(part, &futures, MAX_STEPS, &mut found);
                }
                if found.is_empty() || self.reader.number(timer, "_cancelled") == Some(1) {
                    continue;
                }
                for &at in &owed {
                    let Some(task) = tasks.get(at) else { continue };
                    if let Some(Some(waiting)) = all.get_mut(at)
                        && task.fut_waiter.is_some_and(|future| found.contains(&future))
                    {
                        let due_in: Option<SignedDuration> = self.due_in(task, timer);
                        waiting.deadlines.push(Deadline { frame: None, due_in });
                    }
                }
            }
        }
    }
}
