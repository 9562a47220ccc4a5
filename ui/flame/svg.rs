//! A flame graph as SVG, by inferno; its colours say what each frame stands for.

use std::io::Write;

use anyhow::Context as _;
use inferno::flamegraph::color::{BackgroundColor, Color, PaletteMap};
use inferno::flamegraph::{self, Options, TextTruncateDirection};

use super::fold::Fold;
use super::{Exporter, Folding, Sample, Totals};

/// Makes one.
pub struct Svg {
    fold: Fold,
    to: Box<dyn Write>,
}

impl Svg {
    /// One that writes there.
    pub fn new(folding: Folding, to: Box<dyn Write>) -> Self {
        Self { fold: Fold::new(folding), to }
    }
}

impl Exporter for Svg {
    fn sample(&mut self, sample: Sample<'_>) -> anyhow::Result<()> {
        self.fold.sample(sample);
        Ok(())
    }

    fn finish(mut self: Box<Self>, totals: &Totals) -> anyhow::Result<()> {
        let tree = self.fold.tree();
        let mut colors = PaletteMap::default();
        for label in tree.labels() {
            let (r, g, b) = label.kind.color();
            colors.insert(&label.text, Color { r, g, b });
        }
        colors.insert("all", Color { r: 225, g: 225, b: 220 });
        let mut options = Options::default();
        options.bgcolors = Some(BackgroundColor::Flat(Color { r: 251, g: 250, b: 248 }));
        options.text_truncate_direction = TextTruncateDirection::Right;
        options.palette_map = Some(&mut colors);
        options.title = format!("aiospy: {}", self.fold.folding().view.about());
        options.subtitle = Some(format!("{} · {}", totals.target(), totals.words()));
        "ms".clone_into(&mut options.count_name);
        options.factor = 0.001;
        "Frame:".clone_into(&mut options.name_type);
        let mut lines: Vec<String> =
            tree.lines().into_iter().map(|(stack, time)| format!("{stack} {time}")).collect();
        if lines.is_empty() {
            // Of nothing inferno makes nothing, which is no picture either.
            lines.push("(nothing was seen in this view) 1".to_owned());
        }
        flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut self.to)
            .context("can't draw the flame graph")?;
        self.to.flush()?;
        Ok(())
    }
}
