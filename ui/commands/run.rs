//! `aiospy run -- COMMAND`: starts a program and watches it; its output and exit code are its own.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::commands::options::Watching;
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::watch;
use crate::io::oom;
use crate::io::output::note;

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub watching: Watching,
    /// The program with its arguments, after --
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How often it is looked whether the program has ended when it cannot be watched.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Runs the command; ends as the program does.
///
/// # Errors
/// When the program cannot be started.
pub fn run(options: &Run, patience: &Patience) -> anyhow::Result<Outcome> {
    let stop = Arc::default();
    // The program is not left alone when reading it takes too long.
    let (watched, status) = started(&options.command, |pid| {
        let exports = watch::Exports::open(&options.watching)?;
        let worst = watch::watch(pid, &options.watching, &exports, true, &stop, patience);
        exports.finish();
        worst
    })?;
    match watched {
        // What it says about its end is the program's own affair.
        Err(error) if status.success() => note(format_args!("not watched: {error:#}")),
        Err(_) => {}
        Ok(worst) => {
            let outcome = options.watching.fail_on.outcome(worst);
            if outcome == Outcome::Findings && status.success() {
                return Ok(outcome);
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
    // From the terminal the program gets Ctrl-C itself, as from anybody who sends SIGINT to our
    // process group, so it is not sent on: a second one makes `asyncio.run` give up. SIGTERM is
    // sent on. There is no moment in which a signal would end us and leave the program behind.
    let interrupted = Arc::new(AtomicBool::new(false));
    let term = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted))?;
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&term))?;
    let mut child = oom::spawn(Command::new(program).args(arguments))
        .with_context(|| format!("can't start {}", program.display()))?;
    let pid = i32::try_from(child.id()).context("the program has an odd process id")?;
    let stop = Arc::new(AtomicBool::new(false));
    let forwards = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || forward(pid, &term, &stop))
    };
    let seen = look(pid);
    let status = wait(&mut child);
    stop.store(true, Ordering::Relaxed);
    let _ = forwards.join();
    Ok((seen, status?))
}

/// Passes `SIGTERM` on to the program, each time it comes.
fn forward(pid: i32, term: &AtomicBool, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if term.swap(false, Ordering::Relaxed) {
            // One that has just ended needs none.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

fn wait(child: &mut Child) -> anyhow::Result<ExitStatus> {
    child.wait().context("could not wait for the program")
}

/// As a shell says it: the program's own code, or 128 and the signal.
pub fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
