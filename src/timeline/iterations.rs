//! What a loop's iterations are like over a time, from glances.
//!
//! A loop turns thousands of times a second and is seen a thousand times at most: shares of time
//! are right, numbers of iterations are those that were seen, and long ones are seen more often
//! than short ones.

use std::time::Duration;

use hdrhistogram::Histogram;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::callbacks::between;
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
    /// How long it waited for events, each time that two glances saw it in one and the same wait:
    /// shorter waits than glances are apart are not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll: Option<Spread>,
    /// How long what becomes ready at any moment waits for its turn, in the mean, in milliseconds:
    /// as long as the ready phase goes on that it comes in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_mean_ms: Option<f64>,
    /// The most by which a timer was seen to be late, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_max_ms: Option<f64>,
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
    /// The same with the longest as it was: a histogram rounds up.
    #[must_use]
    pub fn up_to(self, longest: Duration) -> Self {
        let max_ms = longest.as_secs_f64() * 1000.0;
        let Self { p50_ms, p90_ms, p99_ms, .. } = self;
        let [p50_ms, p90_ms, p99_ms] = [p50_ms, p90_ms, p99_ms].map(|it| it.min(max_ms));
        Self { p50_ms, p90_ms, p99_ms, max_ms }
    }

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
    poll: Option<Histogram<u32>>,
    wait: Option<Wait>,
    /// How often the ready phase that goes on was seen, and the sum of how old it was then.
    in_phase: (u32, Duration),
    /// The sum of how long each ready phase went on from each moment at which it was seen.
    left: Duration,
    latest_timer: Option<Duration>,
}

/// A wait for events that goes on.
#[derive(Debug, Clone, Copy)]
struct Wait {
    id: u64,
    /// Between the glance before it and the first at it.
    began: Duration,
    last: Duration,
    /// How often it was seen.
    times: u32,
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

    /// Notes by how much the first timer of a loop is late, as a whole snapshot tells it.
    pub fn note_lag(&mut self, id: Address, lag: Duration) {
        if let Some(counts) = self.loops.get_mut(&id) {
            counts.latest_timer = counts.latest_timer.max(Some(lag));
        }
    }

    /// What was seen since the last time it was asked for.
    pub fn drain(&mut self) -> Vec<(Address, LoopTiming)> {
        let mut all: Vec<_> =
            self.loops.iter_mut().map(|(id, counts)| (*id, counts.drain())).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}

/// How long the ready phase lasted that is over between two glances at a loop, if there is one.
///
/// It ended somewhere between the two. Where these are far apart, one that was seen for a moment
/// has hardly lasted for half of that: at a random moment of it as much is over as is to come, in
/// the mean.
pub fn ready_between(before: &LoopGlance, now: &LoopGlance) -> Option<Duration> {
    let began = before.began.filter(|_| before.began != now.began)?;
    let gap = now.began.unwrap_or(now.at).min(now.at).saturating_sub(before.at);
    let seen = before.at.saturating_sub(began);
    Some(seen + seen.min(gap / 2))
}

fn add(to: &mut Option<Histogram<u32>>, length: Duration) {
    if to.is_none() {
        *to = histogram();
    }
    if let Some(to) = to {
        note(to, length);
    }
}

impl Counts {
    fn take(&mut self, now: &LoopGlance) {
        self.glances += 1;
        self.busy += u64::from(now.phase == Phase::Ready);
        let before = self.last.replace(now.clone());
        if let Some(length) = before.as_ref().and_then(|before| ready_between(before, now)) {
            add(&mut self.ready, length);
            let (times, ages) = std::mem::take(&mut self.in_phase);
            self.left += length.saturating_mul(times).saturating_sub(ages);
        }
        if let Some(began) = now.began {
            if before.as_ref().is_none_or(|before| before.began != now.began) {
                self.iterations += 1;
                self.callbacks += now.total.unwrap_or(0);
                self.callbacks_max = self.callbacks_max.max(now.total);
            }
            let (times, ages) = &mut self.in_phase;
            *times = times.saturating_add(1);
            *ages = ages.saturating_add(now.at.saturating_sub(began));
        }
        // Of one that was there from the beginning nobody knows how long.
        let Some(before) = before else { return };
        if let Some(wait) = self.wait.as_mut().filter(|wait| now.wait == Some(wait.id)) {
            wait.last = now.at;
            wait.times = wait.times.saturating_add(1);
            return;
        }
        if let Some(wait) = self.wait.take().filter(|wait| wait.times > 1) {
            let end = now.began.filter(|began| *began >= wait.last && *began <= now.at);
            let end = end.unwrap_or_else(|| between(wait.last, now.at).0);
            add(&mut self.poll, end.saturating_sub(wait.began));
        }
        let (began, _) = between(before.at, now.at);
        self.wait = now.wait.map(|id| Wait { id, began, last: now.at, times: 1 });
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of at most some billions")]
    fn drain(&mut self) -> LoopTiming {
        let [ready, poll] = [&self.ready, &self.poll].map(|it| it.as_ref().and_then(Spread::of));
        let ms = |seconds: f64| (seconds * 1e6).round() / 1000.0;
        let timing = LoopTiming {
            glances: self.glances,
            busy: if self.glances == 0 { 0.0 } else { self.busy as f64 / self.glances as f64 },
            iterations: self.iterations,
            callbacks_mean: (self.iterations > 0 && self.callbacks_max.is_some())
                .then(|| self.callbacks as f64 / self.iterations as f64),
            callbacks_max: self.callbacks_max,
            ready,
            poll,
            // Each glance is a moment like that at which something becomes ready.
            lag_mean_ms: (self.glances > 0)
                .then(|| ms(self.left.as_secs_f64() / self.glances as f64)),
            lag_max_ms: self.latest_timer.map(|lag| ms(lag.as_secs_f64())),
        };
        *self = Self {
            last: self.last.take(),
            wait: self.wait,
            in_phase: self.in_phase,
            ..Self::default()
        };
        timing
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    /// A glance at a loop in a ready phase, or else in a wait.
    fn look(at: Duration, began: Option<Duration>, wait: u64) -> Glance {
        Glance {
            taken_at: Timestamp::UNIX_EPOCH + at,
            at,
            loops: vec![LoopGlance {
                id: Address(1),
                thread: None,
                at,
                read_by: at,
                phase: if began.is_some() { Phase::Ready } else { Phase::Select },
                began,
                wait: began.is_none().then_some(wait),
                callback: None,
                total: began.map(|_| 3),
                processor: None,
                work: None,
            }],
        }
    }

    #[test]
    fn short_phases_are_short_however_far_apart_the_glances_are() {
        let mut iterations = Iterations::default();
        // Ready for 2 of each 10 ms, glanced at each 97.3 ms: at any moment of a phase.
        for at in (0..1_000_000).step_by(973) {
            let is_ready = at % 100 < 20;
            let micros = |at: u64| Duration::from_micros(at * 100);
            let began = is_ready.then(|| micros(at - at % 100));
            iterations.take(&look(micros(at), began, at / 100));
        }
        let [(_, timing)] = &iterations.drain()[..] else { panic!() };
        let ready = timing.ready.unwrap();
        assert!((ready.p50_ms - 2.0).abs() < 0.3 && ready.max_ms < 4.1, "{timing:?}");
        // None of the waits is seen twice, nor mistaken for another.
        assert_eq!(timing.poll, None);
        // A fifth of all comes in a phase and waits for half of it.
        assert!((timing.lag_mean_ms.unwrap() - 0.2).abs() < 0.02, "{timing:?}");
    }

    #[test]
    fn a_loop_that_works_a_tenth_of_the_time() {
        let mut iterations = Iterations::default();
        // Ready for 10 ms from 0, 100, 200 … on, glanced at each 2 ms.
        for at in (0..=1000).step_by(2) {
            let is_ready = at % 100 < 10;
            let began = is_ready.then(|| Duration::from_millis(at - at % 100));
            iterations.take(&look(Duration::from_millis(at), began, at / 100));
        }
        iterations.note_lag(Address(1), Duration::from_millis(7));
        let [(_, timing)] = &iterations.drain()[..] else { panic!() };
        assert!((timing.busy - 0.1).abs() < 0.01, "{timing:?}");
        assert_eq!((timing.iterations, timing.callbacks_mean), (11, Some(3.0)));
        let (ready, poll) = (timing.ready.unwrap(), timing.poll.unwrap());
        assert!((ready.p50_ms - 9.0).abs() < 0.2 && (poll.p50_ms - 91.0).abs() < 1.0, "{timing:?}");
        // A tenth of all comes in a phase and waits for half of it.
        assert!((timing.lag_mean_ms.unwrap() - 0.5).abs() < 0.01, "{timing:?}");
        assert_eq!(timing.lag_max_ms, Some(7.0));
        let [(_, next)] = &iterations.drain()[..] else { panic!() };
        assert_eq!((next.glances, next.ready), (0, None));
    }
}
