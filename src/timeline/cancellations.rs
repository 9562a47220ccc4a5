//! What became of each cancellation, over whole samples: requested, being handled, taken back,
//! swallowed, or the task's end.
//!
//! From Python 3.11 on a task counts its requests, so each sample tells how far one is. Before,
//! nothing is counted: there a request is seen only on its way, or because everything ends, and
//! what became of it is told from where the task is at the next samples. What happens between two
//! samples is not seen: a task that ends at once may be gone with nothing told.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use crate::memory::Address;
use crate::snapshot::{Location, Shutdown, Snapshot, Task};

/// Histories of tasks that are over and are kept.
const MAX_OVER: usize = 256;
/// Tasks that are followed at one time.
const MAX_OPEN: usize = 10_000;
/// Steps of one task that are kept: some are cancelled and take it back again and again.
const MAX_STEPS: usize = 32;

/// How far a cancellation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It was asked for, and the task has not been told.
    Requested,
    /// It was delivered, and the task cleans up.
    CleaningUp,
    /// The task took it back (`uncancel`), as time limits do, and goes on.
    Handled,
    /// The task goes on as if it had not been cancelled.
    Swallowed,
    /// The task has ended.
    Finished,
}

/// One step of a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// How far it is from then on.
    pub fate: Fate,
    /// When that was first seen.
    pub at: Timestamp,
    /// Where the task was; of what was swallowed, the clause that did it, if that is known.
    pub place: Option<Arc<Location>>,
    /// Whether it was so at the first sample: it came about at some time before.
    pub is_earlier: bool,
}

/// What became of a cancellation of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The task.
    pub task: Address,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// Its coroutine.
    pub coroutine: Option<Arc<str>>,
    /// The most requests that were counted.
    pub requests: Option<u64>,
    /// What was seen, in its order.
    pub turns: Vec<Turn>,
    /// What the last sample told for the first time; another has to say so, too.
    pub(crate) suspected: Option<Turn>,
}

impl History {
    /// How far it is.
    pub fn fate(&self) -> Option<Fate> {
        self.turns.last().map(|turn| turn.fate)
    }
}

/// The cancellations of a target.
#[derive(Debug, Default)]
pub struct Cancellations {
    /// Whether there was a sample before.
    has_begun: bool,
    open: FxHashMap<Address, History>,
    over: VecDeque<History>,
    /// The tasks that awaited another one, or handle since what came of that: where nothing is
    /// counted, the `CancelledError` that such a one handles may be the other's.
    awaiting: FxHashSet<Address>,
}

impl Cancellations {
    /// Takes in a whole sample; gives the histories that have a new turn.
    pub fn take(&mut self, now: &Snapshot) -> Vec<History> {
        let ending = now.shutdown.as_ref().map(Shutdown::all_cancelled).unwrap_or_default();
        let is_counted = now.process.counts_cancellations();
        let leaves_requests = now.process.groups_leave_requests();
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let mut told = Vec::new();
        let mut there = FxHashSet::default();
        let mut awaiting = FxHashSet::default();
        for task in &now.tasks {
            if task.is_over() {
                continue;
            }
            let known = self.open.get(&task.id).filter(|known| known.name == task.name);
            if task.requests().is_none() && task.passes_cancellation_on() {
                awaiting.insert(task.id);
            }
            // Most tasks are never cancelled.
            if known.is_none() && task.cancellation.is_none() && !ending.contains(&task.id) {
                continue;
            }
            let of_other = self.awaiting.contains(&task.id);
            let all_end = ending.contains(&task.id);
            let seen = see(task, known, is_counted, of_other, all_end);
            let seen = match seen {
                Seen::Swallowed if leaves_requests && task.swallower.is_none() => Seen::Nothing,
                seen => seen,
            };
            if of_other && known.is_none() && task.is_on_its_way_out() {
                awaiting.insert(task.id);
            }
            let is_told = self.note(task, seen, now, is_first);
            if let Some(history) = self.open.get(&task.id).filter(|it| it.name == task.name) {
                there.insert(task.id);
                told.extend(is_told.then(|| history.clone()));
            }
        }
        self.awaiting = awaiting;
        let gone: Vec<Address> =
            self.open.keys().copied().filter(|id| !there.contains(id)).collect();
        for id in gone {
            let Some(mut history) = self.open.remove(&id) else { continue };
            // Of those that there was no memory for nobody knows whether they have ended.
            if history.turns.is_empty() || now.cut.is_some() {
                continue;
            }
            history.turn(Turn::at(now, Fate::Finished, None));
            told.push(history.clone());
            self.close(history);
        }
        let is_handled = |history: &History| history.fate() == Some(Fate::Handled);
        let handled: Vec<Address> =
            self.open.iter().filter(|(_, it)| is_handled(it)).map(|(id, _)| *id).collect();
        for id in handled {
            if let Some(history) = self.open.remove(&id) {
                self.close(history);
            }
        }
        told
    }

    /// The tasks with a cancellation that is not over, the oldest first.
    pub fn open(&self) -> Vec<&History> {
        let mut all: Vec<&History> = self.open.values().collect();
        let began = |history: &History| history.turns.first().map(|turn| turn.at);
        all.sort_unstable_by_key(|history| (began(history), history.task));
        all
    }

    /// Those that are over, the newest last.
    pub fn over(&self) -> impl DoubleEndedIterator<Item = &History> {
        self.over.iter()
    }

    /// Notes what a sample tells; whether that is something new to be told.
    fn note(&mut self, task: &Task, seen: Seen, now: &Snapshot, is_first: bool) -> bool {
        let (fate, place) = match seen {
            Seen::Nothing => {
                if let Some(known) = self.open.get_mut(&task.id) {
                    known.suspected = None;
                }
                return false;
            }
            Seen::Requested => (Fate::Requested, task.place().cloned()),
            Seen::CleaningUp(place) => (Fate::CleaningUp, place),
            Seen::Handled => (Fate::Handled, task.place().cloned()),
            Seen::Swallowed => {
                let clause = task.swallower.as_ref().map(|it| Arc::clone(&it.location));
                (Fate::Swallowed, clause.or_else(|| task.place().cloned()))
            }
        };
        let is_new = self.open.get(&task.id).is_none_or(|known| known.name != task.name);
        if is_new {
            if self.open.len() >= MAX_OPEN {
                return false;
            }
            // Another task at this address: the one before has ended.
            if let Some(mut before) = self.open.remove(&task.id)
                && !before.turns.is_empty()
            {
                before.turn(Turn::at(now, Fate::Finished, None));
                self.close(before);
            }
            self.open.insert(task.id, History::of(task));
        }
        let Some(history) = self.open.get_mut(&task.id) else { return false };
        history.requests = history.requests.max(task.requests());
        let turn = Turn { is_earlier: is_first, ..Turn::at(now, fate, place) };
        // One sample alone may have caught it on its way from one place to the next.
        if matches!(fate, Fate::Swallowed | Fate::Handled) && history.fate() != Some(fate) {
            return match history.suspected.take() {
                // Where nothing is counted only the first one knows of a clause.
                Some(first) if first.fate == fate || task.requests().is_none() => {
                    history.turn(Turn { at: now.taken_at, ..first })
                }
                _ => {
                    history.suspected = Some(turn);
                    false
                }
            };
        }
        history.suspected = None;
        history.turn(turn)
    }

    fn close(&mut self, history: History) {
        self.over.push_back(history);
        if self.over.len() > MAX_OVER {
            self.over.pop_front();
        }
    }
}

impl Turn {
    fn at(now: &Snapshot, fate: Fate, place: Option<Arc<Location>>) -> Self {
        Self { fate, at: now.taken_at, place, is_earlier: false }
    }
}

impl History {
    fn of(task: &Task) -> Self {
        Self {
            task: task.id,
            name: task.name.clone(),
            coroutine: task.coroutine.clone(),
            requests: None,
            turns: Vec::new(),
            suspected: None,
        }
    }

    /// Whether it is another turn than the last one.
    fn turn(&mut self, turn: Turn) -> bool {
        let is_same = self.turns.last().is_some_and(|last| {
            // Another clean-up behind the first is a new turn, a step within one is none.
            last.fate == turn.fate
                && (turn.fate != Fate::CleaningUp
                    || function(last.place.as_ref()) == function(turn.place.as_ref()))
        });
        if is_same {
            return false;
        }
        if self.turns.len() >= MAX_STEPS {
            // The first one says since when.
            self.turns.remove(1);
        }
        self.turns.push(turn);
        true
    }
}

fn function(place: Option<&Arc<Location>>) -> Option<(&str, &str)> {
    place.map(|at| (&*at.file, &*at.function))
}

/// What one sample tells.
enum Seen {
    Nothing,
    Requested,
    CleaningUp(Option<Arc<Location>>),
    Handled,
    Swallowed,
}

fn see(
    task: &Task,
    known: Option<&History>,
    is_counted: bool,
    of_other: bool,
    is_ending: bool,
) -> Seen {
    let requests = task.requests();
    let Some(told) = &task.cancellation else {
        return match known {
            None if is_ending => Seen::Requested,
            Some(_) if task.goes_on() && is_ending && !task.passes_cancellation_on() => {
                Seen::Swallowed
            }
            Some(known) if !is_counted && known.fate() == Some(Fate::Swallowed) => Seen::Nothing,
            // Whoever counts says so by a count of none; else a clause is found or not.
            Some(_) if task.goes_on() && !is_ending => match &task.swallower {
                Some(_) if !is_counted => Seen::Swallowed,
                _ => Seen::Handled,
            },
            _ => Seen::Nothing,
        };
    };
    if told.must_cancel {
        return Seen::Requested;
    }
    // The one it awaits was cancelled: it will be told of that, and was not asked to end itself.
    let is_others = match requests {
        Some(count) => count == 0,
        None => known.is_none() && (of_other || task.passes_cancellation_on()) && !is_ending,
    };
    if let Some(at) = told.handling {
        let place = || task.frames.get(at).map(|frame| Arc::clone(&frame.location));
        return if is_others { Seen::Nothing } else { Seen::CleaningUp(place()) };
    }
    if told.in_flight {
        return if is_others { Seen::Nothing } else { Seen::Requested };
    }
    match requests {
        Some(count) if count > 0 => {
            if task.passes_cancellation_on() {
                // It is told when what it awaits has ended.
                if known.is_none() { Seen::Requested } else { Seen::Nothing }
            } else if task.is_owed_by_time() || !task.is_parked() {
                Seen::Nothing
            } else if task.goes_on() {
                Seen::Swallowed
            } else {
                Seen::CleaningUp(task.place().cloned())
            }
        }
        _ if known.is_some() && task.goes_on() => Seen::Handled,
        _ => Seen::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::diagnose::tests::{Builder, Scene, task};
    use crate::snapshot::{Stage, Swallower};

    /// What is told of these samples of one task (or none), a second apart, by the second.
    fn told(samples: Vec<Option<Builder>>) -> Vec<(i64, Fate)> {
        told_of(samples.into_iter().map(|it| Scene::new().with(it)).collect())
    }

    fn told_of(scenes: Vec<Scene>) -> Vec<(i64, Fate)> {
        let mut cancellations = Cancellations::default();
        let mut told = Vec::new();
        for (second, mut scene) in (0..).zip(scenes) {
            scene.snapshot.later(Duration::from_secs(second));
            for history in cancellations.take(&scene.snapshot) {
                let turn = history.turns.last().unwrap();
                told.push((turn.at.as_second(), turn.fate));
            }
        }
        told
    }

    fn requested(count: u64) -> Builder {
        task(1).reads_socket().requested(count)
    }

    fn on_its_way() -> Builder {
        requested(1).cancelled(|told| told.in_flight = true)
    }

    fn cleans_up() -> Builder {
        requested(1).cancelled(|told| told.handling = Some(0))
    }

    #[test]
    fn requested_cleaning_up_and_gone() {
        let all = vec![
            Some(task(1).reads_socket()),
            Some(on_its_way()),
            Some(on_its_way()),
            Some(cleans_up()),
            Some(cleans_up()),
            None,
        ];
        let expected = [(1, Fate::Requested), (3, Fate::CleaningUp), (5, Fate::Finished)];
        assert_eq!(told(all), expected);
    }

    #[test]
    fn swallowed_is_told_by_the_second_sample() {
        let goes_on = || Some(requested(1));
        let all = vec![Some(on_its_way()), goes_on(), goes_on(), goes_on(), None];
        let expected = [(0, Fate::Requested), (2, Fate::Swallowed), (4, Fate::Finished)];
        assert_eq!(told(all), expected);
        // Back on its way in between: a second request.
        let all = vec![goes_on(), Some(on_its_way()), goes_on()];
        assert_eq!(told(all), [(1, Fate::Requested)]);
    }

    #[test]
    fn what_was_so_at_the_first_sample_came_about_before() {
        let earlier = |samples: Vec<Option<Builder>>| -> Vec<(Fate, bool)> {
            let mut cancellations = Cancellations::default();
            let scenes = samples.into_iter().map(|it| Scene::new().with(it));
            let told = scenes.flat_map(|scene| cancellations.take(&scene.snapshot));
            let told = told.map(|history| history.turns.last().unwrap().clone());
            told.map(|turn| (turn.fate, turn.is_earlier)).collect()
        };
        let goes_on = || Some(requested(1));
        let well = || Some(task(1).reads_socket());
        assert_eq!(earlier(vec![goes_on(), goes_on(), goes_on()]), [(Fate::Swallowed, true)]);
        assert_eq!(earlier(vec![well(), goes_on(), goes_on()]), [(Fate::Swallowed, false)]);
        let all = vec![Some(on_its_way()), goes_on(), goes_on(), None];
        let expected = [(Fate::Requested, true), (Fate::Swallowed, false), (Fate::Finished, false)];
        assert_eq!(earlier(all), expected);
        let all = vec![Some(cleans_up()), Some(cleans_up()), None];
        assert_eq!(earlier(all), [(Fate::CleaningUp, true), (Fate::Finished, false)]);
    }

    #[test]
    fn what_is_taken_back_is_handled_and_may_come_again() {
        let well = || Some(requested(0));
        let all = vec![Some(on_its_way()), well(), well(), well(), Some(on_its_way())];
        let expected = [(0, Fate::Requested), (2, Fate::Handled), (4, Fate::Requested)];
        assert_eq!(told(all), expected);
    }

    #[test]
    fn the_error_of_another_task_is_no_request() {
        let of_other = || {
            let awaits = task(1).awaits(&[]);
            awaits.requested(0).cancelled(|told| told.in_flight = true)
        };
        assert_eq!(told(vec![Some(of_other()), Some(of_other()), None]), []);
        let old =
            |change: fn(&mut crate::snapshot::Cancellation)| task(1).awaits(&[]).cancelled(change);
        let all = vec![
            Some(task(1).awaits(&[])),
            Some(old(|told| told.in_flight = true)),
            Some(old(|told| told.handling = Some(0))),
            Some(task(1).sleeps(100).cancelled(|told| told.handling = Some(0))),
            Some(task(1).sleeps(100).cancelled(|told| told.handling = Some(0))),
            Some(task(1).reads_socket()),
        ];
        assert_eq!(told(all), []);
    }

    #[test]
    fn without_a_count_the_way_of_the_task_tells() {
        let old = || task(1).reads_socket().cancelled(|told| told.must_cancel = true);
        let eaten = || {
            task(1).reads_socket().and(|task| {
                task.swallower = Some(Swallower {
                    location: Arc::clone(&task.frames[0].location),
                    clause: "except",
                    is_sure: true,
                });
            })
        };
        let goes_on = || Some(task(1).reads_socket());
        let in_old = |samples: Vec<Option<Builder>>| {
            let python = |it: &mut Snapshot| it.process.python = Some("3.9.1".to_owned());
            told_of(samples.into_iter().map(|it| Scene::new().with(it).and(python)).collect())
        };
        let swallowed = vec![Some(old()), Some(eaten()), goes_on(), goes_on(), goes_on(), None];
        let expected = [(0, Fate::Requested), (2, Fate::Swallowed), (5, Fate::Finished)];
        assert_eq!(in_old(swallowed), expected);
        let converted = vec![Some(old()), goes_on(), goes_on(), None];
        assert_eq!(in_old(converted), [(0, Fate::Requested), (2, Fate::Handled)]);
    }

    #[test]
    fn when_everything_ends_all_were_cancelled() {
        let ending = || {
            Scene::new().with([task(1).reads_socket()]).and(|snapshot| {
                snapshot.shutdown = Some(Shutdown {
                    stage: Stage::CancelAll,
                    by: "asyncio.run".to_owned(),
                    loop_id: None,
                    frame: None,
                    task: None,
                    grounds: None,
                    tasks: vec![Address(1)],
                    threads: Vec::new(),
                });
            })
        };
        let all = vec![ending(), ending(), ending(), Scene::new()];
        let expected = [(0, Fate::Requested), (2, Fate::Swallowed), (3, Fate::Finished)];
        assert_eq!(told_of(all), expected);
    }

    #[test]
    fn histories_are_bounded() {
        let mut cancellations = Cancellations::default();
        for second in 0..600 {
            let sample = if second % 3 == 0 { on_its_way() } else { requested(0) };
            let mut scene = Scene::new().with([sample]);
            scene.snapshot.later(Duration::from_secs(second));
            cancellations.take(&scene.snapshot);
        }
        assert_eq!(cancellations.over().count(), 200);
        assert!(cancellations.over().all(|history| history.turns.len() == 2));
    }
}
