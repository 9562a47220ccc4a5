//! Where callbacks blocked a loop: each place once, those where one blocks it now first.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::BlockingKind;
use aiospy::timeline::{PlaceTotals, Stretch};
use rustc_hash::{FxHashMap, FxHasher};

use super::feed::Feed;

/// How often and how long callbacks blocked a loop at a place.
#[derive(Debug, Clone)]
pub struct Block {
    /// Tells it from others.
    pub id: u64,
    /// What kept the thread, in words.
    pub description: String,
    pub kind: BlockingKind,
    pub file: Option<Arc<str>>,
    pub line: Option<u32>,
    pub function: Option<String>,
    /// The requests, jobs or tasks that it was for, as far as they are kept.
    pub by: Vec<String>,
    /// How often, with the one that goes on.
    pub count: u64,
    pub longest: Duration,
    pub total: Duration,
    /// Whether it blocks a loop now.
    pub is_now: bool,
    /// The loop that it blocked last.
    pub loop_id: Option<Address>,
}

impl Block {
    fn of(place: &PlaceTotals) -> Self {
        let ms = |ms: f64| Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default();
        let total = ms(place.total_ms);
        Self {
            id: id(place.file.as_deref(), place.line, place.kind),
            description: place.description.clone(),
            kind: place.kind,
            file: place.file.as_deref().map(Arc::from),
            line: place.line,
            function: place.function.clone(),
            by: Vec::new(),
            count: place.count,
            longest: place.length.map_or(total, |length| ms(length.max_ms)),
            total,
            is_now: false,
            loop_id: None,
        }
    }

    /// One of which nothing is counted yet.
    fn new(stretch: &Stretch) -> Self {
        let place = stretch.place();
        Self {
            id: id_of(stretch),
            description: String::new(),
            kind: stretch.kind(),
            file: place.map(|place| Arc::clone(&place.file)),
            line: place.and_then(|place| place.line),
            function: place.map(|place| place.function.to_string()),
            by: Vec::new(),
            count: 0,
            longest: Duration::ZERO,
            total: Duration::ZERO,
            is_now: false,
            loop_id: None,
        }
    }

    /// Counts one that goes on.
    fn add(&mut self, stretch: &Stretch) {
        self.count += 1;
        self.longest = self.longest.max(stretch.length);
        self.total += stretch.length;
        self.is_now = true;
        if let Some(work) = &stretch.work {
            self.description.clone_from(&work.description);
        }
    }
}

/// Tells the place of a stretch from others.
pub fn id_of(stretch: &Stretch) -> u64 {
    let place = stretch.place();
    id(place.map(|it| &*it.file), place.and_then(|it| it.line), stretch.kind())
}

fn id(file: Option<&str>, line: Option<u32>, kind: BlockingKind) -> u64 {
    let mut hasher = FxHasher::default();
    (file, line, kind.as_str()).hash(&mut hasher);
    hasher.finish()
}

/// What a stretch was for: a request or job, else a task or another callback.
pub fn by(stretch: &Stretch) -> Option<String> {
    let work = stretch.work.as_deref()?;
    let label = work.label.as_deref().map(str::to_owned);
    // That it is a task is so most of the time.
    label.or_else(|| work.handle.as_deref().map(|it| it.trim_start_matches("task ").to_owned()))
}

/// The stretches of a feed, the newest first.
pub fn stretches(feed: &Feed) -> impl Iterator<Item = &Arc<Stretch>> {
    feed.ongoing.iter().chain(feed.blocked.iter())
}

/// The places, of which one stretch at least is to be kept.
pub fn all(feed: &Feed, keep: &dyn Fn(&Stretch) -> bool) -> Vec<Block> {
    let mut all: Vec<Block> = feed.places.iter().map(Block::of).collect();
    let mut places: FxHashMap<u64, usize> = all.iter().map(|block| block.id).zip(0..).collect();
    let mut kept = vec![false; all.len()];
    for stretch in stretches(feed) {
        let at = *places.entry(id_of(stretch)).or_insert(all.len());
        if at == all.len() {
            all.push(Block::new(stretch));
            kept.push(false);
        }
        let (Some(block), Some(is_kept)) = (all.get_mut(at), kept.get_mut(at)) else { continue };
        if !stretch.is_over {
            block.add(stretch);
        }
        block.loop_id = block.loop_id.or(Some(stretch.loop_id));
        if let Some(by) = by(stretch).filter(|by| !block.by.contains(by)) {
            block.by.push(by);
        }
        *is_kept |= keep(stretch);
    }
    let kept = all.into_iter().zip(kept).filter(|(block, is_kept)| *is_kept && block.count > 0);
    let mut all: Vec<Block> = kept.map(|(block, _)| block).collect();
    all.sort_by_key(|block| !block.is_now);
    all
}
