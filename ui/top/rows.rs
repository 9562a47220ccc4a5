//! The rows of each view: sorted, filtered, like ones together; made once for each new feed or
//! key, so that drawing only formats those that are shown.

use std::cmp::Reverse;
use std::sync::Arc;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Age, Code, Executor, GroupState, Severity, Snapshot, Task, TaskState, ThreadState,
};
use aiospy::timeline::Stretch;
use rustc_hash::{FxHashMap, FxHashSet};

use super::feed::Feed;
use super::query::{Facts, Field, Found, Query, Trait, has_place, is_plainly};
use super::subject::{Subject, is_stretch};
use super::tab::Tab;
use super::work::{self, Blame, Group};
use crate::report::text::forest::{Forest, Node};
use crate::report::text::outline::{Outline, Row};
use crate::report::text::{names, waiting as reasons, words};

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
    /// Tasks of rows whose tasks are listed below it.
    pub unfolded: &'a FxHashSet<Address>,
    /// First tasks of rows of the tree that show nothing below them.
    pub folded: &'a FxHashSet<Address>,
    pub query: &'a Query,
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
    /// How they get on.
    pub state: GroupState,
    /// How bad the worst finding is that they are in.
    pub severity: Option<Severity>,
    /// How old the oldest is.
    pub oldest: Option<Age>,
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
            Tab::Work => Self::Tasks(task_rows(feed, wanted)),
            Tab::Tree => Self::Tree(tree_rows(feed, wanted)),
            Tab::Loop => Self::Loop(feed.snapshot.loops.len()),
            Tab::Blocking => Self::Blocking(stretches(feed, wanted.query)),
            Tab::Cancel => Self::Cancel(cancelled(feed, wanted.query)),
            Tab::Threads => Self::Threads(threads(&feed.snapshot, wanted.query)),
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

    /// The columns of tasks that say something: what is empty in each row, or the same, does not.
    pub fn used(&self, feed: &Feed) -> Vec<What> {
        let Self::Tasks(rows) = self else { return Vec::new() };
        let tasks = &feed.snapshot.tasks;
        let mut used = vec![What::Count, What::Work, What::Waits];
        let first = |row: &TaskRow| row.members.first().and_then(|at| tasks.get(*at));
        let mut add = |what, is_used: bool| {
            if is_used {
                used.push(what);
            }
        };
        let all = || rows.iter().filter_map(first);
        let is_called_otherwise =
            |task: &Task| task.name.as_deref().is_some_and(|name| work::name(task) != name);
        add(What::Age, rows.iter().any(|row| row.oldest.is_some()));
        add(What::Place, all().any(|task| work::place(task).is_some()));
        add(What::Task, all().any(is_called_otherwise));
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

/// Whether a filter lets a task through.
fn is_found(feed: &Feed, at: usize, blame: &Blame, query: &Query) -> bool {
    if query.is_empty() {
        return true;
    }
    let Some(task) = feed.snapshot.tasks.get(at) else { return false };
    let (state, _) = blame.state(task);
    let is = |what: Trait| match what {
        Trait::Stuck => state == GroupState::Stuck,
        Trait::Idle => state == GroupState::Idle,
        what => is_plainly(task, what),
    };
    let age = work::age(feed, at).map(|age| age.time);
    query.finds_task(task, &blame.marks(task.id), feed.snapshot.process.pid, age, &is)
}

/// The places in the snapshot of a forest's tasks.
fn places(snapshot: &Snapshot) -> FxHashMap<Address, usize> {
    snapshot.tasks.iter().enumerate().map(|(at, task)| (task.id, at)).collect()
}

fn forest(snapshot: &Snapshot) -> Forest<'_> {
    Forest::new(&snapshot.tasks, snapshot.findings.as_deref().unwrap_or_default())
}

fn task_rows(feed: &Feed, wanted: &Wanted<'_>) -> Vec<TaskRow> {
    let tasks = &feed.snapshot.tasks;
    let blame = Blame::of(feed);
    let pinned = wanted.pinned.and_then(|id| tasks.iter().position(|task| task.id == id));
    // What is pinned stands on top, and nowhere else.
    let found = (0..tasks.len()).filter(|at| Some(*at) != pinned);
    let found: Vec<usize> = found.filter(|at| is_found(feed, *at, &blame, wanted.query)).collect();
    let groups = work::groups(feed, &blame, &found);
    let single = |at: usize, is_inner: bool| {
        let state = tasks.get(at).map_or((GroupState::Idle, None), |task| blame.state(task));
        TaskRow {
            members: vec![at],
            is_inner,
            is_unfolded: false,
            state: state.0,
            severity: state.1,
            oldest: work::age(feed, at),
        }
    };
    let is_unfolded = |group: &Group| {
        let mut ids = group.members.iter().filter_map(|at| tasks.get(*at));
        group.members.len() > 1
            && !wanted.unfolded.is_empty()
            && ids.any(|task| wanted.unfolded.contains(&task.id))
    };
    let mut rows: Vec<TaskRow> = if wanted.merges {
        let row = |group: Group| TaskRow {
            is_inner: false,
            is_unfolded: is_unfolded(&group),
            state: group.state,
            severity: group.severity,
            oldest: group.oldest,
            members: group.members,
        };
        groups.into_iter().map(row).collect()
    } else {
        let all = groups.into_iter().flat_map(|group| group.members);
        all.map(|at| single(at, false)).collect()
    };
    sort(&mut rows, wanted, tasks);
    let mut all = Vec::with_capacity(rows.len() + 1);
    all.extend(pinned.map(|at| single(at, false)));
    for row in rows {
        let inner = if row.is_unfolded { row.members.clone() } else { Vec::new() };
        all.push(row);
        all.extend(inner.into_iter().map(|at| single(at, true)));
    }
    all
}

/// Sorts rows that are in the order of who needs attention.
fn sort(rows: &mut [TaskRow], wanted: &Wanted<'_>, tasks: &[Task]) {
    let task = |row: &TaskRow| row.members.first().and_then(|at| tasks.get(*at));
    let waiting = |row: &TaskRow| task(row).and_then(|task| task.waiting_on.as_deref());
    match wanted.sort {
        Sort::Attention => {}
        Sort::Count => rows.sort_by_key(|row| Reverse(row.members.len())),
        Sort::Name => rows.sort_by_cached_key(|row| {
            let name = task(row).map(work::name).unwrap_or_default();
            let head = name.trim_end_matches(|it: char| it.is_ascii_digit());
            let number = name.get(head.len()..).and_then(|it| it.parse::<u64>().ok());
            (head.to_owned(), number)
        }),
        Sort::Age => rows.sort_by_key(|row| Reverse(row.oldest.map(|age| age.time))),
        Sort::Reason => rows.sort_by_cached_key(|row| {
            waiting(row).map(|it| (it.kind(), it.name.clone(), it.description.clone()))
        }),
        Sort::Place => rows.sort_by_cached_key(|row| {
            let place = task(row).and_then(work::place);
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

fn tree_rows(feed: &Feed, wanted: &Wanted<'_>) -> Vec<TreeRow> {
    let snapshot = &*feed.snapshot;
    let forest = forest(snapshot);
    let places = places(snapshot);
    let is_folded = |node: &Node<'_>| wanted.folded.contains(&node.task.id);
    let outline = Outline::of(&forest, MAX_LEVELS).with(wanted.merges, &is_folded);
    let blame = Blame::of(feed);
    let place = |mut row: Row| {
        let nodes: Vec<&Node<'_>> =
            row.members.iter().filter_map(|&at| forest.nodes.get(at)).collect();
        let marks = nodes.first().map(|node| node.marks.clone()).unwrap_or_default();
        row.members = nodes.iter().filter_map(|node| places.get(&node.task.id).copied()).collect();
        let is_match = !wanted.query.is_empty()
            && row.members.iter().any(|at| is_found(feed, *at, &blame, wanted.query));
        TreeRow { row, marks, is_match }
    };
    outline.rows(snapshot).into_iter().map(place).collect()
}

fn stretches(feed: &Feed, query: &Query) -> Vec<Arc<Stretch>> {
    let is_found = |stretch: &&Arc<Stretch>| {
        let texts = &|found: &mut Found<'_>| {
            let Some(work) = stretch.work.as_deref() else { return false };
            found(Field::Wait, &work.description)
                || work.handle.as_deref().is_some_and(|handle| found(Field::Name, handle))
                || work.peer.as_deref().is_some_and(|peer| found(Field::Peer, peer))
                || work.stack.iter().any(|place| has_place(place, found))
        };
        let is = &|what| what == Trait::Running && !stretch.is_over;
        query.is_empty() || query.finds(&Facts { texts, is, age: Some(stretch.length) })
    };
    feed.ongoing.iter().chain(feed.blocked.iter()).filter(is_found).cloned().collect()
}

fn cancelled(feed: &Feed, query: &Query) -> Vec<CancelRow> {
    let snapshot = &*feed.snapshot;
    let histories: FxHashMap<Address, usize> = feed
        .cancelled
        .iter()
        .enumerate()
        .filter(|(_, it)| !it.is_over)
        .map(|(at, it)| (it.task, at))
        .collect();
    let blame = Blame::of(feed);
    let is_asked = |task: &Task| task.cancellation.is_some() || histories.contains_key(&task.id);
    let mut there: Vec<(usize, &Task)> = snapshot
        .tasks
        .iter()
        .enumerate()
        .filter(|(at, task)| is_asked(task) && is_found(feed, *at, &blame, query))
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
