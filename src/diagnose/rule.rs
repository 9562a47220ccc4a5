//! What is particular to each finding, in one place beside the code that finds it.

use super::Find;
use crate::snapshot::Code;

/// How a finding is found, and how it is treated beside others.
///
/// There is one for each code, in the file that finds it; [`RULES`](super::RULES) lists them. No
/// field has a default: who adds a finding says all of it.
#[derive(Debug)]
pub struct Rule {
    /// Its code.
    pub code: Code,
    /// Finds it in one or two samples; none where it takes a longer time.
    pub(super) find: Option<Find>,
    /// What it is about.
    pub about: About,
    /// Which of its tasks are to blame.
    pub blames: Blames,
    /// What it may merely follow from.
    pub(super) follows: &'static [Follows],
    /// What confirms it where the program ran while it was read.
    pub(super) confirmed_by: Confirmed,
    /// What else holds of it.
    pub(super) is: &'static [Is],
}

impl Rule {
    /// Whether this holds of it.
    pub fn is(&self, what: Is) -> bool {
        self.is.contains(&what)
    }
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// How a loop does.
    Loop,
    /// Tasks, and what they wait for.
    Tasks,
    /// The whole process.
    Process,
}

/// Which of a finding's tasks are to blame; the others only suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blames {
    /// All.
    All,
    /// Those that hold what others wait for.
    Holders,
    /// None.
    Nobody,
}

/// What a finding may merely follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// That its loop is held.
    Loop,
    /// A quota that is used up.
    Quota,
    /// What is found of the very same culprit.
    Culprit,
    /// What is found of those that its culprit waits for in the end.
    Reach,
}

/// What confirms a finding that is no mere note, where the program ran while it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// Nothing more: it has compared two samples, or is no more than a note.
    Nothing,
    /// That both samples say it, of tasks that have not moved.
    Tasks,
    /// The same; and that a loop holds still says nothing of it, for it is about threads of a pool.
    Threads,
    /// That both samples say it, in the same iteration of the loop.
    Iteration,
    /// That the stage of the shutdown has lasted.
    Stage,
}

/// What may hold of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// Others may follow from it.
    Cause,
    /// What is concerned by it never comes out of it.
    Hopeless,
    /// It says that something is not there, which a task may have that was not read.
    AboutAbsence,
    /// It is true of a frozen process, too.
    TrueWhenFrozen,
    /// It may be over in a moment, unless it has lasted for long.
    Passing,
    /// It is over when the loop polls.
    OverWithIteration,
}
