//! How a TCP connection got on, as the kernel tells: `struct tcp_info` in the words of a snapshot.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::millis;

/// How a TCP connection got on. Times are counted back from when the kernel was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tcp {
    /// Whether this end has opened it; absent where that cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_here: Option<bool>,
    /// The last byte was sent so long ago; absent when none ever was.
    #[serde(
        rename = "last_sent_ms",
        with = "millis::opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_sent: Option<Duration>,
    /// The last byte arrived so long ago; absent when none ever did.
    #[serde(
        rename = "last_received_ms",
        with = "millis::opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_received: Option<Duration>,
    /// The other end's kernel last gave a sign of life so long ago.
    #[serde(
        rename = "last_acknowledged_ms",
        with = "millis::opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_acknowledged: Option<Duration>,
    /// For so long at least something is sent again and again and not acknowledged.
    #[serde(
        rename = "retransmitting_ms",
        with = "millis::opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub retransmitting: Option<Duration>,
    /// So often the same was sent again.
    #[serde(skip_serializing_if = "is_none")]
    pub retransmits: u32,
    /// Bytes that were written and not even sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsent: Option<u64>,
    /// Whether the other end takes no more.
    #[serde(skip_serializing_if = "is_not")]
    pub is_window_closed: bool,
    /// The last byte from the same far end, on whichever connection of the network namespace,
    /// arrived so long ago; looked for where this one waits for an answer.
    #[serde(
        rename = "peer_heard_ms",
        with = "millis::opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub peer_heard: Option<Duration>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde asks for")]
fn is_none(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde asks for")]
fn is_not(value: &bool) -> bool {
    !*value
}

impl Tcp {
    /// For how long at least what was sent last has been without a byte in return; `None` where
    /// nothing was sent, or something came since.
    ///
    /// The kernel counts in ticks of some milliseconds: of what came and went in the same one nobody
    /// knows which was first, so that it is not said of them.
    pub fn unanswered(&self) -> Option<Duration> {
        let sent = self.last_sent?;
        self.last_received.is_none_or(|received| received > sent).then(|| self.since(sent))
    }

    /// For how long at least nothing has come, nor been sent, where what came last may have come
    /// before what was sent last.
    pub fn silent(&self) -> Option<Duration> {
        let sent = self.last_sent?;
        self.last_received.is_none_or(|received| received >= sent).then(|| self.since(sent))
    }

    /// Since when something is sent that was sent last so long ago: if again, since it was first.
    fn since(&self, sent: Duration) -> Duration {
        self.retransmitting.unwrap_or(sent).max(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(sent: Option<u64>, received: Option<u64>) -> Tcp {
        let ms = |ms: Option<u64>| ms.map(Duration::from_millis);
        Tcp { last_sent: ms(sent), last_received: ms(received), ..Tcp::default() }
    }

    #[test]
    fn an_answer_is_owed_for_what_was_sent_last() {
        let unanswered = |sent, received| {
            let time = tcp(sent, received).unanswered();
            time.map(|time| time.as_millis())
        };
        assert_eq!(unanswered(Some(31_000), None), Some(31_000));
        assert_eq!(unanswered(Some(31_000), Some(31_004)), Some(31_000));
        assert_eq!(unanswered(Some(31_000), Some(31_000)), None);
        assert_eq!(unanswered(Some(31_000), Some(2)), None);
        assert_eq!(tcp(Some(31_000), Some(31_000)).silent(), Some(Duration::from_secs(31)));
        assert_eq!(tcp(Some(31_000), Some(30_996)).silent(), None);
        assert_eq!(unanswered(None, None), None);
        assert_eq!(unanswered(None, Some(5)), None);
    }

    #[test]
    fn what_is_sent_again_was_asked_when_it_was_sent_first() {
        let first = Some(Duration::from_secs(12));
        let again = Tcp { retransmitting: first, ..tcp(Some(800), Some(60_000)) };
        assert_eq!(again.unanswered(), first);
    }
}
