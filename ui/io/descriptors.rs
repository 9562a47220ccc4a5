//! How many files the tool may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// As many as some hundred processes with some dozen threads each take.
const ENOUGH: u64 = 16 * 1024;

/// From now on as many as may be, for what is read of many processes at once: two for each thread.
/// The usual limit of 1,024 is a soft one, for the sake of programs that use `select`.
pub fn raise_limit() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let enough = ENOUGH.min(hard);
    if soft < enough {
        // Without it some processes may not be read, and that is said of each.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, enough, hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_never_lowered() {
        let limits = || getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let (soft, hard) = limits();
        raise_limit();
        assert_eq!(limits(), (soft.max(ENOUGH.min(hard)), hard));
    }
}
