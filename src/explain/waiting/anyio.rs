//! What tasks wait for at anyio's primitives.
//!
//! Between a task and the future it is parked on stand coroutines of anyio's, and mostly an event
//! that was made for this one wait: the thing is what the outer of them is a method of.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::{Line, Reasons, Step};
use crate::asyncio::{FutureState, Owner, TaskFacts};
use crate::known::purpose::{Anyio, Wait};
use crate::memory::Address;
use crate::python::object::{Kind, MAX_ITEMS};
use crate::snapshot::{self, Acquire, Children, Count, Holders, Operation, Others, Waiting};

impl Reasons<'_> {
    /// From the innermost frames, when they are anyio's.
    pub(super) fn by_anyio(&self, task: &TaskFacts, steps: &[Step<'_>]) -> Option<Waiting> {
        // What is waited on is an event of asyncio's, or in the end of a group `asyncio.wait`.
        let inner = steps.iter().position(|step| {
            !(step.is_asyncio && matches!(step.wait, Some(Wait::Event | Wait::Wait)))
        })?;
        let steps = steps.get(inner..)?;
        let [first, outer @ ..] = steps else { return None };
        let is_around = |step: &&Step<'_>| match (first.anyio, step.anyio) {
            (Some(Anyio::Event), Some(around)) => !matches!(around, Anyio::Event | Anyio::Group),
            (Some(Anyio::Group), Some(around)) => around == Anyio::Group,
            _ => false,
        };
        let step = outer.first().filter(is_around).unwrap_or(first);
        let own = |step: &Step<'_>| self.reader.local(step.frame, "self").ok().flatten();
        if inner > 0
            && !self.is_outside(first.frame)
            && let Some(endpoint) = self.reader.io_of_frame(first.frame)
        {
            return Some(super::at_endpoint(&endpoint));
        }
        let thing = own(step)?;
        let mut waiting = match step.anyio? {
            Anyio::Lock => self.anyio_lock(task, thing),
            Anyio::Semaphore => self.anyio_semaphore(task, thing, steps),
            Anyio::Condition => {
                let wait = snapshot::Wait::Condition(self.anyio_line(thing).position(task));
                Waiting { object: Some(thing), ..wait.into() }
            }
            Anyio::Event => {
                let event = self.reader.attribute(thing, "_event").ok()??;
                let wait = snapshot::Wait::Event(self.line(event, "_waiters").position(task));
                Waiting { object: Some(thing), ..wait.into() }
            }
            Anyio::Receive => self.stream(task, thing, Operation::Get)?,
            Anyio::Send => self.stream(task, thing, Operation::Put)?,
            Anyio::Group => self.anyio_group(thing),
        };
        // The program may know it only by what is around it: a condition, or the adapter of what was
        // made before there was a loop.
        let is_around = |at: &Address| {
            let class = self.reader.class_of(*at);
            class.is_ok_and(|class| {
                let name = class.name.rsplit('.').next().unwrap_or_default();
                name.ends_with("Adapter") || name == "Condition"
            })
        };
        let inside = steps.iter().take_while(|step| !self.is_outside(step.frame));
        let around = inside.filter_map(own).filter(is_around);
        waiting.name = std::iter::once(thing)
            .chain(around)
            .find_map(|at| self.name_outside(steps.iter().map(|step| step.frame), at));
        Some(waiting)
    }

    fn anyio_lock(&self, task: &TaskFacts, lock: Address) -> Waiting {
        let owner = self.reader.anyio_owner(lock);
        self.naming.borrow_mut().insert(lock);
        let wait = snapshot::Wait::Lock(Acquire {
            holders: match owner {
                Owner::Task(owner) => std::iter::once(owner).collect(),
                Owner::Nobody | Owner::Unknown => Holders::default(),
            },
            position: self.anyio_line(lock).position(task),
            is_free: matches!(owner, Owner::Nobody),
            ..Acquire::default()
        });
        Waiting { object: Some(lock), ..wait.into() }
    }

    fn anyio_semaphore(&self, task: &TaskFacts, semaphore: Address, steps: &[Step<'_>]) -> Waiting {
        let permits = Count {
            value: self.reader.number(semaphore, "_value"),
            limit: self.reader.number(semaphore, "_max_value"),
        };
        let line = self.anyio_line(semaphore);
        let acquire = Acquire {
            holders: self.permit_holders(semaphore, permits, &line, steps),
            position: line.position(task),
            ..Acquire::default()
        };
        Waiting { object: Some(semaphore), ..snapshot::Wait::Semaphore { acquire, permits }.into() }
    }

    /// The wait at one end of a stream of objects: for a thing of both ends.
    fn stream(&self, task: &TaskFacts, end: Address, operation: Operation) -> Option<Waiting> {
        let reader = &self.reader;
        let state = reader.attribute(end, "_state").ok()??;
        let [buffer, size] =
            reader.attributes_named(state, ["buffer", "max_buffer_size"]).unwrap_or_default();
        let line = self.anyio_line_of(
            state,
            if operation == Operation::Get { "waiting_receivers" } else { "waiting_senders" },
        );
        // Without a limit it is `math.inf`.
        let size = size.filter(|&at| reader.is_kind(at, Kind::Int));
        let wait = snapshot::Wait::Queue {
            operation: Some(operation),
            items: Count {
                value: buffer.and_then(|at| i64::try_from(reader.len_of(at)?).ok()),
                limit: size.and_then(|at| reader.int(at).ok()),
            },
            position: line.position(task),
        };
        Some(Waiting { object: Some(state), ..wait.into() })
    }

    fn anyio_group(&self, group: Address) -> Waiting {
        let reader = &self.reader;
        let names = ["_tasks", "_exceptions", "cancel_scope"];
        let [tasks, errors, scope] = reader.attributes_named(group, names).unwrap_or_default();
        // Up to 4.1 the tasks are in the scope.
        let of_scope = || scope.and_then(|scope| reader.attribute(scope, "_tasks").ok()?);
        let len = |at: Option<Address>| at.and_then(|at| reader.len_of(at));
        let children = len(tasks.or_else(of_scope)).map(|pending| Children {
            pending,
            failed: len(errors).unwrap_or(0),
            aborting: scope
                .and_then(|scope| reader.number(scope, "_cancel_called"))
                .map(|value| value != 0),
            ..Children::default()
        });
        let wait = snapshot::Wait::TaskGroup(Others { tasks: Vec::new(), children });
        Waiting { object: Some(group), ..wait.into() }
    }

    /// Those that wait at a primitive.
    fn anyio_line(&self, object: Address) -> Rc<Line> {
        self.anyio_line_of(object, "_waiters")
    }

    /// The line at one thing, read once for all that stand in it: futures or events, alone, behind
    /// their tasks, or as keys.
    fn anyio_line_of(&self, object: Address, attribute: &'static str) -> Rc<Line> {
        self.line_by(object, attribute, || {
            let mut positions = FxHashMap::default();
            for future in self.anyio_waiters(object, attribute) {
                // Where it changes meanwhile, one may be met twice.
                let next = positions.len() as u64 + 1;
                positions.entry(future).or_insert(next);
            }
            positions
        })
    }

    /// The futures of those that stand in a line and have neither been told nor cancelled.
    fn anyio_waiters(&self, object: Address, attribute: &str) -> Vec<Address> {
        let reader = &self.reader;
        let waiters = reader.attribute(object, attribute).ok().flatten();
        let waiters = waiters.and_then(|at| match reader.kind_of(at).ok()? {
            Kind::Deque => reader.deque(at, MAX_ITEMS).ok(),
            Kind::Dict => reader.items_of(at).ok(),
            _ => None,
        });
        let futures = waiters.unwrap_or_default().into_iter().filter_map(|waiter| {
            let waiter = match reader.kind_of(waiter).ok()? {
                Kind::Tuple => reader.tuple(waiter).ok()?.get(1).copied()?,
                _ => waiter,
            };
            let future = self.future_of(waiter)?;
            // Who was cancelled, or told, is in the line for a moment longer.
            (reader.future_state(future) == Ok(Some(FutureState::Pending))).then_some(future)
        });
        futures.collect()
    }

    /// The future on which a task waits: itself, or that at an event.
    fn future_of(&self, waiter: Address) -> Option<Address> {
        let reader = &self.reader;
        if reader.kind_of(waiter).ok()?.is_future() {
            return Some(waiter);
        }
        let event = reader.attribute(waiter, "_event").ok()??;
        reader.waiters_of(event, "_waiters").ok()?.first().copied()
    }
}
