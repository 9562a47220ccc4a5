//! How much is read.

/// How much a snapshot reads of what is behind the tasks; each level has what is in those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Their frames and states, how far a shutdown is, and cancellations: of the tasks that these
    /// are about also what they wait for.
    Tasks,
    /// What each waits for, who awaits it, and the pools of threads.
    Reasons,
    /// What only findings rest on: who refers to what, what nobody awaits or looked at, which
    /// loops are in progress. What has less is no look to draw conclusions from.
    Evidence,
}

impl Depth {
    /// That of a snapshot that was written and is read again: what findings rest on is not written.
    pub(super) fn of_document() -> Self {
        Self::Reasons
    }
}
