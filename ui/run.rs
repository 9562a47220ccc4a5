//! `aiospy run -- COMMAND`: starts a program and watches it; its output and exit code are its own.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::args::Run;
use crate::{Outcome, dump, watch};

/// How often it is looked whether the program has ended when it cannot be watched.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Runs the command; ends as the program does.
///
/// # Errors
/// When the program cannot be started.
pub fn run(options: &Run) -> anyhow::Result<Outcome> {
    let stop = Arc::default();
    let (watched, status) =
        started(&options.command, |pid| watch::watch(pid, &options.watching, &stop))?;
    match watched {
        // What it says about its end is the program's own affair.
        Err(error) if status.success() => dump::note(format_args!("not watched: {error:#}")),
        Err(_) => {}
        Ok(worst) => {
            if let Some(least) = options.watching.fail_on
                && worst >= Some(least)
                && status.success()
            {
                return Ok(Outcome::Findings);
            }
        }
    }
    Ok(Outcome::Exit(code_of(status)))
}

/// Starts a program, looks at it and waits for its end; gives what was seen and how it ended.
///
/// # Errors
/// When it cannot be started.
pub fn started<T>(
    command: &[OsString],
    look: impl FnOnce(i32) -> T,
) -> anyhow::Result<(T, ExitStatus)> {
    let Some((program, arguments)) = command.split_first() else {
        anyhow::bail!("no command to run");
    };
    // There is no moment in which a signal would end us and leave the program behind.
    let mut signals = Vec::new();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let came = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal as i32, Arc::clone(&came))?;
        signals.push((signal, came));
    }
    let mut child = Command::new(program)
        .args(arguments)
        .spawn()
        .with_context(|| format!("could not start {}", program.display()))?;
    let pid = i32::try_from(child.id()).context("the program has an odd process id")?;
    let stop = Arc::new(AtomicBool::new(false));
    let forwards = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || forward(pid, &signals, &stop))
    };
    let seen = look(pid);
    let status = wait(&mut child);
    stop.store(true, Ordering::Relaxed);
    let _ = forwards.join();
    Ok((seen, status?))
}

/// Passes signals on to the program, each time they come.
fn forward(pid: i32, signals: &[(Signal, Arc<AtomicBool>)], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for (signal, came) in signals {
            if came.swap(false, Ordering::Relaxed) && !is_from_terminal(*signal) {
                // One that has just ended needs none.
                let _ = kill(Pid::from_raw(pid), *signal);
            }
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// Whether it seems to be a Ctrl-C, which the program gets from the terminal itself: a second one
/// makes `asyncio.run` give up.
fn is_from_terminal(signal: Signal) -> bool {
    let is_in_foreground = || {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // Behind the name: state, parent, process group, session, terminal, the terminal's group.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(2);
        let group = fields.next()?;
        Some(fields.nth(2)? == group)
    };
    signal == Signal::SIGINT && is_in_foreground() == Some(true)
}

fn wait(child: &mut Child) -> anyhow::Result<ExitStatus> {
    child.wait().context("could not wait for the program")
}

/// As a shell says it: the program's own code, or 128 and the signal.
pub fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
