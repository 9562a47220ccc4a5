//! What keeps a conclusion from being a false alarm where a program ran while it was read.

use super::rule::{Confirmed, Is};
use super::{Diagnosis, STUCK_AFTER, rule};
use crate::memory::Address;
use crate::snapshot::{Consistency, Finding, Severity, Snapshot, Stage, Thread};
use crate::timeline::Looks;

/// Whether a snapshot is of a program that ran meanwhile, so that what seems to hold may never
/// have held at one time.
fn is_loose(snapshot: &Snapshot) -> bool {
    snapshot.consistency == Consistency::BestEffort
}

impl Diagnosis {
    /// The first look's conclusions, as far as they may be said without a second one.
    #[must_use]
    pub fn of_one_look(mut self, snapshot: &Snapshot) -> Self {
        // A loop that holds still says nothing of the threads of a pool.
        let is_in_doubt = |finding: &Finding| {
            let is_of_threads = rule(finding.code).confirmed_by == Confirmed::Threads;
            finding.severity > Severity::Info
                && (is_loose(snapshot)
                    || is_of_threads && snapshot.consistency != Consistency::Exact)
        };
        self.wants_second_look |= self.findings.iter().any(is_in_doubt);
        self.findings.retain(|finding| !is_in_doubt(finding));
        for finding in &mut self.findings {
            // A clean-up may be over in a moment, and so may a loop that is run again and again:
            // unless it has been at it for long.
            let known = snapshot.loops.iter().find(|known| Some(known.id) == finding.loop_id);
            let idle = match known {
                Some(known) => known.idle_for,
                // The main thread waits for the others.
                None => snapshot.threads.first().and_then(Thread::asleep_for),
            };
            let is_old = idle.is_some_and(|idle| idle >= STUCK_AFTER);
            if !is_old && rule(finding.code).is(Is::Passing) {
                finding.severity = Severity::Info;
            }
        }
        self
    }

    /// The second look's conclusions: of one that is loose only what the first one said too, of
    /// things that have not moved.
    #[must_use]
    pub fn confirmed_by(mut self, first: &Self, looks: Looks<'_>) -> Self {
        let pairs = looks.pairs();
        let stands_still = |id: &Address| match looks.last.tasks.iter().find(|task| task.id == *id)
        {
            Some(task) => pairs.has_not_moved(task),
            None => true,
        };
        let is_same_iteration = |finding: &Finding| {
            let find = |snapshot: &Snapshot| {
                let facts = snapshot.loops.iter().find(|l| Some(l.id) == finding.loop_id)?;
                facts.iteration_id
            };
            looks.first.is_some_and(|first| find(first) == find(looks.last))
        };
        // A server that waits for its requests looks after them now and then.
        let is_graceful = looks.last.shutdown.as_ref().is_some_and(|s| s.stage == Stage::Graceful);
        self.findings.retain(|finding| {
            rule(finding.code).confirmed_by != Confirmed::Stage
                || is_graceful
                || is_same_iteration(finding) && finding.tasks.iter().all(stands_still)
        });
        if is_loose(looks.last) || looks.first.is_some_and(is_loose) {
            self.findings.retain(|finding| {
                let confirmed_by = rule(finding.code).confirmed_by;
                if finding.severity == Severity::Info
                    || matches!(confirmed_by, Confirmed::Nothing | Confirmed::Stage)
                {
                    return true;
                }
                let was_said = first.findings.iter().any(|before| {
                    before.code == finding.code
                        && (before.tasks.is_empty() && finding.tasks.is_empty()
                            || before.tasks.iter().any(|id| finding.tasks.contains(id)))
                });
                was_said
                    && match confirmed_by {
                        Confirmed::Iteration => is_same_iteration(finding),
                        _ => finding.tasks.iter().all(stands_still),
                    }
            });
        }
        self
    }
}
