//! What keys do where a target is shown.

use super::{App, Effect, MAX_TRAIL, Move, RATES, Watched};
use crate::top::keys::Action;
use crate::top::list::{Filter, List, Search};
use crate::top::rows::Rows;
use crate::top::subject::Subject;
use crate::top::tab::{Focus, Tab};

impl App {
    pub(super) fn act(&mut self, action: Action) -> Effect {
        match action {
            Action::Quit => return Effect::Quit,
            Action::Help => self.help = Some(Search::default()),
            _ if self.watched.is_none() => return Effect::Nothing,
            Action::Up => self.go(-1),
            Action::Down => self.go(1),
            Action::PageUp => self.page(-1),
            Action::PageDown => self.page(1),
            Action::Top => self.go(isize::MIN / 2),
            Action::Bottom => self.go(isize::MAX / 2),
            Action::Open => self.open(),
            Action::Back => self.back(),
            Action::Fold => self.fold(true),
            Action::Unfold => self.fold(false),
            Action::NextView => self.go_to_view(self.tab.next(1)),
            Action::PreviousView => self.go_to_view(self.tab.next(Tab::ALL.len() - 1)),
            Action::View(tab) => self.go_to_view(tab),
            Action::Findings => self.go_to_findings(),
            Action::Filter => {
                self.leave_detail();
                self.focus = Focus::View;
                self.filter.is_typed = true;
            }
            Action::NextMatch => self.go_to_match(1),
            Action::PreviousMatch => self.go_to_match(-1),
            Action::Sort => {
                self.sort = self.sort.next();
                self.rebuild();
            }
            Action::Reverse => {
                self.is_reversed = !self.is_reversed;
                self.rebuild();
            }
            Action::Alike => {
                self.is_merged = !self.is_merged;
                self.rebuild();
            }
            Action::Notes => {
                self.shows_notes = !self.shows_notes;
                self.rebuild();
                if self.findings_are_gone() && self.focus == Focus::Findings {
                    self.focus = Focus::View;
                }
            }
            Action::Pause if self.place().is_some() => {
                self.is_playing = !self.is_playing;
                return Effect::Play(self.is_playing);
            }
            Action::Pause => self.pause(),
            Action::StepBack => return self.move_to(Move::Step(-1)),
            Action::StepOn => return self.move_to(Move::Step(1)),
            Action::JumpBack => return self.move_to(Move::Jump { is_back: true }),
            Action::JumpOn => return self.move_to(Move::Jump { is_back: false }),
            Action::SkipBack => return self.move_to(Move::Step(-self.tenth())),
            Action::SkipOn => return self.move_to(Move::Step(self.tenth())),
            Action::Faster => return self.set_rate(1),
            Action::Slower => return self.set_rate(-1),
            Action::Pin => self.pin(),
            Action::NextProcess => self.step_process(1),
            Action::PreviousProcess => self.step_process(-1),
            Action::Locals => return self.task_meant().map_or(Effect::Nothing, Effect::Locals),
            Action::Problems => self.lead_to(Subject::Problems),
            Action::Export => return Effect::Export,
            Action::Report => return Effect::Report,
            Action::Commands => self.commands = Some(Search::default()),
            Action::Explain => {
                if let Some(code) = self.code_meant() {
                    self.lead_to(Subject::Code(code));
                }
            }
            Action::Record => {
                self.is_recording = !self.is_recording;
                return Effect::Record(self.is_recording);
            }
            Action::Copy => return self.copy(),
        }
        Effect::Draw
    }

    /// How many rows the part of the screen has that keys go to.
    fn height(&self) -> usize {
        let regions = self.regions();
        usize::from(match self.focus {
            Focus::Findings => regions.findings.height,
            Focus::View => regions.list.height,
            Focus::Detail => regions.detail.height,
        })
    }

    fn page(&mut self, pages: isize) {
        let height = isize::try_from(self.height()).unwrap_or(1);
        self.go((height - 1).max(1) * pages);
    }

    pub(super) fn go(&mut self, by: isize) {
        let height = self.height();
        let Some(watched) = &self.watched else { return };
        let (count, findings) = (watched.rows.count(), watched.findings.len());
        let at = self.list().selected;
        match self.focus {
            Focus::Detail => self.in_document.go(by, self.document.lines.len(), height),
            // The findings lie above the rows of the view: one goes from one to the other.
            Focus::Findings if by == 1 && self.findings.selected + 1 >= findings => {
                self.focus = Focus::View;
            }
            Focus::Findings => self.findings.go(by, findings, height),
            Focus::View if by == -1 && at == 0 && findings > 0 => self.go_to_last_finding(),
            Focus::View => {
                if let Some(list) = self.lists.get_mut(self.tab.index()) {
                    list.go(by, count, height);
                }
            }
        }
    }

    fn go_to_last_finding(&mut self) {
        let count = self.watched.as_ref().map_or(0, |watched| watched.findings.len());
        self.focus = Focus::Findings;
        self.findings.selected = count.saturating_sub(1);
    }

    fn go_to_findings(&mut self) {
        let count = self.watched.as_ref().map_or(0, |watched| watched.findings.len());
        self.leave_detail();
        if count > 0 {
            self.focus = Focus::Findings;
            self.findings.selected = 0;
        } else {
            self.say("no findings".to_owned());
        }
    }

    pub(super) fn go_to_view(&mut self, tab: Tab) {
        self.leave_detail();
        self.focus = Focus::View;
        if tab != self.tab {
            self.tab = tab;
            self.rebuild();
        }
    }

    fn step_process(&mut self, by: isize) {
        self.leave_detail();
        self.focus = Focus::View;
        self.choose(|several| several.step(by));
    }

    pub(super) fn leave_detail(&mut self) {
        if self.focus == Focus::Detail {
            let is_above = self.came_from == Focus::Findings && !self.findings_are_gone();
            self.focus = if is_above { Focus::Findings } else { Focus::View };
        }
        self.trail.clear();
    }

    pub(super) fn findings_are_gone(&self) -> bool {
        self.watched.as_ref().is_none_or(|watched| watched.findings.is_empty())
    }

    pub(super) fn open(&mut self) {
        let subject = if self.focus == Focus::Detail {
            self.document.link_at(self.in_document.selected)
        } else {
            self.watched.as_ref().and_then(|watched| self.selected(self.focus, watched))
        };
        if let Some(subject) = subject {
            self.lead_to(subject);
        }
    }

    /// Opens something, with the way back to where one is.
    fn lead_to(&mut self, subject: Subject) {
        if let Some((_, list)) = self.trail.last_mut() {
            *list = self.in_document;
        }
        if self.trail.len() >= MAX_TRAIL {
            self.trail.remove(0);
        }
        if self.focus != Focus::Detail {
            self.came_from = self.focus;
        }
        self.focus = Focus::Detail;
        self.trail.push((subject, List::default()));
        self.in_document = List::default();
        self.tell(self.regions().detail);
        // The first thing that it leads to is what one most likely wants next.
        let first = self.document.links.first().map_or(0, |link| link.0);
        self.in_document.selected = first;
    }

    fn back(&mut self) {
        if self.focus != Focus::Detail {
            self.filter = Filter::default();
            self.rebuild();
            return;
        }
        if self.trail.len() > 1 {
            self.trail.pop();
            self.in_document = self.trail.last().map(|(_, list)| *list).unwrap_or_default();
        } else {
            self.leave_detail();
        }
    }

    fn fold(&mut self, is_folded: bool) {
        let Some(watched) = &self.watched else { return };
        if self.focus != Focus::View {
            return;
        }
        let at = self.list().selected;
        let tasks = &watched.feed.snapshot.tasks;
        let first = |members: &[usize]| Some(tasks.get(*members.first()?)?.id);
        match &watched.rows {
            Rows::Tree(rows) => {
                let Some(row) = rows.get(at) else { return };
                let Some(id) = first(&row.row.members) else { return };
                if is_folded && row.row.has_below && !row.row.is_folded {
                    self.folded.insert(id);
                } else if is_folded {
                    // What is folded or has nothing below it leads to what is above it.
                    let above = rows.iter().take(at).rposition(|it| it.row.level < row.row.level);
                    return self.select(above.unwrap_or(at));
                } else {
                    self.folded.remove(&id);
                }
            }
            Rows::Tasks(table) => {
                let rows = &table.rows;
                let Some(row) = rows.get(at) else { return };
                let Some(id) = table.group(row).map(|group| group.id) else { return };
                if is_folded {
                    let above = rows.iter().take(at + 1).rposition(|row| !row.is_inner);
                    self.unfolded.remove(&id);
                    self.select(above.unwrap_or(at));
                } else if table.members(row).len() > 1 {
                    self.unfolded.insert(id);
                }
            }
            _ => return,
        }
        self.rebuild();
    }

    /// Selects a row of the view.
    pub(super) fn select(&mut self, at: usize) {
        let (tab, height) = (self.tab.index(), usize::from(self.regions().list.height));
        let Some(watched) = &self.watched else { return };
        let (count, subject) = (watched.rows.count(), watched.rows.subject(at, &watched.feed));
        if let Some(list) = self.lists.get_mut(tab) {
            list.select(at, count, height);
        }
        if let Some(kept) = self.kept.get_mut(tab) {
            *kept = subject;
        }
    }

    /// Goes to the next row that is found, or the one before, round and round.
    pub(super) fn go_to_match(&mut self, by: isize) {
        let Some(Watched { rows, .. }) = &self.watched else { return };
        let (count, at) = (rows.count(), self.list().selected);
        let step = if by > 0 { 1 } else { count.saturating_sub(1) };
        let next = (1..=count).map(|n| (at + n * step) % count).find(|at| rows.is_match(*at));
        if let Some(next) = next {
            self.select(next);
        }
    }

    fn pause(&mut self) {
        self.is_paused = !self.is_paused;
        if !self.is_paused
            && let Some(newest) = self.newest.clone()
        {
            self.show(newest);
        }
    }

    /// To another moment of a recording, which then stands.
    fn move_to(&mut self, to: Move) -> Effect {
        self.is_playing = false;
        Effect::Move(to)
    }

    /// The samples of a tenth of a recording.
    fn tenth(&self) -> isize {
        let count = self.place().map_or(1, |place| (place.count / 10).max(1));
        isize::try_from(count).unwrap_or(isize::MAX)
    }

    fn set_rate(&mut self, by: isize) -> Effect {
        let now = RATES.iter().position(|rate| *rate >= self.rate).unwrap_or(RATES.len() - 1);
        let Some(rate) = RATES.get(now.saturating_add_signed(by)).copied() else {
            return Effect::Nothing;
        };
        if (rate - self.rate).abs() < 1e-9 {
            return Effect::Nothing;
        }
        self.rate = rate;
        self.say(format!("{rate} snapshots a second"));
        Effect::Rate(rate)
    }

    fn pin(&mut self) {
        let meant = self.task_meant();
        self.pinned = if meant == self.pinned { None } else { meant };
        self.say(if self.pinned.is_some() {
            "this task stays on top; f lets it go".to_owned()
        } else {
            "no task is pinned".to_owned()
        });
        self.rebuild();
    }

    fn copy(&mut self) -> Effect {
        let lines = self.document.lines.iter().map(|line| line.text().trim_end());
        let text = if self.document.lines.is_empty() {
            self.selected_in_words().unwrap_or_default()
        } else {
            lines.collect::<Vec<_>>().join("\n")
        };
        if text.is_empty() { Effect::Nothing } else { Effect::Copy(text) }
    }

    /// What is told of the selected row, where there is no room to show it.
    fn selected_in_words(&self) -> Option<String> {
        let watched = self.watched.as_ref()?;
        let subject = self.selected(self.focus, watched)?;
        let told = super::detail::document(subject, self, watched, 100);
        let lines: Vec<&str> = told.lines.iter().map(|line| line.text().trim_end()).collect();
        Some(lines.join("\n"))
    }
}
