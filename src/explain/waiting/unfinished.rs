//! Queues whose items nobody will say to be done.
//!
//! `Queue.join()` waits until `task_done()` was called for each item that was put. A consumer that is
//! back at `get()` has none in its hands. So when none is left in the queue either, somebody else has
//! to call it: a task, a callback, a timer, what hears of a connection. If none of these leads to a
//! call of it for this queue, an item was taken and forgotten.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Reasons;
use crate::asyncio::FutureState;
use crate::known::name;
use crate::memory::Address;
use crate::python::frame::{Caller, Depth};
use crate::snapshot::{Operation, Wait, Waiting};

/// Frames and callables that are looked at.
const MAX_CALLERS: usize = 5_000;
/// How far their calls are followed.
const WITHIN: Depth = Depth { calls: 3, functions: 100 };

impl Reasons<'_> {
    /// The queues that somebody joins, of which all items were taken by tasks that ask for more, and
    /// that nothing was found to call `task_done` of; none when no evidence is asked for.
    pub(crate) fn forgotten(&self, all: &[Option<Box<Waiting>>]) -> Vec<Address> {
        if !self.evidence {
            return Vec::new();
        }
        let mut sides: FxHashMap<Address, (bool, bool)> = FxHashMap::default();
        for waiting in all.iter().flatten() {
            let Wait::Queue { operation, items, .. } = &waiting.wait else { continue };
            let Some(queue) = waiting.object else { continue };
            let (joined, consumed) = sides.entry(queue).or_default();
            *joined |= *operation == Some(Operation::Join) && items.value > Some(0);
            *consumed |= *operation == Some(Operation::Get) && items.value == Some(0);
        }
        sides.retain(|_, sides| *sides == (true, true));
        let mut queues: BTreeSet<Address> = sides.into_keys().collect();
        if queues.is_empty() {
            return Vec::new();
        }
        let Some(finished) = self.read_finishing(all, &queues) else { return Vec::new() };
        queues.retain(|queue| !finished.contains(queue));
        queues.into_iter().collect()
    }

    /// What something leads to a call of `task_done` of; `None` where that cannot be told.
    fn read_finishing(
        &self,
        all: &[Option<Box<Waiting>>],
        queues: &BTreeSet<Address>,
    ) -> Option<FxHashSet<Address>> {
        let reader = &self.reader;
        // Whatever a callback leads to it may do something with.
        let things: FxHashSet<Address> = queues.iter().copied().collect();
        let mut finished = self.read_returned(&things)?;
        let mut callers = Vec::new();
        let tasks = self.reading.tasks.iter().zip(self.chains).zip(all);
        for ((task, chain), waiting) in tasks {
            if task.state != FutureState::Pending {
                continue;
            }
            // A consumer goes on with what it gets next, not with what it has got; unless it does so
            // when its time is up.
            let is_consumer = waiting.as_deref().is_some_and(|waiting| {
                waiting.operation() == Some(Operation::Get)
                    && waiting.object.is_some_and(|queue| queues.contains(&queue))
                    && waiting.deadlines.is_empty()
            });
            if task.problem.is_some() || task.has_unread_variables {
                return None;
            }
            if !is_consumer {
                callers.extend(chain.iter().map(Caller::Frame));
            }
            let callbacks = reader.callbacks(task.at).unwrap_or_default().into_iter();
            let others = callbacks.filter(|callback| reader.stepped_task(*callback).is_none());
            callers.extend(others.map(Caller::Callable));
        }
        for thread in &self.reading.threads {
            callers.extend(thread.stack.frames.iter().map(Caller::Frame));
        }
        for facts in &self.reading.loops {
            let (objects, callables) = reader.hearing(facts.at)?;
            callers.extend(objects.into_iter().map(Caller::Object));
            callers.extend(callables.into_iter().map(Caller::Callable));
        }
        if callers.len() > MAX_CALLERS {
            return None;
        }
        for caller in callers {
            let found = reader.receivers(caller, &name::finishes_item, WITHIN);
            if let Caller::Frame(frame) = caller
                && found.is_empty()
                && !self.function(frame).is_asyncio
                && reader.names_ahead(frame).ok()?.iter().any(|name| name::finishes_item(name))
            {
                return None;
            }
            finished.extend(found);
        }
        Some(finished)
    }
}
