//! Exceptions of ended tasks and futures that nobody has looked at.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::{GROUP, MAX_FOUND, MAX_SEARCHED, MAX_SEARCHED_ITEMS, Search, is_searched};
use crate::asyncio::secret::masked;
use crate::asyncio::{ChainEnd, FutureState};
use crate::known::Module;
use crate::layout::uvloop::{HANDLE, LOOP};
use crate::layout::{Flag, Frame, TaskRegistry};
use crate::memory::Address;
use crate::python::object::{Kind, MAX_ITEMS, Read, Reader, is_alive};
use crate::snapshot::{Location, Unretrieved};

/// Entries of a traceback that are followed; the default recursion limit is 1000.
const MAX_TRACEBACK: usize = 20_000;
/// Code points of an exception's message.
const MAX_MESSAGE: usize = 300;
/// How much of an object holds its class and what a first look at it needs.
const OBJECT_LEN: u64 = 64;

impl Reader<'_> {
    /// The exception of an ended task or future, if nobody has looked at it.
    pub fn unretrieved_exception(&self, at: Address) -> Option<Address> {
        let fields = &self.layout.future;
        if !is_alive(self.memory.u64(at).ok()?) {
            return None;
        }
        match self.kind_of(at).ok()? {
            Kind::Task | Kind::Future => {
                let is_flagged = match fields.log_tb {
                    Flag::Int(offset) => self.memory.i32(at.offset(offset)).ok()? != 0,
                    Flag::Bit { byte, bit } => {
                        self.memory.u8(at.offset(byte)).ok()? & 1 << bit != 0
                    }
                };
                if !is_flagged || self.future_state(at) != Ok(Some(FutureState::Failed)) {
                    return None;
                }
                self.pointer(at.offset(fields.exception)).ok()?
            }
            Kind::PyTask | Kind::PyFuture => {
                let names = ["_exception", "_Future__log_traceback"];
                let [exception, flag] = self.attributes_named(at, names).ok()?;
                let is_flagged = flag.is_some_and(|at| self.int(at) == Ok(1));
                exception.filter(|_| is_flagged)
            }
            _ => None,
        }
        .filter(|&at| self.memory.u64(at).is_ok_and(is_alive))
        .filter(|&at| self.is_kind(at, Kind::Exception))
    }

    /// Where an exception was raised: the innermost frame of its traceback.
    pub fn raised_at(&self, exception: Address) -> Option<Arc<Location>> {
        let fields = &self.layout.traceback;
        let first = exception.offset(self.layout.small.exception_traceback);
        let mut traceback = self.pointer(first).ok()??;
        for _ in 0..MAX_TRACEBACK {
            if &*self.class_of(traceback).ok()?.name != "traceback" {
                return None;
            }
            if let Some(next) = self.pointer(traceback.offset(fields.next)).ok()? {
                traceback = next;
                continue;
            }
            let frame = self.pointer(traceback.offset(fields.frame)).ok()??;
            let code = self.code_of_frame_object(frame).ok()?;
            let lasti = i64::from(self.memory.i32(traceback.offset(fields.lasti)).ok()?);
            return Some(self.site(code, lasti, Address::NULL).ok()?.location);
        }
        None
    }

    fn code_of_frame_object(&self, at: Address) -> Read<Address> {
        let (at, offset, mask) = match (self.layout.traceback.interpreter_frame, self.layout.frame)
        {
            (Some(inner), Frame::Interpreter(fields)) => {
                let frame = self.must_pointer(at.offset(inner), "frame")?;
                (frame, fields.executable, fields.tag_mask)
            }
            (_, Frame::Object(fields)) => (at, fields.code, 0),
            (None, Frame::Interpreter(fields)) => (at, fields.executable, fields.tag_mask),
        };
        Ok(Address(self.memory.u64(at.offset(offset))? & !mask))
    }

    /// What `str` says of an exception, as far as its arguments tell.
    pub fn exception_message(&self, exception: Address) -> String {
        let arguments = self
            .pointer(exception.offset(self.layout.small.exception_args))
            .ok()
            .flatten()
            .and_then(|arguments| self.tuple(arguments).ok())
            .unwrap_or_default();
        let text = |at| match self.kind_of(at) {
            Ok(Kind::Str) => {
                let text = self.str(at, MAX_MESSAGE).unwrap_or_default();
                masked(&text, text.chars().count() >= MAX_MESSAGE).into_owned()
            }
            _ => self.repr(at),
        };
        let is = |name| {
            let class = self.class_of(exception);
            class.is_ok_and(|class| self.is_subclass_named(&class, name))
        };
        match *arguments {
            [] => String::new(),
            [one] if is("KeyError") => self.repr(one),
            [one] => text(one),
            [one, _] if is("BaseExceptionGroup") => text(one),
            [number, words, ..] if is("OSError") => {
                format!("[Errno {}] {}", self.repr(number), text(words))
            }
            _ => {
                let all: Vec<String> = arguments.iter().take(8).map(|&at| self.repr(at)).collect();
                format!("({})", all.join(", "))
            }
        }
    }
}

impl Search<'_> {
    /// Ended tasks and futures with an exception that nobody has looked at or is about to.
    pub(super) fn unretrieved(&self) -> Vec<Unretrieved> {
        let reader = self.reader;
        let mut seen = FxHashSet::default();
        let in_frames = self.slots.iter().map(|slot| slot.value);
        let mut failed: Vec<(Address, Address)> = Vec::new();
        let mut look = |at: Address| {
            if failed.len() < MAX_FOUND
                && seen.insert(at)
                && let Some(exception) = reader.unretrieved_exception(at)
            {
                failed.push((at, exception));
            }
        };
        // The tasks are in the order of the registry: which of them were pending is known already.
        let mut tasks = self.remains.tasks.iter().peekable();
        let mut is_ended = |at: &Address| {
            let known = tasks.next_if(|task| task.at == *at);
            known.is_none_or(|task| task.state != FutureState::Pending)
        };
        let mut ended: Vec<Address> =
            self.remains.registered.iter().copied().filter(&mut is_ended).collect();
        ended.extend(self.remains.found);
        for group in ended.chunks(GROUP) {
            reader.make_room();
            reader.memory.prefetch(group.iter().map(|at| (*at, reader.layout.task.size)));
            for &at in group {
                look(at);
            }
        }
        let is_future = |at: &Address| self.kinds.get(at).is_some_and(|kind| kind.is_future());
        in_frames.filter(is_future).for_each(&mut look);
        if matches!(reader.layout.registry, TaskRegistry::Lists { .. }) {
            self.searched().into_iter().for_each(&mut look);
        }
        if failed.is_empty() {
            return Vec::new();
        }
        let expected = self.expected();
        failed.retain(|&(at, exception)| {
            // In a program that runs somebody may have looked at it by now.
            reader.memory.forget(at, reader.layout.task.size);
            reader.memory.forget(exception, OBJECT_LEN);
            !expected.contains(&at) && reader.unretrieved_exception(at) == Some(exception)
        });
        if failed.is_empty() {
            return Vec::new();
        }
        let lookers = self.lookers();
        let facts = failed.into_iter().map(|(at, exception)| Unretrieved {
            may_be_looked_at: lookers.may_look_at(at),
            ..self.unlooked(at, exception)
        });
        facts.collect()
    }

    fn unlooked(&self, at: Address, exception: Address) -> Unretrieved {
        let reader = self.reader;
        let class = reader.class_of(exception).map(|class| reader.class_name(&class));
        let loop_id = match reader.kind_of(at) {
            Ok(Kind::PyTask | Kind::PyFuture) => reader.attribute(at, "_loop"),
            _ => reader.pointer(at.offset(reader.layout.future.running_loop)),
        };
        // An ended task has let go of its coroutine's frame, not of the coroutine.
        let coroutine = match reader.kind_of(at) {
            Ok(Kind::Task) => reader.pointer(at.offset(reader.layout.task.coro)),
            Ok(Kind::PyTask) => reader.attribute(at, "_coro"),
            _ => Ok(None),
        };
        let is_generator =
            |at: &Address| matches!(reader.kind_of(*at), Ok(Kind::Coroutine | Kind::Generator));
        Unretrieved {
            id: at,
            name: reader.task_name(at),
            coroutine: coroutine
                .ok()
                .flatten()
                .filter(is_generator)
                .and_then(|at| reader.generator_name(at)),
            loop_id: loop_id.ok().flatten(),
            exception: class.map_or_else(|_| String::new(), |class| class.to_string()),
            message: reader.exception_message(exception),
            place: reader.raised_at(exception),
            may_be_looked_at: true,
        }
    }

    /// Futures and tasks in collections and objects that the program's frames refer to, as far as
    /// a short search goes: where ended tasks leave the registry, these still lead to them.
    fn searched(&self) -> Vec<Address> {
        let reader = self.reader;
        let mut open: Vec<(Address, bool)> = self.objects.iter().map(|&at| (at, true)).collect();
        reader.memory.prefetch(open.iter().map(|(at, _)| (*at, OBJECT_LEN)));
        let mut seen: FxHashSet<Address> = open.iter().map(|(at, _)| *at).collect();
        let mut left = MAX_SEARCHED;
        let mut found = Vec::new();
        while let Some((at, goes_deeper)) = open.pop() {
            if left == 0 {
                break;
            }
            left -= 1;
            for item in self.items(at) {
                let Ok(kind) = reader.kind_of(item) else { continue };
                if kind.is_future() {
                    found.push(item);
                } else if goes_deeper && is_searched(kind) && seen.insert(item) {
                    open.push((item, false));
                }
            }
        }
        found
    }

    /// What a collection holds, or an instance of a class of the program.
    fn items(&self, at: Address) -> Vec<Address> {
        let reader = self.reader;
        let Ok(class) = reader.class_of(at) else { return Vec::new() };
        let is_small = match class.kind {
            Kind::Tuple => reader.size(at, MAX_SEARCHED_ITEMS, "tuple").is_ok(),
            Kind::Set => {
                let mask = reader.memory.u64(at.offset(reader.layout.set.mask));
                mask.is_ok_and(|mask| mask < 4 * MAX_SEARCHED_ITEMS)
            }
            _ => true,
        };
        let items = match class.kind {
            _ if !is_small => Ok(Vec::new()),
            Kind::List => reader.list(at, MAX_SEARCHED_ITEMS),
            Kind::Tuple => reader.tuple(at),
            Kind::Set => reader.set(at),
            Kind::Dict => reader
                .dict(at, MAX_SEARCHED_ITEMS)
                .map(|items| items.into_iter().map(|(_, value)| value).collect()),
            Kind::Other if class.is_python() => reader
                .attributes(at, MAX_SEARCHED_ITEMS)
                .map(|items| items.into_iter().map(|(_, value)| value).collect()),
            _ => Ok(Vec::new()),
        };
        let mut items = items.unwrap_or_default();
        items.truncate(usize::try_from(MAX_SEARCHED_ITEMS).unwrap_or(usize::MAX));
        items
    }

    /// The futures and tasks whose exceptions will be looked at: somebody waits for them, or has
    /// been told and had no turn yet.
    fn expected(&self) -> FxHashSet<Address> {
        let reader = self.reader;
        let mut expected = FxHashSet::default();
        for task in self.remains.tasks {
            expected.extend(task.fut_waiter);
            if let ChainEnd::Future(future) = task.end {
                expected.insert(future);
            }
        }
        // `gather`: its future has the children, and looks at their exceptions in the end.
        let gathers: Vec<Address> = expected
            .iter()
            .copied()
            .filter(|&at| {
                reader
                    .class_of(at)
                    .is_ok_and(|class| class.name.rsplit('.').next() == Some("_GatheringFuture"))
            })
            .collect();
        for gather in gathers {
            let children = reader.attribute(gather, "_children").ok().flatten();
            let children = children.and_then(|at| reader.list(at, MAX_ITEMS).ok());
            expected.extend(children.unwrap_or_default());
        }
        // `wait`, `wait_for`, `as_completed` and `TaskGroup` have them in their variables.
        for owned in self.every_frame() {
            let Ok(code) = reader.code(owned.frame.code) else { continue };
            if code.place.module() != Some(Module::AsyncioTasks) {
                continue;
            }
            for (_, value) in reader.locals(owned.frame).unwrap_or_default() {
                match reader.kind_of(value) {
                    Ok(kind) if kind.is_future() => {
                        expected.insert(value);
                    }
                    Ok(Kind::Set) => expected.extend(reader.set(value).unwrap_or_default()),
                    Ok(Kind::List) => {
                        expected.extend(reader.list(value, MAX_ITEMS).unwrap_or_default());
                    }
                    Ok(Kind::Other) => {
                        let tasks = reader.attribute(value, "_tasks").ok().flatten();
                        let tasks = tasks.and_then(|at| reader.set(at).ok());
                        expected.extend(tasks.unwrap_or_default());
                    }
                    _ => {}
                }
            }
        }
        // A callback of an ended future that is in the ready queue has the future as argument.
        for &at in self.remains.loops {
            expected.extend(self.arguments_of_ready(at).unwrap_or_default());
        }
        expected
    }

    /// The arguments of everything in the ready queue of a loop.
    fn arguments_of_ready(&self, loop_at: Address) -> Read<Vec<Address>> {
        let reader = self.reader;
        let is_uv = reader.is_kind(loop_at, Kind::UvLoop);
        let ready = if is_uv {
            reader.pointer(loop_at.offset(LOOP.ready))?
        } else {
            reader.attribute(loop_at, "_ready")?
        };
        let Some(ready) = ready else { return Ok(Vec::new()) };
        let handles = reader.deque(ready, MAX_ITEMS)?;
        reader.memory.prefetch(handles.iter().map(|at| (*at, 96)));
        let arguments = handles.into_iter().filter_map(|handle| {
            let arguments = if is_uv {
                reader.pointer(handle.offset(HANDLE.arg2))
            } else {
                reader.attribute(handle, "_args")
            };
            reader.tuple(arguments.ok()??).ok()
        });
        Ok(arguments.flatten().collect())
    }
}
