//! Whether what tells for how long tasks have slept was read of one moment.
//!
//! A `sleep` has slept for its delay less what is left of it: two floats, of which the first lies
//! in a variable. Where threads ran meanwhile, a short one may have ended, and another number lies
//! where its delay lay. So the words are read once more, all of a group of tasks together.

use rustc_hash::FxHashSet;

use super::Reasons;
use crate::memory::{Address, ReadMemory as _};
use crate::python::frame::RawFrame;

/// Type and value of a `float`, or of an `int` of one digit.
const NUMBER_LEN: u64 = 24;

/// The words of one sleep as they were read.
pub(super) struct Sleep {
    task: Address,
    read: Vec<(Address, Vec<u8>)>,
}

impl Reasons<'_> {
    /// Notes what the length of a sleep is told from: the variable `delay` of its frame, and the
    /// two numbers. `None` when that cannot be read again.
    pub(super) fn note_sleep(
        &self,
        task: Address,
        frame: &RawFrame,
        numbers: [Address; 2],
    ) -> Option<()> {
        // Where nothing ran since, everything is as it was.
        if !self.reading.is_moving {
            return Some(());
        }
        let numbers = numbers.map(|at| (at.offset(self.reader.layout.object.ob_type), NUMBER_LEN));
        let places = [(self.reader.local_slot(frame, "delay")?, 8)].into_iter().chain(numbers);
        let read = places.map(|(at, len)| Some((at, self.reader.memory.vec(at, len).ok()?)));
        let read = read.collect::<Option<Vec<_>>>()?;
        self.sleeps.borrow_mut().push(Sleep { task, read });
        Some(())
    }

    /// The tasks of which some of these words are others now.
    pub(super) fn moved_sleeps(&self) -> FxHashSet<Address> {
        let sleeps = std::mem::take(&mut *self.sleeps.borrow_mut());
        let words = || sleeps.iter().flat_map(|sleep| sleep.read.iter().map(|it| (sleep.task, it)));
        let ranges: Vec<_> =
            words().map(|(_, (at, was))| at.0..at.0.saturating_add(was.len() as u64)).collect();
        let mut now = vec![0; words().map(|(_, (_, was))| was.len()).sum()];
        let mut failed = FxHashSet::default();
        self.reader.memory.source().read_many(&ranges, &mut now, &mut |range| {
            failed.insert(range);
        });
        let mut from = 0;
        let mut moved = FxHashSet::default();
        for (range, (task, (_, was))) in words().enumerate() {
            let to = from + was.len();
            if failed.contains(&range) || now.get(from..to) != Some(&was[..]) {
                moved.insert(task);
            }
            from = to;
        }
        moved
    }
}
