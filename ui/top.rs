//! `aiospy top`: the target live on the screen.
//!
//! Three threads: one reads the target and hands over what it has, the latest wins; one reads
//! keys; this one takes what comes, changes the [`app::App`] and draws it. It never waits for the
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
mod subject;
#[cfg(test)]
mod tests;
mod view;
mod words;

use std::io::{self, IsTerminal};

use aiospy::Inspector;

use crate::args::recording::Replay;
use crate::args::{Top, Watched};
use crate::output::{say, use_color_on_terminal};
use crate::patience::Patience;
use crate::{Outcome, dump};
use session::{Session, Target};
use view::theme::Theme;

/// Runs the command.
///
/// # Errors
/// When the target cannot be read, the program not be started, or the terminal not be used.
pub fn run(options: &Top, patience: &Patience) -> anyhow::Result<Outcome> {
    if !is_terminal() {
        let pid = match &options.target {
            Watched::Process(pid) => pid.to_string(),
            Watched::Command(_) | Watched::Chosen => "PID".to_owned(),
        };
        say(format_args!("aiospy: top needs a terminal; aiospy dump {pid} prints a report"));
        return Ok(Outcome::Exit(2));
    }
    let target = match &options.target {
        Watched::Chosen => Target::Chosen,
        Watched::Command(command) => Target::Command(command.clone()),
        Watched::Process(pid) => {
            // What cannot be read is said as for any other command, before the screen is taken.
            let (pid, attached) = dump::by_any_id(*pid, |pid| {
                patience.guard(pid, None);
                let attach = || Inspector::attach_within(pid, &patience.limit);
                Ok(patience.limited(attach)?)
            });
            attached?;
            Target::Process(pid)
        }
    };
    let variable = |name: &str| std::env::var(name).ok();
    let theme = Theme::of(use_color_on_terminal(options.color), options.is_ascii, variable);
    Session::new(theme, options.rate, options.has_mouse, patience.timeout).run(&target)
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
    let variable = |name: &str| std::env::var(name).ok();
    let theme = Theme::of(use_color_on_terminal(options.color), options.is_ascii, variable);
    Session::new(theme, 0.0, options.has_mouse, patience.timeout)
        .run(&Target::Recording(options.recording.clone()))
}
