//! `task-leak`: tasks of one shape keep growing in number.

use std::time::Duration;

use super::draft::Draft;
use super::rule::{About, Blames, Confirmed, Rule};
use super::{grouped, kind, words};
use crate::snapshot::{
    Code, Evidence, Finding, Role, Sentence, Severity, Snapshot, Sureness, Task,
};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::TaskLeak,
    find: None,
    about: About::Tasks,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Nothing,
    is: &[],
};

/// By so many tasks at least a number has to grow, and by half of what it was: a service that is
/// just coming up grows, too.
const LEAKED: usize = 20;

pub(super) fn leak(
    shape: &str,
    counts: &[usize],
    now: &Snapshot,
    time: Duration,
) -> Option<Finding> {
    let (first, last) = (*counts.first()?, *counts.last()?);
    if last < first + LEAKED.max(first / 2) {
        return None;
    }
    let is_it = |task: &&Task| task.coroutine.as_deref() == Some(shape);
    let tasks = || now.tasks.iter().filter(is_it);
    let span = words::span(time);
    let title =
        Sentence::name(words::function(shape)).then("tasks").verb("keep growing:", "kept growing:");
    let title = title.then(format!(
        "from {} to {} in {span}",
        words::with_separators(first),
        words::with_separators(last)
    ));
    let mut places = grouped(tasks(), |task| (words::place(task).cloned(), kind(task)));
    places.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let numbers: Vec<String> = counts.iter().map(ToString::to_string).collect();
    let mut lines =
        vec![Evidence::from(format!("the least number of them: {}", numbers.join(", ")))];
    lines.extend(places.iter().take(3).filter_map(|group| {
        let task = *group.first()?;
        let line = words::wait_line(task);
        Some(Evidence { text: format!("{} of them like this: {}", group.len(), line.text), ..line })
    }));
    let most = places.first().and_then(|group| group.first()).copied();
    let draft = Draft::new(Code::TaskLeak, Severity::Warning, Sureness::Derived, title)
        .on_loop(most.and_then(|task| task.loop_id))
        .at(most.and_then(words::place), None)
        .key([Some(shape)])
        .tasks(most)
        .members(Role::Culprit, last, most.map(|task| task.id).into_iter().collect())
        .evidence(lines)
        .advice(
            "See what these tasks wait for: give it a time limit, end them when their client is \
             gone, and start no more than can be served (a semaphore, a bounded queue).",
        );
    Some(draft.finding)
}
