//! How many tasks of each shape there are over time.
//!
//! Tasks come and go in bursts. What tells a leak is the least number of them in one stretch of
//! time after the other: where even that grows each time, more are left behind than end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::snapshot::Snapshot;

/// Stretches of time that are compared.
const STRETCHES: usize = 6;
/// Shapes that are followed; a program that makes coroutine functions without end must not fill
/// our memory.
const MAX_SHAPES: usize = 1000;

/// What tasks of one shape have in common: the name of their coroutine.
pub type Shape = Arc<str>;

/// The numbers of tasks by shape.
#[derive(Debug)]
pub struct Growth {
    stretch: Duration,
    began: Option<Duration>,
    /// The least number in the present stretch, when a sample of it was seen.
    present: Option<FxHashMap<Shape, usize>>,
    /// The least numbers in those before, the oldest first.
    past: FxHashMap<Shape, VecDeque<usize>>,
}

impl Growth {
    /// One that looks back over `time`.
    pub fn over(time: Duration) -> Self {
        let stretches = u32::try_from(STRETCHES).unwrap_or(1);
        Self { stretch: time / stretches, began: None, present: None, past: FxHashMap::default() }
    }

    /// The time that it looks back over.
    pub fn time(&self) -> Duration {
        self.stretch * u32::try_from(STRETCHES).unwrap_or(1)
    }

    /// Takes in a whole sample.
    pub fn take(&mut self, snapshot: &Snapshot) {
        let now = snapshot.during.began;
        let began = *self.began.get_or_insert(now);
        if now.saturating_sub(began) >= self.stretch {
            self.turn();
            self.began = Some(now);
        }
        let mut counts: FxHashMap<Shape, usize> = FxHashMap::default();
        for task in snapshot.tasks.iter().filter(|task| !task.is_over()) {
            let Some(shape) = &task.coroutine else { continue };
            if let Some(count) = counts.get_mut(shape) {
                *count += 1;
            } else if counts.len() < MAX_SHAPES {
                counts.insert(Arc::clone(shape), 1);
            }
        }
        let Some(present) = &mut self.present else {
            self.present = Some(counts);
            return;
        };
        // One that was not there at some moment had none then.
        present.retain(|shape, least| match counts.get(shape) {
            Some(count) => {
                *least = (*least).min(*count);
                true
            }
            None => false,
        });
    }

    /// The shapes whose number has grown from each stretch to the next, with these numbers.
    pub fn growing(&self) -> Vec<(Shape, Vec<usize>)> {
        let grows = |past: &VecDeque<usize>| {
            past.len() == STRETCHES && past.iter().zip(past.iter().skip(1)).all(|(a, b)| a < b)
        };
        let mut all: Vec<_> = self
            .past
            .iter()
            .filter(|(_, past)| grows(past))
            .map(|(shape, past)| (Arc::clone(shape), past.iter().copied().collect()))
            .collect();
        all.sort_unstable();
        all
    }

    /// The next stretch begins.
    fn turn(&mut self) {
        let present = self.present.take().unwrap_or_default();
        self.past.retain(|shape, _| present.contains_key(shape));
        for (shape, least) in present {
            let past = self.past.entry(shape).or_default();
            past.push_back(least);
            while past.len() > STRETCHES {
                past.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::memory::Address;
    use crate::snapshot::{Process, Task, TaskState};

    /// One sample a second of so many tasks.
    fn growing(counts: &[u64]) -> Vec<Vec<usize>> {
        let mut growth = Growth::over(Duration::from_secs(12));
        for (second, &count) in (0..).zip(counts) {
            let taken_at = Timestamp::UNIX_EPOCH + Duration::from_secs(second);
            let mut snapshot = Snapshot::new(Process::default(), taken_at);
            snapshot.tasks = (0..count)
                .map(|id| Task {
                    id: Address(id),
                    state: Some(TaskState::Pending),
                    coroutine: Some("handler".into()),
                    ..Task::default()
                })
                .collect();
            growth.take(&snapshot);
        }
        growth.growing().into_iter().map(|(_, counts)| counts).collect()
    }

    #[test]
    fn the_least_numbers_grow_in_a_leak() {
        let leak: Vec<u64> = (0..13).map(|second| 10 + 10 * second).collect();
        assert_eq!(growing(&leak), [[10, 30, 50, 70, 90, 110]]);
        assert_eq!(growing(&leak[..12]), [[0; 6]; 0], "not long enough");
    }

    #[test]
    fn bursts_and_steps_are_healthy() {
        let bursts: Vec<u64> = (0..20).map(|second| 5 + 50 * (second % 2)).collect();
        assert_eq!(growing(&bursts), [[0; 6]; 0]);
        let step: Vec<u64> = (0..20).map(|second| if second < 9 { 5 } else { 500 }).collect();
        assert_eq!(growing(&step), [[0; 6]; 0]);
        let gone: Vec<u64> = (0..20).map(|second| (10 * second) % 70).collect();
        assert_eq!(growing(&gone), [[0; 6]; 0]);
    }
}
