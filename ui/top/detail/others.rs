//! Loops, callbacks that block them, threads and pools.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{Frame, Location};
use aiospy::timeline::Stretch;
use jiff::Timestamp;

use super::Writer;
use crate::io::page::{Line, Style};
use crate::report::text::{loops, waiting, words};
use crate::top::blocks;
use crate::top::subject::{Subject, is_stretch};
use crate::top::words::{clock, place};

/// How many different stacks of one blocking callback are shown.
const MAX_STACKS: usize = 4;
/// How many problems are listed.
const MAX_PROBLEMS: usize = 200;

impl Writer<'_> {
    pub(super) fn event_loop(&mut self, id: Address) -> io::Result<()> {
        let snapshot = self.snapshot();
        let Some(at) = snapshot.loops.iter().position(|of| of.id == id) else {
            self.line(&Line::new().with(Style::Notice, "this loop is gone"));
            return Ok(());
        };
        let Some(of) = snapshot.loops.get(at) else { return Ok(()) };
        let lines = self.lines;
        self.page(|page| loops::event_loop(at + 1, of, snapshot, lines, page))?;
        self.blank();
        if let Some(tid) = of.thread {
            self.link("thread", Subject::Thread(tid), Style::Strong, &tid.to_string());
        }
        if let Some(task) = snapshot.running_task(of) {
            self.task_links("runs", &[task.id]);
        }
        self.blank();
        let feed = self.feed();
        self.stretch_links(blocks::stretches(feed).filter(|it| it.loop_id == id), true);
        Ok(())
    }

    /// A place where callbacks blocked a loop, and each time that they did.
    pub(super) fn block(&mut self, id: u64) -> io::Result<()> {
        let feed = self.feed();
        let all = blocks::all(feed, &|_| true);
        let Some(block) = all.iter().find(|block| block.id == id) else {
            self.line(&Line::new().with(Style::Notice, "no longer kept"));
            return Ok(());
        };
        let kind = words::blocking_kind(block.kind);
        let what = if block.description.is_empty() { kind } else { &*block.description };
        self.page(|page| page.wrapped(Line::new(), "", usize::MAX, Style::Strong, what))?;
        self.blank();
        let [longest, total] = [block.longest, block.total].map(words::duration);
        let goes_on = if block.is_now { ", and goes on" } else { "" };
        let words = if block.count == 1 {
            format!("once, for {total}{goes_on}")
        } else {
            let times = words::count(usize::try_from(block.count).unwrap_or(usize::MAX));
            format!("{times} times, {total} in all, {longest} at most{goes_on}")
        };
        self.fact("blocked", Style::Plain, &words)?;
        self.fact("kind", Style::Plain, kind)?;
        if !block.by.is_empty() {
            self.fact("by", Style::Plain, &block.by.join(", "))?;
        }
        let stretches = || blocks::stretches(feed).filter(|it| blocks::id_of(it) == id);
        if let Some(at) = stretches().find_map(|it| it.place()) {
            let room = self.width.saturating_sub(super::LABEL);
            self.fact("at", Style::Plain, &place(at, room))?;
            self.source(&at.file, at.line, super::AROUND);
        }
        self.blank();
        self.stretch_links(stretches(), false);
        Ok(())
    }

    /// Links to stretches, the newest first; each with what it was blocked in where that differs.
    fn stretch_links<'s>(&mut self, all: impl Iterator<Item = &'s Arc<Stretch>>, differ: bool) {
        for (at, stretch) in all.enumerate() {
            let began = clock(stretch.began_at, &self.app.zone);
            let began = if stretch.is_over { began } else { "now".to_owned() };
            let length = words::duration(stretch.length);
            let by = blocks::by(stretch).unwrap_or_default();
            let what = stretch.work.as_deref().filter(|_| differ);
            let what = what.map(|work| &*work.description).unwrap_or_default();
            let words = format!("{began:<8}  {length:>7}  {by}  {what}");
            let style = if stretch.is_over { Style::Plain } else { Style::Alarm };
            let to = Subject::Stretch(stretch.loop_id, stretch.began_at);
            self.link(if at == 0 { "blocked at" } else { "" }, to, style, words.trim_end());
        }
    }

    pub(super) fn stretch(&mut self, id: Address, began: Timestamp) -> io::Result<()> {
        let feed = self.feed();
        let Some(stretch) = blocks::stretches(feed).find(|it| is_stretch(it, id, began)) else {
            self.line(&Line::new().with(Style::Notice, "no longer kept"));
            return Ok(());
        };
        let goes_on = if stretch.is_over { "" } else { ", goes on" };
        let words = format!("blocked for {}{goes_on}", words::duration(stretch.length));
        let style = if stretch.is_over { Style::Strong } else { Style::Alarm };
        self.line(&Line::new().with(style, &words));
        let uncertain = match stretch.uncertainty {
            it if it < Duration::from_millis(1) => String::new(),
            it => format!(", ± {}", words::duration(it)),
        };
        let seen = words::counted(usize::try_from(stretch.samples).unwrap_or(0), "sample");
        self.fact(
            "began",
            Style::Plain,
            &format!("{}{uncertain}, {seen}", clock(began, &self.app.zone)),
        )?;
        if let Some(work) = &stretch.work {
            self.fact("blocked in", Style::Reason, &work.description)?;
            if let Some(handle) = &work.handle {
                self.fact("ran", Style::Plain, handle)?;
            }
            if let Some(task) = work.task.filter(|task| self.watched.task(*task).is_some()) {
                self.task_links("task", &[task]);
            }
            if let Some(at) = &work.place {
                self.fact("at", Style::Plain, &place(at, self.width.saturating_sub(super::LABEL)))?;
            }
        }
        if let Some(tid) = stretch.thread {
            self.link("thread", Subject::Thread(tid), Style::Plain, &tid.to_string());
        }
        let all: u32 = stretch.stacks.iter().map(|(_, count)| count).sum();
        for (work, count) in stretch.stacks.iter().take(MAX_STACKS) {
            self.blank();
            if stretch.stacks.len() > 1 {
                let words = format!("{count} of {all} samples: {}", work.description);
                self.line(&Line::new().with(Style::Dim, &words));
            }
            let frames: Vec<Frame> = work.stack.iter().map(frame).collect();
            self.stack(&frames, &|_| None);
        }
        Ok(())
    }

    pub(super) fn thread(&mut self, tid: i32) -> io::Result<()> {
        let snapshot = self.snapshot();
        let thread = snapshot.threads.iter().find(|thread| thread.tid == Some(tid));
        let Some(thread) = thread else {
            self.line(&Line::new().with(Style::Strong, &format!("thread {tid}")));
            self.line(&Line::new().with(Style::Notice, "has ended"));
            return Ok(());
        };
        let name = thread.name.as_deref().unwrap_or("unnamed");
        let line = Line::new().with(Style::Strong, name);
        let sub = thread.interpreter.map(|id| format!(" in interpreter {id}")).unwrap_or_default();
        self.line(&line.with(Style::Dim, &format!("  thread {tid}{sub}")));
        if let Some(held) = words::held(thread.state) {
            self.line(&Line::new().with(Style::Alarm, held));
        }
        self.blank();
        if let Some(doing) = words::thread(thread.state, thread.syscall.as_ref()) {
            self.fact("is", Style::Plain, &doing)?;
        }
        if let Some(waiting) = thread.waiting_on.as_deref() {
            self.fact("waits for", Style::Reason, waiting::described(waiting))?;
            self.task_links("held by", waiting.holders());
            self.task_links("awaits", waiting.tasks());
            if let Some(tid) = waiting.thread() {
                self.link("thread", Subject::Thread(tid), Style::Strong, &tid.to_string());
            }
        }
        if let Some(time) = thread.cpu_time {
            self.fact("processor", Style::Plain, &words::duration(time))?;
        }
        for (at, of) in snapshot.loops.iter().enumerate() {
            if of.thread == Some(tid) {
                let words = format!("loop {}, {}", at + 1, words::loop_state(of).1);
                self.link("runs", Subject::Loop(of.id), Style::Plain, &words);
            }
        }
        let jobs = snapshot.pools().into_iter().flat_map(|pool| &pool.jobs);
        for job in jobs.filter(|job| job.thread == Some(tid)) {
            self.fact("job", Style::Plain, job.function.as_deref().unwrap_or("?"))?;
            self.task_links("for", job.task.as_slice());
        }
        self.blank();
        if thread.frames.is_empty() {
            self.line(&Line::new().with(Style::Dim, "no Python frame was read"));
        }
        self.stack(&thread.frames, &|_| None);
        Ok(())
    }

    pub(super) fn problems(&mut self) -> io::Result<()> {
        let problems = &self.snapshot().problems;
        let title = format!("{} while reading", words::counted(problems.len(), "problem"));
        self.line(&Line::new().with(Style::Notice, &title));
        self.line(&Line::new().with(Style::Dim, words::consistency(self.snapshot().consistency)));
        self.blank();
        for problem in problems.iter().take(MAX_PROBLEMS) {
            let head = Line::new().with(Style::Strong, &problem.place).with(Style::Plain, ": ");
            let words = format!("{}: {}", problem.wanted, problem.cause);
            self.page(|page| page.wrapped(head, "    ", usize::MAX, Style::Plain, &words))?;
        }
        if let Some(more) = problems.len().checked_sub(MAX_PROBLEMS + 1) {
            let words = format!("… {} more", words::count(more + 1));
            self.line(&Line::new().with(Style::Dim, &words));
        }
        Ok(())
    }

    pub(super) fn pool(&mut self, at: usize) -> io::Result<()> {
        let snapshot = self.snapshot();
        let Some(pool) = snapshot.pools().get(at).copied() else {
            self.line(&Line::new().with(Style::Notice, "this pool is gone"));
            return Ok(());
        };
        let name = pool.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("unnamed");
        self.line(&Line::new().with(Style::Strong, name).with(Style::Dim, "  thread pool"));
        self.blank();
        self.line(&loops::executor(Line::new(), pool));
        for job in &pool.jobs {
            self.blank();
            let time = job.elapsed.map(|time| format!(" for {}", words::duration(time)));
            let words = format!(
                "{}{}",
                job.function.as_deref().unwrap_or("a call that was not read"),
                time.unwrap_or_default()
            );
            self.fact("job", Style::Reason, &words)?;
            if let Some(tid) = job.thread {
                self.link("in thread", Subject::Thread(tid), Style::Plain, &tid.to_string());
            }
            self.task_links("for", job.task.as_slice());
        }
        Ok(())
    }
}

fn frame(location: &Arc<Location>) -> Frame {
    Frame { location: Arc::clone(location), locals: None }
}
