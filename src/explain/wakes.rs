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
    // uvloop 0.18 to 0.22 has one beside its epoll and makes no use of it.
    let is_ring = |(_, (words, _)): &(&i32, &(String, _))| words == "io_uring";
    let described = system.descriptors(&descriptors);
    let rings: Vec<i32> = described.iter().filter(is_ring).map(|(fd, _)| *fd).collect();
    descriptors.retain(|fd| !rings.contains(fd));
    let facts = reading.loops.iter().find(|facts| facts.at == known.id)?;
    let others = reading.activity.threads().iter().filter(|thread| thread.tid != tid);
    let active = others.filter(|thread| thread.woken_by() != Some(WokenBy::Thread));
    let active: Vec<i32> = active.map(|thread| thread.tid).collect();
    // The kernel's own for `io_uring`, `iou-sqp-4711`, never call anything.
    let is_kernels =
        |tid: i32| system.thread(tid).is_some_and(|thread| thread.name.starts_with("iou-"));
    Some(WakeSources {
        descriptors,
        threads: active.into_iter().filter(|&tid| !is_kernels(tid)).collect(),
        signals: wakers.signals,
        traced: wakers.is_traced,
        unheeded_timer: facts.earliest_timer.is_some(),
    })
}
