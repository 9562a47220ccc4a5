//! Who it is, what its loops do, how many tasks there are, how well it is read.

use std::time::Duration;

use aiospy::known::command;
use aiospy::snapshot::{GroupState, LoopState, Process, Snapshot, duration_in_column};
use ratatui::layout::Rect;

use super::canvas::{BARS, Canvas};
use super::verdict::{LIVE, is_state_above, state};
use crate::io::page::{Line, Style};
use crate::report::text::words;
use crate::top::feed::Point;
use crate::top::several::Several;
use crate::top::state::{App, Watched};
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
    // What there is no room for is left out, at last the end of the command.
    let (mut left, mut right) = (Line::new(), Line::new());
    for plan in Plan::ALL {
        left = command(whole, snapshot, plan);
        right = how(app, watched, plan, !is_above);
        if left.width() + right.width() + 3 <= width {
            break;
        }
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

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    Lag,
    Up,
    Bars,
    Stuck,
    Moving,
    Python,
    Idle,
}

impl Plan {
    /// The fullest first.
    const ALL: [Self; 7] =
        [Self::Idle, Self::Python, Self::Moving, Self::Stuck, Self::Bars, Self::Up, Self::Lag];
}

/// `    22153 uvicorn shop:app · CPython 3.12.1 · up 65.1 s`
fn command(process: &Process, snapshot: &Snapshot, plan: Plan) -> Line {
    let line = Line::new().with(Style::Plain, "    ").with(Style::Strong, &process.pid.to_string());
    let words = command::program(&process.cmdline);
    let words = if words.is_empty() { process.exe.clone().unwrap_or_default() } else { words };
    let mut line = line.with(Style::Plain, " ").with(Style::Plain, &words);
    let process = &snapshot.process;
    if let Some(version) = process.python.as_ref().filter(|_| plan >= Plan::Python) {
        line.add(Style::Dim, &format!(" · CPython {version}"));
    }
    if let Some(started) = process.started_at.filter(|_| plan >= Plan::Up) {
        line.add(Style::Dim, &format!(" · up {}", age(started, snapshot.taken_at)));
    }
    line
}

/// `loop polling · lag 0 ms ▁▁▁▁ · 161 stuck, 14 moving · live`
fn how(app: &App, watched: &Watched, plan: Plan, has_state: bool) -> Line {
    let snapshot = watched.snapshot();
    let mut line = loop_words(watched);
    let at = worst_loop(snapshot);
    let history = at.and_then(|at| watched.feed.loops.get(at)).filter(|_| !app.is_ended());
    if let Some(history) = history {
        let lag = history.now.lag.unwrap_or_default();
        let (style, _) = bar(history.now.lag);
        let style = if style == Style::Active { Style::Plain } else { style };
        line.add(Style::Dim, " · lag ");
        line.add(style, &duration_in_column(lag));
        if plan >= Plan::Bars {
            line.add(Style::Plain, " ");
            let room = if usize::from(app.size.0) >= WIDE { 20 } else { 8 };
            line = joined(line, &bars(history.last(room), room));
        }
    }
    let counts = counts(watched, plan);
    if counts.width() > 0 {
        line.add(Style::Dim, " · ");
        line = joined(line, &counts);
    }
    let state = state(app, watched, true);
    // That it is live goes without saying.
    if has_state && (plan > Plan::Lag || state.text() != LIVE) {
        line.add(Style::Dim, " · ");
        line = joined(line, &state);
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
fn counts(watched: &Watched, plan: Plan) -> Line {
    let snapshot = watched.snapshot();
    if snapshot.tasks.is_empty() {
        // "0 tasks" would be a claim, if something could not be read.
        let words = if snapshot.problems.is_empty() { "no tasks" } else { "no task was read" };
        return Line::new().with(Style::Dim, words);
    }
    let mut line = Line::new();
    let states = [
        (GroupState::Stuck, Style::Notice, Plan::Stuck),
        (GroupState::Undecided, Style::Notice, Plan::Stuck),
        (GroupState::Moving, Style::Plain, Plan::Moving),
        (GroupState::Idle, Style::Dim, Plan::Idle),
    ];
    for (state, style, from) in states {
        let count = watched.judged.count(state);
        if count > 0 && plan >= from {
            line.add(Style::Dim, if line.width() > 0 { ", " } else { "" });
            line.add(style, &format!("{} {}", words::count(count), state.as_str()));
        }
    }
    let asked = snapshot.tasks.iter().filter(|task| task.cancellation.is_some()).count();
    if asked > 0 && plan >= Plan::Moving {
        line.add(Style::Notice, &format!(", {} cancelled", words::count(asked)));
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
