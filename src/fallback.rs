//! Thread stacks by py-spy, for a Python whose tasks cannot be read.
//!
//! The only module that sees py-spy. It reads without stopping the target, as everything here
//! does, so a stack may be torn; the answer is a help for a person, never a source of facts for
//! the other layers.
//!
//! What is torn can make py-spy panic: 0.4.3 does so in line tables of a Python 3.14 that is just
//! starting. It has a thread of its own, whose end by a panic is an answer like others. The
//! message of a panic is printed by the process's hook; who does not want it there sets another one.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use py_spy::config::LockingStrategy;
use py_spy::{Config, PythonSpy};

use crate::snapshot::{Frame, Location, Thread};

/// Attaching to a target that runs hot meets transient faults now and then.
const ATTACH_RETRIES: u64 = 3;

/// Far more than it takes: 30 ms for a target of 65 threads.
const PATIENCE: Duration = Duration::from_secs(5);

/// The Python stacks of all threads of process `pid`, outermost frame first.
///
/// # Errors
/// In words, why py-spy could not read them either.
pub fn thread_stacks(pid: i32) -> Result<Vec<Thread>, String> {
    guarded(move || read_stacks(pid), PATIENCE)
}

/// The answer of some work that may panic or never end.
fn guarded<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
    patience: Duration,
) -> Result<T, String> {
    let (sender, answer) = channel();
    let thread = std::thread::Builder::new().name("py-spy".to_owned());
    thread
        .spawn(move || {
            let _ = sender.send(work());
        })
        .map_err(|error| format!("no thread for it: {error}"))?;
    answer.recv_timeout(patience).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => "it takes too long".to_owned(),
            RecvTimeoutError::Disconnected => "it panicked".to_owned(),
        })
    })
}

fn read_stacks(pid: i32) -> Result<Vec<Thread>, String> {
    let config = Config { blocking: LockingStrategy::NonBlocking, ..Config::default() };
    let mut spy =
        PythonSpy::retry_new(pid, &config, ATTACH_RETRIES).map_err(|error| format!("{error:#}"))?;
    let traces = spy.get_stack_traces().map_err(|error| format!("{error:#}"))?;
    let mut threads: Vec<Thread> = traces
        .into_iter()
        .map(|trace| Thread {
            tid: trace.os_thread_id.and_then(|tid| i32::try_from(tid).ok()),
            name: trace.thread_name,
            frames: trace.frames.into_iter().rev().map(frame).collect(),
            ..Thread::default()
        })
        .collect();
    threads.sort_by_key(|thread| (thread.name.as_deref() != Some("MainThread"), thread.tid));
    Ok(threads)
}

fn frame(frame: py_spy::Frame) -> Frame {
    Frame {
        location: Arc::new(Location::by_path(
            frame.name.into(),
            frame.filename.into(),
            u32::try_from(frame.line).ok().filter(|line| *line > 0),
        )),
        locals: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer() {
        let panics = || -> Result<(), String> { panic!("torn") };
        assert_eq!(guarded(panics, PATIENCE), Err("it panicked".to_owned()));
        assert_eq!(guarded(|| Ok(5), PATIENCE), Ok(5));
    }

    #[test]
    fn no_answer_is_waited_for_in_vain() {
        let (end, is_ended) = channel::<()>();
        let hangs = move || is_ended.recv().map_err(|error| error.to_string());
        assert_eq!(guarded(hangs, Duration::ZERO), Err("it takes too long".to_owned()));
        drop(end);
    }
}
