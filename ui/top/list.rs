//! A list of which one row is selected, and as many are shown as there is room for; and a filter.

use super::query::Query;

/// Where one is in a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct List {
    /// The row that is selected.
    pub selected: usize,
    /// The first row that is shown.
    pub offset: usize,
}

impl List {
    /// Selects a row of `count` and keeps it among the `height` that are shown.
    pub fn select(&mut self, at: usize, count: usize, height: usize) {
        self.selected = at.min(count.saturating_sub(1));
        let height = height.max(1);
        let last = count.saturating_sub(height);
        self.offset = self.offset.min(self.selected).min(last);
        if self.selected >= self.offset + height {
            self.offset = self.selected + 1 - height;
        }
    }

    /// Goes `by` rows down, or up.
    pub fn go(&mut self, by: isize, count: usize, height: usize) {
        self.select(self.selected.saturating_add_signed(by), count, height);
    }

    /// The rows that are shown.
    pub fn shown(&self, count: usize, height: usize) -> std::ops::Range<usize> {
        let from = self.offset.min(count);
        from..(from + height).min(count)
    }
}

/// A list that is searched as one types.
#[derive(Debug, Clone, Default)]
pub struct Search {
    pub text: String,
    pub list: List,
}

/// A filter as it is typed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub text: String,
    pub is_typed: bool,
    /// What it says.
    pub query: Query,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_row_is_always_shown() {
        let mut list = List::default();
        let mut go = |by, count| {
            list.go(by, count, 3);
            (list.selected, list.offset)
        };
        assert_eq!(go(-1, 10), (0, 0));
        assert_eq!(go(2, 10), (2, 0));
        assert_eq!(go(1, 10), (3, 1));
        assert_eq!(go(100, 10), (9, 7));
        assert_eq!(go(-2, 10), (7, 7));
        assert_eq!(go(0, 2), (1, 0));
        assert_eq!(go(0, 0), (0, 0));
        assert_eq!(List { selected: 0, offset: 5 }.shown(7, 3), 5..7);
    }
}
