//! `shutdown-stuck`: the process is on its way out and something holds it.
//!
//! What a stage waits for is often no more than a victim itself: the task of a connection waits
//! for the handler of its request. So the ways from there are followed to the tasks that wait for
//! no other one; those are named first.

use rustc_hash::FxHashSet;

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Is, Rule};
use super::{Context, is_limited, outlook, words};
use crate::known::{Purpose, name};
use crate::memory::Address;
use crate::snapshot::{
    Code, Evidence, Frame, Operation, Pending, Role, Sentence, Shutdown, Stage, Sureness, Task,
    Thread,
};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::ShutdownStuck,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[Follows::Loop, Follows::Culprit, Follows::Reach],
    confirmed_by: Confirmed::Stage,
    is: &[Is::Passing],
};

/// How many threads are shown with their whole stack.
const MAX_STACKS: usize = 3;

fn find(context: &Context<'_>, out: &mut Drafts) {
    let Some(shutdown) = &context.now.shutdown else { return };
    if context.gap.is_none() {
        out.want_second_look();
    } else if !has_lasted(context, shutdown) {
        return;
    }
    let draft = report(context, out, shutdown);
    out.add(draft);
}

/// Whether what it waits for was waited for at the first look.
fn has_lasted(context: &Context<'_>, now: &Shutdown) -> bool {
    let first = context.looks.first.and_then(|first| first.shutdown.as_ref());
    first.is_some_and(|before| {
        let is_same = before.stage == now.stage && before.loop_id == now.loop_id;
        let says_nothing = before.tasks.is_empty() && before.threads.is_empty();
        let has_task = now.tasks.iter().any(|id| before.tasks.contains(id));
        let has_thread = now.threads.iter().any(|tid| before.threads.contains(tid));
        is_same && (has_task || has_thread || says_nothing)
    })
}

fn report(context: &Context<'_>, out: &Drafts, shutdown: &Shutdown) -> Draft {
    let tasks: Vec<&Task> = shutdown.tasks.iter().filter_map(|id| context.task(*id)).collect();
    let threads: Vec<&Thread> =
        shutdown.threads.iter().filter_map(|tid| context.thread(*tid)).collect();
    let culprits = culprits(context, shutdown, &tasks);
    let is_victim = |task: &&Task| culprits.iter().all(|culprit| culprit.id != task.id);
    let victims: Vec<&Task> = tasks.iter().copied().filter(is_victim).collect();
    let outlook = outlook::of_stage(context, out, shutdown, &culprits, &threads);
    let by = &shutdown.by;
    // A request that will be done after a while needs no more time than that.
    let is_in_time = !culprits.is_empty() && culprits.iter().all(|task| is_limited(task));
    let may_hang = shutdown.stage == Stage::Graceful && !outlook.is_limited && !is_in_time;
    let pending = may_hang.then(|| Pending {
        what: format!("{by} has not stopped yet"),
        seen_for: outlook.since.map(|age| age.time).unwrap_or_default(),
    });
    let stage = shutdown.stage.as_str();
    let (what, plural) = match shutdown.stage {
        Stage::Graceful => {
            let otherwise = match shutdown.connections() {
                Some(1) => "1 connection",
                _ if by.ends_with("pool") => "connections that were not given back",
                _ => "connections and requests",
            };
            held_by(&culprits, &threads, otherwise, tasks.len())
        }
        Stage::CancelAll => held_by(&culprits, &[], "tasks", tasks.len()),
        Stage::Asyncgens => match generators(context, shutdown).count() {
            0 => ("asynchronous generators".to_owned(), true),
            open => (words::count(open, "asynchronous generator"), open > 1),
        },
        Stage::DefaultExecutor => held_by(&[], &threads, "threads", 0),
        Stage::InterpreterThreads => held_by(&[], &threads, "threads that are no daemons", 0),
    };
    let has = match (outlook.since, plural) {
        (Some(_), true) => "have held",
        (Some(_), false) => "has held",
        (None, true) => "hold",
        (None, false) => "holds",
    };
    let title = Sentence::name(what).verb(has, "held").then(match shutdown.stage {
        Stage::Graceful => format!("the stop of {by}"),
        _ => format!("the shutdown in stage {stage}"),
    });
    let title = match outlook.since {
        Some(_) => title.then("for").lasting(outlook.since),
        None => title,
    };
    let mut lines = vec![Evidence::from(format!("the stage is {}", shutdown.stage.as_str()))];
    lines.extend(
        shutdown.frame.as_ref().map(|frame| Evidence::from("it waits").at(Some(&frame.location))),
    );
    lines.extend(shutdown.connections().map(|open| {
        let is = if open == 1 { "is" } else { "are" };
        let open = usize::try_from(open).unwrap_or(usize::MAX);
        Evidence::from(format!("{} {is} still open", words::count(open, "connection")))
    }));
    let in_part = |role| move |task: &Task| words::wait_line(task).role(role);
    lines.extend(words::lines(culprits.iter().copied(), in_part(Role::Culprit)));
    lines.extend(heard_last(&culprits));
    lines.extend(words::lines(victims.iter().copied(), in_part(Role::Waiter)));
    for (at, thread) in threads.iter().take(words::MAX_NAMED).enumerate() {
        lines.push(words::thread_line(thread));
        if at < MAX_STACKS {
            lines.extend(words::stack(&thread.frames));
        }
    }
    if let Some(others) = threads.len().checked_sub(words::MAX_NAMED).filter(|more| *more > 0) {
        lines.push(format!("and {} more", words::count(others, "thread")).into());
    }
    if shutdown.stage == Stage::Asyncgens {
        lines.extend(generators(context, shutdown).take(words::MAX_NAMED).map(|open| {
            Evidence::from(format!("{} is open", open.name)).at(open.place.as_deref())
        }));
    }
    if lines.len() == 1 {
        lines.push("what it waits for was not found".into());
    }
    lines.extend(outlook.lines);
    let of_threads = threads.first().and_then(|thread| words::own_frame(&thread.frames));
    let of_threads = of_threads.map(|frame| &*frame.location);
    let of_generators = || closing(context, shutdown).find_map(|open| open.place.as_deref());
    let place = culprits.first().and_then(|task| words::place(task));
    let place = place.or(of_threads).or_else(of_generators);
    Draft::new(Code::ShutdownStuck, outlook.severity, Sureness::Read, title)
        .on_loop(shutdown.loop_id)
        .blames(culprits.iter().chain(&victims).map(|task| Node::Task(task.id)))
        .blames(shutdown.threads.iter().map(|tid| Node::Thread(*tid)))
        .blames(closing(context, shutdown).map(|open| Node::Object(open.id)))
        .affects(tasks.len().max(culprits.len()) + threads.len())
        .at(place, None)
        .key([Some(shutdown.stage.as_str()), place.map(words::owner).as_deref()])
        .since(outlook.since)
        .pending(pending)
        .role(Role::Culprit, culprits)
        .role(Role::Waiter, victims)
        .evidence(lines)
        .advice(advice(shutdown))
}

/// When the far ends that some tasks read from last sent something.
fn heard_last(tasks: &[&Task]) -> Vec<Evidence> {
    let heard = |task: &&Task| {
        let waiting = task.waiting_on.as_deref()?;
        let socket = waiting.socket().filter(|_| waiting.operation() == Some(Operation::Read))?;
        let (peer, ago) = (socket.far_end()?, socket.tcp.as_ref()?.last_received?);
        Some(Evidence::from(format!("{peer} last sent something {} ago", words::span(ago))))
    };
    tasks.iter().take(MAX_STACKS).filter_map(heard).collect()
}

/// The tasks that in the end hold the stage: those that what it waits for leads to, and those on
/// the way there that are in the program's own code and have children to wait for later on.
fn culprits<'s>(context: &Context<'s>, shutdown: &Shutdown, tasks: &[&'s Task]) -> Vec<&'s Task> {
    let starts = match shutdown.task.filter(|_| tasks.is_empty()) {
        Some(stopping) if runs_own_code(context, shutdown, stopping) => &vec![stopping],
        _ => &shutdown.tasks,
    };
    let mut ends = context.graph.ends(starts, shutdown.children());
    let parents: FxHashSet<Address> = shutdown.children().iter().map(|(task, _)| *task).collect();
    // Nothing tells whether it is such a task or its children that hold it, unless it is a server's
    // or a library's, which does no more than to read on from its connection.
    let known: FxHashSet<Address> = ends.iter().map(|task| task.id).collect();
    let is_own = |task: &&Task| {
        parents.contains(&task.id) && !known.contains(&task.id) && is_in_own_body(context, task)
    };
    // The innermost first: what holds it is more often there.
    let between = outlook::awaited(context, shutdown).into_iter().rev();
    ends.extend(between.filter_map(|id| context.task(id)).filter(is_own));
    // A framework has tasks of its own beside a handler, which end when that does.
    let is_of_program = |task: &&Task| task.frames.iter().any(|it| !it.location.is_library());
    if ends.iter().any(is_of_program) {
        ends.retain(is_of_program);
    }
    // In a circle each is as much to blame as the next.
    if ends.is_empty() { tasks.to_vec() } else { ends }
}

/// Whether a server's stop waits in code of the program that it calls: a handler of its shutdown.
fn runs_own_code(context: &Context<'_>, shutdown: &Shutdown, stopping: Address) -> bool {
    let frames = context.task(stopping).map(|task| &task.frames[..]).unwrap_or_default();
    let server = shutdown.frame.as_ref().map(|frame| &frame.location);
    let mut inner = frames.iter().rev().take_while(|frame| Some(&frame.location) != server);
    server.is_some() && inner.any(|frame| !frame.location.is_library())
}

/// Whether a task is in code of the program, waits for no other task and leaves no block.
fn is_in_own_body(context: &Context<'_>, task: &Task) -> bool {
    let awaits_child = |frame: &Frame| {
        name::leaves_block(&frame.location.function)
            || frame.location.purpose() == Some(Purpose::CallsNext)
    };
    task.frames.iter().any(|frame| !frame.location.is_library())
        && !task.frames.iter().any(awaits_child)
        && context.graph.ends(&[task.id], &[]).iter().any(|end| end.id == task.id)
}

fn generators<'c>(
    context: &'c Context<'_>,
    shutdown: &'c Shutdown,
) -> impl Iterator<Item = &'c crate::snapshot::OpenGenerator> {
    let is_here = |loop_id| shutdown.loop_id.is_none() || loop_id == shutdown.loop_id;
    context.now.open_generators().iter().filter(move |open| is_here(open.loop_id))
}

/// The generators that it waits for.
fn closing<'c>(
    context: &'c Context<'_>,
    shutdown: &'c Shutdown,
) -> impl Iterator<Item = &'c crate::snapshot::OpenGenerator> {
    let is_at_them = shutdown.stage == Stage::Asyncgens;
    generators(context, shutdown).filter(move |_| is_at_them)
}

/// What is waited for: who holds it by name, or how many there are of `all`; and whether they are
/// several.
fn held_by(tasks: &[&Task], threads: &[&Thread], otherwise: &str, all: usize) -> (String, bool) {
    match (tasks, threads) {
        ([], []) => (otherwise.to_owned(), otherwise != "1 connection"),
        ([], [thread]) => (
            thread.name.as_deref().map_or("a thread".to_owned(), |name| format!("thread {name}")),
            false,
        ),
        ([], many) => (words::count(many.len(), "thread"), true),
        ([task], _) => (words::work(task), false),
        (many, _) => {
            let mut works: Vec<String> = many.iter().map(|task| words::work(task)).collect();
            works.dedup();
            let tasks = words::count(many.len().max(all), "task");
            match &works[..] {
                [work] => (format!("{tasks} in {work}"), true),
                [first, second] if many.len() == 2 => (format!("{first} and {second}"), true),
                _ => (tasks, true),
            }
        }
    }
}

/// Whether a server waits for no connection any longer, but for its application to end.
fn ends_application(shutdown: &Shutdown) -> bool {
    let purpose = shutdown.frame.as_ref().and_then(|frame| frame.location.purpose());
    matches!(purpose, Some(Purpose::EndsApplication | Purpose::CleansUp | Purpose::StartsOrEnds(_)))
}

fn advice(shutdown: &Shutdown) -> &'static str {
    match shutdown.stage {
        Stage::Graceful if shutdown.by == "asyncio.Server" => {
            "Close the connections that are left (`Server.close_clients()` from Python 3.13 on), \
             or give `wait_closed()` a time limit with `asyncio.wait_for`."
        }
        Stage::Graceful if shutdown.by.ends_with("pool") => {
            "Give each connection back (`async with pool.acquire()`), end the tasks that have one \
             before the pool is closed, and give its `close()` a time limit."
        }
        Stage::Graceful if ends_application(shutdown) => {
            "Give what the application waits for at its end (lifespan after the `yield`, \
             `on_cleanup`) a time limit."
        }
        Stage::Graceful => {
            "Let endless responses end when the server stops, and give the stop a time limit \
             (uvicorn: `--timeout-graceful-shutdown`)."
        }
        Stage::CancelAll => {
            "Each task has to end when `CancelledError` is thrown into it: let the exception pass, \
             and do not wait without a limit while cleaning up."
        }
        Stage::Asyncgens => {
            "An asynchronous generator has to end when it is closed: do not wait without a limit \
             in its `finally`, and close it with `contextlib.aclosing` where it is used."
        }
        Stage::DefaultExecutor => {
            "A call in a thread cannot be cancelled: give it a time limit of its own, or a flag \
             to stop that it checks."
        }
        Stage::InterpreterThreads => {
            "Make these threads stop before the program ends, or start them with `daemon=True`."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Address;
    use crate::snapshot::Severity;
    use crate::timeline::{Lives, Looks};
    use std::time::Duration;

    use crate::diagnose::tests::{GAP, LOOP, Scene, frame, ids, library_frame, pool, task, thread};
    use crate::diagnose::{Diagnosis, diagnose};

    fn at(stage: Stage, tasks: &[u64], threads: &[i32]) -> Scene {
        let shutdown = Shutdown {
            stage,
            by: "asyncio.run".to_owned(),
            loop_id: Some(LOOP),
            task: None,
            frame: None,
            tasks: ids(tasks),
            threads: threads.to_vec(),
            grounds: None,
        };
        Scene::new().and(|snapshot| {
            snapshot.shutdown = Some(shutdown);
            snapshot.threads.extend(threads.iter().map(|tid| thread(*tid, &["fetch", "recv"])));
        })
    }

    #[test]
    fn a_server_that_waits_for_an_endless_response() {
        let scene = |task| {
            at(Stage::Graceful, &[1], &[]).with([task]).and(|snapshot| {
                snapshot.shutdown.as_mut().unwrap().grounds.get_or_insert_default().endless =
                    ids(&[1]);
            })
        };
        let endless = scene(task(1).sleeps(1000));
        for diagnosis in [endless.once(), endless.twice()] {
            let finding = diagnosis.only();
            assert_eq!(finding.severity, Severity::Critical);
            assert!(finding.title.to_string().contains("the stop of asyncio.run"), "{finding:#?}");
            assert_eq!(finding.because_of, None);
        }
        // Its client may leave, the server ends a websocket, and a limit ends all.
        scene(task(1).reads_socket()).twice().assert_no_warning();
        scene(task(1).sleeps(1000).deadline(30_000)).twice().assert_no_warning();
        let websocket = task(1).sleeps(1000).and(|task| {
            task.frames.insert(0, library_frame("WebSocketProtocol.run_asgi"));
        });
        scene(websocket).twice().assert_no_warning();
        let stopping = task(2).awaits(&[1]).deadline(30_000);
        let limited = endless.and(|snapshot| {
            snapshot.shutdown.as_mut().unwrap().task = Some(Address(2));
            snapshot.tasks.push(stopping.task);
        });
        limited.twice().assert_no_warning();
    }

    #[test]
    fn whether_a_stop_hangs_is_undecided_while_nothing_says_when_it_ends() {
        let scene = |task| at(Stage::Graceful, &[1], &[]).with([task]).twice();
        let pending = |diagnosis: Diagnosis| diagnosis.only().pending.clone();
        let stops = pending(scene(task(1).at_event())).unwrap();
        assert_eq!((&*stops.what, stops.seen_for), ("asyncio.run has not stopped yet", GAP));
        assert_eq!(pending(scene(task(1).sleeps(3000))), None);
        assert_eq!(pending(scene(task(1).at_event().deadline(30_000))), None);
    }

    #[test]
    fn a_request_that_is_under_way_is_healthy_until_it_has_lasted() {
        for stage in [Stage::Graceful, Stage::CancelAll, Stage::Asyncgens] {
            let scene = at(stage, &[1], &[]).with([task(1).sleeps(1000).handling()]);
            scene.once().assert_no_warning();
            scene.twice().assert_no_warning();
            let old = scene.clone().and(|snapshot| {
                snapshot.loops[0].idle_for = Some(Duration::from_secs(31));
            });
            let twice = old.twice();
            let finding = twice.of(Code::ShutdownStuck);
            assert_eq!(finding.severity, Severity::Warning);
            let line = "it has lasted for at least 31.0 s";
            assert!(finding.facts().iter().any(|it| it == line), "{finding:#?}");
            // The server itself says so.
            let old = scene.clone().and(|snapshot| {
                snapshot.shutdown.as_mut().unwrap().grounds.get_or_insert_default().lasted =
                    Some(Duration::from_secs(6));
            });
            assert_eq!(old.twice().of(Code::ShutdownStuck).severity, Severity::Warning);
            // It was seen for so long, while the loop went round.
            let mut lives = Lives::default();
            let mut first = scene.clone();
            for _ in 0..30 {
                first.snapshot.later(Duration::from_millis(200));
                lives.take(&first.snapshot);
            }
            let mut last = first.clone().turned();
            last.snapshot.later(Duration::from_millis(200));
            lives.take(&last.snapshot);
            let first = Some(&first.snapshot);
            let seen = diagnose(Looks { first, last: &last.snapshot, lives: Some(&lives) });
            assert_eq!(seen.of(Code::ShutdownStuck).severity, Severity::Warning);
        }
    }

    #[test]
    fn parents_in_between_are_culprits_as_well() {
        // A connection of the server, a handler with a group of its own, and a child of that.
        let connection = task(1).reads_socket().and(|task| {
            task.frames = vec![library_frame("StreamReader.read")];
        });
        let tasks = [connection, task(2).reads_socket(), task(3).sleeps(1000)];
        let scene = at(Stage::Graceful, &[1], &[]).with(tasks).and(|snapshot| {
            let stage = snapshot.shutdown.as_mut().unwrap();
            stage.grounds.get_or_insert_default().children =
                vec![(Address(1), Address(2)), (Address(2), Address(3))];
        });
        let twice = scene.twice();
        assert_eq!(twice.only().tasks, ids(&[3, 2, 1]));
        assert!(twice.only().title.to_string().starts_with("t3 and t2 have held"));
    }

    #[test]
    fn the_handler_is_named_before_the_connection_that_waits_for_it() {
        let scene =
            at(Stage::Graceful, &[1], &[]).with([task(1).awaits(&[2]), task(2).sleeps(1000)]);
        let twice = scene.twice();
        let finding = twice.only();
        assert_eq!(finding.tasks, ids(&[2, 1]));
        assert_eq!(finding.title.to_string(), "t2 has held the stop of asyncio.run for ≥ 200 ms");
        let lines = [1, 2].map(|at| finding.facts()[at].split(' ').next().unwrap().to_owned());
        assert_eq!(lines, ["\"t2\"", "\"t1\""]);
        let circle =
            at(Stage::Graceful, &[1], &[]).with([task(1).awaits(&[2]), task(2).awaits(&[1])]);
        assert_eq!(circle.twice().of(Code::ShutdownStuck).tasks, ids(&[1]));
    }

    #[test]
    fn children_of_a_group_hold_the_connection_whose_body_reads_on() {
        let connection = |of_library: bool| {
            task(1).reads_socket().and(|task| {
                if of_library {
                    task.frames = vec![library_frame("StreamReader.read")];
                }
            })
        };
        let scene = |connection| {
            at(Stage::Graceful, &[1], &[]).with([connection, task(2).sleeps(1000)]).and(
                |snapshot| {
                    let stage = snapshot.shutdown.as_mut().unwrap();
                    stage.grounds.get_or_insert_default().children = vec![(Address(1), Address(2))];
                },
            )
        };
        let twice = scene(connection(true)).twice();
        assert_eq!(twice.only().tasks, ids(&[2, 1]));
        assert!(twice.only().title.to_string().starts_with("t2 has held"));
        // What is done in the body may as well be what does not end.
        let twice = scene(connection(false)).twice();
        assert!(twice.only().title.to_string().starts_with("t2 and t1 have held"));
    }

    #[test]
    fn tasks_of_a_framework_beside_a_handler_are_no_culprits() {
        let helper = |number| {
            task(number).at_event().and(|task| task.frames = vec![library_frame("Event.wait")])
        };
        let requests = [1, 2, 3, 4];
        let tasks = requests.iter().flat_map(|&at| [task(at).at_event(), helper(at + 10)]);
        let scene = at(Stage::Graceful, &requests, &[]).with(tasks).and(|snapshot| {
            let children = requests.map(|at| (Address(at), Address(at + 10)));
            snapshot.shutdown.as_mut().unwrap().grounds.get_or_insert_default().children =
                children.to_vec();
        });
        let twice = scene.twice();
        let finding = twice.of(Code::ShutdownStuck);
        assert_eq!(finding.tasks, ids(&[4, 3, 2, 1]));
        // As many as the stage waits for.
        assert!(
            finding.title.to_string().starts_with("4 tasks have held the stop of"),
            "{}",
            finding.title
        );
    }

    #[test]
    fn a_middleware_that_waits_for_the_endpoint_is_no_culprit() {
        let middleware = |number: u64| {
            task(number).at_event().and(|task| {
                let file = "/venv/lib/python3.12/site-packages/starlette/middleware/base.py";
                let location = crate::snapshot::Location::by_path(
                    "BaseHTTPMiddleware.__call__.<locals>.call_next".into(),
                    file.into(),
                    Some(78),
                );
                let call_next = Frame { location: std::sync::Arc::new(location), locals: None };
                task.frames = vec![library_frame("run_asgi"), frame("audit", 18), call_next];
            })
        };
        let endpoint = |number: u64| {
            task(number).at_event().and(|task| {
                task.name = Some(format!("Task-{number}").into());
                task.frames = vec![library_frame("coro"), frame("orders", 19)];
            })
        };
        let requests = [1, 2, 3];
        let tasks = requests.iter().flat_map(|&at| [middleware(at), endpoint(at + 10)]);
        let scene = at(Stage::Graceful, &requests, &[]).with(tasks).and(|snapshot| {
            let children = requests.map(|at| (Address(at), Address(at + 10)));
            snapshot.shutdown.as_mut().unwrap().grounds.get_or_insert_default().children =
                children.to_vec();
        });
        let twice = scene.twice();
        let finding = twice.of(Code::ShutdownStuck);
        let title = finding.title.to_string();
        assert!(title.starts_with("3 tasks in orders have held the stop of"), "{title}");
        assert_eq!(finding.place.as_ref().unwrap().line, Some(19));
        assert_eq!(finding.tasks, ids(&[11, 12, 13, 1, 2, 3]));
    }

    #[test]
    fn a_handler_of_the_shutdown_that_does_not_end_is_the_culprit() {
        let scene = |inner: crate::snapshot::Frame| {
            let stopping = task(1).awaits(&[2]).and(|task| {
                task.frames = vec![library_frame("run"), library_frame("cleanup"), inner];
            });
            at(Stage::Graceful, &[], &[]).with([stopping, task(2).reads_socket()]).and(|snapshot| {
                let stage = snapshot.shutdown.as_mut().unwrap();
                stage.task = Some(Address(1));
                stage.frame = Some(library_frame("cleanup"));
            })
        };
        let twice = scene(frame("on_shutdown", 30)).twice();
        assert_eq!(twice.only().tasks, ids(&[2]));
        let twice = scene(library_frame("sleep")).twice();
        assert!(twice.only().tasks.is_empty());
        assert!(
            twice
                .only()
                .title
                .to_string()
                .starts_with("connections and requests have held the stop of")
        );
    }

    #[test]
    fn a_shutdown_that_comes_on_is_healthy() {
        let first = at(Stage::CancelAll, &[1], &[]).with([task(1).sleeps(10).handling()]).before();
        assert!(first.once().wants_second_look);
        at(Stage::DefaultExecutor, &[], &[]).turned().after(&first).assert_silent();
        let next = at(Stage::CancelAll, &[2], &[]).with([task(2).sleeps(10).handling()]).turned();
        next.after(&first).assert_no_warning();
    }

    #[test]
    fn a_job_that_does_not_end_is_the_culprit() {
        let scene = at(Stage::DefaultExecutor, &[], &[200]).and(|snapshot| {
            snapshot.loops[0].executor = Some(pool(4, 0, &[200]));
        });
        scene.twice().assert_no_warning();
        let old = scene.and(|snapshot| snapshot.loops[0].idle_for = Some(Duration::from_secs(6)));
        let diagnosis = old.twice();
        assert_eq!(diagnosis.codes(), [Code::ExecutorJobStuck, Code::ShutdownStuck]);
        let finding = diagnosis.of(Code::ShutdownStuck);
        assert!(
            finding
                .title
                .to_string()
                .contains("thread thread_200 has held the shutdown in stage default-executor"),
            "{}",
            finding.title
        );
        assert_eq!(diagnosis.cause_of(finding), Some(Code::ExecutorJobStuck));
    }

    #[test]
    fn threads_that_hold_the_interpreter_are_shown() {
        let finding = at(Stage::InterpreterThreads, &[], &[200, 201]).twice();
        let finding = finding.of(Code::ShutdownStuck);
        assert!(finding.facts().iter().any(|line| line.contains("in recv")), "{finding:#?}");
    }
}
