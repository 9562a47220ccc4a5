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
use crate::snapshot::{BlockingKind, Glance, Location, LoopGlance, Phase, Work};

/// Different stacks of one stretch that are kept; what is seen beyond is counted together.
const MAX_STACKS: usize = 32;

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
    pub work: Option<Arc<Work>>,
    /// All that was seen: each stack and how often, the most frequent first.
    pub stacks: Vec<(Arc<Work>, u32)>,
}

impl Stretch {
    /// What kind of call kept the thread most of the time.
    pub fn kind(&self) -> BlockingKind {
        self.work.as_ref().map_or(BlockingKind::Unknown, |work| work.kind)
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
}

#[derive(Debug)]
struct Current {
    phase_began: Option<Duration>,
    callback: Option<u64>,
    began: Duration,
    uncertainty: Duration,
    samples: u32,
    seen: Vec<(Arc<Work>, u32)>,
}

impl Callbacks {
    /// Takes in a glance; gives the stretches that are over by it and were not shorter than
    /// `threshold`.
    pub fn take(&mut self, glance: &Glance, threshold: Duration) -> Vec<Stretch> {
        let mut over = Vec::new();
        for now in &glance.loops {
            let Some(track) = self.loops.get_mut(&now.id) else {
                let current = Current::begin(now, None);
                self.loops.insert(now.id, Track { last: now.clone(), current });
                continue;
            };
            let ended = track.take(now);
            over.extend(ended.map(|(current, end)| {
                let (end, uncertain) = end;
                current.stretch(now, glance, end, uncertain, true)
            }));
        }
        // A loop that is not run any more has ended what it ran; one that was not to be read for a
        // moment is still there.
        self.loops.retain(|_, track| {
            if glance.at.saturating_sub(track.last.at) < UNSEEN {
                return true;
            }
            if let Some(current) = track.current.take() {
                let (end, uncertain) = between(track.last.at, glance.at);
                over.push(current.stretch(&track.last, glance, end, uncertain, true));
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
            Some(current.stretch(&track.last, glance, track.last.at, Duration::ZERO, false))
        });
        current.filter(|stretch| stretch.length >= threshold).collect()
    }
}

/// The middle of two moments, and how far either is from it.
fn between(from: Duration, to: Duration) -> (Duration, Duration) {
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
        ended.map(|current| (current, between(before.at, latest)))
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
        };
        current.note(now);
        Some(current)
    }

    fn is_seen_in(&self, now: &LoopGlance) -> bool {
        now.phase == Phase::Ready
            && self.phase_began == now.began
            && (self.callback == now.callback || now.callback.is_none())
    }

    fn note(&mut self, now: &LoopGlance) {
        self.samples = self.samples.saturating_add(1);
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

    fn stretch(
        &self,
        of: &LoopGlance,
        glance: &Glance,
        end: Duration,
        uncertain: Duration,
        is_over: bool,
    ) -> Stretch {
        let mut stacks = self.seen.clone();
        stacks.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let ago = glance.at.saturating_sub(self.began);
        Stretch {
            loop_id: of.id,
            thread: of.thread,
            began_at: glance.taken_at.checked_sub(ago).unwrap_or(glance.taken_at),
            length: end.saturating_sub(self.began),
            uncertainty: self.uncertainty + uncertain,
            is_over,
            samples: self.samples,
            work: most_seen(&stacks),
            stacks,
        }
    }
}

/// What stands for all that was seen: the most frequent stack of the most frequent line.
fn most_seen(stacks: &[(Arc<Work>, u32)]) -> Option<Arc<Work>> {
    let of_place = |work: &Work| {
        let same = stacks.iter().filter(|(other, _)| other.place == work.place);
        let same = same.filter(|(other, _)| other.kind == work.kind);
        same.map(|(_, count)| u64::from(*count)).sum::<u64>()
    };
    let best = stacks.iter().max_by_key(|(work, count)| (of_place(work), *count));
    best.map(|(work, _)| Arc::clone(work))
}
