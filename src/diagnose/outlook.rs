//! Whether what the end of a program waits for can come to its own end.
//!
//! Each orderly stop looks like one that hangs while its last request and its last clean-up are
//! under way. So it is a note until it has lasted for [`STUCK_AFTER`], and worse before that only
//! where it is proved that it cannot end: whoever swallowed the cancellation, a circle, a loop of
//! the program without a way out.

use std::collections::VecDeque;

use std::time::Duration;

use jiff::SignedDuration;
use rustc_hash::FxHashSet;

use super::draft::Drafts;
use super::graph::Node;
use super::rule::Is;
use super::{Context, RULES, STUCK_AFTER, words};
use crate::known::name;
use crate::memory::Address;
use crate::snapshot::{
    Age, Code, Evidence, Location, Operation, Severity, Shutdown, Source, Stage, Task, Thread,
    Wait, Waiting,
};

/// A limit that is further away ends nothing that anybody would wait for: supervisors kill what
/// does not stop within minutes.
const LONGEST_LIMIT: Duration = Duration::from_secs(600);
/// How far from a task the cause of its trouble is looked for.
const MAX_REACH: usize = 1000;
/// What is said of one that has not lasted for long.
pub const MAY_END: &str = "it may yet end by itself";

/// How a wait at the end of a program is to be judged, and why.
#[derive(Debug)]
pub(super) struct Outlook {
    /// How bad it is.
    pub severity: Severity,
    /// For how long it has lasted.
    pub since: Option<Age>,
    /// Whether a time limit ends it.
    pub is_limited: bool,
    /// The facts it rests on.
    pub lines: Vec<Evidence>,
}

/// How the stage of a shutdown comes to an end that waits for these in the end.
pub(super) fn of_stage(
    context: &Context<'_>,
    out: &Drafts,
    shutdown: &Shutdown,
    culprits: &[&Task],
    threads: &[&Thread],
) -> Outlook {
    let mut lines = Vec::new();
    let lasted = lasted(context, shutdown);
    let since = lasted.map(|lasted| Age::at_least(lasted, Source::Samples));
    if let Some(seen) = seen_for(context, shutdown).filter(|seen| *seen >= STUCK_AFTER) {
        let text = format!("it has lasted for at least {}", words::span(seen));
        lines.push(Evidence { since, ..Evidence::from(text) });
    } else if let Some(time) = shutdown.lasted().filter(|time| *time >= STUCK_AFTER) {
        let text = format!(
            "{} has not made its `Date` anew for at least {}, as it does each second until it stops",
            shutdown.by,
            words::span(time)
        );
        lines.push(text.into());
    }
    let why = culprits.iter().find_map(|task| never_ends(context, out, shutdown, task));
    let limit = limit(context, shutdown, culprits);
    let is_limited = limit.is_some();
    if let Some(why) = why {
        lines.push(why);
        if limit.is_none() {
            return Outlook { severity: Severity::Critical, since, is_limited, lines };
        }
    }
    if threads.iter().any(|thread| waits_in_circle(context, out, thread)) {
        return Outlook { severity: Severity::Critical, since, is_limited, lines };
    }
    if let Some(limit) = limit {
        lines.push(format!("a time limit ends the wait in {}", words::span(limit)).into());
    }
    if is_long(lasted) {
        return Outlook { severity: Severity::Warning, since, is_limited, lines };
    }
    let after = words::span(STUCK_AFTER);
    lines.push(format!("{MAY_END}: `aiospy watch` says so if it lasts for {after}").into());
    Outlook { severity: Severity::Info, since, is_limited, lines }
}

/// How bad it is that a task is still in its clean-up though all tasks were cancelled.
pub(super) fn of_clean_up(context: &Context<'_>, out: &Drafts, task: &Task) -> Severity {
    let Some(shutdown) = &context.now.shutdown else { return Severity::Info };
    let lasted = lasted(context, shutdown).max(Some(context.stood_for(task)));
    if never_ends(context, out, shutdown, task).is_some()
        && limit(context, shutdown, &[task]).is_none()
    {
        Severity::Critical
    } else if is_long(lasted) {
        Severity::Warning
    } else {
        Severity::Info
    }
}

/// How bad it is that the end of the program waits for a thread.
pub(super) fn of_thread(context: &Context<'_>, out: &Drafts, tid: i32) -> Severity {
    let lasted = context.now.shutdown.as_ref().and_then(|shutdown| lasted(context, shutdown));
    match context.thread(tid) {
        Some(thread) if waits_in_circle(context, out, thread) => Severity::Critical,
        _ if is_long(lasted) => Severity::Warning,
        _ => Severity::Info,
    }
}

/// Whether the stage has lasted so long that something is wrong with it.
pub(super) fn has_lasted_long(context: &Context<'_>, shutdown: &Shutdown) -> bool {
    is_long(lasted(context, shutdown))
}

fn is_long(lasted: Option<Duration>) -> bool {
    lasted.is_some_and(|lasted| lasted >= STUCK_AFTER)
}

/// For how long the stage has lasted: it was seen for so long, or the server tells.
fn lasted(context: &Context<'_>, shutdown: &Shutdown) -> Option<Duration> {
    seen_for(context, shutdown).max(shutdown.lasted())
}

/// For how long at least the stage was seen to last, or the thread that waits in it has slept.
fn seen_for(context: &Context<'_>, shutdown: &Shutdown) -> Option<Duration> {
    let seen = context.looks.lives.and_then(|lives| lives.stage_for(shutdown));
    let known = context.now.loops.iter().find(|known| Some(known.id) == shutdown.loop_id);
    let slept = if shutdown.stage == Stage::InterpreterThreads {
        context.now.threads.first().and_then(Thread::asleep_for)
    } else {
        known.and_then(|known| known.idle_for)
    };
    let gap = context.gap.filter(|_| {
        let before = context.looks.first.and_then(|first| first.shutdown.as_ref());
        before.is_some_and(|before| before.is_same_stage(shutdown))
    });
    seen.max(slept).max(gap)
}

/// Why a task will not end by itself, if that is known.
fn never_ends(
    context: &Context<'_>,
    out: &Drafts,
    shutdown: &Shutdown,
    task: &Task,
) -> Option<Evidence> {
    let about = |what: &str| {
        let text = format!("{} {what}", words::name(task));
        Evidence { task: Some(task.id), ..Evidence::from(text) }
    };
    let node = Node::Task(task.id);
    let further = || context.graph.reached(node, MAX_REACH).into_iter();
    let is_hopeless = |node: Node| {
        let mut hopeless = RULES.iter().filter(|rule| rule.is(Is::Hopeless));
        hopeless.any(|rule| out.is_blamed_for_sure(rule.code, node))
    };
    if is_hopeless(node) || further().any(is_hopeless) {
        return Some(about("cannot end by itself"));
    }
    let waiting = task.waiting_on.as_deref()?;
    let object = waiting.object.filter(|_| waiting.deadlines.is_empty());
    let is_lost = waiting.is_served() == Some(false);
    if is_lost || object.is_some_and(|object| context.is_out_of_reach(object)) {
        let text = format!("nothing is left that could end the wait of {}", words::name(task));
        return Some(Evidence { task: Some(task.id), ..Evidence::from(text) });
    }
    let is_of_shutdown = || awaited(context, shutdown).contains(&task.id);
    (is_in_endless_loop(shutdown, task) && is_of_shutdown())
        .then(|| about("is in a loop without an end").at(words::place(task)))
}

/// Whether only an exception from elsewhere ends what a task does. That of a client which leaves
/// is one, and so does a server end a websocket: who waits for these is not counted.
fn is_in_endless_loop(shutdown: &Shutdown, task: &Task) -> bool {
    let is_of_websocket =
        |location: &Location| name::is_of_websocket(&location.file, &location.function);
    let waits_inside = task.waiting_on.as_deref().is_some_and(|waiting| {
        let does = matches!(
            waiting.wait,
            Wait::Timer | Wait::Queue { operation: Some(Operation::Get), .. }
        );
        does && waiting.deadlines.is_empty()
    });
    waits_inside
        && shutdown.is_endless(task.id)
        && !task.frames.iter().any(|frame| is_of_websocket(&frame.location))
}

/// The tasks whose end the stage waits for: those that it names and all that these await, nearest
/// first. Who holds a lock for them only has to give it back.
pub(super) fn awaited(context: &Context<'_>, shutdown: &Shutdown) -> Vec<Address> {
    let mut seen = FxHashSet::default();
    let mut found = Vec::new();
    let mut next: VecDeque<Address> =
        shutdown.tasks.iter().chain(&shutdown.task).copied().collect();
    while let Some(id) = next.pop_front() {
        if !seen.insert(id) {
            continue;
        }
        found.push(id);
        let waiting = context.task(id).and_then(|task| task.waiting_on.as_deref());
        next.extend(waiting.into_iter().flat_map(Waiting::tasks));
        let children = shutdown.children().iter().filter(|(task, _)| *task == id);
        next.extend(children.map(|(_, child)| *child));
    }
    found
}

/// When a time limit around the wait ends it: one of whoever does the stop, or on the way from
/// there to these tasks.
fn limit(context: &Context<'_>, shutdown: &Shutdown, culprits: &[&Task]) -> Option<Duration> {
    let waiting = culprits.iter().flat_map(|task| context.graph.waiting_for(Node::Task(task.id)));
    let stopping = shutdown.task.and_then(|id| context.task(id));
    waiting
        .chain(stopping)
        .chain(culprits.iter().copied())
        .filter_map(|task| task.waiting_on.as_deref())
        .flat_map(|waiting| &waiting.deadlines)
        .filter_map(|deadline| deadline.due_in.filter(|due| !due.is_negative()))
        .map(SignedDuration::unsigned_abs)
        .filter(|due| *due <= LONGEST_LIMIT)
        .min()
}

/// Whether a thread is part of a circle, or waits for such a one.
fn waits_in_circle(context: &Context<'_>, out: &Drafts, thread: &Thread) -> bool {
    let Some(tid) = thread.tid else { return false };
    let node = Node::Thread(tid);
    let nodes = std::iter::once(node).chain(context.graph.reached(node, MAX_REACH));
    let mut nodes = nodes.filter(|&node| {
        [Code::Deadlock, Code::LoopSelfDeadlock]
            .iter()
            .any(|&code| out.is_blamed_for_sure(code, node))
    });
    nodes.next().is_some()
}
