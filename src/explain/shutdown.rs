//! How far a process is on its way out, told by the frames of its threads and tasks.
//!
//! The later stage counts: `asyncio.run` has cancelled all tasks before it closes asynchronous
//! generators, and the interpreter waits for its threads last. A server's own graceful stop comes
//! before all of them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::asyncio::{FutureState, Reading, TaskFacts, ThreadReading, ThreadWait};
use crate::known::name;
use crate::known::purpose::{Left, Loop, Module, Purpose, Stop, Thread as ThreadPurpose, Wait};
use crate::memory::Address;
use crate::python::frame::{RawFrame, Stack};
use crate::python::object::{Kind, MAX_ITEMS, Reader};
use crate::snapshot::{Frame, Shutdown, ShutdownGrounds, Stage};

/// Children of groups that are listed; a server may have as many connections as it has
/// descriptors, and each of them a few.
const MAX_CHILDREN: usize = 1 << 18;
/// Tasks whose variables are looked at for a connection.
const MAX_HANDLERS: usize = 10_000;
/// Frames of each of them, from the outermost.
const MAX_OUTER: usize = 3;
/// `shutdown`
const MAX_CONCERN: usize = 16;
/// `Sun, 29 Nov 2026 12:18:59 GMT`
const MAX_DATE: u64 = 64;

/// Whether a frame of a function is there only when something stops.
fn is_of_end(purpose: Purpose) -> bool {
    matches!(
        purpose,
        Purpose::CancelsAll(_)
            | Purpose::Stops(_)
            | Purpose::EndsApplication
            | Purpose::Application
            | Purpose::StartsOrEnds(_)
            | Purpose::Loop(Loop::RunnerClose)
            | Purpose::Wait(Wait::Asyncgens | Wait::DefaultExecutor)
            | Purpose::Thread(
                ThreadPurpose::Shutdown | ThreadPurpose::PoolsExit | ThreadPurpose::PoolShutdown
            )
    )
}

/// What the function of a frame is for.
fn purpose(reader: &Reader<'_>, frame: &RawFrame) -> Option<Purpose> {
    reader.code(frame.code).ok()?.place.purpose()
}

/// The innermost frame on a stack whose function is for what is `wanted`.
fn find<'f>(
    reader: &Reader<'_>,
    frames: &'f [RawFrame],
    wanted: impl Fn(Purpose) -> bool,
) -> Option<(&'f RawFrame, Purpose)> {
    let mut frames = frames.iter().rev();
    frames
        .find_map(|frame| Some((frame, purpose(reader, frame).filter(|&purpose| wanted(purpose))?)))
}

/// A task with its outermost frame that is there only when something stops.
type Ending<'r> = (&'r TaskFacts, &'r RawFrame, Purpose);

/// How far a process is on its way out; `None` when nothing says that it is.
pub(crate) fn shutdown(reader: &Reader<'_>, reading: &Reading) -> Option<Shutdown> {
    let mut ending: Vec<Ending<'_>> = Vec::new();
    for task in reading.tasks.iter().filter(|task| task.state == FutureState::Pending) {
        // The outermost one: what it calls is a part of it.
        let mut frames = task.chain.iter();
        ending.extend(frames.find_map(|frame| {
            Some((task, frame, purpose(reader, frame).filter(|&purpose| is_of_end(purpose))?))
        }));
    }
    interpreter(reader, reading).or_else(|| closing(reader, reading, &ending)).or_else(|| {
        let all = cancel_all(reader, reading);
        let server = graceful(reader, reading, &ending)
            .or_else(|| draining(reader, reading))
            .or_else(|| ending_application(reader, &ending));
        match (all, server) {
            // aiohttp up to 3.8 cancels the very task that does its stop then.
            (Some(all), Some(server)) if all.tasks[..] != *server.task.as_slice() => Some(all),
            (all, server) => server.or(all),
        }
    })
}

/// A server runs its loop for a moment again and again until no connection is left.
fn draining(reader: &Reader<'_>, reading: &Reading) -> Option<Shutdown> {
    let drains = |purpose| matches!(purpose, Purpose::Stops(stop) if matches!(stop.left, Left::Protocols(..)));
    let (thread, frame, purpose) = reading.threads.iter().find_map(|thread| {
        let (frame, purpose) = find(reader, &thread.stack.frames, drains)?;
        Some((thread, frame, purpose))
    })?;
    let Purpose::Stops(stop) = purpose else { return None };
    let Left::Protocols(variable, attribute) = stop.left else { return None };
    let connections = reader.local(frame, variable).ok().flatten();
    let connections = connections.and_then(|at| reader.set(at).ok()).unwrap_or_default();
    let tasks = connections.iter().filter_map(|&at| reader.attribute(at, attribute).ok()?);
    Some(Shutdown {
        stage: Stage::Graceful,
        by: stop.by.to_owned(),
        loop_id: thread.running_loop,
        frame: plain(reader, frame),
        task: None,
        tasks: tasks.filter(|&at| is_pending(reader, at)).collect(),
        threads: Vec::new(),
        grounds: Some(Box::new(ShutdownGrounds {
            children: group_children(reader, reading),
            endless: endless(reader, reading),
            connections: u64::try_from(connections.len()).ok(),
            lasted: None,
        })),
    })
}

/// The application does what it has to do at its end, in a task that the server has for nothing else.
fn ending_application(reader: &Reader<'_>, ending: &[Ending<'_>]) -> Option<Shutdown> {
    let ends = |frame: &RawFrame| {
        let concern = reader.local(frame, "concern").ok().flatten();
        concern.and_then(|at| reader.str(at, MAX_CONCERN).ok()).is_some_and(|it| it == "shutdown")
    };
    ending.iter().find_map(|(task, frame, purpose)| {
        let Purpose::StartsOrEnds(by) = purpose else { return None };
        ends(frame).then(|| Shutdown {
            stage: Stage::Graceful,
            by: (*by).to_owned(),
            loop_id: task.loop_at,
            frame: plain(reader, frame),
            task: Some(task.at),
            tasks: Vec::new(),
            threads: Vec::new(),
            grounds: None,
        })
    })
}

/// The main thread waits for the other threads.
fn interpreter(reader: &Reader<'_>, reading: &Reading) -> Option<Shutdown> {
    let exits = |purpose| {
        matches!(purpose, Purpose::Thread(ThreadPurpose::Shutdown | ThreadPurpose::PoolsExit))
    };
    let (thread, frame, purpose) = reading.threads.iter().find_map(|thread| {
        let (frame, purpose) = find(reader, &thread.stack.frames, exits)?;
        Some((thread, frame, purpose))
    })?;
    let is_pools = purpose == Purpose::Thread(ThreadPurpose::PoolsExit);
    let stacks: Vec<&Stack> = reading.threads.iter().map(|thread| &thread.stack).collect();
    let others = || reading.threads.iter().filter(|other| other.state.at != thread.state.at);
    let waited_for = || others().filter(|other| is_waited_for(reader, other));
    // A program may leave its work to a loop in another thread and let the main thread end.
    if waited_for().any(|other| other.running_loop.is_some()) {
        return None;
    }
    let mut threads: Vec<i32> = if is_pools {
        // It joins one of the pools' threads after the other: those that have a call will hold it.
        let pools = reader.pools(&stacks, &[]);
        let workers = pools.iter().flat_map(|pool| &pool.workers);
        let busy = workers.filter(|worker| !worker.is_idle);
        busy.filter_map(|worker| reading.threads.get(worker.thread)?.tid).collect()
    } else {
        waited_for().filter_map(|other| other.tid).collect()
    };
    if let Some(ThreadWait::Join { ident: Some(ident), .. }) =
        reader.thread_waits_for(&thread.stack)
    {
        let joined = reading.threads.iter().find(|thread| thread.state.ident == ident);
        threads.extend(joined.and_then(|thread| thread.tid));
    }
    threads.sort_unstable();
    threads.dedup();
    Some(Shutdown {
        stage: Stage::InterpreterThreads,
        by: "interpreter".to_owned(),
        loop_id: None,
        frame: plain(reader, frame),
        task: None,
        tasks: Vec::new(),
        threads,
        grounds: None,
    })
}

/// Whether the interpreter waits for a thread at its end: it is none of the daemons.
fn is_waited_for(reader: &Reader<'_>, thread: &ThreadReading) -> bool {
    // The outermost frame is `Thread._bootstrap`; a thread of C code is not waited for.
    let daemonic = thread.stack.frames.first().and_then(|frame| {
        let code = reader.code(frame.code).ok()?;
        let is_thread = code.place.module() == Some(Module::Threading);
        let own = reader.local(frame, "self").ok()?.filter(|_| is_thread);
        reader.attribute(own?, "_daemonic").ok()?
    });
    daemonic.is_some_and(|at| reader.is_kind(at, Kind::Bool) && reader.int(at) == Ok(0))
}

/// The loop closes asynchronous generators, or its default executor.
fn closing(reader: &Reader<'_>, reading: &Reading, ending: &[Ending<'_>]) -> Option<Shutdown> {
    let task_in = |wait| ending.iter().find(|(_, _, purpose)| *purpose == Purpose::Wait(wait));
    let seen = match (task_in(Wait::DefaultExecutor), task_in(Wait::Asyncgens)) {
        (Some(&(task, frame, _)), _) => Some((Stage::DefaultExecutor, task.loop_at, frame)),
        (None, Some(&(task, frame, _))) => Some((Stage::Asyncgens, task.loop_at, frame)),
        _ => None,
    };
    // uvloop's coroutines have no frames: there a thread of its own waits for the executor, below
    // no other function than that of the thread.
    let mut runner = None;
    for thread in &reading.threads {
        let found = find(reader, &thread.stack.frames, |purpose| {
            matches!(purpose, Purpose::Loop(Loop::RunnerClose) | Purpose::CancelsAll(_))
        });
        if let Some((frame, Purpose::Loop(_))) = found {
            runner = Some((thread, frame));
        }
    }
    // On a loop of asyncio's, both are done where neither is seen: `Runner.close` goes on a little.
    let is_uvloop = |at| reading.loops.iter().any(|it| Some(it.at) == at && it.uv.is_some());
    let (stage, loop_id, frame) = match (seen, runner) {
        (Some(seen), _) => seen,
        (None, Some((thread, frame))) if is_uvloop(thread.running_loop) => {
            let stage = if reading.threads.iter().any(|thread| closes_pool(reader, thread)) {
                Stage::DefaultExecutor
            } else {
                Stage::Asyncgens
            };
            (stage, thread.running_loop, frame)
        }
        _ => return None,
    };
    let (mut tasks, mut threads) = (Vec::new(), Vec::new());
    if stage == Stage::DefaultExecutor {
        let executor = loop_id.and_then(|at| reader.default_executor(at));
        let stacks: Vec<&Stack> = reading.threads.iter().map(|thread| &thread.stack).collect();
        let pools = reader.pools(&stacks, executor.as_slice());
        let pool = pools.iter().find(|pool| Some(pool.at) == executor);
        let workers = pool.into_iter().flat_map(|pool| &pool.workers);
        let busy = workers.filter(|worker| !worker.is_idle);
        threads.extend(busy.filter_map(|worker| reading.threads.get(worker.thread)?.tid));
    } else {
        // It gathers the `aclose` of each: tasks of their own, which run the generators' clean-up.
        let closers = reading.tasks.iter().filter(|task| {
            task.state == FutureState::Pending && task.loop_at == loop_id && is_aclose(reader, task)
        });
        tasks.extend(closers.map(|task| task.at));
    }
    let thread = reading.threads.iter().find(|thread| loop_id.is_some_and(|at| thread.runs(at)));
    let by = thread.map_or("asyncio", |thread| runner_name(reader, thread));
    Some(Shutdown {
        stage,
        by: by.to_owned(),
        loop_id,
        frame: plain(reader, frame),
        task: None,
        tasks,
        threads,
        grounds: None,
    })
}

/// Whether a task runs the `aclose` of an asynchronous generator and nothing else.
fn is_aclose(reader: &Reader<'_>, task: &TaskFacts) -> bool {
    // `gather` makes a task of any awaitable by way of a coroutine (3.12 and later a wrapper of
    // its own), so the generator is the first or second frame of the chain.
    task.chain.iter().take(2).any(|frame| {
        frame.generator.non_null().is_some_and(|at| reader.is_kind(at, Kind::AsyncGenerator))
    })
}

/// Whether a thread does nothing but to close a pool of threads, for a loop.
fn closes_pool(reader: &Reader<'_>, thread: &ThreadReading) -> bool {
    let frames = &thread.stack.frames;
    let closes =
        |frame| purpose(reader, frame) == Some(Purpose::Thread(ThreadPurpose::PoolShutdown));
    let below = frames.iter().position(closes).and_then(|place| frames.get(..place));
    let is_for_loop = |frame: &RawFrame| {
        reader.code(frame.code).is_ok_and(|code| {
            matches!(code.place.module(), Some(Module::Threading | Module::AsyncioLoop))
        })
    };
    below.is_some_and(|below| !below.is_empty() && below.iter().all(is_for_loop))
}

/// All tasks were cancelled, and are waited for.
fn cancel_all(reader: &Reader<'_>, reading: &Reading) -> Option<Shutdown> {
    let (thread, frame, by) = reading.threads.iter().find_map(|thread| {
        let cancels = |purpose| matches!(purpose, Purpose::CancelsAll(_));
        match find(reader, &thread.stack.frames, cancels)? {
            (frame, Purpose::CancelsAll(by)) => Some((thread, frame, by)),
            _ => None,
        }
    })?;
    let mut to_cancel = reader.local(frame, "to_cancel").ok().flatten();
    if to_cancel.is_none() {
        to_cancel = reader.local(frame, "tasks").ok().flatten();
    }
    let by = if by == "asyncio.run" { runner_name(reader, thread) } else { by };
    Some(Shutdown {
        stage: Stage::CancelAll,
        by: by.to_owned(),
        loop_id: thread.running_loop,
        frame: plain(reader, frame),
        task: None,
        tasks: to_cancel.map(|at| pending(reader, at)).unwrap_or_default(),
        threads: Vec::new(),
        grounds: None,
    })
}

/// Whose loop it is that a thread runs: `asyncio.run`, or what has a `Runner` of its own.
fn runner_name(reader: &Reader<'_>, thread: &ThreadReading) -> &'static str {
    let mut name = "asyncio";
    for frame in &thread.stack.frames {
        let Ok(code) = reader.code(frame.code) else { continue };
        match code.place.purpose() {
            Some(Purpose::Runs(by)) => return by,
            Some(Purpose::AnyioRun) => return "anyio.run",
            Some(Purpose::Loop(Loop::AsyncioRun)) => return "asyncio.run",
            _ if code.place.module() == Some(Module::AsyncioRunners) => name = "asyncio.Runner",
            _ => {}
        }
    }
    name
}

/// A server waits for its connections.
fn graceful(reader: &Reader<'_>, reading: &Reading, ending: &[Ending<'_>]) -> Option<Shutdown> {
    let stopping = ending.iter().filter_map(|&(task, frame, purpose)| {
        let Purpose::Stops(stop) = purpose else { return None };
        let has_begun = match stop.left {
            // One connection may be shut down while the server runs.
            Left::Connection => false,
            // Who waits until a server is closed may as well wait for that for ever.
            Left::Streams => is_main(reader, reading, task) && is_closing(reader, frame),
            _ => {
                (!stop.is_part || is_main(reader, reading, task))
                    && (stop.begun.is_empty() || is_in_last_part(reader, task, frame, stop))
            }
        };
        has_begun.then_some((task, stop, frame))
    });
    let (task, stop, frame) = stopping.min_by_key(|(_, stop, _)| stop.is_part)?;
    let own = || reader.local(frame, "self").ok().flatten();
    let mut connections = None;
    let ends_application =
        |frame: &&RawFrame| purpose(reader, frame) == Some(Purpose::EndsApplication);
    let application = task.chain.iter().rev().find(ends_application);
    let started =
        application.is_none().then(|| last_date(reader, follow(reader, frame, stop.headers)?));
    let tasks = match stop.left {
        _ if application.is_some() => {
            let of = ending.iter().filter(|(_, _, purpose)| *purpose == Purpose::Application);
            of.map(|(task, _, _)| task.at).collect()
        }
        Left::Tasks(ways) => {
            let found = ways.iter().find_map(|way| follow(reader, frame, way));
            found.map(|at| pending(reader, at)).unwrap_or_default()
        }
        Left::Streams => {
            let own = own();
            connections = own.and_then(|at| open_connections(reader, at));
            own.map(|at| handlers(reader, reading, at)).unwrap_or_default()
        }
        Left::Named(beginning) => {
            let pending = reading.tasks.iter().filter(|it| it.state == FutureState::Pending);
            let is_of_server = |it: &&TaskFacts| {
                it.name.as_deref().is_some_and(|name| name.starts_with(beginning))
            };
            pending.filter(is_of_server).map(|it| it.at).collect()
        }
        Left::Protocols(..) => Vec::new(),
        Left::Borrowers => own().map(|at| borrowers(reader, reading, at)).unwrap_or_default(),
        Left::Connections | Left::Connection => {
            let connections = ending.iter().filter(
                |(_, _, purpose)| matches!(purpose, Purpose::Stops(stop) if stop.left == Left::Connection),
            );
            connections
                .filter_map(|(_, frame, _)| {
                    let connection = reader.local(frame, "self").ok()??;
                    reader.attribute(connection, "_task_handler").ok()?
                })
                .filter(|&at| is_pending(reader, at))
                .collect()
        }
    };
    let is_gunicorn = |thread: &ThreadReading| {
        thread.stack.frames.iter().any(|frame| {
            let code = reader.code(frame.code);
            code.is_ok_and(|code| code.place.module() == Some(Module::Gunicorn))
        })
    };
    let by = if reading.threads.iter().any(is_gunicorn) {
        format!("gunicorn ({})", stop.by)
    } else {
        stop.by.to_owned()
    };
    Some(Shutdown {
        stage: Stage::Graceful,
        by,
        loop_id: task.loop_at,
        // Not the coroutine that the server waits in, but the server's own innermost line; and for
        // what is only called to end a part of the program the line of the call.
        frame: if let Some(frame) = application {
            plain(reader, frame)
        } else if stop.is_part {
            plain(reader, caller_of(task, frame))
        } else {
            plain(reader, innermost_of(reader, task, frame))
        },
        task: Some(task.at),
        tasks,
        threads: Vec::new(),
        grounds: Some(Box::new(ShutdownGrounds {
            children: group_children(reader, reading),
            endless: endless(reader, reading),
            connections,
            lasted: started.flatten().and_then(|started| lasted(started, reading.wall_clock)),
        })),
    })
}

/// Which task is in a group of tasks that which other one is a child of: `[ (task, child) ]`.
///
/// A task in the body of `async with TaskGroup()` may wait for anything, as one of hypercorn that
/// reads from its connection, but it does not end before the children of the group have.
fn group_children(reader: &Reader<'_>, reading: &Reading) -> Vec<(Address, Address)> {
    let mut children = Vec::new();
    for task in reading.tasks.iter().filter(|task| task.state == FutureState::Pending) {
        for frame in &task.chain {
            let mut managers = match reader.has_contexts(frame) {
                // A frame that cannot be read is in no group that is known.
                Ok(true) => reader.held(frame).unwrap_or_default(),
                _ => Vec::new(),
            };
            if leaves_group(reader, frame) {
                managers.extend(reader.local(frame, "self").ok().flatten());
            }
            if purpose(reader, frame) == Some(Purpose::CallsNext) {
                let next = reader.local(frame, "task").ok().flatten();
                children.extend(next.filter(|&at| is_pending(reader, at)).map(|at| (task.at, at)));
            }
            for group in managers.into_iter().filter(|&at| is_group(reader, at)) {
                let tasks = tasks_of_group(reader, group).into_iter();
                children.extend(tasks.filter(|&at| at != task.at).map(|child| (task.at, child)));
                if children.len() >= MAX_CHILDREN {
                    return children;
                }
            }
        }
    }
    children
}

/// Whether a task is the one that a thread runs its loop for.
fn is_main(reader: &Reader<'_>, reading: &Reading, task: &TaskFacts) -> bool {
    reading.threads.iter().flat_map(|thread| &thread.stack.frames).any(|frame| {
        let variable = match purpose(reader, frame) {
            Some(Purpose::Loop(Loop::RunUntilComplete)) => "future",
            // uvloop's `run_until_complete` has no frame.
            Some(Purpose::Loop(Loop::AsyncioRun | Loop::RunnerRun)) => "task",
            _ => return false,
        };
        reader.local(frame, variable) == Ok(Some(task.at))
    })
}

/// Whether one of asyncio's servers was closed: it has no sockets any longer.
fn is_closing(reader: &Reader<'_>, frame: &RawFrame) -> bool {
    let own = reader.local(frame, "self").ok().flatten();
    let sockets = own.and_then(|at| reader.attribute(at, "_sockets").ok()?);
    sockets.is_some_and(|at| reader.is_kind(at, Kind::None))
}

/// What a variable of a frame, and attributes from there on, lead to.
fn follow(reader: &Reader<'_>, frame: &RawFrame, path: &[&str]) -> Option<Address> {
    let (variable, attributes) = path.split_first()?;
    let start = reader.local(frame, variable).ok()??;
    attributes.iter().try_fold(start, |at, name| reader.attribute(at, name).ok()?)
}

/// How many connections of one of asyncio's servers are open.
fn open_connections(reader: &Reader<'_>, server: Address) -> Option<u64> {
    if let Some(count) = reader.attribute(server, "_active_count").ok()? {
        return u64::try_from(reader.int(count).ok()?).ok();
    }
    // A `WeakSet`, from 3.12.2 and 3.13 on.
    let clients = reader.attribute(server, "_clients").ok()??;
    let references = reader.attribute(clients, "data").ok()??;
    u64::try_from(reader.set(references).ok()?.len()).ok()
}

/// The tasks that have a stream of one of asyncio's servers.
fn handlers(reader: &Reader<'_>, reading: &Reading, server: Address) -> Vec<Address> {
    let attribute = |at, name| reader.attribute(at, name).ok().flatten();
    let is_of_server = |at| {
        let is_stream = reader.is_kind(at, Kind::Other)
            && (reader.is_a(at, "StreamReader") || reader.is_a(at, "StreamWriter"));
        let transport = || {
            let transport = attribute(at, "_transport")?;
            let inner = attribute(transport, "_ssl_protocol");
            inner.map_or(Some(transport), |protocol| attribute(protocol, "_transport"))
        };
        is_stream && transport().and_then(|at| attribute(at, "_server")) == Some(server)
    };
    let has_stream = |task: &&TaskFacts| {
        // The function that was called for the connection, or one that it calls.
        task.chain.iter().take(MAX_OUTER).any(|frame| {
            let locals = reader.locals(frame).unwrap_or_default();
            locals.into_iter().any(|(_, value)| is_of_server(value))
        })
    };
    let pending = reading.tasks.iter().filter(|task| task.state == FutureState::Pending);
    pending.take(MAX_HANDLERS).filter(has_stream).map(|task| task.at).collect()
}

/// The tasks that have a connection of a pool in a variable.
fn borrowers(reader: &Reader<'_>, reading: &Reading, pool: Address) -> Vec<Address> {
    let attribute = |at, name| reader.attribute(at, name).ok().flatten();
    // asyncpg has a holder for each connection, which knows what it has lent; aiomysql and aiopg
    // have a set of all that they have lent.
    let holders = attribute(pool, "_holders").and_then(|at| reader.list(at, MAX_ITEMS).ok());
    let lent = holders.unwrap_or_default().into_iter().filter_map(|at| attribute(at, "_proxy"));
    let used = attribute(pool, "_used").and_then(|at| reader.set(at).ok()).unwrap_or_default();
    let is_none = |at: &Address| reader.is_kind(*at, Kind::None);
    let lent: FxHashSet<Address> = lent.filter(|at| !is_none(at)).chain(used).collect();
    let has_one = |task: &&TaskFacts| {
        task.chain.iter().any(|frame| {
            let locals = reader.locals(frame).unwrap_or_default();
            locals.iter().any(|(_, value)| lent.contains(value))
        })
    };
    let pending = reading.tasks.iter().filter(|task| task.state == FutureState::Pending);
    pending.take(MAX_HANDLERS).filter(has_one).map(|task| task.at).collect()
}

/// The frame that has called `frame`.
fn caller_of<'t>(task: &'t TaskFacts, frame: &'t RawFrame) -> &'t RawFrame {
    let at = task.chain.iter().position(|known| known.generator == frame.generator);
    at.and_then(|at| task.chain.get(at.checked_sub(1)?)).unwrap_or(frame)
}

/// The tasks that are in a loop of the program that only an exception ends.
fn endless(reader: &Reader<'_>, reading: &Reading) -> Vec<Address> {
    let mut known: FxHashMap<(Address, i64), bool> = FxHashMap::default();
    let mut is_endless = |frame: &RawFrame| {
        *known.entry((frame.code, frame.lasti)).or_insert_with(|| {
            let is_own = reader.code(frame.code).is_ok_and(|code| !code.place.is_library());
            is_own && reader.loops_for_ever(frame).unwrap_or(false)
        })
    };
    let pending = reading.tasks.iter().filter(|task| task.state == FutureState::Pending);
    pending.filter(|task| task.chain.iter().any(&mut is_endless)).map(|task| task.at).collect()
}

/// The `Date` that uvicorn puts into its answers: it is made anew each second until the server is
/// told to stop.
fn last_date(reader: &Reader<'_>, headers: Address) -> Option<Timestamp> {
    let first = *reader.list(headers, MAX_ITEMS).ok()?.first()?;
    let pair = reader.tuple(first).ok()?;
    let (name, value) = (*pair.first()?, *pair.get(1)?);
    let text = |at| String::from_utf8(reader.bytes(at, MAX_DATE).ok()?).ok();
    (text(name)? == "date").then_some(())?;
    let date = jiff::fmt::rfc2822::parse(&text(value)?).ok()?;
    Some(date.timestamp())
}

/// For how long at least a server has not made its `Date` anew, which it does each second.
fn lasted(last: Timestamp, now: Timestamp) -> Option<Duration> {
    let passed = Duration::try_from(now.duration_since(last)).ok()?;
    // Of the second that is given, and the one in which the next would have come.
    passed.checked_sub(Duration::from_secs(2))
}

/// Whether a frame waits for the children of a group, having left its body.
fn leaves_group(reader: &Reader<'_>, frame: &RawFrame) -> bool {
    reader.code(frame.code).is_ok_and(|code| name::leaves_block(&code.place.function))
}

/// Whether an object is a group of tasks: asyncio's, anyio's, that of hypercorn around one of
/// those, or the one that the package `taskgroup` has for Python 3.10 and earlier.
fn is_group(reader: &Reader<'_>, at: Address) -> bool {
    reader.is_kind(at, Kind::Other) && reader.is_a(at, "TaskGroup")
}

/// The tasks of a group that have not ended.
fn tasks_of_group(reader: &Reader<'_>, group: Address) -> Vec<Address> {
    let attribute = |at, name| reader.attribute(at, name).ok().flatten();
    // hypercorn/asyncio/task_group.py has another one within; anyio up to 3 has the tasks of the
    // group in its scope.
    let inner = || attribute(group, "_task_group").or_else(|| attribute(group, "cancel_scope"));
    let tasks = attribute(group, "_tasks").or_else(|| attribute(inner()?, "_tasks"));
    tasks.map(|at| pending(reader, at)).unwrap_or_default()
}

/// Whether a server whose function is there before it stops has begun to: it says so itself, or waits
/// for servers of asyncio's to close, or for the application's own shutdown.
fn is_in_last_part(reader: &Reader<'_>, task: &TaskFacts, frame: &RawFrame, stop: &Stop) -> bool {
    let says_so = follow(reader, frame, stop.begun);
    let closes = |frame: &RawFrame| {
        let purpose = purpose(reader, frame);
        purpose == Some(Purpose::EndsApplication)
            || matches!(purpose, Some(Purpose::Stops(stop)) if stop.left == Left::Streams)
    };
    says_so.is_some_and(|at| !reader.is_kind(at, Kind::None)) || task.chain.iter().any(closes)
}

/// The innermost frame of a task that is in the same folder of files as `frame`.
fn innermost_of<'t>(reader: &Reader<'_>, task: &'t TaskFacts, frame: &'t RawFrame) -> &'t RawFrame {
    let folder = |frame: &RawFrame| {
        let code = reader.code(frame.code).ok()?;
        code.place.file.rsplit_once('/').map(|(folder, _)| Arc::<str>::from(folder))
    };
    let own = folder(frame);
    task.chain.iter().rev().find(|other| folder(other) == own).unwrap_or(frame)
}

/// The tasks of a collection that have not ended.
fn pending(reader: &Reader<'_>, at: Address) -> Vec<Address> {
    let tasks = match reader.kind_of(at) {
        Ok(Kind::Set | Kind::FrozenSet) => reader.set(at),
        Ok(Kind::List) => reader.list(at, MAX_ITEMS),
        Ok(Kind::Dict) => {
            let items = reader.dict(at, MAX_ITEMS);
            items.map(|items| items.into_iter().map(|(_, value)| value).collect())
        }
        // hypercorn up to 0.14 has a `WeakSet`.
        Ok(Kind::Other) => reader.set_or_weak_set(at, &mut Vec::new()),
        _ => Ok(Vec::new()),
    };
    let tasks = tasks.unwrap_or_default().into_iter();
    tasks.filter(|&at| is_pending(reader, at)).collect()
}

fn is_pending(reader: &Reader<'_>, at: Address) -> bool {
    reader.kind_of(at).is_ok_and(Kind::is_task)
        && reader.future_state(at) == Ok(Some(FutureState::Pending))
}

/// A frame as plain data.
fn plain(reader: &Reader<'_>, frame: &RawFrame) -> Option<Frame> {
    let site = reader.site(frame.code, frame.lasti, frame.qualname).ok()?;
    Some(Frame { location: site.location, locals: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_as_old_as_its_last_date() {
        let date = "Sun, 29 Nov 2026 12:18:59 GMT";
        let last = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
        let after = |seconds| last + Duration::from_secs(seconds);
        assert_eq!(lasted(last, after(9)), Some(Duration::from_secs(7)));
        // The next one is not yet due.
        assert_eq!(lasted(last, after(1)), None);
        // The clock was set back.
        assert_eq!(lasted(after(9), last), None);
    }
}
