//! What keeps a thread from going on: the kind of call, its other end, and the line to blame.
//!
//! Told from plain data: the Python stack, the thread's state, its system call and what that
//! waits for. The stack knows what was meant (a name is looked up, a child is waited for) where
//! the system call knows only how, so the innermost frames of the standard library are asked
//! first. The GIL and a lock look alike to the kernel: see [`Evidence::waits_for_gil`].

use crate::known::purpose::{Module, Purpose, Thread as ThreadPurpose};
use crate::process::{Awaited, Wait};
use crate::snapshot::{
    A_CLIENT, Blocking, BlockingKind, Frame, Origin, Socket, Thread, ThreadState,
};

/// What is known of a thread beside its stack.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// What its system call waits for.
    pub wait: Option<&'a Wait>,
    /// Whether that is the GIL: whether the word it waits for lies in `_PyRuntime`. (The GIL does
    /// in all versions, but for those sub-interpreters that have their own; no lock does.)
    pub waits_for_gil: Option<bool>,
    /// Which generation the garbage collector of its interpreter collects now, if it does.
    pub collecting: Option<u8>,
}

/// What keeps a thread from going on.
pub fn blocking(thread: &Thread, evidence: Evidence<'_>) -> Blocking {
    let stack = Stack::of(&thread.frames);
    let call = Call::of(thread, evidence);
    let (kind, description) = from_collector(thread, evidence)
        .or_else(|| from_stack(evidence, &call, &stack))
        .or_else(|| from_call(thread, evidence, &call, &stack))
        .unwrap_or_else(|| from_state(thread));
    let path = match evidence.wait.and_then(|wait| wait.awaited.as_ref()) {
        Some(Awaited::Path(path)) => Some(path.clone()),
        Some(Awaited::Address(address)) if call.socket.is_none() => Some(address.clone()),
        _ => None,
    };
    Blocking {
        kind,
        description,
        fd: call.fd,
        peer: call.peer.map(str::to_owned).or(path),
        frame: stack.place().cloned(),
        task: None,
        thread: None,
        loop_id: None,
    }
}

/// The frames of what an event loop or a pool called, innermost first.
struct Stack<'t> {
    frames: Vec<&'t Frame>,
}

impl<'t> Stack<'t> {
    fn of(frames: &'t [Frame]) -> Self {
        let calls = |frame: &&Frame| {
            let purpose = frame.location.purpose();
            purpose.is_some_and(|purpose| {
                purpose.is_around_callbacks()
                    || matches!(
                        purpose,
                        Purpose::Thread(
                            ThreadPurpose::Run
                                | ThreadPurpose::PoolWorker
                                | ThreadPurpose::PoolCall
                        )
                    )
            })
        };
        Self { frames: frames.iter().rev().take_while(|frame| !calls(frame)).collect() }
    }

    /// The frame to blame: the innermost one of the program's own code, else of a package.
    fn place(&self) -> Option<&'t Frame> {
        let of = |origin| self.frames.iter().find(|frame| frame.location.origin == origin);
        of(Origin::Own).or_else(|| of(Origin::Package)).or(self.frames.first()).copied()
    }

    /// Whether the innermost frame is of one of these modules of the standard library.
    fn ends_in(&self, modules: &[Module]) -> bool {
        let module = self.frames.first().and_then(|frame| frame.location.module());
        module.is_some_and(|module| modules.contains(&module))
    }

    /// What the frames of the standard library below the innermost one of other code do, innermost
    /// first.
    fn library(&self) -> impl DoubleEndedIterator<Item = ThreadPurpose> {
        let len = self.frames.iter().take_while(|frame| frame.location.is_stdlib()).count();
        self.frames.iter().take(len).filter_map(|frame| thread_purpose(frame))
    }

    /// The outermost of those that is one of `wanted`.
    fn within(&self, wanted: &[ThreadPurpose]) -> Option<ThreadPurpose> {
        self.library().rev().find(|purpose| wanted.contains(purpose))
    }
}

fn thread_purpose(frame: &Frame) -> Option<ThreadPurpose> {
    match frame.location.purpose()? {
        Purpose::Thread(purpose) => Some(purpose),
        _ => None,
    }
}

/// The system call and what it is about.
struct Call<'a> {
    name: Option<&'a str>,
    fd: Option<i32>,
    peer: Option<&'a str>,
    awaited: Option<&'a Awaited>,
    socket: Option<&'a Socket>,
}

impl<'a> Call<'a> {
    fn of(thread: &'a Thread, evidence: Evidence<'a>) -> Self {
        let wait = evidence.wait;
        let syscall = wait.map(|wait| &wait.syscall).or(thread.syscall.as_ref());
        Self {
            name: syscall.map(|syscall| syscall.name.as_str()),
            fd: syscall.and_then(|syscall| syscall.fd),
            peer: syscall.and_then(|syscall| syscall.peer.as_deref()),
            awaited: wait.and_then(|wait| wait.awaited.as_ref()),
            socket: wait.and_then(|wait| wait.socket.as_ref()),
        }
    }

    fn is_on_socket(&self) -> bool {
        self.socket.is_some()
            || self.peer.is_some_and(|peer| {
                let protocol = peer.split_once(' ').map_or(peer, |(protocol, _)| protocol);
                ["tcp", "udp", "unix", "socket"].contains(&protocol)
            })
    }

    /// The other end of a socket in words, `tcp 10.0.0.5:5432`; of one that has none, itself.
    fn other_end(&self) -> String {
        let (protocol, end) = match (self.socket, self.awaited) {
            (Some(socket), Some(Awaited::Address(address))) => {
                (socket.protocol, Some(address.as_str()))
            }
            (Some(socket), _) if socket.is_accepted => return A_CLIENT.to_owned(),
            (Some(socket), _) => {
                (socket.protocol, socket.remote.as_deref().or(socket.local.as_deref()))
            }
            (None, Some(Awaited::Address(address))) => return address.clone(),
            (None, _) => return self.peer.unwrap_or("a socket").to_owned(),
        };
        end.map_or_else(|| format!("{protocol} socket"), |end| format!("{protocol} {end}"))
    }

    /// Whether the other end is a name server.
    fn is_on_name_server(&self) -> bool {
        const PORT: &str = ":53";
        match self.socket {
            Some(socket) => socket.remote.as_ref().is_some_and(|remote| remote.ends_with(PORT)),
            None => self.peer.is_some_and(|peer| {
                let end = peer.split_once(" -> ").and_then(|(_, end)| end.split(' ').next());
                self.is_on_socket() && end.is_some_and(|end| end.ends_with(PORT))
            }),
        }
    }
}

type Told = (BlockingKind, String);

/// What the garbage collector says: who holds the GIL collects, all others wait for it.
fn from_collector(thread: &Thread, evidence: Evidence<'_>) -> Option<Told> {
    let generation = evidence.collecting?;
    let what = format!("the garbage collector (generation {generation})");
    if thread.state == Some(ThreadState::Running) {
        return Some((BlockingKind::Gc, what));
    }
    let waits_for_it = evidence.waits_for_gil == Some(true);
    waits_for_it.then(|| (BlockingKind::Gc, format!("{what}, at work in another thread")))
}

/// What the innermost frames of the standard library say.
fn from_stack(evidence: Evidence<'_>, call: &Call<'_>, stack: &Stack<'_>) -> Option<Told> {
    let lookup = stack.frames.first().and_then(|frame| thread_purpose(frame));
    if let Some(purpose @ (ThreadPurpose::GetAddrInfo | ThreadPurpose::GetFqdn)) = lookup {
        return Some((BlockingKind::Dns, purpose.call(0).to_owned()));
    }
    if call.is_on_name_server() {
        return Some((BlockingKind::Dns, format!("an answer of {}", call.other_end())));
    }
    if stack.within(&[ThreadPurpose::Child]).is_some() {
        return Some((BlockingKind::Subprocess, child(evidence.wait)));
    }
    let futures = stack.within(&[
        ThreadPurpose::FutureResult,
        ThreadPurpose::FutureException,
        ThreadPurpose::FuturesWait,
        ThreadPurpose::FuturesAsCompleted,
        ThreadPurpose::FuturesMap,
    ]);
    let is_waiting = stack.ends_in(&[Module::Threading, Module::Futures]);
    if let Some(purpose) = futures.filter(|_| is_waiting) {
        let what = format!("{} of a concurrent future", purpose.call(0));
        return Some((BlockingKind::FutureResult, what));
    }
    if !stack.ends_in(&[Module::Threading, Module::Queue, Module::ThreadingLocal]) {
        return None;
    }
    let waits = stack.library().filter(|purpose| *purpose == ThreadPurpose::Wait).count();
    let queue = [ThreadPurpose::QueueGet, ThreadPurpose::QueuePut, ThreadPurpose::QueueJoin];
    let lock = [
        ThreadPurpose::Join,
        ThreadPurpose::Wait,
        ThreadPurpose::WaitFor,
        ThreadPurpose::Acquire,
        ThreadPurpose::Enter,
    ];
    let purpose = stack.within(&queue).or_else(|| stack.within(&lock))?;
    Some((BlockingKind::Lock, purpose.call(waits).to_owned()))
}

/// What the system call says.
fn from_call(
    thread: &Thread,
    evidence: Evidence<'_>,
    call: &Call<'_>,
    stack: &Stack<'_>,
) -> Option<Told> {
    let name = call.name?;
    let on_file = |verb: &str| {
        let what = match (call.peer, call.awaited, call.fd) {
            (Some("pipe"), ..) => "a pipe".to_owned(),
            (Some(peer), ..) => peer.to_owned(),
            (None, Some(Awaited::Path(path)), _) => path.clone(),
            (None, _, Some(fd)) => format!("descriptor {fd}"),
            (None, _, None) => "a file".to_owned(),
        };
        Some((BlockingKind::File, format!("{verb} of {what}")))
    };
    let on_socket =
        |verb: &str| Some((BlockingKind::Socket, format!("{verb} {}", call.other_end())));
    match (name, call.awaited) {
        ("clock_nanosleep" | "nanosleep", _) | (_, Some(Awaited::Time(_) | Awaited::Until(_))) => {
            Some((BlockingKind::Sleep, "time.sleep".to_owned()))
        }
        ("wait4" | "waitid", _) => Some((BlockingKind::Subprocess, child(evidence.wait))),
        ("futex", awaited) => {
            let can_be_gil = !matches!(awaited, Some(Awaited::Futex { has_timeout: false, .. }));
            match evidence.waits_for_gil {
                Some(true) => Some((BlockingKind::Cpu, "waiting for the GIL".to_owned())),
                Some(false) => Some((BlockingKind::Lock, "a threading lock".to_owned())),
                // The GIL is asked for every 5 ms, a lock without a timeout once.
                None if !can_be_gil => Some((BlockingKind::Lock, "a threading lock".to_owned())),
                None => Some((BlockingKind::Unknown, "a lock or the GIL".to_owned())),
            }
        }
        ("poll" | "ppoll" | "select" | "pselect6", awaited) => match awaited {
            _ if call.peer == Some("pidfd") => {
                Some((BlockingKind::Subprocess, child(evidence.wait)))
            }
            Some(Awaited::AnyOf { is_output, .. }) if call.is_on_socket() => {
                let state = call.socket.and_then(|socket| socket.state);
                on_socket(match (state, is_output) {
                    (Some("connecting"), _) => "connect to",
                    (Some("listening"), _) => "accept on",
                    (_, true) => "send to",
                    (_, false) => "recv from",
                })
            }
            Some(Awaited::AnyOf { .. }) if call.fd.is_some() => on_file(name),
            Some(Awaited::AnyOf { fds, .. }) => {
                let what = format!("{name} of {} descriptors", fds.len());
                Some((BlockingKind::Unknown, what))
            }
            // Until 3.10 it is what sleeps.
            _ if name.contains("select") && !stack.ends_in(&[Module::Selectors]) => {
                Some((BlockingKind::Sleep, "time.sleep".to_owned()))
            }
            _ => Some((BlockingKind::Unknown, name.to_owned())),
        },
        ("recvfrom" | "recvmsg" | "recvmmsg", _) => on_socket("recv from"),
        ("sendto" | "sendmsg" | "sendmmsg", _) => on_socket("send to"),
        ("connect", _) => on_socket("connect to"),
        ("accept" | "accept4", _) => on_socket("accept on"),
        ("read" | "readv", _) if call.is_on_socket() => on_socket("recv from"),
        ("write" | "writev" | "sendfile" | "splice", _) if call.is_on_socket() => {
            on_socket("send to")
        }
        ("pread64" | "preadv" | "preadv2" | "readv" | "getdents64", _) => on_file("read"),
        ("pwrite64" | "pwritev" | "pwritev2" | "writev" | "sendfile", _) => on_file("write"),
        ("openat" | "openat2" | "creat", _) => on_file("open"),
        (
            "read" | "write" | "fsync" | "fdatasync" | "flock" | "fcntl" | "open" | "close"
            | "ftruncate" | "fallocate" | "lseek" | "fstat" | "syncfs" | "copy_file_range"
            | "splice",
            _,
        )
        | (_, Some(Awaited::Path(_))) => on_file(name),
        // What a computation asks of the system in passing: memory, a yield.
        _ if thread.state == Some(ThreadState::Running) => None,
        _ => {
            let about = call.peer.map(|peer| format!(" of {peer}")).unwrap_or_default();
            Some((BlockingKind::Unknown, format!("{name}{about}")))
        }
    }
}

/// A child in words.
fn child(wait: Option<&Wait>) -> String {
    let child = wait.and_then(|wait| wait.child.as_ref());
    match (child, wait.and_then(|wait| wait.awaited.as_ref())) {
        (Some(child), _) => format!("subprocess {} ({})", child.pid, child.name),
        (None, Some(Awaited::Child(Some(pid)))) => format!("subprocess {pid}"),
        (None, _) => "a subprocess".to_owned(),
    }
}

/// What the thread's state alone says.
fn from_state(thread: &Thread) -> Told {
    match thread.state {
        Some(ThreadState::Running) => (BlockingKind::Cpu, "on the processor".to_owned()),
        // Not by a system call: memory that comes from a file.
        Some(ThreadState::Uninterruptible) => {
            (BlockingKind::File, "a disk or network file system".to_owned())
        }
        Some(ThreadState::Stopped) => (BlockingKind::Unknown, "stopped by a signal".to_owned()),
        Some(ThreadState::Traced) => (BlockingKind::Unknown, "stopped by a tracer".to_owned()),
        _ => (BlockingKind::Unknown, "unknown".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Address;
    use crate::process::ChildFacts;
    use crate::snapshot::{Location, Syscall};
    use std::time::Duration;

    const LIB: &str = "/usr/lib/python3.9/";

    /// A thread whose loop runs a task, with these frames in it: `function module`, and
    /// `function /file` for one outside of the library.
    fn thread(frames: &[&str]) -> Thread {
        let mut all = vec!["main /app/main.py", "run asyncio/runners.py"];
        all.extend(["run_forever asyncio/base_events.py", "_run_once asyncio/base_events.py"]);
        all.extend(["_run asyncio/events.py", "Service.step /app/service.py"]);
        all.extend(frames);
        let frames = all.into_iter().map(|text| {
            let (function, file) = text.split_once(' ').unwrap();
            let file =
                if file.starts_with(['/', '<']) { file.into() } else { format!("{LIB}{file}") };
            let location = Location::by_path(function.into(), file.into(), None);
            Frame { location: location.into(), locals: None }
        });
        Thread { frames: frames.collect(), state: Some(ThreadState::Sleeping), ..Thread::default() }
    }

    fn wait(name: &str, fd: Option<i32>, peer: Option<&str>, awaited: Option<Awaited>) -> Wait {
        let syscall = Syscall { name: name.into(), fd, peer: peer.map(str::to_owned) };
        Wait { syscall, awaited, socket: None, child: None }
    }

    fn of(thread: &Thread, wait: &Wait) -> Blocking {
        blocking(thread, Evidence { wait: Some(wait), ..Evidence::default() })
    }

    fn told(blocking: &Blocking) -> (BlockingKind, &str, &str) {
        let function = blocking.frame.as_ref().map_or("", |frame| &*frame.location.function);
        (blocking.kind, &blocking.description, function)
    }

    fn any_of(fds: &[i32], is_output: bool) -> Awaited {
        Awaited::AnyOf { fds: fds.to_vec(), is_output, timeout: None }
    }

    #[test]
    fn sleeps() {
        let own = thread(&[]);
        let sleep = (BlockingKind::Sleep, "time.sleep", "Service.step");
        assert_eq!(told(&of(&own, &wait("clock_nanosleep", None, None, None))), sleep);
        let time = Some(Awaited::Time(Duration::from_secs(9)));
        assert_eq!(told(&of(&own, &wait("select", None, None, time))), sleep);
        // Without what lies in memory: asyncio's selector is no sleep.
        assert_eq!(told(&of(&own, &wait("pselect6", None, None, None))), sleep);
        let selector = thread(&["select selectors.py"]);
        let select = wait("select", None, None, None);
        assert_eq!(of(&selector, &select).kind, BlockingKind::Unknown);
    }

    #[test]
    fn sockets() {
        let peer = "tcp 10.0.0.9:41000 -> 10.0.0.5:5432 established";
        let socket = |state| Socket {
            protocol: "tcp",
            local: Some("10.0.0.9:41000".into()),
            remote: Some("10.0.0.5:5432".into()).filter(|_| state != "listening"),
            state: Some(state),
            receive_queue: Some(0),
            send_queue: Some(0),
            tcp: None,
            is_watched: None,
            is_accepted: false,
            client: None,
        };
        for (call, awaited, state, description) in [
            ("recvfrom", None, "established", "recv from tcp 10.0.0.5:5432"),
            ("read", None, "established", "recv from tcp 10.0.0.5:5432"),
            ("write", None, "established", "send to tcp 10.0.0.5:5432"),
            ("poll", Some(any_of(&[7], false)), "established", "recv from tcp 10.0.0.5:5432"),
            ("poll", Some(any_of(&[7], true)), "established", "send to tcp 10.0.0.5:5432"),
            ("ppoll", Some(any_of(&[7], true)), "connecting", "connect to tcp 10.0.0.5:5432"),
            ("connect", None, "connecting", "connect to tcp 10.0.0.5:5432"),
            ("accept4", None, "listening", "accept on tcp 10.0.0.9:41000"),
            ("poll", Some(any_of(&[7], false)), "listening", "accept on tcp 10.0.0.9:41000"),
        ] {
            let wait =
                Wait { socket: Some(socket(state)), ..wait(call, Some(7), Some(peer), awaited) };
            let thread = thread(&["get /x/site-packages/requests/api.py", "readinto socket.py"]);
            let found = of(&thread, &wait);
            assert_eq!(told(&found), (BlockingKind::Socket, description, "Service.step"));
            assert_eq!((found.fd, found.peer.as_deref()), (Some(7), Some(peer)));
        }
        // With the words for the descriptor only.
        let found = of(&thread(&[]), &wait("recvfrom", Some(7), Some(peer), None));
        assert_eq!(
            (found.kind, found.description),
            (BlockingKind::Socket, format!("recv from {peer}"))
        );
        let address = Some(Awaited::Address("/run/x.sock".into()));
        let found = of(&thread(&[]), &wait("connect", Some(7), Some("unix socket"), address));
        assert_eq!(found.description, "connect to /run/x.sock");
    }

    #[test]
    fn names_and_children() {
        let poll = wait(
            "poll",
            Some(9),
            Some("udp 10.0.0.9:999 -> 10.0.0.2:53"),
            Some(any_of(&[9], false)),
        );
        let lookup = ["create_connection socket.py", "getaddrinfo socket.py"];
        let found = of(&thread(&lookup), &poll);
        assert_eq!(told(&found), (BlockingKind::Dns, "getaddrinfo", "Service.step"));
        // `socket.gethostbyname` has no frame.
        assert_eq!(of(&thread(&[]), &poll).kind, BlockingKind::Dns);
        assert_eq!(
            of(&thread(&lookup[..1]), &wait("connect", None, None, None)).kind,
            BlockingKind::Socket
        );

        let communicate = ["run subprocess.py", "communicate subprocess.py", "select selectors.py"];
        let found =
            of(&thread(&communicate), &wait("poll", None, None, Some(any_of(&[4, 5], false))));
        assert_eq!(found.kind, BlockingKind::Subprocess);
        let wait4 = Wait {
            child: Some(ChildFacts { pid: 4711, name: "sh".into(), state: ThreadState::Sleeping }),
            ..wait("wait4", None, None, Some(Awaited::Child(Some(17))))
        };
        let child = (BlockingKind::Subprocess, "subprocess 4711 (sh)", "Service.step");
        // `os.system` and `Popen.wait`.
        assert_eq!(told(&of(&thread(&[]), &wait4)), child);
        assert_eq!(
            told(&of(&thread(&["wait subprocess.py", "_wait subprocess.py"]), &wait4)),
            child
        );
    }

    #[test]
    fn locks_and_results() {
        let futex = |has_timeout| {
            wait("futex", None, None, Some(Awaited::Futex { address: Address(16), has_timeout }))
        };
        let kind = |frames: &[&str], has_timeout| of(&thread(frames), &futex(has_timeout)).kind;
        let words = |frames: &[&str]| of(&thread(frames), &futex(true)).description;
        let result = ["result concurrent/futures/_base.py", "wait threading.py"];
        assert_eq!(kind(&result, false), BlockingKind::FutureResult);
        assert_eq!(words(&result), "Future.result of a concurrent future");
        let all = ["wait concurrent/futures/_base.py", "wait threading.py", "wait threading.py"];
        assert_eq!(kind(&all, true), BlockingKind::FutureResult);
        let get = ["get queue.py", "wait threading.py"];
        assert_eq!((kind(&get, false), words(&get)), (BlockingKind::Lock, "Queue.get".into()));
        assert_eq!(words(&["wait threading.py", "wait threading.py"]), "Event.wait");
        assert_eq!(words(&["Condition.wait threading.py"]), "Condition.wait");
        assert_eq!(
            words(&["join threading.py", "_wait_for_tstate_lock threading.py"]),
            "Thread.join"
        );

        // A bare lock has no frame of its own, nor has the GIL.
        assert_eq!(kind(&[], false), BlockingKind::Lock);
        assert_eq!(kind(&[], true), BlockingKind::Unknown);
        let own = thread(&[]);
        for (gil, kind) in [(true, BlockingKind::Cpu), (false, BlockingKind::Lock)] {
            let (wait, waits_for_gil) = (Some(&futex(true)), Some(gil));
            let evidence = Evidence { wait, waits_for_gil, collecting: None };
            assert_eq!(blocking(&own, evidence).kind, kind);
        }
    }

    #[test]
    fn files() {
        let own = thread(&[]);
        let file = |description| (BlockingKind::File, description, "Service.step");
        let read = wait("read", Some(4), Some("/mnt/nfs/x"), None);
        assert_eq!(told(&of(&own, &read)), file("read of /mnt/nfs/x"));
        let pipe = wait("read", Some(4), Some("pipe"), None);
        assert_eq!(told(&of(&own, &pipe)), file("read of a pipe"));
        let open = wait("openat", None, None, Some(Awaited::Path("/run/fifo".into())));
        assert_eq!(told(&of(&own, &open)), file("open of /run/fifo"));
        assert_eq!(of(&own, &open).peer.as_deref(), Some("/run/fifo"));
        let lock = wait("flock", Some(4), Some("/var/x.lock"), None);
        assert_eq!(told(&of(&own, &lock)), file("flock of /var/x.lock"));
        let fault = Thread { state: Some(ThreadState::Uninterruptible), ..own };
        assert_eq!(blocking(&fault, Evidence::default()).kind, BlockingKind::File);
    }

    #[test]
    fn computing() {
        let own = Thread { state: Some(ThreadState::Running), ..thread(&["sub re.py"]) };
        let found = blocking(&own, Evidence::default());
        assert_eq!(told(&found), (BlockingKind::Cpu, "on the processor", "Service.step"));
        let memory = wait("madvise", None, None, None);
        assert_eq!(of(&own, &memory).kind, BlockingKind::Cpu);
        assert_eq!(of(&thread(&[]), &memory).kind, BlockingKind::Unknown);
    }

    #[test]
    fn the_garbage_collector() {
        let collecting = |state, waits_for_gil, frames: &[&str]| {
            let own = Thread { state: Some(state), ..thread(frames) };
            let evidence = Evidence { wait: None, waits_for_gil, collecting: Some(2) };
            let found = blocking(&own, evidence);
            (found.kind, found.description)
        };
        let what = "the garbage collector (generation 2)".to_owned();
        assert_eq!(collecting(ThreadState::Running, None, &[]), (BlockingKind::Gc, what.clone()));
        // Another thread collects, and this one waits for the GIL.
        let elsewhere = (BlockingKind::Gc, format!("{what}, at work in another thread"));
        assert_eq!(collecting(ThreadState::Sleeping, Some(true), &[]), elsewhere);
        // A lock is one, whoever collects meanwhile.
        let frames = ["wait threading.py"];
        let (kind, _) = collecting(ThreadState::Sleeping, Some(false), &frames);
        assert_eq!(kind, BlockingKind::Lock);
    }

    #[test]
    fn the_frame_to_blame() {
        let place = |frames: &[&str]| {
            let found = blocking(&thread(frames), Evidence::default());
            found.frame.map(|frame| frame.location.function.to_string())
        };
        let package = "get /usr/lib/python3/dist-packages/requests/api.py";
        assert_eq!(place(&[package, "recv_into ssl.py"]).as_deref(), Some("Service.step"));
        assert_eq!(place(&["f <string>", "g <frozen importlib._bootstrap>"]).as_deref(), Some("f"));
        // What a loop calls itself, without a frame of the program: not the one that started it.
        let mut bare = thread(&[]);
        bare.frames.pop();
        assert_eq!(blocking(&bare, Evidence::default()).frame, None);
        let packages = ["app /x/site-packages/app.py", "sleep /x/lib/python3.12/random.py"];
        let mut installed = thread(&packages);
        installed.frames.remove(5);
        let found = blocking(&installed, Evidence::default()).frame.unwrap();
        assert_eq!(&*found.location.function, "app");
        assert_eq!(blocking(&Thread::default(), Evidence::default()).frame, None);
    }
}
