//! Which tasks wait inside a `for` loop of the program's own code for the world outside.

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHasher};

use crate::memory::Address;
use crate::python::frame::{ForLoop, RawFrame};
use crate::python::object::{Kind, Reader};
use crate::snapshot::{Looping, Operation, Task, WaitKind};

/// Loops with fewer turns are no long series: one over the attempts of one call stands inside the
/// loop over the calls.
const LEAST: u64 = 10;
/// How much of a text is compared.
const MAX_TEXT: usize = 200;

/// The loops of a frame, innermost first.
type Loops = Rc<[ForLoop]>;

/// The loops at each instruction that was met.
type Known = FxHashMap<(Address, i64), Loops>;

/// Says of the tasks that wait for something outside in which loop they do.
///
/// One that sleeps, or waits for other tasks by a lock or a queue, would gain nothing from doing
/// more at a time, and there may be ten thousand of them.
pub(crate) fn find_loops(reader: &Reader<'_>, chains: &[&[RawFrame]], tasks: &mut [Task]) {
    let mut known = Known::default();
    let mut counts: FxHashMap<(Address, u64), u32> = FxHashMap::default();
    let mut found: Vec<(usize, Vec<(usize, Loops)>)> = Vec::new();
    for (number, (task, chain)) in tasks.iter().zip(chains).enumerate() {
        if !waits_outside(task) {
            continue;
        }
        let mut in_loops = Vec::new();
        // Synchronous code in a greenlet cannot make its calls at the same time.
        let own = chain.iter().enumerate().filter(|(_, frame)| !frame.generator.is_null());
        for (at, frame) in own.rev() {
            let loops = known
                .entry((frame.code, frame.lasti))
                .or_insert_with(|| own_loops(reader, frame).unwrap_or_default());
            if loops.is_empty() {
                continue;
            }
            for one in loops.iter() {
                *counts.entry((frame.code, one.at)).or_default() += 1;
            }
            in_loops.push((at, Rc::clone(loops)));
        }
        if !in_loops.is_empty() {
            found.push((number, in_loops));
        }
    }
    for (number, in_loops) in found {
        if let (Some(task), Some(chain)) = (tasks.get_mut(number), chains.get(number)) {
            let looping = choose(reader, chain, &in_loops, &counts);
            let looping = looping.and_then(|looping| judge(reader, chain, looping, task));
            if let Some(grounds) = &mut task.grounds {
                grounds.looping = looping;
            }
        }
    }
}

/// A loop of one task only, by the variables of its frame; nothing when these have what is waited
/// for.
fn judge(
    reader: &Reader<'_>,
    chain: &[RawFrame],
    looping: Looping,
    task: &Task,
) -> Option<Looping> {
    if looping.is_shared {
        return Some(looping);
    }
    let locals = reader.locals(chain.get(looping.frame)?).unwrap_or_default();
    if locals.iter().any(|&(_, value)| is_begun(reader, value, task)) {
        return None;
    }
    let turn = locals.iter().map(|&(_, value)| identity(reader, value));
    Some(Looping { turn: hash_of(&turn.collect::<Vec<_>>()), ..looping })
}

/// What tells the value of a variable from the one before: what was freed last is given out first,
/// so a number or a text at the same address may be another.
fn identity(reader: &Reader<'_>, value: Address) -> u64 {
    match reader.kind_of(value) {
        Ok(Kind::Int) => hash_of(&reader.int(value).ok()),
        Ok(Kind::Str) => hash_of(&reader.str(value, MAX_TEXT).ok()),
        _ => value.0,
    }
}

fn hash_of(thing: &impl Hash) -> u64 {
    let mut hasher = FxHasher::default();
    thing.hash(&mut hasher);
    hasher.finish()
}

/// Whether a task waits for something that is not of the program itself, as far as can be told.
fn waits_outside(task: &Task) -> bool {
    let Some(waiting) = task.waiting_on.as_deref() else { return false };
    let is_outside = matches!(
        waiting.kind(),
        WaitKind::Socket
            | WaitKind::Executor
            | WaitKind::Subprocess
            | WaitKind::Thread
            | WaitKind::Future
            | WaitKind::Task
    );
    // Who accepts connections, takes results as they come or waits until the other side has taken
    // what was written does not make calls.
    let is_other = matches!(
        waiting.operation(),
        Some(Operation::Accept | Operation::AsCompleted | Operation::Write)
    );
    is_outside && !is_other && !task.is_torn
}

/// Whether the value of a variable is what is waited for: then this may have begun long before,
/// together with others, as in `for task in tasks: await task`.
fn is_begun(reader: &Reader<'_>, value: Address, task: &Task) -> bool {
    let Some(waiting) = task.waiting_on.as_deref() else { return false };
    let kind = reader.kind_of(value);
    kind.is_ok_and(Kind::is_future)
        && (Some(value) == task.fut_waiter
            || Some(value) == waiting.object
            || waiting.tasks().contains(&value)
            // Which future that is without a task only `wait_for` itself knows.
            || waiting.operation() == Some(Operation::WaitFor) && kind == Ok(Kind::Future))
}

/// The loops that a frame of the program's own code is in.
fn own_loops(reader: &Reader<'_>, frame: &RawFrame) -> Option<Loops> {
    if reader.code(frame.code).ok()?.place.is_library() {
        return None;
    }
    Some(reader.for_loops(frame).ok()?.into())
}

/// The innermost loop that is a long one, as far as can be told.
fn choose(
    reader: &Reader<'_>,
    chain: &[RawFrame],
    in_loops: &[(usize, Loops)],
    counts: &FxHashMap<(Address, u64), u32>,
) -> Option<Looping> {
    for (at, loops) in in_loops {
        let frame = chain.get(*at)?;
        let is_shared = |one: &ForLoop| counts.get(&(frame.code, one.at)).is_some_and(|n| *n > 1);
        // Of those that many tasks are in at a time nobody asks how far they are.
        let turns = if loops.iter().any(is_shared) {
            Vec::new()
        } else {
            reader.turns(frame, loops.len()).unwrap_or_default()
        };
        for (one, place) in loops.iter().zip(0..) {
            let turn = turns.get(place).copied().unwrap_or_default();
            // Futures are of calls that have begun already.
            let is_future = |at| reader.kind_of(at).is_ok_and(Kind::is_future);
            if turn.item.is_some_and(is_future) {
                return None;
            }
            let is_short = match (turn.done, turn.left) {
                (Some(done), Some(left)) => done + left + 1 < LEAST,
                (None, Some(left)) => left < LEAST,
                _ => false,
            };
            if !is_short {
                return Some(Looping {
                    frame: *at,
                    line: one.line,
                    site: (frame.code, one.at),
                    done: turn.done,
                    left: turn.left,
                    turn: 0,
                    is_shared: is_shared(one),
                });
            }
        }
    }
    None
}
