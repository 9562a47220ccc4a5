//! Processes that tasks wait for and that may never go on: they wait until somebody reads what they
//! have written, or have ended and left a pipe open with others.
//!
//! Reading stops at twice the limit of a stream until somebody takes from it. That a process waits for
//! room then is what it is for; whether anybody can still read is told by who refers to the stream.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Reasons;
use super::enclosed::{Census, hanging_on};
use crate::asyncio::{PipeFacts, SubprocessFacts};
use crate::memory::Address;
use crate::process::System;
use crate::snapshot::{FullPipe, HeldPipe, PipeWriter, Subprocess, Task};

impl Reasons<'_> {
    /// The processes that tasks wait for, where they may never go on; none when no evidence is asked
    /// for.
    pub(crate) fn subprocesses(&self, tasks: &[Task], system: &dyn System) -> Vec<Subprocess> {
        let waited_for = self.subprocesses.borrow();
        let mut found: Vec<Subprocess> = waited_for
            .iter()
            .filter_map(|(&at, waiters)| {
                let facts = self.reader.subprocess(at)?;
                let mut waiters: Vec<Address> = waiters.clone();
                waiters.sort_unstable();
                waiters.dedup();
                self.subprocess(&facts, waiters, tasks, system)
            })
            .collect();
        found.sort_unstable_by_key(|it| it.id);
        found
    }

    fn subprocess(
        &self,
        facts: &SubprocessFacts,
        waiters: Vec<Address>,
        tasks: &[Task],
        system: &dyn System,
    ) -> Option<Subprocess> {
        let mut process = Subprocess {
            id: facts.at,
            pid: facts.pid,
            name: None,
            has_ended: facts.has_ended,
            tasks: waiters,
            full: None,
            held: Vec::new(),
        };
        let to_us = || facts.pipes.iter().filter(|pipe| pipe.number > 0);
        if facts.has_ended {
            let held = |pipe: &PipeFacts| {
                let holders = system.pipe_holders(pipe.fd);
                (!pipe.is_paused && !holders.is_empty())
                    .then_some(HeldPipe { number: pipe.number, holders })
            };
            process.held = to_us().filter_map(held).collect();
            return (!process.held.is_empty()).then_some(process);
        }
        let paused = to_us().filter(|pipe| pipe.is_paused);
        let paused: Vec<(i32, i32)> = paused.map(|pipe| (pipe.number, pipe.fd)).collect();
        let writer = if paused.is_empty() { None } else { system.writer(facts.pid, &paused) }?;
        let child = system.children(&[facts.pid]).remove(&facts.pid)?;
        (process.pid, process.name) = (child.pid, Some(child.name));
        let pipe = facts.pipes.iter().find(|pipe| pipe.number == writer.number)?;
        process.full = Some(self.full_pipe(facts, pipe, writer, &process.tasks, tasks));
        Some(process)
    }

    fn full_pipe(
        &self,
        facts: &SubprocessFacts,
        pipe: &PipeFacts,
        writer: PipeWriter,
        waiters: &[Address],
        tasks: &[Task],
    ) -> FullPipe {
        let number = pipe.number;
        let Some(stream) = pipe.stream else {
            let readers = Vec::new();
            return FullPipe { number, writer, readers, is_out_of_reach: false };
        };
        let hanging = hanging_on(tasks, waiters);
        let of_process = self.handles(facts.at);
        let things: FxHashSet<Address> = of_process.iter().copied().chain([stream]).collect();
        let mut census = Census::of(&things);
        // What the program does by way of the protocol is to write.
        census.leave_out(facts.protocol);
        let mut readers = Vec::new();
        for (task, chain) in self.reading.tasks.iter().zip(self.chains) {
            let leads = self.count_references(&mut census, task.at, chain);
            if leads && !hanging.contains(&task.at) {
                readers.push(task.at);
            }
        }
        // The protocol of the process refers to its stream, and so does each `Process`.
        let of_asyncio = 1 + of_process.len() as u64;
        let is_out_of_reach = readers.is_empty()
            && self.is_made_up_but(&census, stream, of_asyncio)
            && of_process.iter().all(|&at| self.is_made_up_but(&census, at, 0));
        FullPipe { number, writer, readers, is_out_of_reach }
    }

    /// The objects of `asyncio.subprocess.Process` in the variables of tasks that stand for the
    /// process with this transport.
    fn handles(&self, transport: Address) -> Vec<Address> {
        let mut found = Vec::new();
        let mut seen: FxHashMap<Address, bool> = FxHashMap::default();
        let mut note = |at: Address| {
            let is_it = *seen.entry(at).or_insert_with(|| {
                self.reader.is_a(at, "Process")
                    && self.reader.attribute(at, "_transport") == Ok(Some(transport))
            });
            if is_it && !found.contains(&at) {
                found.push(at);
            }
        };
        for chain in self.chains {
            for frame in *chain {
                for (_, value) in self.reader.locals(frame).unwrap_or_default() {
                    note(value);
                }
            }
        }
        found
    }
}
