//! One line on a terminal that says how far a recording is.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use aiospy::snapshot::Process;

use crate::flame::Totals;
use crate::io::page;
use crate::report::text::words;

/// How often the line is written anew.
const BETWEEN: Duration = Duration::from_millis(200);
/// The bar's width.
const BAR: usize = 20;

/// The line, if standard error is a terminal.
pub struct Progress {
    is_told: bool,
    is_shown: bool,
    pid: i32,
    duration: Option<Duration>,
    start: Instant,
    next: Instant,
}

impl Progress {
    /// Of a recording that is to last so long, which may be one of several.
    pub fn new(pid: i32, duration: Option<Duration>, is_member: bool) -> Self {
        let (now, has_terminal) = (Instant::now(), io::stderr().is_terminal());
        // There is one such line on a terminal, not one for each of several.
        let is_shown = has_terminal && !is_member;
        Self { is_told: has_terminal, is_shown, pid, duration, start: now, next: now }
    }

    /// Says what is recorded, once.
    pub fn start(&mut self, process: &Process, file: &Path) {
        self.start = Instant::now();
        if self.is_told {
            let command: String = process.cmdline.join(" ").chars().take(100).collect();
            let python = process.python.as_deref().unwrap_or("?");
            let end = if self.duration.is_none() { " · Ctrl-C ends it" } else { "" };
            let file = file.display();
            let line =
                format!("recording {} · CPython {python} · {command} → {file}{end}", self.pid);
            // A terminal that is gone is nobody's concern.
            self.clear();
            let _ = writeln!(io::stderr(), "{}", page::clean(&line));
        }
    }

    /// Writes the line anew, if it is time.
    pub fn show(&mut self, totals: &Totals, tasks: usize, size: Option<u64>) {
        let now = Instant::now();
        if !self.is_shown || now < self.next {
            return;
        }
        self.next = now + BETWEEN;
        let gone = now.duration_since(self.start);
        let mut parts = Vec::new();
        match self.duration {
            Some(all) => {
                let part = (gone.as_secs_f64() / all.as_secs_f64()).clamp(0.0, 1.0);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a part of the bar"
                )]
                let done = (part * BAR as f64) as usize;
                let left = words::duration(all.saturating_sub(gone));
                parts.push(format!("{}{} {left} left", "█".repeat(done), "░".repeat(BAR - done)));
            }
            None => parts.push(words::duration(gone)),
        }
        let samples = usize::try_from(totals.samples).unwrap_or(usize::MAX);
        parts.push(words::counted(samples, "sample"));
        parts.push(format!("{} missed", totals.missed));
        parts.push(words::counted(tasks, "task"));
        parts.extend(size.map(words::bytes));
        let mut to = io::stderr();
        let _ = write!(to, "\r{}\x1b[K", parts.join(" · "));
        let _ = to.flush();
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
