//! The Python processes of the machine, to choose one.

mod scan;

pub use scan::Scanning;

use super::list::{Filter, List};

/// A process that could be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub pid: i32,
    /// Its command line.
    pub command: String,
    /// What was seen of it; `None` while it is looked at.
    pub seen: Option<Seen>,
}

/// What was seen of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It runs asyncio.
    Asyncio {
        python: String,
        /// What its loops do, `polling`, `BLOCKED for 2.31 s`.
        state: String,
        is_blocked: bool,
        tasks: usize,
    },
    /// It does not, or cannot be read: why.
    Other(String),
}

/// The processes to choose from.
#[derive(Default)]
pub struct Picker {
    /// All of them; `None` until they were looked for.
    pub candidates: Option<Vec<Candidate>>,
    pub filter: Filter,
    pub list: List,
    kept: Option<i32>,
}

impl Picker {
    /// The processes that are there now.
    pub fn take(&mut self, candidates: Vec<Candidate>) {
        self.candidates = Some(candidates);
        let kept = self.kept;
        if let Some(at) = self.shown().iter().position(|it| Some(it.pid) == kept) {
            self.list.selected = at;
        }
    }

    /// Those that the filter lets through.
    pub fn shown(&self) -> Vec<&Candidate> {
        let filter = &self.filter.text.to_lowercase();
        let is_found = |it: &&Candidate| {
            it.command.to_lowercase().contains(filter) || it.pid.to_string().starts_with(filter)
        };
        self.candidates.iter().flatten().filter(is_found).collect()
    }

    /// Goes some rows down, or up.
    pub fn go(&mut self, by: isize, height: usize) {
        let count = self.shown().len();
        self.list.go(by, count, height);
        self.kept = self.chosen();
    }

    /// Keeps the selected row shown.
    pub fn settle(&mut self, height: usize) {
        let count = self.shown().len();
        self.list.select(self.list.selected, count, height);
        self.kept = self.chosen().or(self.kept);
    }

    /// The process that is selected.
    pub fn chosen(&self) -> Option<i32> {
        self.shown().get(self.list.selected).map(|it| it.pid)
    }
}
