//! Code objects: names, lines and columns of the instruction a frame is at.

mod contexts;
mod flow;
mod loops;

use std::sync::{Arc, OnceLock};

use super::{Kind, Read, Reader, Unreadable};
use crate::known::work::{self, Rule};
use crate::layout::{Awaiting, Bytecode, LineTable, LocalNames};
use crate::memory::Address;
use crate::snapshot::{Definition, Location};

use contexts::Contexts;
pub(crate) use flow::{Flow, Instruction, Outcome};
pub(crate) use loops::Body;
use loops::Loops;

/// Bytes of a line table that are read; the longest functions seen have some 100 KiB.
const MAX_LINE_TABLE: u64 = 4 << 20;
/// Local variables of one function.
const MAX_LOCALS: u64 = 1 << 16;
/// Bytes of instructions or exception table that are read; the longest functions seen have some
/// 300 KiB.
const MAX_INSTRUCTIONS: u64 = 4 << 20;

/// What was read of a code object.
#[derive(Debug)]
pub struct Code {
    /// Its address.
    pub at: Address,
    /// Where it begins: `co_qualname` (`co_name` before 3.11), `co_filename`, and whose it is.
    pub place: Location,
    /// Address of the first instruction.
    pub bytecode: Address,
    /// `co_stacksize`: the most values on its stack.
    pub stacksize: u64,
    /// Locals, cells and free variables together.
    pub locals_count: u64,
    line_table: Vec<u8>,
    names: OnceLock<Vec<(Arc<str>, bool)>>,
    /// Whether it may switch to a greenlet.
    switches: OnceLock<bool>,
    instructions: OnceLock<Vec<u8>>,
    protected: OnceLock<Vec<Protected>>,
    /// Where its `with` and `async with` blocks are cleaned up after an exception.
    contexts: OnceLock<Contexts>,
    /// How its instructions follow each other.
    flow: OnceLock<Flow>,
    /// Its `for` loops.
    loops: OnceLock<Loops>,
    /// What its frames say of the work that they are part of.
    work: OnceLock<Option<Arc<Rule>>>,
}

/// A row of the exception table (3.11 and later): where an exception raised in a piece of code
/// goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protected {
    /// The first instruction, in bytes.
    pub start: u64,
    /// Behind the last instruction.
    pub end: u64,
    /// The first instruction of the handler.
    pub target: u64,
    /// How many values stay on the stack.
    pub depth: u64,
}

/// What is known about one instruction of a code object.
#[derive(Debug, Clone)]
pub struct Site {
    /// Where it is in the source.
    pub location: Arc<Location>,
    /// Whether a frame suspended here is in an `await` or `yield from`, where opcodes tell.
    pub is_await: bool,
}

impl Reader<'_> {
    /// The code object at `at`.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn code(&self, at: Address) -> Read<Arc<Code>> {
        if at.is_null() {
            return Err(Unreadable::bad(at, "code object"));
        }
        if let Some(code) = self.caches.recent(&self.caches.recent_codes, at) {
            return Ok(code);
        }
        let known = self.caches.fresh(&self.caches.codes, at);
        let code = known.map_or_else(|| self.read_code(at), Ok)?;
        self.caches.note_recent(&self.caches.recent_codes, at, Arc::clone(&code));
        Ok(code)
    }

    fn read_code(&self, at: Address) -> Read<Arc<Code>> {
        let bad = || Unreadable::bad(at, "code object");
        if self.kind_of(at)? != Kind::Code {
            return Err(bad());
        }
        let fields = &self.layout.code;
        let (LineTable::Lnotab(table) | LineTable::Pairs(table) | LineTable::Locations(table)) =
            fields.line_table;
        let file = self.must_pointer(at.offset(fields.filename), "code object")?;
        let name = at.offset(fields.qualname.unwrap_or(fields.name));
        let name = self.must_pointer(name, "code object")?;
        let table = self.must_pointer(at.offset(table), "code object")?;
        let first_line = self.memory.u32(at.offset(fields.firstlineno))?;
        let signature = [file.0, name.0, table.0, u64::from(first_line)];
        if let Some(code) = self.caches.same(&self.caches.codes, at, signature) {
            return Ok(code);
        }
        let stacksize = self.memory.i32(at.offset(fields.stacksize))?;
        let (function, file) = (self.name(name)?, self.name(file)?);
        let definition = Definition { name: Arc::clone(&function), line: first_line };
        let place = Location::new(function, file, Some(first_line), &self.caches.libraries());
        let code = Arc::new(Code {
            at,
            place: Location { definition: Some(definition), ..place },
            bytecode: match fields.bytecode {
                Bytecode::Inline(offset) => at.offset(offset),
                Bytecode::Bytes(offset) => self
                    .must_pointer(at.offset(offset), "code object")?
                    .offset(self.layout.small.bytes_data),
            },
            stacksize: u64::try_from(stacksize).ok().ok_or_else(bad)?,
            locals_count: self.locals_count(at)?,
            line_table: self.bytes(table, MAX_LINE_TABLE)?,
            names: OnceLock::new(),
            switches: OnceLock::new(),
            instructions: OnceLock::new(),
            protected: OnceLock::new(),
            contexts: OnceLock::new(),
            flow: OnceLock::new(),
            loops: OnceLock::new(),
            work: OnceLock::new(),
        });
        // Another code object at an address that was used before: its sites are void.
        let is_reused = self.caches.codes.borrow().contains_key(&at);
        if is_reused {
            self.caches.sites.borrow_mut().retain(|&(code, ..), _| code != at);
        }
        self.caches.keep(&self.caches.codes, at, signature, &code);
        Ok(code)
    }

    fn locals_count(&self, at: Address) -> Read<u64> {
        let count = match self.layout.code.names {
            LocalNames::Localsplus { count, .. } => {
                u64::try_from(self.memory.i32(at.offset(count))?).unwrap_or(u64::MAX)
            }
            LocalNames::Tuples { varnames, cellvars, freevars } => {
                let mut count = 0;
                for tuple in [varnames, cellvars, freevars] {
                    let tuple = self.must_pointer(at.offset(tuple), "names of locals")?;
                    count += self.size(tuple, MAX_LOCALS, "names of locals")?;
                }
                count
            }
        };
        if count > MAX_LOCALS { Err(Unreadable::bad(at, "code object")) } else { Ok(count) }
    }

    /// The bytes of the `bytes` at `at`, which must not be more than `max`.
    pub(crate) fn bytes(&self, at: Address, max: u64) -> Read<Vec<u8>> {
        if self.kind_of(at)? != Kind::Bytes {
            return Err(Unreadable::bad(at, "bytes"));
        }
        let size = self.size(at, max, "bytes")?;
        Ok(self.memory.vec(at.offset(self.layout.small.bytes_data), size)?)
    }

    /// The names of a function's variables, each with whether its slot holds a cell.
    pub fn local_names<'c>(&self, code: &'c Code) -> &'c [(Arc<str>, bool)] {
        code.names.get_or_init(|| self.read_local_names(code.at).unwrap_or_default())
    }

    /// The rule by which frames of a code object say what they are part of, if there is one.
    pub(in crate::python) fn rule_of(&self, code: &Code) -> Option<Arc<Rule>> {
        let rule = code.work.get_or_init(|| {
            let names = self.local_names(code).iter().map(|(name, _)| &**name);
            let place = &code.place;
            let own = self.caches.rules().find(&place.file, &place.function);
            own.or_else(|| work::rule(place.path(), &place.function, place.origin, names))
        });
        rule.clone()
    }

    fn read_local_names(&self, at: Address) -> Read<Vec<(Arc<str>, bool)>> {
        /// `CO_FAST_CELL | CO_FAST_FREE` (`Include/internal/pycore_code.h`).
        const CELL_OR_FREE: u8 = 0x40 | 0x80;
        let mut names = Vec::new();
        match self.layout.code.names {
            LocalNames::Localsplus { names: tuple, kinds, .. } => {
                let tuple = self.must_pointer(at.offset(tuple), "names of locals")?;
                let kinds = self.must_pointer(at.offset(kinds), "kinds of locals")?;
                let kinds = self.bytes(kinds, MAX_LOCALS)?;
                for (name, kind) in self.tuple(tuple)?.into_iter().zip(kinds) {
                    names.push((self.name(name)?, kind & CELL_OR_FREE != 0));
                }
            }
            LocalNames::Tuples { varnames, cellvars, freevars } => {
                for (tuple, is_cell) in [(varnames, false), (cellvars, true), (freevars, true)] {
                    let tuple = self.must_pointer(at.offset(tuple), "names of locals")?;
                    for name in self.tuple(tuple)? {
                        names.push((self.name(name)?, is_cell));
                    }
                }
            }
        }
        Ok(names)
    }

    /// Whether a function uses an attribute or global variable `switch`, as one does that switches to
    /// a greenlet.
    pub fn may_switch(&self, code: &Code) -> bool {
        let uses_it = || {
            let names = code.at.offset(self.layout.code.global_names);
            let names = self.tuple(self.must_pointer(names, "names")?)?;
            Ok::<_, Unreadable>(names.into_iter().any(|at| self.is_text(at, "switch") == Ok(true)))
        };
        *code.switches.get_or_init(|| uses_it().unwrap_or(false))
    }

    /// The instructions of a code object as they lie in memory: from 3.11 on the interpreter
    /// replaces opcodes in place and keeps counters between them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn instructions<'c>(&self, code: &'c Code) -> Read<&'c [u8]> {
        if let Some(instructions) = code.instructions.get() {
            return Ok(instructions);
        }
        let bad = || Unreadable::bad(code.at, "instructions");
        let (holder, unit) = match self.layout.code.bytecode {
            // A `PyCodeObject` counts its instructions, of two bytes each, as a tuple its items.
            Bytecode::Inline(_) => (code.at, 2),
            Bytecode::Bytes(_) => (code.bytecode.before(self.layout.small.bytes_data), 1),
        };
        let size = self.size(holder, MAX_INSTRUCTIONS / unit, "instructions")? * unit;
        if !size.is_multiple_of(2) {
            return Err(bad());
        }
        let instructions = self.memory.vec(code.bytecode, size)?;
        Ok(code.instructions.get_or_init(|| instructions))
    }

    /// The exception table of a code object, in the order of instructions; empty before 3.11.
    ///
    /// # Errors
    /// When it cannot be read or does not hold together.
    pub fn protected<'c>(&self, code: &'c Code) -> Read<&'c [Protected]> {
        if let Some(protected) = code.protected.get() {
            return Ok(protected);
        }
        let rows = match self.layout.code.exception_table {
            None => Vec::new(),
            Some(table) => {
                let bad = || Unreadable::bad(code.at, "exception table");
                let table = self.must_pointer(code.at.offset(table), "exception table")?;
                let table = self.bytes(table, MAX_INSTRUCTIONS)?;
                protected_rows(&table).ok_or_else(bad)?
            }
        };
        Ok(code.protected.get_or_init(|| rows))
    }

    /// What is known about the instruction `lasti` (in bytes) of the code object at `code`.
    ///
    /// `qualname` is that of the coroutine or generator, where the code object has only the
    /// plain name (before 3.11), else null.
    ///
    /// # Errors
    /// When the code object cannot be read.
    pub fn site(&self, at: Address, lasti: i64, qualname: Address) -> Read<Site> {
        let key = (at, lasti, qualname);
        if let Some(site) = self.caches.recent(&self.caches.recent_sites, key) {
            return Ok(site);
        }
        let site = self.read_site(key)?;
        self.caches.note_recent(&self.caches.recent_sites, key, site.clone());
        Ok(site)
    }

    fn read_site(&self, key: (Address, i64, Address)) -> Read<Site> {
        let (at, lasti, qualname) = key;
        let code = self.code(at)?;
        if let Some(site) = self.caches.sites.borrow().get(&key) {
            return Ok(site.clone());
        }
        let (line, column) = code.position(lasti, self.layout.code.line_table);
        let place = Location { line, column, ..code.place.clone() };
        let place = match qualname.non_null() {
            Some(qualname) => place.named(self.name(qualname)?),
            None => place,
        };
        let site = Site { location: Arc::new(place), is_await: self.is_await(&code, lasti) };
        self.caches.sites.borrow_mut().insert(key, site.clone());
        Ok(site)
    }

    /// Whether the opcode behind instruction `lasti` says that a suspended frame awaits.
    fn is_await(&self, code: &Code, lasti: i64) -> bool {
        let Ok(lasti) = u64::try_from(lasti) else { return false };
        let unit = self.memory.bytes::<2>(code.bytecode.offset(lasti + 2));
        match (self.layout.awaiting, unit) {
            (Awaiting::NextOpcode { yield_from }, Ok([opcode, _])) => opcode == yield_from,
            // RESUME's argument: 0 start, 1 after yield, 2 after yield from, 3 after await.
            (Awaiting::NextResume { resume }, Ok([opcode, argument])) => {
                resume.contains(&opcode) && argument & 3 >= 2
            }
            _ => false,
        }
    }
}

impl Code {
    /// Line and column of the instruction at `lasti` bytes; the first line when none has run.
    fn position(&self, lasti: i64, table: LineTable) -> (Option<u32>, Option<u32>) {
        let Ok(lasti) = u64::try_from(lasti) else { return (self.place.line, None) };
        let first = i64::from(self.place.line.unwrap_or_default());
        let (line, column) = match table {
            LineTable::Lnotab(_) => (Some(lnotab(&self.line_table, first, lasti)), None),
            LineTable::Pairs(_) => (line_pairs(&self.line_table, first, lasti), None),
            LineTable::Locations(_) => {
                locations(&self.line_table, first, lasti).map_or((None, None), |(l, c)| (l, c))
            }
        };
        (line.and_then(|line| u32::try_from(line).ok()), column)
    }
}

/// `co_lnotab`: [ (address step: u8, line step: i8) ]
fn lnotab(table: &[u8], first: i64, lasti: u64) -> i64 {
    let mut line = first;
    let mut address = 0;
    for [step, lines] in table.as_chunks::<2>().0 {
        address += u64::from(*step);
        if address > lasti {
            break;
        }
        line += i64::from(lines.cast_signed());
    }
    line
}

/// `co_linetable` of 3.10: [ (length: u8, line step: i8; -128: no line) ]
fn line_pairs(table: &[u8], first: i64, lasti: u64) -> Option<i64> {
    let mut line = first;
    let mut end = 0;
    for [length, step] in table.as_chunks::<2>().0 {
        end += u64::from(*length);
        let has_line = step.cast_signed() != i8::MIN;
        if has_line {
            line += i64::from(step.cast_signed());
        }
        if lasti < end {
            return has_line.then_some(line);
        }
    }
    None
}

/// The location table of 3.11 and later: line and column of the instruction at `lasti` bytes.
///
/// [ 1ccccLLL ; by cccc: 0-9 one byte of columns | 10-12 two bytes of columns |
///   13 line step | 14 line step, end line, column + 1, end column + 1 | 15 nothing ]
/// (Objects/locations.md); numbers in groups of six bits, lowest first.
fn locations(table: &[u8], first: i64, lasti: u64) -> Option<(Option<i64>, Option<u32>)> {
    let mut bytes = table.iter().copied();
    let mut line = first;
    let mut end = 0;
    while let Some(head) = bytes.next() {
        let code = head >> 3 & 15;
        end += 2 * (u64::from(head & 7) + 1);
        let mut column = None;
        match code {
            0..=9 => {
                let second = bytes.next()?;
                column = Some(u32::from(code) << 3 | u32::from(second >> 4));
            }
            10..=12 => {
                line += i64::from(code - 10);
                column = Some(u32::from(bytes.next()?));
                bytes.next()?;
            }
            13 => line += signed_varint(&mut bytes)?,
            14 => {
                line += signed_varint(&mut bytes)?;
                varint(&mut bytes)?;
                column = u32::try_from(varint(&mut bytes)?).ok()?.checked_sub(1);
                varint(&mut bytes)?;
            }
            _ => {}
        }
        if lasti < end {
            return Some(((code != 15).then_some(line), column));
        }
    }
    None
}

/// The exception table: [ start, length, target, depth << 1 | keeps the instruction ], in units
/// of two bytes and groups of six bits, highest first (`Objects/exception_handling_notes.txt`).
///
/// `None` when a row is cut short or out of order.
fn protected_rows(table: &[u8]) -> Option<Vec<Protected>> {
    let mut bytes = table.iter().copied();
    let mut number = || {
        let mut value = 0_u64;
        // Six bits each: more than six groups do not fit the 32 bits CPython writes.
        for _ in 0..6 {
            let byte = bytes.next()?;
            value = value << 6 | u64::from(byte & 63);
            if byte & 64 == 0 {
                return Some(value);
            }
        }
        None
    };
    let mut rows: Vec<Protected> = Vec::new();
    while let Some(start) = number() {
        let (length, target, depth) = (number()?, number()?, number()?);
        if rows.last().is_some_and(|last| 2 * start < last.end) {
            return None;
        }
        let (start, end) = (2 * start, 2 * (start + length));
        rows.push(Protected { start, end, target: 2 * target, depth: depth >> 1 });
    }
    Some(rows)
}

fn varint(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut value = 0;
    // Six bits each: more than ten groups do not fit 64 bits.
    for shift in (0..60).step_by(6) {
        let byte = bytes.next()?;
        value |= u64::from(byte & 63) << shift;
        if byte & 64 == 0 {
            return Some(value);
        }
    }
    None
}

fn signed_varint(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let value = varint(bytes)?;
    let magnitude = i64::try_from(value >> 1).ok()?;
    Some(if value & 1 == 1 { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lnotab_stops_at_the_instruction() {
        // Lines 10, 11 (from 4), 9 (from 8): steps +1 and -2.
        let table = [4, 1, 4, 0xfe];
        let lines = [0, 2, 4, 6, 8, 100].map(|lasti| lnotab(&table, 10, lasti));
        assert_eq!(lines, [10, 10, 11, 11, 9, 9]);
    }

    #[test]
    fn pairs_may_have_no_line() {
        let table = [4, 1, 2, 0x80, 2, 1];
        let lines = [0, 3, 4, 6, 8].map(|lasti| line_pairs(&table, 10, lasti));
        assert_eq!(lines, [Some(11), Some(11), None, Some(12), None]);
    }

    #[test]
    fn protected_rows_in_order() {
        // Units 3 to 8 go to 100 (two groups) with depth 2, 8 to 9 go to 9 with depth 0.
        let table = [0x80 | 3, 5, 0x40 | 1, 36, 2 << 1 | 1, 0x80 | 8, 1, 9, 0];
        let first = Protected { start: 6, end: 16, target: 200, depth: 2 };
        let second = Protected { start: 16, end: 18, target: 18, depth: 0 };
        assert_eq!(protected_rows(&table), Some(vec![first, second]));
        assert_eq!(protected_rows(&table[..8]), None);
        assert_eq!(protected_rows(&[3, 5, 9, 0, 3, 5, 9, 0]), None);
    }

    #[test]
    fn locations_of_each_form() {
        let table = [
            0x80 | 2 << 3 | 1, // short form, two units: columns 16 + 5
            0x5a,
            0x80 | 11 << 3, // one line form, next line, columns 7 to 9
            7,
            9,
            0x80 | 13 << 3, // no columns, two lines back
            5,
            0x80 | 14 << 3, // long form: line +70, column 64
            0x40 | 0xc,
            2,
            0,
            0x40 | 1,
            1,
            3,
            0x80 | 15 << 3, // nothing
        ];
        let at = |lasti| locations(&table, 10, lasti);
        assert_eq!(at(0), Some((Some(10), Some(21))));
        assert_eq!(at(2), Some((Some(10), Some(21))));
        assert_eq!(at(4), Some((Some(11), Some(7))));
        assert_eq!(at(6), Some((Some(9), None)));
        assert_eq!(at(8), Some((Some(79), Some(64))));
        assert_eq!(at(10), Some((None, None)));
        assert_eq!(at(12), None);
    }
}
