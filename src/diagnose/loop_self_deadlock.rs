//! `loop-self-deadlock`: the loop's own thread waits for something that only this loop can do.

use super::draft::{Draft, Drafts};
use super::graph::{Circle, Node};
use super::loop_blocked::{age, call, call_name, short_call};
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, is_limited, words};
use crate::known::{Purpose, name, purpose};
use crate::snapshot::{
    BlockingKind, Code, Evidence, Frame, Loop, LoopState, Role, Sentence, Severity, Sureness, Task,
    below_loop,
};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::LoopSelfDeadlock,
    find: Some(find),
    about: About::Loop,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Iteration,
    is: &[Is::Cause, Is::Hopeless, Is::TrueWhenFrozen, Is::OverWithIteration],
};

fn find(context: &Context<'_>, out: &mut Drafts) {
    for event_loop in &context.now.loops {
        let Some(blocking) = &event_loop.blocking else { continue };
        let owing = blocking.task.and_then(|id| context.task(id));
        let is_own_task = owing.is_some_and(|task| {
            // One that runs is what waits there, and owes itself nothing.
            task.loop_id == Some(event_loop.id)
        });
        let waits_in_process =
            matches!(blocking.kind, BlockingKind::Lock | BlockingKind::FutureResult);
        let is_own_loop = blocking.loop_id == Some(event_loop.id);
        let is_own_thread = blocking.thread.is_some() && blocking.thread == event_loop.thread;
        if is_own_loop || (waits_in_process && (is_own_task || is_own_thread)) {
            out.add(report(context, event_loop, owing));
        }
    }
    for circle in context.graph.circles() {
        out.extend(report_nested(context, circle));
    }
}

/// A loop that runs inside a callback of its own, until a task is done that goes on no sooner than
/// this run is over. Others still run there: so it is about these tasks, and no iteration ends it.
fn report_nested(context: &Context<'_>, circle: &Circle) -> Option<Draft> {
    let is_polling = |tid: i32| {
        let mut loops = context.now.loops.iter().filter(|known| known.thread == Some(tid));
        loops.any(|known| known.state == Some(LoopState::Polling))
    };
    let (at, thread) = circle.nodes.iter().enumerate().find_map(|(at, node)| match node {
        Node::Thread(tid) if is_polling(*tid) => Some((at, context.thread(*tid)?)),
        _ => None,
    })?;
    let (before, after) = (circle.nodes.get(..at)?, circle.nodes.get(at + 1..)?);
    let tasks = after.iter().chain(before).filter_map(|node| match node {
        Node::Task(id) => context.task(*id),
        _ => None,
    });
    let tasks: Vec<&Task> = tasks.collect();
    let (awaited, suspended) = (*tasks.first()?, *tasks.last()?);
    // A time limit on the way ends it.
    if tasks.iter().any(|task| task.is_parked() && is_limited(task)) {
        return None;
    }

    let is_run = |frame: &Frame| {
        frame.location.purpose() == Some(Purpose::Loop(purpose::Loop::RunUntilComplete))
    };
    let inside = thread.frames.get(..thread.frames.iter().rposition(is_run)?)?;
    let own = inside.iter().rposition(|frame| !frame.location.is_library());
    let own = own.or(inside.len().checked_sub(1))?;
    let called = thread.frames.get(own + 1).map_or("", |frame| &*frame.location.function);
    let place = inside.get(own).map(|frame| &*frame.location);
    let at = words::at_short(place);
    let title = Sentence::name(format!("{}()", name::without_class(called)))
        .maybe(words::at(place))
        .verb("waits", "waited")
        .then("for")
        .and(words::work(awaited));
    let title = if awaited.id == suspended.id {
        title.then("further down the same stack")
    } else {
        title.so(Sentence::name(words::work(suspended))
            .verb("would have to run", "would have had to run"))
    };
    let run = format!("the loop runs here until {} is done", words::name(awaited));
    let mut lines = vec![Evidence::from(run).at(place)];
    lines.extend(
        tasks.iter().filter(|task| task.id != suspended.id).map(|task| words::wait_line(task)),
    );
    let what = format!("{} goes on when this run is over", words::name(suspended));
    lines.push(words::of_task(suspended, what));
    let hanging = context.graph.waiting_for(Node::Thread(thread.tid?));
    Some(
        Draft::new(Code::LoopSelfDeadlock, Severity::Critical, Sureness::Derived, title)
            .blames(circle.nodes.iter().copied())
            .at(place, Some(called))
            .role(Role::Culprit, [suspended])
            .role(Role::Blocked, tasks.iter().copied().chain(hanging.iter().copied()))
            .affects(hanging.len())
            .evidence(lines)
            .advice(format!(
                "`await` the coroutine in place of running it{at}: what lies below a run on the \
                 stack goes on only when that run is over."
            )),
    )
}

fn report(context: &Context<'_>, event_loop: &Loop, owing: Option<&Task>) -> Draft {
    let running = context.running.iter().find(|task| task.loop_id == Some(event_loop.id)).copied();
    let blocking = event_loop.blocking.as_ref();
    let frame = blocking.and_then(|blocking| blocking.frame.as_ref());
    let at = words::at_short(frame.map(|frame| &*frame.location));
    let what = blocking.map_or_else(|| "A callback".to_owned(), short_call);
    let title = Sentence::name(what).maybe(words::at(frame.map(|frame| &*frame.location)));
    let is_in_its_own_hands = blocking.is_some_and(|blocking| {
        blocking.kind == BlockingKind::Lock
            && blocking.thread.is_some()
            && blocking.thread == event_loop.thread
    });
    let title = if is_in_its_own_hands {
        title.verb("is held", "was held").then("further down the same stack")
    } else {
        title.verb("waits for the loop it blocks", "waited for the loop it blocked")
    };
    let title = match owing {
        Some(task) if running.is_none_or(|running| running.id != task.id) => title
            .so(Sentence::name(words::work(task))
                .verb("would have to run", "would have had to run")),
        _ => title,
    };
    let mut lines = Vec::new();
    let held = event_loop.iteration.as_ref().and_then(|turn| turn.elapsed);
    if let Some(held) = held {
        lines.push(format!("its iteration has run for {}", words::span(held)).into());
    }
    lines.extend(
        owing.map(|task| words::of_task(task, format!("{} is suspended", words::name(task)))),
    );
    let thread = event_loop.thread.and_then(|tid| context.thread(tid));
    if let Some(thread) = thread {
        lines.push(words::thread_line(thread));
        lines.extend(words::stack(below_loop(&thread.frames)));
    }
    // The one that needs the loop.
    let other = blocking.and_then(|blocking| blocking.thread);
    let other = other.filter(|tid| Some(*tid) != event_loop.thread);
    lines.extend(other.and_then(|tid| context.thread(tid)).map(words::thread_line));
    let advice = match blocking.map(|blocking| blocking.kind) {
        Some(BlockingKind::FutureResult) => format!(
            "On the loop's own thread `await` the coroutine, or the future with \
             `asyncio.wrap_future`; `.result()`{at} is for other threads."
        ),
        Some(BlockingKind::Lock) if is_in_its_own_hands => format!(
            "What interrupts other code, such as a handler of `signal.signal`, must not take a \
             lock{at} that this code may hold: use `loop.add_signal_handler`, which runs between \
             callbacks, or `threading.RLock`."
        ),
        Some(BlockingKind::Lock) if owing.is_some() => format!(
            "Use `asyncio.Lock` for what tasks share; a lock of `threading` taken{at} must not be \
             held across an `await`."
        ),
        _ => format!(
            "Do not wait{at} on the loop's own thread for what the loop itself has to do; `await` \
             it."
        ),
    };
    Draft::new(Code::LoopSelfDeadlock, Severity::Critical, Sureness::Derived, title)
        .on_loop(Some(event_loop.id))
        .blames(event_loop.thread.map(Node::Thread))
        .blames(running.map(|task| Node::Task(task.id)))
        .at(frame.map(|frame| &*frame.location), call_name(event_loop).as_deref())
        .cause(Some(call(event_loop, thread)))
        .since(held.map(|held| age(event_loop, held)))
        .role(Role::Culprit, running)
        .role(Role::Blocked, owing)
        .affects(context.size(Some(event_loop.id)))
        .evidence(lines)
        .advice(advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{LOOP, Scene, THREAD, frame, task};
    use crate::memory::Address;
    use crate::snapshot::{Blocking, Location};

    fn waiting(kind: BlockingKind, change: impl FnOnce(&mut Blocking)) -> Scene {
        Scene::new()
            .with([task(1).runs(), task(2).sleeps(10)])
            .in_callback(1, 5000)
            .blocked_by(kind, change)
    }

    #[test]
    fn the_result_of_a_coroutine_of_its_own_never_comes() {
        let scene = waiting(BlockingKind::FutureResult, |blocking| {
            blocking.loop_id = Some(LOOP);
            blocking.task = Some(Address(2));
        });
        let diagnosis = scene.once();
        assert_eq!(diagnosis.codes(), [Code::LoopSelfDeadlock, Code::LoopBlocked]);
        let finding = diagnosis.of(Code::LoopSelfDeadlock);
        assert_eq!(finding.tasks, [Address(1), Address(2)]);
        assert!(
            finding
                .title
                .to_string()
                .ends_with("waits for the loop it blocks: t2 would have to run"),
            "{}",
            finding.title
        );
        let follower = diagnosis.of(Code::LoopBlocked);
        assert_eq!(diagnosis.cause_of(follower), Some(Code::LoopSelfDeadlock));
    }

    #[test]
    fn a_lock_of_one_of_its_own_tasks_never_comes_free() {
        let scene = waiting(BlockingKind::Lock, |blocking| blocking.task = Some(Address(2)));
        assert!(scene.once().codes().contains(&Code::LoopSelfDeadlock));
    }

    #[test]
    fn a_lock_that_is_held_further_down_its_own_stack() {
        let scene = waiting(BlockingKind::Lock, |blocking| blocking.thread = Some(THREAD));
        let diagnosis = scene.once();
        let finding = diagnosis.of(Code::LoopSelfDeadlock);
        let title = "lock at app.py:31 is held further down the same stack";
        assert_eq!(finding.title.to_string(), title);
        assert!(finding.advice.contains("add_signal_handler"), "{}", finding.advice);
    }

    #[test]
    fn a_result_of_another_thread_is_no_deadlock() {
        let scene = waiting(BlockingKind::FutureResult, |blocking| {
            blocking.thread = Some(7);
            blocking.loop_id = Some(Address(0x2000));
        });
        assert_eq!(scene.once().codes(), [Code::LoopBlocked]);
    }

    /// A loop that runs in `refresh` until task `awaited` is done, and on top of that stack in
    /// `handler`.
    fn nested(awaited: u64) -> Scene {
        let runs = |name: &str| {
            let file = "/usr/lib/python3.13/asyncio/base_events.py".into();
            let location = Location::by_path(name.into(), file, Some(100));
            Frame { location: location.into(), locals: None }
        };
        Scene::new().with([task(1).runs(), task(2).runs()]).and(|snapshot| {
            let thread = &mut snapshot.threads[0];
            thread.frames = vec![
                frame("refresh", 7),
                runs("BaseEventLoop.run_until_complete"),
                runs("BaseEventLoop._run_once"),
                frame("handler", 9),
                runs("BaseEventLoop.run_until_complete"),
                runs("BaseEventLoop._run_once"),
            ];
            thread.waiting_on = task(3).awaits(&[awaited]).task.waiting_on;
        })
    }

    #[test]
    fn a_run_inside_a_run_waits_for_what_lies_below_it() {
        let diagnosis = nested(1).once();
        let finding = diagnosis.only();
        assert_eq!((finding.code, finding.severity), (Code::LoopSelfDeadlock, Severity::Critical));
        let title = "run_until_complete() at app.py:9 waits for t1 further down the same stack";
        assert_eq!(finding.title.to_string(), title);
        assert_eq!(finding.tasks, [Address(1), Address(2)]);
        // Another task still runs: this is not over because the loop waits for it.
        assert_eq!(finding.loop_id, None);
    }

    #[test]
    fn a_run_inside_a_run_waits_for_one_that_wants_a_lock_from_below() {
        let scene = nested(3).with([task(3).at_lock(900, &[1])]);
        let title = scene.once().only().title.to_string();
        let wanted = "run_until_complete() at app.py:9 waits for t3: t1 would have to run";
        assert_eq!(title, wanted);
        let limited = nested(3).with([task(3).at_lock(900, &[1]).deadline(3000)]);
        assert!(!limited.once().codes().contains(&Code::LoopSelfDeadlock));
    }

    #[test]
    fn a_run_inside_a_run_that_waits_for_another_is_healthy() {
        nested(3).with([task(3).sleeps(10)]).once().assert_silent();
    }
}
