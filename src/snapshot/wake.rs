//! What can still wake a loop.

use serde::{Deserialize, Serialize};

/// What can wake a loop that waits with no time limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WakeSources {
    /// The descriptors that it waits for, but for those by which it is woken from within.
    pub descriptors: Vec<i32>,
    /// The threads that may do something by themselves: all others that don't wait for another
    /// thread of the process without a limit.
    pub threads: Vec<i32>,
    /// The signals that the program may handle, by number.
    pub signals: Vec<i32>,
    /// Whether a debugger or another tracer has hold of the process.
    pub traced: bool,
    /// Whether it has a timer of which its wait does not know.
    pub unheeded_timer: bool,
}
