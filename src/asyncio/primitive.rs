//! What tasks wait at: timers, locks and their like, groups of futures.
//!
//! Attributes by Lib/asyncio/{locks,queues,tasks,taskgroups,timeouts}.py of 3.8 to 3.15; all of
//! them were read from live programs on each version (test `truth`).

use super::FutureState;
use crate::known::Callback;
use crate::layout::uvloop::TIMER_HANDLE_WHEN;
use crate::memory::Address;
use crate::python::object::{Kind, MAX_ITEMS, Read, Reader};

/// How far many futures are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FutureCounts {
    /// Neither result nor exception yet.
    pub pending: u64,
    /// With a result.
    pub finished: u64,
    /// With an exception.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
}

impl Reader<'_> {
    /// When a timer is due, in seconds of its loop's clock.
    pub fn timer_when(&self, handle: Address) -> Option<f64> {
        self.float(self.timer_when_object(handle)?)
    }

    /// The number that says when a timer is due.
    pub fn timer_when_object(&self, handle: Address) -> Option<Address> {
        let class = self.class_of(handle).ok()?;
        if class.kind == Kind::UvTimerHandle {
            return self.pointer(handle.offset(TIMER_HANDLE_WHEN)).ok()?;
        }
        match self.slots(&class).get("_when") {
            Some(&slot) => self.pointer(handle.offset(slot)).ok()?,
            None => self.attribute(handle, "_when").ok()?,
        }
    }

    /// The futures of those that wait at a primitive, first come first, from its attribute
    /// `name`: a deque, or `None` before the first one came.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn waiters_of(&self, primitive: Address, name: &str) -> Read<Vec<Address>> {
        match self.attribute(primitive, name)? {
            Some(line) if self.is_kind(line, Kind::Deque) => self.deque(line, MAX_ITEMS),
            _ => Ok(Vec::new()),
        }
    }

    /// An attribute that is a number or a truth value.
    pub fn number(&self, at: Address, name: &str) -> Option<i64> {
        let value = self.attribute(at, name).ok()??;
        matches!(self.kind_of(value).ok()?, Kind::Int | Kind::Bool)
            .then(|| self.int(value).ok())
            .flatten()
    }

    /// How many items a list, deque, set or dictionary has.
    pub fn len_of(&self, at: Address) -> Option<u64> {
        match self.kind_of(at).ok()? {
            Kind::List | Kind::Deque | Kind::Tuple => {
                self.size(at, u64::from(u32::MAX), "collection").ok()
            }
            Kind::Set | Kind::FrozenSet => self.memory.u64(at.offset(self.layout.set.used)).ok(),
            Kind::Dict => self.memory.u64(at.offset(self.layout.dict.used)).ok(),
            _ => None,
        }
    }

    /// How far the given futures are; what is none or cannot be read is not counted.
    pub fn count_futures(&self, futures: &[Address]) -> FutureCounts {
        self.memory.prefetch(futures.iter().map(|at| (*at, 112)));
        let mut counts = FutureCounts::default();
        for future in futures {
            match self.future_state(*future) {
                Ok(Some(FutureState::Pending)) => counts.pending += 1,
                Ok(Some(FutureState::Finished)) => counts.finished += 1,
                Ok(Some(FutureState::Failed)) => counts.failed += 1,
                Ok(Some(FutureState::Cancelled)) => counts.cancelled += 1,
                Ok(None) | Err(_) => {}
            }
        }
        counts
    }

    /// Whether the class of the object at `at` is named so, or one of its bases is.
    pub fn is_a(&self, at: Address, name: &str) -> bool {
        self.class_of(at).is_ok_and(|class| self.is_subclass_named(&class, name))
    }

    /// The loop of a future or task.
    pub fn future_loop(&self, future: Address) -> Option<Address> {
        match self.kind_of(future).ok()? {
            Kind::Task | Kind::Future => {
                self.pointer(future.offset(self.layout.future.running_loop)).ok()?
            }
            Kind::PyTask | Kind::PyFuture => self.attribute(future, "_loop").ok()?,
            _ => None,
        }
    }

    /// For a future made by `gather`, its children.
    pub fn gather_children(&self, future: Address) -> Option<Vec<Address>> {
        let kind = self.kind_of(future).ok()?;
        if !kind.is_future() || !self.is_a(future, "_GatheringFuture") {
            return None;
        }
        self.items_of(self.attribute(future, "_children").ok()??).ok()
    }

    /// For a future made by `shield`, the future within.
    ///
    /// `shield.<locals>._outer_done_callback` is on the outer future, with a cell `inner`.
    pub fn shielded(&self, outer: Address) -> Option<Address> {
        self.callbacks(outer).ok()?.into_iter().find_map(|callback| {
            let is_shield = self.is_kind(callback, Kind::Function)
                && Callback::of(&self.function_name(callback).ok()?) == Some(Callback::ShieldOuter);
            if is_shield { self.closure(callback, "inner").ok()? } else { None }
        })
    }

    /// Whether a gather takes exceptions as results, from the callback on one of its children.
    pub fn returns_exceptions(&self, child: Address) -> Option<bool> {
        self.callbacks(child).ok()?.into_iter().find_map(|callback| {
            let is_gather = self.is_kind(callback, Kind::Function)
                && Callback::of(&self.function_name(callback).ok()?) == Some(Callback::Gather);
            if !is_gather {
                return None;
            }
            let value = self.closure(callback, "return_exceptions").ok()??;
            self.int(value).ok().map(|value| value != 0)
        })
    }
}
