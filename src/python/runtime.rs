//! The Python runtime inside the target: found, identified and proved.
//!
//! Attaching is proved by the runtime itself: its main interpreter and that interpreter's newest
//! thread point at each other, and `sys.hexversion` read with the chosen layout is the version
//! the layout is for. No stack is walked for it, so a target whose threads run hot is as easy as
//! an idle one.

mod collector;
mod locate;

use std::fmt;

use crate::layout::{Offset, PTHREAD_TIDS, RunningLoop};
use crate::memory::Address;
use crate::python::object::{Kind, MAX_ITEMS, Read, Reader, Unreadable};

pub use locate::{Located, locate};

/// Interpreters of one process that are followed; programs with hundreds were never seen.
const MAX_INTERPRETERS: usize = 1024;
/// Thread states of one interpreter that are followed.
const MAX_THREADS: usize = 65_536;
/// How often a list that changes while it is walked is walked again.
const MAX_TRIES: usize = 8;

/// A Python version, as `PY_VERSION_HEX` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    /// The `3` of 3.12.1.
    pub fn major(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// The `12` of 3.12.1.
    pub fn minor(self) -> u8 {
        self.0.to_be_bytes()[1]
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, micro, level] = self.0.to_be_bytes();
        write!(f, "{major}.{minor}.{micro}")?;
        // PY_VERSION_HEX: the last byte is the release level and its serial number.
        match level >> 4 {
            0xa => write!(f, "a{}", level & 15),
            0xb => write!(f, "b{}", level & 15),
            0xc => write!(f, "rc{}", level & 15),
            _ => Ok(()),
        }
    }
}

/// The number of the main interpreter.
pub const MAIN: i64 = 0;

/// An interpreter of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interpreter {
    /// Its `PyInterpreterState`.
    pub at: Address,
    /// Its number; [`MAIN`] is the main one.
    pub id: i64,
    /// Its `sys.modules`.
    pub modules: Address,
}

/// A thread state of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadState {
    /// Its `PyThreadState`.
    pub at: Address,
    /// Its interpreter's address.
    pub interpreter: Address,
    /// Its `pthread_t`.
    pub ident: u64,
    /// The kernel's id in the target's own pid namespace; before 3.11 only [`Reader::pthread_tids`]
    /// tells.
    pub native_id: Option<i32>,
}

impl Reader<'_> {
    /// The interpreters of the runtime at `runtime`, the main one first.
    ///
    /// # Errors
    /// When the list cannot be read; an interpreter without `sys.modules` is left out.
    pub fn interpreters(&self, runtime: Address) -> Read<Vec<Interpreter>> {
        let fields = &self.layout.interpreter;
        let mut interpreters = Vec::new();
        let mut next = self.pointer(runtime.offset(self.layout.runtime.interpreters_head))?;
        // What is walked is counted, not what is kept: a ring of those that are left out has no end.
        let mut left = MAX_INTERPRETERS;
        while let Some(at) = next {
            left = left.checked_sub(1).ok_or(Unreadable::bad(at, "list of interpreters"))?;
            let id = self.memory.i64(at.offset(fields.id))?;
            if let Some(modules) = self.pointer(at.offset(fields.modules))? {
                interpreters.push(Interpreter { at, id, modules });
            }
            next = self.pointer(at.offset(fields.next))?;
        }
        interpreters.sort_by_key(|interpreter| interpreter.id);
        Ok(interpreters)
    }

    /// The thread states of an interpreter, the oldest first.
    ///
    /// # Errors
    /// When the list cannot be read or does not hold still.
    pub fn thread_states(&self, interpreter: Address) -> Read<Vec<ThreadState>> {
        let mut result = Err(Unreadable::bad(interpreter, "list of threads"));
        for _ in 0..MAX_TRIES {
            result = self.try_thread_states(interpreter);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn try_thread_states(&self, interpreter: Address) -> Read<Vec<ThreadState>> {
        let fields = &self.layout.thread;
        let head = interpreter.offset(self.layout.interpreter.threads_head);
        self.memory.forget(head, 8);
        let mut threads = Vec::new();
        let mut next = self.pointer(head)?;
        while let Some(at) = next {
            self.memory.forget(at, 8 * 64);
            let owner = self.memory.pointer(at.offset(fields.interp))?;
            if owner != interpreter || threads.len() >= MAX_THREADS {
                return Err(Unreadable::bad(at, "thread state"));
            }
            let ident = self.memory.u64(at.offset(fields.thread_id))?;
            let native_id = match fields.native_thread_id {
                Some(native_id) => i32::try_from(self.memory.u64(at.offset(native_id))?).ok(),
                None => None,
            };
            let native_id = native_id.filter(|&id| id > 0);
            threads.push(ThreadState { at, interpreter, ident, native_id });
            next = self.pointer(at.offset(fields.next))?;
        }
        threads.reverse();
        Ok(threads)
    }

    /// What may be the kernel's id of a thread in the target's own pid namespace, by its
    /// `pthread_t`: where it lies depends on the C library and the machine.
    pub fn pthread_tids(&self, ident: u64) -> impl Iterator<Item = i32> {
        let at = PTHREAD_TIDS.into_iter().map(move |offset| Address(ident).offset(offset));
        at.filter_map(|at| self.memory.i32(at).ok())
    }

    /// The dictionary of the module `name` in an interpreter.
    ///
    /// # Errors
    /// When `sys.modules` cannot be read; a module that is not there is `None`.
    pub fn module(&self, interpreter: &Interpreter, name: &str) -> Read<Option<Address>> {
        Ok(self.modules(interpreter, [name])?[0])
    }

    /// The dictionaries of the modules `names` in an interpreter.
    ///
    /// # Errors
    /// When `sys.modules` cannot be read; a module that is not there is `None`.
    pub fn modules<const N: usize>(
        &self,
        interpreter: &Interpreter,
        names: [&str; N],
    ) -> Read<[Option<Address>; N]> {
        let items = self.dict(interpreter.modules, MAX_ITEMS)?;
        let mut found = [None; N];
        for (found, name) in found.iter_mut().zip(names) {
            let Some(module) = self.find_key(interpreter.modules, &items, name) else { continue };
            if self.kind_of(module)? == Kind::Module {
                *found = self.pointer(module.offset(self.layout.small.module_dict))?;
            }
        }
        Ok(found)
    }

    /// The loop that runs on a thread now, as it says itself: in a child after a `fork` it may be
    /// one of the parent ([`running_pid`](Self::running_pid)).
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn running_loop(&self, thread: &ThreadState) -> Read<Option<Address>> {
        let running = match self.layout.thread.running_loop {
            RunningLoop::Field(offset) => self.pointer(thread.at.offset(offset))?,
            RunningLoop::Dict { dict } => self.running_in_dict(thread, dict)?,
            RunningLoop::DictHolder { dict, running_loop, .. } => {
                match self.running_in_dict(thread, dict)? {
                    Some(holder) if self.is_kind(holder, Kind::RunningLoopHolder) => {
                        self.pointer(holder.offset(running_loop))?
                    }
                    // The pure-Python `_set_running_loop` keeps a tuple (loop, pid) elsewhere.
                    _ => None,
                }
            }
        };
        Ok(running.filter(|&at| !self.is_kind(at, Kind::None)))
    }

    /// The process that began to run the loop of a thread, by its own id; `None` from 3.12 on,
    /// where `fork` resets the running loop of the child.
    pub fn running_pid(&self, thread: &ThreadState) -> Option<i32> {
        let RunningLoop::DictHolder { dict, pid, .. } = self.layout.thread.running_loop else {
            return None;
        };
        let holder = self.running_in_dict(thread, dict).ok()??;
        let is_holder = self.is_kind(holder, Kind::RunningLoopHolder);
        self.memory.i32(holder.offset(pid)).ok().filter(|_| is_holder)
    }

    /// What is in the thread state's dictionary in place of the running loop.
    fn running_in_dict(&self, thread: &ThreadState, dict: Offset) -> Read<Option<Address>> {
        const KEY: &str = "__asyncio_running_event_loop__";
        match self.pointer(thread.at.offset(dict))? {
            Some(dict) => self.dict_get(dict, KEY),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::memory::Image;
    use crate::python::object::{Caches, Memory};

    /// A runtime at 0x10000 and interpreters at the given places, each with the place of the next
    /// one and of its `sys.modules`.
    fn runtime(layout: &Layout, interpreters: &[(u64, u64, u64)]) -> Memory {
        let mut bytes = vec![0; 0x40_0000];
        let mut put = |at: u64, value: u64| {
            let at = usize::try_from(at - 0x10000).unwrap();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        };
        put(0x10000 + layout.runtime.interpreters_head, interpreters[0].0);
        for &(at, next, modules) in interpreters {
            put(at + layout.interpreter.next, next);
            put(at + layout.interpreter.modules, modules);
        }
        Memory::new(Box::new(Image::new([(Address(0x10000), bytes)])))
    }

    #[test]
    fn a_ring_of_interpreters_has_an_end_whether_they_are_kept_or_not() {
        const MODULES: u64 = 0x20_0000;
        let (first, second) = (0x10_0000, 0x18_0000);
        for minor in 8..=15 {
            let layout = Layout::for_minor(minor).unwrap();
            let list = |interpreters: &[(u64, u64, u64)]| {
                let memory = runtime(&layout, interpreters);
                let caches = Caches::default();
                let reader = Reader { memory: &memory, layout: &layout, caches: &caches };
                reader.interpreters(Address(0x10000)).map(|found| found.len())
            };
            assert_eq!(list(&[(first, second, MODULES), (second, 0, MODULES)]), Ok(2));
            assert_eq!(list(&[(first, second, 0), (second, 0, MODULES)]), Ok(1));
            for modules in [0, MODULES] {
                let bad = |at| Err(Unreadable::bad(Address(at), "list of interpreters"));
                assert_eq!(list(&[(first, first, modules)]), bad(first));
                let ring = [(first, second, modules), (second, first, modules)];
                assert_eq!(list(&ring), bad(first));
            }
        }
    }

    #[test]
    fn versions_in_words() {
        assert_eq!(Version(0x030e_0af0).to_string(), "3.14.10");
        assert_eq!(Version(0x030f_00b2).to_string(), "3.15.0b2");
    }
}
