//! A finding: what it says, whom it concerns, what it rests on and what to do.

use std::io;

use aiospy::diagnose::{About, rule};
use aiospy::snapshot::Code;
use unicode_width::UnicodeWidthStr as _;

use super::{AROUND, Writer};
use crate::commands::explain;
use crate::io::page::{Line, Page, Style};
use crate::report::text::{findings, words};
use crate::top::feed::OpenFinding as Open;
use crate::top::subject::Subject;
use crate::top::words::age;

/// How many of its tasks stand above the evidence; the others follow below.
const FIRST_TASKS: usize = 3;
/// How many lines of evidence are shown.
const MAX_EVIDENCE: usize = 40;

impl Writer<'_> {
    /// What findings of a code mean. The texts are 80 columns wide; where there is less room, their
    /// lines go on below.
    pub(super) fn explained(&mut self, code: Code) -> io::Result<()> {
        let mut lines = Vec::new();
        explain::one(code, &mut Page::kept(&mut lines, usize::MAX))?;
        for line in lines {
            // Without their margin they fit 80 columns with a border.
            let text = line.text().strip_prefix("  ").filter(|_| self.width < 80);
            let text = text.unwrap_or(line.text());
            if text.width() <= self.width {
                let style = line.pieces().next().map_or(Style::Plain, |(style, _)| style);
                let is_whole = text.len() == line.text().len();
                self.to.lines.push(if is_whole { line } else { Line::new().with(style, text) });
                continue;
            }
            let margin = " ".repeat(text.len() - text.trim_start().len());
            let text = text.trim_start();
            let head = Line::new().with(Style::Plain, &margin);
            self.page(|page| page.wrapped(head, &margin, usize::MAX, Style::Plain, text))?;
        }
        Ok(())
    }

    pub(super) fn finding(&mut self, number: u64) -> io::Result<()> {
        let feed = self.feed();
        let Some(known) = feed.findings.iter().find(|known| known.number == number) else {
            self.line(&Line::new().with(Style::Strong, &format!("finding {number}")));
            self.line(&Line::new().with(Style::Notice, "is over"));
            return Ok(());
        };
        let finding = &known.finding;
        let (style, word) = findings::word(finding.severity);
        let head = Line::new().with(style, word).with(Style::Dim, &format!(" [{}]", finding.code));
        let since = format!("  for {}", age(known.since, self.app.now));
        self.line(&head.with(Style::Dim, &since));
        let title = findings::said(finding);
        self.page(|page| page.wrapped(Line::new(), "", usize::MAX, Style::Strong, &title))?;
        self.blank();

        let (first, rest) = finding.tasks.split_at(finding.tasks.len().min(FIRST_TASKS));
        self.task_links(if finding.tasks.len() == 1 { "task" } else { "tasks" }, first);
        if let (Some(id), true) = (finding.loop_id, rule(finding.code).about == About::Loop) {
            self.link("loop", Subject::Loop(id), Style::Strong, "how it spends its time");
        }
        let is_cause = |it: &&Open| finding.because_of == Some(it.finding.id);
        if let Some(cause) = feed.findings.iter().find(is_cause) {
            let words = format!("[{}]", cause.finding.code);
            self.link("follows from", Subject::Finding(cause.number), Style::Plain, &words);
        }
        self.blank();
        if !finding.advice.is_empty() {
            let head = Line::new().with(Style::Active, "advice: ");
            self.page(|page| page.wrapped(head, "", usize::MAX, Style::Plain, &finding.advice))?;
            self.blank();
        }

        let mut last = None;
        for fact in finding.evidence.iter().take(MAX_EVIDENCE) {
            let margin = findings::indent(fact);
            let words = findings::fact(fact);
            let head = Line::new().with(Style::Dim, &format!("{margin}· "));
            let next = format!("{margin}  ");
            self.page(|page| page.wrapped(head, &next, usize::MAX, Style::Plain, &words))?;
            if let Some(place) = findings::own_place(fact).filter(|place| last != Some(*place)) {
                self.source(&place.file, place.line, AROUND / 2);
                last = Some(place);
            }
        }
        if let Some(more) = finding.evidence.len().checked_sub(MAX_EVIDENCE + 1) {
            let words = format!("… {} more lines", words::count(more + 1));
            self.line(&Line::new().with(Style::Dim, &words));
        }
        if !rest.is_empty() {
            self.blank();
            let names = self.names.folded(rest.iter().copied());
            let words = format!("{} more: {names}", words::count(rest.len()));
            self.page(|page| page.wrapped(Line::new(), "", usize::MAX, Style::Dim, &words))?;
            self.task_links("tasks", rest);
        }
        self.blank();
        let words = format!("x explains what {} means", finding.code);
        self.page(|page| page.wrapped(Line::new(), "", usize::MAX, Style::Dim, &words))
    }
}
