//! Cancellations, how far each is, what eats them, and the stage of a shutdown.

use aiospy::snapshot::{Shutdown, Stage, Task};
use ratatui::layout::Rect;

use super::canvas::{Canvas, Column, SIGNS, row};
use super::select;
use super::tasks::{cancel_word, reason};
use crate::text::page::{Line, Style};
use crate::text::waiting::Names;
use crate::text::{loops, words};
use crate::top::app::{App, Watched};
use crate::top::layout::{Regions, narrow};
use crate::top::rows::Rows;
use crate::top::words::short_place;

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let Rows::Cancel(rows) = &watched.rows else { return };
    let snapshot = watched.snapshot();
    let names = Names::of(snapshot);
    let columns = columns(usize::from(regions.list.width));
    canvas.heads(regions.head, &columns);
    if rows.is_empty() {
        let words = if app.filter.text.is_empty() {
            "no task was asked to end"
        } else {
            "no such task was asked to end; Esc takes the filter away"
        };
        canvas.line(
            regions.list,
            1,
            &Line::new().with(Style::Plain, "   ").with(Style::Dim, words),
        );
    }
    let shown = app.list().shown(rows.len(), usize::from(regions.list.height));
    for (y, at) in rows.iter().skip(shown.start).take(shown.len()).enumerate() {
        if let Some(task) = snapshot.tasks.get(*at) {
            let line = row((Style::Plain, ""), &columns, &cells(task, &names));
            canvas.line(regions.list, narrow(y), &line);
        }
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
    let rest = width.saturating_sub(SIGNS + 12 + name + 1 + eaten + 1 + 1);
    vec![
        Column::new("IS", 11),
        Column::new("NAME", name),
        Column::new("EATEN, HANDLED AT", eaten),
        Column::new("WAITS FOR", rest),
    ]
}

fn cells(task: &Task, names: &Names<'_>) -> Vec<(Style, String)> {
    let is_unheeded = task.cancellation.as_ref().is_some_and(words::is_unheeded);
    let style = if is_unheeded { Style::Alarm } else { Style::Notice };
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
        (style, cancel_word(task).unwrap_or_default().to_owned()),
        (Style::Strong, name.map_or_else(|| task.id.to_string(), str::to_owned)),
        (Style::Plain, place),
        reason(&[task], names, true),
    ]
}

/// The stages of a shutdown, with the one that it is at.
fn stage(
    shutdown: &Shutdown,
    watched: &Watched,
    names: &Names<'_>,
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
