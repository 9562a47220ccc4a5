//! The exception handlers around the place where a frame is, and which of them is most likely to
//! have eaten a cancellation.
//!
//! What a handler does is told from its instructions: which classes it catches (looked up as the
//! function itself would), and whether it can be left other than by raising. Of a `finally` there
//! is no trace of the line it begins on, and before 3.11 little of others; where the source is at
//! hand, it tells.

use std::sync::Arc;

use super::context::Around;
use super::{Progress, RawFrame};
use crate::known::name;
use crate::layout::Frame;
use crate::layout::opcodes::Op;
use crate::memory::Address;
use crate::python::object::{Code, Flow, Kind, Outcome, Read, Reader};

/// Instructions that an expression behind `except` or `with` may have.
const MAX_EXPRESSION: usize = 64;
/// Clauses of one `try`.
const MAX_CLAUSES: usize = 100;
/// Classes in one tuple of an `except`.
const MAX_CLASSES: usize = 100;
/// Base classes of one class that are looked at.
const MAX_BASES: usize = 64;
/// Names in one function that may be those of other functions.
const MAX_CALLED: usize = 300;
/// Managers inside managers that are looked through.
const MAX_DEPTH: usize = 8;
/// Lines above the first statement of a handler on which its `except` or `finally` may be.
const MAX_LINES_UP: u32 = 30;

/// The kind of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandlerKind {
    /// An `except` clause.
    Except,
    /// A `finally`.
    Finally,
    /// A `with` whose manager suppresses exceptions, such as `contextlib.suppress`.
    Suppress,
}

/// What becomes of an exception in a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Every way through the handler raises, this exception or another.
    Raises,
    /// Some do and some do not.
    MayRaise,
    /// None does, as far as its instructions tell.
    GoesOn,
}

/// An exception handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handler {
    /// What it is.
    pub kind: HandlerKind,
    /// The line of its `except`, `finally` or `with`. Without the source, that of a `finally` is
    /// the line of its first statement, and one that begins with `return`, `break` or `continue`
    /// looks like a bare `except`.
    pub line: u32,
    /// Whether `asyncio.CancelledError` gets into it.
    pub catches_cancel: bool,
    /// What becomes of it there.
    pub ending: Ending,
}

impl Handler {
    /// Whether its body raises on every way, as far as can be told.
    pub fn reraises(&self) -> bool {
        self.ending == Ending::Raises
    }

    /// Whether it may take in a `CancelledError` and go on.
    pub fn may_eat(&self) -> bool {
        self.catches_cancel && self.ending != Ending::Raises
    }
}

/// The handler that is most likely to have eaten a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eater {
    /// The function it is in.
    pub function: Arc<str>,
    /// The file of that function.
    pub file: Arc<str>,
    /// The line of its `except`, `finally` or `with`.
    pub line: u32,
    /// What it is.
    pub kind: HandlerKind,
    /// Whether it is around the present await, never raises, leads back to here and is not a
    /// library's; else it is only the likeliest one of those that could have done it.
    pub is_sure: bool,
}

/// Gives the text of a source file, if it can be read.
pub type Source<'s> = &'s dyn Fn(&str) -> Option<Arc<str>>;

/// Where an expression takes a value from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Root {
    /// Global or built-in, by the number of its name.
    Global(u32),
    /// A variable of the function.
    Local(u32),
    /// A variable in a cell.
    Cell(u32),
}

/// `root.attribute.attribute`
#[derive(Debug, Clone)]
pub(super) struct Path {
    /// The instruction that takes the first value.
    pub at: usize,
    pub root: Root,
    pub attributes: Vec<u32>,
}

/// What a clause catches.
#[derive(Debug)]
enum Wants {
    /// Everything: a bare `except` or a `finally`.
    Everything,
    /// What an expression names.
    Named(Vec<Path>),
    /// What the manager of a `with` suppresses.
    Context,
}

/// An `except` or `finally` clause, or the end of a `with`.
#[derive(Debug)]
struct Clause {
    wants: Wants,
    kind: HandlerKind,
    /// An instruction on its line.
    on: usize,
    outcome: Outcome,
}

/// A function in which names are looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'f> {
    /// Its code object.
    pub code: Address,
    /// Its qualified name, where the code object has none.
    pub qualname: Address,
    /// Its global variables.
    pub globals: Option<Address>,
    /// Its frame, unless it is not running.
    pub frame: Option<&'f RawFrame>,
}

/// A handler as it was found in a function.
#[derive(Debug)]
struct Found {
    handler: Handler,
    /// Where it forgets the exception.
    leaves: Vec<usize>,
}

/// A handler that may have eaten a cancellation, the best first.
type Candidate = (Rank, Eater);

/// How likely it is: the smaller, the likelier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_library: bool,
    guess: Guess,
    /// Counted from the innermost frame.
    frame: usize,
    /// How many lines before the present one.
    lines: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Guess {
    /// Around the present await, and leads back to it.
    Around,
    /// The same, but it may raise as well.
    AroundPerhaps,
    /// One that was passed before.
    Before,
    /// One that was passed before and may raise as well.
    BeforePerhaps,
    /// One of a coroutine function that was called before.
    Called,
    /// One of those that may raise as well.
    CalledPerhaps,
}

impl Reader<'_> {
    /// The handlers whose protected piece of code has the current instruction of `frame` in it,
    /// innermost first.
    ///
    /// # Errors
    /// When the frame or its code cannot be read, or its lines are traced (from 3.12 on).
    pub fn handlers(&self, frame: &RawFrame, source: Source<'_>) -> Read<Vec<Handler>> {
        let found = self.found_around(frame, source, MAX_DEPTH)?;
        Ok(found.into_iter().map(|found| found.handler).collect())
    }

    /// The other handlers of the function of `frame` through which it can have come to the
    /// current instruction, in the order of the code.
    ///
    /// # Errors
    /// When the frame or its code cannot be read, or its lines are traced (from 3.12 on).
    pub fn other_handlers(&self, frame: &RawFrame, source: Source<'_>) -> Read<Vec<Handler>> {
        let found = self.found_before(frame, source)?;
        Ok(found.into_iter().map(|found| found.handler).collect())
    }

    /// The handler that is most likely to have eaten a cancellation of a task that waits in
    /// `chain`, outermost frame first.
    ///
    /// User code comes before libraries, what is around the present await before what was passed
    /// earlier and that before what may have been called earlier, and inner frames before outer
    /// ones.
    pub fn cancel_eater(&self, chain: &[RawFrame], source: Source<'_>) -> Option<Eater> {
        let mut best: Option<Candidate> = None;
        let mut is_stopped = false;
        for (depth, (index, frame)) in chain.iter().enumerate().rev().enumerate() {
            let outer = chain.get(..index).unwrap_or_default();
            // A frame that cannot be read tells nothing; others may.
            let mut candidates =
                self.candidates(frame, outer, depth, &mut is_stopped, source).unwrap_or_default();
            candidates.extend(self.called(frame, chain, depth, source).unwrap_or_default());
            for candidate in candidates {
                if best.as_ref().is_none_or(|(rank, _)| candidate.0 < *rank) {
                    best = Some(candidate);
                }
            }
        }
        best.map(|(_, eater)| eater)
    }

    /// The handlers of one frame that may have eaten a cancellation; `outer` are the frames that
    /// wait for it. `is_stopped` tells whether a handler further in lets nothing through.
    fn candidates(
        &self,
        frame: &RawFrame,
        outer: &[RawFrame],
        depth: usize,
        is_stopped: &mut bool,
        source: Source<'_>,
    ) -> Read<Vec<Candidate>> {
        let location = self.site(frame.code, frame.lasti, frame.qualname)?.location;
        let code = self.code(frame.code)?;
        let flow = self.flow(&code)?;
        let present = u64::try_from(frame.lasti).ok().and_then(|lasti| flow.index_of(lasti));
        let Some(present) = present else { return Ok(Vec::new()) };
        let line = location.line.unwrap_or(0);
        let mut candidates = Vec::new();
        let mut add = |handler: Handler, guess: Guess| {
            candidates.push(candidate(handler, &location.function, &code, (guess, depth, line)));
        };
        for found in self.found_around(frame, source, MAX_DEPTH)? {
            if !found.handler.catches_cancel {
                continue;
            }
            let (reached, returns) = flow.reach(&found.leaves, false);
            let leads_back = reached.get(present) == Some(&true)
                || (returns || self.is_iterated(frame)) && self.comes_back(outer);
            match found.handler.ending {
                Ending::GoesOn if leads_back && !*is_stopped => add(found.handler, Guess::Around),
                Ending::GoesOn | Ending::MayRaise if leads_back => {
                    add(found.handler, Guess::AroundPerhaps);
                }
                _ => {}
            }
            *is_stopped |= found.handler.ending == Ending::GoesOn;
        }
        for found in self.found_before(frame, source)? {
            match found.handler.ending {
                _ if !found.handler.catches_cancel => {}
                Ending::GoesOn => add(found.handler, Guess::Before),
                Ending::MayRaise => add(found.handler, Guess::BeforePerhaps),
                Ending::Raises => {}
            }
        }
        Ok(candidates)
    }

    /// The handlers of coroutine functions that the function of a frame has called before and
    /// that are not in `chain` now.
    fn called(
        &self,
        frame: &RawFrame,
        chain: &[RawFrame],
        depth: usize,
        source: Source<'_>,
    ) -> Read<Vec<Candidate>> {
        let code = self.code(frame.code)?;
        let mut candidates = Vec::new();
        if code.place.is_library() {
            return Ok(candidates);
        }
        let flow = self.flow(&code)?;
        let present = u64::try_from(frame.lasti).ok().and_then(|lasti| flow.index_of(lasti));
        let Some(present) = present else { return Ok(candidates) };
        let mut seen: Vec<Address> = chain.iter().map(|frame| frame.code).collect();
        let paths = self.paths(flow, 0, flow.instructions.len());
        for path in paths.into_iter().take(MAX_CALLED) {
            let Some(value) = self.resolve(self.scope(frame), &path) else { continue };
            let Some(scope) = self.coroutine_function(value) else { continue };
            if seen.contains(&scope.code)
                || flow.reach(&[path.at], true).0.get(present) != Some(&true)
            {
                continue;
            }
            seen.push(scope.code);
            let Ok(code) = self.code(scope.code) else { continue };
            if code.place.is_library() {
                continue;
            }
            let function = self.site(scope.code, 0, scope.qualname)?.location;
            for found in self.found_in(scope, &code, &[], source)? {
                let guess = match found.handler.ending {
                    Ending::GoesOn => Guess::Called,
                    Ending::MayRaise => Guess::CalledPerhaps,
                    Ending::Raises => continue,
                };
                if found.handler.catches_cancel {
                    let rank = (guess, depth, 0);
                    candidates.push(candidate(found.handler, &function.function, &code, rank));
                }
            }
        }
        Ok(candidates)
    }

    /// The coroutine function that a value is or is bound to.
    fn coroutine_function(&self, value: Address) -> Option<Scope<'static>> {
        /// `CO_COROUTINE` (`Include/cpython/code.h`).
        const COROUTINE: u32 = 0x80;
        let function = match self.kind_of(value).ok()? {
            Kind::Function => value,
            Kind::Method => self.pointer(value.offset(self.layout.small.method_func)).ok()??,
            _ => return None,
        };
        if !self.is_kind(function, Kind::Function) {
            return None;
        }
        let fields = &self.layout.function;
        let code = self.pointer(function.offset(fields.code)).ok()??;
        if self.memory.u32(code.offset(self.layout.code.flags)).ok()? & COROUTINE == 0 {
            return None;
        }
        let globals = self.pointer(function.offset(fields.globals)).ok()?;
        let has_own = self.layout.code.qualname.is_some();
        let qualname = self.memory.pointer(function.offset(fields.qualname)).ok()?;
        let qualname = if has_own { Address::NULL } else { qualname };
        Some(Scope { code, qualname, globals, frame: None })
    }

    /// Whether the innermost of `frames` comes back to what it awaits now once that is done,
    /// itself or by one of the frames that wait for it.
    fn comes_back(&self, frames: &[RawFrame]) -> bool {
        for frame in frames.iter().rev() {
            let Ok(code) = self.code(frame.code) else { return false };
            let Ok(flow) = self.flow(&code) else { return false };
            let present = u64::try_from(frame.lasti).ok().and_then(|lasti| flow.index_of(lasti));
            let Some(present) = present else { return false };
            let (reached, returns) = flow.reach(&flow.after(present), false);
            if reached.get(present) == Some(&true) {
                return true;
            }
            if !returns && !self.is_iterated(frame) {
                return false;
            }
        }
        false
    }

    /// Whether a frame gives a value to its caller whenever it yields.
    fn is_iterated(&self, frame: &RawFrame) -> bool {
        !frame.generator.is_null() && self.is_kind(frame.generator, Kind::AsyncGenerator)
    }

    fn found_around(&self, frame: &RawFrame, source: Source<'_>, depth: usize) -> Read<Vec<Found>> {
        let code = self.code(frame.code)?;
        let flow = self.flow(&code)?;
        let mut all = Vec::new();
        for Around { handler, depth: values } in self.around(frame, &code)? {
            let Some(handler) = flow.index_of(handler) else { continue };
            let clauses = self.clauses(flow, handler);
            let suppresses = || {
                let manager = self.manager_at(frame, &code, values);
                manager.is_some_and(|manager| self.suppresses(manager, depth))
            };
            all.extend(self.judge(self.scope(frame), &code, clauses, suppresses, source)?);
        }
        Ok(all)
    }

    fn found_before(&self, frame: &RawFrame, source: Source<'_>) -> Read<Vec<Found>> {
        let code = self.code(frame.code)?;
        let flow = self.flow(&code)?;
        let present = u64::try_from(frame.lasti).ok().and_then(|lasti| flow.index_of(lasti));
        let Some(present) = present else { return Ok(Vec::new()) };
        let around = self.around(frame, &code)?;
        let around: Vec<_> =
            around.into_iter().filter_map(|around| flow.index_of(around.handler)).collect();
        let mut found = self.found_in(self.scope(frame), &code, &around, source)?;
        found.retain(|found| flow.reach(&found.leaves, true).0.get(present) == Some(&true));
        Ok(found)
    }

    /// The handlers of a function, except those that begin at `except`.
    fn found_in(
        &self,
        scope: Scope<'_>,
        code: &Code,
        except: &[usize],
        source: Source<'_>,
    ) -> Read<Vec<Found>> {
        let flow = self.flow(code)?;
        let mut all = Vec::new();
        for handler in flow.handlers() {
            if except.contains(&handler) || !flow.protects_await(handler) {
                continue;
            }
            let clauses = self.clauses(flow, handler);
            let suppresses = || self.names_suppress(scope, flow, handler);
            all.extend(self.judge(scope, code, clauses, suppresses, source)?);
        }
        Ok(all)
    }

    /// What the clauses of one `try` or `with` do with a `CancelledError`.
    fn judge(
        &self,
        scope: Scope<'_>,
        code: &Code,
        clauses: Vec<Clause>,
        suppresses: impl Fn() -> bool,
        source: Source<'_>,
    ) -> Read<Vec<Found>> {
        let flow = self.flow(code)?;
        let mut found = Vec::new();
        let mut is_caught = false;
        for clause in clauses {
            let catches = match &clause.wants {
                Wants::Everything => true,
                Wants::Named(paths) => paths.iter().any(|path| self.is_cancel_path(scope, path)),
                Wants::Context if suppresses() => true,
                Wants::Context => continue,
            };
            let ending = match (clause.outcome.leaves.is_empty(), clause.outcome.raises) {
                (true, _) => Ending::Raises,
                // It raises unless the manager suppresses.
                (false, true) if clause.kind != HandlerKind::Suppress => Ending::MayRaise,
                (false, _) => Ending::GoesOn,
            };
            let Some(line) = self.line_of(scope, flow, clause.on) else { continue };
            let (kind, line) = match source(&code.place.file) {
                Some(text) => clause_line(&text, clause.kind, line),
                None => (clause.kind, line),
            };
            let catches_cancel = catches && !is_caught;
            is_caught |= catches;
            let handler = Handler { kind, line, catches_cancel, ending };
            found.push(Found { handler, leaves: clause.outcome.leaves });
        }
        Ok(found)
    }

    /// The line of an instruction.
    fn line_of(&self, scope: Scope<'_>, flow: &Flow, index: usize) -> Option<u32> {
        let at = i64::try_from(flow.at(index)?).ok()?;
        self.site(scope.code, at, scope.qualname).ok()?.location.line
    }

    /// The clauses of the handler that begins at `handler`; none for one that the compiler made
    /// on its own.
    fn clauses(&self, flow: &Flow, handler: usize) -> Vec<Clause> {
        let mut at = handler;
        let is_table = self.layout.code.exception_table.is_some();
        if is_table {
            if flow.op(at) != Some(Op::PushExcInfo) {
                return Vec::new();
            }
            at += 1;
        }
        if flow.op(at) == Some(Op::WithExceptStart) {
            // Up to 3.9 the line is that of the body's last statement.
            let on = if is_table { handler } else { flow.first_protected(handler).unwrap_or(at) };
            let (wants, kind) = (Wants::Context, HandlerKind::Suppress);
            return vec![Clause { wants, kind, on, outcome: flow.outcome(at) }];
        }
        if flow.op(at) == Some(Op::EndAsyncFor) || is_name_cleanup(flow, at) {
            return Vec::new();
        }
        let mut clauses = Vec::new();
        while clauses.len() < MAX_CLAUSES {
            if let Some(matching) = self.matching(flow, at) {
                let mut outcome = flow.outcome(matching.body);
                // What `except*` raises in the end is what no clause wanted.
                outcome.raises &= !matching.is_group || outcome.leaves.is_empty();
                let wants = Wants::Named(matching.paths);
                clauses.push(Clause { wants, kind: HandlerKind::Except, on: matching.on, outcome });
                match matching.next {
                    Some(next) => at = next,
                    None => break,
                }
                continue;
            }
            let is_bare = flow.op(at) == Some(Op::PopTop);
            if is_bare || clauses.is_empty() {
                let kind = if is_bare { HandlerKind::Except } else { HandlerKind::Finally };
                let outcome = flow.outcome(at);
                clauses.push(Clause { wants: Wants::Everything, kind, on: at, outcome });
            }
            break;
        }
        clauses
    }

    /// Whether an expression is a class that catches `asyncio.CancelledError`, or a tuple with
    /// one.
    fn is_cancel_path(&self, scope: Scope<'_>, path: &Path) -> bool {
        if let Some(value) = self.resolve(scope, path) {
            return self.is_cancel_class(value);
        }
        // Not there any more, or the result of a call: by its name.
        let name = match path.attributes.last() {
            Some(&name) => self.global_name(scope, name),
            None => self.root_name(scope, path.root),
        };
        name.is_some_and(|name| {
            matches!(&*name, "CancelledError" | "BaseException")
                || name::gives_cancelled_class(&name)
        })
    }

    /// Whether the value of an `except` lets `asyncio.CancelledError` in.
    fn is_cancel_class(&self, at: Address) -> bool {
        match self.kind_of(at) {
            Ok(Kind::Tuple) => {
                let classes = self.tuple(at).unwrap_or_default();
                classes
                    .into_iter()
                    .take(MAX_CLASSES)
                    .any(|class| self.is_kind(class, Kind::Type) && self.is_cancel_class(class))
            }
            Ok(Kind::Type) => self.class(at).is_ok_and(|class| {
                if class.is_python() {
                    &*self.class_name(&class) == "asyncio.exceptions.CancelledError"
                } else {
                    &*class.name == "BaseException"
                }
            }),
            // The function that anyio has for it, not called by us.
            Ok(Kind::Function) => {
                self.function_name(at).is_ok_and(|name| name::gives_cancelled_class(&name))
            }
            _ => false,
        }
    }

    /// The value of an expression, as the function would find it.
    fn resolve(&self, scope: Scope<'_>, path: &Path) -> Option<Address> {
        let value = match path.root {
            Root::Global(name) => {
                let name = self.global_name(scope, name)?;
                self.dict_get(scope.globals?, &name).ok()??
            }
            Root::Local(_) | Root::Cell(_) => {
                let name = self.root_name(scope, path.root)?;
                self.local(scope.frame?, &name).ok()??
            }
        };
        self.attribute_of(scope, value, &path.attributes)
    }

    /// The attribute of an attribute of a value, by the numbers of their names.
    pub(super) fn attribute_of(
        &self,
        scope: Scope<'_>,
        mut value: Address,
        attributes: &[u32],
    ) -> Option<Address> {
        for &attribute in attributes {
            let name = self.global_name(scope, attribute)?;
            value = match self.kind_of(value).ok()? {
                Kind::Module => {
                    let dict = self.pointer(value.offset(self.layout.small.module_dict)).ok()??;
                    self.dict_get(dict, &name).ok()??
                }
                Kind::Type => self.dict_get(self.class(value).ok()?.dict, &name).ok()??,
                _ => match self.attribute(value, &name).ok()? {
                    Some(own) => own,
                    None => self.class_attribute(value, &name)?,
                },
            };
        }
        Some(value)
    }

    /// What the instructions from `begin` to `end` load.
    pub(super) fn paths(&self, flow: &Flow, begin: usize, end: usize) -> Vec<Path> {
        let opcodes = &self.layout.opcodes;
        let mut paths: Vec<Path> = Vec::new();
        let instructions = flow.instructions.get(begin..end).unwrap_or_default();
        for (index, one) in (begin..).zip(instructions) {
            let root = match one.op {
                Some(Op::LoadGlobal) => Root::Global(one.argument >> opcodes.global_shift),
                Some(Op::LoadName) => Root::Global(one.argument),
                Some(Op::LoadFast) => Root::Local(one.argument),
                Some(Op::LoadDeref) => Root::Cell(one.argument),
                Some(Op::LoadAttr) => {
                    if let Some(path) = paths.last_mut() {
                        path.attributes.push(one.argument >> opcodes.attribute_shift);
                    }
                    continue;
                }
                _ => continue,
            };
            paths.push(Path { at: index, root, attributes: Vec::new() });
        }
        paths
    }

    /// The `except` clause that begins at `at`, unless there is none or it is bare.
    fn matching(&self, flow: &Flow, at: usize) -> Option<Matching> {
        /// `exception match` among the comparisons of 3.8.
        const EXCEPTION_MATCH: u32 = 10;
        let (end, is_branch) = (at..at + MAX_EXPRESSION).find_map(|index| {
            let one = flow.instructions.get(index)?;
            match one.op {
                Some(Op::CheckExcMatch) => Some(Some((index, false))),
                Some(Op::MatchBranch) => Some(Some((index, true))),
                Some(Op::Compare) if one.argument == EXCEPTION_MATCH => Some(Some((index, false))),
                None
                | Some(
                    Op::LoadConst
                    | Op::LoadGlobal
                    | Op::LoadName
                    | Op::LoadAttr
                    | Op::LoadFast
                    | Op::LoadDeref
                    | Op::Copy,
                ) => None,
                // An expression has none of the others: this is a statement.
                Some(_) => Some(None),
            }
        })??;
        let is_branching =
            |&index: &usize| matches!(flow.op(index), Some(Op::BranchForward | Op::BranchAbsolute));
        // `except*` makes a copy of what matches before it branches.
        let branch = if is_branch { end } else { (end + 1..end + 4).find(is_branching)? };
        let is_group = branch > end + 1;
        let next = flow.target(branch).map(|next| next + usize::from(is_group));
        let on = (at..end).find(|&index| flow.op(index).is_some_and(|op| op != Op::Copy));
        let paths = self.paths(flow, at, end);
        Some(Matching { paths, on: on.unwrap_or(at), body: branch + 1, next, is_group })
    }

    /// What an object has from its class or one of the bases that hold its layout.
    pub(super) fn class_attribute(&self, at: Address, name: &str) -> Option<Address> {
        let mut class = self.class_of(at).ok()?;
        for _ in 0..MAX_BASES {
            if let Some(found) = self.dict_get(class.dict, name).ok()? {
                return Some(found);
            }
            class = self.class(class.base?).ok()?;
        }
        None
    }

    /// Where the names of a frame's function are looked up.
    fn scope<'f>(&self, frame: &'f RawFrame) -> Scope<'f> {
        let globals = match self.layout.frame {
            Frame::Object(fields) => fields.globals,
            Frame::Interpreter(fields) => fields.globals,
        };
        let globals = self.pointer(frame.at.offset(globals)).ok().flatten();
        Scope { code: frame.code, qualname: frame.qualname, globals, frame: Some(frame) }
    }

    pub(super) fn global_name(&self, scope: Scope<'_>, index: u32) -> Option<Arc<str>> {
        self.name_of_code(scope.code, index)
    }

    /// The name with this number among those of globals and attributes of a code object.
    pub(super) fn name_of_code(&self, code: Address, index: u32) -> Option<Arc<str>> {
        let names = code.offset(self.layout.code.global_names);
        let names = self.tuple(self.pointer(names).ok()??).ok()?;
        self.name(*names.get(usize::try_from(index).ok()?)?).ok()
    }

    pub(super) fn root_name(&self, scope: Scope<'_>, root: Root) -> Option<Arc<str>> {
        let index = match root {
            Root::Global(index) => return self.global_name(scope, index),
            Root::Local(index) | Root::Cell(index) => usize::try_from(index).ok()?,
        };
        let code = self.code(scope.code).ok()?;
        let names = self.local_names(&code);
        let is_own_count = self.layout.code.exception_table.is_none();
        let first = match root {
            // Up to 3.10 cells are counted by themselves.
            Root::Cell(_) if is_own_count => names.iter().filter(|(_, is_cell)| !is_cell).count(),
            _ => 0,
        };
        names.get(first + index).map(|(name, _)| Arc::clone(name))
    }

    /// Whether a context manager suppresses `asyncio.CancelledError`, as far as it is known what
    /// it does.
    fn suppresses(&self, manager: Address, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        let Ok(class) = self.class_of(manager) else { return false };
        if !class.is_python() {
            return false;
        }
        if &*self.class_name(&class) == "contextlib.suppress" {
            let exceptions = self.attribute(manager, "_exceptions");
            return exceptions.is_ok_and(|found| found.is_some_and(|at| self.is_cancel_class(at)));
        }
        if self.is_subclass_named(&class, "_GeneratorContextManagerBase") {
            let Ok(Some(generator)) = self.attribute(manager, "gen") else { return false };
            let Ok(suspended) = self.generator(generator) else { return false };
            let (Some(frame), Progress::Suspended) = (suspended.frame, suspended.progress) else {
                return false;
            };
            let found = self.found_around(&frame, &|_| None, depth).unwrap_or_default();
            let caught = found.iter().find(|found| {
                found.handler.catches_cancel && found.handler.ending != Ending::Raises
            });
            return caught.is_some_and(|found| found.handler.ending == Ending::GoesOn);
        }
        if self.is_subclass_named(&class, "_BaseExitStack") {
            let callbacks = self.exit_callbacks(manager).unwrap_or_default();
            return callbacks.into_iter().any(|callback| self.suppresses(callback, depth));
        }
        false
    }

    /// Whether the `with` that a handler belongs to says `contextlib.suppress` and a class that
    /// catches `asyncio.CancelledError`; its manager is gone.
    fn names_suppress(&self, scope: Scope<'_>, flow: &Flow, handler: usize) -> bool {
        let Some(first) = flow.first_protected(handler) else { return false };
        let is_table = self.layout.code.exception_table.is_some();
        let Some(line) = self.line_of(scope, flow, if is_table { handler } else { first }) else {
            return false;
        };
        let begin = (first.saturating_sub(MAX_EXPRESSION)..first)
            .find(|&index| self.line_of(scope, flow, index) == Some(line));
        let Some(begin) = begin else { return false };
        let paths = self.paths(flow, begin, first);
        let is_suppress = |path: &Path| {
            let class = self.resolve(scope, path).filter(|&at| self.is_kind(at, Kind::Type));
            let class = class.and_then(|at| self.class(at).ok());
            class.is_some_and(|class| &*self.class_name(&class) == "contextlib.suppress")
        };
        paths.iter().any(is_suppress) && paths.iter().any(|path| self.is_cancel_path(scope, path))
    }
}

/// A clause that compares.
struct Matching {
    paths: Vec<Path>,
    /// An instruction on its line.
    on: usize,
    /// Where it goes on with an exception that it wants.
    body: usize,
    /// Where it goes on with another.
    next: Option<usize>,
    /// Whether this is an `except*`.
    is_group: bool,
}

/// A handler of `function` as a candidate; `rank` is how likely it is, the number of its frame,
/// and the line where that is now.
fn candidate(
    handler: Handler,
    function: &Arc<str>,
    code: &Code,
    rank: (Guess, usize, u32),
) -> Candidate {
    let (guess, frame, line) = rank;
    let is_library = code.place.is_library();
    let eater = Eater {
        function: Arc::clone(function),
        file: Arc::clone(&code.place.file),
        line: handler.line,
        kind: handler.kind,
        // Libraries hold a cancellation back for a while, as a group that waits for its tasks.
        is_sure: guess == Guess::Around && !is_library,
    };
    // One further down can only have been passed in an earlier round of a loop.
    let lines = line.checked_sub(handler.line).unwrap_or(u32::MAX - handler.line);
    (Rank { is_library, guess, frame, lines }, eater)
}

/// The keyword with which the statement or clause on a line begins.
fn keyword(line: &str) -> Option<HandlerKind> {
    let text = line.trim_start();
    let begins = |word: &str| {
        text.strip_prefix(word).is_some_and(|rest| {
            !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_')
        })
    };
    if begins("except") {
        Some(HandlerKind::Except)
    } else if begins("finally") {
        Some(HandlerKind::Finally)
    } else if begins("with") || begins("async") {
        Some(HandlerKind::Suppress)
    } else {
        None
    }
}

/// Kind and line of the clause to which `line` belongs, by the source.
fn clause_line(source: &str, kind: HandlerKind, line: u32) -> (HandlerKind, u32) {
    let first = usize::try_from(line.saturating_sub(MAX_LINES_UP + 1)).unwrap_or(usize::MAX);
    let last = usize::try_from(line).unwrap_or(usize::MAX);
    let lines: Vec<&str> = source.lines().take(last).skip(first).collect();
    let is_context = kind == HandlerKind::Suppress;
    let fits = |found: HandlerKind| (found == HandlerKind::Suppress) == is_context;
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut limit = usize::MAX;
    for (up, text) in (0_u32..).zip(lines.into_iter().rev()) {
        if text.trim_start().is_empty() {
            continue;
        }
        match keyword(text).filter(|&found| fits(found)) {
            Some(found) if indent(text) < limit => return (found, line - up),
            _ if up == 0 => limit = indent(text),
            _ => {}
        }
    }
    (kind, line)
}

/// Whether this is what the compiler puts around the body of `except … as name` up to 3.10.
fn is_name_cleanup(flow: &Flow, at: usize) -> bool {
    flow.op(at) == Some(Op::LoadConst)
        && flow.op(at + 1) == Some(Op::Store)
        && matches!(flow.op(at + 3), Some(Op::Raise | Op::EndFinally))
}
