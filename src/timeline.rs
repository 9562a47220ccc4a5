//! Several snapshots of one target: what moved between them and what did not.
//!
//! Two looks show only two moments. A lock that goes round among five tasks a thousand times a
//! second may be with the same task at both, with every future at the same address again, since
//! what was freed last is given out first. So there are two answers besides "it moved": it
//! *seems* not to have ([`Stillness::Seemingly`]), and it cannot have ([`Stillness::Surely`]).

mod callbacks;
mod cancellations;
mod collections;
mod growth;
mod iterations;
mod lives;
mod places;
mod requests;
mod sequences;
mod standing;
mod story;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashMap;

use crate::memory::Address;
use crate::snapshot::{Frame, Loop, LoopState, Phase, Snapshot, Task, Thread, ThreadState};

pub use callbacks::{Callbacks, Stretch};
pub use cancellations::{Cancellations, Fate, History, Turn};
pub use collections::{Collected, Collections};
pub use growth::Growth;
pub use iterations::{Iterations, LoopTiming, Spread, histogram, note, ready_between};
pub(crate) use lives::Marks;
pub use lives::{Life, Lives, States};
pub use places::{PlaceTotals, Places};
pub use requests::{Requests, Slow};
pub use sequences::{Sequence, Sequences};
pub use standing::{Idle, Standing, Stuck};
pub use story::{Cancelled, StageTold, Story, StoryEvent};

/// How far the times of two looks may differ and still be of one timer.
const SAME_MOMENT: Duration = Duration::from_millis(50);

/// One snapshot, or two of the same target some time apart.
#[derive(Debug, Clone, Copy)]
pub struct Looks<'s> {
    /// The one before, if there was one.
    pub first: Option<&'s Snapshot>,
    /// The latest.
    pub last: &'s Snapshot,
    /// What all samples so far tell of where tasks stay, where there are more than two.
    pub lives: Option<&'s Lives>,
}

impl<'s> Looks<'s> {
    /// One snapshot alone.
    pub fn one(last: &'s Snapshot) -> Self {
        Self { first: None, last, lives: None }
    }

    /// How many there are.
    pub fn count(&self) -> u8 {
        if self.first.is_some() { 2 } else { 1 }
    }

    /// The time that lies between them at least: what was seen at both has been so for so long.
    pub fn gap(&self) -> Option<Duration> {
        Some(self.first?.during.least_until(&self.last.during))
    }

    /// The time that lies between them at most: what has been so for that long was so at the first.
    pub fn reach(&self) -> Option<Duration> {
        Some(self.first?.during.most_until(&self.last.during))
    }

    /// By how much a timer comes nearer from one to the other: at least, and at most.
    pub fn passed(&self) -> Option<(Duration, Duration)> {
        let told = self.first?.told_from.zip(self.last.told_from);
        match told {
            Some((before, now)) => {
                let passed = now.saturating_sub(before);
                Some((passed, passed))
            }
            None => self.gap().zip(self.reach()),
        }
    }

    /// The tasks of both looks, by id, to be compared.
    pub fn pairs(&self) -> Pairs<'s> {
        let index = |snapshot: &'s Snapshot| {
            snapshot.tasks.iter().map(|task| (task.id, task)).collect::<FxHashMap<_, _>>()
        };
        let (gap, passed) = (self.gap(), self.passed());
        Pairs { looks: *self, gap, passed, before: self.first.map(index) }
    }

    /// The thread as it was at the first look.
    pub fn thread_before(&self, tid: i32) -> Option<&'s Thread> {
        self.first?.threads.iter().find(|thread| thread.tid == Some(tid))
    }

    /// The loop as it was at the first look.
    pub fn loop_before(&self, id: Address) -> Option<&'s Loop> {
        self.first?.loops.iter().find(|known| known.id == id)
    }

    /// Whether the loop could run its tasks between the looks: it runs, and was not in the same
    /// callbacks all the time. False where that cannot be told.
    pub fn could_run(&self, id: Option<Address>) -> bool {
        let Some((before, now)) = self.loop_pair(id) else { return false };
        let is_run = LoopState::is_run;
        if !before.state.is_some_and(is_run) || !now.state.is_some_and(is_run) {
            return false;
        }
        let state = self.last.thread_of(now).and_then(|thread| thread.state);
        let is_halted = state.is_some_and(ThreadState::is_halted);
        let in_callbacks = now.iteration.as_ref().filter(|turn| turn.phase == Phase::Ready);
        let held = in_callbacks.and_then(|turn| turn.elapsed);
        let is_same_turn = in_callbacks.is_some() && has_same_iteration(before, now);
        let covers_gap = held.zip(self.gap()).is_some_and(|(held, gap)| held >= gap);
        !is_halted && !is_same_turn && !covers_gap
    }

    /// Whether the loop was seen to do nothing at all between the looks: one and the same wait.
    pub fn was_idle(&self, id: Option<Address>) -> bool {
        self.loop_pair(id).is_some_and(|(before, now)| {
            before.state == Some(LoopState::Polling)
                && now.state == Some(LoopState::Polling)
                && has_same_iteration(before, now)
        })
    }

    fn loop_pair(&self, id: Option<Address>) -> Option<(&'s Loop, &'s Loop)> {
        let id = id?;
        Some((self.loop_before(id)?, self.last.loops.iter().find(|known| known.id == id)?))
    }
}

/// The time between two instants; none if the clock was set back meanwhile.
pub(crate) fn time_between(before: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(before)).unwrap_or_default()
}

/// Whether both are of one iteration; false where that cannot be told.
pub fn has_same_iteration(before: &Loop, now: &Loop) -> bool {
    before.iteration_id.is_some() && before.iteration_id == now.iteration_id
}

/// Whether something stood still between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stillness {
    /// It did not, or it was not there.
    Moved,
    /// It looks the same at both.
    Seemingly,
    /// It cannot have moved: its loop slept all the time, or it has waited for longer than that.
    Surely,
}

/// The tasks of two looks.
#[derive(Debug)]
pub struct Pairs<'s> {
    looks: Looks<'s>,
    gap: Option<Duration>,
    /// By how much timers came nearer, at least and at most.
    passed: Option<(Duration, Duration)>,
    before: Option<FxHashMap<Address, &'s Task>>,
}

impl<'s> Pairs<'s> {
    /// The same task at the first look; `None` when it was not there, or there was none. Another
    /// task may have got the address of one that ended: its name tells, if it is its own.
    pub fn before(&self, task: &Task) -> Option<&'s Task> {
        let before = self.before.as_ref()?.get(&task.id).copied()?;
        (before.name == task.name && before.coroutine == task.coroutine).then_some(before)
    }

    /// Whether the task was at the same place, parked on the same future, at the first look.
    pub fn has_not_moved(&self, task: &Task) -> bool {
        self.stillness(task) != Stillness::Moved
    }

    /// How sure it is that the task has not moved since the first look.
    pub fn stillness(&self, task: &Task) -> Stillness {
        let (Some(before), Some(gap), Some(passed)) = (self.before(task), self.gap, self.passed)
        else {
            return Stillness::Moved;
        };
        if before.fut_waiter != task.fut_waiter
            || before.state != task.state
            || !same_places(&before.frames, &task.frames)
        {
            return Stillness::Moved;
        }
        let thing = |task: &Task| {
            let waiting = task.waiting_on.as_deref();
            waiting.map(|waiting| (waiting.kind(), waiting.operation(), waiting.object))
        };
        if thing(before) != thing(task) {
            return Stillness::Moved;
        }
        let mut is_sure = false;
        if let (Some(before), Some(now)) = (&before.waiting_on, &task.waiting_on) {
            let dues = |waiting: &crate::snapshot::Waiting| {
                let deadlines = waiting.deadlines.iter().filter_map(|deadline| deadline.due_in);
                waiting.due_in.into_iter().chain(deadlines).collect::<Vec<_>>()
            };
            let (before, due) = (dues(before), dues(now));
            if before.len() != due.len()
                || before
                    .iter()
                    .zip(&due)
                    .any(|(before, now)| !is_same_timer(*before, *now, passed))
            {
                return Stillness::Moved;
            }
            let was_so = |since: Duration| self.looks.reach().is_some_and(|most| since >= most);
            is_sure = !due.is_empty() || now.since.is_some_and(was_so);
        }
        let has_stood = |lives: &Lives| lives.stood_for(task).is_some_and(|for_| for_ >= gap);
        if is_sure || self.looks.was_idle(task.loop_id) || self.looks.lives.is_some_and(has_stood) {
            Stillness::Surely
        } else {
            Stillness::Seemingly
        }
    }
}

/// Whether both stacks are at the same places; variables do not count.
pub fn same_places(before: &[Frame], now: &[Frame]) -> bool {
    before.len() == now.len()
        && before.iter().zip(now).all(|(before, now)| before.location == now.location)
}

/// Whether what was due in `before` at the first look is what is due in `now` at the second.
fn is_same_timer(
    before: SignedDuration,
    now: SignedDuration,
    (least, most): (Duration, Duration),
) -> bool {
    let signed = |time| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    let came_nearer = before.saturating_sub(now);
    let (least, most) = (signed(least), signed(most));
    least.saturating_sub(came_nearer) <= signed(SAME_MOMENT)
        && came_nearer.saturating_sub(most) <= signed(SAME_MOMENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, task};
    use crate::snapshot::Interval;

    /// Two slow looks: five seconds for the first and two for the second, 0.2 s after it. Timers
    /// are told from a moment near their ends.
    fn slow(before: Builder, now: Builder) -> (Snapshot, Snapshot) {
        let of = |builder, began_ms, told_ms, ended_ms| {
            let ms = Duration::from_millis;
            let mut snapshot = Scene::new().with([builder]).snapshot;
            snapshot.taken_at += ms(began_ms);
            snapshot.during = Interval { began: ms(began_ms), ended: ms(ended_ms) };
            snapshot.told_from = Some(ms(told_ms));
            snapshot
        };
        (of(before, 0, 4_900, 5_000), of(now, 5_200, 7_100, 7_200))
    }

    fn stillness(before: Builder, now: Builder) -> Stillness {
        let (first, mut last) = slow(before, now);
        last.loops[0].iteration_id = Some(2);
        let looks = Looks { first: Some(&first), last: &last, lives: None };
        looks.pairs().stillness(&last.tasks[0])
    }

    #[test]
    fn timers_are_compared_by_the_moments_they_were_told_from() {
        let limited = |ms| task(1).reads_socket().deadline(ms);
        assert_eq!(stillness(limited(30_000), limited(27_800)), Stillness::Surely);
        assert_eq!(stillness(limited(30_000), limited(30_000)), Stillness::Moved);
        // As far apart as the beginnings are: another one.
        assert_eq!(stillness(limited(30_000), limited(24_800)), Stillness::Moved);
    }

    #[test]
    fn who_has_waited_for_less_than_both_looks_took_may_have_moved() {
        let since = |ms: u64| {
            task(1)
                .at_lock(900, &[])
                .waiting(|waiting| waiting.since = Some(Duration::from_millis(ms)))
        };
        // It may have begun after the first look had seen the task.
        assert_eq!(stillness(since(4_000), since(6_200)), Stillness::Seemingly);
        assert_eq!(stillness(since(6_000), since(8_200)), Stillness::Surely);
    }

    #[test]
    fn the_time_between_slow_looks_is_a_lower_bound_and_no_matter_of_the_wall_clock() {
        let (first, mut last) = slow(task(1), task(1));
        last.taken_at = first.taken_at.checked_sub(Duration::from_secs(3600)).unwrap();
        let looks = Looks { first: Some(&first), last: &last, lives: None };
        assert_eq!(looks.gap(), Some(Duration::from_millis(200)));
        assert_eq!(looks.reach(), Some(Duration::from_millis(7_200)));
    }

    #[test]
    fn one_timer_is_told_from_the_next() {
        let gap = (Duration::from_millis(200), Duration::from_millis(200));
        let ms = SignedDuration::from_millis;
        assert!(is_same_timer(ms(900), ms(702), gap));
        assert!(is_same_timer(ms(-100), ms(-310), gap));
        assert!(!is_same_timer(ms(30), ms(30), gap), "a timer of 50 ms, set again and again");
        assert!(!is_same_timer(ms(100), ms(900), gap));
    }
}
