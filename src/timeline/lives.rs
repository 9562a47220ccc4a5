//! The lives of tasks over many whole samples: since when each is there, how often it moved, and
//! for how long it has stood where it is.
//!
//! Two looks at a loop that turns cannot tell a task that stood still from one that came back to
//! where it was. Many can: a task that moves is found elsewhere at one of them.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHasher};

use crate::memory::Address;
use crate::snapshot::{Shutdown, Snapshot, Task, TaskState};

/// From here on it is no accident that a task was found at the same place each time.
const ENOUGH: u32 = 8;

/// The lives of the tasks that are there.
#[derive(Debug, Default)]
pub struct Lives {
    tasks: FxHashMap<Address, Followed>,
    /// When the last sample was begun.
    now: Option<Duration>,
    /// The stage of a shutdown, and since when it was seen.
    stage: Option<(Shutdown, Duration)>,
}

/// What is known of one task's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// For how long it has been there at least: since it was first seen, or its own timer says.
    pub age: Duration,
    /// Whether it was seen to come, so that its age is exact to one sample.
    pub is_born: bool,
    /// At how many samples it was found elsewhere than at the one before: so many steps at least.
    pub steps: u32,
    /// For how long it has been at its present await; `None` while it is at none.
    pub at_await: Option<Duration>,
    /// Which states it was seen in.
    pub seen: States,
}

/// A set of states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct States(u8);

impl States {
    fn note(&mut self, state: Option<TaskState>) {
        self.0 |= state.map_or(0, |state| 1 << state as u8);
    }

    /// As a number, for recordings.
    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    pub(crate) fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Whether it was seen in a state.
    pub fn has(self, state: TaskState) -> bool {
        self.0 & 1 << state as u8 != 0
    }
}

#[derive(Debug, Clone, Copy)]
struct Followed {
    /// Tells it from another that got its address.
    who: u64,
    /// When the sample in which it was first seen was done.
    first_seen: Duration,
    is_born: bool,
    steps: u32,
    seen: States,
    stay: Option<Stay>,
}

#[derive(Debug, Clone, Copy)]
struct Stay {
    place: u64,
    /// When the sample in which it was first seen there was done.
    since: Duration,
    samples: u32,
}

impl Lives {
    /// Takes in a whole sample.
    pub fn take(&mut self, snapshot: &Snapshot) {
        // From the end of one sample to the beginning of another: so long at least.
        let now = snapshot.during.ended;
        let mut tasks = FxHashMap::default();
        tasks.reserve(snapshot.tasks.len());
        for task in &snapshot.tasks {
            let who = who(task);
            let mut kept = match self.tasks.get(&task.id) {
                Some(known) if known.who == who => *known,
                _ => Followed {
                    who,
                    first_seen: now,
                    is_born: self.now.is_some(),
                    steps: 0,
                    seen: States::default(),
                    stay: None,
                },
            };
            kept.seen.note(task.state);
            // What did not hold still while it was read is nowhere for certain.
            if !task.is_torn {
                kept.move_to(place_of(task), now);
            }
            tasks.insert(task.id, kept);
        }
        self.tasks = tasks;
        let now = snapshot.during.began;
        self.now = Some(now);
        let known = self.stage.take();
        self.stage = snapshot.shutdown.as_ref().map(|shutdown| match known {
            Some((stage, since)) if stage.is_same_stage(shutdown) => (stage, since),
            _ => (shutdown.clone(), now),
        });
    }

    /// For how long a stage of a shutdown was seen at every sample.
    pub(crate) fn stage_for(&self, shutdown: &Shutdown) -> Option<Duration> {
        let (stage, since) = self.stage.as_ref()?;
        stage.is_same_stage(shutdown).then_some(self.now?.saturating_sub(*since))
    }

    /// For how long a task was found at the same place at every one of enough samples.
    pub fn stood_for(&self, task: &Task) -> Option<Duration> {
        let stay = self.tasks.get(&task.id)?.stay.filter(|stay| stay.samples >= ENOUGH)?;
        Some(self.now?.saturating_sub(stay.since))
    }

    /// The life of a task, as far as it was seen.
    pub fn of(&self, task: &Task) -> Option<Life> {
        Some(self.marks(task.id)?.life(task, self.now?))
    }

    /// What the life of a task is told from.
    pub(crate) fn marks(&self, id: Address) -> Option<Marks> {
        let kept = self.tasks.get(&id)?;
        Some(Marks {
            first_seen: kept.first_seen,
            is_born: kept.is_born,
            steps: kept.steps,
            seen: kept.seen,
            stays_since: kept.stay.map(|stay| stay.since),
        })
    }
}

/// What a life is told from: the same as long as the task does not move.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    pub first_seen: Duration,
    pub is_born: bool,
    pub steps: u32,
    pub seen: States,
    pub stays_since: Option<Duration>,
}

impl Marks {
    /// The life of the task that they are of, at the sample that was begun `now`.
    pub fn life(&self, task: &Task, now: Duration) -> Life {
        let told = task.waiting_on.as_deref().and_then(|waiting| waiting.since);
        let told = told.unwrap_or_default();
        Life {
            age: now.saturating_sub(self.first_seen).max(told),
            is_born: self.is_born,
            steps: self.steps,
            at_await: self.stays_since.map(|since| now.saturating_sub(since).max(told)),
            seen: self.seen,
        }
    }
}

impl Followed {
    fn move_to(&mut self, place: Option<u64>, now: Duration) {
        let before = self.stay.map(|stay| stay.place);
        match (&mut self.stay, place) {
            (Some(stay), Some(place)) if stay.place == place => {
                stay.samples = stay.samples.saturating_add(1);
                return;
            }
            (stay, place) => {
                *stay = place.map(|place| Stay { place, since: now, samples: 1 });
            }
        }
        if self.first_seen != now && (before.is_some() || place.is_some()) {
            self.steps = self.steps.saturating_add(1);
        }
    }
}

/// What is the same as long as a parked task stays where it is; `None` for one that is not parked.
fn place_of(task: &Task) -> Option<u64> {
    if task.state != Some(TaskState::Pending) {
        return None;
    }
    let mut hasher = FxHasher::default();
    task.fut_waiter.hash(&mut hasher);
    for frame in &task.frames {
        frame.location.line.hash(&mut hasher);
        frame.location.column.hash(&mut hasher);
        frame.location.function.hash(&mut hasher);
    }
    Some(hasher.finish())
}

/// Tells a task from another that got its address.
pub(super) fn who(task: &Task) -> u64 {
    let mut hasher = FxHasher::default();
    (&task.name, &task.coroutine).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, task};

    /// The life of the only task after these samples, a second apart.
    fn life(tasks: impl IntoIterator<Item = Builder>) -> Life {
        let mut lives = Lives::default();
        let mut last = None;
        for (second, builder) in (0..).zip(tasks) {
            let mut scene = Scene::new().with([builder]);
            scene.snapshot.later(Duration::from_secs(second));
            lives.take(&scene.snapshot);
            last = scene.snapshot.tasks.pop();
        }
        lives.of(&last.unwrap()).unwrap()
    }

    #[test]
    fn a_task_that_stands_still_gets_older_and_makes_no_step() {
        let stands = (0..5).map(|_| task(1).reads_socket());
        let life = life(stands);
        assert_eq!((life.age.as_secs(), life.steps, life.is_born), (4, 0, false));
        assert_eq!(life.at_await, Some(Duration::from_secs(4)));
        assert!(life.seen.has(TaskState::Pending) && !life.seen.has(TaskState::Running));
    }

    #[test]
    fn one_that_moves_makes_steps_and_another_is_another() {
        let parked = |future| task(1).and(move |task| task.fut_waiter = Some(Address(future)));
        let running = || task(1).and(|task| task.state = Some(TaskState::Running));
        let life_of_one = life([parked(1), parked(1), running(), parked(2), parked(2)]);
        assert_eq!((life_of_one.steps, life_of_one.at_await.unwrap().as_secs()), (2, 1));
        assert!(life_of_one.seen.has(TaskState::Running));
        let renamed = task(1).and(|task| task.name = Some("other".into()));
        let life_of_other = life([task(1), task(1), renamed]);
        assert_eq!((life_of_other.age.as_secs(), life_of_other.is_born), (0, true));
    }
}
