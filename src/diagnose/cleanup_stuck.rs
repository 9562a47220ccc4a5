//! `cleanup-stuck`: a cancelled task is still in its `except CancelledError`, `finally` or
//! `__aexit__`, and waits there.
//!
//! Two looks cannot tell a slow good-bye from one without an end. Whoever watches for longer waits
//! until it is told from most good-byes.
//!
//! The same is a task group that waits for a member which nothing asks to end: see [`spared`].

mod spared;

use std::time::Duration;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Is, Rule};
use super::{Context, STUCK_AFTER, grouped, outlook, words};
use crate::snapshot::{
    Code, Evidence, Location, Pending, Role, Sentence, Severity, Sureness, Task, WaitKind,
};
use crate::timeline::Stillness;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::CleanupStuck,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[Follows::Loop, Follows::Reach],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::Cause, Is::Passing],
};

/// What is over by then needs nobody.
const SOON: Duration = Duration::from_secs(1);

fn find(context: &Context<'_>, out: &mut Drafts) {
    spared::find(context, out);
    let mut found = Vec::new();
    for &task in &context.cancelled {
        // A server that stops in its `finally` is in no other trouble than `shutdown-stuck` tells.
        if handler(task).is_none() || !task.is_parked() || context.does_stop(task) {
            continue;
        }
        let is_ending = context.ending.contains(&task.id);
        // The error is that of a task it awaited: nobody asked this one to end.
        let is_others = task.requests() == Some(0);
        if !is_ending && (is_others || ends_soon(task)) {
            continue;
        }
        if context.gap.is_none() {
            out.want_second_look();
            if is_ending {
                found.push((task, outlook::of_clean_up(context, out, task)));
            }
        } else if let Some(is_sure) = has_stayed(context, task) {
            let stood = context.stood_for(task);
            let severity = if is_ending {
                outlook::of_clean_up(context, out, task)
            } else if stood < SOON && context.looks.lives.is_some() {
                continue;
            } else if stood < STUCK_AFTER || !is_sure {
                Severity::Info
            } else {
                Severity::Warning
            };
            found.push((task, severity));
        }
    }
    let groups = grouped(found, |&(task, severity)| {
        (handler(task), words::place(task), severity, task.loop_id)
    });
    for group in groups {
        out.extend(report(context, &group));
    }
}

/// Whether it is over by itself before anybody could do something about it.
fn ends_soon(task: &Task) -> bool {
    let waiting = task.waiting_on.as_deref().filter(|waiting| waiting.kind() == WaitKind::Timer);
    let due = waiting.and_then(|waiting| waiting.due_in);
    due.is_some_and(|due| due.is_positive() && due.unsigned_abs() < SOON)
}

/// Where the exception is being handled.
fn handler(task: &Task) -> Option<&Location> {
    let at = task.cancellation.as_ref()?.handling?;
    task.frames.get(at).map(|frame| &*frame.location)
}

/// Whether the task was in the same clean-up at the first look, and if so, whether that is sure:
/// another task may have got its address and its name, and be cancelled in its turn.
fn has_stayed(context: &Context<'_>, task: &Task) -> Option<bool> {
    let before = context.pairs.before(task)?;
    let function = |task| handler(task).map(|location| (&location.file, &location.function));
    if !context.could_run(task) || function(before) != function(task) {
        return None;
    }
    let stillness = context.stillness(task);
    match stillness {
        Stillness::Surely => Some(true),
        // It may well move within its clean-up.
        _ if is_unique(task) => Some(true),
        Stillness::Seemingly => Some(false),
        Stillness::Moved => None,
    }
}

/// Whether no other task has ever had this one's name: asyncio counts those it gives itself.
pub(super) fn is_unique(task: &Task) -> bool {
    task.name.as_deref().is_some_and(words::is_counted)
}

fn report(context: &Context<'_>, group: &[(&Task, Severity)]) -> Option<Draft> {
    let &(task, severity) = group.first()?;
    let tasks = || group.iter().map(|(task, _)| *task);
    let age = context.age(tasks());
    let subject = match group.len() {
        1 => Sentence::name(words::work(task)).verb("has been cleaning up", "was cleaning up"),
        many => Sentence::words(words::count(many, "cancelled task"))
            .verb("have been cleaning up", "were cleaning up"),
    };
    let title = match age {
        Some(_) => subject.then("for").lasting(age),
        None => subject,
    };
    let title = title.so(waits(group.len(), task));
    let mut lines = Vec::new();
    lines.push(Evidence::from("the `CancelledError` is being handled").at(handler(task)));
    lines.extend(words::lines(tasks(), words::wait_line));
    let hanging = tasks().map(|task| context.graph.waiting_for(Node::Task(task.id)).len());
    let affected = group.len() + hanging.sum::<usize>();
    let has_limit = task.waiting_on.as_deref().is_some_and(|waiting| !waiting.deadlines.is_empty());
    let limit = if has_limit { "" } else { ", and give it a time limit with `asyncio.wait_for`" };
    let count = group.len();
    let are = if count == 1 { "is" } else { "are" };
    let pending = Pending {
        what: format!(
            "{} {are} still in clean-up after a cancellation",
            words::count(count, "task")
        ),
        seen_for: tasks().map(|task| context.stood_for(task)).max().unwrap_or_default(),
    };
    let advice = format!(
        "Do not wait for others in a clean-up{}: close without waiting{limit}.",
        words::at_short(words::place(task)),
    );
    Some(
        Draft::new(Code::CleanupStuck, severity, Sureness::Read, title)
            .on_loop(task.loop_id)
            .blames(tasks().map(|task| Node::Task(task.id)))
            .at(words::place(task), None)
            .since(age)
            .role(Role::Culprit, tasks())
            .affects(affected)
            .pending(Some(pending))
            .evidence(lines)
            .advice(advice),
    )
}

/// What one of so many tasks waits for, as the end of a title.
fn waits(count: usize, task: &Task) -> Sentence {
    let it = if count == 1 { ("it waits", "it waited") } else { ("they wait", "they waited") };
    Sentence::default().verb(it.0, it.1).then("for").and(words::awaited(task))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{LOOP, Scene, task};
    use crate::snapshot::{Shutdown, Stage};

    /// The loop has done nothing for long.
    fn stands(scene: Scene) -> Scene {
        scene.and(|snapshot| snapshot.loops[0].idle_for = Some(Duration::from_secs(7)))
    }

    #[test]
    fn a_clean_up_that_waits_at_both_looks() {
        let scene = Scene::new().with([task(1).reads_socket().handling()]);
        let once = scene.once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        // A farewell whose answer is under way looks the same.
        let twice = scene.twice();
        assert_eq!(twice.only().severity, Severity::Info);
        assert!(twice.only().title.to_string().contains(" for ≥ 200 ms"), "{}", twice.only().title);
        let twice = stands(scene).twice();
        assert_eq!(twice.only().severity, Severity::Warning);
        assert!(twice.only().title.to_string().contains(" for ≥ 7.00 s"), "{}", twice.only().title);
    }

    #[test]
    fn short_clean_ups_of_one_task_after_the_other_are_healthy() {
        // The same address, name and line; another sleep.
        let scene = Scene::new().with([task(1).sleeps(30).handling()]);
        let mut first = scene.before();
        first.snapshot.tasks.clone_from(&scene.snapshot.tasks);
        scene.clone().turned().after(&first).assert_silent();
        // Nothing that tells them apart: worth a note.
        let scene = Scene::new().with([task(1).reads_socket().handling()]);
        scene.clone().turned().after(&scene.before()).assert_no_warning();
    }

    #[test]
    fn one_that_is_over_soon_or_handles_the_error_of_another_is_healthy() {
        Scene::new().with([task(1).sleeps(700).handling()]).twice().assert_silent();
        let of_other = task(1).reads_socket().handling().requested(0);
        Scene::new().with([of_other]).twice().assert_silent();
        let long = Scene::new().with([task(1).sleeps(30_000).handling()]).twice();
        assert_eq!(long.codes(), [Code::CleanupStuck]);
    }

    #[test]
    fn asyncios_own_names_tell_tasks_apart() {
        let named = |name: &'static str| {
            let builder = task(1).reads_socket().handling();
            let scene = Scene::new().with([builder.and(|task| task.name = Some(name.into()))]);
            stands(scene)
        };
        let twice = named("Task-7").turned().after(&named("Task-7").before());
        assert_eq!(twice.only().severity, Severity::Warning);
        named("Task-8").turned().after(&named("Task-7").before()).assert_silent();
    }

    #[test]
    fn a_server_that_does_its_stop_there_is_told_of_as_that() {
        let scene = Scene::new().with([task(1).reads_socket().handling()]).and(|snapshot| {
            snapshot.shutdown = Some(Shutdown {
                stage: Stage::Graceful,
                by: "aiohttp".to_owned(),
                loop_id: Some(LOOP),
                frame: None,
                task: Some(snapshot.tasks[0].id),
                tasks: Vec::new(),
                threads: Vec::new(),
                grounds: None,
            });
        });
        assert_eq!(scene.once().codes(), [Code::ShutdownStuck]);
        assert_eq!(scene.twice().codes(), [Code::ShutdownStuck]);
    }

    #[test]
    fn when_all_ends_one_look_is_enough() {
        let scene = Scene::new().with([task(1).reads_socket().handling()]).and(|snapshot| {
            snapshot.shutdown = Some(Shutdown {
                stage: Stage::CancelAll,
                by: "asyncio.run".to_owned(),
                loop_id: Some(LOOP),
                task: None,
                frame: None,
                tasks: vec![snapshot.tasks[0].id],
                threads: Vec::new(),
                grounds: None,
            });
        });
        for diagnosis in [scene.once(), scene.twice()] {
            assert_eq!(diagnosis.codes().len(), 2);
            diagnosis.assert_no_warning();
        }
        let scene = stands(scene);
        for diagnosis in [scene.once(), scene.twice(), scene.once().of_one_look(&scene.snapshot)] {
            assert_eq!(diagnosis.codes(), [Code::CleanupStuck, Code::ShutdownStuck]);
            assert_eq!(diagnosis.of(Code::CleanupStuck).severity, Severity::Warning);
            let follower = diagnosis.of(Code::ShutdownStuck);
            assert_eq!(diagnosis.cause_of(follower), Some(Code::CleanupStuck));
        }
        Scene::new().turned().after(&scene.before()).assert_silent();
    }
}
