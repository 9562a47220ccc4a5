//! `aiospy export RECORDING`: a flame graph, a page or a trace of a recording.

use std::time::Duration;

use aiospy::recording::{Error, Recording};
use aiospy::watch::monitor::Event;
use anyhow::Context as _;

use crate::args::recording::{Export, ending};
use crate::flame::{self, Totals};
use crate::text::words;
use crate::{Outcome, dump, output, record};

/// What a sample stands for that is alone.
const ALONE: Duration = Duration::from_millis(10);

/// Runs the command.
///
/// # Errors
/// When the recording cannot be read, or the file not be written.
pub fn run(options: &Export) -> anyhow::Result<Outcome> {
    let path = &options.recording;
    let mut recording =
        Recording::open(path).with_context(|| format!("could not read {}", path.display()))?;
    let file =
        options.file.clone().unwrap_or_else(|| path.with_extension(ending(Some(options.format))));
    let to = record::writer(&file, options.replaces)?;
    let mut exporter = flame::exporter(options.format, options.folding, to);
    let mut totals = Totals::default();
    let moments = recording.moments();
    let first = moments.first().zip(moments.get(1)).map(|(a, b)| b.duration_since(*a));
    let period = first.and_then(|first| Duration::try_from(first).ok()).unwrap_or(ALONE);
    let (mut number, mut last, mut told) = (0, None, 0);
    let mut still = Vec::new();
    while number < recording.len() {
        let moment = match recording.sample(number) {
            Ok(moment) => moment,
            Err(Error::Damaged { .. }) => {
                // What lies in between is not to be counted for the next one.
                number = recording.behind_block(number);
                last = None;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let now = moment.snapshot.taken_at;
        while let Some(event) = recording.events().get(told).filter(|event| event.at < now) {
            exporter.event(event.at, &event.event)?;
            // Where it could not be read nothing was seen.
            if matches!(event.event, Event::Unreadable(_) | Event::Reattached) {
                last = None;
            }
            told += 1;
        }
        totals.note(&moment.snapshot, moment.missed);
        let weight = record::weight(last, now, period);
        exporter.sample(flame::Sample { snapshot: &moment.snapshot, weight })?;
        last = Some(now);
        still = moment.blocking;
        number += 1;
    }
    for event in recording.events().get(told..).unwrap_or_default() {
        exporter.event(event.at, &event.event)?;
    }
    if let Some(ended) = totals.ended {
        for stretch in still {
            exporter.event(ended, &Event::Blocked(stretch))?;
        }
    }
    exporter.finish(&totals)?;
    for damage in recording.damage() {
        let place = format!("{} at byte {}", path.display(), damage.at);
        dump::note(format_args!("{place}: {}; what is there is left out", damage.reason));
    }
    if file.as_os_str() != "-" {
        let size = std::fs::metadata(&file).map(|facts| facts.len()).unwrap_or_default();
        let size = words::bytes(size);
        output::say(format_args!("{} → {} ({size})", totals.words(), file.display()));
    }
    Ok(Outcome::Done)
}
