//! How much memory the tool may take, as asked for.

use std::sync::OnceLock;

static MOST: OnceLock<Option<u64>> = OnceLock::new();

/// From now on so many bytes; the first call counts.
pub fn set_most(bytes: Option<u64>) {
    let _ = MOST.set(bytes);
}

/// How many bytes, if a number was asked for.
pub fn most() -> Option<u64> {
    MOST.get().copied().flatten()
}

/// What a snapshot is to contain, within that memory.
pub fn bounded(mut options: aiospy::Options) -> aiospy::Options {
    options.max_memory = most();
    options
}
