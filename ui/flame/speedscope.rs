//! The file format of speedscope: each stack once, with all its time.

use std::io::Write;

use serde::Serialize;

use super::fold::Fold;
use super::{Exporter, Folding, Sample, Totals};

/// Makes such a file.
pub struct Speedscope {
    fold: Fold,
    to: Box<dyn Write>,
}

impl Speedscope {
    /// One that writes there.
    pub fn new(folding: Folding, to: Box<dyn Write>) -> Self {
        Self { fold: Fold::new(folding), to }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: String,
    name: String,
    active_profile_index: u32,
    shared: Shared<'a>,
    profiles: [Profile; 1],
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Vec<Vec<u32>>,
    weights: Vec<u64>,
}

impl Exporter for Speedscope {
    fn sample(&mut self, sample: Sample<'_>) -> anyhow::Result<()> {
        self.fold.sample(sample);
        Ok(())
    }

    fn finish(mut self: Box<Self>, totals: &Totals) -> anyhow::Result<()> {
        let tree = self.fold.tree();
        let view = self.fold.folding().view;
        let mut stacks: Vec<(Vec<u32>, u64)> = tree.stacks().collect();
        // Those that begin alike lie side by side.
        stacks.sort_unstable();
        let (samples, weights): (Vec<Vec<u32>>, Vec<u64>) = stacks.into_iter().unzip();
        let frames = tree.labels().iter().map(|label| Frame {
            name: &label.text,
            file: label.place.as_ref().map(|place| &*place.file),
            line: label.place.as_ref().and_then(|place| place.line),
        });
        let profile = Profile {
            kind: "sampled",
            name: view.about().to_owned(),
            unit: "microseconds",
            start_value: 0,
            end_value: weights.iter().sum(),
            samples,
            weights,
        };
        let file = File {
            schema: "https://www.speedscope.app/file-format-schema.json",
            exporter: concat!("aiospy@", env!("CARGO_PKG_VERSION")).to_owned(),
            name: format!("{} by {}: {}", totals.target(), view.name(), totals.words()),
            active_profile_index: 0,
            shared: Shared { frames: frames.collect() },
            profiles: [profile],
        };
        serde_json::to_writer(&mut self.to, &file)?;
        self.to.flush()?;
        Ok(())
    }
}
