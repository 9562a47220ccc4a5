//! Callbacks that blocked a loop, the newest first.

use aiospy::timeline::Stretch;
use jiff::tz::TimeZone;

use super::canvas::{Canvas, Column, SIGNS, row};
use super::select;
use crate::io::page::Style;
use crate::report::text::words;
use crate::top::layout::{Regions, narrow};
use crate::top::rows::Rows;
use crate::top::state::{App, Watched};
use crate::top::words::{clock, place};

/// From these widths on there is room for the kind and the place.
const WITH_KIND: usize = 76;
const WITH_PLACE: usize = 100;

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let Rows::Blocking(rows) = &watched.rows else { return };
    let columns = columns(usize::from(regions.list.width));
    canvas.heads(regions.head, &columns);
    if rows.is_empty() {
        let words = if app.filter.text.is_empty() {
            "nothing has blocked a loop for longer than 100 ms since this began"
        } else {
            "nothing matches; Esc takes the filter away"
        };
        canvas.nothing(regions.list, words);
        return;
    }
    let shown = app.list().shown(rows.len(), usize::from(regions.list.height));
    for (y, stretch) in rows.iter().skip(shown.start).take(shown.len()).enumerate() {
        let cells = cells(stretch, &columns, &app.zone);
        let sign = if stretch.is_over { (Style::Plain, "") } else { (Style::Alarm, "!!") };
        canvas.line(regions.list, narrow(y), &row(sign, &columns, &cells));
    }
    select(app, regions.list, canvas);
}

fn columns(width: usize) -> Vec<Column> {
    let kind = if width >= WITH_KIND { 10 } else { 0 };
    let rest = width.saturating_sub(SIGNS + 9 + 9 + kind + usize::from(kind > 0) + 1);
    let at = if width >= WITH_PLACE { rest / 3 } else { 0 };
    let by = (rest / 3).clamp(8, 26);
    let kept = rest.saturating_sub(by + 1 + at + usize::from(at > 0));
    vec![
        Column::new("BEGAN", 8),
        Column::new("LENGTH", 8),
        Column::new("KIND", kind),
        Column::new("RAN", by),
        Column::new("BLOCKED IN", kept),
        Column::new("AT", at),
    ]
}

fn cells(stretch: &Stretch, columns: &[Column], zone: &TimeZone) -> Vec<(Style, String)> {
    let work = stretch.work.as_deref();
    let is_long = stretch.length.as_secs() >= 1;
    let style = if !stretch.is_over || is_long { Style::Alarm } else { Style::Notice };
    let began = if stretch.is_over { clock(stretch.began_at, zone) } else { "now".to_owned() };
    let room = columns.last().map_or(0, |column| column.width);
    // That it is a task is so most of the time.
    let handle = work.and_then(|work| work.handle.as_deref()).unwrap_or_default();
    let handle = handle.strip_prefix("task ").unwrap_or(handle);
    vec![
        (if stretch.is_over { Style::Plain } else { Style::Alarm }, began),
        (style, words::duration(stretch.length)),
        (Style::Plain, words::blocking_kind(stretch.kind()).to_owned()),
        (Style::Strong, handle.to_owned()),
        (Style::Reason, work.map(|work| work.description.clone()).unwrap_or_default()),
        (Style::Dim, stretch.place().map(|at| place(at, room)).unwrap_or_default()),
    ]
}
