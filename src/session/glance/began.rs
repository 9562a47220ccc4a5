//! When the iteration began that a loop is in: which of the times that are read can be that.
//!
//! A time may be wrong in three ways. It was read while it changed, and is some other number. It is
//! of the iteration before: libuv reads the clock when its poll is over, and a thread that was woken
//! may have to wait for a processor before it comes to that. Or the loop has a clock of its own,
//! whose numbers mean nothing to us. In each case the loop would seem to have been blocked for as
//! long as it waited, or since the machine started.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::WORTH_A_LOOK;
use crate::asyncio::{LoopFacts, Reading, ThreadReading};
use crate::explain::Options;
use crate::memory::Address;
use crate::process::ThreadActivity;
use crate::python::frame::Stack;
use crate::python::object::{Kind, Reader};
use crate::session::Inspector;
use crate::snapshot::{Loop, LoopGlance, LoopState, Phase};

/// How far two readings of the clock may be apart by rounding.
const CLOCK_STEP: Duration = Duration::from_micros(1);
/// How much older than the moment of its reading libuv's time may be: it has whole milliseconds, of
/// a clock that itself may have no finer steps.
const UV_STEP: Duration = Duration::from_millis(2);
/// How far the kernel's count of processor time may be behind for a thread that runs: it counts by
/// its ticks, of which there are a hundred a second at least.
const TICK: Duration = Duration::from_millis(10);
/// From the end of its poll to its reading of the clock libuv runs for a few microseconds.
const LONG_PAST_POLL: Duration = Duration::from_millis(2);

/// How often a loop is looked at again at one look.
const MAX_TIMES: usize = 20;
/// The time between these.
const BETWEEN_TIMES: Duration = Duration::from_millis(1);

/// The outermost coroutine that runs on a stack.
///
/// Not any generator is one: a loop itself may run below a generator, such as a fixture of pytest.
pub(super) fn coroutine(reader: &Reader<'_>, stack: &Stack) -> Option<Address> {
    // Of a stack that did not hold still only the inner part is there.
    let frames = stack.frames.iter().filter(|_| stack.is_complete);
    let mut generators = frames.filter_map(|frame| frame.generator.non_null());
    generators.find(|&at| matches!(reader.kind_of(at), Ok(Kind::Coroutine | Kind::AsyncGenerator)))
}

impl Inspector {
    /// Whether libuv's time of a loop is of the iteration that its thread is in, at one look: where
    /// it may be from before the poll, the loop is looked at until that is known.
    pub(in crate::session) fn has_begun(
        &self,
        reader: &Reader<'_>,
        facts: &LoopFacts,
        thread: &ThreadReading,
        reading: &Reading,
    ) -> bool {
        let Some(uv) = facts.uv else { return true };
        let began = Duration::from_millis(uv.time_ms);
        let read_at = thread.read_at.and_then(|at| Duration::try_from_secs_f64(at).ok());
        let is_short = read_at.is_some_and(|at| at.saturating_sub(began) < WORTH_A_LOOK);
        if is_short || coroutine(reader, &thread.stack).is_some() {
            return true;
        }
        let Some(tid) = thread.tid else { return false };
        let Some(then) = reading.activity.thread(tid) else { return false };
        if then.syscall().is_some() {
            return true;
        }
        for _ in 0..MAX_TIMES {
            let Some(now) = self.system.thread_activity(tid) else { return false };
            if reader.uv_time(facts.at) != Some(uv.time_ms) || now.polls(uv.backend_fd) {
                return false;
            }
            if then.ran_until(&now).is_some_and(|ran| ran >= LONG_PAST_POLL) {
                return true;
            }
            if self.system.is_live() {
                std::thread::sleep(BETWEEN_TIMES);
            }
        }
        false
    }
}

/// A sleep in a callback, and when it was first seen.
#[derive(Debug, Clone, Copy)]
pub(in crate::session) struct Held {
    sleep: u64,
    since: Duration,
}

impl Inspector {
    /// Says of loops whose own times say nothing since when they are known to be in a callback: since
    /// their threads were first seen in the sleep that they are in.
    pub(in crate::session) fn note_held(
        &self,
        loops: &mut [Loop],
        reading: &Reading,
        options: &Options,
    ) {
        let before = self.held.take();
        let mut held = FxHashMap::default();
        let now = reading.now.and_then(|now| Duration::try_from_secs_f64(now).ok());
        for event_loop in loops.iter_mut().filter(|it| it.is_of_unknown_age()) {
            let thread = event_loop.thread.and_then(|tid| reading.activity.thread(tid));
            let sleep = thread.and_then(ThreadActivity::sleep_id);
            let Some((sleep, now)) = sleep.zip(now) else { continue };
            let known = before.get(&event_loop.id).filter(|known| known.sleep == sleep);
            let since = known.map_or(now, |known| known.since);
            held.insert(event_loop.id, Held { sleep, since });
            let elapsed = now.saturating_sub(since);
            event_loop.iteration_id = Some(since.as_secs_f64().to_bits());
            if let Some(turn) = event_loop.iteration.as_mut().filter(|_| known.is_some()) {
                turn.elapsed = Some(elapsed);
            }
            if elapsed >= options.blocked_after {
                event_loop.state = Some(LoopState::Blocked);
            }
        }
        self.held.replace(held);
    }
}

/// What is known of one loop's iterations.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    /// When its thread was last seen asleep in its poll.
    polled_at: Option<Duration>,
    /// A time that an iteration cannot have begun at, unless it is read again.
    doubted: Option<Duration>,
    /// libuv's time that may be from before the poll, and what the thread did when it was first
    /// seen.
    unproven: Option<(Duration, ThreadActivity)>,
    /// A time that is not the machine's, and when it was first seen.
    foreign: Option<(u64, Duration)>,
    /// The last such time before the loop polled.
    past: Option<u64>,
}

/// libuv's time of a loop that is not seen asleep in its poll.
#[derive(Debug, Clone, Copy)]
pub(super) struct UvTime<'a> {
    /// When the reading began.
    pub(super) at: Duration,
    /// The time, which was read last.
    pub(super) began: Duration,
    /// What the thread did.
    pub(super) activity: Option<&'a ThreadActivity>,
    /// Whether a coroutine was on its stack.
    pub(super) runs_coroutine: bool,
}

impl Beginnings {
    /// Whether libuv's time is of the iteration that its thread is in; `None` where that cannot be
    /// told yet.
    pub(super) fn is_of_this(
        &mut self,
        seen: &UvTime<'_>,
        before: Option<(&LoopGlance, Option<&ThreadActivity>)>,
    ) -> Option<bool> {
        let UvTime { at, began, activity, runs_coroutine } = *seen;
        if self.polled_at.is_some_and(|polled_at| began + UV_STEP < polled_at) {
            return Some(false);
        }
        let sleeps_elsewhere = activity.is_some_and(|now| now.syscall().is_some());
        let is_sure = runs_coroutine || sleeps_elsewhere || at.saturating_sub(began) < WORTH_A_LOOK;
        let is_it = is_sure || self.has_run(seen, before)?;
        self.unproven.take_if(|_| is_it);
        is_it.then_some(true)
    }

    /// Whether the thread was awake for as long as its iteration is said to go on.
    fn has_run(
        &mut self,
        seen: &UvTime<'_>,
        before: Option<(&LoopGlance, Option<&ThreadActivity>)>,
    ) -> Option<bool> {
        let began = seen.began;
        let now = seen.activity?;
        if let Some((last, then)) = before
            && (last.began == Some(began) || began >= last.at)
        {
            let Some(awake) = then.and_then(|then| then.awake_until(now)) else {
                return Some(true);
            };
            // Its present wait for a processor is not counted yet.
            return Some(awake * 2 + TICK >= seen.at.saturating_sub(last.at.max(began)));
        }
        if self.unproven.as_ref().is_none_or(|(known, _)| *known != began) {
            self.unproven = Some((began, now.clone()));
        }
        let (_, then) = self.unproven.as_ref()?;
        Some(then.ran_until(now)? >= LONG_PAST_POLL)
    }

    /// A glance as it can be believed; `None` when it has to be taken again.
    ///
    /// No iteration begins before its process does, before the loop was last seen at another one or
    /// asleep in its poll, nor in the future.
    pub(super) fn believe(
        &mut self,
        mut glance: LoopGlance,
        last: Option<&LoopGlance>,
        born: Option<Duration>,
        is_uv: bool,
    ) -> Option<LoopGlance> {
        let Some(began) = glance.began else { return Some(glance) };
        let is_before = |moment: Duration| began + CLOCK_STEP < moment;
        let is_impossible = born.is_some_and(is_before)
            || !is_uv && (began > glance.read_by || self.polled_at.is_some_and(is_before));
        let is_older =
            !is_uv && last.is_some_and(|last| last.began != Some(began) && is_before(last.at));
        if !is_impossible && !is_older {
            self.doubted = None;
            return Some(glance);
        }
        if self.doubted != Some(began) {
            self.doubted = Some(began);
            return None;
        }
        // Read twice it is right, and what was believed before it was not; or the clock is not the
        // machine's.
        if is_impossible {
            glance.began = Some(self.first_seen(began.as_secs_f64(), glance.at));
        }
        Some(glance)
    }

    /// When a time was first seen that is not of the machine's clock: since then at least the
    /// iteration goes on that has it.
    pub(super) fn first_seen(&mut self, time: f64, at: Duration) -> Duration {
        let time = time.to_bits();
        match self.foreign {
            // A clock that stands still tells no iteration from another.
            _ if self.past == Some(time) => at,
            Some((known, since)) if known == time => since,
            _ => {
                self.foreign = Some((time, at));
                at
            }
        }
    }

    /// Notes what was seen.
    pub(super) fn note(&mut self, glance: &LoopGlance) {
        if glance.phase != Phase::Select {
            return;
        }
        self.past = self.foreign.take().map(|(time, _)| time).or(self.past);
        if glance.is_asleep_in_poll() {
            self.polled_at = Some(glance.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel shows a thread on a processor, and one in `futex`.
    const RUNNING: &str = "running";
    const IN_FUTEX: &str = "202 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8";

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn glance(at: u64, began: Option<u64>) -> LoopGlance {
        LoopGlance {
            id: Address(1),
            thread: Some(1),
            at: ms(at),
            read_by: ms(at),
            phase: if began.is_some() { Phase::Ready } else { Phase::Select },
            began: began.map(ms),
            wait: began.is_none().then_some(7),
            callback: None,
            total: None,
            processor: None,
            work: None,
        }
    }

    /// What is said of libuv's time `began` at `at` when the thread has run for `ran` ms.
    fn judge(
        beginnings: &mut Beginnings,
        (at, began): (u64, u64),
        now: &ThreadActivity,
        before: Option<(&LoopGlance, &ThreadActivity)>,
    ) -> Option<bool> {
        let (at, began) = (ms(at), ms(began));
        let seen = UvTime { at, began, activity: Some(now), runs_coroutine: false };
        beginnings.is_of_this(&seen, before.map(|(glance, then)| (glance, Some(then))))
    }

    #[test]
    fn a_time_from_before_the_poll_is_no_beginning() {
        let mut beginnings = Beginnings::default();
        let (asleep, running) = (glance(1099, None), ThreadActivity::seen(RUNNING, 5));
        beginnings.note(&asleep);
        let before = Some((&asleep, &running));
        // Woken at 1100, with the time of the poll's beginning at 100.
        assert_eq!(judge(&mut beginnings, (1100, 100), &running, before), Some(false));
        // It does not get to its iteration for a while, as others have the processor.
        assert_eq!(judge(&mut beginnings, (1250, 100), &running, before), Some(false));
        assert_eq!(judge(&mut beginnings, (1252, 1251), &running, before), Some(true));
        // libuv counts whole milliseconds.
        assert_eq!(judge(&mut beginnings, (1100, 1098), &running, before), Some(true));
    }

    #[test]
    fn what_was_not_seen_to_poll_has_to_have_run() {
        let running = |ran| ThreadActivity::seen(RUNNING, ran);
        // Attached when it was just woken: nobody knows before it has run, or has come to its next.
        let mut beginnings = Beginnings::default();
        assert_eq!(judge(&mut beginnings, (1100, 100), &running(5), None), None);
        assert_eq!(judge(&mut beginnings, (1150, 100), &running(5), None), None);
        assert_eq!(judge(&mut beginnings, (1151, 1150), &running(5), None), Some(true));
        // One that computes has.
        let mut beginnings = Beginnings::default();
        assert_eq!(judge(&mut beginnings, (1100, 100), &running(5), None), None);
        assert_eq!(judge(&mut beginnings, (1110, 100), &running(15), None), Some(true));
        // What sleeps elsewhere than in its poll does so in a callback.
        let mut beginnings = Beginnings::default();
        let sleeps = ThreadActivity::seen(IN_FUTEX, 5);
        assert_eq!(judge(&mut beginnings, (1100, 100), &sleeps, None), Some(true));
    }

    #[test]
    fn a_poll_between_two_samples_is_none_of_the_iteration() {
        let running = |ran| ThreadActivity::seen(RUNNING, ran);
        let mut beginnings = Beginnings::default();
        // Ready at 100, then asleep in its poll until 200, and no sample in between.
        let before = glance(101, Some(100));
        let awake = judge(&mut beginnings, (200, 100), &running(6), Some((&before, &running(5))));
        assert_eq!(awake, None);
        // One that computed meanwhile.
        let awake = judge(&mut beginnings, (200, 100), &running(95), Some((&before, &running(5))));
        assert_eq!(awake, Some(true));
    }

    #[test]
    fn an_impossible_time_counts_from_when_it_was_first_seen() {
        let born = Some(ms(1000));
        let mut beginnings = Beginnings::default();
        // From before the process began: read again, and then it is some other clock's.
        assert_eq!(beginnings.believe(glance(4000, Some(1)), None, born, false), None);
        let mut seen = |at, began| {
            let glance = beginnings.believe(glance(at, Some(began)), None, born, false);
            glance.and_then(|glance| glance.began)
        };
        assert_eq!(seen(4001, 1), Some(ms(4001)));
        assert_eq!(seen(4050, 1), Some(ms(4001)));
        // In the future.
        assert_eq!(seen(4060, 9000), None);
        assert_eq!(seen(4061, 9000), Some(ms(4061)));
        assert_eq!(seen(4070, 4065), Some(ms(4065)));
    }

    #[test]
    fn a_clock_that_stands_still_makes_no_long_iteration() {
        let mut beginnings = Beginnings::default();
        assert_eq!(beginnings.first_seen(7.5, ms(10)), ms(10));
        assert_eq!(beginnings.first_seen(7.5, ms(20)), ms(10));
        beginnings.note(&glance(30, None));
        assert_eq!(beginnings.first_seen(7.5, ms(40)), ms(40));
        assert_eq!(beginnings.first_seen(7.5, ms(50)), ms(50));
        assert_eq!(beginnings.first_seen(8.5, ms(60)), ms(60));
        assert_eq!(beginnings.first_seen(8.5, ms(70)), ms(60));
    }
}
