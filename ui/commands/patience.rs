//! How long a command waits for what it reads of a target.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aiospy::Error;
use aiospy::memory::TimeLimit;
use aiospy::watch::sampler::Plan;

use crate::commands::remedy;
use crate::io::wanted;

/// How often it is looked whether the time is over.
const STEP: Duration = Duration::from_millis(100);
/// How long a reading may go on when the command was asked to end.
const WHEN_ASKED: Duration = Duration::from_secs(1);

/// The time that each reading has.
#[derive(Debug, Clone)]
pub struct Patience {
    /// How long one may take.
    pub timeout: Duration,
    /// What runs while one is under way.
    pub limit: TimeLimit,
}

impl Patience {
    /// So much time for each reading.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, limit: TimeLimit::default() }
    }

    /// Does something for which the time of one reading is given.
    pub fn limited<T>(&self, work: impl FnOnce() -> T) -> T {
        self.limit.begin(self.timeout);
        let done = work();
        self.limit.end();
        done
    }

    /// A plan of so many samples a second, with that time for each, and as much memory as there is.
    pub fn plan(&self, rate: f64, whole_every: Duration) -> Plan {
        let mut plan = Plan::new(rate, whole_every);
        plan.options = wanted::complete(plan.options);
        plan.timeout = Some(self.timeout);
        plan.limit = self.limit.clone();
        plan
    }

    /// From now on ends the whole command when reading process `pid` takes longer, or goes on
    /// after `asked` was set.
    ///
    /// What is read too slowly notices that by itself and gives what it has. What blocks in the
    /// kernel never comes back: memory that nobody provides, a file of a server that is gone.
    pub fn guard(&self, pid: i32, asked: Option<&Arc<AtomicBool>>) {
        let Self { timeout, limit } = self.clone();
        let asked = asked.map(Arc::clone);
        let watch = move || {
            let mut since_asked = Duration::ZERO;
            loop {
                std::thread::sleep(STEP);
                let is_asked = asked.as_ref().is_some_and(|asked| asked.load(Ordering::Relaxed));
                let is_reading = limit.length().is_some();
                since_asked =
                    if is_asked && is_reading { since_asked + STEP } else { Duration::ZERO };
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the main thread is blocked for good"
                )]
                if limit.is_exceeded() || since_asked > WHEN_ASKED {
                    remedy::print(&Error::TimedOut { pid, limit: timeout }.into(), false);
                    exit(1);
                }
            }
        };
        // Without a thread it waits for as long as it takes, as it would have to.
        let _ = std::thread::Builder::new().name("patience".to_owned()).spawn(watch);
    }
}
