//! From a snapshot to the stacks of one view.
//!
//! A task's stack begins at the outermost task that awaits it: that one's frames, `<task NAME>`,
//! its own frames, and what it waits for. A task that several others await is shown below the
//! first of them only, so that the time of each task counts once.

use aiospy::memory::Address;
use aiospy::snapshot::{Snapshot, Task, Work, WorkKind, below_loop};
use rustc_hash::{FxHashMap, FxHashSet};

use super::tree::{NodeKind, ROOT, Tree};
use super::{Folding, Sample, View, micros, state};
use crate::report::text::words;

/// Tasks in one chain of awaiters; none are known to be a tenth of it.
const MAX_CHAIN: usize = 1000;

/// Adds samples to the stacks of a view.
#[derive(Debug)]
pub struct Fold {
    folding: Folding,
    tree: Tree,
    /// Where the frames of a task end, below what it was put under: for the present sample.
    ends: FxHashMap<(u32, Address), u32>,
}

impl Fold {
    /// No stacks yet.
    pub fn new(folding: Folding) -> Self {
        Self { folding, tree: Tree::new(), ends: FxHashMap::default() }
    }

    /// How it folds.
    pub fn folding(&self) -> Folding {
        self.folding
    }

    /// The stacks so far.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Takes in a sample.
    pub fn sample(&mut self, sample: Sample<'_>) {
        let weight = micros(sample.weight);
        match self.folding.view {
            View::Await | View::State => self.tasks(sample.snapshot, weight),
            View::Loop => self.loops(sample.snapshot, weight),
            View::Cpu => self.threads(sample.snapshot, weight),
            View::Request => self.requests(sample.snapshot, weight),
        }
    }

    fn tasks(&mut self, snapshot: &Snapshot, weight: u64) {
        let index: FxHashMap<Address, &Task> =
            snapshot.tasks.iter().map(|task| (task.id, task)).collect();
        self.ends.clear();
        for task in &snapshot.tasks {
            let Some(state) = state::of(task, snapshot) else { continue };
            let is_cancelled = state::is_cancelled(task);
            let end = if self.folding.view == View::State {
                let mut root = ROOT;
                if is_cancelled {
                    root = self.step(root, "cancelled, still there", NodeKind::Cancelled);
                }
                root = self.step(root, state.word, state.kind);
                if let Some(detail) = &state.detail {
                    root = self.step(root, detail, state.kind);
                }
                self.end_of(root, task, &index)
            } else {
                let end = self.end_of(ROOT, task, &index);
                self.step(end, &format!("[{}]", state.text()), state.kind)
            };
            self.tree.add(end, weight);
        }
    }

    /// Each request's time is that of its tasks which none of the others awaits, in equal parts.
    fn requests(&mut self, snapshot: &Snapshot, weight: u64) {
        let index: FxHashMap<Address, &Task> =
            snapshot.tasks.iter().map(|task| (task.id, task)).collect();
        self.ends.clear();
        let mut places: FxHashMap<Address, usize> = FxHashMap::default();
        let mut requests: Vec<Vec<(&Task, &Work)>> = Vec::new();
        for task in snapshot.tasks.iter().filter(|task| !task.is_over()) {
            let Some(work) = task.work.as_deref().filter(|work| self.is_wanted(work)) else {
                continue;
            };
            let place = places.entry(work.identity.unwrap_or(task.id)).or_insert_with(|| {
                requests.push(Vec::new());
                requests.len() - 1
            });
            requests.get_mut(*place).into_iter().for_each(|tasks| tasks.push((task, work)));
        }
        for tasks in &requests {
            let awaiting: FxHashSet<Address> =
                tasks.iter().flat_map(|(task, _)| task.awaited_by.iter().copied()).collect();
            let inner = tasks.iter().filter(|(task, _)| !awaiting.contains(&task.id)).count();
            // Those that await each other in a circle are all of them.
            let is_inner = |task: &Task| inner == 0 || !awaiting.contains(&task.id);
            let inner = if inner == 0 { tasks.len() } else { inner };
            for (task, work) in tasks.iter().filter(|(task, _)| is_inner(task)) {
                let Some(state) = state::of(task, snapshot) else { continue };
                let root = self.step(ROOT, &work.to_string(), NodeKind::Task);
                let end = self.end_of(root, task, &index);
                let end = self.step(end, &format!("[{}]", state.text()), state.kind);
                self.tree.add(end, weight / inner as u64);
            }
        }
    }

    /// Whether it is a request or a job, and takes as long as was asked for.
    fn is_wanted(&self, work: &Work) -> bool {
        matches!(work.kind, Some(WorkKind::Request | WorkKind::Job))
            && self
                .folding
                .slower
                .is_none_or(|slower| work.since.is_some_and(|since| since.time >= slower))
    }

    /// Where the frames of a task end.
    fn end_of(&mut self, root: u32, task: &Task, index: &FxHashMap<Address, &Task>) -> u32 {
        let mut chain = vec![task];
        let mut node = root;
        let mut last = task;
        loop {
            if let Some(known) = self.ends.get(&(root, last.id)) {
                node = *known;
                chain.pop();
                break;
            }
            let awaiter = last.awaited_by.first().and_then(|id| index.get(id)).copied();
            // In a deadlock the chain is a circle.
            let is_new = |task: &&Task| !chain.iter().any(|known| known.id == task.id);
            match awaiter.filter(is_new) {
                Some(awaiter) if chain.len() < MAX_CHAIN => chain.push(awaiter),
                _ => break,
            }
            last = awaiter.unwrap_or(last);
        }
        for task in chain.into_iter().rev() {
            let name = task.name.as_deref().or(task.coroutine.as_deref()).unwrap_or("?");
            let name = if self.folding.is_per_task { name.to_owned() } else { folded(name) };
            node = self.step(node, &format!("<task {name}>"), NodeKind::Task);
            for frame in &task.frames {
                let label = self.tree.label_of(&frame.location);
                node = self.tree.step(node, label);
            }
            self.ends.insert((root, task.id), node);
        }
        node
    }

    fn loops(&mut self, snapshot: &Snapshot, weight: u64) {
        for event_loop in &snapshot.loops {
            // One that nobody runs has no time.
            let Some(thread) = snapshot.thread_of(event_loop) else { continue };
            let name = thread.name.as_deref().unwrap_or("?");
            let name = if self.folding.is_per_task { name.to_owned() } else { folded(name) };
            let class = words::loop_class(&event_loop.class);
            let mut node = self.step(ROOT, &format!("{class} in {name}"), NodeKind::Thread);
            if state::is_polling(event_loop) {
                node = self.step(node, "[polling]", NodeKind::Polling);
            } else {
                let state = state::of_running(Some(event_loop), Some(thread));
                node = self.step(node, &format!("[{}]", state.text()), state.kind);
                for frame in below_loop(&thread.frames) {
                    let label = self.tree.label_of(&frame.location);
                    node = self.tree.step(node, label);
                }
            }
            self.tree.add(node, weight);
        }
    }

    fn threads(&mut self, snapshot: &Snapshot, weight: u64) {
        for thread in &snapshot.threads {
            if thread.state != Some(aiospy::snapshot::ThreadState::Running) {
                continue;
            }
            let name = thread.name.as_deref().unwrap_or("?");
            let name = if self.folding.is_per_task { name.to_owned() } else { folded(name) };
            let mut node = self.step(ROOT, &format!("thread {name}"), NodeKind::Thread);
            for frame in &thread.frames {
                let label = self.tree.label_of(&frame.location);
                node = self.tree.step(node, label);
            }
            self.tree.add(node, weight);
        }
    }

    fn step(&mut self, node: u32, text: &str, kind: NodeKind) -> u32 {
        let label = self.tree.label(text, kind);
        self.tree.step(node, label)
    }
}

/// A name without its numbers: `Task-17` → `Task-*`, `worker3` → `worker*`; a number within a
/// word stays, `http2-client`.
pub fn folded(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(from.len());
        let (number, after) = from.split_at(end);
        folded.push_str(before);
        let is_joined = folded.chars().next_back().is_some_and(char::is_alphabetic);
        let is_word = match after.chars().next() {
            Some(next) => !next.is_alphanumeric() && !is_joined,
            None => true,
        };
        folded.push_str(if is_word { "*" } else { number });
        rest = after;
    }
    folded.push_str(rest);
    folded
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aiospy::snapshot::{Age, Cancellation, Source, TaskState, Wait};

    use super::*;
    use crate::report::text::sample;

    #[test]
    fn numbers_of_names_are_folded() {
        for (name, expected) in [
            ("Task-17", "Task-*"),
            ("worker-3", "worker-*"),
            ("worker3", "worker*"),
            ("http2-client", "http2-client"),
            ("job-2024-11-x", "job-*-*-x"),
            ("7", "*"),
            ("", ""),
            ("größe-12", "größe-*"),
        ] {
            assert_eq!(folded(name), expected);
        }
    }

    /// The stacks of a sample of 10 ms.
    fn stacks(snapshot: &Snapshot, view: View, is_per_task: bool) -> Vec<(String, u64)> {
        folded_by(snapshot, Folding { view, is_per_task, slower: None })
    }

    fn folded_by(snapshot: &Snapshot, folding: Folding) -> Vec<(String, u64)> {
        let mut fold = Fold::new(folding);
        fold.sample(Sample { snapshot, weight: Duration::from_millis(10) });
        fold.tree().lines()
    }

    fn snapshot() -> Snapshot {
        let main = sample::waits(
            sample::task(1, "main", &["main app.py:1"], &[]),
            Wait::Gather(sample::others(&[])),
            "",
        );
        let first =
            sample::waits(sample::task(2, "w-1", &["work app.py:7"], &[1]), Wait::Timer, "");
        let mut second =
            sample::waits(sample::task(3, "w-2", &["work app.py:7"], &[1]), Wait::Timer, "");
        second.cancellation = Some(Cancellation { requested: Some(1), ..Cancellation::default() });
        let mut done = sample::task(4, "done", &["end app.py:9"], &[]);
        done.state = Some(TaskState::Done);
        let mut all = sample::bank();
        all.tasks = vec![main, first, second, done];
        all
    }

    #[test]
    fn the_time_of_a_request_counts_once() {
        let of = |mut task: Task, identity: u64, seconds: u64| {
            task.work = Some(std::sync::Arc::new(Work {
                kind: Some(WorkKind::Request),
                verb: Some("GET".into()),
                name: "/a/{b}".into(),
                identity: Some(Address(identity)),
                since: Some(Age::at_least(Duration::from_secs(seconds), Source::Connection)),
                ..Work::default()
            }));
            task
        };
        let mut all = snapshot();
        let tasks = std::mem::take(&mut all.tasks).into_iter();
        // The first three are one request; the last one has ended.
        all.tasks = tasks.map(|task| of(task, 7, 3)).collect();
        let other =
            sample::waits(sample::task(9, "t-9", &["serve app.py:3"], &[]), Wait::Timer, "");
        all.tasks.extend([of(other.clone(), 8, 12), other]);
        let by =
            |slower| folded_by(&all, Folding { view: View::Request, is_per_task: false, slower });
        let gathered = "GET /a/{b};<task main>;main (app.py:1);<task w-*>;work (app.py:7);[timer]";
        let single = "GET /a/{b};<task t-*>;serve (app.py:3);[timer]";
        let mut lines = by(None);
        lines.sort();
        assert_eq!(lines, [(gathered.to_owned(), 10_000), (single.to_owned(), 10_000)]);
        assert_eq!(by(Some(Duration::from_secs(10))), [(single.to_owned(), 10_000)]);
    }

    #[test]
    fn a_task_stands_below_who_awaits_it() {
        let mut all = snapshot();
        let lines = stacks(&all, View::Await, false);
        assert_eq!(
            lines,
            [
                (
                    "<task main>;main (app.py:1);<task w-*>;work (app.py:7);[timer]".to_owned(),
                    20_000
                ),
                ("<task main>;main (app.py:1);[gather]".to_owned(), 10_000),
            ]
        );
        assert_eq!(stacks(&all, View::Await, true).len(), 3);
        let lines = stacks(&all, View::State, false);
        assert_eq!(
            lines[0].0,
            "cancelled, still there;timer;<task main>;main (app.py:1);<task w-*>;work (app.py:7)"
        );
        assert_eq!(lines[1].0, "gather;<task main>;main (app.py:1)");
        // In a circle each is below the other, and there is an end to it.
        all.tasks[0].awaited_by = vec![all.tasks[1].id];
        let lines = stacks(&all, View::Await, false);
        assert_eq!(lines.iter().map(|(_, time)| time).sum::<u64>(), 30_000);
    }
}
