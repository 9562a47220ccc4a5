//! Who has an object, and under which name: from it to what refers to that, and on through what only
//! passes on, such as a list, a dictionary or a cell, to something that a person knows by name.
//!
//! A step takes one pass over the memory. It finds the words with the address of what is looked for;
//! most lie in an object that has them itself. The others lie in a block of a collection. Which one is
//! found in the next pass, from the collections: their class is known, and where each has its block.
//!
//! As in all of such a search, nothing counts but what an object that lives has when it is decoded.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Filter, GROUP, Heap, TAGS, Word};
use crate::layout::Layout;
use crate::memory::{Address, sweep};
use crate::python::frame::Slot;
use crate::python::object::{Kind, Reader, is_alive};

/// Words of one object that are looked at: a lock has three for each task that waits at it.
const MAX_WORDS: u32 = 4096;
/// Words that are looked at in one pass.
const MAX_PLACES: usize = 1 << 17;
/// How much memory all passes together read; and how many there are at least, and at most.
const MAX_SWEPT: u64 = 4 << 30;
const PASSES: (u64, u64) = (3, 6);
/// Words before one in an array of an instance's values, where such arrays lie on their own.
// 3.11, 3.12: Include/internal/pycore_dict.h, SHARED_KEYS_MAX_SIZE, and what lies before them.
const MAX_VALUES: u64 = 34;
/// Words for which such an array is looked for.
const MAX_VALUE_WORDS: usize = 4096;
/// Values that a dictionary with shared keys has.
const MAX_SPLIT: u64 = 256;
/// Bytes of a deque's block.
const DEQUE_BLOCK: u64 = 528;

/// One that refers to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Where it is: a coroutine or generator for what its frame has.
    pub at: Address,
    /// By what.
    pub way: Way,
}

/// By what one refers to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// An attribute or slot of an instance.
    Attribute(Arc<str>),
    /// A variable of a frame.
    Variable(Arc<str>),
    /// What a frame has on its stack, such as what it iterates over or has entered.
    Stack,
    /// A value in a dictionary, under this key.
    Key(Address),
    /// An item.
    Item,
    /// It is the dictionary of an instance's or class's attributes.
    Dict,
    /// Something else in it: what a cell or a method stands for, a callback of a future.
    Inner,
}

/// Who refers to what.
#[derive(Debug, Default)]
pub struct Holders(FxHashMap<Address, Vec<Holder>>);

impl Holders {
    /// Who refers to an object, as far as that was found.
    pub fn of(&self, at: Address) -> &[Holder] {
        self.0.get(&at).map_or(&[], |holders| holders)
    }

    fn add(&mut self, to: Address, holder: Holder) {
        let known = self.0.entry(to).or_default();
        if !known.contains(&holder) {
            known.push(holder);
        }
    }
}

/// Whether something only passes on what it has: who has that is asked next.
fn passes_on(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Dict
            | Kind::List
            | Kind::Tuple
            | Kind::Set
            | Kind::FrozenSet
            | Kind::Deque
            | Kind::Cell
            | Kind::Method
            | Kind::Builtin
            | Kind::Partial
    )
}

impl Heap<'_> {
    /// Who refers to the wanted objects, step by step up to those that `is_known` knows by name.
    ///
    /// `collections` are the classes of lists, dictionaries and their like. `None` when the time was
    /// over.
    pub fn holders(
        &self,
        wanted: &FxHashSet<Address>,
        collections: &[(Address, Kind)],
        is_known: &dyn Fn(Address) -> bool,
    ) -> Option<Holders> {
        let mut found = Holders::default();
        let mut searched = FxHashSet::default();
        let mut open = wanted.clone();
        let mut loose: Vec<Word> = Vec::new();
        let (least, most) = PASSES;
        for _ in 0..(MAX_SWEPT / self.bytes().max(1)).clamp(least, most) {
            if open.is_empty() && loose.is_empty() {
                break;
            }
            let mut next: FxHashSet<Address> = FxHashSet::default();
            let pass = self.pass(&open, &loose, collections)?;
            searched.extend(open);
            // What was read before the pass is older than it.
            self.reader.memory.clear();
            self.note_blocks(&pass, &loose, &mut found, &mut next);
            loose = self.note_words(&pass, &mut found, &mut next);
            next.retain(|at| !searched.contains(at) && !is_known(*at));
            open = next;
        }
        Some(found)
    }

    /// Takes in what the collections have in whose blocks words lie that belonged to nobody.
    fn note_blocks(
        &self,
        pass: &Pass,
        loose: &[Word],
        found: &mut Holders,
        next: &mut FxHashSet<Address>,
    ) {
        let values: FxHashSet<Address> = loose.iter().map(|word| word.value).collect();
        for &at in &pass.collections {
            for (value, way) in self.reader.contents(at) {
                if values.contains(&value) {
                    found.add(value, Holder { at, way });
                    next.insert(at);
                }
            }
        }
        for word in &pass.words {
            let Some(contents) = pass.arrays.get(&word.value) else { continue };
            let before = self.reader.layout.attributes.values_before();
            let instance = before.map(|before| word.place.offset(before));
            let Some(at) = instance.filter(|at| self.reader.is_tracked(*at)) else { continue };
            for (name, value) in self.reader.attributes(at, MAX_SPLIT).unwrap_or_default() {
                if contents.contains(&value)
                    && let Ok(name) = self.reader.name(name)
                {
                    found.add(value, Holder { at, way: Way::Attribute(name) });
                }
            }
        }
    }

    /// Takes in the objects that have the words found; gives those that belong to nobody.
    fn note_words(
        &self,
        pass: &Pass,
        found: &mut Holders,
        next: &mut FxHashSet<Address>,
    ) -> Vec<Word> {
        let reader = &self.reader;
        let mut loose = Vec::new();
        for group in pass.words.chunks(GROUP) {
            reader.make_room();
            reader.memory.prefetch(group.iter().map(|word| (word.place.before(256), 264)));
            for word in group {
                if pass.arrays.contains_key(&word.value) {
                    continue;
                }
                match reader.holder_at(*word) {
                    Found::Holder(holder) => {
                        if reader.kind_of(holder.at).is_ok_and(passes_on) {
                            next.insert(holder.at);
                        }
                        found.add(word.value, holder);
                    }
                    Found::Nothing => {}
                    Found::Loose => loose.push(*word),
                }
            }
        }
        loose
    }

    /// One pass: where the wanted addresses are, and in which collections' blocks the loose words lie.
    fn pass(
        &self,
        wanted: &FxHashSet<Address>,
        loose: &[Word],
        collections: &[(Address, Kind)],
    ) -> Option<Pass> {
        let mut pass = Pass::default();
        if self.reader.layout.attributes.values_before().is_some() {
            for word in loose.iter().take(MAX_VALUE_WORDS) {
                for start in (0..=MAX_VALUES).map(|words| word.place.before(8 * words)) {
                    pass.arrays.entry(start).or_default().push(word.value);
                }
            }
        }
        let collections = if loose.is_empty() { &[] } else { collections };
        let mut blocks = Blocks::of(loose, self.reader.layout);
        let classes = collections.iter().map(|(class, _)| class);
        let filter = Filter::new(wanted.iter().chain(pass.arrays.keys()).chain(classes));
        let mut counts: FxHashMap<Address, u32> = FxHashMap::default();
        let memory = &self.reader.memory;
        let field = self.reader.layout.object.ob_type / 8;
        let is_whole = sweep(&memory.unnoted(), &self.ranges, memory.limit(), &mut |at, bytes| {
            let words = bytes.as_chunks::<8>().0;
            for (index, word) in (0_u64..).zip(words) {
                let value = Address(u64::from_le_bytes(*word) & !TAGS);
                if !filter.may_have(value) {
                    continue;
                }
                if let Some((_, kind)) = collections.iter().find(|(class, _)| *class == value) {
                    let word_at = |offset: u64| {
                        let index = (index + offset / 8).checked_sub(field)?;
                        let word = words.get(usize::try_from(index).ok()?)?;
                        Some(u64::from_le_bytes(*word))
                    };
                    let container = Address((at.0 + 8 * index).saturating_sub(8 * field));
                    blocks.note(container, *kind, word_at);
                    continue;
                }
                let is_array = pass.arrays.contains_key(&value);
                if !is_array && !wanted.contains(&value) {
                    continue;
                }
                let count = counts.entry(value).or_default();
                if *count < MAX_WORDS && pass.words.len() < MAX_PLACES {
                    *count += 1;
                    pass.words.push(Word { place: Address(at.0 + 8 * index), value });
                }
            }
        });
        pass.collections = blocks.collections();
        is_whole.then_some(pass)
    }
}

/// What one pass has found.
#[derive(Debug, Default)]
struct Pass {
    words: Vec<Word>,
    /// Collections in whose blocks loose words may lie.
    collections: FxHashSet<Address>,
    /// Where arrays of values may begin in which loose words lie, and what these are.
    arrays: FxHashMap<Address, Vec<Address>>,
}

/// The collections in whose blocks some places lie.
struct Blocks<'a> {
    layout: &'a Layout,
    /// In ascending order.
    places: Vec<u64>,
    /// For each place, of the dictionaries' keys that begin behind the place before it and not behind
    /// it those that begin last: how long keys are only they themselves tell, but no two overlap.
    keys: Vec<[(u64, Address); 2]>,
    found: FxHashSet<Address>,
}

impl<'a> Blocks<'a> {
    fn of(loose: &[Word], layout: &'a Layout) -> Self {
        let mut places: Vec<u64> = loose.iter().map(|word| word.place.0).collect();
        places.sort_unstable();
        let keys = vec![[(0, Address::NULL); 2]; places.len()];
        Self { layout, places, keys, found: FxHashSet::default() }
    }

    /// Looks at one object of a collection's class, by the words in it.
    fn note(&mut self, at: Address, kind: Kind, word_at: impl Fn(u64) -> Option<u64>) {
        if word_at(0).is_some_and(|word| !is_alive(word)) {
            return;
        }
        let layout = self.layout;
        let is_seen = match kind {
            Kind::List => self.note_array(at, &word_at, layout.small.list_items),
            Kind::Tuple => word_at(layout.object.ob_size)
                .map(|size| self.note_block(at, at.0 + layout.small.tuple_items, size)),
            Kind::Set | Kind::FrozenSet => word_at(layout.set.table).and_then(|table| {
                let mask = word_at(layout.set.mask)?;
                self.note_block(at, table, mask.saturating_add(1).saturating_mul(2));
                Some(())
            }),
            Kind::Deque => word_at(layout.deque.leftblock).and_then(|left| {
                // `rightblock` is the next field.
                let right = word_at(layout.deque.leftblock + 8)?;
                self.note_block(at, left, DEQUE_BLOCK / 8);
                self.note_block(at, right, DEQUE_BLOCK / 8);
                Some(())
            }),
            Kind::Dict => word_at(layout.dict.keys).and_then(|keys| {
                let values = word_at(layout.dict.values)?;
                self.note_keys(at, keys);
                self.note_block(at, values, MAX_SPLIT);
                Some(())
            }),
            _ => Some(()),
        };
        // One that lies across the end of a piece.
        if is_seen.is_none() {
            self.found.insert(at);
        }
    }

    fn note_array(
        &mut self,
        at: Address,
        word_at: &impl Fn(u64) -> Option<u64>,
        items: u64,
    ) -> Option<()> {
        let size = word_at(self.layout.object.ob_size)?;
        self.note_block(at, word_at(items)?, size);
        Some(())
    }

    /// Takes in a collection if a place lies among the words of its block.
    fn note_block(&mut self, at: Address, start: u64, words: u64) {
        let first = self.places.partition_point(|place| *place < start);
        let end = start.saturating_add(words.saturating_mul(8));
        if start != 0 && self.places.get(first).is_some_and(|place| *place < end) {
            self.found.insert(at);
        }
    }

    fn note_keys(&mut self, at: Address, start: u64) {
        let first = self.places.partition_point(|place| *place < start);
        if let Some([last, before]) = self.keys.get_mut(first).filter(|_| start != 0) {
            if start > last.0 {
                *before = *last;
                *last = (start, at);
            } else if start > before.0 {
                *before = (start, at);
            }
        }
    }

    fn collections(mut self) -> FxHashSet<Address> {
        let mut nearest = [(0, Address::NULL); 2];
        for keys in self.keys {
            if keys[0].0 != 0 {
                nearest = keys;
            }
            self.found.extend(nearest.iter().filter_map(|(_, at)| at.non_null()));
        }
        self.found
    }
}

/// What a word belongs to.
enum Found {
    Holder(Holder),
    /// Something that doesn't keep what it leads to, or has it no more.
    Nothing,
    /// No object that is known.
    Loose,
}

impl Reader<'_> {
    /// What a collection that lives has.
    fn contents(&self, at: Address) -> Vec<(Address, Way)> {
        if !self.is_tracked(at) {
            return Vec::new();
        }
        if self.is_kind(at, Kind::Dict) {
            let items = self.dict(at, crate::python::object::MAX_ITEMS).unwrap_or_default();
            let both = |(key, value)| [(value, Way::Key(key)), (key, Way::Item)];
            return items.into_iter().flat_map(both).collect();
        }
        let items = self.items_of(at).unwrap_or_default();
        items.into_iter().map(|item| (item, Way::Item)).collect()
    }

    fn holder_at(&self, word: Word) -> Found {
        if let Some(at) = self.object_around(word.place) {
            if self.is_kind(at, Kind::Weakref) && self.is_weakly_to(at, |to| to == word.value) {
                return Found::Nothing;
            }
            match self.way(at, word) {
                Some((at, way)) => return Found::Holder(Holder { at, way }),
                None if self.is_within(at, word.place) => return Found::Nothing,
                None => {}
            }
        }
        // The dictionary of an instance may lie before it.
        let dict_before = self.layout.attributes.dict_before();
        let instance = dict_before.map(|before| word.place.offset(before));
        if let Some(at) = instance.filter(|at| self.is_tracked(*at))
            && self.class_of(at).is_ok_and(|class| class.has_managed_dict())
            && self.is_kind(word.value, Kind::Dict)
        {
            return Found::Holder(Holder { at, way: Way::Dict });
        }
        Found::Loose
    }

    /// Whether a place belongs to an object whose values were all looked at.
    fn is_within(&self, at: Address, place: Address) -> bool {
        let Ok(class) = self.class_of(at) else { return false };
        let end = match class.kind {
            Kind::Other => return false,
            Kind::Coroutine | Kind::Generator | Kind::AsyncGenerator => {
                let frame = self.generator(at).ok().and_then(|generator| generator.frame);
                frame.and_then(|frame| self.end_of_frame(&frame).ok())
            }
            Kind::Tuple => {
                let size = self.memory.u64(at.offset(self.layout.object.ob_size)).unwrap_or(0);
                Some(at.offset(class.basicsize.saturating_add(size.saturating_mul(8))))
            }
            _ if class.itemsize != 0 => None,
            _ => Some(at.offset(class.basicsize)),
        };
        end.is_some_and(|end| place < end)
    }

    /// By what the object at `at` has the word, if it does; a frame's generator stands for it.
    fn way(&self, at: Address, word: Word) -> Option<(Address, Way)> {
        let class = self.class_of(at).ok()?;
        let is_at = |offset: u64| at.offset(offset) == word.place;
        let inner =
            |offsets: &[u64]| offsets.iter().any(|it| is_at(*it)).then_some((at, Way::Inner));
        let (small, awaitable, future) =
            (&self.layout.small, &self.layout.awaitable, &self.layout.future);
        if class.is_python()
            && let Some(way) = self.way_of_instance(at, word)
        {
            return Some((at, way));
        }
        match class.kind {
            Kind::Coroutine | Kind::Generator | Kind::AsyncGenerator => {
                let frame = self.generator(at).ok()?.frame?;
                let slot = self.slot_at(&frame, word.place).ok()??;
                Some((at, Way::of(slot)))
            }
            Kind::Tuple => {
                let items = self.tuple(at).ok()?;
                let first = at.offset(small.tuple_items);
                let index = usize::try_from(word.place.0.checked_sub(first.0)? / 8).ok()?;
                (items.get(index) == Some(&word.value)).then_some((at, Way::Item))
            }
            // A small one has its table in itself.
            Kind::Set | Kind::FrozenSet => {
                let is_inside = word.place.0 - at.0 < class.basicsize;
                let has = is_inside && self.set(at).ok()?.contains(&word.value);
                has.then_some((at, Way::Item))
            }
            Kind::Cell => inner(&[small.cell_ref]),
            Kind::Method => inner(&[small.method_func, small.method_self]),
            Kind::Builtin => inner(&[small.builtin_self]),
            Kind::Partial => inner(&[small.partial_fn, small.partial_args]),
            Kind::Function => inner(&[self.layout.function.closure]),
            Kind::FutureIter => inner(&[awaitable.future_iter]),
            Kind::CoroutineWrapper => inner(&[awaitable.coroutine_wrapper]),
            Kind::AsyncGeneratorAsend => inner(&[awaitable.asend]),
            Kind::AsyncGeneratorAthrow => inner(&[awaitable.athrow]),
            Kind::AnextAwaitable => inner(&[awaitable.anext]),
            Kind::StepWrapper => inner(&[small.step_wrapper_task]),
            Kind::Type => is_at(self.layout.class.dict).then_some((at, Way::Dict)),
            Kind::Task | Kind::Future => {
                let task = &self.layout.task;
                inner(&[future.callback0, future.callbacks, future.exception])
                    .or_else(|| inner(&[task.coro]).filter(|_| class.kind == Kind::Task))
            }
            Kind::Other if &*class.name == "frame" => {
                let frame = self.frame_of_object(at).ok()?;
                let slot = self.slot_at(&frame, word.place).ok()??;
                Some((frame.generator.non_null().unwrap_or(at), Way::of(slot)))
            }
            // A class of an extension or of the interpreter: its fields are not known.
            Kind::Other
                if !class.is_python()
                    && class.itemsize == 0
                    && word.place.0 - at.0 < class.basicsize =>
            {
                Some((at, Way::Inner))
            }
            _ => None,
        }
    }

    fn way_of_instance(&self, at: Address, word: Word) -> Option<Way> {
        if self.attributes_place(at) == Some(word.place) {
            return Some(Way::Dict);
        }
        self.attribute_at(at, word.place).map(Way::Attribute)
    }
}

impl Way {
    fn of(slot: Slot) -> Self {
        match slot {
            Slot::Variable(name) => Self::Variable(name),
            Slot::Stack => Self::Stack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Attributes;
    use crate::python::tests::{self as built, Function, LASTI, MINORS, Stage, Values};

    const COLLECTIONS: [(&str, Kind); 5] = [
        ("dict", Kind::Dict),
        ("list", Kind::List),
        ("tuple", Kind::Tuple),
        ("set", Kind::Set),
        ("collections.deque", Kind::Deque),
    ];

    fn found(heap: &mut built::Heap, to: Address) -> Holders {
        let collections = COLLECTIONS.map(|(name, kind)| (heap.class(name), kind));
        // A page that is there in part is none that is read ahead.
        heap.room(1 << 12);
        heap.read(|reader| {
            let search = Heap::new(*reader, vec![heap.extent()]);
            search.holders(&std::iter::once(to).collect(), &collections, &|_| false).unwrap()
        })
    }

    fn sorted(holders: &[Holder]) -> Vec<Holder> {
        let mut holders = holders.to_vec();
        holders.sort_by_key(|holder| holder.at);
        holders
    }

    #[test]
    fn each_that_has_an_object_is_found_with_how_it_has_it() {
        for minor in MINORS {
            let mut heap = built::Heap::of(minor);
            let (to, other) = (heap.none(), heap.str("other"));
            let class = heap.python_class("app", "Shop", Address::NULL);
            let code = heap.code(Function { locals: &["size", "lock"], ..Function::default() });
            let values = Values { locals: &[other, to], stack: &[] };
            let coroutine = heap.generator("coroutine", code, LASTI, Stage::Suspended, values);
            let key = heap.str("orders");
            let many: Vec<Address> = (0..300).map(|n| if n == 250 { to } else { other }).collect();
            let expected = [
                (heap.list(&many), Way::Item),
                (heap.tuple(&many), Way::Item),
                (heap.tuple(&[other, to]), Way::Item),
                (heap.set(&[to]), Way::Item),
                (heap.deque(&[other, other, to]), Way::Item),
                (heap.dict(&[(other, other), (key, to)]), Way::Key(key)),
                (coroutine, Way::Variable("lock".into())),
            ];
            for (at, _) in &expected {
                heap.track(*at);
            }
            let mut expected: Vec<Holder> =
                expected.into_iter().map(|(at, way)| Holder { at, way }).collect();
            if let crate::layout::GeneratorFrame::Pointer { .. } = heap.layout.generator.frame {
                let frame = heap.read(|reader| reader.generator(coroutine).unwrap().frame.unwrap());
                heap.track(frame.at);
            }
            let shop = heap.instance(class, &[("size", other), ("lock", to)]);
            heap.track(shop);
            if heap.layout.attributes == Attributes::DictOffset {
                let dict = heap.read(|reader| {
                    reader.pointer(reader.attributes_place(shop).unwrap()).unwrap().unwrap()
                });
                heap.track(dict);
                let found = found(&mut heap, to);
                let way = Way::Dict;
                assert_eq!(found.of(dict), [Holder { at: shop, way }], "3.{minor}");
                let of_dict = found.of(to).iter().find(|it| it.at == dict).unwrap().clone();
                let Way::Key(name) = of_dict.way else { panic!("{of_dict:?}") };
                assert_eq!(heap.read(|reader| reader.name(name)).as_deref(), Ok("lock"));
                expected.push(of_dict);
            } else {
                expected.push(Holder { at: shop, way: Way::Attribute("lock".into()) });
            }
            let found = found(&mut heap, to);
            assert_eq!(sorted(found.of(to)), sorted(&expected), "3.{minor}");
        }
    }

    #[test]
    fn what_has_a_collection_is_found_in_a_further_step() {
        for minor in MINORS.filter(|minor| *minor >= 11) {
            let mut heap = built::Heap::of(minor);
            let to = heap.none();
            let class = heap.python_class("app", "Shop", Address::NULL);
            let inner = heap.list(&[to]);
            let outer = heap.list(&[inner]);
            let shop = heap.instance(class, &[("jobs", outer)]);
            for at in [inner, outer, shop] {
                heap.track(at);
            }
            let found = found(&mut heap, to);
            let expected = |at, way| [Holder { at, way }];
            assert_eq!(found.of(to), expected(inner, Way::Item), "3.{minor}");
            assert_eq!(found.of(inner), expected(outer, Way::Item), "3.{minor}");
            assert_eq!(found.of(outer), expected(shop, Way::Attribute("jobs".into())), "3.{minor}");
        }
    }

    #[test]
    fn what_was_freed_or_has_it_no_more_has_nothing() {
        for minor in MINORS {
            let mut heap = built::Heap::of(minor);
            let to = heap.none();
            let class = heap.python_class("app", "Shop", Address::NULL);
            let freed = [heap.list(&[to]), heap.tuple(&[to]), heap.dict(&[(to, to)])];
            let freed = freed.into_iter().chain([heap.instance(class, &[("lock", to)])]);
            for at in freed.collect::<Vec<_>>() {
                heap.track(at);
                // In no list of the garbage collector.
                heap.word(at.before(16), 0);
            }
            let dropped = heap.list(&[to]);
            heap.track(dropped);
            heap.word(dropped, 0);
            let shortened = heap.list(&[to]);
            heap.track(shortened);
            heap.word(shortened.offset(heap.layout.object.ob_size), 0);
            let weak = heap.weakref(to);
            heap.track(weak);
            let code = heap.code(Function { locals: &["lock"], ..Function::default() });
            let values = Values { locals: &[to], stack: &[] };
            let ended = heap.generator("coroutine", code, LASTI, Stage::Finished, values);
            heap.track(ended);
            assert_eq!(found(&mut heap, to).of(to), [], "3.{minor}");
        }
    }
}
