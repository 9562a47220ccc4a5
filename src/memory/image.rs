//! A saved piece of a target's memory: sparse pages that can be read back anywhere.
//!
//! An image made of the pages that one snapshot touched is enough to take that snapshot again,
//! without the process. Tests also use it to see what we make of damaged memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Address, Fault, PAGE, ReadMemory, ReadStats};

/// Ranges of bytes by their address.
#[derive(Debug, Clone, Default)]
pub struct Image {
    ranges: BTreeMap<u64, Vec<u8>>,
}

impl Image {
    /// An image of the given ranges; a later range hides what an earlier one has at its place
    /// only when both begin at the same address.
    pub fn new(ranges: impl IntoIterator<Item = (Address, Vec<u8>)>) -> Self {
        Self { ranges: ranges.into_iter().map(|(at, bytes)| (at.0, bytes)).collect() }
    }

    /// All ranges, to be changed in place.
    pub fn ranges_mut(&mut self) -> impl Iterator<Item = (Address, &mut Vec<u8>)> {
        self.ranges.iter_mut().map(|(&at, bytes)| (Address(at), bytes))
    }

    /// The bytes from `at` to the end of the range that holds it.
    fn tail(&self, at: u64) -> Option<&[u8]> {
        let (&start, bytes) = self.ranges.range(..=at).next_back()?;
        let skip = usize::try_from(at - start).ok()?;
        bytes.get(skip..).filter(|tail| !tail.is_empty())
    }
}

impl ReadMemory for Image {
    fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        let len = into.len() as u64;
        let fault = || Fault::unmapped(at, len);
        let mut at = at.0;
        let mut rest = into;
        while !rest.is_empty() {
            let tail = self.tail(at).ok_or_else(fault)?;
            let part = tail.len().min(rest.len());
            let (head, more) = rest.split_at_mut(part);
            head.copy_from_slice(tail.get(..part).ok_or_else(fault)?);
            rest = more;
            at = at.checked_add(part as u64).ok_or_else(fault)?;
        }
        Ok(())
    }

    fn stats(&self) -> ReadStats {
        ReadStats::default()
    }
}

/// Keeps every page that is read through it.
#[derive(Debug)]
pub struct Recorder<M> {
    source: M,
    pages: Arc<Mutex<Image>>,
}

impl<M: ReadMemory> Recorder<M> {
    /// A recorder over `source`, and the image that it fills.
    pub fn new(source: M) -> (Self, Arc<Mutex<Image>>) {
        let pages = Arc::default();
        (Self { source, pages: Arc::clone(&pages) }, pages)
    }

    /// Keeps the pages of a range as they are now; the first reading of a page counts.
    fn keep(&self, range: Range<u64>) {
        let mut image = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = Address(range.start).page();
        while page < range.end {
            if let Entry::Vacant(vacant) = image.ranges.entry(page) {
                let mut bytes = vec![0; usize::try_from(PAGE).unwrap_or(0)];
                if self.source.read(Address(page), &mut bytes).is_ok() {
                    vacant.insert(bytes);
                }
            }
            page = page.saturating_add(PAGE);
        }
    }
}

impl<M: ReadMemory> ReadMemory for Recorder<M> {
    fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        self.source.read(at, into)?;
        self.keep(at.0..at.0.saturating_add(into.len() as u64));
        Ok(())
    }

    fn read_many(&self, ranges: &[Range<u64>], into: &mut [u8], failed: &mut dyn FnMut(usize)) {
        self.source.read_many(ranges, into, failed);
        for range in ranges {
            self.keep(range.clone());
        }
    }

    fn stats(&self) -> ReadStats {
        self.source.stats()
    }
}
