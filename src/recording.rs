//! Recordings: all samples of a target over a time, in a file.
//!
//! A [`Writer`] takes snapshots with what a monitor knows of them and appends them as they come; a
//! [`Recording`] gives each of them back as it was, in any order.
//!
//! # Format
//! ```text
//! file:    magic, version; block …
//! block:   header [ lengths, checksums, time of first and last sample ]
//!          summary [ moment of each sample, events between them ], compressed
//!          payload [ samples ], compressed
//! ```
//! A block is of about a second and stands for itself: its first sample is whole, each other one
//! says how it differs from the one before, and names, places and stacks are written once a
//! block. So reading can begin at any block, a file may lose its oldest ones, and of a recorder
//! that was killed everything up to its last whole block is there. A block is appended by one
//! write.
//!
//! Times are exact to the microsecond. What only findings rest on (references, variables that
//! lead to a lock) is not recorded; the findings are.
//!
//! # Trust
//! Nothing in a file is trusted: each block has checksums, each length a cap, and what is damaged
//! is skipped and told ([`Recording::damage`]).

mod block;
mod event;
mod reader;
mod sample;
mod shapes;
#[cfg(test)]
mod tests;
mod wire;
mod writer;

use std::io;

use rustc_hash::FxHashMap;

use crate::memory::Address;
use crate::snapshot::Snapshot;
use crate::timeline::{Life, Lives, Stretch};
use crate::watch::monitor::{Monitor, Tracked};

pub use event::{Event, Recorded};
pub use reader::{Damage, Recording, is_recording};
pub use writer::{Limits, Writer, Written};

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u16 = 3;

/// Why a recording cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be made, read or written.
    #[error("can't access the recording")]
    Io(#[from] io::Error),
    /// It begins like no recording.
    #[error("it is no recording of aiospy")]
    NoRecording,
    /// It was written by a newer version, or by one from before the first release.
    #[error("it has version {found} of the format, and {VERSION} is known")]
    Version {
        /// The version that it has.
        found: u16,
    },
    /// There is not one sample in it that can be read.
    #[error("there is no whole sample in it")]
    Empty,
    /// There is no sample of this number.
    #[error("there is no sample {0}")]
    NoSample(usize),
    /// The part that was asked for is damaged.
    #[error("its block at byte {at} is damaged: {reason}")]
    Damaged {
        /// Where the block begins.
        at: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A sample to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// What was read, with its findings.
    pub snapshot: &'a Snapshot,
    /// The lives of its tasks, if they are followed.
    pub lives: Option<&'a Lives>,
    /// The findings that are there, with their histories.
    pub open: &'a [Tracked],
    /// The callbacks that block their loops now.
    pub blocking: &'a [Stretch],
    /// How many samples before it had no time.
    pub missed: u64,
}

impl<'a> Taken<'a> {
    /// What a monitor has now, with the callbacks that it says block their loops; `None` before
    /// its first whole snapshot.
    pub fn of(monitor: &'a Monitor, blocking: &'a [Stretch], missed: u64) -> Option<Self> {
        Some(Self {
            snapshot: monitor.last()?,
            lives: Some(monitor.lives()),
            open: monitor.open(),
            blocking,
            missed,
        })
    }
}

/// A sample as it was recorded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Moment {
    /// What was read, with its findings.
    pub snapshot: Snapshot,
    /// How many samples before it had no time.
    pub missed: u64,
    /// The lives of its tasks.
    pub lives: FxHashMap<Address, Life>,
    /// The findings that were there, with their histories.
    pub open: Vec<Tracked>,
    /// The callbacks that blocked their loops then.
    pub blocking: Vec<Stretch>,
}
