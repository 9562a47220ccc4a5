//! `exception-unretrieved`: a task ended with an exception that nobody has looked at.

use rustc_hash::FxHashSet;

use super::draft::{Draft, Drafts};
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::words::is_counted;
use super::{Context, grouped, words};
use crate::snapshot::{
    Cause, Code, Evidence, MAX_LEFT_BEHIND, Role, Sentence, Severity, Sureness, Unretrieved,
};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::ExceptionUnretrieved,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Tasks,
    is: &[Is::AboutAbsence, Is::TrueWhenFrozen],
};

fn find(context: &Context<'_>, out: &mut Drafts) {
    let now = &context.now.unretrieved();
    if now.is_empty() {
        return;
    }
    let key = |known: &Unretrieved| (known.id, known.name.clone(), known.exception.clone());
    let before: Option<FxHashSet<_>> =
        context.looks.first.map(|first| first.unretrieved().iter().map(key).collect());
    if before.is_none() {
        out.want_second_look();
    }
    // One that was looked at by the second look had only just failed.
    let lasting = now
        .iter()
        .filter(|known| before.as_ref().is_none_or(|before| before.contains(&key(known))));
    let shape = |known: &&Unretrieved| {
        let what = (known.exception.clone(), known.coroutine.clone(), known.place.clone());
        (what, known.loop_id, known.may_be_looked_at)
    };
    let is_cut = now.len() >= MAX_LEFT_BEHIND;
    for group in grouped(lasting, shape) {
        out.extend(report(&group, is_cut, context.now.process.counts_cancellations()));
    }
}

fn label(known: &Unretrieved) -> String {
    known.name.as_deref().map_or_else(|| format!("future {}", known.id), words::quoted)
}

/// The exception as Python writes it, on one line.
fn exception(known: &Unretrieved) -> String {
    match known.message.as_str() {
        "" => known.exception.clone(),
        message => {
            let message = words::quoted(message);
            format!("{}: {}", known.exception, message.trim_matches('"'))
        }
    }
}

/// Of a list that `is_cut` there may be more than it has.
fn report(group: &[&Unretrieved], is_cut: bool, has_groups: bool) -> Option<Draft> {
    let known = *group.first()?;
    let who = known.coroutine.as_deref().map(words::function);
    let who = match (&known.name, who) {
        (Some(name), Some(who)) if is_counted(name) => who.to_owned(),
        (Some(name), _) => name.to_string(),
        (None, _) => "A future".to_owned(),
    };
    let title = match group.len() {
        1 => Sentence::name(who).then("failed with"),
        many => {
            let least = if is_cut { "≥ " } else { "" };
            Sentence::words(format!("{least}{}", words::count(many, "task"))).then("failed with")
        }
    };
    let it = if group.len() == 1 { "it" } else { "them" };
    let title = title
        .and(exception(known))
        .then(", and")
        .verb("nobody has retrieved", "nobody retrieved")
        .then(it);
    let mut lines: Vec<_> = group
        .iter()
        .take(words::MAX_NAMED)
        .map(|known| {
            let of = known.coroutine.as_ref().map(|name| format!(", running {name}"));
            let text = format!("{}{}: {}", label(known), of.unwrap_or_default(), exception(known));
            Evidence { task: Some(known.id), ..Evidence::from(text) }.at(known.place.as_deref())
        })
        .collect();
    if let Some(others) = group.len().checked_sub(words::MAX_NAMED).filter(|more| *more > 0) {
        lines.push(format!("and {others} more").into());
    }
    // Tasks that are awaited one after the other are looked at in their turn.
    let severity = if known.may_be_looked_at { Severity::Info } else { Severity::Warning };
    lines.extend(known.may_be_looked_at.then(|| {
        Evidence::from("a function that is under way has it in a variable and may yet look at it")
    }));
    let ids: Vec<_> = group.iter().map(|known| known.id).take(words::MAX_NAMED).collect();
    let mut draft = Draft::new(Code::ExceptionUnretrieved, severity, Sureness::Read, title)
        .at(known.place.as_deref(), Some(&known.exception))
        .cause(Some(Cause::Exception {
            class: known.exception.clone(),
            message: known.message.clone(),
        }))
        .members(Role::Culprit, group.len(), ids.clone())
        .on_loop(known.loop_id)
        .affects(group.len())
        .evidence(lines)
        .advice(
            "Await the task, start it in an `asyncio.TaskGroup`, or give it a callback that \
                 checks its `exception()`; else the failure is reported only when the task is \
                 garbage-collected.",
        )
        .brief(brief(has_groups, group.len() == 1));
    draft.finding.tasks = ids;
    draft.finding.tasks_left_out = group.len().saturating_sub(words::MAX_NAMED) as u64;
    Some(draft)
}

/// The advice in a few words; task groups came with 3.11, as the count of cancellations did.
fn brief(has_groups: bool, is_one: bool) -> Option<String> {
    let it = if is_one { "it" } else { "them" };
    has_groups.then(|| format!("await {it}, or create {it} in a TaskGroup"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{LOOP, Scene, location};
    use crate::memory::Address;

    fn failed(id: u64) -> Unretrieved {
        Unretrieved {
            id: Address(id),
            name: Some(format!("job-{id}").into()),
            coroutine: Some("job".into()),
            loop_id: Some(LOOP),
            exception: "ValueError".to_owned(),
            message: "no such\nuser".to_owned(),
            place: Some(location("job", 8)),
            may_be_looked_at: false,
        }
    }

    fn scene(failed: Vec<Unretrieved>) -> Scene {
        Scene::new().and(|snapshot| snapshot.grounds.get_or_insert_default().unretrieved = failed)
    }

    #[test]
    fn a_task_that_failed_unseen() {
        let diagnosis = scene(vec![failed(5)]).twice();
        let finding = diagnosis.only();
        assert_eq!(
            finding.title.to_string(),
            r"job-5 failed with ValueError: no such\nuser, and nobody has retrieved it"
        );
        assert_eq!(scene(vec![failed(5)]).once().codes(), [Code::ExceptionUnretrieved]);
        let many = scene((1..=50).map(failed).collect()).once();
        assert!(many.only().title.to_string().starts_with("50 tasks failed with "));
        assert_eq!(many.only().facts().last().unwrap(), "and 30 more");
    }

    #[test]
    fn one_that_will_be_awaited_in_its_turn_is_no_trouble() {
        let later = Unretrieved { may_be_looked_at: true, ..failed(5) };
        let diagnosis = scene(vec![later, failed(6)]).twice();
        let severities: Vec<_> = diagnosis.findings.iter().map(|it| it.severity).collect();
        assert_eq!(severities, [Severity::Warning, Severity::Info]);
    }

    #[test]
    fn one_that_was_looked_at_meanwhile_is_healthy() {
        let first = scene(vec![failed(5)]).before();
        scene(Vec::new()).turned().after(&first).assert_silent();
        scene(vec![failed(6)]).turned().after(&first).assert_silent();
    }
}
