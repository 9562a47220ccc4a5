//! `permit-leaked`: a lock or semaphore is taken, tasks wait for it, and no live task holds it.
//!
//! Who entered it with `async with` is seen to hold it. Who took it by a bare `acquire` is not,
//! and may even have given it away: a pool that hands out connections keeps a permit for each of
//! them, and whoever has the connection may have never heard of the semaphore. So only where all
//! waiters come by `async with`, or nobody else has a reference to give it back by, is the loss
//! told as one.

use rustc_hash::FxHashSet;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::words::WAIT;
use super::{Context, Line, grouped, words};
use crate::known::{Module, name};
use crate::memory::Address;
use crate::snapshot::{
    Code, Count, Evidence, Location, Pending, Role, Sentence, Severity, Sureness, Task, Wait,
};
use crate::timeline::Stillness;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::PermitLeaked,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::Nobody,
    follows: &[],
    confirmed_by: Confirmed::Tasks,
    is: &[Is::Cause, Is::Hopeless, Is::AboutAbsence],
};

struct Leak<'c> {
    line: &'c Line<'c>,
    severity: Severity,
    sureness: Sureness,
    is_out_of_reach: bool,
    suspects: Vec<&'c Task>,
    /// Whether its first waiter may have come back to where it was.
    may_move: bool,
}

fn find(context: &Context<'_>, out: &mut Drafts) {
    let mut found = Vec::new();
    for line in &context.lines {
        let has_holder = line.holders.iter().any(|id| context.task(*id).is_some());
        let is_free = line.is_free();
        let Some(head) = line.waiters.first() else { continue };
        if has_holder || is_free || !head.is_parked() {
            continue;
        }
        if context.gap.is_none() {
            out.want_second_look();
        } else if was_so(context, head) {
            found.extend(judge(context, line, context.stillness(head)));
        }
    }
    let shape = |leak: &Leak<'_>| {
        let place = leak.line.waiters.first().and_then(|task| words::place(task)).cloned();
        (place, leak.line.waiting.name.clone(), leak.severity)
    };
    for group in grouped(found, shape) {
        out.extend(report(context, &group));
    }
}

fn was_so(context: &Context<'_>, head: &Task) -> bool {
    let before = context.pairs.before(head).and_then(|before| before.waiting_on.as_deref());
    before.is_some_and(|before| before.holders().is_empty())
        && context.stillness(head) != Stillness::Moved
}

fn judge<'c>(
    context: &'c Context<'_>,
    line: &'c Line<'_>,
    stillness: Stillness,
) -> Option<Leak<'c>> {
    let hanging: FxHashSet<Address> =
        context.graph.waiting_for(Node::Object(line.object)).iter().map(|task| task.id).collect();
    let suspects: Vec<&Task> = line
        .suspects
        .iter()
        .filter(|id| !hanging.contains(id))
        .filter_map(|id| context.task(*id))
        .collect();
    let is_out_of_reach = context.stays_out_of_reach(line.object);
    let by_block = line.waiters.iter().all(|task| enters_block(task));
    let may_have_it = || suspects.iter().any(|task| super::is_active(task));
    let is_lock = matches!(line.waiting.wait, Wait::Lock(_));
    let others = || context.active().iter().any(|task| !hanging.contains(&task.id));
    let verdict = if is_out_of_reach {
        (Severity::Critical, Sureness::Derived)
    } else if line.waiting.may_be_returned() == Some(true) || context.has_unread_frames() {
        return None;
    } else if stillness != Stillness::Surely {
        // Those that refer to it may have had it in between, or those that wait, in turn.
        if !by_block || !suspects.is_empty() || !context.stands(line) {
            return None;
        }
        (Severity::Info, Sureness::Guessed)
    } else if suspects.is_empty() && (by_block || is_lock && !others()) {
        (Severity::Critical, Sureness::Derived)
    } else if is_lock && (by_block || suspects.is_empty() || !may_have_it()) {
        (Severity::Warning, Sureness::Guessed)
    } else if by_block || is_lock || line.waiting.count().limit.is_some() {
        (Severity::Info, Sureness::Guessed)
    } else {
        // A semaphore that is only acquired may count events: nobody has taken its permits.
        return None;
    };
    let (severity, sureness) = verdict;
    let may_move = stillness != Stillness::Surely;
    Some(Leak { line, severity, sureness, is_out_of_reach, suspects, may_move })
}

/// Whether the task waits in `async with` of the thing itself: a class of the program that has one
/// inside may give it back by other means.
fn enters_block(task: &Task) -> bool {
    let is_enter =
        |location: &Location| name::enters_block(&location.function) && has_its_locks(location);
    task.frames.iter().any(|frame| is_enter(&frame.location))
}

/// Whether a place is in one of the libraries whose locks are known.
fn has_its_locks(location: &Location) -> bool {
    location.is_asyncio() || location.module() == Some(Module::Anyio)
}

fn report(context: &Context<'_>, group: &[Leak<'_>]) -> Option<Draft> {
    let Leak { line, severity, sureness, is_out_of_reach, suspects, may_move } = group.first()?;
    let waiting: usize = group.iter().map(|leak| leak.line.waiters.len()).sum();
    let waiters = || group.iter().flat_map(|leak| leak.line.waiters.iter().copied());
    let thing = match group.len() {
        1 => words::called(line.waiting),
        many => format!("{many} like {}", words::called(line.waiting)),
    };
    let nobody = if *severity == Severity::Critical {
        ("but no task holds it", "but no task held it")
    } else {
        ("but no task is seen to hold it", "but no task was seen to hold it")
    };
    let title = Sentence::name(thing)
        .verb(
            if group.len() == 1 { "is" } else { "are" },
            if group.len() == 1 { "was" } else { "were" },
        )
        .then("taken,")
        .verb(nobody.0, nobody.1)
        .so_many(words::who(waiters()), WAIT);
    let mut lines: Vec<Evidence> = Vec::new();
    if let Count { value: Some(value), limit } = line.waiting.count() {
        let of = limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
        lines.push(format!("{value}{of} permits are left").into());
    }
    lines.push("no frame of a live task is inside an `async with` of it".into());
    if *is_out_of_reach {
        lines.push("all references to it are in tasks that wait for it".into());
    }
    lines.extend(words::lines(suspects.iter().copied(), |task| {
        let text = format!("{} refers to it,", words::name(task));
        words::of_task(task, text).role(Role::Suspect)
    }));
    lines.extend(words::lines(waiters(), |task| words::wait_line(task).role(Role::Waiter)));
    let hanging =
        group.iter().map(|leak| context.graph.waiting_for(Node::Object(leak.line.object)).len());
    let head = line.waiters.first();
    let loop_id = head.and_then(|task| task.loop_id);
    let pending = may_move.then(|| Pending {
        what: format!("{} for {}", words::who_waits(waiters()), words::short_thing(line.waiting)),
        seen_for: head.map(|task| context.stood_for(task)).unwrap_or_default(),
    });
    Some(
        Draft::new(Code::PermitLeaked, *severity, *sureness, title)
            .on_loop(loop_id)
            .blames(group.iter().map(|leak| Node::Object(leak.line.object)))
            .at(head.and_then(|task| words::place(task)), words::common_name(waiters()))
            .cause(Some(words::lock(line.waiting)))
            .since(context.age(head.copied()))
            .role(Role::Suspect, suspects.iter().copied())
            .role(Role::Waiter, waiters())
            .affects(hanging.sum::<usize>().max(waiting))
            .pending(pending)
            .evidence(lines)
            .advice(
                "Take it with `async with`, which gives it back on every way out; after a bare \
                 `acquire()` an exception or an early `return` can skip the `release()`.",
            ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, ids, task};
    use crate::snapshot::{Cut, Enclosed};

    fn waiter(number: u64) -> Builder {
        task(number).at_semaphore(900, &[])
    }

    #[test]
    fn a_permit_that_nobody_has() {
        let scene = Scene::new()
            .with((1..=5).map(|number| waiter(number).in_aenter()))
            .with([task(9).gathers(&[1, 2, 3, 4, 5]), task(10).reads_socket()]);
        let once = scene.once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!((finding.code, finding.severity), (Code::PermitLeaked, Severity::Critical));
        assert!(
            finding.title.to_string().ends_with("is taken, but no task holds it: 5 tasks wait"),
            "{}",
            finding.title
        );
        // Among those that there was no memory for may be the one that has it.
        let cut = Some(Cut { tasks_read: 7, tasks_at_least: 8 });
        let scene = scene.and(|snapshot| snapshot.cut = cut);
        assert!(scene.once().findings.is_empty());
        scene.twice().assert_silent();
    }

    #[test]
    fn one_taken_by_acquire_is_lost_when_nobody_else_could_give_it_back() {
        let scene = |main: Builder, enclosed: &[u64]| {
            let tasks = ids(enclosed);
            Scene::new().with([waiter(1), waiter(2), main]).and(|snapshot| {
                snapshot.grounds.get_or_insert_default().enclosed =
                    vec![Enclosed { object: Address(900), tasks }];
            })
        };
        let lost = scene(task(9).gathers(&[1, 2]), &[1, 2, 9]);
        assert_eq!(lost.twice().only().severity, Severity::Critical);
        // It may be told by more than the count of one moment only.
        let first = lost
            .clone()
            .and(|snapshot| snapshot.grounds.get_or_insert_default().enclosed.clear())
            .before();
        lost.clone().after(&first).assert_no_warning();
        // One that refers to it does something else, or goes on by itself.
        scene(task(9).reads_socket(), &[1, 2, 9]).twice().assert_no_warning();
        scene(task(9).gathers(&[1, 2]).deadline(900), &[1, 2, 9]).twice().assert_no_warning();
    }

    #[test]
    fn a_lock_taken_by_acquire_is_lost_when_no_task_is_left_that_may_have_it() {
        let waiter = |number| task(number).at_lock(900, &[]);
        let known = |number| {
            waiter(number)
                .and(|task| task.grounds.get_or_insert_default().suspects = ids(&[9]).into())
        };
        let idle = Scene::new().with([known(1), known(2), task(9).at_event()]);
        assert_eq!(idle.twice().only().severity, Severity::Warning);
        let busy = Scene::new().with([known(1), known(2), task(9).reads_socket()]);
        busy.twice().assert_no_warning();
    }

    #[test]
    fn a_pool_whose_connections_are_out_is_healthy() {
        let scene = Scene::new().with([waiter(1), waiter(2), task(9).reads_socket()]);
        scene.twice().assert_no_warning();
    }

    #[test]
    fn one_that_a_callback_may_give_back_is_healthy() {
        let waits = |number| {
            let waiter = task(number).at_lock(900, &[]).in_aenter();
            waiter.waiting(|waiting| waiting.acquire_mut().unwrap().may_be_returned = Some(true))
        };
        Scene::new().with([waits(1), waits(2)]).twice().assert_silent();
    }

    #[test]
    fn frames_that_were_not_read_may_hold_it() {
        let compiled = task(9)
            .reads_socket()
            .and(|task| task.grounds.get_or_insert_default().is_partly_read = true);
        let waiters = [waiter(1).in_aenter(), waiter(2).in_aenter()];
        Scene::new().with(waiters).with([compiled]).twice().assert_silent();
    }

    #[test]
    fn a_semaphore_that_counts_events_is_healthy() {
        let readers = [waiter(1), waiter(2), task(9).gathers(&[1, 2])];
        Scene::new().with(readers).twice().assert_silent();
    }

    #[test]
    fn a_lock_on_its_way_to_the_next_is_healthy() {
        let first = Scene::new().with([waiter(1).in_aenter()]);
        Scene::new().with([task(1).sleeps(5)]).turned().after(&first.before()).assert_silent();
        first.clone().turned().after(&first.before()).assert_no_warning();
    }

    #[test]
    fn a_line_that_moves_on_behind_its_head_is_not_stuck() {
        let at = |number: u64, place| waiter(number).in_aenter().at_place(place);
        let scene = |second, third| Scene::new().with([at(1, 1), at(2, second), at(3, third)]);
        let first = scene(2, 3).before();
        assert_eq!(scene(2, 3).turned().after(&first).only().code, Code::PermitLeaked);
        // The same one is the first again, but the others have changed places meanwhile.
        scene(3, 2).turned().after(&first).assert_silent();
    }
}
