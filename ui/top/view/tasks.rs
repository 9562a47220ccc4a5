//! The work: tasks that are alike in one row, or each by itself.

use std::time::Duration;

use aiospy::snapshot::{GroupState, Location, Task, TaskState, Waiting, Work, with_separators};
use rustc_hash::FxHashSet;
use unicode_width::UnicodeWidthStr;

use super::canvas::Canvas;
use super::columns::{Column, fit, heads, row};
use super::select;
use crate::io::page::{self, Style};
use crate::report::text::waiting::{self, TaskNames};
use crate::report::text::{table, words};
use crate::top::layout::{Regions, narrow};
use crate::top::rows::{Rows, Sort, TaskRow, What};
use crate::top::state::{App, Watched};
use crate::top::words::short_place;
use crate::top::work;

/// Of more tasks than these in one row, the first ones say what they wait for.
const MAX_MERGED: usize = 200;
/// How long a column stays when there is nothing in it any more, so that nothing flickers.
const STAYS: Duration = Duration::from_secs(10);

const fn text(what: What, head: &'static str, widths: (usize, usize), rank: usize) -> Column<What> {
    Column { what, head, widths, is_number: false, rank }
}

const fn number(what: What, head: &'static str, rank: usize) -> Column<What> {
    Column { what, head, widths: (0, 0), is_number: true, rank }
}

/// The columns of groups, from left to right.
const OF_GROUPS: &[Column<What>] = &[
    number(What::Count, "N", 0),
    text(What::Work, "WORK", (16, 32), 1),
    number(What::Age, "OLDEST", 3),
    text(What::Waits, "WAITS FOR", (15, 48), 2),
    text(What::Place, "AT", (10, 36), 4),
];

/// Those of single tasks.
const OF_TASKS: &[Column<What>] = &[
    text(What::Work, "WORK", (16, 32), 0),
    number(What::Age, "FOR", 2),
    text(What::Waits, "WAITS FOR", (15, 48), 1),
    text(What::Place, "AT", (10, 36), 3),
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
        What::Task => return None,
    })
}

/// The columns that there is something in, or was a moment ago.
fn used(app: &App) -> Vec<Column<What>> {
    let is_recent = |what: &What| {
        let last = app.columns.get(what);
        let age = last.and_then(|last| Duration::try_from(app.now.duration_since(*last)).ok());
        age.is_some_and(|age| age < STAYS)
    };
    let all = if app.is_merged() { OF_GROUPS } else { OF_TASKS };
    all.iter().filter(|column| is_recent(&column.what)).copied().collect()
}

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let Rows::Tasks(rows) = &watched.rows else { return };
    if rows.is_empty() {
        canvas.nothing(regions.list, empty(app, watched));
        return;
    }
    let names = TaskNames::of(watched.snapshot());
    let columns = used(app);
    // Only what is shown is put into words.
    let shown = app.list().shown(rows.len(), usize::from(regions.list.height));
    let shown: Vec<&TaskRow> = rows.iter().skip(shown.start).take(shown.len()).collect();
    let of_row = |of: &&TaskRow| cells(of, watched, &names, &columns);
    let cells: Vec<Vec<(Style, String)>> = shown.iter().map(of_row).collect();
    let need = |at: usize| {
        let widths = cells.iter().filter_map(|row| Some(row.get(at)?.1.width()));
        widths.max().unwrap_or(0)
    };
    let needs: Vec<usize> = (0..columns.len()).map(need).collect();
    let fitted = fit(&columns, &needs, usize::from(regions.list.width));
    let arrow = |what: What| match sort_of(what) {
        Some(sort) if sort == app.sort && app.is_reversed => "▲",
        Some(sort) if sort == app.sort => "▼",
        _ => "",
    };
    canvas.line(regions.head, 0, &heads(&fitted, arrow));
    let kept: FxHashSet<What> = fitted.iter().map(|(column, _)| column.what).collect();
    for (y, (of, cells)) in shown.iter().zip(cells).enumerate() {
        let cells = columns.iter().zip(cells).filter(|(column, _)| kept.contains(&column.what));
        let cells = cells.map(|(column, (style, text))| {
            let width = fitted.iter().find(|(it, _)| it.what == column.what).map_or(0, |it| it.1);
            let text = match column.what {
                What::Work => table::middle_cut(&page::clean(&text), width),
                What::Place => place_cut(&text, width),
                _ => text,
            };
            (style, text)
        });
        let cells: Vec<(Style, String)> = cells.collect();
        canvas.line(regions.list, narrow(y), &row(sign(app, of, watched), &fitted, &cells));
    }
    select(app, regions.list, canvas);
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
    watched: &Watched,
    names: &TaskNames<'_>,
    columns: &[Column<What>],
) -> Vec<(Style, String)> {
    let tasks = &watched.snapshot().tasks;
    let members: Vec<&Task> = of.members.iter().filter_map(|&at| tasks.get(at)).collect();
    let Some(first) = members.first().copied() else { return Vec::new() };
    let is_quiet = of.state == GroupState::Idle;
    let plain = if is_quiet { Style::Dim } else { Style::Plain };
    let has_cancel = columns.iter().any(|column| column.what == What::Cancel);
    let cell = |column: &Column<What>| match column.what {
        What::Count if of.is_inner => (plain, String::new()),
        What::Count => (plain, with_separators(members.len())),
        What::Work => {
            let strong = if is_quiet { Style::Dim } else { Style::Strong };
            (strong, named(of, &members, first))
        }
        What::Age => (plain, of.oldest.map(words::age).unwrap_or_default()),
        What::Waits => {
            let (style, words) = reason(&members, names, has_cancel);
            (if is_quiet { Style::Dim } else { style }, words)
        }
        What::Place => (plain, work::place(first).map(|at| place(at)).unwrap_or_default()),
        What::Task => {
            let name = first.name.as_deref().filter(|name| work::name(first) != **name);
            (plain, name.unwrap_or_default().to_owned())
        }
        What::Cancel => (Style::Notice, cancel_word(first).unwrap_or_default().to_owned()),
        What::State => {
            let (style, state) = words::task_state(first.state);
            (style, if first.state.is_none() { "?" } else { state }.to_owned())
        }
    };
    columns.iter().map(cell).collect()
}

/// `worker-*` of several, `  worker-3` below it.
fn named(of: &TaskRow, members: &[&Task], first: &Task) -> String {
    match members {
        [_] if of.is_inner => format!("  {}", live_name(first)),
        [_] => live_name(first),
        _ if members.iter().all(|task| work::name(task) == work::name(first)) => work::name(first),
        _ => work::name_of_all(first),
    }
}

/// The name of one: of a request what was asked for, which is shown in live views only.
fn live_name(task: &Task) -> String {
    task.work.as_deref().map_or_else(|| work::name(task), Work::live_name)
}

/// `shop.py:20 Inventory.get`
fn place(at: &Location) -> String {
    format!("{} {}", short_place(at), at.function)
}

/// A place in a cell: its line is never cut.
fn place_cut(place: &str, width: usize) -> String {
    let (at, function) = place.split_once(' ').unwrap_or((place, ""));
    let room = width.saturating_sub(at.width() + 1);
    match room {
        4.. => format!("{at} {}", page::fit(function, room)),
        _ if at.width() <= width => at.to_owned(),
        _ => format!("…{}", table::end(at, width.saturating_sub(1))),
    }
}

/// The sign of what is worst about it.
fn sign(app: &App, of: &TaskRow, watched: &Watched) -> (Style, &'static str) {
    let first = of.members.first().and_then(|at| watched.snapshot().tasks.get(*at));
    let is_pinned = app.pinned.is_some() && first.map(|task| task.id) == app.pinned;
    match words::sign(of.severity, of.state) {
        (_, "") if is_pinned => (Style::Notice, "●"),
        sign => sign,
    }
}

/// What they wait for, in a line; how far a cancellation is before it, if that has no column.
pub fn reason(members: &[&Task], names: &TaskNames<'_>, has_cancel: bool) -> (Style, String) {
    if let Some(place) = members.first().filter(|_| members.len() == 1).and_then(|it| running(it)) {
        return (Style::Active, place);
    }
    let (some, is_all) = some_of(members);
    let mut reasons = waiting::reasons(some, names);
    if !is_all && reasons.len() > 1 {
        // How many have each reason is not known then.
        reasons.truncate(1);
        reasons.push("…".to_owned());
    }
    let words = reasons.join("; ");
    let cancel = members.first().and_then(|task| cancel_word(task)).filter(|_| !has_cancel);
    match cancel {
        Some(cancel) => (Style::Notice, format!("[{cancel}] {words}")),
        None => (Style::Reason, words),
    }
}

/// So many that a frame has time for them, and whether these are all: the first ones, and those
/// that bound the ranges which are told of them.
fn some_of<'t>(members: &[&'t Task]) -> (Vec<&'t Task>, bool) {
    if members.len() <= MAX_MERGED {
        return (members.to_vec(), true);
    }
    let mut some: Vec<&Task> = members.iter().copied().take(MAX_MERGED).collect();
    let bounds = |key: &dyn Fn(&Waiting) -> Option<i128>| {
        let known =
            || members.iter().filter_map(|task| Some((key(task.waiting_on.as_deref()?)?, *task)));
        let key = |(value, _): &(i128, &Task)| *value;
        [known().min_by_key(key), known().max_by_key(key)].into_iter().flatten()
    };
    let nanos = |time: Duration| i128::try_from(time.as_nanos()).ok();
    for (_, task) in bounds(&|waiting| waiting.position().at.map(i128::from))
        .chain(bounds(&|waiting| waiting.due_in.map(|due| due.as_nanos())))
        .chain(bounds(&|waiting| waiting.since.and_then(nanos)))
    {
        some.push(task);
    }
    (some, false)
}

/// Where a task is that runs.
fn running(task: &Task) -> Option<String> {
    let at = &task.frames.last().filter(|_| task.state == Some(TaskState::Running))?.location;
    Some(format!("runs {}  {}", at.function, short_place(at)))
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
