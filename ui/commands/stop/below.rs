//! The Python processes below one that is asked to end: they have to end with it.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use aiospy::process::pythons;
use aiospy::watch::several::{How, look_at, with_those_below};
use nix::sys::signal::Signal;

use super::Addressee;
use crate::commands::patience::Patience;
use crate::report::text::group::Group;

/// How often it is looked whether they have ended.
const STEP: Duration = Duration::from_millis(20);
/// Samples of those that are left, for what holds them.
const LOOKS: u8 = 2;

/// Processes below one, each held so that no other can be meant.
#[derive(Default)]
pub struct Below(Vec<Addressee>);

impl Below {
    /// Those that run Python now.
    pub fn of(pid: i32) -> Self {
        let pythons = pythons();
        let is_python = |pid: &i32| pythons.iter().any(|it| it.pid == *pid);
        let below = with_those_below(&[pid]).into_iter().skip(1);
        Self(below.filter(is_python).map(Addressee::of).collect())
    }

    /// How many there were.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Those that are still there.
    pub fn left(&self) -> Vec<i32> {
        self.0.iter().filter(|it| is_there(it)).map(|it| it.pid).collect()
    }

    /// Waits until none is left or `is_over`, and gives those that are.
    pub fn wait(&self, is_over: &dyn Fn() -> bool) -> Vec<i32> {
        loop {
            let left = self.left();
            if left.is_empty() || is_over() {
                return left;
            }
            std::thread::sleep(STEP);
        }
    }

    /// Kills those that are left.
    ///
    /// # Errors
    /// When one is not to be killed.
    pub fn kill(&self) -> io::Result<()> {
        self.0.iter().filter(|it| is_there(it)).try_for_each(|it| it.send(Signal::SIGKILL))
    }
}

/// What holds processes.
pub fn group(pids: &[i32], patience: &Patience) -> Group {
    let how = How {
        options: crate::io::wanted::complete(aiospy::Options::default()),
        looks: LOOKS,
        wait: Duration::ZERO,
        timeout: patience.timeout,
        stop: std::sync::Arc::default(),
    };
    Group::new(None, look_at(pids, &how), |_| false)
}

/// Whether a process is the one that was meant, and has not ended.
fn is_there(process: &Addressee) -> bool {
    let Ok(folder) = &process.folder else { return false };
    let stat = fs::read_to_string(format!("/proc/self/fd/{}/stat", folder.as_raw_fd()));
    // Who has ended is there until its parent takes its exit code.
    stat.is_ok_and(|stat| {
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        !matches!(state, Some('Z' | 'X') | None)
    })
}

/// Whether it is time, at `until` if there is one.
pub fn is_past(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}
