//! `pod-frozen`: a freezer keeps every thread of the process from running.
//!
//! By all that is read of it such a process is a healthy one that waits, or one that is stuck: the
//! kernel shows each thread in the call it was frozen in, and every age grows. So while it is
//! frozen, and at the sample after, only that is concluded which no thawing can change.

use super::draft::{Draft, Drafts};
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::words;
use super::{Context, rule};
use crate::snapshot::{Code, Role, Sentence, Severity, Snapshot, Sureness};
use crate::timeline::Looks;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::PodFrozen,
    find: Some(find),
    about: About::Process,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::TrueWhenFrozen],
};

fn find(context: &Context<'_>, out: &mut Drafts) {
    if !is_frozen(context.now) {
        return;
    }
    let lasts = context.looks.first.is_some_and(is_frozen);
    if context.looks.first.is_none() {
        out.want_second_look();
    }
    // A container is paused for a moment to copy its files.
    let severity = if lasts { Severity::Critical } else { Severity::Warning };
    let title = Sentence::words("The cgroup")
        .verb("is", "was")
        .then("frozen: no thread of this process")
        .verb("can run", "could run");
    let since = match context.gap.filter(|_| lasts) {
        Some(gap) => format!("frozen at both samples, {} apart", words::span(gap)),
        None => "its freezer says so".to_owned(),
    };
    let tasks = context.sizes.values().sum();
    let rest = format!(
        "{} and {} are as they were when it was frozen; their waiting says nothing about them",
        words::count(context.now.loops.len(), "event loop"),
        words::count(tasks, "task"),
    );
    out.add(
        Draft::new(Code::PodFrozen, severity, Sureness::Read, title)
            .members(Role::Blocked, tasks, Vec::new())
            .affects(tasks)
            .evidence([since, rest])
            .advice(
                "Find out who froze it, and thaw it: `docker unpause`, `ctr task resume`, \
                 `systemctl thaw`, or 0 in the group's `cgroup.freeze` (cgroup v1: THAWED in \
                 `freezer.state`).",
            ),
    );
}

/// Keeps what holds although the process could not run.
pub(super) fn sort_out(looks: Looks<'_>, out: &mut Drafts) {
    if is_frozen(looks.last) || looks.first.is_some_and(is_frozen) {
        out.retain(|code| rule(code).is(Is::TrueWhenFrozen));
    }
}

fn is_frozen(snapshot: &Snapshot) -> bool {
    snapshot.is_frozen()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Scene, task};
    use crate::snapshot::{BlockingKind, Cgroup};

    fn frozen(scene: Scene, frozen: Option<bool>) -> Scene {
        scene.and(|it| it.cgroup = Some(Cgroup { frozen, ..Cgroup::default() }))
    }

    #[test]
    fn a_frozen_idle_loop_is_not_healthy() {
        let idle = || Scene::new().with([task(1).sleeps(10), task(2).reads_socket()]);
        let scene = frozen(idle(), Some(true));
        let once = scene.once();
        assert!(once.wants_second_look);
        assert_eq!(once.only().severity, Severity::Warning);
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!((finding.code, finding.severity), (Code::PodFrozen, Severity::Critical));
        assert_eq!(finding.facts()[0], "frozen at both samples, 200 ms apart");
        assert!(finding.facts()[1].starts_with("1 event loop and 2 tasks are as they were"));
        for state in [Some(false), None] {
            frozen(idle(), state).once().assert_silent();
            frozen(idle(), state).twice().assert_silent();
        }
    }

    /// Time passes for what is frozen; it says nothing about the program, not even just after.
    #[test]
    fn nothing_that_stands_still_with_it_is_blamed() {
        let blocked = || {
            let tasks = [task(1).runs(), task(2).at_lock(900, &[3]), task(3).reads_socket()];
            let scene = Scene::new().with(tasks).in_callback(1, 60_000);
            scene.blocked_by(BlockingKind::Cpu, |_| ())
        };
        assert!(blocked().twice().codes().contains(&Code::LoopBlocked));
        let scene = frozen(blocked(), Some(true));
        assert_eq!(scene.once().codes(), [Code::PodFrozen]);
        assert_eq!(scene.twice().codes(), [Code::PodFrozen]);
        frozen(blocked(), Some(false)).after(&scene.before()).assert_silent();
    }

    #[test]
    fn a_cycle_is_one_frozen_or_not() {
        let tasks = [task(1).at_lock(900, &[2]), task(2).at_lock(901, &[1])];
        let scene = frozen(Scene::new().with(tasks), Some(true));
        assert_eq!(scene.twice().codes(), [Code::PodFrozen, Code::Deadlock]);
    }
}
