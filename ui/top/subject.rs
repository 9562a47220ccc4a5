//! What can be looked at by itself, known by what stays the same from one feed to the next.

use aiospy::memory::Address;
use jiff::Timestamp;

/// Something that can be selected, told of and led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A finding, by its number.
    Finding(u64),
    /// A task.
    Task(Address),
    /// A cancellation of a task that is not there any more, or not cancelled any more.
    Cancelled(Address),
    /// A loop.
    Loop(Address),
    /// A callback that blocked a loop, by its beginning.
    Stretch(Address, Timestamp),
    /// A thread.
    Thread(i32),
    /// A pool, by its place.
    Pool(usize),
}
