//! The clock of a loop: what the times mean that it computes with.
//!
//! asyncio's own `BaseEventLoop.time` is the machine's `CLOCK_MONOTONIC`, which we read ourselves. A
//! program may give its loop another one, with an offset, by the calendar, of a test: then nothing
//! is known of how long ago or how far off any of its times is.

use crate::known::purpose::{Loop, Purpose};
use crate::memory::Address;
use crate::python::object::{Kind, Reader};

/// Classes that are searched for the method.
const MAX_CLASSES: usize = 64;

impl Reader<'_> {
    /// Whether the loop at `at` computes with the machine's monotonic clock for all that can be read.
    pub fn has_machine_clock(&self, at: Address) -> bool {
        self.clock_is_machines(at).unwrap_or(false)
    }

    fn clock_is_machines(&self, at: Address) -> Option<bool> {
        let class = self.class_of(at).ok()?;
        // One that was set on the loop itself goes first.
        if self.attribute(at, "time").ok()?.is_some() {
            return Some(false);
        }
        let order = self.pointer(class.at.offset(self.layout.class.mro)).ok()??;
        for at in self.tuple(order).ok()?.into_iter().take(MAX_CLASSES) {
            let class = self.class(at).ok()?;
            // Those of built-in classes are elsewhere from 3.12 on; none of them has a clock.
            if class.dict.is_null() {
                continue;
            }
            if let Some(method) = self.dict_get(class.dict, "time").ok()? {
                return Some(match class.kind {
                    // uvloop's is libuv's.
                    Kind::UvLoop if !class.is_python() => true,
                    _ => self.is_asyncios_clock(method)?,
                });
            }
        }
        None
    }

    /// Whether a method is `BaseEventLoop.time`, and what it calls is what it was.
    fn is_asyncios_clock(&self, method: Address) -> Option<bool> {
        if !self.is_kind(method, Kind::Function) {
            return Some(false);
        }
        let fields = &self.layout.function;
        let code = self.code(self.pointer(method.offset(fields.code)).ok()??).ok()?;
        if code.place.purpose() != Some(Purpose::Loop(Loop::Time)) {
            return Some(false);
        }
        // `return time.monotonic()`; whoever freezes the time for a test replaces that.
        let globals = self.pointer(method.offset(fields.globals)).ok()??;
        let module = self.dict_get(globals, "time").ok()??;
        if !self.is_kind(module, Kind::Module) {
            return Some(false);
        }
        let names = self.pointer(module.offset(self.layout.small.module_dict)).ok()??;
        let monotonic = self.dict_get(names, "monotonic").ok()??;
        Some(self.is_kind(monotonic, Kind::Builtin))
    }
}
