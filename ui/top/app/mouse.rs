//! What the mouse does: the wheel scrolls what is below it, a click selects and, once more, opens.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::{App, Effect};
use crate::top::tab::{Focus, Tab};
use crate::top::view::tabs;

/// How many rows the wheel goes.
const WHEEL: isize = 3;

impl App {
    pub(super) fn mouse(&mut self, mouse: MouseEvent) -> Effect {
        let at = Position::new(mouse.column, mouse.row);
        match mouse.kind {
            MouseEventKind::ScrollDown => self.wheel(at, WHEEL),
            MouseEventKind::ScrollUp => self.wheel(at, -WHEEL),
            MouseEventKind::Down(MouseButton::Left) => self.click(at),
            _ => Effect::Nothing,
        }
    }

    fn wheel(&mut self, at: Position, by: isize) -> Effect {
        self.is_touched = true;
        if self.help.is_some() {
            return self.scroll_help(by);
        }
        if let Some(picker) = &mut self.picker {
            picker.go(by, usize::from(self.size.1.saturating_sub(5)));
            return Effect::Draw;
        }
        let regions = self.regions();
        if self.target().is_none() {
            return Effect::Nothing;
        }
        if regions.detail.contains(at) {
            if self.focus != Focus::Detail {
                self.open();
            }
        } else if self.focus == Focus::Detail {
            return Effect::Nothing;
        } else if regions.findings.contains(at) {
            self.focus = Focus::Findings;
        } else if regions.list.contains(at) {
            self.focus = Focus::View;
        }
        self.go(by);
        Effect::Draw
    }

    fn click(&mut self, at: Position) -> Effect {
        self.is_touched = true;
        if self.help.take().is_some() || self.commands.take().is_some() {
            return Effect::Draw;
        }
        if let Some(picker) = &mut self.picker {
            let Some(row) = at.y.checked_sub(4) else { return Effect::Nothing };
            let row = usize::from(row) + picker.list.offset;
            let was = picker.list.selected;
            picker.go(isize::try_from(row).unwrap_or(0) - isize::try_from(was).unwrap_or(0), 1);
            return match picker.chosen() {
                Some(pid) if was == row => Effect::Attach(pid),
                _ => Effect::Draw,
            };
        }
        let regions = self.regions();
        let Some(watched) = self.target() else { return Effect::Nothing };
        let (count, findings) = (watched.rows.count(), watched.findings.len());
        if regions.tabs.contains(at) {
            let Some(tab) = tabs::at(self, at.x) else { return Effect::Nothing };
            self.go_to_view(tab);
        } else if let Some(row) = row(regions.processes, at, 0, usize::MAX) {
            let room = usize::from(regions.processes.height);
            let rows = self.several.as_ref().map(|several| several.rows(room));
            let Some(pid) = rows.and_then(|rows| Some(rows.get(row)?.pid)) else {
                return Effect::Nothing;
            };
            self.leave_detail();
            self.focus = Focus::View;
            self.choose(|several| several.choose(pid));
        } else if let Some(row) = row(regions.findings, at, self.findings.offset, findings) {
            let is_again = self.focus == Focus::Findings && self.findings.selected == row;
            self.focus = Focus::Findings;
            self.findings.selected = row;
            if is_again {
                self.open();
            }
        } else if let Some(row) =
            row(regions.detail, at, self.in_document.offset, self.document.lines.len())
        {
            if self.focus != Focus::Detail {
                self.open();
            }
            self.in_document.selected = row;
            if self.document.link_at(row).is_some() {
                self.open();
            }
        } else if let Some(row) = row(regions.list, at, self.list().offset, count)
            && self.tab != Tab::Loop
        {
            let is_again = self.focus == Focus::View && self.list().selected == row;
            self.focus = Focus::View;
            self.trail.clear();
            self.select(row);
            if is_again {
                self.open();
            }
        } else {
            return Effect::Nothing;
        }
        Effect::Draw
    }
}

/// The row of a list of which the first shown one is `offset`.
fn row(region: Rect, at: Position, offset: usize, count: usize) -> Option<usize> {
    let row = usize::from(at.y.checked_sub(region.y)?) + offset;
    (region.contains(at) && row < count).then_some(row)
}
