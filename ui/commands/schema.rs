//! `aiospy schema`: the JSON Schema of what the other commands print with `--json`.

use crate::commands::outcome::Outcome;
use crate::io::output::{Color, Destination, Output};

/// That of `aiospy.dump/1`, with those of the other documents among its definitions.
const SCHEMA: &str = include_str!("../../schema.json");

/// Runs the command.
///
/// # Errors
/// When it cannot be written.
pub fn run() -> anyhow::Result<Outcome> {
    let mut to = Destination::open(&Output::new(None, Color::Never))?;
    to.writer().write_all(SCHEMA.as_bytes())?;
    to.finish()?;
    Ok(Outcome::Done)
}
