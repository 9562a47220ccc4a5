//! The requests in flight, one in each row.

use aiospy::snapshot::{GroupState, Work};

use super::canvas::Canvas;
use super::columns::Column;
use super::select;
use super::tasks::{lay, number, place, text, used};
use crate::io::page::Style;
use crate::report::text::requests::Clients;
use crate::report::text::short::{ById, waits};
use crate::report::text::{table, words};
use crate::top::layout::Regions;
use crate::top::rows::{RequestRow, Rows, What};
use crate::top::state::{App, Watched};

const COLUMNS: &[Column<What>] = &[
    Column { widths: (7, 7), ..number(What::Age, "FOR", 0) },
    text(What::Work, "REQUEST", (20, 48), 1),
    text(What::Waits, "WAITS FOR", (15, 48), 2),
    text(What::Place, "AT", (16, 36), 3),
    text(What::Client, "CLIENT", (6, 21), 4),
    text(What::Trace, "TRACE", (8, 32), 5),
];

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let Rows::Requests(rows) = &watched.rows else { return };
    if rows.is_empty() {
        let words = if app.filter.text.is_empty() {
            "no request in flight was recognized"
        } else {
            "no request matches; Esc clears the filter"
        };
        canvas.nothing(regions.list, words);
        return;
    }
    let snapshot = watched.snapshot();
    let by_id = ById::of(snapshot);
    let clients = Clients::of(rows.iter().filter_map(|row| snapshot.tasks.get(row.task)));
    let columns = used(app, COLUMNS);
    let shown = app.list().shown(rows.len(), usize::from(regions.list.height));
    let shown = rows.iter().skip(shown.start).take(shown.len());
    let drawn = shown.map(|of| {
        let sign = words::sign(of.severity, of.state);
        (sign, cells(of, watched, &by_id, &clients, &columns))
    });
    let drawn: Vec<_> = drawn.collect();
    lay(&columns, drawn, regions, |_| "", canvas);
    select(app, regions.list, canvas);
}

fn cells(
    of: &RequestRow,
    watched: &Watched,
    by_id: &ById<'_>,
    clients: &Clients,
    columns: &[Column<What>],
) -> Vec<(Style, String)> {
    let snapshot = watched.snapshot();
    let Some(group) = watched.judged.group(&[of.task], snapshot) else { return Vec::new() };
    let Some(task) = group.first() else { return Vec::new() };
    let work = task.work.as_deref();
    let looks = [Style::Plain, Style::Strong, Style::Reason];
    let [plain, strong, reason] =
        if of.state == GroupState::Idle { [Style::Dim; 3] } else { looks };
    let cell = |column: &Column<What>| match column.what {
        What::Age => (plain, of.age.map(words::age).unwrap_or_default()),
        What::Work => (strong, work.map(Work::live_name).unwrap_or_default()),
        What::Waits => (reason, waits(&group, snapshot, by_id)),
        What::Place => (plain, table::own_place(&group).map(place).unwrap_or_default()),
        What::Client => (Style::Dim, clients.name(task)),
        What::Trace => {
            let trace = work.and_then(|work| work.trace.as_deref());
            (Style::Dim, trace.unwrap_or_default().to_owned())
        }
        _ => (plain, String::new()),
    };
    columns.iter().map(cell).collect()
}
