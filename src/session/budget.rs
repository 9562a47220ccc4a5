//! How much memory a snapshot may take.
//!
//! Inside a pod we share the target's memory limit: what we take too much ends one of us. So what
//! was read of the tasks is weighed as it comes, and when it is so much that what is made of it
//! would not fit, the rest is left out and that is said.

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{SysconfVar, sysconf};

use crate::process::own_cgroup;

/// What a snapshot takes at most where nothing forbids more.
const MOST: u64 = 512 << 20;
/// What we take for ourselves: code, stacks, what is not of a target.
const OURS: u64 = 24 << 20;
/// What a snapshot may take in any case: some hundred tasks.
const LEAST: u64 = 4 << 20;
/// By how much more all that is made of a task takes than what is read of it first: as plain data,
/// of two samples, with what findings and a report need.
const SHARE: u64 = 10;

/// The part of each of several targets that are read at once, of so many bytes or of what there is.
pub fn share(most: Option<u64>, among: usize) -> u64 {
    let among = u64::try_from(among).unwrap_or(u64::MAX).max(1);
    (Budget::of(most).bytes / among).saturating_add(OURS)
}

/// The memory that is there for snapshots of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    bytes: u64,
}

impl Budget {
    /// Of so many bytes; without a number, of what there is.
    pub fn of(most: Option<u64>) -> Self {
        let left = || own_cgroup().memory.map(|limit| limit.left() / 2);
        let most = most.unwrap_or_else(|| left().unwrap_or(MOST).min(MOST));
        let bytes = most.saturating_sub(OURS).min(address_space().unwrap_or(u64::MAX));
        Self { bytes: bytes.max(LEAST) }
    }

    /// How much may be read of the tasks.
    pub fn for_tasks(self) -> usize {
        usize::try_from(self.bytes / SHARE).unwrap_or(usize::MAX)
    }

    /// How much text of variables is kept.
    pub fn for_locals(self) -> usize {
        usize::try_from(self.bytes / 6).unwrap_or(usize::MAX)
    }

    /// How many bytes of the target's pages are kept.
    pub fn for_pages(self) -> u64 {
        self.bytes / 8
    }
}

/// How much address space is left to us, if that is limited.
fn address_space() -> Option<u64> {
    let (limit, _) = getrlimit(Resource::RLIMIT_AS).ok()?;
    if limit == nix::libc::RLIM_INFINITY {
        return None;
    }
    let page = u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    Some(limit.saturating_sub(pages.saturating_mul(page)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_shared_out() {
        let budget = Budget::of(Some(512 << 20));
        assert_eq!(budget.bytes, 488 << 20);
        assert!(budget.for_tasks() as u64 > 30 << 20);
        assert_eq!(Budget::of(Some(0)).bytes, LEAST);
        assert_eq!(Budget::of(Some(share(Some(512 << 20), 2))).bytes, 244 << 20);
        assert_eq!(Budget::of(Some(share(Some(512 << 20), 0))).bytes, 488 << 20);
        assert!(Budget::of(None).bytes <= MOST);
    }
}
