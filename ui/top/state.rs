//! The state of the screen: what is shown, and where one is in it. It is drawn from here.

use std::sync::Arc;

use aiospy::memory::Address;
use aiospy::snapshot::{Code, Frame, Snapshot, Task};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use rustc_hash::{FxHashMap, FxHashSet};

use super::feed::{Feed, OpenFinding, Playhead};
use super::judged::{Judged, Kept};
use super::layout::{Regions, Wanted};
use super::list::{Filter, List, Search};
use super::picker::Picker;
use super::rows::{Rows, Sort, What};
use super::several::Several;
use super::subject::{Document, Subject};
use super::tab::{Focus, Tab};

/// The target as it is shown.
pub struct Watched {
    /// As of when it is shown.
    pub feed: Arc<Feed>,
    /// What that comes to.
    pub judged: Arc<Judged>,
    /// The findings that are listed: notes only if that is asked for.
    pub findings: Arc<[OpenFinding]>,
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
        self.feed.snapshot.tasks.get(self.judged.place(id)?)
    }

    /// A group of it.
    pub fn group(&self, id: u64) -> Option<&Kept> {
        self.judged.groups.iter().find(|group| group.id == id)
    }

    /// Whether the first finding that is listed is what it comes to, so that this is said of it.
    pub fn is_answered(&self) -> bool {
        let cause = self.judged.answer.as_ref().and_then(|answer| answer.cause);
        let first = self.findings.first();
        first.is_some_and(|first| first.of.is_some() || cause == Some(first.finding.id))
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
    /// The processes that one can choose from while they are sampled, where there are several.
    pub several: Option<Several>,
    pub(super) watched: Option<Watched>,
    /// What has come since the screen stands still.
    pub(super) newest: Option<Arc<Feed>>,
    pub is_paused: bool,
    pub tab: Tab,
    pub focus: Focus,
    pub findings: List,
    /// Where one is in each view.
    pub lists: [List; Tab::ALL.len()],
    /// What is selected in each view, so that it stays selected when rows move.
    pub(super) kept: [Option<Subject>; Tab::ALL.len()],
    pub(super) kept_finding: Option<u64>,
    pub filter: Filter,
    pub sort: Sort,
    pub is_reversed: bool,
    pub(super) is_merged: bool,
    /// Whether findings that are but notes are listed.
    pub shows_notes: bool,
    /// When each column that comes and goes had something in it last.
    pub(super) columns: FxHashMap<What, Timestamp>,
    /// Groups whose tasks are listed below them.
    pub(super) unfolded: FxHashSet<u64>,
    pub(super) folded: FxHashSet<Address>,
    pub pinned: Option<Address>,
    /// What was opened from what, the present one last.
    pub(super) trail: Vec<(Subject, List)>,
    /// Where that began.
    pub(super) came_from: Focus,
    pub document: Document,
    pub in_document: List,
    pub locals: Option<Locals>,
    /// The help, as far as it is searched.
    pub help: Option<Search>,
    /// The commands to choose from.
    pub commands: Option<Search>,
    pub notice: Option<(String, Timestamp)>,
    pub waiting: Option<String>,
    pub now: Timestamp,
    /// The time of day; in a recording it is another one.
    pub(super) clock: Timestamp,
    /// Whether a recording plays.
    pub is_playing: bool,
    /// Whether what is read is recorded.
    pub is_recording: bool,
    /// Where times of day are told for.
    pub zone: TimeZone,
    pub size: (u16, u16),
    pub rate: f64,
    /// Whether a key was pressed: until then the first finding that comes is selected.
    pub(super) is_touched: bool,
}

impl App {
    /// The screen of this size at this time, with the picker or while a target is waited for.
    pub fn new(size: (u16, u16), now: &Zoned, rate: f64, picks: bool) -> Self {
        Self {
            picker: picks.then(Picker::default),
            several: None,
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
            is_merged: true,
            shows_notes: false,
            columns: FxHashMap::default(),
            unfolded: FxHashSet::default(),
            folded: FxHashSet::default(),
            pinned: None,
            trail: Vec::new(),
            came_from: Focus::default(),
            document: Document::default(),
            in_document: List::default(),
            locals: None,
            help: None,
            commands: None,
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
    pub fn place(&self) -> Option<&Playhead> {
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

    /// Whether the target is known to be gone, even if what is shown is from before.
    pub fn is_ended(&self) -> bool {
        self.newest.as_ref().is_some_and(|feed| feed.is_ended)
    }

    /// The parts of the screen.
    pub fn regions(&self) -> Regions {
        let feed = self.target().map(|watched| &watched.feed);
        let wanted = Wanted {
            findings: self.target().map_or(0, |watched| watched.findings.len()),
            processes: self.several.as_ref().map_or(0, Several::count),
            header: feed.map_or(1, |feed| 1 + usize::from(!feed.trouble().is_empty())),
            rows: self.target().map_or(0, |watched| watched.rows.count()),
            has_verdict: self.is_ended()
                || self.target().is_some_and(|it| !it.findings.is_empty() && !it.is_answered()),
            has_head: !matches!(self.tab, Tab::Loop | Tab::Tree),
            has_detail: self.tab != Tab::Loop || self.focus == Focus::Detail,
            is_open: self.focus == Focus::Detail,
            is_whole: matches!(self.subject(), Some(Subject::Code(_))),
            has_time: self.place().is_some(),
        };
        Regions::of(self.size.0, self.size.1, wanted)
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

    pub(super) fn selected(&self, focus: Focus, watched: &Watched) -> Option<Subject> {
        match focus {
            Focus::Findings => {
                let known = watched.findings.get(self.findings.selected);
                known.map(|known| Subject::Finding(known.number))
            }
            _ => watched.rows.subject(self.list().selected, &watched.feed),
        }
    }

    /// What keys are for.
    fn meant(&self) -> Option<Subject> {
        match self.focus {
            Focus::Detail => self.subject(),
            focus => self.selected(focus, self.target()?),
        }
    }

    /// The code that is to be explained: of a finding, or of the first one about a task.
    pub fn code_meant(&self) -> Option<Code> {
        let (subject, watched) = (self.meant()?, self.target()?);
        let mut findings = watched.feed.findings.iter();
        let known = findings.find(|known| match subject {
            Subject::Finding(number) => known.number == number,
            Subject::Task(id) => known.finding.tasks.contains(&id),
            _ => false,
        });
        Some(known?.finding.code)
    }

    /// The task that keys about a task are for.
    pub fn task_meant(&self) -> Option<Address> {
        let watched = self.target()?;
        match self.meant()? {
            Subject::Task(id) => Some(id),
            Subject::Group(id) => {
                let first = *watched.group(id)?.members.first()?;
                watched.snapshot().tasks.get(first).map(|task| task.id)
            }
            _ => None,
        }
    }
}
