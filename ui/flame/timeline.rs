//! Tasks on lanes, and what each did at which time.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{Snapshot, Task};
use rustc_hash::{FxHashMap, FxHashSet};

use super::fold::folded;
use super::micros;
use super::tree::NodeKind;

/// The lanes that tasks are on: one for each; one that has ended leaves its lane to the next task
/// whose name differs in a number only.
#[derive(Debug)]
pub struct Lanes {
    limit: usize,
    is_per_task: bool,
    /// The task on each lane that has one: its lane and its name, which tells it from another that
    /// got its address.
    on: FxHashMap<Address, (usize, Option<Arc<str>>)>,
    free: FxHashMap<String, Vec<usize>>,
    all: Vec<Lane>,
    /// The tasks that are there and got none, and how many there were.
    laneless: FxHashSet<(Address, Option<Arc<str>>)>,
    without: u64,
}

/// One lane.
#[derive(Debug)]
pub struct Lane {
    /// What it is called: the task's name; without numbers, if there was more than one.
    pub name: String,
    /// Their coroutine.
    pub coroutine: String,
    /// How many tasks were on it.
    pub tasks: u64,
}

impl Lanes {
    /// No lanes yet; there will be `limit` at most.
    pub fn new(limit: usize, is_per_task: bool) -> Self {
        Self {
            limit,
            is_per_task,
            on: FxHashMap::default(),
            free: FxHashMap::default(),
            all: Vec::new(),
            laneless: FxHashSet::default(),
            without: 0,
        }
    }

    /// All lanes.
    pub fn all(&self) -> &[Lane] {
        &self.all
    }

    /// How many tasks had none.
    pub fn without(&self) -> u64 {
        self.without
    }

    /// The lane of a task that has one.
    pub fn known(&self, id: Address) -> Option<usize> {
        self.on.get(&id).map(|(lane, _)| *lane)
    }

    /// The tasks that are not there any more leave their lanes, which are given.
    pub fn leave(&mut self, snapshot: &Snapshot) -> Vec<(Address, usize)> {
        let there: FxHashSet<(Address, Option<&Arc<str>>)> = snapshot
            .tasks
            .iter()
            .filter(|task| !task.is_over())
            .map(|task| (task.id, task.name.as_ref()))
            .collect();
        self.laneless.retain(|(id, name)| there.contains(&(*id, name.as_ref())));
        let mut left: Vec<(Address, usize)> = self
            .on
            .iter()
            .filter(|(id, (_, name))| !there.contains(&(**id, name.as_ref())))
            .map(|(id, (lane, _))| (*id, *lane))
            .collect();
        left.sort_unstable();
        for (id, lane) in &left {
            let Some((_, name)) = self.on.remove(id) else { continue };
            if !self.is_per_task {
                self.free.entry(folded(name.as_deref().unwrap_or("?"))).or_default().push(*lane);
            }
        }
        left
    }

    /// The lane of a task.
    pub fn of(&mut self, task: &Task) -> Option<usize> {
        if let Some((lane, _)) = self.on.get(&task.id) {
            return Some(*lane);
        }
        let name = task.name.as_deref().or(task.coroutine.as_deref()).unwrap_or("?");
        let shape = folded(task.name.as_deref().unwrap_or("?"));
        let lane = if let Some(lane) = self.free.get_mut(&shape).and_then(Vec::pop) {
            lane
        } else if self.all.len() < self.limit {
            let coroutine = task.coroutine.as_deref().unwrap_or_default().to_owned();
            self.all.push(Lane { name: name.to_owned(), coroutine, tasks: 0 });
            self.all.len() - 1
        } else {
            let is_new = self.laneless.insert((task.id, task.name.clone()));
            self.without += u64::from(is_new);
            return None;
        };
        if let Some(known) = self.all.get_mut(lane) {
            known.tasks += 1;
            if known.tasks > 1 {
                known.name = shape;
            }
        }
        self.on.insert(task.id, (lane, task.name.clone()));
        Some(lane)
    }
}

/// How many bins a time line has at most: then two become one.
const BINS: usize = 1200;

/// The time line's unit, which doubles as time goes on.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Microseconds of one bin.
    pub step: u64,
}

impl Scale {
    /// So fine that a second has a hundred bins.
    pub fn new() -> Self {
        Self { step: 10_000 }
    }

    /// The bin of a time since the beginning, and whether all have to be halved before: how often.
    pub fn bin(&mut self, at: Duration) -> (usize, u32) {
        let mut halved = 0;
        loop {
            let bin = usize::try_from(micros(at) / self.step).unwrap_or(usize::MAX);
            if bin < BINS {
                return (bin, halved);
            }
            self.step = self.step.saturating_mul(2);
            halved += 1;
        }
    }
}

/// What a task did for most of a bin.
#[derive(Debug, Clone, Copy, Default)]
pub struct Most {
    /// A number of [`NodeKind::ALL`] and one more; 0 for nothing.
    pub kind: u8,
    weight: u64,
}

impl Most {
    fn note(&mut self, kind: u8, weight: u64) {
        if self.kind == kind {
            self.weight += weight;
        } else if weight >= self.weight {
            *self = Self { kind, weight: weight - self.weight };
        } else {
            self.weight -= weight;
        }
    }
}

/// What the tasks on each lane did.
#[derive(Debug, Default)]
pub struct Rows {
    rows: Vec<Vec<Most>>,
}

impl Rows {
    /// Two bins become one.
    pub fn halve(&mut self) {
        for row in &mut self.rows {
            let halved = row.chunks(2).map(|pair| {
                let mut both = pair.first().copied().unwrap_or_default();
                if let Some(second) = pair.get(1) {
                    both.note(second.kind, second.weight);
                }
                both
            });
            *row = halved.collect();
        }
    }

    /// Notes what the task on a lane did in one bin after the other.
    pub fn note(&mut self, lane: usize, bins: RangeInclusive<usize>, kind: NodeKind, weight: u64) {
        if self.rows.len() <= lane {
            self.rows.resize_with(lane + 1, Vec::new);
        }
        let Some(row) = self.rows.get_mut(lane) else { return };
        if row.len() <= *bins.end() {
            row.resize(bins.end() + 1, Most::default());
        }
        for most in row.get_mut(bins).into_iter().flatten() {
            most.note(u8::try_from(kind.number() + 1).unwrap_or_default(), weight);
        }
    }

    /// Each row as stretches of the same: `[first bin, bins, kind]`.
    pub fn stretches(&self) -> Vec<Vec<(usize, usize, u8)>> {
        let of_row = |row: &Vec<Most>| {
            let mut all: Vec<(usize, usize, u8)> = Vec::new();
            for (bin, most) in row.iter().enumerate().filter(|(_, most)| most.kind > 0) {
                match all.last_mut() {
                    Some((first, bins, kind)) if *kind == most.kind && *first + *bins == bin => {
                        *bins += 1;
                    }
                    _ => all.push((bin, 1, most.kind)),
                }
            }
            all
        };
        self.rows.iter().map(of_row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text::sample;

    #[test]
    fn a_lane_is_taken_over_by_a_task_of_the_same_shape() {
        let mut lanes = Lanes::new(3, false);
        let task = |id, name| sample::task(id, name, &["f app.py:1"], &[]);
        let mut snapshot = sample::bank();
        snapshot.tasks = vec![task(1, "w-1"), task(2, "main")];
        assert_eq!(lanes.of(&snapshot.tasks[0]), Some(0));
        assert_eq!(lanes.of(&snapshot.tasks[1]), Some(1));
        assert_eq!(lanes.leave(&snapshot), []);
        snapshot.tasks = vec![task(2, "main"), task(3, "w-2"), task(4, "w-3"), task(5, "x")];
        assert_eq!(lanes.leave(&snapshot), [(snapshot_id(1), 0)]);
        let of: Vec<_> = snapshot.tasks.iter().map(|task| lanes.of(task)).collect();
        assert_eq!(of, [Some(1), Some(0), Some(2), None]);
        assert_eq!((lanes.all()[0].name.as_str(), lanes.all()[1].name.as_str()), ("w-*", "main"));
        assert_eq!(lanes.without(), 1);
        // However often it is seen, it is one task without a lane; another one is another.
        for (id, without) in [(5, 1), (5, 1), (6, 2), (5, 3)] {
            snapshot.tasks = vec![task(2, "main"), task(3, "w-2"), task(4, "w-3"), task(id, "x")];
            lanes.leave(&snapshot);
            assert_eq!(lanes.of(&snapshot.tasks[3]), None);
            assert_eq!(lanes.without(), without);
        }
    }

    fn snapshot_id(number: u64) -> Address {
        sample::task(number, "", &[], &[]).id
    }

    #[test]
    fn time_lines_do_not_grow_for_ever() {
        let (mut scale, mut rows) = (Scale::new(), Rows::default());
        for second in 0..10_000 {
            let (bin, halved) = scale.bin(Duration::from_secs(second));
            (0..halved).for_each(|_| rows.halve());
            let kind = if second < 5000 { NodeKind::Timer } else { NodeKind::Socket };
            rows.note(0, bin..=bin, kind, 1_000_000);
        }
        let stretches = rows.stretches();
        assert!(scale.step >= 10_000_000_000 / BINS as u64, "{scale:?}");
        let all: Vec<u8> = stretches[0].iter().map(|stretch| stretch.2).collect();
        assert_eq!(all.len(), 2, "{stretches:?}");
    }
}
