//! What is expected of the other end of a connection.

/// What a task expects that reads from a connection on which its own end has had the last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// An answer: it has sent something and then begun to read.
    Answer {
        /// Whether it has waited for nothing else since: no part of the answer was there.
        is_first: bool,
    },
    /// A message, whenever there is one.
    Message,
    /// Not to be told: what was sent, it may have sent long before, or another task has.
    Unclear,
}
