//! Which task waits for which, and which look the same.
//!
//! Built in time linear in tasks, frames and edges; no recursion, for the depth of a chain of
//! awaits is the target's choice.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use aiospy::diagnose::{Blames, rule};
use aiospy::memory::Address;
use aiospy::snapshot::{Code, Deadline, Finding, Location, Severity, Task, TaskState, Waiting};
use rustc_hash::{FxHashMap, FxHashSet};

use super::names;

/// Of a finding about more tasks none is marked: it may not name all of them, and tasks of one look
/// are to stay together.
const MAX_MARKED: usize = 200;

/// One task and its place in the forest.
pub struct Node<'a> {
    /// The task.
    pub task: &'a Task,
    /// The tasks it waits for.
    pub awaited: Vec<usize>,
    /// The tasks that wait for it.
    pub awaiters: Vec<usize>,
    /// A number for what it looks like by itself.
    own: u64,
    /// A number for what its whole subtree looks like: the same for the same looks.
    pub shape: u64,
    /// How early it is to be shown: its own rank, or a better one of its subtree.
    pub rank: u8,
    /// The findings that blame it.
    pub marks: Vec<(Severity, Code)>,
}

/// All tasks, in the natural order of their names: an index into `nodes` sorts like a name.
pub struct Forest<'a> {
    /// The tasks.
    pub nodes: Vec<Node<'a>>,
}

#[expect(clippy::indexing_slicing, reason = "the indexes are this module's own")]
impl<'a> Forest<'a> {
    /// Finds out who waits for whom among `tasks`, and which of them findings blame.
    pub fn new(tasks: &'a [Task], findings: &[Finding]) -> Self {
        let mut marks = marks(tasks, findings);
        let mut sorted: Vec<&Task> = tasks.iter().collect();
        sorted.sort_by_cached_key(|&task| {
            (names::sort_key(task.name.as_deref().unwrap_or_default()), task.id)
        });
        let index: FxHashMap<Address, usize> =
            sorted.iter().enumerate().rev().map(|(at, task)| (task.id, at)).collect();
        let mut nodes: Vec<Node<'a>> = sorted
            .into_iter()
            .map(|task| {
                let mut awaiters: Vec<usize> =
                    task.awaited_by.iter().filter_map(|id| index.get(id).copied()).collect();
                awaiters.sort_unstable();
                awaiters.dedup();
                let rank = own_rank(task);
                let marks = marks.remove(&task.id).unwrap_or_default();
                Node { task, awaited: Vec::new(), awaiters, own: 0, shape: 0, rank, marks }
            })
            .collect();
        let edges: Vec<(usize, usize)> = nodes
            .iter()
            .enumerate()
            .flat_map(|(to, node)| node.awaiters.iter().map(move |&from| (from, to)))
            .collect();
        for (from, to) in edges {
            nodes[from].awaited.push(to);
        }
        let mut forest = Self { nodes };
        forest.find_shapes();
        forest
    }

    /// All tasks one by one, first those to be shown first.
    pub fn flat(&self) -> Vec<&Node<'a>> {
        let mut nodes: Vec<&Node<'a>> = self.nodes.iter().collect();
        nodes.sort_by_key(|node| own_rank(node.task));
        nodes
    }

    /// Bundles `members` into groups of the same shape, first those to be shown first.
    pub fn groups(&self, members: impl IntoIterator<Item = usize>) -> Vec<Vec<usize>> {
        let mut groups: Vec<(u8, Vec<usize>)> = Vec::new();
        let mut index: FxHashMap<u64, usize> = FxHashMap::default();
        let mut members: Vec<usize> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        for member in members {
            let node = &self.nodes[member];
            let at = *index.entry(node.shape).or_insert(groups.len());
            match groups.get_mut(at) {
                Some((_, group)) => group.push(member),
                None => groups.push((node.rank, vec![member])),
            }
        }
        // Stable: groups of one rank stay in the order of their first name.
        groups.sort_by_key(|(rank, _)| *rank);
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// A task on a cycle of waits above `start` (or `start` itself, if it is on one or on none).
    pub fn cycle_above(&self, start: usize) -> usize {
        let mut passed = FxHashSet::default();
        let mut at = start;
        while passed.insert(at) {
            match self.nodes[at].awaiters.first() {
                Some(&awaiter) => at = awaiter,
                None => break,
            }
        }
        at
    }

    /// Numbers each subtree by its looks, from the leaves up.
    ///
    /// A wait that closes a cycle counts as a mark with the distance to the task it leads back
    /// to, so that like cycles look alike and every walk ends.
    fn find_shapes(&mut self) {
        let nodes = &mut self.nodes;
        let own = own_shapes(nodes);
        for (node, own) in nodes.iter_mut().zip(&own) {
            node.own = *own;
        }
        let mut marks = vec![Mark::New; nodes.len()];
        let (roots, others): (Vec<usize>, Vec<usize>) =
            (0..nodes.len()).partition(|&at| nodes[at].awaiters.is_empty());
        let mut path: Vec<(usize, usize)> = Vec::new();
        for start in roots.into_iter().chain(others) {
            if marks[start] != Mark::New {
                continue;
            }
            marks[start] = Mark::OnPath(0);
            path.push((start, 0));
            while let Some((at, next)) = path.last_mut() {
                let at = *at;
                if let Some(&awaited) = nodes[at].awaited.get(*next) {
                    *next += 1;
                    if marks[awaited] == Mark::New {
                        marks[awaited] = Mark::OnPath(path.len());
                        path.push((awaited, 0));
                    }
                    continue;
                }
                let level = path.len() - 1;
                let mut parts = Vec::with_capacity(nodes[at].awaited.len());
                for &awaited in &nodes[at].awaited {
                    parts.push(match marks[awaited] {
                        Mark::OnPath(above) => hash(&("back", own[awaited], level - above)),
                        Mark::New | Mark::Done => nodes[awaited].shape,
                    });
                }
                parts.sort_unstable();
                let best = nodes[at].awaited.iter().map(|&awaited| nodes[awaited].rank).min();
                nodes[at].shape = hash(&(own[at], parts));
                nodes[at].rank = nodes[at].rank.min(best.unwrap_or(u8::MAX));
                marks[at] = Mark::Done;
                path.pop();
            }
        }
    }
}

/// How far a task is on the walk from the leaves up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    OnPath(usize),
    Done,
}

/// Which findings blame which task; those who only suffer are not marked.
fn marks(tasks: &[Task], findings: &[Finding]) -> FxHashMap<Address, Vec<(Severity, Code)>> {
    let mut marks: FxHashMap<Address, Vec<(Severity, Code)>> = FxHashMap::default();
    let mut holders: FxHashSet<Address> = FxHashSet::default();
    if findings.iter().any(|finding| rule(finding.code).blames == Blames::Holders) {
        let waits = tasks.iter().filter_map(|task| task.waiting_on.as_deref());
        holders.extend(waits.flat_map(|waiting| waiting.holders().iter()));
    }
    for finding in findings.iter().filter(|finding| finding.tasks.len() <= MAX_MARKED) {
        let is_blamed = |task: &Address| match rule(finding.code).blames {
            Blames::All => true,
            Blames::Holders => holders.contains(task),
            Blames::Nobody => false,
        };
        for task in finding.tasks.iter().filter(|task| is_blamed(task)) {
            let marks = marks.entry(*task).or_default();
            let mark = (finding.severity, finding.code);
            // There are no more of them than codes.
            if !marks.contains(&mark) {
                marks.push(mark);
            }
        }
    }
    marks
}

/// A number for what each task looks like by itself, its name left out.
fn own_shapes(nodes: &[Node<'_>]) -> Vec<u64> {
    // Frames at the same instruction share one location: it is hashed once.
    let mut known: FxHashMap<usize, u64> = FxHashMap::default();
    let mut place = |location: &Arc<Location>| {
        *known
            .entry(Arc::as_ptr(location).addr())
            .or_insert_with(|| hash(&(&location.function, &location.file, location.line)))
    };
    nodes
        .iter()
        .map(|node| {
            let Task { state, cancellation, frames, coroutine, loop_id, is_torn, .. } = node.task;
            let frames: Vec<u64> = frames.iter().map(|frame| place(&frame.location)).collect();
            let coroutine = coroutine.as_ref().filter(|_| frames.is_empty());
            let cancellation = cancellation.as_ref().map(|c| {
                (c.requested, c.must_cancel, c.in_flight, c.handling, c.message.as_deref())
            });
            let state = state.map(|state| state as u8);
            let awaiters = (node.awaiters.len(), node.task.awaited_by.is_empty());
            let waiting = node.task.waiting_on.as_deref().map(own_wait);
            let marks = &node.marks;
            let facts = (state, cancellation, frames, coroutine, loop_id, is_torn, awaiters);
            hash(&(facts, waiting, marks))
        })
        .collect()
}

/// A number for the kind of thing that is waited for: which of its kind, and for how long, makes
/// no difference to the look.
fn own_wait(waiting: &Waiting) -> u64 {
    let Waiting { class, name, deadlines, foreign_loop, .. } = waiting;
    let is_over = |limit: &Deadline| limit.due_in.map(|due_in| due_in.is_negative());
    let limits: Vec<(Option<usize>, Option<bool>)> =
        deadlines.iter().map(|limit| (limit.frame, is_over(limit))).collect();
    hash(&(waiting.kind(), class, name, waiting.operation(), limits, foreign_loop))
}

/// `SipHash` with fixed keys: good enough for looks, the same on every run.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Running things first, finished ones last.
fn own_rank(task: &Task) -> u8 {
    match task.state {
        Some(TaskState::Running) => 0,
        Some(TaskState::Ready) => 1,
        Some(TaskState::Failed) => 4,
        Some(TaskState::Done | TaskState::Cancelled) => 5,
        Some(TaskState::Pending) | None if task.cancellation.is_some() => 2,
        Some(TaskState::Pending) | None => 3,
    }
}
