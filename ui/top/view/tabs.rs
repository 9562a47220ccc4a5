//! The names of the views, with what there is in them, and how the list is made.

use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::canvas::Canvas;
use super::theme::Theme;
use crate::io::page::{Line, Style};
use crate::report::text::words;
use crate::top::state::{App, Watched};
use crate::top::tab::{Focus, Tab};

/// The names with their places: `1 Tasks`, and whether something in it is to be seen to.
fn labels(app: &App) -> Vec<(Tab, u16, String)> {
    let mut x = 1;
    let mut labels = Vec::new();
    let is_narrow = app.size.0 < 76;
    for (at, tab) in Tab::ALL.into_iter().enumerate() {
        let label = format!(" {} {} ", at + 1, tab.name());
        let label = if is_narrow { label.replacen(' ', "", 1) } else { label };
        let width = crate::top::layout::narrow(label.width());
        labels.push((tab, x, label));
        x += width;
    }
    labels
}

/// The view whose name stands at a column.
pub fn at(app: &App, x: u16) -> Option<Tab> {
    let labels = labels(app);
    let found = labels.iter().rev().find(|(_, start, _)| *start <= x)?;
    (usize::from(x - found.1) < found.2.width()).then_some(found.0)
}

pub fn draw(app: &App, watched: &Watched, region: Rect, canvas: &mut Canvas<'_>) {
    canvas.rule(region, 0);
    let mut end = region.x;
    for (tab, x, label) in labels(app) {
        let look = match () {
            () if tab == app.tab => Theme::tab(),
            () if has_trouble(tab, watched) => canvas.theme.text(Style::Notice),
            () => canvas.theme.text(Style::Plain),
        };
        canvas.text(region.x + x, region.y, &label, look);
        end = region.x + x + crate::top::layout::narrow(label.width());
    }
    let room = usize::from(region.right().saturating_sub(end + 2));
    let filter = &app.filter;
    let (style, words) = if filter.is_typed || !filter.text.is_empty() {
        let number = words::count(found(app, watched));
        let long = format!(" /{}  {number} found ", filter.text);
        let is_long = long.width() <= room;
        (Style::Notice, if is_long { long } else { format!(" /{} ", filter.text) })
    } else {
        (Style::Dim, format!(" {} ", about(app, watched)))
    };
    // What is filtered by must be seen; how the list was made only where there is room.
    if words.trim().is_empty() || words.width() > room && style == Style::Dim {
        return;
    }
    let line = Line::new().with(style, &words).fitted(room);
    let width = crate::top::layout::narrow(line.width());
    let x = region.right() - width - 1;
    canvas.line(Rect { x, width, ..region }, 0, &line);
}

fn found(app: &App, watched: &Watched) -> usize {
    let rows = &watched.rows;
    if app.tab == Tab::Tree {
        return (0..rows.count()).filter(|at| rows.is_match(*at)).count();
    }
    rows.count()
}

/// How the list was made.
fn about(app: &App, watched: &Watched) -> String {
    let rows = watched.rows.count();
    match app.tab {
        Tab::Tasks => {
            let alike = if app.is_merged() { "alike together, " } else { "" };
            let reversed = if app.is_reversed { ", reversed" } else { "" };
            format!("{alike}{}{reversed}", app.sort.words())
        }
        Tab::Tree => "who waits, above what it waits for".to_owned(),
        Tab::Blocking => format!("{}, newest first", words::counted(rows, "block")),
        Tab::Cancel => words::counted(rows, "task"),
        Tab::Threads => words::counted(watched.snapshot().threads.len(), "thread"),
        Tab::Loop if rows > 1 && app.focus != Focus::Findings => {
            format!("loop {} of {rows}", app.list().selected + 1)
        }
        Tab::Loop => String::new(),
    }
}

/// Whether there is something in a view that is not everyday.
fn has_trouble(tab: Tab, watched: &Watched) -> bool {
    match tab {
        Tab::Blocking => !watched.feed.ongoing.is_empty(),
        Tab::Cancel => {
            watched.snapshot().shutdown.is_some()
                || watched.snapshot().tasks.iter().any(|task| task.cancellation.is_some())
        }
        _ => false,
    }
}
