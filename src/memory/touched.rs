//! Which bytes of a target's memory were decoded, and which of them as text.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::{Address, PAGE};

/// Words of a mask.
const WORDS: usize = 64;

/// Some of the bytes of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mask([u64; WORDS]);

impl Default for Mask {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl Mask {
    pub(super) fn set(&mut self, range: Range<usize>) {
        for (word, bits) in bits(range) {
            if let Some(word) = self.0.get_mut(word) {
                *word |= bits;
            }
        }
    }

    pub(super) fn has(&self, byte: usize) -> bool {
        self.has_all(byte..byte + 1)
    }

    pub(super) fn has_all(&self, range: Range<usize>) -> bool {
        bits(range).all(|(word, bits)| self.0.get(word).is_some_and(|word| word & bits == bits))
    }

    /// The bytes in ranges.
    pub(super) fn runs(&self) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for byte in (0..64 * WORDS).filter(|byte| self.has(*byte)) {
            match runs.last_mut() {
                Some(last) if last.end == byte => last.end = byte + 1,
                _ => runs.push(byte..byte + 1),
            }
        }
        runs
    }
}

/// The words of a mask that a range touches, each with its bits of that.
fn bits(range: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    (range.start / 64..range.end.div_ceil(64)).map(move |word| {
        let from = range.start.saturating_sub(64 * word).min(64);
        let to = (range.end - 64 * word).min(64);
        let up_to = |bit: usize| u64::MAX.checked_shr(64 - u32::try_from(bit).unwrap_or(0));
        (word, up_to(to).unwrap_or(0) & !up_to(from).unwrap_or(0))
    })
}

/// The content of a string or of bytes that was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) at: Address,
    pub(super) len: u64,
    /// Whether it names something of the program's code.
    pub(super) is_name: bool,
    /// The look in which it was decoded.
    pub(super) look: u32,
}

/// What was decoded of a target's memory.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    pages: FxHashMap<u64, Mask>,
    texts: FxHashMap<(Address, u64, bool), u32>,
    pub(super) look: u32,
}

impl Touched {
    pub(super) fn note(&mut self, at: Address, len: u64) {
        let end = at.0.saturating_add(len);
        let mut from = at.0;
        while from < end {
            let page = Address(from).page();
            let to = end.min(page.saturating_add(PAGE));
            let place = |at: u64| usize::try_from(at - page).unwrap_or(0);
            self.pages.entry(page).or_default().set(place(from)..place(to));
            from = to;
        }
    }

    /// Of a name the last look is kept: memory that is used again holds something else from then on.
    pub(super) fn note_text(&mut self, at: Address, len: u64, is_name: bool) {
        self.texts.insert((at, len, is_name), self.look);
    }

    pub(super) fn page(&self, at: u64) -> Option<&Mask> {
        self.pages.get(&at)
    }

    pub(super) fn texts(&self) -> Vec<Text> {
        let text = |(&(at, len, is_name), &look)| Text { at, len, is_name, look };
        self.texts.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_page_in_runs() {
        let mut mask = Mask::default();
        for range in [0..1, 63..65, 65..66, 128..256, 200..300, 4095..4096, 500..500] {
            mask.set(range);
        }
        assert_eq!(mask.runs(), [0..1, 63..66, 128..300, 4095..4096]);
        assert!(mask.has_all(128..300) && !mask.has_all(127..300) && !mask.has_all(128..301));
        assert!(mask.has(64) && !mask.has(66) && mask.has_all(7..7));
    }

    #[test]
    fn what_is_decoded_may_lie_in_several_pages() {
        let mut touched = Touched::default();
        touched.note(Address(2 * PAGE - 8), 16 + PAGE);
        let runs = |page: u64| touched.page(page * PAGE).map(Mask::runs).unwrap_or_default();
        let all: Vec<_> = (0..5).flat_map(runs).collect();
        assert_eq!(all, [4088..4096, 0..4096, 0..8]);
        assert_eq!((runs(1).len(), runs(2).len(), runs(3).len()), (1, 1, 1));
    }
}
