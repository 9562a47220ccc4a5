//! `busy-spin`: the loop turns without ever sleeping and without progress.
//!
//! A busy service does not sleep either, but each look finds other work in its ready queue. A
//! computation that gives way with `sleep(0)` has the same callback there every time, but it is
//! mostly seen computing; one that spins is mostly seen between its callbacks.

use std::time::Duration;

use super::draft::{Draft, Drafts};
use super::{Context, words};
use crate::snapshot::{Code, Loop, LoopState, Phase, Severity, Sureness, Task};
use crate::timeline::has_same_iteration;

/// Nothing of note is done in a turn shorter than this.
const SHORT: Duration = Duration::from_millis(1);
/// Which share of a processor a loop has that never sleeps: some may be taken by others.
const FULL: f64 = 0.7;
/// How many callbacks may chase each other.
const MAX_CALLBACKS: usize = 8;

pub(super) fn find(context: &Context<'_>, out: &mut Drafts) {
    for event_loop in &context.now.loops {
        if !may_spin(event_loop) {
            continue;
        }
        let (Some(gap), Some(before)) = (context.gap, context.looks.loop_before(event_loop.id))
        else {
            out.want_second_look();
            continue;
        };
        let callbacks = callbacks(event_loop);
        let is_same = may_spin(before)
            && callbacks == self::callbacks(before)
            && !has_same_iteration(before, event_loop);
        if !is_same {
            continue;
        }
        match share(context, event_loop, gap) {
            Some(share) if share >= FULL => {
                out.add(report(context, event_loop, &callbacks, Some(share)));
            }
            Some(_) => {}
            None => out.add(report(context, event_loop, &callbacks, None)),
        }
    }
}

/// Whether the loop had something to do at once, the same few things, and no work in them.
fn may_spin(event_loop: &Loop) -> bool {
    let turn = event_loop.iteration.as_ref();
    let is_short = turn.is_none_or(|turn| {
        turn.phase == Phase::Select || turn.elapsed.is_some_and(|elapsed| elapsed < SHORT)
    });
    let count = callbacks(event_loop).len();
    let is_open = matches!(event_loop.state, Some(LoopState::Polling | LoopState::Running));
    event_loop.polls_without_waiting == Some(true)
        && is_open
        && is_short
        && (1..=MAX_CALLBACKS).contains(&count)
}

/// What runs or is to run, in one order.
fn callbacks(event_loop: &Loop) -> Vec<&str> {
    let running = event_loop.iteration.as_ref().and_then(|turn| turn.handle.as_deref());
    let ready = event_loop.ready_handles.iter().map(String::as_str);
    let mut all: Vec<_> = ready.chain(running).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Which share of a processor the loop's thread has had between the looks.
fn share(context: &Context<'_>, event_loop: &Loop, gap: Duration) -> Option<f64> {
    let tid = event_loop.thread?;
    let before = context.looks.thread_before(tid)?.cpu_time?;
    let used = context.thread(tid)?.cpu_time?.checked_sub(before)?;
    (!gap.is_zero()).then(|| used.as_secs_f64() / gap.as_secs_f64())
}

fn report(
    context: &Context<'_>,
    event_loop: &Loop,
    callbacks: &[&str],
    share: Option<f64>,
) -> Draft {
    let is_named = |task: &&Task| {
        task.loop_id == Some(event_loop.id)
            && task.name.as_ref().is_some_and(|name| {
                callbacks.iter().any(|callback| callback.strip_prefix("task ") == Some(name))
            })
    };
    let tasks: Vec<&Task> = context.now.tasks.iter().filter(is_named).take(MAX_CALLBACKS).collect();
    let what: Vec<_> = callbacks.iter().map(|callback| words::quoted(callback)).collect();
    let what = what.join(", ");
    let percent = share.map(|share| format!(", with {:.0} % of a processor", share * 100.0));
    let title = format!(
        "the loop turns without ever sleeping{}: {what} comes again at once each time",
        percent.clone().unwrap_or_default()
    );
    let severity = if share.is_some() { Severity::Warning } else { Severity::Info };
    let mut lines = vec![
        "its waits are without time: something is ready before each".to_owned(),
        format!("the same is in the ready queue at both looks: {what}"),
    ];
    lines.extend(
        tasks
            .iter()
            .map(|task| format!("{} is{}", words::name(task), words::at_long(words::place(task)))),
    );
    let at = tasks.first().map(|task| words::at_short(words::place(task))).unwrap_or_default();
    Draft::new(Code::BusySpin, severity, Sureness::Derived, title)
        .on_loop(Some(event_loop.id))
        .affects(context.size(Some(event_loop.id)))
        .tasks(tasks)
        .evidence(lines)
        .advice(format!(
            "Wait for what is to happen (an `asyncio.Event`, a queue) in place of asking again and \
             again{at}; where asking is the only way, `await asyncio.sleep(…)` for longer than 0."
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Scene, task};
    use crate::snapshot::TaskState;

    fn spinning(cpu_ms: u64, ready: &str) -> Scene {
        let ready = ready.to_owned();
        let spinner = task(1).and(|task| task.state = Some(TaskState::Ready));
        Scene::new().with([spinner]).and(|snapshot| {
            snapshot.loops[0].polls_without_waiting = Some(true);
            snapshot.loops[0].ready_handles = vec![ready];
            snapshot.threads[0].cpu_time = Some(Duration::from_millis(cpu_ms));
        })
    }

    #[test]
    fn one_task_that_comes_again_at_once() {
        let first = spinning(1000, "task t1").before();
        assert!(first.once().wants_second_look);
        let diagnosis = spinning(1195, "task t1").turned().after(&first);
        let finding = diagnosis.only();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.title.contains("98 %"), "{}", finding.title);
        assert_eq!(finding.tasks, crate::diagnose::tests::ids(&[1]));
    }

    #[test]
    fn a_busy_loop_is_healthy() {
        let first = spinning(1000, "task t1").before();
        spinning(1195, "task t2").turned().after(&first).assert_silent();
        spinning(1010, "task t1").turned().after(&first).assert_silent();
        let computing = spinning(1195, "task t1").turned().in_callback(1, 40);
        computing.after(&first).assert_silent();
    }
}
