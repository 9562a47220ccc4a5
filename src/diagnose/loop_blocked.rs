//! `loop-blocked`: one callback holds the loop's thread.
//!
//! What is known is the age of the *iteration*; callbacks that ran before the present one are
//! part of it. Ten thousand short callbacks in one iteration are no blocking callback: so the age
//! is shared out among those that have run, and where that is below the threshold a second look
//! has to find the very same callback.
//!
//! A thread that is runnable may not be on a processor. Of a callback that computes, as far as one
//! look tells, only a second one tells whether it does: it is not blamed before, and not at all
//! where its thread waited for a processor instead.

use std::fmt::Write;
use std::time::Duration;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, words};
use crate::snapshot::{
    Age, Blocking, BlockingKind, Cause, Code, Evidence, Location, Loop, LoopState, Role, Sentence,
    Severity, Snapshot, Source, Sureness, Task, Thread, ThreadState, Waiting, below_loop,
};
use crate::timeline::has_same_iteration;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::LoopBlocked,
    find: Some(find),
    about: About::Loop,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Iteration,
    is: &[Is::Cause, Is::OverWithIteration],
};

/// asyncio's own threshold, `slow_callback_duration`.
const SLOW: Duration = Duration::from_millis(100);
/// From here on other parts of the world notice: health checks, clients, timeouts.
const CRITICAL: Duration = Duration::from_secs(1);
/// A callback that computes may just as well wait for a processor, on a machine that is busy.
const SLOW_COMPUTING: Duration = Duration::from_millis(500);

/// What to do about a thread that is stopped.
const LET_GO_ON: &str =
    "The thread is stopped by a signal or a debugger; SIGCONT, or the debugger, lets it go on.";

/// What to do about a thread that gets no processor.
pub(super) const STARVED: &str = "The thread is runnable and the kernel does not run it: look for a CPU quota \
    (the container's limit) that is too small, or for other processes on the same processors; \
    give it more, or move them elsewhere. No line of the program is to blame.";

enum Verdict {
    /// Held for so long.
    Held(Duration),
    /// A second look has to tell.
    Unsure,
    Free,
}

fn find(context: &Context<'_>, out: &mut Drafts) {
    for event_loop in &context.now.loops {
        let before = context.looks.loop_before(event_loop.id);
        if event_loop.state == Some(LoopState::Polling) {
            find_halted(context, event_loop, before, out);
        }
        if is_by_collector(event_loop, before) {
            // That is `gc-pause`.
            continue;
        }
        match judge(event_loop, before, context.gap) {
            Verdict::Held(time) => {
                if context.gap.is_none() && is_unproven(event_loop) {
                    out.want_second_look();
                }
                out.add(report(context, context.now, event_loop, time));
                continue;
            }
            Verdict::Unsure if context.gap.is_none() => out.want_second_look(),
            Verdict::Unsure | Verdict::Free => {}
        }
        // One that has ended since the first look was there all the same. Whoever watches has told it
        // when it was there, and its end.
        if let (Some(first), Some(before)) = (context.looks.first, before)
            && context.looks.lives.is_none()
            && let Verdict::Held(time) = judge(before, None, None)
            && !(is_unproven(before) && may_be_short_of_processor(event_loop))
            && !is_by_collector(before, None)
        {
            let seen = "seen in the first of two samples; it had ended by the second".to_owned();
            out.add(report(context, first, before, time).evidence([seen]));
        }
    }
}

/// Whether what the thread had of a processor is not known, of a callback that seems to compute.
fn is_unproven(event_loop: &Loop) -> bool {
    let kind = event_loop.blocking.as_ref().map(|blocking| blocking.kind);
    matches!(kind, Some(BlockingKind::Cpu | BlockingKind::Gc))
        && event_loop.processor_use().is_none()
}

fn is_short_of_processor(event_loop: &Loop) -> bool {
    event_loop.processor_use().is_some_and(|used| used.is_short())
}

/// The same, or nobody knows though it is counted.
fn may_be_short_of_processor(event_loop: &Loop) -> bool {
    match event_loop.processor_use() {
        Some(used) => used.is_short(),
        None => event_loop.processor().is_some(),
    }
}

/// Whether the garbage collector keeps a loop: it is at work, and the callback was not seen to
/// compute before.
pub(super) fn is_by_collector(event_loop: &Loop, before: Option<&Loop>) -> bool {
    let is = |known: &Loop, kind: BlockingKind| {
        let blocking = known.blocking.as_ref();
        known.state == Some(LoopState::Blocked) && blocking.is_some_and(|it| it.kind == kind)
    };
    let computed =
        |before: &Loop| has_same_iteration(before, event_loop) && is(before, BlockingKind::Cpu);
    is(event_loop, BlockingKind::Gc) && !before.is_some_and(computed)
}

/// A loop that would wait for events, were its thread not stopped: no event reaches it.
///
/// Tracers stop threads all the time for a moment: only one that has not run at all between two
/// looks is told.
fn find_halted(context: &Context<'_>, event_loop: &Loop, before: Option<&Loop>, out: &mut Drafts) {
    let thread = context.now.thread_of(event_loop).filter(|thread| is_halted(thread));
    let Some(thread) = thread else { return };
    let Some(first) = context.looks.first else {
        out.want_second_look();
        return;
    };
    let is_same = before.is_some_and(|before| has_same_iteration(before, event_loop));
    if !first.thread_of(event_loop).is_some_and(is_halted) || !is_same {
        return;
    }
    let affected = context.size(Some(event_loop.id));
    let mut evidence: Vec<Evidence> = overdue(event_loop).into_iter().collect();
    if affected > 0 {
        let does = words::one_does(affected);
        evidence.push(format!("{} of this loop wait{does}", words::count(affected, "task")).into());
    }
    evidence.push(words::thread_line(thread));
    let title = Sentence::words("The event loop's thread")
        .verb("is stopped from outside", "was stopped from outside");
    let draft = Draft::new(Code::LoopBlocked, Severity::Critical, Sureness::Read, title)
        .key([Some("stopped")])
        .cause(Some(Cause::Thread {
            thread: thread.tid,
            name: thread.name.as_deref().map(str::to_owned),
        }))
        .on_loop(Some(event_loop.id))
        .blames(event_loop.thread.map(Node::Thread))
        .members(Role::Blocked, affected, Vec::new())
        .affects(affected)
        .evidence(evidence)
        .advice(LET_GO_ON.to_owned());
    out.add(draft);
}

fn judge(event_loop: &Loop, before: Option<&Loop>, gap: Option<Duration>) -> Verdict {
    if event_loop.state != Some(LoopState::Blocked) {
        return Verdict::Free;
    }
    let turn = event_loop.iteration.as_ref();
    let Some(held) = turn.and_then(|turn| turn.elapsed).or(event_loop.lag) else {
        return Verdict::Unsure;
    };
    let run = turn.and_then(|turn| turn.callbacks_run);
    let is_same = before.is_some_and(|before| {
        let turn_before = before.iteration.as_ref();
        has_same_iteration(before, event_loop)
            && turn_before.and_then(|turn| turn.callbacks_run) == run
            && turn_before.and_then(|turn| turn.handle.as_ref())
                == turn.and_then(|turn| turn.handle.as_ref())
    });
    if is_same && gap.is_some_and(|gap| gap >= SLOW) {
        return Verdict::Held(held);
    }
    // One of so many took at least its share.
    let share = run.and_then(|run| held.checked_div(u32::try_from(run).ok()?)).unwrap_or(held);
    let waits = event_loop.blocking.as_ref().is_some_and(|blocking| {
        !matches!(
            blocking.kind,
            BlockingKind::Cpu | BlockingKind::Gc | BlockingKind::Starved | BlockingKind::Unknown
        )
    });
    let is_held = if waits { share >= SLOW || held >= CRITICAL } else { share >= SLOW_COMPUTING };
    if is_held { Verdict::Held(held) } else { Verdict::Unsure }
}

fn report(context: &Context<'_>, snapshot: &Snapshot, event_loop: &Loop, held: Duration) -> Draft {
    if event_loop.blocking.as_ref().is_some_and(|it| it.kind == BlockingKind::Starved) {
        return starved(context, snapshot, event_loop, held);
    }
    let task = snapshot.running_task(event_loop);
    let thread = snapshot.thread_of(event_loop);
    let others = context.size(Some(event_loop.id)).saturating_sub(usize::from(task.is_some()));
    let is_private = is_private(snapshot, event_loop, task);
    let severity = if is_private {
        Severity::Info
    } else if held >= CRITICAL {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let place = blamed(event_loop, thread);
    let at = words::at_short(place);
    let halted = thread.is_some_and(is_halted);
    let age = Some(age(event_loop, held));
    let work = subject(event_loop, task);
    let title = match &event_loop.blocking {
        _ if halted => {
            let title = Sentence::name(work).verb("has held", "held");
            let title = title.then("the event loop for").lasting(age);
            title.so(Sentence::words("its thread is stopped from outside"))
        }
        Some(blocking) if matches!(blocking.kind, BlockingKind::Cpu | BlockingKind::Gc) => {
            let function = place.map(|place| words::function(&place.function).to_owned());
            let title = match function.filter(|function| *function != work) {
                Some(function) => Sentence::name(function).then("in").and(work),
                None => Sentence::name(work),
            };
            if is_unproven(event_loop) {
                let doubt = "computing, or no processor";
                let title = title.verb("has held", "held").then("the event loop for");
                title.lasting(age).so(Sentence::words(doubt))
            } else {
                let title = title.verb("has computed", "computed").then("on the event loop for");
                let title = title.lasting(age);
                let also = match blocking.kind {
                    _ if is_short_of_processor(event_loop) => "and was short of a processor",
                    // It was at something else at the other look.
                    BlockingKind::Gc => "and collected garbage",
                    _ => "",
                };
                if also.is_empty() { title } else { title.so(Sentence::words(also)) }
            }
        }
        blocking => {
            let title = match blocking {
                Some(blocking) => Sentence::name(short_call(blocking)).then("in").and(work),
                None => Sentence::name(work),
            };
            title.verb("has blocked", "blocked").then("the event loop for").lasting(age)
        }
    };
    Draft::new(Code::LoopBlocked, severity, Sureness::Read, title)
        .on_loop(Some(event_loop.id))
        .blames(event_loop.thread.map(Node::Thread))
        .blames(task.map(|task| Node::Task(task.id)))
        .at(place, call_name(event_loop).as_deref())
        .cause(Some(call(event_loop, thread)))
        .since(age)
        .role(Role::Culprit, task)
        .members(Role::Blocked, others, Vec::new())
        .members(Role::Unaccepted, unaccepted(event_loop), Vec::new())
        .affects(others + 1)
        .evidence(facts(event_loop, thread, held, others))
        .evidence(is_private.then(|| {
            "nothing else uses this loop: it has one task, for which nobody waits, and watches no \
             descriptor"
                .to_owned()
        }))
        .advice(if halted {
            LET_GO_ON.to_owned()
        } else if is_private {
            "No other task is held up by this; if the thread is meant to wait there, nothing needs \
             to change."
                .to_owned()
        } else {
            advice(context, event_loop, &at)
        })
        .brief(brief(context, event_loop).filter(|_| !halted && !is_private))
}

/// The call with no more than the far end of its connection: `recv from 10.0.0.5:5432`.
pub(super) fn short_call(blocking: &Blocking) -> String {
    match &blocking.peer {
        _ if blocking.kind == BlockingKind::FutureResult => {
            let call = blocking.description.split(' ').next().unwrap_or_default();
            format!("{call}()")
        }
        Some(peer) => {
            let end = words::end(peer);
            let call = blocking.description.replace(&**peer, end);
            ["tcp ", "udp "]
                .iter()
                .fold(call, |call, kind| call.replace(&format!("{kind}{end}"), end))
        }
        None => blocking.description.clone(),
    }
}

/// Its thread is not given a processor: no line of the program is to blame.
fn starved(context: &Context<'_>, snapshot: &Snapshot, event_loop: &Loop, held: Duration) -> Draft {
    let severity = if held >= CRITICAL { Severity::Warning } else { Severity::Info };
    let others = context.size(Some(event_loop.id));
    let what = match &event_loop.blocking {
        Some(blocking) => blocking.description.clone(),
        None => "waits for a processor".to_owned(),
    };
    let title = Sentence::words("The loop's thread").then(what);
    let thread = snapshot.thread_of(event_loop);
    Draft::new(Code::LoopBlocked, severity, Sureness::Read, title)
        .key([Some("starved")])
        .cause(Some(call(event_loop, thread)))
        .since(Some(age(event_loop, held)))
        .on_loop(Some(event_loop.id))
        .blames(event_loop.thread.map(Node::Thread))
        .members(Role::Blocked, others, Vec::new())
        .affects(others)
        .for_want_of_processor()
        .evidence(facts(event_loop, thread, held, others))
        .advice(STARVED)
}

/// Whether a loop is one that a thread has for itself, so that nothing is late when it is held:
/// not the main thread's, with a single task for which nobody waits, and without any other callback,
/// timer or descriptor.
fn is_private(snapshot: &Snapshot, event_loop: &Loop, task: Option<&Task>) -> bool {
    let (Some(task), Some(tid)) = (task, event_loop.thread) else { return false };
    let pending = snapshot.tasks.iter().filter(|it| !it.is_over());
    let others = pending.filter(|it| it.id != task.id);
    let waits = |waiting: Option<&Waiting>| {
        waiting.is_some_and(|it| {
            it.tasks().contains(&task.id)
                || it.thread() == Some(tid)
                || it.holders().contains(&task.id)
                || it.foreign_loop == Some(event_loop.id)
        })
    };
    let threads = snapshot.threads.iter().map(|thread| thread.waiting_on.as_deref());
    tid != snapshot.process.pid
        && snapshot.has_all_tasks()
        && event_loop.watched() == Some(0)
        && event_loop.ready == Some(0)
        && event_loop.scheduled == Some(0)
        && event_loop.nested_in.is_none()
        && task.awaited_by.is_empty()
        && others.clone().all(|it| it.loop_id != Some(event_loop.id))
        && !others.map(|it| it.waiting_on.as_deref()).chain(threads).any(waits)
}

/// The task or the callback that runs.
fn subject(event_loop: &Loop, task: Option<&Task>) -> String {
    let handle = event_loop.iteration.as_ref().and_then(|turn| turn.handle.as_ref());
    match (task, handle) {
        (Some(task), _) => words::work(task),
        (None, Some(handle)) => words::function(handle).to_owned(),
        (None, None) => "a callback".to_owned(),
    }
}

fn is_halted(thread: &Thread) -> bool {
    thread.state.is_some_and(ThreadState::is_halted)
}

/// The line to blame.
fn blamed<'s>(event_loop: &'s Loop, thread: Option<&'s Thread>) -> Option<&'s Location> {
    let frame = event_loop.blocking.as_ref().and_then(|blocking| blocking.frame.as_ref());
    let frame = frame.or_else(|| words::own_frame(below_loop(&thread?.frames)));
    frame.map(|frame| &*frame.location)
}

/// The call that keeps the thread.
pub(super) fn call(event_loop: &Loop, thread: Option<&Thread>) -> Cause {
    let blocking = event_loop.blocking.as_ref();
    Cause::Call {
        call: blocking.map(|blocking| blocking.description.clone()).unwrap_or_default(),
        class: blocking.map_or(BlockingKind::Unknown, |blocking| blocking.kind),
        system_call: thread.and_then(|it| it.syscall.as_ref()).map(|call| call.name.clone()),
        thread: event_loop.thread,
    }
}

/// What the call has in common with others of its kind: neither the other end nor a descriptor.
pub(super) fn call_name(event_loop: &Loop) -> Option<String> {
    let blocking = event_loop.blocking.as_ref()?;
    Some(match blocking.kind {
        BlockingKind::Sleep | BlockingKind::FutureResult => blocking.description.clone(),
        kind => kind.as_str().to_owned(),
    })
}

/// Since when the thread is held: by the iteration's own start, else by a timer that is overdue.
pub(super) fn age(event_loop: &Loop, held: Duration) -> Age {
    match event_loop.iteration.as_ref().and_then(|turn| turn.elapsed) {
        Some(_) => Age::exact(held, Source::Iteration),
        None => Age::at_least(held, Source::Timer),
    }
}

fn facts(
    event_loop: &Loop,
    thread: Option<&Thread>,
    held: Duration,
    others: usize,
) -> Vec<Evidence> {
    let mut lines = Vec::new();
    if let Some(turn) = &event_loop.iteration {
        let mut line = format!("its iteration has run for {}", words::span(held));
        if let (Some(run), Some(total)) = (turn.callbacks_run, turn.callbacks_total) {
            let _ = write!(line, ", callback {run} of {total}");
        }
        if let Some(handle) = &turn.handle {
            let _ = write!(line, ", {}", words::quoted(handle));
        }
        lines.push(line.into());
    }
    if let Some(blocking) = &event_loop.blocking {
        lines.push(format!("kind: {}", blocking.kind.as_str()).into());
        let is_running =
            matches!(blocking.kind, BlockingKind::Cpu | BlockingKind::Gc | BlockingKind::Starved);
        lines.extend(event_loop.processor_use().filter(|_| is_running).map(|used| {
            let (ran, time) = (used.ran.as_millis(), used.time.as_millis());
            Evidence::from(format!("its thread was on a processor for {ran} of the last {time} ms"))
        }));
    }
    lines.extend(overdue(event_loop));
    if others > 0 {
        let does = words::one_does(others);
        let others = words::count(others, "other task");
        lines.push(format!("{others} of this loop wait{does} for it").into());
    }
    let unaccepted = unaccepted(event_loop);
    if unaccepted > 0 {
        let does = words::one_does(unaccepted);
        let connections = words::count(unaccepted, "connection");
        lines.push(format!("{connections} wait{does} to be accepted").into());
    }
    if let Some(thread) = thread {
        lines.push(words::thread_line(thread));
        lines.extend(words::native_line(thread));
        lines.extend(words::stack(below_loop(&thread.frames)));
    }
    lines
}

/// How many connections wait that it accepts them.
fn unaccepted(event_loop: &Loop) -> usize {
    let grounds = event_loop.grounds.as_deref();
    grounds.and_then(|it| usize::try_from(it.unaccepted?).ok()).unwrap_or_default()
}

fn overdue(event_loop: &Loop) -> Option<Evidence> {
    let text = |lag| format!("a timer is overdue by {}", words::span(lag));
    let age = |lag| Some(Age::exact(lag, Source::Timer));
    event_loop.lag.map(|lag| Evidence { since: age(lag), ..Evidence::from(text(lag)) })
}

/// The advice in a few words: for a sleep these are enough.
fn brief(context: &Context<'_>, event_loop: &Loop) -> Option<String> {
    let kind = event_loop.blocking.as_ref().map(|blocking| blocking.kind);
    let is_sleep = kind == Some(BlockingKind::Sleep) && !is_unproven(event_loop);
    is_sleep.then(|| format!("await asyncio.sleep(s), or {}", context.off_thread()))
}

fn advice(context: &Context<'_>, event_loop: &Loop, at: &str) -> String {
    if is_unproven(event_loop) {
        return format!(
            "Either the computation{at} holds the event loop, or its thread gets no processor: \
             a second sample shows which. The former belongs into a `ProcessPoolExecutor`; for the \
             latter look for a CPU quota or for other processes on the same processors."
        );
    }
    let off = context.off_thread();
    let blocking = event_loop.blocking.as_ref();
    let kind = blocking.map_or(BlockingKind::Unknown, |blocking| blocking.kind);
    match kind {
        BlockingKind::Sleep => {
            format!("Use `await asyncio.sleep(…)`, or move the call{at} to a thread with `{off}`.")
        }
        BlockingKind::Socket => format!(
            "Use an asynchronous client, or move the call{at} to a thread with `{off}`; give it a \
             time limit."
        ),
        BlockingKind::Lock => format!(
            "Use `asyncio.Lock` among tasks, or take the `threading` lock{at} in a thread with \
             `{off}`."
        ),
        BlockingKind::File => {
            format!("Move the call{at} to a thread with `{off}`: it waits for a file or pipe.")
        }
        BlockingKind::Dns => {
            "Use `await loop.getaddrinfo(…)`, which looks the name up in a thread.".to_owned()
        }
        BlockingKind::Subprocess => format!(
            "Use `await asyncio.create_subprocess_exec(…)`, or move the call{at} to a thread with \
             `{off}`."
        ),
        BlockingKind::Cpu | BlockingKind::Gc => format!(
            "Move the computation{at} to a `ProcessPoolExecutor` with `loop.run_in_executor`, or \
             divide it with `await asyncio.sleep(0)` in between."
        ),
        BlockingKind::Starved => STARVED.to_owned(),
        BlockingKind::FutureResult => format!(
            "Use `await asyncio.wrap_future(future)`: `Future.result()`{at} waits on the loop's own \
             thread."
        ),
        BlockingKind::Unknown => {
            format!("Move the call{at} to a thread with `{off}`, or use an asynchronous one.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::diagnose;
    use crate::diagnose::tests::{Scene, task, thread};
    use crate::snapshot::{Cut, Wait};
    use crate::timeline::{Lives, Looks};

    fn sleeping(run: u64, ms: u64) -> Scene {
        Scene::new()
            .with([task(1).runs(), task(2).sleeps(10), task(3).reads_socket()])
            .in_callback(run, ms)
            .blocked_by(BlockingKind::Sleep, |blocking| {
                blocking.description = "time.sleep".to_owned();
            })
    }

    #[test]
    fn a_sleep_is_told_at_one_look_with_its_line() {
        let diagnosis = sleeping(1, 4200).once();
        let finding = diagnosis.only();
        assert_eq!(
            finding.title.to_string(),
            "time.sleep in t1 has blocked the event loop for 4.20 s"
        );
        assert_eq!(finding.severity, Severity::Critical);
        assert_eq!(finding.tasks, crate::diagnose::tests::ids(&[1]));
        assert!(finding.advice.contains("asyncio.to_thread"));
        assert!(finding.facts().iter().any(|line| line.contains("2 other tasks")));
        let short = sleeping(1, 300).once();
        assert_eq!(short.only().severity, Severity::Warning);
    }

    #[test]
    fn of_tasks_that_run_inside_one_another_the_innermost_is_told() {
        let own = |functions: &[&str]| crate::diagnose::tests::thread(0, functions).frames;
        let outer = own(&["main", "run_until_complete", "inner"]);
        let stack = own(&["main", "run_until_complete", "inner", "sleep"]);
        let scene = sleeping(1, 4200).with([task(4).runs(), task(5).runs()]).and(|snapshot| {
            // `t1` began them, and `t4` is nowhere on the stack.
            snapshot.tasks[0].frames = outer;
            snapshot.tasks[4].frames = stack[2..].to_vec();
            snapshot.threads[0].frames = stack;
        });
        let title = scene.once().only().title.to_string();
        assert!(
            title.starts_with("time.sleep in t5 has blocked the event loop for 4.20 s"),
            "{title}"
        );
    }

    #[test]
    fn advice_is_for_the_python_at_hand() {
        let old = sleeping(1, 300).and(|snapshot| {
            snapshot.process.python = Some("3.8.18".to_owned());
        });
        assert!(old.once().only().advice.contains("loop.run_in_executor"));
    }

    #[test]
    fn many_short_callbacks_are_none_that_blocks() {
        let scene =
            |run, ms| Scene::new().in_callback(run, ms).blocked_by(BlockingKind::Cpu, |_| ());
        let first = scene(1000, 350).before();
        let diagnosis = first.once();
        assert!(diagnosis.findings.is_empty() && diagnosis.wants_second_look);
        scene(2400, 350).after(&first).assert_silent();
        Scene::new().turned().after(&first).assert_silent();
        // The very same one is.
        let finding = scene(1000, 350).after(&first);
        assert_eq!(finding.only().code, Code::LoopBlocked);
    }

    /// A callback that is runnable since `held` ms, whose thread ran for `ran` of the last 200 ms.
    fn runnable(held: u64, ran: Option<u64>) -> Scene {
        let ms = Duration::from_millis;
        let processor_use = ran.map(|ran| crate::snapshot::ProcessorUse {
            time: ms(200),
            ran: ms(ran),
            waited: ms(200 - ran),
        });
        let processor = crate::snapshot::Processor {
            at: ms(1000),
            ran: ms(500),
            waited: ms(9),
            sleeps: Some(4),
        };
        let kind =
            if ran.is_some_and(|ran| ran < 50) { BlockingKind::Starved } else { BlockingKind::Cpu };
        Scene::new()
            .with([task(1).runs(), task(2).sleeps(10)])
            .in_callback(1, held)
            .blocked_by(kind, |blocking| {
                blocking.description = "waited for a processor for 184 of 200 ms".to_owned();
                blocking.frame = blocking.frame.take().filter(|_| kind == BlockingKind::Cpu);
            })
            .and(|snapshot| {
                snapshot.loops[0].grounds.get_or_insert_default().processor = Some(processor);
                snapshot.loops[0].grounds.get_or_insert_default().processor_use = processor_use;
            })
    }

    #[test]
    fn one_that_is_given_no_processor_is_not_blamed_on_its_line() {
        let first = runnable(300, None).before();
        let starved = runnable(300, Some(16)).after(&first);
        let finding = starved.only();
        let title = "The loop's thread waited for a processor for 184 of 200 ms";
        assert_eq!(
            (finding.severity, finding.title.to_string()),
            (Severity::Info, title.to_owned())
        );
        assert!(finding.tasks.is_empty() && finding.advice.contains("quota"));
        let critical = runnable(4000, Some(16)).after(&runnable(4000, None).before());
        assert_eq!(critical.only().severity, Severity::Warning);
        // One that computes is.
        let computing = runnable(300, Some(199)).after(&first);
        let title = computing.only().title.to_string();
        assert!(title.starts_with("retry in t1 has computed on the event loop"), "{title}");
    }

    #[test]
    fn one_look_does_not_tell_computing_from_waiting_for_a_processor() {
        let once = runnable(4000, None).once();
        assert!(once.wants_second_look);
        assert!(
            once.only().title.to_string().ends_with(": computing, or no processor"),
            "{}",
            once.only().title
        );
        // It had ended by the second look, before which the thread was given no processor.
        let ended = |ran: u64| {
            let used = runnable(0, Some(ran)).snapshot.loops[0].processor_use();
            let later = Scene::new()
                .turned()
                .and(|it| it.loops[0].grounds.get_or_insert_default().processor_use = used);
            later.after(&runnable(900, None))
        };
        ended(16).assert_silent();
        assert_eq!(ended(190).only().code, Code::LoopBlocked);
    }

    #[test]
    fn whoever_watches_has_told_one_that_has_ended_when_it_was_there() {
        let first = sleeping(1, 1_650).before();
        let last = Scene::new().with([task(1).sleeps(10), task(2).sleeps(10)]).turned();
        let mut lives = Lives::default();
        lives.take(&first.snapshot);
        lives.take(&last.snapshot);
        let looks =
            Looks { first: Some(&first.snapshot), last: &last.snapshot, lives: Some(&lives) };
        diagnose(looks).assert_silent();
        assert_eq!(diagnose(Looks { lives: None, ..looks }).only().code, Code::LoopBlocked);
    }

    #[test]
    fn one_that_has_ended_by_the_second_look_is_told() {
        let diagnosis = Scene::new().turned().after(&sleeping(1, 900));
        assert_eq!(diagnosis.only().severity, Severity::Warning);
    }

    #[test]
    fn a_loop_that_polls_on_a_stopped_thread_is_told_by_two_looks() {
        let polling = || Scene::new().with([task(1).sleeps(10), task(2).reads_socket()]);
        let halted = |state| polling().and(|it| it.threads[0].state = Some(state));
        let first = halted(ThreadState::Stopped);
        let diagnosis = first.once();
        assert!(diagnosis.findings.is_empty() && diagnosis.wants_second_look);
        let diagnosis = first.twice();
        let finding = diagnosis.only();
        assert_eq!((finding.code, finding.severity), (Code::LoopBlocked, Severity::Critical));
        assert_eq!(finding.title.to_string(), "The event loop's thread is stopped from outside");
        assert!(finding.advice.contains("SIGCONT"));
        // A tracer stops it for a moment, twice; or it has gone on.
        let traced = halted(ThreadState::Traced);
        traced.clone().turned().after(&traced.before()).assert_silent();
        polling().after(&first.before()).assert_silent();
        polling().once().assert_silent();
    }

    #[test]
    fn clients_that_are_kept_waiting_are_counted() {
        let told = |unaccepted| {
            let scene = Scene::new().with([task(1).runs()]).in_callback(1, 4200);
            let scene = scene.and(|it| {
                it.loops[0].grounds.get_or_insert_default().unaccepted = unaccepted;
            });
            let finding = scene.once().of(Code::LoopBlocked).clone();
            let texts = finding.evidence.iter().map(|line| line.text.clone());
            let line = texts.filter(|text| text.contains("to be accepted")).collect::<String>();
            (finding.count(Role::Unaccepted), line)
        };
        assert_eq!(told(Some(12)), (12, "12 connections wait to be accepted".to_owned()));
        assert_eq!(told(Some(1)), (1, "1 connection waits to be accepted".to_owned()));
        assert_eq!(told(Some(0)), (0, String::new()));
        assert_eq!(told(None), (0, String::new()));
    }

    #[test]
    fn a_loop_that_a_thread_has_for_itself_is_no_alarm() {
        let private = || {
            let scene = Scene::new().with([task(1).runs()]).in_callback(1, 4200);
            scene.and(|snapshot| {
                snapshot.process.pid = 7;
                let event_loop = &mut snapshot.loops[0];
                event_loop.grounds.get_or_insert_default().watched = Some(0);
                (event_loop.ready, event_loop.scheduled) = (Some(0), Some(0));
            })
        };
        let severity = |scene: Scene| scene.once().of(Code::LoopBlocked).severity;
        assert_eq!(severity(private()), Severity::Info);
        let waiter = thread(9, &["main", "join"]);
        let joins = Wait::Thread { thread: Some(100), tasks: Vec::new() };
        let joined = Thread { waiting_on: Some(Box::new(joins.into())), ..waiter };
        for other in [
            private().and(|it| it.process.pid = 100),
            private().and(|it| it.loops[0].grounds.get_or_insert_default().watched = None),
            private().and(|it| it.loops[0].grounds.get_or_insert_default().watched = Some(1)),
            private().and(|it| it.loops[0].scheduled = Some(1)),
            private().and(|it| it.loops[0].ready = Some(1)),
            private().with([task(2).sleeps(10)]),
            private().and(|it| it.threads.push(joined)),
            private().and(|it| it.unread_tasks = 1),
            private().and(|it| it.cut = Some(Cut { tasks_read: 1, tasks_at_least: 2 })),
        ] {
            assert_eq!(severity(other), Severity::Critical);
        }
    }

    #[test]
    fn a_loop_that_runs_for_a_moment_is_healthy() {
        let scene = Scene::new().with([task(1).runs()]).in_callback(3, 40);
        scene.once().assert_silent();
        scene.twice().assert_silent();
    }
}
