//! Lines of text on their way out: cleaned, coloured, cut to the terminal's width.
//!
//! Every text that comes from the target goes through [`clean`] here, so that a task's name
//! cannot drive the terminal. Nothing else in `ui/` writes text that is not its own.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How a piece of text looks; each also differs from the others in its words, never by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text as it is.
    Plain,
    /// What one reads last: paths, lines of the tree, units.
    Dim,
    /// What one looks for: names.
    Strong,
    /// What goes on now.
    Active,
    /// A line of the program.
    Code,
    /// What a task waits for.
    Reason,
    /// What is noteworthy.
    Notice,
    /// What is wrong.
    Alarm,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "2",
            Self::Strong => "1",
            Self::Active => "32",
            Self::Code => "36",
            Self::Reason => "35",
            Self::Notice => "33",
            Self::Alarm => "1;31",
        }
    }
}

/// One line being put together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    text: String,
    /// Where in `text` a style begins; it lasts to the next.
    styles: Vec<(usize, Style)>,
    width: usize,
}

impl Line {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `text`, cleaned.
    #[must_use]
    pub fn with(mut self, style: Style, text: &str) -> Self {
        self.add(style, text);
        self
    }

    /// Adds `text`, cleaned.
    pub fn add(&mut self, style: Style, text: &str) {
        if text.is_empty() {
            return;
        }
        let text = clean(text);
        if self.styles.last().is_none_or(|last| last.1 != style) {
            self.styles.push((self.text.len(), style));
        }
        self.width += text.width();
        self.text.push_str(&text);
    }

    /// Adds blanks up to column `column`, if the line is not there yet.
    pub fn pad_to(&mut self, column: usize) {
        let blanks = column.saturating_sub(self.width);
        self.text.extend(std::iter::repeat_n(' ', blanks));
        self.width += blanks;
    }

    /// How many columns the line takes so far.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its text in pieces, each with its look.
    pub fn pieces(&self) -> impl Iterator<Item = (Style, &str)> {
        let ends = self.styles.iter().skip(1).map(|next| next.0).chain([usize::MAX]);
        let first = self.styles.first().map_or(self.text.len(), |first| first.0);
        let blanks = (Style::Plain, self.text.get(..first).unwrap_or_default());
        let pieces = self.styles.iter().zip(ends).map(|(&(start, style), end)| {
            (style, self.text.get(start..end.min(self.text.len())).unwrap_or_default())
        });
        std::iter::once(blanks).chain(pieces).filter(|(_, piece)| !piece.is_empty())
    }

    /// The line in at most `width` columns, with `…` for what is left out at its end.
    #[must_use]
    pub fn fitted(&self, width: usize) -> Self {
        if self.width <= width {
            return self.clone();
        }
        let mut line = Self::new();
        let room = width.saturating_sub(1);
        for (style, piece) in self.pieces() {
            let piece = cut(piece, room - line.width.min(room));
            line.add(style, piece);
        }
        line.add(Style::Dim, "…");
        line
    }
}

/// Below this width titles take several lines.
pub const NARROW: usize = 80;

/// How wide a page is laid out where nothing says how wide it is.
pub const COLUMNS: usize = 120;

/// Where lines go, and in which shape.
pub struct Page<'a> {
    out: Out<'a>,
    width: Option<usize>,
    columns: usize,
    color: bool,
}

/// Where lines go.
enum Out<'a> {
    Writer(&'a mut dyn Write),
    Lines(&'a mut Vec<Line>),
}

impl<'a> Page<'a> {
    /// A page on `out`; lines are cut to `width` columns if one is given.
    pub fn new(out: &'a mut dyn Write, width: Option<usize>, color: bool) -> Self {
        Self { out: Out::Writer(out), width, columns: COLUMNS, color }
    }

    /// The same page, laid out in so many columns where its lines are not cut.
    #[must_use]
    pub fn of_columns(self, columns: usize) -> Self {
        Self { columns, ..self }
    }

    /// A page that keeps its lines, cut to `width` columns.
    pub fn kept(lines: &'a mut Vec<Line>, width: usize) -> Self {
        Self { out: Out::Lines(lines), width: Some(width), columns: COLUMNS, color: false }
    }

    /// How many columns a line may take; `None` when it may take as many as it likes.
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// How many columns tables and what else is laid out take.
    pub fn columns(&self) -> usize {
        self.width.unwrap_or(self.columns)
    }

    /// How many columns are left behind the first `used` ones.
    pub fn room(&self, used: usize) -> usize {
        self.width.map_or(usize::MAX, |width| width.saturating_sub(used))
    }

    /// Writes one line.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn line(&mut self, line: &Line) -> io::Result<()> {
        let (width, color) = (self.width, self.color);
        let out = match &mut self.out {
            Out::Writer(out) => out,
            Out::Lines(lines) => {
                lines.push(line.fitted(width.unwrap_or(usize::MAX)));
                return Ok(());
            }
        };
        let text = line.text.trim_end();
        let (keep, is_cut) = match width {
            Some(width) if text.width() > width => (cut(text, width.saturating_sub(1)), true),
            _ => (text, false),
        };
        if color {
            Self::styled(*out, line, keep)?;
        } else {
            out.write_all(keep.as_bytes())?;
        }
        out.write_all(if is_cut { "…\n" } else { "\n" }.as_bytes())
    }

    fn styled(out: &mut dyn Write, line: &Line, text: &str) -> io::Result<()> {
        let ends = line.styles.iter().skip(1).map(|next| next.0).chain([usize::MAX]);
        for (&(start, style), end) in line.styles.iter().zip(ends) {
            let Some(piece) =
                text.get(start..end.min(text.len())).filter(|piece| !piece.is_empty())
            else {
                break;
            };
            match style.code() {
                "" => out.write_all(piece.as_bytes())?,
                code => write!(out, "\x1b[{code}m{piece}\x1b[0m")?,
            }
        }
        Ok(())
    }

    /// Writes one line that begins with `head` and goes on with `items`; where they do not fit,
    /// they take lines of their own behind `margin`.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn line_with(
        &mut self,
        head: Line,
        margin: &str,
        style: Style,
        items: &[String],
    ) -> io::Result<()> {
        if items.is_empty() {
            return self.line(&head);
        }
        let tail = items.join(", ");
        if head.width() + 2 + clean(&tail).width() <= self.room(0) {
            return self.line(&head.with(Style::Dim, "  ").with(style, &tail));
        }
        self.line(&head)?;
        self.items(margin, style, ", ", items)
    }

    /// Writes `items` behind `margin`, as many on a line as fit, with `separator` between them.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn items(
        &mut self,
        margin: &str,
        style: Style,
        separator: &str,
        items: &[String],
    ) -> io::Result<()> {
        let mut line = Line::new().with(Style::Dim, margin);
        for item in items {
            let width = clean(item).width();
            let is_first = line.width() == margin.width();
            if !is_first && line.width() + separator.width() + width > self.room(0) {
                self.line(&line)?;
                line = Line::new().with(Style::Dim, margin);
            } else if !is_first {
                line.add(style, separator);
            }
            line.add(style, item);
        }
        self.line(&line)
    }

    /// Writes `head` and behind it `text`, over as many lines as it takes, the others behind
    /// `margin`; `limit` is the widest they become, so that long sentences stay readable.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn wrapped(
        &mut self,
        head: Line,
        margin: &str,
        limit: usize,
        style: Style,
        text: &str,
    ) -> io::Result<()> {
        let limit = self.width.map_or(usize::MAX, |width| width.min(limit));
        let mut line = head;
        let mut is_begun = false;
        for word in clean(text).split(' ') {
            let blank = usize::from(is_begun);
            if is_begun && !word.is_empty() && line.width() + blank + word.width() > limit {
                self.line(&line)?;
                line = Line::new().with(Style::Dim, margin);
            } else if is_begun {
                line.add(style, " ");
            }
            line.add(style, word);
            is_begun = true;
        }
        self.line(&line)
    }

    /// Writes one line of plain text.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.line(&Line::new().with(Style::Plain, text))
    }

    /// Writes an empty line.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn blank(&mut self) -> io::Result<()> {
        self.line(&Line::new())
    }
}

/// The longest start of `text` that takes at most `width` columns.
pub fn cut(text: &str, width: usize) -> &str {
    let mut taken = 0;
    for (at, char) in text.char_indices() {
        taken += char.width().unwrap_or(0);
        if taken > width {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// `text` in at most `width` columns, with `…` for what is left out at its end.
pub fn fit(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", cut(text, width.saturating_sub(1))))
}

/// `text` with everything that could drive a terminal, or hide, shown in Python's own notation.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            '\n' => clean.push_str("\\n"),
            '\r' => clean.push_str("\\r"),
            '\t' => clean.push_str("\\t"),
            _ if !is_unsafe(char) => clean.push(char),
            _ => {
                let code = u32::from(char);
                let _ = match code {
                    0..=0xff => write!(clean, "\\x{code:02x}"),
                    0x100..=0xffff => write!(clean, "\\u{code:04x}"),
                    _ => write!(clean, "\\U{code:08x}"),
                };
            }
        }
    }
    Cow::Owned(clean)
}

/// Whether `char` moves the cursor, turns the direction of writing, or takes no visible place
/// although it is no accent.
pub fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(width: Option<usize>, color: bool, line: &Line) -> String {
        let mut out = Vec::new();
        Page::new(&mut out, width, color).line(line).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(clean("worker-3 — grün 任务"), "worker-3 — grün 任务");
        assert_eq!(clean("a\x1b[2Jb"), "a\\x1b[2Jb");
        assert_eq!(clean("a\u{9b}2J"), "a\\x9b2J");
        assert_eq!(clean("one\ntwo\r\t\0\u{7f}"), "one\\ntwo\\r\\t\\x00\\x7f");
        assert_eq!(clean("\u{202e}evil\u{2066}"), "\\u202eevil\\u2066");
        assert_eq!(clean("a\u{200b}b\u{feff}"), "a\\u200bb\\ufeff");
        assert_eq!(clean("\u{e0041}"), "\\U000e0041");
    }

    #[test]
    fn lines_are_cut_by_columns_not_bytes() {
        let line = Line::new().with(Style::Plain, "任务任务任务");
        assert_eq!(print(None, false, &line), "任务任务任务\n");
        assert_eq!(print(Some(12), false, &line), "任务任务任务\n");
        assert_eq!(print(Some(11), false, &line), "任务任务任…\n");
        assert_eq!(print(Some(10), false, &line), "任务任务…\n");
    }

    #[test]
    fn colours_begin_and_end_on_each_piece() {
        let line = Line::new().with(Style::Dim, "└─ ").with(Style::Strong, "main");
        assert_eq!(print(None, true, &line), "\x1b[2m└─ \x1b[0m\x1b[1mmain\x1b[0m\n");
        assert_eq!(print(Some(5), true, &line), "\x1b[2m└─ \x1b[0m\x1b[1mm\x1b[0m…\n");
        assert_eq!(print(None, false, &line), "└─ main\n");
    }

    #[test]
    fn sentences_are_broken_between_words() {
        let wrapped = |width, limit, text: &str| {
            let mut out = Vec::new();
            let head = Line::new().with(Style::Strong, "!! ");
            Page::new(&mut out, width, false)
                .wrapped(head, "   ", limit, Style::Plain, text)
                .unwrap();
            String::from_utf8(out).unwrap()
        };
        let text = "one two three four";
        assert_eq!(wrapped(None, 10, text), "!! one two three four\n");
        assert_eq!(wrapped(Some(10), 80, text), "!! one two\n   three\n   four\n");
        assert_eq!(wrapped(Some(80), 16, text), "!! one two three\n   four\n");
        assert_eq!(
            wrapped(Some(8), 80, "a-long-word x"),
            "!! a-lon…\n   x\n".replace("a-lon", "a-lo")
        );
        assert_eq!(wrapped(Some(80), 80, "  nested"), "!!   nested\n");
        assert_eq!(wrapped(Some(80), 80, ""), "!!\n");
    }

    #[test]
    fn a_page_may_keep_its_lines() {
        let mut lines = Vec::new();
        let mut page = Page::kept(&mut lines, 6);
        let mut line = Line::new();
        line.pad_to(2);
        page.line(&line.with(Style::Dim, "ab").with(Style::Strong, "cdef")).unwrap();
        page.text("short").unwrap();
        let pieces: Vec<_> = lines[0].pieces().collect();
        assert_eq!(
            pieces,
            [(Style::Plain, "  "), (Style::Dim, "ab"), (Style::Strong, "c"), (Style::Dim, "…")]
        );
        assert_eq!((lines[0].width(), lines[1].text()), (6, "short"));
    }

    #[test]
    fn padding_does_not_shorten() {
        let mut line = Line::new().with(Style::Plain, "abc");
        line.pad_to(2);
        line.pad_to(6);
        line.add(Style::Plain, "d");
        assert_eq!(print(None, false, &line), "abc   d\n");
    }
}
