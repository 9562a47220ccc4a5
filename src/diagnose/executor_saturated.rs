//! `executor-saturated`: every thread of a pool is busy and work is queued.
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
    Age, Cause, Code, Evidence, Executor, Job, Limiter, Location, Role, Sentence, Severity, Source,
    Sureness, Syscall, Task,
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

fn find(context: &Context<'_>, out: &mut Drafts) {
    for pool in context.now.pools() {
        if !is_full(pool) {
            continue;
        }
        let before = pool.id.and_then(|id| pool_before(context, id)).filter(|pool| is_full(pool));
        if context.gap.is_none() {
            out.want_second_look();
        } else if before.is_none() {
            continue;
        }
        let severity = judge(context, out, pool, before);
        out.add(report(context, pool, severity));
    }
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

/// How bad it is, told by the threads: one that has slept in one and the same wait for long does
/// not come on. Where the calls of others end, that there is a queue is what a pool is for.
fn judge(
    context: &Context<'_>,
    out: &Drafts,
    pool: &Executor,
    before: Option<&Executor>,
) -> Severity {
    // A thread that is between two calls is one that comes on.
    let has_all = pool.workers.is_none_or(|workers| pool.jobs.len() as u64 >= workers);
    let is_stuck =
        |job: &&Job| stands_for(context, before, job).is_some_and(|stood| stood >= STUCK_AFTER);
    let stuck = pool.jobs.iter().filter(is_stuck).count();
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
        || has_all && (is_circle || stuck > 0 && stuck == pool.jobs.len())
    {
        Severity::Critical
    } else if stuck > 0 || !is_worked_on(pool, before) {
        at_most_note(pool, Severity::Warning)
    } else {
        Severity::Info
    }
}

/// Whether the calls of a pool may all be coming on; of processes the queue tells.
fn is_worked_on(pool: &Executor, before: Option<&Executor>) -> bool {
    let is_of_threads = pool.jobs.iter().any(|job| job.thread.is_some());
    is_of_threads || before.is_none_or(|before| pool.queued < before.queued)
}

/// For how long at least the thread of a call has stood where it is; `None` where it moves.
pub(super) fn stands_for(
    context: &Context<'_>,
    before: Option<&Executor>,
    job: &Job,
) -> Option<Duration> {
    if context.gap.is_some() && !has_not_moved(context, before?, job) {
        return None;
    }
    let slept = context.thread(job.thread?)?.asleep_for();
    let waits = |task: &&&Task| {
        task.waiting_on.as_deref().is_some_and(|waiting| waiting.thread() == job.thread)
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
pub(super) fn has_not_moved(context: &Context<'_>, before: &Executor, job: &Job) -> bool {
    let Some(tid) = job.thread else { return false };
    let is_same = |known: &&Job| known.thread == Some(tid) && known.id == job.id;
    let threads = (context.looks.thread_before(tid), context.thread(tid));
    let (Some(thread_before), Some(thread)) = threads else { return false };
    before.jobs.iter().any(|known| is_same(&known))
        && thread.sleep_id().is_some()
        && thread_before.sleep_id() == thread.sleep_id()
        && same_places(&thread_before.frames, &thread.frames)
        && is_same_call(thread_before.syscall.as_ref(), thread.syscall.as_ref())
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
pub(super) fn job_line(context: &Context<'_>, verb: &str, job: &Job) -> Evidence {
    let function = job.function.as_deref().unwrap_or("a call");
    let elapsed = job.elapsed.map(|time| format!(" for {}", words::span(time)));
    let thread = job.thread.and_then(|tid| context.thread(tid)).map(words::thread_line);
    let (thread, place) = match thread {
        Some(Evidence { text, place, .. }) => (format!(", {text}"), place),
        None => (String::new(), None),
    };
    let text = format!("{verb}{function}{}{thread}", elapsed.unwrap_or_default());
    let since = job.elapsed.map(|time| Age::exact(time, Source::Frame));
    Evidence { place, since, ..Evidence::from(text) }
}

/// What a pool is called, by all that are made like it: those without a name are counted.
pub(super) fn pool_name(pool: &Executor) -> Option<String> {
    let name = pool.name.as_deref()?;
    let number = name.strip_prefix("ThreadPoolExecutor-");
    let is_counted =
        number.is_some_and(|it| !it.is_empty() && it.bytes().all(|c| c.is_ascii_digit()));
    Some(if is_counted { "ThreadPoolExecutor" } else { name }.to_owned())
}

fn place_of<'c>(context: &Context<'c>, job: &Job) -> Option<&'c Location> {
    let thread = context.thread(job.thread?)?;
    words::own_frame(&thread.frames).map(|frame| &*frame.location)
}

fn report(context: &Context<'_>, pool: &Executor, severity: Severity) -> Draft {
    let threads: Vec<i32> = pool.jobs.iter().filter_map(|job| job.thread).collect();
    let is_waiting = |task: &&&Task| {
        task.waiting_on.as_deref().is_some_and(|waiting| {
            (waiting.object.is_some() && waiting.object == pool.id)
                || waiting.thread().is_some_and(|tid| threads.contains(&tid))
        })
    };
    let tasks: Vec<&Task> = context.offloading.iter().filter(is_waiting).copied().collect();
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
    let title = match workers {
        1 => Sentence::words("The only thread of").and(of).verb("is", "was"),
        many => Sentence::words(format!("All {many} threads of")).and(of).verb("are", "were"),
    };
    let title = match most.and_then(|job| job.function.as_deref()) {
        Some(function) if functions.len() == 1 => title.then("in").and(words::function(function)),
        _ => title.then("busy"),
    };
    let title = match severity {
        Severity::Critical => title.verb("and none finishes", "and none finished"),
        _ => title,
    };
    let title = title.so_many(queued, "call", ["queues", "queue", "queued"]);
    let mut lines: Vec<_> = pool
        .jobs
        .iter()
        .take(words::MAX_NAMED)
        .map(|job| job_line(context, "runs ", job).role(Role::Runs))
        .collect();
    if let Some(others) = pool.jobs.len().checked_sub(words::MAX_NAMED).filter(|more| *more > 0) {
        lines.push(format!("and {others} more").into());
    }
    if let Some(gap) = context.gap.filter(|_| severity == Severity::Info) {
        let before = pool.id.and_then(|id| pool_before(context, id));
        let is_moving = |job: &&Job| stands_for(context, before, job).is_none();
        let moving = pool.jobs.iter().filter(is_moving).count();
        let gap = words::span(gap);
        lines.push(format!("{moving} of {workers} threads have run in the last {gap}").into());
    }
    lines.extend(words::lines(tasks.iter().copied(), words::wait_line));
    if lines.is_empty() {
        lines.push(format!("{queued} in the queue of {workers} threads").into());
    }
    let nodes = pool.id.map(Node::Executor).into_iter();
    let loop_id = tasks.first().and_then(|task| task.loop_id);
    Draft::new(Code::ExecutorSaturated, severity, Sureness::Read, title)
        .on_loop(loop_id)
        .blames(nodes.chain(threads.iter().map(|tid| Node::Thread(*tid))))
        .affects(tasks.len().max(queued))
        .at(most.and_then(|job| place_of(context, job)), None)
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
        .advice(match pool.limiter {
            None => {
                "Give the calls a time limit of their own, give slow ones a pool of their own \
                 (`loop.run_in_executor(pool, …)`), or give this one more threads."
            }
            Some(_) => {
                "Give the calls a time limit of their own, give slow ones a limiter of their own \
                 (`to_thread.run_sync(…, limiter=…)`), or give this one more tokens."
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Scene, pool, task, thread};
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

    #[test]
    fn a_pool_with_an_idle_thread_or_no_queue_is_healthy() {
        let idle = full(3).and(|snapshot| snapshot.executors[0].idle = Some(1));
        assert!(idle.once().findings.is_empty());
        assert!(full(0).once().findings.is_empty());
        let worked_off = full(0).after(&full(5).before());
        assert!(!worked_off.codes().contains(&Code::ExecutorSaturated));
    }
}
