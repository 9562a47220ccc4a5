//! Who refers to a thing, by the names that a person knows: an attribute, a variable, a global.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::MAX_OWNED;
use crate::asyncio::{Modules, Reading, Thing};
use crate::memory::Address;
use crate::python::frame::{Progress, RawFrame};
use crate::python::heap::{Heap, Holder, Holders, Way};
use crate::python::object::{Kind, Reader};
use crate::snapshot::{Frame, HeapKind, HeapOwner, Owned, OwnerKind};

/// Owners of one thing that are named.
const MAX_OWNERS: usize = 4;
/// Collections and others between a thing and its owner.
const MAX_STEPS: usize = 3;
/// Global variables of one module that are looked at.
const MAX_GLOBALS: u64 = 4096;
/// What a bound method is called.
const METHODS: [&str; 1] = ["method"];
/// The longest key that is taken for a name.
const MAX_KEY: usize = 32;

/// Who refers to things.
pub(super) struct Owners<'a> {
    reader: Reader<'a>,
    holders: Holders,
    /// The dictionaries of modules with their names.
    modules: FxHashMap<Address, Arc<str>>,
    /// What global variables refer to: the module's dictionary and the name.
    globals: FxHashMap<Address, (Address, Address)>,
    /// What variables of functions refer to that run on threads.
    variables: FxHashMap<Address, (RawFrame, Arc<str>)>,
    /// What may be on the stacks of these.
    on_stacks: FxHashMap<Address, RawFrame>,
    /// What their functions have yet to read, or asyncio's own have: such a coroutine is about to
    /// be started.
    in_hand: FxHashSet<Address>,
}

/// What lies between a thing and what is looked at.
#[derive(Clone, Default)]
struct Trail {
    through: Vec<String>,
    key: Option<String>,
    steps: usize,
}

impl Trail {
    fn owner(&self, kind: OwnerKind, name: String) -> HeapOwner {
        HeapOwner { kind, name, frame: None, through: self.through.clone(), key: self.key.clone() }
    }

    /// Whether nothing but a method is between.
    fn is_through_method(&self) -> bool {
        self.through == METHODS
    }

    /// The same with one thing more between.
    fn on(&self, word: Option<&str>, key: Option<String>) -> Self {
        let through = self.through.iter().cloned().chain(word.map(str::to_owned));
        let key = key.or_else(|| self.key.clone());
        Self { through: through.collect(), key, steps: self.steps + 1 }
    }
}

/// What was learnt of the owners of a thing.
#[derive(Default)]
struct Found {
    owners: Vec<HeapOwner>,
    /// How often one was found, be it known already.
    seen: u64,
    /// References from the frames of those who wait at it.
    waits: u64,
    /// Whether somebody iterates it or will look at it, or may do so.
    is_in_use: bool,
}

impl Found {
    fn add(&mut self, owner: HeapOwner) {
        self.seen += 1;
        if !self.owners.contains(&owner) {
            self.owners.push(owner);
        }
    }
}

impl<'a> Owners<'a> {
    /// Searches for them; `None` when the time was over.
    pub fn search(
        reader: Reader<'a>,
        reading: &Reading,
        heap: &Heap<'_>,
        modules: &Modules,
        things: &[Thing],
    ) -> Option<Self> {
        let mut owners = Self {
            reader,
            holders: Holders::default(),
            modules: modules.iter().map(|(name, dict)| (*dict, Arc::clone(name))).collect(),
            globals: FxHashMap::default(),
            variables: FxHashMap::default(),
            on_stacks: FxHashMap::default(),
            in_hand: FxHashSet::default(),
        };
        for (_, dict) in modules {
            reader.make_room();
            for (name, value) in reader.dict(*dict, MAX_GLOBALS).unwrap_or_default() {
                owners.globals.entry(value).or_insert((*dict, name));
            }
        }
        let of_kind = things.iter().filter(|thing| thing.kind == HeapKind::NeverStarted);
        let never_started: FxHashSet<Address> = of_kind.map(|thing| thing.at).collect();
        for frame in reading.threads.iter().flat_map(|thread| &thread.stack.frames) {
            let is_asyncio = reader.code(frame.code).is_ok_and(|code| code.place.is_asyncio());
            for (name, value) in reader.locals(frame).unwrap_or_default() {
                let is_read = || reader.reads_variable_named(frame, &name) != Some(false);
                if is_asyncio || never_started.contains(&value) && is_read() {
                    owners.in_hand.insert(value);
                }
                owners.variables.entry(value).or_insert((*frame, name));
            }
            for value in reader.on_stack_of_running(frame).unwrap_or_default() {
                owners.on_stacks.entry(value).or_insert(*frame);
            }
        }
        let mut counts: FxHashMap<HeapKind, usize> = FxHashMap::default();
        let wanted: FxHashSet<Address> = things
            .iter()
            .filter(|thing| {
                let count = counts.entry(thing.kind).or_default();
                *count += 1;
                *count <= MAX_OWNED
            })
            .map(|thing| thing.at)
            .collect();
        let collections = reader.collection_classes(modules);
        let is_known = |at| owners.modules.contains_key(&at) || owners.is_root(at);
        owners.holders = heap.holders(&wanted, &collections, &is_known)?;
        Some(owners)
    }

    fn is_root(&self, at: Address) -> bool {
        self.globals.contains_key(&at) || self.variables.contains_key(&at)
    }

    /// Those of a thing; `None` when it shows by them that it is none to be listed.
    pub fn of(&self, thing: &Thing) -> Option<(Owned, Vec<HeapOwner>)> {
        let mut found =
            Found { is_in_use: self.on_stacks.contains_key(&thing.at), ..Found::default() };
        let mut open = vec![(thing.at, None, Trail::default())];
        while let Some((at, word, trail)) = open.pop() {
            let before = (found.seen, open.len());
            let is_in_hand = self.in_hand.contains(&at) || self.on_stacks.contains_key(&at);
            found.is_in_use |= thing.kind == HeapKind::NeverStarted && is_in_hand;
            if let Some((frame, name)) = self.variables.get(&at) {
                self.add_variable(thing, frame, Some(name), &trail, &mut found);
            }
            if let Some((dict, name)) = self.globals.get(&at) {
                self.add_global(*dict, *name, &trail, &mut found);
            }
            for holder in self.holders.of(at) {
                open.extend(self.step(thing, holder, &trail, &mut found));
            }
            // A collection that nothing known refers to.
            let is_end = (found.seen, open.len()) == before;
            if let Some(word) = word.filter(|_| is_end) {
                let name = String::from(word);
                let mut owner = trail.owner(OwnerKind::Collection, name);
                owner.through.pop();
                found.add(owner);
            }
        }
        let references = self.reader.references(thing.at);
        let owned = match found.owners.is_empty() {
            false => Owned::Found,
            true if references == Some(found.waits) => Owned::ByWaiters,
            true => Owned::NotFound,
        };
        let is_listed = match thing.kind {
            // Only one whose owners are known is known not to be iterated, or about to be started.
            HeapKind::OpenGenerator | HeapKind::NeverStarted => {
                owned == Owned::Found && !found.is_in_use
            }
            HeapKind::FailedFuture => !found.is_in_use,
            _ => true,
        };
        found.owners.sort_by_key(|owner| rank(owner.kind));
        // Of a method that is just being called no more is known.
        if found.owners.first().is_some_and(|owner| owner.kind != OwnerKind::Collection) {
            found.owners.retain(|owner| {
                owner.kind != OwnerKind::Collection || !METHODS.contains(&&*owner.name)
            });
        }
        found.owners.truncate(MAX_OWNERS);
        is_listed.then_some((owned, found.owners))
    }

    /// Takes in one that refers to a thing, or to what it is in; gives it if what refers to that is
    /// to be looked at in its place.
    fn step(
        &self,
        thing: &Thing,
        holder: &Holder,
        trail: &Trail,
        found: &mut Found,
    ) -> Option<(Address, Option<&'static str>, Trail)> {
        let reader = &self.reader;
        let class = reader.class_of(holder.at).ok()?;
        // A task that was made since the search for tasks will start it.
        found.is_in_use |= thing.kind == HeapKind::NeverStarted && class.kind.is_task();
        match &holder.way {
            Way::Variable(_) | Way::Stack => {
                let name = match &holder.way {
                    Way::Variable(name) => Some(name),
                    _ => None,
                };
                let generator = reader.generator(holder.at);
                let waits = generator.is_ok_and(|it| matches!(it.progress, Progress::Awaiting(_)));
                let frame = match generator {
                    Ok(generator) => generator.frame?,
                    Err(_) => reader.frame_of_object(holder.at).ok()?,
                };
                // `await lock.acquire()`: who waits at it has it as `self`.
                let is_self = name.is_some_and(|name| **name == *"self");
                let code = reader.code(frame.code).ok()?;
                if waits && is_self && trail.steps == 0 && code.place.is_asyncio() {
                    found.waits += 1;
                    return None;
                }
                self.add_variable(thing, &frame, name, trail, found);
            }
            Way::Attribute(name) => {
                let class = reader.class_name(&class);
                // A condition has the methods of its lock as attributes.
                if is_of_asyncio(&class) && trail.is_through_method() {
                    found.seen += 1;
                    return None;
                }
                found.is_in_use |= is_used_by(thing, &class);
                found.add(trail.owner(OwnerKind::Attribute, format!("{class}.{name}")));
            }
            Way::Key(name) if self.modules.contains_key(&holder.at) => {
                self.add_global(holder.at, *name, trail, found);
            }
            Way::Key(name) if self.is_of_attributes(holder.at) => {
                let name = reader.name(*name).ok()?;
                for of_dict in self.holders.of(holder.at) {
                    let class = match reader.kind_of(of_dict.at) {
                        Ok(Kind::Type) => reader.class(of_dict.at),
                        _ => reader.class_of(of_dict.at),
                    };
                    let class = class.ok()?;
                    let class = reader.class_name(&class);
                    if is_of_asyncio(&class) && trail.is_through_method() {
                        found.seen += 1;
                        continue;
                    }
                    found.is_in_use |= is_used_by(thing, &class);
                    found.add(trail.owner(OwnerKind::Attribute, format!("{class}.{name}")));
                }
            }
            Way::Key(_) | Way::Item | Way::Inner if passes_on(class.kind) => {
                let key = match &holder.way {
                    Way::Key(name) => self.plain_name(*name),
                    _ => None,
                };
                let word = word(class.kind);
                if trail.steps < MAX_STEPS {
                    return Some((holder.at, word, trail.on(word, key)));
                }
                found.add(trail.owner(OwnerKind::Collection, word.unwrap_or("cell").to_owned()));
            }
            Way::Inner if class.kind == Kind::Function => {
                let name = reader.function_name(holder.at).ok()?;
                let owner = trail.owner(OwnerKind::Closure, name.to_string());
                found.add(HeapOwner { through: Vec::new(), ..owner });
            }
            Way::Key(_) | Way::Item | Way::Inner | Way::Dict => {
                // Compiled code may iterate it.
                found.is_in_use |= thing.kind == HeapKind::OpenGenerator && !class.is_python();
                let class = reader.class_name(&class).to_string();
                found.add(trail.owner(OwnerKind::Object, class));
            }
        }
        None
    }

    /// Whether a dictionary is that of the attributes of an instance or a class.
    fn is_of_attributes(&self, dict: Address) -> bool {
        self.holders.of(dict).iter().any(|holder| holder.way == Way::Dict)
    }

    fn add_variable(
        &self,
        thing: &Thing,
        frame: &RawFrame,
        name: Option<&Arc<str>>,
        trail: &Trail,
        found: &mut Found,
    ) {
        let site = self.reader.site(frame.code, frame.lasti, frame.qualname);
        let Ok(location) = site.map(|site| site.location) else { return };
        let is_asyncio = location.is_asyncio();
        found.is_in_use |= match thing.kind {
            HeapKind::OpenGenerator => name.is_none(),
            // `wait`, `gather` and their like look at what has failed.
            HeapKind::FailedFuture => is_asyncio,
            _ => false,
        };
        let kind = if name.is_some() { OwnerKind::Variable } else { OwnerKind::Stack };
        let name = name.map(ToString::to_string).unwrap_or_default();
        let frame = Some(Frame { location, locals: None });
        let mut owner = HeapOwner { frame, ..trail.owner(kind, name) };
        // What was entered is there by its `__exit__`.
        if kind == OwnerKind::Stack && trail.is_through_method() {
            owner.through.clear();
        }
        found.add(owner);
    }

    fn add_global(&self, dict: Address, name: Address, trail: &Trail, found: &mut Found) {
        if let (Some(module), Ok(name)) = (self.modules.get(&dict), self.reader.name(name)) {
            found.add(trail.owner(OwnerKind::Global, format!("{module}.{name}")));
        }
    }

    /// A key that is plainly a name: anything else may be a value that nobody is to see.
    fn plain_name(&self, key: Address) -> Option<String> {
        let text = self.reader.is_kind(key, Kind::Str).then(|| self.reader.str(key, MAX_KEY));
        let is_plain = |text: &String| {
            let is_letter = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | '.');
            (1..MAX_KEY).contains(&text.len()) && text.chars().all(is_letter)
        };
        text?.ok().filter(is_plain)
    }
}

/// In which order owners are named.
fn rank(kind: OwnerKind) -> u8 {
    match kind {
        OwnerKind::Attribute => 0,
        OwnerKind::Global => 1,
        OwnerKind::Variable => 2,
        OwnerKind::Stack => 3,
        OwnerKind::Closure => 4,
        OwnerKind::Collection => 5,
        OwnerKind::Object => 6,
    }
}

/// Whether an object of a class uses the thing that it has, or looks at it.
fn is_used_by(thing: &Thing, class: &str) -> bool {
    match thing.kind {
        HeapKind::OpenGenerator => class.starts_with("contextlib."),
        HeapKind::FailedFuture => is_of_asyncio(class),
        _ => false,
    }
}

/// Whether a class is asyncio's own.
fn is_of_asyncio(class: &str) -> bool {
    class.starts_with("asyncio.")
}

fn passes_on(kind: Kind) -> bool {
    word(kind).is_some() || kind == Kind::Cell
}

/// What a person calls a collection.
fn word(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Dict => "dict",
        Kind::List => "list",
        Kind::Tuple => "tuple",
        Kind::Set => "set",
        Kind::FrozenSet => "frozenset",
        Kind::Deque => "deque",
        Kind::Method | Kind::Builtin => "method",
        Kind::Partial => "partial",
        _ => return None,
    })
}
