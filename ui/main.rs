//! The `aiospy` command: parses, runs, prints the error, decides the exit code. Nothing else.

use std::process::ExitCode;

mod args;
mod commands;
mod flame;
mod io;
mod report;
mod top;

use aiospy::known::work::Rules;
use args::Command;
use commands::patience::Patience;
use commands::{
    check, completions, demo, diff, doctor, dump, explain, export, ps, record, remedy, run, schema,
    stop, version, watch,
};
use io::{oom, output, rules, wanted};

fn main() -> ExitCode {
    oom::volunteer();
    let options = match args::parse(std::env::args_os()) {
        Ok(options) => options,
        Err(usage) => return remedy::usage(&usage),
    };
    let patience = Patience::new(options.timeout);
    let rules = options.rules.clone().unwrap_or_else(kept_rules);
    wanted::set(options.max_memory, rules);
    let done = match &options.command {
        Command::Dump(options) => dump::run(options, &patience),
        Command::Check(options) => check::run(options, &patience),
        Command::Requests(options) => commands::requests::run(options, &patience),
        Command::Report(options) => commands::report::run(options, &patience),
        Command::Ps(options) => ps::run(options, &patience),
        Command::Explain(options) => explain::run(options),
        Command::Schema => schema::run(),
        Command::Doctor(options) => doctor::run(options, &patience),
        Command::Demo(options) => demo::run(options, &patience),
        Command::Watch(options) => watch::run(options, &patience),
        Command::Stop(options) => stop::run(options, &patience),
        Command::Run(options) => run::run(options, &patience),
        Command::Top(options) => top::run(options, &patience),
        Command::Record(options) => record::run(options, &patience),
        Command::Replay(options) => top::replay(options, &patience),
        Command::Export(options) => export::run(options),
        Command::Diff(options) => diff::run(options),
        Command::Completions(options) => completions::run(options, args::command()),
        Command::Man(options) => completions::man(options, args::command()),
        #[cfg(feature = "mcp")]
        Command::Mcp => commands::mcp::run(),
        Command::Version => version::run(),
    };
    match done {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(mistake) = error.downcast_ref() {
                return remedy::usage(&args::usage(mistake));
            }
            remedy::print(&error, options.is_verbose);
            ExitCode::FAILURE
        }
    }
}

/// The rules that the user keeps for all programs; a mistake there stops nobody.
fn kept_rules() -> Rules {
    match rules::kept() {
        None => Rules::default(),
        Some((_, Ok(rules))) => rules,
        Some((file, Err(mistake))) => {
            output::note(format_args!("{} is left out: {mistake}", file.display()));
            Rules::default()
        }
    }
}
