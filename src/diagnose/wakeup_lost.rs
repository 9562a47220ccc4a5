//! `wakeup-lost`: something is ready to run, and its loop sleeps on.
//!
//! `call_soon`, `call_later`, `Future.set_result` and all that is made of them (`Event.set`,
//! `Queue.put_nowait`, `Lock.release`) only queue a callback. Called in another thread, or in a
//! handler of `signal.signal`, they wake nobody: the callback runs when the loop happens to be woken
//! by something else.
//!
//! The same is a lock that nobody has, while those in line for it were not told: see [`permit`].
//!
//! A healthy loop looks like that for a moment: between a call of `call_soon_threadsafe` and the
//! byte that wakes it. So both looks must find it in one and the same sleep, and no thread may be in
//! that call: under a quota it can take long.

mod permit;

use std::time::Duration;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, words};
use crate::known::purpose::{self, Purpose};
use crate::snapshot::{
    Code, Consistency, Evidence, Loop, LoopState, Role, Sentence, Severity, Snapshot, Sureness,
    Task, TaskState, ThreadState,
};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::WakeupLost,
    find: Some(find),
    about: About::Loop,
    blames: Blames::Nobody,
    follows: &[],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::Cause],
};

/// A loop that sleeps though a timer is over for so long was not told of it: one that is told wakes
/// some milliseconds late.
const LATE: Duration = Duration::from_millis(500);

fn find(context: &Context<'_>, out: &mut Drafts) {
    permit::find(context, out);
    if is_being_woken(context.now) {
        return;
    }
    for known in context.now.loops.iter().filter(|known| is_missed(context.now, known)) {
        match context.looks.first {
            None => out.want_second_look(),
            Some(first) => {
                let before = first.loops.iter().find(|before| before.id == known.id);
                let same = before.filter(|before| {
                    known.iteration_id.is_some()
                        && before.iteration_id == known.iteration_id
                        && is_missed(first, before)
                });
                if same.is_some() {
                    out.add(report(context, known));
                }
            }
        }
    }
}

/// Whether a thread is about to wake a loop.
fn is_being_woken(snapshot: &Snapshot) -> bool {
    let mut frames = snapshot.threads.iter().flat_map(|thread| &thread.frames);
    frames.any(|frame| frame.location.purpose() == Some(Purpose::Loop(purpose::Loop::WakesUp)))
}

/// Whether a loop sleeps though it has something to do.
fn is_missed(snapshot: &Snapshot, known: &Loop) -> bool {
    let thread = snapshot.thread_of(known);
    let is_asleep = thread.is_some_and(|thread| thread.state == Some(ThreadState::Sleeping));
    let is_unheeded = known.wake_sources.as_ref().is_some_and(|it| it.unheeded_timer);
    // Of a loop that ran while it was read the queue and the sleep are not of one moment.
    snapshot.consistency != Consistency::BestEffort
        && known.state == Some(LoopState::Polling)
        && is_asleep
        && known.polls_without_waiting != Some(true)
        && (known.ready > Some(0) || is_unheeded || known.lag > Some(LATE))
}

fn report(context: &Context<'_>, known: &Loop) -> Draft {
    let ready: Vec<&Task> = context
        .now
        .tasks
        .iter()
        .filter(|task| task.loop_id == Some(known.id) && task.state == Some(TaskState::Ready))
        .collect();
    let callbacks = known.ready.unwrap_or_default();
    let mut title = match callbacks {
        0 => Sentence::words("A timer was set without waking the loop"),
        1 => Sentence::words("1 callback was made ready without waking the loop"),
        many => {
            Sentence::words(format!("{many} callbacks were made ready without waking the loop"))
        }
    };
    if let [task] = ready[..] {
        title = title.so(Sentence::name(words::work(task)).verb("waits", "waited"));
    } else if !ready.is_empty() {
        title = title.so_many(words::who(ready.iter().copied()), words::WAIT);
    }
    let mut lines = vec![Evidence::from(
        "the loop has slept since before: another thread, or a signal handler, did that without \
         call_soon_threadsafe",
    )];
    let handles = &known.ready_handles;
    if !handles.is_empty() {
        lines.push(format!("ready: {}", handles.join(", ")).into());
    }
    lines.extend(words::lines(ready.iter().copied(), |task| {
        words::of_task(task, words::name(task))
    }));
    let place = ready.first().and_then(|task| words::place(task));
    let affected = ready.len().max(1);
    Draft::new(Code::WakeupLost, Severity::Critical, Sureness::Read, title)
        .on_loop(Some(known.id))
        .blames(ready.iter().map(|task| Node::Task(task.id)))
        .at(place, None)
        .since(context.age(ready.iter().copied()))
        .role(Role::Waiter, ready.iter().copied())
        .affects(affected)
        .evidence(lines)
        .advice(
            "From another thread hand the call over: loop.call_soon_threadsafe(future.set_result, \
             value), or asyncio.run_coroutine_threadsafe. A lock, queue or event is for one loop.",
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::diagnose::tests::{Scene, task, thread};
    use crate::snapshot::{Frame, Location, WakeSources};

    fn asleep(scene: Scene) -> Scene {
        scene.and(|snapshot| snapshot.threads[0].state = Some(ThreadState::Sleeping))
    }

    fn ready() -> Scene {
        let task = task(1).at_event().and(|task| task.state = Some(TaskState::Ready));
        asleep(Scene::new().with([task])).and(|snapshot| snapshot.loops[0].ready = Some(1))
    }

    #[test]
    fn what_is_ready_while_its_loop_sleeps_on_was_lost() {
        let once = ready().once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        let twice = ready().twice();
        let finding = twice.only();
        assert_eq!((finding.code, finding.severity), (Code::WakeupLost, Severity::Critical));
        let title = "1 callback was made ready without waking the loop: t1 waits";
        assert_eq!(finding.title.to_string(), title);
    }

    #[test]
    fn a_timer_that_the_sleep_does_not_know_of_is_lost_too() {
        let sources =
            || WakeSources { unheeded_timer: true, descriptors: vec![7], ..Default::default() };
        let unheeded = asleep(Scene::new().with([task(1).sleeps(900)]))
            .and(|it| it.loops[0].wake_sources = Some(sources()));
        assert_eq!(unheeded.twice().only().code, Code::WakeupLost);
        let late = asleep(Scene::new().with([task(1).sleeps(900)]))
            .and(|it| it.loops[0].lag = Some(Duration::from_secs(3)));
        assert_eq!(late.twice().only().code, Code::WakeupLost);
    }

    #[test]
    fn a_loop_that_is_about_to_wake_is_healthy() {
        // It was another sleep before.
        ready().turned().after(&ready().before()).assert_silent();
        let woken = ready().and(|it| it.threads[0].state = Some(ThreadState::Running));
        woken.twice().assert_silent();
        let told = ready().and(|it| {
            let mut feeder = thread(101, &[]);
            let file = "/usr/lib/python3.13/asyncio/base_events.py".into();
            let name = "BaseEventLoop.call_soon_threadsafe".into();
            let location = Location::by_path(name, file, Some(800));
            feeder.frames.push(Frame { location: Arc::new(location), locals: None });
            it.threads.push(feeder);
        });
        told.twice().assert_silent();
        let nothing = asleep(Scene::new().with([task(1).at_event()]));
        nothing.twice().assert_silent();
        let soon = asleep(Scene::new().with([task(1).sleeps(900)]))
            .and(|it| it.loops[0].lag = Some(Duration::from_millis(20)));
        soon.twice().assert_silent();
    }
}
