//! Writing a recording as it goes.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::block::{self, Summary};
use super::event::{Event, Recorded};
use super::sample::Encoder;
use super::{Error, Taken};
use crate::timeline::time_between;

/// A block is closed when its samples are of so long a time, or their differences of so many bytes:
/// what a recorder that is killed loses.
const BLOCK_TIME: Duration = Duration::from_secs(1);
const BLOCK_BYTES: usize = 256 << 10;
/// Events of one block; those beyond wait for the next one.
const BLOCK_EVENTS: usize = 1000;

/// How large a recording may get.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// The most bytes: it ends there, unless it keeps only the last of it.
    pub max_size: Option<u64>,
    /// Only so much of its end is kept.
    pub keep_last: Option<Duration>,
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is, or will be, in the file.
    Kept,
    /// The file is as large as it may be, and has been closed.
    Full,
}

/// Writes a recording.
///
/// What is dropped from its beginning ([`Limits::keep_last`]) is dropped by copying what is kept
/// to a file beside it, which then takes its place: at every moment a whole recording is there.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    limits: Limits,
    encoder: Encoder,
    summary: Summary,
    payload: Vec<u8>,
    /// Bytes of the block's first sample, which is whole.
    whole: usize,
    size: u64,
    blocks: VecDeque<Block>,
    is_full: bool,
}

/// A block that is in the file.
#[derive(Debug, Clone, Copy)]
struct Block {
    at: u64,
    last: Timestamp,
}

impl Writer {
    /// Begins a recording in a new file, which only its owner may read.
    ///
    /// # Errors
    /// When the file cannot be made, or is there already.
    pub fn create(path: &Path, limits: Limits) -> Result<Self, Error> {
        Self::begin(new_file(path)?, path, limits)
    }

    /// Begins a recording in an empty file, open for reading too, that `path` names.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(mut file: File, path: &Path, limits: Limits) -> Result<Self, Error> {
        let size = begin(&mut file)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            limits,
            encoder: Encoder::default(),
            summary: Summary::default(),
            payload: Vec::new(),
            whole: 0,
            size,
            blocks: VecDeque::new(),
            is_full: false,
        })
    }

    /// Takes in a sample.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn sample(&mut self, taken: &Taken<'_>) -> Result<Written, Error> {
        if self.is_full {
            return Ok(Written::Full);
        }
        self.encoder.sample(taken, &mut self.payload);
        if self.summary.moments.is_empty() {
            self.whole = self.payload.len();
        }
        let now = taken.snapshot.taken_at;
        self.summary.moments.push(now);
        let first = self.summary.moments.first().copied().unwrap_or(now);
        if time_between(first, now) >= BLOCK_TIME || self.payload.len() - self.whole >= BLOCK_BYTES
        {
            return self.flush();
        }
        Ok(Written::Kept)
    }

    /// Takes in something that happened.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn event(&mut self, at: Timestamp, event: Event) -> Result<Written, Error> {
        if self.is_full {
            return Ok(Written::Full);
        }
        self.summary.events.push(Recorded { at, event });
        if self.summary.events.len() >= BLOCK_EVENTS { self.flush() } else { Ok(Written::Kept) }
    }

    /// The bytes of the file so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes what is not in the file yet, and closes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<u64, Error> {
        self.flush()?;
        if let Some(keep) = self.limits.keep_last {
            self.drop_oldest(keep, u64::MAX)?;
        }
        Ok(self.size)
    }

    fn flush(&mut self) -> Result<Written, Error> {
        if self.summary.moments.is_empty() && self.summary.events.is_empty() {
            return Ok(Written::Kept);
        }
        let (header, bytes) = block::block(&self.summary, &self.payload)?;
        self.encoder.reset();
        self.summary = Summary::default();
        self.payload.clear();
        let len = bytes.len() as u64;
        let has_room = self.limits.max_size.is_none_or(|max| self.size + len <= max);
        if !has_room {
            let Some(keep) = self.limits.keep_last else {
                self.is_full = true;
                return Ok(Written::Full);
            };
            // Half of it at once: else each block that comes would cost a copy of all others.
            let room = self.limits.max_size.unwrap_or(u64::MAX);
            self.drop_oldest(keep, (room / 2).min(room.saturating_sub(len)))?;
        }
        self.file.write_all(&bytes)?;
        self.blocks.push_back(Block { at: self.size, last: header.last });
        self.size += len;
        if let Some(keep) = self.limits.keep_last {
            // As much again is let in before it is dropped, so that each block is copied once.
            let oldest = self.blocks.front().map_or(header.last, |block| block.last);
            if time_between(oldest, header.last) >= keep * 2 {
                self.drop_oldest(keep, u64::MAX)?;
            }
        }
        Ok(Written::Kept)
    }

    /// Drops blocks that are older than `keep`, and more until the rest is within `room`.
    fn drop_oldest(&mut self, keep: Duration, room: u64) -> Result<(), Error> {
        let Some(newest) = self.blocks.back().map(|block| block.last) else { return Ok(()) };
        let is_kept = |block: &Block| {
            time_between(block.last, newest) <= keep
                && self.size - block.at + block::START as u64 <= room
        };
        let Some(first) = self.blocks.iter().position(is_kept) else {
            self.blocks.clear();
            return self.copy_from(self.size);
        };
        if first == 0 {
            return Ok(());
        }
        self.blocks.drain(..first);
        let from = self.blocks.front().map_or(self.size, |block| block.at);
        self.copy_from(from)
    }

    /// Makes it a file that begins with what is at `from` now.
    fn copy_from(&mut self, from: u64) -> Result<(), Error> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let beside = self.path.with_file_name(name);
        let done = (|| {
            // What another run left behind.
            if let Err(error) = std::fs::remove_file(&beside)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            let mut file = new_file(&beside)?;
            let start = begin(&mut file)?;
            self.file.seek(SeekFrom::Start(from))?;
            let copied = io::copy(&mut (&mut self.file).take(self.size - from), &mut file)?;
            std::fs::rename(&beside, &self.path)?;
            Ok((file, start, copied))
        })();
        let (file, start, copied) = match done {
            Ok(done) => done,
            Err(error) => {
                // Half a copy is of no use to anybody.
                let _ = std::fs::remove_file(&beside);
                return Err(Error::Io(error));
            }
        };
        self.file = file;
        self.size = start + copied;
        for block in &mut self.blocks {
            block.at = block.at - from + start;
        }
        Ok(())
    }
}

/// A new file for its owner alone, open for reading too; nothing that a link leads to.
fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Writes the first bytes, and gives their number.
fn begin(file: &mut File) -> io::Result<u64> {
    let start = block::start();
    file.write_all(&start)?;
    Ok(start.len() as u64)
}
