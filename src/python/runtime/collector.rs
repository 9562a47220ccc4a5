//! The garbage collector's state.
//!
//! The collector sets a flag and then the counts of the generations that it collects to zero; the
//! count of the next one it has just raised. So the zeros in front tell which they are.

use std::time::Duration;

use crate::layout::{
    CollectorState, CollectorStatistics, GENERATION_COUNT, GENERATION_SIZE, RING_ITEM, RINGS,
};
use crate::memory::Address;
use crate::python::object::{Read, Reader};
use crate::snapshot::Collector;

/// A state is smaller (3.14: 264 bytes).
const STATE_SIZE: u64 = 272;
/// No collection takes longer: what says so is torn.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl Reader<'_> {
    /// Where the garbage collector of an interpreter has its state.
    fn collector_at(&self, runtime: Address, interpreter: Address) -> Address {
        match self.layout.collector.state {
            CollectorState::Runtime(at) => runtime.offset(at),
            CollectorState::Interpreter(at) => interpreter.offset(at),
        }
    }

    /// Which generation the garbage collector of an interpreter collects now: read anew, for it is
    /// at work for a moment only.
    pub fn collecting(&self, runtime: Address, interpreter: Address) -> Option<u8> {
        let at = self.collector_at(runtime, interpreter);
        self.memory.forget(at, STATE_SIZE);
        let is_collecting = || self.memory.i32(at.offset(self.layout.collector.collecting)).ok();
        if is_collecting()? != 1 {
            return None;
        }
        let generations = at.offset(self.layout.collector.generations);
        let counts = (0..3).map(|generation| {
            let at = generations.offset(generation * GENERATION_SIZE);
            self.memory.i32(at.offset(GENERATION_COUNT)).ok()
        });
        let zeros = counts.take_while(|count| *count == Some(0)).count();
        // None is zero where it is only about to begin, or a finalizer allocates.
        u8::try_from(zeros.saturating_sub(1)).ok()
    }

    /// What the garbage collector of an interpreter does and has done.
    pub fn collector(&self, runtime: Address, interpreter: Address) -> Collector {
        let generation = self.collecting(runtime, interpreter);
        let at = self.collector_at(runtime, interpreter);
        let objects = self.memory.u64(at.offset(self.layout.collector.long_lived)).ok();
        let done = match self.layout.collector.statistics {
            CollectorStatistics::Counts(stats) => self.counted(at.offset(stats)),
            CollectorStatistics::Rings(stats) => self.timed(at.offset(stats)),
        };
        Collector { generation, objects, ..done.unwrap_or_default() }
    }

    /// From three words for each generation: collections, collected, uncollectable.
    fn counted(&self, stats: Address) -> Read<Collector> {
        let mut collections = 0_u64;
        for generation in 0..3 {
            let count = self.memory.u64(stats.offset(generation * 24))?;
            collections = collections.wrapping_add(count);
        }
        Ok(Collector { collections: Some(collections), ..Collector::default() })
    }

    /// From the rings of the last collections.
    fn timed(&self, stats: Address) -> Read<Collector> {
        let mut found = Collector::default();
        let Some(stats) = self.pointer(stats)? else { return Ok(found) };
        let (mut collections, mut time) = (0_u64, 0.0);
        for (at, items) in RINGS {
            let ring = stats.offset(at);
            self.memory.forget(ring, items * RING_ITEM + 8);
            let last = u64::from(self.memory.u8(ring.offset(items * RING_ITEM))?);
            for item in 0..items {
                let at = ring.offset(item * RING_ITEM);
                let start = Duration::from_nanos(self.memory.u64(at)?);
                let stop = Duration::from_nanos(self.memory.u64(at.offset(8))?);
                let took = stop.saturating_sub(start);
                if took < LONGEST && found.longest.is_none_or(|(_, longest)| took > longest) {
                    found.longest = Some((start, took));
                }
                if item == last {
                    collections = collections.wrapping_add(self.memory.u64(at.offset(16))?);
                    time += f64::from_bits(self.memory.u64(at.offset(48))?);
                }
            }
        }
        found.longest = found.longest.filter(|(_, took)| !took.is_zero());
        found.collections = Some(collections);
        found.time = Duration::try_from_secs_f64(time).ok();
        Ok(found)
    }
}
