//! What the difference of two dumps comes to, in one sentence.

use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{Flight, GroupState, Severity, Snapshot, Task};
use rustc_hash::FxHashSet;
use serde::Serialize;

use crate::io::page::Style;
use crate::report::text::{findings, words};

/// What it comes to.
#[derive(Debug, Serialize)]
pub struct Verdict {
    change: Change,
    /// The same as a sentence.
    pub text: String,
    #[serde(skip)]
    worst: Severity,
}

/// The same in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Change {
    Hang,
    Worse,
    Recovered,
    /// Something changed that is neither better nor worse.
    Other,
    None,
}

impl Verdict {
    /// That of two snapshots, given the tasks that certainly did nothing meanwhile and how much later
    /// the second one is.
    pub fn of(
        before: &Snapshot,
        after: &Snapshot,
        stood: &FxHashSet<Address>,
        gap: Duration,
        is_same: bool,
    ) -> Self {
        let (was, now) = (stuck(before), stuck(after));
        let standing: Vec<&Task> =
            now.iter().filter(|task| stood.contains(&task.id)).copied().collect();
        let is_of_requests = is_of_requests(was.iter().chain(&now));
        let count = |tasks: &[&Task]| {
            let flight = Flight::of(tasks.iter().copied());
            if is_of_requests { flight.requests } else { flight.tasks }
        };
        let [was, now, standing] = [count(&was), count(&now), count(&standing)];
        let noun = if is_of_requests { "request" } else { "task" };
        let time =
            if gap.is_zero() { String::new() } else { format!(" in {}", words::duration(gap)) };
        let of_all = || {
            let all = words::counted(now, &format!("stuck {noun}"));
            let did = if standing == now { "made" } else { "are known to have made" };
            format!("{} of {all} {did} no progress{time}", words::count(standing))
        };
        let (change, text) = if now > was {
            let be = if now == 1 { "is" } else { "are" };
            let all = words::counted(now, noun);
            let by = words::count(now - was);
            (Change::Worse, format!("{all} {be} stuck: it got worse: +{by}"))
        } else if is_same && gap.is_zero() {
            (Change::None, "no difference".to_owned())
        } else if now > 0 && standing == now {
            (Change::Hang, format!("{}: this is a hang", of_all()))
        } else if now > 0 {
            (Change::Other, of_all())
        } else if was > 0 {
            let all = words::counted(was, &format!("stuck {noun}"));
            (Change::Recovered, format!("{all} went on or ended: it recovered"))
        } else if is_same {
            (Change::None, "no difference".to_owned())
        } else {
            (Change::Other, "nothing is stuck".to_owned())
        };
        let worst = after.findings.iter().flatten().map(|it| it.severity).max();
        Self { change, text, worst: worst.unwrap_or(Severity::Info) }
    }

    /// The look and the sign of it.
    pub fn sign(&self) -> (Style, &'static str) {
        match self.change {
            Change::Hang | Change::Worse => {
                let worst = self.worst.max(Severity::Warning);
                (findings::word(worst).0, findings::sign(worst))
            }
            Change::Recovered => (Style::Active, "ok "),
            Change::Other | Change::None => (Style::Plain, "   "),
        }
    }
}

/// The tasks that something keeps, or may keep, from going on.
fn stuck(snapshot: &Snapshot) -> Vec<&Task> {
    let groups = snapshot.groups().into_iter();
    let stuck = groups.filter(|it| matches!(it.state, GroupState::Stuck | GroupState::Undecided));
    stuck.flat_map(|group| group.tasks).filter(|task| !task.is_over()).collect()
}

/// Whether requests are counted: where all of them work for one.
fn is_of_requests<'t>(mut tasks: impl Iterator<Item = &'t &'t Task>) -> bool {
    use aiospy::snapshot::WorkKind;
    tasks.all(|task| task.work.as_ref().is_some_and(|it| it.kind == Some(WorkKind::Request)))
}
