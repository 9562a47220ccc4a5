//! Processes that the target has started: which are there, and what they do.
//!
//! The target names them by their ids in its own pid namespace; `/proc` names them by ours.

use serde::{Deserialize, Serialize};

use super::Target;
use super::proc::{ProcDir, Stat};
use crate::snapshot::ThreadState;

/// A process with more children is a supervisor of the whole machine; asyncio programs have a few.
const MAX_CHILDREN: usize = 4096;

/// What the kernel knows of a child of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildFacts {
    /// Its id as we see it.
    pub pid: i32,
    /// The kernel's name for it: of its program, up to 15 bytes.
    pub name: String,
    /// What its main thread does; `Ended` when it waits for the target to take its exit code.
    pub state: ThreadState,
}

impl Target {
    /// What a child of the target does, given its id as the target knows it.
    ///
    /// `None` when the target has no such child, or not any more.
    pub fn child(&self, pid: i32) -> Option<ChildFacts> {
        // In one namespace both of us have the same id for it, and it says whose child it is.
        if self.namespace_pid.is_none() {
            return self.child_here(pid);
        }
        // The target's level is as deep in the child's list of ids as its own list is long.
        let level = self.dir.status().ok()?.namespace_pids().count().checked_sub(1)?;
        self.children().into_iter().find_map(|here| {
            let status = ProcDir::open(here).and_then(|dir| dir.status()).ok()?;
            let is_it = status.namespace_pids().nth(level) == Some(pid);
            is_it.then(|| self.child_here(here))?
        })
    }

    /// The same, given its id as we see it.
    pub(super) fn child_here(&self, pid: i32) -> Option<ChildFacts> {
        let stat = Stat::parse(&ProcDir::open(pid).ok()?.read("stat", 4096).ok()?)?;
        let is_child = stat.parent == self.pid;
        is_child.then_some(ChildFacts { pid, name: stat.comm, state: stat.state })
    }

    /// The ids of its children as we see them, from the lists of its threads; empty with a kernel
    /// that does not make them (`CONFIG_PROC_CHILDREN`).
    pub(super) fn children(&self) -> Vec<i32> {
        let lists = self.thread_ids().into_iter().filter_map(|tid| {
            String::from_utf8(self.dir.read(&format!("task/{tid}/children"), 64 * 1024).ok()?).ok()
        });
        let ids = lists.flat_map(|list| {
            let ids = list.split_ascii_whitespace().map_while(|id| id.parse().ok());
            ids.collect::<Vec<_>>()
        });
        ids.take(MAX_CHILDREN).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_child_of_ours() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let target = Target::open(i32::try_from(std::process::id()).unwrap()).unwrap();
        let facts = target.child(pid).unwrap();
        assert_eq!((facts.pid, facts.name.as_str()), (pid, "cat"));
        // The list is the way for targets in another namespace.
        assert!(target.children().contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(target.child(pid), None);
        assert_eq!(target.child(target.pid()), None);
        assert_eq!(target.child(-1), None);
    }
}
