//! What the live tests share: the interpreters, the programs, the tool.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod expected;
pub mod pages;
pub mod truth;

use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a program may take to reach its state: ten times what it needs on a loaded machine.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The versions that must be there.
#[allow(unused_imports, reason = "each test binary uses its own part")]
pub use aiospy::layout::VERSIONS;

/// An interpreter, as `scripts/pythons` found it.
#[derive(Debug, Clone)]
pub struct Python {
    /// `3.12`.
    pub version: String,
    /// What to execute.
    pub path: PathBuf,
    /// The root it runs in, when that is another one than ours.
    pub root: Option<PathBuf>,
    /// The same in its virtual environment.
    pub venv: Option<PathBuf>,
    /// The version of uvloop there.
    pub uvloop: Option<String>,
}

impl Python {
    /// The `12` of 3.12.
    pub fn minor(&self) -> u32 {
        self.version.split('.').nth(1).unwrap().parse().unwrap()
    }
}

/// The project's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file without comments and without what only tests have.
pub fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The files of some folders of the repository whose names end so.
pub fn files_below(folders: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The texts in code: what stands between quotes, over several lines or in one.
pub fn literals(code: &str) -> Vec<String> {
    let mut parts = code.split("\\\n");
    let first = parts.next().unwrap().to_owned();
    let joined = parts.fold(first, |text, part| text + part.trim_start());
    joined.lines().flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

fn listed() -> &'static Value {
    static LIST: LazyLock<Value> = LazyLock::new(|| {
        let file = root().join("target/pythons.json");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    });
    &LIST
}

/// The interpreter of a version, if it is there.
pub fn python(version: &str) -> Option<Python> {
    let all = listed()["interpreters"].as_array()?;
    let found = all.iter().find(|python| python["version"] == version)?;
    Some(Python {
        version: version.to_owned(),
        path: found["python"].as_str()?.into(),
        root: found["root"].as_str().map(PathBuf::from),
        venv: found["venv"].as_str().map(PathBuf::from),
        uvloop: found["uvloop"].as_str().map(str::to_owned),
    })
}

/// A Python too old for us, `2.7` or `3.7`, if it is there.
pub fn old_python(version: &str) -> Option<PathBuf> {
    let all = listed()["old"].as_array()?;
    let found = all.iter().find(|python| python["version"] == version)?;
    Some(found["python"].as_str()?.into())
}

/// Whether everything must be there: then what is missing fails instead of being ignored.
pub fn is_strict() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// What random numbers of a test begin with, to be named when it fails: a new one each time, unless
/// `AIOSPY_SEED` has one.
pub fn seed() -> u64 {
    match std::env::var("AIOSPY_SEED") {
        Ok(seed) => seed.parse().expect("AIOSPY_SEED is no number"),
        Err(_) => RandomState::new().hash_one(0),
    }
}

/// Waits for what nobody tells.
pub fn wait_until(what: &str, mut is_reached: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_reached() && !std::thread::panicking() {
        assert!(start.elapsed() < READY_WITHIN, "never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A program under test that has reached its state; it is ended when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// The JSON it printed before `READY`.
    pub truth: Value,
}

impl Program {
    /// Starts `tests/programs/NAME` and waits until it says `READY`.
    pub fn start<S: AsRef<OsStr>>(python: &Path, name: &str, arguments: &[S]) -> Self {
        let mut command = Command::new(python);
        command.arg(root().join("tests/programs").join(name)).args(arguments);
        Self::spawn(command)
    }

    /// Starts any command that prints its truth and `READY`, and waits for that.
    pub fn spawn(command: Command) -> Self {
        let mut program = Self::launch(command);
        program.wait_ready();
        program
    }

    /// Starts a command.
    pub fn launch(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, stdin, lines, truth: Value::Null }
    }

    /// Waits until it says `READY`, and takes in the truth it prints before.
    pub fn wait_ready(&mut self) {
        loop {
            match self.line().as_str() {
                "READY" => return,
                json => self.truth = parse(json),
            }
        }
    }

    /// The next line it prints.
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(READY_WITHIN) {
            Ok(line) => line,
            Err(error) => panic!("no line from the program ({error}): {:?}", self.child.try_wait()),
        }
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Closes its standard input, at which it ends, and waits for that.
    pub fn end(&mut self) -> std::process::ExitStatus {
        self.stdin = None;
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// JSON as Python writes it: a lone surrogate, which no JSON of ours can hold, becomes `�`.
pub fn parse(json: &str) -> Value {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    let unit = |text: &str| u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        let len = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                text.push_str("\\ufffd");
                rest = &escape[6..];
                continue;
            }
            (Some(_), _) => 6,
            // Any other escape, `\\\\` above all: the character behind it begins none.
            (None, _) => 2,
        };
        text.push_str(&escape[..len]);
        rest = &escape[len..];
    }
    text.push_str(rest);
    match serde_json::from_str(&text) {
        Ok(value) => value,
        Err(error) => panic!("{error} in {text:.200}"),
    }
}

/// Runs the tool.
pub fn aiospy<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aiospy"));
    command.args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

/// Standard output and standard error as text.
pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// `aiospy dump --json` of a process, held against the schema.
pub fn dump(pid: i32, options: &[&str]) -> Value {
    dump_by(Command::new(env!("CARGO_BIN_EXE_aiospy")), pid, options)
}

/// The same, by a command that runs the tool in some other way.
pub fn dump_by(mut tool: Command, pid: i32, options: &[&str]) -> Value {
    tool.args(["dump", "--json"]).args(options).arg(pid.to_string()).stdin(Stdio::null());
    let output = tool.output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{tool:?}: {}\n{stderr}", output.status);
    let dump: Value = serde_json::from_str(&stdout).unwrap();
    check_schema(&dump);
    dump
}

/// What `schema.json` says of documents of one kind: a dump, or one of its `$defs`.
fn validator(kind: Option<&str>) -> jsonschema::Validator {
    let text = std::fs::read_to_string(root().join("schema.json")).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    if let Some(kind) = kind {
        let uses = serde_json::json!({"$ref": format!("#/$defs/{kind}"), "$defs": schema["$defs"]});
        schema = uses;
    }
    jsonschema::validator_for(&schema).unwrap()
}

fn check(validator: &jsonschema::Validator, document: &Value) {
    let errors = validator.iter_errors(document).take(5);
    let errors: Vec<String> = errors.map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "not valid against schema.json: {errors:#?} {document}");
}

/// Fails unless `dump` is valid against `schema.json`.
pub fn check_schema(dump: &Value) {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| validator(None));
    check(&SCHEMA, dump);
}

/// Fails unless a line of `watch` is valid.
pub fn check_watch_schema(line: &Value) {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| validator(Some("watch")));
    check(&SCHEMA, line);
}

/// Fails unless the document of several processes is valid; each that was read is a dump.
pub fn check_summary_schema(document: &Value) {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        let text = std::fs::read_to_string(root().join("schema.json")).unwrap();
        let mut dump: Value = serde_json::from_str(&text).unwrap();
        let kinds = dump.as_object_mut().unwrap().remove("$defs").unwrap();
        let kinds = kinds.to_string().replace(r##""$ref":"#""##, r##""$ref":"#/$defs/dump""##);
        let mut kinds: Value = serde_json::from_str(&kinds).unwrap();
        kinds["dump"] = dump;
        let schema = serde_json::json!({"$ref": "#/$defs/summary", "$defs": kinds});
        jsonschema::validator_for(&schema).unwrap()
    });
    check(&SCHEMA, document);
}

/// Fails unless the list of processes is valid.
pub fn check_ps_schema(document: &Value) {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| validator(Some("ps")));
    check(&SCHEMA, document);
}

/// Fails unless the document of `stop` is valid.
pub fn check_stop_schema(document: &Value) {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| validator(Some("stop")));
    check(&SCHEMA, document);
}
