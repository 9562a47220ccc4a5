//! What a snapshot comes to, in one sentence.

use std::fmt::Write as _;

use aiospy::snapshot::{Child, Depth, Loop, LoopState, Snapshot, Undecided, Verdict};

use super::words;
use crate::io::page::{clean, fit};
use crate::io::trouble::Trouble;

/// How many processes are named.
const MAX_NAMED: usize = 12;
/// How many columns of a command line are shown.
const MAX_COMMAND: usize = 60;

/// Why it cannot be said that all is well, and what decides it: `100 tasks wait for self.lock (seen
/// for 203 ms); --wait 5s decides`. Nothing where that can be said, or where something was found.
pub fn undecided(snapshot: &Snapshot) -> Option<String> {
    if snapshot.verdict != Some(Verdict::Undecided) {
        return None;
    }
    let (first, others) = snapshot.undecided.split_first()?;
    let mut sentence = first.title.clone();
    if let Some(seen_for) = first.seen_for {
        let _ = write!(sentence, " (seen for {})", words::duration(seen_for));
    }
    if !others.is_empty() {
        let _ = write!(sentence, ", and {} more", words::count(others.len()));
    }
    // What was written once does not go on.
    let can_wait = snapshot.depth >= Depth::Evidence;
    let waits = snapshot.undecided.iter().filter_map(Undecided::wait);
    if let Some(wait) = waits.max().filter(|_| can_wait) {
        let _ = write!(sentence, "; --wait {}s decides", wait.as_secs());
    }
    Some(sentence)
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

/// `7`, `7 and 8`, `1, 2, 3 and 10 more`.
fn names(children: &[&Child]) -> Option<String> {
    let mut named: Vec<String> =
        children.iter().take(MAX_NAMED).map(|child| child.pid.to_string()).collect();
    if let Some(more) = children.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        named.push(format!("{more} more"));
    }
    let (last, others) = named.split_last()?;
    Some(if others.is_empty() { last.clone() } else { format!("{} and {last}", others.join(", ")) })
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
        Child { pid, command: format!("python app.py {pid}"), has_loops: Some(has_loops) }
    }

    #[test]
    fn a_process_without_a_loop_is_not_well_and_its_children_are_named() {
        let mut snapshot = sample::bank();
        assert!(nothing_to_judge(&snapshot).is_none());
        snapshot.loops.clear();
        let told = |snapshot: &Snapshot| {
            let Trouble { cause, remedy } = nothing_to_judge(snapshot).unwrap();
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
