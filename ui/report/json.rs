//! The snapshot as JSON of the shape `aiospy.dump/1` (see `schema.json`), written as it goes.

use std::io::{self, Write};

use std::collections::HashSet;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Cgroup, Child, Consistency, Cut, Executor, Finding, Loop, Problem, Process, SCHEMA, Shutdown,
    Snapshot, Task, Undecided, Verdict,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::io::output::Destination;
use crate::io::page::is_unsafe;

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
    write(&Document { schema: SCHEMA, tool: Tool::this(), snapshot }, to)
}

/// A document of the same shape with the findings and what they are about.
#[derive(Serialize)]
struct Brief<'a> {
    schema: &'static str,
    tool: Tool,
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
        document.serialize(&mut Serializer::with_formatter(&mut *out, formatter))?;
    } else {
        let formatter = Safe(CompactFormatter);
        document.serialize(&mut Serializer::with_formatter(&mut *out, formatter))?;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use aiospy::snapshot::{
        Acquire, Age, Blocking, BlockingKind, Cancellation, Cause, Children, Code, Count, Deadline,
        Descriptor, Doubt, Evidence, FindingId, Frame, Job, Location, Members, MemoryLimit,
        Operation, Others, Position, Problem, Program, Quota, Role, Severity, Socket, Source,
        Stage, TaskState, Tcp, Wait, WaitKind, Waiting, WakeSources,
    };
    use jiff::SignedDuration;
    use serde_json::{Value, json};

    use super::*;
    use crate::report::text::sample;

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
                task: Some(sample::id(1)),
                elapsed: Some(Duration::from_millis(1500)),
                id: Address(0x20),
            }],
        }
    }

    fn document() -> Value {
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
        (thread.interpreter, thread.waiting_on) = (Some(1), Some(Box::new(Wait::Asyncgen.into())));
        thread.frames.iter_mut().chain(&mut snapshot.tasks[1].frames).for_each(frame);
        let shutdown = snapshot.shutdown.iter_mut().flat_map(|it| &mut it.frame);
        let blocking = snapshot.loops[0].blocking.iter_mut().flat_map(|it| &mut it.frame);
        shutdown.chain(blocking).for_each(frame);
        snapshot.loops[0].inherited_from = Some(4);
        snapshot.cgroup = Some(cgroup());
        let command = "python worker.py".to_owned();
        snapshot.children = vec![Child { pid: 8, command, has_loops: Some(true) }];
        snapshot.cut = Some(Cut { tasks_read: 7, tasks_at_least: 9 });
        snapshot.unread_tasks = 1;
        snapshot.verdict = Some(Verdict::Findings);
        snapshot.undecided = vec![Undecided {
            reason: Doubt::TooSoon,
            title: "1 task waits".to_owned(),
            code: Some(Code::Deadlock),
            seen_for: Some(Duration::from_millis(200)),
        }];
        let place = snapshot.tasks[1].frames[0].location.clone();
        (snapshot.findings, snapshot.looks) = (Some(findings(&place)), Some(2));
        let document = Document { schema: SCHEMA, tool: Tool::this(), snapshot: &snapshot };
        serde_json::to_value(document).unwrap()
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
            (finding.place, finding.tasks_left_out) = (Some(Arc::clone(place)), 3);
            finding
        });
        findings.collect()
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
            memory: Some(MemoryLimit { limit: 1 << 30, used: 1 << 20 }),
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
            Wait::Future { callbacks: vec!["Task.task_wakeup".to_owned()], is_served: Some(true) },
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
        let unused: Vec<&String> =
            used.iter().filter(|(_, used)| !**used).map(|(name, _)| name).collect();
        assert!(unused.is_empty(), "{unused:#?}");
        assert!(used.len() > 150, "{}", used.len());
    }

    #[test]
    fn what_was_written_can_be_read() {
        let document = document();
        let read = |document: &Value| Snapshot::from_json(document.to_string().as_bytes());
        let snapshot = read(&document).unwrap();
        let again = Document { schema: SCHEMA, tool: Tool::this(), snapshot: &snapshot };
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
        let whole = Document { schema: SCHEMA, tool: Tool::this(), snapshot: &snapshot };
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
        text.serialize(&mut Serializer::with_formatter(&mut out, Safe(CompactFormatter))).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, r#""a\u001b[2J\u009b\u202e\u007f\udb40\udc41 ü 任务""#);
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }
}
