//! Asynchronous generators that have begun and not ended, and whether somebody has them.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{GROUP, MAX_FOUND, Search, Slot, first_variable, read_words, shape};
use crate::asyncio::ChainEnd;
use crate::frame::RawFrame;
use crate::memory::Address;
use crate::object::{Kind, Read, Reader};
use crate::snapshot::OpenGenerator;

/// Bytes of uvloop's `Loop` object that may hold `_asyncgens`: its buffers follow after that.
const UV_LOOP_LEN: u64 = 512;

impl Reader<'_> {
    /// The asynchronous generators that a loop would close at its end.
    fn asyncgens(&self, loop_at: Address) -> Read<Vec<Address>> {
        let set = if self.is_kind(loop_at, Kind::UvLoop) {
            self.uv_asyncgens(loop_at)?
        } else {
            self.attribute(loop_at, "_asyncgens")?
        };
        let Some(set) = set else { return Ok(Vec::new()) };
        let Some(data) = self.attribute(set, "data")? else { return Ok(Vec::new()) };
        let references = self.set(data)?;
        let object = self.layout.small.weakref_object;
        self.memory.prefetch(references.iter().map(|at| (*at, object + 8)));
        let generators: Vec<Address> = references
            .into_iter()
            .filter(|&at| self.is_kind(at, Kind::Weakref))
            .filter_map(|at| self.pointer(at.offset(object)).ok()?)
            .collect();
        self.prefetch_generators(generators.iter().copied());
        Ok(generators.into_iter().filter(|&at| self.is_kind(at, Kind::AsyncGenerator)).collect())
    }

    /// `_asyncgens` of uvloop's loop: the one `WeakSet` among its fields, at different places in
    /// its releases.
    fn uv_asyncgens(&self, loop_at: Address) -> Read<Option<Address>> {
        let bytes = self.memory.vec(loop_at, UV_LOOP_LEN)?;
        let mut words = bytes.as_chunks::<8>().0.iter().skip(2);
        Ok(words.find_map(|word| {
            let at = Address(u64::from_le_bytes(*word));
            let is_pointer = at.0 > 1 << 16 && at.0 < 1 << 47 && at.0.is_multiple_of(8);
            let class = self.class_of(at).ok().filter(|_| is_pointer)?;
            (class.is_python() && &*class.name == "WeakSet").then_some(at)
        }))
    }
}

impl Search<'_> {
    /// Asynchronous generators that have begun and not ended, and whether somebody has them.
    pub(super) fn open_generators(&self) -> Vec<OpenGenerator> {
        let reader = self.reader;
        let mut open: Vec<(Address, RawFrame, Address)> = Vec::new();
        for &loop_at in self.remains.loops {
            for at in reader.asyncgens(loop_at).unwrap_or_default() {
                let frame = reader.generator(at).ok().and_then(|generator| generator.frame);
                if open.len() < MAX_FOUND {
                    open.extend(frame.map(|frame| (at, frame, loop_at)));
                }
            }
        }
        if open.is_empty() {
            return Vec::new();
        }
        let mut in_use = if self.has_unseen_frames() {
            open.iter().map(|(at, ..)| *at).collect()
        } else {
            self.in_use(&open)
        };
        for slot in &self.slots {
            if in_use.contains(&slot.value) && self.is_abandoned(slot) {
                in_use.remove(&slot.value);
            }
        }
        let name = |at| reader.generator_name(at);
        open.into_iter()
            .filter_map(|(at, frame, loop_at)| {
                let site = reader.site(frame.code, frame.lasti, frame.qualname);
                Some(OpenGenerator {
                    id: at,
                    name: name(at)?,
                    place: site.ok().map(|site| site.location),
                    loop_id: Some(loop_at),
                    is_in_use: in_use.contains(&at),
                })
            })
            .collect()
    }

    /// Whether a task runs, or moved meanwhile, whose inner frames are on no stack that was read:
    /// nobody knows what these have. Test: `leftovers::iterated`.
    fn has_unseen_frames(&self) -> bool {
        self.remains.tasks.iter().any(|task| match task.end {
            ChainEnd::Executing => {
                task.chain.last().is_none_or(|frame| !self.on_stacks.contains(&frame.at))
            }
            // What it awaits was freed, or we cannot look into it.
            ChainEnd::Opaque => task.fut_waiter.is_none(),
            _ => !task.is_coherent(),
        })
    }

    /// Those generators that a frame of a task or thread leads to.
    ///
    /// The generator of an `async for` is only on the value stack of its frame. A word above the
    /// top of that stack may be an old one: then a generator counts as in use that is not.
    fn in_use(&self, open: &[(Address, RawFrame, Address)]) -> FxHashSet<Address> {
        let reader = self.reader;
        let by_address: FxHashMap<Address, &RawFrame> =
            open.iter().map(|(at, frame, _)| (*at, frame)).collect();
        let mut in_use = FxHashSet::default();
        let mut shapes = FxHashMap::default();
        let mut buffer = Vec::new();
        // A frame that runs may be about to go on with what it awaits, which is on no stack then.
        let stacks = self.remains.threads.iter().flat_map(|(_, stack)| &stack.frames);
        let mut running: FxHashSet<Address> =
            stacks.filter(|frame| !frame.generator.is_null()).map(|frame| frame.at).collect();
        // What one that is in use iterates is in use: its frame is looked at after the others.
        let mut found: Vec<RawFrame> = Vec::new();
        let mut look = |frames: &mut dyn Iterator<Item = RawFrame>, found: &mut Vec<RawFrame>| {
            if reader.memory.is_full() {
                reader.memory.clear();
            }
            let ranges: Vec<(RawFrame, Address, u64)> = frames
                .map(|frame| {
                    let len = shape(&reader, &mut shapes, frame.code).words;
                    (frame, first_variable(&reader, &frame), len)
                })
                .collect();
            reader.memory.prefetch(ranges.iter().map(|&(_, first, len)| (first, 8 * len)));
            for (frame, first, len) in ranges {
                let words = read_words(&reader, first, len, &mut buffer);
                let values = words.filter_map(|word| reader.slot_value(word));
                for value in values.chain(frame.generator.non_null()) {
                    for value in [Some(value), self.wrapped(value)].into_iter().flatten() {
                        if let Some(frame) = by_address.get(&value)
                            && in_use.insert(value)
                        {
                            found.push(**frame);
                        }
                    }
                    if running.contains(&frame.at)
                        && let Some(inner) = self.coroutine_frame(value)
                        && running.insert(inner.at)
                    {
                        found.push(inner);
                    }
                }
            }
        };
        let mut frames = self.every_frame().peekable();
        while frames.peek().is_some() {
            look(&mut frames.by_ref().take(GROUP).map(|owned| *owned.frame), &mut found);
        }
        while let Some(frame) = found.pop() {
            look(&mut std::iter::once(frame), &mut found);
        }
        in_use
    }

    /// The frame of the coroutine at `value`, if there is one.
    fn coroutine_frame(&self, value: Address) -> Option<RawFrame> {
        let is_coroutine = matches!(
            self.reader.kind_of(value),
            Ok(Kind::Coroutine | Kind::Generator | Kind::AsyncGenerator)
        );
        self.reader.generator(value).ok().filter(|_| is_coroutine)?.frame
    }

    /// Whether nothing has what is in a variable but that variable, which is not read any more.
    fn is_abandoned(&self, slot: &Slot) -> bool {
        self.reader.references(slot.value) == Some(1)
            && self
                .frames
                .get(slot.frame)
                .is_some_and(|owned| self.reads_variable(owned.frame, slot.index) == Some(false))
    }

    /// What is in a cell, which a variable is in that an inner function uses as well; or the
    /// generator of an `asend` or `aclose` that somebody keeps.
    fn wrapped(&self, value: Address) -> Option<Address> {
        let fields = &self.reader.layout.awaitable;
        let offset = match self.kinds.get(&value)? {
            Kind::Cell => self.reader.layout.small.cell_ref,
            Kind::AsyncGeneratorAsend => fields.asend,
            Kind::AsyncGeneratorAthrow => fields.athrow,
            _ => return None,
        };
        self.reader.pointer(value.offset(offset)).ok()?
    }
}
