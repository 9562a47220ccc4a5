//! `aiospy diff A B`: what changed from one dump or recording to a later one: findings, groups that
//! grew or shrank, who made no progress meanwhile, and what that comes to.

mod rows;
mod side;
mod verdict;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::recording::{Moment, Recording, is_recording};
use aiospy::snapshot::Snapshot;
use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Serialize, Serializer};
use unicode_width::UnicodeWidthStr as _;

use self::rows::Row;
use self::side::{Entry, Fact, Side};
use self::verdict::Verdict;
use crate::commands::document;
use crate::commands::outcome::Outcome;
use crate::io::output::{Destination, Output};
use crate::io::page::{Line, Page, Style, clean, fit};
use crate::io::trouble::Trouble;
use crate::report::json;
use crate::report::text::processes::{Cell, Column, number, table, text};
use crate::report::text::words;

/// The name and version of the JSON shape.
const SCHEMA: &str = "aiospy.diff/1";
/// Groups that are printed; the rest is counted.
const MAX_GROUPS: usize = 30;

/// Times of two dumps are told from two clocks.
const SAME: Duration = Duration::from_millis(50);

/// Options of `diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// A recording, or a dump written by `aiospy dump --json`
    #[arg(value_name = "A")]
    before: PathBuf,
    /// A later one of the same program; without it, the beginning and the end of recording A are compared
    #[arg(value_name = "B")]
    after: Option<PathBuf>,
    /// Print JSON
    #[arg(short = 'j', long = "json")]
    is_json: bool,
    #[command(flatten)]
    output: Output,
}

/// Runs the command.
///
/// # Errors
/// When one of the files cannot be read, or the output not be written.
pub fn run(options: &Diff) -> anyhow::Result<Outcome> {
    let before = Path::new(&options.before);
    let (first, second) = match &options.after {
        Some(after) => (read(before, End::Last)?, read(after, End::Last)?),
        None if is_recording(before)
            .with_context(|| format!("can't read {}", before.display()))? =>
        {
            (read(before, End::First)?, read(before, End::Last)?)
        }
        None => {
            let cause = format!("{} is no recording with a beginning and an end", before.display());
            let remedy = "aiospy diff A B, with the dump that it is to be compared with";
            return Err(Trouble::new(cause, remedy).into());
        }
    };
    let difference = Difference::of(&first, &second);
    let mut to = Destination::open(&options.output)?;
    if options.is_json {
        json::write(&difference, &mut to)?;
    } else {
        difference.write(&mut to.page())?;
    }
    to.finish()?;
    Ok(Outcome::Done)
}

/// Which sample of a recording is meant.
#[derive(Debug, Clone, Copy)]
enum End {
    First,
    Last,
}

fn read(file: &Path, end: End) -> anyhow::Result<Side> {
    let cannot = || format!("can't read {}", file.display());
    let name = file.display().to_string();
    if is_recording(file).with_context(cannot)? {
        let mut recording = Recording::open(file).with_context(cannot)?;
        let snapshot: Snapshot = match end {
            End::First => first(&mut recording),
            End::Last => recording.sample(recording.len().saturating_sub(1)).map(of_moment),
        }
        .with_context(cannot)?;
        return Ok(Side::of(name, snapshot));
    }
    let snapshot = document::read(file, "recording or dump")?;
    Ok(Side::of(name, snapshot))
}

/// The first sample that tells what is wrong, for which there had to be one before it; else the
/// very first.
fn first(recording: &mut Recording) -> Result<Snapshot, aiospy::recording::Error> {
    for number in 0..recording.len().min(MAX_WITHOUT_FINDINGS) {
        let moment = recording.sample(number)?;
        if moment.snapshot.looks >= Some(2) {
            return Ok(of_moment(moment));
        }
    }
    recording.sample(0).map(of_moment)
}

/// A snapshot with the findings that were open then: what one sample says for itself is only a
/// part of them.
fn of_moment(moment: Moment) -> Snapshot {
    let mut snapshot = moment.snapshot;
    let open = moment.open.into_iter().map(|tracked| tracked.finding);
    snapshot.findings = snapshot.findings.map(|_| open.collect());
    snapshot
}

/// Samples at the beginning of a recording that may yet say nothing of what is wrong.
const MAX_WITHOUT_FINDINGS: usize = 1000;

/// What is other.
#[derive(Serialize)]
struct Difference<'s> {
    schema: &'static str,
    tool: json::Tool,
    before: SideSummary<'s>,
    after: SideSummary<'s>,
    verdict: Verdict,
    findings: Findings<'s>,
    groups: Vec<Row>,
    /// Numbers of tasks by shape, those that grew most first.
    shapes: Vec<Shape<'s>>,
    new: Vec<Group<'s>>,
    gone: Vec<Group<'s>>,
    /// Still at the same line, waiting for the same thing.
    parked: Vec<Group<'s>>,
    /// There at both, and elsewhere.
    moved: Vec<Group<'s>>,
}

#[derive(Debug, Serialize)]
struct SideSummary<'s> {
    file: &'s str,
    #[serde(serialize_with = "json::as_instant")]
    taken_at: Timestamp,
    tasks: usize,
}

#[derive(Debug, Serialize)]
struct Findings<'s> {
    new: Vec<&'s Fact>,
    worse: Vec<Changed<'s>>,
    still: Vec<Changed<'s>>,
    better: Vec<Changed<'s>>,
    closed: Vec<&'s Fact>,
}

/// One that is there at both times.
#[derive(Debug, Serialize)]
struct Changed<'s> {
    #[serde(flatten)]
    fact: &'s Fact,
    #[serde(skip)]
    was: &'s Fact,
}

impl Changed<'_> {
    fn is_worse(&self) -> bool {
        (self.fact.severity, self.fact.waiters) > (self.was.severity, self.was.waiters)
    }

    fn is_better(&self) -> bool {
        (self.fact.severity, self.fact.waiters) < (self.was.severity, self.was.waiters)
    }

    /// ` (+5.24 s)`, ` (±0)`: how much longer it has been so, or how many more it is about.
    fn by(&self) -> String {
        match (self.was.since, self.fact.since) {
            (Some(was), Some(now)) => {
                let sign = if now >= was { '+' } else { '-' };
                format!(" ({sign}{})", words::duration(now.abs_diff(was)))
            }
            _ if self.fact.waiters == 0 && self.was.waiters == 0 => String::new(),
            _ => format!(" ({})", signed(self.was.waiters, self.fact.waiters, "±0")),
        }
    }
}

/// `+3`, `-2`; what stands for none.
fn signed(was: usize, now: usize, none: &str) -> String {
    let by = words::count(now.abs_diff(was));
    match now.cmp(&was) {
        std::cmp::Ordering::Greater => format!("+{by}"),
        std::cmp::Ordering::Less => format!("-{by}"),
        std::cmp::Ordering::Equal => none.to_owned(),
    }
}

#[derive(Debug, Serialize)]
struct Shape<'s> {
    name: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    coroutine: Option<&'s str>,
    before: usize,
    after: usize,
}

/// Tasks that are alike.
#[derive(Debug, Serialize)]
struct Group<'s> {
    count: usize,
    name: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    coroutine: Option<&'s str>,
    /// Where they are, or were before they went.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'s str>,
    waits_for: &'s str,
    /// Of those that moved: where they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    was_at: Option<&'s str>,
    /// The longest that one of them has waited.
    #[serde(
        rename = "longest_ms",
        serialize_with = "as_ms",
        skip_serializing_if = "Option::is_none"
    )]
    longest: Option<Duration>,
    tasks: Vec<Address>,
}

#[expect(clippy::ref_option, reason = "the shape serde asks for")]
fn as_ms<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(json::ms).serialize(to)
}

/// Tasks that are where they were.
struct Stays {
    /// At the same line, waiting for the same thing.
    parked: FxHashSet<Address>,
    /// Those of them of which it is certain that they did nothing in between.
    stood: FxHashSet<Address>,
}

impl Stays {
    fn of(
        parked: &[(&Entry, Option<&str>)],
        earlier: &FxHashMap<(Address, Option<&str>, Option<&str>), &Entry>,
        gap: Duration,
    ) -> Self {
        let time = gap.saturating_sub(SAME);
        let has_stood =
            |task: &Entry| earlier.get(&task.key()).is_some_and(|was| task.has_stood(was, time));
        let mut rest: Vec<&Entry> = parked.iter().map(|(task, _)| *task).collect();
        let mut all =
            Self { parked: rest.iter().map(|task| task.id).collect(), stood: FxHashSet::default() };
        // Nor did those go on that wait for what one of them has held meanwhile.
        loop {
            let (stood, others): (Vec<&Entry>, Vec<&Entry>) = rest.iter().partition(|task| {
                let holders = &task.holders;
                let is_held =
                    !holders.is_empty() && holders.iter().all(|id| all.stood.contains(id));
                is_held || has_stood(task)
            });
            if stood.is_empty() {
                return all;
            }
            all.stood.extend(stood.iter().map(|task| task.id));
            rest = others;
        }
    }
}

/// Tasks of a group that are named in JSON.
const MAX_NAMED: usize = 1000;

/// How much later the second is; a clock may have been set back meanwhile.
fn gap(before: Timestamp, after: Timestamp) -> Duration {
    Duration::try_from(after.duration_since(before)).unwrap_or_default()
}

impl<'s> Difference<'s> {
    fn of(before: &'s Side, after: &'s Side) -> Self {
        let earlier: FxHashMap<_, &Entry> =
            before.tasks.iter().map(|task| (task.key(), task)).collect();
        let later: FxHashMap<_, &Entry> =
            after.tasks.iter().map(|task| (task.key(), task)).collect();
        let gap = gap(before.taken_at, after.taken_at);
        // One that has waited for less than what lies between has been elsewhere meanwhile.
        let has_stayed =
            |task: &Entry| task.since.is_none_or(|since| since.saturating_add(SAME) >= gap);
        let (mut new, mut parked, mut moved) = (Vec::new(), Vec::new(), Vec::new());
        for task in &after.tasks {
            match earlier.get(&task.key()) {
                None => new.push((task, None)),
                Some(was) if task.is_parked() && was.is_at_same_place(task) && has_stayed(task) => {
                    parked.push((task, None));
                }
                Some(was) => moved.push((task, was.place.as_deref())),
            }
        }
        let stays = Stays::of(&parked, &earlier, gap);
        let rows = rows::rows(&before.snapshot, &after.snapshot, &stays);
        let gone = before.tasks.iter().filter(|task| !later.contains_key(&task.key()));
        let gone = gone.map(|task| (task, None)).collect();
        let findings = Findings::of(before, after);
        let is_same = findings.has_not_changed() && rows.iter().all(|row| row.before == row.after);
        let verdict = Verdict::of(&before.snapshot, &after.snapshot, &stays.stood, gap, is_same);
        Self {
            schema: SCHEMA,
            tool: json::Tool::this(),
            before: SideSummary {
                file: &before.file,
                taken_at: before.taken_at,
                tasks: before.tasks.len(),
            },
            after: SideSummary {
                file: &after.file,
                taken_at: after.taken_at,
                tasks: after.tasks.len(),
            },
            verdict,
            findings,
            groups: rows,
            shapes: shapes(before, after),
            new: grouped(new),
            gone: grouped(gone),
            parked: grouped(parked),
            moved: grouped(moved),
        }
    }

    fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        let gap = gap(self.before.taken_at, self.after.taken_at);
        let later = format!(", {} later", words::duration(gap));
        let later = if gap.is_zero() { String::new() } else { later };
        let files = [self.before.file, self.after.file].map(|file| clean(file).into_owned());
        let width = files.iter().map(|file| file.width()).max().unwrap_or(0);
        let sides = [("A", &self.before, ""), ("B", &self.after, later.as_str())];
        for ((sign, side, later), file) in sides.into_iter().zip(files) {
            let mut line = Line::new().with(Style::Plain, "   ").with(Style::Strong, sign);
            line.add(Style::Plain, &format!("  {file}"));
            line.pad_to(6 + width + 2);
            let at = side.taken_at.strftime("%Y-%m-%d %H:%M:%S.%3fZ").to_string();
            let at = if sign == "A" { &at } else { at.split_once(' ').map_or("", |(_, at)| at) };
            let tasks = words::counted(side.tasks, "task");
            line.add(Style::Dim, &format!("{at}  {tasks}{later}"));
            page.line(&line)?;
        }
        page.blank()?;
        self.write_findings(page)?;
        self.write_groups(page)?;
        let (style, sign) = self.verdict.sign();
        page.line(&Line::new().with(style, sign).with(Style::Strong, &self.verdict.text))
    }

    fn write_findings(&self, page: &mut Page<'_>) -> io::Result<()> {
        let Findings { new, worse, still, better, closed } = &self.findings;
        let open = worse.len() + still.len() + better.len();
        let counts =
            format!("   findings  {} new · {} closed · {open} still open", new.len(), closed.len());
        page.line(&Line::new().with(Style::Dim, &counts))?;
        let all = new.iter().map(|fact| ("+", Style::Alarm, *fact, String::new()));
        let all = all.chain(worse.iter().map(|it| (">", Style::Alarm, it.fact, it.by())));
        let all = all.chain(still.iter().map(|it| ("=", Style::Notice, it.fact, it.by())));
        let all = all.chain(better.iter().map(|it| ("<", Style::Notice, it.fact, it.by())));
        let closed = closed.iter().map(|fact| ("-", Style::Dim, *fact, String::new()));
        for (sign, style, fact, by) in all.chain(closed) {
            let code = format!("[{}]", fact.code);
            let mut line = Line::new().with(style, sign);
            line.pad_to(3);
            let below = if fact.is_follower { "└ " } else { "" };
            let room = page.columns().saturating_sub(line.width() + code.len() + 2);
            let left = room.saturating_sub(below.width() + by.width());
            let title = match sign {
                "-" => fact.sentence.over(""),
                _ => fact.sentence.within(left),
            };
            let text = format!("{below}{}{by}", clean(&title));
            line.add(Style::Plain, &fit(&text, room));
            line.pad_to(page.columns().saturating_sub(code.len()));
            page.line(&line.with(Style::Dim, &code))?;
        }
        page.blank()
    }

    fn write_groups(&self, page: &mut Page<'_>) -> io::Result<()> {
        const COLUMNS: [Column; 6] = [
            text("STATE", 12),
            number("A"),
            number("B"),
            number("Δ"),
            text("WORK", 32),
            text("WAITS FOR", usize::MAX),
        ];
        if !self.groups.is_empty() {
            let rows: Vec<Vec<Cell>> =
                self.groups.iter().take(MAX_GROUPS).map(Row::cells).collect();
            table(&COLUMNS, &rows, page)?;
            if let Some(more) = self.groups.len().checked_sub(MAX_GROUPS + 1) {
                let more = words::counted(more + 1, "more group");
                page.line(&Line::new().with(Style::Dim, &more))?;
            }
            page.blank()?;
        }
        let count = |is: &dyn Fn(&&Row) -> bool| self.groups.iter().filter(is).count();
        let (grew, shrank) =
            (count(&|row| row.after > row.before), count(&|row| row.after < row.before));
        let said = match (grew, shrank) {
            (0, 0) => "no group grew or shrank".to_owned(),
            (grew, 0) => format!("{} grew", words::counted(grew, "group")),
            (0, shrank) => format!("{} shrank", words::counted(shrank, "group")),
            (grew, shrank) => format!("{} grew, {shrank} shrank", words::counted(grew, "group")),
        };
        page.line(&Line::new().with(Style::Dim, &format!("   {said}")))
    }
}

impl<'s> Findings<'s> {
    fn of(before: &'s Side, after: &'s Side) -> Self {
        let (earlier, later) = (&before.findings[..], &after.findings[..]);
        let mut all = Self {
            new: Vec::new(),
            worse: Vec::new(),
            still: Vec::new(),
            better: Vec::new(),
            closed: earlier.iter().filter(|fact| fact.among(later, earlier).is_none()).collect(),
        };
        for fact in later {
            let Some(was) = fact.among(earlier, later) else {
                all.new.push(fact);
                continue;
            };
            let changed = Changed { fact, was };
            let those = match &changed {
                it if it.is_worse() => &mut all.worse,
                it if it.is_better() => &mut all.better,
                _ => &mut all.still,
            };
            those.push(changed);
        }
        all
    }

    fn has_not_changed(&self) -> bool {
        let Self { new, worse, better, closed, .. } = self;
        new.is_empty() && worse.is_empty() && better.is_empty() && closed.is_empty()
    }
}

fn shapes<'s>(before: &'s Side, after: &'s Side) -> Vec<Shape<'s>> {
    let mut counts: FxHashMap<(&str, Option<&str>), (usize, usize)> = FxHashMap::default();
    for task in &before.tasks {
        counts.entry(task.shape()).or_default().0 += 1;
    }
    for task in &after.tasks {
        counts.entry(task.shape()).or_default().1 += 1;
    }
    let mut shapes: Vec<Shape<'s>> = counts
        .into_iter()
        .map(|((name, coroutine), (before, after))| Shape { name, coroutine, before, after })
        .collect();
    let grown = |shape: &Shape<'_>| {
        std::cmp::Reverse(
            i64::try_from(shape.after).unwrap_or(i64::MAX)
                - i64::try_from(shape.before).unwrap_or(i64::MAX),
        )
    };
    shapes.sort_by(|a, b| (grown(a), a.name, a.coroutine).cmp(&(grown(b), b.name, b.coroutine)));
    shapes
}

/// Tasks that are alike together, the largest groups first.
fn grouped<'s>(tasks: Vec<(&'s Entry, Option<&'s str>)>) -> Vec<Group<'s>> {
    let mut groups: Vec<Group<'s>> = Vec::new();
    let mut index = FxHashMap::default();
    for (task, was_at) in tasks {
        let key = (task.shape(), task.place.as_deref(), task.waits_for.as_str(), was_at);
        let at = *index.entry(key).or_insert(groups.len());
        if at == groups.len() {
            let (name, coroutine) = task.shape();
            groups.push(Group {
                count: 0,
                name,
                coroutine,
                place: task.place.as_deref(),
                waits_for: &task.waits_for,
                was_at,
                longest: None,
                tasks: Vec::new(),
            });
        }
        let Some(group) = groups.get_mut(at) else { continue };
        group.count += 1;
        if group.tasks.len() < MAX_NAMED {
            group.tasks.push(task.id);
        }
        group.longest = group.longest.max(task.since);
    }
    groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(b.name)));
    groups
}

#[cfg(test)]
mod tests {
    use aiospy::snapshot::{Age, SCHEMA as SCHEMA_OF_DUMPS, Wait};
    use serde_json::{Value, json};

    use super::*;
    use crate::report::text::sample;

    fn task(id: &str, name: &str, line: u32, kind: &str) -> Value {
        json!({
            "id": id, "name": name, "state": "pending", "coroutine": "work",
            "frames": [{"function": "work", "file": "/srv/app.py", "line": line}],
            "waiting_on": {"kind": kind, "description": kind, "name": "lock", "object": "0x9", "since_ms": 70_000.0},
            "awaited_by": [],
        })
    }

    fn side(name: &str, document: &Value) -> Side {
        Side::of(name.to_owned(), Snapshot::from_json(document.to_string().as_bytes()).unwrap())
    }

    fn written(difference: &Difference<'_>) -> String {
        let mut out = Vec::new();
        difference.write(&mut Page::new(&mut out, Some(80), false)).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The shop, and what became of it some seconds later.
    fn later(change: impl FnOnce(&mut Snapshot)) -> [Side; 2] {
        let before = sample::shop();
        let mut after = before.clone();
        let passed = Duration::from_millis(5_240);
        after.taken_at += passed;
        for finding in after.findings.iter_mut().flatten() {
            finding.since = finding.since.map(|age| Age { time: age.time + passed, ..age });
        }
        change(&mut after);
        [Side::of("s3.json".to_owned(), before), Side::of("s4.json".to_owned(), after)]
    }

    #[test]
    fn who_makes_no_progress_hangs() {
        let [before, after] = later(|_| {});
        let difference = Difference::of(&before, &after);
        insta::assert_snapshot!("hang", written(&difference));
        let json = serde_json::to_value(&difference).unwrap();
        assert_eq!(json["verdict"]["change"], "hang");
        json::assert_shape("diff", &json);
    }

    #[test]
    fn it_recovers_or_gets_worse() {
        let verdict = |sides: &[Side; 2]| Difference::of(&sides[0], &sides[1]).verdict.text;
        let mut sides = later(|snapshot| {
            snapshot.findings = Some(Vec::new());
            snapshot.tasks.truncate(12);
        });
        assert_eq!(verdict(&sides), "161 stuck requests went on or ended: it recovered");
        sides.reverse();
        assert_eq!(verdict(&sides), "161 requests are stuck: it got worse: +161");
        let nothing = later(|snapshot| snapshot.findings = Some(Vec::new()));
        let same = Difference::of(&nothing[1], &nothing[1]);
        assert_eq!(same.verdict.text, "no difference");
    }

    #[test]
    fn who_is_where_it_was_may_have_been_elsewhere_meanwhile() {
        let [before, after] = later(|snapshot| {
            for task in &mut snapshot.tasks {
                let waiting = task.waiting_on.as_mut().unwrap();
                if let Wait::Socket(descriptor) = &mut waiting.wait {
                    descriptor.socket = None;
                }
            }
        });
        let difference = Difference::of(&before, &after);
        assert_eq!(
            difference.verdict.text,
            "0 of 161 stuck requests are known to have made no progress in 5.24 s"
        );
        let text = written(&difference);
        let is_said = |line: &str| line.starts_with("same place ") && line.contains("/stock/");
        assert!(text.lines().any(is_said) && !text.contains("\nno progress"), "{text}");
    }

    #[test]
    fn a_finding_that_is_gone_is_in_the_past() {
        let [before, after] = later(|snapshot| snapshot.findings = Some(Vec::new()));
        let text = written(&Difference::of(&before, &after));
        assert!(text.contains("-  127.0.0.1:18999 was silent for ≥ 62.3 s"), "{text}");
        assert!(text.contains("0 new · 2 closed · 0 still open"), "{text}");
    }

    #[test]
    fn tasks_are_told_apart_by_what_became_of_them() {
        let finding = |title: &str| json!({"code": "deadlock", "severity": "critical", "title": title, "tasks": ["0x1"]});
        let before = side(
            "a",
            &json!({
                "schema": SCHEMA_OF_DUMPS,
                "taken_at": "2024-01-01T00:00:00Z",
                "tasks": [task("0x1", "w-1", 7, "lock"), task("0x2", "w-2", 7, "lock"), task("0x3", "x", 7, "lock")],
                "findings": [finding("stuck for 1 s")],
            }),
        );
        let after = side(
            "b",
            &json!({
                "schema": SCHEMA_OF_DUMPS,
                "taken_at": "2024-01-01T00:01:05Z",
                "tasks": [
                    task("0x1", "w-1", 7, "lock"), task("0x2", "w-2", 8, "lock"),
                    task("0x4", "w-3", 7, "lock"), task("0x5", "w-4", 7, "lock"),
                    // Another one at the address of one that has ended.
                    task("0x3", "y", 7, "lock"),
                ],
                "findings": [finding("stuck for 66 s")],
            }),
        );
        let difference = Difference::of(&before, &after);
        let counts =
            |groups: &[Group<'_>]| groups.iter().map(|group| group.count).collect::<Vec<_>>();
        assert_eq!(counts(&difference.new), [2, 1]);
        assert_eq!(counts(&difference.gone), [1]);
        assert_eq!((difference.gone[0].name, difference.parked[0].name), ("x", "w-*"));
        assert_eq!(counts(&difference.parked), [1]);
        assert_eq!(counts(&difference.moved), [1]);
        assert_eq!(difference.moved[0].was_at, Some("work (/srv/app.py:7)"));
        assert_eq!((difference.findings.new.len(), difference.findings.still.len()), (0, 1));
        let first = &difference.shapes[0];
        assert_eq!((first.name, first.before, first.after), ("w-*", 2, 4));
        let text = written(&difference);
        assert!(text.contains("00:01:05.000Z  5 tasks, 65.0 s later"), "{text}");
        assert!(text.contains("=  stuck for 66 s"), "{text}");
    }
}
