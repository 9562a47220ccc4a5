//! What the context of a task says (`contextvars`): which trace and which request it is part of, in
//! the program's own words.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::document::of_name;
use super::{Work, is_zero};
pub use crate::known::Tracer;

/// What the context of a task says.
///
/// It is what the program itself would log there. Of its own variables nobody outside knows what they
/// mean: they have names, and values only where local variables were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// The trace that it is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// The id of the request that it is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Arc<str>>,
    /// The request or job in whose context it was started, where nothing else says for whom it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_by: Option<Arc<Work>>,
    /// Variables that no library is known for, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub variables_left_out: usize,
}

/// A trace, and where in it a task is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trace {
    /// Its id, in the digits in which it is known: 32 hexadecimal ones, as a rule.
    pub trace_id: Arc<str>,
    /// The id of the span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<Arc<str>>,
    /// Who gave them.
    #[serde(deserialize_with = "of_name", skip_serializing_if = "Option::is_none")]
    pub tracer: Option<Tracer>,
    /// Whether the span has ended, and the task goes on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_ended: bool,
}

/// A variable of a context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Variable {
    /// Its name.
    pub name: Arc<str>,
    /// Its value as Python prints it, if it is a short text, a number or a truth value; absent unless
    /// asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Context {
    /// Whether it has nothing to say.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Its ids, and who started the task: `trace 0af7… (opentelemetry), request id r-17`.
    pub fn in_words(&self) -> Option<String> {
        let trace = self.trace.as_ref().map(ToString::to_string);
        let request = self.request_id.as_ref().map(|id| format!("request id {id}"));
        let started = self.started_by.as_ref().map(|work| format!("started by {work}"));
        let words: Vec<String> = [trace, request, started].into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Its variables: `tenant, cart, 3 more`.
    pub fn variables_in_words(&self) -> Option<String> {
        let variable = |it: &Variable| match &it.value {
            Some(value) => format!("{} = {value}", it.name),
            None => it.name.to_string(),
        };
        let mut words: Vec<String> = self.variables.iter().map(variable).collect();
        if self.variables_left_out > 0 {
            words.push(format!("{} more", self.variables_left_out));
        }
        (!words.is_empty()).then(|| words.join(", "))
    }
}

impl fmt::Display for Trace {
    /// `trace 0af7… of ddtrace, span b7ad…`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trace {}", self.trace_id)?;
        if let Some(tracer) = self.tracer {
            write!(f, " ({})", tracer.as_str())?;
        }
        match &self.span_id {
            Some(span) if self.has_ended => write!(f, ", span {span}, which has ended"),
            Some(span) => write!(f, ", span {span}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_first() {
        let trace = Trace {
            trace_id: "0af7".into(),
            span_id: Some("b7ad".into()),
            tracer: Some(Tracer::Ddtrace),
            has_ended: true,
        };
        let work = Work { verb: Some("GET".into()), name: "/orders".into(), ..Work::default() };
        let tenant = Variable { name: "tenant".into(), value: Some("'acme'".to_owned()) };
        let cart = Variable { name: "cart".into(), value: None };
        let context = Context {
            trace: Some(trace),
            request_id: Some("r-17".into()),
            started_by: Some(Arc::new(work)),
            variables: vec![tenant, cart],
            variables_left_out: 3,
        };
        assert_eq!(
            context.in_words().unwrap(),
            "trace 0af7 (ddtrace), span b7ad, which has ended, request id r-17, started by GET /orders"
        );
        assert_eq!(context.variables_in_words().unwrap(), "tenant = 'acme', cart, 3 more");
        assert!(Context::default().is_empty() && Context::default().in_words().is_none());
    }
}
