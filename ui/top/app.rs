//! What events make of the state of the screen. Knows no clock and no terminal: time and keys come
//! with events, and what is to be done outside is an [`Effect`].

use std::sync::Arc;
use std::time::Duration;

use aiospy::Error;
use aiospy::memory::Address;
use aiospy::snapshot::{Frame, Process};
use crossterm::event::KeyEvent;
use jiff::Timestamp;
use ratatui::layout::Rect;

use super::detail;
use super::feed::Feed;
use super::judged::Judged;
use super::list::List;
use super::picker::Candidate;
use super::rows::{self, Rows};
use super::several::Several;
use super::state::{App, Locals, Watched};
use super::subject::Document;
use super::tab::Focus;

mod input;
mod mouse;
mod moves;

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
    /// One of several processes is not read, and why.
    Unread(Box<Process>, Error),
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
    /// A report of it is to be written to a file.
    Report,
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

impl App {
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
            Event::Unread(process, error) => self.take_unread(*process, error),
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
        let Some(several) = &mut self.several else { return self.take_shown(feed) };
        several.take(feed);
        self.show_chosen()
    }

    fn take_unread(&mut self, process: Process, error: Error) -> Effect {
        let Some(several) = &mut self.several else { return Effect::Nothing };
        several.fail(process.pid, process, error);
        self.show_chosen()
    }

    /// Shows the one of several that is chosen. Until a key was pressed that is the one which the
    /// first finding leads to.
    fn show_chosen(&mut self) -> Effect {
        let Some(several) = &mut self.several else { return Effect::Nothing };
        if !self.is_touched {
            several.choose_by_itself();
        }
        several.shown().map_or(Effect::Draw, |feed| self.take_shown(feed))
    }

    fn take_shown(&mut self, feed: Arc<Feed>) -> Effect {
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

    fn show(&mut self, feed: Arc<Feed>) {
        self.watch(feed);
        let has_findings = !self.findings_are_gone();
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
            query: &self.filter.query,
            pinned: self.pinned,
        }
    }

    fn watch(&mut self, feed: Arc<Feed>) {
        // Of several processes each brings a feed of all.
        let is_same = |it: &&Watched| {
            Arc::ptr_eq(&it.feed.snapshot, &feed.snapshot)
                && Arc::ptr_eq(&it.feed.lives, &feed.lives)
        };
        let known = self.watched.as_ref().filter(is_same).map(|it| Arc::clone(&it.judged));
        let judged = known.unwrap_or_else(|| Arc::new(Judged::of(&feed)));
        let rows = Rows::of(&feed, &judged, &self.wanted());
        for what in rows.used(&feed) {
            self.columns.insert(what, self.now);
        }
        let findings = feed.listed(self.shows_notes);
        self.watched = Some(Watched { feed, judged, findings, rows });
    }

    /// Makes the rows anew: another view, filter or order.
    fn rebuild(&mut self) {
        let Some(watched) = &self.watched else { return };
        self.watch(Arc::clone(&watched.feed));
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
        if let Some(at) = watched.findings.iter().position(|it| Some(it.number) == number) {
            self.findings.selected = at;
        }
    }

    /// Shows another of several processes, if `choose` chooses one.
    fn choose(&mut self, choose: impl FnOnce(&mut Several)) {
        let Some(several) = &mut self.several else { return };
        let before = several.chosen;
        choose(several);
        if several.chosen == before {
            return;
        }
        let Some(feed) = several.shown() else { return };
        // What was selected in one is not to be found in another.
        self.leave_detail();
        (self.watched, self.pinned, self.locals) = (None, None, None);
        (self.lists, self.kept) = Default::default();
        self.newest = Some(Arc::clone(&feed));
        self.show(feed);
    }

    /// After each event: what is selected is shown and told.
    fn settle(&mut self) {
        // A finding is told of in the process that it is of.
        let findings = self.watched.as_ref().map(|watched| &watched.findings);
        let selected = findings.and_then(|all| all.get(self.findings.selected)?.of);
        if let Some(pid) = selected.filter(|_| self.focus == Focus::Findings) {
            self.choose(|several| several.choose(pid));
        }
        if let Some(picker) = &mut self.picker {
            picker.settle(usize::from(self.size.1.saturating_sub(5)));
        }
        let regions = self.regions();
        let Some(watched) = &self.watched else { return };
        let (count, findings) = (watched.rows.count(), watched.findings.len());
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
        let finding = watched.findings.get(self.findings.selected);
        self.kept_finding = finding.map(|known| known.number);
        self.tell(regions.detail);
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
