//! The processor time of a thread: how much it got, and how much it had to wait for.
//!
//! A thread that is runnable is not therefore on a processor: a quota, a busy machine or a rival
//! of higher priority may keep it waiting. The kernel counts both times, the wait only when it is
//! over: a thread that was not given a processor at all between two readings has run for no time
//! and has waited for none.

use std::time::Duration;

/// What the kernel has counted of a thread up to a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processor {
    /// That moment, by `CLOCK_MONOTONIC`.
    pub at: Duration,
    /// How long it has been on a processor.
    pub ran: Duration,
    /// How long it has waited for one, as far as these waits are over.
    pub waited: Duration,
    /// How often it went to sleep by itself; read only of one that is runnable.
    pub sleeps: Option<u64>,
}

/// What became of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessorUse {
    /// How long the stretch is.
    pub time: Duration,
    /// How long the thread was on a processor.
    pub ran: Duration,
    /// How long it was runnable and not given one, at least.
    pub waited: Duration,
}

/// Shorter waits are what any machine has that does more than one thing.
const SHARE: u32 = 3;

/// A callback that is estimated to have had so many times the threshold for itself is too long by
/// itself.
const LEAST_OWN: u32 = 2;

impl Processor {
    /// What became of the time from this reading to a `later` one.
    ///
    /// A thread that was runnable at both and did not go to sleep in between was runnable all the
    /// time: where it did not run, it waited. Of any other only the waits that are over are known.
    pub fn until(&self, later: &Self) -> ProcessorUse {
        let time = later.at.saturating_sub(self.at);
        let ran = later.ran.saturating_sub(self.ran).min(time);
        let rest = time.saturating_sub(ran);
        let is_runnable = self.sleeps.is_some() && self.sleeps == later.sleeps;
        let booked = later.waited.saturating_sub(self.waited).min(rest);
        ProcessorUse { time, ran, waited: if is_runnable { rest } else { booked } }
    }
}

impl ProcessorUse {
    /// What is left of the time without the waits for a processor.
    pub fn own(&self) -> Duration {
        self.time.saturating_sub(self.waited)
    }

    /// Whether a large part of the time went by in waiting for a processor.
    pub fn is_short(&self) -> bool {
        self.waited * 10 >= self.time * SHARE && !self.waited.is_zero()
    }

    /// For how long the thread waited of a longer time, if all of that was like this.
    pub fn waited_of(&self, time: Duration) -> Duration {
        let share = self.waited.as_secs_f64() / self.time.as_secs_f64().max(f64::MIN_POSITIVE);
        time.mul_f64(share.min(1.0))
    }

    /// Whether a callback that has lasted for `held` so far, and this at its end, would not yet have
    /// come to `threshold`, had there been a processor. Where it has lasted for much longer, what it
    /// had at its end is no proof for all of it: it may have computed for long before.
    pub fn is_why(&self, held: Duration, threshold: Duration) -> bool {
        let own = held.saturating_sub(self.waited_of(held));
        self.is_starved(threshold) && own < threshold * LEAST_OWN
    }

    /// `waited for a processor for 142 of 150 ms`.
    pub fn in_words(&self) -> String {
        let (waited, time) = (self.waited.as_millis(), self.time.as_millis());
        format!("waited for a processor for {waited} of {time} ms")
    }

    /// Whether it would have been shorter than `threshold`, had there been a processor.
    pub fn is_starved(&self, threshold: Duration) -> bool {
        self.is_short() && self.own() < threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn reading(at: u64, ran: u64, waited: u64, sleeps: Option<u64>) -> Processor {
        Processor { at: ms(at), ran: ms(ran), waited: ms(waited), sleeps }
    }

    #[test]
    fn who_was_runnable_and_did_not_run_waited() {
        // A quota of 8 %: the wait is not booked yet.
        let found = reading(100, 50, 7, Some(4)).until(&reading(300, 66, 7, Some(4)));
        assert_eq!(found, ProcessorUse { time: ms(200), ran: ms(16), waited: ms(184) });
        assert!(found.is_starved(ms(100)));
        // It slept in between, or its sleeps are not known: only what is booked.
        let slept = reading(100, 50, 7, Some(4)).until(&reading(300, 66, 27, Some(5)));
        assert_eq!((slept.waited, slept.is_starved(ms(100))), (ms(20), false));
        let unknown = reading(100, 50, 7, None).until(&reading(300, 66, 7, None));
        assert_eq!(unknown.waited, ms(0));
        assert!(!unknown.is_starved(ms(100)));
    }

    #[test]
    fn who_computes_for_long_enough_is_not_starved() {
        let free = reading(0, 0, 0, Some(1)).until(&reading(200, 199, 0, Some(1)));
        assert!(!free.is_short() && !free.is_starved(ms(500)));
        // Half of a processor: 150 of 300 ms are its own.
        let half = reading(0, 0, 0, Some(1)).until(&reading(300, 150, 0, Some(1)));
        assert!(half.is_short() && !half.is_starved(ms(100)) && half.is_starved(ms(200)));
    }

    #[test]
    fn an_old_wait_that_is_booked_late_counts_no_more_than_the_time() {
        let found = reading(0, 0, 0, None).until(&reading(50, 10, 170, None));
        assert_eq!(found, ProcessorUse { time: ms(50), ran: ms(10), waited: ms(40) });
    }
}
