//! `wakeup-lost` of a permit: a lock is free, and those that wait for it were not told.
//!
//! Whoever gives a lock or a permit back tells the next in line, who takes it at the loop's next turn.
//! A line whose first was cancelled in the very turn in which it was told may be forgotten: in anyio's
//! locks and semaphores before 4.14 and its limiters before 4.10, in asyncio's `Semaphore` before 3.11.
//! Newcomers queue behind the others then, and nobody ever takes it.
//!
//! A healthy loop shows that too, within a turn, and between two turns while the next one is ready to
//! take it. So it has to be so twice, with the same one first, while nothing is ready in the loop.

use super::super::draft::{Draft, Drafts};
use super::super::graph::Node;
use super::super::{Context, Line, words};
use crate::snapshot::{
    Code, Consistency, Count, Evidence, Loop, LoopState, Role, Sentence, Severity, Snapshot,
    Sureness, Task, Waiting,
};

pub(super) fn find(context: &Context<'_>, out: &mut Drafts) {
    for line in context.lines.iter().filter(|line| is_lost(context, line)) {
        if context.looks.first.is_none() {
            out.want_second_look();
        } else if was_lost(context, line) {
            out.add(report(context, line));
        }
    }
}

/// Whether nobody has the thing and nobody in line is about to take it.
fn is_lost(context: &Context<'_>, line: &Line<'_>) -> bool {
    // A class of the program's own may have other rules.
    let class = line.waiting.class.as_deref().unwrap_or_default();
    let is_known = class.starts_with("asyncio.") || class.starts_with("anyio.");
    line.is_free()
        && is_known
        && line.waiters.iter().all(|task| {
            let waiting = task.waiting_on.as_deref();
            task.cancellation.is_none()
                && waiting.is_some_and(|it| it.foreign_loop.is_none() && it.position().at.is_some())
                && is_idle(context.now, task)
        })
}

/// Whether it was so at the first look, with the same one first in line.
fn was_lost(context: &Context<'_>, line: &Line<'_>) -> bool {
    let (Some(first), Some(head)) = (context.looks.first, line.waiters.first()) else {
        return false;
    };
    let Some(before) = context.pairs.before(head) else { return false };
    let was_free = before
        .waiting_on
        .as_deref()
        .is_some_and(|waiting| waiting.object == Some(line.object) && waiting.is_free());
    was_free
        && head.fut_waiter.is_some()
        && head.fut_waiter == before.fut_waiter
        && before.is_parked()
        && is_idle(first, before)
}

/// Whether the loop of a task waits for something to come, with nothing left to run.
fn is_idle(snapshot: &Snapshot, task: &Task) -> bool {
    let is_its = |known: &&Loop| Some(known.id) == task.loop_id;
    snapshot.consistency != Consistency::BestEffort
        && snapshot
            .loops
            .iter()
            .find(is_its)
            .is_some_and(|known| known.state == Some(LoopState::Polling) && known.ready == Some(0))
}

fn report(context: &Context<'_>, line: &Line<'_>) -> Draft {
    let waiters = || line.waiters.iter().copied();
    let count = line.waiters.len();
    let title = Sentence::name(words::called(line.waiting))
        .verb("is free, but nobody wakes", "was free, but nobody woke")
        .then(match count {
            1 => "the task that waits for it".to_owned(),
            many => format!("the {many} tasks that wait for it"),
        });
    let mut lines: Vec<Evidence> = Vec::new();
    if let Count { value: Some(value), limit } = line.waiting.count() {
        let of = limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
        lines.push(format!("{value}{of} permits are left").into());
    }
    lines.push("the loop has nothing to run, and has woken none of those that wait".into());
    lines.extend(words::lines(waiters(), |task| words::wait_line(task).role(Role::Waiter)));
    let hanging = context.graph.waiting_for(Node::Object(line.object)).len();
    let head = line.waiters.first();
    let nodes = waiters().map(|task| Node::Task(task.id));
    Draft::new(Code::WakeupLost, Severity::Critical, Sureness::Read, title)
        .on_loop(head.and_then(|task| task.loop_id))
        .blames(std::iter::once(Node::Object(line.object)).chain(nodes))
        .at(head.and_then(|task| words::place(task)), words::common_name(waiters()))
        .cause(Some(words::lock(line.waiting)))
        .since(context.age(head.copied()))
        .role(Role::Waiter, waiters())
        .affects(hanging.max(count))
        .evidence(lines)
        .advice(advice(line.waiting))
}

fn advice(waiting: &Waiting) -> &'static str {
    let is_anyio = waiting.class.as_deref().is_some_and(|class| class.starts_with("anyio."));
    if is_anyio {
        "Use AnyIO 4.14 or later: its locks and semaphores before that, and its limiters before 4.10, \
         can forget those that wait when the first of them is cancelled while it is woken."
    } else {
        "See who changes it other than by `acquire` and `release`, or from another thread; asyncio's \
         semaphore before Python 3.11 can forget those that wait when the first of them is cancelled \
         while it is woken."
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnose::tests::{Builder, Scene, task};
    use crate::memory::Address;
    use crate::snapshot::{Code, LoopState, Severity};

    fn waiter(number: u64) -> Builder {
        task(number).at_lock(900, &[]).waiting(|waiting| {
            waiting.class = Some("asyncio.locks.Lock".into());
            let acquire = waiting.acquire_mut().unwrap();
            acquire.is_free = true;
            acquire.position.at = Some(number);
        })
    }

    fn idle(scene: Scene) -> Scene {
        scene.and(|snapshot| {
            snapshot.loops[0].state = Some(LoopState::Polling);
            snapshot.loops[0].ready = Some(0);
        })
    }

    fn lost() -> Scene {
        idle(Scene::new().with([waiter(1), waiter(2), waiter(3)]))
    }

    #[test]
    fn a_lock_that_is_free_and_of_which_nobody_was_told_is_lost() {
        let once = lost().once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        let twice = lost().twice();
        let finding = twice.only();
        assert_eq!((finding.code, finding.severity), (Code::WakeupLost, Severity::Critical));
        let title = finding.title.to_string();
        assert!(
            title.ends_with("is free, but nobody wakes the 3 tasks that wait for it"),
            "{title}"
        );
        let alone = idle(Scene::new().with([waiter(1)])).twice();
        let title = alone.only().title.to_string();
        assert!(title.ends_with("is free, but nobody wakes the task that waits for it"), "{title}");
    }

    #[test]
    fn a_permit_is_lost_just_the_same() {
        let waiter = task(1).at_semaphore(900, &[]).waiting(|waiting| {
            waiting.class = Some("asyncio.locks.Semaphore".into());
            let crate::snapshot::Wait::Semaphore { permits, acquire } = &mut waiting.wait else {
                panic!("a semaphore")
            };
            permits.value = Some(1);
            acquire.position.at = Some(1);
        });
        let twice = idle(Scene::new().with([waiter])).twice();
        assert_eq!(twice.only().code, Code::WakeupLost);
    }

    #[test]
    fn a_lock_that_is_about_to_be_taken_is_healthy() {
        let busy = lost().and(|it| {
            it.loops[0].ready = Some(1);
            it.threads[0].state = Some(crate::snapshot::ThreadState::Running);
        });
        busy.twice().assert_silent();
        let running = lost().and(|it| it.loops[0].state = Some(LoopState::Running));
        running.twice().assert_silent();
        // Another one was first, or it was taken.
        let mut before = lost().before();
        before.snapshot.tasks[0].fut_waiter = Some(Address(0x77));
        lost().turned().after(&before).assert_silent();
        let mut before = lost().before();
        for task in &mut before.snapshot.tasks {
            let waiting = task.waiting_on.as_deref_mut().unwrap();
            waiting.acquire_mut().unwrap().is_free = false;
        }
        lost().turned().after(&before).assert_silent();
        // A class of its own may want more than that it is free.
        let own = waiter(1).waiting(|waiting| waiting.class = Some("app.Turns".into()));
        idle(Scene::new().with([own])).twice().assert_silent();
        // One in line has been told.
        let mut first = waiter(1);
        first = first.waiting(|waiting| waiting.acquire_mut().unwrap().position.at = None);
        idle(Scene::new().with([first, waiter(2)])).twice().assert_silent();
    }
}
