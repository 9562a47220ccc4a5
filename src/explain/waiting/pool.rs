//! Who waits for a connection of a library's pool, and who has those that are out.
//!
//! A pool knows which connections are out, and not who has them. Whoever has one has a variable that
//! leads to it, over objects of the library and its own: an answer that is open, a cursor, a block
//! that is entered. So what all tasks have in their frames is followed for some steps, and a
//! connection is said to be held by a task only where no other one leads there, or where the task
//! is in the library's own functions for this connection.

use std::collections::VecDeque;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Reasons, Step};
use crate::asyncio::{ConnectionLimit, TaskFacts};
use crate::known::pool::{Line, Out, Pool};
use crate::known::purpose::Wait;
use crate::memory::Address;
use crate::python::frame::{Progress, RawFrame};
use crate::python::object::Kind;
use crate::snapshot::{self, Acquire, Count, Holders, Position, Waiting};

/// Objects on the way from a frame to a connection: an answer of httpx has four, and stands in the
/// frame of a generator that a context manager has, which an object of the program has.
const MAX_STEPS: usize = 8;
/// Up to here the library itself is at work: its function has the item, or an object with it.
const NEAR: usize = 2;
/// Objects that are looked at in all; who has what is not said of a larger program.
const MAX_OBJECTS: usize = 50_000;
/// Items of one collection, and attributes of one object, that are followed.
const MAX_PARTS: u64 = 64;

/// A pool with those that have its connections.
#[derive(Debug)]
pub(super) struct Known {
    limits: Vec<(ConnectionLimit, Held)>,
    places: FxHashMap<Address, (usize, u64)>,
}

/// Who has the connections that are out.
#[derive(Debug, Default)]
struct Held {
    holders: Holders,
    /// How many of them these tasks have.
    count: u64,
    /// How many nobody can give back.
    lost: u64,
    /// How many others no task leads to.
    unseen: u64,
}

impl Reasons<'_> {
    /// From the function of a library that waits for a connection.
    pub(super) fn by_pool(&self, task: &TaskFacts, steps: &[Step<'_>]) -> Option<Waiting> {
        let at = steps.iter().position(|step| step.pool.is_some())?;
        let step = steps.get(at)?;
        let pool = step.pool?;
        let variable = |frame: &RawFrame| self.reader.local(frame, "self").ok().flatten();
        let owner = variable(step.frame)?;
        let waiter = match pool.line {
            Line::Items | Line::Objects(..) => {
                let inner = steps.get(at.checked_sub(1)?).filter(|step| step.is_in_line)?;
                variable(inner.frame)?
            }
            _ => self.future_in_line(task, steps)?,
        };
        let known = self.connection_pool(pool, owner)?;
        let &(limit, place) = known.places.get(&waiter)?;
        let (limit, held) = known.limits.get(limit)?;
        let number = |number: u64| i64::try_from(number).ok();
        let wait = snapshot::Wait::Pool {
            pool: Some(pool.by.into()),
            acquire: Acquire {
                holders: held.holders.clone(),
                position: Position { at: Some(place), of: Some(limit.waiters) },
                ..Acquire::default()
            },
            out: Count {
                value: limit.out.and_then(number),
                limit: number(limit.size).filter(|size| *size > 0),
            },
            held: held.count,
            lost: held.lost,
            unseen: held.unseen,
        };
        let class = self.thing(owner).class;
        Some(Waiting { object: Some(limit.at), class, ..wait.into() })
    }

    /// The future that a task waits for, or that a task does which it has in `wait_for`.
    fn future_in_line(&self, task: &TaskFacts, steps: &[Step<'_>]) -> Option<Address> {
        let inner = steps.first().filter(|step| step.wait == Some(Wait::WaitFor));
        let inner = inner.and_then(|step| self.reader.local(step.frame, "fut").ok()?);
        let Some(inner) = inner else { return task.fut_waiter };
        self.reading.tasks.iter().find(|task| task.at == inner)?.fut_waiter
    }

    /// A pool, read once for all that wait at it.
    fn connection_pool(&self, pool: &Pool, at: Address) -> Option<Rc<Known>> {
        if let Some(known) = self.connection_pools.borrow().get(&at) {
            return known.clone();
        }
        let read = || {
            let facts = self.reader.connection_pool(pool, at)?;
            let limits = facts.limits.into_iter().map(|limit| {
                let held = if limit.waiters > 0 {
                    self.held_of(pool, at, &limit)
                } else {
                    Held::default()
                };
                (limit, held)
            });
            Some(Rc::new(Known { limits: limits.collect(), places: facts.places }))
        };
        let known = read();
        self.connection_pools.borrow_mut().insert(at, known.clone());
        known
    }

    /// Who has what is out at one limit.
    fn held_of(&self, pool: &Pool, at: Address, limit: &ConnectionLimit) -> Held {
        let mut held = Held::default();
        if !self.evidence {
            return held;
        }
        let lost: FxHashSet<Address> = limit.lost.iter().copied().collect();
        let left: FxHashSet<Address> =
            limit.items.iter().copied().filter(|item| !lost.contains(item)).collect();
        let is_item = |at: Address| match pool.out {
            Out::Items { .. } => left.contains(&at),
            Out::Counted { class, pool: name, .. } => self.is_of_pool(at, class, name, limit.at),
        };
        let Some(ways) = self.ways(at, &is_item) else { return held };
        let is_counted = matches!(pool.out, Out::Counted { .. });
        let items = if is_counted { &ways.items } else { &limit.items };
        // Several requests on one connection: one that is over gives nothing back. Of those that
        // are only counted some may be on their way.
        let (known, out) = (items.len() as u64, limit.out.unwrap_or(0));
        let fits = if is_counted { known <= out } else { known == out };
        if !fits {
            return held;
        }
        held.lost = lost.len() as u64;
        let mut holders = Vec::new();
        for item in items.iter().filter(|item| !lost.contains(*item)) {
            match ways.holder(*item) {
                Found::One(task) => {
                    held.count += 1;
                    if !holders.contains(&task) {
                        holders.push(task);
                    }
                }
                Found::Nobody => held.unseen += 1,
                Found::Several => {}
            }
        }
        held.holders = holders.into();
        held
    }

    /// Whether an object is what those have who have a connection of a pool.
    fn is_of_pool(&self, at: Address, class: &str, name: &str, pool: Address) -> bool {
        let reader = &self.reader;
        reader.class_of(at).is_ok_and(|it| it.kind == Kind::Other && *it.name == *class)
            && reader.attribute(at, name) == Ok(Some(pool))
    }

    /// What the frames of all tasks lead to, at most [`MAX_STEPS`] away; `None` if that is too much.
    fn ways(&self, pool: Address, is_item: &dyn Fn(Address) -> bool) -> Option<Ways> {
        let mut ways = Ways::default();
        let mut ends: FxHashSet<Address> = self.reading.loops.iter().map(|it| it.at).collect();
        ends.insert(pool);
        let mut next = VecDeque::new();
        let mut seen = FxHashSet::default();
        for (task, chain) in self.reading.tasks.iter().zip(self.chains) {
            for value in chain.iter().flat_map(|frame| self.values_of(frame)) {
                let tasks = ways.tasks.entry(value).or_default();
                if tasks.last() != Some(&task.at) {
                    tasks.push(task.at);
                }
                if seen.insert(value) {
                    next.push_back((value, 0));
                }
            }
            if seen.len() > MAX_OBJECTS {
                return None;
            }
        }
        while let Some((at, steps)) = next.pop_front() {
            if ends.contains(&at) {
                continue;
            }
            if is_item(at) {
                ways.items.push(at);
                continue;
            }
            if steps == MAX_STEPS {
                continue;
            }
            if seen.len() > MAX_OBJECTS {
                return None;
            }
            for part in self.parts_of(at) {
                ways.back.entry(part).or_default().push(at);
                if seen.insert(part) {
                    next.push_back((part, steps + 1));
                }
            }
        }
        Some(ways)
    }

    /// The objects that a frame has: in its variables, on its stack, and in the blocks it is in.
    fn values_of(&self, frame: &RawFrame) -> Vec<Address> {
        let reader = &self.reader;
        let locals = reader.locals(frame).unwrap_or_default().into_iter().map(|(_, value)| value);
        let mut values: Vec<Address> = locals.collect();
        values.extend(reader.references_of_frame(frame).unwrap_or_default());
        values.extend(reader.entered(frame).unwrap_or_default().iter().map(|it| it.manager));
        values.retain(|value| self.may_lead(*value));
        values.sort_unstable();
        values.dedup();
        values
    }

    fn may_lead(&self, at: Address) -> bool {
        match self.reader.kind_of(at) {
            Ok(Kind::Other) => self.reader.class_of(at).is_ok_and(|class| class.is_python()),
            Ok(
                Kind::Method
                | Kind::Cell
                | Kind::List
                | Kind::Tuple
                | Kind::Set
                | Kind::Deque
                | Kind::Dict
                | Kind::Generator
                | Kind::AsyncGenerator
                | Kind::Coroutine,
            ) => true,
            _ => false,
        }
    }

    /// What an object refers to, as far as that may lead on.
    fn parts_of(&self, at: Address) -> Vec<Address> {
        let reader = &self.reader;
        let small = &reader.layout.small;
        let field = |offset| reader.pointer(at.offset(offset)).ok().flatten();
        let is_short = || reader.len_of(at).is_some_and(|len| len <= MAX_PARTS);
        let mut parts: Vec<Address> = match reader.kind_of(at) {
            Ok(Kind::Method) => field(small.method_self).into_iter().collect(),
            Ok(Kind::Cell) => field(small.cell_ref).into_iter().collect(),
            Ok(Kind::List | Kind::Tuple | Kind::Set | Kind::Deque) if is_short() => {
                reader.items_of(at).unwrap_or_default()
            }
            Ok(Kind::Dict) if is_short() => {
                let items = reader.dict(at, MAX_PARTS).unwrap_or_default();
                items.into_iter().map(|(_, value)| value).collect()
            }
            Ok(Kind::Generator | Kind::AsyncGenerator | Kind::Coroutine) => {
                let frame = reader.generator(at).ok().filter(|it| {
                    matches!(it.progress, Progress::Suspended | Progress::Awaiting(_))
                });
                return frame.and_then(|it| it.frame).map_or(Vec::new(), |it| self.values_of(&it));
            }
            Ok(Kind::Other) => self.attributes_of(at),
            _ => Vec::new(),
        };
        parts.retain(|part| self.may_lead(*part));
        parts
    }

    fn attributes_of(&self, owner: Address) -> Vec<Address> {
        let reader = &self.reader;
        let Ok(class) = reader.class_of(owner) else { return Vec::new() };
        let slots = reader.slots(&class).values();
        let in_slots = slots.filter_map(|offset| reader.pointer(owner.offset(*offset)).ok()?);
        let attributes = reader.attributes(owner, MAX_PARTS).unwrap_or_default();
        in_slots.chain(attributes.into_iter().map(|(_, value)| value)).collect()
    }
}

/// What leads to what.
#[derive(Debug, Default)]
struct Ways {
    /// What those have who have a connection.
    items: Vec<Address>,
    /// The tasks whose frames have an object.
    tasks: FxHashMap<Address, Vec<Address>>,
    /// The objects that refer to one.
    back: FxHashMap<Address, Vec<Address>>,
}

/// Who is found to have a connection.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    One(Address),
    Several,
    Nobody,
}

impl Ways {
    /// The task that has the connection of an item, where that is one.
    fn holder(&self, item: Address) -> Found {
        let mut found: FxHashMap<Address, usize> = FxHashMap::default();
        let mut seen = FxHashSet::from_iter([item]);
        let mut next = VecDeque::from([(item, 0)]);
        while let Some((at, steps)) = next.pop_front() {
            for task in self.tasks.get(&at).into_iter().flatten() {
                found.entry(*task).or_insert(steps);
            }
            if steps < MAX_STEPS {
                let before = self.back.get(&at).into_iter().flatten();
                let new = before.copied().filter(|at| seen.insert(*at));
                next.extend(new.map(|at| (at, steps + 1)));
            }
        }
        let nearest = found.values().copied().min();
        let mut near = found.iter().filter(|(_, steps)| Some(**steps) == nearest);
        match (near.next(), near.next()) {
            (None, _) => Found::Nobody,
            (Some((task, steps)), None) if found.len() == 1 || *steps <= NEAR => Found::One(*task),
            _ => Found::Several,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: Address = Address(1);

    /// Tasks with what is in their frames, and what refers to what.
    fn ways(tasks: &[(u64, u64)], refers: &[(u64, u64)]) -> Ways {
        let mut ways = Ways::default();
        for &(task, value) in tasks {
            ways.tasks.entry(Address(value)).or_default().push(Address(task));
        }
        for &(from, to) in refers {
            ways.back.entry(Address(to)).or_default().push(Address(from));
        }
        ways
    }

    #[test]
    fn the_only_task_that_leads_to_a_connection_has_it() {
        let far: Vec<(u64, u64)> = (2..10).map(|at| (at, at - 1)).collect();
        assert_eq!(ways(&[(100, 9)], &far).holder(ITEM), Found::One(Address(100)));
        let farther: Vec<(u64, u64)> = (2..11).map(|at| (at, at - 1)).collect();
        assert_eq!(ways(&[(100, 10)], &farther).holder(ITEM), Found::Nobody);
        // Round in a circle.
        let circle = [(2, 1), (3, 2), (2, 3)];
        assert_eq!(ways(&[], &circle).holder(ITEM), Found::Nobody);
        assert_eq!(ways(&[(100, 3)], &circle).holder(ITEM), Found::One(Address(100)));
    }

    #[test]
    fn of_several_only_the_one_whose_library_works_with_it() {
        let refers = [(2, 1), (3, 2), (4, 3), (5, 4), (6, 5)];
        let near = ways(&[(100, 2), (101, 6)], &refers);
        assert_eq!(near.holder(ITEM), Found::One(Address(100)));
        let far = ways(&[(100, 5), (101, 6)], &refers);
        assert_eq!(far.holder(ITEM), Found::Several, "who knows what objects stand between");
        let both = ways(&[(100, 2), (101, 2)], &refers);
        assert_eq!(both.holder(ITEM), Found::Several);
    }
}
