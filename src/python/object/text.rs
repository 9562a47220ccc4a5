//! Strings, in every way CPython stores them, and integers.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{Kind, MAX_NAME, Read, Reader, Unreadable};
use crate::memory::{Address, word};

/// Digits of an `int` that are read: 30 bits each, so 300 decimal places.
const MAX_DIGITS: u64 = 34;

/// Bytes of a C string that are read.
const MAX_C_STRING: u64 = 256;

/// `state.compact` and `state.ascii` of a `str`.
// 3.8-3.15: Include/cpython/unicodeobject.h
const COMPACT: u32 = 1 << 5;
const ASCII: u32 = 1 << 6;

/// The name of a task, by the address of the string or number that it is made from. Both are compared
/// with what is there each time, so that a name costs no memory but once.
#[derive(Debug)]
pub(super) enum Label {
    Text(Arc<str>),
    Number(i64, Arc<str>),
}

impl Reader<'_> {
    /// The text of the `str` at `at`, at most `max` code points of it; a cut one ends in `…`.
    ///
    /// The caller has checked the class. Lone surrogates become `�`.
    ///
    /// # Errors
    /// When it cannot be read or its header is not believable.
    pub fn str(&self, at: Address, max: usize) -> Read<String> {
        self.noting(at, self.read_str(at, max, false))
    }

    /// The same of one that names something of the program's code, or a file, a module, a thread or
    /// a task: a saved target has it though values are hidden in it.
    ///
    /// # Errors
    /// As [`str`](Self::str).
    pub fn name_str(&self, at: Address, max: usize) -> Read<String> {
        self.noting(at, self.read_str(at, max, true))
    }

    fn read_str(&self, at: Address, max: usize, is_name: bool) -> Read<String> {
        let bad = || Unreadable::bad(at, "str");
        let fields = &self.layout.unicode;
        let length = self.memory.u64(at.offset(fields.length))?;
        let state = self.memory.u32(at.offset(fields.state))?;
        let (width, is_ascii) = (u64::from(state >> 2 & 7), state & ASCII != 0);
        if length > 1 << 40 || !matches!(width, 1 | 2 | 4) || (is_ascii && width != 1) {
            return Err(bad());
        }
        let data = match (state & COMPACT != 0, is_ascii) {
            (true, true) => at.offset(fields.ascii_data),
            (true, false) => at.offset(fields.data),
            (false, _) => self.must_pointer(at.offset(fields.data), "str")?,
        };
        let read = length.min(max as u64);
        self.memory.note_text(data, read * width, is_name);
        let bytes = self.memory.vec(data, read * width)?;
        let replaced = char::REPLACEMENT_CHARACTER;
        let mut text: String = match width {
            1 => bytes.into_iter().map(char::from).collect(),
            2 => {
                let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
                units.map(|unit| char::from_u32(u32::from(unit)).unwrap_or(replaced)).collect()
            }
            _ => {
                let units = bytes.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit));
                units.map(|unit| char::from_u32(unit).unwrap_or(replaced)).collect()
            }
        };
        if read < length {
            text.push('…');
        }
        Ok(text)
    }

    /// The text of the `str` at `at`, kept for later; for names that come again and again.
    ///
    /// # Errors
    /// When there is no `str` or it cannot be read.
    pub fn name(&self, at: Address) -> Read<Arc<str>> {
        if let Some(text) = self.caches.fresh(&self.caches.texts, at) {
            return Ok(text);
        }
        if self.kind_of(at)? != Kind::Str {
            return Err(Unreadable::bad(at, "name"));
        }
        // Length, hash, state and what follows: another string at this address differs in one.
        let header = self.memory.bytes::<32>(at.offset(self.layout.unicode.length))?;
        let mut signature = [0; 4];
        for (word, bytes) in signature.iter_mut().zip(header.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        if let Some(text) = self.caches.same(&self.caches.texts, at, signature) {
            return Ok(text);
        }
        let text: Arc<str> = self.name_str(at, MAX_NAME)?.into();
        self.caches.keep(&self.caches.texts, at, signature, &text);
        Ok(text)
    }

    /// The name of a task from the `str` or `int` at `at`.
    ///
    /// From 3.12 on it is a number until somebody asks for the name.
    ///
    /// # Errors
    /// When it is neither or cannot be read.
    pub fn label(&self, at: Address) -> Read<Arc<str>> {
        /// Bytes of a name that is compared with the one before.
        const SHORT: usize = 64;
        let kind = self.kind_of(at)?;
        let mut labels = self.caches.labels.borrow_mut();
        if kind == Kind::Int {
            let number = self.int(at)?;
            return match labels.get(&at) {
                Some(Label::Number(known, text)) if *known == number => Ok(Arc::clone(text)),
                _ => {
                    let text: Arc<str> = format!("Task-{number}").into();
                    labels.insert(at, Label::Number(number, Arc::clone(&text)));
                    Ok(text)
                }
            };
        }
        if kind != Kind::Str {
            return Err(Unreadable::bad(at, "name of a task"));
        }
        let fields = &self.layout.unicode;
        let length = self.memory.u64(at.offset(fields.length))?;
        let state = self.memory.u32(at.offset(fields.state))?;
        let mut bytes = [0; SHORT];
        let short = usize::try_from(length).ok().and_then(|length| bytes.get_mut(..length));
        let Some(bytes) = short.filter(|_| state & (COMPACT | ASCII) == COMPACT | ASCII) else {
            return self.name_str(at, MAX_NAME).map(Arc::from);
        };
        self.memory.note_text(at.offset(fields.ascii_data), length, true);
        self.memory.copy(at.offset(fields.ascii_data), bytes)?;
        match labels.get(&at) {
            Some(Label::Text(text)) if text.as_bytes() == bytes => Ok(Arc::clone(text)),
            _ => {
                let text: Arc<str> = String::from_utf8_lossy(bytes).into();
                labels.insert(at, Label::Text(Arc::clone(&text)));
                Ok(text)
            }
        }
    }

    /// Whether the `str` at `at` is the ASCII text `wanted`.
    pub(super) fn is_text(&self, at: Address, wanted: &str) -> Read<bool> {
        let fields = &self.layout.unicode;
        if self.memory.u64(at.offset(fields.length))? != wanted.len() as u64 {
            return Ok(false);
        }
        let state = self.memory.u32(at.offset(fields.state))?;
        if state & ASCII == 0 {
            return Ok(false);
        }
        let data = if state & COMPACT != 0 {
            at.offset(fields.ascii_data)
        } else {
            self.must_pointer(at.offset(fields.data), "str")?
        };
        let mut bytes = [0; 64];
        let Some(bytes) = bytes.get_mut(..wanted.len()) else {
            return Ok(self.name_str(at, MAX_NAME)? == wanted);
        };
        self.memory.copy(data, bytes)?;
        // What is compared and is another text may be anything: a key of the program's own.
        let is_it = bytes == wanted.as_bytes();
        self.memory.note_text(data, wanted.len() as u64, is_it);
        Ok(is_it)
    }

    /// The C string at `at`, cut at 256 bytes.
    pub(super) fn c_string(&self, at: Address) -> Read<String> {
        let mut bytes = Vec::new();
        // Byte by byte out of the page cache: it may end right before a page that is not there.
        for i in 0..MAX_C_STRING {
            match self.memory.u8(at.offset(i))? {
                0 => break,
                byte => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).ok().ok_or(Unreadable::bad(at, "name of a class"))
    }

    /// The value of the `int` at `at`, when it fits.
    ///
    /// The caller has checked the class.
    ///
    /// # Errors
    /// When it cannot be read or does not fit.
    pub fn int(&self, at: Address) -> Read<i64> {
        let bad = || Unreadable::bad(at, "int");
        let (is_negative, count) = self.int_size(at)?;
        if count > 3 {
            return Err(bad());
        }
        let mut value: i128 = 0;
        for i in (0..count).rev() {
            let digit = self.memory.u32(at.offset(self.layout.int.digits + 4 * i))?;
            value = value << 30 | i128::from(digit & 0x3fff_ffff);
        }
        i64::try_from(if is_negative { -value } else { value }).ok().ok_or_else(bad)
    }

    /// The value of the `int` at `at`, when it is not negative and has at most 128 bits.
    ///
    /// The caller has checked the class.
    ///
    /// # Errors
    /// When it cannot be read or does not fit.
    pub fn long_int(&self, at: Address) -> Read<u128> {
        let bad = || Unreadable::bad(at, "int");
        let (is_negative, count) = self.int_size(at)?;
        if is_negative || count > 5 {
            return Err(bad());
        }
        let mut value: u128 = 0;
        for i in (0..count).rev() {
            let digit = self.memory.u32(at.offset(self.layout.int.digits + 4 * i))?;
            let digit = u128::from(digit & 0x3fff_ffff);
            value = value.checked_mul(1 << 30).ok_or_else(bad)? + digit;
        }
        Ok(value)
    }

    /// The value of an `int` that is not negative and has one digit at most, by its bytes.
    pub fn one_digit(&self, object: &[u8]) -> Option<u64> {
        let size = self.layout.int.size;
        let (is_negative, count) = size.decode(word(object, size.offset())?);
        match count {
            0 => Some(0),
            1 if !is_negative => {
                word(object, self.layout.int.digits).map(|digit| digit & 0x3fff_ffff)
            }
            _ => None,
        }
    }

    /// Whether the `int` at `at` is negative, and how many digits it has.
    fn int_size(&self, at: Address) -> Read<(bool, u64)> {
        let size = self.layout.int.size;
        Ok(size.decode(self.memory.u64(at.offset(size.offset()))?))
    }

    /// The value of the `int` at `at` in decimal; one of more than 300 places in words.
    pub fn int_text(&self, at: Address) -> Read<String> {
        const BASE: u64 = 1_000_000_000;
        let (is_negative, count) = self.int_size(at)?;
        if count > MAX_DIGITS {
            return Ok(format!("<int of {} bits>", count.saturating_mul(30)));
        }
        // Places of nine decimal digits, lowest first, multiplied by 2^30 for each digit.
        let mut places: Vec<u64> = vec![0];
        for i in (0..count).rev() {
            let digit = self.memory.u32(at.offset(self.layout.int.digits + 4 * i))?;
            let mut carry = u64::from(digit & 0x3fff_ffff);
            for place in &mut places {
                let sum = (*place << 30) + carry;
                *place = sum % BASE;
                carry = sum / BASE;
            }
            while carry > 0 {
                places.push(carry % BASE);
                carry /= BASE;
            }
        }
        let mut text = String::from(if is_negative { "-" } else { "" });
        let mut places = places.iter().rev();
        let _ = write!(text, "{}", places.next().unwrap_or(&0));
        for place in places {
            let _ = write!(text, "{place:09}");
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::memory::Image;
    use crate::python::object::{Caches, Memory};

    const AT: Address = Address(0x7f00_0000);
    const MINORS: std::ops::RangeInclusive<u8> = 8..=15;

    /// What is read of an object of these words, then bytes.
    fn read<T>(minor: u8, words: &[u64], rest: &[u8], read: impl Fn(&Reader<'_>) -> T) -> T {
        let words = words.iter().flat_map(|word| word.to_le_bytes());
        let bytes = words.chain(rest.iter().copied()).collect();
        let memory = Memory::new(Box::new(Image::new([(AT, bytes)])));
        let (layout, caches) = (Layout::for_minor(minor).unwrap(), Caches::default());
        read(&Reader { memory: &memory, layout: &layout, caches: &caches })
    }

    /// A compact `str` with characters of so many bytes, as Include/cpython/unicodeobject.h of a
    /// version has it: up to 3.11 there is a `wstr` in each, with a length in those that are not ASCII.
    fn text(minor: u8, length: u64, width: u64, is_ascii: bool, data: &[u8]) -> Read<String> {
        let state = width << 2 | 1 << 5 | u64::from(is_ascii) << 6;
        let mut words = vec![1, 0xc1a55, length, 0x4a54, state];
        words.extend((minor < 12).then_some(0));
        if !is_ascii {
            words.extend([0, 0]);
            words.extend((minor < 12).then_some(0));
        }
        read(minor, &words, data, |reader| reader.str(AT, 5))
    }

    #[test]
    fn strings_of_each_width_in_each_version() {
        let wide =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let wider = |text: &str| -> Vec<u8> {
            text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect()
        };
        for minor in MINORS {
            let read = |text| Ok(String::from(text));
            assert_eq!(text(minor, 3, 1, true, b"abc"), read("abc"), "3.{minor}");
            assert_eq!(text(minor, 6, 1, true, b"abcdef"), read("abcde…"), "3.{minor}");
            assert_eq!(text(minor, 3, 1, false, b"\xe4\xf6\xff"), read("äöÿ"), "3.{minor}");
            assert_eq!(text(minor, 2, 2, false, &wide("名é")), read("名é"), "3.{minor}");
            assert_eq!(text(minor, 2, 4, false, &wider("😀名")), read("😀名"), "3.{minor}");
            // A lone surrogate, as `os.fsdecode` makes of bytes that are not UTF-8.
            let lone = [0x41, 0, 0x80, 0xdc];
            assert_eq!(text(minor, 2, 2, false, &lone), read("A\u{fffd}"), "3.{minor}");
        }
    }

    #[test]
    fn headers_of_strings_that_cannot_be() {
        for minor in MINORS {
            let bad = Err(Unreadable::bad(AT, "str"));
            assert_eq!(text(minor, 1, 3, false, b"abc"), bad, "a width of 3");
            assert_eq!(text(minor, 1, 2, true, b"abcd"), bad, "wide ASCII");
            assert_eq!(text(minor, 1 << 41, 1, true, b"abc"), bad, "two terabytes");
            // What is longer than what is there has no text.
            assert!(matches!(text(minor, 4, 1, true, b"abc"), Err(Unreadable::Fault(_))));
        }
    }

    /// An `int` as Include/longintrepr.h has it: up to 3.11 the sign is that of the number of
    /// digits; from 3.12 on the lowest two bits of a word are 0, 1 for zero or 2 for a negative one,
    /// and the digits are counted from its fourth bit on.
    fn int(minor: u8, digits: &[u32], is_negative: bool) -> (Read<i64>, Read<String>) {
        let count = digits.len() as u64;
        let size = match (minor < 12, is_negative) {
            (true, false) => count,
            (true, true) => count.wrapping_neg(),
            (false, _) if count == 0 => 1,
            (false, _) => count << 3 | u64::from(is_negative) << 1,
        };
        let rest: Vec<u8> = digits.iter().flat_map(|digit| digit.to_le_bytes()).collect();
        read(minor, &[1, 0xc1a55, size], &rest, |reader| (reader.int(AT), reader.int_text(AT)))
    }

    #[test]
    fn integers_of_any_size() {
        const ALL: u32 = (1 << 30) - 1;
        for minor in MINORS {
            let both = |value: i64| (Ok(value), Ok(value.to_string()));
            assert_eq!(int(minor, &[], false), both(0), "3.{minor}");
            assert_eq!(int(minor, &[7], false), both(7));
            assert_eq!(int(minor, &[7], true), both(-7));
            assert_eq!(int(minor, &[ALL, 1], false), both((1 << 31) - 1));
            assert_eq!(int(minor, &[0, 0, 8], true), both(i64::MIN));
            let (fits, text) = int(minor, &[0, 0, 8], false);
            assert!(fits.is_err(), "one more than the largest");
            assert_eq!(text, Ok("9223372036854775808".to_owned()));
            let (fits, text) = int(minor, &[1; 100], false);
            assert!(fits.is_err());
            assert_eq!(text, Ok("<int of 3000 bits>".to_owned()));
        }
    }

    #[test]
    fn integers_of_128_bits() {
        const ALL: u32 = (1 << 30) - 1;
        let long = |minor: u8, digits: &[u32], is_negative| {
            let size = match (minor < 12, is_negative) {
                (true, _) if is_negative => (digits.len() as u64).wrapping_neg(),
                (true, _) => digits.len() as u64,
                (false, _) => (digits.len() as u64) << 3 | u64::from(is_negative) << 1,
            };
            let rest: Vec<u8> = digits.iter().flat_map(|digit| digit.to_le_bytes()).collect();
            read(minor, &[1, 0xc1a55, size], &rest, |reader| reader.long_int(AT)).ok()
        };
        for minor in MINORS {
            assert_eq!(long(minor, &[7], false), Some(7), "3.{minor}");
            assert_eq!(long(minor, &[ALL, ALL, ALL, ALL, 255], false), Some(u128::MAX));
            assert_eq!(long(minor, &[0, 0, 0, 0, 256], false), None);
            assert_eq!(long(minor, &[0, 0, 0, 0, 0, 1], false), None);
            assert_eq!(long(minor, &[7], true), None);
        }
    }
}
