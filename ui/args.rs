//! The command line: all commands, each with its own options.

use std::ffi::OsString;
use std::time::Duration;

use aiospy::known::work::Rules;
use clap::error::ErrorKind;
use clap::{ColorChoice, CommandFactory as _, Parser, Subcommand};

use crate::commands::check::Check;
use crate::commands::completions::{Completions, Man};
use crate::commands::demo::Demo;
use crate::commands::diff::Diff;
use crate::commands::doctor::Doctor;
use crate::commands::dump::Dump;
use crate::commands::explain::Explain;
use crate::commands::export::Export;
use crate::commands::options::{Mistake, Watching, pid, size, time};
use crate::commands::ps::Ps;
use crate::commands::record::Record;
use crate::commands::report::Report;
use crate::commands::requests::Requests;
use crate::commands::run::Run;
use crate::commands::stop::Stop;
use crate::commands::watch::Watch;
use crate::io::rules;
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
    /// Show more: error causes and timing
    #[arg(short = 'v', long = "verbose", global = true)]
    pub is_verbose: bool,
    /// Longest time for reading the target once; what was read by then is shown
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub timeout: Duration,
    /// Most memory to use, such as 256M [default: 512M, or half of what the cgroup has left]
    #[arg(long, global = true, value_name = "SIZE", value_parser = size, hide_short_help = true)]
    pub max_memory: Option<u64>,
    /// Rules in TOML that say which functions work for requests and jobs [default:
    /// ~/.config/aiospy/rules.toml]
    #[arg(long, global = true, value_name = "FILE", value_parser = rules::read, hide_short_help = true)]
    pub rules: Option<Rules>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Report what is wrong, what the event loops do, and what each task waits for
    Dump(Dump),
    /// Report only what is wrong, one line each; exits with 3 for a warning or worse
    Check(Check),
    /// List the requests in flight: what each waits for, oldest first
    Requests(Requests),
    /// Write what is wrong as Markdown, for the channel of an incident
    Report(Report),
    /// List Python processes: what their loops do, and what is wrong in each
    Ps(Ps),
    /// Explain what a finding means, how it is detected and what to do about it
    Explain(Explain),
    /// Print the JSON Schema of the documents that --json gives
    Schema,
    /// Check each step of attaching to a process, with a remedy for what fails
    Doctor(Doctor),
    /// Start a sample program that hangs, and dump it
    Demo(Demo),
    /// Live view: stuck tasks, blocked loops, what each task waits for
    Top(Top),
    /// Report events as they happen: findings, blocking callbacks, loop statistics
    Watch(Watch),
    /// Stop a process and report what keeps it from ending; exits with 3 if it doesn't
    Stop(Stop),
    /// Start a program and watch it; its output and exit code are passed on
    Run(Run),
    /// Record where tasks are and what they wait for, as a file or a flame graph
    Record(Record),
    /// Step through a recording in the live view
    Replay(Replay),
    /// Make a flame graph, a page or a trace from a recording
    Export(Export),
    /// Compare two dumps or recordings
    Diff(Diff),
    /// Serve agents by the Model Context Protocol, on standard input and output
    #[cfg(feature = "mcp")]
    Mcp,
    /// Print completions for a shell
    Completions(Completions),
    /// Write the man pages to a folder
    Man(Man),
    /// What `--version --verbose` asks for
    #[command(skip)]
    Version,
}

/// Parses the command line.
///
/// # Errors
/// What clap has to say: a mistake, or the help or version that was asked for.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Options, clap::Error> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    // `aiospy 4711` is `aiospy dump 4711`.
    if args.get(1).and_then(|arg| arg.to_str()).is_some_and(|arg| pid(arg).is_ok()) {
        args.insert(1, "dump".into());
    }
    let mut options =
        Options::try_parse_from(&args).or_else(|error| verbose_version(error, &args))?;
    if let Command::Dump(Dump { report, .. }) | Command::Demo(Demo { report, .. }) =
        &mut options.command
    {
        report.is_verbose = options.is_verbose;
    }
    if let Command::Check(Check { allowing, .. })
    | Command::Watch(Watch { watching: Watching { allowing, .. }, .. })
    | Command::Run(Run { watching: Watching { allowing, .. }, .. }) = &mut options.command
    {
        allowing.is_verbose = options.is_verbose;
    }
    Ok(options)
}

/// clap is content with the first `--version`, whatever else there is.
fn verbose_version(error: clap::Error, args: &[OsString]) -> Result<Options, clap::Error> {
    let is_verbose = |arg: &OsString| {
        let arg = arg.to_string_lossy();
        arg == "--verbose" || !arg.starts_with("--") && arg.starts_with('-') && arg.contains('v')
    };
    if error.kind() == ErrorKind::DisplayVersion && args.iter().any(is_verbose) {
        let (command, timeout) = (Command::Version, Duration::ZERO);
        return Ok(Options { command, is_verbose: true, timeout, max_memory: None, rules: None });
    }
    Err(error)
}

/// The whole command line, as completions and man pages are made of it.
pub fn command() -> clap::Command {
    Options::command()
}

/// A mistake that clap does not know of, told as it tells its own.
pub fn usage(mistake: &Mistake) -> clap::Error {
    let mut all = command();
    all.build();
    match all.find_subcommand_mut(mistake.command) {
        Some(command) => command.error(mistake.kind, mistake.words),
        None => all.error(mistake.kind, mistake.words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::remedy::of_usage;
    use crate::io::trouble::Trouble;

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
    fn a_process_id_without_a_command_is_dumped() {
        let command = |line: &str| parsed(line).unwrap().command;
        assert!(matches!(command("aiospy 4711"), Command::Dump(_)));
        assert!(
            matches!(command("aiospy 4711 -t --json"), Command::Dump(Dump { report, .. }) if report.json.is_some())
        );
        assert_eq!(parsed("aiospy notapid").unwrap_err().exit_code(), 2);
        assert_eq!(parsed("aiospy 0").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn verbose_may_stand_anywhere() {
        assert!(parsed("aiospy -v dump 1").unwrap().is_verbose);
        assert!(parsed("aiospy dump 1 -v").unwrap().is_verbose);
    }

    #[test]
    fn a_mistake_that_clap_does_not_know_of_is_told_as_its_own() {
        let kind = ErrorKind::ArgumentConflict;
        let error = usage(&Mistake { command: "record", kind, words: "no" });
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().starts_with("error: no\n\nUsage: aiospy record "), "{error}");
    }

    #[test]
    fn a_mistake_in_the_command_line_has_a_remedy_too() {
        let said = |line: &str| {
            let typed: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let error = parse(typed.iter().map(Into::into)).unwrap_err();
            let Trouble { cause, facts, remedy } = of_usage(&error, &typed);
            [cause, facts.unwrap_or_default(), remedy]
        };
        assert_eq!(
            said("aiospy dump notapid"),
            [
                "expected a process id or --name PATTERN, got \"notapid\"",
                "",
                "aiospy dump --name notapid"
            ]
        );
        let [cause, facts, remedy] = said("aiospy dmp 1");
        assert_eq!(cause, "unrecognized subcommand 'dmp'");
        assert!(facts.contains("'dump'"), "{facts}");
        assert_eq!(remedy, "aiospy --help");
        let [cause, _, remedy] = said("aiospy check 1 --color sometimes");
        assert!(cause.starts_with("invalid value 'sometimes' for '--color"), "{cause}");
        assert_eq!(remedy, "aiospy check --help");
    }
}
