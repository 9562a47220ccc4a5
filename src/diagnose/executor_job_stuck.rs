//! `executor-job-stuck`: a task waits for one call in a thread or process that does not end.
//!
//! A call that takes a while is what threads are for: one that has stood for less than
//! [`STUCK_AFTER`], as far as can be told, makes no more than a note. So does one that computes,
//! waits for the next item of a queue, for an event, for a connection or for somebody to type, or has
//! a time limit around it.
//!
//! The thread may be of no pool: anyio's, aiosqlite's, or one that a program has for such calls.
//! A call of `SQLite` that sleeps waits until another connection gives up its lock on the database:
//! it looks after that every 100 ms, so such a thread runs now and then and is stuck all the same.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::draft::{Draft, Drafts};
use super::executor_saturated::{
    fork_advice, has_not_moved, hopeless_lines, is_hopeless, job_line, pool_before, pool_name,
    runner, stands_still, waiters,
};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::words::WAIT;
use super::{Context, STUCK_AFTER, grouped, outlook, severity_of, words};
use crate::known::{Module, is_of_sqlite, name};
use crate::memory::Address;
use crate::snapshot::{
    Age, Cause, Code, Evidence, Executor, Frame, Job, Location, Pending, Role, Sentence, Severity,
    Source, Stage, Sureness, Syscall, Task, Thread, ThreadState, Waiting,
};
use crate::timeline::same_places;

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
    /// Whose call it is; `None` where the thread is of no pool.
    pool: Option<&'c Executor>,
    task: Option<&'c Task>,
    job: Cow<'c, Job>,
    severity: Severity,
    /// Whether it makes a warning if it goes on like this.
    is_pending: bool,
}

fn find(context: &Context<'_>, out: &mut Drafts) {
    let pools = context.now.pools();
    let jobs = || pools.iter().flat_map(|pool| pool.jobs.iter().map(move |job| (*pool, job)));
    let by_thread: FxHashMap<i32, (&Executor, &Job)> =
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
            let job = Cow::Borrowed(job);
            found.push(Stuck { pool: Some(pool), task: None, job, severity, is_pending: false });
        }
    }
    let is_told: Vec<_> = found.iter().filter_map(|stuck| stuck.job.thread).collect();
    let mut by_task: FxHashMap<Address, (&Executor, &Job)> =
        jobs().filter_map(|(pool, job)| Some((job.process.and(job.task)?, (pool, job)))).collect();
    // Which of several a thread waits for that has handed them in is not known: the worst one.
    let unknown = jobs().filter(|(_, job)| job.process.is_some() && job.task.is_none());
    let (worst, others): (Vec<_>, Vec<_>) =
        unknown.partition(|(pool, job)| is_hopeless(Some(pool), job));
    for (pool, job) in worst.into_iter().chain(others) {
        for task in waiters(context, pool) {
            by_task.entry(task.id).or_insert((pool, job));
        }
    }
    for &task in &context.offloading {
        let waiting = task.waiting_on.as_deref().filter(|it| it.position().at.is_none());
        let tid = waiting.and_then(Waiting::thread);
        let by_thread = || by_thread.get(&tid?).copied();
        let pooled = by_task.get(&task.id).copied().or_else(by_thread);
        let (pool, job) = match (pooled, tid) {
            (Some((pool, job)), _) => (Some(pool), Cow::Borrowed(job)),
            // The call of a pool has just ended.
            (None, Some(_)) if waiting.is_some_and(|it| it.object.is_some()) => continue,
            (None, Some(tid)) => (None, Cow::Owned(of_no_pool(task, tid))),
            (None, None) => continue,
        };
        let node = job.thread.map(Node::Thread).or_else(|| pool?.id.map(Node::Executor));
        // A thread that waits for a pool of processes is no more than the way there.
        let thread = job.thread.and_then(|tid| context.thread(tid)?.waiting_on.as_deref());
        let beyond = thread.and_then(|waiting| waiting.object).map(Node::Executor);
        let is_told = job.thread.is_some_and(|tid| is_told.contains(&tid))
            || beyond.is_some_and(|node| out.blames(Code::ExecutorSaturated, node))
            || node.is_some_and(|node| out.blames(Code::ExecutorSaturated, node));
        if is_told {
            continue;
        }
        if context.gap.is_none() {
            out.want_second_look();
        } else if context.pairs.has_not_moved(task)
            && match pool {
                Some(pool) => has_stayed(context, pool, &job),
                None => thread_has_stayed(context, &job),
            }
        {
            let is_pending = !may_last(context, task, pool, &job);
            let severity =
                if is_pending { severity(context, task, pool, &job) } else { Severity::Info };
            found.push(Stuck { pool, task: Some(task), job, severity, is_pending });
        }
    }
    let shape = |stuck: &Stuck<'_>| {
        let line = place(context, stuck).map(|at| (at.file.clone(), at.line));
        (stuck.job.function.clone(), line, stuck.severity)
    };
    for group in grouped(found, shape) {
        out.extend(report(context, &group));
    }
}

/// The call of a thread that is of no pool, for which a task waits.
fn of_no_pool(task: &Task, tid: i32) -> Job {
    let function = task.waiting_on.as_deref().and_then(Waiting::function);
    Job {
        function: function.map(str::to_owned),
        thread: Some(tid),
        task: Some(task.id),
        id: task.fut_waiter.unwrap_or_default(),
        ..Job::default()
    }
}

/// The line of the program where the call is, or from where it was made: a function written in C
/// has none in its thread.
fn place<'a>(context: &'a Context<'_>, stuck: &Stuck<'a>) -> Option<&'a Location> {
    let thread = runner(context.now, stuck.pool, &stuck.job);
    let inside = thread.and_then(|thread| words::own_frame(&thread.frames));
    let inside = inside.map(|frame| &*frame.location);
    let outside = stuck.task.and_then(words::place);
    let mut both = inside.into_iter().chain(outside);
    both.find(|location| !location.is_library()).or(inside)
}

/// How many more threads of the pool are in the same call, whose tasks were cancelled meanwhile.
fn abandoned(context: &Context<'_>, first: &Stuck<'_>) -> usize {
    let call = |job: &Job| {
        let thread = context.thread(job.thread?)?;
        Some((job.function.clone(), thread.syscall.as_ref()?.name.clone()))
    };
    let is_same = |job: &&Job| {
        job.task.is_none()
            && call(job).is_some()
            && call(job) == call(&first.job)
            && job.id != first.job.id
    };
    first.pool.map_or(0, |pool| pool.jobs.iter().filter(is_same).count())
}

fn has_stayed(context: &Context<'_>, pool: &Executor, job: &Job) -> bool {
    let before = pool.id.and_then(|id| pool_before(context, id));
    before.is_some_and(|before| has_not_moved(context, before, pool, job))
}

/// The same of a thread of no pool: that the task waits for the same future tells that the call is
/// the same.
fn thread_has_stayed(context: &Context<'_>, job: &Job) -> bool {
    let Some(tid) = job.thread else { return false };
    let threads = context.looks.thread_before(tid).zip(context.thread(tid));
    threads.is_some_and(|(before, now)| {
        stands_still(before, now)
            || waits_for_database(context, job) && same_places(&before.frames, &now.frames)
    })
}

/// Whether a call waits for a lock on a database of `SQLite`: at one of both looks, as at the other one
/// it may be looking whether the lock is free.
fn waits_for_database(context: &Context<'_>, job: &Job) -> bool {
    let sleeps = |thread: &Thread| {
        let call = thread.syscall.as_ref().map(|call| &*call.name);
        matches!(call, Some("clock_nanosleep" | "nanosleep"))
    };
    let Some(tid) = job.thread else { return false };
    let looks = [context.looks.thread_before(tid), context.thread(tid)];
    job.function.as_deref().is_some_and(is_of_sqlite) && looks.into_iter().flatten().any(sleeps)
}

/// Whether it is to be expected that the call takes its time, or it ends by itself.
fn may_last(context: &Context<'_>, task: &Task, pool: Option<&Executor>, job: &Job) -> bool {
    let has_limit = task.waiting_on.as_deref().is_some_and(|waiting| !waiting.deadlines.is_empty());
    let may_last = |thread| {
        !waits_for_database(context, job) && is_working_or_idle(context, pool, job, thread)
    };
    let is_well = || runner(context.now, pool, job).is_none_or(may_last);
    has_limit || !is_hopeless(pool, job) && is_well()
}

/// How bad a call is that does not end by itself.
fn severity(context: &Context<'_>, task: &Task, pool: Option<&Executor>, job: &Job) -> Severity {
    if is_hopeless(pool, job) {
        return Severity::Warning;
    }
    let thread = runner(context.now, pool, job);
    match thread.filter(|_| !waits_for_database(context, job)).and_then(Thread::asleep_for) {
        // Whatever its task seems to do.
        Some(slept) if slept >= STUCK_AFTER => Severity::Warning,
        Some(_) => Severity::Info,
        None if context.stood_for(task) < STUCK_AFTER => Severity::Info,
        None => severity_of(context.stillness(task), Severity::Warning),
    }
}

/// Whether the thread computes, or waits for what may well be long in coming.
fn is_working_or_idle(
    context: &Context<'_>,
    pool: Option<&Executor>,
    job: &Job,
    thread: &Thread,
) -> bool {
    let pool_before = pool.and_then(|pool| pool_before(context, pool.id?));
    let before = context.looks.first.and_then(|first| runner(first, pool_before, job));
    let has_worked = before.is_some_and(|before| before.cpu_time < thread.cpu_time);
    let is_asleep =
        matches!(thread.state, Some(ThreadState::Sleeping | ThreadState::Uninterruptible));
    let is_at_queue = |frame: &Frame| match frame.location.module() {
        Some(Module::Queue | Module::ProcessQueues) => true,
        Some(Module::Threading) => name::waits_for_event(&frame.location.function),
        _ => false,
    };
    let at_queue = thread.frames.iter().any(is_at_queue)
        || thread.frames.last().is_some_and(|at| name::asks_terminal(&at.location.function));
    let takes_what_comes = thread.syscall.as_ref().is_some_and(takes_what_comes)
        || job.function.as_deref().is_some_and(name::takes_lines);
    has_worked || !is_asleep || at_queue || takes_what_comes
}

/// Whether a system call waits for somebody to type, to connect, or to write to one of several ends,
/// none of which is a connection that may owe an answer.
fn takes_what_comes(call: &Syscall) -> bool {
    let selects = matches!(&*call.name, "select" | "pselect6" | "poll" | "ppoll");
    let is_of_others = || call.peer.as_deref().is_some_and(|peer| !peer.starts_with("tcp"));
    call.fd == Some(0) || call.name.starts_with("accept") || selects && is_of_others()
}

fn report<'a>(context: &'a Context<'_>, group: &[Stuck<'a>]) -> Option<Draft> {
    let first = group.first()?;
    let Stuck { pool, task, job, severity, .. } = first;
    let pending = group.iter().filter(|stuck| stuck.is_pending).filter_map(|stuck| stuck.task);
    let stood = pending.clone().map(|task| context.stood_for(task)).max();
    let tasks = || group.iter().filter_map(|stuck| stuck.task);
    let function = job.function.as_deref().unwrap_or("a call");
    let thread = runner(context.now, *pool, job);
    let [runs_in, several] = match pool.and_then(|pool| pool.processes.as_ref()) {
        Some(_) => ["process", "processes"],
        None => ["thread", "threads"],
    };
    let place = place(context, first);
    let at = words::at_short(place);
    let at_database = waits_for_database(context, job);
    let slept = thread.filter(|_| !at_database).and_then(Thread::asleep_for);
    let pending = stood.map(|seen_for| {
        let what = format!("{} for {function} in a {runs_in}", words::who_waits(pending));
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
    let title = title(group, call, [runs_in, several], age);
    let lines = lines(context, group, at_database);
    let name = pool.and_then(pool_name);
    let hanging = tasks().map(|task| context.graph.waiting_for(Node::Task(task.id)).len());
    let affected = group.len() + hanging.sum::<usize>();
    let threads = group.iter().filter_map(|stuck| stuck.job.thread).map(Node::Thread);
    let advice =
        pool.and_then(fork_advice).map_or_else(|| advice(at_database, &at, runs_in), str::to_owned);
    Some(
        Draft::new(Code::ExecutorJobStuck, *severity, Sureness::Derived, title)
            .on_loop(tasks().find_map(|task| task.loop_id))
            .blames(tasks().map(|task| Node::Task(task.id)))
            .blames(threads)
            .at(place, None)
            .key([name.as_deref(), job.function.as_deref()])
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

/// `fetch (recvfrom 10.0.0.5:80) has held a pool thread for ≥ 10.0 s: t1 waits`
fn title(
    group: &[Stuck<'_>],
    call: String,
    [runs_in, several]: [&str; 2],
    age: Option<Age>,
) -> Sentence {
    let first = group.first();
    let kind = if first.is_some_and(|it| it.pool.is_some()) { "pool " } else { "" };
    let title = match group.len() {
        1 => Sentence::name(call).verb("has held", "held").then(format!("a {kind}{runs_in}")),
        many => {
            Sentence::name(call).verb("has held", "held").then(format!("{many} {kind}{several}"))
        }
    };
    let title = match age {
        Some(_) => title.then("for").lasting(age),
        None => title,
    };
    match (first.and_then(|it| it.task), group.len()) {
        (None, _) => title.so(Sentence::words("the shutdown").verb("waits", "waited")),
        (Some(task), 1) => title.so(Sentence::name(words::work(task)).verb("waits", "waited")),
        (Some(_), _) => {
            title.so_many(words::who(group.iter().filter_map(|stuck| stuck.task)), WAIT)
        }
    }
}

fn lines(context: &Context<'_>, group: &[Stuck<'_>], at_database: bool) -> Vec<Evidence> {
    let tasks = || group.iter().filter_map(|stuck| stuck.task);
    let pool = group.first().and_then(|first| first.pool);
    let thread = group.first().and_then(|first| runner(context.now, first.pool, &first.job));
    let jobs = group.iter().take(words::MAX_NAMED);
    let mut lines: Vec<_> = jobs
        .map(|stuck| job_line(context, "", stuck.pool, &stuck.job).role(Role::Culprit))
        .collect();
    if at_database {
        lines
            .push("SQLite waits until another connection releases its lock on the database".into());
    }
    let jobs = group.iter().map(|stuck| &*stuck.job);
    lines.extend(pool.iter().flat_map(|pool| hopeless_lines(pool, jobs.clone())));
    lines.extend(thread.and_then(words::native_line));
    lines.extend(thread.into_iter().flat_map(|thread| words::stack(&thread.frames)));
    lines.extend(words::lines(tasks(), words::wait_line));
    let abandoned = group.first().map_or(0, |first| abandoned(context, first));
    if abandoned > 0 {
        let threads = words::count(abandoned, "more thread");
        let are = if abandoned == 1 { "is" } else { "are" };
        lines.push(format!("{threads} {are} in it, for which no task waits any longer").into());
    }
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
    lines
}

fn advice(at_database: bool, at: &str, runs_in: &str) -> String {
    if at_database {
        return "End each transaction of SQLite that writes before anything else is awaited: until then \
                no other connection can write."
            .to_owned();
    }
    format!(
        "Give the call{at} a time limit of its own (a socket's `settimeout`, a client's \
         `timeout=`): cancelling the task that waits for it does not end the {runs_in}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, pool, process_pool, task, thread};
    use crate::snapshot::{Position, Syscall, Wait};

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
    fn a_thread_of_no_pool_counts_as_well() {
        let own =
            |number: u64| task(number).offloads(Some(200)).waiting(|waiting| waiting.object = None);
        let scene = offloading(own(1)).and(|snapshot| snapshot.executors.clear());
        let title = "fetch (recvfrom 10.0.0.5:80) has held a thread for ≥ 10.0 s: t1 waits";
        assert_eq!(scene.twice().only().title.to_string(), title);
        let ran = scene.clone().and(|snapshot| {
            snapshot.threads[1].grounds.as_mut().unwrap().sleep_id = Some(2);
        });
        ran.after(&scene.before()).assert_silent();
        // One that waits for the thread is not in a call.
        let queued = scene.with([own(2).waiting(|waiting| {
            if let Wait::Executor { position, .. } = &mut waiting.wait {
                *position = Position { at: Some(1), of: Some(1) };
            }
        })]);
        assert!(!queued.twice().only().facts().iter().any(|line| line.starts_with("\"t2\"")));
    }

    #[test]
    fn a_database_that_another_connection_has_locked() {
        let scene = |function: &str, call: &str| {
            let (function, call) = (function.to_owned(), call.to_owned());
            let waits = task(1).offloads(Some(200)).waiting(|waiting| {
                waiting.object = None;
                if let Wait::Executor { function: known, .. } = &mut waiting.wait {
                    *known = Some(function);
                }
            });
            offloading(waits).and(|snapshot| {
                snapshot.executors.clear();
                let syscall = Syscall { name: call, fd: None, peer: None };
                snapshot.threads[1].syscall = Some(syscall);
            })
        };
        // It wakes up now and then, and looks whether the lock is free.
        let ran = |scene: &Scene| {
            scene.clone().and(|snapshot| {
                snapshot.threads[1].grounds.as_mut().unwrap().sleep_id = Some(2);
            })
        };
        let busy = scene("sqlite3.Connection.execute", "clock_nanosleep");
        let diagnosis = ran(&busy).after(&busy.before());
        let finding = diagnosis.only();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.advice.contains("transaction"), "{}", finding.advice);
        // At the second look it looks.
        let looks = ran(&busy).and(|snapshot| snapshot.threads[1].syscall = None);
        let diagnosis = looks.after(&busy.before());
        assert_eq!(diagnosis.only().severity, Severity::Warning);
        for (function, call) in
            [("poll_orders", "clock_nanosleep"), ("sqlite3.Connection.execute", "fsync")]
        {
            let other = scene(function, call);
            ran(&other).after(&other.before()).assert_silent();
        }
    }

    #[test]
    fn a_call_without_a_frame_is_at_the_line_that_made_it() {
        let scene = offloading(task(1).offloads(Some(200))).and(|snapshot| {
            let library = crate::diagnose::tests::library_frame("_WorkItem.run");
            snapshot.threads[1].frames = vec![library];
            // One more, whose task was cancelled.
            let other = Thread { tid: Some(201), ..snapshot.threads[1].clone() };
            snapshot.threads.push(other);
            let job = Job {
                thread: Some(201),
                task: None,
                id: Address(0x99),
                ..snapshot.executors[0].jobs[0].clone()
            };
            snapshot.executors[0].jobs[0].task = Some(Address(1));
            snapshot.executors[0].jobs.push(job);
        });
        let twice = scene.twice();
        let finding = twice.only();
        let place = finding.place.as_ref().map(|place| (&*place.file, place.line));
        assert_eq!(place, Some(("/srv/app.py", Some(1))));
        let more = "1 more thread is in it, for which no task waits any longer";
        assert!(finding.facts().iter().any(|line| line == more), "{finding:#?}");
    }

    #[test]
    fn a_call_in_a_process() {
        let of = |slept| {
            Scene::new().with([task(1).offloads(None)]).and(|snapshot| {
                let mut pool = process_pool(0, &[400], slept);
                pool.jobs[0].task = Some(Address(1));
                snapshot.executors.push(pool);
                snapshot.loops[0].idle_for = Some(2 * STUCK_AFTER);
            })
        };
        let twice = of(STUCK_AFTER).twice();
        assert_eq!(twice.only().severity, Severity::Warning);
        let title = "fetch has held a pool process for ≥ 5.00 s: t1 waits";
        assert_eq!(twice.only().title.to_string(), title);
        let short = of(STUCK_AFTER / 10);
        short.twice().assert_no_warning();
        let process = |snapshot: &mut crate::snapshot::Snapshot| {
            snapshot.executors[0].processes.as_mut().unwrap().remove(0)
        };
        let forked = short.and(|snapshot| {
            let mut only = process(snapshot);
            (only.waits_for_nobody, only.is_forked) = (true, true);
            snapshot.executors[0].processes = Some(vec![only]);
        });
        let twice = forked.twice();
        assert_eq!(twice.only().severity, Severity::Warning);
        assert!(twice.only().advice.contains("forkserver"), "{}", twice.only().advice);
        let stopped = of(STUCK_AFTER / 10).and(|snapshot| {
            let mut only = process(snapshot);
            let thread = only.thread.as_mut().unwrap();
            (thread.state, thread.grounds) = (Some(ThreadState::Stopped), None);
            snapshot.executors[0].processes = Some(vec![only]);
        });
        let twice = stopped.twice();
        assert_eq!(twice.only().severity, Severity::Warning);
        let facts = twice.only().facts();
        assert!(facts.iter().any(|it| it.contains("process 400, stopped")), "{facts:?}");
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
