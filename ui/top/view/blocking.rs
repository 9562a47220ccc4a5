//! Callbacks that blocked a loop, the newest first.

use aiospy::timeline::Stretch;

use super::canvas::{Canvas, Column, SIGNS, row};
use super::select;
use crate::text::page::{Line, Style};
use crate::text::words;
use crate::top::app::{App, Watched};
use crate::top::layout::{Regions, narrow};
use crate::top::rows::Rows;
use crate::top::words::{clock, place};

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
        canvas.line(
            regions.list,
            1,
            &Line::new().with(Style::Plain, "   ").with(Style::Dim, words),
        );
        return;
    }
    let shown = app.list().shown(rows.len(), usize::from(regions.list.height));
    for (y, stretch) in rows.iter().skip(shown.start).take(shown.len()).enumerate() {
        let cells = cells(stretch, &columns);
        let sign = if stretch.is_over { (Style::Plain, "") } else { (Style::Alarm, "!!") };
        canvas.line(regions.list, narrow(y), &row(sign, &columns, &cells));
    }
    select(app, regions.list, canvas);
}

fn columns(width: usize) -> Vec<Column> {
    let rest = width.saturating_sub(SIGNS + 9 + 9 + 11 + 1);
    let by = (rest / 3).min(26);
    let at = if width >= 100 { rest / 3 } else { 0 };
    let mut columns = vec![
        Column::new("BEGAN", 8),
        Column::new("LENGTH", 8),
        Column::new("KIND", 10),
        Column::new("RAN", by),
        Column::new("KEPT BY", rest.saturating_sub(by + 1 + at + usize::from(at > 0))),
    ];
    if at > 0 {
        columns.push(Column::new("AT", at));
    }
    columns
}

fn cells(stretch: &Stretch, columns: &[Column]) -> Vec<(Style, String)> {
    let work = stretch.work.as_deref();
    let long = stretch.length.as_secs() >= 1;
    let style = match () {
        () if !stretch.is_over || long => Style::Alarm,
        () => Style::Notice,
    };
    let began = if stretch.is_over { clock(stretch.began_at) } else { "now".to_owned() };
    let room = columns.get(5).map_or(0, |column| column.width);
    vec![
        (if stretch.is_over { Style::Plain } else { Style::Alarm }, began),
        (style, words::duration(stretch.length)),
        (Style::Plain, words::blocking_kind(stretch.kind()).to_owned()),
        (Style::Strong, work.and_then(|work| work.handle.clone()).unwrap_or_default()),
        (Style::Reason, work.map(|work| work.description.clone()).unwrap_or_default()),
        (Style::Dim, stretch.place().map(|at| place(at, room)).unwrap_or_default()),
    ]
}
