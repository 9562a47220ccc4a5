//! Why we may, or may not, read another process's memory: the facts, from both processes.
//!
//! Uses `/proc` only. A fact that cannot be read is `None`. The facts are for a person to act on;
//! nothing here decides anything: only the read itself tells whether it is permitted.

use std::os::unix::fs::MetadataExt as _;

use super::proc::{ProcDir, Status};
use crate::error::Access;

/// `CAP_SYS_PTRACE` is capability 19.
const SYS_PTRACE: u64 = 1 << 19;

/// Gathers the facts about reading `target`, after a call was refused with `errno`.
pub(super) fn gather(target: Option<&ProcDir>, errno: Option<i32>) -> Access {
    let own = ProcDir::own().ok();
    let ours = own.as_ref().and_then(|own| own.status().ok());
    let theirs = target.and_then(|target| target.status().ok());
    let our_mask = ours.as_ref().and_then(|status| status.mask("CapEff"));
    let their_mask = theirs.as_ref().and_then(|status| status.mask("CapPrm"));
    let namespace = |dir: Option<&ProcDir>| dir.and_then(|dir| dir.link("ns/user").ok());
    let has_ptrace_capability = our_mask.map(|mask| mask & SYS_PTRACE != 0);
    let our_gid = ours.as_ref().and_then(|status| gids(status).get(1).copied());
    let their_gids = theirs.as_ref().map(gids).unwrap_or_default();
    let target_uid = theirs.as_ref().and_then(Status::effective_uid);
    Access {
        our_uid: ours.as_ref().and_then(Status::effective_uid),
        target_uid,
        our_gid,
        target_gid: their_gids
            .iter()
            .find(|gid| Some(**gid) != our_gid)
            .or_else(|| their_gids.get(1))
            .copied(),
        is_dumpable: target.zip(target_uid).and_then(|(dir, uid)| is_dumpable(dir, uid)),
        is_hidden: target.is_none(),
        security_modules: security_modules(),
        has_ptrace_capability,
        missing_capabilities: their_mask.zip(our_mask).map(|(theirs, ours)| theirs & !ours),
        yama_scope: yama_scope(),
        same_user_namespace: match (namespace(own.as_ref()), namespace(target)) {
            (Some(ours), Some(theirs)) => Some(ours == theirs),
            // The capability opens the link of each process for which it counts.
            (Some(_), None) if has_ptrace_capability == Some(true) => {
                own.as_ref().is_some_and(is_in_user_namespace).then_some(false)
            }
            _ => None,
        },
        seccomp_filter: ours.as_ref().and_then(|status| status.number("Seccomp")).map(|n| n == 2),
        errno,
    }
}

/// Whether a process lives in another user namespace than the first one, in which all ids mean
/// themselves.
fn is_in_user_namespace(dir: &ProcDir) -> bool {
    let map = dir.read("uid_map", 4096).unwrap_or_default();
    let map = String::from_utf8_lossy(&map);
    !map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// The real, effective and saved group, each of which the kernel compares with ours.
fn gids(status: &Status) -> Vec<u32> {
    let ids = status.field("Gid").unwrap_or_default().split_ascii_whitespace();
    ids.take(3).filter_map(|id| id.parse().ok()).collect()
}

/// The files of a process that may not be dumped belong to root (`proc(5)`); of one that is root's
/// that tells nothing.
fn is_dumpable(dir: &ProcDir, uid: u32) -> Option<bool> {
    let owner = dir.look_up("status").ok()?.metadata().ok()?.uid();
    (uid != 0).then_some(owner == uid)
}

/// Those of the active modules that have rules of their own about reading another process.
fn security_modules() -> Vec<String> {
    const WITH_RULES: [&str; 5] = ["apparmor", "selinux", "smack", "tomoyo", "landlock"];
    let active = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let active = active.trim().split(',').filter(|name| WITH_RULES.contains(name));
    active.map(str::to_owned).collect()
}

fn yama_scope() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ourselves() {
        let own = ProcDir::own().unwrap();
        let access = gather(Some(&own), Some(1));
        assert_eq!(access.our_uid, access.target_uid);
        assert!(access.our_uid.is_some());
        assert_eq!(access.same_user_namespace, Some(true));
        assert_eq!(access.errno, Some(1));
        assert!(access.our_gid.is_some() && access.our_gid == access.target_gid);
        assert_ne!(access.is_dumpable, Some(false));
        assert!(!access.is_hidden && gather(None, None).is_hidden);
    }
}
