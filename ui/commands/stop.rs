//! `aiospy stop PID`: asks a process to end, and tells what holds it until it does.

mod below;
mod holdup;

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aiospy::diagnose::{Is, MAY_END, rule};
use aiospy::process::Source;
use aiospy::snapshot::{Finding, Location, Process, Severity, Snapshot};
use aiospy::timeline::{Cancelled, StageTold, Story, StoryEvent};
use aiospy::watch::Watcher;
use aiospy::watch::monitor::{Monitor, Settings};
use aiospy::watch::sampler::{Ended, Sample};
use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::io::Errno;
use serde::Serialize;

use crate::commands::options::{Target, time};
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::remedy;
use crate::commands::watch;
use crate::io::output::{Destination, Output, note};
use crate::io::page::Style;
use crate::io::trouble::Trouble;
use crate::report::json;
use crate::report::text;
use crate::report::text::group::Group;
use crate::report::text::words;
use crate::report::text::words::processes;

use self::below::{Below, is_past};
use self::holdup::Standing;

/// The name and version of the JSON shape.
const SCHEMA: &str = "aiospy.stop/1";
/// Samples per second: stages are told to the half of a hundredth of a second.
const EVERY: Duration = Duration::from_millis(20);
/// Names that are told in one line.
const MAX_NAMES: usize = 8;

/// Options of `stop`.
#[derive(Debug, Args)]
pub struct Stop {
    #[command(flatten)]
    target: Target,
    /// Wait for its Python child processes, too; only the process itself is signalled
    #[arg(short = 's', long = "subprocesses")]
    has_subprocesses: bool,
    /// The signal to send
    #[arg(long, value_name = "NAME", default_value = "TERM", value_parser = signal)]
    signal: Signal,
    /// How long it may take to end
    #[arg(short, long, value_name = "TIME", default_value = "30s", value_parser = time)]
    grace: Duration,
    /// Kill it when the grace period is over
    #[arg(short, long = "kill")]
    kills: bool,
    /// Print one JSON object at the end instead of progress
    #[arg(short = 'j', long = "json")]
    is_json: bool,
    #[command(flatten)]
    output: Output,
}

/// A signal by its name, with or without `SIG`.
fn signal(text: &str) -> Result<Signal, String> {
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse().map_err(|_unknown| "expected a signal, such as TERM, INT or HUP".to_owned())
}

/// Runs the command: `Done` when the process has ended, `Findings` when the grace is over.
///
/// # Errors
/// When the target cannot be attached to, the signal not be sent, or the output not be written.
pub fn run(options: &Stop, patience: &Patience) -> anyhow::Result<Outcome> {
    let pid = options.target.pid();
    stop(pid, options, patience).map_err(|error| match remedy::namespace_match(&error) {
        // What is read may be guessed; what is signalled may not.
        Some(host) => Trouble::new(
            format!("no process {pid} in this pid namespace, so nothing was signalled"),
            format!("aiospy stop {host}, if that one is meant: in its own namespace it is {pid}"),
        )
        .into(),
        None => error,
    })
}

/// The process that is asked to end, held so that no other one can be meant that gets its id, or
/// that has it in another pid namespace than that of `/proc`.
struct Addressee {
    pid: i32,
    /// Its folder below `/proc`, by which it can be signalled too.
    folder: io::Result<File>,
}

impl Addressee {
    fn of(pid: i32) -> Self {
        Self { pid, folder: File::open(format!("/proc/{pid}")) }
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        let known = rustix::process::Signal::from_named_raw(signal as i32);
        let (Ok(folder), Some(known)) = (&self.folder, known) else {
            return Ok(kill(Pid::from_raw(self.pid), signal)?);
        };
        match rustix::process::pidfd_send_signal(folder, known) {
            // Before Linux 5.1.
            Err(Errno::NOSYS) => Ok(kill(Pid::from_raw(self.pid), signal)?),
            sent => Ok(sent?),
        }
    }
}

/// All that is told, as JSON.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    tool: json::Tool,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<&'a Process>,
    signal: &'static str,
    sent_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_ms: Option<f64>,
    outcome: &'static str,
    elapsed_ms: f64,
    stages: &'a [StageTold],
    #[serde(skip_serializing_if = "Option::is_none")]
    held_up: Option<&'a str>,
    /// Those below it that are still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<&'a [i32]>,
    cancelled: &'a [Cancelled],
    findings: &'a [Finding],
}

/// What was seen since the signal was sent.
struct Aftermath {
    story: Story,
    sent_at: Timestamp,
    delivered: Option<Duration>,
    /// Whether it was still to be when that was last looked at.
    is_pending: bool,
    /// Why it will never be, where that is known.
    unheard: Option<String>,
    /// Where the main task was before.
    main_at: Option<Arc<Location>>,
    /// Where the tasks were before, and in the middle of the grace.
    before: Standing,
    middle: Option<Standing>,
}

/// Sends the signal, and tells what follows.
struct Teller<'a> {
    to_end: &'a Addressee,
    options: &'a Stop,
    to: Destination,
    /// Absent until the signal is sent.
    told: Option<Aftermath>,
}

impl Teller<'_> {
    /// Takes in a snapshot; the first one is how the process was before.
    fn take(&mut self, snapshot: &Snapshot) -> anyhow::Result<()> {
        let Some(told) = &mut self.told else {
            let sent_at = Timestamp::now();
            let signal = self.options.signal;
            let unheard = status(self.to_end.pid).and_then(|status| unheard(&status, signal));
            self.to_end.send(signal).with_context(|| {
                format!("could not send {signal} to process {}", self.to_end.pid)
            })?;
            let story = Story::new(sent_at, Some(snapshot));
            let main_at = holdup::main_at(snapshot).cloned();
            self.told = Some(Aftermath {
                story,
                sent_at,
                delivered: None,
                is_pending: false,
                unheard: unheard.clone(),
                main_at,
                before: Standing::of(snapshot),
                middle: None,
            });
            self.say(Style::Strong, Duration::ZERO, &sent(snapshot, self.options))?;
            return unheard.map_or(Ok(()), |why| self.say(Style::Notice, Duration::ZERO, &why));
        };
        let now = told.story.after(snapshot.taken_at);
        if told.middle.is_none() && now >= self.options.grace / 2 {
            told.middle = Some(Standing::of(snapshot));
        }
        let mut lines = Vec::new();
        if told.delivered.is_none() && told.unheard.is_none() {
            let is_delivered = is_delivered(self.to_end.pid, self.options.signal);
            told.is_pending = is_delivered == Some(false);
            if is_delivered == Some(true) {
                told.delivered = Some(now);
                lines.push((Style::Dim, "the signal was delivered".to_owned()));
            }
        }
        lines.extend(told.story.take(snapshot).iter().map(in_words));
        for (style, text) in lines {
            self.say(style, now, &text)?;
        }
        Ok(())
    }

    /// A line of the story, unless it is told as JSON at the end.
    fn say(&mut self, style: Style, at: Duration, text: &str) -> anyhow::Result<()> {
        if self.options.is_json { Ok(()) } else { line(&mut self.to, style, at, text) }
    }
}

fn stop(pid: i32, options: &Stop, patience: &Patience) -> anyhow::Result<Outcome> {
    let asked = watch::on_signals()?;
    let to_end = Addressee::of(pid);
    let below = options.has_subprocesses.then(|| Below::of(pid));
    patience.guard(pid, Some(&asked));
    let to = Destination::open_queued(&options.output, &asked)?;
    let plan = patience.plan(1.0 / EVERY.as_secs_f64(), EVERY);
    let mut watcher = Watcher::new(plan, Settings::default());
    let mut teller = Teller { to_end: &to_end, options, to, told: None };
    let until: Cell<Option<Instant>> = Cell::new(None);
    let is_over = || {
        asked.load(Ordering::Relaxed) || until.get().is_some_and(|until| Instant::now() >= until)
    };
    let ended = watcher.run(pid, &is_over, &mut |news| {
        match news.sample {
            Sample::Whole(snapshot) => teller.take(snapshot)?,
            // Nobody knows how it was: no signal is sent.
            Sample::Unreadable(error) if teller.told.is_none() => {
                return Err(anyhow::Error::from(remedy::of(error)));
            }
            _ => {}
        }
        if until.get().is_none() && teller.told.is_some() {
            until.set(Some(Instant::now() + options.grace));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let outcome = match (ended, asked.load(Ordering::Relaxed)) {
        (Ended::Gone, _) => "ended",
        (Ended::Asked, true) => "interrupted",
        (Ended::Asked, false) => "grace-over",
    };
    let left = below.as_ref().map(|below| {
        let is_over =
            || outcome != "ended" || asked.load(Ordering::Relaxed) || is_past(until.get());
        let pids = below.wait(&is_over);
        let group = (!pids.is_empty()).then(|| below::group(&pids, patience));
        Left { of: below.len(), pids, group }
    });
    let is_left = left.as_ref().is_some_and(|left| !left.pids.is_empty());
    // Whoever reads the story slowly does not keep it alive.
    let is_to_die = options.kills && !asked.load(Ordering::Relaxed);
    let killed = (is_to_die && outcome == "grace-over").then(|| to_end.send(Signal::SIGKILL));
    let killed_below = below.filter(|_| is_to_die && is_left).map(|below| below.kill());
    finish(teller, watcher.monitor(), outcome, left.as_ref())?;
    if let Some(killed) = killed {
        killed.with_context(|| format!("could not kill process {pid}"))?;
        note(format_args!("process {pid} was killed"));
    }
    if let Some(killed) = killed_below {
        killed.with_context(|| format!("could not kill the processes below {pid}"))?;
        note(format_args!("the processes below {pid} were killed"));
    }
    Ok(if outcome == "ended" && !is_left { Outcome::Done } else { Outcome::Findings })
}

/// The processes below one that is asked to end.
struct Left {
    /// How many there were.
    of: usize,
    /// Those that are still there, with what holds them.
    pids: Vec<i32>,
    group: Option<Group>,
}

/// Tells how it ended, and what is left below it.
fn finish(
    mut teller: Teller<'_>,
    monitor: &Monitor,
    outcome: &'static str,
    below: Option<&Left>,
) -> anyhow::Result<()> {
    let mut told = teller.told.take().with_context(|| match outcome {
        "interrupted" => "interrupted before the process was signalled",
        _ => "the process ended before it could be signalled",
    })?;
    let now = Timestamp::now();
    let elapsed = told.story.after(now);
    let mut findings = Vec::new();
    if outcome == "ended" {
        for step in told.story.end(now) {
            let (style, text) = in_words(&step);
            teller.say(style, elapsed, &text)?;
        }
    } else if let Some(found) = monitor.last().and_then(|last| last.findings.as_ref()) {
        findings.clone_from(found);
    }
    if outcome == "grace-over" {
        let grace = words::duration(teller.options.grace);
        for finding in &mut findings {
            outlast(finding, &grace);
        }
    }
    let is_in_stage = told.story.stages().last().is_some_and(|told| told.ended.is_none());
    let last = monitor.last().filter(|_| outcome != "ended");
    let moved = last.map(|last| holdup::moved(last, &told.before, told.middle.as_ref()));
    let moved = moved.unwrap_or_default();
    let held_up = last.filter(|_| !is_in_stage).and_then(|last| holdup::in_words(last, &moved));
    let unheard = told.unheard.clone().filter(|_| outcome != "ended" && moved.is_empty());
    let held_up = unheard.or(held_up);
    let Teller { options, mut to, .. } = teller;
    if options.is_json {
        let document = Document {
            schema: SCHEMA,
            tool: json::Tool::this(),
            process: monitor.last().map(|last| &last.process),
            signal: options.signal.as_str(),
            sent_at: told.sent_at,
            delivered_ms: told.delivered.map(json::ms),
            outcome,
            elapsed_ms: json::ms(elapsed),
            stages: told.story.stages(),
            held_up: held_up.as_deref(),
            left: below.map(|left| &left.pids[..]),
            cancelled: told.story.cancelled(),
            findings: &findings,
        };
        json::write(&document, &mut to)?;
    } else {
        let has_moved = !moved.is_empty()
            || last.is_some_and(|last| {
                last.starting().is_some() || holdup::main_at(last) != told.main_at.as_ref()
            });
        conclude(&mut to, &told, outcome, elapsed, (has_moved, held_up.as_deref()))?;
        // That nothing looks wrong would be no news of one that does not end.
        if let Some(last) = monitor.last().filter(|_| !findings.is_empty()) {
            let mut last = last.clone();
            last.findings = Some(findings);
            show_findings(&mut to, &last)?;
        }
        if let Some(left) = below {
            show_left(&mut to, told.story.after(Timestamp::now()), left)?;
        }
    }
    to.finish()?;
    Ok(())
}

/// What became of the processes below.
fn show_left(to: &mut Destination, at: Duration, left: &Left) -> anyhow::Result<()> {
    let Some(group) = left.group.as_ref() else {
        let said = match left.of {
            0 => "no Python process was below it".to_owned(),
            many => format!("{} below it ended, too", processes(many)),
        };
        return line(to, Style::Strong, at, &said);
    };
    let pids = text::verdict::pids(&left.pids);
    let said =
        format!("{} of {} below it still there: {pids}", left.pids.len(), processes(left.of));
    line(to, Style::Alarm, at, &said)?;
    let mut page = to.page();
    page.blank()?;
    let none = text::Lines::of(None);
    text::processes::group(group, &|_| &none, &mut page)?;
    Ok(())
}

/// Whether a signal that was sent is not pending any more; `None` where that is not to be read.
fn is_delivered(pid: i32, signal: Signal) -> Option<bool> {
    let status = status(pid)?;
    Some(!(has(&status, "ShdPnd:", signal)? || has(&status, "SigPnd:", signal)?))
}

fn status(pid: i32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/status")).ok()
}

/// Whether a set of signals in `/proc/PID/status` has this one.
fn has(status: &str, set: &str, signal: Signal) -> Option<bool> {
    let signals = status.lines().find_map(|line| line.strip_prefix(set))?;
    Some(u64::from_str_radix(signals.trim(), 16).ok()? >> (signal as i32 - 1) & 1 == 1)
}

/// Why a process will not take a signal: it ignores it, or it is the first process of a container
/// and has no handler, for which the kernel does what is meant to protect an `init`.
fn unheard(status: &str, signal: Signal) -> Option<String> {
    if matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
        return None;
    }
    if has(status, "SigIgn:", signal)? {
        return Some(format!("the process ignores {signal}"));
    }
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    let is_first = ids.split_ascii_whitespace().next_back() == Some("1");
    let is_dropped = is_first && !has(status, "SigCgt:", signal)?;
    is_dropped.then(|| {
        format!(
            "the process is the first of its container and has no handler for {signal}: the \
             kernel drops it"
        )
    })
}

fn sent(snapshot: &Snapshot, options: &Stop) -> String {
    let process = &snapshot.process;
    format!(
        "{} sent to {}: {}, {}, grace {}",
        options.signal,
        process.pid,
        words::counted(snapshot.tasks.len(), "task"),
        words::counted(snapshot.threads.len(), "thread"),
        words::duration(options.grace)
    )
}

fn names<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let count = names.len();
    let shown: Vec<String> = names.take(MAX_NAMES).map(|name| format!("\"{name}\"")).collect();
    let mut text = shown.join(", ");
    if count > MAX_NAMES {
        let _ = write!(text, " and {} more", count - MAX_NAMES);
    }
    text
}

/// What a stage waits for: `waits for "relay" and thread 7`; absent where that is not known.
fn waits(told: &StageTold) -> Option<String> {
    let mut waits = Vec::new();
    if !told.tasks.is_empty() {
        waits.push(names(told.tasks.iter().map(|name| &**name)));
    }
    if !told.threads.is_empty() {
        let tids: Vec<String> = told.threads.iter().map(|tid| format!("thread {tid}")).collect();
        waits.push(tids.join(", "));
    }
    (!waits.is_empty()).then(|| format!("waits for {}", waits.join(" and ")))
}

fn in_words(step: &StoryEvent) -> (Style, String) {
    let name = |it: &Cancelled| it.name.as_deref().unwrap_or("a task").to_owned();
    match step {
        StoryEvent::Began(told) => {
            let stage = told.stage.as_str();
            let waits = waits(told).map(|waits| format!(", {waits}")).unwrap_or_default();
            (Style::Active, format!("stage {stage} of {} begins{waits}", told.by))
        }
        StoryEvent::Ended(told) => {
            let took = told.ended.unwrap_or_default().saturating_sub(told.began);
            let text =
                format!("stage {} ends, took {}", told.stage.as_str(), words::duration(took));
            (Style::Plain, text)
        }
        StoryEvent::Asked(tasks) => {
            let all: Vec<String> = tasks.iter().map(name).collect();
            let text = format!("cancelled: {}", names(all.iter().map(String::as_str)));
            (Style::Plain, text)
        }
        StoryEvent::Gone(tasks) => {
            let all: Vec<String> = tasks.iter().map(name).collect();
            let text = format!("ended: {}", names(all.iter().map(String::as_str)));
            (Style::Dim, text)
        }
    }
}

fn line(to: &mut Destination, style: Style, at: Duration, text: &str) -> anyhow::Result<()> {
    let stamp = format!("{:>9}  ", format!("+{:.3} s", at.as_secs_f64()));
    to.page().items(&stamp, style, " ", &[text.to_owned()])?;
    to.writer().flush()?;
    Ok(())
}

/// The end of the story: what there was, or what still holds the process.
fn conclude(
    to: &mut Destination,
    told: &Aftermath,
    outcome: &str,
    elapsed: Duration,
    (has_moved, held_up): (bool, Option<&str>),
) -> anyhow::Result<()> {
    let story = &told.story;
    if outcome == "ended" {
        let stages = story.stages().iter().map(|told| {
            let took = told.ended.unwrap_or_default().saturating_sub(told.began);
            format!("{} {}", told.stage.as_str(), words::duration(took))
        });
        let stages: Vec<String> = stages.collect();
        let detail =
            if stages.is_empty() { String::new() } else { format!(" ({})", stages.join(", ")) };
        return line(to, Style::Strong, elapsed, &format!("the process has ended{detail}"));
    }
    let left = story.cancelled().iter().filter(|it| it.ended.is_none());
    let left: Vec<&str> = left.map(|it| it.name.as_deref().unwrap_or("a task")).collect();
    let what = match outcome {
        "interrupted" => "interrupted",
        _ => "the grace is over",
    };
    let still = match (story.stages().last().filter(|told| told.ended.is_none()), &left[..]) {
        (Some(told), _) => format!(
            ", the process is still in stage {} of {}{}",
            told.stage.as_str(),
            told.by,
            waits(told).map(|waits| format!(", which {waits}")).unwrap_or_default()
        ),
        (None, []) if told.unheard.is_some() && !has_moved => String::new(),
        (None, []) if told.is_pending => ", the signal was not delivered".to_owned(),
        (None, []) if !story.is_begun() && !has_moved => {
            ", nothing shows that the process is stopping".to_owned()
        }
        (None, _) => ", the process is still there".to_owned(),
    };
    line(to, Style::Alarm, elapsed, &format!("{what}{still}"))?;
    if !left.is_empty() {
        let text = format!("cancelled and still there: {}", names(left.iter().copied()));
        line(to, Style::Notice, elapsed, &text)?;
    }
    if let Some(held_up) = held_up {
        line(to, Style::Notice, elapsed, held_up)?;
    }
    Ok(())
}

fn show_findings(to: &mut Destination, last: &Snapshot) -> anyhow::Result<()> {
    let mut page = to.page();
    page.blank()?;
    let source = Source::of(&last.process);
    let source = source.as_ref().map(|source| source as &dyn text::Files);
    text::findings(last, source, &mut page)?;
    Ok(())
}

/// What may yet end by itself has not ended in the time that it was given.
fn outlast(finding: &mut Finding, grace: &str) {
    if rule(finding.code).is(Is::Passing) && finding.severity < Severity::Critical {
        finding.severity = Severity::Critical;
        finding.evidence.retain(|line| !line.text.starts_with(MAY_END));
        finding.evidence.push(format!("its grace of {grace} is over").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_hears_a_signal() {
        let status = |ids: &str, ignored: u64, caught: u64| {
            format!(
                "Name:\tpython\nNSpid:\t{ids}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
            )
        };
        let term = 1 << (Signal::SIGTERM as i32 - 1);
        let why = |status: &str| unheard(status, Signal::SIGTERM).unwrap_or_default();
        assert_eq!(why(&status("4711", term, 0)), "the process ignores SIGTERM");
        let dropped = why(&status("4711\t1", 0, 0));
        assert!(dropped.contains("first of its container and has no handler for SIGTERM"));
        // The usual end of a process without a handler; and one that has a handler.
        assert_eq!(why(&status("4711\t7", 0, 0)) + &why(&status("4711\t1", 0, term)), "");
        assert_eq!(unheard(&status("4711\t1", term, 0), Signal::SIGKILL), None);
    }
}
