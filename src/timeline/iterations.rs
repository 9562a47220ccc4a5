//! What a loop's iterations are like over a time, from glances.
//!
//! A loop turns thousands of times a second and is seen a thousand times at most: shares of time
//! are right, numbers of iterations are those that were seen, and long ones are seen more often
//! than short ones.

use std::time::Duration;

use hdrhistogram::Histogram;
use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::memory::Address;
use crate::snapshot::{Glance, LoopGlance, Phase};

/// The longest iteration that is told from a longer one, in microseconds: a day.
const LONGEST: u64 = 24 * 3600 * 1_000_000;

/// A loop that was not seen for so long is taken not to run any more.
const UNSEEN: Duration = Duration::from_secs(5);

/// How a loop spent its time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LoopTiming {
    /// How often it was looked at.
    pub glances: u64,
    /// The share of these in which it ran callbacks, 0 to 1.
    pub busy: f64,
    /// How many different iterations were seen to run callbacks.
    pub iterations: u64,
    /// The mean number of callbacks of one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callbacks_mean: Option<f64>,
    /// The most callbacks of one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callbacks_max: Option<u64>,
    /// How long their ready phases were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<Spread>,
}

/// How long something was, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Half of them were no longer.
    pub p50_ms: f64,
    /// Nine of ten.
    pub p90_ms: f64,
    /// All but one of a hundred.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Spread {
    /// Of a histogram of microseconds; `None` for an empty one.
    pub fn of(histogram: &Histogram<u32>) -> Option<Self> {
        #[expect(clippy::cast_precision_loss, reason = "at most a day in microseconds")]
        let ms = |micros: u64| micros as f64 / 1000.0;
        (!histogram.is_empty()).then(|| Self {
            p50_ms: ms(histogram.value_at_quantile(0.5)),
            p90_ms: ms(histogram.value_at_quantile(0.9)),
            p99_ms: ms(histogram.value_at_quantile(0.99)),
            max_ms: ms(histogram.max()),
        })
    }
}

/// A histogram of lengths in microseconds, to two digits.
pub fn histogram() -> Option<Histogram<u32>> {
    Histogram::new_with_bounds(1, LONGEST, 2).ok()
}

/// Notes a length.
pub fn note(histogram: &mut Histogram<u32>, length: Duration) {
    histogram.saturating_record(u64::try_from(length.as_micros()).unwrap_or(LONGEST).max(1));
}

/// The iterations of all loops of a target.
#[derive(Debug, Default)]
pub struct Iterations {
    loops: FxHashMap<Address, Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    last: Option<LoopGlance>,
    glances: u64,
    busy: u64,
    iterations: u64,
    callbacks: u64,
    callbacks_max: Option<u64>,
    ready: Option<Histogram<u32>>,
}

impl Iterations {
    /// Takes in a glance.
    pub fn take(&mut self, glance: &Glance) {
        for now in &glance.loops {
            self.loops.entry(now.id).or_default().take(now);
        }
        self.loops.retain(|_, counts| {
            counts.last.as_ref().is_some_and(|last| glance.at.saturating_sub(last.at) < UNSEEN)
        });
    }

    /// What was seen since the last time it was asked for.
    pub fn drain(&mut self) -> Vec<(Address, LoopTiming)> {
        let mut all: Vec<_> =
            self.loops.iter_mut().map(|(id, counts)| (*id, counts.drain())).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}

impl Counts {
    fn take(&mut self, now: &LoopGlance) {
        self.glances += 1;
        self.busy += u64::from(now.phase == Phase::Ready);
        let is_new = now.began.is_some()
            && self.last.as_ref().is_none_or(|before| before.began != now.began);
        if is_new {
            self.iterations += 1;
            self.callbacks += now.total.unwrap_or(0);
            self.callbacks_max = self.callbacks_max.max(now.total);
        }
        let before = self.last.replace(now.clone());
        if let Some(before) = before
            && let Some(began) = before.began
            && before.began != now.began
        {
            // It ended somewhere between the two glances.
            let gap = now.began.unwrap_or(now.at).min(now.at).saturating_sub(before.at);
            self.ready = self.ready.take().or_else(histogram);
            if let Some(ready) = &mut self.ready {
                note(ready, before.at.saturating_sub(began) + gap / 2);
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of at most some billions")]
    fn drain(&mut self) -> LoopTiming {
        let ready = self.ready.take();
        let timing = LoopTiming {
            glances: self.glances,
            busy: if self.glances == 0 { 0.0 } else { self.busy as f64 / self.glances as f64 },
            iterations: self.iterations,
            callbacks_mean: (self.iterations > 0 && self.callbacks_max.is_some())
                .then(|| self.callbacks as f64 / self.iterations as f64),
            callbacks_max: self.callbacks_max,
            ready: ready.as_ref().and_then(Spread::of),
        };
        *self = Self { last: self.last.take(), ..Self::default() };
        timing
    }
}
