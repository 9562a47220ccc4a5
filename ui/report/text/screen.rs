//! A report that fits one screen: the answer first and last, each cause in a few lines, the tasks in
//! groups. What has no room is counted, with the option that shows it.

use std::io;

use aiospy::known::command;
use aiospy::snapshot::{
    Answer, Consistency, Container, Depth, Finding, Level, Loop, LoopState, Severity, Shutdown,
    Snapshot, Stage, by_root, duration_in_column,
};
use unicode_width::UnicodeWidthStr as _;

use super::blocks::{Blocks, wrapped};
use super::group::Group;
use super::source::Lines;
use super::table::{self, Row};
use super::{Shape, View, verdict, words};
use crate::io::page::{COLUMNS, Line, NARROW, Page, Style, clean, fit};

/// The narrowest page that it is made for.
const MIN_WIDTH: usize = 40;
/// How many lines it has: those of a terminal, less the one of the prompt.
const MAX_LINES: usize = 23;
/// From this width on there is more of a command line.
const WIDE: usize = 100;
/// How many rows the table has.
const MAX_ROWS: usize = 8;
/// How many loops the header names.
const MAX_LOOPS: usize = 2;

/// How much of everything is shown.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Causes with all their lines.
    whole: usize,
    /// Those in one line each.
    brief: usize,
    /// What follows from each.
    followers: usize,
    /// Notes in a line of their own.
    notes: usize,
    rows: usize,
    joins_idle: bool,
}

impl Plan {
    /// From the fullest on: notes give way first, then idle groups, then what is found after the third
    /// cause, and so on; the first cause keeps its lines.
    fn all() -> impl Iterator<Item = Self> {
        let full = Self {
            whole: usize::MAX,
            brief: usize::MAX,
            followers: 2,
            notes: 3,
            rows: MAX_ROWS,
            joins_idle: false,
        };
        let no_notes = Self { notes: 0, ..full };
        let no_idle = Self { joins_idle: true, ..no_notes };
        let few = (1..=3).rev().map(move |whole| Self { whole, ..no_idle });
        let fewer = (3..MAX_ROWS).rev().map(move |rows| Self { whole: 1, rows, ..no_idle });
        let least = Self { whole: 1, rows: 3, ..no_idle };
        let brief = [6, 4, 2, 1, 0].map(move |brief| Self { brief, ..least });
        let shortest = Self { brief: 0, followers: 1, ..least };
        [full, no_notes, no_idle].into_iter().chain(few).chain(fewer).chain(brief).chain([shortest])
    }
}

/// What the report is made of.
struct Screen<'s> {
    snapshot: &'s Snapshot,
    lines: &'s Lines<'s>,
    width: usize,
    answer: Option<Answer>,
    chains: Vec<Chain<'s>>,
    notes: Vec<&'s Finding>,
    rows: Vec<Row>,
    is_tree: bool,
}

/// Writes the verdict, on one line where it fits.
///
/// # Errors
/// Those of the page.
pub fn verdict(snapshot: &Snapshot, page: &mut Page<'_>) -> io::Result<()> {
    let width = width(page);
    let Some(answer) = snapshot.answer() else { return Ok(()) };
    said(snapshot, &answer, width).iter().try_for_each(|line| page.line(line))
}

/// Writes the report; what is asked for besides stands before its last lines.
///
/// # Errors
/// Those of the page.
pub fn draw(
    snapshot: &Snapshot,
    lines: &Lines<'_>,
    view: View<'_>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let mut screen = Screen::of(snapshot, lines, width(page));
    screen.is_tree = view.shape == Shape::Tree;
    let mut plans = Plan::all().map(|plan| screen.laid_out(plan)).peekable();
    let parts = loop {
        match plans.next() {
            Some(parts) if plans.peek().is_none() || parts.count() <= MAX_LINES => break parts,
            Some(_) => {}
            None => return Ok(()),
        }
    };
    let write = |page: &mut Page<'_>, lines: &[Line]| lines.iter().try_for_each(|it| page.line(it));
    write(page, &parts.verdict)?;
    if view.shape == Shape::Tree {
        page.blank()?;
        super::folded::draw(snapshot, lines, page)?;
        page.blank()?;
    } else if view.has_evidence {
        page.blank()?;
        super::findings::section(snapshot, lines, page)?;
    } else {
        write(page, &parts.blocks)?;
        page.blank()?;
    }
    if view.shape != Shape::Tree {
        write(page, &parts.table)?;
        page.blank()?;
    }
    if view.has_threads {
        super::loops::section(snapshot, lines, page)?;
        super::counts(snapshot, page)?;
        page.blank()?;
        super::threads(&snapshot.threads, lines, page)?;
        page.blank()?;
    }
    super::heap::section(snapshot, page)?;
    if view.is_verbose {
        super::problems(snapshot, page)?;
    }
    write(page, &parts.footer)?;
    if view.is_verbose {
        super::cost(snapshot, page)?;
    }
    lines.say_changed(page)?;
    write(page, &parts.verdict)
}

fn width(page: &Page<'_>) -> usize {
    page.columns().max(MIN_WIDTH)
}

/// The lines of a report.
struct Parts {
    verdict: Vec<Line>,
    blocks: Vec<Line>,
    table: Vec<Line>,
    footer: Vec<Line>,
    has_changed: bool,
}

impl Parts {
    fn count(&self) -> usize {
        // One is blank before the table, and one behind it.
        let parts = [&self.verdict, &self.blocks, &self.table, &self.footer, &self.verdict];
        parts.map(Vec::len).iter().sum::<usize>() + 2 + usize::from(self.has_changed)
    }
}

impl<'s> Screen<'s> {
    fn of(snapshot: &'s Snapshot, lines: &'s Lines<'s>, width: usize) -> Self {
        let (chains, notes) = causes(snapshot);
        let rows = table::rows(&snapshot.main_groups(), snapshot, width);
        let answer = snapshot.answer();
        Self { snapshot, lines, width, answer, chains, notes, rows, is_tree: false }
    }

    fn laid_out(&self, plan: Plan) -> Parts {
        let verdict = self.answer.as_ref().map(|answer| said(self.snapshot, answer, self.width));
        let blocks = self.blocks(plan);
        let mut table = self.identity();
        let rows = self.rows(plan);
        if !rows.is_empty() {
            table.extend(table::lines(&rows, self.width));
        }
        Parts {
            verdict: verdict.unwrap_or_default(),
            blocks,
            table,
            footer: self.footer(),
            has_changed: self.lines.has_changed(),
        }
    }

    fn rows(&self, plan: Plan) -> Vec<Row> {
        let rows = self.rows.clone();
        let joins_idle = plan.joins_idle || rows.len() > plan.rows;
        table::at_most(if joins_idle { table::without_idle(rows) } else { rows }, plan.rows)
    }

    /// The causes, and what else was found.
    fn blocks(&self, plan: Plan) -> Vec<Line> {
        let mut head = Vec::new();
        let blocks = Blocks::of(self.snapshot, self.lines, self.width);
        let said = self.answer.as_ref().and_then(|answer| answer.cause);
        for (at, (root, followers)) in self.chains.iter().enumerate() {
            if at >= plan.whole {
                break;
            }
            let is_said = at == 0 && said == Some(root.id);
            if !is_said {
                head.push(Line::new());
            }
            head.extend(blocks.whole(root, followers, !is_said, plan.followers));
        }
        let rest = self.chains.get(plan.whole.min(self.chains.len())..).unwrap_or_default();
        let (brief, left) = rest.split_at(plan.brief.min(rest.len()));
        if !rest.is_empty() {
            head.push(Line::new());
        }
        for (root, followers) in brief {
            head.extend(blocks.brief(root, followers));
        }
        if !left.is_empty() {
            let words =
                format!("   {}: --all-findings", words::counted(left.len(), "more finding"));
            head.push(Line::new().with(Style::Dim, &words));
        }
        if self.notes.is_empty() {
            return head;
        }
        if rest.is_empty() {
            head.push(Line::new());
        }
        if self.notes.len() <= plan.notes {
            for note in &self.notes {
                head.extend(blocks.brief(note, &[]));
            }
            return head;
        }
        head.push(notes(&self.notes, self.width));
        head
    }

    /// `   22153 uvicorn shop:app · CPython 3.12.1 · up 65.1 s · loop 1 polling`
    fn identity(&self) -> Vec<Line> {
        let Self { snapshot, width, .. } = *self;
        let process = &snapshot.process;
        let facts = identity(snapshot, width >= WIDE);
        let command = command::program(&process.cmdline);
        let command =
            if command.is_empty() { process.exe.clone().unwrap_or_default() } else { command };
        let head = format!("   {} ", process.pid);
        let tail: usize = facts.iter().map(|fact| fact.width() + 3).sum();
        // It gives way to facts, but not to nothing.
        let room = width.saturating_sub(head.width() + tail).clamp(24, 60);
        let mut lines = vec![];
        let mut line = Line::new().with(Style::Strong, &head);
        line.add(Style::Plain, &fit(&clean(&command), room));
        for fact in &facts {
            let text = format!(" · {fact}");
            if line.width() + text.width() > width {
                lines.push(std::mem::replace(&mut line, Line::new().with(Style::Plain, "   ")));
                line.add(Style::Plain, &fit(fact, width.saturating_sub(3)));
                continue;
            }
            line.add(if fact.contains("BLOCKED") { Style::Alarm } else { Style::Dim }, &text);
        }
        lines.push(line);
        let limits = snapshot.cgroup.as_ref().map(words::limits).unwrap_or_default();
        if !limits.is_empty() {
            let limits = format!("   limits: {}", limits.join(" · "));
            lines.push(Line::new().with(Style::Notice, &limits).fitted(width));
        }
        // Without a loop of its own they are the answer.
        let children =
            verdict::children(&snapshot.children).filter(|_| snapshot.has_loop_to_judge());
        lines.extend(children.map(|children| {
            let line = Line::new().with(Style::Dim, "   processes below it: ");
            let more = format!(" (aiospy dump -s {})", process.pid);
            line.with(Style::Plain, &children).with(Style::Dim, &more).fitted(width)
        }));
        lines
    }

    /// `199 tasks · 2 samples · exact · more: --tree`
    fn footer(&self) -> Vec<Line> {
        let Self { snapshot, width, .. } = *self;
        let pid = snapshot.process.pid;
        let mut facts = read(snapshot, self.answer.as_ref(), width >= WIDE);
        let level = self.answer.as_ref().map(|answer| answer.level);
        let is_blocked = snapshot.loops.iter().any(|it| it.state == Some(LoopState::Blocked));
        let more = match level {
            _ if self.is_tree => "more: --tree=full".to_owned(),
            _ if is_blocked => "more: --threads, --tree".to_owned(),
            _ if snapshot.tasks.is_empty() => "more: --threads".to_owned(),
            Some(Level::NotJudged) => "more: --threads, --tree".to_owned(),
            _ if width >= COLUMNS => "more: --tree, --flat, --all-findings".to_owned(),
            _ => "more: --tree".to_owned(),
        };
        let problems = if snapshot.problems.is_empty() { "" } else { ", -v" };
        facts.push(more + problems);
        let mut lines = wrapped(Line::new(), 0, width, Style::Dim, &facts.join(" · "), usize::MAX);
        // What was written once does not go on.
        let is_live = snapshot.depth >= Depth::Evidence;
        let hint = match (level, verdict::wait(snapshot)) {
            (Some(Level::Undecided), Some(wait)) => {
                Some(format!("To decide: aiospy dump {pid} --wait {}s", wait.as_secs()))
            }
            (Some(Level::Ok), _) if is_live => idle_for(snapshot).or_else(|| {
                Some(format!("A sample can't see short blocks: aiospy watch {pid} -d 10s does."))
            }),
            (Some(Level::NotJudged), _) => {
                verdict::nothing_to_judge(snapshot).map(|it| format!("try: {}", it.remedy))
            }
            _ => None,
        };
        let hint = hint.map(|hint| wrapped(Line::new(), 0, width, Style::Dim, &hint, 2));
        lines.extend(hint.unwrap_or_default());
        lines
    }
}

/// A cause with what follows from it.
pub type Chain<'s> = (&'s Finding, Vec<&'s Finding>);

/// The causes, and what is only worth knowing.
pub fn causes(snapshot: &Snapshot) -> (Vec<Chain<'_>>, Vec<&Finding>) {
    let findings = snapshot.findings.as_deref().unwrap_or_default();
    let chain = |(root, followers): (usize, Vec<usize>)| {
        let followers = followers.into_iter().filter_map(|at| findings.get(at)).collect();
        Some((findings.get(root)?, followers))
    };
    let all = by_root(findings).into_iter().filter_map(chain);
    let is_note = |(root, followers): &Chain<'_>| {
        followers
            .iter()
            .chain([root])
            .all(|it| it.severity == Severity::Info && !snapshot.is_pending(it))
    };
    let (notes, chains): (Vec<_>, Vec<_>) = all.partition(is_note);
    let notes = notes.into_iter().flat_map(|(root, followers)| [vec![root], followers].concat());
    (chains, notes.collect())
}

/// What a process is and does: its Python, how long it has been up, what its loops do, where it is.
pub fn identity(snapshot: &Snapshot, is_wide: bool) -> Vec<String> {
    let process = &snapshot.process;
    let mut facts = Vec::new();
    let implementation = match process.implementation.as_deref() {
        Some("cpython") | None => "CPython",
        Some(other) => other,
    };
    facts.extend(process.python.as_ref().map(|version| {
        let threaded = if process.free_threaded == Some(true) { " free-threaded" } else { "" };
        let debug = if process.debug_build == Some(true) { " debug build" } else { "" };
        format!("{implementation} {version}{threaded}{debug}")
    }));
    let up = process.started_at.map(|at| snapshot.taken_at.duration_since(at));
    let up = up.and_then(|up| std::time::Duration::try_from(up).ok());
    // Ages are those of the end of the reading: none is more than this.
    let up = up.map(|up| up + snapshot.elapsed);
    facts.extend(up.map(|up| format!("up {}", words::duration(up))));
    facts.extend(loops(snapshot, is_wide));
    facts.extend(snapshot.shutdown.as_ref().map(|it| shutting_down(it, is_wide)));
    if is_wide && snapshot.threads.len() > 1 {
        facts.push(words::counted(snapshot.threads.len(), "thread"));
    }
    let container = process.container.as_ref().and_then(Container::short);
    facts.extend(container.map(|name| format!("in {}", clean(&name))));
    if let Some(inner) = process.namespace_pid.filter(|inner| *inner != process.pid) {
        facts.push(format!("{inner} in its own namespace"));
    }
    facts
}

/// How far it was read: `199 tasks`, `2 samples`, `exact`.
pub fn read(snapshot: &Snapshot, answer: Option<&Answer>, is_wide: bool) -> Vec<String> {
    let mut facts = Vec::new();
    let causes = answer.map_or(0, |answer| answer.causes);
    if causes > 1 {
        facts.push(format!("{} causes", words::count(causes)));
    }
    // None would be a claim, if something could not be read.
    match snapshot.tasks.len() {
        0 if !snapshot.problems.is_empty() => facts.push("no task could be read".to_owned()),
        0 => facts.push("no tasks".to_owned()),
        tasks => facts.push(words::counted(tasks, "task")),
    }
    if snapshot.unread_tasks > 0 {
        facts.push(format!("{} unread", words::count(snapshot.unread_tasks)));
    }
    if let Some(cut) = snapshot.cut {
        let left = cut.tasks_at_least.saturating_sub(cut.tasks_read + snapshot.unread_tasks);
        facts.push(format!("≥ {} not read (--max-memory)", words::count(left)));
    }
    if !snapshot.problems.is_empty() {
        facts.push(words::counted(snapshot.problems.len(), "problem"));
    }
    facts.extend(snapshot.looks.map(|looks| words::counted(usize::from(looks), "sample")));
    facts.push(consistency(snapshot.consistency, is_wide).to_owned());
    if is_wide {
        facts.push(words::duration(snapshot.elapsed));
    }
    if !snapshot.paused.is_zero() {
        facts.push(format!("paused for {}", words::duration(snapshot.paused)));
    }
    facts
}

/// Writes the causes of several processes, each with the lines and tasks of its own.
///
/// # Errors
/// Those of the page.
pub fn causes_of_several<'l, 'f: 'l>(
    group: &Group,
    lines: &dyn Fn(&Finding) -> &'l Lines<'f>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    const MOST: usize = 3;
    let (width, findings) = (width(page), &group.findings[..]);
    let is_note = |finding: &Finding| finding.severity == Severity::Info;
    let mut shown = 0;
    for (root, followers) in by_root(findings) {
        let followers: Vec<&Finding> =
            followers.into_iter().filter_map(|at| findings.get(at)).collect();
        let Some(root) = findings.get(root) else { continue };
        if followers.iter().chain([&root]).all(|it| is_note(it)) {
            continue;
        }
        let of = group.snapshots().find(|it| Some(it.process.pid) == root.pid);
        let Some(snapshot) = of else { continue };
        let blocks = Blocks::of(snapshot, lines(root), width);
        if shown > 0 && shown < MOST {
            page.blank()?;
        }
        let drawn = match shown {
            0 => blocks.whole(root, &followers, false, 2),
            1..MOST => blocks.whole(root, &followers, true, 2),
            _ => blocks.brief(root, &followers),
        };
        drawn.iter().try_for_each(|line| page.line(line))?;
        shown += 1;
    }
    let notes: Vec<&Finding> = findings.iter().filter(|it| is_note(it)).collect();
    if !notes.is_empty() {
        page.line(&self::notes(&notes, width))?;
    }
    if shown > 0 || !notes.is_empty() { page.blank() } else { Ok(()) }
}

/// `i  3 notes: task-orphaned, asyncgen-open · --all-findings`
fn notes(notes: &[&Finding], width: usize) -> Line {
    let mut codes: Vec<&str> = Vec::new();
    for code in notes.iter().map(|note| note.code.as_str()) {
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    let count = words::counted(notes.len(), "note");
    let end = " · --all-findings";
    let room = width.saturating_sub(5 + count.width() + end.width());
    let codes = fit(&codes.join(", "), room).into_owned();
    let line = Line::new().with(Style::Active, "i  ");
    line.with(Style::Plain, &format!("{count}: {codes}")).with(Style::Dim, end)
}

/// That no task has run for long: what calls on a service that is thought to be busy would wake it.
fn idle_for(snapshot: &Snapshot) -> Option<String> {
    let idle_for = verdict::idle_for(snapshot)?;
    Some(format!("No task has run for {}.", words::duration(idle_for)))
}

/// The verdict in lines.
fn said(snapshot: &Snapshot, answer: &Answer, width: usize) -> Vec<Line> {
    let (style, sign) = verdict::sign(answer.level);
    // On a narrower page it takes two lines.
    let text = verdict::said(snapshot, answer, width.max(NARROW).saturating_sub(sign.len()));
    wrapped(Line::new().with(style, sign), 3, width, Style::Strong, &text, usize::MAX)
}

/// What each loop does: `loop 1 polling`, `loop 1 BLOCKED 4.24 s (uvloop)`.
fn loops(snapshot: &Snapshot, is_wide: bool) -> Vec<String> {
    let mut all: Vec<(usize, &Loop)> =
        snapshot.loops.iter().enumerate().map(|(at, of)| (at + 1, of)).collect();
    // Those that are blocked, then those that run at all.
    all.sort_by_key(|(_, of)| (of.state != Some(LoopState::Blocked), !of.may_run()));
    let count = all.len();
    let mut words: Vec<String> = all
        .into_iter()
        .take(MAX_LOOPS)
        .map(|(number, of)| format!("loop {number} {}", loop_state(of, snapshot, is_wide)))
        .collect();
    if let Some(more) = count.checked_sub(MAX_LOOPS + 1) {
        words.push(words::counted(more + 1, "more loop"));
    }
    words
}

fn loop_state(of: &Loop, snapshot: &Snapshot, is_wide: bool) -> String {
    let held = snapshot.thread_of(of).and_then(|thread| words::held(thread.state));
    if let Some(held) = held.or(snapshot.is_frozen().then_some("FROZEN with its cgroup")) {
        return held.to_owned();
    }
    let elapsed = of.iteration.as_ref().and_then(|it| it.elapsed).map(duration_in_column);
    let elapsed = elapsed.map(|elapsed| format!(" {elapsed}")).unwrap_or_default();
    let state = match of.state {
        Some(LoopState::Blocked) => format!("BLOCKED{elapsed}"),
        Some(LoopState::Running) => format!("running{elapsed}"),
        // For how long one polls says nothing about it.
        Some(LoopState::Polling) => "polling".to_owned(),
        _ => words::loop_state(of).1,
    };
    let class = words::loop_class(&of.class);
    let class = class.split('.').next().filter(|_| is_wide && class.starts_with("uvloop"));
    match class {
        Some(class) => format!("{state} ({class})"),
        None => state,
    }
}

fn shutting_down(shutdown: &Shutdown, is_wide: bool) -> String {
    if !is_wide {
        return "shutting down".to_owned();
    }
    let stage = match shutdown.stage {
        Stage::Graceful => "graceful",
        Stage::CancelAll => "cancel-all",
        Stage::Asyncgens => "asyncgens",
        Stage::DefaultExecutor => "executor",
        Stage::InterpreterThreads => "threads",
    };
    format!("shutting down: {}, {stage}", shutdown.by)
}

fn consistency(consistency: Consistency, is_wide: bool) -> &'static str {
    match consistency {
        Consistency::Exact if is_wide => "exact: no thread ran meanwhile",
        Consistency::Exact => "exact",
        Consistency::SameStep if is_wide => "same step: one callback ran meanwhile",
        Consistency::SameStep => "same step",
        Consistency::BestEffort if is_wide => "best effort: the target ran meanwhile",
        Consistency::BestEffort => "best effort",
    }
}

#[cfg(test)]
mod tests;
