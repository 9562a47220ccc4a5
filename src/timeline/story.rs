//! A shutdown as a story: which stage began when, who was cancelled, who has ended, who is left.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Serialize, Serializer};

use super::time_between;
use crate::memory::Address;
use crate::snapshot::{Shutdown, Snapshot, Stage, Task};

/// Tasks that are followed one by one; of those beyond only the number is told.
const MAX_FOLLOWED: usize = 10_000;
/// In so many snapshots in a row a stage must not be seen to be over: where the task that shuts
/// down runs, its stack may not be read.
const MISSES: u32 = 3;

/// One stage of a shutdown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageTold {
    /// Which.
    #[serde(serialize_with = "as_name")]
    pub stage: Stage,
    /// Whose it is: `asyncio.run`, `uvicorn`.
    pub by: String,
    /// When it was first seen, after the beginning.
    #[serde(rename = "began_ms", serialize_with = "crate::snapshot::millis::serialize")]
    pub began: Duration,
    /// When it was over, after the beginning; absent while it goes on.
    #[serde(
        rename = "ended_ms",
        serialize_with = "crate::snapshot::millis::opt::serialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub ended: Option<Duration>,
    /// The tasks it waited for when it was last seen, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Arc<str>>,
    /// The threads it waited for then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<i32>,
}

/// A task that was asked to end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cancelled {
    /// The task.
    pub id: Address,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// When that was first seen, after the beginning.
    #[serde(rename = "asked_ms", serialize_with = "crate::snapshot::millis::serialize")]
    pub asked: Duration,
    /// When it was gone; absent while it is there.
    #[serde(
        rename = "ended_ms",
        serialize_with = "crate::snapshot::millis::opt::serialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub ended: Option<Duration>,
}

/// Something new in the story.
#[derive(Debug, Clone, PartialEq)]
pub enum StoryEvent {
    /// A stage has begun.
    Began(StageTold),
    /// A stage is over.
    Ended(StageTold),
    /// Tasks were asked to end.
    Asked(Vec<Cancelled>),
    /// Tasks that were asked to end have ended.
    Gone(Vec<Cancelled>),
}

/// The story so far.
#[derive(Debug)]
pub struct Story {
    began: Timestamp,
    stages: Vec<StageTold>,
    cancelled: Vec<Cancelled>,
    known: FxHashMap<Address, usize>,
    /// Tasks with an old request, from before the beginning.
    old: FxHashSet<Address>,
    is_begun: bool,
    /// Since when the stage that goes on is not seen, and in how many snapshots.
    unseen: Option<(Duration, u32)>,
}

impl Story {
    /// A story that begins now; `before` is how the target was then.
    pub fn new(began: Timestamp, before: Option<&Snapshot>) -> Self {
        let cancelled = before.into_iter().flat_map(|it| &it.tasks).filter(|it| is_asked(it));
        Self {
            began,
            stages: Vec::new(),
            cancelled: Vec::new(),
            known: FxHashMap::default(),
            old: cancelled.map(|task| task.id).collect(),
            is_begun: false,
            unseen: None,
        }
    }

    /// The stages so far, in their order.
    pub fn stages(&self) -> &[StageTold] {
        &self.stages
    }

    /// The tasks that were asked to end, in the order in which that was seen.
    pub fn cancelled(&self) -> &[Cancelled] {
        &self.cancelled
    }

    /// Whether anything has happened yet.
    pub fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// How long after the beginning a moment is.
    pub fn after(&self, at: Timestamp) -> Duration {
        time_between(self.began, at)
    }

    /// Takes in how the target is now, and tells what is new.
    pub fn take(&mut self, now: &Snapshot) -> Vec<StoryEvent> {
        let at = self.after(now.taken_at);
        let mut steps = self.take_stage(now, at);
        let stage = now.shutdown.as_ref().map(|shutdown| shutdown.stage);
        let all = now.shutdown.as_ref().map(Shutdown::all_cancelled).unwrap_or_default();
        let mut asked = Vec::new();
        let mut there = FxHashSet::default();
        for task in now.tasks.iter().filter(|task| !task.is_over()) {
            there.insert(task.id);
            let is_new = !self.known.contains_key(&task.id) && !self.old.contains(&task.id);
            if is_new && (is_asked(task) || all.contains(&task.id)) {
                let cancelled =
                    Cancelled { id: task.id, name: task.name.clone(), asked: at, ended: None };
                if self.cancelled.len() < MAX_FOLLOWED {
                    self.known.insert(task.id, self.cancelled.len());
                    self.cancelled.push(cancelled.clone());
                    asked.push(cancelled);
                }
            }
        }
        let mut gone = Vec::new();
        for cancelled in self.cancelled.iter_mut().filter(|it| it.ended.is_none()) {
            if !there.contains(&cancelled.id) {
                cancelled.ended = Some(at);
                gone.push(cancelled.clone());
            }
        }
        self.is_begun |= stage.is_some() || !asked.is_empty();
        if !asked.is_empty() {
            steps.push(StoryEvent::Asked(asked));
        }
        if !gone.is_empty() {
            steps.push(StoryEvent::Gone(gone));
        }
        steps
    }

    fn take_stage(&mut self, now: &Snapshot, at: Duration) -> Vec<StoryEvent> {
        let mut steps = Vec::new();
        let shutdown = now.shutdown.as_ref();
        if let Some(last) = self.stages.last_mut().filter(|last| last.ended.is_none()) {
            let is_same = shutdown.is_some_and(|it| it.stage == last.stage && it.by == last.by);
            if is_same {
                self.unseen = None;
            } else {
                let (since, misses) = self.unseen.unwrap_or((at, 0));
                self.unseen = Some((since, misses + 1));
                if shutdown.is_some() || misses + 1 >= MISSES {
                    last.ended = Some(since);
                    self.unseen = None;
                    steps.push(StoryEvent::Ended(last.clone()));
                }
            }
        }
        let Some(shutdown) = shutdown else { return steps };
        let names = |snapshot: &Snapshot| {
            let name = |id: &Address| {
                let task = snapshot.tasks.iter().find(|task| task.id == *id)?;
                task.name.clone().or_else(|| task.coroutine.clone())
            };
            shutdown.tasks.iter().filter_map(name).collect::<Vec<_>>()
        };
        if let Some(last) = self.stages.last_mut().filter(|last| last.ended.is_none()) {
            last.tasks = names(now);
            last.threads.clone_from(&shutdown.threads);
        } else {
            let told = StageTold {
                stage: shutdown.stage,
                by: shutdown.by.clone(),
                began: at,
                ended: None,
                tasks: names(now),
                threads: shutdown.threads.clone(),
            };
            self.stages.push(told.clone());
            steps.push(StoryEvent::Began(told));
        }
        steps
    }

    /// The target has ended: so has all that went on. Tells the stage that did.
    pub fn end(&mut self, at: Timestamp) -> Vec<StoryEvent> {
        let at = self.after(at);
        for cancelled in self.cancelled.iter_mut().filter(|it| it.ended.is_none()) {
            cancelled.ended = Some(at);
        }
        let unseen = self.unseen.take().map(|(since, _)| since);
        let last = self.stages.last_mut().filter(|last| last.ended.is_none());
        last.map(|last| {
            last.ended = Some(unseen.unwrap_or(at));
            StoryEvent::Ended(last.clone())
        })
        .into_iter()
        .collect()
    }
}

fn is_asked(task: &Task) -> bool {
    task.cancellation.is_some()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde asks for")]
fn as_name<S: Serializer>(stage: &Stage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(stage.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Cancellation, Process, TaskState};

    /// A snapshot at `ms`, in a stage that waits for tasks, with these tasks and whether each was
    /// asked to end.
    fn at(ms: u64, stage: Option<(Stage, &[u64])>, tasks: &[(u64, bool)]) -> Snapshot {
        let taken_at = Timestamp::UNIX_EPOCH + Duration::from_millis(ms);
        let mut snapshot = Snapshot::new(Process::default(), taken_at);
        snapshot.shutdown = stage.map(|(stage, tasks)| Shutdown {
            stage,
            by: "asyncio.run".to_owned(),
            loop_id: None,
            frame: None,
            task: None,
            grounds: None,
            tasks: tasks.iter().copied().map(Address).collect(),
            threads: Vec::new(),
        });
        snapshot.tasks = tasks
            .iter()
            .map(|&(id, is_asked)| Task {
                id: Address(id),
                name: Some(format!("t{id}").into()),
                state: Some(TaskState::Pending),
                cancellation: is_asked.then(Cancellation::default),
                ..Task::default()
            })
            .collect();
        snapshot
    }

    fn ms(time: Duration) -> u128 {
        time.as_millis()
    }

    #[test]
    fn stages_follow_each_other_and_tasks_end() {
        let before = at(0, None, &[(1, false), (2, false), (3, true)]);
        let mut story = Story::new(before.taken_at, Some(&before));
        assert_eq!(story.take(&at(20, None, &[(1, false), (2, false), (3, true)])), []);
        assert!(!story.is_begun());
        // Whoever was asked to before is no part of it; in this stage all are.
        let all = at(40, Some((Stage::CancelAll, &[1, 2])), &[(1, true), (2, false)]);
        let steps = story.take(&all);
        assert!(
            matches!(&steps[..], [StoryEvent::Began(_), StoryEvent::Asked(asked)] if asked.len() == 2)
        );
        let steps = story.take(&at(60, Some((Stage::CancelAll, &[2])), &[(2, false)]));
        assert!(matches!(&steps[..], [StoryEvent::Gone(gone)] if gone[0].id == Address(1)));
        let steps = story.take(&at(500, Some((Stage::DefaultExecutor, &[])), &[]));
        let [StoryEvent::Ended(ended), StoryEvent::Began(began), StoryEvent::Gone(_)] = &steps[..]
        else {
            panic!("{steps:?}")
        };
        assert_eq!((ms(ended.began), ended.ended.map(ms)), (40, Some(500)));
        assert_eq!((began.stage, ms(began.began)), (Stage::DefaultExecutor, 500));
        let steps = story.end(Timestamp::UNIX_EPOCH + Duration::from_millis(900));
        assert!(matches!(&steps[..], [StoryEvent::Ended(last)] if last.ended.map(ms) == Some(900)));
        assert!(story.cancelled().iter().all(|it| it.ended.is_some()));
    }

    #[test]
    fn a_stage_that_is_not_seen_for_a_moment_goes_on() {
        let before = at(0, None, &[]);
        let mut story = Story::new(before.taken_at, Some(&before));
        let graceful = Some((Stage::Graceful, &[][..]));
        for (moment, stage) in [(20, graceful), (40, None), (60, graceful), (80, None), (100, None)]
        {
            story.take(&at(moment, stage, &[]));
        }
        assert_eq!((story.stages().len(), story.stages()[0].ended), (1, None));
        let steps = story.take(&at(120, None, &[]));
        // It was over when it was first not seen any more.
        assert!(matches!(&steps[..], [StoryEvent::Ended(it)] if it.ended.map(ms) == Some(80)));
    }

    #[test]
    fn what_does_not_end_stays_open() {
        let before = at(0, None, &[(1, false)]);
        let mut story = Story::new(before.taken_at, Some(&before));
        for moment in [20, 40, 60] {
            story.take(&at(moment, Some((Stage::CancelAll, &[1])), &[(1, true)]));
        }
        assert_eq!((story.stages().len(), story.stages()[0].ended), (1, None));
        assert_eq!(story.cancelled()[0].ended, None);
        assert_eq!(story.stages()[0].tasks, [Arc::from("t1")]);
    }
}
