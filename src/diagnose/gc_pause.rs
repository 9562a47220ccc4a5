//! `gc-pause`: the garbage collector holds the loop's thread.
//!
//! A collection is set off by the allocation of any object, so the line at which it happens is not
//! to blame. A callback that computes has its collections too: it is one of the collector only
//! where that was at work at each look at it. How long a collection takes Python tells from 3.15
//! on; before, that one was seen at work twice, with no other ended in between.

use std::time::Duration;

use super::draft::{Draft, Drafts};
use super::loop_blocked::is_by_collector;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, words};
use crate::snapshot::{
    Age, Cause, Code, Evidence, Finding, Location, Loop, Sentence, Severity, Source, Sureness,
};
use crate::timeline::{Collected, PlaceTotals, has_same_iteration};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::GcPause,
    find: Some(find),
    about: About::Loop,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::OverWithIteration],
};

/// A collection that takes so long is trouble in itself.
const LONG: Duration = Duration::from_secs(1);
/// A share of the time that is trouble, in percent.
const MUCH: f64 = 10.0;
/// One that is shorter, of a collector that takes less than that, is not worth a word.
const SHORT: Duration = Duration::from_millis(100);
/// What is observed for less says nothing of shares.
const LEAST: Duration = Duration::from_secs(2);

/// What to do about it.
const ADVICE: &str = "A full collection visits every object that can refer to others: call \
    `gc.freeze()` once start-up is done, raise the thresholds with `gc.set_threshold`, or keep \
    large data in fewer objects (arrays, bytes, a database).";

fn find(context: &Context<'_>, out: &mut Drafts) {
    for event_loop in &context.now.loops {
        let before = context.looks.loop_before(event_loop.id);
        if is_by_collector(event_loop, before) {
            if context.gap.is_none() {
                out.want_second_look();
            }
            out.add(report(context, event_loop, before));
        }
    }
}

/// The time between the looks, if one and the same collection was at work at both.
fn seen_for(context: &Context<'_>, event_loop: &Loop, before: Option<&Loop>) -> Option<Duration> {
    let collections = |known: &Loop| known.collector().as_ref()?.collections;
    let before = before.filter(|before| has_same_iteration(before, event_loop))?;
    let is_same = is_by_collector(before, None)
        && collections(before).is_some()
        && collections(before) == collections(event_loop);
    context.gap.filter(|_| is_same)
}

/// The generation that is collected.
fn generation(event_loop: &Loop) -> Option<u32> {
    event_loop.collector().as_ref()?.generation.map(u32::from)
}

fn report(context: &Context<'_>, event_loop: &Loop, before: Option<&Loop>) -> Draft {
    let seen_for = seen_for(context, event_loop, before);
    let generation = generation(event_loop);
    let age = seen_for.map(|time| Age::at_least(time, Source::Samples));
    let title = Sentence::words("The garbage collector");
    let title = match age {
        Some(_) => title.verb("has held", "held").then("the loop for").lasting(age),
        None => title.verb("holds", "held").then("the loop"),
    };
    let title = title.maybe(generation.map(|number| format!("(generation {number})")));
    let is_long = seen_for.is_some_and(|time| time >= LONG);
    let severity = if is_long { Severity::Warning } else { Severity::Info };
    let mut lines = Vec::new();
    let held = event_loop.iteration.as_ref().and_then(|turn| turn.elapsed);
    lines.extend(
        held.map(|held| Evidence::from(format!("its iteration has run for {}", words::span(held)))),
    );
    let frame = event_loop.blocking.as_ref().and_then(|blocking| blocking.frame.as_ref());
    let place = frame.map(|frame| &*frame.location);
    lines.extend(place.map(|place| Evidence::from("the program is").at(Some(place))));
    let objects = event_loop.collector().as_ref().and_then(|it| it.objects);
    lines.extend(objects.filter(|count| *count > 0).map(|count| {
        let text = "objects, each of which the next one visits";
        Evidence::from(format!("the last full collection left {count} {text}"))
    }));
    if lines.is_empty() {
        lines.extend(context.now.thread_of(event_loop).map(words::thread_line));
    }
    Draft::new(Code::GcPause, severity, Sureness::Read, title)
        .cause(Some(Cause::Gc { generation }))
        .since(age)
        .on_loop(Some(event_loop.id))
        .affects(context.size(Some(event_loop.id)))
        .evidence(lines)
        .advice(ADVICE)
}

/// What callbacks that were held by the collector come to over an observation.
pub(super) fn over_time(observed: Duration, places: &[PlaceTotals]) -> Option<Finding> {
    let count: u64 = places.iter().map(|place| place.count).sum();
    let total_ms: f64 = places.iter().map(|place| place.total_ms).sum();
    let longest = |place: &PlaceTotals| place.length.map_or(0.0, |length| length.max_ms);
    let longest_ms = places.iter().map(longest).fold(0.0, f64::max);
    if count == 0 {
        return None;
    }
    let ms = |ms: f64| Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default();
    let (total, longest) = (ms(total_ms), ms(longest_ms));
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    let title = Sentence::words(format!(
        "The garbage collector held the loop {times}: {} in all, at most {} at a time",
        words::span(total),
        words::span(longest)
    ));
    let share = share(total, observed);
    let mut lines = vec![Evidence::from(format!("{share:.1} % of the time of the observation"))];
    lines.extend(places.iter().take(3).filter_map(|place| {
        let (file, line) = (place.file.as_ref()?, place.line?);
        let function = place.function.clone().unwrap_or_default();
        let at = Location::by_path(function.into(), file.as_str().into(), Some(line));
        Some(Evidence::from(format!("{} of them", place.count)).at(Some(&at)))
    }));
    Some(finding(title, lines, share, longest, observed))
}

/// What the collector itself says that it took over an observation.
pub(super) fn by_its_own_time(collected: &Collected) -> Option<Finding> {
    let share = share(collected.time, collected.observed);
    let is_much = share >= MUCH && collected.observed >= LEAST;
    if !is_much && collected.longest < SHORT {
        return None;
    }
    let title = Sentence::words(format!(
        "The garbage collector took {share:.1} % of the time, in pauses of up to {}",
        words::span(collected.longest)
    ));
    let (took, of) = (words::span(collected.time), words::span(collected.observed));
    let lines = vec![format!("by Python's own count: {took} of {of}").into()];
    let draft = finding(title, lines, share, collected.longest, collected.observed);
    Some(Finding { loop_id: Some(collected.loop_id), ..draft })
}

fn share(of: Duration, observed: Duration) -> f64 {
    let seconds = observed.as_secs_f64();
    if seconds > 0.0 { (of.as_secs_f64() * 100.0 / seconds).min(100.0) } else { 0.0 }
}

fn finding(
    title: Sentence,
    lines: Vec<Evidence>,
    share: f64,
    longest: Duration,
    observed: Duration,
) -> Finding {
    let is_bad = longest >= LONG || share >= MUCH && observed >= LEAST;
    let severity = if is_bad { Severity::Warning } else { Severity::Info };
    let draft = Draft::new(Code::GcPause, severity, Sureness::Read, title);
    draft.cause(Some(Cause::Gc { generation: None })).evidence(lines).advice(ADVICE).finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Scene, task};
    use crate::memory::Address;
    use crate::snapshot::{BlockingKind, Collector};

    fn collecting(ms: u64, collections: u64) -> Scene {
        let collector = Collector {
            generation: Some(2),
            collections: Some(collections),
            objects: Some(1_500_000),
            ..Collector::default()
        };
        Scene::new()
            .with([task(1).runs(), task(2).sleeps(10)])
            .in_callback(1, ms)
            .blocked_by(BlockingKind::Gc, |blocking| {
                blocking.description = "the garbage collector (generation 2)".to_owned();
            })
            .and(|snapshot| {
                snapshot.loops[0].grounds.get_or_insert_default().collector = Some(collector);
            })
    }

    #[test]
    fn a_collection_is_not_blamed_on_the_line_that_set_it_off() {
        let first = collecting(700, 40).before();
        let once = first.once();
        assert!(once.wants_second_look);
        assert_eq!(once.only().code, Code::GcPause);
        assert_eq!(
            once.only().title.to_string(),
            "The garbage collector holds the loop (generation 2)"
        );
        let twice = collecting(700, 40).after(&first);
        let finding = twice.only();
        assert_eq!(
            finding.title.to_string(),
            "The garbage collector has held the loop for ≥ 200 ms (generation 2)"
        );
        assert_eq!(finding.severity, Severity::Info);
        // Others have ended in between: nobody knows how long each was.
        let other = collecting(700, 41).after(&first);
        assert!(other.only().title.to_string().ends_with("holds the loop (generation 2)"));
    }

    #[test]
    fn a_line_that_computes_is_blamed_though_it_was_in_a_collection_once() {
        let computing = || Scene::new().in_callback(1, 900).blocked_by(BlockingKind::Cpu, |_| ());
        for (first, last) in
            [(collecting(900, 40), computing()), (computing(), collecting(900, 40))]
        {
            let diagnosis = last.after(&first.before());
            assert_eq!(diagnosis.only().code, Code::LoopBlocked);
            assert_eq!(diagnosis.only().place.as_ref().unwrap().line, Some(31));
        }
        // One that is over by the second look was one of the collector, for all that is known.
        Scene::new().turned().after(&collecting(900, 40)).assert_silent();
    }

    #[test]
    fn the_share_of_the_time_tells_how_bad_it_is() {
        let collected = |time, longest, observed| Collected {
            loop_id: Address(1),
            time: Duration::from_millis(time),
            longest: Duration::from_millis(longest),
            observed: Duration::from_millis(observed),
        };
        let severity = |time, longest, observed| {
            by_its_own_time(&collected(time, longest, observed)).map(|finding| finding.severity)
        };
        assert_eq!(severity(300, 40, 10_000), None);
        assert_eq!(severity(300, 140, 10_000), Some(Severity::Info));
        assert_eq!(severity(1_200, 40, 10_000), Some(Severity::Warning));
        assert_eq!(severity(1_200, 1_100, 60_000), Some(Severity::Warning));
        // A burst at the beginning of an observation is none.
        assert_eq!(severity(90, 90, 300), None);
    }
}
