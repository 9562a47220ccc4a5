//! Which private memory a process has written to: what a search of its heap has to read.
//!
//! Of a page that was never touched nothing can be learnt, and reading it makes the kernel set up page
//! tables in the target's name; one that was swapped out would have to come back. So only those count
//! that are there.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::maps::Mapping;
use crate::memory::PAGE;

/// Bits of an entry of `/proc/PID/pagemap`.
// Documentation/admin-guide/mm/pagemap.rst
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;

/// Entries of that file that are read at once: 1 GiB of memory in eight calls.
const ENTRIES: u64 = 1 << 15;

/// The pages of private memory that a process may write to and that are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resident {
    /// Where they are, in ascending order.
    pub ranges: Vec<Range<u64>>,
    /// Bytes that were swapped out.
    pub swapped: u64,
}

impl Resident {
    /// How many bytes are there.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    fn note(&mut self, page: u64, entry: u64) {
        if entry & PRESENT == 0 {
            self.swapped += if entry & SWAPPED == 0 { 0 } else { PAGE };
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if last.end == page => last.end += PAGE,
            _ => self.ranges.push(page..page + PAGE),
        }
    }
}

/// Finds them by the target's `pagemap`.
pub(super) fn resident(maps: &[Mapping], pagemap: &File) -> io::Result<Resident> {
    let mut found = Resident::default();
    let mut entries = vec![0; usize::try_from(8 * ENTRIES).unwrap_or(0)];
    for mapping in maps.iter().filter(|it| it.is_readable && it.is_writable && !it.is_shared) {
        let pages = mapping.start / PAGE..mapping.end / PAGE;
        for first in pages.clone().step_by(usize::try_from(ENTRIES).unwrap_or(1)) {
            let count = (pages.end - first).min(ENTRIES);
            let part = entries.get_mut(..usize::try_from(8 * count).unwrap_or(0));
            let part = part.unwrap_or_default();
            pagemap.read_exact_at(part, 8 * first)?;
            for (page, entry) in (first..).zip(part.as_chunks::<8>().0) {
                found.note(page * PAGE, u64::from_le_bytes(*entry));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_in_a_row_are_one_range_and_missing_ones_none() {
        let mut found = Resident::default();
        let pages = [PRESENT, PRESENT | 5, 0, SWAPPED, PRESENT];
        for (page, entry) in (16..).zip(pages) {
            found.note(page * PAGE, entry);
        }
        let ranges = vec![16 * PAGE..18 * PAGE, 20 * PAGE..21 * PAGE];
        assert_eq!(found, Resident { ranges, swapped: PAGE });
        assert_eq!(found.bytes(), 3 * PAGE);
    }

    #[test]
    fn of_ourselves_what_was_written_to_is_there() {
        let written = vec![1_u8; 3 * 4096];
        let maps = super::super::maps::parse(&std::fs::read("/proc/self/maps").unwrap());
        let found = resident(&maps, &File::open("/proc/self/pagemap").unwrap()).unwrap();
        let middle = written.as_ptr() as u64 + 4096;
        assert!(found.ranges.iter().any(|range| range.contains(&middle)));
        assert_eq!(written.last(), Some(&1));
    }
}
