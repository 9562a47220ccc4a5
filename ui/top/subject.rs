//! What can be looked at by itself, and what is told of it; known by what stays the same from one feed to the next.

use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::Code;
use aiospy::timeline::Stretch;
use jiff::Timestamp;

use crate::io::page::Line;

/// How far two readings of one beginning may be apart: each is told from the time of a sample.
/// Those of two stretches of one loop are farther apart than the shortest that is told.
const SAME_BEGINNING: Duration = Duration::from_millis(40);

/// Something that can be selected, told of and led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A finding, by its number.
    Finding(u64),
    /// A group of tasks, by what it keeps.
    Group(u64),
    /// A task.
    Task(Address),
    /// A cancellation of a task that is not there any more, or not cancelled any more.
    Cancelled(Address),
    /// A loop.
    Loop(Address),
    /// A place where callbacks blocked a loop.
    Block(u64),
    /// A callback that blocked a loop, by about when it began.
    Stretch(Address, Timestamp),
    /// A thread.
    Thread(i32),
    /// A pool, by its place.
    Pool(usize),
    /// What findings of a code mean.
    Code(Code),
    /// What could not be read.
    Problems,
}

/// Something told at length.
#[derive(Debug, Clone, Default)]
pub struct Document {
    pub lines: Vec<Line>,
    /// Lines that lead to something.
    pub links: Vec<(usize, Subject)>,
}

impl Document {
    /// What a line leads to.
    pub fn link_at(&self, line: usize) -> Option<Subject> {
        self.links.iter().find(|(at, _)| *at == line).map(|(_, subject)| *subject)
    }
}

/// Whether a stretch is the one of a loop that began at about this time.
pub fn is_stretch(stretch: &Stretch, loop_id: Address, began: Timestamp) -> bool {
    let apart = stretch.began_at.duration_since(began).unsigned_abs();
    stretch.loop_id == loop_id && apart <= SAME_BEGINNING
}
