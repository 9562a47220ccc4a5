//! The rows of each view: sorted, filtered, like ones together; made once for each new feed or
//! key, so that drawing only formats those that are shown.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{Code, Executor, Severity, Snapshot, Task, TaskState, Waiting};
use aiospy::timeline::Stretch;
use rustc_hash::{FxHashMap, FxHashSet};

use super::feed::Feed;
use super::subject::{Subject, is_stretch};
use super::tab::Tab;
use crate::report::text::forest::{Forest, Node};
use crate::report::text::outline::{Outline, Row};
use crate::report::text::{names, waiting as reasons, words};

/// From here on rows of the tree are not indented any further.
pub const MAX_LEVELS: usize = 12;

/// How tasks are sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// What is wrong, runs or is ready comes first; else by name.
    #[default]
    Attention,
    State,
    Name,
    Coroutine,
    Reason,
    /// Those that wait longest first.
    Since,
    Cancel,
}

impl Sort {
    /// All of them, in the order in which a key goes through them.
    const ALL: [Self; 7] = [
        Self::Attention,
        Self::State,
        Self::Name,
        Self::Coroutine,
        Self::Reason,
        Self::Since,
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
            Self::Attention => "trouble first",
            Self::State => "by state",
            Self::Name => "by name",
            Self::Coroutine => "by coroutine",
            Self::Reason => "by what it waits for",
            Self::Since => "longest wait first",
            Self::Cancel => "cancellations first",
        }
    }
}

/// How rows are made.
pub struct Wanted<'a> {
    pub tab: Tab,
    pub sort: Sort,
    pub is_reversed: bool,
    /// Whether tasks that look alike share a row.
    pub merges: bool,
    /// First tasks of rows whose tasks are listed below it.
    pub unfolded: &'a FxHashSet<Address>,
    /// First tasks of rows of the tree that show nothing below them.
    pub folded: &'a FxHashSet<Address>,
    /// In lower case; empty for no filter.
    pub filter: &'a str,
    /// The task that stays on top.
    pub pinned: Option<Address>,
}

/// A row of the table of tasks.
#[derive(Debug, Clone)]
pub struct TaskRow {
    /// The tasks, by their place in the snapshot.
    pub members: Vec<usize>,
    /// Whether it is one of the tasks of the row above.
    pub is_inner: bool,
    /// Whether its tasks are listed below it.
    pub is_unfolded: bool,
    /// The findings that blame it.
    pub marks: Vec<(Severity, Code)>,
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
    Tasks(Vec<TaskRow>),
    Tree(Vec<TreeRow>),
    /// The loops, by their place in the snapshot.
    Loop(usize),
    Blocking(Vec<Arc<Stretch>>),
    Cancel(Vec<CancelRow>),
    Threads(Vec<ThreadRow>),
}

impl Rows {
    /// The rows of a feed.
    pub fn of(feed: &Feed, wanted: &Wanted<'_>) -> Self {
        match wanted.tab {
            Tab::Tasks => Self::Tasks(task_rows(feed, wanted)),
            Tab::Tree => Self::Tree(tree_rows(feed, wanted)),
            Tab::Loop => Self::Loop(feed.snapshot.loops.len()),
            Tab::Blocking => Self::Blocking(stretches(feed, wanted.filter)),
            Tab::Cancel => Self::Cancel(cancelled(feed, wanted.filter)),
            Tab::Threads => Self::Threads(threads(&feed.snapshot, wanted.filter)),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Tasks(rows) => rows.len(),
            Self::Tree(rows) => rows.len(),
            Self::Loop(count) => *count,
            Self::Blocking(rows) => rows.len(),
            Self::Cancel(rows) => rows.len(),
            Self::Threads(rows) => rows.len(),
        }
    }

    /// What a row is about.
    pub fn subject(&self, at: usize, feed: &Feed) -> Option<Subject> {
        let snapshot = &feed.snapshot;
        let task = |at: usize| snapshot.tasks.get(at).map(|task| Subject::Task(task.id));
        match self {
            Self::Tasks(rows) => task(*rows.get(at)?.members.first()?),
            Self::Tree(rows) => task(*rows.get(at)?.row.members.first()?),
            Self::Loop(_) => snapshot.loops.get(at).map(|of| Subject::Loop(of.id)),
            Self::Blocking(rows) => {
                rows.get(at).map(|it| Subject::Stretch(it.loop_id, it.began_at))
            }
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
            // Its own row, rather than that of all tasks alike.
            Self::Tasks(rows) => rows
                .iter()
                .rposition(|row| is_in(&row.members))
                .filter(|at| rows.get(*at).is_some_and(|row| row.is_inner))
                .or_else(|| rows.iter().position(|row| is_in(&row.members))),
            Self::Tree(rows) => rows.iter().position(|row| is_in(&row.row.members)),
            Self::Blocking(rows) => match subject {
                Subject::Stretch(id, began) => rows.iter().position(|it| is_stretch(it, id, began)),
                _ => None,
            },
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

/// For how long a task has been at its present await, as far as that is known.
pub fn stood_for(feed: &Feed, at: usize) -> Option<Duration> {
    let since = feed.snapshot.tasks.get(at)?.waiting_on.as_deref().and_then(|it| it.since);
    since.max(feed.lives.get(at).copied().flatten().and_then(|life| life.at_await))
}

/// Whether a filter in lower case finds something of a task.
pub fn is_found(task: &Task, marks: &[(Severity, Code)], filter: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(filter);
    filter.is_empty()
        || task.name.as_deref().is_some_and(has)
        || task.coroutine.as_deref().is_some_and(has)
        || has(words::task_state(task.state).1)
        || task.waiting_on.as_ref().is_some_and(|waiting| has(&waiting.description))
        || marks.iter().any(|(_, code)| has(code.as_str()))
        || task.cancellation.is_some() && "cancelled".contains(filter)
}

/// The places in the snapshot of a forest's tasks.
fn places(snapshot: &Snapshot) -> FxHashMap<Address, usize> {
    snapshot.tasks.iter().enumerate().map(|(at, task)| (task.id, at)).collect()
}

fn forest(snapshot: &Snapshot) -> Forest<'_> {
    Forest::new(&snapshot.tasks, snapshot.findings.as_deref().unwrap_or_default())
}

fn task_rows(feed: &Feed, wanted: &Wanted<'_>) -> Vec<TaskRow> {
    let snapshot = &*feed.snapshot;
    let forest = forest(snapshot);
    let places = places(snapshot);
    let found: Vec<usize> = forest
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| is_found(node.task, &node.marks, wanted.filter))
        .map(|(at, _)| at)
        .collect();
    let mut groups: Vec<Vec<usize>> = if wanted.merges {
        forest.alike(found)
    } else {
        found.into_iter().map(|at| vec![at]).collect()
    };
    let first = |group: &[usize]| group.first().and_then(|&at| forest.nodes.get(at));
    let is_pinned = |node: &Node<'_>| Some(node.task.id) == wanted.pinned;
    let stood = |task: &Task| stood_for(feed, *places.get(&task.id)?);
    // Stable: the forest is in the order of the names.
    groups.sort_by(|a, b| {
        let (Some(a), Some(b)) = (first(a), first(b)) else { return std::cmp::Ordering::Equal };
        let order = compare(a, b, wanted.sort, &stood);
        if wanted.is_reversed { order.reverse() } else { order }
    });
    let pinned = forest.nodes.iter().position(is_pinned).map(|at| vec![at]);
    let mut rows = Vec::with_capacity(groups.len() + 1);
    for group in pinned.into_iter().chain(groups) {
        let members = group.iter().filter_map(|&at| forest.nodes.get(at));
        let members: Vec<usize> =
            members.filter_map(|node| places.get(&node.task.id).copied()).collect();
        let marks = first(&group).map(|node| node.marks.clone()).unwrap_or_default();
        let id = first(&group).map(|node| node.task.id);
        let is_unfolded = members.len() > 1 && id.is_some_and(|id| wanted.unfolded.contains(&id));
        let inner: Vec<usize> = if is_unfolded { members.clone() } else { Vec::new() };
        rows.push(TaskRow { members, is_inner: false, is_unfolded, marks: marks.clone() });
        rows.extend(inner.into_iter().map(|at| TaskRow {
            members: vec![at],
            is_inner: true,
            is_unfolded: false,
            marks: marks.clone(),
        }));
    }
    rows
}

fn compare(
    a: &Node<'_>,
    b: &Node<'_>,
    sort: Sort,
    stood: &dyn Fn(&Task) -> Option<Duration>,
) -> std::cmp::Ordering {
    let worst = |node: &Node<'_>| Reverse(node.marks.iter().map(|mark| mark.0).max());
    let state = |node: &Node<'_>| match node.task.state {
        Some(TaskState::Running) => 0,
        Some(TaskState::Ready) => 1,
        Some(TaskState::Pending) => 2,
        None => 3,
        Some(_) => 4,
    };
    let rank = |node: &Node<'_>| (state(node), node.task.cancellation.is_none());
    match sort {
        Sort::Attention => worst(a).cmp(&worst(b)).then_with(|| rank(a).cmp(&rank(b))),
        Sort::State => state(a).cmp(&state(b)),
        // They are in this order already.
        Sort::Name => std::cmp::Ordering::Equal,
        Sort::Coroutine => a.task.coroutine.cmp(&b.task.coroutine),
        Sort::Reason => {
            let reason = |waiting: &Waiting| {
                (waiting.kind(), waiting.name.clone(), waiting.description.clone())
            };
            let (a, b) = (waiting(a), waiting(b));
            a.map(reason).cmp(&b.map(reason))
        }
        Sort::Since => {
            let since = |node: &Node<'_>| Reverse(stood(node.task));
            since(a).cmp(&since(b))
        }
        Sort::Cancel => a.task.cancellation.is_none().cmp(&b.task.cancellation.is_none()),
    }
}

fn waiting<'a>(node: &Node<'a>) -> Option<&'a Waiting> {
    node.task.waiting_on.as_deref()
}

fn tree_rows(feed: &Feed, wanted: &Wanted<'_>) -> Vec<TreeRow> {
    let snapshot = &*feed.snapshot;
    let forest = forest(snapshot);
    let places = places(snapshot);
    let is_folded = |node: &Node<'_>| wanted.folded.contains(&node.task.id);
    let outline = Outline::of(&forest, MAX_LEVELS).with(wanted.merges, &is_folded);
    let place = |mut row: Row| {
        let nodes: Vec<&Node<'_>> =
            row.members.iter().filter_map(|&at| forest.nodes.get(at)).collect();
        let is_match = !wanted.filter.is_empty()
            && nodes.iter().any(|node| is_found(node.task, &node.marks, wanted.filter));
        let marks = nodes.first().map(|node| node.marks.clone()).unwrap_or_default();
        row.members = nodes.iter().filter_map(|node| places.get(&node.task.id).copied()).collect();
        TreeRow { row, marks, is_match }
    };
    outline.rows(snapshot).into_iter().map(place).collect()
}

fn stretches(feed: &Feed, filter: &str) -> Vec<Arc<Stretch>> {
    let is_found = |stretch: &&Arc<Stretch>| {
        let Some(work) = stretch.work.as_deref() else { return filter.is_empty() };
        let has = |text: &str| text.to_lowercase().contains(filter);
        filter.is_empty()
            || has(&work.description)
            || work.handle.as_deref().is_some_and(has)
            || work.place.as_ref().is_some_and(|place| has(&place.file) || has(&place.function))
    };
    feed.ongoing.iter().chain(feed.blocked.iter()).filter(is_found).cloned().collect()
}

fn cancelled(feed: &Feed, filter: &str) -> Vec<CancelRow> {
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
        .filter(|(_, task)| is_asked(task) && is_found(task, &[], filter))
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
        filter.is_empty() || name.as_deref().is_some_and(|it| it.to_lowercase().contains(filter))
    };
    let over = feed.cancelled.iter().enumerate();
    let over = over.filter(|(_, it)| it.is_over && is_found(&it.name));
    let over = over.map(|(at, _)| CancelRow { task: None, history: Some(at) });
    now.chain(over).collect()
}

fn threads(snapshot: &Snapshot, filter: &str) -> Vec<ThreadRow> {
    let has = |text: &str| text.to_lowercase().contains(filter);
    let is_found = |at: &usize| {
        let Some(thread) = snapshot.threads.get(*at) else { return false };
        filter.is_empty()
            || thread.name.as_deref().is_some_and(has)
            || thread.tid.is_some_and(|tid| has(&tid.to_string()))
            || words::thread(thread.state, thread.syscall.as_ref()).is_some_and(|it| has(&it))
            || thread.waiting_on.as_deref().is_some_and(|it| has(reasons::described(it)))
            || thread.frames.iter().any(|frame| has(&frame.location.function))
    };
    let threads = (0..snapshot.threads.len()).filter(is_found).map(ThreadRow::Thread);
    let is_pool = |pool: &Executor| filter.is_empty() || pool.name.as_deref().is_some_and(has);
    let pools = snapshot.pools().into_iter().enumerate();
    let pools = pools.filter(|(_, pool)| is_pool(pool)).map(|(at, _)| ThreadRow::Pool(at));
    threads.chain(pools).collect()
}
