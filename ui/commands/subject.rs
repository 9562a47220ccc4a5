//! What a command judges: a process, or what was saved of one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aiospy::Error;
use aiospy::process::Source;
use aiospy::snapshot::{Doubt, Snapshot, Undecided, Verdict};

use crate::commands::children;
use crate::commands::document;
use crate::commands::options::pid;
use crate::commands::patience::Patience;
use crate::commands::reading::{self, by_any_id};
use crate::commands::saved::{self, SavedSource};
use crate::io::trouble::Trouble;
use crate::report::text::Files;

/// What is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A process.
    Process(i32),
    /// A snapshot as JSON.
    Document(PathBuf),
    /// An image.
    Image(PathBuf),
}

/// What was read of it.
pub struct Read {
    /// All of it.
    pub snapshot: Snapshot,
    /// Its source files, where there are some.
    pub source: Option<Box<dyn Files>>,
    /// That the time was over before all was read.
    pub timed_out: Option<Error>,
}

/// A number is a process id, all else a file.
///
/// # Errors
/// When a number is no process id.
pub fn subject(text: &str) -> Result<Subject, String> {
    let is_number = text.trim_start_matches('-').starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_number { pid(text).map(Subject::Process) } else { Ok(Subject::Document(text.into())) }
}

impl Subject {
    /// Reads it, with conclusions: those of a document as they are.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(
        &self,
        wanted: &aiospy::Options,
        looks: u8,
        wait: Duration,
        patience: &Patience,
    ) -> anyhow::Result<Read> {
        match self {
            Self::Process(pid) => {
                let look = |pid| reading::look(pid, wanted, looks, wait, patience);
                let (mut snapshot, timed_out) = by_any_id(*pid, look).1?;
                children::add(&mut snapshot, wanted);
                let source = Source::of(&snapshot.process).map(|it| Box::new(it) as Box<dyn Files>);
                Ok(Read { snapshot, source, timed_out })
            }
            Self::Image(file) => {
                let image = saved::open(file)?;
                let source = Box::new(SavedSource::of(&image));
                let snapshot = saved::look(image, wanted, looks)?;
                Ok(Read { snapshot, source: Some(source), timed_out: None })
            }
            Self::Document(file) => {
                Ok(Read { snapshot: judged(file)?, source: None, timed_out: None })
            }
        }
    }
}

/// A snapshot from a file, with the conclusions that it had.
fn judged(file: &Path) -> anyhow::Result<Snapshot> {
    let mut snapshot = document::read(file, "dump")?;
    if snapshot.findings.is_none() {
        let cause = format!("{} does not say whether anything was found", file.display());
        return Err(Trouble::new(cause, "aiospy check PID, where the process still runs").into());
    }
    // One of an older version, or with a verdict that only a newer one knows.
    if snapshot.verdict.is_none() {
        snapshot.verdict = Some(Verdict::Undecided);
        let title = format!("{} has no verdict that this version knows", file.display());
        let (reason, code, seen_for) = (Doubt::Unread, None, None);
        snapshot.undecided.push(Undecided { reason, title, code, seen_for });
    }
    Ok(snapshot)
}
