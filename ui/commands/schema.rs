//! `aiospy schema`: the JSON Schema of what the other commands print with `--json`.
//!
//! It is written by hand. One that is derived from the types would list the names of kinds, states and
//! codes as all there will ever be, ask for fields that may be absent, and could not forbid unknown
//! ones where parts are flattened. That both agree is tested in `report/json.rs`.

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
