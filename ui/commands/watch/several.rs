//! Several processes that are watched at once, each by a thread of its own.
//!
//! All of them share the rate that is asked for, so that watching many costs no more than watching
//! one. Processes that begin below those that were chosen are watched from then on.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aiospy::snapshot::Severity;

use super::exports::Exports;
use super::{Teller, follow, is_over};
use crate::commands::crew::{self, Part, Said};
use crate::commands::options::Watching;
use crate::commands::patience::Patience;
use crate::commands::targets::Several;
use crate::io::hook::Hook;
use crate::io::output::Destination;

/// Collects lines, and hands them on when they are whole.
struct Lines<'p> {
    to: &'p Part<Vec<u8>, Option<Severity>>,
    kept: Vec<u8>,
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.say(std::mem::take(&mut self.kept))
    }
}

/// Watches them until all have ended, `stop` is set or the time is over; gives the worst finding
/// that there was.
///
/// # Errors
/// When none of them can be attached to, or the output not be written.
pub fn watch(
    several: &Several,
    options: &Watching,
    exports: &Arc<Exports>,
    stop: &Arc<AtomicBool>,
    patience: &Patience,
) -> anyhow::Result<Option<Severity>> {
    let mut to = Destination::open_queued(&options.output.clone().into(), stop)?;
    let reader = to.reader();
    let is_asked = is_over(options, stop, reader.as_ref());
    let (color, timeout) = (to.color, patience.timeout);
    let is_text = options.is_text(to.is_terminal);
    let options = share(options, several.pids().len());
    let mut worst = None;
    let exports = Arc::clone(exports);
    let watch = move |part: &Part<_, _>| {
        let mut lines = Lines { to: part, kept: Vec::new() };
        let hook = options.on_finding.as_deref().map(|command| Hook::new(command, part.over()));
        let mut teller = Teller { is_text, color, pid: Some(part.pid), to: &mut lines, hook };
        let is_over = || part.over().load(Ordering::Relaxed);
        let patience = Patience::new(timeout);
        follow(part.pid, &options, &exports, false, &is_over, &mut teller, &patience)
    };
    let done = crew::each(several, &is_asked, watch, &mut |said| {
        match said {
            Said::News(lines) => {
                to.writer().write_all(&lines)?;
                to.writer().flush()?;
            }
            Said::Ended(found) => worst = worst.max(found),
        }
        Ok(())
    });
    to.finish()?;
    done.map(|()| worst)
}

/// How each of so many is watched.
fn share(options: &Watching, among: usize) -> Watching {
    let mut each = options.clone();
    each.rate = crew::share(options.rate, among);
    each.whole_every = crew::stretch(options.whole_every, among);
    each
}
