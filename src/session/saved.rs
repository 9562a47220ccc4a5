//! A target as it was in some looks at it, and the file that keeps it.
//!
//! ```text
//! file    gzip of: [ "aiospy image 1\n", length: u32, facts: JSON of that length, image ]
//! ```
//!
//! So `zcat` shows what is in it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use super::workers::SeenWorkers;
use crate::memory::{Address, BadImage, Image, Recorded, Touched};
use crate::process::{Noted, Saved};
use crate::snapshot::{Child, Turns};

/// What each file begins with, before the number of its version.
const MAGIC: &str = "aiospy image ";
/// The version that is written and read.
const VERSION: &str = "1";
/// The most that one may be, unpacked: the most that is kept of a target, and its facts.
const MAX_LEN: u64 = 600 << 20;

/// Why a file with an image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file itself cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("not an image of a process")]
    NotAnImage,
    /// It was written by another version.
    #[error("an image of version {0}, of which aiospy {own} knows {VERSION}", own = env!("CARGO_PKG_VERSION"))]
    Version(String),
    /// It is not what was written.
    #[error("a damaged image: {0}")]
    Damaged(String),
    /// There was more to keep than is kept.
    #[error("too much was read for an image")]
    TooLarge,
}

impl From<BadImage> for ImageError {
    fn from(bad: BadImage) -> Self {
        Self::Damaged(bad.to_string())
    }
}

/// What was seen of the iterations of loops, by loop.
pub(super) type SeenTurns = BTreeMap<Address, Turns>;

/// A target as it was in some looks at it, as far as these went: enough to take them again, without
/// the process.
#[derive(Debug, Clone)]
pub struct SavedTarget {
    /// The memory that was read.
    pub image: Image,
    facts: Facts,
}

/// All but the memory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Facts {
    /// Who wrote it.
    tool: String,
    /// Whether texts are hidden in it.
    is_masked: bool,
    system: Saved,
    turns: Watched,
    /// What the processes of pools did, by look.
    #[serde(default)]
    workers: Vec<SeenWorkers>,
    children: Vec<Child>,
    /// Lines of source by file and number, of files that were not changed.
    source: BTreeMap<String, BTreeMap<u32, String>>,
}

/// What was seen of the iterations of loops.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Watched {
    /// Before each look.
    pub before: Vec<SeenTurns>,
    /// While nothing else was done between two looks.
    pub between: Vec<SeenTurns>,
}

/// What is kept of a target while it is looked at.
#[derive(Debug)]
pub(super) struct Saving {
    pub memory: Arc<Mutex<Recorded>>,
    pub system: Noted,
    pub turns: Watched,
    pub workers: Vec<SeenWorkers>,
}

impl Saving {
    pub(super) fn saved(&self, touched: &Touched, masks: bool) -> Result<SavedTarget, ImageError> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let image = memory.image(touched, masks).ok_or(ImageError::TooLarge)?;
        let mut system = self.system.saved();
        if masks {
            system.hide();
        }
        let facts = Facts {
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            is_masked: masks,
            system,
            turns: self.turns.clone(),
            workers: self.workers.clone(),
            ..Facts::default()
        };
        Ok(SavedTarget { image, facts })
    }
}

impl SavedTarget {
    /// Takes in the processes below it.
    pub fn set_children(&mut self, mut children: Vec<Child>) {
        for child in children.iter_mut().filter(|_| self.facts.is_masked) {
            // Only the program: what follows may be anything.
            let program = child.command.find(' ').unwrap_or(child.command.len());
            child.command.truncate(program);
        }
        self.facts.children = children;
    }

    /// The processes below it.
    pub fn children(&self) -> &[Child] {
        &self.facts.children
    }

    /// Takes in lines of source by file and number; none, where texts are hidden.
    pub fn set_source(&mut self, lines: BTreeMap<String, BTreeMap<u32, String>>) {
        if !self.facts.is_masked {
            self.facts.source = lines;
        }
    }

    /// Lines of source by file and number.
    pub fn source(&self) -> &BTreeMap<String, BTreeMap<u32, String>> {
        &self.facts.source
    }

    /// How many looks were taken.
    pub fn looks(&self) -> usize {
        self.facts.system.looks()
    }

    /// Its parts.
    pub(super) fn into_parts(self) -> (Image, Saved, Watched, Vec<SeenWorkers>) {
        let Facts { system, turns, workers, .. } = self.facts;
        (self.image, system, turns, workers)
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write(&self, to: impl Write) -> Result<(), ImageError> {
        let mut to = GzEncoder::new(to, Compression::best());
        let facts = serde_json::to_vec(&self.facts).map_err(io::Error::from)?;
        let length = u32::try_from(facts.len()).map_err(|_error| ImageError::TooLarge)?;
        to.write_all(format!("{MAGIC}{VERSION}\n").as_bytes())?;
        to.write_all(&length.to_le_bytes())?;
        to.write_all(&facts)?;
        let mut image = Vec::new();
        self.image.put(&mut image);
        to.write_all(&image)?;
        to.finish()?.flush()?;
        Ok(())
    }

    /// Reads what [`write`](Self::write) wrote; nothing of it is trusted.
    ///
    /// # Errors
    /// When it cannot be read, or is something else.
    pub fn read(from: impl Read) -> Result<Self, ImageError> {
        let mut from = GzDecoder::new(from).take(MAX_LEN);
        let mut magic = [0; MAGIC.len()];
        // What is shorter, or not packed, is something else.
        match from.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC.as_bytes() => {}
            Err(error) if error.raw_os_error().is_some() => return Err(error.into()),
            _ => return Err(ImageError::NotAnImage),
        }
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map_err(|error| match error.raw_os_error() {
            Some(_) => error.into(),
            None => ImageError::Damaged(error.to_string()),
        })?;
        let cut_off = || ImageError::Damaged("it is cut off".to_owned());
        let end = bytes.iter().take(16).position(|byte| *byte == b'\n');
        let (version, rest) =
            end.and_then(|end| bytes.split_at_checked(end)).ok_or(ImageError::NotAnImage)?;
        if version != VERSION.as_bytes() {
            return Err(ImageError::Version(String::from_utf8_lossy(version).into_owned()));
        }
        let rest = rest.get(1..).unwrap_or_default();
        let (length, rest) = rest.split_first_chunk().ok_or_else(cut_off)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (facts, image) = rest.split_at_checked(length).ok_or_else(cut_off)?;
        let facts = serde_json::from_slice(facts)
            .map_err(|error| ImageError::Damaged(error.to_string()))?;
        Ok(Self { image: Image::get(image)?, facts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Inspector;
    use crate::session::Options;

    /// What was saved of a program that is deadlocked; see `tests/images.rs`.
    fn bytes() -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/3.12/deadlock.image");
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).unwrap();
        GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<SavedTarget, ImageError> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(bytes).unwrap();
        SavedTarget::read(&*packed.finish().unwrap())
    }

    #[test]
    fn what_is_read_can_be_written_again() {
        let saved = read(&bytes()).unwrap();
        let mut file = Vec::new();
        saved.write(&mut file).unwrap();
        let again = SavedTarget::read(&*file).unwrap();
        assert_eq!((saved.looks(), again.looks()), (2, 2));
        let tasks = |saved| {
            let mut inspector = Inspector::open(saved).unwrap();
            let snapshot = inspector.snapshot(&Options::default()).unwrap();
            serde_json::to_string(&snapshot.tasks).unwrap()
        };
        assert_eq!(tasks(saved), tasks(again));
    }

    #[test]
    fn other_files_are_told_from_damaged_ones() {
        let sound = bytes();
        let version = String::from_utf8(sound[..15].to_vec()).unwrap();
        assert_eq!(version, "aiospy image 1\n");
        let of_version = |version: &str| read(&[version.as_bytes(), &sound[15..]].concat());
        assert!(of_version("aiospy image 1\n").is_ok());
        let newer = of_version("aiospy image 2\n").unwrap_err();
        assert!(newer.to_string().starts_with("an image of version 2, of which "), "{newer}");
        for other in [&b""[..], b"aiospy", b"#!/usr/bin/env python3\nprint()\n", &sound[1..]] {
            assert!(matches!(read(other), Err(ImageError::NotAnImage)), "{other:.20?}");
            assert!(matches!(SavedTarget::read(other), Err(ImageError::NotAnImage)));
        }
        for len in [15, 17, 19, 100, sound.len() - 1] {
            assert!(matches!(read(&sound[..len]), Err(ImageError::Damaged(_))), "cut to {len}");
        }
        assert!(matches!(read(&[&sound[..], b"more"].concat()), Err(ImageError::Damaged(_))));
    }

    #[test]
    fn of_what_is_masked_no_values_are_kept() {
        let mut saved = read(&bytes()).unwrap();
        saved.facts.is_masked = true;
        let child = |command: &str| Child {
            pid: 1,
            command: command.to_owned(),
            has_loops: None,
            state: None,
            elapsed: None,
        };
        saved.set_children(vec![child("/usr/bin/python -c secret"), child("worker")]);
        let commands: Vec<_> = saved.children().iter().map(|child| &*child.command).collect();
        assert_eq!(commands, ["/usr/bin/python", "worker"]);
        let lines = BTreeMap::from([("app.py".to_owned(), BTreeMap::new())]);
        saved.facts.source.clear();
        saved.set_source(lines);
        assert!(saved.source().is_empty());
    }
}
