//! Several processes on one screen: the views are of one of them, the findings of all.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use aiospy::Error;
use aiospy::snapshot::{FindingId, Process, Severity};
use jiff::SignedDuration;
use rustc_hash::FxHashMap;

use super::feed::{Feed, OpenFinding};
use crate::io::page::Style;
use crate::report::text::processes::{Sign, roles, state_of, unread};
use crate::report::text::words::processes;

/// Processes that have ended and are still shown.
const MAX_ENDED: usize = 5;
/// The bits of a finding's number that are its number in its own process.
const NUMBER_BITS: u32 = 32;

/// Several processes, one of which is shown.
#[derive(Default)]
pub struct Several {
    /// The one that the others are below, if they were chosen so.
    root: Option<i32>,
    members: BTreeMap<i32, Member>,
    /// The one whose views are shown.
    pub chosen: Option<i32>,
    /// Those that have ended, the newest last.
    ended: Vec<i32>,
}

/// One of them.
struct Member {
    process: Process,
    feed: Option<Arc<Feed>>,
    /// Why it is not read.
    error: Option<Error>,
}

/// What stands in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its process; the first, where several that are well share a row.
    pub pid: i32,
    /// All of them.
    pub pids: Vec<i32>,
    pub sign: Sign,
    pub role: String,
    /// What its loop does.
    pub state: (Style, String),
    pub tasks: Option<usize>,
    /// What is worst in it, or why it is not read.
    pub what: String,
    pub is_ended: bool,
}

impl Several {
    /// None of them known yet.
    pub fn below(root: Option<i32>) -> Self {
        Self { root, ..Self::default() }
    }

    /// Takes in what was read of one.
    pub fn take(&mut self, feed: Arc<Feed>) {
        let pid = feed.snapshot.process.pid;
        if feed.is_ended && !self.ended.contains(&pid) {
            self.ended.push(pid);
        }
        let process = feed.snapshot.process.clone();
        self.members.insert(pid, Member { process, feed: Some(feed), error: None });
        self.forget_oldest();
        if self.chosen.is_none_or(|pid| !self.members.contains_key(&pid)) {
            self.chosen = self.in_order().first().copied();
        }
    }

    /// Takes in why one is not read.
    pub fn fail(&mut self, pid: i32, process: Process, error: Error) {
        let is_nothing = matches!(
            error,
            Error::NotPython { .. } | Error::NoSuchProcess { .. } | Error::TargetGone { .. }
        );
        match self.members.get_mut(&pid) {
            // What was seen of it stays.
            Some(known) if known.feed.is_some() => known.error = Some(error),
            // A launcher says nothing, and neither does what has ended before it was read.
            _ if is_nothing => _ = self.members.remove(&pid),
            _ => _ = self.members.insert(pid, Member { process, feed: None, error: Some(error) }),
        }
    }

    fn forget_oldest(&mut self) {
        while self.ended.len() > MAX_ENDED {
            let Some(at) = self.ended.iter().position(|pid| Some(*pid) != self.chosen) else {
                return;
            };
            let pid = self.ended.remove(at);
            self.members.remove(&pid);
        }
    }

    /// Chooses the one in which the first finding is worst, or one that has a loop.
    pub fn choose_by_itself(&mut self) {
        let has_loop = |pid| self.members.get(&pid).is_some_and(|it| it.sign() != Sign::None);
        let first = self.joined(None).first().and_then(|first| first.of);
        if let Some(pid) = first {
            self.chosen = Some(pid);
        } else if !self.chosen.is_some_and(has_loop) {
            self.chosen = self.in_order().first().copied().or(self.chosen);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The process that the others are below.
    pub fn root(&self) -> Option<&Process> {
        Some(&self.members.get(&self.root?)?.process)
    }

    /// What is shown: the views of the chosen one, with the findings of all.
    pub fn shown(&self) -> Option<Arc<Feed>> {
        let feed = self.members.get(&self.chosen?)?.feed.as_ref()?;
        Some(Arc::new(Feed { findings: self.findings(), ..(**feed).clone() }))
    }

    /// What is worst among them; who has no loop, or has ended, says nothing of the others.
    pub fn worst(&self) -> Sign {
        let ended = |pid: &i32| self.ended.contains(pid);
        let signs = self.members.iter().filter(|(pid, _)| !ended(pid)).map(|(_, it)| it.sign());
        let signs: Vec<Sign> = signs.collect();
        let is_unread = signs.contains(&Sign::Unread);
        match signs.into_iter().min() {
            Some(Sign::Ok) if is_unread => Sign::Unread,
            worst => worst.unwrap_or(Sign::None),
        }
    }

    /// What they come to where nothing is wrong with any, with its sign.
    pub fn verdict(&self) -> (Sign, String) {
        let (worst, all) = (self.worst(), processes(self.count()));
        let words = match worst {
            Sign::Ok => format!("no findings in {all}"),
            Sign::None => format!("no event loop to judge in {all}"),
            Sign::Unread => format!("some of {all} could not be read"),
            _ => format!("too soon to say of {all}"),
        };
        (worst, words)
    }

    /// Those that have views, in the order of their rows.
    fn in_order(&self) -> Vec<i32> {
        let mut all: Vec<(Sign, bool, i32)> = self.members.iter().map(|it| self.rank(it)).collect();
        all.sort_unstable();
        let has_views = |pid: &i32| self.members.get(pid).is_some_and(|it| it.feed.is_some());
        all.into_iter().map(|(_, _, pid)| pid).filter(has_views).collect()
    }

    /// What is wrong first, who only supervises below those that it has, what has ended last.
    fn rank(&self, (pid, member): (&i32, &Member)) -> (Sign, bool, i32) {
        let sign = member.sign();
        (sign, sign == Sign::None && Some(*pid) == self.root, *pid)
    }

    /// Chooses the one so many rows on, or back, round and round.
    pub fn step(&mut self, by: isize) {
        let order = self.in_order();
        let at = order.iter().position(|pid| Some(*pid) == self.chosen).unwrap_or(0);
        let count = isize::try_from(order.len()).unwrap_or(1).max(1);
        let next = (isize::try_from(at).unwrap_or(0) + by).rem_euclid(count);
        self.chosen = usize::try_from(next).ok().and_then(|at| order.get(at).copied());
    }

    /// Chooses one, if it has views.
    pub fn choose(&mut self, pid: i32) {
        if self.members.get(&pid).is_some_and(|it| it.feed.is_some()) {
            self.chosen = Some(pid);
        }
    }

    /// The findings of all of them. The same trouble in several is one, told of where it is worst; it
    /// leads to the process that is shown, if that has it.
    pub fn findings(&self) -> Arc<[OpenFinding]> {
        self.joined(self.chosen)
    }

    fn joined(&self, shown: Option<i32>) -> Arc<[OpenFinding]> {
        let moved = |pid: i32, number: u64| {
            let pid = u64::try_from(pid).unwrap_or_default();
            FindingId(pid << NUMBER_BITS | number & ((1 << NUMBER_BITS) - 1))
        };
        // Those that are one, by the same trouble; a process may have that several times.
        let mut same: Vec<Vec<OpenFinding>> = Vec::new();
        let mut by_key: FxHashMap<(String, usize), usize> = FxHashMap::default();
        for (&pid, member) in &self.members {
            let open = member.feed.iter().filter(|feed| !feed.is_ended);
            let mut times: FxHashMap<&str, usize> = FxHashMap::default();
            for known in open.flat_map(|feed| &*feed.findings) {
                let nth = times.entry(&known.finding.key).or_insert(0);
                let key = (known.finding.key.clone(), *nth);
                *nth += 1;
                let place = *by_key.entry(key).or_insert(same.len());
                if place == same.len() {
                    same.push(Vec::new());
                }
                let mut known = known.clone();
                let number = moved(pid, known.number);
                known.number = number.0;
                let because_of = known.finding.because_of.map(|it| moved(pid, it.0));
                (known.finding.id, known.finding.because_of) = (number, because_of);
                known.finding.pid = Some(pid);
                same.get_mut(place).into_iter().for_each(|it| it.push(known.clone()));
            }
        }
        let mut ids: FxHashMap<FindingId, FindingId> = FxHashMap::default();
        // Where it is not known, it is since it was found.
        let began = |known: &OpenFinding| {
            let member = known.finding.pid.and_then(|pid| self.members.get(&pid)?.feed.as_ref());
            let since = known.finding.since.and_then(|age| SignedDuration::try_from(age.time).ok());
            let read_at = member.map(|feed| feed.snapshot.taken_at);
            let began = read_at.zip(since).and_then(|(at, since)| at.checked_sub(since).ok());
            began.unwrap_or(known.since)
        };
        let mut joined = Vec::new();
        for mut members in same {
            let mut pids = members.iter().filter_map(|it| it.finding.pid);
            let (first, others) = (pids.next(), pids.collect());
            let is_shown = |it: &OpenFinding| it.finding.pid == shown;
            // By when it began: they were not read at one moment.
            members.sort_by_key(|it| (Reverse(it.finding.severity), began(it)));
            let Some(worst) = members.first() else { continue };
            let mut known = members.iter().find(|it| is_shown(it)).unwrap_or(worst).clone();
            known.of = known.finding.pid;
            known.since = members.iter().map(|it| it.since).min().unwrap_or(known.since);
            known.finding.title = worst.finding.title.clone();
            known.finding.severity = worst.finding.severity;
            (known.finding.pid, known.finding.also_in) = (first, others);
            if known.of != shown {
                // In processes that were forked other tasks have the same addresses.
                (known.finding.tasks, known.finding.loop_id) = (Vec::new(), None);
            }
            ids.extend(members.iter().map(|it| (it.finding.id, known.finding.id)));
            joined.push(known);
        }
        for known in &mut joined {
            let because_of = known.finding.because_of;
            known.finding.because_of = because_of.map(|id| ids.get(&id).copied().unwrap_or(id));
        }
        OpenFinding::ordered(joined)
    }

    /// The rows, in so many lines at most: those that are well share one where there is no room.
    pub fn rows(&self, room: usize) -> Vec<Row> {
        let processes: Vec<&Process> = self.members.values().map(|it| &it.process).collect();
        let mut roles = roles(&processes, self.root);
        let mut all: Vec<_> = self.members.iter().collect();
        all.sort_by_key(|it| self.rank(*it));
        let mut row = |(&pid, member): (&i32, &Member)| {
            member.row(pid, roles.remove(&pid).unwrap_or_default())
        };
        let mut rows: Vec<Row> = all.into_iter().map(&mut row).collect();
        if rows.len() > room {
            rows = folded(rows, self.chosen);
        }
        let chosen =
            rows.iter().position(|row| self.chosen.is_some_and(|it| row.pids.contains(&it)));
        let room = room.max(1);
        let from = chosen.map_or(0, |at| (at + 1).saturating_sub(room));
        rows.into_iter().skip(from).take(room).collect()
    }
}

/// Puts those that are well, do the same and are not shown into one row.
fn folded(rows: Vec<Row>, chosen: Option<i32>) -> Vec<Row> {
    let mut folded: Vec<Row> = Vec::new();
    for row in rows {
        let may_fold = row.sign == Sign::Ok && Some(row.pid) != chosen;
        let same = folded.iter_mut().find(|it| {
            may_fold && it.sign == Sign::Ok && Some(it.pid) != chosen && it.state == row.state
        });
        match same {
            Some(first) => {
                first.pids.extend(row.pids);
                first.role = String::new();
                first.tasks = first.tasks.zip(row.tasks).map(|(a, b)| a + b);
            }
            None => folded.push(row),
        }
    }
    folded
}

impl Member {
    fn sign(&self) -> Sign {
        match (&self.feed, &self.error) {
            (Some(feed), _) if feed.is_ended => Sign::Unread,
            (Some(feed), None) => sign(feed),
            (_, Some(Error::NoAsyncio { .. })) => Sign::None,
            (_, _) => Sign::Unread,
        }
    }

    fn row(&self, pid: i32, role: String) -> Row {
        let feed = self.feed.as_deref();
        let is_ended = feed.is_some_and(|feed| feed.is_ended);
        let state = match feed {
            _ if is_ended => (Style::Dim, "ended".to_owned()),
            Some(feed) => state_of(&feed.snapshot),
            None if matches!(self.error, Some(Error::NoAsyncio { .. })) => {
                (Style::Dim, "no asyncio".to_owned())
            }
            None => (Style::Dim, String::new()),
        };
        let worst = feed.filter(|_| !is_ended).and_then(|feed| feed.findings.first());
        let worst = worst.filter(|it| it.finding.severity > Severity::Info);
        let what = match (worst, &self.error) {
            (Some(known), None) => known.finding.title.to_string(),
            (_, Some(Error::NoAsyncio { .. })) => String::new(),
            (_, Some(error)) if !is_ended => unread(error),
            _ => feed.and_then(|feed| feed.unreadable.as_deref()).unwrap_or_default().to_owned(),
        };
        let has_tasks =
            |feed: &&Feed| feed.snapshot.has_loop_to_judge() || !feed.snapshot.tasks.is_empty();
        Row {
            pid,
            pids: vec![pid],
            sign: self.sign(),
            role,
            state,
            tasks: feed.filter(has_tasks).map(|feed| feed.snapshot.tasks.len()),
            what,
            is_ended,
        }
    }
}

/// What a process comes to, as it shows now.
fn sign(feed: &Feed) -> Sign {
    Sign::of_snapshot(&feed.snapshot, feed.unreadable.is_some())
}
