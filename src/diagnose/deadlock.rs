//! `deadlock`: tasks, locks and threads that wait for each other in a circle.
//!
//! The circle has to be one of waits that nothing else can end ([`Graph`](super::graph::Graph)
//! sees to that). A snapshot of a target that ran meanwhile may show a circle that never was: one
//! edge of before and one of after a lock changed hands. So both looks have to show its tasks at
//! the same place; one alone is believed when nothing ran meanwhile.

use jiff::SignedDuration;

use super::draft::{Draft, Drafts};
use super::graph::{self, Circle, Node};
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, grouped, words};
use crate::memory::Address;
use crate::snapshot::{
    Cause, Code, Consistency, Evidence, Role, Sentence, Severity, Sureness, Task,
};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::Deadlock,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Tasks,
    is: &[Is::Cause, Is::Hopeless, Is::TrueWhenFrozen],
};

/// How many members of one circle are written out.
const MAX_MEMBERS: usize = 20;

fn find(context: &Context<'_>, out: &mut Drafts) {
    let is_of_one_moment = context.now.consistency == Consistency::Exact;
    let circles = context.graph.circles().iter().filter(|circle| {
        // A loop that waits for itself has a finding of its own.
        if circle.nodes.iter().any(|node| out.blames(Code::LoopSelfDeadlock, *node)) {
            return false;
        }
        let mut tasks = tasks(context, circle);
        if tasks.clone().any(|task| suspects_others(context, task)) {
            return false;
        }
        if context.gap.is_none() {
            out.want_second_look();
            return is_of_one_moment;
        }
        tasks.all(|task| has_stayed(context, task))
    });
    let circles: Vec<&Circle> = circles.collect();
    let shape = |circle: &&Circle| {
        let mut places: Vec<_> = tasks(context, circle)
            .map(|task| words::place(task).map(|at| (at.file.clone(), at.line)))
            .collect();
        places.sort_unstable();
        places
    };
    for group in grouped(circles, shape) {
        out.add(report(context, &group));
    }
}

/// Whether the task waited for the same at the first look, and those had it who have it now.
fn has_stayed(context: &Context<'_>, task: &Task) -> bool {
    let before = context.pairs.before(task);
    before.is_some_and(|before| edges(before) == edges(task)) && context.pairs.has_not_moved(task)
}

fn edges(task: &Task) -> Option<(&[Address], usize)> {
    let waiting = task.waiting_on.as_deref();
    waiting.map(|waiting| (waiting.holders(), waiting.tasks().len()))
}

/// Whether somebody who is not seen to hold what the task waits for may hold it, too.
fn suspects_others(context: &Context<'_>, task: &Task) -> bool {
    let is_shared = task.waiting_on.as_deref().is_some_and(|waiting| !graph::is_sole(waiting));
    is_shared && task.suspects().iter().any(|id| context.task(*id).is_some())
}

fn tasks<'c>(
    context: &'c Context<'_>,
    circle: &'c Circle,
) -> impl Iterator<Item = &'c Task> + Clone {
    let on_way = circle.nodes.iter().filter_map(|node| match node {
        Node::Task(id) => Some(id),
        _ => None,
    });
    on_way.chain(&circle.others).filter_map(|id| context.task(*id))
}

fn report(context: &Context<'_>, group: &[&Circle]) -> Draft {
    let first = group.first();
    let members: Vec<&Task> = first.iter().flat_map(|circle| tasks(context, circle)).collect();
    let threads = first.iter().flat_map(|circle| &circle.nodes).filter_map(|node| match node {
        Node::Thread(tid) => context.thread(*tid),
        _ => None,
    });
    let threads: Vec<&crate::snapshot::Thread> = threads.collect();
    // Those waiting for any of a circle wait for all of it.
    let nodes = group.iter().filter_map(|circle| circle.nodes.first());
    let hanging: Vec<_> = nodes.flat_map(|node| context.graph.waiting_for(*node)).collect();
    let inside: usize = group.iter().map(|circle| circle.tasks).sum();
    let outside = (hanging.len() + group.len()).saturating_sub(inside);

    let (inside_all, circles) = (inside + threads.len() * group.len(), group.len());
    let noun = match (members.len(), threads.len()) {
        (_, 0) => words::count(inside_all, "task"),
        (0, _) => words::count(inside_all, "thread"),
        _ => format!(
            "{} and {}",
            words::count(inside, "task"),
            words::count(threads.len() * circles, "thread")
        ),
    };
    let start = members.first().and_then(|task| words::place(task));
    let start = start.or_else(|| Some(&*words::own_frame(&threads.first()?.frames)?.location));
    let has_object =
        first.is_some_and(|circle| circle.nodes.iter().any(|node| matches!(node, Node::Object(_))));
    let title = match (&members[..], threads.len(), circles) {
        ([one], 0, 1) => Sentence::name(words::work(one))
            .verb("is", "was")
            .then("deadlocked: it")
            .verb("waits", "waited")
            .then("for itself"),
        ([one, other], 0, 1) => {
            let wait = Sentence::words("2 tasks").verb("are", "were").then("deadlocked:");
            let wait = wait.and(words::work(one)).then("and").and(words::work(other));
            if has_object {
                wait.verb("hold what the other wants", "held what the other wanted")
            } else {
                wait.verb("wait", "waited").then("for each other")
            }
        }
        (_, _, 1) => Sentence::words(noun)
            .verb("are", "were")
            .then("deadlocked in a cycle that starts")
            .maybe(words::at(start)),
        (_, _, many) => Sentence::words(noun)
            .verb("are", "were")
            .then(format!("deadlocked in {many} cycles that start"))
            .maybe(words::at(start)),
    };
    let due = group
        .iter()
        .flat_map(|circle| tasks(context, circle))
        .filter_map(|task| task.waiting_on.as_deref())
        .flat_map(|waiting| &waiting.deadlines)
        .filter_map(|deadline| deadline.due_in)
        .filter(SignedDuration::is_positive)
        .min();
    let mut lines = first.map(|circle| circle_lines(context, circle)).unwrap_or_default();
    lines.extend(due.map(|due| {
        let due = words::span(due.unsigned_abs());
        Evidence::from(format!("a time limit on the way ends it in {due}"))
    }));
    if outside > 0 {
        let does = words::one_does(outside);
        lines.push(format!("{} wait{does} for them", words::count(outside, "other task")).into());
    }
    let severity = if due.is_some() { Severity::Warning } else { Severity::Critical };
    let loop_id = members.first().and_then(|task| task.loop_id);
    let nodes = group.iter().flat_map(|circle| circle.nodes.iter().copied());
    let mut functions: Vec<String> = members
        .iter()
        .filter_map(|task| words::place(task))
        .chain(threads.iter().filter_map(|it| Some(&*words::own_frame(&it.frames)?.location)))
        .map(words::owner)
        .collect();
    functions.sort_unstable();
    functions.dedup();
    let length = members.len() + threads.len();
    let own = group.iter().flat_map(|circle| tasks(context, circle));
    let first = members.first().and_then(|task| words::place(task));
    Draft::new(Code::Deadlock, severity, Sureness::Derived, title)
        .at(first, None)
        .key([Some(&*functions.join("+"))])
        .cause(Some(Cause::Cycle { length: length as u64, count: group.len() as u64 }))
        .on_loop(loop_id)
        .blames(nodes)
        .role(Role::Member, own)
        .affects(inside + outside)
        .evidence(lines)
        .advice(advice(group.first().copied(), &members))
}

/// Each member with what it waits for, who has that, and where it stands.
fn circle_lines(context: &Context<'_>, circle: &Circle) -> Vec<Evidence> {
    let mut lines = Vec::new();
    let nodes = &circle.nodes;
    let mut written = 0;
    for (at, node) in nodes.iter().enumerate() {
        let after = nodes.iter().cycle().skip(at + 1);
        // The next one who waits; what lies between is what it waits at.
        let next = after.take(nodes.len()).find(|node| !matches!(node, Node::Object(_)));
        let next = next.map(|node| describe(context, *node)).unwrap_or_default();
        let (what, place) = match node {
            Node::Task(id) => {
                let Some(task) = context.task(*id) else { continue };
                let waiting = task.waiting_on.as_deref();
                let place = words::place(task);
                let at_thing = waiting.filter(|waiting| {
                    matches!(nodes.get((at + 1) % nodes.len()), Some(Node::Object(_)))
                        && waiting.object.is_some()
                });
                let what = match at_thing {
                    Some(waiting) => format!("{}, held by {next}", words::thing(waiting)),
                    None => next,
                };
                (what, place)
            }
            Node::Thread(tid) => {
                let thread = context.thread(*tid);
                let frame = thread.and_then(|thread| words::own_frame(&thread.frames));
                (next, frame.map(|frame| &*frame.location))
            }
            Node::Executor(_) => (next, None),
            Node::Object(_) => continue,
        };
        written += 1;
        if written > MAX_MEMBERS {
            continue;
        }
        let line = Evidence::from(format!("{} waits for {what}", describe(context, *node)));
        let task = match node {
            Node::Task(id) => Some(*id),
            _ => None,
        };
        lines.push(Evidence { task, ..line }.role(Role::Member));
        // Behind the other's name it would seem to be that one's.
        lines.extend(place.map(|place| Evidence::from("").at(Some(place))));
    }
    for id in &circle.others {
        let Some(task) = context.task(*id) else { continue };
        written += 1;
        if written <= MAX_MEMBERS {
            lines.push(words::wait_line(task).role(Role::Member));
        }
    }
    if written > MAX_MEMBERS {
        lines.push(format!("and {} more", written - MAX_MEMBERS).into());
    }
    lines
}

fn describe(context: &Context<'_>, node: Node) -> String {
    match node {
        Node::Task(id) => context.task(id).map_or_else(|| format!("task {id}"), words::name),
        Node::Thread(tid) => {
            context.thread(tid).map_or_else(|| format!("thread {tid}"), words::thread)
        }
        Node::Executor(id) => format!("thread pool {id}"),
        Node::Object(id) => format!("object {id}"),
    }
}

fn advice(circle: Option<&Circle>, members: &[&Task]) -> String {
    let is_object = |node: &&Node| matches!(node, Node::Object(_));
    let objects = circle.map_or(0, |circle| circle.nodes.iter().filter(is_object).count());
    let at = |task: &&Task| words::place(task).map(words::short);
    let places: Vec<_> = members.iter().filter_map(at).take(4).collect();
    let places = places.join(", ");
    match (objects, members.len()) {
        (1, 1) => format!(
            "A lock of asyncio cannot be taken again by the task that has it ({places}); take it \
             once, and call what needs it from inside."
        ),
        (0, 1) => format!("A task cannot await itself ({places}); let another one do so."),
        (0, _) => format!(
            "These tasks await each other ({places}); let one of them end without the other's \
             result, or give one wait a time limit."
        ),
        _ => format!(
            "Take the locks in the same order everywhere ({places}), or hold only one at a time."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Scene, ids, task};

    fn ab_ba() -> Scene {
        Scene::new().with([task(1).at_lock(902, &[2]), task(2).at_lock(901, &[1])])
    }

    #[test]
    fn two_locks_in_two_orders() {
        let diagnosis = ab_ba().once();
        let finding = diagnosis.only();
        assert_eq!((finding.code, finding.severity), (Code::Deadlock, Severity::Critical));
        assert_eq!(finding.tasks, ids(&[1, 2]));
        let lines = [
            "\"t1\" waits for lock self.lock_902 (asyncio.Lock), held by \"t2\"",
            "at /srv/app.py:1 in work",
            "\"t2\" waits for lock self.lock_901 (asyncio.Lock), held by \"t1\"",
            "at /srv/app.py:2 in work",
        ];
        assert_eq!(finding.facts(), lines);
    }

    #[test]
    fn a_task_that_waits_for_itself() {
        let diagnosis = Scene::new().with([task(1).gathers(&[1])]).once();
        assert_eq!(diagnosis.only().title.to_string(), "t1 is deadlocked: it waits for itself");
        let helped = Scene::new().with([task(1).awaits(&[2]), task(2).awaits(&[1])]).once();
        assert_eq!(helped.only().tasks, ids(&[1, 2]));
    }

    #[test]
    fn those_of_one_shape_are_one_finding() {
        // Tasks 1 and 1001 stand at one line, 2 and 1002 at another.
        let more = [task(1001).at_lock(904, &[1002]), task(1002).at_lock(903, &[1001])];
        let diagnosis = ab_ba().with(more).once();
        let finding = diagnosis.only();
        assert!(
            finding
                .title
                .to_string()
                .contains("4 tasks are deadlocked in 2 cycles that start at app.py:1"),
            "{}",
            finding.title
        );
        assert_eq!(finding.tasks.len(), 4);
    }

    #[test]
    fn one_with_a_time_limit_is_no_standstill() {
        let scene = Scene::new()
            .with([task(1).at_lock(902, &[2]).deadline(3000), task(2).at_lock(901, &[1])]);
        assert_eq!(scene.once().only().severity, Severity::Warning);
    }

    #[test]
    fn of_a_target_that_ran_two_looks_are_needed() {
        let scene = ab_ba().and(|snapshot| snapshot.consistency = Consistency::BestEffort);
        let once = scene.once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        assert_eq!(scene.twice().only().severity, Severity::Critical);
        let first = scene.clone().and(|snapshot| snapshot.tasks[0].fut_waiter = None).before();
        scene.after(&first).assert_no_warning();
    }

    #[test]
    fn a_thread_that_waits_for_a_task_that_waits_for_its_caller() {
        let waiting = task(200).awaits(&[2]).task.waiting_on;
        let scene = Scene::new()
            .with([task(1).offloads(Some(200)), task(2).at_lock(900, &[1])])
            .and(|snapshot| {
                let mut thread = crate::diagnose::tests::thread(200, &["fetch"]);
                thread.waiting_on = waiting;
                snapshot.threads.push(thread);
            });
        let diagnosis = scene.once();
        let finding = diagnosis.of(Code::Deadlock);
        assert_eq!(finding.tasks, ids(&[1, 2]));
        assert!(finding.facts().iter().any(|line| line.starts_with("thread 200")), "{finding:#?}");
    }

    #[test]
    fn one_lock_after_the_other_is_healthy() {
        let scene = Scene::new().with([
            task(1).at_lock(901, &[2]),
            task(2).at_lock(902, &[3]),
            task(3).sleeps(5),
        ]);
        assert!(scene.once().findings.is_empty());
    }

    #[test]
    fn a_permit_that_may_be_elsewhere_is_no_circle() {
        let waiter = |number| task(number).at_semaphore(900, &[1, 2]);
        let closed = Scene::new().with([waiter(1), waiter(2)]);
        assert_eq!(closed.once().only().code, Code::Deadlock);
        let suspect = |number| {
            waiter(number)
                .and(|task| task.grounds.get_or_insert_default().suspects = ids(&[3]).into())
        };
        let open = Scene::new().with([suspect(1), suspect(2), task(3).reads_socket()]);
        assert!(open.once().codes().is_empty());
    }
}
