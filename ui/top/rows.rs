//! The rows of each view: sorted, filtered, like ones together; made once for each new feed or
//! key, so that drawing only formats those that are shown.

use std::cmp::Reverse;
use std::sync::Arc;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Age, Code, Executor, Group, GroupState, Severity, Snapshot, SubjectKind, Task, TaskState,
    ThreadState, Work,
};
use rustc_hash::{FxHashMap, FxHashSet};

use super::blocks::{self, Block};
use super::feed::Feed;
use super::finished::Figures;
use super::judged::{Judged, Kept, codes};
use super::query::{Facts, Field, Found, Query, Trait, has_place, is_plainly};
use super::subject::Subject;
use super::tab::Tab;
use crate::report::text::forest::{Forest, Node};
use crate::report::text::outline::{Outline, Row};
use crate::report::text::{names, requests, waiting as reasons, words};

/// From here on rows of the tree are not indented any further.
pub const MAX_LEVELS: usize = 12;

/// How tasks are sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// What is stuck comes first, then what may be, moves, is idle.
    #[default]
    Attention,
    Count,
    Name,
    /// The oldest first.
    Age,
    Reason,
    Place,
    State,
    Cancel,
}

impl Sort {
    /// All of them, in the order in which a key goes through them.
    const ALL: [Self; 8] = [
        Self::Attention,
        Self::Count,
        Self::Name,
        Self::Age,
        Self::Reason,
        Self::Place,
        Self::State,
        Self::Cancel,
    ];

    /// The next one.
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL.get(at + 1).copied().unwrap_or_default()
    }

    /// What comes first by it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Attention => "stuck first",
            Self::Count => "largest first",
            Self::Name => "by name",
            Self::Age => "oldest first",
            Self::Reason => "by wait",
            Self::Place => "by place",
            Self::State => "by state",
            Self::Cancel => "cancelled first",
        }
    }
}

/// How rows are made.
pub struct Wanted<'a> {
    pub tab: Tab,
    pub sort: Sort,
    pub is_reversed: bool,
    /// Whether tasks that are alike share a row.
    pub merges: bool,
    /// Groups whose tasks are listed below their rows.
    pub unfolded: &'a FxHashSet<u64>,
    /// First tasks of rows of the tree that show nothing below them.
    pub folded: &'a FxHashSet<Address>,
    pub query: &'a Query,
    /// The task that stays on top.
    pub pinned: Option<Address>,
}

/// The table of tasks.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Groups, as far as the filter lets them through.
    pub groups: Vec<Kept>,
    pub rows: Vec<TaskRow>,
}

/// A row of the table of tasks.
#[derive(Debug, Clone, Copy)]
pub struct TaskRow {
    /// The group, by its place in the table.
    group: usize,
    /// The one task of it that the row is of, by its place in the snapshot; else it is of all.
    task: Option<usize>,
    /// Whether it is one of the tasks of the row above.
    pub is_inner: bool,
    /// Whether its tasks are listed below it.
    pub is_unfolded: bool,
}

impl TaskRow {
    /// Whether it is of all tasks of a group.
    pub fn is_whole(&self) -> bool {
        self.task.is_none()
    }
}

impl Table {
    /// The group of a row.
    pub fn group(&self, row: &TaskRow) -> Option<&Kept> {
        self.groups.get(row.group)
    }

    /// The tasks of a row, by their places in the snapshot.
    pub fn members<'t>(&'t self, row: &'t TaskRow) -> &'t [usize] {
        match &row.task {
            Some(task) => std::slice::from_ref(task),
            None => self.group(row).map_or(&[], |group| &group.members),
        }
    }

    /// How old the oldest of them is.
    pub fn age(&self, row: &TaskRow, feed: &Feed) -> Option<Age> {
        match row.task {
            Some(task) => feed.age(task),
            None => self.group(row)?.oldest,
        }
    }

    /// The task that stands for a row.
    pub fn first<'f>(&self, row: &TaskRow, snapshot: &'f Snapshot) -> Option<&'f Task> {
        snapshot.tasks.get(*self.members(row).first()?)
    }

    /// A row as a group, as the library has it. One task is called by what was asked for, which live
    /// views alone show.
    pub fn told<'f>(&'f self, row: &TaskRow, feed: &'f Feed) -> Option<Group<'f>> {
        let snapshot = &*feed.snapshot;
        let kept = self.group(row)?;
        let Some(task) = row.task.and_then(|at| snapshot.tasks.get(at)) else {
            return Some(kept.group(snapshot));
        };
        let mut subject = kept.subject.clone();
        subject.name = task.work.as_deref().map_or_else(|| task.label(), Work::live_name);
        Some(Group {
            id: kept.id,
            work: kept.work,
            state: kept.state,
            severity: kept.severity,
            subject,
            place: snapshot.place_of(task),
            tasks: vec![task],
            count: 1,
            oldest: self.age(row, feed),
            findings: Vec::new(),
            is_beside: kept.is_beside,
        })
    }

    /// What a row is about: a group, or the only task of it.
    fn subject(&self, at: usize, snapshot: &Snapshot) -> Option<Subject> {
        let row = self.rows.get(at)?;
        match (self.members(row), self.group(row)) {
            ([task], _) => snapshot.tasks.get(*task).map(|task| Subject::Task(task.id)),
            (_, Some(group)) => Some(Subject::Group(group.id)),
            (_, None) => None,
        }
    }
}

/// A column of the table of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    Count,
    Work,
    Age,
    Waits,
    Place,
    Task,
    Cancel,
    State,
    Client,
    Trace,
    Rate,
    P50,
    P95,
    InFlight,
}

/// A row of the requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestRow {
    /// The task that has got furthest with it, by its place in the snapshot.
    pub task: usize,
    pub state: GroupState,
    pub severity: Option<Severity>,
    /// For how long it has gone on.
    pub age: Option<Age>,
    pub is_websocket: bool,
}

/// A row of the tree, its members by their place in the snapshot.
#[derive(Debug, Clone)]
pub struct TreeRow {
    pub row: Row,
    pub marks: Vec<(Severity, Code)>,
    /// Whether the search finds it.
    pub is_match: bool,
}

/// A row of the threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadRow {
    /// A thread, by its place in the snapshot.
    Thread(usize),
    /// A pool, by its place in [`Snapshot::pools`].
    Pool(usize),
}

/// A row of the cancellations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelRow {
    /// The task, by its place in the snapshot, if it is there.
    pub task: Option<usize>,
    /// What became of its cancellation, by the place in the feed, if that was seen.
    pub history: Option<usize>,
}

/// The rows of the view that is shown.
#[derive(Debug, Clone)]
pub enum Rows {
    Tasks(Table),
    Tree(Vec<TreeRow>),
    /// So many loops, by their place in the snapshot, then what has blocked them.
    Loop(usize, Vec<Block>),
    Requests(Vec<RequestRow>),
    Cancel(Vec<CancelRow>),
    Threads(Vec<ThreadRow>),
}

impl Rows {
    /// The rows of a feed.
    pub fn of(feed: &Feed, judged: &Judged, wanted: &Wanted<'_>) -> Self {
        let filter = Tasks::of(feed, judged, wanted.query);
        match wanted.tab {
            Tab::Work => Self::Tasks(table(&filter, wanted)),
            Tab::Tree => Self::Tree(tree_rows(&filter, wanted)),
            Tab::Loop => Self::Loop(feed.snapshot.loops.len(), blocks(feed, wanted.query)),
            Tab::Requests => Self::Requests(requests(&filter)),
            Tab::Cancel => Self::Cancel(cancelled(&filter)),
            Tab::Threads => Self::Threads(threads(&feed.snapshot, wanted.query)),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Tasks(table) => table.rows.len(),
            Self::Tree(rows) => rows.len(),
            Self::Loop(loops, blocks) => loops + blocks.len(),
            Self::Requests(rows) => rows.len(),
            Self::Cancel(rows) => rows.len(),
            Self::Threads(rows) => rows.len(),
        }
    }

    /// The columns of tasks that say something: what is empty in each row, or the same, does not.
    pub fn used(&self, feed: &Feed) -> Vec<What> {
        let snapshot = &*feed.snapshot;
        let table = match self {
            Self::Tasks(table) => table,
            Self::Requests(rows) => return used_of_requests(rows, snapshot),
            _ => return Vec::new(),
        };
        let rows = &table.rows;
        let mut used = vec![What::Count, What::Work, What::Waits];
        let mut add = |what, is_used: bool| {
            if is_used {
                used.push(what);
            }
        };
        let all = || rows.iter().filter_map(|row| table.first(row, snapshot));
        // Who is called by its name has it in another column.
        let is_named = |row: &TaskRow| {
            let group = table.group(row);
            group.is_some_and(|group| group.subject.kind != SubjectKind::Name)
                && table.first(row, snapshot).is_some_and(|task| task.name.is_some())
        };
        add(What::Age, rows.iter().any(|row| table.age(row, feed).is_some()));
        add(What::Place, table.groups.iter().any(|group| group.place.is_some()));
        let figures = |has: &dyn Fn(&Figures) -> bool| {
            table.groups.iter().any(|group| group.figures.as_ref().is_some_and(has))
        };
        add(What::Rate, figures(&|it| it.rate.is_some()));
        add(What::InFlight, figures(&|it| it.in_flight.iter().flatten().nth(1).is_some()));
        add(What::P50, figures(&|it| it.p50.is_some()));
        add(What::P95, figures(&|it| it.p95.is_some()));
        add(What::Task, rows.iter().any(is_named));
        add(What::Cancel, all().any(|task| task.cancellation.is_some()));
        let state = all().next().map(|task| task.state);
        add(What::State, all().any(|task| Some(task.state) != state));
        used
    }

    /// What a row is about.
    pub fn subject(&self, at: usize, feed: &Feed) -> Option<Subject> {
        let snapshot = &feed.snapshot;
        let task = |at: usize| snapshot.tasks.get(at).map(|task| Subject::Task(task.id));
        match self {
            Self::Tasks(table) => table.subject(at, snapshot),
            Self::Tree(rows) => task(*rows.get(at)?.row.members.first()?),
            Self::Loop(loops, blocks) => match at.checked_sub(*loops) {
                Some(at) => blocks.get(at).map(|block| Subject::Block(block.id)),
                None => snapshot.loops.get(at).map(|of| Subject::Loop(of.id)),
            },
            Self::Requests(rows) => task(rows.get(at)?.task),
            Self::Cancel(rows) => match *rows.get(at)? {
                CancelRow { task: Some(at), .. } => task(at),
                CancelRow { history, .. } => {
                    feed.cancelled.get(history?).map(|it| Subject::Cancelled(it.task))
                }
            },
            Self::Threads(rows) => match *rows.get(at)? {
                ThreadRow::Thread(at) => snapshot.threads.get(at)?.tid.map(Subject::Thread),
                ThreadRow::Pool(at) => Some(Subject::Pool(at)),
            },
        }
    }

    /// The row that is about a subject.
    pub fn find(&self, subject: Subject, feed: &Feed) -> Option<usize> {
        let snapshot = &feed.snapshot;
        let is_in = |members: &[usize]| match subject {
            Subject::Task(id) => {
                members.iter().any(|&at| snapshot.tasks.get(at).is_some_and(|task| task.id == id))
            }
            _ => false,
        };
        match self {
            Self::Tasks(table) => {
                let rows = &table.rows;
                if let Subject::Group(id) = subject {
                    let group = table.groups.iter().position(|group| group.id == id)?;
                    return rows.iter().position(|row| row.group == group);
                }
                // Its own row, rather than that of its group.
                let own = rows.iter().position(|row| row.task.is_some_and(|at| is_in(&[at])));
                own.or_else(|| rows.iter().position(|row| is_in(table.members(row))))
            }
            Self::Tree(rows) => rows.iter().position(|row| is_in(&row.row.members)),
            _ => (0..self.count()).find(|at| self.subject(*at, feed) == Some(subject)),
        }
    }

    /// Whether a row is what is searched for: all rows are, but for the tree, which shows others
    /// around them.
    pub fn is_match(&self, at: usize) -> bool {
        match self {
            Self::Tree(rows) => rows.get(at).is_some_and(|row| row.is_match),
            _ => true,
        }
    }
}

/// The tasks of a feed, as far as a filter lets them through.
struct Tasks<'f> {
    feed: &'f Feed,
    judged: &'f Judged,
    query: &'f Query,
    codes: FxHashMap<Address, Vec<Code>>,
}

impl<'f> Tasks<'f> {
    fn of(feed: &'f Feed, judged: &'f Judged, query: &'f Query) -> Self {
        let codes = if query.is_empty() { FxHashMap::default() } else { codes(feed) };
        Self { feed, judged, query, codes }
    }

    fn has(&self, at: usize) -> bool {
        if self.query.is_empty() {
            return true;
        }
        let Some(task) = self.feed.snapshot.tasks.get(at) else { return false };
        let is = |what: Trait| match what {
            Trait::Stuck => self.judged.state(at) == GroupState::Stuck,
            Trait::Idle => self.judged.state(at) == GroupState::Idle,
            what => is_plainly(task, what),
        };
        let age = self.feed.age(at).map(|age| age.time);
        let codes = self.codes.get(&task.id).map_or(&[][..], Vec::as_slice);
        self.query.finds_task(task, codes, self.feed.snapshot.process.pid, age, &is)
    }

    /// The groups with those of their tasks that are to be kept. What is beside a request is not
    /// among them, unless it is looked for.
    fn groups(&self, has_beside: bool, keep: impl Fn(usize) -> bool) -> Vec<Kept> {
        let has_beside = has_beside || !self.query.is_empty();
        let all = self.judged.groups.iter().filter(|group| has_beside || !group.is_beside);
        // What has finished is nothing that one could look for.
        let all = all.filter(|group| self.query.is_empty() || !group.members.is_empty());
        all.filter_map(|group| group.only(self.feed, &keep)).collect()
    }
}

fn forest(snapshot: &Snapshot) -> Forest<'_> {
    Forest::new(&snapshot.tasks, snapshot.findings.as_deref().unwrap_or_default())
}

fn table(filter: &Tasks<'_>, wanted: &Wanted<'_>) -> Table {
    let feed = filter.feed;
    // What is pinned stands on top, and nowhere else.
    let pinned = wanted.pinned.and_then(|id| filter.judged.place(id));
    let keep = |at: usize| Some(at) != pinned && filter.has(at);
    let all = &filter.judged.groups;
    let groups = filter.groups(!wanted.merges, keep);
    let mut table = Table { groups, rows: Vec::new() };
    let one = |group, task, is_inner| TaskRow { group, task, is_inner, is_unfolded: false };
    let row = |(at, group): (usize, &Kept)| TaskRow {
        is_unfolded: group.members.len() > 1 && wanted.unfolded.contains(&group.id),
        ..one(at, None, false)
    };
    let groups = table.groups.iter().enumerate();
    let mut rows: Vec<TaskRow> = if wanted.merges {
        groups.map(row).collect()
    } else {
        let of = |(at, group): (usize, &Kept)| {
            group.members.iter().map(|task| one(at, Some(*task), false)).collect::<Vec<_>>()
        };
        groups.flat_map(of).collect()
    };
    sort(&mut rows, wanted, &table, feed);
    let mut inner = Vec::with_capacity(rows.len() + 1);
    for row in rows {
        inner.push(row);
        let below = table.groups.get(row.group).filter(|_| row.is_unfolded);
        let below = below.into_iter().flat_map(|group| &group.members);
        inner.extend(below.map(|task| one(row.group, Some(*task), true)));
    }
    if let Some(at) = pinned
        && let Some(group) = all.iter().find(|group| group.members.contains(&at))
    {
        inner.insert(0, one(table.groups.len(), Some(at), false));
        table.groups.push(group.clone());
    }
    table.rows = inner;
    table
}

/// Sorts rows that are in the order of who needs attention.
fn sort(rows: &mut [TaskRow], wanted: &Wanted<'_>, table: &Table, feed: &Feed) {
    let snapshot = &*feed.snapshot;
    let task = |row: &TaskRow| table.first(row, snapshot);
    let waiting = |row: &TaskRow| task(row).and_then(|task| task.waiting_on.as_deref());
    match wanted.sort {
        Sort::Attention => {}
        Sort::Count => {
            rows.sort_by_key(|row| Reverse(table.group(row).map_or(0, |group| group.count)));
        }
        Sort::Name => rows.sort_by_cached_key(|row| {
            let name = match row.task {
                Some(_) => task(row).map(Task::label),
                None => table.group(row).map(|group| group.subject.name.clone()),
            };
            let name = name.unwrap_or_default();
            let head = name.trim_end_matches(|it: char| it.is_ascii_digit());
            let number = name.get(head.len()..).and_then(|it| it.parse::<u64>().ok());
            (head.to_owned(), number)
        }),
        Sort::Age => {
            rows.sort_by_cached_key(|row| Reverse(table.age(row, feed).map(|age| age.time)));
        }
        Sort::Reason => rows.sort_by_cached_key(|row| {
            waiting(row).map(|it| (it.kind(), it.name.clone(), it.description.clone()))
        }),
        Sort::Place => rows.sort_by_cached_key(|row| {
            let place = task(row).and_then(|task| snapshot.place_of(task));
            place.map(|place| (Arc::clone(&place.file), place.line))
        }),
        Sort::State => rows.sort_by_key(|row| {
            task(row).and_then(|task| task.state).map_or(u8::MAX, |state| match state {
                TaskState::Running => 0,
                TaskState::Ready => 1,
                TaskState::Pending => 2,
                _ => 3,
            })
        }),
        Sort::Cancel => {
            rows.sort_by_key(|row| task(row).is_none_or(|task| task.cancellation.is_none()));
        }
    }
    if wanted.is_reversed {
        rows.reverse();
    }
}

fn tree_rows(filter: &Tasks<'_>, wanted: &Wanted<'_>) -> Vec<TreeRow> {
    let snapshot = &*filter.feed.snapshot;
    let forest = forest(snapshot);
    let is_folded = |node: &Node<'_>| wanted.folded.contains(&node.task.id);
    let outline = Outline::of(&forest, MAX_LEVELS).with(wanted.merges, &is_folded);
    let place = |mut row: Row| {
        let nodes: Vec<&Node<'_>> =
            row.members.iter().filter_map(|&at| forest.nodes.get(at)).collect();
        let marks = nodes.first().map(|node| node.marks.clone()).unwrap_or_default();
        row.members = nodes.iter().filter_map(|node| filter.judged.place(node.task.id)).collect();
        let is_match = !filter.query.is_empty() && row.members.iter().any(|at| filter.has(*at));
        TreeRow { row, marks, is_match }
    };
    outline.rows(snapshot).into_iter().map(place).collect()
}

/// The columns of requests that there is something in.
fn used_of_requests(rows: &[RequestRow], snapshot: &Snapshot) -> Vec<What> {
    let has = |what: &dyn Fn(&Task) -> bool| {
        rows.iter().filter_map(|row| snapshot.tasks.get(row.task)).any(what)
    };
    let of_work =
        |what: &dyn Fn(&Work) -> bool| has(&|task| task.work.as_deref().is_some_and(what));
    let all = [
        (What::Work, true),
        (What::Waits, true),
        (What::Age, rows.iter().any(|row| row.age.is_some())),
        (What::Place, has(&|task| snapshot.place_of(task).is_some())),
        (What::Client, of_work(&|work| work.client.is_some())),
        (What::Trace, of_work(&|work| work.trace.is_some())),
    ];
    all.into_iter().filter(|(_, is_used)| *is_used).map(|(what, _)| what).collect()
}

fn requests(filter: &Tasks<'_>) -> Vec<RequestRow> {
    let (feed, judged) = (filter.feed, filter.judged);
    let kept = filter.groups(false, |at| filter.has(at));
    let groups: Vec<Group<'_>> = kept.iter().map(|group| group.group(&feed.snapshot)).collect();
    let mut all = requests::all(&groups, &|task| feed.age(judged.place(task.id)?));
    requests::oldest_first(&mut all);
    let row = |it: &requests::Request<'_>| {
        let (state, severity, age) = (it.state, it.severity, it.age);
        let is_websocket = it.is_websocket();
        Some(RequestRow { task: judged.place(it.task.id)?, state, severity, age, is_websocket })
    };
    all.iter().filter_map(row).collect()
}

fn blocks(feed: &Feed, query: &Query) -> Vec<Block> {
    blocks::all(feed, &|stretch| {
        let texts = &|found: &mut Found<'_>| {
            let Some(work) = stretch.work.as_deref() else { return false };
            found(Field::Wait, &work.description)
                || work.handle.as_deref().is_some_and(|handle| found(Field::Name, handle))
                || work.label.as_deref().is_some_and(|label| found(Field::Route, label))
                || work.peer.as_deref().is_some_and(|peer| found(Field::Peer, peer))
                || work.stack.iter().any(|place| has_place(place, found))
        };
        let is = &|what| what == Trait::Running && !stretch.is_over;
        query.is_empty() || query.finds(&Facts { texts, is, age: Some(stretch.length) })
    })
}

fn cancelled(filter: &Tasks<'_>) -> Vec<CancelRow> {
    let (feed, query) = (filter.feed, filter.query);
    let snapshot = &*feed.snapshot;
    let histories: FxHashMap<Address, usize> = feed
        .cancelled
        .iter()
        .enumerate()
        .filter(|(_, it)| !it.is_over)
        .map(|(at, it)| (it.task, at))
        .collect();
    let is_asked = |task: &Task| task.cancellation.is_some() || histories.contains_key(&task.id);
    let mut there: Vec<(usize, &Task)> = snapshot
        .tasks
        .iter()
        .enumerate()
        .filter(|(at, task)| is_asked(task) && filter.has(*at))
        .collect();
    let rank = |task: &Task| match &task.cancellation {
        _ if task.is_over() => 3,
        None => 0,
        Some(cancellation) if words::is_unheeded(cancellation) => 0,
        Some(cancellation) if cancellation.handling.is_some() => 1,
        _ => 2,
    };
    there.sort_by(|(_, a), (_, b)| {
        let name = |task: &Task| task.name.clone().unwrap_or_default();
        let (left, right) = (name(a), name(b));
        let by_name = || names::sort_key(&left).cmp(&names::sort_key(&right));
        rank(a).cmp(&rank(b)).then_with(by_name)
    });
    let now = there
        .into_iter()
        .map(|(at, task)| CancelRow { task: Some(at), history: histories.get(&task.id).copied() });
    let is_found = |name: &Option<Arc<str>>| {
        let texts =
            &|found: &mut Found<'_>| name.as_deref().is_some_and(|name| found(Field::Name, name));
        query.is_empty() || query.finds(&Facts { texts, is: &|_| false, age: None })
    };
    let over = feed.cancelled.iter().enumerate();
    let over = over.filter(|(_, it)| it.is_over && is_found(&it.name));
    let over = over.map(|(at, _)| CancelRow { task: None, history: Some(at) });
    now.chain(over).collect()
}

fn threads(snapshot: &Snapshot, query: &Query) -> Vec<ThreadRow> {
    let is_found = |at: &usize| {
        let Some(thread) = snapshot.threads.get(*at) else { return false };
        let texts = &|found: &mut Found<'_>| {
            let state = words::thread(thread.state, thread.syscall.as_ref());
            let call = thread.syscall.as_ref();
            thread.name.as_deref().is_some_and(|name| found(Field::Name, name))
                || thread.tid.is_some_and(|tid| found(Field::Pid, &tid.to_string()))
                || state.is_some_and(|state| found(Field::State, &state))
                || call.is_some_and(|call| found(Field::Wait, &call.name))
                || call.and_then(|it| it.peer.as_deref()).is_some_and(|it| found(Field::Peer, it))
                || thread
                    .waiting_on
                    .as_deref()
                    .is_some_and(|it| found(Field::Wait, reasons::described(it)))
                || thread.frames.iter().any(|frame| has_place(&frame.location, found))
        };
        let is = &|what| match what {
            Trait::Running => thread.state == Some(ThreadState::Running),
            Trait::Own => thread.frames.iter().any(|frame| !frame.location.is_library()),
            _ => false,
        };
        query.is_empty() || query.finds(&Facts { texts, is, age: None })
    };
    let threads = (0..snapshot.threads.len()).filter(is_found).map(ThreadRow::Thread);
    let is_pool = |pool: &Executor| {
        let texts = &|found: &mut Found<'_>| {
            pool.name.as_deref().is_some_and(|name| found(Field::Name, name))
                || pool.jobs.iter().any(|job| {
                    job.function.as_deref().is_some_and(|function| found(Field::At, function))
                })
        };
        query.is_empty() || query.finds(&Facts { texts, is: &|_| false, age: None })
    };
    let pools = snapshot.pools().into_iter().enumerate();
    let pools = pools.filter(|(_, pool)| is_pool(pool)).map(|(at, _)| ThreadRow::Pool(at));
    threads.chain(pools).collect()
}
