//! Screens driven by keys over feeds, and what is drawn then.

mod paths;
mod replayed;
pub mod scenes;
mod screens;
mod several;
mod speed;

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::app::{Effect, Event};
use super::feed::Feed;
use super::state::App;
use super::view;
use super::view::theme::{Depth, Theme};
use super::{Target, Top};
use crate::commands::options::typed;

/// The screen as one has it before oneself.
pub struct Screen {
    pub app: App,
    theme: Theme,
    terminal: Terminal<TestBackend>,
}

impl Screen {
    /// A screen on which nothing is shown yet.
    pub fn blank(width: u16, height: u16) -> Self {
        let now = scenes::now().to_zoned(TimeZone::UTC);
        Self {
            app: App::new((width, height), &now, 10.0, false),
            theme: Theme { depth: Depth::None, is_ascii: false },
            terminal: Terminal::new(TestBackend::new(width, height)).unwrap(),
        }
    }

    /// One that shows a feed.
    pub fn of(feed: Feed, width: u16, height: u16) -> Self {
        let mut screen = Self::blank(width, height);
        screen.app.update(Event::Feed(Arc::new(feed)));
        screen
    }

    /// Presses keys: letters as they are, `Enter`, `Down` … by their names.
    pub fn press(&mut self, keys: &str) -> Effect {
        let mut effect = Effect::Nothing;
        for key in keys.split(' ').filter(|key| !key.is_empty()) {
            let code = match key {
                "Enter" => KeyCode::Enter,
                "Esc" => KeyCode::Esc,
                "Up" => KeyCode::Up,
                "Down" => KeyCode::Down,
                "Left" => KeyCode::Left,
                "Right" => KeyCode::Right,
                "PgDn" => KeyCode::PageDown,
                "PgUp" => KeyCode::PageUp,
                "Tab" => KeyCode::Tab,
                "Backspace" => KeyCode::Backspace,
                "Space" => KeyCode::Char(' '),
                key => KeyCode::Char(key.chars().next().unwrap()),
            };
            effect = self.app.update(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        }
        effect
    }

    /// Types letters.
    pub fn types(&mut self, text: &str) {
        for letter in text.chars() {
            let key = KeyEvent::new(KeyCode::Char(letter), KeyModifiers::NONE);
            self.app.update(Event::Key(key));
        }
    }

    /// Clicks at a place.
    pub fn click(&mut self, column: u16, row: u16) {
        let kind = MouseEventKind::Down(MouseButton::Left);
        let modifiers = KeyModifiers::NONE;
        self.app.update(Event::Mouse(MouseEvent { kind, column, row, modifiers }));
    }

    /// What is shown, line by line.
    pub fn text(&mut self) -> String {
        let (app, theme) = (&self.app, self.theme);
        self.terminal.draw(|frame| view::draw(app, theme, frame)).unwrap();
        let buffer = self.terminal.backend().buffer();
        let mut text = String::new();
        for y in 0..buffer.area.height {
            let mut line = String::new();
            let mut skip = 0;
            for x in 0..buffer.area.width {
                // Behind a wide sign lies a cell that is not shown.
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                let symbol = buffer[(x, y)].symbol();
                skip = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
                line.push_str(symbol);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[test]
fn top_takes_a_process_a_command_or_neither() {
    let top = |line: &str| typed::<Top>(line);
    let target = |line: &str| top(line).unwrap().target().unwrap();
    assert!(matches!(target(""), Target::Chosen));
    assert!(matches!(target("4711"), Target::Process(4711)));
    assert!(matches!(target("-p 4711"), Target::Process(4711)));
    let line = "--no-mouse --ascii -- python app.py --port 1";
    assert!(matches!(target(line), Target::Command(words) if words.len() == 4));
    let started = top(line).unwrap().look;
    assert!(!started.has_mouse && started.is_ascii);
    assert!((top("1 -r 2.5").unwrap().rate - 2.5).abs() < 1e-9);
    for bad in ["1 -- python", "-p 1 -- python", "1 -p 1", "1 -r 0", "-r x"] {
        assert_eq!(top(bad).unwrap_err().exit_code(), 2, "{bad}");
    }
}
