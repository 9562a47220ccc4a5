//! `aiospy --version --verbose`: what this binary is built from, for what, and what it can read.

use aiospy::layout::supported;

use crate::commands::outcome::Outcome;
use crate::io::output::{Color, Destination, Output};

/// The features that can be left out of a build.
const FEATURES: &[(&str, bool)] = &[
    ("fallback", cfg!(feature = "fallback")),
    ("mcp", cfg!(feature = "mcp")),
    ("otlp", cfg!(feature = "otlp")),
];

/// Runs the command.
///
/// # Errors
/// When it cannot be written.
pub fn run() -> anyhow::Result<Outcome> {
    let features = FEATURES.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name);
    let features = features.collect::<Vec<_>>().join(", ");
    let linked = if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" };
    let mut to = Destination::open(&Output::new(None, Color::Never))?;
    writeln!(
        to.writer(),
        "aiospy {}\ncommit: {}\ntarget: {}, {linked}\nfeatures: {features}\nreads: {}",
        env!("CARGO_PKG_VERSION"),
        option_env!("AIOSPY_COMMIT").unwrap_or("not recorded"),
        env!("AIOSPY_TARGET"),
        supported(),
    )?;
    to.finish()?;
    Ok(Outcome::Done)
}
