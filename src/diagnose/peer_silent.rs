//! `peer-silent`: tasks wait for the answer of a far end that has not sent a byte since it was asked.
//!
//! The kernel tells when the last byte went out on a connection and when the last one came in, at
//! the first look. That says nothing of connections that were accepted, whose clients may be as
//! silent as they like; nor of those on which a subscriber waits for news. Where it is not clear from
//! the code that somebody has asked, or where a time limit ends the wait, it makes no more than a
//! note.

use std::time::Duration;

use super::connection::{self, At, Limit};
use super::draft::{Draft, Drafts};
use super::graph::Node;
use super::rule::{About, Blames, Confirmed, Is, Rule};
use super::{Context, STUCK_AFTER, grouped, words};
use crate::known::{Origin, time_limit};
use crate::snapshot::{
    Age, Asking, Cause, Code, Evidence, Finding, Operation, Pending, Role, Sentence, Severity,
    Source, Sureness, Task, Tcp,
};

/// How it is treated beside others.
pub(super) const RULE: Rule = Rule {
    code: Code::PeerSilent,
    find: Some(find),
    about: About::Tasks,
    blames: Blames::All,
    follows: &[],
    confirmed_by: Confirmed::Tasks,
    is: &[Is::Cause],
};

/// Answers that take less are not worth a word.
const LEAST: Duration = Duration::from_secs(1);
/// So often something is sent again over a network that works.
const FEW: u32 = 2;

/// One that waits, and how.
#[derive(Debug, Clone, Copy)]
struct Owed<'s> {
    at: At<'s>,
    tcp: &'s Tcp,
    /// For how long at least nothing came since something was sent.
    time: Duration,
    /// Whether it has asked for what it waits for.
    has_asked: bool,
    /// What ends the wait if the other end doesn't.
    limit: Limit,
}

impl Owed<'_> {
    /// Whether nothing but the other end ends the wait.
    fn is_bare(&self) -> bool {
        self.has_asked && self.limit == Limit::Never
    }
}

fn find(context: &Context<'_>, out: &mut Drafts) {
    let reading = connection::waiting(context, Operation::Read);
    let connecting = connection::waiting(context, Operation::Connect);
    let owed = reading.chain(connecting).filter_map(|at| owed(context, at));
    // Of who cleans up it is said already for what.
    let is_told = |owed: &Owed<'_>| out.blames(Code::CleanupStuck, Node::Task(owed.at.task.id));
    let owed: Vec<Owed<'_>> = owed.filter(|owed| !is_told(owed)).collect();
    for group in grouped(owed, |owed| (owed.at.peer, owed.at.task.loop_id)) {
        let bare: Vec<Owed<'_>> = group.iter().copied().filter(Owed::is_bare).collect();
        if !bare.is_empty() {
            // For a moment any answer takes its time.
            if context.gap.is_none() && bare.iter().all(|owed| owed.time < STUCK_AFTER) {
                out.want_second_look();
            } else {
                out.extend(report(context, &bare));
            }
            continue;
        }
        let long = group.into_iter().filter(|owed| owed.time >= STUCK_AFTER);
        for kind in grouped(long, |owed| owed.has_asked) {
            out.extend(report(context, &kind));
        }
    }
}

/// What the far end owes to a task that waits for it, if that is worth a word.
fn owed<'s>(context: &Context<'s>, at: At<'s>) -> Option<Owed<'s>> {
    let tcp = at.tcp()?;
    // To connect is to ask: for the connection itself, and then for one by TLS.
    let connects = at.waiting.operation() == Some(Operation::Connect);
    let time = tcp.silent().or(tcp.retransmitting.filter(|_| connects));
    let time = time.filter(|time| *time >= LEAST)?;
    let is_open = matches!(at.socket.state, Some("established" | "closing (closed here)"))
        || connects && at.socket.state == Some("connecting");
    // What was sent before the process began was sent by the one that it got the socket from.
    let is_own = context.now.age().is_none_or(|age| time <= age);
    // What lies there unread is no silence.
    if !is_own || !is_open || at.socket.receive_queue != Some(0) || at.socket.is_accepted {
        return None;
    }
    let has_asked = connects || has_asked(context, at.task, tcp)?;
    Some(Owed { at, tcp, time, has_asked, limit: connection::limit(context, at.task) })
}

/// Whether a task that reads has asked for that; `None` where nothing is owed to it.
fn has_asked(context: &Context<'_>, task: &Task, tcp: &Tcp) -> Option<bool> {
    match context.now.grounds.as_ref()?.asking.get(&task.id)? {
        // What came in the same tick as something was sent may be the answer to that, unless
        // nobody has read it.
        Asking::Answer { is_first: false } | Asking::Unclear if tcp.unanswered().is_none() => None,
        Asking::Answer { .. } => Some(tcp.opened_here == Some(true)),
        Asking::Unclear => Some(false),
        Asking::Message => None,
    }
}

fn report(context: &Context<'_>, group: &[Owed<'_>]) -> Option<Draft> {
    let longest = group.iter().max_by_key(|owed| owed.time)?;
    let peer = longest.at.peer;
    let tasks = || group.iter().map(|owed| owed.at.task);
    let (count, noun) = words::who(tasks());
    let is_bare = longest.is_bare();
    let severity =
        if is_bare && longest.time >= STUCK_AFTER { Severity::Warning } else { Severity::Info };
    // On whichever connection.
    let heard = group.iter().filter_map(|owed| owed.tcp.peer_heard).min();
    let answers_others = heard.is_some_and(|heard| heard < longest.time.min(STUCK_AFTER));
    let silent = if answers_others { None } else { heard };
    let age = age(longest.tcp, silent.map_or(longest.time, |silent| silent.min(longest.time)));
    let title = Sentence::name(peer);
    let title = if answers_others {
        let whom = words::count(count, noun);
        title.verb("has left", "left").then(whom).then("without an answer for").lasting(Some(age))
    } else {
        let silent = title.verb("has been silent", "was silent").then("for").lasting(Some(age));
        silent.so_many((count, noun), if longest.has_asked { ANSWER } else { READ })
    };
    let pending = Pending {
        what: format!("{} for an answer of {peer}", words::who_waits(tasks())),
        seen_for: longest.time,
    };
    let mut lines = words::lines(tasks(), |task| words::wait_line(task).role(Role::Waiter));
    lines.extend(fate(group, peer));
    if answers_others && let Some(heard) = heard {
        let ago = words::span(heard);
        lines.push(format!("{peer} sent something on another connection {ago} ago").into());
    }
    if !longest.has_asked {
        lines.push("what was sent last may not have asked for an answer".into());
    }
    match longest.limit {
        // What ends sooner may begin anew, each time that it has ended.
        Limit::In(due) if due >= LEAST => {
            lines.push(format!("a time limit ends the wait in {}", words::span(due)).into());
        }
        Limit::In(_) | Limit::SomeTime => {
            lines.push("there is a time limit around the wait".into());
        }
        Limit::Never if context.now.are_without_limit(tasks()) => {
            let who = if group.len() == 1 { "it has no" } else { "none of them has a" };
            lines.push(format!("{who} time limit: the loop has no timer").into());
        }
        Limit::Never => {}
    }
    let draft = Draft::new(Code::PeerSilent, severity, Sureness::Derived, title)
        .pending(is_bare.then_some(pending))
        .on_loop(longest.at.task.loop_id)
        .blames(tasks().map(|task| Node::Task(task.id)))
        .at(words::place(longest.at.task), None)
        .key([Some(peer)])
        .cause(Some(Cause::Peer { address: peer.to_owned() }))
        .since(Some(age))
        .role(Role::Waiter, tasks())
        .affects(count)
        .evidence(lines)
        .advice(advice(context, group, peer))
        .brief(brief(context, group));
    Some(draft)
}

const ANSWER: [&str; 3] = ["waits for its answer", "wait for its answer", "waited for its answer"];
const READ: [&str; 3] = ["reads from it", "read from it", "read from it"];

/// For how long, as the kernel tells: of what it sends again only that it was no less.
fn age(tcp: &Tcp, time: Duration) -> Age {
    match tcp.retransmitting {
        Some(_) => Age::at_least(time, Source::Connection),
        None => Age::exact(time, Source::Connection),
    }
}

/// Whether what was sent has not even arrived.
fn is_lost(owed: &Owed<'_>) -> bool {
    owed.tcp.retransmits > FEW
}

/// What became of what was sent: whose fault it is.
fn fate(group: &[Owed<'_>], peer: &str) -> Vec<Evidence> {
    let mut lines: Vec<Evidence> = Vec::new();
    let count = |is: &dyn Fn(&Owed<'_>) -> bool| group.iter().filter(|owed| is(owed)).count();
    let of_all = |number: usize| match (number, group.len()) {
        (1, 1) => "what was sent".to_owned(),
        (some, all) if some == all => format!("what was sent on all {all} connections"),
        (some, all) => format!("what was sent on {some} of {all} connections"),
    };
    let has_arrived =
        |owed: &Owed<'_>| owed.at.socket.send_queue == Some(0) && owed.tcp.unsent == Some(0);
    match count(&has_arrived) {
        0 => {}
        some => lines.push(
            format!("{} was acknowledged: {peer} has it, it's not the network", of_all(some))
                .into(),
        ),
    }
    if let (some @ 1.., Some(worst)) =
        (count(&is_lost), group.iter().map(|owed| owed.tcp.retransmits).max())
    {
        lines.push(
            format!(
                "{} was sent again {}{worst} times without an acknowledgement: the network or the \
                 host of {peer} is gone",
                of_all(some),
                if some == 1 { "" } else { "up to " },
            )
            .into(),
        );
    }
    let is_refused = |owed: &Owed<'_>| owed.tcp.is_window_closed && owed.tcp.unsent > Some(0);
    if let some @ 1.. = count(&is_refused) {
        lines.push(format!("{} isn't all sent: {peer} takes no more", of_all(some)).into());
    }
    lines
}

fn advice(context: &Context<'_>, group: &[Owed<'_>], peer: &str) -> String {
    let first = if group.iter().all(is_lost) {
        format!("See whether {peer} can be reached at all")
    } else {
        format!("See what {peer} does, or what it waits for itself")
    };
    let limit = if context.now.process.counts_cancellations() {
        "`asyncio.timeout`"
    } else {
        "`asyncio.wait_for`"
    };
    if group.iter().any(|owed| owed.limit == Limit::Never) {
        format!("{first}; then give the wait a time limit: the client's own, or {limit}.")
    } else {
        format!("{first}.")
    }
}

/// The advice in a few words: where the call or the read gets a time limit.
fn brief(context: &Context<'_>, group: &[Owed<'_>]) -> Option<String> {
    let has_limit = group.iter().any(|owed| owed.limit != Limit::Never);
    if has_limit || group.iter().all(is_lost) {
        return None;
    }
    let mut calls: Vec<(&str, usize)> = Vec::new();
    for package in group.iter().filter_map(|owed| called(owed.at.task)) {
        match calls.iter_mut().find(|(name, _)| *name == package) {
            Some((_, count)) => *count += 1,
            None => calls.push((package, 1)),
        }
    }
    let most = calls.iter().max_by_key(|(_, count)| *count).map(|(name, _)| *name);
    if let Some((package, argument)) = most.and_then(|name| Some((name, time_limit(name)?))) {
        let whole = format!("pass a timeout, such as {argument}, to {package}");
        let fits = whole.chars().count() <= Finding::MAX_BRIEF;
        return Some(if fits { whole } else { format!("pass {argument} to {package}") });
    }
    let what = if most.is_some() { "call" } else { "read" };
    Some(if context.now.process.counts_cancellations() {
        format!("put asyncio.timeout(10) around the {what}")
    } else {
        format!("put asyncio.wait_for(…, 10) around the {what}")
    })
}

/// The package that the program's own code has called.
fn called(task: &Task) -> Option<&str> {
    let own = task.frames.iter().rposition(|frame| !frame.location.is_library())?;
    let called = &task.frames.get(own + 1)?.location;
    called.package().filter(|_| called.origin == Origin::Package)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::diagnose::tests::{Builder, GAP, Scene, frame, task};
    use crate::memory::Address;
    use crate::snapshot::{Frame, Location, LoopState, Socket};

    const PEER: &str = "10.0.0.5:5432";

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A task that reads from a connection of this program on which it sent something so long ago.
    fn asked(number: u64, since: u64) -> Builder {
        task(number).reads_socket().descriptor(|descriptor| {
            descriptor.operation = Some(Operation::Read);
            descriptor.socket = Some(Box::new(Socket {
                protocol: "tcp",
                local: Some(format!("10.0.0.7:{}", 40_000 + number)),
                remote: Some(PEER.to_owned()),
                state: Some("established"),
                receive_queue: Some(0),
                send_queue: Some(0),
                tcp: Some(Tcp {
                    opened_here: Some(true),
                    last_sent: Some(ms(since)),
                    last_received: Some(ms(since + 3_000)),
                    unsent: Some(0),
                    ..Tcp::default()
                }),
                is_watched: None,
                is_accepted: false,
                client: None,
            }));
        })
    }

    fn with(builder: Builder, change: impl FnOnce(&mut Tcp, &mut Socket)) -> Builder {
        builder.descriptor(|descriptor| {
            let socket = descriptor.socket.as_mut().unwrap();
            let mut tcp = socket.tcp.take().unwrap();
            change(&mut tcp, socket);
            socket.tcp = Some(tcp);
        })
    }

    fn scene(tasks: impl IntoIterator<Item = Builder>, asking: Asking) -> Scene {
        Scene::new().with(tasks).and(|snapshot| {
            let asking = snapshot.tasks.iter().map(|task| (task.id, asking)).collect();
            snapshot.grounds.get_or_insert_default().asking = asking;
        })
    }

    fn answer(tasks: impl IntoIterator<Item = Builder>) -> Scene {
        scene(tasks, Asking::Answer { is_first: false })
    }

    #[test]
    fn a_peer_is_found_silent_at_the_first_look() {
        let scene = answer([asked(1, 61_400), asked(2, 62_300)]);
        for diagnosis in [scene.once(), scene.twice()] {
            let finding = diagnosis.only();
            assert_eq!((finding.code, finding.severity), (Code::PeerSilent, Severity::Warning));
            let title = "10.0.0.5:5432 has been silent for 62.3 s: 2 tasks wait for its answer";
            assert_eq!(finding.title.to_string(), title);
            assert_eq!(finding.key, "peer-silent/10.0.0.5:5432");
            assert!(finding.facts().iter().any(|fact| fact.ends_with("it's not the network")));
        }
    }

    #[test]
    fn who_connects_has_asked() {
        let connects = |since: Option<u64>, state| {
            let task = with(asked(1, 6_000), |tcp, socket| {
                (tcp.last_sent, tcp.last_received) = (since.map(ms), None);
                socket.state = Some(state);
                (tcp.retransmitting, tcp.retransmits) = match since {
                    Some(_) => (None, 0),
                    None => (Some(ms(7_000)), 3),
                };
            });
            task.descriptor(|descriptor| descriptor.operation = Some(Operation::Connect))
        };
        let found = |builder| {
            let diagnosis = scene([builder], Asking::Unclear).once();
            let finding = diagnosis.only();
            assert_eq!((finding.code, finding.severity), (Code::PeerSilent, Severity::Warning));
            let lost = finding.facts().iter().any(|it| it.contains("sent again 3 times"));
            (finding.title.to_string(), lost)
        };
        // Its first bytes of TLS.
        let title = "10.0.0.5:5432 has been silent for 6.00 s: 1 task waits for its answer";
        assert_eq!(found(connects(Some(6_000), "established")), (title.to_owned(), false));
        // The first packet of all.
        let title = "10.0.0.5:5432 has been silent for ≥ 7.00 s: 1 task waits for its answer";
        assert_eq!(found(connects(None, "connecting")), (title.to_owned(), true));
    }

    #[test]
    fn that_nothing_limits_it_is_said_where_the_loop_has_no_timer() {
        let limit = |timers: Option<u64>, tasks: [Builder; 2]| {
            let scene = answer(tasks).and(|snapshot| snapshot.loops[0].scheduled = timers);
            let facts = scene.once().only().facts();
            facts.into_iter().find(|fact| fact.contains("time limit"))
        };
        let tasks = || [asked(1, 61_400), asked(2, 62_300)];
        let none = Some("none of them has a time limit: the loop has no timer".to_owned());
        assert_eq!(limit(Some(0), tasks()), none);
        // A timer may be a limit that was not recognised; and what was not read may be one.
        assert_eq!(limit(Some(1), tasks()), None);
        assert_eq!(limit(None, tasks()), None);
        let ready = answer(tasks()).and(|snapshot| {
            (snapshot.loops[0].scheduled, snapshot.loops[0].ready) = (Some(0), Some(1));
        });
        assert!(!ready.once().only().facts().iter().any(|fact| fact.contains("time limit")));
        let limited = answer([asked(1, 62_300).deadline(30_000)])
            .and(|snapshot| snapshot.loops[0].scheduled = Some(0));
        assert!(!limited.snapshot.are_without_limit(&limited.snapshot.tasks));
        assert!(!limited.snapshot.are_without_limit([]));
    }

    #[test]
    fn the_advice_in_a_few_words_names_what_was_called() {
        let brief = |package: Option<&str>| {
            let task = asked(1, 62_300).and(|task| {
                task.frames = vec![frame("fetch", 31)];
                let path = |package| format!("/venv/lib/python3.12/site-packages/{package}/it.py");
                task.frames.extend(package.map(|package| Frame {
                    location: Arc::new(Location::by_path(
                        "call".into(),
                        path(package).into(),
                        None,
                    )),
                    ..frame("call", 1)
                }));
            });
            answer([task]).once().only().brief.clone()
        };
        assert_eq!(brief(None), "put asyncio.timeout(10) around the read");
        assert_eq!(brief(Some("httpx")), "pass a timeout, such as timeout=10, to httpx");
        assert_eq!(brief(Some("asyncpg")), "pass timeout=10 to asyncpg");
        assert_eq!(brief(Some("other")), "put asyncio.timeout(10) around the call");
        let limited = answer([asked(1, 62_300).deadline(30_000)]).once();
        assert_eq!(limited.only().brief, "");
    }

    #[test]
    fn it_is_a_note_for_some_seconds_and_nothing_before() {
        answer([asked(1, 900)]).twice().assert_silent();
        let scene = answer([asked(1, 4_900)]);
        assert!(scene.once().findings.is_empty() && scene.once().wants_second_look);
        let diagnosis = scene.twice();
        let note = diagnosis.only();
        assert_eq!(note.severity, Severity::Info);
        assert_eq!(note.pending.as_ref().unwrap().seen_for, ms(4_900));
    }

    #[test]
    fn who_has_not_asked_makes_a_note_and_who_waits_for_news_nothing() {
        let unclear = scene([asked(1, 62_300)], Asking::Unclear).twice();
        assert_eq!(unclear.only().severity, Severity::Info);
        assert!(unclear.only().pending.is_none());
        assert!(unclear.only().title.to_string().ends_with(": 1 task reads from it"));
        scene([asked(1, 62_300)], Asking::Message).twice().assert_silent();
        scene([asked(1, 4_900)], Asking::Unclear).twice().assert_silent();
    }

    #[test]
    fn a_client_may_be_as_silent_as_it_likes() {
        let accepted = with(asked(1, 62_300), |tcp, socket| {
            tcp.opened_here = Some(false);
            (socket.client, socket.is_accepted) = (socket.remote.take(), true);
        });
        answer([accepted]).twice().assert_silent();
        // Nobody knows who opened it: an old kernel.
        let unknown = with(asked(1, 62_300), |tcp, _| tcp.opened_here = None);
        answer([unknown]).twice().assert_no_warning();
    }

    #[test]
    fn what_has_arrived_or_ended_is_no_silence() {
        let unread = with(asked(1, 62_300), |_, socket| socket.receive_queue = Some(5));
        let ended = with(asked(2, 62_300), |_, socket| socket.state = Some("closed by peer"));
        let answered = with(asked(3, 62_300), |tcp, _| tcp.last_received = Some(ms(100)));
        let never_asked = with(asked(4, 62_300), |tcp, _| tcp.last_sent = None);
        answer([unread, ended, answered, never_asked]).twice().assert_silent();
    }

    #[test]
    fn what_came_in_the_same_tick_is_no_answer_if_nobody_has_read_it() {
        let same = || with(asked(1, 62_300), |tcp, _| tcp.last_received = tcp.last_sent);
        answer([same()]).twice().assert_silent();
        let first = scene([same()], Asking::Answer { is_first: true }).twice();
        assert_eq!(first.only().severity, Severity::Warning);
    }

    #[test]
    fn a_time_limit_around_it_leaves_a_note() {
        let own = answer([asked(1, 62_300).deadline(30_000)]).twice();
        assert_eq!(own.only().severity, Severity::Info);
        assert!(own.only().facts().contains(&"a time limit ends the wait in 30.0 s".to_owned()));
        // `wait_for` up to 3.11 awaits another task.
        let awaited = asked(1, 62_300).and(|task| task.awaited_by = vec![Address(2)]);
        let waiter = task(2).awaits(&[1]).deadline(30_000);
        answer([awaited, waiter]).twice().assert_no_warning();
    }

    #[test]
    fn a_peer_that_answers_others_is_not_silent() {
        let left = with(asked(1, 62_300), |tcp, _| tcp.peer_heard = Some(ms(120)));
        let diagnosis = answer([left]).twice();
        let title = "10.0.0.5:5432 has left 1 task without an answer for 62.3 s";
        assert_eq!(diagnosis.only().title.to_string(), title);
        let later = with(asked(1, 62_300), |tcp, _| tcp.peer_heard = Some(ms(61_000)));
        let title = answer([later]).twice().only().title.to_string();
        assert!(title.starts_with("10.0.0.5:5432 has been silent for 61.0 s:"), "{title}");
    }

    #[test]
    fn what_is_sent_again_and_again_blames_the_network() {
        let lost = with(asked(1, 62_300), |tcp, socket| {
            tcp.last_sent = Some(ms(800));
            tcp.retransmits = 6;
            tcp.retransmitting = Some(ms(13_000));
            socket.send_queue = Some(120);
        });
        let diagnosis = answer([lost]).once();
        let finding = diagnosis.only();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.title.to_string().contains("for ≥ 13.0 s"), "{}", finding.title);
        assert!(finding.facts().iter().any(|fact| fact.ends_with("10.0.0.5:5432 is gone")));
        assert!(finding.advice.starts_with("See whether 10.0.0.5:5432 can be reached at all"));
    }

    #[test]
    fn what_the_parent_has_sent_is_not_waited_for() {
        let scene = answer([asked(1, 62_300)]).and(|snapshot| {
            snapshot.process.started_at = Some(snapshot.taken_at - Duration::from_secs(40));
        });
        scene.once().assert_silent();
    }

    #[test]
    fn a_loop_of_the_parent_says_nothing() {
        let inherited = answer([asked(1, 62_300)])
            .and(|snapshot| snapshot.loops[0].state = Some(LoopState::Inherited));
        inherited.twice().assert_silent();
    }

    #[test]
    fn those_behind_the_one_that_waits_follow_from_it() {
        let waiters = (10..20).map(|number| task(number).at_lock(901, &[1]));
        let diagnosis = answer([asked(1, 62_300)]).with(waiters).twice();
        let convoy = diagnosis.of(Code::LockConvoy);
        assert_eq!(diagnosis.cause_of(convoy), Some(Code::PeerSilent));
        assert_eq!(diagnosis.codes()[0], Code::PeerSilent);
        assert!(GAP < STUCK_AFTER);
    }
}
