//! `nested-run`: two event loops run one inside the other on the same thread.

use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, words};
use crate::known::{Purpose, name, purpose};
use crate::snapshot::{Code, Evidence, Frame, Loop, Role, Sentence, Severity, Sureness};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::NestedRun,
    find: Some(find),
    about: About::Loop,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::TrueWhenFrozen],
};

fn find(context: &Context<'_>, out: &mut Drafts) {
    for event_loop in &context.now.loops {
        if event_loop.nested_in.is_some() {
            out.add(report(context, event_loop));
        }
    }
}

fn report(context: &Context<'_>, event_loop: &Loop) -> Draft {
    let thread = event_loop.thread.and_then(|tid| context.thread(tid));
    let frames = thread.map(|thread| &thread.frames[..]).unwrap_or_default();
    let starts = |frame: &&Frame| {
        matches!(
            frame.location.purpose(),
            Some(Purpose::Loop(purpose::Loop::RunForever | purpose::Loop::RunUntilComplete))
        )
    };
    // The outermost one runs the outer loop.
    let inner = frames.iter().rposition(|frame| starts(&frame));
    let caller = inner.and_then(|at| words::own_frame(frames.get(..at)?));
    let place = caller.map(|frame| &*frame.location);
    let at = words::at_short(place);
    let starter = frames.get(inner.unwrap_or_default()..).unwrap_or_default().first();
    let starter = starter.map_or("A loop", |frame| name::without_class(&frame.location.function));
    let title = Sentence::name(format!("{starter}()"))
        .maybe(words::at(place))
        .verb("runs", "ran")
        .then("a loop inside another loop's callback");
    let outer = event_loop.nested_in.map(|id| format!("the outer loop is {id}"));
    let mut lines = vec![Evidence::from(format!("the inner loop is {}", event_loop.id))];
    lines.extend(outer.map(Evidence::from));
    lines.extend(
        frames
            .iter()
            .filter(starts)
            .map(|frame| Evidence::from("a loop is run").at(Some(&frame.location))),
    );
    lines.extend(caller.map(|frame| Evidence::from("called").at(Some(&frame.location))));
    let running =
        context.running.iter().copied().filter(|task| {
            Some(event_loop.id) == task.loop_id || event_loop.nested_in == task.loop_id
        });
    Draft::new(Code::NestedRun, Severity::Warning, Sureness::Read, title)
        .on_loop(Some(event_loop.id))
        .blames(event_loop.thread.map(Node::Thread))
        .affects(context.size(event_loop.nested_in))
        .at(caller.map(|frame| &*frame.location), None)
        .role(Role::Culprit, running)
        .evidence(lines)
        .advice(format!(
            "`await` the coroutine in place of running it{at}: while the inner loop runs, nothing \
             of the outer one does."
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{LOOP, Scene, library_frame, thread};
    use crate::memory::Address;

    #[test]
    fn a_loop_inside_a_loop() {
        let scene = Scene::new().and(|snapshot| {
            let functions = ["main", "run_forever", "helper", "run_until_complete", "work"];
            snapshot.threads[0] = thread(100, &functions);
            for at in [1, 3] {
                snapshot.threads[0].frames[at] = library_frame(functions[at]);
            }
            snapshot.loops.push(Loop {
                id: Address(0x2000),
                thread: Some(100),
                nested_in: Some(LOOP),
                ..Loop::default()
            });
        });
        let diagnosis = scene.once();
        let finding = diagnosis.only();
        assert_eq!(finding.code, Code::NestedRun);
        assert!(
            finding.title.to_string().contains("at app.py:12 runs a loop inside"),
            "{}",
            finding.title
        );
    }

    #[test]
    fn one_loop_after_the_other_is_healthy() {
        let scene = Scene::new().and(|snapshot| {
            snapshot.loops.push(Loop { id: Address(0x2000), ..Loop::default() });
        });
        scene.once().assert_silent();
    }
}
