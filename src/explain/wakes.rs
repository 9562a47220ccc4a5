//! What can still wake the loops that wait with no time limit, and what blocked ones watch.

use crate::asyncio::{LoopFacts, Reading};
use crate::process::{System, Wakers, WokenBy};
use crate::python::object::Reader;
use crate::snapshot::{Loop, LoopState, WakeSources};

/// A server listens before it has connections: its sockets for that are among the first.
const MAX_ASKED: usize = 32;

/// Says of each loop that waits with no time limit what can wake it.
///
/// It rests on what the threads did when the reading began: it holds for a snapshot during which
/// none of them ran.
pub(crate) fn note_wake_sources(
    reader: &Reader<'_>,
    system: &dyn System,
    reading: &Reading,
    loops: &mut [Loop],
) {
    for known in loops.iter_mut() {
        match known.state {
            Some(LoopState::Polling) => {
                known.wake_sources = wake_sources(reader, system, reading, known);
            }
            Some(LoopState::Blocked) => {
                if let Some(watched) = watched(reader, system, reading, known) {
                    let grounds = known.grounds.get_or_insert_default();
                    grounds.watched = Some(watched.len() as u64);
                    grounds.unaccepted = unaccepted(system, &watched);
                }
            }
            _ => {}
        }
    }
}

/// The descriptors that a loop watches, but for its own.
fn watched(
    reader: &Reader<'_>,
    system: &dyn System,
    reading: &Reading,
    known: &Loop,
) -> Option<Vec<i32>> {
    let own = reader.own_descriptors(known.id)?;
    let facts = reading.loops.iter().find(|facts| facts.at == known.id)?;
    if let Some(uv) = &facts.uv {
        // Before it polls for the first time, its own are not registered yet.
        return Some(registered(system, facts, &system.wakers(uv.backend_fd)?, &own));
    }
    // asyncio's own selectors know themselves.
    let mut watched = reader.watched_descriptors(known.id)?;
    watched.retain(|fd| !own.contains(fd));
    Some(watched)
}

/// How many connections wait to be accepted at the sockets among these descriptors that listen.
fn unaccepted(system: &dyn System, watched: &[i32]) -> Option<u64> {
    let first = watched.get(..MAX_ASKED.min(watched.len()))?;
    let sockets = system.descriptors(first).into_values().filter_map(|(_, socket)| socket);
    let listening = sockets.filter(|socket| socket.state == Some("listening"));
    listening.map(|socket| socket.receive_queue).sum()
}

/// What is registered at the descriptor by which a loop polls, but for what is its own.
fn registered(system: &dyn System, facts: &LoopFacts, wakers: &Wakers, own: &[i32]) -> Vec<i32> {
    let others = wakers.registered.iter().copied().filter(|fd| !own.contains(fd));
    let mut descriptors: Vec<i32> = others.collect();
    // uvloop 0.18 to 0.22 has a ring beside its epoll and makes no use of it. What else is there tells
    // enough: a server's thousand sockets are not looked at one by one.
    if facts.uv.is_some()
        && let [one] = descriptors[..]
        && system.descriptors(&[one]).get(&one).is_some_and(|(words, _)| words == "io_uring")
    {
        descriptors.clear();
    }
    descriptors
}

fn wake_sources(
    reader: &Reader<'_>,
    system: &dyn System,
    reading: &Reading,
    known: &Loop,
) -> Option<WakeSources> {
    let tid = known.thread?;
    let Some(WokenBy::Events(epoll)) = reading.activity.thread(tid)?.woken_by() else {
        return None;
    };
    let wakers = system.wakers(epoll)?;
    let facts = reading.loops.iter().find(|facts| facts.at == known.id)?;
    let own = reader.own_descriptors(known.id)?;
    // It is the loop's own, and the kernel does list what is registered.
    own.iter().find(|fd| wakers.registered.contains(fd))?;
    let descriptors = registered(system, facts, &wakers, &own);
    let others = reading.activity.threads().iter().filter(|thread| thread.tid != tid);
    let active = others.filter(|thread| thread.woken_by() != Some(WokenBy::Thread));
    // The kernel's own for `io_uring`, `iou-sqp-4711`, never call anything.
    let is_kernels =
        |tid: i32| system.thread(tid).is_some_and(|thread| thread.name.starts_with("iou-"));
    Some(WakeSources {
        descriptors,
        threads: active.map(|thread| thread.tid).filter(|&tid| !is_kernels(tid)).collect(),
        signals: wakers.signals,
        traced: wakers.is_traced,
        unheeded_timer: facts.earliest_timer.is_some(),
    })
}
