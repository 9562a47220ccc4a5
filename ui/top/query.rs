//! What one filters by: words that a row has, what is true of it, and how old it is.
//!
//! `/stock >30s !idle`: words are joined by *and*; `!` before one inverts it, `~` begins a regular
//! expression, `peer:` and the like say what of a row it is held against.

use std::time::Duration;

use aiospy::snapshot::{Code, Location, Origin, Task, TaskState, Waiting};
use regex_lite::{Regex, RegexBuilder};

use crate::commands::options::time;
use crate::report::text::words;

/// What of a row a word is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The name and the coroutine of a task, the name of a thread.
    Name,
    /// What it works for.
    Route,
    /// Functions, files and lines.
    At,
    /// What it waits for.
    Wait,
    /// The other end of a connection.
    Peer,
    State,
    /// The codes of findings.
    Code,
    /// The id of a process or thread.
    Pid,
}

impl Field {
    const ALL: [(&'static str, Self); 8] = [
        ("name", Self::Name),
        ("route", Self::Route),
        ("at", Self::At),
        ("wait", Self::Wait),
        ("peer", Self::Peer),
        ("state", Self::State),
        ("code", Self::Code),
        ("pid", Self::Pid),
    ];
}

/// What is true of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trait {
    /// Something keeps it from going on.
    Stuck,
    /// It waits for what comes when it comes.
    Idle,
    Running,
    /// Code of the program's own is in it.
    Own,
}

/// Whether a text is what is looked for.
pub type Found<'a> = dyn FnMut(Field, &str) -> bool + 'a;

/// What is asked of a row.
pub struct Facts<'a> {
    /// Calls back with each text until one is found.
    pub texts: &'a dyn Fn(&mut Found<'_>) -> bool,
    pub is: &'a dyn Fn(Trait) -> bool,
    pub age: Option<Duration>,
}

/// A filter.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<Term>);

#[derive(Debug, Clone)]
struct Term {
    is_inverse: bool,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// Letters, in any case.
    Text(Option<Field>, String),
    Regex(Option<Field>, Regex),
    Is(Trait),
    LongerThan(Duration),
    ShorterThan(Duration),
    /// It is not whole yet, or wrong: nothing is like it.
    Nothing,
}

impl Query {
    /// A filter as it is typed.
    pub fn of(text: &str) -> Self {
        Self(text.split_whitespace().filter_map(Term::of).collect())
    }

    /// Whether all rows are let through.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a row is let through.
    pub fn finds(&self, facts: &Facts<'_>) -> bool {
        self.0.iter().all(|term| term.what.is_of(facts) != term.is_inverse)
    }

    /// Whether a task is let through, that findings blame, and that may have been at its present
    /// await for so long.
    pub fn finds_task(
        &self,
        task: &Task,
        codes: &[Code],
        pid: i32,
        age: Option<Duration>,
        is: &dyn Fn(Trait) -> bool,
    ) -> bool {
        let texts = &|found: &mut Found<'_>| texts(task, codes, pid, found);
        self.is_empty() || self.finds(&Facts { texts, is, age })
    }
}

impl Term {
    fn of(word: &str) -> Option<Self> {
        let (is_inverse, word) = match word.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        // One that is still typed.
        (!word.is_empty()).then(|| Self { is_inverse, what: What::of(word) })
    }
}

impl What {
    fn of(word: &str) -> Self {
        let age = |text: &str| time(text).ok();
        match word {
            "stuck" => return Self::Is(Trait::Stuck),
            "idle" => return Self::Is(Trait::Idle),
            "running" => return Self::Is(Trait::Running),
            "own" => return Self::Is(Trait::Own),
            _ => {}
        }
        if let Some(text) = word.strip_prefix('>') {
            return age(text).map_or(Self::Nothing, Self::LongerThan);
        }
        if let Some(text) = word.strip_prefix('<') {
            // `<lambda>` and the like are names of functions.
            return age(text).map_or_else(|| Self::text(None, word), Self::ShorterThan);
        }
        let known = word.split_once(':').and_then(|(name, rest)| {
            let field = Field::ALL.iter().find(|(known, _)| *known == name)?.1;
            Some((field, rest))
        });
        match known {
            Some((field, rest)) => Self::text(Some(field), rest),
            None => Self::text(None, word),
        }
    }

    fn text(field: Option<Field>, text: &str) -> Self {
        let Some(pattern) = text.strip_prefix('~') else {
            return Self::Text(field, text.to_owned());
        };
        let regex = RegexBuilder::new(pattern).case_insensitive(true).build();
        regex.map_or(Self::Nothing, |regex| Self::Regex(field, regex))
    }

    fn is_of(&self, facts: &Facts<'_>) -> bool {
        let any = |of: &Option<Field>, is_it: &dyn Fn(&str) -> bool| {
            (facts.texts)(&mut |field, text| of.is_none_or(|of| of == field) && is_it(text))
        };
        match self {
            Self::Text(field, letters) => any(field, &|text| contains(text, letters)),
            Self::Regex(field, regex) => any(field, &|text| regex.is_match(text)),
            Self::Is(what) => (facts.is)(*what),
            Self::LongerThan(time) => facts.age.is_some_and(|age| age > *time),
            Self::ShorterThan(time) => facts.age.is_some_and(|age| age < *time),
            Self::Nothing => false,
        }
    }
}

/// Whether a text has these letters in it, in any case.
fn contains(text: &str, letters: &str) -> bool {
    if !letters.is_ascii() {
        return text.to_lowercase().contains(&letters.to_lowercase());
    }
    // Without a copy: this is asked of each frame of ten thousand tasks.
    let letters = letters.as_bytes();
    letters.is_empty()
        || text.as_bytes().windows(letters.len()).any(|part| part.eq_ignore_ascii_case(letters))
}

/// Calls back with all that a task has in words until something is found.
fn texts(task: &Task, codes: &[Code], pid: i32, found: &mut Found<'_>) -> bool {
    let mut opt = |field, text: Option<&str>| text.is_some_and(|text| found(field, text));
    if opt(Field::Name, task.name.as_deref())
        || opt(Field::Name, task.coroutine.as_deref())
        || opt(Field::State, Some(words::task_state(task.state).1))
        || opt(Field::State, task.cancellation.as_ref().map(|_| "cancelled"))
        || opt(Field::Pid, Some(&pid.to_string()))
        || codes.iter().any(|code| opt(Field::Code, Some(code.as_str())))
    {
        return true;
    }
    for work in [&task.work, &task.call].into_iter().flatten() {
        if opt(Field::Route, Some(&work.to_string()))
            || opt(Field::Route, work.path.as_deref())
            || opt(Field::Route, work.id.as_deref())
            || opt(Field::Route, work.trace.as_deref())
            || opt(Field::Peer, work.peer.as_deref())
            || opt(Field::Peer, work.client.as_deref())
        {
            return true;
        }
    }
    if let Some(waiting) = task.waiting_on.as_deref()
        && (opt(Field::Wait, Some(&waiting.description)) || opt(Field::Peer, peer(waiting)))
    {
        return true;
    }
    task.frames.iter().any(|frame| has_place(&frame.location, found))
}

/// The far end that a task waits for.
fn peer(waiting: &Waiting) -> Option<&str> {
    let descriptor = waiting.descriptor()?;
    let socket = descriptor.socket.as_deref();
    let remote = socket.and_then(|it| it.remote.as_deref().or(it.client.as_deref()));
    remote.or(descriptor.peer.as_deref())
}

/// Calls back with the words for a place until something is found.
pub fn has_place(place: &Location, found: &mut Found<'_>) -> bool {
    if found(Field::At, &place.function) || found(Field::At, &place.file) {
        return true;
    }
    let Some(line) = place.line else { return false };
    let file = place.file.rsplit('/').next().unwrap_or(&place.file);
    found(Field::At, &format!("{file}:{line}"))
}

/// What is plain of a task without what was found.
pub fn is_plainly(task: &Task, what: Trait) -> bool {
    match what {
        Trait::Running => task.state == Some(TaskState::Running),
        Trait::Own => task.frames.iter().any(|frame| frame.location.origin == Origin::Own),
        Trait::Stuck | Trait::Idle => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text::sample::{frames, task, waits};
    use aiospy::snapshot::{Descriptor, Wait, Work, WorkKind};
    use std::sync::Arc;

    fn found(query: &str) -> bool {
        let places = ["get /srv/shop.py:20", "Server.serve uvicorn/server.py:90"];
        let peer = Some("10.0.0.5:5432".to_owned());
        let descriptor = Descriptor { peer, ..Descriptor::default() };
        let mut task = waits(
            task(1, "worker-3", &places, &[]),
            Wait::Socket(descriptor),
            "read from 10.0.0.5:5432",
        );
        task.frames = frames(&places);
        let (kind, name) = (Some(WorkKind::Request), "/stock/{sku}".into());
        let path = Some("/stock/17".into());
        let work = Work { kind, verb: Some("GET".into()), name, path, ..Work::default() };
        task.work = Some(Arc::new(work));
        let codes = [Code::PeerSilent];
        let age = Some(Duration::from_secs(31));
        let is = |what| is_plainly(&task, what) || what == Trait::Stuck;
        Query::of(query).finds_task(&task, &codes, 4711, age, &is)
    }

    #[test]
    fn words_are_held_against_all_that_a_task_has() {
        for query in [
            "",
            "WORKER-3",
            "/stock/{sku}",
            "/stock/17",
            "get",
            "shop.py",
            "shop.py:20",
            "uvicorn",
            "5432",
            "peer-silent",
            "pending",
            "stuck",
            "own",
            ">30s",
            ">30",
            "<1m",
            "get >30s stuck",
            "!idle",
            "!<30s",
            "~^worker-[0-9]$",
            "at:~SHOP\\.py:2.",
            "peer:10.0.0.5",
            "route:stock",
            "wait:read",
            "code:silent",
            "state:pend",
            "pid:4711",
            "name:worker",
            "!",
        ] {
            assert!(found(query), "{query}");
        }
    }

    #[test]
    fn what_is_not_so_is_not_found() {
        for query in [
            "worker-4",
            "!shop.py",
            "idle",
            "running",
            ">31s",
            "<31s",
            ">",
            ">x",
            "get nothing",
            "~^get /stock$",
            // It is not whole yet.
            "~(",
            "peer:shop",
            "route:worker",
            "<lambda>",
            "!stuck",
        ] {
            assert!(!found(query), "{query}");
        }
    }

    #[test]
    fn other_letters_are_found_in_any_case() {
        assert!(contains("Für Elise", "FÜR"));
        assert!(contains("任务-处理", "处理"));
        assert!(!contains("ab", "abc"));
    }
}
