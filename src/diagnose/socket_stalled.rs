//! `socket-stalled`: bytes lie where nobody takes them, and a task waits for that.
//!
//! They have arrived, and the loop does not watch the connection: reading was paused and never
//! resumed, or the loop has lost the descriptor. Or the other end takes nothing of what is to be
//! sent. Reading is paused for a moment all the time, by whoever has enough to do, so that both looks
//! have to find it; a client that stops to read what it is sent does so for its own reasons, and makes
//! no more than a note.

use std::time::Duration;

use super::connection::{self, At, Limit};
use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Follows, Is, Rule};
use super::words::WAIT;
use super::{Context, STUCK_AFTER, grouped, words};
use crate::snapshot::{
    Age, Cause, Code, Operation, Pending, Role, Sentence, Severity, Snapshot, Source, Sureness,
    Task,
};
use crate::timeline::Stillness;

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::SocketStalled,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[Follows::Loop],
    confirmed_by: Confirmed::Nothing,
    is: &[Is::Cause],
};

/// What lies there for less is on its way.
const LEAST: Duration = Duration::from_secs(1);
/// One who reads slowly opens its window when a part of its buffer is free, which may have some
/// megabytes: with 10 KB/s that takes most of a minute.
const SLOW: Duration = Duration::from_secs(60);

/// Bytes that lie where nobody takes them.
struct Stalled<'s> {
    at: At<'s>,
    bytes: u64,
    /// For how long, as far as that is known.
    time: Option<Duration>,
}

fn find(context: &Context<'_>, out: &mut Drafts) {
    let unread = connection::waiting(context, Operation::Read).filter_map(|at| {
        let is_unread = is_unread(at) && watches_by_epoll(context, at.task);
        is_unread.then(|| Stalled {
            at,
            bytes: unread_bytes(at),
            time: at.tcp().and_then(|tcp| tcp.last_received),
        })
    });
    let untaken = connection::waiting(context, Operation::Write).filter_map(|at| {
        let tcp = at.tcp().filter(|tcp| tcp.is_window_closed)?;
        let bytes = tcp.unsent.filter(|unsent| *unsent > 0)?;
        Some(Stalled { at, bytes, time: tcp.last_sent })
    });
    for (side, found) in [(Side::Unread, unread.collect()), (Side::Untaken, untaken.collect())] {
        let found: Vec<Stalled<'_>> = found;
        if found.is_empty() {
            continue;
        }
        if context.gap.is_none() {
            out.want_second_look();
            continue;
        }
        let stays = found.into_iter().filter(|stalled| has_stayed(context, stalled, side));
        let is_limited = |at: At<'_>| connection::limit(context, at.task) != Limit::Never;
        for group in grouped(stays, |stalled| (stalled.at.peer, is_limited(stalled.at))) {
            out.extend(report(context, side, &group));
        }
    }
}

/// Which bytes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Those that have arrived.
    Unread,
    /// Those that are to be sent.
    Untaken,
}

/// Whether there is something to read that nobody looks for.
fn is_unread(at: At<'_>) -> bool {
    let is_open = matches!(at.socket.state, Some("established" | "closed by peer"));
    is_open && at.socket.receive_queue > Some(0) && at.socket.is_watched == Some(false)
}

/// The end that the other side has sent counts as a byte.
fn unread_bytes(at: At<'_>) -> u64 {
    let end = u64::from(at.socket.state == Some("closed by peer"));
    at.socket.receive_queue.unwrap_or(0).saturating_sub(end)
}

/// Whether the loop of a task was found in the wait of an `epoll`: with another kind of selector
/// nobody knows what it watches.
fn watches_by_epoll(context: &Context<'_>, task: &Task) -> bool {
    let is_in_epoll = |snapshot: &Snapshot| {
        let known = snapshot.loops.iter().find(|known| Some(known.id) == task.loop_id);
        let thread = known.and_then(|known| snapshot.thread_of(known));
        let call = thread.and_then(|thread| thread.syscall.as_ref());
        call.is_some_and(|call| call.name.starts_with("epoll"))
    };
    is_in_epoll(context.now) || context.looks.first.is_some_and(is_in_epoll)
}

/// Whether the task waits as it did at the first look, and the bytes lie where they lay.
fn has_stayed(context: &Context<'_>, stalled: &Stalled<'_>, side: Side) -> bool {
    let before = context.pairs.before(stalled.at.task);
    let before = before.and_then(|task| task.waiting_on.as_deref()?.socket());
    let Some(before) = before.filter(|before| before.local == stalled.at.socket.local) else {
        return false;
    };
    let lay = match side {
        Side::Unread => {
            before.is_watched == Some(false)
                && before.receive_queue > Some(0)
                && before.receive_queue <= stalled.at.socket.receive_queue
        }
        Side::Untaken => before.tcp.as_ref().is_some_and(|tcp| {
            tcp.is_window_closed && tcp.unsent <= stalled.at.tcp().and_then(|tcp| tcp.unsent)
        }),
    };
    lay && context.stillness(stalled.at.task) != Stillness::Moved
}

fn report(context: &Context<'_>, side: Side, group: &[Stalled<'_>]) -> Option<Draft> {
    let longest = group.iter().max_by_key(|stalled| stalled.time)?;
    let At { task, peer, socket, .. } = longest.at;
    // Who a client is nobody has to know.
    let remote = socket.remote.as_deref();
    let tasks = || group.iter().map(|stalled| stalled.at.task);
    let bytes: u64 = group.iter().map(|stalled| stalled.bytes).sum();
    let is_limited = connection::limit(context, task) != Limit::Never;
    // A client may have reasons of its own to take nothing for a while.
    let is_of_client =
        side == Side::Untaken && longest.at.tcp().and_then(|tcp| tcp.opened_here) != Some(true);
    let age = longest.time.map(|time| Age::at_least(time, Source::Connection));
    let age = age.or_else(|| context.age(tasks()));
    let time = age.map(|age| age.time).unwrap_or_default();
    let may_pass = is_limited || is_of_client;
    let (least, long) = match side {
        Side::Unread => (if may_pass { STUCK_AFTER } else { LEAST }, STUCK_AFTER),
        Side::Untaken => (STUCK_AFTER, SLOW),
    };
    if time < least {
        return None;
    }
    let severity = if !may_pass && time >= long { Severity::Warning } else { Severity::Info };
    let count = words::bytes(bytes);
    let [have, had] = if bytes == 1 { ["has", "was"] } else { ["have", "were"] };
    let title = match side {
        Side::Unread if bytes == 0 => Sentence::words("The end of the connection from")
            .and(peer)
            .verb("has been unread", "was unread"),
        Side::Unread => Sentence::words(format!("{count} from"))
            .and(peer)
            .verb(format!("{have} been unread"), format!("{had} unread")),
        Side::Untaken => Sentence::words(format!("{count} to"))
            .and(peer)
            .verb(format!("{have} been unsent"), format!("{had} unsent")),
    };
    let title = title.maybe(age.map(|_| "for".to_owned())).lasting(age);
    let title = title.so_many(words::who(tasks()), WAIT);
    let waits = format!(
        "{} {} {peer}",
        words::who_waits(tasks()),
        if side == Side::Unread { "for what has come from" } else { "to send to" }
    );
    let mut lines = words::lines(tasks(), |task| words::wait_line(task).role(Role::Waiter));
    lines.push(
        match side {
            Side::Unread => {
                "no epoll of the process waits for it to be read: reading is paused, or the loop has \
                 lost the descriptor"
            }
            Side::Untaken => "the window of the other end is closed: its program reads too slowly, or not at all",
        }
        .into(),
    );
    if is_of_client {
        lines.push("the other end has opened the connection: it may read on when it likes".into());
    }
    if is_limited {
        lines.push("there is a time limit around the wait".into());
    }
    let advice = match side {
        Side::Unread => {
            "See who has paused reading (`pause_reading`) and never resumes it: a response that \
             nobody reads to its end, a buffer that is full; or who closes the descriptor of a \
             transport. A connection in such a state must not go back to a pool."
        }
        Side::Untaken => {
            "See why the other end doesn't read, and give `drain()` a time limit, so that one who \
             takes nothing doesn't hold up others."
        }
    };
    let draft = Draft::new(Code::SocketStalled, severity, Sureness::Derived, title)
        .pending((!may_pass).then_some(Pending { what: waits, seen_for: time }))
        .on_loop(task.loop_id)
        .blames(tasks().map(|task| Node::Task(task.id)))
        .at(words::place(task), None)
        .key([remote])
        .cause(remote.map(|remote| Cause::Peer { address: remote.to_owned() }))
        .since(age)
        .role(Role::Waiter, tasks())
        .affects(group.len())
        .evidence(lines)
        .advice(advice);
    Some(draft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::{Builder, Scene, task};
    use crate::snapshot::{Socket, Syscall, Tcp};

    const PEER: &str = "10.0.0.7:51123";

    fn at(operation: Operation, change: impl FnOnce(&mut Socket, &mut Tcp)) -> Builder {
        task(1).reads_socket().descriptor(|descriptor| {
            descriptor.operation = Some(operation);
            let mut tcp = Tcp {
                opened_here: Some(true),
                last_sent: Some(Duration::from_millis(12_420)),
                last_received: Some(Duration::from_millis(12_420)),
                unsent: Some(0),
                ..Tcp::default()
            };
            let mut socket = Socket {
                protocol: "tcp",
                local: Some("10.0.0.1:40000".to_owned()),
                remote: Some(PEER.to_owned()),
                state: Some("established"),
                receive_queue: Some(0),
                send_queue: Some(0),
                tcp: None,
                is_watched: None,
                is_accepted: false,
                client: None,
            };
            change(&mut socket, &mut tcp);
            socket.tcp = Some(tcp);
            descriptor.socket = Some(Box::new(socket));
        })
    }

    fn unread(bytes: u64) -> Builder {
        at(Operation::Read, |socket, _| {
            socket.receive_queue = Some(bytes);
            socket.is_watched = Some(false);
        })
    }

    fn untaken() -> Builder {
        at(Operation::Write, |socket, tcp| {
            (tcp.unsent, tcp.is_window_closed) = (Some(65_536), true);
            socket.send_queue = Some(65_536);
        })
    }

    fn scene(builder: Builder) -> Scene {
        Scene::new().with([builder]).and(|snapshot| {
            let call = Syscall { name: "epoll_wait".to_owned(), fd: Some(4), peer: None };
            snapshot.threads[0].syscall = Some(call);
        })
    }

    #[test]
    fn what_nobody_reads_takes_two_looks() {
        let scene = scene(unread(40));
        let once = scene.once();
        assert!(once.findings.is_empty() && once.wants_second_look);
        let twice = scene.twice();
        assert_eq!(twice.only().severity, Severity::Warning);
        let title = "40 bytes from 10.0.0.7:51123 have been unread for ≥ 12.4 s: 1 task waits";
        assert_eq!(twice.only().title.to_string(), title);
    }

    #[test]
    fn the_end_of_a_connection_may_be_unread_too() {
        let ended = unread(1).descriptor(|descriptor| {
            descriptor.socket.as_mut().unwrap().state = Some("closed by peer");
        });
        let title = scene(ended).twice().only().title.to_string();
        assert!(title.starts_with("The end of the connection from 10.0.0.7:51123 has"), "{title}");
    }

    #[test]
    fn what_was_read_or_is_watched_is_on_its_way() {
        let watched = at(Operation::Read, |socket, _| {
            (socket.receive_queue, socket.is_watched) = (Some(40), Some(true));
        });
        scene(watched).twice().assert_silent();
        let less = scene(unread(40));
        less.after(&scene(unread(80)).before()).assert_silent();
        let moved = unread(80).and(|task| task.fut_waiter = None);
        less.clone().after(&scene(moved).before()).assert_silent();
        // Another kind of selector.
        let polls = less.and(|snapshot| {
            snapshot.threads[0].syscall.as_mut().unwrap().name = "poll".to_owned();
        });
        polls.twice().assert_silent();
    }

    #[test]
    fn for_some_seconds_it_is_a_note() {
        let young = unread(40).descriptor(|descriptor| {
            let tcp = descriptor.socket.as_mut().unwrap().tcp.as_mut().unwrap();
            tcp.last_received = Some(Duration::from_millis(1_700));
        });
        let diagnosis = scene(young.clone()).twice();
        assert_eq!(diagnosis.only().severity, Severity::Info);
        assert!(diagnosis.only().pending.is_some());
        let younger = young.descriptor(|descriptor| {
            let tcp = descriptor.socket.as_mut().unwrap().tcp.as_mut().unwrap();
            tcp.last_received = Some(Duration::from_millis(700));
        });
        scene(younger).twice().assert_silent();
    }

    #[test]
    fn a_peer_that_takes_nothing() {
        let since = |seconds| {
            untaken().descriptor(|descriptor| {
                let tcp = descriptor.socket.as_mut().unwrap().tcp.as_mut().unwrap();
                tcp.last_sent = Some(Duration::from_secs(seconds));
            })
        };
        scene(since(4)).twice().assert_silent();
        assert_eq!(scene(since(59)).twice().only().severity, Severity::Info);
        let twice = scene(since(62)).twice();
        assert_eq!(twice.only().severity, Severity::Warning);
        let title = "64.0 KiB to 10.0.0.7:51123 have been unsent for ≥ 62.0 s: 1 task waits";
        assert_eq!(twice.only().title.to_string(), title);
        let limited = scene(untaken().deadline(30_000)).twice();
        assert_eq!(limited.only().severity, Severity::Info);
    }

    #[test]
    fn a_client_may_take_nothing_and_is_not_named() {
        let client = untaken().descriptor(|descriptor| {
            let socket = descriptor.socket.as_mut().unwrap();
            socket.tcp.as_mut().unwrap().opened_here = Some(false);
            (socket.client, socket.is_accepted) = (socket.remote.take(), true);
        });
        let diagnosis = scene(client).twice();
        let finding = diagnosis.only();
        assert_eq!((finding.severity, finding.key.as_str()), (Severity::Info, "socket-stalled"));
        let title = "64.0 KiB to a client have been unsent for ≥ 12.4 s: 1 task waits";
        assert_eq!(finding.title.to_string(), title);
        assert!(finding.cause.is_none());
    }

    #[test]
    fn a_peer_that_takes_something_is_slow_at_most() {
        let before = untaken().descriptor(|descriptor| {
            descriptor.socket.as_mut().unwrap().tcp.as_mut().unwrap().unsent = Some(90_000);
        });
        scene(untaken()).after(&scene(before).before()).assert_silent();
        let open = untaken().descriptor(|descriptor| {
            descriptor.socket.as_mut().unwrap().tcp.as_mut().unwrap().is_window_closed = false;
        });
        scene(open).twice().assert_silent();
    }
}
