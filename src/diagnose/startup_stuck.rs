//! `startup-stuck`: a server waits for its application to start, and that does not come to its end.
//!
//! The server takes no connection until then. Many starts take their time (migrations, caches), so
//! that only one which stands at one place for long is more than a note.

use std::time::Duration;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Rule};
use super::{Context, words};
use crate::snapshot::{
    Code, Evidence, Pending, Role, Sentence, Severity, Sureness, Task, WaitKind,
};
use crate::timeline::Stillness;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::StartupStuck,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[Follows::Loop, Follows::Culprit, Follows::Reach],
    confirmed_by: Confirmed::Nothing,
    is: &[],
};

/// Who starts at one place for so long is stuck there.
const LONG: Duration = Duration::from_secs(10);

fn find(context: &Context<'_>, out: &mut Drafts) {
    if context.now.shutdown.is_some() {
        return;
    }
    let Some((server, task)) = context.now.starting() else { return };
    if context.gap.is_none() {
        out.want_second_look();
    } else if context.stillness(task) != Stillness::Moved {
        out.add(report(context, server, task));
    }
}

/// Whether the wait ends by itself, or is for work that may well take its time.
fn may_end(task: &Task) -> bool {
    task.waiting_on.as_deref().is_some_and(|waiting| {
        !waiting.deadlines.is_empty()
            || matches!(
                waiting.kind(),
                WaitKind::Timer | WaitKind::Executor | WaitKind::Subprocess | WaitKind::Thread
            )
    })
}

fn report(context: &Context<'_>, server: &str, task: &Task) -> Draft {
    // What the application waits for may be another task.
    let culprit = match context.graph.ends(&[task.id], &[])[..] {
        [end] => end,
        _ => task,
    };
    let age = context.age([task]);
    let stood = age.map(|age| age.time).unwrap_or_default();
    let is_sure = context.stillness(task) == Stillness::Surely;
    let may_end = may_end(culprit) || may_end(task);
    let severity =
        if stood >= LONG && is_sure && !may_end { Severity::Warning } else { Severity::Info };
    let title = Sentence::words("Start-up").verb("has waited", "waited").then("for");
    let title = title.lasting(age).maybe(words::at(words::place(culprit)));
    let title = title.so(Sentence::words(words::awaited(culprit)));
    let pending = Pending { what: format!("{server} has not started yet"), seen_for: stood };
    let tasks = || std::iter::once(culprit).chain((culprit.id != task.id).then_some(task));
    let takes = format!("{server} takes no connection before its application has started");
    let mut lines = vec![Evidence::from(takes)];
    lines.extend(words::lines(tasks(), words::wait_line));
    Draft::new(Code::StartupStuck, severity, Sureness::Read, title)
        .pending((!may_end).then_some(pending))
        .on_loop(task.loop_id)
        .blames(tasks().map(|task| Node::Task(task.id)))
        .at(words::place(culprit), None)
        .since(age)
        .role(Role::Culprit, [culprit])
        .tasks(tasks())
        .affects(1)
        .evidence(lines)
        .advice(
            "Give what the application waits for at its start a time limit, and let the start fail \
             when that is over.",
        )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnose::tests::{Builder, GAP, Scene, frame, task};
    use crate::snapshot::{Frame, Location};

    fn of_lifespan(function: &str) -> Frame {
        let file = "/venv/lib/python3.12/site-packages/uvicorn/lifespan/on.py".into();
        Frame {
            location: Arc::new(Location::by_path(function.into(), file, Some(50))),
            locals: None,
        }
    }

    /// uvicorn's main task, and the task of its application.
    fn starting(application: Builder) -> Scene {
        let server =
            task(1).at_event().and(|it| it.frames = vec![of_lifespan("LifespanOn.startup")]);
        let application = application
            .and(|it| it.frames = vec![of_lifespan("LifespanOn.main"), frame("migrate", 12)]);
        Scene::new().with([server, application])
    }

    fn idle_for(scene: Scene, time: Duration) -> Scene {
        scene.and(|snapshot| snapshot.loops[0].idle_for = Some(time))
    }

    #[test]
    fn a_start_that_stands_is_a_note_and_after_long_a_warning() {
        let scene = starting(task(2).reads_socket());
        assert!(scene.once().findings.is_empty() && scene.once().wants_second_look);
        let note = scene.twice();
        assert_eq!(note.only().severity, Severity::Info);
        assert_eq!(note.only().pending.as_ref().unwrap().seen_for, GAP);
        let long = idle_for(scene, Duration::from_secs(34)).twice();
        let finding = long.only();
        assert_eq!((finding.code, finding.severity), (Code::StartupStuck, Severity::Warning));
        let title = "Start-up has waited for ≥ 34.0 s at app.py:12: 10.0.0.5:5432";
        assert_eq!(finding.title.to_string(), title);
        assert_eq!(finding.tasks, [task(2).task.id]);
    }

    #[test]
    fn what_ends_by_itself_stays_a_note() {
        for application in [task(2).sleeps(60_000), task(2).reads_socket().deadline(60_000)] {
            let diagnosis = idle_for(starting(application), Duration::from_secs(34)).twice();
            assert_eq!(diagnosis.only().severity, Severity::Info);
            assert!(diagnosis.only().pending.is_none());
        }
    }

    #[test]
    fn a_start_that_moves_is_none() {
        let scene = starting(task(2).reads_socket());
        let before = starting(task(2).at_event()).before();
        assert!(scene.turned().after(&before).findings.is_empty());
    }

    #[test]
    fn nor_is_a_server_that_has_started() {
        let server = task(1).sleeps(100).and(|it| it.frames = vec![frame("main_loop", 3)]);
        Scene::new().with([server]).twice().assert_silent();
    }
}
