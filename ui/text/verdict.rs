//! What a snapshot comes to, in one sentence.

use std::fmt::Write as _;
use std::time::Duration;

use aiospy::snapshot::{Snapshot, Verdict};

use super::words;

/// Who was seen to stand still for so long is told from a slow answer.
const DECIDED: Duration = Duration::from_secs(5);

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
    let is_young = |seen_for: Option<Duration>| seen_for.is_none_or(|seen| seen < DECIDED);
    let mut all = snapshot.undecided.iter();
    if all.any(|it| it.reason.is_decided_by_waiting() && is_young(it.seen_for)) {
        sentence.push_str("; --wait 5s decides");
    }
    Some(sentence)
}

#[cfg(test)]
mod tests {
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
}
