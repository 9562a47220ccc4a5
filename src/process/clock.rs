//! The target's `CLOCK_MONOTONIC`, which is ours but for the offset of its time namespace.
//!
//! Uses `/proc/PID/timens_offsets` and two links. An offset that cannot be known for sure is an
//! error, never zero: a loop's age told wrong by days is worse than none.

use std::io;

use super::proc::ProcDir;

/// Nanoseconds by which the target's clock is before ours.
pub(super) fn monotonic_offset(target: &ProcDir) -> io::Result<i128> {
    let own = ProcDir::own()?;
    let link = |dir: &ProcDir| match dir.link("ns/time") {
        Ok(link) => Ok(Some(link)),
        // Kernels before 5.6 have no time namespaces.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    if link(&own)? == link(target)? {
        return Ok(0);
    }
    Ok(offset_of(target)? - offset_of(&own)?)
}

/// The offset against the clock of the initial time namespace.
fn offset_of(dir: &ProcDir) -> io::Result<i128> {
    // The file tells of the namespace of the process's future children, which is its own
    // except between `unshare(CLONE_NEWTIME)` and the first `fork`.
    if dir.link("ns/time")? != dir.link("ns/time_for_children")? {
        return Err(io::Error::other("time namespace not yet entered"));
    }
    parse(&dir.read("timens_offsets", 4096)?)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Parses the line `monotonic SECONDS NANOSECONDS`.
fn parse(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text
        .lines()
        .map(str::split_ascii_whitespace)
        .find_map(|mut words| (words.next()? == "monotonic").then_some(words))?;
    let seconds: i64 = words.next()?.parse().ok()?;
    let nanoseconds: i64 = words.next()?.parse().ok()?;
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets() {
        let text = b"monotonic         -86400 500000000\nboottime           7         0\n";
        assert_eq!(parse(text), Some(-86_399_500_000_000));
        assert_eq!(parse(b"boottime 1 2\n"), None);
        assert_eq!(parse(b"monotonic x\n"), None);
    }

    #[test]
    fn our_own_is_zero() {
        assert_eq!(monotonic_offset(&ProcDir::own().unwrap()).unwrap(), 0);
    }
}
