//! Which processes there are, who is below whom, and which of them run Python.

use std::collections::{BTreeMap, VecDeque};

use super::maps;
use super::proc::{ProcDir, Stat};
use super::{MAX_CMDLINE, Target};

/// A process as `/proc` lists it; nothing of its memory was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id as we see it.
    pub pid: i32,
    /// Who waits for its end.
    pub parent: i32,
    /// Its command line; bytes that are not UTF-8 are replaced.
    pub cmdline: Vec<String>,
}

impl Listed {
    fn of(pid: i32) -> Option<Self> {
        let dir = ProcDir::open(pid).ok()?;
        let stat = Stat::parse(&dir.read("stat", 4096).ok()?)?;
        let cmdline = dir.read("cmdline", MAX_CMDLINE).unwrap_or_default();
        Some(Self { pid, parent: stat.parent, cmdline: words_of(&cmdline) })
    }
}

/// The words of a command line. Who changes the title of a process leaves one word with empty ones
/// behind it.
fn words_of(cmdline: &[u8]) -> Vec<String> {
    let words = cmdline.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The processes here that run Python, by id, as far as that shows without reading their memory;
/// not we ourselves.
pub fn pythons() -> Vec<Listed> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let others = pids().into_iter().filter(|pid| *pid != own);
    others.filter_map(Listed::of).filter(is_python).collect()
}

/// Whether a process seems to run Python: by the names of its program, of itself, or of what it has
/// mapped.
fn is_python(listed: &Listed) -> bool {
    let Some(program) = listed.cmdline.first() else { return false };
    let Ok(dir) = ProcDir::open(listed.pid) else { return false };
    let is_named = |path: &[u8]| {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        name.windows(6).any(|part| part == b"python")
    };
    let is_exe = || dir.link("exe").is_ok_and(|path| is_named(maps::bytes_of(&path)));
    // One under another name maps `libpython3.12.so`, or modules such as
    // `_asyncio.cpython-312-x86_64-linux-gnu.so`.
    let has_modules = || {
        let maps = dir.read("maps", maps::MAX_MAPS).unwrap_or_default();
        maps.split(|byte| *byte == b'\n').any(is_named)
    };
    is_named(program.as_bytes()) || is_exe() || has_modules()
}

/// The processes below one, nearest first, `most` of them at most.
pub fn below(pid: i32, most: usize) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for pid in pids() {
        let stat = ProcDir::open(pid).and_then(|dir| dir.read("stat", 4096)).ok();
        if let Some(stat) = stat.and_then(|stat| Stat::parse(&stat)) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = VecDeque::from([pid]);
    // Each list is taken once: ids that were given away meanwhile may make a circle.
    while let Some(children) = next.pop_front().map(|it| children.remove(&it)) {
        for child in children.into_iter().flatten().filter(|child| *child != pid) {
            if found.len() == most {
                return found;
            }
            found.push(child);
            next.push_back(child);
        }
    }
    found
}

impl Target {
    /// Whether it has children, as far as its threads tell at this moment. The kernel may leave
    /// some out of their lists while others end.
    pub fn has_children(&self) -> bool {
        !self.children().is_empty()
    }
}

/// The ids of all processes that we see, ascending.
fn pids() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut pids: Vec<i32> = pids.collect();
    pids.sort_unstable();
    pids
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn a_tree_of_ours() {
        let own = i32::try_from(std::process::id()).unwrap();
        // The inner shell has a child of its own, and is not replaced by it.
        let mut child = Command::new("sh")
            .args(["-c", "exec 3<&0; sh -c 'cat <&3; true' & echo $!; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let inner: i32 = line.trim().parse().unwrap();
        let all = below(own, 1000);
        let place = |pid: i32| all.iter().position(|it| *it == pid);
        assert!(place(pid).unwrap() < place(inner).unwrap(), "{all:?}");
        assert_eq!(below(pid, 1), [inner]);
        assert_eq!(Target::open(inner).unwrap().process().parent, Some(pid));
        assert!(Target::open(pid).unwrap().has_children());
        let listed = Listed::of(inner).unwrap();
        assert_eq!((listed.parent, listed.cmdline[0].as_str()), (pid, "sh"));
        assert!(pythons().iter().all(|it| ![own, pid, inner].contains(&it.pid)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(below(pid, 10).is_empty());
    }

    #[test]
    fn titles_are_one_word() {
        assert_eq!(words_of(b"gunicorn: worker [app]\0\0\0"), ["gunicorn: worker [app]"]);
        assert_eq!(words_of(b"python3\0-m\0app\0"), ["python3", "-m", "app"]);
        assert!(words_of(b"").is_empty());
    }
}
