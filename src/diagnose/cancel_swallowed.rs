//! `cancel-swallowed`: a cancellation was delivered, and the task goes on as if nothing had
//! happened.
//!
//! From Python 3.11 on a task counts the requests that nobody took back. A count above zero is
//! healthy while the request is on its way: not yet delivered, being handled, passed on to the
//! task or `gather` that is awaited, owed by a time limit that has run out, or kept by a task group
//! until its children have ended. Before 3.13 a group whose child fails while the group is waited
//! for never takes its request back, so there a count for which no clause is found says nothing.
//! When everything ends every task was cancelled, so there the same
//! can be told of older Pythons. Elsewhere those show it only by what two looks see.

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, grouped, words};
use crate::snapshot::{Cause, Code, Evidence, Role, Sentence, Severity, Sureness, Swallower, Task};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::CancelSwallowed,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Tasks,
    is: &[Is::Cause, Is::Hopeless],
};

/// How it is known that a task swallowed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum How {
    /// By the count of requests.
    Counted,
    /// All tasks were cancelled.
    Ending,
    /// It was on its way out at the first look, and is not at the second.
    Seen,
}

fn find(context: &Context<'_>, out: &mut Drafts) {
    let mut found = Vec::new();
    for &task in &context.cancelled {
        if !task.goes_on() || task.is_owed_by_time() || is_passed_on(context, task) {
            // What is on its way, and where nothing is counted, only a second look can tell.
            if context.gap.is_none() && task.requests().is_none() && task.is_on_its_way_out() {
                out.want_second_look();
            }
        } else if task.requests().is_some_and(|count| count > 0)
            // A server's main task was told to stop, and that is what it does.
            && !context.does_stop(task)
            && !may_be_left_over(context, task)
            && (context.gap.is_none() || did_so_before(context, task))
        {
            found.push((task, How::Counted));
        }
    }
    let mut ending: Vec<_> = context.ending.iter().filter_map(|id| context.task(*id)).collect();
    ending.sort_unstable_by_key(|task| task.id);
    for task in ending {
        let is_open = task.goes_on() && task.requests().is_none() && !task.passes_cancellation_on();
        let is_open_before = || {
            let before = context.pairs.before(task);
            before.is_some_and(|before| before.goes_on() && was_ending(context, before))
        };
        if is_open && (context.gap.is_none() || is_open_before()) {
            found.push((task, How::Ending));
        }
    }
    if context.gap.is_none() && !found.is_empty() {
        out.want_second_look();
    }
    found.extend(seen(context).map(|task| (task, How::Seen)));
    let groups = grouped(found, |&(task, how)| {
        let swallower = task.swallower.as_ref().map(|known| &known.location);
        (swallower, words::place(task), how, context.ending.contains(&task.id))
    });
    for group in groups {
        out.extend(report(context, &group));
    }
}

/// Whether the request has gone on to a task that has not ended.
fn is_passed_on(context: &Context<'_>, task: &Task) -> bool {
    let Some(waiting) = task.waiting_on.as_deref().filter(|_| task.passes_cancellation_on()) else {
        return false;
    };
    let has_it = |task: Option<&Task>| task.is_none_or(|task| task.cancellation.is_some());
    waiting.tasks().iter().any(|id| has_it(context.task(*id)))
}

/// Whether the count may be of a request that a task group has left behind, for no clause is found
/// that has swallowed one.
fn may_be_left_over(context: &Context<'_>, task: &Task) -> bool {
    task.swallower.is_none()
        && context.now.process.groups_leave_requests()
        && !context.ending.contains(&task.id)
}

fn did_so_before(context: &Context<'_>, task: &Task) -> bool {
    context.pairs.before(task).is_some_and(|before| {
        before.goes_on()
            && !before.is_owed_by_time()
            && before.requests().is_some_and(|count| count > 0)
    })
}

fn was_ending(context: &Context<'_>, task: &Task) -> bool {
    let before = context.looks.first.and_then(|first| first.shutdown.as_ref());
    before.is_some_and(|shutdown| shutdown.tasks.contains(&task.id))
}

/// Tasks that counted nothing, were on their way out at the first look and go on elsewhere now, below
/// a clause that catches it. Without one a library may have turned the one exception into another,
/// and what a time limit has cancelled goes on behind its block.
fn seen<'c>(context: &'c Context<'_>) -> impl Iterator<Item = &'c Task> {
    let before = context.looks.first.into_iter().flat_map(|first| &first.tasks);
    before
        .filter(|before| {
            before.requests().is_none()
                && before.is_on_its_way_out()
                && !before.passes_cancellation_on()
                && before.limits_over() == 0
        })
        .filter_map(|before| {
            let task = context.task(before.id)?;
            let is_same = task.name == before.name && task.coroutine == before.coroutine;
            let is_elsewhere = task.fut_waiter != before.fut_waiter;
            let is_known = context.ending.contains(&task.id);
            let has_clause = task.swallower.is_some();
            (is_same && is_elsewhere && has_clause && !is_known && task.goes_on()).then_some(task)
        })
}

fn report(context: &Context<'_>, group: &[(&Task, How)]) -> Option<Draft> {
    let &(task, how) = group.first()?;
    let tasks = || group.iter().map(|(task, _)| *task);
    let is_ending = context.ending.contains(&task.id);
    let swallower = task.swallower.as_ref();
    let severity = match how {
        _ if is_ending => Severity::Critical,
        _ => Severity::Warning,
    };
    let sureness = match how {
        How::Seen => Sureness::Guessed,
        How::Counted | How::Ending => Sureness::Derived,
    };
    let times = task.requests().filter(|count| *count > 1).map(|count| format!("{count} times"));
    let place = swallower.map(|known| &*known.location).or_else(|| words::place(task));
    let many = group.len() - 1;
    let title = Sentence::name(words::work(task))
        .maybe(
            (many > 0).then(|| format!("and {} swallowed their", words::count(many, "more task"))),
        )
        .maybe((many == 0).then(|| "swallowed its".to_owned()))
        .then("cancellation")
        .maybe(words::at(place))
        .maybe(times)
        .so(Sentence::words("it").verb("is still running", "was still running"));
    let mut lines = Vec::new();
    lines.extend(swallower.map(eaten));
    lines.push(Evidence::from(match how {
        How::Counted => "the request was delivered and not taken back with `uncancel()`".to_owned(),
        How::Ending => "all tasks of its loop were cancelled and are waited for".to_owned(),
        How::Seen => "the request was on its way at the first sample, and no longer is".to_owned(),
    }));
    lines.extend(words::lines(tasks(), words::wait_line));
    let nodes = tasks().map(|task| Node::Task(task.id));
    let hanging = tasks().map(|task| context.graph.waiting_for(Node::Task(task.id)).len());
    let affected = group.len() + hanging.sum::<usize>();
    Some(
        Draft::new(Code::CancelSwallowed, severity, sureness, title)
            .on_loop(task.loop_id)
            .blames(nodes)
            .at(words::place(task), None)
            .cause(swallower.map(|known| Cause::Except {
                clause: known.clause.to_owned(),
                is_sure: known.is_sure,
            }))
            .role(Role::Culprit, tasks())
            .affects(affected)
            .evidence(lines)
            .advice(advice(task))
            .brief(brief(task)),
    )
}

fn eaten(known: &Swallower) -> Evidence {
    let sure = if known.is_sure { "" } else { "most likely " };
    let text = format!("{sure}caught by the `{}`", known.clause);
    Evidence::from(text).role(Role::Culprit).at(Some(&known.location))
}

fn advice(task: &Task) -> String {
    match &task.swallower {
        Some(known) if known.clause == "suppress" => format!(
            "Take `CancelledError` out of the `suppress` at {}, or let it surround only the await \
             of *another* task.",
            words::short(&known.location)
        ),
        Some(known) => format!(
            "Re-raise `CancelledError` in the `{}` at {}, so that the loop around it ends.",
            known.clause,
            words::short(&known.location)
        ),
        None => "Look for an `except` that catches `CancelledError` or `BaseException`, a \
            `return` or `continue` in a `finally`, or a `suppress` on the way to this line, and \
            let the exception pass. If the task is meant to go on, `Task.uncancel()` says so."
            .to_owned(),
    }
}

/// The same in a few words: of an `except` clause that is enough.
fn brief(task: &Task) -> Option<String> {
    let known = task.swallower.as_ref()?;
    let is_except = known.is_sure && known.clause.starts_with("except");
    is_except.then(|| "end that except clause with raise".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, LOOP, Scene, ids, library_frame, location, task};
    use crate::memory::Address;
    use crate::snapshot::{Cancellation, Others, Wait};
    use crate::snapshot::{Operation, Shutdown, Stage};

    fn consumer(number: u64) -> Builder {
        task(number).at_queue(Operation::Get, 0, 0).and(|task| {
            task.swallower = Some(Swallower {
                location: location("consume", 14),
                clause: "except",
                is_sure: true,
            });
        })
    }

    fn ending(tasks: &[u64]) -> impl FnOnce(&mut crate::snapshot::Snapshot) {
        let shutdown = Shutdown {
            stage: Stage::CancelAll,
            by: "asyncio.run".to_owned(),
            loop_id: Some(LOOP),
            task: None,
            frame: None,
            tasks: ids(tasks),
            threads: Vec::new(),
            grounds: None,
        };
        |snapshot| snapshot.shutdown = Some(shutdown)
    }

    #[test]
    fn a_count_that_nobody_took_back() {
        let scene = Scene::new().with([consumer(1).requested(2)]);
        let once = scene.once();
        assert!(once.wants_second_look);
        let finding = once.only();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.title.to_string().starts_with("t1 swallowed its cancellation"));
        assert!(finding.facts()[0].contains("/srv/app.py:14 in consume"));
        assert_eq!(scene.twice().only().title, finding.title);
    }

    #[test]
    fn a_count_that_a_group_may_have_left_behind_says_nothing() {
        let of = |python: &str, builder: Builder| {
            let scene = Scene::new().with([builder.requested(1)]);
            scene.and(|snapshot| snapshot.process.python = Some(python.to_owned()))
        };
        let unknown = || task(1).reads_socket();
        of("3.12.1", unknown()).once().assert_silent();
        of("3.12.1", unknown()).twice().assert_silent();
        of("3.11", unknown()).twice().assert_silent();
        assert_eq!(of("3.13.0", unknown()).twice().only().severity, Severity::Warning);
        assert_eq!(of("3.11.7", consumer(1)).twice().only().severity, Severity::Warning);
    }

    #[test]
    fn those_of_one_line_are_one_finding() {
        let many = (1..=30u64).map(|number| {
            let task = consumer(number).requested(1);
            task.and(|task| task.frames = vec![crate::diagnose::tests::frame("consume", 12)])
        });
        let diagnosis = Scene::new().with(many).once();
        let finding = diagnosis.only();
        assert_eq!(finding.tasks.len(), 30);
        assert!(
            finding
                .title
                .to_string()
                .starts_with("t1 and 29 more tasks swallowed their cancellation")
        );
        assert_eq!(finding.facts().last().unwrap(), "and 10 more");
    }

    #[test]
    fn a_request_on_its_way_is_healthy() {
        let child = || task(2).handling().sleeps(10);
        let scenes = [
            // Not delivered yet, or being handled.
            Scene::new().with([consumer(1).in_flight()]),
            Scene::new().with([consumer(1).requested(1).cancelled(|told| told.must_cancel = true)]),
            // Passed on.
            Scene::new().with([task(1).awaits(&[2]).requested(1), child()]),
            Scene::new().with([task(1).gathers(&[2]).requested(1), child()]),
            // Owed by a time limit that has just run out.
            Scene::new().with([task(1).reads_socket().deadline(-20).requested(1)]),
            // Kept by a group until its children have ended.
            Scene::new().with([task(1).requested(1).and(|task| {
                task.frames.push(library_frame("TaskGroup.__aexit__"));
            })]),
            Scene::new().with([task(1).requested(1).waits(Wait::TaskGroup(Others::default()))]),
        ];
        for scene in scenes {
            let diagnosis = scene.once();
            assert!(!diagnosis.codes().contains(&Code::CancelSwallowed), "{diagnosis:#?}");
        }
    }

    #[test]
    fn who_was_told_to_stop_and_does_so_swallowed_nothing() {
        let scene = Scene::new().with([task(1).reads_socket().requested(1)]);
        let scene = scene.and(ending(&[])).and(|snapshot| {
            let stage = snapshot.shutdown.as_mut().unwrap();
            (stage.stage, stage.task) = (Stage::Graceful, Some(Address(1)));
        });
        assert_eq!(scene.once().codes(), [Code::ShutdownStuck]);
        assert_eq!(scene.twice().codes(), [Code::ShutdownStuck]);
    }

    #[test]
    fn one_that_ends_by_the_second_look_was_cleaning_up() {
        let first = Scene::new().with([task(1).sleeps(50).requested(1)]).before();
        Scene::new().turned().after(&first).assert_silent();
    }

    #[test]
    fn when_all_ends_it_holds_for_any_python() {
        let scene = Scene::new()
            .with([consumer(1), task(2).awaits(&[1]), task(3).sleeps(5)])
            .and(ending(&[1, 2]));
        let diagnosis = scene.twice();
        let finding = diagnosis.of(Code::CancelSwallowed);
        assert_eq!(finding.severity, Severity::Critical);
        assert_eq!(finding.tasks, [Address(1)], "the one it awaits passed it on");
        let stuck = diagnosis.of(Code::ShutdownStuck);
        assert_eq!(diagnosis.cause_of(stuck), Some(Code::CancelSwallowed));
        assert_eq!(diagnosis.codes(), [Code::CancelSwallowed, Code::ShutdownStuck]);
    }

    #[test]
    fn without_a_count_two_looks_see_it() {
        let told = |change: fn(&mut Cancellation)| task(1).reads_socket().cancelled(change);
        let first = Scene::new().with([told(|told| told.in_flight = true)]).before();
        let now = |builder: Builder| {
            Scene::new().with([builder.and(|task| task.fut_waiter = Some(Address(0x77)))]).turned()
        };
        assert!(first.once().wants_second_look);
        let finding = now(consumer(1)).after(&first);
        assert_eq!(finding.only().severity, Severity::Warning);
        // An exception that a library turned into another one.
        now(task(1).reads_socket()).after(&first).assert_silent();
        // A time limit was over, and it goes on behind the block.
        let limited = told(|told| told.in_flight = true).deadline(-1000);
        let first = Scene::new().with([limited]).before();
        now(consumer(1)).after(&first).assert_silent();
    }
}
