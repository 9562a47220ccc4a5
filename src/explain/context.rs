//! What the contexts of tasks say, in the snapshot's words; and in whose context tasks were started
//! that nobody waits for.

use std::cell::Cell;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Locals, Options};
use crate::asyncio::{ContextFacts, FutureState, Reading, TaskFacts};
use crate::memory::Address;
use crate::python::frame::RawFrame;
use crate::python::object::{Kind, Reader};
use crate::snapshot::{Context, Task, TaskState, Trace, Variable, Work, WorkKind};

/// Characters of a value that is shown.
const MAX_VALUE: u64 = 80;
/// Tasks of one request among whose frames it is looked for what was set there.
const MAX_HEIRS: usize = 16;

/// The contexts of tasks; those with the same variables are one.
pub(crate) struct Contexts<'r> {
    reader: &'r Reader<'r>,
    options: &'r Options,
    room: &'r Cell<usize>,
    /// Those that threads run in.
    entered: FxHashSet<Address>,
    made: FxHashMap<Address, Option<Arc<Context>>>,
}

impl<'r> Contexts<'r> {
    pub(crate) fn new(
        reader: &'r Reader<'r>,
        reading: &Reading,
        (options, room): (&'r Options, &'r Cell<usize>),
    ) -> Self {
        let entered = reading.threads.iter().filter_map(|thread| {
            let place = thread.state.at.offset(reader.layout.thread.context);
            reader.pointer(place).ok()?
        });
        Self { reader, options, room, entered: entered.collect(), made: FxHashMap::default() }
    }

    /// What is known of the context that a task is in.
    pub(crate) fn facts<'t>(
        &self,
        task: &'t TaskFacts,
        state: Option<TaskState>,
    ) -> Option<&'t ContextFacts> {
        // What a running task runs may be in another one, by `Context.run`.
        let is_in_it = state != Some(TaskState::Running)
            || task.context_at.is_some_and(|at| self.entered.contains(&at));
        task.context.as_deref().filter(|_| is_in_it)
    }

    /// The same in the snapshot's words.
    pub(crate) fn of(&mut self, facts: &ContextFacts) -> Option<Arc<Context>> {
        if let Some(known) = self.made.get(&facts.tree) {
            return known.clone();
        }
        let trace = facts.trace.as_ref().map(|trace| Trace {
            trace_id: Arc::clone(&trace.trace_id),
            span_id: trace.span_id.clone(),
            tracer: Some(trace.tracer),
            has_ended: trace.has_ended,
        });
        let variable = |(name, at): &(Arc<str>, Address)| {
            let value = self.value(name, *at);
            let taken = value.as_ref().map_or(0, String::len);
            self.room.set(self.room.get().saturating_sub(taken));
            Variable { name: Arc::clone(name), value }
        };
        let context = Context {
            trace,
            request_id: facts.request_id.clone(),
            started_by: None,
            variables: facts.others.iter().map(variable).collect(),
            variables_left_out: facts.left_out,
        };
        let context = (!context.is_empty()).then(|| Arc::new(context));
        self.made.insert(facts.tree, context.clone());
        context
    }

    /// The value of a variable, where it is asked for and small.
    fn value(&self, name: &str, at: Address) -> Option<String> {
        if self.options.locals == Locals::Unread || self.room.get() == 0 {
            return None;
        }
        let is_small = match self.reader.kind_of(at).ok()? {
            Kind::Bool | Kind::Int => true,
            Kind::Str => {
                let length = at.offset(self.reader.layout.unicode.length);
                self.reader.memory.u64(length).ok()? <= MAX_VALUE
            }
            _ => false,
        };
        let shows_secrets = self.options.locals == Locals::WithSecrets;
        is_small.then(|| self.reader.value(name, at, shows_secrets))
    }
}

/// Says of a request or a job which ids its task's context has for it.
///
/// A task that does one thing after the other may still have those of the one before.
pub(crate) fn note_ids(work: &mut Work, context: &ContextFacts) {
    let trace = context.trace.as_ref().filter(|trace| trace.is_own && !trace.has_ended);
    work.trace = trace.map(|trace| Arc::clone(&trace.trace_id));
    if is_request(work) {
        work.id = work.id.take().or_else(|| context.request_id.clone());
    }
}

/// Takes back what a task's context says.
pub(crate) fn forget(task: &mut Task) {
    task.context = None;
    let of_context = |work: &&mut Arc<Work>| work.trace.is_some() || is_request(work);
    if let Some(work) = task.work.as_mut().filter(of_context) {
        let work = Arc::make_mut(work);
        work.trace = None;
        if is_request(work) {
            work.id = None;
        }
    }
}

/// Whether its id can only be that of its context: a job has one of its own.
fn is_request(work: &Work) -> bool {
    matches!(work.kind, Some(WorkKind::Request | WorkKind::Websocket))
}

/// Says of tasks that nobody waits for, and that don't say themselves what they work for, in the
/// context of which request they were started.
///
/// A new task gets a copy of the context that it is started in, and as long as neither sets a
/// variable both have the same tree. But so has everything that was started before the request set
/// one, and a server may read its connection in the context of an earlier request. So a tree proves it
/// only if it was made by this very request: where one of its frames still holds the token of a
/// variable that was set in its own context, and that has not the old value in the tree.
pub(crate) fn note_starters(
    reader: &Reader<'_>,
    read: &[TaskFacts],
    tasks: &mut [Task],
    in_doubt: &FxHashSet<Address>,
) {
    let mut by_tree: FxHashMap<Address, Vec<usize>> = FxHashMap::default();
    for (i, facts) in read.iter().enumerate() {
        if let Some(context) = &facts.context {
            by_tree.entry(context.tree).or_default().push(i);
        }
    }
    let mut found = Vec::new();
    for (tree, places) in by_tree.into_iter().filter(|(_, places)| places.len() > 1) {
        let members = || places.iter().filter_map(|&i| tasks.get(i));
        // Of one in doubt it isn't known which request it is for.
        if members().any(|task| in_doubt.contains(&task.id)) {
            continue;
        }
        let is_orphan = |task: &Task| task.work.is_none() && task.awaited_by.is_empty();
        if !members().any(is_orphan) {
            continue;
        }
        let mut works = members().filter_map(|task| task.work.as_ref());
        let Some(work) = works.next().filter(|work| work.identity.is_some()) else { continue };
        if !works.all(|other| other.identity == work.identity) {
            continue;
        }
        let own = places.iter().filter(|&&i| {
            let work = tasks.get(i).and_then(|task| task.work.as_ref());
            work.is_some_and(|work| !work.is_inherited)
        });
        let own = own.filter_map(|&i| read.get(i)).take(MAX_HEIRS);
        if !own.clone().any(|facts| has_made(reader, facts, tree, work)) {
            continue;
        }
        // All of one moment.
        let is_still = |&i: &usize| {
            let context = read.get(i).and_then(|facts| facts.context_at);
            context.is_some_and(|context| reader.has_tree(context, tree))
        };
        if places.iter().all(is_still) {
            let orphans = places.iter().copied();
            let orphans = orphans.filter(|&i| tasks.get(i).is_some_and(is_orphan));
            found.push((Arc::clone(work), orphans.collect::<Vec<usize>>()));
        }
    }
    for (work, orphans) in found {
        for i in orphans {
            if let Some(task) = tasks.get_mut(i) {
                let context = task.context.get_or_insert_default();
                Arc::make_mut(context).started_by = Some(Arc::clone(&work));
            }
        }
    }
}

/// Whether a tree was made by a task while it worked for a request.
fn has_made(reader: &Reader<'_>, facts: &TaskFacts, tree: Address, work: &Work) -> bool {
    let Some(context) = facts.context_at.filter(|_| facts.state == FutureState::Pending) else {
        return false;
    };
    // What frames outside of the request hold was set before it.
    let is_of_work = |frame: &&RawFrame| {
        let rule = reader.work_rule(frame);
        let object = rule.and_then(|rule| reader.work_object(frame, &rule).ok()?);
        object.is_some() && object == work.identity
    };
    let frames = facts.chain.iter().skip_while(|frame| !is_of_work(frame));
    let Some(Ok(variables)) = reader.variables(&[tree]).pop() else { return false };
    let mut frames = frames.flat_map(|frame| {
        let held = reader.held_frames(frame).unwrap_or_default();
        std::iter::once(*frame).chain(held)
    });
    frames.any(|frame| {
        let locals = reader.locals(&frame).unwrap_or_default();
        locals.iter().any(|(_, value)| reader.is_token_of(*value, context, &variables))
    })
}

#[cfg(test)]
mod tests;
