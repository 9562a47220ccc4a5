//! Which part of the screen is whose.

use ratatui::layout::Rect;

/// The least screen on which anything is laid out.
pub const LEAST: (u16, u16) = (60, 15);
/// From this width on what is selected is told beside the list.
const SPLIT_FROM: u16 = 110;
/// The fewest lines for it below the list, with its title.
const BELOW: u16 = 7;

/// The parts of the screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Regions {
    /// The verdict: the first of the findings, or that there are none.
    pub verdict: Rect,
    /// The findings, of which the first is the verdict; empty when there are none.
    pub findings: Rect,
    /// Who it is, what its loop does, how it is read.
    pub header: Rect,
    /// The title of the processes; empty where there is one alone.
    pub processes_title: Rect,
    /// The processes.
    pub processes: Rect,
    /// The names of the views.
    pub tabs: Rect,
    /// The column heads of the list; empty for views without.
    pub head: Rect,
    /// The list, or the whole view.
    pub list: Rect,
    /// What separates it from a list above it.
    pub detail_title: Rect,
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
    /// How many processes there are, where there are several.
    pub processes: usize,
    /// How many lines the header has.
    pub header: usize,
    /// How many rows the view has.
    pub rows: usize,
    /// Whether something is said above the findings: that the process has ended, or what all comes
    /// to where that is none of them.
    pub has_verdict: bool,
    /// Whether the view has column heads.
    pub has_head: bool,
    /// Whether the view tells something of the selected row.
    pub has_detail: bool,
    /// Whether a recording is shown.
    pub has_time: bool,
    /// Whether that takes the view's place in any case.
    pub is_whole: bool,
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
        let end = top(&mut rest, u16::from(wanted.has_verdict));
        let room = (height / 4).max(1);
        let count = narrow(wanted.findings).clamp(1, room);
        let lines = top(&mut rest, count);
        let findings = if wanted.findings > 0 { lines } else { Rect { height: 0, ..lines } };
        let verdict = if wanted.has_verdict { end } else { Rect { height: 1, ..lines } };
        let header = top(&mut rest, narrow(wanted.header).clamp(1, 2));
        let room = if is_low { 2 } else { (height / 6).clamp(4, 10) };
        let processes = narrow(wanted.processes).min(room);
        let processes_title = top(&mut rest, u16::from(processes > 0));
        let processes = top(&mut rest, processes);
        let tabs = top(&mut rest, 1);
        let (mut detail, mut detail_title) = (Rect::default(), Rect::default());
        if wanted.has_detail && width >= SPLIT_FROM && !wanted.is_whole {
            let wide = (width * 36 / 100).clamp(43, 72);
            detail = Rect { x: width - wide, width: wide, ..rest };
            // One column for the line between them.
            rest.width = width - wide - 1;
        } else if wanted.has_detail && wanted.is_open {
            detail = std::mem::take(&mut rest);
        } else if wanted.has_detail {
            // Below the rows, where they leave enough room.
            let rows = narrow(wanted.rows.max(1)) + u16::from(wanted.has_head);
            let free = rest.height.saturating_sub(rows);
            let height = if free >= BELOW { free.min(rest.height / 2) } else { 0 };
            detail = bottom(&mut rest, height);
            detail_title = top(&mut detail, 1);
        }
        let has_head = wanted.has_head && rest.height > 0;
        let head = top(&mut rest, u16::from(has_head));
        Self {
            verdict,
            findings,
            header,
            processes_title,
            processes,
            tabs,
            head,
            list: rest,
            detail_title,
            detail,
            time,
            footer,
        }
    }

    /// Whether list and detail are side by side.
    pub fn is_split(&self) -> bool {
        self.detail.width > 0 && self.list.width > 0 && self.detail.x > self.list.x
    }

    /// Whether the detail lies below the list.
    #[cfg(test)]
    pub fn is_stacked(&self) -> bool {
        self.detail_title.height > 0
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
                            processes: if has_detail { 0 } else { number },
                            header: number,
                            rows: number,
                            has_verdict: number == 3,
                            has_head: true,
                            has_detail,
                            is_open: number == 1,
                            is_whole: number == 1 && width == 300,
                            has_time: has_detail,
                        };
                        let of = Regions::of(width, height, wanted);
                        // A row of processes takes its room from the rest.
                        let least = if of.processes.height > 0 || number == 3 { 2 } else { 4 };
                        let end = u16::from(wanted.has_verdict);
                        let below = if of.is_stacked() { of.detail.height + 1 } else { 0 };
                        let beside = if of.is_stacked() { 0 } else { of.detail.height };
                        let rows = of.header.height
                            + end
                            + of.findings.height.max(1)
                            + below
                            + of.processes_title.height
                            + of.processes.height
                            + of.tabs.height
                            + of.time.height
                            + of.footer.height
                            + (of.head.height + of.list.height).max(beside);
                        assert_eq!(rows, height, "{width}×{height} {wanted:?}");
                        assert!(of.list.height.max(of.detail.height) >= least, "{width}×{height}");
                        assert!(of.list.right() < of.detail.x || !of.is_split());
                        assert!(of.list.bottom() <= of.detail.y || !of.is_stacked());
                    }
                }
            }
        }
    }
}
