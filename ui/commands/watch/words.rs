//! The events of `watch` in words, one line each.

use std::sync::Arc;
use std::time::Duration;

use aiospy::snapshot::{BlockingKind, Finding, Location, Process, Severity};
use aiospy::timeline::{Fate, History, Idle, PlaceTotals, Slow, Stretch, Stuck};
use aiospy::watch::monitor::{
    Event, LoopStatistics, Monitor, Statistics, Summary, TaskCounts, Tracked,
};
use aiospy::watch::sampler::Ended;
use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::io::page::Style;
use crate::report::text::{findings, path, words};

/// Letters of a command line that are shown.
const MAX_COMMAND: usize = 200;
/// Places and groups of tasks that are listed.
const MAX_LISTED: usize = 10;

/// One line: how it is set, what it is about, and what is to be said. Its sign is that of its style,
/// so that no meaning is in the colour alone.
pub type TextLine = (Style, &'static str, String);

/// The sign of a line.
pub fn sign(style: Style) -> &'static str {
    match style {
        Style::Alarm => findings::sign(Severity::Critical),
        Style::Notice => findings::sign(Severity::Warning),
        Style::Active => findings::sign(Severity::Info),
        _ => "   ",
    }
}

/// The first line: the only one with the date, and the offset of the clock's zone.
pub fn start(process: &Process, now: &Zoned) -> TextLine {
    let version = process.python.as_deref().unwrap_or("?");
    let command: String = process.cmdline.join(" ").chars().take(MAX_COMMAND).collect();
    let date = now.strftime("%Y-%m-%d, UTC%:z");
    (Style::Plain, "start", format!("{} · CPython {version} · {command} · {date}", process.pid))
}

/// An event.
pub fn event(event: &Event) -> Vec<TextLine> {
    vec![match event {
        Event::Reattached => {
            (Style::Plain, "attached", "again: the program was replaced".to_owned())
        }
        Event::Opened(tracked) => (severity(tracked), "opened", finding(tracked)),
        Event::Updated(tracked) => updated(tracked),
        Event::Closed(tracked) => {
            let stood = tracked.seen_at.duration_since(tracked.opened_at);
            let stood = match Duration::try_from(stood) {
                Ok(stood) if !stood.is_zero() => format!("seen for {}", words::duration(stood)),
                _ => "seen once".to_owned(),
            };
            let Finding { code, title, .. } = &tracked.finding;
            let until = tracked.seen_at.to_zoned(TimeZone::system()).strftime("%H:%M:%S");
            let title = title.over(&until.to_string());
            (Style::Dim, "closed", format!("{title}; {stood} [{code}]"))
        }
        Event::Blocked(stretch) => (Style::Notice, "blocked", blocked(stretch)),
        Event::Cancelled(history) => cancelled(history),
        Event::Slow(slow) => (Style::Active, "slow", self::slow(slow)),
        Event::Statistics(statistics) => return self::statistics(statistics),
        Event::Unreadable(cause) => (Style::Notice, "unreadable", cause.clone()),
    }]
}

fn severity(tracked: &Tracked) -> Style {
    if tracked.finding.is_allowed {
        return Style::Dim;
    }
    match tracked.finding.severity {
        Severity::Critical => Style::Alarm,
        Severity::Warning => Style::Notice,
        Severity::Info => Style::Active,
    }
}

/// `10.0.0.5:5432 has been silent for … [peer-silent]`
fn finding(tracked: &Tracked) -> String {
    let Finding { code, title, is_allowed, .. } = &tracked.finding;
    format!("{}{title} [{code}]", if *is_allowed { "allowed: " } else { "" })
}

/// What has changed: `raised  info → warning after 5.01 s: 10.0.0.5:5432 has been … [peer-silent]`
fn updated(tracked: &Tracked) -> TextLine {
    let finding_now = &tracked.finding;
    let Some(was) = tracked.was else {
        return (severity(tracked), "changed", finding(tracked));
    };
    let what = if was < finding_now.severity { "raised" } else { "lowered" };
    let stood = tracked.seen_at.duration_since(tracked.opened_at);
    let after = Duration::try_from(stood).map(words::duration).unwrap_or_default();
    let text = format!(
        "{} → {} after {after}: {}",
        findings::word(was).1,
        findings::word(finding_now.severity).1,
        finding(tracked)
    );
    (severity(tracked), what, text)
}

/// `100 × GET /stock/{sku} in flight for ≥ 10.1 s at shop.py:20 in Inventory.get: self.lock`
fn slow(slow: &Slow) -> String {
    let many =
        if slow.count == 1 { String::new() } else { format!("{} × ", words::count(slow.count)) };
    let at = at(slow.place.as_ref());
    let waiting = slow.waiting.as_ref().map(|waiting| format!(": {waiting}")).unwrap_or_default();
    format!("{many}{} in flight for {}{at}{waiting}", slow.work, slow.age)
}

fn blocked(stretch: &Stretch) -> String {
    let work = stretch.work.as_deref();
    let label = work.and_then(|work| work.label.as_deref());
    let handle = label.or_else(|| work?.handle.as_deref()).unwrap_or("a callback");
    let what = work.map_or("", |work| work.description.as_str());
    let at = at(stretch.place());
    format!("{}  {what} in {handle}{at}", words::duration(stretch.length))
}

fn at(place: Option<&Arc<Location>>) -> String {
    let Some(at) = place else { return String::new() };
    format!(" at {} in {}", path::full(at.path(), at.line), at.function)
}

fn cancelled(history: &History) -> TextLine {
    let name = match (&history.name, &history.coroutine) {
        (Some(name), Some(coroutine)) => format!("task {name} ({coroutine})"),
        (Some(name), None) => format!("task {name}"),
        _ => format!("task {}", history.task),
    };
    let began = history.turns.first().map(|turn| turn.at);
    let Some(turn) = history.turns.last() else {
        return (Style::Dim, "cancelled", name);
    };
    let is_earlier = history.turns.first().is_some_and(|turn| turn.is_earlier);
    let after = began.filter(|began| *began < turn.at).map(|began| {
        let after = Duration::try_from(turn.at.duration_since(began)).unwrap_or_default();
        let least = if is_earlier { "at least " } else { "" };
        format!(", {least}{} after the request", words::duration(after))
    });
    let after = after.unwrap_or_default();
    let at = at(turn.place.as_ref());
    let (style, text) = match turn.fate {
        _ if turn.is_earlier => {
            let what = match turn.fate {
                Fate::Requested => "was cancelled",
                Fate::CleaningUp => "began to clean up",
                Fate::Handled => "took it back",
                Fate::Swallowed => "swallowed it",
                Fate::Finished => "ended",
            };
            (Style::Plain, format!("{name} {what}{at}, before sampling began"))
        }
        Fate::Requested => (Style::Plain, format!("{name} was cancelled{at}")),
        Fate::CleaningUp => (Style::Plain, format!("{name} is cleaning up{at}{after}")),
        Fate::Handled => (Style::Plain, format!("{name} took it back and continues{at}{after}")),
        Fate::Swallowed => (Style::Notice, format!("{name} swallowed it{at}{after}")),
        Fate::Finished => (Style::Dim, format!("{name} has ended{after}")),
    };
    (style, "cancelled", text)
}

fn statistics(statistics: &Statistics) -> Vec<TextLine> {
    // Loops may come and go: one for each call of `asyncio.run`.
    let mut loops: Vec<&LoopStatistics> = statistics.loops.iter().collect();
    if loops.len() > MAX_LISTED {
        loops.sort_by_key(|known| std::cmp::Reverse(known.timing.glances));
    }
    let mut lines: Vec<TextLine> = loops.iter().take(MAX_LISTED).map(|it| event_loop(it)).collect();
    if let Some(more) = loops.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        lines.push((Style::Dim, "loop", format!("and {more} more, each seen fewer times")));
    }
    if let Some(tasks) = &statistics.tasks {
        lines.push((Style::Plain, "tasks", self::tasks(tasks)));
        lines.extend(tasks.standing.stuck.iter().take(MAX_LISTED).map(stuck));
    }
    if statistics.missed > 0 {
        let all = count(statistics.missed + statistics.samples);
        lines.push((
            Style::Dim,
            "missed",
            format!("{} of {all} samples", count(statistics.missed)),
        ));
    }
    lines
}

fn event_loop(known: &LoopStatistics) -> TextLine {
    let timing = &known.timing;
    let ready = timing.ready.map(|ready| {
        let [p50, p99, max] = [ready.p50_ms, ready.p99_ms, ready.max_ms].map(words::ms);
        format!(" · iterations p50 {p50}, p99 {p99}, max {max}")
    });
    let lag = timing.lag_mean_ms.map(|lag| format!(" · lag {}", words::ms(lag)));
    let text = format!(
        "{:.1} % busy{}{}",
        timing.busy * 100.0,
        ready.unwrap_or_default(),
        lag.unwrap_or_default()
    );
    (Style::Plain, "loop", text)
}

fn tasks(tasks: &TaskCounts) -> String {
    let mut parts = vec![format!("{} pending", tasks.pending)];
    let counts = [(tasks.ready, "ready"), (tasks.cancelled, "with a cancellation")];
    parts.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    let standing = &tasks.standing;
    if standing.idle_count() > 0 {
        let idle = standing.idle.iter().map(|(idle, n)| format!("{n} {}", idle_word(*idle)));
        let idle: Vec<String> = idle.collect();
        parts.push(format!("{} idle ({})", standing.idle_count(), idle.join(", ")));
    }
    if standing.stuck_count() > 0 {
        parts.push(format!("{} stuck", standing.stuck_count()));
    }
    if standing.behind > 0 {
        parts.push(format!("{} blocked by these", standing.behind));
    }
    parts.join(", ")
}

fn idle_word(idle: Idle) -> &'static str {
    match idle {
        Idle::Sleeping => "sleeping",
        Idle::Accepting => "in accept",
        Idle::Consuming => "reading an empty queue",
        Idle::Listening => "listening to a client",
        Idle::Main => "main",
        Idle::Awaiting => "awaiting these",
    }
}

fn stuck(group: &Stuck) -> TextLine {
    let coroutine = group.coroutine.as_deref().unwrap_or("a task");
    let many = if group.count == 1 { String::new() } else { format!("{} × ", group.count) };
    let place = group.file.as_deref().map(|file| format!(" at {}", path::full(file, group.line)));
    let text = format!(
        "{many}{coroutine}{}: waits for {}, for {}",
        place.unwrap_or_default(),
        group.waiting_for,
        words::duration(group.longest)
    );
    (Style::Notice, "stuck", text)
}

fn count(number: u64) -> String {
    words::count(usize::try_from(number).unwrap_or(usize::MAX))
}

/// The last lines.
pub fn end(monitor: &Monitor, still: &[Stretch], summary: &Summary, ended: Ended) -> Vec<TextLine> {
    let lasts = |stretch| (Style::Alarm, "blocked", format!("{}, and still is", blocked(stretch)));
    let mut lines: Vec<TextLine> = still.iter().map(lasts).collect();
    let why = match ended {
        Ended::Gone => "the process has ended",
        Ended::Asked => "stopped watching",
    };
    let watched = words::duration(Duration::from_millis(summary.duration_ms));
    let missed = match summary.missed {
        0 => String::new(),
        missed => {
            format!(", {} missed", count(missed))
        }
    };
    let text = format!("{why} after {watched}: {} samples{missed}", count(summary.samples));
    lines.push((Style::Plain, "end", text));
    lines.extend(summary.blocking.iter().take(MAX_LISTED).map(place));
    lines.extend(monitor.open().iter().map(|it| (severity(it), "open", finding(it))));
    lines
}

fn place(place: &PlaceTotals) -> TextLine {
    let at = place.file.as_deref().map(|file| path::full(file, place.line));
    let at = match at {
        Some(at) => format!(" at {at}"),
        // No place is to blame.
        None if place.kind == BlockingKind::Starved => String::new(),
        None => " at an unknown place".to_owned(),
    };
    let what = match place.kind {
        // The numbers of the last one say nothing of the others.
        BlockingKind::Starved => "waited for a processor",
        _ => &place.description,
    };
    let text = format!(
        "{} × {what}{at}: {} in all, longest {}",
        count(place.count),
        words::ms(place.total_ms),
        words::ms(place.length.map_or(0.0, |length| length.max_ms))
    );
    (Style::Plain, "", text)
}
