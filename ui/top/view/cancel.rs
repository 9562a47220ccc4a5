//! Cancellations, how far each is, what eats them, and the stage of a shutdown.

use std::time::Duration;

use aiospy::snapshot::{Shutdown, Stage, Task, duration_in_column};
use jiff::Timestamp;
use ratatui::layout::Rect;

use super::canvas::{Canvas, Column, SIGNS, row};
use super::select;
use super::tasks::{cancel_word, reason};
use crate::io::page::{Line, Style};
use crate::report::text::short::ById;
use crate::report::text::waiting::TaskNames;
use crate::report::text::{loops, words};
use crate::top::feed::Cancelled;
use crate::top::layout::{Regions, narrow};
use crate::top::rows::Rows;
use crate::top::state::{App, Watched};
use crate::top::words::{fate_word, short_place};

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let Rows::Cancel(rows) = &watched.rows else { return };
    let snapshot = watched.snapshot();
    let (names, by_id) = (TaskNames::of(snapshot), ById::of(snapshot));
    let columns = columns(usize::from(regions.list.width));
    canvas.heads(regions.head, &columns);
    if rows.is_empty() {
        let words = if app.filter.text.is_empty() {
            "no task was cancelled"
        } else {
            "no such task was cancelled; Esc clears the filter"
        };
        canvas.nothing(regions.list, words);
    }
    let shown = app.list().shown(rows.len(), usize::from(regions.list.height));
    for (y, at) in rows.iter().skip(shown.start).take(shown.len()).enumerate() {
        let history = at.history.and_then(|at| watched.feed.cancelled.get(at));
        let cells = match (at.task.and_then(|at| snapshot.tasks.get(at)), history) {
            (Some(task), history) => {
                let reason = reason(at.task.as_slice(), watched, &by_id);
                cells(task, history, app.now, reason)
            }
            (None, Some(history)) => past(history, app.now),
            (None, None) => continue,
        };
        canvas.line(regions.list, narrow(y), &row((Style::Plain, ""), &columns, &cells));
    }
    if !rows.is_empty() {
        select(app, regions.list, canvas);
    }
    let below = narrow(rows.len().max(3) + 1);
    if let Some(shutdown) = snapshot.shutdown.as_ref().filter(|_| below < regions.list.height) {
        let place =
            Rect { y: regions.list.y + below, height: regions.list.height - below, ..regions.list };
        stage(shutdown, watched, &names, place, canvas);
    }
}

fn columns(width: usize) -> Vec<Column> {
    let name = (width / 4).clamp(16, 30);
    let eaten = (width / 4).clamp(20, 34);
    let rest = width.saturating_sub(SIGNS + 12 + 7 + name + 1 + eaten + 1 + 1);
    vec![
        Column::new("IS", 11),
        Column::new("  ASKED", 7),
        Column::new("NAME", name),
        Column::new("SWALLOWED / CLEANING UP AT", eaten),
        Column::new("WAITS FOR", rest),
    ]
}

fn cells(
    task: &Task,
    history: Option<&Cancelled>,
    now: Timestamp,
    reason: (Style, String),
) -> Vec<(Style, String)> {
    let is_unheeded = task.cancellation.as_ref().is_some_and(words::is_unheeded);
    let fate = history.and_then(|history| history.turns.last()).map(|turn| turn.fate);
    let (style, word) = match cancel_word(task) {
        Some(word) if is_unheeded => (Style::Alarm, word),
        Some(word) => (Style::Notice, word),
        None => fate.map_or((Style::Dim, ""), fate_word),
    };
    let handling = task.cancellation.as_ref().and_then(|it| it.handling);
    let place = match (&task.swallower, handling.and_then(|at| task.frames.get(at))) {
        (Some(swallower), _) => {
            let at = &swallower.location;
            let doubt = if swallower.is_sure { "" } else { "?" };
            format!("{}{doubt} {}", swallower.clause, short_place(at))
        }
        (None, Some(frame)) => short_place(&frame.location),
        (None, None) => String::new(),
    };
    let name = task.name.as_deref();
    vec![
        (style, word.to_owned()),
        (Style::Plain, asked(history, now)),
        (Style::Strong, name.map_or_else(|| task.id.to_string(), str::to_owned)),
        (Style::Plain, place),
        reason,
    ]
}

/// One that is over.
fn past(history: &Cancelled, now: Timestamp) -> Vec<(Style, String)> {
    let last = history.turns.last();
    let (_, word) = last.map_or((Style::Dim, ""), |turn| fate_word(turn.fate));
    let place = history.turns.iter().rev().find_map(|turn| turn.place.as_ref());
    vec![
        (Style::Dim, word.to_owned()),
        (Style::Dim, asked(Some(history), now)),
        (Style::Plain, history.name.as_deref().unwrap_or("?").to_owned()),
        (Style::Dim, place.map(|at| short_place(at)).unwrap_or_default()),
        (Style::Dim, String::new()),
    ]
}

/// How long ago it was asked for; what was so from the first sample on is from some time before.
fn asked(history: Option<&Cancelled>, now: Timestamp) -> String {
    let Some(first) = history.and_then(|history| history.turns.first()) else {
        return String::new();
    };
    if first.is_earlier {
        return "before".to_owned();
    }
    let ago = Duration::try_from(now.duration_since(first.at)).unwrap_or_default();
    format!("{:>7}", duration_in_column(ago))
}

/// The stages of a shutdown, with the one that it is at.
fn stage(
    shutdown: &Shutdown,
    watched: &Watched,
    names: &TaskNames<'_>,
    region: Rect,
    canvas: &mut Canvas<'_>,
) {
    let mut line = Line::new().with(Style::Plain, "   ").with(Style::Notice, "shutting down");
    line.add(Style::Plain, &format!(": {} {}", shutdown.by, loops::stage(shutdown.stage)));
    canvas.line(region, 0, &line);
    let stages = [
        Stage::Graceful,
        Stage::CancelAll,
        Stage::Asyncgens,
        Stage::DefaultExecutor,
        Stage::InterpreterThreads,
    ];
    let mut line = Line::new().with(Style::Plain, "   ");
    for (at, stage) in stages.into_iter().enumerate() {
        if at > 0 {
            line.add(Style::Dim, " → ");
        }
        let is_now = stage == shutdown.stage;
        let words =
            if is_now { format!("● {}", stage.as_str()) } else { stage.as_str().to_owned() };
        line.add(if is_now { Style::Notice } else { Style::Dim }, &words);
    }
    canvas.line(region, 1, &line);
    let mut y = 2;
    if !shutdown.tasks.is_empty() {
        let words = format!(
            "   waits for {}: {}",
            words::counted(shutdown.tasks.len(), "task"),
            names.folded(shutdown.tasks.iter().copied())
        );
        canvas.line(region, y, &Line::new().with(Style::Plain, &words));
        y += 1;
    }
    for tid in &shutdown.threads {
        let thread = watched.snapshot().threads.iter().find(|it| it.tid == Some(*tid));
        let name = thread.and_then(|it| it.name.as_deref()).unwrap_or("unnamed");
        let words = format!("   waits for thread {tid} {name}");
        canvas.line(region, y, &Line::new().with(Style::Plain, &words));
        y += 1;
    }
}
