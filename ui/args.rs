//! The command line: all commands, each with its own options.

use std::ffi::OsString;
use std::time::Duration;

use clap::{ColorChoice, CommandFactory as _, Parser, Subcommand};

use crate::commands::check::Check;
use crate::commands::demo::Demo;
use crate::commands::diff::Diff;
use crate::commands::doctor::Doctor;
use crate::commands::dump::Dump;
use crate::commands::explain::Explain;
use crate::commands::export::Export;
use crate::commands::options::{Mistake, size, time};
use crate::commands::record::Record;
use crate::commands::run::Run;
use crate::commands::stop::Stop;
use crate::commands::watch::Watch;
use crate::top::{Replay, Top};

/// Attach to a running Python process and see what its asyncio program is doing.
#[derive(Debug, Parser)]
#[command(
    name = "aiospy",
    version,
    color = ColorChoice::Auto,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "The target needs no preparation, is only read, and is never stopped.\n\
        Exit codes: 0 done, 1 could not attach or read, 2 wrong usage, 3 a finding at or above \
        --fail-on."
)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
    /// Say more: the causes of an error, the cost of a reading
    #[arg(short = 'v', long = "verbose", global = true)]
    pub is_verbose: bool,
    /// How long reading the target once may take; then what was read by then is shown
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub timeout: Duration,
    /// Memory to use at most, such as 256M; the smaller of 512M and half of what the cgroup has left
    #[arg(long, global = true, value_name = "SIZE", value_parser = size, hide_short_help = true)]
    pub max_memory: Option<u64>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what is wrong, what the event loops do, and what each task waits for
    Dump(Dump),
    /// Print only what is wrong, one line each; exits with 3 if it is a warning or worse
    Check(Check),
    /// Explain what a finding means, how it is told and what to do about it
    Explain(Explain),
    /// Print the JSON Schema of the documents that --json gives
    Schema,
    /// Check each step of attaching to a process, with the remedy for what fails
    Doctor(Doctor),
    /// Start a sample program that hangs in a chosen way, and dump it
    Demo(Demo),
    /// Look at it live: what is stuck, what blocks the loop, what each task waits for
    Top(Top),
    /// Tell what happens as it happens: findings, blocking callbacks, how the loops do
    Watch(Watch),
    /// Ask a process to end, and tell what holds it until it does; exits with 3 if it does not
    Stop(Stop),
    /// Start a program and watch it; its output and exit code are its own
    Run(Run),
    /// Record where tasks are and what they wait for, to a file or as a flame graph
    Record(Record),
    /// Walk through a recording on the screen, as top shows what is live
    Replay(Replay),
    /// Make a flame graph, a page or a trace of a recording
    Export(Export),
    /// Tell what is other in a second dump or recording than in the first
    Diff(Diff),
}

/// Parses the command line.
///
/// # Errors
/// What clap has to say: a mistake, or the help or version that was asked for.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Options, clap::Error> {
    let mut options = Options::try_parse_from(args)?;
    if let Command::Dump(Dump { report, .. }) | Command::Demo(Demo { report, .. }) =
        &mut options.command
    {
        report.is_verbose = options.is_verbose;
    }
    Ok(options)
}

/// A mistake that clap does not know of, told as it tells its own.
pub fn usage(mistake: &Mistake) -> clap::Error {
    let mut all = Options::command();
    all.build();
    match all.find_subcommand_mut(mistake.command) {
        Some(command) => command.error(mistake.kind, mistake.words),
        None => all.error(mistake.kind, mistake.words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, clap::Error> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn command_is_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn timeout_may_stand_anywhere_and_is_ten_seconds() {
        let timeout = |line: &str| parsed(line).unwrap().timeout;
        assert_eq!(timeout("aiospy dump 1"), Duration::from_secs(10));
        assert_eq!(timeout("aiospy --timeout 1m check 1"), Duration::from_secs(60));
        assert_eq!(timeout("aiospy watch 1 --timeout 500ms"), Duration::from_millis(500));
        assert_eq!(parsed("aiospy dump 1 --timeout 0").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn bare_pid_is_no_command() {
        assert_eq!(parsed("aiospy 4711").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn verbose_may_stand_anywhere() {
        assert!(parsed("aiospy -v dump 1").unwrap().is_verbose);
        assert!(parsed("aiospy dump 1 -v").unwrap().is_verbose);
    }

    #[test]
    fn a_mistake_that_clap_does_not_know_of_is_told_as_its_own() {
        let kind = clap::error::ErrorKind::ArgumentConflict;
        let error = usage(&Mistake { command: "record", kind, words: "no" });
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().starts_with("error: no\n\nUsage: aiospy record "), "{error}");
    }
}
