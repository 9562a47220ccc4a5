//! `aiospy check PID …`: only what is wrong, one line each, and an exit code for probes.

use std::path::PathBuf;
use std::time::Duration;

use aiospy::Search;
use aiospy::snapshot::Snapshot;
use clap::Args;
use clap::error::ErrorKind;

use crate::commands::allowing::Allowing;
use crate::commands::options::{Detail, HEAP, LOOKS, Mistake, pid, time_or_none};
use crate::commands::outcome::{FAIL_ON, FailOn, Outcome};
use crate::commands::patience::Patience;
use crate::commands::several;
use crate::commands::subject::{Read, Subject, subject};
use crate::commands::targets::{Choice, Chosen, Several};
use crate::io::output::{Destination, Output, note};
use crate::io::trouble::Trouble;
use crate::io::wanted;
use crate::report::json;
use crate::report::text;
use crate::report::text::verdict::nothing_to_judge;

/// Options of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Process ids; several are read at once and judged as one; or a file that --json
    /// of dump or check has written, - for standard input: the findings in it are shown as they are,
    /// and not derived anew
    #[arg(value_name = "PID|FILE", value_parser = subject, required_unless_present_any = ["pid_flag", "image", "name", "is_all"], conflicts_with_all = ["name", "is_all"])]
    subject: Vec<Subject>,
    /// The process id as an option
    #[arg(short, long = "pid", id = "pid_flag", value_name = "PID", value_parser = pid, conflicts_with_all = ["subject", "name", "is_all"])]
    pid_flag: Vec<i32>,
    #[command(flatten)]
    choice: Choice,
    /// Read an image written by `aiospy dump --save-image FILE` instead of a process
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subject", "pid_flag", "name", "is_all", "has_subprocesses"])]
    image: Option<PathBuf>,
    /// Print JSON (see schema.json): a `summary` in 10,000 bytes at most, or in `full` the findings
    /// with the loops and tasks they are about
    #[arg(short = 'j', long = "json", value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "summary")]
    json: Option<Detail>,
    #[arg(help = FAIL_ON, long, value_enum, default_value_t = FailOn::Warning, value_name = "SEVERITY")]
    fail_on: FailOn,
    #[arg(help = LOOKS, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    looks: u8,
    /// Keep sampling for up to TIME while it is undecided whether something hangs
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = time_or_none)]
    wait: Duration,
    #[arg(help = HEAP, long = "heap", conflicts_with = "image")]
    has_heap: bool,
    #[command(flatten)]
    pub allowing: Allowing,
    #[command(flatten)]
    output: Output,
}

impl Check {
    /// What is to be judged by itself, or several processes as one.
    fn subject(&self) -> anyhow::Result<Result<Subject, Several>> {
        if let Some(image) = &self.image {
            return Ok(Ok(Subject::Image(image.clone())));
        }
        let pid_of = |it: &Subject| if let Subject::Process(pid) = it { Some(*pid) } else { None };
        let Some(mut pids) = self.subject.iter().map(pid_of).collect::<Option<Vec<i32>>>() else {
            return match &self.subject[..] {
                [file] if !self.choice.has_subprocesses() => Ok(Ok(file.clone())),
                _ => Err(FILES.into()),
            };
        };
        pids.extend(&self.pid_flag);
        Ok(match self.choice.choose(&pids, "check")? {
            Chosen::One(pid) => Ok(Subject::Process(pid)),
            Chosen::Several(several) => Err(several),
        })
    }
}

/// That a file stands for itself.
const FILES: Mistake = Mistake {
    command: "check",
    kind: ErrorKind::ArgumentConflict,
    words: "a file is judged by itself: no other file or process beside it, and nothing below it",
};

/// Runs the command; `Findings` when one is at or above the severity asked about.
///
/// # Errors
/// When the target cannot be read, has no event loop to judge, or the output cannot be written.
pub fn run(options: &Check, patience: &Patience) -> anyhow::Result<Outcome> {
    let mut wanted = wanted::complete(aiospy::Options::default());
    let subject = match options.subject()? {
        Ok(subject) => subject,
        Err(several) => {
            if options.has_heap {
                wanted.heap = Search::References;
            }
            return check_several(&several, options, &wanted, patience);
        }
    };
    if options.has_heap {
        wanted.heap = Search::References;
    }
    if options.has_heap && !matches!(subject, Subject::Process(_)) {
        let cause = "--heap searches the memory of a process, and a file has none";
        return Err(Trouble::new(cause, "aiospy check --heap PID").into());
    }
    let Read { mut snapshot, source, timed_out } =
        subject.read(&wanted, options.looks, options.wait, patience)?;
    let mut allowed = options.allowing.allowed();
    snapshot.findings.iter_mut().for_each(|findings| allowed.mark(findings));
    let mut to = Destination::open(&options.output)?;
    if options.json == Some(Detail::Full) {
        json::check(&snapshot, &mut to)?;
    } else if options.json.is_some() {
        let code = match (options.fail_on.outcome_of(&snapshot), nothing_to_judge(&snapshot)) {
            (Outcome::Done, Some(_)) => Outcome::Failed.code(),
            (outcome, _) => outcome.code(),
        };
        let lines = text::Lines::of_snapshot(source.as_deref(), &snapshot);
        json::summary(&snapshot, code, &lines, &mut to)?;
    } else {
        // A finding is to be read to its end.
        let mut page = to.page_of_whole_lines(&options.output);
        text::brief(&snapshot, options.fail_on.severity(), &mut page)?;
    }
    to.finish()?;
    options.allowing.note_unused(&allowed);
    if let (Subject::Process(pid), true) = (&subject, snapshot.has_loop_to_judge()) {
        let with_loops = snapshot.children.iter().any(|child| child.has_loops == Some(true));
        let children = text::verdict::children(&snapshot.children).filter(|_| with_loops);
        if let Some(children) = children {
            note(format_args!("processes below it: {children}; aiospy check -s {pid} judges them"));
        }
    }
    if !snapshot.problems.is_empty() {
        let parts = text::words::counted(snapshot.problems.len(), "part");
        let listed = match subject {
            Subject::Image(image) => format!("aiospy dump --image {} lists them", image.display()),
            Subject::Document(_) => "they are the `problems` of the file".to_owned(),
            Subject::Process(_) => format!("aiospy dump {} lists them", snapshot.process.pid),
        };
        note(format_args!("{parts} could not be read; {listed}"));
    }
    if let Some(error) = timed_out {
        return Err(error.into());
    }
    match (options.fail_on.outcome_of(&snapshot), nothing_to_judge(&snapshot)) {
        // Nothing was seen to be wrong where nothing could be.
        (Outcome::Done, Some(trouble)) => Err(trouble.into()),
        (outcome, _) => Ok(outcome),
    }
}

/// Judges several processes as one.
fn check_several(
    several: &Several,
    options: &Check,
    wanted: &aiospy::Options,
    patience: &Patience,
) -> anyhow::Result<Outcome> {
    let mut group = several::look(several, wanted, options.looks, options.wait, patience)?;
    let mut allowed = options.allowing.allowed();
    group.allow(&mut allowed);
    let mut to = Destination::open(&options.output)?;
    if let Some(detail) = options.json {
        let exit_code = several::exit_code(&group, several, options.fail_on, true);
        let of = |snapshot: &Snapshot| options.fail_on.outcome_of(snapshot).code();
        match detail {
            Detail::Full => json::check_several(&group, exit_code, &mut to)?,
            Detail::Summary => json::summary_of_several(&group, exit_code, &of, &mut to)?,
        }
    } else {
        let mut page = to.page_of_whole_lines(&options.output);
        text::processes::brief(&group, options.fail_on.severity(), &mut page)?;
    }
    to.finish()?;
    options.allowing.note_unused(&allowed);
    several::outcome(&group, several, options.fail_on, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::options::typed;

    #[test]
    fn a_warning_makes_it_fail_unless_told_otherwise() {
        let checked = |line: &str| typed::<Check>(line);
        assert_eq!(checked("1").unwrap().fail_on, FailOn::Warning);
        assert_eq!(checked("-p 1 --fail-on never").unwrap().fail_on.severity(), None);
        for (given, expected) in [
            ("0x10", Subject::Process(16)),
            ("-p 7", Subject::Process(7)),
            ("-", Subject::Document("-".into())),
            ("./7", Subject::Document("./7".into())),
            ("7.json", Subject::Document("7.json".into())),
            ("--image 7", Subject::Image("7".into())),
        ] {
            assert_eq!(checked(given).unwrap().subject().unwrap().unwrap(), expected, "{given}");
        }
        assert_eq!((checked("1").unwrap().looks, checked("1 --looks 1").unwrap().looks), (2, 1));
        for bad in ["0", "7x", "1 --image x"] {
            assert_eq!(checked(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
        for bad in ["--fail-on bad", "--looks 0", "--looks 3", "--flat"] {
            assert_eq!(checked(&format!("1 {bad}")).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
