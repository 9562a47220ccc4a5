//! Several processes, each in a row: which it is, what its loop does, what is worst in it.

use unicode_width::UnicodeWidthStr as _;

use super::canvas::{Canvas, Column, SIGNS, row};
use crate::io::page::{Line, Style};
use crate::report::text::words;
use crate::top::layout::{Regions, narrow};
use crate::top::several::{Row, Several};

/// Process ids that are shown of those in one row.
const MAX_PIDS: usize = 4;

pub fn draw(several: &Several, regions: &Regions, canvas: &mut Canvas<'_>) {
    let title = regions.processes_title;
    if title.height == 0 {
        return;
    }
    canvas.rule(title, 0);
    let words = format!(" Processes {} ", words::count(several.count()));
    canvas.text(title.x + 1, title.y, &words, canvas.theme.text(Style::Plain));
    let keys = Line::new().with(Style::Dim, " < > choose ");
    let width = narrow(keys.width());
    let x = title.right().saturating_sub(width + 1);
    canvas.line(ratatui::layout::Rect { x, width, ..title }, 0, &keys);

    let rows = several.rows(usize::from(regions.processes.height));
    let width = |cell: &dyn Fn(&Row) -> String, most: usize| {
        rows.iter().map(|row| cell(row).width()).max().unwrap_or(0).min(most)
    };
    let names = width(&name, 34) + 1;
    let states = width(&|row| row.state.1.clone(), 24) + 1;
    let counts = width(&tasks, 14) + 1;
    let taken = SIGNS + names + states + counts + 3;
    let rest = usize::from(regions.processes.width).saturating_sub(taken + 1);
    let columns = [names, states, counts, rest].map(|width| Column::new("", width));
    for (y, of) in rows.iter().enumerate() {
        let quiet = if of.is_ended { Style::Dim } else { Style::Plain };
        let (state, words) = &of.state;
        let cells = [
            (if of.is_ended { Style::Dim } else { Style::Strong }, name(of)),
            (*state, words.clone()),
            (quiet, format!("{:>width$}", tasks(of), width = counts - 1)),
            (quiet, of.what.clone()),
        ];
        let (style, sign) = if of.is_ended { (Style::Dim, "") } else { of.sign.shown() };
        canvas.line(regions.processes, narrow(y), &row((style, sign), &columns, &cells));
        if several.chosen.is_some_and(|pid| of.pids.contains(&pid)) {
            canvas.select(regions.processes, y, false);
        }
    }
}

/// `25781 worker 4`, or `25777, 25779` of several.
fn name(row: &Row) -> String {
    let mut pids: Vec<String> = row.pids.iter().take(MAX_PIDS).map(i32::to_string).collect();
    if let Some(more) = row.pids.len().checked_sub(MAX_PIDS).filter(|more| *more > 0) {
        pids.push(format!("{} more", words::count(more)));
    }
    format!("{} {}", pids.join(", "), row.role).trim_end().to_owned()
}

fn tasks(row: &Row) -> String {
    row.tasks.map(|count| words::counted(count, "task")).unwrap_or_default()
}
