//! `task-orphaned`: a pending task that nothing but asyncio's registry refers to.

use super::draft::{Draft, Drafts};
use super::{Context, grouped, words};
use crate::snapshot::{Code, Severity, Sureness, Task};

pub(super) fn find(context: &Context<'_>, out: &mut Drafts) {
    if context.forgotten.is_empty() {
        return;
    }
    if context.gap.is_none() {
        out.want_second_look();
        return;
    }
    let was_so = |task: &&Task| {
        context.pairs.before(task).is_some_and(|before| before.references == task.references)
    };
    let tasks = context.forgotten.iter().copied().filter(was_so);
    for group in grouped(tasks, |task| (task.coroutine.clone(), task.loop_id)) {
        out.extend(report(&group));
    }
}

fn report(group: &[&Task]) -> Option<Draft> {
    let task = *group.first()?;
    let of = task.coroutine.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
    let subject = match group.len() {
        1 => format!("{}{of} is", words::name(task)),
        many => format!("{many} tasks{of} are"),
    };
    let title = format!("{subject} referred to by nothing but what it waits for");
    let title = if group.len() > 1 { title.replace("it waits", "they wait") } else { title };
    let mut lines = vec!["one reference, no awaiter, no callback".to_owned()];
    lines.extend(words::lines(group.iter().copied(), words::wait_line));
    Some(
        Draft::new(Code::TaskOrphaned, Severity::Info, Sureness::Read, title)
            .on_loop(task.loop_id)
            .tasks(group.iter().copied())
            .affects(group.len())
            .evidence(lines)
            .advice(
                "Keep the task that `create_task` returns, in a set or an `asyncio.TaskGroup`: one \
                 that nothing refers to may be thrown away before it has ended, and its exception \
                 with it.",
            ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, task};

    fn forgotten(number: u64, references: u64) -> Builder {
        task(number).sleeps(1000).and(|task| task.references = Some(references))
    }

    #[test]
    fn a_task_that_nobody_keeps() {
        let scene = Scene::new().with((1..=3).map(|number| forgotten(number, 1)));
        assert!(scene.once().findings.is_empty() && scene.once().wants_second_look);
        let diagnosis = scene.twice();
        assert_eq!(diagnosis.only().severity, Severity::Info);
        assert!(diagnosis.only().title.starts_with("3 tasks of work are referred to by nothing"));
    }

    #[test]
    fn one_that_is_kept_or_awaited_is_healthy() {
        Scene::new().with([forgotten(1, 2)]).once().assert_silent();
        let called = forgotten(1, 1).and(|task| task.has_callbacks = true);
        Scene::new().with([called]).once().assert_silent();
        let ended = Scene::new().with([forgotten(1, 1)]).before();
        Scene::new().turned().after(&ended).assert_silent();
    }
}
