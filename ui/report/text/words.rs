//! Facts of a snapshot in words.

use std::time::Duration;

use aiospy::snapshot::{
    Age, BlockingKind, Bound, Cancellation, Cgroup, Consistency, GroupState, Iteration, Loop,
    LoopState, Phase, Quota, Severity, Syscall, Task, TaskState, ThreadState, duration_in_column,
};

pub use aiospy::snapshot::duration;

use crate::io::page::Style;

/// How long something has been so, in a column: `≥12.4 s`.
pub fn age(age: Age) -> String {
    let sign = if age.bound == Bound::AtLeast { "≥" } else { "" };
    format!("{sign}{}", duration_in_column(age.time))
}

/// The style and the sign of tasks that get on so, of whom the worst finding is so bad.
pub fn sign(severity: Option<Severity>, state: GroupState) -> (Style, &'static str) {
    match (severity, state) {
        (Some(Severity::Critical), _) => (Style::Alarm, "!!"),
        (Some(Severity::Warning), _) => (Style::Notice, "!"),
        (_, GroupState::Undecided) => (Style::Notice, "?"),
        _ => (Style::Plain, ""),
    }
}

/// A number with its digits in groups: `10,000`.
pub fn count(number: usize) -> String {
    aiospy::snapshot::with_separators(number)
}

/// From a time to another, with the unit once: `61.4 … 62.3 s`; one of them where they are alike.
pub fn span(least: Duration, most: Duration) -> String {
    let (least, most) = (duration(least), duration(most));
    match (least.split_once(' '), most.split_once(' ')) {
        _ if least == most => most,
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number} … {most}"),
        _ => format!("{least} … {most}"),
    }
}

/// A time in milliseconds in words.
pub fn ms(time: f64) -> String {
    duration(Duration::try_from_secs_f64(time / 1000.0).unwrap_or_default())
}

/// A number of bytes with as many digits as matter: `812 B`, `4.2 kB`, `31 MB`.
pub fn bytes(number: u64) -> String {
    let mut unit = 1_u64;
    for name in ["B", "kB", "MB", "GB"] {
        if number < unit * 1000 || name == "GB" {
            return match number * 10 / unit {
                tenths if tenths < 100 && unit > 1 => {
                    format!("{}.{} {name}", tenths / 10, tenths % 10)
                }
                tenths => format!("{} {name}", tenths / 10),
            };
        }
        unit *= 1000;
    }
    String::new()
}

/// `1 process`, `5 processes`.
pub fn processes(number: usize) -> String {
    format!("{} {}", count(number), if number == 1 { "process" } else { "processes" })
}

/// Who is stopped by a quota in a smaller part of its periods does not feel it.
const FELT_QUOTA: f64 = 0.05;
/// Waits for memory, for disks and for a processor that are felt, in percent of the time.
const FELT: [f64; 3] = [10.0, 30.0, 50.0];

/// What of a control group's limits matters now: `memory 241 of 256 MB`; nothing most of the time.
pub fn limits(cgroup: &Cgroup) -> Vec<String> {
    let mut words = Vec::new();
    let share = |quota: &&Quota| quota.throttled_share().unwrap_or(0.0);
    let quotas = cgroup.quotas.iter().flatten();
    let worst = quotas.max_by(|a, b| share(a).total_cmp(&share(b)));
    let worst = worst.filter(|quota| share(quota) >= FELT_QUOTA);
    if let Some(quota) = worst {
        let percent = share(&quota) * 100.0;
        let cores = format!("{:.3}", quota.cores());
        let cores = cores.trim_end_matches('0').trim_end_matches('.');
        words.push(format!("{cores} cores: stopped in {percent:.0} % of all periods"));
    }
    if let Some(memory) = cgroup.memory {
        if memory.left() <= memory.limit / 10 {
            words.push(format!("memory {} of {}", bytes(memory.used), bytes(memory.limit)));
        }
        if let Some(kills) = memory.oom_kills.filter(|kills| *kills > 0) {
            let kills = usize::try_from(kills).unwrap_or(usize::MAX);
            words.push(format!("{} killed at the memory limit", processes(kills)));
        }
    }
    let pressure = cgroup.pressure;
    let waits = [pressure.memory, pressure.io, pressure.cpu.filter(|_| worst.is_none())];
    let of = ["memory", "disks", "a processor"];
    let felt = waits.into_iter().zip(of).zip(FELT).filter_map(|((stalls, of), felt)| {
        let percent = stalls.map(|it| it.some_percent).filter(|it| *it >= felt)?;
        Some((percent, of))
    });
    let waits: Vec<String> = felt
        .enumerate()
        .map(|(at, (percent, of))| {
            let time = if at == 0 { " of the time" } else { "" };
            format!("{percent:.0} %{time} for {of}")
        })
        .collect();
    if !waits.is_empty() {
        words.push(format!("waits {}", waits.join(", ")));
    }
    if cgroup.frozen == Some(true) {
        words.push("frozen".to_owned());
    }
    words
}

/// `1 task`, `2 tasks`.
pub fn counted(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `1 more follows`, `2 more follow`.
pub fn follow(number: usize) -> String {
    format!("{} more {}", count(number), if number == 1 { "follows" } else { "follow" })
}

/// A task's state with its look.
pub fn task_state(state: Option<TaskState>) -> (Style, &'static str) {
    match state {
        Some(TaskState::Running) => (Style::Active, "running"),
        Some(TaskState::Ready) => (Style::Notice, "ready"),
        Some(TaskState::Pending) => (Style::Dim, "pending"),
        Some(TaskState::Done) => (Style::Dim, "done"),
        Some(TaskState::Cancelled) => (Style::Dim, "cancelled"),
        Some(TaskState::Failed) => (Style::Alarm, "failed"),
        None => (Style::Dim, "state unknown"),
    }
}

/// How many tasks are in which state, those that are in none left out: `3 running`.
pub fn by_state(tasks: &[Task]) -> Vec<(Style, String)> {
    let mut counts = [
        Some(TaskState::Running),
        Some(TaskState::Ready),
        Some(TaskState::Pending),
        Some(TaskState::Failed),
        Some(TaskState::Cancelled),
        Some(TaskState::Done),
        None,
    ]
    .map(|state| (state, 0));
    for task in tasks {
        if let Some((_, number)) = counts.iter_mut().find(|(state, _)| *state == task.state) {
            *number += 1;
        }
    }
    let told = counts.into_iter().filter(|(_, number)| *number > 0).map(|(state, number)| {
        let (style, word) = task_state(state);
        let style = if style == Style::Dim { Style::Plain } else { style };
        (style, format!("{} {word}", count(number)))
    });
    told.collect()
}

/// What is known of a task's cancellation; nothing when there is nothing to say.
pub fn cancellation(task: &Task) -> Vec<String> {
    let mut words = Vec::new();
    let Some(cancellation) = task.cancellation.as_ref() else { return words };
    if let Some(requested) = cancellation.requested.filter(|requested| *requested > 0) {
        words.push(format!("cancel requested ×{requested}"));
    }
    if cancellation.must_cancel {
        words.push("must cancel".to_owned());
    }
    if cancellation.in_flight {
        words.push("cancel in flight".to_owned());
    }
    if let Some(index) = cancellation.handling {
        words.push(match task.frames.get(index) {
            Some(frame) => format!("handling CancelledError in {}", frame.location.function),
            None => "handling CancelledError".to_owned(),
        });
    }
    if is_unheeded(cancellation) && !words.is_empty() {
        match task.state {
            Some(state) if state.is_finished() => {}
            _ => words.push("goes on".to_owned()),
        }
    }
    if let Some(message) = &cancellation.message {
        words.push(format!("message “{message}”"));
    }
    words
}

/// Whether a cancellation was asked for and nothing is under way to bring it about.
pub fn is_unheeded(cancellation: &Cancellation) -> bool {
    cancellation.requested.is_some_and(|requested| requested > 0)
        && !cancellation.must_cancel
        && !cancellation.in_flight
        && cancellation.handling.is_none()
}

/// What a thread does, by the kernel: `sleeping in recvfrom fd 7 tcp a -> b`.
pub fn thread(state: Option<ThreadState>, syscall: Option<&Syscall>) -> Option<String> {
    let state = state.map(|state| match state {
        ThreadState::Running => "on a processor",
        ThreadState::Sleeping => "sleeping",
        ThreadState::Uninterruptible => "in uninterruptible sleep",
        ThreadState::Stopped => "stopped by a signal",
        ThreadState::Traced => "stopped by a tracer",
        ThreadState::Ended => "ended",
        ThreadState::Other => "in a state of its own",
    });
    let call = syscall.map(|call| {
        let fd = call.fd.map(|fd| format!(" fd {fd}")).unwrap_or_default();
        let peer = call.peer.as_ref().map(|peer| format!(" {peer}")).unwrap_or_default();
        format!("in {}{fd}{peer}", call.name)
    });
    match (state, call) {
        (Some(state), Some(call)) => Some(format!("{state} {call}")),
        (Some(state), None) => Some(state.to_owned()),
        (None, call) => call,
    }
}

/// That a thread cannot go on, whatever it was about to do.
pub fn held(state: Option<ThreadState>) -> Option<&'static str> {
    match state? {
        ThreadState::Stopped => Some("STOPPED by a signal (kill -CONT lets it go on)"),
        ThreadState::Traced => Some("STOPPED by a tracer, such as a debugger"),
        ThreadState::Ended => Some("its thread has ended"),
        _ => None,
    }
}

/// What a loop does, and for how long: `polling for 4.2 s`, `BLOCKED for 2.31 s`.
pub fn loop_state(of: &Loop) -> (Style, String) {
    let (style, word) = match (of.state, of.iteration.as_ref().map(|iteration| iteration.phase)) {
        (Some(LoopState::Polling), _) | (None, Some(Phase::Select)) => (Style::Plain, "polling"),
        (Some(LoopState::Running), _) | (None, Some(Phase::Ready)) => (Style::Active, "running"),
        (Some(LoopState::Blocked), _) => (Style::Alarm, "BLOCKED"),
        (Some(LoopState::Stopped), _) => (Style::Notice, "stopped: no thread runs it"),
        (Some(LoopState::Closed), _) => (Style::Dim, "closed"),
        (Some(LoopState::Inherited), _) => return (Style::Dim, inherited(of)),
        (None, None) => (Style::Dim, "state unknown"),
    };
    let elapsed = of.iteration.as_ref().and_then(|iteration| iteration.elapsed);
    match elapsed.filter(|_| of.may_run()) {
        Some(elapsed) => (style, format!("{word} for {}", duration(elapsed))),
        None => (style, word.to_owned()),
    }
}

/// That a loop is the parent's: `inherited from process 4711 by fork: not run here`.
fn inherited(of: &Loop) -> String {
    let from = of.inherited_from.map(|pid| format!(" from process {pid}")).unwrap_or_default();
    format!("inherited{from} by fork: not run here")
}

/// What kind of call keeps a loop's thread, in a word.
pub fn blocking_kind(kind: BlockingKind) -> &'static str {
    match kind {
        BlockingKind::FutureResult => "future result",
        kind => kind.as_str(),
    }
}

/// What the loop runs now: `task worker-3 (3 of 7 callbacks)`.
pub fn handle(iteration: &Iteration) -> Option<String> {
    if iteration.phase == Phase::Select {
        return None;
    }
    let progress = match (iteration.callbacks_run, iteration.callbacks_total) {
        (Some(run), Some(total)) => Some(format!("callback {run} of {total}")),
        _ => None,
    };
    match (&iteration.handle, progress) {
        (Some(handle), Some(progress)) => Some(format!("{handle} ({progress})")),
        (Some(handle), None) => Some(handle.clone()),
        (None, progress) => progress,
    }
}

/// The class without its package, except where the package is the news: `uvloop.Loop`.
pub fn loop_class(class: &str) -> &str {
    if class.starts_with("uvloop.") {
        return "uvloop.Loop";
    }
    class.rsplit_once('.').map_or(class, |(_, name)| name)
}

/// How far the snapshot is of one moment.
pub fn consistency(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::Exact => "exact: no thread ran while it was read",
        Consistency::SameStep => "same step: one callback ran all the while it was read",
        Consistency::BestEffort => "best effort: the target ran on while it was read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(count(number), expected);
        }
        assert_eq!(counted(1, "task"), "1 task");
        assert_eq!(
            [812, 4217, 31_000_000, u64::MAX / 10].map(bytes),
            ["812 B", "4.2 kB", "31 MB", "1844674407 GB"]
        );
    }

    #[test]
    fn classes_are_known_by_their_short_name() {
        assert_eq!(
            loop_class("asyncio.unix_events._UnixSelectorEventLoop"),
            "_UnixSelectorEventLoop"
        );
        assert_eq!(loop_class("uvloop.loop.Loop"), "uvloop.Loop");
        assert_eq!(loop_class("uvloop.Loop"), "uvloop.Loop");
        assert_eq!(loop_class("MyLoop"), "MyLoop");
    }
}
