//! How an event loop spends its time.

use std::time::Duration;

use aiospy::timeline::LoopTiming;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr as _;

use super::canvas::{BARS, Canvas};
use super::header::{bar, bars};
use crate::io::page::{self, Line, Page, Style};
use crate::report::text::{Lines, loops, words};
use crate::top::blocks::Block;
use crate::top::feed::{LENGTHS_MS, LoopHistory, Point};
use crate::top::layout::{Regions, narrow};
use crate::top::rows::Rows;
use crate::top::state::{App, Watched};
use crate::top::tab::Focus;

/// Rows of the tall picture of lag, where there is room.
const LAG_ROWS: u16 = 4;
/// Columns of labels.
const LABEL: usize = 13;
/// Lines of blocks above the histogram, where there is no room beside.
const MAX_BLOCKS: u16 = 4;
/// Of lower views what is selected takes all.
const LOW: u16 = 18;
/// Columns of how often and how long they blocked.
const NUMBERS: usize = 24;
/// The widest bar of the histogram.
const MAX_BAR: usize = 40;

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let snapshot = watched.snapshot();
    let region = Rect { x: regions.list.x + 1, width: regions.list.width - 2, ..regions.list };
    let Rows::Loop(loops, blocks) = &watched.rows else { return };
    let selected = app.list().selected;
    let block = selected.checked_sub(*loops);
    // With what has blocked a loop that loop is shown.
    let blocked = block.and_then(|at| blocks.get(at)?.loop_id);
    let at = match block {
        None => selected,
        Some(_) => snapshot.loops.iter().position(|of| Some(of.id) == blocked).unwrap_or(0),
    };
    let (Some(of), Some(history)) = (snapshot.loops.get(at), watched.feed.loops.get(at)) else {
        canvas.line(region, 1, &Line::new().with(Style::Dim, "  no event loop was found"));
        return;
    };
    if block.is_some() && region.height < LOW {
        return table(app, blocks, block, region, canvas);
    }
    let mut lines = Vec::new();
    let width = usize::from(region.width);
    let files = watched.feed.files.as_deref();
    let files = files.map(|files| files as &dyn crate::report::text::Files);
    let source = Lines::of_snapshot(files, snapshot);
    let mut page = Page::kept(&mut lines, width);
    // Lines that are kept in memory are always written.
    let _ = loops::event_loop(at + 1, of, snapshot, &source, &mut page);
    lines.truncate(usize::from(region.height / 2).max(4));
    let mut y = 0;
    for line in &lines {
        canvas.line(region, y, line);
        y += 1;
    }
    if block.is_none() {
        canvas.select(regions.list, 0, app.focus == Focus::View);
    }
    y += 1;
    y = over_time(history, region, y, canvas);
    y += 1;
    let rest = Rect {
        y: region.y + y.min(region.height),
        height: region.height.saturating_sub(y),
        ..region
    };
    if rest.width >= 100 {
        let half = rest.width / 2;
        let left = Rect { width: half - 2, ..rest };
        let right = Rect { x: rest.x + half, width: rest.width - half, ..rest };
        iterations(history, left, canvas);
        table(app, blocks, block, right, canvas);
        return;
    }
    // What has blocked it says more than the lengths.
    let above = (narrow(lines_of(blocks, 0).len()).min(MAX_BLOCKS) + 2).min(rest.height);
    table(app, blocks, block, Rect { height: above.saturating_sub(1), ..rest }, canvas);
    let below = rest.height - above;
    iterations(history, Rect { y: rest.y + above, height: below, ..rest }, canvas);
}

/// Lag, ready handles and timers over the last minutes; returns the first row below.
fn over_time(history: &LoopHistory, region: Rect, y: u16, canvas: &mut Canvas<'_>) -> u16 {
    let room = usize::from(region.width).saturating_sub(LABEL + 12);
    let points: Vec<&Point> = history.last(room).collect();
    let worst = points.iter().filter_map(|point| point.lag).max();
    let rows = if region.height >= 24 { LAG_ROWS } else { 1 };
    let mut y = y;
    if rows == 1 {
        let mut line = label("lag");
        for (style, piece) in bars(points.iter().copied(), room).pieces() {
            line.add(style, piece);
        }
        canvas.line(region, y, &most(line, room, worst.map(words::duration)));
    } else {
        for row in 0..rows {
            let mut line = label(match row {
                0 => "lag    1 s",
                1 => "    100 ms",
                2 => "     10 ms",
                _ => "         0",
            });
            line.pad_to(LABEL + room.saturating_sub(points.len()));
            for point in &points {
                let (style, height) = bar(point.lag);
                line.add(style, part(height, rows - 1 - row));
            }
            let line = if row == 0 { most(line, room, worst.map(words::duration)) } else { line };
            canvas.line(region, y + row, &line);
        }
    }
    y += rows;
    y = series("ready", &points, |point| point.ready, room, (region, y), canvas);
    y = series("timers", &points, |point| point.scheduled, room, (region, y), canvas);
    let span = Duration::from_millis(500) * u32::try_from(room).unwrap_or(0);
    let mut line = label("");
    line.add(Style::Dim, &format!("{} ago", words::duration(span)));
    line.pad_to(LABEL + room.saturating_sub(3));
    canvas.line(region, y, &line.with(Style::Dim, "now"));
    y + 1
}

/// A row of bars for one number of each point; returns the next row.
fn series(
    name: &str,
    points: &[&Point],
    value: impl Fn(&Point) -> Option<u64>,
    room: usize,
    (region, y): (Rect, u16),
    canvas: &mut Canvas<'_>,
) -> u16 {
    let most_of = points.iter().filter_map(|point| value(point)).max();
    let mut line = label(name);
    line.pad_to(LABEL + room.saturating_sub(points.len()));
    for point in points {
        line.add(Style::Code, level(value(point), most_of));
    }
    let words = most_of.map(|most| words::count(usize::try_from(most).unwrap_or(usize::MAX)));
    canvas.line(region, y, &most(line, room, words));
    y + 1
}

/// What a bar of eight heights shows in one of four rows, the lowest one first.
fn part(height: usize, row: u16) -> &'static str {
    match height.saturating_sub(2 * usize::from(row)) {
        0 => " ",
        1 if row == 0 => "▁",
        1 => "▄",
        _ => "█",
    }
}

fn label(words: &str) -> Line {
    let mut line = Line::new().with(Style::Dim, words);
    line.pad_to(LABEL);
    line
}

/// The most that there was, behind a row of bars.
fn most(mut line: Line, room: usize, words: Option<String>) -> Line {
    line.pad_to(LABEL + room);
    let words = words.map_or_else(|| "?".to_owned(), |words| format!("max {words}"));
    line.with(Style::Dim, " ").with(Style::Plain, &words)
}

/// A bar of a series of numbers, against the most of it.
pub(super) fn level(value: Option<u64>, most: Option<u64>) -> &'static str {
    let (Some(value), Some(most)) = (value, most) else { return " " };
    let height = match (value, most) {
        (0, _) | (_, 0) => 0,
        _ => usize::try_from((value * 7).div_ceil(most)).unwrap_or(7),
    };
    BARS.get(height + 1).copied().unwrap_or("█")
}

/// How long iterations run their callbacks.
fn iterations(history: &LoopHistory, region: Rect, canvas: &mut Canvas<'_>) {
    // A title alone says nothing.
    if region.height < 3 {
        return;
    }
    let mut title = Line::new().with(Style::Strong, "iterations by length");
    if history.lengths.is_some() {
        title.add(Style::Dim, "  as seen at 200 looks a second");
    }
    canvas.line(region, 0, &title);
    canvas.line(region, 1, &timing(history.timing.as_ref()));
    let Some(lengths) = history.lengths.filter(|lengths| lengths.iter().sum::<u64>() > 0) else {
        let words = match history.lengths {
            Some(_) => "no iteration has ended yet since this began",
            None => "a recording does not say how many had each length",
        };
        canvas.line(region, 2, &Line::new().with(Style::Dim, words));
        return;
    };
    let most = lengths.iter().max().copied().unwrap_or(1).max(1);
    let room = usize::from(region.width).saturating_sub(LABEL + 10).min(MAX_BAR);
    for (y, (at, count)) in (2..).zip(lengths.iter().enumerate()) {
        let (name, style) = match LENGTHS_MS.get(at) {
            Some(ms @ ..1000) => {
                (format!("≤ {ms} ms"), if *ms > 100 { Style::Notice } else { Style::Active })
            }
            Some(ms) => (format!("≤ {} s", ms / 1000), Style::Alarm),
            None => ("longer".to_owned(), Style::Alarm),
        };
        let mut line = label(&format!("{name:>9}"));
        let filled = usize::try_from(*count).unwrap_or(0).saturating_mul(room);
        let filled = filled.div_ceil(usize::try_from(most).unwrap_or(1)).min(room);
        line.add(style, &"█".repeat(filled));
        let count = usize::try_from(*count).unwrap_or(usize::MAX);
        let style = if count == 0 { Style::Dim } else { Style::Plain };
        canvas.line(region, y, &line.with(style, &format!(" {}", words::count(count))));
    }
}

fn timing(timing: Option<&LoopTiming>) -> Line {
    let Some(timing) = timing else {
        return Line::new().with(Style::Dim, "the first seconds are not over yet");
    };
    let mut line = Line::new();
    line.add(Style::Plain, &format!("busy {:.1} % of the time", timing.busy * 100.0));
    if let Some(ready) = timing.ready {
        let [p50, p99, max] = [ready.p50_ms, ready.p99_ms, ready.max_ms].map(words::ms);
        line.add(Style::Plain, &format!(" · p50 {p50}  p99 {p99}  max {max}"));
    }
    if let Some(mean) = timing.callbacks_mean {
        line.add(Style::Dim, &format!(" · {mean:.1} callbacks each"));
    }
    line
}

/// Where callbacks blocked the loop, how often and for how long; the selected one is among them.
fn table(
    app: &App,
    blocks: &[Block],
    selected: Option<usize>,
    region: Rect,
    canvas: &mut Canvas<'_>,
) {
    if blocks.is_empty() {
        let words = if app.filter.text.is_empty() {
            "nothing has blocked a loop for over 100 ms so far"
        } else {
            "no block matches; Esc clears the filter"
        };
        canvas.line(region, 0, &Line::new().with(Style::Dim, words));
        return;
    }
    let room = usize::from(region.width);
    canvas.line(region, 0, &row("    blocked at", ["times", "longest", "total"], Style::Dim, room));
    let region = Rect { y: region.y + 1, height: region.height.saturating_sub(1), ..region };
    let lines = lines_of(blocks, room);
    let height = usize::from(region.height);
    let last = selected.and_then(|at| lines.iter().rposition(|(block, _)| *block == at));
    let from = last.map_or(0, |last| (last + 1).saturating_sub(height));
    let shown = lines.iter().skip(from).take(height);
    for (y, (block, line)) in shown.enumerate() {
        canvas.line(region, narrow(y), line);
        let is_first = from + y == 0 || lines.get(from + y - 1).is_none_or(|it| it.0 != *block);
        if selected == Some(*block) && is_first {
            canvas.select(region, y, app.focus == Focus::View);
        }
    }
}

/// The lines of all blocks, each with the block that it is of.
fn lines_of(blocks: &[Block], room: usize) -> Vec<(usize, Line)> {
    let mut lines = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let times = words::count(usize::try_from(block.count).unwrap_or(usize::MAX));
        let [longest, total] = [block.longest, block.total].map(words::duration);
        let sign = if block.is_now { " !! " } else { "    " };
        let what = place(block, room.saturating_sub(NUMBERS + sign.len()));
        let style = if block.is_now { Style::Alarm } else { Style::Reason };
        let numbers = [&*times, &*longest, &*total];
        lines.push((at, row(&format!("{sign}{what}"), numbers, style, room)));
        if let Some(by) = by(block) {
            lines.push((at, Line::new().with(Style::Dim, &format!("      {by}"))));
        }
    }
    lines
}

fn row(what: &str, [times, longest, total]: [&str; 3], style: Style, room: usize) -> Line {
    let left = room.saturating_sub(NUMBERS);
    let mut line = Line::new().with(style, &page::fit(what, left));
    line.pad_to(left);
    line.with(Style::Plain, &format!("{times:>6}{longest:>9}{total:>9}"))
}

/// `time.sleep  api.py:19 slowjson`: the line is not cut.
fn place(block: &Block, room: usize) -> String {
    let what = page::clean(&block.description);
    let what = if what.is_empty() { blocking(block) } else { &*what };
    let Some(file) = &block.file else { return page::fit(what, room).into_owned() };
    let file = page::clean(file.rsplit('/').next().unwrap_or(file)).into_owned();
    let line = block.line.map(|line| format!(":{line}")).unwrap_or_default();
    let line = format!("{file}{line}");
    let what = page::fit(what, room.saturating_sub(line.width() + 2)).into_owned();
    let function = page::clean(block.function.as_deref().unwrap_or_default()).into_owned();
    let left = room.saturating_sub(what.width() + line.width() + 3);
    let function = if function.width() <= left { function } else { String::new() };
    format!("{what}  {line} {function}").trim_end().to_owned()
}

fn blocking(block: &Block) -> &'static str {
    words::blocking_kind(block.kind)
}

/// `by GET /slowjson, 2 others`
fn by(block: &Block) -> Option<String> {
    let first = page::clean(block.by.first()?).into_owned();
    Some(match block.by.len() - 1 {
        0 => format!("by {first}"),
        1 => format!("by {first}, 1 other"),
        others => format!("by {first}, {} others", words::count(others)),
    })
}
