//! Whom the kernel kills when memory runs out: us, not the program that is looked at.
//!
//! In a pod both share one limit, and the kernel takes the larger process unless it is told
//! otherwise. To volunteer needs no right. A program that we start is none of that: it begins with
//! what we began with.

use std::fs;
use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

const FILE: &str = "/proc/self/oom_score_adj";
/// The first to be killed.
const FIRST: &str = "1000";

/// What it was at our start; also keeps two threads from starting programs at one moment.
static BEFORE: Mutex<Option<String>> = Mutex::new(None);

/// From now on we are killed first.
pub fn volunteer() {
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    // A kernel or sandbox that has no such file, or lets nobody write to it, kills as it likes.
    if before.is_none()
        && let Ok(known) = fs::read_to_string(FILE)
        && fs::write(FILE, FIRST).is_ok()
    {
        *before = Some(known);
    }
}

/// Starts a program, which inherits nothing of it.
///
/// # Errors
/// Those of [`Command::spawn`].
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    let set = |value: &str| {
        // One that was protected when it was started may not be so protected again.
        let _ = fs::write(FILE, value);
    };
    before.as_deref().into_iter().for_each(|value| set(value.trim()));
    let child = command.spawn();
    before.iter().for_each(|_| set(FIRST));
    child
}
