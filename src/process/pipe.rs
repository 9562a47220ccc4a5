//! The far ends of pipes: who waits to write into one, who has one open.
//!
//! A pipe has one number (inode) for both of its ends, in whichever process. A pair of sockets, which
//! libuv makes in place of pipes, has one for each end: then the child that was given the far one
//! still has it as the descriptor it was given it as.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::maps::bytes_of;
use super::proc::{ProcDir, Stat};
use super::syscall::Call;
use super::{Target, ThreadActivity};
use crate::snapshot::{PipeHolder, PipeWriter, ThreadState};

/// Processes below one that are looked at: a shell has one, as a rule.
const MAX_BELOW: usize = 64;
/// Threads of one of them.
const MAX_THREADS: usize = 256;
/// Processes of the machine, and descriptors of one, among which a pipe is looked for.
const MAX_PROCESSES: usize = 16_384;
const MAX_FDS: usize = 4096;
/// How long that search may take: 2 µs for each descriptor.
const MOST: Duration = Duration::from_millis(100);
/// Holders of one pipe that are named.
const MAX_HOLDERS: usize = 8;
/// Characters of a command line that are kept.
const MAX_COMMAND: usize = 80;

impl Target {
    /// Who of a child of the target and those below it waits for room in a pipe that the child was
    /// given: `pipes` has `(number in the child, descriptor of our end)`.
    pub fn writer(&self, pid: i32, pipes: &[(i32, i32)]) -> Option<PipeWriter> {
        let child = self.child(pid)?.pid;
        let dir = ProcDir::open(child).ok()?;
        let far_end = |&(number, fd): &(i32, i32)| {
            let near = self.dir.link(&format!("fd/{fd}")).ok()?;
            let is_pipe = bytes_of(&near).starts_with(b"pipe:");
            let far = if is_pipe { near } else { dir.link(&format!("fd/{number}")).ok()? };
            let is_socket = bytes_of(&far).starts_with(b"socket:");
            (is_pipe || is_socket).then_some((number, far))
        };
        let ends: Vec<(i32, PathBuf)> = pipes.iter().filter_map(far_end).collect();
        if ends.is_empty() {
            return None;
        }
        let mut all = vec![child];
        let mut at = 0;
        while let Some(&pid) = all.get(at) {
            let Ok(process) = Self::open(pid) else {
                at += 1;
                continue;
            };
            if let Some(writer) = process.writes_to(&ends) {
                return Some(writer);
            }
            let room = MAX_BELOW.saturating_sub(all.len());
            all.extend(process.children().into_iter().take(room));
            at += 1;
        }
        None
    }

    /// The first of its threads that waits for room at one of these ends.
    fn writes_to(&self, ends: &[(i32, PathBuf)]) -> Option<PipeWriter> {
        self.thread_ids().into_iter().take(MAX_THREADS).find_map(|tid| {
            let line = self.dir.read(&format!("task/{tid}/syscall"), 512).ok()?;
            let (call, fd) = Call::parse(&line)?.describe()?;
            let writes = matches!(
                &*call,
                "write"
                    | "writev"
                    | "pwritev2"
                    | "sendto"
                    | "sendmsg"
                    | "sendmmsg"
                    | "sendfile"
                    | "vmsplice"
            );
            let end = self.dir.link(&format!("fd/{}", fd.filter(|_| writes)?)).ok()?;
            let (number, _) = ends.iter().find(|(_, far)| *far == end)?;
            let (sleep_id, asleep_for) = self.sleep_of(tid);
            Some(PipeWriter {
                number: *number,
                pid: self.pid,
                name: Stat::parse(&self.dir.read("stat", 4096).ok()?)?.comm,
                call,
                sleep_id,
                asleep_for,
            })
        })
    }

    fn sleep_of(&self, tid: i32) -> (Option<u64>, Option<Duration>) {
        let sleep_id = self.thread_activity(tid).as_ref().and_then(ThreadActivity::sleep_id);
        (sleep_id, self.asleep_for(&[tid]).remove(&tid))
    }

    /// The other processes that have an end of the pipe that the target has as descriptor `fd`; none
    /// for what is no pipe, and where the search took too long.
    pub fn pipe_holders(&self, fd: i32) -> Vec<PipeHolder> {
        let Ok(pipe) = self.dir.link(&format!("fd/{fd}")) else { return Vec::new() };
        if !bytes_of(&pipe).starts_with(b"pipe:") {
            return Vec::new();
        }
        let until = Instant::now() + MOST;
        let entries = std::fs::read_dir("/proc").into_iter().flatten().take(MAX_PROCESSES);
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let has_it = |pid: &i32| {
            let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
            let mut links =
                fds.take(MAX_FDS).filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
            links.any(|link| link == pipe)
        };
        pids.take_while(|_| Instant::now() < until)
            .filter(|&pid: &i32| pid != self.pid)
            .filter(has_it)
            .filter_map(holder)
            .take(MAX_HOLDERS)
            .collect()
    }
}

fn holder(pid: i32) -> Option<PipeHolder> {
    let process = Target::open(pid).ok()?;
    let stat = Stat::parse(&process.dir.read("stat", 4096).ok()?)?;
    if stat.state == ThreadState::Ended {
        return None;
    }
    let words = process.process().cmdline;
    let command = if words.is_empty() { stat.comm } else { words.join(" ") };
    let (sleep_id, asleep_for) = process.sleep_of(pid);
    let command = command.chars().take(MAX_COMMAND).collect();
    Some(PipeHolder { pid, command, sleep_id, asleep_for })
}
