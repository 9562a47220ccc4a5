//! From a program counter to the outermost function.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::rules::{End, Registers, Rules};
use super::words::{Words, mapping_of};
use crate::memory::{Address, ReadMemory};
use crate::process::{MappedFile, Mapping, Symbols, System};

/// Frames of one thread that are followed: a deep recursion through C has some thousand.
const MAX_FRAMES: usize = 20_000;

/// A function's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// An address within the instruction that it is at.
    pub at: Address,
    /// Where its part of the stack begins; it ends where that of its caller does.
    pub stack: Address,
}

/// The stack of a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stack {
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// Whether the walk came to the outermost function.
    pub is_complete: bool,
}

/// The code of a target at a moment.
#[derive(Debug)]
pub struct Code<'a> {
    system: &'a dyn System,
    memory: &'a dyn ReadMemory,
    maps: Arc<[Mapping]>,
    files: Vec<MappedFile>,
    /// By where the file begins.
    rules: FxHashMap<u64, Option<Rules>>,
    symbols: FxHashMap<u64, Option<Box<dyn Symbols>>>,
    names: FxHashMap<u64, Named>,
}

/// What an address is called.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// The function, where a symbol names it.
    pub function: Option<Arc<str>>,
    /// The file that it is of, as the target sees it.
    pub file: Option<Arc<Path>>,
    /// Where that is in the file, as its symbols count.
    pub offset: Option<Address>,
}

impl<'a> Code<'a> {
    /// What is mapped now.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn of(system: &'a dyn System, memory: &'a dyn ReadMemory) -> crate::error::Result<Self> {
        let maps = system.maps()?;
        let mut files = system.files(&maps);
        // The kernel's own, which is no file.
        files.extend(maps.iter().filter(|it| is_vdso(it)).map(|mapping| MappedFile {
            first: mapping.clone(),
            is_executable: true,
            is_main: false,
        }));
        Ok(Self {
            system,
            memory,
            maps: maps.into(),
            files,
            rules: FxHashMap::default(),
            symbols: FxHashMap::default(),
            names: FxHashMap::default(),
        })
    }

    /// The stack of a thread that sleeps with these registers.
    pub fn walk(&mut self, stack: Address, counter: Address) -> Stack {
        let maps = Arc::clone(&self.maps);
        let mut words = Words::new(self.memory, &maps);
        let mut walked = Stack::default();
        let mut registers = Registers::new(stack.0, counter.0);
        let mut at = counter.0;
        while walked.frames.len() < MAX_FRAMES {
            let Some(file) = self.file_of(at) else { break };
            let frame = Frame { at: Address(at), stack: Address(registers.stack()) };
            walked.frames.push(frame);
            match self.rules_of(file).map(|rules| rules.step(at, &registers, &mut words)) {
                // Each frame lies above those that it called; only the innermost may have none.
                Some(Ok(caller))
                    if caller.stack() > registers.stack()
                        || caller.stack() == registers.stack() && walked.frames.len() == 1 =>
                {
                    registers = caller;
                    // Behind a call that does not return another function may begin.
                    at = registers.counter.saturating_sub(1);
                }
                Some(Err(End::Root)) => {
                    walked.is_complete = true;
                    break;
                }
                Some(Ok(_) | Err(End::Lost)) | None => break,
            }
        }
        walked
    }

    /// The file whose code an address is.
    fn file_of(&self, at: u64) -> Option<usize> {
        let mapping = mapping_of(&self.maps, at).filter(|mapping| mapping.is_executable)?;
        let files = self.files.iter().enumerate().filter(|(_, file)| {
            file.first.start <= mapping.start && file.first.is_same_file(mapping)
        });
        files.max_by_key(|(_, file)| file.first.start).map(|(at, _)| at)
    }

    fn rules_of(&mut self, file: usize) -> Option<&Rules> {
        let (memory, file) = (self.memory, self.files.get(file)?);
        let read = || Rules::read(&file.unwinding(memory)?, memory);
        self.rules.entry(file.first.start).or_insert_with(read).as_ref()
    }

    /// What an address is called.
    pub fn name(&mut self, at: Address) -> Named {
        if let Some(known) = self.names.get(&at.0) {
            return known.clone();
        }
        let named = self.look_up(at).unwrap_or_default();
        self.names.insert(at.0, named.clone());
        named
    }

    fn look_up(&mut self, at: Address) -> Option<Named> {
        let file = self.files.get(self.file_of(at.0)?)?;
        let memory = self.memory;
        let start = file.first.start;
        let system = self.system;
        let symbols = self.symbols.entry(start).or_insert_with(|| system.module(file, memory));
        let function = symbols.as_ref().and_then(|symbols| symbols.function_at(at));
        let path = match symbols {
            Some(symbols) => symbols.path().to_owned(),
            None => file.first.path.clone().unwrap_or_else(PathBuf::new),
        };
        let bias = file.unwinding(memory).map(|unwinding| unwinding.bias);
        Some(Named {
            function: function.map(Arc::from),
            file: Some(path.into()),
            offset: bias.map(|bias| Address(at.0.wrapping_sub(bias))),
        })
    }
}

fn is_vdso(mapping: &Mapping) -> bool {
    mapping.path.as_deref() == Some(Path::new("[vdso]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::LiveMemory;
    use crate::process::Target;
    use std::sync::mpsc;

    /// A thread of our own that waits, in functions whose names are known.
    #[inline(never)]
    fn waits_for_the_end(ready: &mpsc::Sender<i32>, end: &mpsc::Receiver<()>) -> i32 {
        ready.send(nix::unistd::gettid().as_raw()).unwrap();
        i32::from(end.recv().is_ok()) + 1
    }

    #[test]
    fn a_thread_of_our_own_from_its_wait_to_its_beginning() {
        let (ready, is_ready) = mpsc::channel();
        let (end, is_over) = mpsc::channel();
        let waiting = std::thread::spawn(move || waits_for_the_end(&ready, &is_over));
        let tid = is_ready.recv().unwrap();
        let target = Target::open(i32::try_from(std::process::id()).unwrap()).unwrap();
        let memory = LiveMemory::open(target.pid(), Address(target.maps().unwrap()[0].start));
        let memory = memory.unwrap();
        let mut code = Code::of(&target, &memory).unwrap();
        let name = |code: &mut Code<'_>, frame: &Frame| code.name(frame.at).function;
        // It is on its way into the wait, and may sleep before for want of a lock.
        let stack = std::iter::repeat_with(|| {
            let before = target.thread_activity(tid)?;
            let (stack, counter) = before.registers()?;
            let walked = code.walk(stack, counter);
            let is_still = before.did_not_run_until(&target.thread_activity(tid)?);
            (is_still && before.syscall()?.0 == "futex").then_some(walked)
        });
        let stack = stack.take(100_000).flatten().next().unwrap();
        assert!(stack.is_complete, "{stack:?}");
        let names: Vec<_> = stack.frames.iter().map(|frame| name(&mut code, frame)).collect();
        let place_of = |part: &str| {
            let mut names = names.iter().map(|name| name.as_deref().unwrap_or_default());
            names.position(|name| name.contains(part))
        };
        let own = place_of("waits_for_the_end").unwrap_or_else(|| panic!("{names:?}"));
        assert!(place_of("recv").unwrap() < own, "{names:?}");
        let ends: Vec<_> = stack.frames.iter().map(|frame| frame.stack).collect();
        assert!(ends.is_sorted(), "{stack:?}");
        // With registers of nowhere the walk ends at once, and says so.
        let nowhere = code.walk(stack.frames[0].stack, Address(0x1000));
        assert_eq!(nowhere, Stack::default());
        let astray = code.walk(Address(0x1000), stack.frames[0].at);
        assert!(!astray.is_complete && astray.frames.len() == 1, "{astray:?}");
        drop(end);
        assert_eq!(waiting.join().unwrap(), 1);
    }
}
