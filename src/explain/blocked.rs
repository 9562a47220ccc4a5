//! What keeps the thread of a blocked loop, and who would have to act for it to go on.

use rustc_hash::{FxHashMap, FxHashSet};

use super::blocking::{Evidence, blocking};
use crate::asyncio::{Reading, ThreadReading};
use crate::known::Callback;
use crate::layout::{HAS_PARKED, PARKING_SINCE, THREAD_LOCK};
use crate::memory::Address;
use crate::process::Syscalls;
use crate::process::{Awaited, Wait};
use crate::python::frame::RawFrame;
use crate::python::object::{Kind, MAX_ITEMS, Reader};
use crate::python::runtime::Located;
use crate::snapshot::{
    Blocking, BlockingKind, Loop, LoopState, Task, Thread, ThreadState, Waiting,
};

/// Threads that wait for one another, one after the other.
const MAX_HOPS: usize = 16;
/// Frames of the program's own on top of a stack that may name the lock their thread waits for.
const FRAMES_WITH_LOCK: usize = 4;
/// Global variables of one module that are searched for it.
const MAX_GLOBALS: u64 = 4096;

/// Who holds a lock of `threading`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Task(Address),
    Thread(usize),
}

/// Says of each blocked loop what keeps its thread.
pub(crate) fn explain_blocked(
    reader: &Reader<'_>,
    located: &Located,
    loops: &mut [Loop],
    (threads, tasks): (&[Thread], &[Task]),
    calls: &Syscalls,
    (reading, chains): (&Reading, &[&[RawFrame]]),
) {
    for facts in loops.iter_mut().filter(|facts| facts.state == Some(LoopState::Blocked)) {
        let thread = threads.iter().find(|thread| thread.tid == facts.thread);
        let Some((thread, tid)) = thread.zip(facts.thread) else { continue };
        let read = reading.threads.iter().position(|read| read.tid == facts.thread);
        let state = read.and_then(|at| reading.threads.get(at)).map(|read| read.state.interpreter);
        let evidence = evidence(reader, located, state, thread, calls.get(&tid));
        let mut blocking = blocking(thread, evidence);
        let waits = Waits { reader, reading, threads, tasks };
        let awaited = calls.get(&tid).and_then(|call| call.awaited.as_ref());
        if blocking.kind == BlockingKind::Lock && thread.waiting_on.is_none() {
            match read.and_then(|at| lock_holder(reader, reading, chains, at, awaited)) {
                Some(Holder::Task(task)) => blocking.task = Some(task),
                Some(Holder::Thread(thread)) => {
                    blocking.thread = reading.threads.get(thread).and_then(|t| t.tid);
                }
                None => {}
            }
        }
        waits.follow(thread, facts.id, &mut blocking);
        facts.blocking = Some(blocking);
    }
}

/// What the system and the interpreter of a thread tell of what keeps it.
pub(crate) fn evidence<'w>(
    reader: &Reader<'_>,
    located: &Located,
    interpreter: Option<Address>,
    thread: &Thread,
    wait: Option<&'w Wait>,
) -> Evidence<'w> {
    let waits_for_gil = match wait.and_then(|wait| wait.awaited.as_ref()) {
        Some(Awaited::Futex { address, .. }) => Some(located.is_in_runtime(*address)),
        _ => None,
    };
    let may_collect = thread.state == Some(ThreadState::Running) || waits_for_gil == Some(true);
    let interpreter = interpreter.filter(|_| may_collect);
    let collecting = interpreter.and_then(|at| reader.collecting(located.runtime, at));
    Evidence { wait, waits_for_gil, collecting }
}

/// What waits for what.
struct Waits<'a> {
    reader: &'a Reader<'a>,
    reading: &'a Reading,
    threads: &'a [Thread],
    tasks: &'a [Task],
}

impl Waits<'_> {
    /// Finds out which task, thread and in the end which loop have to act.
    fn follow(&self, thread: &Thread, blocked: Address, blocking: &mut Blocking) {
        let start = thread.tid;
        let mut next = Some(thread);
        for _ in 0..MAX_HOPS {
            let Some(thread) = next else { break };
            if let Some(waiting) = &thread.waiting_on {
                blocking.task = blocking.task.or(waiting.tasks().first().copied());
                blocking.thread = blocking.thread.or(waiting.thread());
                if let Some(loop_id) = waiting.object.and_then(|future| self.will_start(future)) {
                    blocking.loop_id = Some(loop_id);
                }
            }
            if blocking.task.is_some() || blocking.loop_id.is_some() {
                break;
            }
            let tid = thread.waiting_on.as_deref().and_then(Waiting::thread);
            let tid = tid.or(blocking.thread).filter(|&tid| thread.tid != Some(tid));
            if tid.is_some() && tid == start {
                // It comes round: each of them waits for the next one.
                blocking.loop_id = Some(blocked);
                break;
            }
            next = tid.and_then(|tid| self.threads.iter().find(|other| other.tid == Some(tid)));
        }
        let of_task = |id| self.tasks.iter().find(|task| task.id == id)?.loop_id;
        blocking.loop_id = blocking.loop_id.or_else(|| of_task(blocking.task?));
    }

    /// The loop in whose ready queue the call is that will start the task which resolves a
    /// `concurrent.futures.Future`.
    ///
    /// `run_coroutine_threadsafe.<locals>.callback` has cells `coro`, `future` and `loop`.
    fn will_start(&self, future: Address) -> Option<Address> {
        let reader = self.reader;
        let facts = self.reading.loops.iter().find(|facts| {
            facts.ready_callbacks.iter().any(|&callback| {
                reader.is_kind(callback, Kind::Function)
                    && reader
                        .function_name(callback)
                        .is_ok_and(|name| Callback::of(&name) == Some(Callback::StartThreadsafe))
                    && reader.closure(callback, "future") == Ok(Some(future))
            })
        })?;
        Some(facts.at)
    }
}

/// Who holds the lock of `threading` that a thread waits for.
///
/// The kernel knows a word in memory. A lock that somebody has entered by `with`, that the frames on
/// top of the waiting stack refer to, and that is not known to be another one by this word, is it.
fn lock_holder(
    reader: &Reader<'_>,
    reading: &Reading,
    chains: &[&[RawFrame]],
    waiter: usize,
    awaited: Option<&Awaited>,
) -> Option<Holder> {
    let mut held: FxHashMap<Address, Holder> = FxHashMap::default();
    let mut note = |frames: &[RawFrame], holder, fits: &dyn Fn(Address, &str) -> bool| {
        for frame in frames {
            for manager in reader.held(frame).unwrap_or_default() {
                if reader.class_of(manager).is_ok_and(|class| fits(manager, &class.name)) {
                    held.entry(manager).or_insert(holder);
                }
            }
        }
    };
    let waited_for = |lock| is_waited_for(reader, lock, awaited);
    let of_others = |lock, class: &str| is_lock(class) && waited_for(lock) != Some(false);
    let waiting = reading.threads.get(waiter)?;
    let stack = &waiting.stack.frames;
    let on_stack: FxHashSet<Address> = stack.iter().map(|frame| frame.generator).collect();
    // A signal's handler may want what the code that it came upon holds. An `RLock` is given to its
    // own thread, and another lock than the one that is waited for is no matter: so it has to be
    // known which it is.
    let below = stack.split_last().map(|(_, below)| below).unwrap_or_default();
    note(below, Holder::Thread(waiter), &|lock, class| {
        class == "_thread.lock" && waited_for(lock) == Some(true)
    });
    for (task, chain) in reading.tasks.iter().zip(chains) {
        if !task.coro.is_some_and(|coro| on_stack.contains(&coro)) {
            note(chain, Holder::Task(task.at), &of_others);
        }
    }
    for (at, thread) in reading.threads.iter().enumerate() {
        if at != waiter {
            note(&thread.stack.frames, Holder::Thread(at), &of_others);
        }
    }
    let found = held.keys().copied().collect();
    let lock = named_lock(reader, waiting, &found)?;
    held.get(&lock).copied()
}

/// Whether a lock is the one at whose word a thread sleeps; `None` where that cannot be told.
fn is_waited_for(reader: &Reader<'_>, lock: Address, awaited: Option<&Awaited>) -> Option<bool> {
    let Some(Awaited::Futex { address, .. }) = awaited else { return None };
    let class = reader.class_of(lock).ok()?;
    if !matches!(&*class.name, "_thread.lock" | "_thread.RLock") {
        return None;
    }
    let at = lock.offset(THREAD_LOCK);
    if reader.layout.minor >= PARKING_SINCE {
        return Some(reader.memory.u8(at).ok()? & HAS_PARKED != 0);
    }
    Some(reader.memory.pointer(at).ok()? == *address)
}

fn is_lock(class: &str) -> bool {
    // `_thread.lock` and `_thread.RLock`, in C; `threading.Condition` and `Semaphore` in Python.
    matches!(class, "_thread.lock" | "_thread.RLock" | "Condition" | "Semaphore" | "_RLock")
}

/// Which of the given locks the frames on top of a stack refer to: by a variable, an attribute of
/// one, or a global variable.
fn named_lock(
    reader: &Reader<'_>,
    thread: &ThreadReading,
    locks: &FxHashSet<Address>,
) -> Option<Address> {
    if locks.is_empty() {
        return None;
    }
    let frames = thread.stack.frames.iter().rev().take(FRAMES_WITH_LOCK);
    frames.into_iter().find_map(|frame| {
        let locals = reader.locals(frame).unwrap_or_default();
        let values = || locals.iter().map(|&(_, value)| value);
        let attributes = || {
            values().flat_map(|owner| {
                let is_object = reader.is_kind(owner, Kind::Other);
                let items = is_object.then(|| reader.attributes(owner, MAX_ITEMS));
                items.and_then(Result::ok).unwrap_or_default().into_iter().map(|(_, value)| value)
            })
        };
        let globals = || {
            let globals = reader.globals(frame).and_then(|dict| reader.dict(dict, MAX_GLOBALS));
            globals.unwrap_or_default().into_iter().map(|(_, value)| value)
        };
        values()
            .find(|value| locks.contains(value))
            .or_else(|| attributes().find(|value| locks.contains(value)))
            .or_else(|| globals().find(|value| locks.contains(value)))
    })
}
