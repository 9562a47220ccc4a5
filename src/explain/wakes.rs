//! What can still wake the loops that wait with no time limit.

use crate::asyncio::Reading;
use crate::process::{System, WokenBy};
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
    for known in loops.iter_mut().filter(|known| known.state == Some(LoopState::Polling)) {
        known.wake_sources = wake_sources(reader, system, reading, known);
    }
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
    let own = reader.own_descriptors(known.id)?;
    // It is the loop's own, and the kernel does list what is registered.
    own.iter().find(|fd| wakers.registered.contains(fd))?;
    let mut descriptors: Vec<i32> =
        wakers.registered.into_iter().filter(|fd| !own.contains(fd)).collect();
    let facts = reading.loops.iter().find(|facts| facts.at == known.id)?;
    // uvloop 0.18 to 0.22 has a ring beside its epoll and makes no use of it. What else is there tells
    // enough: a server's thousand sockets are not looked at one by one.
    if facts.uv.is_some()
        && let [one] = descriptors[..]
        && system.descriptors(&[one]).get(&one).is_some_and(|(words, _)| words == "io_uring")
    {
        descriptors.clear();
    }
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
