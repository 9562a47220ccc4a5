//! The table of tasks.

use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{Code, Severity, Task, TaskState, Waiting, duration_in_column};
use unicode_width::UnicodeWidthStr;

use super::canvas::{Canvas, Column, SIGNS, row};
use super::select;
use crate::io::page::{self, Line, Style};
use crate::report::text::waiting::{self, TaskNames};
use crate::report::text::{findings, names, words};
use crate::top::layout::{Regions, narrow};
use crate::top::rows::{Rows, Sort, TaskRow, stood_for};
use crate::top::state::{App, Watched};
use crate::top::words::short_place;

/// Of more tasks than these in one row, the first ones say what they wait for.
const MAX_MERGED: usize = 200;

/// What a column shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    State,
    Name,
    Coroutine,
    For,
    Reason,
    Holder,
    Awaiter,
    Cancel,
}

impl What {
    fn sort(self) -> Option<Sort> {
        match self {
            Self::State => Some(Sort::State),
            Self::Name => Some(Sort::Name),
            Self::Coroutine => Some(Sort::Coroutine),
            Self::For => Some(Sort::Since),
            Self::Reason => Some(Sort::Reason),
            Self::Cancel => Some(Sort::Cancel),
            Self::Holder | Self::Awaiter => None,
        }
    }

    fn head(self) -> &'static str {
        match self {
            Self::State => "STATE",
            Self::Name => "NAME",
            Self::Coroutine => "COROUTINE",
            Self::For => "    FOR",
            Self::Reason => "WAITS FOR",
            Self::Holder => "HELD BY, AWAITS",
            Self::Awaiter => "AWAITED BY",
            Self::Cancel => "CANCEL",
        }
    }
}

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let Rows::Tasks(rows) = &watched.rows else { return };
    let (what, columns) = columns(app, regions.list.width);
    canvas.heads(regions.head, &columns);
    if rows.is_empty() {
        let words = empty(app, watched);
        canvas.nothing(regions.list, words);
        return;
    }
    let names = TaskNames::of(watched.snapshot());
    let shown = app.list().shown(rows.len(), usize::from(regions.list.height));
    for (y, row_of) in rows.iter().skip(shown.start).take(shown.len()).enumerate() {
        let is_pinned = app.pinned.is_some() && shown.start + y == 0;
        let line = line(row_of, watched, &names, (&what, &columns), is_pinned);
        canvas.line(regions.list, narrow(y), &line);
    }
    select(app, regions.list, canvas);
}

fn empty(app: &App, watched: &Watched) -> &'static str {
    match () {
        () if !app.filter.text.is_empty() => "no task matches; Esc takes the filter away",
        () if watched.snapshot().problems.is_empty() => "no tasks",
        () => "no task could be read, which need not mean that there is none",
    }
}

/// The columns that there is room for; the wider the screen, the more.
fn columns(app: &App, width: u16) -> (Vec<What>, Vec<Column>) {
    let width = usize::from(width);
    let mut what = vec![What::State, What::Name];
    if width >= 90 {
        what.push(What::Coroutine);
    }
    what.extend([What::For, What::Reason]);
    if width >= 118 {
        what.push(What::Holder);
    }
    if width >= 140 {
        what.push(What::Awaiter);
    }
    if width >= 76 {
        what.push(What::Cancel);
    }
    let name = (width / 4).clamp(16, 34);
    let fixed = |what: What| match what {
        What::State | What::For => 7,
        What::Name => name,
        What::Coroutine => (width / 6).clamp(14, 32),
        What::Holder | What::Awaiter => (width / 8).clamp(14, 24),
        What::Cancel => 11,
        What::Reason => 0,
    };
    let taken: usize = what.iter().map(|what| fixed(*what) + 1).sum();
    let rest = width.saturating_sub(SIGNS + taken + 1);
    let column = |what: &What| {
        let arrow = match what.sort() {
            Some(sort) if sort == app.sort && app.is_reversed => "▲",
            Some(sort) if sort == app.sort => "▼",
            _ => "",
        };
        let head = format!("{}{arrow}", what.head());
        Column::new(head, if *what == What::Reason { rest } else { fixed(*what) })
    };
    let columns = what.iter().map(column).collect();
    (what, columns)
}

fn line(
    of: &TaskRow,
    watched: &Watched,
    names: &TaskNames<'_>,
    (what, columns): (&[What], &[Column]),
    is_pinned: bool,
) -> Line {
    let tasks = &watched.snapshot().tasks;
    let members: Vec<&Task> = of.members.iter().filter_map(|&at| tasks.get(at)).collect();
    let Some(first) = members.first().copied() else { return Line::new() };
    let has_cancel = what.contains(&What::Cancel);
    let cells = what.iter().zip(columns).map(|(what, column)| match what {
        What::State => {
            let (style, state) = words::task_state(first.state);
            (style, if first.state.is_none() { "?" } else { state }.to_owned())
        }
        What::Name => (Style::Strong, name(of, &members, column.width)),
        What::Coroutine => {
            (Style::Plain, first.coroutine.as_deref().unwrap_or_default().to_owned())
        }
        What::For => (Style::Plain, stood(of, watched)),
        What::Reason => reason(&members, names, has_cancel),
        What::Holder => {
            let waits = members.iter().filter_map(|task| task.waiting_on.as_deref());
            let ids = waits.flat_map(|waiting| waiting.holders().iter().chain(waiting.tasks()));
            (Style::Plain, folded(ids.copied(), names))
        }
        What::Awaiter => {
            let ids = members.iter().flat_map(|task| &task.awaited_by);
            (Style::Plain, folded(ids.copied(), names))
        }
        What::Cancel => (Style::Notice, cancel_word(first).unwrap_or_default().to_owned()),
    });
    let cells: Vec<(Style, String)> = cells.collect();
    row(sign(&of.marks, is_pinned), columns, &cells)
}

/// For how long they have been at their present await: the longest of them.
fn stood(of: &TaskRow, watched: &Watched) -> String {
    let times = of.members.iter().filter_map(|at| stood_for(&watched.feed, *at));
    times.max().map(|time| format!("{:>7}", duration_in_column(time))).unwrap_or_default()
}

/// The sign of what is worst about it.
pub fn sign(marks: &[(Severity, Code)], is_pinned: bool) -> (Style, &'static str) {
    match marks.iter().map(|mark| mark.0).max() {
        Some(severity) => (findings::word(severity).0, findings::sign(severity)),
        None if is_pinned => (Style::Notice, "●"),
        None => (Style::Plain, ""),
    }
}

/// `worker-{0..39}  ×40`, with the number in any case.
fn name(of: &TaskRow, members: &[&Task], width: usize) -> String {
    let indent = if of.is_inner { "  " } else { "" };
    if let [task] = members {
        let name = task.name.as_deref();
        return format!("{indent}{}", name.map_or_else(|| task.id.to_string(), str::to_owned));
    }
    let mark = if of.is_unfolded { "▾ " } else { "▸ " };
    let folded = names::fold(members.iter().filter_map(|task| task.name.as_deref()));
    let folded = if folded.is_empty() { "unnamed tasks".to_owned() } else { folded };
    let count = format!(" ×{}", words::count(members.len()));
    let room = width.saturating_sub(count.width() + mark.width());
    format!("{mark}{}{count}", page::fit(&page::clean(&folded), room))
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

fn folded(ids: impl Iterator<Item = Address>, names: &TaskNames<'_>) -> String {
    let mut ids: Vec<Address> = ids.take(MAX_MERGED).collect();
    ids.sort_unstable();
    ids.dedup();
    names.folded(ids)
}

/// How far a task's cancellation is, in a word or two.
pub fn cancel_word(task: &Task) -> Option<&'static str> {
    let cancellation = task.cancellation.as_ref()?;
    Some(match () {
        () if task.is_over() => "ended",
        () if cancellation.must_cancel => "to be told",
        () if cancellation.in_flight => "on its way",
        () if cancellation.handling.is_some() => "cleaning up",
        () if words::is_unheeded(cancellation) => "goes on",
        () => "asked",
    })
}
