//! The targets that are sampled: one, or several of which one is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aiospy::Error;
use aiospy::process::Target;
use aiospy::snapshot::Process;

use super::feed::Feed;
use super::sampling::{Pace, Sampling};
use crate::commands::crew::EVERY;
use crate::commands::targets;

/// How long a process that could not be read is left alone: it may only just begin.
const BETWEEN_TRIES: Duration = Duration::from_secs(5);

/// Targets that are sampled.
#[derive(Default)]
pub struct Crew {
    samplings: BTreeMap<i32, Sampling>,
    /// Those that are chosen, where they may become more.
    several: Option<targets::Several>,
    /// The one that is looked at, and how often that is read.
    shown: Option<i32>,
    rate: f64,
    next_look: Option<Instant>,
    /// Those that could not be read, and when that was.
    failed: BTreeMap<i32, Instant>,
    /// Those that are not tried again.
    gone: BTreeSet<i32>,
}

impl Crew {
    /// One target, sampled already.
    pub fn of_one(pid: i32, rate: f64, sampling: Sampling) -> Self {
        let samplings = BTreeMap::from([(pid, sampling)]);
        Self { samplings, shown: Some(pid), rate, ..Self::default() }
    }

    /// Several, none of which is sampled yet.
    pub fn of_several(several: targets::Several, rate: f64) -> Self {
        Self { several: Some(several), rate, ..Self::default() }
    }

    /// The one that is looked at.
    pub fn shown(&self) -> Option<i32> {
        self.shown
    }

    fn pace(&self, pid: i32, count: usize) -> Pace {
        let is_shown = Some(pid) == self.shown || self.several.is_none();
        if is_shown { Pace::full(self.rate) } else { Pace::of_others(count) }
    }

    /// Begins with those that are there now, if it is time to look for them.
    pub fn look(&mut self, start: impl Fn(i32, Pace) -> Sampling) {
        let now = Instant::now();
        let Some(several) = &self.several else { return };
        if self.next_look.is_some_and(|at| now < at) {
            return;
        }
        self.next_look = Some(now + EVERY);
        let is_new = |pid: &i32| {
            let failed = self.failed.get(pid);
            !self.samplings.contains_key(pid)
                && !self.gone.contains(pid)
                && failed.is_none_or(|at| now.duration_since(*at) >= BETWEEN_TRIES)
        };
        let pids: Vec<i32> = several.pids().into_iter().filter(is_new).collect();
        let count = self.samplings.len() + pids.len();
        for pid in pids {
            self.samplings.insert(pid, start(pid, self.pace(pid, count)));
            self.failed.remove(&pid);
        }
        self.set_paces();
    }

    fn set_paces(&self) {
        for (pid, sampling) in &self.samplings {
            sampling.set_pace(self.pace(*pid, self.samplings.len()));
        }
    }

    /// From now on this one is looked at, and read so often.
    pub fn show(&mut self, shown: Option<i32>, rate: f64) {
        if shown != self.shown || (rate - self.rate).abs() > f64::EPSILON {
            (self.shown, self.rate) = (shown, rate);
            self.set_paces();
        }
    }

    /// The latest that was read of one.
    pub fn take(&mut self, pid: i32) -> Option<Arc<Feed>> {
        self.samplings.get(&pid)?.slot.take()
    }

    /// One is not read any more; gives what shows of it from outside, where it is one of several.
    pub fn fail(&mut self, pid: i32, error: Option<&Error>) -> Option<Process> {
        self.several.as_ref()?;
        self.samplings.remove(&pid);
        // Its id may be given to another.
        if matches!(error, Some(Error::NoSuchProcess { .. } | Error::TargetGone { .. })) {
            self.gone.insert(pid);
        } else {
            self.failed.insert(pid, Instant::now());
        }
        let outside = Target::open(pid).map(|target| target.process());
        Some(outside.unwrap_or(Process { pid, ..Process::default() }))
    }

    /// One has ended: what was seen of it is kept, and it is not looked for again.
    pub fn end(&mut self, pid: i32) {
        if self.several.is_some() {
            self.samplings.remove(&pid);
            self.gone.insert(pid);
        }
    }

    /// From now on what is read of one is recorded, or not.
    pub fn record(&self, pid: i32, to: Option<PathBuf>) {
        if let Some(sampling) = self.samplings.get(&pid) {
            sampling.record(to);
        }
    }
}
