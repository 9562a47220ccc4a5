//! All looks in one place: as many colours as the terminal has, or none.
//!
//! Colour is never the only sign: what it says is also said by a word, a sign or a place.

use ratatui::style::{Color, Modifier, Style as Look};

use crate::io::page::Style;

/// How many colours there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    None,
    Sixteen,
    Palette,
    True,
}

/// How the screen looks.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    pub depth: Depth,
    /// Whether only ASCII is drawn.
    pub is_ascii: bool,
}

impl Theme {
    /// As many colours as the terminal says it has, if any are wanted.
    pub fn of(is_colored: bool, is_ascii: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let term = variable("TERM").unwrap_or_default();
        let is_true = || {
            variable("COLORTERM").is_some_and(|it| matches!(it.as_str(), "truecolor" | "24bit"))
                || term.ends_with("-direct")
        };
        let depth = match () {
            () if !is_colored => Depth::None,
            () if is_true() => Depth::True,
            () if term.contains("256color") => Depth::Palette,
            () => Depth::Sixteen,
        };
        Self { depth, is_ascii }
    }

    fn color(self, sixteen: Color, palette: u8, (r, g, b): (u8, u8, u8)) -> Look {
        match self.depth {
            Depth::None => Look::new(),
            Depth::Sixteen => Look::new().fg(sixteen),
            Depth::Palette => Look::new().fg(Color::Indexed(palette)),
            Depth::True => Look::new().fg(Color::Rgb(r, g, b)),
        }
    }

    /// The look of a piece of text.
    pub fn text(self, style: Style) -> Look {
        match style {
            Style::Plain => Look::new(),
            Style::Dim if self.depth == Depth::None => Look::new().add_modifier(Modifier::DIM),
            Style::Dim => self.color(Color::DarkGray, 245, (138, 143, 152)),
            Style::Strong => Look::new().add_modifier(Modifier::BOLD),
            Style::Active => self.color(Color::Green, 108, (122, 178, 132)),
            Style::Code => self.color(Color::Cyan, 73, (96, 172, 184)),
            Style::Reason => self.color(Color::Magenta, 139, (176, 138, 190)),
            Style::Notice => self.color(Color::Yellow, 172, (208, 148, 58)),
            Style::Alarm => self.color(Color::Red, 167, (222, 92, 92)).add_modifier(Modifier::BOLD),
        }
    }

    /// The look of lines between parts of the screen.
    pub fn rule(self) -> Look {
        match self.depth {
            Depth::None => Look::new().add_modifier(Modifier::DIM),
            _ => self.color(Color::DarkGray, 240, (88, 92, 100)),
        }
    }

    /// The look of the selected row of the part that keys go to.
    pub fn selected(self) -> Look {
        match self.depth {
            Depth::None | Depth::Sixteen => Look::new().add_modifier(Modifier::REVERSED),
            Depth::Palette => Look::new().fg(Color::Indexed(231)).bg(Color::Indexed(24)),
            Depth::True => Look::new().fg(Color::Rgb(240, 244, 248)).bg(Color::Rgb(38, 79, 110)),
        }
    }

    /// The look of the selected row of another part.
    pub fn marked() -> Look {
        Look::new().add_modifier(Modifier::BOLD)
    }

    /// The look of the name of the view that is shown.
    pub fn tab() -> Look {
        Look::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(is_colored: bool, term: &str, colorterm: Option<&str>) -> Depth {
        let variable = |name: &str| match name {
            "TERM" => Some(term.to_owned()),
            _ => colorterm.map(str::to_owned),
        };
        Theme::of(is_colored, false, variable).depth
    }

    #[test]
    fn colours_are_those_of_the_terminal() {
        assert_eq!(depth(true, "xterm-256color", None), Depth::Palette);
        assert_eq!(depth(true, "xterm-256color", Some("truecolor")), Depth::True);
        assert_eq!(depth(true, "linux", None), Depth::Sixteen);
        assert_eq!(depth(false, "xterm-256color", Some("truecolor")), Depth::None);
    }

    #[test]
    fn without_colours_nothing_is_coloured() {
        let theme = Theme { depth: Depth::None, is_ascii: false };
        for style in [Style::Dim, Style::Active, Style::Notice, Style::Alarm, Style::Reason] {
            assert_eq!((theme.text(style).fg, theme.text(style).bg), (None, None));
        }
        assert_eq!((theme.selected().fg, theme.selected().bg), (None, None));
    }
}
