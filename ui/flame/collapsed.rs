//! One line for each stack: frames with semicolons between them, a space, microseconds.

use std::io::Write;

use super::fold::Fold;
use super::{Exporter, Folding, Sample, Totals};

/// Makes such lines.
pub struct Collapsed {
    fold: Fold,
    to: Box<dyn Write>,
}

impl Collapsed {
    /// One that writes there.
    pub fn new(folding: Folding, to: Box<dyn Write>) -> Self {
        Self { fold: Fold::new(folding), to }
    }
}

impl Exporter for Collapsed {
    fn sample(&mut self, sample: Sample<'_>) -> anyhow::Result<()> {
        self.fold.sample(sample);
        Ok(())
    }

    fn finish(mut self: Box<Self>, _totals: &Totals) -> anyhow::Result<()> {
        for (stack, time) in self.fold.tree().lines() {
            writeln!(self.to, "{stack} {time}")?;
        }
        self.to.flush()?;
        Ok(())
    }
}
