//! What the contexts of tasks say: which trace and which request they are part of.
//!
//! It is what the program itself would log there. As with labels, it is read with the pages of the
//! tasks, and behind that the tasks and their contexts are compared with the memory once more.
//!
//! Of a variable that no library is known for only the name is taken, and where its value is.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{FutureState, TaskFacts};
use crate::known::Tracer;
use crate::known::contextvar::{Id, Rule, rule, rule_of};
use crate::memory::{Address, ReadMemory as _, word};
use crate::python::object::{Kind, Read, Reader};

/// Names of one context that are kept.
const MAX_NAMES: usize = 64;
/// Characters of an id.
const MAX_ID: usize = 128;
/// Spans one inside the other that have all ended.
const MAX_OUTER: usize = 16;
/// How much of an id is read beforehand.
const ID_LEN: u64 = 2 * MAX_ID as u64;

/// What a context says. Those of several tasks with the same variables are one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextFacts {
    /// The tree of its variables, which copies of a context share until a variable is set.
    pub tree: Address,
    /// The trace that it is part of.
    pub trace: Option<TraceFacts>,
    /// The id of the request that it is part of.
    pub request_id: Option<Arc<str>>,
    /// Variables of the program's own and where their values are, by name.
    pub others: Vec<(Arc<str>, Address)>,
    /// How many more there are.
    pub left_out: usize,
}

/// A trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceFacts {
    /// Its id, in the digits in which it is known.
    pub trace_id: Arc<str>,
    /// The id of the span.
    pub span_id: Option<Arc<str>>,
    /// Who gave them.
    pub tracer: Tracer,
    /// Whether the span has ended.
    pub has_ended: bool,
    /// Whether it is of this context, and not of whatever shares it.
    pub is_own: bool,
}

/// A variable that a rule is known for: in which context, by which rule, its value.
#[derive(Clone, Copy)]
struct Known {
    context: usize,
    rule: usize,
    value: Address,
}

/// Which tracers have nothing to say in which contexts.
type Silent = FxHashSet<(usize, Tracer)>;

impl Reader<'_> {
    /// Reads the contexts of some tasks that were just read, and with the same pages.
    pub(super) fn read_contexts(&self, tasks: &mut [TaskFacts]) {
        let is_open = |task: &TaskFacts| task.state == FutureState::Pending && !task.is_torn();
        let at = |(i, task): (usize, &TaskFacts)| Some((i, task.context_at?));
        let open = tasks.iter().enumerate().filter(|(_, task)| is_open(task));
        let (places, contexts): (Vec<usize>, Vec<Address>) = open.filter_map(at).unzip();
        let of_task = self.trees(&contexts);
        let trees: FxHashSet<Address> =
            of_task.iter().filter_map(|tree| tree.ok().flatten()).collect();
        if trees.is_empty() {
            return;
        }
        let mut trees: Vec<Address> = trees.into_iter().collect();
        trees.sort_unstable();
        let facts = self.facts_of_trees(&trees);
        let facts: FxHashMap<Address, Arc<ContextFacts>> =
            facts.into_iter().flatten().map(|facts| (facts.tree, Arc::new(facts))).collect();
        let mut read = Vec::new();
        for (i, tree) in places.into_iter().zip(of_task) {
            let facts = tree.ok().flatten().and_then(|tree| facts.get(&tree));
            if let (Some(task), Some(facts)) = (tasks.get_mut(i), facts) {
                task.context = Some(Arc::clone(facts));
                read.push(i);
            }
        }
        let mut moved = self.moved(tasks, &read, false);
        moved.extend(self.with_other_tree(tasks, &read));
        for task in tasks.iter_mut().filter(|task| moved.contains(&task.at)) {
            task.context = None;
        }
    }

    /// The tasks among some whose contexts have other variables by now.
    fn with_other_tree(&self, tasks: &[TaskFacts], some: &[usize]) -> Vec<Address> {
        let some: Vec<&TaskFacts> = some.iter().filter_map(|&i| tasks.get(i)).collect();
        let vars = self.layout.context.vars;
        let range = |task: &&TaskFacts| -> Range<u64> {
            let start = task.context_at.unwrap_or_default().offset(vars).0;
            start..start.saturating_add(8)
        };
        let ranges: Vec<Range<u64>> = some.iter().map(range).collect();
        let mut bytes = vec![0; 8 * ranges.len()];
        let mut failed = FxHashSet::default();
        self.memory.source().read_many(&ranges, &mut bytes, &mut |i| {
            failed.insert(i);
        });
        let is_other = |(i, task): &(usize, &TaskFacts)| {
            let now = word(&bytes, 8 * *i as u64).map(Address);
            failed.contains(i) || now != task.context.as_ref().map(|facts| facts.tree)
        };
        some.into_iter().enumerate().filter(is_other).map(|(_, task)| task.at).collect()
    }

    /// Whether a context has these variables at this very moment.
    pub(crate) fn has_tree(&self, context: Address, tree: Address) -> bool {
        let mut bytes = [0; 8];
        let place = context.offset(self.layout.context.vars);
        self.memory.source().read(place, &mut bytes).is_ok() && u64::from_le_bytes(bytes) == tree.0
    }

    /// What is in some trees of variables; `None` of one that cannot be read to its end.
    fn facts_of_trees(&self, trees: &[Address]) -> Vec<Option<ContextFacts>> {
        let variables = self.variables(trees);
        let all: FxHashSet<Address> =
            variables.iter().flatten().flatten().map(|(variable, _)| *variable).collect();
        let all: Vec<Address> = all.into_iter().collect();
        self.prefetch_variables(&all);
        let names: FxHashMap<Address, (Arc<str>, Option<usize>)> = all
            .into_iter()
            .filter_map(|at| {
                let name = self.variable_name(at).ok()?;
                let rule = rule_of(&name);
                Some((at, (name, rule)))
            })
            .collect();
        let mut known = Vec::new();
        let mut facts = Vec::with_capacity(trees.len());
        for (context, (variables, &tree)) in variables.into_iter().zip(trees).enumerate() {
            let mut own = ContextFacts { tree, ..ContextFacts::default() };
            facts.push(variables.ok().and_then(|variables| {
                for (variable, value) in variables {
                    match names.get(&variable)? {
                        (_, Some(rule)) => known.push(Known { context, rule: *rule, value }),
                        (name, None) => own.others.push((Arc::clone(name), value)),
                    }
                }
                own.others.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                own.left_out = own.others.len().saturating_sub(MAX_NAMES);
                own.others.truncate(MAX_NAMES);
                Some(own)
            }));
        }
        // Where several say something, the first rule counts.
        known.sort_unstable_by_key(|it| (it.rule, it.context));
        let mut silent = Silent::default();
        for same in known.chunk_by(|a, b| a.rule == b.rule) {
            let number = same.first().map(|it| it.rule);
            if let Some(rule) = number.and_then(rule) {
                self.apply(rule, same, &mut facts, &mut silent);
            }
        }
        facts
    }

    /// Takes in what the values of some variables say by their rule.
    fn apply(
        &self,
        rule: &Rule,
        known: &[Known],
        facts: &mut [Option<ContextFacts>],
        silent: &mut Silent,
    ) {
        if rule.classes.is_empty() {
            return;
        }
        self.memory.prefetch(known.iter().map(|it| (it.value, ID_LEN)));
        let is_its = |it: &&Known| {
            let class = self.class_of(it.value);
            class.is_ok_and(|class| rule.classes.contains(&&*self.class_name(&class)))
        };
        let (contexts, values): (Vec<usize>, Vec<Address>) =
            known.iter().filter(is_its).map(|it| (it.context, it.value)).unzip();
        let (contexts, objects): (Vec<usize>, Vec<Address>) = match &rule.of {
            None => (contexts, values),
            Some(paths) => {
                let found = self.followed_each(&values, paths).into_iter();
                found.zip(contexts).filter_map(|(at, i)| Some((i, at.ok()??))).unzip()
            }
        };
        let ended = self.ended(rule, &objects);
        let objects: Vec<Address> = ended.iter().map(|(at, _)| *at).collect();
        let trace = self.ids(rule, Id::Trace, 128, &objects);
        let span = self.ids(rule, Id::Span, 64, &objects);
        let request = self.ids(rule, Id::Request, 128, &objects);
        let all = contexts.into_iter().zip(ended).zip(trace.into_iter().zip(span).zip(request));
        for ((context, (at, has_ended)), ((trace_id, span_id), request_id)) in all {
            let Some(Some(facts)) = facts.get_mut(context) else { continue };
            facts.request_id = facts.request_id.take().or(request_id);
            let Some(tracer) = rule.tracer else { continue };
            if rule.path(Id::Trace).is_none() {
                // The span has a variable of its own.
                if let Some(trace) = facts.trace.as_mut().filter(|it| it.tracer == tracer) {
                    trace.span_id = trace.span_id.take().or(span_id);
                    trace.is_own |= rule.path(Id::Own).is_some() && self.int(at) == Ok(1);
                }
                continue;
            }
            // A tracer that has a span, but no id for it yet, doesn't mean what is around it.
            let is_silent = silent.contains(&(context, tracer));
            // Where outer spans count in place of those that have ended, none is left of these.
            let is_over = has_ended == Some(true) && rule.path(Id::Outer).is_some();
            match (trace_id, has_ended) {
                (Some(trace_id), Some(has_ended)) if !is_over => {
                    if facts.trace.is_none() && !is_silent {
                        let is_own = tracer.is_own();
                        facts.trace =
                            Some(TraceFacts { trace_id, span_id, tracer, has_ended, is_own });
                    }
                }
                _ => drop(silent.insert((context, tracer))),
            }
        }
    }

    /// The spans that count in place of some that may have ended, and whether they have; `None` where
    /// that cannot be read.
    fn ended(&self, rule: &Rule, objects: &[Address]) -> Vec<(Address, Option<bool>)> {
        let Some(Some(end)) = rule.path(Id::Ended) else {
            return objects.iter().map(|at| (*at, Some(false))).collect();
        };
        let has_ended = |objects: &[Address]| -> Vec<Option<bool>> {
            let ends = self.followed_each(objects, end).into_iter();
            ends.map(|end| end.ok().map(|end| end.is_some())).collect()
        };
        let mut all: Vec<(Address, Option<bool>)> =
            objects.iter().copied().zip(has_ended(objects)).collect();
        let Some(Some(outer)) = rule.path(Id::Outer) else { return all };
        for _ in 0..MAX_OUTER {
            let ended =
                all.iter().enumerate().filter(|(_, (_, has_ended))| *has_ended == Some(true));
            let (places, spans): (Vec<usize>, Vec<Address>) =
                ended.map(|(i, (at, _))| (i, *at)).unzip();
            let outer = self.followed_each(&spans, outer).into_iter();
            let (places, outer): (Vec<usize>, Vec<Address>) =
                places.into_iter().zip(outer).filter_map(|(i, at)| Some((i, at.ok()??))).unzip();
            if places.is_empty() {
                break;
            }
            let ends = has_ended(&outer);
            for (i, span) in places.into_iter().zip(outer.into_iter().zip(ends)) {
                if let Some(place) = all.get_mut(i) {
                    *place = span;
                }
            }
        }
        all
    }

    /// The ids of one kind that some objects have.
    fn ids(
        &self,
        rule: &Rule,
        kind: Id,
        bits: usize,
        objects: &[Address],
    ) -> Vec<Option<Arc<str>>> {
        let found: Vec<Option<Address>> = match rule.path(kind) {
            None => vec![None; objects.len()],
            Some(None) => objects.iter().map(|at| Some(*at)).collect(),
            Some(Some(paths)) => {
                self.followed_each(objects, paths).into_iter().map(|at| at.ok()?).collect()
            }
        };
        self.memory.prefetch(found.iter().flatten().map(|at| (*at, ID_LEN)));
        let id = |at: Option<Address>| self.id(at?, rule.tracer, bits).ok()?;
        found.into_iter().map(id).collect()
    }

    /// An id, if it is one: nothing that could be a text of another kind.
    fn id(&self, at: Address, tracer: Option<Tracer>, bits: usize) -> Read<Option<Arc<str>>> {
        Ok(match self.kind_of(at)? {
            Kind::Int => {
                let id = self.long_int(at)?;
                let fits = id > 0 && (bits >= 128 || id >> bits == 0);
                tracer.filter(|_| fits).map(|tracer| tracer.in_digits(id, bits).into())
            }
            Kind::Str => {
                let text = self.name_str(at, MAX_ID + 1)?;
                is_id(&text).then(|| text.into())
            }
            _ => None,
        })
    }
}

/// Whether a text is of the letters that ids are made of: no blanks, no `@`, nothing of a URL's query.
fn is_id(text: &str) -> bool {
    let is_of_id = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=|".contains(c);
    (1..=MAX_ID).contains(&text.len()) && text.chars().all(is_of_id)
}
