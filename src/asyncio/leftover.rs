//! What a program has left behind: exceptions that nobody looked at, coroutines that were never
//! started, asynchronous generators that nobody iterates.
//!
//! All of it is found from what is read anyway: the registered tasks, the loops, and the frames of
//! tasks and threads. The variables of frames are looked at all together: each value once, in
//! batches, and only its class unless it is one of the kinds that matter.

mod lookers;
mod never_awaited;
mod open_generator;
mod unretrieved;

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::TaskFacts;
use crate::layout::Frame;
use crate::memory::Address;
use crate::python::frame::{RawFrame, Stack};
use crate::python::object::{Kind, Reader};
use crate::snapshot::{MAX_LEFT_BEHIND, NeverAwaited, OpenGenerator, Unretrieved};

/// Facts of one kind that are kept: more of them say no more.
const MAX_FOUND: usize = MAX_LEFT_BEHIND;
/// Objects that are searched for tasks where ended ones leave the registry.
const MAX_SEARCHED: usize = 2000;
/// Items of one collection, or attributes of one object, in that search.
const MAX_SEARCHED_ITEMS: u64 = 256;
/// Frames or tasks looked at together: their pages have room in the cache.
const GROUP: usize = 4096;

/// What was left behind.
#[derive(Debug, Clone, Default)]
pub struct Leftovers {
    /// Exceptions that nobody has looked at.
    ///
    /// Whoever waits for a task looks at its exception one iteration later, and a loop that runs
    /// is many iterations further on when all is read. So of a reading that is not of one moment
    /// ([`BestEffort`](crate::snapshot::Consistency::BestEffort)) only those count that a second
    /// one has as well: same address, same name, same exception.
    pub unretrieved: Vec<Unretrieved>,
    /// Coroutines that were never started.
    pub never_awaited: Vec<NeverAwaited>,
    /// Asynchronous generators that have begun and not ended.
    pub open_generators: Vec<OpenGenerator>,
}

/// What was read already, and is searched for it.
#[derive(Debug, Clone, Copy)]
pub struct Remains<'a> {
    /// The tasks.
    pub tasks: &'a [TaskFacts],
    /// The threads: their ids and stacks.
    pub threads: &'a [(Option<i32>, &'a Stack)],
    /// The event loops.
    pub loops: &'a [Address],
    /// All registered tasks, ended ones included.
    pub registered: &'a [Address],
    /// Those that a search of the heap has found.
    pub found: &'a [Address],
}

/// A frame with whose it is.
#[derive(Clone, Copy)]
struct Owned<'a> {
    frame: &'a RawFrame,
    task: Option<Address>,
    thread: Option<i32>,
}

/// What is known of the frames of one code object.
struct Shape {
    /// Whether it belongs to the program, not to a library.
    is_user: bool,
    /// How many words its variables are.
    variables: u64,
}

/// A variable's value.
#[derive(Clone, Copy)]
struct Slot {
    /// Which of the frames.
    frame: usize,
    /// Which of its variables.
    index: usize,
    value: Address,
}

impl Reader<'_> {
    /// What the program has left behind.
    pub fn leftovers(&self, remains: Remains<'_>) -> Leftovers {
        let mut search = Search::new(*self, remains);
        search.read_slots();
        Leftovers {
            never_awaited: search.never_awaited(),
            unretrieved: search.unretrieved(),
            open_generators: search.open_generators(),
        }
    }

    /// How many references there are to the object at `at`; `None` for one that is never freed.
    pub fn references(&self, at: Address) -> Option<u64> {
        // From 3.12 on the higher 32 bits hold other things, or nothing; immortal objects have
        // one of the two highest bits of the lower ones (Include/refcount.h).
        let count = self.memory.u32(at).ok()?;
        (count < 1 << 30).then_some(u64::from(count))
    }

    /// The qualified name of a coroutine or generator.
    pub(crate) fn generator_name(&self, at: Address) -> Option<Arc<str>> {
        self.name(self.pointer(at.offset(self.layout.generator.qualname)).ok()??).ok()
    }
}

/// One search through what was read.
struct Search<'a> {
    reader: Reader<'a>,
    remains: Remains<'a>,
    /// Frames of tasks that are on a thread's stack as well, as those of running tasks are.
    on_stacks: FxHashSet<Address>,
    /// The frames of `slots`.
    frames: Vec<Owned<'a>>,
    shapes: FxHashMap<Address, Shape>,
    /// The variables of the program's own frames that hold something of a kind that matters.
    slots: Vec<Slot>,
    /// What those values are.
    kinds: FxHashMap<Address, Kind>,
    /// Collections and objects of the program in those variables, the first of them.
    objects: Vec<Address>,
}

impl<'a> Search<'a> {
    fn new(reader: Reader<'a>, remains: Remains<'a>) -> Self {
        let of_threads = remains.threads.iter().flat_map(|(_, stack)| &stack.frames);
        let mut on_stacks: FxHashSet<Address> =
            of_threads.filter(|f| !f.generator.is_null()).map(|frame| frame.at).collect();
        if !on_stacks.is_empty() {
            let of_tasks = remains.tasks.iter().flat_map(|task| &task.chain);
            on_stacks = of_tasks.map(|f| f.at).filter(|at| on_stacks.contains(at)).collect();
        }
        Self {
            reader,
            remains,
            on_stacks,
            frames: Vec::new(),
            shapes: FxHashMap::default(),
            slots: Vec::new(),
            kinds: FxHashMap::default(),
            objects: Vec::new(),
        }
    }

    /// The frames of the tasks and of the threads, each once.
    fn every_frame(&self) -> impl Iterator<Item = Owned<'a>> + use<'a> {
        let Remains { tasks, threads, .. } = self.remains;
        let of_tasks = tasks.iter().flat_map(|task| {
            task.chain.iter().map(|frame| Owned { frame, task: Some(task.at), thread: None })
        });
        let of_threads = threads.iter().flat_map(|&(thread, stack)| {
            stack.frames.iter().map(move |frame| Owned { frame, task: None, thread })
        });
        let on_stacks = self.on_stacks.clone();
        of_tasks.chain(of_threads.filter(move |owned| !on_stacks.contains(&owned.frame.at)))
    }

    /// Looks at the variables of the program's own frames.
    fn read_slots(&mut self) {
        let reader = self.reader;
        let mut slots: Vec<Slot> = Vec::new();
        let mut classes: FxHashMap<Address, Kind> = FxHashMap::default();
        let mut group: Vec<(Owned<'a>, Address, u64)> = Vec::new();
        let mut buffer = Vec::new();
        let mut frames = self.every_frame().peekable();
        while frames.peek().is_some() {
            reader.make_room();
            group.clear();
            for owned in frames.by_ref().take(GROUP) {
                let shape = shape(&reader, &mut self.shapes, owned.frame.code);
                if shape.is_user && shape.variables > 0 {
                    group.push((owned, first_variable(&reader, owned.frame), shape.variables));
                }
            }
            reader.memory.prefetch(group.iter().map(|&(_, first, count)| (first, 8 * count)));
            slots.clear();
            for (frame, &(_, first, count)) in group.iter().enumerate() {
                let words = read_words(&reader, first, count, &mut buffer);
                slots.extend(words.enumerate().filter_map(|(index, word)| {
                    let value = reader.slot_value(word)?;
                    Some(Slot { frame, index, value })
                }));
            }
            // Many frames have the same few things: each is looked at once.
            slots.sort_unstable_by_key(|slot| slot.value);
            reader.memory.prefetch(slots.iter().map(|slot| (slot.value, 16)));
            for same in slots.chunk_by(|a, b| a.value == b.value) {
                let Some(&Slot { value, .. }) = same.first() else { continue };
                let class = reader.memory.pointer(value.offset(reader.layout.object.ob_type));
                let kind = class.map_or(Kind::Other, |class| {
                    *classes.entry(class).or_insert_with(|| {
                        reader.class(class).map_or(Kind::Other, |class| class.kind)
                    })
                });
                if matches!(kind, Kind::Coroutine | Kind::AsyncGenerator) || kind.is_future() {
                    self.kinds.insert(value, kind);
                    for slot in same {
                        let Some(&(owned, ..)) = group.get(slot.frame) else { continue };
                        self.slots.push(Slot { frame: self.frames.len(), ..*slot });
                        self.frames.push(owned);
                    }
                } else if is_searched(kind) && self.objects.len() < MAX_SEARCHED {
                    self.objects.push(value);
                }
            }
        }
    }
}

/// What is known of the frames of the code object at `code`.
fn shape<'s>(
    reader: &Reader<'_>,
    shapes: &'s mut FxHashMap<Address, Shape>,
    code: Address,
) -> &'s Shape {
    shapes.entry(code).or_insert_with(|| match reader.code(code) {
        Ok(code) => Shape { is_user: !code.place.is_library(), variables: code.locals_count },
        Err(_) => Shape { is_user: false, variables: 0 },
    })
}

/// Where the variables of a frame are, and its stack behind them.
fn first_variable(reader: &Reader<'_>, frame: &RawFrame) -> Address {
    frame.at.offset(match reader.layout.frame {
        Frame::Object(fields) => fields.localsplus,
        Frame::Interpreter(fields) => fields.localsplus,
    })
}

/// The `count` words at `at`, by way of `buffer`; none if they cannot be read.
fn read_words<'b>(
    reader: &Reader<'_>,
    at: Address,
    count: u64,
    buffer: &'b mut Vec<u8>,
) -> impl Iterator<Item = u64> + use<'b> {
    buffer.clear();
    buffer.resize(usize::try_from(8 * count).unwrap_or(0), 0);
    if reader.memory.copy(at, buffer).is_err() {
        buffer.clear();
    }
    buffer.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word))
}

/// Whether tasks may be found in a value of this kind.
fn is_searched(kind: Kind) -> bool {
    matches!(kind, Kind::List | Kind::Tuple | Kind::Set | Kind::Dict | Kind::Other)
}
