//! Functions, methods and other callables: their names and closures.

use std::sync::Arc;

use super::{Kind, Read, Reader};
use crate::memory::Address;

impl Reader<'_> {
    /// `__qualname__` of the function at `at`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn function_name(&self, at: Address) -> Read<Arc<str>> {
        let name = at.offset(self.layout.function.qualname);
        self.name(self.must_pointer(name, "function")?)
    }

    /// The value of a free variable of the function at `at`.
    ///
    /// # Errors
    /// When it cannot be read; a variable that is not there or unbound is `None`.
    pub fn closure(&self, at: Address, name: &str) -> Read<Option<Address>> {
        let fields = &self.layout.function;
        let Some(closure) = self.pointer(at.offset(fields.closure))? else { return Ok(None) };
        let cells = self.tuple(closure)?;
        let code = self.code(self.must_pointer(at.offset(fields.code), "function")?)?;
        // Free variables are the last of a function's variables, in the order of the cells.
        let names = self.local_names(&code);
        let free = names.len().saturating_sub(cells.len());
        let mut free = names.iter().skip(free).zip(cells);
        match free.find(|((free, _), _)| &**free == name) {
            Some((_, cell)) if self.is_kind(cell, Kind::Cell) => {
                self.pointer(cell.offset(self.layout.small.cell_ref))
            }
            _ => Ok(None),
        }
    }

    /// The cells with the free variables of the function at `at`.
    pub(crate) fn cells(&self, at: Address) -> Vec<Address> {
        let closure = self.pointer(at.offset(self.layout.function.closure)).ok().flatten();
        closure.and_then(|closure| self.tuple(closure).ok()).unwrap_or_default()
    }

    /// The object that a method is bound to.
    pub fn bound_to(&self, method: Address) -> Option<Address> {
        let small = &self.layout.small;
        let owner = match self.kind_of(method).ok()? {
            Kind::Method => small.method_self,
            Kind::Builtin => small.builtin_self,
            _ => return None,
        };
        self.pointer(method.offset(owner)).ok()?
    }

    /// The function behind a function or bound method; `None` for any other object.
    pub fn function_of(&self, at: Address) -> Option<Address> {
        let function = match self.kind_of(at).ok()? {
            Kind::Function => return Some(at),
            Kind::Method => self.pointer(at.offset(self.layout.small.method_func)).ok()??,
            _ => return None,
        };
        self.is_kind(function, Kind::Function).then_some(function)
    }

    /// A callable in words: `time.sleep`, `Server._on_tick`, `partial(handler)`.
    pub fn callable_name(&self, at: Address) -> Option<String> {
        let small = &self.layout.small;
        match self.kind_of(at).ok()? {
            Kind::Function => Some(self.function_name(at).ok()?.to_string()),
            Kind::Method => {
                let function = self.pointer(at.offset(small.method_func)).ok()??;
                match self.kind_of(function).ok()? {
                    Kind::Function => Some(self.function_name(function).ok()?.to_string()),
                    Kind::Builtin => self.builtin_name(function),
                    _ => None,
                }
            }
            Kind::Builtin => self.builtin_name(at),
            Kind::Partial => {
                // partial(partial(f)) is folded by functools: one level is enough.
                let function = self.pointer(at.offset(small.partial_fn)).ok()??;
                let name = match self.kind_of(function).ok()? {
                    Kind::Partial => None,
                    _ => self.callable_name(function),
                };
                Some(format!("partial({})", name.as_deref().unwrap_or("…")))
            }
            Kind::Type => {
                let class = self.class(at).ok()?;
                Some(self.class_name(&class).to_string())
            }
            _ => {
                let class = self.class_of(at).ok()?;
                Some(format!("{} object", self.class_name(&class)))
            }
        }
    }

    /// A built-in function with its module or class.
    fn builtin_name(&self, at: Address) -> Option<String> {
        let small = &self.layout.small;
        // PyMethodDef: [ name: ptr, … ]
        let definition = self.pointer(at.offset(small.builtin_ml)).ok()??;
        let name = self.c_string(self.pointer(definition).ok()??).ok()?;
        let owner = self.pointer(at.offset(small.builtin_self)).ok().flatten();
        let Some(owner) = owner else { return Some(name) };
        let prefix = match self.kind_of(owner).ok()? {
            Kind::Module => {
                let dict = self.pointer(owner.offset(small.module_dict)).ok()??;
                let module = self.dict_get(dict, "__name__").ok()??;
                self.name(module).ok()?.to_string()
            }
            Kind::Type => self.class(owner).ok()?.name.to_string(),
            _ => self.class_of(owner).ok()?.name.to_string(),
        };
        Some(if prefix == "builtins" { name } else { format!("{prefix}.{name}") })
    }
}
