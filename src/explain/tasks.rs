//! A task in the snapshot's words: its frames, its cancellation, who awaits it.

use std::cell::Cell;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::context::Contexts;
use super::{Locals, Options, work};
use crate::asyncio::{AwaitGraph, ChainEnd, FutureState, Labels, Reading, Said, TaskFacts};
use crate::memory::Address;
use crate::python::frame::RawFrame;
use crate::python::object::Reader;
use crate::snapshot::{
    Cancellation, Depth, Frame, Location, Problem, Task, TaskGrounds, TaskState,
};

/// What a variable takes beside its text.
const PER_LOCAL: usize = 64;

/// The frames of threads by their coroutine: which thread, and at which place of its stack.
type Running = FxHashMap<Address, (usize, usize)>;

/// The frames of each running task, as its thread has them: from its own coroutine on.
pub(crate) fn live_frames(reading: &Reading) -> Vec<Option<&[RawFrame]>> {
    let running: Running = reading
        .threads
        .iter()
        .enumerate()
        .flat_map(|(thread, reading)| {
            let frames = reading.stack.frames.iter().enumerate();
            frames.map(move |(at, frame)| (frame.generator, (thread, at)))
        })
        .filter(|(generator, _)| !generator.is_null())
        .collect();

    let roots: FxHashSet<Address> = reading.tasks.iter().filter_map(|task| task.coro).collect();
    let live = reading.tasks.iter().map(|facts| {
        let &(thread, at) = running.get(&facts.coro?)?;
        let frames = reading.threads.get(thread)?.stack.frames.get(at..)?;
        // A task that starts another one eagerly runs as well, up to where that one begins.
        let next = frames.iter().skip(1).position(|frame| roots.contains(&frame.generator));
        frames.get(..next.map_or(frames.len(), |next| next + 1))
    });
    live.collect()
}

/// The tasks, with the names and lines of their frames and who waits for them.
pub(crate) fn tasks(
    reader: &Reader<'_>,
    reading: &Reading,
    live: &[Option<&[RawFrame]>],
    ready: &FxHashSet<Address>,
    options: (&Options, &Cell<usize>),
    problems: &mut Vec<Problem>,
) -> Vec<Task> {
    let mut class_names: FxHashMap<Address, Arc<str>> = FxHashMap::default();
    let mut tasks = Vec::with_capacity(reading.tasks.len());
    let mut contexts = Contexts::new(reader, reading, options);
    for (facts, &live) in reading.tasks.iter().zip(live) {
        let chain = live.unwrap_or(&facts.chain);
        let handling = match live {
            Some(frames) => handling(reader, frames),
            None => facts.handling,
        };
        let class =
            class_names.entry(facts.class.at).or_insert_with(|| reader.class_name(&facts.class));
        let mut task = Task {
            id: facts.at,
            name: facts.name.clone(),
            loop_id: facts.loop_at,
            state: Some(match facts.state {
                FutureState::Cancelled => TaskState::Cancelled,
                FutureState::Finished => TaskState::Done,
                FutureState::Failed => TaskState::Failed,
                FutureState::Pending if live.is_some() => TaskState::Running,
                FutureState::Pending if facts.end == ChainEnd::Executing => TaskState::Running,
                FutureState::Pending if ready.contains(&facts.at) => TaskState::Ready,
                FutureState::Pending => TaskState::Pending,
            }),
            class: Some(Arc::clone(class)),
            coroutine: facts.coroutine.clone(),
            frames: frames(reader, &|| format!("task {}", facts.at), chain, options, problems),
            fut_waiter: facts.fut_waiter,
            cancellation: cancellation(facts, handling),
            is_torn: !facts.is_coherent(),
            grounds: (options.0.depth >= Depth::Evidence).then(|| {
                Box::new(TaskGrounds {
                    references: references(reader, facts),
                    has_callbacks: facts.has_awaiters,
                    is_partly_read: live.is_none()
                        && facts.state == FutureState::Pending
                        && facts.is_partly_read(),
                    ..TaskGrounds::default()
                })
            }),
            ..Task::default()
        };
        // Of one that runs the frames of its thread say more.
        let labels = match live {
            Some(frames) => reader.labels(frames).ok().flatten(),
            None => match &facts.said {
                Said::Labels(labels) => Some(Labels::clone(labels)),
                Said::InDoubt | Said::Nothing => None,
            },
        };
        let context = contexts.facts(facts, task.state);
        if let Some(labels) = labels {
            work::note(&mut task, labels, context, reading);
        }
        task.context = context.and_then(|context| contexts.of(context));
        tasks.push(task);
    }
    tasks
}

/// Tasks with those of the same group's parents that do not wait for them yet.
pub(crate) type Unawaited = FxHashSet<(Address, Address)>;

/// Says of each task who awaits it. A group's parent counts from the start; those that still do
/// something else are given back.
pub(crate) fn find_awaiters(
    reader: &Reader<'_>,
    reading: &Reading,
    tasks: &mut [Task],
) -> Unawaited {
    let graph = AwaitGraph::new(*reader);
    let mut unawaited = Unawaited::default();
    for (task, facts) in tasks.iter_mut().zip(&reading.tasks) {
        if facts.has_awaiters {
            let awaiters = graph.awaiters(facts.at);
            unawaited.extend(awaiters.tasks.iter().skip(awaiters.now).map(|at| (task.id, *at)));
            task.awaited_by = awaiters.tasks;
        }
    }
    unawaited
}

/// How many references there are to a task, but for that of a future to who awaits it.
fn references(reader: &Reader<'_>, facts: &TaskFacts) -> Option<u64> {
    // future_awaited_by_add in Modules/_asynciomodule.c, from 3.14 on.
    let is_known = reader.layout.future.awaited_by.is_some() && facts.fut_waiter.is_some();
    reader.references(facts.at).map(|count| count.saturating_sub(u64::from(is_known)))
}

/// The frame of a running chain whose coroutine handles a `CancelledError`, the innermost one.
fn handling(reader: &Reader<'_>, frames: &[RawFrame]) -> Option<usize> {
    frames.iter().rposition(|frame| {
        let generator = frame.generator.non_null().and_then(|at| reader.generator(at).ok());
        generator.is_some_and(|generator| reader.is_cancelled_error(generator.handled))
    })
}

fn cancellation(facts: &TaskFacts, handling: Option<usize>) -> Option<Cancellation> {
    let is_pending = facts.state == FutureState::Pending;
    let cancellation = Cancellation {
        requested: facts.cancels_requested,
        must_cancel: facts.must_cancel,
        in_flight: is_pending && facts.waiter_state == Some(FutureState::Cancelled),
        handling,
        message: facts.cancel_message.clone(),
    };
    let is_asked_for = cancellation.requested.is_some_and(|count| count > 0)
        || cancellation.must_cancel
        || cancellation.in_flight
        || cancellation.handling.is_some()
        || cancellation.message.is_some();
    is_asked_for.then_some(cancellation)
}

pub(crate) fn frames(
    reader: &Reader<'_>,
    place: &dyn Fn() -> String,
    chain: &[RawFrame],
    (options, room): (&Options, &Cell<usize>),
    problems: &mut Vec<Problem>,
) -> Vec<Frame> {
    let mut frames = Vec::with_capacity(chain.len());
    for frame in chain {
        let location = match reader.place_of(frame) {
            Ok(location) => location,
            Err(error) => {
                problems.push(Problem {
                    place: place(),
                    wanted: "code object".to_owned(),
                    cause: error.to_string(),
                });
                let unknown: Arc<str> = Arc::from("?");
                let file = Arc::clone(&unknown);
                Arc::new(Location::by_path(unknown, file, None))
            }
        };
        // The variables of what was compiled have no names.
        let wants_locals =
            options.locals != Locals::Unread && room.get() > 0 && !frame.is_compiled();
        let locals = wants_locals.then(|| match reader.locals(frame) {
            Ok(locals) => {
                let shows_secrets = options.locals == Locals::WithSecrets;
                let shown = |name: &str, at| reader.value(name, at, shows_secrets);
                let locals = locals.into_iter();
                let locals: Vec<(Arc<str>, String)> =
                    locals.map(|(name, at)| (Arc::clone(&name), shown(&name, at))).collect();
                let size = |(_, text): &(Arc<str>, String)| PER_LOCAL + text.len();
                room.set(room.get().saturating_sub(locals.iter().map(size).sum()));
                if room.get() == 0 {
                    problems.push(Problem {
                        place: place(),
                        wanted: "locals from here on".to_owned(),
                        cause: "there is not enough memory for them (--max-memory)".to_owned(),
                    });
                }
                locals
            }
            Err(error) => {
                problems.push(Problem {
                    place: place(),
                    wanted: "locals".to_owned(),
                    cause: error.to_string(),
                });
                Vec::new()
            }
        });
        frames.push(Frame { location, locals });
    }
    frames
}
