//! What a task does or waits for, in a word and a few: the same for all tasks that are alike.

use aiospy::explain::blocking::{Evidence, blocking};
use aiospy::snapshot::{
    BlockingKind, Loop, LoopState, Operation, Phase, Snapshot, Task, TaskState, Thread,
    ThreadState, WaitKind, Waiting,
};

use super::tree::NodeKind;

/// What a task does or waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What kind of thing that is.
    pub kind: NodeKind,
    /// In a word.
    pub word: &'static str,
    /// Which one: the other end of a socket, the name of a lock.
    pub detail: Option<String>,
}

impl State {
    fn new(kind: NodeKind, word: &'static str, detail: Option<String>) -> Self {
        Self { kind, word, detail }
    }

    /// Both: `socket 10.0.0.5:5432`.
    pub fn text(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{} {detail}", self.word),
            None => self.word.to_owned(),
        }
    }
}

/// Of a task; `None` for one that has ended.
pub fn of(task: &Task, snapshot: &Snapshot) -> Option<State> {
    match task.state {
        Some(state) if state.is_finished() => None,
        Some(TaskState::Running) => {
            let event_loop = snapshot.loops.iter().find(|known| Some(known.id) == task.loop_id);
            Some(of_running(event_loop, event_loop.and_then(|known| snapshot.thread_of(known))))
        }
        Some(TaskState::Ready) => Some(State::new(NodeKind::Ready, "ready", None)),
        _ => Some(match task.waiting_on.as_deref() {
            Some(waiting) => of_waiting(waiting),
            None => State::new(NodeKind::Other, "unknown", None),
        }),
    }
}

/// Whether a task was cancelled and is still there.
pub fn is_cancelled(task: &Task) -> bool {
    task.requests().is_some_and(|count| count > 0) || task.is_on_its_way_out()
}

/// Whether a loop waits, as its state or its iteration says.
pub fn is_polling(event_loop: &Loop) -> bool {
    match event_loop.state {
        Some(state) => state == LoopState::Polling,
        None => event_loop.iteration.as_ref().is_some_and(|turn| turn.phase == Phase::Select),
    }
}

/// Of what runs on a loop: whether it is on a processor, or which call holds its thread.
pub fn of_running(event_loop: Option<&Loop>, thread: Option<&Thread>) -> State {
    let running = || State::new(NodeKind::Running, "running", None);
    let blocking_kind = event_loop.and_then(|known| known.blocking.as_ref()).map(|it| it.kind);
    match blocking_kind {
        Some(BlockingKind::Starved) => {
            return State::new(NodeKind::Blocking, "waiting for a processor", None);
        }
        Some(BlockingKind::Gc) => {
            return State::new(NodeKind::Blocking, "garbage collection", None);
        }
        _ => {}
    }
    let is_on_processor =
        |thread: &Thread| matches!(thread.state, None | Some(ThreadState::Running));
    let Some(thread) = thread.filter(|thread| !is_on_processor(thread)) else { return running() };
    let told = event_loop.and_then(|known| known.blocking.clone());
    let told = told.unwrap_or_else(|| blocking(thread, Evidence::default()));
    match (told.kind, told.description) {
        // A lock or the GIL: nothing that can be told from being kept from the processor.
        (BlockingKind::Cpu | BlockingKind::Unknown, _) => running(),
        (_, description) => State::new(NodeKind::Blocking, "blocking", Some(description)),
    }
}

fn of_waiting(waiting: &Waiting) -> State {
    let name = waiting.name.clone();
    let (kind, word, detail) = match waiting.kind() {
        WaitKind::Timer => (NodeKind::Timer, "timer", None),
        WaitKind::Socket => (NodeKind::Socket, "socket", other_end(waiting)),
        WaitKind::Task => (NodeKind::Awaiting, "task", None),
        WaitKind::Gather => (NodeKind::Awaiting, "gather", None),
        WaitKind::TaskGroup => (NodeKind::Awaiting, "task group", None),
        WaitKind::Future => (NodeKind::Other, "future", name),
        WaitKind::Lock => (NodeKind::Lock, "lock", name),
        WaitKind::Semaphore => (NodeKind::Lock, "semaphore", name),
        WaitKind::Condition => (NodeKind::Lock, "condition", name),
        WaitKind::Event => (NodeKind::Other, "event", name),
        WaitKind::Queue => (NodeKind::Queue, "queue", name),
        WaitKind::Pool => (NodeKind::Lock, "connection", waiting.pool().map(ToString::to_string)),
        WaitKind::Barrier => (NodeKind::Lock, "barrier", name),
        WaitKind::Executor => {
            (NodeKind::Executor, "executor", waiting.function().map(str::to_owned))
        }
        WaitKind::Subprocess => (NodeKind::Executor, "subprocess", None),
        WaitKind::Thread => (NodeKind::Executor, "thread", None),
        WaitKind::Asyncgen => (NodeKind::Other, "closing of generators", None),
        WaitKind::Ready => (NodeKind::Ready, "ready", None),
        WaitKind::Running => (NodeKind::Running, "running", None),
        WaitKind::Unknown => (NodeKind::Other, "unknown", None),
    };
    State::new(kind, word, detail)
}

/// The other end of a socket, without the port of this one: that is another for each connection.
fn other_end(waiting: &Waiting) -> Option<String> {
    let Some(socket) = waiting.socket() else { return waiting.peer().map(str::to_owned) };
    match (socket.far_end(), &socket.local) {
        (Some(end), _) => Some(end.to_owned()),
        (None, Some(local)) if waiting.operation() == Some(Operation::Accept) => {
            Some(format!("accept on {local}"))
        }
        (None, Some(local)) => Some(format!("{} {local}", socket.protocol)),
        (None, None) => Some(socket.protocol.to_owned()),
    }
}
