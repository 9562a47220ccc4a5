//! What a task works for: a request, a job; and what it asks of others meanwhile: a call, a query.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Age;
use super::document::of_name;
pub use crate::known::WorkKind;
use crate::memory::Address;

/// What a task works for, or asks of somebody else.
///
/// Nothing of it tells one user's data from another's, unless that was
/// [asked for](super::Show).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Work {
    /// What it is.
    #[serde(deserialize_with = "of_name", skip_serializing_if = "Option::is_none")]
    pub kind: Option<WorkKind>,
    /// The verb of a request or call: `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verb: Option<Arc<str>>,
    /// What stands for all of its like: the route, `/orders/{id}`; without one the endpoint's
    /// function; the name of a job; a query with `?` for its values.
    pub name: Arc<str>,
    /// The path of a request as it was sent, without its query, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Arc<str>>,
    /// Who is asked: `10.0.0.5:5432`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Arc<str>>,
    /// Who asked, `10.0.0.7:51123`, if that is to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Arc<str>>,
    /// The id of a job or a request, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Arc<str>>,
    /// The trace that it belongs to, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Arc<str>>,
    /// How long it has gone on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Age>,
    /// Whether it is that of a task that waits for this one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_inherited: bool,
    /// The object that is the request: the same in all tasks that work for it.
    #[serde(skip)]
    pub identity: Option<Address>,
}

impl Work {
    /// What it is called where it alone is looked at: by its path, if that is shown.
    pub fn live_name(&self) -> String {
        let path = self.path.as_deref().filter(|path| !path.is_empty());
        path.map_or_else(|| self.to_string(), |path| format!("{}{path}", self.prefix()))
    }

    /// What stands before its name.
    fn prefix(&self) -> String {
        match (self.kind, &self.verb) {
            (Some(WorkKind::Websocket), _) => "ws ".to_owned(),
            (Some(WorkKind::Job), _) => "job ".to_owned(),
            (_, Some(verb)) => format!("{verb} "),
            (_, None) => String::new(),
        }
    }
}

impl fmt::Display for Work {
    /// `GET /orders/{id}`, `ws /feed/{room}`, `job refresh_prices`, `SELECT * FROM stock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_called_by_what_stands_for_all_of_its_like() {
        let label = |kind, verb: Option<&str>, name: &str| {
            let verb = verb.map(Arc::from);
            Work { kind: Some(kind), verb, name: name.into(), ..Work::default() }.to_string()
        };
        assert_eq!(label(WorkKind::Request, Some("GET"), "/orders/{id}"), "GET /orders/{id}");
        assert_eq!(label(WorkKind::Websocket, None, "/feed/{room}"), "ws /feed/{room}");
        assert_eq!(label(WorkKind::Job, None, "refresh_prices"), "job refresh_prices");
        assert_eq!(label(WorkKind::Query, None, "SELECT ?"), "SELECT ?");
    }

    #[test]
    fn alone_it_is_called_by_its_path() {
        let name = |kind, path: Option<&str>| {
            let (kind, path) = (Some(kind), path.map(Arc::from));
            Work { kind, path, name: "/feed/{room}".into(), ..Work::default() }.live_name()
        };
        assert_eq!(name(WorkKind::Websocket, Some("/feed/7")), "ws /feed/7");
        assert_eq!(name(WorkKind::Request, Some("/feed/7")), "/feed/7");
        assert_eq!(name(WorkKind::Websocket, None), "ws /feed/{room}");
    }
}
