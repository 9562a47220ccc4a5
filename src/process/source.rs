//! The source files that the target's code was compiled from, for the lines that frames are at.
//!
//! The name of a file comes from the target, so it is taken as a claim: it is looked up below the
//! target's own root, by `openat2` with `RESOLVE_IN_ROOT`, so that no symbolic link leads out of
//! it, and only what the target itself may read is read for it. What was looked up is opened only
//! if it is a regular file, so that no FIFO holds us and no device is touched.
//!
//! A file that was changed after the process began may not be what runs: its lines are not given,
//! for a wrong line misleads more than none. The time of the last change of its place or rights
//! counts as well, for an unpacked or copied file has the time of its original.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, geteuid, setfsgid, setfsuid};
use rustc_hash::FxHashMap;

use super::answer::in_time;
use super::{Target, started_at};
use crate::snapshot::Process;

/// The largest modules that people write have some 50,000 lines; generated ones reach 4 MiB.
const MAX_SOURCE: u64 = 4 << 20;
/// How many files are kept, those that are not there included.
const MAX_FILES: usize = 1024;
/// How much text is kept.
const MAX_KEPT: usize = 64 << 20;
/// How much later than the process a file may seem to be that is as old: both times are rounded
/// down, by up to 10 ms.
const SLACK: Duration = Duration::from_millis(20);
/// How far two readings of one start time may be apart.
const SAME_START: Duration = Duration::from_millis(500);

/// What is known of a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceFile {
    /// Its text; bytes that are not UTF-8 are replaced.
    Text(Arc<str>),
    /// It is there, but was changed since the process began.
    Changed,
    /// It is not there, or not to be read.
    Absent,
}

/// The source files of one process; each is read once.
#[derive(Debug)]
pub struct Source {
    target: Target,
    reader: Reader,
    kept: Mutex<CachedFiles>,
}

#[derive(Debug, Default)]
struct CachedFiles {
    files: FxHashMap<String, SourceFile>,
    bytes: usize,
}

impl Source {
    /// The source files of the process that a snapshot is of; `None` when it has ended.
    pub fn of(process: &Process) -> Option<Self> {
        let target = Target::open(process.pid).ok()?;
        let reader = Reader::of(&target)?;
        // Another one may have been given its id.
        let apart = process.started_at?.duration_until(reader.started_at).unsigned_abs();
        (apart <= SAME_START).then(|| Self { target, reader, kept: Mutex::default() })
    }

    /// The first file that did not answer, as those on the mount of a server that is gone; after
    /// it none is read any more.
    pub fn silent_file(&self) -> Option<&str> {
        self.target.silent_file.get().map(String::as_str)
    }

    /// The file that a code object calls `path`.
    pub fn file(&self, path: &str) -> SourceFile {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = kept.files.get(path) {
            return file.clone();
        }
        if kept.files.len() >= MAX_FILES || kept.bytes >= MAX_KEPT {
            return SourceFile::Absent;
        }
        let file = self.target.source_for(path, &self.reader);
        if let SourceFile::Text(text) = &file {
            kept.bytes = kept.bytes.saturating_add(text.len());
        }
        kept.files.insert(path.to_owned(), file.clone());
        file
    }
}

impl Target {
    /// The source file that a code object of the target calls `path`; relative names count from
    /// the target's current folder. [`Source`] keeps what it has read.
    pub fn source(&self, path: &str) -> SourceFile {
        Reader::of(self).map_or(SourceFile::Absent, |reader| self.source_for(path, &reader))
    }

    fn source_for(&self, path: &str, reader: &Reader) -> SourceFile {
        // `<string>`, `<frozen importlib._bootstrap>`.
        if path.is_empty() || path.starts_with('<') {
            return SourceFile::Absent;
        }
        let found = self.look_as_user(path, reader.clone(), |root, path, reader| {
            look_up_below(root, path).and_then(|file| reader.read(&file))
        });
        found.unwrap_or(SourceFile::Absent)
    }

    /// What `look` finds below the target's root with no more than the target's own rights, if it
    /// is an answer in time; nothing once a file did not answer.
    pub(super) fn look_as_user<T: Send + 'static>(
        &self,
        path: &str,
        reader: Reader,
        look: impl FnOnce(&File, &Path, &Reader) -> io::Result<T> + Send + 'static,
    ) -> Option<T> {
        if self.silent_file.get().is_some() {
            return None;
        }
        let read = || {
            let mut full = PathBuf::from(path);
            if full.is_relative() {
                full = self.below_root(&self.dir.link("cwd")?).join(full);
            }
            // The root is ours to look up; from there on only the target's own rights count.
            let root = self.dir.look_up("root")?;
            in_time(move || reader.as_user(|| look(&root, &full, &reader)))
        };
        let found = read();
        if found.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            self.silent_file.get_or_init(|| path.to_owned());
        }
        found.ok()
    }
}

/// Looks a path up below `root`, without opening it.
pub(super) fn look_up_below(root: &File, path: &Path) -> io::Result<File> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(root.as_fd(), path, how) {
        // Kernels before 5.6, and sandboxes that do not know the call: only a root that is ours
        // too has no outside.
        Err(nix::Error::ENOSYS | nix::Error::EPERM) if is_our_root(&root.metadata()?) => {
            Ok(open(path, flags, Mode::empty())?.into())
        }
        found => Ok(found?.into()),
    }
}

/// Opens what was looked up, to be read.
pub(super) fn opened(looked_up: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", looked_up.as_raw_fd()))
}

fn is_our_root(root: &Metadata) -> bool {
    std::fs::metadata("/").is_ok_and(|ours| (ours.dev(), ours.ino()) == (root.dev(), root.ino()))
}

/// On whose behalf files are read.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    started_at: Timestamp,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Reader {
    pub(super) fn of(target: &Target) -> Option<Self> {
        let status = target.dir.status().ok()?;
        let ids = |name| status.field(name).unwrap_or_default().split_ascii_whitespace();
        let gid = ids("Gid").nth(1)?.parse().ok()?;
        let others = ids("Groups").filter_map(|id| id.parse().ok());
        Some(Self {
            started_at: started_at(target.identity.start_time)?,
            uid: status.effective_uid()?,
            gid,
            groups: std::iter::once(gid).chain(others).collect(),
        })
    }

    /// Does `what` with the target's rights over files, if ours are those of root: in a thread of
    /// its own, for they are a thread's.
    fn as_user<T: Send>(&self, what: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        if !geteuid().is_root() || self.uid == 0 {
            return what();
        }
        let in_thread = || {
            self.take_rights()?;
            what()
        };
        std::thread::scope(|scope| scope.spawn(in_thread).join())
            .unwrap_or_else(|_| Err(io::Error::other("the reader of a file has panicked")))
    }

    /// Takes the target's user and groups for what this thread does with files; with them go the
    /// capabilities that override rights (`capabilities(7)`).
    fn take_rights(&self) -> io::Result<()> {
        let groups: Vec<_> =
            self.groups.iter().map(|gid| rustix::process::Gid::from_raw(*gid)).collect();
        rustix::thread::set_thread_groups(&groups)?;
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        // Each gives the one before, and has no other way to fail.
        let _ = (setfsgid(gid), setfsuid(uid));
        if setfsgid(gid) == gid && setfsuid(uid) == uid {
            Ok(())
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    fn may_read(&self, facts: &Metadata) -> bool {
        let mode = facts.mode();
        let bit = match () {
            () if self.uid == 0 => return true,
            () if facts.uid() == self.uid => 0o400,
            () if self.groups.contains(&facts.gid()) => 0o040,
            () => 0o004,
        };
        mode & bit != 0
    }

    fn is_older(&self, seconds: i64, nanoseconds: i64) -> bool {
        let time = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        let slack = i128::try_from(SLACK.as_nanos()).unwrap_or(0);
        time <= self.started_at.as_nanosecond() + slack
    }

    /// Reads what was looked up.
    fn read(&self, looked_up: &File) -> io::Result<SourceFile> {
        let facts = looked_up.metadata()?;
        let size = facts.len();
        if !facts.is_file() || !self.may_read(&facts) || size == 0 || size > MAX_SOURCE {
            return Ok(SourceFile::Absent);
        }
        let is_old = self.is_older(facts.mtime(), facts.mtime_nsec())
            && self.is_older(facts.ctime(), facts.ctime_nsec());
        if !is_old {
            return Ok(SourceFile::Changed);
        }
        let file = opened(looked_up)?;
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(size).read_to_end(&mut bytes)?;
        Ok(SourceFile::Text(String::from_utf8_lossy(&bytes).into()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use nix::unistd::mkfifo;

    use super::*;

    fn own() -> Target {
        Target::open(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    fn folder(path: &Path) -> File {
        open(path, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).unwrap().into()
    }

    /// One for whom every file is old enough.
    fn reader(uid: u32, groups: &[u32]) -> Reader {
        Reader { started_at: Timestamp::MAX, uid, gid: uid, groups: groups.to_vec() }
    }

    fn text(text: &str) -> SourceFile {
        SourceFile::Text(text.into())
    }

    #[test]
    fn a_file_older_than_the_process_is_read() {
        let target = own();
        let source = Source::of(&target.process()).unwrap();
        let absolute = concat!(env!("CARGO_MANIFEST_DIR"), "/src/process/source.rs");
        let expected = text(include_str!("source.rs"));
        assert_eq!(source.file(absolute), expected);
        assert_eq!(source.file(absolute), expected, "and kept");
        assert_eq!(target.source(absolute), expected);
        assert_eq!(source.file("src/process/source.rs"), expected, "cargo sets the folder");
        for name in ["", "<string>", "<frozen os>", "src", "/nonexistent.py", "a\0b", "/dev/null"] {
            assert_eq!(source.file(name), SourceFile::Absent, "{name:?}");
        }
    }

    #[test]
    fn a_file_younger_than_the_process_is_not_believed() {
        let target = own();
        let source = Source::of(&target.process()).unwrap();
        // The process has to be older than the time's rounding.
        while target.process().started_at.unwrap().duration_until(Timestamp::now()).as_millis()
            < 100
        {
            std::thread::yield_now();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "x = 1\n").unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(source.file(path), SourceFile::Changed);
        // As unpacked from an archive: only the time of the inode tells.
        file.as_file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(target.source(path), SourceFile::Changed);
    }

    #[test]
    fn another_process_with_the_same_id_is_not_taken_for_it() {
        let mut process = own().process();
        process.started_at = Some("2024-01-01T00:00:00Z".parse().unwrap());
        assert!(Source::of(&process).is_none());
        process.started_at = None;
        assert!(Source::of(&process).is_none());
    }

    #[test]
    fn links_do_not_lead_out_of_the_root() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        fs::write(&outside, "secret").unwrap();
        fs::create_dir(root.path().join("srv")).unwrap();
        fs::write(root.path().join("srv/app.py"), "inside").unwrap();
        symlink(outside.path(), root.path().join("absolute.py")).unwrap();
        symlink("/srv/app.py", root.path().join("inner.py")).unwrap();
        let up = format!("{}{}", "../".repeat(20), outside.path().display());
        symlink(&up, root.path().join("relative.py")).unwrap();
        symlink("/proc/self/cwd", root.path().join("magic")).unwrap();

        let dir = folder(root.path());
        let read = |path: &str| {
            look_up_below(&dir, Path::new(path)).and_then(|file| reader(0, &[]).read(&file))
        };
        assert_eq!(read("/srv/app.py").unwrap(), text("inside"));
        assert_eq!(read("/inner.py").unwrap(), text("inside"));
        assert_eq!(read("/../../srv/app.py").unwrap(), text("inside"));
        for path in ["/absolute.py", "/relative.py", "/magic/Cargo.toml", &up] {
            assert!(read(path).is_err(), "{path}");
        }
    }

    #[test]
    fn only_regular_files_of_some_size_are_read() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        mkfifo(&path("fifo.py"), Mode::S_IRWXU).unwrap();
        fs::create_dir(path("folder.py")).unwrap();
        fs::write(path("empty.py"), "").unwrap();
        File::create(path("huge.py")).unwrap().set_len(MAX_SOURCE + 1).unwrap();
        fs::write(path("latin.py"), b"# \xe9\n").unwrap();
        let dir = folder(root.path());
        let read = |name: &str| {
            look_up_below(&dir, Path::new(name)).and_then(|file| reader(0, &[]).read(&file))
        };
        for name in ["fifo.py", "folder.py", "empty.py", "huge.py"] {
            assert_eq!(read(name).unwrap(), SourceFile::Absent, "{name}");
        }
        assert_eq!(read("latin.py").unwrap(), text("# \u{fffd}\n"));
    }

    #[test]
    fn a_file_in_a_folder_that_is_closed_to_the_target_is_not_read_for_it() {
        if !geteuid().is_root() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let closed = root.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::write(closed.join("secret.py"), "secret").unwrap();
        fs::write(root.path().join("open.py"), "open").unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let dir = folder(root.path());
        let read = |uid, name: &str| {
            let reader = reader(uid, &[uid]);
            reader.as_user(|| {
                look_up_below(&dir, Path::new(name)).and_then(|file| reader.read(&file))
            })
        };
        assert_eq!(read(1000, "open.py").unwrap(), text("open"));
        assert!(read(1000, "closed/secret.py").is_err());
        assert_eq!(read(0, "closed/secret.py").unwrap(), text("secret"));
        // Only that one thread has given up its rights.
        assert_eq!(fs::read_to_string(closed.join("secret.py")).unwrap(), "secret");
    }

    #[test]
    fn what_the_target_may_not_read_is_not_read_for_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let facts = || fs::metadata(&file).unwrap();
        let (uid, gid) = (facts().uid(), facts().gid());
        let other = uid.wrapping_add(1).max(1);
        let may = |mode, uid, groups: &[u32]| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            reader(uid, groups).may_read(&facts())
        };
        assert!(!may(0o600, other, &[]) && may(0o604, other, &[]));
        assert!(!may(0o600, other, &[gid]) && may(0o640, other, &[gid]));
        assert!(may(0o400, uid, &[]) && may(0o000, 0, &[]));
    }
}
