//! Puts lines on the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style as Look;

use super::theme::Theme;
use crate::io::page::{self, Line, Style};

/// What is drawn on.
pub struct Canvas<'a> {
    buffer: &'a mut Buffer,
    pub theme: Theme,
}

/// A column of a table.
pub struct Column {
    pub head: String,
    pub width: usize,
}

impl Column {
    /// A column `width` wide.
    pub fn new(head: impl Into<String>, width: usize) -> Self {
        Self { head: head.into(), width }
    }
}

/// The columns behind the first two, which are for signs, are one blank apart.
pub const SIGNS: usize = 4;

impl<'a> Canvas<'a> {
    pub fn new(buffer: &'a mut Buffer, theme: Theme) -> Self {
        Self { buffer, theme }
    }

    /// Puts a line into row `y` of a region, cut to its width.
    pub fn line(&mut self, region: Rect, y: u16, line: &Line) {
        if y >= region.height {
            return;
        }
        let fitted = line.fitted(usize::from(region.width));
        let (mut x, end) = (region.x, region.right());
        for (style, piece) in fitted.pieces() {
            let room = usize::from(end.saturating_sub(x));
            // What was drawn there before shows through nowhere.
            let look = Look::reset().patch(self.theme.text(style));
            (x, _) = self.buffer.set_stringn(x, region.y + y, piece, room, look);
        }
    }

    /// Puts one line to the left and one to the right of a row. The right one has half of the row,
    /// and what the left one leaves; the left one gives way to it.
    pub fn both(&mut self, region: Rect, y: u16, left: &Line, right: &Line) {
        let width = usize::from(region.width);
        let room = (width / 2).max(width.saturating_sub(left.width() + 1));
        let taken = right.width().min(room);
        let rest = width.saturating_sub(taken + usize::from(taken > 0));
        self.line(Rect { width: narrow(rest), ..region }, y, left);
        let x = region.x + narrow(width - taken);
        self.line(Rect { x, width: narrow(taken), ..region }, y, right);
    }

    /// Marks row `y` of a region as the selected one.
    pub fn select(&mut self, region: Rect, y: usize, is_focused: bool) {
        let y = narrow(y);
        if y >= region.height || region.width == 0 {
            return;
        }
        let row = Rect { y: region.y + y, height: 1, ..region };
        let look = if is_focused { self.theme.selected() } else { Theme::marked() };
        if is_focused {
            // One look for the whole row: on it, other colours are hard to read.
            for position in row.positions() {
                if let Some(cell) = self.buffer.cell_mut(position) {
                    cell.set_style(Look::reset().patch(look));
                }
            }
        } else {
            self.buffer.set_style(row, look);
        }
        let mark = if is_focused { "▌" } else { "▏" };
        self.buffer.set_string(row.x, row.y, mark, look);
    }

    /// Says in place of a list why there is nothing in it.
    pub fn nothing(&mut self, region: Rect, words: &str) {
        self.line(region, 1, &Line::new().with(Style::Plain, "   ").with(Style::Dim, words));
    }

    /// A line from side to side.
    pub fn rule(&mut self, region: Rect, y: u16) {
        if y < region.height {
            let rule = "─".repeat(usize::from(region.width));
            let look = self.theme.rule();
            self.buffer.set_stringn(region.x, region.y + y, rule, region.width.into(), look);
        }
    }

    /// A line from top to bottom.
    pub fn upright(&mut self, x: u16, region: Rect) {
        let look = self.theme.rule();
        for y in region.y..region.bottom() {
            self.buffer.set_string(x, y, "│", look);
        }
    }

    /// A text with a look of its own.
    pub fn text(&mut self, x: u16, y: u16, text: &str, look: Look) {
        self.buffer.set_string(x, y, text, Look::reset().patch(look));
    }

    /// Makes a region empty.
    pub fn clear(&mut self, region: Rect) {
        for position in region.positions() {
            if let Some(cell) = self.buffer.cell_mut(position) {
                cell.reset();
            }
        }
    }

    /// Puts the heads of columns.
    pub fn heads(&mut self, region: Rect, columns: &[Column]) {
        let cells: Vec<(Style, String)> =
            columns.iter().map(|column| (Style::Dim, column.head.clone())).collect();
        self.line(region, 0, &row((Style::Plain, ""), columns, &cells));
    }
}

/// A row of a table: a sign, then cells, each cut to its column.
pub fn row(sign: (Style, &str), columns: &[Column], cells: &[(Style, String)]) -> Line {
    let mut line = Line::new().with(Style::Plain, " ").with(sign.0, sign.1.trim_end());
    let mut at = SIGNS;
    line.pad_to(at);
    for (column, (style, text)) in columns.iter().zip(cells) {
        // One that there is no room for.
        if column.width == 0 {
            continue;
        }
        line.pad_to(at);
        let clean = page::clean(text);
        line.add(*style, &page::fit(&clean, column.width));
        at += column.width + 1;
    }
    line
}

fn narrow(width: usize) -> u16 {
    crate::top::layout::narrow(width)
}

/// Eight heights of a bar, and none.
pub const BARS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
