//! A wait reason in words.

use std::fmt::{self, Arguments, Display, Formatter, Write};
use std::time::Duration;

use super::{Operation, WaitKind, Waiting};

/// A number with its digits in groups: `10,000`.
pub fn with_separators(number: impl Display) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time with the digits that matter, none of which is more than it was: `0.42 ms`, `148 ms`,
/// `4.24 s`, `62.3 s`, `1 min 40 s`, `22 min 4 s`, `1 h 4 min`, `3 d 4 h`.
pub fn duration(time: Duration) -> String {
    let (seconds, micros) = (time.as_secs(), time.as_micros());
    // Three digits: so many behind the point.
    let three = |whole: u128, rest: u128, unit: &str| match whole {
        0..10 => format!("{whole}.{:02} {unit}", rest / 10),
        10..100 => format!("{whole}.{} {unit}", rest / 100),
        _ => format!("{whole} {unit}"),
    };
    match seconds {
        0 if micros < 10 => "< 0.01 ms".to_owned(),
        0 => three(micros / 1000, micros % 1000, "ms"),
        1..100 => three(seconds.into(), time.subsec_millis().into(), "s"),
        100..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

impl Waiting {
    /// Says the reason in words: fills in `description`.
    #[must_use]
    pub fn in_words(mut self) -> Self {
        self.describe();
        self
    }

    /// Fills in `description`, the reason in words.
    pub fn describe(&mut self) {
        self.description = describe(self);
    }
}

/// One line for a person, without the names of tasks: `lock self.pool_lock, 3rd of 40 in line`.
fn describe(waiting: &Waiting) -> String {
    // Longer than most, and cut in the end: one allocation for each of many tasks.
    let mut text = String::with_capacity(96);
    let mut is_named = false;
    let mut named = |what| {
        is_named = true;
        what
    };
    text.push_str(match waiting.kind {
        WaitKind::Timer => named("sleep"),
        WaitKind::Socket => "",
        WaitKind::Task => match waiting.operation {
            Some(Operation::WaitFor) => "wait_for",
            Some(Operation::Wait) => "wait",
            Some(Operation::Shield) => "shield",
            Some(Operation::AsCompleted) => "as_completed",
            _ => "task",
        },
        WaitKind::Gather => "gather",
        WaitKind::TaskGroup => named("task group"),
        WaitKind::Future => named("future"),
        WaitKind::Lock => named("lock"),
        WaitKind::Semaphore => named("semaphore"),
        WaitKind::Condition => named("condition"),
        WaitKind::Event => named("event"),
        WaitKind::Queue => named(match waiting.operation {
            Some(Operation::Put) => "room in queue",
            Some(Operation::Join) => "end of queue",
            _ => "queue",
        }),
        WaitKind::Barrier => named("barrier"),
        WaitKind::Executor => "executor",
        WaitKind::Subprocess => "subprocess",
        WaitKind::Thread => "thread",
        WaitKind::Asyncgen => "closing of asynchronous generators",
        WaitKind::Ready => "its turn",
        WaitKind::Running => "running",
        WaitKind::Unknown => "unknown",
    });
    if let Some(name) = waiting.name.as_deref().filter(|_| is_named) {
        text.push(' ');
        text.push_str(name);
    }
    if waiting.kind == WaitKind::Socket {
        text.push_str(&socket(waiting));
    }
    add_parts(waiting, &mut |part| {
        // Writing to a string cannot fail.
        let _ = write!(text, ", {part}");
    });
    text.shrink_to_fit();
    text
}

fn socket(waiting: &Waiting) -> String {
    let verb = match waiting.operation {
        Some(Operation::Write) => "write to",
        Some(Operation::Accept) => "accept on",
        Some(Operation::Connect) => "connect",
        Some(Operation::Close) => "close of",
        _ => "read from",
    };
    match (&waiting.peer, waiting.fd) {
        (Some(peer), Some(fd)) => format!("{verb} {peer} (fd {fd})"),
        (None, Some(fd)) => format!("{verb} fd {fd}"),
        (Some(peer), None) => format!("{verb} {peer}"),
        (None, None) => format!("{verb} socket"),
    }
}

fn add_parts(waiting: &Waiting, add: &mut dyn FnMut(Arguments<'_>)) {
    match (waiting.kind, waiting.value, waiting.limit) {
        (WaitKind::Semaphore, Some(value), Some(limit)) => {
            add(format_args!("{value} of {limit} free"));
        }
        (WaitKind::Semaphore, Some(value), None) => add(format_args!("{value} free")),
        (WaitKind::Queue, Some(value), _) if waiting.operation == Some(Operation::Join) => {
            add(format_args!("{value} unfinished"));
        }
        (WaitKind::Queue, Some(value), Some(limit)) if limit > 0 => {
            add(format_args!("{value} of {limit} items"));
        }
        (WaitKind::Queue, Some(value), _) => add(format_args!("{value} items")),
        (WaitKind::Barrier, Some(value), Some(limit)) => {
            add(format_args!("{value} of {limit} there"));
        }
        _ => {}
    }
    match (waiting.position, waiting.waiters) {
        (Some(position), Some(waiters)) if waiters > 1 => {
            add(format_args!("{} of {waiters} in line", ordinal(position)));
        }
        _ => {}
    }
    if let Some(children) = &waiting.children {
        let all = children.pending + children.done + children.failed + children.cancelled;
        let is_one_task = waiting.kind == WaitKind::Task && all == 1;
        if !is_one_task {
            match waiting.kind {
                WaitKind::TaskGroup => add(format_args!("{} still to end", children.pending)),
                _ => add(format_args!("{} of {all} still to end", children.pending)),
            }
        }
        if children.failed > 0 {
            add(format_args!("{} failed", children.failed));
        }
        if children.aborting == Some(true) {
            add(format_args!("aborting"));
        }
    }
    if let Some(function) = &waiting.function {
        add(format_args!("{function}"));
    }
    if let Some(thread) = waiting.thread {
        add(format_args!("thread {thread}"));
    }
    if let Some(pid) = waiting.pid {
        add(format_args!("process {pid}"));
    }
    add_silence(waiting, add);
    if let Some(due) = waiting.due_in {
        let time = Short(due.unsigned_abs());
        match (due.is_negative(), waiting.kind) {
            (true, _) => add(format_args!("overdue by {time}")),
            (false, WaitKind::Timer) => add(format_args!("{time} to go")),
            (false, _) => add(format_args!("gives up in {time}")),
        }
    }
}

/// For how long nothing has come of what is to be read, where that is not just a moment.
fn add_silence(waiting: &Waiting, add: &mut dyn FnMut(Arguments<'_>)) {
    const LEAST: Duration = Duration::from_secs(1);
    let socket = waiting.socket.as_deref().filter(|_| waiting.operation == Some(Operation::Read));
    let Some((tcp, unread)) = socket.and_then(|it| Some((it.tcp.as_ref()?, it.receive_queue)))
    else {
        return;
    };
    let is_long = |time: &Duration| *time >= LEAST;
    match (tcp.unanswered().filter(is_long), tcp.last_received.filter(is_long)) {
        // It has come, and was not read yet.
        _ if unread > Some(0) => {}
        (Some(time), _) if tcp.retransmitting.is_some() => {
            add(format_args!("sent ≥ {} ago, not acknowledged", duration(time)));
        }
        (Some(time), _) => add(format_args!("last sent {} ago, no byte since", duration(time))),
        (None, Some(time)) => add(format_args!("no byte for {}", duration(time))),
        (None, None) => {}
    }
}

/// `1st`, `2nd`, `3rd`, `4th`.
fn ordinal(number: u64) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

/// A time in two or three digits: `850 ms`, `4.2 s`, `31 s`, `5 min`, `2.5 h`, `12 d`.
struct Short(Duration);

impl Display for Short {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.as_secs_f64() {
            s if s < 0.0995 => write!(f, "{:.1} ms", s * 1e3),
            s if s < 0.9995 => write!(f, "{:.0} ms", s * 1e3),
            s if s < 9.95 => write!(f, "{s:.1} s"),
            s if s < 120.0 => write!(f, "{s:.0} s"),
            s if s < 7200.0 => write!(f, "{:.0} min", s / 60.0),
            s if s < 172_800.0 => write!(f, "{:.1} h", s / 3600.0),
            s => write!(f, "{:.0} d", s / 86400.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    #[test]
    fn times_have_three_digits_and_are_never_longer_than_they_were() {
        for (micros, expected) in [
            (0, "< 0.01 ms"),
            (428, "0.42 ms"),
            (5_909, "5.90 ms"),
            (148_900, "148 ms"),
            (4_249_000, "4.24 s"),
            (62_390_000, "62.3 s"),
            (99_999_999, "99.9 s"),
            (100_000_000, "1 min 40 s"),
            (1_324_000_000, "22 min 4 s"),
            (3_840_000_000, "1 h 4 min"),
            (273_600_000_000, "3 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), expected);
        }
    }

    use super::*;
    use crate::snapshot::{Children, Socket, Tcp};

    #[test]
    fn words() {
        let line = Waiting {
            kind: WaitKind::Lock,
            name: Some("self.pool_lock".to_owned()),
            position: Some(3),
            waiters: Some(40),
            ..Waiting::default()
        };
        assert_eq!(describe(&line), "lock self.pool_lock, 3rd of 40 in line");
        let tcp = |sent, received| {
            let seconds = |number: Option<u64>| number.map(Duration::from_secs);
            let (last_sent, last_received) = (seconds(sent), seconds(received));
            Some(Tcp { last_sent, last_received, ..Tcp::default() })
        };
        let read = |tcp, unread| Waiting {
            kind: WaitKind::Socket,
            operation: Some(Operation::Read),
            fd: Some(7),
            socket: Some(Box::new(Socket {
                protocol: "tcp",
                local: None,
                remote: None,
                state: None,
                receive_queue: Some(unread),
                send_queue: Some(0),
                tcp,
                is_watched: None,
            })),
            ..Waiting::default()
        };
        let asked = read(tcp(Some(31), Some(50)), 0);
        assert_eq!(describe(&asked), "read from fd 7, last sent 31.0 s ago, no byte since");
        let idle = read(tcp(Some(50), Some(31)), 0);
        assert_eq!(describe(&idle), "read from fd 7, no byte for 31.0 s");
        for quiet in [read(tcp(None, None), 0), read(tcp(Some(31), None), 5), read(None, 0)] {
            assert_eq!(describe(&quiet), "read from fd 7");
        }
        let sleep = Waiting {
            kind: WaitKind::Timer,
            due_in: Some(SignedDuration::from_millis(29_300)),
            ..Waiting::default()
        };
        assert_eq!(describe(&sleep), "sleep, 29 s to go");
        let queue = Waiting {
            kind: WaitKind::Queue,
            operation: Some(Operation::Put),
            value: Some(10),
            limit: Some(10),
            ..Waiting::default()
        };
        assert_eq!(describe(&queue), "room in queue, 10 of 10 items");
        let gather = Waiting {
            kind: WaitKind::Gather,
            children: Some(Children { pending: 1, done: 48, failed: 1, ..Children::default() }),
            ..Waiting::default()
        };
        assert_eq!(describe(&gather), "gather, 1 of 50 still to end, 1 failed");
        let accept = Waiting {
            kind: WaitKind::Socket,
            operation: Some(Operation::Accept),
            fd: Some(7),
            peer: Some("tcp listening on 0.0.0.0:80".to_owned()),
            ..Waiting::default()
        };
        assert_eq!(describe(&accept), "accept on tcp listening on 0.0.0.0:80 (fd 7)");
    }

    #[test]
    fn numbers() {
        let all = [1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111].map(ordinal);
        let right =
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st", "111th"];
        assert_eq!(all, right);
        let times = [0.0005, 0.85, 0.9996, 4.2, 31.0, 300.0, 9000.0, 1e6];
        let all = times.map(|seconds| Short(Duration::from_secs_f64(seconds)).to_string());
        assert_eq!(all, ["0.5 ms", "850 ms", "1.0 s", "4.2 s", "31 s", "5 min", "2.5 h", "12 d"]);
    }
}
