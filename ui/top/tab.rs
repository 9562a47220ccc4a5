//! What the screen can show, and which part of it keys go to.

/// The views.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Work,
    Tree,
    Loop,
    Requests,
    Cancel,
    Threads,
}

impl Tab {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Work, Self::Tree, Self::Loop, Self::Requests, Self::Cancel, Self::Threads];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Work => "Work",
            Self::Tree => "Tree",
            Self::Loop => "Loop",
            Self::Requests => "Requests",
            Self::Cancel => "Cancel",
            Self::Threads => "Threads",
        }
    }

    /// The same where there is little room.
    pub fn short(self) -> &'static str {
        match self {
            Self::Requests => "Req",
            Self::Cancel => "Canc",
            Self::Threads => "Thr",
            _ => self.name(),
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
