//! Where callbacks blocked their loops, all in all.

use std::time::Duration;

use hdrhistogram::Histogram;
use jiff::Timestamp;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::{Spread, Stretch, histogram, note};
use crate::snapshot::BlockingKind;

/// Places that are told apart; what blocks elsewhere is counted together.
const MAX_PLACES: usize = 1000;

/// What blocked at one place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlaceTotals {
    /// The function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What kind of call it was.
    pub kind: BlockingKind,
    /// The same in words, as it was the last time.
    pub description: String,
    /// How often.
    pub count: u64,
    /// How long in all, in milliseconds.
    pub total_ms: f64,
    /// When the last of them began.
    pub last_at: Timestamp,
    /// How long each.
    #[serde(flatten)]
    pub length: Option<Spread>,
}

type Key = (Option<(std::sync::Arc<str>, Option<u32>)>, BlockingKind);

/// All places.
#[derive(Debug, Default)]
pub struct Places {
    places: FxHashMap<Key, Tally>,
}

#[derive(Debug)]
struct Tally {
    function: Option<String>,
    description: String,
    count: u64,
    total: Duration,
    longest: Duration,
    last_at: Timestamp,
    lengths: Option<Histogram<u32>>,
}

impl Places {
    /// Takes in a stretch.
    pub fn note(&mut self, stretch: &Stretch) {
        let place = stretch.place();
        let mut key: Key =
            (place.map(|it| (std::sync::Arc::clone(&it.file), it.line)), stretch.kind());
        if self.places.len() >= MAX_PLACES && !self.places.contains_key(&key) {
            key = (None, BlockingKind::Unknown);
        }
        let known = self.places.entry(key).or_insert_with(|| Tally {
            function: place.map(|it| it.function.to_string()),
            description: String::new(),
            count: 0,
            total: Duration::ZERO,
            longest: Duration::ZERO,
            last_at: stretch.began_at,
            lengths: histogram(),
        });
        if let Some(work) = &stretch.work {
            known.description.clone_from(&work.description);
        }
        known.count += 1;
        known.last_at = stretch.began_at;
        known.total += stretch.length;
        known.longest = known.longest.max(stretch.length);
        if let Some(lengths) = &mut known.lengths {
            note(lengths, stretch.length);
        }
    }

    /// All of them, the one that took most time first.
    pub fn totals(&self) -> Vec<PlaceTotals> {
        let mut all: Vec<_> = self.places.iter().collect();
        all.sort_by_key(|(_, place)| std::cmp::Reverse(place.total));
        let totals = all.into_iter().map(|((at, kind), place)| PlaceTotals {
            function: place.function.clone(),
            file: at.as_ref().map(|(file, _)| file.to_string()),
            line: at.as_ref().and_then(|(_, line)| *line),
            kind: *kind,
            description: place.description.clone(),
            count: place.count,
            total_ms: place.total.as_secs_f64() * 1000.0,
            last_at: place.last_at,
            length: place.lengths.as_ref().and_then(Spread::of).map(|it| it.up_to(place.longest)),
        });
        totals.collect()
    }
}
