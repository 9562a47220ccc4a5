//! A task: what it waits for and who holds that, where it is, its place among the others.

use std::fmt::Write as _;
use std::io;

use aiospy::memory::Address;
use aiospy::snapshot::{Context, Task, Waiting};

use super::{MAX_LINKS, Writer};
use crate::io::page::{Line, Style};
use crate::report::text::{findings, waiting, words};
use crate::top::subject::Subject;
use crate::top::words::{age, fate_word, short_place};

/// How many cancellations of one task are told.
const MAX_HISTORIES: usize = 4;
/// How many tasks of the way up to the one that all wait under are named.
const MAX_ABOVE: usize = 6;

impl Writer<'_> {
    pub(super) fn task(&mut self, id: Address) -> io::Result<()> {
        let Some(task) = self.watched.task(id) else {
            self.line(&Line::new().with(Style::Strong, &format!("task {id}")));
            let words = if self.feed().is_ended { "is not among the last" } else { "has ended" };
            self.line(&Line::new().with(Style::Notice, words));
            return Ok(());
        };
        let name = task.name.as_deref().map_or_else(|| id.to_string(), str::to_owned);
        let (style, state) = words::task_state(task.state);
        let line = Line::new().with(Style::Strong, &name).with(style, &format!("  {state}"));
        self.line(&line.with(Style::Dim, &format!("  {id}")));
        self.blank();
        self.work(task)?;
        self.waits(task)?;
        self.graph(task);
        self.trouble(task)?;
        self.fates(task.id)?;
        self.life(task)?;
        self.facts(task)?;
        self.blank();
        self.frames(task);
        Ok(())
    }

    /// What it waits for, and what that leads to.
    fn waits(&mut self, task: &Task) -> io::Result<()> {
        let mut label = "waits for";
        for reason in waiting::reasons([task], &self.names) {
            self.fact(label, Style::Reason, &reason)?;
            label = "";
        }
        let Some(waiting) = task.waiting_on.as_deref() else { return Ok(()) };
        self.task_links("held by", waiting.holders());
        self.task_links("awaits", waiting.tasks());
        if let Some(tid) = waiting.thread() {
            let thread = self.snapshot().threads.iter().find(|it| it.tid == Some(tid));
            let name = thread.and_then(|it| it.name.as_deref()).unwrap_or("thread");
            let words = format!("{name} {tid}");
            self.link("in thread", Subject::Thread(tid), Style::Strong, &words);
        }
        self.peer(waiting)?;
        if let Some(foreign) = waiting.foreign_loop {
            self.fact("of loop", Style::Notice, &format!("{foreign}, which is not its own"))?;
        }
        if !waiting.callbacks().is_empty() {
            self.fact("then runs", Style::Dim, &waiting.callbacks().join(", "))?;
        }
        Ok(())
    }

    /// What is known of the socket beyond its ends.
    fn peer(&mut self, waiting: &Waiting) -> io::Result<()> {
        let Some(socket) = waiting.socket() else { return Ok(()) };
        let mut facts: Vec<String> = socket.state.map(str::to_owned).into_iter().collect();
        facts.extend(socket.client.as_ref().map(|client| format!("from {client}")));
        if let Some(bytes) = socket.receive_queue {
            facts.push(format!("{bytes} bytes to be read"));
        }
        if let Some(bytes) = socket.send_queue {
            facts.push(format!("{bytes} bytes not confirmed"));
        }
        if facts.is_empty() {
            return Ok(());
        }
        self.fact("socket", Style::Plain, &format!("{} {}", socket.protocol, facts.join(", ")))
    }

    /// Who waits for it, and the way up from there.
    fn graph(&mut self, task: &Task) {
        self.task_links("awaited by", &task.awaited_by);
        let mut above = Vec::new();
        let mut at = task;
        while let Some(next) = at.awaited_by.first().and_then(|id| self.watched.task(*id)) {
            let is_seen = next.id == task.id || above.contains(&next.id);
            if is_seen || above.len() > MAX_ABOVE {
                break;
            }
            above.push(next.id);
            at = next;
        }
        if above.len() > 1 {
            let mut words: Vec<String> =
                above.iter().take(MAX_ABOVE).rev().map(|id| self.names.of_task(*id)).collect();
            if above.len() > MAX_ABOVE {
                words.insert(0, "…".to_owned());
            }
            let path = format!("{} › this", words.join(" › "));
            // One line: it is where it is, not what is to be read.
            let mut line = Line::new().with(Style::Dim, "below");
            line.pad_to(super::LABEL);
            self.line(&line.with(Style::Plain, &path));
        }
    }

    /// Findings about it, and its cancellation.
    fn trouble(&mut self, task: &Task) -> io::Result<()> {
        let feed = self.feed();
        let about = feed.findings.iter().filter(|known| known.finding.tasks.contains(&task.id));
        let mut label = "finding";
        for known in about.take(MAX_LINKS) {
            let finding = &known.finding;
            let (style, _) = findings::word(finding.severity);
            let words = format!("[{}] {}", finding.code, findings::said(finding));
            self.link(label, Subject::Finding(known.number), style, &words);
            label = "";
        }
        let cancellation = words::cancellation(task);
        if !cancellation.is_empty() {
            self.fact("cancellation", Style::Notice, &cancellation.join(", "))?;
        }
        if let Some(swallower) = &task.swallower {
            let at = &swallower.location;
            let sure = if swallower.is_sure { "" } else { ", most likely" };
            let words = format!("by the {} in {}{sure}", swallower.clause, at.function);
            self.fact("swallowed", Style::Notice, &words)?;
            self.source(&at.file, at.line, 1);
        }
        if task.is_torn {
            self.fact("doubtful", Style::Notice, "changed while it was read")?;
        }
        Ok(())
    }

    /// A cancellation of a task that is gone, or that took it back.
    pub(super) fn cancelled(&mut self, id: Address) -> io::Result<()> {
        let name = self.feed().cancelled.iter().find(|it| it.task == id);
        let name = name.and_then(|it| it.name.as_deref()).unwrap_or("a task without a name");
        self.line(&Line::new().with(Style::Strong, name).with(Style::Dim, &format!("  {id}")));
        if self.watched.task(id).is_none() {
            self.line(&Line::new().with(Style::Dim, "is no longer there"));
        }
        self.blank();
        self.fates(id)?;
        self.blank();
        if self.watched.task(id).is_some() {
            self.task_links("task", &[id]);
        }
        Ok(())
    }

    /// What became of its cancellations, step by step.
    fn fates(&mut self, id: Address) -> io::Result<()> {
        let feed = self.feed();
        let mut label = "history";
        for history in feed.cancelled.iter().filter(|it| it.task == id).take(MAX_HISTORIES) {
            for turn in &history.turns {
                let (style, word) = fate_word(turn.fate);
                let at = turn.place.as_ref().map(|at| format!(" at {}", short_place(at)));
                let when = if turn.is_earlier {
                    "before sampling began".to_owned()
                } else {
                    format!("{} ago", age(turn.at, self.app.now))
                };
                let words = format!("{word}{}, {when}", at.unwrap_or_default());
                self.fact(label, style, &words)?;
                label = "";
            }
        }
        Ok(())
    }

    /// For how long it has been there, and how much it did.
    fn life(&mut self, task: &Task) -> io::Result<()> {
        let feed = self.feed();
        let at = feed.snapshot.tasks.iter().position(|it| it.id == task.id);
        let Some(life) = at.and_then(|at| feed.lives.get(at).copied().flatten()) else {
            return Ok(());
        };
        let least = if life.is_born { "" } else { "at least " };
        let steps = usize::try_from(life.steps).unwrap_or(usize::MAX);
        let mut words = format!("there for {least}{}", words::duration(life.age));
        let _ = write!(
            words,
            ", seen to move {}",
            match steps {
                0 => "never".to_owned(),
                1 => "once".to_owned(),
                2 => "twice".to_owned(),
                _ => format!("{} times", words::count(steps)),
            }
        );
        if let Some(time) = life.at_await {
            let _ = write!(words, ", at this await for {}", words::duration(time));
        }
        self.fact("life", Style::Plain, &words)
    }

    /// The request or job that it works for, and whose that is.
    fn work(&mut self, task: &Task) -> io::Result<()> {
        let Some(work) = task.work.as_deref() else { return Ok(()) };
        self.fact("works for", Style::Strong, &work.live_name())?;
        if let Some(client) = &work.client {
            self.fact("client", Style::Plain, client)?;
        }
        if let Some(since) = work.since {
            self.fact("in flight", Style::Plain, &words::age(since))?;
        }
        Ok(())
    }

    fn facts(&mut self, task: &Task) -> io::Result<()> {
        if let Some(coroutine) = &task.coroutine {
            self.fact("coroutine", Style::Plain, coroutine)?;
        }
        let context = task.context.as_deref();
        if let Some(words) = context.and_then(Context::in_words) {
            self.fact("context", Style::Plain, &words)?;
        }
        if let Some(words) = context.and_then(Context::variables_in_words) {
            self.fact("variables", Style::Dim, &words)?;
        }
        let loops = &self.snapshot().loops;
        let at = loops.iter().position(|of| Some(of.id) == task.loop_id);
        if let Some(at) = at.filter(|_| loops.len() > 1) {
            self.fact("loop", Style::Plain, &(at + 1).to_string())?;
        }
        Ok(())
    }

    fn frames(&mut self, task: &Task) {
        let limits = waiting::limits_by_frame([task]);
        let limits = |at: usize| limits.get(&at).cloned();
        let read = self.app.locals.as_ref().filter(|locals| locals.task == task.id);
        match read.map(|locals| (&locals.frames, locals.at)) {
            Some((Ok(frames), at)) => {
                let words = format!("with its variables of {} ago", age(at, self.app.now));
                self.line(&Line::new().with(Style::Dim, &words));
                self.stack(frames, &limits);
            }
            Some((Err(cause), _)) => {
                self.line(&Line::new().with(Style::Notice, &format!("no variables: {cause}")));
                self.stack(&task.frames, &limits);
            }
            None if task.is_over() && task.frames.is_empty() => {}
            None if task.frames.is_empty() => {
                self.line(&Line::new().with(Style::Dim, "no frame was read"));
            }
            None => self.stack(&task.frames, &limits),
        }
    }
}
