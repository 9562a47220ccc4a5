//! `aiospy diff A B`: what is other in a second dump or recording than in the first: tasks that
//! came and went, those that are still parked at the same line, shapes that grow, findings.

mod side;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::recording::{Moment, Recording, is_recording};
use aiospy::snapshot::Snapshot;
use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use rustc_hash::FxHashMap;
use serde::{Serialize, Serializer};

use self::side::{Entry, Fact, Side};
use crate::commands::document;
use crate::commands::outcome::Outcome;
use crate::io::output::{Destination, Output};
use crate::io::page::{Line, Page, Style};
use crate::io::trouble::Trouble;
use crate::report::json;
use crate::report::text::words;

/// The name and version of the JSON shape.
const SCHEMA: &str = "aiospy.diff/1";
/// Groups of each kind that are printed; the rest is counted.
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
        return Ok(Side::of(name, &snapshot));
    }
    let snapshot = document::read(file, "recording or dump")?;
    Ok(Side::of(name, &snapshot))
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
    findings: Findings<'s>,
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
    taken_at: Timestamp,
    tasks: usize,
}

#[derive(Debug, Serialize)]
struct Findings<'s> {
    new: Vec<&'s Fact>,
    gone: Vec<&'s Fact>,
    still: Vec<&'s Fact>,
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
        let gone = before.tasks.iter().filter(|task| !later.contains_key(&task.key()));
        let gone = gone.map(|task| (task, None)).collect();
        let (earlier, later) = (&before.findings[..], &after.findings[..]);
        let is_new = |fact: &&Fact| !fact.is_among(earlier, later);
        let is_gone = |fact: &&Fact| !fact.is_among(later, earlier);
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
            findings: Findings {
                new: after.findings.iter().filter(is_new).collect(),
                gone: before.findings.iter().filter(is_gone).collect(),
                still: after.findings.iter().filter(|fact| !is_new(fact)).collect(),
            },
            shapes: shapes(before, after),
            new: grouped(new),
            gone: grouped(gone),
            parked: grouped(parked),
            moved: grouped(moved),
        }
    }

    fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        let gap = gap(self.before.taken_at, self.after.taken_at);
        let later = format!("  {} later", words::duration(gap));
        let later = if gap.is_zero() { String::new() } else { later };
        for (sign, told, later) in [("A", &self.before, ""), ("B", &self.after, later.as_str())] {
            let mut line = Line::new().with(Style::Strong, sign).with(Style::Plain, "  ");
            line.add(Style::Plain, told.file);
            line.add(Style::Dim, &format!("  {}{later}", words::counted(told.tasks, "task")));
            page.line(&line)?;
        }
        page.blank()?;
        self.write_findings(page)?;
        self.write_shapes(page)?;
        for (title, groups) in [
            ("new", &self.new),
            ("gone", &self.gone),
            ("still parked at the same line", &self.parked),
            ("moved since", &self.moved),
        ] {
            write_groups(title, groups, page)?;
        }
        Ok(())
    }

    fn write_findings(&self, page: &mut Page<'_>) -> io::Result<()> {
        let Findings { new, gone, still } = &self.findings;
        let line = format!(
            "findings: {} new, {} gone, {} still there",
            new.len(),
            gone.len(),
            still.len()
        );
        page.line(&Line::new().with(Style::Strong, &line))?;
        for (sign, style, facts) in
            [("+", Style::Alarm, new), ("-", Style::Dim, gone), ("=", Style::Notice, still)]
        {
            for fact in facts {
                let text = format!("  {sign} [{}] {}", fact.code, fact.title);
                page.line(&Line::new().with(style, &text))?;
            }
        }
        page.blank()
    }

    fn write_shapes(&self, page: &mut Page<'_>) -> io::Result<()> {
        let other: Vec<&Shape<'_>> =
            self.shapes.iter().filter(|shape| shape.before != shape.after).collect();
        if other.is_empty() {
            page.line(&Line::new().with(Style::Strong, "no group of tasks grew or shrank"))?;
            return page.blank();
        }
        page.line(&Line::new().with(Style::Strong, "numbers of tasks"))?;
        for shape in other.iter().take(MAX_GROUPS) {
            let sign = if shape.after > shape.before { "+" } else { "-" };
            let by = shape.after.abs_diff(shape.before);
            let numbers = format!("{:>7} → {:<7}", shape.before, shape.after);
            let mut line = Line::new().with(Style::Plain, &format!("  {numbers}{sign}{by:<7}"));
            line.add(Style::Strong, shape.name);
            if let Some(coroutine) = shape.coroutine {
                line.add(Style::Dim, &format!("  {coroutine}"));
            }
            page.line(&line)?;
        }
        rest(other.len(), page)?;
        page.blank()
    }
}

fn write_groups(title: &str, groups: &[Group<'_>], page: &mut Page<'_>) -> io::Result<()> {
    let all = groups.iter().map(|group| group.count).sum();
    if all == 0 {
        return Ok(());
    }
    page.line(&Line::new().with(Style::Strong, &format!("{} {title}", words::count(all))))?;
    for group in groups.iter().take(MAX_GROUPS) {
        let mut line = Line::new()
            .with(Style::Plain, &format!("  {:>6}  ", format!("×{}", words::count(group.count))));
        line.add(Style::Strong, group.name);
        line.add(Style::Plain, &format!("  {}", group.coroutine.unwrap_or_default()));
        if let Some(was_at) = group.was_at {
            line.add(Style::Dim, &format!("  {was_at} →"));
        }
        if let Some(place) = group.place {
            line.add(Style::Dim, &format!("  {place}"));
        }
        line.add(Style::Reason, &format!("  {}", group.waits_for));
        if let Some(time) = group.longest {
            line.add(Style::Dim, &format!(", for {}", words::duration(time)));
        }
        page.line(&line)?;
    }
    rest(groups.len(), page)?;
    page.blank()
}

fn rest(all: usize, page: &mut Page<'_>) -> io::Result<()> {
    match all.checked_sub(MAX_GROUPS) {
        Some(more) if more > 0 => {
            page.line(&Line::new().with(Style::Dim, &format!("  … {more} more kinds")))
        }
        _ => Ok(()),
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
    use aiospy::snapshot::SCHEMA as SCHEMA_OF_DUMPS;
    use serde_json::{Value, json};

    use super::*;

    fn task(id: &str, name: &str, line: u32, kind: &str) -> Value {
        json!({
            "id": id, "name": name, "state": "pending", "coroutine": "work",
            "frames": [{"function": "work", "file": "/srv/app.py", "line": line}],
            "waiting_on": {"kind": kind, "description": kind, "name": "lock", "object": "0x9", "since_ms": 70_000.0},
            "awaited_by": [],
        })
    }

    fn side(name: &str, document: &Value) -> Side {
        Side::of(name.to_owned(), &Snapshot::from_json(document.to_string().as_bytes()).unwrap())
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
        let mut out = Vec::new();
        difference.write(&mut Page::new(&mut out, None, false)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("B  b  5 tasks  65.0 s later"), "{text}");
        assert!(text.contains("1 still parked at the same line\n      ×1  w-*  work  work (/srv/app.py:7)  lock lock, for 70.0 s"), "{text}");
    }
}
