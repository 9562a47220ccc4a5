//! `aiospy top`: the target live on the screen.
//!
//! Three threads: one reads the target and hands over what it has, the latest wins; one reads
//! keys; this one takes what comes, changes the [`state::App`] and draws it. It never waits for the
//! one that reads.

mod app;
mod blocks;
mod crew;
mod detail;
mod feed;
mod finished;
mod judged;
mod keys;
mod layout;
mod list;
mod picker;
mod query;
mod recording;
mod replay;
mod rows;
mod sampling;
mod session;
mod several;
mod state;
mod subject;
mod tab;
#[cfg(test)]
mod tests;
mod view;
mod words;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use aiospy::Inspector;
use clap::error::ErrorKind;
use clap::{ArgAction, Args};

use crate::commands::options::{Mistake, Show, pid};
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::reading::by_any_id;
use crate::commands::targets::{Choice, Chosen};
use crate::io::descriptors;
use crate::io::output::{COLOR, Color, say, use_color_on_terminal};
use session::{Session, Target};
use view::theme::Theme;

/// Options of `top`.
#[derive(Debug, Args)]
pub struct Top {
    /// Process ids; without one, choose from a list. Several processes have a row each, and the views
    /// show the one you choose: only that is read at the full rate
    #[arg(value_name = "PID", value_parser = pid, conflicts_with_all = ["name", "is_all", "command"])]
    pid: Vec<i32>,
    /// A process id as an option
    #[arg(short, long = "pid", id = "pid_flag", value_name = "PID", value_parser = pid, conflicts_with_all = ["pid", "name", "is_all", "command"])]
    pid_flag: Vec<i32>,
    #[command(flatten)]
    choice: Choice,
    /// Samples per second
    #[arg(short, long, value_name = "HZ", default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// How much of a request is shown [default: all; route in what is written]
    #[arg(long, value_enum, value_name = "WHAT")]
    show: Option<Show>,
    #[command(flatten)]
    look: Look,
    /// A program to start and watch, with its arguments, after --
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["name", "is_all", "has_subprocesses"])]
    command: Vec<OsString>,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// A file written by `aiospy record`
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    #[command(flatten)]
    look: Look,
}

/// How the screen is drawn and used.
#[derive(Debug, Args)]
struct Look {
    /// Don't capture the mouse
    #[arg(long = "no-mouse", action = ArgAction::SetFalse)]
    has_mouse: bool,
    /// Use ASCII characters only
    #[arg(long = "ascii")]
    is_ascii: bool,
    #[arg(help = COLOR, long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

/// One cannot choose from a list whose processes to show.
const NO_PROCESS: Mistake = Mistake {
    command: "top",
    kind: ErrorKind::MissingRequiredArgument,
    words: "--subprocesses are those below a process: say which by its id or by --name",
};

impl Top {
    /// What is watched.
    ///
    /// # Errors
    /// When no process matches, or more than the one that is wanted.
    fn target(&self) -> anyhow::Result<Target> {
        let pids = [&self.pid[..], &self.pid_flag].concat();
        if !pids.is_empty() || self.choice.is_made() {
            return Ok(match self.choice.choose(&pids, "top")? {
                Chosen::One(pid) => Target::Process(pid),
                Chosen::Several(several) => Target::Several(several),
            });
        }
        match (self.choice.has_subprocesses(), &self.command[..]) {
            (true, _) => Err(NO_PROCESS.into()),
            (false, []) => Ok(Target::Chosen),
            (false, command) => Ok(Target::Command(command.to_vec())),
        }
    }
}

impl Look {
    /// A screen that is drawn so.
    fn session(&self, rate: f64, patience: &Patience) -> Session {
        let variable = |name: &str| std::env::var(name).ok();
        let theme = Theme::of(use_color_on_terminal(self.color), self.is_ascii, variable);
        Session::new(theme, rate, self.has_mouse, patience.timeout)
    }
}

/// How often everything is read in a second: above zero, at most a hundred times.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.1..=100.0).contains(&rate) => Ok(rate),
        _ => Err("not a rate: a number from 0.1 to 100 is wanted".to_owned()),
    }
}

/// Runs the command.
///
/// # Errors
/// When the target cannot be read, the program not be started, or the terminal not be used.
pub fn run(options: &Top, patience: &Patience) -> anyhow::Result<Outcome> {
    if !is_terminal() {
        let pids: Vec<String> =
            options.pid.iter().chain(&options.pid_flag).map(i32::to_string).collect();
        let pids = if pids.is_empty() { "PID".to_owned() } else { pids.join(" ") };
        let below = if options.choice.has_subprocesses() { "-s " } else { "" };
        say(format_args!(
            "aiospy: top needs a terminal; aiospy dump {below}{pids} prints a report"
        ));
        return Ok(Outcome::Exit(2));
    }
    let mut target = options.target()?;
    // What cannot be read is said as for any other command, before the screen is taken.
    let attach = |pid| patience.limited(|| Inspector::attach_within(pid, &patience.limit));
    match &mut target {
        Target::Process(pid) => {
            let attached;
            (*pid, attached) = by_any_id(*pid, |pid| {
                patience.guard(pid, None);
                Ok(attach(pid)?)
            });
            attached?;
        }
        Target::Several(several) => {
            descriptors::raise_limit();
            let mut all = several.pids().into_iter().map(attach);
            let first = all.next().transpose();
            if let Err(error) = first
                && !all.any(|attached| attached.is_ok())
            {
                return Err(error.into());
            }
        }
        _ => {}
    }
    let mut session = options.look.session(options.rate, patience);
    session.show = options.show.map(Into::into);
    session.run(&target)
}

fn is_terminal() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// Shows a recording.
///
/// # Errors
/// When it cannot be read, or the terminal not be used.
pub fn replay(options: &Replay, patience: &Patience) -> anyhow::Result<Outcome> {
    let path = options.recording.display();
    if !is_terminal() {
        say(format_args!(
            "aiospy: replay needs a terminal; aiospy export {path} makes a page of it"
        ));
        return Ok(Outcome::Exit(2));
    }
    options.look.session(0.0, patience).run(&Target::Recording(options.recording.clone()))
}
