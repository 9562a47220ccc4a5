//! `orphan-wait`: a task waits for a future that nothing left in the process can resolve.
//!
//! `await asyncio.Future()` is how many a server says "run for ever", in its main task or in one
//! beside others. So only a future that has a name counts, and asyncio's first task only when
//! somebody waits for it.
//!
//! Who closes a connection of TLS waits until the other end closes it too, which many never do, as
//! TLS doesn't ask for it. Before Python 3.11 no timer of asyncio's ends that.

use std::time::Duration;

use super::connection::{self, At, Limit};
use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, STUCK_AFTER, grouped, severity_of, shape, words};
use crate::snapshot::{
    Age, Code, Evidence, Operation, Pending, Role, Sentence, Severity, Source, Sureness, Task,
    WaitKind,
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

/// An end of TLS that takes less is not worth a word.
const LEAST: Duration = Duration::from_secs(1);

fn find(context: &Context<'_>, out: &mut Drafts) {
    let mut found = Vec::new();
    for &task in &context.unserved {
        let Some(waiting) = task.waiting_on.as_deref() else { continue };
        let is_main = task.name.as_deref() == Some("Task-1");
        let is_missed = !task.awaited_by.is_empty()
            || !context.graph.waiting_for(Node::Task(task.id)).is_empty();
        let counts = is_missed || !is_main;
        let is_meant = waiting.name.is_none();
        let severity = match is_meant {
            false => Severity::Warning,
            // Where a search of the heap was asked for, what it has found is said.
            true if task.is_on_island() => Severity::Info,
            true => continue,
        };
        let is_of_kind = waiting.kind() == WaitKind::Future || task.is_on_island();
        if !is_of_kind || !waiting.deadlines.is_empty() || !counts {
            continue;
        }
        if context.gap.is_none() {
            out.want_second_look();
            continue;
        }
        let stillness = context.stillness(task);
        if stillness != Stillness::Moved {
            found.push((task, severity_of(stillness, severity)));
        }
    }
    for group in grouped(found, |(task, severity)| (shape(task), *severity)) {
        out.extend(report(context, &group));
    }
    let closing: Vec<Closing<'_>> = closing(context).collect();
    if context.gap.is_none() && closing.iter().any(|it| it.silent < STUCK_AFTER) {
        out.want_second_look();
    }
    for group in grouped(closing, |it| (it.at.peer, it.at.task.loop_id)) {
        out.extend(report_closing(context, &group));
    }
}

/// A task that waits for the end of a connection of TLS that the other end leaves open.
#[derive(Debug, Clone, Copy)]
struct Closing<'s> {
    at: At<'s>,
    /// For how long at least nothing has come from there since this end said that it closes.
    silent: Duration,
}

/// Those that nothing but the other end lets go on.
fn closing<'s>(context: &Context<'s>) -> impl Iterator<Item = Closing<'s>> {
    // From 3.11 on asyncio sets a limit of 30 s, as uvloop does (`ssl_shutdown_timeout`).
    let is_endless = ["3.8", "3.9", "3.10"].iter().any(|old| context.now.process.is_python(old));
    let has_limit = |task: &Task| {
        let mut loops = context.now.loops.iter().filter(|known| Some(known.id) == task.loop_id);
        loops.any(|known| known.class.starts_with("uvloop."))
    };
    connection::waiting(context, Operation::Close).filter(move |_| is_endless).filter_map(
        move |at| {
            let silent = at.tcp()?.silent().filter(|silent| *silent >= LEAST)?;
            // Without TLS it would be closed once all is sent.
            let is_left_open = at.socket.state == Some("established")
                && at.socket.send_queue == Some(0)
                && at.socket.receive_queue == Some(0);
            let is_own = context.now.age().is_none_or(|age| silent <= age);
            let is_bare = connection::limit(context, at.task) == Limit::Never;
            (is_left_open && is_own && is_bare && !has_limit(at.task))
                .then_some(Closing { at, silent })
        },
    )
}

fn report_closing(context: &Context<'_>, group: &[Closing<'_>]) -> Option<Draft> {
    let longest = group.iter().max_by_key(|it| it.silent)?;
    let tasks = || group.iter().map(|it| it.at.task);
    let peer = longest.at.peer;
    let severity = if longest.silent >= STUCK_AFTER { Severity::Warning } else { Severity::Info };
    let age = Age::at_least(longest.silent, Source::Connection);
    let title = if longest.at.socket.is_accepted {
        Sentence::words("A client")
    } else {
        Sentence::name(peer)
    };
    let title = title
        .verb("has left the close of TLS unanswered", "left the close of TLS unanswered")
        .then("for")
        .lasting(Some(age))
        .so_many(words::who(tasks()), words::WAIT);
    let pending = Pending {
        what: format!("{} for {peer} to close its end of TLS", words::who_waits(tasks())),
        seen_for: longest.silent,
    };
    let mut lines = words::lines(tasks(), words::wait_line);
    lines.push(
        "before Python 3.11 no timer ends the wait for the other end's `close_notify`".into(),
    );
    let hanging = tasks().map(|task| context.graph.waiting_for(Node::Task(task.id)).len());
    let affected = group.len() + hanging.sum::<usize>();
    Some(
        Draft::new(Code::OrphanWait, severity, Sureness::Derived, title)
            .on_loop(longest.at.task.loop_id)
            .blames(tasks().map(|task| Node::Task(task.id)))
            .at(words::place(longest.at.task), None)
            .since(Some(age))
            .role(Role::Waiter, tasks())
            .affects(affected)
            .pending(Some(pending))
            .evidence(lines)
            .advice(
                "Do not wait for the end of a TLS connection, or give `wait_closed()` a time limit \
                 with `asyncio.wait_for` and end with `transport.abort()`; Python 3.11 and later \
                 give up after 30 s.",
            ),
    )
}

fn report(context: &Context<'_>, group: &[(&Task, Severity)]) -> Option<Draft> {
    let &(task, severity) = group.first()?;
    let tasks = || group.iter().map(|(task, _)| *task);
    let waiting = task.waiting_on.as_deref()?;
    let at = words::at_short(words::place(task));
    let (resolve, thing) = match waiting.kind() {
        WaitKind::Event => ("set", "event"),
        WaitKind::Condition => ("notify", "condition"),
        _ => ("resolve", "future"),
    };
    let title =
        Sentence::words("Nothing").verb("can", "could").then(format!("{resolve} the {thing} that"));
    let title = match group.len() {
        1 => title.and(words::work(task)).verb("waits for", "waited for"),
        many => title.then(format!("{many} tasks")).verb("wait for", "waited for"),
    };
    let mut lines = vec![Evidence::from(if task.is_on_island() {
        "a search of the whole heap found nothing that leads to it but the tasks that hang by it: \
         no timer, no callback, no other task"
    } else {
        "nothing refers to it but the task that waits for it: no timer, no callback, no other \
         object"
    })];
    lines.extend(waiting.object.map(|at| {
        Evidence::from(match &waiting.name {
            Some(name) => format!("the {thing} {at} is `{name}`"),
            None => format!("the {thing} {at} has no name in the frames that wait for it"),
        })
    }));
    if !waiting.callbacks().is_empty() {
        lines.push(format!("when it is done it calls {}", waiting.callbacks().join(", ")).into());
    }
    lines.extend(words::lines(tasks(), words::wait_line));
    let pending = Pending {
        what: format!(
            "{} for {} {thing} that nothing was found to {resolve}",
            words::who_waits(tasks()),
            if thing == "event" { "an" } else { "a" },
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
                "See who was to call {}{at}, and let it do so on every way out; give the wait a time \
                 limit.",
                match waiting.kind() {
                    WaitKind::Event => "`set`",
                    WaitKind::Condition => "`notify`",
                    _ => "`set_result` or `set_exception`",
                }
            )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, task};
    use crate::memory::Address;
    use crate::snapshot::{Socket, Tcp};

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

    fn closes(number: u64, seconds: u64) -> Builder {
        let silent = Some(Duration::from_secs(seconds));
        let tcp = Tcp { last_sent: silent, last_received: silent, ..Tcp::default() };
        task(number).reads_socket().descriptor(|it| {
            it.operation = Some(Operation::Close);
            it.socket = Some(Box::new(Socket {
                protocol: "tcp",
                local: None,
                remote: Some("10.0.0.5:6380".to_owned()),
                state: Some("established"),
                receive_queue: Some(0),
                send_queue: Some(0),
                tcp: Some(tcp),
                is_watched: None,
                is_accepted: false,
                client: None,
            }));
        })
    }

    fn on_python(scene: Scene, version: &str) -> Scene {
        scene.and(|snapshot| snapshot.process.python = Some(version.to_owned()))
    }

    #[test]
    fn a_close_of_tls_that_the_other_end_never_answers() {
        let scene = on_python(Scene::new().with([closes(1, 7), closes(2, 6)]), "3.10.13");
        for diagnosis in [scene.once(), scene.twice()] {
            let finding = diagnosis.only();
            assert_eq!((finding.code, finding.severity), (Code::OrphanWait, Severity::Warning));
            let title =
                "10.0.0.5:6380 has left the close of TLS unanswered for ≥ 7.00 s: 2 tasks wait";
            assert_eq!(finding.title.to_string(), title);
        }
        let young = on_python(Scene::new().with([closes(1, 2)]), "3.9.18").twice();
        assert_eq!(young.only().severity, Severity::Info);
        assert!(young.only().pending.is_some());
    }

    #[test]
    fn a_close_that_takes_a_moment_or_has_a_limit_or_something_to_send_is_healthy() {
        let on = |task: Builder, version: &str| on_python(Scene::new().with([task]), version);
        on(closes(1, 0), "3.10.13").twice().assert_silent();
        on(closes(1, 7).deadline(60_000), "3.10.13").twice().assert_silent();
        on(closes(1, 7), "3.11.7").twice().assert_silent();
        let sends = closes(1, 7).descriptor(|it| {
            it.socket.as_mut().unwrap().send_queue = Some(100);
        });
        on(sends, "3.10.13").twice().assert_silent();
    }

    fn on_island(builder: Builder) -> Builder {
        builder.and(|task| task.grounds.get_or_insert_default().is_on_island = true)
    }

    #[test]
    fn an_event_that_a_search_of_the_heap_has_shown_nobody_else_to_know() {
        let event = || task(1).at_event().waiting(|it| it.name = Some("ready".to_owned()));
        event_is(&Scene::new().with([event()]).twice(), None);
        let scene = Scene::new().with([on_island(event())]);
        assert!(scene.once().findings.is_empty() && scene.once().wants_second_look);
        event_is(&scene.twice(), Some(Severity::Warning));
        let title = scene.twice().only().title.to_string();
        assert_eq!(title, "Nothing can set the event that t1 waits for");
        // `await asyncio.Event().wait()` is meant to last, most of the time.
        event_is(&Scene::new().with([on_island(task(1).at_event())]).twice(), Some(Severity::Info));
        let main = on_island(event()).and(|task| task.name = Some("Task-1".into()));
        event_is(&Scene::new().with([main]).twice(), None);
    }

    fn event_is(diagnosis: &crate::diagnose::Diagnosis, severity: Option<Severity>) {
        let found: Vec<Severity> = diagnosis.findings.iter().map(|it| it.severity).collect();
        assert_eq!(found, Vec::from_iter(severity));
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
