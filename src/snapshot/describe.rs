//! A wait reason in words.

use std::fmt::{Arguments, Display, Write};
use std::time::Duration;

use super::{Count, Descriptor, Operation, Position, Wait, Waiting};

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

/// The same in a column of seven letters: from 100 s on the larger unit alone, `22 min`, `14 h`, `3 d`.
pub fn duration_in_column(time: Duration) -> String {
    match time.as_secs() {
        100.. => duration(time).split(' ').take(2).collect::<Vec<_>>().join(" "),
        _ if time < Duration::from_micros(10) => "0 ms".to_owned(),
        _ => duration(time),
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
    text.push_str(match &waiting.wait {
        Wait::Timer => "sleep",
        Wait::Socket(_) => "",
        Wait::Task { operation, .. } => match operation {
            Some(Operation::WaitFor) => "wait_for",
            Some(Operation::Wait) => "wait",
            Some(Operation::Shield) => "shield",
            Some(Operation::AsCompleted) => "as_completed",
            _ => "task",
        },
        Wait::Gather(_) => "gather",
        Wait::TaskGroup(_) => named("task group"),
        Wait::Future { stands_for: Some(words), .. } => words,
        Wait::Future { .. } => named("future"),
        Wait::Lock(_) => named("lock"),
        Wait::Semaphore { .. } => named("semaphore"),
        Wait::Condition(_) => named("condition"),
        Wait::Event(_) => named("event"),
        Wait::Queue { operation, .. } => named(match operation {
            Some(Operation::Put) => "room in queue",
            Some(Operation::Join) => "end of queue",
            _ => "queue",
        }),
        Wait::Pool { .. } => "connection of ",
        Wait::Barrier(_) => named("barrier"),
        Wait::Executor { .. } => "executor",
        Wait::Subprocess(_) => "subprocess",
        Wait::Thread { .. } => "thread",
        Wait::Asyncgen => "closing of asynchronous generators",
        Wait::Ready(_) => "ready to run",
        Wait::Running => "running",
        Wait::Unknown => "unknown",
    });
    if let Some(name) = waiting.name.as_deref().filter(|_| is_named) {
        text.push(' ');
        text.push_str(name);
    }
    if let Some(slept) = waiting.slept() {
        // Writing to a string cannot fail.
        let _ = write!(text, "({slept})");
    }
    if let Wait::Pool { pool, .. } = &waiting.wait {
        text.push_str(pool.as_deref().unwrap_or("a pool"));
    }
    if let Wait::Socket(descriptor) = &waiting.wait {
        text.push_str(&socket(descriptor));
    }
    add_parts(waiting, &mut |part| {
        // Writing to a string cannot fail.
        let _ = write!(text, ", {part}");
    });
    text.shrink_to_fit();
    text
}

fn socket(descriptor: &Descriptor) -> String {
    let verb = match descriptor.operation {
        Some(Operation::Write) => "write to",
        Some(Operation::Accept) => "accept on",
        Some(Operation::Connect) => "connect",
        Some(Operation::Close) => "close of",
        _ => "read from",
    };
    match (&descriptor.peer, descriptor.fd) {
        (Some(peer), Some(fd)) => format!("{verb} {peer} (fd {fd})"),
        (None, Some(fd)) => format!("{verb} fd {fd}"),
        (Some(peer), None) => format!("{verb} {peer}"),
        (None, None) => format!("{verb} socket"),
    }
}

fn add_parts(waiting: &Waiting, add: &mut dyn FnMut(Arguments<'_>)) {
    let Count { value, limit } = waiting.count();
    match (&waiting.wait, value, limit) {
        (Wait::Semaphore { .. }, Some(value), Some(limit)) => {
            add(format_args!("{value} of {limit} free"));
        }
        (Wait::Semaphore { .. }, Some(value), None) => add(format_args!("{value} free")),
        (Wait::Queue { operation: Some(Operation::Join), .. }, Some(value), _) => {
            add(format_args!("{value} unfinished"));
        }
        (Wait::Queue { .. }, Some(value), Some(limit)) if limit > 0 => {
            add(format_args!("{value} of {limit} items"));
        }
        (Wait::Queue { .. }, Some(value), _) => add(format_args!("{value} items")),
        (Wait::Pool { .. }, Some(value), Some(limit)) => {
            add(format_args!("{value} of {limit} out"));
        }
        (Wait::Barrier(_), Some(value), Some(limit)) => {
            add(format_args!("{value} of {limit} there"));
        }
        _ => {}
    }
    match waiting.position() {
        Position { at: Some(at), of: Some(of) } if of > 1 => match waiting.wait {
            Wait::Ready(_) => add(format_args!("{} of {of}", ordinal(at))),
            _ => add(format_args!("{} of {of} waiting", ordinal(at))),
        },
        _ => {}
    }
    if let Some(children) = waiting.children() {
        let all = children.pending + children.done + children.failed + children.cancelled;
        match waiting.wait {
            Wait::Task { .. } if all == 1 => {}
            Wait::TaskGroup(_) if children.pending == 1 => add(format_args!("1 task left")),
            Wait::TaskGroup(_) => add(format_args!("{} tasks left", children.pending)),
            _ => add(format_args!("{} of {all} done", all - children.pending)),
        }
        if children.failed > 0 {
            add(format_args!("{} failed", children.failed));
        }
        if children.aborting == Some(true) {
            add(format_args!("aborting"));
        }
    }
    if let Some(function) = waiting.function() {
        add(format_args!("{function}"));
    }
    if let Some(thread) = waiting.thread() {
        add(format_args!("thread {thread}"));
    }
    if let Some(pid) = waiting.program().and_then(|program| program.pid) {
        add(format_args!("process {pid}"));
    }
    add_silence(waiting, add);
    if let Some(due) = waiting.due_in {
        let time = duration(due.unsigned_abs());
        match (due.is_negative(), &waiting.wait) {
            (true, _) => add(format_args!("overdue by {time}")),
            (false, Wait::Timer) => add(format_args!("{time} left")),
            (false, _) => add(format_args!("gives up in {time}")),
        }
    }
}

/// For how long nothing has come of what is to be read, where that is not just a moment.
fn add_silence(waiting: &Waiting, add: &mut dyn FnMut(Arguments<'_>)) {
    const LEAST: Duration = Duration::from_secs(1);
    let socket = waiting.socket().filter(|_| waiting.operation() == Some(Operation::Read));
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

    #[test]
    fn in_a_column_a_time_has_seven_letters_at_most() {
        for (micros, expected) in [
            (0, "0 ms"),
            (5_909, "5.90 ms"),
            (99_999_999, "99.9 s"),
            (100_000_000, "1 min"),
            (3_599_000_000, "59 min"),
            (50_400_000_000, "14 h"),
            (273_600_000_000, "3 d"),
        ] {
            let shown = duration_in_column(Duration::from_micros(micros));
            assert!(shown.len() <= 7, "{shown}");
            assert_eq!(shown, expected);
        }
    }

    use super::*;
    use crate::snapshot::{Acquire, Children, Others, Socket, Tcp};

    #[test]
    fn words() {
        let line = Waiting {
            name: Some("self.pool_lock".to_owned()),
            ..Waiting::from(Wait::Lock(Acquire {
                position: Position { at: Some(3), of: Some(40) },
                ..Acquire::default()
            }))
        };
        assert_eq!(describe(&line), "lock self.pool_lock, 3rd of 40 waiting");
        let stands_for = Some("next request of gRPC".into());
        let future = Wait::Future { stands_for, callbacks: Vec::new(), is_served: None };
        assert_eq!(describe(&Waiting::from(future)), "next request of gRPC");
        let tcp = |sent, received| {
            let seconds = |number: Option<u64>| number.map(Duration::from_secs);
            let (last_sent, last_received) = (seconds(sent), seconds(received));
            Some(Tcp { last_sent, last_received, ..Tcp::default() })
        };
        let read = |tcp, unread| {
            Waiting::from(Wait::Socket(Descriptor {
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
                    is_accepted: false,
                    client: None,
                })),
                ..Descriptor::default()
            }))
        };
        let asked = read(tcp(Some(31), Some(50)), 0);
        assert_eq!(describe(&asked), "read from fd 7, last sent 31.0 s ago, no byte since");
        let idle = read(tcp(Some(50), Some(31)), 0);
        assert_eq!(describe(&idle), "read from fd 7, no byte for 31.0 s");
        for quiet in [read(tcp(None, None), 0), read(tcp(Some(31), None), 5), read(None, 0)] {
            assert_eq!(describe(&quiet), "read from fd 7");
        }
        let sleep = Waiting {
            due_in: Some(SignedDuration::from_millis(29_300)),
            ..Waiting::from(Wait::Timer)
        };
        assert_eq!(describe(&sleep), "sleep, 29.3 s left");
        let known = Waiting { since: Some(Duration::from_millis(700)), ..sleep };
        assert_eq!(describe(&known), "sleep(30), 29.3 s left");
        let overdue = Waiting {
            since: Some(Duration::from_millis(700)),
            due_in: Some(SignedDuration::from_millis(-200)),
            ..Waiting::from(Wait::Timer)
        };
        assert_eq!(describe(&overdue), "sleep(0.5), overdue by 200 ms");
        let queue = Wait::Queue {
            operation: Some(Operation::Put),
            items: Count { value: Some(10), limit: Some(10) },
            position: Position::default(),
        };
        assert_eq!(describe(&queue.into()), "room in queue, 10 of 10 items");
        let counts = Children { pending: 1, done: 48, failed: 1, ..Children::default() };
        let gather = Wait::Gather(Others { tasks: Vec::new(), children: Some(counts) });
        assert_eq!(describe(&gather.into()), "gather, 49 of 50 done, 1 failed");
        let accept = Wait::Socket(Descriptor {
            operation: Some(Operation::Accept),
            fd: Some(7),
            peer: Some("tcp listening on 0.0.0.0:80".to_owned()),
            ..Descriptor::default()
        });
        assert_eq!(describe(&accept.into()), "accept on tcp listening on 0.0.0.0:80 (fd 7)");
    }

    #[test]
    fn ordinals() {
        let all = [1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111].map(ordinal);
        let right =
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st", "111th"];
        assert_eq!(all, right);
    }
}
