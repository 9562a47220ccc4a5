//! Which tasks give back a lock or semaphore when they end, by a callback.
//!
//! Who takes a permit may leave it to a task: `await slots.acquire()`, then
//! `task.add_done_callback(lambda _: slots.release())`. Until it ends, the task holds the permit,
//! though no block in its frames says so.

use rustc_hash::FxHashMap;

use super::{Line, Reasons, Step};
use crate::asyncio::FutureState;
use crate::known::name;
use crate::memory::Address;
use crate::python::frame::{Caller, Depth};
use crate::snapshot::{Count, Holders};

/// Callbacks of tasks that are looked at.
const MAX_CALLBACKS: usize = 20_000;

/// A callback calls a method of its owner, which calls another one that gives back.
const WITHIN: Depth = Depth { calls: 2, functions: 16 };

/// By what they give back, the tasks with what they are parked on.
pub(super) type Lent = FxHashMap<Address, Vec<(Address, Option<Address>)>>;

impl Reasons<'_> {
    /// Those who hold a lock at which these wait: the tasks in a block of it, or else the one that it
    /// was left to.
    pub(super) fn lock_holders(&self, lock: Address, line: &Line) -> Holders {
        let holders = self.holders_of(lock);
        if holders.is_empty() { self.with_lent(holders, lock, Some(1), line) } else { holders }
    }

    /// Those who hold permits of a semaphore at which these wait, one of them in these frames,
    /// innermost first.
    pub(super) fn permit_holders(
        &self,
        semaphore: Address,
        permits: Count,
        line: &Line,
        steps: &[Step<'_>],
    ) -> Holders {
        let holders = self.holders_of(semaphore);
        let out = permits.limit.zip(permits.value).map(|(limit, value)| limit - value);
        let out = out.map(|out| usize::try_from(out).unwrap_or(0));
        if out.map_or_else(|| !self.takes_turns(steps), |out| out <= holders.len()) {
            return holders;
        }
        self.with_lent(holders, semaphore, out, line)
    }

    /// Whether one who waits for a semaphore without a bound wants a permit for something to come. A
    /// semaphore may as well count what is done: then tasks release what nobody has acquired.
    fn takes_turns(&self, steps: &[Step<'_>]) -> bool {
        let reader = &self.reader;
        let is_block = |step: &Step<'_>| {
            let code = reader.code(step.frame.code);
            code.is_ok_and(|code| name::enters_block(&code.place.function))
        };
        let of_library = steps.iter().take_while(|step| !self.is_outside(step.frame));
        if of_library.clone().any(is_block) {
            return true;
        }
        let own = steps.get(of_library.count());
        let ahead = own.and_then(|step| reader.names_ahead(step.frame).ok());
        ahead.is_some_and(|names| names.iter().any(|it| name::adds_callback(it)))
    }

    /// The same with those that give it back when they end, unless these are more than can have it.
    fn with_lent(
        &self,
        holders: Holders,
        thing: Address,
        out: Option<usize>,
        line: &Line,
    ) -> Holders {
        let lent = self.lent.get_or_init(|| self.read_lent());
        let tasks = lent.get(&thing).map(Vec::as_slice).unwrap_or_default();
        let others = tasks.iter().filter(|(task, _)| !holders.contains(task));
        // Who waits for it is yet to get it, unless somebody has taken it for him.
        let waits =
            |future: Option<Address>| future.is_some_and(|it| line.positions.contains_key(&it));
        let (late, others): (Vec<_>, Vec<_>) = others.partition(|(_, future)| waits(*future));
        let missing = out.map_or(others.len(), |out| out.saturating_sub(holders.len()));
        let others = match others.len() {
            few if few < missing => [others, late].concat(),
            _ => others,
        };
        if others.len() > missing {
            return holders;
        }
        holders.iter().copied().chain(others.into_iter().map(|&(task, _)| task)).collect()
    }

    /// What tasks give back when they end.
    fn read_lent(&self) -> Lent {
        let reader = &self.reader;
        let mut lent = Lent::default();
        let mut count = 0;
        let pending = self.reading.tasks.iter().filter(|it| it.state == FutureState::Pending);
        for task in pending.filter(|task| task.has_awaiters) {
            let callbacks = reader.callbacks(task.at).unwrap_or_default();
            for callback in callbacks.into_iter().filter(|it| reader.stepped_task(*it).is_none()) {
                count += 1;
                if count > MAX_CALLBACKS {
                    return lent;
                }
                for thing in reader.receivers(Caller::Callable(callback), &name::gives_back, WITHIN)
                {
                    let tasks = lent.entry(thing).or_default();
                    if tasks.last().is_none_or(|(last, _)| *last != task.at) {
                        tasks.push((task.at, task.fut_waiter));
                    }
                }
            }
        }
        lent
    }
}
