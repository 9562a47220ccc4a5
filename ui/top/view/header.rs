//! Who it is, what its loops do, how many tasks there are, how well it is read.

use std::time::Duration;

use aiospy::known::command;
use aiospy::snapshot::{LoopState, Process, Snapshot, duration_in_column};
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr as _;

use super::canvas::{BARS, Canvas};
use crate::io::page::{Line, Style};
use crate::report::text::{findings, words};
use crate::top::feed::Point;
use crate::top::several::Several;
use crate::top::state::{App, Watched};
use crate::top::verdict;
use crate::top::words::age;

/// From here on the heights of a bar of lag, in milliseconds: each some three times the one before.
const LAG_MS: [u64; 8] = [0, 3, 10, 30, 100, 300, 1000, 3000];
/// From this width on there are more bars of it.
const WIDE: usize = 160;

pub fn draw(app: &App, watched: &Watched, region: Rect, canvas: &mut Canvas<'_>) {
    let snapshot = watched.snapshot();
    let width = usize::from(region.width);
    // Of several processes it is the one that they are below.
    let whole = app.several.as_ref().and_then(Several::root).unwrap_or(&snapshot.process);
    let is_above = is_state_above(app, region.width, watched);
    // What there is no room for is left out: Python, the bars, counts, at last the command.
    let mut right = Line::new();
    for detail in (0..=3).rev() {
        right = how(app, watched, detail, !is_above);
        let left = command(whole).width() + if detail == 3 { about(snapshot).width() } else { 0 };
        if left + right.width() + 3 <= width {
            break;
        }
    }
    let mut left = command(whole);
    let rest = about(snapshot);
    if left.width() + rest.width() + right.width() + 3 <= width {
        left = joined(left, &rest);
    }
    canvas.both(region, 0, &left, &right);
    let trouble = watched.feed.trouble();
    if !trouble.is_empty() {
        let line = Line::new().with(Style::Plain, "    ");
        canvas.line(region, 1, &line.with(Style::Notice, &trouble.join(" · ")));
    }
}

fn joined(mut line: Line, more: &Line) -> Line {
    for (style, piece) in more.pieces() {
        line.add(style, piece);
    }
    line
}

/// `    22153 uvicorn shop:app`
fn command(process: &Process) -> Line {
    let line = Line::new().with(Style::Plain, "    ").with(Style::Strong, &process.pid.to_string());
    let words = command::program(&process.cmdline);
    let words = if words.is_empty() { process.exe.clone().unwrap_or_default() } else { words };
    line.with(Style::Plain, " ").with(Style::Plain, &words)
}

/// ` · CPython 3.12.1 · up 65.1 s`
fn about(snapshot: &Snapshot) -> Line {
    let process = &snapshot.process;
    let mut line = Line::new();
    if let Some(version) = &process.python {
        line.add(Style::Dim, &format!(" · CPython {version}"));
    }
    if let Some(started) = process.started_at {
        line.add(Style::Dim, &format!(" · up {}", age(started, snapshot.taken_at)));
    }
    line
}

/// `loop polling · lag 0 ms ▁▁▁▁ · 161 stuck, 14 moving · live`, with more or less detail.
fn how(app: &App, watched: &Watched, detail: usize, has_state: bool) -> Line {
    let snapshot = watched.snapshot();
    let mut line = loop_words(watched);
    let at = worst_loop(snapshot);
    let history = at.and_then(|at| watched.feed.loops.get(at)).filter(|_| !app.is_ended());
    if let Some(history) = history {
        let lag = history.now.lag.unwrap_or_default();
        let (style, _) = bar(history.now.lag);
        let style = if style == Style::Active { Style::Plain } else { style };
        if detail > 0 {
            line.add(Style::Dim, " · lag ");
            line.add(style, &duration_in_column(lag));
        }
        if detail > 1 {
            line.add(Style::Plain, " ");
            let room = if usize::from(app.size.0) >= WIDE { 20 } else { 8 };
            line = joined(line, &bars(history.last(room), room));
        }
    }
    if detail > 2 || detail > 0 && history.is_none() {
        let counts = counts(watched);
        if counts.width() > 0 {
            line.add(Style::Dim, " · ");
            line = joined(line, &counts);
        }
    }
    if has_state {
        line.add(Style::Dim, " · ");
        line = joined(line, &state(app, watched));
    }
    line.with(Style::Plain, " ")
}

/// The loop that is worst off.
fn worst_loop(snapshot: &Snapshot) -> Option<usize> {
    let telling = snapshot.telling_loop().or(snapshot.loops.first())?;
    snapshot.loops.iter().position(|of| of.id == telling.id)
}

/// `loop BLOCKED for 4.2 s in task update-rates`
fn loop_words(watched: &Watched) -> Line {
    let snapshot = watched.snapshot();
    let Some((at, of)) = worst_loop(snapshot).and_then(|at| Some((at, snapshot.loops.get(at)?)))
    else {
        return Line::new().with(Style::Dim, "no event loop");
    };
    let (style, state) = words::loop_state(of);
    // For how long one polls says nothing about it.
    let state = if of.state == Some(LoopState::Polling) { "polling".to_owned() } else { state };
    let several = snapshot.loops.len();
    let number =
        if several > 1 { format!("loop {} of {several} ", at + 1) } else { "loop ".to_owned() };
    let mut line = Line::new().with(Style::Dim, &number).with(style, &state);
    if let Some(held) = snapshot.thread_of(of).and_then(|thread| words::held(thread.state)) {
        line.add(Style::Alarm, &format!("  {held}"));
    }
    line
}

/// `161 stuck, 14 moving`
fn counts(watched: &Watched) -> Line {
    let snapshot = watched.snapshot();
    if snapshot.tasks.is_empty() {
        // "0 tasks" would be a claim, if something could not be read.
        let words = if snapshot.problems.is_empty() { "no tasks" } else { "no task was read" };
        return Line::new().with(Style::Dim, words);
    }
    let mut line = Line::new();
    line.add(Style::Plain, &words::counted(snapshot.tasks.len(), "task"));
    let stuck = watched.feed.standing.as_ref().map_or(0, |standing| standing.stuck_count());
    if stuck > 0 {
        line.add(Style::Notice, &format!(", {} stuck", words::count(stuck)));
    }
    let asked = snapshot.tasks.iter().filter(|task| task.cancellation.is_some()).count();
    if asked > 0 {
        line.add(Style::Notice, &format!(", {} cancelled", words::count(asked)));
    }
    line
}

/// Whether how it is read stands beside the answer: where it leaves room for that.
pub fn is_state_above(app: &App, width: u16, watched: &Watched) -> bool {
    let first = watched.findings.first().map(|known| findings::said(&known.finding));
    let said = first.unwrap_or_else(|| verdict::of(app, watched).1).width();
    !app.is_ended() && said + state(app, watched).width() + 8 <= usize::from(width)
}

/// `live · 10 Hz`, `paused`, `ended`, `recorded 06:00:01.2`
pub fn state(app: &App, watched: &Watched) -> Line {
    let feed = &watched.feed;
    let mut line = Line::new();
    if app.is_recording {
        line.add(Style::Alarm, "● REC ");
    }
    if let Some(place) = &feed.place {
        line.add(Style::Notice, if app.is_playing { "PLAYING" } else { "RECORDING" });
        let at = feed.at.to_zoned(app.zone.clone()).strftime("%H:%M:%S%.3f").to_string();
        line.add(Style::Plain, &format!(" {at}"));
        let [number, count] = [place.number + 1, place.count].map(words::count);
        return line.with(Style::Dim, &format!(" sample {number} of {count}"));
    }
    let old = app.now.duration_since(feed.snapshot.taken_at).as_secs();
    match () {
        () if app.is_ended() => line.add(Style::Alarm, "ended"),
        () if app.is_paused && old >= 2 => {
            let old = age(feed.snapshot.taken_at, app.now);
            line.add(Style::Notice, &format!("PAUSED · {old} old"));
        }
        () if app.is_paused => line.add(Style::Notice, "PAUSED"),
        () if old >= 2 => {
            line.add(Style::Notice, &format!("{} old", age(feed.snapshot.taken_at, app.now)));
        }
        () => line.add(Style::Dim, &format!("live · {} Hz", feed.rate)),
    }
    line
}

/// Bars for points, the latest to the right.
pub fn bars<'p>(points: impl Iterator<Item = &'p Point>, room: usize) -> Line {
    let points: Vec<&Point> = points.collect();
    let mut line = Line::new();
    line.pad_to(room.saturating_sub(points.len()));
    for point in points {
        let (style, height) = bar(point.lag);
        line.add(style, BARS.get(height).copied().unwrap_or(" "));
    }
    line
}

/// The look and height of a bar of lag; nothing where nothing was seen.
pub fn bar(lag: Option<Duration>) -> (Style, usize) {
    let Some(lag) = lag else { return (Style::Dim, 0) };
    let ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
    let height = LAG_MS.iter().filter(|least| ms >= **least).count();
    let style = match ms {
        1000.. => Style::Alarm,
        100.. => Style::Notice,
        _ => Style::Active,
    };
    (style, height)
}
