//! What the garbage collector took over a time, as it tells itself (Python 3.15 and later).

use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::memory::Address;
use crate::snapshot::Snapshot;

/// What it took of one loop's thread, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collected {
    /// The loop.
    pub loop_id: Address,
    /// How long all collections took that ended.
    pub time: Duration,
    /// How long the longest of them took that was seen.
    pub longest: Duration,
    /// For how long it was observed.
    pub observed: Duration,
}

/// The collectors of all loops of a target.
#[derive(Debug, Default)]
pub struct Collections {
    loops: FxHashMap<Address, Track>,
}

#[derive(Debug)]
struct Track {
    /// When it was first looked at, and what it had taken by then.
    first: (Duration, Duration),
    last: (Duration, Duration),
    longest: Duration,
}

impl Collections {
    /// Takes in a snapshot.
    pub fn take(&mut self, snapshot: &Snapshot) {
        let Some(now) = snapshot.told_from else { return };
        self.loops.retain(|id, _| snapshot.loops.iter().any(|known| known.id == *id));
        for event_loop in &snapshot.loops {
            let Some(collector) = &event_loop.collector() else { continue };
            let Some(time) = collector.time else { continue };
            let first = (now, time);
            let track = self.loops.entry(event_loop.id);
            let track = track.or_insert(Track { first, last: first, longest: Duration::ZERO });
            track.last = first;
            if let Some((began, took)) = collector.longest
                && began >= track.first.0
            {
                track.longest = track.longest.max(took);
            }
        }
    }

    /// What each took since it was first looked at.
    pub fn totals(&self) -> impl Iterator<Item = Collected> {
        self.loops.iter().map(|(id, track)| Collected {
            loop_id: *id,
            time: track.last.1.saturating_sub(track.first.1),
            longest: track.longest,
            observed: track.last.0.saturating_sub(track.first.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{LOOP, Scene};
    use crate::snapshot::Collector;

    #[test]
    fn only_what_came_while_it_was_observed_counts() {
        let ms = Duration::from_millis;
        let mut collections = Collections::default();
        for (now, time, longest) in [
            // One of 900 ms, before anybody looked.
            (5000, 2000, (1000, 900)),
            (6000, 2050, (5200, 50)),
            (7000, 2170, (6100, 120)),
        ] {
            let collector = Collector {
                time: Some(ms(time)),
                longest: Some((ms(longest.0), ms(longest.1))),
                ..Collector::default()
            };
            let scene = Scene::new()
                .and(|it| it.loops[0].grounds.get_or_insert_default().collector = Some(collector));
            collections.take(&scene.and(|it| it.told_from = Some(ms(now))).snapshot);
        }
        let totals: Vec<_> = collections.totals().collect();
        let (time, longest, observed) = (ms(170), ms(120), ms(2000));
        assert_eq!(totals, [Collected { loop_id: LOOP, time, longest, observed }]);
    }
}
