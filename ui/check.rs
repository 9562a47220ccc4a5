//! `aiospy check PID`: only what is wrong, one line each, and an exit code for probes.

use crate::Outcome;
use crate::args::Check;
use crate::output::Destination;
use crate::patience::Patience;
use crate::text::page::Page;
use crate::{children, dump, json, memory, text};

/// Runs the command; `Findings` when one is at or above the severity asked about.
///
/// # Errors
/// When the target cannot be read, has no event loop to judge, or the output cannot be written.
pub fn run(options: &Check, patience: &Patience) -> anyhow::Result<Outcome> {
    let wanted = memory::bounded(aiospy::Options::default());
    let look = |pid| dump::look(pid, &wanted, options.looks, options.wait, patience);
    let (_, looked) = dump::by_any_id(options.pid, look);
    let (mut snapshot, timed_out) = looked?;
    children::add(&mut snapshot);
    let mut to = Destination::open(&options.output)?;
    if options.is_json {
        json::check(&snapshot, &mut to)?;
    } else {
        let (width, color) = (options.output.width, to.color);
        // Not cut to the terminal: a finding is to be read to its end.
        text::brief(&snapshot, options.fail_on, &mut Page::new(to.writer(), width, color))?;
    }
    to.finish()?;
    if !snapshot.problems.is_empty() {
        let pid = snapshot.process.pid;
        let parts = text::words::counted(snapshot.problems.len(), "part");
        dump::note(format_args!("{parts} could not be read; aiospy dump {pid} lists them"));
    }
    if let Some(error) = timed_out {
        return Err(error.into());
    }
    match (dump::outcome(&snapshot, options.fail_on), children::nothing_to_judge(&snapshot)) {
        // Nothing was seen to be wrong where nothing could be.
        (Outcome::Done, Some(trouble)) => Err(trouble.into()),
        (outcome, _) => Ok(outcome),
    }
}
