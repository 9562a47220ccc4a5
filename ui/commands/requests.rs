//! `aiospy requests PID`: the requests that are under way, in groups, and the oldest one by one.

use std::time::Duration;

use aiospy::process::Source;
use aiospy::snapshot::{Snapshot, Task};
use clap::Args;

use crate::commands::options::{LOOKS, Show, Target, time, time_or_none};
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::reading::{self, by_any_id};
use crate::io::output::{Destination, Output};
use crate::io::wanted;
use crate::report::json;
use crate::report::text::{self, requests};

/// Options of `requests`.
#[derive(Debug, Args)]
pub struct Requests {
    #[command(flatten)]
    target: Target,
    /// Only requests that have gone on for longer than TIME, as far as that is known
    #[arg(long, value_name = "TIME", value_parser = time)]
    slower: Option<Duration>,
    /// What they are grouped by
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = requests::By::Route)]
    by: requests::By,
    /// List all of them one by one
    #[arg(long = "all")]
    is_all: bool,
    /// Print JSON (see `aiospy schema`): a summary of at most 10,000 bytes, with requests only
    #[arg(short = 'j', long = "json")]
    is_json: bool,
    /// How much of a request is shown [default: all, in JSON route]
    #[arg(long, value_enum, value_name = "WHAT")]
    show: Option<Show>,
    #[arg(help = LOOKS, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    looks: u8,
    /// Keep sampling for up to TIME while it is undecided whether something hangs
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = time_or_none)]
    wait: Duration,
    #[command(flatten)]
    output: Output,
}

/// Runs the command.
///
/// # Errors
/// When the target cannot be read, or the output not be written.
pub fn run(options: &Requests, patience: &Patience) -> anyhow::Result<Outcome> {
    let mut wanted = wanted::complete(aiospy::Options::default());
    let usual = if options.is_json { Show::Route } else { Show::All };
    wanted.show = options.show.unwrap_or(usual).into();
    let look = |pid| reading::look(pid, &wanted, options.looks, options.wait, patience);
    let (_, looked) = by_any_id(options.target.pid(), look);
    let (snapshot, timed_out) = looked?;
    let shown = only_requests(&snapshot, options.slower);
    let mut to = Destination::open(&options.output)?;
    if options.is_json {
        let source = Source::of(&snapshot.process);
        let files = source.as_ref().map(|it| it as &dyn text::Files);
        let lines = text::Lines::of_snapshot(files, &snapshot);
        json::summary(&shown, Outcome::Done.code(), &lines, &mut to)?;
    } else {
        requests::draw(&snapshot, &shown, options.by, options.is_all, &mut to.page())?;
    }
    to.finish()?;
    timed_out.map_or(Ok(Outcome::Done), |error| Err(error.into()))
}

/// The same with no other tasks than those that work for a request which is as old.
fn only_requests(snapshot: &Snapshot, slower: Option<Duration>) -> Snapshot {
    let mut shown = snapshot.clone();
    let is_old = |task: &Task| {
        let age = snapshot.age_of(task).map(|age| age.time);
        slower.is_none_or(|least| age.is_some_and(|age| age >= least))
    };
    shown.tasks.retain(|task| requests::is_request(task) && is_old(task));
    shown
}
