//! Several processes read at once, each with a deadline of its own: what one of them does, or how
//! long it takes, changes nothing for the others.
//!
//! Each is looked at once first, by few threads: reading keeps a processor busy, and who has to share
//! that with many others is late for nothing. One that takes long does not hold up those behind it.
//! Where a second look can tell more it is taken by many threads, for most of its time is spent on
//! waiting. The memory that there is for snapshots is shared out among them; what did not fit into
//! its share is read once more when the others are done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use super::look_and_wait;
use crate::error::{Error, Result};
use crate::explain::Options;
use crate::memory::TimeLimit;
use crate::process::{Target, below};
use crate::session::{Inspector, share_of_memory};
use crate::snapshot::{Child, Loop, LoopState, Process, Snapshot, Verdict};

/// How many are looked at once by at a time, as far as none takes long.
const READING: usize = 4;
/// How many are read at once at most. Each takes some descriptors, of which there are 1,024 as a rule.
const AT_ONCE: usize = 32;
/// From when on one takes long, and the next is begun without it.
const LONG: Duration = Duration::from_millis(250);
/// How often it is looked whether one is past its deadline.
const STEP: Duration = Duration::from_millis(50);
/// Processes below one; a server with more workers was never seen.
const MAX_BELOW: usize = 4096;
/// Characters of a command line that are kept of a child.
const MAX_COMMAND: usize = 200;

/// How each of several processes is read.
#[derive(Debug, Clone)]
pub struct How {
    /// What is read. The memory is that for all of them together.
    pub options: Options,
    /// The most looks that conclusions rest on; none, where there are to be none.
    pub looks: u8,
    /// For how long sampling goes on while something is undecided.
    pub wait: Duration,
    /// How long one reading of one of them may take.
    pub timeout: Duration,
    /// Ends the waits of all when it is set.
    pub stop: Arc<AtomicBool>,
}

/// What came of reading one process.
#[derive(Debug)]
pub struct Looked {
    /// The process; as far as it shows from outside where it could not be read.
    pub process: Process,
    /// What was read.
    pub read: Result<Snapshot>,
    /// That it is not all, because the time was over.
    pub timed_out: Option<Error>,
}

impl Looked {
    /// Its id as we see it.
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Whether more than one look may tell something else: all is well only where nothing was found
    /// and nothing is in doubt.
    fn needs_another_look(&self) -> bool {
        self.read.as_ref().is_ok_and(|snapshot| {
            snapshot.has_loop_to_judge()
                && (snapshot.verdict != Some(Verdict::Ok)
                    || snapshot.findings.as_ref().is_none_or(|found| !found.is_empty())
                    || snapshot.loops.iter().any(Loop::is_of_unknown_age))
        })
    }

    /// Whether nothing is to be said of it: it runs no Python, or has ended.
    pub fn is_no_python(&self) -> bool {
        matches!(self.read, Err(Error::NotPython { .. })) || self.has_ended()
    }

    /// Whether it has ended, before it was read or while it was.
    pub fn has_ended(&self) -> bool {
        matches!(self.read, Err(Error::NoSuchProcess { .. } | Error::TargetGone { .. }))
    }

    /// The same as one of the processes below another.
    pub fn as_child(&self) -> Child {
        let command = self.process.cmdline.join(" ").chars().take(MAX_COMMAND).collect();
        let known = self.read.as_ref().ok();
        let event_loop = known.and_then(Snapshot::telling_loop);
        Child {
            pid: self.pid(),
            command,
            has_loops: match &self.read {
                Ok(snapshot) => Some(snapshot.has_loop_to_judge()),
                Err(Error::NoAsyncio { .. }) => Some(false),
                Err(_) => None,
            },
            state: event_loop.and_then(|it| it.state),
            elapsed: event_loop.and_then(|it| it.iteration.as_ref()?.elapsed),
        }
    }
}

impl Snapshot {
    /// The loop of the program that says most about how it is: a blocked one, if there is one.
    pub fn telling_loop(&self) -> Option<&Loop> {
        let rank = |it: &&Loop| match it.state {
            Some(LoopState::Blocked) => 0,
            Some(LoopState::Running) => 1,
            Some(LoopState::Polling) => 2,
            _ => 3,
        };
        self.loops.iter().filter(|it| it.may_run() && !self.only_serves(it)).min_by_key(rank)
    }
}

/// Processes with those below them, each once: those asked about first.
pub fn with_those_below(pids: &[i32]) -> Vec<i32> {
    let mut all = pids.to_vec();
    let mut seen: FxHashSet<i32> = pids.iter().copied().collect();
    all.extend(pids.iter().flat_map(|pid| below(*pid, MAX_BELOW)).filter(|pid| seen.insert(*pid)));
    all
}

/// Reads the processes below one that run Python.
pub fn look_below(pid: i32, how: &How) -> Vec<Looked> {
    let mut looked = look_at(&below(pid, MAX_BELOW), how);
    looked.retain(|it| !it.is_no_python());
    looked
}

/// Reads several processes, and gives what came of it in their order.
pub fn look_at(pids: &[i32], how: &How) -> Vec<Looked> {
    let most = how.options.max_memory;
    let share = |among: usize| Some(share_of_memory(most, among.min(AT_ONCE)));
    let mut looked = read_each(pids, how, share(pids.len()));
    // What was cut for the others' sake: they are done.
    let is_cut = |it: &Looked| it.read.as_ref().is_ok_and(|snapshot| snapshot.cut.is_some());
    let again: Vec<i32> = looked.iter().filter(|it| is_cut(it)).map(Looked::pid).collect();
    if pids.len() > 1 && !again.is_empty() {
        renew(&mut looked, read_each(&again, how, share(again.len())));
    }
    looked
}

fn read_each(pids: &[i32], how: &How, max_memory: Option<u64>) -> Vec<Looked> {
    let mut each = how.clone();
    each.options.max_memory = max_memory;
    let once = How { looks: each.looks.min(1), wait: Duration::ZERO, ..each.clone() };
    let mut looked = read_by(READING, pids, &once);
    let again: Vec<i32> = match (each.looks, each.wait.is_zero()) {
        (0 | 1, true) => Vec::new(),
        _ => looked.iter().filter(|it| it.needs_another_look()).map(Looked::pid).collect(),
    };
    renew(&mut looked, read_by(AT_ONCE, &again, &each));
    looked
}

/// Puts what was read again of some of them in the place of what was read before.
fn renew(looked: &mut [Looked], again: Vec<Looked>) {
    for again in again {
        let known = looked.iter_mut().find(|it| it.pid() == again.pid());
        // What was seen of one that has ended meanwhile stays true.
        if let Some(known) = known.filter(|_| again.read.is_ok()) {
            *known = again;
        }
    }
}

/// The same by so many threads.
fn read_by(threads: usize, pids: &[i32], how: &How) -> Vec<Looked> {
    let each = how.clone();
    let answers = ask_each(threads, pids, move |pid, limit| look_at_one(pid, &each, limit));
    let answers = pids.iter().zip(answers);
    let looked = |(&pid, answer): (&i32, Option<Looked>)| {
        answer.unwrap_or_else(|| {
            // Nothing more is asked of one that never answered.
            let process = Process { pid, ..Process::default() };
            let read = Err(Error::TimedOut { pid, limit: how.timeout });
            Looked { process, read, timed_out: None }
        })
    };
    answers.map(looked).collect()
}

fn look_at_one(pid: i32, how: &How, limit: &TimeLimit) -> Looked {
    limit.begin(how.timeout);
    let goes_on = &mut |_| !how.stop.load(Ordering::Relaxed);
    let read = Inspector::attach_within(pid, limit).and_then(|mut inspector| {
        let snapshot = match how.looks {
            0 => inspector.snapshot(&how.options)?,
            looks => look_and_wait(&mut inspector, &how.options, looks, how.wait, goes_on)?,
        };
        Ok((snapshot, inspector.timed_out()))
    });
    match read {
        // Of a thread's id it is the process that was read.
        Ok((snapshot, timed_out)) => {
            Looked { process: snapshot.process.clone(), read: Ok(snapshot), timed_out }
        }
        Err(error) => {
            let outside = Target::open(pid).map(|target| target.process());
            let process = outside.unwrap_or(Process { pid, ..Process::default() });
            Looked { process, read: Err(error), timed_out: None }
        }
    }
}

/// A reading that is under way.
struct UnderWay {
    began: Instant,
    deadline: TimeLimit,
    /// Whether another was begun because it takes long.
    is_overtaken: bool,
}

/// Asks about each process, by so many threads at first. For one that takes long there is another
/// thread; who has not answered when its time is over is left behind with its thread, and `None`.
fn ask_each<T: Send + 'static>(
    threads: usize,
    pids: &[i32],
    ask: impl Fn(i32, &TimeLimit) -> T + Send + Sync + 'static,
) -> Vec<Option<T>> {
    let queue: VecDeque<(usize, i32)> = pids.iter().copied().enumerate().collect();
    let queue = Arc::new(Mutex::new(queue));
    let under_way: Arc<Mutex<BTreeMap<usize, UnderWay>>> = Arc::default();
    let ask = Arc::new(ask);
    let start = |answers: Sender<(usize, T)>| {
        let (queue, under_way) = (Arc::clone(&queue), Arc::clone(&under_way));
        let ask = Arc::clone(&ask);
        let work = move || {
            loop {
                // In a statement of its own: the queue is not held while one is read.
                let next = locked(&queue).pop_front();
                let Some((at, pid)) = next else { return };
                let deadline = TimeLimit::default();
                let reading = UnderWay {
                    began: Instant::now(),
                    deadline: deadline.clone(),
                    is_overtaken: false,
                };
                locked(&under_way).insert(at, reading);
                let answer = ask(pid, &deadline);
                // Nobody waits for it any more, and another has taken our place.
                if locked(&under_way).remove(&at).is_none() || answers.send((at, answer)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("read".to_owned()).spawn(work).is_ok()
    };
    let (answers, answered) = channel();
    let started = pids.iter().take(threads).filter(|_| start(answers.clone())).count();
    if started == 0 {
        // No thread to be had: one after the other, and as long as it takes.
        return pids.iter().map(|pid| Some(ask(*pid, &TimeLimit::default()))).collect();
    }
    let mut found: Vec<Option<T>> = pids.iter().map(|_| None).collect();
    let mut open = pids.len();
    while open > 0 {
        match answered.recv_timeout(STEP) {
            Ok((at, answer)) => {
                if let Some(place) = found.get_mut(at) {
                    *place = Some(answer);
                }
                open -= 1;
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let mut under_way = locked(&under_way);
        let before = under_way.len();
        under_way.retain(|_, it| !it.deadline.is_exceeded());
        let left_behind = before - under_way.len();
        open = open.saturating_sub(left_behind);
        let room = AT_ONCE.saturating_sub(under_way.len());
        let slow = |it: &&mut UnderWay| !it.is_overtaken && it.began.elapsed() >= LONG;
        let slow = under_way.values_mut().filter(slow).take(room);
        let overtaken = slow.map(|it| it.is_overtaken = true).count();
        drop(under_way);
        (0..left_behind + overtaken).for_each(|_| _ = start(answers.clone()));
    }
    found
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_never_answers_keeps_nobody_else_waiting() {
        // More of them than are asked at once, at both ends of the queue.
        let pids: Vec<i32> = (0..200).collect();
        let is_stuck = |pid: i32| pid < 40 || pid == 199;
        let began = Instant::now();
        let answers = ask_each(READING, &pids, move |pid, limit| {
            limit.begin(Duration::from_millis(if is_stuck(pid) { 20 } else { 60_000 }));
            if is_stuck(pid) {
                // As a read that blocks in the kernel.
                std::thread::sleep(Duration::from_secs(3600));
            }
            pid * 2
        });
        for (pid, answer) in pids.into_iter().zip(answers) {
            assert_eq!(answer, (!is_stuck(pid)).then_some(pid * 2), "{pid}");
        }
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn each_has_an_answer_of_its_own() {
        let own = i32::try_from(std::process::id()).unwrap();
        let none = i32::MAX;
        let how = How {
            options: Options::default(),
            looks: 1,
            wait: Duration::ZERO,
            timeout: Duration::from_secs(10),
            stop: Arc::default(),
        };
        let looked = look_at(&[none, own], &how);
        let [gone, python] = &looked[..] else { panic!("{looked:?}") };
        assert!(gone.has_ended() && gone.pid() == none);
        assert!(matches!(python.read, Err(Error::NotPython { .. })), "{python:?}");
        assert!(python.is_no_python() && !python.process.cmdline.is_empty());
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
        assert_eq!(python.process.parent, Some(parent));
        assert_eq!(python.as_child().has_loops, None);
        assert!(look_at(&[], &how).is_empty());
    }
}
