//! Times and places in words.

use std::time::Duration;

use aiospy::snapshot::Location;
use aiospy::timeline::Fate;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::io::page::Style;
use crate::report::text::{path, words};

/// How long ago something was; whole seconds, for it is told anew only once a second.
pub fn age(at: Timestamp, now: Timestamp) -> String {
    let age = Duration::try_from(now.duration_since(at)).unwrap_or_default();
    match age.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        _ => words::duration(age),
    }
}

/// How far a cancellation is, in a word or two.
pub fn fate_word(fate: Fate) -> (Style, &'static str) {
    match fate {
        Fate::Requested => (Style::Notice, "asked"),
        Fate::CleaningUp => (Style::Notice, "cleaning up"),
        Fate::Handled => (Style::Plain, "taken back"),
        Fate::Swallowed => (Style::Alarm, "swallowed"),
        Fate::Finished => (Style::Dim, "ended"),
    }
}

/// A time of day: `14:03:59`.
pub fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string()
}

/// `file.py:12`, without folders.
pub fn short_place(at: &Location) -> String {
    let file = at.file.rsplit('/').next().unwrap_or(&at.file);
    let line = at.line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{file}{line}")
}

/// `function  file:line`, as far as there is room.
pub fn place(at: &Location, room: usize) -> String {
    let file = path::place(at.path(), at.line, room.saturating_sub(at.function.len() + 2));
    format!("{}  {file}", at.function)
}
