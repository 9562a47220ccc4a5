//! Small files that are named on the command line.

use std::fs::{metadata, read_to_string};

/// The longest that is read.
const MAX: u64 = 1 << 20;

/// The text of a file of rules.
///
/// # Errors
/// When it can't be read or is too long, in words.
pub fn rules(file: &str) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("can't read it: {error}");
    if metadata(file).map_err(cannot)?.len() > MAX {
        return Err("it is too long for a file of rules".to_owned());
    }
    read_to_string(file).map_err(cannot)
}
