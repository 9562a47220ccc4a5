//! The records of all things a snapshot is made of.
//!
//! Numbers of names and the order of fields belong to the format: they are only ever added to, at
//! the end. What only findings rest on is left out: findings are recorded themselves.

mod waiting;

use super::wire::{Bad, Get, Put, Read, Wire, names, record, several, sums};
use crate::memory::ReadStats;
use crate::snapshot::{
    Age, Blocking, BlockingKind, Bound, Cancellation, Cause, Children, Code, Consistency,
    Container, Deadline, Evidence, Executor, Finding, Interval, Iteration, Job, Limiter, Loop,
    LoopState, Members, Occupation, Operation, Pending, Phase, Phrase, Problem, Process, Role,
    Sentence, Severity, Shutdown, Socket, Source, Stage, Sureness, Swallower, Syscall, Task,
    TaskState, Thread, ThreadState, WaitKind, Work, WorkKind,
};
use crate::timeline::{
    Fate, History, Idle, LoopTiming, Marks, Slow, Spread, Standing, States, Stretch, Stuck, Turn,
};
use crate::watch::monitor::{LoopStatistics, Statistics, TaskCounts, Tracked};

names!(Consistency { Exact = 0, SameStep = 1, BestEffort = 2 });
names!(ThreadState {
    Running = 0,
    Sleeping = 1,
    Uninterruptible = 2,
    Stopped = 3,
    Traced = 4,
    Ended = 5,
    Other = 6,
});
names!(LoopState { Polling = 0, Running = 1, Blocked = 2, Stopped = 3, Closed = 4, Inherited = 5 });
names!(Phase { Select = 0, Ready = 1 });
names!(TaskState { Running = 0, Ready = 1, Pending = 2, Done = 3, Cancelled = 4, Failed = 5 });
names!(WaitKind {
    Timer = 0,
    Socket = 1,
    Task = 2,
    Gather = 3,
    TaskGroup = 4,
    Future = 5,
    Lock = 6,
    Semaphore = 7,
    Condition = 8,
    Event = 9,
    Queue = 10,
    Barrier = 11,
    Executor = 12,
    Subprocess = 13,
    Thread = 14,
    Asyncgen = 15,
    Ready = 16,
    Running = 17,
    Unknown = 18,
    Pool = 19,
});
names!(Operation {
    Acquire = 0,
    Wait = 1,
    WaitFor = 2,
    AsCompleted = 3,
    Shield = 4,
    Get = 5,
    Put = 6,
    Join = 7,
    Read = 8,
    Write = 9,
    Accept = 10,
    Connect = 11,
    Close = 12,
});
names!(Limiter { Default = 0, Own = 1 });
names!(BlockingKind {
    Sleep = 0,
    Socket = 1,
    Lock = 2,
    File = 3,
    Dns = 4,
    Subprocess = 5,
    Cpu = 6,
    FutureResult = 7,
    Unknown = 8,
    Starved = 9,
    Gc = 10,
});
names!(Stage {
    Graceful = 0,
    CancelAll = 1,
    Asyncgens = 2,
    DefaultExecutor = 3,
    InterpreterThreads = 4,
});
names!(Role {
    Culprit = 0,
    Holder = 1,
    Waiter = 2,
    Blocked = 3,
    Runs = 4,
    Member = 5,
    Producer = 6,
    Consumer = 7,
    Suspect = 8,
    Unaccepted = 9,
});
names!(Bound { Exact = 0, AtLeast = 1 });
names!(Source { Timer = 0, Iteration = 1, Samples = 2, Frame = 3, Scheduler = 4, Connection = 5 });
sums!(Cause {
    Lock = 0 { name, class, object },
    Call = 1 { call, class, system_call, thread },
    Except = 2 { clause, is_sure },
    Exception = 3 { class, message },
    Pool = 4 { name, object, size, queued },
    Queue = 5 { name, class, object, items, size },
    Cycle = 6 { length, count },
    Thread = 7 { thread, name },
    Quota = 8 { group, quota, period, throttled, periods },
    Gc = 9 { generation },
    Peer = 10 { address },
    Process = 11 { pid, name },
});
names!(Severity { Info = 0, Warning = 1, Critical = 2 });
names!(Sureness { Guessed = 0, Derived = 1, Read = 2 });
names!(Fate { Requested = 0, CleaningUp = 1, Handled = 2, Swallowed = 3, Finished = 4 });
names!(Idle {
    Sleeping = 0,
    Accepting = 1,
    Consuming = 2,
    Listening = 3,
    Main = 4,
    Awaiting = 5,
});

/// By its name: those are never reused.
impl Wire for Code {
    fn put(&self, to: &mut Put<'_>) {
        to.text(self.as_str());
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        let name = String::get(from)?;
        let code = Self::ALL.iter().find(|code| code.as_str() == name);
        Ok(code.copied().unwrap_or(Code::Other))
    }
}

/// Texts of ours that are known by heart, in the order of the format.
const WORDS: [&str; 17] = [
    "tcp",
    "udp",
    "unix",
    "listening",
    "connecting",
    "accepting",
    "established",
    "connected",
    "closing",
    "closing (closed here)",
    "closed",
    "closed, waiting",
    "closed by peer",
    "except",
    "finally",
    "suppress",
    "of another kind",
];

impl Wire for &'static str {
    fn put(&self, to: &mut Put<'_>) {
        let number = WORDS.iter().position(|word| word == self).unwrap_or(WORDS.len() - 1);
        to.number(number as u64);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        let number = usize::try_from(from.number()?).unwrap_or(usize::MAX);
        WORDS.get(number).copied().ok_or(Bad("an unknown word"))
    }
}

impl Wire for States {
    fn put(&self, to: &mut Put<'_>) {
        to.byte(self.bits());
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        from.byte().map(Self::from_bits)
    }
}

record!(Process {
    pid,
    namespace_pid,
    cmdline,
    exe,
    python,
    implementation,
    free_threaded,
    debug_build,
    started_at,
    parent,
    container,
});
record!(Container { id, runtime, name, pod_uid, hostname });
record!(Thread {
    tid,
    name,
    interpreter,
    state,
    syscall,
    waiting_on,
    cpu_time,
    frames
    | grounds = None, native = None
});
record!(Syscall { name, fd, peer });
record!(Socket {
    protocol,
    local,
    remote,
    state,
    receive_queue,
    send_queue,
    is_accepted
    | tcp = None, is_watched = None, client = None
});
record!(Loop {
    id,
    class,
    thread,
    state,
    iteration,
    lag as Since,
    ready,
    scheduled,
    debug,
    blocking,
    executor,
    nested_in,
    polls_without_waiting,
    iteration_id,
    idle_for as Since,
    ready_handles,
    inherited_from
    | grounds = None, wake_sources = None
});
record!(Iteration { phase, elapsed as Since, callbacks_run, callbacks_total, handle });
record!(Blocking { kind, description, fd, peer, frame, task, thread, loop_id });
record!(Task {
    id,
    name,
    loop_id,
    state,
    class,
    coroutine,
    frames,
    waiting_on,
    fut_waiter,
    awaited_by,
    cancellation,
    swallower,
    grounds as FormerFlag,
    is_torn,
    work,
    call
    | context = None
});
record!(Work {
    kind,
    verb,
    name,
    peer,
    id,
    trace,
    since as Since,
    is_inherited,
    identity
    | path = None, client = None
});
names!(WorkKind { Request = 0, Websocket = 1, Job = 2, Call = 3, Query = 4 });
record!(Cancellation { requested, must_cancel, in_flight, handling, message });
record!(Swallower { location, clause, is_sure });
record!(Children { pending, done, failed, cancelled, return_exceptions, aborting });
record!(Deadline { frame, due_in as Due });
record!(Executor { id, name, workers, max_workers, idle, queued, is_shut_down, limiter, jobs | processes = None, manager = None, owed = Vec::new() });
record!(Job { function, thread, task, elapsed as Since, id, process | number = None });
record!(Shutdown {
    stage,
    by,
    loop_id,
    frame,
    task,
    tasks,
    threads,
    grounds as FormerPairs,
});
record!(Problem { place, wanted, cause });
record!(ReadStats { calls, bytes });
record!(Finding {
    code,
    severity,
    sureness,
    title,
    loop_id,
    tasks,
    evidence,
    advice,
    because_of,
    id,
    cause,
    tasks_left_out,
    key,
    since,
    roles,
    place,
    pending
    | pid = None, also_in = Vec::new(), is_allowed = false, brief = String::new()
});
record!(Pending { what, seen_for });
record!(Sentence { claim, consequence, is_guess });
sums!(Phrase {
    Words = 0 { text },
    Name = 1 { name },
    Verb = 2 { now, over },
    Time = 3 { age },
    TimeOver = 4 { age },
});
record!(Evidence { text, role, task, place, since });
record!(Members { role, count, first });
record!(Age { time, bound, source });
record!(Tracked { number, opened_at, seen_at, finding, was, worst, told_at, missing });
record!(Occupation { handle, task, stack, place, kind, description, peer, label });
record!(Interval { began, ended });
record!(Stretch {
    loop_id,
    thread,
    began_at,
    length,
    uncertainty,
    is_over,
    samples,
    work,
    stacks,
    waited
});
record!(Marks { first_seen, is_born, steps, seen, stays_since });
record!(Turn { fate, at, place, is_earlier });
record!(Slow { at, count, work, age, place, waiting, tasks });
record!(History { task, name, coroutine, requests, turns | suspected = None });
record!(Statistics { at, loops, tasks, samples, missed, cancellations });
record!(LoopStatistics { id, timing });
record!(LoopTiming {
    glances,
    busy,
    iterations,
    callbacks_mean,
    callbacks_max,
    ready,
    poll,
    lag_mean_ms,
    lag_max_ms,
});
record!(Spread { p50_ms, p90_ms, p99_ms, max_ms });
record!(TaskCounts { pending, ready, cancelled, standing });
record!(Standing { idle, stuck, behind });
record!(Stuck { coroutine, function, file, line, kind, waiting_for, count, longest, tasks });

several!(Deadline, Evidence, Job, LoopStatistics, Members, Phrase, Stuck, Turn);
