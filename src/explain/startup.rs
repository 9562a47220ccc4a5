//! What a server's start-up waits for that has no end.
//!
//! A start-up that takes long is no hang. One that awaits a loop of the program which nothing but an
//! exception ends is one from the first moment on.

use std::sync::Arc;

use crate::asyncio::{FutureState, Reading};
use crate::known::purpose::{Module, Purpose};
use crate::memory::Address;
use crate::python::frame::RawFrame;
use crate::python::object::{Code, Reader};
use crate::snapshot::Location;

/// The tasks that are in a loop of the program without an end, with the frames that have these
/// loops, while a server waits for its application to start: `[ (task, frame) ]`.
///
/// Of the tasks that do the start, only what they call for it counts: an application of the program's
/// own may well serve for ever, and so may what runs the server.
pub(crate) fn endless(reader: &Reader<'_>, reading: &Reading) -> Vec<(Address, Arc<Location>)> {
    let code = |frame: &RawFrame| reader.code(frame.code).ok();
    let purpose = |frame: &RawFrame| code(frame).and_then(|code| code.place.purpose());
    let awaits_start = |frame: &RawFrame| {
        matches!(purpose(frame), Some(Purpose::AwaitsStart(_) | Purpose::StartsOrEnds(_)))
    };
    let starts =
        |frame: &RawFrame| awaits_start(frame) || purpose(frame) == Some(Purpose::Application);
    let tasks = || reading.tasks.iter().filter(|task| task.state == FutureState::Pending);
    if !tasks().any(|task| task.chain.iter().any(awaits_start)) {
        return Vec::new();
    }
    let is_own = |code: &Code| !code.place.is_library();
    let is_caller = |frame: &RawFrame| {
        code(frame).is_some_and(|it| is_own(&it) || it.place.module() == Some(Module::Router))
    };
    let loops = |frame: &RawFrame| {
        code(frame).is_some_and(|code| is_own(&code))
            && reader.loops_for_ever(frame).unwrap_or(false)
    };
    let of_task = |chain: &[RawFrame]| {
        let mut frames = chain;
        if let Some(start) = chain.iter().position(starts) {
            let inside = chain.get(start + 1..).unwrap_or_default();
            let caller = inside.iter().position(is_caller)?;
            frames = inside.get(caller + 1..).unwrap_or_default();
        }
        let frame = frames.iter().find(|frame| loops(frame))?;
        Some(reader.site(frame.code, frame.lasti, frame.qualname).ok()?.location)
    };
    tasks().filter_map(|task| Some((task.at, of_task(&task.chain)?))).collect()
}
