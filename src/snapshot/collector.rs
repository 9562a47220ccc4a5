//! What a garbage collector does and has done.

use std::time::Duration;

/// The garbage collector of an interpreter at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collector {
    /// The oldest generation that is being collected, 0 to 2; absent when none is, or that could not
    /// be told.
    pub generation: Option<u8>,
    /// How many collections have ended, of all generations.
    pub collections: Option<u64>,
    /// How many objects the last collection of all generations has left.
    pub objects: Option<u64>,
    /// How long they took all in all; Python 3.15 and later.
    pub time: Option<Duration>,
    /// The longest of those that it still knows: when it began, by `CLOCK_MONOTONIC`, and how long
    /// it took; Python 3.15 and later.
    pub longest: Option<(Duration, Duration)>,
}
