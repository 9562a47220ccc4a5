//! What is registered at a descriptor of `epoll`, as the kernel lists it.

use super::Target;

/// More than the 100 bytes of each of so many registered descriptors.
const MAX_INFO: u64 = 8 << 20;

/// A descriptor that is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Registered {
    /// Its number.
    pub fd: i32,
    /// The inode of what it was when it was registered; before Linux 4.13 that is not said.
    pub inode: Option<u64>,
    /// Whether it is waited for until there is something to read.
    pub is_for_reading: bool,
}

impl Target {
    /// What is registered at a descriptor of `epoll`; `None` when it is no such descriptor, or we
    /// may not know.
    pub(super) fn registered(&self, epoll: i32) -> Option<Vec<Registered>> {
        let info = self.dir.read(&format!("fdinfo/{epoll}"), MAX_INFO).ok()?;
        Some(String::from_utf8_lossy(&info).lines().filter_map(registered).collect())
    }
}

/// `tfd: FD events: MASK data: … pos:0 ino:INODE sdev:…` (fs/eventpoll.c; all but FD are hex).
fn registered(line: &str) -> Option<Registered> {
    const EPOLLIN: u64 = 1;
    let after = |name: &str| {
        let (_, rest) = line.split_once(name)?;
        rest.split_whitespace().next()
    };
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some(Registered {
        fd: after("tfd:")?.parse().ok()?,
        inode: after("ino:").and_then(hex),
        is_for_reading: hex(after("events:")?)? & EPOLLIN != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_epoll_waits_for() {
        let line = "tfd:        6 events:       19 data: 55d0000006  pos:0 ino:7a3f sdev:8";
        let known =
            |is_for_reading| Some(Registered { fd: 6, inode: Some(0x7a3f), is_for_reading });
        assert_eq!(registered(line), known(true));
        let for_writing = line.replace("      19", "      1c");
        assert_eq!(registered(&for_writing), known(false));
        assert_eq!(registered("pos:\t0"), None);
        assert_eq!(registered("tfd: x events: 19 ino:1"), None);
    }
}
