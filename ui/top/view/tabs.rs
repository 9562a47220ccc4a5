//! The names of the views, with what there is in them, and how the list is made.

use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::canvas::Canvas;
use super::theme::Theme;
use crate::io::page::{Line, Style};
use crate::report::text::words;
use crate::top::rows::{Rows, What};
use crate::top::state::{App, Watched};
use crate::top::tab::{Focus, Tab};

/// The names with their places: `1 Tasks`, and whether something in it is to be seen to.
fn labels(app: &App) -> Vec<(Tab, u16, String)> {
    let mut x = 1;
    let mut labels = Vec::new();
    // A filter has to be seen.
    let is_narrow = app.size.0 < 76 || app.size.0 < 110 && !app.filter.text.is_empty();
    for (at, tab) in Tab::ALL.into_iter().enumerate() {
        let name = if tab == Tab::Work && !app.is_merged() { "Tasks" } else { tab.name() };
        let name = if is_narrow && tab != Tab::Work { tab.short() } else { name };
        let label = format!(" {} {name} ", at + 1);
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
    // What is filtered by must be seen; of the rest as much as there is room for.
    let mut parts: Vec<(Style, String)> = Vec::new();
    let filter = &app.filter;
    if filter.is_typed || !filter.text.is_empty() {
        parts.push((Style::Notice, format!("/{}", filter.text)));
        parts.push((Style::Notice, found(app, watched)));
    }
    // Whose views these are, of several processes.
    let whose = app.several.as_ref().map(|_| watched.snapshot().process.pid.to_string());
    parts.extend(whose.map(|pid| (Style::Plain, pid)));
    parts.extend(reading(watched).map(|words| (Style::Notice, words)));
    if filter.text.is_empty() {
        parts.extend(in_flight(watched).into_iter().map(|words| (Style::Dim, words)));
    }
    parts.push((Style::Dim, about(app, watched)));
    parts.extend(notes(app, watched).map(|words| (Style::Dim, words)));
    let mut line = Line::new();
    for (style, words) in parts.into_iter().filter(|(_, words)| !words.is_empty()) {
        let is_first = line.width() == 0;
        if !is_first && line.width() + words.width() + 4 > room {
            continue;
        }
        line.add(Style::Dim, if is_first { " " } else { " · " });
        line.add(style, &words);
    }
    if line.width() == 0 || filter.text.is_empty() && line.width() + 1 > room {
        return;
    }
    let line = line.with(Style::Plain, " ").fitted(room);
    let width = crate::top::layout::narrow(line.width());
    let x = region.right() - width - 1;
    canvas.line(Rect { x, width, ..region }, 0, &line);
}

/// How many are found of all.
fn found(app: &App, watched: &Watched) -> String {
    let rows = &watched.rows;
    match rows {
        Rows::Tasks(table) => {
            let outer = table.rows.iter().filter(|row| !row.is_inner);
            let found: usize = outer.map(|row| table.members(row).len()).sum();
            let all = watched.snapshot().tasks.len();
            format!("{} of {}", words::count(found), words::count(all))
        }
        Rows::Loop(_, blocks) => format!("{} found", words::count(blocks.len())),
        _ if app.tab == Tab::Tree => {
            let found = (0..rows.count()).filter(|at| rows.is_match(*at)).count();
            format!("{} found", words::count(found))
        }
        _ => format!("{} found", words::count(rows.count())),
    }
}

/// What is not as it should be about the reading.
fn reading(watched: &Watched) -> Option<String> {
    let feed = &watched.feed;
    let problems = feed.snapshot.problems.len();
    let missed = feed.missed > feed.samples && feed.place.is_none();
    let missed = missed.then(|| {
        let missed = usize::try_from(feed.missed).unwrap_or(usize::MAX);
        format!("missed {}", words::count(missed))
    });
    let problems = (problems > 0).then(|| words::counted(problems, "problem"));
    let all: Vec<String> = problems.into_iter().chain(missed).collect();
    (!all.is_empty()).then(|| all.join(" · "))
}

/// How many findings are not listed.
fn notes(app: &App, watched: &Watched) -> Option<String> {
    let hidden = watched.feed.findings.len().saturating_sub(watched.findings.len());
    (hidden > 0 && !app.shows_notes).then(|| format!("i {}", words::counted(hidden, "note")))
}

/// How the list was made.
fn about(app: &App, watched: &Watched) -> String {
    let rows = watched.rows.count();
    match app.tab {
        Tab::Work => {
            let reversed = if app.is_reversed { ", reversed" } else { "" };
            format!("{}{}{reversed}", constant(app, watched), app.sort.words())
        }
        Tab::Tree => "who waits, above what it waits for".to_owned(),
        Tab::Requests if rows > 0 => "oldest first".to_owned(),
        Tab::Requests => String::new(),
        Tab::Cancel => words::counted(rows, "task"),
        Tab::Threads => words::counted(watched.snapshot().threads.len(), "thread"),
        Tab::Loop => of_loops(app, watched),
    }
}

/// `155 in flight`, `20 websockets`
fn in_flight(watched: &Watched) -> Vec<String> {
    let Rows::Requests(rows) = &watched.rows else { return Vec::new() };
    let websockets = rows.iter().filter(|row| row.is_websocket).count();
    let requests = rows.len() - websockets;
    let requests = (requests > 0).then(|| format!("{} in flight", words::count(requests)));
    let websockets = (websockets > 0).then(|| words::counted(websockets, "websocket"));
    requests.into_iter().chain(websockets).collect()
}

/// `loop 1 of 2, blocked 4 times`
fn of_loops(app: &App, watched: &Watched) -> String {
    let Rows::Loop(loops, blocks) = &watched.rows else { return String::new() };
    let at = app.list().selected;
    let which = *loops > 1 && app.focus != Focus::Findings && at < *loops;
    let which = which.then(|| format!("loop {} of {loops}", at + 1));
    let times: u64 = blocks.iter().map(|block| block.count).sum();
    let blocked = match usize::try_from(times).unwrap_or(usize::MAX) {
        0 => None,
        1 => Some("blocked once".to_owned()),
        times => Some(format!("blocked {} times", words::count(times))),
    };
    which.into_iter().chain(blocked).collect::<Vec<_>>().join(", ")
}

/// What is the same in each row of the tasks, and has no column therefore.
fn constant(app: &App, watched: &Watched) -> String {
    let first = watched.snapshot().tasks.first();
    let is_same = !app.is_merged() && !app.columns.contains_key(&What::State);
    match first.filter(|_| is_same) {
        Some(task) => format!("all {}, ", words::task_state(task.state).1),
        None => String::new(),
    }
}

/// Whether there is something in a view that is not everyday.
fn has_trouble(tab: Tab, watched: &Watched) -> bool {
    match tab {
        Tab::Loop => !watched.feed.ongoing.is_empty(),
        Tab::Cancel => {
            watched.snapshot().shutdown.is_some()
                || watched.snapshot().tasks.iter().any(|task| task.cancellation.is_some())
        }
        _ => false,
    }
}
