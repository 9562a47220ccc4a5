//! `cross-loop`: something that belongs to one loop is waited for on another.

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, grouped, words};
use crate::memory::Address;
use crate::snapshot::{Code, Evidence, Role, Sentence, Severity, Sureness, Task, Wait};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::CrossLoop,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Tasks,
    is: &[Is::Cause, Is::Hopeless, Is::TrueWhenFrozen],
};

fn find(context: &Context<'_>, out: &mut Drafts) {
    let tasks = context.foreign.iter().copied().filter(|task| {
        // What another thread does is asked for in the proper way.
        task.waiting_on
            .as_deref()
            .is_some_and(|waiting| !matches!(waiting.wait, Wait::Thread { .. }))
            && foreign_loop(context, task).is_some()
    });
    let shape = |task: &&Task| {
        let object = task.waiting_on.as_deref().and_then(|waiting| waiting.object);
        (object, foreign_loop(context, task), task.loop_id)
    };
    for group in grouped(tasks, shape) {
        out.extend(report(context, &group));
    }
}

/// The other loop: that of the thing, or of a task that has it.
fn foreign_loop(context: &Context<'_>, task: &Task) -> Option<Address> {
    let of_thing = task.waiting_on.as_deref()?.foreign_loop;
    let of_holder = || holders(context, task).find_map(|holder| holder.loop_id);
    of_thing.filter(|id| Some(*id) != task.loop_id).or_else(of_holder)
}

/// The tasks of other loops that have what the task waits for.
fn holders<'c>(context: &'c Context<'_>, task: &'c Task) -> impl Iterator<Item = &'c Task> {
    let ids = task.waiting_on.iter().flat_map(|waiting| waiting.holders().iter());
    let tasks = ids.filter_map(|id| context.task(*id));
    tasks.filter(|holder| holder.loop_id.is_some() && holder.loop_id != task.loop_id)
}

fn report(context: &Context<'_>, group: &[&Task]) -> Option<Draft> {
    let task = *group.first()?;
    let waiting = task.waiting_on.as_deref()?;
    let foreign = foreign_loop(context, task)?;
    let holders: Vec<&Task> = match waiting.foreign_loop {
        Some(_) => Vec::new(),
        None => holders(context, task).collect(),
    };
    let thing = words::called(waiting);
    let does = match group.len() {
        1 => Sentence::words("but").and(words::work(task)).verb("waits", "waited"),
        many => Sentence::words(format!("but {many} tasks")).verb("wait", "waited"),
    };
    let belongs = match holders.first() {
        None => Sentence::name(thing).verb("belongs to", "belonged to").then("another loop,"),
        Some(holder) => Sentence::name(thing)
            .verb("is", "was")
            .then("held on another loop by")
            .and(words::work(holder) + ","),
    };
    let title = belongs.join(does).then("for it on this one");
    let mut lines: Vec<Evidence> = Vec::new();
    if holders.is_empty() {
        lines.push(format!("it belongs to {}", describe(context, foreign)).into());
    }
    lines.extend(holders.iter().map(|holder| {
        let text = format!("on {}, {} has it", describe(context, foreign), words::name(holder));
        words::of_task(holder, text).role(Role::Holder)
    }));
    let own = task.loop_id.map_or_else(|| "an unknown loop".to_owned(), |id| describe(context, id));
    lines.push(format!("the task runs on {own}").into());
    lines.extend(words::lines(group.iter().copied(), words::wait_line));
    Some(
        Draft::new(Code::CrossLoop, Severity::Critical, Sureness::Read, title)
            .on_loop(task.loop_id)
            .blames(waiting.object.map(Node::Object))
            .blames(group.iter().map(|task| Node::Task(task.id)))
            .at(words::place(holders.first().copied().unwrap_or(task)), waiting.name.as_deref())
            .cause(Some(words::lock(waiting)))
            .role(Role::Waiter, group.iter().copied())
            .role(Role::Holder, holders)
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
            task(number).at_lock(900, &[]).waiting(|waiting| waiting.foreign_loop = Some(id))
        };
        let other = Address(0x2000);
        let diagnosis = Scene::new().with([foreign(1, other), foreign(2, other)]).once();
        let finding = diagnosis.of(Code::CrossLoop);
        assert_eq!((finding.severity, finding.tasks.len()), (Severity::Critical, 2));
        assert!(finding.facts()[1].contains("thread 100"));
        let own = Scene::new().with([foreign(1, LOOP)]).once();
        assert!(own.findings.is_empty());
    }

    #[test]
    fn a_lock_held_on_another_loop() {
        let holder = task(2).and(|task| task.loop_id = Some(Address(0x2000)));
        let scene = Scene::new().with([task(1).at_lock(900, &[2]), holder]);
        let diagnosis = scene.once();
        let finding = diagnosis.of(Code::CrossLoop);
        assert_eq!(finding.tasks, crate::diagnose::tests::ids(&[1, 2]));
        assert!(finding.title.to_string().contains("held on another"), "{}", finding.title);
    }

    #[test]
    fn work_given_to_another_thread_is_healthy() {
        let asked = task(1)
            .waits(Wait::Thread { thread: None, tasks: Vec::new() })
            .waiting(|waiting| waiting.foreign_loop = Some(Address(0x2000)));
        assert!(Scene::new().with([asked]).once().findings.is_empty());
    }
}
