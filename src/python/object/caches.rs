//! What was learnt about immutable things, kept from one snapshot to the next.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, Hash};
use std::ops::Range;
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::keys::Keys;
use super::text::Label;
use super::{Class, Code, Kind, Site};
use crate::known::Libraries;
use crate::known::work::{Rule, Rules};
use crate::memory::Address;
use crate::snapshot::Location;

/// Things kept per cache.
const MAX_ENTRIES: usize = 200_000;

/// What was learnt about immutable things, by address, for all snapshots of one target.
///
/// Each entry carries the words it was made from; the first use in a new snapshot compares them,
/// so an address that was freed and used again is noticed.
#[derive(Debug, Default)]
pub struct Caches {
    pub(super) classes: RefCell<FxHashMap<Address, Verified<Class>>>,
    pub(super) codes: RefCell<FxHashMap<Address, Verified<Code>>>,
    pub(super) sites: RefCell<FxHashMap<(Address, i64, Address), Site>>,
    /// Where compiled coroutines are, by module and name.
    pub(in crate::python) compiled: RefCell<FxHashMap<(Address, i64, Address), Arc<Location>>>,
    pub(super) texts: RefCell<FxHashMap<Address, Verified<str>>>,
    pub(super) keys: RefCell<FxHashMap<Address, Verified<Keys>>>,
    pub(super) labels: RefCell<FxHashMap<Address, Label>>,
    /// Where in the items of a dictionary a key was found last, by the hash of its text.
    places: RefCell<FxHashMap<(Address, u64), usize>>,
    pub(super) kinds: Recent<Address, Kind>,
    pub(super) recent_codes: Recent<Address, Arc<Code>>,
    pub(super) recent_sites: Recent<(Address, i64, Address), Site>,
    /// Where the file of the interpreter is mapped, if that is known.
    image: Option<Range<u64>>,
    /// `sys.modules` of the interpreter that was read last.
    modules: Cell<Option<Address>>,
    /// Where the target's libraries lie, once that was read.
    libraries: RefCell<Option<Arc<Libraries>>>,
    /// Rules for the program, which go before those that are known for libraries.
    rules: Rules,
    /// What came of each rule for work, by its address; nothing where that is not counted.
    followed: RefCell<Option<FxHashMap<usize, Followed>>>,
    /// What could not be read in this snapshot.
    pub(super) damaged: RefCell<Vec<Address>>,
    snapshot: u32,
    /// The snapshot at which what nobody uses any more was dropped last.
    pruned: u32,
}

/// What was asked for lately, each at one place that its key leads to: what is asked again and again
/// in one snapshot is found without a look at a map.
#[derive(Debug)]
pub(super) struct Recent<K, V>(RefCell<Vec<Option<Asked<K, V>>>>);

/// A key, the snapshot in which it was asked for, and the answer.
type Asked<K, V> = (K, u32, V);

impl<K, V> Recent<K, V> {
    const COUNT: usize = 256;
}

impl<K: Copy + Eq + Hash, V: Clone> Recent<K, V> {
    fn place(key: K) -> usize {
        usize::try_from(FxBuildHasher.hash_one(key) >> 32).unwrap_or(0) % Self::COUNT
    }

    fn clear(&self) {
        self.0.borrow_mut().fill_with(|| None);
    }

    fn get(&self, key: K, snapshot: u32) -> Option<V> {
        let all = self.0.borrow();
        let (known, checked, value) = all.get(Self::place(key))?.as_ref()?;
        (*known == key && *checked == snapshot).then(|| value.clone())
    }

    fn set(&self, key: K, snapshot: u32, value: V) {
        if let Some(place) = self.0.borrow_mut().get_mut(Self::place(key)) {
            *place = Some((key, snapshot, value));
        }
    }
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(RefCell::new((0..Self::COUNT).map(|_| None).collect()))
    }
}

#[derive(Debug)]
pub(super) struct Verified<T: ?Sized> {
    value: Arc<T>,
    signature: [u64; 4],
    /// The snapshot in which the signature was compared last.
    checked: u32,
}

/// What came of a rule that says what frames are part of.
#[derive(Debug, Clone)]
pub struct Followed {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Frames that it is about.
    pub frames: usize,
    /// Those in which there was no such work, or it could not be read.
    pub without: usize,
    /// In how many of the others each of its facts was missing, in the order of the rule.
    pub missing: Vec<usize>,
}

impl Caches {
    /// So often what was not used meanwhile is dropped: names of tasks that are gone. Some seconds
    /// of light samples, in which a whole one falls that uses what is still there.
    const BETWEEN_PRUNES: u32 = 20_000;

    /// Those of a target whose interpreter's file is mapped there.
    pub fn of(image: Option<Range<u64>>) -> Self {
        Self { image, ..Self::default() }
    }

    /// Whether an address lies in the file of the interpreter; `None` where that is not known.
    pub(super) fn is_in_image(&self, at: Address) -> Option<bool> {
        self.image.as_ref().map(|image| image.contains(&at.0))
    }

    /// `sys.modules`, by which a compiled function's file is found.
    pub(in crate::python) fn modules(&self) -> Option<Address> {
        self.modules.get()
    }

    pub(crate) fn keep_modules(&self, modules: Address) {
        self.modules.set(Some(modules));
    }

    /// Where the target's libraries lie; `None` before that was read.
    pub(crate) fn known_libraries(&self) -> Option<Arc<Libraries>> {
        self.libraries.borrow().clone()
    }

    /// Where the target's libraries lie, as far as that is known.
    pub fn libraries(&self) -> Arc<Libraries> {
        self.known_libraries().unwrap_or_default()
    }

    /// Takes that in. Whose a function is that was read before is asked again.
    pub(crate) fn keep_libraries(&self, libraries: Libraries) {
        self.libraries.replace(Some(Arc::new(libraries)));
        self.codes.borrow_mut().clear();
        self.sites.borrow_mut().clear();
        self.compiled.borrow_mut().clear();
        self.recent_codes.clear();
        self.recent_sites.clear();
    }

    /// Rules for the program, which go before those that are known for libraries.
    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Takes rules for the program. By which one a function goes is asked again if they are others.
    pub(crate) fn use_rules(&mut self, rules: &Rules) {
        if self.rules != *rules {
            self.rules = rules.clone();
            self.codes.get_mut().clear();
            self.recent_codes.clear();
        }
    }

    /// From now on counts what comes of each rule for work.
    pub(crate) fn count_followed(&mut self) {
        self.followed.get_mut().get_or_insert_default();
    }

    /// What came of each rule for work since that is counted.
    pub(crate) fn followed(&self) -> Vec<Followed> {
        self.followed.borrow().iter().flat_map(FxHashMap::values).cloned().collect()
    }

    /// Counts what came of a rule in one frame, if it is asked for: a bit for each of its facts that was
    /// missing; nothing where there was no such work.
    pub(crate) fn note_followed(&self, rule: &Arc<Rule>, missing: Option<u32>) {
        let mut all = self.followed.borrow_mut();
        let Some(all) = &mut *all else { return };
        let one = all.entry(Arc::as_ptr(rule).addr()).or_insert_with(|| Followed {
            rule: Arc::clone(rule),
            frames: 0,
            without: 0,
            missing: vec![0; rule.facts.len()],
        });
        one.frames += 1;
        one.without += usize::from(missing.is_none());
        let bits = missing.unwrap_or_default();
        for (i, count) in (0..32).zip(&mut one.missing) {
            *count += usize::from(bits >> i & 1 == 1);
        }
    }

    /// Gives what was learnt, and leaves nothing but where the libraries lie and what rules there are.
    pub(crate) fn set_aside(&mut self) -> Self {
        let libraries = self.libraries.borrow().clone();
        let libraries = RefCell::new(libraries);
        let (image, rules) = (self.image.clone(), self.rules.clone());
        std::mem::replace(self, Self { image, libraries, rules, ..Self::default() })
    }

    /// Begins a new snapshot: everything kept is compared again before its next use.
    pub fn begin_snapshot(&mut self) {
        self.snapshot = self.snapshot.wrapping_add(1);
        self.damaged.get_mut().clear();
        self.compiled.get_mut().clear();
        let since = self.snapshot.wrapping_sub(self.pruned);
        if since >= Self::BETWEEN_PRUNES {
            self.prune(since);
        }
        bound(&mut self.classes);
        bound(&mut self.codes);
        bound(&mut self.sites);
        bound(&mut self.texts);
        bound(&mut self.keys);
        bound(&mut self.labels);
        bound(&mut self.places);
    }

    /// Drops what was not used in the last `since` snapshots.
    fn prune(&mut self, since: u32) {
        let now = self.snapshot;
        let is_used = |checked: u32| now.wrapping_sub(checked) <= since;
        self.classes.get_mut().retain(|_, kept| is_used(kept.checked));
        self.codes.get_mut().retain(|_, kept| is_used(kept.checked));
        self.texts.get_mut().retain(|_, kept| is_used(kept.checked));
        self.keys.get_mut().retain(|_, kept| is_used(kept.checked));
        let codes = self.codes.get_mut();
        self.sites.get_mut().retain(|(code, ..), _| codes.contains_key(code));
        self.labels.get_mut().clear();
        self.places.get_mut().clear();
        self.pruned = now;
    }

    /// Where a key was found last in the items of a dictionary: to be compared before it is used.
    pub(super) fn place_of(&self, dict: Address, key: &str) -> Option<usize> {
        self.places.borrow().get(&(dict, FxBuildHasher.hash_one(key))).copied()
    }

    pub(super) fn note_place(&self, dict: Address, key: &str, place: usize) {
        self.places.borrow_mut().insert((dict, FxBuildHasher.hash_one(key)), place);
    }

    /// What was asked for before in this snapshot.
    pub(super) fn recent<K: Copy + Eq + Hash, V: Clone>(
        &self,
        all: &Recent<K, V>,
        key: K,
    ) -> Option<V> {
        all.get(key, self.snapshot)
    }

    pub(super) fn note_recent<K: Copy + Eq + Hash, V: Clone>(
        &self,
        all: &Recent<K, V>,
        key: K,
        value: V,
    ) {
        all.set(key, self.snapshot, value);
    }

    /// The kept value for `at`, if it was checked in this snapshot.
    pub(super) fn fresh<T: ?Sized>(
        &self,
        map: &RefCell<FxHashMap<Address, Verified<T>>>,
        at: Address,
    ) -> Option<Arc<T>> {
        let map = map.borrow();
        let kept = map.get(&at)?;
        (kept.checked == self.snapshot).then(|| Arc::clone(&kept.value))
    }

    /// The kept value for `at` if it was made from the same words.
    pub(super) fn same<T: ?Sized>(
        &self,
        map: &RefCell<FxHashMap<Address, Verified<T>>>,
        at: Address,
        signature: [u64; 4],
    ) -> Option<Arc<T>> {
        let mut map = map.borrow_mut();
        let kept = map.get_mut(&at)?;
        if kept.signature != signature {
            return None;
        }
        kept.checked = self.snapshot;
        Some(Arc::clone(&kept.value))
    }

    pub(super) fn keep<T: ?Sized>(
        &self,
        map: &RefCell<FxHashMap<Address, Verified<T>>>,
        at: Address,
        signature: [u64; 4],
        value: &Arc<T>,
    ) {
        let kept = Verified { value: Arc::clone(value), signature, checked: self.snapshot };
        map.borrow_mut().insert(at, kept);
    }
}

/// A program that makes code objects or classes without end must not fill our memory.
fn bound<K, V>(map: &mut RefCell<FxHashMap<K, V>>) {
    let map = map.get_mut();
    if map.len() > MAX_ENTRIES {
        map.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_any_more_is_dropped() {
        let mut caches = Caches::default();
        let [used, gone] = [Address(1), Address(2)];
        let value: Arc<str> = Arc::from("name");
        for at in [used, gone] {
            caches.keep(&caches.texts, at, [7; 4], &value);
        }
        for _ in 0..3 * Caches::BETWEEN_PRUNES {
            caches.begin_snapshot();
            assert!(caches.same(&caches.texts, used, [7; 4]).is_some());
        }
        assert!(caches.same(&caches.texts, gone, [7; 4]).is_none());
        assert_eq!(caches.texts.borrow().len(), 1);
    }
}
