//! What is told of one thing at length, with what it leads to.

mod finding;
mod group;
mod others;
mod task;

use std::io;

use aiospy::memory::Address;
use aiospy::snapshot::{Frame, Origin, Snapshot};

use super::feed::Feed;
use super::state::{App, Watched};
use super::subject::{Document, Subject};
use crate::io::page::{Line, Page, Style};
use crate::report::text::source::innermost_own;
use crate::report::text::waiting::TaskNames;
use crate::report::text::{Lines, path, words};

/// Where values begin behind their labels.
const LABEL: usize = 13;
/// How many lines of a source file are shown before and after the one that a frame is at.
const AROUND: u32 = 2;
/// Frames of one stack that are shown.
const MAX_FRAMES: usize = 200;
/// Tasks that are listed as links in one place; the rest is counted.
const MAX_LINKS: usize = 20;

/// Tells of something at length, in lines of `width` columns.
pub fn document(subject: Subject, app: &App, watched: &Watched, width: usize) -> Document {
    let files = watched.feed.files.as_deref();
    let files = files.map(|files| files as &dyn crate::report::text::Files);
    let lines = Lines::of_snapshot(files, watched.snapshot());
    let mut document = Document::default();
    let names = TaskNames::of(watched.snapshot());
    let mut writer = Writer { app, watched, names, width, lines: &lines, to: &mut document };
    // Lines that are kept in memory are always written.
    let _ = match subject {
        Subject::Finding(number) => writer.finding(number),
        Subject::Group(id) => writer.group(id),
        Subject::Task(id) => writer.task(id),
        Subject::Cancelled(id) => writer.cancelled(id),
        Subject::Loop(id) => writer.event_loop(id),
        Subject::Block(id) => writer.block(id),
        Subject::Stretch(id, began) => writer.stretch(id, began),
        Subject::Thread(tid) => writer.thread(tid),
        Subject::Pool(at) => writer.pool(at),
        Subject::Code(code) => writer.explained(code),
        Subject::Problems => writer.problems(),
    };
    document
}

/// Writes a document.
struct Writer<'a> {
    app: &'a App,
    watched: &'a Watched,
    names: TaskNames<'a>,
    width: usize,
    lines: &'a Lines<'a>,
    to: &'a mut Document,
}

impl<'a> Writer<'a> {
    fn feed(&self) -> &'a Feed {
        &self.watched.feed
    }

    fn snapshot(&self) -> &'a Snapshot {
        &self.watched.feed.snapshot
    }

    fn page(&mut self, write: impl FnOnce(&mut Page<'_>) -> io::Result<()>) -> io::Result<()> {
        write(&mut Page::kept(&mut self.to.lines, self.width))
    }

    fn blank(&mut self) {
        if self.to.lines.last().is_some_and(|last| last.width() > 0) {
            self.to.lines.push(Line::new());
        }
    }

    fn line(&mut self, line: &Line) {
        self.to.lines.push(line.fitted(self.width));
    }

    /// A label with what there is to say, over as many lines as it takes.
    fn fact(&mut self, label: &str, style: Style, value: &str) -> io::Result<()> {
        let mut head = Line::new().with(Style::Dim, label);
        head.pad_to(LABEL);
        let margin = " ".repeat(LABEL);
        self.page(|page| page.wrapped(head, &margin, usize::MAX, style, value))
    }

    /// A line that leads to something; behind its label, if it is the first of several.
    fn link(&mut self, label: &str, to: Subject, style: Style, words: &str) {
        let mut line = Line::new().with(Style::Dim, label);
        line.pad_to(LABEL);
        line.add(Style::Active, "› ");
        line.add(style, words);
        self.to.links.push((self.to.lines.len(), to));
        self.line(&line);
    }

    /// Links to tasks, with what each waits for.
    fn task_links(&mut self, label: &str, ids: &[Address]) {
        let mut label = label;
        for id in ids.iter().take(MAX_LINKS) {
            self.task_link(label, *id);
            label = "";
        }
        if let Some(more) = ids.len().checked_sub(MAX_LINKS + 1) {
            let mut line = Line::new();
            line.pad_to(LABEL);
            self.line(&line.with(Style::Dim, &format!("… {} more", words::count(more + 1))));
        }
    }

    fn task_link(&mut self, label: &str, id: Address) {
        let mut line = Line::new().with(Style::Dim, label);
        line.pad_to(LABEL);
        let Some(task) = self.watched.task(id) else {
            line.add(Style::Plain, &format!("{id}"));
            self.line(&line.with(Style::Dim, "  not among the tasks that were read"));
            return;
        };
        line.add(Style::Active, "› ");
        line.add(Style::Strong, &self.names.of_task(id));
        let reasons = crate::report::text::waiting::reasons([task], &self.names);
        if let Some(reason) = reasons.first() {
            line.add(Style::Dim, "  ");
            line.add(Style::Reason, reason);
        } else {
            let (style, state) = words::task_state(task.state);
            line.add(style, &format!("  {state}"));
        }
        self.to.links.push((self.to.lines.len(), Subject::Task(id)));
        self.line(&line);
    }

    /// A stack, outermost frame first; source around the innermost one of the program's own code,
    /// and the line of each other of its own.
    fn stack(&mut self, frames: &[Frame], limits: &dyn Fn(usize) -> Option<(String, bool)>) {
        let own = innermost_own(frames);
        let hidden = frames.len().saturating_sub(MAX_FRAMES);
        if hidden > 0 {
            let words = format!("… {} further out", words::counted(hidden, "frame"));
            self.line(&Line::new().with(Style::Dim, &words));
        }
        for (at, frame) in frames.iter().enumerate().skip(hidden) {
            self.frame(frame);
            if let Some((words, is_past)) = limits(at) {
                let style = if is_past { Style::Alarm } else { Style::Plain };
                self.line(&Line::new().with(Style::Dim, "    ").with(style, &words));
            }
            if !frame.location.is_library() || Some(at) == own {
                let around = if Some(at) == own { AROUND } else { 0 };
                self.source(&frame.location.file, frame.location.line, around);
            }
            for (name, value) in frame.locals.iter().flatten() {
                let line = Line::new().with(Style::Dim, "      ").with(Style::Plain, name);
                self.line(&line.with(Style::Dim, &format!(" = {value}")));
            }
        }
    }

    fn frame(&mut self, frame: &Frame) {
        let location = &frame.location;
        let is_stdlib = location.origin == Origin::Stdlib;
        let style = if is_stdlib { Style::Dim } else { Style::Plain };
        let mut line = Line::new().with(style, &location.function).with(Style::Dim, "  ");
        let room = self.width.saturating_sub(line.width());
        let least = path::place(location.path(), location.line, 0);
        if room < least.len() {
            // The place matters more than the end of a long name.
            let name = self.width.saturating_sub(least.len() + 2);
            line = Line::new().with(style, &location.function).fitted(name).with(Style::Dim, "  ");
        }
        let room = self.width.saturating_sub(line.width());
        line.add(Style::Dim, &path::place(location.path(), location.line, room));
        self.line(&line);
    }

    /// A line of a source file, with some around it.
    fn source(&mut self, file: &str, line: Option<u32>, around: u32) {
        let Some(number) = line else { return };
        for (at, text) in self.lines.around(file, number, around) {
            let (mark, style) = if at == number { ("›", Style::Code) } else { (" ", Style::Dim) };
            let head = format!("{at:>6} ");
            let line = Line::new().with(Style::Dim, &head).with(Style::Active, mark);
            self.line(&line.with(Style::Dim, " ").with(style, &text));
        }
    }
}
