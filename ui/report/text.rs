//! A snapshot as text for people: who is it, what is wrong, what do its loops do, who waits for
//! what.
//!
//! A pure function of the snapshot, the width and the colours.

use std::collections::BTreeMap;
use std::io;

use aiospy::memory::Address;
use aiospy::snapshot::{Container, Context, Snapshot, Task, Thread};
use rustc_hash::FxHashMap;

use crate::io::page::{self, Line, Page, Style};
use waiting::TaskNames;

pub mod blocks;
pub mod findings;
pub mod folded;
pub mod forest;
pub mod group;
mod heap;
pub mod loops;
mod merge;
pub mod names;
mod native;
pub mod outline;
pub mod path;
pub mod processes;
pub mod requests;
#[cfg(test)]
pub mod sample;
pub mod screen;
pub mod short;
pub mod source;
pub mod table;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod verdict;
pub mod waiting;
pub mod words;

pub use findings::brief;
pub use source::{Files, Lines};

/// How many columns of a command line are shown; `python -c` takes whole programs.
const MAX_COMMAND: usize = 200;
/// How many problems are listed; the rest is counted.
const MAX_PROBLEMS: usize = 10;
/// How many awaiters the block of one task names.
const MAX_AWAITERS: usize = 8;

/// What is made of the tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// Like ones in one row: all fits one screen.
    #[default]
    Screen,
    /// Who waits for whom, with the program's own frames.
    Tree,
    /// The same with all frames, and all else that is known.
    Full,
    /// One block for each.
    Flat,
}

/// What of a snapshot is shown.
#[derive(Clone, Copy, Default)]
pub struct View<'f> {
    /// What is made of the tasks.
    pub shape: Shape,
    /// Every finding with all that it rests on.
    pub has_evidence: bool,
    /// What loops and pools do, and the stacks of all threads.
    pub has_threads: bool,
    /// What the reading cost.
    pub is_verbose: bool,
    /// The source files that lines are shown of; none, if `None`.
    pub source: Option<&'f dyn Files>,
}

/// Writes the findings alone, with their evidence and advice.
///
/// # Errors
/// Those of the page.
pub fn findings(
    snapshot: &Snapshot,
    source: Option<&dyn Files>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    findings::section(snapshot, &Lines::of_snapshot(source, snapshot), page)
}

/// Writes the whole report.
///
/// # Errors
/// Those of the page.
pub fn dump(snapshot: &Snapshot, view: View<'_>, page: &mut Page<'_>) -> io::Result<()> {
    report(snapshot, view, &Lines::of_snapshot(view.source, snapshot), page)
}

/// The lines of source that any report of a snapshot shows, by file and number.
pub fn shown_lines(
    snapshot: &Snapshot,
    source: &dyn Files,
) -> BTreeMap<String, BTreeMap<u32, String>> {
    let lines = Lines::of_snapshot(Some(source), snapshot);
    for shape in [Shape::Screen, Shape::Tree, Shape::Full, Shape::Flat] {
        let (has_threads, source) = (true, Some(source));
        let view = View { shape, has_evidence: false, has_threads, is_verbose: true, source };
        // Nothing that is written to nowhere fails.
        let _ = report(snapshot, view, &lines, &mut Page::new(&mut io::sink(), None, false));
    }
    lines.asked()
}

fn report(
    snapshot: &Snapshot,
    view: View<'_>,
    lines: &Lines<'_>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    if matches!(view.shape, Shape::Screen | Shape::Tree) {
        return screen::draw(snapshot, lines, view, page);
    }
    process(snapshot, page)?;
    page.blank()?;
    findings::section(snapshot, lines, page)?;
    loops::section(snapshot, lines, page)?;
    counts(snapshot, page)?;
    if !snapshot.tasks.is_empty() {
        page.blank()?;
        match view.shape {
            Shape::Flat => flat(snapshot, view, lines, page)?,
            _ => tree::draw(snapshot, lines, page)?,
        }
    }
    if view.has_threads {
        page.blank()?;
        threads(&snapshot.threads, lines, page)?;
    }
    page.blank()?;
    heap::section(snapshot, page)?;
    problems(snapshot, page)?;
    lines.say_changed(page)?;
    footer(snapshot, view, page)?;
    screen::verdict(snapshot, page)
}

fn process(snapshot: &Snapshot, page: &mut Page<'_>) -> io::Result<()> {
    let process = &snapshot.process;
    let mut line = Line::new().with(Style::Strong, &format!("process {}", process.pid));
    if let Some(inner) = process.namespace_pid.filter(|inner| *inner != process.pid) {
        line.add(Style::Dim, &format!(" ({inner} in its own namespace)"));
    }
    line.add(Style::Plain, "  ");
    match process.cmdline.split_first() {
        Some((program, arguments)) => {
            // Where the interpreter lies says less than what it runs.
            let mut words = vec![program.rsplit('/').next().unwrap_or(program)];
            words.extend(arguments.iter().map(String::as_str));
            let words = words.join(" ");
            line.add(Style::Plain, &page::fit(&page::clean(&words), MAX_COMMAND));
        }
        None => line.add(Style::Plain, process.exe.as_deref().unwrap_or_default()),
    }
    page.line(&line)?;

    let implementation = match process.implementation.as_deref() {
        Some("cpython") | None => "CPython",
        Some(other) => other,
    };
    let mut words = vec![match &process.python {
        Some(version) => format!("{implementation} {version}"),
        None => format!("{implementation} of unknown version"),
    }];
    if process.free_threaded == Some(true) {
        words.push("free-threaded".to_owned());
    }
    if process.debug_build == Some(true) {
        words.push("debug build".to_owned());
    }
    if let Some(started_at) = process.started_at {
        let uptime = snapshot.taken_at.duration_since(started_at);
        if let Ok(uptime) = uptime.try_into() {
            words.push(format!("up {}", words::duration(uptime)));
        }
    }
    if snapshot.threads.len() > 1 {
        words.push(words::counted(snapshot.threads.len(), "thread"));
    }
    let container = process.container.as_ref().and_then(Container::short);
    words.extend(container.map(|name| format!("in {}", page::clean(&name))));
    page.line(&Line::new().with(Style::Dim, &words.join(" · ")))?;
    let limits = snapshot.cgroup.as_ref().map(words::limits).unwrap_or_default();
    if !limits.is_empty() {
        let limits = format!("limits: {}", limits.join(" · "));
        page.line(&Line::new().with(Style::Notice, &limits))?;
    }
    // Without a loop of its own they are the answer, and named as such.
    let children = verdict::children(&snapshot.children).filter(|_| snapshot.has_loop_to_judge());
    children.map_or(Ok(()), |children| {
        let line = Line::new().with(Style::Dim, "processes below it: ");
        let more = format!(" (aiospy dump -s {})", process.pid);
        page.line(&line.with(Style::Plain, &children).with(Style::Dim, &more))
    })
}

fn counts(snapshot: &Snapshot, page: &mut Page<'_>) -> io::Result<()> {
    let tasks = &snapshot.tasks;
    if tasks.is_empty() {
        // "0 tasks" would be a claim, if something could not be read.
        return page.text(if snapshot.problems.is_empty() {
            "no tasks"
        } else {
            "no task could be read, which need not mean that there is none: see the problems below"
        });
    }
    let mut line = Line::new().with(Style::Strong, &words::counted(tasks.len(), "task"));
    line.add(Style::Plain, ": ");
    let mut separator = "";
    for (style, words) in words::by_state(tasks) {
        line.add(Style::Plain, separator);
        line.add(style, &words);
        separator = ", ";
    }
    if snapshot.unread_tasks > 0 {
        let unread = format!("{} could not be read", words::count(snapshot.unread_tasks));
        line.add(Style::Plain, ", ");
        line.add(Style::Notice, &unread);
    }
    if let Some(cut) = snapshot.cut {
        let left = cut.tasks_at_least.saturating_sub(cut.tasks_read + snapshot.unread_tasks);
        line.add(Style::Plain, ", at least ");
        line.add(Style::Notice, &format!("{} not read (--max-memory)", words::count(left)));
    }
    page.line(&line)?;
    cancellations(tasks, page)
}

/// How many tasks are asked to end, and how far that is.
fn cancellations(tasks: &[Task], page: &mut Page<'_>) -> io::Result<()> {
    let (mut to_be_told, mut handling, mut unheeded) = (0, 0, 0);
    for task in tasks {
        let Some(cancellation) = &task.cancellation else { continue };
        if task.is_over() {
            continue;
        }
        if cancellation.must_cancel || cancellation.in_flight {
            to_be_told += 1;
        } else if cancellation.handling.is_some() {
            handling += 1;
        } else if words::is_unheeded(cancellation) {
            unheeded += 1;
        }
    }
    let parts: Vec<String> = [
        (unheeded, "asked and going on"),
        (handling, "handling CancelledError"),
        (to_be_told, "not told yet"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{} {what}", words::count(number)))
    .collect();
    if parts.is_empty() {
        return Ok(());
    }
    let line = Line::new().with(Style::Strong, "cancellations").with(Style::Plain, ": ");
    page.line(&line.with(Style::Notice, &parts.join(", ")))
}

/// One block for each task.
fn flat(
    snapshot: &Snapshot,
    view: View<'_>,
    lines: &Lines<'_>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let findings = snapshot.findings.as_deref().unwrap_or_default();
    let forest = forest::Forest::new(&snapshot.tasks, findings);
    let by_id: FxHashMap<Address, &Task> =
        snapshot.tasks.iter().map(|task| (task.id, task)).collect();
    let names = TaskNames::of(snapshot);
    let loops: FxHashMap<Address, usize> =
        snapshot.loops.iter().enumerate().map(|(at, of)| (of.id, at + 1)).collect();
    for (at, node) in forest.flat().into_iter().enumerate() {
        if at > 0 {
            page.blank()?;
        }
        let task = node.task;
        let name = task.name.as_deref().unwrap_or("unnamed");
        let mut line = Line::new().with(Style::Dim, "task ").with(Style::Strong, name);
        let (style, state) = words::task_state(task.state);
        line.add(style, &format!("  {state}"));
        line.add(Style::Dim, &format!("  {}", task.id));
        page.line(&line)?;
        let mut fact = |label: &str, style, value: &str| {
            let mut line = Line::new().with(Style::Dim, "    ").with(Style::Dim, label);
            line.pad_to(18);
            page.line(&line.with(style, value))
        };
        if let Some(work) = task.work.as_deref() {
            let age = work.since.map(|since| format!(", for {}", words::age(since)));
            let client = work.client.as_ref().map(|client| format!(", from {client}"));
            let of_it = [age, client].into_iter().flatten().collect::<String>();
            fact("works for", Style::Strong, &format!("{}{of_it}", work.live_name()))?;
        }
        if let Some(coroutine) = &task.coroutine {
            fact("coroutine", Style::Plain, coroutine)?;
        }
        if let Some(number) = task.loop_id.and_then(|id| loops.get(&id)).filter(|_| loops.len() > 1)
        {
            fact("loop", Style::Plain, &number.to_string())?;
        }
        let cancellation = words::cancellation(task);
        if !cancellation.is_empty() {
            fact("cancellation", Style::Notice, &cancellation.join(", "))?;
        }
        if task.is_torn {
            fact("doubtful", Style::Notice, "changed while it was read")?;
        }
        if !task.awaited_by.is_empty() {
            let mut names: Vec<String> = task
                .awaited_by
                .iter()
                .take(MAX_AWAITERS)
                .map(|id| match by_id.get(id).and_then(|task| task.name.as_deref()) {
                    Some(name) => format!("{name} ({id})"),
                    None => id.to_string(),
                })
                .collect();
            if let Some(more) = task.awaited_by.len().checked_sub(MAX_AWAITERS + 1) {
                names.push(format!("… {} more", words::count(more + 1)));
            }
            fact("awaited by", Style::Plain, &names.join(", "))?;
        }
        for (severity, code) in &node.marks {
            fact("finding", findings::word(*severity).0, code.as_str())?;
        }
        for reason in waiting::reasons([task], &names) {
            fact("waits for", Style::Reason, &reason)?;
        }
        if let Some(awaited) = task.waiting_on.as_deref().and_then(|w| waiting::awaited(w, &names))
        {
            fact("tasks", Style::Plain, &awaited)?;
        }
        let context = task.context.as_deref();
        if let Some(words) = context.and_then(Context::in_words) {
            fact("context", Style::Plain, &words)?;
        }
        // Values are there only where they were asked for.
        let has_values = |it: &&Context| it.variables.iter().any(|it| it.value.is_some());
        let shown = context.filter(|it| view.is_verbose || has_values(it));
        if let Some(words) = shown.and_then(Context::variables_in_words) {
            fact("variables", Style::Plain, &words)?;
        }
        tree::frames(page, "    ", &[task], lines)?;
    }
    Ok(())
}

/// The stacks of threads, outermost frame first.
///
/// # Errors
/// Those of the page.
pub fn threads(threads: &[Thread], lines: &Lines<'_>, page: &mut Page<'_>) -> io::Result<()> {
    for (at, thread) in threads.iter().enumerate() {
        if at > 0 {
            page.blank()?;
        }
        let line = Line::new().with(Style::Strong, &thread_name(thread));
        let doing: Vec<String> =
            words::thread(thread.state, thread.syscall.as_ref()).into_iter().collect();
        page.line_with(line, "    ", Style::Plain, &doing)?;
        if thread.frames.is_empty() {
            page.line(&Line::new().with(Style::Dim, "    no Python frame was read"))?;
        }
        match &thread.native {
            Some(native) => native::stack(thread, native, lines, page)?,
            None => tree::stack(page, "    ", &thread.frames, lines)?,
        }
    }
    Ok(())
}

/// `thread 4711 MainThread`, `thread 4712 worker in interpreter 1`
fn thread_name(thread: &Thread) -> String {
    let tid = thread.tid.map(|tid| format!(" {tid}")).unwrap_or_default();
    let name = thread.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    let sub = thread.interpreter.map(|id| format!(" in interpreter {id}")).unwrap_or_default();
    format!("thread{tid}{name}{sub}")
}

fn problems(snapshot: &Snapshot, page: &mut Page<'_>) -> io::Result<()> {
    let problems = &snapshot.problems;
    if problems.is_empty() {
        return Ok(());
    }
    let words = format!("{} while reading:", words::counted(problems.len(), "problem"));
    page.line(&Line::new().with(Style::Notice, &words))?;
    for problem in problems.iter().take(MAX_PROBLEMS) {
        let mut line = Line::new().with(Style::Plain, &format!("    {}: ", problem.place));
        line.add(Style::Plain, &format!("{}: {}", problem.wanted, problem.cause));
        page.line(&line)?;
    }
    if let Some(more) = problems.len().checked_sub(MAX_PROBLEMS + 1) {
        page.line(
            &Line::new().with(Style::Dim, &format!("    … {} more", words::count(more + 1))),
        )?;
    }
    page.blank()
}

fn footer(snapshot: &Snapshot, view: View<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let mut line = Line::new().with(Style::Dim, words::consistency(snapshot.consistency));
    line.add(Style::Dim, &format!(" · {}", words::duration(snapshot.elapsed)));
    if snapshot.paused.is_zero() {
        line.add(Style::Dim, " · never paused");
    } else {
        line.add(Style::Dim, &format!(" · paused for {}", words::duration(snapshot.paused)));
    }
    page.line(&line)?;
    if view.is_verbose { cost(snapshot, page) } else { Ok(()) }
}

/// What the reading took.
fn cost(snapshot: &Snapshot, page: &mut Page<'_>) -> io::Result<()> {
    let bytes = usize::try_from(snapshot.reads.bytes).unwrap_or(usize::MAX);
    let calls = usize::try_from(snapshot.reads.calls).unwrap_or(usize::MAX);
    let words =
        format!("{} bytes in {}", words::count(bytes), words::counted(calls, "system call"));
    page.line(&Line::new().with(Style::Dim, &words))
}
