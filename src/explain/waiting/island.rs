//! Which of the things that tasks wait for nobody else can come to, by a search of the heap.
//!
//! Whoever resolves a future or sets an event has a reference to it, or to something that leads
//! there. So: the thing, all that refers to it, all that refers to these, and so on. If that ends at
//! tasks that hang by this very wait, and every reference is accounted for, it is an island: nothing
//! will ever come from outside. If it leads to anything that may act by itself (another task, a
//! module, a weak reference), or if references are missing in the sum, somebody else knows it.
//!
//! The sum is what proves it: Python counts the references to each object, whoever holds them, be it
//! a thread's stack or an extension written in C. The search finds who they are, and what Python
//! doesn't count: weak references. What was found is read again in the end, all of it at nearly one
//! moment.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Reasons;
use crate::memory::Address;
use crate::python::heap::{Heap, Word};
use crate::python::object::Kind;
use crate::snapshot::{Task, Wait, Waiting};

/// Things that are looked at; of more the first ones by address.
const MAX_THINGS: usize = 256;
/// Searches of the memory. What is on an island hangs together with the frames on it, and is found
/// from there; a second search finds what else refers to it, such as garbage that nobody collects.
const MAX_SEARCHES: usize = 2;
/// Objects that the tasks which hang lead to and that are looked at.
const MAX_SURVEYED: usize = 1000;
/// Objects of one island.
const MAX_MEMBERS: usize = 200;

/// A thing with those who wait at it.
struct Suspect<'t> {
    /// The thing, and the futures of those who wait at it.
    things: Vec<Address>,
    waiters: Vec<&'t Task>,
    /// Whose frames are on the island: those who wait, and those who wait for nothing but these.
    hanging: Hanging,
    /// What is on the island, as far as that is known.
    members: FxHashSet<Address>,
    /// Whether all references to these are accounted for.
    is_closed: bool,
    /// Objects that a search has found.
    found: FxHashSet<Address>,
}

impl Suspect<'_> {
    fn has(&self, word: &Word) -> bool {
        self.members.contains(&word.value)
    }
}

/// Tasks that go on only when the thing lets them.
#[derive(Default)]
struct Hanging {
    tasks: FxHashSet<Address>,
    /// Where they are among all tasks.
    places: Vec<usize>,
    /// What their frames are of, and where these are.
    frames: FxHashSet<Address>,
}

/// Who refers to what on an island.
#[derive(Default)]
struct Survey {
    /// References from the frames and from the tasks that hang.
    inner: FxHashMap<Address, u64>,
    /// References from other objects, once for each.
    owners: FxHashMap<Address, Vec<Address>>,
    surveyed: FxHashSet<Address>,
}

/// What a survey says.
enum Outcome {
    /// All references are accounted for.
    Closed(FxHashSet<Address>),
    /// Not those to all of these.
    Open(FxHashSet<Address>),
    /// Something leads there that acts by itself.
    Known,
}

/// Who waits for whom.
struct Awaits<'t> {
    places: FxHashMap<Address, usize>,
    awaited: FxHashMap<Address, Vec<Address>>,
    tasks: &'t [Task],
    all: &'t [Option<Box<Waiting>>],
}

impl<'t> Awaits<'t> {
    fn new(tasks: &'t [Task], all: &'t [Option<Box<Waiting>>]) -> Self {
        let mut awaited: FxHashMap<Address, Vec<Address>> = FxHashMap::default();
        for task in tasks {
            for &awaiter in &task.awaited_by {
                awaited.entry(awaiter).or_default().push(task.id);
            }
        }
        let places = tasks.iter().enumerate().map(|(place, task)| (task.id, place)).collect();
        Self { places, awaited, tasks, all }
    }

    /// What a task waits for, unless there is a limit to that, its own or that of who awaits it.
    fn waiting(&self, place: usize) -> Option<&'t Waiting> {
        let task = self.tasks.get(place)?;
        let waiting = self.all.get(place)?.as_deref()?;
        let awaiters = task.awaited_by.iter().filter_map(|id| self.places.get(id).copied());
        let is_whole = !task.is_partly_read() && task.is_parked();
        (is_whole && !std::iter::once(place).chain(awaiters).any(|it| self.is_limited(it)))
            .then_some(waiting)
    }

    fn is_limited(&self, place: usize) -> bool {
        let waiting = self.all.get(place).and_then(|waiting| waiting.as_deref());
        waiting.is_some_and(|it| !it.deadlines.is_empty() || it.due_in.is_some())
    }

    /// Where a task is that waits for nothing but some of these, all of which are needed.
    ///
    /// One that would be woken by its own cancellation, before that comes to these, doesn't count:
    /// `await asyncio.wait([worker])` with `stop.set()` in its `finally` is how many a program ends.
    fn hangs_by(&self, id: Address, tasks: &FxHashSet<Address>) -> Option<usize> {
        let place = *self.places.get(&id)?;
        let waiting = self.waiting(place)?;
        if let Wait::Task { operation: Some(_), .. } = waiting.wait {
            return None;
        }
        let children = waiting.others()?.children.as_ref()?;
        let awaited = self.awaited.get(&id)?;
        let is_all = children.pending == awaited.len() as u64;
        (is_all && awaited.iter().all(|task| tasks.contains(task))).then_some(place)
    }
}

impl Reasons<'_> {
    /// The tasks that wait, without a limit, for something that nobody else can come to.
    pub(crate) fn on_islands(
        &self,
        all: &[Option<Box<Waiting>>],
        tasks: &[Task],
        heap: &Heap<'_>,
    ) -> FxHashSet<Address> {
        let awaits = Awaits::new(tasks, all);
        let mut suspects = self.island_suspects(&awaits);
        let mut searched: FxHashSet<Address> = FxHashSet::default();
        let mut loose: Vec<Word> = Vec::new();
        for _ in 0..MAX_SEARCHES {
            let mut wanted = FxHashSet::default();
            suspects.retain_mut(|suspect| {
                let (members, is_closed) = match self.judged(suspect) {
                    Outcome::Closed(members) => (members, true),
                    Outcome::Open(members) => (members, false),
                    Outcome::Known => return false,
                };
                let is_new = !members.is_subset(&searched);
                wanted.extend(members.difference(&searched));
                suspect.members = members;
                suspect.is_closed = is_closed;
                is_closed || is_new || loose.iter().any(|word| suspect.has(word))
            });
            loose.retain(|word| suspects.iter().any(|it| !it.is_closed && it.has(word)));
            if suspects.is_empty() || wanted.is_empty() && loose.is_empty() {
                break;
            }
            let Some(referrers) = heap.referrers(&wanted, &loose) else {
                return FxHashSet::default();
            };
            searched.extend(wanted);
            for suspect in &mut suspects {
                let owners = suspect.members.iter().filter_map(|at| referrers.objects.get(at));
                suspect.found.extend(owners.flatten());
            }
            loose = referrers.loose;
        }
        // All that was found is of different moments.
        self.reader.memory.clear();
        let proven = suspects.iter().filter(|suspect| match self.judged(suspect) {
            Outcome::Closed(members) => members.is_subset(&searched),
            Outcome::Open(_) | Outcome::Known => false,
        });
        proven.flat_map(|suspect| &suspect.waiters).map(|task| task.id).collect()
    }

    fn island_suspects<'t>(&self, awaits: &Awaits<'t>) -> Vec<Suspect<'t>> {
        let mut places: FxHashMap<Address, Vec<usize>> = FxHashMap::default();
        for place in 0..awaits.tasks.len() {
            let waiting = awaits.waiting(place);
            let is_one = |waiting: &&Waiting| {
                matches!(waiting.wait, Wait::Future { .. } | Wait::Event(_) | Wait::Condition(_))
            };
            if let Some(object) = waiting.filter(is_one).and_then(|waiting| waiting.object) {
                places.entry(object).or_default().push(place);
            }
        }
        let mut all: Vec<(Address, Vec<usize>)> = places.into_iter().collect();
        all.sort_unstable_by_key(|(object, _)| *object);
        all.truncate(MAX_THINGS);
        let suspect = |(object, places): (Address, Vec<usize>)| {
            let waiters = || places.iter().filter_map(|place| awaits.tasks.get(*place));
            let futures = waiters().filter_map(|task| task.fut_waiter);
            let mut things: Vec<Address> = futures.chain([object]).collect();
            things.sort_unstable();
            things.dedup();
            let waiters = waiters().collect();
            let hanging = self.hanging(&places, awaits);
            Suspect {
                things,
                waiters,
                hanging,
                members: FxHashSet::default(),
                is_closed: false,
                found: FxHashSet::default(),
            }
        };
        all.into_iter().map(suspect).collect()
    }

    fn hanging(&self, waiters: &[usize], awaits: &Awaits<'_>) -> Hanging {
        let mut hanging = Hanging { places: waiters.to_vec(), ..Hanging::default() };
        let id = |place: &usize| awaits.tasks.get(*place).map(|task| task.id);
        hanging.tasks.extend(waiters.iter().filter_map(id));
        let mut next = 0;
        while let Some(&place) = hanging.places.get(next) {
            next += 1;
            let task = awaits.tasks.get(place);
            for &awaiter in task.map_or(&[][..], |task| &task.awaited_by) {
                if !hanging.tasks.contains(&awaiter)
                    && let Some(place) = awaits.hangs_by(awaiter, &hanging.tasks)
                {
                    hanging.tasks.insert(awaiter);
                    hanging.places.push(place);
                }
            }
        }
        let chains = hanging.places.iter().filter_map(|place| self.chains.get(*place));
        let frames = chains.flat_map(|chain| chain.iter());
        hanging.frames.extend(frames.flat_map(|frame| [frame.at, frame.generator]));
        hanging
    }

    /// What is known now of an island.
    fn judged(&self, suspect: &Suspect<'_>) -> Outcome {
        let survey = self.survey(suspect);
        let mut members: FxHashSet<Address> = FxHashSet::default();
        let mut next = suspect.things.clone();
        let mut is_closed = true;
        while let Some(member) = next.pop() {
            if !members.insert(member) {
                continue;
            }
            if members.len() > MAX_MEMBERS {
                return Outcome::Known;
            }
            let owners = survey.owners.get(&member).map_or(&[][..], |owners| &owners[..]);
            let inner = survey.inner.get(&member).copied().unwrap_or_default();
            let counted = inner + owners.len() as u64;
            match self.reader.references(member) {
                Some(references) if references == counted => {}
                Some(references) if references > counted => is_closed = false,
                _ => return Outcome::Known,
            }
            if owners.iter().any(|owner| self.acts(*owner)) {
                return Outcome::Known;
            }
            next.extend(owners);
        }
        let is_weakly_known =
            |at: &Address| self.reader.is_weakly_to(*at, |to| members.contains(&to));
        match suspect.found.iter().any(is_weakly_known) {
            true => Outcome::Known,
            false if is_closed => Outcome::Closed(members),
            false => Outcome::Open(members),
        }
    }

    /// Whether an object may do something without being asked: a loop, a task that doesn't hang, a
    /// weak reference with a callback.
    fn acts(&self, at: Address) -> bool {
        let kind = self.reader.kind_of(at);
        kind.is_ok_and(|kind| kind.is_task() || matches!(kind, Kind::Weakref | Kind::Type))
            || self.reading.loops.iter().any(|facts| facts.at == at)
    }

    /// What refers to what, beginning with the tasks that hang.
    fn survey(&self, suspect: &Suspect<'_>) -> Survey {
        let mut survey = Survey::default();
        let mut inner = Vec::new();
        for &place in &suspect.hanging.places {
            for frame in self.chains.get(place).into_iter().flat_map(|chain| chain.iter()) {
                inner.extend(self.reader.references_of_frame(frame).unwrap_or_default());
            }
        }
        for &task in &suspect.hanging.tasks {
            inner.extend(self.reader.references_from(task).ok().flatten().unwrap_or_default());
        }
        for &at in &inner {
            *survey.inner.entry(at).or_default() += 1;
        }
        let mut next: Vec<Address> = suspect.found.iter().copied().chain(inner).collect();
        let mut at = 0;
        while let Some(&owner) = next.get(at)
            && survey.surveyed.len() < MAX_SURVEYED
        {
            at += 1;
            let hanging = &suspect.hanging;
            let is_inner = hanging.tasks.contains(&owner) || hanging.frames.contains(&owner);
            if is_inner || !survey.surveyed.insert(owner) {
                continue;
            }
            // Where such a one leads is no part of the island.
            let goes_on = !self.acts(owner);
            for to in self.reader.references_from(owner).ok().flatten().unwrap_or_default() {
                survey.owners.entry(to).or_default().push(owner);
                next.extend(goes_on.then_some(to));
            }
        }
        survey
    }
}
