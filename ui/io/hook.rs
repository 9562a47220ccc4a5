//! `--on-finding CMD`: runs a command for each finding, one at a time, with a time limit.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use aiospy::snapshot::Finding;

use crate::io::oom;
use crate::io::output::note;

/// How long a command may take; then it is killed.
const LIMIT: Duration = Duration::from_secs(30);
/// How long all that still wait may take when watching was asked to end.
const LIMIT_AT_END: Duration = Duration::from_secs(2);
/// Findings that wait for the command; more are not told to it.
const WAITING: usize = 64;

/// A command that is told of findings, by a thread of its own.
#[derive(Debug)]
pub struct Hook {
    findings: Option<SyncSender<String>>,
    thread: Option<std::thread::JoinHandle<()>>,
    has_refused: bool,
}

impl Hook {
    /// One that runs `command` by the shell; when `stop` is set, for a moment yet.
    pub fn new(command: &str, stop: &Arc<AtomicBool>) -> Self {
        let (findings, waiting) = sync_channel(WAITING);
        let (command, stop) = (command.to_owned(), Arc::clone(stop));
        let thread = std::thread::spawn(move || serve(&command, &waiting, &stop));
        Self { findings: Some(findings), thread: Some(thread), has_refused: false }
    }

    /// Runs the command with the finding as JSON on its standard input, when those before are done.
    pub fn tell(&mut self, finding: &Finding) {
        let Ok(json) = serde_json::to_string(finding) else { return };
        let Some(findings) = &self.findings else { return };
        if let Err(TrySendError::Full(_)) = findings.try_send(json) {
            if !self.has_refused {
                note("the command for findings is too slow: it misses some");
            }
            self.has_refused = true;
        }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // Those that wait are told yet.
        self.findings = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(command: &str, findings: &Receiver<String>, stop: &AtomicBool) {
    let mut limits = Limits { stop, at_end: None };
    while let Ok(json) = findings.recv() {
        if limits.is_over() {
            note(format_args!("watching has ended: {command} misses the last findings"));
            return;
        }
        let mut shell = Command::new("/bin/sh");
        let shell = shell.args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::null());
        let child = oom::spawn(shell);
        match child {
            Ok(mut child) => {
                if let Some(mut stdin) = child.stdin.take() {
                    // One that does not read it has its reasons.
                    let _ = stdin.write_all(json.as_bytes());
                }
                wait(&mut child, command, &mut limits);
            }
            Err(error) => note(format_args!("could not run {command}: {error}")),
        }
    }
}

/// Until when commands may run.
struct Limits<'a> {
    stop: &'a AtomicBool,
    /// Once watching was asked to end.
    at_end: Option<Instant>,
}

impl Limits<'_> {
    fn is_over(&mut self) -> bool {
        if self.at_end.is_none() && self.stop.load(Ordering::Relaxed) {
            self.at_end = Some(Instant::now() + LIMIT_AT_END);
        }
        self.at_end.is_some_and(|at_end| Instant::now() >= at_end)
    }
}

fn wait(child: &mut Child, command: &str, limits: &mut Limits<'_>) {
    let until = Instant::now() + LIMIT;
    loop {
        let is_late = Instant::now() >= until;
        match child.try_wait() {
            Ok(None) if !is_late && !limits.is_over() => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(None) => {
                if is_late {
                    note(format_args!(
                        "{command} took more than {} s: it was ended",
                        LIMIT.as_secs()
                    ));
                } else {
                    note(format_args!("watching has ended, and {command} with it"));
                }
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            Ok(Some(status)) if !status.success() => {
                note(format_args!("{command} ended with {status}"));
                return;
            }
            _ => return,
        }
    }
}
