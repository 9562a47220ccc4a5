//! The target's pages, each read once for the life of one snapshot.
//!
//! Reading 8 bytes of a process costs as much as reading the page they lie in, and what one
//! needs next mostly lies near: so whole pages are read and kept. Who knows beforehand what will
//! be needed says so with [`PageCache::prefetch`], and hundreds of pages come in one call.
//!
//! A page is of the moment it was read. [`PageCache::forget`] drops pages whose content has to
//! be read again; [`PageCache::clear`] drops all and keeps the buffers for the next snapshot.
//!
//! One snapshot needs nearly the same pages as the one before. Those that nobody asked for
//! beforehand, and that came one by one then, come together the next time
//! ([`PageCache::renew`]).

use std::cell::{Cell, RefCell};
use std::ops::Range;

use rustc_hash::FxHashMap;

use super::{Address, Fault, PAGE, ReadMemory, ReadStats, TimeLimit, Touched};

/// Bytes of a page as a length.
const PAGE_LEN: usize = 4096;
/// Pages per buffer: what one batch reads at most (1 MiB).
const BATCH: usize = 256;
/// The slot of a page that cannot be read.
const UNREADABLE: u32 = u32::MAX;
/// The most one read may ask for: far above any string or table that is followed (16 MiB).
pub const MAX_READ: u64 = 16 << 20;
/// Pages kept before [`PageCache::is_full`] (48 MiB): bounds our memory for huge targets. 10,000
/// tasks of six coroutines lie in 5,000 pages, and in 11,000 where frames are objects of their own.
const MAX_PAGES: usize = 12_288;

/// Pages whose slots are known without a look at the index: 2 KiB in a core's own cache.
const RECENT: usize = 128;
/// Pages that are read by habit (4 MiB): of 1,000 tasks some 300 came one by one.
const MAX_HABIT: usize = 1024;

/// The parts of a snapshot that need pages of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// From its beginning on.
    First,
    /// When what changed meanwhile is read again.
    Again,
    /// When plain data is made of what was read.
    Plain,
    /// A glance at loops that may never wait.
    Turns,
}

/// A page cache over a source of memory.
#[derive(Debug)]
pub struct PageCache<M> {
    source: M,
    pages: RefCell<Pages>,
    /// Pages looked up lately with their slots, each at the place that its number leads to: a
    /// walk goes back and forth between few pages.
    recent: [Cell<(u64, u32)>; RECENT],
    /// Pages read together on a miss, a power of two.
    readahead: Cell<u64>,
    /// Pages kept before it is full.
    max_pages: Cell<usize>,
    habits: RefCell<Habits>,
    limit: TimeLimit,
    /// What was decoded, where that is kept.
    touched: Option<RefCell<Touched>>,
    /// Whether the source has only parts of its pages.
    is_sparse: bool,
}

/// A source without a cache: every read through it is fresh.
#[derive(Debug)]
pub struct Fresh<'c, M>(&'c PageCache<M>);

/// The same of which nothing is kept.
#[derive(Debug)]
pub struct Unnoted<'c, M>(&'c M);

impl<M: ReadMemory> ReadMemory for Unnoted<'_, M> {
    fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        self.0.peek(at, into)
    }

    fn stats(&self) -> ReadStats {
        self.0.stats()
    }
}

impl<M: ReadMemory> ReadMemory for Fresh<'_, M> {
    fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        self.0.note(at, into.len() as u64)?;
        self.0.source.read(at, into)
    }

    fn read_many(&self, ranges: &[Range<u64>], into: &mut [u8], failed: &mut dyn FnMut(usize)) {
        for (i, range) in ranges.iter().enumerate() {
            if self.0.note(Address(range.start), range.end.saturating_sub(range.start)).is_err() {
                failed(i);
            }
        }
        self.0.source.read_many(ranges, into, failed);
    }

    fn stats(&self) -> ReadStats {
        self.0.source.stats()
    }
}

/// Which pages came one by one in each part of a snapshot.
#[derive(Debug, Default)]
struct Habits {
    /// In the last part of each kind.
    before: [Vec<u64>; 4],
    /// In this one, once it has begun.
    now: Option<(Pass, Vec<u64>)>,
}

impl Habits {
    fn note(&mut self, page: u64) {
        if let Some((_, noted)) = &mut self.now
            && noted.len() < MAX_HABIT
        {
            noted.push(page);
        }
    }

    /// The part is over.
    fn end(&mut self) {
        if let Some((ended, noted)) = self.now.take() {
            *self.of(ended) = noted;
        }
    }

    /// Another part begins: what it has needed before.
    fn begin(&mut self, part: Pass) -> Vec<u64> {
        self.end();
        self.now = Some((part, Vec::new()));
        let mut pages = std::mem::take(self.of(part));
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    fn of(&mut self, part: Pass) -> &mut Vec<u64> {
        let [first, again, plain, turns] = &mut self.before;
        match part {
            Pass::First => first,
            Pass::Again => again,
            Pass::Plain => plain,
            Pass::Turns => turns,
        }
    }
}

#[derive(Debug, Default)]
struct Pages {
    /// Page address → slot.
    index: FxHashMap<u64, u32>,
    /// The same of pages that were read by habit and not needed yet.
    ahead: FxHashMap<u64, u32>,
    /// Slot → page: slot `s` is page `s % BATCH` of buffer `s / BATCH`.
    buffers: Vec<Box<[u8]>>,
    /// Slots in use.
    used: usize,
    /// The first slot that counts: what was read before is read anew when it is needed.
    oldest: u32,
}

impl Pages {
    /// The bytes of `slots` free slots in one buffer, and the first one's number.
    ///
    /// At most [`BATCH`] at a time; slots never straddle buffers.
    fn reserve(&mut self, slots: usize) -> (usize, &mut [u8]) {
        let room = BATCH - self.used % BATCH;
        if slots > room {
            self.used += room;
        }
        let first = self.used;
        self.used += slots;
        let buffer = first / BATCH;
        while self.buffers.len() <= buffer {
            self.buffers.push(vec![0; BATCH * PAGE_LEN].into_boxed_slice());
        }
        let start = first % BATCH * PAGE_LEN;
        let bytes = self
            .buffers
            .get_mut(buffer)
            .and_then(|buffer| buffer.get_mut(start..start + slots * PAGE_LEN))
            .unwrap_or_default();
        (first, bytes)
    }

    /// Whether a page was read; one that was read by habit is then in use.
    fn has(&mut self, page: u64) -> bool {
        if self.index.get(&page).is_some_and(|slot| *slot >= self.oldest) {
            return true;
        }
        let ahead = self.ahead.remove(&page).filter(|slot| *slot >= self.oldest);
        if let Some(slot) = ahead {
            self.index.insert(page, slot);
        }
        ahead.is_some()
    }

    /// Whether a page was read, in use or not.
    fn is_there(&self, page: u64) -> bool {
        self.index.contains_key(&page) || self.ahead.contains_key(&page)
    }

    fn forget(&mut self, page: u64) {
        self.index.remove(&page);
        self.ahead.remove(&page);
    }

    fn forget_all(&mut self) {
        self.index.clear();
        self.ahead.clear();
        self.used = 0;
        self.oldest = 0;
    }

    fn page(&self, slot: u32) -> Option<&[u8]> {
        let slot = slot as usize;
        let start = slot % BATCH * PAGE_LEN;
        self.buffers.get(slot / BATCH)?.get(start..start + PAGE_LEN)
    }
}

impl<M: ReadMemory> PageCache<M> {
    /// An empty cache over `source`.
    pub fn new(source: M) -> Self {
        Self {
            touched: source.is_recording().then(RefCell::default),
            is_sparse: source.is_sparse(),
            source,
            pages: RefCell::default(),
            recent: [const { Cell::new((u64::MAX, UNREADABLE)) }; RECENT],
            readahead: Cell::new(1),
            max_pages: Cell::new(MAX_PAGES),
            habits: RefCell::default(),
            limit: TimeLimit::default(),
        }
    }

    /// The same, that reads nothing any more when the time is over; what it has stays there.
    #[must_use]
    pub fn within(self, limit: TimeLimit) -> Self {
        Self { limit, ..self }
    }

    /// How long reading may take.
    pub fn limit(&self) -> &TimeLimit {
        &self.limit
    }

    /// What lies below the cache, for what has to be of this moment.
    pub fn source(&self) -> Fresh<'_, M> {
        Fresh(self)
    }

    /// The same, for what somebody else reads of it: it is no part of what is kept.
    pub fn unnoted(&self) -> Unnoted<'_, M> {
        Unnoted(&self.source)
    }

    /// What was decoded so far, where that is kept.
    pub fn touched(&self) -> Option<Touched> {
        self.touched.as_ref().map(|touched| touched.borrow().clone())
    }

    /// Another look at the target begins.
    pub fn begin_look(&mut self) {
        self.source.begin_look();
        if let Some(touched) = &mut self.touched {
            touched.get_mut().look += 1;
        }
    }

    /// It is over.
    pub fn end_look(&mut self) {
        self.source.end_look();
    }

    /// Notes that the bytes at `at` are the content of a text; `is_name` if that names something of
    /// the program's code.
    pub fn note_text(&self, at: Address, len: u64, is_name: bool) {
        if let Some(touched) = &self.touched {
            touched.borrow_mut().note_text(at, len, is_name);
        }
    }

    /// Notes that bytes are decoded; fails where a saved target does not have them.
    fn note(&self, at: Address, len: u64) -> Result<(), Fault> {
        if self.is_sparse && !self.source.holds(at, len) {
            return Err(Fault::unsaved(at, len));
        }
        if let Some(touched) = &self.touched {
            touched.borrow_mut().note(at, len);
        }
        Ok(())
    }

    /// Forgets every page and keeps the buffers.
    pub fn clear(&self) {
        self.pages.borrow_mut().forget_all();
        self.forget_recent();
    }

    /// Reads these ranges and then what `read` does, of which nothing is older than they are: of a
    /// page that was read before, it reads the content of now.
    pub fn anew<T>(
        &self,
        ranges: impl Iterator<Item = (Address, u64)>,
        read: impl FnOnce() -> T,
    ) -> T {
        let mut habit: Vec<u64> = {
            let mut pages = self.pages.borrow_mut();
            pages.oldest = u32::try_from(pages.used).unwrap_or(u32::MAX);
            pages.ahead.drain().map(|(page, _)| page).collect()
        };
        self.forget_recent();
        self.prefetch(ranges);
        habit.sort_unstable();
        self.load(&habit, |pages| &mut pages.ahead);
        let result = read();
        self.pages.borrow_mut().oldest = 0;
        result
    }

    /// Forgets every page, and reads those together that came one by one in the last part of this
    /// kind.
    pub fn renew(&self, part: Pass) {
        self.clear();
        self.begin_part(part);
    }

    /// The same, keeping what was read.
    pub fn begin_part(&self, part: Pass) {
        let mut habit = self.habits.borrow_mut().begin(part);
        habit.retain(|page| !self.pages.borrow().is_there(*page));
        self.load(&habit, |pages| &mut pages.ahead);
        // One that cannot be read now may be there when it is needed.
        self.pages.borrow_mut().ahead.retain(|_, slot| *slot != UNREADABLE);
    }

    /// What is missed from now on, until the next part begins, is no habit of any.
    pub fn end_part(&self) {
        self.habits.borrow_mut().end();
    }

    /// Whether so much is kept that long work should [`clear`](Self::clear) between its parts.
    pub fn is_full(&self) -> bool {
        self.pages.borrow().used > self.max_pages.get()
    }

    /// From now on it is full with so many bytes, or sooner. Twice as many are kept at most.
    pub fn keep_at_most(&self, bytes: u64) {
        let pages = usize::try_from(bytes / PAGE).unwrap_or(MAX_PAGES);
        self.max_pages.set(pages.clamp(BATCH, MAX_PAGES));
        let buffers = (2 * self.max_pages.get()).div_ceil(BATCH);
        self.pages.borrow_mut().buffers.truncate(buffers);
    }

    /// Forgets the pages of `len` bytes at `at`.
    pub fn forget(&self, at: Address, len: u64) {
        let mut pages = self.pages.borrow_mut();
        for page in page_range(at, len) {
            pages.forget(page);
        }
        self.forget_recent();
    }

    /// Reads the pages of the given ranges anew, whatever is kept of them, in one call if they
    /// are not too many: they are then of nearly one moment.
    pub fn refresh(&self, ranges: &[(Address, u64)]) {
        {
            let mut pages = self.pages.borrow_mut();
            for &(at, len) in ranges {
                for page in page_range(at, len) {
                    pages.forget(page);
                }
            }
        }
        self.prefetch(ranges.iter().copied());
    }

    /// Reads `pages` pages (a power of two up to 16) around every page that is missed from now
    /// on; for walks whose next step is likely to be near.
    pub fn set_readahead(&self, pages: u64) {
        self.readahead.set(pages.clamp(1, 16).next_power_of_two());
    }

    /// Reads all pages of the given ranges that are not there yet, in as few calls as possible.
    pub fn prefetch(&self, ranges: impl Iterator<Item = (Address, u64)>) {
        self.fetch(ranges);
    }

    /// The same; gives the pages that were not there.
    fn fetch(&self, ranges: impl Iterator<Item = (Address, u64)>) -> Vec<u64> {
        // Finding out a range may itself read: the pages must not be borrowed meanwhile.
        let ranges: Vec<(Address, u64)> = ranges.collect();
        let mut missing: Vec<u64> = Vec::new();
        {
            let mut pages = self.pages.borrow_mut();
            let mut last = u64::MAX;
            for (at, len) in ranges {
                for page in page_range(at, len) {
                    if page != last && !pages.has(page) {
                        missing.push(page);
                    }
                    last = page;
                }
            }
        }
        missing.sort_unstable();
        missing.dedup();
        self.load(&missing, |pages| &mut pages.index);
        missing
    }

    /// Reads the given pages, sorted and without repetition, and notes their slots.
    fn load(&self, missing: &[u64], index: fn(&mut Pages) -> &mut FxHashMap<u64, u32>) {
        if missing.is_empty() {
            return;
        }
        let mut pages = self.pages.borrow_mut();
        // Who asks for more than can be kept gets the first of it; the rest comes when it is needed.
        let most = 2 * self.max_pages.get();
        let missing = missing.get(..most / 2).unwrap_or(missing);
        if pages.used + missing.len() > most {
            pages.forget_all();
        }
        let mut ranges: Vec<Range<u64>> = Vec::with_capacity(missing.len().min(BATCH));
        for batch in missing.chunks(BATCH) {
            ranges.clear();
            for &page in batch {
                let end = page.saturating_add(PAGE);
                match ranges.last_mut() {
                    Some(last) if last.end == page => last.end = end,
                    _ => ranges.push(page..end),
                }
            }
            if !self.limit.may_read() {
                index(&mut pages).extend(batch.iter().map(|&page| (page, UNREADABLE)));
                continue;
            }
            let (first, bytes) = pages.reserve(batch.len());
            let mut bad: Vec<usize> = Vec::new();
            self.source.read_many(&ranges, bytes, &mut |range| bad.push(range));
            for (slot, &page) in (first..).zip(batch) {
                index(&mut pages).insert(page, u32::try_from(slot).unwrap_or(UNREADABLE));
            }
            // A range of several pages may fail for one of them: try its pages one by one.
            for range in bad.into_iter().filter_map(|range| ranges.get(range)) {
                for page in page_range(Address(range.start), range.end - range.start) {
                    let (slot, bytes) = pages.reserve(1);
                    let readable = self.source.read(Address(page), bytes).is_ok();
                    let slot = u32::try_from(slot).ok().filter(|_| readable);
                    index(&mut pages).insert(page, slot.unwrap_or(UNREADABLE));
                }
            }
        }
        self.forget_recent();
    }

    /// The slot of a page, read if need be.
    fn slot(&self, page: u64) -> Result<u32, Fault> {
        let place = usize::try_from(page / PAGE).unwrap_or(0) % RECENT;
        let recent = self.recent.get(place);
        if let Some((known, slot)) = recent.map(Cell::get)
            && known == page
        {
            return Ok(slot);
        }
        let found = {
            let pages = self.pages.borrow();
            pages.index.get(&page).copied().filter(|slot| *slot >= pages.oldest)
        };
        let slot = match found {
            Some(slot) => slot,
            None => self.miss(page),
        };
        if slot == UNREADABLE {
            let is_late = !self.limit.may_read();
            let fault = if is_late { Fault::too_late } else { Fault::unmapped };
            return Err(fault(Address(page), PAGE));
        }
        if let Some(recent) = recent {
            recent.set((page, slot));
        }
        Ok(slot)
    }

    fn forget_recent(&self) {
        for recent in &self.recent {
            recent.set((u64::MAX, UNREADABLE));
        }
    }

    fn miss(&self, page: u64) -> u32 {
        self.habits.borrow_mut().note(page);
        if self.pages.borrow_mut().has(page) {
            return self.pages.borrow().index.get(&page).copied().unwrap_or(UNREADABLE);
        }
        let span = self.readahead.get() * PAGE;
        let start = page & !(span - 1);
        let missing: Vec<u64> = {
            let mut pages = self.pages.borrow_mut();
            (start..start.saturating_add(span))
                .step_by(PAGE_LEN)
                .filter(|&page| !pages.has(page))
                .collect()
        };
        self.load(&missing, |pages| &mut pages.index);
        self.pages.borrow().index.get(&page).copied().unwrap_or(UNREADABLE)
    }

    /// Copies the bytes at `at`.
    ///
    /// # Errors
    /// [`Fault`] when any of them cannot be read, or when more than [`MAX_READ`] are asked for.
    pub fn copy(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        let len = into.len() as u64;
        let fault = || Fault::unmapped(at, len);
        if len > MAX_READ || at.0.checked_add(len).is_none() {
            return Err(fault());
        }
        self.note(at, len)?;
        let mut at = at.0;
        let mut rest = into;
        while !rest.is_empty() {
            let slot = self.slot(Address(at).page()).map_err(|inner| Fault { len, ..inner })?;
            let pages = self.pages.borrow();
            let offset = usize::try_from(at % PAGE).unwrap_or(0);
            let from = pages.page(slot).and_then(|page| page.get(offset..)).ok_or_else(fault)?;
            let part = from.len().min(rest.len());
            let (head, tail) = rest.split_at_mut(part);
            head.copy_from_slice(from.get(..part).ok_or_else(fault)?);
            rest = tail;
            at += part as u64;
        }
        Ok(())
    }

    /// The `N` bytes at `at`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn bytes<const N: usize>(&self, at: Address) -> Result<[u8; N], Fault> {
        let offset = usize::try_from(at.0 % PAGE).unwrap_or(0);
        if offset + N <= PAGE_LEN {
            // A load of known size from one page: nearly every read of a snapshot.
            self.note(at, N as u64)?;
            let slot =
                self.slot(at.page()).map_err(|fault| Fault { at, len: N as u64, ..fault })?;
            let pages = self.pages.borrow();
            let page = pages.page(slot).and_then(|page| page.get(offset..)?.first_chunk());
            return page.copied().ok_or(Fault::unmapped(at, N as u64));
        }
        let mut bytes = [0; N];
        self.copy(at, &mut bytes)?;
        Ok(bytes)
    }

    /// The `len` bytes at `at`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn vec(&self, at: Address, len: u64) -> Result<Vec<u8>, Fault> {
        if len > MAX_READ {
            return Err(Fault::unmapped(at, len));
        }
        // Several pages at once, where there are several.
        if at.0 % PAGE + len > PAGE {
            let missed = self.fetch(std::iter::once((at, len)));
            for page in missed {
                self.habits.borrow_mut().note(page);
            }
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.copy(at, &mut bytes)?;
        Ok(bytes)
    }

    /// The pointer at `at`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn pointer(&self, at: Address) -> Result<Address, Fault> {
        self.u64(at).map(Address)
    }

    /// The little-endian number at `at`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn u64(&self, at: Address) -> Result<u64, Fault> {
        self.bytes(at).map(u64::from_le_bytes)
    }

    /// The little-endian number at `at`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn i64(&self, at: Address) -> Result<i64, Fault> {
        self.bytes(at).map(i64::from_le_bytes)
    }

    /// The little-endian number at `at`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn u32(&self, at: Address) -> Result<u32, Fault> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    /// The little-endian number at `at`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn i32(&self, at: Address) -> Result<i32, Fault> {
        self.bytes(at).map(i32::from_le_bytes)
    }

    /// The byte at `at`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn u8(&self, at: Address) -> Result<u8, Fault> {
        self.bytes::<1>(at).map(|[byte]| byte)
    }

    /// The number at `at`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn f64(&self, at: Address) -> Result<f64, Fault> {
        self.bytes(at).map(f64::from_le_bytes)
    }

    /// What has been read through this cache.
    pub fn stats(&self) -> ReadStats {
        self.source.stats()
    }

    /// Every readable page that is kept now, with its address, in the order of addresses.
    pub fn pages(&self) -> Vec<(Address, Vec<u8>)> {
        let pages = self.pages.borrow();
        let mut all: Vec<_> = pages
            .index
            .iter()
            .filter_map(|(&at, &slot)| Some((Address(at), pages.page(slot)?.to_vec())))
            .collect();
        all.sort_unstable_by_key(|(at, _)| *at);
        all
    }
}

/// The addresses of the pages that `len` bytes at `at` lie in.
fn page_range(at: Address, len: u64) -> impl Iterator<Item = u64> {
    let end = at.0.saturating_add(len.clamp(1, MAX_READ));
    (at.page()..end).step_by(PAGE_LEN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::memory::Image;

    /// Each word says where it is.
    #[derive(Debug)]
    struct Endless;

    impl ReadMemory for Endless {
        fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
            for (word, at) in into.chunks_mut(8).zip((at.0..).step_by(8)) {
                word.copy_from_slice(&at.to_le_bytes()[..word.len()]);
            }
            Ok(())
        }

        fn stats(&self) -> ReadStats {
            ReadStats::default()
        }
    }

    /// Memory that changes with each reading.
    #[derive(Debug)]
    struct Counting(Cell<u64>);

    impl ReadMemory for Counting {
        fn read(&self, _: Address, into: &mut [u8]) -> Result<(), Fault> {
            self.0.set(self.0.get() + 1);
            for word in into.as_chunks_mut::<8>().0 {
                *word = self.0.get().to_le_bytes();
            }
            Ok(())
        }

        fn stats(&self) -> ReadStats {
            ReadStats::default()
        }
    }

    #[test]
    fn what_is_read_anew_is_not_older_than_its_beginning() {
        let cache = PageCache::new(Counting(Cell::new(0)));
        let [first, other, last] = [0x1000, 0x2000, 0x3000].map(Address);
        assert_eq!((cache.u64(first), cache.u64(other)), (Ok(1), Ok(2)));
        cache.anew([(first, 8)].into_iter(), || {
            assert_eq!(cache.u64(first), Ok(3));
            // Read once, and together with others as ever.
            assert_eq!((cache.u64(other), cache.u64(other)), (Ok(4), Ok(4)));
            cache.prefetch([(other, 8), (last, 8)].into_iter());
            assert_eq!((cache.u64(first), cache.u64(last)), (Ok(3), Ok(5)));
        });
        assert_eq!((cache.u64(first), cache.u64(other)), (Ok(3), Ok(4)));
    }

    #[test]
    fn no_more_pages_are_kept_than_there_is_room_for() {
        let cache = PageCache::new(Endless);
        let most = 4 * BATCH;
        cache.keep_at_most(most as u64 / 2 * PAGE);
        let kept = || cache.pages.borrow().buffers.len() * BATCH;
        let page = |number: u64| Address(number * PAGE);
        cache.prefetch((0..100_000).map(|number| (page(number), 8)));
        assert!(kept() <= most, "{}", kept());
        for number in (0..100_000).step_by(7) {
            assert_eq!(cache.u64(page(number)), Ok(page(number).0));
        }
        assert!(kept() <= most, "{}", kept());
        assert_eq!(cache.vec(page(3), 2 << 20).map(|bytes| bytes.len()), Ok(2 << 20));
        assert!(kept() <= most, "{}", kept());
    }

    #[test]
    fn when_the_time_is_over_only_what_was_read_is_there() {
        let limit = TimeLimit::default();
        let pages = [0x1000, 0x2000].map(|at| (Address(at), vec![7; PAGE_LEN]));
        let memory = PageCache::new(Image::new(pages)).within(limit.clone());
        limit.begin(Duration::from_secs(1000));
        assert_eq!(memory.u8(Address(0x1008)), Ok(7));
        assert!(!limit.was_cut());
        limit.begin(Duration::ZERO);
        assert_eq!(memory.u8(Address(0x1009)), Ok(7));
        assert!(!limit.was_cut());
        let late = memory.u64(Address(0x2000)).unwrap_err();
        assert_eq!(late, Fault::too_late(Address(0x2000), 8));
        assert_eq!(late.to_string(), "8 bytes at 0x2000: not read in time");
        assert!(limit.was_cut());
        // The next reading has time of its own.
        limit.begin(Duration::from_secs(1000));
        memory.clear();
        assert_eq!(memory.u8(Address(0x2000)), Ok(7));
        assert!(!limit.was_cut());
    }
}
