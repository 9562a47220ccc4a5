//! What the screen can show, and which part of it keys go to.

/// The views.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Tasks,
    Tree,
    Loop,
    Blocking,
    Cancel,
    Threads,
}

impl Tab {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Tasks, Self::Tree, Self::Loop, Self::Blocking, Self::Cancel, Self::Threads];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tasks => "Tasks",
            Self::Tree => "Tree",
            Self::Loop => "Loop",
            Self::Blocking => "Blocking",
            Self::Cancel => "Cancel",
            Self::Threads => "Threads",
        }
    }

    /// Its place among all.
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0)
    }

    /// The one so many places on, round and round.
    pub fn next(self, by: usize) -> Self {
        Self::ALL.get((self.index() + by) % Self::ALL.len()).copied().unwrap_or_default()
    }
}

/// Which part of the screen keys go to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Focus {
    Findings,
    #[default]
    View,
    Detail,
}
