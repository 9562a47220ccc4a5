//! Light samples: where each loop is now, taken up to a thousand times a second.
//!
//! A thread that was asleep at the last glance and has not been scheduled since is where it was:
//! that costs two small files of `/proc` and no memory is read. Of any other the frame is looked
//! at in which its loop's iterations run, some hundred bytes: reading takes from a busy target
//! the lines of its cache that are read, and a thousand times a second that counts. What a
//! callback is at, for which the stack is walked, is looked at only when it has run for some
//! milliseconds.

mod began;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustc_hash::FxHashMap;

pub(super) use self::began::Held;
use self::began::{Beginnings, UvTime};
use super::Inspector;
use super::reading::tid_of;
use crate::asyncio::{Position, RunOnceFrame};
use crate::error::Result;
use crate::explain::{blocked::evidence, blocking::blocking, loops::handle_in_words};
use crate::memory::{Address, ReadMemory as _};
use crate::process::{ThreadActivity, Wait};
use crate::python::frame::{RawFrame, Stack};
use crate::python::object::Reader;
use crate::python::runtime::ThreadState as State;
use crate::snapshot::{
    BlockingKind, Frame, Glance, LoopGlance, Occupation, Phase, Processor, Thread, ThreadState,
    below_loop,
};

/// How long the threads that run loops are taken to be the same ones.
const FRESH: Duration = Duration::from_millis(200);
/// How often the stack of a busy uvloop thread is copied to find the coroutine that runs.
const FEW_TRIES: usize = 2;
/// From here on it is looked at what a callback does; no shorter one is a blocking callback.
const WORTH_A_LOOK: Duration = Duration::from_millis(4);

/// What keeps a thread whose cgroup is frozen.
const FROZEN: &str = "its cgroup is frozen";

/// A reading of a thread's times that took longer is of no one moment.
const PROMPT: Duration = Duration::from_millis(5);

/// What is kept from one glance to the next.
#[derive(Debug, Default)]
pub(super) struct Glances {
    threads: Vec<Watched>,
    read_at: Option<Instant>,
}

/// A thread that runs a loop.
#[derive(Debug)]
struct Watched {
    state: State,
    tid: Option<i32>,
    loop_at: Address,
    /// What libuv has of it, for uvloop.
    uv: Option<Uv>,
    /// Whether its times are the machine's; libuv's own always are.
    has_machine_clock: bool,
    /// The frame of its iterations, once it was found on the stack.
    run_once: Option<RunOnceFrame>,
    beginnings: Beginnings,
    last: Option<Last>,
    /// The thread's last sleep, which is looked up once.
    sleep: Option<Sleep>,
}

/// libuv's part of a loop.
#[derive(Debug, Clone, Copy)]
struct Uv {
    /// The descriptor it polls.
    backend_fd: i32,
    /// Where its time is.
    time: Address,
}

/// What a thread was seen at.
#[derive(Debug)]
struct Last {
    activity: Option<ThreadActivity>,
    glance: LoopGlance,
    /// Since when its callback may have run.
    since: Option<Duration>,
}

impl Last {
    /// Whether a glance shows the same callback, for all that is seen of it.
    fn is_same(&self, glance: &LoopGlance) -> bool {
        self.glance.began == glance.began
            && (self.glance.callback == glance.callback || glance.callback.is_none())
    }
}

/// What a thread sleeps in.
#[derive(Debug)]
struct Sleep {
    id: u64,
    wait: Option<Wait>,
    /// It may be stopped by a signal.
    state: Option<ThreadState>,
    /// It may be stopped with its cgroup.
    is_frozen: bool,
}

impl Inspector {
    /// Looks where each loop is, without its tasks.
    ///
    /// # Errors
    /// `TargetGone` when the process has ended or replaced its program; `NotInitialized` when its
    /// Python is ending.
    pub fn glance(&mut self) -> Result<Glance> {
        self.system.check_alive()?;
        self.note_turns();
        let taken_at = Timestamp::now();
        let at = self.system.monotonic_now()?;
        let is_fresh = self.glances.read_at.is_some_and(|read_at| read_at.elapsed() < FRESH);
        self.memory.clear();
        self.caches.begin_snapshot();
        let mut glances = std::mem::take(&mut self.glances);
        if !is_fresh || glances.threads.is_empty() {
            glances.threads = self.watched(glances.threads);
            glances.read_at = Some(Instant::now());
        }
        let mut loops = Vec::with_capacity(glances.threads.len());
        for watched in &mut glances.threads {
            // A stack that did not hold still does so the next time, most of the time.
            let glance = self.glance_at(watched).or_else(|| self.glance_at(watched));
            match glance {
                Some(glance) => loops.push(glance),
                // It may not run its loop any more.
                None => glances.read_at = None,
            }
        }
        self.glances = glances;
        Ok(Glance { taken_at, at, loops })
    }

    /// The threads that run loops, and which.
    pub(super) fn running_loops(&self) -> Vec<(State, Address)> {
        let reader = self.reader();
        let interpreters = reader.interpreters(self.located.runtime).unwrap_or_default();
        let states =
            interpreters.iter().flat_map(|it| reader.thread_states(it.at).unwrap_or_default());
        let running = states.filter_map(|state| Some((state, reader.running_loop(&state).ok()??)));
        running.filter(|(state, at)| !self.runs_nothing(&reader, state, *at)).collect()
    }

    /// The threads that run loops, with what is known of those that did before.
    fn watched(&self, before: Vec<Watched>) -> Vec<Watched> {
        let reader = self.reader();
        let mut known: FxHashMap<(Address, Address), Watched> =
            before.into_iter().map(|it| ((it.state.at, it.loop_at), it)).collect();
        let running = self.running_loops();
        let is_known = |(state, loop_at): &(State, Address)| {
            known.get(&(state.at, *loop_at)).is_some_and(|it| it.state.native_id == state.native_id)
        };
        let tids = if running.iter().all(is_known) { FxHashMap::default() } else { self.tids() };
        running
            .into_iter()
            .map(|(state, loop_at)| {
                let same = known.remove(&(state.at, loop_at));
                same.filter(|it| it.state.native_id == state.native_id).unwrap_or_else(|| {
                    let uv = || {
                        let time = reader.uv_time_at(loop_at)?;
                        let backend_fd = reader.event_loop(loop_at).ok()?.uv?.backend_fd;
                        Some(Uv { backend_fd, time })
                    };
                    Watched {
                        state,
                        tid: tid_of(&reader, &state, &tids),
                        loop_at,
                        uv: uv(),
                        has_machine_clock: reader.has_machine_clock(loop_at),
                        run_once: None,
                        beginnings: Beginnings::default(),
                        last: None,
                        sleep: None,
                    }
                })
            })
            .collect()
    }

    fn glance_at(&self, watched: &mut Watched) -> Option<LoopGlance> {
        let at = self.system.monotonic_now().ok()?;
        let activity = watched.tid.and_then(|tid| self.system.thread_activity(tid));
        let processor = activity.as_ref().and_then(|activity| self.processor(activity, at));
        if let Some(last) = &watched.last
            && let (Some(before), Some(now)) = (&last.activity, &activity)
            && before.did_not_run_until(now)
            && (last.glance.work.is_some() || !is_worth_a_look(&last.glance, last.since, at))
        {
            let glance = LoopGlance { at, read_by: at, processor, ..last.glance.clone() };
            watched.beginnings.note(&glance);
            return Some(glance);
        }
        let born = self.system.age().and_then(|age| at.checked_sub(age));
        let reader = self.reader();
        let light = if let Some(uv) = watched.uv {
            Some(uv_glance(&reader, watched, uv, at, activity.as_ref())?)
        } else {
            let position = watched.run_once.as_ref().and_then(|frame| reader.position(frame));
            position.map(|position| py_glance(watched, position, at, activity.as_ref()))
        };
        if let Some(light) = &light {
            let glance = watched.believe(self.timed(light.clone(), at)?, born)?;
            let glance = LoopGlance { processor, ..glance };
            let since = since(watched.last.as_ref(), &glance);
            if !is_worth_a_look(&glance, since, glance.read_by) {
                return Some(watched.keep(glance, since, activity));
            }
        }
        // What lasts may be a loop that is not there any more: asyncio's has its frame on the stack.
        let is_there = || reader.running_loop(&watched.state) == Ok(Some(watched.loop_at));
        if watched.uv.is_some() && !is_there() {
            return None;
        }
        let stack = reader.thread_stack(&watched.state, Some(watched.loop_at));
        let runs = if watched.uv.is_some() { Vec::new() } else { reader.iterations(&stack) };
        let run = runs.iter().rfind(|run| run.loop_at == watched.loop_at);
        if run.is_some() || stack.is_complete {
            let is_its = |frame: &&RawFrame| run.is_some_and(|run| run.frame == frame.at);
            let frame = stack.frames.iter().find(is_its);
            watched.run_once = frame.and_then(|frame| reader.run_once_frame(frame));
        }
        // A stack that did not hold still is no sign that the loop is not there any more.
        let light = light.filter(|_| watched.uv.is_some() || !stack.is_complete);
        let glance =
            run.map(|run| py_glance(watched, run.position, at, activity.as_ref())).or(light)?;
        let glance = watched.believe(self.timed(glance, at)?, born)?;
        let mut glance = LoopGlance { processor, ..glance };
        let since = since(watched.last.as_ref(), &glance);
        if is_worth_a_look(&glance, since, glance.read_by) {
            if let (Some(processor), Some(activity)) = (&mut glance.processor, &activity) {
                processor.sleeps = self.sleeps(activity);
            }
            let handle = runs.last().and_then(|run| run.handle);
            let last = watched.last.as_ref().filter(|last| last.is_same(&glance));
            let label = last.and_then(|last| last.glance.work.as_ref()?.label.clone());
            let label = label.or_else(|| label_of(&reader, watched, &stack));
            let work = self.work(&reader, watched, &stack, activity.as_ref(), handle);
            let work = Occupation { label, ..work };
            glance.work = Some(Arc::new(work));
        }
        Some(watched.keep(glance, since, activity))
    }

    /// What a thread has had of a processor by a reading of it that began at `at`; `None` where we
    /// were away ourselves meanwhile, so that nobody knows of which moment it is.
    pub(super) fn processor(&self, read: &ThreadActivity, at: Duration) -> Option<Processor> {
        let by = self.system.monotonic_now().ok()?;
        let (ran, waited) = (read.processor_time?, read.waiting_time?);
        let is_prompt = by.saturating_sub(at) <= PROMPT;
        is_prompt.then_some(Processor { at, ran, waited, sleeps: None })
    }

    /// How often a thread that is runnable has gone to sleep by itself.
    pub(super) fn sleeps(&self, read: &ThreadActivity) -> Option<u64> {
        if read.is_asleep() { None } else { self.system.sleeps(read.tid) }
    }

    /// A glance whose reading began at `at` and is over.
    fn timed(&self, glance: LoopGlance, at: Duration) -> Option<LoopGlance> {
        Some(LoopGlance { at, read_by: self.system.monotonic_now().ok()?, ..glance })
    }

    /// What the callback on a stack is at.
    fn work(
        &self,
        reader: &Reader<'_>,
        watched: &mut Watched,
        stack: &Stack,
        activity: Option<&ThreadActivity>,
        handle: Option<Address>,
    ) -> Occupation {
        let frames: Vec<Frame> = stack
            .frames
            .iter()
            .filter_map(|frame| reader.site(frame.code, frame.lasti, frame.qualname).ok())
            .map(|site| Frame { location: site.location, locals: None })
            .collect();
        let id = activity.and_then(ThreadActivity::sleep_id);
        if watched.sleep.as_ref().map(|sleep| sleep.id) != id {
            watched.sleep = id.zip(watched.tid).map(|(id, tid)| {
                let state = self.system.thread(tid).map(|facts| facts.state);
                // A frozen thread sleeps where it was, for all that is seen of it.
                let is_frozen = self.system.cgroup().frozen == Some(true);
                Sleep { id, wait: self.syscalls(&[tid]).remove(&tid), state, is_frozen }
            });
        }
        let sleep = watched.sleep.as_ref();
        let wait = sleep.and_then(|sleep| sleep.wait.as_ref());
        let is_frozen = sleep.is_some_and(|sleep| sleep.is_frozen);
        let halted = sleep.and_then(|sleep| sleep.state).filter(|state| state.is_halted());
        let asleep = if id.is_some() { ThreadState::Sleeping } else { ThreadState::Running };
        let thread = Thread {
            tid: watched.tid,
            state: Some(halted.unwrap_or(asleep)),
            syscall: wait.map(|wait| wait.syscall.clone()),
            frames,
            ..Thread::default()
        };
        let interpreter = Some(watched.state.interpreter);
        let told = blocking(&thread, evidence(reader, &self.located, interpreter, &thread, wait));
        let names = FxHashMap::default();
        // uvloop's handles are not on the Python stack: there the coroutine tells.
        let coroutine = || {
            let frame = stack.frames.iter().find(|frame| !frame.generator.is_null())?;
            let site = reader.site(frame.code, frame.lasti, frame.qualname).ok()?;
            Some(format!("coroutine {}", site.location.function))
        };
        Occupation {
            handle: handle
                .and_then(|handle| handle_in_words(reader, handle, &names))
                .or_else(coroutine),
            task: handle.and_then(|handle| reader.handle_task(handle)),
            stack: below_loop(&thread.frames)
                .iter()
                .map(|frame| Arc::clone(&frame.location))
                .collect(),
            // No line of the program is to blame for a signal from outside, or a freezer.
            place: told
                .frame
                .filter(|_| halted.is_none() && !is_frozen)
                .map(|frame| frame.location),
            kind: if is_frozen { BlockingKind::Unknown } else { told.kind },
            description: if is_frozen { FROZEN.to_owned() } else { told.description },
            peer: told.peer,
            label: None,
        }
    }
}

impl Watched {
    /// A glance as it can be believed, by what was seen before; `None` if it has to be taken again.
    fn believe(&mut self, glance: LoopGlance, born: Option<Duration>) -> Option<LoopGlance> {
        let last = self.last.as_ref().map(|last| &last.glance);
        self.beginnings.believe(glance, last, born, self.uv.is_some())
    }

    /// Keeps a glance for the next one.
    fn keep(
        &mut self,
        glance: LoopGlance,
        since: Option<Duration>,
        activity: Option<ThreadActivity>,
    ) -> LoopGlance {
        self.beginnings.note(&glance);
        self.last = Some(Last { activity, glance: glance.clone(), since });
        glance
    }
}

/// The request or job that the coroutine on a stack works for, if that still runs behind it.
fn label_of(reader: &Reader<'_>, watched: &Watched, stack: &Stack) -> Option<Arc<str>> {
    let coroutine = began::coroutine(reader, stack)?;
    let outer = stack.frames.iter().position(|frame| frame.generator == coroutine)?;
    let labels = reader.labels(stack.frames.get(outer..)?).ok()??;
    let now = reader.stack_within(watched.state.at, FEW_TRIES);
    let work = labels.work.filter(|_| began::coroutine(reader, &now) == Some(coroutine))?;
    Some(work.work.to_string().into())
}

/// Since when the callback may have run that a glance shows: since its ready phase began, or since
/// the loop was last seen at another.
fn since(last: Option<&Last>, glance: &LoopGlance) -> Option<Duration> {
    let Some(last) = last else { return glance.began };
    if last.is_same(glance) {
        last.since
    } else {
        glance.began.max(glance.began.map(|_| last.glance.at))
    }
}

/// Whether a callback has run long enough to be looked at.
fn is_worth_a_look(glance: &LoopGlance, since: Option<Duration>, at: Duration) -> bool {
    let lasts = since.map(|since| at.saturating_sub(since));
    glance.phase == Phase::Ready && lasts.is_none_or(|lasts| lasts >= WORTH_A_LOOK)
}

/// Of asyncio's own loops, from the variables of `_run_once`.
fn py_glance(
    watched: &mut Watched,
    position: Position,
    at: Duration,
    activity: Option<&ThreadActivity>,
) -> LoopGlance {
    let began = position.end_time.and_then(|time| {
        let known = Duration::try_from_secs_f64(time).ok().filter(|_| watched.has_machine_clock);
        known.or_else(|| Some(watched.beginnings.first_seen(time, at)))
    });
    LoopGlance {
        id: watched.loop_at,
        thread: watched.tid,
        at: Duration::ZERO,
        read_by: Duration::ZERO,
        phase: if began.is_some() { Phase::Ready } else { Phase::Select },
        began,
        wait: activity.filter(|_| began.is_none()).and_then(ThreadActivity::sleep_id),
        callback: position.index,
        total: position.total,
        processor: None,
        work: None,
    }
}

/// Of uvloop, from libuv's clock, the thread's system call, and the outermost coroutine on its
/// stack.
///
/// One that was woken and has not come to its next iteration counts as polling still.
fn uv_glance(
    reader: &Reader<'_>,
    watched: &mut Watched,
    uv: Uv,
    at: Duration,
    activity: Option<&ThreadActivity>,
) -> Option<LoopGlance> {
    let is_polling = activity.is_some_and(|now| now.polls(uv.backend_fd));
    let coroutine = || began::coroutine(reader, &reader.stack_within(watched.state.at, FEW_TRIES));
    let coroutine = if is_polling { None } else { coroutine() };
    let began = || {
        // After the stack: when a coroutine runs, its iteration has its time.
        let mut time = [0; 8];
        reader.memory.source().read(uv.time, &mut time).ok()?;
        Some(Duration::from_millis(u64::from_le_bytes(time)))
    };
    let began = if is_polling { None } else { Some(began()?) };
    let last = watched.last.as_ref().map(|last| (&last.glance, last.activity.as_ref()));
    let began = match began {
        Some(began) => {
            let seen = UvTime { at, began, activity, runs_coroutine: coroutine.is_some() };
            watched.beginnings.is_of_this(&seen, last)?.then_some(began)
        }
        None => None,
    };
    Some(LoopGlance {
        id: watched.loop_at,
        thread: watched.tid,
        at: Duration::ZERO,
        read_by: Duration::ZERO,
        phase: if began.is_some() { Phase::Ready } else { Phase::Select },
        began,
        wait: activity.filter(|_| is_polling).and_then(ThreadActivity::sleep_id),
        callback: began.and(coroutine).map(|at| at.0),
        total: None,
        processor: None,
        work: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_counts_from_when_the_loop_was_last_seen_at_another() {
        let ms = Duration::from_millis;
        let glance = |at: u64, began: Option<u64>, callback: Option<u64>| LoopGlance {
            id: Address(1),
            thread: None,
            at: ms(at),
            read_by: ms(at),
            phase: if began.is_some() { Phase::Ready } else { Phase::Select },
            began: began.map(ms),
            wait: None,
            callback,
            total: None,
            processor: None,
            work: None,
        };
        let all = [
            // Attached in the midst of it.
            (glance(10, Some(3), Some(0)), Some(3)),
            (glance(11, Some(3), Some(0)), Some(3)),
            // The next one of the same iteration, one that is not told from it, and one more.
            (glance(12, Some(3), Some(1)), Some(11)),
            (glance(13, Some(3), None), Some(11)),
            (glance(15, None, None), None),
            // One of an iteration that began after the loop was last seen.
            (glance(20, Some(17), Some(4)), Some(17)),
        ];
        let mut last: Option<Last> = None;
        for (glance, wanted) in all {
            let since = since(last.as_ref(), &glance);
            assert_eq!(since, wanted.map(ms), "at {:?}", glance.at);
            assert_eq!(is_worth_a_look(&glance, since, ms(15)), wanted.is_some_and(|at| at <= 11));
            last = Some(Last { activity: None, glance, since });
        }
    }
}
