//! A recording on the screen: any moment of it as it was live.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::recording::{Error, Moment, Recording};
use aiospy::snapshot::{Phase, Snapshot};
use aiospy::timeline::{Fate, History, Places, Stretch};
use aiospy::watch::monitor::{Event, Statistics, Tracked};
use anyhow::Context as _;
use jiff::Timestamp;
use rustc_hash::FxHashMap;

use super::feed::{
    Cancelled, Feed, LoopHistory, MAX_BLOCKED, Mark, OpenFinding, POINT, Playhead, Point, TimeLine,
};

/// Points of a loop's past that one line of statistics stands for at most.
const MAX_REPEATED: usize = 120;
/// Points that are told of a loop.
const MAX_POINTS: usize = 1200;
/// Cancellations that are over and are told.
const MAX_OVER: usize = 256;

/// An open recording, at one of its samples.
pub struct Replay {
    recording: Recording,
    number: usize,
    line: Arc<TimeLine>,
    blocked: Vec<(Timestamp, Arc<Stretch>)>,
    cancelled: Vec<(Timestamp, History)>,
    statistics: Vec<Statistics>,
    rate: f64,
}

impl Replay {
    /// Opens a file at its first sample.
    ///
    /// # Errors
    /// When it is no recording, or nothing in it can be read.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let recording =
            Recording::open(path).with_context(|| format!("can't read {}", path.display()))?;
        let (mut blocked, mut cancelled) = (Vec::new(), Vec::new());
        let (mut statistics, mut marks) = (Vec::new(), Vec::new());
        for recorded in recording.events() {
            match &recorded.event {
                Event::Opened(tracked) => {
                    marks.push((recorded.at, Mark::Finding(tracked.finding.severity)));
                }
                Event::Blocked(stretch) => {
                    marks.push((stretch.began_at, Mark::Blocked));
                    blocked.push((recorded.at, Arc::new(stretch.clone())));
                }
                Event::Cancelled(history) => cancelled.push((recorded.at, history.clone())),
                Event::Statistics(told) => statistics.push(told.clone()),
                _ => {}
            }
        }
        marks.sort_by_key(|(at, _)| *at);
        let moments = recording.moments();
        let first = moments.first().copied().unwrap_or_default();
        let last = moments.last().copied().unwrap_or_default();
        let span = last.duration_since(first).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "at most some millions")]
        let rate = if span > 0.0 { (moments.len() - 1) as f64 / span } else { 0.0 };
        let line = Arc::new(TimeLine { first, last, marks });
        let rate = (rate * 10.0).round() / 10.0;
        Ok(Self { recording, number: 0, line, blocked, cancelled, statistics, rate })
    }

    /// When the present sample was taken.
    pub fn now(&self) -> Timestamp {
        self.recording.moments().get(self.number).copied().unwrap_or(self.line.first)
    }

    /// Whether there is nothing behind the present sample.
    pub fn is_at_end(&self) -> bool {
        self.number + 1 >= self.recording.len()
    }

    /// Goes so many samples on, or back.
    pub fn step(&mut self, by: isize) -> Result<Arc<Feed>, String> {
        self.go_to(self.number.saturating_add_signed(by), by < 0)
    }

    /// Goes to the last sample that is not after a moment.
    pub fn seek(&mut self, moment: Timestamp) -> Result<Arc<Feed>, String> {
        let is_back = moment < self.now();
        self.go_to(self.recording.at(moment), is_back)
    }

    /// Goes to where the next finding came or a callback blocked, or to the one before.
    pub fn jump(&mut self, is_back: bool) -> Result<Arc<Feed>, String> {
        let (now, marks) = (self.now(), &self.line.marks);
        let found = if is_back {
            marks.iter().rev().map(|(at, _)| *at).find(|at| self.recording.at(*at) < self.number)
        } else {
            marks.iter().map(|(at, _)| *at).find(|at| *at > now)
        };
        // The first sample in which it is to be seen.
        let number = found.map(|at| {
            let after = self.recording.moments().partition_point(|taken_at| *taken_at < at);
            if is_back { after.min(self.number.saturating_sub(1)) } else { after }
        });
        match number {
            Some(number) => self.go_to(number, is_back),
            None if is_back => Err("no finding and no block before this".to_owned()),
            None => Err("no finding and no block behind this".to_owned()),
        }
    }

    /// The present sample.
    pub fn feed(&mut self) -> Result<Arc<Feed>, String> {
        self.go_to(self.number, false)
    }

    fn go_to(&mut self, number: usize, is_back: bool) -> Result<Arc<Feed>, String> {
        let last = self.recording.len().saturating_sub(1);
        let mut number = number.min(last);
        loop {
            match self.recording.sample(number) {
                Ok(moment) => {
                    self.number = number;
                    return Ok(Arc::new(self.feed_of(moment)));
                }
                // What is damaged is passed by.
                Err(Error::Damaged { .. }) if is_back && number > 0 => number -= 1,
                Err(Error::Damaged { .. }) if !is_back && number < last => {
                    number = self.recording.behind_block(number).min(last);
                    if number == last && self.recording.sample(last).is_err() {
                        return Err("the rest of the recording is damaged".to_owned());
                    }
                }
                Err(error) => return Err(format!("{:#}", anyhow::Error::from(error))),
            }
        }
    }

    fn feed_of(&self, moment: Moment) -> Feed {
        let Moment { snapshot, missed, lives, open, blocking, .. } = moment;
        let now = snapshot.taken_at;
        let until = self.blocked.partition_point(|(at, _)| *at <= now);
        let blocked = self.blocked.get(..until).unwrap_or_default();
        let mut places = Places::default();
        for (_, stretch) in blocked {
            places.note(stretch);
        }
        let told = self.statistics.partition_point(|told| told.at <= now);
        let told = self.statistics.get(..told).unwrap_or_default();
        let known = |it: Tracked| OpenFinding::new(it.number, it.opened_at, it.finding);
        let open = open.into_iter().map(known).collect();
        Feed {
            at: now,
            findings: OpenFinding::ordered(open),
            blocked: blocked.iter().rev().take(MAX_BLOCKED).map(|(_, it)| Arc::clone(it)).collect(),
            ongoing: blocking.into_iter().map(Arc::new).collect(),
            places: places.totals().into(),
            cancelled: self.cancelled_at(now),
            lives: snapshot.tasks.iter().map(|task| lives.get(&task.id).copied()).collect(),
            loops: histories(told, &snapshot),
            finished: None,
            // The files of another time, or of another machine, are not what was running then.
            files: None,
            rate: self.rate,
            samples: u64::try_from(self.number + 1).unwrap_or(u64::MAX),
            missed,
            unreadable: None,
            is_ended: false,
            place: Some(Playhead {
                number: self.number,
                count: self.recording.len(),
                line: Arc::clone(&self.line),
            }),
            snapshot: Arc::new(snapshot),
        }
    }

    /// What had become of cancellations by then, as [`Cancelled::all`] has it.
    fn cancelled_at(&self, now: Timestamp) -> Arc<[Cancelled]> {
        let until = self.cancelled.partition_point(|(at, _)| *at <= now);
        // The last that was told of each of them.
        let mut last: FxHashMap<(Address, Option<Timestamp>), &History> = FxHashMap::default();
        let mut order = Vec::new();
        for (_, history) in self.cancelled.get(..until).unwrap_or_default() {
            let key = (history.task, history.turns.first().map(|turn| turn.at));
            if last.insert(key, history).is_none() {
                order.push(key);
            }
        }
        let is_over =
            |history: &History| matches!(history.fate(), Some(Fate::Handled | Fate::Finished));
        let all = || order.iter().filter_map(|key| last.get(key).copied());
        let mut open: Vec<&History> = all().filter(|it| !is_over(it)).collect();
        open.sort_by_key(|it| (it.turns.first().map(|turn| turn.at), it.task));
        let mut over: Vec<&History> = all().filter(|it| is_over(it)).collect();
        over.sort_by_key(|it| it.turns.last().map(|turn| turn.at));
        let over = over.into_iter().rev().take(MAX_OVER);
        let told = open.into_iter().map(|it| Cancelled::of(it, false));
        told.chain(over.map(|it| Cancelled::of(it, true))).collect()
    }
}

/// How the loops of a snapshot did until then: a line of statistics tells of each second.
fn histories(told: &[Statistics], snapshot: &Snapshot) -> Vec<LoopHistory> {
    let of = |id: Address| {
        let mut past = Vec::new();
        let mut later: Option<Timestamp> = None;
        for told in told.iter().rev() {
            let known = told.loops.iter().find(|known| known.id == id);
            let lag = known.map(|known| {
                let ready = known.timing.ready.map_or(0.0, |ready| ready.max_ms);
                let ms = ready.max(known.timing.lag_max_ms.unwrap_or(0.0));
                Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
            });
            let gap = later.map_or(Duration::from_secs(1), |later| {
                Duration::try_from(later.duration_since(told.at)).unwrap_or_default()
            });
            later = Some(told.at);
            let count = usize::try_from(gap.as_millis() / POINT.as_millis()).unwrap_or(1);
            let point = Point { lag, ready: None, scheduled: None };
            past.extend(std::iter::repeat_n(point, count.clamp(1, MAX_REPEATED)));
            if past.len() >= MAX_POINTS {
                break;
            }
        }
        past.reverse();
        past
    };
    let history = |event_loop: &aiospy::snapshot::Loop| {
        let known =
            told.last().and_then(|told| told.loops.iter().find(|it| it.id == event_loop.id));
        let is_run = event_loop.may_run();
        let turn = event_loop.iteration.as_ref().filter(|turn| turn.phase == Phase::Ready);
        let held = turn.and_then(|turn| turn.elapsed);
        LoopHistory {
            timing: known.map(|known| known.timing.clone()),
            past: of(event_loop.id).into(),
            now: Point {
                lag: is_run.then(|| held.max(event_loop.lag).unwrap_or_default()),
                ready: event_loop.ready,
                scheduled: event_loop.scheduled,
            },
            lengths: None,
        }
    };
    snapshot.loops.iter().map(history).collect()
}
