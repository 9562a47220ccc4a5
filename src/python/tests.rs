//! A heap of Python objects in the memory of no process, laid out by the table of a version.
//!
//! What is read of an object is held against what was put there: a test says which objects there
//! are and how they hang together, and runs for each version.

use std::ops::{Range, RangeInclusive};

use rustc_hash::FxHashMap;

use super::object::{Caches, Memory, Reader};
use crate::layout::opcodes::{Op, Opcodes};
use crate::layout::{
    Attributes, Bytecode, DictKeys, Frame, GeneratorFrame, IntSize, Layout, LineTable, LocalNames,
    SUPPORTED, SimpleQueue, StackDepth, StackPointer,
};
use crate::memory::{Address, Image};

/// All versions that have a table.
pub const MINORS: RangeInclusive<u8> = SUPPORTED;
/// Where the heap begins.
const BASE: u64 = 0x10_0000;
/// What may lie before an object: its dictionary or values.
const BEFORE: u64 = 32;
/// Where a coroutine is that awaits something, in bytes.
pub const LASTI: i64 = 10;
/// An address at which nothing lies.
pub const NOWHERE: Address = Address(0x7fff_0000_0000);

/// `Py_TPFLAGS_HEAPTYPE`, `Py_TPFLAGS_MANAGED_DICT`, `Py_TPFLAGS_INLINE_VALUES` (`Include/object.h`).
const HEAP_TYPE: u64 = 1 << 9;
const MANAGED_DICT: u64 = 1 << 4;
const INLINE_VALUES: u64 = 1 << 2;
/// `Py_TPFLAGS_HAVE_GC`.
const HAVE_GC: u64 = 1 << 14;

/// What a function's code object is made of.
#[derive(Debug, Clone, Copy)]
pub struct Function<'a> {
    pub name: &'a str,
    pub file: &'a str,
    pub first_line: u32,
    pub code: &'a [u8],
    /// As the version has it: `co_lnotab` or `co_linetable`.
    pub lines: &'a [u8],
    /// `co_exceptiontable`.
    pub table: &'a [u8],
    pub locals: &'a [&'a str],
    /// `co_freevars`.
    pub free: &'a [&'a str],
    /// `co_names`.
    pub names: &'a [&'a str],
    pub stacksize: i32,
}

impl Default for Function<'_> {
    fn default() -> Self {
        Self {
            name: "work",
            file: "/srv/app.py",
            first_line: 1,
            code: &[0; 32],
            lines: &[],
            table: &[],
            locals: &[],
            free: &[],
            names: &[],
            stacksize: 4,
        }
    }
}

/// How far a coroutine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Created,
    /// In an `await` of this object.
    Awaiting(Address),
    /// In a plain `yield`.
    Suspended,
    Executing,
    Finished,
}

/// The memory, and where each class is.
#[derive(Debug)]
pub struct Heap {
    pub layout: Layout,
    /// Where the interpreter's file is mapped, if that is known.
    pub image: Option<Range<u64>>,
    bytes: Vec<u8>,
    classes: FxHashMap<String, Address>,
}

/// Hashes, keys and values of a tree.
type Items = Vec<(u32, Address, Address)>;

impl Heap {
    /// An empty one of Python 3.`minor`.
    pub fn of(minor: u8) -> Self {
        let layout = Layout::for_minor(minor).unwrap();
        Self { layout, image: None, bytes: Vec::new(), classes: FxHashMap::default() }
    }

    /// Where all of it lies.
    pub fn extent(&self) -> std::ops::Range<u64> {
        BASE..BASE + self.bytes.len() as u64
    }

    /// Puts an object into a list of the garbage collector, in which it is alone.
    pub fn track(&mut self, at: Address) {
        // Include/internal/pycore_gc.h, PyGC_Head: [ next, prev ]
        let head = at.before(16);
        self.link(head, head);
        self.link(head.offset(8), head);
        let class = self.word_at(at.offset(self.layout.object.ob_type));
        let flags = Address(class).offset(self.layout.class.flags);
        self.word(flags, self.word_at(flags) | HAVE_GC);
    }

    fn word_at(&self, at: Address) -> u64 {
        let start = usize::try_from(at.0 - BASE).unwrap();
        u64::from_le_bytes(self.bytes[start..start + 8].try_into().unwrap())
    }

    /// What is read of it.
    pub fn read<T>(&self, read: impl FnOnce(&Reader<'_>) -> T) -> T {
        let image = Image::new([(Address(BASE), self.bytes.clone())]);
        let (memory, caches) = (Memory::new(Box::new(image)), Caches::of(self.image.clone()));
        read(&Reader { memory: &memory, layout: &self.layout, caches: &caches })
    }

    /// Zeroed memory of its own.
    pub fn room(&mut self, len: u64) -> Address {
        let end = BASE + self.bytes.len() as u64;
        let at = (end + BEFORE).next_multiple_of(16);
        self.bytes.resize(usize::try_from(at + len - BASE).unwrap(), 0);
        Address(at)
    }

    /// The last byte of all memory is this one: what lies behind it is not there.
    pub fn cut_behind(&mut self, at: Address) {
        self.bytes.truncate(usize::try_from(at.0 + 1 - BASE).unwrap());
    }

    pub fn bytes_at(&mut self, at: Address, bytes: &[u8]) {
        let start = usize::try_from(at.0 - BASE).unwrap();
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }

    pub fn word(&mut self, at: Address, value: u64) {
        self.bytes_at(at, &value.to_le_bytes());
    }

    pub fn int32(&mut self, at: Address, value: i32) {
        self.bytes_at(at, &value.to_le_bytes());
    }

    pub fn byte(&mut self, at: Address, value: u8) {
        self.bytes_at(at, &[value]);
    }

    pub fn link(&mut self, at: Address, to: Address) {
        self.word(at, to.0);
    }

    /// Puts another address wherever this one is.
    pub fn replace(&mut self, from: Address, to: Address) {
        for word in self.bytes.as_chunks_mut::<8>().0 {
            if *word == from.0.to_le_bytes() {
                *word = to.0.to_le_bytes();
            }
        }
    }

    /// Pointers one behind the other.
    pub fn array(&mut self, items: &[Address]) -> Address {
        let at = self.room(8 * items.len() as u64);
        for (item, place) in items.iter().zip((at.0..).step_by(8)) {
            self.link(Address(place), *item);
        }
        at
    }

    /// A class that is written in C, by its `tp_name`: made once.
    pub fn class(&mut self, name: &str) -> Address {
        if let Some(class) = self.classes.get(name) {
            return *class;
        }
        let class = self.new_class(name);
        self.classes.insert(name.to_owned(), class);
        class
    }

    fn new_class(&mut self, name: &str) -> Address {
        let text = self.room(name.len() as u64 + 1);
        self.bytes_at(text, name.as_bytes());
        let class = self.room(1024);
        let fields = self.layout.class;
        self.word(class, 1);
        self.link(class.offset(fields.name), text);
        self.word(class.offset(fields.basicsize), 16);
        class
    }

    /// A class that the program has made: `__module__` is in its dictionary.
    pub fn python_class(&mut self, module: &str, name: &str, base: Address) -> Address {
        let class = self.new_class(name);
        let (key, value) = (self.str("__module__"), self.str(module));
        let dict = self.dict(&[(key, value)]);
        let qualname = self.str(name);
        let fields = self.layout.class;
        self.word(class.offset(fields.flags), HEAP_TYPE);
        self.link(class.offset(fields.dict), dict);
        self.link(class.offset(fields.base), base);
        self.link(class.offset(fields.qualname), qualname);
        class
    }

    /// From here on the interpreter's file has ended: what was made so far lies in it.
    pub fn end_image(&mut self) {
        let class = self.class("type");
        self.image = Some(BASE..BASE + self.bytes.len() as u64);
        let own: Vec<Address> = self.classes.values().copied().collect();
        for known in own {
            self.link(known.offset(self.layout.object.ob_type), class);
        }
    }

    /// A copy of a class, with the same name at the same place.
    pub fn copied_class(&mut self, of: Address) -> Address {
        let class = self.room(1024);
        for at in (0..1024).step_by(8) {
            let word = self.word_at(of.offset(at));
            self.word(class.offset(at), word);
        }
        class
    }

    /// A class that a compiler has written in C, whatever it is called, with these members.
    pub fn compiled_class(&mut self, name: &str, members: &[(&str, u64)]) -> Address {
        let class = self.new_class(name);
        let member = |heap: &mut Self, offset: u64| {
            let definition = heap.room(24);
            heap.word(definition.offset(16), offset);
            let field = heap.layout.small.member;
            let at = heap.builtin("member_descriptor", field + 8);
            heap.link(at.offset(field), definition);
            at
        };
        let members = members.iter().map(|(name, offset)| (self.str(name), member(self, *offset)));
        let members: Vec<_> = members.collect();
        let (dict, own) = (self.dict(&members), self.class("type"));
        self.link(class.offset(self.layout.class.dict), dict);
        self.link(class.offset(self.layout.object.ob_type), own);
        class
    }

    /// An object of `len` bytes with nothing but its class.
    pub fn object(&mut self, class: Address, len: u64) -> Address {
        let at = self.room(len.max(16));
        self.word(at, 1);
        let field = self.layout.object.ob_type;
        self.link(at.offset(field), class);
        at
    }

    fn builtin(&mut self, class: &str, len: u64) -> Address {
        let class = self.class(class);
        self.object(class, len)
    }

    pub fn none(&mut self) -> Address {
        self.builtin("NoneType", 16)
    }

    pub fn str(&mut self, text: &str) -> Address {
        assert!(text.is_ascii());
        let fields = self.layout.unicode;
        let at = self.builtin("str", fields.ascii_data + text.len() as u64 + 1);
        self.word(at.offset(fields.length), text.len() as u64);
        // One byte each, compact, ASCII.
        self.int32(at.offset(fields.state), 1 << 2 | 1 << 5 | 1 << 6);
        self.bytes_at(at.offset(fields.ascii_data), text.as_bytes());
        at
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Address {
        let start = self.layout.small.bytes_data;
        let at = self.builtin("bytes", start + bytes.len() as u64 + 1);
        self.word(at.offset(self.layout.object.ob_size), bytes.len() as u64);
        self.bytes_at(at.offset(start), bytes);
        at
    }

    /// An `int`.
    pub fn int(&mut self, value: i128) -> Address {
        let fields = self.layout.int;
        let at = self.builtin("int", fields.digits + 24);
        self.int_value(at, value);
        at
    }

    pub fn bool(&mut self, value: bool) -> Address {
        let at = self.builtin("bool", self.layout.int.digits + 16);
        self.int_value(at, value.into());
        at
    }

    fn int_value(&mut self, at: Address, value: i128) {
        let fields = self.layout.int;
        let mut rest = value.unsigned_abs();
        let mut count = 0_u64;
        while rest > 0 {
            let digit = i32::try_from(rest & 0x3fff_ffff).unwrap();
            self.int32(at.offset(fields.digits + 4 * count), digit);
            rest >>= 30;
            count += 1;
        }
        let size = match fields.size {
            IntSize::Signed(_) if value < 0 => count.wrapping_neg(),
            IntSize::Signed(_) => count,
            IntSize::Tag(_) => count << 3 | if value < 0 { 2 } else { u64::from(value == 0) },
        };
        self.word(at.offset(fields.size.offset()), size);
    }

    pub fn float(&mut self, value: f64) -> Address {
        let field = self.layout.small.float_value;
        let at = self.builtin("float", field + 8);
        self.bytes_at(at.offset(field), &value.to_le_bytes());
        at
    }

    pub fn tuple(&mut self, items: &[Address]) -> Address {
        let first = self.layout.small.tuple_items;
        let at = self.builtin("tuple", first + 8 * items.len() as u64);
        self.word(at.offset(self.layout.object.ob_size), items.len() as u64);
        for (item, place) in items.iter().zip((at.0 + first..).step_by(8)) {
            self.link(Address(place), *item);
        }
        at
    }

    pub fn list(&mut self, items: &[Address]) -> Address {
        let array = self.array(items);
        let field = self.layout.small.list_items;
        let at = self.builtin("list", field + 16);
        self.word(at.offset(self.layout.object.ob_size), items.len() as u64);
        self.link(at.offset(field), array);
        at
    }

    /// A deque whose first item is not at the beginning of its block.
    pub fn deque(&mut self, items: &[Address]) -> Address {
        /// Items of a block (`BLOCKLEN`), and the place of the first one.
        const BLOCK: usize = 64;
        const FIRST: usize = 62;
        let fields = self.layout.deque;
        let at = self.builtin("collections.deque", fields.leftindex + 64);
        self.word(at.offset(self.layout.object.ob_size), items.len() as u64);
        self.word(at.offset(fields.leftindex), FIRST as u64);
        let blocks: Vec<Address> = (0..=(FIRST + items.len()) / BLOCK)
            .map(|_| self.room(fields.block_right + 8))
            .collect();
        self.link(at.offset(fields.leftblock), blocks[0]);
        // `rightblock` is the next field.
        self.link(at.offset(fields.leftblock + 8), blocks[blocks.len() - 1]);
        for pair in blocks.windows(2) {
            self.link(pair[0].offset(fields.block_right), pair[1]);
        }
        for (item, place) in items.iter().zip(FIRST..) {
            let slot = 8 * (place % BLOCK) as u64;
            self.link(blocks[place / BLOCK].offset(fields.block_data + slot), *item);
        }
        at
    }

    /// A set in whose table something was removed, too.
    pub fn set(&mut self, members: &[Address]) -> Address {
        let fields = self.layout.set;
        let size = (2 * members.len() as u64 + 1).next_power_of_two().max(8);
        let table = self.room(16 * size);
        let removed = self.none();
        self.link(table, removed);
        self.word(table.offset(8), u64::MAX);
        for (member, place) in members.iter().zip((table.0 + 16..).step_by(32)) {
            // Not one beside the other, and round the end.
            let place = if place >= table.0 + 16 * size { place - 16 * size + 16 } else { place };
            self.link(Address(place), *member);
            self.word(Address(place + 8), 7);
        }
        let at = self.builtin("set", fields.table + 16);
        self.word(at.offset(fields.used), members.len() as u64);
        self.word(at.offset(fields.mask), size - 1);
        self.link(at.offset(fields.table), table);
        at
    }

    pub fn dict(&mut self, items: &[(Address, Address)]) -> Address {
        let keys = self.keys(items);
        let fields = self.layout.dict;
        let at = self.builtin("dict", fields.values + 8);
        self.word(at.offset(fields.used), items.len() as u64);
        self.link(at.offset(fields.keys), keys);
        at
    }

    /// A dictionary with texts as keys.
    pub fn namespace(&mut self, items: &[(&str, Address)]) -> Address {
        let items: Vec<_> = items.iter().map(|(name, value)| (self.str(name), *value)).collect();
        self.dict(&items)
    }

    /// Dictionary keys, with values beside them.
    fn keys(&mut self, items: &[(Address, Address)]) -> Address {
        let count = items.len() as u64;
        let size = (2 * count).next_power_of_two().max(8);
        assert!(size <= 0xff, "more would have wider indices");
        let keys = self.room(64 + size + 24 * count);
        let (nentries, first, width) = match self.layout.dict.keys_layout {
            DictKeys::Sized { size: field, nentries, indices } => {
                self.word(keys.offset(field), size);
                (nentries, indices + size, 24)
            }
            DictKeys::Log2 { log2_index_bytes, kind, nentries, indices } => {
                let log2 = u8::try_from(size.trailing_zeros()).unwrap();
                self.byte(keys.offset(log2_index_bytes), log2);
                self.byte(keys.offset(kind), 1);
                (nentries, indices + size, 16)
            }
        };
        self.word(keys.offset(nentries), count);
        for ((key, value), entry) in items.iter().zip((keys.0 + first..).step_by(width)) {
            let pair = Address(entry + width as u64 - 16);
            self.link(pair, *key);
            self.link(pair.offset(8), *value);
        }
        keys
    }

    /// An instance of a class that the program has made, with its attributes where this version
    /// keeps them: in a dictionary of its own, or as values by the keys of its class.
    pub fn instance(&mut self, class: Address, attributes: &[(&str, Address)]) -> Address {
        /// Where the instance's own fields end.
        const SIZE: u64 = 16;
        let names: Vec<_> =
            attributes.iter().map(|(name, _)| (self.str(name), Address::NULL)).collect();
        let values: Vec<Address> = attributes.iter().map(|(_, value)| *value).collect();
        let fields = self.layout.class;
        let first = self.layout.dict.first_value;
        if self.layout.attributes == Attributes::DictOffset {
            let dict = self.namespace(attributes);
            let at = self.object(class, SIZE + 8);
            self.word(class.offset(fields.dictoffset), SIZE);
            self.link(at.offset(SIZE), dict);
            return at;
        }
        let keys = self.keys(&names);
        self.word(class.offset(fields.flags), HEAP_TYPE | MANAGED_DICT | INLINE_VALUES);
        self.link(class.offset(fields.cached_keys), keys);
        let at = self.object(class, SIZE + first + 8 * values.len() as u64);
        let place = match self.layout.attributes {
            Attributes::Inline { valid, .. } => {
                self.byte(at.offset(SIZE + valid), 1);
                at.offset(SIZE)
            }
            _ => self.room(first + 8 * values.len() as u64),
        };
        for (value, slot) in values.iter().zip((place.0 + first..).step_by(8)) {
            self.link(Address(slot), *value);
        }
        match self.layout.attributes {
            Attributes::Managed311 { values_before, .. } => {
                self.link(at.before(values_before), place);
            }
            // The lowest bit tells values from a dictionary.
            Attributes::Managed312 { word_before } => {
                self.word(at.before(word_before), place.0 - 1);
            }
            Attributes::Inline { .. } | Attributes::DictOffset => {}
        }
        at
    }

    pub fn weakref(&mut self, to: Address) -> Address {
        let field = self.layout.small.weakref_object;
        let at = self.builtin("weakref.ReferenceType", field + 8);
        self.link(at.offset(field), to);
        at
    }

    /// A `weakref.WeakSet` with weak references to these.
    pub fn weak_set(&mut self, members: &[Address]) -> Address {
        let references: Vec<Address> = members.iter().map(|at| self.weakref(*at)).collect();
        let data = self.set(&references);
        let class = self.python_class("_weakrefset", "WeakSet", Address::NULL);
        self.instance(class, &[("data", data)])
    }

    /// A `_queue.SimpleQueue` from which some were taken before.
    pub fn simple_queue(&mut self, items: &[Address]) -> Address {
        const TAKEN: u64 = 3;
        let at = self.builtin("_queue.SimpleQueue", 96);
        match self.layout.simple_queue {
            SimpleQueue::List { items: field, first } => {
                let gone = vec![Address::NULL; usize::try_from(TAKEN).unwrap()];
                let list = self.list(&[&gone, items].concat());
                self.link(at.offset(field), list);
                self.word(at.offset(first), TAKEN);
            }
            SimpleQueue::Ring { first, items: field, capacity, count } => {
                // Round the end of the ring.
                let size = (items.len() as u64).max(1) + 1;
                let ring = self.room(8 * size);
                let start = size - 1;
                for (item, place) in items.iter().zip(start..) {
                    self.link(ring.offset(8 * (place % size)), *item);
                }
                self.word(at.offset(first), start);
                self.link(at.offset(field), ring);
                self.word(at.offset(capacity), size);
                self.word(at.offset(count), items.len() as u64);
            }
        }
        at
    }

    pub fn code(&mut self, of: Function<'_>) -> Address {
        let fields = self.layout.code;
        let at = self.builtin("code", fields.size + 64 + of.code.len() as u64);
        let (name, file) = (self.str(of.name), self.str(of.file));
        let lines = self.bytes(of.lines);
        self.link(at.offset(fields.name), name);
        if let Some(qualname) = fields.qualname {
            self.link(at.offset(qualname), name);
        }
        self.link(at.offset(fields.filename), file);
        let (LineTable::Lnotab(table) | LineTable::Pairs(table) | LineTable::Locations(table)) =
            fields.line_table;
        self.link(at.offset(table), lines);
        self.int32(at.offset(fields.firstlineno), i32::try_from(of.first_line).unwrap());
        self.int32(at.offset(fields.stacksize), of.stacksize);
        let mut tuple = |names: &[&str]| {
            let names: Vec<Address> = names.iter().map(|name| self.str(name)).collect();
            self.tuple(&names)
        };
        match fields.names {
            LocalNames::Tuples { varnames, cellvars, freevars } => {
                let [own, empty, free] = [of.locals, &[], of.free].map(tuple);
                self.link(at.offset(varnames), own);
                self.link(at.offset(cellvars), empty);
                self.link(at.offset(freevars), free);
            }
            LocalNames::Localsplus { names: field, kinds, count } => {
                let names = tuple(&[of.locals, of.free].concat());
                // `CO_FAST_LOCAL`, `CO_FAST_FREE`
                let all = [vec![0x20; of.locals.len()], vec![0x80; of.free.len()]].concat();
                let (len, all) = (i32::try_from(all.len()).unwrap(), self.bytes(&all));
                self.link(at.offset(field), names);
                self.link(at.offset(kinds), all);
                self.int32(at.offset(count), len);
            }
        }
        let globals: Vec<Address> = of.names.iter().map(|name| self.str(name)).collect();
        let globals = self.tuple(&globals);
        self.link(at.offset(fields.global_names), globals);
        match fields.bytecode {
            Bytecode::Bytes(field) => {
                let code = self.bytes(of.code);
                self.link(at.offset(field), code);
            }
            Bytecode::Inline(field) => {
                self.bytes_at(at.offset(field), of.code);
                self.word(at.offset(self.layout.object.ob_size), of.code.len() as u64 / 2);
            }
        }
        if let Some(field) = fields.exception_table {
            let table = self.bytes(of.table);
            self.link(at.offset(field), table);
        }
        at
    }

    /// A Python function with free variables.
    pub fn function(&mut self, name: &str, free: &[(&str, Address)]) -> Address {
        self.function_of(Function { name, ..Function::default() }, free)
    }

    /// The same with this code.
    pub fn function_of(&mut self, of: Function<'_>, free: &[(&str, Address)]) -> Address {
        let names: Vec<&str> = free.iter().map(|(name, _)| *name).collect();
        let code = self.code(Function { free: &names, ..of });
        let qualname = self.str(of.name);
        let cell_ref = self.layout.small.cell_ref;
        let cell = |heap: &mut Self, value| {
            let cell = heap.builtin("cell", cell_ref + 8);
            heap.link(cell.offset(cell_ref), value);
            cell
        };
        let cells: Vec<Address> = free.iter().map(|(_, value)| cell(self, *value)).collect();
        let cells = self.tuple(&cells);
        let fields = self.layout.function;
        let at = self.builtin("function", fields.closure + 64);
        self.link(at.offset(fields.code), code);
        self.link(at.offset(fields.qualname), qualname);
        self.link(at.offset(fields.closure), cells);
        at
    }

    /// A `functools.partial`.
    pub fn partial(&mut self, function: Address, arguments: &[Address]) -> Address {
        let arguments = self.tuple(arguments);
        let small = self.layout.small;
        let at = self.builtin("functools.partial", small.partial_args + 8);
        self.link(at.offset(small.partial_fn), function);
        self.link(at.offset(small.partial_args), arguments);
        at
    }

    /// A function in Python that is bound to `owner`.
    pub fn method(&mut self, function: Address, owner: Address) -> Address {
        let small = self.layout.small;
        let at = self.builtin("method", small.method_self + 8);
        self.link(at.offset(small.method_func), function);
        self.link(at.offset(small.method_self), owner);
        at
    }

    /// A method of a class in C that is bound to `owner`.
    pub fn builtin_method(&mut self, owner: Address, name: &str) -> Address {
        let text = self.room(name.len() as u64 + 1);
        self.bytes_at(text, name.as_bytes());
        // PyMethodDef: [ name: ptr, … ]
        let definition = self.array(&[text]);
        let small = self.layout.small;
        let at = self.builtin("builtin_function_or_method", small.builtin_self + 8);
        self.link(at.offset(small.builtin_ml), definition);
        self.link(at.offset(small.builtin_self), owner);
        at
    }

    /// A context variable.
    pub fn variable(&mut self, name: &str) -> Address {
        let name = self.str(name);
        let at = self.builtin("_contextvars.ContextVar", 64);
        self.link(at.offset(self.layout.context.var_name), name);
        at
    }

    /// A context in which these variables, each with its hash, have these values.
    pub fn context(&mut self, items: &[(u32, Address, Address)]) -> Address {
        let root = self.tree_node(items, 0);
        let tree = self.tree(root, items.len() as u64);
        self.context_of(tree)
    }

    /// A context with this tree.
    pub fn context_of(&mut self, tree: Address) -> Address {
        let at = self.builtin("_contextvars.Context", 48);
        self.link(at.offset(self.layout.context.vars), tree);
        at
    }

    /// A tree that says it has so many variables.
    pub fn tree(&mut self, root: Address, count: u64) -> Address {
        let at = self.builtin("hamt", 40);
        self.link(at.offset(self.layout.context.hamt_root), root);
        self.word(at.offset(self.layout.context.hamt_count), count);
        at
    }

    /// The node of a tree for variables whose hashes are the same below the bit `shift`.
    pub fn tree_node(&mut self, items: &[(u32, Address, Address)], shift: u32) -> Address {
        let fields = self.layout.context;
        let place = |hash: u32| hash.checked_shr(shift).unwrap_or(0) & 31;
        if items.len() > 1 && items.iter().all(|item| item.0 == items[0].0) && shift > 0 {
            let pairs: Vec<Address> = items.iter().flat_map(|item| [item.1, item.2]).collect();
            return self.pairs("hamt_collision_node", fields.collision_array, &pairs);
        }
        let mut groups: Vec<(u32, Items)> = Vec::new();
        for number in 0..32 {
            let of = items.iter().filter(|item| place(item.0) == number).copied();
            groups.push((number, of.collect()));
        }
        groups.retain(|(_, items)| !items.is_empty());
        // Python/hamt.c: a bitmap node that would get a 17th place becomes an array node.
        if groups.len() > 16 {
            let at = self.builtin("hamt_array_node", fields.array_count + 8);
            for (number, items) in &groups {
                let child = self.tree_node(items, shift + 5);
                self.link(at.offset(fields.array + 8 * u64::from(*number)), child);
            }
            self.word(at.offset(fields.array_count), groups.len() as u64);
            return at;
        }
        let mut pairs = Vec::new();
        let mut bitmap = 0;
        for (number, items) in &groups {
            bitmap |= 1_u32 << number;
            if let [(_, key, value)] = items[..] {
                pairs.extend([key, value]);
            } else {
                let child = self.tree_node(items, shift + 5);
                pairs.extend([Address::NULL, child]);
            }
        }
        let at = self.pairs("hamt_bitmap_node", fields.bitmap_array, &pairs);
        self.bytes_at(at.offset(fields.bitmap), &bitmap.to_le_bytes());
        at
    }

    fn pairs(&mut self, class: &str, first: u64, pairs: &[Address]) -> Address {
        let at = self.builtin(class, first + 8 * pairs.len() as u64);
        self.word(at.offset(self.layout.object.ob_size), pairs.len() as u64);
        for (word, place) in pairs.iter().zip((at.0 + first..).step_by(8)) {
            self.link(Address(place), *word);
        }
        at
    }

    /// What setting a variable in a context gives, when it had this value before.
    pub fn token(&mut self, context: Address, variable: Address, old: Address) -> Address {
        let fields = self.layout.context;
        let at = self.builtin("_contextvars.Token", 48);
        self.link(at.offset(fields.token_context), context);
        self.link(at.offset(fields.token_var), variable);
        self.link(at.offset(fields.token_old_value), old);
        at
    }

    /// A `_asyncio.Future`, pending.
    pub fn future(&mut self) -> Address {
        self.builtin("_asyncio.Future", self.layout.task.size)
    }

    /// A `_asyncio.Task`, pending.
    pub fn task(&mut self) -> Address {
        self.builtin("_asyncio.Task", self.layout.task.size)
    }

    /// Where the instructions of a code object are.
    fn bytecode(&self, code: Address) -> Address {
        match self.layout.code.bytecode {
            Bytecode::Inline(field) => code.offset(field),
            Bytecode::Bytes(_) => panic!("in a `bytes`"),
        }
    }

    /// A frame at `lasti` bytes, with variables and what is on its stack: a `PyFrameObject`, or an
    /// interpreter frame at `at`.
    pub fn frame(&mut self, at: Address, code: Address, lasti: i64, values: Values<'_>) {
        let slots: Vec<Address> = [values.locals, values.stack].concat();
        let stack_at = |first: Address| first.offset(8 * values.locals.len() as u64);
        match self.layout.frame {
            Frame::Object(fields) => {
                let class = self.class("frame");
                self.word(at, 1);
                self.link(at.offset(self.layout.object.ob_type), class);
                self.link(at.offset(fields.code), code);
                let units = if lasti < 0 { -1 } else { lasti / fields.lasti_unit };
                self.int32(at.offset(fields.lasti), i32::try_from(units).unwrap());
                let stack = stack_at(at.offset(fields.localsplus));
                self.link(at.offset(fields.valuestack), stack);
                match fields.depth {
                    StackDepth::Top(top) => {
                        self.link(at.offset(top), stack.offset(8 * values.stack.len() as u64));
                    }
                    StackDepth::Count(count) => {
                        let depth = i32::try_from(values.stack.len()).unwrap();
                        self.int32(at.offset(count), depth);
                    }
                }
            }
            Frame::Interpreter(fields) => {
                self.link(at.offset(fields.executable), code);
                let instruction = self.bytecode(code).0.wrapping_add_signed(lasti);
                self.word(at.offset(fields.instruction), instruction);
                let first = at.offset(fields.localsplus);
                match fields.stack {
                    StackPointer::Count(count) => {
                        self.int32(at.offset(count), i32::try_from(slots.len()).unwrap());
                    }
                    StackPointer::Pointer(pointer) => {
                        self.link(at.offset(pointer), first.offset(8 * slots.len() as u64));
                    }
                }
            }
        }
        let first = match self.layout.frame {
            Frame::Object(fields) => at.offset(fields.localsplus),
            Frame::Interpreter(fields) => at.offset(fields.localsplus),
        };
        for (value, slot) in slots.iter().zip((first.0..).step_by(8)) {
            self.link(Address(slot), *value);
        }
    }

    /// A coroutine (or whatever `class` says) of the function `code` at `lasti`.
    pub fn generator(
        &mut self,
        class: &str,
        code: Address,
        lasti: i64,
        stage: Stage,
        values: Values<'_>,
    ) -> Address {
        /// A coroutine in whose frame there is room for some values.
        const LEN: u64 = 1024;
        let at = self.builtin(class, LEN);
        let name = self.str("work");
        self.link(at.offset(self.layout.generator.qualname), name);
        let mut stack = values.stack.to_vec();
        if let Stage::Awaiting(awaited) = stage {
            stack.push(awaited);
            // From 3.15 on with the index of a virtual iterator above it.
            if self.layout.awaiting == (crate::layout::Awaiting::State { slot: 2 }) {
                stack.push(Address::NULL);
            }
        }
        let values = Values { stack: &stack, ..values };
        match self.layout.generator.frame {
            GeneratorFrame::Pointer { frame: field, running } => {
                if stage == Stage::Finished {
                    return at;
                }
                let frame = self.room(LEN);
                self.frame(frame, code, lasti, values);
                self.link(at.offset(field), frame);
                let Frame::Object(fields) = self.layout.frame else { panic!("no frame object") };
                self.link(frame.offset(fields.generator), at);
                let is_executing = stage == Stage::Executing;
                match running {
                    crate::layout::GeneratorRunning::Generator(flag) => {
                        self.byte(at.offset(flag), is_executing.into());
                    }
                    // FRAME_EXECUTING is 0, FRAME_SUSPENDED -1, FRAME_CREATED -2.
                    crate::layout::GeneratorRunning::Frame(flag) => {
                        self.byte(frame.offset(flag), if is_executing { 0 } else { 0xff });
                    }
                }
            }
            GeneratorFrame::Embedded { frame: field, state, states } => {
                let frame = at.offset(field);
                self.frame(frame, code, lasti, values);
                let Frame::Interpreter(fields) = self.layout.frame else { panic!("no frame") };
                self.byte(frame.offset(fields.owner), crate::layout::OWNED_BY_GENERATOR);
                let value = match stage {
                    Stage::Created => states.created,
                    Stage::Awaiting(_) => states.awaiting.map_or(states.suspended, |it| it.0),
                    Stage::Suspended => states.suspended,
                    Stage::Executing => states.executing,
                    // FRAME_CLEARED and what comes behind it.
                    Stage::Finished => states.executing + 1,
                };
                self.byte(at.offset(state), value.cast_unsigned());
            }
        }
        at
    }

    /// A coroutine that awaits this, and has no other value anywhere.
    pub fn awaits(&mut self, awaited: Address) -> Address {
        let code = self.awaiting_code();
        let code = self.code(Function { code: &code, ..Function::default() });
        self.generator("coroutine", code, LASTI, Stage::Awaiting(awaited), Values::default())
    }

    /// Instructions with their caches: of each meaning one that has it.
    pub fn instructions(&self, all: &[(Op, u32)]) -> Vec<u8> {
        let Opcodes { meanings, caches, global_shift, attribute_shift, .. } = self.layout.opcodes;
        let mut code = Vec::new();
        for (op, argument) in all {
            let (_, opcodes) = meanings.iter().find(|(meaning, _)| meaning == op).unwrap();
            let units = caches.iter().find(|(_, with)| with.contains(&opcodes[0]));
            let shift = match op {
                Op::LoadGlobal => global_shift,
                Op::LoadAttr => attribute_shift,
                _ => 0,
            };
            code.extend([opcodes[0], u8::try_from(argument << shift).unwrap()]);
            code.resize(code.len() + 2 * units.map_or(0, |(units, _)| usize::from(*units)), 0);
        }
        code
    }

    /// Instructions of which the one behind [`LASTI`] says that a frame suspended there is in an
    /// `await`, where opcodes tell.
    pub fn awaiting_code(&self) -> Vec<u8> {
        let lasti = usize::try_from(LASTI).unwrap();
        let mut code = vec![0; lasti + 8];
        match self.layout.awaiting {
            crate::layout::Awaiting::NextOpcode { yield_from } => code[lasti + 2] = yield_from,
            crate::layout::Awaiting::NextResume { resume } => {
                // 3: behind an `await`.
                code[lasti + 2..lasti + 4].copy_from_slice(&[resume[0], 3]);
            }
            crate::layout::Awaiting::State { .. } => {}
        }
        code
    }
}

/// What a frame has in its slots.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    pub locals: &'a [Address],
    pub stack: &'a [Address],
}
