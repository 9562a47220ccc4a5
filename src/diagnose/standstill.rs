//! `standstill`: nothing in the process can ever wake it again.
//!
//! A proof from the kernel and the loops, which needs no second look: each loop that has tasks
//! waits with no time limit for nothing but what wakes it from within, and every other thread waits
//! for another one of the process in the same way. It is true only of a moment in which no thread
//! ran while it was read.

use rustc_hash::FxHashSet;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Rule};
use super::{Context, words};
use crate::memory::Address;
use crate::snapshot::{
    Code, Consistency, Evidence, Location, Loop, Operation, Role, Sentence, Severity, Sureness,
    Task, ThreadState, Waiting, WakeSources,
};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::Standstill,
    find: Some(find),
    about: About::Process,
    blames: Blames::All,
    follows: &[Follows::Culprit, Follows::Reach],
    confirmed_by: Confirmed::Nothing,
    is: &[],
};

fn find(context: &Context<'_>, out: &mut Drafts) {
    if context.now.consistency != Consistency::Exact {
        return;
    }
    let Some(dead) = dead_loops(context) else { return };
    let is_dead = |task: &&Task| {
        let loop_id = task.loop_id;
        !task.is_over() && loop_id.is_some_and(|id| dead.iter().any(|(known, _)| known.id == id))
    };
    let tasks: Vec<&Task> = context.now.tasks.iter().filter(is_dead).collect();
    if !tasks.is_empty() {
        out.add(report(context, &dead, &tasks));
    }
}

/// The loops that run in this process, where nothing can wake any of them but a signal.
fn dead_loops<'s>(context: &Context<'s>) -> Option<Vec<(&'s Loop, &'s WakeSources)>> {
    let running = context.now.loops.iter().filter(|known| known.may_run());
    let dead: Vec<_> = running
        .map(|known| {
            let is_asleep = context.thread(known.thread?)?.state == Some(ThreadState::Sleeping);
            let sources = known.wake_sources.as_ref().filter(|_| is_asleep)?;
            sources.descriptors.is_empty().then_some((known, sources))
        })
        .collect::<Option<_>>()?;
    let threads: FxHashSet<i32> = dead.iter().filter_map(|(known, _)| known.thread).collect();
    let mut active = dead.iter().flat_map(|(_, sources)| &sources.threads);
    let is_dead = !dead.is_empty() && active.all(|tid| threads.contains(tid));
    is_dead.then_some(dead)
}

fn report(context: &Context<'_>, dead: &[(&Loop, &WakeSources)], tasks: &[&Task]) -> Draft {
    let mut signals: Vec<i32> =
        dead.iter().flat_map(|(_, sources)| &sources.signals).copied().collect();
    signals.sort_unstable();
    signals.dedup();
    let is_traced = dead.iter().any(|(_, sources)| sources.traced);
    let is_sure = signals.is_empty() && !is_traced;
    let severity = if is_sure { Severity::Critical } else { Severity::Info };
    let names: Vec<String> = signals.iter().map(|&signal| signal_name(signal)).collect();
    let title = Sentence::words(match (&names[..], is_traced) {
        ([], false) => "Nothing".to_owned(),
        ([], true) => "Nothing but its debugger".to_owned(),
        ([one], _) => format!("Nothing but {one}"),
        ([one, other], _) => format!("Nothing but {one} and {other}"),
        _ => "Nothing but a signal".to_owned(),
    });
    let title = title
        .verb("can", "could")
        .then("wake this process again")
        .so_many(words::who(tasks.iter().copied()), words::WAIT);
    let ids: Vec<Address> = tasks.iter().map(|task| task.id).collect();
    let mut roots = context.graph.ends(&ids, &[]);
    if roots.is_empty() {
        roots = tasks.to_vec();
    }
    // The program's own first, and those that others were to make room for last.
    roots.sort_by_key(|task| {
        let is_library = words::place(task).is_none_or(Location::is_library);
        let waiting = task.waiting_on.as_deref();
        (waiting.and_then(Waiting::operation) == Some(Operation::Put), is_library)
    });
    let mut lines = vec![Evidence::from(
        "no timer, no socket, pipe or child process that a loop waits for, and no thread that could \
         call one",
    )];
    if !names.is_empty() {
        lines.push(format!("the process has a handler of its own for {}", names.join(", ")).into());
    }
    if is_traced {
        lines.push("a debugger or another tracer has hold of the process".into());
    }
    lines.extend(words::lines(roots.iter().copied(), words::wait_line));
    let place = roots.first().and_then(|task| words::place(task));
    let mut draft = Draft::new(Code::Standstill, severity, Sureness::Read, title)
        .blames(ids.iter().map(|id| Node::Task(*id)))
        .since(context.age(tasks.iter().copied()))
        .key([None])
        .role(Role::Waiter, roots.iter().chain(tasks).copied())
        .affects(tasks.len())
        .evidence(lines)
        .advice(match severity {
            Severity::Info => "If it is to wait for a signal, all is well; if not, see who was to \
                               wake the tasks named above."
                .to_owned(),
            _ => {
                "See who was to wake the tasks named above, and let it do so on every way out, or \
                  give their waits a time limit."
                    .to_owned()
            }
        });
    draft.finding.place = place.map(|place| place.clone().into());
    draft
}

/// `SIGTERM`; one without a name by its number.
fn signal_name(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number)
        .map_or_else(|_| format!("signal {number}"), |signal| signal.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Scene, THREAD, frame, task, thread};

    fn silent(scene: Scene, change: impl Fn(&mut WakeSources)) -> Scene {
        scene.and(|snapshot| {
            snapshot.threads[0].state = Some(ThreadState::Sleeping);
            let mut sources = WakeSources::default();
            change(&mut sources);
            snapshot.loops[0].wake_sources = Some(sources);
        })
    }

    fn waiting() -> Scene {
        Scene::new().with([task(1).at_event(), task(2).awaits(&[1])])
    }

    #[test]
    fn a_process_that_nothing_can_wake_is_told_at_the_first_look() {
        let once = silent(waiting(), |_| ()).once();
        let finding = once.only();
        assert_eq!((finding.code, finding.severity), (Code::Standstill, Severity::Critical));
        let title = "Nothing can wake this process again: 2 tasks wait";
        assert_eq!(finding.title.to_string(), title);
        // The root comes first.
        assert_eq!(finding.tasks[0], task(1).task.id);
        assert_eq!(finding.key, "standstill");
    }

    #[test]
    fn whatever_can_wake_it_is_reason_for_silence() {
        silent(waiting(), |it| it.descriptors = vec![7]).once().assert_silent();
        silent(waiting(), |it| it.threads = vec![101]).once().assert_silent();
        let unread = |it: &mut crate::snapshot::Snapshot| it.loops[0].wake_sources = None;
        silent(waiting(), |_| ()).and(unread).once().assert_silent();
        let ran = |it: &mut crate::snapshot::Snapshot| it.consistency = Consistency::SameStep;
        silent(waiting(), |_| ()).and(ran).once().assert_silent();
        let woken =
            |it: &mut crate::snapshot::Snapshot| it.threads[0].state = Some(ThreadState::Running);
        assert!(silent(waiting(), |_| ()).and(woken).once().findings.is_empty());
        // Nobody is there to be woken.
        silent(Scene::new(), |_| ()).once().assert_silent();
    }

    #[test]
    fn another_loop_is_a_source_unless_it_is_dead_too() {
        let two = |sources: Option<WakeSources>| {
            silent(waiting(), |it| it.threads = vec![101]).and(|snapshot| {
                snapshot.threads.push(thread(101, &["select"]));
                snapshot.threads[1].state = Some(ThreadState::Sleeping);
                let mut other = snapshot.loops[0].clone();
                (other.id, other.thread) = (Address(0x2000), Some(101));
                other.wake_sources = sources;
                snapshot.loops.push(other);
            })
        };
        let dead = WakeSources { threads: vec![THREAD], ..WakeSources::default() };
        assert_eq!(two(Some(dead.clone())).once().only().code, Code::Standstill);
        let busy = WakeSources { descriptors: vec![9], ..dead };
        two(Some(busy)).once().assert_silent();
        two(None).once().assert_silent();
    }

    #[test]
    fn who_waits_for_a_signal_may_be_healthy() {
        let one = silent(waiting(), |it| it.signals = vec![15]).once();
        assert_eq!(one.only().severity, Severity::Info);
        let title = "Nothing but SIGTERM can wake this process again: 2 tasks wait";
        assert_eq!(one.only().title.to_string(), title);
        let two = silent(waiting(), |it| it.signals = vec![10, 15]).once();
        let title = "Nothing but SIGUSR1 and SIGTERM can wake this process again: 2 tasks wait";
        assert_eq!(two.only().title.to_string(), title);
        let traced = silent(waiting(), |it| it.traced = true).once();
        assert_eq!(traced.only().severity, Severity::Info);
    }

    #[test]
    fn it_follows_from_what_is_wrong_with_what_they_wait_for() {
        let waiter = |number| task(number).at_lock(900, &[]).in_aenter();
        let diagnosis = silent(Scene::new().with([waiter(1), waiter(2)]), |_| ()).twice();
        assert_eq!(diagnosis.codes(), [Code::PermitLeaked, Code::Standstill]);
        assert_eq!(diagnosis.findings[1].because_of, Some(diagnosis.findings[0].id));
    }

    #[test]
    fn a_full_queue_whose_consumer_waits_for_something_else_is_not_the_root() {
        let producer = || task(2).at_queue(Operation::Put, 1, 1);
        let consumer = task(1).at_event().and(|task| task.frames = vec![frame("refresh", 30)]);
        let diagnosis = silent(Scene::new().with([consumer, producer()]), |_| ()).twice();
        assert_eq!(diagnosis.codes(), [Code::Standstill, Code::QueueStalled]);
        assert_eq!(diagnosis.findings[1].because_of, Some(diagnosis.findings[0].id));
        assert_eq!(diagnosis.findings[0].tasks[0], task(1).task.id);
        // Nobody is left but those who wait there.
        let alone = Scene::new().with([producer(), task(3).gathers(&[2])]);
        let diagnosis = silent(alone, |_| ()).twice();
        assert_eq!(diagnosis.codes(), [Code::QueueStalled, Code::Standstill]);
        assert_eq!(diagnosis.findings[1].because_of, Some(diagnosis.findings[0].id));
    }

    #[test]
    fn it_follows_from_what_the_tasks_are_stuck_at() {
        let cycle = Scene::new().with([task(1).at_lock(900, &[2]), task(2).at_lock(901, &[1])]);
        let diagnosis = silent(cycle, |_| ()).twice();
        assert_eq!(diagnosis.codes(), [Code::Deadlock, Code::Standstill]);
        assert_eq!(diagnosis.findings[1].because_of, Some(diagnosis.findings[0].id));
    }
}
