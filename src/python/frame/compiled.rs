//! Coroutines and generators that a compiler has made into C.
//!
//! They have no frame, and their layout is the compiler's. Cython's classes say themselves where
//! things are, for some of their attributes are members: `cr_await`, `gi_yieldfrom` and `ag_await`
//! what they await, `cr_code` and its like a code object. Before that one are the names, and the
//! variables are in an object of C's.
//!
//! ```text
//! [ object, body, closure, …, yieldfrom, …, name, qualname, modulename, code, … ]
//! ```
//! Of other compilers no more is known than that their objects have the methods of a coroutine. What
//! such a one awaits is among the words of it: the one that leads to the future which its task is
//! parked on. Nothing is known of their variables.
// Cython 0.29 to 3.3: Cython/Utility/Coroutine.c, `__pyx_CoroutineObject`.

use std::sync::Arc;

use super::{Progress, RawFrame};
use crate::known::name::is_exit;
use crate::memory::Address;
use crate::python::object::{Class, Kind, Read, Reader, Unreadable, is_alive};
use crate::snapshot::Location;

/// What the members are called that say what is awaited.
const AWAITED: [&str; 3] = ["cr_await", "gi_yieldfrom", "ag_await"];
/// What the members are called that have a code object.
const CODE: [&str; 3] = ["cr_code", "gi_code", "ag_code"];
/// The object that passes on to a coroutine or an asynchronous generator, in a class of Cython.
const PASSED_ON: u64 = 16;
/// Where a coroutine of Cython has its variables.
const CLOSURE: u64 = 24;
/// Variables of one coroutine that are looked at.
const MAX_VARIABLES: u64 = 1000;

/// Words of a coroutine of another compiler, behind its head.
const MAX_WORDS: u64 = 126;
/// Coroutines of other compilers that await one another.
const MAX_UNKNOWN: usize = 8;
/// Objects that are looked at to find what one such coroutine awaits.
const MAX_TRIED: usize = 1000;

/// What was read of a compiled coroutine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compiled {
    /// Its place in an await chain.
    pub frame: RawFrame,
    /// What it awaits; `None` while it runs, before it has begun and when it has ended.
    pub awaited: Option<Address>,
}

/// Where an object of Cython has what is of interest.
struct Places {
    awaited: Address,
    /// The qualified name, the name of the module and the code object follow one another.
    qualname: Address,
}

impl Places {
    fn of(reader: &Reader<'_>, class: &Class, at: Address) -> Option<Self> {
        let members = reader.members(class);
        let member =
            |names: [&str; 3]| names.into_iter().find_map(|name| members.get(name)).copied();
        let awaited = at.offset(member(AWAITED)?);
        // Asynchronous generators have no member for the code. From 3.1 on a function of C lies before
        // the plain name, which is before the qualified one.
        let is_name = |place: &Address| {
            let name = reader.pointer(*place).ok().flatten();
            name.is_some_and(|at| reader.is_kind(at, Kind::Str))
        };
        let qualname = match member(CODE) {
            Some(code) => at.offset(code).before(16),
            None => [8, 16].map(|step| awaited.offset(step)).into_iter().find(is_name)?.offset(8),
        };
        Some(Self { awaited, qualname })
    }

    fn module(&self) -> Address {
        self.qualname.offset(8)
    }

    fn code(&self) -> Address {
        self.qualname.offset(16)
    }
}

impl Reader<'_> {
    /// The coroutine, generator or asynchronous generator of Cython at `at`; `None` for another
    /// object.
    ///
    /// # Errors
    /// When it cannot be read or is not believable.
    pub fn compiled(&self, class: &Class, at: Address) -> Read<Option<Compiled>> {
        let Some(places) = Places::of(self, class, at) else { return Ok(None) };
        let bad = || Unreadable::bad(at, "compiled coroutine");
        if !is_alive(self.memory.u64(at)?) {
            return Err(bad());
        }
        let text = |place| {
            let found = self.pointer(place)?.filter(|&at| self.is_kind(at, Kind::Str));
            found.ok_or_else(bad)
        };
        let qualname = text(places.qualname)?;
        text(places.module())?;
        let frame = RawFrame::compiled(at, qualname);
        Ok(Some(Compiled { frame, awaited: self.pointer(places.awaited)? }))
    }

    /// What an object of Cython stands for that only passes on.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn compiled_awaitable(&self, class: &Class, at: Address) -> Read<Option<Address>> {
        let name = class.name.rsplit('.').next().unwrap_or_default();
        let passes_on = ["coroutine_wrapper", "async_generator_asend", "async_generator_athrow"];
        if class.is_python() || !passes_on.contains(&name) {
            return Ok(None);
        }
        let Some(inner) = self.pointer(at.offset(PASSED_ON))? else { return Ok(None) };
        let is_compiled = Places::of(self, &*self.class_of(inner)?, inner).is_some();
        Ok(Some(inner).filter(|_| is_compiled))
    }

    /// The place in an await chain of a coroutine whose layout is not known, by its methods; `None` for
    /// any other object.
    pub fn unknown_coroutine(&self, class: &Class, at: Address) -> Option<RawFrame> {
        let dict = class.dict.non_null().filter(|_| class.kind == Kind::Other)?;
        let has = |name| self.dict_get(dict, name).is_ok_and(|method| method.is_some());
        // A class of Python's own has these, too, and its attributes are no words of it.
        let is_it = has("send") && has("throw") && has("close") && class.dictoffset == 0;
        let is_compiled = is_it && !class.has_managed_dict();
        let qualname = || self.name_among_words(class, at).unwrap_or_default();
        is_compiled.then(|| RawFrame::compiled(at, qualname()))
    }

    /// The qualified name of a coroutine of Nuitka's, which all have the same class: it follows the
    /// plain name, and ends with that.
    fn name_among_words(&self, class: &Class, at: Address) -> Option<Address> {
        if !class.name.starts_with("compiled_") {
            return None;
        }
        let words = self.words(class, at, MAX_WORDS)?.into_iter();
        let mut texts = words.filter(|at| self.is_kind(*at, Kind::Str));
        let first = texts.next()?;
        let plain = self.name(first).ok()?;
        let mut others = texts.take(2);
        let qualified = others.find(|at| self.name(*at).is_ok_and(|name| name.ends_with(&*plain)));
        Some(qualified.unwrap_or(first))
    }

    /// What a coroutine of an unknown layout awaits: what leads to this future.
    pub fn unknown_awaits(&self, class: &Class, at: Address, future: Address) -> Option<Address> {
        let mut left = MAX_TRIED;
        self.word_to(class, at, future, MAX_UNKNOWN, &mut left)
    }

    fn word_to(
        &self,
        class: &Class,
        at: Address,
        future: Address,
        depth: usize,
        left: &mut usize,
    ) -> Option<Address> {
        let depth = depth.checked_sub(1)?;
        let words = self.words(class, at, MAX_WORDS)?;
        words.into_iter().find(|next| self.leads_to(*next, future, depth, left))
    }

    /// The words of an object that may be pointers, so many behind its head at most.
    fn words(&self, class: &Class, at: Address, most: u64) -> Option<Vec<Address>> {
        let len = class.basicsize.checked_sub(16)?.min(8 * most);
        let words = self.memory.vec(at.offset(16), len).ok()?;
        let words = words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        Some(words.filter(|word| word.is_multiple_of(8) && *word > 0).map(Address).collect())
    }

    /// The file of the code object that a coroutine of Nuitka's has.
    fn file_among_words(&self, class: &Class, frame: &RawFrame) -> Option<Arc<str>> {
        frame.qualname.non_null()?;
        let words = self.words(class, frame.generator, MAX_WORDS)?;
        let code = words.into_iter().find(|at| self.is_kind(*at, Kind::Code))?;
        Some(Arc::clone(&self.code(code).ok()?.place.file))
    }

    /// Whether the awaits of an object end at a future.
    fn leads_to(&self, mut at: Address, future: Address, depth: usize, left: &mut usize) -> bool {
        while let Some(rest) = left.checked_sub(1) {
            *left = rest;
            let Ok(class) = self.class_of(at) else { return false };
            let next = match class.kind {
                Kind::FutureIter => {
                    let iterated = at.offset(self.layout.awaitable.future_iter);
                    return self.pointer(iterated) == Ok(Some(future));
                }
                Kind::Coroutine | Kind::Generator | Kind::AsyncGenerator => {
                    match self.generator(at).map(|generator| generator.progress) {
                        Ok(Progress::Awaiting(next)) => Some(next),
                        _ => None,
                    }
                }
                Kind::Other => match self.compiled(&class, at) {
                    Ok(Some(compiled)) => compiled.awaited,
                    Ok(None) if self.unknown_coroutine(&class, at).is_some() => {
                        return self.word_to(&class, at, future, depth, left).is_some();
                    }
                    _ => self.compiled_awaitable(&class, at).ok().flatten(),
                },
                // A future that lies there may be an argument: what is awaited is its iterator.
                kind => self.inner_awaitable(at, kind).ok().flatten(),
            };
            let Some(next) = next else { return false };
            at = next;
        }
        false
    }

    /// Where a frame is, also that of a compiled coroutine: in which line, such a one does not say.
    ///
    /// # Errors
    /// When its code or its names cannot be read.
    pub fn place_of(&self, frame: &RawFrame) -> Read<Arc<Location>> {
        if !frame.is_compiled() {
            return Ok(self.site(frame.code, frame.lasti, frame.qualname)?.location);
        }
        let class = self.class_of(frame.generator)?;
        let Some(places) = Places::of(self, &class, frame.generator) else {
            let name = self.class_name(&class);
            let (module, function) = name.rsplit_once('.').unwrap_or(("", &name));
            let file = self.file_of_module(module).or_else(|| self.file_among_words(&class, frame));
            let file = file.unwrap_or_else(|| "<compiled>".into());
            // mypyc's name of the class that it makes for a function.
            let function = match frame.qualname.non_null() {
                Some(name) => self.name(name)?,
                None => function.strip_suffix("_gen").unwrap_or(function).into(),
            };
            return Ok(Location::new(function, file, None, &self.caches.libraries()).into());
        };
        let module = self.must_pointer(places.module(), "module")?;
        let key = (module, -1, frame.qualname);
        if let Some(location) = self.caches.compiled.borrow().get(&key) {
            return Ok(Arc::clone(location));
        }
        let name = self.name(module)?;
        let library = self.file_of_module(&name);
        let code = self.pointer(places.code()).ok().flatten();
        let source = code.and_then(|code| Some(Arc::clone(&self.code(code).ok()?.place.file)));
        // The compiler knew the source by a path of its own; what matters is whose it is.
        let file = match (&library, &source) {
            (Some(library), Some(source)) if !source.starts_with('/') => {
                let folder = library.rfind('/').map_or("", |at| library.get(..=at).unwrap_or(""));
                let last = source.rsplit('/').next().unwrap_or(source);
                format!("{folder}{last}").into()
            }
            (Some(file), None) | (_, Some(file)) => Arc::clone(file),
            (None, None) => format!("<{name}>").into(),
        };
        let function = self.name(frame.qualname)?;
        let location = Arc::new(Location::new(function, file, None, &self.caches.libraries()));
        self.caches.compiled.borrow_mut().insert(key, Arc::clone(&location));
        Ok(location)
    }

    /// `__file__` of a module.
    fn file_of_module(&self, name: &str) -> Option<Arc<str>> {
        let module = self.dict_get(self.caches.modules()?, name).ok()??;
        let names = self.pointer(module.offset(self.layout.small.module_dict)).ok()??;
        let file = self.dict_get(names, "__file__").ok()??;
        self.is_kind(module, Kind::Module).then(|| self.name(file).ok())?
    }

    /// What lies in the variables of a compiled coroutine, also those that its compiler has made: not
    /// each of them is an object.
    pub fn compiled_values(&self, frame: &RawFrame) -> Vec<Address> {
        let values = || {
            let closure = self.pointer(frame.generator.offset(CLOSURE)).ok()??;
            let class = self.class_of(closure).ok()?;
            let is_scope = class.name.contains("__pyx_scope_struct");
            is_scope.then(|| self.words(&class, closure, MAX_VARIABLES))?
        };
        values().unwrap_or_default()
    }

    /// The objects that a compiled coroutine has entered by `with` and `async with`, or is about to
    /// enter: it keeps their bound `__exit__` until the block is left.
    pub fn compiled_held(&self, frame: &RawFrame) -> Vec<Address> {
        let exits = |at: Address| {
            let owner = self.bound_to(at)?;
            is_exit(&self.callable_name(at)?).then_some(owner)
        };
        self.compiled_values(frame).into_iter().filter_map(exits).collect()
    }
}
