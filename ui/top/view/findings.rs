//! The answer, always on top: the verdict, what follows from it, and what else was found.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use super::verdict::{TEXT, is_state_above, said, state};
use crate::io::page::{Line, Style};
use crate::report::text::{findings, words};
use crate::top::layout::{Regions, narrow};
use crate::top::state::{App, Watched};
use crate::top::tab::Focus;
use crate::top::words::age;

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let all = &watched.findings;
    if app.is_ended() {
        let at = watched.snapshot().taken_at;
        let pid = watched.snapshot().process.pid;
        let mut line = Line::new().with(Style::Plain, " ").with(Style::Alarm, "x");
        line.pad_to(TEXT);
        line.add(Style::Alarm, &format!("the process has ended: {pid}"));
        line.add(Style::Dim, &format!("; this is how it was {} ago", age(at, app.now)));
        canvas.line(regions.verdict, 0, &line);
    }
    let lines = Rect { height: regions.findings.height.max(1), ..regions.findings };
    if !watched.is_answered() && (all.is_empty() || !app.is_ended()) {
        let ((style, sign), words) = said(app, watched);
        let mut line = Line::new().with(Style::Plain, " ").with(style, sign.trim_end());
        line.pad_to(TEXT);
        line.add(style, &words);
        canvas.line(if all.is_empty() { lines } else { regions.verdict }, 0, &line);
    }
    let shown = app.findings.shown(all.len(), usize::from(regions.findings.height));
    for (y, known) in all.iter().enumerate().skip(shown.start).take(shown.len()) {
        let finding = &known.finding;
        let mut line = Line::new().with(Style::Plain, " ");
        if y == 0 && watched.is_answered() {
            let ((style, sign), words) = said(app, watched);
            line.add(style, sign.trim_end());
            line.pad_to(TEXT);
            line.add(Style::Strong, &words);
        } else if known.is_follower {
            line.add(Style::Dim, "    └ ");
            line.add(Style::Plain, &findings::said(finding));
        } else {
            let is_pending = finding.pending.is_some();
            let sign = if is_pending { "?" } else { findings::sign(finding.severity) };
            line.add(findings::word(finding.severity).0, sign.trim_end());
            line.pad_to(TEXT);
            line.add(Style::Strong, &findings::said(finding));
        }
        canvas.line(regions.findings, narrow(y - shown.start), &line);
    }
    if let Some(y) = app.findings.selected.checked_sub(app.findings.offset) {
        canvas.select(regions.findings, y, app.focus == Focus::Findings);
    }
    more(app, watched, regions, lines, canvas);
}

/// At the right: how it is read, and that there are more findings than are shown.
fn more(app: &App, watched: &Watched, regions: &Regions, lines: Rect, canvas: &mut Canvas<'_>) {
    let state = state(app, watched, false);
    let width = narrow(state.width());
    // Where it does not get in the way of the answer.
    if is_state_above(app, lines.width, watched) {
        let x = lines.right().saturating_sub(width + 1);
        canvas.line(Rect { x, width, height: 1, ..lines }, 0, &state);
    }
    let all = watched.findings.len();
    let shown = app.findings.shown(all, usize::from(regions.findings.height));
    let hidden = all.saturating_sub(shown.end);
    if hidden > 0 {
        let line = Line::new().with(Style::Notice, &format!(" {} more ↓ ", words::count(hidden)));
        let width = narrow(line.width());
        let x = lines.right().saturating_sub(width);
        let y = lines.bottom().saturating_sub(1);
        canvas.line(Rect { x, y, width, height: 1 }, 0, &line);
    }
}
