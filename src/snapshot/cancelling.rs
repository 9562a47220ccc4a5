//! How far a task and its cancellation are, as one snapshot tells it.

use jiff::SignedDuration;

use super::{self as snapshot, Cancellation, Location, Task, TaskState};
use crate::known::name;
use crate::known::purpose::{Purpose, Wait};

impl Task {
    /// Whether it is known to have ended.
    pub fn is_over(&self) -> bool {
        self.state.is_some_and(TaskState::is_finished)
    }

    /// How many requests are not taken back; `None` where Python does not count them (up to 3.10),
    /// and where nothing at all is known of a cancellation.
    pub fn requests(&self) -> Option<u64> {
        self.cancellation.as_ref()?.requested
    }

    /// Whether a `CancelledError` is to be delivered to it, or is being handled.
    pub fn is_on_its_way_out(&self) -> bool {
        let told =
            |told: &Cancellation| told.in_flight || told.must_cancel || told.handling.is_some();
        self.cancellation.as_ref().is_some_and(told)
    }

    /// Whether it waits, with nothing on its way that would let it go on.
    pub fn is_parked(&self) -> bool {
        let is_told = |told: &Cancellation| told.in_flight || told.must_cancel;
        self.state == Some(TaskState::Pending)
            && !self.is_torn
            && !self.cancellation.as_ref().is_some_and(is_told)
    }

    /// Whether it waits as one does that was never cancelled: nothing on its way, nothing being
    /// handled, and not where a block is being left.
    pub fn goes_on(&self) -> bool {
        let leaves = |at: &Location| {
            name::leaves_block(&at.function)
                || at.purpose() == Some(Purpose::Wait(Wait::CancelAndWait))
        };
        self.is_parked()
            && !self.is_on_its_way_out()
            && self
                .waiting_on
                .as_deref()
                .is_some_and(|waiting| !matches!(waiting.wait, snapshot::Wait::TaskGroup(_)))
            && !self.frames.iter().any(|frame| leaves(&frame.location))
    }

    /// Whether time limits that have run out account for all the requests.
    pub fn is_owed_by_time(&self) -> bool {
        let over = self.limits_over() as u64;
        self.requests().is_some_and(|count| count <= over)
    }

    /// How many of the time limits around it have run out.
    pub fn limits_over(&self) -> usize {
        let limits = self.waiting_on.as_deref().map_or(&[][..], |waiting| &waiting.deadlines);
        let is_over = |due_in: SignedDuration| !due_in.is_positive();
        limits.iter().filter(|limit| limit.due_in.is_none_or(is_over)).count()
    }

    /// Whether a cancellation of it goes to what it awaits, and it is not told before that has
    /// ended.
    pub fn passes_cancellation_on(&self) -> bool {
        self.waiting_on.as_deref().is_some_and(|waiting| match waiting.wait {
            snapshot::Wait::Gather(_) => true,
            // `wait_for` with a future of its own, up to 3.11, is told at once; what it then does
            // for its task to end is in `_cancel_and_wait`.
            snapshot::Wait::Task { operation, .. } => operation.is_none(),
            _ => false,
        })
    }
}
