//! What a callable does something with: the receivers of the methods that its code calls.
//!
//! `lambda task: self.slots.release()` has `self` in a cell, and gives `self.slots` back. What its
//! instructions load before a method's name tells the receiver, without running anything.

use rustc_hash::FxHashSet;

use super::RawFrame;
use super::handler::{Path, Root, Scope};
use crate::memory::Address;
use crate::python::object::{Kind, MAX_ITEMS, Reader};

/// Functions of one class.
const MAX_METHODS: usize = 500;

/// Who calls methods.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Caller<'f> {
    /// A function, a bound method or a partial call.
    Callable(Address),
    /// An object, by any method of its class.
    Object(Address),
    /// A suspended frame.
    Frame(&'f RawFrame),
}

/// How far the calls of one are followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Depth {
    /// Functions within functions.
    pub calls: usize,
    /// Functions in all.
    pub functions: usize,
}

/// A function with what it is called with, as far as that is known before.
struct Call<'f> {
    /// Null of a frame.
    function: Address,
    frame: Option<&'f RawFrame>,
    /// Its first arguments.
    bound: Vec<Address>,
    /// How many calls lie between it and the caller.
    depth: usize,
}

impl Reader<'_> {
    /// The objects whose methods somebody may call, of methods with such a name. What asyncio's own
    /// functions call is left out.
    pub(crate) fn receivers(
        &self,
        caller: Caller<'_>,
        is_wanted: &dyn Fn(&str) -> bool,
        within: Depth,
    ) -> Vec<Address> {
        let mut receivers = Vec::new();
        let mut seen = FxHashSet::default();
        let mut next = match caller {
            Caller::Callable(at) => self.call(at, 0).into_iter().collect(),
            Caller::Object(at) => self.methods(at),
            Caller::Frame(frame) => {
                let (function, bound) = (Address::NULL, Vec::new());
                vec![Call { function, frame: Some(frame), bound, depth: 0 }]
            }
        };
        while let Some(call) = next.pop() {
            if seen.len() < within.functions && seen.insert((call.function, call.bound.clone())) {
                let mut inner = self.look_through(&call, is_wanted, &mut receivers);
                inner.retain(|call| call.depth <= within.calls);
                next.extend(inner);
            }
        }
        receivers.sort_unstable();
        receivers.dedup();
        receivers
    }

    /// The calls of all methods of an object.
    fn methods<'f>(&self, at: Address) -> Vec<Call<'f>> {
        let mut calls = Vec::new();
        let mut next = self.class_of(at).ok();
        while let Some(class) = next.filter(|class| class.is_python() && calls.len() < MAX_METHODS)
        {
            let items = self.dict(class.dict, MAX_ITEMS).unwrap_or_default();
            let functions = items.into_iter().map(|(_, value)| value);
            let functions = functions.filter(|value| self.is_kind(*value, Kind::Function));
            calls.extend(functions.map(|function| Call {
                function,
                frame: None,
                bound: vec![at],
                depth: 0,
            }));
            next = class.base.and_then(|base| self.class(base).ok());
        }
        calls
    }

    /// The function that a callable calls in the end, and its first arguments.
    fn call<'f>(&self, callable: Address, depth: usize) -> Option<Call<'f>> {
        let small = &self.layout.small;
        if !self.is_kind(callable, Kind::Partial) {
            let function = self.function_of(callable)?;
            let bound = self.bound_to(callable).into_iter().collect();
            return Some(Call { function, frame: None, bound, depth });
        }
        // `partial(partial(f))` is folded by functools.
        let inner = self.pointer(callable.offset(small.partial_fn)).ok()??;
        let function = self.function_of(inner)?;
        let arguments = self.pointer(callable.offset(small.partial_args)).ok()??;
        let bound = self.bound_to(inner).into_iter().chain(self.tuple(arguments).ok()?).collect();
        Some(Call { function, frame: None, bound, depth })
    }

    /// Notes the receivers in one function, and gives the functions that it calls in turn.
    fn look_through<'f>(
        &self,
        call: &Call<'_>,
        is_wanted: &dyn Fn(&str) -> bool,
        receivers: &mut Vec<Address>,
    ) -> Vec<Call<'f>> {
        let fields = &self.layout.function;
        let field = |offset| self.pointer(call.function.offset(offset)).ok().flatten();
        let mut inner = Vec::new();
        let (code, globals) = match call.frame {
            Some(frame) => (Some(frame.code), self.globals(frame).ok()),
            None => (field(fields.code), field(fields.globals)),
        };
        let Some(code) = code.and_then(|at| self.code(at).ok()) else { return inner };
        if code.place.is_asyncio() {
            return inner;
        }
        let Ok(flow) = self.flow(&code) else { return inner };
        // Of a frame what it has yet to do.
        let ahead = call.frame.map(|frame| self.ahead(frame).unwrap_or_default());
        let ahead: Option<FxHashSet<u64>> =
            ahead.map(|ranges| ranges.iter().map(|range| range.start).collect());
        let is_ahead = |path: &Path| {
            let start = flow.instructions.get(path.at).map(|one| one.start);
            ahead.as_ref().is_none_or(|ahead| start.is_some_and(|start| ahead.contains(&start)))
        };
        let scope = Scope { code: code.at, qualname: Address::NULL, globals, frame: call.frame };
        let mut paths = self.paths(flow, 0, flow.instructions.len());
        paths.retain(is_ahead);
        for path in paths {
            for value in self.roots(scope, call, &path) {
                let Some((&last, before)) = path.attributes.split_last() else {
                    inner.extend(self.call(value, call.depth + 1));
                    continue;
                };
                let Some(name) = self.global_name(scope, last) else { continue };
                let Some(owner) = self.attribute_of(scope, value, before) else { continue };
                if is_wanted(&name) {
                    receivers.push(owner);
                } else if self.is_kind(owner, Kind::Other)
                    && let Some(function) = self.class_attribute(owner, &name)
                    && self.is_kind(function, Kind::Function)
                {
                    let (bound, depth) = (vec![owner], call.depth + 1);
                    inner.push(Call { function, frame: None, bound, depth });
                }
            }
        }
        inner
    }

    /// What the first part of an expression may stand for.
    fn roots(&self, scope: Scope<'_>, call: &Call<'_>, path: &Path) -> Vec<Address> {
        let fields = &self.layout.function;
        let name = || self.root_name(scope, path.root);
        let value = match (path.root, call.frame) {
            (Root::Global(_), _) => {
                name().and_then(|name| self.dict_get(scope.globals?, &name).ok()?)
            }
            (_, Some(frame)) => name().and_then(|name| self.local(frame, &name).ok()?),
            (Root::Cell(_), None) => {
                name().and_then(|name| self.closure(call.function, &name).ok()?)
            }
            (Root::Local(index), None) => {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                if index >= call.bound.len() {
                    // Which of the other arguments have defaults their number would tell.
                    let defaults = self.pointer(call.function.offset(fields.defaults));
                    let defaults = defaults.ok().flatten();
                    return defaults.and_then(|at| self.tuple(at).ok()).unwrap_or_default();
                }
                call.bound.get(index).copied()
            }
        };
        value.into_iter().collect()
    }
}
