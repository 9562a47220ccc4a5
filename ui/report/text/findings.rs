//! Findings: for a report, each with what it rests on; for a probe, one line each.

use std::fmt::Write as _;
use std::io;

use aiospy::snapshot::{
    Code, Evidence, Finding, Level, Location, Origin, Severity, Snapshot, by_root,
};
use rustc_hash::FxHashMap;

pub use aiospy::snapshot::order;

use super::source::Lines;
use super::{path, verdict, words};
use crate::io::page::{Line, Page, Style};
use crate::io::trouble::Trouble;

/// The widest that sentences become, so that they stay readable.
const MAX_PROSE: usize = 100;
/// How many findings a report gives at length; the rest is counted.
const MAX_SHOWN: usize = 20;
/// How many of these may have the same code.
const MAX_ALIKE: usize = 5;
/// How many lines of evidence each has.
const MAX_EVIDENCE: usize = 16;
/// How many findings are listed below the one they follow from.
const MAX_FOLLOWERS: usize = 5;

/// The column behind the sign.
const MARGIN: &str = "   ";

/// A finding with those that merely follow from it.
struct Cause<'f> {
    finding: &'f Finding,
    followers: Vec<&'f Finding>,
}

/// Writes the findings of a report, or that there are none; nothing, if nobody looked for any.
///
/// # Errors
/// Those of the page.
pub fn section(snapshot: &Snapshot, lines: &Lines<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let Some(findings) = &snapshot.findings else { return Ok(()) };
    let looks = snapshot.looks.map(|looks| words::counted(usize::from(looks), "look"));
    if findings.is_empty()
        && let Some(Trouble { cause, remedy, .. }) = verdict::nothing_to_judge(snapshot)
    {
        page.line(&Line::new().with(Style::Notice, &cause))?;
        let line = Line::new().with(Style::Notice, "try: ").with(Style::Plain, &remedy);
        page.line(&line)?;
        return page.blank();
    }
    if let Some(why) = verdict::undecided(snapshot) {
        let line = Line::new().with(Style::Notice, "?  undecided").with(Style::Strong, ": ");
        page.wrapped(line, MARGIN, MAX_PROSE, Style::Strong, &why)?;
        page.blank()?;
        if findings.is_empty() {
            return Ok(());
        }
    }
    if findings.is_empty() {
        let what = if snapshot.problems.is_empty() {
            let judged = verdict::judged(snapshot).map(|judged| format!(": {judged}"));
            format!("no findings{}", judged.unwrap_or_default())
        } else {
            "no findings, but not everything could be read: see the problems below".to_owned()
        };
        let mut line = Line::new().with(Style::Plain, &what);
        if let Some(looks) = looks {
            line.add(Style::Dim, &format!(" · {looks}"));
        }
        page.line(&line)?;
        return page.blank();
    }

    let mut line = Line::new();
    line.add(Style::Strong, &format!("{}: ", words::counted(findings.len(), "finding")));
    line.add(Style::Plain, &tally(findings));
    if let Some(looks) = looks {
        line.add(Style::Dim, &format!(" · {looks}"));
    }
    line.add(Style::Dim, " · see aiospy explain CODE");
    page.line(&line)?;
    page.blank()?;

    let left_out = list(findings, lines, page)?;
    if left_out > 0 {
        let pid = snapshot.process.pid;
        let words = format!("… {} more; aiospy check {pid} lists all", words::count(left_out));
        page.line(&Line::new().with(Style::Dim, &words))?;
        page.blank()?;
    }
    Ok(())
}

/// Writes those that have room, and gives how many have none.
fn list(findings: &[Finding], lines: &Lines<'_>, page: &mut Page<'_>) -> io::Result<usize> {
    let mut alike: FxHashMap<Code, usize> = FxHashMap::default();
    let (mut shown, mut left_out) = (0, 0);
    for cause in causes(findings) {
        let alike = alike.entry(cause.finding.code).or_insert(0);
        *alike += 1;
        if shown == MAX_SHOWN || *alike > MAX_ALIKE {
            left_out += 1 + cause.followers.len();
            continue;
        }
        shown += 1;
        at_length(&cause, lines, page)?;
        page.blank()?;
    }
    Ok(left_out)
}

/// `1 critical, 2 warnings, 1 info`
fn tally(findings: &[Finding]) -> String {
    let severities = [Severity::Critical, Severity::Warning, Severity::Info];
    let counted = severities.into_iter().filter_map(|severity| {
        let number = findings.iter().filter(|finding| finding.severity == severity).count();
        (number > 0).then(|| match severity {
            Severity::Warning => words::counted(number, "warning"),
            other => format!("{} {}", words::count(number), word(other).1),
        })
    });
    counted.collect::<Vec<_>>().join(", ")
}

/// A severity's look and word.
pub fn word(severity: Severity) -> (Style, &'static str) {
    match severity {
        Severity::Critical => (Style::Alarm, "critical"),
        Severity::Warning => (Style::Notice, "warning"),
        Severity::Info => (Style::Active, "info"),
    }
}

/// A severity's sign.
pub fn sign(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "!! ",
        Severity::Warning => "!  ",
        Severity::Info => "i  ",
    }
}

/// The findings with their followers; the worst first, else in their order.
fn causes(findings: &[Finding]) -> Vec<Cause<'_>> {
    let by_place = by_root(findings).into_iter();
    let causes = by_place.filter_map(|(at, followers)| {
        let followers = followers.into_iter().filter_map(|at| findings.get(at)).collect();
        Some(Cause { finding: findings.get(at)?, followers })
    });
    causes.collect()
}

/// `!! critical [deadlock] `
fn head(finding: &Finding, indent: &str) -> Line {
    let (style, word) = word(finding.severity);
    Line::new()
        .with(Style::Plain, indent)
        .with(style, &format!("{}{word}", sign(finding.severity)))
        .with(Style::Dim, &format!(" [{}] ", finding.code))
}

/// What it says.
pub fn said(finding: &Finding) -> String {
    let Some(pid) = finding.pid else { return finding.title.to_string() };
    let whose = match &finding.also_in[..] {
        [] => format!("process {pid}"),
        also => {
            let pids: Vec<i32> = std::iter::once(pid).chain(also.iter().copied()).collect();
            format!("processes {}", verdict::pids(&pids))
        }
    };
    format!("{whose}: {}", finding.title)
}

/// A fact in words, with its place as short as it still says which file it is.
pub fn fact(fact: &Evidence) -> String {
    fact.in_words(|place| path::full(place.path(), place.line))
}

/// A frame stands below what it is of.
pub fn indent(fact: &Evidence) -> &'static str {
    if fact.text.is_empty() { "  " } else { "" }
}

/// Where a fact is, if that is in the program's own code.
pub fn own_place(fact: &Evidence) -> Option<&Location> {
    fact.place.as_deref().filter(|place| place.origin == Origin::Own && place.has_file())
}

fn at_length(cause: &Cause<'_>, lines: &Lines<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let finding = cause.finding;
    page.wrapped(head(finding, ""), MARGIN, MAX_PROSE, Style::Strong, &said(finding))?;

    let mut last = None;
    for fact in finding.evidence.iter().take(MAX_EVIDENCE) {
        let margin = format!("{MARGIN}  {}", indent(fact));
        let start = Line::new().with(Style::Plain, &margin);
        let words = self::fact(fact);
        page.wrapped(start, &format!("{margin}  "), usize::MAX, Style::Plain, &words)?;
        if let Some(place) = own_place(fact).filter(|place| last != Some(*place)) {
            lines.show(page, &margin, &place.file, place.line)?;
            last = Some(place);
        }
    }
    if let Some(more) = finding.evidence.len().checked_sub(MAX_EVIDENCE + 1) {
        let words = format!("{MARGIN}  … {} more lines", words::count(more + 1));
        page.line(&Line::new().with(Style::Dim, &words))?;
    }

    if !finding.advice.is_empty() {
        let start = Line::new().with(Style::Plain, MARGIN).with(Style::Active, "advice: ");
        let margin = " ".repeat(start.width());
        page.wrapped(start, &margin, MAX_PROSE, Style::Plain, &finding.advice)?;
    }

    let followers = &cause.followers;
    let words = match followers.len() {
        0 => return Ok(()),
        1 => "and 1 more follows from it:".to_owned(),
        number => format!("and {} more follow from it:", words::count(number)),
    };
    page.line(&Line::new().with(Style::Plain, MARGIN).with(Style::Plain, &words))?;
    let indent = format!("{MARGIN}  ");
    for follower in followers.iter().take(MAX_FOLLOWERS) {
        // One line each: they are not what is to be seen to.
        page.line(&head(follower, &indent).with(Style::Plain, &said(follower)))?;
    }
    if let Some(more) = followers.len().checked_sub(MAX_FOLLOWERS + 1) {
        let words = format!("{indent}… {} more", words::count(more + 1));
        page.line(&Line::new().with(Style::Dim, &words))?;
    }
    Ok(())
}

/// Writes one line for each finding, as compilers do: what follows from another one stands below it.
///
/// # Errors
/// Those of the page.
pub fn brief_lines(findings: &[Finding], page: &mut Page<'_>) -> io::Result<()> {
    for cause in causes(findings) {
        let followers = cause.followers.iter().map(|finding| (*finding, "└ "));
        for (finding, branch) in std::iter::once((cause.finding, "")).chain(followers) {
            let (style, word) =
                if finding.is_allowed { (Style::Dim, "allowed") } else { word(finding.severity) };
            let mut line = Line::new().with(style, word).with(Style::Plain, ": ");
            line.add(Style::Dim, branch);
            line.add(Style::Strong, &said(finding));
            // In which file of which process, where there are several.
            if let Some(place) = finding.place.as_deref().filter(|_| finding.pid.is_some()) {
                line.add(Style::Plain, &format!(" at {}", path::full(place.path(), place.line)));
            }
            line.add(Style::Dim, &format!(" [{}]", finding.code));
            page.line(&line)?;
        }
    }
    Ok(())
}

/// Writes one line for each finding, and what they come to.
///
/// # Errors
/// Those of the page.
pub fn brief(snapshot: &Snapshot, least: Option<Severity>, page: &mut Page<'_>) -> io::Result<()> {
    let findings = snapshot.findings.as_deref().unwrap_or_default();
    brief_lines(findings, page)?;
    let Some(answer) = snapshot.answer().filter(|answer| answer.level != Level::NotJudged) else {
        return Ok(());
    };
    let mut text = answer.sentence.in_full();
    let allowed = snapshot.allowed();
    let notes = findings.len() - allowed;
    let (style, level) = match answer.level {
        // Whoever asks about notes is not told that all is well.
        Level::Ok if least == Some(Severity::Info) && notes > 0 => {
            text = words::counted(notes, "note");
            word(Severity::Info)
        }
        level => (verdict::sign(level).0, level.as_str()),
    };
    let facts = verdict::judged(snapshot).into_iter().chain(
        Some(allowed)
            .filter(|count| *count > 0 && answer.level != Level::Allowed)
            .map(|count| format!("{} allowed", words::counted(count, "finding"))),
    );
    let facts: Vec<String> = facts.collect();
    if !facts.is_empty() {
        let _ = write!(text, " ({})", facts.join("; "));
    }
    if let Some(wait) = verdict::wait(snapshot).filter(|_| answer.level == Level::Undecided) {
        let _ = write!(text, "; --wait {}s decides", wait.as_secs());
    }
    page.line(&Line::new().with(style, level).with(Style::Plain, &format!(": {text}")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aiospy::snapshot::{Doubt, FindingId, Undecided, Verdict};

    use super::super::{View, sample};
    use super::*;

    fn report(snapshot: &Snapshot, width: Option<usize>) -> String {
        let source = sample::bank_source();
        let view = View { source: Some(&source), ..sample::TREE };
        let text = sample::text(snapshot, view, width);
        let (_, findings) = text.split_once("12 min\n\n").unwrap();
        findings.split_once("loop 1").unwrap().0.to_owned()
    }

    fn brief(snapshot: &Snapshot, least: Option<Severity>) -> String {
        let mut out = Vec::new();
        super::brief(snapshot, least, &mut Page::new(&mut out, None, false)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_worst_comes_first_with_evidence_advice_and_what_follows() {
        let expected = [
            "3 findings: 1 critical, 1 warning, 1 info · 2 looks · see aiospy explain CODE",
            "",
            "!! critical [deadlock] 2 tasks wait for each other: ada-to-bob, bob-to-ada; 20",
            "   more wait for them",
            "     ada-to-bob waits for lock second.lock, held by bob-to-ada",
            "       at /srv/bank/transfer.py:41 in transfer",
            "             41 │ async with second.lock:",
            "     bob-to-ada waits for lock second.lock, held by ada-to-bob",
            "       at /srv/bank/transfer.py:41 in transfer",
            "   advice: take the two locks always in the same order, for example by id; a",
            "           time limit around the second one would turn the standstill into an",
            "           error",
            "   and 1 more follows from it:",
            "     !  warning [lock-convoy] 10 tasks wait for account.lock, held by ada-to-bob",
            "",
            "i  info [task-orphaned] Probably nothing refers to heartbeat but asyncio itself",
            "",
            "",
        ];
        assert_eq!(report(&sample::bank(), Some(80)), expected.join("\n"));
    }

    #[test]
    fn without_findings_one_line_says_that_they_were_looked_for() {
        let mut snapshot = sample::bank();
        (snapshot.findings, snapshot.looks) = (Some(Vec::new()), Some(1));
        assert_eq!(report(&snapshot, None), "no findings: 23 tasks, 1 loop · 1 look\n\n");
        snapshot.verdict = Some(Verdict::Ok);
        let ok = "ok: 23 tasks: none is stuck, the loop is not blocked";
        assert_eq!(brief(&snapshot, Some(Severity::Info)), format!("{ok} (23 tasks, 1 loop)\n"));
        snapshot.loops[0].idle_for = Some(Duration::from_millis(7850));
        let stands = format!("{ok} (23 tasks, 1 loop; no task has run for 7.85 s)\n");
        assert_eq!(brief(&snapshot, Some(Severity::Info)), stands);
        snapshot.problems.push(aiospy::snapshot::Problem {
            place: "task 0x10".to_owned(),
            wanted: "its await chain".to_owned(),
            cause: "not mapped".to_owned(),
        });
        assert!(report(&snapshot, None).starts_with("no findings, but not everything could be"));
        snapshot.findings = None;
        assert_eq!(report(&snapshot, None), "", "nobody looked");
    }

    #[test]
    fn a_probe_gets_one_line_each_and_the_verdict_last() {
        let mut snapshot = sample::bank();
        let title = "2 tasks wait for each other: ada-to-bob, bob-to-ada; 20 more wait for them";
        let note = "Probably nothing refers to heartbeat but asyncio itself [task-orphaned]";
        let lines = [
            format!("critical: {title} [deadlock]"),
            "warning: └ 10 tasks wait for account.lock, held by ada-to-bob [lock-convoy]"
                .to_owned(),
            format!("info: {note}"),
            format!("critical: {title} (23 tasks, 1 loop)\n"),
        ];
        assert_eq!(brief(&snapshot, Some(Severity::Warning)), lines.join("\n"));
        assert_eq!(brief(&snapshot, None), lines.join("\n"));
        snapshot.findings.as_mut().unwrap().truncate(1);
        snapshot.verdict = Some(Verdict::Ok);
        assert_eq!(
            brief(&snapshot, Some(Severity::Warning)),
            format!(
                "info: {note}\nok: 23 tasks: none is stuck, the loop is not blocked (23 tasks, 1 \
                 loop)\n"
            )
        );
        let asked = brief(&snapshot, Some(Severity::Info));
        assert!(asked.ends_with("\ninfo: 1 note (23 tasks, 1 loop)\n"), "{asked}");
    }

    #[test]
    fn what_is_allowed_is_listed_and_the_verdict_is_of_the_rest() {
        let mut snapshot = sample::bank();
        snapshot.verdict = Some(Verdict::Findings);
        let allow = |snapshot: &mut Snapshot, code: Code| {
            let findings = snapshot.findings.iter_mut().flatten();
            findings.filter(|it| it.code == code).for_each(|it| it.is_allowed = true);
        };
        allow(&mut snapshot, Code::Deadlock);
        let lines = [
            "allowed: 2 tasks wait for each other: ada-to-bob, bob-to-ada; 20 more wait for them \
             [deadlock]",
            "warning: └ 10 tasks wait for account.lock, held by ada-to-bob [lock-convoy]",
            "info: Probably nothing refers to heartbeat but asyncio itself [task-orphaned]",
            "warning: 10 tasks wait for account.lock, held by ada-to-bob (23 tasks, 1 loop; 1 \
             finding allowed)\n",
        ];
        assert_eq!(brief(&snapshot, Some(Severity::Warning)), lines.join("\n"));
        allow(&mut snapshot, Code::LockConvoy);
        let text = brief(&snapshot, Some(Severity::Warning));
        let verdict =
            "\nallowed: nothing is wrong but 2 findings that are allowed (23 tasks, 1 loop)\n";
        assert!(text.contains("\nallowed: └ 10 tasks wait") && text.ends_with(verdict), "{text}");
        // What may be a hang yet is another matter.
        let (reason, title) = (Doubt::TooSoon, "1 task waits".to_owned());
        let doubt = |code| Undecided { reason, title: title.clone(), code, seen_for: None };
        snapshot.undecided = vec![doubt(Some(Code::PeerSilent))];
        let text = brief(&snapshot, Some(Severity::Warning));
        assert!(
            text.contains("\nundecided: 1 task waits: too soon to say (23 tasks, 1 loop; 2 "),
            "{text}"
        );
        // Not where it is that which is allowed.
        snapshot.undecided = vec![doubt(Some(Code::LockConvoy))];
        assert!(brief(&snapshot, None).ends_with(verdict));
        // A note that is allowed leaves all well.
        allow(&mut snapshot, Code::TaskOrphaned);
        snapshot.findings.as_mut().unwrap().truncate(1);
        (snapshot.undecided, snapshot.verdict) = (Vec::new(), Some(Verdict::Ok));
        let text = brief(&snapshot, Some(Severity::Info));
        let well = "\nok: 23 tasks: none is stuck, the loop is not blocked (23 tasks, 1 loop; 1 \
                    finding allowed)\n";
        assert!(text.starts_with("allowed: Probably") && text.ends_with(well), "{text}");
    }

    #[test]
    fn followers_stand_below_their_own_cause() {
        use Severity::{Critical, Warning};
        let numbered = |(id, code, title, cause): (u64, Code, &str, Option<u64>)| {
            let severity = if code == Code::Deadlock { Critical } else { Warning };
            let mut finding = sample::finding(code, severity, title, &[1]);
            (finding.id, finding.because_of) = (FindingId(id), cause.map(FindingId));
            finding
        };
        let told = |findings: &[(u64, Code, &str, Option<u64>)]| -> Vec<(String, Vec<String>)> {
            let findings: Vec<Finding> = findings.iter().copied().map(numbered).collect();
            let titles = |cause: &Cause<'_>| {
                let followers = cause.followers.iter().map(|follower| follower.title.to_string());
                (cause.finding.title.to_string(), followers.collect())
            };
            causes(&findings).iter().map(titles).collect()
        };
        let alone = |title: &str| (title.to_owned(), Vec::new());
        // All are about the same task: only the number tells which of two deadlocks is meant.
        assert_eq!(
            told(&[
                (1, Code::Deadlock, "first", None),
                (2, Code::Deadlock, "second", None),
                (3, Code::LockConvoy, "of second", Some(2)),
                (4, Code::QueueStalled, "of that", Some(3)),
                (5, Code::OrphanWait, "of none", Some(99)),
                // A circle of findings has no first, and both are told.
                (6, Code::CrossLoop, "this", Some(7)),
                (7, Code::NestedRun, "that", Some(6)),
                (8, Code::LockConvoy, "of itself", Some(8)),
            ]),
            [
                alone("first"),
                ("second".to_owned(), vec!["of second".to_owned(), "of that".to_owned()]),
                alone("of none"),
                alone("this"),
                alone("that"),
                alone("of itself"),
            ]
        );
    }

    #[test]
    fn many_findings_do_not_hide_the_rest() {
        let mut snapshot = sample::bank();
        let failed = |n: u64| {
            let title = format!("task {n} failed");
            sample::finding(Code::ExceptionUnretrieved, Severity::Warning, &title, &[n])
        };
        let mut findings: Vec<Finding> = (0..5000).map(failed).collect();
        findings[0].evidence = (0..50).map(|n| format!("fact {n}").into()).collect();
        let spins = sample::finding(Code::BusySpin, Severity::Warning, "spins", &[]);
        findings.push(Finding { id: FindingId(1), ..spins });
        let followers = (0..30).map(|n| Finding { because_of: Some(FindingId(1)), ..failed(n) });
        findings.extend(followers);
        snapshot.findings = Some(findings);
        let text = report(&snapshot, Some(80));
        assert!(
            text.starts_with("5,031 findings: 5,031 warnings · 2 looks · see aiospy"),
            "{text}"
        );
        assert!(text.contains("task 4 failed") && !text.contains("task 5 failed"), "{text}");
        assert!(text.contains("fact 15\n     … 34 more lines\n"), "{text}");
        assert!(text.contains("spins\n   and 30 more follow from it:\n"), "{text}");
        assert!(text.contains("\n     … 25 more\n"), "{text}");
        assert!(text.contains("… 4,995 more; aiospy check 4711 lists all\n"), "{text}");
        assert!(text.lines().count() < 60, "{text}");
        assert_eq!(brief(&snapshot, None).lines().count(), 5032);
    }

    #[test]
    fn tasks_say_which_findings_name_them() {
        let mut snapshot = sample::bank();
        let tree = sample::forest(&snapshot, None);
        assert!(tree.contains("(T) ada-to-bob  pending  [deadlock]  [lock-convoy]\n"), "{tree}");
        assert!(tree.contains("(T) bob-to-ada  pending  [deadlock]\n"), "{tree}");
        snapshot.findings.as_mut().unwrap().pop();
        let tree = sample::forest(&snapshot, None);
        assert!(tree.contains("(T) ada-to-bob, bob-to-ada  ×2  pending  [deadlock]\n"), "{tree}");
        assert!(tree.contains("(T) window-{0..19}  ×20  pending\n"), "{tree}");
        // Who only waits for a lock is not to blame for it.
        let victims: Vec<u64> = (10..30).collect();
        let convoy = sample::finding(
            Code::LockConvoy,
            Severity::Warning,
            "",
            &[&victims[..], &[1]].concat(),
        );
        snapshot.findings = Some(vec![convoy]);
        let tree = sample::forest(&snapshot, None);
        assert!(tree.contains("(T) window-{0..19}  ×20  pending\n"), "{tree}");
        assert!(tree.contains("(T) ada-to-bob  pending  [lock-convoy]\n"), "{tree}");
    }
}
