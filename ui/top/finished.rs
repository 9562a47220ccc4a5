//! Requests and jobs of the last minute: how many were in flight, and which have finished, as far as
//! samples show that.
//!
//! One that comes and goes between two samples is not seen. So many as were seen have finished at
//! least; and as those that were not seen took no longer than from one sample to the next, shares of
//! all took so long at most.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{Interval, Snapshot, Subject, SubjectKind, Task, TaskState, WorkKind};
use aiospy::timeline::Lives;
use rustc_hash::{FxHashMap, FxHashSet};

/// The time that is looked back at.
pub const WINDOW: Duration = Duration::from_secs(60);
/// From here on a rate says something.
const LEAST_WINDOW: Duration = Duration::from_secs(10);
/// So many have to have finished to tell how long they take.
const LEAST: usize = 5;
/// How many that have finished are kept, and how many moments of samples.
const MAX_OVER: usize = 16_384;
const MAX_SAMPLES: usize = 8_192;
/// The time that one point of what was in flight stands for, how many points there are, and how many
/// works each has.
const POINT: Duration = Duration::from_secs(6);
pub const POINTS: usize = 10;
const MAX_WORKS: usize = 1_000;

/// What is known of those that do one work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// So many have finished at least.
    pub count: usize,
    /// How many at most were seen in flight at once, the latest last; nothing where none was looked for.
    pub in_flight: [Option<u32>; POINTS],
    /// So many a second finish at least.
    pub rate: Option<f64>,
    /// Half of them, and all but one in twenty, took so long at most.
    pub p50: Option<Duration>,
    pub p95: Option<Duration>,
}

/// That of all works that were seen.
pub type Finished = FxHashMap<Subject, Figures>;

/// Follows requests and jobs.
#[derive(Default)]
pub struct Finishing {
    open: FxHashMap<Address, Open>,
    over: VecDeque<Over>,
    /// The most of each work that one sample has shown, by the number of the point.
    in_flight: VecDeque<(u64, FxHashMap<Arc<Subject>, u32>)>,
    /// When the samples of the window were taken, and the one before it.
    samples: VecDeque<Interval>,
    /// When the first one was.
    first: Option<Duration>,
}

/// One that is under way.
struct Open {
    subject: Arc<Subject>,
    path: Option<Arc<str>>,
    /// When a sample was begun that it was not in yet; nothing for what was there at first.
    absent: Option<Duration>,
    /// The tasks that work for it, and how long each was known.
    tasks: Vec<(Address, Duration)>,
}

/// One that has finished.
struct Over {
    at: Duration,
    subject: Arc<Subject>,
    /// How long it took at most.
    most: Option<Duration>,
}

impl Finishing {
    /// Takes in a whole sample, and the lives of its tasks.
    pub fn take(&mut self, snapshot: &Snapshot, lives: &Lives) {
        // What could not be read may be there all the same.
        if !snapshot.problems.is_empty() {
            return;
        }
        let Interval { began, ended } = snapshot.during;
        let before = self.samples.back().map(|before| before.began);
        let mut present: FxHashMap<Address, Open> = FxHashMap::default();
        for task in &snapshot.tasks {
            let Some(known) = Self::of(task, before, lives) else { continue };
            let identity = task.work.as_deref().and_then(|work| work.identity);
            let Some(identity) = identity else { continue };
            match present.get_mut(&identity) {
                Some(other) => other.tasks.extend(known.tasks),
                None => _ = present.insert(identity, known),
            }
        }
        let unclear = snapshot.tasks.iter().filter(|task| is_unclear(task)).map(|task| task.id);
        let unclear: FxHashSet<Address> = unclear.collect();
        for (identity, known) in self.open.drain() {
            match present.get_mut(&identity) {
                Some(now) if known.is_same(now) => now.absent = known.absent,
                // Of one that runs, or changed while it was read, it is not known what it works for.
                None if known.tasks.iter().any(|(id, _)| unclear.contains(id)) => {
                    present.insert(identity, known);
                }
                _ => {
                    let most = known.absent.map(|absent| ended.saturating_sub(absent));
                    self.over.push_back(Over { at: ended, subject: known.subject, most });
                }
            }
        }
        self.open = present;
        self.count(began);
        self.first.get_or_insert(began);
        self.samples.push_back(snapshot.during);
        let from = began.saturating_sub(WINDOW);
        let is_old = |second: &Interval| second.began < from;
        while self.samples.len() > MAX_SAMPLES || self.samples.get(1).is_some_and(is_old) {
            self.samples.pop_front();
        }
        while self.over.len() > MAX_OVER || self.over.front().is_some_and(|it| it.at < from) {
            self.over.pop_front();
        }
    }

    /// Takes in how many there are of each work.
    fn count(&mut self, at: Duration) {
        let mut now: FxHashMap<&Arc<Subject>, u32> = FxHashMap::default();
        for open in self.open.values() {
            *now.entry(&open.subject).or_insert(0) += 1;
        }
        let number = point(at);
        if self.in_flight.back().is_none_or(|(last, _)| *last != number) {
            self.in_flight.push_back((number, FxHashMap::default()));
        }
        if self.in_flight.len() > POINTS {
            self.in_flight.pop_front();
        }
        let Some((_, most)) = self.in_flight.back_mut() else { return };
        for (subject, count) in now {
            if let Some(most) = most.get_mut(subject) {
                *most = count.max(*most);
            } else if most.len() < MAX_WORKS {
                most.insert(Arc::clone(subject), count);
            }
        }
    }

    /// What was in flight of one work, of those points in which there were samples.
    fn points(&self, subject: &Subject, last: u64) -> [Option<u32>; POINTS] {
        let mut points = [None; POINTS];
        for (number, most) in &self.in_flight {
            let back = usize::try_from(last.saturating_sub(*number)).unwrap_or(POINTS);
            let at = (POINTS - 1).checked_sub(back).and_then(|at| points.get_mut(at));
            if let Some(at) = at {
                *at = Some(most.get(subject).copied().unwrap_or(0));
            }
        }
        points
    }

    fn of(task: &Task, absent: Option<Duration>, lives: &Lives) -> Option<Open> {
        let work = task.work.as_deref()?;
        let kind = work.kind.filter(|it| matches!(it, WorkKind::Request | WorkKind::Job))?;
        if task.is_over() {
            return None;
        }
        let age = lives.of(task).map(|life| life.age).unwrap_or_default();
        let subject = Subject { kind: SubjectKind::Work(kind), name: work.to_string() };
        let (subject, path) = (Arc::new(subject), work.path.clone());
        Some(Open { subject, path, absent, tasks: vec![(task.id, age)] })
    }

    /// What is known now.
    pub fn figures(&self) -> Finished {
        let mut lengths: FxHashMap<&Subject, Vec<Duration>> = FxHashMap::default();
        for subject in self.in_flight.iter().flat_map(|(_, most)| most.keys()) {
            lengths.entry(subject).or_default();
        }
        for over in &self.over {
            lengths.entry(&over.subject).or_default().push(over.most.unwrap_or(Duration::MAX));
        }
        let last = self.samples.back().map(|last| last.began).unwrap_or_default();
        let window = last.saturating_sub(self.first.unwrap_or(last)).min(WINDOW);
        let pairs = self.samples.iter().zip(self.samples.iter().skip(1));
        let gap = pairs.map(|(one, next)| one.most_until(next)).max().unwrap_or_default();
        let figures = lengths.into_iter().map(|(subject, mut lengths)| {
            lengths.sort_unstable();
            let at = |percent: usize| {
                let rank = (lengths.len() * percent).div_ceil(100).saturating_sub(1);
                let most = lengths.get(rank).copied().filter(|_| lengths.len() >= LEAST);
                most.map(|most| most.max(gap)).filter(|most| *most < Duration::MAX)
            };
            let (p50, p95) = (at(50), at(95));
            #[expect(clippy::cast_precision_loss, reason = "some thousands")]
            let rate = lengths.len() as f64 / window.as_secs_f64();
            let rate = (window >= LEAST_WINDOW && !lengths.is_empty()).then_some(rate);
            let in_flight = self.points(subject, point(last));
            (subject.clone(), Figures { count: lengths.len(), in_flight, rate, p50, p95 })
        });
        figures.collect()
    }
}

/// The number of the point that a moment is in.
fn point(at: Duration) -> u64 {
    at.as_secs() / POINT.as_secs()
}

impl Open {
    /// Whether it is this one, as far as that can be told: another one may lie at its address.
    fn is_same(&self, now: &Self) -> bool {
        let is_other_path = self.path.is_some() && now.path.is_some() && self.path != now.path;
        let mut ages = now.tasks.iter().filter_map(|(id, age)| {
            let before = self.tasks.iter().find(|(known, _)| known == id)?;
            Some((before.1, *age))
        });
        let is_other_task = now.tasks.len() == 1 && ages.all(|(before, age)| age < before);
        let is_known = now.tasks.iter().any(|(id, _)| self.tasks.iter().any(|(it, _)| it == id));
        !(is_other_path || is_known && is_other_task)
    }
}

/// Whether it cannot be told what a task works for.
fn is_unclear(task: &Task) -> bool {
    let is_at_rest = task.state == Some(TaskState::Pending) || task.is_over();
    task.work.is_none() && (task.is_torn || !is_at_rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text::sample::{snapshot, task};
    use aiospy::snapshot::{Problem, Work};

    /// A request by its number, which is that of its task, too.
    fn request(number: u64) -> Task {
        let mut task = task(number, &format!("Task-{number}"), &["get /srv/shop.py:20"], &[]);
        task.work = Some(Arc::new(Work {
            kind: Some(WorkKind::Request),
            verb: Some("GET".into()),
            name: "/stock/{sku}".into(),
            identity: Some(Address(0x9000 + number)),
            ..Work::default()
        }));
        task
    }

    #[derive(Default)]
    struct Series {
        finishing: Finishing,
        lives: Lives,
        now: Duration,
    }

    impl Series {
        /// A sample a tenth of a second after the one before.
        fn sample(&mut self, tasks: Vec<Task>) {
            self.change(tasks, |_| ());
        }

        fn change(&mut self, tasks: Vec<Task>, change: impl FnOnce(&mut Snapshot)) {
            self.now += Duration::from_millis(100);
            let mut snapshot = snapshot(tasks);
            snapshot.during = Interval::at(self.now);
            change(&mut snapshot);
            self.lives.take(&snapshot);
            self.finishing.take(&snapshot, &self.lives);
        }

        /// How many are known to have finished, and what half of them took at most.
        fn told(&self) -> (usize, Option<Duration>) {
            let figures = self.finishing.figures();
            (self.finishing.over.len(), figures.values().next().and_then(|it| it.p50))
        }
    }

    #[test]
    fn what_took_long_is_told_and_what_was_there_before_has_no_length() {
        let mut series = Series::default();
        for number in 0..6 {
            series.sample(vec![request(number)]);
            series.sample(vec![request(number)]);
            series.sample(Vec::new());
        }
        // Seen twice: from the sample before to the one behind.
        assert_eq!(series.told(), (6, Some(Duration::from_millis(300))));
        let rate = series.finishing.figures().values().next().unwrap().rate;
        assert_eq!(rate, None, "too soon");
        let mut series = Series::default();
        series.sample((0..6).map(request).collect());
        series.sample(Vec::new());
        assert_eq!(series.told(), (6, None));
    }

    #[test]
    fn no_length_is_shorter_than_what_no_sample_would_have_shown() {
        let mut series = Series::default();
        for number in 0..6 {
            series.sample(vec![request(number)]);
            series.sample(Vec::new());
        }
        assert_eq!(series.told().1, Some(Duration::from_millis(200)));
        series.now += Duration::from_secs(3);
        series.sample(Vec::new());
        assert_eq!(series.told().1, Some(Duration::from_millis(3_100)));
    }

    #[test]
    fn what_may_still_be_there_has_not_finished() {
        let mut series = Series::default();
        series.sample(vec![request(1)]);
        let [place, wanted, cause] = ["tasks", "a task", "changed"].map(str::to_owned);
        let problem = Problem { place, wanted, cause };
        series.change(Vec::new(), |snapshot| snapshot.problems.push(problem));
        assert_eq!(series.told().0, 0);
        let mut torn = Task { work: None, is_torn: true, ..request(1) };
        series.sample(vec![torn.clone()]);
        assert_eq!(series.told().0, 0);
        (torn.is_torn, torn.state) = (false, Some(TaskState::Running));
        series.sample(vec![torn.clone()]);
        series.sample(vec![request(1)]);
        assert_eq!(series.told().0, 0);
        // One that waits and works for nothing has finished with it.
        torn.state = Some(TaskState::Pending);
        series.sample(vec![torn]);
        assert_eq!(series.told().0, 1);
    }

    #[test]
    fn another_one_at_the_same_address_is_another_one() {
        let mut series = Series::default();
        let at_path = |path: &str| {
            let mut task = request(1);
            Arc::make_mut(task.work.as_mut().unwrap()).path = Some(path.into());
            task
        };
        series.sample(vec![at_path("/a")]);
        series.sample(vec![at_path("/a")]);
        assert_eq!(series.told().0, 0);
        series.sample(vec![at_path("/b")]);
        assert_eq!(series.told().0, 1);
        series.sample(vec![Task { name: Some("Task-2".into()), ..at_path("/b") }]);
        assert_eq!(series.told().0, 2);
    }

    #[test]
    fn the_most_that_a_sample_has_shown_is_kept_for_a_minute() {
        let mut series = Series { now: Duration::from_secs(60), ..Series::default() };
        let told = |series: &Series| series.finishing.figures().into_values().next();
        series.sample((0..3).map(request).collect());
        series.sample((0..2).map(request).collect());
        let none = [None; POINTS - 1];
        let [points @ .., last] = told(&series).unwrap().in_flight;
        assert_eq!((points, last), (none, Some(3)));
        // For as long as nothing was read nothing is known.
        series.now += Duration::from_secs(12);
        series.sample(Vec::new());
        let [.., first, missed, now] = told(&series).unwrap().in_flight;
        assert_eq!([first, missed, now], [Some(3), None, Some(0)]);
        for _ in 0..11 {
            series.now += Duration::from_secs(6);
            series.sample(Vec::new());
        }
        assert_eq!(told(&series).map(|it| it.count), None);
    }

    #[test]
    fn what_is_longer_ago_than_a_minute_does_not_count() {
        let mut series = Series::default();
        for number in 0..6 {
            series.sample(vec![request(number)]);
        }
        series.now += Duration::from_secs(20);
        series.sample(Vec::new());
        let rate = series.finishing.figures().values().next().unwrap().rate.unwrap();
        assert!((0.28..0.30).contains(&rate), "{rate}");
        series.now += Duration::from_secs(61);
        series.sample(Vec::new());
        assert_eq!(series.told(), (0, None));
    }
}
