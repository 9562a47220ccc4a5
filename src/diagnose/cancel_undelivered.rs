//! `cancel-undelivered`: a cancellation was requested and the task has not run since.

use super::cleanup_stuck::is_unique;
use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Rule};
use super::{Context, grouped, words};
use crate::snapshot::{Age, Code, Role, Sentence, Severity, Source, Sureness, Task};
use crate::timeline::Stillness;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::CancelUndelivered,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[Follows::Loop, Follows::Culprit, Follows::Reach],
    confirmed_by: Confirmed::Nothing,
    is: &[],
};

fn find(context: &Context<'_>, out: &mut Drafts) {
    let mut found = Vec::new();
    for &task in context.cancelled.iter().filter(|task| is_undelivered(task) && !task.is_torn) {
        if context.gap.is_none() {
            out.want_second_look();
        } else if let Some(severity) = judge(context, task) {
            found.push((task, severity));
        }
    }
    let groups = grouped(found, |&(task, severity)| {
        (words::place(task), must_cancel(task), severity, task.loop_id)
    });
    for group in groups {
        out.extend(report(context, &group));
    }
}

fn is_undelivered(task: &Task) -> bool {
    task.cancellation.as_ref().is_some_and(|told| told.in_flight || told.must_cancel)
}

fn must_cancel(task: &Task) -> bool {
    task.cancellation.as_ref().is_some_and(|told| told.must_cancel)
}

fn judge(context: &Context<'_>, task: &Task) -> Option<Severity> {
    let before = context.pairs.before(task)?;
    let stillness = context.pairs.stillness(task);
    if !is_undelivered(before) || stillness == Stillness::Moved {
        return None;
    }
    let event_loop = context.now.loops.iter().find(|known| Some(known.id) == task.loop_id)?;
    let is_same_task = stillness == Stillness::Surely || is_unique(task);
    match event_loop.state? {
        // Nobody runs it.
        state if !state.is_run() => None,
        _ if context.could_run(task) && is_same_task => Some(Severity::Warning),
        _ => Some(Severity::Info),
    }
}

fn report(context: &Context<'_>, group: &[(&Task, Severity)]) -> Option<Draft> {
    let &(task, severity) = group.first()?;
    let tasks = || group.iter().map(|(task, _)| *task);
    let flag = if must_cancel(task) {
        "the exception is to be thrown in at its next step (`_must_cancel`)"
    } else {
        "the future it waits for is cancelled, and the task has not run since"
    };
    let since = context.gap.map(|gap| Age::at_least(gap, Source::Samples));
    let title = match group.len() {
        1 => Sentence::name(words::work(task)).then("was cancelled"),
        many => Sentence::words(format!("{many} tasks were cancelled")),
    };
    let has = if group.len() == 1 { "and hasn't run since" } else { "and haven't run since" };
    let title = title.maybe(since.map(|age| format!("≥ {} ago", words::span(age.time))));
    let title = title.verb(has, "and did not run for a while");
    let lines = words::lines(tasks(), words::wait_line);
    let advice = if severity == Severity::Warning {
        "What the task waits for refuses to be cancelled: its `cancel()` has to return true and \
         wake those who wait."
    } else {
        "The task gets the exception when its loop runs it next; see what holds the loop."
    };
    Some(
        Draft::new(Code::CancelUndelivered, severity, Sureness::Read, title)
            .on_loop(task.loop_id)
            .blames(tasks().map(|task| Node::Task(task.id)))
            .at(words::place(task), None)
            .since(since)
            .role(Role::Culprit, tasks())
            .affects(group.len())
            .evidence([flag.to_owned()])
            .evidence(lines)
            .advice(advice),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Scene, task};
    use crate::snapshot::BlockingKind;

    #[test]
    fn a_loop_that_turns_should_have_told_it() {
        let refused = || task(1).requested(1).cancelled(|told| told.must_cancel = true);
        let scene = Scene::new().with([refused().reads_socket()]);
        assert!(scene.once().wants_second_look && scene.once().findings.is_empty());
        assert_eq!(scene.twice().only().severity, Severity::Warning);
    }

    #[test]
    fn on_a_blocked_loop_it_follows_from_that() {
        let scene = Scene::new()
            .with([task(1).in_flight(), task(2).runs()])
            .in_callback(1, 5000)
            .blocked_by(BlockingKind::Sleep, |_| ());
        let diagnosis = scene.twice();
        assert_eq!(diagnosis.codes(), [Code::LoopBlocked, Code::CancelUndelivered]);
        let finding = diagnosis.of(Code::CancelUndelivered);
        assert_eq!(finding.severity, Severity::Info);
        assert_eq!(diagnosis.cause_of(finding), Some(Code::LoopBlocked));
    }

    #[test]
    fn one_that_was_told_meanwhile_is_healthy() {
        let first = Scene::new().with([task(1).in_flight()]).before();
        Scene::new().turned().after(&first).assert_silent();
        let now = Scene::new().with([task(1).sleeps(20).handling()]).turned();
        now.after(&first).assert_no_warning();
    }
}
