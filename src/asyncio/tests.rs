//! asyncio's objects of each era, built by its table.

use rustc_hash::FxHashMap;

use super::{
    AsyncioModules, AwaitGraph, Awaiters, ChainEnd, FutureState, Owner, Registered, TasksRead,
};
use crate::known::pool::Pool;
use crate::known::{Known, Origin, Purpose};
use crate::layout::{Flag, TaskRegistry};
use crate::memory::Address;
use crate::python::frame::RawFrame;
use crate::python::object::{Kind, Reader, Unreadable};
use crate::python::runtime::{Interpreter, ThreadState};
use crate::python::tests::{Heap, MINORS, NOWHERE};

/// Where tasks are registered in a version, by the names that problems of them have.
fn registries(heap: &Heap) -> Vec<&'static str> {
    match heap.layout.registry {
        TaskRegistry::AllTasks => vec!["_all_tasks"],
        TaskRegistry::ScheduledAndEager => vec!["_scheduled_tasks", "_eager_tasks"],
        TaskRegistry::Lists { .. } => vec![
            "thread",
            "interpreter",
            "_scheduled_tasks",
            "_eager_tasks",
            "non_asyncio_tasks",
            "non_asyncio_eager_tasks",
        ],
    }
}

/// One thread of one interpreter with asyncio, and where its registries are.
struct Program {
    heap: Heap,
    interpreter: Interpreter,
    thread: ThreadState,
    modules: AsyncioModules,
    /// The heads of lists, or the pointers to sets.
    places: FxHashMap<&'static str, Address>,
}

impl Program {
    /// One with these tasks in these registries.
    fn new(minor: u8, tasks: &[(&'static str, &[Address])], mut heap: Heap) -> Self {
        let (at, thread) = (heap.room(1 << 16), heap.room(1 << 13));
        let mut places = FxHashMap::default();
        let mut module = Vec::new();
        let state = heap.room(256);
        for name in registries(&heap) {
            let of: Vec<Address> =
                tasks.iter().filter(|it| it.0 == name).flat_map(|it| it.1).copied().collect();
            let layout = heap.layout.clone();
            match name {
                "thread" | "interpreter" => {
                    let list = if name == "thread" {
                        thread.offset(layout.thread.asyncio_tasks_head.unwrap())
                    } else {
                        at.offset(layout.interpreter.asyncio_tasks_head.unwrap())
                    };
                    ring(&mut heap, list, &of);
                    places.insert(name, list);
                }
                "_eager_tasks" | "non_asyncio_eager_tasks" => {
                    places.insert(name, heap.set(&of));
                }
                _ => {
                    places.insert(name, heap.weak_set(&of));
                }
            }
            match (layout.registry, name) {
                (TaskRegistry::Lists { foreign, .. }, "non_asyncio_tasks") => {
                    heap.link(state.offset(foreign), places[name]);
                }
                (TaskRegistry::Lists { foreign_eager, .. }, "non_asyncio_eager_tasks") => {
                    heap.link(state.offset(foreign_eager), places[name]);
                }
                (_, "thread" | "interpreter") => {}
                _ => module.push((name, places[name])),
            }
        }
        let tasks = heap.namespace(&module);
        let class = heap.class("module");
        let c_module = heap.object(class, 64);
        heap.link(c_module.offset(heap.layout.small.module_state), state);
        assert!(MINORS.contains(&minor));
        Self {
            interpreter: Interpreter { at, id: 0, modules: Address::NULL },
            thread: ThreadState { at: thread, interpreter: at, ident: 1, native_id: None },
            modules: AsyncioModules { tasks, c_module: Some(c_module), threading: None },
            places,
            heap,
        }
    }

    fn registered(&self) -> Registered {
        let threads = [self.thread];
        self.heap.read(|reader| reader.registered_tasks(&self.interpreter, &self.modules, &threads))
    }
}

/// A circular list of tasks: `llist_node: [ next: ptr, prev: ptr ]`.
fn ring(heap: &mut Heap, list: Address, tasks: &[Address]) {
    let node = heap.layout.task.node.unwrap();
    let nodes = tasks.iter().map(|task| task.offset(node));
    let all: Vec<Address> = [list].into_iter().chain(nodes).chain([list]).collect();
    for pair in all.windows(2) {
        heap.link(pair[0], pair[1]);
        heap.link(pair[1].offset(8), pair[0]);
    }
}

fn sorted(mut tasks: Vec<Address>) -> Vec<Address> {
    tasks.sort_unstable();
    tasks
}

#[test]
fn the_tasks_of_each_registry_are_found_once() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let names = registries(&heap);
        let all: Vec<Address> = names.iter().flat_map(|_| [heap.task(), heap.task()]).collect();
        let mut tasks: Vec<(&str, &[Address])> = names.iter().copied().zip(all.chunks(2)).collect();
        // One that is in a second registry as well is the same task.
        tasks.push((names[names.len() - 1], &all[..1]));
        let program = Program::new(minor, &tasks, heap);
        let found = program.registered();
        assert_eq!(sorted(found.tasks), all, "3.{minor}");
        assert!(found.unread.is_empty() && found.problems.is_empty(), "3.{minor}");
        // A thread of another interpreter has other tasks.
        let foreign = ThreadState { interpreter: NOWHERE, ..program.thread };
        let found = program.heap.read(|reader| {
            reader.registered_tasks(&program.interpreter, &program.modules, &[foreign])
        });
        let of_thread = usize::from(names.contains(&"thread"));
        assert_eq!(found.tasks.len(), all.len() - of_thread, "3.{minor}");
    }
}

/// Of a registry that cannot be read the others are still there, and it is said which one it is.
#[test]
fn a_registry_that_cannot_be_read_is_named() {
    for minor in MINORS {
        for broken in registries(&Heap::of(minor)) {
            let mut heap = Heap::of(minor);
            let names = registries(&heap);
            let all: Vec<Address> = names.iter().map(|_| heap.task()).collect();
            let tasks: Vec<(&str, &[Address])> = names.iter().copied().zip(all.chunks(1)).collect();
            let mut program = Program::new(minor, &tasks, heap);
            let place = program.places[broken];
            let heap = &mut program.heap;
            let is_list = matches!(broken, "thread" | "interpreter");
            if is_list {
                heap.link(place, NOWHERE);
                heap.link(place.offset(8), NOWHERE);
            } else {
                let class = heap.layout.object.ob_type;
                heap.link(place.offset(class), NOWHERE);
            }
            let found = program.registered();
            let at = names.iter().position(|name| *name == broken).unwrap();
            let mut left = all.clone();
            left.remove(at);
            assert_eq!(sorted(found.tasks), left, "3.{minor} without {broken}");
            let said: Vec<&str> = found.problems.iter().map(|(name, _)| *name).collect();
            assert_eq!(said, [if is_list { "list of tasks" } else { broken }], "3.{minor}");
        }
    }
}

/// A weak reference whose task is gone says so (`None`); one that was freed is told.
#[test]
fn a_dead_reference_is_no_task_and_a_freed_one_is_told() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let (task, none) = (heap.task(), heap.none());
        let name = registries(&heap).into_iter().find(|name| name.ends_with("_tasks")).unwrap();
        let found = Program::new(minor, &[(name, &[task, none])], heap).registered();
        assert_eq!((found.tasks, found.unread.len()), (vec![task], 0), "3.{minor}");
        let heap = Heap::of(minor);
        let mut heap = Program::new(minor, &[], heap).heap;
        let task = heap.task();
        let found = Program::new(minor, &[(name, &[task, Address::NULL])], heap).registered();
        assert_eq!((found.tasks, found.unread.len()), (vec![task], 1), "3.{minor}");
        assert!(found.problems.is_empty(), "3.{minor}");
    }
}

/// A table that is far larger than any, or has a size that no table has.
#[test]
fn an_absurd_set_is_not_followed() {
    for minor in MINORS {
        for mask in [u64::MAX, 1 << 40, 6] {
            let mut heap = Heap::of(minor);
            let task = heap.task();
            let set = heap.set(&[task]);
            heap.word(set.offset(heap.layout.set.mask), mask);
            let read = heap.read(|reader| reader.set(set));
            assert_eq!(read, Err(Unreadable::bad(set, "set")), "3.{minor} {mask:#x}");
        }
    }
}

#[test]
fn a_list_that_changes_under_the_walk_loses_nothing() {
    for minor in MINORS.filter(|minor| *minor >= 14) {
        let mut heap = Heap::of(minor);
        let tasks: Vec<Address> = (0..5).map(|_| heap.task()).collect();
        let mut program = Program::new(minor, &[("thread", &tasks)], heap);
        let node = program.heap.layout.task.node.unwrap();
        // The third was taken out while we stood on it: it points nowhere, and its neighbours to
        // each other.
        let third = tasks[2].offset(node);
        program.heap.link(third, Address::NULL);
        let found = program.registered();
        assert_eq!(sorted(found.tasks), tasks, "3.{minor}: backwards from the end");
        assert!(found.problems.is_empty(), "3.{minor}");
        // A node that leads back into the list is no way to its end.
        program.heap.link(third, tasks[0].offset(node));
        program.heap.link(third.offset(8), tasks[0].offset(node));
        let found = program.registered();
        assert_eq!(found.problems.len(), 1, "3.{minor}: {found:?}");
        // What was walked before it broke is there.
        assert!(tasks[..2].iter().all(|task| found.tasks.contains(task)), "3.{minor}");
        assert!(tasks[3..].iter().all(|task| found.tasks.contains(task)), "3.{minor}");
        assert!(found.tasks.len() <= tasks.len(), "3.{minor}: {found:?}");
    }
}

#[test]
fn a_future_is_as_far_as_its_state_says() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let fields = heap.layout.future;
        let error = heap.none();
        let mut of = |state, fails| {
            let at = heap.future();
            heap.int32(at.offset(fields.state), state);
            if fails {
                heap.link(at.offset(fields.exception), error);
            }
            at
        };
        let expected = [
            (of(0, false), Ok(Some(FutureState::Pending))),
            // What is left of an exception says nothing of one that has not ended.
            (of(0, true), Ok(Some(FutureState::Pending))),
            (of(1, false), Ok(Some(FutureState::Cancelled))),
            (of(2, false), Ok(Some(FutureState::Finished))),
            (of(2, true), Ok(Some(FutureState::Failed))),
        ];
        let odd = of(3, false);
        let text = heap.str("PENDING");
        heap.read(|reader| {
            for (at, state) in expected {
                assert_eq!(reader.future_state(at), state, "3.{minor}");
            }
            assert_eq!(reader.future_state(odd), Err(Unreadable::bad(odd, "future")));
            assert_eq!(reader.future_state(text), Ok(None));
        });
    }
}

/// The class of pure-Python futures.
fn py_future(heap: &mut Heap, attributes: &[(&str, Address)]) -> Address {
    let class = heap.python_class("asyncio.futures", "Future", Address::NULL);
    heap.instance(class, attributes)
}

#[test]
fn a_future_in_python_is_as_far_as_its_state_says() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let (none, error) = (heap.none(), heap.object(Address::NULL, 16));
        let class = heap.python_class("app", "Failure", Address::NULL);
        heap.link(error.offset(heap.layout.object.ob_type), class);
        let mut of = |state: Option<&str>, exception| {
            let state = state.map(|state| ("_state", heap.str(state)));
            let attributes: Vec<_> = state.into_iter().chain([("_exception", exception)]).collect();
            py_future(&mut heap, &attributes)
        };
        let expected = [
            // It is an attribute of the class until it changes.
            (of(None, none), Some(FutureState::Pending)),
            (of(Some("PENDING"), none), Some(FutureState::Pending)),
            (of(Some("CANCELLED"), none), Some(FutureState::Cancelled)),
            (of(Some("FINISHED"), none), Some(FutureState::Finished)),
            (of(Some("FINISHED"), error), Some(FutureState::Failed)),
            (of(Some("SINGING"), none), None),
        ];
        heap.read(|reader| {
            for (at, state) in expected {
                assert_eq!(reader.future_state(at).ok().flatten(), state, "3.{minor}");
            }
        });
    }
}

/// The first callback has a field of its own, and the rest a list of pairs with their contexts.
#[test]
fn callbacks_are_none_one_or_many() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let fields = heap.layout.future;
        let context = heap.none();
        let callbacks: Vec<Address> = (0..3).map(|_| heap.function("seen", &[])).collect();
        let pairs: Vec<Address> =
            callbacks.iter().map(|callback| heap.tuple(&[*callback, context])).collect();
        let rest = heap.list(&pairs[1..]);
        let [none, one, many, cut] = [heap.future(), heap.future(), heap.task(), heap.future()];
        // A list alone, without a first one, is of before.
        heap.link(none.offset(fields.callbacks), rest);
        for at in [one, many, cut] {
            heap.link(at.offset(fields.callback0), callbacks[0]);
        }
        heap.link(many.offset(fields.callbacks), rest);
        let missing = heap.list(&[NOWHERE]);
        heap.link(cut.offset(fields.callbacks), missing);
        let all = heap.list(&pairs);
        let in_python = py_future(&mut heap, &[("_callbacks", all)]);
        heap.read(|reader| {
            assert_eq!(reader.callbacks(none), Ok(vec![]), "3.{minor}");
            assert_eq!(reader.callbacks(one), Ok(callbacks[..1].to_vec()), "3.{minor}");
            assert_eq!(reader.callbacks(many), Ok(callbacks.clone()), "3.{minor}");
            assert!(matches!(reader.callbacks(cut), Err(Unreadable::Fault(_))), "3.{minor}");
            assert_eq!(reader.callbacks(in_python), Ok(callbacks.clone()), "3.{minor}");
            assert_eq!(reader.callbacks(context), Ok(vec![]), "3.{minor}");
        });
    }
}

/// What wakes a task when a future is done.
fn wakeup(heap: &mut Heap, minor: u8, task: Address) -> Address {
    if minor >= 10 {
        return heap.builtin_method(task, "task_wakeup");
    }
    let class = heap.class("TaskWakeupMethWrapper");
    let at = heap.object(class, 64);
    heap.link(at.offset(heap.layout.small.step_wrapper_task), task);
    at
}

fn calls_back(heap: &mut Heap, future: Address, callback: Address) {
    let field = heap.layout.future.callback0;
    heap.link(future.offset(field), callback);
}

#[test]
fn who_waits_for_a_future_is_found_through_all_that_lies_between() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let [task, inner, outer] = [heap.task(), heap.future(), heap.future()];
        // inner → gather's outer future → the task that awaits it.
        let gather = heap.function("gather.<locals>._done_callback", &[("outer", outer)]);
        calls_back(&mut heap, inner, gather);
        let wakes = wakeup(&mut heap, minor, task);
        calls_back(&mut heap, outer, wakes);
        // Two futures that resolve each other.
        let [first, second] = [heap.future(), heap.future()];
        let release = heap.function("_release_waiter", &[]);
        for (from, to) in [(first, second), (second, first)] {
            let callback = heap.partial(release, &[to]);
            calls_back(&mut heap, from, callback);
        }
        // A callback of the program's own leads to nobody.
        let own = heap.future();
        let callback = heap.function("Server.on_done", &[("outer", outer)]);
        calls_back(&mut heap, own, callback);
        heap.read(|reader| {
            let graph = AwaitGraph::new(*reader);
            assert_eq!(graph.awaiters(outer).tasks, [task], "3.{minor}");
            assert_eq!(graph.awaiters(inner).tasks, [task], "3.{minor}");
            assert_eq!(graph.awaiters(first).tasks, [], "3.{minor}");
            assert_eq!(graph.awaiters(own).tasks, [], "3.{minor}");
        });
    }
}

/// A group's parent is noted from the start, and waits for the children once it leaves the block:
/// then it is woken by the future that the last of them resolves.
#[test]
fn a_groups_parent_waits_for_its_children_once_it_leaves_the_group() {
    for minor in MINORS {
        for (name, is_own) in
            [("TaskGroup._on_task_done", true), ("TaskGroup._spawn.<locals>.task_done", false)]
        {
            let mut heap = Heap::of(minor);
            let [parent, within, left] = [heap.task(), heap.task(), heap.task()];
            let none = heap.none();
            let end = heap.future();
            let wakes = wakeup(&mut heap, minor, parent);
            calls_back(&mut heap, end, wakes);
            for (child, future) in [(within, none), (left, end)] {
                let scope = heap.class("CancelScope");
                let scope = heap.instance(scope, &[("_host_task", parent)]);
                let group = heap.class("TaskGroup");
                let attributes = [
                    ("_parent_task", parent),
                    ("_on_completed_fut", future),
                    ("cancel_scope", scope),
                ];
                let group =
                    heap.instance(group, if is_own { &attributes[..2] } else { &attributes[1..] });
                let callback = if is_own {
                    let function = heap.function(name, &[]);
                    heap.method(function, group)
                } else {
                    heap.function(name, &[("self", group)])
                };
                calls_back(&mut heap, child, callback);
                // From 3.14 on it is in the child's own list as well.
                if let Some(fields) = heap.layout.future.awaited_by {
                    heap.link(child.offset(fields.awaited_by), parent);
                }
            }
            heap.read(|reader| {
                let graph = AwaitGraph::new(*reader);
                let awaiters = |now| Awaiters { tasks: vec![parent], now };
                assert_eq!(graph.awaiters(within), awaiters(0), "3.{minor} {name}");
                assert_eq!(graph.awaiters(left), awaiters(1), "3.{minor} {name}");
            });
        }
    }
}

/// From 3.14 on the runtime itself says who waits: one task, or a set of them.
#[test]
fn who_waits_is_what_the_runtime_says_where_it_does() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let [one, other, third] = [heap.task(), heap.task(), heap.task()];
        let [by_one, by_two, alone] = [heap.future(), heap.future(), heap.future()];
        let Some(fields) = heap.layout.future.awaited_by else {
            assert!(minor < 14, "3.{minor}");
            continue;
        };
        let text = heap.str("no task");
        let set = heap.set(&[one, other, text]);
        heap.link(by_one.offset(fields.awaited_by), third);
        heap.link(by_two.offset(fields.awaited_by), set);
        heap.byte(by_two.offset(fields.is_set), 1);
        heap.read(|reader| {
            let graph = AwaitGraph::new(*reader);
            assert_eq!(graph.awaiters(by_one).tasks, [third], "3.{minor}");
            assert_eq!(sorted(graph.awaiters(by_two).tasks), [one, other], "3.{minor}");
            assert_eq!(graph.awaiters(alone).tasks, [], "3.{minor}");
        });
    }
}

/// A task with this coroutine, parked on that future.
fn parked(heap: &mut Heap, coroutine: Address, waiter: Address) -> Address {
    let task = heap.task();
    let fields = heap.layout.task;
    heap.link(task.offset(fields.coro), coroutine);
    heap.link(task.offset(fields.fut_waiter), waiter);
    task
}

/// A lock of anyio's names its owner: the task, or up to 4.4 where it was and its coroutine.
#[test]
fn the_owner_of_a_lock_is_the_very_task_that_has_taken_it() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let [future, other_future] = [heap.future(), heap.future()];
        let [coroutine, other] = [heap.awaits(future), heap.awaits(other_future)];
        let [task, ended] = [parked(&mut heap, coroutine, future), heap.task()];
        let finished = heap.layout.future.state;
        heap.int32(ended.offset(finished), 2);
        let number = heap.int(i128::from(task.0));
        let class = heap.class("TaskInfo");
        let info = heap.instance(class, &[("id", number), ("coro", coroutine)]);
        // Where it was, there is another one by now.
        let gone = heap.instance(class, &[("id", number), ("coro", other)]);
        let nowhere = heap.int(i128::from(NOWHERE.0));
        let unreadable = heap.instance(class, &[("id", nowhere), ("coro", other)]);
        let none = heap.none();
        let class = heap.class("anyio.Lock");
        let mut lock = |attributes: &[(&str, Address)]| heap.instance(class, attributes);
        let expected = [
            (lock(&[("_owner_task", none)]), Owner::Nobody),
            (lock(&[("_waiters", none)]), Owner::Nobody),
            (lock(&[("_owner_task", task)]), Owner::Task(task)),
            (lock(&[("_owner_task", ended)]), Owner::Unknown),
            (lock(&[("_owner_task", info)]), Owner::Task(task)),
            (lock(&[("_owner_task", gone)]), Owner::Unknown),
            (lock(&[("_owner_task", unreadable)]), Owner::Unknown),
        ];
        heap.read(|reader| {
            for (lock, owner) in expected {
                assert_eq!(reader.anyio_owner(lock), owner, "3.{minor}");
            }
        });
    }
}

#[test]
fn a_task_has_the_chain_down_to_the_future_that_it_is_parked_on() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let fields = heap.layout.task;
        let future = heap.future();
        let class = heap.class("_asyncio.FutureIter");
        let iterator = heap.object(class, 64);
        heap.link(iterator.offset(heap.layout.awaitable.future_iter), future);
        let inner = heap.awaits(iterator);
        let middle = heap.awaits(inner);
        let outer = heap.awaits(middle);
        let task = parked(&mut heap, outer, future);
        let name = heap.str("refresh-prices");
        heap.link(task.offset(fields.name), name);
        match fields.must_cancel {
            Flag::Int(offset) => heap.int32(task.offset(offset), 1),
            Flag::Bit { byte, bit } => heap.byte(task.offset(byte), 1 << bit),
        }
        if let Some(offset) = fields.num_cancels_requested {
            heap.int32(task.offset(offset), 2);
        }
        // From 3.12 on a name that nobody asked for is a number.
        let (second, number) = (parked(&mut heap, outer, future), heap.int(7));
        heap.link(second.offset(fields.name), number);
        let TasksRead { tasks, unread, .. } =
            heap.read(|reader| reader.read_tasks(&[task, second], false));
        assert!(unread.is_empty(), "3.{minor}: {unread:?}");
        let [first, second] = &tasks[..] else { panic!("3.{minor}: {tasks:?}") };
        assert_eq!(first.problem, None, "3.{minor}");
        let chain: Vec<Address> = first.chain.iter().map(|frame| frame.generator).collect();
        assert_eq!(chain, [outer, middle, inner], "3.{minor}");
        assert_eq!((first.end, first.fut_waiter), (ChainEnd::Future(future), Some(future)));
        assert_eq!(first.waiter_state, Some(FutureState::Pending), "3.{minor}");
        assert!(first.is_coherent() && !first.is_partly_read(), "3.{minor}");
        assert_eq!(first.name.as_deref(), Some("refresh-prices"));
        assert_eq!(second.name.as_deref(), Some("Task-7"));
        assert!(first.must_cancel && !second.must_cancel, "3.{minor}");
        assert_eq!(first.cancels_requested, (minor >= 11).then_some(2), "3.{minor}");
    }
}

#[test]
fn a_chain_that_is_no_chain_is_a_problem_and_ends() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let future = heap.future();
        // One that awaits itself, through another.
        let none = heap.none();
        let first = heap.awaits(none);
        let second = heap.awaits(first);
        heap.replace(none, second);
        let circle = parked(&mut heap, second, future);
        // One whose chain ends at another future than the one that it is parked on: torn.
        let other = heap.future();
        let to_other = heap.awaits(other);
        let torn = parked(&mut heap, to_other, future);
        // One that awaits what is not there.
        let to_nowhere = heap.awaits(NOWHERE);
        let cut = parked(&mut heap, to_nowhere, future);
        // One whose coroutine is something that we can't look into.
        let text = heap.str("no coroutine");
        let opaque = parked(&mut heap, text, future);
        // Freed: the first word is the allocator's.
        let freed = heap.task();
        heap.word(freed, 0);
        let all = [circle, torn, cut, opaque, freed, text];
        let TasksRead { tasks, unread, .. } = heap.read(|reader| reader.read_tasks(&all, true));
        let gone: Vec<Address> = unread.iter().map(|(at, _)| *at).collect();
        assert_eq!(gone, [freed, text], "3.{minor}");
        let [circle, torn, cut, opaque] = &tasks[..] else { panic!("3.{minor}: {tasks:?}") };
        let what = |task: &super::TaskFacts| task.problem.map(|(what, _)| what);
        assert_eq!(what(circle), Some("await chain"), "3.{minor}: {circle:?}");
        assert!(circle.chain.len() < 20, "3.{minor}");
        assert_eq!((torn.end, what(torn)), (ChainEnd::Future(other), None), "3.{minor}");
        assert!(!torn.is_coherent(), "3.{minor}");
        assert_eq!((what(cut), cut.end), (Some("await chain"), ChainEnd::Unknown), "3.{minor}");
        assert_eq!((what(opaque), opaque.end), (None, ChainEnd::Opaque), "3.{minor}");
        assert_eq!(opaque.fut_waiter, Some(future), "3.{minor}");
    }
}

/// A coroutine of Cython, as it is on Python 3.11, that awaits something.
fn compiled(heap: &mut Heap, class: Address, name: &str, awaited: Address) -> Address {
    let at = heap.object(class, 128);
    let [plain, qualified, module] = [name, name, "shop"].map(|text| heap.str(text));
    heap.link(at.offset(64), awaited);
    // A function of C.
    heap.link(at.offset(72), NOWHERE);
    heap.link(at.offset(80), plain);
    heap.link(at.offset(88), qualified);
    heap.link(at.offset(96), module);
    at
}

/// The linker gives a program that names a class of libpython's a copy of it: uWSGI has functions.
#[test]
fn a_class_that_a_program_has_a_copy_of_is_pythons_own() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let own = heap.class("function");
        heap.end_image();
        let copy = heap.copied_class(own);
        let foreign = heap.compiled_class("function", &[]);
        let [copy, foreign] = [copy, foreign].map(|class| heap.object(class, 64));
        let kinds = heap.read(|reader| [copy, foreign].map(|at| reader.kind_of(at)));
        assert_eq!(kinds, [Ok(Kind::Function), Ok(Kind::Other)], "3.{minor}");
    }
}

#[test]
fn a_chain_goes_on_through_what_was_compiled() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let future = heap.future();
        let python = heap.awaits(future);
        heap.str("");
        heap.end_image();
        // Up to 0.29 they are called as Python's own are.
        let members = [("cr_await", 64), ("cr_code", 104)];
        let coroutine = heap.compiled_class("coroutine", &members);
        let wrapper = heap.compiled_class("coroutine_wrapper", &[]);
        let generator = heap.compiled_class("_cython_3_1_2.async_generator", &[("ag_await", 64)]);
        let step = heap.compiled_class("_cython_3_1_2.async_generator_asend", &[]);
        let pass = |heap: &mut Heap, class, to| {
            let at = heap.object(class, 32);
            heap.link(at.offset(16), to);
            at
        };
        let ticks = compiled(&mut heap, generator, "ticks", python);
        let next = pass(&mut heap, step, ticks);
        let inner = compiled(&mut heap, coroutine, "Prices.fetch", next);
        let passed_on = pass(&mut heap, wrapper, inner);
        let outer = compiled(&mut heap, coroutine, "refresh", passed_on);
        let [whole, freed, other] = [outer, outer, outer].map(|at| parked(&mut heap, at, future));
        let read = |heap: &Heap, task| {
            let read = heap.read(|reader| reader.read_tasks(&[task], false));
            read.tasks.into_iter().next().unwrap()
        };
        let task = read(&heap, whole);
        let chain: Vec<Address> = task.chain.iter().map(|frame| frame.generator).collect();
        assert_eq!(chain, [outer, inner, ticks, python], "3.{minor}: {task:?}");
        assert_eq!((task.end, task.problem), (ChainEnd::Future(future), None), "3.{minor}");
        assert_eq!(task.coroutine.as_deref(), Some("refresh"));
        assert!(task.chain[..3].iter().all(RawFrame::is_compiled) && task.is_coherent());
        heap.read(|reader| {
            let place = reader.place_of(&task.chain[1]).unwrap();
            assert_eq!((&*place.function, place.line), ("Prices.fetch", None), "3.{minor}");
            assert!(reader.locals(&task.chain[1]).is_err(), "3.{minor}");
        });
        // Freed, or another object by now.
        heap.word(inner, 0);
        assert!(read(&heap, freed).problem.is_some(), "3.{minor}");
        heap.word(inner, 1);
        heap.link(inner.offset(88), future);
        assert!(read(&heap, other).problem.is_some(), "3.{minor}");
    }
}

#[test]
fn what_leads_to_the_future_is_what_an_unknown_compiler_awaits() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let (future, other) = (heap.future(), heap.future());
        let class = heap.class("_asyncio.FutureIter");
        let iterator = |heap: &mut Heap, of| {
            let at = heap.object(class, 64);
            heap.link(at.offset(heap.layout.awaitable.future_iter), of);
            at
        };
        let (to_future, to_other) = (iterator(&mut heap, future), iterator(&mut heap, other));
        let (python, decoy) = (heap.awaits(to_future), heap.awaits(to_other));
        heap.str("");
        heap.end_image();
        // A member stands for a method: it is there, and no more is asked of it.
        let methods = [("send", 0), ("throw", 0), ("close", 0)];
        let class = heap.compiled_class("compiled_coroutine", &methods);
        heap.word(class.offset(heap.layout.class.basicsize), 80);
        // Nuitka's is made from Python's own.
        let own = heap.class("coroutine");
        heap.link(class.offset(heap.layout.class.base), own);
        let coroutine = |heap: &mut Heap, words: &[Address]| {
            let at = heap.object(class, 80);
            for (word, place) in words.iter().zip((at.0 + 24..).step_by(8)) {
                heap.link(Address(place), *word);
            }
            at
        };
        let inner = coroutine(&mut heap, &[NOWHERE, decoy, python]);
        // It has the future as an argument, and one that leads to itself.
        let outer = coroutine(&mut heap, &[future, decoy, inner]);
        let lost = coroutine(&mut heap, &[future, decoy]);
        let ring = coroutine(&mut heap, &[]);
        heap.link(ring.offset(24), ring);
        let tasks = [outer, lost, ring].map(|at| parked(&mut heap, at, future));
        let read = heap.read(|reader| reader.read_tasks(&tasks, false)).tasks;
        let [whole, lost, ring] = &read[..] else { panic!("3.{minor}: {read:?}") };
        let chain: Vec<Address> = whole.chain.iter().map(|frame| frame.generator).collect();
        assert_eq!(chain, [outer, inner, python], "3.{minor}: {whole:?}");
        assert_eq!(whole.end, ChainEnd::Future(future), "3.{minor}");
        // Nobody knows what is in its variables.
        assert!(whole.is_coherent() && whole.is_partly_read(), "3.{minor}");
        assert_eq!((lost.end, lost.chain.len()), (ChainEnd::Opaque, 1), "3.{minor}");
        assert_eq!((ring.end, ring.chain.len()), (ChainEnd::Opaque, 1), "3.{minor}");
    }
}

#[test]
fn finished_tasks_are_left_out_unless_they_are_wanted() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let [pending, finished] = [heap.task(), heap.task()];
        heap.int32(finished.offset(heap.layout.future.state), 2);
        let read = |finished_too| {
            let all = [pending, finished];
            let read = heap.read(|reader| reader.read_tasks(&all, finished_too));
            read.tasks.iter().map(|task| (task.at, task.state)).collect::<Vec<_>>()
        };
        let both = [(pending, FutureState::Pending), (finished, FutureState::Finished)];
        assert_eq!(read(false), both[..1], "3.{minor}");
        assert_eq!(read(true), both, "3.{minor}");
    }
}

/// A loop of asyncio's own with these timers: when each is due, and whether it was cancelled.
fn event_loop(heap: &mut Heap, timers: &[(Address, bool)]) -> Address {
    let class = heap.python_class("asyncio.events", "TimerHandle", Address::NULL);
    let timers: Vec<Address> = timers
        .iter()
        .map(|(when, is_cancelled)| {
            let cancelled = heap.bool(*is_cancelled);
            heap.instance(class, &[("_when", *when), ("_cancelled", cancelled)])
        })
        .collect();
    let callback = heap.function("Server._tick", &[]);
    let class = heap.python_class("asyncio.events", "Handle", Address::NULL);
    let handles: Vec<Address> =
        (0..70).map(|_| heap.instance(class, &[("_callback", callback)])).collect();
    let ready = heap.deque(&handles);
    let scheduled = heap.list(&timers);
    let [closed, debug, thread] = [heap.bool(false), heap.bool(true), heap.int(0x7f12_3456_7890)];
    let class = heap.python_class("asyncio.unix_events", "_UnixSelectorEventLoop", Address::NULL);
    heap.instance(
        class,
        &[
            ("_ready", ready),
            ("_scheduled", scheduled),
            ("_closed", closed),
            ("_debug", debug),
            ("_thread_id", thread),
        ],
    )
}

#[test]
fn the_first_timer_is_the_earliest_that_was_not_cancelled() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let [soon, later, last, whole] =
            [heap.float(10.5), heap.float(20.25), heap.float(30.0), heap.int(12)];
        let endless = heap.float(f64::INFINITY);
        let timers =
            [(soon, true), (later, false), (whole, false), (endless, false), (last, false)];
        let at = event_loop(&mut heap, &timers);
        let none = event_loop(&mut heap, &[]);
        let cancelled = event_loop(&mut heap, &[(soon, true), (later, true)]);
        heap.read(|reader| {
            let facts = reader.event_loop(at).unwrap();
            assert!(facts.problems.is_empty(), "3.{minor}: {:?}", facts.problems);
            assert_eq!(facts.class.as_ref(), "asyncio.unix_events._UnixSelectorEventLoop");
            assert_eq!((facts.scheduled, facts.earliest_timer), (Some(5), Some(12.0)), "3.{minor}");
            assert_eq!((facts.ready, facts.ready_callbacks.len()), (Some(70), 70), "3.{minor}");
            assert_eq!((facts.closed, facts.debug), (Some(false), Some(true)), "3.{minor}");
            assert_eq!(facts.thread_ident, Some(0x7f12_3456_7890), "3.{minor}");
            let facts = reader.event_loop(none).unwrap();
            assert_eq!((facts.scheduled, facts.earliest_timer), (Some(0), None), "3.{minor}");
            let facts = reader.event_loop(cancelled).unwrap();
            assert_eq!((facts.scheduled, facts.earliest_timer), (Some(2), None), "3.{minor}");
        });
    }
}

/// What cannot be read of a loop is absent and said, never none.
#[test]
fn queues_that_cannot_be_read_are_not_empty() {
    for minor in MINORS {
        for break_it in [
            |heap: &mut Heap, list: Address, _deque: Address| {
                heap.word(list.offset(heap.layout.object.ob_size), 1 << 40);
            },
            |heap: &mut Heap, list: Address, _deque: Address| {
                heap.link(list.offset(heap.layout.small.list_items), NOWHERE);
            },
        ] {
            let mut heap = Heap::of(minor);
            let when = heap.float(1.0);
            let at = event_loop(&mut heap, &[(when, false)]);
            let attribute = |heap: &Heap, name: &str| {
                heap.read(|reader| reader.attribute(at, name).unwrap().unwrap())
            };
            let (list, deque) = (attribute(&heap, "_scheduled"), attribute(&heap, "_ready"));
            break_it(&mut heap, list, deque);
            heap.word(deque.offset(heap.layout.deque.leftindex), 64);
            let facts = heap.read(|reader| reader.event_loop(at).unwrap());
            assert_eq!((facts.scheduled, facts.earliest_timer), (None, None), "3.{minor}");
            assert_eq!((facts.ready, facts.ready_callbacks.len()), (None, 0), "3.{minor}");
            let said: Vec<&str> = facts.problems.iter().map(|(part, _)| *part).collect();
            assert_eq!(said, ["ready queue", "timers"], "3.{minor}");
        }
    }
}

/// A call that waits in a pool's queue: `fn` and `args`, or `task` from 3.14 on.
fn work_item(heap: &mut Heap, minor: u8, function: Address, arguments: &[Address]) -> Address {
    let class = heap.python_class("concurrent.futures._base", "Future", Address::NULL);
    let state = heap.str("PENDING");
    let future = heap.instance(class, &[("_state", state)]);
    let arguments = heap.tuple(arguments);
    let class = heap.python_class("concurrent.futures.thread", "_WorkItem", Address::NULL);
    if minor >= 14 {
        let names = heap.dict(&[]);
        let task = heap.tuple(&[function, arguments, names]);
        return heap.instance(class, &[("future", future), ("task", task)]);
    }
    heap.instance(class, &[("future", future), ("fn", function), ("args", arguments)])
}

#[test]
fn the_calls_in_a_pools_queue_come_oldest_first() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let [fetch, store] = ["fetch", "Store.put"].map(|name| heap.function(name, &[]));
        // asyncio.to_thread: partial(context.run, function)
        let class = heap.class("_contextvars.Context");
        let context = heap.object(class, 64);
        let run = heap.builtin_method(context, "run");
        let to_thread = heap.partial(run, &[store]);
        let first = work_item(&mut heap, minor, fetch, &[]);
        let second = work_item(&mut heap, minor, to_thread, &[]);
        let third = work_item(&mut heap, minor, run, &[fetch]);
        // Each thread that is to end finds a `None`; what is no record of a call is none.
        let (none, text) = (heap.none(), heap.str("no call"));
        let queue = heap.simple_queue(&[first, second, third, none, text]);
        let [max, prefix, is_shut] = [heap.int(4), heap.str("asyncio"), heap.bool(true)];
        let base = heap.python_class("concurrent.futures._base", "Executor", Address::NULL);
        let class = heap.python_class("concurrent.futures.thread", "ThreadPoolExecutor", base);
        let executor = heap.instance(
            class,
            &[
                ("_max_workers", max),
                ("_work_queue", queue),
                ("_thread_name_prefix", prefix),
                ("_shutdown", is_shut),
            ],
        );
        let pools = heap.read(|reader| reader.pools(&[], &[executor, executor]));
        let [pool] = &pools[..] else { panic!("3.{minor}: {pools:?}") };
        let calls: Vec<_> =
            pool.queued.iter().map(|item| (item.at, item.function.as_deref())).collect();
        let expected =
            [(first, Some("fetch")), (second, Some("Store.put")), (third, Some("fetch"))];
        assert_eq!(calls, expected, "3.{minor}");
        assert_eq!(pool.queued_count, Some(4), "3.{minor}");
        assert_eq!((pool.max_workers, pool.is_shut_down), (Some(4), Some(true)), "3.{minor}");
        assert_eq!(pool.prefix.as_deref(), Some("asyncio"), "3.{minor}");
        let class = "concurrent.futures.thread.ThreadPoolExecutor";
        assert_eq!(pool.class.as_deref(), Some(class), "3.{minor}");
    }
}

/// A process whose output is paused, and one that has ended with a pipe still open.
#[test]
fn processes_and_their_pipes() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let (yes, no, none) = (heap.bool(true), heap.bool(false), heap.none());
        let module = "asyncio.streams";
        let class = heap.python_class(module, "StreamReader", Address::NULL);
        let stream = heap.instance(class, &[("_paused", yes)]);
        for has_ended in [false, true] {
            let class =
                heap.python_class("asyncio.subprocess", "SubprocessStreamProtocol", Address::NULL);
            let exited = if has_ended { yes } else { no };
            let attributes = [("_process_exited", exited), ("stdout", stream), ("stderr", none)];
            let protocol = heap.instance(class, &attributes);
            let [fd, one, pid] = [9, 1, 4121].map(|number| heap.int(number));
            let class =
                heap.python_class("asyncio.unix_events", "_UnixReadPipeTransport", Address::NULL);
            let file = heap.str("a file");
            let attributes =
                [("_fileno", fd), ("_pipe", file), ("_paused", no), ("_protocol", none)];
            let pipe = heap.instance(class, &attributes);
            let class = heap.python_class(
                "asyncio.base_subprocess",
                "ReadSubprocessPipeProto",
                Address::NULL,
            );
            let of_pipe = heap.instance(class, &[("pipe", pipe)]);
            let pipes = heap.dict(&[(one, of_pipe)]);
            let class =
                heap.python_class("asyncio.unix_events", "_UnixSubprocessTransport", Address::NULL);
            let attributes = [
                ("_pid", pid),
                ("_protocol", protocol),
                ("_exit_waiters", none),
                ("_returncode", none),
                ("_pipes", pipes),
            ];
            let transport = heap.instance(class, &attributes);
            let facts = heap.read(|reader| reader.subprocess(transport)).unwrap();
            assert_eq!((facts.pid, facts.has_ended), (4121, has_ended), "3.{minor}");
            let [pipe] = &facts.pipes[..] else { panic!("3.{minor}: {facts:?}") };
            assert_eq!((pipe.number, pipe.fd, pipe.is_paused), (1, 9, true), "3.{minor}");
            assert_eq!(pipe.stream, Some(stream), "3.{minor}");
        }
    }
}

/// A queue that counts more than its ring holds, or whose first item is behind its end.
#[test]
fn an_absurd_queue_has_no_calls_and_no_count() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let function = heap.function("fetch", &[]);
        let item = work_item(&mut heap, minor, function, &[]);
        let queue = heap.simple_queue(&[item]);
        let (crate::layout::SimpleQueue::List { first, .. }
        | crate::layout::SimpleQueue::Ring { first, .. }) = heap.layout.simple_queue;
        heap.word(queue.offset(first), 1 << 50);
        let class =
            heap.python_class("concurrent.futures.thread", "ThreadPoolExecutor", Address::NULL);
        let executor = heap.instance(class, &[("_work_queue", queue)]);
        let pools = heap.read(|reader| reader.pools(&[], &[executor]));
        assert_eq!(pools.len(), 1, "3.{minor}");
        assert_eq!((pools[0].queued_count, pools[0].queued.len()), (None, 0), "3.{minor}");
    }
}

fn repr(heap: &Heap, at: Address) -> String {
    heap.read(|reader: &Reader<'_>| reader.repr(at))
}

#[test]
fn values_look_as_python_prints_them() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let one = heap.int(1);
        let values = [
            (heap.none(), "None"),
            (heap.bool(true), "True"),
            (heap.bool(false), "False"),
            (heap.int(0), "0"),
            (heap.int(-1), "-1"),
            (heap.int(-(1 << 30)), "-1073741824"),
            (heap.int(1 << 64), "18446744073709551616"),
            (heap.float(0.1), "0.1"),
            (heap.str("it's"), "\"it's\""),
            (heap.bytes(b"\x00a"), "b'\\x00a'"),
            (heap.tuple(&[]), "()"),
            (heap.tuple(&[one]), "(1,)"),
            (heap.list(&[one, one, one]), "[1, 1, 1]"),
            (heap.set(&[]), "set()"),
            (heap.set(&[one]), "{1}"),
            (heap.deque(&[one, one, one]), "deque([1, 1, 1])"),
            (heap.dict(&[]), "{}"),
            (heap.list(&[one; 10]), "[1, 1, 1, 1, 1, 1, 1, 1, … 2 more]"),
        ];
        for (at, expected) in values {
            assert_eq!(repr(&heap, at), expected, "3.{minor}");
        }
    }
}

#[test]
fn what_is_in_itself_is_shown_once() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let one = heap.int(1);
        let list = heap.list(&[one, one, one]);
        let items = heap.read(|reader| {
            reader.pointer(list.offset(reader.layout.small.list_items)).unwrap().unwrap()
        });
        heap.link(items.offset(8), list);
        assert_eq!(repr(&heap, list), "[1, [...], 1]", "3.{minor}");
        // Deeper than anybody reads.
        let deep = (0..5).fold(one, |inner, _| heap.tuple(&[inner]));
        let text = repr(&heap, deep);
        assert!(text.starts_with("(((<tuple at 0x") && text.ends_with(">,),),)"), "{text}");
    }
}

#[test]
fn instances_show_their_attributes_but_no_secrets() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let class = heap.python_class("app", "Job", Address::NULL);
        let [number, text] = [heap.int(7), heap.str("hunter2")];
        let job = heap.instance(class, &[("id", number), ("password", text), ("note", text)]);
        assert_eq!(
            repr(&heap, job),
            "<app.Job id=7 password=‹hidden› note='hunter2'>",
            "3.{minor}"
        );
        let headers = heap.namespace(&[("Authorization", text), ("Host", text)]);
        let expected = "{'Authorization': ‹hidden›, 'Host': 'hunter2'}";
        assert_eq!(repr(&heap, headers), expected, "3.{minor}");
        let shown = heap.read(|reader| reader.value("token", text, true));
        assert_eq!(shown, "'hunter2'", "3.{minor}");
        assert_eq!(heap.read(|reader| reader.value("token", text, false)), "‹hidden›");
    }
}

/// What cannot be read says so in its place; what is around it is there.
#[test]
fn what_cannot_be_read_says_so() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let one = heap.int(1);
        let list = heap.list(&[one, NOWHERE, one]);
        let text = repr(&heap, list);
        assert!(text.starts_with("[1, <unreadable: ") && text.ends_with(">, 1]"), "{text}");
        let long = heap.str("end of all memory");
        heap.word(long.offset(heap.layout.unicode.length), 1 << 50);
        assert!(repr(&heap, long).starts_with("<unreadable: str at "), "3.{minor}");
        let cut = heap.str("end of all memory");
        heap.cut_behind(cut.offset(heap.layout.unicode.ascii_data));
        assert!(repr(&heap, cut).starts_with("<unreadable: "), "3.{minor}");
    }
}

/// The pool of a library, by one of its functions.
fn pool(path: &str, function: &str) -> &'static Pool {
    match Known::of(path, function, Origin::Package).purpose {
        Some(Purpose::Acquires(pool)) => pool,
        other => panic!("{other:?}"),
    }
}

/// Three requests have two of two connections, and two wait; nothing else refers to one of the
/// three.
#[test]
fn a_pool_of_httpcore_knows_what_is_out_and_who_waits() {
    let pool =
        pool("httpcore/_async/connection_pool.py", "AsyncConnectionPool.handle_async_request");
    for minor in MINORS {
        for name in ["_connections", "_pool"] {
            let mut heap = Heap::of(minor);
            let base = heap.class("object");
            let class = heap.python_class("httpcore", "AsyncConnectionPool", base);
            let [first, second, closed] = [0; 3].map(|_| heap.object(base, 16));
            let none = heap.none();
            let states = [first, none, second, closed, none];
            let request = heap.python_class("httpcore", "AsyncPoolRequest", base);
            let items = states.map(|state| heap.instance(request, &[("connection", state)]));
            for item in [0, 3].map(|at| items[at]) {
                heap.int32(item, 2);
            }
            let (requests, connections) = (heap.list(&items), heap.list(&[first, second]));
            let size = heap.int(2);
            let at = heap.instance(
                class,
                &[("_max_connections", size), (name, connections), ("_requests", requests)],
            );
            let facts = heap.read(|reader| reader.connection_pool(pool, at)).unwrap();
            let [limit] = &facts.limits[..] else { panic!("{facts:?}") };
            assert_eq!((limit.size, limit.out, limit.waiters), (2, Some(2), 2), "3.{minor}");
            assert_eq!(limit.items, [items[0], items[2], items[3]], "3.{minor}");
            assert_eq!(limit.lost, [items[2]], "3.{minor}");
            assert_eq!(facts.places[&items[1]], (0, 1), "3.{minor}");
            assert_eq!(facts.places[&items[4]], (0, 2), "3.{minor}");
        }
    }
}

/// A proxy to which only its connection and its item refer is nobody's any more.
#[test]
fn a_pool_of_asyncpg_counts_those_that_are_in_use() {
    let pool = pool("asyncpg/pool.py", "Pool._acquire.<locals>._acquire_impl");
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let base = heap.class("object");
        let class = heap.python_class("asyncpg.pool", "Pool", base);
        let holder = heap.python_class("asyncpg.pool", "PoolConnectionHolder", base);
        let [none, in_use, first, second] =
            [heap.none(), heap.future(), heap.object(base, 16), heap.object(base, 16)];
        heap.int32(first, 2);
        heap.int32(second, 3);
        let holders = [(in_use, first), (in_use, second), (none, none)].map(|(in_use, proxy)| {
            heap.instance(holder, &[("_in_use", in_use), ("_proxy", proxy)])
        });
        let (waiter, list, size) = (heap.future(), heap.list(&holders), heap.int(3));
        let getters = heap.deque(&[waiter]);
        let class_of_queue = heap.python_class("asyncio.queues", "LifoQueue", base);
        let queue = heap.instance(class_of_queue, &[("_getters", getters)]);
        let at = heap.instance(class, &[("_maxsize", size), ("_holders", list), ("_queue", queue)]);
        let facts = heap.read(|reader| reader.connection_pool(pool, at)).unwrap();
        let [limit] = &facts.limits[..] else { panic!("{facts:?}") };
        assert_eq!((limit.size, limit.out, limit.waiters), (3, Some(2), 1), "3.{minor}");
        assert_eq!(limit.lost, [holders[0]], "3.{minor}");
        assert_eq!(facts.places[&waiter], (0, 1), "3.{minor}");
    }
}

/// Who waits does so at the limit that is reached: that of all connections, or that of the host.
#[test]
fn a_connector_of_aiohttp_has_two_limits() {
    let pool = pool("aiohttp/connector.py", "BaseConnector.connect");
    for minor in MINORS {
        for (all, per_host) in [(3, 0), (0, 2), (100, 2)] {
            let mut heap = Heap::of(minor);
            let base = heap.class("object");
            let class = heap.python_class("aiohttp.connector", "TCPConnector", base);
            let protocols = [0; 3].map(|_| heap.object(base, 16));
            let mut key = |host: &str, port| {
                let (host, port, tls) = (heap.str(host), heap.int(port), heap.bool(true));
                heap.tuple(&[host, port, tls])
            };
            let keys = [key("db", 443), key("db", 443), key("db", 8443), key("other", 443)];
            let [first, second] = [heap.future(), heap.future()];
            let lines = [heap.deque(&[first]), heap.deque(&[second])];
            let waiters = heap.dict(&[(keys[0], lines[0]), (keys[3], lines[1])]);
            let acquired = heap.set(&protocols);
            let of_host = [heap.set(&protocols[..2]), heap.set(&protocols[2..])];
            let acquired_per_host = heap.dict(&[(keys[1], of_host[0]), (keys[2], of_host[1])]);
            let [limit, limit_per_host] = [heap.int(all), heap.int(per_host)];
            let at = heap.instance(
                class,
                &[
                    ("_limit", limit),
                    ("_limit_per_host", limit_per_host),
                    ("_acquired", acquired),
                    ("_acquired_per_host", acquired_per_host),
                    ("_waiters", waiters),
                ],
            );
            let facts = heap.read(|reader| reader.connection_pool(pool, at)).unwrap();
            let (limit, _) = facts.places[&first];
            let limit = &facts.limits[limit];
            if all == 3 {
                assert_eq!((limit.at, limit.size, limit.out), (at, 3, Some(3)), "3.{minor}");
                assert_eq!((limit.waiters, facts.places[&second]), (2, (0, 2)), "3.{minor}");
            } else {
                assert_eq!((limit.at, limit.size), (of_host[0], 2), "3.{minor}");
                assert_eq!((limit.out, limit.waiters), (Some(2), 1), "3.{minor}");
                assert!(!facts.places.contains_key(&second), "3.{minor}: nothing keeps it");
            }
        }
    }
}

/// Of a pool that only counts, those that wait and have neither got a connection nor given up.
#[test]
fn a_pool_of_psycopg_counts_what_it_has_not() {
    let pool = pool("psycopg_pool/pool_async.py", "AsyncConnectionPool.getconn");
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let base = heap.class("object");
        let class = heap.python_class("psycopg_pool.pool_async", "AsyncConnectionPool", base);
        let client = heap.python_class("psycopg_pool.pool_async", "WaitingClient", base);
        let (none, some) = (heap.none(), heap.object(base, 16));
        let clients = [(none, some), (none, none), (some, none), (none, none)]
            .map(|(conn, error)| heap.instance(client, &[("conn", conn), ("error", error)]));
        let (free, waiting) = (heap.deque(&[some]), heap.deque(&clients));
        let [size, made] = [4, 3].map(|number| heap.int(number));
        let at = heap.instance(
            class,
            &[("_max_size", size), ("_nconns", made), ("_pool", free), ("_waiting", waiting)],
        );
        let facts = heap.read(|reader| reader.connection_pool(pool, at)).unwrap();
        let [limit] = &facts.limits[..] else { panic!("{facts:?}") };
        assert_eq!((limit.size, limit.out, limit.waiters), (4, Some(2), 2), "3.{minor}");
        assert_eq!((facts.places[&clients[1]], facts.places[&clients[3]]), ((0, 1), (0, 2)));
    }
}

/// Its queue has room for five and the pool may have two more; or as many as are wanted.
#[test]
fn a_pool_of_sqlalchemy_has_a_queue_and_more() {
    let pool = pool("sqlalchemy/pool/impl.py", "QueuePool._do_get");
    for minor in MINORS {
        for (more, size, out) in [(2, 7, Some(6)), (-1, 0, Some(6))] {
            let mut heap = Heap::of(minor);
            let base = heap.class("object");
            let class = heap.python_class("sqlalchemy.pool.impl", "AsyncAdaptedQueuePool", base);
            let adapted = heap.python_class("sqlalchemy.util.queue", "AsyncAdaptedQueue", base);
            let queue = heap.python_class("asyncio.queues", "Queue", base);
            let (waiter, free) = (heap.future(), heap.object(base, 16));
            let (getters, free) = (heap.deque(&[waiter]), heap.deque(&[free]));
            let queue = heap.instance(queue, &[("_getters", getters), ("_queue", free)]);
            let [five, over, more] = [5, 2, more].map(|number| heap.int(number));
            let adapted = heap.instance(adapted, &[("maxsize", five), ("_queue", queue)]);
            let at = heap.instance(
                class,
                &[("_pool", adapted), ("_overflow", over), ("_max_overflow", more)],
            );
            let facts = heap.read(|reader| reader.connection_pool(pool, at)).unwrap();
            let [limit] = &facts.limits[..] else { panic!("{facts:?}") };
            assert_eq!((limit.size, limit.out, limit.waiters), (size, out, 1), "3.{minor}");
            assert_eq!(facts.places[&waiter], (0, 1), "3.{minor}");
        }
    }
}
