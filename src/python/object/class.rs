//! Classes: what kind of object lies at an address.
//!
//! Every hop through the target's memory ends with a look at the class of what was found. A class
//! is told by its C name, and only for classes written in C: a Python class may call itself
//! `coroutine` and is not taken for one. Compilers make classes in C that are called as CPython's own:
//! so these have to lie in the interpreter's file as well.

use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;

use super::{Read, Reader, Unreadable};
use crate::memory::Address;

/// `Py_TPFLAGS_HEAPTYPE`: made at run time.
// 3.8-3.15: Include/object.h
const HEAP_TYPE: u64 = 1 << 9;
/// `Py_TPFLAGS_IMMUTABLETYPE`: a class that Python code cannot have made (3.10 and later).
const IMMUTABLE_TYPE: u64 = 1 << 8;
/// `Py_TPFLAGS_HAVE_GC`: the garbage collector keeps a list of its instances.
const HAVE_GC: u64 = 1 << 14;
/// `Py_TPFLAGS_INLINE_VALUES` (3.13 and later).
const INLINE_VALUES: u64 = 1 << 2;
/// `Py_TPFLAGS_MANAGED_DICT` (3.11 and later).
const MANAGED_DICT: u64 = 1 << 4;
/// `Py_TPFLAGS_LONG_SUBCLASS` and its neighbours.
const SUBCLASS_OF: [(u64, Kind); 7] = [
    (1 << 24, Kind::Int),
    (1 << 25, Kind::List),
    (1 << 26, Kind::Tuple),
    (1 << 27, Kind::Bytes),
    (1 << 28, Kind::Str),
    (1 << 29, Kind::Dict),
    (1 << 30, Kind::Exception),
];

/// The longest chain of base classes that is followed; real ones have some ten.
pub(super) const MAX_BASES: usize = 64;

/// What kind of object a class makes, as far as we care; subclasses count as their base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are Python's")]
pub enum Kind {
    None,
    Bool,
    Int,
    Float,
    Complex,
    Str,
    Bytes,
    Bytearray,
    Tuple,
    List,
    Dict,
    Set,
    FrozenSet,
    Deque,
    Range,
    Ellipsis,
    Type,
    Module,
    Function,
    Builtin,
    Method,
    Partial,
    Cell,
    Code,
    Weakref,
    MemberDescriptor,
    Exception,
    Coroutine,
    Generator,
    AsyncGenerator,
    CoroutineWrapper,
    AsyncGeneratorAsend,
    AsyncGeneratorAthrow,
    AnextAwaitable,
    /// A task or a class made from `_asyncio.Task`.
    Task,
    /// A future or a class made from `_asyncio.Future`, but no task.
    Future,
    FutureIter,
    /// `TaskStepMethWrapper` and `TaskWakeupMethWrapper`: a task's next step as a callable.
    StepWrapper,
    RunningLoopHolder,
    /// A pure-Python `asyncio.tasks.Task` or a class made from it.
    PyTask,
    /// A pure-Python `asyncio.futures.Future` or a class made from it.
    PyFuture,
    /// uvloop's `Loop`.
    UvLoop,
    /// uvloop's `Handle`.
    UvHandle,
    /// uvloop's `TimerHandle`.
    UvTimerHandle,
    /// Anything else.
    Other,
}

impl Kind {
    /// Whether this is a task, in C or in Python.
    pub fn is_task(self) -> bool {
        matches!(self, Self::Task | Self::PyTask)
    }

    /// Whether this is a task or a future, in C or in Python.
    pub fn is_future(self) -> bool {
        matches!(self, Self::Task | Self::PyTask | Self::Future | Self::PyFuture)
    }

    /// Whether its class is one of the interpreter itself, and of no module of it.
    fn is_of_interpreter(self) -> bool {
        !matches!(
            self,
            Self::Deque
                | Self::Partial
                | Self::Task
                | Self::Future
                | Self::FutureIter
                | Self::StepWrapper
                | Self::RunningLoopHolder
                | Self::UvLoop
                | Self::UvHandle
                | Self::UvTimerHandle
        )
    }

    /// The kind of a class written in C, by its `tp_name`.
    fn of_builtin(name: &str) -> Option<Self> {
        Some(match name {
            "NoneType" => Self::None,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "float" => Self::Float,
            "complex" => Self::Complex,
            "str" => Self::Str,
            "bytes" => Self::Bytes,
            "bytearray" => Self::Bytearray,
            "tuple" => Self::Tuple,
            "list" => Self::List,
            "dict" => Self::Dict,
            "set" => Self::Set,
            "frozenset" => Self::FrozenSet,
            "collections.deque" => Self::Deque,
            "range" => Self::Range,
            "ellipsis" => Self::Ellipsis,
            "type" => Self::Type,
            "module" => Self::Module,
            "function" => Self::Function,
            "builtin_function_or_method" => Self::Builtin,
            "method" => Self::Method,
            "functools.partial" => Self::Partial,
            "cell" => Self::Cell,
            "code" => Self::Code,
            "weakref" | "weakref.ReferenceType" => Self::Weakref,
            "member_descriptor" => Self::MemberDescriptor,
            "BaseException" => Self::Exception,
            "coroutine" => Self::Coroutine,
            "generator" => Self::Generator,
            "async_generator" => Self::AsyncGenerator,
            "coroutine_wrapper" => Self::CoroutineWrapper,
            "async_generator_asend" => Self::AsyncGeneratorAsend,
            "async_generator_athrow" => Self::AsyncGeneratorAthrow,
            "anext_awaitable" => Self::AnextAwaitable,
            "_asyncio.Task" => Self::Task,
            "_asyncio.Future" => Self::Future,
            "_asyncio.FutureIter" => Self::FutureIter,
            "TaskStepMethWrapper" | "_asyncio.TaskStepMethWrapper" | "TaskWakeupMethWrapper" => {
                Self::StepWrapper
            }
            "_RunningLoopHolder" => Self::RunningLoopHolder,
            "uvloop.loop.Loop" => Self::UvLoop,
            "uvloop.loop.Handle" => Self::UvHandle,
            "uvloop.loop.TimerHandle" => Self::UvTimerHandle,
            _ => return None,
        })
    }
}

/// What was read of a class.
#[derive(Debug)]
pub struct Class {
    /// Its address.
    pub at: Address,
    /// `tp_name`: with the module for most classes written in C, without it for others.
    pub name: Arc<str>,
    /// What its instances are.
    pub kind: Kind,
    /// `tp_basicsize`.
    pub basicsize: u64,
    /// `tp_itemsize`.
    pub itemsize: u64,
    /// `tp_dictoffset`; negative: from the end of a var-sized object.
    pub dictoffset: i64,
    /// `tp_dict`; null for built-in static classes from 3.12 on.
    pub dict: Address,
    /// `ht_cached_keys`.
    pub cached_keys: Option<Address>,
    /// `tp_base`.
    pub base: Option<Address>,
    flags: u64,
    /// Offsets of `__slots__`, base classes' included; read when first asked for.
    pub(super) slots: OnceLock<FxHashMap<Arc<str>, u64>>,
    /// Offsets of the members of a class written in C; read when first asked for.
    pub(super) members: OnceLock<FxHashMap<Arc<str>, u64>>,
    full_name: OnceLock<Arc<str>>,
}

impl Class {
    /// Whether Python code made this class.
    pub fn is_python(&self) -> bool {
        self.flags & HEAP_TYPE != 0 && self.flags & IMMUTABLE_TYPE == 0 && !self.name.contains('.')
    }

    /// Whether the garbage collector keeps a list of its instances.
    pub fn is_collected(&self) -> bool {
        self.flags & HAVE_GC != 0
    }

    /// Whether instances keep attributes without a dictionary of their own.
    pub fn has_managed_dict(&self) -> bool {
        self.flags & MANAGED_DICT != 0
    }

    /// Whether attribute values may lie right behind the instance (3.13 and later).
    pub fn has_inline_values(&self) -> bool {
        self.flags & INLINE_VALUES != 0
    }
}

impl Reader<'_> {
    /// The class of the object at `at`.
    ///
    /// # Errors
    /// When object or class cannot be read or the class is not believable.
    pub fn class_of(&self, at: Address) -> Read<Arc<Class>> {
        let class = self.memory.pointer(at.offset(self.layout.object.ob_type))?;
        self.class(class)
    }

    /// What the object at `at` is.
    ///
    /// # Errors
    /// As [`class_of`](Self::class_of).
    pub fn kind_of(&self, at: Address) -> Read<Kind> {
        let class = self.memory.pointer(at.offset(self.layout.object.ob_type))?;
        if let Some(kind) = self.caches.recent(&self.caches.kinds, class) {
            return Ok(kind);
        }
        let kind = self.class(class)?.kind;
        self.caches.note_recent(&self.caches.kinds, class, kind);
        Ok(kind)
    }

    /// Whether the object at `at` is readable and of the given kind.
    pub fn is_kind(&self, at: Address, kind: Kind) -> bool {
        self.kind_of(at) == Ok(kind)
    }

    /// The class at `at`.
    ///
    /// # Errors
    /// When it cannot be read or is not believable.
    pub fn class(&self, at: Address) -> Read<Arc<Class>> {
        if let Some(class) = self.caches.fresh(&self.caches.classes, at) {
            return Ok(class);
        }
        self.read_class(at, 0)
    }

    fn read_class(&self, at: Address, depth: usize) -> Read<Arc<Class>> {
        let bad = || Unreadable::bad(at, "class");
        let fields = &self.layout.class;
        if at.is_null() || !at.0.is_multiple_of(8) {
            return Err(bad());
        }
        let name_at = self.memory.pointer(at.offset(fields.name))?;
        let flags = self.memory.u64(at.offset(fields.flags))?;
        let dict = self.memory.pointer(at.offset(fields.dict))?;
        let base = self.pointer(at.offset(fields.base))?;
        let kind_flags = flags & (HEAP_TYPE | IMMUTABLE_TYPE);
        let signature = [name_at.0, kind_flags, dict.0, base.unwrap_or_default().0];
        if let Some(class) = self.caches.same(&self.caches.classes, at, signature) {
            return Ok(class);
        }
        let name = self.c_string(name_at)?;
        let basicsize = self.memory.u64(at.offset(fields.basicsize))?;
        // Not asked for is `Py_TPFLAGS_READY`: up to 3.9 static classes such as `FutureIter` get
        // ready when the first attribute of an instance is asked for. Test: `demo::crowd::3.8`.
        if name.is_empty() || !(16..1 << 30).contains(&basicsize) {
            return Err(bad());
        }
        let is_heap = flags & HEAP_TYPE != 0;
        let mut class = Class {
            at,
            kind: Kind::Other,
            basicsize,
            itemsize: self.memory.u64(at.offset(fields.itemsize))?,
            dictoffset: self.memory.i64(at.offset(fields.dictoffset))?,
            dict,
            cached_keys: if is_heap { self.pointer(at.offset(fields.cached_keys))? } else { None },
            base,
            flags,
            name: name.into(),
            slots: OnceLock::new(),
            members: OnceLock::new(),
            full_name: OnceLock::new(),
        };
        class.kind = self.kind(&class, depth);
        let class = Arc::new(class);
        self.caches.keep(&self.caches.classes, at, signature, &class);
        Ok(class)
    }

    fn kind(&self, class: &Class, depth: usize) -> Kind {
        if !class.is_python() {
            let kind = Kind::of_builtin(&class.name);
            if let Some(kind) = kind.filter(|kind| !kind.is_of_interpreter() || self.is_own(class))
            {
                return kind;
            }
        } else if matches!(&*class.name, "Task" | "Future") {
            // `class Task(futures._PyFuture)` of asyncio/tasks.py; `_PyTask` is only an alias.
            let module = self.class_module(class).ok().flatten();
            match (&*class.name, module.as_deref()) {
                ("Task", Some("asyncio.tasks")) => return Kind::PyTask,
                ("Future", Some("asyncio.futures")) => return Kind::PyFuture,
                _ => {}
            }
        }
        // The base's kind says more than the flags: a subclass of `_asyncio.Task` has no flag.
        let inherited = class
            .base
            .filter(|_| depth < MAX_BASES)
            .and_then(|base| {
                let known = self.caches.fresh(&self.caches.classes, base);
                known.or_else(|| self.read_class(base, depth + 1).ok())
            })
            .map_or(Kind::Other, |base| base.kind);
        // Python lets nobody make a class from these; Nuitka does so, and its objects are other ones.
        if matches!(inherited, Kind::Coroutine | Kind::Generator | Kind::AsyncGenerator) {
            return Kind::Other;
        }
        if inherited != Kind::Other {
            return inherited;
        }
        let by_flag = SUBCLASS_OF.iter().find(|(flag, _)| class.flags & flag != 0);
        by_flag.map_or(Kind::Other, |&(_, kind)| kind)
    }

    /// Whether a class lies where those of the interpreter do. The class of all classes, `type`, shows
    /// that it is known where that is.
    ///
    /// A program that embeds Python has copies of the classes that it names itself (copy relocation:
    /// `PyFunction_Type` of uWSGI lies in uWSGI); their names are still the interpreter's.
    pub(super) fn is_own(&self, class: &Class) -> bool {
        /// A class of `type`'s may be between.
        const MAX_METACLASSES: usize = 3;
        let is_in_image = |at| self.caches.is_in_image(at) == Some(true);
        let own = |at: &Address| self.pointer(at.offset(self.layout.object.ob_type)).ok()?;
        let mut types = std::iter::successors(own(&class.at), own).take(MAX_METACLASSES);
        let name = self.pointer(class.at.offset(self.layout.class.name)).ok().flatten();
        is_in_image(class.at) || name.is_some_and(is_in_image) || !types.any(is_in_image)
    }

    /// `__module__` of a class made at run time.
    fn class_module(&self, class: &Class) -> Read<Option<String>> {
        if class.dict.is_null() {
            return Ok(None);
        }
        match self.dict_get(class.dict, "__module__")? {
            Some(module) if self.kind_of(module)? == Kind::Str => {
                Ok(Some(self.name_str(module, super::MAX_NAME)?))
            }
            _ => Ok(None),
        }
    }

    /// The name of a class with its module: `module.qualname`, just `qualname` for builtins.
    pub fn class_name(&self, class: &Class) -> Arc<str> {
        Arc::clone(class.full_name.get_or_init(|| {
            if class.flags & HEAP_TYPE == 0 {
                return Arc::clone(&class.name);
            }
            let qualname = self
                .pointer(class.at.offset(self.layout.class.qualname))
                .ok()
                .flatten()
                .filter(|&at| self.is_kind(at, Kind::Str))
                .and_then(|at| self.name_str(at, super::MAX_NAME).ok());
            let Some(qualname) = qualname else { return Arc::clone(&class.name) };
            match self.class_module(class) {
                Ok(Some(module)) if module == "builtins" => qualname.into(),
                Ok(Some(module)) => format!("{module}.{qualname}").into(),
                _ => Arc::clone(&class.name),
            }
        }))
    }

    /// The classes that were made from the one at `class`.
    pub fn subclasses(&self, class: Address) -> Vec<Address> {
        // A dictionary of weak references; a number for a class of the interpreter from 3.12 on.
        let dict = self.pointer(class.offset(self.layout.class.subclasses)).ok().flatten();
        let items = dict.and_then(|dict| self.dict(dict, super::MAX_ITEMS).ok());
        let object = self.layout.small.weakref_object;
        let references = items.unwrap_or_default().into_iter().map(|(_, reference)| reference);
        let references = references.filter(|&at| self.is_kind(at, Kind::Weakref));
        let classes = references.filter_map(|at| self.pointer(at.offset(object)).ok()?);
        classes.filter(|&at| self.is_kind(at, Kind::Type)).collect()
    }

    /// Whether a class is named `name` (without module) or has a base that is.
    pub fn is_subclass_named(&self, class: &Arc<Class>, name: &str) -> bool {
        let mut class = Arc::clone(class);
        for _ in 0..MAX_BASES {
            if class.name.rsplit('.').next() == Some(name) {
                return true;
            }
            match class.base.and_then(|base| self.class(base).ok()) {
                Some(base) => class = base,
                None => return false,
            }
        }
        false
    }
}
