//! Weighted stacks, merged into a tree.

use std::sync::Arc;

use aiospy::snapshot::Location;
use rustc_hash::FxHashMap;

use crate::io::page;
use crate::report::text::path;

/// Different stacks that are kept apart; time of those beyond counts for where they branch off.
const MAX_NODES: usize = 500_000;
/// Different frames; those beyond are called alike.
const MAX_LABELS: usize = 100_000;
/// Places whose labels are known by their address: they are kept from being used again.
const MAX_PLACES: usize = 50_000;

/// What a frame stands for: it decides about the colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {
    /// A function of the program.
    Own,
    /// A function of Python's library or of a package.
    Library,
    /// A task.
    Task,
    /// A loop or thread.
    Thread,
    /// On a processor.
    Running,
    /// A call that holds the loop's thread.
    Blocking,
    /// Waits for its turn.
    Ready,
    /// Sleeps.
    Timer,
    /// Waits for a socket, pipe or file.
    Socket,
    /// Waits for a lock, semaphore or condition.
    Lock,
    /// Waits for a call in a thread, or a process.
    Executor,
    /// Waits at a queue.
    Queue,
    /// Waits for other tasks.
    Awaiting,
    /// Waits for something else.
    Other,
    /// Was cancelled and is still there.
    Cancelled,
    /// A loop that waits.
    Polling,
}

impl NodeKind {
    /// All of them, with their colour and their name.
    pub const ALL: [(Self, (u8, u8, u8), &'static str); 16] = [
        (Self::Own, (214, 178, 122), "own"),
        (Self::Library, (205, 205, 198), "library"),
        (Self::Task, (165, 188, 214), "task"),
        (Self::Thread, (165, 188, 214), "thread"),
        (Self::Running, (226, 119, 66), "running"),
        (Self::Blocking, (205, 62, 62), "blocking"),
        (Self::Ready, (235, 196, 60), "ready"),
        (Self::Timer, (150, 190, 150), "timer"),
        (Self::Socket, (96, 150, 205), "socket"),
        (Self::Lock, (170, 110, 190), "lock"),
        (Self::Executor, (80, 175, 170), "executor"),
        (Self::Queue, (130, 165, 90), "queue"),
        (Self::Awaiting, (190, 200, 210), "awaiting"),
        (Self::Other, (175, 165, 155), "other"),
        (Self::Cancelled, (160, 50, 100), "cancelled"),
        (Self::Polling, (200, 215, 200), "polling"),
    ];

    /// Its colour.
    pub fn color(self) -> (u8, u8, u8) {
        let known = Self::ALL.iter().find(|(kind, ..)| *kind == self);
        known.map_or((200, 200, 200), |(_, color, _)| *color)
    }

    /// Its number among all.
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|(kind, ..)| *kind == self).unwrap_or_default()
    }
}

/// What a frame is called.
#[derive(Debug, Clone)]
pub struct Label {
    /// With its place: `serve (app.py:12)`, `<task worker-*>`, `[timer]`.
    pub text: String,
    /// What it stands for.
    pub kind: NodeKind,
    /// Where it is, if it is somewhere.
    pub place: Option<Arc<Location>>,
}

#[derive(Debug)]
struct Node {
    parent: u32,
    label: u32,
    /// Time that was spent here and in nothing further in.
    own: u64,
}

/// The tree.
#[derive(Debug)]
pub struct Tree {
    labels: Vec<Label>,
    known: FxHashMap<String, u32>,
    places: FxHashMap<usize, (Arc<Location>, u32)>,
    nodes: Vec<Node>,
    steps: FxHashMap<(u32, u32), u32>,
}

/// What all stacks have in common.
pub const ROOT: u32 = 0;

impl Tree {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            labels: vec![Label { text: "(others)".to_owned(), kind: NodeKind::Other, place: None }],
            known: FxHashMap::default(),
            places: FxHashMap::default(),
            nodes: vec![Node { parent: ROOT, label: 0, own: 0 }],
            steps: FxHashMap::default(),
        }
    }

    /// The number of a label.
    pub fn label(&mut self, text: &str, kind: NodeKind) -> u32 {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        self.add_label(text.to_owned(), kind, None)
    }

    /// The number of a place's label.
    pub fn label_of(&mut self, place: &Arc<Location>) -> u32 {
        let key = Arc::as_ptr(place) as usize;
        if let Some((_, known)) = self.places.get(&key) {
            return *known;
        }
        let text = path::frame(&place.function, place.path(), place.line);
        let known = self.known.get(&text).copied();
        let number = known.unwrap_or_else(|| {
            let kind = if place.is_library() { NodeKind::Library } else { NodeKind::Own };
            self.add_label(text, kind, Some(Arc::clone(place)))
        });
        // A recording that is read has new ones in each block.
        if self.places.len() >= MAX_PLACES {
            self.places.clear();
        }
        self.places.insert(key, (Arc::clone(place), number));
        number
    }

    fn add_label(&mut self, text: String, kind: NodeKind, place: Option<Arc<Location>>) -> u32 {
        if self.labels.len() >= MAX_LABELS {
            return 0;
        }
        let number = u32::try_from(self.labels.len()).unwrap_or_default();
        // In these formats a frame ends at a semicolon, and a stack at the end of its line.
        let shown = page::clean(&text).replace(';', ":");
        self.labels.push(Label { text: shown, kind, place });
        self.known.insert(text, number);
        number
    }

    /// The stack with one frame more.
    pub fn step(&mut self, node: u32, label: u32) -> u32 {
        if let Some(known) = self.steps.get(&(node, label)) {
            return *known;
        }
        if self.nodes.len() >= MAX_NODES {
            return node;
        }
        let number = u32::try_from(self.nodes.len()).unwrap_or_default();
        self.nodes.push(Node { parent: node, label, own: 0 });
        self.steps.insert((node, label), number);
        number
    }

    /// Adds time to a stack.
    pub fn add(&mut self, node: u32, weight: u64) {
        if let Some(node) = usize::try_from(node).ok().and_then(|at| self.nodes.get_mut(at)) {
            node.own += weight;
        }
    }

    /// All labels, by their numbers.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Each stack with time of its own, as the numbers of its labels, outermost first.
    pub fn stacks(&self) -> impl Iterator<Item = (Vec<u32>, u64)> + '_ {
        self.nodes.iter().filter(|node| node.own > 0).map(|leaf| {
            let mut stack = Vec::new();
            let mut node = leaf;
            loop {
                let is_root = std::ptr::eq(node, self.nodes.first().unwrap_or(node));
                if is_root {
                    break;
                }
                stack.push(node.label);
                let parent = usize::try_from(node.parent).ok().and_then(|at| self.nodes.get(at));
                let Some(parent) = parent else { break };
                node = parent;
            }
            stack.reverse();
            (stack, leaf.own)
        })
    }

    /// Each stack as text, with its time; sorted.
    pub fn lines(&self) -> Vec<(String, u64)> {
        let text = |label: &u32| {
            let label = usize::try_from(*label).ok().and_then(|at| self.labels.get(at));
            label.map_or("", |label| label.text.as_str())
        };
        let mut lines: Vec<(String, u64)> = self
            .stacks()
            .map(|(stack, own)| (stack.iter().map(text).collect::<Vec<_>>().join(";"), own))
            .collect();
        lines.sort_unstable();
        lines
    }

    /// Each node but the root: its parent, its label and its own time; parents come first.
    pub fn nodes(&self) -> impl Iterator<Item = (u32, u32, u64)> + '_ {
        self.nodes.iter().skip(1).map(|node| (node.parent, node.label, node.own))
    }
}
