//! `orphan-wait`: a task waits for a future that nothing left in the process can resolve.
//!
//! `await asyncio.Future()` is how many a server says "run for ever", in its main task or in one
//! beside others. So only a future that has a name counts, and asyncio's first task only when
//! somebody waits for it.

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, grouped, severity_of, shape, words};
use crate::snapshot::{
    Code, Evidence, Pending, Role, Sentence, Severity, Sureness, Task, WaitKind,
};
use crate::timeline::Stillness;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::OrphanWait,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::Cause, Is::AboutAbsence],
};

fn find(context: &Context<'_>, out: &mut Drafts) {
    let mut found = Vec::new();
    for &task in &context.unserved {
        let Some(waiting) = task.waiting_on.as_deref() else { continue };
        let is_main = task.name.as_deref() == Some("Task-1");
        let is_missed = !task.awaited_by.is_empty()
            || !context.graph.waiting_for(Node::Task(task.id)).is_empty();
        let counts = waiting.name.is_some() && (is_missed || !is_main);
        if waiting.kind() != WaitKind::Future || !waiting.deadlines.is_empty() || !counts {
            continue;
        }
        if context.gap.is_none() {
            out.want_second_look();
            continue;
        }
        let stillness = context.stillness(task);
        if stillness != Stillness::Moved {
            found.push((task, severity_of(stillness, Severity::Warning)));
        }
    }
    for group in grouped(found, |(task, severity)| (shape(task), *severity)) {
        out.extend(report(context, &group));
    }
}

fn report(context: &Context<'_>, group: &[(&Task, Severity)]) -> Option<Draft> {
    let &(task, severity) = group.first()?;
    let tasks = || group.iter().map(|(task, _)| *task);
    let waiting = task.waiting_on.as_deref()?;
    let at = words::at_short(words::place(task));
    let title = Sentence::words("Nothing").verb("can", "could").then("resolve the future that");
    let title = match group.len() {
        1 => title.and(words::work(task)).verb("waits for", "waited for"),
        many => title.then(format!("{many} tasks")).verb("wait for", "waited for"),
    };
    let mut lines = vec![Evidence::from(
        "nothing refers to it but the task that waits for it: no timer, no callback, no other \
         object",
    )];
    lines.extend(waiting.object.map(|future| {
        Evidence::from(match &waiting.name {
            Some(name) => format!("the future {future} is `{name}`"),
            None => format!("the future {future} has no name in the frames that wait for it"),
        })
    }));
    if !waiting.callbacks().is_empty() {
        lines.push(format!("when it is done it calls {}", waiting.callbacks().join(", ")).into());
    }
    lines.extend(words::lines(tasks(), words::wait_line));
    let does = words::one_does(group.len());
    let pending = Pending {
        what: format!(
            "{} wait{does} for a future that nothing was found to resolve",
            words::count(group.len(), "task")
        ),
        seen_for: tasks().map(|task| context.stood_for(task)).max().unwrap_or_default(),
    };
    let hanging = tasks().map(|task| context.graph.waiting_for(Node::Task(task.id)).len());
    let affected = group.len() + hanging.sum::<usize>();
    Some(
        Draft::new(Code::OrphanWait, severity, Sureness::Derived, title)
            .on_loop(task.loop_id)
            .blames(tasks().map(|task| Node::Task(task.id)))
            .at(words::place(task), waiting.name.as_deref())
            .since(context.age(tasks()))
            .role(Role::Waiter, tasks())
            .affects(affected)
            .pending(Some(pending))
            .evidence(lines)
            .advice(format!(
                "See who was to call `set_result` or `set_exception`{at}, and let it do so on \
                 every way out; give the wait a time limit."
            )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, task};
    use crate::memory::Address;

    fn waiter(number: u64) -> Builder {
        task(number).at_future(Some(false)).waiting(|waiting| waiting.object = Some(Address(0x500)))
    }

    fn named(number: u64) -> Builder {
        waiter(number).waiting(|waiting| waiting.name = Some("reply".to_owned()))
    }

    #[test]
    fn a_reply_that_nobody_will_give() {
        let once = Scene::new().with([named(1)]).once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        let twice = Scene::new().with([named(1)]).twice();
        assert_eq!(twice.only().severity, Severity::Warning);
        let missed = Scene::new().with([named(1), task(2).awaits(&[1])]).twice();
        assert_eq!(missed.only().code, Code::OrphanWait);
    }

    #[test]
    fn who_may_give_it_may_be_a_task_that_was_not_read() {
        let scene = Scene::new().with([named(1)]);
        assert_eq!(scene.twice().only().code, Code::OrphanWait);
        let unread = scene.and(|snapshot| snapshot.unread_tasks = 1);
        assert!(unread.twice().findings.is_empty());
    }

    #[test]
    fn running_for_ever_is_healthy() {
        Scene::new().with([waiter(1)]).once().assert_silent();
        Scene::new().with([waiter(1), task(2).awaits(&[1])]).twice().assert_silent();
        let main = || named(1).and(|task| task.name = Some("Task-1".into()));
        Scene::new().with([main()]).once().assert_silent();
        Scene::new().with([main()]).twice().assert_silent();
    }

    #[test]
    fn a_future_that_is_served_or_limited_is_healthy() {
        let served = named(1).at_future(Some(true));
        Scene::new().with([served]).once().assert_silent();
        let unknown = named(1).at_future(None);
        Scene::new().with([unknown]).once().assert_silent();
        Scene::new().with([named(1).deadline(3000)]).once().assert_silent();
    }
}
