//! Blocks: what frames the samples of about a second in a file.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use jiff::Timestamp;

use super::event::Recorded;
use super::sample::{get_moments, put_moments};
use super::wire::{Bad, Get, Put, Read, ReadTables, Wire, WrittenTables, at, nanos};
use super::{Error, VERSION};

/// What a file begins with: bytes that no text has, and a line end that a careless copy changes.
const MAGIC: [u8; 8] = *b"\x89aiospy\n";
/// What a block begins with.
pub const MARK: [u8; 4] = *b"\x89Blk";
/// Bytes before the first block.
pub const START: usize = MAGIC.len() + 2;
/// Bytes of a block's header.
pub const HEADER: usize = 52;
/// The most that a part of a block may take, unpacked: a sample of a million tasks takes less.
const MAX_PART: u32 = 1 << 28;

/// The first bytes of a file.
pub fn start() -> Vec<u8> {
    [&MAGIC[..], &VERSION.to_le_bytes()].concat()
}

/// Whether these are the first bytes of a file that can be read.
pub fn check_start(bytes: &[u8]) -> Result<(), Error> {
    let version = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.first_chunk());
    match version.map(|bytes| u16::from_le_bytes(*bytes)) {
        Some(VERSION) => Ok(()),
        Some(found) => Err(Error::Version { found }),
        None => Err(Error::NoRecording),
    }
}

/// One compressed part of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    pub packed: u32,
    pub raw: u32,
    checksum: u32,
}

/// What stands before a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub samples: u32,
    pub first: Timestamp,
    pub last: Timestamp,
    pub summary: Section,
    pub payload: Section,
}

impl Header {
    /// The bytes that follow it.
    pub fn len(&self) -> u64 {
        u64::from(self.summary.packed) + u64::from(self.payload.packed)
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut facts = Vec::with_capacity(HEADER);
        facts.extend(self.samples.to_le_bytes());
        for at in [self.first, self.last] {
            facts.extend(nanos(at).to_le_bytes());
        }
        for part in [self.summary, self.payload] {
            for number in [part.packed, part.raw, part.checksum] {
                facts.extend(number.to_le_bytes());
            }
        }
        [&MARK[..], &crc32fast::hash(&facts).to_le_bytes(), &facts].concat()
    }

    /// From the bytes at which it begins.
    pub fn from_bytes(bytes: &[u8]) -> Read<Self> {
        let rest = bytes.strip_prefix(&MARK).ok_or(Bad("no block begins here"))?;
        let (checksum, rest) = rest.split_first_chunk().ok_or(Bad("its header is cut off"))?;
        let facts = rest.get(..HEADER - 8).ok_or(Bad("its header is cut off"))?;
        if crc32fast::hash(facts) != u32::from_le_bytes(*checksum) {
            return Err(Bad("the checksum of its header is wrong"));
        }
        let mut rest = facts;
        let mut number = || {
            let (first, left) = rest.split_first_chunk().ok_or(Bad("its header is cut off"))?;
            rest = left;
            Ok(u32::from_le_bytes(*first))
        };
        let samples = number()?;
        let mut moment = || {
            let (low, high) = (number()?, number()?);
            at((u64::from(high) << 32 | u64::from(low)).cast_signed())
        };
        let (first, last) = (moment()?, moment()?);
        let mut part = || {
            let part = Section { packed: number()?, raw: number()?, checksum: number()? };
            let is_sound = part.packed <= MAX_PART && part.raw <= MAX_PART;
            is_sound.then_some(part).ok_or(Bad("it is larger than any block"))
        };
        Ok(Self { samples, first, last, summary: part()?, payload: part()? })
    }
}

/// What a block says of its samples, and what happened meanwhile.
#[derive(Debug, Default)]
pub struct Summary {
    pub moments: Vec<Timestamp>,
    pub events: Vec<Recorded>,
}

/// A whole block.
pub fn block(summary: &Summary, payload: &[u8]) -> std::io::Result<(Header, Vec<u8>)> {
    let mut names = WrittenTables::default();
    let mut put = Put::new(Vec::new(), &mut names, 0);
    put_moments(&summary.moments, &mut put);
    summary.events.put(&mut put);
    let body = std::mem::take(&mut put.bytes);
    let added = put.names.take_added();
    put.number(added.len() as u64);
    let raw = [put.bytes, added, body].concat();
    let (summary_part, packed_summary) = pack(&raw)?;
    let (payload_part, packed_payload) = pack(payload)?;
    let event = summary.events.first().map(|event| event.at);
    let header = Header {
        samples: u32::try_from(summary.moments.len()).unwrap_or(u32::MAX),
        first: summary.moments.first().copied().or(event).unwrap_or_default(),
        last: summary.moments.last().copied().or(event).unwrap_or_default(),
        summary: summary_part,
        payload: payload_part,
    };
    Ok((header, [header.to_bytes(), packed_summary, packed_payload].concat()))
}

/// Reads a block's summary.
pub fn summary(header: &Header, packed: &[u8]) -> Read<Summary> {
    let raw = unpack(header.summary, packed)?;
    let nothing = ReadTables::default();
    let mut get = Get::new(&raw, &nothing, 0);
    let len = get.length()?;
    let added = get.take(len)?;
    let mut known = ReadTables::default();
    known.add(added)?;
    let mut get = Get::new(get.rest, &known, 0);
    let moments = get_moments(&mut get)?;
    if u32::try_from(moments.len()) != Ok(header.samples) {
        return Err(Bad("it has another number of samples than it says"));
    }
    Ok(Summary { moments, events: Wire::get(&mut get)? })
}

fn pack(raw: &[u8]) -> std::io::Result<(Section, Vec<u8>)> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(LEVEL));
    encoder.write_all(raw)?;
    let packed = encoder.finish()?;
    let length = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).ok().filter(|len| *len <= MAX_PART);
        length.ok_or_else(|| std::io::Error::other("one sample is too large for a recording"))
    };
    let part =
        Section { packed: length(&packed)?, raw: length(raw)?, checksum: crc32fast::hash(&packed) };
    Ok((part, packed))
}

/// Measured on a thousand tasks of which a few move: level 1 takes a third of the time of level 6
/// and a quarter more room.
const LEVEL: u32 = 1;

/// The bytes of a part, when they are as they were written.
pub fn unpack(part: Section, packed: &[u8]) -> Read<Vec<u8>> {
    if crc32fast::hash(packed) != part.checksum {
        return Err(Bad("its checksum is wrong"));
    }
    let mut raw = Vec::new();
    // Not a byte more than it says is unpacked, whatever is in there.
    let mut decoder = DeflateDecoder::new(packed).take(u64::from(part.raw) + 1);
    decoder.read_to_end(&mut raw).map_err(|_error| Bad("it cannot be unpacked"))?;
    if raw.len() as u64 == u64::from(part.raw) {
        Ok(raw)
    } else {
        Err(Bad("it has another length than it says"))
    }
}
