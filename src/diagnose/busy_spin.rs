//! `busy-spin`: the loop turns without ever sleeping and without progress.
//!
//! A busy service does not sleep either, but each look finds other work in its ready queue. A
//! computation that gives way with `sleep(0)` has the same callback there every time, but it is
//! mostly seen computing; one that spins is mostly seen between its callbacks. Two looks would
//! now and then take one for the other: the loop is glanced at some dozen times between them.

use std::time::Duration;

use super::draft::{Draft, Drafts};
use super::rule::{About, Blames, Confirmed, Rule};
use super::{Context, words};
use crate::snapshot::{Code, Loop, Role, Sentence, Severity, Sureness, Task, Turns};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::BusySpin,
    find: Some(find),
    about: About::Loop,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Nothing,
    is: &[],
};

/// How many callbacks may chase each other.
const MAX_CALLBACKS: usize = 8;
/// At how many glances it has to be seen not at work.
const MIN_IDLE: u32 = 4;
/// At which part of the glances at least, however little it has of a processor.
const LEAST_IDLE: f64 = 0.2;
/// The least share of a processor: who has less was stopped, or others had it.
const LEAST_SHARE: f64 = 0.15;
/// How many bytes it has to move in a second for that to be what it does.
const BYTES_PER_SECOND: f64 = 64.0 * 1024.0;

fn find(context: &Context<'_>, out: &mut Drafts) {
    for event_loop in &context.now.loops {
        // Processor times are read right after the tasks.
        let Some((_, gap)) = context.looks.passed() else {
            if context.now.is_restless(event_loop) {
                out.want_second_look();
            }
            continue;
        };
        let share = share(context, event_loop, gap);
        let does_nothing =
            |turns: &&Turns| does_nothing(turns, share.unwrap_or(1.0)) && !moves_bytes(turns, gap);
        let Some(turns) = event_loop.turns().filter(does_nothing) else { continue };
        let callbacks = callbacks(turns);
        if !(1..=MAX_CALLBACKS).contains(&callbacks.len()) {
            continue;
        }
        let tasks = tasks(context, event_loop, &callbacks);
        out.add(report(context, event_loop, turns, &callbacks, tasks, share));
    }
}

/// Whether it does not wait, and is not at work either while it has a processor: each glance is
/// two readings some 0.1 ms apart, and finds it in its wait or in another turn by the second one.
/// A computation that gives way every 4 ms is found at work at nine of ten. While others have the
/// processor it stands still: one that spins anywhere, one that computes mostly at that (measured
/// with six others on its processor: 4 of 48). Tasks that hand each other work make progress.
fn does_nothing(turns: &Turns, share: f64) -> bool {
    let [samples, idle] = [turns.samples, turns.idle].map(f64::from);
    share >= LEAST_SHARE
        && turns.idle >= MIN_IDLE
        && turns.woken * 10 <= turns.samples
        && turns.without_waiting * 10 >= turns.samples * 6
        && idle >= (0.3 * share.min(1.0)).max(LEAST_IDLE) * samples
}

/// Whether it moves so many bytes that this is what it does, as one who sends with `drain()` and
/// `sleep(0)`: a loop that spins comes round some ten thousand times in a second.
fn moves_bytes(turns: &Turns, gap: Duration) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a rate, by far smaller than 2^52")]
    let moved = turns.moved.unwrap_or_default() as f64;
    moved > BYTES_PER_SECOND * gap.as_secs_f64()
}

/// What it goes round with. A name seen now and then, or one of no function, may have been read
/// while it changed.
fn callbacks(turns: &Turns) -> Vec<&str> {
    let most = turns.callbacks.values().max().copied().unwrap_or_default();
    let named = turns.callbacks.iter().filter(|(name, _)| !name.ends_with(" object"));
    named.filter(|(_, times)| **times * 5 >= most).map(|(name, _)| name.as_str()).collect()
}

/// The tasks among the callbacks.
fn tasks<'s>(context: &Context<'s>, event_loop: &Loop, callbacks: &[&str]) -> Vec<&'s Task> {
    let is_named = |task: &&Task| {
        task.loop_id == Some(event_loop.id)
            && task.name.as_ref().is_some_and(|name| {
                callbacks.iter().any(|callback| callback.strip_prefix("task ") == Some(name))
            })
    };
    context.now.tasks.iter().filter(is_named).take(MAX_CALLBACKS).collect()
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
    turns: &Turns,
    callbacks: &[&str],
    tasks: Vec<&Task>,
    share: Option<f64>,
) -> Draft {
    let what = match (tasks.first(), callbacks) {
        (Some(task), [_]) => words::work(task),
        (_, [one]) => (*one).to_owned(),
        (_, many) => format!("{} callbacks", many.len()),
    };
    let does = if callbacks.len() == 1 { ("keeps", "kept") } else { ("keep", "kept") };
    let percent = share.map(|share| format!("{:.0} % of a processor", share * 100.0));
    let title = Sentence::name(what)
        .verb(does.0, does.1)
        .then("the loop spinning without progress")
        .so(Sentence::default().maybe(percent));
    let severity = if share.is_some() { Severity::Warning } else { Severity::Info };
    let lines = [
        format!(
            "in {} of {} samples it polled with a zero timeout because something was already ready",
            turns.without_waiting, turns.samples
        ),
        format!(
            "in {} it was between its callbacks, or in another iteration a moment later",
            turns.idle
        ),
    ];
    let places: Vec<_> = tasks
        .iter()
        .map(|task| words::of_task(task, format!("{} is", words::name(task))))
        .collect();
    let at = tasks.first().map(|task| words::at_short(words::place(task))).unwrap_or_default();
    Draft::new(Code::BusySpin, severity, Sureness::Derived, title)
        .on_loop(Some(event_loop.id))
        .affects(context.size(Some(event_loop.id)))
        .at(tasks.first().and_then(|task| words::place(task)), None)
        .role(Role::Culprit, tasks)
        .evidence(lines)
        .evidence(places)
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

    fn turns(idle: u32, callbacks: &[(&str, u32)]) -> Turns {
        let callbacks = callbacks.iter().map(|&(name, times)| (name.to_owned(), times)).collect();
        Turns { samples: 40, idle, without_waiting: 33, callbacks, ..Turns::default() }
    }

    fn spinning(cpu_ms: u64, turns: Turns) -> Scene {
        let spinner = task(1).and(|task| {
            task.state = Some(TaskState::Ready);
            task.fut_waiter = None;
        });
        Scene::new().with([spinner]).and(|snapshot| {
            snapshot.loops[0].polls_without_waiting = Some(true);
            snapshot.loops[0].grounds.get_or_insert_default().turns = Some(turns);
            snapshot.threads[0].cpu_time = Some(Duration::from_millis(cpu_ms));
        })
    }

    #[test]
    fn one_task_that_comes_again_at_once() {
        let first = spinning(1000, Turns::default()).before();
        assert!(first.once().wants_second_look);
        // One name was torn.
        let seen = turns(37, &[("task t1", 30), ("tuple object", 1)]);
        let diagnosis = spinning(1195, seen).turned().after(&first);
        let finding = diagnosis.only();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.title.to_string().contains("98 %"), "{}", finding.title);
        assert_eq!(finding.tasks, crate::diagnose::tests::ids(&[1]));
    }

    #[test]
    fn a_busy_loop_is_healthy() {
        let first = spinning(1000, Turns::default()).before();
        let again = |cpu_ms, turns| spinning(cpu_ms, turns).turned();
        let one = [("task t1", 30)];
        // It was stopped.
        again(1000, turns(0, &one)).after(&first).assert_silent();
        // It computes at most glances.
        again(1195, turns(4, &one)).after(&first).assert_silent();
        // The same while others have its processor most of the time.
        again(1034, Turns { samples: 48, without_waiting: 44, ..turns(4, &one) })
            .after(&first)
            .assert_silent();
        let names: Vec<String> = (0..20).map(|n| format!("task {n}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), 2)).collect();
        again(1195, turns(37, &many)).after(&first).assert_silent();
    }

    #[test]
    fn moving_bytes_is_progress() {
        let first = spinning(1000, Turns::default()).before();
        let sends = Turns { moved: Some(2_000_000), ..turns(37, &[("task t1", 30)]) };
        spinning(1195, sends).turned().after(&first).assert_silent();
        let beside = Turns { moved: Some(300), ..turns(37, &[("task t1", 30)]) };
        assert_eq!(spinning(1195, beside).turned().after(&first).only().code, Code::BusySpin);
    }

    #[test]
    fn handing_over_is_progress() {
        let first = spinning(1000, Turns::default()).before();
        let turns = Turns { woken: 20, ..turns(37, &[("task t1", 30)]) };
        let woken = spinning(1195, turns).turned();
        woken.after(&first).assert_silent();
    }
}
