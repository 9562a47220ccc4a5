//! `aiospy export RECORDING`: a flame graph, a page or a trace of a recording.

use std::path::PathBuf;
use std::time::Duration;

use aiospy::recording::{Error, Recording};
use aiospy::watch::monitor::Event;
use anyhow::Context as _;
use clap::Args;
use clap::error::ErrorKind;

use crate::commands::options::{Making, Mistake, ending};
use crate::commands::outcome::Outcome;
use crate::commands::record;
use crate::flame::{self, Format, Totals};
use crate::io::output::{note, say};
use crate::report::text::words;

/// What a sample stands for that is alone.
const ALONE: Duration = Duration::from_millis(10);

/// Options of `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// A file written by `aiospy record`
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    #[command(flatten)]
    making: Making,
}

impl Export {
    /// The format that is asked for.
    fn format(&self) -> Result<Format, Mistake> {
        self.making.format("export", Some(Format::Html))?.ok_or(Mistake {
            command: "export",
            kind: ErrorKind::ArgumentConflict,
            words: "it is a recording already: export to one of the other formats",
        })
    }
}

/// Runs the command.
///
/// # Errors
/// When the options are at odds, the recording cannot be read, or the file not be written.
pub fn run(options: &Export) -> anyhow::Result<Outcome> {
    let format = options.format()?;
    let (path, making) = (&options.recording, &options.making);
    let mut recording =
        Recording::open(path).with_context(|| format!("can't read {}", path.display()))?;
    let file = making.file.clone().unwrap_or_else(|| path.with_extension(ending(Some(format))));
    let to = record::writer(&file, making.replaces)?;
    let mut exporter = flame::exporter(format, making.folding, to);
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
        note(format_args!("{place}: {}; what is there is left out", damage.reason));
    }
    if file.as_os_str() != "-" {
        let size = std::fs::metadata(&file).map(|facts| facts.len()).unwrap_or_default();
        let size = words::bytes(size);
        say(format_args!("{} → {} ({size})", totals.words(), file.display()));
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::options::typed;

    #[test]
    fn a_recording_is_not_exported_to_a_recording() {
        let format = |line| typed::<Export>(line).unwrap().format();
        assert_eq!(format("a.aiospy").unwrap(), Format::Html);
        assert_eq!(format("a.aiospy -o a.svg").unwrap(), Format::Svg);
        assert_eq!(format("a.aiospy -f aiospy").unwrap_err().kind, ErrorKind::ArgumentConflict);
    }
}
