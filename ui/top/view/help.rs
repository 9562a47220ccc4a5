//! All keys, above everything else; made from the table that binds them.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use crate::io::page::{Line, Page, Style};
use crate::top::keys::{BINDINGS, Binding};
use crate::top::layout::narrow;
use crate::top::list::Search;
use crate::top::state::App;

/// Columns that the keys take.
const KEYS: usize = 12;
/// Rows that are no lines of it: rules, and blanks next to them.
const FRAME: u16 = 4;
/// The widest it becomes.
const WIDEST: u16 = 100;

/// Its lines, and how many of them the screen shows.
fn lines(app: &App) -> (Vec<Line>, usize) {
    let (width, height) = app.size;
    let width = width.saturating_sub(4).min(WIDEST);
    let text = app.help.as_ref().map(|help| help.text.as_str()).unwrap_or_default();
    let here = app.target().map_or_else(String::new, |_| format!("{} view", app.tab.name()));
    let mut lines = Vec::new();
    let mut section = |title: &str, is_in: &dyn Fn(&Binding) -> bool| {
        let mut found = BINDINGS.iter().filter(|it| is_in(it) && it.has(text)).peekable();
        if found.peek().is_some() {
            let margin = if lines.is_empty() { None } else { Some(Line::new()) };
            lines.extend(margin);
            lines.push(Line::new().with(Style::Plain, "  ").with(Style::Dim, title));
        }
        for binding in found {
            let mut head = Line::new().with(Style::Plain, "  ").with(Style::Strong, binding.label);
            head.pad_to(KEYS + 2);
            let mut page = Page::kept(&mut lines, usize::from(width).saturating_sub(2));
            let margin = " ".repeat(KEYS + 2);
            // Lines that are kept in memory are always written.
            let _ = page.wrapped(head, &margin, usize::MAX, Style::Plain, binding.help);
        }
    };
    section(&here, &|it| it.is_here(app) && it.is_of_place());
    section("Everywhere", &|it| it.is_here(app) && !it.is_of_place());
    section("Elsewhere", &|it| !it.is_here(app));
    if lines.is_empty() {
        lines.push(Line::new().with(Style::Dim, "  no key does this"));
    }
    let rows = lines.len().min(usize::from(height.saturating_sub(FRAME)));
    (lines, rows)
}

/// The last line that may be the first one shown.
pub fn last_offset(app: &App) -> usize {
    let (lines, rows) = lines(app);
    lines.len() - rows
}

pub fn draw(app: &App, search: &Search, area: Rect, canvas: &mut Canvas<'_>) {
    let (lines, rows) = lines(app);
    let width = (area.width - 4).min(WIDEST);
    let height = narrow(rows) + FRAME;
    let region = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    canvas.clear(Rect { x: area.x, width: area.width, ..region });
    canvas.rule(region, 0);
    canvas.rule(region, height - 1);
    let mut title = Line::new().with(Style::Plain, " ").with(Style::Strong, "Keys");
    title.add(Style::Dim, "  search: ");
    title.add(Style::Strong, &search.text);
    title.add(Style::Active, "▏");
    let title = title.with(Style::Plain, " ");
    let place = Rect { x: region.x + 1, width: narrow(title.width()).min(width - 2), ..region };
    canvas.line(place, 0, &title);
    let offset = search.list.offset.min(lines.len().saturating_sub(rows));
    for (y, line) in lines.iter().skip(offset).take(rows).enumerate() {
        canvas.line(region, narrow(y + 2), line);
    }
    let below = lines.len() - offset - rows;
    let end =
        if below > 0 { format!(" {below} more ↓ · Esc closes ") } else { " Esc closes ".into() };
    let end = Line::new().with(Style::Dim, &end);
    let x = region.right() - narrow(end.width()) - 1;
    canvas.line(Rect { x, width: narrow(end.width()), ..region }, height - 1, &end);
}
