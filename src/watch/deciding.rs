//! Samples that are judged together: as many as it takes to tell a hang from health, or as there
//! is time for.
//!
//! Two samples show what stands still, not for how long it will. What may be a hang is a suspect
//! then. Who waits takes more samples: a suspect that moves is cleared, and one that stands until
//! it is old enough makes a warning.

use std::time::{Duration, Instant};

use crate::diagnose::{Diagnosis, Is, diagnose, rule};
use crate::error::{Error, Result};
use crate::explain::{Options, Search};
use crate::memory::Address;
use crate::session::Inspector;
use crate::snapshot::BETWEEN_LOOKS;
use crate::snapshot::{Code, Finding, Loop, Severity, Snapshot, Undecided};
use crate::timeline::{Lives, Looks};

/// The longest sleep in one piece, so that an end that is asked for comes soon.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// How often a snapshot is taken in which a loop may run.
const MAX_TRIES: usize = 6;
/// The time between two of them.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
/// A suspect that was missing for so long is gone. In one comparison it may be missing because its
/// loop was busy with something else.
const LASTING: Duration = Duration::from_millis(1500);

/// Takes a snapshot and draws conclusions from it, with a second look where the first one saw
/// something that only a second can tell from health, at most `looks` of them.
///
/// # Errors
/// As [`Inspector::snapshot`].
pub fn look(inspector: &mut Inspector, options: &Options, looks: u8) -> Result<Snapshot> {
    look_and_wait(inspector, options, looks, Duration::ZERO, &mut |_| true)
}

/// The same, and goes on while something is undecided, for `wait` at most. `goes_on` is told
/// several times a second how long that has taken so far; when it says no, what is known by
/// then is given.
///
/// # Errors
/// As [`Inspector::snapshot`].
pub fn look_and_wait(
    inspector: &mut Inspector,
    options: &Options,
    looks: u8,
    wait: Duration,
    goes_on: &mut dyn FnMut(Duration) -> bool,
) -> Result<Snapshot> {
    let mut judged = judge(inspector, options, looks)?;
    let mut suspects = Suspects::of(&judged);
    // Of a saved target there are as many looks as were taken.
    let wait = match inspector.is_live() {
        true => wait,
        false if looks > 1 => Duration::MAX,
        false => Duration::ZERO,
    };
    let until = suspects.since.saturating_add(wait);
    let can_wait = !wait.is_zero();
    // What a heap is searched for once is not searched for again and again.
    let options = &Options { heap: options.heap.min(Search::References), ..options.clone() };
    while can_wait
        && inspector.has_next_look()
        && judged.now.during.began < until
        && suspects.are_open(&judged)
    {
        // No more than half of the time is spent on reading.
        let pause = BETWEEN_LOOKS.max(judged.now.elapsed);
        let pause = pause.min(until.saturating_sub(inspector.moment()));
        if !wait_for(inspector, pause, suspects.since, goes_on) {
            break;
        }
        let next = match inspector.snapshot(options) {
            Ok(next) => next,
            // It has ended: what was seen of it stays true.
            Err(
                Error::TargetGone { .. } | Error::NotInitialized { .. } | Error::TimedOut { .. },
            ) => break,
            Err(error) => return Err(error),
        };
        // What is missing in it has not ended.
        if inspector.timed_out().is_some() {
            break;
        }
        suspects.lives.take(&next);
        judged = judged.followed_by(next, &suspects.lives);
        suspects.note(&judged);
    }
    let undecided = suspects.undecided(&judged);
    Ok(judged.concluded(undecided))
}

/// A snapshot in which a loop runs, if one does soon: between two calls of `asyncio.run` there
/// is none for a moment. Test: `healthy::restarting`.
fn sample(inspector: &mut Inspector, options: &Options) -> Result<Snapshot> {
    let mut tries = 0;
    loop {
        let snapshot = inspector.snapshot(options)?;
        tries += 1;
        if tries == MAX_TRIES || snapshot.has_loop_to_judge() || !inspector.has_next_look() {
            return Ok(snapshot);
        }
        if inspector.is_live() {
            std::thread::sleep(BETWEEN_TRIES);
        }
    }
}

fn judge(inspector: &mut Inspector, options: &Options, looks: u8) -> Result<Judged> {
    // Who refers to what is proven of the moment of the last look.
    let is_last = looks < 2;
    let heap = if is_last { options.heap } else { options.heap.min(Search::Objects) };
    let first = sample(inspector, &Options { heap, ..options.clone() })?;
    let raw = diagnose(Looks::one(&first));
    let mut diagnosis = raw.clone().of_one_look(&first);
    // Since when a loop with a clock of its own runs a callback, only two can tell.
    diagnosis.wants_second_look |= first.loops.iter().any(Loop::is_of_unknown_age);
    diagnosis.wants_second_look |= options.heap >= Search::References;
    let can_read = inspector.has_next_look() && inspector.timed_out().is_none();
    if !diagnosis.wants_second_look || looks < 2 || !can_read {
        return Ok(Judged { before: None, now: first, raw, diagnosis, taken: 1 });
    }
    let mut turns = inspector.watch_turns(&first, BETWEEN_LOOKS);
    let mut second = sample(inspector, options)?;
    if inspector.timed_out().is_some() {
        return Ok(Judged { before: None, now: first, raw, diagnosis, taken: 1 });
    }
    for event_loop in &mut second.loops {
        event_loop.grounds.get_or_insert_default().turns = turns.remove(&event_loop.id);
    }
    let both = Looks { first: Some(&first), last: &second, lives: None };
    let diagnosis = diagnose(both).confirmed_by(&raw, both);
    let raw = diagnose(Looks::one(&second));
    Ok(Judged { before: Some(first), now: second, raw, diagnosis, taken: 2 })
}

/// False when it is not to go on.
fn wait_for(
    inspector: &Inspector,
    pause: Duration,
    since: Duration,
    goes_on: &mut dyn FnMut(Duration) -> bool,
) -> bool {
    if !inspector.is_live() {
        return true;
    }
    let until = Instant::now() + pause;
    loop {
        if !goes_on(inspector.moment().saturating_sub(since)) {
            return false;
        }
        // Nothing is read meanwhile.
        inspector.restart_time_limit();
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(LONGEST_SLEEP));
    }
}

/// The last samples of a target with what they say.
struct Judged {
    before: Option<Snapshot>,
    now: Snapshot,
    /// What the last one says alone.
    raw: Diagnosis,
    diagnosis: Diagnosis,
    taken: u8,
}

impl Judged {
    fn followed_by(mut self, mut next: Snapshot, lives: &Lives) -> Self {
        next.heap = self.now.heap.take();
        let looks = Looks { first: Some(&self.now), last: &next, lives: Some(lives) };
        let diagnosis = diagnose(looks).confirmed_by(&self.raw, looks);
        let raw = diagnose(Looks::one(&next));
        let taken = self.taken.saturating_add(1);
        Self { before: Some(self.now), now: next, raw, diagnosis, taken }
    }

    fn concluded(self, undecided: Vec<Undecided>) -> Snapshot {
        let mut snapshot = self.now;
        snapshot.findings = Some(self.diagnosis.findings);
        snapshot.looks = Some(self.taken);
        snapshot.conclude(undecided);
        snapshot
    }

    fn has_trouble(&self) -> bool {
        self.diagnosis.findings.iter().any(|finding| finding.severity > Severity::Info)
    }

    fn wants_second_look(&self) -> bool {
        self.taken == 1 && self.diagnosis.wants_second_look
    }
}

/// What may be a hang.
struct Suspect {
    code: Code,
    /// The task to blame.
    culprit: Option<Address>,
    undecided: Undecided,
    /// When the sample was begun in which it was last seen.
    seen_at: Duration,
}

impl Suspect {
    fn of(finding: &Finding, now: &Snapshot) -> Option<Self> {
        Some(Self {
            code: finding.code,
            culprit: finding.tasks.first().copied(),
            undecided: Undecided::of(finding)?,
            seen_at: now.during.began,
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        self.code == other.code && self.culprit == other.culprit
    }
}

/// What may be a hang, followed from the first sample on. What comes up later is too young to be
/// judged by the end, and in a busy service there is always something.
struct Suspects {
    /// When the first sample was done.
    since: Duration,
    lives: Lives,
    all: Vec<Suspect>,
    is_compared: bool,
}

impl Suspects {
    fn of(judged: &Judged) -> Self {
        let mut lives = Lives::default();
        for snapshot in judged.before.iter().chain([&judged.now]) {
            lives.take(snapshot);
        }
        let since = judged.before.as_ref().unwrap_or(&judged.now).during.ended;
        let mut suspects = Self { since, lives, all: Vec::new(), is_compared: false };
        if judged.before.is_some() {
            suspects.note(judged);
        }
        suspects
    }

    /// Whether more samples may tell more.
    fn are_open(&self, judged: &Judged) -> bool {
        !judged.has_trouble() && (!self.all.is_empty() || judged.wants_second_look())
    }

    /// Takes in what two samples say: from the first two the suspects, from others what became of
    /// these.
    fn note(&mut self, judged: &Judged) {
        let now = &judged.now;
        let seen = judged.diagnosis.findings.iter().filter_map(|it| Suspect::of(it, now));
        if !self.is_compared {
            self.is_compared = true;
            self.all = seen.collect();
            return;
        }
        for suspect in seen {
            if let Some(known) = self.all.iter_mut().find(|known| known.is_same(&suspect)) {
                *known = suspect;
            }
        }
        let (lives, since) = (&self.lives, self.since);
        let has_moved = |suspect: &Suspect| {
            // A cancelled task may well move within its clean-up.
            let may_move = rule(suspect.code).is(Is::Passing);
            let stands = |id| {
                let stays_since = lives.marks(id).and_then(|marks| marks.stays_since);
                stays_since.is_some_and(|stays_since| stays_since <= since)
            };
            !may_move && suspect.culprit.is_some_and(|id| !stands(id))
        };
        let is_told = |suspect: &Suspect| {
            judged.diagnosis.findings.iter().any(|finding| {
                let culprit = finding.tasks.first().copied();
                finding.severity > Severity::Info
                    && (finding.code, culprit) == (suspect.code, suspect.culprit)
            })
        };
        self.all.retain(|suspect| {
            let missing = now.during.began.saturating_sub(suspect.seen_at);
            missing < LASTING && !has_moved(suspect) && !is_told(suspect)
        });
    }

    /// What is not decided yet.
    fn undecided(self, judged: &Judged) -> Vec<Undecided> {
        if judged.wants_second_look() {
            return vec![Undecided::one_sample()];
        }
        let seen_for = judged.now.during.began.saturating_sub(self.since);
        let all = self.all.into_iter().map(|suspect| suspect.undecided);
        all.map(|it| Undecided { seen_for: it.seen_for.max(Some(seen_for)), ..it }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, task};
    use crate::snapshot::{Doubt, Verdict};

    /// Two tasks that wait for a lock whose holder reads from a socket, on a loop that goes on.
    fn convoy() -> Vec<Builder> {
        vec![task(1).reads_socket(), task(2).at_lock(900, &[1]), task(3).at_lock(900, &[1])]
    }

    /// What is said after samples 200 ms apart, and after how many.
    fn decided(samples: impl IntoIterator<Item = Vec<Builder>>) -> (Snapshot, u8) {
        let mut snapshots = (0..).zip(samples).map(|(number, tasks)| {
            let mut snapshot = Scene::new().with(tasks).snapshot;
            snapshot.later(BETWEEN_LOOKS * number);
            snapshot.loops[0].iteration_id = Some(u64::from(number));
            snapshot
        });
        let (first, second) = (snapshots.next().unwrap(), snapshots.next().unwrap());
        let raw = diagnose(Looks::one(&second));
        let both = Looks { first: Some(&first), last: &second, lives: None };
        let diagnosis = diagnose(both).confirmed_by(&diagnose(Looks::one(&first)), both);
        let mut judged = Judged { before: Some(first), now: second, raw, diagnosis, taken: 2 };
        let mut suspects = Suspects::of(&judged);
        for next in snapshots {
            if !suspects.are_open(&judged) {
                break;
            }
            suspects.lives.take(&next);
            judged = judged.followed_by(next, &suspects.lives);
            suspects.note(&judged);
        }
        let (undecided, taken) = (suspects.undecided(&judged), judged.taken);
        (judged.concluded(undecided), taken)
    }

    #[test]
    fn what_stands_still_is_undecided_until_it_is_old_enough() {
        let (twice, _) = decided((0..2).map(|_| convoy()));
        assert_eq!(twice.verdict, Some(Verdict::Undecided));
        let [reason] = &twice.undecided[..] else { panic!("{:#?}", twice.undecided) };
        assert_eq!((reason.reason, reason.code), (Doubt::TooSoon, Some(Code::LockConvoy)));
        assert_eq!(reason.title, "2 tasks wait for self.lock_900");
        assert_eq!(reason.seen_for, Some(BETWEEN_LOOKS));
        let (longer, _) = decided((0..25).map(|_| convoy()));
        assert_eq!(longer.verdict, Some(Verdict::Undecided));
        assert_eq!(longer.undecided[0].seen_for, Some(Duration::from_millis(4800)));
        let (old, taken) = decided((0..99).map(|_| convoy()));
        assert_eq!((old.verdict, taken), (Some(Verdict::Findings), 26));
        assert!(old.undecided.is_empty());
    }

    #[test]
    fn a_suspect_that_moves_is_cleared_whoever_comes_next() {
        let moves = (0..99).map(|number| {
            let mut tasks = convoy();
            tasks[0].task.fut_waiter = Some(Address(0x900 + number / 4));
            tasks
        });
        let (cleared, taken) = decided(moves);
        assert_eq!((cleared.verdict, taken), (Some(Verdict::Ok), 5));
    }

    #[test]
    fn a_suspect_that_cannot_be_judged_for_a_moment_is_none_the_less_one() {
        // At every fourth sample the tasks do not hold still while they are read.
        let samples = (0..30).map(|number| {
            let mut tasks = convoy();
            for builder in &mut tasks {
                builder.task.is_torn = number % 4 == 3;
            }
            tasks
        });
        assert_eq!(decided(samples).0.verdict, Some(Verdict::Findings));
        // One that has gone has gone.
        let gone = (0..99).map(|number| if number < 4 { convoy() } else { Vec::new() });
        assert_eq!(decided(gone).0.verdict, Some(Verdict::Ok));
    }
}
