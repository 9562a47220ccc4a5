//! `executor-job-stuck`: a task waits for one call in a thread that does not end.
//!
//! A call that takes a while is what threads are for: one that has stood for less than
//! [`STUCK_AFTER`], as far as can be told, makes no more than a note. So does one that computes,
//! waits for the next item of a queue or for somebody to type, or has a time limit around it.

use super::draft::{Draft, Drafts};
use super::executor_saturated::{has_not_moved, job_line, pool_before, pool_name};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::words::WAIT;
use super::{Context, STUCK_AFTER, grouped, outlook, severity_of, words};
use crate::known::{Module, name};
use crate::snapshot::{
    Age, Cause, Code, Evidence, Executor, Frame, Job, Pending, Role, Sentence, Severity, Source,
    Stage, Sureness, Task, Thread, ThreadState, Waiting,
};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::ExecutorJobStuck,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::Cause],
};

struct Stuck<'c> {
    task: Option<&'c Task>,
    job: &'c Job,
    severity: Severity,
    /// Whether it makes a warning if it goes on like this.
    is_pending: bool,
}

fn find(context: &Context<'_>, out: &mut Drafts) {
    let pools = context.now.pools();
    let jobs = || pools.iter().flat_map(|pool| pool.jobs.iter().map(move |job| (*pool, job)));
    let by_thread: rustc_hash::FxHashMap<i32, (&Executor, &Job)> =
        jobs().filter_map(|(pool, job)| Some((job.thread?, (pool, job)))).collect();
    let ending = context.now.shutdown.as_ref().filter(|shutdown| {
        matches!(shutdown.stage, Stage::DefaultExecutor | Stage::InterpreterThreads)
    });
    let mut found = Vec::new();
    for (pool, job) in jobs() {
        let is_waited_for = |tid: &i32| ending.is_some_and(|ending| ending.threads.contains(tid));
        if let Some(tid) = job.thread.filter(is_waited_for)
            && (context.gap.is_none() || has_stayed(context, pool, job))
        {
            let severity = outlook::of_thread(context, out, tid);
            found.push(Stuck { task: None, job, severity, is_pending: false });
        }
    }
    let is_told: Vec<_> = found.iter().filter_map(|stuck| stuck.job.thread).collect();
    for &task in &context.offloading {
        let Some(tid) = task.waiting_on.as_deref().and_then(Waiting::thread) else {
            continue;
        };
        let Some(&(pool, job)) = by_thread.get(&tid) else { continue };
        let is_told =
            is_told.contains(&tid) || out.blames(Code::ExecutorSaturated, Node::Thread(tid));
        if is_told {
            continue;
        }
        if context.gap.is_none() {
            out.want_second_look();
        } else if has_stayed(context, pool, job) && context.pairs.has_not_moved(task) {
            let is_pending = !may_last(context, task, tid);
            let severity = if is_pending { severity(context, task, tid) } else { Severity::Info };
            found.push(Stuck { task: Some(task), job, severity, is_pending });
        }
    }
    let shape = |stuck: &Stuck<'_>| {
        let thread = stuck.job.thread.and_then(|tid| context.thread(tid));
        let place = thread.and_then(|thread| words::own_frame(&thread.frames));
        (stuck.job.function.clone(), place.map(|frame| &frame.location), stuck.severity)
    };
    for group in grouped(found, shape) {
        out.extend(report(context, &group));
    }
}

/// The name of the pool that a thread works for.
fn pool_of(context: &Context<'_>, tid: i32) -> Option<String> {
    let pools = context.now.pools();
    let pool = pools.iter().find(|pool| pool.jobs.iter().any(|job| job.thread == Some(tid)))?;
    pool_name(pool)
}

fn has_stayed(context: &Context<'_>, pool: &Executor, job: &Job) -> bool {
    let before = pool.id.and_then(|id| pool_before(context, id));
    before.is_some_and(|before| has_not_moved(context, before, job))
}

/// Whether it is to be expected that the call takes its time, or it ends by itself.
fn may_last(context: &Context<'_>, task: &Task, tid: i32) -> bool {
    let has_limit = task.waiting_on.as_deref().is_some_and(|waiting| !waiting.deadlines.is_empty());
    has_limit || context.thread(tid).is_none_or(|thread| is_working_or_idle(context, thread))
}

/// How bad a call is that does not end by itself.
fn severity(context: &Context<'_>, task: &Task, tid: i32) -> Severity {
    match context.thread(tid).and_then(Thread::asleep_for) {
        // Whatever its task seems to do.
        Some(slept) if slept >= STUCK_AFTER => Severity::Warning,
        Some(_) => Severity::Info,
        None if context.stood_for(task) < STUCK_AFTER => Severity::Info,
        None => severity_of(context.stillness(task), Severity::Warning),
    }
}

/// Whether the thread computes, or waits for what may well be long in coming.
fn is_working_or_idle(context: &Context<'_>, thread: &Thread) -> bool {
    let before = thread.tid.and_then(|tid| context.looks.thread_before(tid));
    let has_worked = before.is_some_and(|before| before.cpu_time < thread.cpu_time);
    let is_asleep =
        matches!(thread.state, Some(ThreadState::Sleeping | ThreadState::Uninterruptible));
    let is_at_queue = |frame: &Frame| frame.location.module() == Some(Module::Queue);
    let at_queue = thread.frames.iter().any(is_at_queue)
        || thread.frames.last().is_some_and(|at| name::asks_terminal(&at.location.function));
    let at_terminal = thread.syscall.as_ref().is_some_and(|call| call.fd == Some(0));
    has_worked || !is_asleep || at_queue || at_terminal
}

fn report(context: &Context<'_>, group: &[Stuck<'_>]) -> Option<Draft> {
    let Stuck { task, job, severity, .. } = group.first()?;
    let pending = group.iter().filter(|stuck| stuck.is_pending).filter_map(|stuck| stuck.task);
    let stood = pending.clone().map(|task| context.stood_for(task)).max();
    let tasks = || group.iter().filter_map(|stuck| stuck.task);
    let function = job.function.as_deref().unwrap_or("a call");
    let thread = job.thread.and_then(|tid| context.thread(tid));
    let place = thread.and_then(|thread| words::own_frame(&thread.frames));
    let at = words::at_short(place.map(|frame| &*frame.location));
    let slept = thread.and_then(Thread::asleep_for);
    let pending = stood.map(|seen_for| {
        let tasks = pending.count();
        let does = words::one_does(tasks);
        let what = format!("{} wait{does} for {function} in a thread", words::count(tasks, "task"));
        Pending { what, seen_for }
    });
    let least = match (slept, task) {
        (Some(slept), _) => Some(Age::at_least(slept, Source::Scheduler)),
        (None, Some(task)) => Some(Age::at_least(context.stood_for(task), Source::Samples)),
        (None, None) => None,
    };
    let gap = context.gap.map(|gap| Age::at_least(gap, Source::Samples));
    let exact = job.elapsed.map(|time| Age::exact(time, Source::Frame));
    let age = exact.or_else(|| least.into_iter().chain(gap).max_by_key(|age| age.time));
    let call = match thread.and_then(|thread| thread.syscall.as_ref()) {
        Some(call) => match &call.peer {
            Some(peer) => format!("{function} ({} {})", call.name, words::end(peer)),
            None => function.to_owned(),
        },
        None => function.to_owned(),
    };
    let title = match group.len() {
        1 => Sentence::name(call).verb("has held", "held").then("a pool thread"),
        many => Sentence::name(call).verb("has held", "held").then(format!("{many} pool threads")),
    };
    let title = match age {
        Some(_) => title.then("for").lasting(age),
        None => title,
    };
    let title = match (task, group.len()) {
        (None, _) => title.so(Sentence::words("the shutdown").verb("waits", "waited")),
        (Some(task), 1) => title.so(Sentence::name(words::work(task)).verb("waits", "waited")),
        (Some(_), many) => title.so_many(many, "task", WAIT),
    };
    let jobs = group.iter().take(words::MAX_NAMED);
    let mut lines: Vec<_> =
        jobs.map(|stuck| job_line(context, "", stuck.job).role(Role::Culprit)).collect();
    lines.extend(thread.into_iter().flat_map(|thread| words::stack(&thread.frames)));
    lines.extend(words::lines(tasks(), words::wait_line));
    let pool = job.thread.and_then(|tid| pool_of(context, tid));
    let limits = tasks().filter_map(|task| task.waiting_on.as_deref());
    let limits: Vec<_> = limits.flat_map(|waiting| &waiting.deadlines).collect();
    lines.push(Evidence::from(match limits.iter().filter_map(|limit| limit.due_in).min() {
        Some(due) => format!(
            "a time limit ends the wait in {}, but not the call",
            words::span(due.unsigned_abs())
        ),
        None if !limits.is_empty() => "a time limit ends the wait, but not the call".to_owned(),
        None => "no time limit is around it".to_owned(),
    }));
    let hanging = tasks().map(|task| context.graph.waiting_for(Node::Task(task.id)).len());
    let affected = group.len() + hanging.sum::<usize>();
    let threads = group.iter().filter_map(|stuck| stuck.job.thread).map(Node::Thread);
    let advice = format!(
        "Give the call{at} a time limit of its own (a socket's `settimeout`, a client's \
         `timeout=`): cancelling the task that waits for it does not end the thread."
    );
    Some(
        Draft::new(Code::ExecutorJobStuck, *severity, Sureness::Derived, title)
            .on_loop(tasks().find_map(|task| task.loop_id))
            .blames(tasks().map(|task| Node::Task(task.id)))
            .blames(threads)
            .at(place.map(|frame| &*frame.location), None)
            .key([pool.as_deref(), job.function.as_deref()])
            .since(age)
            .cause(Some(Cause::Thread {
                thread: job.thread,
                name: thread.and_then(|thread| thread.name.as_deref().map(str::to_owned)),
            }))
            .members(Role::Culprit, group.len(), Vec::new())
            .role(Role::Waiter, tasks())
            .pending(pending)
            .affects(affected)
            .evidence(lines)
            .advice(advice),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, pool, task, thread};
    use crate::memory::Address;
    use crate::snapshot::Syscall;

    fn offloading(builder: Builder) -> Scene {
        Scene::new().with([builder]).and(|snapshot| {
            snapshot.threads.push(Thread {
                syscall: Some(Syscall {
                    name: "recvfrom".to_owned(),
                    fd: Some(9),
                    peer: Some("10.0.0.5:80".to_owned()),
                }),
                ..thread(200, &["fetch", "get"])
            });
            snapshot.executors.push(pool(4, 0, &[200]));
            snapshot.loops[0].idle_for = Some(2 * STUCK_AFTER);
        })
    }

    #[test]
    fn a_call_that_waits_for_a_socket() {
        let scene = offloading(task(1).offloads(Some(200)));
        let once = scene.once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(
            finding.title.to_string(),
            "fetch (recvfrom 10.0.0.5:80) has held a pool thread for ≥ 10.0 s: t1 waits"
        );
    }

    #[test]
    fn a_call_that_works_or_has_a_limit_is_healthy() {
        offloading(task(1).offloads(Some(200)).deadline(3000)).twice().assert_no_warning();
        let at_work = offloading(task(1).offloads(Some(200)))
            .and(|snapshot| snapshot.threads[1].state = Some(ThreadState::Running));
        at_work.twice().assert_no_warning();
        let next = offloading(task(1).offloads(Some(200)))
            .and(|snapshot| snapshot.executors[0].jobs[0].id = Address(0x77))
            .turned();
        next.after(&offloading(task(1).offloads(Some(200))).before()).assert_silent();
        let slow = offloading(task(1).offloads(Some(200)));
        let slow = slow.and(|snapshot| snapshot.loops[0].idle_for = Some(STUCK_AFTER / 2));
        slow.twice().assert_no_warning();
        let busy = offloading(task(1).offloads(Some(200)));
        busy.clone().turned().after(&busy.before()).assert_no_warning();
    }

    #[test]
    fn a_lock_held_meanwhile_follows_from_it() {
        let waiters = (2..=9).map(|number| task(number).at_lock(900, &[1]));
        let diagnosis = offloading(task(1).offloads(Some(200))).with(waiters).twice();
        assert_eq!(diagnosis.codes(), [Code::ExecutorJobStuck, Code::LockConvoy]);
        let convoy = diagnosis.of(Code::LockConvoy);
        assert_eq!(diagnosis.cause_of(convoy), Some(Code::ExecutorJobStuck));
    }
}
