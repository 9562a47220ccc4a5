//! What a snapshot comes to: that all is well is said only where nothing speaks against it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Code, Loop, LoopState, Problem, Severity, Snapshot, with_separators};

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
        if let Some(unread) = unread(&self.problems) {
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
}

/// That not everything was read. What changed while it was read has moved: it does not hang. What
/// there was no memory for is another reason.
fn unread(problems: &[Problem]) -> Option<Undecided> {
    let is_unread = |it: &&Problem| !it.is_of_change() && it.place != Problem::CUT;
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
    use crate::snapshot::{Cut, Frame, Location};

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

    #[test]
    fn all_is_well_only_where_everything_was_read_and_a_loop_judged() {
        assert_eq!(verdict(|_| ()), (Some(Verdict::Ok), vec![]));
        let unread = verdict(|snapshot| snapshot.problems.push(problem("not mapped")));
        assert_eq!(unread, (Some(Verdict::Undecided), vec![Doubt::Unread]));
        let many = super::unread(&vec![problem("not mapped"); 1_950]).unwrap();
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
