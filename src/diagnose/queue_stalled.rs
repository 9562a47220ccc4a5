//! `queue-stalled`: tasks wait at a queue for others that will not come.
//!
//! A full queue is how a slow consumer slows down its producers, and workers at an empty one are
//! idle: both healthy. What tells a stall is that nobody is left who could come: all references to
//! the queue are in tasks that wait, in the end, for each other there; or, at a full one, every
//! other task waits for those at the queue, or for something that is far away.

use rustc_hash::FxHashSet;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Is, Rule};
use super::words::WAIT;
use super::{Context, grouped, severity_of, words};
use crate::memory::Address;
use crate::snapshot::{
    Cause, Code, Count, Evidence, Operation, Pending, Role, Sentence, Severity, Sureness, Task,
    Waiting,
};
use crate::timeline::Stillness;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::QueueStalled,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::Nobody,
    follows: &[Follows::Culprit, Follows::Reach],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::Cause, Is::AboutAbsence],
};

/// What is at a standstill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    /// Producers at a full queue.
    Full,
    /// Those who wait for all items to be done.
    Unfinished,
    /// Consumers whose last producer has ended.
    Empty,
}

fn find(context: &Context<'_>, out: &mut Drafts) {
    let at_queue = context.at_queue.iter().copied();
    let object = |task: &&Task| task.waiting_on.as_deref().and_then(|waiting| waiting.object);
    for tasks in grouped(at_queue, object) {
        let Some(queue) = tasks.first().and_then(object) else { continue };
        for side in [Side::Full, Side::Unfinished, Side::Empty] {
            let waiters: Vec<&Task> =
                tasks.iter().copied().filter(|task| side_of(task) == Some(side)).collect();
            let is_met = side == Side::Full
                && tasks.iter().any(|task| operation(task) == Some(Operation::Get));
            // All consumers have to be without a producer.
            let is_part = side == Side::Empty && waiters.len() < tasks.len();
            // Consumers of a queue that others can come to are idle.
            let is_idle = side == Side::Empty && !context.is_out_of_reach(queue);
            // Who has taken an item may work on it for as long as it likes; not who asks for more.
            let is_worked_on = side == Side::Unfinished
                && !tasks.iter().any(|task| operation(task) == Some(Operation::Get))
                && !context.is_out_of_reach(queue);
            if waiters.is_empty() || is_met || is_part || is_idle || is_worked_on {
                continue;
            }
            if context.gap.is_none() {
                out.want_second_look();
            } else {
                out.extend(judge(context, queue, side, &waiters));
            }
        }
    }
}

fn operation(task: &Task) -> Option<Operation> {
    task.waiting_on.as_deref().and_then(Waiting::operation)
}

fn side_of(task: &Task) -> Option<Side> {
    let waiting = task.waiting_on.as_deref()?;
    // One with a time limit goes on by itself.
    if !waiting.deadlines.is_empty() {
        return None;
    }
    let Count { value, limit } = waiting.count();
    let value = value.unwrap_or(0);
    // Who waits to put into one of size 0 is at a stream of anyio, which has no buffer then.
    let is_full = limit.is_some_and(|limit| value >= limit);
    match waiting.operation()? {
        Operation::Put if is_full => Some(Side::Full),
        Operation::Join if value > 0 => Some(Side::Unfinished),
        Operation::Get if value == 0 => Some(Side::Empty),
        _ => None,
    }
}

fn judge(context: &Context<'_>, queue: Address, side: Side, waiters: &[&Task]) -> Option<Draft> {
    let value = |task: &Task| task.waiting_on.as_deref().and_then(|waiting| waiting.count().value);
    let has_stayed = |task: &&&Task| {
        context.pairs.before(task).is_some_and(|before| value(before) == value(task))
    };
    let stillness = waiters.iter().map(|task| context.stillness(task)).min()?;
    if stillness == Stillness::Moved || !waiters.iter().all(|task| has_stayed(&task)) {
        return None;
    }
    let hanging = context.graph.waiting_for(Node::Object(queue));
    let ids: FxHashSet<Address> = hanging.iter().map(|task| task.id).collect();
    let has_others = context.active().iter().any(|task| !ids.contains(&task.id));
    let is_out_of_reach = context.stays_out_of_reach(queue);
    // Without a buffer each item waits for its taker: that is how the two ends meet.
    let limit = waiters.first().and_then(|it| it.waiting_on.as_deref()?.count().limit);
    if side == Side::Full && limit == Some(0) && !is_out_of_reach {
        return None;
    }
    // Where nothing else keeps it from being a warning.
    let may_stall =
        side == Side::Full && !is_out_of_reach && !has_others && stillness != Stillness::Surely;
    let (severity, sureness) = match side {
        Side::Empty if !is_out_of_reach => return None,
        // Nobody waits for them to end: they are left over, and cost nothing else.
        Side::Empty if ids.len() <= waiters.len() => (Severity::Info, Sureness::Derived),
        Side::Empty | Side::Unfinished if is_out_of_reach => (Severity::Warning, Sureness::Derived),
        Side::Full if limit == Some(0) => (Severity::Warning, Sureness::Derived),
        Side::Unfinished if has_others => return None,
        // Its items may be worked on elsewhere, in threads or in other processes.
        Side::Unfinished => (Severity::Info, Sureness::Guessed),
        _ if has_others => (Severity::Info, Sureness::Guessed),
        _ => (severity_of(stillness, Severity::Warning), Sureness::Guessed),
    };
    let pending = may_stall.then(|| Pending {
        what: format!(
            "{} wait{} to put into {}",
            words::count(waiters.len(), "task"),
            words::one_does(waiters.len()),
            waiters
                .first()
                .and_then(|it| it.waiting_on.as_deref())
                .map(words::short_thing)
                .unwrap_or_default(),
        ),
        seen_for: waiters.iter().map(|task| context.stood_for(task)).min().unwrap_or_default(),
    });
    let report = report(context, queue, side, waiters, (severity, sureness));
    Some(report.affects(hanging.len()).pending(pending))
}

fn report(
    context: &Context<'_>,
    queue: Address,
    side: Side,
    waiters: &[&Task],
    (severity, sureness): (Severity, Sureness),
) -> Draft {
    let waiting = waiters.first().and_then(|task| task.waiting_on.as_deref());
    let name = waiting.map_or_else(|| "a queue".to_owned(), words::called);
    let items = waiting.map(Waiting::count).unwrap_or_default();
    let (value, limit) = (items.value.unwrap_or(0), items.limit.unwrap_or(0));
    let longest = waiters.iter().max_by_key(|task| context.stood_for(task));
    let title = Sentence::name(&name[..]);
    let title = match side {
        Side::Full => title
            .verb("is", "was")
            .then(match limit {
                0 => "without a buffer, and".to_owned(),
                _ => format!("full ({value} of {limit}) and"),
            })
            .verb("nobody takes from it", "nobody took from it")
            .so_many(waiters.len(), "task", WAIT),
        Side::Unfinished => Sentence::name(match waiting.and_then(|it| it.name.as_ref()) {
            Some(name) => format!("{name}.join()"),
            None => "join() of a queue".to_owned(),
        })
        .verb("waits", "waited")
        .then("for")
        .then(format!("{} that nobody will finish", words::items(value))),
        Side::Empty => title
            .verb(
                "is empty and its last producer has ended",
                "was empty and its last producer had ended",
            )
            .so_many(waiters.len(), "task", WAIT),
    };
    let role = if side == Side::Full { Role::Producer } else { Role::Consumer };
    let role = if side == Side::Unfinished { Role::Waiter } else { role };
    let line = |task: &Task| words::wait_line(task).role(role);
    let mut lines = words::lines(waiters.iter().copied(), line);
    lines.push(Evidence::from(match (severity, sureness) {
        (_, Sureness::Derived) => "all references to it are in tasks that wait for this".to_owned(),
        (Severity::Info, _) if side == Side::Full => {
            "others are at work who may take from it".to_owned()
        }
        _ => "every other task waits for these tasks or is idle".to_owned(),
    }));
    let is_stream = waiting
        .and_then(|it| it.class.as_deref())
        .is_some_and(|class| class.starts_with("anyio.streams."));
    let advice = match side {
        Side::Empty if is_stream => {
            "Close the sending end, and each clone of it, when there is no more to come: `async with` \
             does it on every way out, and then `async for` at the other end is over."
        }
        Side::Full => {
            "See whether its consumers have ended, by an exception that nobody looked at; start \
             them in a `TaskGroup` with the producers, so that all end together."
        }
        Side::Unfinished => {
            "Call `task_done()` once for each item, in a `finally`, and see whether the workers \
             have ended before the work was done."
        }
        Side::Empty => {
            "Tell the consumers when there is no more to come: `Queue.shutdown()` (Python 3.13), \
             or an item that means the end for each of them."
        }
    };
    Draft::new(Code::QueueStalled, severity, sureness, title)
        .on_loop(waiters.first().and_then(|task| task.loop_id))
        .blames([Node::Object(queue)])
        .at(
            waiters.first().and_then(|task| words::place(task)),
            words::common_name(waiters.iter().copied()),
        )
        .cause(waiting.map(|waiting| Cause::Queue {
            name: waiting.name.clone(),
            class: waiting.class.clone(),
            object: waiting.object,
            items: items.value,
            size: items.limit.filter(|limit| *limit > 0),
        }))
        .since(context.age(longest.copied()))
        .role(role, waiters.iter().copied())
        .evidence(lines)
        .advice(advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, ids, task};
    use crate::snapshot::Enclosed;

    fn producer(number: u64) -> Builder {
        task(number).at_queue(Operation::Put, 5, 5)
    }

    #[test]
    fn producers_whose_consumer_has_died() {
        let scene = Scene::new()
            .with([producer(1), producer(2), task(3).gathers(&[1, 2])])
            .with([task(4).at_event(), task(5).sleeps(3_600_000)]);
        let once = scene.once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(
            finding.title.to_string().ends_with("and nobody takes from it: 2 tasks wait"),
            "{}",
            finding.title
        );
        assert!(finding.title.to_string().contains("(5 of 5)"));
    }

    #[test]
    fn a_slow_consumer_is_healthy() {
        let scene = Scene::new().with([producer(1), task(2).reads_socket()]);
        scene.twice().assert_no_warning();
        let join =
            Scene::new().with([task(1).at_queue(Operation::Join, 3, 0), task(2).sleeps(1000)]);
        join.twice().assert_silent();
        // One item was taken and another put.
        let mut first = Scene::new().with([producer(1)]).before();
        first.snapshot.tasks[0].fut_waiter = None;
        Scene::new().with([producer(1)]).turned().after(&first).assert_silent();
    }

    #[test]
    fn who_sends_without_a_buffer_is_stalled_when_nobody_can_take_it() {
        let scene = || {
            let sender = task(1).at_queue(Operation::Put, 0, 0);
            Scene::new().with([sender, task(2).gathers(&[1]), task(3).at_event()])
        };
        // The other end may come for it.
        scene().twice().assert_silent();
        let twice = enclosed(scene(), &[1, 2]).twice();
        let finding = twice.only();
        assert_eq!(finding.severity, Severity::Warning);
        let title = finding.title.to_string();
        assert!(
            title.ends_with("is without a buffer, and nobody takes from it: 1 task waits"),
            "{title}"
        );
    }

    fn enclosed(scene: Scene, tasks: &[u64]) -> Scene {
        let tasks = ids(tasks);
        scene.and(|snapshot| {
            snapshot.grounds.get_or_insert_default().enclosed =
                vec![Enclosed { object: Address(0x900), tasks }];
        })
    }

    #[test]
    fn a_join_that_nobody_works_for() {
        let idle = task(2).at_queue(Operation::Get, 0, 0);
        let scene = Scene::new().with([task(1).at_queue(Operation::Join, 3, 0), idle]);
        // Somebody else may call `task_done`.
        scene.twice().assert_no_warning();
        let twice = enclosed(scene, &[1, 2]).twice();
        let finding = twice.of(Code::QueueStalled);
        assert_eq!(finding.severity, Severity::Warning);
        assert!(
            finding.title.to_string().contains("waits for 3 items that nobody will finish"),
            "{}",
            finding.title
        );
    }

    #[test]
    fn consumers_are_stalled_only_when_somebody_waits_for_them_and_nobody_else_can_come() {
        let consumer = |number| task(number).at_queue(Operation::Get, 0, 0);
        let idle = || Scene::new().with([consumer(1), consumer(2), task(3).at_event()]);
        idle().twice().assert_silent();
        enclosed(idle(), &[1, 2]).twice().assert_no_warning();
        let joined = || Scene::new().with([consumer(1), consumer(2), task(3).gathers(&[1, 2])]);
        joined().twice().assert_silent();
        let twice = enclosed(joined(), &[1, 2, 3]).twice();
        assert_eq!(twice.only().severity, Severity::Warning);
        let producer = task(4).reads_socket();
        enclosed(joined().with([producer]), &[1, 2, 3, 4]).twice().assert_silent();
    }
}
