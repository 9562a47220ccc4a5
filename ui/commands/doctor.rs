//! `aiospy doctor PID`: may I read it, can I understand it, and what to do about what fails; by which
//! rules it is told what its tasks work for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aiospy::known::WorkKind;
use aiospy::known::work::{Rule, Rules};
use aiospy::python::object::Followed;
use aiospy::session::AttachStep;
use aiospy::{Error, Inspector, Options};
use clap::Args;
use serde::Serialize;

use crate::commands::options::Target;
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::remedy;
use crate::io::output::{Destination, Output, note};
use crate::io::page::{Line, Page, Style};
use crate::io::trouble::Trouble;
use crate::io::wanted;
use crate::report::json;
use crate::report::text::words::counted;

/// The name and version of the JSON shape.
const SCHEMA: &str = "aiospy.doctor/1";

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(short = 'j', long = "json")]
    is_json: bool,
    #[command(flatten)]
    output: Output,
}

/// Runs the command; `Failed` when a step did.
///
/// # Errors
/// When the output cannot be written.
pub fn run(options: &Doctor, patience: &Patience) -> anyhow::Result<Outcome> {
    let mut pid = options.target.pid();
    patience.guard(pid, None);
    let wanted = wanted::complete(Options::default());
    let examine = |pid| patience.limited(|| Inspector::examine(pid, &patience.limit, &wanted));
    let (mut steps, mut followed) = examine(pid);
    if let Some(host) = steps.iter().find_map(|step| match &step.outcome {
        Err(Error::NoSuchProcess { namespace_match, .. }) => *namespace_match,
        _ => None,
    }) {
        note(remedy::other_namespace(pid, host));
        pid = host;
        (steps, followed) = examine(pid);
    }
    let rules = if is_well(&steps) { rules_of(followed, &wanted.rules) } else { Vec::new() };
    let mut to = Destination::open(&options.output)?;
    if options.is_json {
        json::write(&document(pid, &steps, &rules), &mut to)?;
    } else {
        // A remedy is to be read to its end.
        let mut page = to.page_of_whole_lines(&options.output);
        print(&steps, &mut page)?;
        print_rules(&rules, &mut page)?;
    }
    to.finish()?;
    Ok(if is_well(&steps) { Outcome::Done } else { Outcome::Failed })
}

fn is_well(steps: &[AttachStep]) -> bool {
    !steps.is_empty() && steps.iter().all(|step| step.outcome.is_ok())
}

/// What came of the rules: of those given for the program first.
fn rules_of(mut followed: Vec<Followed>, given: &Rules) -> Vec<RuleDocument> {
    let mut all = Vec::new();
    for rule in given.iter() {
        let at = followed.iter().position(|it| it.rule == *rule);
        let of_rule = at.map(|at| followed.swap_remove(at));
        all.push(of_rule.map_or_else(|| RuleDocument::unused(rule), |it| RuleDocument::of(&it)));
    }
    followed.sort_unstable_by_key(|it| (std::cmp::Reverse(it.frames), it.rule.to_string()));
    all.extend(followed.iter().map(RuleDocument::of));
    all
}

/// What came of a rule.
#[derive(Serialize)]
struct RuleDocument {
    rule: String,
    kind: WorkKind,
    frames: usize,
    /// Of these, how many had no such work.
    without: usize,
    /// In how many of the others a fact was missing.
    missing: BTreeMap<&'static str, usize>,
}

impl RuleDocument {
    fn of(of: &Followed) -> Self {
        let facts = of.rule.facts.iter().zip(&of.missing).filter(|(_, count)| **count > 0);
        Self {
            frames: of.frames,
            without: of.without,
            missing: facts.map(|((fact, _), count)| (fact.as_str(), *count)).collect(),
            ..Self::unused(&of.rule)
        }
    }

    fn unused(rule: &Rule) -> Self {
        let missing = BTreeMap::new();
        Self { rule: rule.to_string(), kind: rule.kind, frames: 0, without: 0, missing }
    }

    /// `175 frames`, `12 frames, 2 of them without a job; no name in 3`
    fn said(&self) -> String {
        if self.frames == 0 {
            return "no frame here".to_owned();
        }
        let mut said = counted(self.frames, "frame");
        if self.without > 0 {
            let _ = write!(said, ", {} without a {}", self.without, self.kind.as_str());
        }
        let missing: Vec<String> =
            self.missing.iter().map(|(fact, count)| format!("{fact} in {count}")).collect();
        if !missing.is_empty() {
            let _ = write!(said, "; no {}", missing.join(", "));
        }
        said
    }
}

fn print_rules(rules: &[RuleDocument], page: &mut Page<'_>) -> std::io::Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    page.line(&Line::new())?;
    page.line(&Line::new().with(Style::Strong, "rules that say what frames work for"))?;
    let column = 4 + rules.iter().map(|it| it.rule.chars().count()).max().unwrap_or(0);
    for rule in rules {
        let mut line = Line::new();
        line.pad_to(2);
        line.add(Style::Plain, &rule.rule);
        line.pad_to(column);
        line.add(Style::Dim, &rule.said());
        page.line(&line)?;
    }
    Ok(())
}

fn print(steps: &[AttachStep], page: &mut Page<'_>) -> std::io::Result<()> {
    let column = 6 + steps.iter().map(|step| step.name.len()).max().unwrap_or(0) + 2;
    for step in steps {
        let mut line = Line::new();
        match &step.outcome {
            Ok(_) => line.add(Style::Active, "ok"),
            Err(_) => line.add(Style::Alarm, "FAIL"),
        }
        line.pad_to(6);
        line.add(Style::Strong, step.name);
        line.pad_to(column);
        match &step.outcome {
            Ok(found) => page.line(&line.with(Style::Plain, found))?,
            Err(error) => {
                let advice = remedy::of_process(error);
                page.line(&line.with(Style::Plain, &advice.cause))?;
                if let Some(facts) = &advice.facts {
                    page.line(&Line::new().with(Style::Plain, &format!("      {facts}")))?;
                }
                let mut line = Line::new();
                line.pad_to(6);
                line.add(Style::Notice, "try: ");
                page.line(&line.with(Style::Plain, &advice.remedy))?;
            }
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    tool: json::Tool,
    pid: i32,
    ok: bool,
    steps: Vec<StepDocument<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    rules: &'a [RuleDocument],
}

#[derive(Serialize)]
struct StepDocument<'a> {
    name: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

fn document<'a>(pid: i32, steps: &'a [AttachStep], rules: &'a [RuleDocument]) -> Document<'a> {
    let of_step = |step: &AttachStep| match &step.outcome {
        Ok(_) => (None, None, None),
        Err(error) => {
            let Trouble { cause, facts, remedy } = remedy::of_process(error);
            (Some(cause), facts, Some(remedy))
        }
    };
    let steps_told = steps
        .iter()
        .map(|step| {
            let (cause, facts, remedy) = of_step(step);
            let found = step.outcome.as_ref().ok().map(String::as_str);
            StepDocument { name: step.name, ok: found.is_some(), found, cause, facts, remedy }
        })
        .collect();
    Document {
        schema: SCHEMA,
        tool: json::Tool::this(),
        pid,
        ok: is_well(steps),
        steps: steps_told,
        rules,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_steps_carry_their_remedy() {
        let steps = vec![
            AttachStep { name: "process", outcome: Ok("4711 python3 app.py".to_owned()) },
            AttachStep { name: "asyncio", outcome: Err(Error::NoAsyncio { pid: i32::MAX }) },
        ];
        let mut out = Vec::new();
        print(&steps, &mut Page::new(&mut out, None, false)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "ok    process  4711 python3 app.py\n\
             FAIL  asyncio  process 2147483647 has not imported asyncio\n      \
             try: aiospy dump 2147483647, which shows its thread stacks; no process below it runs \
             an asyncio event loop, and Trio and gevent have no asyncio tasks\n"
        );
        assert!(!is_well(&steps) && is_well(&steps[..1]) && !is_well(&[]));
        let json = serde_json::to_value(document(4711, &steps, &[])).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["steps"][0]["found"], "4711 python3 app.py");
        assert!(json["steps"][1]["remedy"].as_str().unwrap().starts_with("aiospy dump"));
        json::assert_shape("doctor", &json);
        let refused = Error::NotPermitted { pid: i32::MAX, access: Box::default() };
        let steps = [AttachStep { name: "permission to read", outcome: Err(refused) }];
        let json = serde_json::to_value(document(4711, &steps, &[])).unwrap();
        assert!(json["steps"][0]["facts"].is_string(), "{json}");
        json::assert_shape("doctor", &json);
    }

    #[test]
    fn what_came_of_each_rule_is_said() {
        let rule = |rule: &str, frames, without, missing: &[(&'static str, usize)]| RuleDocument {
            rule: rule.to_owned(),
            kind: WorkKind::Job,
            frames,
            without,
            missing: missing.iter().copied().collect(),
        };
        let rules = [
            rule("worker.py:Worker.run", 3, 1, &[("id", 2), ("peer", 2)]),
            rule("arq/worker.py:run_job", 1, 0, &[]),
            rule("old.py:go", 0, 0, &[]),
        ];
        let mut out = Vec::new();
        print_rules(&rules, &mut Page::new(&mut out, None, false)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\nrules that say what frames work for\n  \
             worker.py:Worker.run   3 frames, 1 without a job; no id in 2, peer in 2\n  \
             arq/worker.py:run_job  1 frame\n  \
             old.py:go              no frame here\n"
        );
        json::assert_shape("doctor", &serde_json::to_value(document(1, &[], &rules)).unwrap());
    }
}
