//! Each cause in at most five lines: what it is, whom it hurts, where, since when, and what to do.

use std::sync::Arc;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Bound, Cause, Code, Finding, Location, LoopState, Members, Role, Severity, Snapshot, Source,
    Task, without_numbers,
};
use rustc_hash::{FxHashMap, FxHashSet};
use unicode_width::UnicodeWidthStr as _;

use super::short::ById;
use super::source::Lines;
use super::{findings, table, verdict, words};
use crate::io::page::{Line, NARROW, Style, clean, fit};

/// Where facts begin.
const MARGIN: usize = 10;
/// How many kinds of work are named.
const MAX_KINDS: usize = 3;
/// How many lines the advice takes.
const MAX_ADVICE: usize = 2;

/// What is needed to write of the findings of a process.
pub struct Blocks<'s> {
    snapshot: &'s Snapshot,
    lines: &'s Lines<'s>,
    tasks: ById<'s>,
    width: usize,
}

/// What is said of a finding beside its title and its advice.
pub struct Facts<'f> {
    /// The processes that it is in, where it is of others than the one that was asked.
    pub processes: Option<String>,
    /// Whom it hurts.
    pub who: Option<String>,
    /// The line that it comes from.
    pub place: Option<&'f Location>,
    /// What says for how long.
    pub since: Option<String>,
}

impl<'s> Blocks<'s> {
    /// Those of a snapshot, on a page of so many columns.
    pub fn of(snapshot: &'s Snapshot, lines: &'s Lines<'s>, width: usize) -> Self {
        Self { snapshot, lines, tasks: ById::of(snapshot), width }
    }

    /// The look and the sign of a finding.
    fn sign(&self, finding: &Finding, worst: Severity) -> (Style, &'static str) {
        if worst == Severity::Info && self.snapshot.is_pending(finding) {
            return (Style::Notice, "?  ");
        }
        (findings::word(worst).0, findings::sign(worst))
    }

    /// A cause with its title, which is left out where the verdict says it, and what follows from
    /// it, as far as there is room for that.
    pub fn whole(
        &self,
        root: &Finding,
        followers: &[&Finding],
        has_title: bool,
        most_followers: usize,
    ) -> Vec<Line> {
        let mut lines = Vec::new();
        if has_title {
            lines.extend(self.title(root, worst(root, followers)));
        }
        lines.extend(self.lines_of(root, !has_title));
        self.end(&mut lines, root.code);
        for follower in followers.iter().take(most_followers) {
            lines.extend(self.follower(root, follower));
        }
        if let Some(more) = followers.len().checked_sub(most_followers + 1) {
            let words = format!("   └ and {} from it: --all-findings", words::follow(more + 1));
            lines.push(Line::new().with(Style::Dim, &words));
        }
        lines
    }

    /// A finding in one line, or two where it has no room.
    pub fn brief(&self, finding: &Finding, followers: &[&Finding]) -> Vec<Line> {
        let mut lines = self.title(finding, worst(finding, followers));
        self.end(&mut lines, finding.code);
        lines
    }

    fn title(&self, finding: &Finding, worst: Severity) -> Vec<Line> {
        let (style, sign) = self.sign(finding, worst);
        let title = said(finding, self.width.max(NARROW).saturating_sub(sign.len()));
        wrapped(Line::new().with(style, sign), 3, self.width, Style::Strong, &title, usize::MAX)
    }

    fn follower(&self, root: &Finding, finding: &Finding) -> Vec<Line> {
        let head = Line::new().with(Style::Dim, "   └ ");
        let title = said(finding, self.width.max(NARROW).saturating_sub(5));
        let mut lines = wrapped(head, 5, self.width, Style::Plain, &title, usize::MAX);
        let is_short = lines.len() < 2;
        let place = self.place_of_follower(root, finding).filter(|_| is_short);
        lines.extend(place.map(|place| self.place(fact(5, "where"), &place)));
        self.end(&mut lines, finding.code);
        lines
    }

    /// Where what follows from a cause is: the holder's line is where the cause is, then where the
    /// others wait says more.
    pub fn place_of_follower(&self, root: &Finding, finding: &Finding) -> Option<Arc<Location>> {
        let waiter = || {
            let first = finding.role(Role::Waiter)?.first.first()?;
            self.tasks.get(*first)?.place().cloned()
        };
        let place = finding.place.clone().filter(|place| {
            root.place.as_ref().is_none_or(|it| (&it.file, it.line) != (&place.file, place.line))
        });
        place.or_else(waiter)
    }

    /// What is said of a finding beside its title and its advice.
    pub fn facts<'f>(&self, finding: &'f Finding) -> Facts<'f> {
        let pids = finding.pid.into_iter().chain(finding.also_in.iter().copied());
        let pids: Vec<i32> = pids.collect();
        let noun = if pids.len() == 1 { "process" } else { "processes" };
        Facts {
            processes: finding.pid.map(|_| format!("{noun} {}", verdict::pids(&pids))),
            who: self.who(finding),
            place: blamed(finding),
            since: self.since(finding),
        }
    }

    /// The lines of a finding without its title.
    fn lines_of(&self, finding: &Finding, has_processes: bool) -> Vec<Line> {
        let Facts { processes, who, place, since } = self.facts(finding);
        let said = |label: &str, text: Option<String>| {
            let line = |text: String| fact(3, label).with(Style::Plain, &text).fitted(self.width);
            text.map(line)
        };
        let place = place.map(|place| self.place(fact(3, "where"), place));
        let processes = said("in", processes.filter(|_| has_processes));
        let all = [processes, said("who", who), place, said("since", since)];
        let mut lines: Vec<Line> = all.into_iter().flatten().collect();
        if !finding.advice.is_empty() {
            let end = code(finding.code).width() + 2;
            let room = self.width.saturating_sub(MARGIN);
            let line = |text: &str, width| {
                let text = text.trim_end_matches('.');
                wrapped(fact(3, "do"), MARGIN, width, Style::Plain, text, MAX_ADVICE)
            };
            let is_one_line = || {
                let lines = line(&finding.advice, usize::MAX);
                lines.iter().all(|it| it.width() + end <= self.width)
            };
            let advice = if finding.brief.is_empty() || is_one_line() {
                advice(&finding.advice, room, end)
            } else {
                finding.brief.clone()
            };
            let wrapped = |width| line(&advice, width);
            let whole = wrapped(self.width);
            let is_short = whole.last().is_some_and(|it| it.width() + end <= self.width);
            lines.extend(if is_short { whole } else { wrapped(self.width.saturating_sub(end)) });
        }
        lines
    }

    /// `where  shop.py:59 recommend  r = await client.get(url)`
    fn place(&self, mut line: Line, place: &Location) -> Line {
        line.add(Style::Plain, &table::place_of(place));
        line.add(Style::Dim, &format!(" {}", place.function));
        if let Some(source) = self.source(place) {
            line.add(Style::Plain, "  ");
            line.add(Style::Code, &source);
        }
        line.fitted(self.width)
    }

    /// The line of the program that a place is at.
    pub fn source(&self, place: &Location) -> Option<String> {
        place.line.and_then(|number| self.lines.line(&place.file, number))
    }

    /// Adds a code at the right end of the last line; what is there gives way, for it can be seen
    /// elsewhere, but a sentence.
    fn end(&self, lines: &mut Vec<Line>, of: Code) {
        let code = code(of);
        let room = self.width.saturating_sub(code.width() + 2);
        let is_sentence = lines.len() < 2;
        let Some(last) = lines.pop() else { return };
        let (mut last, over) = if last.width() <= room {
            (last, None)
        } else if is_sentence {
            (Line::new(), Some(last))
        } else {
            (last.fitted(room), None)
        };
        lines.extend(over);
        last.pad_to(self.width.saturating_sub(code.width()));
        last.add(Style::Dim, &code);
        lines.push(last);
    }

    /// Whom it hurts, counted by what they do: `60 × GET /recommend/{user}, 1 × GET /refresh`.
    fn who(&self, finding: &Finding) -> Option<String> {
        let waiters = finding.role(Role::Waiter).or_else(|| finding.role(Role::Member));
        if let Some(waiters) = waiters.filter(|it| it.count > 1) {
            let kinds = kinds(&self.members(finding, waiters));
            let count = usize::try_from(waiters.count).unwrap_or(usize::MAX);
            let verb = if waiters.role == Role::Member { "in it" } else { "waiting" };
            let who = match kinds {
                Some(kinds) if !kinds.contains(", ") => kinds,
                Some(kinds) => format!("{} {verb}: {kinds}", words::count(count)),
                None => format!("{} {verb}", words::counted(count, "task")),
            };
            let limit = if self.has_no_limit(finding, waiters) { "; no timeout" } else { "" };
            return Some(format!("{who}{limit}"));
        }
        let count = |role| usize::try_from(finding.count(role)).unwrap_or(usize::MAX);
        let (blocked, unaccepted) = (count(Role::Blocked), count(Role::Unaccepted));
        if blocked == 0 && unaccepted == 0 {
            return None;
        }
        let culprit = finding.role(Role::Culprit).and_then(|it| it.first.first());
        let culprit = culprit.and_then(|id| self.tasks.get(*id)).map(Task::label);
        let other = if culprit.is_some() { "other task" } else { "task" };
        let others =
            (blocked > 0).then(|| format!("{} that can't run", words::counted(blocked, other)));
        let connections = (unaccepted > 0).then(|| {
            let wait = if unaccepted == 1 { "waits" } else { "wait" };
            format!("{} {wait} to be accepted", words::counted(unaccepted, "connection"))
        });
        let tasks: Vec<String> = culprit.into_iter().chain(others).collect();
        let tasks = Some(tasks.join(", and ")).filter(|tasks| !tasks.is_empty());
        let parts: Vec<String> = tasks.into_iter().chain(connections).collect();
        Some(parts.join("; "))
    }

    /// Whether no time limit ends the waits for a far end: of all of them that is certain.
    fn has_no_limit(&self, finding: &Finding, waiters: &Members) -> bool {
        let tasks = self.members(finding, waiters);
        matches!(finding.cause, Some(Cause::Peer { .. }))
            && finding.code == Code::PeerSilent
            && usize::try_from(waiters.count) == Ok(tasks.len())
            && self.snapshot.are_without_limit(tasks)
    }

    /// The tasks that play a part, as far as they are known.
    fn members(&self, finding: &Finding, of: &Members) -> Vec<&'s Task> {
        let named = usize::try_from(of.count).is_ok_and(|count| count == of.first.len());
        let ids: Vec<Address> = if named {
            of.first.clone()
        } else {
            let others = finding.roles.iter().filter(|it| it.role != of.role);
            let others: FxHashSet<Address> =
                others.flat_map(|it| it.first.iter().copied()).collect();
            finding.tasks.iter().filter(|id| !others.contains(id)).copied().collect()
        };
        ids.iter().filter_map(|id| self.tasks.get(*id)).collect()
    }

    /// What says for how long, and of a far end whose fault it is.
    fn since(&self, finding: &Finding) -> Option<String> {
        if let Some(Cause::Peer { .. }) = &finding.cause
            && let Some(asked) = self.asked(finding)
        {
            return Some(asked);
        }
        let age = finding.since?;
        let sign = if age.bound == Bound::AtLeast { "≥ " } else { "" };
        let time = format!("{sign}{}", words::duration(age.time));
        Some(match age.source {
            Source::Iteration if finding.code != Code::LoopBlocked => {
                format!("no progress for {time}")
            }
            Source::Iteration => {
                let of = self.snapshot.loops.iter().find(|it| Some(it.id) == finding.loop_id);
                let of = of.filter(|it| it.state == Some(LoopState::Blocked));
                let lag = of.and_then(|it| it.lag).filter(|lag| !lag.is_zero());
                let lag = lag.map(|lag| format!("; a timer is {} late", words::duration(lag)));
                format!("{time}, by the loop's own clock{}", lag.unwrap_or_default())
            }
            // What is held up may go on all the same.
            Source::Samples if finding.code == Code::ShutdownStuck => format!("held for {time}"),
            Source::Samples => format!("no progress for {time}"),
            Source::Timer => format!("{time}, by its timer"),
            Source::Frame => format!("{time}, by its own clock"),
            Source::Scheduler => format!("{time}, by the kernel's scheduler"),
            Source::Connection => format!("{time}, by the kernel's clock of the connection"),
        })
    }

    /// `sent 61.4 … 62.3 s ago and acknowledged, no reply: not the network`
    fn asked(&self, finding: &Finding) -> Option<String> {
        let tasks = self.members(finding, finding.role(Role::Waiter)?);
        let sockets: Vec<_> = tasks
            .iter()
            .filter_map(|task| task.waiting_on.as_deref()?.socket())
            .filter_map(|socket| Some((socket, socket.tcp.as_ref()?)))
            .collect();
        let times = sockets.iter().filter_map(|(_, tcp)| tcp.silent());
        let sent = words::span(times.clone().min()?, times.max()?);
        let all = sockets.len();
        let has_arrived =
            sockets.iter().filter(|(it, tcp)| it.send_queue == Some(0) && tcp.unsent == Some(0));
        let arrived = has_arrived.count();
        let again = sockets.iter().filter(|(_, tcp)| tcp.retransmitting.is_some()).count();
        Some(if arrived == all {
            format!("sent {sent} ago and acknowledged, no reply: not the network")
        } else if again == all {
            format!("sent {sent} ago and again since, not acknowledged: network or host")
        } else {
            format!("sent {sent} ago, no reply; {arrived} of {all} acknowledged")
        })
    }
}

/// `   where  `
fn fact(margin: usize, label: &str) -> Line {
    let mut line = Line::new().with(Style::Plain, &" ".repeat(margin)).with(Style::Dim, label);
    line.pad_to(margin + 7);
    line
}

/// How many tasks do what: `60 × GET /recommend/{user}, 1 × GET /refresh`.
fn kinds(tasks: &[&Task]) -> Option<String> {
    let mut kinds: Vec<(String, usize)> = Vec::new();
    let mut index: FxHashMap<String, usize> = FxHashMap::default();
    for task in tasks {
        let label = without_numbers(&task.label());
        let at = *index.entry(label.clone()).or_insert(kinds.len());
        match kinds.get_mut(at) {
            Some((_, count)) => *count += 1,
            None => kinds.push((label, 1)),
        }
    }
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let more = kinds.len().saturating_sub(MAX_KINDS);
    let named = kinds.iter().take(MAX_KINDS);
    let is_one_each = kinds.iter().all(|(_, count)| *count == 1);
    let name = |(label, count): &(String, usize)| {
        if is_one_each { label.clone() } else { format!("{} × {label}", words::count(*count)) }
    };
    let mut named: Vec<String> = named.map(name).collect();
    if more > 0 {
        named.push(format!("{} more", words::count(more)));
    }
    (!named.is_empty()).then(|| named.join(", "))
}

/// The line that a finding comes from: of a cancellation that was swallowed where that was.
fn blamed(finding: &Finding) -> Option<&Location> {
    let is_it = matches!(finding.cause, Some(Cause::Except { .. }));
    let caught = finding.evidence.iter().filter(|fact| is_it && fact.text.contains("caught by"));
    let mut caught = caught.filter_map(|fact| fact.place.as_deref());
    caught.next().or(finding.place.as_deref())
}

fn code(code: Code) -> String {
    format!("[{code}]")
}

/// What a finding says, with the process that it is of, where that is another one.
fn said(finding: &Finding, room: usize) -> String {
    match finding.pid {
        None => finding.title.within(room),
        Some(_) => findings::said(finding),
    }
}

/// As much of an advice as has room on its lines, of which the last one ends sooner: whole sentences
/// or clauses, if there are such.
fn advice(text: &str, room: usize, end: usize) -> String {
    let text = text.trim_end_matches('.');
    let fits = |text: &str| {
        let wrapped = |width| wrapped(Line::new(), 0, width, Style::Plain, text, usize::MAX);
        let lines = wrapped(room);
        let is_short = lines.last().is_some_and(|it| it.width() + end <= room);
        let narrower = || wrapped(room.saturating_sub(end)).len();
        lines.len() <= MAX_ADVICE && (is_short || narrower() <= MAX_ADVICE)
    };
    if fits(text) {
        return text.to_owned();
    }
    let ends = [". ", "; ", ": ", ", and ", ", or ", ", "];
    let shorter = ends.iter().find_map(|mark| {
        let mut ends: Vec<usize> = text.match_indices(mark).map(|(at, _)| at).collect();
        ends.reverse();
        let heads = ends.into_iter().filter_map(|at| text.get(..at));
        heads.filter(|head| is_closed(head)).find(|head| fits(head))
    });
    shorter.map_or_else(|| text.to_owned(), str::to_owned)
}

/// Whether every bracket and quotation mark in a text is closed.
fn is_closed(text: &str) -> bool {
    let count = |of: char| text.matches(of).count();
    count('(') == count(')') && count('`') % 2 == 0
}

/// A text behind `head`, over several lines; where it needs more than `most` it is cut.
pub fn wrapped(
    head: Line,
    margin: usize,
    width: usize,
    style: Style,
    text: &str,
    most: usize,
) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = head;
    let mut is_begun = false;
    let text = clean(text);
    for word in text.split(' ') {
        let is_over = is_begun && line.width() + 1 + word.width() > width;
        if is_over && lines.len() + 1 == most {
            line.add(style, " …");
            let line = if line.width() > width { line.fitted(width) } else { line };
            lines.push(line);
            return lines;
        }
        if is_over {
            lines.push(line);
            line = Line::new().with(Style::Plain, &" ".repeat(margin));
        } else if is_begun {
            line.add(style, " ");
        }
        // What has no blank in it is cut: no line is wider than its page.
        let room = width.saturating_sub(line.width()).max(1);
        line.add(style, &fit(word, room));
        is_begun = true;
    }
    lines.push(line);
    lines
}

/// The worst that a finding and those that follow from it come to.
pub fn worst(root: &Finding, followers: &[&Finding]) -> Severity {
    followers.iter().map(|it| it.severity).fold(root.severity, Severity::max)
}
