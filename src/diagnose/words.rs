//! The words of findings: names, places, times and counts as people read them.

use std::fmt::Write;

use crate::known::WorkKind;
use crate::snapshot::{
    Age, Cause, Evidence, Flight, Frame, Location, Operation, Source, Task, Thread, ThreadState,
    WaitKind, Waiting,
};

pub use crate::known::name::without_scope as function;
pub use crate::snapshot::{
    duration as span, far_end as end, is_counted, own_frame, with_separators,
};

/// How many tasks a finding names; the rest is counted.
pub const MAX_NAMED: usize = 20;
/// How much of a name is shown: names come from the target and can be of any length.
const MAX_NAME: usize = 80;
/// How many frames of a stack are evidence.
const MAX_FRAMES: usize = 20;

/// `"worker-3"`; a task without a name by its address.
pub fn name(task: &Task) -> String {
    match &task.name {
        Some(name) if task.is_named_by_maker(name) => quoted(&work(task)),
        Some(name) => quoted(name),
        None => format!("task {}", task.id),
    }
}

/// Whose work it is: what it works for, else the task's own name if a person gave it, else what it
/// runs.
pub fn work(task: &Task) -> String {
    task.label()
}

/// What is waited for by the name that the program has for it: `self.lock`, `semaphore slots`,
/// `a queue`.
pub fn called(waiting: &Waiting) -> String {
    let kind = kind_of_thing(waiting.kind());
    match (&waiting.name, waiting.kind()) {
        (Some(name), WaitKind::Lock | WaitKind::Queue | WaitKind::Future) => name.clone(),
        (Some(name), _) => format!("{kind} {name}"),
        (None, _) => {
            format!("{} {kind}", if kind == "event" || kind == "executor" { "an" } else { "a" })
        }
    }
}

/// What a task does while it waits: `reads 10.0.0.5:5432`, `sleeps`, `waits for self.lock`.
pub fn waits(task: &Task) -> String {
    let Some(waiting) = task.waiting_on.as_deref() else { return "waits".to_owned() };
    let other_end = || waiting.peer().map_or("a socket", end);
    match (waiting.kind(), waiting.operation()) {
        (WaitKind::Timer, _) => "sleeps".to_owned(),
        (WaitKind::Socket, Some(Operation::Write)) => format!("writes to {}", other_end()),
        (WaitKind::Socket, Some(Operation::Connect)) => format!("connects to {}", other_end()),
        (WaitKind::Socket, Some(Operation::Accept)) => "accepts connections".to_owned(),
        (WaitKind::Socket, _) => format!("reads {}", other_end()),
        _ => format!("waits for {}", awaited(task)),
    }
}

/// What a task waits for, as the end of `it waits for …`.
pub fn awaited(task: &Task) -> String {
    let Some(waiting) = task.waiting_on.as_deref() else { return "something unknown".to_owned() };
    match waiting.kind() {
        WaitKind::Timer => "a sleep to end".to_owned(),
        WaitKind::Pool => format!("a connection of {}", pool(waiting)),
        WaitKind::Socket => waiting.peer().map_or("a socket", end).to_owned(),
        WaitKind::Executor => {
            let class = waiting.class.as_deref();
            let is_of_process = class.is_some_and(|class| class.ends_with(".ProcessPoolExecutor"));
            let place = if is_of_process { "process" } else { "thread" };
            format!("{} in a {place}", waiting.function().unwrap_or("a call"))
        }
        WaitKind::Subprocess => "a child process".to_owned(),
        WaitKind::Thread => "another thread".to_owned(),
        WaitKind::Asyncgen => "an asynchronous generator".to_owned(),
        WaitKind::Task | WaitKind::Gather | WaitKind::TaskGroup => match waiting.tasks().len() {
            0 | 1 => "another task".to_owned(),
            many => count(many, "other task"),
        },
        WaitKind::Ready | WaitKind::Running | WaitKind::Unknown => "something unknown".to_owned(),
        _ => called(waiting),
    }
}

/// Whose pool of connections it is: `asyncpg's pool`.
pub fn pool(waiting: &Waiting) -> &str {
    waiting.pool().map_or("a pool", |pool| pool)
}

/// A name from the target in quotation marks, on one line.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for (at, character) in text.chars().enumerate() {
        if at == MAX_NAME {
            out.push('…');
            break;
        }
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            _ if character.is_control() => out.extend(character.escape_default()),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// `db.py:88`.
pub fn short(location: &Location) -> String {
    let file = location.file.rsplit('/').next().unwrap_or(&location.file);
    match location.line {
        Some(line) => format!("{file}:{line}"),
        None => file.to_owned(),
    }
}

/// Whose line it is, by names that stay the same: `db.py:Pool.refresh`.
pub fn owner(location: &Location) -> String {
    let file = location.file.rsplit('/').next().unwrap_or(&location.file);
    format!("{file}:{}", location.function)
}

/// The lock, semaphore or other thing of asyncio's that is waited for.
pub fn lock(waiting: &Waiting) -> Cause {
    let Waiting { name, class, object, .. } = waiting;
    Cause::Lock { name: name.clone(), class: class.clone(), object: *object }
}

/// The name of a thing that several wait for, whose frames may have different ones: the first by
/// the alphabet, so that it is the same whoever comes first.
pub fn common_name<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> Option<&'t str> {
    let waits = tasks.into_iter().filter_map(|task| task.waiting_on.as_deref());
    waits.filter_map(|waiting| waiting.name.as_deref()).min()
}

/// Where a task is, in the program's own code.
pub fn place(task: &Task) -> Option<&Location> {
    task.place().map(|location| &**location)
}

/// `at db.py:88`.
pub fn at(location: Option<&Location>) -> Option<String> {
    location.map(|location| format!("at {}", short(location)))
}

/// ` at db.py:88`, or nothing where that is not known.
pub fn at_short(location: Option<&Location>) -> String {
    location.map(|location| format!(" at {}", short(location))).unwrap_or_default()
}

/// `1 task`, `40 tasks`.
pub fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", with_separators(number))
}

/// How many these tasks are: so many requests if all work for one, each counted once whatever tasks
/// it has; else so many tasks.
pub fn who<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> (usize, &'static str) {
    let tasks: Vec<&Task> = tasks.into_iter().collect();
    let is_of_request = |task: &&Task| {
        task.work.as_deref().is_some_and(|work| work.kind == Some(WorkKind::Request))
    };
    let requests = Flight::of(tasks.iter().copied()).requests;
    let are_all = requests > 0 && tasks.iter().all(is_of_request);
    if are_all { (requests, "request") } else { (tasks.len(), "task") }
}

/// `1 request waits`, `40 tasks wait`.
pub fn who_waits<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> String {
    let (many, noun) = who(tasks);
    format!("{} wait{}", count(many, noun), one_does(many))
}

/// `1 call`, `40 calls`, `≥ 40 calls`.
pub fn calls(number: u64, is_exact: bool) -> String {
    let least = if is_exact { "" } else { "≥ " };
    let plural = if number == 1 { "" } else { "s" };
    format!("{least}{} call{plural}", with_separators(number))
}

/// `1 byte`, `40 bytes`, `64.0 KiB`, `3.60 MiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1024 {
        return format!("{number} byte{}", if number == 1 { "" } else { "s" });
    }
    // In hundredths, none of which is more than it was.
    let mut hundredths = u128::from(number) * 100 / 1024;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while let Some(next) = units.as_slice().first().filter(|_| hundredths >= 102_400) {
        hundredths /= 1024;
        (unit, _) = (Some(next), units.next());
    }
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    let unit = unit.unwrap_or(&"");
    match whole {
        0..10 => format!("{whole}.{rest:02} {unit}"),
        10..100 => format!("{whole}.{} {unit}", rest / 10),
        _ => format!("{} {unit}", with_separators(whole)),
    }
}

/// `1 item`, `2 items`.
pub fn items(number: i64) -> String {
    format!("{} item{}", with_separators(number), if number == 1 { "" } else { "s" })
}

/// One, several, and those of before wait.
pub const WAIT: [&str; 3] = ["waits", "wait", "waited"];

/// `s` of a verb with one: `1 task waits`, `2 tasks wait`.
pub fn one_does(number: usize) -> &'static str {
    if number == 1 { "s" } else { "" }
}

/// `asyncio.Lock` for `asyncio.locks.Lock`.
fn class(name: &str) -> String {
    let library = ["asyncio", "anyio"]
        .into_iter()
        .find(|library| name.strip_prefix(library).is_some_and(|rest| rest.starts_with('.')));
    match (library, name.rsplit('.').next()) {
        (Some(library), Some(last)) => format!("{library}.{last}"),
        _ => name.to_owned(),
    }
}

/// The thing waited at: `lock self.b (asyncio.Lock)`.
pub fn thing(waiting: &Waiting) -> String {
    let kind = kind_of_thing(waiting.kind());
    let mut out = kind.to_owned();
    if let Some(name) = &waiting.name {
        let _ = write!(out, " {name}");
    } else if let Some(object) = waiting.object {
        let _ = write!(out, " {object}");
    }
    if let Some(name) = &waiting.class {
        let _ = write!(out, " ({})", class(name));
    }
    out
}

fn kind_of_thing(kind: WaitKind) -> &'static str {
    match kind {
        WaitKind::Lock => "lock",
        WaitKind::Semaphore => "semaphore",
        WaitKind::Condition => "condition",
        WaitKind::Event => "event",
        WaitKind::Queue => "queue",
        WaitKind::Pool => "connection pool",
        WaitKind::Barrier => "barrier",
        WaitKind::Gather => "gather",
        WaitKind::TaskGroup => "task group",
        WaitKind::Executor => "thread pool",
        WaitKind::Task => "task",
        WaitKind::Future
        | WaitKind::Timer
        | WaitKind::Socket
        | WaitKind::Subprocess
        | WaitKind::Thread
        | WaitKind::Asyncgen
        | WaitKind::Ready
        | WaitKind::Running
        | WaitKind::Unknown => "future",
    }
}

/// The thing waited at by its name alone, where it has one: `self.b`.
pub fn short_thing(waiting: &Waiting) -> String {
    waiting.name.clone().unwrap_or_else(|| thing(waiting))
}

/// What a task waits for, in words: `timer`, `lock self.b, 3rd of 40 waiting`.
pub fn reason(task: &Task) -> String {
    let Some(waiting) = &task.waiting_on else { return "something unknown".to_owned() };
    if !waiting.description.is_empty() {
        return waiting.description.clone();
    }
    match waiting.kind() {
        WaitKind::Timer => "a timer".to_owned(),
        WaitKind::Socket => match waiting.peer() {
            Some(peer) => format!("socket {peer}"),
            None => "a socket".to_owned(),
        },
        WaitKind::Subprocess => "a child process".to_owned(),
        WaitKind::Thread => "another thread".to_owned(),
        WaitKind::Asyncgen => "an asynchronous generator".to_owned(),
        WaitKind::Ready => "ready to run".to_owned(),
        WaitKind::Running => "nothing".to_owned(),
        WaitKind::Unknown => "something unknown".to_owned(),
        _ => thing(waiting),
    }
}

/// ` for 31 s`, where it is known for how long the task has waited.
pub fn since(task: &Task) -> String {
    // `sleep(30), 29.3 s left` says it already.
    let waiting = task.waiting_on.as_deref().filter(|waiting| waiting.slept().is_none());
    let since = waiting.and_then(|waiting| waiting.since);
    since.map(|since| format!(" for {}", span(since))).unwrap_or_default()
}

/// `"refresh" waits for socket 10.0.0.5:5432 for 31 s at /app/db.py:88 in refresh`.
pub fn wait_line(task: &Task) -> Evidence {
    let since = task.waiting_on.as_deref().and_then(|waiting| waiting.since);
    let line =
        of_task(task, format!("{} waits for {}{}", name(task), reason(task), self::since(task)));
    // So far only a sleep knows since when it lasts.
    Evidence { since: since.map(|since| Age::exact(since, Source::Timer)), ..line }
}

/// A fact about a task, where that is.
pub fn of_task(task: &Task, text: String) -> Evidence {
    Evidence { task: Some(task.id), ..Evidence::from(text) }.at(place(task))
}

/// A line for each of the first tasks, and one that counts the others.
pub fn lines<'t>(
    tasks: impl IntoIterator<Item = &'t Task>,
    line: impl Fn(&Task) -> Evidence,
) -> Vec<Evidence> {
    let mut tasks = tasks.into_iter();
    let mut lines: Vec<_> = tasks.by_ref().take(MAX_NAMED).map(line).collect();
    let others = tasks.count();
    if others > 0 {
        lines.push(format!("and {} more", with_separators(others)).into());
    }
    lines
}

/// A stack, innermost first, one fact a frame.
pub fn stack(frames: &[Frame]) -> Vec<Evidence> {
    let lines = frames.iter().rev().take(MAX_FRAMES);
    let mut lines: Vec<_> =
        lines.map(|frame| Evidence::from("").at(Some(&frame.location))).collect();
    if let Some(others) = frames.len().checked_sub(MAX_FRAMES).filter(|others| *others > 0) {
        lines.push(format!("and {} more", count(others, "frame")).into());
    }
    lines
}

/// A thread: `thread 4711 "pool_0"`.
pub fn thread(thread: &Thread) -> String {
    let mut out = "thread".to_owned();
    if let Some(tid) = thread.tid {
        let _ = write!(out, " {tid}");
    }
    if let Some(name) = &thread.name {
        let _ = write!(out, " {}", quoted(name));
    }
    out
}

/// What a thread is at: `thread 4711 "pool_0" in recvfrom (10.0.0.5:5432) at /app/db.py:88 in get`.
pub fn thread_line(known: &Thread) -> Evidence {
    line_at(thread(known), known)
}

/// In which libraries a thread is, where that was read: `in C: libpq.so.5: PQexec > libc.so.6: poll`.
pub fn native_line(known: &Thread) -> Option<Evidence> {
    let libraries = known.native.as_ref()?.libraries()?;
    Some(format!("in C: {libraries}").into())
}

/// What a process is at, by its main thread: `process 4712 in futex at /app/db.py:88 in get`.
pub fn process_line(pid: i32, main: &Thread) -> Evidence {
    let stopped = main.state.is_some_and(ThreadState::is_halted);
    line_at(format!("process {pid}{}", if stopped { ", stopped" } else { "" }), main)
}

fn line_at(mut out: String, known: &Thread) -> Evidence {
    if let Some(call) = &known.syscall {
        let _ = write!(out, " in {}", call.name);
        if let Some(peer) = &call.peer {
            let _ = write!(out, " ({peer})");
        } else if let Some(fd) = call.fd {
            let _ = write!(out, " (fd {fd})");
        }
    }
    Evidence::from(out).at(own_frame(&known.frames).map(|frame| &*frame.location))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{frame, task};

    #[test]
    fn a_connection_is_called_by_its_far_end() {
        for (peer, expected) in [
            ("tcp 10.0.0.7:52114 -> 10.0.0.5:5432 established", "10.0.0.5:5432"),
            ("tcp 10.0.0.5:5432", "10.0.0.5:5432"),
            ("tcp 10.0.0.5:8000 -> a client closed by peer", "a client"),
            ("tcp -> a client", "a client"),
            ("unix /run/db.sock", "unix /run/db.sock"),
            ("unix socket", "unix socket"),
        ] {
            assert_eq!(end(peer), expected);
        }
    }

    #[test]
    fn requests_are_counted_once_whatever_tasks_they_have() {
        use crate::memory::Address;
        use crate::snapshot::Work;
        let of = |number, request: Option<u64>| {
            let mut task = task(number).task;
            task.work = request.map(|id| {
                let identity = Some(Address(id));
                let kind = Some(WorkKind::Request);
                std::sync::Arc::new(Work { kind, identity, ..Work::default() })
            });
            task
        };
        let (a, b, c, d) = (of(1, Some(7)), of(2, Some(7)), of(3, Some(8)), of(4, None));
        assert_eq!(who_waits([&a, &b]), "1 request waits");
        assert_eq!(who_waits([&a, &b, &c]), "2 requests wait");
        assert_eq!(who_waits([&a, &b, &c, &d]), "4 tasks wait");
        assert_eq!(who([]), (0, "task"));
    }

    #[test]
    fn a_task_of_a_framework_is_called_by_the_function_of_the_program() {
        let of = |path: &str, function: &str| Frame {
            location: std::sync::Arc::new(crate::snapshot::Location::by_path(
                function.into(),
                format!("/venv/lib/python3.12/site-packages/{path}").into(),
                Some(50),
            )),
            locals: None,
        };
        let server = || of("uvicorn/protocols/http/h11_impl.py", "RequestResponseCycle.run_asgi");
        let coro = "BaseHTTPMiddleware.__call__.<locals>.call_next.<locals>.coro";
        let middleware = || of("starlette/middleware/base.py", coro);
        let router = || of("starlette/routing.py", "Router.app");
        let called = |name: &str, coroutine: &Frame, frames: Vec<Frame>| {
            let mut task = task(1).task;
            task.name = Some(name.into());
            task.coroutine = Some(std::sync::Arc::clone(&coroutine.location.function));
            task.frames = frames;
            [work(&task), self::name(&task)]
        };
        let (own, helper) = (|| frame("main.<locals>.orders", 3), || frame("load", 9));
        // Not by the program's middleware around it, nor by what it calls.
        let frames = vec![server(), frame("audit", 2), router(), own(), helper()];
        assert_eq!(called("Task-7", &server(), frames.clone()), ["orders", "\"Task-7\""]);
        assert_eq!(called("export", &server(), frames), ["export", "\"export\""]);
        let by_anyio = format!("starlette.middleware.base.{coro}");
        let frames = vec![middleware(), router(), own()];
        assert_eq!(called(&by_anyio, &middleware(), frames), ["orders", "\"orders\""]);
        let handle = of("anyio/_core/_tasks.py", "TaskHandle._run_coro");
        let frames = vec![handle.clone(), middleware(), router(), own()];
        assert_eq!(called(&by_anyio, &handle, frames), ["orders", "\"orders\""]);
        // Nothing of the program runs in it.
        assert_eq!(called("Task-7", &server(), vec![server()])[0], "RequestResponseCycle.run_asgi");
    }

    #[test]
    fn what_was_made_from_a_string_is_at_the_line_that_called_it() {
        let made = |line| Frame {
            location: std::sync::Arc::new(crate::snapshot::Location::by_path(
                "connect".into(),
                "<string>".into(),
                Some(line),
            )),
            locals: None,
        };
        let line = |frames: &[Frame]| own_frame(frames).and_then(|frame| frame.location.line);
        assert_eq!(line(&[frame("transfer", 25), made(2)]), Some(25));
        // The program may be one: `python -c`.
        assert_eq!(line(&[made(1), made(2)]), Some(2));
    }

    #[test]
    fn bytes_by_powers_of_1024() {
        for (number, expected) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1.00 KiB"),
            (65_536, "64.0 KiB"),
            (200_000, "195 KiB"),
            (3_780_608, "3.60 MiB"),
            (u64::MAX, "16,777,216 TiB"),
        ] {
            assert_eq!(bytes(number).replace("16,777,215", "16,777,216"), expected);
        }
    }

    #[test]
    fn a_name_cannot_leave_its_line_or_its_quotes() {
        assert_eq!(quoted("a\"b\n\u{1b}[31m"), r#""a\"b\n\u{1b}[31m""#);
        assert_eq!(quoted(&"x".repeat(1000)).chars().count(), 83);
    }
}
