//! What went wrong, with what to do about it.

/// What went wrong, in one line, what explains it, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Trouble {
    /// What happened, lower case, no full stop.
    pub cause: String,
    /// The facts behind it, where there are some.
    pub facts: Option<String>,
    /// What to try.
    pub remedy: String,
}

impl Trouble {
    /// Trouble in words.
    pub fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { cause: cause.into(), facts: None, remedy: remedy.into() }
    }
}
