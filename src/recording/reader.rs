//! Reading a recording: an index of its blocks, and any sample by its number.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use jiff::Timestamp;

use super::block::{self, HEADER, Header, MARK};
use super::event::{Event, Recorded};
use super::sample::Decoder;
use super::wire::Bad;
use super::{Error, Moment};

/// Bytes that are looked through at once for the next block behind damage.
const WINDOW: usize = 1 << 16;
/// Places of damage that are told.
const MAX_DAMAGE: usize = 100;

/// A part of a file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins.
    pub at: u64,
    /// What is wrong.
    pub reason: &'static str,
}

/// An open recording.
#[derive(Debug)]
pub struct Recording {
    file: File,
    blocks: Vec<Block>,
    moments: Vec<Timestamp>,
    events: Vec<Recorded>,
    damage: Vec<Damage>,
    /// The block that was read last, and how many of its samples were gone through.
    open: Option<(usize, usize, Decoder)>,
}

#[derive(Debug)]
struct Block {
    at: u64,
    header: Header,
    /// The numbers of its samples.
    samples: Range<usize>,
}

/// Whether a file begins as a recording does.
pub fn is_recording(path: &Path) -> io::Result<bool> {
    let mut bytes = [0; block::START];
    let mut file = File::open(path)?;
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(!matches!(block::check_start(&bytes), Err(Error::NoRecording))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

impl Recording {
    /// Opens a file, and reads what it says of its samples.
    ///
    /// # Errors
    /// When it cannot be read, or there is not one sample in it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let mut start = [0; block::START];
        match file.read_exact_at(&mut start, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Error::NoRecording);
            }
            read => read?,
        }
        block::check_start(&start)?;
        let mut recording = Self {
            file,
            blocks: Vec::new(),
            moments: Vec::new(),
            events: Vec::new(),
            damage: Vec::new(),
            open: None,
        };
        recording.index(len)?;
        if recording.moments.is_empty() { Err(Error::Empty) } else { Ok(recording) }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.moments.len()
    }

    /// Whether there are none; of an open recording it is not.
    pub fn is_empty(&self) -> bool {
        self.moments.is_empty()
    }

    /// When each sample was taken.
    pub fn moments(&self) -> &[Timestamp] {
        &self.moments
    }

    /// What happened, in its order.
    pub fn events(&self) -> &[Recorded] {
        &self.events
    }

    /// What could not be read so far.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// The number of the last sample that is not after a moment; the first if all are.
    pub fn at(&self, moment: Timestamp) -> usize {
        self.moments.partition_point(|taken_at| *taken_at <= moment).saturating_sub(1)
    }

    /// The first event after a moment that `is_meant` is true of.
    pub fn next_event(
        &self,
        after: Timestamp,
        is_meant: impl Fn(&Event) -> bool,
    ) -> Option<&Recorded> {
        let start = self.events.partition_point(|event| event.at <= after);
        self.events.get(start..)?.iter().find(|recorded| is_meant(&recorded.event))
    }

    /// The last event before a moment that `is_meant` is true of.
    pub fn previous_event(
        &self,
        before: Timestamp,
        is_meant: impl Fn(&Event) -> bool,
    ) -> Option<&Recorded> {
        let end = self.events.partition_point(|event| event.at < before);
        self.events.get(..end)?.iter().rev().find(|recorded| is_meant(&recorded.event))
    }

    /// The sample with a number, from 0. One after the other is cheap; one before the last one
    /// costs going through its block again.
    ///
    /// # Errors
    /// When there is none, or its block is damaged; that is told once more by
    /// [`damage`](Self::damage).
    pub fn sample(&mut self, number: usize) -> Result<Moment, Error> {
        let index = self.blocks.partition_point(|block| block.samples.end <= number);
        let block = self.blocks.get(index).filter(|block| block.samples.contains(&number));
        let Some(block) = block else { return Err(Error::NoSample(number)) };
        let (at, header, wanted) = (block.at, block.header, number - block.samples.start + 1);
        let (mut done, mut decoder) = match self.open.take() {
            Some((open, done, decoder)) if open == index && done <= wanted => (done, decoder),
            Some((open, _, decoder)) if open == index => (0, decoder.rewound()),
            _ => (0, self.decoder(at, &header)?),
        };
        while done < wanted {
            decoder.step().map_err(|bad| self.note(at, bad))?;
            done += 1;
        }
        let moment = decoder.moment().map_err(|bad| self.note(at, bad))?;
        self.open = Some((index, done, decoder));
        Ok(moment)
    }

    /// The number of the first sample behind the block of this one: where to go on behind damage.
    pub fn behind_block(&self, number: usize) -> usize {
        let index = self.blocks.partition_point(|block| block.samples.end <= number);
        self.blocks.get(index).map_or(self.len(), |block| block.samples.end)
    }

    fn decoder(&mut self, at: u64, header: &Header) -> Result<Decoder, Error> {
        let start = at + HEADER as u64 + u64::from(header.summary.packed);
        let packed = self.bytes(start, header.payload.packed as usize)?;
        let payload = block::unpack(header.payload, &packed).map_err(|bad| self.note(at, bad))?;
        Ok(Decoder::new(payload))
    }

    fn bytes(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    fn note(&mut self, at: u64, Bad(reason): Bad) -> Error {
        let damage = Damage { at, reason };
        if self.damage.len() < MAX_DAMAGE && !self.damage.contains(&damage) {
            self.damage.push(damage);
        }
        Error::Damaged { at, reason }
    }

    /// Goes from block to block.
    fn index(&mut self, len: u64) -> io::Result<()> {
        let mut at = block::START as u64;
        while at < len {
            let header = match self.header(at, len)? {
                Ok(header) => header,
                Err(bad) => {
                    self.note(at, bad);
                    match self.next_mark(at + 1, len)? {
                        Some(next) => at = next,
                        None => break,
                    }
                    continue;
                }
            };
            let end = at + HEADER as u64 + header.len();
            let packed = self.bytes(at + HEADER as u64, header.summary.packed as usize)?;
            match block::summary(&header, &packed) {
                Ok(summary) => {
                    let start = self.moments.len();
                    self.moments.extend(summary.moments);
                    self.events.extend(summary.events);
                    let samples = start..self.moments.len();
                    self.blocks.push(Block { at, header, samples });
                }
                Err(bad) => {
                    self.note(at, bad);
                }
            }
            at = end;
        }
        Ok(())
    }

    /// The header at a place, if the whole block is there.
    fn header(&self, at: u64, len: u64) -> io::Result<Result<Header, Bad>> {
        let room = usize::try_from(len - at).unwrap_or(usize::MAX).min(HEADER);
        let bytes = self.bytes(at, room)?;
        let header = Header::from_bytes(&bytes);
        Ok(header.and_then(|header| {
            let is_whole = at + HEADER as u64 + header.len() <= len;
            is_whole.then_some(header).ok_or(Bad("it ends in the middle of a block"))
        }))
    }

    /// The next place at which a sound header stands.
    fn next_mark(&self, from: u64, len: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        while at + HEADER as u64 <= len {
            let room = usize::try_from(len - at).unwrap_or(usize::MAX).min(WINDOW);
            let window = self.bytes(at, room)?;
            for (place, bytes) in (at..).zip(window.windows(MARK.len())) {
                if bytes == MARK && self.header(place, len)?.is_ok() {
                    return Ok(Some(place));
                }
            }
            // A mark may lie across the border of two windows.
            at += (room.saturating_sub(MARK.len() - 1)).max(1) as u64;
        }
        Ok(None)
    }
}
