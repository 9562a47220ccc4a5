//! `cleanup-stuck` of a task group: it failed or was cancelled, so it cancelled its tasks and waits for
//! them to end, but one of them is not cancelled.
//!
//! Either that one was no member yet: an eager task that makes the group fail before it first waits is
//! only told so from 3.12.9, 3.13.2 and 3.14 on. Or it took its cancellation back (`uncancel`) and went
//! on. Nothing asks it again, and the group's owner never gets to its next line.
//!
//! A healthy group is like that while a member finishes something in spite of it. So it has to be seen
//! twice in the same place, waiting for its own program; for the world outside, five seconds long.

use super::super::draft::{Draft, Drafts};
use super::super::graph::Node;
use super::super::{Context, STUCK_AFTER, grouped, severity_of, words};
use crate::snapshot::{Code, Pending, Role, Sentence, Severity, Sureness, Task, WaitKind, Waiting};
use crate::timeline::Stillness;

pub(super) fn find(context: &Context<'_>, out: &mut Drafts) {
    let mut found = Vec::new();
    for owner in &context.now.tasks {
        let Some(waiting) = owner.waiting_on.as_deref() else { continue };
        let is_aborting = waiting.children().is_some_and(|it| it.aborting == Some(true));
        // In other groups a member may be shielded from it.
        let is_asyncios = waiting.class.as_deref().is_some_and(|it| it.starts_with("asyncio."));
        if !is_aborting || !is_asyncios || !owner.is_parked() {
            continue;
        }
        let members = waiting.tasks().iter().filter_map(|&id| context.task(id));
        for member in members.filter(|member| member.is_parked() && member.cancellation.is_none()) {
            if context.gap.is_none() {
                out.want_second_look();
            } else if let Some(severity) = severity(context, member) {
                found.push((member, owner, severity));
            }
        }
    }
    let groups = grouped(found, |&(member, owner, severity)| {
        (words::place(member), words::place(owner), severity, member.loop_id)
    });
    for group in groups {
        out.extend(report(context, &group));
    }
}

fn severity(context: &Context<'_>, member: &Task) -> Option<Severity> {
    let stillness = context.stillness(member);
    let kind = member.waiting_on.as_deref().map(Waiting::kind);
    let is_for_program = matches!(
        kind,
        Some(WaitKind::Event | WaitKind::Condition | WaitKind::Queue | WaitKind::Barrier)
    );
    match stillness {
        Stillness::Moved => None,
        _ if is_for_program || context.stood_for(member) >= STUCK_AFTER => {
            Some(severity_of(stillness, Severity::Warning))
        }
        _ => Some(Severity::Info),
    }
}

fn report(context: &Context<'_>, group: &[(&Task, &Task, Severity)]) -> Option<Draft> {
    let &(first, owner, severity) = group.first()?;
    let members = || group.iter().map(|(member, ..)| *member);
    let age = context.age(members());
    let title = match group.len() {
        1 => Sentence::name(words::work(first))
            .verb("goes on", "went on")
            .then("though its task group is aborting"),
        many => Sentence::words(words::count(many, "task"))
            .verb("go on", "went on")
            .then("though their task group is aborting"),
    };
    let title = title.so(super::waits(group.len(), first));
    let mut lines = vec![words::of_task(owner, "the group aborts here, and waits".to_owned())];
    lines.push("no cancellation is on its way to what goes on, or being handled there".into());
    lines.extend(words::lines(members(), words::wait_line));
    let hanging = members().map(|task| context.graph.waiting_for(Node::Task(task.id)).len());
    let pending = Pending {
        what: format!(
            "{} of an aborting task group not cancelled",
            words::count(group.len(), "task")
        ),
        seen_for: members().map(|task| context.stood_for(task)).max().unwrap_or_default(),
    };
    Some(
        Draft::new(Code::CleanupStuck, severity, Sureness::Read, title)
            .on_loop(first.loop_id)
            .blames(members().map(|task| Node::Task(task.id)))
            .at(words::place(first), None)
            .since(age)
            .role(Role::Culprit, members())
            .affects(group.len() + hanging.sum::<usize>())
            .pending(Some(pending))
            .evidence(lines)
            .advice(
                "Cancel it by hand, and raise the `CancelledError` after `uncancel`. A task that is \
                 eager and makes its own group fail before it first waits is forgotten by Python \
                 before 3.12.9 and 3.13.2.",
            ),
    )
}

#[cfg(test)]
mod tests {
    use crate::diagnose::tests::{Builder, Scene, ids, task};
    use crate::snapshot::{Children, Code, Others, Severity, Wait};

    fn owner(aborting: bool) -> Builder {
        let children =
            Children { pending: 1, failed: 1, aborting: Some(aborting), ..Children::default() };
        let group = Others { tasks: ids(&[2]), children: Some(children) };
        task(1).waits(Wait::TaskGroup(group)).waiting(|waiting| {
            waiting.class = Some("asyncio.taskgroups.TaskGroup".into());
        })
    }

    #[test]
    fn one_that_is_not_cancelled_keeps_its_group() {
        let scene = Scene::new().with([owner(true), task(2).at_event()]);
        let once = scene.once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!((finding.code, finding.severity), (Code::CleanupStuck, Severity::Warning));
        assert!(
            finding
                .title
                .to_string()
                .contains(" goes on though its task group is aborting: it waits"),
            "{}",
            finding.title
        );
    }

    #[test]
    fn what_still_may_come_is_a_note() {
        let scene = Scene::new().with([owner(true), task(2).reads_socket()]);
        assert_eq!(scene.twice().only().severity, Severity::Info);
    }

    #[test]
    fn members_that_are_told_or_move_and_groups_that_go_on_are_healthy() {
        let silent = [
            [owner(true), task(2).at_event().requested(1)],
            [owner(true), task(2).at_event().in_flight()],
            [owner(false), task(2).at_event()],
        ];
        for tasks in silent {
            let diagnosis = Scene::new().with(tasks).twice();
            assert!(diagnosis.findings.iter().all(|it| it.code != Code::CleanupStuck));
        }
        let scene = Scene::new().with([owner(true), task(2).sleeps(30)]);
        scene.clone().turned().after(&scene.before()).assert_no_warning();
        let anyios = owner(true).waiting(|it| it.class = Some("anyio._backends.TaskGroup".into()));
        Scene::new().with([anyios, task(2).at_event()]).twice().assert_silent();
    }
}
