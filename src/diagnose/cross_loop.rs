//! `cross-loop`: something that belongs to one loop is waited for on another.

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::{Context, grouped, words};
use crate::memory::Address;
use crate::snapshot::{Code, Severity, Sureness, Task, WaitKind};

pub(super) fn find(context: &Context<'_>, out: &mut Drafts) {
    let tasks = context.foreign.iter().copied().filter(|task| {
        let waiting = task.waiting_on.as_ref();
        // What another thread does is asked for in the proper way.
        waiting.is_some_and(|waiting| {
            waiting.kind != WaitKind::Thread && waiting.foreign_loop != task.loop_id
        })
    });
    let shape = |task: &&Task| {
        let waiting = task.waiting_on.as_ref();
        let object = waiting.and_then(|waiting| waiting.object);
        (object, waiting.and_then(|waiting| waiting.foreign_loop), task.loop_id)
    };
    for group in grouped(tasks, shape) {
        out.extend(report(context, &group));
    }
}

fn report(context: &Context<'_>, group: &[&Task]) -> Option<Draft> {
    let task = *group.first()?;
    let waiting = task.waiting_on.as_ref()?;
    let foreign = waiting.foreign_loop?;
    let subject = match group.len() {
        1 => format!("{} waits", words::name(task)),
        many => format!("{many} tasks wait"),
    };
    let title = format!(
        "{subject} for {}{}, which belongs to another event loop",
        words::thing(waiting),
        words::at_short(words::place(task)),
    );
    let mut lines = vec![
        format!("it belongs to {}", describe(context, foreign)),
        format!(
            "the task runs on {}",
            task.loop_id.map_or_else(|| "an unknown loop".to_owned(), |id| describe(context, id))
        ),
    ];
    lines.extend(words::lines(group.iter().copied(), words::wait_line));
    Some(
        Draft::new(Code::CrossLoop, Severity::Critical, Sureness::Read, title)
            .on_loop(task.loop_id)
            .blames(waiting.object.map(Node::Object))
            .blames(group.iter().map(|task| Node::Task(task.id)))
            .tasks(group.iter().copied())
            .affects(group.len())
            .evidence(lines)
            .advice(
                "Make it on the loop that waits for it, or ask the other loop with \
                 `asyncio.run_coroutine_threadsafe` and `asyncio.wrap_future`: a loop does not \
                 notice when another one wakes its tasks.",
            ),
    )
}

fn describe(context: &Context<'_>, id: Address) -> String {
    let known = context.now.loops.iter().find(|known| known.id == id);
    let thread = known.and_then(|known| context.thread(known.thread?)).map(words::thread);
    match thread {
        Some(thread) => format!("loop {id} of {thread}"),
        None => format!("loop {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{LOOP, Scene, task};

    #[test]
    fn a_lock_of_another_loop() {
        let foreign = |number, id| {
            task(number).at_lock(900, &[]).waits(WaitKind::Lock, |waiting| {
                waiting.foreign_loop = Some(id);
            })
        };
        let other = Address(0x2000);
        let diagnosis = Scene::new().with([foreign(1, other), foreign(2, other)]).once();
        let finding = diagnosis.of(Code::CrossLoop);
        assert_eq!((finding.severity, finding.tasks.len()), (Severity::Critical, 2));
        assert!(finding.evidence[1].contains("thread 100"));
        let own = Scene::new().with([foreign(1, LOOP)]).once();
        assert!(own.findings.is_empty());
    }

    #[test]
    fn work_given_to_another_thread_is_healthy() {
        let asked = task(1).waits(WaitKind::Thread, |waiting| {
            waiting.foreign_loop = Some(Address(0x2000));
        });
        assert!(Scene::new().with([asked]).once().findings.is_empty());
    }
}
