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

use rustc_hash::FxHashMap;

use super::touched::{Mask, Text, Touched};
use super::{Address, Fault, PAGE, ReadMemory, ReadStats};

/// Bytes of a page as a length.
const PAGE_LEN: usize = 4096;
/// Pages with their versions that are kept (512 MiB): 10,000 tasks at two looks take some 100 MiB.
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

#[derive(Debug, Clone)]
struct Page {
    known: Mask,
    versions: Vec<Version>,
}

/// The bytes of a page from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    look: u32,
    /// How often it had been read before in that look.
    time: u32,
    /// As many as a page has; in a damaged image there may be fewer.
    bytes: Vec<u8>,
}

impl Page {
    /// What it was at the `time`-th reading in a look; before the first reading, what it was then.
    fn at(&self, look: u32, time: u32) -> Option<&Version> {
        let known = self.versions.iter().rev().find(|it| (it.look, it.time) <= (look, time));
        known.or(self.versions.first())
    }
}

impl Image {
    /// An image of the given ranges, which are the same at all times.
    pub fn new(ranges: impl IntoIterator<Item = (Address, Vec<u8>)>) -> Self {
        let mut image = Self::default();
        for (at, bytes) in ranges {
            for (page, range, part) in parts(at, bytes.len() as u64) {
                let known = image.pages.entry(page).or_insert_with(|| Page {
                    known: Mask::default(),
                    versions: vec![Version { look: 0, time: 0, bytes: vec![0; PAGE_LEN] }],
                });
                known.known.set(range.clone());
                let into = known.versions.first_mut().and_then(|it| it.bytes.get_mut(range));
                if let (Some(into), Some(from)) = (into, bytes.get(part)) {
                    into.copy_from_slice(from);
                }
            }
        }
        image
    }

    /// All pages in all their versions, to be changed in place.
    pub fn pages_mut(&mut self) -> impl Iterator<Item = (Address, &mut Vec<u8>)> {
        self.pages.iter_mut().flat_map(|(&at, page)| {
            page.versions.iter_mut().map(move |version| (Address(at), &mut version.bytes))
        })
    }

    /// Drops what nobody decoded.
    fn keep_only(&mut self, touched: &Touched) {
        self.pages.retain(|at, page| {
            page.known = touched.page(*at).cloned().unwrap_or_default();
            for version in &mut page.versions {
                page.known.clear_others(&mut version.bytes);
            }
            page.versions.dedup_by(|later, before| later.bytes == before.bytes);
            !page.known.is_empty()
        });
    }

    /// Hides the contents of texts that are not names behind letters. Equal ones stay equal, and
    /// others are others: much is told by whether something has changed. A name is one for as long
    /// as what lies there is what was read as one.
    fn hide(&mut self, texts: &[Text], key: &RandomState) {
        let mut of_page: FxHashMap<u64, Vec<(&Text, Range<usize>)>> = FxHashMap::default();
        for text in texts {
            for (page, range, _) in parts(text.at, text.len) {
                of_page.entry(page).or_default().push((text, range));
            }
        }
        for (at, page) in &mut self.pages {
            let Some(texts) = of_page.get(at) else { continue };
            let names: Vec<(Range<usize>, Vec<u8>)> = texts
                .iter()
                .filter(|(text, _)| text.is_name)
                .filter_map(|(text, range)| {
                    let then = page.at(text.look, u32::MAX)?.bytes.get(range.clone())?;
                    Some((range.clone(), then.to_vec()))
                })
                .collect();
            let mut hidden: Vec<(u64, Range<usize>)> = texts
                .iter()
                .filter(|(text, _)| !text.is_name)
                .map(|(text, range)| (text.at.0, range.clone()))
                .collect();
            // What was read to a greater length counts.
            hidden.sort_by_key(|(text, range)| (*text, range.end));
            for version in &mut page.versions {
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
    }

    /// Writes it behind `out`.
    pub fn put(&self, out: &mut Vec<u8>) {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
        out.extend(number(self.pages.len()));
        for (at, page) in &self.pages {
            let runs = page.known.runs();
            out.extend(at.to_le_bytes());
            out.extend(short(runs.len()));
            for run in &runs {
                out.extend(short(run.start));
                out.extend(short(run.len()));
            }
            out.extend(number(page.versions.len()));
            for version in &page.versions {
                out.extend(version.look.to_le_bytes());
                out.extend(version.time.to_le_bytes());
                for run in &runs {
                    out.extend(version.bytes.get(run.clone()).unwrap_or_default());
                }
            }
        }
    }

    /// Reads what [`put`](Self::put) wrote; nothing of it is trusted.
    ///
    /// # Errors
    /// When it is cut off, or says what cannot be.
    pub fn get(mut bytes: &[u8]) -> Result<Self, BadImage> {
        let mut image = Self::default();
        let mut left = MAX_VERSIONS;
        for _ in 0..take_number(&mut bytes)? {
            let at = u64::from_le_bytes(take(&mut bytes)?);
            if !at.is_multiple_of(PAGE) {
                return Err(BadImage("a page of it begins nowhere"));
            }
            let mut known = Mask::default();
            let mut runs = Vec::new();
            let mut end = 0;
            for _ in 0..u16::from_le_bytes(take(&mut bytes)?) {
                let start = usize::from(u16::from_le_bytes(take(&mut bytes)?));
                let len = usize::from(u16::from_le_bytes(take(&mut bytes)?));
                if start < end || len == 0 || start + len > PAGE_LEN {
                    return Err(BadImage("parts of a page lie outside of it"));
                }
                end = start + len;
                known.set(start..end);
                runs.push(start..end);
            }
            let count = take_number(&mut bytes)?;
            left = left.checked_sub(count).ok_or(BadImage("it has too many pages"))?;
            let mut versions = Vec::new();
            for _ in 0..count {
                let (look, time) = (take(&mut bytes)?, take(&mut bytes)?);
                let (look, time) = (u32::from_le_bytes(look), u32::from_le_bytes(time));
                let mut page = vec![0; PAGE_LEN];
                for run in &runs {
                    let (part, rest) = bytes.split_at_checked(run.len()).ok_or(CUT_OFF)?;
                    bytes = rest;
                    page.get_mut(run.clone()).ok_or(CUT_OFF)?.copy_from_slice(part);
                }
                versions.push(Version { look, time, bytes: page });
            }
            image.pages.insert(at, Page { known, versions });
        }
        if bytes.is_empty() { Ok(image) } else { Err(BadImage("something follows its end")) }
    }

    fn bytes_of(&self, page: u64) -> Option<&[u8]> {
        let mut times = self.times.borrow_mut();
        let time = times.entry(page).or_default();
        let version = self.pages.get(&page)?.at(self.look, *time)?;
        *time = time.saturating_add(1);
        Some(&version.bytes)
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
    fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        let len = into.len() as u64;
        let fault = || Fault::unmapped(at, len);
        at.0.checked_add(len).ok_or_else(fault)?;
        for (page, here, there) in parts(at, len) {
            let bytes = self.bytes_of(page).and_then(|bytes| bytes.get(here)).ok_or_else(fault)?;
            into.get_mut(there).ok_or_else(fault)?.copy_from_slice(bytes);
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
            self.pages.get(&page).is_some_and(|page| page.known.has_all(here))
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
#[derive(Debug)]
pub struct Recorded {
    image: Image,
    is_on: bool,
    versions: usize,
}

impl Recorded {
    /// What was decoded of it, if it is not too much to be kept; without the contents of texts that
    /// are not names, if they are to be hidden.
    pub fn image(&self, touched: &Touched, hides_texts: bool) -> Option<Image> {
        if self.versions >= MAX_VERSIONS {
            return None;
        }
        let mut image = self.image.clone();
        image.keep_only(touched);
        if hides_texts {
            image.hide(&touched.texts(), &RandomState::new());
        }
        (image.look, image.times) = (0, RefCell::default());
        Some(image)
    }

    /// Keeps what was read at `at`.
    fn keep(&mut self, at: Address, bytes: &[u8]) {
        if !self.is_on || self.versions >= MAX_VERSIONS {
            return;
        }
        let look = self.image.look;
        for (page, here, there) in parts(at, bytes.len() as u64) {
            let time = self.image.times.get_mut().entry(page).or_default();
            let now = Version { look, time: *time, bytes: Vec::new() };
            *time = time.saturating_add(1);
            let page = self.image.pages.entry(page);
            let page =
                page.or_insert_with(|| Page { known: Mask::default(), versions: Vec::new() });
            let Some(read) = bytes.get(there) else { return };
            let before = page.versions.last().map(|version| &version.bytes);
            if before.and_then(|before| before.get(here.clone())) == Some(read) {
                continue;
            }
            let mut whole = before.cloned().unwrap_or_else(|| vec![0; PAGE_LEN]);
            if let Some(part) = whole.get_mut(here) {
                part.copy_from_slice(read);
            }
            page.versions.push(Version { bytes: whole, ..now });
            self.versions += 1;
        }
    }
}

impl<M: ReadMemory> Recorder<M> {
    /// A recorder over `source`, and what it keeps.
    pub fn new(source: M) -> (Self, Arc<Mutex<Recorded>>) {
        let recorded = Recorded { image: Image::default(), is_on: true, versions: 0 };
        let kept = Arc::new(Mutex::new(recorded));
        (Self { source, kept: Arc::clone(&kept) }, kept)
    }

    fn kept(&self) -> MutexGuard<'_, Recorded> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: ReadMemory> ReadMemory for Recorder<M> {
    fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        self.source.read(at, into)?;
        self.kept().keep(at, into);
        Ok(())
    }

    fn read_many(&self, ranges: &[Range<u64>], into: &mut [u8], failed: &mut dyn FnMut(usize)) {
        let mut bad = Vec::new();
        self.source.read_many(ranges, into, &mut |range| {
            bad.push(range);
            failed(range);
        });
        let mut kept = self.kept();
        let mut rest = &*into;
        for (i, range) in ranges.iter().enumerate() {
            let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
            let Some((bytes, behind)) = rest.split_at_checked(len) else { return };
            rest = behind;
            if !bad.contains(&i) {
                kept.keep(Address(range.start), bytes);
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
        kept.image.begin_look();
        kept.is_on = true;
    }

    fn end_look(&mut self) {
        self.kept().is_on = false;
    }
}
