//! How an event loop spends its time.

use std::time::Duration;

use aiospy::timeline::{LoopTiming, PlaceTotals};
use ratatui::layout::Rect;

use super::canvas::{BARS, Canvas};
use super::header::{bar, bars};
use crate::io::page::{Line, Page, Style};
use crate::report::text::{Lines, loops, path, words};
use crate::top::feed::{LENGTHS_MS, LoopHistory, Point};
use crate::top::layout::{Regions, narrow};
use crate::top::state::{App, Watched};

/// Rows of the tall picture of lag, where there is room.
const LAG_ROWS: u16 = 4;
/// Columns of labels.
const LABEL: usize = 13;
/// Places that are listed above the histogram, where there is no room beside.
const MAX_PLACES: u16 = 4;
/// The widest bar of the histogram.
const MAX_BAR: usize = 40;

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let snapshot = watched.snapshot();
    let region = Rect { x: regions.list.x + 1, width: regions.list.width - 2, ..regions.list };
    let at = app.list().selected;
    let (Some(of), Some(history)) = (snapshot.loops.get(at), watched.feed.loops.get(at)) else {
        canvas.line(region, 1, &Line::new().with(Style::Dim, "  no event loop was found"));
        return;
    };
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
        places(&watched.feed.places, right, canvas);
        return;
    }
    // The places say more than the lengths.
    let all = &watched.feed.places;
    let taken = narrow(all.len()).min(MAX_PLACES) + 2;
    let (above, below) =
        if all.is_empty() { (0, rest.height) } else { (taken, rest.height.saturating_sub(taken)) };
    if above > 0 {
        places(all, Rect { height: above.min(rest.height).saturating_sub(1), ..rest }, canvas);
    }
    iterations(history, Rect { y: rest.y + above.min(rest.height), height: below, ..rest }, canvas);
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
fn level(value: Option<u64>, most: Option<u64>) -> &'static str {
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

/// Where callbacks blocked the loop.
fn places(places: &[PlaceTotals], region: Rect, canvas: &mut Canvas<'_>) {
    canvas.line(region, 0, &Line::new().with(Style::Strong, "blocking callbacks by place"));
    if places.is_empty() {
        let words = "none was longer than 100 ms since this began";
        canvas.line(region, 1, &Line::new().with(Style::Dim, words));
        return;
    }
    let room = usize::from(region.width);
    for (y, place) in (1..region.height).zip(places) {
        let mut line = Line::new();
        line.add(Style::Notice, &format!("{:>4} × ", place.count));
        let longest = place.length.map_or(place.total_ms, |length| length.max_ms);
        line.add(Style::Plain, &format!("{:>8}  ", words::ms(longest)));
        line.add(Style::Reason, &place.description);
        line.add(Style::Dim, "  ");
        let file = place.file.as_deref().unwrap_or("?");
        let left = room.saturating_sub(line.width());
        line.add(Style::Dim, &path::place(file, place.line, left));
        canvas.line(region, narrow(usize::from(y)), &line);
    }
}
