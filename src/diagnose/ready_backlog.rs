//! `ready-backlog`: many callbacks wait for their turn, and go on waiting.

use std::time::Duration;

use super::draft::{Draft, Drafts};
use super::rule::{About, Blames, Confirmed, Follows, Rule};
use super::{Context, words};
use crate::snapshot::{Age, Code, Loop, Sentence, Severity, Source, Sureness};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::ReadyBacklog,
    find: Some(find),
    about: About::Loop,
    blames: Blames::Nobody,
    follows: &[Follows::Loop, Follows::Quota],
    confirmed_by: Confirmed::Nothing,
    is: &[],
};

/// A queue shorter than this is done in some tens of milliseconds.
const LONG: u64 = 1000;
/// With one shorter than this it may be a single callback that keeps the loop.
const SOME: u64 = 50;
/// Timers that are so late are late for all who wait for them.
const LATE: Duration = Duration::from_secs(2);

fn find(context: &Context<'_>, out: &mut Drafts) {
    for event_loop in &context.now.loops {
        let is_late = event_loop.lag.is_some_and(|lag| lag >= LATE);
        let least = if is_late { SOME } else { LONG };
        let Some(ready) = event_loop.ready.filter(|ready| *ready >= least) else { continue };
        if context.gap.is_none() {
            out.want_second_look();
            continue;
        }
        let Some(earlier) = context.looks.loop_before(event_loop.id) else { continue };
        if is_late && stays_late(earlier, event_loop) {
            out.add(report(context, event_loop, earlier.ready.unwrap_or_default(), ready));
            continue;
        }
        // One that was halved meanwhile is a burst that is worked off.
        let before = earlier.ready.filter(|before| *before >= LONG && ready > *before / 2);
        let is_long = |before: &u64| ready.min(*before) >= long(earlier, event_loop);
        let before = before.filter(|_| !are_bursts(earlier, event_loop)).filter(is_long);
        if let Some(before) = before {
            out.add(report(context, event_loop, before, ready));
        }
    }
}

/// Whether the timers of a loop stay late for the many callbacks that it runs one after the other,
/// even if its thread had all of the processor that it waits for.
///
/// One long callback makes timers as late, and a queue that is worked off then: so the time has to be
/// that of callbacks which take as long as those in between took.
fn stays_late(before: &Loop, now: &Loop) -> bool {
    let turn = |it: &Loop| {
        let turn = it.iteration.as_ref()?;
        Some((turn.elapsed?, u32::try_from(turn.callbacks_run?).ok()?))
    };
    let Some(((elapsed_before, run_before), (elapsed, run))) = turn(before).zip(turn(now)) else {
        return false;
    };
    // In another turn of the loop there are fewer.
    let more = run.checked_sub(run_before).filter(|more| *more > 0);
    let between = elapsed.checked_sub(elapsed_before);
    let Some(each) = between.zip(more).map(|(between, more)| between / more) else { return false };
    let late = before.lag.min(now.lag).unwrap_or_default().min(each.saturating_mul(run));
    let [ran, waited] = ran_and_waited(before, now);
    let own = late.as_secs_f64() * ran.as_secs_f64() / (ran + waited).as_secs_f64().max(1e-9);
    before.ready >= Some(SOME) && own >= LATE.as_secs_f64()
}

/// For how long the loop's thread has run since, and waited for a processor.
fn ran_and_waited(before: &Loop, now: &Loop) -> [Duration; 2] {
    let Some((before, now)) = before.processor().zip(now.processor()) else {
        return [Duration::from_secs(1), Duration::ZERO];
    };
    [now.ran.saturating_sub(before.ran), now.waited.saturating_sub(before.waited)]
}

/// Whether what was seen is two bursts with rest between them: before what is in line now the loop had
/// nothing to do. Test: `healthy::herd`.
fn are_bursts(before: &Loop, now: &Loop) -> bool {
    [before, now].iter().any(|it| it.polls_without_waiting == Some(false))
}

/// From which length on a queue is long: in a thread that has to wait for its processor a burst that
/// takes a moment takes long.
fn long(before: &Loop, now: &Loop) -> u64 {
    let [ran, waited] =
        ran_and_waited(before, now).map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    LONG.saturating_add(LONG.saturating_mul(waited) / ran.max(1))
}

fn report(context: &Context<'_>, event_loop: &Loop, before: u64, ready: u64) -> Draft {
    let late = event_loop.lag.map(|lag| Age::at_least(lag, Source::Timer));
    let number = words::count(usize::try_from(ready).unwrap_or(usize::MAX), "callback");
    let title =
        Sentence::words("The loop").verb("can't keep up:", "couldn't keep up:").then(number);
    let title = title.verb("queue", "queued");
    let title = match late {
        Some(_) => title.then(", the oldest for").lasting(late),
        None => title,
    };
    let mut lines = Vec::new();
    if let Some(gap) = context.gap {
        lines.push(format!("{before}, then {ready} after {}", words::span(gap)));
    }
    lines.extend(event_loop.lag.map(|lag| format!("a timer is overdue by {}", words::span(lag))));
    let first = event_loop.ready_handles.iter().take(words::MAX_NAMED);
    lines.extend(first.map(|handle| format!("queued: {}", words::quoted(handle))));
    Draft::new(Code::ReadyBacklog, Severity::Warning, Sureness::Read, title)
        .on_loop(Some(event_loop.id))
        .affects(usize::try_from(ready).unwrap_or(usize::MAX))
        .evidence(lines)
        .advice(
            "More is started than the loop can do: admit fewer at a time (a semaphore, a bounded \
             queue), and take what is slow off the loop's thread.",
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::Scene;
    use crate::snapshot::{BlockingKind, Processor};

    fn with_ready(ready: u64) -> Scene {
        Scene::new().and(|snapshot| {
            snapshot.loops[0].state = Some(crate::snapshot::LoopState::Running);
            snapshot.loops[0].ready = Some(ready);
        })
    }

    #[test]
    fn a_queue_that_stays_long() {
        let first = with_ready(2000).before();
        assert!(first.once().findings.is_empty() && first.once().wants_second_look);
        let diagnosis = with_ready(2600).turned().after(&first);
        assert_eq!(diagnosis.only().severity, Severity::Warning);
    }

    #[test]
    fn timers_that_stay_late_while_callbacks_come_and_go() {
        let late = |ready: u64, run: u64, ms: u64, ran: u64| {
            with_ready(ready).in_callback(run, ms).and(|it| {
                it.loops[0].lag = Some(Duration::from_millis(ms));
                let [at, ran, waited] = [100 * run, ran * run, (100 - ran) * run];
                let [at, ran, waited] = [at, ran, waited].map(Duration::from_millis);
                it.loops[0].grounds.get_or_insert_default().processor =
                    Some(Processor { at, ran, waited, sleeps: None });
            })
        };
        // Of so many callbacks one takes 4 ms.
        let is_told = |ready, run, ms, ran| {
            let before = late(ready, run, ms, ran).before();
            let codes = late(ready - 10, run + 50, ms + 200, ran).turned().after(&before).codes();
            codes.contains(&Code::ReadyBacklog)
        };
        assert!(is_told(700, 1000, 10_000, 60));
        // A long one was before them, there are few, they are hardly late, or it has no processor.
        assert!(!is_told(700, 100, 10_000, 60));
        assert!(!is_told(40, 1000, 10_000, 60));
        assert!(!is_told(700, 1000, 1_000, 60));
        assert!(!is_told(700, 1000, 10_000, 15));
        // One that keeps it.
        let before = late(700, 1000, 10_000, 60).before();
        let codes = late(700, 1000, 10_200, 60).turned().after(&before).codes();
        assert!(!codes.contains(&Code::ReadyBacklog), "{codes:?}");
    }

    #[test]
    fn a_burst_is_healthy() {
        with_ready(300).once().assert_silent();
        with_ready(10).turned().after(&with_ready(20_000).before()).assert_silent();
        with_ready(8000).turned().after(&with_ready(20_000).before()).assert_silent();
        with_ready(20_000).turned().after(&with_ready(10).before()).assert_silent();
    }

    #[test]
    fn two_bursts_with_rest_between_them_are_healthy() {
        let polled =
            |at_once| with_ready(2000).and(|it| it.loops[0].polls_without_waiting = Some(at_once));
        assert_eq!(
            polled(true).turned().after(&polled(true).before()).codes(),
            [Code::ReadyBacklog]
        );
        polled(false).turned().after(&polled(true).before()).assert_silent();
        polled(true).turned().after(&polled(false).before()).assert_silent();
    }

    #[test]
    fn who_has_to_wait_for_a_processor_may_have_a_longer_queue() {
        let ran = |ready: u64, ran: u64, waited: u64| {
            with_ready(ready).and(|it| {
                let [at, ran, waited] = [ran + waited, ran, waited].map(Duration::from_millis);
                it.loops[0].grounds.get_or_insert_default().processor =
                    Some(Processor { at, ran, waited, sleeps: None });
            })
        };
        let codes = |ready, more: u64, waited: u64| {
            ran(ready, 500 + more, waited).turned().after(&ran(ready, 500, 0).before()).codes()
        };
        assert_eq!(codes(2000, 200, 10), [Code::ReadyBacklog]);
        assert_eq!(codes(2000, 80, 120), []);
        assert_eq!(codes(8000, 80, 120), [Code::ReadyBacklog]);
        assert_eq!(codes(8000, 0, 120), []);
    }

    #[test]
    fn behind_a_blocked_loop_it_follows_from_that() {
        let scene = with_ready(2000).in_callback(1, 3000).blocked_by(BlockingKind::Sleep, |_| ());
        let diagnosis = scene.twice();
        assert_eq!(diagnosis.codes(), [Code::LoopBlocked, Code::ReadyBacklog]);
        assert_eq!(diagnosis.cause_of(&diagnosis.findings[1]), Some(Code::LoopBlocked));
    }
}
