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
mod memory;
mod oom;
mod options;
mod outcome;
mod output;
mod patience;
mod reading;
mod record;
mod remedy;
mod run;
mod saved;
mod stop;
mod text;
mod top;
mod trouble;
mod waiting;
mod watch;

use args::Command;
use outcome::Outcome;
use patience::Patience;

fn main() -> ExitCode {
    oom::volunteer();
    let options = match args::parse(std::env::args_os()) {
        Ok(options) => options,
        Err(usage) => return remedy::usage(&usage),
    };
    let patience = Patience::new(options.timeout);
    memory::set_most(options.max_memory);
    let done = match &options.command {
        Command::Dump(options) => dump::run(options, &patience),
        Command::Check(options) => check::run(options, &patience),
        Command::Explain(options) => explain::run(options),
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
    };
    match done {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::Findings) => ExitCode::from(3),
        Ok(Outcome::Exit(code)) => ExitCode::from(code),
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
