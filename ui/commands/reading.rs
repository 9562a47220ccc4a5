//! One reading of a target, by whichever of its process ids it is called.

use std::time::Duration;

use aiospy::snapshot::Snapshot;
use aiospy::{Error, Inspector};

use crate::commands::children;
use crate::commands::patience::Patience;
use crate::commands::remedy;
use crate::commands::saved::Saving;
use crate::commands::waiting;
use crate::io::output::note;

/// Does `what` for a process; for an id of another pid namespace, for the process meant by it.
pub fn by_any_id<T>(pid: i32, what: impl Fn(i32) -> anyhow::Result<T>) -> (i32, anyhow::Result<T>) {
    let done = what(pid);
    match done.as_ref().err().and_then(remedy::namespace_match) {
        Some(host) => {
            note(remedy::other_namespace(pid, host));
            (host, what(host))
        }
        None => (pid, done),
    }
}

/// Reads process `pid`, with conclusions; for `wait` at most while something is undecided. Also
/// gives that the time was over before all was read.
///
/// # Errors
/// When it cannot be read.
pub fn look(
    pid: i32,
    wanted: &aiospy::Options,
    looks: u8,
    wait: Duration,
    patience: &Patience,
) -> anyhow::Result<(Snapshot, Option<Error>)> {
    patience.guard(pid, None);
    patience.limited(|| {
        let mut inspector = Inspector::attach_within(pid, &patience.limit)?;
        look_by(&mut inspector, wanted, looks, wait)
    })
}

/// The same, and saves what was read.
///
/// # Errors
/// When it cannot be read, or not be saved.
pub fn look_and_save(
    pid: i32,
    wanted: &aiospy::Options,
    looks: u8,
    wait: Duration,
    patience: &Patience,
    saving: &Saving,
) -> anyhow::Result<(Snapshot, Option<Error>)> {
    patience.guard(pid, None);
    let (inspector, mut snapshot, timed_out) = patience.limited(|| {
        let mut inspector = Inspector::attach_saving(pid, &patience.limit)?;
        let (snapshot, timed_out) = look_by(&mut inspector, wanted, looks, wait)?;
        anyhow::Ok((inspector, snapshot, timed_out))
    })?;
    children::add(&mut snapshot, wanted);
    saving.save(&inspector, &snapshot)?;
    Ok((snapshot, timed_out))
}

fn look_by(
    inspector: &mut Inspector,
    wanted: &aiospy::Options,
    looks: u8,
    wait: Duration,
) -> anyhow::Result<(Snapshot, Option<Error>)> {
    for warning in inspector.warnings() {
        note(warning);
    }
    let snapshot = waiting::look(inspector, wanted, looks, wait)?;
    Ok((snapshot, inspector.timed_out()))
}

/// That a quota allows only so many samples a second.
pub fn limited(rate: f64) -> String {
    let rate = if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") };
    format!("{rate} samples a second: aiospy takes no more than 5 % of the CPU quota of its cgroup")
}
