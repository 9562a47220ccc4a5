//! What all comes to, and how it is read: both stand in one line where there is room for that.

use aiospy::snapshot::Level;
use unicode_width::UnicodeWidthStr as _;

use crate::io::page::{Line, Style};
use crate::report::text::{findings, verdict, words};
use crate::top::state::{App, Watched};
use crate::top::words::age;

/// The column that sentences begin in.
pub const TEXT: usize = 4;
/// What is said of a target that is read.
pub const LIVE: &str = "live";
/// The samples a second that go without saying.
const USUAL: f64 = 10.0;

/// What all comes to, with its sign.
pub fn said(app: &App, watched: &Watched) -> ((Style, &'static str), String) {
    if let (Some(_), Some(first)) = (&app.several, watched.findings.first()) {
        let severity = first.finding.severity;
        return (
            (findings::word(severity).0, findings::sign(severity)),
            findings::said(&first.finding),
        );
    }
    if let Some(several) = &app.several {
        let (sign, words) = several.verdict();
        return (sign.shown(), words);
    }
    let Watched { feed, judged, .. } = watched;
    let level = judged.answer.as_ref().map(|answer| answer.level);
    match (&judged.answer, feed.unreadable.as_deref()) {
        // What was read before says nothing of now.
        (_, Some(cause)) if !matches!(level, Some(Level::Critical | Level::Warning)) => {
            (verdict::sign(Level::NotJudged), cause.to_owned())
        }
        (Some(answer), _) => {
            let room = usize::from(app.size.0).saturating_sub(TEXT);
            (verdict::sign(answer.level), verdict::said(&feed.snapshot, answer, room))
        }
        (None, _) => (verdict::sign(Level::NotJudged), "nothing was judged yet".to_owned()),
    }
}

/// Whether how it is read stands beside the answer: where it leaves room for that.
pub fn is_state_above(app: &App, width: u16, watched: &Watched) -> bool {
    let said = said(app, watched).1.width();
    !app.is_ended() && said + state(app, watched, false).width() + 8 <= usize::from(width)
}

/// `live · 10 Hz`, `paused`, `ended`, `recorded 06:00:01.2`
pub fn state(app: &App, watched: &Watched, is_short: bool) -> Line {
    let feed = &watched.feed;
    let mut line = Line::new();
    if app.is_recording {
        line.add(Style::Alarm, "● REC ");
    }
    if let Some(place) = &feed.place {
        line.add(Style::Notice, if app.is_playing { "PLAYING" } else { "RECORDING" });
        let at = feed.at.to_zoned(app.zone.clone()).strftime("%H:%M:%S%.3f").to_string();
        line.add(Style::Plain, &format!(" {at}"));
        let [number, count] = [place.number + 1, place.count].map(words::count);
        return line.with(Style::Dim, &format!(" sample {number} of {count}"));
    }
    let old = app.now.duration_since(feed.snapshot.taken_at).as_secs();
    match () {
        () if app.is_ended() => line.add(Style::Alarm, "ended"),
        () if app.is_paused && old >= 2 => {
            let old = age(feed.snapshot.taken_at, app.now);
            line.add(Style::Notice, &format!("PAUSED · {old} old"));
        }
        () if app.is_paused => line.add(Style::Notice, "PAUSED"),
        () if old >= 2 => {
            line.add(Style::Notice, &format!("{} old", age(feed.snapshot.taken_at, app.now)));
        }
        () if is_short && (feed.rate - USUAL).abs() < 0.5 => line.add(Style::Dim, LIVE),
        () => line.add(Style::Dim, &format!("{LIVE} · {} Hz", feed.rate)),
    }
    line
}
