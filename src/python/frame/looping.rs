//! Which `for` loops a suspended frame is in, and how far these are.
//!
//! A loop is a `FOR_ITER` with everything from which its next turn is come to without the loop
//! being left: the body, and handlers of exceptions in it, wherever the compiler has put them. An
//! `except` that goes on with the loop is in it, and an `else` is not, nor what is followed by
//! `break` or `return` only. `while` and `async for` have no `FOR_ITER`.

use super::RawFrame;
use crate::layout::{Awaiting, RangeIterator};
use crate::memory::Address;
use crate::python::object::{Body, Kind, Read, Reader};

/// Values on the stack of one frame that are looked at.
const MAX_STACK: u64 = 1000;
/// Iterators inside iterators: `enumerate(zip(…))`.
const MAX_DEPTH: usize = 4;
/// More turns than this are no number of a real loop.
const MAX_COUNT: u64 = 1 << 48;

/// A `for` loop that a frame is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForLoop {
    /// Its `FOR_ITER`, in bytes: the same for all frames in this loop.
    pub at: u64,
    /// The line of the `for`.
    pub line: Option<u32>,
}

/// How far a loop is, by its iterator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turns {
    /// How many are done.
    pub done: Option<u64>,
    /// How many come after the present one.
    pub left: Option<u64>,
    /// What the present one is for, where that can be told.
    pub item: Option<Address>,
}

impl Reader<'_> {
    /// The `for` loops that the current instruction of a suspended frame is in, innermost first.
    ///
    /// # Errors
    /// When the frame's code cannot be read, or its lines are traced (from 3.12 on).
    pub fn for_loops(&self, frame: &RawFrame) -> Read<Vec<ForLoop>> {
        let Ok(lasti) = u64::try_from(frame.lasti) else { return Ok(Vec::new()) };
        let code = self.code(frame.code)?;
        let loops = self.loops(&code)?;
        if loops.all.is_empty() {
            return Ok(Vec::new());
        }
        let Some(present) = self.flow(&code)?.index_of(lasti) else { return Ok(Vec::new()) };
        let mut around: Vec<&Body> = loops.all.iter().filter(|body| body.has(present)).collect();
        // One that is in another has less in it.
        around.sort_by_key(|body| body.len());
        let lines = |body: &Body| {
            let site = self.site(frame.code, i64::try_from(body.at).unwrap_or(-1), frame.qualname);
            Ok(ForLoop { at: body.at, line: site?.location.line })
        };
        around.into_iter().map(lines).collect()
    }

    /// How far the `count` loops are that a suspended frame is in, innermost first; nothing where
    /// its stack does not tell which of the values on it are theirs.
    ///
    /// # Errors
    /// When the frame's stack cannot be read.
    pub fn turns(&self, frame: &RawFrame, count: usize) -> Read<Vec<Turns>> {
        let code = self.code(frame.code)?;
        let (first, end) = self.value_stack(frame, &code)?;
        // What is awaited may be an iterator as well.
        let awaited = match self.layout.awaiting {
            Awaiting::State { slot } => slot,
            _ => 1,
        };
        let size = end.0.saturating_sub(first.0).saturating_sub(8 * awaited);
        if size > 8 * code.stacksize.min(MAX_STACK) {
            return Ok(Vec::new());
        }
        let words = self.memory.vec(first, size)?;
        let words: Vec<u64> =
            words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let mut found = Vec::new();
        for (i, &word) in words.iter().enumerate() {
            let Some(value) = self.slot_value(word) else { continue };
            let given = words.get(i + 1).and_then(|&next| self.small_number(next));
            match given.filter(|_| self.layout.iterators.slots > 1) {
                Some(given) => found.push(self.turns_of_collection(value, given)),
                None => found.extend(self.turns_of(value, MAX_DEPTH)),
            }
        }
        // An iterator that is an argument of a call to be made is not that of a loop, and one
        // written in Python is not seen.
        if found.len() != count {
            return Ok(Vec::new());
        }
        found.reverse();
        Ok(found)
    }

    /// How far a loop is that goes by an iterator; `None` for what is no iterator, as far as is
    /// known.
    fn turns_of(&self, at: Address, depth: usize) -> Option<Turns> {
        let fields = &self.layout.iterators;
        let memory = self.memory;
        let number = |offset| memory.u64(at.offset(offset)).ok().filter(|it| *it < MAX_COUNT);
        let of = |used: Option<u64>, left: Option<u64>| {
            let done = used.zip(left).and_then(|(used, left)| used.checked_sub(left + 1));
            Turns { done, left, item: None }
        };
        let class = self.class_of(at).ok()?;
        if class.is_python() {
            return None;
        }
        Some(match &*class.name {
            "list_iterator" | "tuple_iterator" => {
                let given = number(fields.index);
                let items = self.pointer(at.offset(fields.items)).ok().flatten();
                match given.zip(items) {
                    Some((given, items)) => self.turns_of_collection(items, given),
                    None => Turns::default(),
                }
            }
            "range_iterator" => match fields.range {
                RangeIterator::Index { index, len } => {
                    let (given, len) = (number(index), number(len));
                    let left = given.zip(len).and_then(|(given, len)| len.checked_sub(given));
                    of(len, left)
                }
                RangeIterator::Left { len } => Turns { done: None, left: number(len), item: None },
            },
            "dict_keyiterator" | "dict_valueiterator" | "dict_itemiterator" => {
                of(number(fields.dict_used), number(fields.dict_left))
            }
            "set_iterator" => of(number(fields.set_used), number(fields.set_left)),
            "enumerate" => self.turns_inside(at.offset(fields.enumerated), depth),
            "zip" => {
                let all = self.pointer(at.offset(fields.zipped)).ok().flatten();
                let items = self.layout.small.tuple_items;
                // The first is as far as any: it is asked first, and ends the loop.
                all.map(|all| self.turns_inside(all.offset(items), depth)).unwrap_or_default()
            }
            "generator" | "map" | "filter" | "reversed" => Turns::default(),
            name if name.ends_with("iterator") || name.starts_with("itertools.") => {
                Turns::default()
            }
            _ => return None,
        })
    }

    /// How far the iterator is that the pointer at `at` leads to.
    fn turns_inside(&self, at: Address, depth: usize) -> Turns {
        let inner = self.pointer(at).ok().flatten();
        let inner = inner.zip(depth.checked_sub(1));
        inner.and_then(|(inner, depth)| self.turns_of(inner, depth)).unwrap_or_default()
    }

    /// How far a loop over a list or tuple is that has been given so many of its items.
    fn turns_of_collection(&self, at: Address, given: u64) -> Turns {
        let small = &self.layout.small;
        let first = match self.kind_of(at) {
            Ok(Kind::List) => self.pointer(at.offset(small.list_items)).ok().flatten(),
            Ok(Kind::Tuple) => Some(at.offset(small.tuple_items)),
            _ => None,
        };
        let len = self.size(at, MAX_COUNT, "collection").ok();
        match (first, len, given.checked_sub(1)) {
            // A list may have got shorter meanwhile.
            (Some(first), Some(len), Some(done)) if given <= len => Turns {
                done: Some(done),
                left: Some(len - given),
                item: self.pointer(first.offset(8 * done)).ok().flatten(),
            },
            _ => Turns::default(),
        }
    }
}
