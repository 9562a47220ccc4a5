//! What libraries keep in variables of contexts (`contextvars`): ids of traces and requests.
//!
//! A variable is told by its name alone, and two libraries may use the same one: so the class of its
//! value counts too. What no row names is the program's own.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::LIBRARIES;
use super::work::Paths;

/// Variables of a library.
#[derive(Debug)]
pub(super) struct Variables {
    /// Their names.
    pub names: &'static [&'static str],
    /// The classes of values that something is read of, with their modules; of none, if it says
    /// nothing about requests.
    pub classes: &'static [&'static str],
    /// Who gives the ids.
    pub tracer: Option<Tracer>,
    /// The way from the value to the object that has the ids; empty where it is that.
    pub of: &'static str,
    /// Where they are, from there on; an empty path means that object itself.
    pub ids: &'static [(Id, &'static str)],
}

impl Variables {
    /// Those that say nothing of use to anybody.
    pub(super) const fn noise(names: &'static [&'static str]) -> Self {
        Self { names, classes: &[], tracer: None, of: "", ids: &[] }
    }
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Id {
    /// The id of a trace.
    Trace,
    /// That of the span which the task is in.
    Span,
    /// That of the request.
    Request,
    /// Something that is there as soon as the span has ended.
    Ended,
    /// The span around one that has ended, which then counts instead.
    Outer,
    /// Whether the tracer has made something of its own for the request.
    Own,
}

/// Who gives ids to traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tracer {
    /// OpenTelemetry.
    Opentelemetry,
    /// Datadog's `ddtrace`.
    Ddtrace,
    /// Sentry's SDK.
    Sentry,
    /// What a program has bound to its log records with `structlog`.
    Structlog,
    /// The same with `loguru`.
    Loguru,
}

impl Tracer {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opentelemetry => "opentelemetry",
            Self::Ddtrace => "ddtrace",
            Self::Sentry => "sentry",
            Self::Structlog => "structlog",
            Self::Loguru => "loguru",
        }
    }

    /// Whether what it has in a context is that context's own: a scope of Sentry's is an object that all
    /// tasks share until one of them makes another.
    pub fn is_own(self) -> bool {
        self != Self::Sentry
    }

    /// The id of a trace or a span of so many bits, as people know it from there.
    pub fn in_digits(self, id: u128, bits: usize) -> String {
        match self {
            // `format_trace_id` of ddtrace: what its logs and its pages show.
            Self::Ddtrace if u64::try_from(id).is_ok() => id.to_string(),
            _ => format!("{id:0width$x}", width = bits / 4),
        }
    }
}

/// The keys under which programs bind ids to their log records.
pub(super) const KEYS: &[(Id, &str)] = &[
    (Id::Request, "['request_id'] | ['req_id'] | ['x_request_id'] | ['correlation_id']"),
    (Id::Trace, "['trace_id']"),
    (Id::Span, "['span_id']"),
];

/// The rule for some variables.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// The classes of values that something is read of.
    pub classes: &'static [&'static str],
    /// Who gives the ids.
    pub tracer: Option<Tracer>,
    /// The way to the object that has the ids; `None` where it is the value.
    pub of: Option<Paths>,
    /// Where these are, from there on; `None` where they are that object.
    pub ids: Vec<(Id, Option<Paths>)>,
}

impl Rule {
    // A test holds that all of them are paths.
    fn of(row: &Variables) -> Self {
        let path = |text: &str| Paths::parse(text).ok();
        let ids = row.ids.iter().map(|(id, text)| (*id, path(text))).collect();
        Self { classes: row.classes, tracer: row.tracer, of: path(row.of), ids }
    }

    /// The path to a thing of this kind, if there is one.
    pub fn path(&self, wanted: Id) -> Option<&Option<Paths>> {
        self.ids.iter().find(|(id, _)| *id == wanted).map(|(_, path)| path)
    }
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| rows().map(Rule::of).collect());

static BY_NAME: LazyLock<FxHashMap<&str, usize>> = LazyLock::new(|| {
    let names =
        |(at, row): (usize, &'static Variables)| row.names.iter().map(move |name| (*name, at));
    rows().enumerate().flat_map(names).collect()
});

fn rows() -> impl Iterator<Item = &'static Variables> {
    LIBRARIES.iter().flat_map(|library| library.variables)
}

/// The number of the rule for a variable, by its name. Where several say something, the lowest counts.
pub fn rule_of(name: &str) -> Option<usize> {
    BY_NAME.get(name).copied()
}

/// That rule.
pub fn rule(number: usize) -> Option<&'static Rule> {
    RULES.get(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_paths_of_all_rules_are_some() {
        assert!(rows().count() > 8);
        let is_path = |text: &str| text.is_empty() || Paths::parse(text).is_ok();
        for row in rows() {
            assert!(is_path(row.of), "{}", row.of);
            assert!(row.ids.iter().all(|(_, text)| is_path(text)), "{:?}", row.names);
            assert_eq!(row.classes.is_empty(), row.ids.is_empty(), "{:?}", row.names);
        }
    }

    #[test]
    fn no_variable_has_two_rules() {
        let names: Vec<&str> = rows().flat_map(|row| row.names).copied().collect();
        assert_eq!(names.len(), BY_NAME.len(), "{names:?}");
        let [open, sentry] =
            ["current_context", "current_scope"].map(|name| rule_of(name).unwrap());
        assert!(open < sentry, "OpenTelemetry goes first");
    }

    #[test]
    fn ids_look_as_their_library_shows_them() {
        let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
        let digits = "0af7651916cd43dd8448eb211c80319c";
        for tracer in [Tracer::Opentelemetry, Tracer::Ddtrace] {
            assert_eq!(tracer.in_digits(trace, 128), digits);
        }
        assert_eq!(Tracer::Opentelemetry.in_digits(7, 64), "0000000000000007");
        assert_eq!(Tracer::Ddtrace.in_digits(7, 64), "7");
        assert_eq!(Tracer::Ddtrace.in_digits(u64::MAX.into(), 128), "18446744073709551615");
    }
}
