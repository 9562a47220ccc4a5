//! All that keys do, to be chosen by what it does.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use crate::io::page::{self, Line, Style};
use crate::top::keys;
use crate::top::layout::narrow;
use crate::top::list::Search;
use crate::top::state::App;

/// The most that are shown at once.
const MAX_ROWS: usize = 10;
/// The widest it becomes, and columns for the keys.
const WIDEST: usize = 90;
const KEYS: usize = 11;

/// How many are shown of so many, on a screen of a size.
pub fn rows(count: usize, size: (u16, u16)) -> usize {
    count.clamp(1, MAX_ROWS.min(usize::from(size.1 / 2)))
}

pub fn draw(app: &App, search: &Search, area: Rect, canvas: &mut Canvas<'_>) {
    let found = keys::commands(&search.text, app);
    let rows = rows(found.len(), (area.width, area.height));
    let height = narrow(rows) + 2;
    let region = Rect { y: area.bottom() - height, height, ..area };
    canvas.clear(region);
    canvas.rule(region, 0);
    let list = Rect { y: region.y + 1, height: narrow(rows), ..region };
    let width = usize::from(area.width).min(WIDEST);
    let shown = search.list.shown(found.len(), rows);
    for (y, binding) in found.iter().skip(shown.start).take(shown.len()).enumerate() {
        let style = if binding.is_here(app) { Style::Plain } else { Style::Dim };
        let help = page::fit(binding.help, width - KEYS - 3);
        let mut line = Line::new().with(Style::Plain, "  ").with(style, &help);
        line.pad_to(width - KEYS);
        canvas.line(list, narrow(y), &line.with(Style::Strong, binding.label));
    }
    if found.is_empty() {
        canvas.line(list, 0, &Line::new().with(Style::Dim, "  no command is like this"));
    } else {
        canvas.select(list, search.list.selected - shown.start, true);
    }
    let mut line = Line::new().with(Style::Plain, " ");
    line.add(Style::Strong, &format!(":{}", search.text));
    line.add(Style::Active, "▏");
    line.add(Style::Dim, "  Enter does it, Tab completes, Esc closes");
    canvas.line(region, height - 1, &line);
}
