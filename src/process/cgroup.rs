//! The control groups of a process: its quota of processor time, its freezer, its memory limit.
//!
//! Both hierarchies are looked at, for both may be there at once: the controllers of version 1
//! each have their own tree, and the one tree of version 2 has files that say nothing about what
//! is controlled elsewhere.
//!
//! The kernel writes the paths of groups and the roots of mounts relative to the namespace of who
//! reads them. In a container a path may lead out of everything that is mounted there (`/..`), and
//! a mount may have a root above the path. Whoever makes arithmetic of these opens the files of
//! another group, the whole machine's for one, without any error. So they are compared as text,
//! and no `..` is ever walked along: a mount serves whose root is a leading part of the path, and
//! what is then opened has to be on the very file system that the mount table names. The target's
//! own mounts are tried first, then ours; a group that neither shows is not seen.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, major, minor};

use super::Target;
use super::proc::ProcDir;
use super::source::look_up_below;
use crate::snapshot::{Cgroup, MemoryLimit, Pressure, Quota, Stalls};

/// Group paths have up to 4 KiB, and there is a line for each of some 14 controllers.
pub(super) const MAX_CGROUP: u64 = 64 * 1024;
/// A machine that runs some hundred containers has some ten thousand mounts.
const MAX_MOUNTS: u64 = 4 << 20;
/// The files of a group are short; `memory.stat` has about 2 KiB.
const MAX_FILE: u64 = 64 * 1024;
/// Groups around a group that are asked for their limits; `kubelet` nests five.
const MAX_LEVELS: usize = 32;
/// Version 1 has no word for "no limit": it is the largest multiple of a page.
const NO_LIMIT: u64 = 1 << 60;

impl Target {
    /// What its control groups allow it at this moment.
    pub fn cgroup(&self) -> Cgroup {
        let text = self.dir.read("cgroup", MAX_CGROUP).unwrap_or_default();
        let mut known = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        // A process that is moved to another group has another text.
        let groups = match known.take().filter(|groups| groups.text == text) {
            Some(groups) => groups,
            None => Groups::of(&self.dir, text),
        };
        let facts = groups.facts();
        *known = Some(groups);
        facts
    }
}

/// What our own control groups allow us at this moment.
pub fn own() -> Cgroup {
    let Ok(dir) = ProcDir::own() else { return Cgroup::default() };
    Groups::of(&dir, dir.read("cgroup", MAX_CGROUP).unwrap_or_default()).facts()
}

/// The opened groups of a process.
#[derive(Debug)]
pub(super) struct Groups {
    /// The file `cgroup` that tells of them.
    text: Vec<u8>,
    cpu: Option<Tree>,
    memory: Option<Tree>,
    freezer: Option<Tree>,
    unified: Option<Tree>,
    cpu_is_unified: bool,
    memory_is_unified: bool,
}

/// A group and those around it, innermost first.
#[derive(Debug)]
struct Tree {
    levels: Vec<Level>,
}

/// A group's folder, kept looked up.
#[derive(Debug)]
struct Level {
    group: Arc<str>,
    folder: File,
}

/// Which hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hierarchy {
    /// That of a controller of version 1.
    Of(&'static str),
    /// The one of version 2.
    Unified,
}

/// A line of `mountinfo` of a control group file system.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: (u64, u64),
    root: Vec<u8>,
    point: PathBuf,
    is_unified: bool,
    /// The options of the file system: the names of the controllers, for version 1.
    options: Vec<u8>,
}

impl Groups {
    fn of(process: &ProcDir, text: Vec<u8>) -> Self {
        let mounts = |dir: &ProcDir| {
            let text = dir.read("mountinfo", MAX_MOUNTS).unwrap_or_default();
            Some((dir.look_up("root").ok()?, mounts(&text)))
        };
        let own = || mounts(&ProcDir::own().ok()?);
        let views = [mounts(process), own()];
        Self::found(text, &views.into_iter().flatten().collect::<Vec<_>>())
    }

    /// The groups that a text names, below the first of the roots whose mounts show them.
    fn found(text: Vec<u8>, views: &[(File, Vec<Mount>)]) -> Self {
        let tree = |hierarchy| {
            let path = path_of(&text, hierarchy)?;
            let mut found = views.iter().filter_map(|(root, mounts)| {
                mounts.iter().find_map(|mount| Tree::open(root, mount, hierarchy, path))
            });
            found.next()
        };
        let is_unified = |controller| path_of(&text, Hierarchy::Of(controller)).is_none();
        Self {
            cpu: tree(Hierarchy::Of("cpu")),
            memory: tree(Hierarchy::Of("memory")),
            freezer: tree(Hierarchy::Of("freezer")),
            unified: tree(Hierarchy::Unified),
            cpu_is_unified: is_unified("cpu"),
            memory_is_unified: is_unified("memory"),
            text,
        }
    }

    fn facts(&self) -> Cgroup {
        // A tree of version 2 has a `cpu.stat` even where version 1 has the controller.
        let quotas = if self.cpu_is_unified {
            self.unified.as_ref().map(|tree| tree.each(Level::quota))
        } else {
            self.cpu.as_ref().map(|tree| tree.each(Level::quota_v1))
        };
        let limits = if self.memory_is_unified {
            self.unified.as_ref().map(|tree| tree.each(Level::memory))
        } else {
            self.memory.as_ref().map(|tree| tree.each(Level::memory_v1))
        };
        // Each freezer works, whichever has the other controllers; each says what those around do.
        let own = |tree: &Option<Tree>, ask: fn(&Level) -> Option<bool>| {
            tree.as_ref().and_then(|tree| ask(tree.levels.first()?))
        };
        let freezers =
            [own(&self.freezer, Level::is_frozen_v1), own(&self.unified, Level::is_frozen)];
        Cgroup {
            quotas,
            frozen: freezers.into_iter().flatten().max(),
            memory: limits.into_iter().flatten().min_by_key(|limit| limit.left()),
            pressure: self.unified.as_ref().and_then(|tree| tree.levels.first()).map_or_else(
                Pressure::default,
                |own| Pressure {
                    cpu: own.stalls("cpu.pressure"),
                    memory: own.stalls("memory.pressure"),
                    io: own.stalls("io.pressure"),
                },
            ),
        }
    }
}

impl Tree {
    /// The group `path` as a mount shows it.
    fn open(root: &File, mount: &Mount, hierarchy: Hierarchy, path: &[u8]) -> Option<Self> {
        let rest = mount.rest_of(hierarchy, path)?;
        let point = look_up_below(root, &mount.point).ok()?;
        // Something else may be mounted over it by now.
        let device = point.metadata().ok()?.dev();
        if (major(device), minor(device)) != mount.device {
            return None;
        }
        let ends = ends_of_parts(rest).take(MAX_LEVELS);
        let group = |folder: File, end: usize| {
            let path = path.get(..path.len() - rest.len() + end).unwrap_or_default();
            let path = String::from_utf8_lossy(path);
            let path = Some(path.trim_end_matches('/')).filter(|path| !path.is_empty());
            Level { group: path.unwrap_or("/").into(), folder }
        };
        let mut levels = Vec::new();
        for end in ends {
            let part = OsStr::from_bytes(rest.get(..end)?);
            levels.push(group(below(&point, part).ok()?, end));
        }
        levels.push(group(point, 0));
        Some(Self { levels })
    }

    fn each<T>(&self, ask: impl Fn(&Level) -> Option<T>) -> Vec<T> {
        self.levels.iter().filter_map(ask).collect()
    }
}

/// The lengths of a path's leading parts, the whole of it first.
fn ends_of_parts(path: &[u8]) -> impl Iterator<Item = usize> {
    let whole = Some(path.len()).filter(|len| *len > 0);
    let inner = path.iter().enumerate().rev();
    whole.into_iter().chain(inner.filter(|(at, byte)| **byte == b'/' && *at > 0).map(|(at, _)| at))
}

fn below(folder: &File, path: &OsStr) -> io::Result<File> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(folder.as_fd(), path, flags, Mode::empty())?.into())
}

impl Level {
    fn text(&self, name: &str) -> Option<String> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file: File = openat(self.folder.as_fd(), name, flags, Mode::empty()).ok()?.into();
        let mut text = String::new();
        file.take(MAX_FILE).read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.trim().parse().ok()
    }

    /// The quota by `cpu.max`: `QUOTA PERIOD`, or `max PERIOD` for none.
    fn quota(&self) -> Option<Quota> {
        let text = self.text("cpu.max")?;
        let mut words = text.split_ascii_whitespace().map(|word| word.parse().ok());
        let (quota, period) = (words.next()??, words.next()??);
        self.quota_of(quota, period, "throttled_usec", Duration::from_micros)
    }

    fn quota_v1(&self) -> Option<Quota> {
        // None is -1, which is no number here.
        let quota = self.number("cpu.cfs_quota_us")?;
        let period = self.number("cpu.cfs_period_us")?;
        self.quota_of(quota, period, "throttled_time", Duration::from_nanos)
    }

    fn quota_of(
        &self,
        quota: u64,
        period: u64,
        throttled_for: &str,
        unit: fn(u64) -> Duration,
    ) -> Option<Quota> {
        let text = self.text("cpu.stat").unwrap_or_default();
        (quota > 0 && period > 0).then(|| Quota {
            group: Arc::clone(&self.group),
            quota: Duration::from_micros(quota),
            period: Duration::from_micros(period),
            periods: field(&text, "nr_periods"),
            throttled: field(&text, "nr_throttled"),
            throttled_for: field(&text, throttled_for).map(unit),
        })
    }

    fn memory(&self) -> Option<MemoryLimit> {
        // `max` is no number.
        let limit = self.number("memory.max")?;
        self.memory_of(limit, "memory.current", "inactive_file", "memory.events")
    }

    fn memory_v1(&self) -> Option<MemoryLimit> {
        let limit = self.number("memory.limit_in_bytes").filter(|limit| *limit < NO_LIMIT)?;
        let kills = "memory.oom_control";
        self.memory_of(limit, "memory.usage_in_bytes", "total_inactive_file", kills)
    }

    fn memory_of(&self, limit: u64, used: &str, cache: &str, kills: &str) -> Option<MemoryLimit> {
        let cache = field(&self.text("memory.stat").unwrap_or_default(), cache).unwrap_or(0);
        Some(MemoryLimit {
            limit,
            used: self.number(used)?.saturating_sub(cache),
            oom_kills: self.text(kills).and_then(|text| field(&text, "oom_kill")),
        })
    }

    /// Lines like `some avg10=1.25 avg60=0.50 avg300=0.10 total=4711`.
    fn stalls(&self, name: &str) -> Option<Stalls> {
        let text = self.text(name)?;
        let average = |kind: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(kind))?;
            rest.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10=")?.parse().ok())
        };
        Some(Stalls { some_percent: average("some ")?, full_percent: average("full ") })
    }

    /// Whether all of it is frozen, be it by an order for a group around it.
    fn is_frozen(&self) -> Option<bool> {
        field(&self.text("cgroup.events")?, "frozen").map(|frozen| frozen == 1)
    }

    fn is_frozen_v1(&self) -> Option<bool> {
        // The root cannot be frozen and has no such file.
        Some(self.text("freezer.state")?.trim() == "FROZEN")
    }
}

/// The number in a line `NAME NUMBER`.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find_map(|(key, value)| (key == name).then(|| value.trim().parse().ok())?)
}

/// The path of a process's group, from its file `cgroup`: lines `ID:CONTROLLERS:PATH`.
fn path_of(text: &[u8], hierarchy: Hierarchy) -> Option<&[u8]> {
    text.split(|&byte| byte == b'\n').find_map(|line| {
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_it = match hierarchy {
            Hierarchy::Unified => id == b"0" && controllers.is_empty(),
            Hierarchy::Of(name) => has(controllers, name),
        };
        is_it.then_some(path)
    })
}

/// Whether a list with commas has a word.
fn has(list: &[u8], word: &str) -> bool {
    list.split(|&byte| byte == b',').any(|part| part == word.as_bytes())
}

/// The mounts of control groups in a `mountinfo`.
fn mounts(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(Mount::parse).collect()
}

impl Mount {
    /// Parses `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD...] - TYPE SOURCE OPTIONS`.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|&byte| byte == b' ');
        let device = std::str::from_utf8(words.nth(2)?).ok()?;
        let (major, minor) = device.split_once(':')?;
        let device = (major.parse().ok()?, minor.parse().ok()?);
        let (root, point) = (unescaped(words.next()?), unescaped(words.next()?));
        let kind = words.by_ref().skip_while(|word| *word != b"-").nth(1)?;
        let is_unified = kind == b"cgroup2";
        if !is_unified && kind != b"cgroup" {
            return None;
        }
        let options = words.nth(1).unwrap_or_default().to_vec();
        let point = PathBuf::from(OsStr::from_bytes(&point));
        Some(Self { device, root, point, is_unified, options })
    }

    /// What of a group's path lies below this mount's root.
    fn rest_of<'p>(&self, hierarchy: Hierarchy, path: &'p [u8]) -> Option<&'p [u8]> {
        let is_its = match hierarchy {
            Hierarchy::Unified => self.is_unified,
            Hierarchy::Of(name) => !self.is_unified && has(&self.options, name),
        };
        let root = self.root.strip_suffix(b"/").unwrap_or(&self.root);
        let rest = path.strip_prefix(root).filter(|_| is_its)?;
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix(b"/")? };
        let mut parts = rest.split(|&byte| byte == b'/');
        parts.all(|part| part != b"..").then_some(rest)
    }
}

/// A word of `mountinfo`, which has `\040` for a space.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| first == b'\\');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 8).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;

    /// A root folder in which file systems of control groups are mounted, as far as the texts say.
    struct Root {
        folder: TempDir,
        mounts: String,
    }

    impl Root {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), mounts: String::new() }
        }

        fn mount(mut self, kind: &str, root: &str, point: &str, options: &str) -> Self {
            let device = self.folder.path().metadata().unwrap().dev();
            let (major, minor) = (major(device), minor(device));
            let line =
                format!("31 23 {major}:{minor} {root} {point} rw shared:9 - {kind} x {options}\n");
            self.mounts.push_str(&line);
            self
        }

        fn file(self, path: &str, text: &str) -> Self {
            let path = self.folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        fn view(&self) -> (File, Vec<Mount>) {
            (File::open(self.folder.path()).unwrap(), mounts(self.mounts.as_bytes()))
        }

        fn facts(&self, cgroup: &str) -> Cgroup {
            Groups::found(cgroup.into(), &[self.view()]).facts()
        }
    }

    fn unified() -> Root {
        Root::new().mount("cgroup2", "/", "/cg", "rw,nsdelegate")
    }

    fn quota(group: &str, quota: u64, counts: Option<(u64, u64, u64)>) -> Quota {
        Quota {
            group: group.into(),
            quota: Duration::from_micros(quota),
            period: Duration::from_millis(100),
            periods: counts.map(|it| it.0),
            throttled: counts.map(|it| it.1),
            throttled_for: counts.map(|it| Duration::from_micros(it.2)),
        }
    }

    const STALLS: &str = "some avg10=12.34 avg60=1.00 avg300=0.00 total=4711\n\
                          full avg10=5.50 avg60=0.00 avg300=0.00 total=9\n";

    #[test]
    fn version_2() {
        let stat = "usage_usec 9\nnr_periods 80\nnr_throttled 60\nthrottled_usec 4100000\n";
        let root = unified()
            .file("cg/pods/a/cpu.max", "max 100000\n")
            .file("cg/pods/a/cpu.stat", stat)
            .file("cg/pods/a/memory.max", "max\n")
            .file("cg/pods/a/cgroup.events", "populated 1\nfrozen 1\n")
            .file("cg/pods/a/memory.pressure", STALLS)
            .file("cg/pods/a/cpu.pressure", "some avg10=98.00 avg60=0.00 avg300=0.00 total=9\n")
            .file("cg/pods/a/io.pressure", "")
            .file("cg/pods/memory.events", "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\n")
            .file("cg/pods/cpu.max", "20000 100000\n")
            .file("cg/pods/cpu.stat", stat)
            .file("cg/pods/memory.max", "1000\n")
            .file("cg/pods/memory.current", "700\n")
            .file("cg/pods/memory.stat", "anon 600\ninactive_file 100\n")
            .file("cg/cpu.stat", stat);
        let facts = root.facts("0::/pods/a\n");
        assert_eq!(facts.quotas, Some(vec![quota("/pods", 20_000, Some((80, 60, 4_100_000)))]));
        assert_eq!(facts.frozen, Some(true));
        let memory = MemoryLimit { limit: 1000, used: 600, oom_kills: Some(2) };
        assert_eq!(facts.memory, Some(memory));
        let stalls = |some_percent, full_percent| Some(Stalls { some_percent, full_percent });
        let pressure =
            Pressure { cpu: stalls(98.0, None), memory: stalls(12.34, Some(5.5)), io: None };
        assert_eq!(facts.pressure, pressure);
        assert_eq!(facts.memory.unwrap().left(), 400);
    }

    #[test]
    fn version_1() {
        let root = Root::new()
            .mount("cgroup", "/", "/cg/cpu,cpuacct", "rw,cpu,cpuacct")
            .mount("cgroup", "/", "/cg/memory", "rw,memory")
            .mount("cgroup", "/", "/cg/freezer", "rw,freezer")
            .file("cg/cpu,cpuacct/a/b/cpu.cfs_quota_us", "8000\n")
            .file("cg/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n")
            .file(
                "cg/cpu,cpuacct/a/b/cpu.stat",
                "nr_periods 82\nnr_throttled 80\nthrottled_time 5000\n",
            )
            .file("cg/cpu,cpuacct/a/cpu.cfs_quota_us", "50000\n")
            .file("cg/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n")
            .file("cg/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
            .file("cg/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
            .file("cg/memory/a/memory.limit_in_bytes", "9223372036854771712\n")
            .file("cg/memory/a/memory.usage_in_bytes", "1\n")
            .file("cg/memory/memory.limit_in_bytes", "4096\n")
            .file("cg/memory/memory.usage_in_bytes", "4000\n")
            .file("cg/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
            .file("cg/freezer/c/freezer.state", "THAWED\n");
        let facts = root.facts("8:memory:/a\n6:freezer:/c\n1:cpu,cpuacct:/a/b\n");
        let own = quota("/a/b", 8000, Some((82, 80, 5)));
        assert_eq!(facts.smallest_quota(), Some(&own));
        assert_eq!(facts.quotas, Some(vec![own, quota("/a", 50_000, None)]));
        assert_eq!(facts.frozen, Some(false));
        let memory = MemoryLimit { limit: 4096, used: 4000, oom_kills: Some(1) };
        assert_eq!(facts.memory, Some(memory));
        assert_eq!(facts.pressure, Pressure::default());
    }

    /// The tree of version 2 says nothing about a controller that version 1 has, but its freezer
    /// works beside the other.
    #[test]
    fn both_versions_at_once() {
        let root = unified()
            .mount("cgroup", "/", "/cpu", "rw,cpu")
            .mount("cgroup", "/", "/freezer", "rw,freezer")
            .file("cg/x/cpu.max", "1000 100000\n")
            .file("cg/x/cgroup.events", "populated 1\nfrozen 1\n")
            .file("freezer/y/freezer.state", "THAWED\n")
            .file("cpu/z/cpu.cfs_quota_us", "-1\n");
        let facts = root.facts("6:freezer:/y\n1:cpu:/z\n0::/x\n");
        assert_eq!((facts.quotas, facts.frozen), (Some(Vec::new()), Some(true)));
        // A group of version 1 that no mount shows is not seen, whatever version 2 has.
        let facts = root.facts("2:memory:/m\n1:cpu:/gone\n0::/x\n");
        assert_eq!((facts.quotas, facts.memory), (None, None));
    }

    /// In a container: the path of who shares our namespace is `/`, of a sibling `/../other`.
    #[test]
    fn a_path_is_compared_as_text_and_never_walked_up() {
        let max = "5000 100000\n";
        let root = |root: &str| {
            Root::new()
                .mount("cgroup2", root, "/in/cg", "rw")
                .file("in/cg/cpu.max", max)
                .file("in/cg/other/cpu.max", max)
                .file("in/other/cpu.max", max)
                .file("in/cpu.max", max)
        };
        let quotas = |mount: &str, path: &str| {
            let quotas = root(mount).facts(&format!("0::{path}\n")).quotas;
            quotas.map(|all| all.iter().map(|quota| quota.group.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(quotas("/", "/"), Some(vec!["/".to_owned()]));
        assert_eq!(quotas("/a", "/a/other").unwrap(), ["/a/other", "/a"]);
        assert_eq!(quotas("/..", "/../other").unwrap(), ["/../other", "/.."]);
        // A mount older than the namespace shows the machine's root group, which is not ours.
        assert_eq!(quotas("/../..", "/"), None);
        assert_eq!(quotas("/", "/../other"), None);
        assert_eq!(quotas("/a", "/ab"), None);
        assert_eq!(quotas("/", "/gone"), None);
    }

    #[test]
    fn where_the_target_mounts_nothing_our_own_mounts_serve() {
        let (theirs, ours) = (Root::new(), unified().file("cg/a/cpu.max", "5000 100000\n"));
        let groups = Groups::found(b"0::/a\n".to_vec(), &[theirs.view(), ours.view()]);
        assert_eq!(groups.facts().quotas, Some(vec![quota("/a", 5000, None)]));
    }

    #[test]
    fn what_is_mounted_over_it_is_not_read() {
        let root = unified().file("cg/cpu.max", "5000 100000\n");
        let (folder, mut mounts) = root.view();
        mounts[0].device.1 += 1;
        assert_eq!(Groups::found(b"0::/\n".to_vec(), &[(folder, mounts)]).facts().quotas, None);
    }

    #[test]
    fn lines_of_mountinfo() {
        let line =
            br"38 31 0:38 /a\040b /sys/fs/c\134g rw,relatime master:1 shared:2 - cgroup c rw,cpu";
        let mount = Mount::parse(line).unwrap();
        assert_eq!((mount.device, &mount.root[..]), ((0, 38), &b"/a b"[..]));
        assert_eq!(mount.point, Path::new(r"/sys/fs/c\g"));
        assert!(!mount.is_unified && has(&mount.options, "cpu"));
        for line in [&b""[..], b"1 2 3 4", b"1 2 0:3 / /a rw - ext4 x rw", b"1 2 0:3 / /a rw -"] {
            assert_eq!(Mount::parse(line), None);
        }
    }

    #[test]
    fn garbage_is_absent() {
        let root = unified()
            .file("cg/cpu.max", "\u{0}20000 -7 x")
            .file("cg/cgroup.events", "frozen")
            .file("cg/memory.max", "99999999999999999999999\n");
        let none = Cgroup { quotas: Some(Vec::new()), ..Cgroup::default() };
        assert_eq!(root.facts("0::/\n"), none);
        for text in ["", "0", "::", "0::", "x:cpu:/a\nmemory"] {
            let facts = root.facts(text);
            assert_eq!((facts.frozen, facts.memory), (None, None), "{text}");
        }
    }

    #[test]
    fn our_own_can_be_read_again() {
        let target = Target::open(i32::try_from(std::process::id()).unwrap()).unwrap();
        let facts = target.cgroup();
        assert_ne!(facts.frozen, Some(true));
        assert_eq!(target.cgroup().quotas.is_some(), facts.quotas.is_some());
        assert_eq!(own().quotas.is_some(), facts.quotas.is_some());
    }
}
