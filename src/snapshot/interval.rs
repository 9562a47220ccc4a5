//! The time in which something was read.

use std::time::Duration;

/// The time between two looks: twice what asyncio itself calls a slow callback.
pub const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// From when to when something was read, by the target's `CLOCK_MONOTONIC`.
///
/// What is in a snapshot was so at some moment of it, nobody knows at which. So the time between
/// two snapshots is known by its bounds only, and these are far apart where reading takes long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interval {
    /// When the reading began.
    pub began: Duration,
    /// When it was done.
    pub ended: Duration,
}

impl Interval {
    /// One that is a single moment.
    pub fn at(moment: Duration) -> Self {
        Self { began: moment, ended: moment }
    }

    /// The time that lies between a moment of this one and one of a later one at least.
    pub fn least_until(&self, later: &Self) -> Duration {
        later.began.saturating_sub(self.ended)
    }

    /// The same at most.
    pub fn most_until(&self, later: &Self) -> Duration {
        later.ended.saturating_sub(self.began)
    }
}
