//! The state of the screen, and what events make of it. Knows no clock and no terminal: time and
//! keys come with events, and what is to be done outside is an [`Effect`].

use std::sync::Arc;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{Frame, Snapshot, Task};
use crossterm::event::KeyEvent;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use ratatui::layout::Rect;
use rustc_hash::FxHashSet;

use super::detail::{self, Document};
use super::feed::Feed;
use super::layout::{Regions, Wanted};
use super::list::List;
use super::picker::{Candidate, Picker};
use super::replay::Place;
use super::rows::{self, Rows, Sort};
use super::subject::Subject;

mod input;
mod mouse;
mod moves;

/// From so many tasks on those that look alike share a row, unless one says otherwise.
const MERGED_FROM: usize = 50;
/// How long a notice stays.
const NOTICE: Duration = Duration::from_secs(5);
/// Whole snapshots a second that can be chosen.
const RATES: [f64; 9] = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
/// How many steps back are kept.
const MAX_TRAIL: usize = 100;
/// The longest filter.
const MAX_FILTER: usize = 60;

/// Something that happened.
pub enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse was used.
    Mouse(crossterm::event::MouseEvent),
    /// The terminal has another size.
    Resize(u16, u16),
    /// The target was read.
    Feed(Arc<Feed>),
    /// The target cannot be read yet, and why.
    Waiting(String),
    /// The target could not be attached to, and why.
    Failed(String),
    /// The processes that can be chosen from.
    Candidates(Vec<Candidate>),
    /// The recording is at its end.
    Ended,
    /// The local variables of a task, or why they could not be read.
    Locals(Address, Result<Vec<Frame>, String>),
    /// Something that was asked for is done, or was not.
    Notice(String),
    /// A recording goes on or does not any more, and what is to be said of that.
    Recorded(bool, String),
    /// It is this late.
    Tick(Timestamp),
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Nothing has changed.
    Nothing,
    /// The screen is to be drawn.
    Draw,
    /// It is over.
    Quit,
    /// The target is to be read so often.
    Rate(f64),
    /// The snapshot that is shown is to be written to a file.
    Export,
    /// A recording is to begin, or the one that goes on is to end.
    Record(bool),
    /// A text is to be copied.
    Copy(String),
    /// The local variables of a task are to be read.
    Locals(Address),
    /// A process was chosen.
    Attach(i32),
    /// To be shown is another moment of the recording.
    Move(Move),
    /// The recording is to play, or to stand.
    Play(bool),
}

/// To which moment of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// So many samples on, or back.
    Step(isize),
    /// To the next finding or blocking callback, or the one before.
    Jump { is_back: bool },
}

/// The views.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Tasks,
    Tree,
    Loop,
    Blocking,
    Cancel,
    Threads,
}

impl Tab {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Tasks, Self::Tree, Self::Loop, Self::Blocking, Self::Cancel, Self::Threads];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tasks => "Tasks",
            Self::Tree => "Tree",
            Self::Loop => "Loop",
            Self::Blocking => "Blocking",
            Self::Cancel => "Cancel",
            Self::Threads => "Threads",
        }
    }

    /// Its place among all.
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0)
    }

    fn next(self, by: usize) -> Self {
        Self::ALL.get((self.index() + by) % Self::ALL.len()).copied().unwrap_or_default()
    }
}

/// Which part of the screen keys go to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Focus {
    Findings,
    #[default]
    View,
    Detail,
}

/// A filter as it is typed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub text: String,
    pub is_typed: bool,
}

/// The target as it is shown.
pub struct Watched {
    /// As of when it is shown.
    pub feed: Arc<Feed>,
    /// The rows of the view.
    pub rows: Rows,
}

impl Watched {
    /// The snapshot that is shown.
    pub fn snapshot(&self) -> &Snapshot {
        &self.feed.snapshot
    }

    /// A task of it.
    pub fn task(&self, id: Address) -> Option<&Task> {
        self.feed.snapshot.tasks.iter().find(|task| task.id == id)
    }
}

/// Local variables that were read of one task.
pub struct Locals {
    pub task: Address,
    pub at: Timestamp,
    pub frames: Result<Vec<Frame>, String>,
}

/// The state of the screen.
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own")]
pub struct App {
    /// The processes to choose from, as long as none is chosen.
    pub picker: Option<Picker>,
    watched: Option<Watched>,
    /// What has come since the screen stands still.
    newest: Option<Arc<Feed>>,
    pub is_paused: bool,
    pub tab: Tab,
    pub focus: Focus,
    pub findings: List,
    /// Where one is in each view.
    pub lists: [List; Tab::ALL.len()],
    /// What is selected in each view, so that it stays selected when rows move.
    kept: [Option<Subject>; Tab::ALL.len()],
    kept_finding: Option<u64>,
    pub filter: Filter,
    pub sort: Sort,
    pub is_reversed: bool,
    merges: Option<bool>,
    is_merged: bool,
    unfolded: FxHashSet<Address>,
    folded: FxHashSet<Address>,
    pub pinned: Option<Address>,
    /// What was opened from what, the present one last.
    trail: Vec<(Subject, List)>,
    pub document: Document,
    pub in_document: List,
    pub locals: Option<Locals>,
    pub help: Option<List>,
    pub notice: Option<(String, Timestamp)>,
    pub waiting: Option<String>,
    pub now: Timestamp,
    /// The time of day; in a recording it is another one.
    clock: Timestamp,
    /// Whether a recording plays.
    pub is_playing: bool,
    /// Whether what is read is recorded.
    pub is_recording: bool,
    /// Where times of day are told for.
    pub zone: TimeZone,
    pub size: (u16, u16),
    pub rate: f64,
    /// Whether a key was pressed: until then the first finding that comes is selected.
    is_touched: bool,
}

impl App {
    /// The screen of this size at this time, with the picker or while a target is waited for.
    pub fn new(size: (u16, u16), now: &Zoned, rate: f64, picks: bool) -> Self {
        Self {
            picker: picks.then(Picker::default),
            watched: None,
            newest: None,
            is_paused: false,
            tab: Tab::default(),
            focus: Focus::default(),
            findings: List::default(),
            lists: Default::default(),
            kept: Default::default(),
            kept_finding: None,
            filter: Filter::default(),
            sort: Sort::default(),
            is_reversed: false,
            merges: None,
            is_merged: false,
            unfolded: FxHashSet::default(),
            folded: FxHashSet::default(),
            pinned: None,
            trail: Vec::new(),
            document: Document::default(),
            in_document: List::default(),
            locals: None,
            help: None,
            notice: None,
            waiting: None,
            now: now.timestamp(),
            clock: now.timestamp(),
            is_playing: false,
            is_recording: false,
            zone: now.time_zone().clone(),
            size,
            rate,
            is_touched: false,
        }
    }

    /// The target, if one is shown.
    pub fn target(&self) -> Option<&Watched> {
        self.watched.as_ref().filter(|_| self.picker.is_none())
    }

    /// Where in a recording one is.
    pub fn place(&self) -> Option<&Place> {
        self.target()?.feed.place.as_ref()
    }

    /// Whether tasks that look alike share a row.
    pub fn is_merged(&self) -> bool {
        self.is_merged
    }

    /// The list of the present view.
    pub fn list(&self) -> List {
        self.lists.get(self.tab.index()).copied().unwrap_or_default()
    }

    /// Takes an event in.
    pub fn update(&mut self, event: Event) -> Effect {
        let effect = match event {
            Event::Key(key) => self.key(&key),
            Event::Mouse(mouse) => self.mouse(mouse),
            Event::Resize(width, height) => {
                self.size = (width, height);
                Effect::Draw
            }
            Event::Feed(feed) => self.take(feed),
            Event::Waiting(cause) => {
                self.waiting = Some(cause);
                Effect::Draw
            }
            Event::Failed(cause) => {
                self.waiting = Some(cause.clone());
                self.say(cause);
                Effect::Draw
            }
            Event::Candidates(candidates) => {
                if let Some(picker) = &mut self.picker {
                    picker.take(candidates);
                }
                Effect::Draw
            }
            Event::Ended => {
                self.is_playing = false;
                Effect::Draw
            }
            Event::Locals(task, frames) => {
                self.locals = Some(Locals { task, at: self.now, frames });
                Effect::Draw
            }
            Event::Recorded(is_on, words) => {
                self.is_recording = is_on;
                self.say(words);
                Effect::Draw
            }
            Event::Notice(words) => {
                self.say(words);
                Effect::Draw
            }
            Event::Tick(now) => self.tick(now),
        };
        if effect != Effect::Nothing {
            self.settle();
        }
        effect
    }

    fn tick(&mut self, now: Timestamp) -> Effect {
        self.clock = self.clock.max(now);
        if self.place().is_none() {
            self.now = self.now.max(now);
        }
        if self.notice.as_ref().is_some_and(|(_, until)| self.clock >= *until) {
            self.notice = None;
        }
        Effect::Draw
    }

    fn say(&mut self, words: String) {
        let until = self.clock.checked_add(NOTICE).unwrap_or(self.clock);
        self.notice = Some((words, until));
    }

    fn take(&mut self, feed: Arc<Feed>) -> Effect {
        self.now = if feed.place.is_some() { feed.at } else { self.now.max(feed.at) };
        self.waiting = None;
        let is_first = self.watched.is_none();
        if self.is_paused && !is_first {
            // What stands still is as it was; only its end is told.
            let ends = feed.is_ended;
            self.newest = Some(feed);
            return if ends { Effect::Draw } else { Effect::Nothing };
        }
        self.newest = Some(Arc::clone(&feed));
        self.show(feed);
        Effect::Draw
    }

    /// Whether the target is known to be gone, even if what is shown is from before.
    pub fn is_ended(&self) -> bool {
        self.newest.as_ref().is_some_and(|feed| feed.is_ended)
    }

    fn show(&mut self, feed: Arc<Feed>) {
        let has_findings = !feed.findings.is_empty();
        if self.watched.is_none() {
            self.is_merged = self.merges.unwrap_or(feed.snapshot.tasks.len() >= MERGED_FROM);
        }
        let rows = Rows::of(&feed, &self.wanted());
        self.watched = Some(Watched { feed, rows });
        if has_findings && !self.is_touched {
            // The worst one, whichever that is by now.
            (self.focus, self.findings, self.kept_finding) =
                (Focus::Findings, List::default(), None);
        }
        if !has_findings && self.focus == Focus::Findings {
            self.focus = Focus::View;
        }
        self.follow();
    }

    fn wanted(&self) -> rows::Wanted<'_> {
        rows::Wanted {
            tab: self.tab,
            sort: self.sort,
            is_reversed: self.is_reversed,
            merges: self.is_merged,
            unfolded: &self.unfolded,
            folded: &self.folded,
            filter: &self.filter.text,
            pinned: self.pinned,
        }
    }

    /// Makes the rows anew: another view, filter or order.
    fn rebuild(&mut self) {
        let Some(watched) = &self.watched else { return };
        let feed = Arc::clone(&watched.feed);
        let rows = Rows::of(&feed, &self.wanted());
        self.watched = Some(Watched { feed, rows });
        self.follow();
    }

    /// Keeps what is selected selected, wherever it has moved to.
    fn follow(&mut self) {
        let tab = self.tab.index();
        let kept = self.kept.get(tab).copied().flatten();
        let Some(watched) = &self.watched else { return };
        if let Some(kept) = kept
            && let Some(at) = watched.rows.find(kept, &watched.feed)
            && let Some(list) = self.lists.get_mut(tab)
        {
            list.selected = at;
        }
        let number = self.kept_finding;
        if let Some(at) = watched.feed.findings.iter().position(|it| Some(it.number) == number) {
            self.findings.selected = at;
        }
    }

    /// The parts of the screen.
    pub fn regions(&self) -> Regions {
        let feed = self.target().map(|watched| &watched.feed);
        let wanted = Wanted {
            findings: feed.map_or(0, |feed| feed.findings.len()),
            loops: feed.map_or(1, |feed| feed.snapshot.loops.len()),
            has_head: !matches!(self.tab, Tab::Loop | Tab::Tree),
            has_detail: self.tab != Tab::Loop || self.focus == Focus::Detail,
            is_open: self.focus == Focus::Detail,
            has_time: self.place().is_some(),
        };
        Regions::of(self.size.0, self.size.1, wanted)
    }

    /// After each event: what is selected is shown and told.
    fn settle(&mut self) {
        if let Some(picker) = &mut self.picker {
            picker.settle(usize::from(self.size.1.saturating_sub(5)));
        }
        let regions = self.regions();
        let Some(watched) = &self.watched else { return };
        let (count, findings) = (watched.rows.count(), watched.feed.findings.len());
        let tab = self.tab.index();
        if let Some(list) = self.lists.get_mut(tab) {
            list.select(list.selected, count, usize::from(regions.list.height));
        }
        self.findings.select(
            self.findings.selected,
            findings,
            usize::from(regions.findings.height),
        );
        let selected = watched.rows.subject(self.list().selected, &watched.feed);
        if let Some(kept) = self.kept.get_mut(tab) {
            *kept = selected.or(*kept);
        }
        let finding = watched.feed.findings.get(self.findings.selected);
        self.kept_finding = finding.map(|known| known.number);
        self.tell(regions.detail);
    }

    /// What is told of beside the list, or in its place.
    pub fn subject(&self) -> Option<Subject> {
        let watched = self.target()?;
        match self.focus {
            Focus::Detail => self.trail.last().map(|(subject, _)| *subject),
            _ if self.pinned.is_some() => self.pinned.map(Subject::Task),
            focus => self.selected(focus, watched),
        }
    }

    fn selected(&self, focus: Focus, watched: &Watched) -> Option<Subject> {
        match focus {
            Focus::Findings => {
                let known = watched.feed.findings.get(self.findings.selected);
                known.map(|known| Subject::Finding(known.number))
            }
            _ => watched.rows.subject(self.list().selected, &watched.feed),
        }
    }

    /// The task that keys about a task are for.
    pub fn task_meant(&self) -> Option<Address> {
        let watched = self.target()?;
        let subject = match self.focus {
            Focus::Detail => self.subject(),
            focus => self.selected(focus, watched),
        };
        match subject? {
            Subject::Task(id) => Some(id),
            _ => None,
        }
    }

    fn tell(&mut self, region: Rect) {
        let width = usize::from(region.width).saturating_sub(2);
        let (Some(subject), true) = (self.subject(), width > 0) else {
            self.document = Document::default();
            return;
        };
        let Some(watched) = &self.watched else { return };
        self.document = detail::document(subject, self, watched, width);
        let height = usize::from(region.height);
        let list = if self.focus == Focus::Detail { self.in_document } else { List::default() };
        self.in_document = list;
        self.in_document.select(list.selected, self.document.lines.len(), height);
    }
}
