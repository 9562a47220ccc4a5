//! A wait reason in words.

use std::time::Duration;

use super::{Operation, WaitKind, Waiting};

impl Waiting {
    /// Says the reason in words: fills in `description`.
    #[must_use]
    pub fn in_words(mut self) -> Self {
        self.description = describe(&self);
        self
    }
}

/// One line for a person, without the names of tasks: `lock self.pool_lock, 3rd of 40 in line`.
fn describe(waiting: &Waiting) -> String {
    let name = waiting.name.as_deref();
    let named = |what: &str| match name {
        Some(name) => format!("{what} {name}"),
        None => what.to_owned(),
    };
    let mut text = match waiting.kind {
        WaitKind::Timer => named("sleep"),
        WaitKind::Socket => socket(waiting),
        WaitKind::Task => match waiting.operation {
            Some(Operation::WaitFor) => "wait_for".to_owned(),
            Some(Operation::Wait) => "wait".to_owned(),
            Some(Operation::Shield) => "shield".to_owned(),
            Some(Operation::AsCompleted) => "as_completed".to_owned(),
            _ => "task".to_owned(),
        },
        WaitKind::Gather => "gather".to_owned(),
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
        WaitKind::Executor => "executor".to_owned(),
        WaitKind::Subprocess => "subprocess".to_owned(),
        WaitKind::Thread => "thread".to_owned(),
        WaitKind::Asyncgen => "closing of asynchronous generators".to_owned(),
        WaitKind::Ready => "its turn".to_owned(),
        WaitKind::Running => "running".to_owned(),
        WaitKind::Unknown => "unknown".to_owned(),
    };
    for part in parts(waiting) {
        text.push_str(", ");
        text.push_str(&part);
    }
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

fn parts(waiting: &Waiting) -> Vec<String> {
    let mut parts = Vec::new();
    match (waiting.kind, waiting.value, waiting.limit) {
        (WaitKind::Semaphore, Some(value), Some(limit)) => {
            parts.push(format!("{value} of {limit} free"));
        }
        (WaitKind::Semaphore, Some(value), None) => parts.push(format!("{value} free")),
        (WaitKind::Queue, Some(value), _) if waiting.operation == Some(Operation::Join) => {
            parts.push(format!("{value} unfinished"));
        }
        (WaitKind::Queue, Some(value), Some(limit)) if limit > 0 => {
            parts.push(format!("{value} of {limit} items"));
        }
        (WaitKind::Queue, Some(value), _) => parts.push(format!("{value} items")),
        (WaitKind::Barrier, Some(value), Some(limit)) => {
            parts.push(format!("{value} of {limit} there"));
        }
        _ => {}
    }
    match (waiting.position, waiting.waiters) {
        (Some(position), Some(waiters)) if waiters > 1 => {
            parts.push(format!("{} of {waiters} in line", ordinal(position)));
        }
        _ => {}
    }
    if let Some(children) = &waiting.children {
        let all = children.pending + children.done + children.failed + children.cancelled;
        let is_one_task = waiting.kind == WaitKind::Task && all == 1;
        if !is_one_task {
            parts.push(match waiting.kind {
                WaitKind::TaskGroup => format!("{} still to end", children.pending),
                _ => format!("{} of {all} still to end", children.pending),
            });
        }
        if children.failed > 0 {
            parts.push(format!("{} failed", children.failed));
        }
        if children.aborting == Some(true) {
            parts.push("aborting".to_owned());
        }
    }
    if let Some(function) = &waiting.function {
        parts.push(function.clone());
    }
    if let Some(thread) = waiting.thread {
        parts.push(format!("thread {thread}"));
    }
    if let Some(pid) = waiting.pid {
        parts.push(format!("process {pid}"));
    }
    if let Some(due) = waiting.due_in {
        let time = short(due.unsigned_abs());
        parts.push(match (due.is_negative(), waiting.kind) {
            (true, _) => format!("overdue by {time}"),
            (false, WaitKind::Timer) => format!("{time} to go"),
            (false, _) => format!("gives up in {time}"),
        });
    }
    parts
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
fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 0.0995 => format!("{:.1} ms", s * 1e3),
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.0} d", s / 86400.0),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::snapshot::Children;

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
        let all = times.map(|seconds| short(Duration::from_secs_f64(seconds)));
        assert_eq!(all, ["0.5 ms", "850 ms", "1.0 s", "4.2 s", "31 s", "5 min", "2.5 h", "12 d"]);
    }
}
