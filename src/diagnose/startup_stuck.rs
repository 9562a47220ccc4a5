//! `startup-stuck`: a server waits for its application to start, and that does not come to its end.
//!
//! The server takes no connection until then. Many starts take their time (migrations, caches), so
//! that only one which stands at one place for long is more than a note, or one that waits for a loop
//! of the program which has no end.

use std::time::Duration;

use rustc_hash::FxHashSet;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Rule};
use super::{Context, words};
use crate::snapshot::{
    Age, Code, Evidence, Location, Operation, Pending, Role, Sentence, Severity, Snapshot, Source,
    Sureness, Task, Wait, WaitKind,
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
/// Tasks that a start-up waits for which are looked at for one without an end.
const MAX_AWAITED: usize = 1000;

fn find(context: &Context<'_>, out: &mut Drafts) {
    if context.now.shutdown.is_some() {
        return;
    }
    let Some((server, task)) = context.now.starting() else { return };
    let never_ends = never_ends(context, task);
    let first = context.looks.first;
    let was_so = |first: &Snapshot| {
        first.starting().is_some_and(|(_, before)| before.id == task.id)
            && never_ends.is_some_and(|(end, _)| first.endless(end.id).is_some())
    };
    if context.gap.is_none() {
        out.want_second_look();
    }
    if first.map_or(never_ends.is_some(), was_so) || context.stillness(task) != Stillness::Moved {
        out.add(report(context, server, task, never_ends));
    }
}

/// The task of the program's that the start-up waits for and that does not end by itself, and where
/// it goes round and round.
fn never_ends<'s>(context: &Context<'s>, task: &'s Task) -> Option<(&'s Task, &'s Location)> {
    let mut seen = FxHashSet::default();
    let mut next = vec![task];
    while let Some(task) = next.pop().filter(|_| seen.len() < MAX_AWAITED) {
        let waiting = task.waiting_on.as_deref()?;
        if !seen.insert(task.id) || task.cancellation.is_some() || !waiting.deadlines.is_empty() {
            continue;
        }
        if let Some(place) = context.now.endless(task.id) {
            return Some((task, place));
        }
        // Who waits for the first of several, or for a lock, may get what it wants.
        let is_for_all = matches!(
            waiting.wait,
            Wait::Task { operation: None | Some(Operation::Shield), .. }
                | Wait::Gather(_)
                | Wait::TaskGroup(_)
        );
        let awaited = waiting.tasks().iter().filter(|_| is_for_all);
        next.extend(awaited.filter_map(|id| context.task(*id)));
    }
    None
}

/// Where the program waits for what it has called that is at `place`, if that is in the same task.
fn caller<'t>(task: &'t Task, place: &Location) -> Option<&'t Location> {
    let at = task.frames.iter().position(|frame| *frame.location == *place)?;
    let outer = task.frames.get(..at)?.iter().rev();
    outer.map(|frame| &*frame.location).find(|location| !location.is_library())
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

fn report(
    context: &Context<'_>,
    server: &str,
    task: &Task,
    never_ends: Option<(&Task, &Location)>,
) -> Draft {
    // What the application waits for may be another task.
    let culprit = match (never_ends, &context.graph.ends(&[task.id], &[])[..]) {
        (Some((end, _)), _) => end,
        (None, [end]) => end,
        _ => task,
    };
    // What goes round and round moves, but the start-up does not.
    let seen = context.gap.map(|gap| Age::at_least(gap, Source::Samples));
    let ages = [context.age([task]), seen.filter(|_| never_ends.is_some())];
    let age = ages.into_iter().flatten().max_by_key(|age| age.time);
    let stood = age.map(|age| age.time).unwrap_or_default();
    let is_sure = context.stillness(task) == Stillness::Surely;
    let may_end = may_end(culprit) || may_end(task);
    let is_stuck = stood >= LONG && is_sure && !may_end;
    let severity =
        if never_ends.is_some() || is_stuck { Severity::Warning } else { Severity::Info };
    // The line that waits for what has no end is the one to change.
    let place = match never_ends {
        Some((end, round)) if end.id == task.id => caller(task, round).or(Some(round)),
        Some(_) => words::place(task),
        None => words::place(culprit),
    };
    let title = Sentence::words("Start-up").verb("has waited", "waited");
    let title = if age.is_some() { title.then("for").lasting(age) } else { title };
    let title = title.maybe(words::at(place)).so(match never_ends {
        Some((_, round)) => {
            Sentence::name(words::function(&round.function)).verb("never ends", "never ended")
        }
        None => Sentence::words(words::awaited(culprit)),
    });
    let pending = Pending { what: format!("{server} has not started yet"), seen_for: stood };
    let tasks = || std::iter::once(culprit).chain((culprit.id != task.id).then_some(task));
    let takes = format!("{server} takes no connection before its application has started");
    let mut lines = vec![Evidence::from(takes)];
    lines.extend(never_ends.map(|(end, round)| {
        let text = format!("{} is in a loop without an end", words::name(end));
        Evidence { task: Some(end.id), ..Evidence::from(text) }.at(Some(round))
    }));
    lines.extend(words::lines(tasks(), words::wait_line));
    let advice = match never_ends {
        Some(_) => {
            "Start what is to go on for as long as the server as a task, keep a reference to it, and \
             do not await it before the application has started; cancel it at the end."
        }
        None => {
            "Give what the application waits for at its start a time limit, and let the start fail \
             when that is over."
        }
    };
    Draft::new(Code::StartupStuck, severity, Sureness::Read, title)
        .pending((!may_end).then_some(pending))
        .on_loop(task.loop_id)
        .blames(tasks().map(|task| Node::Task(task.id)))
        .at(place, None)
        .since(age)
        .role(Role::Culprit, [culprit])
        .tasks(tasks())
        .affects(1)
        .evidence(lines)
        .advice(advice)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnose::tests::{Builder, GAP, Scene, frame, task};
    use crate::memory::Address;
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

    /// It awaits a task, or with no other one calls a function, that goes round and round at line 7.
    fn endless(application: Builder, inner: Option<Builder>) -> Scene {
        let round = |it: &mut Task| it.frames.push(frame("poll", 7));
        let id = inner.as_ref().unwrap_or(&application).task.id;
        let (application, inner) = match inner {
            Some(inner) => (application, Some(inner.and(round))),
            None => (application, None),
        };
        let scene = starting(application).with(inner);
        scene.and(|snapshot| {
            let task = snapshot.tasks.iter_mut().find(|task| task.id == id).unwrap();
            if id == Address(2) {
                round(task);
            }
            let place = Arc::clone(&task.frames.last().unwrap().location);
            snapshot.grounds.get_or_insert_default().endless.push((id, place));
        })
    }

    #[test]
    fn a_start_that_waits_for_a_loop_without_an_end_is_stuck_at_once() {
        let awaits = endless(task(2).awaits(&[3]), Some(task(3).sleeps(500)));
        let calls = endless(task(2).sleeps(500), None);
        for (scene, culprit) in [(awaits, 3), (calls, 2)] {
            let twice = scene.clone().turned().after(&scene.before());
            let finding = twice.only();
            assert_eq!((finding.code, finding.severity), (Code::StartupStuck, Severity::Warning));
            let title = "Start-up has waited for ≥ 200 ms at app.py:12: poll never ends";
            assert_eq!(finding.title.to_string(), title);
            assert_eq!(finding.tasks.first(), Some(&Address(culprit)));
            assert_eq!(scene.once().only().severity, Severity::Warning);
        }
    }

    #[test]
    fn a_loop_that_a_limit_or_another_task_ends_is_no_proof() {
        let of = |application: Builder| endless(application, Some(task(3).sleeps(500)));
        for application in [
            task(2).awaits(&[3]).deadline(60_000),
            // It goes on in the background, or the first of several may end.
            task(2).at_event(),
            task(2).awaits(&[3]).and(|it| {
                let waiting = it.waiting_on.as_deref_mut().unwrap();
                let Wait::Task { operation, .. } = &mut waiting.wait else { panic!() };
                *operation = Some(Operation::Wait);
            }),
        ] {
            of(application).twice().assert_no_warning();
        }
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
