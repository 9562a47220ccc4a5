//! The snapshot as JSON of the shape `aiospy.dump/1` (see `schema.json`), written as it goes.

pub mod summary;

use std::io::{self, Write};

use std::collections::HashSet;
use std::time::Duration;

use aiospy::Error;
use aiospy::memory::Address;
use aiospy::snapshot::{
    Cgroup, Child, Consistency, Cut, Executor, Finding, Loop, LoopState, Problem, Process, SCHEMA,
    Shutdown, Snapshot, Task, Undecided, Verdict,
};
use aiospy::watch::several::Looked;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::io::output::Destination;
use crate::io::page::is_unsafe;
use crate::report::text::group::Group;
use crate::report::text::{Lines, processes};
use summary::{GroupRow, Summary};

/// Who wrote it.
#[derive(Serialize)]
pub struct Tool {
    name: &'static str,
    version: &'static str,
}

impl Tool {
    /// This program.
    pub const fn this() -> Self {
        Self { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    tool: Tool,
    #[serde(flatten)]
    snapshot: &'a Snapshot,
    groups: Vec<GroupRow>,
}

impl<'a> Document<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let groups = summary::groups(snapshot);
        Self { schema: SCHEMA, tool: Tool::this(), snapshot, groups }
    }
}

/// An instant with milliseconds.
pub fn instant(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// The same as it is written.
///
/// # Errors
/// Those of the serializer.
pub fn as_instant<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&instant(*at))
}

/// Milliseconds with microseconds as the fraction.
pub fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1000.0
}

/// Writes a snapshot.
///
/// # Errors
/// Those of the destination.
pub fn dump(snapshot: &Snapshot, to: &mut Destination) -> anyhow::Result<()> {
    write(&Document::of(snapshot), to)
}

/// A document of the same shape with the findings and what they are about.
#[derive(Serialize)]
struct Brief<'a> {
    schema: &'static str,
    tool: Tool,
    #[serde(serialize_with = "as_instant")]
    taken_at: Timestamp,
    consistency: Consistency,
    process: &'a Process,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup: Option<&'a Cgroup>,
    loops: &'a [Loop],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tasks: Vec<&'a Task>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<Cut>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    executors: &'a [Executor],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    children: &'a [Child],
    #[serde(skip_serializing_if = "Option::is_none")]
    shutdown: Option<&'a Shutdown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<&'a [Finding]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    looks: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    undecided: &'a [Undecided],
    problems: &'a [Problem],
}

impl<'a> Brief<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let findings = snapshot.findings.as_deref();
        let named: HashSet<Address> =
            findings.unwrap_or_default().iter().flat_map(|f| f.tasks.iter().copied()).collect();
        Self {
            schema: SCHEMA,
            tool: Tool::this(),
            taken_at: snapshot.taken_at,
            consistency: snapshot.consistency,
            process: &snapshot.process,
            cgroup: snapshot.cgroup.as_ref(),
            loops: &snapshot.loops,
            tasks: snapshot.tasks.iter().filter(|task| named.contains(&task.id)).collect(),
            cut: snapshot.cut,
            executors: &snapshot.executors,
            children: &snapshot.children,
            shutdown: snapshot.shutdown.as_ref(),
            findings,
            looks: snapshot.looks,
            verdict: snapshot.verdict,
            undecided: &snapshot.undecided,
            problems: &snapshot.problems,
        }
    }
}

/// Writes the findings of a snapshot, with the loops and tasks that they name.
///
/// # Errors
/// Those of the destination.
pub fn check(snapshot: &Snapshot, to: &mut Destination) -> anyhow::Result<()> {
    write(&Brief::of(snapshot), to)
}

/// What several processes that are judged as one come to.
#[derive(Serialize)]
struct Whole {
    level: &'static str,
    exit_code: u8,
    text: String,
    #[serde(skip_serializing_if = "is_zero")]
    allowed: usize,
}

/// The document of several processes.
#[derive(Serialize)]
struct Several<'a, D> {
    schema: &'static str,
    tool: Tool,
    #[serde(serialize_with = "as_instant")]
    taken_at: Timestamp,
    verdict: Whole,
    /// Equal ones of several processes once.
    findings: &'a [Finding],
    processes: Vec<Member<'a, D>>,
    #[serde(skip_serializing_if = "is_zero")]
    ended: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// One of them.
#[derive(Serialize)]
#[serde(untagged)]
enum Member<'a, D> {
    /// One that was read, as a document of its own.
    Read(D),
    /// One that was not, and why.
    Unread { process: &'a Process, unread: Unread },
}

/// Why a process was not read.
#[derive(Serialize)]
struct Unread {
    reason: &'static str,
    text: String,
}

impl Unread {
    fn of(error: &Error) -> Self {
        Self { reason: reason(error), text: error.to_string() }
    }
}

/// A kind of error in a word.
fn reason(error: &Error) -> &'static str {
    match error {
        Error::NotPermitted { .. } => "not-permitted",
        Error::NoAsyncio { .. } => "no-asyncio",
        Error::NotPython { .. } => "no-python",
        Error::UnsupportedVersion { .. } => "not-supported",
        Error::NotInitialized { .. } => "not-initialized",
        Error::TimedOut { .. } => "timed-out",
        Error::NoSuchProcess { .. } => "no-such-process",
        Error::TargetGone { .. } => "ended",
        _ => "unreadable",
    }
}

/// Writes what was read of several processes.
///
/// # Errors
/// Those of the destination.
pub fn dump_several(group: &Group, exit_code: u8, to: &mut Destination) -> anyhow::Result<()> {
    write(&several(group, exit_code, Document::of), to)
}

/// Writes the findings of several processes, with the loops and tasks that they name.
///
/// # Errors
/// Those of the destination.
pub fn check_several(group: &Group, exit_code: u8, to: &mut Destination) -> anyhow::Result<()> {
    write(&several(group, exit_code, Brief::of), to)
}

/// Writes what a snapshot comes to, in few bytes.
///
/// # Errors
/// Those of the destination.
pub fn summary(
    snapshot: &Snapshot,
    exit_code: u8,
    lines: &Lines<'_>,
    to: &mut Destination,
) -> anyhow::Result<()> {
    write(&Summary::of(snapshot, exit_code, lines), to)
}

/// Writes what several processes come to, each in few bytes.
///
/// # Errors
/// Those of the destination.
pub fn summary_of_several(
    group: &Group,
    exit_code: u8,
    code_of: &dyn Fn(&Snapshot) -> u8,
    to: &mut Destination,
) -> anyhow::Result<()> {
    let none = Lines::of(None);
    let summary = |snapshot| Summary::of(snapshot, code_of(snapshot), &none);
    write(&several(group, exit_code, summary), to)
}

/// A process as `aiospy ps` lists it.
#[derive(Serialize)]
struct Row<'a> {
    process: &'a Process,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loops: Option<Vec<LoopRow<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worst: Option<&'a Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<Unread>,
}

/// A loop of it.
#[derive(Serialize)]
struct LoopRow<'a> {
    class: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<LoopState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<f64>,
}

impl<'a> Row<'a> {
    fn of(looked: &'a Looked) -> Self {
        let read = looked.read.as_ref().ok();
        let of_loop = |it: &'a Loop| LoopRow {
            class: &it.class,
            thread: it.thread,
            state: it.state,
            elapsed_ms: it.iteration.as_ref().and_then(|it| it.elapsed).map(ms),
        };
        Self {
            process: &looked.process,
            verdict: read.filter(|it| it.has_loop_to_judge()).and_then(|it| it.verdict),
            loops: read.map(|it| it.loops.iter().map(of_loop).collect()),
            tasks: read.map(|it| it.tasks.len()),
            worst: read.and_then(processes::worst),
            unread: looked.read.as_ref().err().or(looked.timed_out.as_ref()).map(Unread::of),
        }
    }
}

/// The document of `aiospy ps`.
#[derive(Serialize)]
struct Rows<'a> {
    schema: &'static str,
    tool: Tool,
    #[serde(serialize_with = "as_instant")]
    taken_at: Timestamp,
    processes: Vec<Row<'a>>,
}

/// Writes the Python processes of a machine.
///
/// # Errors
/// Those of the destination.
pub fn ps(all: &[Looked], to: &mut Destination) -> anyhow::Result<()> {
    let processes = all.iter().map(Row::of).collect();
    let taken_at = Timestamp::now();
    write(&Rows { schema: "aiospy.ps/1", tool: Tool::this(), taken_at, processes }, to)
}

fn several<'a, D>(
    group: &'a Group,
    exit_code: u8,
    document: impl Fn(&'a Snapshot) -> D,
) -> Several<'a, D> {
    let member = |looked: &'a Looked| match &looked.read {
        Ok(snapshot) => Member::Read(document(snapshot)),
        Err(error) => Member::Unread { process: &looked.process, unread: Unread::of(error) },
    };
    Several {
        schema: "aiospy.summary/1",
        tool: Tool::this(),
        taken_at: Timestamp::now(),
        verdict: Whole {
            level: group.level().as_str(),
            exit_code,
            text: group.verdict(),
            allowed: group.allowed(),
        },
        findings: &group.findings,
        processes: group.members.iter().map(member).collect(),
        ended: group.ended,
    }
}

/// Writes any document: over several lines for a person, in one line for a program.
///
/// # Errors
/// Those of the destination.
pub fn write(document: &impl Serialize, to: &mut Destination) -> anyhow::Result<()> {
    let is_terminal = to.is_terminal;
    write_to(to.writer(), is_terminal, document)
}

/// Writes a document in one line.
///
/// # Errors
/// Those of the destination.
pub fn line(document: &impl Serialize, out: &mut dyn Write) -> anyhow::Result<()> {
    write_to(out, false, document)
}

fn write_to(
    out: &mut dyn Write,
    is_terminal: bool,
    document: &impl Serialize,
) -> anyhow::Result<()> {
    if is_terminal {
        let formatter = Safe(PrettyFormatter::new());
        document.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, formatter))?;
    } else {
        let formatter = Safe(CompactFormatter);
        document.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, formatter))?;
    }
    out.write_all(b"\n")?;
    Ok(())
}

/// A formatter that also escapes what could drive a terminal and is not a control character to
/// JSON: C1 controls, changes of direction, invisible characters. The values stay the same.
struct Safe<F>(F);

/// Hands the calls on to the formatter within.
macro_rules! pass_on {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {$(
        fn $name<W: ?Sized + Write>(&mut self, writer: &mut W, $($arg: $type),*) -> io::Result<()> {
            self.0.$name(writer, $($arg),*)
        }
    )*};
}

impl<F: Formatter> Formatter for Safe<F> {
    pass_on! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, char)) =
            rest.char_indices().find(|&(_, c)| c == '\u{7f}' || !c.is_ascii() && is_unsafe(c))
        {
            let (before, after) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            for unit in char.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = after.get(char.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Fails unless a document has the published shape of its kind.
#[cfg(test)]
pub fn assert_shape(kind: &str, document: &serde_json::Value) {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../schema.json")).unwrap();
    let shape = serde_json::json!({"$ref": format!("#/$defs/{kind}"), "$defs": schema["$defs"]});
    let validator = jsonschema::validator_for(&shape).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use aiospy::snapshot::{
        Acquire, Age, Blocking, BlockingKind, Cancellation, Cause, Children, Code, Container,
        Context, Count, Deadline, Descriptor, Doubt, Evidence, FindingId, Frame, Job, Location,
        Members, MemoryLimit, NativeFrame, NativeStack, Operation, Others, Position, Pressure,
        Problem, Program, Quota, Role, Severity, Show, Socket, Source, StackFrame, Stage, Stalls,
        TaskState, Tcp, Trace, Tracer, Variable, Wait, WaitKind, Waiting, WakeSources, Withheld,
        Work, WorkKind, WorkerProcess,
    };
    use jiff::SignedDuration;
    use serde_json::{Value, json};

    use super::*;
    use crate::report::text::sample::{self, service};

    fn schema() -> Value {
        serde_json::from_str(include_str!("../../schema.json")).unwrap()
    }

    fn pool() -> Executor {
        Executor {
            id: Some(Address(0x10)),
            name: Some("asyncio".to_owned()),
            workers: Some(1),
            max_workers: Some(4),
            idle: Some(0),
            queued: Some(2),
            is_shut_down: Some(true),
            limiter: None,
            jobs: vec![Job {
                function: Some("fetch".to_owned()),
                thread: Some(4712),
                process: Some(4713),
                task: Some(sample::id(1)),
                elapsed: Some(Duration::from_millis(1500)),
                id: Address(0x20),
                number: None,
            }],
            processes: Some(vec![WorkerProcess {
                pid: 4713,
                thread: Some(Box::new(sample::snapshot(Vec::new()).threads.remove(0))),
                ..WorkerProcess::default()
            }]),
            manager: None,
            owed: Vec::new(),
        }
    }

    fn work(kind: WorkKind) -> Work {
        Work {
            kind: Some(kind),
            verb: Some("GET".into()),
            name: "/orders/{id}".into(),
            path: Some("/orders/17".into()),
            peer: Some("10.0.0.5:5432".into()),
            client: Some("203.0.113.9:50000".into()),
            id: Some("r1".into()),
            trace: Some("0af7651916cd43dd8448eb211c80319c".into()),
            since: Some(Age::exact(Duration::from_secs(1), Source::Timer)),
            is_inherited: true,
            identity: Some(Address(0x10)),
        }
    }

    fn document() -> Value {
        document_showing(Show::All)
    }

    fn document_showing(show: Show) -> Value {
        let mut child = sample::task(2, "child", &["g app.py:2"], &[1]);
        child.state = Some(TaskState::Running);
        child.cancellation = Some(Cancellation {
            requested: Some(1),
            must_cancel: false,
            in_flight: true,
            handling: Some(0),
            message: Some("bye".to_owned()),
        });
        child.frames[0].locals = Some(vec![("x".into(), "1".to_owned())]);
        child.work = Some(Arc::new(work(WorkKind::Request)));
        child.call = Some(Arc::new(work(WorkKind::Query)));
        child.context = Some(Arc::new(Context {
            trace: Some(Trace {
                trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
                span_id: Some("b7ad6b7169203331".into()),
                tracer: Some(Tracer::Opentelemetry),
                has_ended: true,
            }),
            request_id: Some("r-17".into()),
            started_by: Some(Arc::new(work(WorkKind::Request))),
            variables: vec![Variable { name: "tenant".into(), value: Some("'acme'".to_owned()) }],
            variables_left_out: 3,
        }));
        let mut snapshot =
            sample::blocked(vec![sample::task(1, "parent", &["f app.py:1"], &[]), child]);
        snapshot.process.namespace_pid = Some(7);
        snapshot.process.exe = Some("/usr/bin/python3.13".to_owned());
        snapshot.process.free_threaded = Some(false);
        snapshot.process.debug_build = Some(false);
        snapshot.problems.push(Problem {
            place: "task 0x10".to_owned(),
            wanted: "its await chain".to_owned(),
            cause: "not mapped".to_owned(),
        });
        snapshot.tasks.extend((3..).zip(waits()).map(|(number, wait)| {
            let mut task = sample::task(number, "waiter", &[], &[]);
            task.waiting_on = Some(Box::new(waiting(wait)));
            task
        }));
        let pool = pool();
        let frame = snapshot.threads[0].frames.last().cloned();
        snapshot.loops[0].executor = Some(pool.clone());
        snapshot.loops[0].wake_sources = Some(WakeSources {
            descriptors: vec![7],
            threads: vec![4712],
            signals: vec![15],
            traced: false,
            unheeded_timer: true,
        });
        snapshot.loops[0].blocking = Some(Blocking {
            kind: BlockingKind::FutureResult,
            description: "Future.result".to_owned(),
            fd: Some(7),
            peer: Some("pipe".to_owned()),
            frame: frame.clone(),
            task: Some(sample::id(1)),
            thread: Some(4712),
            loop_id: Some(sample::LOOP),
        });
        snapshot.executors = vec![pool];
        snapshot.shutdown = Some(Shutdown {
            stage: Stage::DefaultExecutor,
            by: "asyncio.run".to_owned(),
            loop_id: Some(sample::LOOP),
            frame,
            task: None,
            tasks: vec![sample::id(1)],
            threads: vec![4712],
            grounds: None,
        });
        let frame = |frame: &mut Frame| {
            let location = Location { column: Some(4), ..Location::clone(&frame.location) };
            let locals = Some(vec![("x".into(), "1".to_owned())]);
            *frame = Frame { location: Arc::new(location), locals };
        };
        let thread = &mut snapshot.threads[0];
        thread.native = Some(native());
        (thread.interpreter, thread.waiting_on) = (Some(1), Some(Box::new(Wait::Asyncgen.into())));
        thread.frames.iter_mut().chain(&mut snapshot.tasks[1].frames).for_each(frame);
        let shutdown = snapshot.shutdown.iter_mut().flat_map(|it| &mut it.frame);
        let blocking = snapshot.loops[0].blocking.iter_mut().flat_map(|it| &mut it.frame);
        shutdown.chain(blocking).for_each(frame);
        snapshot.loops[0].inherited_from = Some(4);
        snapshot.cgroup = Some(cgroup());
        let command = "python worker.py".to_owned();
        let (state, elapsed) = (Some(LoopState::Blocked), Some(Duration::from_secs(1)));
        snapshot.children = vec![Child { pid: 8, command, has_loops: Some(true), state, elapsed }];
        snapshot.process.parent = Some(3);
        snapshot.process.container = Some(container());
        snapshot.cut = Some(Cut { tasks_read: 7, tasks_at_least: 9 });
        snapshot.unread_tasks = 1;
        snapshot.verdict = Some(Verdict::Findings);
        snapshot.undecided = vec![undecided()];
        snapshot.heap = Some(Box::new(sample::heap()));
        let place = snapshot.tasks[1].frames[0].location.clone();
        (snapshot.findings, snapshot.looks) = (Some(findings(&place)), Some(2));
        serde_json::to_value(Document::of(&snapshot.showing(show))).unwrap()
    }

    fn undecided() -> Undecided {
        Undecided {
            reason: Doubt::TooSoon,
            title: "1 task waits".to_owned(),
            code: Some(Code::Deadlock),
            seen_for: Some(Duration::from_millis(200)),
        }
    }

    fn native() -> NativeStack {
        let poll = NativeFrame {
            function: Some("poll".into()),
            file: Some("/usr/lib/libc.so.6".into()),
            offset: Some(Address(0x1234)),
            is_machinery: false,
        };
        let python = StackFrame::Python { frame: 0 };
        NativeStack {
            withheld: Some(Withheld::Moved),
            frames: vec![python, StackFrame::Gap { gap: true }, StackFrame::Native(poll)],
            is_complete: false,
        }
    }

    /// A finding from each cause, with every fact there is.
    fn findings(place: &Arc<Location>) -> Vec<Finding> {
        let findings = causes().into_iter().map(|cause| {
            let age = Age::at_least(Duration::from_secs(3), Source::Samples);
            let mut finding = sample::bank().findings.unwrap().remove(2);
            finding.evidence = vec![Evidence {
                task: Some(sample::id(1)),
                since: Some(age),
                ..Evidence::from("a fact").at(Some(place)).role(Role::Holder)
            }];
            finding.roles =
                vec![Members { role: Role::Waiter, count: 40, first: vec![sample::id(2)] }];
            (finding.cause, finding.since) = (Some(cause), Some(age));
            (finding.pid, finding.also_in, finding.is_allowed) = (Some(8), vec![9], true);
            (finding.place, finding.tasks_left_out) = (Some(Arc::clone(place)), 3);
            finding
        });
        findings.collect()
    }

    fn container() -> Container {
        let some = |text: &str| Some(text.to_owned());
        Container {
            id: some("3f5c0d"),
            runtime: some("docker"),
            name: some("app"),
            pod_uid: some("0a1b"),
            hostname: some("orders-7d9f"),
        }
    }

    fn cgroup() -> Cgroup {
        Cgroup {
            quotas: Some(vec![Quota {
                group: "/pod".into(),
                quota: Duration::from_millis(50),
                period: Duration::from_millis(100),
                periods: Some(9),
                throttled: Some(3),
                throttled_for: Some(Duration::from_millis(70)),
            }]),
            frozen: Some(false),
            memory: Some(MemoryLimit { limit: 1 << 30, used: 1 << 20, oom_kills: Some(1) }),
            pressure: Pressure {
                cpu: Some(Stalls { some_percent: 98.0, full_percent: None }),
                memory: Some(Stalls { some_percent: 12.34, full_percent: Some(5.5) }),
                io: Some(Stalls::default()),
            },
        }
    }

    /// One cause of each kind, with every fact there is.
    fn causes() -> Vec<Cause> {
        let (name, class) = (Some("self.lock".to_owned()), Some("asyncio.locks.Lock".into()));
        let object = Some(Address(0x30));
        let (items, size) = (Some(3), Some(3));
        vec![
            Cause::Lock { name: name.clone(), class: class.clone(), object },
            Cause::Call {
                call: "recv".to_owned(),
                class: BlockingKind::Socket,
                system_call: Some("read".to_owned()),
                thread: Some(7),
            },
            Cause::Except { clause: "except".to_owned(), is_sure: true },
            Cause::Exception { class: "ValueError".to_owned(), message: "no".to_owned() },
            Cause::Pool { name: name.clone(), object, size: Some(4), queued: Some(9) },
            Cause::Queue { name: name.clone(), class, object, items, size },
            Cause::Cycle { length: 2, count: 1 },
            Cause::Thread { thread: Some(7), name },
            Cause::Quota {
                group: "/pod".to_owned(),
                quota: Duration::from_millis(50),
                period: Duration::from_millis(100),
                throttled: 3,
                periods: 9,
            },
            Cause::Peer { address: "10.0.0.5:5432".to_owned() },
            Cause::Process { pid: 4713, name: Some("ffmpeg".to_owned()) },
            Cause::Gc { generation: Some(2) },
        ]
    }

    /// Waits that have every fact there is.
    fn waits() -> Vec<Wait> {
        let children = Children {
            pending: 1,
            done: 2,
            failed: 3,
            cancelled: 4,
            return_exceptions: Some(true),
            aborting: Some(false),
        };
        let socket = Socket {
            protocol: "tcp",
            local: Some("10.0.0.7:52114".to_owned()),
            remote: Some("10.0.0.9:5432".to_owned()),
            state: Some("established"),
            receive_queue: Some(0),
            send_queue: Some(12),
            tcp: Some(Tcp {
                opened_here: Some(true),
                last_sent: Some(Duration::from_secs(31)),
                last_received: Some(Duration::from_secs(32)),
                last_acknowledged: Some(Duration::from_millis(30_990)),
                retransmitting: Some(Duration::from_millis(400)),
                retransmits: 2,
                unsent: Some(12),
                is_window_closed: true,
                peer_heard: Some(Duration::from_millis(900)),
            }),
            is_watched: Some(true),
            is_accepted: true,
            client: Some("198.51.100.7:50000".to_owned()),
        };
        vec![
            Wait::Socket(Descriptor {
                operation: Some(Operation::Connect),
                fd: Some(7),
                peer: Some("tcp a -> b".to_owned()),
                socket: Some(Box::new(socket)),
                program: Program { pid: Some(4713), name: Some("convert".to_owned()) },
            }),
            Wait::Task {
                operation: Some(Operation::AsCompleted),
                others: Others { tasks: vec![sample::id(2)], children: Some(children) },
            },
            Wait::Semaphore {
                acquire: Acquire {
                    holders: (1..=40).map(sample::id).collect(),
                    position: Position { at: Some(3), of: Some(40) },
                    ..Acquire::default()
                },
                permits: Count { value: Some(-1), limit: Some(3) },
            },
            Wait::Pool {
                pool: Some("asyncpg's pool".into()),
                acquire: Acquire::default(),
                out: Count { value: Some(10), limit: Some(10) },
                held: 7,
                lost: 2,
                unseen: 1,
            },
            Wait::Thread { thread: Some(4712), tasks: Vec::new() },
            Wait::Future {
                stands_for: Some("next request of gRPC".into()),
                callbacks: vec!["Task.task_wakeup".to_owned()],
                is_served: Some(true),
            },
        ]
    }

    fn waiting(wait: Wait) -> Waiting {
        Waiting {
            wait,
            description: "read from tcp".to_owned(),
            object: Some(Address(0x30)),
            class: Some("asyncio.streams.StreamReader".into()),
            name: Some("self.reader".to_owned()),
            since: Some(Duration::from_secs(3)),
            due_in: Some(SignedDuration::from_millis(-1500)),
            deadlines: vec![Deadline {
                frame: Some(0),
                due_in: Some(SignedDuration::from_secs(2)),
            }],
            foreign_loop: Some(Address(0x40)),
        }
    }

    #[test]
    fn document_has_the_published_shape() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let document = document();
        let errors: Vec<String> =
            validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        assert_eq!(document["schema"], "aiospy.dump/1");
        assert_eq!(document["tool"]["name"], "aiospy");
        assert_eq!(document["elapsed_ms"], 12.345);
        assert_eq!(document["findings"][0]["because_of"], "f1");
        let tasks = document["tasks"].as_array().unwrap();
        let waits: Vec<&Value> = tasks.iter().filter_map(|task| task.get("waiting_on")).collect();
        let of_kind = |kind| waits.iter().find(|wait| wait["kind"] == kind).unwrap();
        assert_eq!(of_kind("socket")["due_in_ms"], -1500.0);
        assert_eq!(of_kind("task")["operation"], "as-completed");
        assert_eq!(of_kind("semaphore")["operation"], "acquire");
        assert_eq!(of_kind("semaphore")["holders"].as_array().map(Vec::len), Some(32));
        assert_eq!(of_kind("semaphore")["holder_count"], 40);
        assert_eq!(document["tasks"][1]["awaited_by"], json!(["0x7f61b0000100"]));
        assert!(validator.is_valid(&json!({})), "every field may be absent");

        let mut undocumented = document.clone();
        undocumented["tasks"][0]["news"] = json!(1);
        assert!(!validator.is_valid(&undocumented));
        let mut decimal = document;
        decimal["tasks"][0]["id"] = json!("1234");
        assert!(!validator.is_valid(&decimal));
    }

    /// Whether each property of a shape is in one of the values; by its path, which begins anew at
    /// each definition.
    fn note_used(
        shape: &Value,
        schema: &Value,
        values: &[&Value],
        path: &str,
        used: &mut BTreeMap<String, bool>,
    ) {
        if values.is_empty() {
            return;
        }
        let (shape, path) = match shape["$ref"].as_str() {
            Some(name) => (schema.pointer(name.trim_start_matches('#')).unwrap(), name),
            None => (shape, path),
        };
        for (name, of_field) in shape["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let inner: Vec<&Value> = values.iter().filter_map(|value| value.get(name)).collect();
            *used.entry(path.clone()).or_default() |= !inner.is_empty();
            note_used(of_field, schema, &inner, &path, used);
        }
        let items: Vec<&Value> =
            values.iter().filter_map(|value| value.as_array()).flatten().collect();
        note_used(&shape["items"], schema, &items, path, used);
        if shape["additionalProperties"].is_object() {
            let maps = values.iter().filter_map(|value| value.as_object());
            let entries: Vec<&Value> = maps.flat_map(|map| map.values()).collect();
            note_used(&shape["additionalProperties"], schema, &entries, path, used);
        }
    }

    /// That each field has a property is what the validation of the same document shows.
    #[test]
    fn no_property_of_the_shape_is_without_a_field() {
        let (schema, document) = (schema(), document());
        let mut used = BTreeMap::new();
        note_used(&schema, &schema, &[&document], "", &mut used);
        // Only a summary has lines of source, and this one has findings of its own tasks.
        let (shop, source) = (sample::shop(), sample::shop_source());
        let summary = Summary::of(&shop, 3, &Lines::of(Some(&source)));
        let summary = serde_json::to_value(summary).unwrap();
        let groups = &schema["properties"]["groups"];
        note_used(groups, &schema, &[&summary["groups"]], "", &mut used);
        let unused: Vec<&String> =
            used.iter().filter(|(_, used)| !**used).map(|(name, _)| name).collect();
        assert!(unused.is_empty(), "{unused:#?}");
        assert!(used.len() > 150, "{}", used.len());
    }

    #[test]
    fn what_tells_one_user_from_another_is_in_no_document_unless_asked_for() {
        let of = |show| {
            let text = document_showing(show).to_string();
            assert!(text.contains("/orders/{id}") && text.contains("10.0.0.5:5432"));
            ["/orders/17", "203.0.113.9"].map(|private| text.matches(private).count())
        };
        assert_eq!(of(Show::Route), [0, 0]);
        assert_eq!(of(Show::Path), [3, 0]);
        assert_eq!(of(Show::All), [3, 3]);
        let text = document().to_string();
        // Whoever asks for all of a socket gets it.
        let socket = &json!({"remote": "198.51.100.7:50000", "is_accepted": true});
        let of = |it: &Value| (it["remote"].clone(), it["is_accepted"].clone());
        let tasks = document()["tasks"].as_array().unwrap().clone();
        assert!(tasks.iter().any(|task| of(&task["waiting_on"]["socket"]) == of(socket)), "{text}");
        assert_eq!(text.matches("198.51.100.7").count(), 1);
    }

    #[test]
    fn what_was_written_can_be_read() {
        let document = document();
        let read = |document: &Value| Snapshot::from_json(document.to_string().as_bytes());
        let snapshot = read(&document).unwrap();
        let again = Document::of(&snapshot);
        assert_eq!(serde_json::to_value(again).unwrap(), document);
        // Findings alone have the same shape.
        let bank = sample::bank();
        let brief = serde_json::to_value(Brief::of(&bank)).unwrap();
        assert_eq!(serde_json::to_value(Brief::of(&read(&brief).unwrap())).unwrap(), brief);

        let mut newer = document.clone();
        newer["news"] = json!({ "x": 1 });
        newer["tasks"][0]["state"] = json!("asleep");
        newer["tasks"][2]["waiting_on"]["kind"] = json!("tea");
        newer["loops"][0]["blocking"]["kind"] = json!("tea");
        newer["loops"][0]["iteration"]["phase"] = json!("tea");
        newer["shutdown"]["stage"] = json!("tea");
        newer["findings"][0]["code"] = json!("tea-cold");
        newer["findings"][0]["severity"] = json!("tepid");
        newer["findings"][0]["cause"] = json!({ "kind": "kettle" });
        let read_newer = read(&newer).unwrap();
        assert_eq!(read_newer.tasks[0].state, None);
        let waiting = read_newer.tasks[2].waiting_on.as_ref().unwrap();
        assert_eq!(waiting.kind(), WaitKind::Unknown);
        assert_eq!(waiting.name.as_deref(), Some("self.reader"));
        let event_loop = &read_newer.loops[0];
        let blocking = event_loop.blocking.as_ref().unwrap();
        assert_eq!((blocking.kind, &event_loop.iteration), (BlockingKind::Unknown, &None));
        assert!(read_newer.shutdown.is_none());
        let finding = &read_newer.findings.unwrap()[0];
        assert_eq!((finding.code, finding.severity), (Code::Other, Severity::Warning));
        assert_eq!(finding.cause, None);

        newer["schema"] = json!("aiospy.dump/2");
        let error = read(&newer).unwrap_err().to_string();
        let expected = "it has the shape `aiospy.dump/2`, and this version reads `aiospy.dump/1`";
        assert_eq!(error, expected);
        let error = Snapshot::from_json(b"[1]").unwrap_err().to_string();
        assert!(error.starts_with("it is no dump as JSON"), "{error}");
    }

    /// A document of one kind, held against the schema.
    fn check_kind(kind: &str, document: &Value) {
        let mut schema = schema();
        let kinds = schema.as_object_mut().unwrap().remove("$defs").unwrap();
        // A part that is a dump refers to the whole schema.
        let whole = std::mem::replace(&mut schema, json!({"$ref": format!("#/$defs/{kind}")}));
        let text = kinds.to_string().replace("\"$ref\":\"#\"", "\"$ref\":\"#/$defs/dump\"");
        schema["$defs"] = serde_json::from_str(&text).unwrap();
        schema["$defs"]["dump"] = whole;
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(document).map(|it| it.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?} {document}");
    }

    #[test]
    fn several_processes_are_one_document() {
        let group = service();
        let brief = serde_json::to_value(several(&group, 3, Brief::of)).unwrap();
        let whole = Document::of;
        let whole = serde_json::to_value(several(&group, 3, whole)).unwrap();
        for document in [brief, whole] {
            check_kind("summary", &document);
            assert_eq!(document["verdict"]["level"], "critical");
            assert_eq!(document["verdict"]["exit_code"], 3);
            let findings = document["findings"].as_array().unwrap();
            assert_eq!(findings.len(), 1, "{document}");
            assert_eq!((&findings[0]["pid"], &findings[0]["also_in"]), (&json!(13), &json!([12])));
            let all = document["processes"].as_array().unwrap();
            assert_eq!((all.len(), &document["ended"]), (6, &json!(1)));
            assert_eq!(all[0]["process"]["pid"], 10);
            assert_eq!(all[2]["findings"][0]["code"], "loop-blocked");
            assert_eq!(all[4]["unread"]["reason"], "not-permitted");
            assert_eq!(all[5]["unread"]["reason"], "no-asyncio");
        }
    }

    #[test]
    fn a_list_of_processes_has_one_object_for_each() {
        let group = service();
        let processes = group.members.iter().map(Row::of).collect();
        let taken_at = Timestamp::now();
        let rows = Rows { schema: "aiospy.ps/1", tool: Tool::this(), taken_at, processes };
        let document = serde_json::to_value(rows).unwrap();
        check_kind("ps", &document);
        let all = document["processes"].as_array().unwrap();
        assert_eq!(all[1]["verdict"], "ok");
        assert_eq!(all[3]["loops"][0]["state"], "blocked");
        assert_eq!(
            (&all[3]["loops"][0]["elapsed_ms"], &all[3]["tasks"]),
            (&json!(4000.0), &json!(1))
        );
        assert_eq!(all[3]["worst"]["code"], "loop-blocked");
        assert_eq!(all[0].get("verdict"), None);
        assert_eq!(all[4]["unread"]["text"], "not permitted to read process 14");
        assert_eq!(all[4].get("tasks"), None);
    }

    #[test]
    fn findings_come_with_what_they_are_about() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let mut snapshot = sample::bank();
        let document = serde_json::to_value(Brief::of(&snapshot)).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        assert_eq!(document["schema"], "aiospy.dump/1");
        assert_eq!(document["looks"], 2);
        let names = |of: &Value| -> Vec<Value> {
            of.as_array().unwrap().iter().map(|task| task["name"].clone()).collect()
        };
        assert_eq!(names(&document["tasks"]), ["ada-to-bob", "bob-to-ada", "heartbeat"]);
        let known: Vec<&Value> =
            document["tasks"].as_array().unwrap().iter().map(|task| &task["id"]).collect();
        for finding in document["findings"].as_array().unwrap() {
            assert!(finding["tasks"].as_array().unwrap().iter().all(|id| known.contains(&id)));
            assert_eq!(finding["loop"], document["loops"][0]["id"]);
        }

        // That there are none is said; tasks that nobody asked for are not said to be none.
        snapshot.findings = Some(Vec::new());
        let document = serde_json::to_value(Brief::of(&snapshot)).unwrap();
        assert_eq!(document["findings"], json!([]));
        assert!(document.get("tasks").is_none() && validator.is_valid(&document));
    }

    /// Of two causes with one code, only the id tells which of them a follower is of.
    #[test]
    fn a_follower_names_its_own_cause() {
        let found = |(id, code, cause, tasks): (u64, Code, Option<u64>, &[u64])| {
            let mut finding = sample::finding(code, Severity::Critical, "stuck", tasks);
            (finding.id, finding.because_of) = (FindingId(id), cause.map(FindingId));
            finding
        };
        let tasks = (1..=6).map(|number| sample::task(number, "work", &["work app.py:1"], &[]));
        let mut snapshot = sample::snapshot(tasks.collect());
        let findings = [
            (1, Code::Deadlock, None, &[1, 2][..]),
            (2, Code::Deadlock, None, &[3, 4]),
            (3, Code::LockConvoy, Some(2), &[3, 5]),
            (4, Code::LockConvoy, Some(1), &[1, 6]),
        ];
        snapshot.findings = Some(findings.map(found).into());
        let whole = Document::of(&snapshot);
        let whole = serde_json::to_value(whole).unwrap();
        for document in [whole, serde_json::to_value(Brief::of(&snapshot)).unwrap()] {
            let findings = document["findings"].as_array().unwrap();
            let causes = findings.iter().map(|follower| {
                let mut its = findings.iter().filter(|it| it["id"] == follower["because_of"]);
                let cause = its.next()?;
                assert!(its.next().is_none(), "{}", follower["because_of"]);
                let first = &follower["tasks"][0];
                assert!(cause["tasks"].as_array().unwrap().contains(first), "{follower}");
                Some((cause["code"].as_str().unwrap(), &cause["id"]))
            });
            let (first, second) = (json!("f1"), json!("f2"));
            let causes: Vec<_> = causes.collect();
            assert_eq!(
                causes,
                [None, None, Some(("deadlock", &second)), Some(("deadlock", &first))]
            );
        }
    }

    #[test]
    fn schema_describes_every_field() {
        fn walk(at: &str, schema: &Value) {
            assert!(
                schema["description"].as_str().is_some_and(|words| words.len() > 5),
                "{at} has no description"
            );
            if let Some(properties) = schema.get("properties") {
                assert_eq!(schema["additionalProperties"], false, "{at}");
                for (name, field) in properties.as_object().unwrap() {
                    walk(&format!("{at}.{name}"), field);
                }
            }
            if let Some(items) = schema.get("items") {
                walk(&format!("{at}[]"), items);
            }
            for kind in schema.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
                walk(&format!("{at} {}", kind["properties"]["event"]["const"]), kind);
            }
        }
        let schema = schema();
        walk("", &schema);
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            walk(name, definition);
        }
    }

    #[test]
    fn document_is_one_line_for_programs_and_many_for_people() {
        for (is_terminal, lines) in [(false, 1), (true, 4)] {
            let mut out = Vec::new();
            write_to(&mut out, is_terminal, &json!({"a": 1, "b": 2})).unwrap();
            assert_eq!(String::from_utf8(out).unwrap().lines().count(), lines);
        }
    }

    #[test]
    fn what_could_drive_a_terminal_is_escaped_and_stays_the_same_value() {
        let text = "a\u{1b}[2J\u{9b}\u{202e}\u{7f}\u{e0041} ü 任务";
        let mut out = Vec::new();
        text.serialize(&mut serde_json::Serializer::with_formatter(
            &mut out,
            Safe(CompactFormatter),
        ))
        .unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, r#""a\u001b[2J\u009b\u202e\u007f\udb40\udc41 ü 任务""#);
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }
}
