//! Samples as differences: what each list of things has kept of the one before, and what is new.
//!
//! ```text
//! sample: [length] [length of names] names  head  list …
//! list:   operation … 0
//! ```
//!
//! An operation is a number; its two lowest bits say which. *Keep* takes the next n records of
//! the list before, *go to* sets where these are taken from, *new* and *instead* bring a record of
//! n bytes, the latter for the next one of the list before.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use rustc_hash::FxHashMap;

use super::wire::{Bad, Get, Put, Read, ReadTables, Wire, WrittenTables, at, nanos, record};
use super::{Moment, Taken};
use crate::memory::ReadStats;
use crate::snapshot::{Consistency, Depth, Interval, Process, Shutdown, Snapshot, Task};
use crate::timeline::Marks;

const KEEP: u64 = 0;
const GO_TO: u64 = 1;
const NEW: u64 = 2;
const INSTEAD: u64 = 3;

/// The lists of a sample, in their order.
const LISTS: usize = 9;

/// Things in one list of a sample: as many tasks as a snapshot may have.
const MAX_THINGS: usize = 1 << 20;
/// Things that all samples of a block have together: a second with a thousand samples of ten
/// thousand tasks each has fewer.
const MAX_TOTAL: usize = 50_000_000;
/// Frames of all tasks and threads of one sample: a million tasks of ten.
const MAX_FRAMES: usize = 10_000_000;

/// What a sample is besides its lists.
#[derive(Debug, Clone)]
struct Head {
    taken_at: Timestamp,
    during: Interval,
    told_from: Option<Duration>,
    elapsed: Duration,
    paused: Duration,
    consistency: Consistency,
    shutdown: Option<Shutdown>,
    has_findings: bool,
    looks: Option<u8>,
    reads: ReadStats,
    missed: u64,
}

record!(Head {
    taken_at,
    during,
    told_from,
    elapsed,
    paused,
    consistency,
    shutdown,
    has_findings,
    looks,
    reads,
    missed,
});

impl Head {
    /// What moments are told from, in nanoseconds.
    fn clock(&self) -> i64 {
        let told_from = self.told_from.and_then(|it| i64::try_from(it.as_nanos()).ok());
        told_from.unwrap_or_else(|| nanos(self.taken_at))
    }
}

/// The records of one list of a sample.
#[derive(Debug, Default)]
struct Records {
    bytes: Vec<u8>,
    spans: Vec<Range<usize>>,
    /// What tells one thing from another.
    ids: Vec<u64>,
}

impl Records {
    fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.ids.clear();
    }

    fn get(&self, at: usize) -> Option<&[u8]> {
        self.bytes.get(self.spans.get(at)?.clone())
    }

    fn fill(&mut self, put: &mut Put<'_>, write: impl FnOnce(&mut Filler<'_, '_>)) {
        self.clear();
        std::mem::swap(&mut self.bytes, &mut put.bytes);
        write(&mut Filler { put, spans: &mut self.spans, ids: &mut self.ids });
        std::mem::swap(&mut self.bytes, &mut put.bytes);
    }

    /// Writes how to get this list from the one before.
    fn difference(&self, before: &Self, to: &mut Put<'_>) {
        let mut places: Option<FxHashMap<u64, usize>> = None;
        let (mut cursor, mut kept) = (0, 0_u64);
        for (at, id) in self.ids.iter().enumerate() {
            let Some(record) = self.get(at) else { continue };
            if before.get(cursor) == Some(record) {
                kept += 1;
                cursor += 1;
                continue;
            }
            if kept > 0 {
                to.number(kept << 2 | KEEP);
                kept = 0;
            }
            if before.ids.get(cursor) != Some(id) {
                let places = places
                    .get_or_insert_with(|| before.ids.iter().copied().zip(0_usize..).collect());
                let Some(place) = places.get(id) else {
                    to.number((record.len() as u64) << 2 | NEW);
                    to.bytes.extend(record);
                    continue;
                };
                cursor = *place;
                to.number((cursor as u64) << 2 | GO_TO);
                if before.get(cursor) == Some(record) {
                    kept = 1;
                    cursor += 1;
                    continue;
                }
            }
            to.number((record.len() as u64) << 2 | INSTEAD);
            to.bytes.extend(record);
            cursor += 1;
        }
        if kept > 0 {
            to.number(kept << 2 | KEEP);
        }
        to.number(0);
    }
}

/// Adds records to a list.
struct Filler<'a, 'n> {
    put: &'a mut Put<'n>,
    spans: &'a mut Vec<Range<usize>>,
    ids: &'a mut Vec<u64>,
}

impl Filler<'_, '_> {
    fn add(&mut self, id: u64, write: impl FnOnce(&mut Put<'_>)) {
        let start = self.put.bytes.len();
        write(self.put);
        self.spans.push(start..self.put.bytes.len());
        self.ids.push(id);
    }

    fn all<T: Wire>(&mut self, things: &[T]) {
        for (id, thing) in (0..).zip(things) {
            self.add(id, |put| thing.put(put));
        }
    }
}

/// Writes samples, one after the other.
#[derive(Debug, Default)]
pub struct Encoder {
    names: WrittenTables,
    before: [Records; LISTS],
    now: [Records; LISTS],
}

impl Encoder {
    /// From here on nothing refers to what was before.
    pub fn reset(&mut self) {
        self.names = WrittenTables::default();
        for records in &mut self.before {
            records.clear();
        }
    }

    /// Writes one more sample.
    pub fn sample(&mut self, taken: &Taken<'_>, to: &mut Vec<u8>) {
        let snapshot = taken.snapshot;
        let head = Head {
            taken_at: snapshot.taken_at,
            during: snapshot.during,
            told_from: snapshot.told_from,
            elapsed: snapshot.elapsed,
            paused: snapshot.paused,
            consistency: snapshot.consistency,
            shutdown: snapshot.shutdown.clone(),
            has_findings: snapshot.findings.is_some(),
            looks: snapshot.looks,
            reads: snapshot.reads,
            missed: taken.missed,
        };
        let mut body = Put::new(Vec::new(), &mut self.names, head.clock());
        head.put(&mut body);
        for (list, (now, before)) in self.now.iter_mut().zip(&self.before).enumerate() {
            now.fill(&mut body, |filler| write_list(list, taken, filler));
            now.difference(before, &mut body);
        }
        let body = body.bytes;
        std::mem::swap(&mut self.now, &mut self.before);
        let added = self.names.take_added();
        let mut frame = Put::new(Vec::new(), &mut self.names, 0);
        frame.number(added.len() as u64);
        let len = frame.bytes.len() + added.len() + body.len();
        let prefix = std::mem::take(&mut frame.bytes);
        frame.number(len as u64);
        to.extend(frame.bytes);
        to.extend(prefix);
        to.extend(added);
        to.extend(body);
    }
}

fn write_list(list: usize, taken: &Taken<'_>, filler: &mut Filler<'_, '_>) {
    let snapshot = taken.snapshot;
    match list {
        0 => filler.add(0, |put| snapshot.process.put(put)),
        1 => {
            for thread in &snapshot.threads {
                let tid = thread.tid.map_or(u64::MAX, |tid| u64::from(tid.unsigned_abs()));
                filler.add(tid, |put| thread.put(put));
            }
        }
        2 => {
            for event_loop in &snapshot.loops {
                filler.add(event_loop.id.0, |put| event_loop.put(put));
            }
        }
        3 => {
            for task in &snapshot.tasks {
                filler.add(task.id.0, |put| {
                    task.put(put);
                    taken.lives.and_then(|lives| lives.marks(task.id)).put(put);
                });
            }
        }
        4 => {
            for (at, executor) in (0..).zip(&snapshot.executors) {
                let id = executor.id.map_or(at, |id| id.0);
                filler.add(id, |put| executor.put(put));
            }
        }
        5 => filler.all(snapshot.findings.as_deref().unwrap_or_default()),
        6 => filler.all(&snapshot.problems),
        7 => {
            for tracked in taken.open {
                filler.add(tracked.number, |put| tracked.put(put));
            }
        }
        _ => filler.all(taken.blocking),
    }
}

/// Reads the samples of one block, one after the other.
#[derive(Debug)]
pub struct Decoder {
    payload: Vec<u8>,
    known: ReadTables,
    offset: usize,
    lists: [Vec<Range<usize>>; LISTS],
    head: Option<Head>,
    /// Things of all samples so far.
    total: usize,
}

impl Decoder {
    pub fn new(payload: Vec<u8>) -> Self {
        Self {
            payload,
            known: ReadTables::default(),
            offset: 0,
            lists: Default::default(),
            head: None,
            total: 0,
        }
    }

    /// Goes back to before the first sample.
    pub fn rewound(self) -> Self {
        Self::new(self.payload)
    }

    /// Goes to the next sample.
    pub fn step(&mut self) -> Read<()> {
        let nothing = ReadTables::default();
        let rest = self.payload.get(self.offset..).unwrap_or_default();
        let mut frame = Get::new(rest, &nothing, 0);
        let len = frame.length()?;
        let whole = frame.take(len)?;
        self.offset = self.payload.len() - frame.rest.len();
        let mut sample = Get::new(whole, &nothing, 0);
        let len = sample.length()?;
        self.known.add(sample.take(len)?)?;
        let mut body = Get::new(sample.rest, &self.known, 0);
        self.head = Some(Head::get(&mut body)?);
        let end = self.offset;
        for list in &mut self.lists {
            *list = changed(list, &mut body, end)?;
            self.total += list.len();
            if self.total > MAX_TOTAL {
                return Err(Bad("more things than a block can have"));
            }
        }
        Ok(())
    }

    fn list<T>(
        &self,
        list: usize,
        clock: i64,
        mut read: impl FnMut(&mut Get<'_>) -> Read<T>,
    ) -> Read<Vec<T>> {
        let spans = self.lists.get(list).map(Vec::as_slice).unwrap_or_default();
        let mut things = Vec::with_capacity(spans.len());
        for span in spans {
            let bytes = self.payload.get(span.clone()).ok_or(Bad("a record is nowhere"))?;
            things.push(read(&mut Get::new(bytes, &self.known, clock))?);
        }
        Ok(things)
    }

    /// The sample it is at.
    pub fn moment(&self) -> Read<Moment> {
        let head = self.head.as_ref().ok_or(Bad("there is no sample"))?;
        let clock = head.clock();
        let process: Vec<Process> = self.list(0, clock, Wire::get)?;
        let process = process.into_iter().next().ok_or(Bad("it is of no process"))?;
        let mut snapshot = Snapshot::new(process, head.taken_at);
        snapshot.during = head.during;
        snapshot.told_from = head.told_from;
        snapshot.elapsed = head.elapsed;
        snapshot.paused = head.paused;
        snapshot.consistency = head.consistency;
        snapshot.shutdown.clone_from(&head.shutdown);
        snapshot.looks = head.looks;
        snapshot.reads = head.reads;
        snapshot.depth = Depth::Reasons;
        snapshot.threads = self.list(1, clock, Wire::get)?;
        snapshot.loops = self.list(2, clock, Wire::get)?;
        let mut frames = 0;
        let tasks: Vec<(Task, Option<Marks>)> = self.list(3, clock, |from| {
            let both: (Task, Option<Marks>) = Wire::get(from)?;
            frames += both.0.frames.len();
            if frames > MAX_FRAMES {
                return Err(Bad("more frames than a sample can have"));
            }
            Ok(both)
        })?;
        let mut lives = FxHashMap::default();
        for (task, marks) in tasks {
            if let Some(marks) = marks {
                lives.insert(task.id, marks.life(&task, head.during.began));
            }
            snapshot.tasks.push(task);
        }
        snapshot.executors = self.list(4, clock, Wire::get)?;
        let findings = self.list(5, clock, Wire::get)?;
        snapshot.findings = head.has_findings.then_some(findings);
        snapshot.problems = self.list(6, clock, Wire::get)?;
        if head.has_findings {
            snapshot.conclude_in_series();
        }
        Ok(Moment {
            snapshot,
            missed: head.missed,
            lives,
            open: self.list(7, clock, Wire::get)?,
            blocking: self.list(8, clock, Wire::get)?,
        })
    }
}

/// A list after what a sample says of it; `end` is where the sample ends in the block.
fn changed(before: &[Range<usize>], from: &mut Get<'_>, end: usize) -> Read<Vec<Range<usize>>> {
    let mut now: Vec<Range<usize>> = Vec::with_capacity(before.len());
    let mut cursor = 0_usize;
    loop {
        let operation = from.number()?;
        let number = usize::try_from(operation >> 2).unwrap_or(usize::MAX);
        match operation & 3 {
            KEEP if number == 0 => return Ok(now),
            KEEP => {
                let until = cursor.saturating_add(number);
                let kept = before.get(cursor..until).ok_or(Bad("it keeps what was not there"))?;
                now.extend_from_slice(kept);
                cursor = until;
            }
            GO_TO => cursor = number,
            _ => {
                from.take(number)?;
                let stop = end - from.rest.len();
                now.push(stop - number..stop);
                cursor += usize::from(operation & 3 == INSTEAD);
            }
        }
        if now.len() > MAX_THINGS {
            return Err(Bad("more things than a sample can have"));
        }
    }
}

/// The moments of samples, as a summary has them.
pub fn put_moments(moments: &[Timestamp], to: &mut Put<'_>) {
    to.number(moments.len() as u64);
    let mut before = 0;
    for moment in moments {
        let now = nanos(*moment);
        to.signed(now.wrapping_sub(before));
        before = now;
    }
}

pub fn get_moments(from: &mut Get<'_>) -> Read<Vec<Timestamp>> {
    let len = from.length()?;
    let mut moments = Vec::with_capacity(len);
    let mut now = 0_i64;
    for _ in 0..len {
        now = now.wrapping_add(from.signed()?);
        moments.push(at(now)?);
    }
    Ok(moments)
}
