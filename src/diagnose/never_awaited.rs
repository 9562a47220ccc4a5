//! `never-awaited`: a coroutine was made, is still referenced and was never started.
//!
//! Those that somebody may still start are not among what is read: only one that is held by
//! nothing but a variable which its function does not read any more.

use rustc_hash::FxHashSet;

use super::draft::{Draft, Drafts};
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, grouped, words};
use crate::memory::Address;
use crate::snapshot::{Code, Evidence, NeverAwaited, Role, Sentence, Severity, Sureness};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::NeverAwaited,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Tasks,
    is: &[Is::AboutAbsence, Is::TrueWhenFrozen],
};

fn find(context: &Context<'_>, out: &mut Drafts) {
    let now = &context.now.never_awaited();
    if now.is_empty() {
        return;
    }
    let before: Option<FxHashSet<_>> = context.looks.first.map(|first| {
        first.never_awaited().iter().map(|known| (known.id, &known.coroutine)).collect()
    });
    if before.is_none() {
        out.want_second_look();
    }
    let lasting = now.iter().filter(|known| {
        before.as_ref().is_none_or(|before| before.contains(&(known.id, &known.coroutine)))
    });
    let shape = |known: &&NeverAwaited| (known.frame.clone(), known.variable.clone());
    for group in grouped(lasting, shape) {
        out.extend(report(context, &group));
    }
}

fn report(context: &Context<'_>, group: &[&NeverAwaited]) -> Option<Draft> {
    let known = *group.first()?;
    let holders: FxHashSet<Address> = group.iter().filter_map(|known| known.task).collect();
    let tasks = || holders.iter().filter_map(|id| context.task(*id));
    let name = format!("{}()", words::function(&known.coroutine));
    let title = match group.len() {
        1 => Sentence::name(name).then("was called but never awaited"),
        many => Sentence::name(name).then(format!("was called {many} times but never awaited")),
    };
    let title = title
        .so(Sentence::words(format!("held {}", words::at(Some(&known.frame)).unwrap_or_default())));
    let mut sorted: Vec<_> = tasks().collect();
    sorted.sort_unstable_by_key(|task| task.id);
    let held = Evidence::from(format!("held by `{}`", known.variable));
    let mut lines = vec![held.at(Some(&known.frame))];
    lines.extend(known.place.as_ref().map(|place| Evidence::from("its code is").at(Some(place))));
    lines.extend(words::lines(sorted.iter().copied(), |task| {
        let text = format!("in {}", words::name(task));
        Evidence { task: Some(task.id), ..Evidence::from(text) }
    }));
    Some(
        Draft::new(Code::NeverAwaited, Severity::Warning, Sureness::Derived, title)
            .on_loop(sorted.first().and_then(|task| task.loop_id))
            .affects(group.len())
            .at(Some(&known.frame), Some(&known.coroutine))
            .role(Role::Holder, sorted)
            .evidence(lines)
            .advice(format!(
                "Write `await {}(…)`, or start it with `asyncio.create_task`; calling an `async \
                 def` alone does nothing.",
                known.coroutine
            )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Scene, location, task};

    fn held(id: u64, holder: u64) -> NeverAwaited {
        NeverAwaited {
            id: Address(id),
            coroutine: "save".into(),
            place: Some(location("save", 3)),
            variable: "pending".to_owned(),
            frame: location("main", 12),
            task: Some(Address(holder)),
            thread: None,
        }
    }

    fn scene(held: Vec<NeverAwaited>) -> Scene {
        Scene::new()
            .with([task(1).sleeps(10_000), task(2).sleeps(10_000)])
            .and(|snapshot| snapshot.grounds.get_or_insert_default().never_awaited = held)
    }

    #[test]
    fn a_coroutine_in_a_variable() {
        for diagnosis in [scene(vec![held(0x50, 1)]).once(), scene(vec![held(0x50, 1)]).twice()] {
            let finding = diagnosis.only();
            assert_eq!(finding.severity, Severity::Warning);
            let title = "save() was called but never awaited: held at app.py:12";
            assert_eq!(finding.title.to_string(), title);
        }
    }

    #[test]
    fn one_that_is_awaited_in_time_is_healthy() {
        let first = scene(vec![held(0x50, 1)]).before();
        scene(Vec::new()).turned().after(&first).assert_silent();
        scene(vec![held(0x60, 1)]).turned().after(&first).assert_silent();
    }
}
