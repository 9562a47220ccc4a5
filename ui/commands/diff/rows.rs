//! Groups of tasks at two times, one row each.

use std::cmp::Reverse;

use aiospy::snapshot::{
    Group, GroupState, Operation, Snapshot, SubjectKind, TaskState, Wait, WaitKind, WorkKind,
};
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::{Stays, signed};
use crate::io::page::Style;
use crate::report::text::processes::Cell;
use crate::report::text::{table, words};

/// Tasks that do the same work and wait for the same thing.
#[derive(Debug, Serialize)]
pub struct Row {
    state: State,
    /// How many there were.
    pub before: usize,
    /// How many there are.
    pub after: usize,
    work: String,
    waits_for: String,
}

/// What became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// Each stands where it stood, at the same wait.
    NoProgress,
    /// Each is where it was, and may have been elsewhere meanwhile.
    SamePlace,
    /// Some do.
    Partly,
    /// None does.
    Moved,
    /// Each is in the same sleep as before.
    Asleep,
    /// They wait for what comes when it comes.
    Idle,
    New,
    Gone,
}

impl State {
    fn words(self) -> &'static str {
        match self {
            Self::NoProgress => "no progress",
            Self::SamePlace => "same place",
            Self::Partly => "partly moved",
            Self::Moved => "moved",
            Self::Asleep => "asleep",
            Self::Idle => "idle",
            Self::New => "new",
            Self::Gone => "gone",
        }
    }
}

impl Row {
    /// Its cells in a table.
    pub fn cells(&self) -> Vec<Cell> {
        let by = signed(self.before, self.after, "0");
        let style = if self.state == State::Idle { Style::Dim } else { Style::Plain };
        let is_stuck = self.state == State::NoProgress;
        vec![
            (if is_stuck { Style::Notice } else { style }, self.state.words().to_owned()),
            (style, words::count(self.before)),
            (style, words::count(self.after)),
            (style, by),
            (Style::Strong, self.work.clone()),
            (Style::Reason, self.waits_for.clone()),
        ]
    }
}

/// The tasks of one row, at both times.
#[derive(Default)]
struct Both {
    before: usize,
    after: usize,
    tasks: usize,
    /// Those of them that are where they were, and those that did nothing meanwhile.
    parked: usize,
    stood: usize,
    is_idle: bool,
    is_timer: bool,
}

/// The groups of both, those first that changed most.
pub(super) fn rows(before: &Snapshot, after: &Snapshot, stays: &Stays) -> Vec<Row> {
    let mut all: FxHashMap<(String, String), Both> = FxHashMap::default();
    let open = |group: &Group<'_>| group.first().is_some_and(|task| !task.is_over());
    for group in before.main_groups().into_iter().filter(open) {
        all.entry((table::work(&group), waits_for(&group))).or_default().before += group.count;
    }
    for group in after.main_groups().into_iter().filter(open) {
        let both = all.entry((table::work(&group), waits_for(&group))).or_default();
        let is_first = both.tasks == 0;
        both.is_idle = group.state == GroupState::Idle && (is_first || both.is_idle);
        both.is_timer = group.waiting().is_some_and(|it| it.kind() == WaitKind::Timer);
        both.after += group.count;
        both.tasks += group.tasks.len();
        both.parked += group.tasks.iter().filter(|it| stays.parked.contains(&it.id)).count();
        both.stood += group.tasks.iter().filter(|it| stays.stood.contains(&it.id)).count();
    }
    let mut rows: Vec<Row> = all
        .into_iter()
        .map(|((work, waits_for), both)| {
            let Both { before, after, .. } = both;
            Row { state: state(&both), before, after, work, waits_for }
        })
        .collect();
    rows.sort_by_cached_key(|row| {
        let by = Reverse(row.after.abs_diff(row.before));
        (by, Reverse(row.before.max(row.after)), row.work.clone(), row.waits_for.clone())
    });
    rows
}

fn state(both: &Both) -> State {
    match *both {
        Both { before: 0, .. } => State::New,
        Both { after: 0, .. } => State::Gone,
        Both { is_idle: true, .. } => State::Idle,
        Both { parked: 0, .. } => State::Moved,
        Both { parked, tasks, .. } if parked < tasks => State::Partly,
        Both { is_timer: true, .. } => State::Asleep,
        Both { stood, tasks, .. } if stood < tasks => State::SamePlace,
        Both { .. } => State::NoProgress,
    }
}

/// What a group waits for, in words that time does not change: `self.lock`, `10.0.0.5:5432`, `sleep`.
fn waits_for(group: &Group<'_>) -> String {
    let Some(first) = group.first() else { return String::new() };
    match first.state {
        Some(TaskState::Running) => return "running".to_owned(),
        Some(TaskState::Ready) => return "ready to run".to_owned(),
        _ => {}
    }
    let Some(waiting) = first.waiting_on.as_deref() else { return String::new() };
    let is_idle = group.state == GroupState::Idle;
    let name = waiting.name.as_deref();
    let kind = waiting.kind();
    match (&waiting.wait, waiting.operation()) {
        _ if group.subject.kind == SubjectKind::Library => String::new(),
        _ if is_idle && group.subject.kind == SubjectKind::Work(WorkKind::Websocket) => {
            "next message".to_owned()
        }
        (Wait::Socket(_), Some(Operation::Accept)) => "connections".to_owned(),
        (Wait::Socket(_), _) => waiting.far_end().unwrap_or("a socket").to_owned(),
        (Wait::Timer, _) => "sleep".to_owned(),
        (Wait::Executor { .. }, _) => {
            format!("{} in a thread", waiting.function().unwrap_or("a call"))
        }
        (Wait::Pool { pool, .. }, _) => pool.as_deref().unwrap_or("a pool").to_owned(),
        (Wait::Lock(_) | Wait::Queue { .. }, _) => {
            name.map_or_else(|| format!("a {}", kind.as_str()), str::to_owned)
        }
        _ => match name {
            Some(name) => format!("{} {name}", kind.as_str()),
            None => kind.as_str().replace('-', " "),
        },
    }
}
