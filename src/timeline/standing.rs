//! Which tasks do not go on: those that are stuck, told apart from those that are idle by nature.
//!
//! A sleeper, a server that waits for connections and a worker that waits for work stand still for
//! hours and are well. A task that waits for others is what these are. Whoever else has been at
//! one and the same await for long is stuck, as far as can be told from what it waits for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use super::Lives;
use crate::known::purpose::{Io, Purpose};
use crate::memory::Address;
use crate::snapshot::{Frame, Operation, Snapshot, Socket, Task, WaitKind, Waiting};

/// Tasks of one kind that are named.
const MAX_NAMED: usize = 32;

/// Why a task that stands still is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Idle {
    /// It sleeps, and its time has not come.
    Sleeping,
    /// It waits for connections.
    Accepting,
    /// It waits for an item of a queue that is empty.
    Consuming,
    /// It waits for its client to say something.
    Listening,
    /// The first task of the program waits for an event: its end.
    Main,
    /// It waits for tasks that are idle.
    Awaiting,
}

/// Tasks of one shape that are stuck at one place.
#[derive(Debug, Clone, Serialize)]
pub struct Stuck {
    /// Their coroutine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coroutine: Option<Arc<str>>,
    /// The function, in the program's own code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<Arc<str>>,
    /// Its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Arc<str>>,
    /// The line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What kind of thing they wait for.
    pub kind: WaitKind,
    /// The same in words, of the one that has waited longest.
    pub waiting_for: String,
    /// How many there are.
    pub count: usize,
    /// For how long the first of them has been there.
    #[serde(rename = "longest_ms", serialize_with = "crate::snapshot::millis::serialize")]
    pub longest: Duration,
    /// They, the longest first, at most 32.
    pub tasks: Vec<Address>,
}

/// The tasks that do not go on.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Standing {
    /// How many are idle, by why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub idle: BTreeMap<Idle, usize>,
    /// Those that are stuck, the largest group first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<Stuck>,
    /// How many wait for these in the end.
    #[serde(skip_serializing_if = "is_zero")]
    pub behind: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde asks for")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Standing {
    /// Of a snapshot, with what is known of its tasks' lives: stuck is who has been at one await
    /// for `stuck_after`.
    pub fn of(snapshot: &Snapshot, lives: &Lives, stuck_after: Duration) -> Self {
        let mut standing = Self::default();
        let mut stuck = Vec::new();
        // Those that go on, and those that are to be told by whom they wait for.
        let (mut moving, mut awaiting) = (Vec::new(), Vec::new());
        for task in &snapshot.tasks {
            if task.is_over() {
                continue;
            }
            let Some(waiting) = task.waiting_on.as_deref().filter(|_| task.is_parked()) else {
                moving.push(task.id);
                continue;
            };
            if let Some(idle) = idle(task, waiting) {
                *standing.idle.entry(idle).or_default() += 1;
            } else if !waiting.tasks().is_empty() {
                awaiting.push(task);
            } else {
                let stood = lives.of(task).and_then(|life| life.at_await).unwrap_or_default();
                if stood >= stuck_after {
                    stuck.push((stood, task, waiting));
                } else {
                    moving.push(task.id);
                }
            }
        }
        let by_id = snapshot.tasks.iter().map(|task| (task.id, task)).collect();
        let held = above(&by_id, stuck.iter().map(|(_, task, _)| task.id).collect());
        let busy = above(&by_id, moving);
        standing.behind = awaiting.iter().filter(|task| held.contains(&task.id)).count();
        let is_idle = |task: &&Task| !held.contains(&task.id) && !busy.contains(&task.id);
        let resting = awaiting.into_iter().filter(is_idle).count();
        if resting > 0 {
            standing.idle.insert(Idle::Awaiting, resting);
        }
        standing.stuck = groups(stuck);
        standing
    }

    /// How many are stuck.
    pub fn stuck_count(&self) -> usize {
        self.stuck.iter().map(|group| group.count).sum()
    }

    /// How many are idle.
    pub fn idle_count(&self) -> usize {
        self.idle.values().sum()
    }
}

/// Why a parked task is well, as far as its own wait tells.
fn idle(task: &Task, waiting: &Waiting) -> Option<Idle> {
    let serves = |frame: &Frame| frame.location.purpose() == Some(Purpose::Io(Io::Serve));
    if task.frames.iter().any(serves) {
        return Some(Idle::Accepting);
    }
    match (waiting.kind(), waiting.operation()) {
        (WaitKind::Timer, _) => {
            waiting.due_in.is_some_and(|due| due.is_positive()).then_some(Idle::Sleeping)
        }
        (WaitKind::Socket, Some(Operation::Accept)) => Some(Idle::Accepting),
        (WaitKind::Socket, _) if waiting.socket().is_some_and(is_listening) => {
            Some(Idle::Accepting)
        }
        (WaitKind::Socket, Some(Operation::Read)) => {
            waiting.socket().is_some_and(|it| it.is_accepted).then_some(Idle::Listening)
        }
        (WaitKind::Queue, Some(Operation::Get)) => {
            (waiting.count().value == Some(0)).then_some(Idle::Consuming)
        }
        // The name that asyncio gives to the first task of a program.
        (WaitKind::Event, _) => (task.name.as_deref() == Some("Task-1")).then_some(Idle::Main),
        _ => None,
    }
}

fn is_listening(socket: &Socket) -> bool {
    socket.state == Some("listening")
}

/// All tasks that wait for some of these in the end.
fn above(by_id: &FxHashMap<Address, &Task>, these: Vec<Address>) -> FxHashSet<Address> {
    let mut found = FxHashSet::default();
    let mut next = these;
    while let Some(id) = next.pop() {
        let awaiters = by_id.get(&id).into_iter().flat_map(|task| &task.awaited_by);
        next.extend(awaiters.copied().filter(|&awaiter| found.insert(awaiter)));
    }
    found
}

/// Those of one coroutine at one place together.
fn groups(mut stuck: Vec<(Duration, &Task, &Waiting)>) -> Vec<Stuck> {
    stuck.sort_by_key(|(stood, task, _)| (std::cmp::Reverse(*stood), task.id));
    let mut places = FxHashMap::default();
    let mut all: Vec<Stuck> = Vec::new();
    for (stood, task, waiting) in stuck {
        let place = task.place();
        let key = (&task.coroutine, place, waiting.kind());
        let next = all.len();
        let at = *places.entry(key).or_insert(next);
        if at == next {
            all.push(Stuck {
                coroutine: task.coroutine.clone(),
                function: place.map(|at| Arc::clone(&at.function)),
                file: place.map(|at| Arc::clone(&at.file)),
                line: place.and_then(|at| at.line),
                kind: waiting.kind(),
                waiting_for: waiting.description.clone(),
                count: 0,
                longest: stood,
                tasks: Vec::new(),
            });
        }
        if let Some(group) = all.get_mut(at) {
            group.count += 1;
            if group.tasks.len() < MAX_NAMED {
                group.tasks.push(task.id);
            }
        }
    }
    all.sort_by_key(|group| std::cmp::Reverse((group.count, group.longest)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, task};
    use crate::snapshot::{Descriptor, TaskState, Wait};

    const AFTER: Duration = Duration::from_secs(10);

    /// The same tasks for so many seconds.
    fn standing(tasks: &[Builder], seconds: u64) -> Standing {
        let mut lives = Lives::default();
        let mut scene = Scene::new().with(tasks.iter().cloned());
        lives.take(&scene.snapshot);
        scene.snapshot.later(Duration::from_secs(seconds));
        lives.take(&scene.snapshot);
        Standing::of(&scene.snapshot, &lives, AFTER)
    }

    fn socket(local: &str, client: Option<&str>, state: &'static str) -> Socket {
        Socket {
            protocol: "tcp",
            local: Some(local.to_owned()),
            remote: None,
            state: Some(state),
            receive_queue: None,
            send_queue: None,
            tcp: None,
            is_watched: None,
            is_accepted: client.is_some(),
            client: client.map(str::to_owned),
        }
    }

    fn reads(socket: Socket) -> Wait {
        Wait::Socket(Descriptor {
            operation: Some(Operation::Read),
            socket: Some(Box::new(socket)),
            ..Descriptor::default()
        })
    }

    #[test]
    fn who_stands_for_long_is_stuck_unless_that_is_its_nature() {
        let upstream = |number| {
            task(number).reads_socket().and(|task| {
                task.coroutine = Some("fetch".into());
                task.frames.clear();
            })
        };
        let tasks = [
            upstream(1),
            upstream(2),
            task(3).sleeps(60_000),
            task(4).waits(reads(socket("0.0.0.0:80", None, "listening"))),
            task(5).waits(reads(socket("10.0.0.1:80", Some("10.0.0.9:40123"), "established"))),
            task(6).at_queue(Operation::Get, 0, 0),
            task(7).at_event().and(|task| task.name = Some("Task-1".into())),
        ];
        let standing_long = standing(&tasks, 12);
        let [group] = &standing_long.stuck[..] else { panic!("{standing_long:#?}") };
        assert_eq!((group.count, group.longest.as_secs()), (2, 12));
        assert_eq!(group.tasks, [Address(1), Address(2)]);
        let idle = [Idle::Sleeping, Idle::Accepting, Idle::Consuming, Idle::Listening, Idle::Main];
        assert_eq!(standing_long.idle, idle.map(|idle| (idle, 1)).into());
        assert_eq!(standing(&tasks, 8).stuck_count(), 0);
    }

    #[test]
    fn who_waits_for_others_is_what_they_are() {
        let awaits = |number, of: u64| task(number).awaits(&[of]);
        let awaited =
            |builder: Builder, by: u64| builder.and(|task| task.awaited_by = vec![Address(by)]);
        let tasks = [
            awaited(task(1).reads_socket(), 2),
            awaited(awaits(2, 1), 3),
            awaits(3, 2),
            awaited(task(4).sleeps(60_000), 5),
            awaits(5, 4),
            awaited(task(6).and(|task| task.state = Some(TaskState::Running)), 7),
            awaits(7, 6),
        ];
        let all = standing(&tasks, 12);
        assert_eq!((all.stuck_count(), all.behind), (1, 2));
        assert_eq!(all.idle, [(Idle::Sleeping, 1), (Idle::Awaiting, 1)].into());
    }

    #[test]
    fn a_timer_that_is_overdue_is_no_sleep() {
        let late = task(1).sleeps(-3_000);
        assert_eq!(standing(&[late], 12).stuck_count(), 1);
    }
}
