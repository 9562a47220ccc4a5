//! What can still wake the loops that wait with no time limit, and what blocked ones watch.

use crate::asyncio::{LoopFacts, Reading};
use crate::process::{System, Wakers, WokenBy};
use crate::python::object::Reader;
use crate::snapshot::{Loop, LoopState, WakeSources};

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
                let facts = reading.loops.iter().find(|facts| facts.at == known.id);
                let epoll = facts.and_then(|facts| Some(facts.uv.as_ref()?.backend_fd));
                // asyncio's own selectors know themselves.
                if let Some((epoll, facts)) = epoll.zip(facts) {
                    // Before it polls for the first time, its own are not registered yet.
                    let others = system.wakers(epoll).and_then(|wakers| {
                        let own = reader.own_descriptors(known.id)?;
                        Some(registered(system, facts, &wakers, &own))
                    });
                    known.grounds.get_or_insert_default().watched =
                        others.map(|others| others.len() as u64);
                }
            }
            _ => {}
        }
    }
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
