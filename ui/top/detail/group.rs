//! A group of tasks: what they wait for and who holds that, where the first of them is, and all of
//! them.

use std::io;

use aiospy::memory::Address;
use aiospy::snapshot::{Task, with_separators};

use super::Writer;
use crate::io::page::{Line, Style};
use crate::report::text::short::{ById, waits};
use crate::report::text::{table, words};

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
        self.line(&line.with(Style::Dim, &count));
        self.blank();
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
}
