//! What only an observation over time can tell: `slow-callbacks`, `sequential-awaits`,
//! `task-leak`, `pod-throttled`; how much of the time is that of `gc-pause`.

use std::time::Duration;

use super::draft::Draft;
use super::{Usage, gc_pause, grouped, pod_throttled, sequential_awaits, words};
use crate::snapshot::{
    BlockingKind, Cause, Code, Evidence, Finding, FindingId, Location, Role, Severity, Snapshot,
    Sureness, Task,
};
use crate::timeline::{Collected, Collections, Growth, PlaceTotals, Sequences, time_between};

/// So many callbacks that block at one place are no accident.
const AGAIN_AND_AGAIN: u64 = 3;
/// A place where nothing has blocked for so long is not told any more.
const RECENT: Duration = Duration::from_secs(60);
/// By so many tasks at least a number has to grow, and by half of what it was: a service that is
/// just coming up grows, too.
const LEAKED: usize = 20;

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
    let is_recent =
        |place: &&PlaceTotals| time_between(place.last_at, observed.now.taken_at) <= RECENT;
    let is_again = |place: &&PlaceTotals| {
        // What is nowhere in particular is many things.
        place.file.is_some()
            && !matches!(place.kind, BlockingKind::Gc | BlockingKind::Starved)
            && place.count >= AGAIN_AND_AGAIN
            && is_recent(place)
    };
    let slow = observed.places.iter().filter(is_again).map(|place| slow(place, observed.time));
    let of_kind = |kind| move |place: &&PlaceTotals| place.kind == kind;
    let starved: Vec<_> =
        observed.places.iter().filter(of_kind(BlockingKind::Starved)).filter(is_recent).collect();
    let starved = starved.first().and_then(|place| starved_again(place, observed.time));
    let collector = collector(observed);
    let grown = observed.growth.growing().into_iter();
    let leaks = grown.filter_map(|(shape, counts)| leak(&shape, &counts, observed));
    let sequential = sequential_awaits::find(observed.sequences, observed.now);
    let throttled = observed.usage.and_then(|usage| pod_throttled::over_time(usage, observed.now));
    let slow = slow.chain(starved).chain(collector);
    let mut all: Vec<Finding> = slow.chain(leaks).chain(sequential).chain(throttled).collect();
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

/// Whether it is about callbacks that had no processor.
fn is_of_starved(finding: &Finding) -> bool {
    matches!(finding.cause, Some(Cause::Call { class: BlockingKind::Starved, .. }))
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

/// Callbacks that were long only because their thread was given no processor: no line of the
/// program is to blame.
fn starved_again(place: &PlaceTotals, observed: Duration) -> Option<Finding> {
    if place.count < AGAIN_AND_AGAIN {
        return None;
    }
    let longest = place.length.map_or(0.0, |length| length.max_ms);
    let title = format!(
        "callbacks blocked the event loop {} times because its thread waited for a processor, {} \
         in all, the longest {}",
        place.count,
        span_of_ms(place.total_ms),
        span_of_ms(longest),
    );
    // What is the same each time comes first: it tells this finding from others.
    let lines = [
        "the thread was runnable, and the kernel gave it no processor".to_owned(),
        format!("the last of them {}", place.description),
    ];
    let lines = lines.into_iter().map(Evidence::from);
    let draft = Draft::new(Code::SlowCallbacks, Severity::Info, Sureness::Read, title)
        .key([Some("starved")])
        .cause(Some(call(place)))
        .members(Role::Culprit, usize::try_from(place.count).unwrap_or(usize::MAX), Vec::new())
        .evidence(lines.chain(share_of(place, observed)))
        .advice(super::loop_blocked::STARVED);
    Some(draft.finding)
}

/// `2.0 % of the time of the observation`.
fn share_of(place: &PlaceTotals, observed: Duration) -> Option<Evidence> {
    let seconds = observed.as_secs_f64();
    let share = || (place.total_ms / 10.0 / seconds).min(100.0);
    (seconds > 0.0).then(|| format!("{:.1} % of the time of the observation", share()).into())
}

/// The call that blocked there.
fn call(place: &PlaceTotals) -> Cause {
    let (call, class) = (place.description.clone(), place.kind);
    Cause::Call { call, class, system_call: None, thread: None }
}

fn span_of_ms(ms: f64) -> String {
    words::span(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default())
}

fn slow(place: &PlaceTotals, observed: Duration) -> Finding {
    let file = place.file.as_deref().unwrap_or("?");
    let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
    let name = file.rsplit('/').next().unwrap_or(file);
    let function = place.function.as_deref().unwrap_or("?");
    let at = Location::by_path(function.into(), file.into(), place.line);
    let longest = place.length.map_or(0.0, |length| length.max_ms);
    let title = format!(
        "callbacks blocked the event loop {} times at {name}{line} ({}), {} in all, the longest {}",
        place.count,
        place.description,
        span_of_ms(place.total_ms),
        span_of_ms(longest),
    );
    let mut lines = vec![Evidence::from("").at(Some(&at))];
    lines.extend(place.length.map(|length| {
        let (half, most) = (span_of_ms(length.p50_ms), span_of_ms(length.p99_ms));
        Evidence::from(format!("half of them took {half} at most, 99 of 100 {most}"))
    }));
    lines.extend(share_of(place, observed));
    let draft = Draft::new(Code::SlowCallbacks, Severity::Warning, Sureness::Read, title)
        .at(Some(&at), None)
        .cause(Some(call(place)))
        .members(Role::Culprit, usize::try_from(place.count).unwrap_or(usize::MAX), Vec::new())
        .evidence(lines)
        .advice(format!(
            "Nothing else runs meanwhile: move the call at {name}{line} to a thread, or use an \
             asynchronous one; give way in long computations."
        ));
    draft.finding
}

fn leak(shape: &str, counts: &[usize], observed: Observed<'_>) -> Option<Finding> {
    let (first, last) = (*counts.first()?, *counts.last()?);
    if last < first + LEAKED.max(first / 2) {
        return None;
    }
    let is_it = |task: &&Task| task.coroutine.as_deref() == Some(shape);
    let tasks = || observed.now.tasks.iter().filter(is_it);
    let span = words::span(observed.growth.time());
    let title = format!(
        "tasks that run {shape} grow in number: from {first} to {last} in {span}, for fewer end \
         than are started"
    );
    let mut places = grouped(tasks(), |task| (words::place(task).cloned(), super::kind(task)));
    places.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let numbers: Vec<String> = counts.iter().map(ToString::to_string).collect();
    let mut lines =
        vec![Evidence::from(format!("the least number of them: {}", numbers.join(", ")))];
    lines.extend(places.iter().take(3).filter_map(|group| {
        let task = *group.first()?;
        let line = words::wait_line(task);
        Some(Evidence { text: format!("{} of them like this: {}", group.len(), line.text), ..line })
    }));
    let most = places.first().and_then(|group| group.first()).copied();
    let draft = Draft::new(Code::TaskLeak, Severity::Warning, Sureness::Derived, title)
        .on_loop(most.and_then(|task| task.loop_id))
        .at(most.and_then(words::place), None)
        .key([Some(shape)])
        .tasks(most)
        .members(Role::Culprit, last, most.map(|task| task.id).into_iter().collect())
        .evidence(lines)
        .advice(
            "See what these tasks wait for: give it a time limit, end them when their client is \
             gone, and start no more than can be served (a semaphore, a bounded queue).",
        );
    Some(draft.finding)
}

#[cfg(test)]
mod tests {
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
            finding.title,
            "callbacks blocked the event loop 4 times at app.py:31 (time.sleep), 1.2 s in all, \
             the longest 400 ms"
        );
        assert!(finding.facts().contains(&"2.0 % of the time of the observation".to_owned()));
        assert!(found(&[place(2, 0)], &growth, &now).is_empty());
        let gc = PlaceTotals { kind: BlockingKind::Gc, ..place(9, 0) };
        let [finding] = &found(&[gc], &growth, &now)[..] else { panic!() };
        assert_eq!((finding.code, finding.severity), (Code::GcPause, Severity::Info));
        assert!(finding.title.contains("9 times, 1.2 s in all"), "{}", finding.title);
        let kind = BlockingKind::Starved;
        let starved = PlaceTotals { file: None, line: None, function: None, kind, ..place(9, 0) };
        let [finding] = &found(from_ref(&starved), &growth, &now)[..] else { panic!() };
        assert_eq!((finding.code, finding.severity), (Code::SlowCallbacks, Severity::Info));
        assert!(finding.title.contains("waited for a processor"), "{}", finding.title);
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
        assert!(finding.title.contains("from 20 to 70 in 6.0 s"), "{}", finding.title);
        assert_eq!(finding.facts()[0], "the least number of them: 20, 30, 40, 50, 60, 70");
    }
}
