//! `timeout-overdue`: a time limit is past while its body still runs.

use std::time::Duration;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Rule};
use super::{Context, grouped, words};
use crate::snapshot::{
    Age, Code, Deadline, Evidence, Loop, Phase, Role, Sentence, Severity, Source, Sureness, Task,
    Waiting,
};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::TimeoutOverdue,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[Follows::Loop, Follows::Culprit, Follows::Reach],
    confirmed_by: Confirmed::Tasks,
    is: &[],
};

/// A loop that has much to do comes to a timer late, and a body may clean up for a moment.
const LATE: Duration = Duration::from_millis(100);
/// Two clocks of one machine do not differ by more.
const JUST: Duration = Duration::from_millis(1);
/// No loop that turns is as late as that.
const SURELY_LATE: Duration = Duration::from_secs(1);

fn find(context: &Context<'_>, out: &mut Drafts) {
    let mut found = Vec::new();
    for &task in &context.overdue {
        let Some((_, late)) = overdue(task) else { continue };
        if late < JUST || !is_to_be_told(context, out, task, late) {
            continue;
        }
        match context.looks.passed() {
            // So late that it was so at the first look.
            Some((_, most)) if late >= most.max(LATE) => found.push(task),
            Some(_) => {}
            None if late >= SURELY_LATE => {
                found.push(task);
                out.want_second_look();
            }
            None => out.want_second_look(),
        }
    }
    let set_at = |task: &Task| overdue(task).and_then(|(deadline, _)| deadline.frame);
    let found = found.into_iter().map(|task| (task, culprit(context, task)));
    let shape = |(task, culprit): &(&Task, &Task)| {
        (words::place(culprit).cloned(), set_at(task), task.loop_id)
    };
    for group in grouped(found, shape) {
        out.extend(report(context, &group));
    }
}

/// The task that does not end: the limited one itself, or what it waits for in the end. Before
/// Python 3.12 `wait_for` runs what it limits in a task of its own.
fn culprit<'c>(context: &Context<'c>, task: &'c Task) -> &'c Task {
    let chain = context.graph.chain(Node::Task(task.id)).into_iter();
    let tasks = chain.map_while(|node| match node {
        Node::Task(id) => context.task(id),
        _ => None,
    });
    tasks.last().unwrap_or(task)
}

/// The limit that is past the longest, and by how much.
fn overdue(task: &Task) -> Option<(&Deadline, Duration)> {
    let deadlines = task.waiting_on.as_deref()?.deadlines.iter();
    let known = deadlines.filter_map(|deadline| Some((deadline, deadline.due_in?)));
    let (worst, due_in) = known.min_by_key(|(_, due_in)| *due_in)?;
    due_in.is_negative().then(|| (worst, due_in.unsigned_abs()))
}

/// Whether the limit is late for a reason of its own, or for one that is told: a loop that is
/// behind with everything, for no reason that is known, is no fault of this task.
fn is_to_be_told(context: &Context<'_>, out: &Drafts, task: &Task, late: Duration) -> bool {
    let known = context.now.loops.iter().find(|known| Some(known.id) == task.loop_id);
    let is_behind = |event_loop: &Loop| {
        let turn = event_loop.iteration.as_ref().filter(|turn| turn.phase == Phase::Ready);
        let held = turn.and_then(|turn| turn.elapsed).max(event_loop.lag);
        held.is_some_and(|held| held + LATE / 2 >= late)
    };
    !known.is_some_and(is_behind) || out.has(Code::LoopBlocked, task.loop_id)
}

fn report(context: &Context<'_>, group: &[(&Task, &Task)]) -> Option<Draft> {
    let &(task, culprit) = group.first()?;
    let (deadline, late) = overdue(task)?;
    let set_at = deadline.frame.and_then(|at| task.frames.get(at));
    let set_at = set_at.map(|frame| &*frame.location);
    let at = words::at_short(words::place(culprit));
    let age = Age::exact(late, Source::Timer);
    let title = match group.len() {
        1 => Sentence::name(words::work(culprit)).verb("is", "was"),
        many => Sentence::words(format!("{many} tasks")).verb("are", "were"),
    };
    let its = if group.len() == 1 { "its" } else { "their" };
    let title = title.then("still running").lasting(Some(age)).then(format!("after {its} timeout"));
    let told = culprit.cancellation.as_ref();
    let handler = told.and_then(|told| culprit.frames.get(told.handling?));
    let handler = handler.map(|frame| &*frame.location);
    let mut lines = vec![Evidence::from("the limit was set").at(set_at)];
    lines.extend(
        handler
            .map(|place| Evidence::from("its `CancelledError` is being handled").at(Some(place))),
    );
    let culprits = || group.iter().map(|(_, culprit)| *culprit);
    let limited = || group.iter().map(|(task, _)| *task);
    let waiting = || {
        let others = group.iter().filter(|(task, culprit)| task.id != culprit.id);
        others.map(|(task, _)| *task)
    };
    lines.extend(words::lines(culprits(), words::wait_line));
    lines.extend(words::lines(waiting(), words::wait_line));
    let thread = culprit.waiting_on.as_deref().and_then(Waiting::thread);
    let thread = thread.and_then(|tid| context.thread(tid));
    lines.extend(thread.map(words::thread_line));
    let advice = match handler {
        _ if thread.is_some() => format!(
            "A time limit cannot end a call in a thread: give the call itself one{} (a socket's \
             `settimeout`, a client's `timeout=`).",
            words::at_short(thread.and_then(|it| Some(&*words::own_frame(&it.frames)?.location))),
        ),
        Some(place) => format!(
            "The limit ends only when the clean-up at {} has ended; do not wait there without a \
             limit.",
            words::short(place)
        ),
        None => format!(
            "A time limit works by cancelling: what runs{at} has to yield to the loop, and must \
             not catch `CancelledError`."
        ),
    };
    Some(
        Draft::new(Code::TimeoutOverdue, Severity::Warning, Sureness::Read, title)
            .on_loop(task.loop_id)
            .blames(culprits().chain(waiting()).map(|task| Node::Task(task.id)))
            .at(words::place(culprit), None)
            .since(Some(age))
            .role(Role::Culprit, culprits())
            .role(Role::Waiter, waiting())
            .tasks(limited())
            .affects(group.len())
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
    fn a_limit_long_past_is_told_at_one_look() {
        let scene = Scene::new().with([task(1).reads_socket().deadline(-3200)]);
        let finding = scene.once();
        assert!(
            finding.only().title.to_string().contains("is still running 3.20 s after its timeout")
        );
        assert_eq!(finding.only().severity, Severity::Warning);
        assert_eq!(scene.twice().codes(), [Code::TimeoutOverdue]);
    }

    #[test]
    fn what_does_not_end_is_named_where_it_is_a_task_of_its_own() {
        let limited = task(1).awaits(&[2]).deadline(-3200);
        let scene = Scene::new().with([limited, task(2).sleeps(60_000)]);
        let once = scene.once();
        assert_eq!(once.only().tasks, crate::diagnose::tests::ids(&[2, 1]));
        assert!(
            once.only().title.to_string().starts_with("t2 is still running"),
            "{}",
            once.only().title
        );
    }

    #[test]
    fn a_limit_not_yet_due_or_just_past_is_healthy() {
        Scene::new().with([task(1).reads_socket().deadline(60_000)]).once().assert_silent();
        let just = Scene::new().with([task(1).reads_socket().deadline(-20)]);
        assert!(just.once().findings.is_empty());
        let first = Scene::new().with([task(1).reads_socket().deadline(-150).handling()]);
        assert!(first.once().findings.is_empty() && first.once().wants_second_look);
        Scene::new().turned().after(&first.before()).assert_silent();
    }

    #[test]
    fn on_a_blocked_loop_it_follows_from_that() {
        let scene = Scene::new()
            .with([task(1).reads_socket().deadline(-3000), task(2).runs()])
            .in_callback(1, 5000)
            .blocked_by(BlockingKind::Socket, |_| ());
        let diagnosis = scene.once();
        assert_eq!(diagnosis.codes(), [Code::LoopBlocked, Code::TimeoutOverdue]);
        assert_eq!(diagnosis.cause_of(&diagnosis.findings[1]), Some(Code::LoopBlocked));
    }

    #[test]
    fn a_loop_that_is_behind_with_everything_is_no_fault_of_a_task() {
        let scene = Scene::new()
            .with([task(1).reads_socket().deadline(-300)])
            .in_callback(4000, 350)
            .blocked_by(BlockingKind::Cpu, |_| ());
        assert!(scene.once().findings.is_empty());
    }
}
