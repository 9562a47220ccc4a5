//! Who it is, what its loops do, how many tasks there are, how well it is read.

use std::time::Duration;

use aiospy::snapshot::{Loop, Process, Snapshot};
use ratatui::layout::Rect;

use super::canvas::{BARS, Canvas};
use crate::io::page::{Line, Style};
use crate::report::text::words;
use crate::top::feed::{LoopHistory, Point};
use crate::top::layout::narrow;
use crate::top::state::{App, Watched};
use crate::top::words::age;

/// From here on the heights of a bar of lag, in milliseconds: each some three times the one before.
const LAG_MS: [u64; 8] = [0, 3, 10, 30, 100, 300, 1000, 3000];
/// The widest that the line of lag becomes.
const MAX_LAG: usize = 60;

pub fn draw(app: &App, watched: &Watched, region: Rect, canvas: &mut Canvas<'_>) {
    let snapshot = watched.snapshot();
    canvas.both(region, 0, &command(&snapshot.process), &about(snapshot, region.width < 80));
    let is_low = region.height < 3;
    if is_low {
        let mut line = loop_line(app, watched, 0);
        line.add(Style::Dim, "  ");
        let counts = tasks(watched);
        canvas.both(region, 1, &joined(line, &counts), &reading(app, watched, true));
        return;
    }
    let rows = region.height - 2;
    for y in 0..rows {
        let line = loop_line(app, watched, usize::from(y));
        canvas.line(region, 1 + y, &line);
        let of = snapshot.loops.get(usize::from(y)).filter(|of| is_run(of) && !app.is_ended());
        if let Some(history) = watched.feed.loops.get(usize::from(y)).filter(|_| of.is_some()) {
            lag(history, line.width(), Rect { y: region.y + 1 + y, height: 1, ..region }, canvas);
        }
    }
    let mut left = Line::new().with(Style::Plain, " ");
    left = joined(left, &tasks(watched));
    let hidden = snapshot.loops.len().saturating_sub(usize::from(rows));
    if hidden > 0 {
        left.add(Style::Dim, &format!("  {} more", words::counted(hidden, "loop")));
    }
    canvas.both(region, region.height - 1, &left, &reading(app, watched, false));
}

fn joined(mut line: Line, more: &Line) -> Line {
    for (style, piece) in more.pieces() {
        line.add(style, piece);
    }
    line
}

/// ` 4711  python3 -m orders`
fn command(process: &Process) -> Line {
    let line = Line::new().with(Style::Plain, " ").with(Style::Strong, &process.pid.to_string());
    let words = match process.cmdline.split_first() {
        Some((program, arguments)) => {
            let program = program.rsplit('/').next().unwrap_or(program);
            let words = std::iter::once(program).chain(arguments.iter().map(String::as_str));
            words.collect::<Vec<_>>().join(" ")
        }
        None => process.exe.clone().unwrap_or_default(),
    };
    line.with(Style::Plain, "  ").with(Style::Plain, &words)
}

fn about(snapshot: &Snapshot, is_short: bool) -> Line {
    let process = &snapshot.process;
    let mut words = Vec::new();
    if let Some(version) = &process.python {
        words.push(format!("CPython {version}"));
    }
    if let Some(started) = process.started_at.filter(|_| !is_short) {
        words.push(format!("up {}", age(started, snapshot.taken_at)));
    }
    Line::new().with(Style::Dim, &words.join(" · ")).with(Style::Plain, " ")
}

/// ` ● loop 1 blocked for 4.2 s in task update-rates`
fn loop_line(app: &App, watched: &Watched, at: usize) -> Line {
    let snapshot = watched.snapshot();
    let mut line = Line::new().with(Style::Plain, " ");
    if app.is_ended() {
        let at = watched.feed.snapshot.taken_at;
        let since = format!("this is how it was {} ago", age(at, app.now));
        line.add(Style::Alarm, "● the process has ended");
        line.add(Style::Dim, &format!("  {since}"));
        return line;
    }
    let Some(of) = snapshot.loops.get(at) else {
        line.add(Style::Dim, "● no event loop");
        return line;
    };
    let (style, state) = words::loop_state(of);
    let style = if style == Style::Plain { Style::Active } else { style };
    let number =
        if snapshot.loops.len() > 1 { format!("loop {} ", at + 1) } else { "loop ".to_owned() };
    line.add(style, "● ");
    line.add(Style::Plain, &number);
    line.add(style, &state);
    if let Some(handle) = of.iteration.as_ref().and_then(words::handle).filter(|_| is_run(of)) {
        line.add(Style::Plain, &format!(" in {handle}"));
    }
    if let Some(held) = snapshot.thread_of(of).and_then(|thread| words::held(thread.state)) {
        line.add(Style::Alarm, &format!("  {held}"));
    }
    line
}

fn is_run(of: &Loop) -> bool {
    of.may_run()
}

/// How late the loop was over the last seconds, as a row of bars.
fn lag(history: &LoopHistory, taken: usize, region: Rect, canvas: &mut Canvas<'_>) {
    let width = usize::from(region.width);
    let label = "lag ";
    let room = width.saturating_sub(taken + label.len() + 4).min(MAX_LAG);
    if room < 8 {
        return;
    }
    let mut line = Line::new().with(Style::Dim, label);
    line = joined(line, &bars(history.last(room), room));
    let x = region.right() - narrow(line.width() + 1);
    canvas.line(Rect { x, width: narrow(line.width()), ..region }, 0, &line);
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

/// `17 tasks: 1 running, 16 pending`
fn tasks(watched: &Watched) -> Line {
    let snapshot = watched.snapshot();
    if snapshot.tasks.is_empty() {
        // "0 tasks" would be a claim, if something could not be read.
        let words = if snapshot.problems.is_empty() { "no tasks" } else { "no task was read" };
        return Line::new().with(Style::Strong, words);
    }
    let mut line = Line::new();
    line.add(Style::Strong, &words::counted(snapshot.tasks.len(), "task"));
    line.add(Style::Dim, ":");
    let mut separator = " ";
    for (style, words) in words::by_state(&snapshot.tasks) {
        line.add(Style::Plain, separator);
        line.add(style, &words);
        separator = ", ";
    }
    let stuck = watched.feed.standing.as_ref().map_or(0, |standing| standing.stuck_count());
    if stuck > 0 {
        line.add(Style::Notice, &format!(" · {} stuck", words::count(stuck)));
    }
    let asked = snapshot.tasks.iter().filter(|task| task.cancellation.is_some()).count();
    if asked > 0 {
        line.add(Style::Notice, &format!(" · {} asked to end", words::count(asked)));
    }
    line
}

/// How well and how often it is read, and how old that is.
fn reading(app: &App, watched: &Watched, is_short: bool) -> Line {
    let feed = &watched.feed;
    let mut line = Line::new();
    let mut add = |style, words: &str| {
        if line.width() > 0 {
            line.add(Style::Dim, " · ");
        }
        line.add(style, words);
    };
    if app.is_paused {
        add(Style::Notice, "PAUSED");
    }
    if app.is_recording {
        add(Style::Alarm, "● REC");
    }
    if let Some(place) = &feed.place {
        add(Style::Notice, if app.is_playing { "PLAYING" } else { "RECORDING" });
        let at = feed.at.to_zoned(app.zone.clone()).strftime("%H:%M:%S%.3f").to_string();
        add(Style::Plain, &at);
        let [number, count] = [place.number + 1, place.count].map(words::count);
        add(Style::Dim, &format!("sample {number} of {count}"));
        return line.with(Style::Plain, " ");
    }
    if let Some(cause) = &feed.unreadable {
        add(Style::Alarm, &format!("not read: {cause}"));
    }
    let problems = feed.snapshot.problems.len();
    if problems > 0 {
        add(Style::Notice, &words::counted(problems, "problem"));
    }
    if !is_short {
        if !app.is_ended() {
            add(Style::Dim, &format!("{} Hz", feed.rate));
        }
        let number = |number: u64| words::count(usize::try_from(number).unwrap_or(usize::MAX));
        let all = feed.samples + feed.missed;
        let style = if feed.missed > all / 20 { Style::Notice } else { Style::Dim };
        add(style, &format!("missed {} of {}", number(feed.missed), number(all)));
    }
    let seconds = app.now.duration_since(feed.snapshot.taken_at).as_secs();
    let style = if seconds >= 2 { Style::Notice } else { Style::Dim };
    if seconds < 1 {
        add(style, "now");
    } else {
        add(style, &format!("{} old", age(feed.snapshot.taken_at, app.now)));
    }
    line.with(Style::Plain, " ")
}
