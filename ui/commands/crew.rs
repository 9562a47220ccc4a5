//! A thread for each of several processes, also for those that begin below them meanwhile.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use aiospy::Error;

use crate::commands::targets::Several;
use crate::io::descriptors;
use crate::io::output::note;

/// How often it is looked for new processes.
pub const EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether it is over.
const STEP: Duration = Duration::from_millis(50);
/// How long those that were asked to end are waited for; one may be blocked for good.
const AT_END: Duration = Duration::from_secs(2);
/// What waits to be taken; who has more to say waits.
const WAITING: usize = 1024;

/// What a thread has to say of its process.
#[derive(Debug)]
pub enum Said<S, E> {
    /// Something on the way.
    News(S),
    /// That it has ended well.
    Ended(E),
}

/// What a thread is given.
pub struct Part<S, E> {
    /// Its process.
    pub pid: i32,
    over: Arc<AtomicBool>,
    to: SyncSender<anyhow::Result<Said<S, E>>>,
}

impl<S, E> Part<S, E> {
    /// Set when all are to end.
    pub fn over(&self) -> &Arc<AtomicBool> {
        &self.over
    }

    /// Says something on the way.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub fn say(&self, news: S) -> io::Result<()> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody listens");
        self.to.send(Ok(Said::News(news))).map_err(gone)
    }
}

/// Does `work` for each process until all have ended or `is_asked`, and gives what they say to
/// `take`. What goes wrong with one of them is noted, and changes nothing for the others.
///
/// # Errors
/// When nothing came of any of them, or those of `take`.
pub fn each<S: Send + 'static, E: Send + 'static>(
    several: &Several,
    is_asked: &dyn Fn() -> bool,
    work: impl Fn(&Part<S, E>) -> anyhow::Result<E> + Send + Sync + 'static,
    take: &mut dyn FnMut(Said<S, E>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    descriptors::raise_limit();
    let work = Arc::new(work);
    let over = Arc::<AtomicBool>::default();
    let (sender, said) = sync_channel(WAITING);
    let mut seen = BTreeSet::new();
    let mut begin = |pids: Vec<i32>| {
        let new = pids.into_iter().filter(|pid| seen.insert(*pid));
        let start = |pid: &i32| {
            let part = Part { pid: *pid, over: Arc::clone(&over), to: sender.clone() };
            let work = Arc::clone(&work);
            let run = move || {
                let ended = work(&part).map(Said::Ended);
                // Nobody listens any more when the command ends.
                let _ = part.to.send(ended);
            };
            std::thread::Builder::new().name("process".to_owned()).spawn(run).is_ok()
        };
        new.filter(start).count()
    };
    let mut open = begin(several.pids());
    let mut failed = Failed::default();
    let mut next_look = Instant::now() + EVERY;
    let mut ends_by: Option<Instant> = None;
    while open > 0 && ends_by.is_none_or(|by| Instant::now() < by) {
        if ends_by.is_none() && is_asked() {
            over.store(true, Ordering::Relaxed);
            ends_by = Some(Instant::now() + AT_END);
        }
        if ends_by.is_none() && Instant::now() >= next_look {
            open += begin(several.pids());
            next_look = Instant::now() + EVERY;
        }
        match said.recv_timeout(STEP) {
            Ok(Ok(said)) => {
                open -= usize::from(matches!(said, Said::Ended(_)));
                failed.has_come_to_something();
                take(said)?;
            }
            Ok(Err(error)) => {
                open -= 1;
                failed.take(error);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    failed.end()
}

/// What went wrong. It is kept as long as nothing came of any process: then it is what the command
/// fails with.
#[derive(Default)]
struct Failed {
    has_some: bool,
    kept: Vec<anyhow::Error>,
}

impl Failed {
    fn take(&mut self, error: anyhow::Error) {
        if !self.has_some {
            self.kept.push(error);
        } else if !says_nothing(&error) {
            note(format_args!("{error}"));
        }
    }

    fn has_come_to_something(&mut self) {
        self.has_some = true;
        for error in std::mem::take(&mut self.kept) {
            self.take(error);
        }
    }

    /// The first that says something of the others, or the first.
    fn end(mut self) -> anyhow::Result<()> {
        let telling = self.kept.iter().position(|error| !says_nothing(error)).unwrap_or(0);
        if telling < self.kept.len() { Err(self.kept.swap_remove(telling)) } else { Ok(()) }
    }
}

/// Whether it says nothing of the others: one ran no asyncio, or was gone.
fn says_nothing(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(
            Error::NotPython { .. }
                | Error::NoAsyncio { .. }
                | Error::NoSuchProcess { .. }
                | Error::TargetGone { .. }
        )
    )
}

/// What each of so many gets of a number of samples a second: many cost no more than one.
pub fn share(rate: f64, among: usize) -> f64 {
    /// The fewest samples a second of one process.
    const LEAST: f64 = 10.0;
    let among = u32::try_from(among).unwrap_or(u32::MAX).max(1);
    (rate / f64::from(among)).max(LEAST.min(rate))
}

/// The same of the time between two whole snapshots, which cost more.
pub fn stretch(every: Duration, among: usize) -> Duration {
    /// From so many processes on they are taken less often.
    const FEW: u32 = 8;
    every * u32::try_from(among).unwrap_or(u32::MAX).max(1).div_ceil(FEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_cost_no_more_than_one() {
        let of = |among| (share(1000.0, among), stretch(EVERY, among));
        let seconds = Duration::from_secs;
        assert_eq!(of(1), (1000.0, seconds(1)));
        assert_eq!(of(4), (250.0, seconds(1)));
        assert_eq!(of(20), (50.0, seconds(3)));
        assert_eq!(of(500), (10.0, seconds(63)));
        assert_eq!(share(2.0, 20).to_bits(), 2.0_f64.to_bits());
    }

    /// What each process does: it says something, ends with a number, or fails.
    fn run(pids: &[i32], fails: fn(i32) -> Option<Error>) -> (Vec<i32>, anyhow::Result<()>) {
        let several = Several { named: pids.to_vec(), is_by_id: true, has_subprocesses: false };
        let work = move |part: &Part<i32, i32>| {
            if let Some(error) = fails(part.pid) {
                return Err(error.into());
            }
            part.say(part.pid)?;
            Ok(-part.pid)
        };
        let mut all = Vec::new();
        let done = each(&several, &|| false, work, &mut |said| {
            all.push(match said {
                Said::News(number) | Said::Ended(number) => number,
            });
            Ok(())
        });
        all.sort_unstable();
        (all, done)
    }

    #[test]
    fn what_goes_wrong_with_one_changes_nothing_for_the_others() {
        let fails = |pid| (pid == 2).then_some(Error::NoAsyncio { pid });
        let (all, done) = run(&[1, 2, 3], fails);
        assert_eq!(all, [-3, -1, 1, 3]);
        done.unwrap();
    }

    #[test]
    fn where_nothing_comes_of_any_the_most_telling_failure_is_said() {
        let fails = |pid| {
            let late = Error::TimedOut { pid, limit: Duration::ZERO };
            Some(if pid == 2 { late } else { Error::NoAsyncio { pid } })
        };
        let (all, done) = run(&[1, 2, 3], fails);
        assert!(all.is_empty());
        assert!(matches!(done.unwrap_err().downcast_ref(), Some(Error::TimedOut { pid: 2, .. })));
    }
}
