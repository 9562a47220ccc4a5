//! Which part of the screen is whose.

use ratatui::layout::Rect;

/// The least screen on which anything is laid out.
pub const LEAST: (u16, u16) = (60, 15);
/// From this width on what is selected is told beside the list.
const SPLIT_FROM: u16 = 110;

/// The parts of the screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Regions {
    /// Who it is, what its loop does, how it is read.
    pub header: Rect,
    /// The title of the findings; empty when there are none.
    pub findings_title: Rect,
    /// The findings.
    pub findings: Rect,
    /// The names of the views.
    pub tabs: Rect,
    /// The column heads of the list; empty for views without.
    pub head: Rect,
    /// The list, or the whole view.
    pub list: Rect,
    /// What is told of the selected row; empty when there is no room beside the list.
    pub detail: Rect,
    /// The time of a recording; empty for what is live.
    pub time: Rect,
    /// The keys.
    pub footer: Rect,
}

/// What the parts depend on, beside the size.
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// How many findings there are.
    pub findings: usize,
    /// How many lines the header has for loops.
    pub loops: usize,
    /// Whether the view has column heads.
    pub has_head: bool,
    /// Whether the view tells something of the selected row.
    pub has_detail: bool,
    /// Whether a recording is shown.
    pub has_time: bool,
    /// Whether that is opened, so that it takes the view's place where there is no room beside.
    pub is_open: bool,
}

impl Regions {
    /// The parts of a screen of `width` by `height`.
    pub fn of(width: u16, height: u16, wanted: Wanted) -> Self {
        let mut rest = Rect::new(0, 0, width, height);
        let footer = bottom(&mut rest, 1);
        let time = bottom(&mut rest, u16::from(wanted.has_time));
        let is_low = height < 20;
        let loops = narrow(wanted.loops.clamp(1, if height >= 36 { 4 } else { 2 }));
        let header = top(&mut rest, if is_low { 2 } else { 2 + loops });
        let room = if is_low { 2 } else { (height / 5).clamp(3, 8) };
        let findings = narrow(wanted.findings).min(room);
        let findings_title = top(&mut rest, u16::from(findings > 0));
        let findings = top(&mut rest, findings);
        let tabs = top(&mut rest, 1);
        let mut detail = Rect::default();
        if wanted.has_detail && width >= SPLIT_FROM {
            let wide = (width * 2 / 5).clamp(46, 110);
            detail = Rect { x: width - wide, width: wide, ..rest };
            // One column for the line between them.
            rest.width = width - wide - 1;
        } else if wanted.has_detail && wanted.is_open {
            detail = std::mem::take(&mut rest);
        }
        let has_head = wanted.has_head && rest.height > 0;
        let head = top(&mut rest, u16::from(has_head));
        Self { header, findings_title, findings, tabs, head, list: rest, detail, time, footer }
    }

    /// Whether list and detail are side by side.
    pub fn is_split(&self) -> bool {
        self.detail.width > 0 && self.list.width > 0
    }
}

fn top(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    let taken = Rect { height, ..*rest };
    rest.y += height;
    rest.height -= height;
    taken
}

fn bottom(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    rest.height -= height;
    Rect { y: rest.y + rest.height, height, ..*rest }
}

/// A number of rows or columns as the terminal has it.
pub fn narrow(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_somebodys_and_nobody_overlaps() {
        for width in [60, 80, 109, 110, 120, 200, 300] {
            for height in [15, 19, 20, 24, 40, 60, 200] {
                for number in [0, 1, 3, 50] {
                    for has_detail in [false, true] {
                        let wanted = Wanted {
                            findings: number,
                            loops: number,
                            has_head: true,
                            has_detail,
                            is_open: number == 1,
                            has_time: has_detail,
                        };
                        let of = Regions::of(width, height, wanted);
                        let rows = of.header.height
                            + of.findings_title.height
                            + of.findings.height
                            + of.tabs.height
                            + of.time.height
                            + of.footer.height
                            + (of.head.height + of.list.height).max(of.detail.height);
                        assert_eq!(rows, height, "{width}×{height} {wanted:?}");
                        assert!(of.list.height.max(of.detail.height) >= 6, "{width}×{height}");
                        assert!(of.list.right() < of.detail.x || !of.is_split());
                    }
                }
            }
        }
    }
}
