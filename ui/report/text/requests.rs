//! The requests that are under way: how many there are, in groups, and the oldest one by one.

use std::cmp::Reverse;
use std::io;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Age, Group, GroupState, LoopState, Severity, Snapshot, Task, WaitKind, Waiting, Work, WorkKind,
};
use clap::ValueEnum;
use rustc_hash::{FxHashMap, FxHashSet};
use unicode_width::UnicodeWidthStr as _;

use super::table::{self, start_cut};
use super::{screen, words};
use crate::io::page::{COLUMNS, Line, Page, Style, clean, fit};

/// How many requests are listed one by one.
const MAX_LISTED: usize = 4;
/// The widest that their columns become.
const REQUEST: usize = 48;
const CLIENT: usize = 21;
const TRACE: usize = 32;
/// How much of an id still tells one from another, and the room that a place needs beside it.
const LEAST_TRACE: usize = 8;
const LEAST_PLACE: usize = 10;

/// What requests are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Route, line and wait
    Route,
    /// Who is asked for something by them
    Peer,
    /// What they wait for
    Wait,
    /// Who has sent them
    Client,
}

/// One request: a task that works for it, of several the one that has got furthest.
pub struct Request<'s> {
    pub task: &'s Task,
    work: &'s Work,
    pub state: GroupState,
    pub severity: Option<Severity>,
    /// For how long it has gone on.
    pub age: Option<Age>,
    /// Which of the groups it is in.
    group: usize,
    /// Whether it is not the first one of that which is listed.
    is_later: bool,
}

/// Writes those of `shown`, which has only tasks that work for requests; what others do stands in
/// `snapshot`.
///
/// # Errors
/// Those of the page.
pub fn draw(
    snapshot: &Snapshot,
    shown: &Snapshot,
    by: By,
    is_all: bool,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let width = page.columns().min(COLUMNS);
    let groups = shown.main_groups();
    let mut requests = all(&groups, &|task| shown.age_of(task));
    page.line(&head(snapshot, &requests))?;
    if !requests.is_empty() {
        page.blank()?;
        match by {
            By::Route => {
                let rows = table::rows(&groups, snapshot, width);
                table::lines(&rows, width).iter().try_for_each(|line| page.line(line))?;
            }
            _ => grouped(&requests, by, width, page)?,
        }
        page.blank()?;
        order(&mut requests);
        one_by_one(&requests, snapshot, is_all, width, page)?;
    }
    if snapshot.answer().is_some() {
        page.blank()?;
        screen::verdict(snapshot, page)?;
    }
    Ok(())
}

/// Whether a task works for a request, or for a websocket, that is under way.
pub fn is_request(task: &Task) -> bool {
    let kind = task.work.as_deref().and_then(|work| work.kind);
    matches!(kind, Some(WorkKind::Request | WorkKind::Websocket)) && !task.is_over()
}

/// Each request of some groups once, where `age` tells for how long a task has been at what it does.
pub fn all<'s>(groups: &[Group<'s>], age: &dyn Fn(&Task) -> Option<Age>) -> Vec<Request<'s>> {
    let mut found: Vec<Request<'s>> = Vec::new();
    let mut places: FxHashMap<Address, usize> = FxHashMap::default();
    for (at, group) in groups.iter().enumerate() {
        for &task in group.tasks.iter().filter(|task| is_request(task)) {
            let Some(work) = task.work.as_deref() else { continue };
            let (state, severity) = (group.state, group.severity);
            let age = in_flight(work, age(task));
            let request = Request { task, work, state, severity, age, group: at, is_later: false };
            let place = work.identity.map(|id| *places.entry(id).or_insert(found.len()));
            match place.and_then(|place| found.get_mut(place)) {
                Some(known) => {
                    let age = older(known.age, request.age);
                    if depth(task) > depth(known.task) {
                        *known = request;
                    }
                    known.age = age;
                }
                None => found.push(request),
            }
        }
    }
    found
}

/// For how long a request has gone on: for as long at least as its task has been at what it does.
fn in_flight(work: &Work, at_it: Option<Age>) -> Option<Age> {
    older(at_it.map(|age| Age::at_least(age.time, age.source)), work.since)
}

impl Request<'_> {
    /// Whether it is an open websocket.
    pub fn is_websocket(&self) -> bool {
        self.work.kind == Some(WorkKind::Websocket)
    }
}

/// Requests before websockets, which stay open; in each the oldest first.
pub fn oldest_first(requests: &mut [Request<'_>]) {
    let time = |it: &Request<'_>| it.age.map_or(Duration::ZERO, |age| age.time);
    requests.sort_by_key(|it| (it.is_websocket(), Reverse(time(it))));
}

/// How clients are called: where all are of one host, only the port tells them apart.
pub struct Clients {
    is_one_host: bool,
}

impl Clients {
    /// Those of some tasks.
    pub fn of<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> Self {
        let clients = tasks.into_iter().filter_map(|task| task.work.as_deref()?.client.as_deref());
        let hosts: FxHashSet<&str> = clients.map(host).collect();
        Self { is_one_host: hosts.len() < 2 }
    }

    /// The one whose request a task works for; nothing where that is not known.
    pub fn name(&self, task: &Task) -> String {
        let client =
            task.work.as_deref().and_then(|work| work.client.as_deref()).unwrap_or_default();
        let port = client.rsplit_once(':').filter(|_| self.is_one_host);
        port.map_or_else(|| client.to_owned(), |(_, port)| format!(":{port}"))
    }
}

/// Which of two tasks has got further with a request: one that waits for another one has not.
fn depth(task: &Task) -> (bool, bool, usize) {
    let waits = task.waiting_on.as_deref().map(Waiting::kind);
    let hands_on = matches!(waits, Some(WaitKind::Task | WaitKind::Gather | WaitKind::TaskGroup));
    let is_own = task.place().is_some_and(|place| !place.is_library());
    (is_own, !hands_on, task.frames.len())
}

/// The older of two ages.
fn older(one: Option<Age>, other: Option<Age>) -> Option<Age> {
    [one, other].into_iter().flatten().max_by_key(|age| age.time)
}

/// `175 requests in flight, oldest 62.3 s · 20 websockets · loop not blocked`
fn head(snapshot: &Snapshot, requests: &[Request<'_>]) -> Line {
    let websockets = requests.iter().filter(|it| it.is_websocket()).count();
    let ages = requests.iter().filter(|it| !it.is_websocket()).filter_map(|it| it.age);
    let oldest = ages.max_by_key(|age| age.time).map(|it| format!(", oldest {}", words::age(it)));
    let plain = match requests.len() - websockets {
        // There may be some of a framework that no rule knows.
        0 => "no request recognized".to_owned(),
        count => format!("{} in flight", words::counted(count, "request")),
    };
    let is_blocked = snapshot.loops.iter().any(|it| it.state == Some(LoopState::Blocked));
    let parts = [
        Some(plain + &oldest.unwrap_or_default()),
        (websockets > 0).then(|| words::counted(websockets, "websocket")),
        Some(if is_blocked { "loop BLOCKED" } else { "loop not blocked" }.to_owned()),
    ];
    Line::new().with(Style::Strong, &parts.into_iter().flatten().collect::<Vec<_>>().join(" · "))
}

/// One row for those that have something in common.
fn grouped(requests: &[Request<'_>], by: By, width: usize, page: &mut Page<'_>) -> io::Result<()> {
    let mut rows: Vec<(String, Vec<&Request<'_>>)> = Vec::new();
    for request in requests {
        let key = key(request, by);
        match rows.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(request),
            None => rows.push((key, vec![request])),
        }
    }
    let worst = |members: &[&Request<'_>]| members.iter().map(|it| it.state).min();
    rows.sort_by_cached_key(|(key, members)| (worst(members), Reverse(members.len()), key.clone()));
    let title = match by {
        By::Peer => "PEER",
        By::Client => "CLIENT",
        By::Wait | By::Route => "WAITS FOR",
    };
    let keys = rows.iter().map(|(key, _)| key.width()).max().unwrap_or(0);
    let keys = keys.clamp(title.len(), width / 2);
    let row = |style, sign: &str, count: &str, key: &str, oldest: &str, rest: &str| {
        let mut line = Line::new().with(style, sign);
        line.pad_to(8usize.saturating_sub(count.width()).max(3));
        line.add(Style::Plain, count);
        line.pad_to(10);
        line.add(Style::Strong, &fit(key, keys));
        line.pad_to(12 + keys + 7usize.saturating_sub(oldest.width()));
        line.add(Style::Plain, oldest);
        line.pad_to(21 + keys);
        line.add(Style::Dim, &fit(rest, width.saturating_sub(21 + keys)));
        line
    };
    page.line(&row(Style::Plain, "", "N", title, "OLDEST", "ROUTES"))?;
    for (key, members) in &rows {
        let (style, sign) = signed(members);
        let oldest = members.iter().filter_map(|it| it.age).max_by_key(|age| age.time);
        let oldest = oldest.map(words::age).unwrap_or_default();
        let mut routes: Vec<String> = Vec::new();
        for member in members {
            let route = member.work.to_string();
            if !routes.contains(&route) {
                routes.push(route);
            }
        }
        let count = words::count(members.len());
        page.line(&row(style, sign, &count, key, &oldest, &clean(&routes.join(", "))))?;
    }
    Ok(())
}

fn key(request: &Request<'_>, by: By) -> String {
    let waiting = request.task.waiting_on.as_deref();
    let found = match by {
        By::Client => request.work.client.as_deref().map(host),
        By::Peer => {
            let asked = request.task.call.as_deref().and_then(|call| call.peer.as_deref());
            asked.or_else(|| waiting?.far_end())
        }
        By::Wait | By::Route => waiting.map(|waiting| match &waiting.name {
            Some(name) => name.as_str(),
            None => waiting.kind().as_str(),
        }),
    };
    clean(found.unwrap_or("none")).into_owned()
}

/// `10.0.0.5` of `10.0.0.5:52418`.
fn host(peer: &str) -> &str {
    peer.rsplit_once(':').map_or(peer, |(host, _)| host)
}

fn signed(requests: &[&Request<'_>]) -> (Style, &'static str) {
    let severity = requests.iter().filter_map(|it| it.severity).max();
    let is_undecided = requests.iter().any(|it| it.state == GroupState::Undecided);
    words::sign(severity, if is_undecided { GroupState::Undecided } else { GroupState::Moving })
}

/// Those that are stuck first, then the oldest; one of each group before a second one of any.
fn order(requests: &mut [Request<'_>]) {
    requests.sort_by_key(|it| {
        let time = it.age.map_or(Duration::ZERO, |age| age.time);
        (it.state, Reverse(time), it.group)
    });
    let mut seen = FxHashSet::default();
    for request in &mut *requests {
        request.is_later = !seen.insert(request.group);
    }
    requests.sort_by_key(|it| (it.state, it.is_later));
}

fn one_by_one(
    requests: &[Request<'_>],
    snapshot: &Snapshot,
    is_all: bool,
    width: usize,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let shown = if is_all { requests.len() } else { MAX_LISTED.min(requests.len()) };
    let listed = requests.get(..shown).unwrap_or(requests);
    let name = |it: &Request<'_>| clean(&it.work.live_name()).into_owned();
    let of = Clients::of(listed.iter().map(|it| it.task));
    let client = |it: &Request<'_>| of.name(it.task);
    let trace = |it: &Request<'_>| it.work.trace.as_deref().unwrap_or_default().to_owned();
    let widest = |text: &dyn Fn(&Request<'_>) -> String, most: usize| {
        listed.iter().map(|it| text(it).width()).max().unwrap_or(0).min(most)
    };
    let [names, clients, traces] =
        [widest(&name, REQUEST).max(7), widest(&client, CLIENT), widest(&trace, TRACE)];
    let taken = 16 + names + 2 + if clients > 0 { clients.max(6) + 2 } else { 0 };
    let room = width.saturating_sub(taken + 2 + LEAST_PLACE);
    let traces = if room < LEAST_TRACE { 0 } else { traces.min(room) };
    let row = |style, sign: &str, time: &str, cells: [&str; 4]| {
        let [request, from, id, at] = cells;
        let mut line = Line::new().with(style, sign);
        line.pad_to(14usize.saturating_sub(time.width()).max(line.width() + 1));
        line.add(Style::Plain, time);
        let mut column = 16;
        for (text, size, style) in
            [(request, names, Style::Strong), (from, clients, Style::Dim), (id, traces, Style::Dim)]
        {
            if size == 0 {
                continue;
            }
            let size = size.max(if style == Style::Dim { 6 } else { 0 });
            line.pad_to(column);
            line.add(style, &fit(text, size));
            column += size + 2;
        }
        let room = width.saturating_sub(column);
        if room > 8 {
            line.pad_to(column);
            line.add(Style::Plain, &start_cut(at, room));
        }
        line
    };
    page.line(&row(Style::Dim, "SLOWEST", "FOR", ["REQUEST", "CLIENT", "TRACE", "AT"]))?;
    for request in listed {
        let (style, sign) = signed(&[request]);
        let time = request.age.map(words::age).unwrap_or_default();
        let at = snapshot.place_of(request.task).map(|place| {
            clean(&format!("{} {}", table::place_of(place), place.function)).into_owned()
        });
        let cells = [name(request), client(request), trace(request), at.unwrap_or_default()];
        page.line(&row(style, sign, &time, cells.each_ref().map(String::as_str)))?;
    }
    if requests.len() > shown {
        let more = words::count(requests.len() - shown);
        page.line(&Line::new().with(Style::Dim, &format!("{:16}{more} more: --all", "")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aiospy::snapshot::Source;

    use super::super::sample;
    use super::*;

    fn request(number: u64, path: &str, client: &str, seconds: u64, identity: u64) -> Task {
        let mut task = sample::task(number, "Task-1", &["get /srv/shop.py:20"], &[]);
        task.work = Some(Arc::new(Work {
            kind: Some(WorkKind::Request),
            verb: Some("GET".into()),
            name: "/stock/{sku}".into(),
            path: Some(path.into()),
            client: Some(client.into()),
            since: Some(Age::at_least(Duration::from_secs(seconds), Source::Connection)),
            identity: Some(Address(identity)),
            ..Work::default()
        }));
        task
    }

    fn shown(tasks: Vec<Task>, by: By, is_all: bool) -> String {
        let snapshot = sample::snapshot(tasks);
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, Some(COLUMNS), false);
        draw(&snapshot, &snapshot, by, is_all, &mut page).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_counts_once_however_many_tasks_work_for_it() {
        let text = shown(
            vec![
                request(1, "/stock/a", "10.0.0.1:5001", 62, 0x10),
                request(2, "/stock/a", "10.0.0.1:5001", 62, 0x10),
                request(3, "/stock/b", "10.0.0.1:5002", 3, 0x20),
            ],
            By::Route,
            false,
        );
        assert!(
            text.starts_with("2 requests in flight, oldest ≥62.0 s · loop not blocked\n"),
            "{text}"
        );
        assert!(text.contains("  2  GET /stock/{sku}"), "{text}");
        let listed: Vec<&str> = text.lines().filter(|line| line.contains("GET /stock/")).collect();
        assert_eq!(listed.len(), 3, "{text}");
        assert!(listed[1].contains("≥62.0 s  GET /stock/a  :5001"), "{text}");
        assert!(listed[2].contains("≥3.00 s  GET /stock/b  :5002"), "{text}");
    }

    #[test]
    fn they_are_grouped_by_their_clients_and_counted_where_there_is_no_room() {
        let of = |number: u64| {
            let client = format!("10.0.0.{}:500{number}", number % 2);
            request(number, "/stock/a", &client, number, number << 8)
        };
        let text = shown((1..8).map(of).collect(), By::Client, false);
        assert!(text.contains("      4  10.0.0.1"), "{text}");
        assert!(text.contains("      3  10.0.0.0"), "{text}");
        assert!(text.contains("3 more: --all"), "{text}");
        let all = shown((1..8).map(of).collect(), By::Client, true);
        assert!(!all.contains("--all"), "{all}");
        assert!(text.lines().chain(all.lines()).all(|line| line.width() <= COLUMNS), "{all}");
    }

    #[test]
    fn traces_have_a_column_where_there_are_some() {
        const ID: &str = "0af7651916cd43dd8448eb211c80319c";
        let at = |width: usize, id: Option<&str>| {
            let mut tasks = vec![
                request(1, "/stock/a", "10.0.0.1:5001", 62, 0x10),
                request(2, "/stock/b", "10.0.0.1:5002", 3, 0x20),
            ];
            let work = tasks[0].work.as_mut().unwrap();
            Arc::make_mut(work).trace = id.map(Arc::from);
            let snapshot = sample::snapshot(tasks);
            let mut out = Vec::new();
            let mut page = Page::new(&mut out, Some(width), false);
            draw(&snapshot, &snapshot, By::Route, false, &mut page).unwrap();
            String::from_utf8(out).unwrap()
        };
        let wide = at(120, Some(ID));
        let first = wide.lines().find(|line| line.contains("GET /stock/a")).unwrap();
        assert!(wide.contains("CLIENT  TRACE  ") && first.contains(ID), "{wide}");
        assert!(first.ends_with("  shop.py:20 get"), "{wide}");
        let narrow = at(80, Some(ID));
        assert!(narrow.contains(&ID[..LEAST_TRACE]), "{narrow}");
        assert!(narrow.lines().all(|line| line.width() <= 80), "{narrow}");
        assert!(!at(40, Some(ID)).contains("TRACE") && !at(120, None).contains("TRACE"));
    }

    #[test]
    fn nothing_in_flight_is_said_as_such() {
        let text = shown(Vec::new(), By::Route, false);
        assert!(text.starts_with("no request recognized · loop not blocked\n"), "{text}");
    }
}
