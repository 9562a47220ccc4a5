//! How single facts are written: numbers as varints, names and stacks by their number in tables.
//!
//! A record is a bit mask of the facts that are there, then these. Times that go on by themselves
//! (since when, when due) are written as moments of the target's clock, so that the record of what
//! did not change has the same bytes in each sample. Nothing read is trusted: every number is
//! checked, and nothing is allocated for a length that the bytes left could not fill.

mod facts;
mod moment;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::memory::Address;
use crate::snapshot::{Frame, Location, Origin};

pub use facts::{at, nanos};
pub use moment::{Due, Since};

/// What is read is not what a recorder writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad(pub &'static str);

pub type Read<T> = Result<T, Bad>;

/// The tables of one block as they are written.
#[derive(Debug, Default)]
pub struct WrittenTables {
    texts: FxHashMap<Box<str>, u64>,
    /// By address, which the table keeps from being used again: most frames are at places that
    /// were met before, and their contents need no second look.
    places: FxHashMap<usize, (Arc<Location>, u64)>,
    same_places: FxHashMap<Location, u64>,
    stacks: FxHashMap<Box<[u64]>, u64>,
    /// What was added since the last sample, as it goes into the file.
    added: Vec<u8>,
}

const TEXT: u8 = 0;
const PLACE: u8 = 1;
const STACK: u8 = 2;

/// Whose code is at a place, by its number.
const ORIGINS: [Origin; 3] = [Origin::Own, Origin::Package, Origin::Stdlib];

impl WrittenTables {
    /// What was added since the last time it was asked for.
    pub fn take_added(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.added)
    }

    fn text(&mut self, text: &str) -> u64 {
        if let Some(known) = self.texts.get(text) {
            return *known;
        }
        let number = self.texts.len() as u64;
        self.texts.insert(text.into(), number);
        self.added.push(TEXT);
        put_number(&mut self.added, text.len() as u64);
        self.added.extend(text.as_bytes());
        number
    }

    fn place(&mut self, place: &Arc<Location>) -> u64 {
        let key = Arc::as_ptr(place) as usize;
        if let Some((_, known)) = self.places.get(&key) {
            return *known;
        }
        let number = if let Some(known) = self.same_places.get(&**place) {
            *known
        } else {
            let (function, file) = (self.text(&place.function), self.text(&place.file));
            let number = self.same_places.len() as u64;
            self.added.push(PLACE);
            // A line or column is told from none by one more.
            for part in [
                function,
                file,
                place.line.map_or(0, |line| u64::from(line) + 1),
                place.column.map_or(0, |column| u64::from(column) + 1),
                ORIGINS.iter().position(|it| *it == place.origin).unwrap_or(0) as u64,
                u64::from(place.root_len),
            ] {
                put_number(&mut self.added, part);
            }
            self.same_places.insert((**place).clone(), number);
            number
        };
        self.places.insert(key, (Arc::clone(place), number));
        number
    }

    fn stack(&mut self, places: &[u64]) -> u64 {
        if let Some(known) = self.stacks.get(places) {
            return *known;
        }
        let number = self.stacks.len() as u64;
        self.added.push(STACK);
        put_number(&mut self.added, places.len() as u64);
        for place in places {
            put_number(&mut self.added, *place);
        }
        self.stacks.insert(places.into(), number);
        number
    }
}

fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push((number & 0x7f) as u8);
}

/// Writes facts.
#[derive(Debug)]
pub struct Put<'n> {
    pub bytes: Vec<u8>,
    pub names: &'n mut WrittenTables,
    /// The clock of the sample, in nanoseconds: what moments are told from.
    pub clock: i64,
    scratch: Vec<u64>,
}

impl<'n> Put<'n> {
    pub fn new(bytes: Vec<u8>, names: &'n mut WrittenTables, clock: i64) -> Self {
        Self { bytes, names, clock, scratch: Vec::new() }
    }

    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub fn number(&mut self, number: u64) {
        put_number(&mut self.bytes, number);
    }

    /// Small ones of both signs are short.
    pub fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    pub fn text(&mut self, text: &str) {
        let number = self.names.text(text);
        self.number(number);
    }

    pub fn place(&mut self, place: &Arc<Location>) {
        let number = self.names.place(place);
        self.number(number);
    }

    /// A stack by its number and one more, or 0 and its frames, where they have variables.
    pub fn frames(&mut self, frames: &[Frame]) {
        if frames.iter().any(|frame| frame.locals.is_some()) {
            self.byte(0);
            self.number(frames.len() as u64);
            for frame in frames {
                frame.put(self);
            }
            return;
        }
        let mut places = std::mem::take(&mut self.scratch);
        places.clear();
        places.extend(frames.iter().map(|frame| self.names.place(&frame.location)));
        let number = self.names.stack(&places);
        self.scratch = places;
        self.number(number + 1);
    }
}

/// The tables of one block as they are read.
#[derive(Debug, Default)]
pub struct ReadTables {
    texts: Vec<Arc<str>>,
    places: Vec<Arc<Location>>,
    stacks: Vec<Vec<Frame>>,
    /// Frames in all stacks.
    frames: usize,
}

/// Frames of all different stacks of one block: a hundred thousand of a hundred frames.
const MAX_FRAMES: usize = 10_000_000;

impl ReadTables {
    /// Takes in what a sample adds.
    pub fn add(&mut self, added: &[u8]) -> Read<()> {
        let mut rest = added;
        while !rest.is_empty() {
            let mut from = Get::new(rest, self, 0);
            let one = Added::get(&mut from)?;
            let left = from.rest.len();
            rest = rest.get(rest.len() - left..).unwrap_or_default();
            match one {
                Added::Text(text) => self.texts.push(text),
                Added::Place(place) => self.places.push(Arc::new(place)),
                Added::Stack(stack) => {
                    self.frames += stack.len();
                    if self.frames > MAX_FRAMES {
                        return Err(Bad("more frames than a block can have"));
                    }
                    self.stacks.push(stack);
                }
            }
        }
        Ok(())
    }
}

/// One more thing for the tables.
enum Added {
    Text(Arc<str>),
    Place(Location),
    Stack(Vec<Frame>),
}

impl Added {
    fn get(from: &mut Get<'_>) -> Read<Self> {
        match from.byte()? {
            TEXT => {
                let len = from.length()?;
                let text = std::str::from_utf8(from.take(len)?);
                Ok(Self::Text(text.map_err(|_error| Bad("a text is not UTF-8"))?.into()))
            }
            PLACE => {
                let place = Location {
                    function: from.known_text()?,
                    file: from.known_text()?,
                    line: from.number_and_one()?,
                    column: from.number_and_one()?,
                    definition: None,
                    origin: ORIGINS
                        .get(usize::from(from.byte()?))
                        .copied()
                        .ok_or(Bad("an unknown origin"))?,
                    root_len: u32::try_from(from.number()?).unwrap_or(0),
                    known: crate::known::Known::default(),
                };
                Ok(Self::Place(place.classified()))
            }
            STACK => {
                let len = from.length()?;
                let mut stack = Vec::with_capacity(len);
                for _ in 0..len {
                    stack.push(Frame { location: from.known_place()?, locals: None });
                }
                Ok(Self::Stack(stack))
            }
            _ => Err(Bad("an unknown kind of name")),
        }
    }
}

/// Reads facts.
#[derive(Debug)]
pub struct Get<'a> {
    pub rest: &'a [u8],
    known: &'a ReadTables,
    pub clock: i64,
}

impl<'a> Get<'a> {
    pub fn new(bytes: &'a [u8], known: &'a ReadTables, clock: i64) -> Self {
        Self { rest: bytes, known, clock }
    }

    pub fn byte(&mut self) -> Read<u8> {
        let (first, rest) = self.rest.split_first().ok_or(Bad("it ends too early"))?;
        self.rest = rest;
        Ok(*first)
    }

    pub fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Bad("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn number(&mut self) -> Read<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Bad("a number is too long"))
    }

    pub fn signed(&mut self) -> Read<i64> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// How many things follow, each of which takes one byte at least.
    pub fn length(&mut self) -> Read<usize> {
        let len = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if len > self.rest.len() { Err(Bad("a length is beyond the end")) } else { Ok(len) }
    }

    fn number_and_one(&mut self) -> Read<Option<u32>> {
        match self.number()? {
            0 => Ok(None),
            number => Ok(u32::try_from(number - 1).ok()),
        }
    }

    pub fn known_text(&mut self) -> Read<Arc<str>> {
        let number = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        self.known.texts.get(number).cloned().ok_or(Bad("a text that was never written"))
    }

    pub fn known_place(&mut self) -> Read<Arc<Location>> {
        let number = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        self.known.places.get(number).cloned().ok_or(Bad("a place that was never written"))
    }

    pub fn frames(&mut self) -> Read<Vec<Frame>> {
        let Some(number) = self.number()?.checked_sub(1) else { return get_all(self) };
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        self.known.stacks.get(number).cloned().ok_or(Bad("a stack that was never written"))
    }
}

/// A thing that can be written and read.
pub trait Wire: Sized {
    fn put(&self, to: &mut Put<'_>);
    fn get(from: &mut Get<'_>) -> Read<Self>;
    /// Whether it is what is meant where nothing is written.
    fn is_absent(&self) -> bool {
        false
    }
    /// What is meant where nothing is written.
    fn absent() -> Read<Self> {
        Err(Bad("a fact is missing"))
    }
}

/// A way to write facts of another type.
pub trait As<T> {
    fn put(fact: &T, to: &mut Put<'_>);
    fn get(from: &mut Get<'_>) -> Read<T>;
    fn is_absent(fact: &T) -> bool;
    fn absent() -> Read<T>;
}

/// As it is.
#[derive(Debug)]
pub struct Plain;

impl<T: Wire> As<T> for Plain {
    fn put(fact: &T, to: &mut Put<'_>) {
        fact.put(to);
    }
    fn get(from: &mut Get<'_>) -> Read<T> {
        T::get(from)
    }
    fn is_absent(fact: &T) -> bool {
        fact.is_absent()
    }
    fn absent() -> Read<T> {
        T::absent()
    }
}

/// What was once recorded of the grounds of findings, and is passed over.
#[derive(Debug)]
pub struct Former<T>(std::marker::PhantomData<T>);

/// Whether something is to be called when a task ends.
pub type FormerFlag = Former<bool>;
/// Which task cannot end before which other one.
pub type FormerPairs = Former<Vec<(Address, Address)>>;

impl<T: Wire, G> As<Option<G>> for Former<T> {
    fn put(_: &Option<G>, _: &mut Put<'_>) {}
    fn get(from: &mut Get<'_>) -> Read<Option<G>> {
        T::get(from).map(|_| None)
    }
    fn is_absent(_: &Option<G>) -> bool {
        true
    }
    fn absent() -> Read<Option<G>> {
        Ok(None)
    }
}

/// Several of them, each with its own length of bytes.
pub fn put_all<T: Wire>(all: &[T], to: &mut Put<'_>) {
    to.number(all.len() as u64);
    for one in all {
        one.put(to);
    }
}

pub fn get_all<T: Wire>(from: &mut Get<'_>) -> Read<Vec<T>> {
    let len = from.length()?;
    // What one takes in memory may be much more than in the file: it grows as it comes.
    let mut all = Vec::with_capacity(len.min(64));
    for _ in 0..len {
        all.push(T::get(from)?);
    }
    Ok(all)
}

/// A record: `record!(Job { function, thread, elapsed as Since })`; fields that are not recorded
/// follow the bar with what they are when read.
macro_rules! record {
    (@as) => { $crate::recording::wire::Plain };
    (@as $how:ident) => { $crate::recording::wire::$how };
    ($type:ty { $($field:ident $(as $how:ident)?),* $(,)? $(| $($other:ident = $value:expr),+)? }) => {
        impl $crate::recording::wire::Wire for $type {
            #[allow(unused_assignments, reason = "the bit after the last field's")]
            fn put(&self, to: &mut $crate::recording::wire::Put<'_>) {
                use $crate::recording::wire::As;
                let (mut mask, mut bit) = (0_u64, 1_u64);
                $(
                    if !<record!(@as $($how)?) as As<_>>::is_absent(&self.$field) {
                        mask |= bit;
                    }
                    bit <<= 1;
                )*
                to.number(mask);
                $(
                    if !<record!(@as $($how)?) as As<_>>::is_absent(&self.$field) {
                        <record!(@as $($how)?) as As<_>>::put(&self.$field, to);
                    }
                )*
            }

            #[allow(unused_assignments, reason = "the mask after the last field")]
            fn get(
                from: &mut $crate::recording::wire::Get<'_>,
            ) -> $crate::recording::wire::Read<Self> {
                use $crate::recording::wire::As;
                let mut mask = from.number()?;
                $(
                    let $field = if mask & 1 == 1 {
                        <record!(@as $($how)?) as As<_>>::get(from)?
                    } else {
                        <record!(@as $($how)?) as As<_>>::absent()?
                    };
                    mask >>= 1;
                )*
                Ok(Self { $($field,)* $($($other: $value,)+)? })
            }
        }
    };
}

/// One of several names, by a number that stays the same.
macro_rules! names {
    ($type:ty { $($name:ident = $number:literal),* $(,)? }) => {
        impl $crate::recording::wire::Wire for $type {
            fn put(&self, to: &mut $crate::recording::wire::Put<'_>) {
                to.byte(match self { $(Self::$name => $number,)* });
            }

            fn get(
                from: &mut $crate::recording::wire::Get<'_>,
            ) -> $crate::recording::wire::Read<Self> {
                match from.byte()? {
                    $($number => Ok(Self::$name),)*
                    _ => Err($crate::recording::wire::Bad("an unknown name")),
                }
            }
        }
    };
}

/// One of several things with facts of their own, by a number that stays the same.
macro_rules! sums {
    ($type:ty { $($name:ident = $number:literal { $($field:ident),* $(,)? }),* $(,)? }) => {
        impl $crate::recording::wire::Wire for $type {
            fn put(&self, to: &mut $crate::recording::wire::Put<'_>) {
                match self { $(Self::$name { $($field),* } => {
                    to.byte($number);
                    $($field.put(to);)*
                })* }
            }

            fn get(
                from: &mut $crate::recording::wire::Get<'_>,
            ) -> $crate::recording::wire::Read<Self> {
                match from.byte()? {
                    $($number => Ok(Self::$name { $($field: Wire::get(from)?),* }),)*
                    _ => Err($crate::recording::wire::Bad("an unknown name")),
                }
            }
        }
    };
}

pub(super) use {names, record, sums};

/// What there may be several of.
pub trait Several: Wire {
    fn put_several(all: &[Self], to: &mut Put<'_>) {
        put_all(all, to);
    }
    fn get_several(from: &mut Get<'_>) -> Read<Vec<Self>> {
        get_all(from)
    }
}

macro_rules! several {
    ($($type:ty),* $(,)?) => { $(impl $crate::recording::wire::Several for $type {})* };
}

pub(super) use several;
