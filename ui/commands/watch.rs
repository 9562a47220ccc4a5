//! `aiospy watch PID`: what happens, as it happens, one line of JSON each (`aiospy.watch/1`), or
//! text.

mod lines;
mod words;

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

use self::lines::EventLine;
use crate::commands::options::{Target, Watching};
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::reading::{by_any_id, limited};
use crate::io::hook::Hook;
use crate::io::output::{Destination, Reader, note};
use crate::io::page::Page;
use crate::report::json;

/// Options of `watch`.
#[derive(Debug, Args)]
pub struct Watch {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    watching: Watching,
}

/// Runs the command; `Findings` when one was as severe as asked about.
///
/// # Errors
/// When the target cannot be attached to, or the output not be written.
pub fn run(options: &Watch, patience: &Patience) -> anyhow::Result<Outcome> {
    let stop = on_signals()?;
    let (_, done) = by_any_id(options.target.pid(), |pid| {
        patience.guard(pid, Some(&stop));
        watch(pid, &options.watching, false, &stop, patience)
    });
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
    let mut settings = Settings::default();
    settings.threshold = options.threshold;
    settings.interval = options.interval;
    settings.growth_over = options.growth_over;
    settings.stuck_after = options.stuck_after;
    let mut plan = patience.plan(options.rate, options.whole_every);
    plan.options.blocked_after = options.threshold;
    // What happens between looks is told from frames, states and cancellations.
    plan.between = Depth::Tasks;
    plan.waits_for_python = is_ours;
    let mut watcher = Watcher::new(plan, settings);
    let reader = to.reader();
    let is_text = options.is_text || is_beside;
    let mut teller = Teller { is_text, to: &mut to, hook: None };
    teller.hook = options.on_finding.as_deref().map(|command| Hook::new(command, stop));
    let until = options.duration.map(|duration| Instant::now() + duration);
    let is_asked = || {
        stop.load(Ordering::Relaxed)
            || until.is_some_and(|until| Instant::now() >= until)
            || reader.as_ref().is_some_and(Reader::is_gone)
    };
    let mut is_started = false;
    let ended = watcher.run(pid, &is_asked, &mut |news| {
        match news.sample {
            Sample::Attached(process) if !is_started => {
                is_started = true;
                teller.start(process, options)?;
            }
            Sample::Limited(rate) => note(limited(*rate)),
            _ => {}
        }
        news.events.iter().try_for_each(|event| teller.event(event))?;
        anyhow::Ok(ControlFlow::Continue(()))
    })?;
    teller.end(&mut watcher, ended)?;
    to.finish()?;
    Ok(watcher.monitor().worst())
}

/// Writes events.
struct Teller<'a> {
    is_text: bool,
    to: &'a mut Destination,
    hook: Option<Hook>,
}

impl Teller<'_> {
    fn start(&mut self, process: &Process, options: &Watching) -> anyhow::Result<()> {
        if self.is_text {
            return self.text(&[words::start(process)]);
        }
        self.json(&EventLine::start(process, options.rate, options.threshold))
    }

    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        if let (Some(finding), Some(hook)) = (event.raised(), &mut self.hook)
            && finding.severity > Severity::Info
        {
            hook.tell(finding);
        }
        if self.is_text {
            return self.text(&words::event(event));
        }
        self.json(&EventLine::of(event))
    }

    fn json(&mut self, line: &EventLine<'_>) -> anyhow::Result<()> {
        json::line(line, self.to.writer())?;
        // Whoever reads it wants to know now.
        self.to.writer().flush()?;
        Ok(())
    }

    fn text(&mut self, lines: &[words::TextLine]) -> anyhow::Result<()> {
        let color = self.to.color;
        let now = jiff::Zoned::now().strftime("%H:%M:%S%.3f").to_string();
        for (style, what, text) in lines {
            let mut page = Page::new(self.to.writer(), None, color);
            let items = [format!("{what:<10}"), text.clone()];
            page.items(&format!("{now}  "), *style, " ", &items)?;
        }
        self.to.writer().flush()?;
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
