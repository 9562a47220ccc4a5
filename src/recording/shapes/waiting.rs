//! A wait, with the facts of all kinds in one record.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use crate::memory::Address;
use crate::recording::wire::{Get, Put, Read, Wire, record};
use crate::snapshot::{
    Acquire, Children, Count, Deadline, Descriptor, Holders, Operation, Others, Position, Program,
    Socket, Wait, WaitKind, Waiting,
};

/// What a wait of any kind may tell, in the order of the format.
#[derive(Default)]
struct Facts {
    kind: WaitKind,
    object: Option<Address>,
    class: Option<Arc<str>>,
    name: Option<String>,
    operation: Option<Operation>,
    since: Option<Duration>,
    due_in: Option<SignedDuration>,
    fd: Option<i32>,
    peer: Option<String>,
    socket: Option<Box<Socket>>,
    holders: Holders,
    tasks: Vec<Address>,
    thread: Option<i32>,
    value: Option<i64>,
    limit: Option<i64>,
    waiters: Option<u64>,
    position: Option<u64>,
    children: Option<Children>,
    function: Option<String>,
    pid: Option<i32>,
    deadlines: Vec<Deadline>,
    callbacks: Vec<String>,
    foreign_loop: Option<Address>,
    is_served: Option<bool>,
    pool: Option<Arc<str>>,
    held: Option<u64>,
    lost: Option<u64>,
    unseen: Option<u64>,
}

record!(Facts {
    kind,
    object,
    class,
    name,
    operation,
    since as Since,
    due_in as Due,
    fd,
    peer,
    socket,
    holders,
    tasks,
    thread,
    value,
    limit,
    waiters,
    position,
    children,
    function,
    pid,
    deadlines,
    callbacks,
    foreign_loop,
    is_served,
    pool,
    held,
    lost,
    unseen
});

impl Wire for Waiting {
    fn put(&self, to: &mut Put<'_>) {
        Facts::from(self).put(to);
    }

    fn get(from: &mut Get<'_>) -> Read<Self> {
        // The words for it follow from the rest.
        Ok(Self::from(Facts::get(from)?).in_words())
    }
}

impl From<&Waiting> for Facts {
    fn from(waiting: &Waiting) -> Self {
        let Count { value, limit } = waiting.count();
        let Position { at: position, of: waiters } = waiting.position();
        let descriptor = waiting.descriptor();
        let [held, lost, unseen] =
            waiting.held_lost_unseen().map(|count| (count > 0).then_some(count));
        Self {
            kind: waiting.kind(),
            object: waiting.object,
            class: waiting.class.clone(),
            name: waiting.name.clone(),
            operation: waiting.operation(),
            since: waiting.since,
            due_in: waiting.due_in,
            fd: descriptor.and_then(|it| it.fd),
            peer: descriptor.and_then(|it| it.peer.clone()),
            socket: descriptor.and_then(|it| it.socket.clone()),
            holders: waiting.acquire().map(|it| it.holders.clone()).unwrap_or_default(),
            tasks: waiting.tasks().to_vec(),
            thread: waiting.thread(),
            value,
            limit,
            waiters,
            position,
            children: waiting.children().copied(),
            function: waiting.function().map(str::to_owned),
            pid: waiting.program().and_then(|program| program.pid),
            deadlines: waiting.deadlines.clone(),
            callbacks: waiting.callbacks().to_vec(),
            foreign_loop: waiting.foreign_loop,
            is_served: waiting.is_served(),
            pool: waiting.pool().or(waiting.stands_for()).cloned(),
            held,
            lost,
            unseen,
        }
    }
}

impl From<Facts> for Waiting {
    fn from(facts: Facts) -> Self {
        let operation = facts.operation;
        let count = Count { value: facts.value, limit: facts.limit };
        let position = Position { at: facts.position, of: facts.waiters };
        let acquire = Acquire { holders: facts.holders, position, ..Acquire::default() };
        let program = Program { pid: facts.pid, name: facts.function };
        let others = Others { tasks: facts.tasks, children: facts.children };
        let wait = match facts.kind {
            WaitKind::Timer => Wait::Timer,
            WaitKind::Socket => Wait::Socket(Descriptor {
                operation,
                fd: facts.fd,
                peer: facts.peer,
                socket: facts.socket,
                program,
            }),
            WaitKind::Task => Wait::Task { operation, others },
            WaitKind::Gather => Wait::Gather(others),
            WaitKind::TaskGroup => Wait::TaskGroup(others),
            WaitKind::Future => {
                let (callbacks, is_served) = (facts.callbacks, facts.is_served);
                Wait::Future { stands_for: facts.pool, callbacks, is_served }
            }
            WaitKind::Lock => Wait::Lock(acquire),
            WaitKind::Semaphore => Wait::Semaphore { acquire, permits: count },
            WaitKind::Condition => Wait::Condition(position),
            WaitKind::Event => Wait::Event(position),
            WaitKind::Queue => Wait::Queue { operation, items: count, position },
            WaitKind::Pool => Wait::Pool {
                pool: facts.pool,
                acquire,
                out: count,
                held: facts.held.unwrap_or(0),
                lost: facts.lost.unwrap_or(0),
                unseen: facts.unseen.unwrap_or(0),
            },
            WaitKind::Barrier => Wait::Barrier(count),
            WaitKind::Executor => {
                Wait::Executor { function: program.name, thread: facts.thread, position }
            }
            WaitKind::Subprocess => Wait::Subprocess(program),
            WaitKind::Thread => Wait::Thread { thread: facts.thread, tasks: others.tasks },
            WaitKind::Asyncgen => Wait::Asyncgen,
            WaitKind::Ready => Wait::Ready(position),
            WaitKind::Running => Wait::Running,
            WaitKind::Unknown => Wait::Unknown,
        };
        Self {
            wait,
            description: String::new(),
            object: facts.object,
            class: facts.class,
            name: facts.name,
            since: facts.since,
            due_in: facts.due_in,
            deadlines: facts.deadlines,
            foreign_loop: facts.foreign_loop,
        }
    }
}
