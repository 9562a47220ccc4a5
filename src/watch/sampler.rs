//! Samples of one target at a steady rate: glances, and every so often a whole snapshot.
//!
//! The rate holds without drift: each sample has its moment, and one that comes too late for it
//! is counted as missed, never made up for. An attached target may replace its program, replace
//! its loop, take its interpreter down; sampling goes on as long as the process is there.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::error::{Error, Result};
use crate::explain::Options;
use crate::memory::TimeLimit;
use crate::process::own_cgroup;
use crate::session::Inspector;
use crate::snapshot::BETWEEN_LOOKS;
use crate::snapshot::{Depth, Glance, Process, Quota, Snapshot};

/// How often a target that cannot be read just now is tried again: it starts or ends.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
/// A target that starts or ends cannot be read for a moment; from here on it is told.
const LASTING: Duration = Duration::from_secs(1);
/// The same of a program that we start: it may import much before asyncio.
const LASTING_AT_START: Duration = Duration::from_secs(10);
/// A whole sample that takes less stands for the glances that would have been, too: of tens of
/// thousands of tasks it takes longer than what these are to see.
const LONGEST_GAP: Duration = Duration::from_millis(20);
/// The longest sleep in one piece, so that an end that is asked for comes soon.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// The part of a quota that we use ourselves.
const PART_OF_QUOTA: f64 = 0.05;
/// The longest pause after a sample for the sake of a quota.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A rate below so much of the planned one is said.
const LIMITED: f64 = 0.8;

/// What to sample how often.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// The time between two samples.
    pub every: Duration,
    /// The time between two of them that are whole snapshots; each, if it is not longer than
    /// `every`.
    pub whole_every: Duration,
    /// What a whole snapshot contains.
    pub options: Options,
    /// The time from one whole snapshot with what findings rest on to the next.
    pub evidence_every: Duration,
    /// How much those between them contain.
    pub between: Depth,
    /// Whether one whose Python is not there yet is waited for.
    pub waits_for_python: bool,
    /// How long one sample may take, and attaching.
    pub timeout: Option<Duration>,
    /// What runs for that long, for who watches over it.
    pub limit: TimeLimit,
}

impl Plan {
    /// So many glances a second, and a whole snapshot every `whole_every`.
    pub fn new(rate: f64, whole_every: Duration) -> Self {
        let every = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::from_secs(1));
        Self {
            every,
            whole_every,
            options: Options::default(),
            evidence_every: BETWEEN_LOOKS,
            between: Depth::Reasons,
            waits_for_python: false,
            timeout: None,
            limit: TimeLimit::default(),
        }
    }

    /// Does something for which one sample's time is given.
    fn limited<T>(&self, work: impl FnOnce() -> T) -> T {
        if let Some(timeout) = self.timeout {
            self.limit.begin(timeout);
        }
        let done = work();
        self.limit.end();
        done
    }
}

/// What sampling brings.
#[derive(Debug)]
pub enum Sample {
    /// It was attached to, anew if the target has replaced its program.
    Attached(Box<Process>),
    /// A light sample.
    Glance(Glance),
    /// A whole one.
    Whole(Arc<Snapshot>),
    /// So many samples had no time: those before took too long, or we got no processor.
    Missed(u64),
    /// Fewer samples are taken than planned: so many a second, for the quota of processor time of our
    /// own control group allows no more. Said anew when it is another rate by far.
    Limited(f64),
    /// It cannot be read for a while now, or only by glances: why. Said once, until it can be
    /// again.
    Unreadable(Error),
}

/// How sampling ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The process is gone.
    Gone,
    /// It was asked to.
    Asked,
}

/// Samples process `pid` by a plan until it is gone or `take` breaks off.
///
/// `is_asked` is looked at several times a second, also while nothing can be read.
///
/// # Errors
/// As [`Inspector::attach`], when it cannot be attached to in the first place.
pub(super) fn sample(
    pid: i32,
    plan: &Plan,
    is_asked: &dyn Fn() -> bool,
    take: &mut dyn FnMut(Sample) -> ControlFlow<()>,
) -> Result<Ended> {
    let mut sampler = Sampler { pid, plan, is_asked, take, unreadable: None };
    let mut is_first = true;
    loop {
        match sampler.attach(is_first) {
            Ok(Some(inspector)) => {
                is_first = false;
                if sampler.give(Sample::Attached(Box::new(inspector.process()))).is_break() {
                    return Ok(Ended::Asked);
                }
                if let Some(ended) = sampler.run(inspector) {
                    return Ok(ended);
                }
            }
            Ok(None) => return Ok(Ended::Asked),
            Err(_) if !is_first => return Ok(Ended::Gone),
            Err(error) => return Err(error),
        }
    }
}

/// Keeps our own use of the processor low where a quota limits it: in a pod each millisecond that we
/// take is one that the target does not get.
#[derive(Debug)]
struct Governor {
    /// How much of a processor we may use; all of it, if `None`.
    share: Option<f64>,
    used: Duration,
    /// When what was used so far is what we may have used.
    free_at: Instant,
    /// Since when samples were counted, and how many there were.
    counted: (Instant, u32),
    /// The rate that was said last.
    said: Option<f64>,
}

impl Governor {
    fn new() -> Self {
        let quota = own_cgroup().smallest_quota().map(Quota::cores);
        Self::of(quota.map(|cores| cores * PART_OF_QUOTA), processor_time(), Instant::now())
    }

    fn of(share: Option<f64>, used: Duration, now: Instant) -> Self {
        Self { share, used, free_at: now, counted: (now, 0), said: None }
    }

    /// Takes in what was used until now; gives when the next sample may be taken.
    fn note(&mut self, used: Duration, now: Instant) -> Instant {
        let cost = used.saturating_sub(self.used);
        self.used = used;
        let wait = self.share.map(|share| cost.as_secs_f64() / share).unwrap_or_default();
        let wait = Duration::try_from_secs_f64(wait).unwrap_or_default();
        self.free_at = self.free_at.max(now) + wait.min(LONGEST_PAUSE);
        self.free_at
    }

    /// The rate of samples, after each second or more in which they were limited, if it was not said
    /// yet.
    fn rate(&mut self, now: Instant, planned: f64) -> Option<f64> {
        let (since, count) = &mut self.counted;
        *count += 1;
        let time = now.saturating_duration_since(*since).as_secs_f64();
        if self.share.is_none() || time < 1.0 {
            return None;
        }
        let rate = f64::from(*count) / time;
        self.counted = (now, 0);
        let is_new = self.said.is_none_or(|said| rate < said / 2.0 || rate > said * 2.0);
        (rate < planned * LIMITED && is_new).then(|| *self.said.insert(rate))
    }
}

/// The processor time that we have used so far.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

struct Sampler<'a> {
    pid: i32,
    plan: &'a Plan,
    is_asked: &'a dyn Fn() -> bool,
    take: &'a mut dyn FnMut(Sample) -> ControlFlow<()>,
    unreadable: Option<Unreadable>,
}

/// That a target cannot be read.
#[derive(Debug, Clone, Copy)]
struct Unreadable {
    since: Instant,
    is_said: bool,
    /// Glances may go on: they need no tasks.
    is_whole: bool,
}

impl Sampler<'_> {
    fn give(&mut self, sample: Sample) -> ControlFlow<()> {
        let is_whole = matches!(sample, Sample::Attached(_) | Sample::Whole(_));
        let is_readable = is_whole || matches!(sample, Sample::Glance(_));
        self.unreadable.take_if(|it| is_readable && (is_whole || !it.is_whole));
        (self.take)(sample)
    }

    /// Says once why nothing can be read, or no whole sample, when that has lasted.
    fn give_unreadable(&mut self, error: Error, is_whole: bool) -> ControlFlow<()> {
        let since = Instant::now();
        let known = self.unreadable.get_or_insert(Unreadable { since, is_said: false, is_whole });
        let may_come = self.plan.waits_for_python && matches!(error, Error::NoAsyncio { .. });
        let lasting = if may_come { LASTING_AT_START } else { LASTING };
        if known.is_said || known.since.elapsed() < lasting {
            return ControlFlow::Continue(());
        }
        known.is_said = true;
        (self.take)(Sample::Unreadable(error))
    }

    /// `None` when asked to end.
    fn attach(&mut self, is_first: bool) -> Result<Option<Inspector>> {
        loop {
            let plan = self.plan;
            let attached = plan.limited(|| Inspector::attach_within(self.pid, &plan.limit));
            let error = match attached {
                Ok(inspector) => return Ok(Some(inspector)),
                Err(error) => error,
            };
            // One that replaces its program meanwhile is gone as what it was.
            let is_starting =
                matches!(error, Error::NotInitialized { .. } | Error::TargetGone { .. });
            // Between `fork` and `exec` it is no Python, and for a moment one without a runtime.
            let may_come = matches!(
                error,
                Error::NotPython { .. } | Error::RuntimeNotFound { .. } | Error::Memory { .. }
            );
            let goes_on = is_starting || may_come && (self.plan.waits_for_python || !is_first);
            if !goes_on || is_gone(self.pid) {
                return Err(error);
            }
            if self.give_unreadable(error, true).is_break() || (self.is_asked)() {
                return Ok(None);
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
    }

    /// Samples until the program is replaced (`None`) or it is over.
    fn run(&mut self, mut inspector: Inspector) -> Option<Ended> {
        let every = self.plan.every;
        let whole_every = self.plan.whole_every.max(every);
        let mut number: u32 = 0;
        let mut start = Instant::now();
        let mut next_whole = start;
        let mut next_evidence = start;
        let mut governor = Governor::new();
        loop {
            let planned = start + every * number;
            // Where there is no quota nothing is put off, and what comes late is missed.
            let moment = governor.share.map_or(planned, |_| planned.max(governor.free_at));
            let is_limited = moment > planned;
            if is_limited {
                (start, number) = (moment, 0);
            }
            if !self.sleep_until(moment) {
                return Some(Ended::Asked);
            }
            let begun = Instant::now();
            let is_whole = begun >= next_whole;
            let sample = if is_whole {
                let mut options = self.plan.options.clone();
                if begun < next_evidence {
                    options.depth = options.depth.min(self.plan.between);
                }
                self.plan.limited(|| {
                    let taken = inspector.snapshot(&options)?;
                    // What is missing in it has not ended.
                    let whole = || Sample::Whole(Arc::new(taken));
                    inspector.timed_out().map_or_else(|| Ok(whole()), Err)
                })
            } else {
                self.plan.limited(|| {
                    let glance = inspector.glance()?;
                    inspector.timed_out().map_or(Ok(Sample::Glance(glance)), Err)
                })
            };
            if matches!(&sample, Ok(Sample::Whole(snapshot)) if snapshot.depth >= Depth::Evidence) {
                next_evidence = Instant::now() + self.plan.evidence_every;
            }
            let flow = match sample {
                Ok(sample) => self.give(sample),
                Err(Error::TargetGone { .. } | Error::NoSuchProcess { .. }) => {
                    return is_gone(self.pid).then_some(Ended::Gone);
                }
                Err(error) => {
                    std::thread::sleep(BETWEEN_TRIES);
                    self.give_unreadable(error, is_whole)
                }
            };
            if flow.is_break() {
                return Some(Ended::Asked);
            }
            let now = Instant::now();
            governor.note(processor_time(), now);
            if let Some(rate) = governor.rate(now, 1.0 / every.as_secs_f64())
                && self.give(Sample::Limited(rate)).is_break()
            {
                return Some(Ended::Asked);
            }
            let due = now.saturating_duration_since(start).as_nanos() / every.as_nanos().max(1);
            let due = u32::try_from(due).unwrap_or(u32::MAX);
            let passed = due.saturating_sub(number);
            let missed = if is_whole {
                let (next, missed) = next_after(next_whole, now, whole_every);
                next_whole = next;
                let took = now.saturating_duration_since(begun);
                if took < LONGEST_GAP { missed } else { missed.max(passed) }
            } else {
                passed
            };
            number = due.max(number).saturating_add(1);
            // What a quota forbids was never planned.
            if missed > 0
                && governor.free_at <= now
                && !is_limited
                && self.give(Sample::Missed(u64::from(missed))).is_break()
            {
                return Some(Ended::Asked);
            }
            if number > 1 << 30 {
                start += every * number;
                number = 0;
            }
        }
    }

    /// False when asked to end.
    fn sleep_until(&self, moment: Instant) -> bool {
        loop {
            if (self.is_asked)() {
                return false;
            }
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(LONGEST_SLEEP));
        }
    }
}

/// The first moment after `now` in a series of one each `step`, of which `moment` is the one that
/// was due; and how many between the two had no time.
fn next_after(moment: Instant, now: Instant, step: Duration) -> (Instant, u32) {
    let late = now.saturating_duration_since(moment).as_nanos() / step.as_nanos().max(1);
    let missed = u32::try_from(late).unwrap_or(u32::MAX);
    (moment + step * missed + step, missed)
}

/// Whether there is no such process, or only what is left of it for its parent.
fn is_gone(pid: i32) -> bool {
    crate::process::Target::open(pid).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_without_time_are_counted_and_never_made_up_for() {
        let (start, step) = (Instant::now(), Duration::from_millis(10));
        let next = |took_ms: u64| {
            let (next, missed) = next_after(start, start + Duration::from_millis(took_ms), step);
            ((next - start).as_millis(), missed)
        };
        assert_eq!(next(0), (10, 0));
        assert_eq!(next(9), (10, 0));
        assert_eq!(next(10), (20, 1));
        assert_eq!(next(25), (30, 2));
    }

    #[test]
    fn under_a_quota_samples_are_as_rare_as_they_are_dear() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut free = Governor::of(None, ms(100), start);
        assert_eq!(free.note(ms(900), start + ms(1000)), start + ms(1000));
        assert_eq!(free.rate(start + ms(2000), 100.0), None);
        // A fifth of a core, of which we take a twentieth.
        let mut governor = Governor::of(Some(0.01), ms(100), start);
        assert_eq!(governor.note(ms(101), start), start + ms(100));
        // One that comes sooner waits for both.
        assert_eq!(governor.note(ms(102), start + ms(10)), start + ms(200));
        assert_eq!(governor.note(ms(102), start + ms(500)), start + ms(500));
        let said: Vec<_> = (1..=30)
            .filter_map(|sample| governor.rate(start + ms(100 * sample), 100.0))
            .map(f64::round)
            .collect();
        assert_eq!(said, [10.0], "once");
        assert!(Governor::of(Some(1.0), ms(0), start).rate(start + ms(1000), 1.0).is_none());
    }
}
