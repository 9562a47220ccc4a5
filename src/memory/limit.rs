//! How long reading may take, shared by who reads and who watches over it.
//!
//! Time is given to the parts of a snapshot by shares: no task is begun any more when half of it is
//! over, nothing is read any more when four fifths are, and what is left is for plain data and
//! conclusions. So what was read by then is not lost. A read that blocks in the kernel ends at no
//! limit of ours: for that somebody else has to see that it [`is_exceeded`](TimeLimit::is_exceeded).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A limit of time that can be set again and again; all clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct TimeLimit(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Since when it runs and for how long.
    running: Mutex<Option<(Instant, Duration)>>,
    is_cut: AtomicBool,
}

impl TimeLimit {
    /// From now on so much time is left.
    pub fn begin(&self, limit: Duration) {
        *self.running() = Some((Instant::now(), limit));
        self.0.is_cut.store(false, Ordering::Relaxed);
    }

    /// All of it is left again, if it runs: for the next of several readings.
    pub fn restart(&self) {
        if let Some(limit) = self.length() {
            self.begin(limit);
        }
    }

    /// There is no limit any more.
    pub fn end(&self) {
        *self.running() = None;
    }

    /// How long it is, while it runs.
    pub fn length(&self) -> Option<Duration> {
        self.running().map(|(_, limit)| limit)
    }

    /// Whether there is time to begin another part; if not, the reading [`was_cut`](Self::was_cut).
    pub fn may_begin(&self) -> bool {
        self.has_left(2, 1)
    }

    /// Whether there is time to read on; if not, the reading [`was_cut`](Self::was_cut).
    pub fn may_read(&self) -> bool {
        self.has_left(5, 4)
    }

    /// Whether all of it is over.
    pub fn is_exceeded(&self) -> bool {
        self.running().is_some_and(|(since, limit)| since.elapsed() >= limit)
    }

    /// Whether something was left out since it began, for want of time.
    pub fn was_cut(&self) -> bool {
        self.0.is_cut.load(Ordering::Relaxed)
    }

    /// Whether less than `share` of `parts` is over.
    fn has_left(&self, parts: u32, share: u32) -> bool {
        let running = *self.running();
        let has = running.is_none_or(|(since, limit)| since.elapsed() < limit / parts * share);
        if !has {
            self.0.is_cut.store(true, Ordering::Relaxed);
        }
        has
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Duration)>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_given_out_by_shares() {
        let limit = TimeLimit::default();
        assert!(limit.may_begin() && limit.may_read() && !limit.is_exceeded());
        let at = |share: f64| {
            let long = Duration::from_secs(1000);
            limit.begin(long);
            let since = Instant::now().checked_sub(long.mul_f64(share)).unwrap();
            *limit.running() = Some((since, long));
            assert!(!limit.was_cut());
            (limit.may_begin(), limit.may_read(), limit.is_exceeded(), limit.was_cut())
        };
        assert_eq!(at(0.2), (true, true, false, false));
        assert_eq!(at(0.6), (false, true, false, true));
        assert_eq!(at(0.9), (false, false, false, true));
        assert_eq!(at(1.1), (false, false, true, true));
        limit.end();
        assert!(limit.may_begin() && limit.may_read() && !limit.is_exceeded() && limit.was_cut());
    }
}
