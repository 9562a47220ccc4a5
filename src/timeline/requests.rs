//! Requests that take long.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustc_hash::FxHashSet;

use super::Lives;
use crate::memory::Address;
use crate::snapshot::{Age, Location, Snapshot, Source, Task, Work, WorkKind};

/// Requests of which is told one by one which tasks work for them.
const MAX_NAMED: usize = 5;

/// Requests that are alike, have been in flight for long, and were not told of before.
#[derive(Debug, Clone)]
pub struct Slow {
    /// When that was seen.
    pub at: Timestamp,
    /// How many they are.
    pub count: usize,
    /// The oldest of them, by its route.
    pub work: Arc<Work>,
    /// How long that has been in flight.
    pub age: Age,
    /// The line of the program that it is at.
    pub place: Option<Arc<Location>>,
    /// What it waits for there, in words.
    pub waiting: Option<String>,
    /// Tasks that work for the first of them.
    pub tasks: Vec<Address>,
}

/// Those requests in flight that take long.
#[derive(Debug, Default)]
pub struct Requests {
    told: FxHashSet<Address>,
}

impl Requests {
    /// Takes in a snapshot; gives those that have come to be in flight for as long as `slow`. Whether a
    /// request is the one of the snapshot before is told by its age alone: its object may be another
    /// one's by then.
    pub fn take(&mut self, snapshot: &Snapshot, lives: &Lives, slow: Duration) -> Vec<Slow> {
        let takes_long = |task: &Task| {
            let request = request_of(task)?;
            let age = age(task, lives).filter(|age| age.time >= slow)?;
            Some((request, age))
        };
        let long = || snapshot.tasks.iter().filter_map(|task| Some(takes_long(task)?.0));
        let told = std::mem::replace(&mut self.told, long().collect());
        let mut new: FxHashSet<Address> = long().filter(|it| !told.contains(it)).collect();
        if new.is_empty() {
            return Vec::new();
        }
        let mut all = Vec::new();
        for group in snapshot.main_groups() {
            let tasks = group.tasks.iter().filter_map(|&task| Some((task, takes_long(task)?)));
            let tasks = tasks.filter(|(_, (request, _))| new.remove(request));
            let tasks: Vec<_> = tasks.map(|(task, (_, age))| (task, age)).collect();
            let Some(&(oldest, age)) = tasks.iter().max_by_key(|(_, age)| age.time) else {
                continue;
            };
            let Some(work) = &oldest.work else { continue };
            let waiting = oldest.waiting_on.as_deref().map(|waiting| waiting.description.clone());
            all.push(Slow {
                at: snapshot.taken_at,
                count: tasks.len(),
                work: Arc::clone(work),
                age,
                place: oldest.place().map(Arc::clone),
                waiting: waiting.filter(|waiting| !waiting.is_empty()),
                tasks: tasks.iter().take(MAX_NAMED).map(|(task, _)| task.id).collect(),
            });
        }
        all
    }
}

/// The request that a task works for.
fn request_of(task: &Task) -> Option<Address> {
    let work = task.work.as_deref().filter(|work| work.kind == Some(WorkKind::Request))?;
    if task.is_over() { None } else { work.identity }
}

/// How old the request of a task is: it was there before its task came to where it waits.
fn age(task: &Task, lives: &Lives) -> Option<Age> {
    let known = task.work.as_deref().and_then(|work| work.since);
    let seen = lives.of(task).and_then(|life| life.at_await);
    let seen = seen.map(|time| Age::at_least(time, Source::Samples));
    known.into_iter().chain(seen).max_by_key(|age| age.time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Scene, task};

    /// A task that works for a request of some age at its lock.
    fn request(number: u64, seconds: Option<u64>) -> Task {
        let mut task = Task { id: Address(number), ..task(1).at_lock(900, &[99]).task };
        let since = seconds.map(|it| Age::at_least(Duration::from_secs(it), Source::Connection));
        task.work = Some(Arc::new(Work {
            kind: Some(WorkKind::Request),
            verb: Some("GET".into()),
            name: "/stock/{sku}".into(),
            identity: Some(Address(number + 5000)),
            since,
            ..Work::default()
        }));
        task
    }

    #[test]
    fn each_is_told_once_with_those_that_are_like_it() {
        let mut requests = Requests::default();
        let mut take = |ages: &[(u64, u64)]| {
            let tasks = ages.iter().map(|&(number, age)| request(number, Some(age)));
            let snapshot = Snapshot { tasks: tasks.collect(), ..Scene::new().snapshot };
            let slow = requests.take(&snapshot, &Lives::default(), Duration::from_secs(5));
            slow.iter().map(|it| (it.count, it.age.time.as_secs())).collect::<Vec<_>>()
        };
        assert_eq!(take(&[(1, 4), (2, 3)]), []);
        assert_eq!(take(&[(1, 5), (2, 6), (3, 1)]), [(2, 6)]);
        assert_eq!(take(&[(1, 7), (2, 8), (3, 3)]), []);
        // The object of the first is that of another request by now.
        assert_eq!(take(&[(1, 1), (2, 10), (3, 5)]), [(1, 5)]);
        assert_eq!(take(&[(1, 5), (2, 12), (3, 7)]), [(1, 5)]);
    }

    #[test]
    fn tasks_of_one_request_are_one() {
        let (one, mut other) = (request(1, Some(9)), request(2, Some(9)));
        other.work = one.work.clone();
        let snapshot = Snapshot { tasks: vec![one, other], ..Scene::new().snapshot };
        let slow = Requests::default().take(&snapshot, &Lives::default(), Duration::from_secs(5));
        assert_eq!(slow.len(), 1);
        assert_eq!((slow[0].count, &*slow[0].work.to_string()), (1, "GET /stock/{sku}"));
    }

    #[test]
    fn one_without_an_age_is_as_old_as_its_task_was_seen_to_wait() {
        let (mut requests, mut lives) = (Requests::default(), Lives::default());
        let mut told = Vec::new();
        for second in 0..8 {
            let mut snapshot = Scene::new().snapshot;
            snapshot.tasks = vec![request(1, None)];
            snapshot.later(Duration::from_secs(second));
            lives.take(&snapshot);
            let slow = requests.take(&snapshot, &lives, Duration::from_secs(5));
            told.extend(slow.iter().map(|it| (second, it.age)));
        }
        assert_eq!(told, [(5, Age::at_least(Duration::from_secs(5), Source::Samples))]);
    }
}
