//! The forest of tasks row by row: each row tasks of one look below the same tasks.
//!
//! A task that several tasks wait for has one row, and is referred to from then on; waits that go
//! in a circle end where they began. No recursion: the depth of a chain is the target's choice.

use aiospy::memory::Address;
use aiospy::snapshot::Snapshot;
use rustc_hash::FxHashMap;

use super::forest::{Forest, Node};

/// Columns of one level.
pub const INDENT: usize = 4;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub kind: RowKind,
    /// The tasks of it, by their place in the forest.
    pub members: Vec<usize>,
    /// The lines of the tree left of it.
    pub prefix: String,
    /// How deep it is.
    pub level: usize,
    /// Whether it is the last one below the same tasks.
    pub is_last: bool,
    /// Whether there are, or would be, rows below it.
    pub has_below: bool,
    /// Whether the rows below it are left out.
    pub is_folded: bool,
}

/// What a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowKind {
    /// The title of a loop's tasks.
    Section(String),
    /// Tasks.
    Tasks,
    /// Tasks that have their row elsewhere.
    Above,
    /// Tasks that are above on the way to here.
    Cycle,
}

impl Row {
    /// The lines of the tree left of what is below it.
    pub fn inner_prefix(&self, max_levels: usize) -> String {
        let mut prefix = self.prefix.clone();
        if self.level > 0 && self.level <= max_levels {
            prefix.push_str(if self.is_last { "    " } else { "│   " });
        }
        prefix
    }
}

/// What is still to be given a row.
enum Visit {
    /// Tasks of one look, perhaps shown elsewhere by then.
    Show(Group),
    /// Everything below these tasks has its rows.
    Leave(Vec<usize>),
}

/// Tasks of one look below the same tasks.
struct Group {
    members: Vec<usize>,
    prefix: String,
    level: usize,
    is_last: bool,
}

/// Makes the rows of a forest.
pub struct Outline<'f, 'a> {
    forest: &'f Forest<'a>,
    is_shown: Vec<bool>,
    /// Whether a start for drawing it has been found below which it lies.
    is_covered: Vec<bool>,
    is_on_path: Vec<bool>,
    max_levels: usize,
    /// Whether tasks of one look share a row.
    merges: bool,
    is_folded: &'f dyn Fn(&Node<'_>) -> bool,
    rows: Vec<Row>,
}

impl<'f, 'a> Outline<'f, 'a> {
    /// The outline of a forest, indented up to `max_levels`.
    pub fn of(forest: &'f Forest<'a>, max_levels: usize) -> Self {
        let count = forest.nodes.len();
        Self {
            forest,
            is_shown: vec![false; count],
            is_covered: vec![false; count],
            is_on_path: vec![false; count],
            max_levels,
            merges: true,
            is_folded: &|_| false,
            rows: Vec::new(),
        }
    }

    /// The same without what is below rows whose first task is folded, each task with a row of its
    /// own unless they are merged.
    #[must_use]
    pub fn with(mut self, merges: bool, is_folded: &'f dyn Fn(&Node<'_>) -> bool) -> Self {
        (self.merges, self.is_folded) = (merges, is_folded);
        self
    }

    /// All rows, one section for each loop if there are several.
    pub fn rows(mut self, snapshot: &Snapshot) -> Vec<Row> {
        let sections = sections(snapshot, self.forest);
        for section in &sections {
            if sections.len() > 1 {
                self.rows.push(Row {
                    kind: RowKind::Section(section.title.clone()),
                    members: Vec::new(),
                    prefix: String::new(),
                    level: 0,
                    is_last: true,
                    has_below: false,
                    is_folded: false,
                });
            }
            let is_root = |at: &usize| {
                self.forest.nodes.get(*at).is_some_and(|node| node.awaiters.is_empty())
            };
            let roots: Vec<usize> = section.members.iter().copied().filter(is_root).collect();
            self.trees(roots);
            // What is left hangs below a cycle of waits, which has no root.
            let rootless = self.rootless(&section.members);
            self.trees(rootless);
        }
        self.rows
    }

    /// For each cycle among `members` that nobody waits for, and that is not shown yet, one task
    /// on it.
    fn rootless(&mut self, members: &[usize]) -> Vec<usize> {
        let mut starts = Vec::new();
        for &member in members {
            if is_set(&self.is_shown, member) || is_set(&self.is_covered, member) {
                continue;
            }
            let start = self.forest.cycle_above(member);
            starts.push(start);
            self.cover(start);
        }
        starts
    }

    /// Marks all that lies below a task.
    fn cover(&mut self, start: usize) {
        let mut reached = vec![start];
        while let Some(at) = reached.pop() {
            let Some(is_covered) = self.is_covered.get_mut(at) else { continue };
            if !std::mem::replace(is_covered, true) {
                reached.extend(self.forest.nodes.get(at).into_iter().flat_map(|n| &n.awaited));
            }
        }
    }

    fn groups(&self, members: impl IntoIterator<Item = usize>) -> Vec<Vec<usize>> {
        let groups = self.forest.groups(members);
        if self.merges {
            return groups;
        }
        groups.into_iter().flatten().map(|member| vec![member]).collect()
    }

    /// The rows of the trees of `roots`, like ones together.
    fn trees(&mut self, roots: Vec<usize>) {
        let show = |members| {
            Visit::Show(Group { members, prefix: String::new(), level: 0, is_last: true })
        };
        let mut steps: Vec<Visit> = self.groups(roots).into_iter().rev().map(show).collect();
        while let Some(step) = steps.pop() {
            match step {
                Visit::Show(group) => self.split(group, &mut steps),
                Visit::Leave(members) => mark(&mut self.is_on_path, &members, false),
            }
        }
    }

    /// Tells those that are new from those that are shown elsewhere by now: each part of them
    /// gets a row of its own.
    fn split(&mut self, group: Group, steps: &mut Vec<Visit>) {
        let Group { members, prefix, level, is_last } = group;
        let (old, new): (Vec<usize>, Vec<usize>) =
            members.into_iter().partition(|&at| is_set(&self.is_shown, at));
        let (cycle, shown): (Vec<usize>, Vec<usize>) =
            old.into_iter().partition(|&at| is_set(&self.is_on_path, at));
        let mut parts =
            vec![(RowKind::Tasks, new), (RowKind::Above, shown), (RowKind::Cycle, cycle)];
        parts.retain(|(_, members)| !members.is_empty());
        let last = parts.len().saturating_sub(1);
        let at = self.rows.len();
        for (part, (kind, members)) in parts.into_iter().enumerate() {
            self.rows.push(Row {
                kind,
                members,
                prefix: prefix.clone(),
                level,
                is_last: is_last && part == last,
                has_below: false,
                is_folded: false,
            });
        }
        let Some(row) = self.rows.get(at).filter(|row| row.kind == RowKind::Tasks).cloned() else {
            return;
        };
        // The rows that refer to others follow behind all that is below the new ones.
        let references = self.rows.split_off(at + 1);
        self.descend(row, at, steps, references);
    }

    /// Puts what the tasks of a row wait for on the list.
    fn descend(&mut self, row: Row, at: usize, steps: &mut Vec<Visit>, references: Vec<Row>) {
        mark(&mut self.is_shown, &row.members, true);
        let nodes = row.members.iter().filter_map(|&member| self.forest.nodes.get(member));
        let awaited = nodes.clone().flat_map(|node| node.awaited.iter().copied());
        let below = self.groups(awaited);
        let is_folded = !below.is_empty() && nodes.clone().next().is_some_and(self.is_folded);
        if let Some(row) = self.rows.get_mut(at) {
            (row.has_below, row.is_folded) = (!below.is_empty(), is_folded);
        }
        for reference in references.into_iter().rev() {
            let Row { members, prefix, level, is_last, .. } = reference;
            steps.push(Visit::Show(Group { members, prefix, level, is_last }));
        }
        if is_folded {
            // It has its place below this row, and nowhere else.
            let mut hidden: Vec<usize> = below.into_iter().flatten().collect();
            while let Some(member) = hidden.pop() {
                let Some(is_shown) = self.is_shown.get_mut(member) else { continue };
                if !std::mem::replace(is_shown, true) {
                    let node = self.forest.nodes.get(member);
                    hidden.extend(node.into_iter().flat_map(|node| &node.awaited));
                }
            }
            return;
        }
        mark(&mut self.is_on_path, &row.members, true);
        let prefix = row.inner_prefix(self.max_levels);
        let level = row.level + 1;
        steps.push(Visit::Leave(row.members));
        let last = below.len().saturating_sub(1);
        steps.extend(below.into_iter().enumerate().rev().map(|(at, members)| {
            Visit::Show(Group { members, prefix: prefix.clone(), level, is_last: at == last })
        }));
    }
}

/// The tasks of one loop.
struct Section {
    title: String,
    members: Vec<usize>,
}

/// The loops that have tasks, in the order of the header; then those that are not listed there.
fn sections(snapshot: &Snapshot, forest: &Forest<'_>) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut index: FxHashMap<Option<Address>, usize> = FxHashMap::default();
    for (at, of) in snapshot.loops.iter().enumerate() {
        index.insert(Some(of.id), sections.len());
        sections.push(Section { title: format!("tasks of loop {}", at + 1), members: Vec::new() });
    }
    for (member, node) in forest.nodes.iter().enumerate() {
        let at = *index.entry(node.task.loop_id).or_insert_with(|| {
            let title = match node.task.loop_id {
                Some(id) => format!("tasks of loop {id}, which no thread runs"),
                None => "tasks whose loop is not known".to_owned(),
            };
            sections.push(Section { title, members: Vec::new() });
            sections.len() - 1
        });
        if let Some(section) = sections.get_mut(at) {
            section.members.push(member);
        }
    }
    sections.retain(|section| !section.members.is_empty());
    sections
}

fn mark(flags: &mut [bool], members: &[usize], is_on: bool) {
    for &at in members {
        if let Some(flag) = flags.get_mut(at) {
            *flag = is_on;
        }
    }
}

fn is_set(flags: &[bool], at: usize) -> bool {
    flags.get(at).copied().unwrap_or(false)
}
