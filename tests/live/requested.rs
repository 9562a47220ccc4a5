//! What tasks work for and what they ask of others: requests by their routes, calls by whom they ask.

use std::time::{SystemTime, UNIX_EPOCH};

use aiospy::snapshot::Show;
use aiospy::{Inspector, Options};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::per_version;
use super::support::{Program, Python, aiospy, dump, texts};

/// Snapshots of a busy program.
const LOOKS: usize = 30;

/// Adds the trials.
pub fn add(trials: &mut Vec<Trial>) {
    per_version(trials, "requested::held", |_| true, held);
    per_version(trials, "requested::ruled", |_| true, ruled);
    per_version(trials, "requested::busy", |_| true, busy);
    per_version(trials, "requested::variables", |_| true, |python| variables(python, "c"));
    per_version(trials, "requested::variables_pure", |_| true, |python| variables(python, "pure"));
}

fn start(python: &Python, kind: &str) -> Program {
    Program::start(python.venv.as_deref().unwrap(), "requested.py", &[kind])
}

/// Requests that wait are known by their routes and their functions; nothing private is shown.
fn held(python: &Python) {
    let program = start(python, "held");
    let dump = dump(program.pid(), &[]);
    assert!(!dump.to_string().contains("SECRET"), "{dump}");
    let tasks = dump["tasks"].as_array().unwrap();
    let label = |work: &Value| {
        let verb = work["verb"].as_str().unwrap_or_default();
        format!("{} {verb} {}", work["kind"].as_str().unwrap(), work["name"].as_str().unwrap())
    };
    let of = |inherited: bool| {
        let works = tasks.iter().map(|task| &task["work"]).filter(|work| work.is_object());
        let works = works.filter(|work| work["is_inherited"].is_boolean() == inherited);
        let mut labels: Vec<String> = works.map(label).collect();
        labels.sort();
        labels
    };
    let mut own = of(false);
    own.dedup();
    let expected = [
        "request GET /all",
        "request GET /call",
        "request GET /orders/{number}",
        "request GET plain_application",
    ];
    assert_eq!(own, expected, "{tasks:#?}");
    // Where a handler has a task of its own, that has the request itself.
    assert_eq!(of(true), ["request GET /all"; 3]);

    let mut calls = tasks.iter().map(|task| &task["call"]).filter(|call| call.is_object());
    let call = calls.next().unwrap();
    assert_eq!(label(call), "call POST 127.0.0.1");
    assert!(call["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{call}");
    assert!(call["since"]["ms"].as_f64().unwrap() < 60_000.0, "{call}");
    assert!(calls.next().is_none());

    // Paths and clients only where they are asked for.
    let fields = |dump: &Value, field: &str| {
        let tasks = dump["tasks"].as_array().unwrap();
        let works = tasks.iter().filter(|task| task["work"]["is_inherited"].is_null());
        let mut values: Vec<String> =
            works.filter_map(|task| Some(task["work"][field].as_str()?.to_owned())).collect();
        values.sort_unstable();
        values.dedup();
        values
    };
    let shown = |show: &str| {
        let dump = self::dump(program.pid(), &["--show", show]);
        (fields(&dump, "path"), fields(&dump, "client").len())
    };
    assert_eq!((fields(&dump, "path"), fields(&dump, "client")), (Vec::new(), Vec::new()));
    let paths = ["/all", "/call", "/orders/17", "/plain/18"].map(str::to_owned).to_vec();
    assert_eq!(shown("path"), (paths.clone(), 0));
    assert_eq!(shown("all"), (paths, 4));
    let pid = program.pid().to_string();
    let flat = |show: &str| {
        let (text, _) = texts(&aiospy(&["dump", "--flat", "--show", show, &pid]));
        text.lines().filter(|line| line.contains("works for  ")).map(str::to_owned).collect()
    };
    let (route, all): (Vec<String>, Vec<String>) = (flat("route"), flat("all"));
    assert!(route.iter().any(|line| line.contains(" GET /orders/{number}, for ")), "{route:#?}");
    assert!(!route.join("\n").contains("/orders/17"), "{route:#?}");
    let is_whole = |line: &String| {
        line.contains(" GET /orders/17, for ") && line.contains(", from 127.0.0.1:")
    };
    assert!(all.iter().any(is_whole), "{all:#?}");
}

/// A program's own jobs and calls are known by rules that are given for it, and `doctor` says what came
/// of each.
fn ruled(python: &Python) {
    const RULES: &str = r#"
        [[work]]
        at = ["worker.py:Worker.run", "programs/worker.py:Worker.take"]
        kind = "job"
        of = "job"
        name = "job.function"
        id = "job.number"
        peer = "job.queue"
        began = "job.started"
        clock = "epoch"

        [[work]]
        at = "worker.py:ask_stock"
        kind = "call"
        of = "host"
        peer = "host"

        [[work]]
        at = "worker.py:gone"
        kind = "job"
        of = "job"
    "#;
    let program = Program::start::<&str>(&python.path, "worker.py", &[]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), RULES).unwrap();
    let rules = file.path().to_str().unwrap();
    let began = program.truth["started"].as_f64().unwrap();
    let dump = dump(program.pid(), &["--rules", rules]);
    assert!(!dump.to_string().contains("SECRET"), "{dump}");
    let tasks = dump["tasks"].as_array().unwrap();
    let of = |field: &str| -> Vec<&Value> {
        tasks.iter().map(|task| &task[field]).filter(|it| it.is_object()).collect()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let mut jobs: Vec<_> = of("work")
        .into_iter()
        .map(|job| {
            assert_eq!((&job["kind"], &job["since"]["bound"]), (&json!("job"), &json!("exact")));
            let ms = job["since"]["ms"].as_f64().unwrap();
            assert!(ms > 0.0 && ms <= (now - began) * 1e3, "{job}");
            (job["name"].as_str().unwrap(), job["id"].as_str().unwrap())
        })
        .collect();
    jobs.sort_unstable();
    assert_eq!(jobs, [("resize_image", "8"), ("send_mail", "7")]);
    let calls = of("call");
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!((&calls[0]["peer"], &calls[0]["kind"]), (&json!("stock.internal"), &json!("call")));

    let arguments = ["doctor", "--json", "--rules", rules, &program.pid().to_string()];
    let report: Value = serde_json::from_slice(&aiospy(&arguments).stdout).unwrap();
    let rule = |rule: &str, kind: &str, frames: u64, without: u64, missing: Value| json!({"rule": rule, "kind": kind, "frames": frames, "without": without, "missing": missing});
    let expected = json!([
        rule("worker.py:Worker.run", "job", 3, 1, json!({"peer": 2})),
        rule("worker.py:ask_stock", "call", 1, 0, json!({})),
        rule("worker.py:gone", "job", 0, 0, json!({})),
    ]);
    assert_eq!(report["rules"], expected);
}

/// What tasks have in their contexts: ids, and the names of other variables; values on demand.
fn variables(python: &Python, kind: &str) {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    /// Names of one context that are kept.
    const NAMES: usize = 64;
    let program = Program::start(&python.path, "variables.py", &[kind]);
    let truth = &program.truth;
    let plain = dump(program.pid(), &[]);
    assert!(!plain.to_string().contains("SECRET"), "{plain}");
    let with_values = dump(program.pid(), &["--locals"]);
    let context = |dump: &Value, name: &str| {
        let tasks = dump["tasks"].as_array().unwrap();
        let task = tasks.iter().find(|task| task["name"] == name);
        task.unwrap_or_else(|| panic!("no task {name}: {tasks:#?}"))["context"].clone()
    };
    for (name, said) in truth.as_object().unwrap() {
        let (plain, with_values) = (context(&plain, name), context(&with_values, name));
        let expected = said["variables"].as_array().unwrap();
        let count = |context: &Value| {
            let shown = context["variables"].as_array().map_or(0, Vec::len);
            let left_out = context["variables_left_out"].as_u64().unwrap_or(0);
            assert_eq!(shown, expected.len().min(NAMES), "{name}: {context}");
            shown + usize::try_from(left_out).unwrap()
        };
        assert_eq!((count(&plain), count(&with_values)), (expected.len(), expected.len()));
        for (at, expected) in expected.iter().enumerate().take(NAMES) {
            let [plain, value] = [&plain, &with_values].map(|it| &it["variables"][at]);
            assert_eq!((&plain["name"], &value["name"]), (&expected[0], &expected[0]), "{name}");
            assert!(plain["value"].is_null(), "{plain}");
            let expected =
                if name == "secret" { &Value::from("‹hidden›") } else { &expected[1] };
            assert_eq!(&value["value"], expected, "{name}: {value}");
        }
        let trace = |tracer: &str, digits: &str, span: &str| serde_json::json!({ "trace_id": digits, "span_id": span, "tracer": tracer });
        let otel = || trace("opentelemetry", TRACE, "b7ad6b7169203331");
        let expected = match said["ids"].as_str() {
            Some("open" | "otel r-17") => otel(),
            Some("ended") => {
                let mut ended = otel();
                ended["has_ended"] = true.into();
                ended
            }
            Some("ddtrace") => trace("ddtrace", TRACE, "13235353014750950193"),
            Some("ddtrace inner") => trace("ddtrace", "7", "13235353014750950193"),
            _ => Value::Null,
        };
        assert_eq!(plain["trace"], expected, "{name}: {plain}");
    }
    let request = plain["tasks"].as_array().unwrap().iter().find(|it| it["name"] == "request");
    let work = &request.unwrap()["work"];
    assert_eq!((&work["trace"], &work["id"]), (&TRACE.into(), &"r-17".into()), "{work}");
    let left = context(&plain, "left behind");
    assert_eq!(left["request_id"], "r-17", "{left}");
    assert_eq!(left["started_by"]["name"], "application", "{left}");
    let started = plain["tasks"].as_array().unwrap().iter();
    assert_eq!(started.filter(|it| it["context"]["started_by"].is_object()).count(), 1);
}

/// Of many short requests, read while they come and go, none has another one's label.
fn busy(python: &Python) {
    let program = start(python, "busy");
    let mut inspector = Inspector::attach(program.pid()).unwrap();
    let mut options = Options::default();
    options.show = Show::Path;
    let mut labelled = 0;
    for _ in 0..LOOKS {
        let snapshot = inspector.snapshot(&options).unwrap();
        for task in &snapshot.tasks {
            // The handler has named its task by the path of its request.
            let truth = task.name.as_deref().and_then(|name| name.strip_prefix('n'));
            let (Some(truth), Some(work)) = (truth, &task.work) else { continue };
            assert_eq!(work.path.as_deref(), Some(truth), "{task:#?}");
            labelled += 1;
        }
    }
    assert!(labelled > LOOKS, "{labelled}");
}
