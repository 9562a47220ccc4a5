//! Looks for Python processes, and at what each does, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use aiospy::memory::TimeLimit;
use aiospy::process::{Listed, pythons};
use aiospy::snapshot::{Depth, LoopState, Snapshot};
use aiospy::{Error, Inspector, Options};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Candidate, Seen};
use crate::report::text::{processes, words};

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
    let candidate = |it: Listed| {
        let (program, arguments) = it.cmdline.split_first()?;
        let program = program.rsplit('/').next().unwrap_or(program);
        let command = std::iter::once(program).chain(arguments.iter().map(String::as_str));
        Some(Candidate { pid: it.pid, command: command.collect::<Vec<_>>().join(" "), seen: None })
    };
    pythons().into_iter().filter_map(candidate).take(MAX_CANDIDATES).collect()
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
    let first = snapshot.telling_loop().or(snapshot.loops.first());
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

fn other(error: &Error) -> Seen {
    Seen::Other(processes::unread(error))
}
