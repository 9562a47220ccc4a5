//! `--wait`: sampling goes on while it is undecided whether something hangs.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aiospy::snapshot::Snapshot;
use aiospy::{Inspector, Options};
use anyhow::Context as _;
use signal_hook::consts::SIGINT;

/// How long a report on a terminal waits, unless it is told.
pub const ON_A_TERMINAL: Duration = Duration::from_secs(5);
/// Ctrl-C for the second time, as the shell tells it.
const INTERRUPTED: i32 = 128 + SIGINT;

/// Reads a target, and goes on for `wait` at most while something is undecided. Ctrl-C ends the
/// wait with what is known by then, and once more the command.
///
/// # Errors
/// When it cannot be read.
pub fn look(
    inspector: &mut Inspector,
    wanted: &Options,
    looks: u8,
    wait: Duration,
) -> anyhow::Result<Snapshot> {
    if wait.is_zero() {
        return Ok(aiospy::watch::look(inspector, wanted, looks)?);
    }
    let stop = on_interrupt()?;
    let mut progress = Progress { is_shown: io::stderr().is_terminal(), wait, second: None };
    let looked = aiospy::watch::look_and_wait(inspector, wanted, looks, wait, &mut |passed| {
        progress.show(passed);
        !stop.load(Ordering::Relaxed)
    });
    progress.erase();
    Ok(looked?)
}

/// A flag that Ctrl-C sets; once more, and it ends the command.
///
/// # Errors
/// When the handlers cannot be set.
pub fn on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    // In this order: the first one only sets the flag.
    signal_hook::flag::register_conditional_shutdown(SIGINT, INTERRUPTED, Arc::clone(&stop))
        .and_then(|_| signal_hook::flag::register(SIGINT, Arc::clone(&stop)))
        .context("could not catch signals")?;
    Ok(stop)
}

/// One line on a terminal, written anew each second.
struct Progress {
    is_shown: bool,
    wait: Duration,
    second: Option<u64>,
}

impl Progress {
    fn show(&mut self, passed: Duration) {
        let second = passed.as_secs();
        if !self.is_shown || self.second == Some(second) {
            return;
        }
        self.second = Some(second);
        let line = words(second, self.wait);
        // A terminal that is gone is nobody's concern.
        let _ = write!(io::stderr(), "\r\x1b[K{line}").and_then(|()| io::stderr().flush());
    }

    fn erase(&self) {
        if self.second.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K").and_then(|()| io::stderr().flush());
        }
    }
}

/// `still sampling: 3 s of 5 s (Ctrl-C: report now)`
fn words(second: u64, wait: Duration) -> String {
    let all = wait.as_millis().div_ceil(1000);
    format!("still sampling: {second} s of {all} s (Ctrl-C: report now)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_much_of_the_time_is_over() {
        let line = words(3, Duration::from_secs(5));
        assert_eq!(line, "still sampling: 3 s of 5 s (Ctrl-C: report now)");
        assert!(words(0, Duration::from_millis(2500)).contains("0 s of 3 s"));
    }
}
