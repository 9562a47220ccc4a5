//! `aiospy dump PID …`: one report, of a process or of several.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use aiospy::process::Source;
use aiospy::snapshot::{Finding, Problem, Process, SCHEMA, Snapshot, Thread};
use aiospy::{Error, Inspector, Search};
use clap::Args;
use serde::Serialize;

use crate::commands::children;
use crate::commands::options::{Detail, HEAP, Report};
use crate::commands::outcome::{FAIL_ON, FailOn, Outcome};
use crate::commands::patience::Patience;
use crate::commands::reading::{by_any_id, look, look_and_save};
use crate::commands::saved::{self, SavedSource, Saving, Subjects};
use crate::commands::several;
use crate::commands::targets::{Chosen, Several};
use crate::commands::waiting;
use crate::io::output::{Destination, note};
use crate::io::page::{Page, Style};
use crate::io::trouble::Trouble;
use crate::io::wanted;
use crate::report::json;
use crate::report::text;
use crate::report::text::group::Group;

/// Options of `dump`.
#[derive(Debug, Args)]
pub struct Dump {
    #[command(flatten)]
    subjects: Subjects,
    #[command(flatten)]
    saving: Saving,
    #[arg(help = FAIL_ON, long, value_enum, default_value_t = FailOn::Never, value_name = "SEVERITY")]
    fail_on: FailOn,
    #[arg(help = HEAP, long = "heap", conflicts_with_all = ["image", "save_image"])]
    has_heap: bool,
    #[command(flatten)]
    pub report: Report,
}

/// Runs the command.
///
/// # Errors
/// When the target cannot be read, or the output not be written.
pub fn run(options: &Dump, patience: &Patience) -> anyhow::Result<Outcome> {
    let is_saved = options.subjects.image().is_some() || options.saving.save_image.is_some();
    if options.report.has_native && is_saved {
        let cause = "frames in C are read of a process only; none are saved";
        return Err(Trouble::new(cause, "leave out --native, or the image").into());
    }
    if let Some(image) = options.subjects.image() {
        let snapshot = report_saved(image, options)?;
        return Ok(options.fail_on.outcome_of(&snapshot));
    }
    let saving = Some(&options.saving).filter(|saving| saving.save_image.is_some());
    let mut wanted = wanted(&options.report);
    if options.has_heap {
        wanted.heap = Search::Lists;
    }
    let pid = match options.subjects.choose("dump")? {
        Chosen::One(pid) => pid,
        Chosen::Several(_) if saving.is_some() => {
            let cause = "--save-image saves one process, and several are meant";
            return Err(Trouble::new(cause, "aiospy dump PID --save-image FILE, one by one").into());
        }
        Chosen::Several(several) => return report_several(&several, options, &wanted, patience),
    };
    let how = (&options.report, options.fail_on);
    let report = |pid| report_on(pid, how, &wanted, saving, patience);
    let (pid, done) = by_any_id(pid, report);
    match done {
        Ok(snapshot) => Ok(options.fail_on.outcome_of(&snapshot)),
        Err(error) if is_without_tasks(&error) => {
            threads_only(pid, &error, &options.report)?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Reads process `pid` and writes the report.
///
/// # Errors
/// When it cannot be read, or the output not be written; also when the time was over before all was
/// read, after what was read.
pub fn report(
    pid: i32,
    options: &Report,
    saving: Option<&Saving>,
    patience: &Patience,
) -> anyhow::Result<Snapshot> {
    report_on(pid, (options, FailOn::Never), &wanted(options), saving, patience)
}

fn report_on(
    pid: i32,
    (options, fail_on): (&Report, FailOn),
    wanted: &aiospy::Options,
    saving: Option<&Saving>,
    patience: &Patience,
) -> anyhow::Result<Snapshot> {
    let (looks, wait) = (options.looks, wait(options));
    let (snapshot, timed_out) = if let Some(saving) = saving {
        look_and_save(pid, wanted, looks, wait, patience, saving)?
    } else {
        let (mut snapshot, timed_out) = look(pid, wanted, looks, wait, patience)?;
        children::add(&mut snapshot, wanted);
        (snapshot, timed_out)
    };
    let source = options.has_source.then(|| Source::of(&snapshot.process)).flatten();
    let files = source.as_ref().map(|source| source as &dyn text::Files);
    write(&snapshot, files, options, fail_on)?;
    source.iter().for_each(note_silent);
    timed_out.map_or(Ok(snapshot), |error| Err(error.into()))
}

/// Reads several processes at once and writes one report.
fn report_several(
    several: &Several,
    options: &Dump,
    wanted: &aiospy::Options,
    patience: &Patience,
) -> anyhow::Result<Outcome> {
    let report = &options.report;
    let group = several::look(several, wanted, report.looks, wait(report), patience)?;
    let mut to = open(report)?;
    if let Some(detail) = report.json {
        let exit_code = several::exit_code(&group, several, options.fail_on, false);
        let of = |snapshot: &Snapshot| options.fail_on.outcome_of(snapshot).code();
        match detail {
            Detail::Full => json::dump_several(&group, exit_code, &mut to)?,
            Detail::Summary => json::summary_of_several(&group, exit_code, &of, &mut to)?,
        }
    } else {
        text_of_several(&group, report, &mut to)?;
    }
    to.finish()?;
    several::outcome(&group, several, options.fail_on, false)
}

/// Writes the report of several processes; that of each, too, where more is asked for than a row
/// has.
fn text_of_several(group: &Group, options: &Report, to: &mut Destination) -> anyhow::Result<()> {
    let mut sources: BTreeMap<i32, (Option<Source>, &Snapshot)> = BTreeMap::new();
    for snapshot in group.snapshots() {
        let source = options.has_source.then(|| Source::of(&snapshot.process)).flatten();
        sources.insert(snapshot.process.pid, (source, snapshot));
    }
    let lines: BTreeMap<i32, text::Lines<'_>> = sources
        .iter()
        .map(|(pid, (source, snapshot))| {
            (
                *pid,
                text::Lines::of_snapshot(
                    source.as_ref().map(|it| it as &dyn text::Files),
                    snapshot,
                ),
            )
        })
        .collect();
    let none = text::Lines::of(None);
    let lines_of = |finding: &Finding| finding.pid.and_then(|pid| lines.get(&pid)).unwrap_or(&none);
    let mut page = to.page();
    text::processes::group(group, &lines_of, &mut page)?;
    if options.is_in_detail() {
        for (source, snapshot) in sources.values() {
            page.blank()?;
            let view = text::View {
                shape: options.shape(),
                has_evidence: options.has_evidence,
                has_threads: options.shows_threads(),
                is_verbose: options.is_verbose,
                source: source.as_ref().map(|it| it as &dyn text::Files),
            };
            text::dump(snapshot, view, &mut page)?;
        }
    }
    sources.values().filter_map(|(source, _)| source.as_ref()).for_each(note_silent);
    Ok(())
}

/// Reads what was saved of a process and writes the report.
fn report_saved(image: &Path, dump: &Dump) -> anyhow::Result<Snapshot> {
    let options = &dump.report;
    let image = saved::open(image)?;
    let source = options.has_source.then(|| SavedSource::of(&image));
    let snapshot = saved::look(image, &wanted(options), options.looks)?;
    let files = source.as_ref().map(|source| source as &dyn text::Files);
    write(&snapshot, files, options, dump.fail_on)?;
    Ok(snapshot)
}

fn wanted(options: &Report) -> aiospy::Options {
    let mut wanted = wanted::complete(aiospy::Options::default());
    wanted.locals = options.locals();
    wanted.finished = options.has_finished;
    wanted.native = options.has_native;
    wanted.show = options.show.into();
    wanted
}

/// How long a report may go on sampling: a person on a terminal waits, a program does not, and
/// neither who wants one sample.
fn wait(options: &Report) -> Duration {
    let is_for_a_person =
        options.json.is_none() && options.looks > 1 && options.output.is_terminal();
    let usual = if is_for_a_person { waiting::ON_A_TERMINAL } else { Duration::ZERO };
    options.wait.unwrap_or(usual)
}

fn write(
    snapshot: &Snapshot,
    source: Option<&dyn text::Files>,
    options: &Report,
    fail_on: FailOn,
) -> anyhow::Result<()> {
    let mut to = open(options)?;
    if options.json == Some(Detail::Summary) {
        let code = fail_on.outcome_of(snapshot).code();
        json::summary(snapshot, code, &text::Lines::of_snapshot(source, snapshot), &mut to)?;
    } else if options.json.is_some() {
        json::dump(snapshot, &mut to)?;
    } else {
        let view = text::View {
            shape: options.shape(),
            has_evidence: options.has_evidence,
            has_threads: options.shows_threads(),
            is_verbose: options.is_verbose,
            source,
        };
        text::dump(snapshot, view, &mut to.page())?;
    }
    to.finish()?;
    Ok(())
}

/// Where a report goes: through a pager if it may be longer than a screen.
fn open(options: &Report) -> anyhow::Result<Destination> {
    let is_long = options.is_in_detail() || options.has_evidence;
    if options.json.is_none() && is_long {
        Destination::open_paged(&options.output)
    } else {
        Destination::open(&options.output)
    }
}

/// Says that lines of source are missing because a file did not answer.
fn note_silent(source: &Source) {
    if let Some(file) = source.silent_file() {
        note(format_args!(
            "lines of source are left out: {file} did not answer, as on the mount of a server that \
             is gone; --no-source reads none"
        ));
    }
}

/// Whether there is a Python, but one whose tasks cannot be read.
fn is_without_tasks(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(
            Error::UnsupportedVersion { .. }
                | Error::RuntimeNotFound { .. }
                | Error::NoAsyncio { .. }
        )
    )
}

const BY_PY_SPY: &str = "thread stacks by py-spy follow";

/// What can be said without tasks: never `"tasks": []`.
#[derive(Serialize)]
struct ThreadsOnly {
    schema: &'static str,
    tool: json::Tool,
    process: Process,
    threads: Vec<Thread>,
    problems: Vec<Problem>,
}

/// Writes the thread stacks that py-spy finds, and says what is missing and why.
fn threads_only(pid: i32, error: &anyhow::Error, options: &Report) -> anyhow::Result<()> {
    let is_ours = matches!(error.downcast_ref(), Some(Error::NoAsyncio { .. }));
    let read = if is_ours {
        own_stacks(pid, &wanted(options))
    } else {
        stacks(pid).map(|it| (it, Vec::new()))
    };
    let (threads, problems) = match read {
        Ok(read) => read,
        Err(_) if is_ours => return Ok(()),
        Err(cause) => {
            if options.is_verbose {
                note(format_args!("py-spy cannot read its thread stacks either: {cause}"));
            }
            return Ok(());
        }
    };
    let mut to = Destination::open(&options.output)?;
    if options.json.is_some() {
        json::write(&threads_document(pid, error, threads, problems), &mut to)?;
    } else {
        let by = if is_ours { "thread stacks follow" } else { BY_PY_SPY };
        threads_text(error, by, &threads, &mut to.page())?;
    }
    to.finish()?;
    Ok(())
}

fn threads_document(
    pid: i32,
    error: &anyhow::Error,
    threads: Vec<Thread>,
    more: Vec<Problem>,
) -> ThreadsOnly {
    let problem = Problem {
        place: format!("process {pid}"),
        wanted: "asyncio tasks".to_owned(),
        cause: error.to_string(),
    };
    ThreadsOnly {
        schema: SCHEMA,
        tool: json::Tool::this(),
        process: Process { pid, ..Process::default() },
        threads,
        problems: std::iter::once(problem).chain(more).collect(),
    }
}

fn threads_text(
    error: &anyhow::Error,
    by: &str,
    threads: &[Thread],
    page: &mut Page<'_>,
) -> io::Result<()> {
    let words = [format!("asyncio tasks can't be read: {error};"), by.to_owned()];
    page.items("", Style::Notice, " ", &words)?;
    page.blank()?;
    text::threads(threads, &text::Lines::of(None), page)?;
    page.blank()
}

/// The threads of a Python that we can read and that has no tasks.
fn own_stacks(pid: i32, wanted: &aiospy::Options) -> Result<(Vec<Thread>, Vec<Problem>), String> {
    let read = Inspector::attach(pid).and_then(|mut inspector| inspector.threads_only(wanted));
    read.map_err(|error| error.to_string())
}

#[cfg(feature = "fallback")]
fn stacks(pid: i32) -> Result<Vec<Thread>, String> {
    // A panic of py-spy is nothing to be printed: the result says that it failed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let stacks = aiospy::fallback::thread_stacks(pid);
    std::panic::set_hook(hook);
    stacks
}

#[cfg(not(feature = "fallback"))]
fn stacks(_pid: i32) -> Result<Vec<Thread>, String> {
    Err("built without py-spy".to_owned())
}

#[cfg(test)]
mod tests {
    use aiospy::snapshot::Severity;

    use super::*;
    use crate::commands::options::typed;
    use crate::report::text::sample;

    #[test]
    fn without_tasks_the_report_says_so_and_shows_threads() {
        let error = anyhow::Error::from(Error::UnsupportedVersion {
            pid: 4711,
            version: "3.7".to_owned(),
            reason: "below 3.8".to_owned(),
        });
        assert!(is_without_tasks(&error));
        let thread = Thread {
            tid: Some(4711),
            name: Some("MainThread".to_owned()),
            frames: sample::frames(&["<module> app.py:7", "inner app.py:3"]),
            ..Thread::default()
        };
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, None, false);
        threads_text(&error, BY_PY_SPY, std::slice::from_ref(&thread), &mut page).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "asyncio tasks can't be read: Python 3.7 is not supported (below 3.8); thread stacks \
             by py-spy follow\n\nthread 4711 MainThread\n    <module>  app.py:7\n    inner     \
             app.py:3\n\n"
        );
        let document =
            serde_json::to_value(threads_document(4711, &error, vec![thread], Vec::new())).unwrap();
        assert!(document.get("tasks").is_none(), "{document}");
        assert_eq!(document["problems"][0]["wanted"], "asyncio tasks");
        let schema = serde_json::from_str(include_str!("../../schema.json")).unwrap();
        assert!(jsonschema::is_valid(&schema, &document), "{document}");
    }

    #[test]
    fn findings_make_it_fail_only_if_asked_about() {
        let fail_on = |line| typed::<Dump>(line).unwrap().fail_on.severity();
        assert_eq!(fail_on("1"), None);
        assert_eq!(fail_on("1 --fail-on info"), Some(Severity::Info));
    }

    #[test]
    fn only_a_python_whose_tasks_cannot_be_read_falls_back() {
        for error in [
            Error::NoSuchProcess { pid: 1, namespace_match: None },
            Error::NotPython { pid: 1, exe: "nginx".to_owned() },
            Error::TargetGone { pid: 1 },
        ] {
            assert!(!is_without_tasks(&error.into()));
        }
        assert!(is_without_tasks(&Error::NoAsyncio { pid: 1 }.into()));
    }
}
