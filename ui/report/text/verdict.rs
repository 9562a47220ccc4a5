//! What a snapshot comes to, in one sentence.

use std::fmt::Write as _;
use std::time::Duration;

use aiospy::snapshot::{
    Answer, Child, Depth, Level, Loop, LoopState, Snapshot, Undecided, Verdict,
};

use super::words;
use crate::io::page::{Style, clean, fit};
use crate::io::trouble::Trouble;

/// How many processes are named.
const MAX_NAMED: usize = 12;
/// For so long a busy service does not stand still.
const LONG_IDLE: Duration = Duration::from_secs(1);
/// How many columns of a command line are shown.
const MAX_COMMAND: usize = 60;

/// The look and the sign of a verdict.
pub fn sign(level: Level) -> (Style, &'static str) {
    match level {
        Level::Critical => (Style::Alarm, "!! "),
        Level::Warning => (Style::Notice, "!  "),
        Level::Undecided => (Style::Notice, "?  "),
        Level::NotJudged => (Style::Notice, "x  "),
        Level::Allowed => (Style::Active, "i  "),
        Level::Ok => (Style::Active, "ok "),
    }
}

/// What a snapshot comes to, in at most so many letters if that can be.
pub fn said(snapshot: &Snapshot, answer: &Answer, room: usize) -> String {
    not_judged(snapshot, answer).map_or_else(|| answer.within(room), |trouble| trouble.cause)
}

/// That there is no loop to judge, with what to do instead.
pub fn not_judged(snapshot: &Snapshot, answer: &Answer) -> Option<Trouble> {
    nothing_to_judge(snapshot).filter(|_| answer.level == Level::NotJudged)
}

/// Why it cannot be said that all is well, and what decides it: `100 tasks wait for self.lock (seen
/// for 203 ms); --wait 5s decides`. Nothing where that can be said, or where something was found.
pub fn undecided(snapshot: &Snapshot) -> Option<String> {
    if snapshot.verdict != Some(Verdict::Undecided) {
        return None;
    }
    let mut doubts = snapshot.doubts();
    let first = doubts.next()?;
    let others = doubts.count();
    let mut sentence = first.title.clone();
    if let Some(seen_for) = first.seen_for {
        let _ = write!(sentence, " (seen for {})", words::duration(seen_for));
    }
    if others > 0 {
        let _ = write!(sentence, ", and {} more", words::count(others));
    }
    if let Some(wait) = wait(snapshot) {
        let _ = write!(sentence, "; --wait {}s decides", wait.as_secs());
    }
    Some(sentence)
}

/// How long to wait for what is undecided, where that helps: what was written once does not go on.
pub fn wait(snapshot: &Snapshot) -> Option<Duration> {
    let waits = snapshot.doubts().filter_map(Undecided::wait);
    waits.max().filter(|_| snapshot.depth >= Depth::Evidence)
}

/// What was judged, and since when none of it has moved: `23 tasks, 1 loop; no task has run for
/// 7.85 s`. A document that has only the tasks that findings name does not tell.
pub fn judged(snapshot: &Snapshot) -> Option<String> {
    if snapshot.threads.is_empty() {
        return None;
    }
    let tasks = words::counted(snapshot.tasks.len(), "task");
    let mut judged = format!("{tasks}, {}", words::counted(snapshot.loops.len(), "loop"));
    if let Some(idle_for) = idle_for(snapshot) {
        let _ = write!(judged, "; no task has run for {}", words::duration(idle_for));
    }
    Some(judged)
}

/// For how long no task has run, where that is long for a service that is busy.
pub fn idle_for(snapshot: &Snapshot) -> Option<Duration> {
    let loops = snapshot.loops.iter().filter(|known| known.may_run());
    let idle_for = loops.map(|known| known.idle_for).min().flatten();
    idle_for.filter(|it| *it >= LONG_IDLE)
}

/// That there is no event loop a verdict could rest on, and whom to ask instead.
pub fn nothing_to_judge(snapshot: &Snapshot) -> Option<Trouble> {
    if snapshot.has_loop_to_judge() {
        return None;
    }
    let pid = snapshot.process.pid;
    let is_inherited = |state| state == Some(LoopState::Inherited);
    let cause = match &snapshot.loops[..] {
        [] => format!("no event loop to judge: process {pid} has none"),
        loops if loops.iter().all(|known| is_inherited(known.state)) => {
            format!("no event loop to judge: process {pid} only inherited its parent's by fork")
        }
        loops if loops.iter().any(Loop::may_run) => {
            format!(
                "no event loop to judge: that of process {pid} only serves gunicorn's control socket"
            )
        }
        _ => format!("no event loop to judge: no loop of process {pid} is running"),
    };
    let remedy = with_loops(&snapshot.children)
        .unwrap_or_else(|| format!("aiospy dump --threads {pid}, which shows what its threads do"));
    Some(Trouble::new(cause, remedy))
}

/// Those of the processes below one that run event loops, as a remedy; those that may, where none is
/// known to.
pub fn with_loops(children: &[Child]) -> Option<String> {
    let those = |has_loops: Option<bool>| -> Vec<&Child> {
        children.iter().filter(|child| child.has_loops == has_loops).collect()
    };
    let with_loops = those(Some(true));
    if let [child] = with_loops[..] {
        let command = clean(&child.command);
        let command = fit(&command, MAX_COMMAND);
        return Some(format!(
            "process {} below it, which runs an event loop: {command}",
            child.pid
        ));
    }
    if let Some(names) = names(&with_loops) {
        return Some(format!("the processes below it that run event loops: {names}"));
    }
    // That none runs one is not known.
    let names = names(&those(None))?;
    Some(format!("aiospy doctor PID, for the processes below it that could not be read: {names}"))
}

fn names(children: &[&Child]) -> Option<String> {
    let pids: Vec<i32> = children.iter().map(|child| child.pid).collect();
    (!pids.is_empty()).then(|| self::pids(&pids))
}

/// `7`, `7 and 8`, `1, 2, 3 and 10 more`.
pub fn pids(pids: &[i32]) -> String {
    let mut named: Vec<String> = pids.iter().take(MAX_NAMED).map(i32::to_string).collect();
    if let Some(more) = pids.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        named.push(format!("{more} more"));
    }
    match named.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => named.concat(),
    }
}

/// What the Python processes below one do, where it has a loop of its own: `25778 BLOCKED for 3.41
/// s, 25777 and 25779 polling, 2 without a loop`.
pub fn children(children: &[Child]) -> Option<String> {
    let mut by_state: Vec<(String, Vec<i32>)> = Vec::new();
    let mut others = [0, 0];
    for child in children {
        let state = match (child.has_loops, child.state) {
            (Some(true), Some(LoopState::Blocked)) => {
                let so_long = child.elapsed.map(|it| format!(" for {}", words::duration(it)));
                // Each has a time of its own.
                by_state.insert(
                    0,
                    (format!("BLOCKED{}", so_long.unwrap_or_default()), vec![child.pid]),
                );
                continue;
            }
            (Some(true), Some(LoopState::Running)) => "running",
            (Some(true), Some(LoopState::Polling)) => "polling",
            (Some(true), _) => "in a state unknown",
            (Some(false), _) => {
                others[0] += 1;
                continue;
            }
            (None, _) => {
                others[1] += 1;
                continue;
            }
        };
        match by_state.iter_mut().find(|(known, _)| known == state) {
            Some((_, known)) => known.push(child.pid),
            None => by_state.push((state.to_owned(), vec![child.pid])),
        }
    }
    let mut parts: Vec<String> =
        by_state.iter().map(|(state, those)| format!("{} {state}", pids(those))).collect();
    for (number, what) in others.into_iter().zip(["without a loop", "not to be read"]) {
        if number > 0 {
            parts.push(format!("{} {what}", words::count(number)));
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aiospy::snapshot::{Doubt, Undecided};

    use super::super::sample;
    use super::*;

    fn doubt(reason: Doubt, title: &str, seen_ms: Option<u64>) -> Undecided {
        let seen_for = seen_ms.map(Duration::from_millis);
        Undecided { reason, title: title.to_owned(), code: None, seen_for }
    }

    #[test]
    fn the_first_reason_is_named_with_what_decides() {
        let mut snapshot = sample::bank();
        assert_eq!(undecided(&snapshot), None);
        snapshot.verdict = Some(Verdict::Undecided);
        let lock = |ms| doubt(Doubt::TooSoon, "100 tasks wait for self.lock", Some(ms));
        let unread = doubt(Doubt::Unread, "3 tasks could not be read", None);
        snapshot.undecided = vec![lock(203)];
        assert_eq!(
            undecided(&snapshot).unwrap(),
            "100 tasks wait for self.lock (seen for 203 ms); --wait 5s decides"
        );
        snapshot.undecided = vec![lock(6_000), unread.clone()];
        assert_eq!(
            undecided(&snapshot).unwrap(),
            "100 tasks wait for self.lock (seen for 6.00 s), and 1 more"
        );
        // Of what could not be read no time tells more.
        snapshot.undecided = vec![unread];
        assert_eq!(undecided(&snapshot).unwrap(), "3 tasks could not be read");
    }

    fn child(pid: i32, has_loops: bool) -> Child {
        Child {
            pid,
            command: format!("python app.py {pid}"),
            has_loops: Some(has_loops),
            state: None,
            elapsed: None,
        }
    }

    #[test]
    fn a_process_without_a_loop_is_not_well_and_its_children_are_named() {
        let mut snapshot = sample::bank();
        assert!(nothing_to_judge(&snapshot).is_none());
        snapshot.loops.clear();
        let told = |snapshot: &Snapshot| {
            let Trouble { cause, remedy, .. } = nothing_to_judge(snapshot).unwrap();
            (cause, remedy)
        };
        let (cause, remedy) = told(&snapshot);
        assert!(cause.starts_with("no event loop to judge: process ") && cause.ends_with("none"));
        assert!(remedy.starts_with("aiospy dump --threads"), "{remedy}");
        snapshot.children = vec![child(7, false), child(8, true)];
        let (_, remedy) = told(&snapshot);
        assert_eq!(remedy, "process 8 below it, which runs an event loop: python app.py 8");
        snapshot.children = (1..=14).map(|pid| child(pid, true)).collect();
        let (_, remedy) = told(&snapshot);
        assert!(remedy.ends_with("loops: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 2 more"));
        let unread = |pid| Child { has_loops: None, ..child(pid, false) };
        snapshot.children = vec![child(7, false), unread(8)];
        let (_, remedy) = told(&snapshot);
        assert_eq!(
            remedy,
            "aiospy doctor PID, for the processes below it that could not be read: 8"
        );
        let state = Some(LoopState::Inherited);
        snapshot.loops = vec![Loop { state, ..Loop::default() }];
        assert!(told(&snapshot).0.contains("inherited"), "{}", told(&snapshot).0);
    }
}
