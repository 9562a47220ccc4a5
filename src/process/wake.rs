//! What can wake a thread that waits for events with no time limit, as the kernel knows it.

use serde::{Deserialize, Serialize};

use super::Target;

/// What can end a wait for the events of one epoll descriptor, but for a thread of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wakers {
    /// The descriptors that are registered, in ascending order: all of the kernel's list, whatever
    /// the loop believes to have registered.
    pub registered: Vec<i32>,
    /// The signals that have a handler which may be the program's.
    pub signals: Vec<i32>,
    /// Whether a tracer has hold of the process.
    pub is_traced: bool,
}

impl Target {
    /// What can end a wait for the events of this epoll descriptor.
    ///
    /// `None` when it is no such descriptor, or we may not know.
    pub fn wakers(&self, epoll: i32) -> Option<Wakers> {
        let mut registered: Vec<i32> = self.registered(epoll)?.iter().map(|it| it.fd).collect();
        registered.sort_unstable();
        let status = self.dir.status().ok()?;
        Some(Wakers {
            registered,
            signals: of_program(status.mask("SigCgt")?),
            is_traced: status.number("TracerPid")? != 0,
        })
    }
}

/// The signals of a mask but for those that Python or the C library always handle, or that end the
/// process anyway.
fn of_program(mask: u64) -> Vec<i32> {
    // SIGINT is Python's own; 32 to 34 are the C library's; SIGILL, SIGABRT, SIGBUS, SIGFPE and
    // SIGSEGV are what `faulthandler` reports before the process ends.
    const OTHERS: [i32; 9] = [2, 32, 33, 34, 4, 6, 7, 8, 11];
    (1..=64).filter(|signal| mask >> (signal - 1) & 1 == 1 && !OTHERS.contains(signal)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use rustix::event::epoll;

    use super::*;

    #[test]
    fn what_is_registered_is_what_the_kernel_says() {
        let target = Target::open(i32::try_from(std::process::id()).unwrap()).unwrap();
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let wakers = || target.wakers(set.as_raw_fd()).unwrap();
        assert!(wakers().registered.is_empty());
        let (reader, _writer) = std::io::pipe().unwrap();
        let data = epoll::EventData::new_u64(7);
        epoll::add(&set, &reader, data, epoll::EventFlags::IN).unwrap();
        assert_eq!(wakers().registered, [reader.as_raw_fd()]);
        let number = reader.as_raw_fd();
        drop(reader);
        // The kernel drops what is closed.
        assert!(!wakers().registered.contains(&number));
        assert_eq!(target.wakers(9999), None);
    }

    #[test]
    fn signals_that_are_not_the_programs_are_left_out() {
        // SIGINT, and 33 of a process that ever had a second thread.
        assert!(of_program(0x1_0000_0002).is_empty());
        assert!(of_program(0x4ea).is_empty());
        assert_eq!(of_program(0x1_0000_4202), [10, 15]);
    }
}
