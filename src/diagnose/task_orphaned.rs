//! `task-orphaned`: a pending task that the garbage collector may destroy.
//!
//! That nothing refers to a task but what it waits for is common and harmless: the loop keeps the
//! timer or transport that will wake it, and asyncio's own servers of 3.8 to 3.11 keep no more of
//! their handlers' tasks. Only one whose future nothing else refers to either is a cycle of
//! garbage. What packages start is theirs to keep.

use super::draft::{Draft, Drafts};
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, grouped, words};
use crate::snapshot::{Code, Evidence, Role, Sentence, Severity, Sureness, Task};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::TaskOrphaned,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::AboutAbsence],
};

fn find(context: &Context<'_>, out: &mut Drafts) {
    let garbage = || context.forgotten.iter().copied().filter(|task| is_garbage(context, task));
    if context.gap.is_none() {
        if garbage().next().is_some() {
            out.want_second_look();
        }
        return;
    }
    let was_so = |task: &&Task| {
        context.pairs.before(task).is_some_and(|before| {
            references(before) == references(task) && before.fut_waiter == task.fut_waiter
        })
    };
    for group in grouped(garbage().filter(was_so), |task| (task.coroutine.clone(), task.loop_id)) {
        out.extend(report(&group));
    }
}

fn references(task: &Task) -> Option<u64> {
    task.grounds.as_ref()?.references
}

/// Whether it is the program's own and waits for what nothing else refers to.
fn is_garbage(context: &Context<'_>, task: &Task) -> bool {
    // A coroutine of a compiled package is not among the frames.
    let is_own = task.frames.first().is_some_and(|frame| {
        task.coroutine.as_deref() == Some(&*frame.location.function) && !frame.location.is_library()
    });
    is_own
        && task.waiting_on.as_deref().is_some_and(|waiting| {
            let enclosed = waiting.object.and_then(|object| context.enclosed.get(&object));
            waiting.is_served() == Some(false)
                || enclosed.is_some_and(|tasks| tasks.iter().all(|id| *id == task.id))
        })
}

fn report(group: &[&Task]) -> Option<Draft> {
    let task = *group.first()?;
    let title = Sentence::words("Nothing").verb("holds", "held").then("a reference to");
    let title = match group.len() {
        1 => title.and(words::work(task)).then(": it"),
        many => title.then(format!("{many} tasks of")).and(words::work(task)).then(": they"),
    };
    let it = if group.len() == 1 { "it ends" } else { "they end" };
    let title = title.then(format!("may vanish before {it}"));
    let mut lines = vec![Evidence::from(
        "the only reference to it is from what it waits for, and to that from the task: no \
         awaiter, no callback",
    )];
    lines.extend(words::lines(group.iter().copied(), words::wait_line));
    Some(
        Draft::new(Code::TaskOrphaned, Severity::Info, Sureness::Read, title)
            .on_loop(task.loop_id)
            .at(words::place(task), None)
            .role(Role::Culprit, group.iter().copied())
            .affects(group.len())
            .evidence(lines)
            .advice(
                "Keep the task that `create_task` returns, in a set or an `asyncio.TaskGroup`: the \
                 garbage collector may destroy this one before it has ended.",
            ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, ids, task};
    use crate::memory::Address;
    use crate::snapshot::{Enclosed, Location, Operation};

    fn forgotten(number: u64, references: u64) -> Builder {
        task(number)
            .at_future(Some(false))
            .and(|task| task.grounds.get_or_insert_default().references = Some(references))
    }

    #[test]
    fn a_task_that_nobody_keeps() {
        let scene = Scene::new().with((1..=3).map(|number| forgotten(number, 1)));
        assert!(scene.once().findings.is_empty() && scene.once().wants_second_look);
        let diagnosis = scene.twice();
        assert_eq!(diagnosis.only().severity, Severity::Info);
        assert!(
            diagnosis
                .only()
                .title
                .to_string()
                .starts_with("Nothing holds a reference to 3 tasks of")
        );
    }

    #[test]
    fn one_at_a_queue_that_only_it_knows() {
        let waits = |tasks: &[u64]| {
            let consumer = task(1).at_queue(Operation::Get, 0, 0);
            let consumer =
                consumer.and(|task| task.grounds.get_or_insert_default().references = Some(1));
            let tasks = ids(tasks);
            Scene::new().with([consumer]).and(|snapshot| {
                snapshot.grounds.get_or_insert_default().enclosed =
                    vec![Enclosed { object: Address(0x900), tasks }];
            })
        };
        assert_eq!(waits(&[1]).twice().of(Code::TaskOrphaned).severity, Severity::Info);
        assert!(!waits(&[1, 2]).twice().codes().contains(&Code::TaskOrphaned));
    }

    #[test]
    fn one_that_is_kept_or_awaited_is_healthy() {
        Scene::new().with([forgotten(1, 2)]).once().assert_silent();
        let called =
            forgotten(1, 1).and(|task| task.grounds.get_or_insert_default().has_callbacks = true);
        Scene::new().with([called]).once().assert_silent();
        let ended = Scene::new().with([forgotten(1, 1)]).before();
        Scene::new().turned().after(&ended).assert_silent();
    }

    #[test]
    fn one_that_the_loop_will_wake_is_healthy() {
        let woken = [task(1).sleeps(1000), task(2).reads_socket(), task(3).at_event()];
        let woken = woken.map(|builder| {
            builder.and(|task| task.grounds.get_or_insert_default().references = Some(1))
        });
        Scene::new().with(woken).twice().assert_silent();
    }

    #[test]
    fn one_of_a_package_is_not_the_programs() {
        let package = forgotten(1, 1).and(|task| {
            let frame = &mut task.frames[0];
            let file = "/venv/lib/python3.12/site-packages/grpc/aio/server.py".into();
            let location = Location::by_path(frame.location.function.clone(), file, Some(1));
            frame.location = std::sync::Arc::new(location);
        });
        Scene::new().with([package]).twice().assert_silent();
    }
}
