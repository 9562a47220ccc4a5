//! Where fields lie in this Python.
//!
//! One [`Layout`] per minor version, as data; what a target tells about itself
//! (`_Py_DebugOffsets` from 3.13 on, `.AsyncioDebug` from 3.14 on) is preferred and
//! [validated](debug_offsets) first. Differences of *algorithm* are enums here, chosen once at
//! attach: outside this module nothing compares version numbers.
//!
//! All offsets are in bytes, for 64 bit Linux and regular builds (with the GIL). x86-64 and aarch64
//! differ in few, which are looked for at both places: [`PTHREAD_TIDS`], [`uvloop::LONGER_MUTEX`].

pub mod debug_offsets;
pub mod opcodes;
pub mod uvloop;

use std::ops::RangeInclusive;

use serde::Serialize;

/// A place in a structure, in bytes from its start.
pub type Offset = u64;

macro_rules! versions {
    ($($minor:literal $table:ident,)+; $($draft:ident,)*) => {
        $(mod $table;)+
        $(mod $draft;)*

        /// The versions that can be read, oldest first: `3.8`.
        pub const VERSIONS: [&str; [$($minor),+].len()] = [$(concat!("3.", $minor)),+];

        /// The same as minor versions of Python 3.
        pub const SUPPORTED: RangeInclusive<u8> = span(&[$($minor),+]);

        /// Their tables, and drafts of tables for versions that are not out yet.
        static TABLES: &[Layout] = &[$($table::LAYOUT,)+ $($draft::LAYOUT,)*];
    };
}

// To teach the tool a version: its table, and its row here. What stands behind the `;` are drafts:
// such a version is read with a warning.
versions! {
    8 cp38,
    9 cp39,
    10 cp310,
    11 cp311,
    12 cp312,
    13 cp313,
    14 cp314,
    15 cp315,
    ;
    cp316,
}

const fn span(minors: &[u8]) -> RangeInclusive<u8> {
    match minors {
        [first, .., last] => RangeInclusive::new(*first, *last),
        [only] => RangeInclusive::new(*only, *only),
        [] => RangeInclusive::new(1, 0),
    }
}

/// The versions that can be read, in words.
pub fn supported() -> String {
    format!("CPython 3.{} to 3.{}", SUPPORTED.start(), SUPPORTED.end())
}

/// Where everything lies in one minor version of CPython.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// The `12` of Python 3.12.
    pub minor: u8,
    /// `_PyRuntimeState`.
    pub runtime: Runtime,
    /// `PyInterpreterState`.
    pub interpreter: Interpreter,
    /// `PyThreadState`, and `_PyThreadStateImpl` where there is one.
    pub thread: Thread,
    /// Frames of functions, coroutines and generators.
    pub frame: Frame,
    /// `PyCodeObject`.
    pub code: Code,
    /// `PyGenObject`, `PyCoroObject` and `PyAsyncGenObject`, which begin alike.
    pub generator: Generator,
    /// How opcodes tell that a frame is suspended in an `await`.
    pub awaiting: Awaiting,
    /// What stands between a coroutine and the future it awaits.
    pub awaitable: Awaitable,
    /// The first opcodes of exception handlers.
    pub handler: Handler,
    /// What opcodes mean.
    pub opcodes: opcodes::Opcodes,
    /// `PyObject` and `PyVarObject`.
    pub object: Object,
    /// `PyTypeObject` and `PyHeapTypeObject`.
    pub class: Class,
    /// `PyASCIIObject` and its like.
    pub unicode: Unicode,
    /// `PyLongObject`.
    pub int: Int,
    /// `PyDictObject`, its keys and its split values.
    pub dict: Dict,
    /// Where an instance keeps its attributes.
    pub attributes: Attributes,
    /// `PySetObject`.
    pub set: Set,
    /// What a `for` loop goes by.
    pub iterators: Iterators,
    /// Small objects of one or two fields.
    pub small: Small,
    /// `dequeobject`.
    pub deque: Deque,
    /// `simplequeueobject`.
    pub simple_queue: SimpleQueue,
    /// `PyTracebackObject`.
    pub traceback: Traceback,
    /// Which opcodes read a local variable.
    pub load_local: LoadLocal,
    /// `PyFunctionObject`.
    pub function: Function,
    /// `FutureObj`.
    pub future: Future,
    /// `TaskObj`, beyond what it shares with `FutureObj`.
    pub task: Task,
    /// Where all tasks are registered.
    pub registry: TaskRegistry,
    /// `PyContext`, the tree that has its variables, and what sets them.
    pub context: Context,
    /// The garbage collector's state.
    pub collector: Collector,
}

/// `struct _gc_runtime_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Collector {
    pub state: CollectorState,
    pub collecting: Offset,
    /// The first of three [generations](GENERATION_SIZE).
    pub generations: Offset,
    /// How many objects were left by the last collection of all.
    pub long_lived: Offset,
    pub statistics: CollectorStatistics,
}

/// Where the garbage collector's state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum CollectorState {
    /// `gc` in `_PyRuntimeState`.
    Runtime(Offset),
    /// `gc` in `PyInterpreterState`.
    Interpreter(Offset),
}

/// Where it says what it has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum CollectorStatistics {
    /// `generation_stats`: for each generation three words, of which `collections` is the first.
    Counts(Offset),
    /// `generation_stats`: a pointer to a `struct gc_stats`, with times.
    Rings(Offset),
}

/// `struct gc_generation`: `[ head: 2 words, threshold: int, count: int ]`.
// 3.8-3.15: Include/internal/pycore_mem.h, pycore_gc.h, pycore_interp_structs.h; DWARF, live.
pub const GENERATION_SIZE: u64 = 24;
/// Items of a ring of `struct gc_stats`, one for a collection.
// 3.15: Include/internal/pycore_interp_structs.h: struct gc_generation_stats:
// [ ts_start, ts_stop, collections, collected, uncollectable, candidates, duration, heap_size ];
// DWARF, live
pub const RING_ITEM: u64 = 64;
/// The rings of `struct gc_stats`, one for each generation: where, how many items. Behind the items
/// is one byte: which of them is of the last collection that has ended.
pub const RINGS: [(Offset, u64); 3] = [(0, 11), (712, 3), (912, 3)];
/// `gc_generation.count`.
pub const GENERATION_COUNT: Offset = 20;

/// `_PyRuntimeState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Runtime {
    pub interpreters_head: Offset,
    pub interpreters_main: Offset,
    pub finalizing: Offset,
    /// How large it is: the GIL is in it, and no lock of a program.
    pub size: u64,
}

/// `PyInterpreterState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Interpreter {
    pub next: Offset,
    pub id: Offset,
    pub threads_head: Offset,
    pub modules: Offset,
    /// Tasks of threads that ended.
    pub asyncio_tasks_head: Option<Offset>,
}

/// `PyThreadState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Thread {
    pub next: Offset,
    pub interp: Offset,
    pub current_frame: CurrentFrame,
    /// The `pthread_t`.
    pub thread_id: Offset,
    /// The kernel's id in the target's own pid namespace; before 3.11 the C library alone has it,
    /// at one of [`PTHREAD_TIDS`].
    pub native_thread_id: Option<Offset>,
    pub exc_info: Offset,
    pub context: Offset,
    /// Chunk of memory that holds the frames of functions.
    pub datastack_chunk: Option<Offset>,
    pub running_loop: RunningLoop,
    pub asyncio_running_task: Option<Offset>,
    pub asyncio_tasks_head: Option<Offset>,
}

/// Where the C library may keep the kernel's id of a thread in its `pthread_t`.
// glibc on x86-64 (2.36 and 2.41; 3.8-3.15, every thread: its struct pthread begins with a 704 byte
// header and a 16 byte list node) and on aarch64 (2.36); musl 1.2 on x86-64 and on aarch64.
pub const PTHREAD_TIDS: [Offset; 4] = [720, 208, 48, 32];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("aiospy has no tables for this machine: x86-64 and aarch64 have some");

/// `sock_fd` of a socket object, an `int`; -1 when it is closed.
// 3.8-3.15: Modules/socketmodule.h, PySocketSockObject: [ PyObject_HEAD, sock_fd, … ]
pub const SOCKET_FD: Offset = 16;

/// The lock of a `_thread.lock` or `_thread.RLock`: a pointer to a semaphore, whose first word a
/// waiting thread sleeps at; from [`PARKING_SINCE`] on a byte.
// 3.8-3.15: Modules/_threadmodule.c, lockobject and rlockobject: [ PyObject_HEAD, lock, … ]
pub const THREAD_LOCK: Offset = 16;

/// The minor version from which on a lock is a `PyMutex`, and waiting threads are parked elsewhere.
// 3.14: Modules/_threadmodule.c, lockobject.lock
pub const PARKING_SINCE: u8 = 14;

/// In the byte of a `PyMutex`: threads wait for it.
// 3.13-3.15: Include/internal/pycore_lock.h, _Py_HAS_PARKED
pub const HAS_PARKED: u8 = 2;

/// How to get from a thread state to its innermost frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum CurrentFrame {
    /// A pointer in the thread state.
    Direct(Offset),
    /// `tstate->cframe->current_frame`.
    CFrame {
        /// `cframe` in the thread state.
        cframe: Offset,
        /// `current_frame` in the C frame.
        current_frame: Offset,
    },
}

/// Where a thread keeps the loop that runs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum RunningLoop {
    /// In the thread state's dictionary under `__asyncio_running_event_loop__`, inside a
    /// `_RunningLoopHolder`.
    DictHolder {
        /// `dict` in the thread state.
        dict: Offset,
        /// `rl_loop` in the holder.
        running_loop: Offset,
        /// `rl_pid` in the holder: the process that set it.
        pid: Offset,
    },
    /// In the thread state's dictionary, the loop itself.
    Dict {
        /// `dict` in the thread state.
        dict: Offset,
    },
    /// A field of `_PyThreadStateImpl`.
    Field(Offset),
}

/// Frames of functions, coroutines and generators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Frame {
    /// `PyFrameObject`, a heap object each (3.8 to 3.10).
    Object(ObjectFrame),
    /// `_PyInterpreterFrame`, on the data stack or inside a generator (3.11 and later).
    Interpreter(InterpreterFrame),
}

/// `PyFrameObject` up to 3.10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct ObjectFrame {
    pub back: Offset,
    pub code: Offset,
    pub valuestack: Offset,
    pub depth: StackDepth,
    pub generator: Offset,
    pub lasti: Offset,
    /// Bytes per unit of `f_lasti`: 1, and 2 from 3.10 on.
    pub lasti_unit: i64,
    pub globals: Offset,
    pub iblock: Offset,
    pub blockstack: Offset,
    pub localsplus: Offset,
}

/// How a heap frame tells the depth of its value stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum StackDepth {
    /// A pointer behind the topmost value; null while the frame executes.
    Top(Offset),
    /// A count; -1 while the frame executes.
    Count(Offset),
}

/// `_PyInterpreterFrame`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct InterpreterFrame {
    pub executable: Offset,
    pub previous: Offset,
    pub instruction: Offset,
    pub function: Offset,
    pub globals: Offset,
    pub stack: StackPointer,
    pub owner: Offset,
    pub localsplus: Offset,
    /// Owners from this one on are shims of the C stack, without a Python function.
    pub first_shim_owner: u8,
    /// The highest owner that is known.
    pub last_owner: u8,
    /// Low bits of a local or stack slot that are no part of the address.
    pub tag_mask: u64,
}

/// How a suspended frame tells the depth of its value stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum StackPointer {
    /// `stacktop`: an `int` that counts locals and values.
    Count(Offset),
    /// `stackpointer`: a pointer behind the topmost value.
    Pointer(Offset),
}

/// The owner of a frame that lies inside a generator or coroutine.
// 3.11-3.15: Include/internal/pycore_frame.h, enum _frameowner: FRAME_OWNED_BY_GENERATOR.
pub const OWNED_BY_GENERATOR: u8 = 1;

/// `PyCodeObject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Code {
    pub firstlineno: Offset,
    pub flags: Offset,
    pub filename: Offset,
    pub name: Offset,
    pub qualname: Option<Offset>,
    pub line_table: LineTable,
    pub bytecode: Bytecode,
    pub stacksize: Offset,
    pub names: LocalNames,
    pub exception_table: Option<Offset>,
    pub global_names: Offset,
    /// How much of the structure has to be read to see all of the above.
    pub size: u64,
}

/// How instructions map to lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum LineTable {
    /// `co_lnotab`: pairs (address step, line step).
    Lnotab(Offset),
    /// `co_linetable` of 3.10: pairs (length, line step).
    Pairs(Offset),
    /// `co_linetable` from 3.11 on, with columns.
    Locations(Offset),
}

/// Where the instructions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Bytecode {
    /// A `bytes` object.
    Bytes(Offset),
    /// Inside the code object.
    Inline(Offset),
}

/// Where the names of local variables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub enum LocalNames {
    /// Three tuples one behind the other.
    Tuples { varnames: Offset, cellvars: Offset, freevars: Offset },
    /// One tuple of names and one byte of kind each.
    Localsplus { names: Offset, kinds: Offset, count: Offset },
}

/// `PyGenObject` and its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Generator {
    pub frame: GeneratorFrame,
    pub qualname: Offset,
    pub exc_value: Offset,
    /// How much of the structure has to be read to see all of the above.
    pub size: u64,
}

/// Where a generator keeps its frame and how it tells its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum GeneratorFrame {
    /// A pointer to a `PyFrameObject`, null when finished.
    Pointer {
        /// `gi_frame`.
        frame: Offset,
        /// Where the generator or its frame tells whether it executes.
        running: GeneratorRunning,
    },
    /// A `_PyInterpreterFrame` inside.
    Embedded {
        /// `gi_iframe`.
        frame: Offset,
        /// `gi_frame_state`, one byte.
        state: Offset,
        /// What its values mean.
        states: FrameStates,
    },
}

/// How a generator with a frame of its own tells that it executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum GeneratorRunning {
    /// `gi_running`, one byte in the generator.
    Generator(Offset),
    /// `f_state` in the frame: 0 while it executes.
    Frame(Offset),
}

/// The values of `gi_frame_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FrameStates {
    /// Created and not yet started.
    pub created: i8,
    /// Suspended in a plain `yield`, or in anything where opcodes have to be asked.
    pub suspended: i8,
    /// Suspended in an `await` or `yield from`, lowest and highest value.
    pub awaiting: Option<(i8, i8)>,
    /// Running now.
    pub executing: i8,
}

/// How a suspended frame's awaited object is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Awaiting {
    /// The opcode behind the last instruction is `YIELD_FROM`; the object is on top of the stack.
    NextOpcode {
        /// `YIELD_FROM`.
        yield_from: u8,
    },
    /// The unit behind the last instruction is `RESUME` with an argument of 2 or more.
    NextResume {
        /// `RESUME` and the variants it may be replaced with.
        resume: [u8; 2],
    },
    /// The frame state says so; the object is this many slots below the stack pointer.
    State {
        /// 1: on top; 2: below one more value.
        slot: u64,
    },
}

/// What stands between a coroutine and the future it awaits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Awaitable {
    /// `_asyncio.FutureIter`.
    pub future_iter: Offset,
    /// `coroutine_wrapper`.
    pub coroutine_wrapper: Offset,
    /// `async_generator_asend`.
    pub asend: Offset,
    /// `async_generator_athrow`.
    pub athrow: Offset,
    /// `anext_awaitable`.
    pub anext: Offset,
}

/// The first opcodes of exception handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Handler {
    /// The opcode that calls `__exit__` or `__aexit__` with an exception.
    pub with_except_start: u8,
    /// The opcode behind it, in an `async with`.
    pub get_awaitable: u8,
    /// The opcode that ends an `async for`.
    pub end_async_for: u8,
    /// Stack slots of an entered context: its bound `__exit__`, or from 3.14 on the function and
    /// the manager (or a bound method and nothing).
    pub exit_slots: u64,
}

/// `PyObject` and `PyVarObject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Object {
    pub ob_type: Offset,
    pub ob_size: Offset,
}

/// `PyTypeObject` and `PyHeapTypeObject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Class {
    pub name: Offset,
    pub basicsize: Offset,
    pub itemsize: Offset,
    pub flags: Offset,
    pub base: Offset,
    pub dict: Offset,
    pub dictoffset: Offset,
    pub mro: Offset,
    pub subclasses: Offset,
    pub qualname: Offset,
    pub cached_keys: Offset,
}

/// `PyASCIIObject`, `PyCompactUnicodeObject` and `PyUnicodeObject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Unicode {
    /// Length in code points.
    pub length: Offset,
    /// Bits: 2-4 kind, 5 compact, 6 ascii.
    pub state: Offset,
    /// Text of a compact ASCII string.
    pub ascii_data: Offset,
    /// Text of another compact string, or the pointer to the text of one that is not compact.
    pub data: Offset,
}

/// `PyLongObject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Int {
    /// How sign and number of digits are kept, at this offset.
    pub size: IntSize,
    /// Digits of 30 bits, lowest first.
    pub digits: Offset,
}

/// How an `int` keeps its sign and its number of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum IntSize {
    /// `ob_size`: the count, negative for a negative number.
    Signed(Offset),
    /// `lv_tag`: count << 3 | sign (0 positive, 1 zero, 2 negative).
    Tag(Offset),
}

impl IntSize {
    /// Where the word is that keeps them.
    pub fn offset(self) -> Offset {
        match self {
            Self::Signed(offset) | Self::Tag(offset) => offset,
        }
    }

    /// Whether the number is negative, and how many digits it has, by that word.
    pub fn decode(self, word: u64) -> (bool, u64) {
        match self {
            Self::Signed(_) => {
                let size = word.cast_signed();
                (size < 0, size.unsigned_abs())
            }
            Self::Tag(_) => (word & 3 == 2, word >> 3),
        }
    }
}

/// `PyDictObject`, its keys and its split values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Dict {
    /// `ma_used`.
    pub used: Offset,
    /// `ma_keys`.
    pub keys: Offset,
    /// `ma_values`.
    pub values: Offset,
    /// How the keys are kept.
    pub keys_layout: DictKeys,
    /// Where the first of the split values is.
    pub first_value: Offset,
}

/// `PyDictKeysObject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub enum DictKeys {
    /// `dk_size` in slots; entries (hash, key, value).
    Sized { size: Offset, nentries: Offset, indices: Offset },
    /// `dk_log2_index_bytes`; entries (key, value) unless `dk_kind` is general.
    Log2 { log2_index_bytes: Offset, kind: Offset, nentries: Offset, indices: Offset },
}

/// Where an instance keeps its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub enum Attributes {
    /// In the dictionary at `tp_dictoffset`.
    DictOffset,
    /// `Py_TPFLAGS_MANAGED_DICT`: pointers to the values and the dictionary before the object.
    Managed311 { values_before: Offset, dict_before: Offset },
    /// `Py_TPFLAGS_MANAGED_DICT`: one word before the object; bit 0 tells values from dictionary.
    Managed312 { word_before: Offset },
    /// `Py_TPFLAGS_MANAGED_DICT`: the dictionary's pointer before the object; while it is null
    /// and the class has `Py_TPFLAGS_INLINE_VALUES`, values behind the object.
    Inline { dict_before: Offset, valid: Offset },
}

impl Attributes {
    /// How far before an instance the pointer to its dictionary is, where it lies there.
    pub fn dict_before(self) -> Option<Offset> {
        match self {
            Self::Managed311 { dict_before, .. } | Self::Inline { dict_before, .. } => {
                Some(dict_before)
            }
            Self::Managed312 { word_before } => Some(word_before),
            Self::DictOffset => None,
        }
    }

    /// How far before an instance the pointer to its values is, where these lie elsewhere.
    pub fn values_before(self) -> Option<Offset> {
        match self {
            Self::Managed311 { values_before, .. } => Some(values_before),
            Self::Managed312 { word_before } => Some(word_before),
            Self::DictOffset | Self::Inline { .. } => None,
        }
    }
}

/// `PySetObject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Set {
    pub used: Offset,
    pub mask: Offset,
    pub table: Offset,
}

/// What a `for` loop goes by: iterators of built-in collections, and where a frame has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Iterators {
    /// How many items a `list_iterator` or `tuple_iterator` has given.
    pub index: Offset,
    /// Its list or tuple; null when it has come to the end.
    pub items: Offset,
    /// `range_iterator`.
    pub range: RangeIterator,
    /// How many items a dictionary had when an iterator over it began.
    pub dict_used: Offset,
    /// How many of them such an iterator has yet to give.
    pub dict_left: Offset,
    /// The same of a set.
    pub set_used: Offset,
    /// The same of a set.
    pub set_left: Offset,
    /// The iterator inside an `enumerate`.
    pub enumerated: Offset,
    /// The tuple of iterators inside a `zip`.
    pub zipped: Offset,
    /// Slots on the value stack of each `for` loop: 2 where a list or a tuple itself may be there,
    /// with the number of items that it has given.
    pub slots: u64,
}

/// How an iterator over a `range` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub enum RangeIterator {
    /// How many it has given, and how many there are.
    Index { index: Offset, len: Offset },
    /// How many it has yet to give.
    Left { len: Offset },
}

/// Small objects of one or two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Small {
    pub float_value: Offset,
    pub bytes_data: Offset,
    pub tuple_items: Offset,
    pub list_items: Offset,
    pub weakref_object: Offset,
    pub method_func: Offset,
    pub method_self: Offset,
    pub builtin_ml: Offset,
    pub builtin_self: Offset,
    pub cell_ref: Offset,
    pub partial_fn: Offset,
    pub partial_args: Offset,
    pub module_dict: Offset,
    pub module_state: Offset,
    pub member: Offset,
    pub exception_args: Offset,
    pub exception_traceback: Offset,
    pub step_wrapper_task: Offset,
}

/// `dequeobject`, and its blocks of 64 slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Deque {
    pub leftblock: Offset,
    pub leftindex: Offset,
    pub block_data: Offset,
    pub block_right: Offset,
}

/// `simplequeueobject`, the `_queue.SimpleQueue` of thread pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum SimpleQueue {
    /// A list of which the first items are gone.
    List {
        /// `lst`.
        items: Offset,
        /// `lst_pos`: how many items are gone.
        first: Offset,
    },
    /// A ring buffer.
    Ring {
        /// `buf.get_idx`: the index of the first item.
        first: Offset,
        /// `buf.items`: an array of pointers.
        items: Offset,
        /// `buf.items_cap`.
        capacity: Offset,
        /// `buf.num_items`.
        count: Offset,
    },
}

/// Which opcodes read a local variable that is no cell; their argument is its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LoadLocal {
    /// They read one variable.
    pub one: &'static [u8],
    /// They read two: the high and the low four bits of the argument.
    pub both: &'static [u8],
    /// They write the variable of the high four bits and read that of the low ones.
    pub second: &'static [u8],
    /// They stand in the place of another opcode while the program is traced.
    pub hidden: &'static [u8],
}

/// `PyTracebackObject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Traceback {
    /// `tb_next`: towards where the exception was raised.
    pub next: Offset,
    /// `tb_frame`: a frame object.
    pub frame: Offset,
    /// `tb_lasti`: an `int`, in bytes.
    pub lasti: Offset,
    /// `f_frame` of the frame object, a `_PyInterpreterFrame`; where there is none, the frame
    /// object has the code itself.
    pub interpreter_frame: Option<Offset>,
}

/// `PyFunctionObject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Function {
    pub code: Offset,
    pub closure: Offset,
    pub defaults: Offset,
    pub qualname: Offset,
    pub globals: Offset,
}

/// `FutureObj`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Future {
    pub running_loop: Offset,
    pub callback0: Offset,
    pub callbacks: Offset,
    pub exception: Offset,
    pub cancel_msg: Option<Offset>,
    pub state: Offset,
    /// Whether nobody has looked at its exception yet.
    pub log_tb: Flag,
    pub awaited_by: Option<AwaitedBy>,
}

/// Where the runtime itself keeps who waits for a future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AwaitedBy {
    /// One waiter, or a set of them.
    pub awaited_by: Offset,
    /// One byte: whether it is a set.
    pub is_set: Offset,
}

/// `TaskObj`, beyond what it shares with `FutureObj`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Task {
    pub fut_waiter: Offset,
    pub coro: Offset,
    pub name: Offset,
    pub context: Offset,
    pub must_cancel: Flag,
    pub num_cancels_requested: Option<Offset>,
    /// The node in the list of all tasks.
    pub node: Option<Offset>,
    pub size: u64,
}

/// A context, the nodes of the tree of its variables (a hash array mapped trie), and a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are CPython's")]
pub struct Context {
    /// The tree; another one as soon as a variable is set.
    pub vars: Offset,
    pub hamt_root: Offset,
    pub hamt_count: Offset,
    /// Which places of a node are in use, 32 bits.
    pub bitmap: Offset,
    /// A key and its value, or null and another node, for each of those.
    pub bitmap_array: Offset,
    /// 32 other nodes, or null.
    pub array: Offset,
    pub array_count: Offset,
    /// Keys and values of the same hash.
    pub collision_array: Offset,
    pub var_name: Offset,
    pub token_context: Offset,
    pub token_var: Offset,
    pub token_old_value: Offset,
    /// Whether the variable was set back, an `int`.
    pub token_used: Offset,
}

/// Alike in all versions.
// 3.8-3.15: Include/internal/pycore_context.h, Include/internal/pycore_hamt.h, Python/hamt.c
pub(crate) const CONTEXT: Context = Context {
    vars: 24,            // PyContext.ctx_vars: DWARF, live
    hamt_root: 16,       // PyHamtObject.h_root: DWARF, live
    hamt_count: 32,      // PyHamtObject.h_count: DWARF, live
    bitmap: 24,          // PyHamtNode_Bitmap.b_bitmap: DWARF, live
    bitmap_array: 32,    // PyHamtNode_Bitmap.b_array: DWARF, live
    array: 16,           // PyHamtNode_Array.a_array: DWARF, live
    array_count: 272,    // PyHamtNode_Array.a_count: DWARF, live
    collision_array: 32, // PyHamtNode_Collision.c_array: DWARF, live
    var_name: 16,        // PyContextVar.var_name: DWARF, live
    token_context: 16,   // PyContextToken.tok_ctx: DWARF, live
    token_var: 24,       // PyContextToken.tok_var: DWARF, live
    token_old_value: 32, // PyContextToken.tok_oldval: DWARF, live
    token_used: 40,      // PyContextToken.tok_used: DWARF, live
};

/// Where a boolean is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Flag {
    /// A C `int`.
    Int(Offset),
    /// A bit of a byte.
    Bit { byte: Offset, bit: u8 },
}

/// Where all tasks are registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum TaskRegistry {
    /// `asyncio.tasks._all_tasks`, a `WeakSet`.
    AllTasks,
    /// `asyncio.tasks._scheduled_tasks`, a `WeakSet`, and `_eager_tasks`, a set.
    ScheduledAndEager,
    /// As before for pure-Python and foreign tasks; the others are in linked lists of thread and
    /// interpreter states, and foreign ones registered through C in the state of `_asyncio`.
    Lists {
        /// `non_asyncio_tasks` in the state of `_asyncio`, a `WeakSet`.
        foreign: Offset,
        /// `non_asyncio_eager_tasks` in the state of `_asyncio`, a set.
        foreign_eager: Offset,
    },
}

impl Layout {
    /// The table for Python 3.`minor`; for a newer one than we know, the newest table.
    ///
    /// `None` for versions before the first one supported.
    pub fn for_minor(minor: u8) -> Option<Self> {
        TABLES.iter().rfind(|table| table.minor <= minor).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_table() {
        let minors = || TABLES.iter().map(|table| table.minor);
        assert!(minors().take(VERSIONS.len()).eq(SUPPORTED));
        assert!(minors().is_sorted());
        let own = |minor| Layout::for_minor(minor).map(|table| table.minor);
        assert_eq!((own(7), own(8), own(15)), (None, Some(8), Some(15)));
        assert_eq!(own(200), minors().next_back());
    }
}
