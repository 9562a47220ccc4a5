//! `queue-stalled`: tasks wait at a queue for others that will not come.
//!
//! A full queue is how a slow consumer slows down its producers, and workers at an empty one are
//! idle: both healthy. What tells a stall is that nobody is left who could come: all references to
//! the queue are in tasks that wait, in the end, for each other there; or, at a full one, every
//! other task waits for those at the queue, or for something that is far away; or, where items were
//! taken and not said to be done, nothing leads to anybody who would say so.

use rustc_hash::FxHashSet;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Is, Rule};
use super::words::WAIT;
use super::{Context, grouped, severity_of, words};
use crate::memory::Address;
use crate::snapshot::{
    Cause, Code, Count, Evidence, Operation, Pending, Role, Sentence, Severity, Snapshot, Sureness,
    Task, Waiting,
};
use crate::timeline::Stillness;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::QueueStalled,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::Nobody,
    follows: &[Follows::Culprit, Follows::Reach],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::Cause, Is::AboutAbsence],
};

/// Tasks beside those at a queue that are named because they wait for these.
const MAX_ASKING: usize = 3;

/// One queue with those who wait at it in vain.
#[derive(Debug)]
struct Stall<'s> {
    queue: Address,
    side: Side,
    waiters: Vec<&'s Task>,
    severity: Severity,
    sureness: Sureness,
    /// Those that took the items, where these are forgotten.
    consumers: Vec<&'s Task>,
    /// How many tasks in the end wait for this.
    affected: usize,
    /// Whether it may be a stall, and was not seen for long enough.
    is_young: bool,
}

/// What is at a standstill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    /// Producers at a full queue.
    Full,
    /// Those who wait for all items to be done.
    Unfinished,
    /// Consumers whose last producer has ended.
    Empty,
}

fn find(context: &Context<'_>, out: &mut Drafts) {
    let at_queue = context.at_queue.iter().copied();
    let object = |task: &&Task| task.waiting_on.as_deref().and_then(|waiting| waiting.object);
    let mut stalls = Vec::new();
    for tasks in grouped(at_queue, object) {
        let Some(queue) = tasks.first().and_then(object) else { continue };
        for side in [Side::Full, Side::Unfinished, Side::Empty] {
            let waiters: Vec<&Task> =
                tasks.iter().copied().filter(|task| side_of(task) == Some(side)).collect();
            let is_met = side == Side::Full
                && tasks.iter().any(|task| operation(task) == Some(Operation::Get));
            // All consumers have to be without a producer.
            let is_part = side == Side::Empty && waiters.len() < tasks.len();
            // Consumers of a queue that others can come to are idle.
            let is_idle = side == Side::Empty && !context.is_out_of_reach(queue);
            // Who has taken an item may work on it for as long as it likes; not who asks for more.
            let is_worked_on = side == Side::Unfinished
                && !tasks.iter().any(|task| operation(task) == Some(Operation::Get))
                && !context.is_out_of_reach(queue);
            if waiters.is_empty() || is_met || is_part || is_idle || is_worked_on {
                continue;
            }
            let is_taker = |task: &&&Task| side_of(task) == Some(Side::Empty);
            let is_forgotten = side == Side::Unfinished && is_forgotten(context, queue);
            let consumers = tasks.iter().filter(is_taker).filter(|_| is_forgotten).copied();
            let consumers: Vec<&Task> = consumers.collect();
            if context.gap.is_none() {
                out.want_second_look();
            } else {
                stalls.extend(judge(context, queue, side, waiters, consumers));
            }
        }
    }
    // A program that leaves a queue behind for each request has one trouble, not as many.
    let alike = grouped(stalls, |stall: &Stall<'_>| {
        let place = stall.waiters.first().and_then(|task| words::place(task));
        let name = words::common_name(stall.waiters.iter().copied());
        (stall.side, stall.severity, stall.sureness, place, name)
    });
    out.extend(alike.iter().filter_map(|stalls| report(context, stalls)));
}

fn operation(task: &Task) -> Option<Operation> {
    task.waiting_on.as_deref().and_then(Waiting::operation)
}

fn side_of(task: &Task) -> Option<Side> {
    let waiting = task.waiting_on.as_deref()?;
    // One with a time limit goes on by itself.
    if !waiting.deadlines.is_empty() {
        return None;
    }
    let Count { value, limit } = waiting.count();
    let value = value.unwrap_or(0);
    // Who waits to put into one of size 0 is at a stream of anyio, which has no buffer then.
    let is_full = limit.is_some_and(|limit| value >= limit);
    match waiting.operation()? {
        Operation::Put if is_full => Some(Side::Full),
        Operation::Join if value > 0 => Some(Side::Unfinished),
        Operation::Get if value == 0 => Some(Side::Empty),
        _ => None,
    }
}

/// Whether items of a queue were taken at both looks that nobody will say to be done: a call in a pool
/// may do that when it is over.
fn is_forgotten(context: &Context<'_>, queue: Address) -> bool {
    let is_at = |snapshot: &Snapshot| snapshot.forgotten().contains(&queue);
    is_at(context.now)
        && context.looks.first.is_none_or(is_at)
        && context
            .now
            .pools()
            .iter()
            .all(|pool| pool.jobs.is_empty() && pool.queued.unwrap_or(0) == 0)
}

fn judge<'s>(
    context: &Context<'s>,
    queue: Address,
    side: Side,
    waiters: Vec<&'s Task>,
    consumers: Vec<&'s Task>,
) -> Option<Stall<'s>> {
    let value = |task: &Task| task.waiting_on.as_deref().and_then(|waiting| waiting.count().value);
    let has_stayed = |task: &&&Task| {
        context.pairs.before(task).is_some_and(|before| value(before) == value(task))
    };
    let stillness = waiters.iter().map(|task| context.stillness(task)).min()?;
    if stillness == Stillness::Moved || !waiters.iter().all(|task| has_stayed(&task)) {
        return None;
    }
    let hanging = context.graph.waiting_for(Node::Object(queue));
    let ids: FxHashSet<Address> = hanging.iter().map(|task| task.id).collect();
    let has_others = context.active().iter().any(|task| !ids.contains(&task.id));
    let is_out_of_reach = context.stays_out_of_reach(queue);
    // Without a buffer each item waits for its taker: that is how the two ends meet.
    let limit = waiters.first().and_then(|it| it.waiting_on.as_deref()?.count().limit);
    if side == Side::Full && limit == Some(0) && !is_out_of_reach {
        return None;
    }
    let is_young =
        side == Side::Full && !is_out_of_reach && !has_others && stillness != Stillness::Surely;
    let (severity, sureness) = match side {
        Side::Empty if !is_out_of_reach => return None,
        // Nobody waits for them to end: they are left over, and cost nothing else.
        Side::Empty if ids.len() <= waiters.len() => (Severity::Info, Sureness::Derived),
        _ if is_out_of_reach => (Severity::Warning, Sureness::Derived),
        Side::Unfinished if !consumers.is_empty() => {
            (severity_of(stillness, Severity::Warning), Sureness::Guessed)
        }
        Side::Unfinished if has_others => return None,
        // Its items may be worked on elsewhere, in threads or in other processes.
        Side::Unfinished => (Severity::Info, Sureness::Guessed),
        _ if has_others => (Severity::Info, Sureness::Guessed),
        _ => (severity_of(stillness, Severity::Warning), Sureness::Guessed),
    };
    let affected = hanging.len();
    Some(Stall { queue, side, waiters, severity, sureness, consumers, affected, is_young })
}

/// What is to be said of so many queues with so many waiters.
fn title(side: Side, queues: usize, waiting: Option<&Waiting>, waiters: (usize, &str)) -> Sentence {
    let name = waiting.map_or_else(|| "a queue".to_owned(), words::called);
    let items = waiting.map(Waiting::count).unwrap_or_default();
    let (value, limit) = (items.value.unwrap_or(0), items.limit.unwrap_or(0));
    match (side, queues) {
        (Side::Full, 1) => Sentence::name(&name[..])
            .verb("is", "was")
            .then(match limit {
                0 => "without a buffer, and".to_owned(),
                _ => format!("full ({value} of {limit}) and"),
            })
            .verb("nobody takes from it", "nobody took from it")
            .so_many(waiters, WAIT),
        (Side::Full, many) => named(many, &name)
            .verb("are", "were")
            .then(if limit == 0 { "without a buffer, and" } else { "full and" })
            .verb("nobody takes from them", "nobody took from them")
            .so_many(waiters, WAIT),
        (Side::Unfinished, 1) => Sentence::name(match waiting.and_then(|it| it.name.as_ref()) {
            Some(name) => format!("{name}.join()"),
            None => "join() of a queue".to_owned(),
        })
        .verb("waits", "waited")
        .then("for")
        .then(format!("{} that nobody will finish", words::items(value))),
        (Side::Unfinished, many) => Sentence::words("join() of")
            .join(named(many, &name))
            .verb("waits", "waited")
            .then("for items that nobody will finish"),
        (Side::Empty, 1) => Sentence::name(&name[..])
            .verb(
                "is empty and its last producer has ended",
                "was empty and its last producer had ended",
            )
            .so_many(waiters, WAIT),
        (Side::Empty, many) => named(many, &name)
            .verb(
                "are empty and their last producers have ended",
                "were empty and their last producers had ended",
            )
            .so_many(waiters, WAIT),
    }
}

/// Several queues that a program has under one name.
fn named(many: usize, name: &str) -> Sentence {
    let many = Sentence::words(words::count(many, "queue"));
    if name == "a queue" { many } else { many.then("named").and(name) }
}

/// What is to be said of queues that are all stalled in the same way.
fn report(context: &Context<'_>, stalls: &[Stall<'_>]) -> Option<Draft> {
    let &Stall { side, severity, sureness, is_young, .. } = stalls.first()?;
    let waiters: Vec<&Task> = stalls.iter().flat_map(|it| it.waiters.iter().copied()).collect();
    let waiting = waiters.first().and_then(|task| task.waiting_on.as_deref());
    let items = waiting.map(Waiting::count).unwrap_or_default();
    let longest = waiters.iter().max_by_key(|task| context.stood_for(task));
    let title = title(side, stalls.len(), waiting, words::who(waiters.iter().copied()));
    let role = if side == Side::Full { Role::Producer } else { Role::Consumer };
    let role = if side == Side::Unfinished { Role::Waiter } else { role };
    let line = |task: &Task| words::wait_line(task).role(role);
    let mut lines = words::lines(waiters.iter().copied(), line);
    let consumers = || stalls.iter().flat_map(|stall| stall.consumers.iter().copied());
    lines.extend(words::lines(consumers(), |task| words::wait_line(task).role(Role::Consumer)));
    // A library's own tasks stand for what the program asked of it.
    let is_own = |task: &&Task| words::place(task).is_some_and(|place| !place.is_library());
    let first = Node::Object(stalls.first()?.queue);
    let mut asking = context.graph.waiting_for(first);
    asking.retain(|task| is_own(task) && !waiters.iter().any(|waiter| waiter.id == task.id));
    asking.truncate(MAX_ASKING);
    let line = |task: &Task| words::wait_line(task).role(Role::Blocked);
    lines.extend(words::lines(asking.iter().copied(), line));
    let own = waiters.iter().find(|task| is_own(task)).or_else(|| asking.first());
    lines.push(Evidence::from(match (severity, sureness) {
        _ if consumers().next().is_some() && sureness == Sureness::Guessed => {
            "all items were taken, whoever took them waits for more, and nothing was found that will \
             call task_done()"
                .to_owned()
        }
        (_, Sureness::Derived) => "only tasks that wait for it have a reference to it".to_owned(),
        (Severity::Info, _) if side == Side::Full => {
            "others are at work who may take from it".to_owned()
        }
        _ => "every other task waits for these tasks or is idle".to_owned(),
    }));
    let is_stream = waiting
        .and_then(|it| it.class.as_deref())
        .is_some_and(|class| class.starts_with("anyio.streams."));
    let advice = match side {
        Side::Empty if is_stream => {
            "Close the sending end, and each clone of it, when there is no more to come: `async with` \
             does it on every way out, and then `async for` at the other end is over."
        }
        Side::Full => {
            "See whether its consumers have ended, by an exception that nobody looked at; start \
             them in a `TaskGroup` with the producers, so that all end together."
        }
        Side::Unfinished => {
            "Call `task_done()` once for each item, in a `finally`, and see whether the workers \
             have ended before the work was done."
        }
        Side::Empty => {
            "Let the consumers know when there is no more to come: `Queue.shutdown()` (Python 3.13), \
             or an item that means the end for each of them."
        }
    };
    // Where nothing else keeps it from being a warning.
    let pending = is_young.then(|| Pending {
        what: format!(
            "{} to put into {}",
            words::who_waits(waiters.iter().copied()),
            waiting.map(words::short_thing).unwrap_or_default(),
        ),
        seen_for: waiters.iter().map(|task| context.stood_for(task)).min().unwrap_or_default(),
    });
    let draft = Draft::new(Code::QueueStalled, severity, sureness, title)
        .on_loop(waiters.first().and_then(|task| task.loop_id))
        .blames(stalls.iter().map(|stall| Node::Object(stall.queue)))
        .at(
            own.or_else(|| waiters.first()).and_then(|task| words::place(task)),
            words::common_name(waiters.iter().copied()),
        )
        .cause(waiting.map(|waiting| Cause::Queue {
            name: waiting.name.clone(),
            class: waiting.class.clone(),
            object: waiting.object,
            items: items.value,
            size: items.limit.filter(|limit| *limit > 0),
        }))
        .since(context.age(longest.copied()))
        .role(role, waiters.iter().copied())
        .role(Role::Consumer, consumers())
        .affects(stalls.iter().map(|stall| stall.affected).sum())
        .pending(pending)
        .evidence(lines)
        .advice(advice);
    Some(draft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, frame, ids, task};
    use crate::snapshot::Enclosed;

    fn producer(number: u64) -> Builder {
        task(number).at_queue(Operation::Put, 5, 5)
    }

    #[test]
    fn producers_whose_consumer_has_died() {
        let scene = Scene::new()
            .with([producer(1), producer(2), task(3).gathers(&[1, 2])])
            .with([task(4).at_event(), task(5).sleeps(3_600_000)]);
        let once = scene.once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(
            finding.title.to_string().ends_with("and nobody takes from it: 2 tasks wait"),
            "{}",
            finding.title
        );
        assert!(finding.title.to_string().contains("(5 of 5)"));
    }

    #[test]
    fn a_slow_consumer_is_healthy() {
        let scene = Scene::new().with([producer(1), task(2).reads_socket()]);
        scene.twice().assert_no_warning();
        let join =
            Scene::new().with([task(1).at_queue(Operation::Join, 3, 0), task(2).sleeps(1000)]);
        join.twice().assert_silent();
        // One item was taken and another put.
        let mut first = Scene::new().with([producer(1)]).before();
        first.snapshot.tasks[0].fut_waiter = None;
        Scene::new().with([producer(1)]).turned().after(&first).assert_silent();
    }

    #[test]
    fn who_sends_without_a_buffer_is_stalled_when_nobody_can_take_it() {
        let scene = || {
            let sender = task(1).at_queue(Operation::Put, 0, 0);
            Scene::new().with([sender, task(2).gathers(&[1]), task(3).at_event()])
        };
        // The other end may come for it.
        scene().twice().assert_silent();
        let twice = enclosed(scene(), &[1, 2]).twice();
        let finding = twice.only();
        assert_eq!(finding.severity, Severity::Warning);
        let title = finding.title.to_string();
        assert!(
            title.ends_with("is without a buffer, and nobody takes from it: 1 task waits"),
            "{title}"
        );
    }

    fn enclosed(scene: Scene, tasks: &[u64]) -> Scene {
        enclosed_at(scene, 0x900, tasks)
    }

    fn enclosed_at(scene: Scene, queue: u64, tasks: &[u64]) -> Scene {
        let (object, tasks) = (Address(queue), ids(tasks));
        scene.and(|snapshot| {
            snapshot.grounds.get_or_insert_default().enclosed.push(Enclosed { object, tasks });
        })
    }

    #[test]
    fn queues_that_are_left_behind_one_by_one_are_one_finding() {
        let left_behind = |number: u64| {
            producer(number).and(|task| {
                task.frames = vec![frame("send", 40)];
                let waiting = task.waiting_on.as_deref_mut().unwrap();
                waiting.object = Some(Address(0x900 + number));
                waiting.name = Some("queue".to_owned());
            })
        };
        // Others are at work, but none of them can come to these queues.
        let scene = || Scene::new().with((1..=3).map(left_behind)).with([task(9).reads_socket()]);
        let twice = scene().twice();
        let note = twice.only();
        assert_eq!((note.severity, note.tasks.len()), (Severity::Info, 3));
        let scene = (1..=3).fold(scene(), |scene, at| enclosed_at(scene, 0x900 + at, &[at]));
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!((finding.severity, finding.sureness), (Severity::Warning, Sureness::Derived));
        let title = finding.title.to_string();
        let expected = "3 queues named queue are full and nobody takes from them: 3 tasks wait";
        assert_eq!(title, expected);
        assert_eq!(finding.tasks, ids(&[1, 2, 3]));
    }

    #[test]
    fn a_join_that_nobody_works_for() {
        let idle = task(2).at_queue(Operation::Get, 0, 0);
        let scene = Scene::new().with([task(1).at_queue(Operation::Join, 3, 0), idle]);
        // Somebody else may call `task_done`.
        scene.twice().assert_no_warning();
        let twice = enclosed(scene, &[1, 2]).twice();
        let finding = twice.of(Code::QueueStalled);
        assert_eq!(finding.severity, Severity::Warning);
        assert!(
            finding.title.to_string().contains("waits for 3 items that nobody will finish"),
            "{}",
            finding.title
        );
    }

    #[test]
    fn items_that_were_taken_and_forgotten() {
        let forgotten = |scene: Scene| {
            scene.and(|snapshot| {
                snapshot.grounds.get_or_insert_default().forgotten.push(Address(0x900));
            })
        };
        let scene = || {
            let consumer = task(2).at_queue(Operation::Get, 0, 0);
            let reader = task(3).reads_socket();
            Scene::new().with([task(1).at_queue(Operation::Join, 2, 0), consumer, reader])
        };
        // Whoever reads the socket may say that they are done.
        scene().twice().assert_silent();
        let once = forgotten(scene()).once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        let twice = forgotten(scene()).twice();
        let finding = twice.only();
        assert_eq!((finding.severity, finding.sureness), (Severity::Warning, Sureness::Guessed));
        assert_eq!(finding.tasks, ids(&[1, 2]));
        let facts = finding.facts();
        assert!(facts.iter().any(|fact| fact.starts_with("\"t2\"")), "{facts:#?}");
        // It was not so before, or a call in a pool is not over yet.
        forgotten(scene()).after(&scene().before()).assert_silent();
        let busy = forgotten(scene()).and(|snapshot| {
            snapshot.executors.push(crate::diagnose::tests::pool(4, 0, &[200]));
        });
        busy.twice().assert_silent();
    }

    #[test]
    fn consumers_are_stalled_only_when_somebody_waits_for_them_and_nobody_else_can_come() {
        let consumer = |number| task(number).at_queue(Operation::Get, 0, 0);
        let idle = || Scene::new().with([consumer(1), consumer(2), task(3).at_event()]);
        idle().twice().assert_silent();
        enclosed(idle(), &[1, 2]).twice().assert_no_warning();
        let joined = || Scene::new().with([consumer(1), consumer(2), task(3).gathers(&[1, 2])]);
        joined().twice().assert_silent();
        let twice = enclosed(joined(), &[1, 2, 3]).twice();
        assert_eq!(twice.only().severity, Severity::Warning);
        let producer = task(4).reads_socket();
        enclosed(joined().with([producer]), &[1, 2, 3, 4]).twice().assert_silent();
    }
}
