//! What tasks expect that read from a connection on which something was sent last by this end: an
//! answer to that, or whatever the other end will have to say some day.
//!
//! The kernel only tells that a byte went out and none came in since. A call that waits for its
//! answer looks like that, and so does a subscriber that has just said what it wants to hear of, or
//! one who sends news and hears nothing in return. What tells them apart is the code on the way to
//! the read: who asks sends first, in the same turn of the same loop, and then reads.

use rustc_hash::FxHashMap;

use crate::known::{is_blocking_command, name, purpose::Purpose};
use crate::memory::Address;
use crate::python::frame::{Passed, RawFrame};
use crate::python::object::Reader;
use crate::snapshot::{Asking, Operation, Task};

/// How much of a command is read.
const MAX_COMMAND: usize = 32;
/// Words of a command that are read.
const MAX_WORDS: usize = 8;

/// What the way to an instruction tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Something was sent on it.
    Sends {
        /// Whether nothing else was awaited since.
        is_last: bool,
    },
    /// It is the turn of a loop in which nothing is sent, and which ends some time.
    Loops,
    /// It is the turn of one that does nothing but take what comes, for good.
    Listens,
    /// It tells nothing.
    Unknown,
}

/// What is expected by each task that reads from a connection on which this end has had the last
/// word.
pub(crate) fn find_askers(
    reader: &Reader<'_>,
    chains: &[&[RawFrame]],
    tasks: &[Task],
) -> FxHashMap<Address, Asking> {
    let mut ways = FxHashMap::default();
    let reading = tasks.iter().zip(chains).filter(|(task, _)| is_owed(task));
    reading.map(|(task, chain)| (task.id, asking(reader, chain, task, &mut ways))).collect()
}

/// Whether a task reads from a connection on which nothing came since something was sent.
fn is_owed(task: &Task) -> bool {
    task.waiting_on.as_deref().is_some_and(|waiting| {
        waiting.operation() == Some(Operation::Read)
            && waiting.tcp().is_some_and(|tcp| tcp.silent().is_some())
    })
}

fn asking(
    reader: &Reader<'_>,
    chain: &[RawFrame],
    task: &Task,
    ways: &mut FxHashMap<(Address, i64), Way>,
) -> Asking {
    let listens = |purpose: Option<Purpose>| purpose == Some(Purpose::Listens);
    let is_of_messages = task.frames.iter().any(|frame| {
        let location = &frame.location;
        name::is_of_websocket(&location.file, &location.function) || listens(location.purpose())
    });
    let purpose = |frame: &RawFrame| reader.code(frame.code).ok()?.place.purpose();
    let is_blocking = |frame: &RawFrame| {
        purpose(frame) == Some(Purpose::Command)
            && command(reader, frame).is_some_and(|words| is_blocking_command(&words))
    };
    if is_of_messages || chain.iter().any(is_blocking) {
        return Asking::Message;
    }
    let mut is_called_by_library = false;
    for frame in chain.iter().rev() {
        // What a library has sent before it called the program went to whom that serves: the news
        // of a request to those who want to hear of it, an answer to a client.
        match reader.code(frame.code).map(|code| code.place.is_library()) {
            Ok(false) => is_called_by_library = true,
            _ if is_called_by_library => continue,
            _ => {}
        }
        let key = (frame.code, frame.lasti);
        match *ways.entry(key).or_insert_with(|| way(reader, frame)) {
            Way::Sends { is_last } => return Asking::Answer { is_first: is_last },
            Way::Loops => return Asking::Unclear,
            Way::Listens => return Asking::Message,
            Way::Unknown => {}
        }
    }
    // A task of a library's own takes what comes, for all who use the connection.
    let is_of_program = task.frames.iter().any(|frame| !frame.location.is_library());
    if is_of_program { Asking::Unclear } else { Asking::Message }
}

fn way(reader: &Reader<'_>, frame: &RawFrame) -> Way {
    let Ok(code) = reader.code(frame.code) else { return Way::Unknown };
    // asyncio's own functions take what is there.
    if code.place.is_asyncio() {
        return Way::Unknown;
    }
    let Ok(behind) = reader.behind(frame) else { return Way::Unknown };
    if let Some(is_last) = sends(&behind.passed) {
        return Way::Sends { is_last };
    }
    if !behind.is_in_loop {
        return Way::Unknown;
    }
    // A library reads in a loop until the answer is complete; of the program's own loops one turn
    // is one message.
    if reader.loops_for_ever(frame).unwrap_or(false) {
        Way::Listens
    } else if code.place.is_library() {
        Way::Unknown
    } else {
        Way::Loops
    }
}

/// Whether something was sent, and if so whether nothing was awaited since but the sending itself.
fn sends(passed: &[Passed]) -> Option<bool> {
    let since = |at: usize| passed.get(at + 1..).unwrap_or_default();
    // `buffer.write(await reader.read(1))` has not written yet.
    let has_sent = |(at, it): (usize, &Passed)| match it {
        Passed::Name(name) => (name::asks(name)
            || name::sends(name) && since(at).contains(&Passed::End))
        .then_some(at),
        Passed::Await | Passed::End => None,
    };
    let at = passed.iter().enumerate().rev().find_map(has_sent)?;
    // `await connection.send(…)`
    let rest = match since(at) {
        [Passed::Await, rest @ ..] => rest,
        all => all,
    };
    Some(!rest.contains(&Passed::Await))
}

/// The words of a command, from the variable `args` of the function that sends it.
fn command(reader: &Reader<'_>, frame: &RawFrame) -> Option<Vec<String>> {
    let words = reader.tuple(reader.local(frame, "args").ok()??).ok()?;
    let words = words.into_iter().take(MAX_WORDS);
    Some(words.filter_map(|word| reader.str(word, MAX_COMMAND).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_awaited_since_something_was_sent() {
        let way = |text: &str| {
            let passed = text.split(' ').map(|word| match word {
                "await" => Passed::Await,
                ";" => Passed::End,
                name => Passed::Name(name.into()),
            });
            sends(&passed.collect::<Vec<_>>())
        };
        assert_eq!(way("write ; drain await ; readline"), Some(true));
        assert_eq!(way("send_command await ; parse_response"), Some(true));
        assert_eq!(way("write ; readline await ; readline"), Some(false));
        assert_eq!(way("send encode await ; recv"), Some(false));
        assert_eq!(way("wait execute_gen"), Some(true));
        assert_eq!(way("open_connection await ; readline"), None);
        assert_eq!(way("BytesIO ; write reader readexactly"), None);
    }
}
