//! `aiospy demo`: sample programs that hang in a chosen way, to point the tool at.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::commands::dump;
use crate::commands::options::Report;
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::io::oom;
use crate::io::output::{note, say};
use crate::io::trouble::Trouble;

/// How long a program may take to come to where it gets stuck; it takes two seconds at most.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How much of a program's complaint is shown.
const MAX_COMPLAINT: i64 = 2000;
/// How long it may take to end until the program sleeps; it does so at once on an idle machine.
const ASLEEP_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks at whether it sleeps.
const ASLEEP_POLL: Duration = Duration::from_millis(10);

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Which sample program
    #[arg(value_parser = names(), hide_possible_values = true, conflicts_with = "lists")]
    name: Option<String>,
    /// List the sample programs
    #[arg(long = "list")]
    lists: bool,
    /// Keep the program running and print its process id
    #[arg(long = "keep", conflicts_with = "lists")]
    is_kept: bool,
    /// The Python interpreter to run it with [default: python3]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    #[command(flatten)]
    pub report: Report,
}

/// A sample program.
struct Scenario {
    name: &'static str,
    /// How long it stays by itself when it is ready, so that something has come of it.
    alone: Duration,
    about: &'static str,
    look_at: &'static str,
    source: &'static str,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "service",
        alone: Duration::ZERO,
        about: "a service with a silent peer, a lock never released, a swallowed cancellation",
        look_at: "the orders wait in Lock.acquire; refresh-prices holds that lock and waits for a \
                  peer that never answers.\naudit-log swallowed its cancellation and is still \
                  running (before Python 3.11 no trace of that is left).",
        source: include_str!("demo/service.py"),
    },
    Scenario {
        name: "blocked",
        alone: Duration::from_secs(1),
        about: "an event loop held by an ordinary function that waits for a socket",
        look_at: "the loop is blocked in update-rates, below it the call that waits for the \
                  socket.\nThe customers are ready to run and the heartbeat is overdue: nobody \
                  else can run.",
        source: include_str!("demo/blocked.py"),
    },
    Scenario {
        name: "cancel",
        alone: Duration::ZERO,
        about: "a shutdown that never ends: cancellations swallowed, stuck, shielded",
        look_at: "deliver was cancelled and is still running: its except clause swallowed it \
                  (before Python 3.11 no trace of that is left).\n\
                  relay and journal handle their CancelledError, and wait while they do.",
        source: include_str!("demo/cancel.py"),
    },
    Scenario {
        name: "lock",
        alone: Duration::ZERO,
        about: "two tasks that each hold the lock the other one wants, and their waiters",
        look_at: "ada-to-bob and bob-to-ada are in the second of two nested async with: each holds \
                  what the other wants.\nThe windows wait for either.",
        source: include_str!("demo/lock.py"),
    },
    Scenario {
        name: "crowd",
        alone: Duration::ZERO,
        about: "a healthy chat server with 1,000 guests, in a few lines",
        look_at: "3,001 tasks of four looks take four entries, each with its number.",
        source: include_str!("demo/crowd.py"),
    },
];

/// The names a program can be called by.
fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(SCENARIOS.iter().map(|scenario| scenario.name))
}

/// Runs the command.
///
/// # Errors
/// When there is no Python, the program does not come up, or it cannot be read.
pub fn run(options: &Demo, patience: &Patience) -> anyhow::Result<Outcome> {
    if options.lists {
        list()?;
        return Ok(Outcome::Done);
    }
    let name = options.name.as_deref().unwrap_or("service");
    let scenario = SCENARIOS
        .iter()
        .find(|scenario| scenario.name == name)
        .ok_or_else(|| Trouble::new(format!("no sample program {name}"), "aiospy demo --list"))?;

    let mut program = Program::start(scenario, options)?;
    let pid = program.wait_until_ready()?;
    thread::sleep(scenario.alone);
    wait_until_asleep(pid);
    note(format_args!("demo-{name}.py runs as process {pid}; aiospy dump {pid} says:"));
    say("");
    let done = dump::report(pid, &options.report, None, patience);
    if done.is_ok() {
        say("");
        for line in scenario.look_at.lines() {
            note(line);
        }
    }
    if options.is_kept {
        let folder = program.keep();
        note(format_args!("process {pid} goes on; to end it: kill {pid}"));
        note(format_args!("its source: {}", folder.join(file_name(scenario)).display()));
    }
    done.map(|_| Outcome::Done)
}

/// Waits until the main thread sleeps, and not just for a moment: it has told that it is ready
/// from a callback, which is not what there is to be seen.
fn wait_until_asleep(pid: i32) {
    let is_asleep = || {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") S "))
    };
    let mut looks = ASLEEP_WITHIN.as_millis() / ASLEEP_POLL.as_millis();
    let mut asleep = 0;
    while asleep < 3 && looks > 0 {
        asleep = if is_asleep() { asleep + 1 } else { 0 };
        looks -= 1;
        thread::sleep(ASLEEP_POLL);
    }
}

fn list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for scenario in &SCENARIOS {
        writeln!(out, "{:10}{}", scenario.name, scenario.about)?;
    }
    Ok(())
}

fn file_name(scenario: &Scenario) -> String {
    format!("demo-{}.py", scenario.name)
}

/// A sample program that runs. It ends when this value does, or when this process does: it reads
/// its standard input and ends with it.
struct Program {
    child: Child,
    /// Open as long as the program is to live.
    _stdin: Option<ChildStdin>,
    folder: Option<TempDir>,
    log: File,
    /// Set when program and folder are to stay.
    is_kept: Arc<AtomicBool>,
}

impl Program {
    fn start(scenario: &Scenario, options: &Demo) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("aiospy-")
            .tempdir()
            .context("can't make a folder for the sample program")?;
        let path = folder.path().join(file_name(scenario));
        std::fs::write(&path, scenario.source)
            .with_context(|| format!("can't write {}", path.display()))?;
        let log = folder.path().join("demo.log");
        let complaints = File::create(&log).context("can't write the program's log")?;

        let mut child = spawn(options, |python| {
            let mut command = Command::new(python);
            command.arg(&path).stdout(Stdio::piped()).stderr(complaints.try_clone()?);
            if options.is_kept {
                // Not in our process group: Ctrl-C is for us, not for it.
                command.arg("--keep").stdin(Stdio::null()).process_group(0);
            } else {
                command.stdin(Stdio::piped());
            }
            oom::spawn(&mut command)
        })?;
        let is_kept = Arc::default();
        clean_up_on_signal(folder.path().to_owned(), &child, &is_kept);
        let log = File::open(&log).context("can't read the program's log")?;
        Ok(Self { _stdin: child.stdin.take(), child, folder: Some(folder), log, is_kept })
    }

    /// Waits for the line `READY <pid>`.
    fn wait_until_ready(&mut self) -> anyhow::Result<i32> {
        let (sender, receiver) = mpsc::channel();
        if let Some(stdout) = self.child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Some(pid) = line.strip_prefix("READY ") {
                        // Nobody listens any more after the time is up.
                        let _ = sender.send(pid.trim().parse::<i32>());
                    }
                }
            });
        }
        let what = match receiver.recv_timeout(READY_WITHIN) {
            Ok(Ok(pid)) => return Ok(pid),
            Ok(Err(_)) => "did not print its process id".to_owned(),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                format!("did not come up within {} s", READY_WITHIN.as_secs())
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => match self.end() {
                Some(status) => format!("ended early ({status})"),
                None => "closed its output".to_owned(),
            },
        };
        let complaint = self.complaint();
        let last = complaint.lines().rev().find(|line| !line.trim().is_empty());
        let said = last.map(|line| format!(": {}", line.trim())).unwrap_or_default();
        Err(Trouble::new(
            format!("the sample program {what}{said}"),
            "--python with the path of a CPython 3.8 or newer",
        )
        .into())
    }

    /// How the program ended by itself, if it does so at once.
    fn end(&mut self) -> Option<ExitStatus> {
        for _ in 0..100 {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
        None
    }

    /// The end of what the program wrote to standard error.
    fn complaint(&mut self) -> String {
        let mut bytes = Vec::new();
        // Best effort: this is for an error message that stands without it.
        let _ =
            self.log.seek(SeekFrom::End(-MAX_COMPLAINT)).or_else(|_| self.log.rewind().map(|()| 0));
        let _ = self.log.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Lets the program and its source stay.
    fn keep(mut self) -> PathBuf {
        self.is_kept.store(true, Ordering::SeqCst);
        self.folder.take().map(TempDir::keep).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Without a folder it was kept.
        if self.folder.is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Ends the program and removes its folder when a signal ends this process, which drops nothing.
///
/// Called when the program has been started: it would inherit the blocked signals.
fn clean_up_on_signal(folder: PathBuf, program: &Child, is_kept: &Arc<AtomicBool>) {
    let is_kept = Arc::clone(is_kept);
    let program = i32::try_from(program.id()).map(Pid::from_raw);
    let ignored = ignored_signals();
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        if ignored >> (signal as i32 - 1) & 1 == 0 {
            signals.add(signal);
        }
    }
    // Threads that are started later block them too, so that they stay for the one that waits.
    if signals.thread_block().is_err() {
        return;
    }
    thread::spawn(move || {
        let Ok(signal) = signals.wait() else { return };
        if !is_kept.load(Ordering::SeqCst) {
            if let Ok(program) = program {
                let _ = kill(program, Signal::SIGKILL);
            }
            let _ = std::fs::remove_dir_all(&folder);
        }
        // Now as if nobody had waited for it.
        let _ = signals.thread_unblock();
        let _ = raise(signal);
    });
}

/// The signals that this process was told to ignore, as by `nohup` or a shell's `&`, by bits.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Starts the interpreter that was asked for, else the first one of the usual names.
fn spawn(options: &Demo, start: impl Fn(&Path) -> io::Result<Child>) -> anyhow::Result<Child> {
    if let Some(python) = &options.python {
        return start(python).map_err(|error| {
            let cause = format!("can't start {}: {error}", python.display());
            Trouble::new(cause, "--python with the path of a CPython 3.8 or newer").into()
        });
    }
    for python in ["python3", "python"] {
        match start(Path::new(python)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(child) => return Ok(child),
            Err(error) => return Err(error).with_context(|| format!("can't start {python}")),
        }
    }
    Err(Trouble::new("no python3 found", "--python with the path of a CPython 3.8 or newer").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_told_apart_and_tell_what_they_are() {
        for scenario in &SCENARIOS {
            assert!(scenario.source.starts_with("\"\"\""), "{}", scenario.name);
            assert!(scenario.about.len() < 80 && !scenario.about.ends_with('.'));
            assert!(scenario.look_at.lines().count() <= 2);
        }
        let mut names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
