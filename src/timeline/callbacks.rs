//! Blocking callbacks: every stretch in which one callback held its loop, from glances.
//!
//! Two glances at the same iteration and the same of its callbacks are of one stretch. It began
//! with the iteration's ready phase when it is the first callback of it or nothing else of that
//! phase was seen, else between the two glances around its beginning; it ended between the two
//! around its end, or when the next iteration began, whichever is earlier.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustc_hash::FxHashMap;

use crate::memory::Address;
use crate::snapshot::{
    BlockingKind, Glance, Location, LoopGlance, Occupation, Phase, Processor, ProcessorUse,
};

/// Different stacks of one stretch that are kept; what is seen beyond is counted together.
const MAX_STACKS: usize = 32;

/// Where nothing was seen for so long, that says nothing of what was seen before it.
const HOLE: Duration = Duration::from_millis(100);
/// A thread's time on a processor is told with some milliseconds of delay: that of so long a time
/// says something.
const TELLING: Duration = Duration::from_millis(50);
/// A loop that was not seen for so long is taken not to run any more.
const UNSEEN: Duration = Duration::from_millis(500);

/// One stretch in which a callback held its loop.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// The loop.
    pub loop_id: Address,
    /// The thread that runs it.
    pub thread: Option<i32>,
    /// When it began, by our clock.
    pub began_at: Timestamp,
    /// How long it lasted, or has lasted so far.
    pub length: Duration,
    /// By how much the length may be wrong at most.
    pub uncertainty: Duration,
    /// Whether it is over.
    pub is_over: bool,
    /// How often it was seen.
    pub samples: u32,
    /// What was seen most of the time.
    pub work: Option<Arc<Occupation>>,
    /// How much of it its thread waited for a processor at least, where that is known.
    pub waited: Option<Duration>,
    /// All that was seen: each stack and how often, the most frequent first.
    pub stacks: Vec<(Arc<Occupation>, u32)>,
}

impl Stretch {
    /// What kind of call kept the thread most of the time.
    pub fn kind(&self) -> BlockingKind {
        self.work.as_ref().map_or(BlockingKind::Unknown, |work| work.kind)
    }

    /// The same, with the processor to blame where it would have been shorter than `threshold`, had
    /// its thread been given one: no line of the program is then.
    fn judged(mut self, threshold: Duration) -> Self {
        let (Some(work), Some(waited)) = (&self.work, self.waited) else { return self };
        let used = ProcessorUse { time: self.length, ran: Duration::ZERO, waited };
        // How long it was of its own is no more certain than how long it was.
        if used.is_starved(threshold + self.uncertainty) {
            let work = Occupation {
                place: None,
                kind: BlockingKind::Starved,
                description: used.in_words(),
                peer: None,
                ..(**work).clone()
            };
            self.work = Some(Arc::new(work));
        }
        self
    }

    /// The line to blame.
    pub fn place(&self) -> Option<&Arc<Location>> {
        self.work.as_ref()?.place.as_ref()
    }
}

/// The callbacks of all loops of a target.
#[derive(Debug, Default)]
pub struct Callbacks {
    loops: FxHashMap<Address, Track>,
}

/// What is known of the present callback of a loop.
#[derive(Debug)]
struct Track {
    last: LoopGlance,
    current: Option<Current>,
    /// When it was first found missing, if it was at the last glance.
    missing_since: Option<Duration>,
}

#[derive(Debug)]
struct Current {
    phase_began: Option<Duration>,
    callback: Option<u64>,
    began: Duration,
    uncertainty: Duration,
    samples: u32,
    seen: Vec<(Arc<Occupation>, u32)>,
    /// What its thread had had of a processor before it was seen, when it was first seen to be
    /// runnable in it, and at last.
    before: Option<Processor>,
    first: Option<Processor>,
    last: Option<Processor>,
}

impl Callbacks {
    /// Takes in a glance; gives the stretches that are over by it and were not shorter than
    /// `threshold`.
    pub fn take(&mut self, glance: &Glance, threshold: Duration) -> Vec<Stretch> {
        let mut over = Vec::new();
        for now in &glance.loops {
            let Some(track) = self.loops.get_mut(&now.id) else {
                let current = Current::begin(now, None);
                let track = Track { last: now.clone(), current, missing_since: None };
                self.loops.insert(now.id, track);
                continue;
            };
            track.missing_since = None;
            let ended = track.take(now);
            over.extend(ended.map(|(current, end)| {
                let (end, uncertain) = end;
                let until = now.processor;
                current.stretch(now, glance, end, uncertain, Some(until)).judged(threshold)
            }));
        }
        // A loop that is not run any more has ended what it ran; one that was not to be read for a
        // moment is still there.
        self.loops.retain(|id, track| {
            if glance.loops.iter().any(|now| now.id == *id) {
                return true;
            }
            let missing_since = *track.missing_since.get_or_insert(glance.at);
            if glance.at.saturating_sub(track.last.at) < UNSEEN {
                return true;
            }
            if let Some(current) = track.current.take() {
                // It was over by the time at which the loop was not there any more.
                let (end, uncertain) = between(track.last.at, missing_since);
                let stretch = current.stretch(&track.last, glance, end, uncertain, Some(None));
                over.push(stretch.judged(threshold));
            }
            false
        });
        over.retain(|stretch| stretch.length >= threshold);
        over
    }

    /// The stretches that go on, and have lasted for `threshold` at the last glance.
    pub fn ongoing(&self, glance: &Glance, threshold: Duration) -> Vec<Stretch> {
        let current = self.loops.values().filter_map(|track| {
            let current = track.current.as_ref()?;
            let end = track.last.at;
            let stretch = current.stretch(&track.last, glance, end, Duration::ZERO, None);
            Some(stretch.judged(threshold))
        });
        current.filter(|stretch| stretch.length >= threshold).collect()
    }
}

/// The middle of two moments, and how far either is from it.
pub(super) fn between(from: Duration, to: Duration) -> (Duration, Duration) {
    let half = to.saturating_sub(from) / 2;
    (from + half, half)
}

impl Track {
    /// The callback that is over with `now`, with its end and by how much that may be wrong.
    fn take(&mut self, now: &LoopGlance) -> Option<(Current, (Duration, Duration))> {
        let is_same = self.current.as_ref().is_some_and(|current| current.is_seen_in(now));
        if is_same {
            if let Some(current) = &mut self.current {
                current.note(now);
            }
            self.last = now.clone();
            return None;
        }
        let before = std::mem::replace(&mut self.last, now.clone());
        let ended = self.current.take();
        self.current = Current::begin(now, Some(&before));
        // It was over before the next iteration's callbacks began.
        let latest = match now.began {
            Some(began) if began > before.at => began.min(now.read_by),
            _ => now.read_by,
        };
        ended.map(|current| {
            let end = current.end(before.at, latest);
            (current, end)
        })
    }
}

impl Current {
    /// The callback that `now` shows, if it shows one.
    fn begin(now: &LoopGlance, before: Option<&LoopGlance>) -> Option<Self> {
        if now.phase != Phase::Ready {
            return None;
        }
        let is_same_phase = before.is_some_and(|before| before.began == now.began);
        let (began, uncertainty) = match (now.began, before) {
            (Some(began), Some(before)) if is_same_phase => {
                between(before.at.max(began), now.read_by)
            }
            // No callback runs while its loop sleeps in its poll, whatever the time says.
            (Some(began), Some(before)) if before.is_asleep_in_poll() => {
                (began.max(before.at), Duration::ZERO)
            }
            (Some(began), _) => (began, Duration::ZERO),
            (None, Some(before)) => between(before.at, now.read_by),
            (None, None) => (now.at, Duration::ZERO),
        };
        let mut current = Self {
            phase_began: now.began,
            callback: now.callback,
            began,
            uncertainty,
            samples: 0,
            seen: Vec::new(),
            before: before.and_then(|before| before.processor),
            first: None,
            last: None,
        };
        current.note(now);
        Some(current)
    }

    /// When it ended that was seen for the last time at `last` and was over at `latest`, and by
    /// how much that may be wrong.
    fn end(&self, last: Duration, latest: Duration) -> (Duration, Duration) {
        let (middle, half) = between(last, latest);
        if latest.saturating_sub(last) < HOLE {
            return (middle, half);
        }
        // One that was seen for a moment is no long one because we were away for long, or its loop
        // was: at a random moment of it as much is over as is to come, in the mean.
        let end = middle.min(last + last.saturating_sub(self.began));
        (end, latest.saturating_sub(end))
    }

    fn is_seen_in(&self, now: &LoopGlance) -> bool {
        now.phase == Phase::Ready
            && self.phase_began == now.began
            && (self.callback == now.callback || now.callback.is_none())
    }

    fn note(&mut self, now: &LoopGlance) {
        self.samples = self.samples.saturating_add(1);
        if let Some(processor) = now.processor.filter(|processor| processor.sleeps.is_some()) {
            self.first.get_or_insert(processor);
            self.last = Some(processor);
        }
        let Some(work) = &now.work else { return };
        let known = self.seen.iter_mut().find(|(known, _)| {
            Arc::ptr_eq(known, work) || known.kind == work.kind && known.stack == work.stack
        });
        if let Some((_, count)) = known {
            *count = count.saturating_add(1);
        } else if self.seen.len() < MAX_STACKS {
            self.seen.push((Arc::clone(work), 1));
        }
    }

    /// For how long at least its thread waited for a processor, of a length; `after` is what that
    /// had had of one when it was over.
    fn waited(
        &self,
        length: Duration,
        after: Option<Processor>,
        work: &Occupation,
    ) -> Option<Duration> {
        let between = |from: Option<Processor>, to: Option<Processor>| {
            from.zip(to).map(|(from, to)| from.until(&to))
        };
        let inner = between(self.first, self.last).map(|inner| match self.before {
            Some(_) => inner.waited,
            // Nobody saw how it began: it was like what was seen of it, if that says anything.
            None if inner.time >= TELLING => inner.waited_of(length),
            None => Duration::ZERO,
        });
        let outer = between(self.before, after).map(|outer: ProcessorUse| match work.kind {
            // All that it ran may have been in here: when it did not, it waited, as far as it did.
            BlockingKind::Cpu | BlockingKind::Gc if outer.time <= length * 2 => {
                outer.waited.min(length.saturating_sub(outer.ran))
            }
            // Nobody looked for long: it was like all of the time in which it was runnable.
            BlockingKind::Cpu | BlockingKind::Gc => {
                let time = outer.ran + outer.waited;
                ProcessorUse { time, ..outer }.waited_of(length)
            }
            // All that it waited may have been around it.
            _ => outer.waited.saturating_sub(outer.time.saturating_sub(length)),
        });
        inner.max(outer).map(|waited| waited.min(length))
    }

    /// As it is at `end`; `over` is there when it is over, with what its thread had had of a
    /// processor by then.
    #[expect(clippy::option_option, reason = "over, and known")]
    fn stretch(
        &self,
        of: &LoopGlance,
        glance: &Glance,
        end: Duration,
        uncertain: Duration,
        over: Option<Option<Processor>>,
    ) -> Stretch {
        let mut stacks = self.seen.clone();
        stacks.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let ago = glance.at.saturating_sub(self.began);
        let length = end.saturating_sub(self.began);
        let work = most_seen(&stacks);
        let after = over.unwrap_or(self.last);
        Stretch {
            loop_id: of.id,
            thread: of.thread,
            began_at: glance.taken_at.checked_sub(ago).unwrap_or(glance.taken_at),
            length,
            uncertainty: self.uncertainty + uncertain,
            is_over: over.is_some(),
            waited: work.as_ref().and_then(|work| self.waited(length, after, work)),
            samples: self.samples,
            work,
            stacks,
        }
    }
}

/// What stands for all that was seen: the most frequent stack of the most frequent line.
fn most_seen(stacks: &[(Arc<Occupation>, u32)]) -> Option<Arc<Occupation>> {
    let of_place = |work: &Occupation| {
        let same = stacks.iter().filter(|(other, _)| other.place == work.place);
        let same = same.filter(|(other, _)| other.kind == work.kind);
        same.map(|(_, count)| u64::from(*count)).sum::<u64>()
    };
    let best = stacks.iter().max_by_key(|(work, count)| (of_place(work), *count));
    best.map(|(work, _)| Arc::clone(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOP: Address = Address(0x100);

    /// A glance at `at` ms at a loop whose ready phase began at `began` ms, if it is in one.
    fn glance(at: u64, began: Option<u64>, callback: u64) -> Glance {
        let at = Duration::from_millis(at);
        let work = began.map(|began| {
            Arc::new(Occupation {
                handle: Some(format!("callback {callback}")),
                task: None,
                stack: Vec::new(),
                place: None,
                kind: BlockingKind::Sleep,
                description: format!("of {began}"),
                peer: None,
                label: None,
            })
        });
        Glance {
            taken_at: Timestamp::UNIX_EPOCH + at,
            at,
            loops: vec![LoopGlance {
                id: LOOP,
                thread: Some(7),
                at,
                read_by: at,
                phase: if began.is_some() { Phase::Ready } else { Phase::Select },
                began: began.map(Duration::from_millis),
                wait: None,
                callback: began.map(|_| callback),
                total: Some(3),
                processor: None,
                work,
            }],
        }
    }

    fn all(glances: &[Glance]) -> Vec<(u128, u128, u32)> {
        let mut callbacks = Callbacks::default();
        let threshold = Duration::from_millis(10);
        let over = glances.iter().flat_map(|glance| callbacks.take(glance, threshold));
        over.map(|it| (it.length.as_millis(), it.uncertainty.as_millis(), it.samples)).collect()
    }

    /// A glance at one that computes, whose thread has run for `ran` ms and waited for `waited`.
    fn computing(at: u64, began: Option<u64>, ran: u64, waited: u64) -> Glance {
        let mut glance = glance(at, began, 0);
        let event_loop = &mut glance.loops[0];
        let [at, ran, waited] = [at, ran, waited].map(Duration::from_millis);
        let sleeps = began.map(|_| 7);
        event_loop.processor = Some(Processor { at, ran, waited, sleeps });
        event_loop.work = event_loop.work.take().map(|work| {
            let place = crate::diagnose::tests::location("retry", 31);
            let kind = BlockingKind::Cpu;
            Arc::new(Occupation { kind, place: Some(place), ..(*work).clone() })
        });
        glance
    }

    /// What is blamed for the one stretch of these glances of at least 100 ms.
    fn blamed(glances: &[Glance]) -> (BlockingKind, String, bool) {
        let mut callbacks = Callbacks::default();
        let threshold = Duration::from_millis(100);
        let over = glances.iter().flat_map(|glance| callbacks.take(glance, threshold));
        let [stretch] = &over.collect::<Vec<_>>()[..] else { panic!() };
        let description = stretch.work.as_ref().unwrap().description.clone();
        (stretch.kind(), description, stretch.place().is_some())
    }

    #[test]
    fn one_whose_thread_was_given_no_processor_is_blamed_on_no_line() {
        // 15 ms of work with a quota of 8 %: the wait is booked at its end.
        let starved = [
            computing(0, None, 100, 50),
            computing(10, Some(1), 108, 50),
            computing(50, Some(1), 108, 50),
            computing(140, Some(1), 109, 142),
            computing(151, None, 116, 142),
        ];
        let (kind, description, has_place) = blamed(&starved);
        assert_eq!((kind, has_place), (BlockingKind::Starved, false));
        assert!(description.starts_with("waited for a processor for 129 of 14"), "{description}");
        // 150 ms of work, on a processor all the time, and for half of it.
        for (scale, ran) in [(1, 150), (2, 150)] {
            let computes = [
                computing(0, None, 100, 50),
                computing(10 * scale, Some(1), 108, 50),
                computing(140 * scale, Some(1), 100 + ran - 10, 50 + 130 * (scale - 1)),
                computing(152 * scale, None, 100 + ran, 50 + 152 * (scale - 1)),
            ];
            assert_eq!(blamed(&computes).0, BlockingKind::Cpu, "{scale}");
        }
    }

    #[test]
    fn of_one_that_began_before_anybody_looked_the_rest_tells() {
        let attached = |ran: u64| {
            let first = computing(1000, Some(100), 500, 50);
            let last = computing(1200, Some(100), 500 + ran, 50);
            blamed(&[first, last, computing(1201, None, 501 + ran, 50)]).0
        };
        assert_eq!(attached(8), BlockingKind::Starved);
        assert_eq!(attached(180), BlockingKind::Cpu);
    }

    #[test]
    fn one_that_was_there_from_the_beginning_counts_from_the_iteration_on() {
        // Attached at 500, when it had run since 100; over between 600 and 602.
        let glances = [
            glance(500, Some(100), 0),
            glance(600, Some(100), 0),
            glance(602, None, 0),
            glance(610, None, 0),
        ];
        assert_eq!(all(&glances), [(501, 1, 2)]);
    }

    #[test]
    fn the_next_iteration_ends_it_before_its_own_callbacks() {
        let glances = [glance(50, None, 0), glance(60, Some(52), 0), glance(100, Some(80), 0)];
        // It ended between 60 and 80, not 100.
        assert_eq!(all(&glances), [(18, 10, 1)]);
    }

    #[test]
    fn a_hole_makes_no_long_one_of_a_short_one() {
        // Seen when it had run for 2 ms; then its loop was not there for 400 ms.
        let glances = [glance(10, None, 0), glance(20, Some(18), 0), glance(420, None, 0)];
        assert_eq!(all(&glances), []);
        // What had lasted already is told, with how much is not known.
        let glances = [glance(10, None, 0), glance(80, Some(18), 0), glance(480, None, 0)];
        assert_eq!(all(&glances), [(124, 338, 1)]);
    }

    #[test]
    fn none_began_before_its_loop_was_seen_asleep() {
        let asleep = |at| {
            let mut glance = glance(at, None, 0);
            glance.loops[0].wait = Some(at);
            glance
        };
        // The time is from before the poll that the loop was seen in at 100.
        let glances = [asleep(100), glance(102, Some(3), 0), asleep(104)];
        assert_eq!(all(&glances), []);
        let glances = [asleep(100), glance(102, Some(3), 0), glance(120, Some(3), 0), asleep(122)];
        assert_eq!(all(&glances), [(21, 1, 2)]);
    }

    #[test]
    fn callbacks_of_one_iteration_are_told_apart() {
        let glances = [
            glance(10, None, 0),
            glance(30, Some(11), 0),
            glance(34, Some(11), 1),
            glance(74, Some(11), 1),
            glance(76, None, 0),
        ];
        assert_eq!(all(&glances), [(21, 2, 1), (43, 3, 2)]);
    }

    #[test]
    fn short_ones_and_those_that_go_on_are_not_over() {
        let short = [glance(10, None, 0), glance(14, Some(12), 0), glance(16, None, 0)];
        assert_eq!(all(&short), []);
        let mut callbacks = Callbacks::default();
        let threshold = Duration::from_millis(10);
        let last = glance(90, Some(12), 0);
        for glance in [&glance(14, Some(12), 0), &last] {
            assert_eq!(callbacks.take(glance, threshold), []);
        }
        let ongoing = callbacks.ongoing(&last, threshold);
        assert_eq!((ongoing.len(), ongoing[0].is_over), (1, false));
        assert_eq!(ongoing[0].length, Duration::from_millis(78));
        assert_eq!(ongoing[0].began_at, Timestamp::UNIX_EPOCH + Duration::from_millis(12));
    }

    #[test]
    fn a_loop_that_is_gone_has_ended_its_callback() {
        let gone = |at| Glance { loops: Vec::new(), ..glance(at, None, 0) };
        // It was there at 200 and not at 210; that it is gone for good is known by 710.
        let glances = [glance(100, Some(50), 0), glance(200, Some(50), 0), gone(210), gone(710)];
        assert_eq!(all(&glances), [(155, 5, 2)]);
        // A short one that was the loop's last is no long one for that.
        let glances = [glance(200, Some(199), 0), gone(202), gone(400), gone(800)];
        assert_eq!(all(&glances), []);
        // One that could not be read for a moment goes on.
        let glances =
            [glance(100, Some(50), 0), gone(150), glance(200, Some(50), 0), glance(300, None, 0)];
        assert_eq!(all(&glances), [(200, 50, 2)]);
    }
}
