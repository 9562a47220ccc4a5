//! `aiospy watch PID …`: what happens, as it happens, one line of JSON each (`aiospy.watch/1`), or
//! text.

mod exports;
mod figures;
mod lines;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod several;
mod words;

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use aiospy::snapshot::{Depth, Process, Severity};
use aiospy::watch::Watcher;
use aiospy::watch::monitor::{Event, Settings};
use aiospy::watch::sampler::{Ended, Sample};
use anyhow::Context as _;
use clap::Args;
use clap::error::ErrorKind;
use serde::Serialize;

pub use self::exports::Exports;
use self::lines::EventLine;
use crate::commands::options::{Mistake, Watching};
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::reading::{by_any_id, limited};
use crate::commands::targets::{Chosen, Targets};
use crate::io::hook::Hook;
use crate::io::output::{Destination, Reader, note};
use crate::io::page::Page;
use crate::report::json;

/// Figures of several at one address could not be told apart.
const METRICS_OF_ONE: Mistake = Mistake {
    command: "watch",
    kind: ErrorKind::ArgumentConflict,
    words: "--metrics is of one process; for each of several, watch it at an address of its own",
};

/// Options of `watch`.
#[derive(Debug, Args)]
pub struct Watch {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    pub watching: Watching,
}

/// Runs the command; `Findings` when one was as severe as asked about.
///
/// # Errors
/// When the target cannot be attached to, or the output not be written.
pub fn run(options: &Watch, patience: &Patience) -> anyhow::Result<Outcome> {
    let stop = on_signals()?;
    let chosen = options.targets.choose("watch")?;
    if matches!(chosen, Chosen::Several(_)) && options.watching.metrics.is_some() {
        return Err(METRICS_OF_ONE.into());
    }
    let exports = Arc::new(Exports::open(&options.watching)?);
    let done = match chosen {
        Chosen::One(pid) => {
            let watch = |pid| {
                patience.guard(pid, Some(&stop));
                watch(pid, &options.watching, &exports, false, &stop, patience)
            };
            by_any_id(pid, watch).1
        }
        Chosen::Several(several) => {
            several::watch(&several, &options.watching, &exports, &stop, patience)
        }
    };
    exports.finish();
    Ok(options.watching.fail_on.outcome(done?))
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
/// that there was. One that `is_ours` we have started: standard output is its own, and its Python
/// may not be there yet.
///
/// # Errors
/// When it cannot be attached to, or the output not be written.
pub fn watch(
    pid: i32,
    options: &Watching,
    exports: &Exports,
    is_ours: bool,
    stop: &Arc<AtomicBool>,
    patience: &Patience,
) -> anyhow::Result<Option<Severity>> {
    let is_beside = is_ours && options.output.file().is_none();
    let mut to = if is_beside {
        Destination::beside(options.output.color)
    } else {
        Destination::open_queued(&options.output.clone().into(), stop)?
    };
    let reader = to.reader();
    let is_text = options.is_text(is_beside || to.is_terminal);
    let color = to.color;
    let hook = options.on_finding.as_deref().map(|command| Hook::new(command, stop));
    let mut teller = Teller { is_text, color, pid: None, to: to.writer(), hook };
    let is_over = is_over(options, stop, reader.as_ref());
    let worst = follow(pid, options, exports, is_ours, &is_over, &mut teller, patience)?;
    drop(teller);
    to.finish()?;
    Ok(worst)
}

/// Whether the time is over, it was asked to stop, or nobody reads what it says any more.
fn is_over(options: &Watching, stop: &AtomicBool, reader: Option<&Reader>) -> impl Fn() -> bool {
    let until = options.duration.map(|duration| Instant::now() + duration);
    move || {
        stop.load(Ordering::Relaxed)
            || until.is_some_and(|until| Instant::now() >= until)
            || reader.is_some_and(Reader::is_gone)
    }
}

/// Watches a process until it ends or `is_over`, and tells what happens.
fn follow(
    pid: i32,
    options: &Watching,
    exports: &Exports,
    is_ours: bool,
    is_over: &dyn Fn() -> bool,
    teller: &mut Teller<'_>,
    patience: &Patience,
) -> anyhow::Result<Option<Severity>> {
    let mut settings = Settings::default();
    settings.threshold = options.threshold;
    settings.interval = options.interval;
    settings.growth_over = options.growth_over;
    settings.stuck_after = options.stuck_after;
    settings.slow_after = options.slower;
    settings.allowed = options.allowing.allowed();
    let mut plan = patience.plan(options.rate, options.whole_every);
    plan.options.blocked_after = options.threshold;
    // What happens between looks is told from frames, states and cancellations.
    plan.between = Depth::Tasks;
    plan.waits_for_python = is_ours;
    let mut export = exports.of_process();
    let mut watcher = Watcher::new(plan, settings);
    let mut is_started = false;
    let ended = watcher.run(pid, is_over, &mut |news| {
        match news.sample {
            Sample::Attached(process) if !is_started => {
                is_started = true;
                teller.start(process, options)?;
            }
            Sample::Limited(rate) => note(limited(*rate)),
            _ => {}
        }
        export.note(&news);
        news.events.iter().try_for_each(|event| teller.event(event))?;
        anyhow::Ok(ControlFlow::Continue(()))
    })?;
    export.end(ended);
    teller.end(&mut watcher, ended)?;
    if teller.pid.is_none() {
        options.allowing.note_unused(watcher.monitor().allowed());
    }
    Ok(watcher.monitor().worst())
}

/// Writes events.
struct Teller<'a> {
    is_text: bool,
    color: bool,
    /// The process that they are of, where several are watched.
    pid: Option<i32>,
    to: &'a mut dyn Write,
    hook: Option<Hook>,
}

/// An event of one of several processes.
#[derive(Serialize)]
struct OfProcess<'a> {
    pid: i32,
    #[serde(flatten)]
    line: &'a EventLine<'a>,
}

impl Teller<'_> {
    fn start(&mut self, process: &Process, options: &Watching) -> anyhow::Result<()> {
        if self.is_text {
            return self.text(&[words::start(process, &jiff::Zoned::now())]);
        }
        self.json(&EventLine::start(process, options.rate, options.threshold))
    }

    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        if let (Some(finding), Some(hook)) = (event.raised(), &mut self.hook)
            && finding.severity > Severity::Info
            && !finding.is_allowed
        {
            hook.tell(finding);
        }
        if self.is_text {
            return self.text(&words::event(event));
        }
        self.json(&EventLine::of(event))
    }

    fn json(&mut self, line: &EventLine<'_>) -> anyhow::Result<()> {
        match self.pid {
            Some(pid) => json::line(&OfProcess { pid, line }, self.to)?,
            None => json::line(line, self.to)?,
        }
        // Whoever reads it wants to know now.
        self.to.flush()?;
        Ok(())
    }

    fn text(&mut self, lines: &[words::TextLine]) -> anyhow::Result<()> {
        let now = jiff::Zoned::now().strftime("%H:%M:%S%.3f").to_string();
        for (style, what, text) in lines {
            let mut page = Page::new(self.to, None, self.color);
            let pid = self.pid.map(|pid| format!("{pid:>7}  ")).unwrap_or_default();
            let items = [format!("{what:<10}"), text.clone()];
            page.items(&format!("{now} {}{pid}", words::sign(*style)), *style, " ", &items)?;
        }
        self.to.flush()?;
        Ok(())
    }

    fn end(&mut self, watcher: &mut Watcher, ended: Ended) -> anyhow::Result<()> {
        let summary = watcher.summary();
        let monitor = watcher.monitor();
        let still = monitor.blocking();
        if self.is_text {
            return self.text(&words::end(monitor, &still, &summary, ended));
        }
        for stretch in &still {
            self.json(&EventLine::blocking(stretch))?;
        }
        self.json(&EventLine::end(monitor, &summary, ended))
    }
}
