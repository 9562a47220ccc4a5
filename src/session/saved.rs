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
            ..Facts::default()
        };
        Ok(SavedTarget { image, facts })
    }
}

impl SavedTarget {
    /// Takes in the processes below it.
    pub fn set_children(&mut self, children: Vec<Child>) {
        // Their command lines are not to be told from secrets.
        if !self.facts.is_masked || children.is_empty() {
            self.facts.children = children;
        }
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
    pub(super) fn into_parts(self) -> (Image, Saved, Watched) {
        (self.image, self.facts.system, self.facts.turns)
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
