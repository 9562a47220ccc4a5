//! From the variables of a frame along a path to a value, as Python would go, but that nothing is
//! executed: through slots, instance dictionaries, plain attributes of classes, keys and items.

use std::sync::Arc;

use super::RawFrame;
use crate::known::work::{Path, Paths, Rule, Step};
use crate::memory::Address;
use crate::python::object::{Class, Kind, Read, Reader};

/// Base classes of one class.
const MAX_MRO: usize = 64;
/// Entries of a dictionary of which one is known by the beginning of its key.
const FEW_KEYS: u64 = 64;
/// Characters of a key.
const MAX_KEY: usize = 80;
/// How much of an object, and of a table of values, is read beforehand.
const OBJECT_LEN: u64 = 160;
const TABLE_LEN: u64 = 512;
/// What may lie before an object.
const BEFORE: u64 = 32;
/// The index of a `_tuplegetter`, the descriptor of a named tuple's field.
// 3.8-3.15: Modules/_collectionsmodule.c, _tuplegetterobject: [ head ; index: ssize ; doc: ptr ]
const TUPLEGETTER_INDEX: u64 = 16;

impl Reader<'_> {
    /// The rule by which the frames of a code object say what they are part of, if there is one.
    pub fn work_rule(&self, frame: &RawFrame) -> Option<Arc<Rule>> {
        let code = if frame.is_compiled() { None } else { self.code(frame.code).ok() }?;
        self.rule_of(&code)
    }

    /// The object that the work of a frame is about.
    ///
    /// # Errors
    /// When something on the way cannot be read.
    pub fn work_object(&self, frame: &RawFrame, rule: &Rule) -> Read<Option<Address>> {
        self.first_of(frame, None, rule.object())
    }

    /// What one of the paths leads to, from a frame or an object on.
    ///
    /// # Errors
    /// When something on the way cannot be read.
    pub fn followed(
        &self,
        frame: &RawFrame,
        object: Address,
        paths: &Paths,
    ) -> Read<Option<Address>> {
        self.first_of(frame, Some(object), paths.iter())
    }

    /// What paths lead to from each of some objects on, one step of all of them at a time.
    pub fn followed_each(&self, objects: &[Address], paths: &Paths) -> Vec<Read<Option<Address>>> {
        let mut found: Vec<Read<Option<Address>>> = vec![Ok(None); objects.len()];
        for path in paths.iter().filter(|path| path.local.is_none()) {
            let is_open = |(_, found): &(usize, &Read<Option<Address>>)| **found == Ok(None);
            let open = found.iter().enumerate().filter(is_open).map(|(i, _)| i);
            let mut open: Vec<(usize, Address)> =
                open.filter_map(|i| Some((i, *objects.get(i)?))).collect();
            let mut fail = |i: usize, problem| {
                if let Some(found) = found.get_mut(i) {
                    *found = Err(problem);
                }
                false
            };
            for step in &path.steps {
                self.prefetch_inside(open.iter().map(|(_, at)| *at));
                open.retain_mut(|(i, at)| match self.step(*at, step) {
                    Ok(Some(next)) => {
                        *at = next;
                        true
                    }
                    Ok(None) => false,
                    Err(problem) => fail(*i, problem),
                });
                self.memory.prefetch(open.iter().map(|(_, at)| (*at, BEFORE)));
                open.retain(|(i, at)| match self.kind_of(*at) {
                    Ok(kind) => kind != Kind::None,
                    Err(problem) => fail(*i, problem),
                });
            }
            for (i, at) in open {
                if let Some(found) = found.get_mut(i) {
                    *found = Ok(Some(at));
                }
            }
        }
        found
    }

    /// Reads what a step from some objects on will read, of all of them together.
    fn prefetch_inside(&self, objects: impl Iterator<Item = Address>) {
        let objects: Vec<Address> = objects.collect();
        self.memory.prefetch(objects.iter().map(|at| (at.before(BEFORE), BEFORE + OBJECT_LEN)));
        let inside = objects.iter().filter_map(|at| self.dict_or_values(*at).ok()?);
        let (dicts, mut tables): (Vec<_>, Vec<_>) = inside.partition(|(_, is_dict)| *is_dict);
        self.memory.prefetch(dicts.iter().map(|(at, _)| (*at, OBJECT_LEN)));
        for (dict, _) in dicts {
            let fields = [self.layout.dict.keys, self.layout.dict.values];
            let parts = fields.map(|field| self.pointer(dict.offset(field)).ok().flatten());
            tables.extend(parts.into_iter().flatten().map(|at| (at, false)));
        }
        self.memory.prefetch(tables.into_iter().map(|(at, _)| (at, TABLE_LEN)));
    }

    fn first_of<'p>(
        &self,
        frame: &RawFrame,
        object: Option<Address>,
        paths: impl Iterator<Item = &'p Path>,
    ) -> Read<Option<Address>> {
        for path in paths {
            let mut at = match &path.local {
                Some(name) => self.local(frame, name)?,
                None => object,
            };
            for step in &path.steps {
                let Some(from) = at.filter(|&at| !self.is_kind(at, Kind::None)) else { break };
                at = self.step(from, step)?;
            }
            if let Some(at) = at
                && self.kind_of(at)? != Kind::None
            {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn step(&self, at: Address, step: &Step) -> Read<Option<Address>> {
        let kind = self.kind_of(at)?;
        if kind == Kind::Weakref {
            let target = self.pointer(at.offset(self.layout.small.weakref_object))?;
            let target = target.filter(|&to| !self.is_kind(to, Kind::Weakref));
            return target.map_or(Ok(None), |to| self.step(to, step));
        }
        match step {
            Step::Attribute(name) => self.plain_attribute(at, name),
            Step::Key(key) if kind == Kind::Dict => self.dict_get(at, key),
            Step::KeyOf(start) if kind == Kind::Dict => {
                for (key, value) in self.dict(at, FEW_KEYS)? {
                    let is_str = self.kind_of(key)? == Kind::Str;
                    if is_str && self.name_str(key, MAX_KEY)?.starts_with(&**start) {
                        return Ok(Some(value));
                    }
                }
                Ok(None)
            }
            Step::Index(index) if matches!(kind, Kind::Tuple | Kind::List) => {
                let items = self.items_of(at)?;
                let index =
                    if *index < 0 { *index + items.len().cast_signed() as i64 } else { *index };
                Ok(usize::try_from(index).ok().and_then(|index| items.get(index).copied()))
            }
            Step::Owner => Ok(self.bound_to(at)),
            Step::Class => Ok(Some(self.class_of(at)?.at)),
            Step::Key(_) | Step::KeyOf(_) | Step::Index(_) => Ok(None),
        }
    }

    /// An attribute that is there without anything being called for it.
    fn plain_attribute(&self, at: Address, name: &str) -> Read<Option<Address>> {
        if let Some(value) = self.attribute(at, name)? {
            return Ok(Some(value));
        }
        let class = self.class_of(at)?;
        for base in self.bases(&class)? {
            let base = self.class(base)?;
            if base.dict.is_null() {
                continue;
            }
            let Some(value) = self.dict_get(base.dict, name)? else { continue };
            return self.plain_value(at, value);
        }
        Ok(None)
    }

    /// What an attribute of a class stands for in its instance at `at`: itself, if it is plain data.
    fn plain_value(&self, at: Address, value: Address) -> Read<Option<Address>> {
        let class = self.class_of(value)?;
        let is_field = &*class.name == "_collections._tuplegetter"
            || &*class.name == "collections._tuplegetter";
        if is_field && self.is_kind(at, Kind::Tuple) {
            let index = self.memory.u64(value.offset(TUPLEGETTER_INDEX))?;
            return Ok(usize::try_from(index)
                .ok()
                .and_then(|i| self.tuple(at).ok()?.get(i).copied()));
        }
        let is_plain = matches!(
            class.kind,
            Kind::None
                | Kind::Bool
                | Kind::Int
                | Kind::Float
                | Kind::Str
                | Kind::Bytes
                | Kind::Tuple
                | Kind::List
                | Kind::Dict
        );
        Ok(is_plain.then_some(value))
    }

    /// A class and its bases, in the order in which Python looks for attributes.
    fn bases(&self, class: &Class) -> Read<Vec<Address>> {
        let mro = self.pointer(class.at.offset(self.layout.class.mro))?;
        let Some(mro) = mro else { return Ok(vec![class.at]) };
        let mut all = self.tuple(mro)?;
        all.truncate(MAX_MRO);
        Ok(all)
    }
}
