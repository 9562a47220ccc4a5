//! `executor-saturated`: every thread or process of a pool is busy and work is queued, or none is
//! left.
//!
//! A capacity limiter of anyio before its worker threads is such a pool, its tokens the threads.
//! One that a program has made for itself is there to have a limit, so as long as its calls come
//! on, that others wait makes no more than a note.

use std::time::Duration;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Is, Rule};
use super::{Context, STUCK_AFTER, grouped, words};
use crate::memory::Address;
use crate::snapshot::{
    Age, Cause, Code, Evidence, Executor, Job, Limiter, Location, Pending, Role, Sentence,
    Severity, Snapshot, Source, Sureness, Syscall, Task, Thread, ThreadState, Waiting,
    WorkerProcess,
};
use crate::timeline::same_places;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::ExecutorSaturated,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::Nobody,
    follows: &[Follows::Reach],
    confirmed_by: Confirmed::Threads,
    is: &[Is::Cause],
};

/// Threads that have stood for less are only busy.
const LEAST: Duration = Duration::from_secs(1);

fn find(context: &Context<'_>, out: &mut Drafts) {
    for pool in context.now.pools() {
        if is_deserted(pool) {
            if context.gap.is_none() {
                out.want_second_look();
            } else if has_stayed_deserted(context, pool) {
                out.add(report_deserted(context, pool));
            }
            continue;
        }
        if is_forgetful(pool) {
            if context.gap.is_none() {
                out.want_second_look();
            } else if has_forgotten(context, pool) {
                out.add(report_forgotten(context, pool));
            }
            continue;
        }
        if !is_full(pool) {
            continue;
        }
        let before = pool.id.and_then(|id| pool_before(context, id)).filter(|pool| is_full(pool));
        if context.gap.is_none() {
            out.want_second_look();
        } else if before.is_none() {
            continue;
        }
        let stood = pool.jobs.iter().map(|job| stands_for(context, before, pool, job));
        let stood: Vec<Option<Duration>> = stood.collect();
        let severity = judge(context, out, pool, &stood);
        out.add(report(context, pool, &stood, severity));
    }
}

/// Whether each thread of a pool has a call; one that is between two calls is one that comes on.
fn has_all_calls(pool: &Executor) -> bool {
    pool.workers.is_none_or(|workers| pool.jobs.len() as u64 >= workers)
}

/// For how long at least all threads of a full pool have stood, if that may come to tell.
fn stand_all_for(pool: &Executor, stood: &[Option<Duration>]) -> Option<Duration> {
    let least = stood.iter().copied().min()??;
    let may_tell = has_all_calls(pool) && pool.limiter != Some(Limiter::Own);
    (may_tell && least >= LEAST).then_some(least)
}

fn is_full(pool: &Executor) -> bool {
    let has_queue = pool.queued.is_some_and(|queued| queued > 0);
    let has_all = pool.max_workers.is_some_and(|max| pool.workers.is_some_and(|all| all >= max));
    let is_busy = match pool.idle {
        Some(idle) => idle == 0,
        None => pool.workers.is_some_and(|workers| pool.jobs.len() as u64 >= workers),
    };
    has_queue && has_all && is_busy
}

/// Whether a pool has calls and no process.
fn is_deserted(pool: &Executor) -> bool {
    let has_calls = pool.queued > Some(0) || !pool.jobs.is_empty();
    has_calls
        && pool.processes.as_ref().is_some_and(Vec::is_empty)
        && pool.is_shut_down != Some(true)
}

/// Whether a pool owes calls, and no process of it runs one.
fn is_forgetful(pool: &Executor) -> bool {
    let processes = pool.processes.as_ref().map_or(0, Vec::len) as u64;
    processes > 0 && pool.idle == Some(processes) && !pool.owed.is_empty()
}

/// Whether one of these calls was owed at the first look already, and nobody has run since who could
/// take it, hand it out or bring its result.
fn has_forgotten(context: &Context<'_>, pool: &Executor) -> bool {
    let before = pool.id.and_then(|id| pool_before(context, id)).filter(|pool| is_forgetful(pool));
    let Some(before) = before else { return false };
    let processes = pool.processes.iter().flatten();
    let mut processes = processes.map(|now| (before.process(now.pid), now.thread.as_deref()));
    let rest = processes.all(|(before, now)| {
        let before = before.and_then(|before| before.thread.as_deref());
        now.is_some_and(|now| sleeps_on(before, now))
    });
    let runs_loop = |tid| context.now.loops.iter().any(|it| it.thread == tid);
    // Its calls may be made only as they are handed out.
    let makes_calls = |thread: &Thread| {
        let own = thread.frames.iter().any(|frame| !frame.location.is_library());
        own && thread.tid == pool.manager
    };
    let mut threads = context.now.threads.iter().filter(|thread| !runs_loop(thread.tid));
    rest && pool.owed.iter().any(|number| before.owed.contains(number))
        && threads.all(|thread| {
            let before = thread.tid.and_then(|tid| context.looks.thread_before(tid));
            sleeps_on(before, thread) && !makes_calls(thread)
        })
}

/// Whether it was so at the first look, and the thread that would start a process has slept since:
/// one that is being started is not in the list yet.
fn has_stayed_deserted(context: &Context<'_>, pool: &Executor) -> bool {
    let before = pool.id.and_then(|id| pool_before(context, id));
    before.is_some_and(is_deserted)
        && pool.manager.is_some_and(|tid| {
            let now = context.thread(tid);
            now.is_some_and(|now| sleeps_on(context.looks.thread_before(tid), now))
        })
}

/// How bad it is, told by the threads: one that has slept in one and the same wait for long does
/// not come on. Where the calls of others end, that there is a queue is what a pool is for.
fn judge(
    context: &Context<'_>,
    out: &Drafts,
    pool: &Executor,
    stood: &[Option<Duration>],
) -> Severity {
    let is_stuck = |(job, stood): &(&Job, &Option<Duration>)| {
        stood.is_some_and(|stood| stood >= STUCK_AFTER || is_hopeless(Some(pool), job))
    };
    let stuck = pool.jobs.iter().zip(stood).filter(is_stuck).count();
    // One that waits for a call of the same pool waits for a thread that is not there.
    let waits_for_pool = |job: &Job| {
        let thread = job.thread.and_then(|tid| context.thread(tid));
        let waiting = thread.and_then(|thread| thread.waiting_on.as_deref());
        waiting.is_some_and(|waiting| waiting.object.is_some() && waiting.object == pool.id)
    };
    let is_circle = !pool.jobs.is_empty() && pool.jobs.iter().all(waits_for_pool);
    let nodes = pool.jobs.iter().filter_map(|job| job.thread).map(Node::Thread);
    let mut nodes = pool.id.map(Node::Executor).into_iter().chain(nodes);
    if nodes.any(|node| out.is_blamed_for_sure(Code::Deadlock, node))
        || has_all_calls(pool) && (is_circle || stuck > 0 && stuck == pool.jobs.len())
    {
        Severity::Critical
    } else if stuck > 0 {
        at_most_note(pool, Severity::Warning)
    } else {
        Severity::Info
    }
}

/// The thread that runs a call: one of the process's own, or the main one of a pool's process.
pub(super) fn runner<'s>(
    snapshot: &'s Snapshot,
    pool: Option<&'s Executor>,
    job: &Job,
) -> Option<&'s Thread> {
    match (job.thread, job.process) {
        (Some(tid), _) => snapshot.threads.iter().find(|thread| thread.tid == Some(tid)),
        (None, pid) => pool?.process(pid?)?.thread.as_deref(),
    }
}

/// Whether nothing can end a call but a signal: its process has no thread that could, or is stopped.
pub(super) fn is_hopeless(pool: Option<&Executor>, job: &Job) -> bool {
    let process = job.process.and_then(|pid| pool?.process(pid));
    process.is_some_and(|process| {
        let state = process.thread.as_ref().and_then(|thread| thread.state);
        process.waits_for_nobody || state.is_some_and(ThreadState::is_halted)
    })
}

/// For how long at least the thread of a call has stood where it is; `None` where it moves.
pub(super) fn stands_for(
    context: &Context<'_>,
    before: Option<&Executor>,
    pool: &Executor,
    job: &Job,
) -> Option<Duration> {
    if context.gap.is_some() && !has_not_moved(context, before?, pool, job) {
        return None;
    }
    let slept = runner(context.now, Some(pool), job)?.asleep_for();
    let waits = |task: &&&Task| {
        let thread = || task.waiting_on.as_deref().and_then(Waiting::thread);
        job.task == Some(task.id) || job.thread.is_some() && thread() == job.thread
    };
    let waiter = || context.offloading.iter().find(waits).map(|task| context.stood_for(task));
    slept.or_else(waiter).max(context.gap)
}

/// No more than a note of a limit that is meant.
fn at_most_note(pool: &Executor, severity: Severity) -> Severity {
    if pool.limiter == Some(Limiter::Own) { Severity::Info } else { severity }
}

pub(super) fn pool_before<'s>(context: &Context<'s>, id: Address) -> Option<&'s Executor> {
    let pools = context.looks.first?.pools();
    pools.into_iter().find(|pool| pool.id == Some(id))
}

/// Whether the same thread ran the same call at the first look and has slept since, at the same
/// place. The next call may have the address of the last one: what tells is that it did not run.
pub(super) fn has_not_moved(
    context: &Context<'_>,
    before: &Executor,
    pool: &Executor,
    job: &Job,
) -> bool {
    let is_same = |known: &&Job| {
        (known.thread, known.process) == (job.thread, job.process) && known.id == job.id
    };
    let Some(known) = before.jobs.iter().find(is_same) else { return false };
    let before = context.looks.first.and_then(|first| runner(first, Some(before), known));
    let threads = before.zip(runner(context.now, Some(pool), job));
    threads.is_some_and(|(before, now)| stands_still(before, now))
}

/// Whether a thread has slept since the first look in one and the same wait.
fn sleeps_on(before: Option<&Thread>, now: &Thread) -> bool {
    now.sleep_id().is_some() && before.is_some_and(|before| before.sleep_id() == now.sleep_id())
}

/// Whether a thread has slept since the first look, or was stopped, at the same place.
pub(super) fn stands_still(before: &Thread, thread: &Thread) -> bool {
    // One that is stopped does not sleep, and does not run.
    let is_halted = |thread: &Thread| thread.state.is_some_and(ThreadState::is_halted);
    (sleeps_on(Some(before), thread)
        || is_halted(before) && is_halted(thread) && before.cpu_time == thread.cpu_time)
        && same_places(&before.frames, &thread.frames)
        && is_same_call(before.syscall.as_ref(), thread.syscall.as_ref())
}

/// Whether a thread seems to be in the same system call as before.
///
/// The kernel gives the table of sockets in parts. One of many may be missing there when others
/// come and go meanwhile, and is then no more than a `socket`: that is not another one.
fn is_same_call(before: Option<&Syscall>, now: Option<&Syscall>) -> bool {
    let (Some(before), Some(now)) = (before, now) else { return before == now };
    let is_unknown = |call: &Syscall| call.peer.as_deref().is_none_or(|peer| peer == "socket");
    before.name == now.name
        && before.fd == now.fd
        && (before.peer == now.peer || is_unknown(before) || is_unknown(now))
}

/// A call and the thread that runs it: `fetch for 3.1 s, thread 7 "pool_0" in recvfrom at …`.
pub(super) fn job_line(
    context: &Context<'_>,
    verb: &str,
    pool: Option<&Executor>,
    job: &Job,
) -> Evidence {
    let function = job.function.as_deref().unwrap_or("a call");
    let elapsed = job.elapsed.map(|time| format!(" for {}", words::span(time)));
    let thread = runner(context.now, pool, job);
    let line = thread.map(|thread| match job.process {
        Some(pid) => words::process_line(pid, thread),
        None => words::thread_line(thread),
    });
    let (line, place) = match line {
        Some(Evidence { text, place, .. }) => (format!(", {text}"), place),
        None => (String::new(), None),
    };
    let text = format!("{verb}{function}{}{line}", elapsed.unwrap_or_default());
    let since = job.elapsed.map(|time| Age::exact(time, Source::Frame));
    Evidence { place, since, ..Evidence::from(text) }
}

/// Why a call of a process can never end, where that is so: said once for all calls like it.
pub(super) fn hopeless_lines<'j>(
    pool: &Executor,
    jobs: impl IntoIterator<Item = &'j Job>,
) -> Vec<Evidence> {
    let processes = jobs.into_iter().filter_map(|job| pool.process(job.process?));
    let hopeless: Vec<_> = processes.filter(|process| process.waits_for_nobody).collect();
    let mut lines = Vec::new();
    if let Some(process) = hopeless.first() {
        let who = match hopeless.len() {
            1 => format!("process {}", process.pid),
            many => format!("each of the {many} processes"),
        };
        let why = if hopeless.iter().any(|process| process.is_forked) {
            ": a lock that another thread held at the fork stays locked in the child"
        } else {
            ""
        };
        lines.push(Evidence::from(format!(
            "{who} waits for a lock and has no other thread that could release it{why}"
        )));
    }
    lines
}

/// What to do about a process that waits for a lock which it has from its parent.
pub(super) fn fork_advice(pool: &Executor) -> Option<&'static str> {
    let processes = pool.processes.iter().flatten();
    let is_it = |process: &WorkerProcess| process.waits_for_nobody && process.is_forked;
    processes.into_iter().any(is_it).then_some(
        "Make the pool with `mp_context=multiprocessing.get_context(\"forkserver\")` or \
         `\"spawn\"`: a child that is forked while other threads run has their locks as they were \
         at that moment, and nobody to release them.",
    )
}

/// What a pool is called, by all that are made like it: those without a name are counted.
pub(super) fn pool_name(pool: &Executor) -> Option<String> {
    let name = pool.name.as_deref()?;
    let number = name.strip_prefix("ThreadPoolExecutor-");
    let is_counted =
        number.is_some_and(|it| !it.is_empty() && it.bytes().all(|c| c.is_ascii_digit()));
    Some(if is_counted { "ThreadPoolExecutor" } else { name }.to_owned())
}

fn place_of<'c>(now: &'c Snapshot, pool: &'c Executor, job: &Job) -> Option<&'c Location> {
    let thread = runner(now, Some(pool), job)?;
    words::own_frame(&thread.frames).map(|frame| &*frame.location)
}

fn report(
    context: &Context<'_>,
    pool: &Executor,
    stood: &[Option<Duration>],
    severity: Severity,
) -> Draft {
    let threads: Vec<i32> = pool.jobs.iter().filter_map(|job| job.thread).collect();
    let tasks = waiters(context, pool);
    let queued = usize::try_from(pool.queued.unwrap_or(0)).unwrap_or(usize::MAX);
    let workers = pool.workers.unwrap_or(0);
    let of = match (pool.limiter, &pool.name) {
        (None, Some(name)) => format!("pool {name}"),
        (None, None) => "a pool".to_owned(),
        (Some(Limiter::Default), _) => "AnyIO's pool".to_owned(),
        (Some(Limiter::Own), Some(name)) => format!("AnyIO's limiter {name}"),
        (Some(Limiter::Own), None) => "a limiter of AnyIO's".to_owned(),
    };
    // The function that most of its threads run; of several, the first by name.
    let functions = grouped(&pool.jobs, |job| job.function.clone());
    let most = functions
        .iter()
        .max_by_key(|jobs| (jobs.len(), std::cmp::Reverse(jobs.first().map(|it| &it.function))))
        .and_then(|jobs| jobs.first())
        .copied();
    let [one, several] = match pool.processes {
        Some(_) => ["process", "processes"],
        None => ["thread", "threads"],
    };
    let pending = stand_all_for(pool, stood).map(|seen_for| {
        let calls = words::count(queued, "call");
        let wait = if queued == 1 { "waits" } else { "wait" };
        Pending { what: format!("{calls} {wait} for a {one} of {of}"), seen_for }
    });
    let title = match workers {
        1 => Sentence::words(format!("The only {one} of")).and(of).verb("is", "was"),
        many => Sentence::words(format!("All {many} {several} of")).and(of).verb("are", "were"),
    };
    let title = match most.and_then(|job| job.function.as_deref()) {
        Some(function) if functions.len() == 1 => title.then("in").and(words::function(function)),
        _ => title.then("busy"),
    };
    let title = match severity {
        Severity::Critical => title.verb("and none finishes", "and none finished"),
        _ => title,
    };
    let title = title.so_many((queued, "call"), ["queues", "queue", "queued"]);
    let mut lines: Vec<_> = pool
        .jobs
        .iter()
        .take(words::MAX_NAMED)
        .map(|job| job_line(context, "runs ", Some(pool), job).role(Role::Runs))
        .collect();
    if let Some(others) = pool.jobs.len().checked_sub(words::MAX_NAMED).filter(|more| *more > 0) {
        lines.push(format!("and {others} more").into());
    }
    lines.extend(hopeless_lines(pool, &pool.jobs));
    if let Some(gap) = context.gap.filter(|_| severity == Severity::Info) {
        let moving = stood.iter().filter(|stood| stood.is_none()).count();
        let gap = words::span(gap);
        lines.push(format!("{moving} of {workers} {several} have run in the last {gap}").into());
    }
    lines.extend(words::lines(tasks.iter().copied(), words::wait_line));
    if lines.is_empty() {
        lines.push(format!("{queued} in the queue of {workers} {several}").into());
    }
    let nodes = pool.id.map(Node::Executor).into_iter();
    let loop_id = tasks.first().and_then(|task| task.loop_id);
    Draft::new(Code::ExecutorSaturated, severity, Sureness::Read, title)
        .on_loop(loop_id)
        .blames(nodes.chain(threads.iter().map(|tid| Node::Thread(*tid))))
        .affects(tasks.len().max(queued))
        .pending(pending)
        .at(most.and_then(|job| place_of(context.now, pool, job)), None)
        .key([pool_name(pool).as_deref(), most.and_then(|job| job.function.as_deref())])
        .cause(Some(Cause::Pool {
            name: pool.name.clone(),
            object: pool.id,
            size: pool.max_workers,
            queued: pool.queued,
        }))
        .members(Role::Runs, pool.jobs.len(), Vec::new())
        .role(Role::Waiter, tasks)
        .evidence(lines)
        .advice(match (pool.limiter, &pool.processes) {
            (None, Some(_)) => fork_advice(pool).unwrap_or(
                "Give the calls a time limit of their own, give slow ones a pool of their own, or \
                 give this one more processes.",
            ),
            (None, None) => {
                "Give the calls a time limit of their own, give slow ones a pool of their own \
                 (`loop.run_in_executor(pool, …)`), or give this one more threads."
            }
            (Some(_), _) => {
                "Give the calls a time limit of their own, give slow ones a limiter of their own \
                 (`to_thread.run_sync(…, limiter=…)`), or give this one more tokens."
            }
        })
}

/// The tasks that wait for calls of a pool, by way of a thread too.
pub(super) fn waiters<'s>(context: &Context<'s>, pool: &Executor) -> Vec<&'s Task> {
    let is_for_pool = |waiting: &Waiting| waiting.object.is_some() && waiting.object == pool.id;
    let is_waiting = |task: &&&Task| {
        task.waiting_on.as_deref().is_some_and(|waiting| {
            let by_thread = |tid: i32| {
                let thread = context.thread(tid);
                let waits = thread.and_then(|thread| thread.waiting_on.as_deref());
                pool.jobs.iter().any(|job| job.thread == Some(tid))
                    || waits.is_some_and(is_for_pool)
            };
            is_for_pool(waiting) || waiting.thread().is_some_and(by_thread)
        })
    };
    context.offloading.iter().filter(is_waiting).copied().collect()
}

fn report_forgotten(context: &Context<'_>, pool: &Executor) -> Draft {
    let tasks = waiters(context, pool);
    let processes = pool.processes.as_ref().map_or(0, Vec::len);
    let calls = pool.owed.len();
    let title = match processes {
        1 => Sentence::words("The only process of a pool").verb("is", "was"),
        many => Sentence::words(format!("All {many} processes of a pool")).verb("are", "were"),
    };
    let title = title
        .then("idle, and its calls are lost")
        .so_many((calls, "call"), ["never ends", "never end", "never ended"]);
    let mut lines: Vec<Evidence> = pool
        .processes
        .iter()
        .flatten()
        .take(words::MAX_NAMED)
        .filter_map(|process| Some(words::process_line(process.pid, process.thread.as_deref()?)))
        .collect();
    lines.push(
        "no process, and no thread that hands out calls, has run since the first sample".into(),
    );
    lost(Sureness::Derived, title, pool, (calls, &tasks), lines)
        .key([Some("processes"), Some("lost")])
        .advice(
            "`multiprocessing.Pool` starts another process in place of one that was killed, and \
             forgets the call that this had: see who kills them (out of memory?), and use \
             `concurrent.futures.ProcessPoolExecutor`, whose calls fail then.",
        )
}

/// Calls of a pool of processes that nobody will run, with the tasks that wait for it.
fn lost(
    sureness: Sureness,
    title: Sentence,
    pool: &Executor,
    (calls, tasks): (usize, &[&Task]),
    mut lines: Vec<Evidence>,
) -> Draft {
    let first = tasks.first().copied();
    lines.extend(words::lines(tasks.iter().copied(), words::wait_line));
    Draft::new(Code::ExecutorSaturated, Severity::Critical, sureness, title)
        .on_loop(first.and_then(|task| task.loop_id))
        .blames(pool.id.map(Node::Executor))
        .affects(calls)
        .at(first.and_then(words::place), None)
        .cause(Some(Cause::Pool {
            name: pool.name.clone(),
            object: pool.id,
            size: pool.max_workers,
            queued: Some(calls as u64),
        }))
        .role(Role::Waiter, tasks.iter().copied())
        .evidence(lines)
}

fn report_deserted(context: &Context<'_>, pool: &Executor) -> Draft {
    let tasks = waiters(context, pool);
    let calls = pool.jobs.len() + usize::try_from(pool.queued.unwrap_or(0)).unwrap_or(usize::MAX);
    let of = match pool.max_workers {
        Some(1) => "A pool of 1 process".to_owned(),
        Some(max) => format!("A pool of {max} processes"),
        None => "A pool of processes".to_owned(),
    };
    let title = Sentence::words(of)
        .verb("has", "had")
        .then("none left")
        .so_many((calls, "call"), ["queues", "queue", "queued"]);
    let lines =
        vec![Evidence::from("the thread that hands out the calls sleeps: it starts no process")];
    lost(Sureness::Read, title, pool, (calls, &tasks), lines)
        .key([Some("ProcessPoolExecutor")])
        .advice(
            "Make the pool without `max_tasks_per_child`: Python up to 3.13 may forget to start a \
             process in place of the last one that has retired. Make another pool now; the calls \
             of this one never end.",
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Scene, library_frame, pool, process_pool, task, thread};
    use crate::snapshot::{Consistency, ThreadGrounds};

    fn full(queued: u64) -> Scene {
        Scene::new()
            .with([
                task(1).offloads(Some(200)),
                task(2).offloads(Some(201)),
                task(3).offloads(None),
            ])
            .and(|snapshot| {
                snapshot.threads.extend([200, 201].map(|tid| thread(tid, &["fetch"])));
                snapshot.executors.push(pool(2, queued, &[200, 201]));
            })
    }

    /// The threads have slept for so long.
    fn standing(queued: u64, slept: Duration) -> Scene {
        full(queued).and(|snapshot| {
            for thread in &mut snapshot.threads[1..] {
                thread.grounds.get_or_insert_default().asleep_for = Some(slept);
            }
        })
    }

    #[test]
    fn a_pool_in_which_nothing_comes_on() {
        let scene = standing(1, STUCK_AFTER);
        let once = scene.once();
        assert_eq!(once.only().severity, Severity::Critical);
        assert!(once.wants_second_look);
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!((finding.code, finding.severity), (Code::ExecutorSaturated, Severity::Critical));
        assert_eq!(
            finding.title.to_string(),
            "All 2 threads of pool asyncio are in fetch and none finishes: 1 call queues"
        );
        assert_eq!(finding.tasks.len(), 3);
    }

    #[test]
    fn that_nothing_comes_on_yet_is_undecided() {
        let pending = |slept| {
            let diagnosis = standing(1, slept).twice();
            assert_eq!(diagnosis.only().severity, Severity::Info);
            diagnosis.only().pending.as_ref().map(|it| it.what.clone())
        };
        let waits = "1 call waits for a thread of pool asyncio";
        assert_eq!(pending(Duration::from_secs(3)).as_deref(), Some(waits));
        assert_eq!(pending(Duration::from_millis(900)), None);
    }

    #[test]
    fn of_threads_that_run_two_looks_are_needed() {
        let scene = standing(1, STUCK_AFTER);
        let scene = scene.and(|snapshot| snapshot.consistency = Consistency::SameStep);
        let once = scene.once().of_one_look(&scene.snapshot);
        assert!(once.findings.is_empty() && once.wants_second_look);
        assert_eq!(scene.twice().only().severity, Severity::Critical);
    }

    #[test]
    fn a_queue_that_gets_shorter_is_healthy() {
        let first = full(40).before();
        let now = full(12).turned().and(|snapshot| {
            for job in &mut snapshot.executors[0].jobs {
                job.id = Address(job.id.0 + 64);
            }
        });
        now.after(&first).assert_no_warning();
        // That it grows for a moment says nothing: what counts is that its calls end.
        now.and(|snapshot| snapshot.executors[0].queued = Some(50))
            .after(&first)
            .assert_no_warning();
    }

    #[test]
    fn calls_that_end_are_told_by_the_threads_and_not_by_addresses() {
        // The next call is at the same line, in an object at the same address; the queue is as long.
        let ran = |tids: &[i32]| {
            standing(2, STUCK_AFTER).and(|snapshot| {
                for thread in
                    snapshot.threads.iter_mut().filter(|it| tids.contains(&it.tid.unwrap()))
                {
                    let (sleep_id, asleep_for) = (Some(2), Some(Duration::ZERO));
                    thread.grounds = Some(ThreadGrounds { sleep_id, asleep_for });
                }
            })
        };
        let first = standing(2, STUCK_AFTER).before();
        let both = ran(&[200, 201]).after(&first);
        both.assert_no_warning();
        let line = "2 of 2 threads have run in the last 200 ms";
        assert!(both.only().facts().iter().any(|it| it == line), "{:#?}", both.only());
        assert_eq!(ran(&[201]).after(&first).only().severity, Severity::Warning);
        // A call that takes a second stands as well.
        for scene in [standing(2, Duration::from_secs(1)), full(2)] {
            scene.twice().assert_no_warning();
            scene.once().assert_no_warning();
        }
    }

    #[test]
    fn a_pool_whose_only_thread_waits_for_the_pool() {
        let scene = full(1).and(|snapshot| {
            snapshot.executors[0].jobs.pop();
            (snapshot.executors[0].workers, snapshot.executors[0].max_workers) = (Some(1), Some(1));
            snapshot.threads[1].waiting_on = task(200).offloads(None).task.waiting_on;
        });
        let twice = scene.twice();
        let finding = twice.of(Code::ExecutorSaturated);
        assert_eq!(finding.severity, Severity::Critical);
        let title = "The only thread of pool asyncio is in fetch and none finishes: 1 call queues";
        assert_eq!(finding.title.to_string(), title);
    }

    #[test]
    fn a_socket_that_was_not_found_once_is_the_same() {
        let at = |fd: i32, peer: &str| Syscall {
            name: "recvfrom".to_owned(),
            fd: Some(fd),
            peer: Some(peer.to_owned()),
        };
        let is_same = |before: &Syscall, now: &Syscall| is_same_call(Some(before), Some(now));
        let known = at(7, "tcp 10.0.0.1:1 -> 10.0.0.5:5432 established");
        assert!(is_same(&known, &known) && is_same(&known, &at(7, "socket")));
        assert!(!is_same(&known, &at(8, "socket")));
        assert!(!is_same(&known, &at(7, "tcp 10.0.0.1:2 -> 10.0.0.5:5432 established")));
        assert!(!is_same_call(None, Some(&known)) && is_same_call(None, None));
    }

    #[test]
    fn a_limiter_is_a_pool_of_as_many_threads_as_it_has_tokens() {
        let of = |limiter| {
            standing(5, STUCK_AFTER).and(|snapshot| {
                let pool = &mut snapshot.executors[0];
                (pool.limiter, pool.name) = (Some(limiter), Some("limit".to_owned()));
            })
        };
        let twice = of(Limiter::Own).twice();
        assert_eq!(twice.only().severity, Severity::Critical);
        assert_eq!(
            twice.only().title.to_string(),
            "All 2 threads of AnyIO's limiter limit are in fetch and none finishes"
        );
        // That calls wait at a limit is what one makes it for.
        let comes_on = |scene: Scene| {
            let first = scene.before();
            let now = scene.turned().and(|snapshot| {
                snapshot.executors[0].jobs[0].id = Address(0x7abc);
                snapshot.threads[1].grounds.get_or_insert_default().sleep_id = Some(2);
            });
            now.after(&first)
        };
        comes_on(of(Limiter::Own)).assert_no_warning();
        assert!(of(Limiter::Own).once().wants_second_look);
        assert_eq!(comes_on(of(Limiter::Default)).only().severity, Severity::Warning);
        // One of its calls has just ended.
        let ended = of(Limiter::Own).and(|snapshot| {
            snapshot.executors[0].jobs.pop();
        });
        ended.twice().assert_no_warning();
    }

    fn of_processes(queued: u64, pids: &[i32], slept: Duration) -> Scene {
        Scene::new().with((1..=4).map(|number| task(number).offloads(None))).and(|snapshot| {
            let frames = vec![library_frame("run")];
            snapshot.threads.push(Thread { frames, ..thread(300, &[]) });
            snapshot.executors.push(process_pool(queued, pids, slept));
        })
    }

    fn processes(snapshot: &mut Snapshot) -> &mut Vec<WorkerProcess> {
        snapshot.executors[0].processes.as_mut().unwrap()
    }

    #[test]
    fn processes_that_stand_still_are_judged_as_threads_are() {
        let scene = of_processes(2, &[400, 401], STUCK_AFTER);
        assert!(scene.once().wants_second_look);
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!(finding.severity, Severity::Critical);
        let title = "All 2 processes of a pool are in fetch and none finishes: 2 calls queue";
        assert_eq!(finding.title.to_string(), title);
        let lines = finding.facts();
        assert!(lines.iter().any(|it| it.starts_with("runs fetch, process 400 ")), "{lines:?}");
        assert_eq!(finding.tasks.len(), 4);
        // They have not for long, or have run in between.
        of_processes(2, &[400, 401], Duration::from_secs(1)).twice().assert_no_warning();
        let computes = scene.clone().and(|snapshot| {
            for process in processes(snapshot) {
                let thread = process.thread.as_mut().unwrap();
                thread.state = Some(ThreadState::Running);
                thread.grounds = None;
            }
        });
        computes.after(&scene.before()).assert_no_warning();
        // Nothing was read of them: they may well be at work.
        let unread = scene.clone().and(|snapshot| {
            for process in processes(snapshot) {
                process.thread = None;
            }
        });
        unread.twice().assert_no_warning();
    }

    #[test]
    fn a_lock_that_was_held_at_the_fork_is_never_released() {
        let scene = of_processes(2, &[400, 401], Duration::from_millis(300)).and(|snapshot| {
            for process in processes(snapshot) {
                (process.waits_for_nobody, process.is_forked) = (true, true);
            }
        });
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!(finding.severity, Severity::Critical);
        assert!(finding.advice.contains("forkserver"), "{}", finding.advice);
        // One waits, and the other comes on.
        let one = scene.and(|snapshot| {
            let process = &mut processes(snapshot)[1];
            process.waits_for_nobody = false;
        });
        assert_eq!(one.twice().only().severity, Severity::Warning);
    }

    #[test]
    fn a_pool_without_processes_never_ends_a_call() {
        let scene = of_processes(4, &[], Duration::ZERO);
        assert!(scene.once().wants_second_look && scene.once().findings.is_empty());
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!(finding.severity, Severity::Critical);
        let title = "A pool of 2 processes has none left: 4 calls queue";
        assert_eq!(finding.title.to_string(), title);
        // One is being started, by the thread that hands out the calls or by another.
        let starts = scene.clone().and(|snapshot| {
            snapshot.threads[1].grounds.get_or_insert_default().sleep_id = Some(2);
        });
        assert!(starts.after(&scene.before()).findings.is_empty());
        let begins = scene.clone().and(|snapshot| snapshot.executors[0].manager = None);
        assert!(begins.twice().findings.is_empty());
        let idle = scene.and(|snapshot| snapshot.executors[0].queued = Some(0));
        assert!(idle.twice().findings.is_empty());
    }

    #[test]
    fn a_call_that_no_process_has_is_lost() {
        let scene = of_processes(0, &[400, 401], Duration::ZERO).and(|snapshot| {
            let pool = &mut snapshot.executors[0];
            pool.jobs.clear();
            (pool.idle, pool.owed) = (Some(2), vec![7]);
        });
        assert!(scene.once().wants_second_look && scene.once().findings.is_empty());
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!(finding.severity, Severity::Critical);
        let title = "All 2 processes of a pool are idle, and its calls are lost: 1 call never ends";
        assert_eq!(finding.title.to_string(), title);
        // It is on its way: through a thread of ours, through a process, or it is another one.
        let changes: [fn(&mut Snapshot); 4] = [
            |it| it.threads[1].grounds.get_or_insert_default().sleep_id = Some(2),
            |it| {
                let thread = processes(it)[1].thread.as_mut().unwrap();
                thread.grounds.get_or_insert_default().sleep_id = Some(2);
            },
            |it| it.executors[0].owed = vec![8],
            |it| it.executors[0].idle = Some(1),
        ];
        for change in changes {
            scene.clone().and(change).after(&scene.before()).assert_no_warning();
        }
        // A generator of the program's makes its calls.
        let makes = scene.and(|snapshot| snapshot.threads[1] = thread(300, &["slowly"]));
        assert!(makes.twice().findings.is_empty());
    }

    #[test]
    fn a_pool_with_an_idle_thread_or_no_queue_is_healthy() {
        let idle = full(3).and(|snapshot| snapshot.executors[0].idle = Some(1));
        assert!(idle.once().findings.is_empty());
        assert!(full(0).once().findings.is_empty());
        let worked_off = full(0).after(&full(5).before());
        assert!(!worked_off.codes().contains(&Code::ExecutorSaturated));
    }
}
