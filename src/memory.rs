//! Bytes at an address of the target.
//!
//! Everything above this module reads through [`ReadMemory`], so a live process, a saved
//! [image] and a hand-made test memory are one and the same to it. Only bytes cross the
//! border: they are decoded from checked slices, never cast to a type.

pub mod cached;
pub mod image;
pub mod limit;
pub mod live;
mod sweep;
mod touched;

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use cached::{PageCache, Pass};
pub use image::{BadImage, Image, Recorded, Recorder};
pub use limit::TimeLimit;
pub use live::LiveMemory;
pub use sweep::sweep;
pub use touched::Touched;

/// The unit of reading: reading 8 bytes costs as much as reading a page (1.3 µs against 1.5 µs).
pub const PAGE: u64 = 4096;

/// A place in the target's memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address(pub u64);

impl Address {
    /// The null pointer.
    pub const NULL: Self = Self(0);

    /// Whether this is the null pointer.
    pub fn is_null(self) -> bool {
        self.0 == 0
    }

    /// Whether an object may lie here: aligned, and where a process has its memory. On x86-64 that
    /// ends at 2^47, on aarch64 at 2^48.
    pub fn is_plausible(self) -> bool {
        self.0.is_multiple_of(8) && (1 << 16..1 << 48).contains(&self.0)
    }

    /// The address `offset` bytes further on; wraps round, and a wrapped address fails to read.
    #[must_use]
    pub fn offset(self, offset: u64) -> Self {
        Self(self.0.wrapping_add(offset))
    }

    /// The address `offset` bytes before this one.
    #[must_use]
    pub fn before(self, offset: u64) -> Self {
        Self(self.0.wrapping_sub(offset))
    }

    /// The start of the page this address lies in.
    #[must_use]
    pub fn page(self) -> u64 {
        self.0 & !(PAGE - 1)
    }

    /// `None` for the null pointer.
    pub fn non_null(self) -> Option<Self> {
        (!self.is_null()).then_some(self)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        digits.map(Self).ok_or_else(|| serde::de::Error::custom("not an address"))
    }
}

/// The little-endian word `at` bytes into what was read.
pub fn word(bytes: &[u8], at: u64) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// A read that failed: the memory is not there, or the process is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at {at}: {}", errno_text(*.errno))]
pub struct Fault {
    /// Where the read began.
    pub at: Address,
    /// How many bytes were wanted.
    pub len: u64,
    /// The system's error number; `EFAULT` when the memory is not mapped.
    pub errno: i32,
}

impl Fault {
    /// A fault of memory that is not mapped.
    pub fn unmapped(at: Address, len: u64) -> Self {
        Self { at, len, errno: nix::libc::EFAULT }
    }

    /// A fault of memory that was not saved.
    pub fn unsaved(at: Address, len: u64) -> Self {
        Self { at, len, errno: nix::libc::ENODATA }
    }

    /// A read that was not tried any more because the time for it is over.
    pub fn too_late(at: Address, len: u64) -> Self {
        Self { at, len, errno: nix::libc::ETIMEDOUT }
    }

    /// Whether the process itself is gone, not just this piece of memory.
    pub fn is_process_gone(self) -> bool {
        self.errno == nix::libc::ESRCH
    }
}

fn errno_text(errno: i32) -> &'static str {
    match errno {
        nix::libc::EFAULT => "not mapped",
        nix::libc::EPERM | nix::libc::EACCES => "not permitted",
        nix::libc::ESRCH => "no such process",
        nix::libc::ETIMEDOUT => "not read in time",
        nix::libc::ENODATA => "not in the saved image",
        other => nix::errno::Errno::from_raw(other).desc(),
    }
}

/// How much was read from the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ReadStats {
    /// System calls made to read memory.
    pub calls: u64,
    /// Bytes that came back.
    pub bytes: u64,
}

/// A source of the target's bytes.
pub trait ReadMemory: fmt::Debug {
    /// Fills `into` with the bytes at `at`, or fails as a whole.
    ///
    /// # Errors
    /// [`Fault`] when any of the bytes cannot be read.
    fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault>;

    /// Reads many ranges one behind the other into `into`, in as few system calls as it can.
    ///
    /// `into` must be as long as all ranges together. `failed(i)` is called for each range that
    /// could not be read whole; the bytes of the others are in place.
    fn read_many(&self, ranges: &[Range<u64>], into: &mut [u8], failed: &mut dyn FnMut(usize)) {
        let mut done = 0_usize;
        for (i, range) in ranges.iter().enumerate() {
            let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
            let part = into.get_mut(done..done.saturating_add(len));
            if part.is_none_or(|part| self.read(Address(range.start), part).is_err()) {
                failed(i);
            }
            done = done.saturating_add(len);
        }
    }

    /// What has been read so far through this source.
    fn stats(&self) -> ReadStats;

    /// Reads what is looked up once, or is no part of a look: it is not kept.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn peek(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        self.read(at, into)
    }

    /// Whether it has only parts of the pages that it gives: [`holds`](Self::holds) tells which.
    fn is_sparse(&self) -> bool {
        false
    }

    /// Whether it has all of these bytes, if their pages can be read.
    fn holds(&self, _at: Address, _len: u64) -> bool {
        true
    }

    /// Whether what is read is kept.
    fn is_recording(&self) -> bool {
        false
    }

    /// Another look at the target begins.
    fn begin_look(&mut self) {}

    /// It is over: what is read from here on is no part of any.
    fn end_look(&mut self) {}
}

impl<M: ReadMemory + ?Sized> ReadMemory for Box<M> {
    fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        (**self).read(at, into)
    }

    fn read_many(&self, ranges: &[Range<u64>], into: &mut [u8], failed: &mut dyn FnMut(usize)) {
        (**self).read_many(ranges, into, failed);
    }

    fn stats(&self) -> ReadStats {
        (**self).stats()
    }

    fn peek(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        (**self).peek(at, into)
    }

    fn is_sparse(&self) -> bool {
        (**self).is_sparse()
    }

    fn holds(&self, at: Address, len: u64) -> bool {
        (**self).holds(at, len)
    }

    fn is_recording(&self) -> bool {
        (**self).is_recording()
    }

    fn begin_look(&mut self) {
        (**self).begin_look();
    }

    fn end_look(&mut self) {
        (**self).end_look();
    }
}
