//! How many bytes a process has moved: what it has read and written, and what its TCP sockets have
//! sent and received, which the kernel counts only with these.

use std::path::Path;
use std::time::Instant;

use rustc_hash::FxHashSet;
use rustix::net::{AddressFamily, RecvFlags};

use super::Target;
use super::socket::{PATIENCE, TcpList, ask_kernel, is_of_our_network};

/// Descriptors of which sockets are looked for.
const MAX_FDS: usize = 4096;
/// More than can be read in the time for it.
const MAX_LIST: usize = 8 * 1024 * 1024;

impl Target {
    /// How many bytes it has moved so far, as far as that is counted: those of sockets only in our
    /// own network namespace. `None` where nothing is.
    pub fn bytes_moved(&self) -> Option<u64> {
        let files = self.dir.read("io", 1024).ok().map(|text| of_files(&text));
        let sockets = is_of_our_network(&self.dir).then(|| of_sockets(&self.socket_inodes()));
        if files.is_none() && sockets.is_none() {
            return None;
        }
        Some(files.unwrap_or_default().saturating_add(sockets.unwrap_or_default()))
    }

    /// The inodes of the sockets among its first descriptors.
    fn socket_inodes(&self) -> FxHashSet<u64> {
        let Ok(entries) =
            std::fs::read_dir(Path::new("/proc").join(self.pid.to_string()).join("fd"))
        else {
            return FxHashSet::default();
        };
        let links =
            entries.take(MAX_FDS).filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links
            .filter_map(|link| {
                let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
                inode.parse().ok()
            })
            .collect()
    }
}

/// `rchar` and `wchar` of `/proc/PID/io`.
fn of_files(text: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text);
    let counts = text.lines().filter_map(|line| {
        let (name, count) = line.split_once(": ")?;
        matches!(name, "rchar" | "wchar").then(|| count.parse::<u64>().ok())?
    });
    counts.fold(0, u64::saturating_add)
}

/// The bytes of the TCP sockets with these inodes.
fn of_sockets(inodes: &FxHashSet<u64>) -> u64 {
    let mut moved: u64 = 0;
    if inodes.is_empty() {
        return moved;
    }
    let until = Instant::now() + PATIENCE;
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        let Some(socket) = ask_kernel(family) else { continue };
        let mut list = TcpList::default();
        while Instant::now() < until && list.len() < MAX_LIST {
            let is_more = list.read(|room| {
                rustix::net::recv(&socket, room, RecvFlags::empty()).map_or(0, |(_, len)| len)
            });
            if !is_more {
                break;
            }
        }
        for (inode, bytes) in list.bytes() {
            if inodes.contains(&inode) {
                moved = moved.saturating_add(bytes);
            }
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn read_and_written_bytes_are_added() {
        assert_eq!(of_files(b"rchar: 300\nwchar: 20\nsyscr: 9\nread_bytes: 4096\n"), 320);
        assert_eq!(of_files(b"rchar: \xff\nwchar 3\n"), 0);
    }

    #[test]
    fn what_a_socket_has_sent_counts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let link = format!("/proc/self/fd/{}", client.as_raw_fd());
        let link = std::fs::read_link(link).unwrap();
        let inode = link.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit());
        let inodes = FxHashSet::from_iter([inode.parse().unwrap()]);
        let before = of_sockets(&inodes);
        client.write_all(&[7; 5000]).unwrap();
        server.read_exact(&mut [0; 5000]).unwrap();
        server.write_all(&[7; 300]).unwrap();
        client.read_exact(&mut [0; 300]).unwrap();
        assert!(of_sockets(&inodes) >= before + 5300);
        assert_eq!(of_sockets(&FxHashSet::default()), 0);
    }
}
