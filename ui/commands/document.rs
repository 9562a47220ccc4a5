//! Snapshots that were written as JSON, to be read again.

use std::io::Read as _;
use std::path::Path;

use aiospy::snapshot::{NotRead, Snapshot};
use anyhow::Context as _;

use crate::io::trouble::Trouble;

/// What stands for standard input.
pub const STDIN: &str = "-";

/// Reads what `dump --json` or `check --json` has written; `expected` is what else it might have been.
///
/// # Errors
/// When it cannot be read, is no such document, or one of another version.
pub fn read(file: &Path, expected: &str) -> anyhow::Result<Snapshot> {
    let name = file.display();
    let text = if file.as_os_str() == STDIN {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(file)
    };
    let text = text.with_context(|| format!("can't read {name}"))?;
    Snapshot::from_json(&text).map_err(|error| {
        let trouble = match error {
            NotRead::NotADump(_) => Trouble::new(
                format!("{name} is not an aiospy {expected}"),
                "aiospy dump --json PID -o FILE, which makes one",
            ),
            _ => Trouble::new(
                format!("{name} is of another version: {error}"),
                "the aiospy that wrote it",
            ),
        };
        trouble.into()
    })
}
