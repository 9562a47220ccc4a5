//! Processes that a loop has started: whether it knows of their end, and their pipes on our side.

use super::{Endpoint, Layer, Medium};
use crate::memory::Address;
use crate::python::object::{Kind, Reader};

/// What was read of a process that a loop has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubprocessFacts {
    /// Its transport.
    pub at: Address,
    /// Its protocol, which has the streams of its pipes.
    pub protocol: Address,
    /// Its id, as the target knows it.
    pub pid: i32,
    /// Whether the loop has been told that it has ended.
    pub has_ended: bool,
    /// Its pipes that are open on our side.
    pub pipes: Vec<PipeFacts>,
}

/// Our end of a pipe to a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipeFacts {
    /// 0, 1 or 2, as the process knows it when it begins.
    pub number: i32,
    /// The descriptor.
    pub fd: i32,
    /// Whether nothing is read from it, because enough has been that nobody takes.
    pub is_paused: bool,
    /// The stream from which the program reads, if there is one.
    pub stream: Option<Address>,
}

impl Reader<'_> {
    /// The transport of the process that an endpoint is about: its end, or one of its pipes.
    pub fn subprocess_of(&self, endpoint: &Endpoint) -> Option<Address> {
        let transport = endpoint.transport?;
        if endpoint.medium == Medium::Process {
            return Some(transport);
        }
        endpoint.pid?;
        let Layer::Bottom { protocol, .. } = self.layer(transport)? else { return None };
        self.not_none(self.attribute(protocol?, "proc").ok()??)
    }

    /// What is known of the process whose transport is at `at`.
    pub fn subprocess(&self, at: Address) -> Option<SubprocessFacts> {
        let process = self.process(at)?;
        let protocol = process.protocol?;
        let names = ["_process_exited", "stdout", "stderr"];
        let [exited, stdout, stderr] = self.attributes_named(protocol, names).ok()?;
        let code = self.attribute(at, "_returncode").ok().flatten();
        let is_true = |at: Address| self.is_kind(at, Kind::Bool) && self.int(at) == Ok(1);
        let has_ended =
            exited.is_some_and(is_true) || code.is_some_and(|code| self.is_kind(code, Kind::Int));
        let pipe = |number: i32| {
            let transport = self.process_pipe(at, number)?;
            let endpoint = self.transport(transport)?;
            let stream = match number {
                1 => stdout,
                2 => stderr,
                _ => None,
            };
            let stream = stream.and_then(|at| self.not_none(at));
            let is_paused = [Some(transport), stream].into_iter().flatten().any(|at| {
                let paused = self.attribute(at, "_paused").ok().flatten();
                paused.is_some_and(is_true)
            });
            Some(PipeFacts { number, fd: endpoint.fd?, is_paused, stream })
        };
        let pipes = (0..3).filter_map(pipe).collect();
        Some(SubprocessFacts { at, protocol, pid: process.pid, has_ended, pipes })
    }
}
