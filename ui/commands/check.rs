//! `aiospy check PID`: only what is wrong, one line each, and an exit code for probes.

use std::time::Duration;

use clap::Args;

use crate::commands::children;
use crate::commands::options::{LOOKS, time_or_none};
use crate::commands::outcome::{FAIL_ON, FailOn, Outcome};
use crate::commands::patience::Patience;
use crate::commands::reading::{self, by_any_id};
use crate::commands::saved::{self, Subject};
use crate::io::memory;
use crate::io::output::{Destination, Output, note};
use crate::io::page::Page;
use crate::report::json;
use crate::report::text;
use crate::report::text::verdict::nothing_to_judge;

/// Options of `check`.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    subject: Subject,
    /// Print JSON: the findings with the loops and tasks they are about (see schema.json)
    #[arg(short = 'j', long = "json")]
    is_json: bool,
    #[arg(help = FAIL_ON, long, value_enum, default_value_t = FailOn::Warning, value_name = "SEVERITY")]
    fail_on: FailOn,
    #[arg(help = LOOKS, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    looks: u8,
    /// Go on sampling for so long at most while something may or may not be a hang
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = time_or_none)]
    wait: Duration,
    #[command(flatten)]
    output: Output,
}

/// Runs the command; `Findings` when one is at or above the severity asked about.
///
/// # Errors
/// When the target cannot be read, has no event loop to judge, or the output cannot be written.
pub fn run(options: &Check, patience: &Patience) -> anyhow::Result<Outcome> {
    let wanted = memory::bounded(aiospy::Options::default());
    let (snapshot, timed_out) = if let Some(image) = options.subject.image() {
        (saved::look(saved::open(image)?, &wanted, options.looks)?, None)
    } else {
        let look = |pid| reading::look(pid, &wanted, options.looks, options.wait, patience);
        let (_, looked) = by_any_id(options.subject.pid(), look);
        let (mut snapshot, timed_out) = looked?;
        children::add(&mut snapshot);
        (snapshot, timed_out)
    };
    let mut to = Destination::open(&options.output)?;
    if options.is_json {
        json::check(&snapshot, &mut to)?;
    } else {
        let (width, color) = (options.output.width(), to.color);
        // Not cut to the terminal: a finding is to be read to its end.
        text::brief(
            &snapshot,
            options.fail_on.severity(),
            &mut Page::new(to.writer(), width, color),
        )?;
    }
    to.finish()?;
    if !snapshot.problems.is_empty() {
        let parts = text::words::counted(snapshot.problems.len(), "part");
        let of = match options.subject.image() {
            Some(image) => format!("--image {}", image.display()),
            None => snapshot.process.pid.to_string(),
        };
        note(format_args!("{parts} could not be read; aiospy dump {of} lists them"));
    }
    if let Some(error) = timed_out {
        return Err(error.into());
    }
    match (options.fail_on.outcome_of(&snapshot), nothing_to_judge(&snapshot)) {
        // Nothing was seen to be wrong where nothing could be.
        (Outcome::Done, Some(trouble)) => Err(trouble.into()),
        (outcome, _) => Ok(outcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::options::typed;

    #[test]
    fn a_warning_makes_it_fail_unless_told_otherwise() {
        let checked = |line: &str| typed::<Check>(line);
        assert_eq!(checked("1").unwrap().fail_on, FailOn::Warning);
        assert_eq!(checked("-p 1 --fail-on never").unwrap().fail_on.severity(), None);
        assert_eq!((checked("1").unwrap().looks, checked("1 --looks 1").unwrap().looks), (2, 1));
        for bad in ["--fail-on bad", "--looks 0", "--looks 3", "--flat"] {
            assert_eq!(checked(&format!("1 {bad}")).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
