//! `asyncgen-open`: asynchronous generators that are suspended with nobody iterating.

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, grouped, outlook, words};
use crate::snapshot::{Code, Evidence, OpenGenerator, Sentence, Severity, Stage, Sureness};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::AsyncgenOpen,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Tasks,
    is: &[Is::Cause, Is::AboutAbsence],
};

fn find(context: &Context<'_>, out: &mut Drafts) {
    let shutdown = context.now.shutdown.as_ref();
    let closing = shutdown.filter(|shutdown| shutdown.stage == Stage::Asyncgens);
    let is_closing = |open: &OpenGenerator| {
        closing
            .is_some_and(|shutdown| shutdown.loop_id.is_none() || open.loop_id == shutdown.loop_id)
            && was_open(context, open)
    };
    let open = context.now.open_generators().iter();
    let open = open.filter(|open| is_closing(open) || !open.is_in_use && was_idle(context, open));
    let shape = |open: &&OpenGenerator| {
        (open.name.clone(), open.place.clone(), open.loop_id, is_closing(open))
    };
    for group in grouped(open, shape) {
        let Some(first) = group.first() else { continue };
        let is_closing = is_closing(first);
        let is_long = closing.is_some_and(|it| outlook::has_lasted_long(context, it));
        let severity = if is_closing && is_long { Severity::Warning } else { Severity::Info };
        out.extend(report(&group, severity, is_closing));
    }
}

/// Whether it was there at the first look, if there was one.
fn was_open(context: &Context<'_>, open: &OpenGenerator) -> bool {
    let same = |known: &OpenGenerator| known.id == open.id && known.name == open.name;
    context.looks.first.is_none_or(|first| first.open_generators().iter().any(same))
}

/// Whether nobody could go on with it at the first look either, if there was one.
fn was_idle(context: &Context<'_>, open: &OpenGenerator) -> bool {
    let same = |known: &OpenGenerator| known == open;
    context.looks.first.is_none_or(|first| first.open_generators().iter().any(same))
}

fn report(group: &[&OpenGenerator], severity: Severity, is_closing: bool) -> Option<Draft> {
    let open = *group.first()?;
    let name = words::function(&open.name);
    let title = match group.len() {
        1 => Sentence::words("Async generator").and(name).verb("is", "was"),
        many => Sentence::words(format!("{many} async generators")).and(name).verb("are", "were"),
    };
    let it = if group.len() == 1 { "it" } else { "them" };
    let title = title.then("open").maybe(words::at(open.place.as_deref()));
    let title = if is_closing {
        title
            .then(", and")
            .verb("the shutdown waits", "the shutdown waited")
            .then(format!("for {it}"))
    } else {
        title.then(", and").verb("nobody iterates", "nobody iterated").then(it)
    };
    let places = group.iter().take(words::MAX_NAMED);
    let mut lines: Vec<_> = places
        .map(|open| Evidence::from(format!("{} {}", open.name, open.id)).at(open.place.as_deref()))
        .collect();
    if let Some(others) = group.len().checked_sub(words::MAX_NAMED).filter(|more| *more > 0) {
        lines.push(format!("and {others} more").into());
    }
    Some(
        Draft::new(Code::AsyncgenOpen, severity, Sureness::Read, title)
            .at(open.place.as_deref(), None)
            .on_loop(open.loop_id)
            .blames(group.iter().map(|open| Node::Object(open.id)))
            .affects(group.len())
            .evidence(lines)
            .advice(
                "Leave an `async for` early only inside `async with contextlib.aclosing(…)`: it \
                 closes the generator there and then, and its `finally` runs.",
            ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{LOOP, Scene, location};
    use crate::memory::Address;
    use crate::snapshot::Shutdown;

    fn open(is_in_use: bool) -> Scene {
        Scene::new().and(|snapshot| {
            snapshot.grounds.get_or_insert_default().open_generators.push(OpenGenerator {
                id: Address(0x60),
                name: "rows".into(),
                place: Some(location("rows", 5)),
                loop_id: Some(LOOP),
                is_in_use,
            });
        })
    }

    #[test]
    fn one_that_nobody_iterates_is_worth_a_note() {
        let diagnosis = open(false).once();
        assert_eq!(diagnosis.only().severity, Severity::Info);
        assert!(!diagnosis.wants_second_look);
        open(true).once().assert_silent();
        open(false).after(&open(true).before()).assert_silent();
    }

    #[test]
    fn one_that_holds_the_shutdown_is_its_cause() {
        let scene = open(true).and(|snapshot| {
            snapshot.shutdown = Some(Shutdown {
                stage: Stage::Asyncgens,
                by: "asyncio.run".to_owned(),
                loop_id: Some(LOOP),
                task: None,
                frame: None,
                tasks: Vec::new(),
                threads: Vec::new(),
                grounds: None,
            });
        });
        // Its clean-up may be under way.
        scene.twice().assert_no_warning();
        let lasted = std::time::Duration::from_secs(6);
        let old = scene.and(|snapshot| snapshot.loops[0].idle_for = Some(lasted));
        let diagnosis = old.twice();
        assert_eq!(diagnosis.codes(), [Code::AsyncgenOpen, Code::ShutdownStuck]);
        assert_eq!(diagnosis.findings[0].severity, Severity::Warning);
        assert_eq!(diagnosis.cause_of(&diagnosis.findings[1]), Some(Code::AsyncgenOpen));
    }
}
