//! For how long each task has stood where it is, over many whole samples.
//!
//! Two looks at a loop that turns cannot tell a task that stood still from one that came back to
//! where it was. Many can: a task that moves is found elsewhere at one of them.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use rustc_hash::{FxHashMap, FxHasher};

use super::time_between;
use crate::memory::Address;
use crate::snapshot::{Snapshot, Task, TaskState};

/// From here on it is no accident that a task was found at the same place each time.
const ENOUGH: u32 = 8;

/// Where the tasks have been at the samples so far.
#[derive(Debug, Default)]
pub struct Steady {
    tasks: FxHashMap<Address, Stay>,
    now: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Stay {
    place: u64,
    since: Timestamp,
    samples: u32,
}

impl Steady {
    /// Takes in a whole sample.
    pub fn take(&mut self, snapshot: &Snapshot) {
        let mut tasks = FxHashMap::default();
        tasks.reserve(snapshot.tasks.len());
        for task in &snapshot.tasks {
            let Some(place) = place_of(task) else { continue };
            let stay = match self.tasks.get(&task.id) {
                Some(stay) if stay.place == place => {
                    Stay { samples: stay.samples.saturating_add(1), ..*stay }
                }
                _ => Stay { place, since: snapshot.taken_at, samples: 1 },
            };
            tasks.insert(task.id, stay);
        }
        self.tasks = tasks;
        self.now = Some(snapshot.taken_at);
    }

    /// For how long a task was found at the same place at every one of enough samples.
    pub fn stood_for(&self, task: &Task) -> Option<Duration> {
        let stay = self.tasks.get(&task.id).filter(|stay| stay.samples >= ENOUGH)?;
        Some(time_between(stay.since, self.now?))
    }
}

/// What is the same as long as a parked task stays where it is; `None` for one that is not parked.
fn place_of(task: &Task) -> Option<u64> {
    if task.state != Some(TaskState::Pending) || task.is_torn {
        return None;
    }
    let mut hasher = FxHasher::default();
    task.fut_waiter.hash(&mut hasher);
    task.name.hash(&mut hasher);
    for frame in &task.frames {
        frame.location.line.hash(&mut hasher);
        frame.location.column.hash(&mut hasher);
        frame.location.function.hash(&mut hasher);
    }
    Some(hasher.finish())
}
