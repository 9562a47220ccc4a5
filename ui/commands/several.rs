//! Several processes read at once and judged as one.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aiospy::Error;
use aiospy::snapshot::Level;
use aiospy::watch::several::{How, Looked, look_at};

use crate::commands::outcome::{FailOn, Outcome};
use crate::commands::patience::Patience;
use crate::commands::remedy;
use crate::commands::targets::Several;
use crate::commands::waiting;
use crate::io::descriptors;
use crate::io::trouble::Trouble;
use crate::report::text::group::Group;

/// Reads several processes, with conclusions; for `wait` at most while something is undecided in
/// one of them.
///
/// # Errors
/// When none of them could be read.
pub fn look(
    several: &Several,
    wanted: &aiospy::Options,
    looks: u8,
    wait: Duration,
    patience: &Patience,
) -> anyhow::Result<Group> {
    descriptors::raise_limit();
    let stop: Arc<AtomicBool> =
        if wait.is_zero() { Arc::default() } else { waiting::on_interrupt()? };
    let how = How { options: wanted.clone(), looks, wait, timeout: patience.timeout, stop };
    let mut looked = look_at(&several.pids(), &how);
    let is_read = looked.iter().any(|it| it.read.is_ok());
    if !is_read && looked.iter().all(|it| it.is_no_python() || several.named.contains(&it.pid())) {
        // The first that was asked for says it best.
        let first = looked.into_iter().find_map(|it| it.read.err());
        return Err(first.map_or_else(
            || Trouble::new("no Python process is left", "aiospy ps").into(),
            anyhow::Error::from,
        ));
    }
    // A shell or launcher above them says nothing, and neither does what has ended since.
    looked.retain(|it| {
        let is_missing = several.is_asked_for(it.pid()) && !several.has_subprocesses;
        is_missing || it.has_ended() || !it.is_no_python()
    });
    Ok(Group::new(several.root(), looked, |pid| several.is_asked_for(pid)))
}

/// The exit code of a command that has read them.
pub fn exit_code(group: &Group, several: &Several, fail_on: FailOn, judges: bool) -> u8 {
    let is_judged = !judges || group.level() != Level::NotJudged;
    match fail_on.outcome(group.worst()) {
        // A finding comes before what could not be read.
        Outcome::Findings => 3,
        _ if failed(group, several).is_some() || !is_judged => 1,
        _ => 0,
    }
}

/// Why one could not be read that was asked for by its id.
fn failed<'g>(group: &'g Group, several: &Several) -> Option<&'g Error> {
    let asked_for = group.members.iter().filter(|it| several.is_asked_for(it.pid()));
    let mut errors = asked_for.filter_map(|it| it.read.as_ref().err().or(it.timed_out.as_ref()));
    errors.find(|error| !matches!(error, Error::NoAsyncio { .. }))
}

/// How the command ends, in that code; says why where it is 1.
///
/// # Errors
/// When there was no event loop to judge.
pub fn outcome(
    group: &Group,
    several: &Several,
    fail_on: FailOn,
    judges: bool,
) -> anyhow::Result<Outcome> {
    match (exit_code(group, several, fail_on, judges), failed(group, several)) {
        (0, _) => Ok(Outcome::Done),
        (3, _) => Ok(Outcome::Findings),
        (_, Some(error)) => {
            remedy::say(&remedy::of_process(error));
            Ok(Outcome::Failed)
        }
        (_, None) => {
            let first = group.root.or(group.members.first().map(Looked::pid)).unwrap_or_default();
            let remedy = format!("aiospy dump --threads {first}, which shows what its threads do");
            Err(Trouble::new(group.verdict(), remedy).into())
        }
    }
}
