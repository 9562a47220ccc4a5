//! A group of tasks: what they wait for and who holds that, where the first of them is, and all of
//! them.

use std::io;

use aiospy::memory::Address;
use aiospy::snapshot::{Task, with_separators};

use super::Writer;
use crate::io::page::{Line, Style};
use crate::report::text::short::{ById, waits};
use crate::report::text::{table, words};
use crate::top::finished::Figures;
use crate::top::view::tasks;

/// How many of its tasks stand above the stack of the first.
const FIRST_TASKS: usize = 3;

impl Writer<'_> {
    pub(super) fn group(&mut self, id: u64) -> io::Result<()> {
        let snapshot = self.snapshot();
        let Some(kept) = self.watched.group(id) else {
            self.line(&Line::new().with(Style::Notice, "has no tasks left"));
            return Ok(());
        };
        let group = kept.group(snapshot);
        let line = Line::new().with(Style::Strong, &table::work(&group));
        let count = format!("  {} × {}", with_separators(group.count), group.state.as_str());
        let count = if group.tasks.is_empty() { "  none is under way now" } else { &count };
        self.line(&line.with(Style::Dim, count));
        self.blank();
        if let Some(figures) = kept.figures {
            self.figures(figures)?;
        }
        if group.tasks.is_empty() {
            return Ok(());
        }
        let reason = waits(&group, snapshot, &ById::of(snapshot));
        self.fact("waits for", Style::Reason, &reason)?;
        if let Some(waiting) = group.waiting() {
            self.task_links("held by", waiting.holders());
        }
        if let Some(oldest) = group.oldest {
            self.fact("oldest", Style::Plain, &words::age(oldest))?;
        }
        let ids: Vec<Address> = group.tasks.iter().map(|task| task.id).collect();
        let (first, rest) = ids.split_at(ids.len().min(FIRST_TASKS));
        self.task_links("tasks", first);
        if let Some(task) = group.first().filter(|task: &&Task| !task.frames.is_empty()) {
            self.blank();
            self.stack(&task.frames, &|_| None);
        }
        if !rest.is_empty() {
            self.blank();
            self.task_links("tasks", rest);
        }
        Ok(())
    }

    /// What samples have shown of those that have finished.
    fn figures(&mut self, figures: Figures) -> io::Result<()> {
        if let Some(rate) = figures.rate {
            let words = format!("{} a second in the last minute", tasks::rate(rate));
            self.fact("finished", Style::Plain, &words)?;
        }
        if let (Some(p50), Some(p95)) = (figures.p50, figures.p95) {
            let [p50, p95] = [p50, p95].map(tasks::at_most);
            self.fact("took", Style::Plain, &format!("half of them {p50}, 95 % {p95}"))?;
        }
        Ok(())
    }
}
