//! What a task is called: by what it works for, else by the name that a person gave it, else by the
//! program's own function that it runs.

use super::{Location, Origin, Task, WorkKind, endpoint};
use crate::known::name::{is_of_library, without_class, without_scope};

/// Letters from which on a word of hexadecimal digits counts as a number.
const LONG_NUMBER: usize = 8;

/// What a task does, as people speak of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// What kind of name it has.
    pub kind: SubjectKind,
    /// The name.
    pub name: String,
}

/// What a task is called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectKind {
    /// What it works for.
    Work(WorkKind),
    /// The name that a person gave it.
    Name,
    /// The function that it runs.
    Function,
    /// The library that runs it for itself: no code of the program's is in it.
    Library,
}

impl SubjectKind {
    /// Its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Work(WorkKind::Request) => "request",
            Self::Work(WorkKind::Websocket) => "websocket",
            Self::Work(WorkKind::Job) => "job",
            Self::Work(WorkKind::Call) => "call",
            Self::Work(WorkKind::Query) => "query",
            Self::Name | Self::Function => "task",
            Self::Library => "library",
        }
    }
}

impl Task {
    /// What it is called, alone among others: a route, a job, its name, or the function that it
    /// runs. A task that a library has made is called by the function of the program that it was
    /// made for.
    pub fn label(&self) -> String {
        match &self.work {
            Some(work) => work.to_string(),
            None => match self.given_name() {
                Some(name) => name.to_owned(),
                None => self.runs(),
            },
        }
    }

    /// The same, with what it is called by.
    pub fn subject(&self) -> Subject {
        let of = |kind, name: String| Subject { kind, name };
        if let Some(work) = &self.work {
            return of(SubjectKind::Work(work.kind.unwrap_or(WorkKind::Job)), work.to_string());
        }
        if let Some(name) = self.given_name() {
            return of(SubjectKind::Name, name.to_owned());
        }
        let is_own = |location: &Location| location.origin == Origin::Own;
        if self.frames.is_empty() || self.frames.iter().any(|frame| is_own(&frame.location)) {
            return of(SubjectKind::Function, self.runs());
        }
        let packages = self.frames.iter().map(|frame| &*frame.location);
        let package = packages.clone().find(|it| it.origin == Origin::Package);
        match package.or_else(|| packages.clone().next()).and_then(Location::package) {
            Some(package) => of(SubjectKind::Library, package.to_owned()),
            None => of(SubjectKind::Function, self.runs()),
        }
    }

    /// Its name, if a person gave it: asyncio counts those it names, and libraries name what they
    /// make.
    fn given_name(&self) -> Option<&str> {
        let name = self.name.as_deref()?;
        let is_given = !name.is_empty() && !is_counted(name);
        (is_given && !self.is_named_by_maker(name)).then_some(name)
    }

    /// The function that it runs.
    fn runs(&self) -> String {
        // One of Cython has no frame.
        let is_outermost = |location: &Location| {
            let coroutine = self.coroutine.as_deref().map(without_class);
            coroutine.is_none_or(|it| it == without_class(&location.function))
        };
        let is_of_library = self
            .frames
            .first()
            .is_some_and(|frame| frame.location.is_library() || !is_outermost(&frame.location));
        let called = || {
            let own = endpoint(&self.frames).map(|frame| &*frame.location.function);
            own.or_else(|| self.waiting_on.as_deref()?.function())
        };
        let called = is_of_library.then(called).flatten();
        let what = called.or(self.coroutine.as_deref()).map(without_scope);
        what.or(self.name.as_deref()).unwrap_or("a task").to_owned()
    }

    /// Whether it has its name from a library, which gives such names to all that it makes: from the
    /// function with its module, `shop.views.orders`, as anyio does.
    pub(crate) fn is_named_by_maker(&self, name: &str) -> bool {
        let is_prefix = |rest: &str| rest.ends_with('.');
        // The newest anyio has a function of its own around the task's.
        let mut outer = self.frames.iter().take(2);
        is_of_library(name)
            || outer
                .any(|frame| name.strip_suffix(&*frame.location.function).is_some_and(is_prefix))
    }
}

impl Location {
    /// The package or module of a library that it is in: `uvicorn`, `asyncio`.
    pub fn package(&self) -> Option<&str> {
        let first = self.path().split('/').find(|part| !part.is_empty())?;
        let first = first.strip_suffix(".py").unwrap_or(first);
        (self.is_library() && !first.starts_with('<')).then_some(first)
    }
}

/// Whether a task has its name from asyncio, which counts those it names.
pub fn is_counted(name: &str) -> bool {
    let number = name.strip_prefix("Task-");
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|c| c.is_ascii_digit()))
}

/// A name with `*` for each number in it, so that those that differ in numbers alone are equal:
/// `worker-*`.
pub fn without_numbers(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.get(..UUID.len()).filter(|it| is_uuid(it)) {
            folded.push('*');
            rest = rest.get(after.len()..).unwrap_or_default();
            continue;
        }
        let is_of_word = first.is_ascii_alphanumeric();
        let end = rest.find(|it: char| it.is_ascii_alphanumeric() != is_of_word);
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        let has_digit = word.bytes().any(|it| it.is_ascii_digit());
        let is_long = word.len() >= LONG_NUMBER && word.bytes().all(|it| it.is_ascii_hexdigit());
        if has_digit && is_long {
            folded.push('*');
            continue;
        }
        let mut is_in_number = false;
        for letter in word.chars() {
            match (letter.is_ascii_digit(), is_in_number) {
                (true, false) => folded.push('*'),
                (true, true) => {}
                (false, _) => folded.push(letter),
            }
            is_in_number = letter.is_ascii_digit();
        }
    }
    folded
}

/// `x` stands for a hexadecimal digit.
const UUID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

fn is_uuid(text: &str) -> bool {
    let is_like =
        |(it, like): (u8, u8)| if like == b'x' { it.is_ascii_hexdigit() } else { it == like };
    text.bytes().zip(UUID.bytes()).all(is_like)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnose::tests::task;
    use crate::snapshot::{Frame, Work};

    fn called(name: &str, coroutine: &str, files: &[&str]) -> Subject {
        let frames = files.iter().map(|file| {
            let location = Location::by_path(coroutine.into(), (*file).into(), Some(7));
            Frame { location: Arc::new(location), locals: None }
        });
        let frames = frames.collect();
        let named = |task: &mut Task| {
            task.name = Some(name.into());
            task.coroutine = Some(coroutine.into());
            task.frames = frames;
        };
        task(1).and(named).task.subject()
    }

    #[test]
    fn a_task_is_called_by_its_name_its_function_or_its_library() {
        let of = |kind, name: &str| Subject { kind, name: name.to_owned() };
        let own = "/srv/shop/stock.py";
        let server = "/venv/lib/python3.12/site-packages/uvicorn/server.py";
        let stdlib = "/usr/lib/python3.12/asyncio/queues.py";
        assert_eq!(called("refresh", "Stock.run", &[own]), of(SubjectKind::Name, "refresh"));
        let function = of(SubjectKind::Function, "Stock.run");
        assert_eq!(called("Task-7", "Stock.run", &[own, stdlib]), function);
        let library = of(SubjectKind::Library, "uvicorn");
        assert_eq!(called("Task-1", "Server.serve", &[server, stdlib]), library);
        assert_eq!(called("Task-1", "f", &[stdlib]), of(SubjectKind::Library, "asyncio"));
        assert_eq!(called("Task-1", "f", &[]), of(SubjectKind::Function, "f"));
    }

    #[test]
    fn what_it_works_for_comes_first() {
        let (kind, name) = (Some(WorkKind::Request), "/orders/{id}".into());
        let work = Work { kind, verb: Some("GET".into()), name, ..Work::default() };
        let with = |task: &mut Task| {
            (task.name, task.work) = (Some("refresh".into()), Some(Arc::new(work)));
        };
        let subject = task(1).and(with).task.subject();
        assert_eq!(subject.kind, SubjectKind::Work(WorkKind::Request));
        assert_eq!(subject.name, "GET /orders/{id}");
    }

    #[test]
    fn names_that_differ_in_numbers_are_one() {
        for (name, folded) in [
            ("worker-3", "worker-*"),
            ("job-3-of-10", "job-*-of-*"),
            ("http2", "http*"),
            ("audit-log", "audit-log"),
            ("fetch 0af7651916cd43dd", "fetch *"),
            ("job-3fa85f64-5717-4562-b3fc-2c963f66afa6", "job-*"),
            ("decade", "decade"),
            ("é7", "é*"),
        ] {
            assert_eq!(without_numbers(name), folded);
        }
    }
}
