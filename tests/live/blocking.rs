//! What keeps a blocked loop's thread: the kind, the descriptor, the other end and the frame, as
//! the program made them.

use std::ops::Range;
use std::process::Command;
use std::time::{Duration, Instant};

use aiospy::explain::blocking::{Evidence, blocking};
use aiospy::memory::{Address, LiveMemory, ReadMemory};
use aiospy::process::{Awaited, Target, Wait};
use aiospy::snapshot::{Blocking, BlockingKind};
use aiospy::{Inspector, Options};
use libtest_mimic::Trial;
use serde_json::Value;

use super::situation::{Need, in_namespaces, namespace_id, unused_pid};
use super::support::{self, Program, Python};
use super::{per_version, per_version_with, with_uvloop};

/// Each kind of the program and the system calls in which it comes to rest.
const KINDS: [(&str, &[&str]); 25] = [
    ("sleep", &["clock_nanosleep", "select", "pselect6"]),
    ("builtin-sleep", &["clock_nanosleep", "select", "pselect6"]),
    ("recv", &["recvfrom"]),
    ("poll", &["poll"]),
    ("send", &["sendto"]),
    ("http", &["poll"]),
    ("accept", &["accept4", "accept"]),
    ("connect", &["connect"]),
    ("connect-unix", &["connect"]),
    ("lock", &["futex"]),
    ("lock-timeout", &["futex"]),
    ("condition", &["futex"]),
    ("event", &["futex"]),
    ("queue", &["futex"]),
    ("join", &["futex"]),
    ("future-result", &["futex"]),
    ("futures-wait", &["futex"]),
    ("pipe", &["read"]),
    ("fifo", &["read"]),
    ("open", &["openat"]),
    ("flock", &["flock"]),
    ("dns", &["poll"]),
    ("subprocess", &["wait4"]),
    ("communicate", &["read"]),
    ("pidfd", &["poll", "ppoll"]),
];

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    for (kind, calls) in KINDS {
        let run = move |python: &Python| at_rest(python, &python.path, kind, calls, "asyncio");
        // Python has no pidfd before.
        let applies = |minor| kind != "pidfd" || minor >= 9;
        per_version(trials, &format!("blocking::{kind}"), applies, run);
    }
    for (kind, calls) in KINDS {
        // One of each way by which it is told.
        if ["sleep", "poll", "lock", "future-result", "fifo", "dns", "subprocess"].contains(&kind) {
            let run = move |python: &Python| {
                at_rest(python, with_uvloop(python), kind, calls, "uvloop");
            };
            per_version(trials, &format!("blocking::{kind}::uvloop"), |_| true, run);
        }
    }
    let needs = &[Need::Namespaces];
    let is_it = |version: &str, _: Option<&Python>| version == "3.12";
    per_version_with(trials, "blocking::namespace", needs, is_it, child_in_namespace);
    for kind in ["cpu", "contended"] {
        let run = move |python: &Python| computing(python, kind);
        per_version(trials, &format!("blocking::{kind}"), |_| true, run);
    }
}

/// The tool knows a child of a process in another pid namespace by another id than that process.
fn child_in_namespace(python: &Python) {
    let mut command = Command::new(&python.path);
    command.arg(support::root().join("tests/programs/blocked.py")).args(["--kind", "subprocess"]);
    let own = unused_pid();
    let program = Program::spawn(in_namespaces(&[], own, &command));
    assert_eq!(program.truth["tid"], own);
    let pid = match Target::open(own) {
        Err(aiospy::Error::NoSuchProcess { namespace_match: Some(pid), .. }) => pid,
        other => panic!("{other:?}"),
    };
    let case = Case::of(program, pid, pid);
    let wait = case.wait_at_rest(&["wait4"]);
    let child = wait.child.as_ref().unwrap();
    let truth = &case.program.truth["blocking"];
    assert_ne!(truth["child"], child.pid);
    assert_eq!(truth["child"], namespace_id(child.pid, &child.pid.to_string()));
    assert!(truth["description"].as_str().unwrap().ends_with(&format!(" ({})", child.name)));
}

/// A program and what is to be known of the thread of its loop.
struct Case {
    program: Program,
    target: Target,
    inspector: Inspector,
    memory: LiveMemory,
    /// `_PyRuntime`.
    runtime: Range<u64>,
    tid: i32,
}

impl Case {
    fn start(python: &std::path::Path, arguments: &[&str]) -> Self {
        let program = Program::start(python, "blocked.py", arguments);
        let (pid, tid) = (program.pid(), program.truth["tid"].as_i64().unwrap());
        Self::of(program, pid, i32::try_from(tid).unwrap())
    }

    fn of(program: Program, pid: i32, tid: i32) -> Self {
        let target = Target::open(pid).unwrap();
        let maps = target.maps().unwrap();
        let probe = maps.iter().find(|mapping| mapping.is_readable).unwrap();
        let memory = LiveMemory::open(pid, Address(probe.start)).unwrap();
        let runtime = target.files(&maps).iter().find_map(|file| {
            let module = target.module(file, &memory).ok()?;
            // Before 3.10 it has no section of its own; it has 1,464 bytes in 3.8.
            module.section(".PyRuntime").or_else(|| {
                let start = module.exported("_PyRuntime")?.0;
                Some(start..start + 1464)
            })
        });
        let inspector = Inspector::attach(pid).unwrap();
        Self { program, target, inspector, memory, runtime: runtime.unwrap(), tid }
    }

    fn wait(&self) -> Option<Wait> {
        let read = |at: Address, into: &mut [u8]| self.memory.read(at, into).is_ok();
        self.target.descriptors().wait(self.tid, &read)
    }

    fn waits_for_gil(&self, wait: &Wait) -> Option<bool> {
        wait.awaited.as_ref()?.is_word_in(&self.runtime)
    }

    /// What the thread waits for once it has come to rest in one of these calls.
    fn wait_at_rest(&self, calls: &[&str]) -> Wait {
        // It said READY right before; on its way it may wait for the GIL, which the thread that
        // watches standard input has for a moment.
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let before = self.target.activity();
            let wait = self.wait();
            let after = self.target.activity();
            let is_at_rest = before.thread(self.tid).zip(after.thread(self.tid));
            let is_at_rest = is_at_rest.is_some_and(|(a, b)| a.did_not_run_until(b));
            let is_there = |wait: &Wait| {
                calls.contains(&wait.syscall.name.as_str())
                    && self.waits_for_gil(wait) != Some(true)
            };
            if is_at_rest && let Some(wait) = wait.filter(is_there) {
                return wait;
            }
            assert!(Instant::now() < until, "never came: {calls:?}");
            std::thread::yield_now();
        }
    }

    fn blocking(&mut self, wait: Option<&Wait>) -> Blocking {
        let snapshot = self.inspector.snapshot(&Options::default()).unwrap();
        let thread = snapshot.threads.iter().find(|thread| thread.tid == Some(self.tid)).unwrap();
        let waits_for_gil = wait.and_then(|wait| self.waits_for_gil(wait));
        blocking(thread, Evidence { wait, waits_for_gil, ..Evidence::default() })
    }
}

fn at_rest(python: &Python, path: &std::path::Path, kind: &str, calls: &[&str], event_loop: &str) {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = fifo.to_str().unwrap();
    let mut case = Case::start(path, &["--kind", kind, "--loop", event_loop, "--fifo", fifo]);

    let wait = case.wait_at_rest(calls);
    let found = case.blocking(Some(&wait));
    let truth = &case.program.truth["blocking"];
    let said = serde_json::to_value(&found).unwrap();
    assert_eq!(said["kind"], truth["kind"], "{said}");
    assert_eq!(said["description"], truth["description"]);
    if let Some(end) = truth["peer_ends"].as_str() {
        // The descriptor is the resolver's own.
        assert!(found.fd.is_some());
        assert!(found.peer.as_ref().unwrap().ends_with(end), "{said}");
    } else {
        assert_eq!((&said["fd"], &said["peer"]), (&truth["fd"], &truth["peer"]));
    }
    check_details(kind, &wait);
    check_frame(python, &case.program.truth, kind, &found);
}

/// What the call's arguments say, where the program has said how long or for whom.
fn check_details(kind: &str, wait: &Wait) {
    let hour = Duration::from_secs(3600);
    match kind {
        "sleep" => match wait.awaited.as_ref().unwrap() {
            Awaited::Time(time) => assert_eq!(*time, hour),
            Awaited::Until(time) => {
                let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
                let left = time.checked_sub(Duration::from(now)).unwrap();
                assert!(left <= hour && left > hour / 2, "{left:?}");
            }
            other => panic!("{other:?}"),
        },
        "poll" | "http" | "dns" => match wait.awaited.as_ref().unwrap() {
            Awaited::AnyOf { fds, is_output: false, timeout: Some(timeout) } => {
                assert_eq!(fds.as_slice(), [wait.syscall.fd.unwrap()]);
                assert!(*timeout <= hour && *timeout > hour / 2, "{timeout:?}");
            }
            other => panic!("{other:?}"),
        },
        "lock" => {
            assert!(matches!(wait.awaited, Some(Awaited::Futex { has_timeout: false, .. })));
        }
        "lock-timeout" | "condition" | "future-result" => {
            assert!(matches!(wait.awaited, Some(Awaited::Futex { has_timeout: true, .. })));
        }
        "recv" | "send" => {
            let socket = wait.socket.as_ref().unwrap();
            assert_eq!((socket.protocol, socket.state), ("tcp", Some("established")));
            assert_eq!(socket.receive_queue, Some(0));
            assert_eq!(socket.send_queue.unwrap() > 0, kind == "send", "{socket:?}");
        }
        _ => {}
    }
}

/// The frame to blame is the program's own that calls what blocks.
fn check_frame(python: &Python, truth: &Value, kind: &str, found: &Blocking) {
    if kind == "builtin-sleep" {
        // The loop calls it itself.
        assert!(found.frame.is_none(), "{found:?}");
        return;
    }
    let wanted = truth["frames"].as_array().unwrap().last().unwrap();
    let location = &found.frame.as_ref().unwrap().location;
    assert_eq!(wanted["file"], *location.file);
    let function = wanted["function"].as_str().unwrap();
    // Before 3.11 only coroutines have a qualified name.
    let is_same = function == &*location.function
        || python.minor() <= 10 && function.ends_with(&*location.function);
    assert!(is_same, "{}, not {function}", location.function);
    let line = i64::from(location.line.unwrap());
    match wanted["lines"].as_array() {
        Some(lines) => {
            let (first, last) = (lines[0].as_i64().unwrap(), lines[1].as_i64().unwrap());
            assert!((first..=last).contains(&line), "{line}");
        }
        None => assert_eq!(wanted["line"], line),
    }
}

/// A thread that computes is said to do so whenever it is looked at, whether it has the GIL just
/// then or waits for it.
fn computing(python: &Python, kind: &str) {
    let mut case = Case::start(&python.path, &["--kind", kind]);
    let mut waits = 0;
    let until = Instant::now() + Duration::from_secs(60);
    // It still has to come back from saying READY.
    let is_spinning = |found: &Blocking| {
        found.frame.as_ref().is_some_and(|frame| &*frame.location.function == "spin")
    };
    while !is_spinning(&case.blocking(None)) {
        assert!(Instant::now() < until, "never came: spin");
    }
    for _ in 0..40 {
        let wait = case.wait();
        let found = case.blocking(wait.as_ref());
        if let Some(wait) = &wait {
            assert_eq!(case.waits_for_gil(wait), Some(true), "{wait:?}");
            assert_eq!(found.kind, BlockingKind::Cpu, "{found:?}");
            waits += 1;
        }
        check_frame(python, &case.program.truth, kind, &found);
        // Of one that waits at one moment and runs at the next, neither is known.
        if kind == "cpu" {
            assert_eq!(found.kind, BlockingKind::Cpu, "{found:?}");
        }
    }
    if kind == "contended" {
        while waits == 0 {
            waits += usize::from(case.wait().is_some_and(|wait| {
                assert_eq!(case.waits_for_gil(&wait), Some(true), "{wait:?}");
                true
            }));
            assert!(Instant::now() < until, "it never waits for the GIL");
        }
    }
}
