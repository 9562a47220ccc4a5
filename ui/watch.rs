//! `aiospy watch PID`: what happens, as it happens, one line of JSON each (`aiospy.watch/1`), or
//! text.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aiospy::monitor::{Event, Monitor, Settings, Statistics, Summary, Tracked};
use aiospy::sampler::{Ended, Plan, Sample, sample};
use aiospy::snapshot::{BlockingKind, Finding, Process, Severity};
use aiospy::timeline::Stretch;
use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use crate::args::{Watch, Watching};
use crate::hook::Hook;
use crate::output::Destination;
use crate::text::page::{Page, Style};
use crate::text::words;
use crate::{Outcome, dump, json};

/// The name and version of the JSON shape.
pub const SCHEMA: &str = "aiospy.watch/1";

/// Letters of a command line that are shown.
const MAX_COMMAND: usize = 200;

/// Runs the command; `Findings` when one was as severe as asked about.
///
/// # Errors
/// When the target cannot be attached to, or the output not be written.
pub fn run(options: &Watch) -> anyhow::Result<Outcome> {
    let stop = on_signals()?;
    let (_, done) = dump::by_any_id(options.pid, |pid| watch(pid, &options.watching, &stop));
    let worst = done?;
    Ok(match options.watching.fail_on {
        Some(least) if worst >= Some(least) => Outcome::Findings,
        _ => Outcome::Done,
    })
}

/// A flag that is set by `SIGINT` and `SIGTERM`.
///
/// # Errors
/// When the handlers cannot be set.
pub fn on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .context("could not catch signals")?;
    }
    Ok(stop)
}

/// Watches process `pid` until it ends, `stop` is set or the time is over; gives the worst finding
/// that there was.
///
/// # Errors
/// When it cannot be attached to, or the output not be written.
pub fn watch(pid: i32, options: &Watching, stop: &AtomicBool) -> anyhow::Result<Option<Severity>> {
    let mut to = if options.is_beside {
        Destination::beside(options.output.color)
    } else {
        Destination::open(&options.output)?
    };
    let mut settings = Settings::default();
    settings.threshold = options.threshold;
    settings.interval = options.interval;
    settings.growth_over = options.growth_over;
    let mut monitor = Monitor::new(settings);
    let mut plan = Plan::new(options.rate, options.whole_every);
    plan.options.blocked_after = options.threshold;
    plan.waits_for_python = options.waits_for_python;
    let mut teller = Teller { is_text: options.is_text, to: &mut to, hook: None, failed: None };
    teller.hook = options.on_finding.as_deref().map(Hook::new);
    let until = options.duration.map(|duration| Instant::now() + duration);
    let is_asked =
        || stop.load(Ordering::Relaxed) || until.is_some_and(|until| Instant::now() >= until);
    let mut is_started = false;
    let ended = sample(pid, &plan, &is_asked, &mut |sample| {
        if let (Sample::Attached(process), false) = (&sample, is_started) {
            is_started = true;
            teller.start(process, options)?;
        }
        monitor.take(sample, &mut |event| teller.event(&event))
    });
    if let Some(error) = teller.failed.take() {
        return Err(error);
    }
    let ended = ended?;
    teller.end(&mut monitor, ended)?;
    to.finish()?;
    Ok(monitor.worst())
}

/// Writes events.
struct Teller<'a> {
    is_text: bool,
    to: &'a mut Destination,
    hook: Option<Hook>,
    failed: Option<anyhow::Error>,
}

/// An event as JSON.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    Start {
        schema: &'static str,
        tool: json::Tool,
        at: Timestamp,
        process: &'a Process,
        rate: f64,
        threshold_ms: u64,
    },
    Reattached {
        at: Timestamp,
    },
    FindingOpened(FindingLine<'a>),
    FindingUpdated(FindingLine<'a>),
    FindingClosed(FindingLine<'a>),
    Blocking(BlockingLine<'a>),
    Statistics(&'a Statistics),
    Unreadable {
        at: Timestamp,
        cause: &'a str,
    },
    End {
        at: Timestamp,
        reason: &'static str,
        open: Vec<FindingLine<'a>>,
        #[serde(flatten)]
        summary: &'a Summary,
    },
}

#[derive(Serialize)]
struct FindingLine<'a> {
    at: Timestamp,
    number: u64,
    opened_at: Timestamp,
    finding: &'a Finding,
}

impl<'a> FindingLine<'a> {
    fn of(tracked: &'a Tracked) -> Self {
        Self {
            at: tracked.seen_at,
            number: tracked.number,
            opened_at: tracked.opened_at,
            finding: &tracked.finding,
        }
    }
}

#[derive(Serialize)]
struct BlockingLine<'a> {
    at: Timestamp,
    length_ms: f64,
    uncertainty_ms: f64,
    #[serde(rename = "loop")]
    loop_id: aiospy::memory::Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<i32>,
    kind: BlockingKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<aiospy::memory::Address>,
    samples: u32,
    stacks: Vec<StackLine<'a>>,
}

#[derive(Serialize)]
struct StackLine<'a> {
    samples: u32,
    kind: BlockingKind,
    frames: Vec<FrameLine<'a>>,
}

#[derive(Serialize)]
struct FrameLine<'a> {
    function: &'a str,
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

impl<'a> BlockingLine<'a> {
    fn of(stretch: &'a Stretch) -> Self {
        let work = stretch.work.as_deref();
        let frames = |work: &'a aiospy::snapshot::Work| {
            let frames = work.stack.iter().map(|at| FrameLine {
                function: &at.function,
                file: &at.file,
                line: at.line,
            });
            frames.collect()
        };
        let stacks = stretch.stacks.iter().map(|(work, samples)| StackLine {
            samples: *samples,
            kind: work.kind,
            frames: frames(work),
        });
        Self {
            at: stretch.began_at,
            length_ms: json::ms(stretch.length),
            uncertainty_ms: json::ms(stretch.uncertainty),
            loop_id: stretch.loop_id,
            thread: stretch.thread,
            kind: stretch.kind(),
            description: work.map(|work| work.description.as_str()),
            peer: work.and_then(|work| work.peer.as_deref()),
            handle: work.and_then(|work| work.handle.as_deref()),
            task: work.and_then(|work| work.task),
            samples: stretch.samples,
            stacks: stacks.collect(),
        }
    }
}

impl Teller<'_> {
    fn start(&mut self, process: &Process, options: &Watching) -> ControlFlow<()> {
        let written = if self.is_text {
            let version = process.python.as_deref().unwrap_or("?");
            let command: String = process.cmdline.join(" ").chars().take(MAX_COMMAND).collect();
            self.text(
                Style::Plain,
                "watching",
                &format!("{} · CPython {version} · {command}", process.pid),
            )
        } else {
            self.json(&Line::Start {
                schema: SCHEMA,
                tool: json::Tool::this(),
                at: Timestamp::now(),
                process,
                rate: options.rate,
                threshold_ms: u64::try_from(options.threshold.as_millis()).unwrap_or(u64::MAX),
            })
        };
        self.flow(written)
    }

    fn event(&mut self, event: &Event) -> ControlFlow<()> {
        if let (Event::Opened(tracked), Some(hook)) = (event, &mut self.hook)
            && tracked.finding.severity > Severity::Info
        {
            hook.tell(&tracked.finding);
        }
        let written = if self.is_text { self.in_words(event) } else { self.in_json(event) };
        self.flow(written)
    }

    fn flow(&mut self, written: anyhow::Result<()>) -> ControlFlow<()> {
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn in_json(&mut self, event: &Event) -> anyhow::Result<()> {
        let at = Timestamp::now();
        self.json(&match event {
            Event::Reattached => Line::Reattached { at },
            Event::Opened(tracked) => Line::FindingOpened(FindingLine::of(tracked)),
            Event::Updated(tracked) => Line::FindingUpdated(FindingLine::of(tracked)),
            Event::Closed(tracked) => Line::FindingClosed(FindingLine::of(tracked)),
            Event::Blocked(stretch) => Line::Blocking(BlockingLine::of(stretch)),
            Event::Statistics(statistics) => Line::Statistics(statistics),
            Event::Unreadable(cause) => Line::Unreadable { at, cause },
        })
    }

    fn json(&mut self, line: &Line<'_>) -> anyhow::Result<()> {
        let writer = self.to.writer();
        serde_json::to_writer(&mut *writer, line)?;
        writer.write_all(b"\n")?;
        // Whoever reads it wants to know now.
        writer.flush()?;
        Ok(())
    }

    fn in_words(&mut self, event: &Event) -> anyhow::Result<()> {
        let severity = |tracked: &Tracked| match tracked.finding.severity {
            Severity::Critical => Style::Alarm,
            Severity::Warning => Style::Notice,
            Severity::Info => Style::Dim,
        };
        match event {
            Event::Reattached => {
                self.text(Style::Notice, "attached", "again: the program was replaced")
            }
            Event::Opened(tracked) => self.text(severity(tracked), "opened", &in_words(tracked)),
            Event::Updated(tracked) => self.text(severity(tracked), "changed", &in_words(tracked)),
            Event::Closed(tracked) => {
                let stood = tracked.seen_at.duration_since(tracked.opened_at);
                let stood = words::duration(Duration::try_from(stood).unwrap_or_default());
                let text = format!("after {stood}: {}", in_words(tracked));
                self.text(Style::Dim, "closed", &text)
            }
            Event::Blocked(stretch) => self.text(Style::Notice, "blocked", &blocked(stretch)),
            Event::Statistics(statistics) => {
                for known in &statistics.loops {
                    let timing = &known.timing;
                    let ready = timing.ready.map(|ready| {
                        format!(
                            ", iterations p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
                            ready.p50_ms, ready.p99_ms, ready.max_ms
                        )
                    });
                    let text = format!(
                        "{:.1} % busy{} · {} samples",
                        timing.busy * 100.0,
                        ready.unwrap_or_default(),
                        timing.glances
                    );
                    self.text(Style::Plain, "loop", &text)?;
                }
                if let Some(tasks) = statistics.tasks {
                    let text = format!(
                        "{} pending, {} ready, {} with a cancellation",
                        tasks.pending, tasks.ready, tasks.cancelled
                    );
                    self.text(Style::Plain, "tasks", &text)?;
                }
                if statistics.missed > 0 {
                    let text = format!(
                        "{} of {}",
                        statistics.missed,
                        statistics.missed + statistics.samples
                    );
                    self.text(Style::Dim, "missed", &text)?;
                }
                Ok(())
            }
            Event::Unreadable(cause) => self.text(Style::Notice, "unreadable", cause),
        }
    }

    fn text(&mut self, style: Style, what: &str, text: &str) -> anyhow::Result<()> {
        let color = self.to.color;
        let now = jiff::Zoned::now().strftime("%H:%M:%S%.3f").to_string();
        {
            let mut page = Page::new(self.to.writer(), None, color);
            page.items(&format!("{now}  "), style, " ", &[format!("{what:<10}"), text.to_owned()])?;
        }
        self.to.writer().flush()?;
        Ok(())
    }

    fn end(&mut self, monitor: &mut Monitor, ended: Ended) -> anyhow::Result<()> {
        let still = monitor.blocking();
        let summary = monitor.summary();
        if !self.is_text {
            for stretch in &still {
                self.json(&Line::Blocking(BlockingLine::of(stretch)))?;
            }
            let open = monitor.open().iter().map(FindingLine::of).collect();
            let reason = match ended {
                Ended::Gone => "target-ended",
                Ended::Asked => "stopped",
            };
            return self.json(&Line::End { at: Timestamp::now(), reason, open, summary: &summary });
        }
        for stretch in &still {
            self.text(Style::Alarm, "blocked", &format!("{} (goes on)", blocked(stretch)))?;
        }
        let why = match ended {
            Ended::Gone => "the process has ended",
            Ended::Asked => "stopped watching",
        };
        let watched = words::duration(Duration::from_millis(summary.duration_ms));
        let missed = match summary.missed {
            0 => String::new(),
            missed => format!(", {missed} missed"),
        };
        self.text(
            Style::Plain,
            "end",
            &format!("{why} after {watched}: {} samples{missed}", summary.samples),
        )?;
        for place in summary.blocking.iter().take(10) {
            let at = place.file.as_deref().map(|file| {
                let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
                format!("{file}{line}")
            });
            let text = format!(
                "{} × {} at {}: {:.0} ms in all, longest {:.0} ms",
                place.count,
                place.description,
                at.as_deref().unwrap_or("an unknown place"),
                place.total_ms,
                place.length.map_or(0.0, |length| length.max_ms)
            );
            self.text(Style::Plain, "", &text)?;
        }
        for tracked in monitor.open() {
            self.text(Style::Notice, "open", &in_words(tracked))?;
        }
        Ok(())
    }
}

/// A finding in one line.
fn in_words(tracked: &Tracked) -> String {
    format!("[{}] {}", tracked.finding.code, tracked.finding.title)
}

/// A blocking callback in one line.
fn blocked(stretch: &Stretch) -> String {
    let work = stretch.work.as_deref();
    let handle = work.and_then(|work| work.handle.as_deref()).unwrap_or("a callback");
    let what = work.map_or("", |work| work.description.as_str());
    let at = stretch.place().map(|at| {
        let line = at.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!(" at {}{line} in {}", at.file, at.function)
    });
    format!("{} by {handle}: {what}{}", words::duration(stretch.length), at.unwrap_or_default())
}
