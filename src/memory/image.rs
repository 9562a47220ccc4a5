//! A saved piece of a target's memory that can be read back anywhere.
//!
//! A [`Recorder`] keeps what comes from the target: each page as often as it was other than before,
//! with the look in which it was so and how often it had been read in that. Who reads an [`Image`]
//! in the same order sees the same change under his eyes. Of a page only those bytes are kept that
//! somebody decoded ([`Touched`]): what lies beside them is nobody's business.
//!
//! ```text
//! page    [ address: u64, runs: u16, runs × [ start: u16, len: u16 ], versions: u32,
//!           versions × [ look: u32, time: u32, the bytes of the runs ] ]
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

use super::touched::{Mask, Text, Touched};
use super::{Address, Fault, PAGE, ReadMemory, ReadStats};

/// Bytes of a page as a length.
const PAGE_LEN: usize = 4096;
/// Versions of pages that are kept (512 MiB): 10,000 tasks have 11,000 pages, of which few change.
const MAX_VERSIONS: usize = 131_072;

/// What is wrong with a saved image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadImage(pub &'static str);

/// Pages by their address.
#[derive(Debug, Clone, Default)]
pub struct Image {
    pages: BTreeMap<u64, Page>,
    look: u32,
    /// How often each page was read in this look.
    times: RefCell<FxHashMap<u64, u32>>,
}

#[derive(Debug, Clone, Default)]
struct Page {
    /// What is known of it: ascending, and not touching each other.
    runs: Vec<Range<usize>>,
    versions: Vec<Version<Vec<Vec<u8>>>>,
}

/// The bytes of a page from a moment on: all of them, or those of its runs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version<T> {
    look: u32,
    /// How often it had been read before in that look.
    time: u32,
    bytes: T,
}

/// What a page was at the `time`-th reading in a look; before its first reading, what it was then.
fn version_at<T>(versions: &[Version<T>], look: u32, time: u32) -> Option<&Version<T>> {
    let known = versions.iter().rev().find(|it| (it.look, it.time) <= (look, time));
    known.or(versions.first())
}

/// What of a page lies in a range.
fn of_runs(page: &[u8], runs: &[Range<usize>]) -> Vec<Vec<u8>> {
    runs.iter().map(|run| page.get(run.clone()).unwrap_or_default().to_vec()).collect()
}

impl Image {
    /// An image of the given ranges, which are the same at all times.
    pub fn new(ranges: impl IntoIterator<Item = (Address, Vec<u8>)>) -> Self {
        let mut pages: BTreeMap<u64, (Mask, Vec<u8>)> = BTreeMap::new();
        for (at, bytes) in ranges {
            for (page, here, there) in parts(at, bytes.len() as u64) {
                let (known, whole) =
                    pages.entry(page).or_insert_with(|| (Mask::default(), vec![0; PAGE_LEN]));
                known.set(here.clone());
                if let (Some(into), Some(from)) = (whole.get_mut(here), bytes.get(there)) {
                    into.copy_from_slice(from);
                }
            }
        }
        let page = |(at, (known, whole)): (u64, (Mask, Vec<u8>))| {
            let runs = known.runs();
            let bytes = of_runs(&whole, &runs);
            (at, Page { runs, versions: vec![Version { look: 0, time: 0, bytes }] })
        };
        Self { pages: pages.into_iter().map(page).collect(), ..Self::default() }
    }

    /// All that is known, in all its versions, to be changed in place.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = (Address, &mut Vec<u8>)> {
        self.pages.iter_mut().flat_map(|(&at, page)| {
            let (runs, versions) = (&page.runs, &mut page.versions);
            versions.iter_mut().flat_map(move |version| {
                let starts = runs.iter().map(move |run| Address(at + run.start as u64));
                starts.zip(&mut version.bytes)
            })
        })
    }

    /// Writes it behind `out`.
    pub fn put(&self, out: &mut Vec<u8>) {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
        out.extend(number(self.pages.len()));
        for (at, page) in &self.pages {
            out.extend(at.to_le_bytes());
            out.extend(short(page.runs.len()));
            for run in &page.runs {
                out.extend(short(run.start));
                out.extend(short(run.len()));
            }
            out.extend(number(page.versions.len()));
            for version in &page.versions {
                out.extend(version.look.to_le_bytes());
                out.extend(version.time.to_le_bytes());
                version.bytes.iter().for_each(|part| out.extend(part));
            }
        }
    }

    /// Reads what [`put`](Self::put) wrote; nothing of it is trusted.
    ///
    /// # Errors
    /// When it is cut off, or says what cannot be.
    pub fn get(mut bytes: &[u8]) -> Result<Self, BadImage> {
        let mut image = Self::default();
        for _ in 0..take_number(&mut bytes)? {
            let at = u64::from_le_bytes(take(&mut bytes)?);
            if !at.is_multiple_of(PAGE) {
                return Err(BadImage("a page of it begins nowhere"));
            }
            let mut runs = Vec::new();
            let mut end = 0;
            for _ in 0..u16::from_le_bytes(take(&mut bytes)?) {
                let start = usize::from(u16::from_le_bytes(take(&mut bytes)?));
                let len = usize::from(u16::from_le_bytes(take(&mut bytes)?));
                if start < end || len == 0 || start + len > PAGE_LEN {
                    return Err(BadImage("parts of a page lie outside of it"));
                }
                end = start + len;
                runs.push(start..end);
            }
            let mut versions = Vec::new();
            for _ in 0..take_number(&mut bytes)? {
                let (look, time) = (take(&mut bytes)?, take(&mut bytes)?);
                let (look, time) = (u32::from_le_bytes(look), u32::from_le_bytes(time));
                let mut parts = Vec::with_capacity(runs.len());
                for run in &runs {
                    let (part, rest) = bytes.split_at_checked(run.len()).ok_or(CUT_OFF)?;
                    bytes = rest;
                    parts.push(part.to_vec());
                }
                versions.push(Version { look, time, bytes: parts });
            }
            image.pages.insert(at, Page { runs, versions });
        }
        if bytes.is_empty() { Ok(image) } else { Err(BadImage("something follows its end")) }
    }
}

/// One of the letters that a text is hidden behind.
fn letter(key: &RandomState, content: &[u8], place: usize) -> u8 {
    let [byte, ..] = key.hash_one((content, place)).to_le_bytes();
    b'a' + byte % 26
}

const CUT_OFF: BadImage = BadImage("it is cut off");

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], BadImage> {
    let (first, rest) = bytes.split_first_chunk().ok_or(CUT_OFF)?;
    *bytes = rest;
    Ok(*first)
}

fn take_number(bytes: &mut &[u8]) -> Result<usize, BadImage> {
    take(bytes).map(|number| u32::from_le_bytes(number) as usize)
}

/// The pages of `len` bytes at `at`: each with what of it they are, and which of them it has.
fn parts(at: Address, len: u64) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let length = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let end = at.0.saturating_add(len);
    let first = if len == 0 { end } else { at.page() };
    (first..end).step_by(PAGE_LEN).map(move |page| {
        let (from, to) = (page.max(at.0), page.saturating_add(PAGE).min(end));
        let here = length(from - page)..length(to - page);
        (page, here, length(from - at.0)..length(to - at.0))
    })
}

impl ReadMemory for Image {
    /// What is not known of a page is zero.
    fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        let len = into.len() as u64;
        let fault = || Fault::unsaved(at, len);
        at.0.checked_add(len).ok_or_else(fault)?;
        // What fails as a whole is read page by page then, and is to count once.
        if !parts(at, len).all(|(page, ..)| self.pages.contains_key(&page)) {
            return Err(fault());
        }
        into.fill(0);
        let mut times = self.times.borrow_mut();
        for (number, here, there) in parts(at, len) {
            let page = self.pages.get(&number).ok_or_else(fault)?;
            let time = times.entry(number).or_default();
            let version = version_at(&page.versions, self.look, *time).ok_or_else(fault)?;
            *time = time.saturating_add(1);
            let into = into.get_mut(there).ok_or_else(fault)?;
            for (run, bytes) in page.runs.iter().zip(&version.bytes) {
                let (from, to) = (run.start.max(here.start), run.end.min(here.end));
                if from < to {
                    let bytes = bytes.get(from - run.start..to - run.start).ok_or_else(fault)?;
                    let into = into.get_mut(from - here.start..to - here.start);
                    into.ok_or_else(fault)?.copy_from_slice(bytes);
                }
            }
        }
        Ok(())
    }

    fn stats(&self) -> ReadStats {
        ReadStats::default()
    }

    fn is_sparse(&self) -> bool {
        true
    }

    fn holds(&self, at: Address, len: u64) -> bool {
        parts(at, len).all(|(page, here, _)| {
            let Some(page) = self.pages.get(&page) else { return false };
            let after = page.runs.partition_point(|run| run.start <= here.start);
            let run = after.checked_sub(1).and_then(|last| page.runs.get(last));
            run.is_some_and(|run| here.end <= run.end)
        })
    }

    fn begin_look(&mut self) {
        self.look = self.look.saturating_add(1);
        self.times.get_mut().clear();
    }
}

/// Keeps every page that is read through it, while a look is taken.
#[derive(Debug)]
pub struct Recorder<M> {
    source: M,
    kept: Arc<Mutex<Recorded>>,
}

/// What a [`Recorder`] has kept.
#[derive(Debug, Default)]
pub struct Recorded {
    pages: BTreeMap<u64, Vec<Version<Vec<u8>>>>,
    look: u32,
    /// How often each page was read in this look.
    times: FxHashMap<u64, u32>,
    is_on: bool,
    /// How many versions there are of all pages.
    versions: usize,
}

impl Recorded {
    /// What was decoded of it, if it is not too much to be kept; without the contents of texts that
    /// are not names, if they are to be hidden.
    pub fn image(&self, touched: &Touched, hides_texts: bool) -> Option<Image> {
        if self.versions >= MAX_VERSIONS {
            return None;
        }
        let key = RandomState::new();
        let mut texts: FxHashMap<u64, Vec<(Text, Range<usize>)>> = FxHashMap::default();
        for text in touched.texts().into_iter().filter(|_| hides_texts) {
            for (page, range, _) in parts(text.at, text.len) {
                texts.entry(page).or_default().push((text, range));
            }
        }
        let page = |(at, versions): (&u64, &Vec<Version<Vec<u8>>>)| {
            let runs = touched.page(*at)?.runs();
            let mut versions = versions.clone();
            if let Some(texts) = texts.get(at) {
                hide(&mut versions, texts, &key);
            }
            let decoded = |it: Version<Vec<u8>>| {
                let bytes = of_runs(&it.bytes, &runs);
                Version { look: it.look, time: it.time, bytes }
            };
            let mut versions: Vec<_> = versions.into_iter().map(decoded).collect();
            versions.dedup_by(|later, before| later.bytes == before.bytes);
            Some((*at, Page { runs, versions }))
        };
        Some(Image { pages: self.pages.iter().filter_map(page).collect(), ..Image::default() })
    }

    /// Keeps what was read at `at`; a page that is new is read from `source` as a whole. Who reads the
    /// image in another order must not find zeros in it.
    fn keep(&mut self, at: Address, bytes: &[u8], source: &impl ReadMemory) {
        if !self.is_on || self.versions >= MAX_VERSIONS {
            return;
        }
        for (page, here, there) in parts(at, bytes.len() as u64) {
            let time = self.times.entry(page).or_default();
            let now = Version { look: self.look, time: *time, bytes: () };
            *time = time.saturating_add(1);
            let versions = self.pages.entry(page).or_default();
            let Some(read) = bytes.get(there) else { return };
            let before = versions.last().map(|version| &version.bytes);
            if before.and_then(|before| before.get(here.clone())) == Some(read) {
                continue;
            }
            let mut whole = before.cloned().unwrap_or_else(|| {
                let mut whole = vec![0; PAGE_LEN];
                // One that cannot be read now has no more than what was read.
                let _ = (read.len() < PAGE_LEN).then(|| source.read(Address(page), &mut whole));
                whole
            });
            if let Some(part) = whole.get_mut(here) {
                part.copy_from_slice(read);
            }
            versions.push(Version { look: now.look, time: now.time, bytes: whole });
            self.versions += 1;
        }
    }
}

/// Hides the contents of texts of a page that are not names behind letters. Equal ones stay equal,
/// and others are others: much is told by whether something has changed. A name is one for as long
/// as what lies there is what was read as one.
fn hide(versions: &mut [Version<Vec<u8>>], texts: &[(Text, Range<usize>)], key: &RandomState) {
    let name = |(text, range): &(Text, Range<usize>)| {
        let then = version_at(versions, text.look, u32::MAX)?.bytes.get(range.clone())?;
        Some((range.clone(), then.to_vec()))
    };
    let names: Vec<_> = texts.iter().filter(|(text, _)| text.is_name).filter_map(name).collect();
    let mut hidden: Vec<_> = texts.iter().filter(|(text, _)| !text.is_name).collect();
    // What was read to a greater length counts.
    hidden.sort_by_key(|(text, range)| (text.at, range.end));
    for version in versions {
        let mut kept = Mask::default();
        for (range, name) in &names {
            if version.bytes.get(range.clone()) == Some(name) {
                kept.set(range.clone());
            }
        }
        let before = version.bytes.clone();
        for (_, range) in &hidden {
            let Some(content) = before.get(range.clone()) else { continue };
            for (i, from) in range.clone().zip(content) {
                // What is a zero is one half of a wider character.
                if let Some(byte) = version.bytes.get_mut(i)
                    && *from != 0
                    && !kept.has(i)
                {
                    *byte = letter(key, content, i - range.start);
                }
            }
        }
    }
}

impl<M: ReadMemory> Recorder<M> {
    /// A recorder over `source`, and what it keeps.
    pub fn new(source: M) -> (Self, Arc<Mutex<Recorded>>) {
        let kept = Arc::new(Mutex::new(Recorded { is_on: true, ..Recorded::default() }));
        (Self { source, kept: Arc::clone(&kept) }, kept)
    }

    fn kept(&self) -> MutexGuard<'_, Recorded> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: ReadMemory> ReadMemory for Recorder<M> {
    fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        self.source.read(at, into)?;
        self.kept().keep(at, into, &self.source);
        Ok(())
    }

    fn read_many(&self, ranges: &[Range<u64>], into: &mut [u8], failed: &mut dyn FnMut(usize)) {
        let mut bad = FxHashSet::default();
        self.source.read_many(ranges, into, &mut |range| {
            bad.insert(range);
            failed(range);
        });
        let mut kept = self.kept();
        let mut rest = &*into;
        for (i, range) in ranges.iter().enumerate() {
            let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
            let Some((bytes, behind)) = rest.split_at_checked(len) else { return };
            rest = behind;
            if !bad.contains(&i) {
                kept.keep(Address(range.start), bytes, &self.source);
            }
        }
    }

    fn stats(&self) -> ReadStats {
        self.source.stats()
    }

    fn peek(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        self.source.read(at, into)
    }

    fn is_recording(&self) -> bool {
        true
    }

    fn begin_look(&mut self) {
        let mut kept = self.kept();
        kept.look = kept.look.saturating_add(1);
        kept.times.clear();
        kept.is_on = true;
    }

    fn end_look(&mut self) {
        self.kept().is_on = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::PageCache;

    const AT: u64 = 0x7000;

    /// A page whose bytes are all the number of times that it was read.
    #[derive(Debug, Default)]
    struct Counting(std::cell::Cell<u8>);

    impl ReadMemory for Counting {
        fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
            if !(AT..AT + PAGE).contains(&at.0) {
                return Err(Fault::unmapped(at, into.len() as u64));
            }
            self.0.set(self.0.get() + 1);
            into.fill(self.0.get());
            Ok(())
        }

        fn stats(&self) -> ReadStats {
            ReadStats::default()
        }
    }

    /// The number that a look of three readings sees, each of which is fresh.
    fn look<M: ReadMemory>(memory: &mut PageCache<M>) -> [u64; 3] {
        memory.begin_look();
        let seen = [0, 1, 2].map(|_| {
            memory.clear();
            memory.u64(Address(AT + 8)).unwrap() & 0xff
        });
        memory.end_look();
        seen
    }

    fn written(image: &Image) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.put(&mut bytes);
        bytes
    }

    #[test]
    fn what_changes_while_it_is_read_changes_again() {
        let (source, kept) = Recorder::new(Counting::default());
        let mut memory = PageCache::new(source);
        assert_eq!(look(&mut memory), [1, 2, 3]);
        // Between looks nothing is kept.
        memory.clear();
        assert_eq!(memory.u8(Address(AT + 100)), Ok(4));
        assert_eq!(look(&mut memory), [5, 6, 7]);
        let touched = memory.touched().unwrap();
        let image = kept.lock().unwrap().image(&touched, false).unwrap();
        let mut again = PageCache::new(Image::get(&written(&image)).unwrap());
        assert_eq!(look(&mut again), [1, 2, 3]);
        assert_eq!(look(&mut again), [5, 6, 7]);
        // There is no more to come, and nothing beside what was decoded.
        assert_eq!(look(&mut again), [7, 7, 7]);
        for at in [AT, AT + 7, AT + 9, AT + 16, AT - 8, AT + PAGE] {
            let unsaved = Err(Fault::unsaved(Address(at), 8));
            assert_eq!(again.u64(Address(at)), unsaved, "{at:x}");
        }
    }

    #[test]
    fn pages_that_nobody_decoded_change_nothing_for_others() {
        let (source, kept) = Recorder::new(Counting::default());
        let mut memory = PageCache::new(source);
        memory.begin_look();
        let next = AT - PAGE;
        // They come together, and the first of them is not there in the image.
        memory.prefetch([(Address(next), 8), (Address(AT), 8)].into_iter());
        let first = memory.u64(Address(AT));
        memory.clear();
        let second = memory.u64(Address(AT));
        assert_ne!(first, second);
        let touched = memory.touched().unwrap();
        let image = kept.lock().unwrap().image(&touched, false).unwrap();
        let mut again = PageCache::new(image);
        again.begin_look();
        again.prefetch([(Address(AT), 8), (Address(AT + PAGE), 8)].into_iter());
        assert_eq!(again.u64(Address(AT)), first);
        again.clear();
        assert_eq!(again.u64(Address(AT)), second);
    }

    #[test]
    fn another_order_of_reading_finds_no_zeros() {
        let (source, kept) = Recorder::new(Counting::default());
        let mut memory = PageCache::new(source);
        memory.begin_look();
        memory.source().read(Address(AT + 64), &mut [0; 8]).unwrap();
        assert_ne!(memory.u64(Address(AT + 8)), Ok(0));
        let touched = memory.touched().unwrap();
        let image = kept.lock().unwrap().image(&touched, false).unwrap();
        let mut again = PageCache::new(image);
        again.begin_look();
        assert_ne!(again.u64(Address(AT + 8)), Ok(0));
        assert_ne!(again.u64(Address(AT + 64)), Ok(0));
    }

    #[test]
    fn texts_are_hidden_and_names_are_not() {
        let text = b"secret secret other_ name__ ".map(|byte| byte);
        let saved = Image::new([(Address(AT), text.to_vec())]);
        let (source, kept) = Recorder::new(saved);
        let mut memory = PageCache::new(source);
        memory.begin_look();
        for (at, is_name) in [(0, false), (7, false), (14, false), (21, false), (21, true)] {
            memory.note_text(Address(AT + at), 6, is_name);
        }
        memory.vec(Address(AT), text.len() as u64).unwrap();
        let touched = memory.touched().unwrap();
        let image = kept.lock().unwrap().image(&touched, true).unwrap();
        let hidden = PageCache::new(image).vec(Address(AT), text.len() as u64).unwrap();
        let hidden = String::from_utf8(hidden).unwrap();
        let words: Vec<&str> = hidden.split(' ').collect();
        assert_eq!((words[0], words[3]), (words[1], "name__"));
        assert!(words[0] != "secret" && words[2] != "other_" && words[0] != words[2], "{hidden}");
        assert!(words[0].bytes().all(|byte| byte.is_ascii_lowercase()), "{hidden}");
    }

    #[test]
    fn what_was_not_written_so_is_refused() {
        let image =
            Image::new([(Address(AT), vec![1; 20]), (Address(AT + 2 * PAGE - 4), vec![2; 8])]);
        let bytes = written(&image);
        assert_eq!(written(&Image::get(&bytes).unwrap()), bytes);
        for len in 0..bytes.len() {
            assert!(Image::get(&bytes[..len]).is_err(), "cut to {len}");
        }
        assert!(Image::get(&[&bytes[..], b"x"].concat()).is_err());
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // Whatever it is now, it is read to an end, and so is what it holds.
            if let Ok(image) = Image::get(&damaged) {
                let memory = PageCache::new(image);
                let _ = memory.vec(Address(AT), 3 * PAGE);
                let _ = memory.u64(Address(AT));
            }
        }
    }
}
