//! What a feed comes to: the library's answer, and its groups of tasks. Made once for each feed, so
//! that views, filters and drawing only choose from it.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use aiospy::memory::Address;
use aiospy::snapshot::{
    Age, Answer, Code, Group, GroupState, Location, Severity, Snapshot, Subject, Task, by_work,
};
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::feed::Feed;
use super::finished::{Figures, Finished};

/// What a feed comes to.
#[derive(Default)]
pub struct Judged {
    /// What is wrong, or that nothing is.
    pub answer: Option<Answer>,
    /// The tasks in groups.
    pub groups: Vec<Kept>,
    /// How each task gets on, by its place in the snapshot.
    states: Vec<GroupState>,
    /// How many there are that get on so.
    counts: Vec<(GroupState, usize)>,
    places: FxHashMap<Address, usize>,
}

/// A group that has its tasks by their places in the snapshot.
#[derive(Debug, Clone)]
pub struct Kept {
    pub id: u64,
    pub work: u64,
    pub state: GroupState,
    pub severity: Option<Severity>,
    pub subject: Subject,
    pub place: Option<Arc<Location>>,
    pub members: Vec<usize>,
    pub count: usize,
    pub oldest: Option<Age>,
    pub is_beside: bool,
    /// What has finished of the same work, in one of the groups that do it.
    pub figures: Option<Figures>,
}

impl Judged {
    /// That of a feed.
    pub fn of(feed: &Feed) -> Self {
        let snapshot = &*feed.snapshot;
        let places: FxHashMap<Address, usize> =
            snapshot.tasks.iter().map(|task| task.id).zip(0..).collect();
        let place = |task: &Task| places.get(&task.id).copied();
        let groups = snapshot.groups_seen(&|task| feed.stood(place(task)?));
        let mut states = vec![GroupState::Idle; snapshot.tasks.len()];
        for group in &groups {
            for at in group.tasks.iter().filter_map(|task| place(task)) {
                states.get_mut(at).into_iter().for_each(|state| *state = group.state);
            }
        }
        let keep = |group: Group<'_>| Kept {
            id: group.id,
            work: group.work,
            state: group.state,
            severity: group.severity,
            place: group.place.map(Arc::clone),
            members: group.tasks.iter().filter_map(|task| place(task)).collect(),
            count: group.count,
            oldest: group.oldest,
            subject: group.subject,
            is_beside: group.is_beside,
            figures: None,
        };
        let counts = groups.iter().filter(|group| !group.is_beside);
        let counts = counts.map(|group| (group.state, group.count)).collect();
        let mut groups: Vec<Kept> = by_work(groups).into_iter().map(keep).collect();
        add_figures(&mut groups, feed.finished.as_deref());
        Self { answer: snapshot.answer(), groups, states, counts, places }
    }

    /// Where a task is in the snapshot.
    pub fn place(&self, id: Address) -> Option<usize> {
        self.places.get(&id).copied()
    }

    /// How a task gets on.
    pub fn state(&self, at: usize) -> GroupState {
        self.states.get(at).copied().unwrap_or(GroupState::Idle)
    }

    /// How many there are that get on so.
    pub fn count(&self, state: GroupState) -> usize {
        self.counts.iter().filter(|it| it.0 == state).map(|it| it.1).sum()
    }

    /// Some tasks as a group, as the library has them.
    pub fn group<'s>(&self, members: &[usize], snapshot: &'s Snapshot) -> Option<Group<'s>> {
        let tasks: Vec<&Task> = members.iter().filter_map(|at| snapshot.tasks.get(*at)).collect();
        let first = tasks.first()?;
        Some(Group {
            id: 0,
            work: 0,
            state: self.state(*members.first()?),
            subject: first.subject(),
            place: snapshot.place_of(first),
            count: tasks.len(),
            tasks,
            oldest: None,
            findings: Vec::new(),
            severity: None,
            is_beside: false,
        })
    }
}

impl Kept {
    /// The same as the library has it.
    pub fn group<'s>(&'s self, snapshot: &'s Snapshot) -> Group<'s> {
        let tasks = self.members.iter().filter_map(|at| snapshot.tasks.get(*at));
        Group {
            id: self.id,
            work: self.work,
            state: self.state,
            subject: self.subject.clone(),
            place: self.place.as_ref(),
            tasks: tasks.collect(),
            count: self.count,
            oldest: self.oldest,
            findings: Vec::new(),
            severity: self.severity,
            is_beside: self.is_beside,
        }
    }

    /// Those of its tasks that are to be kept, if any are.
    pub fn only(&self, feed: &Feed, keep: impl Fn(usize) -> bool) -> Option<Self> {
        let members: Vec<usize> = self.members.iter().copied().filter(|at| keep(*at)).collect();
        if members.len() == self.members.len() {
            return Some(self.clone());
        }
        // The figures are those of all.
        let mut group = Self { members, figures: None, ..self.clone() };
        group.oldest = Age::oldest(group.members.iter().map(|at| feed.age(*at)));
        group.count = group.group(&feed.snapshot).recount();
        (!group.members.is_empty()).then_some(group)
    }
}

/// Puts to each work what has finished of it. What has, and is not there now, has a row as well, so
/// that it does not come and go.
fn add_figures(groups: &mut Vec<Kept>, finished: Option<&Finished>) {
    let mut rest = finished.cloned().unwrap_or_default();
    // Those that move stand behind those that are stuck.
    for group in groups.iter_mut().rev().filter(|group| !group.is_beside) {
        group.figures = rest.remove(&group.subject);
    }
    let mut gone: Vec<(Subject, Figures)> =
        rest.into_iter().filter(|(_, it)| it.count > 0).collect();
    gone.sort_by(|(one, _), (other, _)| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    let at = groups.iter().position(|group| group.state == GroupState::Idle);
    let at = at.unwrap_or(groups.len());
    let gone = gone.into_iter().map(|(subject, figures)| {
        let id = FxBuildHasher.hash_one(&subject);
        Kept {
            id,
            work: id,
            state: GroupState::Moving,
            severity: None,
            subject,
            place: None,
            members: Vec::new(),
            count: 0,
            oldest: None,
            is_beside: false,
            figures: Some(figures),
        }
    });
    groups.splice(at..at, gone);
}

/// The codes of the findings that each task is in.
pub fn codes(feed: &Feed) -> FxHashMap<Address, Vec<Code>> {
    let mut codes: FxHashMap<Address, Vec<Code>> = FxHashMap::default();
    for finding in feed.snapshot.findings.iter().flatten() {
        for task in &finding.tasks {
            codes.entry(*task).or_default().push(finding.code);
        }
    }
    codes
}
