//! What all commands want of snapshots: how much memory they may take, and by which rules it is told
//! what tasks work for.

use std::sync::OnceLock;

use aiospy::known::work::Rules;

static WANTED: OnceLock<(Option<u64>, Rules)> = OnceLock::new();

/// From now on so many bytes, and these rules for the program; the first call counts.
pub fn set(most_memory: Option<u64>, rules: Rules) {
    let _ = WANTED.set((most_memory, rules));
}

/// What a snapshot is to contain, with that.
pub fn complete(mut options: aiospy::Options) -> aiospy::Options {
    if let Some((most_memory, rules)) = WANTED.get() {
        (options.max_memory, options.rules) = (*most_memory, rules.clone());
    }
    options
}
