//! `pool-exhausted`: all connections of a library's pool are out, and tasks wait for one.
//!
//! A pool is there to be used up now and then, so what is told is that its line stands: whoever is
//! first is the same at both looks, and so are those that have the connections. While these go on
//! working it is a note. A connection that nothing but the pool refers to nobody can give back.

use rustc_hash::FxHashSet;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Is, Rule};
use super::words::WAIT;
use super::{Context, STUCK_AFTER, grouped, severity_of, words};
use crate::snapshot::{
    Cause, Code, Count, Evidence, Pending, Role, Sentence, Severity, Sureness, Task, Waiting,
};
use crate::timeline::Stillness;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::PoolExhausted,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::Holders,
    follows: &[Follows::Culprit, Follows::Reach],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::Cause],
};

/// A pool of which nothing is left.
struct Exhausted<'c> {
    waiting: &'c Waiting,
    waiters: Vec<&'c Task>,
    holders: Vec<&'c Task>,
    out: u64,
    size: u64,
    held: u64,
    lost: u64,
    unseen: u64,
    /// Whether it was so at both looks, and who is first in line is the same.
    stands: bool,
    /// How sure it is that neither that one nor those who have the connections have moved.
    stillness: Stillness,
}

fn find(context: &Context<'_>, out: &mut Drafts) {
    let circles = context.graph.circles().iter().flat_map(|circle| &circle.nodes);
    let stuck: FxHashSet<Node> = circles.copied().collect();
    let object = |task: &&Task| task.waiting_on.as_deref().and_then(|waiting| waiting.object);
    for waiters in grouped(context.at_pool.iter().copied(), object) {
        let Some(pool) = exhausted(context, waiters) else { continue };
        // Those who wait in a deadlock have a finding of their own.
        let is_stuck = pool.waiting.object.is_some_and(|at| stuck.contains(&Node::Object(at)));
        if is_stuck && pool.waiters.iter().all(|task| pool.waiting.holders().contains(&task.id)) {
            continue;
        }
        if context.gap.is_none() {
            out.want_second_look();
        } else if pool.stands {
            out.add(report(context, &pool));
        }
    }
}

fn exhausted<'c>(context: &'c Context<'_>, waiters: Vec<&'c Task>) -> Option<Exhausted<'c>> {
    let first = *waiters.first()?;
    let waiting = first.waiting_on.as_deref()?;
    let Count { value: Some(out), limit: Some(size) } = waiting.count() else { return None };
    let (out, size) = (u64::try_from(out).ok()?, u64::try_from(size).ok()?);
    if size == 0 || out < size {
        return None;
    }
    let before = context.pairs.before(first).and_then(|before| before.waiting_on.as_deref());
    let was_so = |before: &Waiting| {
        before.object == waiting.object
            && before.holders() == waiting.holders()
            && before.held_lost_unseen() == waiting.held_lost_unseen()
            && before.count() == waiting.count()
    };
    let holders: Vec<&Task> = waiting.holders().iter().filter_map(|id| context.task(*id)).collect();
    let stands = before.is_some_and(was_so) && context.stillness(first) != Stillness::Moved;
    let all = holders.iter().copied().chain([first]);
    let stillness = all.map(|task| context.stillness(task)).min().unwrap_or(Stillness::Moved);
    let [held, lost, unseen] = waiting.held_lost_unseen();
    Some(Exhausted { waiting, waiters, holders, out, size, held, lost, unseen, stands, stillness })
}

fn report(context: &Context<'_>, pool: &Exhausted<'_>) -> Draft {
    let Exhausted { waiting, waiters, holders, out, size, held, lost, unseen, stillness, .. } =
        pool;
    let first = waiters.first().copied();
    // Whoever has a connection works with it, and may be slow; a lost one is lost at once.
    let users = || holders.iter().copied().chain(first.filter(|_| holders.is_empty()));
    let stood = users().map(|task| context.stood_for(task)).min().unwrap_or_default();
    let sure = match (*lost, stood >= STUCK_AFTER) {
        (lost, _) if lost >= *size => Severity::Critical,
        (1.., _) | (_, true) => Severity::Warning,
        _ => Severity::Info,
    };
    let severity = severity_of(*stillness, sure);
    let name = words::pool(waiting);
    let title = if *lost > 0 {
        Sentence::words(format!("{lost} of {size} connections of {name}"))
            .verb(if *lost == 1 { "has" } else { "have" }, "had")
            .then("no owner")
    } else {
        let all = match size {
            1 => "The only connection".to_owned(),
            2 => "Both connections".to_owned(),
            many => format!("All {many} connections"),
        };
        let verb = if *size == 1 { ["is", "was"] } else { ["are", "were"] };
        let title = Sentence::words(format!("{all} of {name}")).verb(verb[0], verb[1]).then("out");
        match common_work(holders, *held) {
            Some((work, count)) => title.join(Sentence::words(format!(", {count} in")).and(work)),
            None => title,
        }
    };
    let title = title.so_many(words::who(waiters.iter().copied()), WAIT);
    let mut lines = vec![Evidence::from(format!("{out} of {size} connections are out"))];
    if *lost > 0 {
        lines.push(
            format!("to {lost} of them nothing refers but the pool: nobody can give them back")
                .into(),
        );
    }
    lines.extend(words::lines(holders.iter().copied(), |task| {
        let line = words::wait_line(task);
        let has = match (holders.len(), held) {
            (1, 2..) => format!(" of {held}"),
            _ => String::new(),
        };
        Evidence { text: format!("holder{has} {}", line.text), ..line }.role(Role::Holder)
    }));
    if *unseen > 0 {
        lines.push(
            format!("no task leads to {unseen} of them: not closed, or kept somewhere else").into(),
        );
    }
    match out.saturating_sub(held + lost + unseen) {
        0 => {}
        several => lines.push(format!("who has {several} of them is not known").into()),
    }
    lines.extend(words::lines(waiters.iter().copied(), |task| {
        let line = words::wait_line(task);
        Evidence { text: format!("waiter {}", line.text), ..line }.role(Role::Waiter)
    }));
    let hanging =
        waiting.object.map_or(0, |object| context.graph.waiting_for(Node::Object(object)).len());
    // They come in no order: the same one, whoever comes first.
    let places = holders.iter().filter_map(|task| words::place(task));
    let place = places.min_by_key(|place| (words::owner(place), place.line));
    let place = place.or_else(|| words::place(first?));
    let blamed = holders.iter().map(|task| Node::Task(task.id));
    let pending = Pending {
        what: format!("{} for {name}", words::who_waits(waiters.iter().copied())),
        seen_for: stood,
    };
    let at = words::at_short(place);
    let advice = if *lost > 0 || unseen == out {
        format!("Close what is opened{at}, in any case: use `async with`, or `finally`.")
    } else {
        "Give connections back before waiting for something slow, limit each use in time, or make \
         the pool larger."
            .to_owned()
    };
    let function = place.map(words::owner);
    Draft::new(Code::PoolExhausted, severity, Sureness::Derived, title)
        .on_loop(first.and_then(|task| task.loop_id))
        .blames(waiting.object.map(Node::Object).into_iter().chain(blamed))
        .at(place, None)
        .key([Some(name), function.as_deref()])
        .cause(Some(Cause::Pool {
            name: Some(name.to_owned()),
            object: waiting.object,
            size: Some(*size),
            queued: Some(waiters.len() as u64),
        }))
        .since(context.age(users()))
        .role(Role::Holder, holders.iter().copied())
        .role(Role::Waiter, waiters.iter().copied())
        .affects(hanging.max(waiters.len()))
        .pending(Some(pending))
        .evidence(lines)
        .advice(advice)
}

/// What most of those that have connections do, and how many these are; of one how many it has.
fn common_work(holders: &[&Task], held: u64) -> Option<(String, u64)> {
    if let [one] = holders {
        return Some((words::work(one), held));
    }
    let mut counts: Vec<(&str, u64)> = Vec::new();
    for work in holders.iter().filter_map(|task| task.coroutine.as_deref()) {
        let work = words::function(work);
        match counts.iter_mut().find(|(known, _)| *known == work) {
            Some((_, count)) => *count += 1,
            None => counts.push((work, 1)),
        }
    }
    let (work, count) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
    Some((work.to_owned(), count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, ids, task};
    use crate::memory::Address;
    use crate::snapshot::{Acquire, Position, Wait};
    use std::time::Duration;

    /// Task `number` waits, at `place` in the line, for one of three connections.
    fn waiter(number: u64, place: u64, holders: &[u64], [lost, unseen]: [u64; 2]) -> Builder {
        let wait = Wait::Pool {
            pool: Some("asyncpg's pool".into()),
            acquire: Acquire {
                holders: ids(holders).into(),
                position: Position { at: Some(place), of: Some(2) },
                ..Acquire::default()
            },
            out: Count { value: Some(3), limit: Some(3) },
            held: holders.len() as u64,
            lost,
            unseen,
        };
        task(number).waits(wait).waiting(|waiting| waiting.object = Some(Address(0x900)))
    }

    fn scene(holders: &[u64], others: [u64; 2]) -> Scene {
        let waiters = [waiter(11, 2, holders, others), waiter(12, 1, holders, others)];
        Scene::new().with(holders.iter().map(|id| task(*id).reads_socket())).with(waiters)
    }

    /// The loop has been idle for so long.
    fn idle_for(scene: Scene, idle: Duration) -> Scene {
        scene.and(|snapshot| snapshot.loops[0].idle_for = Some(idle))
    }

    #[test]
    fn all_are_held_by_tasks_that_stand() {
        let scene = scene(&[1, 2, 3], [0, 0]);
        let once = scene.once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        assert_eq!(scene.twice().only().severity, Severity::Info, "a moment is nothing");
        let stuck = idle_for(scene, STUCK_AFTER).twice();
        let finding = stuck.only();
        assert_eq!(
            finding.title.to_string(),
            "All 3 connections of asyncpg's pool are out, 3 in work: 2 tasks wait"
        );
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.tasks, ids(&[1, 2, 3, 12, 11]), "those who came first, first");
        assert_eq!(finding.key, "pool-exhausted/asyncpg's pool/app.py:work");
    }

    #[test]
    fn what_nobody_has_is_told_apart() {
        let lost = scene(&[], [3, 0]).twice();
        assert_eq!(
            lost.only().title.to_string(),
            "3 of 3 connections of asyncpg's pool have no owner: 2 tasks wait"
        );
        assert_eq!(lost.only().severity, Severity::Critical);
        let one = scene(&[1, 2], [1, 0]).twice();
        assert_eq!(one.only().severity, Severity::Warning, "the others may come back");
        assert!(one.only().title.to_string().starts_with("1 of 3 connections"));
        // Something that is no task may have it.
        let kept = scene(&[], [0, 3]);
        assert_eq!(kept.twice().only().severity, Severity::Info);
        let kept = idle_for(kept, STUCK_AFTER).twice();
        assert_eq!(kept.only().severity, Severity::Warning);
        assert!(kept.only().facts()[1].starts_with("no task leads to 3 of them"));
        let unknown = idle_for(scene(&[1, 2], [0, 0]), STUCK_AFTER).twice();
        assert!(unknown.only().facts().contains(&"who has 1 of them is not known".to_owned()));
    }

    #[test]
    fn a_pool_whose_line_or_holders_move_is_healthy() {
        let first = scene(&[1, 2, 3], [0, 0]);
        // The first in line was another one.
        let others = [0, 0];
        let next = Scene::new()
            .with([1, 2, 3].map(|id| task(id).reads_socket()))
            .with([waiter(11, 1, &[1, 2, 3], others), waiter(13, 2, &[1, 2, 3], others)])
            .and(|snapshot| snapshot.tasks[3].fut_waiter = Some(Address(0x77)));
        next.turned().after(&first.before()).assert_silent();
        // Another one has a connection.
        scene(&[1, 2, 4], [0, 0]).turned().after(&first.before()).assert_silent();
        // One of them has read something, and reads on.
        let read = idle_for(first.clone(), STUCK_AFTER);
        let read = read.and(|it| it.tasks[1].fut_waiter = Some(Address(0x77)));
        assert_eq!(read.turned().after(&first.before()).only().severity, Severity::Info);
        let moves = first.clone().turned().after(&first.before());
        moves.assert_no_warning();
    }

    #[test]
    fn a_pool_with_something_left_is_not_exhausted() {
        let left = scene(&[1, 2], [0, 0]).and(|snapshot| {
            for waiting in snapshot.tasks.iter_mut().filter_map(|it| it.waiting_on.as_mut()) {
                if let Wait::Pool { out, .. } = &mut waiting.wait {
                    out.value = Some(2);
                }
            }
        });
        left.once().assert_silent();
        left.twice().assert_silent();
    }

    #[test]
    fn those_who_have_all_and_want_more_are_in_a_deadlock() {
        let all = [1, 2, 3];
        let nested = |more: &[Builder]| {
            let holders = all.map(|id| waiter(id, id, &all, [0, 0]));
            Scene::new().with(holders).with(more.to_vec())
        };
        let diagnosis = nested(&[]).twice();
        assert_eq!(diagnosis.only().code, Code::Deadlock);
        let diagnosis = nested(&[waiter(11, 4, &all, [0, 0])]).twice();
        assert_eq!(diagnosis.codes(), [Code::Deadlock, Code::PoolExhausted]);
        assert_eq!(diagnosis.cause_of(&diagnosis.findings[1]), Some(Code::Deadlock));
        // A connection that is not known to be in one of them may come back.
        let known = [1, 2];
        let some = known.map(|id| waiter(id, id, &known, [0, 0]));
        let diagnosis = Scene::new().with(some).twice();
        assert_eq!(diagnosis.codes(), [Code::PoolExhausted]);
        // One that is lost does not.
        let some = known.map(|id| waiter(id, id, &known, [1, 0]));
        assert!(Scene::new().with(some).twice().codes().contains(&Code::Deadlock));
    }
}
