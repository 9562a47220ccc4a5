//! What happened between samples.

use jiff::Timestamp;

use super::wire::{Bad, Get, Put, Read, Wire, several};
use crate::timeline::{History, Slow, Stretch};
use crate::watch::monitor::{self, Statistics, Tracked};

/// An event and when it was told.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// Something that happened.
pub type Event = monitor::Event;

impl Wire for Recorded {
    fn put(&self, to: &mut Put<'_>) {
        self.at.put(to);
        let mut kind = |kind, put: &dyn Wired| {
            to.byte(kind);
            put.put_to(to);
        };
        match &self.event {
            Event::Reattached => kind(0, &()),
            Event::Opened(tracked) => kind(1, tracked),
            Event::Updated(tracked) => kind(2, tracked),
            Event::Closed(tracked) => kind(3, tracked),
            Event::Blocked(stretch) => kind(4, stretch),
            Event::Cancelled(history) => kind(5, history),
            Event::Statistics(statistics) => kind(6, statistics),
            Event::Unreadable(cause) => kind(7, cause),
            Event::Slow(slow) => kind(8, slow),
        }
    }

    fn get(from: &mut Get<'_>) -> Read<Self> {
        let at = Timestamp::get(from)?;
        let event = match from.byte()? {
            0 => Event::Reattached,
            1 => Event::Opened(Tracked::get(from)?),
            2 => Event::Updated(Tracked::get(from)?),
            3 => Event::Closed(Tracked::get(from)?),
            4 => Event::Blocked(Stretch::get(from)?),
            5 => Event::Cancelled(History::get(from)?),
            6 => Event::Statistics(Statistics::get(from)?),
            7 => Event::Unreadable(String::get(from)?),
            8 => Event::Slow(Slow::get(from)?),
            _ => return Err(Bad("an unknown event")),
        };
        Ok(Self { at, event })
    }
}

several!(Recorded);

/// What can be written, whatever it is.
trait Wired {
    fn put_to(&self, to: &mut Put<'_>);
}

impl Wired for () {
    fn put_to(&self, _to: &mut Put<'_>) {}
}

impl<T: Wire> Wired for T {
    fn put_to(&self, to: &mut Put<'_>) {
        self.put(to);
    }
}
