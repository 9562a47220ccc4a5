//! What is read is recorded, from one press of a key to the next.

use std::path::{Path, PathBuf};

use aiospy::recording::{Error, Limits, Taken, Writer};
use aiospy::watch::monitor::{Event, Monitor};
use aiospy::watch::sampler::Sample;
use jiff::Timestamp;

/// A recording that is being written.
pub struct Recorder {
    path: PathBuf,
    writer: Writer,
    missed: u64,
}

impl Recorder {
    /// Begins one.
    pub fn start(path: &Path) -> Result<Self, String> {
        let writer = Writer::create(path, Limits::default()).map_err(|error| why(path, error))?;
        Ok(Self { path: path.to_owned(), writer, missed: 0 })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes in a sample, what a monitor knows by it, and what happened.
    pub fn take(
        &mut self,
        sample: &Sample,
        monitor: &Monitor,
        events: Vec<Event>,
    ) -> Result<(), String> {
        let now = monitor.last().map_or_else(Timestamp::now, |last| last.taken_at);
        let failed = |error| why(&self.path, error);
        if let Sample::Missed(count) = sample {
            self.missed += count;
        }
        if let Sample::Whole(_) = sample {
            let (blocking, missed) = (monitor.blocking(), std::mem::take(&mut self.missed));
            if let Some(taken) = Taken::of(monitor, &blocking, missed) {
                self.writer.sample(&taken).map_err(failed)?;
            }
        }
        for event in events {
            self.writer.event(now, event).map_err(failed)?;
        }
        Ok(())
    }

    /// Ends it; says where it is.
    pub fn finish(self) -> Result<String, String> {
        let Self { path, writer, .. } = self;
        let size = writer.finish().map_err(|error| why(&path, error))?;
        let size = crate::report::text::words::bytes(size);
        Ok(format!("recorded to {} ({size})", path.display()))
    }
}

fn why(path: &Path, error: impl Into<Error>) -> String {
    format!("can't write {}: {:#}", path.display(), anyhow::Error::from(error.into()))
}
