//! A target that is watched: a sampler, and the monitor that takes its samples in.

use std::ops::ControlFlow;

use crate::error::Error;
use crate::watch::monitor::{Event, Monitor, Settings, Summary};
use crate::watch::sampler::{Ended, Plan, Sample, sample};

/// Samples a target by a plan, and follows what happens to it.
#[derive(Debug)]
pub struct Watcher {
    /// What is sampled how often. A change holds from the next [`Watcher::run`] on.
    pub plan: Plan,
    monitor: Monitor,
    is_attached: bool,
}

/// What a sample brought.
#[derive(Debug)]
pub struct News<'a> {
    /// The sample. A whole one has its findings.
    pub sample: &'a Sample,
    /// What happened, as it shows.
    pub events: Vec<Event>,
    /// All that is known by now.
    pub monitor: &'a Monitor,
}

impl Watcher {
    /// One that samples by `plan`, and follows what `settings` say.
    pub fn new(plan: Plan, settings: Settings) -> Self {
        Self { plan, monitor: Monitor::new(settings), is_attached: false }
    }

    /// What is known so far.
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Adds up the whole; callbacks that still run count as far as they have come.
    pub fn summary(&mut self) -> Summary {
        self.monitor.summary()
    }

    /// Watches process `pid` until it is gone or `show` breaks off; `is_asked` is looked at several
    /// times a second, also while nothing can be read. Run again, it goes on with the same target.
    ///
    /// # Errors
    /// As [`Inspector::attach`](crate::Inspector::attach), when it cannot be attached to in the
    /// first place, and what `show` fails with.
    pub fn run<E: From<Error>>(
        &mut self,
        pid: i32,
        is_asked: &dyn Fn() -> bool,
        show: &mut dyn FnMut(News<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<Ended, E> {
        let mut is_resumed = self.is_attached;
        let mut failed = None;
        let ended = sample(pid, &self.plan, is_asked, &mut |mut sample| {
            if matches!(sample, Sample::Attached(_)) {
                self.is_attached = true;
                // The target is what it was before.
                if std::mem::take(&mut is_resumed) {
                    return ControlFlow::Continue(());
                }
            }
            let events = self.monitor.take(&mut sample);
            let news = News { sample: &sample, events, monitor: &self.monitor };
            show(news).unwrap_or_else(|error| {
                failed = Some(error);
                ControlFlow::Break(())
            })
        });
        failed.map_or_else(|| Ok(ended?), Err)
    }
}
