//! What is told at length, beside the list or in its place.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use crate::io::page::{Line, Style};
use crate::top::layout::{Regions, narrow};
use crate::top::state::App;
use crate::top::subject::Subject;
use crate::top::tab::Focus;

pub fn draw(app: &App, regions: &Regions, canvas: &mut Canvas<'_>) {
    let region = regions.detail;
    if regions.is_split() {
        canvas.upright(region.x - 1, Rect { ..region });
    }
    canvas.rule(regions.detail_title, 0);
    let inner = Rect { x: region.x + 1, width: region.width.saturating_sub(2), ..region };
    let lines = &app.document.lines;
    let shown = app.in_document.shown(lines.len(), usize::from(region.height));
    for (y, line) in lines.iter().skip(shown.start).take(shown.len()).enumerate() {
        canvas.line(inner, narrow(y), line);
    }
    if app.focus == Focus::Detail
        && let Some(y) = app.in_document.selected.checked_sub(app.in_document.offset)
    {
        canvas.select(Rect { x: region.x, ..region }, y, true);
    }
    let is_pinned = app.pinned.is_some() && app.subject() == app.pinned.map(Subject::Task);
    let mut mark = Line::new();
    if is_pinned {
        mark.add(Style::Notice, " pinned ");
    }
    if shown.end < lines.len() {
        mark.add(Style::Dim, &format!(" {} more ↓ ", lines.len() - shown.end));
    }
    if mark.width() > 0 {
        let y = if shown.end < lines.len() { region.height.saturating_sub(1) } else { 0 };
        let width = narrow(mark.width());
        let x = region.right().saturating_sub(width + 1);
        canvas.line(Rect { x, width, ..region }, y, &mark);
    }
}
