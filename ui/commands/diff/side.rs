//! One side of a comparison, from a dump's JSON: every fact in it may be absent.

use aiospy::known::Libraries;
use aiospy::snapshot::Origin;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::flame::fold::folded;
use crate::report::text::path;

/// What was there at one moment.
#[derive(Debug)]
pub struct Side {
    /// The file it is from.
    pub file: String,
    /// When it was read.
    pub taken_at: Option<Timestamp>,
    /// The tasks that had not ended.
    pub tasks: Vec<Entry>,
    /// What was wrong.
    pub findings: Vec<Fact>,
}

/// A task.
#[derive(Debug)]
pub struct Entry {
    /// Its address.
    pub id: String,
    name: Option<String>,
    shape: String,
    coroutine: Option<String>,
    /// All of its frames.
    frames: Vec<String>,
    /// The innermost frame of the program's own.
    pub place: Option<String>,
    /// What it waits for, in words that do not change with time.
    pub waits_for: String,
    object: Option<String>,
    /// For how long it has waited.
    pub since_ms: Option<f64>,
    is_parked: bool,
}

/// A finding.
#[derive(Debug, Serialize)]
pub struct Fact {
    /// Its code.
    pub code: String,
    /// How bad it is.
    pub severity: String,
    /// What it has in common with the same trouble at another time.
    pub key: String,
    /// The conclusion.
    pub title: String,
    /// The tasks it is about.
    tasks: Vec<String>,
}

fn text(of: &Value, name: &str) -> Option<String> {
    of.get(name)?.as_str().map(str::to_owned)
}

fn list<'v>(of: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

impl Side {
    /// From a dump.
    pub fn of(file: String, document: &Value) -> Self {
        Self {
            file,
            taken_at: text(document, "taken_at").and_then(|at| at.parse().ok()),
            tasks: list(document, "tasks").filter_map(Entry::of).collect(),
            findings: list(document, "findings").map(Fact::of).collect(),
        }
    }
}

impl Entry {
    fn of(task: &Value) -> Option<Self> {
        let state = text(task, "state");
        if matches!(state.as_deref(), Some("done" | "cancelled" | "failed")) {
            return None;
        }
        let frames: Vec<(String, bool)> = list(task, "frames")
            .map(|frame| {
                let file = text(frame, "file").unwrap_or_default();
                let line = frame.get("line").and_then(Value::as_u64);
                let line = line.and_then(|line| u32::try_from(line).ok());
                let function = text(frame, "function").unwrap_or_default();
                let origin = frame.get("origin").and_then(Value::as_str);
                // Dumps of before did not say it.
                let is_own = origin.map_or_else(
                    || Libraries::default().home(&file).origin == Origin::Own,
                    |origin| origin == "own",
                );
                (path::frame(&function, &file, line), is_own)
            })
            .collect();
        let own = frames.iter().rev().find(|(_, is_own)| *is_own).or(frames.last());
        let name = text(task, "name");
        let waiting = task.get("waiting_on");
        Some(Self {
            id: text(task, "id")?,
            shape: folded(name.as_deref().unwrap_or("?")),
            name,
            coroutine: text(task, "coroutine"),
            place: own.map(|(place, _)| place.clone()),
            waits_for: waiting.map_or_else(|| state.clone().unwrap_or_default(), waits_for),
            object: waiting.and_then(|waiting| text(waiting, "object")),
            since_ms: waiting.and_then(|waiting| waiting.get("since_ms")?.as_f64()),
            is_parked: state.as_deref().is_none_or(|state| state == "pending"),
            frames: frames.into_iter().map(|(place, _)| place).collect(),
        })
    }

    /// What tells it from others: another task may have got its address.
    pub fn key(&self) -> (&str, Option<&str>, Option<&str>) {
        (&self.id, self.name.as_deref(), self.coroutine.as_deref())
    }

    /// What it has in common with others of its kind.
    pub fn shape(&self) -> (&str, Option<&str>) {
        (&self.shape, self.coroutine.as_deref())
    }

    /// Whether it waits.
    pub fn is_parked(&self) -> bool {
        self.is_parked
    }

    /// Whether both are at the same place and wait for the same thing.
    pub fn is_at_same_place(&self, other: &Self) -> bool {
        self.frames == other.frames
            && self.waits_for == other.waits_for
            && self.object == other.object
    }
}

/// `lock self.lock`, `socket 10.0.0.5:5432`.
fn waits_for(waiting: &Value) -> String {
    let kind = text(waiting, "kind").unwrap_or_default();
    let remote = || text(waiting.get("socket")?, "remote");
    let which = match kind.as_str() {
        "socket" => remote().or_else(|| text(waiting, "peer")),
        "executor" => text(waiting, "function"),
        "timer" => None,
        _ => text(waiting, "name"),
    };
    match which {
        Some(which) => format!("{kind} {which}"),
        None => kind,
    }
}

impl Fact {
    fn of(finding: &Value) -> Self {
        Self {
            // Dumps of before have no more than a code.
            key: text(finding, "key").or_else(|| text(finding, "code")).unwrap_or_default(),
            code: text(finding, "code").unwrap_or_default(),
            severity: text(finding, "severity").unwrap_or_default(),
            title: text(finding, "title").unwrap_or_default(),
            tasks: list(finding, "tasks").filter_map(|it| it.as_str().map(str::to_owned)).collect(),
        }
    }

    /// Whether it is the same trouble as one of `others`, of which it is one of `own` in another
    /// dump: where several of either have its key, the one that is about the same tasks.
    pub fn is_among(&self, others: &[Self], own: &[Self]) -> bool {
        let alike = |facts: &[Self]| facts.iter().filter(|it| it.key == self.key).count();
        let is_one_of_several = alike(others) > 1 || alike(own) > 1;
        let is_same =
            |it: &Self| it.key == self.key && (!is_one_of_several || it.has_tasks_of(self));
        others.iter().any(is_same)
    }

    fn has_tasks_of(&self, other: &Self) -> bool {
        let is_shared = |task: &String| other.tasks.contains(task);
        self.tasks.iter().any(is_shared) || self.tasks.is_empty() && other.tasks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fact(key: &str, tasks: &[&str]) -> Fact {
        Fact::of(&json!({ "code": "deadlock", "key": key, "tasks": tasks }))
    }

    #[test]
    fn the_same_trouble_is_told_by_its_key_and_where_two_have_it_by_its_tasks() {
        let (pay, other) =
            (fact("deadlock/a.py:pay", &["0x1"]), fact("deadlock/a.py:pay", &["0x2"]));
        // In another process, or with another task.
        assert!(pay.is_among(&[fact("deadlock/a.py:pay", &["0x9"])], &[fact("", &[])]));
        assert!(!pay.is_among(&[fact("deadlock/a.py:refund", &["0x1"])], &[]));
        // Two deadlocks of the same functions, of which one is gone.
        let both = [pay, other];
        let left = [fact("deadlock/a.py:pay", &["0x2"])];
        assert!(!both[0].is_among(&left, &both) && both[1].is_among(&left, &both));
        assert!(left[0].is_among(&both, &left));
    }
}
