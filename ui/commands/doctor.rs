//! `aiospy doctor PID`: may I read it, can I understand it, and what to do about what fails.

use aiospy::session::AttachStep;
use aiospy::{Error, Inspector};
use clap::Args;
use serde::Serialize;

use crate::commands::options::Target;
use crate::commands::outcome::Outcome;
use crate::commands::patience::Patience;
use crate::commands::remedy;
use crate::io::output::{Destination, Output, note};
use crate::io::page::{Line, Page, Style};
use crate::io::trouble::Trouble;
use crate::report::json;

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
    let examine = |pid| patience.limited(|| Inspector::examine(pid, &patience.limit));
    let mut steps = examine(pid);
    if let Some(host) = steps.iter().find_map(|step| match &step.outcome {
        Err(Error::NoSuchProcess { namespace_match, .. }) => *namespace_match,
        _ => None,
    }) {
        note(remedy::other_namespace(pid, host));
        pid = host;
        steps = examine(pid);
    }
    let mut to = Destination::open(&options.output)?;
    if options.is_json {
        json::write(&document(pid, &steps), &mut to)?;
    } else {
        // A remedy is to be read to its end.
        print(&steps, &mut to.page_of_whole_lines(&options.output))?;
    }
    to.finish()?;
    Ok(if is_well(&steps) { Outcome::Done } else { Outcome::Failed })
}

fn is_well(steps: &[AttachStep]) -> bool {
    !steps.is_empty() && steps.iter().all(|step| step.outcome.is_ok())
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

fn document(pid: i32, steps: &[AttachStep]) -> Document<'_> {
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
        let json = serde_json::to_value(document(4711, &steps)).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["steps"][0]["found"], "4711 python3 app.py");
        assert!(json["steps"][1]["remedy"].as_str().unwrap().starts_with("aiospy dump"));
        json::assert_shape("doctor", &json);
        let refused = Error::NotPermitted { pid: i32::MAX, access: Box::default() };
        let steps = [AttachStep { name: "permission to read", outcome: Err(refused) }];
        let json = serde_json::to_value(document(4711, &steps)).unwrap();
        assert!(json["steps"][0]["facts"].is_string(), "{json}");
        json::assert_shape("doctor", &json);
    }
}
