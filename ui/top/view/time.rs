//! The time of a recording: where one is in it, and where something happened.

use aiospy::snapshot::Severity;
use jiff::Timestamp;
use ratatui::layout::Rect;

use super::canvas::Canvas;
use crate::io::page::{Line, Style};
use crate::top::feed::{Mark, Playhead, TimeLine};
use crate::top::state::App;
use crate::top::words::clock;

/// ` 12:00:04 ───!──▪▪─●───── 12:01:04`
pub fn draw(app: &App, place: &Playhead, region: Rect, canvas: &mut Canvas<'_>) {
    let time_line = &place.line;
    let (first, last) = (clock(time_line.first, &app.zone), clock(time_line.last, &app.zone));
    let room = usize::from(region.width).saturating_sub(first.len() + last.len() + 4);
    if room < 8 {
        return;
    }
    let mut line = Line::new().with(Style::Dim, &format!(" {first} "));
    let here = column(time_line, app.now, room);
    let mut signs = vec![(Style::Dim, "─"); room];
    // The worse of two in one place is seen.
    for of in [false, true] {
        for (at, mark) in &time_line.marks {
            let (is_finding, look) = match mark {
                Mark::Finding(Severity::Critical) => (true, (Style::Alarm, "!")),
                Mark::Finding(Severity::Warning) => (true, (Style::Notice, "!")),
                Mark::Finding(Severity::Info) => (false, (Style::Plain, "·")),
                Mark::Blocked => (false, (Style::Notice, "▄")),
            };
            if is_finding == of
                && let Some(sign) = signs.get_mut(column(time_line, *at, room))
            {
                *sign = look;
            }
        }
    }
    if let Some(sign) = signs.get_mut(here) {
        *sign = (Style::Strong, "●");
    }
    for (style, sign) in signs {
        line.add(style, sign);
    }
    line.add(Style::Dim, &format!(" {last}"));
    canvas.line(region, 0, &line);
}

/// In which column a moment is.
fn column(line: &TimeLine, at: Timestamp, room: usize) -> usize {
    let all = line.last.duration_since(line.first).as_millis().max(1);
    let passed = at.duration_since(line.first).as_millis().clamp(0, all);
    let last = room.saturating_sub(1);
    let place = i128::try_from(last).unwrap_or(0) * passed / all;
    usize::try_from(place).unwrap_or(0).min(last)
}
