//! Where the tasks are: weak sets, sets and linked lists, by version.

use rustc_hash::FxHashSet;

use crate::known::Libraries;
use crate::layout::TaskRegistry;
use crate::memory::Address;
use crate::python::object::{Kind, MAX_NAME, Read, Reader, Unreadable};
use crate::python::runtime::{Interpreter, ThreadState};

/// Folders that a program imports from.
const MAX_FOLDERS: u64 = 200;
/// Tasks of one list that are followed; ten times what was ever seen in one process.
const MAX_TASKS: usize = 1 << 20;
/// Weak references that are followed together: their tasks lie in up to 32 MiB of pages.
const MEMBERS_AT_ONCE: usize = 8192;
/// How often a list that changes while it is walked is walked again.
const MAX_WALKS: usize = 40;
/// Nodes before a break that are read anew: those that may be as short-lived as the break.
const NODES_READ_ANEW: usize = 256;
/// Pages read together while a linked list is followed: an allocator pool of 16 KiB, which holds
/// some 85 tasks.
const LIST_READAHEAD: u64 = 4;

/// The modules of asyncio in one interpreter.
#[derive(Debug, Clone, Copy)]
pub struct AsyncioModules {
    /// The dictionary of `asyncio.tasks`.
    pub tasks: Address,
    /// The module object `_asyncio`, where the C implementation is there.
    pub c_module: Option<Address>,
    /// The dictionary of `threading`.
    pub threading: Option<Address>,
}

/// The tasks that were found.
#[derive(Debug, Default)]
pub struct Registered {
    /// Their addresses, each once, in the order of the registries.
    pub tasks: Vec<Address>,
    /// References to tasks that could not be read, and why.
    pub unread: Vec<(Address, Unreadable)>,
    /// Registries that could not be read whole, and why.
    pub problems: Vec<(&'static str, Unreadable)>,
}

impl Reader<'_> {
    /// The modules of asyncio in an interpreter; `None` when it was not imported.
    ///
    /// # Errors
    /// When `sys.modules` cannot be read.
    pub fn asyncio_modules(&self, interpreter: &Interpreter) -> Read<Option<AsyncioModules>> {
        let items = self.dict(interpreter.modules, crate::python::object::MAX_ITEMS)?;
        self.caches.keep_modules(interpreter.modules);
        let dict = |name| {
            let module = self.find_key(interpreter.modules, &items, name)?;
            if !self.is_kind(module, Kind::Module) {
                return None;
            }
            self.pointer(module.offset(self.layout.small.module_dict)).ok().flatten()
        };
        let Some(tasks) = dict("asyncio.tasks") else { return Ok(None) };
        self.find_libraries(tasks, || dict("sys"));
        let c_module = self.find_key(interpreter.modules, &items, "_asyncio");
        let c_module = c_module.filter(|&at| self.is_kind(at, Kind::Module));
        Ok(Some(AsyncioModules { tasks, c_module, threading: dict("threading") }))
    }

    /// The class of most tasks.
    pub fn task_class(&self, modules: &AsyncioModules) -> Option<Address> {
        let class = self.dict_get(modules.tasks, "Task").ok()??;
        self.is_kind(class, Kind::Type).then_some(class)
    }

    /// Finds out, once, where the libraries of the target lie, from the functions of
    /// `asyncio.tasks`, one of which may have been replaced by a package, but not all, and from
    /// `sys.path`.
    fn find_libraries(&self, tasks: Address, sys: impl FnOnce() -> Option<Address>) {
        if self.caches.known_libraries().is_some() {
            return;
        }
        let items = self.dict(tasks, crate::python::object::MAX_ITEMS).unwrap_or_default();
        let found = items.into_iter().find_map(|(_, value)| {
            let value = Some(value).filter(|value| self.is_kind(*value, Kind::Function))?;
            let code = self.pointer(value.offset(self.layout.function.code)).ok()??;
            Libraries::of_tasks(&self.code(code).ok()?.place.file)
        });
        if let Some(libraries) = found {
            let path = sys().and_then(|sys| self.search_path(sys).ok()).unwrap_or_default();
            self.caches.keep_libraries(libraries.with_path(path));
        }
    }

    /// `sys.path`; what is no text in it is left out.
    fn search_path(&self, sys: Address) -> Read<Vec<String>> {
        let items = self.dict(sys, crate::python::object::MAX_ITEMS)?;
        let Some(path) = self.find_key(sys, &items, "path") else { return Ok(Vec::new()) };
        let folders = self.list(path, MAX_FOLDERS)?.into_iter();
        let folders = folders.filter(|&at| self.is_kind(at, Kind::Str));
        Ok(folders.filter_map(|at| self.name_str(at, MAX_NAME).ok()).collect())
    }

    /// All registered tasks of an interpreter, finished ones included.
    pub fn registered_tasks(
        &self,
        interpreter: &Interpreter,
        modules: &AsyncioModules,
        threads: &[ThreadState],
    ) -> Registered {
        let mut found = Registered::default();
        let mut seen = FxHashSet::default();
        if let Some(offset) = self.layout.thread.asyncio_tasks_head {
            for thread in threads.iter().filter(|thread| thread.interpreter == interpreter.at) {
                self.add_list(thread.at.offset(offset), &mut found, &mut seen);
            }
        }
        if let Some(offset) = self.layout.interpreter.asyncio_tasks_head {
            self.add_list(interpreter.at.offset(offset), &mut found, &mut seen);
        }
        let in_module = |name| self.dict_get(modules.tasks, name);
        match self.layout.registry {
            TaskRegistry::AllTasks => {
                self.add_set("_all_tasks", in_module("_all_tasks"), &mut found, &mut seen);
            }
            TaskRegistry::ScheduledAndEager | TaskRegistry::Lists { .. } => {
                for name in ["_scheduled_tasks", "_eager_tasks"] {
                    self.add_set(name, in_module(name), &mut found, &mut seen);
                }
            }
        }
        if let (TaskRegistry::Lists { foreign, foreign_eager }, Some(module)) =
            (self.layout.registry, modules.c_module)
        {
            let state = self.pointer(module.offset(self.layout.small.module_state));
            if let Ok(Some(state)) = state {
                for (name, offset) in
                    [("non_asyncio_tasks", foreign), ("non_asyncio_eager_tasks", foreign_eager)]
                {
                    let set = self.pointer(state.offset(offset));
                    self.add_set(name, set, &mut found, &mut seen);
                }
            }
        }
        found
    }

    /// Adds the tasks of a `WeakSet` or `set`.
    fn add_set(
        &self,
        name: &'static str,
        set: Read<Option<Address>>,
        found: &mut Registered,
        seen: &mut FxHashSet<Address>,
    ) {
        let members = set.and_then(|set| match set {
            Some(set) => self.set_or_weak_set(set, &mut found.unread),
            None => Ok(Vec::new()),
        });
        match members {
            Ok(members) => found.tasks.extend(members.into_iter().filter(|&at| seen.insert(at))),
            Err(error) => found.problems.push((name, error)),
        }
    }

    /// The members of a `set`, or the living ones of a `weakref.WeakSet`.
    pub(crate) fn set_or_weak_set(
        &self,
        at: Address,
        unread: &mut Vec<(Address, Unreadable)>,
    ) -> Read<Vec<Address>> {
        if matches!(self.kind_of(at)?, Kind::Set) {
            return self.set(at);
        }
        // WeakSet: an instance with `data`, a set of weak references.
        let Some(data) = self.attribute(at, "data")? else {
            return Err(Unreadable::bad(at, "WeakSet"));
        };
        let references = self.set(data)?;
        let object = self.layout.small.weakref_object;
        let mut members = Vec::with_capacity(references.len());
        for group in references.chunks(MEMBERS_AT_ONCE) {
            self.make_room();
            self.memory.prefetch(group.iter().map(|at| (*at, object + 8)));
            let mut new = Vec::with_capacity(group.len());
            for &reference in group {
                let member = match self.kind_of(reference) {
                    Ok(Kind::Weakref) => self.must_pointer(reference.offset(object), "reference"),
                    Ok(_) => Err(Unreadable::bad(reference, "reference")),
                    Err(error) => Err(error),
                };
                match member {
                    Ok(member) => new.push(member),
                    // It may have been freed meanwhile, and then has left the set.
                    Err(error) => unread.push((reference, error)),
                }
            }
            self.memory.prefetch(new.iter().map(|at| (*at, self.layout.task.size)));
            members.extend(new.into_iter().filter(|&member| !self.is_kind(member, Kind::None)));
        }
        Ok(members)
    }

    /// Adds the tasks of a linked list.
    fn add_list(&self, head: Address, found: &mut Registered, seen: &mut FxHashSet<Address>) {
        let Some(node_offset) = self.layout.task.node else { return };
        self.memory.set_readahead(LIST_READAHEAD);
        let walked = self.linked_list(head);
        self.memory.set_readahead(1);
        let (nodes, error) = match walked {
            Ok(nodes) => (nodes, None),
            Err((nodes, error)) => (nodes, Some(error)),
        };
        let tasks = nodes.into_iter().map(|node| node.before(node_offset));
        found.tasks.extend(tasks.filter(|&at| seen.insert(at)));
        found.problems.extend(error.map(|error| ("list of tasks", error)));
    }

    /// The nodes of a circular list, without its head.
    ///
    /// `llist_node: [ next: ptr, prev: ptr ]`
    ///
    /// The list may change under the walk: a node that is taken out while we stand on it points
    /// nowhere. Then the rest is followed backwards from the end; if both walks meet, nothing is
    /// missing but what was added or taken out meanwhile. Else the nodes about the break are read
    /// anew, all in one call, and the walks are done again: what changes is near the end, where
    /// new tasks are added, and the long part before it is not read twice.
    fn list_nodes(&self, head: Address) -> Result<Vec<Address>, (Vec<Address>, Unreadable)> {
        let mut all = Vec::new();
        let mut known = FxHashSet::default();
        for _ in 0..MAX_WALKS {
            let (forward, end) = self.follow(head, 0, &FxHashSet::default());
            if end == WalkEnd::Head {
                return Ok(forward);
            }
            let reached: FxHashSet<Address> = forward.iter().copied().collect();
            let (backward, end) = self.follow(head, 8, &reached);
            if let WalkEnd::Met(node) = end {
                let until = forward.iter().position(|&at| at == node).map_or(0, |at| at + 1);
                let rest = backward.into_iter().rev();
                return Ok(forward.into_iter().take(until).chain(rest).collect());
            }
            let about_the_break = forward.iter().rev().take(NODES_READ_ANEW).chain(&backward);
            let ranges: Vec<_> = about_the_break.chain([&head]).map(|&node| (node, 16)).collect();
            self.memory.refresh(&ranges);
            all.extend(forward.into_iter().chain(backward).filter(|&at| known.insert(at)));
        }
        Err((all, Unreadable::bad(head, "list of tasks")))
    }

    fn linked_list(&self, head: Address) -> Result<Vec<Address>, (Vec<Address>, Unreadable)> {
        // A list that was never used is zero.
        match self.pointer(head) {
            Ok(None) => Ok(Vec::new()),
            Ok(Some(_)) => self.list_nodes(head),
            Err(error) => Err((Vec::new(), error)),
        }
    }

    /// Follows a list in one direction: `link` is 0 for next, 8 for prev.
    fn follow(
        &self,
        head: Address,
        link: u64,
        stop_at: &FxHashSet<Address>,
    ) -> (Vec<Address>, WalkEnd) {
        let mut nodes = Vec::new();
        let mut at = head;
        while let Ok(Some(next)) = self.pointer(at.offset(link)) {
            if next == head {
                return (nodes, WalkEnd::Head);
            }
            if stop_at.contains(&next) {
                return (nodes, WalkEnd::Met(next));
            }
            // The neighbour must point back, else one of the two pages is older than a change.
            let back = self.pointer(next.offset(8 - link));
            if back != Ok(Some(at)) || nodes.len() >= MAX_TASKS || next.0 % 8 != 0 {
                self.memory.forget(next, 16);
                break;
            }
            nodes.push(next);
            at = next;
        }
        (nodes, WalkEnd::Broken)
    }
}

/// How a walk along a list ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WalkEnd {
    /// All the way round.
    Head,
    /// At a node that the other walk had reached.
    Met(Address),
    /// At a node that is not believable.
    Broken,
}
