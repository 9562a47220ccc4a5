//! `aiospy completions SHELL` and `aiospy man FOLDER`: what packages install beside the binary, made
//! from the command line itself.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::commands::outcome::Outcome;
use crate::io::output::{Color, Destination, Output};

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// An existing folder; pages that are in it are replaced
    folder: PathBuf,
}

/// Prints the completions.
///
/// # Errors
/// When they cannot be written.
pub fn run(options: &Completions, mut all: Command) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut all, "aiospy", &mut script);
    let mut to = Destination::open(&Output::new(None, Color::Never))?;
    to.writer().write_all(&script)?;
    to.finish()?;
    Ok(Outcome::Done)
}

/// Writes a man page for the tool, and one for each command.
///
/// # Errors
/// When one cannot be written.
pub fn man(options: &Man, all: Command) -> anyhow::Result<Outcome> {
    let folder = &options.folder;
    clap_mangen::generate_to(all, folder).with_context(|| folder.display().to_string())?;
    Ok(Outcome::Done)
}
