//! Who waits for whom.

use aiospy::snapshot::Task;
use unicode_width::UnicodeWidthStr;

use super::canvas::Canvas;
use super::select;
use super::tasks::{cancel_word, reason};
use crate::io::page::{self, Line, Style};
use crate::report::text::outline::RowKind;
use crate::report::text::short::ById;
use crate::report::text::{findings, names, tree, words};
use crate::top::layout::{Regions, narrow};
use crate::top::rows::{MAX_LEVELS, Rows, TreeRow};
use crate::top::state::{App, Watched};

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let Rows::Tree(rows) = &watched.rows else { return };
    if rows.is_empty() {
        canvas.nothing(regions.list, "no tasks");
        return;
    }
    let by_id = ById::of(watched.snapshot());
    let shown = app.list().shown(rows.len(), usize::from(regions.list.height));
    let width = usize::from(regions.list.width);
    for (y, row) in rows.iter().skip(shown.start).take(shown.len()).enumerate() {
        canvas.line(regions.list, narrow(y), &line(row, watched, &by_id, width));
    }
    select(app, regions.list, canvas);
}

fn line(of: &TreeRow, watched: &Watched, by_id: &ById<'_>, width: usize) -> Line {
    let row = &of.row;
    if let RowKind::Section(title) = &row.kind {
        return Line::new().with(Style::Plain, " ").with(Style::Strong, title);
    }
    let tasks = &watched.snapshot().tasks;
    let members: Vec<&Task> = row.members.iter().filter_map(|&at| tasks.get(at)).collect();
    let Some(first) = members.first().copied() else { return Line::new() };
    let mut line = Line::new().with(Style::Plain, " ").with(Style::Dim, &row.prefix);
    if row.level > 0 {
        line.add(Style::Dim, if row.is_last { "└── " } else { "├── " });
    }
    if row.level > MAX_LEVELS {
        line.add(Style::Dim, &format!("[{} deep] ", row.level));
    }
    let mark = match (row.has_below, row.is_folded) {
        (false, _) => "  ",
        (true, true) => "▸ ",
        (true, false) => "▾ ",
    };
    line.add(Style::Dim, mark);
    let name = name(&members, width.saturating_sub(line.width()) / 2);
    line.add(if of.is_match { Style::Notice } else { Style::Strong }, &name);
    match row.kind {
        RowKind::Above => return line.with(Style::Dim, &format!("  {}", tree::ABOVE)),
        RowKind::Cycle => return line.with(Style::Alarm, &format!("  {}", tree::CYCLE)),
        RowKind::Tasks | RowKind::Section(_) => {}
    }
    let (style, state) = words::task_state(first.state);
    if style != Style::Dim {
        line.add(style, &format!("  {state}"));
    }
    for (severity, code) in &of.marks {
        line.add(findings::word(*severity).0, &format!("  [{code}]"));
    }
    if let Some(cancel) = cancel_word(first) {
        line.add(Style::Notice, &format!("  {cancel}"));
    }
    let (_, words) = reason(&row.members, watched, by_id);
    if !words.is_empty() {
        line.add(Style::Dim, "  → ");
        line.add(Style::Reason, &words);
    }
    line
}

fn name(members: &[&Task], room: usize) -> String {
    if let [task] = members {
        let name = task.name.as_deref();
        return name.map_or_else(|| task.id.to_string(), str::to_owned);
    }
    let count = format!(" ×{}", words::count(members.len()));
    let folded = names::fold(members.iter().filter_map(|task| task.name.as_deref()));
    let folded = if folded.is_empty() { "unnamed tasks".to_owned() } else { folded };
    let room = room.saturating_sub(count.width()).max(12);
    format!("{}{count}", page::fit(&page::clean(&folded), room))
}
