//! What frames of libraries say of the work they are part of: which request, call, query or job.
//!
//! A `Row` names functions and, for each fact, the `Paths` from a variable of their frames to it.
//! What a row doesn't find is absent; nothing of the target is executed, so a path that leads through a
//! property ends there, and the row names the attribute behind it.

use std::fmt;
use std::sync::{Arc, LazyLock};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::name::{last_part, method_of_grpc};
use super::{LIBRARIES, Origin};

/// What frames of some functions say of their work.
#[derive(Debug)]
pub(super) struct Row {
    /// Files below the root of the library, or folders that end in `/`, and names of functions in
    /// them; a name with a dot is a qualified one.
    pub at: &'static [(&'static str, &'static str)],
    /// What the work is.
    pub kind: WorkKind,
    /// The object that is the request, the job or the like. Where there is none, there is no such work
    /// at the moment.
    pub of: &'static str,
    /// Where its facts are: from that object on, or from a variable.
    pub facts: &'static [(Fact, &'static str)],
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fact {
    /// Something without which there is no such work.
    Needs,
    /// The type of an ASGI scope, which has other things than requests.
    Type,
    /// The verb of a request.
    Verb,
    /// The pattern of paths by which a request was routed.
    Route,
    /// The function or the class that serves a request, where there is no route; the name of a job.
    Name,
    /// A statement, whose literals are nobody's business.
    Statement,
    /// A tuple of a command and its arguments.
    Command,
    /// A dictionary whose first item is a command and what it is about.
    Document,
    /// The path of a URL.
    Path,
    /// A pair of host and port, a host, or a URL.
    Peer,
    /// The port, where the host is alone.
    Port,
    /// The id of a job.
    Id,
    /// When it began, by this clock.
    Began(Clock),
}

/// What a piece of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkKind {
    /// A request to this program.
    Request,
    /// A connection of a browser or another client that stays open for messages.
    Websocket,
    /// A job of a queue or a schedule.
    Job,
    /// A request of this program to another one.
    Call,
    /// A query or a command to a database or a broker.
    Query,
}

impl WorkKind {
    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Websocket => "websocket",
            Self::Job => "job",
            Self::Call => "call",
            Self::Query => "query",
        }
    }
}

/// A clock that a library has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Seconds of `CLOCK_MONOTONIC`, as `time.monotonic`, `time.perf_counter` and loops have them.
    Monotonic,
    /// Seconds since 1970.
    Epoch,
    /// Milliseconds since 1970.
    EpochMillis,
}

impl Fact {
    /// What it is called in a rule.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Needs => "needs",
            Self::Type => "type",
            Self::Verb => "verb",
            Self::Route => "route",
            Self::Name => "name",
            Self::Statement => "statement",
            Self::Command => "command",
            Self::Document => "document",
            Self::Path => "path",
            Self::Peer => "peer",
            Self::Port => "port",
            Self::Id => "id",
            Self::Began(_) => "began",
        }
    }
}

/// Ways to a value; the first one counts that leads to something else than `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths(Vec<Path>);

/// One way: `request.headers['host'][0]`, `self.scope`, `send.__self__`, `self.__class__`,
/// `self.keys['begins-so-*']`; one from the object of a rule on begins with its first step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The variable that it begins at.
    pub local: Option<Box<str>>,
    /// The way from there on.
    pub steps: Vec<Step>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To the attribute of this name.
    Attribute(Box<str>),
    /// To the value of a dictionary under this key.
    Key(Box<str>),
    /// To that under the first key that begins so, of a few.
    KeyOf(Box<str>),
    /// To an item of a tuple or a list; a negative one counts from the end.
    Index(i64),
    /// From a bound method to its object.
    Owner,
    /// To the class of an object.
    Class,
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no path: write it as `self.request.args['id'][0] | request`")]
pub struct NoPath(String);

impl Paths {
    /// Reads it.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NoPath> {
        let bad = || NoPath(text.to_owned());
        text.split('|')
            .map(|path| Path::parse(path.trim()).ok_or_else(bad))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter()
    }
}

impl Path {
    fn parse(text: &str) -> Option<Self> {
        let (local, mut rest) = match identifier(text) {
            Some((local, rest)) => (Some(local.into()), rest),
            None => (None, text),
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let step;
            if let Some(after) = rest.strip_prefix('.') {
                let (name, after) = identifier(after)?;
                step = match name {
                    "__self__" => Step::Owner,
                    "__class__" => Step::Class,
                    name => Step::Attribute(name.into()),
                };
                rest = after;
            } else {
                let (inner, after) = rest.strip_prefix('[')?.split_once(']')?;
                let key = inner.strip_prefix('\'').and_then(|key| key.strip_suffix('\''));
                step = match key {
                    Some(key) => match key.strip_suffix('*') {
                        Some(start) => Step::KeyOf(start.into()),
                        None => Step::Key(key.into()),
                    },
                    None => Step::Index(inner.parse().ok()?),
                };
                rest = after;
            }
            steps.push(step);
        }
        (local.is_some() || !steps.is_empty()).then_some(Self { local, steps })
    }
}

/// The name at the beginning of a text, and the rest.
fn identifier(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some((name, rest))
}

/// What frames of some functions say of their work, ready for use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Ends of files' paths, and names of functions in them.
    at: Vec<(Box<str>, Box<str>)>,
    /// What the work is.
    pub kind: WorkKind,
    /// The object of the work.
    of: Option<Paths>,
    /// Where its facts are.
    pub facts: Vec<(Fact, Paths)>,
}

impl Rule {
    // A test holds that all of them are paths.
    fn of(row: &Row) -> Self {
        let fact = |&(fact, text): &(Fact, &str)| Some((fact, Paths::parse(text).ok()?));
        let at = match row.at {
            [] => vec![("".into(), row.of.into())],
            at => at.iter().map(|&(file, name)| (file.into(), name.into())).collect(),
        };
        let of = Paths::parse(row.of).ok();
        Self { at, kind: row.kind, of, facts: row.facts.iter().filter_map(fact).collect() }
    }

    /// A rule for functions of a program: by the end of their file's path and their name, a qualified
    /// one if it has a dot.
    pub fn new(
        at: impl IntoIterator<Item = (String, String)>,
        kind: WorkKind,
        of: Paths,
        facts: Vec<(Fact, Paths)>,
    ) -> Self {
        let at = at.into_iter().map(|(file, name)| (file.into(), name.into())).collect();
        Self { at, kind, of: Some(of), facts }
    }

    /// Whether it is about the function `name` of a file.
    fn is_about(&self, file: &str, name: &str) -> bool {
        let is_file = |end: &str| {
            file.strip_suffix(end).is_some_and(|start| start.is_empty() || start.ends_with('/'))
        };
        // Before 3.11 a code object has no other name than its last part.
        let is_name = |own: &str| own == name || own == last_part(name) || last_part(own) == name;
        self.at.iter().any(|(end, own)| is_name(own) && is_file(end))
    }

    /// Whether it says where facts of this kind are.
    pub fn has(&self, wanted: Fact) -> bool {
        self.facts.iter().any(|(fact, _)| *fact == wanted)
    }

    /// Where the object of the work is.
    pub fn object(&self) -> impl Iterator<Item = &Path> {
        self.of.iter().flat_map(Paths::iter)
    }
}

impl fmt::Display for Rule {
    /// `worker.py:Worker.run`, the first of the functions that it is about; `scope` where it is about
    /// any with such a variable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at.first() {
            Some((file, name)) if file.is_empty() => f.write_str(name),
            Some((file, name)) => write!(f, "{file}:{name}"),
            None => Ok(()),
        }
    }
}

/// Rules for programs, which go before those that are known for libraries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Arc<[Arc<Rule>]>);

impl Rules {
    /// All of them; of several for one function the first counts.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self(rules.into_iter().map(Arc::new).collect())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.0.iter()
    }

    /// The one about the function `name` of a file.
    pub fn find(&self, file: &str, name: &str) -> Option<Arc<Rule>> {
        self.iter().find(|rule| rule.is_about(file, name)).cloned()
    }
}

/// The facts of an ASGI scope, of whatever server or framework: they have been so since 2018.
pub(super) const SCOPE: &[(Fact, &str)] = &[
    (Fact::Type, "['type']"),
    (Fact::Verb, "['method']"),
    (Fact::Path, "['path']"),
    // FastAPI; Litestar.
    (Fact::Route, "['route'].path | ['path_template']"),
    (Fact::Name, "['endpoint']"),
    (Fact::Peer, "['client']"),
];

/// PEP 3333.
const ENVIRON: &[(Fact, &str)] = &[
    (Fact::Needs, "['wsgi.version']"),
    (Fact::Verb, "['REQUEST_METHOD']"),
    (Fact::Path, "['PATH_INFO']"),
    (Fact::Peer, "['REMOTE_ADDR']"),
    (Fact::Port, "['REMOTE_PORT']"),
];

/// Variables by which applications are called, whatever the server or framework.
const SHAPES: [Row; 2] = [
    Row { at: &[], kind: WorkKind::Request, of: "scope", facts: SCOPE },
    Row { at: &[], kind: WorkKind::Request, of: "environ", facts: ENVIRON },
];

static BY_SHAPE: LazyLock<[(&str, Arc<Rule>); 2]> =
    LazyLock::new(|| SHAPES.map(|row| (row.of, Arc::new(Rule::of(&row)))));

/// The rules of the libraries, by file or folder and function.
static BY_FUNCTION: LazyLock<FxHashMap<&str, Vec<(&str, usize)>>> = LazyLock::new(|| {
    let mut all: FxHashMap<&str, Vec<(&str, usize)>> = FxHashMap::default();
    for (number, row) in rows().enumerate() {
        for &(path, name) in row.at {
            all.entry(name).or_default().push((path, number));
        }
    }
    all
});

static RULES: LazyLock<Vec<Arc<Rule>>> =
    LazyLock::new(|| rows().map(|row| Arc::new(Rule::of(row))).collect());

fn rows() -> impl Iterator<Item = &'static Row> {
    LIBRARIES.iter().flat_map(|library| library.work)
}

/// The request that a task works for, by the name that its server has given it.
pub fn request_named(task: &str) -> Option<&str> {
    method_of_grpc(task)
}

/// The rule for the function `name` in a file, by its path below the root of the library; by its
/// variables, where no library's rule is known.
pub fn rule<'n>(
    path: &str,
    name: &str,
    origin: Origin,
    locals: impl Iterator<Item = &'n str>,
) -> Option<Arc<Rule>> {
    let of_function = |name: &str| {
        let rows = BY_FUNCTION.get(name)?;
        let is_it = |at: &str| at == path || at.ends_with('/') && path.starts_with(at);
        rows.iter().find(|(at, _)| is_it(at)).map(|(_, number)| *number)
    };
    let last = last_part(name);
    let number =
        (origin != Origin::Own).then(|| of_function(name).or_else(|| of_function(last))).flatten();
    if let Some(rule) = number.and_then(|number| RULES.get(number)) {
        return Some(Arc::clone(rule));
    }
    let mut locals = locals;
    let by_shape = |local: &str| BY_SHAPE.iter().find(|(name, _)| *name == local);
    locals.find_map(by_shape).map(|(_, rule)| Arc::clone(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let attribute = |name: &str| Step::Attribute(name.into());
        let paths = Paths::parse("self.scope['client'][-1] | send.__self__").unwrap();
        let mut paths = paths.iter();
        let first = paths.next().unwrap();
        assert_eq!(first.local.as_deref(), Some("self"));
        let steps = [attribute("scope"), Step::Key("client".into()), Step::Index(-1)];
        assert_eq!(first.steps, steps);
        assert_eq!(paths.next().unwrap().steps, [Step::Owner]);
        assert!(paths.next().is_none());
        let relative = Paths::parse(".url['x']").unwrap();
        assert_eq!(relative.iter().next().unwrap().local, None);
        let key = Paths::parse("['current-span-*']").unwrap();
        let steps = [Step::KeyOf("current-span-".into())];
        assert_eq!(key.iter().next().unwrap().steps, steps);
        for text in ["", "a.", "a..b", "a[", "a[x]", "7", "a |", "a b", "a['x'", "f()"] {
            assert_eq!(Paths::parse(text), Err(NoPath(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn all_paths_of_all_rules_are_some() {
        assert!(rows().count() > 20);
        for row in rows().chain(&SHAPES) {
            let is_absolute = |path: &Path| path.local.is_some();
            assert!(Paths::parse(row.of).unwrap().iter().all(is_absolute), "{}", row.of);
            for (_, path) in row.facts {
                assert!(Paths::parse(path).is_ok(), "{path} of {:?}", row.at);
            }
        }
    }

    #[test]
    fn a_rule_of_a_program_is_about_functions_of_its_files() {
        let at = [("jobs/worker.py", "Worker.run"), ("queue.py", "take")];
        let at = at.map(|(file, name)| (file.to_owned(), name.to_owned()));
        let rules = Rules::new([Rule::new(
            at,
            WorkKind::Job,
            Paths::parse("job").unwrap(),
            vec![(Fact::Name, Paths::parse(".name").unwrap())],
        )]);
        for (file, name) in [
            ("/srv/jobs/worker.py", "Worker.run"),
            ("jobs/worker.py", "run"),
            ("queue.py", "take"),
            ("/srv/queue.py", "Queue.take"),
        ] {
            assert!(rules.find(file, name).is_some(), "{file} {name}");
        }
        for (file, name) in [
            ("/srv/otherjobs/worker.py", "Worker.run"),
            ("/srv/jobs/worker.py", "Other.run"),
            ("/srv/jobs/worker.py", "take"),
            ("worker.py", "Worker.run"),
        ] {
            assert!(rules.find(file, name).is_none(), "{file} {name}");
        }
        assert_eq!(rules.iter().next().unwrap().to_string(), "jobs/worker.py:Worker.run");
    }

    #[test]
    fn a_function_of_a_library_goes_before_the_shape_of_its_variables() {
        let of = |path, name, origin, local| rule(path, name, origin, std::iter::once(local));
        let run = of("uvicorn/protocols/http/h11_impl.py", "run_asgi", Origin::Package, "self");
        assert_eq!(run.map(|rule| rule.kind), Some(WorkKind::Request));
        let job = of("arq/worker.py", "Worker.run_job", Origin::Package, "self");
        assert_eq!(job.as_ref().map(|rule| rule.kind), Some(WorkKind::Job));
        assert_eq!(of("arq/worker.py", "Worker.run_job", Origin::Own, "self"), None);
        assert_eq!(job.unwrap().to_string(), "arq/worker.py:run_job");
        assert!(of("app.py", "app", Origin::Own, "scope").is_some());
        assert_eq!(of("app.py", "app", Origin::Own, "request"), None);
    }
}
