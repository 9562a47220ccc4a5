//! Images of processes: files with what was read of one, to be read again anywhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use aiospy::Inspector;
use aiospy::process::{Source, SourceFile};
use aiospy::session::SavedTarget;
use aiospy::snapshot::Snapshot;
use anyhow::Context as _;
use clap::Args;

use crate::commands::options::pid;
use crate::commands::targets::{Choice, Chosen};
use crate::io::output::{self, note};
use crate::report::text::{self, Files};

/// The processes that a command is about, or what was saved of one.
#[derive(Debug, Args)]
pub struct Subjects {
    /// Process ids; several are read at once and judged as one
    #[arg(value_name = "PID", value_parser = pid, required_unless_present_any = ["pid_flag", "image", "name", "is_all"], conflicts_with_all = ["name", "is_all"])]
    pid: Vec<i32>,
    /// The process id as an option
    #[arg(short, long = "pid", id = "pid_flag", value_name = "PID", value_parser = pid, conflicts_with_all = ["pid", "name", "is_all"])]
    pid_flag: Vec<i32>,
    #[command(flatten)]
    choice: Choice,
    /// Read an image written by `aiospy dump --save-image FILE` instead of a process
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pid", "pid_flag", "name", "is_all", "has_subprocesses"])]
    image: Option<PathBuf>,
}

impl Subjects {
    /// The processes.
    ///
    /// # Errors
    /// When none matches, or more than the one that is wanted.
    pub fn choose(&self, command: &str) -> anyhow::Result<Chosen> {
        self.choice.choose(&[&self.pid[..], &self.pid_flag].concat(), command)
    }

    /// The file of a saved one.
    pub fn image(&self) -> Option<&Path> {
        self.image.as_deref()
    }
}

/// That what is read is saved.
#[derive(Debug, Args)]
pub struct Saving {
    /// Also save what was read to FILE, for --image here or on another machine. It holds only the bytes that the report is based on, but these include values and messages: it may hold secrets (see --mask)
    #[arg(long = "save-image", value_name = "FILE", conflicts_with = "image")]
    pub save_image: Option<PathBuf>,
    /// Mask the contents of strings and bytes, command-line arguments and source lines in that file. Names (functions, files, modules, types, attributes, variables, tasks, threads), numbers, socket addresses and paths of open files stay readable
    #[arg(long = "mask", requires = "save_image")]
    pub masks: bool,
}

impl Saving {
    /// Saves what an inspector has read for a snapshot.
    ///
    /// # Errors
    /// Those of the file.
    pub fn save(&self, inspector: &Inspector, snapshot: &Snapshot) -> anyhow::Result<()> {
        let Some(path) = &self.save_image else { return Ok(()) };
        let context = || format!("can't write {}", path.display());
        let Some(mut saved) = inspector.saved(self.masks).with_context(context)? else {
            return Ok(());
        };
        saved.set_children(snapshot.children.clone());
        if let Some(source) = Source::of(&snapshot.process).filter(|_| !self.masks) {
            saved.set_source(text::shown_lines(snapshot, &source));
        }
        let to = output::create(path, false)?;
        saved.write(to).with_context(context)
    }
}

/// Opens an image.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn open(path: &Path) -> anyhow::Result<SavedTarget> {
    let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
    SavedTarget::read(BufReader::new(file)).with_context(|| path.display().to_string())
}

/// Reads a saved target, with conclusions, in as many looks as were taken, or in `looks`.
///
/// # Errors
/// When it cannot be read.
pub fn look(saved: SavedTarget, wanted: &aiospy::Options, looks: u8) -> anyhow::Result<Snapshot> {
    let children = saved.children().to_vec();
    let mut inspector = Inspector::open(saved)?;
    for warning in inspector.warnings() {
        note(warning);
    }
    let mut snapshot = aiospy::watch::look(&mut inspector, wanted, looks)?;
    snapshot.children = children;
    Ok(snapshot)
}

/// The lines of source that were saved.
pub struct SavedSource(BTreeMap<String, SourceFile>);

impl SavedSource {
    /// Those of a saved target, at their places among empty lines.
    pub fn of(saved: &SavedTarget) -> Self {
        /// The longest file that Python itself takes has fewer.
        const MAX_LINES: u32 = 10_000_000;
        let mut files = BTreeMap::new();
        for (path, lines) in saved.source() {
            let mut text = String::new();
            let mut next = 1;
            for (&number, line) in lines.range(1..MAX_LINES) {
                text.extend((next..number).map(|_| '\n'));
                text.push_str(&line.replace(['\n', '\r'], " "));
                next = number;
            }
            files.insert(path.clone(), SourceFile::Text(text.into()));
        }
        Self(files)
    }
}

impl Files for SavedSource {
    fn file(&self, path: &str) -> SourceFile {
        self.0.get(path).cloned().unwrap_or(SourceFile::Absent)
    }
}
