//! Ways to bring a Python, or the tool, into a situation in which looking is hard.
//!
//! Mounts are only ever made in a mount namespace of their own and end with its last process.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

use super::support::{self, Program, Python};

/// The tool.
pub const AIOSPY: &str = env!("CARGO_BIN_EXE_aiospy");

/// An ordinary user who owns nothing.
pub const NOBODY: u32 = 65534;

/// What a trial needs of the machine.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// A program on the path.
    Tool(&'static str),
    /// To be root, with the right to make mount and pid namespaces.
    Namespaces,
    /// Time namespaces.
    TimeNamespaces,
    /// To make control groups.
    Cgroup(Hierarchy),
}

/// Where control groups are made: with a controller of version 1, or in the tree of version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hierarchy {
    Cpu,
    Freezer,
    Memory,
    Unified,
}

impl Hierarchy {
    /// Where it is mounted.
    pub fn folder(self) -> Option<&'static Path> {
        let (folders, file) = match self {
            Self::Cpu => (&["/sys/fs/cgroup/cpu"][..], "cpu.cfs_quota_us"),
            Self::Freezer => (&["/sys/fs/cgroup/freezer"][..], "cgroup.procs"),
            Self::Memory => (&["/sys/fs/cgroup/memory"][..], "memory.usage_in_bytes"),
            Self::Unified => {
                (&["/sys/fs/cgroup/unified", "/sys/fs/cgroup"][..], "cgroup.controllers")
            }
        };
        folders.iter().map(Path::new).find(|folder| folder.join(file).exists())
    }

    /// Whether we may make groups there.
    fn is_ours(self) -> bool {
        let Some(folder) = self.folder() else { return false };
        let trial = tempfile::Builder::new().prefix("aiospy-trial-").tempdir_in(folder);
        // A folder of a control group has files that are not removed by themselves.
        trial.is_ok_and(|trial| std::fs::remove_dir(trial.keep()).is_ok())
    }
}

impl Need {
    /// Says so, if it is not there.
    pub fn missing(self) -> Option<String> {
        static NAMESPACES: LazyLock<bool> =
            LazyLock::new(|| succeeds("unshare", &["--mount", "--pid", "--fork", "true"]));
        static TIME: LazyLock<bool> = LazyLock::new(|| {
            succeeds("unshare", &["--time", "--monotonic", "9", "--fork", "true"])
        });
        let (is_there, what) = match self {
            Self::Tool(name) => (is_on_path(name), format!("no {name} on the path")),
            Self::Namespaces => (*NAMESPACES, "not root, or no unshare: no namespaces".to_owned()),
            Self::Cgroup(hierarchy) => {
                (hierarchy.is_ours(), format!("may make no control groups: {hierarchy:?}"))
            }
            Self::TimeNamespaces => (*TIME, "no unshare --time: no time namespaces".to_owned()),
        };
        (!is_there).then_some(what)
    }
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Runs a command to its end; fails unless it succeeds.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) = support::texts(&output);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    stdout
}

/// A temporary folder that everybody may look into.
pub fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// Copies what is to be executed, by another process: a file that is open for writing in ours may
/// be so in a child that another trial is starting at that moment, and is then "busy".
pub fn copy_executable(from: &Path, to: &Path) {
    run(Command::new("cp").arg(from).arg(to));
}

/// Copies files of `tests/programs`.
pub fn copy_programs(names: &[&str], to: &Path) {
    for name in names {
        std::fs::copy(support::root().join("tests/programs").join(name), to.join(name)).unwrap();
    }
}

/// Adds `hot.py` with its threads to a command that runs Python: eleven parked tasks.
pub fn parked(mut python: Command, threads: u32) -> Command {
    python.arg(support::root().join("tests/programs/hot.py"));
    python.args(["--threads", &threads.to_string()]);
    python
}

/// Where the parts of an interpreter lie, as it sees them itself.
#[derive(Debug)]
pub struct Parts {
    pub executable: PathBuf,
    /// What `PYTHONHOME` has to be for a copy of the executable.
    pub home: PathBuf,
    /// Its libpython, whether the executable needs it or not.
    pub library: Option<PathBuf>,
}

impl Parts {
    pub fn of(python: &Python) -> Self {
        let executable = match &python.root {
            Some(_) => PathBuf::from(format!("/usr/bin/python{}", python.version)),
            None => python.path.canonicalize().unwrap(),
        };
        let home = executable.parent().unwrap().parent().unwrap().to_owned();
        let library = home.join(format!("lib/libpython{}.so.1.0", python.version));
        let library = outside(python, &library).is_file().then_some(library);
        Self { executable, home, library }
    }
}

/// A path of the interpreter's as we see it.
pub fn outside(python: &Python, inside: &Path) -> PathBuf {
    let below = inside.strip_prefix("/").unwrap();
    python.root.as_ref().map_or_else(|| inside.to_owned(), |root| root.join(below))
}

/// Runs another executable as this Python is run: with its root.
pub fn as_run(python: &Python, executable: &Path) -> Command {
    match &python.root {
        Some(_) => {
            let enter = python.path.with_file_name(format!("enter-{}", python.version));
            let mut command = Command::new(enter);
            command.arg(executable);
            command
        }
        None => Command::new(executable),
    }
}

/// Copies of the files that make an interpreter, for a Python of its own.
#[derive(Debug)]
pub struct Copied<'a> {
    python: &'a Python,
    parts: Parts,
    folder: PathBuf,
    pub executable: PathBuf,
    pub library: Option<PathBuf>,
}

impl<'a> Copied<'a> {
    /// Copies executable and libpython into `folder`, the executable as `name`.
    pub fn new(python: &'a Python, folder: &Path, name: &str) -> Self {
        let parts = Parts::of(python);
        let copy = |from: &Path, name: &OsStr| {
            let to = folder.join(name);
            copy_executable(&outside(python, from), &to);
            to
        };
        let executable = copy(&parts.executable, name.as_ref());
        let library =
            parts.library.as_ref().map(|library| copy(library, library.file_name().unwrap()));
        Self { python, parts, folder: folder.to_owned(), executable, library }
    }

    /// The copies.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&*self.executable).chain(self.library.as_deref())
    }

    /// The copy that holds the runtime.
    pub fn runtime(&self) -> &Path {
        self.library.as_deref().unwrap_or(&self.executable)
    }

    /// Whether the runtime lies in an executable whose addresses are those of its file.
    pub fn is_not_relocated(python: &Python) -> bool {
        let parts = Parts::of(python);
        let header = std::fs::read(outside(python, &parts.executable)).unwrap();
        parts.library.is_none() && header[16..18] == object::elf::ET_EXEC.0.to_le_bytes()
    }

    /// Runs the copied Python.
    pub fn command(&self) -> Command {
        let mut command = as_run(self.python, &self.executable);
        command.env("PYTHONHOME", &self.parts.home).env("LD_LIBRARY_PATH", &self.folder);
        command
    }

    /// Fails unless `pid` runs the copied executable, and no libpython but the copied one.
    pub fn assert_used_by(&self, pid: i32) {
        let inodes: Vec<u64> = self.files().map(inode).collect();
        assert_only_maps(pid, &inodes);
    }
}

/// The inode of a file.
pub fn inode(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().ino()
}

/// Fails unless `pid` maps the first of the files, and no libpython that is not among them.
pub fn assert_only_maps(pid: i32, inodes: &[u64]) {
    let maps = std::fs::read(format!("/proc/{pid}/maps")).unwrap();
    let lines = maps.split(|&byte| byte == b'\n').map(String::from_utf8_lossy);
    let files: Vec<(u64, String)> = lines
        .filter_map(|line| {
            Some((line.split_ascii_whitespace().nth(4)?.parse().ok()?, line.into_owned()))
        })
        .collect();
    assert!(files.iter().any(|(inode, _)| *inode == inodes[0]), "{files:#?}");
    let others = files.iter().filter(|(inode, _)| !inodes.contains(inode));
    let libraries: Vec<_> = others.filter(|(_, line)| line.contains("libpython")).collect();
    assert!(libraries.is_empty(), "{libraries:#?}");
}

/// The process at the end of a chain of processes with one child each.
pub fn innermost(mut pid: i32) -> i32 {
    loop {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let children: Vec<i32> =
            children.split_ascii_whitespace().map(|child| child.parse().unwrap()).collect();
        match children[..] {
            [] => return pid,
            [child] => pid = child,
            _ => panic!("{pid} has children {children:?}"),
        }
    }
}

/// The last number of `NSpid` of a thread.
pub fn namespace_id(pid: i32, tid: &str) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    ids.split_ascii_whitespace().last().unwrap().parse().unwrap()
}

/// What a program in another pid namespace says of itself, with the ids that it has here.
pub fn seen_from_outside(truth: &Value, pid: i32) -> Value {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let ids: Vec<(i64, i64)> = threads
        .map(|thread| thread.unwrap().file_name().into_string().unwrap())
        .map(|tid| (namespace_id(pid, &tid), tid.parse().unwrap()))
        .collect();
    let here = |id: &mut Value| {
        let inside = id.as_i64().unwrap();
        let (_, here) = ids.iter().find(|(id, _)| *id == inside).unwrap();
        *id = Value::from(*here);
    };
    let mut truth = truth.clone();
    here(&mut truth["pid"]);
    for list in ["threads", "loops"] {
        for item in truth[list].as_array_mut().unwrap() {
            here(item.get_mut(if list == "loops" { "thread" } else { "tid" }).unwrap());
        }
    }
    truth
}

/// A process id that was in use a moment ago and will not be given away soon: the kernel hands
/// them out one after the other.
pub fn unused_pid() -> i32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    i32::try_from(child.id()).unwrap()
}

/// Runs a command in a pid and a mount namespace of its own, where it gets the id `pid`.
pub fn in_namespaces(options: &[&str], pid: i32, command: &Command) -> Command {
    const SCRIPT: &str = r#"echo "$1" > /proc/sys/kernel/ns_last_pid
        shift
        # A shell gives what runs in the background no standard input of its own accord.
        exec 3<&0
        "$@" <&3 3<&- &
        wait"#;
    let mut outer = Command::new("unshare");
    outer.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]).args(options);
    outer.args(["--", "sh", "-c", SCRIPT, "sh", &(pid - 1).to_string()]);
    append(&mut outer, command);
    outer
}

/// Puts a command with its environment behind another one that runs it.
pub fn append(outer: &mut Command, command: &Command) {
    outer.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        outer.env(name, value.unwrap());
    }
}

/// The tool in the namespaces of `pid` that `options` name.
pub fn tool_within(pid: i32, options: &[&str], tool: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid.to_string()]).args(options).arg("--").arg(tool);
    command
}

/// The tool as an ordinary user.
pub fn tool_as_nobody(tool: impl AsRef<OsStr>) -> Command {
    let user = NOBODY.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]).arg(tool);
    command
}

/// A tool as root, but without some capabilities: `sys_ptrace`.
pub fn tool_without(capabilities: &[&str], tool: impl AsRef<OsStr>) -> Command {
    let list: Vec<String> = capabilities.iter().map(|name| format!("-{name}")).collect();
    let list = list.join(",");
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", &list, "--inh-caps", &list, "--"]).arg(tool);
    command
}

/// A copy of the tool for those who may not look into our folders.
pub fn copied_tool(folder: &Path) -> OsString {
    let tool = folder.join("aiospy");
    copy_executable(Path::new(AIOSPY), &tool);
    tool.into()
}

/// What the kernel says of a process or thread: `S`.
pub fn kernel_state(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

/// The tool's findings about a parked program are what it says of itself.
pub fn assert_dump(python: &Python, program: &Program) {
    let dump = support::dump(program.pid(), &[]);
    super::truth::assert_same(python, &program.truth, &dump);
}

/// An ELF file that is changed before it is run.
#[derive(Debug)]
pub struct ElfImage {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl ElfImage {
    pub fn read(path: &Path) -> Self {
        Self { path: path.to_owned(), bytes: std::fs::read(path).unwrap() }
    }

    pub fn write(&self) {
        let changed = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(changed.path(), &self.bytes).unwrap();
        copy_executable(changed.path(), &self.path);
    }

    fn number(&self, at: usize, len: usize) -> usize {
        let bytes = self.bytes[at..at + len].iter().rev();
        bytes.fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    /// Offset and length of a section.
    fn section(&self, name: &str) -> (usize, usize) {
        // Elf64_Ehdr: e_shoff 40, e_shnum 60, e_shstrndx 62; Elf64_Shdr: sh_name 0, sh_offset 24,
        // sh_size 32, 64 bytes.
        let (table, count) = (self.number(40, 8), self.number(60, 2));
        let place = |i: usize| {
            let header = table + 64 * i;
            (self.number(header + 24, 8), self.number(header + 32, 8))
        };
        let (names, _) = place(self.number(62, 2));
        let wanted = [name.as_bytes(), b"\0"].concat();
        let found = (0..count)
            .find(|i| self.bytes[names + self.number(table + 64 * i, 4)..].starts_with(&wanted));
        place(found.unwrap())
    }

    /// A word of the table at the beginning of `_PyRuntime`.
    pub fn runtime_word(&self, i: usize) -> usize {
        let (at, _) = self.section(".PyRuntime");
        assert!(self.bytes[at..].starts_with(b"xdebugpy"));
        self.number(at + 8 * i, 8)
    }

    /// Sets a word of the table at the beginning of `_PyRuntime`.
    pub fn set_runtime_word(&mut self, i: usize, value: u64) {
        let (at, _) = self.section(".PyRuntime");
        self.bytes[at + 8 * i..at + 8 * i + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// Replaces each occurrence of some bytes, and says how many there were.
    pub fn replace(&mut self, from: &[u8], to: &[u8]) -> usize {
        let places: Vec<usize> = (0..=self.bytes.len() - from.len())
            .filter(|at| self.bytes[*at..].starts_with(from))
            .collect();
        for at in &places {
            self.bytes[*at..*at + to.len()].copy_from_slice(to);
        }
        places.len()
    }

    /// Makes an exported symbol one that is no place in memory. For the loader, which adds zero to
    /// places in a file that is not relocated, it stays what it is.
    pub fn hide_symbol(&mut self, name: &str) {
        // Elf64_Sym: st_name 0, st_shndx 6, 24 bytes; SHN_ABS 0xfff1.
        let ((table, len), (names, _)) = (self.section(".dynsym"), self.section(".dynstr"));
        let wanted = [name.as_bytes(), b"\0"].concat();
        let at = (table..table + len)
            .step_by(24)
            .find(|at| self.bytes[names + self.number(*at, 4)..].starts_with(&wanted))
            .unwrap();
        self.bytes[at + 6..at + 8].copy_from_slice(&0xfff1_u16.to_le_bytes());
    }

    /// Cuts off the table of sections, which nothing needs that only runs.
    pub fn drop_sections(&mut self) {
        let table = self.number(40, 8);
        self.bytes.truncate(table);
        self.bytes[40..48].fill(0);
        self.bytes[58..64].fill(0);
    }
}
