//! Much memory from end to end, in pieces: none of it is kept.

use std::ops::Range;
use std::sync::mpsc;

use super::{Address, ReadMemory, TimeLimit};

/// Bytes of one piece. With more a thread of the target that maps memory waits longer for the kernel's
/// lock; less is slower (0.16 s a GiB).
const PIECE: usize = 1 << 20;

/// Pieces that are there at once: one that is looked at, one that is read, and one between them.
const PIECES: usize = 3;

/// Shows the bytes of the given ranges to `look`, with their address, piece by piece; false when the
/// time was over before the end. A piece that is not there any more is left out.
///
/// It is looked at in a thread of its own, while the next piece is read.
pub fn sweep(
    memory: &impl ReadMemory,
    ranges: &[Range<u64>],
    limit: &TimeLimit,
    look: &mut (dyn FnMut(Address, &[u8]) + Send),
) -> bool {
    std::thread::scope(|scope| {
        let (give, given) = mpsc::channel::<(Address, usize, Vec<u8>)>();
        let (done, free) = mpsc::channel();
        for _ in 0..PIECES {
            // Both ends are here.
            let _ = done.send(vec![0; PIECE]);
        }
        scope.spawn(move || {
            for (at, len, bytes) in given {
                look(at, bytes.get(..len).unwrap_or_default());
                // Nobody reads on.
                let _ = done.send(bytes);
            }
        });
        let mut spare = None;
        for range in ranges {
            for start in range.clone().step_by(PIECE) {
                if !limit.may_read() {
                    return false;
                }
                // An error: what looks at it has panicked, which ends the scope with the same.
                let Some(mut bytes) = spare.take().or_else(|| free.recv().ok()) else {
                    return false;
                };
                let len = usize::try_from(range.end - start).unwrap_or(PIECE).min(PIECE);
                let piece = bytes.get_mut(..len).unwrap_or_default();
                if memory.read(Address(start), piece).is_err() {
                    spare = Some(bytes);
                } else if give.send((Address(start), len, bytes)).is_err() {
                    return false;
                }
            }
        }
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Image;

    #[test]
    fn all_of_it_is_seen_once_and_what_is_gone_is_left_out() {
        const FIRST: u64 = 0x10_0000;
        let len = PIECE + 4096;
        let there = FIRST..FIRST + len as u64;
        let memory = Image::new([(Address(FIRST), vec![7; len])]);
        let mut seen = Vec::new();
        let ranges = [there.clone(), there.end..there.end + 4096];
        let whole = sweep(&memory, &ranges, &TimeLimit::default(), &mut |at, bytes| {
            assert!(bytes.iter().all(|byte| *byte == 7));
            seen.push((at.0, bytes.len()));
        });
        assert!(whole);
        assert_eq!(seen, [(FIRST, PIECE), (FIRST + PIECE as u64, 4096)]);
    }
}
