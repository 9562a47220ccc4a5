//! `lock-convoy`: tasks wait for a lock or semaphore whose holders wait for something slow.
//!
//! A lock that is held while its holder waits for the world outside is a fault by itself; tasks
//! that queue up at a semaphore before a slow server are what it is there for. There it is one
//! when none of the holders has got on for [`STUCK_AFTER`].

use std::time::Duration;

use jiff::SignedDuration;
use rustc_hash::FxHashSet;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Is, Rule};
use super::{Context, Line, STUCK_AFTER, grouped, kind, severity_of, words};
use crate::snapshot::{
    Code, Count, Evidence, Pending, Role, Sentence, Severity, Sureness, Task, WaitKind,
};
use crate::timeline::Stillness;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::LockConvoy,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::Holders,
    follows: &[Follows::Culprit, Follows::Reach],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::Cause],
};

/// Whoever sleeps for no longer than this with a lock in hand does so to keep a pace.
const PACE: Duration = Duration::from_secs(5);

fn find(context: &Context<'_>, out: &mut Drafts) {
    let circles = context.graph.circles().iter().flat_map(|circle| &circle.nodes);
    let stuck: FxHashSet<Node> = circles.copied().collect();
    let mut found = Vec::new();
    for line in &context.lines {
        let holders = holders(context, line);
        let is_held = !holders.is_empty() && holders.iter().all(|holder| holder.is_parked());
        // Those who wait in a deadlock have a finding of their own.
        let has_others = line.waiters.iter().any(|task| !stuck.contains(&Node::Task(task.id)));
        if !is_held || !has_others {
            continue;
        }
        if context.gap.is_none() {
            out.want_second_look();
            continue;
        }
        let still = holders.iter().map(|task| context.stillness(task)).min();
        let first = line.waiters.first().map(|task| context.stillness(task));
        let stillness = match (still, first) {
            // While they had it all the time, nobody else did.
            (Some(Stillness::Surely), Some(first))
                if first != Stillness::Moved && is_told_of_all(line, &holders) =>
            {
                Stillness::Surely
            }
            (still, first) => still.min(first).unwrap_or(Stillness::Moved),
        };
        // Where all go round, two looks may find the same one at work, and others behind it.
        if stillness == Stillness::Surely || stillness != Stillness::Moved && context.stands(line) {
            let keep_pace = holders.iter().all(|holder| is_short_sleep(holder));
            // A semaphore is there for tasks to queue up before a slow other end; and where a loop
            // goes on turning a lock may only seem to be held all the time.
            let is_idle = holders.iter().all(|holder| context.looks.was_idle(holder.loop_id));
            // Of those who wait in a circle nobody goes on.
            let free = holders.iter().filter(|holder| !stuck.contains(&Node::Task(holder.id)));
            let is_brief = || {
                (line.waiting.kind() == WaitKind::Semaphore || !is_idle)
                    && free.clone().any(|holder| context.stuck_for(holder) < STUCK_AFTER)
            };
            let severity = if keep_pace || is_brief() {
                Severity::Info
            } else {
                severity_of(stillness, Severity::Warning)
            };
            found.push((line, holders, severity));
        }
    }
    let shape = |(line, holders, severity): &(&Line<'_>, Vec<&Task>, Severity)| {
        let places: Vec<_> =
            holders.first().map(|holder| words::place(holder).cloned()).into_iter().collect();
        (places, line.waiting.name.clone(), line.waiting.class.clone(), *severity)
    };
    for group in grouped(found, shape) {
        out.extend(report(context, &group));
    }
}

fn holders<'s>(context: &Context<'s>, line: &Line<'s>) -> Vec<&'s Task> {
    line.holders.iter().filter_map(|id| context.task(*id)).collect()
}

/// Whether nobody but the holders can have it.
fn is_told_of_all(line: &Line<'_>, holders: &[&Task]) -> bool {
    match line.waiting.count() {
        Count { value: Some(value), limit: Some(limit) } => {
            i64::try_from(holders.len()).is_ok_and(|holders| holders >= limit - value)
        }
        _ => line.waiting.kind() == WaitKind::Lock,
    }
}

fn is_short_sleep(task: &Task) -> bool {
    let due = task.waiting_on.as_deref().and_then(|waiting| waiting.due_in);
    kind(task) == WaitKind::Timer
        && due.is_some_and(|due| SignedDuration::try_from(PACE).is_ok_and(|pace| due <= pace))
}

fn report(context: &Context<'_>, group: &[(&Line<'_>, Vec<&Task>, Severity)]) -> Option<Draft> {
    let (line, holders, severity) = group.first()?;
    let holder = *holders.first()?;
    let waiting = group.iter().map(|(line, ..)| line.waiters.len()).sum::<usize>();
    let at = words::at_short(words::place(holder));
    let age = context.age(group.iter().flat_map(|(_, holders, _)| holders.iter().copied()));
    let lasted = age.map_or("", |_| "for");
    let thing = words::called(line.waiting);
    let held_by = group.iter().flat_map(|(_, holders, _)| holders.iter().map(|task| task.id));
    let title = match held_by.collect::<FxHashSet<_>>().len() {
        1 => Sentence::name(words::work(holder)).verb("holds", "held"),
        many => Sentence::words(words::count(many, "task")).verb("hold", "held"),
    };
    let waits = match context.work_of(holder)[..] {
        [one] => format!("waits for {}", words::work(one)),
        _ => words::waits(holder),
    };
    let title = match (group.len(), holders.len()) {
        (1, 1) => title.and(thing).verb(format!("while it {waits}"), lasted),
        (1, _) => title.and(thing).verb(format!("while the first {waits}"), lasted),
        (many, _) => title
            .then(format!("{} like", words::count(many, kind_name(line))))
            .and(thing)
            .verb("and wait themselves", lasted),
    };
    let all_holders = || group.iter().flat_map(|(_, holders, _)| holders.iter().copied());
    let all_waiters = || group.iter().flat_map(|(line, ..)| line.waiters.iter().copied());
    let title = title.lasted(age);
    let title = title.so_many(words::who(all_waiters()), ["queues", "queue", "queued"]);
    let mut lines: Vec<_> =
        words::lines(all_holders(), |task| in_part("holder", Role::Holder, task));
    // What holders wait for that are blocked in tasks of their own says what is slow.
    let blocked: Vec<_> = all_holders().filter(|it| !context.work_of(it).is_empty()).collect();
    let ends = blocked.iter().flat_map(|holder| context.graph.ends(&[holder.id], &[]));
    let mut seen = FxHashSet::default();
    let ends: Vec<_> = ends.filter(|task| seen.insert(task.id)).collect();
    lines.extend(words::lines(ends, |task| {
        let line = words::wait_line(task);
        Evidence { text: format!("blocked in {}", line.text), ..line }
    }));
    if let Some(stood) = all_holders().map(|task| context.stood_for(task)).min() {
        let stood = words::span(stood);
        let may_move = |task| context.stillness(task) == Stillness::Seemingly;
        let is_note = group.iter().all(|(.., severity)| *severity == Severity::Info);
        lines.push(Evidence::from(if is_note && all_holders().any(may_move) {
            format!("nothing had changed after {stood}; it may have run in between")
        } else {
            format!("no progress for {stood}")
        }));
    }
    lines.extend(words::lines(all_waiters(), |task| in_part("waiter", Role::Waiter, task)));
    let hanging =
        group.iter().map(|(line, ..)| context.graph.waiting_for(Node::Object(line.object)).len());
    let affected = hanging.sum::<usize>().max(waiting);
    // Whoever sleeps for a moment with it in hand goes on by himself.
    let pending = (!holders.iter().all(|holder| is_short_sleep(holder))).then(|| Pending {
        what: format!(
            "{} for {}",
            words::who_waits(all_waiters()),
            words::short_thing(line.waiting)
        ),
        seen_for: all_holders().map(|task| context.stood_for(task)).min().unwrap_or_default(),
    });
    if affected > waiting {
        lines.push(
            format!("{} are blocked by it, directly or indirectly", words::count(affected, "task"))
                .into(),
        );
    }
    let nodes = group.iter().flat_map(|(line, holders, _)| {
        let object = std::iter::once(Node::Object(line.object));
        object.chain(holders.iter().map(|holder| Node::Task(holder.id)))
    });
    let advice = format!(
        "Don't wait for something slow while holding the {}{at}: do it before or after, or give \
         it a time limit.",
        kind_name(line),
    );
    Some(
        Draft::new(Code::LockConvoy, *severity, Sureness::Derived, title)
            .on_loop(holder.loop_id)
            .blames(nodes)
            .at(words::place(holder), words::common_name(all_waiters()))
            .cause(Some(words::lock(line.waiting)))
            .since(age)
            .role(Role::Holder, all_holders())
            .role(Role::Waiter, all_waiters())
            .affects(affected)
            .pending(pending)
            .evidence(lines)
            .advice(advice),
    )
}

fn in_part(word: &str, role: Role, task: &Task) -> Evidence {
    let line = words::wait_line(task);
    Evidence { text: format!("{word} {}", line.text), ..line }.role(role)
}

fn kind_name(line: &Line<'_>) -> &'static str {
    match line.waiting.kind() {
        WaitKind::Semaphore => "permit",
        _ => "lock",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::Diagnosis;
    use crate::diagnose::tests::{Scene, ids, task};
    use crate::memory::Address;
    use crate::snapshot::Wait;

    fn convoy() -> Scene {
        let waiters = (2..=41).map(|number| task(number).at_lock(900, &[1]));
        Scene::new().with([task(1).reads_socket()]).with(waiters)
    }

    #[test]
    fn those_who_wait_for_longest_are_named_first() {
        let waiter = |number: u64| {
            let at_lock = task(number).at_lock(900, &[1]);
            at_lock.at_place(42 - number)
        };
        let scene = Scene::new().with([task(1).reads_socket()]).with((2..=41).map(waiter));
        let diagnosis = scene.twice();
        let evidence = &diagnosis.only().facts();
        let waiters: Vec<&str> = evidence
            .iter()
            .filter_map(|line| line.strip_prefix("waiter \"")?.split('"').next())
            .collect();
        assert_eq!(waiters[..3], ["t41", "t40", "t39"], "{evidence:#?}");
    }

    #[test]
    fn forty_behind_one_that_waits_for_a_socket() {
        let once = convoy().once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        let twice = convoy().twice();
        let finding = twice.only();
        assert_eq!(
            finding.title.to_string(),
            "t1 holds self.lock_900 while it reads 10.0.0.5:5432: 40 tasks queue"
        );
        assert_eq!((finding.severity, finding.tasks.len()), (Severity::Warning, 41));
        assert_eq!(finding.tasks[0], Address(1));
        assert!(finding.facts().contains(&"and 20 more".to_owned()));
    }

    #[test]
    fn the_key_is_the_same_whoever_comes_first() {
        let named = |number: u64, name: &str| {
            let name = Some(name.to_owned());
            task(number).at_lock(900, &[1]).waiting(|waiting| waiting.name = name)
        };
        let key = |names: [&str; 2]| {
            let waiters = [named(2, names[0]), named(3, names[1])];
            Scene::new().with([task(1).reads_socket()]).with(waiters).twice().only().key.clone()
        };
        assert_eq!(key(["self.lock", "cache.lock"]), "lock-convoy/app.py:work/cache.lock");
        assert_eq!(key(["cache.lock", "self.lock"]), "lock-convoy/app.py:work/cache.lock");
    }

    #[test]
    fn what_only_looks_the_same_may_have_moved() {
        let said = |diagnosis: &Diagnosis, what: &str| {
            diagnosis.only().facts().iter().any(|line| line.contains(what))
        };
        assert!(said(&convoy().twice(), "no progress for "));
        let turned = convoy().turned().after(&convoy().before());
        assert_eq!(turned.only().severity, Severity::Info);
        assert!(said(&turned, "; it may have run in between"), "{:#?}", turned.only());
        assert!(!said(&turned, "no progress"));
    }

    /// On a loop that goes on turning a task's own wait for another one has no age.
    #[test]
    fn who_waits_for_work_of_its_own_stands_for_as_long_as_that() {
        let scene = |awaiters: &[u64], slept: Duration| {
            let work = task(3).sleeps(600_000).waiting(|waiting| waiting.since = Some(slept));
            let work = work.and(|task| task.awaited_by = ids(awaiters));
            let waiter = task(2).at_semaphore(900, &[1]).waiting(|waiting| {
                let Wait::Semaphore { permits, .. } = &mut waiting.wait else { unreachable!() };
                permits.limit = Some(1);
            });
            let others = task(4).awaits(&[3]);
            Scene::new().with([task(1).awaits(&[3]), waiter, work, others]).turned()
        };
        let told = |scene: Scene| scene.clone().turned().after(&scene.before());
        let long = told(scene(&[1], STUCK_AFTER));
        let finding = long.only();
        assert_eq!((finding.severity, finding.tasks[0]), (Severity::Warning, Address(1)));
        let title = "t1 holds a semaphore while it waits for t3";
        assert!(finding.title.to_string().starts_with(title), "{}", finding.title);
        let facts = finding.facts();
        assert!(facts.iter().any(|it| it.starts_with("blocked in \"t3\"")), "{facts:#?}");
        // It has slept for a moment, or somebody else has begun it.
        assert_eq!(told(scene(&[1], PACE / 2)).only().severity, Severity::Info);
        assert_eq!(told(scene(&[1, 4], STUCK_AFTER)).only().severity, Severity::Info);
    }

    #[test]
    fn a_lock_that_changes_hands_is_healthy() {
        // Another holder, or the same one at another future.
        let other = Scene::new().with([task(2).reads_socket(), task(1).at_lock(900, &[2])]);
        let diagnosis = other.turned().after(&convoy().before());
        diagnosis.assert_silent();
        let again = convoy().and(|snapshot| snapshot.tasks[0].fut_waiter = Some(Address(0x77)));
        again.turned().after(&convoy().before()).assert_silent();
        // All at the same addresses again, on a loop that went on turning: who knows.
        convoy().turned().after(&convoy().before()).assert_no_warning();
    }

    #[test]
    fn who_keeps_a_pace_with_a_lock_is_healthy() {
        let scene = Scene::new().with([task(1).sleeps(700), task(2).at_lock(900, &[1])]);
        scene.twice().assert_no_warning();
        let long = Scene::new().with([task(1).sleeps(60_000), task(2).at_lock(900, &[1])]);
        assert_eq!(long.twice().only().severity, Severity::Warning);
    }

    #[test]
    fn a_semaphore_needs_all_its_holders_to_stand_still() {
        let holders = || (1..=3).map(|number| task(number).reads_socket());
        let waiters = || (4..=103).map(|number| task(number).at_semaphore(900, &[1, 2, 3]));
        let scene = Scene::new().with(holders()).with(waiters());
        let twice = scene.twice();
        assert!(
            twice
                .only()
                .title
                .to_string()
                .starts_with("3 tasks hold a semaphore while the first reads")
        );
        assert_eq!(twice.only().severity, Severity::Info, "it limits what a slow server bears");
        let idle = Some(STUCK_AFTER);
        let stuck = scene.clone().and(|snapshot| snapshot.loops[0].idle_for = idle).twice();
        assert_eq!(stuck.only().severity, Severity::Warning);
        let first = scene.clone().and(|snapshot| snapshot.tasks[1].fut_waiter = None).before();
        scene.after(&first).assert_silent();
    }

    #[test]
    fn on_a_blocked_loop_nothing_is_said_of_locks() {
        let scene = convoy().in_callback(1, 400).with([task(200).runs()]);
        assert!(!scene.twice().codes().contains(&Code::LockConvoy));
    }

    #[test]
    fn a_convoy_behind_another_follows_from_it() {
        let scene = convoy().with([task(50).at_lock(901, &[2])]);
        let diagnosis = scene.twice();
        let because: Vec<_> = diagnosis
            .findings
            .iter()
            .map(|finding| (finding.tasks[0], diagnosis.cause_of(finding)))
            .collect();
        assert_eq!(because, [(Address(1), None), (Address(2), Some(Code::LockConvoy))]);
        assert_eq!(diagnosis.findings[1].tasks, ids(&[2, 50]));
    }
}
