//! The target's stack and code, page by page.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::memory::{Address, PAGE, ReadMemory, word};
use crate::process::Mapping;

/// What was read of the memory while one stack is walked.
#[derive(Debug)]
pub(super) struct Words<'a> {
    memory: &'a dyn ReadMemory,
    maps: &'a [Mapping],
    pages: FxHashMap<u64, Option<Rc<[u8]>>>,
}

impl<'a> Words<'a> {
    pub(super) fn new(memory: &'a dyn ReadMemory, maps: &'a [Mapping]) -> Self {
        Self { memory, maps, pages: FxHashMap::default() }
    }

    fn page(&mut self, at: u64) -> Option<Rc<[u8]>> {
        let read = |page: &u64| {
            let mut bytes = [0; 4096];
            self.memory.read(Address(*page), &mut bytes).ok().map(|()| Rc::from(bytes))
        };
        self.pages.entry(at & !(PAGE - 1)).or_insert_with_key(read).clone()
    }

    /// The word at an address of the stack.
    pub(super) fn word(&mut self, at: u64) -> Option<u64> {
        word(&self.page(at)?, at & (PAGE - 1))
    }

    /// So many bytes of code, at most a page; none where there is no code.
    pub(super) fn bytes(&mut self, at: u64, len: u64) -> Option<Vec<u8>> {
        if !self.is_code(at) {
            return None;
        }
        let within = usize::try_from(at & (PAGE - 1)).ok()?;
        let len = usize::try_from(len).ok()?;
        let mut bytes = self.page(at)?.get(within..)?.to_vec();
        if bytes.len() < len {
            bytes.extend_from_slice(&self.page(at.checked_add(PAGE)?)?);
        }
        bytes.truncate(len);
        Some(bytes)
    }

    /// Whether an address is one of code.
    pub(super) fn is_code(&self, at: u64) -> bool {
        mapping_of(self.maps, at).is_some_and(|mapping| mapping.is_executable)
    }
}

/// The mapping that an address lies in.
pub(super) fn mapping_of(maps: &[Mapping], at: u64) -> Option<&Mapping> {
    let end = maps.partition_point(|mapping| mapping.start <= at);
    maps.get(end.checked_sub(1)?).filter(|mapping| mapping.range().contains(&at))
}
