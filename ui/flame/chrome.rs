//! Trace events, as Perfetto and `chrome://tracing` show them: a track for each task with what it
//! did, one for each loop, callbacks that blocked, findings, and arrows from who let go of
//! something to who waited for it.
//!
//! Written as it goes: of each track only the slice that goes on is kept.

use std::io::Write;
use std::time::Duration;

use aiospy::memory::Address;
use aiospy::snapshot::{Snapshot, Task, own_frame};
use aiospy::timeline::Stretch;
use aiospy::watch::monitor::{Event, Tracked};
use jiff::Timestamp;
use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use super::timeline::Lanes;
use super::{Exporter, Folding, Sample, Totals, micros, state};
use crate::io::page;
use crate::report::text::{path, words};

/// Tracks of tasks; viewers get slow with more.
const MAX_TRACKS: usize = 5000;
/// Where the tracks of tasks begin; before them are those of loops and findings.
const FIRST_TASK: u64 = 1000;
const FINDINGS: u64 = 1;
const FIRST_LOOP: u64 = 10;
/// Tracks of loops.
const MAX_LOOPS: usize = 400;

/// Writes such events.
pub struct Chrome {
    to: Box<dyn Write>,
    pid: i32,
    began: Option<Timestamp>,
    last: Duration,
    is_first: bool,
    lanes: Lanes,
    open: FxHashMap<u64, Slice>,
    loops: Vec<Address>,
    loop_names: FxHashMap<u64, String>,
    /// What each task waited for at the last sample: tasks and holders, as far as they are known.
    waits: FxHashMap<Address, Vec<(Address, u64)>>,
    counts: FxHashMap<String, u64>,
    flows: u64,
    failed: Option<anyhow::Error>,
}

/// What goes on on a track.
#[derive(Debug)]
struct Slice {
    from: Duration,
    until: Duration,
    name: String,
    category: &'static str,
    arguments: Value,
}

impl Chrome {
    /// One that writes there.
    pub fn new(folding: Folding, to: Box<dyn Write>) -> Self {
        Self {
            to,
            pid: 0,
            began: None,
            last: Duration::ZERO,
            is_first: true,
            lanes: Lanes::new(MAX_TRACKS, folding.is_per_task),
            open: FxHashMap::default(),
            loops: Vec::new(),
            loop_names: FxHashMap::default(),
            waits: FxHashMap::default(),
            counts: FxHashMap::default(),
            flows: 0,
            failed: None,
        }
    }

    fn write(&mut self, event: &Value) {
        let before =
            if self.is_first { "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" } else { ",\n" };
        self.is_first = false;
        let mut write = || -> anyhow::Result<()> {
            self.to.write_all(before.as_bytes())?;
            serde_json::to_writer(&mut self.to, event)?;
            Ok(())
        };
        if let Err(error) = write() {
            self.failed.get_or_insert(error);
        }
    }

    /// Time since the beginning; what was before it is there.
    fn since(&self, at: Timestamp) -> Duration {
        let since = self.began.map(|began| at.duration_since(began));
        since.and_then(|since| Duration::try_from(since).ok()).unwrap_or_default()
    }

    /// What a track shows until now.
    fn slice(&mut self, track: u64, from: Duration, until: Duration, slice: Slice) {
        if let Some(open) = self.open.get_mut(&track)
            && open.name == slice.name
            && open.arguments == slice.arguments
            && open.until == from
        {
            open.until = until;
            return;
        }
        self.close(track);
        self.open.insert(track, slice);
    }

    fn close(&mut self, track: u64) {
        let Some(slice) = self.open.remove(&track) else { return };
        let event = json!({
            "ph": "X",
            "name": slice.name,
            "cat": slice.category,
            "pid": self.pid,
            "tid": track,
            "ts": micros(slice.from),
            "dur": micros(slice.until.saturating_sub(slice.from)),
            "args": slice.arguments,
        });
        self.write(&event);
    }

    fn tasks(&mut self, snapshot: &Snapshot, from: Duration, now: Duration) {
        for (id, lane) in self.lanes.leave(snapshot) {
            self.close(track(lane));
            // Who waited for it may look it up below.
            self.waits.remove(&id);
        }
        let there: FxHashMap<Address, &Task> =
            snapshot.tasks.iter().map(|task| (task.id, task)).collect();
        for task in &snapshot.tasks {
            let Some(state) = state::of(task, snapshot) else { continue };
            let Some(lane) = self.lanes.of(task) else { continue };
            let at = own_frame(&task.frames).map(|frame| place(&frame.location));
            let mut arguments = json!({ "task": clean(task.name.as_deref().unwrap_or("?")) });
            if let (Some(at), Value::Object(all)) = (at, &mut arguments) {
                all.insert("at".to_owned(), Value::String(at));
            }
            if let (true, Value::Object(all)) = (state::is_cancelled(task), &mut arguments) {
                all.insert("cancelled".to_owned(), Value::Bool(true));
            }
            let category =
                super::tree::NodeKind::ALL.get(state.kind.number()).map_or("", |it| it.2);
            let name = clean(&state.text());
            let slice = Slice { from, until: now, name, category, arguments };
            self.slice(track(lane), from, now, slice);
            self.arrow(task, lane, from, &there);
        }
    }

    /// An arrow from the task that this one waited for at the last sample, if that has let go.
    fn arrow(
        &mut self,
        task: &Task,
        lane: usize,
        from: Duration,
        there: &FxHashMap<Address, &Task>,
    ) {
        let waiting = task.waiting_on.as_deref();
        let now: Vec<(Address, u64)> = waiting
            .into_iter()
            .flat_map(|waiting| waiting.tasks().iter().chain(waiting.holders()))
            .take(32)
            .filter_map(|id| Some((*id, track(self.lanes.known(*id)?))))
            .collect();
        let before = self.waits.get(&task.id);
        let let_go = before.and_then(|before| {
            let is_over = |id: &Address| there.get(id).is_none_or(|task| task.is_over());
            let ended = before.iter().find(|(id, _)| is_over(id));
            ended.or_else(|| before.first().filter(|_| now.is_empty())).copied()
        });
        let is_changed = self.waits.get(&task.id).is_some_and(|before| *before != now);
        if now.is_empty() {
            self.waits.remove(&task.id);
        } else {
            self.waits.insert(task.id, now);
        }
        let Some((_, source)) = let_go.filter(|_| is_changed) else { return };
        let at = micros(from);
        if at < 2 || source == track(lane) {
            return;
        }
        self.flows += 1;
        let common =
            json!({ "name": "lets go on", "cat": "wake-up", "pid": self.pid, "id": self.flows });
        for (phase, thread, at) in [("s", source, at - 1), ("f", track(lane), at + 1)] {
            let mut event = common.clone();
            if let Value::Object(all) = &mut event {
                all.insert("ph".to_owned(), phase.into());
                all.insert("tid".to_owned(), thread.into());
                all.insert("ts".to_owned(), at.into());
                if phase == "f" {
                    all.insert("bp".to_owned(), "e".into());
                }
            }
            self.write(&event);
        }
    }

    fn loop_track(&mut self, id: Address) -> Option<u64> {
        let at = match self.loops.iter().position(|known| *known == id) {
            Some(at) => at,
            None if self.loops.len() < MAX_LOOPS => {
                self.loops.push(id);
                self.loops.len() - 1
            }
            None => return None,
        };
        Some(FIRST_LOOP + 2 * at as u64)
    }

    fn loops(&mut self, snapshot: &Snapshot, from: Duration, now: Duration) {
        for event_loop in &snapshot.loops {
            let Some(thread) = snapshot.thread_of(event_loop) else { continue };
            let Some(track) = self.loop_track(event_loop.id) else { continue };
            let class = words::loop_class(&event_loop.class);
            let name = format!("{class} in {}", clean(thread.name.as_deref().unwrap_or("?")));
            self.loop_names.entry(track).or_insert(name);
            let (name, category) = if state::is_polling(event_loop) {
                ("polling".to_owned(), "polling")
            } else {
                let state = state::of_running(Some(event_loop), Some(thread));
                (clean(&state.text()), "loop")
            };
            let arguments = json!({});
            let slice = Slice { from, until: now, name, category, arguments };
            self.slice(track, from, now, slice);
            let number = (track - FIRST_LOOP) / 2 + 1;
            if let Some(ready) = event_loop.ready {
                self.count(now, &format!("loop {number} ready"), "callbacks", ready);
            }
            let lag = event_loop.lag.map(micros).unwrap_or_default();
            self.count(now, &format!("loop {number} lag"), "microseconds", lag);
        }
        let pending = snapshot
            .tasks
            .iter()
            .filter(|task| task.state.is_some_and(|state| !state.is_finished()));
        self.count(now, "tasks", "tasks", pending.count() as u64);
    }

    fn count(&mut self, at: Duration, name: &str, unit: &str, value: u64) {
        if self.counts.get(name) == Some(&value) {
            return;
        }
        self.counts.insert(name.to_owned(), value);
        let event = json!({
            "ph": "C", "name": name, "pid": self.pid, "tid": 0, "ts": micros(at), "args": { unit: value },
        });
        self.write(&event);
    }

    fn finding(&mut self, at: Timestamp, what: &str, tracked: &Tracked) {
        let finding = &tracked.finding;
        let evidence: Vec<String> = finding.evidence.iter().map(ToString::to_string).collect();
        let event = json!({
            "ph": "i",
            "s": "p",
            "name": format!("{what} [{}] {}", finding.code, clean(&finding.title.to_string())),
            "cat": "finding",
            "pid": self.pid,
            "tid": FINDINGS,
            "ts": micros(self.since(at)),
            "args": { "number": tracked.number, "evidence": evidence, "advice": finding.advice },
        });
        self.write(&event);
    }

    fn blocking(&mut self, stretch: &Stretch) {
        let Some(track) = self.loop_track(stretch.loop_id) else { return };
        let work = stretch.work.as_deref();
        let stack = work.map(|work| work.stack.iter().map(place).collect::<Vec<_>>());
        let event = json!({
            "ph": "X",
            "name": clean(work.map_or("blocked", |work| &work.description)),
            "cat": "blocking",
            "pid": self.pid,
            "tid": track + 1,
            "ts": micros(self.since(stretch.began_at)),
            "dur": micros(stretch.length),
            "args": {
                "callback": clean(work.and_then(|work| work.handle.as_deref()).unwrap_or("?")),
                "stack": stack.unwrap_or_default(),
                "uncertainty_us": micros(stretch.uncertainty),
            },
        });
        self.write(&event);
    }

    fn name(&mut self, track: u64, name: &str, order: u64) {
        let name = json!({
            "ph": "M", "name": "thread_name", "pid": self.pid, "tid": track, "args": { "name": name },
        });
        self.write(&name);
        let order = json!({
            "ph": "M", "name": "thread_sort_index", "pid": self.pid, "tid": track,
            "args": { "sort_index": order },
        });
        self.write(&order);
    }
}

fn track(lane: usize) -> u64 {
    FIRST_TASK + lane as u64
}

fn clean(text: &str) -> String {
    page::clean(text).into_owned()
}

fn place(place: &std::sync::Arc<aiospy::snapshot::Location>) -> String {
    clean(&path::frame(&place.function, place.path(), place.line))
}

impl Exporter for Chrome {
    fn sample(&mut self, sample: Sample<'_>) -> anyhow::Result<()> {
        let snapshot = sample.snapshot;
        if self.began.is_none() {
            // The first one stands for the time before it.
            self.began = snapshot.taken_at.checked_sub(sample.weight).ok();
            self.pid = snapshot.process.pid;
        }
        let now = self.since(snapshot.taken_at).max(self.last);
        let from = now.saturating_sub(sample.weight).max(self.last);
        self.tasks(snapshot, from, now);
        self.loops(snapshot, from, now);
        self.last = now;
        self.failed.take().map_or(Ok(()), Err)
    }

    fn event(&mut self, at: Timestamp, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::Opened(tracked) => self.finding(at, "opened", tracked),
            Event::Closed(tracked) => self.finding(at, "closed", tracked),
            Event::Blocked(stretch) => self.blocking(stretch),
            _ => {}
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    fn finish(mut self: Box<Self>, totals: &Totals) -> anyhow::Result<()> {
        let mut open: Vec<u64> = self.open.keys().copied().collect();
        open.sort_unstable();
        for track in open {
            self.close(track);
        }
        let name = clean(&format!("aiospy: {}", totals.target()));
        let process = json!({
            "ph": "M", "name": "process_name", "pid": self.pid, "tid": 0, "args": { "name": name },
        });
        self.write(&process);
        self.name(FINDINGS, "findings", 0);
        for (at, _) in std::mem::take(&mut self.loops).into_iter().enumerate() {
            let track = FIRST_LOOP + 2 * at as u64;
            let name = self.loop_names.get(&track).cloned().unwrap_or_else(|| "loop".to_owned());
            self.name(track, &name, track);
            self.name(track + 1, "  callbacks that block", track + 1);
        }
        let names: Vec<String> = self.lanes.all().iter().map(|lane| clean(&lane.name)).collect();
        for (lane, name) in names.iter().enumerate() {
            self.name(track(lane), name, track(lane));
        }
        let about = json!({
            "tool": concat!("aiospy ", env!("CARGO_PKG_VERSION")),
            // What stands at zero, to be found in the program's own log.
            "start": self.began.map(|it| it.to_string()),
            "samples": totals.samples,
            "missed": totals.missed,
            "tasks_without_track": self.lanes.without(),
        });
        write!(self.to, "\n],\"otherData\":{about}}}")?;
        self.to.flush()?;
        self.failed.take().map_or(Ok(()), Err)
    }
}
