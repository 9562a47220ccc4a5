//! From what each finding says for itself to one report: what follows from what, and what comes
//! first.

use rustc_hash::{FxHashMap, FxHashSet};

use super::graph::Node;
use super::rule::{Follows, Is};
use super::{Context, Diagnosis, rule, words};
use crate::memory::Address;
use crate::snapshot::{
    Age, Cause, Code, Evidence, Finding, FindingId, Location, Members, Pending, Role, Sentence,
    Severity, Sureness, Task,
};

/// How far from a task the cause of its trouble is looked for.
const MAX_REACH: usize = 1000;
/// How many tasks a finding refers to; how many it is about its title says.
const MAX_TASKS: usize = 1000;

/// A finding with what is needed to put it beside others.
#[derive(Debug)]
pub struct Draft {
    /// The finding.
    pub finding: Finding,
    /// What is to blame.
    pub about: Vec<Node>,
    /// How many tasks suffer.
    pub affected: usize,
    /// Whether it is that a thread is given no processor.
    is_starved: bool,
}

impl Draft {
    /// A finding that is about nothing yet.
    pub fn new(
        code: Code,
        severity: Severity,
        sureness: Sureness,
        title: impl Into<Sentence>,
    ) -> Self {
        let finding = Finding::new(code, severity, sureness, title);
        Self { finding, about: Vec::new(), affected: 0, is_starved: false }
    }

    /// A note that may be a hang, seen for too short a time: who waits for what, and for how long
    /// at least.
    pub fn pending(mut self, pending: Option<Pending>) -> Self {
        self.finding.pending = pending.filter(|_| self.finding.severity == Severity::Info);
        self
    }

    /// The line that it comes from; its function, and the object if there is one, are what it has in
    /// common with the same trouble elsewhere.
    pub fn at(mut self, place: Option<&Location>, object: Option<&str>) -> Self {
        self.finding.place = place.map(|place| place.clone().into());
        self.key([place.map(words::owner).as_deref(), object])
    }

    /// What it has in common with the same trouble elsewhere, as far as that is known: names that
    /// neither time nor chance has made.
    pub fn key<'k>(mut self, parts: impl IntoIterator<Item = Option<&'k str>>) -> Self {
        let parts = parts.into_iter().flatten();
        let code = std::iter::once(self.finding.code.as_str());
        self.finding.key = code.chain(parts).collect::<Vec<_>>().join("/");
        self
    }

    /// For how long it has been so.
    pub fn since(mut self, since: Option<Age>) -> Self {
        self.finding.since = since;
        self
    }

    /// What it comes from.
    pub fn cause(mut self, cause: Option<Cause>) -> Self {
        self.finding.cause = cause;
        self
    }

    /// The loop it is about.
    pub fn on_loop(mut self, id: Option<Address>) -> Self {
        self.finding.loop_id = id;
        self
    }

    /// What is to blame.
    pub fn blames(mut self, nodes: impl IntoIterator<Item = Node>) -> Self {
        self.about.extend(nodes);
        self
    }

    /// The tasks it is about, the culprits first; each is listed once.
    pub fn tasks<'t>(mut self, tasks: impl IntoIterator<Item = &'t Task>) -> Self {
        let mut seen: FxHashSet<Address> = self.finding.tasks.iter().copied().collect();
        let room = MAX_TASKS.saturating_sub(self.finding.tasks.len());
        let mut new = tasks.into_iter().map(|task| task.id).filter(|id| seen.insert(*id));
        self.finding.tasks.extend(new.by_ref().take(room));
        self.finding.tasks_left_out += new.count() as u64;
        self
    }

    /// The same, with the part that they play.
    pub fn role<'t>(self, role: Role, tasks: impl IntoIterator<Item = &'t Task>) -> Self {
        // Who holds two of them is one.
        let mut seen = FxHashSet::default();
        let tasks: Vec<&Task> = tasks.into_iter().filter(|task| seen.insert(task.id)).collect();
        let first = tasks.iter().take(Members::NAMED).map(|task| task.id).collect();
        self.members(role, tasks.len(), first).tasks(tasks)
    }

    /// How many play a part, where they are no tasks or are not listed.
    pub fn members(mut self, role: Role, count: usize, first: Vec<Address>) -> Self {
        if count > 0 {
            self.finding.roles.push(Members { role, count: count as u64, first });
        }
        self
    }

    /// How many tasks suffer.
    pub fn affects(mut self, tasks: usize) -> Self {
        self.affected = tasks;
        self
    }

    /// That a thread is given no processor: this follows from a quota that is used up.
    pub fn for_want_of_processor(mut self) -> Self {
        self.is_starved = true;
        self
    }

    /// More facts.
    pub fn evidence(mut self, lines: impl IntoIterator<Item = impl Into<Evidence>>) -> Self {
        self.finding.evidence.extend(lines.into_iter().map(Into::into));
        self
    }

    /// What to change.
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.finding.advice = advice.into();
        self
    }

    /// The same in a few words, if these are few enough.
    pub fn brief(mut self, brief: Option<String>) -> Self {
        let brief = brief.filter(|it| it.chars().count() <= Finding::MAX_BRIEF);
        self.finding.brief = brief.unwrap_or_default();
        self
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Drafts {
    drafts: Vec<Draft>,
    wants_second_look: bool,
}

impl Drafts {
    /// Takes a finding.
    pub fn add(&mut self, draft: Draft) {
        self.drafts.push(draft);
    }

    /// Takes several.
    pub fn extend(&mut self, drafts: impl IntoIterator<Item = Draft>) {
        self.drafts.extend(drafts);
    }

    /// Drops all but what is to be kept.
    pub fn retain(&mut self, is_kept: impl Fn(Code) -> bool) {
        self.drafts.retain(|draft| is_kept(draft.finding.code));
    }

    /// Whether this was found of this loop.
    pub fn has(&self, code: Code, loop_id: Option<Address>) -> bool {
        let is_it = |draft: &Draft| draft.finding.code == code && draft.finding.loop_id == loop_id;
        self.drafts.iter().any(is_it)
    }

    /// Whether this was found with `node` to blame.
    pub fn blames(&self, code: Code, node: Node) -> bool {
        let is_it = |draft: &Draft| draft.finding.code == code && draft.about.contains(&node);
        self.drafts.iter().any(is_it)
    }

    /// Whether this was found with `node` to blame, and is as bad as can be.
    pub fn is_blamed_for_sure(&self, code: Code, node: Node) -> bool {
        let is_it = |draft: &Draft| {
            draft.finding.code == code
                && draft.finding.severity == Severity::Critical
                && draft.about.contains(&node)
        };
        self.drafts.iter().any(is_it)
    }

    /// Notes that something was seen that only a second look can tell from health.
    pub fn want_second_look(&mut self) {
        self.wants_second_look = true;
    }

    /// The finished report.
    pub fn finish(mut self, context: &Context<'_>) -> Diagnosis {
        let causes = causes(context, &self.drafts);
        let ranks: Vec<_> =
            self.drafts.iter().zip(&causes).map(|(it, cause)| rank(it, cause.is_some())).collect();
        let mut order: Vec<usize> = (0..self.drafts.len()).collect();
        order.sort_by(|a, b| ranks.get(*a).cmp(&ranks.get(*b)));
        let ids: FxHashMap<usize, FindingId> =
            order.into_iter().zip((1..).map(FindingId)).collect();
        for (at, (draft, cause)) in self.drafts.iter_mut().zip(causes).enumerate() {
            draft.finding.id = ids.get(&at).copied().unwrap_or(FindingId::NONE);
            draft.finding.because_of = cause.and_then(|at| ids.get(&at).copied());
        }
        self.drafts.sort_by_key(|draft| draft.finding.id);
        let is_first = context.looks.first.is_none();
        Diagnosis {
            findings: self.drafts.into_iter().map(|draft| draft.finding).collect(),
            wants_second_look: self.wants_second_look && is_first,
        }
    }
}

/// Causes before what follows from them, then the worst, then those that most tasks suffer from.
/// What is only worth knowing stands last in any case.
fn rank(draft: &Draft, is_follower: bool) -> impl Ord + use<> {
    let Finding { severity, code, title, .. } = &draft.finding;
    let is_info = *severity == Severity::Info;
    let worst = std::cmp::Reverse(*severity);
    // What can't run at all comes before what it would be stuck at.
    let runs = *code != Code::PodFrozen;
    (is_info, runs, is_follower, worst, std::cmp::Reverse(draft.affected), *code, title.to_string())
}

/// Whether others can follow from a finding.
fn is_cause(finding: &Finding) -> bool {
    finding.severity >= Severity::Warning && rule(finding.code).is(Is::Cause)
}

/// Whether a finding may merely follow from such a thing.
fn can_follow(code: Code, from: Follows) -> bool {
    rule(code).follows.contains(&from)
}

/// For each draft the one that it merely follows from.
fn causes(context: &Context<'_>, drafts: &[Draft]) -> Vec<Option<usize>> {
    let mut blamed: FxHashMap<Node, Vec<usize>> = FxHashMap::default();
    for (at, draft) in drafts.iter().enumerate().filter(|(_, draft)| is_cause(&draft.finding)) {
        for node in &draft.about {
            blamed.entry(*node).or_default().push(at);
        }
    }
    let mut links: Vec<Option<usize>> = Vec::with_capacity(drafts.len());
    for (at, draft) in drafts.iter().enumerate() {
        let link =
            loop_cause(drafts, at).or_else(|| consumer_cause(context, drafts, at)).or_else(|| {
                let [by_reach, by_self] = [Follows::Reach, Follows::Culprit]
                    .map(|from| can_follow(draft.finding.code, from));
                let find = |node: &Node, fits: &dyn Fn(&Draft) -> bool| {
                    let known = blamed.get(node)?.iter().copied();
                    known
                        .filter(|&cause| cause != at)
                        .find(|&cause| drafts.get(cause).is_some_and(fits))
                };
                let is_before = |known: &Draft| {
                    !is_at_standstill(draft) || !may_have_consumer(context, known, draft)
                };
                let is_of_another_kind =
                    |known: &Draft| known.finding.code != draft.finding.code && is_before(known);
                let mut own = draft.about.iter().filter(|_| by_self);
                let own = own.find_map(|node| find(node, &is_of_another_kind));
                let reach = || {
                    let starts = draft.about.iter().filter(|_| by_reach && !blamed.is_empty());
                    starts
                        .flat_map(|node| context.graph.reached(*node, MAX_REACH))
                        .filter(|node| !draft.about.contains(node))
                        .find_map(|node| find(&node, &is_before))
                };
                own.or_else(reach)
            });
        links.push(link);
    }
    // Two that follow from each other: the first of them is the root.
    for at in 0..links.len() {
        let mut next = links.get(at).copied().flatten();
        let mut steps = 0;
        while let Some(cause) = next.filter(|_| steps <= drafts.len()) {
            if cause == at {
                if let Some(link) = links.get_mut(at) {
                    *link = None;
                }
                break;
            }
            next = links.get(cause).copied().flatten();
            steps += 1;
        }
    }
    links
}

fn is_at_standstill(draft: &Draft) -> bool {
    draft.finding.code == Code::Standstill && draft.finding.severity >= Severity::Warning
}

/// Whether a queue is stalled as far as is only guessed, and of all that are at a standstill others
/// may be those that were to come to it: they wait for something else first.
fn may_have_consumer(context: &Context<'_>, stalled: &Draft, standstill: &Draft) -> bool {
    let finding = &stalled.finding;
    if finding.code != Code::QueueStalled || finding.sureness != Sureness::Guessed {
        return false;
    }
    let tasks = standstill.about.iter().filter_map(|node| match node {
        Node::Task(id) => Some(*id),
        _ => None,
    });
    let tasks: Vec<Address> = tasks.collect();
    let has_it = finding.tasks.iter().any(|id| tasks.contains(id));
    has_it && context.graph.ends(&tasks, &[]).iter().any(|end| !finding.tasks.contains(&end.id))
}

/// The standstill of those that were to come to the queue of draft `at`.
fn consumer_cause(context: &Context<'_>, drafts: &[Draft], at: usize) -> Option<usize> {
    let draft = drafts.get(at)?;
    drafts
        .iter()
        .position(|known| is_at_standstill(known) && may_have_consumer(context, draft, known))
}

/// The finding that the loop of draft `at` is held.
fn loop_cause(drafts: &[Draft], at: usize) -> Option<usize> {
    let draft = drafts.get(at)?;
    let loop_id = draft.finding.loop_id?;
    let holding = |code: Code| {
        drafts
            .iter()
            .position(|known| known.finding.code == code && known.finding.loop_id == Some(loop_id))
    };
    let code = draft.finding.code;
    let throttled = || drafts.iter().position(|it| it.finding.code == Code::PodThrottled);
    if draft.is_starved {
        return throttled();
    }
    if code == Code::LoopBlocked {
        let node = |known: &Draft| known.about.iter().any(|node| draft.about.contains(node));
        return holding(Code::LoopSelfDeadlock).or_else(|| {
            drafts.iter().position(|known| known.finding.code == Code::Deadlock && node(known))
        });
    }
    if !can_follow(code, Follows::Loop) {
        return None;
    }
    holding(Code::LoopSelfDeadlock)
        .or_else(|| holding(Code::LoopBlocked))
        .or_else(|| throttled().filter(|_| can_follow(code, Follows::Quota)))
}
