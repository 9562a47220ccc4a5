//! Who waits for whom: tasks, the things they wait at, threads and pools.
//!
//! An edge leads from the one who waits to what it waits for: a task to its lock, the lock to its
//! holders, a task to its children, to the thread that runs its call, a blocked thread to the task
//! that owes it something. All walks are loops over arrays, linear in tasks and edges: a chain
//! of 100,000 tasks is no deeper than one of two.
//!
//! # Circles
//! A way that leads back to where it began is no deadlock yet. A task in `asyncio.wait` goes on
//! when *one* of its children ends, and one who waits for a semaphore when one of its holders
//! gives back. So first everything that *can* go on is found, from the ends of all ways backwards
//! (`Mode`); only in what is left over can there be a deadlock.

use std::collections::VecDeque;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::memory::Address;
use crate::snapshot::{Holders, LoopState, Operation, Snapshot, Task, TaskState, Wait, Waiting};

/// How many steps all the counts of one graph may take: exact for any real program, and an end
/// for one in which every one of many things is waited for by every one of many tasks.
const MAX_STEPS: usize = 4_000_000;

/// How many tasks beside a circle are named.
const MAX_OTHERS: usize = 32;

/// What can wait or be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Node {
    /// A task.
    Task(Address),
    /// A lock, semaphore, queue, event: what tasks of several kinds wait at.
    Object(Address),
    /// A pool of threads.
    Executor(Address),
    /// A thread.
    Thread(i32),
}

impl Node {
    /// The task, if it is one.
    fn task(self) -> Option<Address> {
        match self {
            Self::Task(id) => Some(id),
            _ => None,
        }
    }
}

/// What has to happen for one who waits to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// All it waits for have to go on.
    All,
    /// One of them has to.
    Any,
    /// Something that is not in the graph may do it.
    Free,
}

/// Tasks that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    /// One way round, each waiting for the next, and the last for the first.
    pub nodes: Vec<Node>,
    /// The tasks on other ways round, at most 32: whoever shares a semaphore with those on this.
    pub others: Vec<Address>,
    /// How many tasks are on this or another way round that shares a part with it.
    pub tasks: usize,
}

/// Edges by where they begin.
#[derive(Debug, Default)]
struct Edges {
    starts: Vec<u32>,
    ends: Vec<u32>,
}

impl Edges {
    /// `pairs` by their first, in the order given.
    fn new(nodes: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut starts = vec![0u32; nodes + 1];
        for (from, _) in pairs.clone() {
            if let Some(count) = starts.get_mut(from as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut ends = vec![0u32; sum as usize];
        for (from, to) in pairs {
            if let Some(at) = next.get_mut(from as usize) {
                if let Some(end) = ends.get_mut(*at as usize) {
                    *end = to;
                }
                *at += 1;
            }
        }
        Self { starts, ends }
    }

    fn of(&self, node: u32) -> &[u32] {
        let start = self.starts.get(node as usize).copied().unwrap_or(0) as usize;
        let end = self.starts.get(node as usize + 1).copied().unwrap_or(0) as usize;
        self.ends.get(start..end).unwrap_or_default()
    }
}

/// The graph of one snapshot.
#[derive(Debug)]
pub struct Graph<'s> {
    snapshot: &'s Snapshot,
    /// The tasks by id; a task's node is its place in the snapshot.
    tasks: FxHashMap<Address, u32>,
    /// The other nodes, after the tasks.
    others: Vec<Node>,
    index: FxHashMap<Node, u32>,
    modes: Vec<Mode>,
    forward: Edges,
    backward: Edges,
    circles: Vec<Circle>,
    steps: std::cell::Cell<usize>,
}

/// A graph while its edges are found.
struct Builder {
    tasks: FxHashMap<Address, u32>,
    others: Vec<Node>,
    index: FxHashMap<Node, u32>,
    modes: Vec<Mode>,
    pairs: Vec<(u32, u32)>,
    held: FxHashSet<u32>,
}

impl Builder {
    #[expect(clippy::cast_possible_truncation, reason = "a snapshot has fewer than 2^32 tasks")]
    fn node(&mut self, node: Node) -> Option<u32> {
        if let Node::Task(id) = node {
            return self.tasks.get(&id).copied();
        }
        let next = self.modes.len() as u32;
        let at = *self.index.entry(node).or_insert(next);
        if at == next {
            self.others.push(node);
            self.modes.push(Mode::All);
        }
        Some(at)
    }

    fn edge(&mut self, from: u32, to: Node) -> Option<u32> {
        let to = self.node(to)?;
        self.pairs.push((from, to));
        Some(to)
    }

    fn set(&mut self, node: u32, mode: Mode) {
        if let Some(known) = self.modes.get_mut(node as usize) {
            *known = mode;
        }
    }

    /// The edges of a task that waits, and those of what it waits at.
    fn waiting(&mut self, at: u32, waiting: &Waiting) {
        for &task in waiting.tasks() {
            self.edge(at, Node::Task(task));
        }
        if !waiting.tasks().is_empty() {
            // Nobody who waits for itself means the first of all to end.
            let is_own = waiting.tasks().iter().any(|id| self.tasks.get(id) == Some(&at));
            self.set(at, if is_own { Mode::All } else { mode_of(waiting) });
        }
        if let Some(thread) = waiting.thread() {
            self.edge(at, Node::Thread(thread));
        } else if let Wait::Executor { .. } = waiting.wait
            && let Some(pool) = waiting.object
        {
            self.edge(at, Node::Executor(pool));
        }
        let Some(object) = waiting.object.filter(|_| waiting.kind().is_shared()) else {
            return;
        };
        let Some(thing) = self.edge(at, Node::Object(object)) else { return };
        let holders = waiting.holders();
        if holders.is_empty() || !self.held.insert(thing) {
            return;
        }
        for &holder in holders {
            self.edge(thing, Node::Task(holder));
        }
        let is_sole = is_sole(waiting);
        // Of those that have many, or are not all known, there may be more than are named.
        let is_full = holders.len() >= Holders::MAX || !has_all_holders(waiting);
        self.set(
            thing,
            match (is_sole, is_full) {
                (_, true) => Mode::Free,
                (true, _) => Mode::All,
                (false, _) => Mode::Any,
            },
        );
    }
}

/// Whether each of those that hold the thing keeps all others from it.
pub(super) fn is_sole(waiting: &Waiting) -> bool {
    match waiting.wait {
        Wait::Semaphore { permits: count, .. } | Wait::Pool { out: count, .. } => {
            count.limit == Some(1)
        }
        _ => true,
    }
}

/// Whether all that can give the thing back are known.
fn has_all_holders(waiting: &Waiting) -> bool {
    let Wait::Pool { out, held, lost, .. } = waiting.wait else { return true };
    out.value.and_then(|out| u64::try_from(out).ok()).is_some_and(|out| held + lost >= out)
}

/// What has to happen for one who waits for tasks.
fn mode_of(waiting: &Waiting) -> Mode {
    match &waiting.wait {
        // Nothing tells FIRST_COMPLETED from ALL_COMPLETED.
        Wait::Task { operation: Some(Operation::Wait | Operation::AsCompleted), others } => {
            let known = others.tasks.len() as u64;
            let has_others = others.children.is_some_and(|children| children.pending > known);
            if has_others { Mode::Free } else { Mode::Any }
        }
        Wait::Task { .. } | Wait::Gather(_) | Wait::TaskGroup(_) | Wait::Thread { .. } => Mode::All,
        _ => Mode::Free,
    }
}

impl<'s> Graph<'s> {
    /// The graph of all that `snapshot` says.
    pub fn new(snapshot: &'s Snapshot) -> Self {
        let count = snapshot.tasks.len();
        let tasks = (0u32..).zip(&snapshot.tasks).map(|(at, task)| (task.id, at)).collect();
        let mut builder = Builder {
            tasks,
            others: Vec::new(),
            index: FxHashMap::default(),
            modes: vec![Mode::All; count],
            pairs: Vec::new(),
            held: FxHashSet::default(),
        };
        for (at, task) in (0u32..).zip(&snapshot.tasks) {
            if let Some(waiting) = task.waiting_on.as_deref().filter(|_| task.is_parked()) {
                builder.waiting(at, waiting);
            }
        }
        add_pools(&mut builder, snapshot);
        add_threads(&mut builder, snapshot);
        add_blocked(&mut builder, snapshot);
        add_nested(&mut builder, snapshot);
        let Builder { tasks, others, index, modes, pairs, .. } = builder;
        let forward = Edges::new(modes.len(), pairs.iter().copied());
        let backward = Edges::new(modes.len(), pairs.iter().map(|&(from, to)| (to, from)));
        let mut graph = Self {
            snapshot,
            tasks,
            others,
            index,
            modes,
            forward,
            backward,
            circles: Vec::new(),
            steps: std::cell::Cell::new(0),
        };
        graph.circles = graph.find_circles();
        graph
    }

    /// The task with this id.
    pub fn task(&self, id: Address) -> Option<&'s Task> {
        self.snapshot.tasks.get(*self.tasks.get(&id)? as usize)
    }

    /// Those that wait for each other and can none of them go on.
    pub fn circles(&self) -> &[Circle] {
        &self.circles
    }

    /// What others wait for and what itself waits for nothing in the graph.
    pub fn roots(&self) -> Vec<Node> {
        (0u32..)
            .zip(&self.modes)
            .map(|(at, _)| at)
            .filter(|&at| self.forward.of(at).is_empty() && !self.backward.of(at).is_empty())
            .map(|at| self.at(at))
            .collect()
    }

    /// What `node` waits for directly.
    pub fn waits_for(&self, node: Node) -> Vec<Node> {
        let ends = self.find(node).map(|at| self.forward.of(at)).unwrap_or_default();
        ends.iter().map(|&at| self.at(at)).collect()
    }

    /// The tasks that in the end wait for `node`, itself left out: each once, however many ways
    /// lead from it to there. When the counts of this graph have taken too long, only those that
    /// wait for it directly.
    pub fn waiting_for(&self, node: Node) -> Vec<&'s Task> {
        let Some(root) = self.find(node) else { return Vec::new() };
        let mut seen = FxHashSet::default();
        seen.insert(root);
        let mut found = Vec::new();
        let mut next = VecDeque::from([root]);
        while let Some(at) = next.pop_front() {
            for &from in self.backward.of(at) {
                self.steps.set(self.steps.get() + 1);
                if seen.insert(from) {
                    found.extend(self.snapshot.tasks.get(from as usize));
                    if self.steps.get() < MAX_STEPS {
                        next.push_back(from);
                    }
                }
            }
        }
        found
    }

    /// The way from `node` to what it in the end waits for; where there are several the first
    /// one. In a circle it ends before it comes round.
    pub fn chain(&self, node: Node) -> Vec<Node> {
        let mut chain = Vec::new();
        let mut seen = FxHashSet::default();
        let mut next = self.find(node);
        while let Some(at) = next.filter(|&at| seen.insert(at)) {
            chain.push(self.at(at));
            next = self.forward.of(at).first().copied();
        }
        chain
    }

    /// All that `node` in the end waits for, nearest first, at most `cap` of them.
    pub fn reached(&self, node: Node, cap: usize) -> Vec<Node> {
        let Some(start) = self.find(node) else { return Vec::new() };
        let mut seen = FxHashSet::default();
        seen.insert(start);
        let mut found = Vec::new();
        let mut next = VecDeque::from([start]);
        while let Some(at) = next.pop_front() {
            for &to in self.forward.of(at) {
                if found.len() >= cap {
                    return found;
                }
                if seen.insert(to) {
                    found.push(self.at(to));
                    next.push_back(to);
                }
            }
        }
        found
    }

    /// The tasks that some tasks in the end wait for: of all that they lead to, themselves among
    /// them, those that wait for no other task, nearest first. In a circle there are none.
    ///
    /// `also` has further ways for this walk only, from a task to one that has to end before it.
    pub fn ends(&self, starts: &[Address], also: &[(Address, Address)]) -> Vec<&'s Task> {
        let task = |id: &Address| self.tasks.get(id).copied();
        let mut more: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        for (from, to) in also {
            if let (Some(from), Some(to)) = (task(from), task(to)) {
                more.entry(from).or_default().push(to);
            }
        }
        let mut seen = FxHashSet::default();
        let starts = starts.iter().filter_map(task);
        let mut next: VecDeque<u32> = starts.filter(|&at| seen.insert(at)).collect();
        let mut tasks = Vec::new();
        let mut back: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        while let Some(at) = next.pop_front() {
            if (at as usize) < self.snapshot.tasks.len() {
                tasks.push(at);
            }
            let further = more.get(&at).map(Vec::as_slice).unwrap_or_default();
            for &to in self.forward.of(at).iter().chain(further) {
                back.entry(to).or_default().push(at);
                if seen.insert(to) {
                    next.push_back(to);
                }
            }
        }
        // From each task backwards: what leads to one is no end.
        let mut leading = FxHashSet::default();
        let mut next = tasks.clone();
        while let Some(at) = next.pop() {
            let before = back.get(&at).into_iter().flatten().copied();
            next.extend(before.filter(|&from| leading.insert(from)));
        }
        let ends = tasks.into_iter().filter(|at| !leading.contains(at));
        ends.filter_map(|at| self.snapshot.tasks.get(at as usize)).collect()
    }

    fn find(&self, node: Node) -> Option<u32> {
        match node {
            Node::Task(id) => self.tasks.get(&id).copied(),
            other => self.index.get(&other).copied(),
        }
    }

    fn at(&self, at: u32) -> Node {
        let count = self.snapshot.tasks.len();
        let task = self.snapshot.tasks.get(at as usize).map(|task| Node::Task(task.id));
        task.or_else(|| self.others.get((at as usize).checked_sub(count)?).copied())
            // No node lies outside of both.
            .unwrap_or(Node::Task(Address(0)))
    }

    fn find_circles(&self) -> Vec<Circle> {
        let stuck = self.stuck();
        let is_stuck = |at: u32| stuck.get(at as usize) == Some(&true);
        let stuck = (0u32..).zip(&self.modes).map(|(at, _)| at).filter(|&at| is_stuck(at));
        let pairs = stuck.flat_map(|from| {
            let ends = self.forward.of(from).iter().copied();
            ends.filter(|&to| is_stuck(to)).map(move |to| (from, to))
        });
        let graph = DiGraph::<(), ()>::from_edges(pairs);
        // Petgraph's `tarjan_scc` is recursive; this is not.
        let mut components = kosaraju_scc(&graph);
        components.retain(|component| match component[..] {
            [alone] => graph.contains_edge(alone, alone),
            _ => true,
        });
        let nodes = |component: Vec<NodeIndex>| -> Vec<u32> {
            component.iter().filter_map(|at| u32::try_from(at.index()).ok()).collect()
        };
        let mut components: Vec<Vec<u32>> = components.into_iter().map(nodes).collect();
        components.sort_by_cached_key(|all| all.iter().map(|at| self.rank(*at)).min());
        let circles = components.iter().filter_map(|component| self.circle(component));
        circles.collect()
    }

    /// Who can not go on whatever those do that can.
    fn stuck(&self) -> Vec<bool> {
        let count = self.modes.len();
        let mut stuck = vec![true; count];
        let mut missing = Vec::with_capacity(count);
        let mut next = Vec::new();
        for (at, mode) in (0u32..).zip(&self.modes) {
            let edges = self.forward.of(at).len();
            missing.push(if *mode == Mode::All { edges } else { edges.min(1) });
            if edges == 0 || *mode == Mode::Free {
                next.push(at);
                if let Some(stuck) = stuck.get_mut(at as usize) {
                    *stuck = false;
                }
            }
        }
        while let Some(at) = next.pop() {
            for &from in self.backward.of(at) {
                let (Some(missing), Some(stuck)) =
                    (missing.get_mut(from as usize), stuck.get_mut(from as usize))
                else {
                    continue;
                };
                *missing = missing.saturating_sub(1);
                if *missing == 0 && *stuck {
                    *stuck = false;
                    next.push(from);
                }
            }
        }
        stuck
    }

    /// Where a node comes among others: tasks by their names, and numbers at their ends by value, so
    /// that it is no matter where things lie in memory.
    fn rank(&self, at: u32) -> (bool, &str, u64, u32) {
        let task = self.snapshot.tasks.get(at as usize);
        let name = task.and_then(|task| task.name.as_deref()).unwrap_or_default();
        let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let number = name.get(stem.len()..).and_then(|number| number.parse().ok());
        (task.is_none(), stem, number.unwrap_or(0), at)
    }

    /// One way round in a component, beginning with its first task.
    fn circle(&self, component: &[u32]) -> Option<Circle> {
        let members: FxHashSet<u32> = component.iter().copied().collect();
        let tasks = self.snapshot.tasks.len();
        let mut places = FxHashMap::default();
        let mut way = Vec::new();
        let mut at = component.iter().copied().min_by_key(|at| self.rank(*at))?;
        let start = loop {
            if let Some(&place) = places.get(&at) {
                break place;
            }
            places.insert(at, way.len());
            way.push(at);
            at = *self.forward.of(at).iter().find(|to| members.contains(to))?;
        };
        let mut round = way.split_off(start);
        let first = round.iter().enumerate().min_by_key(|(_, at)| self.rank(**at));
        let first = first.map_or(0, |(at, _)| at);
        round.rotate_left(first);
        let on_round: FxHashSet<u32> = round.iter().copied().collect();
        let is_other = |at: &&u32| (**at as usize) < tasks && !on_round.contains(at);
        let mut others: Vec<u32> = component.iter().filter(is_other).copied().collect();
        others.sort_unstable();
        let others = others.into_iter().take(MAX_OTHERS).map(|at| self.at(at));
        Some(Circle {
            others: others.filter_map(Node::task).collect(),
            nodes: round.into_iter().map(|at| self.at(at)).collect(),
            tasks: component.iter().filter(|at| (**at as usize) < tasks).count(),
        })
    }
}

/// What pools wait for: one of their threads to end its call.
fn add_pools(builder: &mut Builder, snapshot: &Snapshot) {
    for pool in snapshot.pools() {
        let Some(id) = pool.id else { continue };
        let Some(&at) = builder.index.get(&Node::Executor(id)) else { continue };
        for thread in pool.jobs.iter().filter_map(|job| job.thread) {
            builder.edge(at, Node::Thread(thread));
        }
        let can_take_more = pool.idle.is_none_or(|idle| idle > 0);
        builder.set(at, if can_take_more { Mode::Free } else { Mode::Any });
    }
}

/// What threads wait for that are not blocked by a loop of their own: a coroutine that they gave
/// to a loop, a call in a pool, another thread.
fn add_threads(builder: &mut Builder, snapshot: &Snapshot) {
    for thread in &snapshot.threads {
        let (Some(tid), Some(waiting)) = (thread.tid, &thread.waiting_on) else { continue };
        let is_runner = snapshot.loops.iter().any(|known| known.thread == Some(tid));
        // The thread of a loop is one of those below, when it is blocked.
        if let Some(at) = builder.node(Node::Thread(tid)).filter(|_| !is_runner) {
            builder.waiting(at, waiting);
        }
    }
}

/// What the threads of blocked loops wait for, as far as that is in this process.
fn add_blocked(builder: &mut Builder, snapshot: &Snapshot) {
    let mut stopped = FxHashMap::default();
    for event_loop in &snapshot.loops {
        let (Some(blocking), Some(thread)) = (&event_loop.blocking, event_loop.thread) else {
            continue;
        };
        if blocking.task.is_none() && blocking.thread.is_none() && blocking.loop_id.is_none() {
            continue;
        }
        stopped.insert(event_loop.id, thread);
        let Some(at) = builder.node(Node::Thread(thread)) else { continue };
        if let Some(task) = blocking.task {
            builder.edge(at, Node::Task(task));
        }
        if let Some(other) = blocking.thread {
            builder.edge(at, Node::Thread(other));
        }
        let home = |id| snapshot.loops.iter().find(|known| known.id == id)?.thread;
        if let Some(other) = blocking.loop_id.and_then(home) {
            builder.edge(at, Node::Thread(other));
        }
    }
    if stopped.is_empty() {
        return;
    }
    // The task that runs there, and one that owes something and would have to run there.
    let owing: FxHashSet<Address> =
        snapshot.loops.iter().filter_map(|known| known.blocking.as_ref()?.task).collect();
    for (at, task) in (0u32..).zip(&snapshot.tasks) {
        let is_held = task.state == Some(TaskState::Running) || owing.contains(&task.id);
        let thread = task.loop_id.and_then(|id| stopped.get(&id));
        if let Some(&thread) = thread.filter(|_| is_held) {
            builder.edge(at, Node::Thread(thread));
            builder.set(at, Mode::All);
        }
    }
}

/// What loops wait for that run inside a callback of their own: all the tasks that are on the stack
/// then go on when that run is over.
fn add_nested(builder: &mut Builder, snapshot: &Snapshot) {
    for known in snapshot.loops.iter().filter(|known| known.state == Some(LoopState::Polling)) {
        let thread = known.thread.and_then(|_| snapshot.thread_of(known));
        let Some(waiting) = thread.and_then(|thread| thread.waiting_on.as_deref()) else {
            continue;
        };
        let Some(tid) = known.thread.filter(|_| matches!(waiting.wait, Wait::Task { .. })) else {
            continue;
        };
        let Some(at) = builder.node(Node::Thread(tid)) else { continue };
        builder.waiting(at, waiting);
        for (task, facts) in (0u32..).zip(&snapshot.tasks) {
            if facts.state == Some(TaskState::Running) && facts.loop_id == Some(known.id) {
                builder.edge(task, Node::Thread(tid));
                builder.set(task, Mode::All);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use proptest::test_runner::Config;

    use super::*;
    use crate::diagnose::tests::{Scene, task};

    fn id(number: u64) -> Node {
        Node::Task(Address(number))
    }

    /// Tasks 1..=n, each waiting for the next.
    fn chain_of(count: u64) -> Scene {
        let tasks = (1..=count).map(|number| {
            let task = task(number);
            if number < count { task.awaits(&[number + 1]) } else { task }
        });
        Scene::new().with(tasks)
    }

    #[test]
    fn a_chain_of_100_000_has_one_root_and_no_circle() {
        let scene = chain_of(100_000);
        let graph = Graph::new(&scene.snapshot);
        assert!(graph.circles().is_empty());
        assert_eq!(graph.roots(), [id(100_000)]);
        assert_eq!(graph.waiting_for(id(100_000)).len(), 99_999);
        assert_eq!(graph.waiting_for(id(2)).len(), 1);
        let chain = graph.chain(id(1));
        assert_eq!((chain.len(), chain.last()), (100_000, Some(&id(100_000))));
    }

    #[test]
    fn a_circle_of_100_000_is_found_in_its_order() {
        let count = 100_000;
        let tasks = (1..=count).map(|number| task(number).awaits(&[number % count + 1]));
        let scene = Scene::new().with(tasks);
        let graph = Graph::new(&scene.snapshot);
        let [circle] = graph.circles() else { panic!("{} circles", graph.circles().len()) };
        assert_eq!(circle.tasks, 100_000);
        assert!(circle.nodes.iter().zip(1..).all(|(node, number)| *node == id(number)));
        assert_eq!(graph.chain(id(7)).len(), 100_000);
    }

    #[test]
    fn a_count_is_exact_where_many_ways_lead_to_one() {
        // 1 gathers 2..=51, which all wait for the lock 900 that 60 holds.
        let children: Vec<u64> = (2..=51).collect();
        let waiters = children.iter().map(|&number| task(number).at_lock(900, &[60]));
        let scene =
            Scene::new().with([task(1).gathers(&children), task(60).reads_socket()]).with(waiters);
        let graph = Graph::new(&scene.snapshot);
        assert_eq!(graph.waiting_for(id(60)).len(), 51);
        assert_eq!(graph.waiting_for(Node::Object(Address(900))).len(), 51);
        assert_eq!(graph.roots(), [id(60)]);
        assert_eq!(graph.chain(id(1)), [id(1), id(2), Node::Object(Address(900)), id(60)]);
    }

    #[test]
    fn the_ends_of_a_wait_are_the_tasks_that_wait_for_no_other() {
        let numbers = |graph: &Graph<'_>, starts: &[u64], also: &[(u64, u64)]| {
            let address = |&(from, to): &(u64, u64)| (Address(from), Address(to));
            let also: Vec<_> = also.iter().map(address).collect();
            let ends = graph.ends(&crate::diagnose::tests::ids(starts), &also);
            ends.iter().map(|task| task.id.0).collect::<Vec<_>>()
        };
        // 1 gathers 2 and 3; 2 waits for the lock of 4, and 3 for a call in a thread.
        let scene = Scene::new().with([
            task(1).gathers(&[2, 3]),
            task(2).at_lock(900, &[4]),
            task(3).offloads(Some(200)),
            task(4).reads_socket(),
            task(5).at_event(),
        ]);
        let graph = Graph::new(&scene.snapshot);
        assert_eq!(numbers(&graph, &[1], &[]), [3, 4]);
        assert_eq!(numbers(&graph, &[5, 4], &[]), [5, 4]);
        assert_eq!(numbers(&graph, &[4, 77], &[(4, 5), (4, 78), (77, 1)]), [5]);
        assert!(numbers(&graph, &[], &[(1, 2)]).is_empty());
        let chain = chain_of(100_000);
        assert_eq!(numbers(&Graph::new(&chain.snapshot), &[1, 7], &[]), [100_000]);
        let circle = Scene::new().with([task(1).awaits(&[2]), task(2).awaits(&[1])]);
        assert!(numbers(&Graph::new(&circle.snapshot), &[1], &[]).is_empty());
    }

    #[test]
    fn one_who_waits_for_any_is_stuck_only_with_all() {
        let any = |others: &[u64]| task(1).waits_for_any(others);
        let back = || task(2).awaits(&[1]);
        let one_is_free = Scene::new().with([any(&[2, 3]), back(), task(3).reads_socket()]);
        assert!(Graph::new(&one_is_free.snapshot).circles().is_empty());
        let all_are_stuck = Scene::new().with([any(&[2, 3]), back(), task(3).awaits(&[2])]);
        let graph = Graph::new(&all_are_stuck.snapshot);
        assert_eq!(graph.circles().iter().map(|circle| circle.tasks).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn two_holders_of_a_semaphore_have_to_be_stuck_both() {
        let waiter = |number| task(number).at_semaphore(900, &[1, 2]);
        let one_is_free = Scene::new().with([waiter(1), task(2).reads_socket()]);
        assert!(Graph::new(&one_is_free.snapshot).circles().is_empty());
        let both = Scene::new().with([waiter(1), waiter(2)]);
        assert_eq!(Graph::new(&both.snapshot).circles().len(), 1);
    }

    #[test]
    fn one_who_was_told_to_end_is_in_no_circle() {
        let scene = Scene::new().with([task(1).awaits(&[2]), task(2).awaits(&[1]).in_flight()]);
        assert!(Graph::new(&scene.snapshot).circles().is_empty());
    }

    proptest! {
        #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(300) })]
        #[test]
        fn random_graphs_end_and_their_circles_close(
            waits in vec((0..4u8, any::<[Index; 2]>(), 900..903u64), 1..12)
        ) {
            let count = waits.len();
            let tasks = (1..).zip(&waits).map(|(number, (kind, others, lock))| {
                let [one, other] = others.map(|other| 1 + other.index(count) as u64);
                match kind {
                    0 => task(number).reads_socket(),
                    1 => task(number).awaits(&[one]),
                    2 => task(number).gathers(&[one, other]),
                    _ => task(number).at_lock(*lock, &[one]),
                }
            });
            let scene = Scene::new().with(tasks);
            let count = count as u64;
            let graph = Graph::new(&scene.snapshot);
            for circle in graph.circles() {
                let next = circle.nodes.iter().cycle().skip(1);
                for (node, next) in circle.nodes.iter().zip(next) {
                    assert!(graph.waits_for(*node).contains(next), "{circle:?}");
                }
            }
            for number in 1..=count {
                let mut all: Vec<_> =
                    graph.waiting_for(id(number)).iter().map(|task| task.id).collect();
                all.sort_unstable();
                let mut reaching: Vec<_> = (1..=count)
                    .filter(|&from| from != number)
                    .filter(|&from| graph.reached(id(from), 1000).contains(&id(number)))
                    .map(Address)
                    .collect();
                reaching.sort_unstable();
                assert_eq!(all, reaching);
            }
        }
    }
}
