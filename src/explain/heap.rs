//! What a search of the whole memory has found, in lists for a person: coroutines that were never
//! started, generators that nobody iterates, failed futures that nothing lists, locks and their like,
//! each with who refers to it.

mod owners;

use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::asyncio::{ChainEnd, Modules, Reading, Thing};
use crate::memory::Address;
use crate::python::heap::Heap;
use crate::python::object::{Kind, Reader};
use crate::snapshot::{
    Frame, HeapGroup, HeapKind, HeapList, HeapOwner, HeapSearch, Location, Owned,
};
use owners::Owners;

/// Things of one kind whose owners are looked for.
const MAX_OWNED: usize = 4000;
/// Groups of one kind that are listed.
const MAX_GROUPS: usize = 20;
/// Things of one group that are named.
const MAX_FIRST: usize = 5;
/// Things looked at together: their pages have room in the cache.
const GROUP: usize = 1024;
/// How much of an object is read at first.
const OBJECT_LEN: u64 = 256;

/// The order of the lists.
const KINDS: [HeapKind; 8] = [
    HeapKind::NeverStarted,
    HeapKind::OpenGenerator,
    HeapKind::FailedFuture,
    HeapKind::Event,
    HeapKind::Lock,
    HeapKind::Semaphore,
    HeapKind::Condition,
    HeapKind::Queue,
];

/// The objects of the classes that are looked for.
pub(crate) struct Census<'a> {
    reader: Reader<'a>,
    reading: &'a Reading,
    heap: &'a Heap<'a>,
    modules: Modules,
    objects: Vec<(Address, HeapKind)>,
    began: Instant,
}

impl<'a> Census<'a> {
    /// Searches for them; `None` when they are too many or the time was over.
    ///
    /// Unless `is_whole` only for tasks.
    pub fn take(
        reader: Reader<'a>,
        reading: &'a Reading,
        heap: &'a Heap<'a>,
        is_whole: bool,
    ) -> Option<Self> {
        let began = Instant::now();
        let mut modules = Modules::new();
        let mut kinds: FxHashMap<Address, HeapKind> = FxHashMap::default();
        if is_whole {
            for (interpreter, ..) in &reading.registries {
                let more = reader.all_modules(interpreter);
                kinds.extend(reader.sought_classes(&more));
                modules.extend(more);
            }
        }
        let own = reading.registries.iter().filter_map(|(_, it, _)| reader.task_class(it));
        let of_tasks = reading.tasks.iter().map(|task| task.class.at);
        kinds.extend(own.chain(of_tasks).map(|class| (class, HeapKind::FailedFuture)));
        let found = heap.instances(&kinds.keys().copied().collect())?;
        let field = reader.layout.object.ob_type;
        let kind = |at: Address| kinds.get(&reader.memory.pointer(at.offset(field)).ok()?).copied();
        let mut objects = Vec::with_capacity(found.len());
        for group in found.chunks(GROUP) {
            reader.make_room();
            reader.memory.prefetch(group.iter().map(|at| (*at, 16)));
            objects.extend(group.iter().filter_map(|at| Some((*at, kind(*at)?))));
        }
        Some(Self { reader, reading, heap, modules, objects, began })
    }

    /// The tasks among them.
    pub fn tasks(&self) -> Vec<Address> {
        let futures = self.objects.iter().filter(|(_, kind)| *kind == HeapKind::FailedFuture);
        let tasks = futures.map(|(at, _)| *at);
        tasks.filter(|at| self.reader.kind_of(*at).is_ok_and(Kind::is_task)).collect()
    }

    /// Those among them that are to be listed, with who refers to them.
    pub fn lists(&self) -> HeapSearch {
        let things = self.things();
        let owners = Owners::search(self.reader, self.reading, self.heap, &self.modules, &things);
        // All that was found is of different moments: what counts is what is still there.
        self.reader.memory.clear();
        let mut lists = Vec::new();
        for kind in KINDS {
            let of_kind: Vec<&Thing> = things.iter().filter(|thing| thing.kind == kind).collect();
            lists.extend(self.list(kind, &of_kind, owners.as_ref()));
        }
        HeapSearch {
            bytes: self.heap.bytes(),
            elapsed: self.began.elapsed(),
            swapped: 0,
            has_owners: owners.is_some(),
            lists,
        }
    }

    /// What is in a state that is listed.
    fn things(&self) -> Vec<Thing> {
        let reader = &self.reader;
        let tasks = self.tasks();
        let mut taken: FxHashSet<Address> =
            tasks.iter().filter_map(|at| reader.coroutine_of(*at)).collect();
        // What a registry lists, or somebody waits for, is no leftover.
        taken.extend(&self.reading.registered);
        for task in &self.reading.tasks {
            taken.extend(task.coro.into_iter().chain(task.fut_waiter));
            if let ChainEnd::Future(future) = task.end {
                taken.insert(future);
            }
        }
        let mut things = Vec::new();
        for group in self.objects.chunks(GROUP) {
            reader.make_room();
            reader.memory.prefetch(group.iter().map(|(at, _)| (*at, OBJECT_LEN)));
            let free = group.iter().filter(|(at, _)| !taken.contains(at));
            things.extend(free.filter_map(|(at, kind)| reader.thing(*at, *kind)));
        }
        things
    }

    /// `None` when it is not known which of them are to be listed.
    fn list(
        &self,
        kind: HeapKind,
        things: &[&Thing],
        owners: Option<&Owners<'_>>,
    ) -> Option<HeapList> {
        // That nobody iterates one or will look at it shows by its owners alone.
        let is_by_owners = matches!(kind, HeapKind::OpenGenerator | HeapKind::FailedFuture);
        if is_by_owners && (owners.is_none() || things.len() > MAX_OWNED) {
            return None;
        }
        let mut groups: Vec<HeapGroup> = Vec::new();
        let mut places: FxHashMap<Key, usize> = FxHashMap::default();
        let mut count = 0;
        for (part, chunk) in things.chunks(GROUP).enumerate() {
            self.reader.make_room();
            self.reader.memory.prefetch(chunk.iter().map(|thing| (thing.at, OBJECT_LEN)));
            for (number, thing) in (part * GROUP..).zip(chunk) {
                let Some(now) = self.again(thing) else { continue };
                let searched = owners.filter(|_| number < MAX_OWNED);
                let (owned, of_thing) = match searched.map(|owners| owners.of(&now)) {
                    Some(Some(found)) => found,
                    Some(None) => continue,
                    None => (Owned::NotSearched, Vec::new()),
                };
                count += 1;
                let key = Key::of(&now, owned, &of_thing);
                let place = *places.entry(key).or_insert(groups.len());
                match groups.get_mut(place) {
                    Some(group) => add(group, &now),
                    None => groups.push(group(&now, owned, of_thing)),
                }
            }
        }
        groups.sort_by_key(|group| std::cmp::Reverse((group.waiting, group.count)));
        let groups_left_out = groups.len().saturating_sub(MAX_GROUPS) as u64;
        groups.truncate(MAX_GROUPS);
        Some(HeapList { kind, count, groups, groups_left_out })
    }

    /// The same thing as it is now, if it is still there.
    fn again(&self, thing: &Thing) -> Option<Thing> {
        let now = self.reader.thing(thing.at, thing.kind)?;
        let is_same = (&now.name, &now.place) == (&thing.name, &thing.place);
        (self.reader.is_tracked(thing.at) && is_same).then_some(now)
    }
}

/// By what things are alike.
#[derive(PartialEq, Eq, Hash)]
struct Key(String, Option<std::sync::Arc<Location>>, Option<std::sync::Arc<str>>, Owned, String);

impl Key {
    fn of(thing: &Thing, owned: Owned, owners: &[HeapOwner]) -> Self {
        let owners = owners.iter().map(|owner| {
            let place =
                owner.frame.as_ref().map(|frame| (&frame.location.function, frame.location.line));
            format!("{:?} {} {place:?} {:?}\n", owner.kind, owner.name, owner.through)
        });
        let (place, exception) = (thing.place.clone(), thing.exception.clone());
        Self(thing.name.to_string(), place, exception, owned, owners.collect())
    }
}

fn group(thing: &Thing, owned: Owned, owners: Vec<HeapOwner>) -> HeapGroup {
    let mut group = HeapGroup {
        name: thing.name.to_string(),
        place: thing.place.clone().map(|location| Frame { location, locals: None }),
        exception: thing.exception.as_deref().map(str::to_owned),
        owners,
        owned,
        ..HeapGroup::default()
    };
    add(&mut group, thing);
    group
}

/// Adds a thing to a group of its like.
fn add(group: &mut HeapGroup, thing: &Thing) {
    if group.count > 0 {
        // A key is that of one thing.
        group.owners.iter_mut().for_each(|owner| owner.key = None);
    }
    group.count += 1;
    let on = thing.is_on.map(u64::from);
    match thing.kind {
        HeapKind::Event => sum(&mut group.set, on),
        HeapKind::Lock | HeapKind::Condition => sum(&mut group.locked, on),
        HeapKind::Semaphore => {
            group.free = thing.amount.map(|more| group.free.unwrap_or(0).saturating_add(more));
        }
        HeapKind::Queue => {
            sum(&mut group.items, thing.amount.and_then(|amount| u64::try_from(amount).ok()));
        }
        _ => {}
    }
    sum(&mut group.waiting, thing.waiting);
    if group.first.len() < MAX_FIRST {
        group.first.push(thing.at);
    }
}

fn sum(all: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *all = Some(all.unwrap_or(0).saturating_add(more));
    }
}
