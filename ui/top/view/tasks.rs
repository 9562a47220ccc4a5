//! The work: tasks that are alike in one row, or each by itself.

use std::time::Duration;

use aiospy::snapshot::{
    GroupState, Location, Task, TaskState, duration_in_column, with_separators,
};
use rustc_hash::FxHashSet;
use unicode_width::UnicodeWidthStr;

use super::canvas::Canvas;
use super::columns::{Column, fit, heads, row};
use super::loops::level;
use super::select;
use crate::io::page::{self, Style};
use crate::report::text::short::{ById, waits};
use crate::report::text::{table, words};
use crate::top::feed::Feed;
use crate::top::finished::{Figures, POINTS};
use crate::top::layout::{Regions, narrow};
use crate::top::rows::{Rows, Sort, Table, TaskRow, What};
use crate::top::state::{App, Watched};

/// The fewest letters of a function that are shown.
const LEAST_FUNCTION: usize = 8;
/// How long a column stays when there is nothing in it any more, so that nothing flickers.
const STAYS: Duration = Duration::from_secs(10);

pub(super) const fn text(
    what: What,
    head: &'static str,
    widths: (usize, usize),
    rank: usize,
) -> Column<What> {
    Column { what, head, widths, is_number: false, rank }
}

pub(super) const fn number(what: What, head: &'static str, rank: usize) -> Column<What> {
    Column { what, head, widths: (0, 0), is_number: true, rank }
}

/// The columns of groups, from left to right.
const OF_GROUPS: &[Column<What>] = &[
    Column { widths: (4, 4), ..number(What::Count, "N", 0) },
    text(What::Work, "WORK", (16, 32), 1),
    Column { widths: (7, 7), ..number(What::Age, "OLDEST", 3) },
    Column { widths: (7, 7), ..number(What::P50, "P50", 6) },
    Column { widths: (7, 7), ..number(What::P95, "P95", 7) },
    Column { widths: (4, 4), ..number(What::Rate, "/S", 5) },
    Column { widths: (POINTS, POINTS), ..number(What::InFlight, "IN FLIGHT", 8) },
    text(What::Waits, "WAITS FOR", (15, 48), 2),
    text(What::Place, "AT", (16, 36), 4),
];

/// Those of single tasks.
const OF_TASKS: &[Column<What>] = &[
    text(What::Work, "WORK", (16, 32), 0),
    Column { widths: (7, 7), ..number(What::Age, "FOR", 2) },
    text(What::Waits, "WAITS FOR", (15, 48), 1),
    text(What::Place, "AT", (16, 36), 3),
    text(What::Task, "TASK", (8, 20), 4),
    text(What::Cancel, "CANCEL", (6, 12), 5),
    text(What::State, "STATE", (7, 8), 6),
];

fn sort_of(what: What) -> Option<Sort> {
    Some(match what {
        What::Count => Sort::Count,
        What::Work => Sort::Name,
        What::Age => Sort::Age,
        What::Waits => Sort::Reason,
        What::Place => Sort::Place,
        What::Cancel => Sort::Cancel,
        What::State => Sort::State,
        // Nothing is sorted by the others.
        _ => return None,
    })
}

/// The columns that there is something in, or was a moment ago.
pub(super) fn used(app: &App, all: &[Column<What>]) -> Vec<Column<What>> {
    let is_recent = |what: &What| {
        let last = app.columns.get(what);
        let age = last.and_then(|last| Duration::try_from(app.now.duration_since(*last)).ok());
        age.is_some_and(|age| age < STAYS)
    };
    all.iter().filter(|column| is_recent(&column.what)).copied().collect()
}

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let Rows::Tasks(table) = &watched.rows else { return };
    let rows = &table.rows;
    if rows.is_empty() {
        canvas.nothing(regions.list, empty(app, watched));
        return;
    }
    let by_id = ById::of(watched.snapshot());
    let columns = used(app, if app.is_merged() { OF_GROUPS } else { OF_TASKS });
    // Only what is shown is put into words.
    let shown = app.list().shown(rows.len(), usize::from(regions.list.height));
    let shown = rows.iter().skip(shown.start).take(shown.len());
    let of_row = |of: &TaskRow| {
        let cells = cells(of, table, &watched.feed, &by_id, &columns);
        (sign(app, of, table, watched), cells)
    };
    let drawn: Vec<_> = shown.map(of_row).collect();
    let arrow = |what: What| match sort_of(what) {
        Some(sort) if sort == app.sort && app.is_reversed => "▲",
        Some(sort) if sort == app.sort => "▼",
        _ => "",
    };
    lay(&columns, drawn, regions, arrow, canvas);
    select(app, regions.list, canvas);
}

/// A sign, and the cells of all columns.
type Drawn = ((Style, &'static str), Vec<(Style, String)>);

/// Draws rows with as many of the columns as there is room for.
pub(super) fn lay(
    columns: &[Column<What>],
    rows: Vec<Drawn>,
    regions: &Regions,
    arrow: impl Fn(What) -> &'static str,
    canvas: &mut Canvas<'_>,
) {
    let need = |at: usize, column: &Column<What>| {
        let texts = rows.iter().filter_map(|(_, cells)| Some(&*cells.get(at)?.1));
        let is_place = column.what == What::Place;
        let widths = texts.map(|text| if is_place { line_of(text) } else { text }.width());
        widths.max().unwrap_or(0)
    };
    let needs: Vec<usize> = columns.iter().enumerate().map(|(at, it)| need(at, it)).collect();
    let fitted = fit(columns, &needs, usize::from(regions.list.width), Some(What::Place));
    canvas.line(regions.head, 0, &heads(&fitted, arrow));
    let kept: FxHashSet<What> = fitted.iter().map(|(column, _)| column.what).collect();
    for (y, (sign, cells)) in rows.into_iter().enumerate() {
        let cells = columns.iter().zip(cells).filter(|(column, _)| kept.contains(&column.what));
        let cells = cells.map(|(column, (style, text))| {
            let width = fitted.iter().find(|(it, _)| it.what == column.what).map_or(0, |it| it.1);
            let text = match column.what {
                What::Work => table::middle_cut(&page::clean(&text), width),
                What::Place => place_cut(&page::clean(&text), width),
                _ => text,
            };
            (style, text)
        });
        let cells: Vec<(Style, String)> = cells.collect();
        canvas.line(regions.list, narrow(y), &row(sign, &fitted, &cells));
    }
}

fn empty(app: &App, watched: &Watched) -> &'static str {
    match () {
        () if !app.filter.text.is_empty() => "no task matches; Esc clears the filter",
        () if watched.snapshot().problems.is_empty() => "no tasks",
        () => "no task could be read, which need not mean that there is none",
    }
}

fn cells(
    of: &TaskRow,
    table: &Table,
    feed: &Feed,
    by_id: &ById<'_>,
    columns: &[Column<What>],
) -> Vec<(Style, String)> {
    let Some(group) = table.told(of, feed) else { return Vec::new() };
    let first = group.first();
    let figures = table.group(of).and_then(|kept| kept.figures).filter(|_| of.is_whole());
    let is_quiet = group.state == GroupState::Idle;
    let looks = [Style::Plain, Style::Strong, Style::Reason];
    let [plain, strong, reason] = if is_quiet { [Style::Dim; 3] } else { looks };
    let reason = if first.and_then(|it| it.state) == Some(TaskState::Running) {
        Style::Active
    } else {
        reason
    };
    let cell = |column: &Column<What>| match column.what {
        What::Count if of.is_inner => (plain, String::new()),
        What::Count => (plain, with_separators(group.count)),
        What::Work if of.is_inner => (strong, format!("  {}", table::work(&group))),
        What::Work => (strong, table::work(&group)),
        What::Age => (plain, group.oldest.map(words::age).unwrap_or_default()),
        What::Waits => (reason, waits(&group, &feed.snapshot, by_id)),
        What::Place => (plain, table::own_place(&group).map(place).unwrap_or_default()),
        What::Task => {
            let name = first.and_then(|first| first.name.as_deref());
            let name = name.filter(|name| group.subject.name != **name);
            (plain, name.unwrap_or_default().to_owned())
        }
        What::Cancel => (Style::Notice, first.and_then(cancel_word).unwrap_or_default().to_owned()),
        What::State => {
            let state = first.and_then(|first| first.state);
            let (style, word) = words::task_state(state);
            (style, if state.is_none() { "?" } else { word }.to_owned())
        }
        What::Rate => (plain, figures.and_then(|it| it.rate).map(rate).unwrap_or_default()),
        What::P50 => (plain, figures.and_then(|it| it.p50).map(at_most).unwrap_or_default()),
        What::P95 => (plain, figures.and_then(|it| it.p95).map(at_most).unwrap_or_default()),
        What::InFlight => (plain, figures.map(in_flight).unwrap_or_default()),
        What::Client | What::Trace => (plain, String::new()),
    };
    columns.iter().map(cell).collect()
}

/// So many a second at least: `≥31.2`, rounded down.
pub fn rate(rate: f64) -> String {
    let digits = match rate {
        ..1.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let scale = 10_f64.powi(digits);
    format!("≥{:.*}", usize::try_from(digits).unwrap_or(0), (rate * scale).floor() / scale)
}

/// A bar for each time, against the most of them.
fn in_flight(figures: Figures) -> String {
    let most = figures.in_flight.iter().flatten().max().copied().map(u64::from);
    figures.in_flight.iter().map(|count| level(count.map(u64::from), most)).collect()
}

/// So long at most: `≤220 ms`, rounded up to two digits.
pub fn at_most(time: Duration) -> String {
    let ms = time.as_millis().max(1);
    let scale = 10_u128.pow(ms.ilog10().saturating_sub(1));
    let ms = u64::try_from(ms.div_ceil(scale) * scale).unwrap_or(u64::MAX);
    format!("≤{}", duration_in_column(Duration::from_millis(ms)))
}

/// `shop.py:20 Inventory.get`
pub(super) fn place(at: &Location) -> String {
    format!("{} {}", table::place_of(at), at.function)
}

/// The line of a place, without the function.
fn line_of(place: &str) -> &str {
    place.split_once(' ').map_or(place, |(line, _)| line)
}

/// A place in a cell: its line is never cut, and the end of a function says nothing.
fn place_cut(place: &str, width: usize) -> String {
    let line = line_of(place);
    let has_room = place.width() <= width || line.width() + LEAST_FUNCTION < width;
    table::start_cut(if has_room { place } else { line }, width)
}

/// The sign of what is worst about it.
fn sign(app: &App, of: &TaskRow, table: &Table, watched: &Watched) -> (Style, &'static str) {
    let first = table.first(of, watched.snapshot());
    let is_pinned = app.pinned.is_some() && first.map(|task| task.id) == app.pinned;
    let group = table.group(of);
    let (severity, state) =
        group.map_or((None, GroupState::Idle), |group| (group.severity, group.state));
    match words::sign(severity, state) {
        (_, "") if is_pinned => (Style::Notice, "●"),
        sign => sign,
    }
}

/// What some tasks wait for, in a few words.
pub fn reason(members: &[usize], watched: &Watched, by_id: &ById<'_>) -> (Style, String) {
    let snapshot = watched.snapshot();
    let Some(group) = watched.judged.group(members, snapshot) else {
        return (Style::Dim, String::new());
    };
    let is_running = group.first().is_some_and(|task| task.state == Some(TaskState::Running));
    let style = if is_running { Style::Active } else { Style::Reason };
    (style, waits(&group, snapshot, by_id))
}

/// How far a task's cancellation is, in a word or two.
pub fn cancel_word(task: &Task) -> Option<&'static str> {
    let cancellation = task.cancellation.as_ref()?;
    Some(match () {
        () if task.is_over() => "ended",
        () if cancellation.must_cancel => "undelivered",
        () if cancellation.in_flight => "on its way",
        () if cancellation.handling.is_some() => "cleaning up",
        () if words::is_unheeded(cancellation) => "swallowed",
        () => "cancelled",
    })
}
