//! Processes as rows: which they are, what their loops do, what is wrong in each.

use std::cmp::Reverse;
use std::io;
use std::time::Duration;

use aiospy::Error;
use aiospy::error::Access;
use aiospy::known::command;
use aiospy::snapshot::{
    Container, Finding, Level, Loop, LoopState, Process, Severity, Snapshot, Verdict,
    duration_in_column, with_separators,
};
use aiospy::watch::several::Looked;
use jiff::Timestamp;
use rustc_hash::FxHashMap;
use unicode_width::UnicodeWidthStr as _;

use super::group::Group;
use super::words::processes;
use super::{findings, screen, source::Lines, verdict, words};
use crate::io::page::{Line, Page, Style, clean, fit};

/// How many columns of a command line are shown.
const MAX_COMMAND: usize = 60;
/// From this width on there are more columns.
const WIDE: usize = 100;

/// What a row says of its process, from bad to good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    Critical,
    Warning,
    Undecided,
    Ok,
    /// It has no loop to be judged.
    None,
    /// It could not be read.
    Unread,
}

impl Sign {
    /// That of a process.
    pub fn of(looked: &Looked) -> Self {
        let Ok(snapshot) = &looked.read else {
            let is_none = matches!(looked.read, Err(Error::NoAsyncio { .. }));
            return if is_none { Self::None } else { Self::Unread };
        };
        Self::of_snapshot(snapshot, looked.timed_out.is_some())
    }

    /// That of one that was read, if not always or not in time.
    pub fn of_snapshot(snapshot: &Snapshot, is_unread: bool) -> Self {
        let worst = snapshot.findings.iter().flatten().map(|finding| finding.severity).max();
        match worst {
            Some(Severity::Critical) => Self::Critical,
            Some(Severity::Warning) => Self::Warning,
            _ if is_unread => Self::Unread,
            _ if !snapshot.has_loop_to_judge() => Self::None,
            _ if snapshot.verdict == Some(Verdict::Ok) => Self::Ok,
            _ => Self::Undecided,
        }
    }

    /// Its look and its two columns.
    pub fn shown(self) -> (Style, &'static str) {
        match self {
            Self::Critical => (Style::Alarm, "!!"),
            Self::Warning => (Style::Notice, "! "),
            Self::Undecided => (Style::Notice, "? "),
            Self::Ok => (Style::Active, "ok"),
            Self::None => (Style::Plain, "  "),
            Self::Unread => (Style::Dim, "x "),
        }
    }
}

/// The worst that was found in a process.
pub fn worst(snapshot: &Snapshot) -> Option<&Finding> {
    let findings = snapshot.findings.as_deref().unwrap_or_default();
    let shown = findings.iter().filter(|it| it.severity > Severity::Info);
    // Of those that are as bad the cause, and the first.
    shown.min_by_key(|it| (Reverse(it.severity), it.because_of.is_some()))
}

/// What the loops of a process do, in a word or two: `BLOCKED 3.93 s`.
pub fn state(looked: &Looked) -> (Style, String) {
    match &looked.read {
        Ok(snapshot) => state_of(snapshot),
        Err(Error::NoAsyncio { .. }) => (Style::Dim, "no asyncio".to_owned()),
        Err(_) => (Style::Dim, String::new()),
    }
}

/// The same of a process that was read.
pub fn state_of(snapshot: &Snapshot) -> (Style, String) {
    let Some(known) = snapshot.telling_loop() else {
        let is_inherited = |it: Option<LoopState>| it == Some(LoopState::Inherited);
        let words = match &snapshot.loops[..] {
            [] => "none",
            loops if loops.iter().all(|it| is_inherited(it.state)) => "none of its own",
            loops if loops.iter().any(Loop::may_run) => "control socket",
            _ => "not running",
        };
        return (Style::Dim, words.to_owned());
    };
    let (style, word) = match known.state {
        Some(LoopState::Blocked) => (Style::Alarm, "BLOCKED"),
        Some(LoopState::Running) => (Style::Active, "running"),
        Some(LoopState::Polling) => (Style::Plain, "polling"),
        _ => (Style::Dim, "unknown"),
    };
    // For how long one polls says nothing about it.
    let elapsed = known.iteration.as_ref().and_then(|it| it.elapsed);
    let elapsed = elapsed.filter(|_| known.state == Some(LoopState::Blocked));
    let mut words =
        elapsed.map_or(word.to_owned(), |it| format!("{word} {}", duration_in_column(it)));
    let others = snapshot.loops.iter().filter(|it| it.may_run()).count();
    if others > 1 {
        words = format!("{words}, 1 of {others}");
    }
    (style, words)
}

/// Why a process could not be read, in a few words.
pub fn unread(error: &Error) -> String {
    match error {
        Error::NotPermitted { access, .. } => format!("not permitted{}", gate(access)),
        Error::Proc { .. } => "not permitted".to_owned(),
        Error::NoAsyncio { .. } => "no asyncio".to_owned(),
        Error::NotPython { .. } => "no Python".to_owned(),
        Error::UnsupportedVersion { version, .. } => format!("Python {version}: not supported"),
        Error::NotInitialized { phase, .. } => (*phase).to_owned(),
        Error::TimedOut { .. } => "too slow to read".to_owned(),
        Error::NoSuchProcess { .. } => "no such process".to_owned(),
        Error::TargetGone { .. } => "ended".to_owned(),
        Error::RuntimeNotFound { .. } => "its Python was not found".to_owned(),
        _ => "not to be read".to_owned(),
    }
}

/// The gate that is shut, where that is plain.
fn gate(access: &Access) -> String {
    match (access.our_uid, access.target_uid) {
        (Some(ours), Some(theirs)) if ours != theirs => format!(": uid {theirs}"),
        _ if access.is_dumpable == Some(false) => ": not dumpable".to_owned(),
        _ => String::new(),
    }
}

/// What stands in a column of a row.
pub type Cell = (Style, String);

/// A column of a table.
pub struct Column {
    head: &'static str,
    is_number: bool,
    /// How wide it may be where others follow.
    most: usize,
}

/// One of texts, so wide at most where others follow.
pub const fn text(head: &'static str, most: usize) -> Column {
    Column { head, is_number: false, most }
}

/// One of numbers.
pub const fn number(head: &'static str) -> Column {
    Column { head, is_number: true, most: usize::MAX }
}

/// Writes rows below their heads; columns that are empty in every row are left out, and the last of
/// the others takes what room there is.
///
/// # Errors
/// Those of the page.
pub fn table(columns: &[Column], rows: &[Vec<Cell>], page: &mut Page<'_>) -> io::Result<()> {
    let cell = |row: &Vec<Cell>, at: usize| {
        let (style, text) = row.get(at).map_or((Style::Plain, ""), |(style, text)| (*style, text));
        (style, clean(text).into_owned())
    };
    let is_empty = |at: usize| rows.iter().all(|row| cell(row, at).1.is_empty());
    let is_used = |&(at, column): &(usize, &Column)| column.head.is_empty() || !is_empty(at);
    let used: Vec<(usize, &Column)> = columns.iter().enumerate().filter(is_used).collect();
    let width = |&(at, column): &(usize, &Column)| {
        let widths = rows.iter().map(|row| cell(row, at).1.width());
        widths.chain([column.head.width()]).max().unwrap_or(0).min(column.most)
    };
    let widths: Vec<usize> = used.iter().map(width).collect();
    let room = page.columns();
    let draw = |cells: Vec<Cell>| {
        let mut line = Line::new();
        let columns = used.iter().map(|(_, column)| column).zip(&widths);
        for (at, ((style, text), (column, width))) in cells.into_iter().zip(columns).enumerate() {
            if at > 0 {
                line.add(Style::Plain, "  ");
            }
            let is_last = at + 1 == used.len();
            let room = if is_last { room.saturating_sub(line.width()).max(1) } else { *width };
            let text = fit(&text, room);
            let blank = " ".repeat(width.saturating_sub(text.width()));
            match (is_last, column.is_number) {
                (_, true) => line.add(style, &format!("{blank}{text}")),
                (true, false) => line.add(style, &text),
                (false, false) => line.add(style, &format!("{text}{blank}")),
            }
        }
        line
    };
    let heads = used.iter().map(|(_, column)| (Style::Dim, column.head.to_owned()));
    page.line(&draw(heads.collect()))?;
    for row in rows {
        page.line(&draw(used.iter().map(|(at, _)| cell(row, *at)).collect()))?;
    }
    Ok(())
}

/// The cells that rows of each table have: sign, pid, loop, tasks.
fn sign(looked: &Looked) -> Cell {
    let (style, sign) = Sign::of(looked).shown();
    (style, sign.to_owned())
}

fn pid(looked: &Looked) -> Cell {
    (Style::Strong, looked.pid().to_string())
}

fn tasks(looked: &Looked) -> Cell {
    let known =
        looked.read.as_ref().ok().filter(|it| it.telling_loop().is_some() || !it.tasks.is_empty());
    (Style::Plain, known.map_or(String::new(), |it| with_separators(it.tasks.len())))
}

fn python(looked: &Looked) -> Cell {
    let version = looked.read.as_ref().ok().and_then(|it| it.process.python.clone());
    (Style::Plain, version.unwrap_or_default())
}

/// What is worst in it, or why it could not be read.
fn what(looked: &Looked) -> Cell {
    match (&looked.read, &looked.timed_out) {
        (Ok(snapshot), late) => match (worst(snapshot), late) {
            (Some(finding), _) => (Style::Plain, finding.title.to_string()),
            (None, Some(error)) => (Style::Notice, unread(error)),
            (None, None) => {
                let said = verdict::undecided(snapshot).filter(|_| snapshot.has_loop_to_judge());
                (Style::Dim, said.unwrap_or_default())
            }
        },
        (Err(Error::NoAsyncio { .. }), _) => (Style::Dim, String::new()),
        (Err(error), _) => (Style::Notice, unread(error)),
    }
}

/// Processes in the order of a table: what is wrong first, what could not be read last.
fn in_order<'l>(looked: impl Iterator<Item = &'l Looked>, root: Option<i32>) -> Vec<&'l Looked> {
    let mut all: Vec<&Looked> = looked.collect();
    all.sort_by_key(|it| {
        let sign = Sign::of(it);
        // Who only supervises stands below those that it has.
        (sign, sign == Sign::None && Some(it.pid()) == root, it.pid())
    });
    all
}

/// What each of several processes is there for: `worker 2`, `master`, `resource tracker`, or what it
/// runs.
pub fn roles(processes: &[&Process], root: Option<i32>) -> FxHashMap<i32, String> {
    let by_pid: FxHashMap<i32, &Process> = processes.iter().map(|it| (it.pid, *it)).collect();
    let mut pids: Vec<i32> = by_pid.keys().copied().collect();
    pids.sort_unstable();
    let mut workers: FxHashMap<i32, usize> = FxHashMap::default();
    let mut roles = FxHashMap::default();
    for pid in pids {
        let Some(process) = by_pid.get(&pid) else { continue };
        let parent = process.parent.and_then(|parent| by_pid.get(&parent));
        let is_copy = parent.is_some_and(|it| it.cmdline == process.cmdline);
        let is_parent = processes.iter().any(|it| it.parent == Some(pid));
        let role = if is_copy {
            let number = workers.entry(process.parent.unwrap_or_default()).or_insert(0);
            *number += 1;
            format!("worker {number}")
        } else if let Some(helper) = command::helper(&process.cmdline) {
            helper.to_owned()
        } else if root == Some(pid) && is_parent {
            "master".to_owned()
        } else {
            command::program(&process.cmdline)
        };
        roles.insert(pid, role);
    }
    roles
}

/// Writes the report of several processes: what is wrong, a row for each, what it comes to; that
/// comes first, too. Lines of source are those of the process that a finding is of.
///
/// # Errors
/// Those of the page.
pub fn group<'l, 'f: 'l>(
    group: &Group,
    lines: &dyn Fn(&Finding) -> &'l Lines<'f>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    const COLUMNS: [Column; 7] = [
        text("", 2),
        number("PID"),
        number("INSIDE"),
        text("ROLE", 40),
        text("LOOP", 24),
        number("TASKS"),
        text("WORST", usize::MAX),
    ];
    let verdict = |page: &mut Page<'_>| {
        let (style, sign) = verdict::sign(group.level());
        let (line, room) = (Line::new().with(style, sign), page.columns());
        page.wrapped(line, "   ", room, Style::Strong, &group.verdict())
    };
    verdict(page)?;
    let is_wrong = group.worst().is_some_and(|worst| worst > Severity::Info);
    if !is_wrong {
        page.blank()?;
    }
    screen::causes_of_several(group, lines, page)?;
    if let Some(root) = group.members.iter().find(|it| Some(it.pid()) == group.root) {
        header(root, group, page)?;
    }
    let processes: Vec<&Process> = group.members.iter().map(|it| &it.process).collect();
    let roles = roles(&processes, group.root);
    let row = |looked: &Looked| {
        let role = roles.get(&looked.pid()).cloned().unwrap_or_default();
        vec![
            sign(looked),
            pid(looked),
            (Style::Plain, inside(looked)),
            (Style::Plain, role),
            state(looked),
            tasks(looked),
            what(looked),
        ]
    };
    let rows: Vec<_> = in_order(group.members.iter(), group.root).into_iter().map(row).collect();
    table(&COLUMNS, &rows, page)?;
    page.blank()?;
    page.items("", Style::Dim, " · ", &footer(group))?;
    verdict(page)
}

/// Writes one line for each finding, and what they come to.
///
/// # Errors
/// Those of the page.
pub fn brief(group: &Group, least: Option<Severity>, page: &mut Page<'_>) -> io::Result<()> {
    findings::brief_lines(&group.findings, page)?;
    let level = group.level();
    let (style, word) = (verdict::sign(level).0, level.as_str());
    let allowed = group.allowed();
    let more = match allowed {
        0 => String::new(),
        _ if level == Level::Allowed => String::new(),
        allowed => format!("; {} allowed", words::counted(allowed, "finding")),
    };
    let said = match level {
        // What the command fails with says it.
        Level::NotJudged => return Ok(()),
        Level::Ok if least == Some(Severity::Info) && group.findings.len() > allowed => {
            let (style, word) = findings::word(Severity::Info);
            let said = words::counted(group.findings.len() - allowed, "note");
            let said = format!(": {said} ({}{more})", group.extent());
            return page.line(&Line::new().with(style, word).with(Style::Plain, &said));
        }
        Level::Ok => format!("{}{more}", group.verdict()),
        _ => format!("{} ({}{more})", group.verdict(), group.extent()),
    };
    page.line(&Line::new().with(style, word).with(Style::Plain, &format!(": {said}")))
}

/// `25775 gunicorn shop:app -w 4 · CPython 3.12.1 · up 8.02 s`
fn header(root: &Looked, group: &Group, page: &mut Page<'_>) -> io::Result<()> {
    let process = &root.process;
    let command = command::program(&process.cmdline);
    let mut line = Line::new().with(Style::Strong, &process.pid.to_string());
    line.add(Style::Plain, &format!(" {}", fit(&clean(&command), MAX_COMMAND)));
    let pythons = group.snapshots().filter_map(|it| it.process.python.as_deref());
    let mut words: Vec<String> = pythons.take(1).map(|it| format!("CPython {it}")).collect();
    words.extend(up(root).map(|up| format!("up {}", words::duration(up))));
    words.extend(process.container.as_ref().and_then(Container::short));
    words.push(processes(group.members.len()));
    line.add(Style::Dim, &format!(" · {}", words.join(" · ")));
    page.line(&line)
}

/// `5 processes · 18 tasks · 0 unreadable · one in full: aiospy dump 25781`
fn footer(group: &Group) -> Vec<String> {
    let mut words = vec![
        processes(group.members.len()),
        words::counted(group.tasks(), "task"),
        format!("{} unreadable", words::count(group.unread().count())),
    ];
    if group.ended > 0 {
        words.push(format!("{} ended", words::count(group.ended)));
    }
    let first = in_order(group.members.iter(), group.root).into_iter().find(|it| it.read.is_ok());
    words.extend(first.map(|it| format!("one in full: aiospy dump {}", it.pid())));
    words
}

/// Its id in its own namespace, where that is another one.
fn inside(looked: &Looked) -> String {
    let inner = looked.process.namespace_pid.filter(|inner| *inner != looked.pid());
    inner.map(|pid| pid.to_string()).unwrap_or_default()
}

fn up(looked: &Looked) -> Option<Duration> {
    let started_at = looked.process.started_at?;
    Duration::try_from(Timestamp::now().duration_since(started_at)).ok()
}

/// Writes the Python processes of a machine.
///
/// # Errors
/// Those of the page.
pub fn all(all: &[Looked], page: &mut Page<'_>) -> io::Result<()> {
    const COLUMNS: [Column; 10] = [
        text("", 2),
        number("PID"),
        number("INSIDE"),
        text("PYTHON", 10),
        number("UP"),
        text("LOOP", 24),
        number("TASKS"),
        text("CONTAINER", 20),
        text("COMMAND", 36),
        text("WORST", usize::MAX),
    ];
    if all.is_empty() {
        return page.text("no Python process here that can be seen");
    }
    let is_wide = page.columns() >= WIDE;
    let commands = commands(all);
    let row = |looked: &Looked| {
        let container = looked.process.container.as_ref().and_then(Container::short);
        let command = commands.get(&looked.pid()).cloned().unwrap_or_default();
        let what = what(looked);
        let (container, command, what) = match Sign::of(looked) {
            _ if is_wide => (container.unwrap_or_default(), command, what),
            // Why it was not read is more than what it is.
            Sign::Unread => {
                (String::new(), format!("{}: {command}", what.1), (Style::Plain, String::new()))
            }
            _ => (String::new(), command, (Style::Plain, String::new())),
        };
        vec![
            sign(looked),
            pid(looked),
            (Style::Plain, inside(looked)),
            python(looked),
            (Style::Plain, up(looked).map(duration_in_column).unwrap_or_default()),
            state(looked),
            tasks(looked),
            (Style::Plain, container),
            (Style::Plain, command),
            what,
        ]
    };
    let rows: Vec<_> = in_order(all.iter(), None).into_iter().map(row).collect();
    table(&COLUMNS, &rows, page)?;
    page.blank()?;
    page.items("", Style::Dim, " · ", &tally(all))
}

/// What each process runs; of a copy of its parent, that it is a worker of that.
fn commands(all: &[Looked]) -> FxHashMap<i32, String> {
    let by_pid: FxHashMap<i32, &Looked> = all.iter().map(|it| (it.pid(), it)).collect();
    let command = |it: &Looked| {
        let process = &it.process;
        let parent = process.parent.and_then(|parent| by_pid.get(&parent));
        let is_copy = parent.is_some_and(|it| it.process.cmdline == process.cmdline);
        let own = match command::helper(&process.cmdline).filter(|_| !is_copy) {
            Some(helper) => helper.to_owned(),
            None => command::program(&process.cmdline),
        };
        match parent {
            Some(parent) => format!("{own} (of {})", parent.pid()),
            None => own,
        }
    };
    all.iter().map(|it| (it.pid(), command(it))).collect()
}

/// `9 Python processes · 2 critical · 2 warnings · 1 not permitted: sudo aiospy ps`
fn tally(all: &[Looked]) -> Vec<String> {
    let count = |sign: Sign| all.iter().filter(|it| Sign::of(it) == sign).count();
    let noun = if all.len() == 1 { "Python process" } else { "Python processes" };
    let mut words = vec![format!("{} {noun}", words::count(all.len()))];
    let mut add = |number: usize, what: &str| {
        if number > 0 {
            words.push(format!("{} {what}", words::count(number)));
        }
    };
    add(count(Sign::Critical), "critical");
    let warnings = count(Sign::Warning);
    add(warnings, if warnings == 1 { "warning" } else { "warnings" });
    add(count(Sign::Undecided), "undecided");
    let is_refused =
        |it: &&Looked| matches!(it.read, Err(Error::NotPermitted { .. } | Error::Proc { .. }));
    let refused = all.iter().filter(is_refused).count();
    add(count(Sign::Unread) - refused, "not to be read");
    add(refused, "not permitted: sudo aiospy ps, or aiospy doctor PID for the gate");
    words
}

#[cfg(test)]
mod tests {
    use aiospy::snapshot::{Allowed, Code, Rule};

    use super::super::sample::{COMMAND, looked_at, looked_in_vain, service};
    use super::*;

    fn drawn(width: usize, draw: impl FnOnce(&mut Page<'_>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        draw(&mut Page::new(&mut out, Some(width), false)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_service_is_one_report() {
        let none = Lines::of(None);
        let text = drawn(100, |page| group(&service(), &|_| &none, page));
        let verdict = "!! time.sleep has blocked the event loop for 4.00 s: 2 of 3 processes";
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[lines.len() - 1]), (verdict, verdict), "{text}");
        assert!(lines.iter().all(|line| line.width() <= 100), "{text}");
        assert_eq!(
            lines[1..3],
            ["   in     processes 13 and 12", "   where  app.py:1 f"],
            "{text}"
        );
        let rows = [
            "10 gunicorn shop:app · CPython 3.12.1 · 6 processes",
            "    PID  ROLE              LOOP            TASKS  WORST",
            "!!   12  worker 2          BLOCKED 3.00 s      1  time.sleep has blocked the event loop for 3.00 s",
            "!!   13  worker 3          BLOCKED 4.00 s      1  time.sleep has blocked the event loop for 4.00 s",
            "ok   11  worker 1          polling             1",
            "     16  resource tracker  no asyncio",
            "     10  master            none",
            "x    14  helper.py                                not permitted: uid 1000",
            "",
            "6 processes · 3 tasks · 1 unreadable · 1 ended · one in full: aiospy dump 12",
            "",
        ];
        assert!(text.contains(&rows.join("\n")), "{text}");
    }

    #[test]
    fn a_probe_gets_a_line_for_each_trouble_and_a_verdict() {
        let brief = |group: &Group, least| drawn(200, |page| super::brief(group, least, page));
        let lines = "critical: processes 13 and 12: time.sleep has blocked the event loop for 4.00 s \
            at app.py:1 [loop-blocked]\n\
            critical: time.sleep has blocked the event loop for 4.00 s: 2 of 3 processes (3 tasks, 3 \
            loops in 6 processes)\n";
        assert_eq!(brief(&service(), Some(Severity::Warning)), lines);
        assert_eq!(brief(&service(), None), lines);
        let mut known = service();
        known.allow(&mut Allowed::new([Rule::new(Code::LoopBlocked, None)]));
        let text = brief(&known, Some(Severity::Warning));
        assert!(text.starts_with("allowed: processes 13 and 12: time.sleep has"), "{text}");
        // One of them could not be read.
        assert!(
            text.ends_with(
                "could not be read: 14 (3 tasks, 3 loops in 6 processes; 1 finding allowed)\n"
            ),
            "{text}"
        );
        known.members.retain(|it| it.read.is_ok());
        let text = brief(&known, Some(Severity::Warning));
        let all = "\nallowed: nothing is wrong but 1 finding that is allowed (3 tasks, 3 loops in 4 processes)\n";
        assert!(text.ends_with(all), "{text}");
        let healthy = || vec![looked_at(11, &COMMAND, |_| ()), looked_at(12, &COMMAND, |_| ())];
        let group = Group::new(None, healthy(), |_| false);
        let ok = "ok: 2 tasks, 2 loops in 2 processes: none is stuck, no loop is blocked\n";
        assert_eq!(brief(&group, Some(Severity::Warning)), ok);
        let mut some = healthy();
        some.push(looked_in_vain(14, &["python3", "helper.py"]));
        let text = brief(&Group::new(None, some, |_| false), Some(Severity::Warning));
        let undecided =
            "undecided: 1 process could not be read: 14 (2 tasks, 2 loops in 3 processes)\n";
        assert_eq!(text, undecided);
        let alone =
            Group::new(None, vec![looked_in_vain(14, &["python3", "helper.py"])], |_| false);
        assert_eq!((alone.level(), brief(&alone, None)), (Level::NotJudged, String::new()));
        assert_eq!(
            alone.verdict(),
            "no event loop to judge in 0 processes, and 1 process could not be read"
        );
    }

    #[test]
    fn all_processes_are_rows_with_the_worst_first() {
        let mut looked = service().members;
        looked[1].process.namespace_pid = Some(1);
        let container =
            Container { hostname: Some("orders-7d9f".to_owned()), ..Container::default() };
        looked[1].process.container = Some(container);
        let wide = drawn(140, |page| all(&looked, page));
        let rows = [
            "    PID  INSIDE  PYTHON  LOOP            TASKS  CONTAINER    COMMAND                    WORST",
            "!!   12          3.12.1  BLOCKED 3.00 s      1               gunicorn shop:app (of 10)  time.sleep has blocked the event loop for 3.00 s",
            "!!   13          3.12.1  BLOCKED 4.00 s      1               gunicorn shop:app (of 10)  time.sleep has blocked the event loop for 4.00 s",
            "ok   11       1  3.12.1  polling             1  orders-7d9f  gunicorn shop:app (of 10)",
            "     10          3.12.1  none                                gunicorn shop:app",
            "     16                  no asyncio                          resource tracker (of 10)",
            "x    14                                                      helper.py (of 10)          not permitted: uid 1000",
            "",
            "6 Python processes · 2 critical · 1 not permitted: sudo aiospy ps, or aiospy doctor PID for the gate",
            "",
        ];
        assert_eq!(wide, rows.join("\n"));
        let narrow = drawn(80, |page| all(&looked, page));
        assert!(narrow.lines().all(|line| line.width() <= 80), "{narrow}");
        assert!(narrow.contains("  not permitted: uid 1000: helper…\n"), "{narrow}");
        let none = drawn(80, |page| all(&[], page));
        assert_eq!(none, "no Python process here that can be seen\n");
    }
}
