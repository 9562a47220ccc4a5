//! Columns of a table: as many as there is room for, as wide as what stands in them.

use unicode_width::UnicodeWidthStr as _;

use super::canvas::SIGNS;
use crate::io::page::{self, Line, Style};

/// Blanks between two columns.
const GAP: usize = 2;

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column<W> {
    pub what: W,
    pub head: &'static str,
    /// How wide it is at least, if it needs that, and at most. One of numbers, which are never cut, is
    /// so wide in any case, and as wide as they are.
    pub widths: (usize, usize),
    /// Whether it is of numbers, which end below each other.
    pub is_number: bool,
    /// How soon it is left out where there is little room: the higher, the sooner.
    pub rank: usize,
}

/// A column with its width.
pub type Fitted<W> = (Column<W>, usize);

/// The columns that there is room for, given how wide what stands in each is. Each gets what it needs
/// at least, the most important ones first; what is left is shared out by how much more they need, and
/// what is left then `spare` gets.
pub fn fit<W: Copy + PartialEq>(
    columns: &[Column<W>],
    needs: &[usize],
    room: usize,
    spare: Option<W>,
) -> Vec<Fitted<W>> {
    // The gap behind the last one is for the border.
    let mut room = (room + GAP - 1).saturating_sub(SIGNS);
    let need = |at: usize| {
        let column = columns.get(at)?;
        let need = needs.get(at).copied().unwrap_or(0).max(column.head.width());
        // In steps, so that not each new row changes all columns.
        if column.is_number {
            let need = need.max(column.widths.0);
            return Some((need, need));
        }
        let need = need.next_multiple_of(4);
        Some((need.min(column.widths.0), need.min(column.widths.1)))
    };
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|at| columns.get(*at).map(|column| column.rank));
    let mut widths = vec![0; columns.len()];
    for &at in &order {
        let Some((least, _)) = need(at) else { continue };
        if least + GAP > room {
            break;
        }
        room -= least + GAP;
        if let Some(width) = widths.get_mut(at) {
            *width = least;
        }
    }
    let missing = |at: usize, width: usize| match need(at) {
        Some((_, most)) if width > 0 => most.saturating_sub(width),
        _ => 0,
    };
    let all: usize = widths.iter().enumerate().map(|(at, width)| missing(at, *width)).sum();
    let shares: Vec<usize> = widths
        .iter()
        .enumerate()
        .map(|(at, width)| missing(at, *width) * room.min(all) / all.max(1))
        .collect();
    let mut rest = room.min(all) - shares.iter().sum::<usize>();
    for (at, share) in shares.into_iter().enumerate() {
        let more = missing(at, widths.get(at).copied().unwrap_or(0)).min(share + rest) - share;
        rest -= more;
        if let Some(width) = widths.get_mut(at) {
            *width += share + more;
        }
    }
    let left = room - room.min(all);
    let fitted = columns.iter().copied().zip(widths).filter(|(_, width)| *width > 0);
    let widened = fitted.map(|(column, width)| match spare {
        Some(spare) if column.what == spare => (column, (width + left).min(column.widths.1)),
        _ => (column, width),
    });
    widened.collect()
}

/// The heads of columns.
pub fn heads<W: Copy>(columns: &[Fitted<W>], sorted: impl Fn(W) -> &'static str) -> Line {
    let head = |(column, _): &Fitted<W>| format!("{}{}", column.head, sorted(column.what));
    let cells: Vec<_> = columns.iter().map(|column| (Style::Dim, head(column))).collect();
    row((Style::Plain, ""), columns, &cells)
}

/// A row: a sign, then cells, each cut to its column.
pub fn row<W: Copy>(sign: (Style, &str), columns: &[Fitted<W>], cells: &[(Style, String)]) -> Line {
    let mut line = Line::new().with(Style::Plain, " ").with(sign.0, sign.1.trim_end());
    let mut at = SIGNS;
    for ((column, width), (style, text)) in columns.iter().zip(cells) {
        let clean = page::clean(text);
        let text = page::fit(&clean, *width);
        let blank = if column.is_number { width.saturating_sub(text.width()) } else { 0 };
        line.pad_to(at + blank);
        line.add(*style, &text);
        at += width + GAP;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn column(head: &'static str, widths: (usize, usize), rank: usize) -> Column<u8> {
        Column { what: 0, head, widths, is_number: false, rank }
    }

    #[test]
    fn the_least_important_columns_give_way() {
        let columns = [column("A", (4, 4), 0), column("B", (10, 40), 1), column("C", (10, 20), 2)];
        let fitted = |needs: [usize; 3], room| {
            let fitted = fit(&columns, &needs, room, None);
            fitted.into_iter().map(|(column, width)| (column.head, width)).collect::<Vec<_>>()
        };
        assert_eq!(fitted([4, 60, 60], 100), [("A", 4), ("B", 40), ("C", 20)]);
        // What none needs nobody gets.
        assert_eq!(fitted([4, 12, 8], 100), [("A", 4), ("B", 12), ("C", 8)]);
        // What there is is shared out by need.
        assert_eq!(fitted([4, 40, 20], 48), [("A", 4), ("B", 22), ("C", 13)]);
        assert_eq!(fitted([4, 40, 20], 33), [("A", 4), ("B", 10), ("C", 10)]);
        assert_eq!(fitted([4, 40, 20], 31), [("A", 4), ("B", 20)]);
        assert_eq!(fitted([4, 40, 20], 12), [("A", 4)]);
        assert_eq!(fitted([4, 40, 20], 3), []);
    }
}
