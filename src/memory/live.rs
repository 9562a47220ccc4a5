//! The memory of a running process, read with `process_vm_readv`.
//!
//! Nothing is stopped and nothing is written. Where the system call is refused as such (some
//! kernels and sandboxes have none) but `/proc/PID/mem` can be opened, that is used instead; it
//! asks for the same permission. So it is where `/proc` is mounted for another pid namespace than
//! ours (`nsenter` with only one of `--pid` and `--mount`): all else that is known of the process
//! comes from there, and the same id means another process to the call.

use std::cell::Cell;
use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::{Address, Fault, ReadMemory, ReadStats};

/// `IOV_MAX` of Linux: the most vectors one call takes.
const MAX_VECTORS: usize = 1024;

/// The memory of a running process.
#[derive(Debug)]
pub struct LiveMemory {
    pid: Pid,
    /// `/proc/PID/mem`, where `process_vm_readv` is not to be had.
    file: Option<File>,
    calls: Cell<u64>,
    bytes: Cell<u64>,
}

impl LiveMemory {
    /// The memory of process `pid`, tried out by reading one byte at `probe`.
    ///
    /// # Errors
    /// The [`Fault`] of that read; its `errno` tells whether we are not permitted (`EPERM`) or
    /// the process is gone (`ESRCH`).
    pub fn open(pid: i32, probe: Address) -> Result<Self, Fault> {
        let by_call =
            Self { pid: Pid::from_raw(pid), file: None, calls: Cell::new(0), bytes: Cell::new(0) };
        let mut byte = [0];
        let refused = if is_own_proc() {
            match by_call.read(probe, &mut byte) {
                Ok(()) => return Ok(by_call),
                Err(fault) => fault,
            }
        } else {
            // The call would mean another process, or none.
            Fault { at: probe, len: 1, errno: nix::libc::ENOSYS }
        };
        if !matches!(refused.errno, nix::libc::EPERM | nix::libc::ENOSYS) {
            return Err(refused);
        }
        let file = File::open(format!("/proc/{pid}/mem")).or(Err(refused))?;
        let by_file = Self { file: Some(file), ..by_call };
        by_file.read(probe, &mut byte).or(Err(refused))?;
        Ok(by_file)
    }

    /// Whether `/proc/PID/mem` is read because `process_vm_readv` is not to be had.
    pub fn is_by_file(&self) -> bool {
        self.file.is_some()
    }

    fn count(&self, bytes: usize) {
        self.calls.set(self.calls.get() + 1);
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    /// One call: how many bytes of `ranges` came back, from the first on.
    fn read_vectors(&self, ranges: &[Range<u64>], into: &mut [u8]) -> Result<usize, Errno> {
        let got = if let Some(file) = &self.file {
            let mut done = 0;
            for range in ranges {
                let Some(part) = into.get_mut(done..done + length(range)) else { break };
                if file.read_exact_at(part, range.start).is_err() {
                    break;
                }
                done += part.len();
            }
            if done == 0 { Err(Errno::EFAULT) } else { Ok(done) }
        } else {
            let remote: Vec<RemoteIoVec> = ranges
                .iter()
                .map(|range| RemoteIoVec {
                    base: usize::try_from(range.start).unwrap_or(usize::MAX),
                    len: length(range),
                })
                .collect();
            process_vm_readv(self.pid, &mut [IoSliceMut::new(into)], &remote)
        };
        self.count(got.unwrap_or(0));
        got
    }
}

/// Whether processes have the same ids in `/proc` as in system calls.
fn is_own_proc() -> bool {
    let own = std::fs::read_link("/proc/self");
    own.is_ok_and(|own| own.to_str() == Some(&*std::process::id().to_string()))
}

fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
}

impl ReadMemory for LiveMemory {
    fn read(&self, at: Address, into: &mut [u8]) -> Result<(), Fault> {
        let len = into.len() as u64;
        let fault = |errno: Errno| Fault { at, len, errno: errno as i32 };
        let end = at.0.checked_add(len).ok_or_else(|| fault(Errno::EFAULT))?;
        // The vector needs no allocation here: a single range is most of what is read.
        let range = at.0..end;
        match self.read_vectors(std::slice::from_ref(&range), into) {
            Ok(got) if got == into.len() => Ok(()),
            Ok(_) => Err(fault(Errno::EFAULT)),
            Err(errno) => Err(fault(errno)),
        }
    }

    /// A call ends at the first range that cannot be read and does not say why; reading goes on
    /// behind it, so one bad page costs one call and not the batch.
    fn read_many(&self, ranges: &[Range<u64>], into: &mut [u8], failed: &mut dyn FnMut(usize)) {
        let mut next = 0;
        let mut offset = 0;
        while next < ranges.len() {
            let batch = ranges.get(next..).unwrap_or_default();
            let batch = batch.get(..MAX_VECTORS).unwrap_or(batch);
            let wanted: usize = batch.iter().map(length).sum();
            let Some(part) = into.get_mut(offset..offset + wanted) else {
                (next..ranges.len()).for_each(failed);
                return;
            };
            let mut got = self.read_vectors(batch, part).unwrap_or(0);
            let complete = got == wanted;
            for range in batch {
                let len = length(range);
                if got < len {
                    break;
                }
                got -= len;
                offset += len;
                next += 1;
            }
            if !complete {
                failed(next);
                offset += ranges.get(next).map_or(0, length);
                next += 1;
            }
        }
    }

    fn stats(&self) -> ReadStats {
        ReadStats { calls: self.calls.get(), bytes: self.bytes.get() }
    }
}
