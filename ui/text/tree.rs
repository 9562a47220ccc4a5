//! The await forest: tasks with their frames, and below them the tasks they wait for.
//!
//! ```text
//! (T) gather-parent  pending
//! │   gather_parent  app.py:50
//! │         50 │ await asyncio.gather(*probes, writer)
//! │   → gather: 4 of 4 pending
//! ├── (T) probe-{1..3}  ×3  pending
//! │       read_row  app.py:12
//! │             12 │ row = await self.rows.get()
//! │       → queue self.rows, empty
//! └── (T) writer  running
//!         write  app.py:20
//!               20 │ self.file.write(row)
//! ```
//!
//! A task that several tasks wait for is shown once and referred to from then on; waits that go
//! in a circle are said to.

use std::io;

use aiospy::memory::Address;
use aiospy::snapshot::{Frame, Snapshot, Task};
use rustc_hash::FxHashMap;
use unicode_width::UnicodeWidthStr;

use super::forest::{Forest, Node};
use super::page::{self, Line, Page, Style};
use super::source::{Lines, innermost_own};
use super::waiting::{self, Names};
use super::{findings, names, path, words};

/// The widest column of function names; a longer name pushes its own line to the right.
const MAX_FUNCTION: usize = 36;
/// Depth of the drawing where lines are not cut.
const MAX_LEVELS: usize = 40;
/// Columns of one level.
const INDENT: usize = 4;

/// What is said of a task that waits for itself through others.
const CYCLE: &str = "cycle: this wait leads back to where it began";

/// What is still to be drawn.
enum Step {
    /// Tasks of one look, perhaps shown elsewhere by then.
    Show(Group),
    /// Tasks that are not shown yet.
    Draw(Group),
    /// Tasks that are shown elsewhere.
    Refer(Group),
    /// Tasks that are shown above on the way to here.
    Cycle(Group),
    /// Everything below these tasks has been drawn.
    Leave(Vec<usize>),
}

/// Tasks of one look below the same tasks.
struct Group {
    members: Vec<usize>,
    /// The lines of the tree left of it.
    prefix: String,
    level: usize,
    is_last: bool,
}

struct Drawing<'a, 'p, 'w> {
    forest: Forest<'a>,
    names: Names<'a>,
    lines: &'p Lines<'p>,
    page: &'p mut Page<'w>,
    is_shown: Vec<bool>,
    /// Whether a start for drawing it has been found below which it lies.
    is_covered: Vec<bool>,
    is_on_path: Vec<bool>,
    max_levels: usize,
}

/// Draws all tasks, one section for each loop if there are several.
///
/// # Errors
/// Those of the page.
pub fn draw(snapshot: &Snapshot, lines: &Lines<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let forest = Forest::new(&snapshot.tasks, snapshot.findings.as_deref().unwrap_or_default());
    let sections = sections(snapshot, &forest);
    let max_levels = page.width().map_or(MAX_LEVELS, |width| (width / 2 / INDENT).max(2));
    let count = forest.nodes.len();
    let mut drawing = Drawing {
        forest,
        names: Names::of(snapshot),
        lines,
        page,
        is_shown: vec![false; count],
        is_covered: vec![false; count],
        is_on_path: vec![false; count],
        max_levels,
    };
    for (at, section) in sections.iter().enumerate() {
        if at > 0 {
            drawing.page.blank()?;
        }
        if sections.len() > 1 {
            drawing.page.line(&Line::new().with(Style::Strong, &section.title))?;
        }
        let is_root =
            |at: &usize| drawing.forest.nodes.get(*at).is_some_and(|node| node.awaiters.is_empty());
        let roots: Vec<usize> = section.members.iter().copied().filter(is_root).collect();
        drawing.trees(roots)?;
        // What is left hangs below a cycle of waits, which has no root.
        let rootless = drawing.rootless(&section.members);
        drawing.trees(rootless)?;
    }
    Ok(())
}

/// The tasks of one loop.
struct Section {
    title: String,
    members: Vec<usize>,
}

/// The loops that have tasks, in the order of the header; then those that are not listed there.
fn sections(snapshot: &Snapshot, forest: &Forest<'_>) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut index: FxHashMap<Option<Address>, usize> = FxHashMap::default();
    for (at, of) in snapshot.loops.iter().enumerate() {
        index.insert(Some(of.id), sections.len());
        sections.push(Section { title: format!("tasks of loop {}", at + 1), members: Vec::new() });
    }
    for (member, node) in forest.nodes.iter().enumerate() {
        let at = *index.entry(node.task.loop_id).or_insert_with(|| {
            let title = match node.task.loop_id {
                Some(id) => format!("tasks of loop {id}, which no thread runs"),
                None => "tasks whose loop is not known".to_owned(),
            };
            sections.push(Section { title, members: Vec::new() });
            sections.len() - 1
        });
        if let Some(section) = sections.get_mut(at) {
            section.members.push(member);
        }
    }
    sections.retain(|section| !section.members.is_empty());
    sections
}

impl Drawing<'_, '_, '_> {
    fn is_shown(&self, at: usize) -> bool {
        is_set(&self.is_shown, at)
    }

    /// For each cycle among `members` that nobody waits for, and that is not shown yet, one task
    /// on it.
    fn rootless(&mut self, members: &[usize]) -> Vec<usize> {
        let mut starts = Vec::new();
        for &member in members {
            if self.is_shown(member) || is_set(&self.is_covered, member) {
                continue;
            }
            let start = self.forest.cycle_above(member);
            starts.push(start);
            let mut reached = vec![start];
            while let Some(at) = reached.pop() {
                let Some(is_covered) = self.is_covered.get_mut(at) else { continue };
                if !std::mem::replace(is_covered, true) {
                    reached.extend(self.forest.nodes.get(at).into_iter().flat_map(|n| &n.awaited));
                }
            }
        }
        starts
    }

    /// Draws the trees of `roots`, like ones together.
    fn trees(&mut self, roots: Vec<usize>) -> io::Result<()> {
        let show =
            |members| Step::Show(Group { members, prefix: String::new(), level: 0, is_last: true });
        let mut steps: Vec<Step> = self.forest.groups(roots).into_iter().rev().map(show).collect();
        while let Some(step) = steps.pop() {
            match step {
                Step::Show(group) => self.split(group, &mut steps),
                Step::Draw(group) => self.group(group, &mut steps)?,
                Step::Refer(group) => self.reference(&group, Style::Dim, "↑ see above")?,
                Step::Cycle(group) => self.reference(&group, Style::Alarm, CYCLE)?,
                Step::Leave(members) => self.mark_path(&members, false),
            }
        }
        Ok(())
    }

    /// Tells those that are new from those that are shown elsewhere by now: each part of them
    /// gets a line of its own.
    fn split(&self, group: Group, steps: &mut Vec<Step>) {
        let Group { members, prefix, level, is_last } = group;
        let (old, new): (Vec<usize>, Vec<usize>) =
            members.into_iter().partition(|&at| self.is_shown(at));
        let (cycle, shown): (Vec<usize>, Vec<usize>) =
            old.into_iter().partition(|&at| is_set(&self.is_on_path, at));
        let mut is_last = is_last;
        // The last one first: it is a stack.
        for (members, step) in
            [(cycle, Step::Cycle as fn(Group) -> Step), (shown, Step::Refer), (new, Step::Draw)]
        {
            if !members.is_empty() {
                steps.push(step(Group { members, prefix: prefix.clone(), level, is_last }));
                is_last = false;
            }
        }
    }

    /// Draws tasks of one look, and puts what they wait for on the list.
    fn group(&mut self, group: Group, steps: &mut Vec<Step>) -> io::Result<()> {
        for &at in &group.members {
            if let Some(is_shown) = self.is_shown.get_mut(at) {
                *is_shown = true;
            }
        }
        let members = group.members.iter().filter_map(|&at| self.forest.nodes.get(at));
        let awaited = members.flat_map(|node| node.awaited.iter().copied());
        let below = self.forest.groups(awaited);

        let Some(first) = group.members.first().and_then(|&at| self.forest.nodes.get(at)) else {
            return Ok(());
        };
        let task = first.task;
        let mut line = self.title(&group);
        let (style, state) = words::task_state(task.state);
        line.add(style, &format!("  {state}"));
        for (severity, code) in &first.marks {
            line.add(findings::word(*severity).0, &format!("  [{code}]"));
        }
        match (first.awaiters.len(), task.awaited_by.len()) {
            (0, 1..) => line.add(Style::Dim, "  awaited by a task that was not read"),
            (0 | 1, _) => {}
            (awaiters, _) => line.add(Style::Dim, &format!("  awaited by {awaiters} tasks")),
        }
        if group.members.len() > 1 && task.frames.iter().any(|frame| frame.locals.is_some()) {
            line.add(Style::Dim, &format!("  locals of {}", name(first)));
        }
        if task.is_torn {
            line.add(Style::Notice, "  changed while it was read");
        }

        let mut prefix = group.prefix;
        if group.level > 0 && group.level <= self.max_levels {
            prefix.push_str(if group.is_last { "    " } else { "│   " });
        }
        let margin = format!("{prefix}{}", if below.is_empty() { "    " } else { "│   " });
        self.page.line_with(line, &margin, Style::Notice, &words::cancellation(task))?;
        let members: Vec<&Task> = group
            .members
            .iter()
            .filter_map(|&at| self.forest.nodes.get(at).map(|node| node.task))
            .collect();
        frames(self.page, &margin, &members, self.lines)?;
        for reason in waiting::reasons(members.iter().copied(), &self.names) {
            let line = Line::new().with(Style::Dim, &margin).with(Style::Reason, "→ ");
            let margin = format!("{margin}  ");
            self.page.wrapped(line, &margin, usize::MAX, Style::Reason, &reason)?;
        }

        self.mark_path(&group.members, true);
        steps.push(Step::Leave(group.members));
        let last = below.len().saturating_sub(1);
        let level = group.level + 1;
        steps.extend(below.into_iter().enumerate().rev().map(|(at, members)| {
            Step::Show(Group { members, prefix: prefix.clone(), level, is_last: at == last })
        }));
        Ok(())
    }

    /// Draws one line for tasks that are shown elsewhere.
    fn reference(&mut self, group: &Group, style: Style, where_to: &str) -> io::Result<()> {
        let line = self.title(group);
        self.page.line(&line.with(Style::Dim, "  ").with(style, where_to))
    }

    /// `├── (T) worker-{0..39}  ×40`
    fn title(&self, group: &Group) -> Line {
        let mut line = Line::new().with(Style::Dim, &group.prefix);
        if group.level > 0 {
            line.add(Style::Dim, if group.is_last { "└── " } else { "├── " });
        }
        line.add(Style::Dim, "(T) ");
        if group.level > self.max_levels {
            line.add(Style::Dim, &format!("[{} deep] ", group.level));
        }
        let nodes = group.members.iter().filter_map(|&at| self.forest.nodes.get(at));
        if let [_] = group.members.as_slice() {
            for node in nodes {
                line.add(Style::Strong, &name(node));
            }
            return line;
        }
        let count = format!("  ×{}", words::count(group.members.len()));
        let folded = names::fold(nodes.filter_map(|node| node.task.name.as_deref()));
        let folded = if folded.is_empty() { "unnamed tasks".to_owned() } else { folded };
        // The number must not fall victim to the end of the line.
        let room = self.page.room(line.width() + count.width() + "  pending".len()).max(12);
        line.add(Style::Strong, &page::fit(&page::clean(&folded), room));
        line.add(Style::Plain, &count);
        line
    }

    fn mark_path(&mut self, members: &[usize], is_on: bool) {
        for &at in members {
            if let Some(is_on_path) = self.is_on_path.get_mut(at) {
                *is_on_path = is_on;
            }
        }
    }
}

fn is_set(flags: &[bool], at: usize) -> bool {
    flags.get(at).copied().unwrap_or(false)
}

/// The name of a task, or its address where it has none.
fn name(node: &Node<'_>) -> String {
    node.task.name.as_deref().map_or_else(|| node.task.id.to_string(), str::to_owned)
}

/// Writes the frames of tasks of one look, outermost first, with `margin` before each.
///
/// # Errors
/// Those of the page.
pub fn frames(
    page: &mut Page<'_>,
    margin: &str,
    tasks: &[&Task],
    lines: &Lines<'_>,
) -> io::Result<()> {
    let Some(first) = tasks.first() else { return Ok(()) };
    if first.frames.is_empty() {
        let line = Line::new().with(Style::Dim, margin);
        return match &first.coroutine {
            Some(coroutine) => page
                .line(&line.with(Style::Plain, coroutine).with(Style::Dim, "  no frame was read")),
            None => page.line(&line.with(Style::Dim, "no frame was read")),
        };
    }
    let limits = waiting::limits_by_frame(tasks.iter().copied());
    stack_with(page, margin, &first.frames, lines, &limits)
}

/// Writes frames, outermost first, with `margin` before each.
///
/// # Errors
/// Those of the page.
pub fn stack(
    page: &mut Page<'_>,
    margin: &str,
    frames: &[Frame],
    lines: &Lines<'_>,
) -> io::Result<()> {
    stack_with(page, margin, frames, lines, &FxHashMap::default())
}

/// Writes frames; behind each the time limit that it has set, which is an alarm when it is past.
fn stack_with(
    page: &mut Page<'_>,
    margin: &str,
    frames: &[Frame],
    lines: &Lines<'_>,
    limits: &FxHashMap<usize, (String, bool)>,
) -> io::Result<()> {
    let start = margin.width();
    let widths = frames.iter().map(|frame| page::clean(&frame.location.function).width());
    let column = start + widths.filter(|width| *width <= MAX_FUNCTION).max().unwrap_or(0) + 2;
    let own = innermost_own(frames);
    for (at, frame) in frames.iter().enumerate() {
        let location = &frame.location;
        let mut line = Line::new().with(Style::Dim, margin);
        // A name that leaves no room for the place loses its end; the place matters more.
        let room = page.room(start + 2 + path::place(&location.file, location.line, 0).width());
        let function = page::clean(&location.function);
        // One's own code stands out against Python's.
        let style = if path::is_library(&location.file) { Style::Dim } else { Style::Plain };
        line.add(style, &page::fit(&function, room.max(MAX_FUNCTION / 2)));
        line.pad_to((line.width() + 2).max(column));
        let room = page.room(line.width());
        line.add(Style::Dim, &path::place(&location.file, location.line, room));
        match limits.get(&at) {
            Some((words, is_past)) => {
                let style = if *is_past { Style::Alarm } else { Style::Plain };
                let margin = format!("{margin}    ");
                page.line_with(line, &margin, style, std::slice::from_ref(words))?;
            }
            None => page.line(&line)?,
        }
        if Some(at) == own {
            lines.show(page, margin, &location.file, location.line)?;
        }
        for (name, value) in frame.locals.iter().flatten() {
            let line = Line::new().with(Style::Dim, margin).with(Style::Dim, "    ");
            page.line(&line.with(Style::Dim, &format!("{name} = {value}")))?;
        }
    }
    Ok(())
}
