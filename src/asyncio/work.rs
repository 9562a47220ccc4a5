//! What the frames of a task say of the request, call, query or job that it works for.
//!
//! Each label is read between two readings of its task: its pages are not older than the task's, and
//! behind them the task is compared with its memory once more. What ran meanwhile has no label: a
//! wrong one is worse than none.
//!
//! Of texts only what may be shown is taken: no query, header, body, parameter, literal or credential.

mod statement;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::TaskFacts;
use crate::known::work::{Clock, Fact, Paths, Rule, request_named};
use crate::known::{Origin, WorkKind, name};
use crate::memory::{Address, ReadMemory as _, word};
use crate::python::frame::RawFrame;
use crate::python::object::{Kind, Read, Reader};
use crate::snapshot::Work;

/// Characters of a text that are shown; a longer one ends in `…`.
const MAX_TEXT: usize = 120;
/// Those of a statement that are read.
const MAX_STATEMENT: usize = 2000;
/// Bytes of a task's name that are compared.
const NAME_LEN: usize = 80;
/// What a request is called that no function of the program has got yet.
pub const NO_ROUTE: &str = "(no route)";

/// What a task works for, and what it asks of others meanwhile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labels {
    /// A request or a job.
    pub work: Option<Label>,
    /// A call or a query.
    pub call: Option<Label>,
}

/// What the frames of a task say.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Said {
    /// Nothing of any work.
    #[default]
    Nothing,
    /// Something that may be of another moment than the task, or could not be read.
    InDoubt,
    /// This.
    Labels(Box<Labels>),
}

/// A piece of work, and when it began.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Label {
    /// All but its age.
    pub work: Work,
    /// When it began, if a frame keeps that.
    pub began: Option<(Clock, f64)>,
    /// Whether the task does nothing else from its beginning to its end.
    pub is_all: bool,
}

impl Label {
    /// Takes in what another frame of the same work says of it.
    fn complete_by(&mut self, other: Self) {
        let (own, other_work) = (&mut self.work, other.work);
        if own.name.is_empty() {
            own.name = other_work.name;
        }
        own.verb = own.verb.take().or(other_work.verb);
        own.path = own.path.take().or(other_work.path);
        own.peer = own.peer.take().or(other_work.peer);
        own.client = own.client.take().or(other_work.client);
        own.id = own.id.take().or(other_work.id);
        own.identity = own.identity.or(other_work.identity);
        self.began = self.began.or(other.began);
    }
}

impl Reader<'_> {
    /// Labels some tasks that were just read, and with the same pages.
    pub(super) fn label_tasks(&self, tasks: &mut [TaskFacts]) {
        let mut labelled = Vec::new();
        for (i, task) in tasks.iter_mut().enumerate() {
            task.said = match self.labels(&task.chain).map(|labels| labels.or_else(|| named(task)))
            {
                _ if task.is_torn() => Said::InDoubt,
                Err(_) => Said::InDoubt,
                Ok(None) => Said::Nothing,
                Ok(Some(labels)) => {
                    labelled.push(i);
                    Said::Labels(Box::new(labels))
                }
            };
        }
        let moved = self.moved(tasks, &labelled, true);
        for task in tasks.iter_mut().filter(|task| moved.contains(&task.at)) {
            task.said = Said::InDoubt;
        }
    }

    /// What a chain of frames says of its work, outermost first; `None` if it says nothing.
    ///
    /// # Errors
    /// When something of it cannot be read.
    pub fn labels(&self, chain: &[RawFrame]) -> Read<Option<Labels>> {
        let mut labels = Labels::default();
        for (depth, frame) in chain.iter().enumerate() {
            let Some(rule) = self.work_rule(frame) else { continue };
            let Some(mut label) = self.label_of(frame, &rule)? else { continue };
            if matches!(rule.kind, WorkKind::Call | WorkKind::Query) {
                // The innermost frame knows best whom it asks.
                if let Some(outer) = labels.call.take().filter(|it| it.work.kind == label.work.kind)
                {
                    label.complete_by(outer);
                }
                labels.call = Some(label);
            } else if labels.call.is_some() {
                // A server that the program calls without a connection.
                break;
            } else if let Some(outer) = &mut labels.work {
                if outer.work.kind != Some(WorkKind::Job) {
                    outer.complete_by(label);
                }
            } else {
                labels.work = Some(Label { is_all: depth == 0, ..label });
            }
        }
        if let Some(label) = &mut labels.work
            && label.work.name.is_empty()
        {
            label.work.name = self.own_function(chain).unwrap_or_else(|| NO_ROUTE.into());
        }
        labels.call = labels.call.filter(|label| !label.work.name.is_empty());
        Ok((labels.work.is_some() || labels.call.is_some()).then_some(labels))
    }

    /// The outermost function of the program's own.
    fn own_function(&self, chain: &[RawFrame]) -> Option<Arc<str>> {
        let places = chain.iter().filter_map(|frame| self.place_of(frame).ok());
        let mut own = places.filter(|place| place.origin == Origin::Own);
        own.next().map(|place| shown(name::without_scope(&place.function)))
    }

    /// What one frame says, by its rule; what came of that is counted where that is asked for.
    fn label_of(&self, frame: &RawFrame, rule: &Arc<Rule>) -> Read<Option<Label>> {
        let mut missing = 0;
        let label = self.label_by(frame, rule, &mut missing);
        let is_there = matches!(label, Ok(Some(_)));
        self.caches.note_followed(rule, is_there.then_some(missing));
        label
    }

    /// What one frame says; `None` where there is no such work at the moment. A bit of `missing` is set
    /// for each fact that isn't there.
    fn label_by(&self, frame: &RawFrame, rule: &Rule, missing: &mut u32) -> Read<Option<Label>> {
        let Some(object) = self.work_object(frame, rule)? else { return Ok(None) };
        let find = |paths: &Paths| self.followed(frame, object, paths);
        let mut work = Work { kind: Some(rule.kind), ..Work::default() };
        if !matches!(rule.kind, WorkKind::Call | WorkKind::Query) {
            work.identity = Some(object);
        }
        let (mut host, mut port, mut began) = (None, None, None);
        for (i, (fact, paths)) in (0..).zip(&rule.facts) {
            let value = find(paths)?;
            *missing |= u32::from(value.is_none()).checked_shl(i).unwrap_or(0);
            match (fact, value) {
                (Fact::Needs | Fact::Type, None) => return Ok(None),
                (Fact::Type, Some(at)) => match self.plain_text(at, true)?.as_deref() {
                    Some("http") => {}
                    Some("websocket") => work.kind = Some(WorkKind::Websocket),
                    _ => return Ok(None),
                },
                (Fact::Verb, Some(at)) => {
                    work.verb = self.plain_text(at, true)?.as_deref().and_then(verb);
                }
                (Fact::Route, Some(at)) => {
                    let route = self.plain_text(at, true)?.filter(|route| !route.is_empty());
                    work.name = route.map(|route| routed(&route)).unwrap_or_default();
                }
                (Fact::Name, Some(at)) if work.name.is_empty() => {
                    work.name = self.what_serves(at)?.map(|name| shown(&name)).unwrap_or_default();
                }
                (Fact::Needs | Fact::Name, _) | (_, None) => {}
                (Fact::Statement, Some(at)) => {
                    let text = self.plain_text_of(at, MAX_STATEMENT, false)?;
                    let text = text.map(|text| shown(&statement::without_literals(&text)));
                    work.name = text.unwrap_or_default();
                }
                (Fact::Command, Some(at)) => self.command(at, &mut work)?,
                (Fact::Document, Some(at)) => self.document(at, &mut work)?,
                (Fact::Path, Some(at)) => {
                    work.path = self.plain_text(at, false)?.map(|it| path(&it));
                }
                (Fact::Peer, Some(at)) if self.is_kind(at, Kind::Tuple) => {
                    let parts = self.tuple(at)?;
                    host = parts.first().map_or(Ok(None), |&at| self.plain_text(at, true))?;
                    port = parts.get(1).map_or(Ok(None), |&at| self.port_number(at))?;
                }
                (Fact::Peer, Some(at)) => host = self.plain_text(at, true)?,
                (Fact::Port, Some(at)) => port = self.port_number(at)?,
                (Fact::Id, Some(at)) => work.id = self.plain_text(at, true)?.map(|id| shown(&id)),
                (Fact::Began(clock), Some(at)) => {
                    began = self.float(at).filter(|at| at.is_finite()).map(|at| (*clock, at));
                }
            }
        }
        if rule.has(Fact::Type) && work.path.is_none() {
            return Ok(None);
        }
        let host = host.as_deref().and_then(authority);
        if work.kind == Some(WorkKind::Call) && work.name.is_empty() {
            work.name = host.map(host_of).unwrap_or_default().into();
        }
        let far_end = match work.kind {
            Some(WorkKind::Call | WorkKind::Query) => &mut work.peer,
            _ => &mut work.client,
        };
        *far_end = host.map(|host| with_port(host, port));
        Ok(Some(Label { work, began, is_all: false }))
    }

    /// A text or number as far as it is shown; `None` for another object.
    fn plain_text(&self, at: Address, is_name: bool) -> Read<Option<String>> {
        self.plain_text_of(at, MAX_TEXT, is_name)
    }

    fn plain_text_of(&self, at: Address, max: usize, is_name: bool) -> Read<Option<String>> {
        Ok(match self.kind_of(at)? {
            Kind::Str if is_name => Some(self.name_str(at, max)?),
            Kind::Str => Some(self.str(at, max)?),
            Kind::Bytes => Some(self.bytes_text(at, max)?),
            Kind::Int => Some(self.int_text(at)?),
            _ => None,
        })
    }

    fn port_number(&self, at: Address) -> Read<Option<i64>> {
        Ok(if self.kind_of(at)? == Kind::Int { self.int(at).ok() } else { None })
    }

    /// A name, or that of a function or a class.
    fn what_serves(&self, at: Address) -> Read<Option<String>> {
        Ok(match self.kind_of(at)? {
            Kind::Str => Some(self.name_str(at, MAX_TEXT)?),
            Kind::Function => {
                let name = self.function_name(at)?;
                Some(name::without_scope(&name).to_owned())
            }
            Kind::Method => match self.function_of(at) {
                Some(function) => Some(self.function_name(function)?.to_string()),
                None => None,
            },
            Kind::Partial => {
                let function = self.pointer(at.offset(self.layout.small.partial_fn))?;
                let function = function.filter(|&at| !self.is_kind(at, Kind::Partial));
                return function.map_or(Ok(None), |function| self.what_serves(function));
            }
            Kind::Type => Some(self.class(at)?.name.to_string()),
            Kind::Other => Some(self.class_of(at)?.name.to_string()),
            _ => None,
        })
    }

    /// A command of redis, whose arguments are nobody's business: its key is the path.
    fn command(&self, at: Address, work: &mut Work) -> Read<()> {
        if !self.is_kind(at, Kind::Tuple) {
            return Ok(());
        }
        let items = self.tuple(at)?;
        let first = items.first().map_or(Ok(None), |&at| self.plain_text(at, true))?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '_');
        if let Some(first) = first.filter(|first| first.chars().all(is_word)) {
            work.name = first.to_ascii_uppercase().into();
            let key = items.get(1).map_or(Ok(None), |&at| self.plain_text(at, false))?;
            work.path = key.map(|key| shown(&key));
        }
        Ok(())
    }

    /// A command of `MongoDB`: `find orders`.
    fn document(&self, at: Address, work: &mut Work) -> Read<()> {
        if !self.is_kind(at, Kind::Dict) {
            return Ok(());
        }
        let Some(&(key, value)) = self.dict(at, 1)?.first() else { return Ok(()) };
        let Some(command) = self.plain_text(key, true)? else { return Ok(()) };
        match self.kind_of(value)? {
            Kind::Str => {
                work.verb = Some(shown(&command));
                work.name = shown(&self.name_str(value, MAX_TEXT)?);
            }
            _ => work.name = shown(&command),
        }
        Ok(())
    }

    /// Bytes that are a text.
    fn bytes_text(&self, at: Address, max: usize) -> Read<String> {
        let len = self.size(at, crate::python::object::MAX_ITEMS, "bytes")?;
        let start = at.offset(self.layout.small.bytes_data);
        let read = len.min(max as u64);
        self.memory.note_text(start, read, false);
        let bytes = self.memory.vec(start, read)?;
        let mut text: String = bytes.into_iter().map(char::from).collect();
        if read < len {
            text.push('…');
        }
        Ok(text)
    }

    /// Whether a task has the name now that was read of it. No two tasks have the same but those
    /// that a program has named so, and one that has ended leaves its place to others.
    pub(super) fn has_same_name(&self, task: &TaskFacts, name: Address) -> bool {
        let mut object = [0; NAME_LEN];
        if self.memory.source().read(name, &mut object).is_err() {
            return false;
        }
        let Some(before) = &task.name else { return false };
        let class = word(&object, self.layout.object.ob_type).map(Address);
        if class.and_then(|at| self.class(at).ok()).is_some_and(|it| it.kind == Kind::Int) {
            let number = self.one_digit(&object);
            return number.is_none_or(|number| *format!("Task-{number}") == **before);
        }
        let start = usize::try_from(self.layout.unicode.ascii_data).unwrap_or(NAME_LEN);
        let text = object.get(start..).unwrap_or_default();
        let len = text.len().min(before.len());
        !before.is_ascii() || text.get(..len) == before.as_bytes().get(..len)
    }
}

/// What the name of a task says of its work.
fn named(task: &TaskFacts) -> Option<Labels> {
    let name = request_named(task.name.as_deref()?)?;
    let (kind, identity) = (Some(WorkKind::Request), Some(task.at));
    let work =
        Work { kind, verb: Some("RPC".into()), name: shown(name), identity, ..Work::default() };
    Some(Labels { work: Some(Label { work, began: None, is_all: true }), call: None })
}

/// A text in one line, no longer than what is shown.
fn shown(text: &str) -> Arc<str> {
    let mut out = String::with_capacity(text.len().min(MAX_TEXT));
    for (count, c) in text.chars().enumerate() {
        if count == MAX_TEXT {
            out.push('…');
            break;
        }
        let is_odd = c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        out.push(if is_odd { '·' } else { c });
    }
    out.into()
}

/// A verb: one word.
fn verb(text: &str) -> Option<Arc<str>> {
    let is_verb = !text.is_empty()
        && text.len() <= 24
        && text.chars().all(|c| c.is_ascii_alphabetic() || c == '-');
    is_verb.then(|| text.to_ascii_uppercase().into())
}

/// A route; some frameworks leave its first slash out.
fn routed(route: &str) -> Arc<str> {
    let has_root = route.starts_with(['/', '^', '*']);
    if has_root { shown(route) } else { shown(&format!("/{route}")) }
}

/// A path or target without its query.
fn path(text: &str) -> Arc<str> {
    let text = match text.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => text,
    };
    shown(text.split(['?', '#', ';']).next().unwrap_or_default())
}

/// Host and port of a URL or of a part of one, without credentials.
fn authority(text: &str) -> Option<&str> {
    if text.starts_with('/') && !text.starts_with("//") {
        // A socket of the Unix domain.
        return Some(text).filter(|text| !text.contains(['?', '@', ':']));
    }
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest).trim_start_matches('/');
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_host =
        |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '%');
    (!host.is_empty() && host.chars().all(is_host)).then_some(host)
}

/// A host without its port.
fn host_of(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, port))
            if port.chars().all(|c| c.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => text,
    }
}

fn with_port(host: &str, port: Option<i64>) -> Arc<str> {
    match port {
        Some(port) if host.contains(':') && !host.starts_with('[') => {
            format!("[{host}]:{port}").into()
        }
        Some(port) => format!("{host}:{port}").into(),
        None => host.into(),
    }
}

#[cfg(test)]
mod texts {
    use super::*;

    #[test]
    fn peers_have_no_credentials() {
        for (text, expected) in [
            ("https://user:SECRET@host.example:8443/a/b?x", Some("host.example:8443")),
            ("user:SECRET@host", Some("host")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("/run/redis.sock", Some("/run/redis.sock")),
            ("//host/path", Some("host")),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(authority(text), expected, "{text}");
        }
        assert_eq!(host_of("host:80"), "host");
        assert_eq!(host_of("::1"), "::1");
        assert_eq!(host_of("[::1]:80"), "[::1]");
        assert_eq!(&*with_port("::1", Some(80)), "[::1]:80");
    }

    #[test]
    fn paths_have_no_query_and_texts_have_no_control_characters() {
        assert_eq!(&*path("/a/b?token=SECRET#x"), "/a/b");
        assert_eq!(&*path("http://u:SECRET@h/a?b"), "/a");
        assert_eq!(&*path("/a;SECRET=1"), "/a");
        assert_eq!(&*shown("a\x1b[31m\nb\u{202e}"), "a·[31m·b·");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), MAX_TEXT + 1);
        assert_eq!(&*routed("orders/<id:int>"), "/orders/<id:int>");
        assert_eq!(&*routed("^orders$"), "^orders$");
        assert_eq!(verb("GET SECRET"), None);
    }
}
