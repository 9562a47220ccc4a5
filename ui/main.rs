//! The `aiospy` command: parses, runs, prints the error, decides the exit code. Nothing else.

use std::process::ExitCode;

mod args;
mod check;
mod children;
mod demo;
mod diff;
mod doctor;
mod dump;
mod explain;
mod export;
mod flame;
mod hook;
mod json;
mod output;
mod record;
mod remedy;
mod run;
mod stop;
mod text;
mod top;
mod waiting;
mod watch;

use args::Command;

/// How a command ended that could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// What was examined is not as it should be.
    Failed,
    /// There are findings as bad as those asked about.
    Findings,
    /// A program that was run ended with this code.
    Exit(u8),
}

fn main() -> ExitCode {
    let options = match args::parse(std::env::args_os()) {
        Ok(options) => options,
        Err(usage) => return remedy::usage(&usage),
    };
    let done = match &options.command {
        Command::Dump(options) => dump::run(options),
        Command::Check(options) => check::run(options),
        Command::Explain(options) => explain::run(options),
        Command::Doctor(options) => doctor::run(options),
        Command::Demo(options) => demo::run(options),
        Command::Watch(options) => watch::run(options),
        Command::Stop(options) => stop::run(options),
        Command::Run(options) => run::run(options),
        Command::Top(options) => top::run(options),
        Command::Record(options) => record::run(options),
        Command::Replay(options) => top::replay(options),
        Command::Export(options) => export::run(options),
        Command::Diff(options) => diff::run(options),
    };
    match done {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::Findings) => ExitCode::from(3),
        Ok(Outcome::Exit(code)) => ExitCode::from(code),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            remedy::print(&error, options.is_verbose);
            ExitCode::FAILURE
        }
    }
}
