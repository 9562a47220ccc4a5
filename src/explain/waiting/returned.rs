//! Which locks and semaphores a callback refers to, and so may give back.
//!
//! Who takes one by `acquire()` need not be who gives it back: `call_later(1, limit.release)` makes
//! a rate limit, and `task.add_done_callback(lambda _: lock.release())` lends it to a task.

use rustc_hash::FxHashSet;

use super::Reasons;
use crate::asyncio::FutureState;
use crate::memory::Address;
use crate::python::object::Kind;

/// Timers of one loop, and callbacks in all, that are looked at.
pub(super) const MAX_CALLBACKS: usize = 20_000;
/// Objects on the way from a callback to the thing: a partial call, its arguments, a method, the
/// owner; or a function, a cell, the owner.
pub(super) const MAX_STEPS: usize = 5;
/// Arguments or variables of one callback.
const MAX_PARTS: usize = 64;
/// Where the callback and its arguments are in uvloop's `TimerHandle`.
// 0.17.0 to 0.23.0: uvloop/cbhandles.pxd; the object's head and its table of methods go before.
const UV_TIMER_PARTS: [u64; 2] = [24, 32];

impl Reasons<'_> {
    /// Those of the given things that timers and callbacks of tasks lead to; `None` if there are
    /// too many of these to tell.
    pub(super) fn read_returned(&self, things: &FxHashSet<Address>) -> Option<FxHashSet<Address>> {
        let mut found = FxHashSet::default();
        let mut count = 0;
        for part in self.timers()?.into_iter().chain(self.callbacks()) {
            count += 1;
            if count > MAX_CALLBACKS {
                return None;
            }
            self.reach_from(part, things, MAX_STEPS, &mut found);
        }
        Some(found)
    }

    /// The callbacks of all timers, with their arguments.
    fn timers(&self) -> Option<Vec<Address>> {
        let reader = &self.reader;
        let mut parts = Vec::new();
        for facts in &self.reading.loops {
            for timer in reader.timers(facts.at) {
                if parts.len() > MAX_CALLBACKS {
                    return None;
                }
                parts.extend(self.parts_of_timer(timer));
            }
        }
        Some(parts)
    }

    /// The callback of a timer and its arguments.
    pub(super) fn parts_of_timer(&self, timer: Address) -> Vec<Address> {
        let reader = &self.reader;
        if reader.is_kind(timer, Kind::UvTimerHandle) {
            let fields = UV_TIMER_PARTS.iter();
            return fields.filter_map(|at| reader.pointer(timer.offset(*at)).ok()?).collect();
        }
        let fields = reader.attributes_named(timer, ["_callback", "_args"]);
        fields.unwrap_or_default().into_iter().flatten().collect()
    }

    /// What is called when a task ends, or a future is done that a task waits for.
    fn callbacks(&self) -> impl Iterator<Item = Address> {
        let pending = self.reading.tasks.iter().filter(|t| t.state == FutureState::Pending);
        let futures = pending.flat_map(|task| [Some(task.at), task.fut_waiter]).flatten();
        futures.flat_map(|future| self.reader.callbacks(future).unwrap_or_default())
    }

    pub(super) fn reach_from(
        &self,
        at: Address,
        things: &FxHashSet<Address>,
        steps: usize,
        found: &mut FxHashSet<Address>,
    ) {
        if things.contains(&at) {
            found.insert(at);
            return;
        }
        let Some(steps) = steps.checked_sub(1) else { return };
        let reader = &self.reader;
        let small = &reader.layout.small;
        let field = |offset| reader.pointer(at.offset(offset)).ok().flatten();
        let next = match reader.kind_of(at) {
            Ok(Kind::Method | Kind::Builtin) => reader.bound_to(at).into_iter().collect(),
            Ok(Kind::Cell) => field(small.cell_ref).into_iter().collect(),
            Ok(Kind::Partial) => {
                let parts = [small.partial_fn, small.partial_args];
                parts.into_iter().filter_map(field).collect()
            }
            Ok(Kind::Function) => reader.cells(at),
            Ok(Kind::Tuple | Kind::List) => reader.items_of(at).unwrap_or_default(),
            Ok(Kind::Other) => self.among_attributes(at, things),
            _ => Vec::new(),
        };
        for part in next.into_iter().take(MAX_PARTS) {
            self.reach_from(part, things, steps, found);
        }
    }
}
