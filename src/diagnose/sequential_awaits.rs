//! `sequential-awaits`: one task makes many calls one after the other that could be made together.

use std::time::Duration;

use super::draft::Draft;
use super::rule::{About, Blames, Confirmed, Rule};
use super::words;
use crate::snapshot::{
    Age, Code, Evidence, Finding, Role, Sentence, Severity, Snapshot, Source, Sureness, Task,
    WaitKind,
};
use crate::timeline::{Sequence, Sequences};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::SequentialAwaits,
    find: None,
    about: About::Tasks,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Nothing,
    is: &[],
};

/// So many findings of this kind are told; there are no more tasks of one shape among them.
const MAX_FOUND: usize = 20;
/// So many calls at a time are set beside one.
const AT_A_TIME: u32 = 10;
/// What takes less is not worth it.
const LEAST_SAVED: Duration = Duration::from_secs(1);

/// The tasks that do so now, those with most before them first.
pub fn find(sequences: &Sequences, now: &Snapshot) -> Vec<Finding> {
    let mut all: Vec<(Sequence, &Task)> = sequences
        .all()
        .into_iter()
        .filter_map(|it| {
            let task = now.tasks.iter().find(|task| task.id == it.task)?;
            Some((it, task))
        })
        .collect();
    all.sort_by_key(|(it, _)| std::cmp::Reverse(it.left));
    all.iter().take(MAX_FOUND).map(|(it, task)| finding(it, task)).collect()
}

fn finding(it: &Sequence, task: &Task) -> Finding {
    let mean = mean(it);
    let age = Age::at_least(it.time, Source::Samples);
    let callee = it.callee.as_deref().map(words::function);
    let title = Sentence::name(words::work(task)).verb("awaits", "awaited");
    let title = match callee {
        Some(callee) => title.then("calls of").and(callee),
        None => title.then("calls"),
    };
    let title = title
        .then("one after the other")
        .maybe(words::at(Some(&it.location)))
        .so(Sentence::words(progress(it)));
    let calls = words::calls(it.calls, it.is_exact);
    let loop_line = it.loop_line.map(|line| format!("in the for loop of line {line},"));
    let looks = it.samples + it.elsewhere;
    let lines = [
        Evidence::from(loop_line.unwrap_or_default()).at(Some(&it.location)),
        format!("waiting there in {} of {looks} samples: for {}", it.samples, kinds(it)).into(),
        format!("{}: {calls} in {} of watching, {mean}", progress(it), words::span(it.time)).into(),
        gain(it).into(),
        words::wait_line(task),
    ];
    let mut draft = Draft::new(Code::SequentialAwaits, Severity::Info, Sureness::Guessed, title)
        .on_loop(task.loop_id)
        .at(Some(&it.location), None)
        .since(Some(age))
        .role(Role::Culprit, [task])
        .evidence(lines)
        .advice(
            "If no call needs what another one gives, make several at a time: asyncio.gather or a \
             TaskGroup with a semaphore around each call, a few workers at one queue, or one call \
             for many things.",
        );
    // That it awaits them so is no guess: that it need not is one.
    draft.finding.title.is_guess = false;
    draft.finding
}

/// `240 of 500 done`; where that is not known, how many were seen.
fn progress(it: &Sequence) -> String {
    match (it.done, it.left) {
        (Some(done), Some(left)) => format!("{done} of {} done", done + left + 1),
        (_, Some(left)) => {
            format!("{}, {} left", words::calls(it.calls, it.is_exact), left + 1)
        }
        _ => words::calls(it.calls, it.is_exact),
    }
}

/// `120 ms each`.
fn mean(it: &Sequence) -> String {
    let most = if it.is_exact { "" } else { "at most " };
    format!("{most}{} each", short_span(it.mean()))
}

fn short_span(time: Duration) -> String {
    if time < Duration::from_millis(1) { "under 1 ms".to_owned() } else { words::span(time) }
}

/// What it would save.
fn gain(it: &Sequence) -> String {
    let left = it.left.map(|left| left + 1);
    let rest = left.map(|left| it.mean() * u32::try_from(left).unwrap_or(u32::MAX));
    match (left, rest.filter(|rest| *rest >= LEAST_SAVED)) {
        (Some(left), Some(rest)) => format!(
            "the {left} that are left take {} one after the other, about {} ten at a time",
            words::span(rest),
            short_span(rest / AT_A_TIME),
        ),
        _ => format!(
            "those of that time took {} one after the other, about {} ten at a time",
            words::span(it.time),
            short_span(it.time / AT_A_TIME),
        ),
    }
}

/// What it waited for, the most frequent first.
fn kinds(it: &Sequence) -> String {
    let mut kinds: Vec<_> = it.kinds.iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let all: Vec<_> = kinds.into_iter().map(|(kind, count)| in_words(*kind, *count)).collect();
    all.join(", ")
}

fn in_words(kind: WaitKind, count: u32) -> String {
    let thing = match kind {
        WaitKind::Socket => "a socket",
        WaitKind::Executor => "a call in a thread pool",
        WaitKind::Subprocess => "a child process",
        WaitKind::Thread => "another thread",
        WaitKind::Task => "another task",
        _ => "a future",
    };
    if count == 1 { thing.to_owned() } else { format!("{thing} ({count} times)") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, frame, library_frame, task};
    use crate::memory::Address;
    use crate::snapshot::Looping;

    /// In turn `done` of `of`, in a call of `fetch`.
    fn crawler(number: u64, done: u64, of: u64) -> Builder {
        task(number).reads_socket().and(|task| {
            task.frames = vec![frame("crawl", 31), frame("Client.fetch", 90)];
            task.frames.push(library_frame("StreamReader.read"));
            task.fut_waiter = Some(Address(0x5000 + done));
            task.grounds.get_or_insert_default().looping = Some(Looping {
                frame: 0,
                line: Some(30),
                site: (Address(0x700), 20),
                done: Some(done),
                left: Some(of - done - 1),
                turn: done,
                is_shared: false,
            });
        })
    }

    /// What is found at the end of looks a second apart.
    fn found(looks: impl IntoIterator<Item = Vec<Builder>>) -> Vec<Finding> {
        let mut sequences = Sequences::default();
        let mut last = Scene::new();
        for (second, tasks) in (0..).zip(looks) {
            let mut scene = Scene::new().with(tasks);
            scene.snapshot.later(Duration::from_secs(second));
            sequences.take(&scene.snapshot);
            last = scene;
        }
        find(&sequences, &last.snapshot)
    }

    #[test]
    fn many_calls_one_after_the_other() {
        let all = found((0..=6).map(|second| vec![crawler(1, 10 + 8 * second, 500)]));
        let [finding] = &all[..] else { panic!("{all:#?}") };
        assert_eq!(
            finding.title.to_string(),
            "t1 awaits calls of Client.fetch one after the other at app.py:31: 58 of 500 done"
        );
        assert_eq!(
            finding.facts(),
            [
                "in the for loop of line 30, at /srv/app.py:31 in crawl",
                "waiting there in 7 of 7 samples: for a socket (7 times)",
                "58 of 500 done: 48 calls in 6.00 s of watching, 125 ms each",
                "the 442 that are left take 55.2 s one after the other, about 5.52 s ten at a time",
                "\"t1\" waits for read from tcp 10.0.0.5:5432 at /srv/app.py:90 in Client.fetch",
            ]
        );
        assert_eq!((finding.severity, finding.sureness), (Severity::Info, Sureness::Guessed));
    }

    #[test]
    fn calls_that_are_not_counted_by_an_iterator() {
        let all = found((0..=12).map(|second| {
            vec![crawler(1, second, 500).and(|task| {
                let looping = task.grounds.as_mut().unwrap().looping.as_mut().unwrap();
                (looping.done, looping.left) = (None, None);
            })]
        }));
        let [finding] = &all[..] else { panic!("{all:#?}") };
        assert!(finding.title.to_string().ends_with(": ≥ 12 calls"), "{finding:#?}");
        let gain = "those of that time took 12.0 s one after the other, about 1.20 s ten at a time";
        assert_eq!(finding.facts()[3], gain);
    }

    #[test]
    fn what_is_no_long_series_of_calls() {
        let series = |change: fn(u64, Builder) -> Vec<Builder>| {
            found((0..=8).map(|second| change(second, crawler(1, 5 * second, 500))))
        };
        assert_eq!(series(|_, one| vec![one]).len(), 1);
        // Another task is in the same loop.
        let shared = |_, one: Builder| {
            vec![one.and(|task| {
                task.grounds.as_mut().unwrap().looping.as_mut().unwrap().is_shared = true;
            })]
        };
        assert!(series(shared).is_empty());
        // Every third time it is elsewhere.
        let now_and_then = |second, one: Builder| {
            vec![if second % 3 == 1 {
                one.sleeps(500).and(|task| task.grounds.get_or_insert_default().looping = None)
            } else {
                one
            }]
        };
        assert!(series(now_and_then).is_empty());
        // It has ended.
        assert!(series(|second, one| if second < 8 { vec![one] } else { vec![] }).is_empty());
        // It reads one line after the other from one connection.
        let lines = |_, one: Builder| {
            vec![one.and(|task| task.frames[1] = frame("Connection.readline", 9))]
        };
        assert!(series(lines).is_empty());
        // What the loop awaits itself may have begun before.
        assert!(series(|_, one| vec![one.and(|task| task.frames.truncate(1))]).is_empty());
        // It stands still.
        let still = |_, one: Builder| {
            vec![one.and(|task| {
                task.grounds.as_mut().unwrap().looping.as_mut().unwrap().done = Some(3);
            })]
        };
        assert!(series(still).is_empty());
        // Its calls run in tasks of their own, several at a time.
        let ahead = |_, one: Builder| {
            let child = |number| task(number).reads_socket();
            vec![one.awaits(&[2]), child(2), child(3)]
        };
        assert!(series(ahead).is_empty());
        let one_at_a_time = |_, one: Builder| {
            vec![one.awaits(&[2]).and(|task| task.coroutine = Some("crawl".into())), task(2)]
        };
        assert_eq!(series(one_at_a_time).len(), 1);
    }
}
