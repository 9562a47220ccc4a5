//! Looks for Python processes, and at what each does, on a thread of its own.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use aiospy::memory::TimeLimit;
use aiospy::snapshot::{Depth, LoopState, Snapshot};
use aiospy::{Error, Inspector, Options};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Candidate, Seen};
use crate::report::text::words;

/// How often processes are looked for.
const EVERY: Duration = Duration::from_secs(2);
/// How long reading one process may take, and how long it is waited for.
const TIMEOUT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether it is over.
const STEP: Duration = Duration::from_millis(50);
/// At most so many are looked at; more nobody can choose from.
const MAX_CANDIDATES: usize = 1000;

/// A search that goes on until it is dropped.
pub struct Scanning {
    is_over: Arc<AtomicBool>,
}

impl Scanning {
    /// Begins one that tells what it has found as often as there is news.
    pub fn start<M: Send + 'static>(
        tell: Sender<M>,
        wrap: impl Fn(Vec<Candidate>) -> M + Send + 'static,
    ) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&is_over);
        let thread = std::thread::Builder::new().name("scan".to_owned());
        // Without a thread there is no list, and that is what the screen shows.
        let _ = thread.spawn(move || scan(&flag, &|found| tell.send(wrap(found)).is_ok()));
        Self { is_over }
    }
}

impl Drop for Scanning {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn scan(is_over: &AtomicBool, tell: &dyn Fn(Vec<Candidate>) -> bool) {
    let mut looker = Looker::start();
    // Those that blocked who read them.
    let mut silent: FxHashSet<i32> = FxHashSet::default();
    let mut is_first = true;
    loop {
        let mut found = candidates();
        let pids: FxHashSet<i32> = found.iter().map(|it| it.pid).collect();
        silent.retain(|pid| pids.contains(pid));
        looker.keep(pids);
        // What they are is there at once, what they do follows.
        if std::mem::take(&mut is_first) && !tell(found.clone()) {
            return;
        }
        for candidate in &mut found {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let pid = candidate.pid;
            candidate.seen = Some(if silent.contains(&pid) {
                Seen::Other("no answer".to_owned())
            } else {
                looker.look(pid).unwrap_or_else(|| {
                    silent.insert(pid);
                    looker = Looker::start();
                    Seen::Other("no answer".to_owned())
                })
            });
        }
        found.sort_by_key(|it| (!matches!(it.seen, Some(Seen::Asyncio { .. })), it.pid));
        if !tell(found) {
            return;
        }
        for _ in 0..EVERY.as_millis() / STEP.as_millis() {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(STEP);
        }
    }
}

/// A thread that looks at processes; at one that never answers it is left behind.
struct Looker {
    asks: Sender<Ask>,
    answers: Receiver<Seen>,
}

/// What it is asked.
enum Ask {
    /// What a process does.
    Look(i32),
    /// To forget all but these.
    Keep(FxHashSet<i32>),
}

impl Looker {
    fn start() -> Self {
        let (asks, asked) = channel();
        let (sender, answers) = channel();
        let work = move || {
            let mut known: FxHashMap<i32, Option<Inspector>> = FxHashMap::default();
            let limit = TimeLimit::default();
            for ask in asked {
                match ask {
                    Ask::Keep(pids) => known.retain(|pid, _| pids.contains(pid)),
                    Ask::Look(pid) => {
                        limit.begin(TIMEOUT);
                        if sender.send(look(pid, &limit, &mut known)).is_err() {
                            return;
                        }
                    }
                }
            }
        };
        // Without a thread there is no answer, and that is what the list says.
        let _ = std::thread::Builder::new().name("look".to_owned()).spawn(work);
        Self { asks, answers }
    }

    fn keep(&self, pids: FxHashSet<i32>) {
        let _ = self.asks.send(Ask::Keep(pids));
    }

    /// What a process does; `None` when there is no answer in time.
    fn look(&self, pid: i32) -> Option<Seen> {
        self.asks.send(Ask::Look(pid)).ok()?;
        self.answers.recv_timeout(PATIENCE).ok()
    }
}

/// The processes that run Python, as far as that can be seen without attaching to them.
fn candidates() -> Vec<Candidate> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<i32> = pids.filter(|pid| *pid != own).collect();
    pids.sort_unstable();
    let candidate = |pid: i32| {
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<String> = cmdline
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let (program, arguments) = words.split_first()?;
        if !is_python(pid, program) {
            return None;
        }
        let program = program.rsplit('/').next().unwrap_or(program);
        let command = std::iter::once(program).chain(arguments.iter().map(String::as_str));
        Some(Candidate { pid, command: command.collect::<Vec<_>>().join(" "), seen: None })
    };
    pids.into_iter().filter_map(candidate).take(MAX_CANDIDATES).collect()
}

fn is_python(pid: i32, program: &str) -> bool {
    let is_named = |path: &str| path.rsplit('/').next().unwrap_or(path).contains("python");
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let exe = exe.as_ref().and_then(|path| path.to_str()).unwrap_or_default();
    // One under another name maps `libpython3.12.so`, or modules such as
    // `_asyncio.cpython-312-x86_64-linux-gnu.so`.
    let has_modules = || {
        let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
        String::from_utf8_lossy(&maps).lines().any(is_named)
    };
    is_named(exe) || is_named(program) || has_modules()
}

fn look(pid: i32, limit: &TimeLimit, known: &mut FxHashMap<i32, Option<Inspector>>) -> Seen {
    let inspector = known.entry(pid).or_default();
    if inspector.is_none() {
        match Inspector::attach_within(pid, limit) {
            Ok(attached) => *inspector = Some(attached),
            Err(error) => return other(&error),
        }
    }
    let Some(attached) = inspector else { return Seen::Other(String::new()) };
    let mut options = Options::default();
    options.depth = Depth::Tasks;
    let taken = attached.snapshot(&options);
    match attached.timed_out().map_or(taken, Err) {
        Ok(snapshot) => seen(&snapshot),
        Err(error) => {
            // It may have replaced its program: the next time anew.
            *inspector = None;
            other(&error)
        }
    }
}

fn seen(snapshot: &Snapshot) -> Seen {
    let rank = |state: Option<LoopState>| match state {
        Some(LoopState::Blocked) => 0,
        Some(LoopState::Running) => 1,
        Some(LoopState::Polling) => 2,
        _ => 3,
    };
    let first = snapshot.loops.iter().min_by_key(|of| rank(of.state));
    let more = match snapshot.loops.len() {
        0 | 1 => String::new(),
        loops => format!(" (1 of {loops})"),
    };
    Seen::Asyncio {
        python: snapshot.process.python.clone().unwrap_or_default(),
        state: first.map_or("no loop".to_owned(), |of| {
            let (_, state) = words::loop_state(of);
            format!("{state}{more}")
        }),
        is_blocked: first.is_some_and(|of| of.state == Some(LoopState::Blocked)),
        tasks: snapshot.tasks.len(),
    }
}

/// In a word or two why there is nothing to be seen.
fn other(error: &Error) -> Seen {
    Seen::Other(match error {
        Error::NotPermitted { .. } | Error::Proc { .. } => "not permitted".to_owned(),
        Error::NoAsyncio { .. } => "no asyncio".to_owned(),
        Error::NotPython { .. } => "no Python".to_owned(),
        Error::UnsupportedVersion { version, .. } => format!("Python {version}: not supported"),
        Error::NotInitialized { phase, .. } => (*phase).to_owned(),
        Error::TimedOut { .. } => "too slow to read".to_owned(),
        Error::NoSuchProcess { .. } | Error::TargetGone { .. } => "ended".to_owned(),
        _ => "not to be read".to_owned(),
    })
}
