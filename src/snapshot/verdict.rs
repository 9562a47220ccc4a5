//! What a snapshot comes to: that all is well is said only where nothing speaks against it.

use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{
    Code, Finding, FindingId, Loop, LoopState, Problem, Severity, Snapshot, with_separators,
};

/// Characters of a command line that a finding names.
const MAX_COMMAND: usize = 200;

/// What a snapshot comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every task was read, a loop was judged, and nothing may be a hang.
    Ok,
    /// Nothing was found, but that need not mean that there is nothing.
    Undecided,
    /// There is a finding that is a warning or worse.
    Findings,
}

/// Why it cannot be said that all is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecided {
    /// What kind of reason it is.
    #[serde(deserialize_with = "super::document::of_name_or_least")]
    pub reason: Doubt,
    /// In words.
    pub title: String,
    /// The finding that would say so, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// For how long it has been seen to stand still at least.
    #[serde(
        rename = "seen_ms",
        default,
        with = "super::millis::opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub seen_for: Option<Duration>,
}

impl Undecided {
    /// What may be a hang, by a finding that was not seen for long enough to say so.
    pub(crate) fn of(finding: &Finding) -> Option<Self> {
        let pending = finding.pending.as_ref().filter(|_| finding.severity == Severity::Info)?;
        let (title, seen_for) = (pending.what.clone(), Some(pending.seen_for));
        Some(Self { reason: Doubt::TooSoon, title, code: Some(finding.code), seen_for })
    }

    /// That there is only one sample.
    pub(crate) fn one_sample() -> Self {
        let title = "one sample can't tell a hang from a short wait".to_owned();
        Self { reason: Doubt::OneSample, title, code: None, seen_for: None }
    }

    /// How long it has to be seen before it is decided; `None` where no waiting decides it, or it
    /// was seen for so long.
    pub fn wait(&self) -> Option<Duration> {
        let needed = match self.code {
            // Starts take their time.
            Some(Code::StartupStuck) => Duration::from_secs(10),
            _ => Duration::from_secs(5),
        };
        let is_young = self.seen_for.is_none_or(|seen_for| seen_for < needed);
        (self.reason.is_decided_by_waiting() && is_young).then_some(needed)
    }
}

/// A kind of reason to say nothing yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// Something stands still, but was not seen for long enough to tell a hang from a slow answer.
    TooSoon,
    /// Something was seen that only a second sample can tell from health.
    OneSample,
    /// Not everything could be read.
    #[default]
    Unread,
    /// There was not enough memory to read every task.
    Cut,
    /// No event loop of the program runs.
    NoLoop,
}

impl Doubt {
    /// Whether waiting for longer decides it.
    pub fn is_decided_by_waiting(self) -> bool {
        matches!(self, Self::TooSoon | Self::OneSample)
    }
}

impl Snapshot {
    /// Draws the line: sets the verdict by the findings, by what may be a hang, and by what could
    /// not be read.
    pub(crate) fn conclude(&mut self, mut undecided: Vec<Undecided>) {
        let findings = self.findings.iter().flatten();
        if let Some(unread) = unread(&self.problems, self.cut.is_some()) {
            undecided.push(unread);
        }
        if let Some(cut) = self.cut {
            let (reason, title) = (Doubt::Cut, cut.to_string());
            undecided.push(Undecided { reason, title, code: None, seen_for: None });
        }
        let is_judged = |known: &Loop| {
            matches!(
                known.state,
                Some(LoopState::Polling | LoopState::Running | LoopState::Blocked)
            ) && !self.only_serves(known)
        };
        if !self.loops.iter().any(is_judged) {
            let title = "no running event loop was found".to_owned();
            undecided.push(Undecided { reason: Doubt::NoLoop, title, code: None, seen_for: None });
        }
        self.verdict = Some(if findings.clone().any(|it| it.severity > Severity::Info) {
            Verdict::Findings
        } else if undecided.is_empty() {
            Verdict::Ok
        } else {
            Verdict::Undecided
        });
        self.undecided = undecided;
    }

    /// The same for one sample of a series, by the findings that it has.
    pub fn conclude_in_series(&mut self) {
        let first = self.looks.is_none_or(|looks| looks < 2).then(Undecided::one_sample);
        let pending = self.findings.iter().flatten().filter_map(Undecided::of);
        self.conclude(first.into_iter().chain(pending).collect());
    }
}

/// What the processes below are asked for.
impl Snapshot {
    /// Takes over what is wrong in processes below this one, which has no loop to judge itself.
    pub fn take_findings(&mut self, children: &[&Self]) {
        let Some(findings) = &mut self.findings else { return };
        let first = findings.iter().map(|it| it.id.0).max().unwrap_or(0);
        let wrong = join_findings(children, Severity::Warning, first);
        if !wrong.is_empty() {
            self.verdict = Some(Verdict::Findings);
        }
        findings.extend(wrong);
    }
}

/// The findings of several processes that are at least so severe, numbered on from `first`. The same
/// trouble in several of them is one finding, told of where it is worst.
pub fn join_findings(of: &[&Snapshot], least: Severity, first: u64) -> Vec<Finding> {
    let mut offset = first;
    let mut all: Vec<Finding> = Vec::new();
    // The findings that are one, by the same trouble: for each the places of its members in `all`.
    let mut same: Vec<Vec<usize>> = Vec::new();
    let mut by_key: FxHashMap<(String, usize), usize> = FxHashMap::default();
    for snapshot in of {
        let moved = |id: FindingId| FindingId(id.0 + offset);
        // A process may have the same trouble several times.
        let mut times: FxHashMap<&str, usize> = FxHashMap::default();
        let findings = snapshot.findings.iter().flatten();
        for finding in findings.clone().filter(|it| it.severity >= least) {
            let nth = times.entry(&finding.key).or_insert(0);
            let place = *by_key.entry((finding.key.clone(), *nth)).or_insert(same.len());
            *nth += 1;
            if place == same.len() {
                same.push(Vec::new());
            }
            same.get_mut(place).into_iter().for_each(|it| it.push(all.len()));
            all.push(Finding {
                pid: Some(snapshot.process.pid),
                id: moved(finding.id),
                because_of: finding.because_of.map(moved),
                ..finding.clone()
            });
        }
        offset += findings.map(|it| it.id.0).max().unwrap_or(0);
    }
    let commands: FxHashMap<i32, String> = of.iter().map(|it| command_of(it)).collect();
    let weight = |it: &Finding| (it.severity, it.since.map(|age| age.time));
    let mut ids: FxHashMap<FindingId, FindingId> = FxHashMap::default();
    let mut joined = Vec::new();
    for members in same {
        let mut members: Vec<&Finding> = members.iter().filter_map(|at| all.get(*at)).collect();
        // The first of those that are as bad stays the first.
        members.sort_by_key(|it| std::cmp::Reverse(weight(it)));
        let Some((worst, others)) = members.split_first() else { continue };
        let mut finding = Finding::clone(worst);
        let pid = finding.pid.unwrap_or_default();
        let command = commands.get(&pid).map(String::as_str).unwrap_or_default();
        finding.evidence.insert(0, format!("it is in process {pid}: {command}").into());
        for other in others {
            let pid = other.pid.unwrap_or_default();
            finding.also_in.push(pid);
            finding.evidence.push(format!("process {pid} too: {}", other.title).into());
            ids.insert(other.id, finding.id);
        }
        joined.push(finding);
    }
    for finding in &mut joined {
        finding.because_of = finding.because_of.map(|id| ids.get(&id).copied().unwrap_or(id));
    }
    joined.sort_by_key(|it| std::cmp::Reverse(it.severity));
    joined
}

fn command_of(snapshot: &Snapshot) -> (i32, String) {
    let command = snapshot.process.cmdline.join(" ");
    (snapshot.process.pid, command.chars().take(MAX_COMMAND).collect())
}

/// That not everything was read. What changed while it was read has moved: it does not hang. What
/// there was no memory for is another reason.
fn unread(problems: &[Problem], is_cut: bool) -> Option<Undecided> {
    // A recording doesn't have the reason.
    let is_of_cut = |it: &Problem| is_cut && it.place == Problem::CUT;
    let is_unread = |it: &&Problem| !it.is_of_change() && !is_of_cut(it);
    let missing = || problems.iter().filter(is_unread);
    let all = missing().count();
    let tasks = missing().filter(|problem| problem.place.starts_with("task ")).count();
    let (number, what) = if tasks == all { (all, "task") } else { (all, "part") };
    let title = match number {
        0 => return None,
        1 => format!("1 {what} could not be read"),
        many => format!("{} {what}s could not be read", with_separators(many)),
    };
    Some(Undecided { reason: Doubt::Unread, title, code: None, seen_for: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::diagnose::tests::{Scene, task};
    use crate::snapshot::{Age, Cut, Frame, Location, Sentence, Source, Sureness};

    fn verdict(change: impl FnOnce(&mut Snapshot)) -> (Option<Verdict>, Vec<Doubt>) {
        let mut snapshot = Scene::new().and(change).snapshot;
        snapshot.findings = Some(Vec::new());
        snapshot.conclude(Vec::new());
        (snapshot.verdict, snapshot.undecided.iter().map(|it| it.reason).collect())
    }

    fn problem(cause: &str) -> Problem {
        Problem {
            place: "task 0x10".to_owned(),
            wanted: "name".to_owned(),
            cause: cause.to_owned(),
        }
    }

    fn worker(pid: i32, blocked_for: u64) -> Snapshot {
        let of = |severity, key: &str, id, because_of| {
            let title = Sentence::words("it is");
            let mut it = Finding::new(Code::LoopBlocked, severity, Sureness::Read, title);
            (it.key, it.id, it.because_of) = (key.to_owned(), FindingId(id), because_of);
            it
        };
        let mut snapshot = Scene::new().snapshot;
        snapshot.process.pid = pid;
        let since = Some(Age::exact(Duration::from_secs(blocked_for), Source::Iteration));
        snapshot.findings = Some(vec![
            Finding { since, ..of(Severity::Critical, "a", 1, None) },
            of(Severity::Warning, &format!("b{pid}"), 2, Some(FindingId(1))),
            of(Severity::Info, "c", 3, None),
        ]);
        snapshot
    }

    #[test]
    fn what_is_wrong_in_a_worker_is_found_of_its_master() {
        let mut master = Scene::new().snapshot;
        master.findings = Some(Vec::new());
        master.take_findings(&[&worker(7, 5), &worker(8, 5)]);
        let found = master.findings.unwrap();
        let told: Vec<_> = found.iter().map(|it| (it.pid.unwrap(), &*it.key, it.id.0)).collect();
        assert_eq!(told, [(7, "a", 1), (7, "b7", 2), (8, "b8", 5)]);
        assert_eq!(found[1].because_of, Some(FindingId(1)));
        // That of its own process is one with the first.
        assert_eq!(found[2].because_of, Some(FindingId(1)));
        assert_eq!((&found[0].also_in[..], &found[1].also_in[..]), (&[8][..], &[][..]));
        let last = found[0].evidence.last().unwrap();
        assert_eq!(last.text, "process 8 too: it is");
        assert_eq!(master.verdict, Some(Verdict::Findings));
    }

    #[test]
    fn the_same_trouble_is_told_of_where_it_is_worst() {
        let found =
            join_findings(&[&worker(7, 2), &worker(8, 9), &worker(9, 5)], Severity::Info, 0);
        let told: Vec<_> =
            found.iter().map(|it| (it.pid.unwrap(), &*it.key, &it.also_in[..])).collect();
        assert_eq!(
            told,
            [
                (8, "a", &[9, 7][..]),
                (7, "b7", &[]),
                (8, "b8", &[]),
                (9, "b9", &[]),
                (7, "c", &[8, 9])
            ]
        );
        assert!(found[1..4].iter().all(|it| it.because_of == Some(found[0].id)), "{found:?}");
        // Twice in one process is twice.
        let mut twice = worker(7, 2);
        let again = twice.findings.as_ref().unwrap()[0].clone();
        twice.findings.as_mut().unwrap().push(Finding { id: FindingId(4), ..again });
        let found = join_findings(&[&twice, &worker(8, 1)], Severity::Critical, 0);
        let told: Vec<_> = found.iter().map(|it| (it.pid.unwrap(), it.also_in.len())).collect();
        assert_eq!(told, [(7, 1), (7, 0)]);
    }

    #[test]
    fn all_is_well_only_where_everything_was_read_and_a_loop_judged() {
        assert_eq!(verdict(|_| ()), (Some(Verdict::Ok), vec![]));
        let unread = verdict(|snapshot| snapshot.problems.push(problem("not mapped")));
        assert_eq!(unread, (Some(Verdict::Undecided), vec![Doubt::Unread]));
        let many = super::unread(&vec![problem("not mapped"); 1_950], false).unwrap();
        assert_eq!(many.title, "1,950 tasks could not be read");
        let idle = verdict(|snapshot| snapshot.loops[0].state = Some(LoopState::Stopped));
        assert_eq!(idle, (Some(Verdict::Undecided), vec![Doubt::NoLoop]));
        // The loop of a gunicorn master, in a thread of its own.
        let serving = verdict(|snapshot| {
            let file = "/venv/lib/python3.12/site-packages/gunicorn/ctl/server.py".into();
            let location = Location::by_path("ControlSocketServer._serve".into(), file, Some(1));
            let frame = Frame { location: Arc::new(location), locals: None };
            snapshot.tasks.push(task(1).and(|task| task.frames = vec![frame]).task);
        });
        assert_eq!(serving, (Some(Verdict::Undecided), vec![Doubt::NoLoop]));
        let unknown = verdict(|snapshot| snapshot.loops[0].state = None);
        assert_eq!(unknown, (Some(Verdict::Undecided), vec![Doubt::NoLoop]));
    }

    #[test]
    fn nobody_knows_of_tasks_that_there_was_no_memory_for() {
        let cut = |snapshot: &mut Snapshot| {
            snapshot.cut = Some(Cut { tasks_read: 3, tasks_at_least: 8 });
            let place = Problem::CUT.to_owned();
            snapshot.problems.push(Problem { place, ..problem("no memory") });
        };
        assert_eq!(verdict(cut), (Some(Verdict::Undecided), vec![Doubt::Cut]));
        let words = Cut { tasks_read: 3, tasks_at_least: 8 }.to_string();
        assert_eq!(words, "only 3 of at least 8 tasks were read (--max-memory)");
    }

    #[test]
    fn a_task_that_ran_while_it_was_read_does_not_hang() {
        let moved = |snapshot: &mut Snapshot| snapshot.problems.push(problem(Problem::CHANGED));
        assert_eq!(verdict(moved), (Some(Verdict::Ok), vec![]));
    }
}
