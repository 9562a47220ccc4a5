//! What a program says must be found in it, held against what the tool finds.

use std::fmt::Write as _;

use serde_json::Value;

/// A finding as the tool gave it, or why it is none.
#[derive(Debug)]
pub struct Given<'a>(pub &'a Value);

impl Given<'_> {
    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    pub fn is_alarming(&self) -> bool {
        self.text("severity") != "info"
    }

    /// Whether its title or its evidence says so: a word that begins like this ("lock" is not in
    /// "blocked"), or a place (line 1 is not line 12).
    fn says(&self, what: &str) -> bool {
        let evidence = self.0["evidence"].as_array().into_iter().flatten();
        let mut lines = evidence.filter_map(|it| it["text"].as_str()).chain([self.text("title")]);
        lines.any(|line| {
            line.match_indices(what).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + what.len()..].chars().next();
                !before.is_some_and(char::is_alphanumeric)
                    && !after.is_some_and(|after| after.is_ascii_digit())
            })
        })
    }

    /// Whether it is about a task.
    fn is_about(&self, id: &Value) -> bool {
        self.0["tasks"].as_array().is_some_and(|tasks| tasks.contains(id))
    }

    /// What is missing for it to be the one that is expected.
    fn lacks(&self, expected: &Value) -> Vec<String> {
        let mut lacks = Vec::new();
        let severity = expected["severity"].as_str().unwrap();
        if self.text("severity") != severity {
            lacks.push(format!("is {}, not {severity}", self.text("severity")));
        }
        for (name, id) in expected["tasks"].as_object().unwrap() {
            if !self.is_about(id) {
                lacks.push(format!("is not about task {name} ({id})"));
            }
        }
        let places = expected["places"].as_array().unwrap().iter();
        let says = places.chain(expected["says"].as_array().unwrap()).chain([&expected["kind"]]);
        for what in says.filter_map(Value::as_str) {
            if !self.says(what) {
                lacks.push(format!("does not say {what}"));
            }
        }
        lacks
    }
}

/// What is wrong with the findings of a program that said what they must be.
pub fn differences(truth: &Value, findings: &[Value]) -> Vec<String> {
    let expected = truth["expect"].as_array().unwrap();
    let also: Vec<&Value> = truth["also"].as_array().unwrap().iter().collect();
    let given: Vec<Given<'_>> = findings.iter().map(Given).collect();
    let mut differences = Vec::new();
    let mut found = Vec::new();
    for wanted in expected {
        let code = wanted["code"].as_str().unwrap();
        let alike = given.iter().enumerate().filter(|(_, given)| given.text("code") == code);
        let mut lacking = Vec::new();
        let hit = alike.clone().find(|(_, given)| {
            let lacks = given.lacks(wanted);
            let is_it = lacks.is_empty();
            lacking.push(lacks);
            is_it
        });
        match hit {
            Some((at, _)) => found.push(at),
            None if lacking.is_empty() => differences.push(format!("no {code}")),
            None => differences.push(format!("{code} {}", lacking.remove(0).join(", "))),
        }
        // What it is about in the end is told once; what is not the wanted one is a false alarm,
        // unless it lacks something, which has been said.
        if hit.is_none() {
            found.extend(alike.map(|(at, _)| at).take(1));
        }
    }
    for (at, given) in given.iter().enumerate() {
        let cause = findings.iter().find(|it| it["id"] == given.0["because_of"]);
        let is_follower = cause
            .is_some_and(|cause| expected.iter().any(|wanted| wanted["code"] == cause["code"]));
        let is_true_too = also.contains(&&given.0["code"]);
        if given.is_alarming() && !found.contains(&at) && !is_follower && !is_true_too {
            differences.push(format!("not true: {}", brief(given.0)));
        }
    }
    differences
}

/// A finding in one line.
fn brief(finding: &Value) -> String {
    let text = |field: &str| finding[field].as_str().unwrap_or("?");
    format!("{} {}: {}", text("severity"), text("code"), text("title"))
}

/// The findings in full, for the message of a trial that failed.
pub fn listed(findings: &[Value]) -> String {
    let mut text = String::new();
    for finding in findings {
        let _ = writeln!(text, "  {}", brief(finding));
        for line in finding["evidence"].as_array().into_iter().flatten() {
            let _ = writeln!(text, "      {}", line["text"].as_str().unwrap_or("?"));
        }
    }
    text
}

/// What the dump says wrongly about what tasks wait for.
pub fn wrong_waits(truth: &Value, dump: &Value) -> Vec<String> {
    let tasks = dump["tasks"].as_array().unwrap();
    let mut wrong = Vec::new();
    for wanted in truth["waits"].as_array().unwrap() {
        let (name, id) = wanted["task"].as_object().unwrap().iter().next().unwrap();
        let Some(task) = tasks.iter().find(|task| task["id"] == *id) else {
            wrong.push(format!("no task {name} in the dump"));
            continue;
        };
        let given = &task["waiting_on"];
        if given["kind"] != wanted["kind"] {
            wrong.push(format!("{name} waits on {}, not {}", given["kind"], wanted["kind"]));
        }
        for (other, id) in wanted["tasks"].as_object().unwrap() {
            if !given["tasks"].as_array().is_some_and(|tasks| tasks.contains(id)) {
                wrong.push(format!("{name} does not wait on task {other}: {}", given["tasks"]));
            }
        }
    }
    wrong
}
