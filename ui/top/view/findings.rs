//! What is wrong, always on top.

use aiospy::snapshot::Severity;

use super::canvas::Canvas;
use crate::io::page::{Line, Style};
use crate::report::text::{findings, words};
use crate::top::layout::Regions;
use crate::top::state::{App, Watched};
use crate::top::tab::Focus;

pub fn draw(app: &App, watched: &Watched, regions: &Regions, canvas: &mut Canvas<'_>) {
    let all = &watched.feed.findings;
    if all.is_empty() {
        return;
    }
    canvas.rule(regions.findings_title, 0);
    let worst = all.iter().map(|known| known.finding.severity).max();
    let (style, _) = findings::word(worst.unwrap_or(Severity::Info));
    let mut title = Line::new().with(Style::Plain, " ");
    title.add(style, &words::counted(all.len(), "finding"));
    let height = usize::from(regions.findings.height);
    let shown = app.findings.shown(all.len(), height);
    if shown.len() < all.len() {
        title.add(Style::Dim, &format!("  {} … {} shown", shown.start + 1, shown.end));
    }
    title.add(Style::Plain, " ");
    let mut place = regions.findings_title;
    place.x += 1;
    place.width = crate::top::layout::narrow(title.width()).min(place.width.saturating_sub(1));
    canvas.line(place, 0, &title);
    for (y, known) in all.iter().skip(shown.start).take(shown.len()).enumerate() {
        let finding = &known.finding;
        let (style, _) = findings::word(finding.severity);
        let mut line = Line::new().with(Style::Plain, " ");
        line.add(style, findings::sign(finding.severity));
        if known.is_follower {
            line.add(Style::Dim, "└ ");
        }
        line.add(style, finding.code.as_str());
        line.add(Style::Plain, "  ");
        let title = if known.is_follower { Style::Dim } else { Style::Strong };
        line.add(title, &findings::said(finding));
        canvas.line(regions.findings, crate::top::layout::narrow(y), &line);
    }
    if let Some(y) = app.findings.selected.checked_sub(app.findings.offset) {
        canvas.select(regions.findings, y, app.focus == Focus::Findings);
    }
}
