//! The memory map of a process: `/proc/PID/maps`, parsed tolerantly.
//!
//! Uses nothing but bytes. A path may hold spaces, line ends (escaped by the kernel), bytes that
//! are no UTF-8, or look deleted when it is not; none of it disturbs the rest of the line. A line
//! that is not understood is left out. The ranges come out ascending and without overlap, even if
//! the map changed between the several reads that a long one takes.

use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::proc::without_deleted;

/// About 600,000 mappings; the kernel's own default limit is 65,530.
pub(super) const MAX_MAPS: u64 = 64 * 1024 * 1024;

/// One range of the target's memory.
#[expect(clippy::struct_excessive_bools, reason = "the kernel's own independent flags")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Its first address.
    pub start: u64,
    /// The address behind its last.
    pub end: u64,
    /// Whether the target may read it.
    pub is_readable: bool,
    /// Whether the target may write to it.
    pub is_writable: bool,
    /// Whether the target may execute it.
    pub is_executable: bool,
    /// Whether others see what it writes there.
    #[serde(default)]
    pub is_shared: bool,
    /// Where in the file it begins.
    pub offset: u64,
    /// Major and minor number of the file's device; zero without a file.
    pub device: (u32, u32),
    /// The file's inode; zero without a file.
    pub inode: u64,
    /// The file, as far as we would see it, or a name in brackets: `[heap]`, `[stack]`.
    #[serde(serialize_with = "as_text", deserialize_with = "of_text")]
    pub path: Option<PathBuf>,
    /// Whether the file was removed or replaced since.
    pub is_deleted: bool,
}

/// A path as text; bytes that are not UTF-8 are replaced.
#[expect(clippy::ref_option, reason = "the shape serde asks for")]
fn as_text<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(std::path::Path::to_string_lossy).serialize(to)
}

fn of_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(PathBuf::from))
}

impl Mapping {
    /// The addresses it covers.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// Whether a file is mapped, not `[heap]`, not anonymous memory.
    pub fn is_file(&self) -> bool {
        self.inode != 0 && self.path.is_some()
    }

    /// Whether both are mapped from the same file.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode) && self.path == other.path
    }

    /// Parses `START-END PERMS OFFSET MAJOR:MINOR INODE   PATH`, all but the inode in hex.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut rest = line;
        let (start, end) = pair(next_word(&mut rest)?, b'-', hex)?;
        let flags = next_word(&mut rest)?;
        let has = |at: usize, flag| flags.get(at) == Some(&flag);
        let offset = hex(next_word(&mut rest)?)?;
        let device = pair(next_word(&mut rest)?, b':', |part| u32::try_from(hex(part)?).ok())?;
        let inode = std::str::from_utf8(next_word(&mut rest)?).ok()?.parse().ok()?;
        let (path, is_deleted) = match rest.trim_ascii_start() {
            [] => (None, false),
            path => {
                let (path, is_deleted) = without_deleted(&unescape(path));
                (Some(path), is_deleted)
            }
        };
        let (is_readable, is_writable, is_executable) = (has(0, b'r'), has(1, b'w'), has(2, b'x'));
        (start < end).then_some(Self {
            start,
            end,
            is_readable,
            is_writable,
            is_executable,
            is_shared: has(3, b's'),
            offset,
            device,
            inode,
            path,
            is_deleted,
        })
    }
}

/// Parses a whole map.
pub(super) fn parse(text: &[u8]) -> Vec<Mapping> {
    let mut maps: Vec<Mapping> = Vec::with_capacity(text.len() / 80);
    for mapping in text.split(|&byte| byte == b'\n').filter_map(Mapping::parse) {
        // The kernel goes on where its last read ended; a range that has grown meanwhile
        // comes twice. The first word counts.
        if maps.last().is_none_or(|last| last.end <= mapping.start) {
            maps.push(mapping);
        }
    }
    maps
}

fn next_word<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let text = rest.trim_ascii_start();
    let len = text.iter().position(|&byte| byte == b' ').unwrap_or(text.len());
    let (word, behind) = text.split_at_checked(len)?;
    *rest = behind;
    (!word.is_empty()).then_some(word)
}

fn pair<T>(word: &[u8], between: u8, parse: impl Fn(&[u8]) -> Option<T>) -> Option<(T, T)> {
    let at = word.iter().position(|&byte| byte == between)?;
    Some((parse(word.get(..at)?)?, parse(word.get(at.checked_add(1)?..)?)?))
}

fn hex(word: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()
}

/// Takes back the kernel's `\012` for a line end.
///
/// It escapes nothing else, not even the backslash: a file called `\012` in earnest cannot be told
/// from one called by a line end. Who opens the path compares device and inode.
fn unescape(path: &[u8]) -> Vec<u8> {
    const LINE_END: &[u8] = b"\\012";
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, behind)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(LINE_END) {
            plain.push(b'\n');
            rest = behind;
        } else {
            plain.push(byte);
            rest = behind;
        }
    }
    plain
}

/// The path's bytes, for comparisons.
pub(super) fn bytes_of(path: &std::path::Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(line: &[u8]) -> (Vec<u8>, bool) {
        let mapping = Mapping::parse(line).unwrap();
        (bytes_of(&mapping.path.unwrap()).to_vec(), mapping.is_deleted)
    }

    #[test]
    fn a_common_line() {
        let line = b"7f1c2a000000-7f1c2a021000 r-xp 00001000 fe:0a 1234567890123                 /usr/lib/x.so";
        let mapping = Mapping::parse(line).unwrap();
        assert_eq!(mapping.range(), 0x7f1c_2a00_0000..0x7f1c_2a02_1000);
        assert!(mapping.is_readable && !mapping.is_writable && mapping.is_executable);
        assert_eq!((mapping.offset, mapping.device), (0x1000, (0xfe, 0x0a)));
        assert_eq!(mapping.inode, 1_234_567_890_123);
        assert_eq!(mapping.path.as_deref(), Some("/usr/lib/x.so".as_ref()));
        assert!(mapping.is_file() && !mapping.is_deleted);
    }

    #[test]
    fn odd_paths() {
        let head = b"1000-2000 r--p 00000000 00:01 5    ";
        for (path, plain, is_deleted) in [
            (&b"/a b/c  d"[..], &b"/a b/c  d"[..], false),
            (b"/trailing ", b"/trailing ", false),
            (b"/x.so (deleted)", b"/x.so", true),
            (b"/x (deleted) y", b"/x (deleted) y", false),
            (b"/a\\012b\\011\\", b"/a\nb\\011\\", false),
            (b"/\xff\xfe\x80", b"/\xff\xfe\x80", false),
            (b"/memfd:x y (deleted)", b"/memfd:x y", true),
        ] {
            assert_eq!(path_of(&[head, path].concat()), (plain.to_vec(), is_deleted));
        }
    }

    #[test]
    fn without_a_file() {
        let heap = Mapping::parse(b"1000-2000 rw-p 00000000 00:00 0    [heap]").unwrap();
        assert!(!heap.is_file());
        let anonymous = Mapping::parse(b"1000-2000 rw-p 00000000 00:00 0 ").unwrap();
        assert_eq!(anonymous.path, None);
    }

    #[test]
    fn garbage_is_left_out_and_overlaps_are_dropped() {
        let text = b"x\n\n1000-3000 r--p 0 0:0 0\n2000-4000 r--p 0 0:0 0\n5000-4000 r--p 0 0:0 0\n\
                     4000-5000 rw-p 0 0:0 0\n6000-7000\n-\n6000-zz r--p 0 0:0 0\n\xff-\xff";
        let ranges: Vec<_> = parse(text).iter().map(Mapping::range).collect();
        assert_eq!(ranges, [0x1000..0x3000, 0x4000..0x5000]);
    }
}
