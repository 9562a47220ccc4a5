//! Keys: in the filter, in the help, in the list of processes, and everywhere else.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{App, Effect, MAX_FILTER};
use crate::top::keys::{self, Action};
use crate::top::list::{Filter, List, Search};
use crate::top::query::Query;
use crate::top::tab::Tab;
use crate::top::view::{commands, help};

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
        if self.help.is_some() {
            return self.in_help(key);
        }
        if self.commands.is_some() {
            return self.in_commands(key);
        }
        match keys::action(key, self) {
            Some(Ok(action)) if self.picker.is_some() => self.in_picker(action),
            Some(Ok(action)) => self.act(action),
            Some(Err(why)) => {
                self.say(why.to_owned());
                Effect::Draw
            }
            None => Effect::Nothing,
        }
    }

    fn in_help(&mut self, key: &KeyEvent) -> Effect {
        match key.code {
            KeyCode::Down => return self.scroll_help(1),
            KeyCode::Up => return self.scroll_help(-1),
            KeyCode::PageDown => return self.scroll_help(10),
            KeyCode::PageUp => return self.scroll_help(-10),
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('?') => self.help = None,
            code => type_into(&mut self.help, code),
        }
        Effect::Draw
    }

    pub(super) fn scroll_help(&mut self, by: isize) -> Effect {
        let last = help::last_offset(self);
        if let Some(help) = &mut self.help {
            help.list.offset = help.list.offset.saturating_add_signed(by).min(last);
        }
        Effect::Draw
    }

    fn in_commands(&mut self, key: &KeyEvent) -> Effect {
        let Some(search) = &self.commands else { return Effect::Nothing };
        let found = keys::commands(&search.text, self);
        let chosen = found.get(search.list.selected).copied();
        let (count, height) = (found.len(), commands::rows(found.len(), self.size));
        let mut go = |by| {
            if let Some(search) = &mut self.commands {
                search.list.go(by, count, height);
            }
        };
        match key.code {
            KeyCode::Down => go(1),
            KeyCode::Up => go(-1),
            KeyCode::Esc => self.commands = None,
            KeyCode::Tab => {
                if let (Some(search), Some(chosen)) = (&mut self.commands, chosen) {
                    *search = Search { text: chosen.name().to_owned(), ..Search::default() };
                }
            }
            KeyCode::Enter => {
                self.commands = None;
                match chosen.map(|chosen| chosen.press(self)) {
                    Some(Ok(action)) => return self.act(action),
                    Some(Err(why)) => self.say(why.to_owned()),
                    None => {}
                }
            }
            code => type_into(&mut self.commands, code),
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
            Action::Help => self.help = Some(Search::default()),
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

/// Types into a search; what takes the last letter back when there is none ends it.
fn type_into(search: &mut Option<Search>, code: KeyCode) {
    let Some(open) = search else { return };
    match code {
        KeyCode::Backspace if open.text.is_empty() => *search = None,
        KeyCode::Backspace => {
            open.text.pop();
            open.list = List::default();
        }
        KeyCode::Char(letter) if open.text.len() < MAX_FILTER => {
            open.text.push(letter);
            open.list = List::default();
        }
        _ => {}
    }
}
