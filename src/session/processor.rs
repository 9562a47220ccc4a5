//! Whether the thread of a loop gets a processor: what it had of one from snapshot to snapshot.
//!
//! One moment says that a thread is runnable, not that it runs. What it had in the time before says
//! it, if that time is long enough: a thread that runs is booked what it ran with each tick of the
//! scheduler, up to 10 ms late, and a quota is given anew each 100 ms.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::Inspector;
use crate::snapshot::{BlockingKind, Loop, Processor, ProcessorUse, Snapshot};

/// The least time that says something.
const WINDOW: Duration = Duration::from_millis(100);

/// What threads that run loops had of a processor some time ago.
#[derive(Debug, Default)]
pub(super) struct Processors {
    threads: FxHashMap<i32, LastReadings>,
}

/// Two readings of one thread.
#[derive(Debug, Clone, Copy)]
struct LastReadings {
    older: Option<Processor>,
    newer: Processor,
}

impl LastReadings {
    /// What the thread had of a processor until now, from the last reading that is old enough.
    fn until(&self, now: &Processor) -> Option<ProcessorUse> {
        let mut uses = [Some(self.newer), self.older].into_iter().flatten().map(|it| it.until(now));
        uses.find(|it| it.time >= WINDOW)
    }

    fn renew(&mut self, now: Processor) {
        if self.newer.until(&now).time >= WINDOW {
            self.older = Some(self.newer);
            self.newer = now;
        }
    }
}

impl Processors {
    /// Says of each loop what its thread had of a processor lately, and of those that are blocked
    /// whether that is why: from `threshold` on.
    pub(super) fn note(&mut self, snapshot: &mut Snapshot, threshold: Duration) {
        let mut threads = FxHashMap::default();
        for event_loop in &mut snapshot.loops {
            let Some((tid, now)) = event_loop.thread.zip(event_loop.processor()) else { continue };
            let known = self.threads.get(&tid).copied();
            event_loop.grounds.get_or_insert_default().processor_use =
                known.and_then(|known| known.until(&now));
            let mut known = known.unwrap_or(LastReadings { older: None, newer: now });
            known.renew(now);
            threads.insert(tid, known);
            blame(event_loop, threshold);
        }
        self.threads = threads;
    }
}

/// Blames the processor, if that is why a loop is blocked: no line of the program is then.
fn blame(event_loop: &mut Loop, threshold: Duration) {
    let held = event_loop.iteration.as_ref().and_then(|turn| turn.elapsed).or(event_loop.lag);
    let (Some(used), Some(held)) = (event_loop.processor_use(), held) else { return };
    if let Some(blocking) = &mut event_loop.blocking
        && used.is_why(held, threshold)
    {
        blocking.kind = BlockingKind::Starved;
        blocking.description = used.in_words();
        (blocking.fd, blocking.peer, blocking.frame) = (None, None, None);
    }
}

impl Inspector {
    /// What the thread of a loop has had of a processor.
    pub(super) fn processor_of(&self, event_loop: &Loop) -> Option<Processor> {
        let tid = event_loop.thread?;
        let at = self.system.monotonic_now().ok()?;
        let activity = self.system.thread_activity(tid)?;
        let processor = self.processor(&activity, at)?;
        Some(Processor { sleeps: self.sleeps(&activity), ..processor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::Scene;

    /// A loop in a callback since `held` ms, whose thread has run for `ran` ms at `at`.
    fn scene(at: u64, ran: u64, held: u64) -> Snapshot {
        let processor = Processor {
            at: Duration::from_millis(at),
            ran: Duration::from_millis(ran),
            waited: Duration::ZERO,
            sleeps: Some(7),
        };
        let scene = Scene::new().in_callback(1, held).blocked_by(BlockingKind::Cpu, |_| ());
        scene
            .and(|snapshot| {
                snapshot.loops[0].grounds.get_or_insert_default().processor = Some(processor);
            })
            .snapshot
    }

    fn kind_after(steps: &[(u64, u64, u64)]) -> BlockingKind {
        let mut processors = Processors::default();
        let mut last = None;
        for &(at, ran, held) in steps {
            let mut snapshot = scene(at, ran, held);
            processors.note(&mut snapshot, WINDOW);
            last = snapshot.loops[0].blocking.take();
        }
        last.unwrap().kind
    }

    #[test]
    fn who_gets_no_processor_is_starved_and_who_computes_is_not() {
        // A quota of 8 %, and none.
        assert_eq!(kind_after(&[(0, 0, 100), (200, 16, 300)]), BlockingKind::Starved);
        assert_eq!(kind_after(&[(0, 0, 100), (200, 199, 300)]), BlockingKind::Cpu);
        // At one look nothing is said, nor after a moment.
        assert_eq!(kind_after(&[(0, 0, 300)]), BlockingKind::Cpu);
        assert_eq!(kind_after(&[(0, 0, 300), (20, 1, 320)]), BlockingKind::Cpu);
        // Moments come to a time.
        let steps = [0, 20, 40, 60, 80, 100, 120, 140].map(|at| (at, at / 10, 300 + at));
        assert_eq!(kind_after(&steps), BlockingKind::Starved);
        // Half of a processor for ten seconds: it computes for five.
        assert_eq!(kind_after(&[(0, 0, 10_000), (190, 95, 10_190)]), BlockingKind::Cpu);
    }
}
