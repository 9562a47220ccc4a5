//! All keys, above everything else; made from the table that binds them.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use crate::io::page::{Line, Page, Style};
use crate::top::keys::BINDINGS;
use crate::top::layout::narrow;
use crate::top::state::App;

/// Columns that the keys take.
const KEYS: usize = 12;
/// Rows that are no lines of it: rules, and blanks next to them.
const FRAME: u16 = 4;
/// The widest it becomes.
const WIDEST: u16 = 100;

/// Its lines, and how many of them a screen of this size shows.
fn lines((width, height): (u16, u16)) -> (Vec<Line>, usize) {
    let width = width.saturating_sub(4).min(WIDEST);
    let mut lines = Vec::new();
    for binding in BINDINGS {
        let mut head = Line::new().with(Style::Plain, "  ").with(Style::Strong, binding.label);
        head.pad_to(KEYS + 2);
        let mut page = Page::kept(&mut lines, usize::from(width).saturating_sub(2));
        // Lines that are kept in memory are always written.
        let _ = page.wrapped(head, &" ".repeat(KEYS + 2), usize::MAX, Style::Plain, binding.help);
    }
    let rows = lines.len().min(usize::from(height.saturating_sub(FRAME)));
    (lines, rows)
}

/// The last line that may be the first one shown.
pub fn last_offset(size: (u16, u16)) -> usize {
    let (lines, rows) = lines(size);
    lines.len() - rows
}

pub fn draw(app: &App, area: Rect, canvas: &mut Canvas<'_>) {
    let (lines, rows) = lines((area.width, area.height));
    let width = (area.width - 4).min(WIDEST);
    let height = narrow(rows) + FRAME;
    let region = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    canvas.clear(Rect { x: area.x, width: area.width, ..region });
    canvas.rule(region, 0);
    canvas.rule(region, height - 1);
    let title = Line::new().with(Style::Plain, " ").with(Style::Strong, "Keys");
    canvas.line(Rect { x: region.x + 1, width: 6, ..region }, 0, &title.with(Style::Plain, " "));
    let offset = app.help.map_or(0, |list| list.offset).min(lines.len().saturating_sub(rows));
    for (y, line) in lines.iter().skip(offset).take(rows).enumerate() {
        canvas.line(region, narrow(y + 2), line);
    }
    let end = if offset + rows < lines.len() {
        " ↓ more, any other key closes "
    } else {
        " any key closes "
    };
    let end = Line::new().with(Style::Dim, end);
    let x = region.right() - narrow(end.width()) - 1;
    canvas.line(Rect { x, width: narrow(end.width()), ..region }, height - 1, &end);
}
