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

use aiospy::snapshot::{Frame, Origin, Snapshot, Task};
use rustc_hash::FxHashMap;
use unicode_width::UnicodeWidthStr;

use super::forest::{Forest, Node};
use super::outline::{INDENT, Outline, Row, RowKind};
use super::source::{Lines, innermost_own};
use super::waiting::{self, TaskNames};
use super::{findings, names, path, words};
use crate::io::page::{self, Line, Page, Style};

/// The widest column of function names; a longer name pushes its own line to the right.
const MAX_FUNCTION: usize = 36;
/// Depth of the drawing where lines are not cut.
const MAX_LEVELS: usize = 40;

/// What is said of a task that waits for itself through others.
pub const CYCLE: &str = "cycle: this wait leads back to where it began";
/// What is said of a task that is drawn elsewhere.
pub const ABOVE: &str = "↑ see above";

struct Drawing<'a, 'p, 'w> {
    forest: &'p Forest<'a>,
    names: TaskNames<'a>,
    lines: &'p Lines<'p>,
    page: &'p mut Page<'w>,
    max_levels: usize,
}

/// Draws all tasks, one section for each loop if there are several.
///
/// # Errors
/// Those of the page.
pub fn draw(snapshot: &Snapshot, lines: &Lines<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let forest = Forest::new(&snapshot.tasks, snapshot.findings.as_deref().unwrap_or_default());
    let max_levels = page.width().map_or(MAX_LEVELS, |width| (width / 2 / INDENT).max(2));
    let rows = Outline::of(&forest, max_levels).rows(snapshot);
    let mut drawing =
        Drawing { forest: &forest, names: TaskNames::of(snapshot), lines, page, max_levels };
    for (at, row) in rows.iter().enumerate() {
        match &row.kind {
            RowKind::Section(title) => {
                if at > 0 {
                    drawing.page.blank()?;
                }
                drawing.page.line(&Line::new().with(Style::Strong, title))?;
            }
            RowKind::Tasks => drawing.group(row)?,
            RowKind::Above => drawing.reference(row, Style::Dim, ABOVE)?,
            RowKind::Cycle => drawing.reference(row, Style::Alarm, CYCLE)?,
        }
    }
    Ok(())
}

impl Drawing<'_, '_, '_> {
    /// Draws tasks of one look.
    fn group(&mut self, row: &Row) -> io::Result<()> {
        let Some(first) = row.members.first().and_then(|&at| self.forest.nodes.get(at)) else {
            return Ok(());
        };
        let task = first.task;
        let mut line = self.title(row);
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
        if row.members.len() > 1 && task.frames.iter().any(|frame| frame.locals.is_some()) {
            line.add(Style::Dim, &format!("  locals of {}", name(first)));
        }
        if task.is_torn {
            line.add(Style::Notice, "  changed while it was read");
        }

        let prefix = row.inner_prefix(self.max_levels);
        let margin = format!("{prefix}{}", if row.has_below { "│   " } else { "    " });
        self.page.line_with(line, &margin, Style::Notice, &words::cancellation(task))?;
        let members: Vec<&Task> = row
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
        Ok(())
    }

    /// Draws one line for tasks that are shown elsewhere.
    fn reference(&mut self, group: &Row, style: Style, where_to: &str) -> io::Result<()> {
        let line = self.title(group);
        self.page.line(&line.with(Style::Dim, "  ").with(style, where_to))
    }

    /// `├── (T) worker-{0..39}  ×40`
    fn title(&self, group: &Row) -> Line {
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
    // One that has ended has none.
    if first.frames.is_empty() && first.is_over() {
        let coroutine = first.coroutine.as_deref().unwrap_or("ended");
        return page.line(&Line::new().with(Style::Dim, margin).with(Style::Plain, coroutine));
    }
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
        let room = page.room(start + 2 + path::place(location.path(), location.line, 0).width());
        let function = page::clean(&location.function);
        // One's own code stands out against Python's.
        let style = if location.origin == Origin::Stdlib { Style::Dim } else { Style::Plain };
        line.add(style, &page::fit(&function, room.max(MAX_FUNCTION / 2)));
        line.pad_to((line.width() + 2).max(column));
        let room = page.room(line.width());
        line.add(Style::Dim, &path::place(location.path(), location.line, room));
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
