//! What only an observation over time can tell: `slow-callbacks`, `sequential-awaits`,
//! `task-leak`, `pod-throttled`; how much of the time is that of `gc-pause`.

use std::time::Duration;

use super::slow_callbacks::is_of_starved;
use super::{Usage, gc_pause, pod_throttled, sequential_awaits, slow_callbacks, task_leak};
use crate::snapshot::{BlockingKind, Code, Finding, FindingId, Snapshot};
use crate::timeline::{Collected, Collections, Growth, PlaceTotals, Sequences};

/// What was observed of a target.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'o> {
    /// For how long.
    pub time: Duration,
    /// How it is now.
    pub now: &'o Snapshot,
    /// Where callbacks blocked.
    pub places: &'o [PlaceTotals],
    /// How the numbers of tasks grew.
    pub growth: &'o Growth,
    /// What the garbage collectors took.
    pub collections: &'o Collections,
    /// Which tasks make one call after the other.
    pub sequences: &'o Sequences,
    /// The number from which on its findings count.
    pub next_id: u64,
    /// What its control groups had used some time ago.
    pub usage: Option<&'o Usage>,
    /// The finding that says that they use up a quota, if there is one already.
    pub throttled: Option<FindingId>,
}

/// Draws conclusions from an observation.
pub fn over_time(observed: Observed<'_>) -> Vec<Finding> {
    let slow = slow_callbacks::find(observed.places, observed.now, observed.time);
    let collector = collector(observed);
    let grown = observed.growth.growing().into_iter();
    let leaks = grown.filter_map(|(shape, counts)| {
        task_leak::leak(&shape, &counts, observed.now, observed.growth.time())
    });
    let sequential = sequential_awaits::find(observed.sequences, observed.now);
    let throttled = observed.usage.and_then(|usage| pod_throttled::over_time(usage, observed.now));
    let mut all: Vec<Finding> =
        slow.chain(collector).chain(leaks).chain(sequential).chain(throttled).collect();
    for (id, finding) in (observed.next_id..).map(FindingId).zip(&mut all) {
        finding.id = id;
    }
    let is_it = |it: &&Finding| it.code == Code::PodThrottled;
    let throttled = observed.throttled.or_else(|| all.iter().find(is_it).map(|it| it.id));
    for finding in all.iter_mut().filter(|it| is_of_starved(it)) {
        finding.because_of = throttled;
    }
    all
}

/// What the garbage collector took: by its own count, else as callbacks show it.
fn collector(observed: Observed<'_>) -> Vec<Finding> {
    let own: Vec<Collected> = observed.collections.totals().collect();
    if !own.is_empty() {
        return own.iter().filter_map(gc_pause::by_its_own_time).collect();
    }
    let places = observed.places.iter().filter(|place| place.kind == BlockingKind::Gc);
    let places: Vec<PlaceTotals> = places.cloned().collect();
    gc_pause::over_time(observed.time, &places).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use crate::snapshot::Severity;
    use std::slice::from_ref;

    use super::*;
    use jiff::Timestamp;

    use crate::diagnose::tests::{Scene, task};
    use crate::timeline::Spread;

    fn place(count: u64, last: u64) -> PlaceTotals {
        PlaceTotals {
            function: Some("retry".to_owned()),
            file: Some("/srv/app.py".to_owned()),
            line: Some(31),
            kind: BlockingKind::Sleep,
            description: "time.sleep".to_owned(),
            count,
            total_ms: 1200.0,
            last_at: Timestamp::UNIX_EPOCH + Duration::from_secs(last),
            length: Some(Spread { p50_ms: 300.0, p90_ms: 390.0, p99_ms: 400.0, max_ms: 400.0 }),
        }
    }

    fn found(places: &[PlaceTotals], growth: &Growth, now: &Snapshot) -> Vec<Finding> {
        found_where(places, growth, now, None)
    }

    fn found_where(
        places: &[PlaceTotals],
        growth: &Growth,
        now: &Snapshot,
        throttled: Option<FindingId>,
    ) -> Vec<Finding> {
        let sequences = &Sequences::default();
        let (time, collections) = (Duration::from_secs(60), &Collections::default());
        let usage = None;
        over_time(Observed {
            time,
            now,
            places,
            growth,
            collections,
            sequences,
            usage,
            next_id: 1,
            throttled,
        })
    }

    #[test]
    fn callbacks_that_block_again_and_again_at_one_place() {
        let now = Scene::new().snapshot;
        let growth = Growth::over(Duration::from_secs(60));
        let [finding] = &found(&[place(4, 0)], &growth, &now)[..] else { panic!() };
        assert_eq!(
            finding.title.to_string(),
            "time.sleep at app.py:31 blocked the loop 4 times in 60.0 s, 1.20 s in all"
        );
        assert!(finding.facts().contains(&"2.0 % of the time of the observation".to_owned()));
        assert!(found(&[place(2, 0)], &growth, &now).is_empty());
        let gc = PlaceTotals { kind: BlockingKind::Gc, ..place(9, 0) };
        let [finding] = &found(&[gc], &growth, &now)[..] else { panic!() };
        assert_eq!((finding.code, finding.severity), (Code::GcPause, Severity::Info));
        assert!(finding.title.to_string().contains("9 times: 1.20 s in all"), "{}", finding.title);
        let kind = BlockingKind::Starved;
        let starved = PlaceTotals { file: None, line: None, function: None, kind, ..place(9, 0) };
        let [finding] = &found(from_ref(&starved), &growth, &now)[..] else { panic!() };
        assert_eq!((finding.code, finding.severity), (Code::SlowCallbacks, Severity::Info));
        assert!(finding.title.to_string().contains("had no processor"), "{}", finding.title);
        assert_eq!(finding.because_of, None);
        let places = &[starved];
        let [finding] = &found_where(places, &growth, &now, Some(FindingId(7)))[..] else {
            panic!()
        };
        assert_eq!(finding.because_of, Some(FindingId(7)));
        let nowhere = PlaceTotals { file: None, line: None, function: None, ..place(9, 0) };
        assert!(found(&[nowhere], &growth, &now).is_empty());
    }

    #[test]
    fn tasks_that_grow_in_number() {
        let mut growth = Growth::over(Duration::from_secs(6));
        let mut last = None;
        for second in 0..8u64 {
            let tasks = (0..10 + 10 * second).map(|number| task(number).reads_socket());
            let mut scene = Scene::new().with(tasks);
            scene.snapshot.later(Duration::from_secs(second));
            growth.take(&scene.snapshot);
            last = Some(scene.snapshot);
        }
        let [finding] = &found(&[], &growth, &last.unwrap())[..] else { panic!() };
        assert_eq!(finding.code, Code::TaskLeak);
        assert!(finding.title.to_string().contains("from 20 to 70 in 6.00 s"), "{}", finding.title);
        assert_eq!(finding.facts()[0], "the least number of them: 20, 30, 40, 50, 60, 70");
    }
}
