//! Where an iteration of asyncio's own loops is: the variables of its `_run_once`.
//!
//! `end_time` is taken when its ready phase begins, `i` of `ntodo` says how many of its callbacks
//! have begun, `handle` is the one that runs. `nest_asyncio` puts a `_run_once` of its own in its
//! place, which counts by `_` and does not say of how many.
//!
//! A stack tells which frame is one of `_run_once`. It lies at the same place for as long as its
//! loop runs, so who has seen it once need not walk the stack again: two small calls tell where
//! the iteration is ([`Reader::position`]), whatever its callbacks call meanwhile.

use std::cell::Cell;
use std::ops::Range;

use crate::known::purpose::{Loop, Purpose};
use crate::layout::Frame;
use crate::memory::{Address, ReadMemory as _, word};
use crate::python::frame::{RawFrame, Stack};
use crate::python::object::{Code, Kind, Reader};

/// Bytes of a frame of `_run_once` that hold its variables: it has ten.
const FRAME_LEN: usize = 512;
/// How often the time of an iteration is read that seems to change meanwhile.
const MAX_TIMES: usize = 4;
/// Bytes of a `float`, or of an `int` of one digit.
const NUMBER_LEN: usize = 32;

/// The variables of a `_run_once` frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunOnce {
    /// The frame's own address.
    pub frame: Address,
    /// The loop.
    pub loop_at: Address,
    /// How long its `select` waits or has waited at most, in seconds; 0 when something was ready
    /// already.
    pub timeout: Option<f64>,
    /// How far the iteration is.
    pub position: Position,
    /// The handle that runs.
    pub handle: Option<Address>,
}

/// How far an iteration is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Position {
    /// When its ready phase began, in seconds of `CLOCK_MONOTONIC`; `None` while it waits.
    pub end_time: Option<f64>,
    /// Which of its callbacks runs, from 0.
    pub index: Option<u64>,
    /// How many callbacks it runs.
    pub total: Option<u64>,
}

/// A frame of `_run_once` that was seen on a stack, to be looked at again.
///
/// From 3.11 on it lies on the data stack, at the same place for each iteration of one
/// `run_forever`. Up to 3.10 the code object keeps its last frame for the next call
/// (`co_zombieframe`); of loops that run in several threads at once only one has that.
#[derive(Debug, Clone)]
pub struct RunOnceFrame {
    at: Address,
    /// What is at the place of another frame, or of none, differs in these.
    code: u64,
    caller: u64,
    loop_at: Address,
    /// From the frame's start, and how much of it is read.
    places: Places,
    len: usize,
    /// The classes of its variables, once they were seen.
    float: Cell<Address>,
    int: Cell<Address>,
}

/// Where the words are that are read.
#[derive(Debug, Clone, Copy)]
struct Places {
    code: u64,
    caller: u64,
    loop_at: u64,
    end_time: u64,
    total: Option<u64>,
    index: u64,
}

/// The names of the variables that differ.
#[derive(Debug, Clone, Copy)]
struct VariableNames {
    index: &'static str,
    total: Option<&'static str>,
}

impl VariableNames {
    /// Those of a function, if it is a `_run_once`.
    fn of(code: &Code) -> Option<Self> {
        match code.place.purpose()? {
            Purpose::Loop(Loop::RunOnce) => Some(Self { index: "i", total: Some("ntodo") }),
            Purpose::Loop(Loop::NestedRunOnce) => Some(Self { index: "_", total: None }),
            _ => None,
        }
    }
}

/// What the variables that tell the position are bound to.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Variables {
    end_time: Option<Address>,
    total: Option<Address>,
    index: Option<Address>,
}

impl Reader<'_> {
    /// The iterations of asyncio's own loops that run on a stack, outermost first; more than one
    /// when loops are nested.
    pub fn iterations(&self, stack: &Stack) -> Vec<RunOnce> {
        stack.frames.iter().filter_map(|frame| self.run_once(frame)).collect()
    }

    pub(super) fn run_once(&self, frame: &RawFrame) -> Option<RunOnce> {
        let code = self.code(frame.code).ok()?;
        let names = VariableNames::of(&code)?;
        let locals = self.locals(frame).ok()?;
        let local = |name: &str| {
            let found = locals.iter().find(|(local, _)| &**local == name);
            found.map(|&(_, at)| at).filter(|&at| !self.is_kind(at, Kind::None))
        };
        let number = |name| self.int(local(name)?).ok().and_then(|n| u64::try_from(n).ok());
        let time = |name| self.fresh_float(local(name)?);
        let known = self.run_once_frame(frame);
        let position = known.and_then(|known| self.position(&known)).unwrap_or_default();
        Some(RunOnce {
            frame: frame.at,
            loop_at: local("self")?,
            // The literal `0` when something is ready.
            timeout: time("timeout").or_else(|| number("timeout").map(|_| 0.0)),
            position,
            // Before the callbacks begin `handle` may be a timer that is moved to the queue.
            handle: local("handle").filter(|_| {
                number(names.index).is_some()
                    && names.total.is_none_or(|total| number(total).is_some())
            }),
        })
    }

    /// A number as it is now: a new one may lie where the last one lay, on a page that was read
    /// before.
    fn fresh_float(&self, at: Address) -> Option<f64> {
        self.memory.forget(at, 24);
        self.float(at)
    }

    /// Where to look for the variables of a frame of `_run_once` again.
    pub fn run_once_frame(&self, frame: &RawFrame) -> Option<RunOnceFrame> {
        let code = self.code(frame.code).ok()?;
        let (code_at, caller, locals) = match self.layout.frame {
            Frame::Object(fields) => (fields.code, fields.back, fields.localsplus),
            Frame::Interpreter(fields) => (fields.executable, fields.previous, fields.localsplus),
        };
        let VariableNames { index, total } = VariableNames::of(&code)?;
        let names = self.local_names(&code);
        let place = |name: &str| {
            let slot = names.iter().position(|(known, is_cell)| **known == *name && !is_cell)?;
            Some(locals + 8 * u64::try_from(slot).ok()?)
        };
        let places = Places {
            code: code_at,
            caller,
            loop_at: place("self")?,
            end_time: place("end_time")?,
            total: total.and_then(place),
            index: place(index)?,
        };
        let Places { loop_at, end_time, total, index, .. } = places;
        let all = [code_at, caller, loop_at, end_time, index].into_iter().chain(total);
        let last = all.max()?;
        let word = |offset: u64| self.memory.u64(frame.at.offset(offset)).ok();
        Some(RunOnceFrame {
            at: frame.at,
            code: self.slot_value(word(code_at)?)?.0,
            caller: word(caller)?,
            loop_at: self.slot_value(word(loop_at)?)?,
            places,
            len: usize::try_from(last + 8).ok().filter(|len| *len <= FRAME_LEN)?,
            float: Cell::default(),
            int: Cell::default(),
        })
    }

    /// Where the iteration is now whose frame was seen before; `None` when there is no such frame
    /// any more, as in the moment between two iterations.
    ///
    /// What is read is fresh, and nothing of it is kept. Between the reading of a variable and of
    /// its number the loop may have gone on: what is read is then whatever number was made there
    /// next, the timeout of the next wait perhaps, and the loop seems blocked since the machine
    /// started. So `end_time` has to be bound to that number still, and to none when the loop has
    /// come to its next wait. Of a loop that turns too fast for that the latest time is right: time
    /// goes forward. Test: `healthy::twin::deadlock`.
    pub fn position(&self, frame: &RunOnceFrame) -> Option<Position> {
        let mut bytes = [0; FRAME_LEN];
        let words = bytes.get_mut(..frame.len)?;
        self.memory.source().read(frame.at, words).ok()?;
        let mut before = frame.variables(self, words)?;
        let mut best: Option<Position> = None;
        for _ in 0..MAX_TIMES {
            if before.end_time.is_none() {
                return Some(Position::default());
            }
            let (found, after) = self.position_by(frame, before)?;
            match found {
                Some((position, true)) => return Some(position),
                Some((position, false)) => {
                    let is_later = best.is_none_or(|best| best.end_time <= position.end_time);
                    best = if is_later { Some(position) } else { best };
                }
                None => {}
            }
            before = after;
        }
        best
    }

    /// The numbers that the variables were bound to, and whether they are still; and what the
    /// variables are bound to by then.
    fn position_by(
        &self,
        frame: &RunOnceFrame,
        before: Variables,
    ) -> Option<(Option<(Position, bool)>, Variables)> {
        let number = |at: Option<Address>| {
            let at = at.unwrap_or(frame.at).0;
            at..at.saturating_add(NUMBER_LEN as u64)
        };
        let [time, total, index] = [before.end_time, before.total, before.index].map(number);
        let again = frame.at.0..frame.at.0.saturating_add(frame.len as u64);
        // One call reads its ranges in their order: the numbers, the variables once more, and the
        // time once more.
        let ranges: [Range<u64>; 5] = [time.clone(), total, index, again, time];
        let mut bytes = [0; FRAME_LEN + 4 * NUMBER_LEN];
        let bytes = bytes.get_mut(..frame.len + 4 * NUMBER_LEN)?;
        let mut has_failed = false;
        self.memory.source().read_many(&ranges, bytes, &mut |_| has_failed = true);
        let (numbers, rest) = bytes.split_at(3 * NUMBER_LEN);
        let (words, time_again) = rest.split_at(frame.len);
        let after = frame.variables(self, words)?;
        let mut numbers = numbers.chunks_exact(NUMBER_LEN);
        let (time, total, index) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let Some(end_time) = self.float_in(time, &frame.float).filter(|_| !has_failed) else {
            return Some((None, after));
        };
        let count = |at: Option<Address>, bytes| at.and_then(|_| self.count_in(bytes, &frame.int));
        let position = Position {
            end_time: Some(end_time),
            index: count(before.index, index),
            total: count(before.total, total),
        };
        // The next callback may have begun meanwhile; that is no other iteration.
        let is_same = after.end_time == before.end_time && time == time_again;
        let is_sure = is_same && position.index.is_some() == before.index.is_some();
        Some((Some((position, is_sure)), after))
    }

    /// The value of a `float`, by its bytes.
    fn float_in(&self, bytes: &[u8], class: &Cell<Address>) -> Option<f64> {
        self.is_of(bytes, Kind::Float, class)
            .then(|| word(bytes, self.layout.small.float_value).map(f64::from_bits))?
            .filter(|value| value.is_finite())
    }

    /// The value of a small `int`, by its bytes.
    fn count_in(&self, bytes: &[u8], class: &Cell<Address>) -> Option<u64> {
        self.is_of(bytes, Kind::Int, class).then(|| self.one_digit(bytes))?
    }

    /// Whether an object is of a kind, by its bytes. Its class is looked at once.
    fn is_of(&self, bytes: &[u8], kind: Kind, known: &Cell<Address>) -> bool {
        let Some(class) = word(bytes, self.layout.object.ob_type).map(Address) else {
            return false;
        };
        if class != known.get() && self.class(class).is_ok_and(|class| class.kind == kind) {
            known.set(class);
        }
        class == known.get()
    }
}

impl RunOnceFrame {
    /// What the variables that tell the position are bound to, by the frame's words; `None` when
    /// it is another frame by now.
    fn variables(&self, reader: &Reader<'_>, words: &[u8]) -> Option<Variables> {
        let at = |place| reader.slot_value(word(words, place)?);
        let is_same = at(self.places.code)?.0 == self.code
            && word(words, self.places.caller)? == self.caller
            && at(self.places.loop_at)? == self.loop_at;
        is_same.then(|| Variables {
            end_time: at(self.places.end_time),
            total: self.places.total.and_then(at),
            index: at(self.places.index),
        })
    }
}
