//! `aiospy top`: the target live on the screen.
//!
//! Three threads: one reads the target and hands over what it has, the latest wins; one reads
//! keys; this one takes what comes, changes the [`state::App`] and draws it. It never waits for the
//! one that reads.

mod app;
mod detail;
mod feed;
mod keys;
mod layout;
mod list;
mod picker;
mod recording;
mod replay;
mod rows;
mod sampling;
mod session;
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
use clap::{ArgAction, Args};

use crate::commands::options::pid;
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::reading::by_any_id;
use crate::io::output::{COLOR, Color, say, use_color_on_terminal};
use session::{Session, Target};
use view::theme::Theme;

/// Options of `top`.
#[derive(Debug, Args)]
pub struct Top {
    /// Process id, decimal or 0x…; without it one chooses from a list
    #[arg(value_name = "PID", value_parser = pid, conflicts_with = "command")]
    pid: Option<i32>,
    /// The same as an option
    #[arg(short, long = "pid", id = "pid_flag", value_name = "PID", value_parser = pid, conflicts_with_all = ["pid", "command"])]
    pid_flag: Option<i32>,
    /// Whole snapshots a second
    #[arg(short, long, value_name = "HZ", default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    #[command(flatten)]
    look: Look,
    /// A program to start and watch, with its arguments, behind --
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// A file that `aiospy record` has written
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    #[command(flatten)]
    look: Look,
}

/// How the screen is drawn and used.
#[derive(Debug, Args)]
struct Look {
    /// Leave the mouse to the terminal
    #[arg(long = "no-mouse", action = ArgAction::SetFalse)]
    has_mouse: bool,
    /// Draw with ASCII only
    #[arg(long = "ascii")]
    is_ascii: bool,
    #[arg(help = COLOR, long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

impl Top {
    /// What is watched.
    fn target(&self) -> Target {
        match self.pid.or(self.pid_flag) {
            Some(pid) => Target::Process(pid),
            None if self.command.is_empty() => Target::Chosen,
            None => Target::Command(self.command.clone()),
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
        let pid = match options.target() {
            Target::Process(pid) => pid.to_string(),
            _ => "PID".to_owned(),
        };
        say(format_args!("aiospy: top needs a terminal; aiospy dump {pid} prints a report"));
        return Ok(Outcome::Exit(2));
    }
    let mut target = options.target();
    if let Target::Process(pid) = &mut target {
        // What cannot be read is said as for any other command, before the screen is taken.
        let attached;
        (*pid, attached) = by_any_id(*pid, |pid| {
            patience.guard(pid, None);
            let attach = || Inspector::attach_within(pid, &patience.limit);
            Ok(patience.limited(attach)?)
        });
        attached?;
    }
    options.look.session(options.rate, patience).run(&target)
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
