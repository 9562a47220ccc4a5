//! A report for the channel of an incident: the facts of the text report in their order, as Markdown,
//! or shorter as Slack has it.
//!
//! Nothing that comes from the target is taken for markup. Requests are named by their routes.

use std::fmt::Write as _;

use aiospy::known::command;
use aiospy::snapshot::{Answer, Container, Finding, GroupState, Level, Location, Snapshot};

use super::text::blocks::{Blocks, Facts, worst};
use super::text::screen::{self, Chain};
use super::text::table::{self, Row};
use super::text::{Lines, findings, folded, verdict, words};
use crate::io::page::{Line, Page, clean, fit};

/// How many causes are given at length, and how many more in a line each.
const MAX_WHOLE: usize = 3;
const MAX_BRIEF: usize = 5;
/// How many findings stand below the one that they follow from.
const MAX_FOLLOWERS: usize = 5;
/// How many rows the table has.
const MAX_ROWS: usize = 8;
/// How long and how wide the tree is: a comment on GitHub has room for 65,536 letters.
const MAX_TREE: usize = 200;
const TREE_WIDTH: usize = 100;
/// The widest that a command line becomes.
const MAX_COMMAND: usize = 60;
/// How many lines there are for Slack.
const MAX_SLACK: usize = 12;

/// How markup is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// That of GitHub and most others.
    Markdown,
    /// That of Slack, which has neither headings nor tables.
    Slack,
}

/// What a report is made of.
pub struct Report<'s> {
    snapshot: &'s Snapshot,
    lines: &'s Lines<'s>,
    blocks: Blocks<'s>,
    /// The host that the process is on.
    host: Option<String>,
    /// Whether it was read just now.
    is_live: bool,
    dialect: Dialect,
}

impl<'s> Report<'s> {
    /// That of a snapshot; of a process of this machine with the name of its `host`, which counts
    /// where it is in no container.
    pub fn of(
        snapshot: &'s Snapshot,
        lines: &'s Lines<'s>,
        host: Option<String>,
        dialect: Dialect,
    ) -> Self {
        let is_live = host.is_some();
        let contained = snapshot.process.container.as_ref();
        let inner = contained.and_then(|it| it.hostname.clone().or_else(|| Container::short(it)));
        let host = inner.or(host).filter(|host| !host.is_empty());
        let blocks = Blocks::of(snapshot, lines, usize::MAX);
        Self { snapshot, lines, blocks, host, is_live, dialect }
    }

    /// The whole text.
    pub fn text(&self) -> String {
        let Some(answer) = self.snapshot.answer() else { return String::new() };
        match self.dialect {
            Dialect::Markdown => self.markdown(&answer),
            Dialect::Slack => self.slack(&answer),
        }
    }

    fn markdown(&self, answer: &Answer) -> String {
        let mut out = String::new();
        let level = bold(self.dialect, answer.level.as_str());
        let _ = writeln!(out, "# {}\n\n{level} · {}", self.sentence(answer), self.identity());
        if let Some(trouble) = verdict::not_judged(self.snapshot, answer) {
            let _ = writeln!(out, "\ntry: {}", self.plain(&trouble.remedy));
        }
        self.causes(answer, &mut out);
        self.table(&mut out);
        let facts = screen::identity(self.snapshot, true);
        let read = screen::read(self.snapshot, Some(answer), true);
        let facts: Vec<String> = facts.iter().chain(&read).map(|it| self.plain(it)).collect();
        let _ = writeln!(out, "\n{}", facts.join(" · "));
        self.tree(&mut out);
        if let Some(again) = self.again() {
            let _ = writeln!(out, "\n{again}");
        }
        out
    }

    /// The answer in a sentence.
    fn sentence(&self, answer: &Answer) -> String {
        let said = verdict::not_judged(self.snapshot, answer).map(|trouble| trouble.cause);
        self.plain(&said.unwrap_or_else(|| answer.sentence.in_full()))
    }

    /// `` `uvicorn shop:app`, PID 22153 on `shop-7d9f` · 2026-11-29 10:58:19 UTC · aiospy 0.2.0 ``
    fn identity(&self) -> String {
        let process = &self.snapshot.process;
        // Options may hold what is nobody's business.
        let program = command::program(&process.cmdline);
        let program: Vec<&str> = program.split(' ').take_while(|it| !it.starts_with('-')).collect();
        let program = fit(&program.join(" "), MAX_COMMAND).into_owned();
        let mut who = format!("PID {}", process.pid);
        if !program.is_empty() {
            who = format!("{}, {who}", self.code(&program));
        }
        if let Some(host) = &self.host {
            let _ = write!(who, " on {}", self.code(host));
        }
        let at = self.snapshot.taken_at.strftime("%Y-%m-%d %H:%M:%S UTC");
        format!("{who} · {at} · aiospy {}", env!("CARGO_PKG_VERSION"))
    }

    fn causes(&self, answer: &Answer, out: &mut String) {
        let (chains, notes) = screen::causes(self.snapshot);
        if !chains.is_empty() {
            let head = match (answer.level, chains.len()) {
                (Level::Undecided, _) => "What it may be",
                (_, 1) => "Cause",
                _ => "Causes",
            };
            let _ = writeln!(out, "\n## {head}");
        }
        for (at, chain) in chains.iter().take(MAX_WHOLE).enumerate() {
            let is_said = at == 0 && answer.cause == Some(chain.0.id);
            let _ = write!(out, "\n{}", self.cause(chain, !is_said));
        }
        let rest = chains.get(MAX_WHOLE..).unwrap_or_default();
        if !rest.is_empty() {
            out.push('\n');
        }
        for (root, followers) in rest.iter().take(MAX_BRIEF) {
            let level = findings::word(worst(root, followers)).1;
            let _ = writeln!(out, "- {level}: {} {}", self.title(root), self.finding(root));
        }
        if let Some(more) = rest.len().checked_sub(MAX_BRIEF).filter(|more| *more > 0) {
            let _ = writeln!(out, "- {}", words::counted(more, "more finding"));
        }
        if !notes.is_empty() {
            let codes = words_of(notes.iter().map(|note| self.finding(note)));
            let _ = writeln!(out, "\n{}: {codes}", words::counted(notes.len(), "note"));
        }
    }

    /// A cause with its facts, and what follows from it.
    fn cause(&self, (root, followers): &Chain<'_>, has_title: bool) -> String {
        let mut out = bold(self.dialect, &self.finding(root));
        if has_title {
            let _ = write!(out, " {}", self.title(root));
        }
        out.push('\n');
        for (label, fact) in self.facts(root, !has_title) {
            let _ = writeln!(out, "- {}: {fact}", bold(self.dialect, label));
        }
        for follower in followers.iter().take(MAX_FOLLOWERS) {
            let code = bold(self.dialect, &self.finding(follower));
            let _ = writeln!(out, "- {code} {}", self.follower(root, follower));
        }
        if let Some(more) = followers.len().checked_sub(MAX_FOLLOWERS).filter(|more| *more > 0) {
            let _ = writeln!(out, "- and {} from it", words::follow(more));
        }
        out
    }

    /// What is said of a cause, each with its label.
    fn facts(&self, finding: &Finding, has_processes: bool) -> Vec<(&'static str, String)> {
        let Facts { processes, who, place, since } = self.blocks.facts(finding);
        let processes = processes.filter(|_| has_processes);
        let advice = finding.advice.trim_end_matches('.');
        let advice = Some(advice.to_owned()).filter(|advice| !advice.is_empty());
        let plain = |text: Option<String>| text.map(|text| self.plain(&text));
        let all = [
            ("in", plain(processes)),
            ("who", plain(who)),
            ("where", place.map(|place| self.place(place))),
            ("since", plain(since)),
            ("do", plain(advice)),
        ];
        all.into_iter().filter_map(|(label, fact)| Some((label, fact?))).collect()
    }

    fn follower(&self, root: &Finding, finding: &Finding) -> String {
        let place = self.blocks.place_of_follower(root, finding);
        let place = place.map(|place| format!(", at {}", self.place(&place)));
        format!("follows from it: {}{}", self.title(finding), place.unwrap_or_default())
    }

    /// `` `shop.py:59` in `recommend`: `r = await client.get(url)` ``
    fn place(&self, place: &Location) -> String {
        let [at, function] = [&table::place_of(place), &*place.function].map(|it| self.code(it));
        let source = self.blocks.source(place).map(|source| format!(": {}", self.code(&source)));
        format!("{at} in {function}{}", source.unwrap_or_default())
    }

    fn title(&self, finding: &Finding) -> String {
        self.plain(&match finding.pid {
            None => finding.title.in_full(),
            Some(_) => findings::said(finding),
        })
    }

    fn finding(&self, finding: &Finding) -> String {
        self.code(finding.code.as_str())
    }

    /// The groups, as many as there is room for.
    fn rows(&self, most: usize) -> Vec<Row> {
        let rows = table::rows(&self.snapshot.groups(), self.snapshot, TREE_WIDTH);
        table::at_most(if rows.len() > most { table::without_idle(rows) } else { rows }, most)
    }

    fn table(&self, out: &mut String) {
        let rows = self.rows(MAX_ROWS);
        if rows.is_empty() {
            return;
        }
        out.push_str("\n## What is in flight\n\n");
        out.push_str("|  | N | work | at | oldest | waits for |\n");
        out.push_str("|---|---:|---|---|---:|---|\n");
        for row in rows {
            // A bar behind a backslash can't be written in code.
            let cell = |text: &str| self.code(&text.replace("\\|", "\\│"));
            let (work, at) = (self.work(&row, cell), cell(&row.at));
            let (state, waits) = (state(&row), self.plain(waits(&row)));
            let count = words::count(row.count);
            let cells = [state, &count, &work, &at, &row.oldest, &waits];
            // Also within a span of code.
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
    }

    /// Who waits for whom, folded.
    fn tree(&self, out: &mut String) {
        if self.snapshot.tasks.is_empty() {
            return;
        }
        let mut drawn: Vec<Line> = Vec::new();
        // Nothing that is kept in memory fails.
        let _ = folded::draw(self.snapshot, self.lines, &mut Page::kept(&mut drawn, TREE_WIDTH));
        let mut text = String::new();
        for line in drawn.iter().take(MAX_TREE) {
            let _ = writeln!(text, "{}", line.text().trim_end());
        }
        if let Some(more) = drawn.len().checked_sub(MAX_TREE).filter(|more| *more > 0) {
            let _ = writeln!(text, "… {}", words::counted(more, "more line"));
        }
        let fence = fence(&text, 3);
        let _ = write!(
            out,
            "\n<details><summary>Tree</summary>\n\n{fence}text\n{text}{fence}\n\n</details>\n"
        );
    }

    /// How to see it again, where it still goes on.
    fn again(&self) -> Option<String> {
        let pid = self.snapshot.process.pid;
        self.is_live.then(|| {
            format!(
                "To sample again: `aiospy dump {pid}`; to compare: `aiospy dump {pid} --json -o \
                 before.json`, the same later to `after.json`, and `aiospy diff before.json \
                 after.json`"
            )
        })
    }

    /// The same in at most twelve lines, without tables.
    fn slack(&self, answer: &Answer) -> String {
        let level = bold(self.dialect, answer.level.as_str());
        let mut lines = vec![format!("{level}: {}", self.sentence(answer)), self.identity()];
        let (chains, notes) = screen::causes(self.snapshot);
        if let Some((root, followers)) = chains.first() {
            let is_said = answer.cause == Some(root.id);
            let title = if is_said { String::new() } else { format!(" {}", self.title(root)) };
            lines.push(format!("{}{title}", self.finding(root)));
            let facts = self.facts(root, is_said).into_iter();
            lines.extend(facts.map(|(label, fact)| format!("• {label}: {fact}")));
            let named =
                |it: &&Finding| format!("• {} {}", self.finding(it), self.follower(root, it));
            lines.extend(followers.iter().take(1).map(named));
            if let Some(more) = followers.len().checked_sub(1).filter(|more| *more > 0) {
                lines.push(format!("• and {} from it", words::follow(more)));
            }
        }
        let others = chains.iter().skip(1).map(|(root, _)| *root).chain(notes);
        let others: Vec<String> = others.map(|it| self.finding(it)).collect();
        if !others.is_empty() {
            lines.push(format!("also: {}", words_of(others)));
        }
        // The last line is that of what was read.
        for row in self.rows(MAX_SLACK.saturating_sub(lines.len() + 1).max(1)) {
            lines.push(self.group(&row));
        }
        let facts = screen::identity(self.snapshot, false);
        let read = screen::read(self.snapshot, Some(answer), false);
        lines.push(self.plain(&facts.into_iter().chain(read).collect::<Vec<_>>().join(" · ")));
        lines.join("\n") + "\n"
    }

    /// ``• 100 × `GET /stock/{sku}` at `shop.py:20 Inventory.get`, 61.8 s: self.lock``
    fn group(&self, row: &Row) -> String {
        let work = self.work(row, |work| self.code(work));
        let mut out = format!("• {} × {work}", words::count(row.count));
        if !row.at.is_empty() {
            let _ = write!(out, " at {}", self.code(&row.at));
        }
        let age = Some(&row.oldest).filter(|age| !age.is_empty()).map(|age| format!(", {age}"));
        let state = Some(state(row)).filter(|it| !it.is_empty()).map(|it| format!(", {it}"));
        let [age, state] = [age, state].map(Option::unwrap_or_default);
        let waits = waits(row);
        let waits = if waits.is_empty() { String::new() } else { format!(": {waits}") };
        out + &self.plain(&format!("{age}{state}{waits}"))
    }

    /// What those of a row do; a row of several groups says no more than how many these are.
    fn work(&self, row: &Row, code: impl Fn(&str) -> String) -> String {
        if row.is_several { self.plain(&row.work) } else { code(&row.work) }
    }

    fn code(&self, text: &str) -> String {
        code(self.dialect, text)
    }

    fn plain(&self, text: &str) -> String {
        plain(self.dialect, text)
    }
}

/// How the tasks of a row get on, in a word.
fn state(row: &Row) -> &'static str {
    match row.state {
        Some(GroupState::Stuck) => "stuck",
        Some(GroupState::Undecided) => "may be stuck",
        Some(GroupState::Idle) => "idle",
        Some(GroupState::Moving) | None => "",
    }
}

/// What they wait for, without the word that stands beside it.
fn waits(row: &Row) -> &str {
    let waits = if row.waits == "idle" || row.is_several { "" } else { &row.waits };
    waits.strip_prefix("idle: ").unwrap_or(waits)
}

/// Each once, in their order.
fn words_of(all: impl IntoIterator<Item = String>) -> String {
    let mut once: Vec<String> = Vec::new();
    for word in all {
        if !once.contains(&word) {
            once.push(word);
        }
    }
    once.join(", ")
}

fn bold(dialect: Dialect, text: &str) -> String {
    match dialect {
        Dialect::Markdown => format!("**{text}**"),
        Dialect::Slack => format!("*{text}*"),
    }
}

/// As many backticks as no run of them in a text has.
fn fence(text: &str, least: usize) -> String {
    let runs = text.split(|letter| letter != '`').map(str::len);
    "`".repeat((runs.max().unwrap_or(0) + 1).max(least))
}

/// Foreign text as code, in which nothing is markup.
fn code(dialect: Dialect, text: &str) -> String {
    let text = clean(text);
    let text = text.trim();
    match dialect {
        _ if text.is_empty() => String::new(),
        // There is no way to write a backtick in it.
        Dialect::Slack => format!("`{}`", entities(&text.replace('`', "ˋ"))),
        Dialect::Markdown => {
            let fence = fence(text, 1);
            let blank = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
            format!("{fence}{blank}{text}{blank}{fence}")
        }
    }
}

/// Text with foreign words in it, none of which is markup. Nobody is called by an `@` either.
fn plain(dialect: Dialect, text: &str) -> String {
    let text = clean(text);
    let mut out = String::with_capacity(text.len() + 16);
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_of_word = |it: char| it.is_alphanumeric();
        let is_inside = is_of_word(before) && letters.peek().copied().is_some_and(is_of_word);
        match (dialect, letter) {
            (_, '@') => out.push_str("@\u{2060}"),
            (_, '_') if is_inside => out.push('_'),
            (Dialect::Markdown, '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '#' | '$' | '!') => {
                out.extend(['\\', letter]);
            }
            // What can't be escaped there is written by letters that look alike.
            (Dialect::Slack, '`') => out.push('ˋ'),
            (Dialect::Slack, '*') => out.push('∗'),
            (Dialect::Slack, '_') => out.push('ˍ'),
            (Dialect::Slack, '~') => out.push('∼'),
            _ => out.push(letter),
        }
        before = letter;
    }
    entities(&out)
}

fn entities(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aiospy::snapshot::{
        Code, Doubt, FindingId, Frame, Severity, Undecided, Verdict, Wait, Work, WorkKind, by_root,
    };

    use super::*;
    use crate::report::text::sample::{self, bank, bank_source, shop, shop_source, task, waits};
    use crate::report::text::{Files, sample::Sources};

    fn report(snapshot: &Snapshot, files: &Sources, dialect: Dialect) -> String {
        let lines = Lines::of(Some(files as &dyn Files));
        let host = Some("shop-7d9f".to_owned());
        let text = Report::of(snapshot, &lines, host, dialect).text();
        text.replace(env!("CARGO_PKG_VERSION"), "VERSION")
    }

    fn both(snapshot: &Snapshot, files: &Sources) -> [String; 2] {
        [Dialect::Markdown, Dialect::Slack].map(|dialect| report(snapshot, files, dialect))
    }

    #[test]
    fn a_hung_service_is_told_in_its_facts() {
        let [markdown, slack] = both(&shop(), &shop_source());
        insta::assert_snapshot!("shop", markdown);
        insta::assert_snapshot!("shop_slack", slack);
    }

    #[test]
    fn what_follows_and_notes_have_their_places() {
        let [markdown, slack] = both(&bank(), &bank_source());
        insta::assert_snapshot!("bank", markdown);
        insta::assert_snapshot!("bank_slack", slack);
    }

    fn ok(mut snapshot: Snapshot) -> Snapshot {
        (snapshot.findings, snapshot.verdict) = (Some(Vec::new()), Some(Verdict::Ok));
        snapshot
    }

    #[test]
    fn a_healthy_process_has_no_cause() {
        let sleeper = waits(task(1, "beat", &["beat app.py:9"], &[]), Wait::Timer, "");
        let [markdown, slack] = both(&ok(sample::snapshot(vec![sleeper])), &shop_source());
        insta::assert_snapshot!("healthy", markdown);
        assert!(!slack.contains('•') || slack.contains("• 1 × `beat`"), "{slack}");
        let [none, _] = both(&ok(sample::snapshot(Vec::new())), &shop_source());
        assert!(!none.contains("## ") && !none.contains("<details>"), "{none}");
    }

    #[test]
    fn what_may_be_a_hang_is_no_cause_yet() {
        let mut snapshot = shop();
        for finding in snapshot.findings.iter_mut().flatten() {
            finding.severity = Severity::Info;
        }
        snapshot.verdict = Some(Verdict::Undecided);
        let (reason, title) = (Doubt::TooSoon, "61 tasks wait".to_owned());
        let code = Some(Code::PeerSilent);
        snapshot.undecided = vec![Undecided { reason, title, code, seen_for: None }];
        let text = report(&snapshot, &shop_source(), Dialect::Markdown);
        assert!(text.contains("too soon to say\n\n**undecided** · "), "{text}");
        assert!(text.contains("\n## What it may be\n\n**`peer-silent`**\n"), "{text}");
    }

    #[test]
    fn without_a_loop_it_says_whom_to_ask() {
        let mut snapshot = ok(sample::snapshot(Vec::new()));
        snapshot.loops.clear();
        let text = report(&snapshot, &shop_source(), Dialect::Markdown);
        assert!(text.starts_with("# no event loop to judge: process 4711 has none\n"), "{text}");
        assert!(text.contains("\ntry: aiospy dump --threads 4711"), "{text}");
    }

    /// Whatever markup there is.
    const EVIL: &str = "a|b`c``d\n# <script>*x*</script> [l](http://e) @team _u_ $m$ ```";

    #[test]
    fn nothing_foreign_is_markup() {
        let mut snapshot = shop();
        let name: Arc<str> = EVIL.into();
        for task in &mut snapshot.tasks {
            task.name = Some(Arc::clone(&name));
            let kind = Some(WorkKind::Request);
            task.work = Some(Arc::new(Work { kind, name: Arc::clone(&name), ..Work::default() }));
            for frame in &mut task.frames {
                let location = Location { function: name.clone(), ..(*frame.location).clone() };
                *frame = Frame { location: Arc::new(location), locals: None };
            }
            if let Some(waiting) = &mut task.waiting_on {
                waiting.name = Some(EVIL.to_owned());
            }
        }
        for finding in snapshot.findings.iter_mut().flatten() {
            (finding.title, finding.advice) = (EVIL.into(), EVIL.to_owned());
        }
        let files =
            Sources::of(&[("/srv/shop.py", &format!("{}\n", EVIL.replace('\n', " ")).repeat(90))]);
        let [markdown, slack] = both(&snapshot, &files);
        insta::assert_snapshot!("foreign", markdown);
        insta::assert_snapshot!("foreign_slack", slack);
        // Each row of the table has the cells of its head.
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
        assert!(rows.len() > 3 && rows.iter().all(|row| bars(row) == 7), "{rows:#?}");
        // The tree ends where it is to end.
        let (_, tree) = markdown.split_once("</summary>\n\n").unwrap();
        let fence = tree.lines().next().unwrap().trim_end_matches("text");
        assert_eq!(tree.matches(fence).count(), 2, "{tree}");
        assert!(!slack.contains("<script>") && !slack.contains("**"), "{slack}");
    }

    #[test]
    fn a_code_span_ends_at_its_own_fence() {
        let code = |text| super::code(Dialect::Markdown, text);
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("``a"), "``` ``a ```");
        assert_eq!(code(" \n"), "`\\n`");
        assert_eq!(code(""), "");
        assert_eq!(super::code(Dialect::Slack, "a`<b>"), "`aˋ&lt;b&gt;`");
        for dialect in [Dialect::Markdown, Dialect::Slack] {
            assert_eq!(super::plain(dialect, "@all"), "@\u{2060}all");
        }
        let plain = |text| super::plain(Dialect::Markdown, text);
        assert_eq!(plain("order_17_x *"), "order_17_x \\*");
        assert_eq!(plain("_x_ a\\b"), "\\_x\\_ a\\\\b");
    }

    /// However much there is.
    #[test]
    fn it_has_room_in_a_comment_and_in_a_message() {
        let tasks = (0..2_000_u64).map(|n| {
            let name = "x".repeat(usize::try_from(n % 200).unwrap() + 1);
            task(n, &name, &[&format!("f app.py:{}", n % 500 + 1)], &[])
        });
        let mut snapshot = ok(sample::snapshot(tasks.collect()));
        snapshot.verdict = Some(Verdict::Findings);
        let findings = (1..=40).map(|n| {
            let severity = if n % 4 == 0 { Severity::Info } else { Severity::Warning };
            let title = format!("trouble {n}");
            let mut it = sample::finding(Code::LockConvoy, severity, &title, &[n]);
            it.id = FindingId(n);
            it.because_of = (10..20).contains(&n).then_some(FindingId(1));
            it.advice = "Do this at once. ".repeat(3);
            it
        });
        snapshot.findings = Some(findings.collect());
        let [markdown, slack] = both(&snapshot, &shop_source());
        assert!(markdown.len() < 65_536, "{}", markdown.len());
        assert!(slack.lines().count() <= MAX_SLACK, "{slack}");
        let chains = screen::causes(&snapshot).0.len();
        let more = chains - MAX_WHOLE - MAX_BRIEF;
        assert!(markdown.contains(&format!("\n- {more} more findings\n")), "{markdown}");
        assert!(markdown.contains("\n- and 5 more follow from it\n"), "{markdown}");
        assert!(markdown.contains("| 8 |") || markdown.contains("more groups"), "{markdown}");
        assert_eq!(by_root(snapshot.findings.as_ref().unwrap()).len(), chains + 8);
    }
}
