//! For how long a thread has slept without once having run.
//!
//! The scheduler notes when it last ran a thread: `se.exec_start` of `/proc/PID/task/TID/sched`, in
//! milliseconds of a clock of the processor it ran on. Those clocks differ from processor to
//! processor (they leave out interrupts, and what a hypervisor took), so that moment is compared
//! with the same note about ourselves, made on the very same processor. Both differences make the
//! time too short, never too long. Kernels without that file tell nothing, and so does a processor
//! that we may not run on.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::proc::Stat;
use super::{Target, from_ticks};
use crate::snapshot::ThreadState;

/// The file has about 2 KiB.
const MAX_SCHED: u64 = 16 * 1024;
/// How far two readings of the time since boot may lie apart.
const SLACK: Duration = Duration::from_millis(20);

impl Target {
    /// For how long at least each of these threads has been asleep; those of which that cannot be
    /// told are left out.
    ///
    /// Takes 40 µs for each thread, and 60 µs for each processor that one of them slept in.
    pub fn asleep_for(&self, tids: &[i32]) -> BTreeMap<i32, Duration> {
        let mut by_processor: BTreeMap<usize, Vec<(i32, Duration)>> = BTreeMap::new();
        for &tid in tids {
            if let Some((processor, ran_at)) = self.last_run(tid) {
                by_processor.entry(processor).or_default().push((tid, ran_at));
            }
        }
        if by_processor.is_empty() {
            return BTreeMap::new();
        }
        let this = Pid::from_raw(0);
        let Ok(allowed) = sched_getaffinity(this) else { return BTreeMap::new() };
        let mut found = BTreeMap::new();
        for (processor, threads) in by_processor {
            let Some(now) = now_on(processor) else { continue };
            let slept =
                threads.into_iter().filter_map(|(tid, at)| Some((tid, now.checked_sub(at)?)));
            found.extend(slept.filter(|(tid, slept)| self.is_older(*tid, *slept)));
        }
        // What was allowed a moment ago still is.
        let _ = sched_setaffinity(this, &allowed);
        found
    }

    /// The processor that a sleeping thread last ran on, and when, by that one's clock.
    fn last_run(&self, tid: i32) -> Option<(usize, Duration)> {
        let stat = self.dir.read(&format!("task/{tid}/stat"), 4096).ok()?;
        let is_asleep = matches!(
            Stat::parse(&stat)?.state,
            ThreadState::Sleeping | ThreadState::Uninterruptible
        );
        let sched = self.dir.read(&format!("task/{tid}/sched"), MAX_SCHED).ok()?;
        Some((processor(&stat)?, ran_at(&sched)?)).filter(|_| is_asleep)
    }

    /// Whether a thread began so long ago.
    fn is_older(&self, tid: i32, age: Duration) -> bool {
        let began = || {
            let stat = self.dir.read(&format!("task/{tid}/stat"), 4096).ok()?;
            from_ticks(Stat::parse(&stat)?.start_time)
        };
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).ok().map(Duration::from);
        now.zip(began()).is_some_and(|(now, began)| age <= now.saturating_sub(began) + SLACK)
    }
}

/// The time by the clock of a processor: that of our own last step there.
fn now_on(processor: usize) -> Option<Duration> {
    let mut only = CpuSet::new();
    only.set(processor).ok()?;
    sched_setaffinity(Pid::from_raw(0), &only).ok()?;
    ran_at(&std::fs::read("/proc/thread-self/sched").ok()?)
}

/// `se.exec_start` of a `sched` file.
fn ran_at(sched: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(sched).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("se.exec_start"))?;
    let (whole, part) = line.rsplit_once(':')?.1.trim().split_once('.')?;
    // Milliseconds and a fraction of six digits.
    let (whole, part): (u64, u32) = (whole.parse().ok()?, part.parse().ok()?);
    Some(Duration::from_millis(whole) + Duration::from_nanos(part.into()))
}

/// The processor that a `stat` file names, its 39th field.
fn processor(stat: &[u8]) -> Option<usize> {
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(39 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_notes() {
        let sched = b"head (19489, #threads: 1)\n-----\n\
            se.exec_start                                :        768165.086680\n\
            se.vruntime                                  :           316.595117\n";
        assert_eq!(ran_at(sched), Some(Duration::from_nanos(768_165_086_680)));
        assert_eq!(ran_at(b"se.exec_start : x\n"), None);
        let stat = b"7 (a) R 1 (b) S 1 7 7 0 -1 4194304 1 0 0 0 3 4 0 0 20 0 1 0 50 1 1 1 1 1 1 1 \
            0 0 0 0 0 0 0 0 17 3 0 0 0";
        assert_eq!(processor(stat), Some(3));
    }

    #[test]
    fn a_thread_that_sleeps_gets_older() {
        // It waits until this thread lets it go.
        let (say, hear) = std::sync::mpsc::channel();
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || {
            say.send(nix::unistd::gettid().as_raw()).unwrap();
            let _ = wait.recv();
        });
        let tid = hear.recv().unwrap();
        let target = Target::open(nix::unistd::getpid().as_raw()).unwrap();
        let before = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let began = std::time::Instant::now();
        let first = loop {
            if let Some(slept) = target.asleep_for(&[tid]).remove(&tid) {
                break slept;
            }
            let has_file = std::path::Path::new("/proc/self/sched").exists();
            if !has_file || began.elapsed() > Duration::from_secs(5) {
                assert!(!has_file, "never asleep");
                return;
            }
        };
        std::thread::sleep(Duration::from_millis(50));
        let second = target.asleep_for(&[tid])[&tid];
        assert!(
            second > first && second <= began.elapsed() + first + SLACK,
            "{first:?} {second:?}"
        );
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), before);
        end.send(()).unwrap();
        sleeper.join().unwrap();
    }
}
