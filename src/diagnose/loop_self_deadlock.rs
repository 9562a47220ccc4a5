//! `loop-self-deadlock`: the loop's own thread waits for something that only this loop can do.

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::loop_blocked::{age, call, call_name, short_call};
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, words};
use crate::snapshot::{
    BlockingKind, Code, Loop, Role, Sentence, Severity, Sureness, Task, below_loop,
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
    use crate::diagnose::tests::{LOOP, Scene, THREAD, task};
    use crate::memory::Address;
    use crate::snapshot::Blocking;

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
}
