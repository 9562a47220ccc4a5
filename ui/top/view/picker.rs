//! The Python processes to choose from.

use ratatui::layout::Rect;

use super::canvas::{Canvas, Column, row};
use super::footer;
use crate::io::page::{Line, Style};
use crate::report::text::{path, words};
use crate::top::layout::narrow;
use crate::top::picker::{Candidate, Seen};
use crate::top::state::App;

pub fn draw(app: &App, area: Rect, canvas: &mut Canvas<'_>) {
    let Some(picker) = &app.picker else { return };
    let shown = picker.shown();
    let mut title = Line::new().with(Style::Plain, " ").with(Style::Strong, "aiospy top");
    title.add(Style::Dim, "  which process?");
    let mut right = Line::new();
    match &picker.candidates {
        None => right.add(Style::Dim, "looking for Python processes … "),
        Some(all) => {
            let filter = &picker.filter;
            if filter.is_typed || !filter.text.is_empty() {
                right.add(Style::Notice, &format!("/{}  ", filter.text));
                right.add(Style::Dim, &format!("{} of ", words::count(shown.len())));
            }
            let of = if all.len() == 1 { "process" } else { "processes" };
            right.add(Style::Dim, &format!("{} Python {of} ", words::count(all.len())));
        }
    }
    canvas.both(area, 0, &title, &right);
    canvas.rule(area, 1);
    let columns = columns(area.width);
    let head = Rect { y: area.y + 3, height: 1, ..area };
    canvas.heads(head, &columns);
    let region = Rect { y: area.y + 4, height: area.height.saturating_sub(5), ..area };
    if shown.is_empty() && picker.candidates.is_some() {
        let words = if picker.filter.text.is_empty() {
            "no Python process here that can be seen; aiospy top -- python app.py starts one"
        } else {
            "no process matches; Esc takes the filter away"
        };
        canvas.nothing(region, words);
    }
    let rows = picker.list.shown(shown.len(), usize::from(region.height));
    for (y, candidate) in shown.iter().skip(rows.start).take(rows.len()).enumerate() {
        let cells = cells(candidate, columns.last().map_or(0, |column| column.width));
        canvas.line(region, narrow(y), &row((Style::Plain, ""), &columns, &cells));
    }
    if let (Some(y), false) =
        (picker.list.selected.checked_sub(picker.list.offset), shown.is_empty())
    {
        canvas.select(region, y, true);
    }
    let place = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    footer::draw(app, place, canvas);
}

fn columns(width: u16) -> Vec<Column> {
    let state = if width >= 100 { 26 } else { 18 };
    let rest = usize::from(width).saturating_sub(3 + 8 + 8 + state + 1 + 7 + 1);
    vec![
        Column::new("PID", 7),
        Column::new("PYTHON", 7),
        Column::new("LOOP", state),
        Column::new("  TASKS", 7),
        Column::new("COMMAND", rest),
    ]
}

fn cells(candidate: &Candidate, room: usize) -> Vec<(Style, String)> {
    let pid = (Style::Strong, format!("{:>7}", candidate.pid));
    let (python, state, tasks) = match &candidate.seen {
        None => (String::new(), (Style::Dim, "…".to_owned()), String::new()),
        Some(Seen::Other(why)) => (String::new(), (Style::Dim, why.clone()), String::new()),
        Some(Seen::Asyncio { python, state, is_blocked, tasks }) => {
            let style = if *is_blocked { Style::Alarm } else { Style::Active };
            (python.clone(), (style, state.clone()), format!("{:>7}", words::count(*tasks)))
        }
    };
    let is_known = matches!(candidate.seen, Some(Seen::Asyncio { .. }));
    let style = if is_known { Style::Plain } else { Style::Dim };
    vec![
        pid,
        (Style::Plain, python),
        state,
        (Style::Plain, tasks),
        (style, path::command(&candidate.command, room)),
    ]
}
