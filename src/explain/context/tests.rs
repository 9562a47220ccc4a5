//! In whose context tasks were started, in the memory of each version.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::{forget, note_starters};
use crate::memory::Address;
use crate::python::tests::{Function, Heap, LASTI, MINORS, Stage, Values};
use crate::snapshot::{Task, Work, WorkKind};

/// Requests and other tasks, with who works for what.
struct Scene {
    heap: Heap,
    tasks: Vec<Task>,
    variable: Address,
    values: [Address; 2],
}

impl Scene {
    fn of(minor: u8) -> Self {
        let mut heap = Heap::of(minor);
        let variable = heap.variable("current_context");
        let values = [1, 2].map(|number| heap.int(number));
        Self { heap, tasks: Vec::new(), variable, values }
    }

    /// A tree in which the variable has its second value.
    fn tree(&mut self) -> Address {
        let root = self.heap.tree_node(&[(1, self.variable, self.values[1])], 0);
        self.heap.tree(root, 1)
    }

    /// A task with a copy of these variables that awaits something in a function with these locals.
    fn task(&mut self, tree: Address, locals: &[(&str, Address)]) -> Address {
        let context = self.heap.context_of(tree);
        self.task_in(context, locals)
    }

    fn task_in(&mut self, context: Address, locals: &[(&str, Address)]) -> Address {
        let heap = &mut self.heap;
        let future = heap.future();
        let code = heap.awaiting_code();
        let (names, values): (Vec<&str>, Vec<Address>) = locals.iter().copied().unzip();
        let code = heap.code(Function { code: &code, locals: &names, ..Function::default() });
        let values = Values { locals: &values, ..Values::default() };
        let coroutine = heap.generator("coroutine", code, LASTI, Stage::Awaiting(future), values);
        let (at, name) = (heap.task(), heap.str("Task-1"));
        let fields = heap.layout.task;
        heap.link(at.offset(fields.name), name);
        heap.link(at.offset(fields.coro), coroutine);
        heap.link(at.offset(fields.fut_waiter), future);
        heap.link(at.offset(fields.context), context);
        self.tasks.push(Task { id: at, ..Task::default() });
        at
    }

    fn scope(&mut self) -> Address {
        let [kind, path] = ["http", "/orders/17"].map(|text| self.heap.str(text));
        self.heap.namespace(&[("type", kind), ("path", path)])
    }

    /// A task of a request, with a token of the variable that was set in its context.
    fn request(&mut self, tree: Address, old: Address) -> Address {
        let scope = self.scope();
        let context = self.heap.context_of(tree);
        let token = self.heap.token(context, self.variable, old);
        let at = self.task_in(context, &[("scope", scope), ("token", token)]);
        self.works_for(scope, false);
        at
    }

    /// Says what the last task works for.
    fn works_for(&mut self, scope: Address, is_inherited: bool) {
        let (kind, identity) = (Some(WorkKind::Request), Some(scope));
        let work = Work { kind, is_inherited, identity, ..Work::default() };
        self.tasks.last_mut().unwrap().work = Some(Arc::new(work));
    }

    /// For which tasks it is said who has started them, and the requests that have.
    fn starters(&mut self, in_doubt: &[Address]) -> Vec<(Address, Address)> {
        let places: Vec<Address> = self.tasks.iter().map(|task| task.id).collect();
        let in_doubt: FxHashSet<Address> = in_doubt.iter().copied().collect();
        let tasks = &mut self.tasks;
        self.heap.read(|reader| {
            let read = reader.read_tasks(&places, false).tasks;
            assert!(read.iter().all(|facts| facts.context.is_some()));
            note_starters(reader, &read, tasks, &in_doubt);
        });
        let starter = |task: &Task| {
            let work = task.context.as_ref()?.started_by.as_ref()?;
            Some((task.id, work.identity?))
        };
        self.tasks.iter().filter_map(starter).collect()
    }
}

#[test]
fn a_task_that_a_request_has_started_and_left() {
    for minor in MINORS {
        let mut scene = Scene::of(minor);
        let tree = scene.tree();
        let old = scene.values[0];
        scene.request(tree, old);
        let scope = scene.tasks[0].work.as_ref().unwrap().identity.unwrap();
        let [one, other] = [(); 2].map(|()| scene.task(tree, &[]));
        // Of the same request, and one that is waited for.
        scene.task(tree, &[]);
        scene.works_for(scope, true);
        scene.task(tree, &[]);
        scene.tasks.last_mut().unwrap().awaited_by = vec![one];
        let strange = scene.tree();
        scene.task(strange, &[]);
        assert_eq!(scene.starters(&[]), [(one, scope), (other, scope)], "3.{minor}");
    }
}

#[test]
fn what_was_there_before_the_request_proves_nothing() {
    for minor in MINORS {
        // Nothing says that the request has made these variables itself.
        let mut scene = Scene::of(minor);
        let tree = scene.tree();
        let scope = scene.scope();
        scene.task(tree, &[("scope", scope)]);
        scene.works_for(scope, false);
        scene.task(tree, &[]);
        assert_eq!(scene.starters(&[]), [], "3.{minor}");

        // It has set the variable to what it was.
        let mut scene = Scene::of(minor);
        let tree = scene.tree();
        let value = scene.values[1];
        scene.request(tree, value);
        scene.task(tree, &[]);
        assert_eq!(scene.starters(&[]), [], "3.{minor}");

        // The token is of another context: that of whoever has started the request.
        let mut scene = Scene::of(minor);
        let tree = scene.tree();
        let (scope, server) = (scene.scope(), scene.heap.context_of(tree));
        let token = scene.heap.token(server, scene.variable, scene.values[0]);
        scene.task(tree, &[("scope", scope), ("token", token)]);
        scene.works_for(scope, false);
        scene.task(tree, &[]);
        assert_eq!(scene.starters(&[]), [], "3.{minor}");

        // It was set by a task that serves one request after the other, outside of this one.
        let mut scene = Scene::of(minor);
        let tree = scene.tree();
        let context = scene.heap.context_of(tree);
        let token = scene.heap.token(context, scene.variable, scene.values[0]);
        scene.task_in(context, &[("token", token)]);
        let scope = scene.scope();
        scene.works_for(scope, false);
        scene.task(tree, &[]);
        assert_eq!(scene.starters(&[]), [], "3.{minor}");
    }
}

#[test]
fn in_doubt_nothing_is_said() {
    for minor in MINORS {
        // Two requests on one connection, of which one has the other's variables.
        let mut scene = Scene::of(minor);
        let tree = scene.tree();
        let old = scene.values[0];
        scene.request(tree, old);
        let orphan = scene.task(tree, &[]);
        scene.task(tree, &[]);
        let scope = scene.scope();
        scene.works_for(scope, false);
        assert_eq!(scene.starters(&[]), [], "3.{minor}");

        // One of which it isn't known for certain what it does.
        scene.tasks.pop();
        let doubtful = scene.task(tree, &[]);
        assert_eq!(scene.starters(&[doubtful]), []);
        scene.tasks.pop();
        assert_eq!(scene.starters(&[]).len(), 1, "{orphan}");
    }
}

#[test]
fn what_is_taken_back() {
    let work = |kind| {
        let [trace, id] = ["0af7", "17"].map(|text| Some(text.into()));
        Work { kind: Some(kind), trace, id, ..Work::default() }
    };
    let left = |kind| {
        let (work, context) = (Some(Arc::new(work(kind))), Some(Arc::default()));
        let mut task = Task { work, context, ..Task::default() };
        forget(&mut task);
        assert!(task.context.is_none());
        let work = task.work.unwrap();
        (work.trace.is_some(), work.id.is_some())
    };
    assert_eq!(left(WorkKind::Request), (false, false));
    // The id of a job is its own.
    assert_eq!(left(WorkKind::Job), (false, true));
}
