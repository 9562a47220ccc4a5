//! `slow-callbacks`: callbacks block the loop again and again at one place.

use std::time::Duration;

use super::draft::Draft;
use super::loop_blocked::STARVED;
use super::rule::{About, Blames, Confirmed, Rule};
use super::words;
use crate::snapshot::{
    BlockingKind, Cause, Code, Evidence, Finding, Location, Role, Sentence, Severity, Snapshot,
    Sureness,
};
use crate::timeline::{PlaceTotals, time_between};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::SlowCallbacks,
    find: None,
    about: About::Loop,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Nothing,
    is: &[],
};

/// So many callbacks that block at one place are no accident.
const AGAIN_AND_AGAIN: u64 = 3;
/// A place where nothing has blocked for so long is not told any more.
const RECENT: Duration = Duration::from_secs(60);

/// The places where callbacks blocked often enough, in `observed`.
pub(super) fn find<'o>(
    places: &'o [PlaceTotals],
    now: &'o Snapshot,
    observed: Duration,
) -> impl Iterator<Item = Finding> + 'o {
    let is_recent = |place: &&PlaceTotals| time_between(place.last_at, now.taken_at) <= RECENT;
    let is_again = move |place: &&PlaceTotals| {
        // What is nowhere in particular is many things.
        place.file.is_some()
            && !matches!(place.kind, BlockingKind::Gc | BlockingKind::Starved)
            && place.count >= AGAIN_AND_AGAIN
            && is_recent(place)
    };
    let of_starved = |place: &&PlaceTotals| place.kind == BlockingKind::Starved;
    let starved = places.iter().filter(of_starved).find(is_recent);
    let starved = starved.and_then(|place| starved_again(place, observed));
    places.iter().filter(is_again).map(move |place| slow(place, observed)).chain(starved)
}

/// Whether a finding is about callbacks that had no processor.
pub(super) fn is_of_starved(finding: &Finding) -> bool {
    matches!(finding.cause, Some(Cause::Call { class: BlockingKind::Starved, .. }))
}

/// Callbacks that were long only because their thread was given no processor: no line of the
/// program is to blame.
fn starved_again(place: &PlaceTotals, observed: Duration) -> Option<Finding> {
    if place.count < AGAIN_AND_AGAIN {
        return None;
    }
    let title = Sentence::words("The loop's thread had no processor").then(format!(
        "{} times in {}, {} in all",
        place.count,
        words::span(observed),
        span_of_ms(place.total_ms),
    ));
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
        .advice(STARVED);
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
    let title = Sentence::name(&*place.description).then(format!("at {name}{line}")).then(format!(
        "blocked the loop {} times in {}, {} in all",
        place.count,
        words::span(observed),
        span_of_ms(place.total_ms),
    ));
    let longest_line = format!("the longest took {}", span_of_ms(longest));
    let mut lines = vec![Evidence::from("").at(Some(&at))];
    lines.extend(place.length.map(|length| {
        let (half, most) = (span_of_ms(length.p50_ms), span_of_ms(length.p99_ms));
        Evidence::from(format!("p50 {half}, p99 {most}"))
    }));
    lines.push(longest_line.into());
    lines.extend(share_of(place, observed));
    let draft = Draft::new(Code::SlowCallbacks, Severity::Warning, Sureness::Read, title)
        .at(Some(&at), None)
        .cause(Some(call(place)))
        .members(Role::Culprit, usize::try_from(place.count).unwrap_or(usize::MAX), Vec::new())
        .evidence(lines)
        .advice(format!(
            "Nothing else runs meanwhile: move the call at {name}{line} to a thread, or use an \
             asynchronous one; yield in long computations."
        ));
    draft.finding
}
