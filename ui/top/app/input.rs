//! Keys: in the filter, in the help, in the list of processes, and everywhere else.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{App, Effect, MAX_FILTER};
use crate::top::keys::{self, Action};
use crate::top::list::{Filter, List};
use crate::top::query::Query;
use crate::top::tab::Tab;
use crate::top::view::help;

impl App {
    pub(super) fn key(&mut self, key: &KeyEvent) -> Effect {
        let is_ctrl_c =
            key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
        if is_ctrl_c {
            return Effect::Quit;
        }
        self.is_touched = true;
        if self.picker.as_ref().map_or(self.filter.is_typed, |picker| picker.filter.is_typed) {
            return self.type_filter(key);
        }
        let Some(action) = keys::action(key, self) else {
            // Any key takes the help away.
            return if self.help.take().is_some() { Effect::Draw } else { Effect::Nothing };
        };
        if self.help.is_some() {
            return self.in_help(action);
        }
        if self.picker.is_some() {
            return self.in_picker(action);
        }
        self.act(action)
    }

    fn in_help(&mut self, action: Action) -> Effect {
        let by = match action {
            Action::Down => 1,
            Action::Up => -1,
            Action::PageDown => 10,
            Action::PageUp => -10,
            // `q` too: one that is read is put away by it.
            _ => {
                self.help = None;
                return Effect::Draw;
            }
        };
        if let Some(list) = &mut self.help {
            let last = help::last_offset(self.size);
            list.offset = list.offset.saturating_add_signed(by).min(last);
        }
        Effect::Draw
    }

    fn in_picker(&mut self, action: Action) -> Effect {
        let height = usize::from(self.size.1.saturating_sub(5));
        let Some(picker) = &mut self.picker else { return Effect::Nothing };
        let page = isize::try_from(height).unwrap_or(1);
        match action {
            Action::Up => picker.go(-1, height),
            Action::Down => picker.go(1, height),
            Action::PageUp => picker.go(-page, height),
            Action::PageDown => picker.go(page, height),
            Action::Top => picker.go(isize::MIN, height),
            Action::Bottom => picker.go(isize::MAX, height),
            Action::Filter => picker.filter.is_typed = true,
            Action::Back => picker.filter = Filter::default(),
            Action::Help => self.help = Some(List::default()),
            Action::Quit => return Effect::Quit,
            Action::Open => {
                let Some(pid) = picker.chosen() else { return Effect::Nothing };
                return Effect::Attach(pid);
            }
            _ => return Effect::Nothing,
        }
        Effect::Draw
    }

    /// The process that was chosen is attached to.
    pub fn attached(&mut self) {
        self.picker = None;
        self.is_touched = false;
        self.notice = None;
        self.settle();
    }

    fn type_filter(&mut self, key: &KeyEvent) -> Effect {
        let filter = match &mut self.picker {
            Some(picker) => &mut picker.filter,
            None => &mut self.filter,
        };
        match key.code {
            KeyCode::Esc => *filter = Filter::default(),
            KeyCode::Enter | KeyCode::Down | KeyCode::Up => filter.is_typed = false,
            KeyCode::Backspace if filter.text.is_empty() => *filter = Filter::default(),
            KeyCode::Backspace => {
                filter.text.pop();
            }
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                filter.text.clear();
            }
            KeyCode::Char(char) if filter.text.len() < MAX_FILTER => {
                filter.text.push(char);
            }
            _ => return Effect::Nothing,
        }
        filter.query = Query::of(&filter.text);
        if self.picker.is_none() {
            self.rebuild();
            self.go_to_first_match();
        }
        Effect::Draw
    }

    /// In the tree, which shows all rows, goes to the next one that is found.
    fn go_to_first_match(&mut self) {
        let Some(watched) = &self.watched else { return };
        let at = self.list().selected;
        if self.tab == Tab::Tree && !self.filter.text.is_empty() && !watched.rows.is_match(at) {
            self.go_to_match(1);
        }
    }
}
