//! `aiospy report PID`: what is wrong and what is in flight, as Markdown for the channel of an
//! incident.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::commands::options::{LOOKS, pid, time_or_none};
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::subject::{Read, Subject, subject};
use crate::io::output::{Destination, Stream};
use crate::io::wanted;
use crate::report::markdown::{self, Dialect};
use crate::report::text::Lines;

/// Options of `report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Process id; or a file that `aiospy dump --json` has written, - for standard input
    #[arg(value_name = "PID|FILE", value_parser = subject, required_unless_present_any = ["pid_flag", "image"])]
    subject: Option<Subject>,
    /// The process id as an option
    #[arg(short, long = "pid", id = "pid_flag", value_name = "PID", value_parser = pid, conflicts_with = "subject")]
    pid_flag: Option<i32>,
    /// Read an image written by `aiospy dump --save-image FILE` instead of a process
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subject", "pid_flag"])]
    image: Option<PathBuf>,
    /// Write at most 12 lines in Slack's markup, without tables
    #[arg(long = "slack")]
    is_for_slack: bool,
    /// Don't show source lines
    #[arg(long = "no-source", action = clap::ArgAction::SetFalse)]
    has_source: bool,
    #[arg(help = LOOKS, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    looks: u8,
    /// Keep sampling for up to TIME while it is undecided whether something hangs
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time_or_none)]
    wait: Duration,
    #[command(flatten)]
    output: Stream,
}

impl Report {
    fn subject(&self) -> Subject {
        let image = self.image.clone().map(Subject::Image);
        let by_id = self.pid_flag.map(Subject::Process);
        // clap lets none of them pass only with another one.
        image.or(by_id).or(self.subject.clone()).unwrap_or(Subject::Process(0))
    }
}

/// Runs the command.
///
/// # Errors
/// When the target cannot be read, or the output not be written.
pub fn run(options: &Report, patience: &Patience) -> anyhow::Result<Outcome> {
    let subject = options.subject();
    let wanted = wanted::complete(aiospy::Options::default());
    let wait = if options.looks > 1 { options.wait } else { Duration::ZERO };
    let Read { snapshot, source, timed_out } =
        subject.read(&wanted, options.looks, wait, patience)?;
    let source = source.as_deref().filter(|_| options.has_source);
    let lines = Lines::of_snapshot(source, &snapshot);
    let dialect = if options.is_for_slack { Dialect::Slack } else { Dialect::Markdown };
    let is_live = matches!(subject, Subject::Process(_));
    let report = markdown::Report::of(&snapshot, &lines, is_live.then(hostname), dialect);
    let mut to = Destination::open(&options.output.clone().into())?;
    to.writer().write_all(report.text().as_bytes())?;
    to.finish()?;
    timed_out.map_or(Ok(Outcome::Done), |error| Err(error.into()))
}

/// The name of this machine.
pub fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map(|name| name.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::options::typed;

    #[test]
    fn it_is_of_a_process_or_of_what_was_saved_of_one() {
        let subject = |line: &str| typed::<Report>(line).unwrap().subject();
        assert_eq!(subject("4711"), Subject::Process(4711));
        assert_eq!(subject("-p 0x10"), Subject::Process(16));
        assert_eq!(subject("a.json"), Subject::Document("a.json".into()));
        assert_eq!(subject("--image 7"), Subject::Image("7".into()));
        for bad in ["", "0", "1 2", "1 -p 2", "1 --image x"] {
            assert_eq!(typed::<Report>(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
