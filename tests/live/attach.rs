//! Attaching in each situation in which tools like this one are known to fail.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aiospy::{Inspector, Options};
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde_json::Value;

use super::situation::{
    AIOSPY, Copied, ElfImage, NOBODY, Need, Parts, as_run, assert_dump, assert_only_maps,
    copied_tool, copy_programs, in_namespaces, innermost, inode, kernel_state, open_folder,
    outside, parked, run, seen_from_outside, tool_as_nobody, tool_within, tool_without, unused_pid,
};
use super::support::{self, Program, Python, VERSIONS, aiospy, dump, dump_by, texts, wait_until};
use super::truth::assert_same;
use super::{per_version, per_version_with};

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    let all = |_: &str, _: Option<&Python>| true;
    per_version(trials, "attach::hot", |_| true, hot);
    per_version_with(trials, "attach::changed_root", &[Need::Namespaces], all, changed_root);
    per_version_with(trials, "attach::namespaces", &[Need::Namespaces], all, namespaces);
    let newest = |version: &str, _: Option<&Python>| version == "3.12";
    per_version_with(trials, "attach::stranger", &[Need::Namespaces], newest, stranger);
    per_version_with(trials, "attach::user_namespace", &[Need::Namespaces], all, user_namespace);
    per_version_with(trials, "attach::foreign_proc", &[Need::Namespaces], all, foreign_proc);
    let needs = &[Need::Namespaces, Need::Tool("setpriv"), Need::Tool("python3")];
    per_version_with(trials, "attach::sandboxed", needs, all, sandboxed);
    let needs = &[Need::Namespaces, Need::TimeNamespaces];
    per_version_with(trials, "attach::time_namespace", needs, all, time_namespace);
    let needs = &[Need::Tool("strip"), Need::Namespaces];
    per_version_with(trials, "attach::stripped", needs, all, stripped);
    let needs = &[Need::Namespaces, Need::Tool("setpriv")];
    per_version_with(trials, "attach::replaced", needs, all, replaced);
    per_version_with(trials, "attach::deleted", needs, all, deleted);
    per_version(trials, "attach::odd_names", |_| true, odd_names);
    per_version(trials, "attach::stopped", |_| true, stopped);
    per_version(trials, "attach::undisturbed", |_| true, undisturbed);
    for mode in ["run", "stop"] {
        let traced = move |python: &Python| traced(python, mode);
        per_version(trials, &format!("attach::traced::{mode}"), |_| true, traced);
    }
    per_version_with(trials, "attach::ordinary_user", needs, all, ordinary_user);
    let has_library =
        |_: &str, python: Option<&Python>| python.is_none_or(|p| Parts::of(p).library.is_some());
    let needs = &[Need::Tool("gcc")];
    per_version_with(trials, "attach::embedded", needs, has_library, embedded);
    per_version_with(trials, "attach::embedded_renamed", needs, has_library, embedded_renamed);
    let is_one_file = |version: &str, python: Option<&Python>| {
        ["3.13", "3.14", "3.15"].contains(&version) && python.is_none_or(Copied::is_not_relocated)
    };
    let needs = &[Need::Tool("strip")];
    per_version_with(trials, "attach::hidden_runtime", needs, is_one_file, hidden_runtime);
    per_version(trials, "attach::newer_version", |minor| minor == 15, newer_version);
}

/// A Python whose threads make and drop frames all the time: sixty times out of sixty.
fn hot(python: &Python) {
    const TIMES: usize = 60;
    let program = Program::spawn(parked(Command::new(&python.path), 2));
    let hot: Vec<String> = threads(&program.truth)
        .filter(|thread| thread["name"].as_str().unwrap().starts_with("hot-"))
        .map(|thread| format!("thread {}", thread["tid"]))
        .collect();
    assert_eq!(hot.len(), 2);
    for _ in 0..TIMES {
        let mut inspector = Inspector::attach(program.pid()).unwrap();
        let snapshot = inspector.snapshot(&Options::default()).unwrap();
        assert_eq!(snapshot.tasks.len(), 11);
        let mut dump = serde_json::to_value(&snapshot).unwrap();
        // The stack of a thread that never waits may be torn, and then that is said.
        let problems = dump["problems"].as_array_mut().unwrap();
        problems.retain(|problem| {
            problem["wanted"] != "stack" || !hot.iter().any(|place| problem["where"] == **place)
        });
        assert_same(python, &program.truth, &dump);
    }
}

fn threads(value: &Value) -> impl Iterator<Item = &Value> {
    value["threads"].as_array().unwrap().iter()
}

/// Another root, seen from outside of its mount namespace, from within that, and from within the
/// root itself.
fn changed_root(python: &Python) {
    let folder = open_folder();
    let tool = copied_tool(folder.path());
    let command = match &python.root {
        Some(_) => as_run(python, &Parts::of(python).executable),
        None => in_root(python, folder.path()),
    };
    let program = Program::spawn(parked(command, 0));
    let pid = program.pid();
    let root = std::fs::read_link(format!("/proc/{pid}/root")).unwrap();
    assert_ne!(root, Path::new("/"));
    let dump = dump(pid, &[]);
    assert_same(python, &program.truth, &dump);
    let executable = dump["process"]["exe"].as_str().unwrap();
    assert!(!executable.starts_with(root.to_str().unwrap()), "{executable}");
    for options in [&["--mount"][..], &["--mount", "--root"]] {
        let dump = dump_by(tool_within(pid, options, &tool), pid, &[]);
        assert_same(python, &program.truth, &dump);
        assert_eq!(dump["process"]["exe"], executable);
    }
}

/// Runs a Python of the machine below `folder/root`, under another path than outside.
fn in_root(python: &Python, folder: &Path) -> Command {
    const SCRIPT: &str = r#"set -e
        root=$1 home=$2 shown=$3 folder=$4
        shift 4
        mount -t tmpfs none "$root"
        for name in bin lib lib64 sbin; do
            [ ! -L "/$name" ] || cp -P "/$name" "$root/"
        done
        show() {
            mkdir -p "$root/$2"
            mount --rbind "$1" "$root/$2"
        }
        for name in usr bin lib lib64 proc dev; do
            [ -L "/$name" ] || [ ! -d "/$name" ] || show "/$name" "$name"
        done
        show "$home" opt/python
        show "$folder" "$folder"
        show "$shown" "$shown"
        exec unshare --root="$root" --wd=/ -- "$@""#;
    let root = folder.join("root");
    std::fs::create_dir(&root).unwrap();
    let parts = Parts::of(python);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", "sh", "-c", SCRIPT, "sh"]);
    command.arg(root).arg(&parts.home).arg(support::root().join("tests/programs")).arg(folder);
    let below = parts.executable.strip_prefix(&parts.home).unwrap();
    command.arg(Path::new("/opt/python").join(below));
    command.env("PYTHONHOME", "/opt/python").env("LD_LIBRARY_PATH", "/opt/python/lib");
    command
}

/// A container, more or less: found by the id that we know it by, by the one it knows itself by
/// where that is clear, and from inside.
fn namespaces(python: &Python) {
    let own = unused_pid();
    let program = Program::spawn(in_namespaces(&[], own, &parked(Command::new(&python.path), 0)));
    let pid = innermost(program.pid());
    assert_eq!(program.truth["pid"], own);
    let truth = seen_from_outside(&program.truth, pid);
    assert_eq!(truth["pid"], pid);
    let outside = dump(pid, &[]);
    assert_same(python, &truth, &outside);
    assert_eq!(outside["process"]["namespace_pid"], own);
    assert_at_rest(&truth, &outside);

    let by_its_own = dump(own, &[]);
    assert_same(python, &truth, &by_its_own);
    let inside = dump_by(tool_within(pid, &["--mount", "--pid"], AIOSPY), own, &[]);
    assert_same(python, &program.truth, &inside);
    assert!(inside["process"]["namespace_pid"].is_null());
    assert_at_rest(&program.truth, &inside);
}

/// An id that only a process of a container has means nobody here when it comes to signals.
fn stranger(python: &Python) {
    let own = unused_pid();
    let program = Program::spawn(in_namespaces(&[], own, &parked(Command::new(&python.path), 0)));
    let pid = innermost(program.pid());
    for options in [&["--grace", "1s"][..], &["--grace", "1s", "--kill"]] {
        let output = aiospy(&[&["stop", &own.to_string()], options].concat());
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        assert!(stderr.contains("nothing was signalled"), "{stderr}");
        assert!(stderr.contains(&format!("aiospy stop {pid}")), "{stderr}");
    }
    // It is there and as it was: a signal would have ended it.
    assert_at_rest(&seen_from_outside(&program.truth, pid), &dump(pid, &[]));
}

/// `/proc` of one pid namespace and a tool in another one: what `/proc` calls a process is not what
/// system calls do.
fn foreign_proc(python: &Python) {
    let own = unused_pid();
    let program = Program::spawn(in_namespaces(&[], own, &parked(Command::new(&python.path), 0)));
    let pid = innermost(program.pid());
    let truth = seen_from_outside(&program.truth, pid);

    let within = dump_by(tool_within(pid, &["--pid"], AIOSPY), pid, &[]);
    assert_same(python, &truth, &within);
    let without = dump_by(tool_within(pid, &["--mount"], AIOSPY), own, &[]);
    assert_same(python, &program.truth, &without);

    // Processes that have the target's id where the tool lives, but are others.
    let other = Program::spawn(in_namespaces(&[], pid, &parked(Command::new(&python.path), 0)));
    let there = innermost(other.pid());
    assert_eq!(other.truth["pid"], pid);
    let among = dump_by(tool_within(there, &["--pid"], AIOSPY), pid, &[]);
    assert_same(python, &truth, &among);
}

/// A tool that a sandbox refuses the calls it would like best.
fn sandboxed(python: &Python) {
    const EPERM: i32 = 1;
    const ENOSYS: i32 = 38;
    // process_vm_readv, openat2
    const CALLS: &str = "310,437";
    let folder = open_folder();
    let copied = Copied::new(python, folder.path(), "python");
    let program = Program::spawn(parked(copied.command(), 0));
    copied.assert_used_by(program.pid());
    let sandbox = support::root().join("tests/programs/without_call.py");
    for errno in [EPERM, ENOSYS] {
        let mut tool = tool_without(&["sys_admin", "checkpoint_restore"], "python3");
        tool.arg(&sandbox).args([&errno.to_string(), CALLS, AIOSPY]);
        assert_same(python, &program.truth, &dump_by(tool, program.pid(), &[]));
    }
}

/// The loop's thread waits in `epoll`, the watchdog reads standard input.
fn assert_at_rest(truth: &Value, dump: &Value) {
    let calls =
        |thread: &Value| (thread["syscall"]["name"].clone(), thread["syscall"]["fd"].clone());
    for thread in threads(truth) {
        let found = threads(dump).find(|found| found["tid"] == thread["tid"]).unwrap();
        assert_eq!(found["state"], "sleeping", "{found}");
        let (name, fd) = calls(found);
        if thread["name"] == "MainThread" {
            assert!(name.as_str().unwrap().starts_with("epoll_"), "{found}");
        } else {
            assert_eq!((name, fd), ("read".into(), 0.into()), "{found}");
        }
    }
}

/// Root in a user namespace of its own, as in a rootless container.
fn user_namespace(python: &Python) {
    let own = unused_pid();
    let options = ["--user", "--map-root-user", "--ipc", "--net", "--uts", "--cgroup"];
    let command = parked(Command::new(&python.path), 0);
    let program = Program::spawn(in_namespaces(&options, own, &command));
    let pid = innermost(program.pid());
    let truth = seen_from_outside(&program.truth, pid);
    assert_same(python, &truth, &dump(pid, &[]));
    let options = ["--user", "--mount", "--pid"];
    let inside = dump_by(tool_within(pid, &options, AIOSPY), own, &[]);
    assert_same(python, &program.truth, &inside);
}

/// A clock that is a day ahead: the age of an iteration is told by the target's clock.
fn time_namespace(python: &Python) {
    let ahead = ["--time", "--monotonic", "86400", "--boottime", "86400"];
    let before = Instant::now();
    let mut command = Command::new("unshare");
    command.args(ahead).args(["--fork", "--kill-child", "--"]).arg(&python.path);
    command.arg(support::root().join("tests/programs/blocked.py"));
    let program = Program::spawn(command);
    let ready = Instant::now();
    let pid = innermost(program.pid());
    let ours = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    let since = Duration::from_secs_f64(program.truth["since"].as_f64().unwrap());
    assert!(since > Duration::from(ours) + Duration::from_secs(80_000));

    let mut ahead_too = Command::new("unshare");
    ahead_too.args(["--time", "--monotonic", "5000", "--fork", "--", AIOSPY]);
    let mut within = Command::new("unshare");
    within.args(ahead).args(["--fork", "--", AIOSPY]);
    for tool in [Command::new(AIOSPY), ahead_too, within] {
        let least = ready.elapsed();
        let dump = dump_by(tool, pid, &[]);
        let most = before.elapsed();
        assert_same(python, &program.truth, &dump);
        let event_loop = &dump["loops"][0];
        let elapsed = event_loop["iteration"]["elapsed_ms"].as_f64().unwrap() / 1000.0;
        let state = if elapsed < 0.1 { "running" } else { "blocked" };
        assert_eq!(event_loop["state"], state, "{event_loop}");
        let range = least.as_secs_f64()..most.as_secs_f64();
        assert!(range.contains(&elapsed), "{elapsed} s is not in {range:?}");
    }
}

/// Executable and libpython without any symbol that is not needed for linking.
fn stripped(python: &Python) {
    let folder = open_folder();
    let copied = Copied::new(python, folder.path(), "orders-service");
    for file in copied.files() {
        run(Command::new("strip").arg("--strip-all").arg(file));
    }
    let program = Program::spawn(parked(copied.command(), 0));
    copied.assert_used_by(program.pid());
    assert_dump(python, &program);
}

/// The tool, and the tool without the right to open the files of a map: it then has to copy
/// what it needs from the target's memory.
fn tools() -> [Command; 2] {
    [Command::new(AIOSPY), tool_without(&["sys_admin", "checkpoint_restore"], AIOSPY)]
}

/// Another Python, and the file that holds its runtime.
fn other_runtime(python: &Python) -> (Python, PathBuf) {
    let mut others = VERSIONS.iter().filter(|version| **version != python.version);
    let other = others.find_map(|version| support::python(version)).unwrap();
    let parts = Parts::of(&other);
    (other, parts.library.unwrap_or(parts.executable))
}

/// An upgrade under a running service: its files are those of another Python now.
fn replaced(python: &Python) {
    let folder = open_folder();
    let copied = Copied::new(python, folder.path(), "python");
    let program = Program::spawn(parked(copied.command(), 0));
    copied.assert_used_by(program.pid());

    let (other, others) = other_runtime(python);
    for file in copied.files() {
        let (known, upgrade) = (inode(file), folder.path().join("upgrade"));
        std::fs::copy(outside(&other, &others), &upgrade).unwrap();
        std::fs::rename(&upgrade, file).unwrap();
        assert_ne!(inode(file), known);
    }
    for tool in tools() {
        assert_same(python, &program.truth, &dump_by(tool, program.pid(), &[]));
    }
}

/// The files are gone, and so is their folder.
fn deleted(python: &Python) {
    let folder = open_folder();
    let copied = Copied::new(python, folder.path(), "python");
    let program = Program::spawn(parked(copied.command(), 0));
    copied.assert_used_by(program.pid());
    folder.close().unwrap();
    for tool in tools() {
        assert_same(python, &program.truth, &dump_by(tool, program.pid(), &[]));
    }
}

/// All files in a folder whose name is no UTF-8 and has two spaces and a line end in it, and a
/// mapped file that looks deleted, and like another Python.
fn odd_names(python: &Python) {
    let folder = open_folder();
    let odd = folder.path().join(OsStr::from_bytes(b"\xff\xfe  two\nlines"));
    std::fs::create_dir(&odd).unwrap();
    let copied = Copied::new(python, &odd, "py\n  thon\x7f");
    let data = odd.join(OsStr::from_bytes(b"\x80python3.7\xff (deleted)"));
    let (other, file) = other_runtime(python);
    std::fs::copy(outside(&other, &file), &data).unwrap();

    let mut command = copied.command();
    command.arg(support::root().join("tests/programs/mapping.py")).arg(&data);
    let program = Program::spawn(parked(command, 0));
    copied.assert_used_by(program.pid());
    assert_only_maps(program.pid(), &[inode(&data), inode(copied.runtime())]);
    assert_dump(python, &program);
}

/// A process that was stopped by a signal, and stays so.
fn stopped(python: &Python) {
    let program = Program::spawn(parked(Command::new(&python.path), 0));
    let pid = Pid::from_raw(program.pid());
    kill(pid, Signal::SIGSTOP).unwrap();
    let status = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert_eq!(status, WaitStatus::Stopped(pid, Signal::SIGSTOP));
    assert_stays(python, &program, "stopped", 'T');
}

/// A process that another one traces, with its threads running or held.
fn traced(python: &Python, mode: &str) {
    let program = Program::spawn(parked(Command::new(&python.path), 0));
    let pid = program.pid().to_string();
    let tracer = Program::start(&python.path, "tracer.py", &[&*pid, mode]);
    let (state, letter) = if mode == "stop" { ("traced", 't') } else { ("sleeping", 'S') };
    assert_stays(python, &program, state, letter);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("TracerPid:\t{}\n", tracer.pid())), "{status}");
}

fn assert_stays(python: &Python, program: &Program, state: &str, letter: char) {
    assert_eq!(kernel_state(program.pid()), letter);
    let dump = dump(program.pid(), &[]);
    assert_same(python, &program.truth, &dump);
    assert_eq!(dump["consistency"], "exact");
    for thread in threads(&dump) {
        assert_eq!(thread["state"], state, "{thread}");
    }
    let titles =
        dump["findings"].as_array().unwrap().iter().map(|it| it["title"].as_str().unwrap());
    let halted = titles.filter(|it| it.ends_with("thread is stopped from outside")).count();
    assert_eq!(halted, usize::from(letter != 'S'), "{}", dump["findings"]);
    assert_eq!(kernel_state(program.pid()), letter);
}

/// A process whose main thread waits for its child's `exec`, which nothing can disturb: tools that
/// stop their target wait with it.
fn undisturbed(python: &Python) {
    let folder = open_folder();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut command = Command::new(&python.path);
    command.arg(support::root().join("tests/programs/blocked.py"));
    command.args(["--kind", "vfork", "--fifo"]).arg(&fifo);
    let program = EndedWell(Program::spawn(command));
    let program = &program.0;
    // The last thing it does is to go to sleep there, a moment after it says that it will.
    wait_until("it sleeps there", || kernel_state(program.pid()) == 'D');
    let dump = dump(program.pid(), &[]);
    assert_same(python, &program.truth, &dump);
    let main = threads(&dump).find(|thread| thread["tid"] == program.pid()).unwrap();
    assert_eq!(main["state"], "uninterruptible", "{main}");
}

/// A program whose own end has to be waited for, since it has a process to let go.
struct EndedWell(Program);

impl Drop for EndedWell {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A user's own process, looked at by that user.
fn ordinary_user(python: &Python) {
    const SCRIPT: &str = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;
    const CHANGE_USER: &str = "import os, sys; os.setgroups([]); \
         os.setresgid(*[int(sys.argv[1])] * 3); os.setresuid(*[int(sys.argv[1])] * 3); \
         os.execv(sys.executable, [sys.executable] + sys.argv[2:])";
    let folder = open_folder();
    copy_programs(&["hot.py", "common.py"], folder.path());
    let parts = Parts::of(python);
    let mut command = if python.root.is_some() {
        as_run(python, &parts.executable)
    } else {
        // Where users may look into: the interpreter need not lie there.
        let home = folder.path().join("python");
        std::fs::create_dir(&home).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c", SCRIPT, "sh"]);
        command.arg(&parts.home).arg(&home);
        command.arg(home.join(parts.executable.strip_prefix(&parts.home).unwrap()));
        command.env("PYTHONHOME", &home).env("LD_LIBRARY_PATH", home.join("lib"));
        command
    };
    command.args(["-c", CHANGE_USER, &NOBODY.to_string()]);
    command.arg(folder.path().join("hot.py")).args(["--threads", "0"]);
    command.current_dir(folder.path());
    let program = Program::spawn(command);
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    assert!(status.contains("\nUid:\t65534\t65534\t65534\t65534\n"), "{status}");
    let tool = tool_as_nobody(copied_tool(folder.path()));
    assert_same(python, &program.truth, &dump_by(tool, program.pid(), &[]));
}

/// A C program of another name that is linked with libpython.
fn embedded(python: &Python) {
    let folder = open_folder();
    let (library, program) = compile(python, folder.path(), |_, library| {
        let library = library.file_name().unwrap().to_str().unwrap();
        vec![format!("-L{}", folder.path().display()), format!("-l:{library}")]
    });
    let program = Program::spawn(parked(program, 0));
    assert_only_maps(program.pid(), &[inode(&folder.path().join("embedder")), inode(&library)]);
    assert_dump(python, &program);
}

/// One that loads a library in whose name there is nothing of Python: the version has to be found
/// out from what is in it.
fn embedded_renamed(python: &Python) {
    let folder = open_folder();
    let engine = folder.path().join("libengine.so");
    let (_, program) = compile(python, folder.path(), |python, library| {
        std::fs::rename(library, &engine).unwrap();
        assert!(python.root.is_none());
        vec![format!("-DLIBRARY=\"{}\"", engine.display()), "-ldl".to_owned()]
    });
    let program = Program::spawn(parked(program, 0));
    let inodes = [&engine, &folder.path().join("embedder")].map(|file| inode(file));
    assert_only_maps(program.pid(), &inodes);
    assert_dump(python, &program);
}

/// A Python that is one file, in which neither symbols nor sections tell where its runtime lies.
fn hidden_runtime(python: &Python) {
    let folder = open_folder();
    let copied = Copied::new(python, folder.path(), "orders-service");
    run(Command::new("strip").arg("--strip-all").arg(&copied.executable));
    let mut image = ElfImage::read(&copied.executable);
    image.hide_symbol("_PyRuntime");
    image.drop_sections();
    image.write();
    let program = Program::spawn(parked(copied.command(), 0));
    copied.assert_used_by(program.pid());
    assert_dump(python, &program);
}

/// A Python that says it is 3.16: it is read by its own tables, with a warning.
fn newer_version(python: &Python) {
    let folder = open_folder();
    let copied = Copied::new(python, folder.path(), "python");
    let mut image = ElfImage::read(copied.runtime());
    let (version, newer) = (u32::try_from(image.runtime_word(1)).unwrap(), 0x0310_00f0_u32);
    image.set_runtime_word(1, newer.into());
    // `sys.hexversion` is made by a call with a number: mov $PY_VERSION_HEX, %edi.
    let load = |version: u32| [&[0xbf], &version.to_le_bytes()[..]].concat();
    assert!(image.replace(&load(version), &load(newer)) > 0);
    image.write();
    let program = Program::spawn(parked(copied.command(), 0));
    copied.assert_used_by(program.pid());
    let mut truth = program.truth.clone();
    truth["python"] = "3.16.0".into();
    assert_same(python, &truth, &dump(program.pid(), &[]));
    let (_, stderr) = support::texts(&support::aiospy(&["dump", &program.pid().to_string()]));
    assert!(stderr.starts_with("note: Python 3.16.0 is newer than what aiospy "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// Compiles `embedder.c`; gives a copy of libpython, and a command that runs the program.
fn compile(
    python: &Python,
    folder: &Path,
    options: impl FnOnce(&Python, &Path) -> Vec<String>,
) -> (PathBuf, Command) {
    let copied = Copied::new(python, folder, "unused");
    let library = copied.library.clone().unwrap();
    let options = options(python, &library);
    let source = support::root().join("tests/programs/embedder.c");
    let program = folder.join("embedder");
    run(Command::new("gcc").arg("-o").arg(&program).arg(source).args(options));
    let mut command = as_run(python, &program);
    command.env("PYTHONHOME", &Parts::of(python).home).env("LD_LIBRARY_PATH", folder);
    (library, command)
}
