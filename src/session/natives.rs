//! Stacks in C of the threads that sleep, with their Python frames.

use super::Inspector;
use crate::asyncio::Reading;
use crate::explain::native::merge;
use crate::native::{Code, Stack};
use crate::process::System;
use crate::python::object::Reader;
use crate::snapshot::{NativeStack, Thread, Withheld};

/// How often the stack of a thread is walked that runs meanwhile.
const MAX_TRIES: usize = 3;

impl Inspector {
    /// Walks the stack in C of each thread that sleeps where its Python frames were read.
    pub(super) fn walk_natives(&self, reader: &Reader<'_>, reading: &mut Reading) {
        let memory = self.memory.unnoted();
        let Ok(mut code) = Code::of(&*self.system, &memory) else { return };
        for thread in &mut reading.threads {
            let Some(tid) = thread.tid else { continue };
            if !self.memory.limit().may_begin() {
                return;
            }
            let mut walked = Err(Withheld::Moved);
            for _ in 0..MAX_TRIES {
                walked = walk(&*self.system, &mut code, tid, || {
                    let stack = reader.thread_stack(&thread.state, thread.running_loop);
                    thread.evaluations = reader.evaluations(thread.state.at, &stack);
                    stack == thread.stack
                });
                if walked != Err(Withheld::Moved) {
                    break;
                }
            }
            // One thread may have a state in several interpreters: all have to be where they were.
            let known = reading.natives.remove(&tid).filter(Result::is_err);
            reading.natives.insert(tid, known.unwrap_or(walked));
        }
    }

    /// Puts the Python frames of each thread into its stack in C.
    pub(super) fn merge_natives(&self, reading: &Reading, threads: &mut [Thread]) {
        if reading.natives.is_empty() {
            return;
        }
        let memory = self.memory.unnoted();
        let Ok(mut code) = Code::of(&*self.system, &memory) else { return };
        for thread in threads {
            let Some(tid) = thread.tid else { continue };
            let Some(walked) = reading.natives.get(&tid) else { continue };
            // The states of several interpreters on one thread are in the order of their frames.
            let states = reading.threads.iter().rev().filter(|read| read.tid == Some(tid));
            let evaluations: Vec<_> = states.flat_map(|read| &read.evaluations).copied().collect();
            thread.native = Some(match walked {
                Ok(stack) => {
                    let image = self.located.image.as_ref();
                    merge(stack, &evaluations, thread.frames.len(), &mut code, image)
                }
                Err(why) => NativeStack { withheld: Some(*why), ..NativeStack::default() },
            });
        }
    }
}

/// Walks the stack of a thread, if it sleeps all the while and is where it was by `is_there`.
fn walk(
    system: &dyn System,
    code: &mut Code<'_>,
    tid: i32,
    is_there: impl FnOnce() -> bool,
) -> Result<Stack, Withheld> {
    let before = system.thread_activity(tid).ok_or(Withheld::Moved)?;
    if !before.is_asleep() {
        return Err(Withheld::Running);
    }
    let (stack, counter) = before.registers().ok_or(Withheld::Untold)?;
    let is_there = is_there();
    let walked = code.walk(stack, counter);
    let after = system.thread_activity(tid);
    let has_slept = after.is_some_and(|after| before.did_not_run_until(&after));
    if is_there && has_slept { Ok(walked) } else { Err(Withheld::Moved) }
}
