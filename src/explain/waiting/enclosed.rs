//! Which of the things that tasks wait at nobody else can come to.
//!
//! Whoever gives a permit back, or puts an item into a queue, has a reference to it. Python counts
//! the references to each object, so when those in the variables and on the stacks of tasks make
//! up the whole count, these tasks are all that can ever do it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Reasons;
use crate::known::purpose::Anyio;
use crate::memory::Address;
use crate::python::frame::RawFrame;
use crate::python::object::Kind;
use crate::snapshot::{Enclosed, Operation, Task, Wait, Waiting};

/// Frames whose references are counted: 10,000 tasks of ten frames each.
const MAX_FRAMES: usize = 100_000;
/// Objects looked at for what they refer to.
const MAX_OBJECTS: usize = 50_000;
/// Objects between a frame and the thing: its function, the variables that this has from around it, a
/// cell with one, a method.
const MAX_STEPS: usize = 4;
/// Items of one tuple.
const MAX_ITEMS: usize = 64;

/// What refers to a thing, or to something else here that does.
#[derive(Debug, Default)]
struct Known {
    /// References from frames.
    count: u64,
    /// The tasks that these frames are of.
    tasks: Vec<Address>,
    /// References from other objects that are known here.
    carriers: Vec<Address>,
}

/// The tasks that wait at one of the things, and those that wait for these.
fn hanging(
    all: &[Option<Box<Waiting>>],
    tasks: &[Task],
    things: &FxHashSet<Address>,
) -> FxHashSet<Address> {
    let is_at_one = |waiting: &Waiting| waiting.object.is_some_and(|at| things.contains(&at));
    let waits = tasks.iter().zip(all);
    let waits = waits.filter(|(_, waiting)| waiting.as_deref().is_some_and(is_at_one));
    let waits: Vec<Address> = waits.map(|(task, _)| task.id).collect();
    hanging_on(tasks, &waits)
}

/// These tasks and those that wait for them.
pub(super) fn hanging_on(tasks: &[Task], first: &[Address]) -> FxHashSet<Address> {
    let by_id: FxHashMap<Address, &Task> = tasks.iter().map(|task| (task.id, task)).collect();
    let mut next = first.to_vec();
    let mut seen = FxHashSet::default();
    while let Some(id) = next.pop() {
        if seen.insert(id) {
            next.extend(by_id.get(&id).iter().flat_map(|task| &task.awaited_by));
        }
    }
    seen
}

/// What frames refer to.
pub(super) struct Census<'c> {
    things: &'c FxHashSet<Address>,
    known: FxHashMap<Address, Known>,
    /// Objects that lead to none of them.
    others: FxHashSet<Address>,
}

impl<'c> Census<'c> {
    pub(super) fn of(things: &'c FxHashSet<Address>) -> Self {
        let known = things.iter().map(|&at| (at, Known::default())).collect();
        Self { things, known, others: FxHashSet::default() }
    }

    /// Takes an object for one that leads to none of the things.
    pub(super) fn leave_out(&mut self, at: Address) {
        self.others.insert(at);
    }
}

impl Reasons<'_> {
    /// The locks, semaphores, queues, and at the end of a program events, that only tasks can come to, of those where this may
    /// tell that nobody will; none when no evidence is asked for.
    pub(crate) fn enclosed(&self, all: &[Option<Box<Waiting>>], tasks: &[Task]) -> Vec<Enclosed> {
        if !self.evidence {
            return Vec::new();
        }
        let may_be_lost = |waiting: &&Waiting| match &waiting.wait {
            Wait::Lock(acquire) | Wait::Semaphore { acquire, .. } => acquire.holders.is_empty(),
            Wait::Queue { operation: Some(Operation::Join), items, .. } => {
                items.value.is_some_and(|left| left > 0)
            }
            Wait::Queue { .. } => true,
            // Many an idle program waits for events, and its end for hardly one.
            Wait::Event(_) => self.is_ending,
            _ => false,
        };
        let lost = all.iter().flatten().map(|waiting| &**waiting).filter(may_be_lost);
        let things: FxHashSet<Address> = lost.filter_map(|waiting| waiting.object).collect();
        if things.is_empty() {
            return Vec::new();
        }
        // Any other task that refers to a thing may do something about it: its references are
        // better missing in the count than looked for in every frame of a large program.
        let waiting = hanging(all, tasks, &things);
        let chains = self.reading.tasks.iter().zip(self.chains);
        let chains: Vec<_> = chains.filter(|(task, _)| waiting.contains(&task.at)).collect();
        if chains.iter().map(|(_, chain)| chain.len()).sum::<usize>() > MAX_FRAMES {
            return Vec::new();
        }
        let mut census = Census::of(&things);
        for (task, chain) in chains {
            self.count_references(&mut census, task.at, chain);
        }
        let mut enclosed: Vec<Enclosed> = things
            .iter()
            .filter_map(|&object| {
                let mut tasks = Vec::new();
                self.is_made_up(&census, object, MAX_STEPS + 1, &mut tasks).then(|| {
                    tasks.sort_unstable();
                    tasks.dedup();
                    Enclosed { object, tasks }
                })
            })
            .collect();
        enclosed.sort_unstable_by_key(|enclosed| enclosed.object);
        enclosed
    }

    /// Counts what the frames of a task refer to, and says whether any of it leads to a thing.
    pub(super) fn count_references(
        &self,
        census: &mut Census<'_>,
        task: Address,
        chain: &[RawFrame],
    ) -> bool {
        let mut leads = false;
        for frame in chain {
            for value in self.references_of(frame) {
                if !self.is_known(census, value, MAX_STEPS) {
                    continue;
                }
                leads = true;
                if let Some(known) = census.known.get_mut(&value) {
                    known.count += 1;
                    if known.tasks.last() != Some(&task) {
                        known.tasks.push(task);
                    }
                }
            }
        }
        leads
    }

    /// Whether the known references to a thing, and so many `others`, are all there are.
    pub(super) fn is_made_up_but(&self, census: &Census<'_>, at: Address, others: u64) -> bool {
        let Some(known) = census.known.get(&at) else { return false };
        let count = known.count + known.carriers.len() as u64 + others;
        let carriers: FxHashSet<Address> = known.carriers.iter().copied().collect();
        let is_made_up = |carrier| self.is_made_up(census, carrier, MAX_STEPS, &mut Vec::new());
        self.reader.references(at) == Some(count) && carriers.into_iter().all(is_made_up)
    }

    /// All objects that a suspended frame has a reference to, once for each reference.
    fn references_of(&self, frame: &RawFrame) -> Vec<Address> {
        let reader = &self.reader;
        // What of a frame cannot be read is then missing in the count.
        let mut references = reader.references_of_frame(frame).unwrap_or_default();
        // It waits where it handles `WouldBlock`, in whose traceback is the frame of `send_nowait` or
        // `receive_nowait`, which has the same `self`.
        if matches!(self.function(frame).anyio, Some(Anyio::Send | Anyio::Receive)) {
            references.extend(reader.local(frame, "self").ok().flatten());
        }
        references
    }

    /// Whether an object is one of the things or leads to one, noting how.
    fn is_known(&self, census: &mut Census<'_>, at: Address, steps: usize) -> bool {
        if census.known.contains_key(&at) {
            return true;
        }
        let Some(steps) = steps.checked_sub(1) else { return false };
        if census.others.contains(&at) || census.others.len() >= MAX_OBJECTS {
            return false;
        }
        let leads: Vec<Address> = self
            .referred_by(at, census)
            .into_iter()
            .filter(|&next| self.is_known(census, next, steps))
            .collect();
        if leads.is_empty() {
            census.others.insert(at);
            return false;
        }
        census.known.insert(at, Known::default());
        for next in leads {
            if let Some(known) = census.known.get_mut(&next) {
                known.carriers.push(at);
            }
        }
        true
    }

    /// What an object refers to, as far as that may be a thing or lead to one.
    fn referred_by(&self, at: Address, census: &Census<'_>) -> Vec<Address> {
        let reader = &self.reader;
        let small = &reader.layout.small;
        let field = |offset| reader.pointer(at.offset(offset)).ok().flatten();
        match reader.kind_of(at) {
            Ok(Kind::Method) => field(small.method_self).into_iter().collect(),
            Ok(Kind::Cell) => field(small.cell_ref).into_iter().collect(),
            Ok(Kind::Function) => field(reader.layout.function.closure).into_iter().collect(),
            Ok(Kind::Tuple) => {
                let items = reader.items_of(at).unwrap_or_default();
                if items.len() > MAX_ITEMS { Vec::new() } else { items }
            }
            Ok(Kind::Other) => self.among_attributes(at, census.things),
            _ => Vec::new(),
        }
    }

    /// Whether the known references to an object are all there are, noting whose they are.
    fn is_made_up(
        &self,
        census: &Census<'_>,
        at: Address,
        steps: usize,
        tasks: &mut Vec<Address>,
    ) -> bool {
        let (Some(known), Some(steps)) = (census.known.get(&at), steps.checked_sub(1)) else {
            return false;
        };
        tasks.extend(&known.tasks);
        let count = known.count + known.carriers.len() as u64;
        let carriers: FxHashSet<Address> = known.carriers.iter().copied().collect();
        self.reader.references(at) == Some(count)
            && carriers.into_iter().all(|carrier| self.is_made_up(census, carrier, steps, tasks))
    }
}
